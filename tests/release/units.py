"""The deb's systemd units: verified, enabled, and run by a systemd that booted with them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .machines import Machinery
from .packages import UNITS
from .roots import Root, bare

TRIAL = Path("usr/local/bin/trial")
SERVICES = ("allocq-record", "allocq-export")
GET = 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:9836/metrics").read(19))'
SCRIPT = f"""#!/bin/sh
exec >/result 2>&1
systemctl is-active {" ".join(SERVICES)}
python3 -c '{GET}'
sleep 2
systemctl reload {SERVICES[0]} && systemctl is-active {SERVICES[0]}
systemctl restart {SERVICES[1]} && systemctl is-active {SERVICES[1]}
systemctl stop {" ".join(SERVICES)}
systemctl show --value -p Result -p ActiveState {" ".join(SERVICES)}
allocq query --source /var/lib/allocq --count
systemctl poweroff --force --force >/dev/null 2>&1
"""
UNIT = f"""[Unit]
After={" ".join(f"{name}.service" for name in SERVICES)} multi-user.target
[Service]
Type=oneshot
ExecStart=/{TRIAL}
[Install]
WantedBy=multi-user.target
"""
# Answers of both, then of each when asked, then of both when stopped; last, the tags recorded.
ANSWERS = [*["active"] * 2, "b'# HELP allocq_bytes'", *["active"] * 2,
           *["success", "inactive"] * 2]  # fmt: skip
SECONDS = 240


def check_units(machinery: Machinery, suite: str, deb: Path) -> None:
    """Raises RuntimeError."""
    with bare(machinery, suite) as root:
        before = root.paths()
        root.apt("update")
        shutil.copy(deb, root.path / "tmp")
        root.apt("install", "systemd", "systemd-sysv", "procps", f"/tmp/{deb.name}")
        units = [f"/{path.relative_to(root.path)}" for path in (root.path / UNITS).glob("allocq*")]
        if said := root.run("systemd-analyze", "verify", "--man=no", *units):
            raise RuntimeError(f"{suite}: systemd-analyze: {said}")
        root.run("systemctl", "enable", *SERVICES)
        boot(root)
        # As it was enabled, so it goes.
        root.apt("purge", "allocq")
        left = [each for each in root.paths() - before if "allocq" in each]
        left += [str(path) for path in (root.path / "var/lib").glob("*/allocq*")]
        left = [each for each in left if not each.startswith("/var/lib/dpkg")]
        if left or (root.path / "var/lib/allocq").exists():
            raise RuntimeError(f"{suite}: left {left}")


def boot(root: Root) -> None:
    """Start the root's systemd on the test kernel, which has it as its own."""
    (root.path / TRIAL).write_text(SCRIPT)
    (root.path / TRIAL).chmod(0o755)
    (root.path / "etc/systemd/system/trial.service").write_text(UNIT)
    root.run("systemctl", "enable", "trial")
    kernel = os.environ.get("ALLOCQ_TEST_KERNEL", "")
    if not kernel or Path(kernel).read_bytes()[:4] != b"\x7fELF":
        raise RuntimeError("a User-Mode Linux is needed: ALLOCQ_TEST_KERNEL (tests/README.md)")
    words = ["mem=768M", "rootfstype=hostfs", f"rootflags={root.path}", "rw", "con=null"]
    subprocess.run(
        [kernel, *words, "con0=null,fd:1", "init=/lib/systemd/systemd"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=root.path, timeout=SECONDS,
    )  # fmt: skip
    said = (root.path / "result").read_text()
    *answers, tags = [line for line in said.splitlines() if line]
    if answers != ANSWERS or not tags.isdecimal() or int(tags) < 100:
        raise RuntimeError(f"{root.path.name}: {said}")
    (root.path / TRIAL).unlink()
    (root.path / "result").unlink()
    root.run("systemctl", "disable", "trial")
