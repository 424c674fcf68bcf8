"""Charts of the order book: cumulative depth, a price ladder, and a heat map over time."""

from __future__ import annotations

from math import floor, log10
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import ColumnMissing
from kucoin_research.figures.chart import Arrays, Chart, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import best_quotes, events
from kucoin_research.figures.downsample import Extremes, broken, bucket_width
from kucoin_research.figures.line_charts import line
from kucoin_research.figures.theme import Spec, layout, literal, price_axis, size_axis
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.value_axis import last_place, spanning, steady

__all__ = [
    "BOOK_FORMS",
    "BookChart",
    "DepthChart",
    "HeatChart",
    "LadderChart",
    "Levels",
    "levels_of",
]

SIDE_BY_SIDE = ("bid_price", "bid_size", "ask_price", "ask_size")
_LISTS = ("bid_prices", "bid_sizes", "ask_prices", "ask_sizes")
_NUMBERED = tuple(f"{name}_{level}" for name in SIDE_BY_SIDE for level in range(1, 6))
CHANGES = ("side", "price", "size", "is_snapshot")
#: Columns of frames that have a book: ``OrderBook.depth()``, ``depth50``, ``depth5``, ``level2``.
BOOK_FORMS = (SIDE_BY_SIDE, _LISTS, _NUMBERED, CHANGES)
_NICE = (1.0, 2.0, 5.0, 10.0)

Floats32 = npt.NDArray[np.float32]


class Levels(NamedTuple):
    """A book: prices and sizes of both sides, best first."""

    bids: Floats
    bid_sizes: Floats
    asks: Floats
    ask_sizes: Floats

    @property
    def mid(self) -> float | None:
        """Between the best two; ``None`` when a side is empty."""
        if not self.bids.size or not self.asks.size:
            return None
        return float((self.bids[0] + self.asks[0]) / 2)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at the best ask or above it, which no market's book is."""
        return bool(self.bids.size and self.asks.size and self.bids[0] >= self.asks[0])


def levels_of(frame: pl.DataFrame) -> Levels:
    """Read the newest book from a frame of any kind that has one.

    Parameters
    ----------
    frame
        ``OrderBook.depth()``, or rows of ``depth50``, ``depth5`` or ``level2`` (which must hold a
        snapshot to begin with; without one the changes alone are shown).

    Raises
    ------
    ColumnMissing
        If it is none of these.
    """
    columns = set(frame.columns)
    if set(SIDE_BY_SIDE) <= columns:
        parts = [frame[name].cast(pl.Float64).to_numpy() for name in SIDE_BY_SIDE]
        return _clean(*parts)
    if set(_LISTS) <= columns:
        return _clean(*(_last_list(frame, name) for name in _LISTS))
    if set(_NUMBERED) <= columns:
        return _clean(*(_numbered(frame, name) for name in SIDE_BY_SIDE))
    if set(CHANGES) <= columns:
        return _rebuilt(frame)
    raise ColumnMissing(
        "a book cannot be drawn of this frame; it takes rows of 'depth50', 'depth5' or 'level2', "
        f"or OrderBook.depth(), and this has {', '.join(map(repr, frame.columns)) or 'no columns'}"
    )


def _clean(bids: Floats, bid_sizes: Floats, asks: Floats, ask_sizes: Floats) -> Levels:
    is_bid = np.isfinite(bids) & (bid_sizes > 0)
    is_ask = np.isfinite(asks) & (ask_sizes > 0)
    return Levels(bids[is_bid], bid_sizes[is_bid], asks[is_ask], ask_sizes[is_ask])


def _last_list(frame: pl.DataFrame, name: str) -> Floats:
    return np.array(frame[name][-1] if frame.height else [], float)


def _numbered(frame: pl.DataFrame, name: str) -> Floats:
    names = [f"{name}_{level}" for level in range(1, 6)]
    row = frame.select(names).row(-1) if frame.height else [None] * 5
    return np.array([np.nan if value is None else value for value in row], float)


