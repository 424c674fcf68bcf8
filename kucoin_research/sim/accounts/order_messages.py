"""The data of order events on the private streams.

Shapes from the protocol reference, sections 8.1 (futures) and 8.2 (spot).
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from kucoin_research.sim.accounts.ledger import ZERO, decimal_text
from kucoin_research.sim.accounts.members import AccountOrder, StopOrder
from kucoin_research.sim.engine.market import Trade

__all__ = [
    "OrderEvent",
    "futures_order_data",
    "spot_order_data",
    "spot_order_v1",
    "stop_order_data",
]

_MS = 1_000_000

OrderEvent: TypeAlias = Literal["received", "open", "match", "update", "filled", "canceled"]


def _match_fields(order: AccountOrder, trade: Trade, *, is_taker: bool) -> dict[str, Any]:
    engine, taken_over_at = order.engine, order.request.taken_over_at
    return {
        # A take-over is the account's own, at a price of its own, whatever the market pays.
        "matchPrice": (
            engine.price_text(trade.price_ticks)
            if taken_over_at is None
            else decimal_text(taken_over_at)
        ),
        "matchSize": engine.size_text(trade.size),
        "tradeId": trade.trade_id,
        "feeType": "takerFee" if is_taker else "makerFee",
    }


def futures_order_data(
    order: AccountOrder,
    event: OrderEvent,
    time_ns: int,
    *,
    trade: Trade | None = None,
    is_taker: bool = False,
    old_size: int | None = None,
) -> dict[str, Any]:
    """Build the data of one order event on futures (reference, section 8.1)."""
    engine, request = order.engine, order.request
    data: dict[str, Any] = {
        "symbol": order.symbol,
        "orderType": request.order_type,
        "side": request.side,
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
        "tradeType": request.trade_type,
        "ts": time_ns,
    }
    # Only what the exchange itself places, at a liquidation, has no such id.
    if not request.is_forced:
        data["clientOid"] = request.client_oid or order.order_id
    if event in ("filled", "canceled"):
        del data["liquidity"]
        data["allCanceledSize"] = engine.size_text(order.canceled)
    if event == "update":
        data["status"] = "open"
        data["oldSize"] = engine.size_text(old_size or 0)
    if trade is not None:
        data |= _match_fields(order, trade, is_taker=is_taker)
    return data


def spot_order_data(
    order: AccountOrder,
    event: OrderEvent,
    time_ns: int,
    *,
    trade: Trade | None = None,
    is_taker: bool = False,
    old_size: int | None = None,
) -> dict[str, Any]:
    """Build the data of one order event on spot, V2 (reference, section 8.2)."""
    engine, request = order.engine, order.request
    funds = request.funds
    data: dict[str, Any] = {
        "clientOid": request.client_oid or order.order_id,
        "orderId": order.order_id,
        "orderTime": order.time_ns // _MS,
        "orderType": request.order_type,
        "side": request.side,
        "status": "new",
        "symbol": order.symbol,
        "ts": time_ns,
        "pt": time_ns // _MS,
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
    if done:
        data["remainFunds"] = "0"
    if funds is not None:
        left = decimal_text(order.unused_funds)
        data.setdefault("remainFunds", left)
        data["canceledFunds"] = left if done else "0"
    if event == "update":
        data["oldSize"] = engine.size_text(old_size or 0)
    if trade is not None:
        data["liquidity"] = "taker" if is_taker else "maker"
        data |= _match_fields(order, trade, is_taker=is_taker)
    return data


_ONLY_IN_V2 = ("originSize", "originFunds", "canceledSize", "canceledFunds")


def spot_order_v1(data: dict[str, Any]) -> dict[str, Any]:
    """Make the data of an order event on spot, V1, from that of V2.

    It has no original and no canceled sizes. An order by funds has no sizes but at its end.
    """
    kept = {name: value for name, value in data.items() if name not in _ONLY_IN_V2}
    if "originFunds" in data:
        kept["funds"] = data["originFunds"]
        del kept["size"]
        if data["status"] != "done":
            del kept["remainSize"]
    return kept


def stop_order_data(stop: StopOrder, event: str, time_ns: int, error: str = "") -> dict[str, Any]:
    """Build the data of one stop order event of either market; `event` is KuCoin's ``type``."""
    request, engine = stop.request, stop.engine
    is_futures = engine.listing.market == "futures"
    assert request.stop_price is not None, "a stop has a stop price"
    data: dict[str, Any] = {
        "createdAt": stop.time_ns // _MS,
        "orderId": stop.order_id,
        "orderPrice": decimal_text(request.price or ZERO),
        "orderType": "stop",
        "side": request.side,
        # A number on futures, text on spot.
        "size": stop.size if is_futures else engine.size_text(stop.size),
        "stop": request.stop,
        "stopPrice": decimal_text(request.stop_price),
        "symbol": request.symbol,
        "ts": time_ns,
        "type": event,
    }
    if is_futures:
        data["marginMode"] = stop.member.margin_mode(request.symbol)
        data["stopPriceType"] = request.stop_price_type
    else:
        data["tradeType"] = "TRADE"
    if event == "triggered":
        data["triggerSuccess"] = not error
        if error:
            data["error"] = error
    return data
