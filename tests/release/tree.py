"""The tree to build from, and the sdist: the same bytes whenever and by whomever it is made."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from .compilers import basic_environment
from .machines import Machinery

ROOT = Path(__file__).resolve().parents[2]


def git(*words: str) -> str:
    """What git says about the tree. RuntimeError."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.splitlines() or [f"git {words[0]} failed"]
        raise RuntimeError(f"{ROOT}: a release is built from a git clone: {lines[0]}")
    return done.stdout


def copy_tree(where: Path) -> Path:
    """What a commit would hold, and nothing that was built."""
    for name in git("ls-files", "-z", "-c", "-o", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, where / name)
    return where


def settle(where: Path, epoch: int) -> None:
    """Modes and times that say nothing of this machine."""
    for path in (where, *where.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def backend(machinery: Machinery, tree: Path, call: str, env: dict[str, str]) -> str:
    """Call setuptools in the tree; returns the name of what it made."""
    program = f"import setuptools.build_meta as backend; print(backend.{call})"
    done = subprocess.run(
        [machinery.python, "-c", program], cwd=tree, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{call}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout.splitlines()[-1]


def make_sdist(machinery: Machinery, output: Path) -> Path:
    """The sdist, with members in order and without owners, packed again."""
    tree = copy_tree(machinery.scratch / "tree")
    made = machinery.scratch / "sdist"
    made.mkdir()
    name = backend(machinery, tree, f"build_sdist({str(made)!r})", basic_environment(machinery))
    packed = io.BytesIO()
    with (
        tarfile.open(made / name) as old,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size, clean.mtime = member.type, member.size, machinery.epoch
            clean.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(clean, old.extractfile(member) if member.isfile() else None)
    path = output / name
    with path.open("wb") as file:
        file.write(gzip.compress(packed.getvalue(), 9, mtime=0))
    return path


def unpack(sdist: Path, where: Path, epoch: int) -> Path:
    """A tree of the sdist's files."""
    with tarfile.open(sdist) as archive:
        archive.extractall(where, filter="data")
    tree = where / sdist.name.removesuffix(".tar.gz")
    settle(tree, epoch)
    return tree