def sound_changes(changes: pl.DataFrame) -> pl.DataFrame:
    """Leave out changes that say no side, price or size: nobody knows what they did."""
    is_known = changes["price"].is_finite() & changes["size"].is_finite()
    is_known = is_known.fill_null(value=False) & changes["side"].is_not_null()
    if changes["is_snapshot"].null_count():
        changes = changes.with_columns(pl.col("is_snapshot").fill_null(value=False))
    return changes if is_known.all() else changes.filter(is_known)


def _rebuilt(frame: pl.DataFrame) -> Levels:
    frame = sound_changes(frame)
    if frame.height and frame["is_snapshot"].any():
        flags = frame["is_snapshot"].to_numpy()
        last = int(np.flatnonzero(flags)[-1])
        before = np.flatnonzero(~flags[:last])
        frame = frame[int(before[-1]) + 1 if before.size else 0 :]
    newest = (
        frame.group_by("side", "price", maintain_order=True)
        .agg(pl.col("size").last())
        .filter(pl.col("size") > 0)
    )
    bids = newest.filter(pl.col("side") == "buy").sort("price", descending=True)
    asks = newest.filter(pl.col("side") == "sell").sort("price")
    return Levels(
        bids["price"].to_numpy(), bids["size"].to_numpy(),
        asks["price"].to_numpy(), asks["size"].to_numpy(),
    )  # fmt: skip


def no_levels() -> Levels:
    return levels_of(pl.DataFrame(schema=dict.fromkeys(SIDE_BY_SIDE, pl.Float64)))


class BookChart(Chart):
    """A chart of the newest book. Option: ``levels``, how many are shown per side."""

    roles = (Role("book", ("level2", "depth50", "depth5")),)
    time_axis = None
    fastest = 10.0

    _LEVELS = 50

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._levels = no_levels()
        self._most = int(sketch.options.get("levels") or self._LEVELS)

    @property
    def is_empty(self) -> bool:
        """Whether no book has come yet."""
        return not self._levels.bids.size and not self._levels.asks.size

    def take(self, role: str, rows: pl.DataFrame) -> None:  # noqa: ARG002
        """Take the newest book from the rows; those before are forgotten.

        A book without levels is one that is out of step: nothing of it may be shown any more. Nor
        is one that is crossed.
        """
        if rows.height or set(SIDE_BY_SIDE) <= set(rows.columns):
            levels = levels_of(rows)
            self._levels = no_levels() if levels.is_crossed else levels

    def waiting(self) -> list[Spec]:
        """Say that there is no book that could be trusted."""
        notes = super().waiting()
        for note in notes:
            of = f" of {literal(self.sketch.symbol)}" if self.sketch.symbol else ""
            note["text"] = f"waiting for a book{of}"
        return notes

    def _marks(self) -> list[Spec]:
        levels = self._levels
        if levels.mid is None:
            return self.waiting()
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
    """Cumulative size of the book on both sides of the mid."""

    _LEVELS = 200

    def spec(self) -> Spec:
        """Describe the traces: bids, asks."""
        side = {"shape": "hv", "width": 1.6, "fill": "tozeroy"}
        hover = "%{y:,.15~r} within %{x:,.15~r}<extra></extra>"
        return {
            "data": [
                line("bids, cumulative", "$buy", hover, fillcolor="$buy_soft", **side),
                line("asks, cumulative", "$sell", hover, fillcolor="$sell_soft", **side),
            ],
            "layout": layout(
                self._title("depth"),
                height=self.sketch.height,
                xaxis=price_axis("price"),
                yaxis=size_axis("cumulative size", rangemode="tozero"),
                hovermode="closest",
                showlegend=not self.sketch.is_compact,
            ),
        }

    def draw(self) -> Drawing:
        """Picture the newest book."""
        levels, most = self._levels, self._most
        arrays: Arrays = {
            (0, "x"): levels.bids[:most],
            (0, "y"): np.cumsum(levels.bid_sizes[:most]),
            (1, "x"): levels.asks[:most],
            (1, "y"): np.cumsum(levels.ask_sizes[:most]),
        }
        prices = steady("xaxis", (arrays[0, "x"], arrays[1, "x"]))
        return Drawing(arrays, {"annotations": self._marks(), **prices}, None)


