"""The time at which things arrive: the wall clock's, without its jumps backwards.

A laptop that wakes, a time server that corrects, a hand that sets: a wall clock may jump. Forwards
it is followed, since that is how late it is. When it falls back, arrivals go on at the pace of the
monotonic clock until the wall clock has caught up, so that neither order nor intervals are lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["ArrivalTime", "now_ns"]

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


#: The time of this process, ns UTC.
now_ns = ArrivalTime().now_ns
