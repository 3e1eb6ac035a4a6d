"""Runs `allocq`, in Python or as the native program, where fuzz/faults.c makes calls fail."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command import Result

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parent / "allocq" / "core"

# In Python. What the process itself has open at the end must be what it had open at the start.
DRIVER = """
import os, sys
def opened():
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            pass
    # rich, which prints help, puts /dev/null where a pipe was closed.
    return {fd: name for fd, name in found.items() if int(fd) > 2 and name != "/dev/null"}
import allocq._native
from allocq import __main__
__main__.watch_interrupts = lambda: None
before = opened()
status = __main__._guarded()
sys.stdout.flush()
if opened() != before:
    os.write(2, ("left open: %s, before %s" % (opened(), before)).encode())
os._exit(status)
"""
PROGRAMS = ("front", "python")


def _build_front(folder: Path) -> None:
    """The native program where the loader reads LD_PRELOAD: linked dynamically.

    It finds its Python beside it, as in a virtual environment: the one of these tests.
    """
    binary, here = folder / "bin", Path(sys.prefix)
    packages = Path(sysconfig.get_path("purelib"))
    make = ["make", "-s", "-C", str(NATIVE), f"BUILD={binary}", "CFLAGS=-O1"]
    subprocess.run(make, check=True)
    (binary / "python3").symlink_to(os.path.realpath(sys.executable))
    if (here / "pyvenv.cfg").exists():
        shutil.copy(here / "pyvenv.cfg", folder)
    library = folder / packages.relative_to(here)
    library.parent.mkdir(parents=True)
    library.symlink_to(packages)


def build(folder: Path) -> Path:
    """Compile the shim and, beside it, bin/allocq; skips the test where that cannot be."""
    shim = folder / "faults.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}"]
    try:
        subprocess.run(
            ["cc", *flags, str(HERE / "fuzz" / "faults.c"), "-o", str(shim), "-ldl"], check=True
        )
        _build_front(folder)
    except FileNotFoundError:
        pytest.skip("needs make and a C compiler")
    return shim


def front(shim: Path) -> Path:
    """The native program that `build` put beside the shim."""
    return shim.parent / "bin" / "allocq"


class Faulty:
    """Runs commands with one call failing. program: a name of PROGRAMS, or a native program.

    failed: did the last run come to the call that was to fail?
    """

    failed = False

    def __init__(self, shim: Path, program: str | Path) -> None:
        self._shim = shim
        if program == "python":
            self.program: Sequence[str] = (sys.executable, "-c", DRIVER)
        else:
            self.program = (str(front(shim) if program == "front" else program),)

    def __call__(
        self,
        call: str,
        error: int,
        *argv: str,
        at: int = 1,
        times: int = 1,
        file: str | None = None,
        proc: str | None = None,
        **options: Any,
    ) -> Result:
        """`allocq ARGV` whose call number `at` and `times` - 1 after it (0: all) fail so.

        file: only calls on such files. proc: such files pass for a running kernel's.
        """
        fault = {"CALL": call, "ERRNO": str(error), "AT": str(at), "TIMES": str(times)}
        if proc is not None:
            fault["PROC"] = proc
        result, made = self._run(fault, file, argv, options)
        self.failed = 0 < at <= made
        return result

    def without(self, *argv: str, proc: str | None = None, **options: Any) -> Result:
        """`allocq ARGV` with nothing that fails."""
        return self("", 0, *argv, at=0, proc=proc, **options)

    def count(self, call: str, *argv: str, file: str | None = None, **options: Any) -> int:
        """How many such calls `allocq ARGV` makes when nothing fails.

        What a plan costs is measured where no names are known, so the next run may make fewer.
        """
        done, made = self._run({"CALL": call}, file, argv, options)
        assert done.status in (0, 1), done
        return made

    def _run(
        self, fault: dict[str, str], file: str | None, argv: tuple[str, ...], options: Any
    ) -> tuple[Result, int]:
        """The result, and how many such calls were made."""
        options = {"stdout": subprocess.PIPE, "timeout": 120, **options}
        with tempfile.TemporaryDirectory() as folder:
            counter = Path(folder, "counter")
            fault["COUNT"] = str(counter)
            if file is not None:
                fault["FILE"] = file
            environment = {f"FAULT_{name}": value for name, value in fault.items()}
            done = subprocess.run(
                [*self.program, *argv],
                stderr=subprocess.PIPE,
                check=False,
                env={**os.environ, **environment, "LD_PRELOAD": str(self._shim)},
                **options,
            )
            made = counter.stat().st_size if counter.exists() else 0
        err = done.stderr.decode("utf-8", "replace")
        assert "left open" not in err, err
        return Result(done.returncode, done.stdout or b"", err), made


def name(error: int) -> str:
    """EIO for 5."""
    return errno.errorcode.get(error, str(error))
