"""Indicators of charts: SMA, EMA, ATR and RSI as expressions, and VWAP with its bands.

All are null until they have enough rows: no value is made up at the start. They are of rows, in the
order of time: an interval without trades has no candle and is not counted. Nothing is computed
across a row without a value, nor across a gap that ``breaks`` marks: behind it each starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.foundation.arguments import (
    columns_hold,
    count,
    explained,
    has_columns,
    positive,
)
from kucoin_research.frames.bar_cuts import floor_to, named_interval
from kucoin_research.frames.moving_values import (
    Booleans,
    Floats,
    average_true_range,
    deviating_vwap,
    exponential_average,
    moving_average,
    relative_strength,
)
from kucoin_research.frames.trade_rows import check_tickers, check_trades
from kucoin_research.frames.windows import Values, numbers, values_of
from kucoin_research.model.intervals import Length

__all__ = ["atr", "ema", "rsi", "sma", "vwap_bands"]

_BANDS = ("vwap", "vwap_deviation", "vwap_lower", "vwap_upper")
_BREAKS = "_breaks"

#: A function of arrays: one for each value, then the rows at which it starts anew.
_Moving: TypeAlias = Callable[..., Floats]


@explained("sma")
def sma(window: int, *, price: Values = "close", breaks: Values | None = None) -> pl.Expr:
    """Compute the simple moving average of the newest rows.

    ``sum(price) / window`` (TA-Lib's SMA, https://ta-lib.org/functions/, read 2026-11-30).

    Parameters
    ----------
    window
        Number of rows.
    price
        The name of a column, or an expression.
    breaks
        True in rows with a gap before them, such as
        ``pl.col("timestamp").diff() > pl.duration(minutes=1)``: a column's name or an expression.

    Returns
    -------
    pl.Expr
        ``sma``; null until the window is full.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or a value is neither a name nor an expression.

    Examples
    --------
    >>> candles.with_columns(kr.analytics.sma(20).over("symbol"))
    """
    return _moving("sma", moving_average, window, {"price": price}, breaks)


@explained("ema")
def ema(window: int, *, price: Values = "close", breaks: Values | None = None) -> pl.Expr:
    """Compute the exponential moving average, which starts as the plain average of a full window.

    ``ema = a * price + (1 - a) * ema_before`` with ``a = 2 / (window + 1)`` (TA-Lib's EMA,
    https://ta-lib.org/functions/, read 2026-11-30).

    Parameters
    ----------
    window
        Number of rows. Older ones still count, by less and less.
    price, breaks
        As for ``sma``.

    Returns
    -------
    pl.Expr
        ``ema``; null until there are ``window`` rows.

    Raises
    ------
    InvalidInput
        As for ``sma``.
    """
    return _moving("ema", exponential_average, window, {"price": price}, breaks)


@explained("atr")
def atr(
    window: int = 14,
    *,
    high: Values = "high",
    low: Values = "low",
    close: Values = "close",
    breaks: Values | None = None,
) -> pl.Expr:
    """Compute the average true range (Wilder, New Concepts in Technical Trading Systems, 1978).

    The true range is ``max(high, close_before) - min(low, close_before)``. Its average starts as
    the plain one of the first ``window`` ranges; then ``atr = (atr_before * (window - 1) + range) /
    window``. The first row has no close before it, hence no range.

    Parameters
    ----------
    window
        Number of ranges.
    high, low, close
        Of candles: the names of columns, or expressions.
    breaks
        As for ``sma``.

    Returns
    -------
    pl.Expr
        ``atr``, in the currency of the prices; null in the first ``window`` rows.

    Raises
    ------
    InvalidInput
        As for ``sma``.
    """
    columns = {"high": high, "low": low, "close": close}
    return _moving("atr", average_true_range, window, columns, breaks)


@explained("rsi")
def rsi(window: int = 14, *, price: Values = "close", breaks: Values | None = None) -> pl.Expr:
    """Compute the relative strength index (Wilder, New Concepts in Technical Trading, 1978).

    ``100 * gain / (gain + loss)``, where ``gain`` and ``loss`` are the averages of the rises and
    the falls from row to row, made as in ``atr``.

    Parameters
    ----------
    window
        Number of changes.
    price, breaks
        As for ``sma``.

    Returns
    -------
    pl.Expr
        ``rsi``, from 0 to 100; null in the first ``window`` rows, and while the price has not
        changed at all.

    Raises
    ------
    InvalidInput
        As for ``sma``.
    """
    return _moving("rsi", relative_strength, window, {"price": price}, breaks)


def _moving(
    name: str,
    function: _Moving,
    window: int,
    columns: dict[str, Values],
    breaks: Values | None,
) -> pl.Expr:
    rows = count(window, "window", "rows")
    values = pl.struct(
        *(numbers(each, argument).alias(argument) for argument, each in columns.items()),
        _breaks_of(breaks),
    )

    def compute(found: pl.Series) -> pl.Series:
        made = function(*(_array(found, each) for each in columns), rows, _begins(found))
        return pl.Series(name, made, nan_to_null=True)

    return values.map_batches(compute, return_dtype=pl.Float64()).alias(name)


def _breaks_of(breaks: Values | None) -> pl.Expr:
    found = pl.lit(value=False) if breaks is None else values_of(breaks, "breaks")
    return found.cast(pl.Boolean).fill_null(value=False).alias(_BREAKS)


def _array(found: pl.Series, name: str) -> Floats:
    return found.struct.field(name).to_numpy()  # NaN where it is null


def _begins(found: pl.Series) -> Booleans:
    return found.struct.field(_BREAKS).to_numpy()


@explained("vwap_bands")
def vwap_bands(
    rows: pl.DataFrame,
    *,
    session: Length = "1d",
    window: int | None = None,
    deviations: float = 1.0,
    price: Values | None = None,
    size: Values | None = None,
    breaks: Values | None = None,
) -> pl.DataFrame:
    """Add the volume-weighted average price of a session or a window, and bands around it.

    ``vwap = sum(price * size) / sum(size)`` over the rows so far of the session, or over the newest
    ``window`` rows. The deviation is that of the prices, by size: ``sqrt(sum(size * (price -
    vwap)**2) / sum(size))``. (Berkowitz, Logue and Noser, 1988, for the average.)

    Parameters
    ----------
    rows
        Trades, or candles, of any symbols, each symbol's in the order of time. Needs ``timestamp``
        (ns, UTC).
    session
        Length of a session, such as ``"1d"`` or ``"8h"``, which starts on round times in UTC; weeks
        on Monday. The first one of the frame counts from its first row.
    window
        Number of rows, instead of a session.
    deviations
        Distance of the bands from the average, in standard deviations.
    price, size
        The names of columns, or expressions. Left out: ``price`` and ``size`` of trades;
        ``(high + low + close) / 3`` and ``volume`` of candles.
    breaks
        As for ``sma``.

    Returns
    -------
    pl.DataFrame
        ``rows`` with ``vwap``, ``vwap_deviation``, ``vwap_lower`` and ``vwap_upper``, in the
        currency of the prices. Null until a window is full, and while nothing was traded.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If an argument is invalid, or the rows are not trades but tickers, which skip trades, or
        orders or changes of a book. If they have a column of the same name already.

    Examples
    --------
    >>> vwap_bands(trades, session="8h", deviations=2).columns[-2:]
    ['vwap_lower', 'vwap_upper']
    """
    least = None if window is None else count(window, "window", "rows")
    width = positive(deviations, "deviations", "a number of standard deviations")
    values = _priced(rows, price, size)
    is_new = _breaks_of(breaks)
    if least is None:
        opened = floor_to(named_interval(session)[1])
        is_new = (is_new | (opened != opened.shift(1)).fill_null(value=False)).alias(_BREAKS)
    made = pl.struct(*values, is_new).map_batches(
        partial(_bands, least, width),
        return_dtype=pl.Struct(dict.fromkeys(_BANDS, pl.Float64())),
    )
    made = made.over("symbol") if "symbol" in rows.columns else made
    return rows.with_columns(made.alias("_bands")).unnest("_bands")


def _priced(rows: pl.DataFrame, price: Values | None, size: Values | None) -> list[pl.Expr]:
    has_columns(rows, ("timestamp",), "a vwap cannot be computed")
    columns_hold(rows, times=("timestamp",))
    taken = next((each for each in _BANDS if each in rows.columns), None)
    if taken is not None:
        raise InvalidInput(f"the rows have a column {taken!r} already; drop it first")
    is_of_trades = "price" in rows.columns
    if price is None:
        needed = ("price",) if is_of_trades else ("high", "low", "close")
        has_columns(rows, needed, "a vwap cannot be computed")
        price = pl.sum_horizontal(needed, ignore_nulls=False) / len(needed)
    if size is None:
        size = "size" if is_of_trades else "volume"
        has_columns(rows, (size,), "a vwap cannot be computed")
        check_tickers(rows, "a vwap")
        check_trades(rows, "a vwap")
    return [numbers(price, "price").alias("price"), numbers(size, "size").alias("size")]


def _bands(window: int | None, width: float, found: pl.Series) -> pl.Series:
    price, size = _array(found, "price"), _array(found, "size")
    vwap, deviation = deviating_vwap(price, size, window, _begins(found))
    columns = (vwap, deviation, vwap - width * deviation, vwap + width * deviation)
    made = pl.DataFrame(
        {name: np.asarray(each) for name, each in zip(_BANDS, columns, strict=True)},
        nan_to_null=True,
    )
    return made.to_struct("_bands")
