"""The seam of a chart: its rows are history before that time, and live after it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.gaps import Mapped
from kucoin_research.figures.theme import Spec, upright
from kucoin_research.figures.time_axis import Zone

__all__ = [
    "NO_SEAM",
    "SEAM_WORDS",
    "JoinedTrades",
    "Seam",
    "before_live",
    "history_note",
    "join_trades",
    "seam_line",
]

#: The name of the line at a seam.
SEAM_WORDS = "history before, live after"
_MISSING = "neither the history nor the stream has the rows between"


class Seam(NamedTuple):
    """Where history ends and live rows begin, on the exchange's clock, ns UTC.

    Attributes
    ----------
    live_ns
        Time of the first live row; ``None`` while there is no history, or no live row.
    missing
        Begin and end of a time whose rows neither the history nor the stream has.
    why
        A sentence about this time.
    note
        A sentence about history that could not be had.
    """

    live_ns: int | None = None
    missing: tuple[int, int] | None = None
    why: str = _MISSING
    note: str = ""

    @property
    def gaps(self) -> list[Mapped]:
        """The time whose rows are missing, as a gap."""
        return [] if self.missing is None else [Mapped("gap", *self.missing, self.why)]


#: All rows are live.
NO_SEAM = Seam()


def seam_line(seam: Seam, span: tuple[int, int], zone: Zone) -> list[Spec]:
    """Describe the line at a seam within a span, ns; a live figure shows its name on hover."""
    if seam.live_ns is None or not span[0] <= seam.live_ns <= span[1]:
        return []
    (x,) = zone.to_axis(np.array([seam.live_ns], np.int64)).tolist()
    return [{**upright(x, "$muted"), "name": SEAM_WORDS}]


def history_note(text: str) -> Spec:
    """Describe the note that says why history is missing."""
    return {
        "text": text,
        "showarrow": False,
        "align": "left",
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "bottom",
        "font": {"size": 11, "color": "$font"},
        "bgcolor": "$paper",
    }


class JoinedTrades(NamedTuple):
    """Trades of history and live ones, each once, in order.

    Attributes
    ----------
    rows
        All of them.
    whole_from
        Time of the first trade, ns, from which on none is missing; ``None`` without trades.
    seam
        Where they are joined.
    """

    rows: pl.DataFrame
    whole_from: int | None
    seam: Seam


def join_trades(page: pl.DataFrame | None, live: pl.DataFrame) -> JoinedTrades:
    """Put the trades of history before the live ones.

    A trade that is in both counts once: they are compared by sequence. The exchange skips numbers
    between trades, so that none is missing is only known if the page reaches into the live ones.

    Parameters
    ----------
    page
        The newest trades at the time of asking, oldest first; ``None`` if there is no answer yet.
    live
        The stream's trades, in order of arrival.
    """
    if page is None or not page.height:
        return JoinedTrades(live, _first(live), NO_SEAM)
    if not live.height:
        return JoinedTrades(page, _first(page), NO_SEAM)
    first, begin = live["sequence"].min(), _first(live)
    if first is None:  # without numbers, only the times are left to compare
        before, is_whole = page.filter(nanoseconds(page["timestamp"]) < (begin or 0)), False
    else:
        before = page.filter(pl.col("sequence") < first)
        is_whole = before.height < page.height
    if not before.height:
        return JoinedTrades(live, begin, NO_SEAM)
    rows = pl.concat((before_live(before, live), live))
    if is_whole:
        return JoinedTrades(rows, _first(before), Seam(begin))
    assert begin is not None  # there are live rows
    until = int(nanoseconds(before["timestamp"][-1:])[0])
    return JoinedTrades(rows, begin, Seam(begin, (until, begin)))


def before_live(history: pl.DataFrame, live: pl.DataFrame) -> pl.DataFrame:
    """Stamp rows of history as if they had arrived before the live ones, as late as these.

    They came over REST in fact, after the first live ones; gaps are placed by the order of arrival.
    """
    if not live.height or not history.height:
        return history
    event, local = (
        int(nanoseconds(live[name][:1])[0]) for name in ("timestamp", "local_timestamp")
    )
    stamps = np.minimum(nanoseconds(history["timestamp"]) + (local - event), local - 1)
    stamped = pl.Series("local_timestamp", stamps).cast(history["local_timestamp"].dtype)
    return history.with_columns(stamped)


def _first(rows: pl.DataFrame) -> int | None:
    return int(nanoseconds(rows["timestamp"][:1])[0]) if rows.height else None
