"""`allocq export` as a server: formats, sharing, hostile clients, TLS, passwords, rights."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
from command import MODULE, allocq, here, refused, until
from exporter import OPENMETRICS, Exporter, exporter
from metrics import read_openmetrics, read_text, sums
from oracle import SAMPLE
from watched import Kernel

MIB = 1024
TAGS = oracle.parse(SAMPLE.read_bytes())
TOTAL = sum(tag.bytes for tag in TAGS)
CONNECTIONS = 200


@pytest.fixture(scope="module")
def running() -> Iterator[Exporter]:
    with exporter() as one:
        yield one


def test_it_answers_in_the_format_that_is_asked_for(running: Exporter) -> None:
    status, headers, body = running.get(headers={"Accept": OPENMETRICS})
    assert status == 200 and headers["content-type"].startswith("application/openmetrics-text")
    values = read_openmetrics(body)
    assert sums(values, "allocq_bytes") == sums(values, "allocq_module_bytes") == TOTAL
    assert values["allocq_up"] == {(): 1} and values["allocq_tags"] == {(): len(TAGS)}
    assert values["process_resident_memory_bytes"]
    status, headers, body = running.get()
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert read_text(body)["allocq_bytes"] == values["allocq_bytes"]
    # As Prometheus 2.42 and 3 ask.
    for accept in (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.1",
    ):
        status, headers, body = running.get(headers={"Accept": accept})
        assert read_openmetrics(body)["allocq_bytes"] == values["allocq_bytes"]


def test_gzip_is_for_those_who_take_it(running: Exporter) -> None:
    plain = running.get()[2]
    for accepted in ("gzip", "deflate, gzip;q=0.5", "GZIP"):
        _, headers, body = running.get(headers={"Accept-Encoding": accepted})
        assert headers["content-encoding"] == "gzip" and len(body) < len(plain) / 3
        assert read_text(gzip.decompress(body))["allocq_bytes"] == read_text(plain)["allocq_bytes"]
    for accepted in ("identity", "gzip;q=0", "br"):
        assert "content-encoding" not in running.get(headers={"Accept-Encoding": accepted})[1]


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;q=0, text/plain", False),
        ("application/openmetrics-text; Q=0.000", False),
        ("application/openmetrics-text;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.5", False),
        ("text/plain, application/openmetrics-text; q=0.9", False),
        ("text/plain;q=0.3,application/openmetrics-text;q=0.31;version=1.0.0", True),
        ("text/plain;q=0,application/openmetrics-text;q=0.001", True),
        ("text/plain;q=0.5,*/*;q=0.1", False),
        ("application/openmetrics-text;q=1.5", True),
    ],
)
def test_the_format_that_is_preferred(running: Exporter, accept: str, is_openmetrics: bool) -> None:
    status, headers, body = running.get(headers={"Accept": accept})
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text") == is_openmetrics
    read = read_openmetrics if is_openmetrics else read_text
    assert sums(read(body), "allocq_bytes") == TOTAL


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text;version=x", "text/plain;version=", "text/plain; version=1.a",
     "application/openmetrics-text;version=1.0.0-rc1;escaping=dots", "version=1", ";;,=,;=", "*/*",
     "text/plain;version=" + "9" * 5000, "\xff", "application/openmetrics-text;version;escaping"],
)  # fmt: skip
def test_odd_wishes_are_answered(running: Exporter, accept: str) -> None:
    status, headers, body = running.get(headers={"Accept": accept})
    assert status == 200, accept
    read = read_openmetrics if "openmetrics" in headers["content-type"] else read_text
    assert sums(read(body), "allocq_bytes") == TOTAL


def test_single_metrics_other_paths_and_methods(running: Exporter) -> None:
    values = read_text(running.get("/metrics?name[]=allocq_tags&name[]=allocq_up")[2])
    assert values == {"allocq_tags": {(): len(TAGS)}, "allocq_up": {(): 1}}
    assert b"/metrics" in running.get("/")[2]
    assert running.get("/etc/passwd")[0] == 404
    assert running.get(method="POST")[0] == 405
    status, headers, body = running.get(method="HEAD")
    assert status == 200 and int(headers["content-length"]) > 1000 and body == b""


def asked(running: Exporter, data: bytes, half_close: bool = False) -> bytes:
    """All that is answered to these bytes."""
    with running.connect() as client:
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        pieces = []
        while piece := client.recv(1 << 16):
            pieces.append(piece)
        return b"".join(pieces)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\nAccept: \xff\xfe\n\n", 200),
        (b"\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n", 200),
        (b"GET /metrics?" + b"x" * 4000 + b" HTTP/1.1\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nAccept: " + b"a," * 3000 + b"\r\n\r\n", 200),
        (b"GET /" + b"x" * 10000, 431),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100000 + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 20000 + b"\r\n", 431),
        (os.urandom(20000).replace(b"\n", b""), 431),
    ],
)
def test_garbage_and_enormous_headers_are_refused(
    running: Exporter, data: bytes, status: int
) -> None:
    answer = asked(running, data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert running.get()[0] == 200


def test_a_half_closed_socket_gets_its_answer(running: Exporter) -> None:
    answer = asked(running, b"GET /metrics HTTP/1.1\r\n\r\n", half_close=True)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"200 OK" in head and sums(read_text(body), "allocq_bytes") == TOTAL
    assert asked(running, b"GET /metr", half_close=True) == b""
    assert asked(running, b"", half_close=True) == b""


def test_a_request_may_come_byte_by_byte(running: Exporter) -> None:
    with running.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":
            client.send(bytes([byte]))
        assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /metrics HTTP/1.1\r\nA: ", b"GET /metrics HTTP/1.1\r\n\r\n", b"x" * 9000],
    ids=["silent", "half a header", "does not read", "garbage"],
)
def test_two_hundred_connections_neither_block_nor_grow_it(sent: bytes) -> None:
    with exporter("--max-age", "0s") as running:
        for _ in range(3):
            running.get()
        before = running.rss
        for _ in range(2):
            clients = [running.connect() for _ in range(CONNECTIONS)]
            for client in clients:
                if sent:
                    client.sendall(sent)
            begun = time.monotonic()
            assert sums(running.values(), "allocq_bytes") == TOTAL
            assert time.monotonic() - begun < 10
            for client in clients:
                client.close()
        assert running.rss < before + 3 * MIB
        threads = int(running.status()["Threads"])
        assert threads == 1


def test_it_takes_less_than_32_mib(tmp_path: Path) -> None:
    """With 3,746 tags of a running kernel, whatever is asked."""
    kernel = Kernel(tmp_path)
    kernel.boot(TAGS)
    with exporter("--live", "--max-age", "0s", env={**os.environ, **kernel.environment}) as running:
        for number in range(50):
            kernel.set({tag.function: tag.bytes + (number << 16) for tag in TAGS[number::50]})
            for headers in ({}, {"Accept": OPENMETRICS, "Accept-Encoding": "gzip"}):
                assert running.get(headers=headers)[0] == 200
        assert running.values()["allocq_tags"] == {(): len(TAGS)}
        assert running.rss < 32 * MIB


def test_modules_come_and_go_and_sums_are_whole(tmp_path: Path) -> None:
    """Other tags at each scrape: every sum is that of the listing, series are bounded, and what was
    kept of earlier tags is given back."""
    dice = random.Random(7)
    modules = sorted({tag.module for tag in TAGS if tag.module})
    kernel = Kernel(tmp_path)
    kernel.boot(TAGS)
    rounds = int(os.environ.get("ALLOCQ_SCRAPES", "40"))
    with exporter("--live", "--max-age", "0s", env={**os.environ, **kernel.environment}) as running:
        for _ in range(rounds):
            gone = set(dice.sample(modules, dice.randint(0, len(modules) // 2)))
            tags = [
                tag._replace(bytes=dice.choice([tag.bytes, dice.randrange(1 << 24)]))
                for tag in TAGS
                if tag.module not in gone and dice.random() < 0.95
            ]
            kernel.boot(tags)
            values = running.values()
            assert values["allocq_tags"] == {(): len(tags)}
            for name in ("allocq_bytes", "allocq_module_bytes", "allocq_directory_bytes"):
                assert sums(values, name) == sum(tag.bytes for tag in tags)
                assert len(values[name]) <= 201
            assert running.rss < 34 * MIB


def test_more_connections_than_there_is_room_for_push_out_the_oldest() -> None:
    with exporter(preexec_fn=_files(64)) as running:
        clients = [running.connect() for _ in range(100)]
        assert running.get()[0] == 200
        clients[0].settimeout(60)
        assert clients[0].recv(1) == b"", "the oldest is closed"
        for client in clients:
            client.close()


def test_few_open_files_are_served_with_or_it_says_so_at_the_start() -> None:
    """Each limit: either every one of some clients, together and in a row, is answered, or there is
    one error that names the limit."""
    limits = (8, 16, 22, 24, 26, 33, 34, 64)
    served = []
    for limit in limits:
        try:
            running = Exporter("--sample", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0",
                               "--max-age", "0s", preexec_fn=_files(limit))  # fmt: skip
        except AssertionError as error:
            said = str(error).splitlines()
            assert said and said[0].startswith("allocq: too few open files are allowed"), said
            assert "ulimit -n" in said[0] and len(said) <= 2, said
            continue
        served.append(limit)
        try:
            for _ in range(3):
                assert running.values()["allocq_up"] == {(): 1}
            clients = [running.connect() for _ in range(4)]
            for client in clients:
                client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            for client in clients:
                assert client.recv(100).startswith(b"HTTP/1.1 200"), limit
                client.close()
        finally:
            assert running.end()[0] == 0
    assert served == [limit for limit in limits if limit >= served[0]] and 33 in served


def test_a_full_server_closes_nobody_until_another_comes() -> None:
    with exporter(preexec_fn=_files(33)) as running:
        clients = []
        while not clients or not _closed(clients[0]):
            before = running.files()
            clients.append(running.connect())
            # It has taken the new one in, beside the others or in place of the first.
            until(lambda before=before: running.files() > before or _closed(clients[0]))
        # Only the first made room, and those that are left are answered.
        assert len(clients) > 4 and not any(map(_closed, clients[1:]))
        for client in clients[1:]:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            client.settimeout(60)
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        for client in clients:
            client.close()


def _closed(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def _files(limit: int) -> Callable[[], None]:
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def test_who_says_nothing_is_cut_off_and_time_is_not_spent_on_them(running: Exporter) -> None:
    with running.connect() as silent, running.connect() as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        before, begun = running.cpu(), time.monotonic()
        silent.settimeout(30)
        assert silent.recv(1) == b""
        assert 5 < time.monotonic() - begun < 25
        assert running.cpu() - before < 0.5
        slow.settimeout(60)
        assert slow.recv(1) == b""


def test_who_goes_on_sending_after_the_answer_is_cut_off(running: Exporter) -> None:
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        begun = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - begun < 20:
                client.sendall(b"x" * 4096)
                time.sleep(0.01)
        assert time.monotonic() - begun < 15
    assert running.get()[0] == 200


def test_an_answer_is_shared_while_it_is_young() -> None:
    with exporter("--max-age", "1h") as running:
        answers: list[float] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(running.values()["allocq_reads_total"][()])
            )
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [1.0] * 20
    with exporter("--max-age", "0s") as running:
        assert [running.values()["allocq_reads_total"][()] for _ in range(3)] == [1, 2, 3]
    with exporter("--max-age", "0.2s") as running:
        seen = [running.values()["allocq_reads_total"][()]]
        until(lambda: seen.append(running.values()["allocq_reads_total"][()]) or seen[-1] != 1)
        assert seen[0] == 1 and seen[-1] == 2


def test_series_are_chosen_from_reading_to_reading(tmp_path: Path) -> None:
    """A place that leaves the top is reported for a while, and then it is gone."""
    path = tmp_path / "listing.txt"

    def write(first: int, second: int) -> None:
        sizes = {"a": first, "b": second, "c": 7}
        text = "".join(f"{size:12} 1 mm/{name}.c:1 func:f \n" for name, size in sizes.items())
        path.write_bytes(oracle.HEADER + text.encode())

    def files(running: Exporter) -> dict[str, float]:
        values = running.values()["allocq_bytes"]
        return {dict(labels)["file"]: value for labels, value in values.items()}

    write(1000, 10)
    with exporter(
        "--source", str(path), "--top", "1", "--max-age", "0s", "--hold", "2s"
    ) as running:
        assert files(running) == {"mm/a.c": 1000, "other": 17}
        write(1000, 1100)
        assert files(running) == {"mm/a.c": 1000, "other": 1107}
        write(1000, 2000)
        assert files(running) == {"mm/a.c": 1000, "mm/b.c": 2000, "other": 7}
        until(lambda: files(running) == {"mm/b.c": 2000, "other": 1007})


def test_a_source_that_cannot_be_read_any_more_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "listing.txt"
    path.write_bytes(SAMPLE.read_bytes())
    with exporter("--source", str(path), "--max-age", "0s") as running:
        assert running.values()["allocq_up"] == {(): 1}
        path.write_bytes(b"nothing of a listing\n")
        values = running.values()
        assert values["allocq_up"] == {(): 0} and values["allocq_read_errors_total"] == {(): 1}
        assert "allocq_bytes" not in values and "allocq_tags" not in values
        running.values()
        path.write_bytes(SAMPLE.read_bytes())
        assert sums(running.values(), "allocq_bytes") == TOTAL
        assert running.end()[0] == 0
        lines = running.said.splitlines()
        assert len(lines) == 3 and "allocq_up is 0" in lines[1] and "again" in lines[2]


def _listing(size: int) -> bytes:
    return oracle.HEADER + f"{size:12} 1 mm/a.c:1 func:f \n".encode()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that the user which root becomes can search: those of pytest are root's alone."""
    with tempfile.TemporaryDirectory(prefix="allocq-test-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


def test_a_file_that_is_replaced_is_read_anew(reachable: Path) -> None:
    path, new = reachable / "listing.txt", reachable / "new"
    path.write_bytes(_listing(1))
    errors = 0
    with exporter("--source", str(path), "--max-age", "0s") as running:

        def check(size: int) -> None:
            values = running.values()
            assert values["allocq_up"] == {(): int(size >= 0)}
            assert values["allocq_read_errors_total"] == {(): errors}
            assert ("allocq_bytes" in values) == (size >= 0)
            assert size < 0 or sums(values, "allocq_bytes") == size

        check(1)
        for size in (2, 3):
            new.write_bytes(_listing(size))
            new.rename(path)
            check(size)
        new.write_bytes(gzip.compress(_listing(4)))
        new.rename(path)
        check(4)
        # Gone, or no file any more: until there is one again.
        for change in (path.unlink, lambda: os.mkfifo(path), path.unlink, path.mkdir, path.rmdir,
                       lambda: path.symlink_to(path), path.unlink):  # fmt: skip
            change()
            errors += 1
            check(-1)
        path.write_bytes(_listing(5))
        check(5)
        # Moved aside, and back; behind a link.
        path.rename(new)
        errors += 1
        check(-1)
        new.rename(path)
        check(5)
        path.rename(reachable / "first")
        (reachable / "second").write_bytes(_listing(6))
        path.symlink_to("first")
        check(5)
        new.symlink_to("second")
        new.rename(path)
        check(6)
        new.write_bytes(b"\x7fELF".ljust(4096, b"\0"))
        new.rename(path)
        errors += 1
        check(-1)
        assert running.end()[0] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root")
def test_a_new_file_that_only_root_reads_is_an_answer(reachable: Path) -> None:
    path, new = reachable / "listing.txt", reachable / "new"
    path.write_bytes(_listing(1))
    path.chmod(0o600)
    with exporter("--source", str(path), "--max-age", "0s") as running:
        assert sums(running.values(), "allocq_bytes") == 1
        new.write_bytes(_listing(2))
        new.chmod(0o600)
        new.rename(path)
        assert running.values()["allocq_up"] == {(): 0}
        path.chmod(0o644)
        assert sums(running.values(), "allocq_bytes") == 2
    # Where the name cannot be looked up, what is open is served while it has one.
    (reachable / "closed").mkdir(0o700)
    path = reachable / "closed" / "listing.txt"
    path.write_bytes(_listing(3))
    with exporter("--source", str(path), "--max-age", "0s") as running:
        assert sums(running.values(), "allocq_bytes") == 3
        path.unlink()
        assert running.values()["allocq_up"] == {(): 0}


def test_a_source_that_can_be_read_once_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    done = allocq("export", "--source", str(tmp_path / "fifo"), timeout=60)
    refused(done, "fifo cannot be read again")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_a_signal_ends_it_quickly_and_well(number: int) -> None:
    with exporter() as running:
        clients = [running.connect() for _ in range(20)]
        running.get()
        status, seconds = running.end(number)
        assert status == 0 and seconds < 9  # silent clients are cut off after 10 s
        assert running.said.count("\n") == 1
        for client in clients:
            client.close()


def test_addresses() -> None:
    with exporter(listen="[::1]:0") as running:
        assert running.urls[0].startswith("http://[::1]:") and running.get()[0] == 200
    with exporter("--listen", "[::1]:0") as running:
        assert len(running.urls) == 2
    with exporter(listen="localhost:0") as running:
        assert running.get()[0] == 200
    with exporter(listen=":0") as running:
        for host in ("127.0.0.1", "::1"):
            running.host = host
            assert running.get()[0] == 200


def test_only_this_machine_is_served_by_default() -> None:
    from allocq.options.commands import EXPORT_LISTEN

    assert EXPORT_LISTEN == "127.0.0.1:9836"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("9836", "invalid address"),
        ("::1:9836", "invalid address"),
        ("[::1]", "invalid"),
        ("127.0.0.1:http", "invalid port"),
        ("127.0.0.1:65536", "invalid port"),
        ("http://127.0.0.1:9836", "invalid address"),
        ("", "invalid address"),
        ("no-such-host.invalid:9836", "unknown address 'no-such-host.invalid:9836'"),
        ("192.0.2.1:9836", "cannot listen on 192.0.2.1:9836"),
    ],
)
def test_bad_addresses_are_said(address: str, words: str) -> None:
    refused(allocq("export", "--sample", "--listen", address), words)


