"""`allocq record`: writes samples of the running kernel to a recording."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AccessError, OutputError, SourceError, UsageError
from ..host.service import notify, survive, watchdog_seconds
from ..model import Filter
from ..options.shared import FOUND
from ..output.stream import say, warn
from ..sources.sampling import Sampler, facts
from ..sources.source import open_live
from ..storage.recording.schema import default_folder
from ..storage.recording.sqlite import sqlite3
from ..storage.recording.thinning import Rule, remove_old, thin_old
from ..storage.recording.writer import RecordingFullError, Writer
from ..times import parse_duration
from ..units import parse_size
from .arguments import read_filter, strings, text, text_or

if TYPE_CHECKING:
    from .shipping import HourlyShipping

INTERVAL, KEEP, MOST = "10s", "7d", "1G"
THINNING = ("1d:1m", "3d:10m")
_SHORTEST = 0.05
_LONGEST_FACTOR = 64
_BUSY = 0.1
"""Of the time, reading may take so much; if it takes more, it is done less often."""
_TIDY_SHARE = 0.2
_LOOK_AGAIN = 1.0
_LONGEST_HOST = 255


@dataclass(frozen=True, slots=True)
class Recorder:
    """The checked options. seconds: between samples; keep: seconds; most: bytes."""

    folder: Path
    filter: Filter
    interface: str
    seconds: float
    keep: float
    most: int
    thinning: tuple[Rule, ...]
    once: bool
    host: str
    source: str | None = None
    parquet: Path | None = None


def read_recorder(values: Mapping[str, object]) -> Recorder:
    """Check the option values. UsageError."""
    operand, option = text(values, "folder"), text(values, "directory")
    if operand is not None and option is not None:
        raise UsageError(f"{operand} is a second directory", "name one")
    folder = operand if operand is not None else option
    if folder == "":
        raise UsageError("empty directory name")
    seconds = parse_duration(text_or(values, "interval", INTERVAL))
    if seconds < _SHORTEST:
        raise UsageError(f"the interval is too short: {seconds:g}s", f"at least {_SHORTEST:g}s")
    return Recorder(
        Path(folder) if folder is not None else default_folder(),
        read_filter(values),
        str(values.get("interface") or "auto"),
        seconds,
        parse_duration(text_or(values, "keep", KEEP)),
        parse_size(text_or(values, "most", MOST)),
        tuple(map(_rule, strings(values, "thin") or THINNING))
        if strings(values, "thin") != ["none"]
        else (),
        bool(values.get("once")),
        _host(values),
        text(values, "source"),
        _root(values),
    )


def _host(values: Mapping[str, object]) -> str:
    name = text(values, "host")
    if name is None:
        return os.uname().nodename
    if not (name.isprintable() and 0 < len(name) <= _LONGEST_HOST) or " " in name:
        raise UsageError(f"invalid host name {name!r}")
    return name


def _root(values: Mapping[str, object]) -> Path | None:
    root = text(values, "parquet")
    if root == "":
        raise UsageError("--parquet is empty", "name a directory")
    if root is not None and "://" in root:
        raise UsageError("--parquet takes a directory", "use allocq ship for an object store")
    return None if root is None else Path(root)


def _rule(words: str) -> Rule:
    age, colon, interval = words.partition(":")
    if not colon:
        raise UsageError(f"invalid value '{words}' for --thin", "use AGE:TIME, as in 1d:1m")
    return Rule(round(parse_duration(age)), max(1, round(parse_duration(interval))))


class Asked:
    """What signals asked for. wait() ends early when one comes."""

    def __init__(self) -> None:
        self.end = self.renew = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_end)
        signal.signal(signal.SIGHUP, self._on_renew)

    def _on_end(self, *_: object) -> None:
        self.end = True
        self._wake()

    def _on_renew(self, *_: object) -> None:
        self.renew = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> None:
        if select.select([self._read], [], [], max(0.0, seconds))[0]:
            os.read(self._read, 4096)


class Pace:
    """How often to read: `seconds`, and less often where reading takes long."""

    def __init__(self, seconds: float) -> None:
        self._asked = seconds
        self._usual: float | None = None
        self.seconds = seconds

    def took(self, seconds: float) -> str | None:
        """Take into account how long a read took; what to say if that changes the pace."""
        # One slow read is no reason, a run of them is.
        usual = seconds if self._usual is None else (3 * self._usual + seconds) / 4
        self._usual = usual
        if usual > self.seconds * _BUSY and self.seconds < self._asked * _LONGEST_FACTOR:
            while usual > self.seconds * _BUSY / 2:
                self.seconds *= 2
            return f"reading takes {usual * 1000:.0f} ms: recording every {self.seconds:.10g} s"
        if self.seconds > self._asked and usual < self._asked * _BUSY / 2:
            self.seconds = self._asked
            return f"recording every {self.seconds:.10g} s again"
        return None


def record_command(values: Mapping[str, object]) -> int:
    """Run the command until a signal ends it, or take one sample; returns 0."""
    recorder = read_recorder(values)
    if recorder.parquet is not None:
        from ..storage.parquet.arrow import check_extra

        check_extra()
    source = open_live(recorder.source, recorder.interface)
    if source is None:
        raise UsageError(
            f"{recorder.source} is not that of a running kernel",
            "use /proc/allocinfo, or omit --source",
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(source)
        shipping = _shipping(recorder)
        writer = Writer(recorder.folder, facts(recorder.filter, recorder.host))
        stack.callback(writer.close)
        sampler = Sampler(source, recorder.filter)
        if recorder.once:
            writer.append(sampler.take(time.time_ns()))
            if shipping:
                shipping.end(open_too=False)
            for _ in _tidied(recorder, writer):
                pass
        else:
            _record(recorder, sampler, writer, Asked(), shipping)
            if shipping:
                shipping.end(open_too=True)
    return FOUND


def _shipping(recorder: Recorder) -> HourlyShipping | None:
    """What ships to --parquet, which is made. OutputError if that cannot work."""
    if recorder.parquet is None:
        return None
    from ..storage.parquet.folder import Folder
    from .shipping import HourlyShipping

    Folder(recorder.parquet).close()
    return HourlyShipping(recorder.folder, recorder.parquet)


def _record(
    recorder: Recorder,
    sampler: Sampler,
    writer: Writer,
    asked: Asked,
    shipping: HourlyShipping | None,
) -> None:
    survive()
    pace, lost, tidy = Pace(recorder.seconds), Lost(), Tidy(lambda: _tidied(recorder, writer))
    due = time.monotonic()
    signs = watchdog_seconds()
    longest = signs / 2 if signs else 3600.0
    ready = False
    while not asked.end:
        if asked.renew:
            asked.renew = False
            writer.renew()
        started = time.monotonic()
        with lost.counted():
            sample = sampler.take(time.time_ns())
            if words := pace.took(time.monotonic() - started):
                warn(words)
            writer.append(sample)
        if shipping:
            shipping.step()
        if not ready:
            ready = True
            every = f"every {recorder.seconds:.10g} s to {recorder.folder}"
            say(f"allocq: recording {every}")
            notify("READY=1", f"STATUS=recording {every}")
        due = max(due + pace.seconds, time.monotonic())
        while not (asked.end or asked.renew) and (left := due - time.monotonic()) > 0:
            notify("WATCHDOG=1")
            if shipping:
                shipping.look()
            # What the last recorder left is shipped before what is old is removed.
            pause = _LOOK_AGAIN if shipping and not shipping.tried else tidy.step()
            asked.wait(min(left, longest, pause))
    notify("STOPPING=1")


class Lost:
    """Samples that could not be taken or written: said once, and once when they can be again."""

    def __init__(self) -> None:
        self._words = ""
        self._count = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        try:
            yield
        except (RecordingFullError, SourceError, MemoryError) as error:
            if isinstance(error, AccessError):
                raise
            words = str(error) or "out of memory"
            self._count += 1
            if words != self._words:
                self._words = words
                warn(f"{words}; trying again at each interval")
            return
        if self._count:
            samples = "1 sample" if self._count == 1 else f"{self._count} samples"
            warn(f"recording again; {samples} could not be recorded")
            self._words, self._count = "", 0


class Tidy:
    """Thins and removes old days in small steps between samples, now and then."""

    def __init__(self, begin: Callable[[], Iterator[None]]) -> None:
        self._begin = begin
        self._steps: Iterator[None] | None = begin()
        self._next = 0.0

    def step(self) -> float:
        """Do one step; returns after how many seconds the next one may come."""
        if self._steps is None:
            if time.monotonic() < self._next:
                return self._next - time.monotonic()
            self._steps = self._begin()
        started = time.monotonic()
        try:
            next(self._steps)
        except StopIteration:
            self._steps, self._next = None, time.monotonic() + 600
            return 600.0
        except (OSError, sqlite3.Error, OutputError) as error:
            warn(f"cannot thin or remove old samples: {error}")
            self._steps, self._next = None, time.monotonic() + 3600
            return 3600.0
        return (time.monotonic() - started) * (1 / _TIDY_SHARE - 1)


def _tidied(recorder: Recorder, writer: Writer) -> Iterator[None]:
    now = time.time_ns()
    yield from thin_old(recorder.folder, now, recorder.thinning, writer.current)
    removed = remove_old(recorder.folder, now, round(recorder.keep), recorder.most, writer.current)
    if removed and not recorder.once:
        days = "1 old database" if len(removed) == 1 else f"{len(removed)} old databases"
        say(f"allocq: removed {days}")
