"""How much longer to wait for silent topics after suspicions of them proved wrong."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FalseAlarms", "Silence"]


# Of suspicions that prove wrong so many are forgiven; each further one has all topics waited for
# longer, up to a bound. Half of them are forgotten after a while.
_FORGIVEN = 3.0
_EACH = 0.25
_MOST = 8.0
_HALF_LIFE_NS = 600_000_000_000


class FalseAlarms:
    """What a whole stream learns from suspicions that prove wrong.

    Among a thousand topics some are silent for longer than ever at any time, however well each
    beat is known. Not thread-safe.
    """

    __slots__ = ("_at_ns", "_wrong")

    def __init__(self) -> None:
        self._wrong = 0.0  # of late
        self._at_ns = 0

    def was_wrong(self, now_ns: int) -> None:
        """Take note of a suspicion that proved wrong."""
        self._wrong = self._of_late(now_ns) + 1.0
        self._at_ns = now_ns

    def factor(self, now_ns: int) -> float:
        """Give what every suspicious silence is to be multiplied by."""
        return min(1.0 + _EACH * max(self._of_late(now_ns) - _FORGIVEN, 0.0), _MOST)

    def _of_late(self, now_ns: int) -> float:
        return float(self._wrong * 0.5 ** (max(now_ns - self._at_ns, 0) / _HALF_LIFE_NS))


class Silence(NamedTuple):
    """A channel of a symbol that has been silent for suspiciously long."""

    channel: str
    symbol: str
    seconds: float
    usual: float  # the 99th percentile of its intervals, in seconds
