"""A live figure as one page sees it: a chart of its view, and the values it has already."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.figures.browser_link import BrowserLink
from kucoin_research.figures.chart import Chart, Drawing, Sketch, View
from kucoin_research.figures.delta import Array, ArrayChange, difference
from kucoin_research.figures.history_rows import HistoryRows
from kucoin_research.figures.pace import Pace
from kucoin_research.figures.summary import summary_of
from kucoin_research.figures.tail import Rewound, Rows

__all__ = ["Frame", "Picture"]

_MANY = 10_000  # rows; of fewer, it is not worth finding those in the window
_SUMMARY_EVERY = 12.0  # s; who hears the page is not to be interrupted more often


class Frame(NamedTuple):
    """A message to a page, with the values of its arrays."""

    content: dict[str, Any]
    buffers: list[memoryview | bytes]

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(len(buffer) for buffer in self.buffers)


class Picture:
    """Draws a live figure for one page, and sends it only the values that it lacks.

    Parameters
    ----------
    kind, sketch
        The chart's class and settings.
    feed
        The source of its rows; no other picture reads it.
    view
        The part of the data that the page looks at.

    Attributes
    ----------
    link
        The conversation with the page.
    due
        Time of its next refresh, monotonic seconds.
    pace
        The pace of the source that the page knows; ``None`` if it knows none.

    Notes
    -----
    Not thread-safe, except ``look``, ``reset`` and ``resend``.
    """

    def __init__(self, kind: type[Chart], sketch: Sketch, feed: Rows, view: View) -> None:
        self.link = BrowserLink()
        self.due = 0.0
        self.pace: Pace | None = None
        self.view = view
        self.chart = kind(view, sketch)
        self._kind, self._sketch, self._feed = kind, sketch, feed
        self._sent: dict[tuple[int, str], Array] = {}
        self._sent_layout: dict[str, Any] = {}
        self._drawing: Drawing | None = None  # the one sent last, until its summary is made
        self._summary = ""
        self._summary_due = 0.0  # monotonic seconds
        self._must_restart = True  # the chart is to be made anew from all rows
        self._must_resend = True  # the page has nothing

    def look(self, view: View) -> None:
        """Change the view."""
        if view != self.view:
            self.view = view
            self._must_restart = True
            self.due = 0.0

    def reset(self) -> None:
        """Read all rows again."""
        self._must_restart = True
        self.due = 0.0

    def resend(self) -> None:
        """Send everything with the next frame, since the page has nothing."""
        self._must_resend = True
        self._summary, self._summary_due = "", 0.0
        self.pace = None
        self.due = 0.0

    def show(self, sketch: Sketch, feed: Rows) -> None:
        """Show other rows in the same place.

        A page that is zoomed stays so, unless the symbol is another one: it follows then.
        """
        span = self.view.span if sketch.symbol == self._sketch.symbol else None
        self._sketch, self._feed = sketch, feed
        self.view = View(self.view.px, span, self.view.window_ns)
        self.chart = self._kind(self.view, sketch)
        self.reset()
        self.resend()

    def is_quiet(self, *, is_frozen: bool) -> bool:
        """Whether the page has everything already; a cheap check."""
        if self._must_restart or self._must_resend:
            return False
        return is_frozen or not self._feed.has_news()

    def update(self) -> None:
        """Take new rows into the chart; after a failure all rows are taken again."""
        try:
            self._update()
        except BaseException:
            self._must_restart = self._must_resend = True
            raise

    def _update(self) -> None:
        gaps, changed = self._feed.gaps()
        if self._must_restart or changed:
            self._restart(gaps)
        try:
            self._take()
        except Rewound:
            self._must_resend = True
            self._restart(gaps)
            self._take()

    def _restart(self, gaps: Any) -> None:
        self._must_restart = False
        self._feed.restart()
        self.chart = self._kind(self.view, self._sketch)
        self.chart.mark(gaps)
        if isinstance(self._feed, HistoryRows):
            self._feed.look(self.view, self.chart.candle_plan)

    def _take(self) -> None:
        for role, rows in self._feed.rows():
            self.chart.take(role, self._relevant(rows))
        if isinstance(self._feed, HistoryRows):
            self.chart.join(self._feed.seam)

    def _relevant(self, rows: pl.DataFrame) -> pl.DataFrame:
        # Of a million rows at the first read, those before the window are left out.
        window_ns = self.view.window_ns
        if self.view.span is not None or window_ns is None or self.chart.needs_past:
            return rows
        if rows.height < _MANY or "timestamp" not in rows.columns:
            return rows
        newest = rows["timestamp"].max()
        return rows.filter(pl.col("timestamp") >= newest - pl.duration(nanoseconds=window_ns))

    def frame(self, now: float) -> Frame | None:
        """Draw new rows into a message for the page; ``None`` if the page has everything."""
        began = time.perf_counter()
        self.update()
        if isinstance(self._feed, HistoryRows):
            self._feed.ask()
        is_full, self._must_resend = self._must_resend, False  # now: it may be set meanwhile
        try:
            return self._difference(self.chart.draw(), is_full=is_full, now=now, began=began)
        except BaseException:
            self._must_restart = self._must_resend = True
            raise

    def _difference(
        self, drawing: Drawing, *, is_full: bool, now: float, began: float
    ) -> Frame | None:
        parts = difference({} if is_full else self._sent, drawing.arrays)
        layout = {
            path: value
            for path, value in {**drawing.layout, "@": dict(drawing.traces)}.items()
            if is_full or self._sent_layout.get(path) != value
        }
        if not (parts or layout or is_full):
            self.link.cost += 0.2 * (time.perf_counter() - began - self.link.cost)
            return None
        buffers = [part.buffer for part in parts]
        size = sum(len(buffer) for buffer in buffers)
        number = self.link.on_send(now, size, time.perf_counter() - began)
        self._remember(drawing, parts)
        self._drawing = drawing
        self._sent_layout.update(layout)
        content = {
            "kind": "frame",
            "seq": number,
            "base": None if is_full else number - 1,
            "parts": [part.header for part in parts],
            "layout": layout,
            "window": drawing.window,
            "empty": self.chart.is_empty,
        }
        return Frame(content, buffers)

    def summary(self, now: float) -> str | None:
        """Describe the frame sent last; ``None`` if that is not due, or as it was."""
        drawing = self._drawing
        if drawing is None or now < self._summary_due:
            return None
        self._drawing = None
        text = summary_of(self.chart, drawing)
        # The first values come soon after the note that there are none.
        self._summary_due = now + (0.0 if self.chart.is_empty else _SUMMARY_EVERY)
        if text == self._summary:
            return None
        self._summary = text
        return text

    def _remember(self, drawing: Drawing, parts: list[ArrayChange]) -> None:
        for part in parts:
            array = np.ascontiguousarray(drawing.arrays[part.trace, part.path])
            self._sent[part.trace, part.path] = array.astype(part.tail.dtype, copy=False)
