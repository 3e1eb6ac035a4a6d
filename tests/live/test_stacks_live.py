"""`allocq stacks` on a PC in QEMU, whose tracefs has histogram triggers, and where it has none.

The programs that allocate count for themselves, or by /proc/allocinfo, what they hold.
ALLOCQ_STACKS_SECONDS=60 loads the kernel for so long, ALLOCQ_STACKS_KILLS=100 kills so many.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command import ALLOCQ, Result, allocq, refused, until
from screens import Screened, screened

TRACEFS = Path("/sys/kernel/tracing")
INSTANCES = TRACEFS / "instances"
SECONDS = float(os.environ.get("ALLOCQ_STACKS_SECONDS", "3"))
KILLS = int(os.environ.get("ALLOCQ_STACKS_KILLS", "1"))
# One CPU: with two, an emulated kernel once panicked in the middle of the instruction of a
# tracepoint, as if the other CPU had just switched it.
x86 = pytest.mark.guest(kernel="x86", cpus=1)

# Pipes on two paths, most of them closed, and some kept open by a child that outlives the program.
# What /proc/allocinfo counts before and after is compared with what the stacks say.
PROGRAM = """
import json, os, sys
out, loops, kept_pipes, kept_fifos = sys.argv[1], *map(int, sys.argv[2:5])
def held():
    with open("/proc/allocinfo") as file:
        rows = [line.split() for line in file if line.endswith("func:alloc_pipe_info \\n")]
    return {row[2]: [int(row[0]), int(row[1])] for row in rows}
before = held()
pipes = [os.pipe() for _ in range(kept_pipes)]
def fifo(number):
    path = f"{out}.fifo{number}"
    os.mkfifo(path)
    return os.open(path, os.O_RDWR)
fifos = [fifo(number) for number in range(kept_fifos)]
for _ in range(loops):
    for fd in os.pipe():
        os.close(fd)
for _ in range(loops):
    os.close(os.open(f"{out}.fifo0", os.O_RDWR)) if not kept_fifos else None
after = held()
child = os.fork()
if not child:
    os.closerange(0, 3)  # whoever reads what the program prints does not wait for this child
    os.setsid()
    import signal
    signal.pause()
grown = {place: [now - then for now, then in zip(after[place], before[place])] for place in after}
with open(out, "w") as file:
    json.dump({"child": child, "grown": grown}, file)
"""

FORKS = """
import os, signal
for _ in range(20):
    if not os.fork():
        os._exit(0)
    os.wait()
"""

LOAD = """
import os, sys, time
end, count = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    for fd in os.pipe():
        os.close(fd)
    count += 1
with open(sys.argv[1], "w") as file:
    file.write(str(count))
"""


# The rings of pipes, of several sizes from one call: resized again and again, and some kept.
RINGS = """
import fcntl, json, os, sys, time
out, counts = sys.argv[1], json.loads(sys.argv[2])
def held():
    with open("/proc/allocinfo") as file:
        rows = [line.split() for line in file if line.endswith("func:pipe_resize_ring \\n")]
    return [sum(int(row[at]) for row in rows) for at in (0, 1)]
pipes = {pages: [os.pipe() for _ in range(kept)] for pages, (kept, _) in counts.items()}
before = held()
for pages, (kept, more) in counts.items():
    for fds in pipes[pages]:
        fcntl.fcntl(fds[0], fcntl.F_SETPIPE_SZ, int(pages) << 12)
after = held()
for pages, (kept, more) in counts.items():
    for _ in range(more):
        one, other = os.pipe()
        fcntl.fcntl(one, fcntl.F_SETPIPE_SZ, int(pages) << 12)
        os.close(one), os.close(other)
child = os.fork()
if not child:
    os.closerange(0, 3)
    os.setsid()
    import signal
    signal.pause()
with open(out, "w") as file:
    json.dump({"child": child, "grown": [now - then for now, then in zip(after, before)]}, file)
