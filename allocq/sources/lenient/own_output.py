"""What allocq itself prints, read back: table, JSON, JSON lines, CSV, TSV. Sums are told apart."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .listing import MOST_BYTES, MOST_CALLS, FoundTag
from .paste import Units, read_amount, read_number

MOST_JSON = 32 << 20
COLUMNS = ("bytes", "calls", "file", "line", "module", "function", "accurate")
_TABLE_HEAD = re.compile(
    r"\s{0,16}BYTES\s+CALLS\s+(?:AVERAGE\s+)?"
    r"(?:(?P<sums>TAGS)\s+(?P<by>[A-Z]+)(?:\s+FUNCTION)?|WHERE\s+FUNCTION)\s*"
)
_TABLE_ROW = re.compile(
    r"\s{0,32}(?P<size>-?[0-9]+(?:\.[0-9])?[KMGTPE]?)(?P<mark>[~*!]{0,3})"
    r"\s{1,32}(?P<calls>-?[0-9]{1,20})(?:\s{2,32}[0-9]+(?:\.[0-9])?[KMGTPE]?)?"
    r"\s{2,}(?P<file>\S.*):(?P<line>[0-9]{1,20})(?: \[(?P<module>[^\]]+)\])?\s{2,}"
    r"(?P<function>[A-Za-z_.][^\s:]*)\s*"
)
_TABLE_TOTAL = re.compile(
    r"\s{0,32}\S+\s+\S+\s+(?:\S+\s+)?(?:total of [0-9,]+ tags?|[0-9,]+ of [0-9,]+ tags?:).*"
    r"|~ .*counter.*|[~*!] (?:inaccurate|slab pages|underflowed).*|[0-9,]+ tags? not shown.*"
)
_ROW_START = re.compile(r"-?[0-9]{1,19}[,\t]-?[0-9]{1,20}[,\t]")
_UNESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}
_UNITS = Units()
_DOCUMENTS = {"groups": "", "changes": "changes", "tree": "a tree", "memory": "memory"}


@dataclass(slots=True)
class Output:
    """The lines of an answer, one by one. sums: what it has sums of, where it is no listing;
    format: table, csv, tsv or jsonl, once it is known; cut: names were shortened for a terminal."""

    format: str = ""
    sums: str = ""
    cut: bool = False
    taken: bool = field(default=False)

    def feed(self, raw: str, text: str) -> FoundTag | None:
        """A tag, or None. `taken` says whether the line is one of allocq's at all.

        raw: the line with its tabs; text: cleaned.
        """
        self.taken = True
        if raw[:1] == "{" and (tag := self._object(raw)):
            return tag
        if self._is_heading(raw, text):
            return None
        if _ROW_START.match(raw) and (tag := self._record(raw)):
            return tag
        if (self.format in ("", "table")) and _FUNCTION_WORD not in text:
            if match := _TABLE_ROW.fullmatch(text):
                self.format = "table"
                return self._table_row(match)
            if self.format == "table" and _TABLE_TOTAL.fullmatch(text):
                return None
        self.taken = False
        return None

    def _is_heading(self, raw: str, text: str) -> bool:
        if "BYTES" in text and (match := _TABLE_HEAD.fullmatch(text)):
            self.format = "table"
            if match.group("sums"):
                self.sums = match.group("by").lower()
            return True
        for format, separator in (("csv", ","), ("tsv", "\t")):
            if raw.startswith(f"bytes{separator}calls{separator}"):
                names = tuple(raw.strip().split(separator))
                self.format = format
                if names[2:3] == ("tags",):
                    self.sums = names[3] if len(names) > 3 else "something"
                return names == COLUMNS or bool(self.sums)
            if raw.startswith(f"change{separator}bytes_growth{separator}"):
                self.format, self.sums = format, "changes"
                return True
        return False

    def _object(self, raw: str) -> FoundTag | None:
        if '"bytes"' not in raw:
            return None
        try:
            value = json.loads(raw.rstrip().rstrip(","))
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        if is_sum(value):
            self.sums = self.sums or sum_key(value)
        tag = tag_of(value)
        if tag:
            self.format = "jsonl"
        return tag

    def _record(self, raw: str) -> FoundTag | None:
        line = raw.rstrip("\r\n ")
        if "\t" in line:
            cells = [_UNESCAPE.sub(_unescaped, cell) for cell in raw.rstrip("\r\n").split("\t")]
        else:
            try:
                cells = next(csv.reader([line], strict=True))
            except (csv.Error, StopIteration):
                return None
        if len(cells) == 4 and cells[1].removeprefix("-").isdigit() and cells[2].isdigit():
            self.sums = self.sums or "something"
        if len(cells) != len(COLUMNS) or cells[6].strip() not in ("true", "false"):
            return None
        values: dict[str, object] = dict(zip(COLUMNS, cells, strict=True))
        for name in ("bytes", "calls", "line"):
            values[name] = read_number(cells[COLUMNS.index(name)])
        values["module"] = cells[4] or None
        values["accurate"] = cells[6].strip() == "true"
        tag = tag_of(values)
        if tag:
            self.format = "tsv" if "\t" in line else "csv"
        return tag

    def _table_row(self, match: re.Match[str]) -> FoundTag | None:
        amount = read_amount(match.group("size"), "", _UNITS)
        if amount is None:
            return None
        file = match.group("file")
        self.cut = self.cut or (file.startswith("..") and not file.startswith("../"))
        self.cut = self.cut or match.group("function").startswith("..")
        tag = tag_of(
            {
                "bytes": amount.value,
                "calls": int(match.group("calls")),
                "file": file,
                "line": int(match.group("line")),
                "module": match.group("module"),
                "function": match.group("function"),
                "accurate": "~" not in match.group("mark"),
            }
        )
        if tag:
            tag.rounded = amount.rounded
        return tag


_FUNCTION_WORD = "func:"


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1), match.group(1))


def tag_of(value: Mapping[str, object]) -> FoundTag | None:
    """A tag from its names and values; None for what is none or cannot be a line."""
    size, calls, line = value.get("bytes"), value.get("calls"), value.get("line")
    file, module, function = value.get("file"), value.get("module"), value.get("function")
    for number, least, most in (
        (size, -MOST_BYTES - 1, MOST_BYTES),
        (calls, -MOST_BYTES - 1, MOST_CALLS),
        (line, 0, MOST_CALLS),
    ):
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            return None
    if not _is_name(file) or not _is_name(function) or not (module is None or _is_name(module)):
        return None
    assert isinstance(size, int) and isinstance(calls, int) and isinstance(line, int)
    assert isinstance(file, str) and isinstance(function, str)
    assert module is None or isinstance(module, str)
    if calls < 0:  # as the kernel prints it
        calls += MOST_CALLS + 1
    extra = ("accurate:no",) if value.get("accurate") is False else ()
    return FoundTag(size, calls, file, line, module, function, False, extra)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not any(c in value for c in "\0\n\r")


def is_sum(value: Mapping[str, object]) -> bool:
    """Is it a row of --group-by?"""
    return (
        isinstance(value.get("tags"), int)
        and "bytes" in value
        and "function" not in (value if "line" in value else ())
    )


def sum_key(value: Mapping[str, object]) -> str:
    """What the sums are of."""
    return next((name for name in value if name not in ("bytes", "calls", "tags")), "something")


@dataclass(slots=True)
class Document:
    """A whole JSON document. sums: what it has sums of, or "" for a listing."""

    tags: list[FoundTag]
    sums: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    time: str = ""
    skipped: int = 0


def read_document(text: str) -> Document | None:
    """A JSON document of allocq's, however it was laid out since; None for another text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        for name, what in _DOCUMENTS.items():
            if isinstance(value.get(name), list) and not isinstance(value.get("tags"), list):
                rows = value[name]
                first = rows[0] if isinstance(rows, list) and rows else {}
                known = what or (sum_key(first) if isinstance(first, dict) else "something")
                return Document([], known)
        rows = value.get("tags")
        head: Mapping[str, object] = value
    else:
        rows, head = value, {}
    if not isinstance(rows, list):
        return None
    objects = [row for row in rows if isinstance(row, dict)]
    if objects and is_sum(objects[0]):
        return Document([], sum_key(objects[0]))
    tags = [tag for tag in map(tag_of, objects) if tag]
    if rows and not tags:
        return None
    document = Document(tags, skipped=len(rows) - len(tags))
    document.metadata = dict(_metadata(head))
    document.time = document.metadata.get("time", "")
    return document


def read_strings(data: bytes, messages: Sequence[str]) -> list[str]:
    """The lines of a JSON document's strings, as an interface of a log's gives them; none where no
    string has a tag, or where it is one object with a message."""
    if b"func:" not in data:
        return []
    try:
        waiting = [json.loads(data)]
    except (ValueError, RecursionError):
        return []
    if isinstance(waiting[0], dict) and any(name in waiting[0] for name in messages):
        return []
    lines: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            lines += value.splitlines()
        elif isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)
    return lines


def _metadata(head: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What the document says of its source and of what was asked, as a snapshot would."""
    source = head.get("source")
    if isinstance(source, dict):
        for name in ("time", "kernel"):
            if isinstance(source.get(name), str):
                yield name, source[name]
        for name, key in (("filter", "filter"), ("limit", "limit"), ("profiling", "profiling")):
            if source.get(name):
                yield key, _compact(source[name])
    for name in ("filter", "limit"):
        if head.get(name):
            yield name, _compact(head[name])


def _compact(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
