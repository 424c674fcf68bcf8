"""The account's own orders, position and fills on a chart of prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.figures.chart import Arrays, TimeChart, View
from kucoin_research.figures.decimals import plain
from kucoin_research.figures.shown_sizes import NATIVE, ShownSizes
from kucoin_research.figures.theme import Spec, literal
from kucoin_research.figures.time_axis import Floats
from kucoin_research.figures.trade_marks import FillMarks, marks

__all__ = ["AccountTraces", "fenced"]

_MARGIN = 0.15  # of the prices' range, above and below, where lines may lie
_MOST_LINES = 40  # of more orders, the first are drawn
# Buys and sells differ in dash, too; a position is a line of its own form.
_LOOKS = {
    "buy": ("$buy", "dash", "start"),
    "sell": ("$sell", "dot", "start"),
    "position": ("$font", "longdashdot", "end"),
}


class AccountTraces:
    """Draws open orders and the entry price as lines, and fills as arrows.

    An order far from the price leaves the axis as it is, and is out of sight until the axis is
    moved.

    Parameters
    ----------
    view
        The part of the data to show.
    first
        Number of the first of its traces: bought, sold.
    sizes
        The unit that sizes of fills are shown in.
    """

    roles = ("account_fills", "account_lines")

    def __init__(self, view: View, first: int, sizes: ShownSizes = NATIVE) -> None:
        self._fills = FillMarks(view, first, _fill_text, sizes)
        self._lines: list[Spec] = []

    @staticmethod
    def spec() -> list[Spec]:
        """Describe the traces of fills; their form is another one than that of a strategy's."""
        return [
            {**marks(name, colour, shape, "$font"), "showlegend": False}
            for name, colour, shape in (
                ("bought", "$buy", "arrow-up"),
                ("sold", "$sell", "arrow-down"),
            )
        ]

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add fills, or replace all lines: ``kind``, ``price``, ``label``."""
        if role == "account_fills":
            self._fills.rows.take(rows)
        else:
            self._lines = [_line(*row) for row in rows.head(_MOST_LINES).iter_rows()]

    def draw(self, chart: TimeChart, arrays: Arrays) -> tuple[dict[str, Any], list[Spec]]:
        """Put the fills into a drawing; returns attributes of traces, and the lines as shapes."""
        texts: dict[str, Any] = {}
        if chart.horizon is not None:
            self._fills.rows.drop_before(chart.horizon)
        self._fills.draw(arrays, texts, chart.on_axis)
        return texts, [] if chart.is_empty else self._lines


def fenced(lines: Sequence[Spec], prices: Iterable[Floats]) -> dict[str, Any]:
    """Keep the axis of the prices where they are: lines would extend its automatic range.

    Parameters
    ----------
    lines
        As shapes.
    prices
        All values on the axis.
    """
    known = [each[np.isfinite(each)] for each in prices]
    known = [each for each in known if each.size]
    if not lines or not known:
        return {}
    low, high = min(float(each.min()) for each in known), max(float(each.max()) for each in known)
    if high <= low or all(low <= line["y0"] <= high for line in lines):
        return {}
    margin = _MARGIN * (high - low)
    return {"yaxis.autorangeoptions": {"clipmin": low - margin, "clipmax": high + margin}}


def _line(kind: str, price: float, label: str) -> Spec:
    colour, dash, place = _LOOKS[kind]
    return {
        "type": "line",
        "xref": "paper",
        "yref": "y",
        "x0": 0,
        "x1": 1,
        "y0": price,
        "y1": price,
        "layer": "above",
        "line": {"width": 1, "color": colour, "dash": dash},
        "label": {
            "text": literal(label),
            "textposition": place,
            "yanchor": "top" if kind == "sell" else "bottom",
            "font": {"size": 10, "color": "$font"},
        },
    }


def _fill_text(row: Mapping[str, Any]) -> str:
    lines = [
        f"filled: {row['side']} {row['amount']} at {plain(row['price'])}",
        f"as {row['liquidity'] or 'maker or taker, which is unknown'}",
        f"order {row['order_id']}",
    ]
    return "<br>".join(literal(each) for each in lines)
