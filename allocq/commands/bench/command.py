"""Times three methods on this machine: the pipeline that people type (cat, grep, awk), the ioctl
scan inside this process, and the whole `allocq query`.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...core.filter import NativeFilter
from ...core.kernel import REFUSED, KernelFilter, scan
from ...core.table import Table
from ...core.text import parse
from ...errors import SourceError, UsageError
from ...host import machine as host
from ...host.caches import drop_caches
from ...host.processes import find_program, run_pipeline
from ...model import Filter, Tag
from ...options.commands import PUBLISHED_FILE
from ...options.shared import FOUND, INTERRUPTED
from ...output.stream import Output, warn
from ...sources.source import ALLOCINFO, Live, open_source
from .agreement import SizesByTag, sizes_by_tag
from .report import as_json, in_words
from .scenarios import (
    IOCTL,
    PIPELINE,
    QUERY,
    Bench,
    Method,
    Sample,
    Scenario,
    Settings,
    read_settings,
)

_COARSE = 100_000
_TICKS = 10


def bench_command(values: dict[str, object]) -> int:
    """Run the command; returns the exit status."""
    settings = read_settings(values)
    with open_source() as source:
        if not isinstance(source, Live):
            raise SourceError(f"{ALLOCINFO} is not a proc file: something is mounted over it")
        bench = prepare(settings, source)
        with contextlib.suppress(KeyboardInterrupt):
            bench.interrupted = True
            _go(bench, source)
            bench.interrupted = False
        for text in source.info.warnings:
            warn(text)
    out = Output()
    out.write((as_json(bench) if settings.format == "json" else in_words(bench)).encode())
    out.release()
    return INTERRUPTED if bench.interrupted else FOUND


def prepare(settings: Settings, source: Live) -> Bench:
    """The scenarios with the methods available on this machine; times nothing."""
    tags = _all_tags()
    bench = Bench(settings, describe_machine(tags))
    bench.tick = clock_step()
    file = _file(settings.file, tags)
    if settings.file is None and file != PUBLISHED_FILE and settings.scenarios != ["size"]:
        bench.notes.append(
            f"this kernel has no {PUBLISHED_FILE}, the published file: {file} instead"
        )
    if settings.drop_caches:
        drop_caches()
        bench.caches = "dropped before each run"
    for name in settings.scenarios:
        bench.scenarios.append(_scenario(bench, name, file, tags))
    for scenario in bench.scenarios:
        _add_pipeline(scenario)
        if source.has_ioctl:
            _add_ioctl(scenario, source, bench.tick)
        _add_query(scenario)
    if not source.has_ioctl:
        bench.notes.append(
            "this kernel has no ioctl (Linux 7.3 and later have it) or refuses it: only the text is"
            " timed"
        )
    if bench.tick > _COARSE:
        bench.notes.append(
            f"this kernel counts CPU time in steps of {bench.tick / 1e6:.0f} ms: ioctl scans are"
            " repeated to outlast a step; USER and SYSTEM of programs are no finer than a step"
        )
    return bench


def _go(bench: Bench, source: Live) -> None:
    """One warm-up round, then the rounds that count."""
    _round(bench, source, 0, count=False)
    for scenario in bench.scenarios:
        scenario.plan = source.plan(scenario.filter).method
    with progress(bench.settings.runs * len(bench.scenarios)) as advance:
        for run in range(bench.settings.runs):
            _round(bench, source, run, advance=advance)


def _round(
    bench: Bench,
    source: Live,
    run: int,
    count: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Run each method of each scenario once, starting with another method each round.

    Samples are kept only when all methods of a scenario have finished.
    """
    for scenario in bench.scenarios:
        methods = scenario.methods
        before = source.content_id()
        samples: dict[str, Sample] = {}
        for i in range(len(methods)):
            method = methods[(i + run) % len(methods)]
            if bench.settings.drop_caches and count:
                drop_caches()
            samples[method.name] = method.measure()
        answers = {method.name: samples[method.name].tags for method in methods}
        if not count:
            continue
        scenario.agreement.add(answers, source.content_id() == before, _now)
        for method in methods:
            method.samples.append(samples[method.name])
        advance()


def _now() -> SizesByTag:
    with open_source(None, "text") as source:
        return sizes_by_tag(source.read().table)


def _all_tags() -> list[Tag]:
    with open_source(None, "text") as source:
        tags = source.read().tags
    if not tags:
        raise SourceError(f"{ALLOCINFO} has no tags")
    return tags


def _file(asked: str | None, tags: list[Tag]) -> str:
    """The path of the one file to query, as in the kernel."""
    files = dict.fromkeys(tag.file for tag in tags)
    if asked is None:
        return PUBLISHED_FILE if PUBLISHED_FILE in files else tags[0].file
    with open_source(None, "text") as source:
        matching = list(dict.fromkeys(source.read(Filter(files=[asked])).table.strings("file")))
    if not matching:
        raise UsageError(
            f"this kernel has no tags in '{asked}'", "allocq query --group-by file lists its files"
        )
    if len(matching) > 1:
        shown = ", ".join(matching[:3]) + (", ..." if len(matching) > 3 else "")
        raise UsageError(f"'{asked}' matches {len(matching)} files", f"name one: {shown}")
    return matching[0]


