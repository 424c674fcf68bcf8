"""What REST can bring back after an outage: which rows are new, and whether any are still missing.

KuCoin keeps the last hundred trades of a symbol and all candles within REST's reach, and nothing of
the other channels. Pure functions; the errand thread asks, the intake takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kucoin_research.model.records import Candle, Trade

__all__ = [
    "Mended",
    "is_behind",
    "mend_all_candles",
    "mend_all_trades",
    "mend_candles",
    "mend_trades",
]


class Mended(NamedTuple):
    """What was brought back.

    ``is_whole`` says that nothing is missing between the last row before the outage and the first
    behind it. Otherwise ``first_missing`` and ``last_missing`` bound it by the exchange's counter,
    both included, where they are known.
    """

    rows: list[Trade] | list[Candle]
    is_whole: bool
    first_missing: int | None = None
    last_missing: int | None = None


def mend_trades(
    last_sequence: int | None, fetched: Sequence[Trade], held: Sequence[Trade]
) -> Mended:
    """Choose the trades that belong between the last one before an outage and those behind it.

    The exchange does not number trades without holes. What proves that none is missing is a page
    that reaches back to a trade which had arrived before. A new connection may begin with
    executions of the outage, repeated, which need not reach up to its first live trade. So what
    belongs in between is all of the page up to the newest trade that has not come over it; of what
    is brought and held, the later one is dropped as a repeat.

    Parameters
    ----------
    last_sequence
        Of the last trade before the outage.
    fetched
        The page, ascending, asked for when the new subscription was in force.
    held
        The trades that have come over the new connection, in order.
    """
    known = [trade for trade in fetched if trade.sequence is not None]
    if last_sequence is None or not known:
        return Mended([], is_whole=False)
    came = {trade.sequence for trade in held}
    upto = next(
        (_number(trade) for trade in reversed(known) if trade.sequence not in came), last_sequence
    )
    rows = [trade for trade in known if last_sequence < _number(trade) <= upto]
    oldest = _number(known[0])
    if oldest <= last_sequence:
        return Mended(rows, is_whole=True)
    return Mended(rows, False, last_sequence + 1, oldest - 1)


def is_behind(fetched: Sequence[Trade], held: Sequence[Trade]) -> bool:
    """Whether trades of a page have yet to come over the connection, or never will.

    Nobody can tell, as long as it has brought some, but not the page's newest.
    """
    came = {trade.sequence for trade in held}
    return bool(came and fetched) and fetched[-1].sequence not in came


def _number(trade: Trade) -> int:
    assert trade.sequence is not None  # those without are left out before
    return trade.sequence


def mend_candles(last_open: int, fetched: Sequence[Candle], held: Sequence[Candle]) -> list[Candle]:
    """Choose the candles of one interval that belong into an outage.

    The one that was open when it began comes first, as it finally stood.

    Parameters
    ----------
    last_open
        Open time (ns UTC) of the last candle before the outage.
    fetched
        Ascending, from ``last_open`` on.
    held
        The candles of that interval that have come over the new connection.
    """
    first_held = next((each.timestamp for each in held if each.timestamp is not None), None)
    return [
        candle
        for candle in fetched
        if candle.timestamp is not None
        and candle.timestamp >= last_open
        and (first_held is None or candle.timestamp < first_held)
    ]


def mend_all_trades(
    last_sequence: int | None, fetched: Sequence[Trade], held: Sequence[Sequence[Trade]]
) -> list[Mended]:
    """Choose the trades that belong into each of several outages, by one page.

    Parameters
    ----------
    last_sequence
        Of the last trade before the first outage.
    fetched
        The page, ascending, asked for when the last outage was over.
    held
        The trades that came behind each outage, in order.

    Returns
    -------
    list[Mended]
        One for each outage.
    """
    found = []
    for position, behind in enumerate(held):
        later = next((part for part in held[position:] if part), [])
        is_last = position == len(held) - 1
        newest = max((each.sequence or 0 for each in later), default=None)
        # What is newer than the trades of an outage's end belongs to the next outage.
        page = [
            trade
            for trade in fetched
            if is_last or newest is None or (trade.sequence or 0) <= newest
        ]
        mended = mend_trades(last_sequence, page, later)
        found.append(mended)
        known = [
            trade.sequence
            for trade in (*mended.rows, *behind)
            if isinstance(trade, Trade) and trade.sequence is not None
        ]
        last_sequence = max(known, default=last_sequence)
    return found


def mend_all_candles(
    last_opens: Mapping[str | None, int],
    fetched: Sequence[Candle],
    held: Sequence[Sequence[Candle]],
) -> list[Mended]:
    """Choose the candles that belong into each of several outages.

    Parameters
    ----------
    last_opens
        By interval, the open time (ns UTC) of the last candle before the first outage.
    fetched
        Of all intervals, each ascending.
    held
        The candles that came behind each outage, in order.

    Returns
    -------
    list[Mended]
        One for each outage; whole if REST knew each interval.
    """
    by_interval: defaultdict[str | None, list[Candle]] = defaultdict(list)
    for candle in fetched:
        by_interval[candle.interval].append(candle)
    is_whole = all(by_interval[interval] for interval in last_opens)
    opens = dict(last_opens)
    found = []
    for position, behind in enumerate(held):
        rows = [
            candle
            for interval, opened in opens.items()
            for candle in mend_candles(
                opened,
                by_interval[interval],
                [row for part in held[position:] for row in part if row.interval == interval],
            )
        ]
        found.append(Mended(rows, is_whole))
        for row in (*rows, *behind):
            if row.timestamp is not None:
                opens[row.interval] = row.timestamp
    return found
