"""The lines and marks that a user puts on the charts of a dashboard, in bounded memory."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.dashboards.user_points import (
    Marks,
    Points,
    marks_from,
    name_from,
    points_from,
)
from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.tail import Rewound
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.figures.user_traces import MOST_LINES, MOST_PANES, PRICE_PANE
from kucoin_research.foundation.arguments import truth

__all__ = ["UserPlots", "UserRows"]

_MOST_POINTS = 200_000  # of a line; the oldest are dropped
_MOST_MARKS = 10_000  # of a symbol
_SPARE = 1.25  # lines are cut only when they are longer by this factor, so it costs nothing
_EDITS = 1_000  # remembered; a chart that has missed more takes the whole line again

_LINES = pl.Schema(
    {"slot": pl.Int64(), "name": pl.String(), "pane": pl.String(), "is_ahead": pl.Boolean()}
)
# The times are not called ``timestamp``: rows of a chart's main clock alone may leave its window.
_POINTS = pl.Schema({"slot": pl.Int64(), "at": pl.Int64(), "value": pl.Float64()})
_MARKS = pl.Schema(
    {"at": pl.Int64(), "price": pl.Float64(), "text": pl.String(), "is_ahead": pl.Boolean()}
)


class _Line:
    """The points of one line, ordered by time. Positions count from its first point ever."""

    def __init__(self, slot: int, pane: str, *, is_ahead: bool) -> None:
        self.slot, self.pane, self.is_ahead = slot, pane, is_ahead
        self.times, self.values = array("q"), array("d")
        self.dropped = 0  # points, from the left
        self.edits = 0  # calls that did more than append
        self._edited: deque[int] = deque(maxlen=_EDITS)  # the first position of each

    def put(self, points: Points) -> None:
        """Replace the points between the first and the last time; newer ones are appended."""
        times, values = points
        if not times:
            return
        if self.times and times[0] <= self.times[-1]:
            begin, end = bisect_left(self.times, times[0]), bisect_right(self.times, times[-1])
            self.times[begin:end], self.values[begin:end] = times, values
            self.edits += 1
            self._edited.append(self.dropped + begin)
        else:
            self.times.extend(times)
            self.values.extend(values)
        if len(self.times) > _SPARE * _MOST_POINTS:
            surplus = len(self.times) - _MOST_POINTS
            del self.times[:surplus], self.values[:surplus]
            self.dropped += surplus

    def changed_since(self, seen: int, edits: int) -> int:
        """Return the first position that a reader lacks who has seen these points and edits."""
        missed = self.edits - edits
        if missed > len(self._edited):
            return self.dropped
        first = min(list(self._edited)[-missed:], default=seen) if missed else seen
        return max(min(first, seen), self.dropped)

    def points(self, first: int) -> tuple[Times, Floats]:
        """Copy the points from a position on."""
        start = first - self.dropped
        return np.array(self.times[start:], np.int64), np.array(self.values[start:], np.float64)

    @property
    def total(self) -> int:
        """The position behind the last point."""
        return self.dropped + len(self.times)


@dataclass
class _OfSymbol:
    """Everything of one symbol; ``marks`` are in the order of the calls, each once."""

    lines: dict[str, _Line] = field(default_factory=dict)
    marks: dict[tuple[int, float, str], tuple[str, bool]] = field(default_factory=dict)
    version: int = 0
    clears: int = 0
    marks_dropped: int = 0

    def line(self, name: str, pane: str, *, is_ahead: bool) -> _Line:
        """Return a line, a new one if need be."""
        line = self.lines.get(name)
        if line is None:
            line = self.lines[name] = _Line(self._free_slot(), pane, is_ahead=is_ahead)
        elif (line.pane, line.is_ahead) != (pane, is_ahead):
            line.pane, line.is_ahead = pane, is_ahead
            self.clears += 1
        return line

    def _free_slot(self) -> int:
        used = {line.slot for line in self.lines.values()}
        return next(slot for slot in range(MOST_LINES) if slot not in used)

    def drop_marks(self, count: int) -> None:
        """Drop the oldest marks."""
        self.marks = dict(islice(self.marks.items(), count, None))
        self.marks_dropped += count

    def panes(self) -> list[str]:
        """List the panes below the price, in the order of their first lines."""
        return list(dict.fromkeys(each.pane for each in self.lines.values()))


class UserPlots:
    """Keeps the lines and marks of a user, by symbol.

    Notes
    -----
    Every method may be called from any thread, once per message too: nothing is drawn here.
    """

    def __init__(self) -> None:
        self._symbols: dict[str, _OfSymbol] = {}
        self.slots = 0  # most lines that a symbol ever had
        self.lock = threading.Lock()  # guards all of it

    def plot(self, symbol: str, name: str, t: object, y: object, *, pane: str, ahead: bool) -> None:
        """Add points to a line; see ``Dashboard.plot``."""
        name, pane = name_from(name, "name"), name_from(pane, "pane")
        is_ahead = truth(ahead, "ahead")
        points = points_from(t, y, f"plot({name!r})")
        with self.lock:
            own = self._symbols.setdefault(symbol, _OfSymbol())
            self._check_room(own, name, pane)
            own.line(name, pane, is_ahead=is_ahead).put(points)
            own.version += 1
            self.slots = max(self.slots, len(own.lines))

    def _check_room(self, own: _OfSymbol, name: str, pane: str) -> None:
        if name not in own.lines and len(own.lines) >= MOST_LINES:
            raise InvalidInput(
                f"a chart has room for {MOST_LINES} lines, so there is none for {shown(name)}; "
                f"clear() takes one away: {', '.join(own.lines)}"
            )
        panes = [each for each in own.panes() if each != PRICE_PANE]
        if pane != PRICE_PANE and pane not in panes and len(panes) >= MOST_PANES:
            raise InvalidInput(
                f"a chart has room for {MOST_PANES} panes below the price, so there is none for "
                f"{shown(pane)}; those there are: {', '.join(panes)}"
            )

    def mark(
        self, symbol: str, t: object, price: object, text: object, *, name: str, ahead: bool
    ) -> None:
        """Add marks, each once; see ``Dashboard.mark``."""
        name, is_ahead = name_from(name, "name"), truth(ahead, "ahead")
        marks: Marks = marks_from(t, price, text)
        with self.lock:
            own = self._symbols.setdefault(symbol, _OfSymbol())
            for key in zip(*marks, strict=True):
                own.marks.setdefault(key, (name, is_ahead))
            if len(own.marks) > _SPARE * _MOST_MARKS:
                own.drop_marks(len(own.marks) - _MOST_MARKS)
            own.version += 1

    def clear(self, name: str | None = None) -> None:
        """Take away the lines and marks of a name, or all, of every symbol.

        Raises
        ------
        InvalidInput
            If there are none of that name.
        """
        name = None if name is None else name_from(name, "name")
        with self.lock:
            known = {each for own in self._symbols.values() for each in _names(own)}
            if name is not None and name not in known:
                there = ", ".join(sorted(known)) or "nothing"
                raise InvalidInput(f"nothing is called {shown(name)} here; there is {there}")
            for own in self._symbols.values():
                _clear(own, name)

    def of(self, symbol: str) -> _OfSymbol | None:
        """Return everything of a symbol, for a reader that holds the lock."""
        return self._symbols.get(symbol)

    def version(self, symbol: str) -> tuple[int, int]:
        """Return a number that each call for a symbol changes, and the slots."""
        own = self._symbols.get(symbol)
        return (0, self.slots) if own is None else (own.version, self.slots)


def _names(own: _OfSymbol) -> set[str]:
    return {*own.lines, *(name for name, _ in own.marks.values())}


def _clear(own: _OfSymbol, name: str | None) -> None:
    if name is not None and name not in _names(own):
        return
    own.lines = {each: line for each, line in own.lines.items() if name not in (None, each)}
    own.marks = {key: value for key, value in own.marks.items() if name not in (None, value[0])}
    own.marks_dropped = 0
    own.clears += 1
    own.version += 1


class _Seen(NamedTuple):
    """The points and edits of a line that a chart has."""

    total: int
    edits: int


class UserRows:
    """Supplies a chart with the lines and marks of a user.

    Parameters
    ----------
    plots
        Lines and marks of all symbols.
    symbol
        The symbol of the chart.

    Notes
    -----
    For one thread, that of the chart.
    """

    def __init__(self, plots: UserPlots, symbol: str) -> None:
        self._plots, self._symbol = plots, symbol
        self.restart()

    def restart(self) -> None:
        """Begin again with all rows."""
        self._version = (0, 0)
        self._clears: int | None = None
        self._lines: list[tuple[int, str | None, str, bool]] | None = None
        self._seen: dict[str, _Seen] = {}
        self._marks = 0

    def has_news(self) -> bool:
        """Whether there are rows to take; a cheap check."""
        return self._plots.version(self._symbol) != self._version

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the lines if one is new, their new points, and the new marks.

        Of each line the points replace all that the chart has from the first of them on.

        Raises
        ------
        Rewound
            If something was taken away.
        """
        if not self.has_news():
            return
        with self._plots.lock:
            self._version = self._plots.version(self._symbol)
            own = self._plots.of(self._symbol) or _OfSymbol()
            if self._clears not in (None, own.clears):
                raise Rewound
            self._clears = own.clears
            found = [self._new_lines(own), self._new_points(own), self._new_marks(own)]
        yield from (each for each in found if each is not None)

    def _new_lines(self, own: _OfSymbol) -> tuple[str, pl.DataFrame] | None:
        by_slot: dict[int, tuple[str | None, str, bool]]
        by_slot = {line.slot: (name, line.pane, line.is_ahead) for name, line in own.lines.items()}
        # Slots that other symbols have used, or that are free again, are listed without a name: a
        # page keeps their points until it is sent others.
        blank = (None, PRICE_PANE, False)
        lines = [(slot, *by_slot.get(slot, blank)) for slot in range(self._plots.slots)]
        if lines == self._lines:
            return None
        self._lines = lines
        return "user_lines", pl.DataFrame(lines, schema=_LINES, orient="row")

    def _new_points(self, own: _OfSymbol) -> tuple[str, pl.DataFrame] | None:
        parts = []
        for name, line in own.lines.items():
            first = line.changed_since(*self._seen.get(name, _Seen(0, 0)))
            self._seen[name] = _Seen(line.total, line.edits)
            times, values = line.points(first)
            if times.size:
                slots = np.full(times.size, line.slot)
                parts.append(pl.DataFrame((slots, times, values), schema=_POINTS))
        return ("user_points", pl.concat(parts)) if parts else None

    def _new_marks(self, own: _OfSymbol) -> tuple[str, pl.DataFrame] | None:
        first = max(self._marks - own.marks_dropped, 0)
        self._marks = own.marks_dropped + len(own.marks)
        new = islice(own.marks.items(), first, None)
        rows = [(*key, is_ahead) for key, (_, is_ahead) in new]
        return ("user_marks", pl.DataFrame(rows, schema=_MARKS, orient="row")) if rows else None

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return no gaps: those of the market are the chart's."""
        return [], False
