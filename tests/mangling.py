"""What logs, mailers, terminals and tools make of a listing, as functions from lines to lines."""

from __future__ import annotations

import html
import json
import quopri
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

Lines = list[str]
_ROW = re.compile(r"(?P<lead>\s*)(?P<size>-?[0-9]+)(?P<rest>\s.*)", re.DOTALL)
LETTERS = " KMGTPE"


@dataclass(frozen=True)
class Mangler:
    """step: manglers are applied in this order; whole: what it writes cannot be broken into other
    lines; rounds: what becomes of a size among all."""

    name: str
    step: int
    lines: Callable[[Lines], Lines]
    whole: bool = False
    breaks: bool = False
    rounds: Callable[[int, Sequence[int]], int] | None = None
    encode: Callable[[str], bytes] | None = None


def by_line(change: Callable[[str, int], str]) -> Callable[[Lines], Lines]:
    """A change of each line by its number from 0."""
    return lambda lines: [change(line, at) for at, line in enumerate(lines)]


# Sizes as numfmt and the kernel write them


def scaled(size: int, base: int) -> tuple[str, int]:
    """(number as numfmt writes it: up to one digit behind the point, rounded up; power)."""
    sign, size = ("-", -size) if size < 0 else ("", size)
    power = 0
    while size >= base ** (power + 1):
        power += 1
    if power == 0:
        return f"{sign}{size}", 0
    tenths = -(-size * 10 // base**power)
    if tenths >= 100:
        whole = -(-size // base**power)
        if whole == base:
            return f"{sign}1.0", power + 1
        return f"{sign}{whole}", power
    return f"{sign}{tenths // 10}.{tenths % 10}", power


def value(number: str, power: int, base: int) -> int:
    """What the text says; a fraction of a byte is dropped."""
    sign = -1 if number[:1] == "-" else 1
    whole, _, part = number.lstrip("-").partition(".")
    scale = int("1" + "0" * len(part))
    return sign * (int(whole + part) * base**power // scale)


def humanized(
    base: int, suffix: str, blank: str = "", heading: str = "", kilo: str = "K"
) -> Mangler:
    """numfmt on the first field, which keeps its width. Of 1000s only a k tells."""

    def text(size: int) -> str:
        number, power = scaled(size, base)
        letter = LETTERS[power].replace("K", kilo).strip()
        unit = (letter + suffix) if power else suffix.replace("i", "")
        return f"{number}{blank if unit else ''}{unit}"

    def change(line: str) -> str:
        match = _ROW.fullmatch(line)
        if not match:
            return line
        word = text(int(match["size"]))
        return f"{word:>{len(match['lead'] + match['size'])}}{match['rest']}"

    def rounds(size: int, sizes: Sequence[int]) -> int:
        told = kilo == "K" or any(scaled(each, base)[1] == 1 for each in sizes)
        return value(*scaled(size, base), base if told else 1024)

    name = f"numfmt {base} '{blank}{suffix}'{heading and ' with its command'}"
    name += " with k" if kilo == "k" else ""
    head = [heading] if heading else []
    return Mangler(name, 10, lambda lines: head + list(map(change, lines)), rounds=rounds)


def grouped(lines: Lines) -> Lines:
    """numfmt --grouping."""

    def change(line: str) -> str:
        match = _ROW.fullmatch(line)
        return f"{match['lead']}{int(match['size']):,}{match['rest']}" if match else line

    return list(map(change, lines))


def aligned(lines: Lines) -> Lines:
    """column -t."""
    rows = [line.split() for line in lines]
    widths = [max((len(row[at]) for row in rows if at < len(row)), default=0) for at in range(9)]
    return [
        "  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def celled(separator: str, edge: str = "") -> Callable[[Lines], Lines]:
    """awk -v OFS=, or a table of Markdown."""
    return by_line(lambda line, at: edge + separator.join(line.split()) + edge[::-1])


VALUES = [
    humanized(1024, ""),
    humanized(1024, "i"),
    humanized(1024, "iB", " "),
    humanized(1024, "iB"),
    humanized(1000, "", heading="$ numfmt --field=1 --to=si < /proc/allocinfo"),
    humanized(1000, "", kilo="k"),
    humanized(1024, "B", heading="$ numfmt --to=iec --suffix=B < /proc/allocinfo"),
    humanized(1000, "B", " "),
    Mangler("numfmt --grouping", 10, grouped),
    Mangler("column -t", 11, aligned),
    Mangler("tr -s", 11, by_line(lambda line, at: " ".join(line.split()))),
    Mangler("tabs", 11, by_line(lambda line, at: "\t".join(line.split()))),
    Mangler("csv", 11, celled(",")),
    Mangler("csv with blanks", 11, celled("; ")),
    Mangler("cells", 11, celled(" | ", "| ")),
    Mangler("quoted cells", 11, celled('","', '"')),
    Mangler("unexpand", 11, by_line(lambda line, at: line.replace("    ", "\t"))),
    Mangler("no-break spaces", 11, by_line(lambda line, at: line.replace(" ", "\u00a0"))),
]

# What stands in front


def as_export(line: str, at: int) -> str:
    return (
        f"__CURSOR=s=0f;i={at:x}\n__REALTIME_TIMESTAMP={1764000000000000 + at}\n"
        f"__MONOTONIC_TIMESTAMP={30988768 + at}\n_TRANSPORT=kernel\nPRIORITY=4\n"
        f"SYSLOG_IDENTIFIER=kernel\nMESSAGE={line}\n"
    )


def as_verbose(line: str, at: int) -> str:
    return (
        f"Mon 2025-11-24 06:20:37.{at:06d} UTC [s=0f;i={at:x};b=1a;m=1d8;t=6440;x=f1]\n"
        f"    _TRANSPORT=kernel\n    PRIORITY=4\n    SYSLOG_FACILITY=0\n"
        f"    SYSLOG_IDENTIFIER=kernel\n    _HOSTNAME=host1\n    MESSAGE={line}\n"
        f"    _SOURCE_MONOTONIC_TIMESTAMP={30988768 + at}"
    )


def as_pretty_json(line: str, at: int) -> str:
    fields = {"__REALTIME_TIMESTAMP": f"{1764000000000000 + at}", "MESSAGE": line}
    return json.dumps(fields, indent="\t")


def as_json(line: str, at: int) -> str:
    return json.dumps(
        {
            "__REALTIME_TIMESTAMP": f"{1764000000000000 + at}",
            "_TRANSPORT": "kernel",
            "PRIORITY": "4",
            "MESSAGE": line,
        }
    )


def as_docker(line: str, at: int) -> str:
    time = f"2025-11-24T06:20:37.{at:09d}Z"
    return json.dumps({"log": line + "\n", "stream": "stdout", "time": time})


LOGS: dict[str, Callable[[str, int], str]] = {
    "dmesg": lambda line, at: f"[   30.98{at:04d}] {line}",
    "dmesg of weeks": lambda line, at: f"[1234567.98{at:04d}] {line}",
    "dmesg -T": lambda line, at: f"[Mon Nov 24 06:20:37 2025] {line}",
    "dmesg -x": lambda line, at: f"kern  :warn  : [   30.98{at:04d}] {line}",
    "dmesg -xT": lambda line, at: f"kern  :warn  : [Mon Nov 24 06:20:37 2025] {line}",
    "dmesg -H": lambda line, at: f"[  +0.00002{at % 10}] {line}",
    "dmesg -H, first": lambda line, at: f"[Nov24 06:20] {line}",
    "dmesg --time-format iso": lambda line, at: f"2025-11-24T06:20:37,12{at:04d}+00:00 {line}",
    "dmesg -r": lambda line, at: f"<4>[   30.98{at:04d}] {line}",
    "kmsg": lambda line, at: f"4,{900 + at},30980{at:03d},-;{line}",
    "kmsg with a caller": lambda line, at: f"4,{900 + at},30980{at:03d},-,caller=T123;{line}",
    "syslog": lambda line, at: f"Nov 24 06:20:37 host1 kernel: [   30.98{at:04d}] {line}",
    "syslog of a day": lambda line, at: f"Nov  4 06:20:37 host1 kernel: {line}",
    "syslog iso": lambda line, at: f"2025-11-24T06:20:37.12{at:04d}+00:00 host1 kernel: {line}",
    "RFC 5424": lambda line, at: (
        f"<4>1 2025-11-24T06:20:37.12{at:04d}Z host1 kernel - - - [   30.98{at:04d}] {line}"
    ),
    "RFC 5424 with data": lambda line, at: (
        f'<4>1 2025-11-24T06:20:37Z host1 kernel 12 ID47 [x@32473 i="3" n="a b"] {line}'
    ),
    "journald short": lambda line, at: f"Nov 24 06:20:37 host1 kernel: {line}",
    "journald short-iso": lambda line, at: f"2025-11-24T06:20:37+0000 host1 kernel: {line}",
    "journald short-precise": lambda line, at: f"Nov 24 06:20:37.98{at:04d} host1 kernel: {line}",
    "journald short-full": lambda line, at: f"Mon 2025-11-24 06:20:37 UTC host1 kernel: {line}",
    "journald short-unix": lambda line, at: f"1764000000.98{at:04d} host1 kernel: {line}",
    "journald short-monotonic": lambda line, at: f"[   30.98{at:04d}] host1 kernel: {line}",
    "caller T": lambda line, at: f"[   30.98{at:04d}] [    T123] {line}",
    "caller C": lambda line, at: f"[   30.98{at:04d}][  C0] {line}",
    "caller without time": lambda line, at: f"[    T123] {line}",
    "netconsole": lambda line, at: f"6.19.5,4,{900 + at},30980{at:03d},-;{line}",
    "netconsole of rsyslog": lambda line, at: (
        f"2025-11-24T06:20:37 10.0.0.7 [   30.98{at:04d}] {line}"
    ),
    "kubectl logs --timestamps": lambda line, at: f"2025-11-24T06:20:37.{at:09d}Z {line}",
    "kubectl logs --prefix": lambda line, at: f"[pod/node-shell-x7/shell] {line}",
    "CRI": lambda line, at: f"2025-11-24T06:20:37.{at:09d}+00:00 stdout F {line}",
    "docker compose": lambda line, at: f"shell-1  | {line}",
    "pstore": lambda line, at: f"<4>[   30.98{at:04d}] {line}",
    "conserver": lambda line, at: f"[-- Mon Nov 24 06:20:37 2025] {line}",
    "ts": lambda line, at: f"Nov 24 06:20:37 {line}",
    "ts -s": lambda line, at: f"00:00:0{at % 10} {line}",
    "ts %.s": lambda line, at: f"1764000000.98{at:04d} {line}",
    "logcat": lambda line, at: f"11-24 06:20:37.980     0     0 I kernel  : {line}",
    "CI": lambda line, at: f"2025-11-24T06:20:37.1234567Z {line}",
    "syzkaller": lambda line, at: f"[   30.98{at:04d}][ T5123] {line}",
    "ansible": lambda line, at: f"host1 | {line}",
    "pdsh": lambda line, at: f"node12: {line}",
    "diff -u": lambda line, at: f"+{line}",
    "diff": lambda line, at: f"< {line}",
    "cat -n": lambda line, at: f"{at + 1:6d}\t{line}",
    "nl": lambda line, at: f"{at + 1:6d}  {line}",
    "script": lambda line, at: f"{line}",
}
GREP: dict[str, Callable[[str, int], str]] = {
    "grep -H": lambda line, at: f"/proc/allocinfo:{line}",
    "grep -n": lambda line, at: f"{at + 7}:{line}",
    "grep -Hn": lambda line, at: f"/var/log/kern.log:{at + 7}:{line}",
    "grep -r": lambda line, at: f"./logs/2025-11-24/a b/allocinfo.1:{line}",
    "grep -A": lambda line, at: f"kern.log-{at + 7}-{line}" if at else f"kern.log:{at + 7}:{line}",
    "grep -nA": lambda line, at: f"{at + 7}-{line}" if at else f"{at + 7}:{line}",
    "grep -Hn --color": lambda line, at: (
        f"\x1b[35m\x1b[Kkern.log\x1b[m\x1b[K\x1b[36m\x1b[K:\x1b[m\x1b[K\x1b[32m\x1b[K{at + 7}"
        f"\x1b[m\x1b[K\x1b[36m\x1b[K:\x1b[m\x1b[K{line}"
    ),
    "grep --color": lambda line, at: re.sub(r"(func:\w)", "\x1b[01;31m\x1b[K\\1\x1b[m\x1b[K", line),
    "grep --color on digits": lambda line, at: re.sub(
        "([14])", "\x1b[01;31m\x1b[K\\1\x1b[m\x1b[K", line
    ),
    "ls --color": lambda line, at: f"\x1b[0m\x1b[38;5;244m{line}\x1b[0m",
    "dmesg --color": lambda line, at: f"\x1b[32m[   30.98{at:04d}] \x1b[0m{line}",
}
PREFIXES = [
    *(Mangler(name, 20, by_line(change)) for name, change in LOGS.items()),
    *(Mangler(name, 21, by_line(change)) for name, change in GREP.items()),
]
STRUCTURED = [
    Mangler(name, 20, by_line(change), whole=True)
    for name, change in {
        "journald export": as_export,
        "journald json": as_json,
        "journald json-pretty": as_pretty_json,
        "journald json-seq": lambda line, at: "\x1e" + as_json(line, at),
        "journald json-sse": lambda line, at: f"data: {as_json(line, at)}\n",
        "journald verbose": as_verbose,
        "docker json-file": as_docker,
    }.items()
]

# What stands between, and around


def between(noise: Lines) -> Callable[[Lines], Lines]:
    """Other lines after every fourth."""
    return lambda lines: [
        text for at, line in enumerate(lines) for text in (*(noise if at % 4 == 3 else []), line)
    ]


def surrounded(head: Lines, tail: Lines) -> Callable[[Lines], Lines]:
    return lambda lines: [*head, *lines, *tail]


PROMPTS = ["[root@host1 ~]# free -m", "Mem:  124 2 122 21 402 122", "root@host1:~# uname -r; nproc"]
AROUND = [
    Mangler("prompts", 30, between(PROMPTS)),
    Mangler("blank lines", 30, between([""])),
    Mangler("a blank line each", 30, lambda lines: list(chain(*([line, ""] for line in lines)))),
    Mangler("other messages", 30, between(["usb 1-1: new device number 4", "CPU: 1 PID: 12 a"])),
    Mangler("a command", 30, surrounded(["$ sudo sort -g /proc/allocinfo | tail -n 15"], ["$ "])),
    Mangler("a fence", 31, surrounded(["Here it is:", "```text"], ["```", "Any idea?"])),
    Mangler("four blanks", 31, by_line(lambda line, at: "    " + line)),
    Mangler("a list", 31, by_line(lambda line, at: "- " + line)),
    Mangler("stars", 31, by_line(lambda line, at: "* " + line)),
    Mangler("numbers", 31, by_line(lambda line, at: f"{at + 1}. {line}")),
    Mangler("code", 31, by_line(lambda line, at: f"`{line}`")),
    Mangler("a table", 31, by_line(lambda line, at: f"| {line} |")),
    Mangler("bold", 31, by_line(lambda line, at: f"**{line.strip()}**")),
    Mangler("escaped for Markdown", 31, by_line(lambda line, at: line.replace("_", "\\_"))),
    Mangler("cat -A", 32, by_line(lambda line, at: line.replace("\t", "^I") + "$")),
    Mangler("bullets", 31, by_line(lambda line, at: "• " + line)),
    Mangler("a box", 32, by_line(lambda line, at: f"│ {line:100} │")),
    Mangler(
        "invisible marks", 31, by_line(lambda line, at: "\u200f" + line.replace("/", "/\u200b"))
    ),
    Mangler("double quotes", 31, by_line(lambda line, at: f'"{line}",')),
    Mangler("a code block of Jira", 31, surrounded(["{noformat}"], ["{noformat}"])),
    Mangler(
        "a page",
        35,
        lambda lines: [
            '<html><body><pre class="bz_comment_text" id="comment_text_0">',
            *(html.escape(line) for line in lines),
            "</pre></body></html>",
        ],
    ),
    Mangler(
        "a page on one line with the tag",
        35,
        lambda lines: [
            "<pre>" + html.escape(lines[0]),
            *(html.escape(line) for line in lines[1:-1]),
            *(html.escape(line) + "</pre>" for line in lines[-1:] if len(lines) > 1),
        ],
    ),
    Mangler(
        "lore",
        35,
        lambda lines: [
            "<pre id=b>From: A &lt;a@example.org&gt;",
            '<span class="q">',
            *("&gt; " + html.escape(line) for line in lines),
            "</span></pre>",
        ],
    ),
    Mangler("breaks", 35, by_line(lambda line, at: html.escape(line) + "<br>")),
    Mangler("paragraphs", 35, by_line(lambda line, at: f"<p>{html.escape(line)}</p>")),
    Mangler("spans", 35, by_line(lambda line, at: f'<span class="ln">{html.escape(line)}</span>')),
    Mangler(
        "numeric entities",
        35,
        by_line(lambda line, at: html.escape(line).replace(" ", "&nbsp;").replace("_", "&#95;")),
    ),
]

# Mail


def wrapped(width: int) -> Callable[[Lines], Lines]:
    return lambda lines: [
        part
        for line in lines
        for part in (
            textwrap.wrap(
                line,
                width,
                break_long_words=False,
                break_on_hyphens=False,
                drop_whitespace=True,
                replace_whitespace=False,
                expand_tabs=False,
            )
            or [line]
        )
    ]


def filled(width: int) -> Callable[[Lines], Lines]:
    """Several tags on a line."""
    return lambda lines: textwrap.wrap(
        " ".join(lines), width, break_long_words=False, break_on_hyphens=False
    )


def flowed(lines: Lines) -> Lines:
    """RFC 3676: soft breaks end with a blank, lines that begin with one are stuffed."""
    out = []
    for line in lines:
        parts = wrapped(72)([line.rstrip()])
        parts = [part + " " for part in parts[:-1]] + parts[-1:]
        out += [
            " " + part if part[:1] in (" ", ">") or part[:4] == "From" else part for part in parts
        ]
    return out


def printable(lines: Lines) -> Lines:
    return quopri.encodestring("\n".join(lines).encode()).decode().split("\n")


MAIL = [
    *(Mangler(f"wrapped at {width}", 40, wrapped(width), breaks=True) for width in (72, 76, 78)),
    *(Mangler(f"filled at {width}", 40, filled(width), breaks=True) for width in (72, 78)),
    *(
        Mangler(f"quoted {mark!r}", 50, by_line(lambda line, at, mark=mark: mark + line))
        for mark in ("> ", ">", ">> ", ">>> ", "> > ", ">  > >", "  > ", "| ", ": ", "AB> ")
    ),
    Mangler("flowed", 60, flowed, breaks=True),
    Mangler("quoted-printable", 61, printable),
]

# Bytes


def encoded(name: str, encode: Callable[[str], bytes]) -> Mangler:
    return Mangler(name, 70, lambda lines: lines, encode=encode)


BYTES = [
    encoded("CRLF", lambda text: text.replace("\n", "\r\n").encode()),
    encoded("CR CR LF", lambda text: text.replace("\n", "\r\r\n").encode()),
    encoded("LF CR", lambda text: text.replace("\n", "\n\r").encode()),
    encoded("CR", lambda text: text.replace("\n", "\r").encode()),
    encoded("BOM", lambda text: b"\xef\xbb\xbf" + text.encode()),
    encoded("UTF-16", lambda text: text.replace("\n", "\r\n").encode("utf-16")),
    encoded("UTF-16 BE", lambda text: b"\xfe\xff" + text.encode("utf-16-be")),
    encoded("UTF-16 without its mark", lambda text: text.encode("utf-16-le")),
    encoded("no newline at the end", lambda text: text.rstrip("\n").encode()),
    encoded("Latin-1 besides", lambda text: b"Gr\xfc\xdfe,\n\n" + text.encode()),
    encoded("NULs besides", lambda text: bytes(4096) + b"\n" + text.encode() + bytes(512)),
]

MANGLERS = [*VALUES, *PREFIXES, *STRUCTURED, *AROUND, *MAIL, *BYTES]


def fit(one: Mangler, other: Mangler) -> bool:
    """May both happen to the same text?"""
    if one.step == other.step and one.step in (10, 11, 35, 70):
        return False
    names = {one.name, other.name}
    if len(names) == 1:
        return False
    if sum("--color" in name for name in names) == 2:
        return False
    if "quoted cells" in names and {one.step, other.step} & {20, 21, 31, 32}:
        return False  # nobody quotes the cells of a log or of a list
    if set(names) == {"csv", "numfmt --grouping"}:
        return False  # refused: which commas are between cells?
    if any(name.startswith("filled") for name in names) and any(
        name == "a command" or "with its command" in name for name in names
    ):
        return False  # the command would be on the line of a tag
    first, second = sorted((one, other), key=lambda each: each.step)
    return not (first.whole and (second.breaks or second.step < 50)) and not (
        second.whole and first.breaks
    )


def mangled(lines: Lines, manglers: list[Mangler]) -> bytes:
    """The text after all of them, in their order."""
    encode: Callable[[str], bytes] = str.encode
    for each in sorted(manglers, key=lambda each: each.step):
        lines = [part for line in each.lines(lines) for part in line.split("\n")]
        encode = each.encode or encode
    return encode("\n".join(lines) + "\n")
