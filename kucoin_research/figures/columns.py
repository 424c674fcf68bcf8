"""Columns of a frame as arrays, and checks that a frame has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.foundation.arguments import has_columns, kind_of

__all__ = [
    "arrivals",
    "best_quotes",
    "events",
    "lags_of",
    "nanoseconds",
    "numbers",
    "one_symbol",
    "require",
    "sides",
    "timed",
]

_SIDES = pl.Enum(["buy", "sell"])
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
        raise InvalidInput(f"{what} takes a polars frame or a stream, not {kind_of(frame)}")
    has_columns(frame, names, f"{what} cannot be drawn")


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
        raise InvalidInput(
            f"no rows of {shown(symbol)} in the frame; it has {', '.join(there[:8])}"
        )
    return frame.filter(pl.col("symbol") == symbol) if len(there) > 1 else frame, symbol


def events(frame: pl.DataFrame) -> Times:
    """Return the event times, ns UTC; where one is missing, the time of arrival stands in.

    That is shifted by the difference of the two clocks in the neighbouring rows: in a simulation
    they may be years apart.
    """
    times = frame["timestamp"]
    if not times.null_count() or "local_timestamp" not in frame.columns:
        return nanoseconds(times)
    known, local = (
        pl.Series(nanoseconds(column)).set(column.is_null(), None)
        for column in (times, frame["local_timestamp"])
    )
    apart = (known - local).fill_null(strategy="forward").fill_null(strategy="backward")
    return known.fill_null(local + apart.fill_null(0)).fill_null(0).to_numpy()


def timed(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out rows without any time: they have no place in a figure over time."""
    known = [name for name in ("timestamp", "local_timestamp") if name in frame.columns]
    if "timestamp" not in known or not frame["timestamp"].null_count():
        return frame
    return frame.filter(pl.any_horizontal(pl.col(known).is_not_null()))


def arrivals(frame: pl.DataFrame) -> Times:
    """Return the arrival times, ns UTC; the event times where the frame has none."""
    if "local_timestamp" not in frame.columns or frame["local_timestamp"].null_count():
        return events(frame)
    return nanoseconds(frame["local_timestamp"])


def lags_of(frame: pl.DataFrame) -> Floats:
    """Return arrival less event time in ms; NaN where one of them is missing."""
    event, local = frame["timestamp"], frame["local_timestamp"]
    lags: Floats = (nanoseconds(local) - nanoseconds(event)) / 1e6
    if event.null_count() or local.null_count():
        lags[(event.is_null() | local.is_null()).to_numpy()] = np.nan
    return lags


# The functions below run at each refresh on a few hundred rows. They use methods of polars columns
# rather than expressions: even a small expression is planned and handed to a thread pool.


def nanoseconds(times: pl.Series) -> Times:
    """Return a column of times as ns UTC; 0 where one is missing.

    Raises
    ------
    InvalidInput
        If the column holds no times.
    """
    if not isinstance(times.dtype, pl.Datetime):
        raise InvalidInput(f"column {times.name!r} must hold times, not {times.dtype}")
    if times.dtype.time_unit != "ns":
        times = times.dt.cast_time_unit("ns")
    if times.null_count():
        times = times.to_physical().fill_null(0)
    return times.to_physical().to_numpy()


def numbers(frame: pl.DataFrame, name: str) -> Floats:
    """Return a column as floats; missing values are NaN."""
    column = frame[name]
    if column.dtype != pl.Float64:
        column = column.cast(pl.Float64)
    return column.to_numpy()


def sides(frame: pl.DataFrame) -> Floats:
    """Return +1 for buy, -1 for sell, 0 where the taker's side is not known."""
    column = frame["side"]
    if column.dtype != _SIDES:
        column = column.cast(pl.String).cast(_SIDES, strict=False)
    codes = column.to_physical().to_numpy()  # 0 for buy, 1 for sell; NaN where it is missing
    return np.nan_to_num(1.0 - 2.0 * codes)


def best_quotes(frame: pl.DataFrame) -> tuple[Floats, Floats, Floats, Floats]:
    """Return best bid price and size, best ask price and size, from rows of any such channel."""
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
