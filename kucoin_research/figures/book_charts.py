"""Charts of the newest order book: cumulative depth and a price ladder."""

from __future__ import annotations

from math import floor, log10
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.figures.book_levels import (
    SIDE_BY_SIDE,
    levels_of,
    no_levels,
)
from kucoin_research.figures.chart import Arrays, Chart, Drawing, Role, Sketch, View
from kucoin_research.figures.line_charts import ASK_DASH, line
from kucoin_research.figures.shown_sizes import sizes_of
from kucoin_research.figures.theme import (
    Spec,
    filled,
    hollow,
    layout,
    literal,
    price_axis,
    size_axis,
)
from kucoin_research.figures.time_axis import Floats
from kucoin_research.figures.value_axis import last_place, nice_step, spanning, steady
from kucoin_research.figures.whole_steps import exact_totals
from kucoin_research.model.size_unit import SizeUnit, Unit, units_of

__all__ = ["BookChart", "DepthChart", "LadderChart"]

# Asks differ from bids also without colour.
_HATCHED = {"shape": "/", "fgcolor": "$sell", "bgcolor": "$sell_soft", "size": 7, "solidity": 0.25}
# Of the prices, in the column of a dashboard: plotly would turn its labels.
_NARROW = {"tickangle": 0, "nticks": 4}


class BookChart(Chart):
    """A chart of the newest book.

    Options: ``levels``, the number of levels shown per side; ``unit`` of the sizes, left out: the
    exchange's; ``worth``, the unit of the quote currency, where it is known.
    """

    roles = (Role("book", ("level2", "depth50", "depth5")),)
    time_axis = None
    fastest = 10.0

    _LEVELS = 50

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._levels = no_levels()
        self._most = int(sketch.options.get("levels") or self._LEVELS)
        self._sizes = sizes_of(sketch)
        # The symbol of a pair names its currencies; a contract's worth has to be known.
        worth = sketch.options.get("worth") or units_of(sketch.symbol).get(Unit.QUOTE)
        self._worth: SizeUnit | None = None if worth == self._sizes.unit else worth

    @property
    def is_empty(self) -> bool:
        """Whether there is no book to show."""
        return not self._levels.bids.size and not self._levels.asks.size

    def take(self, role: str, rows: pl.DataFrame) -> None:  # noqa: ARG002
        """Replace the book by the newest one in the rows.

        A book without levels is out of step with the exchange, and a crossed one is wrong: then
        none is shown.
        """
        if rows.height or set(SIDE_BY_SIDE) <= set(rows.columns):
            levels = levels_of(rows)
            self._levels = no_levels() if levels.is_crossed else levels

    def waiting(self) -> str:
        """Return the sentence that stands where there is no reliable book."""
        of = f" of {literal(self.sketch.symbol)}" if self.sketch.symbol else ""
        # There may have been one before, so this is not always the first.
        return f"no book{of} to show" if self.sketch.is_complete else f"waiting for a book{of}"

    def _drawn(self, arrays: Arrays, prices: dict[str, Any]) -> Drawing:
        """Put arrays and the range of prices into a drawing."""
        parts = self._parts(self._filled(arrays))
        parts["annotations"] = [*parts["annotations"], *self._marks()]
        return Drawing(arrays, {**parts, **prices}, None)

    def _marks(self) -> list[Spec]:
        levels = self._levels
        if levels.mid is None:
            return []
        spread = float(levels.asks[0] - levels.bids[0])
        decimals = max(0, 1 - floor(log10(spread) + 1e-6)) if spread > 0 else 8
        mid = f"mid {levels.mid:,.{decimals}f}"
        apart = f"spread {spread:,.{decimals}f} ({spread / levels.mid * 1e4:.2f} bps)"
        return [
            {
                "text": mid if self.sketch.is_compact else f"{mid} · {apart}",
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": 1,
                "yanchor": "bottom",
                "font": {"size": 11, "color": "$muted"},
            }
        ]


