"""The rows of spot orders, stop orders and fills in replies.

Shapes from KuCoin's documents of the calls; amounts are exact decimals as text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from kucoin_research.sim.accounts.account_book import FillRow
from kucoin_research.sim.accounts.ledger import ZERO, decimal_text, fraction
from kucoin_research.sim.accounts.members import AccountOrder, StopOrder
from kucoin_research.sim.accounts.orders import OrderRequest
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.server.routes import MS

__all__ = [
    "classic_fill_row",
    "classic_order_row",
    "client_oid_of",
    "fill_row",
    "long_text",
    "order_row",
    "order_sizes",
    "stop_row",
    "stop_status",
    "sync_row",
    "updated_ms",
]

_STOP_DECIMALS = ".20f"


class _Amounts(NamedTuple):
    """The size or the funds of an order, by what became of them."""

    asked: Decimal
    remaining: Decimal
    canceled: Decimal


def client_oid_of(order: AccountOrder | StopOrder) -> str:
    """Return the client's own id of an order, or the order's id if the client named none.

    The private streams send the same.
    """
    return order.request.client_oid or order.order_id


def updated_ms(order: AccountOrder) -> int:
    """Return when an order last changed, ms UTC."""
    return max(order.time_ns, order.updated_ns) // MS


def order_row(order: AccountOrder) -> dict[str, Any]:
    """Build the row of an order of the high-frequency calls."""
    request = order.request
    size, funds = _sizes(order), _funds(order)
    return {
        **_common(order),
        "funds": decimal_text(funds.asked),
        "remainSize": decimal_text(size.remaining),
        "remainFunds": decimal_text(funds.remaining),
        "cancelledSize": decimal_text(size.canceled),
        "cancelledFunds": decimal_text(funds.canceled),
        "stp": request.stp or None,
        "inOrderBook": order.is_active,
        "active": order.is_active,
        "cancelReason": None,  # KuCoin publishes no codes
        "tax": "0",
        "lastUpdatedAt": updated_ms(order),
    }


def classic_order_row(order: AccountOrder) -> dict[str, Any]:
    """Build the row of an order of the classic calls."""
    request, stop = order.request, order.stop
    return {
        **_common(order),
        "funds": decimal_text(request.funds or ZERO),
        "stp": request.stp,
        "stop": "" if stop is None else stop.request.stop,
        "stopTriggered": stop is not None,
        "stopPrice": "0" if stop is None else decimal_text(stop.request.stop_price or ZERO),
        "isActive": order.is_active,
    }


def _common(order: AccountOrder) -> dict[str, Any]:
    request, engine = order.request, order.engine
    price = "0" if order.price_ticks is None else engine.price_text(order.price_ticks)
    return {
        "id": order.order_id,
        "symbol": order.symbol,
        "opType": "DEAL",
        "type": request.order_type,
        "side": request.side,
        "price": price,
        "size": decimal_text(_sizes(order).asked),
        "dealSize": engine.size_text(order.filled),
        "dealFunds": decimal_text(order.value),
        "fee": decimal_text(order.fees),
        "feeCurrency": engine.listing.quote,
        "timeInForce": _in_force(request),
        "postOnly": request.time_in_force == "PO",
        "hidden": False,
        "iceberg": False,
        "visibleSize": "0",
        "cancelAfter": request.cancel_after,
        "channel": "API",
        "clientOid": client_oid_of(order),
        "remark": request.remark or None,
        "tags": request.tags or None,
        "cancelExist": order.was_cut_short,
        "createdAt": order.time_ns // MS,
        "tradeType": "TRADE",
    }


def _in_force(request: OrderRequest) -> str:
    # Post only is a flag of its own on KuCoin.
    if request.time_in_force != "PO":
        return request.time_in_force
    return "GTT" if request.cancel_after else "GTC"


def _sizes(order: AccountOrder) -> _Amounts:
    # An order for an amount of funds has no size.
    if order.request.funds is not None:
        return _Amounts(ZERO, ZERO, ZERO)
    unit = Decimal(order.engine.listing.lot_size)
    return _Amounts(order.size * unit, order.remaining * unit, order.canceled * unit)


def _funds(order: AccountOrder) -> _Amounts:
    request = order.request
    if request.funds is not None:
        left = order.unused_funds
        return _Amounts(
            request.funds,
            left if order.is_active else ZERO,
            ZERO if order.is_active else left,
        )
    if order.price_ticks is None:
        return _Amounts(ZERO, ZERO, ZERO)
    price, size = Decimal(order.engine.price_text(order.price_ticks)), _sizes(order)
    asked, canceled = price * size.asked, price * size.canceled
    # A sell may have been worth more than its price.
    return _Amounts(asked, max(ZERO, asked - order.value - canceled), canceled)


def order_sizes(order: AccountOrder) -> dict[str, Any]:
    """Build the sizes and the status of an order in the reply of a call that waits for it."""
    size = _sizes(order)
    return {
        "originSize": decimal_text(size.asked),
        "dealSize": order.engine.size_text(order.filled),
        "remainSize": decimal_text(size.remaining),
        "canceledSize": decimal_text(size.canceled),
        "status": "open" if order.is_active else "done",
    }


def sync_row(order: AccountOrder) -> dict[str, Any]:
    """Build the reply of a call that places an order and waits for it."""
    return {
        "orderId": order.order_id,
        "clientOid": client_oid_of(order),
        "orderTime": order.time_ns // MS,
        **order_sizes(order),
        "matchTime": updated_ms(order),
    }


def stop_status(stop: StopOrder) -> str:
    """Return KuCoin's word for the state of a stop order."""
    if stop.is_active:
        return "NEW"
    return "TRIGGERED" if stop.is_triggered else "CANCELLED"


