"""The order book as a value, and the snapshots and deltas that it is built from.

Readers get an ``OrderBook``: a copy of the levels at one sequence. A ``BookSnapshot`` is the whole
book as the exchange sends it, and a ``BookDelta`` is one incremental message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from kucoin_research.errors import BookNotReady
from kucoin_research.foundation.arguments import count

__all__ = ["BookChange", "BookDelta", "BookSnapshot", "OrderBook", "uncrossed"]


class BookSnapshot(NamedTuple):
    """A book as REST or the pro feed sends it: levels are ``(price, size)``, best first.

    ``is_whole`` is false if the exchange cut it off at some depth.
    """

    symbol: str
    sequence: int
    timestamp: int | None  # ns UTC
    bids: Sequence[tuple[float, float]]
    asks: Sequence[tuple[float, float]]
    is_whole: bool = True


class OrderBook:
    """A copy of an order book at one sequence.

    Sizes are lots on futures and base coins on spot. The copy never changes.

    Attributes
    ----------
    symbol, sequence, timestamp
        The symbol, the exchange's counter, and the time (ns UTC) of the last change.
    bids, asks
        Lists of ``(price, size)``, best first.
    best_bid, best_ask
        The best prices; ``None`` on an empty side.
    best_bid_size, best_ask_size
        The sizes resting at the best prices; ``None`` on an empty side.
    """

    def __init__(
        self,
        symbol: str,
        sequence: int,
        timestamp: int | None,
        bids: dict[float, float],
        asks: dict[float, float],
    ) -> None:
        self.symbol = symbol
        self.sequence = sequence
        self.timestamp = timestamp
        self.bids = sorted(bids.items(), reverse=True)
        self.asks = sorted(asks.items())
        self.best_bid: float | None
        self.best_bid_size: float | None
        self.best_ask: float | None
        self.best_ask_size: float | None
        self.best_bid, self.best_bid_size = self.bids[0] if self.bids else (None, None)
        self.best_ask, self.best_ask_size = self.asks[0] if self.asks else (None, None)

    @property
    def mid(self) -> float | None:
        """``(best bid + best ask) / 2``; ``None`` when a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return (self.best_bid + self.best_ask) / 2

    @property
    def spread(self) -> float | None:
        """``best ask - best bid``; ``None`` when a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return self.best_ask - self.best_bid

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask, which cannot be in a real market."""
        bid, ask = self.best_bid, self.best_ask
        return bid is not None and ask is not None and bid >= ask

    def depth(self, n: int | None = None) -> pl.DataFrame:
        """List the best levels side by side.

        Parameters
        ----------
        n
            The number of levels; all if left out.

        Returns
        -------
        pl.DataFrame
            Columns ``bid_price bid_size ask_price ask_size``, best first; null where one side has
            fewer levels than the other.

        Raises
        ------
        InvalidInput
            If ``n`` is no whole number from 0 on.
        """
        if n is not None:
            n = count(n, "n", "levels", least=0)
        bids, asks = self.bids[:n], self.asks[:n]
        rows = max(len(bids), len(asks))
        columns = {
            "bid_price": [price for price, _ in bids],
            "bid_size": [size for _, size in bids],
            "ask_price": [price for price, _ in asks],
            "ask_size": [size for _, size in asks],
        }
        return pl.DataFrame(
            {name: values + [None] * (rows - len(values)) for name, values in columns.items()},
            schema=dict.fromkeys(columns, pl.Float64),
        )

    def __repr__(self) -> str:
        return (
            f"OrderBook({self.symbol}, sequence={self.sequence}, best_bid={self.best_bid}, "
            f"best_ask={self.best_ask}, levels={len(self.bids)}+{len(self.asks)})"
        )


def uncrossed(book: OrderBook) -> OrderBook:
    """Return the book if it is not crossed.

    A crossed book has a wrong change, or lacks one that has not arrived yet.

    Raises
    ------
    BookNotReady
        If it is crossed.
    """
    if book.is_crossed:
        raise BookNotReady(
            f"the book of {book.symbol} is crossed (best bid {book.best_bid}, best ask "
            f"{book.best_ask}), as no market is; try again in a moment"
        )
    return book


class BookChange(NamedTuple):
    """One level of a delta: the size now resting at a price; each change has its own sequence."""

    sequence: int
    side: str
    price: float
    size: float


class BookDelta(NamedTuple):
    """One incremental book message; it covers ``first_sequence`` to ``last_sequence`` inclusive.

    ``changes`` are in order of their sequences. Changes with price 0 only advance the sequence;
    they are left out, so ``changes`` may be empty.
    """

    timestamp: int | None
    symbol: str
    first_sequence: int
    last_sequence: int
    changes: tuple[BookChange, ...]
