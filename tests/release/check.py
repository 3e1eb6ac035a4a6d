"""What is tried of a release: sums, lint, bare roots, emulated machines, the DaemonSet's mounts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .cluster import check_cluster
from .foreign import check_foreign
from .freethreaded import check_free_threaded
from .machines import Machine, Machinery
from .musl import check_musl
from .packages import ROOT, RPMLINT, file_name, newest_changes
from .roots import PYTHONS, check_deb, check_rpm, check_wheel, install_here, lint_rpm, run
from .units import check_units

Step = tuple[str, Callable[[], None]]
QUESTIONS = 300
"""On each emulated machine: a hundred for each of three kernels."""


def check(
    machinery: Machinery,
    machines: list[Machine],
    output: Path,
    jobs: int,
    say: Callable[[str], None],
) -> None:
    """Try all of it, whatever fails on the way. RuntimeError with what is wrong."""
    wrong = []

    def attempt(step: Step) -> None:
        name, call = step
        say(name)
        try:
            call()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            say(f"{name}: FAILED: {error}")
            wrong.append(name)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(attempt, _steps(machinery, machines, output)))
    if wrong:
        raise RuntimeError(f"{len(wrong)} failed: {'; '.join(wrong)}")
    say("checked")


def _steps(machinery: Machinery, machines: list[Machine], output: Path) -> Iterable[Step]:
    """The name of each trial, and what does it."""
    version, _ = newest_changes()
    yield "sums", lambda: _sums(output)
    for machine in machines:
        deb = output / file_name(machine, version, "deb")
        yield f"lintian: {deb.name}", lambda deb=deb: _lintian(deb)
        if machine.name == "x86_64":
            wheel = only(output, f"*manylinux*_{machine.name}.whl")
            yield from _natively(machinery, machine, version, wheel, output)
        else:
            yield (
                f"{QUESTIONS} questions on {machine.name}",
                lambda machine=machine, deb=deb: _foreign(machinery, machine, deb, output),
            )


def only(output: Path, pattern: str) -> Path:
    """The one file of a release that is called so. RuntimeError."""
    found = list(output.glob(pattern))
    if len(found) != 1:
        raise RuntimeError(f"{output}: {len(found) or 'no'} files are called {pattern}")
    return found[0]


def needed(machines: list[Machine]) -> None:
    """Whatever a check cannot do without, before it begins. RuntimeError."""
    if os.geteuid() != 0:
        raise RuntimeError("--check must be run as root")
    programs = {"debootstrap", "dpkg-deb", "lintian", "rpm", "unshare", "sha256sum"}
    programs |= {f"qemu-{each.qemu}-static" for each in machines if each.emulated}
    if missing := sorted(name for name in programs if not shutil.which(name)):
        raise RuntimeError(f"--check needs {', '.join(missing)}")
    kernel = os.environ.get("ALLOCQ_TEST_KERNEL", "")
    if any(each.name == "x86_64" for each in machines) and not Path(kernel or "/").is_file():
        raise RuntimeError("--check needs a test kernel: ALLOCQ_TEST_KERNEL (tests/README.md)")


def _sums(output: Path) -> None:
    run(["sh", "-c", 'cd "$1" && sha256sum --quiet --strict -c SHA256SUMS', "sh", output])


def _lintian(deb: Path) -> None:
    run(["lintian", "--allow-root", "--fail-on", "error", deb])


def _foreign(machinery: Machinery, machine: Machine, deb: Path, output: Path) -> None:
    install_here(machinery, output)
    check_foreign(machinery, machine, deb, output / f"allocq-{machine.name}-static", QUESTIONS)


def _natively(
    machinery: Machinery, machine: Machine, version: str, wheel: Path, output: Path
) -> Iterable[Step]:
    """What this machine can run."""
    deb, rpm = (output / file_name(machine, version, kind) for kind in ("deb", "rpm"))
    for suite in ("bookworm", "trixie"):
        yield f"{deb.name} on {suite}", lambda suite=suite: check_deb(machinery, suite, deb)
    yield "systemd units", lambda: check_units(machinery, "trixie", deb)
    yield f"rpmlint: {rpm.name}", lambda: lint_rpm(machinery, "trixie", rpm, RPMLINT)
    yield rpm.name, lambda: check_rpm(machinery, "trixie", rpm)
    for suite, pythons in PYTHONS.items():
        yield (
            f"pip and pipx: {', '.join(pythons)}",
            lambda suite=suite: check_wheel(machinery, suite, wheel),
        )
    musl = only(output, f"*musllinux*_{machine.name}.whl")
    yield "pip with musl", lambda: check_musl(machinery, machine, musl)
    sdist = only(output, "allocq-*.tar.gz")
    yield "pip without the GIL", lambda: check_free_threaded(machinery, sdist)
    yield "DaemonSet", lambda: check_cluster(machinery, deb, ROOT / "allocq" / "host")
