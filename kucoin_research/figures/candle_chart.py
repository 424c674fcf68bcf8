"""Candles with volume and VWAP, from trades or from the exchange's own candles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.chart import Arrays, Drawing, Role, Sketch, TimeChart, View
from kucoin_research.figures.columns import arrivals, events, numbers
from kucoin_research.figures.downsample import broken
from kucoin_research.figures.line_charts import line
from kucoin_research.figures.theme import Spec, price_axis, size_axis
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.trade_marks import MARKED, draw_marks, marks_of, marks_spec
from kucoin_research.figures.value_axis import steady
from kucoin_research.model.intervals import Length, parse_interval

__all__ = ["CandleChart", "interval_ns"]

_SECOND = 1_000_000_000
# Each divides the next, so that candles can be joined.
_LADDER = tuple(n * _SECOND for n in (1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400))
_NAMES = (
    (86_400 * _SECOND, "day"), (3_600 * _SECOND, "hour"), (60 * _SECOND, "min"), (_SECOND, "s"),
)  # fmt: skip
_MOST = 100_000  # candles held

Columns = dict[str, Floats]


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
    """Shows candlesticks with their VWAP, and volume below.

    Options: ``every``, the interval where candles are made of trades; left out, it suits the view.
    ``is_marked``, whether its rows also contain a strategy's fills and notes.
    """

    roles = (Role("candles", ("candle", "trade")),)
    needs_past = True

    def __init__(self, view: View, sketch: Sketch) -> None:
        super().__init__(view, sketch)
        self._most = max(view.px // 16, 30)
        every = sketch.options.get("every")
        self._is_chosen = every is not None
        if every is not None:
            self._width = interval_ns(every)
        elif view.length_ns is not None:
            self._width = next(
                (w for w in _LADDER if view.length_ns <= w * self._most), _LADDER[-1]
            )
        else:
            self._width = _LADDER[0]
        self._times: Times = np.empty(0, np.int64)
        self._columns: Columns = {name: np.empty(0) for name in _COLUMNS}
        self._is_of_trades = False
        self._is_of_mids = False
        self._passed = np.zeros(2)  # notional and volume of the candles that were dropped
        self._marks = marks_of(view, sketch, 4)

    def spec(self) -> Spec:
        """Describe the traces: candles, VWAP, volume of rising and falling candles, and marks."""
        bars = {"type": "bar", "x": [], "y": [], "width": [], "yaxis": "y2", "showlegend": False}
        return {
            "data": [
                {
                    "type": "candlestick",
                    "name": "candles",
                    "x": [],
                    "open": [],
                    "high": [],
                    "low": [],
                    "close": [],
                    "increasing": {"line": {"color": "$buy", "width": 1.2}, "fillcolor": "$buy"},
                    "decreasing": {"line": {"color": "$sell", "width": 1.2}, "fillcolor": "$sell"},
                    "showlegend": False,
                },
                line(
                    "VWAP since the first candle",
                    "$second",
                    "VWAP %{y:,.15~r}<extra></extra>",
                    width=1.6,
                ),
                {
                    **bars,
                    "name": "volume, rising",
                    "marker": {"color": "$buy_soft"},
                    "hovertemplate": "volume %{y:,.15~r}<extra></extra>",
                },
                {
                    **bars,
                    "name": "volume, falling",
                    "marker": {"color": "$sell_soft"},
                    "hovertemplate": "volume %{y:,.15~r}<extra></extra>",
                },
                *marks_spec(self._marks),
            ],
            "layout": {
                **self._time_layout(
                    "candles",
                    yaxis=price_axis("price", domain=[0.28, 1], side="right"),
                    yaxis2=size_axis("volume", domain=[0, 0.22], side="right", rangemode="tozero"),
                    barmode="overlay",
                    bargap=0.2,
                ),
            },
        }

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add trades, candles, fills or notes."""
        if self._marks is not None and role in MARKED:
            self._marks.take(role, rows)
            return
        times = events(rows)
        if not times.size:
            return
        self._is_of_trades = "open" not in rows.columns
        self._is_of_mids = not self._is_of_trades and "volume" not in rows.columns
        # A candle's own time is its open, long before it arrives: gaps are placed by arrival.
        self._note(role, arrivals(rows), times)
        if self._is_of_trades:
            self._add(*_of_trades(rows, times, self._width))
        else:
            self._replace(*_of_candles(rows, times))
        self._forget()

    def _add(self, times: Times, columns: Columns) -> None:
        self._times, self._columns = _joined(
            np.concatenate((self._times, times)),
            {name: np.concatenate((self._columns[name], columns[name])) for name in _COLUMNS},
        )

    def _replace(self, times: Times, columns: Columns) -> None:
        # Each push of a candle holds the whole candle, so the newest push replaces the others.
        if self._times.size and times[0] <= self._times[-1]:
            kept = ~np.isin(self._times, times)
            self._times = self._times[kept]
            self._columns = {name: values[kept] for name, values in self._columns.items()}
        self._add(times, columns)

    def _forget(self) -> None:
        extra = self._times.size - _MOST
        if extra > 0:
            for place, name in enumerate(("notional", "volume")):
                self._passed[place] += self._columns[name][:extra].sum()
            self._times = self._times[extra:]
            self._columns = {name: values[extra:] for name, values in self._columns.items()}

    def draw(self) -> Drawing:
        """Draw the candles in view."""
        times, columns, vwap = self._visible()
        times, columns, vwap, width = self._fewer(times, columns, vwap)
        x = self.on_axis(times)
        arrays: Arrays = {(0, "x"): x}
        for name in ("open", "high", "low", "close"):
            arrays[0, name] = columns[name]
        line_times, line_values = broken(times, vwap, self.gap_breaks)
        arrays[1, "x"], arrays[1, "y"] = self.on_axis(line_times), line_values
        rises = columns["close"] >= columns["open"]
        for trace, chosen in ((2, rises), (3, ~rises)):
            arrays[trace, "x"], arrays[trace, "y"] = x[chosen], columns["volume"][chosen]
            # Set explicitly: plotly would derive it from the distances within each trace alone.
            arrays[trace, "width"] = np.full(int(chosen.sum()), 0.8 * width / 1e6)
        what = "bars of the mid" if self._is_of_mids else "candles, volume and VWAP"
        title = self._title(f"{_name(width)} {what}" if times.size else "candles")
        prices = [*(arrays[0, name] for name in _COLUMNS[:4]), arrays[1, "y"]]
        texts = draw_marks(self._marks, self, arrays)
        prices += [] if self._marks is None else self._marks.prices
        parts = {"title.text": title, **steady("yaxis", prices)}
        return self._drawing(arrays, **parts)._replace(traces=texts)

    def _visible(self) -> tuple[Times, Columns, Floats]:
        notional = np.cumsum(self._columns["notional"]) + self._passed[0]
        volume = np.cumsum(self._columns["volume"]) + self._passed[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            vwap = notional / volume
        begin, end = self._in_view()
        low = int(np.searchsorted(self._times, begin - self._width))
        high = int(np.searchsorted(self._times, end, "right"))
        part = slice(low, high)
        return self._times[part], {n: v[part] for n, v in self._columns.items()}, vwap[part]

    def _fewer(
        self, times: Times, columns: Columns, vwap: Floats
    ) -> tuple[Times, Columns, Floats, int]:
        width = self._width if self._is_of_trades else _spacing(times)
        while times.size > 2 * self._most:
            width = _next(width, is_free=self._is_of_trades and not self._is_chosen)
            opens = times // width * width
            last = np.append(opens[1:] != opens[:-1], True)
            vwap = vwap[last]
            times, columns = _joined(opens, columns)
        return times, columns, vwap, width


_COLUMNS = ("open", "high", "low", "close", "volume", "notional")


def _next(width: int, *, is_free: bool) -> int:
    if is_free:
        return next((each for each in _LADDER if each > width), width * 2)
    return width * 2


def _spacing(times: Times) -> int:
    return int(np.diff(times).min()) if times.size > 1 else 60 * _SECOND


def _of_trades(rows: pl.DataFrame, times: Times, width: int) -> tuple[Times, Columns]:
    price, size = numbers(rows, "price"), numbers(rows, "size")
    present = np.isfinite(price) & np.isfinite(size)
    price, size, opens = price[present], size[present], times[present] // width * width
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return _joined(opens, {**prices, "volume": size, "notional": price * size})


def _of_candles(rows: pl.DataFrame, times: Times) -> tuple[Times, Columns]:
    order = np.argsort(times, kind="stable")
    last = order[np.append(times[order][1:] != times[order][:-1], True)]
    there = [name for name in _COLUMNS[:5] if name in rows.columns]
    # Bars of the mid have no volume, hence no VWAP.
    columns = {"volume": np.zeros(last.size)} | {name: numbers(rows, name)[last] for name in there}
    columns["notional"] = _notional(rows, last, columns)
    return times[last], columns


def _notional(rows: pl.DataFrame, chosen: Sequence[int] | Times, columns: Columns) -> Floats:
    # Futures candles have no turnover: volume at the typical price stands in.
    typical = (columns["high"] + columns["low"] + columns["close"]) / 3 * columns["volume"]
    if "turnover" not in rows.columns:
        return np.nan_to_num(typical)
    turnover = numbers(rows, "turnover")[chosen]
    return np.nan_to_num(np.where(np.isfinite(turnover), turnover, typical))


def _joined(opens: Times, columns: Columns) -> tuple[Times, Columns]:
    """Join the candles, or trades, of each open time into one candle."""
    if not opens.size:
        return opens, columns
    if (opens[1:] < opens[:-1]).any():
        order = np.argsort(opens, kind="stable")
        opens, columns = opens[order], {name: values[order] for name, values in columns.items()}
    starts = np.flatnonzero(np.append(True, opens[1:] != opens[:-1]))
    ends = np.append(starts[1:], opens.size) - 1
    return opens[starts], {
        "open": columns["open"][starts],
        "high": np.maximum.reduceat(columns["high"], starts),
        "low": np.minimum.reduceat(columns["low"], starts),
        "close": columns["close"][ends],
        "volume": np.add.reduceat(columns["volume"], starts),
        "notional": np.add.reduceat(columns["notional"], starts),
    }


def _name(width: int) -> str:
    for length, label in _NAMES:
        if width % length == 0:
            return f"{width // length} {label}"
    return f"{width / 1e6:g} ms"
