"""The high-frequency calls of spot that show orders and fills.

They show the orders of the classic calls too: both work on the one trade account. Shapes and
weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from kucoin_research.sim.accounts.members import AccountOrder, Member
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import between, last_rows, numbered_page
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_actions import known_order
from kucoin_research.sim.server.spot_order_requests import (
    fills_of,
    spot_symbol,
    wanted,
)
from kucoin_research.sim.server.spot_order_rows import fill_row, order_row

__all__ = ["SPOT_ORDER_LIST_ROUTES"]


def _order(site: Site, values: Values, member: Member) -> Reply:
    return ok(order_row(known_order(member, values, spot_symbol(site, values))))


def _open_symbols(_site: Site, _values: Values, member: Member) -> Reply:
    symbols = dict.fromkeys(one.symbol for one in member.orders.values() if one.market == "spot")
    return ok({"symbols": list(symbols)})


def _open_orders(site: Site, values: Values, member: Member) -> list[AccountOrder]:
    found, is_wanted = member.orders_of(spot_symbol(site, values)), wanted(values)
    return [order for order in reversed(found) if is_wanted(order.request)]


def _active(site: Site, values: Values, member: Member) -> Reply:
    return ok([order_row(order) for order in _open_orders(site, values, member)])


def _active_page(site: Site, values: Values, member: Member) -> Reply:
    numbers = {**values, "currentPage": values.get("pageNum", "")}
    found = _open_orders(site, values, member)
    return ok(numbered_page(numbers, found, order_row, size=20, most=100))


def _done(site: Site, values: Values, member: Member) -> Reply:
    spot_symbol(site, values)
    is_wanted = wanted(values)
    found = [
        (number, order)
        for number, order in member.archive.done("spot")
        if isinstance(order, AccountOrder) and is_wanted(order.request)
    ]
    found = between(values, found, lambda row: row[1].time_ns)
    page = last_rows(values, found, lambda row: row[0])
    return ok(
        {
            "lastId": page[-1][0] if page else 0,
            "items": [order_row(order) for _, order in page],
        }
    )


def _fills(site: Site, values: Values, member: Member) -> Reply:
    spot_symbol(site, values)
    page = last_rows(values, fills_of(site, values, member), lambda row: row.row_id)
    return ok(
        {
            "items": [fill_row(row, site.listings[row.fill.symbol]) for row in page],
            "lastId": page[-1].row_id if page else 0,
        }
    )


_ORDERS = "/api/v1/hf/orders"

SPOT_ORDER_LIST_ROUTES: tuple[Route, ...] = (
    for_account("GET", f"{_ORDERS}/active/symbols", 2, _open_symbols, touches_none),
    for_account("GET", f"{_ORDERS}/active/page", 2, _active_page),
    for_account("GET", f"{_ORDERS}/active", 2, _active),
    for_account("GET", f"{_ORDERS}/done", 2, _done),
    for_account("GET", f"{_ORDERS}/{{orderId}}", 2, _order),
    for_account("GET", f"{_ORDERS}/client-order/{{clientOid}}", 2, _order),
    for_account("GET", "/api/v1/hf/fills", 2, _fills),
)
