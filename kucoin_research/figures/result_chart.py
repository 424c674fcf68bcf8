"""The chart of a strategy's run: price with fills and notes, equity, drawdown, positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.figures.chart import Arrays, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import events, numbers
from kucoin_research.figures.downsample import Extremes, broken
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.late_widget import live_widget
from kucoin_research.figures.line_charts import line
from kucoin_research.figures.static import Figure, still
from kucoin_research.figures.tail import Fixed
from kucoin_research.figures.theme import Spec, axis, literal, price_axis, size_axis
from kucoin_research.figures.time_axis import Floats, Times, Zone
from kucoin_research.figures.trade_marks import MARKED, TradeMarks
from kucoin_research.figures.value_axis import steady
from kucoin_research.foundation.arguments import count

__all__ = ["ResultChart", "result_figure"]

_STATIC_PX = 2_000
_LOWEST, _HIGHEST = 10, 20_000  # px of height
_PRICE, _BUYS, _SELLS, _NOTES, _EQUITY, _DRAWDOWN, _POSITIONS = range(7)
_STEPPED = {"prices": {_PRICE: "price"}, "equity": {_EQUITY: "equity", _DRAWDOWN: "drawdown"}}
_AXES = {_PRICE: "yaxis", _EQUITY: "yaxis2", _DRAWDOWN: "yaxis3"}

# Lines of positions; of more symbols, those with the most changes are drawn.
# Neighbours differ in colour and in dash.
_COLOURS, _DASHES = ("main", "third", "second"), ("solid", "dot", "dash")
_LOOKS = [(_COLOURS[n % 3], _DASHES[(n + n // 3) % 3]) for n in range(9)]
_VALUE = "%{y:,.15~r}"


class ResultChart(TimeChart):
    """Shows a run on one time axis: price with fills and notes, equity, drawdown, positions.

    The options of its sketch are ``span`` (ns, the first and the last record, or ``None``),
    ``currency`` and ``held``: the symbols whose positions are drawn.
    """

    roles = (
        Role("prices", ("prices",), is_needed=False),
        Role("fills", ("fills",), is_needed=False),
        Role("notes", ("notes",), is_needed=False),
        Role("equity", ("equity",), is_needed=False),
        Role("positions", ("positions",), is_needed=False),
    )

    shown_thing = ("record", "records")

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._lines = {trace: Extremes(view.points) for trace in (_PRICE, _EQUITY, _DRAWDOWN)}
        self._held = {symbol: Extremes(view.points) for symbol in sketch.options["held"]}
        self._marks = TradeMarks(view, _BUYS)
        # Gaps are placed as they are: the rows of a run have one clock, that of arrival.
        self._clock_role = "gaps"
        span = sketch.options["span"]
        if span is not None:
            self._note("span", *[np.array(span, np.int64)] * 2)

    def mark(self, gaps: Sequence[GapMark]) -> None:
        """Set the gaps, which have ends and do not overlap."""
        super().mark(gaps)
        edges = np.array([edge for gap in gaps for edge in (gap.begin, gap.end)], np.int64)
        self._gap_map.feed(edges, edges)

    def spec(self) -> Spec:
        """Describe the traces: price, buys, sells, notes, equity, drawdown, positions."""
        currency = literal(self.sketch.options["currency"])
        held = list(self.sketch.options["held"])
        stepped = {"shape": "hv"}
        layout = self._time_layout(
            "run",
            yaxis=price_axis("price", domain=[0.55, 1]),
            yaxis2=price_axis(f"equity ({currency})", domain=[0.37, 0.51]),
            yaxis3=axis("drawdown (%)", domain=[0.19, 0.33]),
            yaxis4=size_axis("position", domain=[0, 0.15], zeroline=True),
        )
        layout["xaxis"].update(anchor="y4", hoverformat="%Y-%m-%d %H:%M:%S.%L")
        drawdown = line(
            "drawdown", "$sell", "drawdown %{y:.2f} %<extra></extra>", **stepped, yaxis="y3",
            fill="tozeroy", fillcolor="$sell_soft",
        )  # fmt: skip
        return {
            "data": [
                line("price", "$main", f"price {_VALUE}<extra></extra>", **stepped),
                *TradeMarks.spec(),
                line("equity", "$main", f"equity {_VALUE} {currency}<extra></extra>", **stepped,
                     yaxis="y2"),
                drawdown,
                *(_held(symbol, look) for symbol, look in zip(held, _LOOKS, strict=False)),
            ],
            "layout": layout,
        }  # fmt: skip

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add rows, ordered by time."""
        if role in MARKED:
            times = events(rows)
            if times.size:
                self._note(role, times, times)
            self._marks.take(role, rows)
        elif role == "positions":
            for symbol, series in self._held.items():
                own = rows.filter(pl.col("symbol") == symbol)
                own, times = self._in_span(role, own)
                series.add(times, numbers(own, "size"))
        else:
            rows, times = self._in_span(role, rows)
            for trace, name in _STEPPED[role].items():
                if name in rows.columns:
                    self._lines[trace].add(times, numbers(rows, name))

    def _in_span(self, role: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, Times]:
        """Return the rows in view, the one before, whose value lasts into it, and the next."""
        times = events(rows)
        if times.size:
            self._note(role, times, times)
        if self.view.span is None:
            return rows, times
        begin, end = self.view.span
        first = max(int(np.searchsorted(times, begin, "left")) - 1, 0)
        last = int(np.searchsorted(times, end, "right")) + 1
        return rows[first:last], times[first:last]

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        arrays: Arrays = {}
        texts: dict[str, Any] = {}
        gaps, parts = self.gap_breaks, {}
        for trace, series in self._lines.items():
            times, values = broken(*self._to_the_end(series), gaps)
            values = 100 * values if trace == _DRAWDOWN else values
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(times), values
        for trace, series in enumerate(self._held.values(), _POSITIONS):
            times, values = self._to_the_end(series)  # a position lasts through a gap
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(times), values
        self._marks.draw(arrays, texts, self.on_axis)
        for trace, name in _AXES.items():
            parts.update(steady(name, [arrays[trace, "y"]]))
        held = [arrays[trace, "y"] for trace in range(_POSITIONS, _POSITIONS + len(self._held))]
        parts.update(steady("yaxis4", held))
        return self._drawing(arrays, texts, **parts)

    def _to_the_end(self, series: Extremes) -> tuple[Times, Floats]:
        """Return the points of a line, and its last value at the end of the run."""
        span = self.sketch.options["span"]
        if span is None or not series.times.size or series.times[-1] >= span[1]:
            return series.times, series.values
        return np.append(series.times, span[1]), np.append(series.values, series.values[-1])

    def waiting(self) -> str:
        """Return the sentence that stands where no record was played."""
        return "no record was played" if self.is_empty else super().waiting()


