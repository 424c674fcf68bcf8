"""Indicators on a chart: over its prices, or in panes below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from kucoin_research.figures.candle_bars import Candles, length_words
from kucoin_research.figures.chart import Arrays
from kucoin_research.figures.indicator import Indicator
from kucoin_research.figures.line_spec import OVER, line
from kucoin_research.figures.panes import Domains, divided, placed
from kucoin_research.figures.theme import Spec, axis, literal
from kucoin_research.figures.time_axis import Floats, Times, Zone
from kucoin_research.figures.user_traces import PRICE_PANE
from kucoin_research.figures.value_axis import steady
from kucoin_research.frames.moving_values import Booleans

__all__ = ["History", "IndicatorTraces"]

_FIRST_AXIS = 10  # of the panes; those of users' lines come before
_VALUE = "%{y:,.9~r}<extra></extra>"
_FORMAT = ",.9~r"
# Neighbours differ in colour and in dash, and none is like a line of the user.
_COLOURS, _DASHES = ("third", "main", "second"), ("9px,2px", "5px,2px", "9px,2px,2px,2px")
_TICKS = 3  # of a pane, at most: it may be as low as 40 px
_BAND = "1px,3px"
_STRENGTH = {"range": [0, 100], "tickvals": [30, 70]}  # the levels that RSI is read by
_DAY = 86_400_000_000_000  # ns


class History(NamedTuple):
    """All candles that indicators are computed of.

    Attributes
    ----------
    candles
        In order of time, up to the newest one that is shown.
    is_partial
        Which of them lack a part of their time.
    gap_breaks
        The instants, ns, at which lines break.
    """

    candles: Candles
    is_partial: Booleans
    gap_breaks: Times

    @property
    def begins(self) -> Booleans:
        """Which candles have a gap before them."""
        opens = self.candles.opens
        found = np.zeros(opens.size + 1, bool)
        found[np.searchsorted(opens, self.gap_breaks, "right")] = True
        return found[:-1]

    def newest(self, count: int) -> History:
        """Keep the newest candles only."""
        opens, ends, width, columns, vwap = self.candles
        first = max(opens.size - count, 0)
        columns = {name: values[first:] for name, values in columns.items()}
        candles = Candles(opens[first:], ends[first:], width, columns, vwap[first:])
        return History(candles, self.is_partial[first:], self.gap_breaks)


class IndicatorTraces:
    """Draws indicators, computed anew of all candles at each drawing.

    Parameters
    ----------
    indicators
        In the order of their traces and panes.
    first
        Number of the first trace.
    zone
        Time zone of the words.
    names_interval
        Whether names say the interval of the candles, on a chart whose title does not.
    """

    def __init__(
        self,
        indicators: Sequence[Indicator],
        first: int,
        zone: Zone,
        *,
        names_interval: bool = False,
    ) -> None:
        self._indicators, self._first, self._zone = tuple(indicators), first, zone
        self._names_interval = names_interval
        below = [each for each in self._indicators if each.pane != PRICE_PANE]
        panes = dict.fromkeys(each.pane for each in below)
        self._axes = {pane: f"yaxis{_FIRST_AXIS + n}" for n, pane in enumerate(panes)}
        # A pane of one line has its name, which the legend then needs not.
        self._titles = {
            pane: next(each.name for each in below if each.pane == pane)
            if sum(each.pane == pane for each in below) == 1
            else pane
            for pane in panes
        }

    def __bool__(self) -> bool:
        return bool(self._indicators)

    @property
    def lead(self) -> int:
        """The number of candles before those in view that the values depend on."""
        return max((each.lead for each in self._indicators), default=0)

    @property
    def traces(self) -> range:
        """The numbers of the traces."""
        return range(self._first, self._first + sum(each.lines for each in self._indicators))

    def spec(self) -> list[Spec]:
        """Describe the traces: each indicator's line, and those of bands behind it."""
        made = []
        for number, each in enumerate(self._indicators):
            colour = f"${_COLOURS[number % 3]}"
            dash = _DASHES[(number + number // 3) % 3] if each.pane == PRICE_PANE else "solid"
            options = {"yaxis": self._axis_of(each), "width": 1.3}
            # The low pane has no room for the interval.
            is_listed = self._names_interval or self._titles.get(each.pane) != each.name
            own = {"dash": dash, "showlegend": is_listed, **options}
            name, *bands = _names(each)
            made.append(line(name, colour, f"{name} {_VALUE}", **own))
            for band in bands:
                hover = f"{band} {_VALUE}"
                made.append(line(band, colour, hover, dash=_BAND, showlegend=False, **options))
        return [{**trace, "xperiodalignment": "middle", "meta": OVER} for trace in made]

    def _axis_of(self, indicator: Indicator) -> str:
        return self._axes.get(indicator.pane, "yaxis").replace("axis", "")

    def axes(self) -> Spec:
        """Describe the axes of the panes."""
        return {
            name: axis(
                literal(self._titles[pane]),
                nticks=_TICKS,
                domain=[0, 0.1],
                side="right",
                separatethousands=True,
                hoverformat=_FORMAT,
                **(_STRENGTH if pane == "RSI" else {}),
            )
            for pane, name in self._axes.items()
        }

    def divided(self, domains: Domains) -> Domains:
        """Divide the height between a chart's own axes and the panes; see ``panes``."""
        return divided(self._axes.values(), domains)[0]

    def draw(self, arrays: Arrays, history: History, shown: int, x: Floats) -> dict[str, Any]:
        """Put the lines of the newest candles into a drawing.

        Parameters
        ----------
        arrays
            Those of the drawing.
        history
            Candles, the newest of which are drawn.
        shown
            Number of these.
        x
            Their places on the time axis.

        Returns
        -------
        dict
            Attributes of traces.

        Raises
        ------
        InvalidInput
            If an expression cannot be computed.
        """
        opens = history.candles.opens[history.candles.opens.size - shown :]
        texts: dict[str, Any] = {}
        for first, each in self._numbered():
            past = history if each.memory is None else history.newest(shown + each.memory)
            begins = past.begins
            made = each.values(past.candles, past.is_partial, begins)
            names = _names(each)
            if each.kind == "VWAP" and each.window is None:
                names[0] = self._since(past.candles.opens, made[0], begins)
                texts[f"{first}.name"] = names[0]
            if self._names_interval:
                texts |= _with_interval(first, names, past.candles.width)
            for trace, values in enumerate(made, first):
                part = values[values.size - shown :]
                arrays[trace, "x"], arrays[trace, "y"] = _broken(x, part, opens, history.gap_breaks)
        return texts

    def _since(self, opens: Times, vwap: Floats, begins: Booleans) -> str:
        """Name the average of a day by its first candle, which may come after the day's begin."""
        there = np.isfinite(vwap)
        if not there.any():
            return "VWAP"
        is_new = begins | np.append(True, opens[1:] // _DAY != opens[:-1] // _DAY)
        is_new[1:] |= ~there[:-1]
        return f"VWAP since {self._zone.written(int(opens[np.flatnonzero(is_new & there)[-1]]))}"

    def prices(self, arrays: Arrays) -> list[Floats]:
        """Return the values over the price, for the range of its axis."""
        return [
            arrays[first + line, "y"]
            for first, each in self._numbered()
            if each.pane == PRICE_PANE
            for line in range(each.lines)
        ]

    def parts(self, arrays: Arrays, domains: Domains) -> dict[str, Any]:
        """Return the parts of the layout that place the panes, and those of their ranges."""
        if not self._axes:
            return {}
        parts = placed(*divided(self._axes.values(), domains))
        # The volume is lower than usual, too.
        parts |= {f"{name}.nticks": _TICKS for name in domains if name != "yaxis"}
        values: dict[str, list[Floats]] = {}
        for trace, each in self._numbered():
            values.setdefault(each.pane, []).append(arrays[trace, "y"])
        for pane, name in self._axes.items():
            if pane != "RSI":
                parts |= steady(name, values[pane])
        return parts

    def _numbered(self) -> Iterator[tuple[int, Indicator]]:
        """Yield each indicator with the number of its first trace."""
        trace = self._first
        for each in self._indicators:
            yield trace, each
            trace += each.lines


def _names(indicator: Indicator) -> list[str]:
    name = literal(indicator.name)
    return [name, *(f"{name} {side} band" for side in ("lower", "upper")[: indicator.lines - 1])]


def _with_interval(first: int, names: Sequence[str], width: int) -> dict[str, Any]:
    """Name the lines from a first one on, also in the hover texts, with the interval, ns."""
    texts: dict[str, Any] = {}
    for trace, name in enumerate(names, first):
        words = f"{name} · {length_words(width)}"
        texts |= {f"{trace}.name": words, f"{trace}.hovertemplate": f"{words} {_VALUE}"}
    return texts


def _broken(x: Floats, y: Floats, opens: Times, breaks: Times) -> tuple[Floats, Floats]:
    """End a line at each gap between candles, as ``broken`` does; x is on the axis already."""
    places = np.searchsorted(opens, breaks, "right")
    places = places[(places > 0) & (places < opens.size)]
    if not places.size:
        return x, y
    return np.insert(x, places, x[places]), np.insert(y, places, np.nan)
