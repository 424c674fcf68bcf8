"""Frames of pandas that keep what polars frames hold: exact integers, nulls, nanoseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from kucoin_research.bridges.inputs import Data, HeldFrames, of_symbol, source_of
from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import columns_hold, explained, has_columns, name_of
from kucoin_research.model.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_pandas"]

_TIME = pl.Datetime("ns", "UTC")
#: Those that pandas has, too.
_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


@explained("to_pandas")
def to_pandas(data: Data, channel: str | None = None, symbol: str | None = None) -> pd.DataFrame:
    """Make a pandas frame of one channel's rows.

    Parameters
    ----------
    data
        A session, its path, a stream, a replay, a mapping of channels to frames, or any polars
        frame with a column ``timestamp``.
    channel
        Which channel, such as ``"trade"``; may be left out where there is one. A frame has none.
    symbol
        Only this symbol's rows.

    Returns
    -------
    pd.DataFrame
        The rows in their order, one for one, indexed by ``timestamp``: the exchange's time, a
        ``DatetimeIndex`` of ns in UTC, to the nanosecond. It need not ascend, and may repeat. The
        other columns keep their names and order:

        - integers, such as ``sequence``: ``Int64``, exact to 64 bits, ``<NA>`` where null;
        - numbers: ``float64``, NaN where null;
        - times: ``datetime64[ns, UTC]``, ``NaT`` where null; those without a zone are UTC;
        - flags: ``boolean``, ``<NA>`` where null;
        - ``side`` and other labels, such as ``symbol``: ``category``, NaN where null;
        - texts, such as ``trade_id``: ``string``, ``<NA>`` where null;
        - lists, such as the prices of ``depth50``: arrays of numpy, ``None`` where null.

    Raises
    ------
    ColumnMissing
        If a frame has no ``timestamp``.
    InvalidInput
        If ``data`` is nothing of these, ``timestamp`` holds no times, or nanoseconds cannot count
        one.
    UnknownChannel, UnknownSymbol
        If the data has no such channel or symbol.

    Examples
    --------
    >>> kr.to_pandas("data/sample", "trade")["price"].resample("10s").ohlc()
    """
    import pandas as pd

    rows = _rows(data, channel, name_of(symbol, "symbol"))
    has_columns(rows, ("timestamp",), "a pandas frame cannot be indexed")
    columns_hold(rows, times=("timestamp", *rows.select(pl.selectors.datetime()).columns))
    index = pd.DatetimeIndex(_times(rows["timestamp"]), name="timestamp")
    columns = {each.name: _column(each) for each in rows.drop("timestamp").get_columns()}
    found = pd.DataFrame(columns, index=range(rows.height))
    return found.set_index(index)


def _rows(data: Any, channel: str | None, symbol: str | None) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame):
        if channel is not None:
            raise InvalidInput(
                f"a frame has no channels, so channel={shown(channel)} means nothing; leave it out"
            )
        if symbol is None:
            return data
        has_columns(data, ("symbol",), f"rows of {symbol} cannot be chosen")
        return of_symbol(data, symbol)
    source: Source | HeldFrames = source_of(data, "to_pandas")
    return source.frame(channel, symbol)


def _times(column: pl.Series) -> Any:
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pl.Datetime) and kind.time_zone is None:
        column = column.dt.replace_time_zone("UTC")
    in_ns = column.cast(_TIME).to_physical()
    nanoseconds = in_ns.fill_null(pd.NaT.value).to_numpy()  # the integer that pandas has for NaT
    return pd.DatetimeIndex(nanoseconds.astype("datetime64[ns]"), tz="UTC")


def _column(column: pl.Series) -> Any:
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        return _times(column).to_series(index=range(len(column)))
    if kind in _INTEGERS:
        return _masked(column, pd.arrays.IntegerArray)
    if kind == pl.Boolean:
        return _masked(column, pd.arrays.BooleanArray)
    if kind.is_float():
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if isinstance(kind, pl.Enum | pl.Categorical):
        return _categories(column)
    if kind == pl.String:
        return pd.array(column.to_list(), dtype="string")
    if isinstance(kind, pl.List | pl.Array):
        return _objects([None if each is None else each.to_numpy() for each in column])
    return _objects(column.to_list())


def _masked(column: pl.Series, kind: Any) -> Any:
    # From values and mask: by way of a list, or of floats, large integers would be slow or wrong.
    empty = False if column.dtype == pl.Boolean else 0
    values = column.fill_null(empty).to_numpy()
    return kind(values.copy(), column.is_null().to_numpy().copy())


def _categories(column: pl.Series) -> Any:
    import pandas as pd

    kind = column.dtype
    texts = column.cast(pl.String)
    listed = kind.categories if isinstance(kind, pl.Enum) else texts.drop_nulls().unique().sort()
    places = texts.cast(pl.Enum(listed)).to_physical().cast(pl.Int64).fill_null(-1)
    categories = pd.Index(listed.to_list(), dtype=object)
    return pd.Categorical.from_codes(places.to_numpy(), categories=categories)


def _objects(values: list[Any]) -> Any:
    import numpy as np

    found = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):  # by row: numpy would make a table of arrays
        found[row] = value
    return found
