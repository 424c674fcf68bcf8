"""The kinds of faults that an exchange can have on demand.

`KINDS` is the table of all kinds: the effect, the place where the fault waits, and its options. A
fault waits for outgoing messages, for the messages of certain connections, for client pings or for
HTTP requests, or it is done at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from kucoin_research.errors import InvalidInput, shown

__all__ = [
    "CONNECTION_FAULTS",
    "FAULTS",
    "GARBAGE",
    "HTTP_FAULTS",
    "KINDS",
    "MESSAGE_FAULTS",
    "PING_FAULTS",
    "SYMBOL_FAULTS",
    "Applied",
    "ArmedFault",
    "Fault",
    "Kind",
    "Message",
    "Published",
    "Withheld",
    "make_fault",
    "parse_fault",
]


class Message(NamedTuple):
    """One data frame on its way to the subscribers of its topic.

    `sequence` is the number by which the topic's readers would notice its loss: the book or trade
    sequence if there is one, otherwise the virtual time in ns. `symbol` is empty if the message
    concerns no single symbol. `state` is ``"garbage"``, ``"old"`` or ``"again"`` (a copy of a
    message already sent) if a fault has made it so.
    """

    topic: str
    sequence: int
    payload: bytes
    symbol: str = ""
    state: str = ""


class Published(NamedTuple):
    """One message of a topic, as the exchange published it; see ``Exchange.journal``."""

    time_ns: int
    sequence: int
    payload: bytes


class Withheld(NamedTuple):
    """One message that did not reach a reader, and why.

    Attributes
    ----------
    time_ns
        Virtual time of the loss, ns UTC: everything up to it had happened.
    reason
        The fault's name. ``slow_reader``, ``connection_lifetime``, ``idle_timeout`` and ``flood``
        occur without an injected fault too.
    topic, sequence
        The message's topic and number; see `Message`.
    connection
        Number of the connection that missed it; 0 if nobody got it.
    reached_others
        Whether another connection got it, or had subscribed to the topic when it was lost.
    payload
        The message itself; empty unless ``journal=True`` was set.
    """

    time_ns: int
    reason: str
    topic: str
    sequence: int
    connection: int = 0
    reached_others: bool = False
    payload: bytes = b""


class Applied(NamedTuple):
    """One application of a fault; `topic` and `sequence` are empty if it struck no message.

    `connection` is the number of the connection struck, 0 if it was no single one. `detail` spells
    the fault's options, as ``parse_fault`` reads them.
    """

    time_ns: int
    fault: str
    market: str
    topic: str = ""
    sequence: int = 0
    connection: int = 0
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault to inject, with its options; ``Exchange.inject`` lists all faults.

    Attributes
    ----------
    name
        One of ``FAULTS``.
    topic
        The single-symbol topic it concerns; None for any.
    symbol
        The symbol it concerns; None for any.
    market
        ``"futures"`` or ``"spot"``; None for both.
    path
        For HTTP faults, the beginning of the path; None for any.
    count
        Number of messages, pings or requests struck; None for all, until ``Exchange.heal()``.
        For ``repeat_executions``, the number of executions sent again.
    every
        For ``repeat_executions``, send only each execution of this number, counted back from the
        newest: 3 leaves out two of three, so that those sent again have holes between them.
    after
        Number of matching ones that pass first. For ``repeat_executions``, the number of newest
        executions that are not sent again.
    status
        HTTP status, for ``html_error``, ``overload`` and ``refuse_upgrade``.
    until
        The end of a ``stall``: ``"heal"``, ``"resubscribe"`` or ``"reconnect"``.
    delay
        Seconds: wall time, but virtual time for ``crossed_book``.
    by
        Amount by which ``rebase`` lowers the sequence.
    garbage
        The kind that ``malformed`` sends: one of ``GARBAGE``; None for one drawn by the exchange's
        seed.
    pick
        Chooses the topic, or the symbol, when neither is named: this index, modulo their number,
        into those subscribed at the time in alphabetical order. None for all of them.
    """

    name: str
    topic: str | None = None
    symbol: str | None = None
    market: str | None = None
    path: str | None = None
    count: int | None = 1
    every: int = 1
    after: int = 0
    status: int = 502
    until: str = "heal"
    delay: float = 0.0
    by: int = 1_000_000
    garbage: str | None = None
    pick: int | None = None

    def __str__(self) -> str:
        options = self.options
        return f"{self.name}:{options}" if options else self.name

    @property
    def options(self) -> str:
        """The options that differ from the defaults of its name, as ``key=value,key=value``."""
        usual = KINDS[self.name].make(self.name)
        names = [one.name for one in fields(self) if one.name != "name"]
        return ",".join(
            f"{name}={getattr(self, name)}"
            for name in names
            if getattr(self, name) != getattr(usual, name)
        )


