"""The middle of an exchange: topics, subscribers, faults and time, whatever the data's source.

This module has no sockets and no threads: the server drives `ExchangeCore.tick` on its loop, and
connections are its `Subscriber`. `MarketCore` makes the data from an order flow, `RecordedCore`
reads them from a recording.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Generic, Literal, Protocol, TypeVar

from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.engine.clock import SLICE_NS, VirtualClock
from kucoin_research.sim.faults.delivery import Delivery, Readers, Subscriber
from kucoin_research.sim.faults.kinds import Fault, Message
from kucoin_research.sim.messages.pro import PRO_TOPICS
from kucoin_research.sim.messages.topics import PUBLIC_TOPICS, Topic
from kucoin_research.sim.server.settings import Settings
from kucoin_research.sim.server.wire_frames import binary_frame, text_frame

__all__ = ["TURN", "Channel", "ExchangeCore", "Listed"]

TURN = 0.01  # seconds that one piece of work may keep the loop from its sockets
_LOG_LENGTH = 100_000
_TRADE_TOPICS = frozenset({"/contractMarket/execution", "/market/match", "trade"})

_T = TypeVar("_T")


class Listed(Protocol):
    """A symbol on offer, as far as every exchange knows it."""

    @property
    def market(self) -> Literal["futures", "spot"]:
        """The market on which it is traded."""


class Channel:
    """One public topic that somebody listens to, or that a fault took its last listener from."""

    def __init__(self, topic: Topic, market: str) -> None:
        self.topic = topic.text
        self.market = market
        self.is_pro = topic.prefix in PRO_TOPICS
        self.frame = binary_frame if self.is_pro else text_frame
        order = PRO_TOPICS if self.is_pro else PUBLIC_TOPICS[market]
        self.order = (self.is_pro, order.index(topic.prefix), self.topic)
        self.is_of_trades = topic.prefix in _TRADE_TOPICS
        self.readers = Readers(market, self.topic)


ChannelT = TypeVar("ChannelT", bound=Channel)


class ExchangeCore(ABC, Generic[ChannelT]):
    """Runs one exchange's topics, faults and logs, on one thread.

    A subclass supplies the data: it lets virtual time advance and sends each message through
    `delivery` to the subscribers of its topic.

    Parameters
    ----------
    seed
        Seed of everything random.
    clock
        Virtual time.
    settings
        All other choices.

    Attributes
    ----------
    turn
        Seconds after which work leaves a turn to the sockets; the current step is finished first.
    """

    listings: Mapping[str, Listed]
    #: Whether private topics can carry anything.
    has_accounts = True

    def __init__(self, seed: int, clock: VirtualClock, settings: Settings) -> None:
        self.seed = seed
        self.clock = clock
        self.settings = settings
        self.random = random.Random(seed)
        self.turn = TURN
        self.is_held = False  # paused by hand: a subscription does not start the clock
        self.requests: deque[tuple[str, str]] = deque(maxlen=_LOG_LENGTH)
        self.delivery = Delivery(clock, seed, has_journal=settings.journal)
        self._listeners: dict[tuple[str, str, str], Readers] = {}
        self._channels: dict[tuple[str, str], ChannelT] = {}
        self._connections = 0
        # Calls due at a virtual time, numbered so that equal times keep their order; and calls due
        # a while after the first subscription, which is still to come.
        self._jobs: list[tuple[int, int, Callable[[], None]]] = []
        self._plans: list[tuple[int, Callable[[], None]]] = []
        self._job_number = 0
        self._holds = 0  # pieces of work at hand for which virtual time stands still
        self.first_subscription_ns: int | None = None

    # For the subclass that supplies the data

    @property
    @abstractmethod
    def members(self) -> Mapping[str, Member]:
        """The accounts that may log in, by key."""

    @abstractmethod
    def symbols_of(self, market: str, topic: Topic) -> list[str]:
        """List the symbols that feed a topic; none if its symbol is unknown: it stays silent."""

    @abstractmethod
    def streamed(self, market: str | None = None) -> list[str]:
        """List the symbols that somebody listens to, in alphabetical order."""

    @abstractmethod
    async def catch_up(self, symbols: Iterable[str], patience: float | None = None) -> None:
        """Bring symbols to the current virtual time, leaving turns to the sockets meanwhile.

        With `patience`, symbols that are still behind after this many seconds stay behind.
        """

    @abstractmethod
    async def prepare(self, market: str, topic: Topic) -> None:
        """Do the slow part of beginning a topic ahead of time, leaving turns to the sockets."""

    @abstractmethod
    def check(self, fault: Fault) -> None:
        """Raise `InvalidInput` for a fault that these data cannot have."""

    @abstractmethod
    def strike(self, symbol: str, fault: Fault) -> None:
        """Apply a fault to a symbol's book."""

    @abstractmethod
    def _open(self, market: str, topic: Topic) -> ChannelT:
        """Make the channel of a topic."""

    @abstractmethod
    def _note_channels(self) -> None:
        """Take note that a channel has begun or ended."""

    @abstractmethod
    def _greet(self, channel: ChannelT, subscriber: Subscriber) -> None:
        """Send the first messages of a new subscriber, which nobody else gets."""

    @abstractmethod
    def _latest(self, channel: ChannelT, count: int) -> Iterable[Message]:
        """Make the last `count` messages of a channel of trades again."""

    @abstractmethod
    def _step(self, target_ns: int) -> int:
        """Advance to the next event, at most to the target; return the time reached.

        Both times are on the grid of slices.
        """

    # Topics

    def next_connection(self) -> int:
        """Count a new connection; return its number."""
        self._connections += 1
        return self._connections

    def subscribe(self, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Add a subscriber to a topic; the first one of all starts the clock."""
        key = market, topic.text
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = self._open(market, topic)
            self._note_channels()
        self._greet(channel, subscriber)
        if channel.is_of_trades:
            self._repeat_executions(channel, subscriber)
        self.delivery.come(channel.readers, subscriber)
        self._begin()

    def renew(self, market: str, topic: Topic, subscriber: Subscriber) -> None:
        """Take note that a subscriber has subscribed to a topic again."""
        channel = self._channels.get((market, topic.text))
        if channel is not None:
            self.delivery.come(channel.readers, subscriber)

    def _begin(self) -> None:
        if self.first_subscription_ns is None:
            self.first_subscription_ns = self.clock.reached_ns
            plans, self._plans = self._plans, []
            for after_ns, call in plans:
                self.at(self.first_subscription_ns + after_ns, call)
        if not self.is_held:
            self.clock.start()

    def _repeat_executions(self, channel: ChannelT, subscriber: Subscriber) -> None:
        fault = self.delivery.repeats(channel.market, channel.topic)
        if fault is None:
            return
        assert fault.count is not None, "checked when it was injected"
        latest = list(self._latest(channel, fault.count * fault.every + fault.after))
        newest_first = latest[: len(latest) - fault.after][::-1]
        repeated = newest_first[:: fault.every][: fault.count][::-1]
        missed = self.delivery.take_back(channel.topic, {one.sequence for one in repeated})
        for one in repeated:
            message = one._replace(state="" if one.sequence in missed else "again")
            self.delivery.emit(channel.readers, message, channel.frame, subscriber)

    def unsubscribe(
        self, market: str, topic: Topic, subscriber: Subscriber, reason: str = ""
    ) -> None:
        """Take a subscriber from a topic, by its own will or for a `reason`.

        When the last one leaves, no more messages are made. If it left for a `reason`, they still
        are, and each is logged as withheld until somebody subscribes again.
        """
        channel = self._channels.get((market, topic.text))
        if channel is None:
            return
        self.delivery.go(channel.readers, subscriber, reason)
        if not channel.readers.is_wanted:
            del self._channels[market, topic.text]
            self._note_channels()

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
        """Log messages that were sent in vain to a connection which has left its topics."""
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

    async def in_turns(self, work: Generator[None, None, _T]) -> _T:
        """Finish work that is cut into steps, leaving turns to the sockets between them."""
        with contextlib.closing(work):  # at once, also if the caller is cancelled halfway
            deadline = self.clock.machine.worked() + self.turn
            while True:
                try:
                    next(work)
                except StopIteration as done:
                    result: _T = done.value
                    return result
                if self.clock.machine.worked() >= deadline:
                    await asyncio.sleep(0)
                    deadline = self.clock.machine.worked() + self.turn

    def holding_time(self, work: Generator[None, None, _T]) -> Generator[None, None, _T]:
        """Do work while virtual time stands still, so that it reaches the present.

        Otherwise the present could run ahead of the work, and the rest would be done in one long
        piece at the end.
        """
        self._holds += 1
        try:
            return (yield from work)
        finally:
            self._holds -= 1

    # Time

    def at(self, time_ns: int, call: Callable[[], None]) -> None:
        """Call a function when everything up to a virtual time has happened."""
        self._job_number += 1
        heapq.heappush(self._jobs, (-(-time_ns // SLICE_NS) * SLICE_NS, self._job_number, call))

    def plan(self, after_ns: int, call: Callable[[], None]) -> None:
        """Call a function at a virtual time after the first subscription."""
        if self.first_subscription_ns is None:
            self._plans.append((after_ns, call))
        else:
            self.at(self.first_subscription_ns + after_ns, call)

    def tick(self) -> bool:
        """Advance towards the clock's target for one turn at most; return whether more is due."""
        if self._holds:
            return False
        clock = self.clock
        target = clock.target_ns // SLICE_NS * SLICE_NS
        deadline = self.clock.machine.worked() + self.turn
        while clock.reached_ns < target and clock.is_running:
            self._run_jobs()
            clock.reach(self._step(min([target, *(time_ns for time_ns, _, _ in self._jobs[:1])])))
            if self.clock.machine.worked() >= deadline:
                return clock.reached_ns < target
        return False

    def _run_jobs(self) -> None:
        while self._jobs and self._jobs[0][0] <= self.clock.reached_ns:
            _, _, call = heapq.heappop(self._jobs)
            call()
