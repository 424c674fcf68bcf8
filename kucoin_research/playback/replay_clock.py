"""The clock and the speed of a replay: they decide when a recorded row is due."""

from __future__ import annotations

import threading
from typing import Protocol

from kucoin_research.foundation.clocks import Clock

__all__ = ["MonotonicClock", "ReplayClock", "ReplaySpeed"]

# A replay that falls behind by more than this goes on from where it is, at its normal speed: a
# slow function would otherwise be followed by a burst of overdue rows.
_MOST_BEHIND_NS = 1_000_000_000


class ReplayClock(Protocol):
    """Measures and waits for a replay's time; in a test, waits may pass at once."""

    def now_ns(self) -> int:
        """Read the time, monotonic ns."""

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Wait, with the condition held, until it is notified or the seconds are over."""


class MonotonicClock:
    """The replay clock in use: the monotonic time of a `Clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now_ns(self) -> int:
        """Read the time, monotonic ns."""
        return self._clock.monotonic_ns()

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Wait until notified, or until the seconds are over."""
        changed.wait(seconds)


class ReplaySpeed:
    """Converts the clock's time to the data's time (both ns), counted from an anchor.

    Parameters
    ----------
    speed
        Seconds of the data per second; None: everything is due at once.
    """

    def __init__(self, speed: float | None) -> None:
        self.speed = speed
        self._now_ns = 0
        self._data_ns: int | None = None

    def anchor(self, now_ns: int, data_ns: int) -> None:
        """Set the anchor: the data's time ``data_ns`` is at the clock's time ``now_ns``."""
        self._now_ns, self._data_ns = now_ns, data_ns

    def due_ns(self, now_ns: int, next_ns: int) -> int | None:
        """Return the time up to which rows are due, given the next row's; None: all are due."""
        if self.speed is None:
            return None
        if self._data_ns is None:
            self.anchor(now_ns, next_ns)
        due_ns = self.at(now_ns)
        assert due_ns is not None  # it is anchored
        if due_ns - next_ns > _MOST_BEHIND_NS * self.speed:
            self.anchor(now_ns, next_ns)
            return next_ns
        return due_ns

    def at(self, now_ns: int) -> int | None:
        """Return the data's time at a time of the clock; None without an anchor or a speed."""
        if self.speed is None or self._data_ns is None:
            return None
        return self._data_ns + int((now_ns - self._now_ns) * self.speed)

    def seconds_until(self, next_ns: int, due_ns: int) -> float:
        """Return how long to wait from ``due_ns`` to the later ``next_ns`` of the data."""
        assert self.speed is not None  # at full speed nobody waits
        return (next_ns - due_ns) / self.speed / 1e9
