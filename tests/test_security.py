"""Run as root where others may write, on what others may have written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import termios
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import _cffi_backend
import oracle
import pytest
import tagcache
from command import ALLOCQ, FRONT, MODULE, Result, query, refused, saved

import allocq
from allocq.core.binding import ffi, lib
from allocq.core.kernel import boot_id, cache_directory

PACKAGE = Path(allocq.__file__).parent
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

# Names that a terminal would act on: colors, titles, the clipboard, the cursor, C1, directions.
EVIL = (
    "\x1b[2J\x1b[31m",
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0=\x1b\\",
    "\rover",
    "\x08\x08\x7f",
    "\x9b31m\x9d0;t\x9c",
    "\u202egpj.\u202c",
    "\u2066\u2069\u200f\u061c\ufeff",
    "\udcff\udc9b\udcc3",
    "a\tb\x0bc\x0cd",
)


def evil_text() -> bytes:
    lines = [
        f"{10 + i:12d} {1:8d} mm/{name}.c:{i + 1} [m{name.replace(' ', '')}] func:f{name} \n"
        for i, name in enumerate(EVIL)
    ]
    return oracle.HEADER + "".join(lines).encode("utf-8", "surrogateescape")


def acts_on(text: str) -> str:
    """What of a text a terminal would not simply show; newlines are fine."""
    return "".join(
        c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )


def on_terminal(*argv: str, cwd: Path | None = None) -> tuple[int, bytes]:
    """`allocq ARGV` with a terminal as its standard output and error: what that is sent."""
    ours, theirs = pty.openpty()
    mode = termios.tcgetattr(theirs)
    mode[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, mode)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x18\x00\x50\x00\x00\x00\x00\x00")
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [*ALLOCQ, *argv], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=cwd, env=env
    )
    os.close(theirs)
    sent = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # Linux says EIO when the other side is gone
            break
        if not piece:
            break
        sent += piece
    os.close(ours)
    return process.wait(), sent


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("-g", "file"),
        ("-g", "function", "-o", "json"),
        ("-o", "json"),
        ("-o", "jsonl"),
        ("--explain", "-F", EVIL[6], "-o", "json"),
    ],
)
def test_nothing_in_names_reaches_a_terminal_unescaped(argv: Sequence[str]) -> None:
    with saved(evil_text()) as path:
        fd = int(path.rpartition("/")[2])
        where = f"/proc/{os.getpid()}/fd/{fd}"
        status, sent = on_terminal("query", "--source", where, *argv, "--color", "never")
    text = sent.decode()  # valid UTF-8, so no byte that is a C1 control by itself
    assert status == 0 and len(text) > 50
    assert acts_on(text) == ""


def test_only_our_own_colors_reach_a_terminal() -> None:
    with saved(evil_text()) as path:
        where = f"/proc/{os.getpid()}/fd/{path.rpartition('/')[2]}"
        status, sent = on_terminal("query", "--source", where)
    text = re.sub("\x1b\\[[0-9]*m", "", sent.decode())
    assert status == 0 and "\x1b" in sent.decode() and acts_on(text) == ""
    assert "\\x1b[2J" in text


def test_a_diff_shows_names_and_notes_escaped(tmp_path: Path) -> None:
    note = "# allocq-snapshot: 1\n# host: \x1b[31mh\u202e\n# kernel: \x9b5n\n# boot-id: \x07\n"
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(oracle.HEADER + note.encode() + evil_text()[len(oracle.HEADER) :])
    after.write_bytes(evil_text().replace(b"        1 mm", b"        3 mm").replace(b"  1", b" 91"))
    for format in ("table", "json"):
        status, sent = on_terminal(
            "diff", str(before), str(after), "--color", "never", "-o", format
        )
        assert status == 0, sent
        assert acts_on(sent.decode()) == "" and len(sent) > 100


@pytest.mark.parametrize("evil", EVIL)
def test_complaints_show_what_was_given_escaped(evil: str, tmp_path: Path) -> None:
    name = evil.replace("/", "_")
    bad = tmp_path / f"bad{name}"
    bad.write_text("nothing of the kind\n")
    for argv in (
        ("query", "--source", f"/no/such/{evil}"),
        ("query", "--source", str(bad)),
        ("query", "--sample", "-e", f"({evil}"),
        ("query", "--sample", "--min-size", f"1{evil}"),
        ("query", "--sample", "-o", evil),
        ("query", f"--x{evil}"),
        ("query", evil),
        (evil,),
        ("snapshot", "--sample", "--output", f"{tmp_path}/none/{evil}"),
        ("diff", f"/no/{evil}", str(bad)),
    ):
        status, sent = on_terminal(*argv)
        assert status == 2 and sent.startswith(b"allocq: "), (argv, sent)
        assert acts_on(sent.decode()) == "", argv
        assert sent.count(b"\n") <= 2


def test_data_formats_keep_the_bytes_they_were_given() -> None:
    lines = evil_text()[len(oracle.HEADER) :]
    result = query(evil_text(), "-o", "procfs")
    assert (result.status, result.out) == (0, lines)


# What others have put where it runs


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A directory in which everything that Python might import leaves a mark."""
    folder = tmp_path / "traps"
    folder.mkdir()
    mark = tmp_path / "trapped"
    code = f"import posix\nposix.close(posix.open({str(mark)!r} + '-' + __name__, 65, 0o600))\n"
    others = (
        "typer",
        "click",
        "rich",
        "orjson",
        "cffi",
        "_cffi_backend",
        "shellingham",
        "zstandard",
    )
    for name in {*sys.stdlib_module_names, *others, "usercustomize", "sitecustomize", "allocq"}:
        (folder / f"{name}.py").write_text(code)
    (folder / "allocq.pth").write_text(f"import posix; posix.mkdir({str(mark)!r} + '-pth')\n")
    (folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    return folder


def sprung(traps: Path) -> list[str]:
    return sorted(path.name for path in traps.parent.glob("trapped*"))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An installation like pip's, with links to what this Python runs allocq from."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = tmp_path / "prefix" / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (tmp_path / "prefix" / "bin").mkdir()
    for package in (PACKAGE, Path(_cffi_backend.__file__)):
        (site / package.name).symlink_to(package)
    for package in Path(pytest.__file__).parents[1].iterdir():
        if not (site / package.name).exists() and package.suffix != ".pth":
            (site / package.name).symlink_to(package)
    command = tmp_path / "prefix" / "bin" / "allocq"
    shutil.copy(FRONT, command)
    (command.parent / version).symlink_to(Path(sys.executable).resolve())
    (command.parent / "python3").symlink_to(version)
    return command


COMMANDS = (
    ("query", "--sample", "-f", "fs/*"),
    ("query", "--sample", "-e", "xfs", "-o", "json"),
    ("query", "--sample", "-o", "table", "-g", "file"),
    ("query", "--help"),
    ("snapshot", "--sample"),
    ("query", "--nonsense"),
)


@pytest.mark.parametrize("argv", COMMANDS)
def test_the_command_imports_nothing_of_others(
    installed: Path, traps: Path, argv: Sequence[str]
) -> None:
    env = {
        **os.environ,
        "PYTHONPATH": str(traps),
        "PYTHONSTARTUP": str(traps / "allocq.py"),
        "PYTHONUSERBASE": str(traps),
        "HOME": str(traps),
    }
    done = subprocess.run([installed, *argv], cwd=traps, env=env, capture_output=True)
    assert done.returncode == (2 if "--nonsense" in argv else 0), done.stderr
    assert done.stdout or done.stderr.startswith(b"allocq: ")
    assert sprung(traps) == []


@pytest.mark.parametrize("argv", COMMANDS)
def test_python_m_imports_nothing_from_the_current_directory(
    traps: Path, argv: Sequence[str]
) -> None:
    """But for what Python itself looks for there, before allocq begins."""
    code = "import sys; before = sorted(sys.modules); print('\\n'.join(before))"
    (traps / "first").mkdir()
    (traps / "first" / "told.py").write_text(code)
    told = subprocess.run(
        [sys.executable, "-m", "told"], cwd=traps / "first", capture_output=True, text=True
    )
    for name in {*told.stdout.split(), "allocq", "runpy", "pkgutil", "importlib"}:
        (traps / f"{name}.py").unlink(missing_ok=True)
    assert (traps / "typer.py").exists() and (traps / "orjson.py").exists()
    done = subprocess.run([*MODULE, *argv], cwd=traps, capture_output=True)
    assert done.returncode == (2 if "--nonsense" in argv else 0), done.stderr
    assert sprung(traps) == []


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_the_command_opens_nothing_in_the_current_directory(
    installed: Path, traps: Path, tmp_path: Path
) -> None:
    log = tmp_path / "strace"
    for argv in COMMANDS[:3]:
        subprocess.run(
            ["strace", "-f", "-e", "trace=%file", "-o", log, installed, *argv],
            cwd=traps,
            check=True,
            capture_output=True,
        )
        begin = r'\b(?:open\(|openat\(AT_FDCWD, |execve\()"([^"]*)"'
        opened = re.findall(begin, log.read_text())
        assert any(path.endswith("/allocq/sample.txt") for path in opened)
        assert not [path for path in opened if path[:1] != "/" or path.startswith(str(traps))]


# The tag cache

NOBODY = 65534
COSTS = dict(zip(tagcache.COSTS, (1, 2, 3, 4, 5, 6), strict=True))
TEXT = oracle.HEADER + b"        4096        1 mm/slub.c:12 func:alloc_slab_page \n"


@contextlib.contextmanager
def user(uid: int) -> Iterator[None]:
    """Be somebody else, if that is possible."""
    before = os.geteuid()
    if before != uid and os.getuid() == 0:
        os.seteuid(0)
        os.seteuid(uid)
    try:
        yield
    finally:
        if os.geteuid() != before:
            os.seteuid(0)
            os.seteuid(before)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tag cache's directory, with something in the cache. Root, whose directory is /run/allocq,
    becomes somebody else."""
    with tempfile.TemporaryDirectory() as place:
        if os.geteuid() == 0:
            os.chown(place, NOBODY, NOBODY)
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        with user(os.getuid() or NOBODY):
            assert not is_used()
            save()
            assert is_used()
            yield Path(place, "allocq")


def save(content: int = 5, text: bytes = TEXT) -> None:
    lib.aq_cache_save(content, text, len(text), ffi.new("aq_costs *", COSTS))


def is_used(content: int = 5) -> bool:
    costs = ffi.new("aq_costs *")
    fits = bool(lib.aq_cache_fits(content, costs))
    assert not fits or {name: getattr(costs, name) for name in COSTS} == COSTS
    return fits


def test_the_cache_is_private(cache: Path) -> None:
    assert oct(cache.stat().st_mode) == oct(0o40700)
    assert [path.name for path in cache.iterdir()] == ["names"]
    status = (cache / "names").stat()
    assert oct(status.st_mode) == oct(0o100600) and status.st_uid == os.geteuid()


def test_the_cache_holds_the_text_and_what_it_is_for(cache: Path) -> None:
    data = (cache / "names").read_bytes()
    head, text = tagcache.parted(data)
    words = head.decode().split()
    assert head.startswith(tagcache.FORMAT + b" ") and text == TEXT
    assert {f"boot={boot_id()}", "content=5", f"bytes={len(TEXT)}"} <= set(words)
    assert tagcache.costs_in(data) == COSTS
    assert tagcache.sealed(head, text) == data


@root
def test_root_keeps_it_where_only_root_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("/var/tmp", ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        assert cache_directory() == "/run/allocq"


def test_others_keep_it_in_their_runtime_directory_or_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with user(os.getuid() or 1000):
        monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
        assert cache_directory() == "/run/user/1000/allocq"
        for place in ("", "relative", "/" + "x" * 5000):
            monkeypatch.setenv("XDG_RUNTIME_DIR", place)
            assert cache_directory() is None
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        assert cache_directory() is None


def foreign(path: Path) -> None:
    with user(0):
        os.chown(path, 1000, 1000)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def hard_link(path: Path) -> None:
    path.with_name("second").hardlink_to(path)


def oversized(path: Path) -> None:
    os.truncate(path, tagcache.LARGEST + 1)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def device(path: Path) -> None:
    path.unlink()
    with user(0):
        os.mknod(path, 0o600 | 0o20000, os.makedev(1, 5))
        os.chown(path, NOBODY, NOBODY)


SPOILT: list[Callable[[Path], None]] = [
    lambda path: path.chmod(0o666),
    lambda path: path.chmod(0o620),
    lambda path: path.chmod(0o604),
    fifo,
    link,
    hard_link,
    oversized,
    folder,
    lambda path: os.truncate(path, 0),
    lambda path: os.truncate(path, path.stat().st_size - 1),
    lambda path: path.write_bytes(path.read_bytes() + b"x") and None,
    lambda path: path.write_bytes(path.read_bytes().replace(b"slub", b"slob")) and None,
    lambda path: path.write_bytes(path.read_bytes().replace(b"step=3", b"step=4")) and None,
    lambda path: path.write_bytes(b"\xff" * 100) and None,
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoilt_cache_is_ignored_and_never_waited_for(
    cache: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(cache / "names")
    assert not is_used()
    save()
    written = cache / "names"
    if spoil is not folder:  # rename() puts no file over a directory
        assert is_used() and not written.is_symlink() and written.stat().st_mode & 0o777 == 0o600
    assert not [path for path in cache.iterdir() if path.name.startswith("names.")]


@root
@pytest.mark.parametrize("spoil", [foreign, device])
def test_a_cache_of_others_is_ignored(cache: Path, spoil: Callable[[Path], None]) -> None:
    spoil(cache / "names")
    assert not is_used()


def test_a_link_is_not_written_through(cache: Path) -> None:
    victim = cache.with_name("victim")
    victim.write_text("precious")
    (cache / "names").unlink()
    (cache / "names").symlink_to(victim)
    save()
    assert victim.read_text() == "precious" and is_used()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o710, 0o704])
def test_a_directory_open_to_others_is_not_used(cache: Path, mode: int) -> None:
    cache.chmod(mode)
    before = (cache / "names").stat()
    assert not is_used()
    save(6)
    assert (cache / "names").stat() == before


def test_a_directory_that_is_a_link_is_not_used(cache: Path) -> None:
    cache.rename(cache.with_name("elsewhere"))
    cache.symlink_to("elsewhere")
    assert not is_used()


@root
def test_a_directory_of_others_is_not_used(cache: Path) -> None:
    foreign(cache)
    assert not is_used()


def test_another_content_is_not_used(cache: Path) -> None:
    assert not is_used(6)
    save(6)
    assert is_used(6) and not is_used(5)


# Heads with a right hash, as a program of another time could have written them.
FORGED: dict[str, Callable[[bytes], bytes]] = {
    "another boot": lambda head: head.replace(b" boot=", b" boot=0"),
    "no boot": lambda head: re.sub(rb" boot=\S+", b"", head),
    "the beginning of the boot": lambda head: re.sub(rb"( boot=\S+)\S ", rb"\1 ", head),
    "an older format": lambda head: head.replace(b"names 2", b"names 1"),
    "a newer format": lambda head: head.replace(b"names 2", b"names 20"),
    "no format": lambda head: head.removeprefix(tagcache.FORMAT),
    "another length": lambda head: re.sub(rb"bytes=", b"bytes=1", head),
    "no content": lambda head: head.replace(b" content=5", b""),
    "a negative content": lambda head: head.replace(b" content=5", b" content=-5"),
    "a content beyond 64 bits": lambda head: head.replace(b"content=5", b"content=" + b"9" * 40),
    "a cost missing": lambda head: re.sub(rb" tag=\d+", b"", head),
    "a cost that is no number": lambda head: re.sub(rb" sum=\d+", b" sum=x", head),
    "an empty cost": lambda head: re.sub(rb" call=\d+", b" call=", head),
    "a head too long": lambda head: head + b" x" * 1000,
    "a NUL": lambda head: head.replace(b" content", b"\0content"),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_cache_with_a_right_hash_is_not_used(cache: Path, how: str) -> None:
    head, text = tagcache.parted((cache / "names").read_bytes())
    forged = FORGED[how](head)
    assert forged != head
    (cache / "names").write_bytes(tagcache.sealed(head + b" more=x", text))
    assert is_used(), "the forger does not know the hash"
    (cache / "names").write_bytes(tagcache.sealed(forged, text))
    assert not is_used()


def test_what_killed_writers_left_is_swept(cache: Path) -> None:
    old, new = cache / "names.0123456789abcdef", cache / "names.fedcba9876543210"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (1, 1))
    save()
    assert {path.name for path in cache.iterdir()} == {"names", new.name}


# Files that are written


def test_a_snapshot_follows_no_link_and_is_private(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("precious")
    link.symlink_to(victim)
    for more in ((), ("--force",)):
        done = subprocess.run(
            [*ALLOCQ, "snapshot", "--sample", "--output", str(link), *more], capture_output=True
        )
        refused(Result(done.returncode, done.stdout, done.stderr.decode()), str(link))
        assert victim.read_text() == "precious"
    before = os.umask(0)
    try:
        subprocess.run(
            [*ALLOCQ, "snapshot", "--sample", "--output", str(tmp_path / "new")], check=True
        )
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_closed_streams_do_not_become_files(tmp_path: Path) -> None:
    """Whatever number a file gets, complaints and answers do not end up in it."""
    cut = tmp_path / "cut"
    cut.write_bytes(oracle.SAMPLE.read_bytes()[:-10])
    script = 'out=$1; shift; exec "$@" snapshot --source "$CUT" -o "$out" <&- >&- 2>&-'
    out = tmp_path / "out"
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(out), *ALLOCQ], env={**os.environ, "CUT": str(cut)}
    )
    assert done.returncode == 0
    text = out.read_bytes()
    assert b"allocq: " not in text
    assert oracle.parse(text) == oracle.parse(cut.read_bytes())
