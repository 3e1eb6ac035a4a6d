"""What comes from the package index, by pip."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def pip(python: Path, *words: str | Path) -> None:
    """Run pip, quietly. RuntimeError with its error, which says what could not be had."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *words, "-q"],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        errors = re.findall(r"^ERROR: (.*)", done.stderr, re.MULTILINE) or [done.stderr[-500:]]
        offline = "broken by" in done.stderr
        reason = "the package index cannot be reached" if offline else errors[-1]
        raise RuntimeError(f"pip {words[0]}: {reason}")


def download(python: Path, where: Path, *words: str | Path) -> None:
    """Wheels, to a directory. RuntimeError."""
    pip(python, "download", "--only-binary=:all:", "-d", where, *words)


def download_locked(python: Path, where: Path, lock: str, words: Sequence[str] = ()) -> list[Path]:
    """The wheels that a lock lists, with their sums, kept there for the next time. RuntimeError.

    lock: as pip reads requirements. What is kept is held against it each time.
    """
    wanted = where / "requirements.txt"
    kept = sorted(where.glob("*.whl"))
    names = re.findall(r"^[\w.-]+==", lock, re.MULTILINE)
    sums = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in kept}
    if len(sums) != len(names) or not sums <= set(re.findall(r"sha256:([0-9a-f]{64})", lock)):
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        wanted.write_text(lock)
        download(python, where, "--no-deps", "--require-hashes", *words, "-r", wanted)
        kept = sorted(where.glob("*.whl"))
    return kept
