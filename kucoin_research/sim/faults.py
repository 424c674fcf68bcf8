"""What can go wrong at an exchange, on demand.

A fault waits at one of four places: messages on their way out, client pings, connections, or HTTP
requests. Each place has a table from the fault's name to what it does; a new fault is a new line in
a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kucoin_research.errors import InvalidInput

__all__ = [
    "CONNECTION_FAULTS",
    "FAULTS",
    "HTTP_FAULTS",
    "MESSAGE_FAULTS",
    "PING_FAULTS",
    "Applied",
    "ArmedFault",
    "Fault",
    "Message",
    "Withheld",
    "make_fault",
]


class Message(NamedTuple):
    """One data frame on its way to the subscribers of its topic.

    `sequence` is the number that the topic's readers would miss it by: the book or trade sequence
    where there is one, else the virtual time in ns.
    """

    topic: str
    sequence: int
    payload: bytes


class Withheld(NamedTuple):
    """One message that did not reach a reader, and why."""

    time_ns: int
    reason: str
    topic: str
    sequence: int


class Applied(NamedTuple):
    """One application of a fault; without `topic` and `sequence` if it struck no message."""

    time_ns: int
    fault: str
    market: str
    topic: str = ""
    sequence: int = 0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault to inject.

    Attributes
    ----------
    name
        One of ``FAULTS``.
    topic
        The single-symbol topic it concerns; None for any.
    market
        ``"futures"`` or ``"spot"``; None for both.
    path
        For HTTP faults, the beginning of the path; None for any.
    count
        How many messages, pings or requests it strikes; None for all, until ``Exchange.heal()``.
    after
        How many matching ones pass first.
    status
        HTTP status, for ``http_error`` and ``refuse_upgrade``.
    """

    name: str
    topic: str | None = None
    market: str | None = None
    path: str | None = None
    count: int | None = 1
    after: int = 0
    status: int = 502


@dataclass
class ArmedFault:
    """A fault in place, with what it has left to do."""

    fault: Fault
    passed: int = 0
    struck: int = 0
    held: list[Message] = field(default_factory=list)

    @property
    def is_spent(self) -> bool:
        """Whether it will never strike again."""
        count = self.fault.count
        return count is not None and self.struck >= count and not self.held

    def strikes(self, market: str, *, topic: str | None = None, path: str | None = None) -> bool:
        """Tell whether it strikes this one; counts the ones that pass."""
        fault = self.fault
        if fault.market not in (None, market) or fault.topic not in (None, topic):
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


def _drop(_armed: ArmedFault, _message: Message) -> list[Message]:
    return []


def _duplicate(_armed: ArmedFault, message: Message) -> list[Message]:
    return [message, message]


def _hold_back(armed: ArmedFault, message: Message) -> list[Message]:
    armed.held.append(message)
    return []


# What becomes of a struck message. A held one goes out right behind the next message of its topic.
MESSAGE_FAULTS: dict[str, Callable[[ArmedFault, Message], list[Message]]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "reorder": _hold_back,
    "stall": _drop,
}
# Struck client pings get no pong.
PING_FAULTS = frozenset({"mute_pong"})
# How every connection of the market ends: done by the server at once.
CONNECTION_FAULTS = frozenset({"abort", "bye", "expire_token", "half_frame"})
# How a struck request is answered: done by the server.
HTTP_FAULTS = frozenset({"html_error", "overload", "refuse_upgrade", "truncate"})

FAULTS: tuple[str, ...] = tuple(
    sorted({*MESSAGE_FAULTS, *PING_FAULTS, *CONNECTION_FAULTS, *HTTP_FAULTS})
)

# A stall has no natural end: it lasts until it is healed, unless `count` says otherwise.
_DEFAULTS: dict[str, Fault] = {
    "stall": Fault(name="stall", count=None),
    "mute_pong": Fault(name="mute_pong", count=None),
    "overload": Fault(name="overload", status=429),
    "refuse_upgrade": Fault(name="refuse_upgrade", status=403),
    "truncate": Fault(name="truncate", status=200),
}


def make_fault(fault: str | Fault, **options: object) -> Fault:
    """Build a fault from its name and options.

    Parameters
    ----------
    fault
        One of ``FAULTS``, or a finished `Fault`, which `options` then change.
    **options
        Fields of `Fault`.

    Returns
    -------
    Fault
        With the defaults of that name where `options` say nothing.

    Raises
    ------
    InvalidInput
        If the name or an option is unknown, or a count is negative.
    """
    name = fault.name if isinstance(fault, Fault) else fault
    if name not in FAULTS:
        raise InvalidInput(f"no fault {name!r}; faults: {', '.join(FAULTS)}")
    base = fault if isinstance(fault, Fault) else _DEFAULTS.get(name, Fault(name=name))
    unknown = sorted(set(options) - set(Fault.__dataclass_fields__) | ({"name"} & set(options)))
    if unknown:
        known = ", ".join(key for key in Fault.__dataclass_fields__ if key != "name")
        raise InvalidInput(f"fault {name!r} has no option {unknown[0]!r}; options: {known}")
    made = replace(base, **options)  # type: ignore[arg-type]
    if made.after < 0 or (made.count is not None and made.count < 1):
        raise InvalidInput(f"fault {name!r} needs count >= 1 and after >= 0")
    if made.market not in (None, "futures", "spot"):
        raise InvalidInput(f"no market {made.market!r}; markets: futures, spot")
    return made
