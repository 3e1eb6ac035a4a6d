"""Compilers for other machines, and Python's headers as those would have them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

from .machines import Machine, Machinery

_once = threading.Lock()
"""What one makes, the others wait for."""

# setup.py's own flags come behind these.
CFLAGS = ("-DNDEBUG", "-fwrapv", "-Wall", "-Werror=implicit-function-declaration")

# The limited API is the same everywhere, but for what configure found out about this machine.
FROM_THE_COMPILER = """
#undef WORDS_BIGENDIAN
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define WORDS_BIGENDIAN 1
#endif
"""
SIZES = {
    "VOID_P": "POINTER",
    "UINTPTR_T": "POINTER",
    "LONG": "LONG",
    "SIZE_T": "SIZE_T",
    "WCHAR_T": "WCHAR_T",
    "LONG_DOUBLE": "LONG_DOUBLE",
    "PTHREAD_T": "LONG",
    "PTHREAD_KEY_T": "INT",
    "TIME_T": "LONG",
}


def python_headers(machinery: Machinery) -> Path:
    """A copy of Python's headers whose sizes are those of the machine compiled for."""
    headers = machinery.scratch / "headers"
    with _once:
        if not headers.is_dir():
            _copy_headers(machinery, headers)
    return headers


def _copy_headers(machinery: Machinery, headers: Path) -> None:
    program = "import sysconfig as s; print(s.get_path('include'), s.get_config_h_filename())"
    found = subprocess.run(
        [machinery.python, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    include, config = found.split()
    shutil.copytree(include, headers)
    sizes = "".join(
        f"#undef SIZEOF_{name}\n#define SIZEOF_{name} __SIZEOF_{macro}__\n"
        for name, macro in SIZES.items()
    )
    # Debian's pyconfig.h only includes that of this machine.
    text = Path(config).read_text()
    (headers / "pyconfig.h").unlink()
    (headers / "pyconfig.h").write_text(text + FROM_THE_COMPILER + sizes)


def compiler(machinery: Machinery, machine: Machine, libc: str) -> Path:
    """A program that compiles for this machine and C library, called as cc is."""
    path = machinery.scratch / f"cc-{machine.name}-{libc}"
    with _once:
        if not path.exists():
            words = [str(machinery.python), "-m", "ziglang", "cc", *machine.target(libc)]
            path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            path.chmod(0o755)
    return path


def environment(machinery: Machinery, machine: Machine, libc: str) -> dict[str, str]:
    """What makes setup.py compile for this machine."""
    cc = str(compiler(machinery, machine, libc))
    return {
        **basic_environment(machinery),
        "CC": cc,
        "LDSHARED": f"{cc} -shared",
        "CFLAGS": shlex.join((*CFLAGS, f"-I{python_headers(machinery)}")),
        "LDFLAGS": "-s",
        # Without a loader it starts sooner, and with any C library.
        "ALLOCQ_PROGRAM_CC": str(compiler(machinery, machine, "musl")),
        "_PYTHON_HOST_PLATFORM": f"linux-{machine.name}",
    }


def basic_environment(machinery: Machinery) -> dict[str, str]:
    """Nothing of whoever builds but where programs are."""
    return {
        "PATH": f"{machinery.tools}/bin:{os.environ['PATH']}",
        "HOME": str(machinery.scratch),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(machinery.epoch),
        "ZIG_GLOBAL_CACHE_DIR": str(machinery.compiled or machinery.cache / "zig"),
    }
