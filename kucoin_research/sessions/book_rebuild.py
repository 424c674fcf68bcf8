"""Order books rebuilt from recorded rows, as they were in the stream that recorded them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from kucoin_research.errors import BookNotReady, shown
from kucoin_research.foundation.arguments import name_of
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.orderbook import OrderBook, uncrossed
from kucoin_research.model.records import Level2, Record, Status

__all__ = ["BookRebuild", "RebuiltBook", "known_range"]

_INFINITY = float("inf")
# Without an API key, KuCoin's REST cuts a spot book off at this depth; other snapshots are whole.
_CUT_AT = 100
_UNNUMBERED = -1


def known_range(
    symbol: str, bids: Collection[float], asks: Collection[float]
) -> tuple[float, float]:
    """Return the lowest bid and the highest ask up to which a snapshot shows all levels.

    Parameters
    ----------
    symbol
        Whose snapshot it is.
    bids, asks
        Its prices.
    """
    is_cut = market_of(symbol) is Market.SPOT and max(len(bids), len(asks)) == _CUT_AT
    # Only a side of full depth was cut off: the book is unknown beyond its last level.
    floor = min(bids) if is_cut and len(bids) == _CUT_AT else 0.0
    ceiling = max(asks) if is_cut and len(asks) == _CUT_AT else _INFINITY
    return floor, ceiling


class BookRebuild:
    """Keeps the books of some symbols, from ``level2`` and ``status`` rows in order of arrival.

    A book can be copied once the recording stream reported it in step (``book_ready``). Without
    such a report, it can be copied from the first change behind a snapshot on. After a gap, a
    resync, a lost connection or an unsubscription it is refused until it is in step again. Rows of
    other programs may have no sequence: then all rows of one arrival time form a snapshot, and the
    book's sequence is -1.

    Not thread-safe.
    """

    def __init__(self, symbols: Iterable[str]) -> None:
        self._books = {symbol: RebuiltBook(symbol) for symbol in symbols}

    def take(self, rows: Iterable[Record]) -> None:
        """Take rows of any channel; rows that concern no book are skipped."""
        books = self._books
        for row in rows:
            if row.__class__ is Level2:
                book = books.get(row[2] or "")  # row[2] is the symbol; this loop sees every row
                if book is not None:
                    book.take(row)
            elif isinstance(row, Status):
                self._take_status(row)

    def _take_status(self, status: Status) -> None:
        if status.event == "disconnected":
            # The row does not say which symbols were on that connection, so all books are doubted.
            # A book that was not on it goes on with the very next sequence, and is trusted again.
            for book in self._books.values():
                book.doubt()
        if status.channel != "level2":
            return
        symbol = status.symbol
        if status.event == "resync":
            symbol = (status.detail or "").partition(":")[0]
        book_of = self._books.get(symbol or "")
        if book_of is not None:
            book_of.take_status(status)

    def copy(self, symbol: str | None, name: str) -> OrderBook:
        """Copy a book.

        Parameters
        ----------
        symbol
            May be left out when there is only one.
        name
            The replay's, for error texts.

        Raises
        ------
        BookNotReady
            If there is no book of that symbol, or it is not in step, or it is crossed.
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


class RebuiltBook:
    """Keeps one symbol's book, and whether it is in step with the recording stream's.

    Not thread-safe.

    Attributes
    ----------
    symbol
        Whose book it is.
    bids, asks
        Price to size, in no order. They are the book itself, so readers must not change them; a
        snapshot replaces them by new ones. Unlike in a copy, levels beyond those that a snapshot
        reaches, and levels that cross, are still in them.
    """

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self._timestamp: int | None = None
        self._sequence = _UNNUMBERED
        self._snapshot_at: int | None = None
        self._has_snapshot = False
        self._is_loading = False
        self._is_ready = False
        self._is_doubtful = False
        self._floor, self._ceiling = 0.0, _INFINITY

    @property
    def is_ready(self) -> bool:
        """Whether the book is in step, so that it may be read."""
        return self._is_ready

    def is_known(self, side: str, price: float) -> bool:
        """Whether a price lies within the levels that the last snapshot reaches."""
        return price >= self._floor if side == "buy" else price <= self._ceiling

    def take(self, row: Level2) -> None:
        """Take the symbol's next row."""
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
        levels = self.bids if side == "buy" else self.asks
        if size:
            levels[price] = size
        else:
            levels.pop(price, None)
        self._sequence = sequence
        self._timestamp = timestamp

    def _begin(self) -> None:
        self.bids, self.asks = {}, {}
        self._is_loading = self._has_snapshot = True
        self._is_ready = self._is_doubtful = False

    def _loaded(self) -> None:
        self._is_loading = False
        self._floor, self._ceiling = known_range(self.symbol, self.bids, self.asks)

    def doubt(self) -> None:
        """Refuse copies until a snapshot comes, or the next change shows that none is missing."""
        was_loading = self._is_loading
        if was_loading:
            self._loaded()
        self._is_doubtful = self._is_doubtful or self._is_ready or was_loading
        self._is_ready = False

    def take_status(self, status: Status) -> None:
        """Take a ``status`` row about this book: it is in step, has a gap, or is asked for anew."""
        if status.event == "book_ready":
            if self._is_loading:
                self._loaded()
            self._is_ready, self._is_doubtful = self._has_snapshot, False
            if status.last_sequence is not None:
                self._sequence = status.last_sequence  # fillers advance it, and have no rows
        elif status.event in ("resync", "unsubscribed") or (
            status.event == "gap" and self._lacks(status)
        ):
            if self._is_loading:
                self._loaded()  # the snapshot is whole, and a change behind it is missing
            self._is_ready = self._is_doubtful = False

    def _lacks(self, gap: Status) -> bool:
        """Whether the gap's changes are missing in the book; a later snapshot may contain them."""
        first, last = gap.first_sequence, gap.last_sequence
        if first is None or last is None:
            return True
        if last < first:  # the exchange has renumbered the book
            return self._sequence == last
        return self._sequence < last

    def copy(self) -> OrderBook:
        """Copy the book as far as it is known; a spot snapshot may not reach all its levels.

        Raises
        ------
        BookNotReady
            If it is not in step, has moved beyond its known levels, or is crossed.
        """
        if not self._is_ready:
            raise BookNotReady(f"the book of {self.symbol} was not in step at this moment")
        bids = {price: size for price, size in self.bids.items() if price >= self._floor}
        asks = {price: size for price, size in self.asks.items() if price <= self._ceiling}
        if (self._floor and not bids) or (self._ceiling != _INFINITY and not asks):
            raise BookNotReady(f"the book of {self.symbol} had moved beyond its known levels")
        return uncrossed(OrderBook(self.symbol, self._sequence, self._timestamp, bids, asks))
