"""The ioctl refused, as a seccomp filter or a security module does: the text answers."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import faulty
import pytest
from command import Result, allocq

CODES = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EIO, errno.EBUSY, errno.EOPNOTSUPP)
CALLS = ("content_id", "get_at", "get_next")
REFUSED = [(call, code) for call in CALLS for code in CODES]
refusals = pytest.mark.parametrize(
    ("call", "code"), REFUSED, ids=[f"{call}-{faulty.name(code)}" for call, code in REFUSED]
)
Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def ask(shim: Path, call: str, code: int) -> Ask:
    """Runs allocq where one of the ioctls always fails, without a tag cache."""
    fault = {"CALL": call, "ERRNO": str(code), "AT": "1", "TIMES": "0"}
    env = {**{f"FAULT_{name}": value for name, value in fault.items()}, "LD_PRELOAD": str(shim)}

    def run(*words: str) -> Result:
        shutil.rmtree("/run/allocq", ignore_errors=True)
        return allocq(*words, program=(str(faulty.front(shim)),), env=env)

    return run


def files(out: bytes) -> list[bytes]:
    return [line.split()[2] for line in out.splitlines()]


@refusals
def test_the_text_answers(ask: Ask, call: str, code: int) -> None:
    for words in (("-f", "kernel/fork.c"), ("-m", "*"), ("-f", "mm/*"), ("--min-size", "1M"), ()):
        right = allocq("query", "--interface", "text", "-o", "procfs", *words)
        for way in ("auto", "text"):
            done = ask("query", "--interface", way, "-o", "procfs", *words)
            assert (done.status, done.err) == (right.status, ""), done
            if "--min-size" not in words:
                assert files(done.out) == files(right.out)
    assert ask("tree").status == 0
    assert ask("snapshot").out.startswith(b"allocinfo - version: ")


@refusals
def test_doctor_and_query_agree(ask: Ask, call: str, code: int) -> None:
    source = json.loads(ask("query", "-f", "kernel/fork.c", "-o", "json").out)["source"]
    done = ask("doctor", "-o", "json")
    document = json.loads(done.out)
    assert (done.status, document["status"]) == (1, 1)
    assert document["reason"] == "the ioctl is refused; the text gives the same answers"
    assert source["interface"] == "text"
    found = {finding["item"]: finding for finding in document["findings"]}
    assert found["ioctl"]["state"] == "not good"
    assert found["ioctl"]["value"].startswith(f"refused ({os.strerror(code)})")
    assert "Linux 7.3" not in found["ioctl"]["mend"]  # another kernel would not help
    assert "sudo" not in json.dumps(document["findings"])


@refusals
def test_who_needs_the_ioctl_is_told_and_sees_no_difference(ask: Ask, call: str, code: int) -> None:
    done = ask("verify", "--rounds", "1")
    assert done.status == 2 and b"not ok" not in done.out
    assert done.out.startswith(b"TAP version 13\n1..0 # SKIP ")
    assert "sudo" not in done.err
    failed = f"the ioctl is refused: {os.strerror(code)}"
    if call == "content_id":
        assert failed in done.err
        done = ask("query", "--interface", "ioctl", "-c")
        assert done.status == 2 and failed in done.err and "sudo" not in done.err
    else:
        assert "refused" in done.err


@pytest.mark.parametrize(("call", "code"), [("content_id", errno.ENOTTY)])
def test_a_kernel_without_it_is_not_one_that_refuses(ask: Ask, call: str, code: int) -> None:
    document = json.loads(ask("doctor", "-o", "json").out)
    assert document["reason"] == "this kernel has no ioctl; the text gives the same answers"
    mend = next(f["mend"] for f in document["findings"] if f["item"] == "ioctl")
    assert "Linux 7.3" in mend
