"""The base of all charts: rows go in, a drawing of bounded size comes out.

A chart knows no browser, no stream and no thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.figures.columns import arrivals, events
from kucoin_research.figures.day_lines import day_lines
from kucoin_research.figures.empty_axes import axes_of, has_values
from kucoin_research.figures.gaps import GapMap, GapMark, Mapped, begins, breaks, shapes
from kucoin_research.figures.history_plan import CandlePlan
from kucoin_research.figures.seam import NO_SEAM, Seam, history_note, seam_line
from kucoin_research.figures.theme import Spec, axis, fitted, layout, literal
from kucoin_research.figures.time_axis import Floats, Times, Zone
from kucoin_research.figures.time_range import Slots, begin_of, followed, shortest_of

__all__ = ["PAST", "Arrays", "Chart", "Drawing", "Role", "Sketch", "TimeChart", "View"]

#: The role of candles from before the first trade, in charts that make candles of trades.
PAST = "past"

_LETTER_PX = 8  # of a note, on average; an estimate on the safe side
_SHORTEST_LINE = 12  # letters
_FIRST_NS, _LAST_NS = -(1 << 63) + 1, (1 << 63) - 1

#: Values of trace attributes: ``{(trace, "marker.size"): array}``.
Arrays = dict[tuple[int, str], npt.NDArray[Any]]


class Role(NamedTuple):
    """A kind of rows that a chart takes, and the channels that have them, the best first."""

    name: str
    channels: tuple[str, ...]
    is_needed: bool = True


@dataclass(frozen=True)
class View:
    """The part of the data that a page looks at.

    Attributes
    ----------
    px
        Width of the plot in pixels; a chart keeps up to a point per pixel.
    span
        The time range zoomed to, ns UTC; ``None`` while the newest data are followed.
    window_ns
        Length of the followed window; ``None``: all data.
    """

    px: int = 1_000
    span: tuple[int, int] | None = None
    window_ns: int | None = None

    @property
    def length_ns(self) -> int | None:
        """The length of time shown; ``None`` where it depends on the data."""
        return self.window_ns if self.span is None else max(self.span[1] - self.span[0], 1)

    @property
    def points(self) -> int:
        """Most points of a line: one per pixel, so four for each bucket of four pixels."""
        return max(self.px, 200)

    @property
    def shortest_ns(self) -> int:
        """The shortest time that the axis shows, also of few rows."""
        if self.span is None:
            return shortest_of(self.window_ns)
        return self.length_ns or 1


@dataclass(frozen=True)
class Sketch:
    """The settings of a chart, known before it has any rows.

    ``is_complete``: no rows come after the first ones, as in a figure of a frame.
    """

    symbol: str = ""
    zone: Zone = field(default_factory=Zone)
    height: int = 420
    options: dict[str, Any] = field(default_factory=dict)
    is_compact: bool = False
    is_complete: bool = False


class Drawing(NamedTuple):
    """The content of a figure at one moment.

    Attributes
    ----------
    arrays
        Values of each trace.
    layout
        Parts of the layout that depend on the data, by dotted path.
    window
        The x range to show while the newest data are followed, in axis units.
    traces
        Other attributes of traces that depend on the data, as ``"<trace>.<path>"``.
    """

    arrays: Arrays
    layout: dict[str, Any]
    window: tuple[float, float] | None
    traces: Mapping[str, Any] = MappingProxyType({})


class Chart(ABC):
    """A figure of one symbol that rows are added to.

    Parameters
    ----------
    view
        The part of the data to show; another view needs another chart.
    sketch
        Symbol, time zone, height and the options of its kind.
    """

    #: The kinds of rows that it takes.
    roles: tuple[Role, ...] = ()
    #: Whether the drawing also depends on rows before the span that is shown.
    needs_past = False
    #: Whether rows of history may come before its live ones.
    takes_history = False
    #: Draws per second, at most.
    fastest = 20.0
    #: The time axis, where a zoom asks for other rows; ``None`` where x is no time.
    time_axis: str | None = "xaxis"
    #: The thing that it shows, and many of them, for the note where there is none.
    shown_thing = ("row", "rows")

    def __init__(self, view: View, sketch: Sketch) -> None:
        self.view = view
        self.sketch = sketch
        self._axes: dict[str, list[int]] | None = None
        self._line_traces: list[int] | None = None

    @abstractmethod
    def spec(self) -> Spec:
        """Describe traces and layout, with colour tokens and without data."""

    @abstractmethod
    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add rows, in order of arrival."""

    @abstractmethod
    def draw(self) -> Drawing:
        """Draw the rows taken so far."""

    def mark(self, gaps: Sequence[GapMark]) -> None:  # noqa: B027  charts without a time axis ignore them
        """Set the gaps known by now, on the clock of arrival; call it before any rows are taken."""

    def join(self, seam: Seam) -> None:  # noqa: B027  most charts have no history
        """Set where the history that was taken ends, and live rows begin."""

    @property
    def candle_plan(self) -> CandlePlan | None:
        """The candles that it would draw of trades; ``None`` if it draws none."""
        return None

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is nothing to draw yet."""

    def waiting(self) -> str:
        """Return the sentence that is shown while there is nothing to draw."""
        one, many = self.shown_thing
        of = f" of {literal(self.sketch.symbol)}" if self.sketch.symbol else ""
        if self.sketch.is_complete or not self.is_empty:
            return f"no {many}{of} to show"
        return f"waiting for the first {one}{of}"

    def _filled(self, arrays: Arrays) -> dict[str, bool]:
        """Return whether each axis has something drawn on it."""
        if self._axes is None:
            self._axes = axes_of(self.spec())
        return {
            name: any(has_values(arrays, trace) for trace in traces)
            for name, traces in self._axes.items()
        }

    def _modes(self, arrays: Arrays) -> dict[str, str]:
        """Return how each line is drawn; a single point would not be seen without a mark."""
        if self._line_traces is None:
            spec = self.spec()
            bands = {each["trace"] for each in spec.get("bands", ())}
            modes = [each.get("mode") for each in spec["data"]]
            self._line_traces = [
                n for n, mode in enumerate(modes) if mode == "lines" and n not in bands
            ]
        sizes = {
            trace: arrays[trace, "x"].size for trace in self._line_traces if (trace, "x") in arrays
        }
        return {
            f"{trace}.mode": "lines+markers" if size == 1 else "lines"
            for trace, size in sizes.items()
        }

    def _parts(self, filled: dict[str, bool]) -> dict[str, Any]:
        """Return the parts of the layout that show only axes with data, or say that none are."""
        axes = {f"{name}.visible": is_filled for name, is_filled in filled.items()}
        notes = [] if any(filled.values()) else [self._note_within(self.waiting())]
        return {**axes, "annotations": notes}

    def _titled(self, parts: dict[str, Any], filled: dict[str, bool]) -> dict[str, Any]:
        """Return the parts, without a title beside the note of a compact chart without data."""
        if self.sketch.is_compact and "title.text" in parts and not any(filled.values()):
            return {**parts, "title.text": ""}
        return parts

    def _in_lines(self, text: str) -> str:
        # Plotly does not break lines, and cuts off anything wider than the plot.
        room = max(self.view.px // _LETTER_PX, _SHORTEST_LINE)
        if len(text) <= room:
            return text
        return "<br>".join(wrap(text, room, break_long_words=False, break_on_hyphens=False))

    def _note_within(self, text: str) -> Spec:
        return {
            "text": self._in_lines(text),
            "showarrow": False,
            "xref": "paper",
            "yref": "paper",
            "x": 0.5,
            "y": 0.5,
            "font": {"size": 14, "color": "$muted"},
        }

    def _title(self, what: str) -> str:
        symbol = literal(self.sketch.symbol)
        if self.sketch.is_compact:
            return what
        return f"<b>{symbol}</b> {what}" if symbol else f"<b>{what}</b>"


class TimeChart(Chart):
    """A chart over time: it keeps the newest instant, the gaps, and the range in view."""

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._newest = 0
        self._oldest = 0
        self._gap_map = GapMap()
        self._seam = NO_SEAM
        self._clock_role = ""  # its rows place the gaps
        self._before: dict[str, tuple[int, pl.DataFrame]] = {}  # by role: last row before the span
        self._begun: set[str] = set()  # roles that have a row in the span
        self._beyond: set[str] = set()  # and one after it

    @property
    def is_empty(self) -> bool:
        """Whether no row has been taken yet."""
        return self._newest == 0

    def mark(self, gaps: Sequence[GapMark]) -> None:
        """Set the gaps known by now, before the rows: they place the gaps as they are taken."""
        self._gap_map = GapMap(gaps)

    def join(self, seam: Seam) -> None:
        """Set where the history that was taken ends, and live rows begin."""
        self._seam = seam

    @property
    def _gaps(self) -> list[Mapped]:
        """The gaps of live rows, and the one between them and history."""
        return [*self._seam.gaps, *self._gap_map.found]

    def _clip(self, role: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, Times]:
        """Note the times of rows; returns the rows in view with their times.

        Of a span, the last row before it and the first after it belong to them: a value stands
        until the next one, so the lines enter and leave the picture.
        """
        times = events(rows)
        if not times.size:
            return rows, times
        self._note(role, arrivals(rows), times)
        if self.view.span is None:
            return rows, times
        begin, end = self._edges
        self._hold(role, rows, times, begin)
        inside = self._inside(times)
        beyond = np.flatnonzero(times > end)[:1]
        if inside.any():
            self._begun.add(role)
        has_begun = role in self._before or role in self._begun
        if beyond.size and has_begun and role not in self._beyond:
            self._beyond.add(role)
            inside[beyond] = True
        if not inside.any():
            return rows[:0], times[:0]
        if not inside.all():
            rows, times = rows.filter(pl.Series(inside)), times[inside]
        return self._with_row_before(role, rows, times)

    @property
    def _edges(self) -> tuple[int, int]:
        # Of the rows to keep: a little more than the view, so that it can be moved at once.
        begin, end = self._in_view()
        margin = (end - begin) // 20
        return begin - margin, end + margin

    def _inside(self, times: Times) -> npt.NDArray[np.bool_]:
        """Return which of the rows kept lie in view; the others matter to lines only."""
        if self.view.span is None:
            return np.ones(times.size, bool)
        begin, end = self._edges
        return (times >= begin) & (times <= end)

    def _hold(self, role: str, rows: pl.DataFrame, times: Times, begin: int) -> None:
        # The rows of the span may come in a later batch than the row before it.
        earlier = np.flatnonzero(times < begin)
        if not earlier.size:
            return
        place = int(earlier[times[earlier] == times[earlier].max()][-1])
        known = self._before.get(role)
        if known is None or int(times[place]) >= known[0]:
            self._before[role] = int(times[place]), rows[place : place + 1]

    def _with_row_before(
        self, role: str, rows: pl.DataFrame, times: Times
    ) -> tuple[pl.DataFrame, Times]:
        time, before = self._before.get(role, (0, rows[:0]))
        if not before.height:
            return rows, times
        self._before[role] = time, before[:0]  # added once
        return pl.concat((before, rows)), np.concatenate((np.array([time], np.int64), times))

    def _note_times(self, times: Times) -> None:
        newest, oldest = int(times.max()), int(times.min())
        self._oldest = min(self._oldest, oldest) if self._newest else oldest
        self._newest = max(self._newest, newest)

    def _note(self, role: str, local: Times, times: Times) -> None:
        self._note_times(times)
        self._clock_role = self._clock_role or role
        if role == self._clock_role:
            self._gap_map.feed(local, times)

    @property
    def newest_ns(self) -> int:
        """The time of the newest row, ns; 0 before there is one."""
        return self._newest

    @property
    def is_out(self) -> bool:
        """Whether rows are missing now."""
        return any(gap.end is None and gap.kind != "filled" for gap in self._gap_map.found)

    @property
    def gap_breaks(self) -> Times:
        """The instants at which lines break."""
        return breaks(self._gaps)

    @property
    def gap_begins(self) -> Times:
        """The instants from which on rows are missing."""
        return begins(self._gaps)

    @property
    def horizon(self) -> int | None:
        """The begin of the followed window; ``None`` where no row ever leaves the view."""
        if self.view.span is not None or self.view.window_ns is None or not self._newest:
            return None
        return self._newest - self.view.window_ns

    def _slots(self) -> Slots | None:
        """Return the slots of the chart's bars, which the axis shows whole; ``None``: no bars."""
        return None

    @property
    def range_ns(self) -> tuple[int, int]:
        """The range of the time axis, ns; meaningless before there is a row."""
        if self.view.span is not None:
            return self.view.span
        is_out = any(gap.end is None for gap in self._gap_map.found)
        begin, end = followed(
            self._oldest, self._newest, self.view.window_ns, is_out=is_out, slots=self._slots()
        )
        # A row may claim any time, and ns in 64 bits end in the year 2262.
        return max(begin, _FIRST_NS), min(end, _LAST_NS)

    @property
    def _length_ns(self) -> int:
        # Of the time shown, without room at its ends: it grows while a window fills, never shrinks.
        if self.view.span is not None:
            return self.view.length_ns or 1
        return self._newest - begin_of(self._oldest, self._newest, self.view.window_ns)

    def _window(self) -> tuple[float, float] | None:
        if self.is_empty:
            return None
        low, high = self.sketch.zone.to_axis(np.array(self.range_ns, np.int64))
        return float(low), float(high)

    def waiting(self) -> str:
        """Return the sentence that is shown while there is nothing to draw in the range."""
        of = f" of {literal(self.sketch.symbol)}" if self.sketch.symbol else ""
        if self.view.span is not None:
            return f"no {self.shown_thing[1]}{of} in this range"
        return super().waiting()

    def _drawing(
        self,
        arrays: Arrays,
        traces: Mapping[str, Any] = MappingProxyType({}),
        lines: Sequence[Spec] = (),
        **parts: Any,
    ) -> Drawing:
        window = self._window()
        length = self.view.length_ns or max(self._newest - self._oldest, 1)
        shortest = 2 * length // max(self.view.px, 1)
        begin, end = self.range_ns
        edge = end if window is None else self.sketch.zone.to_ns(window[1])
        inside = [
            gap for gap in self._gaps if gap.begin <= end and (gap.end is None or gap.end >= begin)
        ]
        filled = self._filled(arrays)
        gaps = shapes(inside, edge, self.sketch.zone, shortest_ns=shortest)
        patch = {
            "shapes": [
                *gaps,
                *self._day_lines(),
                *lines,
                *seam_line(self._seam, self.range_ns, self.sketch.zone),
            ],
            **self._parts(filled),
            **self._titled(parts, filled),
        }
        if self._seam.note:
            note = history_note(self._in_lines(literal(self._seam.note)))
            patch["annotations"] = [*patch["annotations"], note]
        if self.time_axis is not None and self.view.span is not None:
            patch[f"{self.time_axis}.visible"] = True  # a range without rows is a place, too
        return Drawing(arrays, patch, window, {**self._modes(arrays), **traces})

    def _in_view(self) -> tuple[int, int]:
        if self.view.span is not None:
            return self.view.span
        horizon = self.horizon
        return (self._oldest if horizon is None else horizon), self._newest

    def _day_lines(self) -> list[Spec]:
        if self.is_empty:
            return []
        return day_lines(self.range_ns, self.sketch.zone, self.view.px, self._on_days)

    def _on_days(self, midnights: Times) -> Floats:
        """Convert the begins of days, ns UTC, to positions on the time axis."""
        return self.on_axis(midnights)

    def on_axis(self, times: Times) -> Floats:
        """Convert ns UTC to positions on the time axis."""
        return self.sketch.zone.to_axis(times)

    def _panel(self, part: Spec) -> Spec:
        """Fit the title of a vertical axis, which has our own words only, to its panel."""
        return fitted(part, self.sketch.height)

    def _time_layout(self, what: str, **options: Any) -> Spec:
        # The time axis lies below the lowest panel.
        lowest = "y2" if "yaxis2" in options else "y"
        return layout(
            self._title(what),
            height=self.sketch.height,
            xaxis=axis(
                self.sketch.zone.title,
                type="date",
                anchor=lowest,
                rangeslider={"visible": False},
                hoverformat="%H:%M:%S.%L",
                showspikes=True,
                spikemode="across",
                spikethickness=1,
                spikedash="dot",
                spikecolor="$line",
                spikesnap="cursor",
            ),
            **options,
        )
