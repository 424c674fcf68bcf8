"""The exchange as its accounts see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRequest
from kucoin_research.sim.engine.account_orders import Submission
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.clock import VirtualClock
from kucoin_research.sim.engine.market import Market

__all__ = ["OrderPlacer", "Venue"]


class Venue(Protocol):
    """The parts of the exchange that its accounts use."""

    clock: VirtualClock
    seed: int
    listings: Mapping[str, Listing]

    def engine(self, symbol: str) -> Market:
        """Return a symbol's engine."""

    def caught_up(self, symbol: str) -> Market:
        """Return a symbol's engine, advanced to the current virtual time."""

    def order(self, symbol: str, action: Callable[[Market], Submission]) -> Submission:
        """Apply an action to an engine's book; streams, tape and REST then show it."""

    def at(self, time_ns: int, call: Callable[[], None]) -> None:
        """Call a function when everything up to a virtual time has happened."""

    def trading_status(self, symbol: str) -> str:
        """Return a symbol's trading status: ``Open``, or another of KuCoin's words."""

    def watch(self) -> None:
        """Find again the engines that must be advanced."""

    def frame_id(self, name: str, time_ns: int) -> str:
        """Make the 24-hex id of a frame."""

    def emit_private(
        self, user_id: str, market: str, listened: str, frame: dict[str, Any], time_ns: int
    ) -> None:
        """Send a frame to the listeners of an account's topic."""


class OrderPlacer(Protocol):
    """Places, cancels and amends orders of accounts."""

    def place(self, member: Member, request: OrderRequest) -> str:
        """Enter an order; return its id."""

    def test(self, member: Member, request: OrderRequest) -> None:
        """Check an order as `place` does, without entering it."""

    def cancel(self, member: Member, order_id: str) -> None:
        """Cancel an order or a stop order."""

    def amend(self, member: Member, order_id: str, size: Decimal) -> None:
        """Make an open order smaller."""
