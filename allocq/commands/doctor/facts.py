"""Collects and measures the facts that `doctor` judges.

It changes nothing: no file is written, no sysctl is set.
"""

import collections
import contextlib
import dataclasses
import errno
import importlib.metadata
import os
import platform
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ... import __version__
from ...core import kernel
from ...core.filter import NativeFilter
from ...core.table import Table
from ...core.text import parse
from ...errors import AllocqError, FormatError
from ...host import machine as host
from ...host.installation import installation
from ...host.root import as_root
from ...host.tracefs import TraceFacts, trace_facts
from ...sources.source import ALLOCINFO
from ...storage.recording.schema import default_folder

LIBRARIES = ("typer", "cffi", *(() if "t" in sys.abiflags else ("orjson",)))
"""orjson does not exist for a free-threaded Python."""
_T = TypeVar("_T")
NO_IOCTL = (errno.ENOTTY, errno.EINVAL)
"""What a kernel without the ioctl says."""
_ENOUGH = 0.3
_MOST = 5


@dataclasses.dataclass
class Cost:
    """The cost of one scan: the shortest of a few runs in seconds, its system calls and tags."""

    seconds: float
    calls: int
    tags: int
    bytes: int | None = None


@dataclasses.dataclass
class Cache:
    """The tag cache. path None: no directory for it. fits: valid for this boot and content ID."""

    path: str | None
    exists: bool = False
    owner: int | None = None
    mode: int | None = None
    directory_owner: int | None = None
    directory_mode: int | None = None
    bytes: int | None = None
    fits: bool | None = None
    error: str | None = None


@dataclasses.dataclass
class Recorder:
    """The recording of this user. running: None if that cannot be found out; age: of its last
    sample, in seconds; None if there is none."""

    folder: str
    running: bool | None
    age: float | None = None


@dataclasses.dataclass(kw_only=True)
class Profiling:
    """Whether the kernel counts, and what decides that. None is unknown unless noted."""

    config_path: str | None
    config: dict[str, str] | None
    """The options of MEM_ALLOC_PROFILING by full name."""
    boot_editor: str | None
    boot_parameter: str | None
    """Empty: booted without it."""
    mem_profiling: str | None
    mem_profiling_compressed: str | None
    file_mode: int | None
    """Permission bits of /proc/allocinfo; None: the file does not exist."""


@dataclasses.dataclass(kw_only=True)
class Facts(Profiling):
    """Facts about the machine. Errors are `strerror` texts; None is unknown unless noted."""

    versions: dict[str, str | None]
    installation: str
    kernel: str
    machine: str
    distribution: str | None
    uid: int
    possible_cpus: str | None
    open_error: str | None
    cache: Cache
    format_version: str | None = None
    read_error: str | None = None
    content_id: int | None = None
    ioctl_error: str | None = None
    ioctl_refused: bool = False
    as_root: str = "sudo allocq doctor"
    """The command that runs this one as root."""
    """The kernel may have it: a seccomp filter or a security module forbids it to this process."""
    tags: int | None = None
    modules: int | None = None
    inaccurate: int | None = None
    text_cost: Cost | None = None
    ioctl_cost: Cost | None = None
    file_cost: Cost | None = None
    """The cost of filtering by one file in the kernel."""
    file: str | None = None
    recorder: Recorder | None = None
    tracing: TraceFacts | None = None
    """What `stacks` needs."""


def gather_profiling() -> Profiling:
    """Read the switch and what decides it. Opens a few small files; asks for no counter."""
    config = host.kernel_config(os.uname().release)
    mode: int | None = None
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(os.stat(ALLOCINFO).st_mode)
    return Profiling(
        config_path=config[0] if config else None,
        config=config[1] if config else None,
        boot_editor=host.boot_editor(),
        boot_parameter=host.boot_parameter(),
        mem_profiling=host.switch("mem_profiling"),
        mem_profiling_compressed=host.switch("mem_profiling_compressed"),
        file_mode=mode,
    )


