"""Two calls of spot that act on open orders: the change of one, and the dead man's switch.

Shapes and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from kucoin_research.sim.accounts.members import AccountOrder, Member
from kucoin_research.sim.accounts.order_units import price_of, size_of
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import amount, optional_amount
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_actions import open_order
from kucoin_research.sim.server.spot_order_requests import INVALID, spot_symbol
from kucoin_research.sim.server.spot_order_rows import client_oid_of

__all__ = ["SPOT_ALTER_ROUTES"]

_SECOND = 1_000_000_000
_MOST_SYMBOLS = 50


def _alter(site: Site, values: Values, member: Member) -> Reply:
    order = open_order(member, values, spot_symbol(site, values))
    price = optional_amount(values, "newPrice", INVALID)
    size = optional_amount(values, "newSize", INVALID)
    if price is None and size is None:
        raise OrderRefused(INVALID, "newPrice and newSize are missing: give one of them or both")
    client_oid, order_id = client_oid_of(order), order.order_id
    if size is not None and size <= size_of(order.engine, order.filled):
        # KuCoin then counts the order as completed, and places no new one.
        site.core.order_entry.cancel(member, order_id)
    else:
        order_id = _replace(site, order, price, size)
    return ok({"newOrderId": order_id, "clientOid": client_oid})


def _replace(site: Site, order: AccountOrder, price: Decimal | None, size: Decimal | None) -> str:
    # The new size counts from the start: the part that is filled is not bought again.
    assert order.price_ticks is not None, "only limit orders rest"
    filled = size_of(order.engine, order.filled)
    left = size_of(order.engine, order.remaining) if size is None else size - filled
    kept = price_of(order.engine, order.price_ticks)
    request = replace(order.request, size=left, price=kept if price is None else price)
    return site.core.order_entry.replace(order.member, order.order_id, request)


def _set_switch(site: Site, values: Values, member: Member) -> Reply:
    seconds = amount(values, "timeout", INVALID)
    if seconds != int(seconds):
        raise OrderRefused(INVALID, f"timeout {seconds} must be a whole number of seconds")
    symbols = [one.strip() for one in values.get("symbols", "").split(",") if one.strip()]
    if len(symbols) > _MOST_SYMBOLS:
        raise OrderRefused(INVALID, f"{len(symbols)} symbols: {_MOST_SYMBOLS} are the most")
    for symbol in symbols:
        spot_symbol(site, {"symbol": symbol})
    timers = site.core.order_entry.timers
    switch = timers.set_dead_cancel(member, "spot", int(seconds), symbols)
    due_ns = site.now_ns if switch is None else switch.due_ns
    return ok({"currentTime": site.now_ns // _SECOND, "triggerTime": due_ns // _SECOND})


def _switch(site: Site, _values: Values, member: Member) -> Reply:
    switch = site.core.order_entry.timers.dead_cancel(member, "spot")
    if switch is None:
        return ok(None)
    return ok(
        {
            "timeout": switch.seconds,
            "symbols": ",".join(switch.symbols),
            "currentTime": site.now_ns // _SECOND,
            "triggerTime": switch.due_ns // _SECOND,
        }
    )


_ORDERS = "/api/v1/hf/orders"

SPOT_ALTER_ROUTES: tuple[Route, ...] = (
    for_account("POST", f"{_ORDERS}/alter", 1, _alter),
    for_account("POST", f"{_ORDERS}/dead-cancel-all", 2, _set_switch, touches_none),
    for_account("GET", f"{_ORDERS}/dead-cancel-all/query", 2, _switch, touches_none),
)
