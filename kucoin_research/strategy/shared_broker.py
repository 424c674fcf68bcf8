"""A broker that may be used from any thread, and remembers calls that came from elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from kucoin_research.strategy.broker import Broker, Desk
from kucoin_research.strategy.orders import Order

__all__ = ["OutsideCall", "SharedBroker"]

#: The methods that change something, and so are part of a run's history.
_ACTS = ("buy", "sell", "close", "target", "cancel", "cancel_all", "replace", "note")
_LOOKS = ("orders", "position", "best", "book", "last", "instrument", "__repr__")


class OutsideCall(NamedTuple):
    """A call that did not come from the strategy, such as from a notebook's cell.

    Attributes
    ----------
    after
        The number of records that had been played.
    now
        The broker's time, ns UTC.
    method
        Its name.
    args, kwargs
        As they were passed, with the ids of orders in place of the orders.
    """

    after: int
    now: int
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class OrderId(NamedTuple):
    """Stands for an order among the arguments of a call."""

    number: int


class SharedBroker(Broker):
    """A broker whose methods may be called from any thread while records are played.

    Parameters
    ----------
    desk
        See ``Broker``.
    lock
        Held while records are played, and during each call.
    records
        Returns the number of records played.
    """

    def __init__(self, desk: Desk, lock: threading.RLock, records: Callable[[], int]) -> None:
        super().__init__(desk)
        self.lock: Any = lock
        self.outside: list[OutsideCall] = []
        self._records = records
        self.is_called = False  # whether the strategy is being called

    def restart(self, desk: Desk) -> None:
        """Begin anew with another run; orders of the run before are no longer known."""
        with self.lock:
            super().__init__(desk)
            self.outside = []

    @property
    def cash(self) -> float:
        """The balances, in the currency of the results."""
        with self.lock:
            return super().cash

    @property
    def equity(self) -> float:
        """Cash with unrealised profits, and the worth of coins held on spot."""
        with self.lock:
            return super().equity

    def remember(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note a call, if it is not the strategy's."""
        if not self.is_called:
            self.outside.append(
                OutsideCall(
                    self._records(),
                    self.now,
                    method,
                    tuple(map(_named, args)),
                    {name: _named(value) for name, value in kwargs.items()},
                )
            )

    def again(self, call: OutsideCall) -> None:
        """Make a call that was made in another run."""

        def found(value: object) -> object:
            return self.sent[value.number - 1] if isinstance(value, OrderId) else value

        self.now = call.now
        kwargs = {name: found(value) for name, value in call.kwargs.items()}
        getattr(self, call.method)(*map(found, call.args), **kwargs)


def _named(value: object) -> object:
    return OrderId(value.order_id) if isinstance(value, Order) else value


def _locked(name: str) -> Callable[..., Any]:
    method = getattr(Broker, name)
    is_act = name in _ACTS

    @wraps(method)
    def call(self: SharedBroker, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            was_called = self.is_called
            if is_act:
                self.remember(name, args, kwargs)
            # A method may call others, and only the outermost one is remembered.
            self.is_called = True
            try:
                return method(self, *args, **kwargs)
            finally:
                self.is_called = was_called

    return call


for _name in (*_ACTS, *_LOOKS):
    setattr(SharedBroker, _name, _locked(_name))
