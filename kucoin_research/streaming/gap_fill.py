"""What REST can bring back after an outage: which rows are new, and whether any are still missing.

KuCoin keeps the last hundred trades of a symbol and all candles within REST's reach, and nothing of
the other channels. Pure functions; the errand thread asks, the intake takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kucoin_research.model.channels import Market
from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.records import (
    Candle,
    Record,
    Trade,
)

__all__ = [
    "FillableGap",
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


# Of these REST knows the past, so an outage can be filled.
FILLABLE = frozenset({"trade", "candle"})


# Before the first of the rows that wait so many stamps are left free, 1 ns each, for what REST will
# bring. A day of candles of 1 min is less; of more, some share their stamps with other rows.
STAMP_ROOM = 2_000


class FillableGap(NamedTuple):
    """An outage of one channel and symbol that REST may fill.

    ``last_sequence`` is that of the last trade before it, ``last_opens`` the open times (ns UTC) of
    the last candles, by interval. ``is_silent`` says that it may be no outage, but a quiet market,
    and that it goes on. ``number`` is another one after each further outage.
    """

    record: type[Record]
    symbol: str
    market: Market
    last_sequence: int | None
    last_opens: dict[str | None, int]
    is_silent: bool = False
    number: int = 0


@dataclass(slots=True)
class OutagePart:
    """One outage, and the rows that came behind it."""

    began: int
    gap: Gap | None = None  # once the outage is over
    held: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Gate:
    """Keeps the rows of a channel and symbol back until what belongs before them has come.

    Before REST has filled one outage, the next may come: each is a part.
    """

    tally: Tally
    market: Market
    parts: list[OutagePart]
    is_armed: bool = False  # after a silence of which nobody knows whether it was an outage
    tries: int = 0  # pages of which the newest trade had not come over the connection
    number: int = 0  # another one whenever a page that was asked for before may be too old

    @property
    def can_be_filled(self) -> bool:
        return self.is_armed or self.parts[-1].gap is not None

    @property
    def held(self) -> list[Record]:
        """The rows that come behind all outages so far."""
        return self.parts[-1].held

    def hold(self, row: Record, local: int) -> int:
        """Keep a row back that was read now, with a stamp of its own; gives the next one's."""
        if not self.held:
            local += STAMP_ROOM
        self.held.append(row._replace(local_timestamp=local))
        return local + 1

    @property
    def waiting(self) -> int:
        """How many rows are kept back."""
        return sum(len(part.held) for part in self.parts)

    def part(self, began: int) -> OutagePart:
        """Give the part of an outage that began then, or still lasts."""
        last = self.parts[-1]
        if last.gap is not None or last.held:
            last = OutagePart(began)
            self.parts.append(last)
        return last


def _account(gate: Gate, part: OutagePart, mended: Mended, rows: int, ended: int) -> None:
    """Write down what was filled, up to that stamp, and what was not."""
    gap, tally = part.gap, gate.tally
    assert gap is not None  # made when it was not
    tally.filled += rows
    if gap.cause == "stalled":
        gap = tally.retell(gap, ended=ended)  # it may go on
    if not mended.is_whole and mended.first_missing is not None:
        first = mended.first_missing if gap.first_sequence is None else gap.first_sequence
        gap = tally.retell(
            gap, first_sequence=first, last_sequence=mended.last_missing, is_counted=False
        )
    is_whole = mended.is_whole and gap.first_sequence is None
    filled_by = "REST" if is_whole else None
    part.gap = tally.retell(gap, filled_by=filled_by, filled=gap.filled + rows)


def _mend(hole: FillableGap, fetched: Sequence[Record], gate: Gate) -> list[Mended]:
    """Choose what belongs before each part's rows."""
    held = [part.held for part in gate.parts]
    if hole.record is Trade:
        return mend_all_trades(
            hole.last_sequence,
            [row for row in fetched if isinstance(row, Trade)],
            [[row for row in part if isinstance(row, Trade)] for part in held],
        )
    return mend_all_candles(
        # An open candle that differs proves no outage; another one does.
        {key: each + 1 if gate.is_armed else each for key, each in hole.last_opens.items()},
        [row for row in fetched if isinstance(row, Candle)],
        [[row for row in part if isinstance(row, Candle)] for part in held],
    )
