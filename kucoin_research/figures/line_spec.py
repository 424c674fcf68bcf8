"""The description of a line in a figure."""

from __future__ import annotations

from typing import Any

from kucoin_research.figures.theme import Spec

__all__ = ["OVER", "line"]

#: The ``meta`` of a line that lies over a chart, and is not one of its own.
OVER = {"over": True}


def line(name: str, colour: str, hover: str, **options: Any) -> Spec:
    """Describe a line that does not bridge missing values; ``dash`` is plotly's, or ``solid``."""
    options = {"width": 1.4, "shape": "linear", "yaxis": "y", "xaxis": "x", **options}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [],
        "y": [],
        "xaxis": options.pop("xaxis"),
        "yaxis": options.pop("yaxis"),
        "line": {
            "color": colour,
            "width": options.pop("width"),
            "shape": options.pop("shape"),
            "dash": options.pop("dash", "solid"),
        },
        "connectgaps": False,
        "hovertemplate": hover,
        **options,
    }
