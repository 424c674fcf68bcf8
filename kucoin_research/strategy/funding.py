"""When fundings are settled, at which rate, and on which size.

A settlement is recorded as announcements without a granularity, ``funding.begin`` and, 10 s later,
``funding.end``; their rate is the one that is charged. It is paid on the position that was held at
the settlement's time, before any fill at or after it. Between the two announcements KuCoin takes no
orders (300015).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from kucoin_research.model.records import FundingRate, MarkPrice
from kucoin_research.strategy.fixed_point import fixed
from kucoin_research.strategy.market import MarketKind, PaperMarket

__all__ = ["DueFunding", "FundingCalendar"]

_MINUTE = 60_000_000_000
#: How long a settlement lasts, where only its begin is known.
_SETTLING = 10_000_000_000
_REMEMBERED = 1_000


class DueFunding(NamedTuple):
    """A funding that is to be settled: when, on which size, at which rate and mark price."""

    when: int
    size: int
    rate: float
    mark: int


class FundingCalendar:
    """Finds the settlements among the records, each once. Not thread-safe.

    Parameters
    ----------
    is_recorded
        Whether the recorded settlements are paid.
    given
        Settlements that were not recorded: by symbol, pairs of time (ns UTC) and rate.
    """

    def __init__(
        self,
        *,
        is_recorded: bool = True,
        given: Mapping[str, list[tuple[int, float]]] | None = None,
    ) -> None:
        self.given = dict(given or {})
        self._is_recorded = is_recorded
        self._settled: dict[str, int] = {}
        self._settling: dict[str, int] = {}
        # The sizes that were held, with the times from which on.
        self._sizes: dict[str, deque[tuple[int, int]]] = {}

    def note(self, symbol: str, now: int, size: int) -> None:
        """Note the size of a position from a time on."""
        sizes = self._sizes.setdefault(symbol, deque(maxlen=_REMEMBERED))
        sizes.append((now, size))

    def size_at(self, symbol: str, when: int) -> int:
        """Return the size that was held just before a time."""
        for since, size in reversed(self._sizes.get(symbol, ())):
            if since < when:
                return size
        return 0

    def has_settled(self, symbol: str) -> bool:
        """Whether any settlement of a contract was announced."""
        return symbol in self._settled

    def is_settling(self, symbol: str, now: int) -> bool:
        """Whether the exchange takes no orders because a funding is being settled."""
        return now < self._settling.get(symbol, 0)

    def see(self, record: FundingRate) -> int | None:
        """Take a record; return the time of the settlement that it announces first."""
        if record.granularity_ms is not None or record.timestamp is None or not self._is_recorded:
            return None
        symbol, when = record.symbol or "", record.timestamp - record.timestamp % _MINUTE
        if self._settled.get(symbol) == when:
            self._settling.pop(symbol, None)  # the second announcement is of the end
            return None
        self._settled[symbol] = when
        # Where the begin was not recorded, this is the end.
        left = max(0, when + _SETTLING - record.timestamp)
        self._settling[symbol] = record.local_timestamp + left  # type: ignore[operator]
        return when

    def due(self, market: PaperMarket, record: FundingRate) -> DueFunding | None:
        """Take a record; return the funding that it settles on a position, if any."""
        when = self.see(record)
        if when is None or record.funding_rate is None:
            return None
        size = self.size_at(market.symbol, when)
        mark = self._mark_at(market, when)
        if not size or mark is None:
            return None
        return DueFunding(when, size, record.funding_rate, mark)

    @staticmethod
    def _mark_at(market: PaperMarket, when: int) -> int | None:
        """Return the newest mark price of a time; the newest price where none is recorded."""
        for record in reversed(market.history[MarkPrice]):
            stamp, price = record.timestamp, record.mark_price  # type: ignore[union-attr]
            if price is not None and stamp is not None and stamp <= when:
                return fixed(price)
        if market.kind is MarketKind.CANDLES and (close := market.close_by(when)) is not None:
            return fixed(close)
        return market.mark

    def given_for(self, market: PaperMarket, when: int, rate: float) -> DueFunding | None:
        """Return the funding of a given settlement."""
        size, mark = self.size_at(market.symbol, when), self._mark_at(market, when)
        return DueFunding(when, size, rate, mark) if size and mark is not None else None