time.sleep(3)  # so that its name is known
"""


PAGES = """
import mmap, os, signal, sys
out, pages, kept = sys.argv[1], *map(int, sys.argv[2:])
def touched(count):
    memory = mmap.mmap(-1, count << 12, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(count):
        memory[page << 12] = 1
    return memory
touched(pages).close()
read, write = os.pipe()
if not (child := os.fork()):
    more = touched(kept)
    os.write(write, b".")
    os.closerange(0, 3)
    os.setsid()
    signal.pause()
os.read(read, 1)
with open(out, "w") as file:
    file.write(str(child))
"""


# Pipes on two paths until it is killed.
BOTH = """
import os, sys
os.mkfifo(sys.argv[1])
while True:
    for fd in os.pipe():
        os.close(fd)
    os.close(os.open(sys.argv[1], os.O_RDWR))
"""


def python(program: str, *words: object) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program, *map(str, words)]


def stacks(*words: str, run: Sequence[str] = ()) -> Result:
    if "--map-size" not in words:  # emulated, larger tables take seconds to make
        words = (*words, "--map-size", "2048")
    return allocq("stacks", *words, *(["--", *run] if run else []), timeout=300)


def asked(*words: str, run: Sequence[str] = (), status: int = 0) -> dict[str, Any]:
    done = stacks(*words, "-o", "json", run=run)
    assert done.status == status, done
    document: dict[str, Any] = json.loads(done.out)
    return document


def left() -> list[str]:
    """What is of allocq in tracefs."""
    events = (TRACEFS / "synthetic_events").read_text().split("\n")
    return [
        name
        for name in [*os.listdir(INSTANCES), *events]
        if name.startswith(("allocq-", "allocq_"))
    ]


@pytest.fixture(autouse=True)
def mounted(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("guest") is None:
        yield
        return
    if not INSTANCES.is_dir():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACEFS], check=True)
    yield
    assert left() == []


def through(document: dict[str, Any], function: str) -> list[dict[str, Any]]:
    return [
        stack
        for stack in document["stacks"]
        if any(frame.startswith(f"{function}+") for frame in stack["stack"])
    ]


@x86
def test_pipes_of_two_paths_agree_with_the_counters(tmp_path: Path) -> None:
    out = tmp_path / "out"
    document = asked("alloc_pipe_info", "--live", run=python(PROGRAM, out, 300, 51, 7))
    told = json.loads(out.read_text())
    try:
        # A pipe takes two objects: both tags of the function.
        pipes, fifos = through(document, "create_pipe_files"), through(document, "fifo_open")
        assert [stack["calls"] for stack in pipes] == [351, 351]
        assert [stack["calls"] for stack in fifos] == [7, 7]
        assert [stack["live_calls"] for stack in pipes] == [51, 51]
        assert [stack["live_calls"] for stack in fifos] == [7, 7]
        # By tag, to the byte.
        assert len(told["grown"]) == 2
        for place, grown in told["grown"].items():
            of_tag = [stack for stack in document["stacks"] if stack["tag"] == place]
            live = [sum(stack[key] for stack in of_tag) for key in ("live_bytes", "live_calls")]
            assert live == grown, place
        # What leaks is on top, and what is freed is not there.
        assert document["stacks"][0] in pipes
        assert document["dropped"] == {}
        assert all("alloc_pipe_info+" in stack["stack"][0] for stack in document["stacks"])
        assert document["total"]["live_calls"] == 2 * (51 + 7)
        assert 0 < document["cost"]["seconds_per_event"] < 0.01
    finally:
        os.kill(told["child"], signal.SIGKILL)


@x86
def test_a_loop_that_frees_is_no_leak(tmp_path: Path) -> None:
    done = stacks("fs/pipe.c:902", "--live", run=python(PROGRAM, tmp_path / "out", 200, 0, 1))
    told = json.loads((tmp_path / "out").read_text())
    os.kill(told["child"], signal.SIGKILL)
    assert done.status == 0, done
    lines = done.out.decode().splitlines()
    assert lines[1].partition("+")[0].split() == ["1.0K", "1", "100.0%", "alloc_pipe_info"]
    assert "fifo_open" in lines[2] and "create_pipe_files" not in done.out.decode()
    assert any(line.split()[:2] == ["1.0K", "1"] and "not freed in 1 stack" in line
               for line in lines)  # fmt: skip


@x86
def test_a_function_that_is_inlined_is_found() -> None:
    document = asked("copy_signal", run=python(FORKS))
    assert "inlined: copy_signal into copy_process" in document["notes"]
    forks = through(document, "__do_sys_clone")
    assert sum(stack["calls"] for stack in forks) == 20
    assert {stack["tag"].partition(":")[0] for stack in forks} == {"kernel/fork.c"}


@x86
def test_pages_are_found_by_their_stacks(tmp_path: Path) -> None:
    """Of a program that has ended, and of its child that has not."""
    out, pages, kept = tmp_path / "out", 3000, 400
    document = asked("mm/memory.c", "--live", "--map-size", "32768",
                     run=python(PAGES, out, pages, kept))  # fmt: skip
    os.kill(int(out.read_text()), signal.SIGKILL)
    total = document["total"]
    # Without the folios that were allocated and mapped as larger ones, there are at least these.
    assert total["live_bytes"] >= kept << 12, total
    assert total["bytes"] - total["live_bytes"] >= pages << 12, total
    assert document["dropped"] == {}


@x86
def test_what_is_dropped_is_told(tmp_path: Path) -> None:
    run = python(PROGRAM, tmp_path / "out", 1, 400, 1)
    document = asked("alloc_pipe_info", "--live", "--map-size", "128", run=run)
    told = json.loads((tmp_path / "out").read_text())
    os.kill(told["child"], signal.SIGKILL)
    dropped = document["dropped"]["kmalloc addresses"]
    assert 0 < dropped <= 804
    assert any("dropped because the tables were full" in note for note in document["notes"])


@x86
def test_a_load_loses_no_event_unsaid(tmp_path: Path) -> None:
    out = tmp_path / "count"
    document = asked("alloc_pipe_info", "--live", run=python(LOAD, out, SECONDS), status=1)
    loops = int(out.read_text())
    assert document["dropped"] == {} and document["stacks"] == []
    # Two objects a loop, each in four tables: allocations by stack and by address, frees likewise.
    assert 8 * loops <= document["cost"]["events"] < 8 * loops + 200 and loops
    document = asked("alloc_pipe_info", run=python(LOAD, out, SECONDS))
    pipes = through(document, "create_pipe_files")
    assert [stack["calls"] for stack in pipes] == [int(out.read_text())] * 2
    assert document["dropped"] == {}


@x86
def test_it_stops_where_there_is_too_much() -> None:
    seconds = 12
    run = python(LOAD, "/dev/null", seconds)
    document = asked("alloc_pipe_info", "--max-rate", "1", run=run)
    assert document["seconds"] < seconds
    assert any(note.startswith("stopped early: ") for note in document["notes"])


@contextlib.contextmanager
def watching() -> Iterator[subprocess.Popen[bytes]]:
    """allocq, as soon as its triggers are set."""
    command = [
        *ALLOCQ,
        "stacks",
        "alloc_pipe_info",
        "--live",
        "--for",
        "300s",
        "--map-size",
        "2048",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: any(map(is_set, INSTANCES.glob(f"allocq-{process.pid}-*"))), 120)
            yield process
        finally:
            process.kill()


def is_set(instance: Path) -> bool:
    with contextlib.suppress(OSError):
        text = (instance / "events/kmem/kfree/trigger").read_text()
        return "onmatch" in text
    return False


@x86
def test_nothing_is_left_however_it_ends() -> None:
    theirs = INSTANCES / "allocqX-1-1"
    theirs.mkdir()
    trigger = theirs / "events/kmem/kmalloc/trigger"
    trigger.write_text("hist:keys=call_site")
    try:
        for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            with watching() as process:
                assert INSTANCES.joinpath(left()[0]).stat().st_mode & 0o777 == 0o700
                process.send_signal(number)
                out, err = process.communicate(timeout=60)
                assert process.returncode == status, err
                assert bool(out) == (number == signal.SIGINT)
                assert left() == []
        for _ in range(KILLS):
            with watching() as process:
                process.kill()
                process.wait()
        assert len([name for name in left() if name.startswith("allocq-")]) == 1
        report = json.loads(allocq("doctor", "-o", "json").out)
        [finding] = [each for each in report["findings"] if each["item"] == "call stacks"]
        assert finding["state"] == "not good" and "a killed one has left" in finding["value"]
        with watching() as process:  # another one that lives is left alone
            asked("alloc_pipe_info", run=python(LOAD, "/dev/null", 0.1))
            assert any(name.startswith(f"allocq-{process.pid}-") for name in left())
            process.terminate()
            process.communicate(timeout=60)
        assert "call_site" in trigger.read_text()
    finally:
        trigger.write_text("!hist:keys=call_site")
        theirs.rmdir()


@x86
@pytest.mark.parametrize("inside", [[], ["unshare", "-p", "-f", "--mount-proc"]])
def test_what_allocq_allocates_itself_is_not_counted(inside: Sequence[str]) -> None:
    """Neither its pipe to the command, nor what reading the tables takes in another thread; nor
    in a container, where getpid() is not what events have."""
    words = ["alloc_pipe_info", "mm/slub.c", "--map-size", "2048", "-o", "json"]
    script = "true | true; sleep 5"
    done = subprocess.run(
        [*inside, *ALLOCQ, "stacks", *words, "--", "sh", "-c", script],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    pipes = [each for each in document["stacks"] if each["tag"] == "fs/pipe.c:902"]
    assert sum(each["calls"] for each in pipes) == 1, pipes
    frames = [frame for each in document["stacks"] for frame in each["stack"]]
    assert not any(frame.startswith(("hist_show", "tracing_map")) for frame in frames), frames


@x86
def test_what_is_missing_is_told_in_a_line(
    unprivileged: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    subprocess.run(["umount", TRACEFS], check=True)
    try:
        done = stacks("alloc_pipe_info")
        refused(done, "cannot trace allocations: tracefs is not mounted")
        assert "mount -t tracefs" in done.err
        subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
        try:  # tracefs is in it, once it is looked at
            assert stacks("alloc_pipe_info", run=["sh", "-c", "true | true"]).status == 0
        finally:
            subprocess.run(["umount", "-R", "/sys/kernel/debug"], check=True)
        subprocess.run(["mount", "-o", "ro", "-t", "tracefs", "tracefs", TRACEFS], check=True)
        done = stacks("alloc_pipe_info")
        refused(done, f"cannot trace allocations: tracefs is mounted read-only at {TRACEFS}")
        assert "remount,rw" in done.err
        subprocess.run(["umount", TRACEFS], check=True)
    finally:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACEFS], check=True)
    other = unprivileged([*ALLOCQ, "stacks", "alloc_pipe_info"])
    assert other.returncode == 2 and "permission denied" in other.stderr
    done = stacks("no_such_function")
    assert done.status == 1 and "no tag matches no_such_function" in done.err


@x86
def test_threads_are_told_apart() -> None:
    """Two programs on one path, with other numbers of pipes; they live while it looks for names."""
    pipes = "import os, sys, time\nkept = [os.pipe() for _ in range(int(sys.argv[1]))]\n"
    pipes += "for fds in kept[1:]: os.close(fds[0]), os.close(fds[1])\ntime.sleep(4)"
    both = "import subprocess, sys\nfor one in [subprocess.Popen([sys.executable, '-I', '-S', '-c',"
    both += " sys.argv[1], count]) for count in sys.argv[2:]]: one.wait()"
    document = asked("alloc_pipe_info", "--by-process", run=python(both, pipes, 40, 90))
    of_thread: dict[tuple[int, str], int] = {}
    for stack in through(document, "create_pipe_files"):
        thread = stack["pid"], stack["comm"]
        of_thread[thread] = of_thread.get(thread, 0) + stack["calls"]
    comm = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    # A pipe takes two objects.
    named = sorted(calls for (_, name), calls in of_thread.items() if name == comm)
    assert named[-2:] == [80, 180], of_thread
    assert document["total"]["calls"] == sum(of_thread.values())


@x86
@pytest.mark.parametrize("by_process", [False, True])
def test_sizes_of_one_stack_are_told_apart(tmp_path: Path, by_process: bool) -> None:
    out = tmp_path / "out"
    counts = {2: (5, 30), 4: (11, 20), 8: (3, 7)}  # pages of a pipe: kept, and closed again
    words = ["--by-process"] if by_process else []
    document = asked("pipe_resize_ring", "--live", "--by-size", *words,
                     run=python(RINGS, out, json.dumps(counts)))  # fmt: skip
    told = json.loads(out.read_text())
    os.kill(told["child"], signal.SIGKILL)
    stacks = document["stacks"]
    assert len({tuple(stack["stack"]) for stack in stacks}) == 1
    # A slot of a page has 40 bytes; kmalloc hands out 96, 192 and 512 for 2, 4 and 8 of them.
    of_size = {stack["size"]: (stack["live_calls"], stack["calls"]) for stack in stacks}
    assert of_size == {96: (5, 35), 192: (11, 31), 512: (3, 10)}
    for stack in stacks:
        assert stack["bytes"] == stack["size"] * stack["calls"]
        assert stack["live_bytes"] == stack["size"] * stack["live_calls"]
    # To the byte what the counters say.
    total = document["total"]
    assert [total["live_bytes"], total["live_calls"]] == told["grown"]
    assert document["dropped"] == {}
    comm = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert {stack["comm"] for stack in stacks} == {comm if by_process else None}


@x86
def test_sizes_of_pages_are_told_apart() -> None:
    program = "import mmap; m = mmap.mmap(-1, 1 << 20, 34)\nfor i in range(256): m[i << 12] = 1"
    words = ["mm/memory.c", "--by-size", "--map-size", "32768"]
    document = asked(*words, run=python(program))
    assert document["dropped"] == {} and document["total"]["bytes"] >= 1 << 20
    for stack in document["stacks"]:
        assert stack["size"] % 4096 == 0 and stack["bytes"] == stack["size"] * stack["calls"]


@x86
def test_a_report_has_both_paths(tmp_path: Path) -> None:
    saved = tmp_path / "pipes.json"
    done = stacks("alloc_pipe_info", "-o", "json", "--output", str(saved),
                  run=python(PROGRAM, tmp_path / "out", 50, 3, 2))  # fmt: skip
    os.kill(json.loads((tmp_path / "out").read_text())["child"], signal.SIGKILL)
    assert done.status == 0, done
    document = json.loads(saved.read_text())
    for format in ("markdown", "html"):
        done = allocq("report", "--stacks", str(saved), "-o", format, timeout=120)
        text = done.out.decode()
        assert done.status == 0, done
        # 53 pipes and 2 fifos, of two objects each.
        for function, calls in (("create_pipe_files", 106), ("fifo_open", 4)):
            assert sum(each["calls"] for each in through(document, function)) == calls
            lines = text.replace("<tr>", "\n<tr>").splitlines()
            assert any(function in line and str(calls) in line for line in lines), (function, text)


@contextlib.contextmanager
def top_beside_pipes(tmp_path: Path) -> Iterator[Screened]:
    """top, with the tags of pipes on its screen, while pipes are made on two paths."""
    with subprocess.Popen(python(BOTH, tmp_path / "fifo")) as pipes:
        try:
            with screened("top", "alloc_pipe_info", "--interval", "1s", "-g", "function") as seen:
                seen.until("sums by function", 120)
                yield seen
        finally:
            pipes.kill()


@x86
def test_top_shows_both_paths(tmp_path: Path) -> None:
    with top_beside_pipes(tmp_path) as seen:
        seen.type("w")
        seen.until("taking call stacks", 60)
        until(left, 120)
        seen.type("?")  # keys are alive meanwhile
        seen.until("who calls this: take the call stacks", 30)
        seen.type("?")
        seen.until("create_pipe_files", 240)
        assert "fifo_open" in seen.text and "alloc_pipe_info" in seen.text
        assert left() == []
        lines = [line.split() for line in seen.lines if line.strip()]
        rows = {words[-1].partition("+")[0]: words for words in lines}
        pipes, fifos = (int(rows[name][1]) for name in ("create_pipe_files", "fifo_open"))
        # Each turn of the loop makes one of each, of two objects; the first and the last are cut.
        assert abs(pipes - fifos) <= 4 and fifos > 0
        seen.type("qq")
        assert seen.wait() == 0


@x86
@pytest.mark.parametrize("how", ["escape", "q", signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_top_leaves_nothing_in_tracefs(tmp_path: Path, how: str | int) -> None:
    with top_beside_pipes(tmp_path) as seen:
        seen.type("w")
        until(lambda: any(map(is_counting, INSTANCES.glob("allocq-*"))), 120)
        if isinstance(how, int):
            os.kill(seen.pid, how)
            assert seen.wait(60) == (130 if how == signal.SIGINT else -how)
        else:
            seen.type("\x1b" if how == "escape" else "qq")
        if how == "escape":
            seen.until("no stacks were taken", 30)
        elif how == "q":
            assert seen.wait(60) == 0
        if how in ("escape", signal.SIGKILL):
            until(lambda: not left(), 120)  # it goes on alone, and cleans up
        assert left() == []


def is_counting(instance: Path) -> bool:
    with contextlib.suppress(OSError):
        text = (instance / "events/kmem/kmalloc/trigger").read_text()
        return "[active]" in text and "call_site" in text
    return False


def test_a_kernel_without_histogram_triggers() -> None:
    """User-Mode Linux has none."""
    start = time.monotonic()
    refused(stacks("alloc_pipe_info"), "cannot trace allocations")
    assert time.monotonic() - start < 60
    with screened("top", "--interval", "60s") as seen:
        seen.until("tags by growth")
        seen.type("w")
        seen.until(lambda: "cannot trace allocations: " in " ".join(seen.lines[-3:]))
        seen.type("q")
        assert seen.wait() == 0
