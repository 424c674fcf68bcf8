"""The levels of an order book, read from frames of every kind that has one."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.errors import ColumnMissing
from kucoin_research.figures.time_axis import Floats, Times

__all__ = [
    "BOOK_FORMS",
    "CHANGES",
    "SIDE_BY_SIDE",
    "BookWalk",
    "Levels",
    "as_far_as_known",
    "levels_of",
    "no_levels",
    "sound_changes",
]

SIDE_BY_SIDE = ("bid_price", "bid_size", "ask_price", "ask_size")


_LISTS = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")


_NUMBERED = tuple(f"{name}_{level}" for name in SIDE_BY_SIDE for level in range(1, 6))


CHANGES = ("side", "price", "size", "is_snapshot")


#: Columns of frames that have a book: ``OrderBook.depth()``, ``depth50``, ``depth5``, ``level2``.
BOOK_FORMS = (SIDE_BY_SIDE, _LISTS, _NUMBERED, CHANGES)


class Levels(NamedTuple):
    """An order book as arrays: prices and sizes of both sides, best first.

    Below ``floor`` and above ``ceiling`` it is not known whether orders rest; elsewhere, a price
    that is not among the levels has none.
    """

    bids: Floats
    bid_sizes: Floats
    asks: Floats
    ask_sizes: Floats
    floor: float = -inf
    ceiling: float = inf

    @property
    def mid(self) -> float | None:
        """The middle of best bid and best ask; ``None`` when a side is empty."""
        if not self.bids.size or not self.asks.size:
            return None
        return float((self.bids[0] + self.asks[0]) / 2)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask; a real market's never is."""
        return bool(self.bids.size and self.asks.size and self.bids[0] >= self.asks[0])


def as_far_as_known(levels: Levels) -> Levels:
    """Bound a book that an exchange may have cut off: at the last level of its longer side.

    A side that is shorter than the other was not cut off.
    """
    deepest = max(levels.bids.size, levels.asks.size)
    is_cut = [bool(side.size) and side.size == deepest for side in (levels.bids, levels.asks)]
    return levels._replace(
        floor=float(levels.bids[-1]) if is_cut[0] else -inf,
        ceiling=float(levels.asks[-1]) if is_cut[1] else inf,
    )


def levels_of(frame: pl.DataFrame) -> Levels:
    """Read the newest book from a frame.

    Parameters
    ----------
    frame
        ``OrderBook.depth()``, or rows of ``depth50``, ``depth5`` or ``level2``. Rows of ``level2``
        should hold a snapshot; without one the book consists of the changes alone.

    Raises
    ------
    ColumnMissing
        If the frame has the columns of none of these.
    """
    columns = set(frame.columns)
    if set(SIDE_BY_SIDE) <= columns:
        parts = [frame[name].cast(pl.Float64).to_numpy() for name in SIDE_BY_SIDE]
        return _clean(*parts)
    if set(_LISTS) <= columns:
        return _clean(*(_last_list(frame, name) for name in _LISTS))
    if set(_NUMBERED) <= columns:
        return _clean(*(_numbered(frame, name) for name in SIDE_BY_SIDE))
    if set(CHANGES) <= columns:
        return _rebuilt(frame)
    raise ColumnMissing(
        "a book cannot be drawn of this frame; it takes rows of 'depth50', 'depth5' or 'level2', "
        f"or OrderBook.depth(), and this has {', '.join(map(repr, frame.columns)) or 'no columns'}"
    )


def _clean(bids: Floats, bid_sizes: Floats, asks: Floats, ask_sizes: Floats) -> Levels:
    is_bid = np.isfinite(bids) & (bid_sizes > 0)
    is_ask = np.isfinite(asks) & (ask_sizes > 0)
    return Levels(bids[is_bid], bid_sizes[is_bid], asks[is_ask], ask_sizes[is_ask])


def _last_list(frame: pl.DataFrame, name: str) -> Floats:
    return np.array(frame[name][-1] if frame.height else [], float)


def _numbered(frame: pl.DataFrame, name: str) -> Floats:
    names = [f"{name}_{level}" for level in range(1, 6)]
    row = frame.select(names).row(-1) if frame.height else [None] * 5
    return np.array([np.nan if value is None else value for value in row], float)


def sound_changes(changes: pl.DataFrame) -> pl.DataFrame:
    """Leave out changes without a side, price or size: their effect on the book is unknown."""
    is_known = changes["price"].is_finite() & changes["size"].is_finite()
    is_known = is_known.fill_null(value=False) & changes["side"].is_not_null()
    if changes["is_snapshot"].null_count():
        changes = changes.with_columns(pl.col("is_snapshot").fill_null(value=False))
    return changes if is_known.all() else changes.filter(is_known)


def _rebuilt(frame: pl.DataFrame) -> Levels:
    frame = sound_changes(frame)
    if frame.height and frame["is_snapshot"].any():
        flags = frame["is_snapshot"].to_numpy()
        last = int(np.flatnonzero(flags)[-1])
        before = np.flatnonzero(~flags[:last])
        frame = frame[int(before[-1]) + 1 if before.size else 0 :]
    newest = (
        frame.group_by("side", "price", maintain_order=True)
        .agg(pl.col("size").last())
        .filter(pl.col("size") > 0)
    )
    bids = newest.filter(pl.col("side") == "buy").sort("price", descending=True)
    asks = newest.filter(pl.col("side") == "sell").sort("price")
    return Levels(
        bids["price"].to_numpy(),
        bids["size"].to_numpy(),
        asks["price"].to_numpy(),
        asks["size"].to_numpy(),
    )


