"""The middle of the simulated exchange: engines on one side, topics and subscribers on the other.

No sockets and no threads here: the server drives `Hub.tick` on its loop, and connections hang on as
`Subscriber`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal, NamedTuple, Protocol

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.sim.accounts import DEMO_ACCOUNT, Account
from kucoin_research.sim.catalog import LISTINGS, Listing
from kucoin_research.sim.clock import SLICE_NS, VirtualClock
from kucoin_research.sim.desk import Desk
from kucoin_research.sim.faults import (
    HTTP_FAULTS,
    MESSAGE_FAULTS,
    PING_FAULTS,
    Applied,
    ArmedFault,
    Fault,
    Message,
    Withheld,
)
from kucoin_research.sim.market import BookChange, Event, Market, Submission, Trade
from kucoin_research.sim.messages import Feed, Wire, feed_of
from kucoin_research.sim.pro import PRO_TOPICS, pro_feed_of
from kucoin_research.sim.topics import PUBLIC_TOPICS, Topic

__all__ = ["Hub", "Settings", "Subscriber", "Tape", "binary_frame", "listings_for", "text_frame"]

_MS = 1_000_000
_CATCH_UP_NS = 1_000_000_000
_TURN = 0.02  # seconds that one piece of work may keep the loop from its sockets
_LOG_LENGTH = 100_000


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
    warm_up: float = 60.0
    accounts: tuple[Account, ...] = ()
    private_rate_limit: int | None = None
    signing_clock: Literal["wall", "virtual"] = "wall"

    def __post_init__(self) -> None:
        if self.signing_clock not in ("wall", "virtual"):
            raise InvalidInput(f"no clock {self.signing_clock!r}; clocks: wall, virtual")
        keys = [account.key for account in (DEMO_ACCOUNT, *self.accounts)]
        if len(set(keys)) < len(keys):
            raise InvalidInput("two accounts have the same key, or that of the demo account")


class Subscriber(Protocol):
    """What the hub needs of a connection."""

    def push(self, message: Message, frame: bytes) -> bool:
        """Queue one data frame; False if its reader is too slow, so that it is dropped."""


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
        Everything since, in order. Sequences are those on the wire, spot fillers left out.
    """

    listing: Listing
    bids: dict[int, int]
    asks: dict[int, int]
    first_sequence: int
    changes: list[BookChange]
    trades: list[Trade]

    def book(self, sequence: int) -> tuple[dict[int, int], dict[int, int]]:
        """Rebuild bids and asks, ticks to size, after the change numbered `sequence`."""
        sides = {"buy": dict(self.bids), "sell": dict(self.asks)}
        for change in self.changes:
            if change.sequence > sequence:
                break
            if change.size:
                sides[change.side][change.price_ticks] = change.size
            else:
                sides[change.side].pop(change.price_ticks, None)
        return sides["buy"], sides["sell"]


