"""Futures orders as clients spell them: the values of a call as an order request.

Fields and defaults are those of ``POST /api/v1/orders`` (trading reference, sections 1.1 and 5.1).
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from kucoin_research.sim.accounts.ledger import contract_value, decimal_text, fraction
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.order_checks import check_margin_mode
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.engine.account_orders import SelfTrade, TimeInForce
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Side
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.futures_values import INVALID, contract, switch, text, word
from kucoin_research.sim.server.pages import amount, optional_amount
from kucoin_research.sim.server.routes import Site

__all__ = ["order_leverage", "order_request"]

_LONGEST_REMARK = 100
_SIZES = ("size", "qty", "valueQty")


def order_request(site: Site, member: Member, values: Values) -> OrderRequest:
    """Read the order that a call asks for.

    Raises
    ------
    OrderRefused
        100003 for an unknown contract, 330011 for a side of hedge mode, 330005 for the other margin
        mode, 300016 for too much leverage, 400413 for a hidden or an iceberg order, and 100001 for
        all else that makes no sense. The rest is checked when the order is placed.
    """
    listing = contract(site, values.get("symbol", ""), "100003")
    _check_unavailable(values)
    closes = switch(values, "closeOrder")
    kind = word(values, "type", ("limit", "market"), "limit")
    price = amount(values, "price", INVALID) if kind == "limit" else None
    stop, stop_price, stop_price_type = _stop(values)
    expected = stop_price if price is None else price
    size = None if closes else _lots(site, values, listing, expected)
    mode = word(values, "marginMode", ("ISOLATED", "CROSS"), "ISOLATED")
    request = OrderRequest(
        symbol=listing.symbol,
        side=_side(values, member, listing) if closes else _spelled_side(values),
        size=size,
        price=price,
        time_in_force=_time_in_force(values, kind),
        reduce_only=switch(values, "reduceOnly"),
        close_order=closes,
        force_hold=switch(values, "forceHold"),
        # Cross margin has one leverage for the symbol, which an order does not change.
        leverage=order_leverage(values, listing) if mode == "ISOLATED" else None,
        margin_mode=mode,
        stp=_self_trade(values),
        client_oid=text(values, "clientOid"),
        remark=_remark(values),
        stop=stop,
        stop_price=stop_price,
        stop_price_type=stop_price_type,
    )
    # Otherwise a stop order would be refused no earlier than at its trigger.
    check_margin_mode(member, request)
    return request


def order_leverage(values: Values, listing: Listing) -> Decimal | None:
    """Read the leverage of an order, from 1 to the contract's highest; None if it is left out."""
    found, most = optional_amount(values, "leverage", INVALID), listing.max_leverage
    if found is not None and found < 1:
        raise OrderRefused(INVALID, f"leverage {found}: {listing.symbol} allows 1 to {most}")
    if found is not None and found > most:
        raise OrderRefused("300016", f"The leverage cannot be greater than {most}.")
    return found


def _check_unavailable(values: Values) -> None:
    for name in ("hidden", "iceberg"):
        if switch(values, name):
            raise OrderRefused("400413", f"{name} orders are no longer supported: leave {name} out")
    side = word(values, "positionSide", ("BOTH", "LONG", "SHORT"), "BOTH")
    if side != "BOTH":
        raise OrderRefused(
            "330011",
            "The order's position mode does not match your selected mode. "
            f"(positionSide {side} is for hedge mode; this account is in one-way mode)",
        )


def _self_trade(values: Values) -> SelfTrade:
    found = word(values, "stp", ("CN", "CO", "CB"))
    known: dict[str, SelfTrade] = {"CN": "CN", "CO": "CO", "CB": "CB"}
    return known.get(found, "")


def _remark(values: Values) -> str:
    found = values.get("remark", "")
    if len(found) > _LONGEST_REMARK:
        raise OrderRefused(INVALID, f"remark is longer than {_LONGEST_REMARK} characters")
    return found


def _spelled_side(values: Values) -> Side:
    text(values, "side")
    return "buy" if word(values, "side", ("buy", "sell")) == "buy" else "sell"


def _side(values: Values, member: Member, listing: Listing) -> Side:
    # The order that closes a position may leave its side out: it follows from the position.
    if values.get("side", "").strip():
        return _spelled_side(values)
    return "buy" if member.closable(listing.symbol, "buy") else "sell"


def _time_in_force(values: Values, kind: str) -> TimeInForce:
    found = word(values, "timeInForce", ("GTC", "IOC"), "GTC")
    if kind == "market":
        return "GTC"
    if found == "IOC":
        return "IOC"  # postOnly has no effect then. (trading reference, section 5.1)
    return "PO" if switch(values, "postOnly") else "GTC"


def _stop(values: Values) -> tuple[str, Decimal | None, str]:
    stop = word(values, "stop", ("up", "down"))
    if not stop:
        if values.get("stopPrice", "").strip():
            raise OrderRefused(INVALID, "stopPrice needs stop: up or down")
        return "", None, "TP"
    price = amount(values, "stopPrice", INVALID)
    text(values, "stopPriceType")
    return stop, price, word(values, "stopPriceType", ("TP", "MP", "IP"))


def _lots(site: Site, values: Values, listing: Listing, price: Decimal | None) -> Decimal:
    # One of three sizes: lots, coins, or an amount of the quote currency.
    named = [name for name in _SIZES if values.get(name, "").strip()]
    if len(named) != 1:
        found = f", not {' and '.join(named)}" if named else ""
        raise OrderRefused(INVALID, f"an order needs one of size, qty and valueQty{found}")
    name = named[0]
    found_amount = amount(values, name, INVALID)
    if name == "size":
        return found_amount
    if listing.is_inverse:
        raise OrderRefused(INVALID, f"{listing.symbol} takes size in lots only, no {name}")
    if name == "valueQty":
        return _lots_worth(site, listing, found_amount, price)
    lots = found_amount / fraction(listing.multiplier)
    if lots != lots.to_integral_value():
        step = f"{decimal_text(fraction(listing.multiplier))} {listing.base}"
        raise OrderRefused(INVALID, f"qty {found_amount} is no multiple of {step}, one lot")
    return lots


def _lots_worth(site: Site, listing: Listing, worth: Decimal, price: Decimal | None) -> Decimal:
    # A market order is worth what it is at the mark price.
    if price is None:
        price = fraction(site.engine(listing.symbol).mark_price(site.now_ns))
    if price <= 0:
        raise OrderRefused(INVALID, f"price {price} must be above zero")
    lot = contract_value(listing, price, 1)
    lots = (worth / lot).to_integral_value(ROUND_FLOOR)
    if lots < 1:
        lot_text = f"{decimal_text(lot)} {listing.quote}"
        raise OrderRefused(INVALID, f"valueQty {worth} is less than one lot, {lot_text}")
    return lots
