"""The sdist with a Python that has no GIL. Debian has none: it is built from its source.

No wheel is for it, and no orjson. RuntimeError where there is no source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tomllib
from pathlib import Path

from . import index
from .machines import Machinery
from .roots import Root, bare, mirror, run, try_pip, with_sources

SUITE = "forky"
NUMBER = "3.14"
PYTHON = f"/usr/local/bin/python{NUMBER}t"
SOURCE = "pool/main/p/python3.14/python3.14_3.14.7.orig.tar.xz"
SHA256 = "3b48dac8fb59f62eaa67ac83c1eb12bda1b7a08406dd286e252c11a66be27f81"
BUILD_NEEDS = ("make", "xz-utils", "libffi-dev", "libsqlite3-dev", "libssl-dev", "zlib1g-dev")
BUILD = f"""\
set -e
mkdir -p /opt/source /opt/made
cd /opt/source
tar -x -f "$0" --strip-components=1
./configure -q --disable-gil --disable-test-modules --with-ensurepip=no CFLAGS=-g0
make -s -j"$1"
make -s install DESTDIR=/opt/made
PYTHONHOME=/opt/made/usr/local /opt/made{PYTHON} -c 'import ctypes, sqlite3, ssl, zlib'
"""
NEEDS = ("gcc", "libc6-dev", "libffi8", "libsqlite3-0", "libssl3t64", "zlib1g")
"""To run it, and to build what pip installs."""
TRIAL = Path(__file__).with_name("threads.py")


def check_free_threaded(machinery: Machinery, sdist: Path) -> None:
    """pip builds it; it leaves the GIL off, and is right without; uninstalled without a trace."""
    version = sdist.name.removesuffix(".tar.gz").split("-")[1]
    built = build_python(machinery)
    with bare(machinery, SUITE) as root:
        root.apt("update")
        root.apt("install", *NEEDS)
        with tarfile.open(built) as archive:
            archive.extractall(root.path, filter="tar")
        root.run(PYTHON, "-m", "compileall", "-q", f"/usr/local/lib/python{NUMBER}t")
        house = root.path / "w"
        house.mkdir()
        shutil.copy(sdist, house)
        download(machinery, sdist, house)
        shutil.copy(TRIAL, root.path / "tmp")
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w"}

        def under_threads() -> None:
            # A module that does not say that it needs no GIL turns it on.
            said = root.run("/opt/v/bin/python", "-W", "error", f"/tmp/{TRIAL.name}")
            if said != "GIL off: right\n":
                raise RuntimeError(f"{TRIAL.name} without the GIL: {said}")

        try_pip(root, PYTHON, version, offline, "pip, built here", under_threads)


def download(machinery: Machinery, sdist: Path, where: Path) -> None:
    """What the sdist needs, to build and to run, but for orjson."""
    with tarfile.open(sdist) as archive:
        top = sdist.name.removesuffix(".tar.gz")
        project, info = (
            archive.extractfile(f"{top}/{name}").read().decode()  # type: ignore[union-attr]
            for name in ("pyproject.toml", "PKG-INFO")
        )
    wanted = tomllib.loads(project)["build-system"]["requires"]
    needed = [line.partition(": ")[2] for line in info.splitlines() if "Requires-Dist" in line]
    wanted += [each for each in needed if ";" not in each and not each.startswith("orjson")]
    platforms = [f"--platform=manylinux{each}_x86_64" for each in ("2014", "_2_17", "_2_28")]
    words = [f"--python-version={NUMBER}", "--implementation=cp", *platforms]
    words.append(f"--abi=cp{NUMBER.replace('.', '')}t")
    index.download(machinery.python, where, *words, *wanted)


def build_python(machinery: Machinery) -> Path:
    """An archive with it below usr/local, kept for the next time."""
    recipe = hashlib.sha256(f"{SOURCE} {SHA256} {BUILD_NEEDS} {BUILD}".encode()).hexdigest()[:12]
    kept = machinery.cache / f"python{NUMBER}t-{recipe}.tar.gz"
    if not kept.exists():
        with bare(machinery, SUITE) as root:
            root.apt("update")
            root.apt("install", *NEEDS, *BUILD_NEEDS)
            root.run("sh", "-c", BUILD, fetch_source(root), str(os.cpu_count() or 1))
            made = kept.with_suffix(".part")
            run(["tar", "-c", "-z", "-C", root.path / "opt/made", "-f", made, "usr"])
            made.replace(kept)
    return kept


def fetch_source(root: Root) -> str:
    """The archive in the root: the one named here, or the suite's, once the mirror has no other."""
    path = f"/opt/{Path(SOURCE).name}"
    helper = "/usr/lib/apt/apt-helper"
    try:
        root.run(helper, "download-file", f"{mirror()}/{SOURCE}", path, f"SHA256:{SHA256}")
        return path
    except RuntimeError:
        with_sources(root)
    words = ("source", "--download-only", "--tar-only", f"python{NUMBER}")
    try:
        root.run("sh", "-c", 'cd /opt && exec apt-get -qq "$@"', "sh", *words)
    except RuntimeError as error:
        raise RuntimeError(
            f"no source of Python {NUMBER}: the mirror has neither {Path(SOURCE).name}"
            f" nor what the index of {SUITE} lists"
        ) from error
    (found,) = (root.path / "opt").glob("*.orig.tar.*")
    return f"/opt/{found.name}"
