"""The core of a simulated exchange: engines on one side, topics and subscribers on the other."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.sim.accounts.keys import DEMO_ACCOUNT
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.order_entry import OrderEntry
from kucoin_research.sim.engine.catalog import LISTINGS, Listing
from kucoin_research.sim.engine.clock import SLICE_NS, VirtualClock, named
from kucoin_research.sim.engine.market import Event, Market, Submission
from kucoin_research.sim.engine.more_contracts import contract_listings
from kucoin_research.sim.engine.quiet_contracts import quiet_listings
from kucoin_research.sim.faults.delivery import Subscriber
from kucoin_research.sim.faults.kinds import Fault, Message
from kucoin_research.sim.messages.classic import feed_of
from kucoin_research.sim.messages.feed import Feed, Wire
from kucoin_research.sim.messages.pro import pro_feed_of
from kucoin_research.sim.messages.topics import Topic
from kucoin_research.sim.server.core import Channel, ExchangeCore
from kucoin_research.sim.server.engine_pool import EnginePool, Work
from kucoin_research.sim.server.settings import Settings
from kucoin_research.sim.server.tape import Tape, TimedAction, make_tape
from kucoin_research.sim.server.wire_frames import text_frame

__all__ = ["MarketCore", "listings_for"]

# Share of a turn for engines that nobody watches.
_IDLE_SHARE = 0.1

# The frames of these topics describe the last 24 hours.
_DAILY_TOPICS = frozenset({"/contractMarket/snapshot", "/market/snapshot"})


class _Channel(Channel):
    """A channel with the feeds that make its frames, by symbol."""

    def __init__(self, topic: Topic, market: str) -> None:
        super().__init__(topic, market)
        self.feeds: dict[str, Feed] = {}


class _Watch:
    """One engine that advances with virtual time: its feeds, and the time of its next action."""

    def __init__(self, engine: Market, *, is_lively: bool) -> None:
        self.engine = engine
        self.is_lively = is_lively  # an account trades in it: something may happen at any time
        self.feeds: list[tuple[_Channel, Feed]] = []
        self.hearing: list[tuple[_Channel, Feed]] = []  # the `feeds` that use events
        self.needs_instants = False
        self.wake_ns = 0
        self._periods: set[int] = set()

    def add(self, channel: _Channel, feed: Feed) -> None:
        self.feeds.append((channel, feed))
        if type(feed).on_events is not Feed.on_events:
            self.hearing.append((channel, feed))
        self.needs_instants = self.needs_instants or feed.needs_instants
        self._periods.add(feed.period_ns)

    def rest(self, now_ns: int) -> None:
        """Sleep until the engine's next action or a feed's next grid point."""
        if not self.is_lively:
            grids = [now_ns - now_ns % period + period for period in self._periods]
            self.wake_ns = min([self.engine.next_action_ns, *grids])


class MarketCore(ExchangeCore[_Channel]):
    """Makes one exchange's data from simulated order flow, one engine per symbol.

    It runs on one thread. An engine starts at the virtual time of its symbol's first touch; before,
    it costs nothing. It advances while somebody listens to it or asks for it. If virtual time is
    the machine's present, it is never far behind, so that it answers soon after hours in which
    nobody asked.

    Parameters
    ----------
    seed
        Seed of all order flow.
    clock
        Virtual time.
    listings
        The symbols on offer.
    settings
        All other choices.
    make_engine
        Makes the engine of a listing, of a seed, that starts at a virtual time in ns.
    """

    def __init__(
        self,
        seed: int,
        clock: VirtualClock,
        listings: dict[str, Listing],
        settings: Settings,
        make_engine: Callable[[Listing, int, int], Market] = Market,
    ) -> None:
        super().__init__(seed, clock, settings)
        self.listings: Mapping[str, Listing] = listings
        for symbol in settings.states:
            if symbol not in listings:
                raise UnknownSymbol(
                    f"states: no symbol {shown(symbol)}; symbols: {', '.join(listings)}"
                )
        self._wire = Wire(
            seed=seed,
            spot_fillers=settings.spot_fillers,
            spot_changes_per_frame=settings.spot_changes_per_frame,
            spot_resend_depth=settings.spot_resend_depth,
            candle_add=settings.candle_add,
            bare_announcements=settings.bare_announcements,
            number_market_snapshots=settings.number_market_snapshots,
        )
        self._engines = EnginePool(seed, clock, listings, int(settings.warm_up * 1e9), make_engine)
        # The actions of accounts and faults on each engine: a tape's own engine repeats them.
        self._actions: dict[str, list[TimedAction]] = {}
        self._interests: set[str] = set()
        self._watches: dict[str, _Watch] = {}
        self._is_stale = False  # `_watches` no longer fits the channels
        self._keeping_up = self._engines.keeping_up(lambda symbol: symbol in self._watched())
        self.order_entry = OrderEntry(
            self, (DEMO_ACCOUNT, *settings.accounts), settings.margin_rules
        )

    @property
    def members(self) -> Mapping[str, Member]:
        """The accounts, by key."""
        return self.order_entry.members

    # Engines

    def engine(self, symbol: str) -> Market:
        """Return the symbol's engine, which starts now if this is the first touch."""
        return self._engines.engine(symbol)

    def caught_up(self, symbol: str) -> Market:
        """Return the symbol's engine, advanced to the current virtual time."""
        return self._engines.caught_up(symbol)

    async def catch_up(self, symbols: Iterable[str], patience: float | None = None) -> None:
        """Bring engines to the current virtual time, leaving turns to the sockets meanwhile.

        Virtual time waits for it. With `patience` it does not wait, and symbols that are still
        behind after this many seconds stay behind, though not before their first touch.
        """
        work = self.catching_up(symbols, patience)
        await self.in_turns(self.holding_time(work) if patience is None else work)

    def catching_up(self, symbols: Iterable[str], patience: float | None = None) -> Work:
        """Cut `catch_up` into pieces: a new engine, or a virtual second of one."""
        began = self.clock.machine.worked()
        target_ns = self.clock.reached_ns
        engines, names = self._engines, list(symbols)
        for symbol in names:
            engines.touch(symbol)
        for symbol in names:
            yield from engines.advance(symbol, engines.touched_ns(symbol))
        for symbol in names:
            for _ in engines.advance(symbol, target_ns):
                yield
                if patience is not None and self.clock.machine.worked() > began + patience:
                    return

    async def prepare(self, market: str, topic: Topic) -> None:
        """Bring a topic's symbols to the present, and build the history that its frames need."""
        symbols = self.symbols_of(market, topic)
        await self.catch_up(symbols)
        if topic.prefix in _DAILY_TOPICS:
            await self.in_turns(self.holding_time(self._engines.warm_days(symbols)))

    def trading_status(self, symbol: str) -> str:
        """Return a symbol's trading status: ``Open``, ``Closed``, or the word set for it."""
        if symbol in self.delivery.delisted():
            return "Closed"
        return self.settings.states.get(symbol, "Open")

    def book_sequence(self, engine: Market) -> int:
        """Return the sequence of the engine's current book on the wire."""
        return self._wire.book_sequence(engine)

    def order(self, symbol: str, action: Callable[[Market], Submission]) -> Submission:
        """Do an account's action on an engine's book, so that streams, tape and REST show it.

        The tape's own engine repeats the action, so it must depend on the engine alone.
        """
        engine = self.caught_up(symbol)
        done = action(engine)
        self._actions.setdefault(symbol, []).append((engine.now_ns, action))
        watch = self._watched().get(symbol)
        if watch is not None:
            self._publish(done.events, watch.hearing)
            watch.wake_ns = 0
        return done

    def frame_id(self, name: str, time_ns: int) -> str:
        """Make the 24-hex id of a frame, the same in every run."""
        return self._wire.frame_id(name, time_ns)

    def tape(self, symbol: str) -> Callable[[], Tape]:
        """Return a function that makes the symbol's tape, from its first touch to now.

        The function works on a second engine of its own. It takes long, and any thread may call it.
        """
        if not isinstance(symbol, str) or symbol not in self.listings:
            raise UnknownSymbol(f"no symbol {shown(symbol)}; symbols: {', '.join(self.listings)}")
        until_ns = self.caught_up(symbol).now_ns
        touched_ns, begin = self._engines.touched_ns(symbol), self._engines.maker_of(symbol)
        actions = list(self._actions.get(symbol, ()))
        return functools.partial(make_tape, begin, self._wire, actions, touched_ns, until_ns)

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
        # Messages of a symbol delisted by a fault are still made, and withheld: it may come back.
        row = self.listings.get(symbol)
        state = self.settings.states.get(symbol, "Open")
        return row is not None and row.market == market and state in ("Open", "CancelOnly")

    def _open(self, market: str, topic: Topic) -> _Channel:
        channel = _Channel(topic, market)
        make = pro_feed_of if channel.is_pro else feed_of
        for symbol in self.symbols_of(market, topic):
            feed = make(topic, self.caught_up(symbol), self._wire)
            if feed is not None:
                channel.feeds[symbol] = feed
        return channel

    def _note_channels(self) -> None:
        self._is_stale = True

    def _greet(self, channel: _Channel, subscriber: Subscriber) -> None:
        for symbol, feed in channel.feeds.items():
            for sequence, text in feed.on_subscribe(self.clock.reached_ns):
                message = Message(channel.topic, sequence, text.encode(), symbol)
                self.delivery.emit(channel.readers, message, channel.frame, subscriber)

    def _latest(self, channel: _Channel, count: int) -> Iterable[Message]:
        for symbol, feed in channel.feeds.items():
            for sequence, text in feed.on_events(list(feed.engine.trades)[-count:]):
                yield Message(channel.topic, sequence, text.encode(), symbol)

    def streamed(self, market: str | None = None) -> list[str]:
        """List the symbols that somebody listens to, in alphabetical order."""
        return sorted(
            symbol
            for symbol, watch in self._watched().items()
            if watch.feeds and market in (None, self.listings[symbol].market)
        )

    def watch(self) -> None:
        """Take note that the accounts may now need other engines to advance."""
        interests = self.order_entry.interests()
        if interests != self._interests:
            self._interests = interests
            self._is_stale = True

    def _watched(self) -> dict[str, _Watch]:
        # In the catalog's order, then in that of PUBLIC_TOPICS: so the order of frames does not
        # depend on who subscribed first.
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

    def tick(self) -> bool:
        """Advance as `ExchangeCore.tick` does; when nothing is due, see to idle engines."""
        self.clock.wake()
        is_more_due = super().tick()
        if not is_more_due and not self._holds and self.clock.is_of_now:
            deadline = self.clock.machine.worked() + self.turn * _IDLE_SHARE
            for has_worked in self._keeping_up:
                if not has_worked or self.clock.machine.worked() >= deadline:
                    break
        return is_more_due

    def _step(self, target_ns: int) -> int:
        if not self._watched() and not self.order_entry.has_debts:
            return target_ns
        until_ns = (self.clock.reached_ns // SLICE_NS + 1) * SLICE_NS
        self._slice(until_ns)
        return until_ns

    def _slice(self, until_ns: int) -> None:
        for watch in list(self._watched().values()):
            if watch.wake_ns <= until_ns:
                self._move(watch, until_ns)
                watch.rest(until_ns)
        self.order_entry.on_grid(until_ns)

    def _move(self, watch: _Watch, until_ns: int) -> None:
        engine, hearing = watch.engine, watch.hearing
        if watch.needs_instants:
            # All actions are on whole milliseconds, so each step shows the state of one instant.
            while (action_ns := engine.next_action_ns) <= until_ns:
                self._pass_on(engine.advance(action_ns), hearing)
        self._pass_on(engine.advance(until_ns), hearing)
        # A mark price or a funding leaves before the orders that it causes.
        for channel, feed in watch.feeds:
            if not until_ns % feed.period_ns:
                for sequence, text in feed.on_grid(until_ns):
                    message = Message(channel.topic, sequence, text.encode(), feed.symbol)
                    self.delivery.emit(channel.readers, message, channel.frame)
        if watch.is_lively:
            self.order_entry.act(engine.listing.symbol, engine, until_ns)

    def _pass_on(self, events: list[Event], feeds: list[tuple[_Channel, Feed]]) -> None:
        if events:
            self._publish(events, feeds)
            self.order_entry.on_events(events)

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
        """Send a frame to the listeners of an account's topic, `listened`.

        Faults know the frame by the topic that it carries, and by its time.
        """
        readers = self._listeners.get((user_id, market, listened))
        if readers is not None and readers.is_wanted:
            payload = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
            self.delivery.emit(readers, Message(frame["topic"], time_ns, payload), text_frame)

    # Faults of books and contracts

    def check(self, fault: Fault) -> None:
        """Accept every fault: a simulated market can have all of them."""

    def strike(self, symbol: str, fault: Fault) -> None:
        """Renumber or cross a book."""
        if fault.name == "rebase":
            self.rebase(symbol, fault.by)
        else:
            self.cross(symbol, fault.delay)

    def rebase(self, symbol: str, by: int) -> None:
        """Make a book's sequence jump backwards, on the wire by `by`.

        On spot with fillers it is rounded down to a multiple of three, so that the fillers keep
        their places.
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
        """Keep a bid above the best ask, on the wire, for this many virtual seconds."""
        self.order(symbol, lambda engine: engine.cross())
        until_ns = self.clock.reached_ns + int(seconds * 1e9)
        self.at(until_ns, lambda: self._uncross(symbol))

    def _uncross(self, symbol: str) -> None:
        self.order(symbol, lambda engine: engine.uncross())


def listings_for(
    symbols: Iterable[str] | str | None,
    quiet: int = 0,
    contracts: int | None = None,
    recorded: Mapping[str, Listing] | None = None,
) -> dict[str, Listing]:
    """Select listings from the catalog, and add `quiet` synthetic contracts.

    With `contracts`, the catalog goes on until it has this many contracts. Those of `recorded` take
    the place of the catalog's, or follow it.

    Raises
    ------
    UnknownSymbol
        If a symbol is not in the catalog.
    """
    named_ones = LISTINGS | dict(recorded or {})
    catalog = LISTINGS | contract_listings(contracts or 0) | dict(recorded or {})
    added = quiet_listings(quiet)
    if symbols is None:
        return catalog | added
    wanted = named(symbols)
    for symbol in wanted:
        if symbol not in catalog and symbol not in added:
            raise UnknownSymbol(f"no symbol {shown(symbol)}; symbols: {', '.join(named_ones)}")
    if not wanted:
        raise InvalidInput("no symbols: leave `symbols` out to offer the whole catalog")
    return {symbol: catalog[symbol] for symbol in wanted if symbol in catalog} | added
