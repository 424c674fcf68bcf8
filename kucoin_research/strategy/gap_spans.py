"""The times of a symbol in which orders are not filled, read from ``status`` rows.

Rows were lost, or nobody had subscribed to them. One rule serves a recording, whose rows are all
there, and a stream, which shows them one by one: else a run on paper would end otherwise than the
same run on its recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from kucoin_research.foundation.spans import Span, merged
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.records import Status
from kucoin_research.sessions.session_report import reported_gaps
from kucoin_research.strategy.absences import Absences
from kucoin_research.strategy.market import MATCHED

__all__ = ["GAP_EVENTS", "gap_spans", "lacks_of"]

_OF_GAPS = frozenset({"gap", "filled", "not_filled"})
#: The events that ``gap_spans`` reads.
GAP_EVENTS = _OF_GAPS | Absences.EVENTS


def gap_spans(
    statuses: Iterable[Status], played: Mapping[str, frozenset[str]], until: int
) -> dict[str, list[Span]]:
    """List the times in which rows are missing that orders are matched against.

    Parameters
    ----------
    statuses
        Rows of the ``status`` channel; only ``GAP_EVENTS`` matter.
    played
        The channels that are played of each symbol, by their plain names.
    until
        The end of a span that goes on, ns UTC.

    Returns
    -------
    dict
        By symbol, in order and without overlaps. A span without a subscription is among them even
        if REST has filled it since: nobody saw its rows when they were due.
    """
    in_time = sorted(statuses, key=lambda each: each.local_timestamp or 0)
    grouped: defaultdict[tuple[str | None, str | None], list[Status]] = defaultdict(list)
    for status in in_time:
        if status.event in _OF_GAPS:
            grouped[status.channel, status.symbol].append(status)
    spans = {symbol: _absent(in_time, symbol, played[symbol], until) for symbol in played}
    for (channel, its_symbol), rows in grouped.items():
        name = None if channel is None else parse_channel(channel).name
        # A gap without a subscription is one of the absences already.
        missing = [
            (gap.began, gap.ended)
            for gap in reported_gaps(channel, rows)
            if gap.filled_by is None and gap.cause != "unsubscribed"
        ]
        for symbol, there in played.items():
            if its_symbol in (None, symbol) and (name is None or name in there & MATCHED):
                spans[symbol] += missing
    return {symbol: merged(found) for symbol, found in spans.items()}


def _absent(
    statuses: Iterable[Status], symbol: str, channels: frozenset[str], until: int
) -> list[Span]:
    absences = Absences(symbol, channels & MATCHED)
    found = [span for span in map(absences.take, statuses) if span is not None]
    if absences.since is not None and absences.since < until:
        found.append((absences.since, until))
    return found


def lacks_of(gaps: Mapping[str, Sequence[Span]]) -> list[tuple[str, str]]:
    """Describe gaps in sentences, each with its symbol."""
    found = []
    for symbol, spans in gaps.items():
        if spans:
            seconds = sum(end - begin for begin, end in spans) / 1e9
            plural = "s" if len(spans) > 1 else ""
            found.append(
                (symbol, f"{len(spans)} gap{plural} without fills, {seconds:,.1f} s in all")
            )
    return found