Place: TypeAlias = Literal["message", "reader", "ping", "http", "connection", "symbol", "other"]


@dataclass(frozen=True)
class Kind:
    """One row of the table of faults.

    Attributes
    ----------
    place
        The place where it waits, or the thing that it is done to at once: ``message``, ``reader``
        (one connection's messages), ``ping``, ``http``, ``connection``, ``symbol``, ``other``.
    what
        The effect, in words.
    takes
        The options of `Fault` that have an effect on it.
    usual
        Its defaults, if they differ from those of `Fault`.
    """

    place: Place
    what: str
    takes: tuple[str, ...]
    usual: Mapping[str, object] = field(default_factory=dict)

    def make(self, name: str) -> Fault:
        """Build the fault with its defaults."""
        return replace(Fault(name=name), **self.usual)  # type: ignore[arg-type]


_ON_MESSAGES = ("topic", "symbol", "market", "count", "after", "pick")
_ON_READERS = ("topic", "symbol", "market", "count", "after")
_ON_PINGS = ("market", "count", "after")
_ON_REQUESTS = ("market", "path", "count", "after")
_ON_UPGRADES = ("market", "count", "after")
_ON_CONNECTIONS = ("topic", "market")
_ON_SYMBOLS = ("symbol", "market", "pick")
_LASTING: Mapping[str, object] = MappingProxyType({"count": None})

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "drop": Kind("message", "messages are left out", _ON_MESSAGES),
        "duplicate": Kind("message", "messages are sent twice", _ON_MESSAGES),
        "reorder": Kind(
            "message", "a message comes right behind the next of its topic", _ON_MESSAGES
        ),
        "stall": Kind(
            "message",
            "topics go silent, until healed, subscribed to again, or connected to anew",
            (*_ON_MESSAGES, "until"),
            _LASTING,
        ),
        "malformed": Kind("message", "garbage comes instead", (*_ON_MESSAGES, "garbage")),
        "old_shape": Kind("message", "messages come in the shapes of older years", _ON_MESSAGES),
        "slow_reader": Kind(
            "reader",
            "the oldest connection's data is dropped, as for a slow consumer",
            _ON_READERS,
            {"count": 100},
        ),
        "stall_socket": Kind(
            "reader", "connections open now go wholly silent, and stay open", ("market",), _LASTING
        ),
        "mute_pong": Kind("ping", "pings get no pong", _ON_PINGS, _LASTING),
        "late_pong": Kind(
            "ping",
            "pongs come late, by `delay` seconds",
            (*_ON_PINGS, "delay"),
            {"count": None, "delay": 1.0},
        ),
        "abort": Kind("connection", "connections are reset (TCP RST)", _ON_CONNECTIONS),
        "bye": Kind("connection", "connections are closed, code 1000, Bye", _ON_CONNECTIONS),
        "half_frame": Kind("connection", "connections end amid a frame", _ON_CONNECTIONS),
        "expire_token": Kind(
            "connection",
            "all tokens expire; connections are told so (401) and dropped",
            _ON_CONNECTIONS,
        ),
        "end_of_day": Kind(
            "connection",
            "all tokens expire and connections end without a word, as after 24 hours",
            ("market",),
        ),
        "maintenance": Kind(
            "connection",
            "the status is `close`, sockets are dropped, tokens and upgrades refused (503), for "
            "`delay` seconds",
            ("market", "delay"),
            {"delay": 5.0},
        ),
        "reject_token": Kind("http", "fresh tokens are told expired (401)", _ON_UPGRADES),
        "refuse_upgrade": Kind(
            "http", "upgrades get an HTTP error", (*_ON_UPGRADES, "status"), {"status": 403}
        ),
        "rate_limit": Kind(
            "http",
            "HTTP 429 with the quota's headers, whose window ends in `delay` seconds",
            (*_ON_REQUESTS, "delay"),
            {"status": 429, "delay": 1.0},
        ),
        "overload": Kind(
            "http", "HTTP 429 without those headers", (*_ON_REQUESTS, "status"), {"status": 429}
        ),
        "html_error": Kind("http", "a page of HTML with a 502", (*_ON_REQUESTS, "status")),
        "truncate": Kind("http", "replies end in their middle", _ON_REQUESTS, {"status": 200}),
        "slow_reply": Kind(
            "http",
            "replies come late, by `delay` seconds, others meanwhile go on",
            (*_ON_REQUESTS, "delay"),
            {"status": 200, "delay": 1.0},
        ),
        "rebase": Kind(
            "symbol",
            "the book's sequence jumps backwards, everywhere",
            (*_ON_SYMBOLS, "by"),
        ),
        "crossed_book": Kind(
            "symbol",
            "for `delay` (virtual) seconds the best bid is above the best ask",
            (*_ON_SYMBOLS, "delay"),
            {"delay": 0.05},
        ),
        "delist": Kind(
            "symbol",
            "the symbol is closed: REST says so, and the stream is silent",
            _ON_SYMBOLS,
            _LASTING,
        ),
        "repeat_executions": Kind(
            "other",
            "the next subscription to a trade topic begins with the last `count` executions, or "
            "with each `every`-th, but for the newest `after`",
            ("topic", "market", "count", "every", "after"),
            {"count": 10},
        ),
    }
)