class LadderChart(BookChart):
    """The book as a ladder: size at each step of price around the mid."""

    _LEVELS = 20

    def spec(self) -> Spec:
        """Describe the traces: asks above, bids below."""
        bars = {
            "type": "bar",
            "orientation": "h",
            "x": [],
            "y": [],
            "width": [],
            "hovertemplate": "%{x:,.15~r} at %{y:,.15~r}<extra></extra>",
        }
        return {
            "data": [
                {**bars, "name": "asks", "marker": {"color": "$sell", "line": {"width": 0}}},
                {**bars, "name": "bids", "marker": {"color": "$buy", "line": {"width": 0}}},
            ],
            "layout": layout(
                self._title("price ladder"),
                height=self.sketch.height,
                xaxis=size_axis("size per step", rangemode="tozero"),
                yaxis=price_axis("price", side="right"),
                barmode="overlay",
                hovermode="closest",
                showlegend=not self.sketch.is_compact,  # there the line above takes its place
            ),
        }

    def draw(self) -> Drawing:
        """Picture the newest book."""
        step = self._step()
        arrays: Arrays = {}
        sides = (
            (0, self._levels.asks, self._levels.ask_sizes, np.ceil),
            (1, self._levels.bids, self._levels.bid_sizes, np.floor),
        )
        for trace, prices, sizes, towards in sides:
            # Rounded away from the mid; the small addend takes the noise of binary fractions.
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
        return Drawing(arrays, {"annotations": self._marks(), **spanning("yaxis", bounds)}, None)

    def _step(self) -> float:
        # The tick, or so much more that the rungs are mostly filled.
        steps = []
        for prices in (self._levels.bids, self._levels.asks):
            if prices.size > 1:
                shown = prices[: self._most]
                tick = float(np.abs(np.diff(shown)).min())
                steps.append(max(tick, abs(float(shown[-1] - shown[0])) / self._most))
        return nice_step(max(steps, default=0.0) or self._finest())

    def _finest(self) -> float:
        # Of one level a side nobody knows the tick; the prices themselves have a last place.
        best = [float(side[0]) for side in (self._levels.bids, self._levels.asks) if side.size]
        apart = abs(best[-1] - best[0]) if best else 0.0
        return max(apart / self._most, *map(last_place, best), 0.0) or 1.0


def _bounds(rungs: Floats, step: float) -> tuple[float, float] | None:
    # Told, since plotly makes room for a rung of height 1 where a side has no other.
    if not rungs.size:
        return None
    low, high = float(rungs.min()), float(rungs.max())
    room = step if high > low else 2 * step
    return low - room, high + room


def nice_step(size: float) -> float:
    power = 10.0 ** floor(log10(size) + 1e-9)
    return next(nice for nice in _NICE if nice * power >= size * (1 - 1e-9)) * power


