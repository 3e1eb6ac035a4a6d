"""A kernel in memory that obeys the rules of the ioctl, or breaks one of them."""

from __future__ import annotations

import errno
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from allocq.commands.verify.rawioctl import (
    CONTENT_ID,
    GET_AT,
    GET_AT_SIZE,
    GET_NEXT,
    NEXT_SIZE,
    U64,
    Kernel,
    Row,
)

LIES = (
    "drops a tag",
    "swaps two tags",
    "a counter is wrong",
    "calls are wrong",
    "accurate is turned round",
    "the end comes twice",
    "the end starts nowhere",
    "positions count all tags",
    "a position too far is found",
    "matches a part",
    "matches any case",
    "knows the first 63 bytes",
    "minimum is exclusive",
    "maximum is exclusive",
    "compares signed",
    "inaccurate is 1 only",
    "built-in matches all",
    "line is not compared",
    "fields are or",
    "takes unknown bits",
    "takes crossed sizes",
    "crossed sizes without the bits",
    "takes other sizes",
    "other errno",
    "no fault",
    "pads with rubbish",
    "changes the question",
    "shares the cursor",
    "reading moves the cursor",
    "remembers the filter",
    "content id counts",
    "first is lost",
)


class LyingKernel(Kernel):
    """`lie` is one of LIES, or empty. moves: every counter changes all the time."""

    def __init__(self, rows: Sequence[Row], lie: str = "", moves: bool = False) -> None:
        assert not lie or lie in LIES
        self.path = "nowhere"
        self.rows = list(rows)
        self.lie = lie
        self.moves = random.Random(1) if moves else None
        self.tick: Callable[[], None] = lambda: None
        self.ids = 1
        self.cursor: list[int | None] = [None]
        self.filter: tuple[Any, ...] = ()
        self._text = b""

    def another(self) -> LyingKernel:
        other = LyingKernel([], self.lie)
        other.rows = self.rows
        other.ids = self.ids
        if self.lie == "shares the cursor":
            other.cursor = self.cursor
        return other

    def close(self) -> None:
        """Nothing is open."""

    # The text

    def rewind(self) -> None:
        self._move()
        lines = ["allocinfo - version: 2.0\n#     <size>  <calls> <tag info>\n"]
        for row in self.rows:
            end = "" if row.accurate else " accurate:no"
            lines.append(f"{row.size:12d} {row.calls:8d} {row}{end} \n")
        self._text = "".join(lines).encode()

    def read(self, size: int) -> bytes:
        piece, self._text = self._text[: min(size, 4096)], self._text[min(size, 4096) :]
        if self.lie == "reading moves the cursor" and self.cursor[0] is not None:
            self.cursor[0] += 1
        return piece

    def _move(self) -> None:
        self.tick()
        if self.moves:
            for i, row in enumerate(self.rows):
                step = self.moves.choice([-4096, 0, 64, 4096])
                calls = max(0, row.calls + self.moves.choice([-1, 0, 1]))
                self.rows[i] = row._replace(size=max(0, row.size + step), calls=calls)

    # The ioctl

    def fault(self, number: int) -> int:
        return 0 if self.lie == "no fault" else errno.EFAULT

    def ioctl(self, number: int, data: bytes) -> bytes:
        self._move()
        if self.lie == "takes other sizes" and number & 0xFF == 1 and number >> 30 == 3:
            number = GET_AT
        if number == CONTENT_ID:
            self.ids += self.lie == "content id counts"
            return struct.pack("=Q", self.ids)
        if number == GET_AT:
            return self._get_at(data[:GET_AT_SIZE])
        if number == GET_NEXT:
            return self._next()
        raise OSError(errno.EINVAL if self.lie == "other errno" else errno.ENOTTY, "no command")

    def _get_at(self, data: bytes) -> bytes:
        (position,) = struct.unpack_from("=Q", data)
        mask, *_ = fields = struct.unpack_from("=Q64s64s64sQQQQ", data, 8)
        crossed = fields[5] > fields[6]
        if mask >> 7 and self.lie != "takes unknown bits":
            raise OSError(errno.EINVAL, "mask")
        both = mask & 96 == 96 or self.lie == "crossed sizes without the bits"
        if both and crossed and self.lie != "takes crossed sizes":
            raise OSError(errno.EINVAL, "sizes")
        if position >= len(self.rows):
            if self.lie != "a position too far is found":
                raise OSError(errno.ENOENT, "position")
            position = len(self.rows) - 1
        if mask or self.lie != "remembers the filter":
            self.filter = fields
        order = self._order()
        if self.lie == "positions count all tags":
            found = [at for at in order if at >= position and self._matches(self.rows[at])][:1]
            position = 0
        else:
            found = [at for at in order if self._matches(self.rows[at])]
        if position >= len(found):
            raise OSError(errno.ENOENT, "nothing")
        self.cursor[0] = order.index(found[position])
        head = data[: GET_AT_SIZE - NEXT_SIZE]
        if self.lie == "changes the question":
            head = head[:8] + bytes(8) + head[16:]
        return head + self._data(self.rows[found[position]])

    def _next(self) -> bytes:
        order = self._order()
        start = self.cursor[0]
        if self.lie == "first is lost" and start is None:
            start = 0
        for at in range(-1 if start is None else start, len(order) - 1):
            if self._matches(self.rows[order[at + 1]]):
                self.cursor[0] = at + 1
                return self._data(self.rows[order[at + 1]])
        if self.lie == "the end starts nowhere":
            self.cursor[0] = len(order)
        elif self.lie != "the end comes twice" or start == len(order):
            self.cursor[0] = None
        else:
            self.cursor[0] = len(order)
        raise OSError(errno.ENOENT, "the end")

    def _order(self) -> list[int]:
        order = list(range(len(self.rows)))
        if self.lie == "drops a tag":
            del order[5]
        if self.lie == "swaps two tags":
            order[3], order[4] = order[4], order[3]
        return order

    def _name(self, name: bytes) -> bytes:
        return name[:63] if self.lie == "knows the first 63 bytes" else name[-63:]

    def _equal(self, asked: bytes, name: bytes) -> bool:
        wanted, name = asked.split(b"\0")[0], self._name(name)
        if self.lie == "matches a part" and wanted:
            return wanted in name
        if self.lie == "matches any case":
            return wanted.lower() == name.lower()
        return wanted == name

    def _matches(self, row: Row) -> bool:
        if not self.filter or not self.filter[0]:
            return True
        mask, module, function, file, line, low, high, inaccurate = self.filter
        size = row.size % U64
        if self.lie == "compares signed":
            size, low, high = (n - U64 if n >> 63 else n for n in (size, low, high))
        least = size > low if self.lie == "minimum is exclusive" else size >= low
        most = size < high if self.lie == "maximum is exclusive" else size <= high
        asked = inaccurate == 1 if self.lie == "inaccurate is 1 only" else inaccurate != 0
        ours = self._equal(module, row.module)
        if self.lie == "built-in matches all" and not module.strip(b"\0"):
            ours = True
        tests = (
            ours,
            self._equal(function, row.function),
            self._equal(file, row.file),
            line == row.line or self.lie == "line is not compared",
            asked != row.accurate,
            least,
            most,
        )
        results = [test for bit, test in enumerate(tests) if mask >> bit & 1]
        return any(results) if self.lie == "fields are or" else all(results)

    def _data(self, row: Row) -> bytes:
        size, calls, accurate = row.size, row.calls, row.accurate
        size += self.lie == "a counter is wrong" and row == self.rows[7]
        calls += self.lie == "calls are wrong" and row == self.rows[7]
        accurate ^= self.lie == "accurate is turned round" and row == self.rows[7]
        pad = b"\1" * 7 if self.lie == "pads with rubbish" else bytes(7)
        names = (self._name(name) for name in (row.module, row.function, row.file))
        return struct.pack("=64s64s64sQQQB7s", *names, row.line, size % U64, calls, accurate, pad)