def _scenario(bench: Bench, name: str, file: str, tags: list[Tag]) -> Scenario:
    min_size = bench.settings.min_size
    if name == "file":
        return Scenario(name, file, None, (22, 1))
    if name == "size":
        return Scenario(name, None, 1 << 20 if min_size is None else min_size, (21, 14))
    largest = max(tags, key=lambda tag: (tag.file == file and tag.bytes > 0, tag.bytes))
    if largest.file != file and bench.settings.file is None and min_size is None:
        bench.notes.append(
            f"no tag in {file} holds memory now: the minimum size is timed with {largest.file}"
        )
        file = largest.file
    if min_size is None:
        sizes = [tag.bytes for tag in tags if tag.file == file]
        min_size = max(1, max(sizes) // 2)
    return Scenario(name, file, min_size, (21, 1))


def _add_pipeline(scenario: Scenario) -> None:
    """Add cat, with grep and awk as the query needs them.

    The blank and the colon make grep match exactly that file. awk compares the header's first line
    as a string and lets it through; it is not counted as a tag.
    """
    commands = [["cat", ALLOCINFO]]
    if scenario.file is not None:
        commands.append(["grep", "-F", f" {scenario.file}:"])
    if scenario.min_size is not None:
        commands.append(["awk", f"$1 >= {scenario.min_size}"])
    words = " | ".join(" ".join([word[0], *map(_quoted, word[1:])]) for word in commands)
    ready = []
    for command in commands:
        path = find_program(command[0])
        if path is None:
            scenario.missing.append(f"{words}: no {command[0]} on PATH")
            return
        ready.append([path, *command[1:]])
    scenario.methods.append(Method(PIPELINE, words, lambda: _processes(ready)))


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word


def _add_query(scenario: Scenario) -> None:
    words = ["query", "--format", "procfs"]
    if scenario.file is not None:
        words += ["--file", scenario.file]
    if scenario.min_size is not None:
        words += ["--min-size", str(scenario.min_size)]
    command = [*own_command(), *words]
    shown = " ".join(["allocq", *(word for word in words if word not in ("--format", "procfs"))])
    scenario.methods.append(Method(QUERY, shown, lambda: _processes([command])))


def own_command() -> list[str]:
    """The command that starts allocq: the program installed beside this Python, or the module."""
    beside = Path(sys.executable).parent / "allocq"
    if beside.is_absolute() and os.access(beside, os.X_OK):
        return [str(beside)]
    return [sys.executable, "-I", "-m", "allocq"]


def _processes(commands: list[list[str]]) -> Sample:
    """Run a pipeline once. Status 1 of grep and allocq means no match, which is not an error."""
    spent = run_pipeline(commands)
    for command, status in zip(commands, spent.statuses, strict=True):
        if status not in (0, 1):
            why = spent.complaints.decode("utf-8", "replace").strip().split("\n")[0]
            raise SourceError(f"{command[0]} failed ({status}){': ' if why else ''}{why}")
    table = parse(spent.output, NativeFilter())
    return Sample(spent.wall, spent.user, spent.system, sizes_by_tag(table))


def _add_ioctl(scenario: Scenario, source: Live, tick: int) -> None:
    fields: dict[str, str | int] = {}
    if scenario.file is not None:
        fields["file"] = scenario.file
    if scenario.min_size is not None:
        fields["min_size"] = scenario.min_size
    kernel = KernelFilter(fields)
    least = tick * _TICKS if tick > _COARSE else 0

    def measure() -> Sample:
        return _ioctls(source, kernel, least)

    words = "GET_AT, GET_NEXT with " + ", ".join(fields)
    scenario.methods.append(Method(IOCTL, words, measure))


def _ioctls(source: Live, kernel: KernelFilter, least: int) -> Sample:
    """Time a scan in this thread, from open to close, repeated for at least `least` nanoseconds.

    All CPU time of the thread counts as system time: nearly all of it is, and the kernel only
    estimates the split.
    """
    times = 0
    begin, cpu = time.perf_counter_ns(), time.thread_time_ns()
    while True:
        table = Table()
        fd = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            scan(fd, kernel, table)
        except OSError as error:
            what = "the ioctl is refused" if error.errno in REFUSED else "vanished"
            raise SourceError(f"{source.path}: {what}: {error.strerror}") from None
        finally:
            os.close(fd)
        times += 1
        wall = time.perf_counter_ns() - begin
        if wall >= least:
            break
    spent = time.thread_time_ns() - cpu
    return Sample(wall / times, 0, spent / times, sizes_by_tag(table))


def clock_step() -> int:
    """The resolution of a thread's CPU time on this kernel, in nanoseconds."""
    steps = []
    for _ in range(5):  # an interrupt can make a step look longer
        begin = time.thread_time_ns()
        while (now := time.thread_time_ns()) == begin:
            pass
        steps.append(now - begin)
    return min(steps)


def describe_machine(tags: list[Tag]) -> dict[str, object]:
    """Facts about this machine for the report."""
    system = os.uname()
    return {
        "kernel": system.release,
        "machine": system.machine,
        "cpu": _cpu_model(),
        "possible_cpus": host.count_cpus(host.possible_cpus()),
        "online_cpus": host.count_cpus(host.read_line("/sys/devices/system/cpu/online")),
        "tags": len(tags),
        "files": len({tag.file for tag in tags}),
        "modules": len({tag.module for tag in tags if tag.module is not None}),
    }


def _cpu_model() -> str | None:
    for line in (host.read_line("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """Show progress on standard error if it is a terminal; yields the function to call at each
    step."""
    if not os.isatty(2):
        yield lambda: None
        return
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        show(f"\rtiming: {100 * done // total}%")

    def show(text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, text.encode())

    try:
        yield advance
    finally:
        show(f"\r{'':12}\r")
