"""Writes call stacks as a profile of pprof: proto/profile.proto of github.com/google/pprof.

The message is small and its wire format simple, so it is written without a protobuf library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..analysis.stacks import Stack, read_frame

# Fields of profile.proto, by message.
_SAMPLE_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRINGS = 1, 2, 4, 5, 6
_TIME, _DURATION, _DEFAULT_TYPE = 9, 10, 14
_TYPE, _UNIT = 1, 2
_SAMPLE_LOCATIONS, _SAMPLE_VALUES, _SAMPLE_LABEL = 1, 2, 3
_LABEL_KEY, _LABEL_NUMBER, _LABEL_UNIT = 1, 3, 4
_LOCATION_ID, _LOCATION_LINE = 1, 4
_LINE_FUNCTION = 1
_FUNCTION_ID, _FUNCTION_NAME, _FUNCTION_SYSTEM_NAME, _FUNCTION_FILE = 1, 2, 3, 4
_VARINT, _BYTES = 0, 2


def pprof(stacks: Sequence[Stack], live: bool, time_ns: int, duration_ns: int) -> bytes:
    """A profile, not yet gzipped. Its samples have calls and bytes allocated, and with `live` also
    those in use, under the names of Go's heap profiles; their label `bytes` is the size of each
    allocation, if it is known. A function's file is its module."""
    strings: dict[str, int] = {"": 0}
    functions: dict[tuple[str, str], int] = {}

    def string(text: str) -> int:
        return strings.setdefault(text, len(strings))

    types = [("alloc_objects", "count"), ("alloc_space", "bytes")]
    if live:
        types += [("inuse_objects", "count"), ("inuse_space", "bytes")]
    pieces = [
        _message(_SAMPLE_TYPE, _number(_TYPE, string(name)) + _number(_UNIT, string(unit)))
        for name, unit in types
    ]
    for stack in stacks:
        places = []
        for frame in map(read_frame, stack.path):
            key = (frame.name, frame.module or "")
            places.append(functions.setdefault(key, len(functions) + 1))
        values = [stack.calls, stack.bytes]
        if live:
            values += [stack.live_calls, stack.live_bytes]
        sample = _packed(_SAMPLE_LOCATIONS, places) + _packed(_SAMPLE_VALUES, values)
        if stack.size is not None:
            label = _number(_LABEL_KEY, string("bytes")) + _number(_LABEL_NUMBER, stack.size)
            sample += _message(_SAMPLE_LABEL, label + _number(_LABEL_UNIT, string("bytes")))
        pieces.append(_message(_SAMPLE, sample))
    for (name, module), number in functions.items():
        line = _message(_LOCATION_LINE, _number(_LINE_FUNCTION, number))
        pieces.append(_message(_LOCATION, _number(_LOCATION_ID, number) + line))
        function = _number(_FUNCTION_ID, number) + _number(_FUNCTION_NAME, string(name))
        function += _number(_FUNCTION_SYSTEM_NAME, string(name))
        pieces.append(_message(_FUNCTION, function + _number(_FUNCTION_FILE, string(module))))
    pieces.append(_number(_TIME, time_ns) + _number(_DURATION, duration_ns))
    pieces.append(_number(_DEFAULT_TYPE, string("inuse_space" if live else "alloc_space")))
    pieces += [_message(_STRINGS, text.encode("utf-8", "replace")) for text in strings]
    return b"".join(pieces)


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1  # an int64 below zero has ten bytes
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _message(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_varint, values)))
