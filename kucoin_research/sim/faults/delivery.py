"""The way of a message from the exchange to its readers, through the faults in place.

The delivery keeps exact logs: the messages published, each application of a fault, and the messages
that did not reach a reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple, Protocol

from kucoin_research.sim.engine.clock import VirtualClock
from kucoin_research.sim.faults.kinds import (
    KINDS,
    MESSAGE_FAULTS,
    PING_FAULTS,
    Applied,
    ArmedFault,
    Fault,
    Message,
    Published,
    Withheld,
)
from kucoin_research.sim.faults.malformed import as_garbage, in_old_shape

__all__ = ["Absentee", "Delivery", "Readers", "Subscriber"]

_LOG_LENGTH = 1_000_000
# Faults that replace a message by another; a message is replaced only once.
_RESHAPING = frozenset({"malformed", "old_shape"})


class Subscriber(Protocol):
    """A connection, as the delivery needs it.

    ``number`` counts the connections of an exchange from 1; 0 stands for none.
    """

    number: int

    def push(self, message: Message, frame: bytes) -> bool:
        """Queue one data frame; return False if it is dropped because the reader is too slow."""


class Absentee(NamedTuple):
    """A connection that a fault ended, and the reason: it misses all messages from then on."""

    connection: int
    reason: str


class Readers:
    """The subscribers of one topic, and the absentee that would be one if its connection lived.

    There is at most one absentee per topic, the last one to go. The next subscription ends it.
    """

    def __init__(self, market: str, topic: str) -> None:
        self.market = market
        self.topic = topic
        self.subscribers: dict[Subscriber, None] = {}
        self.absentee: Absentee | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether the topic's messages must be made."""
        return bool(self.subscribers) or self.absentee is not None


class _Block:
    """A fault that keeps messages from certain connections only.

    ``cured`` has the pairs of connection and topic for which it has ended.
    """

    def __init__(self, fault: Fault, connections: Iterable[Subscriber]) -> None:
        self.armed = ArmedFault(fault)
        self.connections = set(connections)
        self.cured: set[tuple[Subscriber, str]] = set()

    @property
    def is_over(self) -> bool:
        return not self.connections or self.armed.is_spent

    def concerns(self, subscriber: Subscriber, topic: str) -> bool:
        fault = self.armed.fault
        return (
            subscriber in self.connections
            and fault.topic in (None, topic)
            and (subscriber, topic) not in self.cured
        )


