"""The public functions of ``kucoin_research.figures``: one per kind of figure.

Every function takes a polars frame, a recorded session, or a running stream, and shows one symbol.
Gaps and outages, which ``status`` rows report, are shaded, and lines break there. Blue stands for
buyers and rising prices, orange for sellers and falling ones. Without colour they differ by form:
hollow and filled. Live figures of a kernel share one refresh thread, ``refresher()``,
which also calls functions of yours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.book_charts import DepthChart, LadderChart
from kucoin_research.figures.candle_chart import CandleChart, interval_ns
from kucoin_research.figures.chart import Chart, Sketch, View
from kucoin_research.figures.columns import one_symbol, timed
from kucoin_research.figures.gaps import gaps_of, prompt
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.history_rows import with_history
from kucoin_research.figures.indicator import Indicators, indicators_of
from kucoin_research.figures.inputs import Drawable, channels_for, channels_of_kind, frames_of
from kucoin_research.figures.lag_chart import LagChart, lag_options
from kucoin_research.figures.late_widget import live_widget
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart
from kucoin_research.figures.past import Past
from kucoin_research.figures.session_breaks import breaks_of
from kucoin_research.figures.static import Figure, still
from kucoin_research.figures.tail import Fixed, Tail, pick_symbol
from kucoin_research.figures.theme import resolve
from kucoin_research.figures.time_axis import Zone
from kucoin_research.foundation.arguments import (
    count,
    is_number,
    kind_of,
    name_of,
    number,
    truth,
)
from kucoin_research.model.intervals import Interval, Length, parse_interval
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.source import LiveSource, has_history, is_live

if TYPE_CHECKING:
    from kucoin_research.figures.widget import LiveFigure

__all__ = ["candles", "depth", "flow", "heatmap", "ladder", "lag", "mark", "price", "spread"]


_LIVE_WINDOW = "5m"
_STATIC_PX = 2_000


def price(
    source: Drawable,
    symbol: str | None = None,
    *,
    trades: pl.DataFrame | None = None,
    every: Length | None = None,
    indicators: Indicators = None,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
    history: bool = True,
) -> Figure | LiveFigure:
    """Show best bid and ask as a band, their middle, and trades as bubbles by size and side.

    Parameters
    ----------
    source
        A running stream, a session, or a frame of ``ticker``, ``bbo``, ``depth5``, ``depth50`` or
        ``trade`` rows (ns UTC). A ticker's last trades are shown where there are no trades.
    symbol
        The symbol to show; may be left out where there is only one.
    trades
        Rows of ``trade`` beside a frame of quotes.
    every, indicators
        Indicators of candles that are made of the trades, as for ``candles``; each value stands at
        the end of its candle. Names say the interval, such as ``SMA 20 · 5 s``.
    status
        Rows of ``status`` beside a frame: their gaps are shaded. Streams and sessions have their
        own.
    window
        Length of the newest data to follow: seconds, a duration such as ``"5m"`` or a
        ``timedelta``, or ``"all"``. Left out: five minutes of a stream, all of a frame.
    tz
        ``"UTC"``, ``"local"`` or an IANA name, for the time axis.
    theme
        ``"light"`` or ``"dark"``, for a static figure; a live one takes its page's.
    height
        Pixels.
    history
        Whether the figure of a stream begins with the exchange's newest trades before the stream.
        They are asked for once a page shows it, and belong to the figure alone.

    Returns
    -------
    Figure or LiveFigure
        A plotly figure of a frame or session, a widget for a stream. Prices are in quote currency,
        sizes in lots on futures and base coins on spot.

    Raises
    ------
    ColumnMissing
        If the frame lacks a column; the message lists those it has.
    InvalidInput
        If there are several symbols and none is named, or an argument is invalid.
    """
    options = _of_candles(every, indicators)
    extra = {} if trades is None else {"trades": trades}
    return _make(
        PriceChart,
        "price",
        source,
        symbol=symbol,
        extra=extra,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
        history=history,
        options=options,
    )


def candles(
    source: Drawable,
    symbol: str | None = None,
    *,
    every: Length | None = None,
    indicators: Indicators = None,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
    history: bool = True,
) -> Figure | LiveFigure:
    """Show candlesticks with the volume-weighted average price and volume.

    Parameters
    ----------
    source
        A running stream, a session, or a frame of ``candle`` or ``trade`` rows, or of bars:
        ``ohlcv``, ``mid_bars``. Bars of the mid have no volume and no VWAP.
    symbol
        The symbol to show; may be left out where there is only one.
    every
        The interval, such as ``"10s"`` or ``"5min"``; left out: one that suits the view. A running
        stream's or replay's candles of this interval are shown if they reach back as far as its
        trades (left out: further, by a whole candle), otherwise candles made of the trades. Bars of
        a frame or a session are joined to the interval, if it is a multiple of theirs.
    indicators
        Names such as ``["SMA 20", "EMA 50", "VWAP", "ATR 14", "RSI 14"]``, also as one text with
        commas. ``VWAP`` is that of the day (UTC) with bands of one standard deviation, ``VWAP 20``
        that of 20 candles. Or ``(name, expression)`` with a polars expression of the candles:
        ``("range", pl.col("high") - pl.col("low"))``. Its columns are ``timestamp``, ``open``,
        ``high``, ``low``, ``close``, ``volume``, ``turnover`` and ``is_partial``, which is true for
        pale candles. It has a pane of its own, unless a third part names one:
        ``(name, expression, "price")``.
    status, window, tz, theme, height
        As for ``price``.
    history
        Whether the figure of a stream begins with the exchange's candles before the stream, and
        asks for more where one pans or zooms beyond them. There are none below a minute: then its
        newest trades are shown.

    Returns
    -------
    Figure or LiveFigure
        The average price (VWAP) is cumulative since the first candle. Where candles have no
        turnover (futures), it is the average of their typical prices. Rising candles are hollow.
        Pale ones lack a part of their time: they were cut by the first trade or by a gap, as their
        hover text says. Indicators by name are those of ``kr.analytics``, of the candles as they
        are shown, with those before the first one in view and the one that is not over. They leave
        pale candles out, and start anew behind a gap. With history, they count up to 1,600 of the
        exchange's candles before the view (expressions: 200), so that what is older weighs less
        than 1e-6 in ``"EMA 200"`` or ``"RSI 105"``. Without it, and below a minute, they begin with
        the stream, and the first values of EMA, ATR and RSI depend on where that is.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``; also if ``every`` is no interval or no multiple of the bars' own, if an
        indicator is not known or cannot be computed, or if the rows are no trades: tickers, which
        skip some, or orders or changes of a book.
    UnknownChannel
        If a stream or session has neither candles nor trades.
    """
    options = _of_candles(every, indicators)
    return _make(
        CandleChart,
        "candles",
        source,
        symbol=symbol,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
        options=options,
        history=history,
    )


def _of_candles(every: Length | None, indicators: Indicators) -> dict[str, Any]:
    options: dict[str, Any] = {"indicators": indicators_of(indicators)}
    if every is not None:
        interval_ns(every)
        options["every"] = parse_interval(every).name  # as in a stream's names of channels
    return options


def depth(
    source: Drawable,
    symbol: str | None = None,
    *,
    levels: int = 200,
    theme: str = "light",
    height: int = 420,
) -> Figure | LiveFigure:
    """Show the cumulative size of the order book on both sides.

    Parameters
    ----------
    source
        A running stream of ``level2``, ``depth50`` or ``depth5``, a session, an ``OrderBook``, or a
        frame: ``OrderBook.depth()``, ``order_book(...)`` or rows of those channels. The newest
        state is shown.
    symbol, theme, height
        As for ``price``.
    levels
        Number of levels shown per side.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``.
    """
    options = {"levels": levels}
    return _make(
        DepthChart, "depth", source, symbol=symbol, theme=theme, height=height, options=options
    )


def ladder(
    source: Drawable,
    symbol: str | None = None,
    *,
    levels: int = 20,
    theme: str = "light",
    height: int = 420,
) -> Figure | LiveFigure:
    """Show the order book as a price ladder: the size at each step of price.

    Parameters
    ----------
    source
        As for ``depth``.
    symbol, theme, height
        As for ``price``.
    levels
        Number of price steps shown per side.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``.
    """
    options = {"levels": levels}
    return _make(
        LadderChart, "ladder", source, symbol=symbol, theme=theme, height=height, options=options
    )


def heatmap(
    source: Drawable,
    symbol: str | None = None,
    *,
    bins: int = 80,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
) -> Figure | LiveFigure:
    """Show the order book over time; the colour is the size at each price, on a log scale.

    Prices are grey where the book is not known: beyond the last level of a feed of 5 or 50 levels,
    and beyond the end of a snapshot that the exchange cut off. Elsewhere, no colour is no order.

    Parameters
    ----------
    source
        A running stream, a session, or a frame of ``depth50``, ``depth5`` or ``level2`` rows;
        ``level2`` has to begin with a snapshot, and takes a second per million rows.
    bins
        Approximate number of price steps.
    symbol, status, window, tz, theme, height
        As for ``price``.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``.
    """
    options = {"bins": bins}
    return _make(
        HeatChart,
        "heatmap",
        source,
        symbol=symbol,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
        options=options,
    )


def spread(
    source: Drawable,
    symbol: str | None = None,
    *,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
) -> Figure | LiveFigure:
    """Show the spread in basis points of the mid, and the imbalance of the best sizes.

    Parameters
    ----------
    source
        A running stream, a session, or a frame of ``ticker``, ``bbo``, ``depth5`` or ``depth50``.
    symbol, status, window, tz, theme, height
        As for ``price``.

    Returns
    -------
    Figure or LiveFigure
        Imbalance is ``(bid size - ask size) / (bid size + ask size)``, from -1 to 1.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``.
    """
    return _make(
        SpreadChart,
        "spread",
        source,
        symbol=symbol,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
    )


def mark(
    source: Drawable,
    symbol: str | None = None,
    *,
    funding: pl.DataFrame | None = None,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
) -> Figure | LiveFigure:
    """Show mark and index price, and below their distance and the funding rate in 1e-4.

    Parameters
    ----------
    source
        A running stream, a session, or a frame of ``mark_price`` rows.
    funding
        Rows of ``funding_rate`` beside a frame.
    symbol, status, window, tz, theme, height
        As for ``price``.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``.
    """
    extra = {} if funding is None else {"funding": funding}
    return _make(
        MarkChart,
        "mark",
        source,
        symbol=symbol,
        extra=extra,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
    )


def flow(
    source: Drawable,
    symbol: str | None = None,
    *,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
    history: bool = True,
) -> Figure | LiveFigure:
    """Show order flow: size bought by takers less size sold by them, cumulative and per bar.

    Parameters
    ----------
    source
        A running stream, a session, or a frame of ``trade`` rows.
    symbol, status, window, tz, theme, height, history
        As for ``price``.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``; also if the rows are no trades: tickers, which skip some, or orders or
        changes of a book.
    UnknownChannel
        If a stream or session has no trades.
    """
    return _make(
        FlowChart,
        "flow",
        source,
        symbol=symbol,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
        history=history,
    )


def lag(
    source: Drawable,
    symbol: str | None = None,
    *,
    offset_ms: float | None = None,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    theme: str = "light",
    height: int = 420,
) -> Figure | LiveFigure:
    """Show the time from event to arrival of each row, over time and as a histogram.

    Parameters
    ----------
    source
        A running stream, a session, or a frame with ``timestamp`` and ``local_timestamp``; not of
        candles, whose timestamp is the open time.
    offset_ms
        The exchange's clock less this machine's, which is added. Left out: a stream's own
        measurement for each row (rows without one are left out), 0 for a frame.
    symbol, status, window, tz, theme, height
        As for ``price``.

    Returns
    -------
    Figure or LiveFigure
        Milliseconds. Rows that REST brought, or that waited for earlier ones, are left out where a
        stream, a session or ``status`` marks them. On a simulated exchange whose virtual clock does
        not run at speed 1 the lag means nothing.

    Raises
    ------
    ColumnMissing, InvalidInput
        As for ``price``.
    """
    if offset_ms is None:
        options = lag_options(source)
    else:
        options = {"offset_ms": number(offset_ms, "offset_ms", "milliseconds, or None")}
    return _make(
        LagChart,
        "lag",
        source,
        symbol=symbol,
        status=status,
        window=window,
        tz=tz,
        theme=theme,
        height=height,
        options=options,
    )


# Bounds of the height in pixels, the most levels or bins, and the seconds that fit a 64-bit time.
_LOWEST, _HIGHEST = 10, 20_000
_FINEST = 100_000
_LONGEST_WINDOW = 9.0e9


def _make(
    kind: type[Chart],
    what: str,
    source: Drawable,
    *,
    symbol: str | None,
    theme: str,
    height: int,
    extra: Mapping[str, pl.DataFrame] | None = None,
    status: pl.DataFrame | None = None,
    window: float | Length | None = None,
    tz: str = "UTC",
    options: dict[str, Any] | None = None,
    history: bool = False,
) -> Figure | LiveFigure:
    zone, options, history = Zone(tz), options or {}, truth(history, "history")
    height = count(height, "height", "pixels", least=_LOWEST, most=_HIGHEST)
    symbol = name_of(symbol, "symbol")
    for name in ("levels", "bins"):
        if name in options:
            options[name] = count(options[name], name, name, most=_FINEST)
    resolve("", theme)  # refuse an unknown theme at once, for a live figure too
    if status is not None and not isinstance(status, pl.DataFrame):
        raise InvalidInput(
            f"status takes a polars frame of the 'status' channel, not {kind_of(status)}"
        )
    if is_live(source):
        symbol = pick_symbol(source, symbol, what)
        sketch = Sketch(symbol, zone, height, options)
        channels = channels_for(kind, source, options.get("every"), symbol or "")
        past = (
            Past(partial(source.history, symbol))
            if symbol and history and has_history(source)
            else None
        )
        return _live(kind, source, sketch, channels, window, past)
    frames, status = frames_of(kind, what, source, symbol=symbol, extra=extra or {}, status=status)
    chosen = {}
    if isinstance(source, OrderBook):
        symbol = source.symbol
    for role, frame in frames.items():
        chosen[role], symbol = one_symbol(timed(frame), symbol, what)
    sketch = Sketch(symbol or "", zone, height, options, is_complete=True)
    window_ns = _nanoseconds(window)
    gaps = [] if status is None else gaps_of(status, channels_of_kind(kind), symbol)
    gaps += breaks_of(source)
    if kind is LagChart and status is not None:
        chosen = {role: prompt(frame, status) for role, frame in chosen.items()}
    chart = kind(View(_STATIC_PX, None, window_ns), sketch)
    chart.mark(gaps)
    for role, frame in chosen.items():
        chart.take(role, frame)
    rows = partial(Fixed, chosen, gaps)
    return still(chart, theme, lambda: live_widget(kind, rows, sketch, {}, window_ns))


def _nanoseconds(window: float | Length | None) -> int | None:
    if window is None or (isinstance(window, str) and window == "all"):
        return None
    if isinstance(window, str | timedelta | np.timedelta64 | Interval):
        return interval_ns(window, "window")
    if not is_number(window) or not 0 < window < _LONGEST_WINDOW:
        raise InvalidInput(f"window must be seconds, like '5m', or 'all', not {shown(window)}")
    return round(window * 1e9)


def _live(
    kind: type[Chart],
    source: LiveSource,
    sketch: Sketch,
    channels: dict[str, str],
    window: float | Length | None,
    past: Past | None,
) -> LiveFigure:
    window_ns = _nanoseconds(_LIVE_WINDOW if window is None else window)
    if past is None:
        return live_widget(kind, source, sketch, channels, window_ns)
    live = partial(Tail, source, sketch.symbol, channels)
    supply = with_history(kind, live, channels, past)
    figure = live_widget(kind, supply, sketch, channels, window_ns)
    figure.on_end = past.close
    return figure
