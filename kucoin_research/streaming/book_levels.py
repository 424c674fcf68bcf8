"""The price levels of an order book, changed delta by delta."""

from __future__ import annotations

from kucoin_research.errors import BookNotReady
from kucoin_research.model.orderbook import BookDelta, BookSnapshot, OrderBook, uncrossed

__all__ = ["FEWEST_LEVELS", "BookLevels"]

# A partial book with fewer known levels than this on a side is fetched afresh.
FEWEST_LEVELS = 20

_INFINITY = float("inf")


class BookLevels:
    """The bids and asks of one symbol, and how far they are known.

    A partial snapshot cuts a side off at its last level. Deltas may still change levels beyond that
    point, but levels between them are unknown, so copies leave everything beyond it out.

    Attributes
    ----------
    sequence
        The last sequence applied, -1 before any.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_ceiling",
        "_floor",
        "_high_bid",
        "_low_ask",
        "_timestamp",
        "sequence",
    )

    def __init__(self) -> None:
        self.sequence = -1
        self._timestamp: int | None = None
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        # No bid is above the first, no ask below the second: as long as the first is the lower one,
        # the book cannot be crossed.
        self._high_bid, self._low_ask = -_INFINITY, _INFINITY
        self._floor = 0.0  # bids below this are unknown
        self._ceiling = _INFINITY  # asks above this are unknown

    def load(self, snapshot: BookSnapshot) -> None:
        """Replace all levels by those of a snapshot."""
        bids, asks = snapshot.bids, snapshot.asks
        self._bids = dict(bids)
        self._asks = dict(asks)
        self._high_bid = max(self._bids, default=-_INFINITY)
        self._low_ask = min(self._asks, default=_INFINITY)
        self.sequence = snapshot.sequence
        self._timestamp = snapshot.timestamp
        # A side that is shorter than the other was not cut off.
        cut_at = 0 if snapshot.is_whole else max(len(bids), len(asks))
        self._floor = bids[-1][0] if bids and len(bids) == cut_at else 0.0
        self._ceiling = asks[-1][0] if asks and len(asks) == cut_at else _INFINITY

    def apply(self, delta: BookDelta) -> None:
        """Apply the changes of a delta that are newer than the book."""
        last = self.sequence
        for change in delta.changes:
            if change.sequence <= last:
                continue
            is_bid, price = change.side == "buy", change.price
            levels = self._bids if is_bid else self._asks
            if not change.size:
                levels.pop(price, None)  # a level beyond the snapshot's depth: legal
                continue
            levels[price] = change.size
            if is_bid and price > self._high_bid:
                self._high_bid = price
            elif not is_bid and price < self._low_ask:
                self._low_ask = price
        self.sequence = delta.last_sequence
        self._timestamp = delta.timestamp

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at the best ask or above it."""
        if self._high_bid < self._low_ask:
            return False
        # `apply` does not move the bounds when a best level is removed: it would have to search for
        # the next one each time. So they are computed here, when they can no longer prove anything.
        self._high_bid = max(self._bids, default=-_INFINITY)
        self._low_ask = min(self._asks, default=_INFINITY)
        return self._high_bid >= self._low_ask

    @property
    def is_thin(self) -> bool:
        """Whether a side that was cut off has few known levels left.

        Costs a pass over the levels.
        """
        if self._floor and sum(price >= self._floor for price in self._bids) < FEWEST_LEVELS:
            return True
        if self._ceiling == _INFINITY:
            return False
        return sum(price <= self._ceiling for price in self._asks) < FEWEST_LEVELS

    def copy(self, symbol: str) -> OrderBook:
        """Copy the known levels.

        Raises
        ------
        BookNotReady
            If the book is crossed, or no level of a side that was cut off is known any more.
        """
        bids = {price: size for price, size in self._bids.items() if price >= self._floor}
        asks = {price: size for price, size in self._asks.items() if price <= self._ceiling}
        if (self._floor and not bids) or (self._ceiling != _INFINITY and not asks):
            raise BookNotReady(
                f"the book of {symbol} has moved beyond its known levels and is fetched "
                "afresh; try again in a moment"
            )
        return uncrossed(OrderBook(symbol, self.sequence, self._timestamp, bids, asks))
