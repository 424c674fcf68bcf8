"""The state of one symbol at a moment: its newest records, its prices, and orders on it."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from enum import StrEnum, unique

from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    Level2,
    MarkPrice,
    Record,
    Snapshot,
    Status,
    Ticker,
    Trade,
)
from kucoin_research.strategy.absences import Absences
from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import fixed
from kucoin_research.strategy.quotes import BookQuotes, DepthQuotes, ListQuotes, Quotes, TopQuotes
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["HISTORY", "MATCHED", "MarketKind", "PaperMarket", "Span"]

#: How many records of a channel ``broker.last`` can return.
HISTORY = 10_000

#: The channels that orders are matched against.
MATCHED = frozenset({"ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50"})

#: A candle of one month arrives within this time behind its opening.
_SAME_CLOCK = 60 * 86_400 * 10**9

#: The begin and the end of a gap, ns UTC.
Span = tuple[int, int]

_MARKET_RECORDS: tuple[type[Record], ...] = (
    Ticker, BestBidOffer, Trade, Candle, Level2, Depth5, Depth50, MarkPrice, FundingRate, Snapshot,
)  # fmt: skip


@unique
class MarketKind(StrEnum):
    """What orders are matched against."""

    QUOTES = "quotes"
    TRADES = "trades"
    CANDLES = "candles"


class PaperMarket:
    """One symbol's records and orders. The attributes are the state that matching works on.

    Not thread-safe.

    Parameters
    ----------
    contract
        Its arithmetic.
    channels
        The channels that are played, by name: they decide what orders are matched against.
    gaps
        The times in which rows are missing, in order, without overlaps; None where they are known
        only as they come, from ``hear``.
    """

    def __init__(
        self,
        contract: Contract,
        channels: Iterable[str],
        gaps: Sequence[Span] | None = (),
    ) -> None:
        self.contract = contract
        self.symbol = contract.symbol
        played = self.channels = frozenset(channels)
        # Of the candles that orders are matched against; 0 if it has no fixed length.
        self.interval: str | None = None
        self.interval_ns = 0
        self.history: dict[type[Record], deque[Record]] = {
            each: deque(maxlen=HISTORY) for each in _MARKET_RECORDS
        }
        self._book = BookQuotes(self.symbol)
        self._quotes = self._sources(played)
        self.has_trades = "trade" in played
        self.has_marks = "mark_price" in played and not contract.is_spot
        if self._quotes:
            self.kind = MarketKind.QUOTES
        elif self.has_trades:
            self.kind = MarketKind.TRADES
        else:
            self.kind = MarketKind.CANDLES
        self.resting: dict[str, list[WorkingOrder]] = {"buy": [], "sell": []}
        self.stops: list[WorkingOrder] = []
        # Sizes taken from displayed levels: by side and price, the displayed size and the taken.
        self.taken: dict[str, dict[float, tuple[float, int]]] = {"buy": {}, "sell": {}}
        self.waiting: list[WorkingOrder] = []  # sent while rows were missing
        self.position = 0
        self.opened: int | None = None  # when a candle opened, while orders meet its open
        # Whether there are orders or taken levels; and whether there are these or a position.
        self.must_match = self.is_busy = False
        self._gaps = list(gaps or ())
        self._begins = [begin for begin, _ in self._gaps]
        self._absences = Absences(self.symbol, played & MATCHED) if gaps is None else None
        self._lost_at: int | None = None
        self._has_lost = False
        self._passed_gaps = 0

    def _sources(self, played: frozenset[str]) -> dict[type[Record], Quotes]:
        found: dict[type[Record], Quotes] = {}
        if "level2" in played:
            found[Level2] = self._book
        if "depth50" in played:
            found[Depth50] = ListQuotes(self.history[Depth50])
        if "depth5" in played:
            found[Depth5] = DepthQuotes(self.history[Depth5])
        if "bbo" in played:
            found[BestBidOffer] = TopQuotes(self.history[BestBidOffer], 4)
        if "ticker" in played:
            found[Ticker] = TopQuotes(self.history[Ticker], 7)
        return found

    # -- records -----------------------------------------------------------------------------------

    def take(self, record: Record) -> bool:
        """Take a record; return whether orders or positions must be looked at."""
        # Called once per record, so it does as little as can be.
        history = self.history.get(record.__class__)
        if history is None:
            return False
        history.append(record)
        if record.__class__ is Level2:
            self._book.take(record)
        return self.is_busy

    @property
    def book(self) -> BookQuotes:
        """The book of ``level2``."""
        return self._book

    def lose_connection(self, now: int) -> None:
        """Trust no quotes until new ones come."""
        self._lost_at, self._has_lost = now, True
        self._book.book.doubt()

    def hear(self, status: Status) -> None:
        """Learn of a gap from a row about it, unless all gaps are known beforehand."""
        span = None if self._absences is None else self._absences.take(status)
        if span is not None:
            self._gaps.append(span)
            self._begins.append(span[0])

    # -- prices ------------------------------------------------------------------------------------

    @property
    def quotes(self) -> Quotes | None:
        """The quotes that show the most of the book now; None before there are any."""
        for source in self._quotes.values():
            if source.updated is not None:
                return source
        return None

    def shows(self, kind: type[Record]) -> bool:
        """Whether records of a kind are those that ``quotes`` reads now."""
        quotes = self.quotes
        return quotes is not None and self._quotes.get(kind) is quotes

    @property
    def last_price(self) -> float | None:
        """The price of the last trade that was seen; of a candle, its close."""
        newest: list[tuple[int, float]] = []
        for kind, at in ((Trade, 6), (Ticker, 4), (Candle, 7)):
            history = self.history[kind]
            if history and history[-1][at] is not None:
                newest.append((history[-1][1] or 0, history[-1][at]))  # type: ignore[arg-type]
        return max(newest, key=lambda each: each[0])[1] if newest else None

    @property
    def mid(self) -> float | None:
        """The middle of the best prices; without quotes, the last price."""
        quotes = self.quotes
        if quotes is None:
            return self.last_price
        bid, ask = quotes.best("buy"), quotes.best("sell")
        if bid is None or ask is None:
            return self.last_price
        return (bid[0] + ask[0]) / 2

    @property
    def mark_price(self) -> float | None:
        """The mark price; where it is not recorded, the mid."""
        if self.has_marks:
            recorded = self.reference("MP")
            if recorded is not None:
                return recorded
        return self.mid

    def reference(self, kind: str) -> float | None:
        """Return the price that reaches stops: ``TP`` last trade, ``MP`` mark, ``IP`` index."""
        if kind == "TP":
            return self.last_price
        at = 3 if kind == "MP" else 4
        for record in reversed(self.history[MarkPrice]):
            if record[at] is not None:
                return record[at]  # type: ignore[return-value]
        return None

    @property
    def mark(self) -> int | None:
        """The mark price as an exact number."""
        price = self.mark_price
        return None if price is None else fixed(price)

    def open_of(self, candle: Candle) -> int:
        """Return when a candle opened, on the clock of arrivals, ns UTC.

        The clock of an accelerated exchange is another one. There a candle opened when the one
        before it came, since that one is played when its successor has begun.
        """
        opened, now = candle.timestamp or 0, candle.local_timestamp or 0
        if abs(now - opened) < _SAME_CLOCK:
            return opened
        before = (
            each.local_timestamp or 0
            for each in reversed(self.history[Candle])
            if each.local_timestamp != now and each[3] == candle.interval
        )
        return next(before, now)

    def known_at(self, when: int) -> int:
        """Return from when on it is known which orders were filled by a time.

        Where only candles are played, that is the close of the candle around it.
        """
        if self.kind is not MarketKind.CANDLES or not self.interval_ns:
            return when
        return -(-when // self.interval_ns) * self.interval_ns

    def close_by(self, when: int) -> float | None:
        """Return the newest close of a candle by a time; None if there is none."""
        for record in reversed(self.history[Candle]):
            candle: Candle = record  # type: ignore[assignment]
            if (candle.local_timestamp or 0) <= when and candle.close is not None:
                return candle.close
        return None

    # -- gaps --------------------------------------------------------------------------------------

    def gap_at(self, when: int) -> Span | None:
        """Return the newest gap that began by then; None if there was none."""
        found = bisect_right(self._begins, when)
        return self._gaps[found - 1] if found else None

    def is_in_gap(self, when: int) -> bool:
        """Whether rows are missing at a time."""
        if self._absences is not None and self._absences.since is not None:
            return when >= self._absences.since
        gap = self.gap_at(when)
        return gap is not None and when <= gap[1]

    def is_fresh(self, when: int) -> bool:
        """Whether there are quotes, and not from before a gap or a lost connection."""
        newest = self._updated()
        if newest is None or self.is_in_gap(when):
            return False
        since = self._stale_since(when)
        return since is None or newest > since

    def _stale_since(self, when: int) -> int | None:
        gap = self.gap_at(when)
        ends = [each for each in (gap and gap[1], self._lost_at) if each is not None]
        return max(ends, default=None)

    def _updated(self) -> int | None:
        if self.kind is MarketKind.QUOTES:
            quotes = self.quotes
            return None if quotes is None else quotes.updated
        history = self.history[Trade if self.kind is MarketKind.TRADES else Candle]
        return history[-1][1] if history else None

    def has_passed_gap(self, when: int) -> bool:
        """Whether rows have been missed since this was asked last."""
        number = bisect_right(self._begins, when)
        is_new = self._has_lost or number > self._passed_gaps
        self._passed_gaps, self._has_lost = number, False
        return is_new

    # -- orders ------------------------------------------------------------------------------------

    def orders(self) -> Iterable[WorkingOrder]:
        """Iterate over the resting orders and the stops."""
        return [*self.resting["buy"], *self.resting["sell"], *self.stops]

    def remove(self, order: WorkingOrder) -> None:
        """Forget an order that is over."""
        for orders in (self.resting[order.order.side], self.stops, self.waiting):
            if order in orders:
                orders.remove(order)

    def look_up(self) -> None:
        """Find out whether records concern any order, level or position."""
        sides = (self.resting, self.taken)
        has_any = any(each["buy"] or each["sell"] for each in sides)
        self.must_match = bool(has_any or self.stops or self.waiting)
        self.is_busy = self.must_match or bool(self.position)

    def forget_taken(self, quotes: Quotes) -> None:
        """Forget the sizes taken from levels that have changed since."""
        for side, levels in self.taken.items():
            for price, (displayed, _) in list(levels.items()):
                size = quotes.size_at(side, price)
                if size is not None and size != displayed:
                    del levels[price]
