"""Loads and unloads kernel modules with kmod's tools, without a shell."""

import os
import subprocess

from ..errors import SourceError, UsageError

PLACES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
_SECONDS = 120


class Module:
    """A kernel module, given by name (modprobe) or by the path of its file (insmod)."""

    def __init__(self, word: str) -> None:
        if not word or word.startswith("-") or "\0" in word:
            raise UsageError(
                f"invalid module '{word}'", "use a name like xfs, or the path of a .ko file"
            )
        self.path = os.path.abspath(word) if "/" in word else None
        base = word.rpartition("/")[2].partition(".ko")[0]
        self.name = base.replace("-", "_")
        self._word = word

    @property
    def loaded(self) -> bool:
        """Is it loaded?"""
        return os.path.isdir(f"/sys/module/{self.name}")

    def load(self) -> None:
        """Load it. SourceError with the tool's message."""
        if self.path is not None:
            _run("insmod", self.path)
        else:
            _run("modprobe", "--", self._word)

    def unload(self) -> None:
        """Unload it and the modules that only it needed. SourceError with the tool's message."""
        if self.path is not None:
            _run("rmmod", "--", self.name)
        else:
            _run("modprobe", "-r", "--", self._word)


def _run(tool: str, *words: str) -> None:
    path = next(
        (f"{place}/{tool}" for place in PLACES if os.access(f"{place}/{tool}", os.X_OK)), ""
    )
    if not path:
        raise SourceError(f"{tool} not found", "install kmod")
    environment = {"PATH": ":".join(PLACES), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [path, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise SourceError(f"{tool} took longer than {_SECONDS} seconds") from None
    except OSError as error:
        raise SourceError(f"cannot run {path}: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SourceError(lines[-1] if lines else f"{tool} failed with status {done.returncode}")
