"""What the spot calls of both families do with orders: place, test, find and cancel them."""

from __future__ import annotations

from kucoin_research.sim.accounts.members import AccountOrder, Member
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.routes import Site
from kucoin_research.sim.server.spot_order_requests import INVALID, named_order, order_request

__all__ = ["cancel_all", "known_order", "open_order", "place", "place_named", "try_out"]

_NOT_OPEN = "order_not_exist_or_not_allow_to_cancel"
_UNKNOWN = "order not exist."


def place(site: Site, member: Member, request: OrderRequest) -> AccountOrder:
    """Place an order that does not wait for a price, and return it."""
    order_id = site.core.order_entry.place(member, request)
    order = member.archive.find("spot", order_id)
    assert isinstance(order, AccountOrder), "a request without a stop becomes an order"
    return order


def place_named(site: Site, values: Values, member: Member) -> AccountOrder:
    """Place the order of a call, and return it."""
    return place(site, member, order_request(site, values))


def try_out(site: Site, values: Values, member: Member) -> dict[str, str]:
    """Check the order of a call as if it were placed; return the ids that it might have had."""
    request = order_request(site, values)
    site.core.order_entry.test(member, request)
    order_id = site.core.frame_id(f"test {member.user_id} {request.client_oid}", site.now_ns)
    return {"orderId": order_id, "clientOid": request.client_oid or order_id}


def known_order(member: Member, values: Values, symbol: str = "") -> AccountOrder:
    """Find the order that a call names.

    Raises
    ------
    OrderRefused
        400100 if there is none, or none of this symbol.
    """
    order = named_order(member, values, symbol)
    if order is None:
        raise OrderRefused(INVALID, _UNKNOWN)
    return order


def open_order(member: Member, values: Values, symbol: str = "") -> AccountOrder:
    """Find the open order that a call names.

    Raises
    ------
    OrderRefused
        400100 if there is none, or none of this symbol.
    """
    order = named_order(member, values, symbol)
    if order is None or not order.is_active:
        raise OrderRefused(INVALID, _NOT_OPEN)
    return order


def cancel_all(site: Site, member: Member, symbol: str = "") -> list[AccountOrder]:
    """Cancel the open spot orders of a symbol, empty for all; return them, oldest first."""
    found = [
        order
        for order in member.orders.values()
        if order.market == "spot" and symbol in ("", order.symbol)
    ]
    canceled = []
    for order in found:
        # The end of one order may have ended another one.
        if order.is_active:
            site.core.order_entry.cancel(member, order.order_id)
            canceled.append(order)
    return canceled
