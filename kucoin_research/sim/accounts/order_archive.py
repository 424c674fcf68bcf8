"""The orders of one account, open and done: found by id, by the client's own id, and listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from kucoin_research.sim.accounts.orders import OrderRequest

__all__ = ["Archived", "OrderArchive"]

_DONE_KEPT = 100_000


class Archived(Protocol):
    """An order, as far as it is looked for."""

    request: OrderRequest
    order_id: str

    @property
    def market(self) -> str:
        """``"futures"`` or ``"spot"``."""


_Order = TypeVar("_Order", bound=Archived)


class OrderArchive(Generic[_Order]):
    """Keeps every open order, and the newest ones that are done.

    Parameters
    ----------
    kept
        The most that are done and kept.
    """

    def __init__(self, kept: int = _DONE_KEPT) -> None:
        self._kept = kept
        self._on_forgotten: Callable[[_Order], None] | None = None
        self._by_id: dict[str, _Order] = {}
        self._by_client_oid: dict[tuple[str, str], _Order] = {}
        self._done: dict[str, int] = {}
        self._ended = 0

    def add(self, order: _Order) -> None:
        """Keep a new order."""
        self._by_id[order.order_id] = order
        if order.request.client_oid:
            self._by_client_oid[order.market, order.request.client_oid] = order

    def call_when_forgotten(self, function: Callable[[_Order], None]) -> None:
        """Call a function with each order that is forgotten from now on."""
        self._on_forgotten = function

    def end(self, order: _Order) -> None:
        """Take note that an order is done; the one that was done first may be forgotten."""
        self._ended += 1
        self._done[order.order_id] = self._ended
        while len(self._done) > self._kept:
            oldest = next(iter(self._done))
            del self._done[oldest]
            forgotten = self._by_id.pop(oldest)
            key = forgotten.market, forgotten.request.client_oid
            if self._by_client_oid.get(key) is forgotten:
                del self._by_client_oid[key]
            if self._on_forgotten is not None:
                self._on_forgotten(forgotten)

    def find(self, market: str, order_id: str) -> _Order | None:
        """Return the order of an id on a market; None if there is none."""
        order = self._by_id.get(order_id)
        return order if order is not None and order.market == market else None

    def find_client_oid(self, market: str, client_oid: str) -> _Order | None:
        """Return the newest order with the client's own id on a market; None if there is none."""
        return self._by_client_oid.get((market, client_oid))

    def newest_first(self, market: str) -> Iterator[_Order]:
        """Go through a market's orders from the newest to the oldest."""
        return (one for one in reversed(self._by_id.values()) if one.market == market)

    def done(self, market: str) -> Iterator[tuple[int, _Order]]:
        """Go through a market's orders that are done, each with its number, the last one first.

        An order that ends later has a greater number, so that a list can be read on from a number
        while more orders end.
        """
        ended = ((number, self._by_id[one]) for one, number in reversed(self._done.items()))
        return ((number, order) for number, order in ended if order.market == market)
