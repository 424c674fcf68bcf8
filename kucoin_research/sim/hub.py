"""The middle of the simulated exchange: engines on one side, topics and subscribers on the other.

No sockets and no threads here: the server drives `Hub.tick` on its loop, and connections hang on as
`Subscriber`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import json
import random
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple, TypeVar

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.sim.accounts import DEMO_ACCOUNT, Account
from kucoin_research.sim.catalog import LISTINGS, Listing
from kucoin_research.sim.clock import SLICE_NS, VirtualClock
from kucoin_research.sim.delivery import Delivery, Readers, Subscriber
from kucoin_research.sim.desk import Desk
from kucoin_research.sim.faults import Message
from kucoin_research.sim.market import BookChange, Event, Market, Submission, Trade
from kucoin_research.sim.messages import Feed, Wire, feed_of
from kucoin_research.sim.pro import PRO_TOPICS, pro_feed_of
from kucoin_research.sim.quiet import quiet_listings
from kucoin_research.sim.topics import PUBLIC_TOPICS, Topic

__all__ = ["Hub", "Settings", "Subscriber", "Tape", "binary_frame", "listings_for", "text_frame"]

_MS = 1_000_000
_CATCH_UP_NS = 1_000_000_000
_TURN = 0.02  # seconds that one piece of work may keep the loop from its sockets
_LOG_LENGTH = 100_000
_TRADE_TOPICS = frozenset({"/contractMarket/execution", "/market/match", "trade"})

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Settings:
    r"""What can be set about the simulated exchange, beyond its seed, speed and addresses.

    Attributes
    ----------
    ping_interval_ms, ping_timeout_ms
        What the token reply tells clients.
    idle_timeout
        Seconds (wall) of client silence before the exchange closes a connection.
    rate_limit, rate_window
        Quota of the public pool per market, and its window in seconds (wall).
    max_topics
        Topics per connection; None for KuCoin's own: 400 on spot, unlimited on futures.
    max_connections
        Connections per market.
    max_messages, message_window
        Client messages allowed in so many seconds (wall); one more closes the connection.
    token_lifetime, connection_lifetime
        Seconds (wall). They belong to the connection, so they do not run with the market's virtual
        clock.
    ack_delay_ms
        Longest delay of an ack (wall); each is drawn at random up to it, so data can come first.
    compression
        Whether permessage-deflate is accepted when the client offers it.
    patience
        Seconds (wall) for which virtual time waits for a reader that takes nothing, before that
        reader's data is dropped as KuCoin does.
    buffer_bytes
        Unsent bytes per connection from which its reader counts as slow.
    spot_fillers
        Whether every third spot book sequence is a price-0 filler, as in the 2021 captures.
    spot_changes_per_frame
        Changes in one spot level 2 frame at most; above 1 they are unordered and overwritten ones
        have no entry.
    spot_resend_depth
        Whether spot depth frames are sent although nothing changed (futures always does).
    candle_add
        Whether a spot candle begins with the undocumented subject ``trade.candles.add``.
    bare_announcements
        Whether funding announcements carry the topic without a symbol even when one was named, as
        in the documents' samples; KuCoin's own SDK does not find such frames.
    kline_page
        Rows in one futures kline reply; sources say 500 or 200.
    pro_idle_timeout
        Seconds (wall) of client silence before a connection of the pro feed without a subscription
        is closed.
    max_pro_topics, max_pro_messages
        Channels per connection of the pro feed, and client messages in ``message_window``.
    states
        What has stopped trading, by symbol: ``{"SOLUSDTM": "Paused"}``. Such a symbol is silent on
        the stream; on futures the word is one of KuCoin's, on spot any but ``Open`` closes a pair.
    warm_up
        Virtual seconds for which a symbol has traded, unseen, when it is first touched; so there
        are recent trades.
    accounts
        The accounts (`Account`) beside the demo account, which is always there.
    private_rate_limit
        Quota of signed calls per market and account; None for KuCoin's own: 4000 on spot, 2000 on
        futures.
    signing_clock
        The clock that signed timestamps are compared with: ``"wall"``, since clients sign with
        their own, or ``"virtual"``.
    journal
        Whether every message that is published is kept, for ``Exchange.journal``; it takes memory
        without bound.
    dead_servers
        How many servers the token reply names, ahead of the one that works, that refuse every
        connection.
    quiet_contracts
        How many synthetic contracts are on offer beside the catalog: ``SIM001USDTM`` and so on,
        USDT-margined perpetuals in which little happens, so that hundreds can be streamed.
    """

    ping_interval_ms: int = 18_000
    ping_timeout_ms: int = 10_000
    idle_timeout: float = 60.0
    rate_limit: int = 2_000
    rate_window: float = 30.0
    max_topics: int | None = None
    max_connections: int = 800
    max_messages: int = 100
    message_window: float = 10.0
    token_lifetime: float = 86_400.0
    connection_lifetime: float = 86_400.0
    ack_delay_ms: int = 0
    compression: bool = True
    patience: float = 1.0
    buffer_bytes: int = 1 << 20
    spot_fillers: bool = True
    spot_changes_per_frame: int = 1
    spot_resend_depth: bool = False
    candle_add: bool = False
    bare_announcements: bool = False
    kline_page: int = 500
    pro_idle_timeout: float = 60.3
    max_pro_topics: int = 600
    max_pro_messages: int = 300
    states: Mapping[str, str] = dataclasses.field(default_factory=dict)
    warm_up: float = 60.0
    accounts: tuple[Account, ...] = ()
    private_rate_limit: int | None = None
    signing_clock: Literal["wall", "virtual"] = "wall"
    journal: bool = False
    dead_servers: int = 0
    quiet_contracts: int = 0

    def __post_init__(self) -> None:
        if self.signing_clock not in ("wall", "virtual"):
            raise InvalidInput(f"no clock {self.signing_clock!r}; clocks: wall, virtual")
        keys = [account.key for account in (DEMO_ACCOUNT, *self.accounts)]
        if len(set(keys)) < len(keys):
            raise InvalidInput("two accounts have the same key, or that of the demo account")
        for name, most in (("dead_servers", 20), ("quiet_contracts", 999)):
            if not 0 <= getattr(self, name) <= most:
                raise InvalidInput(f"{name} must be from 0 to {most}, not {getattr(self, name)}")


class Tape(NamedTuple):
    """What truly happened to one symbol; for comparing with what a client saw.

    Attributes
    ----------
    listing
        The symbol's row of the catalog.
    bids, asks
        The whole book at the start: price in ticks to size in lots.
    first_sequence
        The book sequence at the start.
    changes, trades
        Everything since, in order. Sequences are those on the wire when it was published, spot
        fillers left out.
    rebases
        Where the book's sequence jumped backwards: how many of ``changes`` came before, and the
        book's sequence right after the jump.
    """

    listing: Listing
    bids: dict[int, int]
    asks: dict[int, int]
    first_sequence: int
    changes: list[BookChange]
    trades: list[Trade]
    rebases: tuple[tuple[int, int], ...] = ()

    def book(self, sequence: int) -> tuple[dict[int, int], dict[int, int]]:
        """Rebuild bids and asks, ticks to size, after the change numbered `sequence`.

        A number that was given out twice, before and after a rebase, means the later change.
        """
        sides = {"buy": dict(self.bids), "sell": dict(self.asks)}
        start, end = self._numbering_of(sequence)
        for index, change in enumerate(self.changes[:end]):
            if index >= start and change.sequence > sequence:
                break
            if change.size:
                sides[change.side][change.price_ticks] = change.size
            else:
                sides[change.side].pop(change.price_ticks, None)
        return sides["buy"], sides["sell"]

    def _numbering_of(self, sequence: int) -> tuple[int, int]:
        # Which of `changes` count in the numbering that holds a sequence: the newest that does.
        starts = [(0, self.first_sequence), *self.rebases]
        ends = [*(index for index, _ in self.rebases), len(self.changes)]
        for (start, first), end in reversed(list(zip(starts, ends, strict=True))):
            # A filler may follow the last change.
            last = self.changes[end - 1].sequence + 1 if end > start else first
            if first <= sequence <= last:
                return start, end
        return starts[-1][0], ends[-1]


class _Channel:
    """One public topic that somebody listens to, or was made to stop listening to."""

    def __init__(self, topic: Topic, market: str) -> None:
        self.topic = topic.text
        self.market = market
        self.is_pro = topic.prefix in PRO_TOPICS
        self.frame = binary_frame if self.is_pro else text_frame
        order = PRO_TOPICS if self.is_pro else PUBLIC_TOPICS[market]
        self.order = (self.is_pro, order.index(topic.prefix), self.topic)
        self.is_of_trades = topic.prefix in _TRADE_TOPICS
        self.readers = Readers(market, self.topic)
        self.feeds: dict[str, Feed] = {}


class _Watch:
    """One engine that moves, who listens to it, and when it next has something to do."""

    def __init__(self, engine: Market, *, is_lively: bool) -> None:
        self.engine = engine
        self.is_lively = is_lively  # an account is engaged in it: something may happen at any time
        self.feeds: list[tuple[_Channel, Feed]] = []
        self.needs_instants = False
        self.wake_ns = 0
        self._periods: set[int] = set()

    def add(self, channel: _Channel, feed: Feed) -> None:
        self.feeds.append((channel, feed))
        self.needs_instants = self.needs_instants or feed.needs_instants
        self._periods.add(feed.period_ns)

    def rest(self, now_ns: int) -> None:
        """Sleep until the next action or grid point; nothing is missed before."""
        if not self.is_lively:
            grids = [now_ns - now_ns % period + period for period in self._periods]
            self.wake_ns = min([self.engine.next_action_ns, *grids])


def text_frame(payload: bytes) -> bytes:
    """Build the WebSocket text frame of a payload, unmasked as servers send it (RFC 6455, 5.2)."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """Build the binary frame of a payload, as the pro feed sends its JSON."""
    return _frame(0x82, payload)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


class Hub:
    """Engines, topics, faults and logs of one exchange.

    Runs on one thread. An engine starts at the virtual time at which its symbol is first touched,
    and moves only while somebody listens to it or asks for it, so unwatched symbols cost nothing.

    Parameters
    ----------
    seed
        Seed of all order flow.
    clock
        Virtual time.
    listings
        The symbols on offer.
    settings
        The rest.
    """

    def __init__(
        self, seed: int, clock: VirtualClock, listings: dict[str, Listing], settings: Settings
    ) -> None:
        self.seed = seed
        self.clock = clock
        self.listings = listings
        self.settings = settings
        for symbol in settings.states:
            if symbol not in listings:
                raise UnknownSymbol(f"states: no symbol {symbol!r}; symbols: {', '.join(listings)}")
        self.random = random.Random(seed)
        self.is_held = False  # paused by hand: a subscription does not start the clock
        self.requests: deque[tuple[str, str]] = deque(maxlen=_LOG_LENGTH)
        self.delivery = Delivery(clock, seed, has_journal=settings.journal)
        self._wire = Wire(
            seed=seed,
            spot_fillers=settings.spot_fillers,
            spot_changes_per_frame=settings.spot_changes_per_frame,
            spot_resend_depth=settings.spot_resend_depth,
            candle_add=settings.candle_add,
            bare_announcements=settings.bare_announcements,
        )
        self._engines: dict[str, Market] = {}
        self._engine_starts: dict[str, tuple[int, int]] = {}
        # What accounts and faults did to an engine and when: `tape` does it again.
        self._deeds: dict[str, list[tuple[int, Callable[[Market], Submission]]]] = {}
        self._listeners: dict[tuple[str, str, str], Readers] = {}
        self._interests: set[str] = set()
        self._channels: dict[tuple[str, str], _Channel] = {}
        self._watches: dict[str, _Watch] = {}
        self._is_stale = False  # `_watches` no longer fits the channels
        self._connections = 0
        # What is to be done at a virtual time, and what so long after the first subscription.
        self._jobs: list[tuple[int, int, Callable[[], None]]] = []
        self._plans: list[tuple[int, Callable[[], None]]] = []
        self._job_number = 0
        self.first_subscription_ns: int | None = None
        self.desk = Desk(self, (DEMO_ACCOUNT, *settings.accounts))

    # Engines

    def engine(self, symbol: str) -> Market:
        """Give the symbol's engine, which starts now if this is the first touch."""
        engine = self._engines.get(symbol)
        if engine is None:
            touched_ns = self.clock.reached_ns
            start_ns = touched_ns - int(self.settings.warm_up * 1e9)
            engine = Market(self.listings[symbol], self.seed, start_ns)
            engine.advance(touched_ns)
            self._engines[symbol] = engine
            self._engine_starts[symbol] = start_ns, touched_ns
        return engine

    def caught_up(self, symbol: str) -> Market:
        """Give the symbol's engine, advanced to the current virtual time."""
        engine = self.engine(symbol)
        if engine.now_ns < self.clock.reached_ns:
            engine.advance(self.clock.reached_ns)
        return engine

    async def catch_up(self, symbols: Iterable[str], patience: float | None = None) -> None:
        """Bring engines to the current virtual time, leaving turns to the sockets meanwhile.

        After `patience` seconds those that are not there yet stay where they are.
        """
        began = perf_counter()
        deadline = began + _TURN
        target_ns = self.clock.reached_ns
        for symbol in symbols:
            engine = self.engine(symbol)
            while engine.now_ns < target_ns:
                if patience is not None and perf_counter() > began + patience:
                    return
                engine.advance(min(target_ns, engine.now_ns + _CATCH_UP_NS))
                if perf_counter() > deadline:
                    await asyncio.sleep(0)
                    deadline = perf_counter() + _TURN

    async def in_turns(self, work: Generator[None, None, _T]) -> _T:
        """Finish work that is cut into steps, leaving turns to the sockets between them."""
        deadline = perf_counter() + _TURN
        while True:
            try:
                next(work)
            except StopIteration as done:
                result: _T = done.value
                return result
            if perf_counter() > deadline:
                await asyncio.sleep(0)
                deadline = perf_counter() + _TURN

    def state(self, symbol: str) -> str:
        """Tell whether a symbol trades: ``Open``, or the word that was set for it."""
        if symbol in self.delivery.delisted():
            return "Closed"
        return self.settings.states.get(symbol, "Open")

    def book_sequence(self, engine: Market) -> int:
        """Give the wire's number of the engine's current book."""
        return self._wire.book_sequence(engine)

    def order(self, symbol: str, action: Callable[[Market], Submission]) -> Submission:
        """Do something to an engine's book for an account: streams, tape and REST will show it.

        The action is done again on the tape's own engine, so it must depend on nothing else.
        """
        engine = self.caught_up(symbol)
        done = action(engine)
        self._deeds.setdefault(symbol, []).append((engine.now_ns, action))
        watch = self._watched().get(symbol)
        if watch is not None:
            self._publish(done.events, watch.feeds)
            watch.wake_ns = 0
        return done

    def frame_id(self, name: str, time_ns: int) -> str:
        """Make the 24-hex id of a frame, the same in every run."""
        return self._wire.frame_id(name, time_ns)

    def tape(self, symbol: str) -> Tape:
        """Replay the symbol from its first touch to now, on a second engine of its own."""
        if symbol not in self.listings:
            raise UnknownSymbol(f"no symbol {symbol!r}; symbols: {', '.join(self.listings)}")
        latest = self.caught_up(symbol)
        start_ns, touched_ns = self._engine_starts[symbol]
        engine = Market(self.listings[symbol], self.seed, start_ns)
        engine.advance(touched_ns)
        bids, asks = dict(engine.levels("buy", None)), dict(engine.levels("sell", None))
        first_sequence = self._wire.book_sequence(engine)
        events: list[Event] = []
        rebases: list[tuple[int, int]] = []
        for time_ns, action in self._deeds.get(symbol, ()):
            events += engine.advance(time_ns)
            before = engine.sequence
            events += action(engine).events
            if engine.sequence < before:
                changes = sum(isinstance(event, BookChange) for event in events)
                rebases.append((changes, self._wire.book_sequence(engine)))
        events += engine.advance(latest.now_ns)
        wire = self._wire
        return Tape(
            self.listings[symbol],
            bids,
            asks,
            first_sequence,
            [
                event._replace(sequence=wire.change_sequence(engine, event.sequence))
                for event in events
                if isinstance(event, BookChange)
            ],
            [event for event in events if isinstance(event, Trade)],
            tuple(rebases),
        )

    # Topics

    def symbols_of(self, market: str, topic: Topic) -> list[str]:
        """List the symbols that feed a topic; none if its symbol is unknown: it stays silent."""
        if topic.prefix == "/contract/announcement" and not topic.suffix:
            return self._on_stream(market)
        if topic.prefix == "/market/ticker" and topic.suffix == "all":
            return self._on_stream(market)
        if topic.prefix == "/market/snapshot" and "-" not in topic.suffix:
            return [s for s in self._on_stream(market) if self.listings[s].zone == topic.suffix]
        return [topic.suffix] if self._is_on_stream(market, topic.suffix) else []

    def _on_stream(self, market: str) -> list[str]:
        return [symbol for symbol in self.listings if self._is_on_stream(market, symbol)]

    def _is_on_stream(self, market: str, symbol: str) -> bool:
        # What a fault has delisted is still made, and withheld: it may come back.
        row = self.listings.get(symbol)
        state = self.settings.states.get(symbol, "Open")
        return row is not None and row.market == market and state in ("Open", "CancelOnly")

    def next_connection(self) -> int:
        """Count a new connection; give its number."""
        self._connections += 1
        return self._connections

    def subscribe(self, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Add a subscriber to a topic; the first one of all starts the clock."""
        key = market, topic.text
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = self._make_channel(market, topic)
        for symbol, feed in channel.feeds.items():
            for sequence, text in feed.on_subscribe(self.clock.reached_ns):
                message = Message(channel.topic, sequence, text.encode(), symbol)
                self.delivery.emit(channel.readers, message, channel.frame, subscriber)
        if channel.is_of_trades:
            self._repeat_executions(channel, subscriber)
        self.delivery.come(channel.readers, subscriber)
        self._begin()

    def renew(self, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Take note that a subscriber has subscribed to a topic again."""
        channel = self._channels.get((market, topic.text))
        if channel is not None:
            self.delivery.come(channel.readers, subscriber)

    def _make_channel(self, market: str, topic: Topic) -> _Channel:
        channel = _Channel(topic, market)
        make = pro_feed_of if channel.is_pro else feed_of
        for symbol in self.symbols_of(market, topic):
            feed = make(topic, self.caught_up(symbol), self._wire)
            if feed is not None:
                channel.feeds[symbol] = feed
        self._is_stale = True
        return channel

    def _begin(self) -> None:
        if self.first_subscription_ns is None:
            self.first_subscription_ns = self.clock.reached_ns
            plans, self._plans = self._plans, []
            for after_ns, call in plans:
                self.at(self.first_subscription_ns + after_ns, call)
        if not self.is_held:
            self.clock.start()

    def _repeat_executions(self, channel: _Channel, subscriber: Subscriber) -> None:
        count = self.delivery.repeats(channel.market, channel.topic)
        for symbol, feed in channel.feeds.items() if count else ():
            repeated = list(feed.on_events(list(feed.engine.trades)[-count:]))
            missed = self.delivery.take_back(channel.topic, {number for number, _ in repeated})
            for sequence, text in repeated:
                state = "" if sequence in missed else "again"
                message = Message(channel.topic, sequence, text.encode(), symbol, state)
                self.delivery.emit(channel.readers, message, channel.frame, subscriber)

    def unsubscribe(
        self, market: str, topic: Topic, subscriber: Subscriber, reason: str = ""
    ) -> None:
        """Take a subscriber from a topic, by its own will or for a `reason`.

        The last one ends its formatting, unless there is a reason: then what is published further
        is told as withheld, until somebody subscribes again.
        """
        channel = self._channels.get((market, topic.text))
        if channel is None:
            return
        self.delivery.go(channel.readers, subscriber, reason)
        if not channel.readers.is_wanted:
            del self._channels[market, topic.text]
            self._is_stale = True

    def listen(self, user_id: str, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Add a subscriber to a private topic of an account."""
        key = user_id, market, topic.text
        readers = self._listeners.setdefault(key, Readers(market, topic.text))
        self.delivery.come(readers, subscriber)
        self._begin()

    def unlisten(
        self, user_id: str, market: str, topic: Topic, subscriber: Subscriber, reason: str = ""
    ) -> None:
        """Take a subscriber from a private topic; see `unsubscribe`."""
        readers = self._listeners.get((user_id, market, topic.text))
        if readers is not None:
            self.delivery.go(readers, subscriber, reason)

    def lose(self, market: str, messages: Iterable[Message], reason: str, number: int) -> None:
        """Tell of messages that a connection, gone from its topics, had been sent in vain."""
        for message in messages:
            channel = self._channels.get((market, message.topic))
            others = channel.readers.subscribers if channel is not None else {}
            self.delivery.note_withheld(
                reason, message, connection=number, reached_others=bool(others)
            )

    def topics(self, market: str | None = None) -> list[str]:
        """List the public topics that are subscribed to, in alphabetical order."""
        return sorted(
            topic
            for (where, topic), channel in self._channels.items()
            if market in (None, where) and channel.readers.subscribers
        )

    def streamed(self, market: str | None = None) -> list[str]:
        """List the symbols that somebody listens to, in alphabetical order."""
        return sorted(
            symbol
            for symbol, watch in self._watched().items()
            if watch.feeds and market in (None, self.listings[symbol].market)
        )

    def watch(self) -> None:
        """Look again at which engines have to move."""
        interests = self.desk.interests()
        if interests != self._interests:
            self._interests = interests
            self._is_stale = True

    def _watched(self) -> dict[str, _Watch]:
        # The catalog's order, then the order of PUBLIC_TOPICS: frames leave in the same order
        # whoever subscribed first.
        if self._is_stale:
            self._is_stale = False
            symbols = {symbol for channel in self._channels.values() for symbol in channel.feeds}
            self._watches = {
                symbol: _Watch(self.caught_up(symbol), is_lively=symbol in self._interests)
                for symbol in self.listings
                if symbol in symbols or symbol in self._interests
            }
            for channel in sorted(self._channels.values(), key=lambda one: one.order):
                for symbol, feed in channel.feeds.items():
                    self._watches[symbol].add(channel, feed)
        return self._watches

    # Time

    def at(self, time_ns: int, call: Callable[[], None]) -> None:
        """Have something done when everything up to a virtual time has happened."""
        self._job_number += 1
        heapq.heappush(self._jobs, (-(-time_ns // SLICE_NS) * SLICE_NS, self._job_number, call))

    def plan(self, after_ns: int, call: Callable[[], None]) -> None:
        """Have something done so long after the first subscription."""
        if self.first_subscription_ns is None:
            self._plans.append((after_ns, call))
        else:
            self.at(self.first_subscription_ns + after_ns, call)

    def tick(self) -> bool:
        """Let happen what is due, for one turn at most; True if more is due."""
        clock = self.clock
        target = clock.target_ns // SLICE_NS * SLICE_NS
        deadline = perf_counter() + _TURN
        while clock.reached_ns < target:
            self._run_jobs()
            if self._watched() or self.desk.has_debts:
                until = (clock.reached_ns // SLICE_NS + 1) * SLICE_NS
                self._slice(until)
            else:
                until = min([target, *(time_ns for time_ns, _, _ in self._jobs[:1])])
            clock.reach(until)
            if perf_counter() > deadline:
                return clock.reached_ns < target
        return False

    def _run_jobs(self) -> None:
        while self._jobs and self._jobs[0][0] <= self.clock.reached_ns:
            _, _, call = heapq.heappop(self._jobs)
            call()

    def _slice(self, until_ns: int) -> None:
        for watch in list(self._watched().values()):
            if watch.wake_ns <= until_ns:
                self._move(watch, until_ns)
                watch.rest(until_ns)
        self.desk.on_grid(until_ns)

    def _move(self, watch: _Watch, until_ns: int) -> None:
        engine, feeds = watch.engine, watch.feeds
        if watch.needs_instants:
            # Everything happens on whole milliseconds, so each step shows the state of one instant.
            while engine.next_action_ns <= until_ns:
                self._pass_on(engine.advance(engine.next_action_ns), feeds)
        self._pass_on(engine.advance(until_ns), feeds)
        if watch.is_lively:
            self.desk.act(engine.listing.symbol, engine, until_ns)
        for channel, feed in feeds:
            if not until_ns % feed.period_ns:
                for sequence, text in feed.on_grid(until_ns):
                    message = Message(channel.topic, sequence, text.encode(), feed.symbol)
                    self.delivery.emit(channel.readers, message, channel.frame)

    def _pass_on(self, events: list[Event], feeds: list[tuple[_Channel, Feed]]) -> None:
        if events:
            self._publish(events, feeds)
            self.desk.on_events(events)

    def _publish(self, events: list[Event], feeds: list[tuple[_Channel, Feed]]) -> None:
        if not events:
            return
        for channel, feed in feeds:
            for sequence, text in feed.on_events(events):
                message = Message(channel.topic, sequence, text.encode(), feed.symbol)
                self.delivery.emit(channel.readers, message, channel.frame)

    def emit_private(
        self, user_id: str, market: str, listened: str, frame: dict[str, Any], time_ns: int
    ) -> None:
        """Send a frame to the listeners of an account's topic; `listened` is what they asked for.

        Faults know it by the topic it carries, and by its time.
        """
        readers = self._listeners.get((user_id, market, listened))
        if readers is not None and readers.is_wanted:
            payload = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
            self.delivery.emit(readers, Message(frame["topic"], time_ns, payload), text_frame)

    # Faults of books and contracts

    def rebase(self, symbol: str, by: int) -> None:
        """Let a book's sequence jump backwards, on the wire by `by`.

        On spot with fillers by the next multiple of three below, so that those keep their places.
        """
        engine = self.caught_up(symbol)
        has_fillers = engine.listing.market == "spot" and self.settings.spot_fillers
        step = by // 3 * 2 if has_fillers else by
        before = self.book_sequence(engine)
        self.order(symbol, lambda one: one.rebase(step))
        shift = before - self.book_sequence(engine)
        watch = self._watched().get(symbol)
        for _, feed in watch.feeds if watch is not None else ():
            feed.on_rebase(shift)

    def cross(self, symbol: str, seconds: float) -> None:
        """Let a bid stand above the best ask, on the wire, for so many virtual seconds."""
        self.order(symbol, lambda engine: engine.cross())
        until_ns = self.clock.reached_ns + int(seconds * 1e9)
        self.at(until_ns, lambda: self._uncross(symbol))

    def _uncross(self, symbol: str) -> None:
        self.order(symbol, lambda engine: engine.uncross())


def listings_for(symbols: Iterable[str] | str | None, quiet: int = 0) -> dict[str, Listing]:
    """Choose rows of the catalog, and add `quiet` synthetic contracts.

    Raises
    ------
    UnknownSymbol
        If a symbol is not in the catalog.
    """
    added = quiet_listings(quiet)
    if symbols is None:
        return LISTINGS | added
    wanted = [symbols] if isinstance(symbols, str) else list(symbols)
    for symbol in wanted:
        if symbol not in LISTINGS and symbol not in added:
            raise UnknownSymbol(f"no symbol {symbol!r}; symbols: {', '.join(LISTINGS)}")
    if not wanted:
        raise InvalidInput("no symbols: leave `symbols` out to offer the whole catalog")
    return {symbol: LISTINGS[symbol] for symbol in wanted if symbol in LISTINGS} | added