def gather() -> Facts:
    """Collect everything; takes about a second on machines with many CPUs, otherwise less."""
    facts = Facts(
        **dataclasses.asdict(gather_profiling()),
        versions=versions(),
        installation=installation(__version__),
        kernel=os.uname().release,
        machine=os.uname().machine,
        distribution=host.distribution(),
        uid=os.geteuid(),
        as_root=as_root(["doctor"]) or "sudo allocq doctor",
        possible_cpus=host.possible_cpus(),
        open_error=None,
        cache=Cache(None),
    )
    try:
        with _opened(ALLOCINFO) as fd:
            _ask(fd, facts)
    except FileNotFoundError as error:
        facts.file_mode, facts.open_error = None, error.strerror
    except OSError as error:
        facts.open_error = error.strerror
    facts.cache = cache(facts.content_id)
    facts.recorder = recorder(default_folder())
    facts.tracing = trace_facts()
    return facts


def versions() -> dict[str, str | None]:
    """The versions of allocq, Python and the libraries; None if missing."""
    versions: dict[str, str | None] = {"allocq": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def cache(content: int | None) -> Cache:
    """The state of the tag cache; opens no file of another user."""
    folder = kernel.cache_directory()
    if folder is None:
        return Cache(None)
    state = Cache(f"{folder}/names")
    try:
        status = os.stat(folder, follow_symlinks=False)
        state.directory_owner, state.directory_mode = status.st_uid, stat.S_IMODE(status.st_mode)
        status = os.stat(f"{folder}/names", follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return state
    except OSError as error:
        state.error = error.strerror
        return state
    state.exists = True
    state.owner, state.mode = status.st_uid, stat.S_IMODE(status.st_mode)
    state.bytes = status.st_size
    if content is not None:
        state.fits = kernel.cache_fits(content)
    return state


def recorder(folder: Path) -> Recorder:
    """The state of the recording in a folder, which need not exist."""
    found = Recorder(str(folder), None)
    with contextlib.suppress(AllocqError):
        from ...storage.recording.reader import Recording
        from ...storage.recording.writer import is_recording

        found.running = is_recording(folder)
        recording = Recording(folder)
        last = recording.at(time.time_ns())
        found.age = time.time() - last.moment.time / 1e9 if last else None
    return found


@contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _ask(fd: int, facts: Facts) -> None:
    """Read the text, try the ioctl, and measure both."""
    table = _text(fd, facts)
    try:
        facts.content_id = kernel.content_id(fd)
    except OSError as error:
        _no_ioctl(facts, error)
    if table is None:
        return
    files = table.strings("file")
    facts.tags = len(table)
    facts.modules = len(set(table.strings("module")) - {""})
    facts.inaccurate = sum(table.column("inaccurate"))
    if facts.content_id is None or not files:
        return
    counted = collections.Counter(files)
    facts.file = max(counted, key=lambda file: (counted[file], file))
    try:
        facts.ioctl_cost = _ioctl_cost(fd, {})
        facts.file_cost = _ioctl_cost(fd, {"file": facts.file})
    except OSError as error:
        _no_ioctl(facts, error)


def _no_ioctl(facts: Facts, error: OSError) -> None:
    facts.ioctl_error = error.strerror
    facts.ioctl_refused = error.errno not in NO_IOCTL


def _text(fd: int, facts: Facts) -> Table | None:
    """Read the tags of the text and measure it; None on an error."""

    def read() -> bytes:
        os.lseek(fd, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(fd, 1 << 16):
            pieces.append(piece)
        counted[0] = len(pieces) + 1
        return b"".join(pieces)

    counted = [0]
    try:
        text, seconds = timed(read)
        table = parse(text, NativeFilter(), ALLOCINFO)
    except (OSError, FormatError) as error:
        facts.read_error = error.strerror if isinstance(error, OSError) else str(error)
        return None
    first = text.partition(b"\n")[0].decode("utf-8", "replace")
    mark = "allocinfo - version: "
    facts.format_version = first.removeprefix(mark) if first.startswith(mark) else None
    facts.text_cost = Cost(seconds, counted[0], len(table), len(text))
    return table


def _ioctl_cost(fd: int, fields: dict[str, str | int]) -> Cost:
    def ask() -> tuple[int, int]:
        table = Table()
        return kernel.scan(fd, kernel.KernelFilter(fields), table), len(table)

    (calls, tags), seconds = timed(ask)
    return Cost(seconds, calls, tags)


def timed(call: Callable[[], _T]) -> tuple[_T, float]:
    """The result and the shortest time of a few calls in seconds; one call if it is slow."""
    start = time.perf_counter()
    result = call()
    best = spent = time.perf_counter() - start
    for _ in range(_MOST - 1):
        if spent > _ENOUGH:
            break
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
        spent += seconds
        best = min(best, seconds)
    return result, best
