"""From payloads to rows: decode, drop repeats, keep books in step, stamp, and tell trouble.

The one place where a message's fate is decided. No threads, no I/O, no clock of its own: the stream
calls it under its delivery lock and hands the rows on to rings and sinks.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from kucoin_research.errors import BookNotReady, shown
from kucoin_research.exchange.topics import Feed, Topic, subscribed_topic, topics_for
from kucoin_research.exchange.websocket.decode_classic import (
    Broken,
    ControlMessage,
    Decoded,
    Decodes,
    Ignored,
)
from kucoin_research.exchange.websocket.decode_private import AccountNews, Positions
from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.channels import Market, Subscription
from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.orderbook import BookDelta, BookSnapshot, OrderBook
from kucoin_research.model.records import (
    ACCOUNT_CHANNELS,
    ALL_SYMBOLS,
    CHANNELS,
    PRIVATE_CHANNELS,
    STAMPED_AS_READ,
    Candle,
    Level2,
    Position,
    Record,
    Status,
    Trade,
)
from kucoin_research.streaming.book_sync import BookGap, BookSync
from kucoin_research.streaming.gap_fill import (
    FILLABLE,
    STAMP_ROOM,
    FillableGap,
    Gate,
    Mended,
    OutagePart,
    _account,
    _mend,
    is_behind,
)
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.ledger import SequenceLedger
from kucoin_research.streaming.staleness import FalseAlarms
from kucoin_research.streaming.status_rows import (
    FloodControl,
    filled_rows,
    gap_row,
    received_row,
    status_row,
)

__all__ = ["Batch", "FeedHandler", "Taken"]

_NO_RECORDS = (BookDelta, BookSnapshot, AccountNews, ControlMessage, Broken, Ignored)

_BLIND_POSITION = (
    "the mark price moved before the position was told in full, so the columns that such a "
    "message leaves out are null until the position next changes"
)


# What trades and orders cause, and nothing else.
_OF_THE_MARKET = frozenset({"ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50"})
# Where all of them are silent, so many times the usual suspicious silence is put up with.
_QUIET_TOGETHER = 3
# Rows that may wait for what belongs before them.
MOST_GATED = 100_000
# So many pages are asked for until the newest trade of one has come over the connection as well.
# Where it never does, it fell into the outage.
_MOST_PAGES = 4
# How often it is told which sequences of a book came without a row, where there are such. With many
# books less often, so that it stays some rows a minute altogether.
_RECEIVED_NS = 60_000_000_000
_RECEIVED_NS_PER_BOOK = 3_000_000_000
# Rows that had to wait for longer, for what belongs before them, are told.
_TOLD_WAIT_NS = 1_000_000_000

_Key: TypeAlias = tuple[type[Record], str]


class Batch(NamedTuple):
    """What a read brought: rows in arrival order, and messages for the conversation."""

    rows: list[Record]
    controls: list[ControlMessage]


class Taken(NamedTuple):
    """What taking over from another connection brought.

    ``stalled`` names the channels and symbols that had been silent on it, though they spoke.
    """

    rows: list[Record]
    stalled: list[tuple[str, str]]


class FeedHandler:
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
    not_read
        Spans of stamps (from, and up to but not with) that are not of the reading, ascending: what
        REST brought, and rows of a book that waited for a snapshot.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards every method, except ``ledger.tallies``.
    """

    def __init__(self, subscriptions: Iterable[Subscription], feed: Feed = Feed.CLASSIC) -> None:
        self.ledger = SequenceLedger()
        self.broken = 0
        self.books: dict[str, BookSync] = {}
        self.seeking: set[str] = set()
        self.not_read: list[tuple[int, int]] = []
        self._clock = ArrivalClock()
        self._false_alarms = FalseAlarms()
        self._flood = FloodControl()
        self._received_at = 0  # when it is told next what came without a row, ns
        self._unsure: set[str] = set()  # books that may have become crossed, or be so no more
        self._accounted: dict[str, int] = {}  # stamp of the last account of each book
        self._positions = Positions()
        self._gates: dict[_Key, Gate] = {}
        self._numbers = itertools.count(1)  # of outages
        self._markets: dict[str, Market] = {}
        # A topic may feed two channels: when its message breaks, both are short of it.
        self._by_topic: dict[str, list[Tally]] = {}
        for channel, symbol, market in subscriptions:
            told_of = ALL_SYMBOLS if channel.name in ACCOUNT_CHANNELS else symbol
            self._markets[symbol] = market
            tally = self.ledger.open(channel.record, channel.name, told_of)
            for topic in topics_for(channel, symbol, market, feed):
                tallies = self._by_topic.setdefault(str(topic), [])
                if tally not in tallies:
                    tallies.append(tally)
            if channel.name == "level2":
                self.books[symbol] = BookSync(symbol, seeds_itself=feed is Feed.PRO)
        self._received_every = max(_RECEIVED_NS, _RECEIVED_NS_PER_BOOK * len(self.books))

    def take(
        self,
        payloads: Sequence[bytes],
        decoder: Decodes,
        now_ns: int,
        overlap: Handover | None = None,
    ) -> Batch:
        """Turn the messages of one read into rows.

        Parameters
        ----------
        payloads
            In order of arrival.
        decoder
            That of the connection they came on.
        now_ns
            Wall time of the read, ns UTC.
        overlap
            Where another connection is about to take over, it is told of each message; where this
            one has just taken over, it tells which are repeats.
        """
        rows: list[Record] = []
        controls: list[ControlMessage] = []
        decode, accepts, gates = decoder.decode, self.ledger.accepts, self._gates
        local = self._clock.begin(now_ns)
        for payload in payloads:
            item = decode(payload, local)
            if overlap is not None and not isinstance(item, ControlMessage | Ignored):
                if not overlap.is_over:
                    overlap.saw(item)
                elif overlap.repeats(item):
                    continue
            if not isinstance(item, _NO_RECORDS):
                if gates and (gate := gates.get((item.__class__, item[2] or ""))) is not None:
                    local = gate.hold(item, local)
                elif accepts(item):
                    rows.append(item)
                    local += 1
            elif isinstance(item, ControlMessage):
                controls.append(item)
            else:
                local = self._take_other(item, local, rows)
        if self.books and now_ns >= self._received_at:
            local = self._tell_received(now_ns, local, rows)
        self._clock.end(self._tell_crossings(local, rows))
        return Batch(rows, controls)

    def _tell_received(self, now_ns: int, local: int, rows: list[Record]) -> int:
        """Tell now and then what came without a row, so that rows alone prove what is whole."""
        is_first = self._received_at == 0
        self._received_at = now_ns + self._received_every
        for book in () if is_first else self.books.values():
            if book.has_unrowed:
                local = self._tell_of(book, local, rows)
        return local

    def _tell_crossings(self, local: int, rows: list[Record]) -> int:
        """Tell of the books that have become crossed, or are so no more.

        Once a read: what comes and goes within one match, nobody has seen.
        """
        for symbol in sorted(self._unsure):
            book, tally = self.books[symbol], self._book_tally(symbol)
            is_crossed = book.is_crossed
            if is_crossed == tally.is_crossed:
                continue
            tally.cross(local, is_over=not is_crossed)
            event, detail = "crossed", "a bid is at the best ask or above it: not served meanwhile"
            if not is_crossed:
                event, detail = "uncrossed", f"after {tally.crossed[-1].seconds or 0.0:.3f} s"
            rows.append(status_row(local, event, symbol, "level2", detail))
            local += 1
        self._unsure.clear()
        return local

    def account(self, now_ns: int) -> list[Record]:
        """Tell of each book which of its sequences so far came without a row."""
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for book in self.books.values():
            local = self._tell_of(book, local, rows)
        self._clock.end(local)
        return rows

    def gaps_to_come(self) -> list[Status]:
        """Make the rows of gaps that were told, but whose place is among rows that still wait.

        Whoever takes rows from now on needs them: what lies around such a gap comes to him, and
        the telling of it has passed. In order of time.
        """
        waiting = [
            (gate.tally, part.gap)
            for gate in self._gates.values()
            for part in gate.parts
            if part.gap is not None
        ]
        for book in self.books.values():
            tally = self._book_tally(book.symbol)
            waiting += [(tally, gap) for gap in _gaps_behind(book.waits_from, tally)]
        rows = [gap_row(gap, tally, gap.ended) for tally, gap in waiting]
        return sorted(rows, key=lambda row: row.local_timestamp or 0)

    def _tell_of(self, book: BookSync, local: int, rows: list[Record]) -> int:
        received = book.take_received()
        if received is not None:
            rows.append(received_row(received, book.symbol, local))
            self._accounted[book.symbol] = local
            local += 1
        return local

    def _take_other(
        self, item: Decoded, local: int, rows: list[Record], read_at: int | None = None
    ) -> int:
        """Take what becomes several rows, or none; stamped ``read_at`` if that is given."""
        if isinstance(item, BookDelta):
            return self._take_delta(item, local, rows, read_at)
        if isinstance(item, AccountNews):
            return self._take_news(item, local, rows, read_at)
        if isinstance(item, BookSnapshot):
            return self._take_seed(item, local, rows)
        if isinstance(item, Broken):
            rows.extend(self._tell_broken(item, local))
            return local + 1
        return local

    def hold(
        self, payloads: Sequence[bytes], decoder: Decodes, now_ns: int, overlap: Handover
    ) -> list[ControlMessage]:
        """Keep the messages of a connection that is to take over; gives those of its talk."""
        controls: list[ControlMessage] = []
        local = self._clock.begin(now_ns)
        for payload in payloads:
            item = decoder.decode(payload, local)
            if isinstance(item, ControlMessage):
                controls.append(item)
            elif not isinstance(item, Ignored):
                if isinstance(item, Trade | Candle):
                    local += STAMP_ROOM  # REST may have to bring what belongs before it
                    item = item._replace(local_timestamp=local)
                overlap.hold(item, now_ns, local)
                local += _rows_of(item)
        self._clock.end(local)
        return controls

    def take_over(
        self, overlap: Handover, topics: Iterable[Topic], drained_ns: int, now_ns: int
    ) -> Taken:
        """Go on with the connection whose messages were held.

        Parameters
        ----------
        overlap
            What it has brought, and what the other one has.
        topics
            Of both connections.
        drained_ns
            Local time at which the other connection had nothing more to read: what both were sent
            before has come over both.
        now_ns
            Wall time, ns UTC.
        """
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        stalled = [t for t in self._fed_by(topics) if self._has_stalled(t, overlap, drained_ns)]
        for tally in stalled:
            local = self._begin_stall(tally, local, rows)
        for read_at, item in overlap.fresh():
            local = self._take_held(item, read_at, local, rows)
        self._clock.end(self._tell_crossings(local, rows))
        return Taken(_in_order(rows), [(tally.channel, tally.symbol) for tally in stalled])

    @staticmethod
    def _has_stalled(tally: Tally, overlap: Handover, drained_ns: int) -> bool:
        if tally.last_local is None:
            return False
        kind = BookDelta if tally.channel == "level2" else CHANNELS[tally.channel]
        since = overlap.stalled_since(kind, tally.symbol)
        return since is not None and since < drained_ns

    def _begin_stall(self, tally: Tally, local: int, rows: list[Record]) -> int:
        began = local if tally.last_local is None else tally.last_local
        tally.arrivals.pause()
        if tally.channel == "level2":
            self.books[tally.symbol].note_cause("stalled")  # its sequences tell what is missing
            return local
        gap = Gap("stalled", None, None, began, local)
        tally.gaps.append(gap)
        rows.append(gap_row(gap, tally, local))
        if tally.channel in FILLABLE:
            self._begin_part(tally, began).gap = gap
        return local + 1

    def _take_held(self, item: Decoded, read_at: int, local: int, rows: list[Record]) -> int:
        """Take what another connection has brought, stamped as it was read.

        Where the one before has brought a row of the same kind and symbol later than that, it is
        stamped now: rows of a symbol stand in the order of their stamps.
        """
        if isinstance(item, BookSnapshot) and self._is_known(item):
            return local
        if isinstance(item, _NO_RECORDS):
            stamp = read_at if self._goes_behind(item, read_at) else None
            return self._take_other(item, local, rows, stamp)
        gate = self._gates.get((item.__class__, item[2] or ""))
        if gate is not None:
            gate.held.append(item)
            return local
        stamp = read_at if read_at > self.ledger.last_local(item.__class__, item[2]) else local
        if self.ledger.accepts(item):
            rows.append(item._replace(local_timestamp=stamp))
            return max(local, stamp + 1)
        return local

    def _goes_behind(self, item: Decoded, read_at: int) -> bool:
        """Tell whether the rows of a message, stamped so, go behind those there are."""
        if isinstance(item, BookDelta):
            book = self.books.get(item.symbol)
            # Else the rows of other messages may come with it.
            is_alone = book is not None and book.is_settled
            last = self.ledger.last_local(Level2, item.symbol)
            # What was accounted for was given before.
            return is_alone and read_at > max(last, self._accounted.get(item.symbol, 0))
        if isinstance(item, AccountNews):
            kinds = {(row.__class__, row[2]) for row in item.records}
            return all(read_at > self.ledger.last_local(*kind) for kind in kinds)
        return False

    def _is_known(self, seed: BookSnapshot) -> bool:
        # The first message of a connection that takes over: no news for a book that is in step.
        book = self.books.get(seed.symbol)
        return book is not None and book.is_ready and seed.sequence <= book.sequence

    def _take_delta(
        self, delta: BookDelta, local: int, rows: list[Record], read_at: int | None
    ) -> int:
        book = self.books.get(delta.symbol)
        if book is None:
            return local
        released, gap = book.on_delta(delta, local if read_at is None else read_at)
        local = self._keep(book, released, () if gap is None else (gap,), local, rows)
        return self._tell_late(book, local, rows) if book.late else local

    def _tell_late(self, book: BookSync, local: int, rows: list[Record]) -> int:
        """Take what came after all out of the gaps it was told missing in."""
        tally = self._book_tally(book.symbol)
        for first, last in book.late:
            tally.mend(first, last)
            detail = f"{last - first + 1} sequences came late, out of order"
            rows.append(status_row(local, "filled", book.symbol, "level2", detail, first, last))
            local += 1
        book.late.clear()
        return local

    def _take_news(
        self, news: AccountNews, local: int, rows: list[Record], read_at: int | None
    ) -> int:
        for place, row in enumerate(news.records):
            is_blind = False
            if isinstance(row, Position):
                row, is_blind = self._positions.complete(row)
            if not self.ledger.accepts(row):
                continue
            stamp = local if read_at is None else read_at + place
            rows.append(row._replace(local_timestamp=stamp))
            local = max(local, stamp + 1)
            if is_blind:
                rows.append(status_row(local, "partial", row[2], "position", _BLIND_POSITION))
                local += 1
        return local

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
        if released:
            local = max(local, (released[-1].local_timestamp or 0) + 1)
        if book.released_since is not None:
            since, book.released_since = book.released_since, None
            if released:
                self._note_not_read(local - len(released), local)
                local = self._tell_wait(tally, len(released), since, local, rows)
        if book.found:
            gaps = [*book.found, *gaps]
            book.found = []
        for received in book.received:
            rows.append(received_row(received, book.symbol, local))
            local += 1
        book.received.clear()
        for gap in gaps:
            rows.append(self._tell_gap(gap, tally, heard_before, local))
            local += 1
        _look_at(book, tally)
        self._unsure.add(book.symbol)
        if not book.is_settled:
            self.seeking.add(book.symbol)
        elif book.symbol in self.seeking or not tally.is_synced:
            self.seeking.discard(book.symbol)
            tally.is_synced = True
            detail = f"in step at sequence {book.sequence}"
            rows.append(
                status_row(local, "book_ready", book.symbol, "level2", detail, book.sequence,
                        book.sequence)
            )  # fmt: skip
            local += 1
        return local

    def snapshot_failed(
        self, symbol: str, retry_after: float, now_ns: int, now: float
    ) -> list[Record]:
        """Have a book ask for its snapshot later; gives the rows that were held for it.

        Parameters
        ----------
        symbol
            Whose book.
        retry_after
            Seconds until then.
        now_ns
            Wall time, ns UTC, for the stamps.
        now
            Monotonic seconds.
        """
        book = self.books[symbol]
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        released = book.snapshot_failed(now, retry_after, local)
        local = self._keep(book, released, (), local, rows)
        self._clock.end(self._tell_crossings(local, rows))
        return rows

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
        local = self._keep(book, released, gaps, local, rows)
        self._clock.end(self._tell_crossings(local, rows))
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
        return status_row(local, event, symbol, channel, detail)

    def begin_outage(self, topics: Iterable[Topic], began_ns: int, now_ns: int) -> list[Record]:
        """Prepare for what a lost connection did not bring; ``began_ns`` is a local time.

        Its books start over, what was known of positions is forgotten, and the rows of channels
        that REST can fill are kept back from now on. Gives a status row for each book of which
        nobody can tell any more whether something is missing.
        """
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for tally in self._fed_by(topics):
            tally.arrivals.pause()
            if tally.channel == "level2":
                book = self.books[tally.symbol]
                had_doubt = tally.doubt is not None
                book.restart()
                _look_at(book, tally)
                if book.seeds_itself:
                    self.seeking.add(tally.symbol)  # until the seed of the next connection
                if tally.doubt is not None and not had_doubt:
                    rows.append(status_row(local, "unproven", tally.symbol, "level2", tally.doubt))
                    local += 1
                self._unsure.add(tally.symbol)  # it answers no more, for another reason
            elif tally.channel == "position":
                self._positions.forget()
            elif tally.channel in FILLABLE and tally.rows:
                self._begin_part(tally, began_ns)
        self._clock.end(self._tell_crossings(local, rows))
        return rows

    def _begin_part(self, tally: Tally, began_ns: int) -> OutagePart:
        """Keep rows back from now on; an outage amid the mending of another is one more part."""
        gate = self._gates.get((CHANNELS[tally.channel], tally.symbol))
        if gate is None:
            gate = self._open_gate(tally, began_ns)
        gate.is_armed = False  # it is an outage now, whatever the silence before was
        gate.number = next(self._numbers)
        return gate.part(began_ns)

    def _open_gate(self, tally: Tally, began_ns: int) -> Gate:
        gate = Gate(tally, self._markets[tally.symbol], [OutagePart(began_ns)])
        gate.number = next(self._numbers)
        self._gates[CHANNELS[tally.channel], tally.symbol] = gate
        return gate

    def end_outage(
        self,
        topics: Iterable[Topic],
        began_ns: int,
        now_ns: int,
        cause: str,
        *,
        is_over: bool = True,
    ) -> list[Record]:
        """Account for a time in which nothing could arrive on these topics.

        Returns the status rows that tell of it. What can be filled is in ``holes`` from now on; if
        the outage is not over, it will not be.
        """
        rows: list[Record] = []
        tallies = self._fed_by(topics)
        local = self._clock.begin(now_ns)
        for tally, gap in self.ledger.outage(tallies, began_ns, now_ns, cause, is_over=is_over):
            gap = tally.retell(gap, ended=local)  # as the row says, so that a recording agrees
            rows.append(gap_row(gap, tally, local))
            local += 1
            gate = self._gates.get((CHANNELS[tally.channel], tally.symbol))
            if gate is not None:
                gate.parts[-1].gap = gap
                gate.number = next(self._numbers)
                for row in self._end_parts(gate, cause, local):
                    rows.append(row)
                    local += 1
        self._clock.end(local)
        return rows

    @staticmethod
    def _end_parts(gate: Gate, cause: str, local: int) -> list[Status]:
        """Tell of outages that were over for so short that no connection was settled meanwhile."""
        told: list[Status] = []
        for part in gate.parts:
            if part.gap is None:
                ended = part.held[0][1] or local  # its arrival
                part.gap = Gap(cause, None, None, part.began, ended)
                gate.tally.gaps.append(part.gap)
                told.append(gap_row(part.gap, gate.tally, local + len(told)))
        return told

    @property
    def has_open_requests(self) -> bool:
        """Whether REST is to be asked for something."""
        return bool(self.seeking or self._gates)

    @property
    def holes(self) -> list[FillableGap]:
        """What waits to be filled."""
        found = (self.hole(*key) for key in self._gates)
        return [hole for hole in found if hole is not None]

    def hole(self, record: type[Record], symbol: str) -> FillableGap | None:
        """Give what waits to be filled of a channel and symbol; None where nothing does."""
        gate = self._gates.get((record, symbol))
        if gate is None or not gate.can_be_filled:
            return None
        tally = gate.tally
        return FillableGap(
            record,
            symbol,
            gate.market,
            tally.last_sequence,
            dict(tally.last_opens),
            gate.is_armed and not gate.held,
            gate.number,
        )

    def doubt(self, channel: str, symbol: str, now_ns: int) -> None:
        """Have REST asked about a silence, until there is a row behind it.

        Two connections were silent, so that the market was quiet, most likely.
        """
        key = (CHANNELS[channel], symbol)
        tally = self.ledger.tally(*key)
        if tally is None:
            return
        tally.arrivals.was_quiet()
        self._false_alarms.was_wrong(now_ns)
        if channel in FILLABLE and tally.last_local is not None and key not in self._gates:
            self._open_gate(tally, tally.last_local).is_armed = True

    def silent(self, topics: Iterable[Topic], now_ns: int, shortest_ns: int) -> list[Tally]:
        """List the accounts of which nothing was heard for suspiciously long."""
        found = []
        false_alarms = self._false_alarms.factor(now_ns)
        for tally in self._fed_by(topics):
            suspicious_ns = tally.arrivals.suspicious_after_ns
            if suspicious_ns is None or tally.last_local is None:
                continue
            if tally.channel in PRIVATE_CHANNELS:
                continue
            after_ns = suspicious_ns * false_alarms
            silence_ns = now_ns - tally.last_local
            if silence_ns <= max(after_ns, shortest_ns) or not self._speaks(tally):
                continue
            if silence_ns > _QUIET_TOGETHER * after_ns or not self._is_calm(tally, now_ns):
                found.append(tally)
        return found

    def _is_calm(self, tally: Tally, now_ns: int) -> bool:
        """Tell whether nothing happens at a symbol: its other market data is silent as well.

        A topic that stalls does so alone, while a quiet market is silent on all of them.
        """
        assert tally.last_local is not None  # its silence has been measured
        since_ns = (tally.last_local + now_ns) // 2
        others = [
            other.last_local
            for channel in _OF_THE_MARKET - {tally.channel}
            if (other := self.ledger.tally(CHANNELS[channel], tally.symbol)) is not None
            and other.last_local is not None
        ]
        return bool(others) and all(last < since_ns for last in others)

    def _speaks(self, tally: Tally) -> bool:
        # Rows that are kept back were heard, too.
        if tally.channel == "level2":
            return self.books[tally.symbol].is_ready
        return (CHANNELS[tally.channel], tally.symbol) not in self._gates

    def fill(self, hole: FillableGap, fetched: Sequence[Record], now_ns: int) -> list[Record]:
        """Put what REST brought before the rows that were kept back for it.

        What was asked for before another outage was over tells nothing of that one, so it is not
        taken: it is to be asked for again.

        Parameters
        ----------
        hole
            From ``holes`` or ``hole``, before it was asked for.
        fetched
            Trades, or candles of all intervals, ascending; empty when REST has none.
        now_ns
            Wall time, ns UTC, for the stamps.
        """
        gate = self._gates.get((hole.record, hole.symbol))
        if gate is None or not gate.can_be_filled or gate.number != hole.number:
            return []
        if self._may_ask_again(gate, fetched):
            return []
        mended = _mend(hole, fetched, gate)
        goes_on = gate.is_armed and not gate.held  # it is silent still
        if gate.is_armed and mended[0].is_whole and not mended[0].rows:
            return [] if goes_on else self._open(hole.record, hole.symbol, now_ns)
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        room: int | None = None
        for at, (part, brought) in enumerate(zip(gate.parts, mended, strict=True)):
            local = self._tell_stall(gate, part, local, rows)
            if room is None:
                room = self._room_before(gate.parts[at:], mended[at:], gate.tally, local)
            is_last = part.held or not any(each.held for each in gate.parts[at:])
            local, ended = self._fill_part(gate, part, brought, room, local, rows)
            room = None if is_last else ended
        self._clock.end(local)
        if not goes_on:
            gate.tally.arrivals.pause()
            del self._gates[hole.record, hole.symbol]
        return _in_order(rows)

    @staticmethod
    def _may_ask_again(gate: Gate, fetched: Sequence[Record]) -> bool:
        """Whether another page will show better what came over the connection, and what did not."""
        page = [row for row in fetched if isinstance(row, Trade)]
        if gate.is_armed or not is_behind(page, [r for r in gate.held if isinstance(r, Trade)]):
            return False
        gate.tries += 1
        return gate.tries < _MOST_PAGES

    @staticmethod
    def _tell_stall(gate: Gate, part: OutagePart, local: int, rows: list[Record]) -> int:
        """Tell of an outage that was taken for a silence until now."""
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
        mended: Mended,
        first: int,
        local: int,
        rows: list[Record],
    ) -> tuple[int, int]:
        """Release what REST brought, stamped from ``first`` on, and the rows behind it.

        Gives the next stamps behind all, and behind what REST brought.
        """
        tally = gate.tally
        count = self._put(mended.rows, first, rows)
        ended = first + count
        local = max(local, ended)
        _account(gate, part, mended, count, ended)
        if count or not gate.is_armed or part.held:
            told = filled_rows(tally, first, count, mended, local)
            rows += told
            local += len(told)
        return self._release(tally, part.held, local, rows), ended

    def _room_before(
        self, parts: Sequence[OutagePart], mended: Sequence[Mended], tally: Tally, local: int
    ) -> int:
        """Find the first of the stamps for what REST brought before the next row that waits.

        They are nobody's, mostly. That row may be behind a later one of these outages, as nothing
        came between them; then there must be room for what all of those have cost.
        """
        count = 0
        for part, brought in zip(parts, mended, strict=True):
            count += len(brought.rows)
            if part.held:
                break
        else:
            return local
        end = part.held[0][1] or local
        for first, behind in reversed(self.not_read):
            if behind <= end - count:
                break
            end = min(end, first)
        return max(end - count, (tally.last_local or 0) + 1)

    def _put(self, fetched: Sequence[Record], first: int, rows: list[Record]) -> int:
        """Take the rows that REST brought, stamped from ``first`` on; gives how many are new."""
        local = first
        for row in fetched:
            row = row._replace(local_timestamp=local)
            if self.ledger.accepts(row):
                rows.append(row)
                local += 1
        if local > first:
            self._note_not_read(first, local)
        return local - first

    def _note_not_read(self, first: int, behind: int) -> None:
        insort(self.not_read, (first, behind))

    def _release(self, tally: Tally, held: Sequence[Record], local: int, rows: list[Record]) -> int:
        """Let rows go that were kept back: they are stamped as they were read."""
        count = 0
        for row in held:
            stamp = max(row[1] or local, (tally.last_local or 0) + 1)
            row = row._replace(local_timestamp=stamp)
            if self.ledger.accepts(row):
                rows.append(row)
                count += 1
                local = max(local, stamp + 1)
        return self._tell_wait(tally, count, held[0][1] or local, local, rows) if count else local

    @staticmethod
    def _tell_wait(tally: Tally, count: int, since: int, local: int, rows: list[Record]) -> int:
        """Tell of rows that are given now, but were read since then."""
        if local - since < _TOLD_WAIT_NS:
            return local
        is_book = tally.channel == "level2"
        what = f"{count:,} row" + "s" * (count > 1)
        stamped = "their local timestamps are of when they were given"
        detail = (
            f"{what} waited for what belongs before them, up to {(local - since) / 1e9:.1f} s: "
            f"{stamped if is_book else STAMPED_AS_READ}"
        )
        told = status_row(local, "released", tally.symbol, tally.channel, detail)
        rows.append(told._replace(timestamp=local - count if is_book else since))
        return local + 1

    def give_up(self, hole: FillableGap, reason: str, now_ns: int) -> list[Record]:
        """Let the rows that were kept back go: what belongs before them cannot be had."""
        if (hole.record, hole.symbol) not in self._gates:
            return []
        local = self._clock.begin(now_ns)
        channel = self._gates[hole.record, hole.symbol].tally.channel
        told = status_row(local, "not_filled", hole.symbol, channel, reason)
        self._clock.end(local + 1)
        return _in_order([told, *self._open(hole.record, hole.symbol, now_ns)])

    def finish(self, now_ns: int) -> list[Record]:
        """Let everything go that still waits, at the end."""
        rows = [row for key in list(self._gates) for row in self._open(*key, now_ns)]
        for book in self.books.values():
            rows += self._finish_book(book, now_ns)
        if untold := self._flood.take_untold():
            rows.append(self.note("broken", f"{untold:,} more messages did not decode", now_ns))
        return _in_order(rows)

    def _finish_book(self, book: BookSync, now_ns: int) -> list[Record]:
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        local = self._keep(book, book.finish(local), (), local, rows)
        local = self._tell_crossings(local, rows)
        local = self._tell_of(book, local, rows)
        doubt = self._book_tally(book.symbol).doubt
        if doubt is not None:
            rows.append(status_row(local, "unproven", book.symbol, "level2", doubt))
            local += 1
        self._clock.end(local)
        return rows

    def books_to_ask_about(self, most: int) -> list[str]:
        """Name books in step of which nobody knows whether their last change has come.

        The ones that have been silent for longest, first.
        """
        in_step = [
            (self._book_tally(symbol).last_local or 0, symbol)
            for symbol, book in self.books.items()
            if book.is_settled and not book.seeds_itself
        ]
        return [symbol for _, symbol in sorted(in_step)[:most]]

    def note_known(self, symbol: str, sequence: int) -> None:
        """Note to where the exchange's book has come; without all up to there it is in doubt."""
        book = self.books[symbol]
        book.note_known(sequence)
        _look_at(book, self._book_tally(symbol))

    def release_full(self, now_ns: int) -> list[Record]:
        """Let rows go of which too many wait."""
        full = [key for key, gate in self._gates.items() if gate.waiting > MOST_GATED]
        return _in_order(row for key in full for row in self._open(*key, now_ns))

    def _open(self, record: type[Record], symbol: str, now_ns: int) -> list[Record]:
        gate = self._gates.pop((record, symbol))
        gate.tally.arrivals.pause()
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for part in gate.parts:
            local = self._release(gate.tally, part.held, local, rows)
        self._clock.end(local)
        return _in_order(rows)

    def subscribed(self, topics: Iterable[Topic], now: float, seed_patience: float) -> None:
        """Note that these subscriptions were acknowledged, at that monotonic time.

        Books that get a seed with it get it within ``seed_patience`` seconds, most likely.
        """
        for tally in self._fed_by(topics):
            if tally.channel == "level2":
                book = self.books[tally.symbol]
                book.subscribed(now, seed_patience)
                if not book.is_settled:
                    self.seeking.add(tally.symbol)

    def _fed_by(self, topics: Iterable[Topic]) -> list[Tally]:
        found = {
            (tally.channel, tally.symbol): tally
            for topic in topics
            for tally in self._by_topic.get(str(topic), ())
        }
        return list(found.values())

    def renew_book(self, symbol: str, *, is_flawed: bool) -> None:
        """Have a book want another snapshot; a flawed one does not answer until then."""
        book = self.books[symbol]
        book.renew(is_flawed=is_flawed)
        _look_at(book, self._book_tally(symbol))
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
                f"no level2 channel of {shown(symbol)} is streamed (books here: {streamed}); "
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
        return gap_row(told, tally, local)

    def _tell_broken(self, item: Broken, local: int) -> list[Status]:
        self.broken += 1
        tallies = self._by_topic.get(subscribed_topic(item.topic or ""), [])
        for tally in tallies:
            tally.broken += 1
        if not self._flood.may_tell(local):
            return []
        symbol = tallies[0].symbol if tallies else None
        channel = tallies[0].channel if len(tallies) == 1 else None
        where = f" (topic {item.topic[:100]!r})" if item.topic else ""
        untold = self._flood.take_untold()
        also = f"; {untold:,} more before it" if untold else ""
        return [status_row(local, "broken", symbol, channel, f"{item.reason}{where}{also}")]


def _gaps_behind(first: int | None, tally: Tally) -> list[Gap]:
    """List a book's open gaps from a sequence of its numbering on."""
    found: list[Gap] = []
    for gap in reversed(tally.gaps):
        if first is None or gap.cause == "rebase":
            break
        if gap.filled_by is None and gap.last_sequence is not None and gap.last_sequence >= first:
            found.append(gap)
    return found


def _look_at(book: BookSync, tally: Tally) -> None:
    """Have the account say what the book says of itself."""
    tally.duplicates = book.duplicates
    tally.doubt = book.doubt


def _in_order(rows: Iterable[Record]) -> list[Record]:
    """Put rows in the order of their stamps: some of them were read before others were given."""
    return sorted(rows, key=lambda row: row[1] or 0)


def _rows_of(item: Decoded) -> int:
    """Count the rows that a message becomes at most."""
    if isinstance(item, BookDelta):
        return len(item.changes)
    return len(item.records) if isinstance(item, AccountNews) else 1
