"""The pace of a replay: at which moment which part of the past is due."""

from __future__ import annotations

import threading
from typing import Protocol

from kucoin_research.foundation.clocks import Clock

__all__ = ["MonotonicClock", "ReplayClock", "ReplaySpeed"]

# A replay that is held up longer than this goes on from where it is, instead of hurrying after.
_MOST_BEHIND_NS = 1_000_000_000


class ReplayClock(Protocol):
    """What a replay waits by; a test's may pass at once."""

    def now_ns(self) -> int:
        """Read the time, monotonic ns."""

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Wait, with the condition held, until it is notified or so many seconds are over."""


class MonotonicClock:
    """The steady one of a `Clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now_ns(self) -> int:
        """Read the time, monotonic ns."""
        return self._clock.monotonic_ns()

    def wait(self, changed: threading.Condition, seconds: float | None) -> None:
        """Wait until notified or so many seconds are over."""
        changed.wait(seconds)


class ReplaySpeed:
    """Maps the clock to the time of the data (both ns), from an anchor on.

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
        """Let that moment of the data be now."""
        self._now_ns, self._data_ns = now_ns, data_ns

    def due_ns(self, now_ns: int, next_ns: int) -> int | None:
        """Tell up to which time the data is due, given that of its next row; None: all of it."""
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
        """Tell which time of the data it is; None without an anchor or a speed."""
        if self.speed is None or self._data_ns is None:
            return None
        return self._data_ns + int((now_ns - self._now_ns) * self.speed)

    def seconds_until(self, next_ns: int, due_ns: int) -> float:
        """Tell how long it takes from one time of the data to a later one."""
        assert self.speed is not None  # else nothing is waited for
        return (next_ns - due_ns) / self.speed / 1e9
