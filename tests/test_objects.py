"""Shipping to a real object server, which dies as hosts do."""

from __future__ import annotations

import contextlib
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
from command import MODULE, until
from obstore.store import S3Store
from parquet_files import check_places, rows_of, said
from test_recording import append
from test_shipping import at

from allocq.storage.shipping import objects
from allocq.storage.shipping.ledger import NAME

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
        until(server.listens)
        return server

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def is_asked(self) -> bool:
        """Has it a request that it has not read?"""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, _, queues, *_ = line.split()
            if local.endswith(f":{self.port:04X}") and int(queues.partition(":")[2], 16) > 8:
                return True
        return False

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
        until(server.is_asked)
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


@contextlib.contextmanager
def answering(methods: str, tls: Path | None = None) -> Iterator[Server]:
    """A server with some methods of a request handler. tls: its key and certificate."""
    program = f"""
import http.server, ssl, time
class Answer(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
    def log_message(self, *_): pass
{methods}
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
if {str(tls or "")!r}:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({str(tls or "")!r})
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout
    try:
        yield Server(int(child.stdout.readline()), child)
    finally:
        child.kill()
        child.wait()


ALL_ALIKE = """
    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        {}
    do_HEAD = do_GET = do_PUT
"""


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
        (403, "SignatureDoesNotMatch", "the two keys do not belong together"),
        (403, "RequestTimeTooSkewed", "clock and the server's are too far apart"),
        (400, "ExpiredToken", "the session token is invalid or has expired"),
        (400, "AuthorizationHeaderMalformed", "the bucket is in another region"),
        (301, "PermanentRedirect", "the bucket is in another region"),
        (405, "MethodNotAllowed", "the server says 405"),
    ],
)
def test_what_the_server_answers_is_one_line(
    tmp_path: Path, status: int, code: str, words: str
) -> None:
    append(tmp_path / "r", SOME[:1])
    body = f"<Error><Code>{code}</Code><Message>no secret here</Message></Error>"
    with answering(ALL_ALIKE.format(f"self.answer({status}, {body.encode()!r})")) as server:
        begun = time.monotonic()
        check_error(run(server, tmp_path / "r", "s3://bucket/p"), words)
        assert time.monotonic() - begun < 60


def check_error(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("allocq: cannot write s3://"), done.stderr
    assert words in lines[0]
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("self.answer(200, b'<html>Hello</html>')", "does not answer as an S3 store"),
        ("self.answer(200, b'')", "does not answer as an S3 store"),
        ("self.wfile.write(b'SSH-2.0-OpenSSH')", "does not answer as an S3 store"),
        ("self.answer(307, b'', Location=self.path)", "does not answer as an S3 store"),
        ("self.connection.close()", "the connection was lost"),
    ],
)
def test_a_server_that_is_no_store(tmp_path: Path, how: str, words: str) -> None:
    append(tmp_path / "r", SOME[:1])
    with answering(ALL_ALIKE.format(how)) as server:
        begun = time.monotonic()
        check_error(run(server, tmp_path / "r", "s3://bucket/p"), words)
        assert time.monotonic() - begun < 60


@pytest.mark.parametrize("what", ["silent", "trickling"])
def test_a_server_that_does_not_answer_in_time(tmp_path: Path, what: str) -> None:
    """With short patience, so that the test has it, too."""
    append(tmp_path / "r", SOME[:1])
    how = {
        "silent": "time.sleep(600)",
        "trickling": "[(self.wfile.write(b'x'), time.sleep(0.2)) for _ in range(3000)]",
    }
    patient = """
