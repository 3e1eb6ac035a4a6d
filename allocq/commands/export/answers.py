"""What is answered to a request: the metrics, in the format and compression that it asks for."""

from __future__ import annotations

import re
import traceback
import zlib
from collections.abc import Callable
from os import environ
from typing import TYPE_CHECKING, Any

from ...host.service import give_back
from ...output.stream import warn
from .requests import Request, Response, refusal

if TYPE_CHECKING:
    from .access import Passwords
    from .collector import Collector

_KEPT = 8
_LARGEST_KEY = 1024
_FAST = 1
_GZIP = 31
_PAGE = b"""<!DOCTYPE html>
<html lang="en"><title>allocq</title>
<h1>allocq</h1>
<p>Memory allocations of the kernel, for Prometheus: <a href="/metrics">/metrics</a></p>
</html>
"""
_ESCAPING = re.compile(r"\s*;\s*escaping=[^;,]*")
_BAD_VERSION = re.compile(r"\s*;\s*version=(?!\d{1,9}(?:\.\d{1,9}){0,3}\s*(?:;|$))[^;]*")
_QUALITY = re.compile(r";\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.IGNORECASE)
_OPENMETRICS = "application/openmetrics-text"
_Key = tuple[str, str, bool]


class Answers:
    """Answers requests with the metrics of a collector. passwords: None where everybody may ask."""

    def __init__(self, collector: Collector, passwords: Passwords | None = None) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

        registry = CollectorRegistry()
        registry.register(collector)
        ProcessCollector(registry=registry)
        # Its compression is the slowest there is, and takes longer than all else.
        self._app: Any = make_wsgi_app(registry, disable_compression=True)
        self._collector = collector
        self._passwords = passwords
        self._kept: dict[_Key, Response] = {}
        self._number = -1
        self._told = ""

    def answer(self, request: Request) -> Response:
        """The response to a request; whatever goes wrong becomes one, too."""
        try:
            return self._answer(request)
        except Exception as error:
            words = f"cannot answer {request.path}: {type(error).__name__}"
            if words != self._told:
                self._told = words
                warn(words)
                if environ.get("ALLOCQ_DEBUG") == "1":
                    traceback.print_exc()
            return refusal(500)

    def _answer(self, request: Request) -> Response:
        if self._passwords is not None and not self._passwords.admit(request):
            return refusal(401, ("WWW-Authenticate", 'Basic realm="allocq", charset="UTF-8"'))
        if request.path not in ("/", "/metrics"):
            return refusal(404)
        if request.method not in ("GET", "HEAD"):
            return refusal(405, ("Allow", "GET, HEAD"))
        if request.path == "/":
            return Response(200, _PAGE, (("Content-Type", "text/html; charset=utf-8"),))
        return self._metrics(request)

    def _metrics(self, request: Request) -> Response:
        """The metrics, written once for all who ask for the same in the same way."""
        accept = request.headers.get("accept", "")
        packed = _takes_gzip(request.headers.get("accept-encoding", ""))
        key = request.query, accept, packed
        number = self._collector.refresh()
        if number != self._number:
            self._kept.clear()
            self._number = number
        response = self._kept.get(key)
        if response is None:
            response = _written(self._app, *key)
            give_back()  # what writing it took
            if len(self._kept) < _KEPT and len(request.query) + len(accept) <= _LARGEST_KEY:
                self._kept[key] = response
        return response


def _written(app: Callable[..., list[bytes]], query: str, accept: str, packed: bool) -> Response:
    given: list[tuple[str, str]] = []

    def start(status: str, headers: list[tuple[str, str]]) -> None:
        given.extend(headers)

    environment = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/metrics",
        "QUERY_STRING": query,
        "HTTP_ACCEPT": _cheapest(accept),
    }
    body = b"".join(app(environment, start))
    given = [(name, _ESCAPING.sub("", value)) for name, value in given]
    given.append(("Vary", "Accept, Accept-Encoding"))
    if packed:
        packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
        body = packer.compress(body) + packer.flush()
        given.append(("Content-Encoding", "gzip"))
    return Response(200, body, given)


def _cheapest(accept: str) -> str:
    """The same formats, with the way to escape names that costs least: ours need none in any.
    Without versions that are no numbers, which prometheus-client would fail at, and, as it does not
    look at q, without OpenMetrics where plain text is preferred; the most preferred one first."""
    asked = [(_quality(each), each) for each in accept.split(",")]
    plain = max((q for q, each in asked if _format(each) == "text/plain"), default=0.0)
    chosen = [(q, each) for q, each in asked if q and (q >= plain or _format(each) != _OPENMETRICS)]
    formats = (
        _BAD_VERSION.sub("", _ESCAPING.sub("", each))
        for _, each in sorted(chosen, key=lambda one: -one[0])
    )
    return ",".join(f"{each};escaping=allow-utf-8" for each in formats)


def _format(wish: str) -> str:
    return wish.partition(";")[0].strip().lower()


def _quality(wish: str) -> float:
    """How much one of the wishes of a header is preferred: 0 (not at all) to 1."""
    found = _QUALITY.search(wish)
    return float(found[1]) if found else 1.0


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.split(","):
        if _format(each) == "gzip":
            return _quality(each) > 0
    return False
