"""From payloads to rows: decode, drop repeats, keep books in step, stamp, and report trouble.

The fate of each message is decided here. No threads, no I/O, no clock of its own: the stream calls
it under its delivery lock and hands the rows on to frames and sinks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

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
from kucoin_research.model.orderbook import BookDelta, BookSnapshot
from kucoin_research.model.records import (
    ACCOUNT_CHANNELS,
    ALL_SYMBOLS,
    CHANNELS,
    Candle,
    Position,
    Record,
    Status,
    Trade,
    local_timestamp_of,
    symbol_of,
)
from kucoin_research.streaming.gap_fill import FILLABLE, STAMP_ROOM, GapFiller, in_order
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.ledger import SequenceLedger
from kucoin_research.streaming.order_books import OrderBooks
from kucoin_research.streaming.presences import Presences
from kucoin_research.streaming.staleness import SilenceWatch
from kucoin_research.streaming.status_rows import FloodControl, gap_row, status_row

__all__ = ["Batch", "FeedHandler", "Taken"]

# Messages that do not become exactly one row.
_NO_RECORDS = (BookDelta, BookSnapshot, AccountNews, ControlMessage, Broken, Ignored)

_BLIND_POSITION = (
    "the mark price moved before the position was told in full, so the columns that such a "
    "message leaves out are null until the position next changes"
)


# Once per read: a third of the time of NamedTuple's own __new__, which is written in Python.
_new = tuple.__new__


class Batch(NamedTuple):
    """The result of a read: rows in arrival order, and messages for the conversation."""

    rows: list[Record]
    controls: list[ControlMessage]


class Taken(NamedTuple):
    """The result of taking over from another connection.

    ``stalled`` names the channels and symbols that had been silent on the other connection,
    although the exchange sent messages of them.
    """

    rows: list[Record]
    stalled: list[tuple[str, str]]


class FeedHandler:
    """Decides what becomes of each message of a stream.

    Parameters
    ----------
    subscriptions
        The channels and symbols asked for; messages of others are left out.
    feed
        The protocol of KuCoin that brings them.

    Attributes
    ----------
    ledger
        The account of the rows and of everything that is missing.
    order_books, books, seeking
        The order books; by symbol, those whose level 2 was asked for; and the symbols whose book
        looks for a snapshot.
    gap_filler
        Holds rows back until REST has filled an outage.
    broken
        Messages that did not decode, whatever their topic.
    markets
        The market of each symbol.
    presences
        Which of the subscriptions are in force.
    not_read
        Spans of stamps (from, and up to but not with) of rows that were not read then, ascending:
        rows from REST, and rows of a book that waited for a snapshot.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards every method, except ``ledger.tallies``.
    """

    def __init__(self, subscriptions: Iterable[Subscription], feed: Feed = Feed.CLASSIC) -> None:
        self._feed = feed
        self.ledger = SequenceLedger()
        self.broken = 0
        self.not_read: list[tuple[int, int]] = []
        self._clock = ArrivalClock()
        self._flood = FloodControl()
        self._positions = Positions()
        # A topic may feed two channels: when its message is broken, it is missing in both.
        self._by_topic: dict[str, list[Tally]] = {}
        self.markets: dict[str, Market] = {}
        self.order_books = OrderBooks(self._clock, self.not_read, seeds_itself=feed is Feed.PRO)
        self.books = self.order_books.books
        self.seeking = self.order_books.seeking
        self.gap_filler = GapFiller(self.ledger, self._clock, self.markets, self.not_read)
        self._gates = self.gap_filler.gates
        self._silence_watch = SilenceWatch(self.ledger, self._is_delivering)
        self._lost_at: dict[tuple[str, str], int] = {}  # stamps of losses that still last
        self.presences = Presences(self.ledger, self.order_books, self.gap_filler, self._clock)
        for subscription in subscriptions:
            self._add(subscription)

    def _add(self, subscription: Subscription) -> None:
        channel, symbol, market = subscription
        counted_as = ALL_SYMBOLS if channel.name in ACCOUNT_CHANNELS else symbol
        self.markets[symbol] = market
        tally = self.ledger.open(channel.record, channel.name, counted_as)
        topics = topics_for(channel, symbol, market, self._feed)
        for topic in topics:
            tallies = self._by_topic.setdefault(str(topic), [])
            if not any(each is tally for each in tallies):
                tallies.append(tally)
        if channel.name == "level2":
            self.order_books.add(symbol, tally)
        self.presences.add(subscription, tally, topics)

    # -- messages ----------------------------------------------------------------------------------
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
            While another connection is about to take over: learns of each message. After this one
            has taken over: knows which messages are repeats.
        """
        rows: list[Record] = []
        controls: list[ControlMessage] = []
        decode, accepts, gates = decoder.decode, self.ledger.accepts, self._gates
        local = self._clock.begin(now_ns)
        for payload in payloads:
            item = decode(payload, local)
            # Before anything is left out: the two connections are compared by all they bring.
            if overlap is not None and not isinstance(item, ControlMessage | Ignored):
                if not overlap.is_over:
                    overlap.saw(item)
                elif overlap.repeats(item):
                    continue
            if not isinstance(item, _NO_RECORDS):
                # item[2] is the symbol. The gate comes before the ledger: the ledger counts rows
                # in the order in which they are delivered, and these wait.
                if gates and (gate := gates.get((item.__class__, item[2] or ""))) is not None:
                    local = gate.hold(item, local)
                elif accepts(item):
                    rows.append(item)
                    local += 1
            elif isinstance(item, ControlMessage):
                controls.append(item)
            else:
                local = self._take_other(item, local, rows)
        if self.books and now_ns >= self.order_books.report_at:
            local = self.order_books.report_received(now_ns, local, rows)
        # Behind all rows of the read: a book that is crossed between two of them is not seen so.
        self._clock.end(self.order_books.report_crossings(local, rows))
        return _new(Batch, (rows, controls))

    def _take_other(
        self, item: Decoded, local: int, rows: list[Record], read_at: int | None = None
    ) -> int:
        """Take a message of several rows, or of none; stamped ``read_at`` if that is given."""
        if isinstance(item, BookDelta):
            return self.order_books.take_delta(item, local, rows, read_at)
        if isinstance(item, AccountNews):
            return self._take_news(item, local, rows, read_at)
        if isinstance(item, BookSnapshot):
            return self.order_books.take_seed(item, local, rows)
        if isinstance(item, Broken):
            rows.extend(self._report_broken(item, local))
            return local + 1
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
                symbol = symbol_of(row)
                rows.append(status_row(local, "partial", symbol, "position", _BLIND_POSITION))
                local += 1
        return local

    def _report_broken(self, item: Broken, local: int) -> list[Status]:
        self.broken += 1
        tallies = self._by_topic.get(subscribed_topic(item.topic or ""), [])
        for tally in tallies:
            tally.broken += 1
        if not self._flood.may_report(local):
            return []
        symbol = tallies[0].symbol if tallies else None
        channel = tallies[0].channel if len(tallies) == 1 else None
        where = f" (topic {item.topic[:100]!r})" if item.topic else ""
        unreported = self._flood.take_unreported()
        also = f"; {unreported:,} more before it" if unreported else ""
        return [status_row(local, "broken", symbol, channel, f"{item.reason}{where}{also}")]

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

    # -- a connection that takes over from another -------------------------------------------------
    def hold(
        self, payloads: Sequence[bytes], decoder: Decodes, now_ns: int, overlap: Handover
    ) -> list[ControlMessage]:
        """Hold the messages of a connection that is to take over.

        Returns those that are meant for its conversation.
        """
        controls: list[ControlMessage] = []
        local = self._clock.begin(now_ns)
        for payload in payloads:
            item = decoder.decode(payload, local)
            if isinstance(item, ControlMessage):
                controls.append(item)
            elif not isinstance(item, Ignored):
                if isinstance(item, Trade | Candle):
                    local += STAMP_ROOM  # REST may have to bring the rows before it
                    item = item._replace(local_timestamp=local)
                is_old = isinstance(item, Trade) and self.ledger.has_had(item)
                overlap.hold(item, now_ns, local, is_news=not is_old)
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
            The messages of both connections.
        topics
            Of both connections.
        drained_ns
            Local time at which the other connection had nothing more to read: everything that was
            sent to both before has come over both.
        now_ns
            Wall time, ns UTC.
        """
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        stalled = [t for t in self._fed_by(topics) if _has_stalled(t, overlap, drained_ns)]
        # Before the held rows are taken: these come behind the outage.
        for tally in stalled:
            local = self._begin_stall(tally, local, rows)
        for read_at, item in overlap.fresh():
            local = self._take_held(item, read_at, local, rows)
        self._clock.end(self.order_books.report_crossings(local, rows))
        return Taken(in_order(rows), [(tally.channel, tally.symbol) for tally in stalled])

    def _begin_stall(self, tally: Tally, local: int, rows: list[Record]) -> int:
        began = local if tally.last_local is None else tally.last_local
        tally.arrivals.pause()
        if tally.channel == "level2":
            self.books[tally.symbol].note_cause("stalled")  # its sequences show which are missing
            return local
        gap = Gap("stalled", None, None, began, local)
        tally.gaps.append(gap)
        rows.append(gap_row(gap, tally, local))
        if tally.channel in FILLABLE:
            self.gap_filler.begin_outage(tally, began).gap = gap
        return local + 1

    def _take_held(self, item: Decoded, read_at: int, local: int, rows: list[Record]) -> int:
        """Take a message that another connection has brought, stamped as it was read.

        If the connection before has brought a row of the same kind and symbol later than that, it
        is stamped now: rows of a symbol stand in the order of their stamps.
        """
        if isinstance(item, BookSnapshot) and self.order_books.is_known(item):
            return local
        if isinstance(item, _NO_RECORDS):
            stamp = read_at if self._goes_behind(item, read_at) else None
            return self._take_other(item, local, rows, stamp)
        symbol = symbol_of(item)
        gate = self._gates.get((item.__class__, symbol or ""))
        if gate is not None:
            gate.held.append(item)
            return local
        stamp = read_at if read_at > self.ledger.last_local(item.__class__, symbol) else local
        if self.ledger.accepts(item):
            rows.append(item._replace(local_timestamp=stamp))
            return max(local, stamp + 1)
        return local

    def _goes_behind(self, item: Decoded, read_at: int) -> bool:
        """Return whether the rows of a message, stamped ``read_at``, go behind all rows so far."""
        if isinstance(item, BookDelta):
            return self.order_books.goes_behind(item, read_at)
        if isinstance(item, AccountNews):
            kinds = {(row.__class__, symbol_of(row)) for row in item.records}
            return all(read_at > self.ledger.last_local(*kind) for kind in kinds)
        return False

    # -- subscriptions of a running stream ---------------------------------------------------------
    def come(
        self, subscriptions: Iterable[Subscription], asked: Collection[Topic], now_ns: int
    ) -> list[Record]:
        """Prepare for the rows of subscriptions, of which those topics are about to be asked for.

        Returns the rows that report it.
        """
        subscriptions = list(subscriptions)
        for each in subscriptions:
            if not self.presences.knows(each):
                self._add(each)
        return self.presences.come(subscriptions, asked, now_ns)

    def forget_empty(self, subscriptions: Iterable[Subscription]) -> list[Subscription]:
        """Forget those subscriptions that never had a row, and return them."""
        forgotten = self.presences.forget_empty(subscriptions)
        if forgotten:
            known = {id(tally) for tally in self.ledger.tallies}
            for topic, tallies in self._by_topic.items():
                self._by_topic[topic] = [each for each in tallies if id(each) in known]
        return forgotten

    def left(self, topics: Collection[Topic], now_ns: int) -> list[Record]:
        """Note that nothing more comes of these topics; returns the rows that report it."""
        if any(tally.channel == "position" for tally in self._fed_by(topics)):
            self._positions.forget()  # they may change while nothing can arrive
        return in_order(self.presences.left(topics, now_ns))

    # -- connections, and outages ------------------------------------------------------------------
    def subscribed(self, topics: Iterable[Topic], now: float, seed_patience: float) -> None:
        """Note that these subscriptions were acknowledged, at that monotonic time.

        Books of the pro feed most likely get a snapshot within ``seed_patience`` seconds.
        """
        for tally in self._fed_by(topics):
            if tally.channel == "level2":
                self.order_books.subscribed(tally.symbol, now, seed_patience)

    def begin_outage(self, topics: Iterable[Topic], began_ns: int, now_ns: int) -> list[Record]:
        """Prepare for the rows that a lost connection did not bring.

        Its books start over, positions are forgotten, and the rows of channels that REST can fill
        are held back from now on.

        Parameters
        ----------
        topics
            Of the connection.
        began_ns
            Local time from which on nothing was heard, ns UTC.
        now_ns
            Wall time, ns UTC.

        Returns
        -------
        list[Record]
            A status row for each book that may from now on lack something unseen.
        """
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for tally in self._fed_by(topics):
            self._lost_at[tally.channel, tally.symbol] = local
            tally.arrivals.pause()  # the outage is not one of the topic's own intervals
            if tally.channel == "level2":
                local = self.order_books.restart(tally.symbol, local, rows)
            elif tally.channel == "position":
                self._positions.forget()  # they may have changed while nothing could arrive
            elif tally.channel in FILLABLE and tally.rows:
                # From now on, not from the reconnection: its first messages come before the
                # outage is known to be over.
                self.gap_filler.begin_outage(tally, began_ns)
        self._clock.end(self.order_books.report_crossings(local, rows))
        return rows

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

        Returns the status rows that report it. ``gap_filler.gaps`` lists from now on the outages
        that can be filled. One that is not over will not be.
        """
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for tally, gap in self._outages(topics, began_ns, now_ns, cause, is_over=is_over):
            gap = tally.retell(gap, ended=local)  # as the row says, so that a recording agrees
            rows.append(gap_row(gap, tally, local))
            local += 1
            earlier = self.gap_filler.end_outage(tally, gap, local)
            rows += earlier
            local += len(earlier)
        self._clock.end(local)
        return rows

    def _outages(
        self, topics: Iterable[Topic], began_ns: int, now_ns: int, cause: str, *, is_over: bool
    ) -> Iterator[tuple[Tally, Gap]]:
        for tally in self._fed_by(topics):
            # What was subscribed to again on the lost connection can be younger than the last thing
            # heard on it. Of what was subscribed to since, the time before is reported already.
            lost_at = self._lost_at.pop((tally.channel, tally.symbol), began_ns)
            if tally.resumed <= max(began_ns, lost_at):
                began = max(began_ns, tally.resumed)
                yield from self.ledger.outage([tally], began, now_ns, cause, is_over=is_over)

    def _fed_by(self, topics: Iterable[Topic]) -> list[Tally]:
        """List the accounts of the channels and symbols that these topics bring now, each once."""
        found = {
            (tally.channel, tally.symbol): tally
            for topic in topics
            for tally in self._by_topic.get(str(topic), ())
            if not tally.is_resting
        }
        return list(found.values())

    # -- silence -----------------------------------------------------------------------------------
    def silent(self, topics: Iterable[Topic], now_ns: int, shortest_ns: int) -> list[Tally]:
        """List the accounts of those topics that have been silent for suspiciously long."""
        return self._silence_watch.suspicious(self._fed_by(topics), now_ns, shortest_ns)

    def _is_delivering(self, tally: Tally) -> bool:
        if tally.channel == "level2":
            return self.books[tally.symbol].is_ready
        return self.gap_filler.gate_of(tally) is None

    def was_quiet(self, channel: str, symbol: str, now_ns: int) -> None:
        """Note that two connections were silent, so that most likely the market was quiet.

        REST is asked about the silence, as far as it knows the channel, until there is a row behind
        it.
        """
        tally = self.ledger.tally(CHANNELS[channel], symbol)
        if tally is None or tally.is_resting:
            return
        self._silence_watch.was_wrong(tally, now_ns)
        if channel in FILLABLE:
            self.gap_filler.suspect_outage(tally)

    # -- open requests, and the end ----------------------------------------------------------------
    @property
    def has_open_requests(self) -> bool:
        """Whether there is something to ask REST for."""
        return bool(self.seeking or self._gates)

    def gaps_to_come(self) -> list[Status]:
        """Make the rows of gaps that were reported, but whose place is among rows that still wait.

        A sink that takes rows from now on needs them: the rows around such a gap come to it, and
        the report was delivered before. In order of time.
        """
        waiting = self.gap_filler.reported + self.order_books.reported
        rows = [gap_row(gap, tally, gap.ended) for tally, gap in waiting]
        return sorted(rows, key=local_timestamp_of)

    def finish(self, now_ns: int) -> list[Record]:
        """Let everything go that still waits, at the end."""
        rows = self.gap_filler.release_all(now_ns)
        rows += self.order_books.finish(now_ns)
        if unreported := self._flood.take_unreported():
            detail = f"{unreported:,} more messages did not decode"
            rows.append(self.note("broken", detail, now_ns))
        return in_order(rows)


def _has_stalled(tally: Tally, overlap: Handover, drained_ns: int) -> bool:
    """Return whether a connection missed messages of a channel that its successor has brought."""
    if tally.last_local is None:
        return False
    kind = BookDelta if tally.channel == "level2" else CHANNELS[tally.channel]
    since = overlap.stalled_since(kind, tally.symbol)
    return since is not None and since < drained_ns


def _rows_of(item: Decoded) -> int:
    """Return the number of rows that a message becomes at most."""
    if isinstance(item, BookDelta):
        return len(item.changes)
    return len(item.records) if isinstance(item, AccountNews) else 1
