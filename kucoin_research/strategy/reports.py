"""What the paper exchange reports to the broker: it arrives after the response latency."""

from __future__ import annotations

from typing import NamedTuple

from kucoin_research.strategy.orders import Fill, Order, OrderStatus
from kucoin_research.strategy.positions import HoldingState

__all__ = ["AccountReport", "OrderReport", "Report"]


class OrderReport(NamedTuple):
    """A change of an order.

    Attributes
    ----------
    when
        When it happened, ns UTC.
    order
        The order it is about.
    status, filled, average_price, reason
        As they are from then on; a ``reason`` of None leaves the one that is there.
    fill
        The execution; None if there was none.
    """

    when: int
    order: Order
    status: OrderStatus
    filled: float
    average_price: float | None
    reason: str | None
    fill: Fill | None


class AccountReport(NamedTuple):
    """A change of the account: the holding of a symbol, and the balance of its currency.

    ``when`` is the time of the record that it was booked with: a candle's close, even for a fill at
    its open. ``fill`` is a liquidation, which belongs to no order.
    """

    when: int
    symbol: str
    holding: HoldingState
    currency: str
    cash: int
    fill: Fill | None = None


Report = OrderReport | AccountReport
