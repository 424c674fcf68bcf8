"""The decisions of a strategy in a run: each call of the broker, record by record.

Calls that only read are kept as well: a strategy that looks at the book because of something that
it cannot know yet is found by them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from kucoin_research.errors import StopStrategy, shown
from kucoin_research.foundation.arguments import is_number
from kucoin_research.model.records import Record, local_timestamp_of
from kucoin_research.strategy.broker import Broker
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.orders import Order
from kucoin_research.strategy.run import PaperRun
from kucoin_research.strategy.tape import Tape

__all__ = ["Call", "Decisions", "Difference", "Sent", "calls_text", "play"]

_ACTIONS = frozenset(
    {"buy", "sell", "close", "target", "cancel", "cancel_all", "replace", "note"}
    | {"raises", "stops"}
)
_METHODS = (
    *("buy", "sell", "close", "target", "cancel", "cancel_all", "replace", "note"),
    *("position", "orders", "best", "book", "last", "instrument"),
)
_PROPERTIES = ("fills", "cash", "equity")
#: No equity curve is wanted, so it is sampled as rarely as can be.
_RARELY = 1 << 62


class Sent(NamedTuple):
    """An order that was passed to a call."""

    order_id: int
    text: str

    def __str__(self) -> str:
        return f"order {self.order_id}, {self.text}"


Value: TypeAlias = float | str | bool | Sent | None


class Call(NamedTuple):
    """A call of the broker; the name of an argument passed by its place is empty.

    Besides the broker's methods there are ``raises`` and ``stops``: the end of a strategy.
    """

    name: str
    arguments: tuple[tuple[str, Value], ...] = ()

    @property
    def is_action(self) -> bool:
        """Whether it does more than read."""
        return self.name in _ACTIONS

    def __str__(self) -> str:
        texts = (f"{name}={_text(value)}" if name else _text(value) for name, value in self[1])
        return f"{self.name}({', '.join(texts)})"


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value) if isinstance(value, Sent) else repr(value)


def calls_text(calls: Sequence[Call]) -> str:
    """Write the calls at a record; ``no call`` without any."""
    return ", ".join(map(str, calls)) or "no call"


class Difference(NamedTuple):
    """The first record of a run at which it differs from another one.

    Attributes
    ----------
    number
        Of the record, from 0.
    time
        When it arrived, ns UTC.
    record
        As the strategy received it.
    expected, found
        The calls of the other run, and of this one.
    """

    number: int
    time: int
    record: str
    expected: tuple[Call, ...]
    found: tuple[Call, ...]


class Decisions:
    """What a strategy did in a run.

    Attributes
    ----------
    times
        When each record arrived, ns UTC.
    calls
        By the number of the record, from 0; records without a call are not in it.
    ended
        Why the run ended before the data; None if it did not.
    difference
        From the decisions that were expected; the run ends there.
    """

    def __init__(self) -> None:
        self.times: list[int] = []
        self.calls: dict[int, tuple[Call, ...]] = {}
        self.ended: str | None = None
        self.difference: Difference | None = None

    @property
    def actions(self) -> list[int]:
        """The numbers of the records at which it did more than read."""
        return [
            number for number, calls in self.calls.items() if any(call.is_action for call in calls)
        ]


def play(
    strategy: Strategy,
    tape: Tape,
    options: RunOptions,
    *,
    expected: Decisions | None = None,
    last: int | None = None,
) -> Decisions:
    """Play records to a strategy and keep its decisions.

    Parameters
    ----------
    strategy
        A fresh one.
    tape, options
        Of the run.
    expected
        The decisions of another run; this one ends at the first that differs.
    last
        The number of the last record to play; all if None.
    """
    watch = _Watch(strategy, expected, last)
    run = PaperRun(watch, tape, options, _RARELY)
    for records in tape.batches():
        if not run.feed(records):
            break
    if not watch.is_satisfied:
        watch.decisions.ended = run.ended
    return watch.decisions


class _Watch:
    """Calls a strategy with a broker that writes down each call."""

    def __init__(self, strategy: Strategy, expected: Decisions | None, last: int | None) -> None:
        self.decisions = Decisions()
        self.is_satisfied = False  # the run was ended by this, not by the strategy
        self._strategy = strategy
        self._expected = expected
        self._last = last
        self._broker: _WatchedBroker | None = None
        self._calls: list[Call] = []

    def __call__(self, record: Record, broker: Broker) -> None:
        if self._broker is None:
            self._broker = _WatchedBroker(broker, self._calls)
        number = len(self.decisions.times)
        self.decisions.times.append(local_timestamp_of(record))
        self._calls.clear()
        try:
            self._strategy(record, self._broker)
        except StopStrategy as stop:
            self._calls.append(Call("stops", (("", str(stop)),)))
            self._keep(number, record)
            raise
        except Exception as error:
            self._calls.append(Call("raises", (("", f"{type(error).__name__}: {error}"),)))
            self._keep(number, record)
            raise
        self._keep(number, record)
        if self.decisions.difference is not None or number == self._last:
            self.is_satisfied = True
            raise StopStrategy

    def _keep(self, number: int, record: Record) -> None:
        calls = tuple(self._calls)
        if calls:
            self.decisions.calls[number] = calls
        if self._expected is None:
            return
        expected = self._expected.calls.get(number, ())
        if calls != expected:
            self.decisions.difference = Difference(
                number, self.decisions.times[-1], shown(record), expected, calls
            )


class _WatchedBroker(Broker):
    """The broker of a run that also writes down its calls.

    A call that another one makes, such as ``replace`` of ``cancel``, is not written down.
    """

    _watched: list[Call]
    _depth: int

    def __init__(self, broker: Broker, calls: list[Call]) -> None:
        # Its state is that of the run's broker, no copy of it.
        self.__dict__ = broker.__dict__
        self._watched = calls
        self._depth = 0


def _watching(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._depth:
            placed = (("", _value(each)) for each in args)
            named = ((key, _value(each)) for key, each in sorted(kwargs.items()))
            self._watched.append(Call(name, (*placed, *named)))
        self._depth += 1
        try:
            return plain(self, *args, **kwargs)
        finally:
            self._depth -= 1

    return call


def _value(value: object) -> Value:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Order):
        return Sent(value.order_id, _order_text(value))
    if is_number(value):
        number = float(value)  # type: ignore[arg-type]
        return number if number == number else "nan"
    return repr(value)


def _order_text(order: Order) -> str:
    prices = [
        f"{name} {price:.12g}"
        for name, price in (("limit", order.limit), ("stop", order.stop))
        if price is not None
    ]
    return " ".join((order.side, f"{order.size:.12g}", order.symbol, *(prices or ["market"])))


for _name in _METHODS:
    setattr(_WatchedBroker, _name, _watching(_name, getattr(Broker, _name)))
for _name in _PROPERTIES:
    setattr(_WatchedBroker, _name, property(_watching(_name, getattr(Broker, _name).fget)))
