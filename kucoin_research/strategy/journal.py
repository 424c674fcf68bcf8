"""The journal of a run on paper: each fill and note with the record and the book of its moment.

It is for those who look at a run while it goes on, such as a dashboard; a result has frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from kucoin_research.model.intervals import parse_interval
from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    Level2,
    Record,
    Ticker,
    Trade,
    local_timestamp_of,
)
from kucoin_research.strategy.orders import Fill, Order
from kucoin_research.strategy.quotes import Level
from kucoin_research.strategy.run import PaperRun

__all__ = ["Journal", "Moment"]

_LEVELS = 5
_KEPT = 20_000  # moments with record and book
# Records whose own time is that of an event: a funding rate may carry that of its settlement, and
# a candle that has not closed yet that of its opening.
_TIMED = (Ticker, BestBidOffer, Trade, Level2, Depth5, Depth50)


class Moment(NamedTuple):
    """A fill or a note, and what was known then.

    Attributes
    ----------
    timestamp
        When, ns UTC on the exchange's clock, as charts have it; never before the moment before.
    local_timestamp
        The same on the clock of the records' arrival, which the broker uses.
    symbol
        Of the fill or the note; None if the note has none.
    price
        Of the fill; of a note the mid, None if it was not known.
    fill
        The fill; None for a note.
    order
        The order that was filled.
    text
        The note; of a fill, the symbol's newest note since its order was sent, or with it; None if
        there is none.
    noted
        When that note was made, ns UTC by arrival.
    record
        The newest record that the exchange knew of; None if there was none, or long ago.
    bids, asks
        The best visible levels, best first, before the fill; empty if unknown, or long ago.
    position
        The position of the symbol, behind the fill.
    equity
        In the currency of the results, as of the last record; None if it was not known.
    """

    timestamp: int
    local_timestamp: int
    symbol: str | None
    price: float | None
    fill: Fill | None
    order: Order | None
    text: str | None
    noted: int | None
    record: Record | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    position: float
    equity: float | None


class Journal:
    """Notes what a run does, at the time it does it.

    One thread feeds it with the run's lock held. Any thread may read the lists, which only grow.
    Record and book are kept of the newest 20,000 moments. Until a record tells the exchange's
    clock, moments have the time of arrival; they get their own one then.

    Parameters
    ----------
    run
        The run; nothing was played yet.

    Attributes
    ----------
    moments
        Fills and notes, in order.
    equity
        The equity along the run: ns UTC on the exchange's clock, and the amount.
    held
        The positions at the start, by symbol: coins of the cash.
    """

    def __init__(self, run: PaperRun) -> None:
        self.held = {symbol: run.broker.position(symbol).size for symbol in run.markets}
        self.moments: list[Moment] = []
        self.equity: list[tuple[int, float]] = []
        self._run = run
        self._lag: int | None = None  # of the arrivals behind the exchange's clock, ns
        self._record: Record | None = None  # the newest one that the exchange has taken
        self._coming: Record | None = None
        self._noted: dict[str | None, tuple[int, str]] = {}
        self._sample: object = None
        run.ledger.on_fill = self._on_fill
        run.ledger.on_note = self._on_note

    def begin(self, record: Record) -> None:
        """Get ready for a record that is about to be played."""
        self._coming = record

    def end(self) -> None:
        """Note the equity, once the record was played, or the run is over."""
        self._settle()
        record, start = self._record, self._run.initial_equity
        if record is None or self._lag is None or start is None:
            return
        if not self.equity:
            self.equity.append((local_timestamp_of(record) - self._lag, start))
        sample = self._run.ledger.newest_sample
        if sample is not None and sample != self._sample:
            self._sample = sample
            # The lag differs from record to record; the equity is a line along time.
            event = max(sample[0] - self._lag, self.equity[-1][0])
            self.equity.append((event, sample[1]))

    def _settle(self) -> None:
        """Take the record that is being played for the newest one."""
        record, self._coming = self._coming, None
        if record is not None:
            self._record = record
            event = self._event_of(record)
            if event is not None:
                lag = local_timestamp_of(record) - event
                if self._lag is None:
                    self.moments[:] = [
                        each._replace(timestamp=each.timestamp - lag) for each in self.moments
                    ]
                self._lag = lag

    @property
    def is_placed(self) -> bool:
        """Whether the moments have times of the exchange's clock."""
        return self._lag is not None

    def _event_of(self, record: Record) -> int | None:
        """Return when the event of a record happened, ns UTC on the exchange's clock."""
        stamp = record[0]
        if isinstance(record, _TIMED) or stamp is None:
            return stamp
        if not isinstance(record, Candle):
            return None
        # Where only candles are played, each comes when it has closed.
        interval = self._run.facts.intervals.get(record.symbol or "")
        return None if interval is None else stamp + (parse_interval(interval).ns or 0)

    def _on_fill(self, fill: Fill) -> None:
        sent = self._run.broker.sent
        order = sent[fill.order_id - 1] if fill.order_id else None  # 0: a liquidation
        since = fill.timestamp if order is None else order.submitted
        known = (self._noted.get(symbol, (0, "")) for symbol in (fill.symbol, None))
        noted, text = next((each for each in known if each[0] >= since), (None, None))
        self._add(fill.timestamp, fill.symbol, fill.price, fill, order, text, noted,
                  fill.position_after)  # fmt: skip

    def _on_note(self, when: int, symbol: str | None, text: str, position: float) -> None:
        self._noted[symbol] = when, text
        market = None if symbol is None else self._run.markets[symbol]
        price = None if market is None else market.mid
        self._add(when, symbol, price, None, None, text, when, position)

    def _add(
        self,
        when: int,
        symbol: str | None,
        price: float | None,
        fill: Fill | None,
        order: Order | None,
        text: str | None,
        noted: int | None,
        position: float,
    ) -> None:
        # Orders under way meet the market before the record that is about to be played.
        if self._coming is not None and when >= local_timestamp_of(self._coming):
            self._settle()
        sample = self._run.ledger.newest_sample
        placed = when - (self._lag or 0)
        if self.moments:
            placed = max(placed, self.moments[-1].timestamp)
        self.moments.append(
            Moment(
                placed, when, symbol, price, fill, order, text, noted,
                self._record, self._levels(symbol, "buy"), self._levels(symbol, "sell"), position,
                None if sample is None else sample[1],
            )
        )  # fmt: skip
        old = len(self.moments) - 1 - _KEPT
        if old >= 0:
            self.moments[old] = self.moments[old]._replace(record=None, bids=(), asks=())

    def _levels(self, symbol: str | None, side: str) -> tuple[Level, ...]:
        quotes = None if symbol is None else self._run.markets[symbol].quotes
        return () if quotes is None else tuple(islice(quotes.levels(side), _LEVELS))

    def since(self, count: int) -> Sequence[Moment]:
        """Return the moments behind the first ``count``."""
        return self.moments[count:]