class Delivery:
    """Sends messages to subscribers through the faults in place, and keeps the logs.

    Parameters
    ----------
    clock
        Stamps the logs with the time up to which everything has happened, so that they are the same
        in every run.
    seed
        Chooses the garbage.
    has_journal
        Whether every message is kept.
    """

    def __init__(self, clock: VirtualClock, seed: int, *, has_journal: bool) -> None:
        self.clock = clock
        self.withheld: deque[Withheld] = deque(maxlen=_LOG_LENGTH)
        self.fault_log: deque[Applied] = deque(maxlen=_LOG_LENGTH)
        self.has_journal = has_journal
        self._journal: dict[str, list[Published]] = {}
        self._random = Random(f"{seed}:garbage")
        self._message_faults: list[ArmedFault] = []
        self._blocks: list[_Block] = []
        self._other_faults: list[ArmedFault] = []

    # Messages

    def emit(
        self,
        readers: Readers,
        message: Message,
        frame_of: Callable[[bytes], bytes],
        only: Subscriber | None = None,
    ) -> None:
        """Send a message to all readers of its topic, or to `only` one of them."""
        if only is not None:
            for one in self._through_faults(readers.market, message):
                self._hand_out(readers.market, {only: None}, one, frame_of)
            return
        if self.has_journal:
            entry = Published(self.clock.reached_ns, message.sequence, message.payload)
            self._journal.setdefault(message.topic, []).append(entry)
        has_reached = False
        if readers.subscribers:
            for one in self._through_faults(readers.market, message):
                has_reached |= self._hand_out(readers.market, readers.subscribers, one, frame_of)
        absentee = readers.absentee
        if absentee is not None:
            # A held message still reaches the others. If it never does, that is logged then.
            is_held = bool(readers.subscribers) and self._is_held(message)
            self.note_withheld(
                absentee.reason,
                message,
                connection=absentee.connection,
                reached_others=has_reached or is_held,
            )

    def _is_held(self, message: Message) -> bool:
        return any(message in armed.held for armed in self._message_faults)

    def journal(self, topic: str) -> list[Published]:
        """List the messages published on a topic since its first subscription."""
        return list(self._journal.get(topic, ()))

    def _hand_out(
        self,
        market: str,
        subscribers: dict[Subscriber, None],
        message: Message,
        frame_of: Callable[[bytes], bytes],
    ) -> bool:
        frame = frame_of(message.payload)
        missed: list[tuple[str, int]] = []
        for subscriber in subscribers:
            reason = self._blocked(market, subscriber, message) if self._blocks else None
            if reason is not None:
                missed.append((reason, subscriber.number))
            elif not subscriber.push(message, frame):
                missed.append(("slow_reader", subscriber.number))
        has_reached = len(missed) < len(subscribers)
        for reason, number in missed:
            self.note_withheld(reason, message, connection=number, reached_others=has_reached)
        return has_reached and message.state != "garbage"

    def _blocked(self, market: str, subscriber: Subscriber, message: Message) -> str | None:
        for block in list(self._blocks):
            armed = block.armed
            if not block.concerns(subscriber, message.topic):
                continue
            if not armed.strikes(market, topic=message.topic, symbol=message.symbol):
                continue
            fault = armed.fault
            self.note_fault(fault, market, message.topic, message.sequence, subscriber.number)
            if block.is_over:
                self._blocks.remove(block)
            return fault.name
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
        fault = armed.fault
        is_immune = bool(message.state) and fault.name in _RESHAPING
        if is_immune or not armed.strikes(market, topic=message.topic, symbol=message.symbol):
            released = [held for held in armed.held if held.topic == message.topic]
            armed.held = [held for held in armed.held if held.topic != message.topic]
            return [message, *released]
        self.note_fault(fault, market, message.topic, message.sequence)
        if fault.name == "old_shape":
            return [in_old_shape(message)._replace(state="old")]
        if fault.name == "malformed":
            self.note_withheld(fault.name, message)
            return [as_garbage(message, fault.garbage, self._random)._replace(state="garbage")]
        messages = MESSAGE_FAULTS[fault.name](armed, message)
        if not messages and message not in armed.held:
            self.note_withheld(fault.name, message)
        return messages

    # Readers that come and go

    def come(self, readers: Readers, subscriber: Subscriber) -> None:
        """Add a subscriber. Subscribing, also again, ends stalls ``until="resubscribe"`` for it."""
        readers.subscribers[subscriber] = None
        readers.absentee = None
        for block in self._blocks:
            if block.armed.fault.until == "resubscribe":
                block.cured.add((subscriber, readers.topic))

    def go(self, readers: Readers, subscriber: Subscriber, reason: str = "") -> None:
        """Take a subscriber away; if a `reason` made it go, it becomes the absentee.

        A client that leaves a connection or topic which a fault keeps silent leaves because of the
        fault: it becomes the absentee too.
        """
        if readers.subscribers.pop(subscriber, self) is self:
            return
        reason = reason or self._affliction(readers, subscriber)
        if reason:
            readers.absentee = Absentee(subscriber.number, reason)
        if not readers.subscribers:
            self._give_up_held(readers.topic)

    def forget(self, subscriber: Subscriber) -> None:
        """Drop the faults of a connection that has ended."""
        for block in list(self._blocks):
            block.connections.discard(subscriber)
            if block.is_over:
                self._blocks.remove(block)

    def _affliction(self, readers: Readers, subscriber: Subscriber) -> str:
        for block in self._blocks:
            fault = block.armed.fault
            is_here = fault.market in (None, readers.market)
            if is_here and block.concerns(subscriber, readers.topic):
                return fault.name
        for armed in self._message_faults:
            fault = armed.fault
            is_here = fault.market in (None, readers.market) and fault.symbol is None
            if fault.name == "stall" and is_here and fault.topic in (None, readers.topic):
                return fault.name
        return ""

    def _give_up_held(self, topic: str) -> None:
        # No message will follow after which the held ones could be sent.
        for armed in self._message_faults:
            for message in armed.held:
                if message.topic == topic:
                    self.note_withheld(armed.fault.name, message)
            armed.held = [held for held in armed.held if held.topic != topic]

    # Faults

    def arm(self, fault: Fault, connections: Iterable[Subscriber] = ()) -> None:
        """Put a fault in its place; some faults concern only the `connections` open now."""
        place = KINDS[fault.name].place
        if place == "reader" or fault.until != "heal":
            block = _Block(fault, connections)
            if block.connections:
                self._blocks.append(block)
            return
        is_on_messages = place == "message" or fault.name == "delist"
        (self._message_faults if is_on_messages else self._other_faults).append(ArmedFault(fault))

    def heal(self) -> None:
        """Take all faults away; log the messages that they still hold as withheld."""
        for armed in self._message_faults:
            for message in armed.held:
                self.note_withheld(armed.fault.name, message)
        self._message_faults.clear()
        self._blocks.clear()
        self._other_faults.clear()

    def delisted(self) -> set[str | None]:
        """Name the symbols that a fault has closed."""
        return {
            armed.fault.symbol for armed in self._message_faults if armed.fault.name == "delist"
        }

    def ping_fault(self, market: str) -> Fault | None:
        """Return the fault that strikes the answer to a ping; None if none does."""
        return self.http_fault(market, "", PING_FAULTS)

    def http_fault(self, market: str, path: str, names: frozenset[str]) -> Fault | None:
        """Return the fault with one of these names that strikes a request; None if none does."""
        for armed in self._other_faults:
            if armed.fault.name in names and armed.strikes(market, path=path):
                self.note_fault(armed.fault, market)
                if armed.is_spent:
                    self._other_faults.remove(armed)
                return armed.fault
        return None

    def repeats(self, market: str, topic: str) -> Fault | None:
        """Return the fault that chooses the executions a new subscription begins with, if any.

        It is used up.
        """
        for armed in self._other_faults:
            fault = armed.fault
            if fault.name != "repeat_executions" or fault.market not in (None, market):
                continue
            if fault.topic in (None, topic):
                self._other_faults.remove(armed)
                self.note_fault(fault, market, topic)
                return fault
        return None

    # Logs

    def note_fault(
        self,
        fault: Fault,
        market: str,
        topic: str = "",
        sequence: int = 0,
        connection: int = 0,
    ) -> None:
        """Log one application of a fault."""
        now_ns = self.clock.reached_ns
        self.fault_log.append(
            Applied(now_ns, fault.name, market, topic, sequence, connection, fault.options)
        )

    def note_withheld(
        self,
        reason: str,
        message: Message,
        *,
        connection: int = 0,
        reached_others: bool = False,
    ) -> None:
        """Log one message that a reader missed; garbage and copies do not count."""
        if message.state in ("garbage", "again"):
            return
        self.withheld.append(
            Withheld(
                self.clock.reached_ns,
                reason,
                message.topic,
                message.sequence,
                connection,
                reached_others,
                message.payload if self.has_journal else b"",
            )
        )

    def take_back(self, topic: str, sequences: set[int]) -> set[int]:
        """Remove messages that are sent after all from the log; return the sequences removed."""
        taken: set[int] = set()
        kept: list[Withheld] = []
        for one in self.withheld:
            if one.topic == topic and one.sequence in sequences:
                taken.add(one.sequence)
            else:
                kept.append(one)
        if taken:
            self.withheld.clear()
            self.withheld.extend(kept)
        return taken
