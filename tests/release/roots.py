"""Bare roots of Debian: installing in them, and what is left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .carried import GNU, unpack_python
from .index import download, pip
from .machines import Machinery

# What apt, dpkg, rpm and the packages that allocq needs keep for themselves.
OTHERS = re.compile(
    r"/(var/(cache|log|lib/(apt|dpkg|rpm|systemd|python))|proc|sys|dev|tmp|root|w)(/|$)|/etc/hosts$"
)
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

_once = threading.Lock()
"""What one makes, the others wait for."""

# Its /proc is there only while the command runs.
_ENTER = (
    "unshare", "--mount", "sh", "-c",
    'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"',
)  # fmt: skip


class Root:
    """A directory to chroot to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *words: str, fails: bool | None = False, **more: str) -> str:
        """Run a command in it; returns its standard output. fails: None, it may. RuntimeError."""
        done = subprocess.run(
            [*_ENTER, str(self.path), *words],
            env={**ENVIRONMENT, **more}, cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="surrogateescape",
        )  # fmt: skip
        if fails is not None and (done.returncode != 0) != fails:
            raise RuntimeError(
                f"{self.path.name}: {' '.join(words)}: {done.returncode}\n"
                f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done.stdout

    def apt(self, *words: str) -> None:
        """A mirror may be some weeks behind."""
        stale = ("-o", "Acquire::Check-Valid-Until=false")
        self.run("apt-get", "-y", "-qq", "--no-install-recommends", *stale, *words)

    def paths(self) -> set[str]:
        """What is in it."""
        found = set()
        for folder, folders, files in os.walk(self.path):
            place = "/" + os.path.relpath(folder, self.path).removeprefix(".").lstrip("/")
            folders[:] = [name for name in folders if not OTHERS.match(os.path.join(place, name))]
            found |= {os.path.join(place, name) for name in (*folders, *files)}
        return {path for path in found if not OTHERS.match(path)}


def debootstrap(
    machinery: Machinery, suite: str, deb: str = "", include: Sequence[str] = ()
) -> Path:
    """A minimal root, kept for the next time. Of another machine, its packages are only there."""
    place = machinery.cache / "roots" / "-".join(filter(None, (suite, deb)))
    done = place.with_suffix(".complete")
    with _once:
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(exist_ok=True)
            words = ["debootstrap", "--variant=minbase"]
            words += ["--foreign", f"--arch={deb}"] if deb else []
            words += [f"--include={','.join(include)}"] if include else []
            # An older debootstrap does not know the name of a newer suite.
            run([*words, suite, str(place), mirror(), "/usr/share/debootstrap/scripts/sid"])
            done.touch()
    return place


def with_sources(root: Root) -> None:
    """From now on, its apt knows the sources of packages too."""
    listed = root.path / "etc/apt/sources.list"
    listed.write_text(listed.read_text() + listed.read_text().replace("deb ", "deb-src "))
    root.apt("update")


def mirror() -> str:
    """Where this machine's apt gets Debian's packages. RuntimeError if it has none of Debian."""
    of_debian = ("Origin: Debian", "Label: Debian")
    sites = run(["apt-get", "indextargets", "--format", "$(SITE)", *of_debian]).split()
    if not sites:
        raise RuntimeError("apt knows no mirror of Debian: bare roots need one")
    return sites[0]


def run(words: Sequence[str | Path]) -> str:
    """Run a command of this machine; returns its standard output. RuntimeError."""
    done = subprocess.run(
        words, capture_output=True, text=True, errors="surrogateescape", stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, words))}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return done.stdout


@contextmanager
def bare(machinery: Machinery, suite: str) -> Iterator[Root]:
    """A fresh copy of a suite's root."""
    made = debootstrap(machinery, suite)
    with tempfile.TemporaryDirectory(dir=machinery.scratch, prefix=f"{suite}-") as scratch:
        place = Path(scratch) / suite
        run(["cp", "-a", made, place])
        yield Root(place)


def works(root: Root, command: str, how: str, version: str) -> None:
    """Assert that this allocq is whole. how: it was installed."""
    said = root.run(command, "--version")
    if said != f"allocq {version} ({how})\n":
        raise RuntimeError(f"{root.path.name}: {said!r}, not {how!r}")
    for words, answer in (
        (("query", "--sample", "--file", "rapl.c", "--count"), "2\n"),
        (("query", "--sample", "-e", "rapl", "--count"), "2\n"),
        (("query", "--sample", "-f", "rapl.c", "-o", "json"), '"tags": 2'),
        (("query", "--sample", "-f", "rapl.c", "-o", "table"), "rapl"),
        (("report", "--sample"), "<html"),
        (("tree", "--sample", "-n", "1"), "mm/"),
        (("query", "--help"), "--min-size"),
    ):
        said = root.run(command, *words)
        if answer.replace(" ", "") not in said.replace(" ", ""):
            raise RuntimeError(f"{root.path.name}: {command} {' '.join(words)}: {said[-300:]!r}")
    # Its exit status is about this kernel.
    said = root.run(command, "doctor", fails=None)
    if f" {how}\n" not in said or f"allocq {version}," not in said:
        raise RuntimeError(f"{root.path.name}: doctor: {said}")
    # The Typer app, for what the plain reader leaves.
    root.run(command, "query", "--sample", "--no-such", fails=True)


def is_empty(path: Path) -> bool:
    """Is it a directory without a file below it?"""
    return path.is_dir() and not any(
        each.is_symlink() or each.is_file() for each in path.rglob("*")
    )


