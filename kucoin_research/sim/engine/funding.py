"""Mark price, premium and funding of one perpetual contract.

The book is sampled once per second. Its distance to the index determines the mark price (P3.6) and
the premium of each minute; the premiums determine the funding rate.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from math import fsum

__all__ = ["SETTLEMENT_MS", "FundingClock"]

#: How long a settlement takes, from its begin to its end as announced.
SETTLEMENT_MS = 10_000

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_AVERAGED_SECONDS = 300
_KEPT_SECONDS = 3_600
_INTEREST_PER_8H = 0.0001
_DAMPER = 0.0005
_CAP = 0.003
_RATE_DECIMALS = 6


class FundingClock:
    """Keeps per-second marks and per-minute premiums since a market's start.

    Parameters
    ----------
    start_ms
        Opening time of the market; earlier premiums come from ``designed_premium``.
    interval_ms
        Time between settlements.
    index
        Index price at a time in ms.
    designed_premium
        Premium that the simulation aims at, by time in ms: for times without a sample.
    """

    def __init__(
        self,
        start_ms: int,
        interval_ms: int,
        index: Callable[[int], float],
        designed_premium: Callable[[int], float],
    ) -> None:
        self._interval_ms = interval_ms
        self._index = index
        self._designed = designed_premium
        self.next_ms = start_ms - start_ms % SECOND_MS + SECOND_MS
        self._first_minute = start_ms // MINUTE_MS + 1
        self._premiums = array("d")
        self._minute_marks = array("d")
        self._gaps: deque[float] = deque(maxlen=_AVERAGED_SECONDS)
        self._gap_sum = 0.0
        self._marks: deque[float] = deque(maxlen=_KEPT_SECONDS)
        self._settled: dict[int, float] = {}
        self._estimate = 0.0
        self._estimate_end = 0

    def sample(self, mid: float, last: float) -> None:
        """Take the next second's sample of mid and last traded price."""
        now = self.next_ms
        self.next_ms = now + SECOND_MS
        index = self._index(now)
        gaps = self._gaps
        if len(gaps) == _AVERAGED_SECONDS:
            self._gap_sum -= gaps[0]
        gaps.append(mid - index)
        self._gap_sum += mid - index
        if now >= self._estimate_end:
            self._estimate = self.rate(now)
            self._estimate_end = now - now % MINUTE_MS + MINUTE_MS
        left = 1.0 - now % self._interval_ms / self._interval_ms
        by_funding = index * (1.0 + self._estimate * left)
        by_average = index + self._gap_sum / len(gaps)
        mark = sorted((by_funding, by_average, last))[1]
        self._marks.append(mark)
        if now % MINUTE_MS == 0:
            self._premiums.append(mid / index - 1.0)
            self._minute_marks.append(mark)

    def mark(self, time_ms: int) -> float:
        """Return the mark price of the second that holds a time (of its minute, if long ago)."""
        newest = self.next_ms - SECOND_MS
        back = max(0, -(-(newest - time_ms) // SECOND_MS))
        if back < len(self._marks):
            return self._marks[-1 - back]
        position = time_ms // MINUTE_MS - self._first_minute
        if 0 <= position < len(self._minute_marks):
            return self._minute_marks[position]
        return self._index(time_ms) * (1.0 + self._designed(time_ms))

    def premium(self, time_ms: int) -> float:
        """Return ``mid / index - 1`` at the minute that holds a time."""
        minute = time_ms // MINUTE_MS
        position = minute - self._first_minute
        if 0 <= position < len(self._premiums):
            return self._premiums[position]
        return self._designed(minute * MINUTE_MS)

    def rate(self, time_ms: int) -> float:
        """Return the running estimate for the coming settlement.

        In the first minute after a settlement it is the settled rate, as on KuCoin (P3.9).
        """
        start = time_ms - time_ms % self._interval_ms
        if time_ms - start < MINUTE_MS:
            return self.settled(start)
        return self._rate_between(start, time_ms)

    def settled(self, settlement_ms: int) -> float:
        """Return the rate charged at a settlement, by the premiums of the interval before it."""
        known = self._settled.get(settlement_ms)
        if known is None:
            known = self._rate_between(settlement_ms - self._interval_ms, settlement_ms)
            if settlement_ms < self.next_ms:
                self._settled[settlement_ms] = known
        return known

    def times(self, from_ms: int, to_ms: int) -> range:
        """Return the settlements in ``[from_ms, to_ms]``, in ms."""
        first = -(-from_ms // self._interval_ms) * self._interval_ms
        return range(first, to_ms + 1, self._interval_ms)

    def _rate_between(self, from_ms: int, to_ms: int) -> float:
        minutes = range(from_ms, to_ms, MINUTE_MS)
        premium = fsum(self.premium(minute) for minute in minutes) / len(minutes)
        interest = _INTEREST_PER_8H * self._interval_ms / (8 * HOUR_MS)
        rate = premium + max(-_DAMPER, min(_DAMPER, interest - premium))
        return round(max(-_CAP, min(_CAP, rate)), _RATE_DECIMALS)
