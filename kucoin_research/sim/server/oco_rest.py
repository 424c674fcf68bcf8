"""The OCO calls of spot: pairs of a limit order and a stop order, of which one cancels the other.

Shapes and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from kucoin_research.sim.accounts.members import AccountOrder, Member, StopOrder
from kucoin_research.sim.accounts.order_pairs import Oco
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import amount, between, numbered_page
from kucoin_research.sim.server.routes import (
    MS,
    Reply,
    Route,
    Site,
    for_account,
    ok,
    touches_none,
)
from kucoin_research.sim.server.spot_order_requests import (
    INVALID,
    asked_ids,
    order_request,
    spot_symbol,
)
from kucoin_research.sim.server.spot_order_rows import long_text, stop_status

__all__ = ["OCO_ROUTES"]

_UNKNOWN = "order not exist."
_NOT_OPEN = "order_not_exist_or_not_allow_to_cancel"


def _place(site: Site, values: Values, member: Member) -> Reply:
    wanted = order_request(site, {**values, "type": "limit"})
    limit = replace(wanted, client_oid="")
    stop = replace(
        limit,
        price=amount(values, "limitPrice", INVALID),
        # The limit lies on the better side of the market, so the stop on the worse one.
        stop="loss" if limit.side == "sell" else "entry",
        stop_price=amount(values, "stopPrice", INVALID),
    )
    pair = site.core.order_entry.pairs.place_oco(member, limit, stop, wanted.client_oid)
    return ok({"orderId": pair.pair_id})


def _named(site: Site, values: Values, member: Member, why: str = _UNKNOWN) -> Oco:
    pair = site.core.order_entry.pairs.find_oco(
        member, values.get("orderId", ""), values.get("clientOid", "")
    )
    if pair is None:
        raise OrderRefused(INVALID, why)
    return pair


def _cancel(site: Site, values: Values, member: Member) -> Reply:
    pair = _named(site, values, member, _NOT_OPEN)
    if not pair.is_active:
        raise OrderRefused(INVALID, _NOT_OPEN)
    return ok({"cancelledOrderIds": site.core.order_entry.pairs.cancel_oco(pair)})


def _wanted(site: Site, values: Values, member: Member) -> list[Oco]:
    symbol, ids = spot_symbol(site, values, is_needed=False), asked_ids(values)
    return [
        pair
        for pair in site.core.order_entry.pairs.ocos(member)
        if symbol in ("", pair.symbol) and (not ids or pair.pair_id in ids)
    ]


def _cancel_several(site: Site, values: Values, member: Member) -> Reply:
    pairs = site.core.order_entry.pairs
    canceled: list[str] = []
    for pair in _wanted(site, values, member):
        if pair.is_active:
            canceled += pairs.cancel_oco(pair)
    return ok({"cancelledOrderIds": canceled})


def _row(pair: Oco) -> dict[str, Any]:
    return {
        "orderId": pair.pair_id,
        "symbol": pair.symbol,
        "clientOid": pair.client_oid or pair.pair_id,
        "orderTime": pair.time_ns // MS,
        "status": pair.status,
    }


def _pair(site: Site, values: Values, member: Member) -> Reply:
    return ok(_row(_named(site, values, member)))


def _details(site: Site, values: Values, member: Member) -> Reply:
    pair = _named(site, values, member)
    return ok({**_row(pair), "orders": [_limit_row(pair.limit), _stop_row(pair.stop)]})


def _limit_row(order: AccountOrder) -> dict[str, Any]:
    status = "NEW" if order.is_active else "DONE" if order.filled else "CANCELLED"
    # It has no stop price: KuCoin repeats its price there.
    return _leg(order, order.request.price, status)


def _stop_row(stop: StopOrder) -> dict[str, Any]:
    return _leg(stop, stop.request.stop_price, stop_status(stop))


def _leg(
    order: AccountOrder | StopOrder, stop_price: Decimal | None, status: str
) -> dict[str, Any]:
    request = order.request
    return {
        "id": order.order_id,
        "symbol": order.symbol,
        "side": request.side,
        "price": long_text(request.price),
        "stopPrice": long_text(stop_price),
        "size": long_text(request.size),
        "status": status,
    }


def _list(site: Site, values: Values, member: Member) -> Reply:
    found = between(values, _wanted(site, values, member), lambda pair: pair.time_ns)
    return ok(numbered_page(values, found, _row))


_OCO = "/api/v3/oco"

OCO_ROUTES: tuple[Route, ...] = (
    for_account("POST", f"{_OCO}/order", 2, _place),
    for_account("DELETE", f"{_OCO}/order/{{orderId}}", 3, _cancel, touches_none),
    for_account("DELETE", f"{_OCO}/client-order/{{clientOid}}", 3, _cancel, touches_none),
    for_account("DELETE", f"{_OCO}/orders", 3, _cancel_several),
    for_account("GET", f"{_OCO}/order/{{orderId}}", 2, _pair, touches_none),
    for_account("GET", f"{_OCO}/client-order/{{clientOid}}", 2, _pair, touches_none),
    for_account("GET", f"{_OCO}/order/details/{{orderId}}", 2, _details, touches_none),
    for_account("GET", f"{_OCO}/orders", 2, _list),
)
