"""The quotes of one symbol, from whichever channel shows the most of the book.

Each class reads the newest record of one channel; nothing is copied or folded before it is needed.
Only ``level2`` keeps a book, since its rows are changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from kucoin_research.model.records import Record, local_timestamp_of
from kucoin_research.sessions.book_rebuild import RebuiltBook

__all__ = ["BookQuotes", "DepthQuotes", "Level", "ListQuotes", "Quotes", "TopQuotes", "is_better"]

#: A price and the size displayed at it.
Level: TypeAlias = tuple[float, float]


def is_better(side: str, price: float, other: float) -> bool:
    """Whether an order of a side at a price comes before one at another price."""
    return price > other if side == "buy" else price < other


class Quotes(Protocol):
    """What one channel shows of a book. ``side`` is ``buy`` for bids and ``sell`` for asks."""

    @property
    def updated(self) -> int | None:
        """When the newest record arrived, ns UTC; None if the quotes cannot be used."""

    def best(self, side: str) -> Level | None:
        """Return the best level of a side; None if it is empty."""

    def levels(self, side: str) -> Iterable[Level]:
        """Iterate over the visible levels of a side, best first."""

    def size_at(self, side: str, price: float) -> float | None:
        """Return the size displayed at a price; None if the channel does not show that far."""


class TopQuotes:
    """The best bid and ask of ``ticker`` or ``bbo`` records.

    Parameters
    ----------
    history
        The channel's records; the last one is the newest.
    first
        The index of ``best_bid_price`` in them.
    """

    def __init__(self, history: deque[Record], first: int) -> None:
        self._history: deque[Any] = history
        self._at = {"buy": first, "sell": first + 2}

    @property
    def updated(self) -> int | None:
        """When the newest record arrived."""
        return local_timestamp_of(self._history[-1]) if self._history else None

    def best(self, side: str) -> Level | None:
        """Return the best level of a side."""
        if not self._history:
            return None
        record, at = self._history[-1], self._at[side]
        price = record[at]
        return None if price is None else (price, record[at + 1] or 0.0)

    def levels(self, side: str) -> Iterable[Level]:
        """Return the best level alone."""
        best = self.best(side)
        return () if best is None else (best,)

    def size_at(self, side: str, price: float) -> float | None:
        """Return the size at the best price; nothing rests in front of it."""
        best = self.best(side)
        if best is None or is_better(side, best[0], price):
            return None
        return best[1] if best[0] == price else 0.0


class _WindowQuotes:
    """A channel whose records hold several levels of each side."""

    def __init__(self, history: deque[Record]) -> None:
        self._history: deque[Any] = history

    def _sides(self, side: str) -> Iterable[Level]:
        raise NotImplementedError

    @property
    def updated(self) -> int | None:
        """When the newest record arrived."""
        return local_timestamp_of(self._history[-1]) if self._history else None

    def best(self, side: str) -> Level | None:
        """Return the best level of a side."""
        return next(iter(self.levels(side)), None)

    def levels(self, side: str) -> Iterable[Level]:
        """Iterate over the levels of the newest record."""
        return self._sides(side) if self._history else ()

    def size_at(self, side: str, price: float) -> float | None:
        """Return the size at a price; None beyond the last level."""
        for level, size in self.levels(side):
            if level == price:
                return size
            if is_better(side, price, level):
                return 0.0
        return None


class DepthQuotes(_WindowQuotes):
    """The five best levels of ``depth5`` records."""

    def _sides(self, side: str) -> Iterable[Level]:
        record = self._history[-1]
        first = 4 if side == "buy" else 14
        for at in range(first, first + 5):
            if record[at] is not None:
                yield record[at], record[at + 5] or 0.0


class ListQuotes(_WindowQuotes):
    """The levels of ``depth50`` records."""

    def _sides(self, side: str) -> Iterable[Level]:
        record = self._history[-1]
        at = 4 if side == "buy" else 6
        return zip(record[at] or (), record[at + 1] or (), strict=False)


class BookQuotes:
    """The book of ``level2`` rows; its best prices are kept up to date as rows come.

    Parameters
    ----------
    symbol
        Whose book it is.
    """

    def __init__(self, symbol: str) -> None:
        self.book = RebuiltBook(symbol)
        self._updated: int | None = None
        # The best price of each side; None if it must be looked for.
        self._best: dict[str, float | None] = {"buy": None, "sell": None}

    @property
    def updated(self) -> int | None:
        """When the newest row arrived; None while the book is not in step."""
        return self._updated if self.book.is_ready else None

    def take(self, row: Any) -> None:
        """Take a row: a change, or a level of a snapshot."""
        self.book.take(row)
        _, self._updated, _, _, is_snapshot, side, price, size = row
        if is_snapshot:
            self._best = {"buy": None, "sell": None}
            return
        best = self._best[side]
        if best is None or price is None:
            return
        if size:
            if is_better(side, price, best):
                self._best[side] = price
        elif price == best:
            self._best[side] = None

    def _side(self, side: str) -> dict[float, float]:
        return self.book.bids if side == "buy" else self.book.asks

    def best(self, side: str) -> Level | None:
        """Return the best level of a side."""
        levels = self._side(side)
        best = self._best[side]
        if best is None:
            if not levels:
                return None
            best = self._best[side] = max(levels) if side == "buy" else min(levels)
        return best, levels[best]

    def levels(self, side: str) -> Iterable[Level]:
        """Return the levels of a side, best first."""
        return sorted(self._side(side).items(), reverse=side == "buy")

    def size_at(self, side: str, price: float) -> float | None:
        """Return the size at a price; 0 where nothing rests, None beyond the snapshot's levels."""
        size = self._side(side).get(price)
        if size is not None:
            return size
        return 0.0 if self.book.is_known(side, price) else None
