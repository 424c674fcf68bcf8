"""The order requests of accounts, their fills, and their refusals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.account_orders import TimeInForce
from kucoin_research.sim.engine.market import Side

__all__ = ["Fill", "OrderRefused", "OrderRequest"]


class OrderRefused(InvalidInput):
    """An order or account request that KuCoin would refuse.

    Attributes
    ----------
    code
        KuCoin's error code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class OrderRequest:
    """An order as an account asks for it; sizes in lots on futures, in base coins on spot.

    Its fields are the options of KuCoin's order endpoints.

    Attributes
    ----------
    symbol, side
        Instrument, and ``"buy"`` or ``"sell"``.
    size
        Quantity; None with `funds`.
    price
        Limit price; None for a market order.
    funds
        Spot market buys only: the amount to spend, fee included.
    time_in_force
        ``"GTC"``, ``"IOC"``, ``"FOK"`` or ``"PO"`` (post only).
    reduce_only
        Futures only: may close a position, never open one.
    client_oid
        The client's own id.
    stop, stop_price, stop_price_type
        ``"up"`` or ``"down"`` on futures, ``"entry"`` or ``"loss"`` on spot: the order waits until
        the price has risen or fallen to the stop price. The price is the last trade (``"TP"``), the
        mark (``"MP"``) or the index (``"IP"``).
    taken_over_at
        The price at which the exchange takes a liquidated position over: it costs the margin,
        whatever the market pays. None for all other orders.
    """

    symbol: str
    side: Side
    size: Decimal | None = None
    price: Decimal | None = None
    funds: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    reduce_only: bool = False
    client_oid: str = ""
    stop: str = ""
    stop_price: Decimal | None = None
    stop_price_type: str = "TP"
    taken_over_at: Decimal | None = None

    @property
    def trade_type(self) -> str:
        """``"trade"``, or ``"liquid"`` for liquidations."""
        return "trade" if self.taken_over_at is None else "liquid"

    @property
    def order_type(self) -> str:
        """``"limit"`` or ``"market"``."""
        return "market" if self.price is None else "limit"


class Fill(NamedTuple):
    """One fill of an account's order; ``size`` in units: lots, or multiples of ``lot_size``."""

    time_ns: int
    symbol: str
    order_id: str
    trade_id: str
    side: Side
    price: Decimal
    size: int
    fee: Decimal
    is_taker: bool
