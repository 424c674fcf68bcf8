"""Makes live figures; the library of widgets is imported when the first one is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kucoin_research.figures.chart import Chart, Sketch
from kucoin_research.figures.tail import Rows
from kucoin_research.model.source import LiveSource

if TYPE_CHECKING:
    from kucoin_research.figures.widget import LiveFigure

__all__ = ["live_widget"]


def live_widget(
    kind: type[Chart],
    source: LiveSource | Callable[[], Rows],
    sketch: Sketch,
    channels: dict[str, str],
    window_ns: int | None,
) -> LiveFigure:
    """Make a live figure.

    Parameters
    ----------
    kind, sketch
        The chart's class and settings.
    source
        A stream, or a function that makes a supply of rows.
    channels
        The channel for each role of the chart; of a stream only.
    window_ns
        Length of the followed window; ``None``: all data.

    Raises
    ------
    ModuleNotFoundError
        If anywidget or a library that it needs is missing; the message says how to install it.
    """
    try:
        from kucoin_research.figures.widget import LiveFigure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"live figures need {error.name}: pip install {error.name}", name=error.name
        ) from error
    return LiveFigure(kind, source, sketch, channels, window_ns=window_ns)
