"""Lines and marks of the user on a chart of prices, over the price or in panes below it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.figures.chart import Arrays, TimeChart, View
from kucoin_research.figures.decimals import plain
from kucoin_research.figures.downsample import Extremes, broken, bucket_width
from kucoin_research.figures.line_spec import OVER, line
from kucoin_research.figures.panes import divided, placed
from kucoin_research.figures.theme import Spec, literal, price_axis
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.trade_marks import marks
from kucoin_research.figures.value_axis import steady

__all__ = ["MOST_LINES", "MOST_PANES", "PRICE_PANE", "UserTraces"]

#: Lines and panes that a chart has room for.
MOST_LINES, MOST_PANES = 8, 3
#: The pane of the prices themselves.
PRICE_PANE = "price"

_FIRST_AXIS = 6  # of the panes below; a chart of its own has fewer
# Neighbours differ in colour and in dash.
_COLOURS, _DASHES = ("third", "second", "font"), ("solid", "dot", "dash")
_LOOKS = [(_COLOURS[n % 3], _DASHES[(n + n // 3) % 3]) for n in range(MOST_LINES)]
_VALUE = "%{y:,.15~r}"
_MOST_TEXTS = 100  # marks drawn; of more, each stands for its neighbours
_MOST_MARKS = 20_000  # kept
_WIDTH, _MOST_ROWS = 60, 12  # of a text: characters and rows
_ANY_TIME = (1 << 63) - 1  # ns


class _Points(NamedTuple):
    """Points of a line that are not due yet, ordered by time."""

    times: Times
    values: Floats


_NONE = _Points(np.empty(0, np.int64), np.empty(0))


class _Line:
    """A line: its points that are drawn, and those behind the right edge of the chart."""

    def __init__(self, most: int) -> None:
        self.name: str | None = None
        self.pane, self.is_ahead = PRICE_PANE, False
        self.shown = Extremes(most)
        self._later = _NONE

    def put(self, times: Times, values: Floats) -> None:
        """Replace all points from the first time on."""
        kept = int(np.searchsorted(self.shown.times, times[0]))
        self.shown.times, self.shown.values = self.shown.times[:kept], self.shown.values[:kept]
        kept = int(np.searchsorted(self._later.times, times[0]))
        before = _Points(self._later.times[:kept], self._later.values[:kept])
        self._later = _Points(
            np.concatenate((before.times, times)), np.concatenate((before.values, values))
        )

    def show_until(self, edge: int, due: int, since: int | None) -> None:
        """Show the points up to the edge and the next one, if due, and forget those long ago."""
        times, values = self._later
        last = int(self.shown.times[-1]) if self.shown.times.size else edge
        count = int(np.searchsorted(times, min(edge, due), "right"))
        if count < times.size and times[count] <= due and (count or last <= edge):
            count += 1  # so that the line leaves the picture
        if count:
            self.shown.add(times[:count], values[:count], since)
            self._later = _Points(times[count:], values[count:])
        if since is not None:
            self.shown.drop_before(since)


class UserTraces:
    """Holds lines and marks of the user, and draws those that are due.

    Nothing later than the right edge of the chart is drawn: a coarser picture would be the price.
    While a recording is played, nothing later than the newest row of it is drawn either, unless the
    user asks for it.

    Parameters
    ----------
    view
        The part of the data to show.
    first
        Number of the first of its traces: the lines, then the marks.
    hides_future
        Whether the rows of the market are those of a recording that is played.
    """

    roles = ("user_lines", "user_points", "user_marks")

    def __init__(self, view: View, first: int, *, hides_future: bool) -> None:
        self._first, self._hides_future = first, hides_future
        self._marks_trace = first + MOST_LINES
        self._view = view
        self._lines = [_Line(view.points) for _ in range(MOST_LINES)]
        self._used = 0
        self._marks: pl.DataFrame | None = None
        self._drawn: tuple[Any, pl.DataFrame] | None = None  # marks chosen, and by what
        self._is_used = False

    @staticmethod
    def spec() -> list[Spec]:
        """Describe the traces: lines, which get their names and panes later, and marks."""
        lines = [
            line(f"line {number}", f"${colour}", "", dash=dash, showlegend=False, meta=OVER)
            for number, (colour, dash) in enumerate(_LOOKS, 1)
        ]
        squares = marks("marks", "$second", "square", "$font")
        return [*lines, {**squares, "showlegend": False}]

    @staticmethod
    def axes() -> Spec:
        """Describe the axes of the panes below the price."""
        return {
            # Of a low pane: more labels would overlap.
            f"yaxis{number}": price_axis("", domain=[0, 0.1], side="right", nticks=3)
            for number in range(_FIRST_AXIS, _FIRST_AXIS + MOST_PANES)
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add rows; see ``roles``."""
        self._is_used = True
        if role == "user_marks":
            parts = [rows] if self._marks is None else [self._marks, rows]
            self._marks = pl.concat(parts).tail(_MOST_MARKS).sort("at", maintain_order=True)
            self._drawn = None
        elif role == "user_lines":
            self._used = max(self._used, rows.height)
            for slot, name, pane, is_ahead in rows.iter_rows():
                each = self._lines[slot]
                each.name, each.pane, each.is_ahead = name, pane, is_ahead
        else:
            for (slot,), part in rows.group_by("slot", maintain_order=True):
                times, values = part["at"].to_numpy(), part["value"].to_numpy()
                self._lines[int(str(slot))].put(times, values)

    def draw(
        self, chart: TimeChart, arrays: Arrays, domains: Mapping[str, tuple[float, float]]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put lines and marks into a drawing.

        Parameters
        ----------
        chart
            The chart, whose market rows have been taken.
        arrays
            Those of the drawing.
        domains
            Shares of the height of the chart's own vertical axes, by their names.

        Returns
        -------
        tuple[dict, dict]
            Attributes of traces, and parts of the layout.
        """
        if not self._is_used:
            return {}, {}
        panes = list(dict.fromkeys(each.pane for each in self._lines if each.name is not None))
        below = [pane for pane in panes if pane != PRICE_PANE]
        axes = {pane: f"y{_FIRST_AXIS + n}" for n, pane in enumerate(below)}
        texts = self._draw_lines(chart, arrays, axes)
        texts |= self._draw_marks(chart, arrays)
        return texts, {**_layout_of(axes, domains), **self._ranges(arrays, axes)}

    def _due(self, chart: TimeChart, edge: int) -> int:
        """Return the last instant to draw, where nothing is to be ahead of the rows."""
        return chart.newest_ns if self._hides_future else edge

    def _draw_lines(self, chart: TimeChart, arrays: Arrays, axes: dict[str, str]) -> dict[str, Any]:
        texts: dict[str, Any] = {}
        span, edge = self._view.span, chart.range_ns[1]
        since = chart.horizon if span is None else span[0]
        due = self._due(chart, edge)
        for trace, each in enumerate(self._lines[: self._used], self._first):
            times, values = each.shown.times, each.shown.values
            if not chart.is_empty and each.name is not None:
                each.show_until(edge, _ANY_TIME if each.is_ahead else due, since)
                times, values = broken(each.shown.times, each.shown.values, chart.gap_breaks)
            arrays[trace, "x"], arrays[trace, "y"] = chart.on_axis(times), values
            name = literal(each.name or "")
            texts[f"{trace}.name"], texts[f"{trace}.showlegend"] = name, bool(times.size)
            texts[f"{trace}.yaxis"] = axes.get(each.pane, "y")
            texts[f"{trace}.hovertemplate"] = f"{name} {_VALUE}<extra></extra>"
        return texts

    def _draw_marks(self, chart: TimeChart, arrays: Arrays) -> dict[str, Any]:
        trace, chosen = self._marks_trace, self._chosen(chart)
        if chosen is None:
            arrays[trace, "x"] = arrays[trace, "y"] = np.empty(0)
            return {f"{trace}.text": []}
        arrays[trace, "x"] = chart.on_axis(chosen["at"].to_numpy())
        arrays[trace, "y"] = chosen["price"].to_numpy()
        return {f"{trace}.text": chosen["words"].to_list()}

    def _chosen(self, chart: TimeChart) -> pl.DataFrame | None:
        """Return the marks in view; of many, one of each stretch of time."""
        if self._marks is None or chart.is_empty:
            return None
        begin, edge = chart.range_ns
        due, times = self._due(chart, edge), self._marks["at"].to_numpy()
        places = np.searchsorted(times, (begin, edge, due), "right")
        key = (tuple(places.tolist()), chart.view.length_ns)
        if self._drawn is None or self._drawn[0] != key:
            inside = (times >= begin) & (times <= edge)
            chosen = inside & ((times <= due) | self._marks["is_ahead"].to_numpy())
            self._drawn = key, _worded(self._marks.filter(pl.Series(chosen)))
        return self._drawn[1]

    def _ranges(self, arrays: Arrays, axes: dict[str, str]) -> dict[str, Any]:
        """Return the ranges of panes whose values are all equal."""
        parts: dict[str, Any] = {}
        for pane, name in axes.items():
            values = [
                arrays[trace, "y"]
                for trace, each in enumerate(self._lines[: self._used], self._first)
                if each.pane == pane
            ]
            parts |= steady(name.replace("y", "yaxis"), values)
        return parts

    def prices(self, arrays: Arrays) -> list[Floats]:
        """Return the values over the price, for the range of its axis."""
        traces = [
            trace
            for trace, each in enumerate(self._lines[: self._used], self._first)
            if each.pane == PRICE_PANE
        ]
        return [arrays[each, "y"] for each in (*traces, self._marks_trace) if (each, "y") in arrays]


def _layout_of(axes: dict[str, str], domains: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Divide the height between the chart's own axes, above, and the panes of the user."""
    names = {pane: name.replace("y", "yaxis") for pane, name in axes.items()}
    parts = placed(*divided(names.values(), domains))
    for pane, name in names.items():
        parts |= {f"{name}.title.text": literal(pane), f"{name}.visible": True}
    return parts


def _worded(rows: pl.DataFrame) -> pl.DataFrame:
    """Write the text of each mark; of many, the first of each stretch stands for the others."""
    rows = rows.with_columns(more=pl.lit(0, pl.Int64))
    if rows.height > _MOST_TEXTS:
        length = int(rows["at"][-1] - rows["at"][0]) + 1
        width = bucket_width(length, _MOST_TEXTS)
        stretches = rows.group_by(pl.col("at") // width, maintain_order=True)
        rows = stretches.agg(
            pl.col("at").first().alias("first"),
            pl.all().exclude("at", "more").first(),
            more=pl.len().cast(pl.Int64) - 1,
        )
        rows = rows.drop("at").rename({"first": "at"})
    words = [_words(row["price"], row["text"], row["more"]) for row in rows.iter_rows(named=True)]
    return rows.with_columns(pl.Series("words", words, pl.String))


def _words(price: float, text: str, more: int) -> str:
    rows = textwrap.wrap(text[: 2 * _WIDTH * _MOST_ROWS], _WIDTH) or ["mark"]
    if len(rows) > _MOST_ROWS:
        rows = [*rows[:_MOST_ROWS], "…"]
    rows.append(f"at {plain(price)}")
    if more:
        rows.append(f"and {more:,} further marks: zoom in to see each")
    return "<br>".join(literal(each) for each in rows)
