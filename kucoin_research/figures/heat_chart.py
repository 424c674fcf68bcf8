"""The heat map of an order book over time."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.figures.book_levels import (
    CHANGES,
    BookWalk,
    Levels,
    as_far_as_known,
    levels_of,
    sound_changes,
)
from kucoin_research.figures.chart import Arrays, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import best_quotes, events
from kucoin_research.figures.downsample import Extremes, broken, bucket_width
from kucoin_research.figures.line_charts import ASK_DASH, line
from kucoin_research.figures.shown_sizes import ShownSizes, sizes_of
from kucoin_research.figures.theme import Spec, price_axis
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.time_range import Slots
from kucoin_research.figures.value_axis import last_place, nice_step

__all__ = ["HeatChart"]

Floats32 = npt.NDArray[np.float32]


class HeatChart(TimeChart):
    """Shows the book over time: the colour is the size that rested at each price.

    Prices at which a book is not known are grey: beyond the last level of a feed that has 5 or 50
    of a side, and beyond the end of a snapshot that the exchange cut off.

    Options: ``bins``, the number of price steps on the height; ``unit`` of the sizes, left out: the
    exchange's.
    """

    roles = (Role("book", ("depth50", "depth5", "level2")),)
    shown_thing = ("book", "books")
    fastest = 5.0
    needs_past = True  # changes are applied from a snapshot on

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._most = max(view.px // 5, 60)
        self._width = bucket_width(view.shortest_ns, self._most)
        self._bins = int(sketch.options.get("bins") or 80)
        self._step = 0.0
        self._sizes = sizes_of(sketch)
        self._columns: dict[int, Levels] = {}  # by bucket of time
        self._touch = [Extremes(view.points) for _ in range(2)]
        self._blanks: list[list[int]] = [[], []]  # times from which on the best is not known
        self._walk: BookWalk | None = None
        self._earlier: tuple[int, Levels] | None = None  # of the walk, the last before the span
        self._has_later = False

    def spec(self) -> Spec:
        """Describe the traces: heat map, best bid, best ask, and what is not known."""
        quote = {"shape": "hv", "width": 1.2, "hoverinfo": "skip"}
        size = f"10<sup>%{{z:.1f}}</sup>{self._sizes.unit_word}"
        return {
            "data": [
                {
                    "type": "heatmap",
                    "name": "resting size",
                    "x": [],
                    "y": [],
                    "z": [],
                    "transpose": True,
                    "colorscale": "$heat",
                    "zmin": 0,
                    "zmax": 4,
                    "connectgaps": False,
                    "hoverongaps": False,
                    "colorbar": {
                        "title": {"text": self._sizes.title("size"), "font": {"size": 11}},
                        "tickvals": list(_DECADES),
                        "ticktext": [_power_of_ten(each) for each in _DECADES],
                        "thickness": 10,
                        "outlinewidth": 0,
                        "len": 0.9,
                    },
                    "hovertemplate": f"{size} at %{{y:,.15~r}}<extra></extra>",
                },
                # Their labels put them into the line of values above the chart.
                line("best bid", "$buy", "", meta={"label": "bid"}, **quote),
                line("best ask", "$sell", "", meta={"label": "ask"}, dash=ASK_DASH, **quote),
                {
                    "type": "heatmap",
                    "name": "not known",
                    "x": [],
                    "y": [],
                    "z": [],
                    "transpose": True,
                    "colorscale": [[0, "$unknown"], [1, "$unknown"]],
                    "zmin": 0,
                    "zmax": 1,
                    "showscale": False,
                    "showlegend": True,
                    "hoverongaps": False,
                    "hovertemplate": "not known at %{y:,.15~r}<extra></extra>",
                },
            ],
            "layout": self._time_layout(
                "order book over time",
                yaxis=price_axis("price"),
                hovermode="closest",
            ),
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add books, or changes of one."""
        if not rows.height:
            return
        if set(CHANGES) <= set(rows.columns):
            self._take_changes(role, rows)
            return
        rows, times = self._clip(role, rows)
        if not times.size:
            return
        bid, _, ask, _ = best_quotes(rows)
        self._touch[0].add(times, bid, self.horizon)
        self._touch[1].add(times, ask, self.horizon)
        self._fit()
        keys = times // self._width
        last = np.flatnonzero(np.append(keys[1:] != keys[:-1], True))
        for place in last[-4 * self._most :]:
            self._columns[int(keys[place])] = as_far_as_known(
                levels_of(rows[int(place) : int(place) + 1])
            )

    def _take_changes(self, role: str, rows: pl.DataFrame) -> None:
        # The changes since the snapshot are all needed, so the span is cut out of the result.
        self._walk = self._walk or BookWalk()
        rows = sound_changes(rows)
        _, times = self._clip(role, rows)
        if times.size:
            self._fit()
        for time, levels in self._walk.states(rows, events(rows), self._width):
            if levels.bids.size or levels.asks.size or self._columns:
                self._take_state(time, levels)

    def _take_state(self, time: int, levels: Levels) -> None:
        if self.view.span is None:
            self._put(time, levels)
            return
        begin, end = self._edges
        if time < begin:
            self._earlier = time, levels
            return
        if self._earlier is not None:
            self._put(*self._earlier)
            self._earlier = None
        if time <= end or (self._columns and not self._has_later):
            self._has_later = time > end
            self._put(time, levels)

    def _put(self, time: int, levels: Levels) -> None:
        self._columns[time // self._width] = levels
        at = np.array([time], np.int64)
        for touch, blanks, side in zip(
            self._touch, self._blanks, (levels.bids, levels.asks), strict=True
        ):
            if side.size:
                touch.add(at, side[:1])
            elif touch.times.size and (not blanks or blanks[-1] < touch.times[-1]):
                blanks.append(time)

    def _fit(self) -> None:
        # Columns grow wider as the time shown grows longer, to keep their number bounded.
        begin, end = self._in_view()
        shown = end - max(begin, self._oldest) + 1
        length = self.view.length_ns
        width = bucket_width(shown if length is None else min(shown, length), self._most)
        if width > self._width:
            ratio = width // self._width
            self._columns = {key // ratio: levels for key, levels in self._columns.items()}
            self._width = width

    def _slots(self) -> Slots:
        return Slots(self._width, self._newest // self._width * self._width)

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        self._drop_old()
        arrays: Arrays = {}
        x, y, z, unknown = self._matrix()
        arrays[0, "x"], arrays[0, "y"], arrays[0, "z"] = x, y, z
        arrays[3, "x"], arrays[3, "y"], arrays[3, "z"] = x, y, unknown
        gaps = self.gap_breaks
        for trace, (touch, blanks) in enumerate(zip(self._touch, self._blanks, strict=True), 1):
            ends = np.sort(np.concatenate((gaps, np.array(blanks, np.int64))))
            times, values = broken(touch.times, touch.values, ends)
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(times), values
        low, high = _colour_range(z)
        colours = {"0.zmin": low, "0.zmax": high, "0.showscale": bool(z.size)}
        return self._drawing(arrays, colours)

    def _drop_old(self) -> None:
        horizon = self.horizon
        if horizon is None:
            return
        for touch, blanks in zip(self._touch, self._blanks, strict=True):
            touch.drop_before(horizon)
            blanks[:] = [time for time in blanks if time >= horizon]
        oldest = horizon // self._width
        self._columns = {k: levels for k, levels in self._columns.items() if k >= oldest}

    def _matrix(self) -> tuple[Floats, Floats, Floats32, Floats32]:
        # Times, prices, logarithms of the sizes, and 1 where nothing is known.
        keys = self._keys()
        books = self._standing(keys)
        there = [book for book in books if book is not None]
        if not any(book.bids.size or book.asks.size for book in there):
            nothing = np.empty((0, 0), np.float32)
            return np.empty(0), np.empty(0), nothing, nothing
        low, high = _price_range(there)
        step = self._fitted_step(low, high)
        first, count = floor(low / step), int(floor(high / step) - floor(low / step)) + 1
        if count == 1:  # plotly would draw a single row with height 1, whatever the price
            first, count = first - 1, 3
        prices: Floats = (first + np.arange(count, dtype=np.float64) + 0.5) * step
        sizes = np.zeros((keys.size, count), np.float64)
        is_known = np.zeros((keys.size, count), np.bool_)
        for place, book in enumerate(books):
            if book is not None:
                sizes[place] = _binned(book, self._sizes, step, first, count)
                is_known[place] = (prices >= book.floor) & (prices <= book.ceiling)
        z = np.where(sizes > 0, np.log10(np.maximum(sizes, 1e-9)), np.nan)
        unknown = np.where(is_known | (sizes > 0), np.nan, 1.0)
        x = self.on_axis(self._column_times(keys))
        return x, prices, z.astype(np.float32), unknown.astype(np.float32)

    def _keys(self) -> Times:
        """Return the columns from the first book in view to the last, also those without one."""
        if not self._columns:
            return np.empty(0, np.int64)
        first, last = min(self._columns), max(self._columns)
        if self.view.span is not None:  # the books before and after the span may be far away
            begin, end = self._edges
            first, last = max(first, begin // self._width), min(last, end // self._width)
        return np.arange(first, last + 1)

    def _standing(self, keys: Times) -> list[Levels | None]:
        """Return the book at each of some columns in a row."""
        # A book stays as it is until it changes; after a long silence, or where rows are missing,
        # it is unknown.
        stands, lost = self._stands, self.gap_begins // self._width
        newest = max((key for key in self._columns if keys.size and key < keys[0]), default=None)
        found: list[Levels | None] = []
        for key in keys.tolist():
            newest = key if key in self._columns else newest
            has_ended = (
                newest is None
                or key - newest > stands
                or np.searchsorted(lost, newest) < np.searchsorted(lost, key)
            )
            found.append(None if newest is None or has_ended else self._columns[newest])
        return found

    def _column_times(self, keys: Times) -> Times:
        if keys.size > 1:
            return keys * self._width + self._width // 2
        # Plotly would draw a single column a millisecond wide, so it gets the edges. It is as wide
        # as its time, and while the newest data are followed it may reach to the end of the axis.
        begin = int(keys[0]) * self._width
        end = begin + self._width
        return np.array([begin, end if self.view.span is not None else max(end, self.range_ns[1])])

    @property
    def _stands(self) -> int:
        # The same length of time, however narrow the columns are: while the window fills, and in a
        # zoomed view.
        length = self.view.window_ns or self._newest - self._oldest
        full = bucket_width(max(length, self.view.length_ns or 0), self._most)
        return _STANDS * max(full // self._width, 1)

    def _fitted_step(self, low: float, high: float) -> float:
        # Kept while it fits roughly, so that old columns stay as they are.
        wanted = (high - low) / self._bins
        if wanted <= 1e-12 * abs(high):  # one price
            wanted = last_place(high)
        if not (self._step and wanted <= self._step <= 4 * wanted):
            self._step = nice_step(wanted)
        return self._step


def _price_range(books: Sequence[Levels]) -> tuple[float, float]:
    # Where one side is not known, the market is at the other one's best.
    found = [book for book in books if book.bids.size or book.asks.size]
    lows = [(book.bids[:_PRICED][-1] if book.bids.size else book.asks[0]) for book in found]
    highs = [(book.asks[:_PRICED][-1] if book.asks.size else book.bids[0]) for book in found]
    return float(min(lows)), float(max(highs))


_PRICED = 50  # levels of a side that the range of prices covers
_STANDS = 8  # empty columns of a full window across which the last book is drawn on


def _colour_range(z: Floats32) -> tuple[float, float]:
    # In halves of a power of ten, so that the colours do not change with each row.
    present = z[np.isfinite(z)]
    if not present.size:
        return 0.0, 4.0
    low, high = np.percentile(present, (2, 99.8))
    bottom, top = float(np.floor(low * 2) / 2), float(np.ceil(high * 2) / 2)
    return bottom, max(top, bottom + 0.5)  # equal sizes need a range, too


def _binned(levels: Levels, shown: ShownSizes, step: float, first: int, count: int) -> Floats:
    prices = np.concatenate((levels.bids, levels.asks))
    sizes = np.concatenate((levels.bid_sizes, levels.ask_sizes))
    sizes = shown.of(sizes, prices)
    places = np.floor(prices / step + 1e-9).astype(np.int64) - first
    inside = (places >= 0) & (places < count)
    return np.bincount(places[inside], sizes[inside], count).astype(np.float64)


# Labels of the colour bar; plotly shows those in its range.
_DECADES = range(-9, 21)


_PREFIXES = ("", "k", "M", "G", "T", "P", "E")  # the ones that plotly puts on axes of sizes


def _power_of_ten(exponent: int) -> str:
    if exponent < 0:
        return f"{10.0**exponent:.{-exponent}f}"
    return f"{10 ** (exponent % 3)}{_PREFIXES[exponent // 3]}"
