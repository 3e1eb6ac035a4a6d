"""How cffi builds allocq._native: one extension for every Python from 3.11 that has the GIL."""

import sysconfig
from pathlib import Path

from cffi import FFI

HERE = Path("allocq/core")
ENGINE = (
    "answer.c",
    "cache.c",
    "cancel.c",
    "columns.c",
    "costs.c",
    "exchange.c",
    "filter.c",
    "ioctl.c",
    "line.c",
    "memory.c",
    "order.c",
    "plan.c",
    "render.c",
    "root.c",
    "saved.c",
    "seen.c",
    "size.c",
    "skim.c",
    "sort.c",
    "source.c",
    "table.c",
    "text.c",
    "utf8.c",
    "under_watch.c",
)
FRONT = ("complete.c", "front.c", "flags.c", "deliver.c", "python.c")
HEADERS = ("abi.h", "api.h", "engine.h", "front.h", "flags.h")
DEFINES = ["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64"]
COMPILE_FLAGS = ["-std=gnu11", *DEFINES, "-O3", "-g0", "-fvisibility=hidden"]

# Called from C while a scan runs; core/callbacks.py has their bodies.
HOOKS = """
extern "Python" int aq_search_hook(void *context, const aq_table *table, uint8_t *keep);
extern "Python" int aq_pulse_hook(void *context);
"""


def declarations(header: str) -> str:
    """A header without its preprocessor lines, which cffi does not read."""
    return "\n".join(line for line in header.splitlines() if not line.startswith("#"))


ffi = FFI()
ffi.cdef(declarations((HERE / "api.h").read_text()) + HOOKS)
ffi.set_source(
    "allocq._native",
    '#include "api.h"',
    sources=[str(HERE / name) for name in ENGINE],
    depends=[str(HERE / name) for name in HEADERS],
    include_dirs=[str(HERE)],
    extra_compile_args=COMPILE_FLAGS,
    py_limited_api=not sysconfig.get_config_var("Py_GIL_DISABLED"),
)
