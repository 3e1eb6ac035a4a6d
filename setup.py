from setuptools import setup

setup(cffi_modules=["allocq/native/build.py:ffi"])
