"""The data that users hand to a bridge, and the rows in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, UnknownChannel, UnknownSymbol, column_hint, shown
from kucoin_research.foundation.arguments import kind_of, name_of, texts
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.source import Source, is_source
from kucoin_research.sessions.loading import load

__all__ = [
    "Data",
    "HeldFrames",
    "channel_names",
    "chosen_symbols",
    "only_symbol",
    "rows_of",
    "source_of",
]

#: What a bridge takes.
Data: TypeAlias = Source | str | Path | pl.DataFrame | Mapping[str, pl.DataFrame]

_CANDLE = {"open", "high", "low", "close"}


class HeldFrames:
    """Frames by channel, read like a session. Nothing is known about gaps in them."""

    name = "the frames"

    def __init__(self, frames: Mapping[str, pl.DataFrame]) -> None:
        self._frames = {parse_channel(name): _checked(name, rows) for name, rows in frames.items()}

    @property
    def channels(self) -> list[str]:
        """The channels, candles with their interval."""
        return [str(channel) for channel in self._frames]

    @property
    def symbols(self) -> list[str]:
        """The symbols, in the order of their first rows."""
        columns = [
            rows["symbol"].cast(pl.String)
            for channel, rows in self._frames.items()
            if channel.name != "status"
        ]
        found = [each for column in columns for each in column.unique(maintain_order=True)]
        return list(dict.fromkeys(each for each in found if each is not None))

    def frame(self, channel: str | None = None, symbol: str | None = None) -> pl.DataFrame:
        """Return a channel's frame, or one symbol's rows of it.

        Raises
        ------
        UnknownChannel
            If it is not there.
        """
        if channel is None and len(self._frames) > 1:
            raise UnknownChannel(f"name one of the channels: {', '.join(self.channels)}")
        wanted = next(iter(self._frames)) if channel is None else parse_channel(channel)
        rows = self._frames.get(wanted)
        if rows is None:
            raise UnknownChannel(
                f"no channel {shown(channel)} in the data; there is: {', '.join(self.channels)}"
            )
        return rows if symbol is None else of_symbol(rows, symbol)


def _checked(name: str, rows: object) -> pl.DataFrame:
    if not isinstance(rows, pl.DataFrame):
        raise InvalidInput(f"the rows of {name!r} must be a polars frame, not {kind_of(rows)}")
    if "symbol" not in rows.columns:
        raise InvalidInput(f"the rows of {name!r} have no column 'symbol', so nobody knows whose")
    return rows


def source_of(data: object, caller: str) -> Source:
    """Return what a user passed as a source of rows.

    Parameters
    ----------
    data
        A session, a stream, a replay, the path of a session, a mapping of channels to frames, or
        one frame of candles, trades or changes of a book.
    caller
        The name of the function in the error.

    Raises
    ------
    InvalidInput
        If it is none of these.
    """
    if is_source(data):
        return data
    if isinstance(data, str | Path):
        return load(data)
    if isinstance(data, Mapping) and data:
        return HeldFrames(data)
    if isinstance(data, pl.DataFrame):
        return HeldFrames({_channel_of(data, caller): data})
    hint = f"; not {kind_of(data)}" if column_hint(data, "price") else f", not {shown(data)}"
    raise InvalidInput(
        f"{caller} takes a session, its path, a stream, a replay, a polars frame, or a mapping "
        f'such as {{"trade": frame}}{hint}'
    )


def _channel_of(rows: pl.DataFrame, caller: str) -> str:
    there = set(rows.columns)
    if there >= _CANDLE:
        return "candle"
    if "is_snapshot" in there:
        return "level2"
    if {"price", "size"} <= there and "best_bid_price" not in there and "order_id" not in there:
        return "trade"
    raise InvalidInput(
        f"{caller} does not know the rows of this frame, with {', '.join(rows.columns)[:200]}; "
        'name their channel: {"depth50": frame}'
    )


def channel_names(source: Source) -> set[str]:
    """Return the plain names of a source's channels; ``status`` only if it can be read."""
    names = {parse_channel(each).name for each in source.channels}
    return names if isinstance(source, HeldFrames) else names | {"status"}


def rows_of(source: Source, channel: Channel | str, symbol: str | None) -> pl.DataFrame:
    """Read one channel's rows, in order of arrival where that is known."""
    rows = source.frame(str(channel), symbol)
    if "local_timestamp" in rows.columns:
        return rows.sort("local_timestamp", maintain_order=True)
    return rows


def of_symbol(rows: pl.DataFrame, symbol: str) -> pl.DataFrame:
    """Return the rows of one symbol."""
    return rows.filter(pl.col("symbol").cast(pl.String) == symbol)


def only_symbol(source: Source, symbol: Any, caller: str) -> str:
    """Return the symbol that a user named, or the only one.

    Raises
    ------
    UnknownSymbol
        If it is not in the data.
    InvalidInput
        If there are several and none was named, or there is none.
    """
    named = name_of(symbol, "symbol")
    there = list(source.symbols)
    if named is None and len(there) == 1:
        return there[0]
    if named is None:
        listed = ", ".join(there[:20]) or "none"
        raise InvalidInput(f"{caller} makes the data of one symbol; name it: symbol= of {listed}")
    _refuse_unknown([named], there)
    return named


def chosen_symbols(source: Source, symbols: str | Iterable[str] | None) -> list[str]:
    """Return the symbols that a user named, or all.

    Raises
    ------
    UnknownSymbol
        If one is not in the data.
    """
    there = list(source.symbols)
    if symbols is None:
        return there
    named = texts(symbols, "symbols")
    _refuse_unknown(named, there)
    return named


def _refuse_unknown(named: Iterable[str], there: list[str]) -> None:
    for symbol in named:
        if symbol not in there:
            listed = ", ".join(there[:20]) or "none"
            raise UnknownSymbol(f"symbol {shown(symbol)} is not in the data; there is: {listed}")
