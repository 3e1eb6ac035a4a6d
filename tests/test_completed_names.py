"""Tab completes the kernel's names: `allocq __complete`, and the shells that ask it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import tagcache
from command import FRONT
from oracle import HEADER
from test_completions import COMPLETIONS, SHOW, Terminal, needs

pytestmark = pytest.mark.skipif(not FRONT.exists(), reason="allocq is not installed beside Python")

NOBODY = 65534
TEXT = HEADER + b"".join(
    b"          16        1 %s \n" % tag
    for tag in (
        b"mm/slub.c:3347 func:alloc_slab_page",
        b"mm/slub.c:3345 func:alloc_slab_page",
        b"mm/slub.c:12 func:slab_unique",
        b"mm/slab_common.c:7 func:kmem_cache_create",
        b"fs/xfs/xfs_buf.c:7 [xfs] func:xfs_buf_alloc",
        b"fs/xfs/libxfs/xfs_ag.c:9 [xfs] func:xfs_perag_alloc",
        b"fs/file_table.c:3 func:alloc_file",
        b"odd\x01/name.c:1 func:odd\x7fname",
    )
)
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def cache(boot: str = BOOT, text: bytes = TEXT) -> bytes:
    costs = b" ".join(b"%s=1" % name.encode() for name in tagcache.COSTS)
    head = b"%s boot=%s content=5 bytes=%d %s" % (
        tagcache.FORMAT, boot.encode(), len(text), costs,
    )  # fmt: skip
    return tagcache.sealed(head, text)


class Place:
    """A home of its own for a user who is not root: the program, the tag cache, saved listings."""

    def __init__(self, root: Path) -> None:
        self.root, self.run, self.home = root, root / "run", root / "home"
        self.user = NOBODY if os.geteuid() == 0 else os.geteuid()
        (root / "bin").mkdir()
        self.home.mkdir()
        shutil.copy(FRONT, root / "bin" / "allocq")
        for name in ("python", "python3"):
            (root / "bin" / name).write_text("#!/bin/sh\necho STARTED >&2\nexit 99\n")
            (root / "bin" / name).chmod(0o755)
        (self.home / "one snapshot.txt").write_bytes(TEXT)
        (self.home / "notes.txt").write_bytes(b"not a listing\n")
        (self.home / "saved").mkdir()
        (self.home / "saved" / "packed.gz").write_bytes(b"\x1f\x8b\x08")
        self.own(self.home)

    def own(self, path: Path) -> None:
        for each in (path, *path.rglob("*")):
            os.chown(each, self.user, -1)

    def keep(self, data: bytes | None) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        folder = self.run / "allocq"
        folder.mkdir(parents=True)
        if data is not None:
            (folder / "names").write_bytes(data)
            (folder / "names").chmod(0o600)
        folder.chmod(0o700)
        self.own(self.run)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.run),
            "XDG_DATA_DIRS": str(self.root),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        }

    def ask(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.environment, cwd=self.home,
            user=self.user, extra_groups=[] if os.geteuid() == 0 else None,
        )  # fmt: skip

    def names(self, kind: str, prefix: str = "") -> list[str]:
        done = self.ask("allocq", "__complete", kind, prefix)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        place = Place(Path(root))
        place.keep(cache())
        yield place


LOADED = {
    line.split()[0]
    for line in (
        Path("/proc/modules").read_text() if Path("/proc/modules").exists() else ""
    ).splitlines()
}


@pytest.mark.parametrize(
    ("kind", "prefix", "names"),
    [
        ("files", "", ["fs/", "mm/"]),
        ("files", "mm/", ["mm/slab_common.c", "mm/slub.c"]),
        ("files", "mm/slu", ["mm/slub.c"]),
        ("files", "slu", ["slub.c"]),
        ("files", "fs/", ["fs/file_table.c", "fs/xfs/"]),
        ("files", "fs/xfs/", ["fs/xfs/libxfs/", "fs/xfs/xfs_buf.c"]),
        ("files", "mm/slub.c:", ["mm/slub.c:12", "mm/slub.c:3345", "mm/slub.c:3347"]),
        ("files", "slub.c:33", ["slub.c:3345", "slub.c:3347"]),
        ("files", "nothing", []),
        ("functions", "alloc_", ["alloc_file", "alloc_slab_page"]),
        ("functions", "alloc_s", ["alloc_slab_page"]),
        ("words", "xfs_b", ["xfs_buf.c", "xfs_buf_alloc"]),
        ("words", "xf", ["xfs", "xfs_ag.c", "xfs_buf.c", "xfs_buf_alloc", "xfs_perag_alloc"]),
        ("words", "[x", ["[xfs]"]),
        ("modules", "xf", ["xfs"]),
        ("modules", "[", sorted({f"[{name}]" for name in {"xfs", *LOADED}})),
        ("modules", "", sorted({"xfs", *LOADED})),
        ("snapshots", "", ["one snapshot.txt", "saved/"]),
        ("snapshots", "one", ["one snapshot.txt"]),
        ("snapshots", "saved/", ["saved/packed.gz"]),
        ("snapshots", "no/such/place", []),
        ("unheard", "", sorted(LOADED)),
    ],
    ids=str,
)
def test_names_by_kind(place: Place, kind: str, prefix: str, names: list[str]) -> None:
    found = place.names(kind, prefix)
    if kind in ("words", "modules") and "[" not in prefix:
        found = [name for name in found if name in names or name not in LOADED]
    assert found == names


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        TEXT,
        cache(boot="00000000-0000-0000-0000-000000000000"),
        cache().replace(b"slub", b"evil"),
        cache()[:-1],
        cache(text=b"\0\n"),
        os.urandom(4096),
    ],
    ids=["none", "empty", "no head", "other boot", "forged", "cut", "no tags", "noise"],
)
def test_a_cache_that_cannot_be_trusted_has_no_names(place: Place, data: bytes | None) -> None:
    try:
        place.keep(data)
        assert place.names("files") == []
        assert place.names("functions", "alloc") == []
    finally:
        place.keep(cache())


def test_a_cache_that_others_may_write_has_no_names(place: Place) -> None:
    try:
        (place.run / "allocq").chmod(0o777)
        assert place.names("files") == []
    finally:
        (place.run / "allocq").chmod(0o700)
    assert place.names("files") == ["fs/", "mm/"]


def test_what_is_no_file_does_not_stop_it(place: Place) -> None:
    os.mkfifo(place.home / "pipe")
    try:
        assert "pipe" not in place.names("snapshots")
    finally:
        (place.home / "pipe").unlink()


def test_a_full_or_closed_output_is_silent(place: Place) -> None:
    for script in ("allocq __complete files '' >/dev/full", "allocq __complete files '' >&-"):
        assert place.ask("sh", "-c", script).stderr == ""


LINES = (
    ("allocq query -f mm/slu", ["query", "-f", "mm/slub.c"]),
    ("allocq query -f slub.c:12", ["query", "-f", "slub.c:12"]),
    ("allocq query -f mm/slub.c:1", ["query", "-f", "mm/slub.c:12"]),
    ("allocq query --file=mm/slub.c:1", ["query", "--file=mm/slub.c:12"]),
    ("allocq query -x fs/xfs/x", ["query", "-x", "fs/xfs/xfs_buf.c"]),
    ("allocq query -F slab_u", ["query", "-F", "slab_unique"]),
    ("allocq query --function=alloc_s", ["query", "--function=alloc_slab_page"]),
    ("allocq tree -m xf", ["tree", "-m", "xfs"]),
    ("allocq query -m [xf", ["query", "-m", "[xfs]"]),
    ("allocq query slab_u", ["query", "slab_unique"]),
    ("allocq query one", ["query", "one snapshot.txt"]),
    ("allocq tree fs/xfs/x", ["tree", "fs/xfs/xfs_buf.c"]),
    ("allocq diff one", ["diff", "one snapshot.txt"]),
    ("allocq diff saved/p", ["diff", "saved/packed.gz"]),
    ("allocq diff not", ["diff", "notes.txt"]),
)


def terminal(place: Place, argv: list[str], env: dict[str, str]) -> Terminal:
    demoted = ["setpriv", f"--reuid={place.user}", "--clear-groups", *argv]
    found = Terminal(demoted if os.geteuid() == 0 else argv, env, place.home)
    found.until("ready> ")
    return found


def test_bash(place: Place) -> None:
    needs("bash")
    rc = place.root / "bashrc"
    rc.write_text(f"source '{place.root}/allocq.bash'\n{SHOW}\nPS1='ready> '\n")
    shutil.copy(COMPLETIONS / "allocq.bash", place.root)
    shell = terminal(place, ["bash", "--noprofile", "--rcfile", str(rc), "-i"], place.environment)
    for line, words in LINES:
        assert shell.ask(f"{line}\t") == words
    assert shell.ask("allocq query -f m\tslu\tx") == ["query", "-f", "mm/slub.c", "x"]
    shell.close()


def test_zsh(place: Place) -> None:
    needs("zsh")
    functions = place.root / "functions"
    functions.mkdir()
    shutil.copy(COMPLETIONS / "_allocq", functions)
    (place.root / ".zshrc").write_text(
        f"fpath=({functions} $fpath)\nautoload -Uz compinit\ncompinit -u -D\n"
        f"PS1='ready> '\nsetopt no_beep no_nomatch\nunset zle_bracketed_paste\n{SHOW}\n"
    )
    shell = terminal(place, ["zsh", "-i"], {**place.environment, "ZDOTDIR": str(place.root)})
    for line, words in LINES:
        # zsh takes a bare [ for a pattern.
        assert shell.ask(line.replace("[", "\\[") + "\t") == words
    assert shell.ask("allocq query -m '[xf\t")[-1] == "[xfs]"
    assert shell.ask("allocq query -f m\tslu\tx") == ["query", "-f", "mm/slub.c", "x"]
    shell.close()


def test_fish(place: Place) -> None:
    needs("fish")
    shutil.copy(COMPLETIONS / "allocq.fish", place.root)
    script = [f"source '{place.root}/allocq.fish'"]
    for line, _ in LINES:
        script += [f"complete -C '{line}'", "echo --end--"]
    done = place.ask("fish", "--no-config", "-c", "\n".join(script))
    assert (done.returncode, done.stderr) == (0, "")
    answers = done.stdout.split("--end--\n")
    for (line, words), answer in zip(LINES, answers[:-1], strict=True):
        offered = [each.partition("\t")[0].replace("\\", "") for each in answer.splitlines()]
        assert words[-1] in offered, line


def test_nothing_is_on_standard_error_without_names(place: Place) -> None:
    """Nor where allocq is not installed at all."""
    place.keep(None)
    (place.root / "bin" / "allocq").rename(place.root / "allocq.away")
    try:
        for shell, script in (
            (
                "bash",
                f"source '{COMPLETIONS}/allocq.bash'; COMP_WORDS=(allocq query -f m); COMP_CWORD=3;"
                " _allocq; COMP_WORDS=(allocq query m); COMP_CWORD=2; _allocq",
            ),
            ("fish", f"source '{COMPLETIONS}/allocq.fish'; complete -C 'allocq query -f m'"),
        ):
            needs(shell)
            copy = place.root / Path(script.split("'")[1]).name
            shutil.copy(script.split("'")[1], copy)
            done = place.ask(shell, "-c", script.replace(script.split("'")[1], str(copy)))
            assert done.stderr == "", shell
    finally:
        (place.root / "allocq.away").rename(place.root / "bin" / "allocq")
        place.keep(cache())
