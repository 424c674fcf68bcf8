"""Everything besides the market on a chart of prices: of a strategy, a user, and the account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from kucoin_research.figures.account_traces import AccountTraces, fenced
from kucoin_research.figures.chart import Arrays, Sketch, TimeChart, View
from kucoin_research.figures.shown_sizes import sizes_of
from kucoin_research.figures.theme import Spec
from kucoin_research.figures.time_axis import Floats
from kucoin_research.figures.trade_marks import MARKED, TradeMarks
from kucoin_research.figures.user_traces import UserTraces

__all__ = ["Overlaid", "Overlays"]


class Overlaid(NamedTuple):
    """All that the overlays add to a drawing besides arrays.

    Attributes
    ----------
    traces
        Attributes of traces, by ``"<trace>.<path>"``.
    layout
        Parts of the layout, by dotted path.
    prices
        Values on the axis of the prices.
    shapes
        Lines across the chart.
    """

    traces: dict[str, Any]
    layout: dict[str, Any]
    prices: list[Floats]
    shapes: list[Spec]

    def fence(self, prices: Iterable[Floats]) -> dict[str, Any]:
        """Keep the axis of all these prices from following lines that are far from them."""
        return fenced(self.shapes, prices)


class Overlays:
    """Draws what a strategy, a user and the account add, as far as a chart's options ask.

    Options: ``is_marked``, whether the rows also contain a strategy's fills and notes;
    ``has_account``, whether they contain the account's orders, positions and fills;
    ``hides_future``, whether they contain lines and marks of the user, and whether these are shown
    only up to the newest row of the market; ``unit`` of the sizes, left out: the exchange's.

    Parameters
    ----------
    view, sketch
        Those of the chart.
    first
        Number of the first trace.
    """

    def __init__(self, view: View, sketch: Sketch, first: int) -> None:
        options, sizes = sketch.options, sizes_of(sketch)
        self._marks = TradeMarks(view, first, sizes) if options.get("is_marked") else None
        first += len(self._marks_spec())
        hides_future = options.get("hides_future")
        self._user = (
            None if hides_future is None else UserTraces(view, first, hides_future=hides_future)
        )
        first += 0 if self._user is None else len(self._user.spec())
        has_account = options.get("has_account")
        self._account = AccountTraces(view, first, sizes) if has_account else None

    def _marks_spec(self) -> list[Spec]:
        return [] if self._marks is None else self._marks.spec(is_among_trades=True)

    def spec(self) -> list[Spec]:
        """Describe the traces."""
        parts = [each.spec() for each in (self._user, self._account) if each is not None]
        return [*self._marks_spec(), *(trace for part in parts for trace in part)]

    def axes(self) -> Spec:
        """Describe the further axes."""
        return {} if self._user is None else self._user.axes()

    def take(self, role: str, rows: pl.DataFrame) -> bool:
        """Add rows; returns whether they are of an overlay."""
        if self._marks is not None and role in MARKED:
            self._marks.take(role, rows)
        elif self._user is not None and role in self._user.roles:
            self._user.take(role, rows)
        elif self._account is not None and role in self._account.roles:
            self._account.take(role, rows)
        else:
            return False
        return True

    def draw(
        self, chart: TimeChart, arrays: Arrays, domains: Mapping[str, tuple[float, float]]
    ) -> Overlaid:
        """Put the overlays into a drawing.

        Parameters
        ----------
        chart, arrays
            The chart, and the arrays of the drawing.
        domains
            Shares of the height of the chart's own vertical axes, by their names.
        """
        made = Overlaid({}, {}, [], [])
        if self._marks is not None:
            if chart.horizon is not None:
                self._marks.drop_before(chart.horizon)
            self._marks.draw(arrays, made.traces, chart.on_axis)
            made.prices.extend(self._marks.prices)
        if self._user is not None:
            traces, layout = self._user.draw(chart, arrays, domains)
            made.traces.update(traces)
            made.layout.update(layout)
            made.prices.extend(self._user.prices(arrays))
        if self._account is not None:
            traces, shapes = self._account.draw(chart, arrays)
            made.traces.update(traces)
            made.shapes.extend(shapes)
        return made
