"""Orders of accounts, and how the private streams spell them.

Shapes from the protocol reference, sections 8.1 (futures) and 8.2 (spot).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.ledger import ZERO, decimal_text
from kucoin_research.sim.market import Market, Side, TimeInForce, Trade

if TYPE_CHECKING:
    from kucoin_research.sim.members import Member

__all__ = [
    "Fill",
    "LiveOrder",
    "OrderRefused",
    "StopOrder",
    "Ticket",
    "futures_order_data",
    "spot_order_data",
    "stop_order_data",
]

_MS = 1_000_000

OrderEvent: TypeAlias = Literal["received", "open", "match", "update", "filled", "canceled"]


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
class Ticket:
    """What an account asks for; sizes in lots on futures, in base coins on spot.

    Attributes
    ----------
    symbol, side
        What to trade; the side is ``"buy"`` or ``"sell"``.
    size
        How much; None with `funds`.
    price
        Limit price; None for a market order.
    funds
        Spot market buys only: what to spend, fee included.
    time_in_force
        ``"GTC"``, ``"IOC"``, ``"FOK"`` or ``"PO"`` (post only).
    reduce_only
        Futures only: may close, never open.
    client_oid
        The client's own id.
    stop, stop_price, stop_price_type
        ``"up"`` or ``"down"`` on futures, ``"entry"`` or ``"loss"`` on spot: the order waits until
        the price has risen or fallen that far. ``"TP"`` last trade, ``"MP"`` mark, ``"IP"`` index.
    trade_type
        ``"trade"``, or ``"liquid"`` for liquidations.
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
    trade_type: str = "trade"

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


@dataclass(slots=True, kw_only=True, eq=False)
class LiveOrder:
    """One order in the engine; ``hold`` is what it sets aside on spot, in its currency."""

    member: Member
    engine: Market
    ticket: Ticket
    order_id: str
    price_ticks: int | None
    size: int
    time_ns: int
    filled: int = 0
    canceled: int = 0
    spent: Decimal = ZERO
    hold: Decimal = ZERO
    is_cross: bool = False
    leverage: Decimal = Decimal(1)

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.ticket.symbol

    @property
    def remaining(self) -> int:
        """What is neither filled nor canceled, in units."""
        return self.size - self.filled - self.canceled


@dataclass(slots=True, kw_only=True, eq=False)
class StopOrder:
    """One order that waits for a price."""

    member: Member
    engine: Market
    ticket: Ticket
    order_id: str
    size: int
    time_ns: int

    def is_reached(self, price: float) -> bool:
        """Tell whether a price triggers it."""
        assert self.ticket.stop_price is not None, "a stop has a stop price"
        stop_price = float(self.ticket.stop_price)
        rises = self.ticket.stop in ("up", "entry")
        return price >= stop_price if rises else price <= stop_price


def _match_fields(order: LiveOrder, trade: Trade, *, is_taker: bool) -> dict[str, Any]:
    engine = order.engine
    return {
        "matchPrice": engine.price_text(trade.price_ticks),
        "matchSize": engine.size_text(trade.size),
        "tradeId": trade.trade_id,
        "feeType": "takerFee" if is_taker else "makerFee",
    }


def futures_order_data(
    order: LiveOrder,
    event: OrderEvent,
    time_ns: int,
    *,
    trade: Trade | None = None,
    is_taker: bool = False,
    old_size: int | None = None,
) -> dict[str, Any]:
    """Build the data of one order event on futures (reference, section 8.1)."""
    engine, ticket = order.engine, order.ticket
    data: dict[str, Any] = {
        "symbol": order.symbol,
        "orderType": ticket.order_type,
        "side": ticket.side,
        "canceledSize": engine.size_text(order.canceled),
        "orderId": order.order_id,
        "liquidity": "taker" if is_taker else "maker",
        "marginMode": "CROSS" if order.is_cross else "ISOLATED",
        "positionSide": "BOTH",
        "type": event,
        "orderTime": order.time_ns,
        "size": engine.size_text(order.size),
        "filledSize": engine.size_text(order.filled),
        "price": "0" if order.price_ticks is None else engine.price_text(order.price_ticks),
        "remainSize": engine.size_text(order.remaining),
        "status": event if event in ("open", "match") else "done",
        "tradeType": ticket.trade_type,
        "ts": time_ns,
    }
    if ticket.client_oid:
        data["clientOid"] = ticket.client_oid
    if event == "update":
        data["status"] = "open"
        data["oldSize"] = engine.size_text(old_size or 0)
    if trade is not None:
        data |= _match_fields(order, trade, is_taker=is_taker)
    return data


def spot_order_data(
    order: LiveOrder,
    event: OrderEvent,
    time_ns: int,
    *,
    trade: Trade | None = None,
    is_taker: bool = False,
    old_size: int | None = None,
) -> dict[str, Any]:
    """Build the data of one order event on spot, V2 (reference, section 8.2)."""
    engine, ticket = order.engine, order.ticket
    funds = ticket.funds
    data: dict[str, Any] = {
        "clientOid": ticket.client_oid or order.order_id,
        "orderId": order.order_id,
        "orderTime": order.time_ns // _MS,
        "orderType": ticket.order_type,
        "side": ticket.side,
        "status": "new",
        "symbol": order.symbol,
        "ts": time_ns,
        "type": event,
    }
    if funds is None:
        data["originSize"] = engine.size_text(order.size)
    else:
        data["originFunds"] = decimal_text(funds)
    if order.price_ticks is not None:
        data["price"] = engine.price_text(order.price_ticks)
    if event == "received":
        return data
    # A maker's match shows the order as still open.
    done = event in ("filled", "canceled")
    data["status"] = "done" if done else "match" if is_taker and trade is not None else "open"
    data["size"] = engine.size_text(order.size)
    data["filledSize"] = engine.size_text(order.filled)
    data["canceledSize"] = engine.size_text(order.canceled)
    data["remainSize"] = engine.size_text(order.remaining)
    if funds is not None:
        left = decimal_text(funds - order.spent)
        data["remainFunds"] = "0" if done else left
        data["canceledFunds"] = left if done else "0"
    if event == "update":
        data["oldSize"] = engine.size_text(old_size or 0)
    if trade is not None:
        data["liquidity"] = "taker" if is_taker else "maker"
        data |= _match_fields(order, trade, is_taker=is_taker)
    return data


def stop_order_data(stop: StopOrder, event: str, time_ns: int, error: str = "") -> dict[str, Any]:
    """Build the data of one stop order event of either market; `event` is KuCoin's ``type``."""
    ticket, engine = stop.ticket, stop.engine
    is_futures = engine.listing.market == "futures"
    assert ticket.stop_price is not None, "a stop has a stop price"
    data: dict[str, Any] = {
        "createdAt": stop.time_ns // _MS,
        "orderId": stop.order_id,
        "orderPrice": decimal_text(ticket.price or ZERO),
        "orderType": "stop",
        "side": ticket.side,
        # An integer on futures, text on spot.
        "size": stop.size if is_futures else engine.size_text(stop.size),
        "stop": ticket.stop,
        "stopPrice": decimal_text(ticket.stop_price),
        "symbol": ticket.symbol,
        "ts": time_ns,
        "type": event,
    }
    if is_futures:
        data["marginMode"] = stop.member.margin_mode(ticket.symbol)
        data["stopPriceType"] = ticket.stop_price_type
    else:
        data["tradeType"] = "TRADE"
    if event == "triggered":
        data["triggerSuccess"] = not error
        if error:
            data["error"] = error
    return data
