"""The REST calls that list futures orders and fills, or ask for one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kucoin_research.sim.accounts.account_book import FillRow
from kucoin_research.sim.accounts.ledger import ZERO, contract_value, decimal_text
from kucoin_research.sim.accounts.members import AccountOrder
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.futures_order_rows import (
    AnyOrder,
    fill_row,
    order_kind,
    order_row,
    present,
)
from kucoin_research.sim.server.futures_values import (
    INVALID,
    asked_contract,
    chosen_contract,
    text,
    texts,
    word,
)
from kucoin_research.sim.server.pages import between, numbered_page
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member

__all__ = ["FUTURES_ORDER_LISTS"]

_DAY_NS = 86_400_000_000_000
_RECENT = 1_000
_LARGEST_PAGE = 1_000
_SIDES = ("buy", "sell")
_KINDS = ("limit", "market", "limit_stop", "market_stop")


def _orders(site: Site, values: Values, member: Member) -> Reply:
    is_active = word(values, "status", ("active", "done"), "done") == "active"
    kind = word(values, "type", _KINDS)
    symbol, side = chosen_contract(site, values), word(values, "side", _SIDES)
    found = [
        order
        for order in _placed(member)
        if order.is_active == is_active
        and symbol in ("", order.symbol)
        and side in ("", order.request.side)
        and kind in ("", order_kind(order.request.order_type, _stop_of(order)))
    ]
    return _page(values, found)


def _stop_orders(site: Site, values: Values, member: Member) -> Reply:
    kind = word(values, "type", _KINDS)
    symbol, side = chosen_contract(site, values), word(values, "side", _SIDES)
    found = [
        stop
        for stop in reversed(member.stops.values())
        if stop.market == "futures"
        and symbol in ("", stop.symbol)
        and side in ("", stop.request.side)
        and kind.removesuffix("_stop") in ("", stop.request.order_type)
    ]
    return _page(values, found)


def _placed(member: Member) -> Iterator[AccountOrder]:
    # Stop orders have lists of their own, until they are triggered.
    for order in member.archive.newest_first("futures"):
        if isinstance(order, AccountOrder):
            yield order


def _stop_of(order: AccountOrder) -> str:
    return order.stop.request.stop if order.stop is not None else ""


def _page(values: Values, found: Iterable[AnyOrder]) -> Reply:
    chosen = between(values, found, lambda order: order.time_ns)
    return ok(numbered_page(values, chosen, order_row, most=_LARGEST_PAGE))


def _recent_done(site: Site, values: Values, member: Member) -> Reply:
    symbol, since_ns = chosen_contract(site, values), site.now_ns - _DAY_NS
    found = [
        order
        for order in _placed(member)
        if symbol in ("", order.symbol)
        and order.ended_ns is not None
        and order.ended_ns >= since_ns
    ]
    return ok([order_row(order) for order in found[:_RECENT]])


def _order(_site: Site, values: Values, member: Member) -> Reply:
    return _found(member.archive.find("futures", values["orderId"]))


def _order_by_client_oid(_site: Site, values: Values, member: Member) -> Reply:
    return _found(member.archive.find_client_oid("futures", text(values, "clientOid")))


def _found(order: AnyOrder | None) -> Reply:
    if order is None:
        raise OrderRefused(INVALID, "error.getOrder.orderNotExist")
    return ok(order_row(present(order)))


def _fills(site: Site, values: Values, member: Member) -> Reply:
    order_id = values.get("orderId", "").strip()
    if order_id:
        # An order's fills are all there are of it: other values do not matter then.
        order = member.archive.find("futures", order_id)
        wanted = present(order).order_id if order is not None else order_id
        found = [row for row in _futures_fills(site, member) if row.fill.order_id == wanted]
        return _fill_page(site, values, found)
    symbol, side = chosen_contract(site, values), word(values, "side", _SIDES)
    kind, trade_types = word(values, "type", _KINDS), texts(values, "tradeTypes")
    found = [
        row
        for row in _futures_fills(site, member)
        if symbol in ("", row.fill.symbol)
        and side in ("", row.fill.side)
        and kind in ("", order_kind(row.request.order_type, row.stop))
        and (not trade_types or row.request.trade_type in trade_types)
    ]
    return _fill_page(site, values, between(values, found, lambda row: row.fill.time_ns))


def _fill_page(site: Site, values: Values, found: list[FillRow]) -> Reply:
    def row_with_tax(row: FillRow) -> dict[str, Any]:
        plain = fill_row(row, site.listings[row.fill.symbol])
        return plain | {"openFeeTaxPay": "0", "closeFeeTaxPay": "0"}

    return ok(numbered_page(values, found, row_with_tax, most=_LARGEST_PAGE))


def _recent_fills(site: Site, values: Values, member: Member) -> Reply:
    symbol, since_ns = chosen_contract(site, values), site.now_ns - _DAY_NS
    found = [
        row
        for row in _futures_fills(site, member)
        if symbol in ("", row.fill.symbol) and row.fill.time_ns >= since_ns
    ]
    return ok([fill_row(row, site.listings[row.fill.symbol]) for row in found[:_RECENT]])


def _futures_fills(site: Site, member: Member) -> Iterator[FillRow]:
    return (row for row in member.book.fills.newest_first() if row.fill.symbol in site.listings)


def _open_value(site: Site, values: Values, member: Member) -> Reply:
    listing = asked_contract(site, values)
    sizes, costs = dict.fromkeys(_SIDES, 0), dict.fromkeys(_SIDES, ZERO)
    for order in member.orders_of(listing.symbol):
        assert order.request.price is not None, "only limit orders rest"
        side = order.request.side
        sizes[side] += order.remaining
        costs[side] += abs(contract_value(listing, order.request.price, order.remaining))
    return ok(
        {
            "openOrderBuySize": sizes["buy"],
            "openOrderSellSize": sizes["sell"],
            "openOrderBuyCost": decimal_text(costs["buy"]),
            "openOrderSellCost": decimal_text(costs["sell"]),
            "settleCurrency": listing.settle,
        }
    )


FUTURES_ORDER_LISTS: tuple[Route, ...] = (
    for_account("GET", "/api/v1/orders", 2, _orders, touches_none),
    for_account("GET", "/api/v1/orders/byClientOid", 5, _order_by_client_oid, touches_none),
    for_account("GET", "/api/v1/orders/{orderId}", 5, _order, touches_none),
    for_account("GET", "/api/v1/stopOrders", 6, _stop_orders, touches_none),
    for_account("GET", "/api/v1/recentDoneOrders", 5, _recent_done, touches_none),
    for_account("GET", "/api/v1/fills", 5, _fills, touches_none),
    for_account("GET", "/api/v1/recentFills", 3, _recent_fills, touches_none),
    for_account("GET", "/api/v1/openOrderStatistics", 10, _open_value, touches_none),
)