def no_levels() -> Levels:
    """Make a book without levels."""
    return levels_of(pl.DataFrame(schema=dict.fromkeys(SIDE_BY_SIDE, pl.Float64)))


class BookWalk:
    """Applies the changes of an order book, one batch after the other, and samples its states.

    A snapshot may be cut off. Beyond its last level some changes are known, but not the levels
    between them, so the states end there: bids at the snapshot's lowest one, asks at its highest
    one. If the market leaves this range, one side of a state is empty.
    """

    def __init__(self) -> None:
        self._sides: dict[str, dict[float, float]] = {"buy": {}, "sell": {}}
        self._was_snapshot = False
        self._snapshot: int | None = None  # its sequence
        self._has_snapshot = False  # before one, nothing is known but the changes
        self._floor, self._ceiling = -inf, inf

    def states(self, rows: pl.DataFrame, times: Times, width: int) -> list[tuple[int, Levels]]:
        """Apply changes of these times (ns); returns the last state in each bucket of time."""
        parts = [rows[name].to_list() for name in ("is_snapshot", "side", "price", "size")]
        is_numbered = "sequence" in rows.columns
        parts.append(rows["sequence"].to_list() if is_numbered else [None] * rows.height)
        found: list[tuple[int, Levels]] = []
        last_time = 0
        for time, is_snapshot, *change in zip(times.tolist(), *parts, strict=True):
            if last_time and time // width != last_time // width:
                found.append((last_time, self._levels()))
            last_time = time
            self._apply(is_snapshot, *change)
        if last_time:
            found.append((last_time, self._levels()))
        return found

    def _apply(
        self, is_snapshot: bool, side: str, price: float, size: float, sequence: int | None
    ) -> None:
        is_next = is_snapshot and sequence != self._snapshot  # of two snapshots in a row
        if is_snapshot != self._was_snapshot or is_next:
            if is_snapshot:
                self._snapshot = sequence
                self._sides = {"buy": {}, "sell": {}}
            else:
                self._bound()
            self._was_snapshot = is_snapshot
        if size:
            self._sides[side][price] = size
        else:
            self._sides[side].pop(price, None)

    def _bound(self) -> None:
        # The levels are those of a snapshot. KuCoin cuts books of spot off at 100 levels of a side,
        # other programs cut both sides off at one number.
        self._has_snapshot = True
        bids, asks = self._sides["buy"], self._sides["sell"]
        is_even = len(bids) == len(asks)
        self._floor = min(bids) if len(bids) == _CUT_AT or (bids and is_even) else -inf
        self._ceiling = max(asks) if len(asks) == _CUT_AT or (asks and is_even) else inf

    def _levels(self) -> Levels:
        if self._was_snapshot:
            self._bound()
        if not self._has_snapshot:
            return _longest(self._arrays(-inf, inf)._replace(floor=inf, ceiling=-inf))
        levels = self._arrays(self._floor, self._ceiling)
        # Asks below the floor came after the snapshot, and so did bids above the ceiling: there,
        # all changes are known, up to the best price of the other side.
        floor = min(self._floor, float(levels.asks[0])) if levels.asks.size else self._floor
        ceiling = max(self._ceiling, float(levels.bids[0])) if levels.bids.size else self._ceiling
        if not levels.asks.size and not levels.bids.size:
            floor, ceiling = inf, -inf
        return _longest(levels._replace(floor=floor, ceiling=ceiling))

    def _arrays(self, floor: float, ceiling: float) -> Levels:
        bids, asks = self._sides["buy"], self._sides["sell"]
        bid_prices = sorted((price for price in bids if price >= floor), reverse=True)
        ask_prices = sorted(price for price in asks if price <= ceiling)
        return Levels(
            np.array(bid_prices, float),
            np.array([bids[price] for price in bid_prices], float),
            np.array(ask_prices, float),
            np.array([asks[price] for price in ask_prices], float),
        )


def _longest(levels: Levels) -> Levels:
    # A heat map keeps hundreds of books, so their number of levels is bounded.
    bids, bid_sizes, asks, ask_sizes, floor, ceiling = levels
    if bids.size > _MOST_LEVELS:
        bids, bid_sizes = bids[:_MOST_LEVELS], bid_sizes[:_MOST_LEVELS]
        floor = max(floor, float(bids[-1]))
    if asks.size > _MOST_LEVELS:
        asks, ask_sizes = asks[:_MOST_LEVELS], ask_sizes[:_MOST_LEVELS]
        ceiling = min(ceiling, float(asks[-1]))
    return Levels(bids, bid_sizes, asks, ask_sizes, floor, ceiling)


_CUT_AT = 100
_MOST_LEVELS = 2_000  # of a side, in a state: twice what KuCoin's snapshots of futures have
