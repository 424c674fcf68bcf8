"""The times between sessions that were loaded together, of which nothing is known."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kucoin_research.sessions.session import Session

__all__ = ["times_between"]


def times_between(session: Session, symbol: str) -> list[tuple[int, int]]:
    """List the times in which none of several sessions recorded a symbol.

    Parameters
    ----------
    session
        One session has none; the newest rows of a cut one are its end.
    symbol
        Only sessions that have rows of it count.

    Returns
    -------
    list
        The last arrival (ns UTC) of the one session, whatever the channel, and the first of the
        next; none where they overlap.
    """
    if len(session.paths) == 1:
        return []
    recorded = sorted(_recorded(session, symbol).values())
    between: list[tuple[int, int]] = []
    reached = recorded[0][1] if recorded else 0
    for first, last in recorded[1:]:
        if first > reached:
            between.append((reached, first))
        reached = max(reached, last)
    return between


def _recorded(session: Session, symbol: str) -> dict[Path | None, tuple[int, int]]:
    """Find the first and the last arrival of each session that has the symbol."""
    tables = session.tables()
    folders = {each.folder for each in tables if each.symbol == symbol}
    time = pl.col("local_timestamp").to_physical()
    found: dict[Path | None, tuple[int, int]] = {}
    for table in tables:
        if table.folder not in folders:
            continue
        first, last = session.collect(table.scan().select(time.min(), last=time.max())).row(0)
        if first is not None:
            began, ended = found.get(table.folder, (first, last))
            found[table.folder] = min(began, first), max(ended, last)
    return found
