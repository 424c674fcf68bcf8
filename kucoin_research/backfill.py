"""What REST can bring back after an outage: which rows are new, and whether any are still missing.

KuCoin keeps the last hundred trades of a symbol and all candles within REST's reach, and nothing of
the other channels. Pure functions; the errand thread asks, the intake takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from kucoin_research.records import Candle, Trade

__all__ = ["Mended", "mend_all_candles", "mend_all_trades", "mend_candles", "mend_trades"]


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
    that reaches back to a trade which had arrived before.

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
    first_held = next((t.sequence for t in held if t.sequence is not None), None)
    rows = [
        trade
        for trade in known
        if trade.sequence is not None
        and trade.sequence > last_sequence
        and (first_held is None or trade.sequence < first_held)
    ]
    oldest = known[0].sequence
    assert oldest is not None
    if oldest <= last_sequence:
        return Mended(rows, is_whole=True)
    reached = oldest if first_held is None else min(oldest, first_held)
    return Mended(rows, False, last_sequence + 1, reached - 1)


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
        later = list(chain.from_iterable(held[position:]))
        mended = mend_trades(last_sequence, fetched, later)
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
