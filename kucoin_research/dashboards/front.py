"""``kr.dashboard``: a dashboard of a symbol, a running stream, a replay or a recorded session.

>>> import kucoin_research as kr
>>> kr.dashboard("XBTUSDTM")                # press Start
>>> kr.dashboard(["XBTUSDTM", "ETHUSDTM", "BTC-USDT"])   # with a watch list
>>> kr.dashboard(stream)                    # of a stream that runs
>>> kr.dashboard(kr.load("data/sessions/…"))   # with a replay bar
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kucoin_research.api.checks import find_venue
from kucoin_research.dashboards.controls import DEFAULT_SYMBOLS, INTERVALS, WINDOWS
from kucoin_research.dashboards.notebook_dashboard import Dashboard, next_number
from kucoin_research.dashboards.stream_starter import opened
from kucoin_research.dashboards.watchlist import MOST_PINS
from kucoin_research.errors import InvalidInput, shown
from kucoin_research.exchange.topics import feed_of
from kucoin_research.exchange.venues import Venue
from kucoin_research.figures.indicator import Indicators, indicators_of
from kucoin_research.figures.redraws import redraws_per_second
from kucoin_research.figures.tail import pick_symbol
from kucoin_research.figures.time_axis import Zone
from kucoin_research.foundation.arguments import (
    MOST_ROWS,
    count,
    folder_to_write,
    name_of,
    texts,
    truth,
)
from kucoin_research.model.channels import market_of, parse_channel
from kucoin_research.model.source import LiveSource, Source, is_live
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.strategy.options import Strategy, check_strategy
from kucoin_research.strategy.paper import PaperTrading

__all__ = ["dashboard"]

_CHANNELS = ("ticker", "trade", "depth50")


def dashboard(
    source: str | Sequence[str] | os.PathLike[str] | Source | PaperTrading | None = None,
    *,
    venue: Venue | str | None = None,
    market: str | None = None,
    channels: str | Sequence[str] = _CHANNELS,
    symbol: str | None = None,
    interval: str = "auto",
    window: str = "5 min",
    indicators: Indicators = None,
    root: str | os.PathLike[str] = "data/sessions",
    tz: str = "UTC",
    start: bool = False,
    capacity: int = 1_000_000,
    feed: str = "classic",
    name: str | None = None,
    strategy: Strategy | None = None,
    history: bool = True,
) -> Dashboard:
    """Show a market live: controls, health, price, candles, order book and tape.

    Parameters
    ----------
    source
        A symbol (``"XBTUSDTM"``; Start streams it), a list of up to 50 symbols, also of both
        markets (Start streams them all; a press on one in the watch list shows it), a running
        stream, a recorded session (or its folder as a ``Path``), a replay, or a strategy that runs
        (from ``paper``). Left out: XBTUSDTM, or BTC-USDT with ``market="spot"``.
        A session is opened as a replay, at the end of its first five minutes.
    venue, capacity, feed
        As for ``stream``, for the streams that Start starts.
    market
        ``"futures"`` or ``"spot"``; left out: derived from the symbol's spelling.
    channels
        The channels that are switched on in the beginning; also one text with commas.
    symbol
        One of the symbols of a list, stream or session, to be shown first; left out: the first.
    interval
        Of the candles: ``"auto"`` (one that suits the window), ``"1s"`` … ``"1hour"``.
    window
        Length of the newest data to follow: ``"1 min"``, ``"5 min"``, ``"15 min"``, ``"1 hour"``,
        ``"4 hours"`` or ``"all"``.
    indicators
        Of the candles, as for ``figures.candles``: ``["SMA 20", "VWAP", "RSI 14"]``. They can also
        be typed beside the interval; ``indicators`` of the dashboard adds and removes them.
    root
        The folder that Record records to.
    tz
        ``"UTC"``, ``"local"`` or an IANA name, for all times shown.
    start
        Start at once.
    name
        Name of the stream that Start starts. By default it contains the cell's id, so that the
        streams of two cells do not replace one another.
    strategy
        Trades with paper money on what is shown; ``paper`` of the dashboard takes its options, too.
    history
        Whether charts of a stream begin with candles and trades from before it, which the exchange
        is asked for while a page shows them. They belong to the charts alone.

    Returns
    -------
    Dashboard
        An ipywidget; a cell that ends with it shows it. ``close()`` ends it and the stream it has
        started. Running its cell again does the same.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    UnknownSymbol, UnknownChannel, ChannelNotOffered, SymbolNotTrading, Unreachable
        With ``start=True``, as ``stream`` does.
    """
    # Everything is checked before anything is opened, and not only when Start or Record is pressed.
    _check_one_of(INTERVALS, interval, "interval")
    _check_one_of(WINDOWS, window, "window")
    chosen = indicators_of(indicators)
    Zone(tz)
    folder_to_write(root, "root")
    channels = _names(texts(channels, "channels"))
    market_of("", market)
    feed_of(feed)
    capacity = count(capacity, "capacity", "rows", most=MOST_ROWS)
    name_of(name)
    redraws_per_second(1.0)  # of the environment
    symbol, start = name_of(symbol, "symbol"), truth(start, "start")
    pins: list[str] = []
    if isinstance(source, str | list | tuple):
        pins = _watch_list(source, market)
        source = _shown_first(pins, symbol) if len(pins) > 1 else pins[0]
    history = truth(history, "history")
    if venue is not None:
        find_venue(venue)
    if strategy is not None:
        check_strategy(strategy, "dashboard")
    subject = _subject(source, symbol, market, channels, name)
    try:
        made = Dashboard(
            subject.symbol,
            source=subject.given,
            own=subject.own,
            run=source if isinstance(source, PaperTrading) else None,
            venue=venue,
            market=market,
            channels=subject.channels,
            interval=interval,
            window=window,
            root=root,
            tz=tz,
            capacity=capacity,
            feed=feed,
            name=name,
            indicators=chosen,
            watch=pins if len(pins) > 1 else (),
            history=history,
        )
    except BaseException:
        if subject.own is not None:
            subject.own.stop()
        raise
    if start or strategy is not None:
        try:
            if strategy is not None:
                made.paper(strategy)
            if start:
                made.start()
        except BaseException:
            made.close()
            raise
    return made


def _watch_list(source: str | Sequence[str], market: str | None) -> list[str]:
    found = texts(source, "symbols")
    if len(found) > MOST_PINS:
        raise InvalidInput(f"a watch list holds {MOST_PINS} symbols, not {len(found)}")
    others = [
        each for each in found if len(found) > 1 and market_of(each, market) != market_of(each)
    ]
    if others:
        raise InvalidInput(
            f"{', '.join(others[:8])} would be on {market} by market=; leave it out, since each "
            "symbol of a watch list is on the market of its spelling"
        )
    return found


def _shown_first(pins: list[str], symbol: str | None) -> str:
    if symbol is not None and symbol not in pins:
        raise InvalidInput(f"symbol {shown(symbol)} is not in the list: {', '.join(pins[:8])}")
    return symbol or pins[0]


def _check_one_of(known: Iterable[str], value: object, name: str) -> None:
    there = list(known)
    if not isinstance(value, str) or value not in there:
        raise InvalidInput(f"{name} must be one of {', '.join(there)}, not {shown(value)}")


class _Subject(NamedTuple):
    """The symbol and channels to show, and the source: handed in, our own, or none yet."""

    symbol: str
    channels: list[str]
    given: LiveSource | None = None
    own: Replay | None = None


def _subject(
    source: object, symbol: str | None, market: str | None, channels: list[str], name: str | None
) -> _Subject:
    if source is None or isinstance(source, str):
        its_symbol = source or symbol or DEFAULT_SYMBOLS[market_of("", market)]
        return _Subject(its_symbol, channels)
    if isinstance(source, PaperTrading):
        symbol, source = symbol or next(iter(source.facts.channels)), source.source
    if is_live(source):
        return _Subject(_chosen(source, symbol), _names(source.channels), given=source)
    if not isinstance(source, Session | os.PathLike):
        raise InvalidInput(
            "a dashboard shows a symbol, a stream, a session, a replay or a run on paper, "
            f"not {type(source).__name__}"
        )
    own = opened(source if isinstance(source, Session) else load(source), name, next_number())
    try:
        return _Subject(_chosen(own, symbol), _names(own.channels), own=own)
    except BaseException:
        own.stop()
        raise


def _chosen(source: LiveSource, symbol: str | None) -> str:
    first = next(iter(source.symbols), None)
    return pick_symbol(source, first if symbol is None else symbol, "a dashboard")


def _names(channels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(parse_channel(each).name for each in channels))
