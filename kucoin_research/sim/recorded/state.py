"""The state of one recorded symbol at an instant: its book, and the last row of everything else.

REST answers from this state, so it agrees with the stream. Rows are those of `recorded.messages`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from kucoin_research.sim.engine.candles import candle_open
from kucoin_research.sim.engine.offers import Offer
from kucoin_research.sim.recorded.messages import Change, Row

__all__ = ["Bar", "Book", "RecordedState", "Run"]

_MS = 1_000_000
_MINUTE_MS = 60_000
_TRADES = 500
_SETTLEMENTS = 100
_BARS = 20_000  # kept minutes of trades, and kept candles of one interval
# A snapshot's side with one of these numbers of levels was cut off there: KuCoin sends no more
# levels in one reply.
_CUTS = frozenset({100, 500, 1_000})
# A sequence this far below the last one means that the book was renumbered.
_REBASE = 100_000


class Bar(NamedTuple):
    """A candle; ``open_ms`` is its open time, ``turnover`` is None if it was not recorded."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float | None


class Run(NamedTuple):
    """Changes of a book that are sent as one piece, with the sequences ``first`` to ``last``.

    Without changes it is a run of fillers.
    """

    first: int
    last: int
    changes: tuple[Change, ...]


class Book:
    """One symbol's order book, and the sequences under which its changes were sent.

    Rows without sequences, as in other people's recordings, are numbered one by one.

    Parameters
    ----------
    has_fillers
        Whether a sequence without a row was a filler, unless the recording has a gap there.
        Otherwise it is missing.
    has_single_changes
        Whether each change is sent under a sequence of its own. Changes that share one, as on the
        pro feed, take the sequences before it too, removals first. If there are fewer sequences
        than changes, the changes farthest from the best prices are left out.

    Attributes
    ----------
    bids, asks
        Price to size.
    sequence
        Sequence of the last change in the book; -1 before the first row.
    is_whole
        Whether the book began with a snapshot and has missed no change since.
    """

    def __init__(self, *, has_fillers: bool = True, has_single_changes: bool = False) -> None:
        self._has_fillers = has_fillers
        self._has_single_changes = has_single_changes
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.sequence = -1
        self.time_ns: int | None = None
        self.is_whole = False
        self._lowest_bid, self._highest_ask = 0.0, float("inf")
        self._sent: int | None = None
        self._gaps: list[tuple[int, int]] = []

    def note_gap(self, first: int, last: int) -> None:
        """Take note that these sequences, both included, are missing in the recording."""
        if first <= last:
            self._gaps.append((first, last))

    def load(self, rows: Sequence[Row]) -> None:
        """Start over from the rows of one snapshot."""
        sequence = rows[0][3]
        self.sequence = (self._sent or 0) if sequence is None else sequence
        self.time_ns = rows[0][0]
        self.bids, self.asks = {}, {}
        for row in rows:
            self._set(row[5], row[6], row[7])
        self._lowest_bid = min(self.bids) if len(self.bids) in _CUTS else 0.0
        self._highest_ask = max(self.asks) if len(self.asks) in _CUTS else float("inf")
        self.is_whole = True
        if self._sent is None or self._sent - self.sequence > _REBASE:
            self._sent = self.sequence
            self._gaps.clear()

    def apply(self, rows: Sequence[Row]) -> list[Run]:
        """Take the rows of one change message, all of one sequence; return the runs to send."""
        number = rows[0][3]
        if number is None:
            number = (self._sent or 0) + 1
        if self._sent is not None and self._sent - number > _REBASE:
            self._sent = None  # renumbered
            self._gaps.clear()
            self.is_whole = False
        known = self.sequence
        if number > known or not self.is_whole:
            for row in rows:
                self._set(row[5], row[6], row[7])
            self.sequence = number
            self.time_ns = rows[0][0]
        return self._send(rows, number, known)

    def _set(self, side: str, price: float, size: float) -> None:
        levels = self.bids if side == "buy" else self.asks
        if size:
            levels[price] = size
        else:
            levels.pop(price, None)

    def _send(self, rows: Sequence[Row], number: int, known: int) -> list[Run]:
        sent = number - 1 if self._sent is None else self._sent
        if number <= sent:
            return []  # a second recording of a change that was sent already
        self._sent = number
        runs = self._runs(sent + 1, number) if self._gaps else [(sent + 1, number)]
        if not self._has_fillers:
            runs = [(max(runs[-1][0], number - len(rows) + 1), number)]
        is_missing = len(runs) > 1 or runs[0][0] > sent + 1
        if is_missing and runs[-1][0] - 1 > known:  # else a snapshot has the missing changes
            self.is_whole = False
        fillers = [Run(first, last, ()) for first, last in runs[:-1]]
        first, last = runs[-1]
        return [*fillers, Run(first, last, self._changes(rows, first, last))]

    def _changes(self, rows: Sequence[Row], first: int, last: int) -> tuple[Change, ...]:
        if not self._has_single_changes or len(rows) == 1:
            return tuple([Change(last, row[5], row[6], row[7]) for row in rows])
        # Removals are sent first, so that the book is never crossed on the way.
        rows = sorted(self._nearest(rows, last - first + 1), key=lambda row: row[7] > 0)
        return tuple(
            [
                Change(number, row[5], row[6], row[7])
                for number, row in zip(range(last - len(rows) + 1, last + 1), rows, strict=True)
            ]
        )

    def _nearest(self, rows: Sequence[Row], count: int) -> Sequence[Row]:
        # The pro feed shows a window of levels. As the best prices move, levels enter and leave it
        # at its far end; those have no sequence of their own.
        if len(rows) <= count or not self.bids or not self.asks:
            return rows[-count:]
        middle = (max(self.bids) + min(self.asks)) / 2
        return sorted(rows, key=lambda row: abs(row[6] - middle))[:count]

    def _runs(self, first: int, last: int) -> list[tuple[int, int]]:
        # The parts of first to last that lie in no gap; `last` itself has arrived.
        runs: list[tuple[int, int]] = []
        for begin, end in sorted(self._gaps):
            if end < first or begin >= last:
                continue
            if begin > first:
                runs.append((first, begin - 1))
            first = max(first, min(end + 1, last))
        self._gaps = [gap for gap in self._gaps if gap[1] > last]
        return [*runs, (first, last)]

    def copy(self) -> Book:
        """Return a copy of the levels, for reading only."""
        kept = Book()
        kept.bids, kept.asks = dict(self.bids), dict(self.asks)
        kept._lowest_bid, kept._highest_ask = self._lowest_bid, self._highest_ask
        kept.sequence, kept.time_ns, kept.is_whole = self.sequence, self.time_ns, self.is_whole
        return kept

    def top(self, depth: int | None) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Return bids and asks, best first, none beyond the levels that the snapshot showed."""
        bids = [level for level in self.bids.items() if level[0] >= self._lowest_bid]
        asks = [level for level in self.asks.items() if level[0] <= self._highest_ask]
        return sorted(bids, reverse=True)[:depth], sorted(asks)[:depth]


class RecordedState:
    """Keeps the newest rows of one symbol: book, trades, candles, and the last of each channel.

    Attributes
    ----------
    last
        The newest row of each channel: ``last["ticker"]``. A row of spot mark prices has the mark
        price or the index price; the newest of each is under ``mark`` and ``index``.
    best
        Best bid, its size, best ask, its size, from the newest row outside the book.
    """

    def __init__(self, offer: Offer, book: Book) -> None:
        self.offer = offer
        self.book = book
        self.last: dict[str, Row] = {}
        self.best: tuple[float | None, float | None, float | None, float | None] | None = None
        self.trades: deque[Row] = deque(maxlen=_TRADES)
        self.settlements: deque[Row] = deque(maxlen=_SETTLEMENTS)
        self.candles: dict[str, dict[int, Bar]] = {}
        self._minutes: dict[int, Bar] = {}

    def note(self, channel: str, row: Row) -> None:
        """Take one row of any channel but ``level2``."""
        if channel == "candle":
            self._note_candle(row)
            return
        self.last[channel] = row
        if channel == "trade":
            self.trades.append(row)
            self._note_trade(row)
        elif channel == "ticker":
            self.best = row[7:11]
        elif channel == "bbo":
            self.best = row[4:8]
        elif channel == "depth5":
            self.best = (row[4], row[9], row[14], row[19])
        elif channel == "mark_price":
            self._note_mark(row)
        elif channel == "funding_rate" and row[4] is None:
            self.settlements.append(row)

    def _note_mark(self, row: Row) -> None:
        for name, value in (("mark", row[3]), ("index", row[4])):
            if value is not None:
                self.last[name] = row

    def _note_candle(self, row: Row) -> None:
        time, _, _, interval, opened, high, low, close, volume, turnover = row
        bars = self.candles.setdefault(interval, {})
        open_ms = time // _MS
        bars[open_ms] = Bar(open_ms, opened, high, low, close, volume, turnover)
        _forget_oldest(bars)

    def _note_trade(self, row: Row) -> None:
        time, _, _, _, _, _, price, size = row
        if time is None or price is None or size is None:
            return
        open_ms = time // _MS // _MINUTE_MS * _MINUTE_MS
        before = self._minutes.get(open_ms)
        one = Bar(open_ms, price, price, price, price, size, self._worth(price, size))
        self._minutes[open_ms] = one if before is None else _together(before, one)
        if before is None:
            _forget_oldest(self._minutes)

    def _worth(self, price: float, size: float) -> float:
        if self.offer.is_inverse:
            return size / price
        return price * size * self.offer.multiplier

    def bars(self, interval: str, interval_ms: int) -> list[Bar] | None:
        """Return the candles of an interval, oldest first; None without candles and trades.

        They are the recorded candles. If there are none, they are made from the recorded trades.
        """
        if interval in self.candles:
            return sorted(self.candles[interval].values())
        if not self.trades:
            return None
        made: dict[int, Bar] = {}
        for minute in sorted(self._minutes.values()):
            open_ms = candle_open(interval_ms, minute.open_ms)
            one = minute._replace(open_ms=open_ms)
            before = made.get(open_ms)
            made[open_ms] = one if before is None else _together(before, one)
        return list(made.values())

    def top(
        self,
    ) -> tuple[float | None, float | None, float | None, float | None] | None:
        """Return best bid, its size, best ask, its size, from the book if it is whole."""
        if not self.book.is_whole:
            return self.best
        bids, asks = self.book.bids, self.book.asks
        bid, ask = max(bids, default=None), min(asks, default=None)
        bid_size = None if bid is None else bids[bid]
        ask_size = None if ask is None else asks[ask]
        return bid, bid_size, ask, ask_size

    def last_trade(self) -> Row | None:
        """Return time, sequence, trade id, side, price and size of the last trade so far."""
        trade, ticker = self.last.get("trade"), self.last.get("ticker")
        if trade is not None and (ticker is None or trade[1] >= ticker[1]):
            return trade[0], trade[3], trade[4], trade[5], trade[6], trade[7]
        if ticker is not None:
            trade_id = str(ticker[3]) if self.offer.market == "futures" else None
            return ticker[0], ticker[3], trade_id, ticker[6], ticker[4], ticker[5]
        return None


def _together(before: Bar, after: Bar) -> Bar:
    assert before.turnover is not None, "bars made of trades have a turnover"
    assert after.turnover is not None, "bars made of trades have a turnover"
    return Bar(
        before.open_ms,
        before.open,
        max(before.high, after.high),
        min(before.low, after.low),
        after.close,
        round(before.volume + after.volume, 10),
        round(before.turnover + after.turnover, 10),
    )


def _forget_oldest(bars: dict[int, Bar]) -> None:
    if len(bars) > _BARS:
        del bars[min(bars)]
