"""Charts of quotes, trades and prices over time."""

from __future__ import annotations

import numpy as np
import polars as pl

from kucoin_research.figures.axis_tags import PriceTags
from kucoin_research.figures.chart import Arrays, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import best_quotes, events, numbers, sides
from kucoin_research.figures.downsample import Bubbles, Extremes, Sums, broken
from kucoin_research.figures.line_spec import line
from kucoin_research.figures.overlays import Overlays
from kucoin_research.figures.price_indicators import PriceIndicators
from kucoin_research.figures.shown_sizes import sizes_of
from kucoin_research.figures.theme import Spec, axis, filled, hollow, price_axis, size_axis
from kucoin_research.figures.time_axis import Floats
from kucoin_research.figures.time_range import Slots
from kucoin_research.figures.value_axis import steady

__all__ = [
    "ASK_DASH",
    "QUOTES",
    "FlowChart",
    "MarkChart",
    "PriceChart",
    "SpreadChart",
    "line",
    "line_arrays",
]

# The ticker comes last: on futures it is sent with each trade, not when the best prices move.
QUOTES = Role("quotes", ("bbo", "depth5", "depth50", "ticker"), is_needed=False)
TRADES = Role("trades", ("trade", "ticker"), is_needed=False)

#: The best ask has dashes, so that it differs from the best bid also without colour.
ASK_DASH = "3px,2px"
_LARGEST_BUBBLE = 26.0  # px across
_SMALLEST_BUBBLE = 4.0
_PRICE = "%{y:,.15~r}"
_FEW_DIGITS = 3  # of labels for computed values; the hover text shows up to 15
_SHARE = 0.85  # of its span of time that a bar of the flow fills; the page reads it
_PREMIUM_NOISE = 1e-9  # bps; the rounding of two prices, 1e-16 of each, makes 1e-12 bps
_SUM_ROUNDING = 1e-10  # of the largest bar; a sum of many sizes is exact to 12 digits or so


