"""Indicators on a chart of prices: they are of candles that are made of its trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.figures.candle_bars import CandleBars, fitting
from kucoin_research.figures.chart import Arrays, Sketch, TimeChart, View
from kucoin_research.figures.columns import events
from kucoin_research.figures.gaps import Mapped
from kucoin_research.figures.indicator_traces import History, IndicatorTraces
from kucoin_research.figures.partial_candles import cuts_of
from kucoin_research.model.intervals import parse_interval

__all__ = ["PriceIndicators"]

_PX = 8  # of a candle, at least, as on the chart of candles
_FIRST_NS = -(1 << 63)
_OF_TICKERS = "best_bid_price"  # a column that trades lack


class PriceIndicators:
    """Makes candles of trades, and draws indicators of them: each value at the end of its candle.

    Their names say the interval of these candles, which may differ from that of a chart beside it.

    Options: ``indicators``, and ``every``, the interval of the candles; left out, it suits the time
    that is shown.

    Parameters
    ----------
    view, sketch
        Those of the chart.
    first
        Number of the first trace.
    """

    def __init__(self, view: View, sketch: Sketch, first: int) -> None:
        self.traces = IndicatorTraces(
            sketch.options.get("indicators", ()), first, sketch.zone, names_interval=True
        )
        every = sketch.options.get("every")
        self._zone, self._most = sketch.zone, max(view.px // _PX, 60)
        self._asked = 0 if every is None else parse_interval(every).ns or 0
        width = self._asked or fitting(view.shortest_ns, self._most)
        self._bars = CandleBars(width, is_free=not self._asked)
        self._since: int | None = None  # time of the first trade, ns

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add trades, also those before the view; tickers, which skip trades, make no candles."""
        if not self.traces or role != "trades" or not rows.height or _OF_TICKERS in rows.columns:
            return
        times = events(rows)
        first = int(times.min())
        self._since = first if self._since is None else min(self._since, first)
        self._bars.take(rows, times)

    def draw(
        self, chart: TimeChart, arrays: Arrays, length: int, gaps: Sequence[Mapped]
    ) -> dict[str, Any]:
        """Put the indicators into a drawing; returns attributes of traces.

        Parameters
        ----------
        chart, arrays
            The chart, and the arrays of the drawing.
        length
            Of the time that is shown, ns.
        gaps
            On the clock of the rows.
        """
        if not self.traces:
            return {}
        begin, end = chart.range_ns
        width = self._asked or max(self._bars.width, fitting(length, self._most))
        past, shown = (self._bars.within((first, end), width) for first in (_FIRST_NS, begin))
        is_partial = np.zeros(past.opens.size, bool)
        if self._since is not None:
            cuts = cuts_of(
                past.opens,
                past.ends,
                self._since,
                gaps,
                width=width,
                zone=self._zone,
                rows="trades",
            )
            is_partial[list(cuts)] = True
        x = chart.on_axis(np.minimum(shown.ends, chart.newest_ns))
        return self.traces.draw(
            arrays, History(past, is_partial, chart.gap_breaks), shown.opens.size, x
        )
