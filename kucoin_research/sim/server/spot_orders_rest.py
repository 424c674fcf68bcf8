"""The high-frequency calls of spot that place and cancel orders.

Both families of spot calls, these and the classic ones, work on the one trade account, and each
sees the orders of the other. Shapes and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.accounts.members import AccountOrder, Member
from kucoin_research.sim.accounts.order_units import size_of
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import amount
from kucoin_research.sim.server.routes import (
    AccountAnswer,
    Reply,
    Route,
    Site,
    for_account,
    ok,
    touches_none,
)
from kucoin_research.sim.server.spot_order_actions import (
    cancel_all,
    open_order,
    place_named,
    try_out,
)
from kucoin_research.sim.server.spot_order_requests import (
    INVALID,
    batch,
    batch_symbols,
    spot_symbol,
)
from kucoin_research.sim.server.spot_order_rows import client_oid_of, order_sizes, sync_row

__all__ = ["SPOT_ORDER_ROUTES"]

_MOST_OF_BATCH = 5


def _ids(order: AccountOrder) -> dict[str, Any]:
    return {"orderId": order.order_id, "clientOid": client_oid_of(order)}


def _place(row: Callable[[AccountOrder], dict[str, Any]]) -> AccountAnswer:
    def answer(site: Site, values: Values, member: Member) -> Reply:
        return ok(row(place_named(site, values, member)))

    return answer


def _test(site: Site, values: Values, member: Member) -> Reply:
    return ok(try_out(site, values, member))


def _place_several(row: Callable[[AccountOrder], dict[str, Any]]) -> AccountAnswer:
    def each(site: Site, values: Values, member: Member) -> Iterator[dict[str, Any]]:
        for one in batch(values, _MOST_OF_BATCH):
            try:
                order = place_named(site, one, member)
            except InvalidInput as refused:
                yield {"success": False, "failMsg": str(refused)}
            else:
                yield {**row(order), "success": True}

    def answer(site: Site, values: Values, member: Member) -> Reply:
        return ok(list(each(site, values, member)))

    return answer


def _canceled(site: Site, values: Values, member: Member) -> AccountOrder:
    order = open_order(member, values, spot_symbol(site, values))
    site.core.order_entry.cancel(member, order.order_id)
    return order


def _cancel_by_id(site: Site, values: Values, member: Member) -> Reply:
    return ok({"orderId": _canceled(site, values, member).order_id})


def _cancel_by_id_sync(site: Site, values: Values, member: Member) -> Reply:
    order = _canceled(site, values, member)
    return ok({"orderId": order.order_id, **order_sizes(order)})


def _cancel_by_client_oid(site: Site, values: Values, member: Member) -> Reply:
    return ok({"clientOid": client_oid_of(_canceled(site, values, member))})


def _cancel_by_client_oid_sync(site: Site, values: Values, member: Member) -> Reply:
    order = _canceled(site, values, member)
    return ok({"clientOid": client_oid_of(order), **order_sizes(order)})


def _cancel_part(site: Site, values: Values, member: Member) -> Reply:
    order = open_order(member, values, spot_symbol(site, values))
    less = amount(values, "cancelSize", INVALID)
    left = size_of(order.engine, order.remaining)
    if not 0 < less <= left:
        raise OrderRefused(INVALID, f"cancelSize {less} must be above zero and at most {left}")
    if less == left:
        site.core.order_entry.cancel(member, order.order_id)
    else:
        size = size_of(order.engine, order.size) - less
        site.core.order_entry.amend(member, order.order_id, size)
    return ok({"orderId": order.order_id, "cancelSize": values["cancelSize"]})


def _cancel_symbol(site: Site, values: Values, member: Member) -> Reply:
    cancel_all(site, member, spot_symbol(site, values))
    return ok("success")


def _cancel_everything(site: Site, _values: Values, member: Member) -> Reply:
    symbols = dict.fromkeys(order.symbol for order in cancel_all(site, member))
    return ok({"succeedSymbols": list(symbols), "failedSymbols": []})


_ORDERS = "/api/v1/hf/orders"

SPOT_ORDER_ROUTES: tuple[Route, ...] = (
    for_account("POST", _ORDERS, 1, _place(_ids)),
    for_account("POST", f"{_ORDERS}/sync", 1, _place(sync_row)),
    for_account("POST", f"{_ORDERS}/test", 1, _test),
    for_account("POST", f"{_ORDERS}/multi", 1, _place_several(_ids), batch_symbols),
    for_account("POST", f"{_ORDERS}/multi/sync", 1, _place_several(sync_row), batch_symbols),
    for_account("DELETE", f"{_ORDERS}/cancelAll", 30, _cancel_everything, touches_none),
    for_account("DELETE", _ORDERS, 2, _cancel_symbol),
    for_account("DELETE", f"{_ORDERS}/{{orderId}}", 1, _cancel_by_id),
    for_account("DELETE", f"{_ORDERS}/sync/{{orderId}}", 1, _cancel_by_id_sync),
    for_account("DELETE", f"{_ORDERS}/client-order/{{clientOid}}", 1, _cancel_by_client_oid),
    for_account(
        "DELETE", f"{_ORDERS}/sync/client-order/{{clientOid}}", 1, _cancel_by_client_oid_sync
    ),
    for_account("DELETE", f"{_ORDERS}/cancel/{{orderId}}", 2, _cancel_part),
)
