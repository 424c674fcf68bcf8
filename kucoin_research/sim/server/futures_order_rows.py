"""The rows of futures orders and fills in REST replies."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

from kucoin_research.sim.accounts.account_book import FillRow
from kucoin_research.sim.accounts.ledger import ZERO, contract_value, decimal_text, fraction
from kucoin_research.sim.accounts.members import AccountOrder, StopOrder
from kucoin_research.sim.accounts.order_checks import leverage_of
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.server.routes import MS

__all__ = ["AnyOrder", "fill_row", "order_kind", "order_row", "present"]

AnyOrder: TypeAlias = AccountOrder | StopOrder

_PRICE_DIGITS = Decimal("1e-10")


def present(order: AnyOrder) -> AnyOrder:
    """Return the order that a triggered stop order has become; other orders as they are."""
    if isinstance(order, StopOrder) and order.order is not None:
        return order.order
    return order


def order_kind(order_type: str, stop: str) -> str:
    """Spell the type of an order as lists filter it: ``limit``, or ``limit_stop`` with a stop."""
    return f"{order_type}_stop" if stop else order_type


def order_row(order: AnyOrder) -> dict[str, Any]:
    """Build the row of an order or of a stop order that waits, or waited in vain."""
    listing, request = order.engine.listing, order.request
    ended_ms = None if order.ended_ns is None else order.ended_ns // MS
    return {
        "id": order.order_id,
        "symbol": order.symbol,
        "type": request.order_type,
        "side": request.side,
        "price": decimal_text(request.price or ZERO),
        "size": order.size,
        "value": decimal_text(_value(order)),
        **_filled_fields(order, listing),
        "stp": request.stp,
        **_stop_fields(order),
        "timeInForce": "GTC" if request.time_in_force == "PO" else request.time_in_force,
        "postOnly": request.time_in_force == "PO",
        "hidden": False,
        "iceberg": False,
        "leverage": decimal_text(_leverage(order)),
        "forceHold": request.force_hold,
        "closeOrder": request.close_order,
        "visibleSize": 0,
        "clientOid": _client_oid(order),
        "remark": request.remark or None,
        "tags": request.tags,
        "isActive": order.is_active,
        "cancelExist": _is_canceled(order),
        "createdAt": order.time_ns // MS,
        "updatedAt": _updated_ns(order) // MS,
        "endAt": ended_ms,
        "orderTime": order.time_ns,
        "settleCurrency": listing.settle,
        "marginMode": _margin_mode(order),
        "status": "open" if order.is_active else "done",
        "reduceOnly": request.reduce_only,
    }


def _filled_fields(order: AnyOrder, listing: Listing) -> dict[str, Any]:
    filled, value = 0, ZERO
    if isinstance(order, AccountOrder):
        filled, value = order.filled, order.value
    text = decimal_text(value)
    return {
        "dealValue": text,
        "dealSize": filled,
        "avgDealPrice": decimal_text(_average_price(listing, filled, value)),
        "filledSize": filled,
        "filledValue": text,
    }


def _average_price(listing: Listing, lots: int, value: Decimal) -> Decimal:
    if not lots or not value:
        return ZERO
    coins = lots * abs(fraction(listing.multiplier))
    price = coins / value if listing.is_inverse else value / coins
    return price.quantize(_PRICE_DIGITS)


def _stop_fields(order: AnyOrder) -> dict[str, Any]:
    was = order if isinstance(order, StopOrder) else order.stop
    if was is None:
        return {"stop": "", "stopPriceType": "", "stopTriggered": False, "stopPrice": None}
    assert was.request.stop_price is not None, "a stop has a stop price"
    return {
        "stop": was.request.stop,
        "stopPriceType": was.request.stop_price_type,
        "stopTriggered": was.is_triggered,
        "stopPrice": decimal_text(was.request.stop_price),
    }


def _value(order: AnyOrder) -> Decimal:
    # A limit order is worth its size at its price. A market order is worth what it was filled for,
    # and before that its size at the stop price.
    request = order.request
    if isinstance(order, AccountOrder) and request.price is None:
        return order.value
    price = request.price or request.stop_price
    assert price is not None, "a stop has a stop price"
    return abs(contract_value(order.engine.listing, price, order.size))


def _leverage(order: AnyOrder) -> Decimal:
    if isinstance(order, AccountOrder):
        return order.leverage
    return leverage_of(order.member, order.request)


def _client_oid(order: AnyOrder) -> str:
    # As on the stream of orders: one without a client's id has its own, but for a liquidation's.
    own = order.request.client_oid
    if own or isinstance(order, StopOrder) or order.request.is_forced:
        return own
    return order.order_id


def _margin_mode(order: AnyOrder) -> str:
    if isinstance(order, AccountOrder):
        return "CROSS" if order.is_cross else "ISOLATED"
    return order.request.margin_mode or order.member.margin_mode(order.symbol)


def _is_canceled(order: AnyOrder) -> bool:
    if isinstance(order, AccountOrder):
        return order.canceled > 0
    return not order.is_active and not order.is_triggered


def _updated_ns(order: AnyOrder) -> int:
    updated_ns = order.updated_ns if isinstance(order, AccountOrder) else order.ended_ns
    return max(order.time_ns, updated_ns or 0)


def fill_row(row: FillRow, listing: Listing) -> dict[str, Any]:
    """Build the row of a fill, as ``GET /api/v1/recentFills`` spells it."""
    fill, request, rate = row.fill, row.request, row.fee_rate
    if request.taken_over_at is not None:
        # What a liquidated position has set aside for its closing, if anything, is the fee.
        rate = fill.fee / row.value if row.value else ZERO
    return {
        "symbol": fill.symbol,
        "tradeId": fill.trade_id,
        "orderId": fill.order_id,
        "side": fill.side,
        "liquidity": "taker" if fill.is_taker else "maker",
        "forceTaker": False,
        "price": decimal_text(fill.price),
        "size": fill.size,
        "value": decimal_text(row.value),
        "openFeePay": decimal_text(fill.fee - row.closing_fee),
        "closeFeePay": decimal_text(row.closing_fee),
        "stop": row.stop,
        # Rates have five digits there: 0.00060.
        "feeRate": f"{rate:.5f}",
        "fixFee": "0",
        "feeCurrency": listing.settle,
        "subTradeType": None,
        "marginMode": row.margin_mode,
        "displayType": order_kind(request.order_type, row.stop),
        "fee": decimal_text(fill.fee),
        "settleCurrency": listing.settle,
        "orderType": request.order_type,
        "tradeType": request.trade_type,
        "tradeTime": fill.time_ns,
        "createdAt": fill.time_ns // MS,
    }
