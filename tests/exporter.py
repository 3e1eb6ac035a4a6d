"""Runs `allocq export` as a process and asks it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

from command import MODULE
from metrics import Values, read_openmetrics

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Exporter:
    """A running exporter. port: the first that it listens on."""

    def __init__(self, *argv: str, program: tuple[str, ...] = MODULE, **options: object) -> None:
        self.process = subprocess.Popen(
            [*program, "export", *argv], stderr=subprocess.PIPE, text=True, **options
        )  # type: ignore[call-overload]
        self.said = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if line.startswith("allocq: metrics at "):
                break
        else:
            self.process.wait()
            raise AssertionError(self.said)
        self.urls = line.removeprefix("allocq: metrics at ").strip().split(", ")
        self.host, port = re.fullmatch(r"https?://(.+):(\d+)/metrics", self.urls[0]).groups()  # type: ignore[union-attr]
        self.host = self.host.strip("[]")
        self.port = int(port)

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(
        self,
        path: str = "/metrics",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        context: ssl.SSLContext | None = None,
        timeout: float = 20,
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body)."""
        connection = (
            HTTPSConnection(self.host, self.port, timeout=timeout, context=context)
            if context
            else HTTPConnection(self.host, self.port, timeout=timeout)
        )
        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            body = response.read()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, body

    def values(self) -> Values:
        status, _, body = self.get(headers={"Accept": OPENMETRICS})
        assert status == 200
        return read_openmetrics(body)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=60)

    def status(self, thread: str = "") -> dict[str, str]:
        """/proc/PID/status."""
        path = Path(f"/proc/{self.pid}/{thread}/status")
        return dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)

    @property
    def rss(self) -> int:
        """Resident memory in KiB."""
        return int(self.status()["VmRSS"].split()[0])

    def files(self) -> int:
        """How many files and connections it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """(status, seconds)."""
        begun = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(60)
        assert self.process.stderr is not None
        self.said += self.process.stderr.read()
        return status, time.monotonic() - begun


@contextlib.contextmanager
def exporter(*argv: str, listen: str = "127.0.0.1:0", **options: object) -> Iterator[Exporter]:
    """An exporter of the sample on a free port, if nothing else is asked for."""
    source = (
        () if any(word in ("--source", "--sample", "--live") for word in argv) else ("--sample",)
    )
    words = [word for word in argv if word != "--live"]
    running = Exporter(*source, "--listen", listen, *words, **options)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        if running.process.stderr is not None:
            running.process.stderr.close()


PYTHON = sys.executable