def left_behind(root: Root, before: set[str]) -> None:
    """Assert that everything is as it was. pip leaves directories, empty."""
    after = root.paths()
    added = {path for path in after - before if not is_empty(root.path / path[1:])}
    lost = before - after
    if added or lost:
        raise RuntimeError(f"{root.path.name}: left {sorted(added)[:20]}, lost {sorted(lost)[:20]}")


def check_deb(machinery: Machinery, suite: str, deb: Path) -> None:
    """apt install ./x.deb, use it, reinstall it, purge it."""
    version = deb.name.split("_")[1].removesuffix("-1")
    with bare(machinery, suite) as root:
        before = root.paths()
        root.apt("update")
        shutil.copy(deb, root.path / "tmp")
        root.apt("install", f"/tmp/{deb.name}")
        works(root, "allocq", "deb", version)
        root.run("dpkg", "-V", "allocq")
        root.apt("install", "--reinstall", f"/tmp/{deb.name}")
        works(root, "allocq", "deb", version)
        (root.path / "var" / "lib" / "allocq").mkdir()
        root.apt("purge", "--autoremove", "allocq")
        left_behind(root, before)


def check_rpm(machinery: Machinery, suite: str, rpm: Path) -> None:
    """The same with rpm, in a root of Debian: what it needs is there under other names."""
    version = rpm.name.split("-")[1]
    with bare(machinery, suite) as root:
        root.apt("update")
        root.apt("install", "python3")
        before = root.paths()
        words = ["rpm", "--root", str(root.path)]
        run([*words, "--initdb"])
        run([*words, "--nodeps", "-U", str(rpm)])
        works(root, "allocq", "rpm", version)
        run([*words, "-V", "--nodeps", "allocq"])
        run([*words, "-e", "allocq"])
        left_behind(root, before)


def lint_rpm(machinery: Machinery, suite: str, rpm: Path, settings: str) -> None:
    """rpmlint has no error and no warning but those that the settings explain."""
    with bare(machinery, suite) as root:
        root.apt("update")
        root.apt("install", "rpmlint", "rpm")
        shutil.copy(rpm, root.path / "tmp")
        (root.path / "tmp" / "settings.toml").write_text(settings)
        said = root.run("rpmlint", "-c", "/tmp/settings.toml", f"/tmp/{rpm.name}")
        if not re.search(r" 0 errors, 0 warnings", said):
            raise RuntimeError(said)


PYTHONS = {
    "bookworm": ("python3.11", GNU.name),
    "trixie": ("python3.13",),
    "forky": ("python3.14",),
}
"""Debian's, and the one that no suite of it has."""


def check_wheel(machinery: Machinery, suite: str, wheel: Path) -> None:
    """pip and pipx, without an index: what they need lies beside the wheel."""
    version = wheel.name.split("-")[1]
    with bare(machinery, suite) as root:
        root.apt("update")
        of_debian = [f"{python}-venv" for python in PYTHONS[suite] if python != GNU.name]
        root.apt("install", "pipx", *of_debian)
        house = root.path / "w"
        house.mkdir()
        shutil.copy(wheel, house)
        for python in PYTHONS[suite]:
            number = python.removeprefix("python")
            wanted = [str(wheel), "pip", "setuptools", "wheel"]
            platforms = [
                f"--platform=manylinux{each}_x86_64" for each in ("2014", "_2_17", "_2_28")
            ]
            version_of = f"--python-version={number}"
            download(machinery.python, house, version_of, *platforms, *wanted)
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w"}
        for python in PYTHONS[suite]:
            command = python
            if python == GNU.name:
                unpack_python(machinery, GNU, root.path / "usr/local")
                command = f"/usr/local/bin/{python}"
                root.run(command, "-m", "compileall", "-q", f"/usr/local/lib/{python}")
            try_pip(root, command, version, offline)
            shutil.rmtree(root.path / "opt" / "v")
            root.run("pipx", "install", "--python", command, "allocq", **offline)
            works(root, "/root/.local/bin/allocq", "pipx, wheel", version)
            root.run("pipx", "uninstall", "allocq", **offline)
            home = root.path / "root"
            left = [path for path in home.rglob("*allocq*") if "log" not in str(path)]
            if left:
                raise RuntimeError(f"pipx: left {left}")


def try_pip(
    root: Root,
    python: str,
    version: str,
    offline: Mapping[str, str],
    how: str = "pip, wheel",
    use: Callable[[], None] = lambda: None,
) -> None:
    """Install with pip in /opt/v, use, uninstall.

    offline: where pip finds what it needs. how: allocq says that it was installed. use: more use.
    """
    root.run(python, "-m", "venv", "/opt/v")
    before = root.paths()
    root.run("/opt/v/bin/pip", "install", "-q", "allocq", **offline)
    works(root, "/opt/v/bin/allocq", how, version)
    use()
    frozen = root.run("/opt/v/bin/pip", "freeze").splitlines()
    names = [line.partition("==")[0].partition(" @ ")[0] for line in frozen]
    root.run("/opt/v/bin/pip", "uninstall", "-q", "-y", *names)
    left_behind(root, before)


def install_here(machinery: Machinery, output: Path) -> Path:
    """An environment of this machine with the release in it, to compare with."""
    place = machinery.scratch / "here"
    with _once:
        if not place.exists():
            run([machinery.python, "-m", "venv", place])
            pip(place / "bin" / "python", "install", "--find-links", output, "allocq")
    return place
