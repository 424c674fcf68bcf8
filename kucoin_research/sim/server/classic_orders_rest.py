"""The classic order calls of spot.

They and the high-frequency calls work on the one trade account, and each family sees the orders of
the other. Shapes and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from typing import Any

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.accounts.members import AccountOrder, Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import between, numbered_page
from kucoin_research.sim.server.routes import (
    Reply,
    Route,
    Site,
    for_account,
    integer,
    ok,
    touches_none,
)
from kucoin_research.sim.server.spot_order_actions import (
    cancel_all,
    known_order,
    open_order,
    place,
    place_named,
    try_out,
)
from kucoin_research.sim.server.spot_order_requests import (
    INVALID,
    batch,
    batch_symbols,
    fills_of,
    order_request,
    spot_symbol,
    trades_spot,
    wanted,
    word,
)
from kucoin_research.sim.server.spot_order_rows import (
    classic_fill_row,
    classic_order_row,
    client_oid_of,
)

__all__ = ["CLASSIC_ORDER_ROUTES"]

_DAY = 86_400_000_000_000
_MOST_OF_BATCH = 5
_MOST_RECENT = 1_000


def _place(site: Site, values: Values, member: Member) -> Reply:
    return ok({"orderId": place_named(site, values, member).order_id})


def _test(site: Site, values: Values, member: Member) -> Reply:
    return ok({"orderId": try_out(site, values, member)["orderId"]})


def _place_several(site: Site, values: Values, member: Member) -> Reply:
    symbol = spot_symbol(site, values)
    orders = [{**one, "symbol": symbol} for one in batch(values, _MOST_OF_BATCH)]
    return ok({"data": [_outcome(site, one, member) for one in orders]})


def _outcome(site: Site, values: Values, member: Member) -> dict[str, Any]:
    try:
        request = order_request(site, values)
        if request.price is None:
            raise OrderRefused(INVALID, "only limit orders can be placed together")
        order_id: str | None = place(site, member, request).order_id
        why = None
    except InvalidInput as refused:
        order_id, why = None, str(refused)
    return {
        "symbol": values["symbol"],
        "type": values.get("type") or "limit",
        "side": values.get("side"),
        "price": values.get("price"),
        "size": values.get("size"),
        "funds": values.get("funds"),
        "stp": values.get("stp", ""),
        "stop": "",
        "stopPrice": None,
        "timeInForce": values.get("timeInForce") or "GTC",
        "cancelAfter": integer(values, "cancelAfter") or 0,
        "postOnly": values.get("postOnly") == "true",
        "hidden": False,
        # Spelled so by KuCoin, beside the right spelling.
        "iceberge": False,
        "iceberg": False,
        "visibleSize": None,
        "channel": "API",
        "id": order_id,
        "status": "fail" if why else "success",
        "failMsg": why,
        "clientOid": values.get("clientOid") or order_id,
    }


def _cancel(site: Site, values: Values, member: Member) -> Reply:
    order = open_order(member, values)
    site.core.order_entry.cancel(member, order.order_id)
    return ok({"cancelledOrderIds": [order.order_id]})


def _cancel_by_client_oid(site: Site, values: Values, member: Member) -> Reply:
    order = open_order(member, values)
    site.core.order_entry.cancel(member, order.order_id)
    return ok(
        {
            "cancelledOrderId": order.order_id,
            "clientOid": client_oid_of(order),
            "cancelledOcoOrderIds": None,
        }
    )


def _cancel_everything(site: Site, values: Values, member: Member) -> Reply:
    symbol = spot_symbol(site, values, is_needed=False)
    canceled = cancel_all(site, member, symbol) if trades_spot(values) else []
    return ok({"cancelledOrderIds": [order.order_id for order in canceled]})


def _orders(site: Site, values: Values, member: Member) -> list[AccountOrder]:
    spot_symbol(site, values, is_needed=False)
    is_wanted = wanted(values)
    found = [
        order
        for order in member.archive.newest_first("spot")
        if isinstance(order, AccountOrder) and is_wanted(order.request)
    ]
    return between(values, found, lambda order: order.time_ns)


def _list(site: Site, values: Values, member: Member) -> Reply:
    is_active = word(values, "status", ("active", "done"), "done") == "active"
    found = [order for order in _orders(site, values, member) if order.is_active is is_active]
    return ok(numbered_page(values, found, classic_order_row))


def _recent(site: Site, _values: Values, member: Member) -> Reply:
    since = site.now_ns - _DAY
    found = [order for order in _orders(site, {}, member) if order.time_ns >= since]
    return ok([classic_order_row(order) for order in found[:_MOST_RECENT]])


def _order(_site: Site, values: Values, member: Member) -> Reply:
    return ok(classic_order_row(known_order(member, values)))


def _fills(site: Site, values: Values, member: Member) -> Reply:
    spot_symbol(site, values, is_needed=False)
    found = fills_of(site, values, member)
    listings = site.listings
    return ok(
        numbered_page(values, found, lambda row: classic_fill_row(row, listings[row.fill.symbol]))
    )


def _recent_fills(site: Site, _values: Values, member: Member) -> Reply:
    since = site.now_ns - _DAY
    found = [row for row in fills_of(site, {}, member) if row.fill.time_ns >= since]
    return ok(
        [classic_fill_row(row, site.listings[row.fill.symbol]) for row in found[:_MOST_RECENT]]
    )


_ORDERS = "/api/v1/orders"

CLASSIC_ORDER_ROUTES: tuple[Route, ...] = (
    for_account("POST", _ORDERS, 2, _place),
    for_account("POST", f"{_ORDERS}/test", 2, _test),
    for_account("POST", f"{_ORDERS}/multi", 3, _place_several, batch_symbols),
    for_account("DELETE", _ORDERS, 20, _cancel_everything),
    for_account("DELETE", f"{_ORDERS}/{{orderId}}", 3, _cancel, touches_none),
    for_account(
        "DELETE", "/api/v1/order/client-order/{clientOid}", 5, _cancel_by_client_oid, touches_none
    ),
    for_account("GET", _ORDERS, 2, _list),
    for_account("GET", f"{_ORDERS}/{{orderId}}", 2, _order, touches_none),
    for_account("GET", "/api/v1/order/client-order/{clientOid}", 3, _order, touches_none),
    for_account("GET", "/api/v1/limit/orders", 3, _recent, touches_none),
    for_account("GET", "/api/v1/fills", 10, _fills),
    for_account("GET", "/api/v1/limit/fills", 20, _recent_fills, touches_none),
)
