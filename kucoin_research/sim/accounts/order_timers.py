"""Orders that end by time: good till a time, and the dead man's switch of an account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kucoin_research.sim.accounts.members import AccountOrder, Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.accounts.venue import OrderPlacer, Venue

__all__ = ["DeadCancel", "OrderTimers"]

_SECOND = 1_000_000_000
_LEAST, _MOST = 5, 86_400  # seconds of a dead man's switch (KuCoin's own bounds)


class DeadCancel(NamedTuple):
    """A dead man's switch that is set: it cancels the open orders unless it is set again.

    ``symbols`` are those whose orders it cancels; empty for all.
    """

    seconds: int
    symbols: tuple[str, ...]
    set_ns: int

    @property
    def due_ns(self) -> int:
        """Virtual time at which it cancels."""
        return self.set_ns + self.seconds * _SECOND


class OrderTimers:
    """Cancels orders at virtual times.

    Parameters
    ----------
    venue
        Its clock, and what calls at a time.
    orders
        Cancels.
    """

    def __init__(self, venue: Venue, orders: OrderPlacer) -> None:
        self._venue = venue
        self._orders = orders
        self._switches: dict[tuple[str, str], DeadCancel] = {}

    def expire(self, order: AccountOrder) -> None:
        """Cancel an order when its time is over, if it is still open then."""

        def end() -> None:
            if order.is_active:
                self._orders.cancel(order.member, order.order_id)

        self._venue.at(order.time_ns + order.request.cancel_after * _SECOND, end)

    def dead_cancel(self, member: Member, market: str) -> DeadCancel | None:
        """Return the account's switch on a market; None if none is set."""
        return self._switches.get((member.user_id, market))

    def set_dead_cancel(
        self, member: Member, market: str, seconds: int, symbols: Iterable[str] = ()
    ) -> DeadCancel | None:
        """Set the account's switch on a market anew; -1 seconds take it away.

        Raises
        ------
        OrderRefused
            400100 if the seconds are neither -1 nor from 5 to 86400.
        """
        key = member.user_id, market
        if seconds == -1:
            self._switches.pop(key, None)
            return None
        if not _LEAST <= seconds <= _MOST:
            raise OrderRefused(
                "400100", f"timeout {seconds} must be -1 or from {_LEAST} to {_MOST}"
            )
        switch = DeadCancel(seconds, tuple(symbols), self._venue.clock.reached_ns)
        self._switches[key] = switch

        def strike() -> None:
            if self._switches.get(key) is switch:
                del self._switches[key]
                self._cancel_all(member, market, switch.symbols)

        self._venue.at(switch.due_ns, strike)
        return switch

    def _cancel_all(self, member: Member, market: str, symbols: tuple[str, ...]) -> None:
        for order in list(member.orders.values()):
            if order.market == market and (not symbols or order.symbol in symbols):
                self._orders.cancel(member, order.order_id)
