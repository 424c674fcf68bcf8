"""The chart of a strategy while it runs: its equity, and its position in one symbol."""

from __future__ import annotations

import numpy as np
import polars as pl

from kucoin_research.figures.chart import Arrays, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import events, numbers
from kucoin_research.figures.downsample import Extremes
from kucoin_research.figures.line_charts import line
from kucoin_research.figures.theme import Spec, literal, price_axis, size_axis
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.value_axis import steady

__all__ = ["RunChart"]

_EQUITY, _POSITION = 0, 1
_VALUES = {"equity": "equity", "positions": "size"}
_VALUE = "%{y:,.15~r}"


class RunChart(TimeChart):
    """Shows equity and position, each as a line that holds until it changes.

    Its rows are ``equity`` and ``positions``, as ``Result`` has them. Options: ``currency``, and
    ``unit``, that of the position.
    """

    roles = tuple(Role(name, (name,), is_needed=False) for name in _VALUES)
    needs_past = True  # a position may be older than the window

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._lines = {role: Extremes(view.points) for role in _VALUES}

    def spec(self) -> Spec:
        """Describe the traces: equity, position."""
        options = self.sketch.options
        currency, unit = (literal(options.get(name, "")) for name in ("currency", "unit"))
        position = f"position, {unit}" if unit else "position"
        stepped = {"shape": "hv", "width": 1.6}
        return {
            "data": [
                line("equity", "$main", f"equity {_VALUE} {currency}<extra></extra>", **stepped),
                line(
                    "position", "$third", f"position {_VALUE} {unit}<extra></extra>", **stepped,
                    yaxis="y2", fill="tozeroy", fillcolor="$band",
                ),
            ],
            "layout": self._time_layout(
                "equity and position",
                yaxis=price_axis(f"equity ({currency})", domain=[0.5, 1], side="right"),
                yaxis2=size_axis(position, domain=[0, 0.42], side="right", zeroline=True),
            ),
        }  # fmt: skip

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add rows, ordered by time."""
        times, values = events(rows), numbers(rows, _VALUES[role])
        if not times.size:
            return
        if role == "equity":  # a sample each second, so it has the newest time
            self._note(role, times, times)
        first, last = 0, times.size
        if self.view.span is not None:  # one more row on either side, since values hold
            begin, end = self.view.span
            first = max(int(np.searchsorted(times, begin)) - 1, 0)
            last = int(np.searchsorted(times, end, "right")) + 1
        self._lines[role].add(times[first:last], values[first:last], self.horizon)

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        arrays: Arrays = {}
        for trace, role in enumerate(_VALUES):
            times, values = self._held(role)
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(times), values
        parts = {
            **steady("yaxis", [arrays[_EQUITY, "y"]]),
            **steady("yaxis2", [arrays[_POSITION, "y"]]),
        }
        return self._drawing(arrays, **parts)

    def _held(self, role: str) -> tuple[Times, Floats]:
        """Return the points of a line from the begin of the run to its newest time."""
        if self.is_empty:
            return np.empty(0, np.int64), np.empty(0)
        series = self._lines[role]
        if self.horizon is not None:
            series.drop_before(self.horizon)
        times, values = series.times, series.values
        if role == "positions" and not (times.size and times[0] <= self._oldest):
            times, values = np.append(self._oldest, times), np.append(0.0, values)
        if times.size and times[-1] < self._newest:
            times, values = np.append(times, self._newest), np.append(values, values[-1])
        return times, values

    def waiting(self) -> str:
        """Return the sentence that stands where the strategy has played no record yet."""
        return "the strategy waits for records" if self.is_empty else super().waiting()
