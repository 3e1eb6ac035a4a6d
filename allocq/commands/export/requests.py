"""HTTP requests and responses as bytes: as much of HTTP as a scraper needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LARGEST_HEAD = 8192
_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(r"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its body. headers: by name in lower case; of several, the last."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (("Content-Type", "text/plain; charset=utf-8"),)

    @property
    def head(self) -> bytes:
        """What is sent before the body. The connection ends with the body."""
        lines = [f"HTTP/1.1 {self.status} {_REASONS[self.status]}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace")


def refusal(status: int, *headers: tuple[str, str]) -> Response:
    """A response that says what is wrong in a few words."""
    body = f"{status} {_REASONS[status]}\n".encode()
    return Response(status, body, (*Response(status).headers, *headers))


def read_request(data: bytes | bytearray) -> Request | Response | None:
    """The request that the bytes begin with; what to answer if it is none; None if more bytes are
    needed."""
    data = bytes(data).lstrip(b"\r\n")
    end = _END.search(data)
    if end is None:
        return refusal(431) if len(data) > LARGEST_HEAD else None
    if end.start() > LARGEST_HEAD:
        return refusal(431)
    first, *others = data[: end.start()].decode("latin-1").split("\n")
    matched = _LINE.fullmatch(first.rstrip("\r"))
    if matched is None:
        return refusal(400)
    headers = {}
    for line in others:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return refusal(400)
        headers[name.lower()] = value.strip()
    path, _, query = matched[2].partition("?")
    return Request(matched[1], path, query, headers)
