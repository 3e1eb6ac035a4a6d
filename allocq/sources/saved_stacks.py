"""Reads call stacks that `allocq stacks -o json` wrote.

Anybody may have written the file: all of it is checked, and what is not as it should be is one
error.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from typing import Any

from ..analysis.stacks import VERSION, Stack, Taken, ordered
from ..errors import FormatError, SourceError, UsageError
from ..storage.compression import MAGIC, unpack
from ..times import parse_time

LARGEST = 64 << 20
"""Bytes that a file of stacks has at most: 16384 stacks of 31 frames are a third of it."""
_CHUNK = 1 << 20
_MOST_FRAMES, _LONGEST_FRAME, _MOST_NOTES = 1024, 4096, 100
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_HINT = "save them with: allocq stacks WORD -o json --output FILE"


def read_stacks(path: str) -> Taken:
    """The stacks in a file, maybe gzip or zstd; `-` is standard input. SourceError, FormatError."""
    name = "standard input" if path == "-" else path
    return parse_stacks(_content(path, name), name)


def _content(path: str, name: str) -> bytes:
    try:
        fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else "invalid file name"
        raise SourceError(f"cannot read {name}: {words}") from None
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise SourceError(f"cannot read {name}: it is a directory")
        first = _read(fd, name)
        pieces = unpack(first, fd, name) if first.startswith(MAGIC) else _plain(first, fd, name)
        data = bytearray()
        for piece in pieces:
            data += piece
            if len(data) > LARGEST:
                raise FormatError(f"{name}: more than {LARGEST >> 20} MB are no stacks", _HINT)
        return bytes(data)
    finally:
        os.close(fd)


def _plain(first: bytes, fd: int, name: str) -> Any:
    piece = first
    while piece:
        yield piece
        piece = _read(fd, name)


def _read(fd: int, name: str) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except OSError as error:
        raise SourceError(f"cannot read {name}: {error.strerror}") from None


def _parse(data: bytes) -> Any:
    """ValueError."""
    try:
        import orjson
    except ModuleNotFoundError:  # a free-threaded Python (setup.py)
        try:
            value = json.loads(data.decode(), parse_int=_number, parse_constant=_number)
            # Half of a surrogate pair is no text, and could not be printed: UnicodeEncodeError.
            json.dumps(value, ensure_ascii=False).encode()
            return value
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return orjson.loads(data)


def _number(word: str) -> int | float:
    """Of numbers that have no end JSON has none; those beyond 64 bits are floats."""
    if word[-1:].isalpha():
        raise ValueError(f"{word} is no number")
    return int(word) if len(word) < 19 else float(word)


def parse_stacks(data: bytes, name: str) -> Taken:
    """The stacks in the text of such a file. FormatError; `name` is for its message."""
    try:
        value = _parse(data)
    except ValueError as error:
        words = "it is empty" if not data.strip() else str(error).partition(": line ")[0]
        raise FormatError(f"{name}: not a JSON file of stacks: {words}", _HINT) from None
    if not isinstance(value, dict) or not isinstance(value.get("stacks"), list):
        raise FormatError(f"{name}: JSON, but no stacks", _HINT)
    version = value.get("version")
    if version != VERSION or isinstance(version, bool):
        shown = "no version" if version is None else f"version {str(version)[:20]}"
        raise FormatError(
            f"{name}: stacks of {shown}; this allocq reads version {VERSION}",
            "take them again, or use the allocq that wrote them",
        )
    try:
        return _taken(value)
    except _Wrong as wrong:
        raise FormatError(f"{name}: damaged stacks: {wrong}", _HINT) from None


class _Wrong(Exception):
    """What is not as it should be."""


def _taken(value: Mapping[str, Any]) -> Taken:
    live = _one(value, "live", bool)
    source, total, cost = (_one(value, key, dict) for key in ("source", "total", "cost"))
    stacks = [_stack(each, live, number) for number, each in enumerate(value["stacks"], 1)]
    taken = Taken(
        stacks=ordered(stacks, live),
        live=live,
        seconds=_seconds(value, "seconds"),
        many=_count(total, "stacks"),
        bytes=_count(total, "bytes"),
        calls=_count(total, "calls"),
        live_bytes=_count(total, "live_bytes") if live else 0,
        live_calls=_count(total, "live_calls") if live else 0,
        time=_time(source.get("time")),
        kernel=_text(source.get("kernel") or "", "kernel"),
        filter=_one(value, "filter", dict),
        dropped={
            _text(key, "dropped"): _count(value["dropped"], key)
            for key in _one(value, "dropped", dict)
        },
        events=_count(cost, "events"),
        overhead=None if cost.get("overhead") is None else _seconds(cost, "overhead"),
        notes=[_text(note, "notes") for note in _one(value, "notes", list)[:_MOST_NOTES]],
    )
    for part, whole in (
        (len(stacks), taken.many),
        *(
            (sum(stack.amount(kind)[at] for stack in stacks), taken.amount(kind)[at])
            for kind in (False, True)[: 1 + live]
            for at in (0, 1)
        ),
    ):
        if part > whole:
            raise _Wrong("the total is less than the stacks")
    return taken


def _stack(value: object, live: bool, number: int) -> Stack:
    if not isinstance(value, dict):
        raise _Wrong(f"stack {number} is no object")
    try:
        frames = _one(value, "stack", list)
        if not frames or len(frames) > _MOST_FRAMES:
            raise _Wrong(f"{len(frames):,} frames")
        tag = value.get("tag")
        stack = Stack(
            tuple(_text(frame, "frame") for frame in frames),
            _count(value, "bytes"),
            _count(value, "calls"),
            tag=None if tag is None else _text(tag, "tag"),
            inner=_count(value, "allocator_frames"),
            pid=None if value.get("pid") is None else _count(value, "pid"),
            comm=None if value.get("comm") is None else _text(value["comm"], "comm"),
            size=None if value.get("size") is None else _count(value, "size"),
        )
        if stack.inner >= len(frames):
            raise _Wrong("all frames are of the allocator")
        if live:
            stack.freed_bytes = stack.bytes - _count(value, "live_bytes")
            stack.freed_calls = stack.calls - _count(value, "live_calls")
            if stack.freed_bytes < 0 or stack.freed_calls < 0:
                raise _Wrong("more is left than was allocated")
        return stack
    except _Wrong as wrong:
        raise _Wrong(f"stack {number}: {wrong}") from None


def _one(value: Mapping[str, Any], key: str, kind: type) -> Any:
    found = value.get(key)
    if not isinstance(found, kind):
        raise _Wrong(f"`{key}` is missing" if found is None else f"`{key}` is not valid")
    return found


def _count(value: Mapping[str, Any], key: str) -> int:
    found: int = _one(value, key, int)
    if isinstance(found, bool) or not 0 <= found < 1 << 63:
        raise _Wrong(f"`{key[:40]}` is not valid")
    return found


def _seconds(value: Mapping[str, Any], key: str) -> float:
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < 1e9:
        raise _Wrong(f"`{key}` is not valid")
    return float(found)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_FRAME:
        raise _Wrong(f"`{what}` is not valid")
    return value


def _time(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _Wrong("`time` is not valid")
    try:
        return parse_time(value, 0.0)
    except UsageError:
        raise _Wrong("`time` is not valid") from None
