"""The account of recorded rows: what was counted, and what the ``status`` rows tell of it.

A session counts its frames, a replay counts as it goes; both let the same ``status`` rows say what
was missing and what was filled, so that they come to the same report.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kucoin_research.integrity import Gap, Tally
from kucoin_research.records import Status
from kucoin_research.report import ChannelReport, Report

__all__ = ["CONCERNING", "Counted", "reckon"]

_SECONDS = re.compile(r"(?P<cause>[a-z]+) for [\d.]+ s")
_FILLS = frozenset({"filled", "not_filled"})
_COUNTED_EVENTS = frozenset({"connected", "disconnected", "rollover"})

#: The events that a report is made of; others change nothing in it.
CONCERNING = frozenset({"broken", "gap"}) | _FILLS | _COUNTED_EVENTS


@dataclass(slots=True)
class Counted:
    """Rows of one channel and symbol.

    ``symbol`` is ``*`` for rows of none.
    """

    channel: str
    symbol: str
    rows: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    is_synced: bool = False  # level 2 only: there is a snapshot


#: Counts the rows of a channel and symbol that arrived from one local time on and before another.
Between = Callable[[str, str, int, int], int]


def reckon(
    name: str,
    counted: Iterable[Counted],
    statuses: Sequence[Status],
    between: Between,
    drops: Iterable[Mapping[str, Any]] = (),
) -> Report:
    """Make the report.

    Parameters
    ----------
    name
        Of the session.
    counted
        An entry each, in the report's order.
    statuses
        In order of arrival; those that are not ``CONCERNING`` may be missing.
    between
        Asked for the rows that REST has brought.
    drops
        What the recorder had no room for: ``began`` and ``ended`` in ns UTC.
    """
    tallies = [_tally(each) for each in counted]
    for status in statuses:
        _take(tallies, status, between)
    for drop in drops:
        for tally in tallies:
            tally.gaps.append(Gap("not recorded", None, None, drop["began"], drop["ended"]))
    events = Counter(status.event for status in statuses)
    return Report(
        name=name,
        channels=tuple(map(ChannelReport.of, tallies)),
        reconnects=_reconnects(statuses),
        clock_offset_ms=None,
        rollovers=events["rollover"],
    )


def _tally(counted: Counted) -> Tally:
    return Tally(
        counted.channel,
        counted.symbol,
        rows=counted.rows,
        first_sequence=counted.first_sequence,
        last_sequence=counted.last_sequence,
        is_synced=counted.is_synced,
    )


def _take(tallies: Sequence[Tally], status: Status, between: Between) -> None:
    concerned = [
        tally
        for tally in tallies
        if status.channel in (None, tally.channel)
        and (status.symbol in (None, tally.symbol) or tally.symbol == "*")
    ]
    if status.event == "broken":
        for tally in concerned if status.channel or status.symbol else []:
            tally.broken += 1
    elif status.event == "gap":
        for tally in concerned:
            tally.gaps.append(_gap(status))
    elif status.event in _FILLS:
        for tally in concerned:
            _fill(tally, status, between)


def _fill(tally: Tally, status: Status, between: Between) -> None:
    first, last = status.first_sequence, status.last_sequence
    if tally.channel == "level2":
        if first is not None and last is not None:
            tally.mend(first, last)
        return
    if not tally.open_gaps:
        return
    gap = tally.open_gaps[-1]
    if status.event == "not_filled":
        # Whatever came, this is missing between what it did and what was there.
        tally.retell(gap, first_sequence=first, last_sequence=last, is_counted=False)
        return
    begin, end = _bounds(status)
    count = between(tally.channel, tally.symbol, begin, end)
    tally.filled += count
    ended = end if gap.cause == "stalled" else gap.ended
    tally.retell(gap, filled=gap.filled + count, filled_by="REST", ended=ended)


def _reconnects(statuses: Iterable[Status]) -> int:
    """Count the connections that were made after one was lost."""
    count, is_lost = 0, False
    for status in statuses:
        count += is_lost and status.event == "connected"
        is_lost = status.event == "disconnected" or (is_lost and status.event != "connected")
    return count


def _gap(status: Status) -> Gap:
    began, ended = _bounds(status)
    return Gap(
        _cause(status.detail), status.first_sequence, status.last_sequence, began, ended
    )  # fmt: skip


def _bounds(status: Status) -> tuple[int, int]:
    ended = status.local_timestamp or 0
    return (ended if status.timestamp is None else status.timestamp), ended


def _cause(detail: str | None) -> str:
    text = detail or ""
    if "renumbered" in text:
        return "rebase"
    found = _SECONDS.search(text)
    return found["cause"] if found else "missing"
