"""How long a conversation with a server may take, and how another thread ends it.

A timeout of a socket starts anew with each byte, so a server that drips holds its reader for ever.
A `Bound` is a moment for all of it: connecting, encrypting, headers and body. Whoever waits asks it
before each wait how long that may be. It also keeps a second handle of the socket that is waited
on, so that `cut` wakes the reader from any thread, and never hits a descriptor that was reused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from types import TracebackType
from typing import Any, Self

from kucoin_research.clocks import Clock

__all__ = ["Bound", "Cut", "OutOfTime", "dial"]

# Where shutting down a socket that is still connecting does not wake it, this does.
_SLICE = 0.1
# Dead peers are noticed after a minute of quiet.
_KEEP_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_UNDER_WAY = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class OutOfTime(TimeoutError):
    """The conversation has taken as long as it may."""


class Cut(ConnectionAbortedError):
    """The conversation was ended by another thread."""


class Bound:
    """A moment by which a conversation with a server is over; a context manager.

    **Threads**: one thread has the conversation and calls `left`, `hold` and `release`; any thread
    may call `cut`, at any time.

    Parameters
    ----------
    clock
        The time it goes by.
    seconds
        From now on.
    until
        A moment, in the clock's monotonic seconds, that may come before; None for none.
    """

    def __init__(self, clock: Clock, seconds: float, *, until: float | None = None) -> None:
        self.clock = clock
        self._until = clock.monotonic() + seconds
        if until is not None:
            self._until = min(self._until, until)
        self._lock = threading.Lock()  # guards _handle and _is_cut
        self._handle: Any = None
        self._is_cut = False

    @property
    def is_cut(self) -> bool:
        """Whether it was ended by `cut`."""
        return self._is_cut

    def left(self, most: float | None = None) -> float:
        """Return the seconds that the next wait may take, above 0 and up to ``most``.

        Raises
        ------
        OutOfTime
            If there are none.
        Cut
            If the conversation was ended.
        """
        if self._is_cut:
            raise Cut("the conversation was ended from elsewhere")
        left = self._until - self.clock.monotonic()
        if left <= 0.0:
            raise OutOfTime("timed out")
        return left if most is None else min(left, most)

    def hold(self, sock: socket.socket) -> None:
        """Have that socket shut down by `cut`, instead of the one before."""
        handle = self.clock.handle(sock)
        with self._lock:
            before, self._handle = self._handle, handle
        if before is not None:
            before.close()
        self.left()  # it may have been cut meanwhile

    def release(self) -> None:
        """Let go of the socket: the conversation is over, the connection may go on."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def cut(self) -> None:
        """End the conversation now; whoever waits in it wakes. Idempotent, does not wait."""
        with self._lock:
            self._is_cut = True
            if self._handle is not None:
                with contextlib.suppress(OSError):  # the peer was faster
                    self._handle.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def dial(
    bound: Bound, host: str, port: int, *, timeout: float | None = None, is_plain: bool = True
) -> socket.socket:
    """Open a TCP connection.

    Looking up the name takes what the system allows: nothing can end that.

    Parameters
    ----------
    bound
        Of the conversation that begins with it; it holds the socket.
    host, port
        Where; each address of a name is tried in turn.
    timeout
        Seconds that one address may take, beside the bound.
    is_plain
        Whether it stays without TLS: of such a socket all waits go by the bound's clock.

    Returns
    -------
    socket.socket
        Connected, its timeout what the bound leaves.

    Raises
    ------
    OSError
        If there is no such name (``socket.gaierror``), no route or nobody listening; `OutOfTime`
        and `Cut` among them.
    """
    failure: OSError | None = None
    for family, kind, protocol, _, address in _addresses(host.strip("[]"), port):
        sock = socket.socket(family, kind, protocol)
        try:
            _connect(sock, address, bound, timeout)
            _tune(sock)
            sock.settimeout(bound.left(timeout))
            if is_plain:
                sock = bound.clock.adopt(sock)
                bound.hold(sock)
        except (OutOfTime, Cut):
            sock.close()
            raise
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or socket.gaierror(socket.EAI_NONAME, "no address was found")


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
    except UnicodeError:  # a label of the name is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from None


def _connect(sock: socket.socket, address: Any, bound: Bound, timeout: float | None) -> None:
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in _UNDER_WAY:
        raise OSError(code, os.strerror(code))
    bound.hold(sock)
    until = None if timeout is None else bound.clock.monotonic() + timeout
    while not bound.clock.has_connected(sock, bound.left(_SLICE)):
        if until is not None and bound.clock.monotonic() >= until:
            raise TimeoutError("timed out")
    bound.left()  # a cut socket looks connected
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
