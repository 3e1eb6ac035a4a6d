"""Shipping to a real object server, which dies as hosts do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from command import MODULE
from obstore.store import S3Store
from parquet_files import check_places, rows_of, said
from test_recording import append
from test_shipping import at

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
SECRET = "secret"
STRACE = ("strace", "-f", "-qq", "-o", "/dev/null")


@dataclass
class Server:
    """moto's S3 server. What it holds is gone with it."""

    port: int
    child: subprocess.Popen[bytes]

    @classmethod
    def start(cls, port: int = 0) -> Server:
        if not port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = cls(
            port,
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return server
            time.sleep(0.05)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    @property
    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {**kept, **KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def create(self, bucket: str) -> None:
        import urllib.request

        request = urllib.request.Request(f"{self.env['AWS_ENDPOINT_URL']}/{bucket}", method="PUT")
        urllib.request.urlopen(request).close()

    def store(self, bucket: str) -> S3Store:
        return S3Store(
            bucket,
            endpoint=self.env["AWS_ENDPOINT_URL"],
            access_key_id="key",
            secret_access_key="secret",
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def fetch(self, bucket: str, folder: Path) -> list[str]:
        """All objects as files; returns their names."""
        store, names = self.store(bucket), []
        for batch in obstore.list(store):
            for each in batch:
                names.append(each["path"])
                path = folder / each["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(obstore.get(store, each["path"]).bytes()))
        return names


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server.start()
    yield server
    server.kill()


def run(
    server: Server, folder: Path, to: str, *before: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *MODULE, "ship", "--source", str(folder), "--to", to, "--all"],
        env={**server.env, **env},
        capture_output=True,
        text=True,
    )


SOME = [at(n / 4, n) for n in range(16)]


def test_the_bucket_holds_each_hour_once_and_whole(server: Server, tmp_path: Path) -> None:
    server.create("whole")
    append(tmp_path / "r", SOME)
    done = run(server, tmp_path / "r", "s3://whole/a/b")
    assert done.stderr == "allocq: shipped 16 samples in 4 files to s3://whole/a/b\n"
    assert run(server, tmp_path / "r", "s3://whole/a/b/").stderr.startswith("allocq: nothing")
    names = server.fetch("whole", tmp_path / "got")
    assert len(names) == 4
    assert all(name.startswith("a/b/date=2024-10-04/hour=1") for name in names)
    assert rows_of(tmp_path / "got/a/b") == said(SOME, "h")
    check_places(tmp_path / "got/a/b")


def test_killed_in_the_middle_it_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    """Before each of its messages to the server, and before what it notes."""
    for call, numbers in (("sendto,writev", range(1, 12, 2)), ("fdatasync,fsync", range(1, 30, 6))):
        for number in numbers:
            bucket = f"killed-{call.partition(',')[0]}-{number}"
            server.create(bucket)
            folder = tmp_path / bucket
            append(folder, SOME)
            kill = f"inject={call}:signal=KILL:when={number}"
            killed = run(server, folder, f"s3://{bucket}/p", *STRACE, "-e", kill)
            assert killed.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL)
            server.fetch(bucket, tmp_path / "between" / bucket)
            assert rows_of(tmp_path / "between" / bucket / "p") <= said(SOME, "h")
            done = run(server, folder, f"s3://{bucket}/p")
            assert done.returncode == 0, done.stderr
            names = server.fetch(bucket, tmp_path / "got" / bucket)
            assert len(names) == 4, (call, number)
            assert rows_of(tmp_path / "got" / bucket / "p") == said(SOME, "h"), (call, number)


def test_killed_at_any_time(server: Server, tmp_path: Path) -> None:
    server.create("any-time")
    folder = tmp_path / "r"
    append(folder, SOME)
    command = [*MODULE, "ship", "--source", str(folder), "--to", "s3://any-time/p", "--all"]
    for number in range(8):
        child = subprocess.Popen(command, env=server.env, stderr=subprocess.DEVNULL)
        time.sleep(0.2 + 0.05 * number)
        child.kill()
        child.wait()
    assert run(server, folder, "s3://any-time/p").returncode == 0
    assert len(server.fetch("any-time", tmp_path / "got")) == 4
    assert rows_of(tmp_path / "got/p") == said(SOME, "h")


def test_the_server_dies_in_the_middle(tmp_path: Path) -> None:
    server = Server.start()
    try:
        server.create("dies")
        folder = tmp_path / "r"
        append(folder, SOME[:8])
        assert run(server, folder, "s3://dies/p").returncode == 0
        server.fetch("dies", tmp_path / "first")
        append(folder, SOME[8:])
        command = [*MODULE, "ship", "--source", str(folder), "--to", "s3://dies/p", "--all"]
        os.kill(server.child.pid, signal.SIGSTOP)  # so that it is asked before it dies
        child = subprocess.Popen(command, env=server.env, stderr=subprocess.PIPE, text=True)
        time.sleep(1.5)
        server.kill()
        _, said_at_end = child.communicate(timeout=120)
        assert child.returncode == 2
        assert said_at_end.startswith("allocq: cannot write s3://dies: ")
        assert said_at_end.count("\n") == 1
        server = Server.start(server.port)
        server.create("dies")
        assert run(server, folder, "s3://dies/p").returncode == 0
        server.fetch("dies", tmp_path / "second")
        rows = rows_of(tmp_path / "first/p") + rows_of(tmp_path / "second/p")
        assert rows == said(SOME, "h")
    finally:
        server.kill()


def test_no_bucket(server: Server, tmp_path: Path) -> None:
    append(tmp_path / "r", SOME[:1])
    done = run(server, tmp_path / "r", "s3://missing/p")
    assert done.returncode == 2
    assert done.stderr == ("allocq: cannot write s3://missing: no such bucket\nhint: create it\n")
    server.create("missing")
    assert run(server, tmp_path / "r", "s3://missing/p").returncode == 0


def answering(status: int, code: str) -> subprocess.Popen[bytes]:
    """A server that answers every request so."""
    program = f"""
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"<Error><Code>{code}</Code><Message>no secret here</Message></Error>"
        self.send_response({status})
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_HEAD = do_GET = do_PUT
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "permission denied"),
        (403, "InvalidAccessKeyId", "permission denied"),
        (401, "Unauthorized", "the credentials are not accepted"),
        (404, "NoSuchBucket", "no such bucket"),
        (500, "InternalError", "the server says 500"),
        (503, "SlowDown", "the server says 503"),
        (400, "MalformedXML", "the server says 400"),
    ],
)
def test_what_the_server_answers_is_one_line(
    tmp_path: Path, status: int, code: str, words: str
) -> None:
    append(tmp_path / "r", SOME[:1])
    child = answering(status, code)
    assert child.stdout
    try:
        port = int(child.stdout.readline())
        server = Server(port, child)
        begun = time.monotonic()
        done = run(server, tmp_path / "r", "s3://bucket/p")
        check_error(done, words)
        assert time.monotonic() - begun < 60
    finally:
        child.kill()
        child.wait()


def check_error(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("allocq: cannot write s3://"), done.stderr
    assert words in lines[0]
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    assert SECRET not in done.stderr


def test_nobody_listens(server: Server, tmp_path: Path) -> None:
    append(tmp_path / "r", SOME[:1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        done = run(
            server, tmp_path / "r", "s3://b12/p", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}"
        )
    check_error(done, "connection refused")


def test_a_name_that_is_not_known(server: Server, tmp_path: Path) -> None:
    append(tmp_path / "r", SOME[:1])
    done = run(server, tmp_path / "r", "s3://b12/p", AWS_ENDPOINT_URL="http://no-such-host.invalid")
    check_error(done, "the name of the server is not known")


def test_nothing_is_shipped_twice_to_another_store_or_place(server: Server, tmp_path: Path) -> None:
    for bucket in ("one", "two"):
        server.create(f"place-{bucket}")
    append(tmp_path / "r", SOME[:4])
    for to in ("s3://place-one/a", "s3://place-one/b", "s3://place-two/a", "s3://place-one/a"):
        assert run(server, tmp_path / "r", to).returncode == 0
    counts = Counter(name.partition("/")[0] for name in server.fetch("place-one", tmp_path / "got"))
    assert counts == {"a": 1, "b": 1}
