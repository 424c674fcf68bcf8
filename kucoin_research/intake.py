"""From payloads to rows: decode, drop repeats, keep books in step, stamp, and tell trouble.

The one place where a message's fate is decided. No threads, no I/O, no clock of its own: the stream
calls it under its delivery lock and hands the rows on to rings and sinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kucoin_research.decode import BookDelta, Broken, Control, Decoder
from kucoin_research.errors import BookNotReady
from kucoin_research.integrity import Gap, Ledger, Tally
from kucoin_research.orderbook import BookGap, BookSnapshot, BookSync, OrderBook
from kucoin_research.records import (
    CHANNELS,
    ArrivalClock,
    Channel,
    Level2,
    Market,
    Record,
    Status,
)
from kucoin_research.topics import topics_for

__all__ = ["Batch", "Intake", "Subscription"]

_RECORDS = frozenset(CHANNELS.values())


class Subscription(NamedTuple):
    """One channel of one symbol."""

    channel: Channel
    symbol: str
    market: Market


class Batch(NamedTuple):
    """What a read brought: rows in arrival order, and messages for the conversation."""

    rows: list[Record]
    controls: list[Control]


class Intake:
    """Decides what becomes of each message of a stream.

    Parameters
    ----------
    subscriptions
        What was asked for; anything else that arrives is left out.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards every method, except ``ledger.tallies``.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self.ledger = Ledger()
        self.broken = 0
        self.books: dict[str, BookSync] = {}
        self._clock = ArrivalClock()
        self._by_topic: dict[str, Tally] = {}
        for channel, symbol, market in subscriptions:
            tally = self.ledger.open(channel.record, channel.name, symbol)
            for topic in topics_for(channel, symbol, market):
                self._by_topic.setdefault(str(topic), tally)
            if channel.name == "level2":
                self.books[symbol] = BookSync(symbol)

    def take(self, payloads: Sequence[bytes], decoder: Decoder, now_ns: int) -> Batch:
        """Turn the messages of one read into rows.

        Parameters
        ----------
        payloads
            In order of arrival.
        decoder
            That of the connection they came on.
        now_ns
            Wall time of the read, ns UTC.
        """
        rows: list[Record] = []
        controls: list[Control] = []
        decode, accepts = decoder.decode, self.ledger.accepts
        local = self._clock.begin(now_ns)
        for payload in payloads:
            item = decode(payload, local)
            kind = item.__class__
            if kind in _RECORDS:
                if accepts(item):  # type: ignore[arg-type]
                    rows.append(item)  # type: ignore[arg-type]
                    local += 1
            elif isinstance(item, BookDelta):
                local = self._take_delta(item, local, rows)
            elif isinstance(item, Control):
                controls.append(item)
            elif isinstance(item, Broken):
                rows.append(self._tell_broken(item, local))
                local += 1
        self._clock.end(local)
        return Batch(rows, controls)

    def _take_delta(self, delta: BookDelta, local: int, rows: list[Record]) -> int:
        book = self.books.get(delta.symbol)
        if book is None:
            return local
        repeats = book.duplicates
        released, gap = book.on_delta(delta, local)
        if book.duplicates != repeats:
            self._book_tally(delta.symbol).duplicates += book.duplicates - repeats
        if gap is not None:
            rows.append(self._tell_gap(gap, local))
            return local + 1
        return self._keep(released, local, rows)

    def _keep(self, released: list[Level2], local: int, rows: list[Record]) -> int:
        for row in released:
            self.ledger.accepts(row)
        rows.extend(released)
        return local + len(released)

    def take_snapshot(self, snapshot: BookSnapshot, now_ns: int, now: float) -> list[Record]:
        """Give a REST snapshot to its book.

        Parameters
        ----------
        snapshot
            As REST gave it.
        now_ns
            Wall time, ns UTC, for the stamps.
        now
            Monotonic seconds.

        Returns
        -------
        list[Record]
            The rows released, with a status row when the book is in step again.
        """
        book = self.books[snapshot.symbol]
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        repeats = book.duplicates
        released, gaps = book.on_snapshot(snapshot, local, now)
        local = self._keep(released, local, rows)
        tally = self._book_tally(snapshot.symbol)
        tally.duplicates += book.duplicates - repeats
        for gap in gaps:
            rows.append(self._tell_gap(gap, local))
            local += 1
        if book.is_ready:
            tally.is_synced = True
            rows.append(
                _status(
                    local, "book_ready", snapshot.symbol, "level2",
                    f"in step from sequence {snapshot.sequence}", book.sequence, book.sequence,
                )
            )  # fmt: skip
            local += 1
        self._clock.end(local)
        return rows

    def note(
        self,
        event: str,
        detail: str,
        now_ns: int,
        *,
        symbol: str | None = None,
        channel: str | None = None,
    ) -> Status:
        """Make a status row, stamped like any other."""
        local = self._clock.begin(now_ns)
        self._clock.end(local + 1)
        return _status(local, event, symbol, channel, detail)

    def outage(self, symbols: set[str], began_ns: int, ended_ns: int, cause: str) -> None:
        """Account for a time in which nothing could arrive for these symbols."""
        self.ledger.outage(symbols, began_ns, ended_ns, cause)

    def restart_books(self, symbols: set[str]) -> None:
        """Start the books of a lost connection over."""
        for symbol in symbols & self.books.keys():
            self.books[symbol].restart()

    def book(self, symbol: str) -> OrderBook:
        """Copy a book.

        Raises
        ------
        BookNotReady
            If the symbol's level 2 is not streamed, or is not in step.
        """
        book = self.books.get(symbol)
        if book is None:
            streamed = ", ".join(self.books) or "none"
            raise BookNotReady(
                f"no level2 channel of {symbol!r} is streamed (books here: {streamed}); "
                "add 'level2' to channels="
            )
        return book.copy()

    def _book_tally(self, symbol: str) -> Tally:
        tally = self.ledger.tally(Level2, symbol)
        assert tally is not None  # opened with the book
        return tally

    def _tell_gap(self, gap: BookGap, local: int) -> Status:
        tally = self._book_tally(gap.symbol)
        began = local if tally.last_local is None else tally.last_local
        tally.gaps.append(Gap(gap.cause, gap.first_missing, gap.last_missing, began, local))
        count = gap.last_missing - gap.first_missing + 1
        detail = (
            "the exchange renumbered the book"
            if gap.cause == "rebase"
            else f"{count} sequence numbers did not arrive"
        )
        return _status(
            local, "gap", gap.symbol, "level2", detail, gap.first_missing, gap.last_missing
        )

    def _tell_broken(self, item: Broken, local: int) -> Status:
        self.broken += 1
        tally = self._by_topic.get(item.topic or "")
        if tally is not None:
            tally.broken += 1
        symbol = tally.symbol if tally else None
        channel = tally.channel if tally else None
        where = f" (topic {item.topic[:100]!r})" if item.topic else ""
        return _status(local, "broken", symbol, channel, f"{item.reason}{where}")


def _status(
    local: int,
    event: str,
    symbol: str | None,
    channel: str | None,
    detail: str,
    first_sequence: int | None = None,
    last_sequence: int | None = None,
) -> Status:
    return Status(local, local, symbol, event, channel, detail, first_sequence, last_sequence)