#: Spellings of garbage that ``malformed`` sends.
GARBAGE = ("not_json", "wrong_types", "missing_fields", "nan", "nested")
_UNTIL = ("heal", "resubscribe", "reconnect")


@dataclass
class ArmedFault:
    """A fault in its place, with the counts of messages or requests that passed or were struck."""

    fault: Fault
    passed: int = 0
    struck: int = 0
    held: list[Message] = field(default_factory=list)

    @property
    def is_spent(self) -> bool:
        """Whether it will never strike again."""
        count = self.fault.count
        return count is not None and self.struck >= count and not self.held

    def strikes(
        self,
        market: str,
        *,
        topic: str | None = None,
        symbol: str | None = None,
        path: str | None = None,
    ) -> bool:
        """Count one message, ping or request; return whether the fault strikes it."""
        fault = self.fault
        if not self._concerns(market, topic, symbol):
            return False
        if fault.path is not None and not (path or "").startswith(fault.path):
            return False
        if self.passed < fault.after:
            self.passed += 1
            return False
        if fault.count is not None and self.struck >= fault.count:
            return False
        self.struck += 1
        return True

    def _concerns(self, market: str, topic: str | None, symbol: str | None) -> bool:
        fault = self.fault
        return (
            fault.market in (None, market)
            and fault.topic in (None, topic)
            and fault.symbol in (None, symbol)
        )


def _drop(_armed: ArmedFault, _message: Message) -> list[Message]:
    return []


def _duplicate(_armed: ArmedFault, message: Message) -> list[Message]:
    return [message, message._replace(state=message.state or "again")]


def _hold_back(armed: ArmedFault, message: Message) -> list[Message]:
    armed.held.append(message)
    return []


# The messages sent instead of a struck one. A held message goes out right after the next message of
# its topic. The delivery itself makes the shapes of earlier years and garbage.
MESSAGE_FAULTS: dict[str, Callable[[ArmedFault, Message], list[Message]]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "reorder": _hold_back,
    "stall": _drop,
    "delist": _drop,
}


def _names(*places: Place) -> frozenset[str]:
    return frozenset(name for name, kind in KINDS.items() if kind.place in places)


