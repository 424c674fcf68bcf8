"""What is known of the data's truth: duplicates, gaps, and the verdict.

A ``Ledger`` counts, per channel and symbol, what went into the frames and what is known to be
missing. Sequences prove completeness only where KuCoin numbers without holes, which is level 2 on
both markets; everywhere else the verdict is never better than ``NOT PROVABLE``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum, unique
from operator import itemgetter
from typing import Any, NamedTuple

from kucoin_research.model.records import (
    ALL_SYMBOLS,
    PRIVATE_CHANNELS,
    Balance,
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    Fill,
    Level2,
    Order,
    Record,
    StopOrder,
    Ticker,
    Trade,
)
from kucoin_research.streaming.staleness import Beat

__all__ = ["Crossing", "Gap", "Ledger", "Tally", "Verdict"]

# Trades whose ids were seen this recently are dropped when they come again. After a reconnect
# KuCoin repeats the last executions, far fewer than these.
REMEMBERED_TRADES = 1_024
REMEMBERED_EVENTS = 4_096  # of each private channel and symbol

_GAPS_TOLD = 3  # in a reason; all of them are in the report


@unique
class Verdict(StrEnum):
    """What can be said of a channel's completeness."""

    COMPLETE = "COMPLETE"
    INCOMPLETE = "INCOMPLETE"
    NOT_PROVABLE = "NOT PROVABLE"


class Gap(NamedTuple):
    """Something that did not come when it should have.

    ``first_sequence`` and ``last_sequence`` bound it, both included, where the channel counts;
    ``began`` and ``ended`` are local times, ns UTC. ``filled_by`` says what brought the missing
    rows later: ``"REST"``, or ``"late"`` when the exchange sent them out of order; ``None`` while
    they are missing, and ``filled`` counts the rows brought. Where the exchange does not number
    without holes (``is_counted`` false), the bounds are those of its counter, and not a count.
    """

    cause: str
    first_sequence: int | None
    last_sequence: int | None
    began: int
    ended: int
    filled_by: str | None = None
    filled: int = 0
    is_counted: bool = True

    @property
    def missing(self) -> int | None:
        """How many sequence numbers are missing, or ``None`` where nobody can say."""
        if self.first_sequence is None or self.last_sequence is None or self.cause == "rebase":
            return None
        return self.last_sequence - self.first_sequence + 1 if self.is_counted else None

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.ended - self.began) / 1e9

    @property
    def reason(self) -> str:
        """Say what is missing and why, in a few words."""
        seconds = f"{self.seconds:.1f} s"
        if self.cause == "rebase":
            return "the exchange renumbered the book, so what is missing there is not known"
        filled = "" if self.filled_by is None else f", filled by {self.filled_by}"
        if self.filled_by is None and self.filled:
            filled = f", {_count(self.filled, 'row')} of it filled by REST"
        if self.missing is None:
            between = ""
            if self.first_sequence is not None and self.last_sequence is not None:
                between = f", between {self.first_sequence - 1} and {self.last_sequence + 1}"
            return f"{self.cause} for {seconds}{between}{filled}"
        count = _count(self.missing, "missing sequence number")
        bounds = f"{count}, {self.first_sequence} to {self.last_sequence}"
        why = "" if self.cause == "missing" else f" ({self.cause} for {seconds})"
        return f"{bounds}{why}{filled}"


