"""How much may be asked of a server now: its quota, as its replies tell, and its patience with us.

Several threads ask at once, and a reply tells what was left when its call was looked at. So what is
still on its way is reckoned as spent, whether or not that reply knew of it, and of replies about
the same window the lowest counts, in whatever order they come.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from kucoin_research.clocks import Clock

__all__ = ["Pace", "Quotas", "Told"]

# Left to others where the size of a quota is not known, and of one that is, a part: whoever
# connects anew needs a token at once, whatever else is asked for.
_RESERVE = 10
_RESERVED_PART = 20
# Replies about one window put its end at about the same moment: seconds.
_SAME = 0.05
# Where calls on their way may take all there is, their replies are waited for in such steps.
_STEP = 0.05


class Told(NamedTuple):
    """What a reply tells of a quota.

    ``limit`` is its size where that is told. The window ends so many seconds (``reset``) after some
    moment between ``sent`` and ``received`` (monotonic seconds).
    """

    limit: int | None
    remaining: int
    reset: float
    sent: float
    received: float


@dataclass(slots=True)
class _Window:
    limit: int | None = None
    remaining: int | None = None  # None: nobody knows
    ends_after: float = 0.0  # the end lies between the two, monotonic seconds
    ends_by: float | None = None  # None: the window begins with the next call
    on_the_way: int = 0  # weight of the calls that were not answered yet

    @property
    def reserve(self) -> int:
        return max(_RESERVE, (self.limit or 0) // _RESERVED_PART)

    def begin_again(self, now: float) -> None:
        """Forget a window that is over."""
        if self.ends_by is not None and now >= self.ends_by:
            self.remaining, self.ends_by = self.limit, None

    def has_room(self, least: int) -> bool:
        if self.remaining is None:
            return True
        is_whole = self.remaining == self.limit and not self.on_the_way
        return is_whole or self.remaining - self.on_the_way >= least

    def learn(self, told: Told) -> None:
        after, by = told.sent + told.reset, told.received + told.reset
        if self.ends_by is not None and by < self.ends_after - _SAME:
            return  # a late reply, about a window that is over
        self.limit = told.limit or self.limit
        if self.ends_by is not None and after <= self.ends_by + _SAME:
            assert self.remaining is not None  # known with the window
            self.remaining = min(self.remaining, told.remaining)
            self.ends_after = max(self.ends_after, after)
            self.ends_by = min(self.ends_by, by)
            return
        self.remaining, self.ends_after, self.ends_by = told.remaining, after, by


class Quotas:
    """Keeps calls within the quotas of a server; thread-safe.

    Parameters
    ----------
    clock
        The time it goes by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the windows
        self._windows: dict[Hashable, _Window] = {}

    def take(self, pool: Hashable, weight: int, *, is_urgent: bool = False) -> float:
        """Take what a call costs; whoever got it says when it is `over`.

        Parameters
        ----------
        pool
            Whose quota.
        weight
            What the call costs.
        is_urgent
            Whether it may have what others leave for such calls.

        Returns
        -------
        float
            0, or the seconds after which to try again: then nothing was taken.
        """
        now = self._clock.monotonic()
        with self._lock:
            window = self._windows.setdefault(pool, _Window())
            window.begin_again(now)
            if window.has_room(weight if is_urgent else max(weight, window.reserve)):
                window.on_the_way += weight
                return 0.0
            return _STEP if window.ends_by is None else window.ends_by - now

    def over(self, pool: Hashable, weight: int) -> None:
        """Note that a call is over, whatever came of it."""
        with self._lock:
            self._windows[pool].on_the_way -= weight

    def learn(self, pool: Hashable, weight: int, told: Told | None) -> None:
        """Take note of what a reply told; where that is nothing, of what its call cost."""
        with self._lock:
            window = self._windows.setdefault(pool, _Window())
            if told is not None:
                window.learn(told)
            elif window.remaining is not None:
                window.remaining = max(0, window.remaining - weight)


class Pace:
    """Keeps calls to a host from coming too fast; thread-safe.

    Parameters
    ----------
    clock
        The time it goes by.
    burst
        Calls that may come at once after a quiet time.
    per_second
        And so many a second from then on.
    """

    def __init__(self, clock: Clock, burst: int, per_second: float) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._lock = threading.Lock()  # guards _free_at
        self._free_at = 0.0  # when the whole burst is to be had again, monotonic seconds

    def take(self) -> float:
        """Take a place for a call; gives the seconds after which to try again where there is none.

        0 says that it was taken.
        """
        now = self._clock.monotonic()
        with self._lock:
            free_at = max(self._free_at, now) + 1.0 / self._per_second
            wait = free_at - now - self._burst / self._per_second
            if wait > 1e-9:
                return wait
            self._free_at = free_at
            return 0.0
