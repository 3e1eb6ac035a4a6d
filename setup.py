from setuptools import setup

setup(cffi_modules=["allocq/core/build.py:ffi"])
