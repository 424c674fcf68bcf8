"""How regularly rows of one channel and symbol arrive, and from which silence on is suspicious.

Markets differ by a factor of a million in how often something happens, so no fixed number of
seconds separates a stalled topic from a quiet one. The topic's own past intervals do.
"""

from __future__ import annotations

__all__ = ["ENOUGH_INTERVALS", "FEWEST_INTERVALS", "SUSPICION", "ArrivalStats"]

#: Silence is suspicious beyond this many times the 99th percentile of the intervals. A bucket's
#: upper edge is at most 1/8 above what fell into it, so that it stays below 3 times the true one.
SUSPICION = 2.4


#: A percentile is looked up from so many intervals on.
FEWEST_INTERVALS = 30


#: Of fewer intervals than these the 99th percentile is little more than the longest so far, and a
#: longer one is soon to come: so much longer is waited.
ENOUGH_INTERVALS = 100


# With fewer, but these, silence is suspicious beyond so many times the longest interval, and no
# sooner than the floor.
_FEW_INTERVALS = 10


_FEW_SUSPICION = 6.0


_FEW_FLOOR_NS = 10_000_000_000


# After so many more intervals a patience that a wrong suspicion has doubled is halved again.
_PATIENCE_LASTS = 256


# Rows closer than this came together: they are one arrival.
_TOGETHER_NS = 1_000_000


# Buckets per doubling of the interval.
_FINENESS = 8


_FINE_BITS = 3


# When so many are counted, all counts are halved: the beat of an hour ago fades.
_MOST_COUNTED = 4_096


# The percentile is looked up anew after so many more intervals.
_STALE_AFTER = 32


class ArrivalStats:
    """The rhythm of one topic's arrivals.

    ``heard`` is for one thread at a time; ``p99_ns`` and ``suspicious_after_ns`` may be asked from
    any.

    Attributes
    ----------
    patience
        Multiplies the silence that is put up with: doubled by each suspicion that proved wrong, and
        halved again as the topic goes on.
    """

    __slots__ = ("_counts", "_fresh", "_is_paused", "_p99_ns", "_since_quiet", "_total", "patience")

    def __init__(self) -> None:
        self.patience = 1.0
        self._counts: dict[int, int] = {}
        self._total = 0
        self._fresh = 0  # intervals since the percentile was looked up
        self._p99_ns: int | None = None
        self._is_paused = False
        self._since_quiet = 0

    def heard(self, interval_ns: int) -> None:
        """Count the time between two arrivals."""
        if interval_ns < _TOGETHER_NS:
            return
        if self._is_paused:
            self._is_paused = False
            return
        exponent = interval_ns.bit_length() - 1
        bucket = exponent * _FINENESS + (interval_ns >> (exponent - _FINE_BITS)) - _FINENESS
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._total += 1
        self._fresh += 1
        if self._total >= _MOST_COUNTED:
            self._fade()

    def _fade(self) -> None:
        halved = {bucket: count // 2 for bucket, count in self._counts.items()}
        self._counts = {bucket: count for bucket, count in halved.items() if count}
        self._total = sum(self._counts.values())

    @property
    def p99_ns(self) -> int | None:
        """The interval that 99 of 100 stay below, within 1/8; ``None`` while too few are known."""
        if self._total < FEWEST_INTERVALS:
            return None
        if self._p99_ns is None or self._fresh >= _STALE_AFTER:
            self._calm_down()
            self._fresh = 0
            self._p99_ns = self._look_up(0.99)
        return self._p99_ns

    def _calm_down(self) -> None:
        self._since_quiet += self._fresh
        if self.patience > 1.0 and self._since_quiet >= _PATIENCE_LASTS:
            self.patience /= 2.0
            self._since_quiet = 0

    def _look_up(self, part: float) -> int:
        counts = sorted(self._counts.copy().items(), reverse=True)
        above = sum(count for _, count in counts) * (1.0 - part)  # 0 for the longest of all
        edge = 0
        for bucket, count in counts:
            edge = bucket + 1
            above -= count
            if above < 0:
                break
        exponent, fine = divmod(edge, _FINENESS)
        return ((_FINENESS + fine) << exponent) >> _FINE_BITS

    @property
    def suspicious_after_ns(self) -> int | None:
        """The silence beyond which something is wrong; ``None`` while too little is known."""
        p99_ns = self.p99_ns
        if p99_ns is not None:
            doubt = max(ENOUGH_INTERVALS / max(self._total, 1), 1.0)
            return int(SUSPICION * p99_ns * doubt * self.patience)
        if self._total < _FEW_INTERVALS:
            return None
        longest_ns = int(_FEW_SUSPICION * self._look_up(1.0) * self.patience)
        return max(longest_ns, _FEW_FLOOR_NS)

    def pause(self) -> None:
        """Leave the next interval out: it was not the topic's own."""
        self._is_paused = True

    def was_quiet(self) -> None:
        """Take note that a suspicion proved wrong."""
        self.patience *= 2.0
        self._since_quiet = 0

    def forget(self) -> None:
        """Start to learn anew; the patience stays."""
        self._counts = {}
        self._total = self._fresh = 0
        self._p99_ns = None
