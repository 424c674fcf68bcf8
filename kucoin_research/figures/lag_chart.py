"""How late rows arrive: over time and as a histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from kucoin_research.figures.chart import Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import lags_of
from kucoin_research.figures.downsample import Extremes
from kucoin_research.figures.line_charts import line, line_arrays
from kucoin_research.figures.theme import Spec, axis
from kucoin_research.figures.time_axis import Floats
from kucoin_research.model.source import is_stream

__all__ = ["LagChart", "has_virtual_clock", "lag_options"]


def has_virtual_clock(source: object) -> bool:
    """Whether the clock of a source's exchange runs at another speed than this machine's."""
    return is_stream(source) and source.simulation not in (None, 1.0)


def lag_options(source: object) -> dict[str, Any]:
    """Return the options of a chart of lags: the stream's own ``lags``, if its clock is real."""
    return {"lags": source.lags} if is_stream(source) and not has_virtual_clock(source) else {}


class LagChart(TimeChart):
    """Shows arrival minus event time, over time and as a histogram.

    Where the two clocks are hours apart, as with an exchange on a virtual clock, the difference is
    no lag. Then none is drawn, and the figure says why.

    Options: ``lags``, a function that computes the lag of each row; or ``offset_ms``, the
    exchange's clock less this machine's.
    """

    roles = (Role("rows", ("ticker", "trade", "bbo", "depth5", "depth50", "level2", "mark_price")),)

    _NEWEST = 20_000  # values in the histogram
    _OTHER_CLOCK = 3_600_000.0  # ms; no message is an hour under way

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._series = [Extremes(view.points)]
        self._values: Floats = np.empty(0)

    def spec(self) -> Spec:
        """Describe the traces: lag over time, its histogram."""
        return {
            "data": [
                line("lag of each row", "$buy", "%{y:.1f} ms<extra></extra>", width=1.0),
                {
                    "type": "bar",
                    "name": "share of rows",
                    "x": [],
                    "y": [],
                    "xaxis": "x2",
                    "yaxis": "y2",
                    "width": [],
                    "marker": {"color": "$buy_soft", "line": {"width": 0}},
                    "hovertemplate": "%{x:.1f} ms: %{y:.1f} %<extra></extra>",
                },
            ],
            "layout": {
                **self._time_layout("arrival − event time", hovermode="closest", bargap=0.02),
                "xaxis": {**self._time_layout("")["xaxis"], "domain": [0, 0.62]},
                "yaxis": axis("lag (ms)", rangemode="tozero"),
                "xaxis2": axis("lag (ms)", domain=[0.7, 1], anchor="y2"),
                "yaxis2": axis("rows (%)", anchor="x2", rangemode="tozero"),
            },
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add rows of any channel whose timestamp is an event's."""
        if "is_snapshot" in rows.columns:
            rows = rows.filter(~pl.col("is_snapshot"))
        rows, times = self._clip(role, rows)
        lags = self._lags(rows)
        is_known = ~np.isnan(lags)
        times, lags = times[is_known], lags[is_known]
        is_inside = self._inside(times)
        if not is_inside.any():  # a lag is its row's own and does not last until the next one
            return
        self._series[0].add(times, lags, self.horizon)
        self._values = np.concatenate((self._values, lags[is_inside]))[-self._NEWEST :]

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        apart = self._hours_apart()
        arrays = line_arrays(self, [] if apart else self._series)
        values = np.empty(0) if apart else self._values
        if apart:
            arrays[0, "x"] = arrays[0, "y"] = values
        arrays[1, "x"], arrays[1, "y"], arrays[1, "width"] = _histogram(values)
        drawing = self._drawing(arrays)
        drawing.layout["annotations"].extend(self._remark(values))
        return drawing

    def waiting(self) -> str:
        """Return the reason why no lag is drawn."""
        apart = self._hours_apart()
        if apart:
            return (
                f"no lag to show: the exchange's clock is {apart:,.0f} h away from this machine's"
            )
        return super().waiting()

    def _lags(self, rows: pl.DataFrame) -> Floats:
        """Compute the lag of each row in ms, NaN where it is not known."""
        measured = self.sketch.options.get("lags")
        if measured is not None:
            found: Floats = measured(rows).to_numpy()
            return found
        return lags_of(rows) + float(self.sketch.options.get("offset_ms", 0.0))

    def _hours_apart(self) -> float:
        """Compute the hours between the two clocks; 0 where they agree well enough."""
        middle = abs(float(np.median(self._values))) if self._values.size else 0.0
        return middle / 3_600_000.0 if middle >= self._OTHER_CLOCK else 0.0

    @staticmethod
    def _remark(values: Floats) -> list[Spec]:
        if not values.size:
            return []
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        return [
            {
                "text": f"p50 {p50:.1f} · p95 {p95:.1f} · p99 {p99:.1f} ms",
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": 1,
                "yanchor": "bottom",
                "font": {"size": 11, "color": "$muted"},
            }
        ]


def _histogram(values: Floats) -> tuple[Floats, Floats, Floats]:
    if not values.size:
        return np.empty(0), np.empty(0), np.empty(0)
    # The few slowest would squeeze all others into one bar, so the last bar counts them.
    low, high = np.percentile(values, (0.1, 99.5))
    high = high if high > low else low + 1.0
    counts, edges = np.histogram(np.clip(values, low, high), bins=60, range=(low, high))
    width = np.diff(edges)
    return edges[:-1] + width / 2, counts / values.size * 100, width
