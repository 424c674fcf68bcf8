"""Colours and layout of all figures, for the light and the dark theme.

A figure's spec names colours by tokens such as ``$buy``; ``resolve`` replaces them by a theme's
colours. For a static figure that is done when it is made. For a live one the browser does it, each
time the theme is switched.
"""

from __future__ import annotations

import re
from typing import Any

from kucoin_research.errors import InvalidInput, shown

__all__ = [
    "CLEAR",
    "NUMBER",
    "PALETTES",
    "Spec",
    "axis",
    "compacted",
    "filled",
    "fitted",
    "hollow",
    "layout",
    "literal",
    "price_axis",
    "resolve",
    "size_axis",
    "upright",
]

#: The JSON of a plotly figure: ``{"data": [...], "layout": {...}}``.
Spec = dict[str, Any]

# Blue and orange of Okabe and Ito (https://jfly.uni-koeln.de/color/, read 2026-11-25), which
# people with any common colour blindness can distinguish; lighter on a dark ground.
PALETTES: dict[str, dict[str, Any]] = {
    "light": {
        "buy": "#0072B2",
        "buy_soft": "rgba(0,114,178,0.45)",
        "sell": "#D55E00",
        "sell_soft": "rgba(213,94,0,0.45)",
        "main": "#1F2933",
        "second": "#CC79A7",
        "third": "#009E73",
        "band": "rgba(0,114,178,0.14)",
        "gap": "rgba(204,121,167,0.22)",
        "filled": "rgba(128,128,128,0.16)",
        "unknown": "rgba(100,116,139,0.13)",
        "font": "#39424E",
        "muted": "#6B7684",
        "grid": "rgba(100,116,139,0.18)",
        "line": "rgba(100,116,139,0.45)",
        "paper": "#FFFFFF",
        "hover": "#FFFFFF",
        "heat": [
            [0.0, "rgba(255,255,255,0)"],
            [0.25, "#D6E6F2"],
            [0.5, "#7FB2D9"],
            [0.75, "#0072B2"],
            [0.9, "#E69F00"],
            [1.0, "#D55E00"],
        ],
    },
    "dark": {
        "buy": "#56B4E9",
        "buy_soft": "rgba(86,180,233,0.5)",
        "sell": "#F0912B",
        "sell_soft": "rgba(240,145,43,0.5)",
        "main": "#E6EAF0",
        "second": "#E39BC4",
        "third": "#2BC49A",
        "band": "rgba(86,180,233,0.16)",
        "gap": "rgba(227,155,196,0.22)",
        "filled": "rgba(160,160,160,0.16)",
        "unknown": "rgba(148,163,184,0.16)",
        "font": "#C9D1DB",
        "muted": "#8B96A5",
        "grid": "rgba(148,163,184,0.16)",
        "line": "rgba(148,163,184,0.4)",
        "paper": "#111418",
        "hover": "#1E242C",
        "heat": [
            [0.0, "rgba(17,20,24,0)"],
            [0.25, "#12304A"],
            [0.5, "#1F6FA8"],
            [0.75, "#56B4E9"],
            [0.9, "#F0C04A"],
            [1.0, "#FFF3C4"],
        ],
    },
}


def resolve(part: Any, theme: str) -> Any:
    """Replace the colour tokens in a spec, or in a part of one, by a theme's colours.

    Raises
    ------
    InvalidInput
        If the theme is neither ``light`` nor ``dark``.
    """
    if not isinstance(theme, str) or theme not in PALETTES:
        raise InvalidInput(f"theme must be 'light' or 'dark', not {shown(theme)}")
    return _resolved(part, PALETTES[theme])


def _resolved(part: Any, palette: dict[str, Any]) -> Any:
    if isinstance(part, str) and part.startswith("$"):
        return palette[part[1:]]
    if isinstance(part, dict):
        return {key: _resolved(value, palette) for key, value in part.items()}
    if isinstance(part, list):
        return [_resolved(value, palette) for value in part]
    return part


def literal(text: str) -> str:
    """Escape a foreign text so that plotly shows it as it is.

    Plotly reads tags in texts as markup, links included, and ``$…$`` as TeX where a page has
    MathJax. Only these characters are escaped: plotly does not know all of HTML's entities.
    """
    return "".join(_ESCAPED.get(character, character) for character in text)


_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}

#: Format of any price or size in full: up to 15 digits, without an exponent.
NUMBER = ",.15~r"