class _Channel:
    """One topic that somebody listens to."""

    def __init__(self, topic: Topic, market: str) -> None:
        self.topic = topic.text
        self.market = market
        self.is_pro = topic.prefix in PRO_TOPICS
        self.frame = binary_frame if self.is_pro else text_frame
        order = PRO_TOPICS if self.is_pro else PUBLIC_TOPICS[market]
        self.order = (self.is_pro, order.index(topic.prefix), self.topic)
        self.subscribers: dict[Subscriber, None] = {}
        self.feeds: dict[str, Feed] = {}


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
        self.random = random.Random(seed)
        self.is_held = False  # paused by hand: a subscription does not start the clock
        self.requests: deque[tuple[str, str]] = deque(maxlen=_LOG_LENGTH)
        self.withheld: deque[Withheld] = deque(maxlen=_LOG_LENGTH)
        self.fault_log: deque[Applied] = deque(maxlen=_LOG_LENGTH)
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
        # What accounts did to an engine and when: `tape` does it again.
        self._journals: dict[str, list[tuple[int, Callable[[Market], Submission]]]] = {}
        self._listeners: dict[tuple[str, str, str], dict[Subscriber, None]] = {}
        self._interests: set[str] = set()
        self._channels: dict[tuple[str, str], _Channel] = {}
        self._watched: list[tuple[Market, list[tuple[_Channel, Feed]], bool]] = []
        self._message_faults: list[ArmedFault] = []
        self._other_faults: list[ArmedFault] = []
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

    async def catch_up(self, symbols: Iterable[str]) -> None:
        """Bring engines to the current virtual time, leaving turns to the sockets meanwhile."""
        deadline = perf_counter() + _TURN
        for symbol in symbols:
            engine = self.engine(symbol)
            while engine.now_ns < self.clock.reached_ns:
                engine.advance(min(self.clock.reached_ns, engine.now_ns + _CATCH_UP_NS))
                if perf_counter() > deadline:
                    await asyncio.sleep(0)
                    deadline = perf_counter() + _TURN

    def book_sequence(self, engine: Market) -> int:
        """Give the wire's number of the engine's current book."""
        return self._wire.book_sequence(engine)

    def order(self, symbol: str, action: Callable[[Market], Submission]) -> Submission:
        """Do something to an engine's book for an account: streams, tape and REST will show it.

        The action is done again on the tape's own engine, so it must depend on nothing else.
        """
        engine = self.caught_up(symbol)
        done = action(engine)
        self._journals.setdefault(symbol, []).append((engine.now_ns, action))
        feeds = [feeds for watched, feeds, _ in self._watched if watched is engine]
        if feeds:
            self._publish(done.events, feeds[0])
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
        for time_ns, action in self._journals.get(symbol, ()):
            events += engine.advance(time_ns)
            events += action(engine).events
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
        )

    # Topics

    def symbols_of(self, market: str, topic: Topic) -> list[str]:
        """List the symbols that feed a topic; none if its symbol is unknown: it stays silent."""
        listed = [symbol for symbol, row in self.listings.items() if row.market == market]
        if topic.prefix == "/contract/announcement" and not topic.suffix:
            return listed
        if topic.prefix == "/market/ticker" and topic.suffix == "all":
            return listed
        if topic.prefix == "/market/snapshot" and "-" not in topic.suffix:
            return [s for s in listed if self.listings[s].zone == topic.suffix]
        return [topic.suffix] if topic.suffix in listed else []

    def subscribe(self, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Add a subscriber to a topic; the first one of all starts the clock."""
        channel = self._channels.get((market, topic.text))
        if channel is None:
            channel = _Channel(topic, market)
            make = pro_feed_of if channel.is_pro else feed_of
            for symbol in self.symbols_of(market, topic):
                feed = make(topic, self.caught_up(symbol), self._wire)
                if feed is not None:
                    channel.feeds[symbol] = feed
            self._channels[market, topic.text] = channel
            self._watch()
        for feed in channel.feeds.values():
            for sequence, text in feed.on_subscribe(self.clock.reached_ns):
                message = Message(channel.topic, sequence, text.encode())
                self._emit(market, [subscriber], message, channel.frame)
        channel.subscribers[subscriber] = None
        if not self.is_held:
            self.clock.start()

    def unsubscribe(self, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Take a subscriber from a topic; the last one ends its formatting."""
        channel = self._channels.get((market, topic.text))
        if channel is None:
            return
        channel.subscribers.pop(subscriber, None)
        if not channel.subscribers:
            del self._channels[market, topic.text]
            self._watch()

    def listen(self, user_id: str, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Add a subscriber to a private topic of an account."""
        key = user_id, market, topic.text
        self._listeners.setdefault(key, {})[subscriber] = None
        if not self.is_held:
            self.clock.start()

    def unlisten(self, user_id: str, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Take a subscriber from a private topic."""
        self._listeners.get((user_id, market, topic.text), {}).pop(subscriber, None)

    def watch(self) -> None:
        """Look again at which engines have to move."""
        interests = self.desk.interests()
        if interests != self._interests:
            self._interests = interests
            self._watch()

    def _watch(self) -> None:
        # The catalog's order, then the order of PUBLIC_TOPICS: frames leave in the same order
        # whoever subscribed first.
        channels = sorted(self._channels.values(), key=lambda channel: channel.order)
        self._watched = []
        for symbol in self.listings:
            feeds = [(c, c.feeds[symbol]) for c in channels if symbol in c.feeds]
            if feeds or symbol in self._interests:
                needs_instants = any(feed.needs_instants for _, feed in feeds)
                self._watched.append((self.caught_up(symbol), feeds, needs_instants))

    # Time

    @property
    def is_busy(self) -> bool:
        """Whether anybody listens."""
        return bool(self._watched)

    def tick(self) -> bool:
        """Let happen what is due, for one turn at most; True if more is due."""
        clock = self.clock
        target = clock.target_ns // SLICE_NS * SLICE_NS
        if not self._watched and not self.desk.has_debts:
            clock.reach(max(clock.reached_ns, target))
            return False
        deadline = perf_counter() + _TURN
        until = (clock.reached_ns // SLICE_NS + 1) * SLICE_NS
        while until <= target:
            self._slice(until)
            clock.reach(until)
            if perf_counter() > deadline:
                return True
            until += SLICE_NS
        return False

    def _slice(self, until_ns: int) -> None:
        for engine, feeds, needs_instants in self._watched:
            if needs_instants:
                # Everything happens on whole milliseconds, so each step shows the state of one
                # instant.
                for time_ns in range(until_ns - SLICE_NS + _MS, until_ns + 1, _MS):
                    self._pass_on(engine.advance(time_ns), feeds)
            else:
                self._pass_on(engine.advance(until_ns), feeds)
            self.desk.act(engine.listing.symbol, engine, until_ns)
            for channel, feed in feeds:
                if not until_ns % feed.period_ns:
                    for sequence, text in feed.on_grid(until_ns):
                        message = Message(channel.topic, sequence, text.encode())
                        self._emit(channel.market, channel.subscribers, message, channel.frame)
        self.desk.on_grid(until_ns)

    def _pass_on(self, events: list[Event], feeds: list[tuple[_Channel, Feed]]) -> None:
        if events:
            self._publish(events, feeds)
            self.desk.on_events(events)

    def _publish(self, events: list[Event], feeds: list[tuple[_Channel, Feed]]) -> None:
        if not events:
            return
        for channel, feed in feeds:
            for sequence, text in feed.on_events(events):
                message = Message(channel.topic, sequence, text.encode())
                self._emit(channel.market, channel.subscribers, message, channel.frame)

    def emit_private(
        self, user_id: str, market: str, listened: str, frame: dict[str, Any], time_ns: int
    ) -> None:
        """Send a frame to the listeners of an account's topic; `listened` is what they asked for.

        Faults know it by the topic it carries, and by its time.
        """
        subscribers = self._listeners.get((user_id, market, listened))
        if subscribers:
            payload = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
            self._emit(market, subscribers, Message(frame["topic"], time_ns, payload))

    def _emit(
        self,
        market: str,
        subscribers: Iterable[Subscriber],
        message: Message,
        frame_of: Callable[[bytes], bytes] = text_frame,
    ) -> None:
        messages = [message]
        if self._message_faults:
            messages = self._through_faults(market, message)
        for message in messages:
            frame = frame_of(message.payload)
            for subscriber in subscribers:
                if not subscriber.push(message, frame):
                    self._note_withheld("slow_reader", message)

    # Faults

    def arm(self, fault: Fault) -> None:
        """Put a message, ping or HTTP fault in its place."""
        faults = self._message_faults if fault.name in MESSAGE_FAULTS else self._other_faults
        faults.append(ArmedFault(fault))

    def heal(self) -> None:
        """Take all faults away; messages they still held are told as withheld."""
        for armed in self._message_faults:
            for message in armed.held:
                self._note_withheld(armed.fault.name, message)
        self._message_faults.clear()
        self._other_faults.clear()

    def note_fault(self, fault: Fault, market: str, topic: str = "", sequence: int = 0) -> None:
        """Log one application of a fault."""
        self.fault_log.append(Applied(self.clock.now_ns, fault.name, market, topic, sequence))

    def mutes_pong(self, market: str) -> bool:
        """Tell whether the answer to a ping is withheld."""
        return self._strike(market, PING_FAULTS) is not None

    def http_fault(
        self, market: str, path: str, names: frozenset[str] = HTTP_FAULTS
    ) -> Fault | None:
        """Give the fault that strikes this request, if one does."""
        return self._strike(market, names, path=path)

    def _strike(
        self, market: str, names: frozenset[str], *, path: str | None = None
    ) -> Fault | None:
        for armed in self._other_faults:
            if armed.fault.name in names and armed.strikes(market, path=path):
                self.note_fault(armed.fault, market)
                if armed.is_spent:
                    self._other_faults.remove(armed)
                return armed.fault
        return None

    def _through_faults(self, market: str, message: Message) -> list[Message]:
        messages = [message]
        for armed in list(self._message_faults):
            passed: list[Message] = []
            for one in messages:
                passed += self._through_fault(armed, market, one)
            messages = passed
            if armed.is_spent:
                self._message_faults.remove(armed)
        return messages

    def _through_fault(self, armed: ArmedFault, market: str, message: Message) -> list[Message]:
        if not armed.strikes(market, topic=message.topic):
            released = [held for held in armed.held if held.topic == message.topic]
            armed.held = [held for held in armed.held if held.topic != message.topic]
            return [message, *released]
        self.note_fault(armed.fault, market, message.topic, message.sequence)
        messages = MESSAGE_FAULTS[armed.fault.name](armed, message)
        if not messages and message not in armed.held:
            self._note_withheld(armed.fault.name, message)
        return messages

    def _note_withheld(self, reason: str, message: Message) -> None:
        self.withheld.append(Withheld(self.clock.now_ns, reason, message.topic, message.sequence))


def listings_for(symbols: Iterable[str] | str | None) -> dict[str, Listing]:
    """Choose rows of the catalog.

    Raises
    ------
    UnknownSymbol
        If a symbol is not in the catalog.
    """
    if symbols is None:
        return dict(LISTINGS)
    wanted = [symbols] if isinstance(symbols, str) else list(symbols)
    for symbol in wanted:
        if symbol not in LISTINGS:
            raise UnknownSymbol(f"no symbol {symbol!r}; symbols: {', '.join(LISTINGS)}")
    if not wanted:
        raise InvalidInput("no symbols: leave `symbols` out to offer the whole catalog")
    return {symbol: LISTINGS[symbol] for symbol in wanted}
