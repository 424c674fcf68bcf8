"""The times between sessions that were loaded together, of which nothing is known."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import polars as pl

from kucoin_research.foundation.spans import Span, merged
from kucoin_research.sessions.session import Session

__all__ = ["times_between"]


def times_between(session: Session, symbols: Iterable[str]) -> dict[str, list[Span]]:
    """List the times in which none of several sessions recorded a symbol.

    Parameters
    ----------
    session
        One session has none; the newest rows of a cut one are its end.
    symbols
        For each, only sessions that have rows of it count.

    Returns
    -------
    dict
        By symbol: the last arrival (ns UTC) of the one session, whatever the channel, and the first
        of the next; none where they overlap.
    """
    if len(session.paths) == 1:
        return {symbol: [] for symbol in symbols}
    recorded = _recorded(session)
    found = {}
    for symbol in symbols:
        folders = {each.folder for each in session.tables() if each.symbol == symbol}
        spans = merged(span for folder, span in recorded.items() if folder in folders)
        found[symbol] = [(before[1], behind[0]) for before, behind in pairwise(spans)]
    return found


def _recorded(session: Session) -> dict[Path | None, Span]:
    """Find the first and the last arrival of each session."""
    time = pl.col("local_timestamp").to_physical()
    found: dict[Path | None, Span] = {}
    for table in session.tables():
        first, last = session.collect(table.scan().select(time.min(), last=time.max())).row(0)
        if first is not None:
            began, ended = found.get(table.folder, (first, last))
            found[table.folder] = min(began, first), max(ended, last)
    return found
