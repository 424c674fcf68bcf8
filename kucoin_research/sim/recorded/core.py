"""The core of a recording: sends its rows at their times on the topics that carry them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeAlias

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.accounts.keys import DEMO_ACCOUNT
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.engine.clock import SLICE_NS, VirtualClock
from kucoin_research.sim.engine.offers import Offer
from kucoin_research.sim.faults.delivery import Subscriber
from kucoin_research.sim.faults.kinds import Fault, Message
from kucoin_research.sim.messages.topics import Topic
from kucoin_research.sim.recorded.messages import Row, Shape, book_frame, key_of, shapes_of
from kucoin_research.sim.recorded.state import Book, RecordedState
from kucoin_research.sim.server.core import Channel, ExchangeCore
from kucoin_research.sim.server.settings import Settings
from kucoin_research.sim.server.wire_frames import text_frame

__all__ = ["Batches", "RecordedCore"]

#: Rows in order of arrival, each with the name of its channel.
Batches: TypeAlias = Iterable[list[tuple[str, Row]]]

# The span of the recording, in ns, that is searched for values which no row has shown so far.
_LOOK_AHEAD_NS = 10_000_000_000
_BOOK_TOPICS = {"/contractMarket/level2": "futures", "/market/level2": "spot"}
_IMPOSSIBLE = frozenset({"rebase", "crossed_book"})
# The timestamps of these rows are no clock readings of their arrival.
_TIMELESS = frozenset({"candle", "status"})


class _Channel(Channel):
    """A channel with the shapes in which it spells rows."""

    def __init__(self, topic: Topic, market: str) -> None:
        super().__init__(topic, market)
        self.prefix = topic.prefix
        self.shapes = shapes_of(topic)
        self.interval = topic.candle_type
        self.symbols: list[str] = []


class RecordedCore(ExchangeCore[_Channel]):
    """Plays recorded rows to the subscribers, and keeps the latest state of each symbol for REST.

    Virtual time is the time of arrival, ``local_timestamp``. The exchange's own time is estimated
    from the rows: see ``exchange_ns``.

    Parameters
    ----------
    batches
        The rows, in order of arrival.
    ahead
        The same rows again. Only their beginning is read: REST answers with a symbol's first rows
        until other rows have been played.
    offers
        The symbols recorded.
    clock
        Virtual time, just before the first row to be sent.
    settings
        All other choices.
    has_fillers
        Whether numbers without a row are fillers on futures too: so in recordings of the pro feed.
    grace
        Seconds (wall) from the first subscription until time starts.
    wake
        Called when time has started after the grace, or again.
    """

    has_accounts = False

    def __init__(
        self,
        batches: Batches,
        ahead: Batches,
        offers: Mapping[str, Offer],
        clock: VirtualClock,
        settings: Settings,
        *,
        has_fillers: bool = False,
        grace: float = 0.0,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(0, clock, settings)
        self._grace = grace
        # Books as they were before their first change was sent: time waits until REST has shown
        # them. And the symbols whose book was asked for or awaited already.
        self._awaited: dict[str, Book] = {}
        self._asked: set[str] = set()
        self._wake = wake
        self.listings: Mapping[str, Offer] = offers
        self.states = {symbol: _new_state(offer, has_fillers) for symbol, offer in offers.items()}
        self._members = {
            account.key: Member(account) for account in (DEMO_ACCOUNT, *settings.accounts)
        }
        self._offset_ns: int | None = None
        self._wants: dict[tuple[str, str, str], list[tuple[_Channel, Shape]]] = {}
        self._books: dict[str, list[_Channel]] = {}
        self.rows_played = 0
        self._rows = _Rows(batches)
        self._play(clock.reached_ns)
        self._foresee(ahead)

    # Time

    @property
    def exchange_ns(self) -> int:
        """The exchange's own time, ns UTC.

        Its lead over virtual time is the largest that a row's ``timestamp`` had over its arrival.
        So it never runs backwards, and it is never before the timestamp of a row already sent.
        """
        return self.clock.now_ns + (self._offset_ns or 0)

    @property
    def is_over(self) -> bool:
        """Whether all rows have been played."""
        return self._rows.next is None

    def _begin(self) -> None:
        is_first = self.first_subscription_ns is None
        if not self._grace:
            super()._begin()
        elif is_first:
            # Other clients and topics that subscribe meanwhile begin with the same row.
            asyncio.get_running_loop().call_later(self._grace, self._begin_late)

    def _begin_late(self) -> None:
        self._grace = 0.0
        self._begin()
        self._wake()

    def _step(self, target_ns: int) -> int:
        following = self._rows.next
        if following is None or following[1][1] > target_ns:
            return target_ns
        due_ns: int = following[1][1]
        until_ns = -(-due_ns // SLICE_NS) * SLICE_NS
        self._play(until_ns)
        return until_ns

    def _play(self, until_ns: int) -> None:
        rows = self._rows
        while (following := rows.next) is not None and following[1][1] <= until_ns:
            channel, row = following
            rows.step()
            if channel == "level2":
                self._play_book(row)
            elif channel == "status":
                self._note_status(row)
            else:
                self._play_row(channel, row)
            self.rows_played += 1

    def _play_row(self, channel: str, row: Row) -> None:
        state = self.states.get(row[2])
        if state is None:
            return
        state.note(channel, row)
        if channel not in _TIMELESS:
            self._note_time(row)
        for listener, shape in self._wants.get(key_of(channel, row), ()):
            if shape.fits(row):
                text = shape.spell(listener.topic, row)
                self.delivery.emit(listener.readers, _message(listener, row, text), text_frame)

    def _play_book(self, row: Row) -> None:
        state = self.states.get(row[2])
        if state is None:
            return
        self._note_time(row)
        rows = [row, *self._rows.take_like(row)]
        self.rows_played += len(rows) - 1
        book = state.book
        if row[4]:
            book.load(rows)
            return
        listeners = self._books.get(row[2], ())
        is_first = bool(listeners) and book.is_whole and row[2] not in self._asked
        before = book.copy() if is_first else None
        runs = book.apply(rows)
        if before is not None and runs:  # without a frame, no client would ask for the book
            self._await(row[2], before)
        for listener in listeners:
            for first, last, changes in runs:
                for number, text in book_frame(
                    listener.topic, listener.market, row[2], (first, last), changes, row[0]
                ):
                    message = Message(listener.topic, number, text.encode(), row[2])
                    self.delivery.emit(listener.readers, message, text_frame)

    # The first snapshot

    def _await(self, symbol: str, book: Book) -> None:
        # After the first change, clients buffer and ask for the book. At a high speed the book
        # would be far ahead by then, so time waits.
        self._asked.add(symbol)
        if not self._awaited:
            asyncio.get_running_loop().call_later(self.settings.patience, self._await_no_more)
        self._awaited[symbol] = book
        self.clock.stop()

    def book(self, symbol: str) -> Book:
        """Return the book for a REST answer; time goes on after all awaited books are answered."""
        self._asked.add(symbol)
        awaited = self._awaited.pop(symbol, None)
        if awaited is None:
            return self.states[symbol].book
        if not self._awaited:
            self._go_on()
        return awaited

    def _await_no_more(self) -> None:
        if self._awaited:
            self._awaited.clear()
            self._go_on()

    def _go_on(self) -> None:
        if not self.is_held:
            self.clock.start()
            self._wake()

    def _note_time(self, row: Row) -> None:
        time, local = row[0], row[1]
        if time is not None and (self._offset_ns is None or time - local > self._offset_ns):
            self._offset_ns = time - local

    def _note_status(self, row: Row) -> None:
        _, _, symbol, event, channel, _, first, last = row
        state = self.states.get(symbol)
        if event != "gap" or channel != "level2" or state is None:
            return
        if first is not None and last is not None:
            state.book.note_gap(first, last)

    def _foresee(self, ahead: Batches) -> None:
        rows = _Rows(ahead)
        found: defaultdict[str, set[str]] = defaultdict(set)
        until_ns = self.clock.reached_ns + _LOOK_AHEAD_NS
        while (following := rows.next) is not None and following[1][1] <= until_ns:
            channel, row = following
            rows.step()
            state = self.states.get(row[2])
            if state is None or channel in ("status", "trade", "candle"):
                continue
            if self._offset_ns is None:
                self._note_time(row)
            if channel != "level2":
                is_new = channel not in state.last and channel not in found[row[2]]
                if is_new:
                    found[row[2]].add(channel)
                    state.note(channel, row)
            elif row[4] and not state.book.is_whole:
                state.book.load([row, *rows.take_like(row)])

    # Topics

    @property
    def members(self) -> Mapping[str, Member]:
        """The accounts that may log in, by key; a recording holds nothing of theirs."""
        return self._members

    def symbols_of(self, market: str, topic: Topic) -> list[str]:
        """List the symbols that feed a topic; none if its symbol was not recorded."""
        of_market = [name for name, offer in self.listings.items() if offer.market == market]
        if (topic.prefix, topic.suffix) in (
            ("/contract/announcement", ""),
            ("/market/ticker", "all"),
        ):
            return of_market
        return [topic.suffix] if topic.suffix in of_market else []

    def streamed(self, market: str | None = None) -> list[str]:
        """List the symbols that somebody listens to, in alphabetical order."""
        return sorted(
            {
                symbol
                for channel in self._channels.values()
                if market in (None, channel.market)
                for symbol in channel.symbols
            }
        )

    def trading_status(self, symbol: str) -> str | None:
        """Return a symbol's trading status in the recording's words; None if it has none."""
        return "Closed" if symbol in self.delivery.delisted() else self.listings[symbol].status

    async def catch_up(self, symbols: Iterable[str], patience: float | None = None) -> None:
        """Do nothing: all symbols are at the present already."""

    async def prepare(self, market: str, topic: Topic) -> None:
        """Do nothing: rows are sent as they stand."""

    def _open(self, market: str, topic: Topic) -> _Channel:
        channel = _Channel(topic, market)
        channel.symbols = self.symbols_of(market, topic)
        return channel

    def _note_channels(self) -> None:
        wants: dict[tuple[str, str, str], list[tuple[_Channel, Shape]]] = {}
        books: dict[str, list[_Channel]] = {}
        for channel in sorted(self._channels.values(), key=lambda one: one.order):
            for symbol in channel.symbols:
                for shape in channel.shapes:
                    key = shape.channel, symbol, channel.interval
                    wants.setdefault(key, []).append((channel, shape))
                if channel.prefix in _BOOK_TOPICS:
                    books.setdefault(symbol, []).append(channel)
        self._wants, self._books = wants, books

    def _greet(self, channel: _Channel, subscriber: Subscriber) -> None:
        """Send nothing: these topics have no first message."""

    def _latest(self, channel: _Channel, count: int) -> Iterable[Message]:
        for symbol in channel.symbols:
            for row in list(self.states[symbol].trades)[-count:]:
                for shape in channel.shapes:
                    yield _message(channel, row, shape.spell(channel.topic, row))

    # Faults

    def check(self, fault: Fault) -> None:
        """Raise `InvalidInput` for a fault that would change the recorded book."""
        if fault.name in _IMPOSSIBLE:
            raise InvalidInput(
                f"{fault.name} changes a book, and a recording's stays as it was: "
                "inject it into kr.simulate()"
            )

    def strike(self, symbol: str, fault: Fault) -> None:  # noqa: ARG002
        """Raise `InvalidInput`; see ``check``."""
        self.check(fault)


class _Rows:
    """An iterator of rows that shows the next one, ``next``, before it is taken."""

    def __init__(self, batches: Batches) -> None:
        self._rows: Iterator[tuple[str, Row]] = chain.from_iterable(batches)
        self.next = next(self._rows, None)

    def step(self) -> None:
        """Take the next row."""
        self.next = next(self._rows, None)

    def take_like(self, row: Row) -> list[Row]:
        """Take the rows that follow and belong to the same book message."""
        taken: list[Row] = []
        is_one_message = row[3] is not None or row[4]
        while self.next is not None and self.next[0] == "level2" and is_one_message:
            following = self.next[1]
            if following[2:5] != row[2:5] or following[0] != row[0]:
                break
            taken.append(following)
            self.next = next(self._rows, None)
        return taken


def _new_state(offer: Offer, has_fillers: bool) -> RecordedState:
    is_spot = offer.market == "spot"
    book = Book(has_fillers=is_spot or has_fillers, has_single_changes=not is_spot)
    return RecordedState(offer, book)


def _message(channel: _Channel, row: Row, text: str) -> Message:
    # A sequence is always in the fourth column. A row without one is numbered by its arrival.
    number = row[3] if isinstance(row[3], int) else row[1]  # row[1] is the local timestamp
    return Message(channel.topic, number, text.encode(), row[2])  # row[2] is the symbol