def stop_row(stop: StopOrder, pair_id: str = "") -> dict[str, Any]:
    """Build the row of a stop order; `pair_id` is that of the pair that it belongs to."""
    request, listing = stop.request, stop.engine.listing
    size = None if request.size is None else stop.size * Decimal(listing.lot_size)
    return {
        "id": stop.order_id,
        "symbol": stop.symbol,
        "userId": stop.member.user_id,
        "status": stop_status(stop),
        "type": request.order_type,
        "side": request.side,
        "price": long_text(request.price),
        "size": long_text(size),
        "funds": long_text(request.funds),
        "stp": request.stp or None,
        "timeInForce": _in_force(request),
        "cancelAfter": request.cancel_after or -1,
        "postOnly": request.time_in_force == "PO",
        "hidden": False,
        "iceberg": False,
        "visibleSize": None,
        "channel": "API",
        "clientOid": client_oid_of(stop),
        "remark": request.remark or None,
        "tags": request.tags or None,
        "relatedNo": pair_id or None,
        "orderTime": stop.time_ns,
        "domainId": "kucoin",
        "tradeSource": "USER",
        "tradeType": "TRADE",
        "feeCurrency": listing.quote,
        "takerFeeRate": long_text(fraction(listing.taker_fee)),
        "makerFeeRate": long_text(fraction(listing.maker_fee)),
        "createdAt": stop.time_ns // MS,
        "stop": request.stop,
        "stopTriggerTime": _trigger_ms(stop),
        "stopPrice": long_text(request.stop_price),
        "limitPrice": None,
        "pop": None,
        "activateCondition": None,
    }


def _trigger_ms(stop: StopOrder) -> int | None:
    return stop.ended_ns // MS if stop.is_triggered and stop.ended_ns is not None else None


def long_text(value: Decimal | None) -> str | None:
    """Spell a number of a stop order as KuCoin does there: with 20 decimals."""
    return None if value is None else format(value, _STOP_DECIMALS)


def fill_row(row: FillRow, listing: Listing) -> dict[str, Any]:
    """Build the row of a fill of the high-frequency calls."""
    return {
        "id": row.row_id,
        **_fill(row, listing),
        "tradeId": int(row.fill.trade_id),
        "taxRate": "0",
        "tax": "0",
        "stop": "",
    }


def classic_fill_row(row: FillRow, listing: Listing) -> dict[str, Any]:
    """Build the row of a fill of the classic calls."""
    return {**_fill(row, listing), "tradeId": row.fill.trade_id, "stop": row.stop}


def _fill(row: FillRow, listing: Listing) -> dict[str, Any]:
    fill = row.fill
    return {
        "symbol": fill.symbol,
        "orderId": fill.order_id,
        "counterOrderId": row.counter_order_id,
        "side": fill.side,
        "liquidity": "taker" if fill.is_taker else "maker",
        "forceTaker": False,
        "price": decimal_text(fill.price),
        "size": decimal_text(fill.size * Decimal(listing.lot_size)),
        "funds": decimal_text(row.value),
        "fee": decimal_text(fill.fee),
        "feeRate": decimal_text(row.fee_rate),
        "feeCurrency": listing.quote,
        "tradeType": "TRADE",
        "type": row.request.order_type,
        "createdAt": fill.time_ns // MS,
    }
