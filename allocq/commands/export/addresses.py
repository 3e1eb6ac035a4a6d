"""Where the server listens."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

from ...errors import OutputError, UsageError

_HINT = "use HOST:PORT, as in 127.0.0.1:9836 or [::1]:9836; :9836 is every address"
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def parse_address(text: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT, [IPV6]:PORT or :PORT. UsageError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    plain = ":" in host and not bracketed
    if not colon or plain or (bracketed and not host) or any(c in host for c in "[]/\0 "):
        raise UsageError(f"invalid address '{text}'", _HINT)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 1 << 16):
        raise UsageError(
            f"invalid port in '{text}'", "use a number up to 65535; 0 picks a free port"
        )
    return host, int(port)


def bound(text: str) -> list[socket.socket]:
    """Sockets bound to what an address stands for. UsageError, OutputError."""
    host, port = parse_address(text)
    if not host:
        return [_every_address(text, port)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or "not a valid name"
        raise OutputError(f"unknown address '{text}': {words}", _HINT) from None
    sockets: list[socket.socket] = []
    trouble: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        # A free port is the same for each.
        if port == 0 and sockets:
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        try:
            sockets.append(_bound(family, address))
        except OSError as error:
            # localhost may stand for ::1 where there is no IPv6.
            if error.errno not in _NOT_HERE:
                for each in sockets:
                    each.close()
                raise _failed(text, error) from None
            trouble = error
    if not sockets and trouble is not None:
        raise _failed(text, trouble)
    return sockets


def _every_address(text: str, port: int) -> socket.socket:
    try:
        with suppress(OSError):
            if socket.has_dualstack_ipv6():
                return _bound(socket.AF_INET6, ("::", port), both=True)
        return _bound(socket.AF_INET, ("0.0.0.0", port))
    except OSError as error:
        raise _failed(text, error) from None


def _bound(family: int, address: tuple[object, ...], both: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        made.bind(address)
        # Whether the port is free shows only here.
        made.listen()
    except BaseException:
        made.close()
        raise
    return made


def _failed(text: str, error: OSError) -> OutputError:
    words = f"cannot listen on {text}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return OutputError(words, "stop what listens there, or choose another port with --listen")
    if error.errno == errno.EACCES:
        return OutputError(words, "only root may use a port below 1024")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return OutputError(words, "raise the limit: ulimit -n")
    here = error.errno == errno.EADDRNOTAVAIL
    return OutputError(words, "name an address of this machine" if here else "")


def url_of(listener: socket.socket, tls: bool) -> str:
    """Where it is reached: http://127.0.0.1:9836/metrics."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if listener.family == socket.AF_INET6 else host
    return f"{'https' if tls else 'http'}://{shown}:{port}/metrics"
