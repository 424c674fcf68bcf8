"""The times in which a recording lacks rows of a channel, and nothing has filled them since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from kucoin_research.bridges.inputs import channel_names
from kucoin_research.foundation.spans import merged
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.records import Status
from kucoin_research.model.source import Source, is_replay
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.sessions.holes import times_between
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.session_report import reported_gaps

__all__ = ["MissingSpan", "described", "missing_spans", "spans_between_sessions"]

_EVENTS = ("gap", "filled", "not_filled")


class MissingSpan(NamedTuple):
    """Rows are missing that would have arrived after ``began`` and before ``ended``.

    Both are local times, ns UTC.
    """

    began: int
    ended: int


def missing_spans(source: Source, channel: str, symbol: str) -> list[MissingSpan]:
    """List the unfilled gaps of a channel and symbol, in order of time, merged where they touch.

    The times between sessions that were loaded together are such gaps, too.

    Parameters
    ----------
    source
        Frames without ``status`` have no known gaps.
    channel
        Its plain name.
    """
    found: list[MissingSpan] = []
    for name, statuses in _gap_rows(source, symbol).items():
        if name is None or parse_channel(name).name == channel:
            gaps = reported_gaps(name, statuses)
            found += [MissingSpan(g.began, g.ended) for g in gaps if g.filled_by is None]
    session = _session_of(source)
    if session is not None:
        losses = (loss for loss in session.losses if loss.concerns(channel, symbol))
        found += [MissingSpan(loss.began, loss.ended) for loss in losses]
    found += spans_between_sessions(source, symbol)
    return [MissingSpan(*each) for each in merged(found)]


def spans_between_sessions(source: Source, symbol: str) -> list[MissingSpan]:
    """List the times in which none of several sessions loaded together recorded a symbol."""
    session = _session_of(source)
    between = [] if session is None else times_between(session, [symbol])[symbol]
    return [MissingSpan(*each) for each in between]


def _session_of(source: Source) -> Session | None:
    held = source.session if is_replay(source) else source
    return held if isinstance(held, Session) else None


def described(spans: Sequence[MissingSpan]) -> str:
    """Write the number and the length of some gaps."""
    seconds = sum(span.ended - span.began for span in spans) / 1e9
    plural = "s" if len(spans) > 1 else ""
    return f"{len(spans):,} gap{plural}, {seconds:,.1f} s in all"


def _gap_rows(source: Source, symbol: str) -> dict[str | None, list[Status]]:
    found: defaultdict[str | None, list[Status]] = defaultdict(list)
    if "status" not in channel_names(source):
        return found
    status = source.frame("status")
    its_own = pl.col("symbol").is_null() | (pl.col("symbol").cast(pl.String) == symbol)
    rows = status.filter(its_own & pl.col("event").cast(pl.String).is_in(_EVENTS))
    for row in records_of(Status, rows.sort("local_timestamp", maintain_order=True)):
        if isinstance(row, Status):
            found[row.channel].append(row)
    return found
