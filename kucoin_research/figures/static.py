"""Static figures: a plotly figure of a chart, and its export to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from kucoin_research.errors import InvalidInput, KucoinResearchError
from kucoin_research.figures.axis_tags import META
from kucoin_research.figures.chart import Chart, Drawing
from kucoin_research.figures.theme import Spec, literal, resolve
from kucoin_research.figures.time_axis import Floats
from kucoin_research.foundation.arguments import path_of

__all__ = ["ExportUnavailable", "Figure", "band_between", "still"]


class ExportUnavailable(KucoinResearchError):
    """The exporter of PNG files is not installed; the message says what to install."""


class Figure(go.Figure):  # type: ignore[misc]  # plotly has no types
    """A plotly figure with one-line export; everything of ``plotly.graph_objects.Figure`` works.

    A line has up to 2,000 points, with every extreme of the rows. ``zoomable`` makes a widget that
    shows all rows of the range zoomed into.
    """

    make_widget: Callable[[], Any] | None = None

    def zoomable(self) -> Any:
        """Make a widget of the same rows, which shows every row of the range zoomed into.

        It asks the kernel for that range, so it needs a notebook with a running kernel; a saved
        notebook keeps a picture of it. The rows stay in memory as long as this figure does.

        Returns
        -------
        LiveFigure
            It first shows all rows, and has the ``window`` that this figure was made with.

        Raises
        ------
        InvalidInput
            If ``kr.figures`` did not make this figure of rows: it is a copy, or of a live figure.
        """
        if self.make_widget is None:
            raise InvalidInput(
                "this figure does not know its rows; ask the one that kr.figures made of a frame"
            )
        return self.make_widget()

    def to_html(self, path: Any = None, *args: Any, **options: Any) -> str:
        """Write the figure to an HTML file that needs no network; returns the HTML.

        Parameters
        ----------
        path
            The file, as text or a ``Path``; left out, nothing is written.
        *args, **options
            As for plotly's ``to_html``. ``include_plotlyjs="directory"`` keeps plotly.js (5 MB) in
            one file beside it, once for all figures of that folder.
        """
        if isinstance(path, dict):  # plotly's own first argument
            return str(super().to_html(path, *args, **options))
        if path is None:
            return str(super().to_html(*args, **options))
        path = path_of(path, "path")
        self.write_html(path, **options)
        return str(path.read_text(encoding="utf-8"))

    def to_png(self, path: str | Path, *, width: int = 1_200, scale: float = 2.0) -> Path:
        """Write the figure to a PNG file.

        Parameters
        ----------
        path
            The file.
        width
            Pixels, before scaling.
        scale
            Pixels of the file per pixel of the figure.

        Raises
        ------
        ExportUnavailable
            If kaleido or a Chromium is missing.
        """
        path = path_of(path, "path")
        height = int(self.layout.height or 420)
        try:
            self.write_image(path, format="png", width=width, height=height, scale=scale)
        except (ValueError, ImportError, RuntimeError, OSError) as error:
            raise ExportUnavailable(
                "a PNG is written by kaleido and a Chromium: pip install kaleido, and install "
                f"Chromium or Chrome; .to_html(path) needs neither ({_first_line(error)})"
            ) from error
        return path


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def still(chart: Chart, theme: str = "light", widget: Callable[[], Any] | None = None) -> Figure:
    """Make a static figure of a chart as it is now.

    Parameters
    ----------
    chart
        A chart that has taken its rows.
    theme
        ``light`` or ``dark``.
    widget
        Called by ``Figure.zoomable``.

    Raises
    ------
    InvalidInput
        If the theme is neither ``light`` nor ``dark``.
    """
    resolve("", theme)  # refuse a wrong theme before the work
    spec, drawing = chart.spec(), chart.draw()
    _put_arrays(spec, drawing)
    for band in spec.get("bands", ()):
        _put_band(spec["data"], **band)
    for path, value in drawing.layout.items():
        if not path.startswith(META):
            _put(spec["layout"], path.split("."), value)
    for path, value in drawing.traces.items():
        trace, _, rest = path.partition(".")
        _put(spec["data"][int(trace)], rest.split("."), value)
    if chart.time_axis and drawing.window is not None:
        spec["layout"][chart.time_axis]["range"] = list(drawing.window)
    _annotate_gaps(spec["layout"])
    figure = Figure(resolve({"data": spec["data"], "layout": spec["layout"]}, theme))
    figure.make_widget = widget
    return figure


def _annotate_gaps(layout: Spec) -> None:
    # Plotly's shapes cannot be hovered over, so a mark at the foot of each gap says what it is.
    gaps = [shape for shape in layout.get("shapes", ()) if shape.get("name")]
    layout["annotations"] = [*layout.get("annotations", ()), *map(_gap_mark, gaps)]


def _gap_mark(gap: Spec) -> Spec:
    return {
        "x": (gap["x0"] + gap["x1"]) / 2,
        "y": 0,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "text": "▴",
        "font": {"size": 11, "color": "$muted"},
        "hovertext": literal(gap["name"]),
    }


def _put_arrays(spec: Spec, drawing: Drawing) -> None:
    for (trace, path), values in drawing.arrays.items():
        _put(spec["data"][trace], path.split("."), values)


def _put(target: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        target = target.setdefault(name, {})
    target[path[-1]] = value


def _put_band(traces: list[Spec], trace: int, low: int, high: int) -> None:
    x, y = band_between(traces[low]["x"], traces[low]["y"], traces[high]["x"], traces[high]["y"])
    traces[trace]["x"], traces[trace]["y"] = x, y


def band_between(
    low_x: Floats, low_y: Floats, high_x: Floats, high_y: Floats
) -> tuple[Floats, Floats]:
    """Outline the area between two stepped lines: one outline for each unbroken stretch."""
    lows, highs = _stretches(low_x, low_y), _stretches(high_x, high_y)
    if not lows or len(lows) != len(highs):
        return np.empty(0), np.empty(0)
    xs, ys = [], []
    for (below_x, below_y), (above_x, above_y) in zip(lows, highs, strict=True):
        xs += [below_x, above_x[::-1], np.array([np.nan])]
        ys += [below_y, above_y[::-1], np.array([np.nan])]
    return np.concatenate(xs[:-1]), np.concatenate(ys[:-1])


def _stretches(x: Floats, y: Floats) -> list[tuple[Floats, Floats]]:
    ends = [*np.flatnonzero(np.isnan(y)).tolist(), y.size]
    found, start = [], 0
    for end in ends:
        if end > start:
            part_x, part_y = x[start:end], y[start:end]
            found.append((np.repeat(part_x, 2)[1:], np.repeat(part_y, 2)[:-1]))
        start = end + 1
    return found
