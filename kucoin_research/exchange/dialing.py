"""Opens TCP connections: looks the name up, and tries the addresses side by side.

The first of a host's addresses may be silent: IPv6 may lead nowhere, or one of four machines may be
down. So each address is tried a quarter of a second after the one before, even if that has not
failed yet, and the first to answer wins (RFC 8305, "happy eyeballs").

The system's ``getaddrinfo`` cannot be interrupted, and a dead name server holds it for half a
minute. So a thread of its own calls it, and the caller waits for that thread within the `Bound`.
Callers that ask for the same name wait for the same thread, so that retries do not pile up threads.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from kucoin_research.errors import Unreachable
from kucoin_research.foundation.bounds import Bound, OutOfTime
from kucoin_research.foundation.clocks import Clock
from kucoin_research.foundation.forking import in_child

__all__ = ["Address", "ConnectFailure", "NoName", "addresses_of", "dial"]

# Seconds. On some systems, shutting down a socket that is still connecting does not wake the thread
# that waits for it: so it wakes this often by itself.
_SLICE = 0.1
# RFC 8305, section 5: the "Connection Attempt Delay" it recommends.
_HEAD_START = 0.25
# More than any exchange has, and no more sockets at once than a process can spare.
_MOST_ADDRESSES = 16
# Names that are looked up at once; an exchange has four hosts.
_MOST_LOOKUPS = 16
# Dead peers are noticed after a minute of quiet.
_KEEP_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class NoName(OutOfTime):
    """The name server did not answer in time."""


class Address(NamedTuple):
    """An address to connect to, as ``getaddrinfo`` returns it."""

    family: int
    kind: int
    protocol: int
    canonical: str
    address: Any


def dial(
    bound: Bound, host: str, port: int, *, timeout: float | None = None, is_plain: bool = True
) -> socket.socket:
    """Open a TCP connection.

    Parameters
    ----------
    bound
        The bound of the conversation that begins with it; it holds the socket.
    host, port
        The host. The addresses of its name are tried side by side, each a quarter of a second after
        the one before, or as soon as that one has failed.
    timeout
        Seconds to look up the name, and again for each address, beside the bound.
    is_plain
        Whether the connection stays without TLS; then all waits on the socket go by the bound's
        clock.

    Returns
    -------
    socket.socket
        Connected; its timeout is the rest of the bound. The sockets of other addresses are closed.

    Raises
    ------
    OSError
        If there is no such name (``socket.gaierror``), no route, or nobody listening. `NoName`,
        `OutOfTime` and `Cut` are such errors.
    """
    addresses = addresses_of(bound, host, port, timeout=timeout)
    with _Race(bound, addresses, timeout) as race:
        sock = race.run()
    try:
        _tune(sock)
        sock.settimeout(bound.left(timeout))
        if is_plain:
            sock = bound.clock.adopt(sock)
        bound.hold(sock)
    except BaseException:
        sock.close()
        raise
    return sock


# -- addresses, side by side -----------------------------------------------------------------------


class _Race:
    """Connects to several addresses at once; as a context manager it closes all but the winner.

    Parameters
    ----------
    bound
        Limits the race; it holds all sockets that connect.
    addresses
        Tried in this order.
    timeout
        Seconds for each address; None for no limit beside the bound.
    """

    def __init__(self, bound: Bound, addresses: Iterable[Address], timeout: float | None) -> None:
        self._bound = bound
        self._clock = bound.clock
        self._left = deque(addresses)
        self._timeout = math.inf if timeout is None else timeout
        self._until: dict[socket.socket, float] = {}  # when each connecting socket times out
        self._next_at = self._clock.monotonic()
        self._failure: OSError = socket.gaierror(socket.EAI_NONAME, "no address was found")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._until:
            sock.close()

    def run(self) -> socket.socket:
        """Wait for the first connection; if all fail, raise the error of the last one."""
        while self._left or self._until:
            if self._left and (not self._until or self._clock.monotonic() >= self._next_at):
                self._begin(self._left.popleft())
            elif (winner := self._wait()) is not None:
                return winner
        raise self._failure

    def _begin(self, address: Address) -> None:
        try:
            sock = socket.socket(address.family, address.kind, address.protocol)
        except OSError as error:  # this machine lacks the address family
            self._failure = error
            return
        now = self._clock.monotonic()
        self._until[sock] = now + self._timeout
        self._next_at = now + _HEAD_START
        sock.setblocking(False)
        try:
            code = sock.connect_ex(address.address)
        except OverflowError:  # no port has that number
            code = errno.EADDRNOTAVAIL
        if code in _UNDER_WAY:
            self._bound.hold(*self._until)
        else:
            self._give_up(sock, OSError(code, os.strerror(code)))

    def _wait(self) -> socket.socket | None:
        now = self._clock.monotonic()
        events = [*self._until.values(), *([self._next_at] if self._left else [])]
        seconds = min(self._bound.left(_SLICE), max(0.0, min(events) - now))
        ready = self._clock.connected(list(self._until), seconds)
        self._bound.left()  # raises if the bound was cut: a cut socket looks connected
        for sock in ready:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not code:
                self._bound.hold(sock)  # instead of all sockets of the race
                del self._until[sock]
                return sock
            self._give_up(sock, OSError(code, os.strerror(code)))
        now = self._clock.monotonic()
        for sock in [each for each, until in self._until.items() if now >= until]:
            self._give_up(sock, TimeoutError("timed out"))
        return None

    def _give_up(self, sock: socket.socket, failure: OSError) -> None:
        del self._until[sock]
        sock.close()
        self._failure = failure
        self._next_at = self._clock.monotonic()  # the next one need not wait


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


# -- names -----------------------------------------------------------------------------------------


def addresses_of(
    bound: Bound, host: str, port: int, *, timeout: float | None = None
) -> list[Address]:
    """Look a name up, within the bound; an IP address needs no look-up.

    Parameters
    ----------
    bound
        Limits the look-up, and can end it.
    host, port
        The name to look up. Callers that ask for the same one at the same time share one thread.
    timeout
        Seconds for the look-up, beside the bound.

    Returns
    -------
    list[Address]
        In the system's order, but IPv6 and IPv4 in turns; 16 at most.

    Raises
    ------
    OSError
        If there is no such name (``socket.gaierror``), or `NoName`, `OutOfTime` or `Cut`.
    """
    host = host.strip("[]")
    try:
        return _in_turns(_ask_system(host, port, socket.AI_NUMERICHOST))
    except socket.gaierror:  # a name
        lookup = _lookups.begin(bound.clock, host, port)
    until = math.inf if timeout is None else bound.clock.monotonic() + timeout
    while not lookup.is_done.is_set():
        left = until - bound.clock.monotonic()
        try:
            slice_ = bound.left(_SLICE)
        except OutOfTime:
            left = 0.0
        if left <= 0.0:
            raise NoName(f"{host} was not found in time")
        lookup.is_done.wait(min(slice_, left))
    bound.left()
    if lookup.failure is not None:
        # A new error for each caller: other threads raise the same failure.
        raise type(lookup.failure)(*lookup.failure.args)
    return _in_turns(lookup.found)


def _ask_system(host: str, port: int, flags: int = 0) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags)
    except (UnicodeError, OverflowError):  # a label is empty or too long, or the port no number
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None
    return [Address(*each) for each in found]


def _in_turns(addresses: list[Address]) -> list[Address]:
    # RFC 8305, section 4: begin with the family that the system prefers.
    families = list(dict.fromkeys(each.family for each in addresses))
    queues = [deque(each for each in addresses if each.family == one) for one in families]
    mixed: list[Address] = []
    while any(queues):
        mixed += [queue.popleft() for queue in queues if queue]
    return mixed[:_MOST_ADDRESSES]


class _Lookup:
    """A name that a thread looks up; the result is there once ``is_done`` is set."""

    def __init__(self, clock: Clock, host: str, port: int) -> None:
        self.is_done = clock.event()
        self.found: list[Address] = []
        self.failure: OSError | None = None
        self._host, self._port = host, port

    def run(self) -> None:
        try:
            self.found = _ask_system(self._host, self._port)
        except OSError as error:
            self.failure = error.with_traceback(None)
        finally:
            self.is_done.set()


class _Lookups:
    """The names that are being looked up, each by one thread; thread-safe.

    A thread ends only when the system answers. The limit of 16 threads holds however often, and by
    however many streams, names are asked for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _running
        self._running: dict[tuple[Clock, str, int], _Lookup] = {}

    def begin(self, clock: Clock, host: str, port: int) -> _Lookup:
        """Begin to look a name up, or return the look-up of it that is already running."""
        where = (clock, host, port)
        with self._lock:
            self._running = {
                key: each for key, each in self._running.items() if not each.is_done.is_set()
            }
            if where in self._running:
                return self._running[where]
            if len(self._running) >= _MOST_LOOKUPS:
                raise socket.gaierror(socket.EAI_AGAIN, "the name server answers nothing")
            lookup = _Lookup(clock, host, port)
            try:
                clock.thread(lookup.run, f"looks up {host}").start()
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, str(error)) from error
            self._running[where] = lookup
            return lookup


_lookups = _Lookups()


def _forget() -> None:
    # A forked child has none of these threads, and one of them may have held the lock.
    global _lookups
    _lookups = _Lookups()


in_child(_forget)


class ConnectFailure(OSError):
    """A host cannot be reached, for a reason that we can name better than the system does.

    Attributes
    ----------
    kind
        The error of this package to raise for it.
    why
        Half a sentence with the reason and, after a semicolon, the remedy.
    """

    def __init__(self, why: str, kind: type[Unreachable] = Unreachable) -> None:
        super().__init__(why)
        self.why = why
        self.kind = kind
