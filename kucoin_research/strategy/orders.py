"""Orders and fills, as a strategy sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import NamedTuple

__all__ = ["Fill", "Order", "OrderStatus"]


@unique
class OrderStatus(StrEnum):
    """How far an order has come, as its sender knows."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def is_open(self) -> bool:
        """Whether more can happen to the order."""
        return self in _OPEN


_OPEN = (OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.PARTLY_FILLED)


@dataclass(slots=True, eq=False)
class Order:
    """An order that a strategy has sent. It changes as reports on it arrive; read it only.

    The fields are those of an order at KuCoin, and what became of it.

    Attributes
    ----------
    order_id
        Counted from 1.
    symbol, side
        ``side`` is ``buy`` or ``sell``.
    type
        ``market`` or ``limit``; with a stop price it is placed once the stop is reached.
    size
        Lots on futures, base coins on spot.
    limit, stop
        Prices; ``None`` if it has none.
    stop_price_type
        What reaches the stop: ``TP`` the last trade, ``MP`` the mark price, ``IP`` the index.
    time_in_force
        ``GTC``, ``IOC``; on spot also ``FOK`` and ``GTT``.
    cancel_after
        Seconds after which a ``GTT`` order is cancelled.
    post_only, reduce_only
        Whether it may not take, and whether it may only make a position smaller.
    tag
        The strategy's own word, kept with its fills.
    submitted, accepted, ended
        ns UTC; ``None`` where that has not happened, or is not known yet.
    status, reason
        ``reason`` says why it was rejected or cancelled: KuCoin's code and text, and a hint.
    filled, average_price
        The size filled so far and its average price.
    decision_mid
        The mid when it was sent; ``None`` if there was none.
    """

    order_id: int
    symbol: str
    side: str
    type: str
    size: float
    limit: float | None
    stop: float | None
    stop_price_type: str
    time_in_force: str
    cancel_after: float | None
    post_only: bool
    reduce_only: bool
    tag: str
    submitted: int
    decision_mid: float | None = None
    accepted: int | None = None
    ended: int | None = None
    status: OrderStatus = OrderStatus.PENDING
    reason: str | None = None
    filled: float = 0.0
    average_price: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether more can happen to it."""
        return self.status.is_open

    @property
    def left(self) -> float:
        """The size that is not filled."""
        return self.size - self.filled


class Fill(NamedTuple):
    """One execution of an order.

    Attributes
    ----------
    timestamp
        When it happened, ns UTC on the clock of the records' arrival.
    symbol, side, price, size
        Of the execution; the price is in the quote currency.
    liquidity
        ``maker`` or ``taker``.
    fee, fee_currency
        What it cost; negative for a rebate.
    order_id, tag
        Of the order.
    position_after
        The signed position behind it.
    """

    timestamp: int
    symbol: str
    side: str
    price: float
    size: float
    liquidity: str
    fee: float
    fee_currency: str
    order_id: int
    tag: str
    position_after: float
