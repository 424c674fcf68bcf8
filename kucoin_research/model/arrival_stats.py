"""How regularly the rows of a channel and symbol arrive, and how long a silence is suspicious.

Some markets are a million times busier than others. So no fixed number of seconds separates a
stalled topic from a quiet one, but the topic's own past intervals do.
"""

from __future__ import annotations

__all__ = ["ENOUGH_INTERVALS", "FEWEST_INTERVALS", "SUSPICION", "ArrivalStats"]

#: Silence is suspicious when it is longer than this many times the 99th percentile of the
#: intervals. The percentile is read as a bucket's upper edge, at most 1/8 above the true value, so
#: the limit stays below 3 times the true percentile.
SUSPICION = 2.4
#: The percentile is computed from this many intervals on.
FEWEST_INTERVALS = 30
#: With fewer intervals than this, the 99th percentile is hardly above the longest interval so far,
#: and a longer one will come soon. So the limit is raised in proportion.
ENOUGH_INTERVALS = 100

# With at least 10 intervals, but too few for the percentile, silence is suspicious when it is
# longer than 6 times the longest interval and longer than 10 s.
_FEW_INTERVALS = 10
_FEW_SUSPICION = 6.0
_FEW_FLOOR_NS = 10_000_000_000
# A wrong suspicion doubles the patience. After this many more intervals it is halved again.
_PATIENCE_LASTS = 256
# Rows that are closer together than this count as one arrival.
_TOGETHER_NS = 1_000_000
# Buckets per doubling of the interval: 2 to the power of _FINE_BITS.
_FINENESS = 8
_FINE_BITS = 3
# At this many intervals all counts are halved, so that the rhythm of an hour ago fades.
_MOST_COUNTED = 4_096
# The percentile is computed again after this many more intervals.
_STALE_AFTER = 32


class ArrivalStats:
    """Learns the rhythm of one topic's arrivals, to separate a stalled topic from a quiet one.

    It keeps a histogram of the intervals, eight buckets per doubling. One thread at a time may call
    ``heard``; any thread may read ``p99_ns`` and ``suspicious_after_ns``.

    Attributes
    ----------
    patience
        Factor on the silence that is tolerated. Each wrong suspicion doubles it; as the topic goes
        on, it is halved again.
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
        """The 99th percentile of the intervals, at most 1/8 too high; ``None`` below 30 of them."""
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
        above = sum(count for _, count in counts) * (1.0 - part)  # 0 finds the longest interval
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
        """The silence, in ns, after which to suspect a stall; ``None`` below 10 intervals."""
        p99_ns = self.p99_ns
        if p99_ns is not None:
            doubt = max(ENOUGH_INTERVALS / max(self._total, 1), 1.0)
            return int(SUSPICION * p99_ns * doubt * self.patience)
        if self._total < _FEW_INTERVALS:
            return None
        longest_ns = int(_FEW_SUSPICION * self._look_up(1.0) * self.patience)
        return max(longest_ns, _FEW_FLOOR_NS)

    def pause(self) -> None:
        """Leave out the next interval: it spans an interruption, not the topic's own silence."""
        self._is_paused = True

    def was_quiet(self) -> None:
        """Note that a suspicion was wrong, and double the patience."""
        self.patience *= 2.0
        self._since_quiet = 0

    def forget(self) -> None:
        """Forget all intervals and learn again; the patience stays."""
        self._counts = {}
        self._total = self._fresh = 0
        self._p99_ns = None
