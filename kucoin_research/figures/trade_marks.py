"""Marks on a chart of prices: fills, and the notes of a strategy."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.figures.chart import Arrays, View
from kucoin_research.figures.columns import nanoseconds, numbers
from kucoin_research.figures.decimals import plain
from kucoin_research.figures.downsample import Bubbles, bucket_width
from kucoin_research.figures.shown_sizes import NATIVE, ShownSizes
from kucoin_research.figures.theme import Spec, literal
from kucoin_research.figures.time_axis import Floats, Times

__all__ = ["MARKED", "FillMarks", "TradeMarks", "marks"]

#: The roles of the rows that become marks.
MARKED = ("fills", "notes")

_SMALLEST_MARK, _LARGEST_MARK = 8.0, 16.0  # px
_MOST_NOTES = 100
_NOTE_WIDTH, _NOTE_LINES = 60, 12
_NOTE_CHARACTERS = 2 * _NOTE_WIDTH * _NOTE_LINES  # that are looked at


class FillMarks:
    """Holds fills, and draws buys and sells as two traces.

    Many fills at one time are drawn as one mark, whose text says so.

    Parameters
    ----------
    view
        The part of the data to show.
    first
        Number of the first of its two traces: buys, sells.
    words
        Describes a fill, of which its row is given, with its size as a text, ``amount``.
    sizes
        The unit that sizes are shown in.
    """

    def __init__(
        self,
        view: View,
        first: int,
        words: Callable[[Mapping[str, Any]], str],
        sizes: ShownSizes,
    ) -> None:
        self._view = view
        self._sides = {"buy": first, "sell": first + 1}
        self._words, self._sizes = words, sizes
        self.rows = KeptRows(view)

    def draw(
        self, arrays: Arrays, texts: dict[str, Any], on_axis: Callable[[Times], Floats]
    ) -> None:
        """Put places, sizes and texts of the marks into a drawing."""
        fills = self._converted(self.rows.joined())
        largest = 0.0 if fills is None else float(numbers(fills, "shown").max(initial=0.0))
        for side, trace in self._sides.items():
            own = None if fills is None else fills.filter(pl.col("side").cast(pl.String) == side)
            bubbles = Bubbles(max(3 * self._view.px // 8, 100))
            if own is not None:
                bubbles.add(
                    nanoseconds(own["timestamp"]), numbers(own, "price"), numbers(own, "shown")
                )
            arrays[trace, "x"], arrays[trace, "y"] = on_axis(bubbles.times), bubbles.prices
            arrays[trace, "marker.size"] = _mark_sizes(bubbles.sizes, largest)
            texts[f"{trace}.text"] = [] if own is None else self._texts(own, bubbles)

    def _converted(self, fills: pl.DataFrame | None) -> pl.DataFrame | None:
        if fills is None:
            return None
        shown = self._sizes.of(numbers(fills, "size"), numbers(fills, "price"))
        return fills.with_columns(pl.Series("shown", shown, nan_to_null=True))

    def _texts(self, fills: pl.DataFrame, bubbles: Bubbles) -> list[str]:
        """Write the text of each mark: of one fill, or the sum of those that it stands for."""
        rows: defaultdict[tuple[int, float], list[dict[str, Any]]] = defaultdict(list)
        times, prices = nanoseconds(fills["timestamp"]).tolist(), numbers(fills, "price").tolist()
        for time, price, row in zip(times, prices, fills.iter_rows(named=True), strict=True):
            rows[time, price].append(row)
        marks = (bubbles.times, bubbles.prices, bubbles.sizes, bubbles.counts)
        texts = []
        for time, price, size, many in zip(*(each.tolist() for each in marks), strict=True):
            amount = self._sizes.written(size)
            if many == 1:
                texts.append(self._words({**_taken(rows[time, price], size), "amount": amount}))
            else:
                texts.append(f"{many:,.0f} fills, {literal(amount)} in all<br>zoom in to see each")
        return texts


class KeptRows:
    """Rows of marks in view; the older ones can be dropped."""

    def __init__(self, view: View) -> None:
        self._span = view.span
        self._parts: list[pl.DataFrame] = []

    def take(self, rows: pl.DataFrame) -> None:
        """Add rows."""
        if self._span is not None:
            rows = rows.filter(pl.col("timestamp").cast(pl.Int64).is_between(*self._span))
        self._parts.append(rows)

    def drop_before(self, time_ns: int) -> None:
        """Drop older rows."""
        self._parts = [
            kept
            for part in self._parts
            if (kept := part.filter(pl.col("timestamp").cast(pl.Int64) >= time_ns)).height
        ]

    def joined(self) -> pl.DataFrame | None:
        """Return all rows; None if there were none yet."""
        return pl.concat(self._parts) if self._parts else None

    @property
    def prices(self) -> list[Floats]:
        """Their prices, for the range of the axis."""
        return [numbers(part, "price") for part in self._parts if "price" in part.columns]


class TradeMarks:
    """Holds a strategy's fills and notes, and draws them as triangles and diamonds.

    Parameters
    ----------
    view
        The part of the data to show.
    first
        Number of the first of its three traces: buys, sells, notes.
    sizes
        The unit that sizes of fills are shown in.
    """

    def __init__(self, view: View, first: int, sizes: ShownSizes = NATIVE) -> None:
        self._fills = FillMarks(view, first, _fill_text, sizes)
        self._notes = KeptRows(view)
        self._notes_trace = first + 2
        self._rows = {"fills": self._fills.rows, "notes": self._notes}

    @staticmethod
    def spec(*, is_among_trades: bool = False) -> list[Spec]:
        """Describe the traces: buys, sells, notes; they stand out from the trades of others."""
        own, outline = ("own ", "$font") if is_among_trades else ("", "$paper")
        traces = [
            marks(f"{own}buys", "$buy", "triangle-up", outline),
            marks(f"{own}sells", "$sell", "triangle-down", outline),
            marks("notes", "$third", "diamond", outline),
        ]
        # A press on one is reported to the figure.
        traces = [{**each, "meta": "mark"} for each in traces]
        # A legend of eight entries would not fit above a chart of a dashboard.
        return [{**each, "showlegend": False} if is_among_trades else each for each in traces]

    @property
    def prices(self) -> list[Floats]:
        """The prices of all marks, for the range of the axis."""
        return [each for rows in self._rows.values() for each in rows.prices]

    def take(self, role: str, rows: pl.DataFrame) -> None:
        """Add fills with the columns of ``Result.fills``, or notes with those and a ``price``."""
        self._rows[role].take(rows)

    def drop_before(self, time_ns: int) -> None:
        """Drop older marks."""
        for rows in self._rows.values():
            rows.drop_before(time_ns)

    def draw(
        self, arrays: Arrays, texts: dict[str, Any], on_axis: Callable[[Times], Floats]
    ) -> None:
        """Put places, sizes and texts of the marks into a drawing."""
        self._fills.draw(arrays, texts, on_axis)
        self._draw_notes(arrays, texts, on_axis)

    def _draw_notes(
        self, arrays: Arrays, texts: dict[str, Any], on_axis: Callable[[Times], Floats]
    ) -> None:
        notes, trace = self._notes.joined(), self._notes_trace
        if notes is None or "price" not in notes.columns:
            arrays[trace, "x"] = arrays[trace, "y"] = np.empty(0)
            texts[f"{trace}.text"] = []
            return
        notes = _fewer(notes)
        arrays[trace, "x"] = on_axis(nanoseconds(notes["timestamp"]))
        arrays[trace, "y"] = numbers(notes, "price")
        texts[f"{trace}.text"] = [_note_text(row) for row in notes.iter_rows(named=True)]


def marks(name: str, colour: str, shape: str, outline: str) -> Spec:
    """Describe a trace of marks, whose texts are shown on hover."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [],
        "y": [],
        "text": [],
        "marker": {
            "color": colour,
            "size": _SMALLEST_MARK,
            "symbol": shape,
            "line": {"width": 0.8, "color": outline},
        },
        "hovertemplate": "%{text}<extra></extra>",
    }


