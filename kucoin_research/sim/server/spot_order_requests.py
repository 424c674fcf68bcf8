"""What the spot calls ask for: new orders, and the orders, pairs and rows that they name.

Names and bounds of the parameters from KuCoin's documents of the calls; codes and texts of refusals
from the trading reference, section 5.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import cast

from kucoin_research.errors import shown
from kucoin_research.sim.accounts.account_book import FillRow
from kucoin_research.sim.accounts.members import AccountOrder, Member, StopOrder
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.engine.account_orders import SelfTrade, TimeInForce
from kucoin_research.sim.engine.market import Side
from kucoin_research.sim.server.call_values import Values, flag, rows
from kucoin_research.sim.server.pages import amount, between, optional_amount
from kucoin_research.sim.server.routes import MS, Site

__all__ = [
    "INVALID",
    "asked_ids",
    "batch",
    "batch_symbols",
    "fills_of",
    "named_order",
    "named_stop",
    "order_request",
    "spot_symbol",
    "text_value",
    "trades_spot",
    "wanted",
    "word",
]

#: KuCoin's code for a parameter that makes no sense on spot.
INVALID = "400100"
_UNKNOWN_SYMBOL = "900001"
_HIDDEN = "400413"

_LONGEST_NOTE = 20
_TRADE = "TRADE"


def text_value(values: Values, name: str) -> str:
    """Return a value that the call must have.

    Raises
    ------
    OrderRefused
        400100 if it is left out.
    """
    found = values.get(name, "").strip()
    if not found:
        raise OrderRefused(INVALID, f"{name} is missing: this call needs it")
    return found


def word(values: Values, name: str, known: tuple[str, ...], default: str = "") -> str:
    """Return a value that is one of some words; `default` if it is left out.

    Raises
    ------
    OrderRefused
        400100 for another word.
    """
    found = values.get(name, "") or default
    if found not in known and found != default:
        raise OrderRefused(INVALID, f"no {name} {shown(found)} here; known: {', '.join(known)}")
    return found


def spot_symbol(site: Site, values: Values, *, is_needed: bool = True) -> str:
    """Return the symbol of a call; empty if it is left out where it is not needed.

    Raises
    ------
    OrderRefused
        400100 if it is missing, 900001 if there is no such pair.
    """
    symbol = values.get("symbol", "") if not is_needed else text_value(values, "symbol")
    if symbol and symbol not in site.listings:
        raise OrderRefused(_UNKNOWN_SYMBOL, f"The symbol does not exist. ({shown(symbol)})")
    return symbol


def order_request(
    site: Site, values: Values, *, stop: str = "", stop_price: Decimal | None = None
) -> OrderRequest:
    """Read a new order; `stop` and `stop_price` make it one that waits.

    Raises
    ------
    OrderRefused
        400100 if a value is missing, wrong, or contradicts another; 400413 for hidden orders.
    """
    _check_not_hidden(values)
    _check_not_late(site, values)
    if not trades_spot(values):
        raise OrderRefused(INVALID, "margin accounts do not trade here: tradeType must be TRADE")
    kind = word(values, "type", ("limit", "market"), "limit")
    time_in_force, cancel_after = _time_in_force(values, kind)
    return OrderRequest(
        symbol=spot_symbol(site, values),
        side=cast("Side", word(values, "side", ("buy", "sell")) or text_value(values, "side")),
        size=optional_amount(values, "size", INVALID),
        price=_price(values, kind),
        funds=_funds(values, kind),
        time_in_force=time_in_force,
        cancel_after=cancel_after,
        stp=cast("SelfTrade", word(values, "stp", ("CN", "CO", "CB", "DC"))),
        client_oid=values.get("clientOid", ""),
        remark=_note(values, "remark"),
        tags=_note(values, "tags"),
        stop=stop,
        stop_price=stop_price,
    )


def trades_spot(values: Values) -> bool:
    """Return whether a call is about the spot trade account: margin accounts do not trade here."""
    return values.get("tradeType", "") in ("", _TRADE)


def _check_not_hidden(values: Values) -> None:
    for name in ("hidden", "iceberg"):
        if flag(values, name):
            raise OrderRefused(_HIDDEN, f"{name} orders are no longer supported: leave {name} out")


def _check_not_late(site: Site, values: Values) -> None:
    window = optional_amount(values, "allowMaxTimeWindow", INVALID)
    if window is None:
        return
    sent_ms = amount(values, "clientTimestamp", INVALID)
    # The client's clock is the exchange's or the machine's, as in its signature.
    clocks = site.now_ms, site.core.clock.machine.wall_ns() // MS
    now_ms = min(clocks, key=lambda clock_ms: abs(clock_ms - sent_ms))
    if sent_ms + window < now_ms:
        raise OrderRefused(
            INVALID, f"the order came {now_ms - sent_ms} ms after clientTimestamp: {window} allowed"
        )


def _price(values: Values, kind: str) -> Decimal | None:
    if kind == "limit":
        return amount(values, "price", INVALID)
    # Clients that have one function for both kinds send a zero here.
    if optional_amount(values, "price", INVALID):
        raise OrderRefused(INVALID, "a market order has no price: leave it out, or use type limit")
    return None


def _funds(values: Values, kind: str) -> Decimal | None:
    funds = optional_amount(values, "funds", INVALID)
    if kind == "limit" and funds:
        raise OrderRefused(INVALID, "funds are for market orders: a limit order has size and price")
    return funds if kind == "market" else None


def _time_in_force(values: Values, kind: str) -> tuple[TimeInForce, int]:
    found = word(values, "timeInForce", ("GTC", "GTT", "IOC", "FOK"), "GTC")
    after = optional_amount(values, "cancelAfter", INVALID) or Decimal(0)
    if after != int(after):
        raise OrderRefused(INVALID, f"cancelAfter {after} must be a whole number of seconds")
    # -1 is KuCoin's word for never.
    cancel_after = max(0, int(after))
    if cancel_after and found != "GTT":
        raise OrderRefused(INVALID, f"cancelAfter needs timeInForce GTT, not {found}")
    if found == "GTT" and not cancel_after:
        found = "GTC"
    # Post only is without effect on orders that never rest. (KuCoin's document of the call)
    if flag(values, "postOnly") and found not in ("IOC", "FOK"):
        if kind == "market":
            raise OrderRefused(INVALID, "a market order cannot be postOnly: it never rests")
        found = "PO"
    return cast("TimeInForce", found), cancel_after


def _note(values: Values, name: str) -> str:
    text = values.get(name, "")
    if len(text) > _LONGEST_NOTE or not text.isascii():
        raise OrderRefused(INVALID, f"{name} may have up to {_LONGEST_NOTE} ASCII characters")
    return text


def batch(values: Values, most: int) -> list[dict[str, str]]:
    """Return the orders of a call that places several.

    Raises
    ------
    OrderRefused
        400100 if there are none or too many.
    """
    orders = rows(values, "orderList")
    if not orders:
        raise OrderRefused(INVALID, "orderList is missing: give a list of orders")
    if len(orders) > most:
        raise OrderRefused(INVALID, f"orderList has {len(orders)} orders: {most} are the most")
    return orders


def batch_symbols(site: Site, values: Values) -> Iterable[str]:
    """Name the symbols of a call that places several orders."""
    named = [values, *(rows(values, "orderList") or ())]
    return {row["symbol"] for row in named if row.get("symbol") in site.listings}


def named_order(member: Member, values: Values, symbol: str = "") -> AccountOrder | None:
    """Find the spot order that ``orderId`` or ``clientOid`` names; None if there is none.

    Parameters
    ----------
    member, values
        Who asks, and the call's values.
    symbol
        The symbol that it must be of; empty for any.
    """
    found = _found(member, values)
    order = found.order if isinstance(found, StopOrder) else found
    return order if order is not None and symbol in ("", order.symbol) else None


def named_stop(member: Member, values: Values, symbol: str = "") -> StopOrder | None:
    """Find the spot stop order that ``orderId`` or ``clientOid`` names, as `named_order` does."""
    found = _found(member, values)
    stop = found.stop if isinstance(found, AccountOrder) else found
    return stop if stop is not None and symbol in ("", stop.symbol) else None


def _found(member: Member, values: Values) -> AccountOrder | StopOrder | None:
    order_id = values.get("orderId", "")
    if order_id:
        return member.archive.find("spot", order_id)
    client_oid = text_value(values, "clientOid")
    found = member.archive.find_client_oid("spot", client_oid)
    if found is None:
        # An order without an own id is shown with the exchange's in its place.
        found = member.archive.find("spot", client_oid)
    return found


def wanted(values: Values) -> Callable[[OrderRequest], bool]:
    """Make the test whether an order has the symbol, side and types that a call names."""
    if not trades_spot(values):
        return lambda _request: False
    symbol, side, kind = (values.get(name, "") for name in ("symbol", "side", "type"))
    return lambda request: (
        symbol in ("", request.symbol)
        and side in ("", request.side)
        and kind in ("", request.order_type)
    )


def asked_ids(values: Values) -> set[str]:
    """Return the ids of ``orderIds``, which commas separate; empty if it is left out."""
    return {one.strip() for one in values.get("orderIds", "").split(",") if one.strip()}


def fills_of(site: Site, values: Values, member: Member) -> list[FillRow]:
    """Return the spot fills that a call asks for, newest first.

    They are those of an ``orderId``, or of a time, and of the names that `wanted` reads.
    """
    order_id, is_wanted = values.get("orderId", ""), wanted(values)
    found = [
        row
        for row in member.book.fills.newest_first()
        if row.fill.symbol in site.listings
        and order_id in ("", row.fill.order_id)
        and is_wanted(row.request)
    ]
    return between(values, found, lambda row: row.fill.time_ns)
