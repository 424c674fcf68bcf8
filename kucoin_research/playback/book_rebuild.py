"""Order books rebuilt from recorded rows: as the stream that recorded them had them."""

from __future__ import annotations

from collections.abc import Iterable

from kucoin_research.errors import BookNotReady, shown
from kucoin_research.foundation.arguments import name_of
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.orderbook import OrderBook, uncrossed
from kucoin_research.model.records import Level2, Record, Status

__all__ = ["BookRebuild"]

_INFINITY = float("inf")
# Without a key KuCoin's REST cuts a spot book off at this depth; all other snapshots are whole.
_CUT_AT = 100
_UNNUMBERED = -1


class BookRebuild:
    """The books of some symbols, fed with ``level2`` and ``status`` rows in order of arrival.

    A book answers from the moment on at which the recording stream said that it was in step
    (``book_ready``); where nobody said so, from the first change behind a snapshot on. After a gap,
    a resync or a lost connection it refuses until it is in step again. Rows of other programs may
    have no sequence: then a snapshot is what arrived at one time, and the book's sequence is -1.

    Not thread-safe.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._books = {symbol: _Book(symbol) for symbol in symbols}

    def take(self, rows: Iterable[Record]) -> None:
        """Take rows of any channel; those that concern no book are passed over."""
        books = self._books
        for row in rows:
            if row.__class__ is Level2:
                book = books.get(row[2] or "")
                if book is not None:
                    book.take(row)
            elif isinstance(row, Status):
                self._hear(row)

    def _hear(self, status: Status) -> None:
        if status.event == "disconnected":
            # The row does not say which symbols were on that connection. One that was not goes on
            # with the very next sequence, and is believed again.
            for book in self._books.values():
                book.doubt()
        if status.channel != "level2":
            return
        symbol = status.symbol
        if status.event == "resync":
            symbol = (status.detail or "").partition(":")[0]
        book_of = self._books.get(symbol or "")
        if book_of is not None:
            book_of.hear(status)

    def copy(self, symbol: str | None, name: str) -> OrderBook:
        """Copy a book.

        Parameters
        ----------
        symbol
            May be left out when there is only one.
        name
            Whose books they are, for what errors say.

        Raises
        ------
        BookNotReady
            If there is none of that symbol, or it is not in step, or crossed.
        """
        symbol = name_of(symbol, "symbol")
        if symbol is None and not self._books:
            raise BookNotReady(f"{name!r} keeps no book: no level2 was recorded")
        if symbol is None and len(self._books) > 1:
            raise BookNotReady(f"name one of the books: {', '.join(self._books)}")
        book = self._books.get(next(iter(self._books)) if symbol is None else symbol)
        if book is None:
            there = ", ".join(self._books) or "none"
            raise BookNotReady(f"no level2 of {shown(symbol)} was recorded (books here: {there})")
        return book.copy()


class _Book:
    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._timestamp: int | None = None
        self._sequence = _UNNUMBERED
        self._snapshot_at: int | None = None
        self._has_snapshot = False
        self._is_loading = False
        self._is_ready = False
        self._is_doubtful = False
        self._floor, self._ceiling = 0.0, _INFINITY
        self._is_cut = market_of(symbol) is Market.SPOT

    def take(self, row: Level2) -> None:
        timestamp, local, _, sequence, is_snapshot, side, price, size = row
        if price is None:
            return
        if sequence is None:
            sequence = _UNNUMBERED
        if is_snapshot:
            is_next = sequence != self._sequence if sequence >= 0 else local != self._snapshot_at
            if not self._is_loading or is_next:
                self._begin()
            self._snapshot_at = local
        elif self._is_loading:
            self._loaded()
            self._is_ready = True
        elif self._is_doubtful and sequence == self._sequence + 1 and sequence >= 0:
            self._is_doubtful, self._is_ready = False, True
        levels = self._bids if side == "buy" else self._asks
        if size:
            levels[price] = size
        else:
            levels.pop(price, None)
        self._sequence = sequence
        self._timestamp = timestamp

    def _begin(self) -> None:
        self._bids, self._asks = {}, {}
        self._is_loading = self._has_snapshot = True
        self._is_ready = self._is_doubtful = False

    def _loaded(self) -> None:
        self._is_loading = False
        bids, asks = self._bids, self._asks
        is_cut = self._is_cut and max(len(bids), len(asks)) == _CUT_AT
        # A side that is shorter than the other was not cut off.
        self._floor = min(bids) if is_cut and len(bids) == _CUT_AT else 0.0
        self._ceiling = max(asks) if is_cut and len(asks) == _CUT_AT else _INFINITY

    def doubt(self) -> None:
        """Refuse to answer until there is a snapshot, or nothing turns out to be missing."""
        self._is_doubtful = self._is_doubtful or self._is_ready
        self._is_ready = False

    def hear(self, status: Status) -> None:
        if status.event == "book_ready":
            if self._is_loading:
                self._loaded()
            self._is_ready, self._is_doubtful = self._has_snapshot, False
            if status.last_sequence is not None:
                self._sequence = status.last_sequence  # fillers, which have no rows, advance it
        elif status.event == "resync" or (status.event == "gap" and self._lacks(status)):
            self._is_ready = self._is_doubtful = False

    def _lacks(self, gap: Status) -> bool:
        """Whether the book misses what the gap does; a snapshot may stand for it by now."""
        first, last = gap.first_sequence, gap.last_sequence
        if first is None or last is None:
            return True
        if last < first:  # the exchange has renumbered the book
            return self._sequence == last
        return self._sequence < last

    def copy(self) -> OrderBook:
        if not self._is_ready:
            raise BookNotReady(f"the book of {self.symbol} was not in step at this moment")
        bids = {price: size for price, size in self._bids.items() if price >= self._floor}
        asks = {price: size for price, size in self._asks.items() if price <= self._ceiling}
        if (self._floor and not bids) or (self._ceiling != _INFINITY and not asks):
            raise BookNotReady(f"the book of {self.symbol} had moved beyond its known levels")
        return uncrossed(OrderBook(self.symbol, self._sequence, self._timestamp, bids, asks))
