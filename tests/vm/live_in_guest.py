"""Pytest plugins: live tests run in a guest, and are reported on the host under their own names.

On the host (`HostSide`) a live test is collected like any other, but the host boots a guest that
runs pytest on all selected tests for the same machine, and passes on their reports. In the guest
(`GuestSide`) the tests run as usual; each report is also written to a file in the job directory.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from guest import (
    HOW_TO_GET_A_KERNEL,
    POLL_SECONDS,
    Guest,
    GuestError,
    Machine,
    find_kernel,
    find_x86_kernel,
)

LIVE = Path(__file__).resolve().parents[1] / "live"
REPORTS = "reports.jsonl"
SELECTED = "selected.json"
JOB_IN_GUEST = Path("/run/job")
CPUS = int(os.environ.get("ALLOCQ_GUEST_CPUS", "2"))
SILENT_SECONDS = float(os.environ.get("ALLOCQ_GUEST_SECONDS", "900"))
PROCESSORS = os.cpu_count() or 1
MARKER = (
    'guest(kernel="new", cpus=2, mem=None, params=()): the machine that a live test wants; kernel '
    '"old" is one without the ioctl, "x86" a PC with the tracing that others lack, params are '
    "kernel parameters; the same marker shares a boot"
)


class NoKernel(Exception):
    """There is no kernel image for a test; the text says how to get one."""


def in_guest() -> bool:
    return os.environ.get("ALLOCQ_IN_GUEST") == "1"


def here() -> bool:
    """Whether live tests run on this very machine, because the caller asked for it."""
    return os.environ.get("ALLOCQ_LIVE_HERE") == "1"


def is_live(item: pytest.Item) -> bool:
    return LIVE in item.path.parents


def machine_of(item: pytest.Item) -> Machine:
    """The machine that the test's `guest` marker requests. NoKernel, GuestError."""
    marker = item.get_closest_marker("guest")
    return _machine(**(marker.kwargs if marker else {}))


def _machine(
    kernel: str = "new",
    cpus: int | None = None,
    mem: str | None = None,
    params: tuple[str, ...] = (),
) -> Machine:
    image = find_x86_kernel() if kernel == "x86" else find_kernel(old=kernel == "old")
    if image is None:
        what, how = "test kernel", HOW_TO_GET_A_KERNEL
        if kernel == "x86":
            what = "x86 test kernel"
            how = "a bzImage of Linux 7.3 with CONFIG_HIST_TRIGGERS (tests/README.md)"
        if kernel == "old":
            what = "test kernel without the ioctl"
            how = "tests/vm/build-kernel --package linux-source-6.12 (tests/README.md)"
        raise NoKernel(f"no {what}: {how}")
    if cpus is None:
        cpus = CPUS if kernel == "new" else 2
    return Machine(image, cpus, mem, tuple(params))


class Run:
    """Some live tests in one guest: its reports so far, by node id.

    lost: the last words of a guest that died or gave no answer, after which the tests that were
    left ran in another one. That is done once; a test that fails is never run again.
    """

    def __init__(self, config: pytest.Config, machine: Machine, items: list[pytest.Item]) -> None:
        self.machine = machine
        self.lost: str | None = None
        self._config = config
        self._items = items
        self._offset = 0
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._lost_at: str | None = None
        self.guest = self._boot(items)

    def _boot(self, items: list[pytest.Item]) -> Guest:
        files = list(dict.fromkeys(item.nodeid.split("::")[0] for item in items))
        return Guest(
            self.machine,
            [sys.executable, "-m", "pytest", *self._options(), *files],
            timeout=SILENT_SECONDS,
            cwd=self._config.rootpath,
            files={SELECTED: json.dumps([item.nodeid for item in items])},
        )

    def _boot_again(self) -> bool:
        """Boot another guest for the tests that are left, if this one is the first to be lost."""
        if self.lost is not None or (self.guest.job / "status").exists():
            return False
        self.lost = self.guest.last_words()
        left = [item for item in self._items if not self._complete(item.nodeid)]
        lost, self.guest = self.guest, self._boot(left)
        lost.close()
        self._offset = 0
        for item in left:
            self._reports.pop(item.nodeid, None)
        return True

    def _options(self) -> list[str]:
        options = self._config.option
        passed = [
            f"--rootdir={self._config.rootpath}",
            "-p",
            "no:cacheprovider",
            f"--tb={options.tbstyle}",
        ]
        passed += [f"--verbosity={options.verbose}", f"--maxfail={options.maxfail or 0}"]
        if self._config.inipath:
            passed += ["-c", str(self._config.inipath)]
        if options.showlocals:
            passed.append("--showlocals")
        for name in ("hypothesis_seed", "hypothesis_profile"):
            if (value := getattr(options, name, None)) is not None:
                passed.append(f"--{name.replace('_', '-')}={value}")
        return passed

    def reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        """The reports of one test as they arrive; a failure if the guest sent none."""
        while not self._complete(item.nodeid):
            ended = self.guest.poll() is not None
            self.read()
            if ended and not self._complete(item.nodeid):
                if self._boot_again():
                    continue
                return [
                    *self._reports.get(item.nodeid, []),
                    failure(item, self._what_happened(item.nodeid)),
                ]
            time.sleep(POLL_SECONDS)
        return self._reports[item.nodeid]

    def _complete(self, nodeid: str) -> bool:
        return any(report.when == "teardown" for report in self._reports.get(nodeid, ()))

    def read(self) -> None:
        """Take the reports that came; each puts off the guest's end."""
        try:
            with (self.guest.job / REPORTS).open("rb") as file:
                file.seek(self._offset)
                lines = file.readlines()
        except FileNotFoundError:
            return
        for line in lines:
            if not line.endswith(b"\n"):  # the rest is still to come
                return
            self._offset += len(line)
            self.guest.put_off()
            data = json.loads(line)
            report = self._config.hook.pytest_report_from_serializable(
                config=self._config, data=data
            )
            if isinstance(report.longrepr, list):  # a skip's place and reason: a tuple before json
                report.longrepr = tuple(report.longrepr)
            self._reports.setdefault(report.nodeid, []).append(report)

    def _what_happened(self, nodeid: str) -> str:
        """Why there are no (more) reports, from whatever the guest left; at length only once."""
        if self._lost_at is not None:
            return f"the guest had ended before, see {self._lost_at}"
        self._lost_at = nodeid
        job = self.guest.job
        if not (job / "status").exists():
            return self.guest.last_words()
        status = (job / "status").read_text().strip()
        output = [(job / name).read_text(errors="replace") for name in ("stdout", "stderr")]
        return "\n".join([f"pytest in the guest ended with status {status}:", *output])


