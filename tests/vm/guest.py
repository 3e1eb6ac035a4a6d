"""Run a command as root inside a real kernel, over a read-only view of this machine's files.

    python tests/vm/guest.py [--kernel FILE] [--cpus N] [--mem SIZE] [--param P]... -- COMMAND...

The kernel image is a User-Mode Linux executable (one process of the host, any user can start it)
or an x86 bzImage (booted in QEMU). What the command writes outside the job directory is discarded
when the guest ends.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import madt

HERE = Path(__file__).resolve().parent
NO_STATUS = 125
ONLINE_CPUS = 2
INITRD = "initrd"
POLL_SECONDS = 0.02
CONSOLE_LINES = 40
CARRIED = ("PATH", "VIRTUAL_ENV", "LANG", "TERM", "TZ", "CI", "NO_COLOR", "COLUMNS")
CARRIED_PREFIXES = ("ALLOCQ_", "PYTHON", "PYTEST", "HYPOTHESIS", "LC_")
HOW_TO_GET_A_KERNEL = "run tests/vm/build-kernel, or set ALLOCQ_TEST_KERNEL (tests/README.md)"


class GuestError(Exception):
    """The guest cannot be started or its kernel cannot be found; the message is one line."""


def find_kernel(old: bool = False) -> Path | None:
    """The kernel image to test on: a 7.3 or later, or with `old` one without the ioctl.

    ALLOCQ_TEST_KERNEL (ALLOCQ_TEST_KERNEL_OLD), else what build-kernel left in the cache; for an
    old one also uml-6.12/linux beside the directory of ALLOCQ_TEST_KERNEL. None where none is.
    """
    variable = "ALLOCQ_TEST_KERNEL_OLD" if old else "ALLOCQ_TEST_KERNEL"
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise GuestError(f"{variable}: no such file: {named}")
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "allocq-test"
    if not old:
        places = [cache / "um" / "linux"]
    else:
        places = sorted(cache.glob("um-*/linux"))
        if new := os.environ.get("ALLOCQ_TEST_KERNEL"):
            places.append(Path(new).resolve().parent.parent / "uml-6.12" / "linux")
    return next((place for place in places if place.is_file()), None)


def find_x86_kernel() -> Path | None:
    """The bzImage to test on: ALLOCQ_TEST_KERNEL_X86. GuestError if it is no file."""
    named = os.environ.get("ALLOCQ_TEST_KERNEL_X86")
    if named and not Path(named).is_file():
        raise GuestError(f"ALLOCQ_TEST_KERNEL_X86: no such file: {named}")
    return Path(named) if named else None


def find_arm64_kernel() -> Path | None:
    """The arm64 image to test on: ALLOCQ_TEST_KERNEL_ARM64. GuestError if it is no file."""
    named = os.environ.get("ALLOCQ_TEST_KERNEL_ARM64")
    if named and not Path(named).is_file():
        raise GuestError(f"ALLOCQ_TEST_KERNEL_ARM64: no such file: {named}")
    return Path(named) if named else None


def kernel_kind(image: Path) -> str:
    """`uml` or `qemu`, recognized by the content of the image."""
    try:
        with image.open("rb") as file:
            start = file.read(0x206)
    except OSError as error:
        raise GuestError(f"{image}: {error.strerror}") from None
    if start[0x1FE:0x200] == b"\x55\xaa" and start[0x202:0x206] == b"HdrS":
        return "qemu"
    if start[:5] == b"\x7fELF\x02" and start[18:20] == b"\x3e\x00":
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            version = subprocess.run([image, "--version"], capture_output=True, timeout=10)
            if version.returncode == 0 and version.stdout[:1].isdigit():
                return "uml"
    raise GuestError(f"{image}: neither a User-Mode Linux executable nor an x86 bzImage")


@dataclass(frozen=True)
class Machine:
    """What to boot; `mem` like 128M or 1G, None for the default of the kind of kernel."""

    kernel: Path
    cpus: int = 2
    mem: str | None = None
    params: tuple[str, ...] = ()

    @property
    def has_table(self) -> bool:
        """Does the kernel need a table of CPUs that do not exist (madt.py)?"""
        return self.cpus > ONLINE_CPUS and kernel_kind(self.kernel) == "qemu"

    def command(self, job: Path) -> list[str]:
        """The host's command that boots it; it does not outlive the process that starts it."""
        bound = ["setpriv", "--pdeathsig", "KILL"]
        common = [
            f"init={job}/guest-init",
            f"GUEST_JOB={job}",
            "ro",
            "quiet",
            "loglevel=4",
            "panic=-1",
        ]
        # Unloading a module waits for RCU many times over.
        common += [f"maxcpus={ONLINE_CPUS}", "rcupdate.rcu_expedited=1", *self.params]
        if kernel_kind(self.kernel) == "uml":
            uml = [
                str(self.kernel.resolve()),
                f"mem={self.mem or '1G'}",
                f"ncpus={self.cpus}",
                "seccomp=auto",
            ]
            uml += ["rootfstype=hostfs", "rootflags=/", "con0=null,fd:1", "con=null", "ssl=null"]
            return [*bound, *uml, f"uml_dir={job}/", "GUEST_KIND=uml", *common]
        if shutil.which("qemu-system-x86_64") is None:
            raise GuestError("a bzImage needs qemu-system-x86_64 (Debian package qemu-system-x86)")
        # Emulated even where there is a /dev/kvm: nested ones cannot be relied on.
        qemu = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"]
        qemu += ["-smp", str(min(self.cpus, ONLINE_CPUS)), "-m", self.mem or "4G"]
        if self.has_table:
            qemu += ["-initrd", f"{job}/{INITRD}"]
        qemu += ["-nographic", "-no-reboot", "-nic", "none", "-kernel", str(self.kernel)]
        share = "local,security_model=none,multidevs=remap"
        qemu += [
            "-fsdev",
            f"{share},id=root,path=/,readonly=on",
            "-fsdev",
            f"{share},id=job,path={job}",
        ]
        qemu += ["-device", "virtio-9p-pci,fsdev=root,mount_tag=/dev/root"]
        qemu += ["-device", "virtio-9p-pci,fsdev=job,mount_tag=job"]
        root = ["root=/dev/root", "rootfstype=9p"]
        root += ["rootflags=trans=virtio,version=9p2000.L,msize=512000,cache=loose"]
        return [
            *bound,
            *qemu,
            "-append",
            " ".join(["console=ttyS0", *root, "GUEST_KIND=qemu", *common]),
        ]


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    carried = {
        k: v for k, v in os.environ.items() if k in CARRIED or k.startswith(CARRIED_PREFIXES)
    }
    path = [
        str(Path(sys.executable).parent),
        os.environ.get("PATH", ""),
        "/usr/sbin",
        "/sbin",
        "/usr/bin",
        "/bin",
    ]
    carried["PATH"] = ":".join(part for part in path if part)
    carried.setdefault("PYTHONUSERBASE", site.getuserbase())
    return {**carried, "HOME": "/run/home", "TMPDIR": "/run/tmp", "ALLOCQ_IN_GUEST": "1", **extra}


