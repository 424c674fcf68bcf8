"""The data that users hand to figures: which channels and columns serve which chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from kucoin_research.errors import InvalidInput, KucoinResearchError, UnknownChannel, shown
from kucoin_research.figures.book_charts import DepthChart, LadderChart
from kucoin_research.figures.book_levels import BOOK_FORMS
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Chart, TimeChart
from kucoin_research.figures.columns import require
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.lag_chart import LagChart
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart
from kucoin_research.figures.tail import pick_channel
from kucoin_research.foundation.arguments import (
    columns_hold,
    kind_of,
)
from kucoin_research.frames.trade_rows import check_tickers, check_trades
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.source import Source, is_source

__all__ = ["Drawable", "channels_for", "channels_of_kind", "frames_of"]

#: The data that a figure takes: a stream, a replay, a session, an order book or a frame of rows.
Drawable = Source | OrderBook | pl.DataFrame

_TOUCHES = (
    ("best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size"),
    ("bid_price_1", "bid_size_1", "ask_price_1", "ask_size_1"),
    ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes"),
)
_TIMES = ("timestamp",)
_TRADE = (*_TIMES, "price", "size", "side")
_OHLC = (*_TIMES, "open", "high", "low", "close")  # no volume: bars of the mid have none
_FIVE = range(1, 6)
_NUMBERS = (
    *("price", "size", "open", "high", "low", "close", "volume", "turnover"),
    *("mark_price", "index_price", "funding_rate", *_TOUCHES[0]),
    *("bid_price", "bid_size", "ask_price", "ask_size"),
    *(f"{side}_{what}_{n}" for side in ("bid", "ask") for what in ("price", "size") for n in _FIVE),
)


def channels_for(
    kind: type[Chart], source: Source, every: str | None = None, symbol: str = ""
) -> dict[str, str]:
    """Choose the channel of a source for each role of a chart, of a symbol if one is named.

    Raises
    ------
    UnknownChannel
        If the source has no channel for a role that the chart needs; the message names those that
        would do.
    """
    found = {role.name: pick_channel(source, role, every, symbol) for role in kind.roles}
    there = {role: channel for role, channel in found.items() if channel is not None}
    lacking = next((r for r in kind.roles if r.is_needed and r.name not in there), None)
    if lacking is not None or not there:
        role = lacking or kind.roles[0]
        raise UnknownChannel(
            f"this figure needs one of the channels {', '.join(role.channels)}, "
            "and the source has none of them"
        )
    return there


# The columns that rows may have, by role: the first set that fits is taken.
_COLUMNS: dict[tuple[type[Chart], str], tuple[tuple[str, ...], ...]] = {
    (PriceChart, "quotes"): _TOUCHES,
    (PriceChart, "trades"): (_TRADE,),
    (SpreadChart, "quotes"): _TOUCHES,
    (CandleChart, "candles"): (_OHLC, _TRADE[:3]),
    (MarkChart, "mark"): ((*_TIMES, "mark_price", "index_price"),),
    (MarkChart, "funding"): ((*_TIMES, "funding_rate"),),
    (FlowChart, "trades"): (_TRADE,),
    (LagChart, "rows"): ((*_TIMES, "local_timestamp"),),
    (DepthChart, "book"): BOOK_FORMS,
    (LadderChart, "book"): BOOK_FORMS,
    (HeatChart, "book"): BOOK_FORMS[1:],  # the first has no time
}


def channels_of_kind(kind: type[Chart]) -> list[str]:
    """List the channels of all roles of a chart."""
    return [channel for role in kind.roles for channel in role.channels]


def frames_of(
    kind: type[Chart],
    what: str,
    source: Drawable,
    *,
    symbol: str | None,
    extra: Mapping[str, pl.DataFrame],
    status: pl.DataFrame | None,
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame | None]:
    """Take the rows of a static figure from a frame, a session or a book, and check their columns.

    Parameters
    ----------
    kind, what
        The chart, and its name in errors.
    source, symbol, status
        As the user has passed them.
    extra
        Further frames that the user has passed, by role.

    Returns
    -------
    dict, pl.DataFrame or None
        The rows by role, and the rows of the ``status`` channel where there are any.

    Raises
    ------
    ColumnMissing, InvalidInput, UnknownChannel
        If the figure cannot be drawn of them.
    """
    if isinstance(source, pl.DataFrame):
        frames = {**_by_role(kind, source, extra), **extra}
    elif is_source(source):  # a session
        channels = channels_for(kind, source)
        frames = {role: source.frame(channel, symbol) for role, channel in channels.items()}
        status = status if status is not None else _status_of(source)
    elif isinstance(source, OrderBook):
        if symbol not in (None, source.symbol):
            raise InvalidInput(
                f"this is the book of {shown(source.symbol)}, and not of {shown(symbol)}"
            )
        frames = {"book": source.depth()}
    else:
        raise InvalidInput(f"{what} takes a polars frame or a stream, not {kind_of(source)}")
    for role, frame in frames.items():
        _check(kind, what, role, frame)
    return frames, status


def _status_of(session: Source) -> pl.DataFrame | None:
    try:
        return session.frame("status")
    except (KucoinResearchError, KeyError):
        return None


def _by_role(
    kind: type[Chart], frame: pl.DataFrame, extra: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    # The price figure takes both quotes and trades from tickers.
    if kind is not PriceChart:
        return {kind.roles[0].name: frame}
    there = set(frame.columns)
    found = {}
    if any(set(names) <= there for names in _TOUCHES):
        found["quotes"] = frame
    if set(_TRADE) <= there and "trades" not in extra:
        found["trades"] = frame
    return found or {"quotes": frame}


def _check(kind: type[Chart], what: str, role: str, frame: pl.DataFrame) -> None:
    require(frame, (), what)
    columns_hold(frame, times=(*_TIMES, "local_timestamp"), numbers=_NUMBERS)
    there = set(frame.columns)
    # The first form that fits; else the one that lacks the fewest columns, for the message.
    form = min(_COLUMNS[kind, role], key=lambda names: len(set(names) - there))
    needed = (*_TIMES, *form) if issubclass(kind, TimeChart) else form
    channels = next(each.channels for each in kind.roles if each.name == role)
    require(frame, tuple(dict.fromkeys(needed)), f"{what} (of rows of {_listed(channels)})")
    if set(form) <= set(_TRADE):
        _check_trades(kind, what, frame)


def _listed(names: Sequence[str]) -> str:
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def _check_trades(kind: type[Chart], what: str, frame: pl.DataFrame) -> None:
    # The price figure may show the last trades of tickers, since it does not add them up.
    if kind is not PriceChart:
        check_tickers(frame, what)
    check_trades(frame, what)
