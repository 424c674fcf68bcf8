"""Figures of market data: static ones of frames and sessions, live ones of streams and replays.

>>> import kucoin_research as kr
>>> kr.figures.price(frame)                       # a plotly figure
>>> kr.figures.price(stream, "XBTUSDTM")          # moves with the stream, in a notebook

The functions are in ``front``. Figures read any source of ``model.source``. They may import
``sessions``, ``frames``, ``model``, ``foundation`` and ``errors``: neither streaming nor playback.
"""

from typing import TYPE_CHECKING, Any

from kucoin_research.figures.front import (
    candles,
    depth,
    flow,
    heatmap,
    ladder,
    lag,
    mark,
    price,
    spread,
)
from kucoin_research.figures.inputs import channels_for
from kucoin_research.figures.refresh import Refresher, Ticket, refresher
from kucoin_research.figures.static import ExportUnavailable, Figure

if TYPE_CHECKING:
    from kucoin_research.figures.widget import LiveFigure

__all__ = [
    "ExportUnavailable",
    "Figure",
    "LiveFigure",
    "Refresher",
    "Ticket",
    "candles",
    "channels_for",
    "depth",
    "flow",
    "heatmap",
    "ladder",
    "lag",
    "mark",
    "price",
    "refresher",
    "spread",
]


def __getattr__(name: str) -> Any:
    if name == "LiveFigure":
        from kucoin_research.figures.widget import LiveFigure

        return LiveFigure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