def _held(symbol: str, look: tuple[str, str]) -> Spec:
    name, (colour, dash) = literal(symbol), look
    made = line(
        f"position {name}", f"${colour}", f"{name} {_VALUE}<extra></extra>", shape="hv", yaxis="y4"
    )
    made["line"]["dash"] = dash
    return made


def result_figure(
    frames: Mapping[str, pl.DataFrame],
    symbol: str,
    *,
    currency: str = "",
    span: tuple[int, int] | None = None,
    gaps: Sequence[tuple[int, int]] = (),
    tz: str = "UTC",
    theme: str = "light",
    height: int = 820,
) -> Figure:
    """Draw a run.

    Parameters
    ----------
    frames
        ``prices``, ``fills`` and ``notes`` of the symbol, ``equity`` (``timestamp``, ``equity`` and
        ``drawdown``, a fraction) and ``positions`` of all symbols; each ordered by time.
    symbol
        The symbol whose price is drawn.
    currency
        Of the equity.
    span
        Times (ns) of the first and the last record.
    gaps
        Begin and end (ns) of each span without data; they do not overlap. They are shaded, and the
        lines of price and equity break there.
    tz, theme, height
        As for the other figures.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    """
    zone = Zone(tz)
    height = count(height, "height", "pixels", least=_LOWEST, most=_HIGHEST)
    held = _most_held(frames["positions"], symbol)
    options = {"span": span, "currency": currency, "held": held}
    sketch = Sketch(symbol, zone, height, options, is_complete=True)
    rows = {**frames, "notes": _priced(frames)}
    marks = [GapMark("gap", begin, end, "gap") for begin, end in gaps]
    chart = ResultChart(View(_STATIC_PX), sketch)
    chart.mark(marks)
    for role, frame in rows.items():
        chart.take(role, frame)
    supply = partial(Fixed, rows, marks)
    return still(chart, theme, lambda: live_widget(ResultChart, supply, sketch, {}, None))


def _most_held(positions: pl.DataFrame, symbol: str) -> list[str]:
    """List the symbols whose positions are drawn: that of the price first."""
    changes = positions.drop_nulls("symbol").group_by(pl.col("symbol").cast(pl.String)).len()
    ordered = changes.sort(pl.col("symbol") != symbol, -pl.col("len").cast(pl.Int64), "symbol")
    return ordered["symbol"].head(len(_LOOKS)).to_list()


def _priced(frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Put each note at the price of its time, or at the first one if there is none before."""
    notes = frames["notes"]
    known = [
        frames[role].select("timestamp", pl.col("price").cast(pl.Float64))
        for role in ("prices", "fills")
    ]
    prices = next((each for each in (part.drop_nulls() for part in known) if each.height), known[0])
    prices = prices.sort("timestamp", maintain_order=True)
    notes = notes.sort("timestamp", maintain_order=True).join_asof(prices, on="timestamp")
    return notes.with_columns(
        pl.col("price").fill_null(pl.lit(prices["price"].first(), pl.Float64))
    )