class HeatChart(TimeChart):
    """The book over time: colour tells the size that rested at each price.

    Options: ``bins``, how many steps of price the height is divided into.
    """

    roles = (Role("book", ("depth50", "depth5", "level2")),)
    fastest = 5.0
    needs_past = True  # a walk through changes begins at a snapshot

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._most = max(view.px // 5, 60)
        self._width = bucket_width(view.shortest_ns, self._most)
        self._bins = int(sketch.options.get("bins") or 80)
        self._step = 0.0
        self._columns: dict[int, Levels] = {}  # by bucket of time
        self._touch = [Extremes(view.points) for _ in range(2)]
        self._walk: BookWalk | None = None

    def spec(self) -> Spec:
        """Describe the traces: heat map, best bid, best ask."""
        quote = {"shape": "hv", "width": 1.2, "hoverinfo": "skip"}
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
                        "title": {"text": "size", "font": {"size": 11}},
                        "tickvals": list(_DECADES),
                        "ticktext": [_power_of_ten(each) for each in _DECADES],
                        "thickness": 10,
                        "outlinewidth": 0,
                        "len": 0.9,
                    },
                    "hovertemplate": "10<sup>%{z:.1f}</sup> at %{y:,.15~r}<extra></extra>",
                },
                line("best bid", "$buy", "", **quote),
                line("best ask", "$sell", "", **quote),
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
            self._columns[int(keys[place])] = levels_of(rows[int(place) : int(place) + 1])

    def _take_changes(self, role: str, rows: pl.DataFrame) -> None:
        # A walk has to begin at a snapshot, so it takes all rows; what it gives is clipped.
        self._walk = self._walk or BookWalk()
        rows = sound_changes(rows)
        _, times = self._clip(role, rows)
        if times.size:
            self._fit()
        for time, levels in self._walk.states(rows, events(rows), self._width):
            inside = self.view.span is None or self.view.span[0] <= time <= self.view.span[1]
            if inside and levels.mid is not None:
                self._columns[time // self._width] = levels
                at = np.array([time], np.int64)
                self._touch[0].add(at, levels.bids[:1])
                self._touch[1].add(at, levels.asks[:1])

    def _fit(self) -> None:
        # The columns grow wider as what is shown grows longer.
        begin, end = self._in_view()
        shown = end - max(begin, self._oldest) + 1
        length = self.view.length_ns
        width = bucket_width(shown if length is None else min(shown, length), self._most)
        if width > self._width:
            ratio = width // self._width
            self._columns = {key // ratio: levels for key, levels in self._columns.items()}
            self._width = width

    def draw(self) -> Drawing:
        """Picture what has been taken so far."""
        self._drop_old()
        arrays: Arrays = {}
        x, y, z = self._matrix()
        arrays[0, "x"], arrays[0, "y"], arrays[0, "z"] = x, y, z
        gaps = self.gap_breaks
        for trace, touch in enumerate(self._touch, 1):
            times, values = broken(touch.times, touch.values, gaps)
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(times), values
        drawing = self._drawing(arrays)
        low, high = _colour_range(z)
        return drawing._replace(traces={"0.zmin": low, "0.zmax": high})

    def _drop_old(self) -> None:
        horizon = self.horizon
        if horizon is None:
            return
        for touch in self._touch:
            touch.drop_before(horizon)
        oldest = horizon // self._width
        self._columns = {k: levels for k, levels in self._columns.items() if k >= oldest}

    def _matrix(self) -> tuple[Floats, Floats, Floats32]:
        if not any(levels.bids.size or levels.asks.size for levels in self._columns.values()):
            return np.empty(0), np.empty(0), np.empty((0, 0), np.float32)
        keys = np.arange(min(self._columns), max(self._columns) + 1)
        low, high = self._price_range()
        step = self._fitted_step(low, high)
        first, count = floor(low / step), int(floor(high / step) - floor(low / step)) + 1
        if count == 1:  # which plotly would draw as high as 1, whatever the price
            first, count = first - 1, 3
        sizes = np.full((keys.size, count), np.nan, np.float64)
        previous, quiet, stands = None, 0, self._stands
        for place, key in enumerate(keys.tolist()):
            levels = self._columns.get(key)
            # A book stands until it changes; a long silence is none that we know of.
            quiet = 0 if levels is not None else quiet + 1
            levels = previous if levels is None and quiet <= stands else levels
            previous = levels
            if levels is not None:
                sizes[place] = _binned(levels, step, first, count)
        z = np.where(np.isfinite(sizes), np.log10(np.maximum(sizes, 1e-9)), np.nan)
        z[sizes == 0] = np.nan
        times = keys * self._width + self._width // 2
        prices = (first + np.arange(count) + 0.5) * step
        return self.on_axis(times), prices.astype(np.float64), z.astype(np.float32)

    @property
    def _stands(self) -> int:
        # As long a time, however narrow the columns still are.
        length = self.view.length_ns
        full = self._width if length is None else bucket_width(length, self._most)
        return _STANDS * max(full // self._width, 1)

    def _price_range(self) -> tuple[float, float]:
        lows = [levels.bids[min(levels.bids.size, 50) - 1] for levels in self._columns.values()
                if levels.bids.size]  # fmt: skip
        highs = [levels.asks[min(levels.asks.size, 50) - 1] for levels in self._columns.values()
                 if levels.asks.size]  # fmt: skip
        low = min(lows) if lows else min(highs)
        high = max(highs) if highs else max(lows)
        return float(low), float(high)

    def _fitted_step(self, low: float, high: float) -> float:
        # Kept while it fits roughly, so that old columns stay as they are.
        wanted = (high - low) / self._bins
        if wanted <= 1e-12 * abs(high):  # one price
            wanted = last_place(high)
        if not (self._step and wanted <= self._step <= 4 * wanted):
            self._step = nice_step(wanted)
        return self._step


_STANDS = 8  # empty columns of a full window that the last book is drawn on for


def _colour_range(z: Floats32) -> tuple[float, float]:
    # In halves of a power of ten, so that the colours do not change with each row.
    present = z[np.isfinite(z)]
    if not present.size:
        return 0.0, 4.0
    low, high = np.percentile(present, (2, 99.8))
    bottom, top = float(np.floor(low * 2) / 2), float(np.ceil(high * 2) / 2)
    return bottom, max(top, bottom + 0.5)  # sizes that are all alike have a colour, too


def _binned(levels: Levels, step: float, first: int, count: int) -> Floats:
    prices = np.concatenate((levels.bids[:200], levels.asks[:200]))
    sizes = np.concatenate((levels.bid_sizes[:200], levels.ask_sizes[:200]))
    places = np.floor(prices / step + 1e-9).astype(np.int64) - first
    inside = (places >= 0) & (places < count)
    return np.bincount(places[inside], sizes[inside], count).astype(np.float64)


# Of sizes on the colour bar; plotly shows those that are in its range.
_DECADES = range(-9, 21)
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")  # as plotly's own axes of sizes have them


def _power_of_ten(exponent: int) -> str:
    if exponent < 0:
        return f"{10.0**exponent:.{-exponent}f}"
    return f"{10 ** (exponent % 3)}{_PREFIXES[exponent // 3]}"


class BookWalk:
    """The states of a book that changes lead through."""

    def __init__(self) -> None:
        self._sides: dict[str, dict[float, float]] = {"buy": {}, "sell": {}}
        self._was_snapshot = False

    def states(self, rows: pl.DataFrame, times: Times, width: int) -> list[tuple[int, Levels]]:
        """Apply changes of these times (ns); give the last state in each bucket of time."""
        parts = [rows[name].to_list() for name in ("is_snapshot", "side", "price", "size")]
        found: list[tuple[int, Levels]] = []
        last_time = 0
        for time, is_snapshot, side, price, size in zip(times.tolist(), *parts, strict=True):
            if last_time and time // width != last_time // width:
                found.append((last_time, self._levels()))
            last_time = time
            self._apply(is_snapshot, side, price, size)
        if last_time:
            found.append((last_time, self._levels()))
        return found

    def _apply(self, is_snapshot: bool, side: str, price: float, size: float) -> None:
        if is_snapshot and not self._was_snapshot:
            self._sides = {"buy": {}, "sell": {}}
        self._was_snapshot = is_snapshot
        if size:
            self._sides[side][price] = size
        else:
            self._sides[side].pop(price, None)

    def _levels(self) -> Levels:
        bids = sorted(self._sides["buy"].items(), reverse=True)[:200]
        asks = sorted(self._sides["sell"].items())[:200]
        return Levels(
            *(np.array([each[part] for each in side], float) for side in (bids, asks)
              for part in (0, 1))
        )  # fmt: skip