class Crossing(NamedTuple):
    """A time for which a book was crossed, local, ns UTC; ``ended`` is ``None`` while it is."""

    began: int
    ended: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it lasted; ``None`` while it does."""
        return None if self.ended is None else (self.ended - self.began) / 1e9


@dataclass(slots=True)
class Tally:
    """The account of one channel and symbol."""

    channel: str
    symbol: str
    rows: int = 0
    duplicates: int = 0
    broken: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    last_local: int | None = None
    is_synced: bool = False  # level 2 only: a snapshot has been aligned
    doubt: str | None = None  # level 2 only: why nobody can tell whether something is missing
    damage: list[str] = field(default_factory=list)  # recordings only: what files have lost
    filled: int = 0  # rows that came by REST
    last_opens: dict[str | None, int] = field(default_factory=dict)  # candles only, by interval
    gaps: list[Gap] = field(default_factory=list)
    crossed: list[Crossing] = field(default_factory=list)  # level 2 only
    beat: Beat = field(default_factory=Beat)

    def count(self, local: int | None, sequence: int | None) -> None:
        """Count a row that is kept."""
        self.rows += 1
        if self.last_local is not None and local is not None:
            self.beat.heard(local - self.last_local)
        self.last_local = local
        if sequence is not None:
            if self.first_sequence is None:
                self.first_sequence = sequence
            self.last_sequence = sequence

    @property
    def open_gaps(self) -> list[Gap]:
        """The gaps that nothing has filled."""
        return [gap for gap in self.gaps if gap.filled_by is None]

    def mend(self, first: int, last: int) -> None:
        """Note that sequences came after all, late: they are cut out of the gap they are in."""
        # The newest first: it is one of them, and of an earlier numbering it would be another gap.
        for position in reversed(range(len(self.gaps))):
            gap = self.gaps[position]
            begin, end = gap.first_sequence, gap.last_sequence
            if gap.filled_by is None and begin is not None and end is not None:
                if not begin <= first <= last <= end:
                    continue
                parts = ((begin, first - 1, None), (first, last, "late"), (last + 1, end, None))
                self.gaps[position : position + 1] = [
                    gap._replace(first_sequence=low, last_sequence=high, filled_by=by)
                    for low, high, by in parts
                    if low <= high
                ]
                return

    @property
    def is_crossed(self) -> bool:
        """Whether the book is crossed, as far as was told."""
        return bool(self.crossed) and self.crossed[-1].ended is None

    def cross(self, local: int, *, is_over: bool) -> None:
        """Note that the book is crossed from that stamp on, or is no more."""
        if is_over and self.is_crossed:
            self.crossed[-1] = self.crossed[-1]._replace(ended=local)
        elif not is_over and not self.is_crossed:
            self.crossed.append(Crossing(local))

    def retell(self, gap: Gap, **changes: Any) -> Gap:
        """Put a changed gap in the place of what was known of it; returns it."""
        changed = gap._replace(**changes)
        self.gaps[self.gaps.index(gap)] = changed
        return changed

    @property
    def verdict(self) -> Verdict:
        """Say what the numbers prove."""
        if self.open_gaps or self.broken or self.damage:
            return Verdict.INCOMPLETE
        if self.channel == "level2" and self.is_synced and self.doubt is None:
            return Verdict.COMPLETE
        return Verdict.NOT_PROVABLE

    @property
    def reason(self) -> str:
        """Say why the verdict is what it is, in one sentence."""
        told = self.damage[:_GAPS_TOLD]
        if len(self.damage) > _GAPS_TOLD:
            told.append(_count(len(self.damage) - _GAPS_TOLD, "further damaged file"))
        if self.broken:
            told.append(_count(self.broken, "message") + " did not decode")
        missing = self.open_gaps
        told.extend(gap.reason for gap in missing[:_GAPS_TOLD])
        if len(missing) > _GAPS_TOLD:
            told.append(_count(len(missing) - _GAPS_TOLD, "further gap"))
        if told:
            return "; ".join(told)
        mended = len(self.gaps) - len(missing)
        also = f"; {_count(mended, 'gap')} filled" if mended else ""
        if self.channel != "level2":
            return f"the exchange does not number this channel without holes{also}"
        if not self.is_synced:
            return f"no snapshot has been aligned yet{also}"
        if self.doubt is not None:
            return f"{self.doubt}{also}"
        return (
            f"every sequence from the first snapshot on is here, up to {self.last_sequence}{also}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


class Ledger:
    """The account of a stream, one tally per channel and symbol.

    Written under the stream's delivery lock; ``tallies`` may be read from any thread.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[type[Record], str], Tally] = {}
        self._checks: dict[tuple[type[Record], str | None], _Check] = {}

    def open(self, record: type[Record], channel: str, symbol: str) -> Tally:
        """Start the account of a channel and symbol; it exists even when nothing ever comes."""
        key = (record, symbol)
        if key not in self._tallies:
            tally = self._tallies[key] = Tally(channel, symbol)
            self._checks[key] = _CHECKS.get(record, _Check)(tally)
        return self._tallies[key]

    @property
    def tallies(self) -> list[Tally]:
        """All accounts, in the order in which they were opened."""
        return list(self._tallies.values())

    def tally(self, record: type[Record], symbol: str) -> Tally | None:
        """Find one account."""
        return self._tallies.get((record, symbol))

    def accepts(self, record: Record) -> bool:
        """Count a record; ``False`` when it is a repeat, or nobody asked for it."""
        check = self._checks.get((record.__class__, record[2]))
        if check is None:
            check = self._checks.get((record.__class__, ALL_SYMBOLS))
        return check is not None and check.accepts(record)

    def last_local(self, kind: type[Record], symbol: str | None) -> int:
        """Give the newest stamp of the rows that such a record goes behind; 0 without any."""
        tally = self._tallies.get((kind, symbol or ""))
        if tally is None:
            tally = self._tallies.get((kind, ALL_SYMBOLS))
        return 0 if tally is None else tally.last_local or 0

    @staticmethod
    def outage(
        tallies: Iterable[Tally], began: int, ended: int, cause: str, *, is_over: bool = True
    ) -> list[tuple[Tally, Gap]]:
        """Note that nothing could arrive between two local times (ns UTC) for these accounts.

        Returns the gaps noted.

        Level 2 is left to its sequences, which say exactly what is missing, unless the outage is
        not over: then no later one will tell. A channel that has had no row yet has not begun, but
        for private ones: there a single event may be all there is.
        """
        noted = []
        for tally in tallies:
            has_begun = tally.rows or tally.channel in PRIVATE_CHANNELS
            tells_itself = tally.channel == "level2" and is_over
            if has_begun and not tells_itself:
                gap = Gap(cause, None, None, began, ended)
                tally.gaps.append(gap)
                noted.append((tally, gap))
        return noted


