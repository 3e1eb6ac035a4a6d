"""What is tried of a release: sums, lint, bare roots, emulated machines, the DaemonSet's mounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from .cluster import check_cluster
from .foreign import check_foreign
from .machines import Machine, Machinery
from .packages import ROOT, file_name, newest_changes
from .roots import PYTHONS, check_deb, check_rpm, check_wheel, install_here, run

QUESTIONS = 300
"""On each emulated machine: a hundred for each of three kernels."""


def check(
    machinery: Machinery, machines: list[Machine], output: Path, say: Callable[[str], None]
) -> None:
    """Try all of it. RuntimeError at the first that is wrong."""
    version, _ = newest_changes()
    run(["sh", "-c", 'cd "$1" && sha256sum --quiet --strict -c SHA256SUMS', "sh", output])
    for machine in machines:
        deb = output / file_name(machine, version, "deb")
        say(f"lintian: {deb.name}")
        run(["lintian", "--allow-root", "--fail-on", "error", deb])
        (wheel,) = output.glob(f"*manylinux*_{machine.name}.whl")
        if machine.name == "x86_64":
            for name, call in _natively(machinery, machine, version, wheel, output):
                say(name)
                call()
        else:
            say(f"{QUESTIONS} questions on {machine.name}")
            install_here(machinery, output)
            static = output / f"allocq-{machine.name}-static"
            check_foreign(machinery, machine, deb, static, QUESTIONS)
    say("checked")


def _natively(
    machinery: Machinery, machine: Machine, version: str, wheel: Path, output: Path
) -> Iterable[tuple[str, Callable[[], None]]]:
    """What this machine can run."""
    deb, rpm = (output / file_name(machine, version, kind) for kind in ("deb", "rpm"))
    for suite in ("bookworm", "trixie"):
        yield f"{deb.name} on {suite}", lambda suite=suite: check_deb(machinery, suite, deb)
    yield rpm.name, lambda: check_rpm(machinery, "trixie", rpm)
    for suite, pythons in PYTHONS.items():
        yield (
            f"pip and pipx: {', '.join(pythons)}",
            lambda suite=suite: check_wheel(machinery, suite, wheel),
        )
    yield "DaemonSet", lambda: check_cluster(machinery, deb, ROOT / "allocq" / "host")
