"""Candles with volume and VWAP, from trades or from the exchange's own candles."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.axis_tags import PriceTags, RunningCandle
from kucoin_research.figures.candle_bars import (
    COLUMNS,
    CandleBars,
    Candles,
    fitting,
    length_words,
    longer,
)
from kucoin_research.figures.chart import PAST, Arrays, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import arrivals, events, numbers
from kucoin_research.figures.downsample import broken
from kucoin_research.figures.history_plan import CandlePlan
from kucoin_research.figures.indicator_traces import History, IndicatorTraces
from kucoin_research.figures.line_spec import line
from kucoin_research.figures.overlays import Overlays
from kucoin_research.figures.partial_candles import cuts_of, running_of
from kucoin_research.figures.shown_sizes import sizes_of
from kucoin_research.figures.theme import (
    CLEAR,
    Spec,
    filled,
    hollow,
    literal,
    price_axis,
    size_axis,
)
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.time_range import Slots
from kucoin_research.figures.value_axis import steady
from kucoin_research.model.intervals import Length, parse_interval

__all__ = ["CandleChart", "interval_ns"]

# The axis has room for this many candles, so that a few have a usual width; all candles of a frame
# may fill it.
_ROOM, _ROOM_OF_ALL = 10, 3
_PX = 8  # of a slot, at least
_WHOLE, _VWAP, _RISING, _FALLING, _PARTIAL, _SLOT, _MARKS = range(7)
_PRICES = COLUMNS[:4]
# Heights of the prices, above the volume and without it, and of the volume.
_UPPER, _ALL, _LOWER = (0.28, 1.0), (0.0, 1.0), (0.0, 0.22)
_PALE = 0.4  # opacity of the volume of a partial candle
_ALIKE = 1.5  # times the shortest: candles of one width will do, as for months
_THIN = 5_000  # part of the range that is the width of a candle as thin as a line
_LATEST = 2  # candles' lengths after the newest one's open at which its last row may come
_FIRST_NS = -(1 << 63)
_ESTIMATE = ",<br>an estimate at the candle's typical price"
_BODY = 0.7  # share of a bar's time that its body fills, as those of candles do

Booleans = npt.NDArray[np.bool_]


def interval_ns(every: Length, name: str = "every") -> int:
    """Read an interval such as ``"10s"``, ``"5m"`` or KuCoin's ``"5min"``.

    Raises
    ------
    InvalidInput
        If it is no interval, or one of months, which differ in length.
    """
    length = parse_interval(every, name).ns
    if length is None:
        raise InvalidInput(f"{name}={shown(every)} has no fixed length here; write '30d'")
    return length


class CandleChart(TimeChart):
    """Shows candlesticks with their VWAP, and volume below; each spans its own time.

    A rising candle is hollow, a falling one filled. A candle of which a part is not known is pale,
    and its hover text says which part.

    Options: ``every``, the interval where candles are made of trades; left out, it suits the time
    that is shown; ``unit`` of the volume, left out: the exchange's; ``indicators``; and those of
    ``Overlays``, which lie over the prices.
    """

    roles = (Role("candles", ("candle", "trade")),)
    shown_thing = ("candle", "candles")
    needs_past = True
    takes_history = True

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._most = max(view.px // _PX, 60)
        every = sketch.options.get("every")
        self._asked = 0 if every is None else interval_ns(every)
        least = self._asked or fitting(view.shortest_ns, self._most)
        self._sizes = sizes_of(sketch)
        self._bars = CandleBars(least, is_free=not self._asked, sizes=self._sizes)
        self._width = least  # as shown, which may be longer
        self._overlays = Overlays(view, sketch, _MARKS)
        self._bodies = _MARKS + len(self._overlays.spec())  # number of the first such trace
        self._tags = PriceTags()
        self._arrived = 0  # time of the newest arrival, ns
        self._indicators = IndicatorTraces(
            sketch.options.get("indicators", ()), self._bodies + 2, sketch.zone
        )

    def spec(self) -> Spec:
        """Describe the traces: candles, VWAP, volumes, partial candles, a slot, and marks.

        Plotly makes candles as wide as the least distance between any two of them. The slot is a
        pair of candles at the right distance that nobody sees. Where bars differ in length, bars
        are their bodies, and the candles are as thin as their wicks.
        """
        no_hover = {"hoverinfo": "skip"}
        return {
            "data": [
                _candles("candles", "$buy", "$sell"),
                line(
                    "VWAP since the first candle",
                    "$second",
                    "VWAP %{y:,.9~r}<extra></extra>",
                    width=1.6,
                    xperiodalignment="middle",
                ),
                self._volume_bars("volume, rising", hollow("$buy")),
                self._volume_bars("volume, falling", filled("$sell")),
                _candles("partial candles", "$buy_soft", "$sell_soft"),
                {**_candles("slot", CLEAR, CLEAR), **no_hover},
                *self._overlays.spec(),
                _body("body, rising", hollow("$buy")),
                _body("body, falling", filled("$sell")),
                *self._indicators.spec(),
            ],
            "layout": {
                **self._time_layout(
                    "candles",
                    yaxis=price_axis("price", domain=list(_UPPER), side="right"),
                    yaxis2=self._panel(
                        size_axis(
                            self._sizes.title("volume"),
                            domain=list(_LOWER),
                            side="right",
                            rangemode="tozero",
                        )
                    ),
                    barmode="overlay",
                    boxmode="overlay",
                    boxgap=0.3,
                    boxgroupgap=0,
                    **self._overlays.axes(),
                    **self._indicators.axes(),
                ),
            },
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add trades, candles, candles from before the first trade, or rows of the overlays."""
        if self._overlays.take(role, rows):
            return
        times = events(rows)
        if not times.size:
            return
        if role == PAST:
            self._note_times(times)
            self._bars.precede(rows, times)
            self._width = self._fitting_width()
            return
        # A candle's own time is its open, long before it arrives: gaps are placed by arrival.
        self._note(role, arrivals(rows), times)
        self._arrived = max(self._arrived, int(arrivals(rows).max()))
        self._bars.take(rows, times)
        price = "price" if self._bars.is_of_trades else "close"
        self._tags.take_prices(times, numbers(rows, price))
        self._check_interval()
        self._width = self._fitting_width()

    @property
    def candle_plan(self) -> CandlePlan:
        """The candles that suit the whole time in view, and its indicators."""
        length, lead = self.view.length_ns, self._indicators.lead
        if not self._asked:
            width = fitting(length or self.view.shortest_ns, self._most)
            return CandlePlan(width, is_free=True, lead=lead)
        least = 0 if length is None else -(-length // self._most)
        return CandlePlan(longer(self._asked, least), is_free=False, lead=lead)

    def _fitting_width(self) -> int:
        """Choose the interval to show: that of the candles, or a longer one if they are too many.

        The length of a followed window decides rather than the number of candles in it, which is
        now one more and now one less: the interval would change to and fro.
        """
        if self._bars.is_of_trades and not self._asked:
            return max(self._bars.width, fitting(self._length_ns, self._most))
        if not self._bars.is_regular:
            own = self._bars.width
            is_room = self._bars.count(self._in_view(), own) <= self._most
            return own if is_room else max(own + 1, fitting(self._length_ns, self._most))
        own = width = max(self._bars.width, self._asked)
        if self.view.span is None and self.view.window_ns is not None:
            return longer(own, -(-self._length_ns // self._most))
        while self._bars.count(self._in_view(), width) > self._most:
            width = longer(own, width + 1)
        return width

    def _check_interval(self) -> None:
        """Refuse an interval that the bars cannot be joined to."""
        own, stated = self._bars.width, self._bars.stated
        if not self._asked or self._bars.is_of_trades or not self._bars.opens.size:
            return
        every = self.sketch.options["every"]
        if not self._bars.is_regular:
            what = f"bars of {shown(stated)}" if stated else "these bars"
            raise InvalidInput(f"{what} have no fixed length, so leave every={shown(every)} out")
        if self._asked % own:
            raise InvalidInput(
                f"every={shown(every)} is no multiple of the bars' own interval, "
                f"{length_words(own)}; leave it out, or make candles of trades"
            )

    @property
    def _is_regular(self) -> bool:
        # Bars by volume are joined by time where there is no room for them.
        return self._bars.is_regular or self._width != self._bars.width

    def _slots(self) -> Slots | None:
        if not self._bars.opens.size:
            return None
        newest = int(self._bars.opens[-1])
        if self._width != self._bars.width:
            newest = newest // self._width * self._width
        if not self._is_regular:
            return Slots(int(self._bars.ends[-1]) - newest, newest)
        is_all = self.sketch.is_complete and self.view.window_ns is None
        return Slots(self._width, newest, _ROOM_OF_ALL if is_all else _ROOM)

    @property
    def horizon(self) -> int | None:
        """The begin of the followed window; ``None`` where no row ever leaves the view.

        It is earlier by a few candles, since a longer interval would show more of the past.
        """
        return None if super().horizon is None else self.range_ns[0] - 5 * self._width

    def draw(self) -> Drawing:
        """Draw the candles in view."""
        candles = self._bars.within(self.range_ns, self._width)
        cuts, arrays = self._cuts(candles), Arrays()
        is_partial = np.zeros(candles.opens.size, bool)
        is_partial[list(cuts)] = True
        self._draw_candles(arrays, candles, is_partial)
        estimates = self._draw_volumes(arrays, candles, is_partial)
        self._draw_bodies(arrays, candles, is_partial)
        times, values = broken(self._middles(candles), candles.vwap, self.gap_breaks)
        arrays[_VWAP, "x"], arrays[_VWAP, "y"] = self._on_slots(times), values
        named = self._draw_indicators(arrays, candles)
        upper = _ALL if self._bars.is_of_mids else _UPPER
        domains = {"yaxis": upper, "yaxis2": _LOWER}
        over = self._overlays.draw(self, arrays, self._indicators.divided(domains))
        prices = [arrays[trace, name] for trace in (_WHOLE, _PARTIAL) for name in _PRICES]
        prices += [arrays[_VWAP, "y"], *over.prices, *self._indicators.prices(arrays)]
        parts = {
            "title.text": self._title(self._words() if candles.opens.size else "candles"),
            "yaxis.domain": list(upper),
            **self._indicators.parts(arrays, domains),
            **steady("yaxis", prices),
            **over.fence(prices),
            **over.layout,
            **self._tags.parts(is_out=self.is_out, candle=self._running()),
        }
        texts = {
            **over.traces,
            **named,
            **estimates,
            **self._periods(candles),
            **self._hover(candles, cuts),
        }
        return self._drawing(arrays, texts, over.shapes, **parts)

    def _running(self) -> RunningCandle | None:
        """Return the newest candle, if the rows show the exchange's clock."""
        slot = self._slots()
        if slot is None or not self._is_regular:
            return None
        # A candle's own time is its open. Its arrival is on this machine's clock, which is none
        # of the exchange's where that is virtual: then it lies elsewhere than the candle.
        now = self._newest if self._bars.is_of_trades else self._arrived
        if not 0 <= now - slot.newest < _LATEST * slot.width:
            return None
        low, high = self.on_axis(np.array([slot.newest, slot.newest + slot.width]))
        end, length = (slot.newest + slot.width) / 1e6, slot.width / 1e6
        return RunningCandle(end, length, now / 1e6, float(low), float(high))

    def _draw_indicators(self, arrays: Arrays, candles: Candles) -> dict[str, Any]:
        if not self._indicators:
            return {}
        # Of all candles: some indicators depend on every one before the first that is shown.
        past = self._bars.within((_FIRST_NS, self.range_ns[1]), self._width)
        is_partial = np.zeros(past.opens.size, bool)
        is_partial[list(self._cuts(past))] = True
        history = History(past, is_partial, self.gap_breaks)
        x = self._on_slots(self._middles(candles))
        return self._indicators.draw(arrays, history, candles.opens.size, x)

    def _draw_candles(self, arrays: Arrays, candles: Candles, is_partial: Booleans) -> None:
        at = self._middles(candles)
        x = self._on_slots(at)
        for trace, chosen in ((_WHOLE, ~is_partial), (_PARTIAL, is_partial)):
            arrays[trace, "x"] = x[chosen]
            for name in _PRICES:
                arrays[trace, name] = candles.columns[name][chosen]
        last = at[-1:]
        arrays[_SLOT, "x"] = self._on_slots(np.concatenate((last - self._apart(candles), last)))
        for name in _PRICES:
            arrays[_SLOT, name] = np.repeat(candles.columns["close"][-1:], 2)

    def _draw_volumes(
        self, arrays: Arrays, candles: Candles, is_partial: Booleans
    ) -> dict[str, Any]:
        """Draw the volumes; returns attributes of their traces, which name the estimates."""
        columns, (volumes, is_estimate) = candles.columns, self._bars.volumes(candles)
        x, opacity = self._on_slots(self._middles(candles)), np.where(is_partial, _PALE, 1.0)
        rises = columns["close"] >= columns["open"]
        there = np.full(rises.size, not self._bars.is_of_mids)
        words = np.where(is_estimate, _ESTIMATE, "")
        has_estimates = bool(is_estimate.any())
        texts: dict[str, Any] = {}
        for trace, chosen in ((_RISING, rises & there), (_FALLING, ~rises & there)):
            arrays[trace, "x"], arrays[trace, "y"] = x[chosen], volumes[chosen]
            arrays[trace, "marker.opacity"] = opacity[chosen]
            # Plotly would derive it from the distances within each trace alone.
            arrays[trace, "width"] = _BODY * (candles.ends - candles.opens)[chosen] / 1e6
            texts[f"{trace}.text"] = words[chosen].tolist() if has_estimates else []
            # Plotly would write the name of a text that a bar does not have.
            texts[f"{trace}.hovertemplate"] = self._volume_hover(has_text=has_estimates)
        return texts

    def _volume_bars(self, name: str, marker: Spec) -> Spec:
        return {
            "type": "bar",
            "name": name,
            "x": [],
            "y": [],
            "width": [],
            "text": [],
            "textposition": "none",  # for the hover only
            "yaxis": "y2",
            "xperiodalignment": "middle",
            "meta": {"share": _BODY, **self._sizes.meta},  # of its span; the page reads it
            "marker": marker,
            "hovertemplate": self._volume_hover(has_text=False),
            "showlegend": False,
        }

    def _volume_hover(self, *, has_text: bool) -> str:
        text = "%{text}" if has_text else ""
        return f"volume {self._sizes.value('y')}{text}<extra></extra>"

    def _apart(self, candles: Candles) -> int:
        """Return the distance, ns, of the pair that sets the width of all candles."""
        if self._has_bodies(candles):
            # Plotly takes no notice of a distance below a 10,000th of the range.
            return max(int(candles.ends[-1] - candles.opens[0]) // _THIN, 1)
        # Those of months have the least distance between them; a pair might come too close to one.
        return candles.width if self._is_regular or candles.opens.size < 2 else 0

    def _has_bodies(self, candles: Candles) -> bool:
        if self._is_regular or not candles.opens.size:
            return False
        lengths = candles.ends - candles.opens
        return bool(lengths.max() > _ALIKE * lengths.min())

    def _draw_bodies(self, arrays: Arrays, candles: Candles, is_partial: Booleans) -> None:
        columns, has_bodies = candles.columns, self._has_bodies(candles)
        x, opacity = self._on_slots(self._middles(candles)), np.where(is_partial, _PALE, 1.0)
        rises = columns["close"] >= columns["open"]
        for trace, is_side in enumerate((rises, ~rises), self._bodies):
            chosen = is_side & has_bodies
            opens, closes = columns["open"][chosen], columns["close"][chosen]
            arrays[trace, "x"], arrays[trace, "base"] = x[chosen], opens
            arrays[trace, "y"] = closes - opens
            arrays[trace, "marker.opacity"] = opacity[chosen]
            arrays[trace, "width"] = _BODY * (candles.ends - candles.opens)[chosen] / 1e6

    def _middles(self, candles: Candles) -> Times:
        """Return the place of each candle; plotly itself centres those of one interval."""
        if self._is_regular:
            return candles.opens
        return candles.opens + (candles.ends - candles.opens) // 2

    def _on_slots(self, opens: Times) -> Floats:
        """Convert open times to positions on the axis that are whole slots apart.

        Where the zone's offset changes, those of days would be an hour off.
        """
        x = self.on_axis(opens)
        if not opens.size or not self._is_regular:
            return x
        length = self._width / 1e6
        return np.asarray(x[-1] + np.round((x - x[-1]) / length) * length)

    def _on_days(self, midnights: Times) -> Floats:
        """Convert the begins of days to positions among the candles, as those are placed."""
        slot = self._slots()
        if slot is None or not self._is_regular:
            return self.on_axis(midnights)
        opens = slot.newest + (midnights - slot.newest) // slot.width * slot.width
        places = self._on_slots(np.append(opens, slot.newest))[:-1]
        return np.asarray(places + (midnights - opens) / 1e6)

    def _periods(self, candles: Candles) -> dict[str, Any]:
        """Return the length of a slot, in whose middle plotly puts a candle; x is the open time."""
        length, first = 0.0, 0.0
        if candles.opens.size and self._is_regular:
            length = candles.width / 1e6
            # Any begin of a slot would do; this one stays as it is when new candles come.
            first = float(self.on_axis(candles.opens[-1:])[0]) % length
        drawn = (_WHOLE, _VWAP, _RISING, _FALLING, _PARTIAL, _SLOT, *self._indicators.traces)
        lengths = {f"{trace}.xperiod": length for trace in drawn}
        return {**lengths, **{f"{trace}.xperiod0": first for trace in drawn}}

    def _cuts(self, candles: Candles) -> dict[int, str]:
        gaps, since = self._gaps, self._oldest
        return cuts_of(
            candles.opens,
            candles.ends,
            since,
            gaps,
            width=candles.width,
            zone=self.sketch.zone,
            rows=self._rows,
        )

    def _hover(self, candles: Candles, cuts: dict[int, str]) -> dict[str, Any]:
        until = self._newest + (0 if self._bars.is_of_trades else self._bars.width)
        running = running_of(
            candles.opens, candles.width, until, zone=self.sketch.zone, rows=self._rows
        )
        texts = [cuts.get(place, "") for place in range(candles.opens.size)]
        if not self._is_regular:
            texts = [
                "<br>".join(filter(None, each))
                for each in zip(self._times_of(candles), texts, strict=True)
            ]
        if running:
            texts[-1] = "<br>".join(filter(None, (texts[-1], running)))
        whole = [text for place, text in enumerate(texts) if place not in cuts]
        partial = [texts[place] for place in sorted(cuts)]
        return {f"{_WHOLE}.hovertext": whole, f"{_PARTIAL}.hovertext": partial}

    def _times_of(self, candles: Candles) -> list[str]:
        # The axis shows the middle of a bar where it shows the open of a candle.
        return [
            f"from {begin} to {end}"
            for begin, end in zip(*map(self._clocks, (candles.opens, candles.ends)), strict=True)
        ]

    def _clocks(self, times: Times) -> list[str]:
        written = self.sketch.zone.written
        return [written(each, has_date=True) for each in times.tolist()]

    @property
    def _rows(self) -> str:
        return "trades" if self._bars.is_of_trades else "candles"

    def _words(self) -> str:
        if not self._is_regular:
            return f"{literal(self._bars.words)}, volume and VWAP"
        what = "bars of the mid" if self._bars.is_of_mids else "candles, volume and VWAP"
        return f"{length_words(self._width)} {what}"


def _candles(name: str, rising: str, falling: str) -> Spec:
    return {
        "type": "candlestick",
        "name": name,
        "x": [],
        "open": [],
        "high": [],
        "low": [],
        "close": [],
        "xperiodalignment": "middle",
        "increasing": {"line": {"color": rising, "width": 1.2}, "fillcolor": CLEAR},
        "decreasing": {"line": {"color": falling, "width": 1.2}, "fillcolor": falling},
        "showlegend": False,
    }


def _body(name: str, marker: Spec) -> Spec:
    return {
        "type": "bar",
        "name": name,
        "x": [],
        "y": [],
        "base": [],
        "width": [],
        "marker": marker,
        "hoverinfo": "skip",
        "showlegend": False,
    }
