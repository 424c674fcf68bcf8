"""The conversation with a KuCoin socket, without the socket.

``Conversation`` decides which messages to send and when, and turns answers into events. It reads no
clock and does no I/O: monotonic seconds come in as ``now``, texts to send go out as values. Its
``Dialect`` spells commands and reads errors; the classic dialect is here.

Source: KuCoin's classic WebSocket introduction (https://www.kucoin.com/docs-new, read 2026-11): the
welcome comes first; pings are JSON; a subscribe message may have 100 symbols; a client may send 100
messages in any 10 seconds; acknowledgements are matched by id, and data may come before them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, TypeAlias

import msgspec

from kucoin_research.errors import (
    CommandInvalid,
    ConnectionLost,
    LimitExceeded,
    LoginRequired,
    ServiceBusy,
    StreamError,
    TokenRejected,
    TopicInvalid,
    TopicNotFound,
)
from kucoin_research.exchange.topics import Topic, group_topics
from kucoin_research.exchange.websocket.decode_classic import ControlMessage

__all__ = [
    "CLASSIC",
    "Acknowledged",
    "Conversation",
    "Dialect",
    "Event",
    "ExchangeSpoke",
    "Kept",
    "Pong",
    "Refused",
    "Unsubscribed",
    "Welcomed",
    "stream_error",
]

# KuCoin closes the connection at 100 client messages in 10 s, pings included. The network may
# deliver messages closer together than we sent them, so our window is a little longer. Commands
# leave room for pings, which must never wait for them.
MESSAGES_PER_WINDOW = 99
COMMANDS_PER_WINDOW = 90
WINDOW = 11.0
WELCOME_TIMEOUT = 10.0
ACK_TIMEOUT = 10.0
MOST_TRIES = 3


class Welcomed(NamedTuple):
    """The exchange greeted; subscriptions follow."""


class Acknowledged(NamedTuple):
    """The exchange accepted a subscription."""

    topics: tuple[Topic, ...]


class Refused(NamedTuple):
    """The exchange refused a subscription, or never acknowledged it in three tries."""

    topics: tuple[Topic, ...]
    error: StreamError


class Unsubscribed(NamedTuple):
    """The exchange accepted an unsubscription: nothing more comes of these topics."""

    topics: tuple[Topic, ...]


class Kept(NamedTuple):
    """The exchange refused an unsubscription, or never acknowledged it in three tries.

    Without a code in ``error`` there was no answer, so the topics may come or not.
    """

    topics: tuple[Topic, ...]
    error: StreamError


class Pong(NamedTuple):
    """A ping was answered after ``round_trip`` seconds; ``server_time`` is ns UTC or None."""

    round_trip: float
    server_time: int | None


class ExchangeSpoke(NamedTuple):
    """An error that answers no command of ours, or only the first half of a resubscription."""

    error: StreamError


Event: TypeAlias = Welcomed | Acknowledged | Refused | Unsubscribed | Kept | Pong | ExchangeSpoke


@dataclass(slots=True)
class _Request:
    """A command that waits to be sent, or for its acknowledgement."""

    id: str
    type: str
    topics: tuple[Topic, ...]
    is_afresh: bool = False  # an unsubscription, to be followed by the same subscription
    tries: int = 0
    deadline: float = 0.0


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Dialect(NamedTuple):
    """How one of KuCoin's protocols spells commands and errors.

    ``group`` cuts topics into lists that fit one command each. ``command`` spells a command from an
    id, ``"subscribe"`` or ``"unsubscribe"``, and topics. ``error`` reads a refusal of topics. Pings
    are at least ``ping_spacing`` seconds apart.
    """

    group: Callable[[Iterable[Topic]], list[list[Topic]]]
    command: Callable[[str, str, Sequence[Topic]], str]
    error: Callable[[ControlMessage, Sequence[Topic]], StreamError]
    ping_spacing: float = 0.0


class Conversation:
    """Our side of the talk on one connection: subscriptions, pings, and what the answers mean.

    Parameters
    ----------
    topics
        Subscribed to once the exchange has sent its welcome.
    now
        Monotonic seconds at which the connection opened.
    ping_interval, ping_timeout
        Seconds, from the token reply. A welcome may set another interval.
    dialect
        Spells commands and reads errors; the classic one when left out.

    Attributes
    ----------
    last_ping
        When the newest ping was sent (monotonic seconds).
    speed, lifetime
        The speed of the venue's virtual clock, and the seconds for which it keeps a connection;
        None unless the welcome said so.

    Notes
    -----
    Not thread-safe: the connection's pump owns it, except for ``request_ping``, which any thread
    may call.
    """

    def __init__(
        self,
        topics: Iterable[Topic],
        now: float,
        *,
        ping_interval: float = 18.0,
        ping_timeout: float = 10.0,
        dialect: Dialect | None = None,
    ) -> None:
        self._dialect = CLASSIC if dialect is None else dialect
        self._ids = count(1)
        self._is_open = False
        self._welcome_deadline = now + WELCOME_TIMEOUT
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._next_ping = now + ping_interval
        self._ping_requested = False
        self._pings: dict[str, float] = {}  # id -> sent at
        self._sent: deque[float] = deque()
        self._queue: deque[_Request] = deque()
        self._waiting: dict[str, _Request] = {}
        self._subscribed: set[Topic] = set()
        self.last_ping: float | None = None
        self.speed: float | None = None
        self.lifetime: float | None = None
        self.subscribe(topics)

    @property
    def is_open(self) -> bool:
        """Whether the exchange has sent its welcome."""
        return self._is_open

    @property
    def is_settled(self) -> bool:
        """Whether the welcome has come and every subscription has been answered."""
        return self.is_open and not self._queue and not self._waiting

    @property
    def subscribed(self) -> frozenset[Topic]:
        """The topics acknowledged so far."""
        return frozenset(self._subscribed)

    def subscribe(self, topics: Iterable[Topic]) -> None:
        """Subscribe to topics; the commands go out as the limits allow."""
        topics = list(topics)
        self._withdraw("unsubscribe", topics)
        self._enqueue("subscribe", topics)

    def unsubscribe(self, topics: Iterable[Topic]) -> None:
        """Unsubscribe from topics, also from those that were to be subscribed to again."""
        topics = list(topics)
        self._withdraw("subscribe", topics)
        self._withdraw("unsubscribe", topics)
        self._enqueue("unsubscribe", topics)

    def resubscribe(self, topics: Iterable[Topic]) -> None:
        """Unsubscribe from topics and, once that is answered, subscribe to them again."""
        self._enqueue("unsubscribe", topics, is_afresh=True)

    def request_ping(self) -> None:
        """Ask for a ping at the next chance; any thread may call this."""
        self._ping_requested = True

    def _enqueue(self, command: str, topics: Iterable[Topic], *, is_afresh: bool = False) -> None:
        for group in self._dialect.group(topics):
            identity = f"{command[0]}{next(self._ids)}"
            self._queue.append(_Request(identity, command, tuple(group), is_afresh))

    def _withdraw(self, command: str, topics: Iterable[Topic]) -> None:
        # The exchange takes commands in order. An older one that was not answered in time would be
        # sent again behind the newer one, and its answer says nothing any more.
        old = frozenset(topics)
        for request in (*self._queue, *self._waiting.values()):
            if request.type == command and not old.isdisjoint(request.topics):
                request.topics = tuple(each for each in request.topics if each not in old)
        self._queue = deque(request for request in self._queue if request.topics)
        self._waiting = {key: each for key, each in self._waiting.items() if each.topics}

    def due(self, now: float) -> list[str]:
        """List the texts to send now.

        Parameters
        ----------
        now
            Monotonic seconds.

        Raises
        ------
        ConnectionLost
            If the welcome or a pong did not come in time; the connection is of no use then.
        """
        self._check_deadlines(now)
        texts: list[str] = []
        if not self._is_open:
            return texts
        if now >= self._ping_from(now):
            self._ping_requested = False
            texts.append(self._ping(now))
        while self._queue and now >= self._room_from(now, COMMANDS_PER_WINDOW):
            texts.append(self._send(self._queue.popleft(), now))
        return texts

    def _ping_from(self, now: float) -> float:
        """Return the time from which the next ping may and should go out."""
        wanted = now if self._ping_requested else self._next_ping
        spaced = now if self.last_ping is None else self.last_ping + self._dialect.ping_spacing
        return max(wanted, spaced, self._room_from(now, MESSAGES_PER_WINDOW))

    def _check_deadlines(self, now: float) -> None:
        if not self._is_open and now >= self._welcome_deadline:
            raise ConnectionLost(f"no welcome came within {WELCOME_TIMEOUT:.0f} s of connecting")
        if self.is_pong_overdue(now):
            raise ConnectionLost(f"no pong came within {self._ping_timeout:.0f} s of a ping")

    def is_pong_overdue(self, now: float) -> bool:
        """Return whether a ping should have been answered by now."""
        oldest = next(iter(self._pings.values()), None)
        return oldest is not None and now >= oldest + self._ping_timeout

    def forgive_pings(self) -> None:
        """Wait no longer for the answers to the pings sent so far."""
        self._pings.clear()

    def _ping(self, now: float) -> str:
        identity = f"p{next(self._ids)}"
        self._pings[identity] = now
        self._next_ping = now + self._ping_interval
        self.last_ping = now
        self._sent.append(now)
        return _json({"id": identity, "type": "ping"})

    def _send(self, request: _Request, now: float) -> str:
        request.tries += 1
        request.deadline = now + ACK_TIMEOUT
        self._waiting[request.id] = request
        self._sent.append(now)
        return self._dialect.command(request.id, request.type, request.topics)

    def _room_from(self, now: float, limit: int) -> float:
        """Return the time from which one more message keeps to a limit per window."""
        while self._sent and self._sent[0] + WINDOW <= now:
            self._sent.popleft()
        surplus = len(self._sent) - limit
        return now if surplus < 0 else self._sent[surplus] + WINDOW

    def next_deadline(self, now: float) -> float:
        """Return the monotonic time at which to call ``due`` and ``overdue`` again.

        It does not foresee a ping that another thread requests later.
        """
        if not self._is_open:
            return self._welcome_deadline
        times = [self._ping_from(now)]
        times.extend(sent + self._ping_timeout for sent in self._pings.values())
        times.extend(request.deadline for request in self._waiting.values())
        if self._queue:
            times.append(self._room_from(now, COMMANDS_PER_WINDOW))
        return min(times)

    def overdue(self, now: float) -> list[Event]:
        """Queue commands without an answer again; give them up after three tries."""
        events: list[Event] = []
        for request in [r for r in self._waiting.values() if now >= r.deadline]:
            del self._waiting[request.id]
            if request.tries < MOST_TRIES:
                self._queue.append(request)
            else:
                error = ServiceBusy(
                    f"{request.type} {_name(request.topics)} was never acknowledged in "
                    f"{MOST_TRIES} tries; the exchange is overloaded or the topic is wrong"
                )
                events.append(self._fail(request, error))
        return events

    def receive(self, message: ControlMessage, now: float) -> list[Event]:
        """Take a message of the conversation.

        Parameters
        ----------
        message
            The decoded message.
        now
            Monotonic seconds.

        Raises
        ------
        TokenRejected
            If the token is invalid or has expired; only a new connection helps.
        """
        if message.type == "welcome":
            return self._on_welcome(message, now)
        if message.type == "ack":
            return self._on_ack(message)
        if message.type == "pong":
            return self._on_pong(message, now)
        if message.type == "error":
            return self._on_error(message)
        return []  # KuCoin also declares "notice" and "command", whose meaning is unknown

    def _on_welcome(self, message: ControlMessage, now: float) -> list[Event]:
        self._is_open = True
        self.speed = message.speed
        self.lifetime = message.lifetime
        if message.ping_interval_ms is not None:
            self._ping_interval = message.ping_interval_ms / 1_000
        self._next_ping = now + self._ping_interval
        return [Welcomed()]

    def _on_ack(self, message: ControlMessage) -> list[Event]:
        request = self._waiting.pop(message.id or "", None)
        if request is None:
            return []  # late: the request was sent again under the same id, and is answered
        if request.type == "unsubscribe":
            self._subscribed.difference_update(request.topics)
            if request.is_afresh:
                self.subscribe(request.topics)
                return []
            return [Unsubscribed(request.topics)]
        self._subscribed.update(request.topics)
        return [Acknowledged(request.topics)]

    def _on_pong(self, message: ControlMessage, now: float) -> list[Event]:
        if message.id not in self._pings:
            return []
        sent = self._pings.pop(message.id)
        # Pings before this one wait no longer, even if their pongs were lost: the peer is alive.
        self._pings = {other: at for other, at in self._pings.items() if at > sent}
        return [Pong(now - sent, message.timestamp)]

    def _on_error(self, message: ControlMessage) -> list[Event]:
        request = self._waiting.pop(message.id or "", None)
        error = self._dialect.error(message, request.topics if request else ())
        if isinstance(error, TokenRejected):
            raise error
        return [ExchangeSpoke(error) if request is None else self._fail(request, error)]

    def _fail(self, request: _Request, error: StreamError) -> Event:
        if request.type == "subscribe":
            return Refused(request.topics, error)
        if not request.is_afresh:
            return Kept(request.topics, error)
        # A failed unsubscription loses no data, so it counts as no refusal of the topic.
        self.subscribe(request.topics)
        return ExchangeSpoke(error)


def _name(topics: Sequence[Topic]) -> str:
    if not topics:
        return ""
    more = f" and {len(topics) - 1} more" if len(topics) > 1 else ""
    return f"{topics[0]}{more}"


_ERRORS: dict[int, tuple[type[StreamError], str]] = {
    400: (TopicInvalid, "check the symbol's spelling"),
    401: (TokenRejected, "a new connection with a new token is made"),
    403: (LoginRequired, "private channels need credentials=, of a key of this very exchange"),
    404: (TopicNotFound, "KuCoin has no such topic"),
    406: (CommandInvalid, "the command named no topic"),
    415: (CommandInvalid, "the exchange does not know this command"),
    500: (ServiceBusy, "try again in a moment"),
    509: (LimitExceeded, "stream fewer symbols on one connection, or start fewer connections"),
}


def stream_error(message: ControlMessage, topics: Sequence[Topic] = ()) -> StreamError:
    """Turn an error frame into the exception that names the fault and its remedy.

    Parameters
    ----------
    message
        The error frame.
    topics
        The topics of our request, if the frame answers one.
    """
    code = message.code or 0
    kind, fix = _ERRORS.get(code, (StreamError, "see KuCoin's documentation"))
    if code == 509 and "busy" in message.text:
        kind, fix = ServiceBusy, "try again in a moment"
    if message.text == "ping timeout":
        kind, fix = ServiceBusy, "a new connection is made"
    subject = f" for {_name(topics)}" if topics else ""
    return kind(f"KuCoin answered {code} {message.text!r}{subject}: {fix}", code=code)


def _classic_command(identity: str, command: str, topics: Sequence[Topic]) -> str:
    first = topics[0]
    keys = ",".join(topic.key for topic in topics)
    return _json(
        {
            "id": identity,
            "type": command,
            "topic": f"{first.prefix}:{keys}" if keys else first.prefix,
            "privateChannel": first.is_private,
            "response": True,
        }
    )


#: The classic feed's: topics in comma lists, errors with a code.
CLASSIC = Dialect(group_topics, _classic_command, stream_error)
