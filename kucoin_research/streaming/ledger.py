"""Which rows are kept, and which are known to be missing, per channel and symbol."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kucoin_research.model.integrity import Gap, Tally
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
    interval_of,
    local_timestamp_of,
    sequence_of,
    trade_id_of,
)

__all__ = ["SequenceLedger"]

# Trades whose ids were seen this recently are dropped when they come again. After a reconnect
# KuCoin repeats the last executions, far fewer than these.
REMEMBERED_TRADES = 1_024

# Events of the account that are remembered, of each private channel and symbol.
REMEMBERED_EVENTS = 4_096


class SequenceLedger:
    """The account of a stream, one tally per channel and symbol.

    Written under the stream's delivery lock; ``tallies`` may be read from any thread.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[type[Record], str], Tally] = {}
        self._checks: dict[tuple[type[Record], str | None], _Check] = {}
        self._resting: dict[tuple[type[Record], str], _Check] = {}  # not streamed now

    def open(self, record: type[Record], channel: str, symbol: str) -> Tally:
        """Start the account of a channel and symbol; it exists even when nothing ever comes."""
        key = (record, symbol)
        if key not in self._tallies:
            tally = self._tallies[key] = Tally(channel, symbol)
            self._checks[key] = _CHECKS.get(record, _Check)(tally)
        return self._tallies[key]

    def rest(self, record: type[Record], symbol: str, since: int) -> None:
        """Accept no more rows, from that stamp on: the channel of that symbol is unsubscribed."""
        check = self._checks.pop((record, symbol), None)
        if check is not None:
            self._resting[record, symbol] = check
            check.tally.rest(since)

    def resume(self, record: type[Record], symbol: str, now: int) -> None:
        """Accept rows again, from that stamp on."""
        check = self._resting.pop((record, symbol), None)
        if check is not None:
            self._checks[record, symbol] = check
            check.tally.resume(now)

    def drop(self, record: type[Record], symbol: str) -> None:
        """Forget an account that has never begun."""
        for held in (self._tallies, self._checks, self._resting):
            held.pop((record, symbol), None)

    @property
    def tallies(self) -> list[Tally]:
        """All accounts, in the order in which they were opened."""
        return list(self._tallies.values())

    def tally(self, record: type[Record], symbol: str) -> Tally | None:
        """Find one account."""
        return self._tallies.get((record, symbol))

    def accepts(self, record: Record) -> bool:
        """Count a record; ``False`` when it is a repeat, or nobody asked for it."""
        # Once per row: columns by their place are faster here and below than accessors. The first
        # three are the exchange's time, the arrival and the symbol.
        check = self._checks.get((record.__class__, record[2]))
        if check is None:
            check = self._checks.get((record.__class__, ALL_SYMBOLS))
        return check is not None and check.accepts(record)

    def has_had(self, trade: Trade) -> bool:
        """Return whether a trade came before, so that it is a repeat; nothing is counted."""
        check = self._checks.get((Trade, trade.symbol or ""))
        return isinstance(check, _TradeCheck) and check.has_had(trade)

    def last_local(self, kind: type[Record], symbol: str | None) -> int:
        """Return the newest stamp of the rows before the next one of a kind; 0 without any."""
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

        Level 2 gets no gap, as its sequences will show exactly which are missing. If the outage is
        not over, no later sequence will come, so it gets one. A channel without any row has not
        begun. Private channels are an exception: there a single event may be all there is.
        """
        noted = []
        for tally in tallies:
            has_begun = tally.rows or tally.channel in PRIVATE_CHANNELS
            shows_itself = tally.channel == "level2" and is_over
            if has_begun and not shows_itself:
                gap = Gap(cause, None, None, began, ended)
                tally.gaps.append(gap)
                noted.append((tally, gap))
        return noted


class _Check:
    """Drops exact repeats of the newest record: in every column but the arrival.

    A row with neither a time nor a sequence is always kept, as it may be news that looks like a
    repeat.
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
    """Drops repeats on channels with a sequence; it may jump, and may be missing."""

    __slots__ = ()

    def _sequence(self, record: Record) -> int | None:
        return sequence_of(record)


class _TradeCheck(_Check):
    """Drops trades whose id was seen before, anywhere in the recent past.

    A trade of an outage may be repeated behind newer ones. It does not become the last sequence of
    the account: an outage is filled from the newest trade on.
    """

    __slots__ = ("_newest", "_order", "_seen")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._seen: set[object] = set()
        self._order: deque[object] = deque()
        self._newest: tuple[int, int] | None = None  # its sequence, and its time

    def accepts(self, record: Record) -> bool:
        sequence, identity = sequence_of(record), trade_id_of(record)
        if not self._is_new(sequence if identity is None else identity):
            self.tally.duplicates += 1
            return False
        self.tally.count(record[1], None if self._is_late(sequence, record[0]) else sequence)
        return True

    def has_had(self, record: Record) -> bool:
        identity = trade_id_of(record)
        return (sequence_of(record) if identity is None else identity) in self._seen

    def _is_late(self, sequence: int | None, time: int | None) -> bool:
        if sequence is None or time is None:
            return False
        newest = self._newest
        # A low number of a later time is no late trade: the exchange counts anew.
        if newest is not None and sequence < newest[0] and time <= newest[1]:
            return True
        self._newest = sequence, time
        return False

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
    """Drops events of the account that came before, in every column but the arrival."""

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
    """Counts every push of a candle, and remembers which candle is open.

    Its time is the open time of the candle, not that of the push.
    """

    __slots__ = ()

    def accepts(self, record: Record) -> bool:
        opened, interval = record[0], interval_of(record)
        since = self.tally.absent.get(f"candle:{interval}")
        # Rows from before the end may have waited for REST.
        if since is not None and local_timestamp_of(record) >= since:
            return False
        if since is None and opened is not None:
            self.tally.last_opens[interval] = opened
        self.tally.count(record[1], None)
        return True


class _BookCheck(_Check):
    """Counts level-2 rows; repeats and gaps are found by the book itself."""

    __slots__ = ()

    def accepts(self, record: Record) -> bool:
        self.tally.count(record[1], sequence_of(record))
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
