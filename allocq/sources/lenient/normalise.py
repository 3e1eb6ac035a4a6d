"""Text as people paste it, cleaned: escapes, odd blanks, quotes, quoted-printable. Pure functions.

Each takes one line without its newline and is linear in its length.
"""

from __future__ import annotations

import codecs
import csv
import html
import quopri
import re
from collections.abc import Iterable, Iterator

LONGEST_LINE = 1 << 20
_CSI = re.compile(
    r"\x1b\[[0-9;:?<=>]{0,64}[ -/]{0,8}[@-~]"  # colors and cursor movement
    r"|\x1b\][^\x07\x1b]{0,1024}(?:\x07|\x1b\\)?"  # window titles, links
    r"|\x1b[()][0-9A-B]|\x1b[=>78cDEHM]"
    r"|\^\[\[[0-9;]{0,64}[mK]"  # as cat -v shows them
    r"|\[[0-9;]{0,64}m\[K"  # grep's, their escape characters lost on the way
)
_QUOTE = re.compile(r"(?:\s{0,8}[A-Z]{0,4}>)+ ?|\s{0,3}[|:](?=\s)")
_FIELD = re.compile(rb"(?<![^\s>|:-])[A-Z_][A-Z0-9_]{1,63}=(?!3D|1B)")  # journald's fields
_ENCODED = re.compile(rb"=(?:09|0A|0D|1B|[2-9A-F][0-9A-F])")  # no encoder writes other controls
_UNENCODED = re.compile(rb"=(?![0-9A-F]{2}|\r?\n|\r?$)")
_BLANKS = re.compile(
    r"[\t\v\f\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\udca0]"
)
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_MARKUP = re.compile(
    r"</?(?:a|b|blockquote|body|br|code|div|em|font|hr|html|i|kbd|li|mark|ol|p|pre|samp|span|strong"
    r"|table|tbody|td|th|tr|tt|u|ul)(?:\s{1,8}[a-z:-]{1,32}(?:=(?:\"[^\"<>]{0,400}\"|'[^'<>]{0,400}'"
    r"|[^\s\"'<>]{1,400}))?){0,16}\s{0,8}/?>"
)
_LINE_END = re.compile(r" ?(?:\^M)?\$$")  # as cat -A shows it
_CELL = re.compile(r"</?(?:br|div|li|p|td|th|tr)\b[^<>]{0,1024}>")
_DELIMITED = re.compile(r"([,;|])\s{0,8}\"?func:")
_GROUPS = re.compile(r"(?<![^,])[0-9]{1,3}(?:,[0-9]{3}){1,6},[0-9]{1,20},[^\s,]{1,4096}:[0-9]")
_QUOTED = re.compile(r"\s{0,8}\"-?[0-9][^\s\"]*\"( )")
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_SHORTEST_SOFT = 40


def split_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their newlines. One that is over 1 MiB comes as its first 1 MiB, a NUL in
    front: no parser takes it."""
    left, dropping = b"", False
    for piece in pieces:
        if b"\n" not in piece:
            if not dropping:
                left += piece
                if len(left) > LONGEST_LINE:
                    yield b"\0" + left[:LONGEST_LINE]
                    left, dropping = b"", True
            continue
        first, *lines = piece.split(b"\n")
        if not dropping:
            yield left + first
        dropping = False
        left = lines.pop()
        yield from lines
    if left:
        yield left


def as_utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """UTF-16 with a byte order mark, which Windows writes, as UTF-8; any text without its mark."""
    decoder = None
    for number, piece in enumerate(pieces):
        if number == 0:
            if name := _UTF16.get(piece[:2]):
                decoder = codecs.getincrementaldecoder(name)("replace")
                piece = piece[2:]
            elif name := _unmarked_utf16(piece):
                decoder = codecs.getincrementaldecoder(name)("replace")
            piece = piece.removeprefix(codecs.BOM_UTF8)
        yield decoder.decode(piece).encode("utf-8", "replace") if decoder else piece


def _unmarked_utf16(piece: bytes) -> str | None:
    """The encoding of a text without its mark: most of every other byte of its beginning are 0."""
    even, odd = piece[:64:2], piece[1:64:2]
    if len(odd) < 8:
        return None
    if 4 * odd.count(0) >= 3 * len(odd) and b"\0" not in even:
        return "utf-16-le"
    return "utf-16-be" if 4 * even.count(0) >= 3 * len(even) and b"\0" not in odd else None


def ends_softly(line: bytes) -> bool:
    """Does quoted-printable go on in the next line? A ruler of equals signs does not."""
    return (
        line.endswith(b"=")
        and not line.endswith(b"==")
        and (len(line) >= _SHORTEST_SOFT or _ENCODED.search(line) is not None)
    )


def decode_line(line: bytes) -> str:
    """The text of a line: quoted-printable undone, bytes that are not UTF-8 as surrogates."""
    if (
        b"=" in line
        and _ENCODED.search(line)
        and not _UNENCODED.search(line)
        and not _FIELD.search(line)
    ):
        line = quopri.decodestring(line)
    return line.decode("utf-8", "surrogateescape")


def strip_escapes(text: str) -> str:
    """Without what colors a terminal."""
    return _CSI.sub("", text) if "\x1b" in text or "[" in text else text


def plain_blanks(text: str) -> str:
    """Every kind of blank as a space, and nothing invisible."""
    return _INVISIBLE.sub("", _BLANKS.sub(" ", text))


def strip_quotes(text: str) -> str:
    """Without `> ` of any depth, and without a `|` in front."""
    match = _QUOTE.match(text)
    return text[match.end() :] if match else text


def strip_markup(text: str) -> str:
    """Without the tags of a page, and HTML's &gt; and its kind undone."""
    if "<" in text and ">" in text:
        text = _MARKUP.sub("", _CELL.sub(" ", text))
    return html.unescape(text) if "&" in text and ";" in text else text


def split_cells(text: str) -> str:
    """The cells of a table with a comma, a semicolon or a bar between them, or quotes around them,
    as words."""
    if "func:" not in text or not (match := _DELIMITED.search(text) or _QUOTED.match(text)):
        return text
    line, delimiter = text.strip().strip("|"), match[1]
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    except (csv.Error, StopIteration):
        return text
    cells = [cell.strip() for cell in cells if cell.strip()]
    if len(cells) == 1 and len(cells[0]) < len(line):
        return split_cells(cells[0])
    if delimiter == "," and _GROUPS.search(line):
        return text  # 1,234,567: which of the commas are between cells?
    return " ".join(cells)


def clean(line: bytes) -> str:
    """All of it, in the order in which it was wrapped around the text."""
    text = strip_escapes(decode_line(line))
    if "^I" in text:
        text = text.replace("^I", " ")  # as cat -A shows a tab
    text = strip_quotes(plain_blanks(strip_markup(text)))
    text = split_cells(text).rstrip()
    if text.endswith("$"):
        text = _LINE_END.sub("", text)
    return text.replace("\\_", "_") if "\\_" in text else text