def _mark_sizes(sizes: Floats, largest: float) -> Floats:
    if largest <= 0:
        return np.full(sizes.size, _SMALLEST_MARK)
    share = np.sqrt(np.minimum(sizes / largest, 1.0))  # of fills drawn as one: at most the largest
    return np.asarray(_SMALLEST_MARK + (_LARGEST_MARK - _SMALLEST_MARK) * share, np.float64)


def _taken(rows: list[dict[str, Any]], size: float) -> dict[str, Any]:
    # Several fills may share a time and a price; sizes of marks are sums, exact but for rounding.
    place = min(range(len(rows)), key=lambda each: abs((rows[each]["shown"] or 0.0) - size))
    return rows.pop(place)


def _fill_text(row: Mapping[str, Any]) -> str:
    fee = "unknown" if row["fee"] is None else f"{plain(row['fee'])} {row['fee_currency'] or ''}"
    lines = [
        f"{row['side']} {row['amount']} at {plain(row['price'])}",
        f"fee {fee.strip()} ({row['liquidity'] or 'unknown'})",
        f"order {row['order_id']}" + (f", tag {row['tag']}" if row["tag"] else ""),
    ]
    return "<br>".join(literal(each) for each in lines)


def _fewer(notes: pl.DataFrame) -> pl.DataFrame:
    """Keep the first note of each stretch of time, with the number of further ones."""
    times = pl.Series("at", nanoseconds(notes["timestamp"]))
    notes = notes.with_columns(times, more=pl.lit(0, pl.Int64))
    if notes.height <= _MOST_NOTES:
        return notes
    width = bucket_width(int(times[-1] - times[0]) + 1, _MOST_NOTES)
    stretches = notes.group_by(pl.col("at") // width, maintain_order=True)
    return stretches.agg(pl.all().exclude("more").first(), more=pl.len().cast(pl.Int64) - 1)


def _note_text(row: Mapping[str, Any]) -> str:
    text = str(row["text"])
    lines = textwrap.wrap(text[:_NOTE_CHARACTERS], _NOTE_WIDTH) or [""]
    if len(lines) > _NOTE_LINES or len(text) > _NOTE_CHARACTERS:
        lines = [*lines[:_NOTE_LINES], "…"]
    if row["position"] is not None:
        lines.append(f"position {plain(row['position'])}")
    if row["more"]:
        lines.append(f"and {row['more']:,} further notes: zoom in to see each")
    return "<br>".join(literal(each) for each in lines)
