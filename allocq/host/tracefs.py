"""Trace instances in tracefs: ours are made, found and removed here, and no others are touched.

An instance is named `allocq-PID-START` for the process that made it, PID and start time as in
/proc/PID/stat, and is locked while that process lives. A synthetic event, which is global, has the
same name with underscores.
"""

import contextlib
import errno
import fcntl
import os
import re
import shlex
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ..errors import AccessError, InterfaceError, SourceError
from .machine import read_line

_USUAL = "/sys/kernel/tracing"
_NAME = re.compile(r"allocq[-_](\d+)[-_](\d+)(?:_(\w+))?")
_MOUNT = f"sudo mount -t tracefs tracefs {_USUAL}"
_BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What this machine lets allocq trace. path: of tracefs, None if it is not mounted. why: what
    is in the way, or empty. fix: what to do about it. synthetic: can frees be paired? left: how
    many dead processes have left something. denied: only the permission is missing."""

    path: str | None
    why: str = ""
    fix: str = ""
    synthetic: bool = False
    left: int = 0
    denied: bool = False


def mounted(mounts: str = "/proc/mounts") -> str | None:
    """Where tracefs is mounted, or is by itself when it is looked at, in debugfs; None if it is
    not."""
    found: dict[str, list[str]] = {"tracefs": [], "debugfs": []}
    for line in (read_line(mounts) or "").splitlines():
        words = line.split()
        if len(words) > 2 and words[2] in found:
            path = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), words[1])
            found[words[2]].append(path)
    if found["tracefs"]:
        return _USUAL if _USUAL in found["tracefs"] else found["tracefs"][0]
    in_debugfs = (f"{path}/tracing" for path in found["debugfs"])
    return next((path for path in in_debugfs if os.path.isdir(f"{path}/instances")), None)


def trace_facts() -> TraceFacts:
    """Ask tracefs what is there; changes nothing."""
    path = mounted()
    if path is None:
        known = "tracefs" in (read_line("/proc/filesystems") or "")
        if known:
            return TraceFacts(None, "tracefs is not mounted", _MOUNT)
        return TraceFacts(
            None, "this kernel has no tracefs", "boot a kernel built with CONFIG_HIST_TRIGGERS"
        )
    try:
        os.listdir(f"{path}/instances")
        with open(f"{path}/README", "rb") as file:
            readme = file.read()
        os.stat(f"{path}/events/kmem/kmalloc/format")
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
    except OSError as error:
        if locked_down():
            why = "kernel lockdown (confidentiality) forbids tracing"
            return TraceFacts(path, why, "boot without lockdown=confidentiality")
        if error.errno in (errno.EACCES, errno.EPERM):
            return TraceFacts(path, f"{path}: permission denied", "run it as root", denied=True)
        why = "this kernel has no instances or no events of allocations in tracefs"
        return TraceFacts(path, why, "boot a kernel built with CONFIG_HIST_TRIGGERS")
    if b"hist trigger" not in readme or not os.path.exists(f"{path}/events/kmem/kmalloc/hist"):
        why = "this kernel has no histogram triggers (CONFIG_HIST_TRIGGERS)"
        return TraceFacts(path, why, "boot a kernel built with CONFIG_HIST_TRIGGERS")
    if b"common_stacktrace" not in readme:
        why = "this kernel has no stack traces in histograms (CONFIG_STACKTRACE, Linux 6.3)"
        return TraceFacts(path, why, "boot a kernel built with CONFIG_STACKTRACE")
    if read_only:
        fix = f"sudo mount -o remount,rw {shlex.quote(path)}; not in a container, but on its host"
        return TraceFacts(path, f"tracefs is mounted read-only at {path}", fix)
    synthetic = os.path.exists(f"{path}/synthetic_events")
    return TraceFacts(path, "", "", synthetic, len(_left(path)))


def locked_down(path: str = "/sys/kernel/security/lockdown") -> bool:
    """Does lockdown keep the kernel's memory confidential?"""
    return "[confidentiality]" in (read_line(path) or "")


def usable() -> TraceFacts:
    """The facts of a machine that can trace. AccessError, InterfaceError if it cannot."""
    facts = trace_facts()
    if not facts.why:
        return facts
    if facts.denied:
        raise AccessError(facts.why, facts.fix)
    raise InterfaceError(f"cannot trace allocations: {facts.why}", facts.fix)