import sys
from datetime import timedelta
import allocq.storage.shipping.objects as objects
objects._REQUEST = objects._ALL = timedelta(seconds=2)
from allocq.__main__ import entry
entry()
"""
    with answering(ALL_ALIKE.format(how[what])) as server:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", patient, "ship", "--all", "--source", tmp_path / "r",
             "--to", "s3://bucket/p"],
            env=server.env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        check_error(done, "")
        assert time.monotonic() - begun < 30


def test_patience_is_as_documented() -> None:
    assert (objects._REQUEST + objects._ALL).total_seconds() == 90


def test_a_server_that_cannot_be_trusted(tmp_path: Path) -> None:
    append(tmp_path / "r", SOME[:1])
    key = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
         "-out", tmp_path / "c"],
        check=True, capture_output=True,
    )  # fmt: skip
    key.write_bytes(key.read_bytes() + (tmp_path / "c").read_bytes())
    with answering(ALL_ALIKE.format("self.answer(200, b'')"), key) as server:
        url = f"https://127.0.0.1:{server.port}"
        done = run(server, tmp_path / "r", "s3://bucket/p", AWS_ENDPOINT_URL=url)
        check_error(done, "the server cannot be trusted, or speaks no TLS")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID is empty"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY is empty"),
        ("AWS_SESSION_TOKEN", "", "AWS_SESSION_TOKEN is empty"),
        ("AWS_ACCESS_KEY_ID", "ke y", "AWS_ACCESS_KEY_ID has a blank"),
        ("AWS_SECRET_ACCESS_KEY", "secret\n", "AWS_SECRET_ACCESS_KEY has a blank"),
        ("AWS_SECRET_ACCESS_KEY", "sec\u00adret", "AWS_SECRET_ACCESS_KEY has a blank"),
        ("AWS_SESSION_TOKEN", "secret\nx", "AWS_SESSION_TOKEN has a blank"),
        ("AWS_REGION", "", "AWS_REGION is empty"),
        ("AWS_REGION", "us east", "AWS_REGION has a blank"),
        ("AWS_DEFAULT_REGION", "no/where", "AWS_DEFAULT_REGION is not a region"),
        ("AWS_ENDPOINT_URL", "http://u:secret@h", "AWS_ENDPOINT_URL has credentials"),
        ("AWS_ENDPOINT_URL", "http://h/?key=secret", "AWS_ENDPOINT_URL is not a server address"),
        ("AWS_ENDPOINT_URL_S3", " http://h", "AWS_ENDPOINT_URL_S3 is not a server address"),
        ("AWS_SKIP_SIGNATURE", "secret", "AWS_SKIP_SIGNATURE has an invalid value"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "secret", "AWS_SERVER_SIDE_ENCRYPTION has an invalid value"),
        ("HTTP_PROXY", "http://u:secret@127.0.0.1:1", "connection refused"),
        ("NO_SECRET", "", "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"),
        ("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1", "no credentials"),
    ],
)
def test_settings_that_cannot_be_right(
    server: Server, tmp_path: Path, name: str, value: str, words: str
) -> None:
    append(tmp_path / "r", SOME[:1])
    env = {**server.env, name: value}
    if name in ("NO_SECRET", "AWS_METADATA_ENDPOINT"):
        del env["AWS_SECRET_ACCESS_KEY"]
    if name == "AWS_METADATA_ENDPOINT":
        del env["AWS_ACCESS_KEY_ID"]
    begun = time.monotonic()
    done = subprocess.run(
        [*MODULE, "ship", "--source", str(tmp_path / "r"), "--to", "s3://settings/p", "--all"],
        env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("allocq: ") and words in lines[0], done.stderr
    assert [line[:6] for line in lines[1:]] in ([], ["hint: "])
    assert "secret" not in done.stderr and "sec\u00ad" not in done.stderr
    assert time.monotonic() - begun < 60


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


LATER = [at(n / 4 + 0.1, 50 + n) for n in range(16)]


def forget(ledger: Path, how: str, before: bytes) -> None:
    """What becomes of a ledger. before: one that was noted earlier."""
    if how == "removed":
        ledger.unlink()
    elif how == "emptied":
        ledger.write_bytes(b"")
    else:
        ledger.write_bytes(before)


@pytest.mark.parametrize("how", ["removed", "emptied", "restored"])
def test_hours_that_grew_are_there_once_after_the_ledger_was_lost(
    server: Server, tmp_path: Path, how: str
) -> None:
    bucket, folder = f"lost-{how}", tmp_path / "r"
    server.create(bucket)
    append(folder, SOME[:6])
    assert run(server, folder, f"s3://{bucket}/p").returncode == 0
    before = (folder / NAME).read_bytes()
    append(folder, SOME[6:])
    assert run(server, folder, f"s3://{bucket}/p").returncode == 0
    append(folder, LATER)
    forget(folder / NAME, how, before)
    done = run(server, folder, f"s3://{bucket}/p")
    assert done.stderr == f"allocq: shipped 16 samples in 4 files to s3://{bucket}/p\n"
    server.fetch(bucket, tmp_path / "got")
    assert rows_of(tmp_path / "got/p") == said([*SOME, *LATER], "h")
    forget(folder / NAME, how, before)
    assert run(server, folder, f"s3://{bucket}/p").stderr.startswith("allocq: nothing")


def test_a_truncated_ledger_is_said_and_may_be_removed(server: Server, tmp_path: Path) -> None:
    server.create("truncated")
    folder = tmp_path / "r"
    append(folder, SOME)
    assert run(server, folder, "s3://truncated").returncode == 0
    append(folder, LATER)
    data = (folder / NAME).read_bytes()
    for length in (1, 100, 4096, len(data) - 1):
        (folder / NAME).write_bytes(data[:length])
        done = run(server, folder, "s3://truncated")
        if done.returncode:
            assert done.stderr.startswith(f"allocq: {folder / NAME} is damaged: ")
            assert done.stderr.splitlines()[1].startswith("hint: remove it: ")
    (folder / NAME).unlink()
    assert run(server, folder, "s3://truncated").returncode == 0
    server.fetch("truncated", tmp_path / "got")
    assert rows_of(tmp_path / "got") == said([*SOME, *LATER], "h")


def test_the_ledger_of_another_recording_vouches_for_nothing(
    server: Server, tmp_path: Path
) -> None:
    """One of the same host and boot, so that its hours look as if they were noted."""
    server.create("other")
    one, other = tmp_path / "one", tmp_path / "other"
    append(one, SOME)
    append(other, LATER)
    for folder in (one, other):
        assert run(server, folder, "s3://other/p").returncode == 0
    (one / NAME).write_bytes((other / NAME).read_bytes())
    more = [at(n / 4 + 0.05, 80 + n) for n in range(16)]
    append(one, more)
    assert run(server, one, "s3://other/p").returncode == 0
    server.fetch("other", tmp_path / "got")
    assert rows_of(tmp_path / "got/p") == said([*SOME, *LATER, *more], "h")


def test_two_hosts_of_one_name_without_ledgers(server: Server, tmp_path: Path) -> None:
    server.create("namesakes")
    recordings = {boot: [at(n / 4, n, boot) for n in range(8)] for boot in ("a", "b")}
    for _ in range(2):
        for boot, some in recordings.items():
            folder = tmp_path / boot
            if not folder.exists():
                append(folder, some)
            assert run(server, folder, "s3://namesakes/p").returncode == 0
            (folder / NAME).unlink()
    assert len(server.fetch("namesakes", tmp_path / "got")) == 4
    assert rows_of(tmp_path / "got/p") == sum(
        (said(some, "h") for some in recordings.values()), Counter()
    )


def test_killed_with_a_ledger_lost_in_between(server: Server, tmp_path: Path) -> None:
    for number in range(1, 26, 4):
        bucket = f"both-{number}"
        server.create(bucket)
        folder = tmp_path / bucket
        append(folder, SOME)
        kill = f"inject=sendto,writev:signal=KILL:when={number}"
        run(server, folder, f"s3://{bucket}/p", *STRACE, "-e", kill)
        (folder / NAME).unlink(missing_ok=True)
        append(folder, LATER)
        assert run(server, folder, f"s3://{bucket}/p").returncode == 0
        server.fetch(bucket, tmp_path / "got" / bucket)
        assert rows_of(tmp_path / "got" / bucket / "p") == said([*SOME, *LATER], "h"), number


def test_other_objects_of_the_hour_are_passed_over(server: Server, tmp_path: Path) -> None:
    """Those of hosts before and after it, and damaged ones; a full listing has more pages."""
    server.create("crowded")
    folder = tmp_path / "r"
    append(folder, SOME[:4])
    assert run(server, folder, "s3://crowded").returncode == 0
    (name,) = server.fetch("crowded", tmp_path / "first")
    store, place = server.store("crowded"), name.rpartition("/")[0]
    stem = name.rpartition("/")[2].rpartition(".")[0]
    for other in (f"g.{stem[2:]}", f"i.{stem[2:]}", f"{stem[:-1]}~", f"{stem}.old"):
        obstore.put(store, f"{place}/{other}.parquet", b"PAR1 nothing PAR1")
    for number in range(1100):
        obstore.put(store, f"{place}/a{number}.x.parquet", b"")
    (folder / NAME).unlink()
    append(folder, LATER[:4])
    done = run(server, folder, "s3://crowded")
    assert done.stderr == "allocq: shipped 4 samples in 1 file to s3://crowded\n"


def test_who_may_only_write_is_told_once(tmp_path: Path) -> None:
    append(tmp_path / "r", SOME)
    with answering("""
    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(200, b"", ETag='"1"')
    def do_GET(self):
        self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    do_HEAD = do_GET
""") as server:
        done = run(server, tmp_path / "r", "s3://bucket/p")
        assert done.returncode == 0
        lines = done.stderr.splitlines()
        assert "may not be read" in lines[0] and "shipped 16 samples" in lines[1]
        append(tmp_path / "r", LATER)
        done = run(server, tmp_path / "r", "s3://bucket/p")
        assert done.stderr == "allocq: shipped 16 samples in 4 files to s3://bucket/p\n"
