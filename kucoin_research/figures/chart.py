"""The base of all charts: rows go in, a drawing of bounded size comes out.

A chart knows no browser, no stream and no thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.figures.columns import arrivals, events
from kucoin_research.figures.gaps import GapMap, GapMark, breaks, shapes
from kucoin_research.figures.theme import Spec, axis, layout, literal
from kucoin_research.figures.time_axis import Floats, Times, Zone

__all__ = ["Arrays", "Chart", "Drawing", "Role", "Sketch", "TimeChart", "View"]

# While a window fills, the axis shows the part that has rows, but at least a sixth of the window.
_FULLEST = 6
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
        """The shortest time that the axis shows, also of few rows; see ``TimeChart``."""
        if self.span is None and self.window_ns is not None:
            return max(self.window_ns // _FULLEST, 1)
        return self.length_ns or 1


@dataclass(frozen=True)
class Sketch:
    """The settings of a chart, known before it has any rows."""

    symbol: str = ""
    zone: Zone = field(default_factory=Zone)
    height: int = 420
    options: dict[str, Any] = field(default_factory=dict)
    is_compact: bool = False


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
    #: Draws per second, at most.
    fastest = 20.0
    #: The time axis, where a zoom asks for other rows; ``None`` where x is no time.
    time_axis: str | None = "xaxis"

    def __init__(self, view: View, sketch: Sketch) -> None:
        self.view = view
        self.sketch = sketch

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

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is nothing to draw yet."""

    def waiting(self) -> list[Spec]:
        """Describe the note that is shown while there is nothing to draw."""
        if not self.is_empty:
            return []
        what = " or ".join(self.roles[0].channels[:2]) if self.roles else "any"
        of = f" of {literal(self.sketch.symbol)}" if self.sketch.symbol else ""
        return [
            {
                "text": f"waiting for {what} rows{of}",
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 0.5,
                "y": 0.5,
                "font": {"size": 14, "color": "$muted"},
            }
        ]

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
        self._clock_role = ""  # its rows place the gaps
        self._beyond: set[str] = set()  # roles that have a row after the span

    @property
    def is_empty(self) -> bool:
        """Whether no row has been taken yet."""
        return self._newest == 0

    def mark(self, gaps: Sequence[GapMark]) -> None:
        """Set the gaps known by now, before the rows: they place the gaps as they are taken."""
        self._gap_map = GapMap(gaps)

    def _clip(self, role: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, Times]:
        """Note the times of rows; returns the rows in view with their times."""
        times = events(rows)
        if not times.size:
            return rows, times
        self._note(role, arrivals(rows), times)
        if self.view.span is None:
            return rows, times
        begin, end = self.view.span
        margin = (end - begin) // 20
        inside = (times >= begin - margin) & (times <= end + margin)
        if inside.all():
            return rows, times
        # One more row on either side, for the lines that leave the picture. The one after the span
        # may come in a later batch, but only the first of them counts.
        inside[:-1] |= inside[1:]
        beyond = np.flatnonzero(times > end + margin)[:1]
        if beyond.size and role not in self._beyond:
            self._beyond.add(role)
            inside[beyond] = True
        return rows.filter(pl.Series(inside)), times[inside]

    def _note(self, role: str, local: Times, times: Times) -> None:
        newest, oldest = int(times.max()), int(times.min())
        self._oldest = min(self._oldest, oldest) if self._newest else oldest
        self._newest = max(self._newest, newest)
        self._clock_role = self._clock_role or role
        if role == self._clock_role:
            self._gap_map.feed(local, times)

    @property
    def gap_breaks(self) -> Times:
        """The instants at which lines break."""
        return breaks(self._gap_map.found)

    @property
    def horizon(self) -> int | None:
        """The begin of the followed window; ``None`` where no row ever leaves the view."""
        if self.view.span is not None or self.view.window_ns is None or not self._newest:
            return None
        return self._newest - self.view.window_ns

    def _window(self) -> tuple[float, float] | None:
        if self.is_empty:
            return None
        if self.view.span is not None:
            begin, end = self.view.span
        else:
            horizon = self.horizon
            begin = self._oldest if horizon is None else self._filled_from(horizon)
            end = self._newest
            # During an outage there is more room at the right, so that its shade is seen.
            is_out = any(gap.end is None for gap in self._gap_map.found)
            pad = max((end - begin) // (15 if is_out else 100), 1_000_000)
            begin, end = begin - (0 if horizon is not None else pad), end + pad
        # A row may claim any time, and ns in 64 bits end in the year 2262.
        begin, end = max(begin, _FIRST_NS), min(end, _LAST_NS)
        low, high = self.sketch.zone.to_axis(np.array([begin, end], np.int64))
        return float(low), float(high)

    def _filled_from(self, horizon: int) -> int:
        # While the window is not full, the axis begins at the oldest row.
        return max(horizon, min(self._oldest, self._newest - self.view.shortest_ns))

    def _drawing(self, arrays: Arrays, **parts: Any) -> Drawing:
        window = self._window()
        length = self.view.length_ns or max(self._newest - self._oldest, 1)
        shortest = 2 * length // max(self.view.px, 1)
        begin, end = self._in_view()
        edge = end if window is None else self.sketch.zone.to_ns(window[1])
        inside = [
            gap
            for gap in self._gap_map.found
            if gap.begin <= end and (gap.end is None or gap.end >= begin)
        ]
        patch = {
            "shapes": shapes(inside, edge, self.sketch.zone, shortest_ns=shortest),
            "annotations": self.waiting(),
            **parts,
        }
        return Drawing(arrays, patch, window)

    def _in_view(self) -> tuple[int, int]:
        if self.view.span is not None:
            return self.view.span
        horizon = self.horizon
        return (self._oldest if horizon is None else horizon), self._newest

    def on_axis(self, times: Times) -> Floats:
        """Convert ns UTC to positions on the time axis."""
        return self.sketch.zone.to_axis(times)

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