class PriceChart(TimeChart):
    """Shows best bid and ask, their middle, and trades as bubbles by size and taker's side.

    Options: ``unit`` of the sizes, left out: the exchange's; those of ``Overlays``, which lie over
    the prices, and of ``PriceIndicators``.
    """

    roles = (QUOTES, TRADES)
    shown_thing = ("quote or trade", "quotes or trades")
    takes_history = True

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._quotes = [Extremes(view.points) for _ in range(3)]
        few = max(3 * view.px // 16, 100)
        self._trades = {side: Bubbles(few) for side in (1, -1)}
        self._sizes = sizes_of(sketch)
        self._overlays = Overlays(view, sketch, 6)
        self._tags = PriceTags()
        self._indicators = PriceIndicators(view, sketch, 6 + len(self._overlays.spec()))
        self.needs_past = bool(self._indicators.traces)

    def spec(self) -> Spec:
        """Describe the traces: band, bid, ask, mid, buys, sells, and marks."""
        quote = {"shape": "hv", "width": 1.1}
        return {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": "spread",
                    "x": [],
                    "y": [],
                    "fill": "toself",
                    "fillcolor": "$band",
                    "line": {"width": 0, "color": "$band"},
                    "hoverinfo": "skip",
                    "showlegend": False,
                },
                line("best bid", "$buy", f"bid {_PRICE}<extra></extra>", **quote),
                line("best ask", "$sell", f"ask {_PRICE}<extra></extra>", dash=ASK_DASH, **quote),
                line(
                    "mid",
                    "$main",
                    f"mid {_PRICE}<extra></extra>",
                    shape="hv",
                    width=1.6,
                    meta={"main": True},  # the crosshair of the keys is on it
                ),
                # Also without colour: buys are rings, sells are discs.
                self._bubbles("buy", "$buy", symbol="circle-open", opacity=0.85, rim="$buy"),
                self._bubbles("sell", "$sell", symbol="circle", opacity=0.62, rim="$paper"),
                *self._overlays.spec(),
                *self._indicators.traces.spec(),
            ],
            "layout": self._time_layout(
                "best bid and ask, trades by size",
                yaxis=price_axis("price", side="right"),
                **self._overlays.axes(),
                **self._indicators.traces.axes(),
            ),
            # The browser makes the band of the bid and ask lines, so it costs no bytes.
            "bands": [{"trace": 0, "low": 1, "high": 2}],
        }

    def _bubbles(self, side: str, colour: str, *, symbol: str, opacity: float, rim: str) -> Spec:
        return {
            "type": "scatter",
            "mode": "markers",
            "name": f"{side} trades",
            "x": [],
            "y": [],
            "customdata": [],
            "marker": {
                "color": colour,
                "size": [],
                "symbol": symbol,
                "opacity": opacity,
                "line": {"width": 1.5 if symbol.endswith("open") else 0.8, "color": rim},
            },
            "hovertemplate": f"{side} {self._sizes.value('customdata[0]')} at {_PRICE}"
            "<br>trades: %{customdata[1]}<extra></extra>",
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add quotes, trades, or rows of the overlays."""
        if self._overlays.take(role, rows):
            return
        self._take_tags(role, rows)
        self._indicators.take(role, rows)
        rows, times = self._clip(role, rows)
        if role == "quotes":
            bid, _, ask, _ = best_quotes(rows)
            for series, values in zip(self._quotes, (bid, ask, (bid + ask) / 2), strict=True):
                series.add(times, values, self.horizon)
            return
        price, side = numbers(rows, "price"), sides(rows)
        size = self._sizes.of(numbers(rows, "size"), price)
        is_inside = self._inside(times)
        for wanted, trades in self._trades.items():
            chosen = (side == wanted) & is_inside
            trades.add(times[chosen], price[chosen], size[chosen], self.horizon)

    def _take_tags(self, role: str, rows: pl.DataFrame) -> None:
        # All rows, since the tags are of now also where an earlier span is shown.
        if role == "quotes":
            bid, _, ask, _ = best_quotes(rows)
            self._tags.take_quotes(events(rows), bid, ask)
        else:
            self._tags.take_prices(events(rows), numbers(rows, "price"))

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        horizon = self.horizon
        arrays: Arrays = {}
        gaps = self.gap_breaks
        for trace, series in enumerate(self._quotes, 1):
            if horizon is not None:
                series.drop_before(horizon)
            times, values = broken(series.times, series.values, gaps)
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(times), values
        for trades in self._trades.values():
            if horizon is not None:
                trades.drop_before(horizon)
        largest = max((t.sizes.max(initial=0.0) for t in self._trades.values()), default=0.0)
        for trace, trades in zip((4, 5), self._trades.values(), strict=True):
            arrays[trace, "x"], arrays[trace, "y"] = self.on_axis(trades.times), trades.prices
            arrays[trace, "marker.size"] = _bubble_sizes(trades.sizes, largest)
            arrays[trace, "customdata"] = np.stack((trades.sizes, trades.counts), axis=1)
        prices = [arrays[trace, "y"] for trace in range(1, 6)]
        named = self._indicators.draw(self, arrays, self._length_ns, self._gaps)
        domains, lines = {"yaxis": (0.0, 1.0)}, self._indicators.traces
        over = self._overlays.draw(self, arrays, lines.divided(domains))
        prices += [*over.prices, *lines.prices(arrays)]
        ranges = {**steady("yaxis", prices), **over.fence(prices)}
        tags = self._tags.parts(is_out=self.is_out)
        parts = {**lines.parts(arrays, domains), **ranges, **over.layout, **tags}
        return self._drawing(arrays, {**over.traces, **named}, over.shapes, **parts)


def _bubble_sizes(sizes: Floats, largest: float) -> Floats:
    # The area of a bubble is proportional to the size. Steps of half a pixel and a scale of powers
    # of two: a new largest trade changes few of the widths that the browser has already.
    if largest <= 0:
        return np.full(sizes.size, _SMALLEST_BUBBLE)
    scale = 2.0 ** np.ceil(np.log2(largest))
    wide = _SMALLEST_BUBBLE + (_LARGEST_BUBBLE - _SMALLEST_BUBBLE) * np.sqrt(sizes / scale)
    return np.asarray(np.round(wide * 2) / 2, np.float64)


class SpreadChart(TimeChart):
    """Shows the spread in basis points of the mid, and the imbalance of the best sizes."""

    roles = (Role("quotes", QUOTES.channels),)
    shown_thing = ("quote", "quotes")

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._series = [Extremes(view.points) for _ in range(2)]

    def spec(self) -> Spec:
        """Describe the traces: spread, imbalance."""
        return {
            "data": [
                line("spread", "$main", "spread %{y:.3f} bps<extra></extra>", shape="hv"),
                line(
                    "imbalance of best sizes",
                    "$buy",
                    "imbalance %{y:+.2f}<extra></extra>",
                    shape="hv",
                    width=1.0,
                    yaxis="y2",
                ),
            ],
            "layout": self._time_layout(
                "spread and imbalance",
                yaxis=self._panel(
                    axis("spread (bps of mid)", domain=[0.42, 1], rangemode="tozero")
                ),
                yaxis2=self._panel(axis("bid − ask share", domain=[0, 0.36], range=[-1.05, 1.05])),
            ),
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add quotes."""
        rows, times = self._clip(role, rows)
        bid, bid_size, ask, ask_size = best_quotes(rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = (
                (ask - bid) / ((ask + bid) / 2) * 1e4,
                (bid_size - ask_size) / (bid_size + ask_size),
            )
        for series, each in zip(self._series, values, strict=True):
            series.add(times, each, self.horizon)

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        return self._drawing(line_arrays(self, self._series))


class MarkChart(TimeChart):
    """Shows mark and index price, and below their distance and the funding rate."""

    roles = (
        Role("mark", ("mark_price",)),
        Role("funding", ("funding_rate",), is_needed=False),
    )
    shown_thing = ("mark price", "mark prices")

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._series = [Extremes(view.points) for _ in range(4)]

    def spec(self) -> Spec:
        """Describe the traces: mark, index, premium, funding."""
        return {
            "data": [
                line("mark price", "$buy", f"mark {_PRICE}<extra></extra>", shape="hv"),
                line(
                    "index price", "$sell", f"index {_PRICE}<extra></extra>", shape="hv", dash="dot"
                ),
                line(
                    "mark − index",
                    "$second",
                    "premium %{y:+.3f} bps<extra></extra>",
                    shape="hv",
                    yaxis="y2",
                ),
                line(
                    "funding rate",
                    "$third",
                    "funding %{y:+.4f} bps<extra></extra>",
                    shape="hv",
                    yaxis="y2",
                    width=2,
                    dash="dash",
                ),
            ],
            "layout": self._time_layout(
                "mark, index and funding",
                yaxis=price_axis("price", domain=[0.42, 1]),
                yaxis2=self._panel(axis("bps (1e-4)", domain=[0, 0.36])),
            ),
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add mark prices, or funding rates."""
        rows, times = self._clip(role, rows)
        if role == "funding":
            self._series[3].add(times, numbers(rows, "funding_rate") * 1e4, self.horizon)
            return
        mark, index = numbers(rows, "mark_price"), numbers(rows, "index_price")
        with np.errstate(divide="ignore", invalid="ignore"):
            premium = (mark - index) / index * 1e4
        for series, values in zip(self._series, (mark, index, premium), strict=False):
            series.add(times, values, self.horizon)

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        arrays = line_arrays(self, self._series)
        mark, index, *rates = (arrays[trace, "y"] for trace in range(4))
        bps = steady("yaxis2", rates, digits=_FEW_DIGITS, noise=_PREMIUM_NOISE)
        return self._drawing(arrays, **steady("yaxis", (mark, index)), **bps)


class FlowChart(TimeChart):
    """Shows the cumulative volume delta: size bought by takers less size sold by them.

    Option: ``unit`` of the sizes, each converted at its trade's price; left out: the exchange's.
    """

    roles = (Role("trades", ("trade",)),)  # no tickers, which skip trades
    shown_thing = ("trade", "trades")
    needs_past = True
    takes_history = True

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._delta = [Extremes(view.points)]
        self._bars = Sums(2, max(view.px // 12, 20), view.shortest_ns, view.length_ns)
        self._total = 0.0
        self._sizes = sizes_of(sketch)

    def spec(self) -> Spec:
        """Describe the traces: cumulative delta, bought and sold per bar."""
        sizes, meta = self._sizes, {"share": _SHARE, **self._sizes.meta}
        bars = {"type": "bar", "x": [], "y": [], "width": [], "yaxis": "y2", "meta": meta}
        delta = "cumulative delta"
        delta = f"{delta} (size)" if sizes.unit is None else sizes.title(delta)
        return {
            "data": [
                line(
                    "cumulative volume delta",
                    "$main",
                    f"delta {sizes.value('y', '+')}<extra></extra>",
                    shape="hv",
                    width=1.8,
                    meta=sizes.meta,
                ),
                {
                    **bars,
                    "name": "bought by takers",
                    "marker": hollow("$buy"),
                    "hovertemplate": f"bought {sizes.value('y')}<extra></extra>",
                },
                {
                    **bars,
                    "name": "sold by takers",
                    "marker": filled("$sell"),
                    "hovertemplate": f"sold {sizes.value('y')}<extra></extra>",
                },
            ],
            "layout": self._time_layout(
                "order flow",
                yaxis=self._panel(size_axis(delta, domain=[0.42, 1])),
                yaxis2=self._panel(size_axis(sizes.title("size per bar"), domain=[0, 0.36])),
                barmode="relative",
            ),
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add trades; those without a side count as 0, those without a size are left out."""
        if not rows.height:
            return
        size = self._sizes.of(numbers(rows, "size"), numbers(rows, "price"))
        is_known = np.isfinite(size)
        signed = np.where(is_known, sides(rows) * np.where(is_known, size, 0.0), 0.0)
        running = np.where(is_known, self._total + np.cumsum(signed), np.nan)
        self._total += float(signed.sum())
        signed[~is_known] = np.nan
        rows = rows.with_columns(pl.Series("signed", signed), pl.Series("running", running))
        rows, times = self._clip(role, rows)
        signed = numbers(rows, "signed")
        self._delta[0].add(times, numbers(rows, "running"), self.horizon)
        halves = np.stack((np.maximum(signed, 0), np.minimum(signed, 0)))
        is_bar = self._inside(times) & np.isfinite(signed)
        self._bars.add(times[is_bar], halves[:, is_bar], self.horizon)

    def _slots(self) -> Slots:
        width = self._bars.width
        return Slots(width, self._newest // width * width)

    def draw(self) -> Drawing:
        """Draw the rows taken so far."""
        if self.horizon is not None:
            self._bars.drop_before(self.horizon)
        arrays = line_arrays(self, self._delta)
        for trace in (1, 2):
            arrays[trace, "x"] = self.on_axis(self._bars.centers)
            arrays[trace, "y"] = self._bars.sums[trace - 1]
            # Plotly would derive it from the distance of the bars, and few trades leave holes.
            arrays[trace, "width"] = np.full(self._bars.keys.size, _SHARE * self._bars.width / 1e6)
        # Where as much was bought as sold, the difference is the rounding of both sums.
        noise = _SUM_ROUNDING * float(np.abs(self._bars.sums).max(initial=0.0))
        delta = steady("yaxis", [arrays[0, "y"]], digits=_FEW_DIGITS, noise=noise)
        return self._drawing(arrays, **delta)


def line_arrays(chart: TimeChart, series: list[Extremes]) -> Arrays:
    """Collect the points of a chart's lines, broken at its gaps; forgets those out of view."""
    arrays: Arrays = {}
    gaps, horizon = chart.gap_breaks, chart.horizon
    for trace, each in enumerate(series):
        if horizon is not None:
            each.drop_before(horizon)
        times, values = broken(each.times, each.values, gaps)
        arrays[trace, "x"], arrays[trace, "y"] = chart.on_axis(times), values
    return arrays
