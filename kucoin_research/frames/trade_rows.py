"""The rows that bars and measures are made of: checked, whole and in order of time."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.foundation.arguments import columns_hold, has_columns
from kucoin_research.model.records import Candle, Ticker, Trade, schema_of

__all__ = ["BAR_SCHEMA", "check_tickers", "check_trades", "in_order", "valid_trades", "whole_rows"]

#: Columns of a bar: those of a candle that did not arrive.
BAR_SCHEMA = pl.Schema(
    {name: kind for name, kind in schema_of(Candle).items() if name != "local_timestamp"}
)
_NEEDED = ("timestamp", "symbol", "price", "size")
# Columns of tickers that trades lack: by these, rows of tickers are recognised and refused.
_TICKERS = set(schema_of(Ticker)) - set(schema_of(Trade))
_NO_TRADES = (("is_snapshot", "level2", "changes of a book"), ("order_type", "order", "orders"))


def valid_trades(trades: pl.DataFrame, what: str, *, also: Sequence[str] = ()) -> pl.DataFrame:
    """Select the columns and rows of trades that bars need, in order; refuse other rows.

    The columns named in ``also`` are needed and kept, too, but may have missing values.
    """
    has_columns(trades, (*_NEEDED, *also), f"{what} of trades cannot be made")
    times = [name for name in also if name.endswith("timestamp")]
    columns_hold(trades, times=[*_NEEDED[:1], *times], words=_NEEDED[1:2], numbers=_NEEDED[2:])
    check_tickers(trades, what)
    check_trades(trades, what)
    return in_order(whole_rows(trades, _NEEDED, also=also).filter(pl.col("size") > 0))


def check_tickers(rows: pl.DataFrame, what: str) -> None:
    """Check by their columns that rows are not tickers.

    Raises
    ------
    InvalidInput
        If they are; ``what`` is the subject of the message.
    """
    if not _TICKERS.isdisjoint(rows.columns):
        raise InvalidInput(
            f"{what} of tickers would lack volume, since tickers skip trades; stream the channel "
            "'trade', or make bars of the mid with kr.mid_bars"
        )


def check_trades(rows: pl.DataFrame, what: str) -> None:
    """Check that rows with a price and a size are neither changes of a book nor orders.

    Raises
    ------
    InvalidInput
        If they are; ``what`` is the subject of the message.
    """
    for sign, channel, are in _NO_TRADES:
        if sign in rows.columns:
            raise InvalidInput(
                f"{what} cannot be made of rows of {channel!r}, which are {are} and no trades; "
                "take rows of the channel 'trade'"
            )


def whole_rows(
    frame: pl.DataFrame, names: Sequence[str], *, also: Sequence[str] = ()
) -> pl.DataFrame:
    """Select columns (a time, a symbol, then numbers) and the rows in which all have values.

    The columns named in ``also`` are kept as they are.
    """
    when, symbol, *numbers = names
    rows = frame.select(
        pl.col(when) if frame.schema[when] != pl.Null else pl.col(when).cast(BAR_SCHEMA[when]),
        symbol,
        pl.col(numbers).cast(pl.Float64),
        *also,
    )
    return rows.drop_nulls(names).filter(pl.all_horizontal(pl.col(numbers).is_finite()))


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Sort by symbol in the order of their first rows; within a symbol by time, then by row."""
    numbered = rows.with_row_index("row")
    first = pl.col("row").min().over("symbol").alias("first")
    return numbered.with_columns(first).sort("first", "timestamp", "row").drop("first", "row")
