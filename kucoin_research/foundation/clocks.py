"""The time that everything here lives in, and what depends on it: waiting, and who waits.

A stream, a recorder, a replay and the REST side take their time from one `Clock`, and so their
events, conditions and threads. It is the machine's own unless a test installs another (`use`),
in which time stands still while anybody works.

The wall clock may jump: a laptop that wakes, a time server that corrects, a hand that sets.
`ArrivalTime` is what a stream stamps its rows by. Forwards it follows the wall clock at once. When
that is set back, arrivals go on at half their pace until both agree, so that neither order nor
intervals are lost for ever: after twice the time by which the clock was wrong, stamps are right.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = ["ArrivalTime", "Clock", "Move", "current", "use"]

# The two clocks are read one after the other. Where the machine took longer than this between
# them, they are read again, so that a busy machine is no clock that has moved.
_AT_ONCE_NS = 1_000_000
_READINGS = 5
# A time server slews by 0.5 ms a second. What moves by more between two readings was set.
_MOVE_NS = 10_000_000
# Stamps that are ahead by less are right.
_RIGHT_NS = 1_000_000


class Move(NamedTuple):
    """The wall clock was set: by so many ns, at that stamp (ns UTC)."""

    stamp_ns: int
    by_ns: int


class ArrivalTime:
    """Tells the time of arrivals, ns UTC: the wall clock, but never backwards; thread-safe.

    Parameters
    ----------
    wall_ns, monotonic_ns
        The two clocks.

    Attributes
    ----------
    moves
        When and by how much the wall clock was set, as far as readings have shown; it grows.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()  # guards what follows
        self.moves: list[Move] = []
        self._wall_was_ns, self._at_ns = self._read()
        self._told_ns = self._wall_was_ns

    def now_ns(self) -> int:
        """Read the time."""
        with self._lock:
            wall_ns, at_ns = self._read()
            elapsed_ns = max(0, at_ns - self._at_ns)
            moved_ns = wall_ns - self._wall_was_ns - elapsed_ns
            self._wall_was_ns, self._at_ns = wall_ns, at_ns
            self._told_ns = max(wall_ns, self._told_ns + elapsed_ns // 2)
            if abs(moved_ns) > _MOVE_NS:
                self.moves.append(Move(self._told_ns, moved_ns))
            return self._told_ns

    @property
    def ahead_ns(self) -> int:
        """By how much stamps are ahead of the wall clock, as of the last reading."""
        return self._told_ns - self._wall_was_ns

    @property
    def is_right(self) -> bool:
        """Whether stamps agree with the wall clock, as of the last reading."""
        return self.ahead_ns < _RIGHT_NS

    def _read(self) -> tuple[int, int]:
        """Read both clocks at (nearly) one moment."""
        before_ns = self._monotonic_ns()
        for _ in range(_READINGS):
            wall_ns, at_ns = self._wall_ns(), self._monotonic_ns()
            if at_ns - before_ns < _AT_ONCE_NS:
                break
            before_ns = at_ns
        return wall_ns, at_ns


class Clock:
    """The machine's own time, and the waiting that goes by it; thread-safe.

    A subclass may keep another time. Then everything that it makes here must wait in that time:
    events, conditions, locks held while foreign code runs, threads, and sockets.

    Attributes
    ----------
    random
        For jitter, which decides how long something waits.
    machine
        What a simulated exchange in this process lives by; None for the real one.
    """

    machine: Any = None

    def __init__(self) -> None:
        self.random = random.Random()  # noqa: S311  jitter, not cryptography

    def wall_ns(self) -> int:
        """Read the wall clock, ns UTC; it may jump."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Read the steady clock, ns from an arbitrary origin."""
        return time.monotonic_ns()

    def monotonic(self) -> float:
        """Read the steady clock, in seconds."""
        return time.monotonic()

    def arrivals(self) -> ArrivalTime:
        """Make the time that one stream stamps its rows by."""
        return ArrivalTime(self.wall_ns, self.monotonic_ns)

    def event(self) -> threading.Event:
        """Make an event, whose ``wait`` goes by this clock."""
        return threading.Event()

    def condition(self) -> threading.Condition:
        """Make a condition with a lock that its holder may take again."""
        return threading.Condition(threading.RLock())

    def lock(self) -> Any:
        """Make a lock that may be held while others wait, and that its holder may take again."""
        return threading.RLock()

    def thread(self, target: Callable[[], object], name: str) -> threading.Thread:
        """Make a daemon thread, not started yet."""
        return threading.Thread(target=target, name=name, daemon=True)

    def connected(self, socks: Sequence[socket.socket], seconds: float) -> list[socket.socket]:
        """Wait until one of the sockets that connect has done so, or has failed; return those."""
        with selectors.DefaultSelector() as selector:
            for each in socks:
                selector.register(each, selectors.EVENT_WRITE)
            ready = {key.fileobj for key, _ in selector.select(seconds)}
        return [each for each in socks if each in ready]

    def adopt(self, sock: socket.socket) -> socket.socket:
        """Let the waits of a connected socket go by this clock; returns the one to use from now."""
        return sock

    def handle(self, sock: socket.socket) -> Any:
        """Make a second handle of a socket: ``shutdown`` ends its connection, ``close`` only it."""
        return socket.fromfd(sock.fileno(), sock.family, sock.type, sock.proto)


_current = Clock()


def current() -> Clock:
    """Give the clock that whatever is made now lives by."""
    return _current


@contextlib.contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Let what is made inside live by another clock, in all threads; for tests."""
    global _current
    before, _current = _current, clock
    try:
        yield clock
    finally:
        _current = before
