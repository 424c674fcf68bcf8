"""The clock of the package, and everything that waits by it: events, conditions, threads.

A stream, a recorder, a replay and the REST client take the time, and their events, conditions and
threads, from one `Clock`. It is the machine's own, unless a test installs another one by `use`, in
which time stands still while any thread works.

The wall clock may jump: a laptop wakes, a time server corrects it, or somebody sets it. Streams
stamp their rows by an `ArrivalTime`. If the wall clock jumps forwards, it follows at once. If the
wall clock is set back, it runs at half speed until both agree, so that rows keep their order. After
twice the time by which the clock was set back, the stamps are right again.
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

# The two clocks are read one after the other. If more than this passes between the two readings,
# they are read again: otherwise a busy machine would look like a clock that was set.
_AT_ONCE_NS = 1_000_000
_READINGS = 5
# A time server slews a clock by 0.5 ms per second. A larger move between two readings means that
# the clock was set.
_MOVE_NS = 10_000_000
# Stamps count as right if they are ahead of the wall clock by less than this.
_RIGHT_NS = 1_000_000


class Move(NamedTuple):
    """One setting of the wall clock: by ``by_ns``, at the stamp ``stamp_ns`` (ns UTC)."""

    stamp_ns: int
    by_ns: int


class ArrivalTime:
    """The time of arrivals, ns UTC: the wall clock, but never backwards; thread-safe.

    Parameters
    ----------
    wall_ns, monotonic_ns
        Functions that read the two clocks, in ns.

    Attributes
    ----------
    moves
        The settings of the wall clock that readings have found so far, oldest first.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()  # guards the attributes below
        self.moves: list[Move] = []
        self._wall_was_ns, self._at_ns = self._read()
        self._stamp_ns = self._wall_was_ns

    def now_ns(self) -> int:
        """Read the time."""
        # Once per read of a socket, so the usual case makes no further call of Python code.
        with self._lock:
            wall_ns, at_ns = self._wall_ns(), self._monotonic_ns()
            if abs((wall_ns - self._wall_was_ns) - (at_ns - self._at_ns)) >= _AT_ONCE_NS:
                # The clock was set, or this thread was held up between the two readings.
                wall_ns, at_ns = self._read()
            elapsed_ns = at_ns - self._at_ns
            moved_ns = wall_ns - self._wall_was_ns - elapsed_ns
            self._wall_was_ns, self._at_ns = wall_ns, at_ns
            # Half speed while the wall clock is behind, so that it can catch up.
            slowest_ns = self._stamp_ns + elapsed_ns // 2
            self._stamp_ns = wall_ns if wall_ns > slowest_ns else slowest_ns
            if abs(moved_ns) > _MOVE_NS:
                self.moves.append(Move(self._stamp_ns, moved_ns))
            return self._stamp_ns

    @property
    def ahead_ns(self) -> int:
        """How far stamps are ahead of the wall clock, as of the last reading."""
        return self._stamp_ns - self._wall_was_ns

    @property
    def is_right(self) -> bool:
        """Whether stamps agree with the wall clock, as of the last reading."""
        return self.ahead_ns < _RIGHT_NS

    def _read(self) -> tuple[int, int]:
        """Read both clocks at nearly the same moment."""
        before_ns = self._monotonic_ns()
        for _ in range(_READINGS):
            wall_ns, at_ns = self._wall_ns(), self._monotonic_ns()
            if at_ns - before_ns < _AT_ONCE_NS:
                break
            before_ns = at_ns
        return wall_ns, at_ns


class Clock:
    """The machine's clock, and the maker of everything that waits by it; thread-safe.

    A subclass may keep another time. Then everything that it makes must wait in that time: events,
    conditions, locks that are held while foreign code runs, threads, and sockets.

    Attributes
    ----------
    random
        The source of jitter, which decides how long something waits.
    machine
        The machine that a simulated exchange in this process runs on; ``None`` for the real one.
    """

    machine: Any = None

    def __init__(self) -> None:
        self.random = random.Random()  # noqa: S311  jitter, not cryptography

    # Streams read these several times per read of a socket: so they are the functions themselves.
    wall_ns = staticmethod(time.time_ns)  #: reads the wall clock, ns UTC; it may jump
    monotonic_ns = staticmethod(time.monotonic_ns)  #: reads ns from an arbitrary origin
    monotonic = staticmethod(time.monotonic)  #: reads the same clock in seconds

    def arrivals(self) -> ArrivalTime:
        """Make the clock that one stream stamps its rows by."""
        return ArrivalTime(self.wall_ns, self.monotonic_ns)

    def event(self) -> threading.Event:
        """Make an event whose ``wait`` goes by this clock."""
        return threading.Event()

    def condition(self) -> threading.Condition:
        """Make a condition with a reentrant lock."""
        return threading.Condition(threading.RLock())

    def lock(self) -> Any:
        """Make a reentrant lock that may be held while foreign code runs."""
        return threading.RLock()

    def thread(self, target: Callable[[], object], name: str) -> threading.Thread:
        """Make a daemon thread; the caller starts it."""
        return threading.Thread(target=target, name=name, daemon=True)

    def connected(self, socks: Sequence[socket.socket], seconds: float) -> list[socket.socket]:
        """Wait until at least one connecting socket has connected or failed; return those."""
        with selectors.DefaultSelector() as selector:
            for each in socks:
                selector.register(each, selectors.EVENT_WRITE)
            ready = {key.fileobj for key, _ in selector.select(seconds)}
        return [each for each in socks if each in ready]

    def adopt(self, sock: socket.socket) -> socket.socket:
        """Return a connected socket whose waits go by this clock, to be used instead."""
        return sock

    def handle(self, sock: socket.socket) -> Any:
        """Make a second handle of a socket.

        Its ``shutdown`` ends the connection; its ``close`` closes only the handle.
        """
        return socket.fromfd(sock.fileno(), sock.family, sock.type, sock.proto)


_current = Clock()


def current() -> Clock:
    """Return the clock for everything that is made now."""
    return _current


@contextlib.contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Install another clock for everything that is made inside, in all threads; for tests."""
    global _current
    before, _current = _current, clock
    try:
        yield clock
    finally:
        _current = before
