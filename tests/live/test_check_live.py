"""`allocq check` on the running kernel: it names leaks made on purpose, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import ALLOCQ, Result, allocq, refused

TIMES = 20
QUICK = ("--interval", "0.2")


def check(*argv: str, **options: Any) -> Result:
    return allocq("check", *QUICK, *argv, **options)


def first(done: Result) -> dict[str, Any]:
    assert done.status == 1, done
    grown: list[dict[str, Any]] = json.loads(done.out)["grown"]
    return grown[0]


@contextlib.contextmanager
def mounted(path: Path) -> Iterator[None]:
    path.mkdir()
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=False, stderr=subprocess.DEVNULL)


def test_what_leaks_nothing_passes_every_time() -> None:
    done = [check("--", "true") for _ in range(TIMES)]
    assert [(one.status, one.err) for one in done] == [(0, "")] * TIMES, done


def test_the_options_of_the_command_are_its_own(tmp_path: Path) -> None:
    marked, kept = tmp_path / "script", tmp_path / "kept"
    marked.write_text(f"echo run >'{tmp_path}/ran'; false; echo more >>'{tmp_path}/ran'\n")
    kept.touch()
    done = check("sh", "-e", str(marked))
    assert (done.status, (tmp_path / "ran").read_text()) == (3, "run\n"), done
    done = check("rm", "-i", str(kept), stdin=subprocess.DEVNULL)
    assert done.status in (0, 3) and b"leaked" not in done.out and kept.exists(), done
    assert b"kept" in check("ls", "-l", str(kept)).out


def test_reading_files_is_no_leak_when_caches_are_dropped() -> None:
    command = ["sh", "-c", "ls -R /usr/share/doc | wc -l; cat /usr/bin/[a-g]*"]
    done = check("--drop-caches", "--retries", "20", "--", *command, stdout=subprocess.DEVNULL)
    assert done.status == 0, done


def test_a_mount_that_is_undone_is_no_leak(tmp_path: Path) -> None:
    place = tmp_path / "place"
    script = 'mount -t tmpfs none "$0" && head -c 9000000 /dev/zero >"$0/x" && umount "$0"'
    with mounted(place):
        done = check("--", "sh", "-c", script, str(place))
    assert done.status == 0, done


def test_a_module_that_comes_and_goes_is_no_leak(modprobe: Any) -> None:
    modprobe("tun")
    modprobe.remove("tun")
    done = check("--drop-caches", "--", "sh", "-c", "modprobe tun && modprobe -r tun")
    assert done.status == 0, done


def test_a_filled_file_system_is_named_first(tmp_path: Path) -> None:
    place = tmp_path / "place"
    script = 'mount -t tmpfs none "$0" && head -c 9000000 /dev/zero >"$0/x"'
    with mounted(place):
        done = check("-o", "json", "--retries", "2", "--", "sh", "-c", script, str(place))
    leak = first(done)
    assert leak["file"] == "mm/shmem.c" and 9_000_000 <= leak["bytes_growth"] < 11_000_000
    assert json.loads(done.out)["readings"] == 3


def test_files_kept_open_are_named_first(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    # A sleep that was handed 3000 open files holds little else.
    hold = (
        "import os, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
        "if os.fork(): sys.exit(0)\n"
        "os.setsid()\n"
        "for fd in (1, 2): os.dup2(os.open('/dev/null', os.O_WRONLY), fd)\n"
        "for _ in range(3000): os.set_inheritable(os.open('/proc/self/stat', os.O_RDONLY), True)\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "os.execvp('sleep', ['sleep', '600'])\n"
    )
    script = 'python=$1; "$python" -I -S -c "$2" "$0"; while ! [ -s "$0" ]; do sleep 0.1; done'
    try:
        command = ["sh", "-c", script, str(pid), sys.executable, hold]
        options = {"stdin": subprocess.DEVNULL}
        done = check("-o", "json", "--retries", "2", "--", *command, **options)
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    leak = first(done)
    assert leak["function"] == "alloc_empty_file" and leak["calls_growth"] >= 2900, done


def test_a_module_left_loaded_is_found(modprobe: Any) -> None:
    modprobe("xfs")
    modprobe.remove("xfs")
    try:
        done = check("-o", "json", "--retries", "1", "--", "modprobe", "xfs")
        assert first(done)["bytes_growth"] > 200_000
        places = {row["file"] for row in json.loads(done.out)["grown"]}
        assert places & {"mm/execmem.c", "kernel/module/main.c", "mm/vmalloc.c"}
    finally:
        subprocess.run(["modprobe", "-r", "xfs"], check=True)


def test_a_leak_is_told_from_a_command_that_fails(tmp_path: Path) -> None:
    done = check("--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert done.status == 3 and done.out.startswith(b"out\n") and "err\n" in done.err
    assert "allocq: sh exited with status 7" in done.err
    assert "was killed by SIGKILL" in check("--", "sh", "-c", "kill -9 $$").err
    report = tmp_path / "report"
    check("-o", "junit", "--report", str(report), "--", "false")
    assert "exited with status 1" in report.read_text()


def test_a_command_that_is_not_there_is_status_2() -> None:
    refused(check("--", "/nonexistent"), "cannot run /nonexistent")


def test_a_baseline_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "baseline"
    assert allocq("snapshot", "--output", str(path)).status == 0
    place = tmp_path / "place"
    assert check("--baseline", str(path), "--max-growth", "16M").status == 0
    with mounted(place):
        subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
        (place / "x").write_bytes(bytes(40 << 20))
        done = check("--baseline", str(path), "-o", "json", "--retries", "0")
        assert first(done)["file"] == "mm/shmem.c"


def test_ctrl_c_ends_both() -> None:
    argv = [*ALLOCQ, "check", "--", "sh", "-c", "trap 'exit 9' INT; echo up; sleep 60 & wait"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert time.monotonic() - started < 20


def test_without_the_right_to_drop_caches_nothing_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    lock = "mount --bind /dev/null /proc/sys/vm/drop_caches"
    script = f'mount -o remount,ro,bind /proc/sys 2>/dev/null || {{ {lock}; exit 77; }}; exec "$@"'
    argv = ["unshare", "-m", "sh", "-c", f"mount --bind /proc/sys /proc/sys; {script}", "sh"]
    done = subprocess.run(
        [*argv, *ALLOCQ, "check", "--drop-caches", "--", "touch", str(mark)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("/proc/sys cannot be made read-only here")
    assert done.returncode == 2 and "drop caches" in done.stderr, done
    assert not mark.exists()


@pytest.mark.guest(params=("sysctl.vm.mem_profiling=0",))
def test_counters_that_stand_still_tell_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    done = check("--", "touch", str(mark))
    assert done.status == 2 and not mark.exists(), done


STRICT = ("--max-growth", "4K")


def passes_twenty_times() -> None:
    done = [allocq("check", *STRICT, "--", "/bin/ls") for _ in range(TIMES)]
    assert [(one.status, one.err) for one in done] == [(0, "")] * TIMES, [
        one for one in done if one.status
    ]


def pipes_left_behind_are_named_first(tmp_path: Path) -> None:
    hold = (
        "import os, sys\n"
        "if os.fork(): sys.exit(0)\n"
        "os.setsid()\n"
        "for fd in (0, 1, 2): os.dup2(os.open('/dev/null', os.O_RDWR), fd)\n"
        "kept = [os.pipe() for _ in range(400)]\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "import time; time.sleep(600)\n"
    )
    script = 'python=$1; "$python" -I -S -c "$2" "$0"; while ! [ -s "$0" ]; do sleep 0.1; done'
    for number in range(3):
        pid = tmp_path / f"pid{number}"
        command = ["sh", "-c", script, str(pid), sys.executable, hold]
        try:
            done = check(*STRICT, "-o", "json", "--retries", "2", "--", *command)
        finally:
            os.kill(int(pid.read_text()), signal.SIGKILL)
        leak = first(done)
        assert (leak["file"], leak["function"]) == ("fs/pipe.c", "alloc_pipe_info"), done


def an_idle_machine_passes(tmp_path: Path) -> None:
    path, plain = tmp_path / "baseline", tmp_path / "plain"
    assert check("--", "true").status == 0  # Python compiles what it imports into a tmpfs here
    plain.write_bytes(Path("/proc/allocinfo").read_bytes())
    for _ in range(3):
        done = check("--baseline", str(plain))
        assert (done.status, done.err) == (0, ""), done
    plain.unlink()
    assert allocq("snapshot", str(path)).status == 0
    for _ in range(3):
        done = check("--baseline", str(path))
        assert (done.status, done.err) == (0, ""), done


def test_ls_passes_every_time() -> None:
    passes_twenty_times()


@pytest.mark.guest(kernel="old")
def test_ls_passes_every_time_on_an_older_kernel() -> None:
    passes_twenty_times()


def test_pipes_left_behind_are_named_first(tmp_path: Path) -> None:
    pipes_left_behind_are_named_first(tmp_path)


@pytest.mark.guest(kernel="old")
def test_pipes_left_behind_are_named_first_on_an_older_kernel(tmp_path: Path) -> None:
    pipes_left_behind_are_named_first(tmp_path)


def test_an_idle_machine_passes_against_a_baseline(tmp_path: Path) -> None:
    an_idle_machine_passes(tmp_path)


@pytest.mark.guest(kernel="old")
def test_an_idle_machine_passes_against_a_baseline_on_an_older_kernel(tmp_path: Path) -> None:
    an_idle_machine_passes(tmp_path)


def test_one_object_a_run_is_found(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with mounted(place):
        subprocess.run(["mount", "-t", "tmpfs", "none", str(place)], check=True)
        command = ["mktemp", str(place / "XXXXXX")]
        done = check("--repeat", "20", "-o", "json", "--retries", "2", "--", *command)
    document = json.loads(done.out[done.out.index(b"{") :])
    assert done.status == 1 and "shmem_alloc_inode" in {
        each["function"] for each in document["steady"] if each["risen"] >= 19
    }, document["steady"]


def test_what_every_run_frees_is_not_steady() -> None:
    done = check("--repeat", "10", "--", "true")
    assert (done.status, done.err) == (0, ""), done