class DepthChart(BookChart):
    """Shows the cumulative size of the book on both sides of the mid."""

    _LEVELS = 200

    def spec(self) -> Spec:
        """Describe the traces: bids, asks."""
        side = {
            "shape": "hv",
            "width": 1.6,
            "fill": "tozeroy",
            "customdata": [],
            "meta": self._sizes.meta,
        }
        hover = self._hover()
        return {
            "data": [
                line("bids, cumulative", "$buy", hover, fillcolor="$buy_soft", **side),
                line(
                    "asks, cumulative", "$sell", hover, fillpattern=_HATCHED, dash=ASK_DASH, **side
                ),
            ],
            "layout": layout(
                self._title("depth"),
                height=self.sketch.height,
                xaxis=price_axis("price", **(_NARROW if self.sketch.is_compact else {})),
                yaxis=size_axis(self._sizes.title("cumulative size"), rangemode="tozero"),
                hovermode="x",
                showlegend=not self.sketch.is_compact,
            ),
        }

    def _hover(self) -> str:
        unit = self._sizes.unit
        named = "" if unit is None else f" {literal(unit.name)}"
        parts = [
            "%{x:,.15~r}",
            f"size %{{customdata[0]:,.15~r}}{named}",
            f"cumulated %{{y:,.15~r}}{named}",
            f"worth %{{customdata[3]:,.4~f}} {literal(self._worth.name)}" if self._worth else "",
            "from mid %{customdata[1]:+.4~f} % · %{customdata[2]:+.2f} bp",
        ]
        return "<br>".join(filter(None, parts)) + "<extra></extra>"

    def draw(self) -> Drawing:
        """Draw the newest book."""
        levels, most = self._levels, self._most
        arrays: Arrays = {}
        sides = ((levels.bids, levels.bid_sizes), (levels.asks, levels.ask_sizes))
        for trace, (prices, sizes) in enumerate(sides):
            self._add_side(arrays, trace, prices[:most], sizes[:most])
        return self._drawn(arrays, steady("xaxis", (arrays[0, "x"], arrays[1, "x"])))

    def _add_side(self, arrays: Arrays, trace: int, prices: Floats, sizes: Floats) -> None:
        mid = self._levels.mid
        shown = self._sizes.of(sizes, prices)
        away = np.full(prices.size, np.nan) if mid is None else prices / mid - 1
        facts = [shown, away * 1e2, away * 1e4]
        if self._worth is not None:
            facts.append(exact_totals(self._worth.of(sizes, prices)))
        arrays[trace, "x"], arrays[trace, "y"] = prices, exact_totals(shown)
        arrays[trace, "customdata"] = np.stack(facts, axis=1)


class LadderChart(BookChart):
    """Shows the size at each step of price around the mid."""

    _LEVELS = 20

    def spec(self) -> Spec:
        """Describe the traces: asks above, bids below."""
        bars = {
            "type": "bar",
            "orientation": "h",
            "x": [],
            "y": [],
            "width": [],
            "meta": self._sizes.meta,
            "hovertemplate": f"{self._sizes.value('x')} at %{{y:,.15~r}}<extra></extra>",
        }
        return {
            "data": [
                {**bars, "name": "asks", "marker": filled("$sell")},
                {**bars, "name": "bids", "marker": hollow("$buy")},
            ],
            "layout": layout(
                self._title("price ladder"),
                height=self.sketch.height,
                xaxis=size_axis(self._sizes.title("size per step"), rangemode="tozero"),
                yaxis=price_axis("price", side="right"),
                barmode="overlay",
                hovermode="closest",
                showlegend=not self.sketch.is_compact,  # a compact one has the note there
            ),
        }

    def draw(self) -> Drawing:
        """Draw the newest book."""
        step = self._step()
        arrays: Arrays = {}
        sides = (
            (0, self._levels.asks, self._levels.ask_sizes, np.ceil),
            (1, self._levels.bids, self._levels.bid_sizes, np.floor),
        )
        for trace, prices, counted, towards in sides:
            sizes = self._sizes.of(counted, prices)
            # Rounded away from the mid. The slack keeps a price that is a whole number of steps,
            # but for the error of binary fractions, on its own step.
            slack = -1e-6 if trace == 0 else 1e-6
            steps = towards(prices / step + slack)
            rungs, where = np.unique(steps, return_inverse=True)
            nearest = np.abs(rungs - (steps[0] if steps.size else 0.0))
            order = np.argsort(nearest)[: self._most]
            total = np.bincount(where, sizes, rungs.size) if steps.size else np.empty(0)
            arrays[trace, "y"] = rungs[order] * step
            arrays[trace, "x"] = total[order]
            arrays[trace, "width"] = np.full(len(order), 0.86 * step)
        bounds = _bounds(np.concatenate((arrays[0, "y"], arrays[1, "y"])), step)
        return self._drawn(arrays, spanning("yaxis", bounds))

    def _step(self) -> float:
        # The tick, or a wider step where the levels are sparse, so that most rungs have a size.
        steps = []
        for prices in (self._levels.bids, self._levels.asks):
            if prices.size > 1:
                shown = prices[: self._most]
                tick = float(np.abs(np.diff(shown)).min())
                steps.append(max(tick, abs(float(shown[-1] - shown[0])) / self._most))
        return nice_step(max(steps, default=0.0) or self._finest())

    def _finest(self) -> float:
        # With one level a side the tick is unknown: the last decimal place of the prices stands in.
        best = [float(side[0]) for side in (self._levels.bids, self._levels.asks) if side.size]
        apart = abs(best[-1] - best[0]) if best else 0.0
        return max(apart / self._most, *map(last_place, best), 0.0) or 1.0


def _bounds(rungs: Floats, step: float) -> tuple[float, float] | None:
    # Set explicitly: where a side has one rung, plotly would make room for a bar of height 1.
    if not rungs.size:
        return None
    low, high = float(rungs.min()), float(rungs.max())
    room = step if high > low else 2 * step
    return low - room, high + room