# Struck client pings get no pong, or a late one.
PING_FAULTS = _names("ping")
# Ways to end the connections of a market: done by the server at once.
CONNECTION_FAULTS = _names("connection")
# Ways to answer a struck request: done by the server.
HTTP_FAULTS = _names("http")
# Faults of books and contracts.
SYMBOL_FAULTS = _names("symbol")

FAULTS: tuple[str, ...] = tuple(sorted(KINDS))


def make_fault(fault: str | Fault, **options: object) -> Fault:
    """Build a fault from its name and options.

    Parameters
    ----------
    fault
        One of ``FAULTS``, or a finished `Fault`, which `options` then change.
    **options
        Fields of `Fault` that this fault takes.

    Returns
    -------
    Fault
        The fault, with the defaults of its name for all options not given.

    Raises
    ------
    InvalidInput
        If the name or an option is unknown, or a value is invalid.
    """
    name = fault.name if isinstance(fault, Fault) else fault
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInput(f"no fault {shown(name)}; faults: {', '.join(FAULTS)}")
    unknown = sorted(set(options) - set(kind.takes))
    if unknown:
        known = ", ".join(kind.takes)
        raise InvalidInput(f"fault {name!r} has no option {shown(unknown[0])}; options: {known}")
    base = fault if isinstance(fault, Fault) else kind.make(name)
    made = replace(base, **options)  # type: ignore[arg-type]
    _check_numbers(made)
    _check_words(made)
    return made


def _check_numbers(fault: Fault) -> None:
    name = fault.name
    count = fault.count
    numbers = {"count": count, "every": fault.every, "after": fault.after, "by": fault.by}
    for key, value in numbers.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise InvalidInput(f"fault {name!r} needs a whole number for {key}, not {shown(value)}")
    if fault.after < 0 or (count is not None and count < 1):
        raise InvalidInput(f"fault {name!r} needs count >= 1 and after >= 0")
    if name == "repeat_executions" and count is None:
        raise InvalidInput("fault 'repeat_executions' needs a count")
    if fault.every < 1:
        raise InvalidInput(f"fault {name!r} needs every >= 1")
    if not isinstance(fault.delay, (int, float)) or not 0 <= fault.delay < float("inf"):
        raise InvalidInput(f"fault {name!r} needs a delay of 0 or more seconds")
    if name == "crossed_book" and not 0.01 <= fault.delay < 0.1:
        raise InvalidInput("fault 'crossed_book' needs a delay from 0.01 to below 0.1 seconds")
    if fault.by < 3:
        raise InvalidInput(f"fault {name!r} needs by >= 3")


def _check_words(fault: Fault) -> None:
    for key, value, known in (
        ("market", fault.market, (None, "futures", "spot")),
        ("until", fault.until, _UNTIL),
        ("garbage", fault.garbage, (None, *GARBAGE)),
    ):
        if value not in known:
            words = ", ".join(word for word in known if word)
            raise InvalidInput(f"fault {fault.name!r}: no {key} {shown(value)}; {key}: {words}")
    if not isinstance(fault.status, int) or not 200 <= fault.status <= 599:
        raise InvalidInput(f"fault {fault.name!r}: no HTTP status {shown(fault.status)}")


def parse_fault(text: str) -> tuple[Fault, float]:
    """Read a fault as the command line spells it: ``NAME[:key=value,...]``.

    Parameters
    ----------
    text
        For example ``"stall:topic=/contractMarket/level2:XBTUSDTM,until=reconnect,at=2.5"``.

    Returns
    -------
    tuple[Fault, float]
        The fault, and ``at``: virtual seconds after the first subscription, 0 unless given.

    Raises
    ------
    InvalidInput
        If the name or an option is unknown, or a value is invalid.
    """
    name, _, rest = text.partition(":")
    options: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InvalidInput(f"fault {name!r}: {shown(part)} is not key=value")
        options[key.strip()] = _value(value.strip())
    at = options.pop("at", 0.0)
    if not isinstance(at, (int, float)) or not 0 <= at < float("inf"):
        raise InvalidInput(f"fault {name!r}: at={at} must be 0 or more seconds")
    return make_fault(name, **options), float(at)


def _value(text: str) -> object:
    if text.lower() == "none":
        return None
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
