"""Columns of a frame as arrays, after a look at whether it is the right frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from kucoin_research.errors import ColumnMissing, InvalidInput
from kucoin_research.figures.zone import Floats, Times

__all__ = ["arrivals", "best_quotes", "events", "numbers", "one_symbol", "require", "sides"]

_TOUCH = ("best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size")
_DEPTH5 = ("bid_price_1", "bid_size_1", "ask_price_1", "ask_size_1")
_DEPTH50 = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")


def require(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Check that a frame has the columns that a figure needs.

    Raises
    ------
    InvalidInput
        If it is no polars frame.
    ColumnMissing
        If a column is absent; the message lists those present.
    """
    if not isinstance(frame, pl.DataFrame):
        raise InvalidInput(f"{what} takes a polars frame or a stream, not {type(frame).__name__}")
    missing = [name for name in names if name not in frame.columns]
    if missing:
        there = ", ".join(map(repr, frame.columns)) or "no columns"
        raise ColumnMissing(
            f"{what} cannot be drawn without {', '.join(map(repr, missing))}; the frame has {there}"
        )


def one_symbol(frame: pl.DataFrame, symbol: str | None, what: str) -> tuple[pl.DataFrame, str]:
    """Keep the rows of one symbol; returns them with its name.

    Raises
    ------
    InvalidInput
        If several symbols are in the frame and none is named, or the one named is not there.
    """
    if "symbol" not in frame.columns or (symbol is None and not frame.height):
        return frame, symbol or ""
    there = frame["symbol"].unique(maintain_order=True).drop_nulls().cast(pl.String).to_list()
    if symbol is None:
        if len(there) > 1:
            raise InvalidInput(
                f"{what} shows one symbol; name one with symbol=: {', '.join(there[:8])}"
            )
        return frame, there[0] if there else ""
    if frame.height and symbol not in there:
        raise InvalidInput(f"no rows of {symbol!r} in the frame; it has {', '.join(there[:8])}")
    return frame.filter(pl.col("symbol") == symbol) if len(there) > 1 else frame, symbol


def events(frame: pl.DataFrame) -> Times:
    """Give the event times, ns UTC; arrival stands in where the exchange sent none."""
    times = frame["timestamp"]
    if times.null_count() and "local_timestamp" in frame.columns:
        times = frame.select(pl.coalesce("timestamp", "local_timestamp")).to_series()
    return _nanoseconds(times)


def arrivals(frame: pl.DataFrame) -> Times:
    """Give the arrival times, ns UTC; those of the events where the frame has none."""
    if "local_timestamp" not in frame.columns or frame["local_timestamp"].null_count():
        return events(frame)
    return _nanoseconds(frame["local_timestamp"])


def _nanoseconds(times: pl.Series) -> Times:
    if not isinstance(times.dtype, pl.Datetime):
        raise InvalidInput(f"column {times.name!r} must hold times, not {times.dtype}")
    return times.dt.cast_time_unit("ns").to_physical().fill_null(0).to_numpy()


def numbers(frame: pl.DataFrame, name: str) -> Floats:
    """Give a column as floats; missing values are NaN."""
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def sides(frame: pl.DataFrame) -> Floats:
    """Give +1 for buy, -1 for sell, 0 where the taker's side is not known."""
    text = frame["side"].cast(pl.String)
    return (
        ((text == "buy").cast(pl.Int8) - (text == "sell").cast(pl.Int8))
        .fill_null(0)
        .cast(pl.Float64)
        .to_numpy()
    )


def best_quotes(frame: pl.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """Give best bid price and size, best ask price and size of any channel that has them."""
    if _TOUCH[0] in frame.columns:
        bid, bid_size, ask, ask_size = (numbers(frame, name) for name in _TOUCH)
    elif _DEPTH5[0] in frame.columns:
        bid, bid_size, ask, ask_size = (numbers(frame, name) for name in _DEPTH5)
    else:
        best = frame.select(
            pl.col(name).list.get(0, null_on_oob=True).alias(name) for name in _DEPTH50
        )
        bid, bid_size, ask, ask_size = (numbers(best, name) for name in _DEPTH50)
    return bid, bid_size, ask, ask_size


def has_quotes(frame: pl.DataFrame) -> bool:
    """Whether best bid and ask with their sizes can be had of a frame."""
    return any(set(names) <= set(frame.columns) for names in (_TOUCH, _DEPTH5, _DEPTH50))


def empty_int() -> Times:
    """Give no times."""
    return np.empty(0, np.int64)
