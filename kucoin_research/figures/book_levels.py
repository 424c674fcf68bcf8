"""The levels of an order book, read from frames of every kind that has one."""

from __future__ import annotations

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
    """An order book as arrays: prices and sizes of both sides, best first."""

    bids: Floats
    bid_sizes: Floats
    asks: Floats
    ask_sizes: Floats

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
    """Applies the changes of an order book, one batch after the other, and samples its states."""

    def __init__(self) -> None:
        self._sides: dict[str, dict[float, float]] = {"buy": {}, "sell": {}}
        self._was_snapshot = False

    def states(self, rows: pl.DataFrame, times: Times, width: int) -> list[tuple[int, Levels]]:
        """Apply changes of these times (ns); returns the last state in each bucket of time."""
        parts = [rows[name].to_list() for name in ("is_snapshot", "side", "price", "size")]
        found: list[tuple[int, Levels]] = []
        last_time = 0
        for time, is_snapshot, side, price, size in zip(times.tolist(), *parts, strict=True):
            if last_time and time // width != last_time // width:
                found.append((last_time, self._levels()))
            last_time = time
            self._apply(is_snapshot, side, price, size)
        if last_time:
            found.append((last_time, self._levels()))
        return found

    def _apply(self, is_snapshot: bool, side: str, price: float, size: float) -> None:
        if is_snapshot and not self._was_snapshot:
            self._sides = {"buy": {}, "sell": {}}
        self._was_snapshot = is_snapshot
        if size:
            self._sides[side][price] = size
        else:
            self._sides[side].pop(price, None)

    def _levels(self) -> Levels:
        bids = sorted(self._sides["buy"].items(), reverse=True)[:200]
        asks = sorted(self._sides["sell"].items())[:200]
        return Levels(
            *(
                np.array([each[part] for each in side], float)
                for side in (bids, asks)
                for part in (0, 1)
            )
        )
