"""The REST calls that place and cancel futures orders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import BODY, Values, rows
from kucoin_research.sim.server.futures_order_form import order_request
from kucoin_research.sim.server.futures_order_rows import AnyOrder, present
from kucoin_research.sim.server.futures_values import (
    INVALID,
    chosen_contract,
    contract,
    text,
    texts,
    word,
)
from kucoin_research.sim.server.pages import optional_amount
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member

__all__ = ["FUTURES_ORDER_CALLS"]

_MOST_AT_ONCE = 20
_DONE = {"code": "200", "msg": "success"}


def _place(site: Site, values: Values, member: Member) -> Reply:
    request = order_request(site, member, values)
    order_id = site.core.order_entry.place(member, request)
    return ok({"orderId": order_id, "clientOid": request.client_oid})


def _test(site: Site, values: Values, member: Member) -> Reply:
    request = order_request(site, member, values)
    site.core.order_entry.test(member, request)
    # An id that belongs to no order, as the reply of an order that is not placed has one.
    seed = f"{site.now_ns} {member.user_id} {request.client_oid}"
    number = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest(), "big")
    return ok({"orderId": f"2407{number % 10**14:014d}", "clientOid": request.client_oid})


def _place_with_stops(site: Site, values: Values, member: Member) -> Reply:
    # The stops end with the position: take profit above, stop loss below, or the other way round.
    up = optional_amount(values, "triggerStopUpPrice", INVALID)
    down = optional_amount(values, "triggerStopDownPrice", INVALID)
    if "stop" in values:
        raise OrderRefused(INVALID, "stop is for /api/v1/orders: give triggerStopUpPrice here")
    request = order_request(site, member, values)
    kind = word(values, "stopPriceType", ("TP", "MP", "IP"), "TP")
    order_id = site.core.order_entry.pairs.attach(member, request, up, down, kind)
    return ok({"orderId": order_id, "clientOid": request.client_oid})


def _place_many(site: Site, values: Values, member: Member) -> Reply:
    forms = rows(values, BODY)
    if not forms or len(forms) > _MOST_AT_ONCE:
        raise OrderRefused(INVALID, f"the body must be a list of 1 to {_MOST_AT_ONCE} orders")
    return ok([_placed(site, form, member) for form in forms])


def _placed(site: Site, form: Values, member: Member) -> dict[str, Any]:
    order_id, code, message = None, "200000", "success"
    try:
        order_id = site.core.order_entry.place(member, order_request(site, member, form))
    except OrderRefused as refused:
        code, message = refused.code, str(refused)
    except InvalidInput as invalid:
        code, message = INVALID, str(invalid)
    return {
        "orderId": order_id,
        "clientOid": form.get("clientOid"),
        "symbol": form.get("symbol"),
        "code": code,
        "msg": message,
    }


def _touches_list(site: Site, values: Values) -> Iterable[str]:
    named = {form.get("symbol", "") for form in rows(values, BODY) or ()}
    return [symbol for symbol in site.listings if symbol in named]


def _cancel(site: Site, values: Values, member: Member) -> Reply:
    order_id = _cancel_one(site, member, values["orderId"])
    return ok({"cancelledOrderIds": [order_id]})


def _cancel_by_client_oid(site: Site, values: Values, member: Member) -> Reply:
    client_oid = values["clientOid"]
    _cancel_named(site, member, text(values, "symbol"), client_oid)
    return ok({"clientOid": client_oid})


def _cancel_named(site: Site, member: Member, symbol: str, client_oid: str) -> str:
    contract(site, symbol)
    order = member.archive.find_client_oid("futures", client_oid)
    if order is None or order.symbol != symbol:
        raise _not_cancelable(f"no order on {symbol} has the clientOid {client_oid}")
    return _cancel_order(site, member, order)


def _cancel_one(site: Site, member: Member, order_id: str) -> str:
    order = member.archive.find("futures", order_id)
    if order is None:
        raise _not_cancelable(f"no order has the id {order_id}")
    return _cancel_order(site, member, order)


def _cancel_order(site: Site, member: Member, order: AnyOrder) -> str:
    order = present(order)
    if not order.is_active:
        raise _not_cancelable(f"order {order.order_id} is done")
    site.core.order_entry.cancel(member, order.order_id)
    return order.order_id


def _not_cancelable(why: str) -> OrderRefused:
    return OrderRefused("100004", f"Order is in not cancelable state ({why})")


def _cancel_many(site: Site, values: Values, member: Member) -> Reply:
    ids = texts(values, "orderIdsList")
    named = rows(values, "clientOidsList") or []
    if not 1 <= len(ids) + len(named) <= _MOST_AT_ONCE:
        raise OrderRefused(
            INVALID, f"orderIdsList or clientOidsList must name 1 to {_MOST_AT_ONCE} orders"
        )
    return ok(
        [_canceled(site, member, one) for one in ids]
        + [_canceled_by_client_oid(site, member, one) for one in named]
    )


def _canceled(site: Site, member: Member, order_id: str) -> dict[str, Any]:
    outcome = _DONE
    try:
        _cancel_one(site, member, order_id)
    except OrderRefused as refused:
        outcome = {"code": refused.code, "msg": str(refused)}
    return {"orderId": order_id, "clientOid": None} | outcome


def _canceled_by_client_oid(site: Site, member: Member, named: Values) -> dict[str, Any]:
    client_oid = named.get("clientOid", "")
    order_id, outcome = None, _DONE
    try:
        order_id = _cancel_named(site, member, named.get("symbol", ""), client_oid)
    except OrderRefused as refused:
        outcome = {"code": refused.code, "msg": str(refused)}
    return {"orderId": order_id, "clientOid": client_oid} | outcome


def _cancel_all(site: Site, values: Values, member: Member) -> Reply:
    symbol = chosen_contract(site, values)
    return _cancel_each(site, member, symbol, list(member.orders.values()))


def _cancel_all_stops(site: Site, values: Values, member: Member) -> Reply:
    symbol = chosen_contract(site, values)
    return _cancel_each(site, member, symbol, list(member.stops.values()))


def _cancel_each(site: Site, member: Member, symbol: str, orders: Iterable[AnyOrder]) -> Reply:
    canceled = []
    for order in orders:
        # The end of one order can end others: a pair's, or those that may only reduce.
        if order.market == "futures" and symbol in ("", order.symbol) and order.is_active:
            site.core.order_entry.cancel(member, order.order_id)
            canceled.append(order.order_id)
    return ok({"cancelledOrderIds": canceled})


FUTURES_ORDER_CALLS: tuple[Route, ...] = (
    for_account("POST", "/api/v1/orders", 2, _place),
    for_account("POST", "/api/v1/orders/test", 2, _test),
    for_account("POST", "/api/v1/st-orders", 2, _place_with_stops),
    for_account("POST", "/api/v1/orders/multi", 20, _place_many, _touches_list),
    for_account("DELETE", "/api/v1/orders/multi-cancel", 20, _cancel_many, touches_none),
    for_account("DELETE", "/api/v1/orders/{orderId}", 1, _cancel, touches_none),
    for_account(
        "DELETE", "/api/v1/orders/client-order/{clientOid}", 1, _cancel_by_client_oid, touches_none
    ),
    for_account("DELETE", "/api/v3/orders", 10, _cancel_all, touches_none),
    for_account("DELETE", "/api/v1/orders", 800, _cancel_all, touches_none),
    for_account("DELETE", "/api/v1/stopOrders", 15, _cancel_all_stops, touches_none),
)