def axis(title: str = "", **options: Any) -> Spec:
    """Describe an axis in the house style; ``title`` carries the unit."""
    return {
        "title": {"text": title, "font": {"size": 11, "color": "$muted"}, "standoff": 8},
        "gridcolor": "$grid",
        "linecolor": "$line",
        "zerolinecolor": "$line",
        "tickfont": {"size": 11},
        "automargin": True,
        # Else plotly measures each label at each redraw, for which the browser lays out the page.
        "ticklabeloverflow": "allow",
        **options,
    }


def price_axis(title: str = "", **options: Any) -> Spec:
    """Describe an axis of prices: plain decimals, as many as its labels need to differ.

    A fixed format would not do: coins cost from 1e-9 to 1e6.
    """
    return axis(
        title,
        separatethousands=True,
        exponentformat="none",
        hoverformat=NUMBER,
        **options,
    )


def size_axis(title: str = "", **options: Any) -> Spec:
    """Describe an axis of sizes or volumes: ``12k`` for many, and 0.4 of a coin as it is."""
    return axis(title, separatethousands=True, exponentformat="SI", hoverformat=NUMBER, **options)


def fitted(panel: Spec, height: int) -> Spec:
    """Break the title of a vertical axis in two where its panel is too low for one line.

    Parameters
    ----------
    panel
        The axis; its ``domain`` is its share of the height.
    height
        Of the figure, px.
    """
    low, high = panel.get("domain", (0, 1))
    text, room = panel["title"]["text"], (height - _AROUND) * (high - low)
    # A unit in brackets stays in one piece.
    end = text.find(" (") + 1 or len(text)
    spaces = [place for place, letter in enumerate(text[:end]) if letter == " "]
    if not spaces or len(text) * _LETTER <= room:
        return panel
    middle = min(spaces, key=lambda place: (abs(2 * place + 1 - len(text)), -place))
    broken = f"{text[:middle]}<br>{text[middle + 1 :]}"
    return {**panel, "title": {**panel["title"], "text": broken}}


_AROUND = 110  # px above and below the plot
_LETTER = 5.8  # px of a letter of an axis's title, on average

#: No colour: the part of a hollow shape within its outline.
CLEAR = "rgba(0,0,0,0)"


def hollow(colour: str) -> Spec:
    """Describe the bars of buyers and of rising prices: an outline."""
    return {"color": CLEAR, "line": {"width": 1.2, "color": colour}}


def filled(colour: str) -> Spec:
    """Describe the bars of sellers and of falling prices: differs without colour, too."""
    return {"color": colour, "line": {"width": 0}}


def upright(x: float, colour: str) -> Spec:
    """Describe a dotted line over the height of a figure, at a place of its time axis."""
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"width": 1, "color": colour, "dash": "dot"},
    }


def layout(title: str, *, height: int, **options: Any) -> Spec:
    """Describe a layout in the house style."""
    return {
        "title": {
            "text": title,
            "font": {"size": 14},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 14, "t": 12},
        },
        "height": height,
        "autosize": True,
        "margin": {"l": 14, "r": 14, "t": 62, "b": 10},
        "paper_bgcolor": "$paper",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {
            "color": "$font",
            "size": 12,
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
        },
        "hoverlabel": {
            "bgcolor": "$hover",
            "bordercolor": "$line",
            "font": {"color": "$font", "size": 12},
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "font": {"size": 11},
            "bgcolor": "rgba(0,0,0,0)",
        },
        "hovermode": "x",
        "dragmode": "zoom",
        "uirevision": "kept",
        **options,
    }


def compacted(spec: Spec) -> Spec:
    """Make a spec compact, for a place that names the chart already.

    The legend takes the title's row; a title that depends on the data appears at the right.
    Margins are fixed: measuring labels would double the browser's time for a redraw.
    """
    shown = {name: _fixed(name, part) for name, part in spec["layout"].items()}
    shown["title"] = {
        **shown["title"],
        "text": "",
        "font": {"size": 12, "color": "$muted"},
        "x": 1,
        "xanchor": "right",
        "pad": {"r": 14, "t": 8},
    }
    sides = {part.get("side", "left") for name, part in shown.items() if name.startswith("yaxis")}
    left, right = (_BESIDE if side in sides else 12 for side in ("left", "right"))
    has_dates = any(part.get("type") == "date" for name, part in shown.items() if "axis" in name)
    shown["margin"] = {"t": 30, "b": _BELOW_DATES if has_dates else 40, "l": left, "r": right}
    return {**spec, "layout": shown}


_BESIDE = 76  # px for the labels and the title of an axis
_BELOW_DATES = 50  # px for two lines of labels, as the first one has its date, and the title


def _fixed(name: str, part: Any) -> Any:
    if not re.match(r"[xy]axis\d*$", name):
        return part
    return {**part, "automargin": False, "title": {**part["title"], "standoff": 4}}
