"""The time that everything here lives in, and what depends on it: waiting, and who waits.

A stream, a recorder, a replay and the REST side take their time from one `Clock`, and so their
events, conditions and threads. It is the machine's own unless a test installs another (`use`),
in which time stands still while anybody works.

The wall clock may jump: a laptop that wakes, a time server that corrects, a hand that sets.
Forwards it is followed, since that is how late it is. When it falls back, arrivals go on at the
pace of the monotonic clock until the wall clock has caught up, so that neither order nor intervals
are lost.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["ArrivalTime", "Clock", "current", "use"]

# Corrections below this are slewed: the wall clock is right, and rows keep their order anyway.
_TOLERANCE_NS = 1_000_000_000


class ArrivalTime:
    """Tells what time it is, ns UTC, never far behind what it has told; thread-safe.

    Parameters
    ----------
    wall_ns, monotonic_ns
        The two clocks; for tests.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._lock = threading.Lock()  # guards what follows
        self._told_ns = wall_ns()
        self._told_at_ns = monotonic_ns()

    def now_ns(self) -> int:
        """Read the time."""
        with self._lock:
            wall_ns, at_ns = self._wall_ns(), self._monotonic_ns()
            steady_ns = self._told_ns + at_ns - self._told_at_ns
            told_ns = wall_ns if wall_ns >= steady_ns - _TOLERANCE_NS else steady_ns
            self._told_ns, self._told_at_ns = told_ns, at_ns
            return told_ns


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
        self._arrival = ArrivalTime(self.wall_ns, self.monotonic_ns)

    def wall_ns(self) -> int:
        """Read the wall clock, ns UTC; it may jump."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Read the steady clock, ns from an arbitrary origin."""
        return time.monotonic_ns()

    def monotonic(self) -> float:
        """Read the steady clock, in seconds."""
        return time.monotonic()

    def now_ns(self) -> int:
        """Read the time of arrivals, ns UTC: the wall clock without its jumps backwards."""
        return self._arrival.now_ns()

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

    def dial(self, host: str, port: int, timeout: float) -> socket.socket | None:  # noqa: ARG002
        """Open a TCP connection whose waits go by this clock; None leaves it to the caller."""
        return None

    def adapt(self, session: Any) -> None:
        """Let the waits of a ``requests.Session`` go by this clock."""


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