# Of the records that have one; by position, as that is what their types share.
_sequence_of: Callable[[Record], int | None] = itemgetter(3)
_trade_id_of: Callable[[Record], str | None] = itemgetter(4)
_interval_of: Callable[[Record], str | None] = itemgetter(3)


class _Check:
    """Drops exact repeats of the newest record: in every column but the arrival.

    Where a row has neither a time nor a sequence, nothing can be told apart from a repeat.
    """

    __slots__ = ("_last", "tally")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._last: Record | None = None

    def accepts(self, record: Record) -> bool:
        if self._is_repeat(record):
            self.tally.duplicates += 1
            return False
        self.tally.count(record[1], self._sequence(record))
        return True

    def _is_repeat(self, record: Record) -> bool:
        last, self._last = self._last, record
        return (
            last is not None
            and record[0] == last[0]
            and record[3:] == last[3:]
            and not (record[0] is None and self._sequence(record) is None)
        )

    def _sequence(self, _record: Record) -> int | None:
        return None


class _SequenceCheck(_Check):
    """Does so on channels with a sequence; it may jump, and may be missing."""

    __slots__ = ()

    def _sequence(self, record: Record) -> int | None:
        return _sequence_of(record)


class _TradeCheck(_Check):
    """Drops trades whose id was seen before, wherever in the recent past that was."""

    __slots__ = ("_order", "_seen")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._seen: set[object] = set()
        self._order: deque[object] = deque()

    def accepts(self, record: Record) -> bool:
        sequence, identity = _sequence_of(record), _trade_id_of(record)
        if not self._is_new(sequence if identity is None else identity):
            self.tally.duplicates += 1
            return False
        self.tally.count(record[1], sequence)
        return True

    def _is_new(self, identity: object) -> bool:
        if identity is None:
            return True
        if identity in self._seen:
            return False
        self._seen.add(identity)
        self._order.append(identity)
        if len(self._order) > REMEMBERED_TRADES:
            self._seen.discard(self._order.popleft())
        return True


class _EventCheck(_Check):
    """Drops events of the account that were told before, in every column but the arrival."""

    __slots__ = ("_seen",)

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._seen: dict[tuple[object, ...], None] = {}

    def accepts(self, record: Record) -> bool:
        identity = (record[0], *record[2:])
        if identity in self._seen:
            self.tally.duplicates += 1
            return False
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED_EVENTS:
            del self._seen[next(iter(self._seen))]
        self.tally.count(record[1], None)
        return True


class _CandleCheck(_Check):
    """Counts candles, and remembers which one is open; their time is not that of the push."""

    __slots__ = ()

    def accepts(self, record: Record) -> bool:
        opened, interval = record[0], _interval_of(record)
        if opened is not None:
            self.tally.last_opens[interval] = opened
        self.tally.count(record[1], None)
        return True


class _BookCheck(_Check):
    """Counts level-2 rows; repeats and gaps are found by the book itself."""

    __slots__ = ()

    def accepts(self, record: Record) -> bool:
        self.tally.count(record[1], _sequence_of(record))
        return True


_CHECKS: dict[type[Record], type[_Check]] = {
    Ticker: _SequenceCheck,
    BestBidOffer: _SequenceCheck,
    Depth5: _SequenceCheck,
    Depth50: _SequenceCheck,
    Trade: _TradeCheck,
    Candle: _CandleCheck,
    Level2: _BookCheck,
    Order: _EventCheck,
    Fill: _EventCheck,
    Balance: _EventCheck,
    StopOrder: _EventCheck,
}
