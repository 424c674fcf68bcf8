"""Bounds of orders: sizes, prices, worth, numbers of orders, price bands and risk tiers.

Codes and texts are KuCoin's (trading reference, section 5.2); where it has no text of its own for a
bound, the message says what is wrong.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from kucoin_research.sim.accounts.ledger import contract_value, decimal_text, fraction
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.order_units import price_of, size_of
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.order_limits import (
    MOST_ACTIVE,
    MOST_SPOT_STOPS,
    MOST_STOPS,
    order_limits,
)

__all__ = [
    "check_band",
    "check_counts",
    "check_limits",
    "check_risk",
    "check_worth",
    "worst_ticks",
]


def check_limits(request: OrderRequest, listing: Listing) -> None:
    """Check size, prices and funds of a request against the limits of its listing's row.

    Raises
    ------
    OrderRefused
        100001 on futures; 400100 on spot, or 400760 for too small an amount of funds.
    """
    limits, invalid = order_limits(listing), "100001"
    if listing.market == "spot":
        invalid = "400100"
    if request.size is not None:
        if request.size < limits.min_size:
            raise OrderRefused(
                invalid,
                "Order size below the minimum requirement. "
                f"(size {request.size}, minimum {decimal_text(limits.min_size)})",
            )
        most = limits.max_size if request.price is not None else limits.max_market_size
        if request.size > most:
            raise OrderRefused(
                invalid, f"size {request.size} is above the maximum, {decimal_text(most)}"
            )
    for name, price in (("price", request.price), ("stop price", request.stop_price)):
        if price is not None and limits.max_price is not None and price > limits.max_price:
            raise OrderRefused(invalid, f"{name} {price} is above {limits.max_price}")
    if request.funds is not None:
        _check_funds(request.funds, listing)


def _check_funds(funds: Decimal, listing: Listing) -> None:
    limits = order_limits(listing)
    assert limits.funds_step is not None, "only spot orders have funds"
    assert limits.max_funds is not None
    if funds % limits.funds_step:
        why = f"funds {funds} are no multiple of {decimal_text(limits.funds_step)}"
        raise OrderRefused("400100", f"Funds increment invalid. ({why})")
    if funds > limits.max_funds:
        raise OrderRefused("400100", f"funds {funds} are above the maximum, {limits.max_funds}")
    _check_least(funds, listing)


def check_worth(size: int, price_ticks: int, engine: Market) -> None:
    """Check the worth of a spot order at a price against the smallest: 400760 below it."""
    _check_least(price_of(engine, price_ticks) * size_of(engine, size), engine.listing)


def _check_least(worth: Decimal, listing: Listing) -> None:
    least = order_limits(listing).min_funds
    if least is not None and worth < least:
        text = f"The order funds should more then {decimal_text(least)} {listing.quote}."
        raise OrderRefused("400760", text)


def check_counts(member: Member, request: OrderRequest, listing: Listing) -> None:
    """Check how many orders of its kind the account has already on the symbol.

    Raises
    ------
    OrderRefused
        300001 (active) or 300004 (stops) on futures, 200003 on spot.
    """
    is_spot = listing.market == "spot"
    if request.stop:
        kind, code, most = "Stop", "300004", MOST_SPOT_STOPS if is_spot else MOST_STOPS
        there = sum(stop.request.symbol == request.symbol for stop in member.stops.values())
    elif request.price is None:
        return
    else:
        kind, code, most = "Active", "300001", MOST_ACTIVE
        there = len(member.orders_of(request.symbol))
    if there < most:
        return
    if is_spot:
        raise OrderRefused("200003", "Number of orders breached the limit")
    raise OrderRefused(
        code, f"{kind} order quantity limit exceeded (limit: {most}, current: {there})"
    )


def check_band(side: str, price: Decimal, engine: Market) -> None:
    """Check a limit price against the price band: how much worse than the market it may be.

    Raises
    ------
    OrderRefused
        300011 or 300012 on futures, 400370 on spot.
    """
    # KuCoin bounds how much worse than the market an order may be, not how much better (trading
    # reference, sections 5.1 and 6).
    worst = _worst_price(side, engine)
    if worst is None or (price <= worst if side == "buy" else price >= worst):
        return
    limit = decimal_text(worst)
    if engine.listing.market == "spot":
        raise OrderRefused("400370", f"{'Max' if side == 'buy' else 'Min'}. price: {limit}")
    if side == "buy":
        raise OrderRefused("300011", f"Order price cannot be higher than {limit}")
    raise OrderRefused("300012", f"Order price cannot be lower than {limit}")


def worst_ticks(side: str, engine: Market) -> int | None:
    """Return the worst price that a market order takes: what it does not find there is canceled.

    None if there is no price that the band could lie around.
    """
    worst = _worst_price(side, engine)
    if worst is None:
        return None
    rounding = ROUND_FLOOR if side == "buy" else ROUND_CEILING
    ticks = worst / Decimal(engine.listing.tick_size)
    return max(1, int(ticks.to_integral_value(rounding)))


def _worst_price(side: str, engine: Market) -> Decimal | None:
    listing = engine.listing
    if listing.market == "futures":
        reference = fraction(engine.mark_price(engine.now_ns))
    else:
        best = engine.best_ask if side == "buy" else engine.best_bid
        if not best:
            return None
        reference = price_of(engine, best)
    lowest, highest = listing.price_limits(reference)
    return highest if side == "buy" else lowest


def check_risk(member: Member, side: str, opening: int, price: Decimal, listing: Listing) -> None:
    """Check the position that an order would make against the risk limits of its margin mode.

    Cross margin has one limit, isolated margin has tiers. An account does not choose its level
    here: it has the lowest that holds the position, as on KuCoin's unified accounts. Orders that
    rest already do not count.

    Raises
    ------
    OrderRefused
        300005 above the limit or the highest tier, 300016 if the leverage is too high for the tier.
    """
    if not opening:
        return
    same_side = member.closable(listing.symbol, "sell" if side == "buy" else "buy")
    value = contract_value(listing, price, same_side + opening)
    if member.margin_mode(listing.symbol) == "CROSS":
        if abs(value) > listing.cross_risk_limit:
            raise OrderRefused("300005", f"{listing.cross_risk_limit} risk limit exceeded")
        return
    tier = listing.risk_tier(value)
    if tier is None:
        raise OrderRefused("300005", f"{listing.risk_tiers[-1].limit} risk limit exceeded")
    if member.leverage(listing.symbol) > tier.max_leverage:
        text = f"The leverage cannot be greater than {tier.max_leverage}."
        raise OrderRefused("300016", f"{text} (for a position of up to {tier.limit})")
