"""Candles as backtesting.py and vectorbt take them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from kucoin_research.bridges.candle_rows import ClosedCandles, closed_candles
from kucoin_research.bridges.inputs import Data, chosen_symbols, only_symbol, source_of
from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import explained
from kucoin_research.model.intervals import Interval, Length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_backtesting", "to_vectorbt"]

_COLUMNS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
#: A grid beyond this has wrong times in it; a year of seconds has 31,536,000 rows.
_MOST_ROWS = 50_000_000


@explained("to_backtesting")
def to_backtesting(
    data: Data, every: Length | None = None, symbol: str | None = None
) -> pd.DataFrame:
    """Make the candles of one symbol for ``backtesting.Backtest``.

    Parameters
    ----------
    data
        A session, its path, a stream, a replay, a frame of candles (as ``kr.candles`` or
        ``kr.ohlcv`` make them) or of trades, or a mapping of channels to frames.
    every
        ``None``: the candles of the exchange that ``data`` holds, or where there are none, candles
        of one minute of its trades. An interval (``"5min"``): made of the trades, or where there
        are none, the exchange's candles of that interval.
    symbol
        May be left out where there is one.

    Returns
    -------
    pd.DataFrame
        Columns ``Open``, ``High``, ``Low``, ``Close`` (quote currency) and ``Volume`` (contracts on
        futures, base coins on spot), ``float64``, without NaN in the prices. The index
        ``timestamp`` is a ``DatetimeIndex`` of ns in UTC (backtesting.py takes one with a time
        zone), unique and ascending: each candle's *open* time. A strategy of backtesting.py sees a
        candle when it is over, and its orders execute at the next row's open.

        Only closed candles: the last state of each, once a later candle has begun; of a plain
        frame also candles that arrived (``local_timestamp``) after their end. Of candles made of
        trades, the first and the last are left out, since other trades may belong to them.

        Intervals without trades are absent, as in KuCoin's candles. Nothing is made up in a gap of
        the recording, or between sessions that were loaded together: a candle that lacks rows is
        left out, and ``IncompleteData`` warns. Whether a plain frame lacks rows is not known.

    Raises
    ------
    UnknownChannel, UnknownSymbol
        If the data has neither candles of that interval nor trades, or no such symbol.
    InvalidInput
        If ``data`` or ``every`` cannot mean anything, several symbols or intervals are there and
        none was named, or there is no closed candle.
    ColumnMissing
        If a frame lacks a needed column.

    Notes
    -----
    The engine knows one unit of the base coin and its price: it has no contract multiplier, no
    inverse contracts, no funding and no liquidation (it stops at an equity of 0), so fees and
    profits of futures are those of coins. Its sizes are whole units; ``FractionalBacktest`` of
    ``backtesting.lib`` trades parts of a coin.

    Examples
    --------
    >>> Backtest(kr.to_backtesting(kr.candles("XBTUSDTM", "1hour")), MyStrategy, cash=1_000_000)
    """
    source = source_of(data, "to_backtesting")
    name = only_symbol(source, symbol, "to_backtesting")
    candles = closed_candles(source, name, every, "to_backtesting")
    _refuse_none(candles, name, "to_backtesting")
    return _in_pandas(candles.rows)


@explained("to_vectorbt")
def to_vectorbt(
    data: Data, every: Length | None = None, symbols: str | Iterable[str] | None = None
) -> pd.DataFrame:
    """Make candles for vectorbt, on a grid of times with its ``freq``.

    Parameters
    ----------
    data, every
        As for ``to_backtesting``.
    symbols
        One or several; all when left out.

    Returns
    -------
    pd.DataFrame
        Of one symbol: columns ``Open``, ``High``, ``Low``, ``Close``, ``Volume``. Of several: two
        levels of columns, these names and below them ``symbol``, so that ``frame["Close"]`` is
        wide. Either way ``vbt.Portfolio.from_signals(frame["Close"], …)`` takes it directly. Units
        and the choice of candles are those of ``to_backtesting``.

        The index ``timestamp`` has the candles' open times, ns in UTC, each ``every`` from the
        first to the last, with ``freq`` set: without it vectorbt leaves out the Sharpe ratio. An
        interval without trades has the last close as its prices, and volume 0. Where the recording
        has a gap, and before the first and behind the last candle of a symbol, there is NaN:
        vectorbt trades nothing there, and values a position at the last price. So it is with every
        interval that a plain frame lacks, since nothing shows why.

    Raises
    ------
    UnknownChannel, UnknownSymbol, ColumnMissing
        As ``to_backtesting`` does.
    InvalidInput
        As ``to_backtesting`` does, and if ``every`` is of months, whose lengths differ.

    Notes
    -----
    By default, vectorbt fills an order at the close of the very candle that gave the signal. Shift
    the signals by one row (``entries.vbt.fshift(1)``), or trade at ``price=frame["Open"]`` with
    shifted signals. It has no contract multiplier, no inverse contracts, no funding and no
    liquidation.

    Examples
    --------
    >>> close = kr.to_vectorbt("data/sample", "1s")["Close"]
    >>> vbt.Portfolio.from_signals(close, close > close.shift(1), close < close.shift(1))
    """
    source = source_of(data, "to_vectorbt")
    names = chosen_symbols(source, symbols)
    if not names:
        raise InvalidInput("to_vectorbt: there are no rows of any symbol in the data")
    found = {name: closed_candles(source, name, every, "to_vectorbt") for name in names}
    for name, candles in found.items():
        _refuse_none(candles, name, "to_vectorbt")
    interval = _only_interval(found)
    grid = _grid(list(found.values()), interval)
    wide = {name: _in_pandas(_on_grid(candles, grid)) for name, candles in found.items()}
    return _side_by_side(wide, interval)


def _refuse_none(candles: ClosedCandles, symbol: str, caller: str) -> None:
    if candles.rows.is_empty():
        raise InvalidInput(
            f"{caller}: the data has no closed candle of {candles.interval.name} of {symbol}; name "
            "a shorter interval, every=, or record for longer"
        )


def _in_pandas(rows: pl.DataFrame) -> pd.DataFrame:
    import pandas as pd

    times = rows["timestamp"].to_physical().to_numpy().astype("datetime64[ns]")
    index = pd.DatetimeIndex(times, tz="UTC", name="timestamp")
    columns = {
        title: rows[name].fill_null(float("nan")).to_numpy().copy()
        for name, title in _COLUMNS.items()
    }
    return pd.DataFrame(columns, index=index)


# -- a grid of times -------------------------------------------------------------------------------


def _only_interval(found: dict[str, ClosedCandles]) -> Interval:
    intervals = dict.fromkeys(each.interval for each in found.values())
    if len(intervals) > 1:
        listed = ", ".join(each.name for each in intervals)
        raise InvalidInput(f"to_vectorbt: the symbols have candles of {listed}; name every=")
    interval = next(iter(intervals))
    if interval.ns is None:
        raise InvalidInput(
            f"to_vectorbt cannot make a grid of {interval.name}: months differ in length, and "
            "vectorbt computes with one length; take days or weeks"
        )
    return interval


def _grid(found: Sequence[ClosedCandles], interval: Interval) -> pl.Series:
    opens = pl.concat([each.rows["timestamp"] for each in found]).to_physical()
    length = interval.ns
    first, last = opens.min(), opens.max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    assert length is not None
    if (odd := opens.filter((opens - first) % length != 0)).len():
        when = odd.cast(pl.Datetime("ns", "UTC"))[0]
        raise InvalidInput(
            f"to_vectorbt: a candle begins at {shown(str(when))}, which is no multiple of "
            f"{interval.name} behind the first one"
        )
    if (last - first) // length >= _MOST_ROWS:
        raise InvalidInput(
            f"to_vectorbt would make {(last - first) // length + 1:,} rows of {interval.name}; "
            "take a longer interval, or a shorter time"
        )
    times = pl.int_range(first, last + 1, length, eager=True, dtype=pl.Int64)
    return times.cast(pl.Datetime("ns", "UTC")).alias("timestamp")


def _on_grid(candles: ClosedCandles, grid: pl.Series) -> pl.DataFrame:
    """Place candles on a grid; where it is known that nothing was traded, the last price holds."""
    rows = grid.to_frame().join(candles.rows, on="timestamp", how="left", maintain_order="left")
    time = pl.col("timestamp").to_physical()
    stretch = pl.lit(None, pl.Int64)
    for number, quiet in enumerate(candles.quiet):
        stretch = pl.when(time.is_between(quiet.first, quiet.last)).then(number).otherwise(stretch)
    held = pl.col("close").forward_fill().over("stretch")
    is_quiet = pl.col("stretch").is_not_null() & pl.col("close").is_null() & held.is_not_null()
    return (
        rows.with_columns(stretch=stretch)
        .with_columns(is_quiet=is_quiet, held=held)
        .with_columns(
            *(
                pl.when("is_quiet").then("held").otherwise(name).alias(name)
                for name in ("open", "high", "low", "close")
            ),
            pl.when("is_quiet").then(0.0).otherwise("volume").alias("volume"),
        )
        .select("timestamp", *_COLUMNS)
    )


def _side_by_side(wide: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    import pandas as pd
    from pandas.tseries.frequencies import to_offset

    if len(wide) == 1:
        found = next(iter(wide.values()))
    else:
        found = pd.concat(wide, axis=1).swaplevel(axis=1)
        pairs = [(title, name) for title in _COLUMNS.values() for name in wide]
        found = found[pairs]
        found.columns = found.columns.set_names("symbol", level=1)
    index = found.index
    assert isinstance(index, pd.DatetimeIndex)
    found.index = pd.DatetimeIndex(index, freq=to_offset(pd.Timedelta(interval.ns or 0, unit="ns")))
    return found
