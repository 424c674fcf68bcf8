"""From payloads to rows: decode, drop repeats, keep books in step, stamp, and tell trouble.

The one place where a message's fate is decided. No threads, no I/O, no clock of its own: the stream
calls it under its delivery lock and hands the rows on to rings and sinks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kucoin_research.decode import BookDelta, Broken, Control, Decodes, Ignored
from kucoin_research.errors import BookNotReady
from kucoin_research.integrity import Gap, Ledger, Tally
from kucoin_research.orderbook import BookGap, BookSnapshot, BookSync, OrderBook
from kucoin_research.records import ArrivalClock, Channel, Level2, Market, Record, Status
from kucoin_research.topics import Feed, Topic, topics_for

__all__ = ["Batch", "Intake", "Subscription"]

_NO_RECORDS = (BookDelta, BookSnapshot, Control, Broken, Ignored)


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
    feed
        Which of KuCoin's protocols brings it.

    Attributes
    ----------
    ledger
        The account of what went into the rows and what is missing.
    books
        By symbol, those whose level 2 was asked for.
    seeking
        The symbols whose book looks for a snapshot; empty when all that speak are in step.
    broken
        Messages that did not decode, whatever their topic.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards every method, except ``ledger.tallies``.
    """

    def __init__(self, subscriptions: Iterable[Subscription], feed: Feed = Feed.CLASSIC) -> None:
        self.ledger = Ledger()
        self.broken = 0
        self.books: dict[str, BookSync] = {}
        self.seeking: set[str] = set()
        self._clock = ArrivalClock()
        # A topic may feed two channels: when its message breaks, both are short of it.
        self._by_topic: dict[str, list[Tally]] = {}
        for channel, symbol, market in subscriptions:
            tally = self.ledger.open(channel.record, channel.name, symbol)
            for topic in topics_for(channel, symbol, market, feed):
                self._by_topic.setdefault(str(topic), []).append(tally)
            if channel.name == "level2":
                self.books[symbol] = BookSync(symbol, seeds_itself=feed is Feed.PRO)

    def take(self, payloads: Sequence[bytes], decoder: Decodes, now_ns: int) -> Batch:
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
            if not isinstance(item, _NO_RECORDS):
                if accepts(item):
                    rows.append(item)
                    local += 1
            elif isinstance(item, BookDelta):
                local = self._take_delta(item, local, rows)
            elif isinstance(item, BookSnapshot):
                local = self._take_seed(item, local, rows)
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
        released, gap = book.on_delta(delta, local)
        return self._keep(book, released, () if gap is None else (gap,), local, rows)

    def _take_seed(self, seed: BookSnapshot, local: int, rows: list[Record]) -> int:
        book = self.books.get(seed.symbol)
        if book is None:
            return local
        released, gaps = book.on_seed(seed, local)
        return self._keep(book, released, gaps, local, rows)

    def _keep(
        self,
        book: BookSync,
        released: list[Level2],
        gaps: Sequence[BookGap],
        local: int,
        rows: list[Record],
    ) -> int:
        tally = self._book_tally(book.symbol)
        heard_before = tally.last_local
        for row in released:
            self.ledger.accepts(row)
        rows.extend(released)
        local += len(released)
        for gap in gaps:
            rows.append(self._tell_gap(gap, tally, heard_before, local))
            local += 1
        tally.duplicates = book.duplicates
        if not book.is_ready:
            self.seeking.add(book.symbol)
        elif book.symbol in self.seeking or not tally.is_synced:
            self.seeking.discard(book.symbol)
            tally.is_synced = True
            detail = f"in step at sequence {book.sequence}"
            rows.append(
                _status(local, "book_ready", book.symbol, "level2", detail, book.sequence,
                        book.sequence)
            )  # fmt: skip
            local += 1
        return local

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
        released, gaps = book.on_snapshot(snapshot, local, now)
        self._clock.end(self._keep(book, released, gaps, local, rows))
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

    def outage(self, topics: Iterable[Topic], began_ns: int, ended_ns: int, cause: str) -> None:
        """Account for a time in which nothing could arrive on these topics."""
        self.ledger.outage(self._fed_by(topics), began_ns, ended_ns, cause)

    def restart_books(self, topics: Iterable[Topic]) -> None:
        """Start the books of a lost connection over."""
        for tally in self._fed_by(topics):
            if tally.channel == "level2":
                book = self.books[tally.symbol]
                book.restart()
                if book.seeds_itself:
                    self.seeking.add(tally.symbol)  # until the seed of the next connection

    def books_on(self, topics: Iterable[Topic]) -> list[str]:
        """List the symbols whose book is fed by these topics."""
        return [tally.symbol for tally in self._fed_by(topics) if tally.channel == "level2"]

    def expect_seeds(self, topics: Iterable[Topic], until: float) -> None:
        """Note that these subscriptions were acknowledged: their books' seeds come by then."""
        for tally in self._fed_by(topics):
            if tally.channel == "level2" and self.books[tally.symbol].seeds_itself:
                self.books[tally.symbol].seed_expected(until)

    def _fed_by(self, topics: Iterable[Topic]) -> list[Tally]:
        found = {
            (tally.channel, tally.symbol): tally
            for topic in topics
            for tally in self._by_topic.get(str(topic), ())
        }
        return list(found.values())

    def resync_book(self, symbol: str) -> None:
        """Throw a flawed book away and seek a new snapshot."""
        self.books[symbol].resync()
        self.seeking.add(symbol)

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

    @staticmethod
    def _tell_gap(gap: BookGap, tally: Tally, heard_before: int | None, local: int) -> Status:
        began = local if heard_before is None else heard_before
        told = Gap(gap.cause, gap.first_missing, gap.last_missing, began, local)
        tally.gaps.append(told)
        return _status(
            local, "gap", gap.symbol, "level2", told.reason, gap.first_missing, gap.last_missing
        )

    def _tell_broken(self, item: Broken, local: int) -> Status:
        self.broken += 1
        tallies = self._by_topic.get(item.topic or "", [])
        for tally in tallies:
            tally.broken += 1
        symbol = tallies[0].symbol if tallies else None
        channel = tallies[0].channel if len(tallies) == 1 else None
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
