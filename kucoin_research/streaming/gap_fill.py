"""Filling outages by REST: rows are held back until the rows before them have come.

KuCoin's REST keeps the last hundred trades of a symbol and all candles, and nothing of the other
channels. The first half of this module is pure: it chooses the rows of a page that belong into an
outage. ``GapFiller`` holds rows back meanwhile and puts both together.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.channels import Market
from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.records import (
    CHANNELS,
    Candle,
    Record,
    Status,
    Trade,
    local_timestamp_of,
)
from kucoin_research.streaming.ledger import SequenceLedger
from kucoin_research.streaming.status_rows import gap_row, released_row, status_row

__all__ = [
    "FILLABLE",
    "STAMP_ROOM",
    "FillableGap",
    "GapFiller",
    "Gate",
    "Merged",
    "OutagePart",
    "in_order",
    "is_behind",
    "merge_all_candles",
    "merge_all_trades",
    "merge_candles",
    "merge_trades",
]

#: Channels whose past REST knows, so that an outage can be filled.
FILLABLE = frozenset({"trade", "candle"})

#: This many stamps, 1 ns each, are left free before the first row that is held back, for the rows
#: from REST. A day of candles of 1 min is less; of more rows, some share their stamps with others.
STAMP_ROOM = 2_000

# Rows that may wait behind one gate.
_MOST_HELD = 100_000

# At most this many pages are asked for until the newest trade of one has come over the connection
# as well. If it never does, it fell into the outage.
_MOST_PAGES = 4


class Merged(NamedTuple):
    """The rows from REST that belong into an outage.

    ``is_whole`` says that nothing is missing between the last row before the outage and the first
    behind it. Otherwise ``first_missing`` and ``last_missing`` bound the missing rows by the
    exchange's counter, both included, where they are known.
    """

    rows: list[Trade] | list[Candle]
    is_whole: bool
    first_missing: int | None = None
    last_missing: int | None = None


def merge_trades(
    last_sequence: int | None,
    fetched: Sequence[Trade],
    held: Sequence[Trade],
    *,
    newest: int | None = None,
) -> Merged:
    """Choose the trades that belong between the last one before an outage and those behind it.

    The exchange skips numbers between trades, so numbers do not prove that none is missing. A page
    proves it if it reaches back to a trade that arrived before the outage. A new connection may
    begin with repeated executions of the outage, and these need not reach up to its first live
    trade. So the page is taken up to its newest trade that has not come over the connection. If a
    trade is both in the page and held, the later one is dropped as a repeat.

    Parameters
    ----------
    last_sequence
        Of the last trade before the outage.
    fetched
        The page, ascending, asked for when the new subscription was in force.
    held
        The trades that have come over the new connection, in order.
    newest
        Sequence of the last trade before another outage; trades of the page behind it belong there.
    """
    known = [trade for trade in fetched if trade.sequence is not None]
    if last_sequence is None or not known:
        return Merged([], is_whole=False)
    came = {trade.sequence for trade in held}
    here = [trade for trade in known if newest is None or _number(trade) <= newest]
    upto = next(
        (_number(trade) for trade in reversed(here) if trade.sequence not in came), last_sequence
    )
    rows = [trade for trade in here if last_sequence < _number(trade) <= upto]
    oldest = _number(known[0])
    if oldest <= last_sequence:
        return Merged(rows, is_whole=True)
    if not here:
        return Merged([], is_whole=False)
    return Merged(rows, False, last_sequence + 1, oldest - 1)


def is_behind(fetched: Sequence[Trade], held: Sequence[Trade]) -> bool:
    """Return whether trades of a page have yet to come over the connection, or never will.

    Which of the two is unknown as long as the connection has brought some trades, but not the
    page's newest.
    """
    came = {trade.sequence for trade in held}
    return bool(came and fetched) and fetched[-1].sequence not in came


def _number(trade: Trade) -> int:
    assert trade.sequence is not None  # those without are left out before
    return trade.sequence


def merge_candles(
    last_open: int, fetched: Sequence[Candle], held: Sequence[Candle]
) -> list[Candle]:
    """Choose the candles of one interval that belong into an outage.

    The candle that was open when the outage began comes first, with its final values.

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


