"""Answers HTTP requests, one thread for all connections.

A thread for each, as prometheus-client's own server has it, lets whoever opens connections and says
nothing take all memory. Here each connection has a few kilobytes and a few seconds.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from ...errors import OutputError
from .requests import LARGEST_HEAD, Request, Response, read_request

if TYPE_CHECKING:
    import ssl

MOST_CONNECTIONS = 256
_BACKLOG = 128
_ACCEPTED_AT_ONCE = 64
_PIECE = 1 << 16
# Files that reading the tags and an answer open for a moment, and the one that is accepted last.
_RESERVE = 8
_FEWEST_CONNECTIONS = 4
_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: to send a request (and agree on TLS), to take the answer, and to hang up."""

    request: float = 10.0
    answer: float = 30.0
    end: float = 1.0


class _State(Enum):
    """What a connection waits for."""

    HANDSHAKE = 1
    REQUEST = 2
    ANSWER = 3
    END = 4


@dataclass(slots=True, eq=False)
class _Connection:
    """One client. deadline: when it is cut off; waits: for which event."""

    socket: socket.socket
    state: _State
    deadline: float
    waits: int = selectors.EVENT_READ
    received: bytearray = field(default_factory=bytearray)
    left: list[memoryview] = field(default_factory=list)


class Server:
    """Serves until a byte can be read from `stop`.

    listeners: bound sockets; answer: what to say to a request; tls: None for plain HTTP; idle: is
    called now and then, at least every `often` seconds. The oldest connection that is still being
    asked makes room for a new one where there are MOST_CONNECTIONS, or fewer where this process may
    not have so many files open. OutputError where it may have hardly any.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        answer: Callable[[Request], Response],
        tls: ssl.SSLContext | None = None,
        patience: Patience | None = None,
        idle: Callable[[], None] = lambda: None,
        often: float | None = None,
    ) -> None:
        self._listeners = listeners
        self._answer = answer
        self._tls = tls
        self._patience = patience or Patience()
        self._idle, self._often = idle, often
        self._selector = selectors.DefaultSelector()
        self._connections: dict[_Connection, None] = {}  # oldest first
        self._most = room_for_connections()

    def serve(self, stop: int) -> None:
        """Serve. Nothing that a client does ends this."""
        for listener in self._listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._selector.register(listener, selectors.EVENT_READ, listener)
        self._selector.register(stop, selectors.EVENT_READ, None)
        try:
            while True:
                for key, _ in self._selector.select(self._timeout()):
                    if key.data is None:
                        return
                    if isinstance(key.data, _Connection):
                        # One that made room in the meantime is closed.
                        if key.data in self._connections:
                            self._advance(key.data)
                    else:
                        self._accept(key.data)
                self._cut_off()
                self._idle()
        finally:
            for connection in list(self._connections):
                self._close(connection)
            self._selector.close()

    def _timeout(self) -> float | None:
        deadlines = [connection.deadline for connection in self._connections]
        if not deadlines:
            return self._often
        left = max(0.0, min(deadlines) - time.monotonic())
        return left if self._often is None else min(left, self._often)

    def _cut_off(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self._connections if each.deadline <= now]:
            self._close(connection)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._connections) >= self._most:
                if not _is_asked(listener):
                    return
                self._make_room()
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    continue  # the client is gone already
                if not self._connections:
                    time.sleep(0.1)
                    return
                # It is said of a listener that nobody waits at, too.
                if not _is_asked(listener):
                    return
                self._make_room()
                continue
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        state = _State.REQUEST
        if self._tls is not None:
            state = _State.HANDSHAKE
            try:
                accepted = self._tls.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
            except OSError:
                accepted.close()
                return
        connection = _Connection(accepted, state, time.monotonic() + self._patience.request)
        self._connections[connection] = None
        self._selector.register(accepted, connection.waits, connection)

    def _make_room(self) -> None:
        asking = (each for each in self._connections if each.state is not _State.ANSWER)
        oldest = next(asking, None) or next(iter(self._connections), None)
        if oldest is not None:
            self._close(oldest)

    def _close(self, connection: _Connection) -> None:
        del self._connections[connection]
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _advance(self, connection: _Connection) -> None:
        """Go on with a connection as far as that is possible now."""
        try:
            while self._step(connection):
                pass
        except (BlockingIOError, InterruptedError):
            self._wait(connection, connection.waits)
        except OSError as error:
            wants = _wanted_by_tls(error)
            if wants:
                self._wait(connection, wants)
            else:
                self._close(connection)

    def _wait(self, connection: _Connection, events: int) -> None:
        self._selector.modify(connection.socket, events, connection)

    def _step(self, connection: _Connection) -> bool:
        """One step; False if the connection ended. OSError, also for: not now."""
        if connection.state is _State.HANDSHAKE:
            connection.waits = selectors.EVENT_READ
            connection.socket.do_handshake()  # type: ignore[attr-defined]
            connection.state = _State.REQUEST
        elif connection.state is _State.REQUEST:
            return self._receive(connection)
        elif connection.state is _State.ANSWER:
            connection.waits = selectors.EVENT_WRITE
            self._send(connection)
        else:
            # Once a time: another one may have something to say, however much this one sends.
            self._wait(connection, selectors.EVENT_READ)
            if not connection.socket.recv(_PIECE):
                self._close(connection)
            return False
        return True

    def _receive(self, connection: _Connection) -> bool:
        connection.waits = selectors.EVENT_READ
        data = connection.socket.recv(LARGEST_HEAD)
        connection.received += data
        request = read_request(connection.received)
        if request is None:
            if not data:
                self._close(connection)
                return False
            return True
        connection.received = bytearray()
        response = request if isinstance(request, Response) else self._answer(request)
        connection.left = [memoryview(response.head)]
        if isinstance(request, Response) or request.method != "HEAD":
            connection.left.append(memoryview(response.body))
        connection.state = _State.ANSWER
        connection.deadline = time.monotonic() + self._patience.answer
        return True

    def _send(self, connection: _Connection) -> None:
        """Send what can be sent; hang up when all is."""
        piece = connection.left[0]
        if piece:
            connection.left[0] = piece[connection.socket.send(piece[:_PIECE]) :]
        else:
            del connection.left[0]
        if not connection.left:
            self._hang_up(connection)

    def _hang_up(self, connection: _Connection) -> None:
        """Nothing more comes. What the client still sends is read away for a moment: closing before
        would destroy what it did not read yet."""
        connection.state = _State.END
        connection.deadline = time.monotonic() + self._patience.end
        connection.socket.shutdown(socket.SHUT_WR)


def _wanted_by_tls(error: OSError) -> int:
    import ssl

    if isinstance(error, ssl.SSLWantReadError):
        return selectors.EVENT_READ
    return selectors.EVENT_WRITE if isinstance(error, ssl.SSLWantWriteError) else 0


def _is_asked(listener: socket.socket) -> bool:
    """Does somebody wait to be accepted?"""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def room_for_connections() -> int:
    """How many there may be, of MOST_CONNECTIONS. OutputError for hardly any."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    # A descriptor is a number below the limit, and whatever is open takes one.
    free = sum(map(_is_free, range(min(limit, 2 * MOST_CONNECTIONS))))
    room = min(MOST_CONNECTIONS, free - _RESERVE)
    if room < _FEWEST_CONNECTIONS:
        raise OutputError(
            f"too few open files are allowed to serve: {limit} (ulimit -n)",
            "raise it to 64 or more",
        )
    return room


def _is_free(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError as error:
        return error.errno == errno.EBADF
    return False
