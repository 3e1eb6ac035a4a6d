"""`allocq export`: serves metrics to Prometheus, or writes them to a file for node_exporter."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ... import __version__
from ...errors import OutputError, UsageError
from ...host.rights import User, drop_rights, user_named
from ...host.service import notify, settle, watchdog_seconds
from ...options.commands import EXPORT_HOLD, EXPORT_LISTEN, EXPORT_MAX_AGE, EXPORT_TOP
from ...options.shared import FOUND
from ...output.openmetrics import need_library, prometheus_text
from ...output.stream import Output, say, warn
from ...storage.files import check_free, save
from ...times import parse_duration
from ...units import parse_size
from ..arguments import Origin, number, read_filter, read_origin, strings, text, text_or
from .access import Certificates
from .collector import Collector, Exposed, Pattern
from .opening import Opening

_READABLE_BY_ALL = 0o644
_MOST_SERIES = 10_000
_NO_TIME = re.compile(r"0+(?:\.0+)?\s*[a-z]*")
_SERVER_ONLY = ("listen", "max_age", "user", "tls_cert", "tls_key", "tls_client_ca", "passwords")


@dataclass(frozen=True, slots=True)
class Export:
    """The checked options. textfile: None for the server; passwords: the path of a file."""

    exposed: Exposed
    origin: Origin
    textfile: str | None
    listen: tuple[str, ...]
    user: User | None
    certificates: Certificates | None
    passwords: str | None


def export_command(values: Mapping[str, object]) -> int:
    """Run the command until a signal ends it, or write one file; returns 0."""
    export = read_export(values)
    need_library()
    return _write(export) if export.textfile is not None else _serve(export)


def read_export(values: Mapping[str, object]) -> Export:
    """Check the option values. UsageError."""
    textfile = text(values, "textfile")
    if textfile is not None:
        for name in _SERVER_ONLY:
            if values.get(name) is not None:
                raise UsageError(
                    f"--textfile and --{name.replace('_', '-')} cannot be used together",
                    "with --textfile, nothing listens",
                )
        if textfile != "-":
            check_free(textfile, force=True)
            if not textfile.endswith(".prom"):
                warn(f"node_exporter reads only files that end in .prom, not {textfile}")
    # Series below --min-size are in `other`, so it is no filter here.
    filter = read_filter({name: each for name, each in values.items() if name != "min_size"})
    top = EXPORT_TOP if (given := number("top", values.get("top"))) is None else given
    if top > _MOST_SERIES:
        raise UsageError(f"--top {top} is too large", f"at most {_MOST_SERIES}")
    sizes = strings(values, "min_size")
    exposed = Exposed(
        filter,
        top,
        min(map(parse_size, sizes)) if sizes else 0,
        _seconds(text_or(values, "hold", EXPORT_HOLD)),
        _seconds(text_or(values, "max_age", EXPORT_MAX_AGE)),
        bool(values.get("line_label")),
        tuple(_patterns(values)),
    )
    return Export(
        exposed,
        read_origin(values, piped=False),
        textfile,
        tuple(strings(values, "listen")) or (EXPORT_LISTEN,),
        _user(text(values, "user")) if textfile is None else None,
        _certificates(values),
        text(values, "passwords"),
    )


def _seconds(words: str) -> float:
    return 0.0 if _NO_TIME.fullmatch(words) else parse_duration(words)


def _patterns(values: Mapping[str, object]) -> Iterator[Pattern]:
    for label in ("file", "function", "module"):
        include = _regexp(text(values, f"{label}_include"))
        exclude = _regexp(text(values, f"{label}_exclude"))
        if include is not None or exclude is not None:
            yield Pattern(label, include, exclude)


def _regexp(words: str | None) -> re.Pattern[str] | None:
    if words is None:
        return None
    try:
        return re.compile(words)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"invalid regexp '{words}': {error}", "regexps use Python syntax"
        ) from None


def _user(name: str | None) -> User | None:
    """The user to switch to; None to stay the same."""
    if os.geteuid() == 0:
        user = user_named(name)
        return user if user.uid else None
    if name is not None:
        raise UsageError("--user is for root", "omit it: only root can switch to another user")
    return None


def _certificates(values: Mapping[str, object]) -> Certificates | None:
    certificate, key = text(values, "tls_cert"), text(values, "tls_key")
    authority = text(values, "tls_client_ca")
    if certificate is None and key is None and authority is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs --tls-cert and --tls-key", "give both")
    return Certificates(certificate, key, authority)


def _write(export: Export) -> int:
    """Write the file once."""
    collector = Collector(export.exposed, __version__, export.origin.open)
    try:
        data = prometheus_text(collector.samples())
    finally:
        collector.close()
    assert export.textfile is not None
    if export.textfile == "-":
        out = Output()
        out.write(data)
        out.release()
    else:
        save(export.textfile, (data,), force=True, mode=_READABLE_BY_ALL)
    return FOUND


class _Stop:
    """What SIGTERM and SIGINT make readable."""

    def __init__(self) -> None:
        self.read, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(self.read, False)
        # Ends the thread that waits for Ctrl-C: rights are those of a thread.
        if (other := signal.set_wakeup_fd(write, warn_on_full_buffer=False)) >= 0:
            os.close(other)
        for each in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, lambda *_: None)


def _serve(export: Export) -> int:
    """Serve until a signal says to stop."""
    from .access import Passwords, tls_context
    from .addresses import bound, url_of
    from .answers import Answers
    from .requests import Request
    from .server import Server, room_for_connections

    room_for_connections()  # before anything else fails for lack of descriptors
    passwords = None if export.passwords is None else Passwords(export.passwords)
    tls = None if export.certificates is None else tls_context(export.certificates)
    with contextlib.ExitStack() as opened:
        listeners: list[socket.socket] = []
        for address in export.listen:
            for listener in bound(address):
                listeners.append(opened.enter_context(listener))
        opening = Opening(_for_many_reads(export.origin))
        collector = Collector(export.exposed, __version__, opening, opening.is_stale)
        opened.callback(collector.close)
        # As root everything that is ever needed is opened and imported: later it cannot be.
        for accept in ("", "application/openmetrics-text; version=1.0.0"):
            headers = {"accept": accept, "accept-encoding": "gzip"}
            Answers(collector).answer(Request("GET", "/metrics", "", headers))
        collector.forget()
        every = watchdog_seconds()
        often = every / 2 if every else None
        answers = Answers(collector, passwords)
        server = Server(listeners, answers.answer, tls, idle=_Alive(often), often=often)
        settle()
        stop = _Stop()
        try:
            drop_rights(export.user)
        except OSError as error:
            raise OutputError(
                f"cannot drop the rights of root: {error.strerror or error}",
                "--user root stays root, but without capabilities",
            ) from None
        urls = ", ".join(url_of(listener, tls is not None) for listener in listeners)
        say(f"allocq: metrics at {urls}")
        notify("READY=1", f"STATUS=metrics at {urls}")
        server.serve(stop.read)
        notify("STOPPING=1")
    return FOUND


def _for_many_reads(origin: Origin) -> Origin:
    """The text is the cheapest way to all counters. What `auto` measures to find that out is kept
    in files of root's, so that it would measure again each time."""
    return replace(origin, interface="text") if origin.interface == "auto" else origin


class _Alive:
    """Tells the service manager, not more often than it needs to hear it (None: never)."""

    def __init__(self, often: float | None) -> None:
        self._often = often
        self._next = 0.0

    def __call__(self) -> None:
        if self._often is not None and (now := time.monotonic()) >= self._next:
            self._next = now + self._often / 2
            notify("WATCHDOG=1")