def failure(item: pytest.Item, text: str) -> pytest.TestReport:
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", text, "call")


def skip(item: pytest.Item, reason: str) -> pytest.TestReport:
    longrepr = (str(LIVE), 0, f"Skipped: {reason}")
    return pytest.TestReport(item.nodeid, item.location, {}, "skipped", longrepr, "setup")


class HostSide:
    """Reports live tests from guests, which run beside the other tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._waiting: dict[Machine, list[pytest.Item]] = {}
        self._runs: dict[Machine, Run] = {}
        self._refused = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Live tests come last: their guest runs beside the others."""
        items.sort(key=is_live)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if is_live(item):
                with contextlib.suppress(NoKernel, GuestError):  # told when the test's turn comes
                    self._waiting.setdefault(machine_of(item), []).append(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not is_live(item):
            self._boot_ahead(PROCESSORS - 1)
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(self, item: pytest.Item) -> list[pytest.TestReport]:
        try:
            machine = machine_of(item)
            self._start(machine)
            return self._runs[machine].reports(item)
        except NoKernel as missing:
            return [skip(item, str(missing))]
        except GuestError as error:
            return [failure(item, str(error))]

    def _start(self, machine: Machine) -> None:
        """Boots `machine`, and the ones after it while there are processors for them."""
        if machine in self._waiting:
            self._boot(machine)
        self._boot_ahead(PROCESSORS)

    def _boot_ahead(self, most: int) -> None:
        try:
            while self._waiting and self._running() < most and not self._refused:
                self._boot(next(iter(self._waiting)))
        except GuestError:  # told when the test's turn comes
            self._refused = True

    def _boot(self, machine: Machine) -> None:
        self._runs[machine] = Run(self._config, machine, self._waiting[machine])
        del self._waiting[machine]

    def _running(self) -> int:
        for run in self._runs.values():
            run.read()
        return sum(run.guest.poll() is None for run in self._runs.values())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for run in self._runs.values():
            if run.lost is not None:
                terminalreporter.section("a guest was lost; the tests left ran in another one")
                terminalreporter.write_line(str(run.machine))
                terminalreporter.write_line(run.lost)

    def pytest_unconfigure(self) -> None:
        for run in self._runs.values():
            run.guest.close()


class GuestSide:
    """Runs what the host selected, and writes each report to the job directory."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        selected = JOB_IN_GUEST / SELECTED
        if selected.exists():
            wanted = set(json.loads(selected.read_text()))
            items[:] = [item for item in items if item.nodeid in wanted]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data: dict[str, Any] = self._config.hook.pytest_report_to_serializable(
            config=self._config, report=report
        )
        with (JOB_IN_GUEST / REPORTS).open("a") as file:
            file.write(json.dumps(data) + "\n")


class Here:
    """Runs the live tests on this machine; those that want another one are skipped."""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if is_live(item) and item.get_closest_marker("guest"):
            pytest.skip("needs a boot of its own; ALLOCQ_LIVE_HERE is set")


def register(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    plugin = GuestSide(config) if in_guest() else Here() if here() else HostSide(config)
    config.pluginmanager.register(plugin, "live-in-guest")