class Instance:
    """A trace instance of this process; leaving the `with` statement removes it."""

    def __init__(self, path: str) -> None:
        self._root = path
        self._suffix = f"{os.getpid()}-{_start_time(os.getpid())}"
        self.path = f"{path}/instances/allocq-{self._suffix}"
        self._events: list[str] = []
        self._touched: list[str] = []
        self._lock = -1

    def __enter__(self) -> Self:
        remove_left(self._root)
        try:
            os.mkdir(self.path, 0o700)
            os.chmod(self.path, 0o700)  # tracefs gives its own mode to a new instance
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise _failed(self.path, error) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def has(self, event: str) -> bool:
        """Does the kernel have an event, `kmem/kmalloc`?"""
        return os.path.isdir(f"{self.path}/events/{event}")

    def add_event(self, name: str, fields: str) -> str:
        """Make a synthetic event of this process; returns its name. SourceError."""
        whole = f"allocq_{self._suffix.replace('-', '_')}_{name}"
        self._write(f"{self._root}/synthetic_events", f"{whole} {fields}")
        self._events.append(whole)
        return whole

    def trigger(self, event: str, text: str) -> None:
        """Set, pause or continue a trigger of an event. SourceError with what the kernel says."""
        if event not in self._touched:
            self._touched.append(event)
        self._write(f"{self.path}/events/{event}/trigger", text)

    def thread_id(self) -> int:
        """The calling thread as events name it (`common_pid`): in a container, /proc and getpid()
        have another number. The instance's own trace says it, of a mark that is made here."""
        own = threading.get_native_id()
        mark = f"allocq {own}"
        try:
            with _appending(f"{self.path}/trace_marker") as fd:
                os.write(fd, f"{mark}\n".encode())
            with open(f"{self.path}/trace", encoding="utf-8", errors="replace") as file:
                line = rf"-(\d+) +(?:\([ \d-]+\) +)?\[\d+\] .*: {mark}$"
                found = re.findall(line, file.read(), re.MULTILINE)
        except OSError:
            return own
        return int(found[-1]) if found else own

    def histogram(self, event: str) -> str:
        """The tables of the triggers of an event. SourceError."""
        path = f"{self.path}/events/{event}/hist"
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError as error:
            raise _failed(path, error) from None

    def stop(self) -> None:
        """Remove the triggers: nothing is counted any more, and what was is gone."""
        _clear(self.path, self._touched)
        self._touched = []

    def close(self) -> None:
        """Remove everything that this process made. Closing twice is harmless."""
        if os.path.isdir(self.path):
            _remove(self._root, self.path, self._events, self._touched)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self, path: str, text: str) -> None:
        try:
            with _appending(path) as fd:
                os.write(fd, f"{text}\n".encode())
        except OSError as error:
            raise _failed(path, error, self._complaint()) from None

    def _complaint(self) -> str:
        """What the kernel says about the last command that it refused."""
        for folder in (self.path, self._root):
            lines = (read_line(f"{folder}/error_log") or "").splitlines()
            errors = [line for line in lines if "error: " in line]
            if errors:
                return errors[-1].partition("error: ")[2]
        return ""


def remove_left(root: str) -> int:
    """Remove what dead processes of allocq have left; returns how many of them."""
    left = _left(root)
    for suffix in left:
        path = f"{root}/instances/allocq-{suffix}"
        events = [event for event in _synthetic(root) if _suffix(event) == suffix]
        with contextlib.suppress(OSError):
            _remove(root, path, events)
    return len(left)


def _left(root: str) -> list[str]:
    """PID-START of what dead processes have left."""
    suffixes = set(map(_suffix, _synthetic(root)))
    with contextlib.suppress(OSError):
        suffixes |= set(map(_suffix, os.listdir(f"{root}/instances")))
    return sorted(suffix for suffix in suffixes if suffix and _is_dead(root, suffix))


def _suffix(name: str) -> str:
    match = _NAME.fullmatch(name)
    return f"{match[1]}-{match[2]}" if match else ""


def _synthetic(root: str) -> list[str]:
    lines = (read_line(f"{root}/synthetic_events") or "").splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def _is_dead(root: str, suffix: str) -> bool:
    """Has the process ended? One of another PID namespace still holds its lock."""
    pid, _, start = suffix.partition("-")
    if _start_time(int(pid)) == int(start):
        return False
    try:
        fd = os.open(f"{root}/instances/allocq-{suffix}", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _start_time(pid: int) -> int:
    """When a process started, in ticks since the boot; -1 if there is none."""
    words = (read_line(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    return int(words[19]) if len(words) > 19 else -1


def _remove(
    root: str, path: str, events: Sequence[str], touched: Sequence[str] | None = None
) -> None:
    """Remove an instance and its synthetic events. OSError."""
    _clear(path, list(_triggered(path)) if touched is None else touched)
    for event in events:
        with contextlib.suppress(OSError), _appending(f"{root}/synthetic_events") as fd:
            os.write(fd, f"!{event}\n".encode())
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            os.rmdir(path)
            break
        except FileNotFoundError:
            break
        except OSError as error:  # an event of the instance is still being handled, or read
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _clear(path: str, events: Sequence[str]) -> None:
    """Remove the triggers of events. Those that refer to others go first, so twice is enough."""
    for _ in range(2):
        for event in reversed(events):
            with contextlib.suppress(OSError):
                os.close(os.open(f"{path}/events/{event}/trigger", os.O_WRONLY | os.O_TRUNC))


def _triggered(path: str) -> Iterator[str]:
    """The events of an instance that have triggers."""
    for system in ("kmem", "percpu", "vmalloc", "synthetic"):
        with contextlib.suppress(OSError):
            for event in os.listdir(f"{path}/events/{system}"):
                lines = read_line(f"{path}/events/{system}/{event}/trigger") or ""
                if any(line and not line.startswith("#") for line in lines.splitlines()):
                    yield f"{system}/{event}"


@contextlib.contextmanager
def _appending(path: str) -> Iterator[int]:
    """Python's own files would seek, which synthetic_events refuses."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _failed(path: str, error: OSError, complaint: str = "") -> SourceError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessError(f"{path}: permission denied", "run it as root")
    if error.errno == errno.ENOMEM:
        return SourceError(
            "not enough memory for the histograms", "choose a smaller one with --map-size"
        )
    return SourceError(f"{path}: {complaint or error.strerror}")