def merge_all_trades(
    last_sequence: int | None, fetched: Sequence[Trade], held: Sequence[Sequence[Trade]]
) -> list[Merged]:
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
    list[Merged]
        One for each outage.
    """
    found = []
    for position, behind in enumerate(held):
        later = next(filter(None, (_behind(last_sequence, part) for part in held[position:])), [])
        is_last = position == len(held) - 1
        newest = max((each.sequence or 0 for each in later), default=None)
        merged = merge_trades(last_sequence, fetched, later, newest=None if is_last else newest)
        found.append(merged)
        # Those behind may all be older than the outage: executions that are repeated.
        known = [
            last_sequence,
            *(row.sequence for row in (*merged.rows, *behind) if isinstance(row, Trade)),
        ]
        last_sequence = max((each for each in known if each is not None), default=None)
    return found


def _behind(last_sequence: int | None, part: Sequence[Trade]) -> Sequence[Trade]:
    """Leave out trades of before an outage, which a new connection may repeat."""
    return [t for t in part if t.sequence is None or t.sequence > (last_sequence or 0)]


def merge_all_candles(
    last_opens: Mapping[str | None, int],
    fetched: Sequence[Candle],
    held: Sequence[Sequence[Candle]],
) -> list[Merged]:
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
    list[Merged]
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
            for candle in merge_candles(
                opened,
                by_interval[interval],
                [row for part in held[position:] for row in part if row.interval == interval],
            )
        ]
        found.append(Merged(rows, is_whole))
        for row in (*rows, *behind):
            if row.timestamp is not None:
                opens[row.interval] = row.timestamp
    return found


class FillableGap(NamedTuple):
    """An outage of one channel and symbol that REST may fill.

    Attributes
    ----------
    last_sequence
        Of the last trade before it.
    last_opens
        Open times (ns UTC) of the last candles before it, by interval.
    is_silent
        It may be no outage but a quiet market, and it goes on.
    number
        Differs after each further outage.
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
    given_up: str | None = None  # the interval of candles that nobody will fill here


@dataclass(slots=True)
class Gate:
    """Holds the rows of a channel and symbol back until REST has brought those before them.

    The next outage may come before REST has filled the first: each is a part.
    """

    tally: Tally
    market: Market
    parts: list[OutagePart]
    is_armed: bool = False  # after a silence that may be no outage
    tries: int = 0  # pages whose newest trade had not come over the connection
    number: int = 0  # changes whenever a page that was asked for before may be too old
    intervals: frozenset[str | None] | None = None  # of the candles that are missing; None: of all

    @property
    def can_be_filled(self) -> bool:
        """Whether REST may be asked: the last outage is over, or there may be none."""
        return self.is_armed or self.parts[-1].gap is not None

    @property
    def held(self) -> list[Record]:
        """The rows that come behind all outages so far."""
        return self.parts[-1].held

    @property
    def waiting(self) -> int:
        """How many rows are held back."""
        return sum(len(part.held) for part in self.parts)

    def hold(self, row: Record, local: int) -> int:
        """Hold a row back that was read now, with a stamp of its own; return the next stamp."""
        if not self.held:
            local += STAMP_ROOM
        self.held.append(row._replace(local_timestamp=local))
        return local + 1

    def part(self, began: int) -> OutagePart:
        """Return the part of an outage that began then, or still lasts."""
        last = self.parts[-1]
        if last.gap is not None or last.held:
            last = OutagePart(began)
            self.parts.append(last)
        return last


