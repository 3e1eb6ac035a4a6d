"""Tells cffi how to build allocq._native: one extension for every Python from 3.10."""

from pathlib import Path

from cffi import FFI

HERE = Path("allocq/core")
SOURCES = (
    "table.c",
    "filter.c",
    "line.c",
    "skim.c",
    "text.c",
    "ioctl.c",
    "render.c",
    "cancel.c",
    "host.c",
)
HEADERS = ("abi.h", "api.h", "native.h")

ffi = FFI()
ffi.cdef((HERE / "api.h").read_text())
ffi.set_source(
    "allocq._native",
    '#include "api.h"',
    sources=[str(HERE / name) for name in SOURCES],
    depends=[str(HERE / name) for name in HEADERS],
    include_dirs=[str(HERE)],
    extra_compile_args=["-std=gnu11", "-D_GNU_SOURCE", "-O3", "-g0", "-fvisibility=hidden"],
    py_limited_api=True,
)
