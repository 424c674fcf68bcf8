"""The stop order calls of spot.

A stop order waits for the price of the last trade, then becomes an order with another id. Shapes
and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from typing import Any

from kucoin_research.sim.accounts.members import Member, StopOrder
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import amount, between, numbered_page
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_requests import (
    INVALID,
    asked_ids,
    named_stop,
    order_request,
    spot_symbol,
    text_value,
    wanted,
    word,
)
from kucoin_research.sim.server.spot_order_rows import client_oid_of, stop_row

__all__ = ["SPOT_STOP_ROUTES"]

_UNKNOWN = "order not exist."
_NOT_WAITING = "order_not_exist_or_not_allow_to_cancel"


def _place(site: Site, values: Values, member: Member) -> Reply:
    stop = word(values, "stop", ("loss", "entry"), "loss")
    stop_price = amount(values, "stopPrice", INVALID)
    request = order_request(site, values, stop=stop, stop_price=stop_price)
    return ok({"orderId": site.core.order_entry.place(member, request)})


def _waiting(values: Values, member: Member, symbol: str = "") -> StopOrder:
    stop = named_stop(member, values, symbol)
    if stop is None or not stop.is_active:
        raise OrderRefused(INVALID, _NOT_WAITING)
    return stop


def _cancel(site: Site, values: Values, member: Member) -> Reply:
    stop = _waiting(values, member)
    site.core.order_entry.cancel(member, stop.order_id)
    return ok({"cancelledOrderIds": [stop.order_id]})


def _cancel_by_client_oid(site: Site, values: Values, member: Member) -> Reply:
    text_value(values, "clientOid")
    stop = _waiting(values, member, spot_symbol(site, values, is_needed=False))
    site.core.order_entry.cancel(member, stop.order_id)
    return ok({"cancelledOrderId": stop.order_id, "clientOid": client_oid_of(stop)})


def _cancel_several(site: Site, values: Values, member: Member) -> Reply:
    found = _waiting_ones(site, values, member)
    canceled = []
    for stop in reversed(found):
        if stop.is_active:
            site.core.order_entry.cancel(member, stop.order_id)
            canceled.append(stop.order_id)
    return ok({"cancelledOrderIds": canceled})


def _waiting_ones(site: Site, values: Values, member: Member) -> list[StopOrder]:
    spot_symbol(site, values, is_needed=False)
    ids, is_wanted = asked_ids(values), wanted(values)
    return [
        stop
        for stop in reversed(member.stops.values())
        if stop.market == "spot" and is_wanted(stop.request) and (not ids or stop.order_id in ids)
    ]


def _list(site: Site, values: Values, member: Member) -> Reply:
    kind = word(values, "stop", ("stop", "oco"))
    pairs = site.core.order_entry.pairs
    found = [
        stop
        for stop in _waiting_ones(site, values, member)
        if not kind or (kind == "oco") is (pairs.oco_of(stop.order_id) is not None)
    ]
    found = between(values, found, lambda stop: stop.time_ns)
    return ok(numbered_page(values, found, lambda stop: _row(site, stop)))


def _known(values: Values, member: Member, symbol: str = "") -> StopOrder:
    stop = named_stop(member, values, symbol)
    if stop is None:
        raise OrderRefused(INVALID, _UNKNOWN)
    return stop


def _row(site: Site, stop: StopOrder) -> dict[str, Any]:
    pair = site.core.order_entry.pairs.oco_of(stop.order_id)
    return stop_row(stop, "" if pair is None else pair.pair_id)


def _stop(site: Site, values: Values, member: Member) -> Reply:
    return ok(_row(site, _known(values, member)))


def _by_client_oid(site: Site, values: Values, member: Member) -> Reply:
    text_value(values, "clientOid")
    symbol = spot_symbol(site, values, is_needed=False)
    return ok([_row(site, _known(values, member, symbol))])


_STOPS = "/api/v1/stop-order"

SPOT_STOP_ROUTES: tuple[Route, ...] = (
    for_account("POST", _STOPS, 1, _place),
    for_account("DELETE", f"{_STOPS}/cancelOrderByClientOid", 5, _cancel_by_client_oid),
    for_account("DELETE", f"{_STOPS}/cancel", 3, _cancel_several),
    for_account("DELETE", f"{_STOPS}/{{orderId}}", 3, _cancel, touches_none),
    for_account("GET", f"{_STOPS}/queryOrderByClientOid", 3, _by_client_oid),
    for_account("GET", f"{_STOPS}/{{orderId}}", 3, _stop, touches_none),
    for_account("GET", _STOPS, 8, _list),
)