class GapFiller:
    """Holds rows back while REST may still bring rows that belong before them.

    A gate opens with an outage, or with a silence that may be one. It is removed when REST has
    filled the outage, or when that is given up. Rows behind the gate keep the stamps of their
    reading, and rows from REST are stamped just before them, so rows stay in the order of their
    stamps.

    Parameters
    ----------
    ledger
        Accepts the rows.
    clock
        Stamps them.
    markets
        The market of each symbol.
    not_read
        Spans of stamps (from, and up to but not with) of rows that were not read then. The filler
        adds the rows from REST.

    Attributes
    ----------
    gates
        The open ones, by record type and symbol. Always the same dictionary, so that the feed
        handler may keep it.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards it.
    """

    def __init__(
        self,
        ledger: SequenceLedger,
        clock: ArrivalClock,
        markets: Mapping[str, Market],
        not_read: list[tuple[int, int]],
    ) -> None:
        self.gates: dict[tuple[type[Record], str], Gate] = {}
        self._ledger = ledger
        self._clock = clock
        self._markets = markets
        self._not_read = not_read
        self._numbers = itertools.count(1)  # of outages

    # -- outages -----------------------------------------------------------------------------------

    def begin_outage(
        self, tally: Tally, began_ns: int, intervals: frozenset[str | None] | None = None
    ) -> OutagePart:
        """Hold rows back from now on; another outage while one is being filled is one more part.

        Of candles only some ``intervals`` may be missing; left out: all of them.
        """
        gate = self.gate_of(tally)
        if gate is None:
            gate = self._open_gate(tally, began_ns)
            gate.intervals = intervals
        elif gate.intervals is None or intervals is None:
            gate.intervals = None
        else:
            gate.intervals |= intervals
        gate.is_armed = False  # it is an outage now, even if it began as a silence
        gate.number = next(self._numbers)
        return gate.part(began_ns)

    def suspect_outage(self, tally: Tally) -> None:
        """Have REST asked about a silence, until there is a row behind it."""
        if tally.last_local is not None and self.gate_of(tally) is None:
            self._open_gate(tally, tally.last_local).is_armed = True

    def gate_of(self, tally: Tally) -> Gate | None:
        """Return the gate of a channel and symbol, if there is one."""
        return self.gates.get((CHANNELS[tally.channel], tally.symbol))

    def _open_gate(self, tally: Tally, began_ns: int) -> Gate:
        gate = Gate(tally, self._markets[tally.symbol], [OutagePart(began_ns)])
        gate.number = next(self._numbers)
        self.gates[CHANNELS[tally.channel], tally.symbol] = gate
        return gate

    def end_outage(self, tally: Tally, gap: Gap, local: int) -> list[Status]:
        """Note that an outage is over, and let REST be asked about it.

        Returns the rows that report the outages before it which were over for too short a time for
        any connection to be settled.
        """
        gate = self.gate_of(tally)
        if gate is None:
            return []
        gate.parts[-1].gap = gap
        gate.number = next(self._numbers)
        rows: list[Status] = []
        for part in gate.parts:
            if part.gap is None:
                ended = local_timestamp_of(part.held[0])
                part.gap = Gap(gap.cause, None, None, part.began, ended)
                tally.gaps.append(part.gap)
                rows.append(gap_row(part.gap, tally, local + len(rows)))
        return rows

    # -- asking REST -------------------------------------------------------------------------------

    @property
    def gaps(self) -> list[FillableGap]:
        """The outages that wait to be filled."""
        found = (self.find(*key) for key in self.gates)
        return [gap for gap in found if gap is not None]

    def find(self, record: type[Record], symbol: str) -> FillableGap | None:
        """Return the outage of a channel and symbol that waits to be filled, if there is one."""
        gate = self.gates.get((record, symbol))
        if gate is None or not gate.can_be_filled:
            return None
        tally, wanted = gate.tally, gate.intervals
        return FillableGap(
            record,
            symbol,
            gate.market,
            tally.last_sequence,
            {
                interval: opened
                for interval, opened in tally.last_opens.items()
                if wanted is None or interval in wanted
            },
            gate.is_armed and not gate.held,
            gate.number,
        )

    @property
    def reported(self) -> list[tuple[Tally, Gap]]:
        """The gaps that were reported, but whose place is among rows that still wait."""
        return [
            (gate.tally, part.gap)
            for gate in self.gates.values()
            for part in gate.parts
            if part.gap is not None
        ]

    def fill(self, gap: FillableGap, fetched: Sequence[Record], now_ns: int) -> list[Record]:
        """Put the rows from REST before the rows that were held back for them.

        A page that was asked for before another outage was over says nothing of that one, so it is
        not taken: REST must be asked again.

        Parameters
        ----------
        gap
            From ``gaps`` or ``find``, before REST was asked.
        fetched
            Trades, or candles of all intervals, ascending; empty when REST has none.
        now_ns
            Wall time, ns UTC, for the stamps.
        """
        gate = self.gates.get((gap.record, gap.symbol))
        if gate is None or not gate.can_be_filled or gate.number != gap.number:
            return []
        # A page may be newer than the newest message read: then it is unknown yet which of its
        # trades will still come over the connection.
        if self._may_ask_again(gate, fetched):
            return []
        merged = _merge(gap, fetched, gate)
        goes_on = gate.is_armed and not gate.held  # it is silent still
        if gate.is_armed and merged[0].is_whole and not merged[0].rows:
            return [] if goes_on else self._open(gap.record, gap.symbol, now_ns)
        merged = list(map(_less_given_up, merged, gate.parts))
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        room: int | None = None
        for at, (part, brought) in enumerate(zip(gate.parts, merged, strict=True)):
            local = self._report_stall(gate, part, local, rows)
            if room is None:
                room = self._room_before(gate.parts[at:], merged[at:], gate.tally, local)
            is_last = part.held or not any(each.held for each in gate.parts[at:])
            local, ended = self._fill_part(gate, part, brought, first=room, local=local, rows=rows)
            room = None if is_last else ended
        self._clock.end(local)
        if not goes_on:  # else the gate stays, and REST is asked again
            gate.tally.arrivals.pause()
            del self.gates[gap.record, gap.symbol]
        return in_order(rows)

    @staticmethod
    def _may_ask_again(gate: Gate, fetched: Sequence[Record]) -> bool:
        """Return whether another page will show better which trades came over the connection."""
        page = [row for row in fetched if isinstance(row, Trade)]
        if gate.is_armed or not is_behind(page, [r for r in gate.held if isinstance(r, Trade)]):
            return False
        gate.tries += 1
        return gate.tries < _MOST_PAGES

    @staticmethod
    def _report_stall(gate: Gate, part: OutagePart, local: int, rows: list[Record]) -> int:
        """Report an outage that was taken for a silence until now."""
        if part.gap is not None:
            return local
        part.gap = Gap("stalled", None, None, part.began, local)
        gate.tally.gaps.append(part.gap)
        rows.append(gap_row(part.gap, gate.tally, local))
        return local + 1

    def _fill_part(
        self,
        gate: Gate,
        part: OutagePart,
        merged: Merged,
        *,
        first: int,
        local: int,
        rows: list[Record],
    ) -> tuple[int, int]:
        """Release the rows from REST, stamped from ``first`` on, and the rows behind them.

        Returns the next stamps behind all of them, and behind the rows from REST.
        """
        tally = gate.tally
        count = self._put(merged.rows, first, rows)
        ended = first + count
        local = max(local, ended)
        _account(gate, part, merged, count, ended)
        # Nothing is reported of a silence that has cost nothing and goes on.
        if count or not gate.is_armed or part.held:
            reports = _filled_rows(gate, part, merged, first=first, count=count, local=local)
            rows += reports
            local += len(reports)
        return self._release(tally, part.held, local, rows), ended

    def _room_before(
        self, parts: Sequence[OutagePart], merged: Sequence[Merged], tally: Tally, local: int
    ) -> int:
        """Find the first stamp for the rows from REST, so that they end before the next row.

        The stamps there are mostly free, as ``Gate.hold`` leaves room. The next row may be behind a
        later one of these outages, if nothing came between them. Then there must be room for the
        rows of all these outages.
        """
        count = 0
        for part, brought in zip(parts, merged, strict=True):
            count += len(brought.rows)
            if part.held:
                break
        else:
            return local
        end = local_timestamp_of(part.held[0])
        for first, behind in reversed(self._not_read):
            if behind <= end - count:
                break
            end = min(end, first)
        return max(end - count, (tally.last_local or 0) + 1)

    def _put(self, fetched: Sequence[Record], first: int, rows: list[Record]) -> int:
        """Accept the rows from REST, stamped from ``first`` on; return how many are new."""
        local = first
        for row in fetched:
            row = row._replace(local_timestamp=local)
            if self._ledger.accepts(row):
                rows.append(row)
                local += 1
        if local > first:
            insort(self._not_read, (first, local))
        return local - first

    # -- letting rows go ---------------------------------------------------------------------------

    def give_up(self, gap: FillableGap, reason: str, now_ns: int) -> list[Record]:
        """Let the rows go that were held back: the rows before them cannot be had."""
        gate = self.gates.get((gap.record, gap.symbol))
        if gate is None:
            return []
        local = self._clock.begin(now_ns)
        report = status_row(local, "not_filled", gap.symbol, gate.tally.channel, reason)
        self._clock.end(local + 1)
        return in_order([report, *self._open(gap.record, gap.symbol, now_ns)])

    def leave(self, tally: Tally, now_ns: int) -> list[Record]:
        """Let the rows go that were held back: their channel is unsubscribed."""
        gate = self.gate_of(tally)
        if gate is None:
            return []
        record, rows = CHANNELS[tally.channel], list[Record]()
        if any(part.gap is not None for part in gate.parts):
            local = self._clock.begin(now_ns)
            why = "it was unsubscribed before REST had filled the outage"
            rows.append(status_row(local, "not_filled", tally.symbol, tally.channel, why))
            self._clock.end(local + 1)
        return in_order([*rows, *self._open(record, tally.symbol, now_ns)])

    def leave_interval(self, tally: Tally, interval: str | None) -> int | None:
        """Fill one interval of candles no longer: it is unsubscribed, and others go on.

        Its rows wait with those of the others, so that all keep their order and their stamps.

        Returns
        -------
        int | None
            Open time (ns UTC) of the newest candle of it that waits.
        """
        gate = self.gate_of(tally)
        if gate is None:
            return None
        # A page that was asked for before may hold candles from behind the end.
        gate.number = next(self._numbers)
        if interval in tally.last_opens and (gate.intervals is None or interval in gate.intervals):
            for part in gate.parts:
                part.given_up = interval
        candles = [row for part in gate.parts for row in part.held if isinstance(row, Candle)]
        opens = [row.timestamp for row in candles if row.interval == interval]
        return max((each for each in opens if each is not None), default=None)

    def release_full(self, now_ns: int) -> list[Record]:
        """Let the rows of those gates go behind which too many wait."""
        full = [key for key, gate in self.gates.items() if gate.waiting > _MOST_HELD]
        return in_order(row for key in full for row in self._open(*key, now_ns))

    def release_all(self, now_ns: int) -> list[Record]:
        """Let all rows go, at the end."""
        return [row for key in list(self.gates) for row in self._open(*key, now_ns)]

    def _open(self, record: type[Record], symbol: str, now_ns: int) -> list[Record]:
        gate = self.gates.pop((record, symbol))
        gate.tally.arrivals.pause()
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for part in gate.parts:
            local = self._release(gate.tally, part.held, local, rows)
        self._clock.end(local)
        return in_order(rows)

    def _release(self, tally: Tally, held: Sequence[Record], local: int, rows: list[Record]) -> int:
        """Let held rows go: they are stamped as they were read."""
        count = 0
        for row in held:
            stamp = max(local_timestamp_of(row), (tally.last_local or 0) + 1)
            row = row._replace(local_timestamp=stamp)
            if self._ledger.accepts(row):  # REST may have brought it already
                rows.append(row)
                count += 1
                local = max(local, stamp + 1)
        if not count:
            return local
        report = released_row(tally, count, local_timestamp_of(held[0]), local)
        if report is None:
            return local
        rows.append(report)
        return local + 1


