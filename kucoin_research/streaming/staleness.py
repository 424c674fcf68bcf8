"""Which topics have been silent for suspiciously long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from kucoin_research.model.integrity import Tally
from kucoin_research.model.records import CHANNELS, PRIVATE_CHANNELS
from kucoin_research.streaming.ledger import SequenceLedger

__all__ = ["FalseAlarms", "Silence", "SilenceWatch"]

# This many wrong suspicions are forgiven. Each further one makes every silence last longer before
# it is suspicious, up to a bound. After this half-life half of them are forgotten.
_FORGIVEN = 3.0
_EACH = 0.25
_MOST = 8.0
_HALF_LIFE_NS = 600_000_000_000

# Channels that trades and orders cause, and nothing else: a quiet market is silent on all of them.
_OF_THE_MARKET = frozenset({"ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50"})

# If all market channels of a symbol are silent, wait this many times longer before reporting.
_QUIET_TOGETHER = 3


class Silence(NamedTuple):
    """A channel of a symbol that has been silent for suspiciously long."""

    channel: str
    symbol: str
    seconds: float
    usual: float  # the 99th percentile of its intervals, in seconds


class FalseAlarms:
    """Makes a stream more patient after suspicions that proved wrong.

    Among a thousand topics some are always silent for longer than ever before, however well each
    one's intervals are known. Not thread-safe.
    """

    __slots__ = ("_at_ns", "_wrong")

    def __init__(self) -> None:
        self._wrong = 0.0  # recent wrong suspicions, fading
        self._at_ns = 0

    def was_wrong(self, now_ns: int) -> None:
        """Count a suspicion that proved wrong."""
        self._wrong = self._recent(now_ns) + 1.0
        self._at_ns = now_ns

    def factor(self, now_ns: int) -> float:
        """Return the factor by which every suspicious silence is longer now."""
        return min(1.0 + _EACH * max(self._recent(now_ns) - _FORGIVEN, 0.0), _MOST)

    def _recent(self, now_ns: int) -> float:
        return float(self._wrong * 0.5 ** (max(now_ns - self._at_ns, 0) / _HALF_LIFE_NS))


class SilenceWatch:
    """Compares each channel's silence with its past intervals and with its symbol's other channels.

    Parameters
    ----------
    ledger
        Knows when each channel and symbol was last heard.
    is_delivering
        Returns whether rows of a channel and symbol are delivered now. Rows that are held back were
        heard, too, but the ledger does not know of them yet.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards it.
    """

    def __init__(self, ledger: SequenceLedger, is_delivering: Callable[[Tally], bool]) -> None:
        self._ledger = ledger
        self._is_delivering = is_delivering
        self._false_alarms = FalseAlarms()

    def was_wrong(self, tally: Tally, now_ns: int) -> None:
        """Note that a suspicion proved wrong: the market was quiet."""
        tally.arrivals.was_quiet()
        self._false_alarms.was_wrong(now_ns)

    def suspicious(self, tallies: Iterable[Tally], now_ns: int, shortest_ns: int) -> list[Tally]:
        """List those that have been silent for suspiciously long.

        Parameters
        ----------
        tallies
            The channels and symbols to look at.
        now_ns
            Wall time, ns UTC.
        shortest_ns
            No shorter silence is suspicious.
        """
        found = []
        factor = self._false_alarms.factor(now_ns)
        for tally in tallies:
            usual_ns = tally.arrivals.suspicious_after_ns
            heard_at = tally.heard_at
            if usual_ns is None or heard_at is None or tally.is_resting:
                continue
            if tally.channel in PRIVATE_CHANNELS:
                continue  # an account may do nothing for any time
            after_ns = usual_ns * factor
            silence_ns = now_ns - heard_at
            if silence_ns <= max(after_ns, shortest_ns) or not self._is_delivering(tally):
                continue
            if silence_ns > _QUIET_TOGETHER * after_ns or not self._is_calm(tally, now_ns):
                found.append(tally)
        return found

    def _is_calm(self, tally: Tally, now_ns: int) -> bool:
        """Return whether the other market data of a symbol is silent as well.

        A topic that stalls does so alone, while a quiet market is silent on all its topics.
        """
        assert tally.heard_at is not None  # its silence has been measured
        since_ns = (tally.heard_at + now_ns) // 2
        others = [
            other.heard_at
            for channel in _OF_THE_MARKET - {tally.channel}
            if (other := self._ledger.tally(CHANNELS[channel], tally.symbol)) is not None
            and other.heard_at is not None
            and not other.is_resting  # it is silent for another reason
        ]
        return bool(others) and all(last < since_ns for last in others)