def test_a_taken_port_is_said() -> None:
    with exporter() as running:
        done = allocq("export", "--sample", "--listen", f"127.0.0.1:{running.port}")
        refused(done, f"cannot listen on 127.0.0.1:{running.port}", "in use")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--source", "/no/such"], "no such file"),
        (["--source", "-"], "cannot be read again"),
        (["--sample", "--max-age", ""], "invalid duration ''"),
        (["--sample", "--hold", ""], "invalid duration ''"),
        (["--sample", "--tls-cert", "x"], "TLS needs"),
        (["--sample", "--tls-cert", "/no", "--tls-key", "/no"], "cannot read /no"),
        (["--sample", "--passwords", "/no"], "cannot read /no"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_mistakes_end_it_at_once(argv: list[str], words: str) -> None:
    read, write = os.pipe()
    os.close(write)
    refused(allocq("export", "--listen", "127.0.0.1:0", *argv, stdin=read), words)
    os.close(read)


def test_a_file_that_others_can_read_holds_no_passwords(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("prometheus:secret\n")
    path.chmod(0o644)
    refused(here("export", "--sample", "--listen", "127.0.0.1:0", "--passwords", str(path)),
            "others can read")  # fmt: skip
    path.chmod(0o600)
    for text, words in (("", "has no names"), ("secret\n", "NAME:PASSWORD"), (":x\n", "PASSWORD")):
        path.write_text(text)
        refused(here("export", "--sample", "--listen", "127.0.0.1:0", "--passwords", str(path)),
                words)  # fmt: skip


def test_passwords(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.touch(0o600)
    path.write_text("# who may ask\nprometheus:se:cret\nother:ünder\n")

    def basic(words: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(words.encode()).decode()}

    with exporter("--passwords", str(path)) as running:
        for headers in (
            {},
            basic("prometheus:secret"),
            basic("prometheus"),
            basic(":"),
            {"Authorization": "Basic ***"},
            {"Authorization": "Bearer x"},
            {"Authorization": ""},
        ):
            status, answered, body = running.get(headers=headers)
            assert status == 401 and answered["www-authenticate"].startswith("Basic ")
            assert b"allocq_" not in body
        assert running.get("/", headers={})[0] == 401
        assert running.get(headers=basic("prometheus:se:cret"))[0] == 200
        assert running.get(headers=basic("other:ünder"))[0] == 200


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and what it signed for the server and for a client."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*argv: str) -> None:
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(*new, "-x509", "-days", "9", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days",
                "9", "-copy_extensions", "copy", "-out", f"{name}.pem")  # fmt: skip
    return folder


def test_tls(certificates: Path) -> None:
    argv = (
        "--tls-cert",
        str(certificates / "server.pem"),
        "--tls-key",
        str(certificates / "server.key"),
    )
    context = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    with exporter(*argv) as running:
        assert running.urls[0].startswith("https://")
        # Neither these block it, nor one who speaks no TLS.
        silent = [running.connect() for _ in range(CONNECTIONS)]
        silent[0].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        status, _, body = running.get(context=context)
        assert status == 200 and sums(read_text(body), "allocq_bytes") == TOTAL
        with contextlib.suppress(ConnectionResetError):
            assert b"200 OK" not in silent[0].recv(1000)
        for client in silent:
            client.close()
        assert running.get(context=context)[0] == 200
        assert running.end()[0] == 0
    with exporter(*argv, "--tls-client-ca", str(certificates / "ca.pem")) as running:
        with pytest.raises(OSError):
            running.get(context=context)
        context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        assert running.get(context=context)[0] == 200


def test_a_key_of_another_certificate_is_said(certificates: Path) -> None:
    argv = (
        "--tls-cert",
        str(certificates / "server.pem"),
        "--tls-key",
        str(certificates / "client.key"),
    )
    refused(
        allocq("export", "--sample", "--listen", "127.0.0.1:0", *argv),
        "are not a certificate and its key",
    )


@pytest.mark.parametrize("option", ["--passwords", "--tls-cert", "--tls-key", "--tls-client-ca"])
@pytest.mark.parametrize("kind", ["FIFO", "directory", "/dev/zero", "/dev/null", "socket", "huge"])
def test_only_a_regular_file_is_read(
    certificates: Path, tmp_path: Path, option: str, kind: str
) -> None:
    """Neither does it wait for who never writes, nor read what never ends."""
    path = tmp_path / "it"
    words = "not a regular file"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "huge":
        path.touch(0o600)
        os.truncate(path, 1 << 40)
        words = "larger than 1 MiB"
    else:
        path.symlink_to(kind)
    names = {"--tls-cert": "server.pem", "--tls-key": "server.key", "--tls-client-ca": "ca.pem"}
    files = {each: str(certificates / name) for each, name in names.items()} | {option: str(path)}
    argv = [word for pair in files.items() for word in pair]
    done = allocq("export", "--sample", "--listen", "127.0.0.1:0", *argv, timeout=60)
    refused(done, f"cannot read {path}: {words}")


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key", "--tls-client-ca"])
@pytest.mark.parametrize("damage", ["text", "empty", "binary", "DER", "cut", "broken", "other"])
def test_what_is_no_pem_is_said_in_words(
    certificates: Path, tmp_path: Path, option: str, damage: str
) -> None:
    names = {"--tls-cert": "server.pem", "--tls-key": "server.key", "--tls-client-ca": "ca.pem"}
    data = (certificates / names[option]).read_bytes()
    other = "ca.pem" if option == "--tls-key" else "ca.key"
    der = base64.b64decode(b"".join(data.splitlines()[1:-1])) if damage == "DER" else b""
    bad = tmp_path / "bad"
    bad.write_bytes({
        "text": b"hello\n", "empty": b"", "binary": os.urandom(999), "DER": der,
        "cut": data[:100], "broken": data[:60] + b"!!!!" + data[64:],
        "other": (certificates / other).read_bytes(),
    }[damage])  # fmt: skip
    files = {each: str(certificates / name) for each, name in names.items()} | {option: str(bad)}
    argv = [word for pair in files.items() for word in pair]
    done = here("export", "--sample", "--listen", "127.0.0.1:0", *argv)
    refused(done, str(bad), "damaged" if damage in ("cut", "broken") else "in PEM format")
    assert "_ssl.c" not in done.err and "pem lib" not in done.err.lower()


def test_a_key_with_a_password_is_said(certificates: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(
        ["openssl", "ec", "-in", certificates / "server.key", "-aes128", "-passout", "pass:secret",
         "-out", key], check=True, capture_output=True)  # fmt: skip
    argv = ("--tls-cert", str(certificates / "server.pem"), "--tls-key", str(key))
    refused(here("export", "--sample", *argv), "the key has a password")


NOBODY = "65534"


def test_it_has_no_rights_left() -> None:
    """As root or not: no capabilities, no way to new ones, one thread; as root another user."""
    with exporter() as running:
        running.get()
        assert os.listdir(f"/proc/{running.pid}/task") == [str(running.pid)]
        status = running.status()
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"] == "1"
        if os.geteuid() == 0:
            assert status["Uid"].split() == status["Gid"].split() == [NOBODY] * 4
            assert status["Groups"].strip() == "" and int(status["CapBnd"], 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root")
def test_whom_it_becomes() -> None:
    with exporter("--user", "12345") as running:
        assert running.status()["Uid"].split() == ["12345"] * 4
        assert running.get()[0] == 200
    with exporter("--user", "daemon") as running:
        assert running.status()["Uid"].split()[0] == "1"
    with exporter("--user", "root") as running:
        status = running.status()
        assert status["Uid"].split() == ["0"] * 4 and int(status["CapEff"], 16) == 0
    refused(allocq("export", "--sample", "--user", "no-such-user"), "no such user: no-such-user")
    refused(allocq("export", "--sample", "--user", "4294967295"), "no such user")


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_nothing_is_opened_that_the_other_user_may_not(tmp_path: Path) -> None:
    """Where root's Python is closed to others, a later import would fail."""
    trace = tmp_path / "trace"
    program = ("strace", "-f", "-qq", "-e", "trace=openat,capset", "-o", str(trace),
               *MODULE)  # fmt: skip
    with exporter("--max-age", "0s", program=program) as running:
        for accept in (OPENMETRICS, "text/plain;version=1.0.0", ""):
            running.get(headers={"Accept": accept, "Accept-Encoding": "gzip"})
        asked(running, b"garbage\r\n\r\n")
        running.get("/none")
        running.get("/metrics?name[]=allocq_up")
        child = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text()
        os.kill(int(child), signal.SIGTERM)
        running.process.wait(20)
    lines = trace.read_text().splitlines()
    dropped = next(at for at, line in enumerate(lines) if "capset(" in line)
    opened = [line for line in lines[dropped:] if "openat" in line]
    assert not [line for line in opened if "/proc/" not in line and str(SAMPLE) not in line]


def test_it_says_when_it_is_ready() -> None:
    """As a service manager hears it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        # An abstract one: it is told by another user than this.
        heard.bind("")  # the kernel takes a free name
        name = heard.getsockname()[1:].decode()
        heard.settimeout(60)
        env = {**os.environ, "NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "400000"}
        with exporter(env=env) as running:
            assert heard.recv(1000).startswith(b"READY=1\n")
            for _ in range(4):
                assert heard.recv(1000) == b"WATCHDOG=1"
            assert running.end()[0] == 0
            last = b""
            while last != b"STOPPING=1":
                last = heard.recv(1000)