def in_order(rows: Iterable[Record]) -> list[Record]:
    """Sort rows by their stamps: some were read before others that were delivered earlier."""
    return sorted(rows, key=local_timestamp_of)


def _account(gate: Gate, part: OutagePart, merged: Merged, rows: int, ended: int) -> None:
    """Enter in the tally how many rows were filled, up to that stamp, and which were not."""
    gap, tally = part.gap, gate.tally
    assert gap is not None  # `_report_stall` makes it
    tally.filled += rows
    if gap.cause == "stalled":
        gap = tally.retell(gap, ended=ended)  # it may go on
    if not merged.is_whole and merged.first_missing is not None:
        first = merged.first_missing if gap.first_sequence is None else gap.first_sequence
        gap = tally.retell(
            gap, first_sequence=first, last_sequence=merged.last_missing, is_counted=False
        )
    is_whole = merged.is_whole and gap.first_sequence is None
    filled_by = "REST" if is_whole else None
    part.gap = tally.retell(gap, filled_by=filled_by, filled=gap.filled + rows)


def _merge(gap: FillableGap, fetched: Sequence[Record], gate: Gate) -> list[Merged]:
    """Choose the rows that belong before each part's rows."""
    held = [part.held for part in gate.parts]
    if gap.record is Trade:
        return merge_all_trades(
            gap.last_sequence,
            [row for row in fetched if isinstance(row, Trade)],
            [[row for row in part if isinstance(row, Trade)] for part in held],
        )
    return merge_all_candles(
        # After a silence, an open candle that differs proves no outage; another candle does.
        {key: each + 1 if gate.is_armed else each for key, each in gap.last_opens.items()},
        [row for row in fetched if isinstance(row, Candle)],
        [[row for row in part if isinstance(row, Candle)] for part in held],
    )


def _less_given_up(merged: Merged, part: OutagePart) -> Merged:
    if part.given_up is None:
        return merged
    return merged._replace(is_whole=False)


def _filled_rows(
    gate: Gate, part: OutagePart, merged: Merged, *, first: int, count: int, local: int
) -> list[Status]:
    """Make the row that reports the rows from REST; see ``records.filled_until``.

    A second row bounds the rows that are still missing, if there are any.
    """
    sequences = [row.sequence for row in merged.rows if isinstance(row, Trade)]
    ends = (sequences[0], sequences[-1]) if sequences else (None, None)
    symbol, channel = gate.tally.symbol, gate.tally.channel
    filled = status_row(local, "filled", symbol, channel, f"{count:,} rows came by REST", *ends)
    rows = [filled._replace(timestamp=first)]
    if not merged.is_whole:
        why = "REST does not reach back to the last row before the outage"
        if part.given_up is not None:
            why = f"candle:{part.given_up} was unsubscribed before REST had filled the outage"
        bounds = (merged.first_missing, merged.last_missing)
        rows.append(status_row(local + 1, "not_filled", symbol, channel, why, *bounds))
    return rows