def _more_cpus(cpus: int) -> bytes:
    if cpus > madt.MOST_CPUS:
        raise GuestError(f"{cpus} CPUs: at most {madt.MOST_CPUS} in QEMU")
    return madt.initrd(cpus)


def _same_possible_cpus(cpus: int) -> str:
    """Shell that ends a guest whose kernel has another number of possible CPUs than asked for."""
    wanted = f"0-{cpus - 1}" if cpus > 1 else "0"
    return (
        "possible=$(cat /sys/devices/system/cpu/possible)\n"
        f'[ "$possible" = {wanted} ] || '
        f'{{ echo "guest: possible CPUs are $possible, not {wanted}" >&2; exit {NO_STATUS}; }}'
    )


def _closed_to_others(paths: Sequence[Path]) -> list[Path]:
    """The directories on the way to `paths` that only their owner may enter (a home, often)."""
    ways = {parent for path in paths for parent in (path.resolve() / "x").parents}
    return sorted(way for way in ways if way.is_dir() and not way.stat().st_mode & 0o001)


class Guest:
    """A running guest. A context manager: leaving it ends the guest and removes the job directory.

    `job` is that directory on the host; the guest sees it as /run/job and both may write to it.
    The job's output is in its files stdout and stderr, a fraction of a second late.
    """

    def __init__(
        self,
        machine: Machine,
        command: Sequence[str],
        *,
        timeout: float = 300,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.machine = machine
        self.timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._late = False
        self.job = Path(tempfile.mkdtemp(prefix="allocq-guest-")).resolve()
        try:
            if machine.has_table:
                (self.job / INITRD).write_bytes(_more_cpus(machine.cpus))
            self._prepare(command, cwd or Path.cwd(), env or {}, files or {})
            with (self.job / "console").open("wb") as console:
                self._process = subprocess.Popen(
                    machine.command(self.job),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except BaseException:
            shutil.rmtree(self.job)
            raise

    def _prepare(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], files: Mapping[str, str]
    ) -> None:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in _environment(env).items()]
        modules = self.machine.kernel.resolve().parent / "modules"
        if modules.is_dir():
            lines += [
                "mkdir -p /lib/modules",
                f"mount --bind {shlex.quote(str(modules))} /lib/modules",
            ]
        # Tests run commands as other users too: they must be able to reach python and the tree.
        closed = _closed_to_others([cwd, Path(sys.prefix), Path(sys.base_prefix)])
        if closed:
            lines.append("chmod o+x " + shlex.join(map(str, closed)))
        if self.machine.has_table:
            lines.append(_same_possible_cpus(self.machine.cpus))
        lines += [f"cd {shlex.quote(str(cwd))} || exit 126", f"exec {shlex.join(command)}"]
        (self.job / "job").write_text("\n".join(lines) + "\n")
        shutil.copy(HERE / "guest-init", self.job / "guest-init")
        for name, text in files.items():
            (self.job / name).write_text(text)

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def poll(self) -> int | None:
        """The command's exit status, NO_STATUS if the guest reported none, None while it runs."""
        if time.monotonic() > self._deadline and self._process.poll() is None:
            self._late = True
            self._kill()
        ended = self._process.poll() is not None
        try:
            return int((self.job / "status").read_text())
        except (FileNotFoundError, ValueError):
            return NO_STATUS if ended else None

    def put_off(self) -> None:
        """Count `timeout` from now on: the guest is alive."""
        self._deadline = time.monotonic() + self.timeout

    def wait(self) -> int:
        while (status := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        return status

    def last_words(self) -> str:
        """Why the guest reported no status, if known, and the end of its console."""
        console = (self.job / "console").read_text(errors="replace").splitlines()[-CONSOLE_LINES:]
        why = f"ran longer than {self.timeout:g} s" if self._late else "died"
        return "\n".join(
            [f"the guest {why} and gave no exit status; the end of its console:", *console]
        )

    def close(self) -> None:
        """End the guest, and remove its directory."""
        self._kill()
        shutil.rmtree(self.job)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _copy_new(files: Sequence[tuple[Path, BinaryIO]]) -> Iterator[None]:
    """Copies what was appended to each file since the last step."""
    offsets = [0] * len(files)
    while True:
        for i, (path, stream) in enumerate(files):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(offsets[i])
                if new := file.read():
                    stream.write(new)
                    stream.flush()
                    offsets[i] += len(new)
        yield


def run(machine: Machine, command: Sequence[str], timeout: float) -> int:
    """Run `command` in a guest, copy its output to ours as it comes, and return its exit status."""
    with Guest(machine, command, timeout=timeout) as guest:
        output = [
            (guest.job / "stdout", sys.stdout.buffer),
            (guest.job / "stderr", sys.stderr.buffer),
        ]
        copy = _copy_new(output)
        while (status := guest.poll()) is None:
            next(copy)
            time.sleep(POLL_SECONDS)
        next(copy)
        if status == NO_STATUS and not (guest.job / "status").exists():
            print(f"guest: {guest.last_words()}", file=sys.stderr)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a command as root inside a real kernel.")
    parser.add_argument(
        "--kernel", type=Path, help="image (default: ALLOCQ_TEST_KERNEL, else the cache)"
    )
    parser.add_argument("--old", action="store_true", help="the kernel without the ioctl instead")
    parser.add_argument("--cpus", type=int, default=2, help="possible CPUs (two come online)")
    parser.add_argument("--mem", help="128M, 1G, ...")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--param", action="append", default=[], help="kernel parameter, repeatable")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        kernel = args.kernel or find_kernel(args.old)
        if kernel is None:
            raise GuestError(f"no test kernel: {HOW_TO_GET_A_KERNEL}")
        return run(
            Machine(kernel, args.cpus, args.mem, tuple(args.param)), args.command, args.timeout
        )
    except GuestError as error:
        print(f"guest: {error}", file=sys.stderr)
        return NO_STATUS
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
