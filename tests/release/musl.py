"""The musllinux wheel in a root with nothing of glibc: Alpine's Python, which a wheel carries,
Debian's musl to run it, and of the libraries that Python was built with the one that pip needs."""

from __future__ import annotations

import shutil
from pathlib import Path

from .carried import MUSL, unpack_python
from .compilers import compiler
from .index import download
from .machines import Machine, Machinery
from .roots import Root, bare, run, try_pip, with_sources
from .wheels import run as run_tool

PYTHON = MUSL.name
SUITE = "trixie"
"""Its musl is 1.2.5, as Alpine's is that Python was built with."""
PATH = "/lib\n/usr/local/lib\n"


def check_musl(machinery: Machinery, machine: Machine, wheel: Path) -> None:
    """Install with pip, use, uninstall. Raises RuntimeError."""
    version = wheel.name.split("-")[1]
    with bare(machinery, SUITE) as debian:
        root = Root(debian.path.parent / "musl")
        prepare(machinery, machine, debian, root)
        house = root.path / "w"
        house.mkdir()
        shutil.copy(wheel, house)
        platforms = [f"--platform=musllinux_1_{number}_{machine.name}" for number in (1, 2)]
        version_of = f"--python-version={PYTHON[6:]}"
        download(machinery.python, house, version_of, *platforms, wheel)
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w"}
        python = f"/usr/local/bin/{PYTHON}"
        root.run(python, "-m", "compileall", "-q", f"/usr/local/lib/{PYTHON}")
        try_pip(root, python, version, offline)


def prepare(machinery: Machinery, machine: Machine, debian: Root, root: Root) -> None:
    """Python in /usr/local, musl and zlib in /lib."""
    library = root.path / "usr" / "lib"
    for place in (library, *(root.path / name for name in ("proc", "tmp", "root", "etc"))):
        place.mkdir(parents=True)
    (root.path / "lib").symlink_to("usr/lib")
    unpack_python(machinery, MUSL, root.path / "usr" / "local")
    with_sources(debian)
    place = debian.path / "opt" / "z"
    place.mkdir()
    fetch = ("sh", "-c", 'cd /opt/z && exec apt-get -qq "$@"', "sh")
    debian.run(*fetch, "download", "musl")
    debian.run(*fetch, "source", "--download-only", "--tar-only", "zlib")
    (archive,) = place.glob("musl_*.deb")
    run(["dpkg-deb", "--extract", archive, place / "musl"])
    (loader,) = place.glob("musl/usr/lib/*/libc.so")
    for name in (f"ld-musl-{machine.name}.so.1", f"libc.musl-{machine.name}.so.1"):
        shutil.copy(loader, library / name)
    (root.path / "etc" / f"ld-musl-{machine.name}.path").write_text(PATH)
    (source,) = place.glob("zlib_*.orig.tar.*")
    run(["tar", "-x", "-C", place, "--strip-components=1", "-f", source])
    words = ["-O2", "-fPIC", "-shared", "-DHAVE_UNISTD_H", "-Wl,-soname,libz.so.1"]
    cc = compiler(machinery, machine, "musl")
    run_tool(machinery, [cc, *words, *place.glob("*.c"), "-o", library / "libz.so.1"])
