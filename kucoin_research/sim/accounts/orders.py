"""The order requests of accounts, their fills, and their refusals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.account_orders import SelfTrade, TimeInForce
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
        Spot market orders only: what to buy or sell for, without the fee.
    time_in_force
        ``"GTC"``, ``"GTT"`` (spot: for `cancel_after`), ``"IOC"``, ``"FOK"`` or ``"PO"`` (post
        only).
    cancel_after
        Seconds of virtual time after which a ``"GTT"`` order is canceled, and on spot also a
        ``"PO"`` order; 0 for never.
    reduce_only
        Futures only: may close a position, never open one.
    close_order
        Futures only: closes the whole position; side and size follow from it.
    force_hold
        Futures only: binds margin even where it reduces a position.
    leverage
        Futures only: the leverage of what an isolated order opens; None for the symbol's.
    margin_mode
        Futures only: ``"ISOLATED"`` or ``"CROSS"``, which must be the symbol's; empty for that.
    stp
        What happens instead of a trade with an own order: ``"CN"`` cancels the new order, ``"CO"``
        the old one, ``"CB"`` both, and ``"DC"`` (spot) makes the larger one smaller and cancels the
        smaller one; empty for a trade. The taker's counts.
    client_oid
        The client's own id.
    remark, tags
        The client's notes.
    stop, stop_price, stop_price_type
        ``"up"`` or ``"down"`` on futures, ``"entry"`` or ``"loss"`` on spot: the order waits until
        the price has risen or fallen to the stop price. The price is the last trade (``"TP"``), the
        mark (``"MP"``) or the index (``"IP"``).
    taken_over_at
        The price at which the exchange takes a liquidated position over: it costs the margin,
        whatever the market pays. None for all other orders.
    taken_over_profit
        What the account realises by it, exactly: the price has more digits than can be kept.
    reduces_risk
        Whether the exchange reduces a position by it that is too large for its margin: unlike a
        position that is taken over, that part is closed in the market.
    """

    symbol: str
    side: Side
    size: Decimal | None = None
    price: Decimal | None = None
    funds: Decimal | None = None
    time_in_force: TimeInForce = "GTC"
    cancel_after: int = 0
    reduce_only: bool = False
    close_order: bool = False
    force_hold: bool = False
    leverage: Decimal | None = None
    margin_mode: str = ""
    stp: SelfTrade = ""
    client_oid: str = ""
    remark: str = ""
    tags: str = ""
    stop: str = ""
    stop_price: Decimal | None = None
    stop_price_type: str = "TP"
    taken_over_at: Decimal | None = None
    taken_over_profit: Decimal = Decimal(0)
    reduces_risk: bool = False

    @property
    def is_forced(self) -> bool:
        """Whether the exchange places it, at a liquidation."""
        return self.reduces_risk or self.taken_over_at is not None

    @property
    def trade_type(self) -> str:
        """``"trade"``, or ``"liquid"`` for liquidations."""
        return "liquid" if self.is_forced else "trade"

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
