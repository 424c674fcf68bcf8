"""Bounds of orders: sizes, prices, worth, numbers of orders, price bands and risk tiers.

Codes and texts are KuCoin's (trading reference, section 5.2); where it has no text of its own for a
bound, the message says what is wrong.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from kucoin_research.sim.accounts.ledger import (
    ZERO,
    Position,
    base_coins,
    contract_value,
    decimal_text,
    fraction,
)
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.order_units import price_of, size_of
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.order_limits import (
    MOST_ACTIVE,
    MOST_SPOT_ACTIVE,
    MOST_SPOT_STOPS,
    MOST_STOPS,
    order_limits,
)

__all__ = [
    "check_adding_price",
    "check_band",
    "check_capacity",
    "check_client_oid",
    "check_closing_price",
    "check_counts",
    "check_form_of_client_oid",
    "check_limits",
    "check_risk",
    "check_state",
    "check_worth",
    "worst_ticks",
]


_CLIENT_OID = re.compile(r"[A-Za-z0-9_-]{1,40}")


def check_state(state: str, listing: Listing) -> None:
    """Check that a symbol takes orders: 300002 on futures, 200001 on spot if it does not."""
    if state == "Open":
        return
    if listing.market == "spot":
        raise OrderRefused("200001", f"Order creation for this pair suspended ({listing.symbol})")
    raise OrderRefused(
        "300002",
        "Order placement/cancellation suspended, please try again later. "
        f"({listing.symbol} is {state})",
    )


def check_form_of_client_oid(oid: str, listing: Listing) -> None:
    """Check that a client's own id, if any, is one: 100001 on futures, 400100 on spot."""
    if oid and not _CLIENT_OID.fullmatch(oid):
        raise OrderRefused(
            "400100" if listing.market == "spot" else "100001",
            "clientOid may have up to 40 letters, digits, underscores and hyphens",
        )


def check_client_oid(member: Member, request: OrderRequest, listing: Listing) -> None:
    """Check that the client's own id is one, and new among the orders of its market.

    KuCoin asks for a unique one; there are reports that it refuses those of open orders only
    (Kucoin/kucoin-api-docs#468). The text on spot was seen in JKorf/Kucoin.Net#120.

    Raises
    ------
    OrderRefused
        300018 or 100001 on futures, 400100 on spot.
    """
    oid = request.client_oid
    check_form_of_client_oid(oid, listing)
    if not oid or member.archive.find_client_oid(listing.market, oid) is None:
        return
    if listing.market == "spot":
        raise OrderRefused("400100", "validation.createOrder.clientOidDuplicated")
    raise OrderRefused("300018", "clientOid parameter repeated")


def check_closing_price(position: Position, side: str, price: Decimal) -> None:
    """Check that a limit order which closes an isolated position is not worse than its margin.

    KuCoin's bound is on the price alone: at it, the fee comes on top of the margin.

    Raises
    ------
    OrderRefused
        300006.
    """
    bankruptcy = position.bankruptcy_price
    if position.is_cross or not bankruptcy:
        return
    if price < bankruptcy if side == "sell" else price > bankruptcy:
        word, limit = "greater" if side == "sell" else "less", decimal_text(round(bankruptcy, 8))
        raise OrderRefused(
            "300006",
            f"The close price shall be {word} than the bankruptcy price. "
            f"Current bankruptcy price: {limit}.",
        )


def check_adding_price(position: Position, side: str, price: Decimal) -> None:
    """Check that a limit order which adds to an isolated position is not filled too late.

    At a price worse than that of its liquidation the position would be gone by then.

    Raises
    ------
    OrderRefused
        300007.
    """
    limit = position.liquidation_price
    if position.is_cross or not limit or (side == "buy") != (position.quantity > 0):
        return
    if price < limit if side == "buy" else price > limit:
        shown = decimal_text(round(limit, 8))
        raise OrderRefused("300007", f"priceWorseThanLiquidationPrice (it is {shown})")


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
    if funds > limits.max_funds:
        raise OrderRefused("400100", f"funds {funds} are above the maximum, {limits.max_funds}")
    if funds % limits.funds_step:
        why = f"funds {funds} are no multiple of {decimal_text(limits.funds_step)}"
        raise OrderRefused("400100", f"Funds increment invalid. ({why})")
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
    if request.price is None and not request.stop:
        return
    waiting = sum(stop.symbol == request.symbol for stop in member.stops.values())
    resting = len(member.orders_of(request.symbol))
    if listing.market == "spot":
        is_full = waiting + resting >= MOST_SPOT_ACTIVE
        if is_full or (request.stop and waiting >= MOST_SPOT_STOPS):
            raise OrderRefused("200003", "Number of orders breached the limit")
        return
    kind, code, most, there = "Active", "300001", MOST_ACTIVE, resting
    if request.stop:
        kind, code, most, there = "Stop", "300004", MOST_STOPS, waiting
    if there >= most:
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


def worst_ticks(side: str, engine: Market, bound: Decimal = ZERO) -> int | None:
    """Return the worst price that a market order takes: what it does not find there is canceled.

    Parameters
    ----------
    side, engine
        The order's side and market.
    bound
        A price that it must not pass either; zero for none.

    Returns
    -------
    int or None
        In ticks; None if there is no price that the band could lie around, and no bound.
    """
    prices = [price for price in (_worst_price(side, engine), bound) if price]
    if not prices:
        return None
    worst = min(prices) if side == "buy" else max(prices)
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


def check_risk(
    member: Member,
    side: str,
    opening: int,
    price: Decimal,
    listing: Listing,
    leverage: Decimal,
) -> None:
    """Check the position that an order would make against the risk limits of its margin mode.

    Cross margin has one limit, isolated margin has tiers. An account that has chosen no level has
    the lowest that holds the position, as on KuCoin's unified accounts. What rests already on the
    same side counts as if it were filled.

    Raises
    ------
    OrderRefused
        300005 above the limit, or the chosen or the highest tier; 300016 if the leverage is too
        high for the tier.
    """
    if not opening:
        return
    value = _committed(member, listing, side).value + abs(contract_value(listing, price, opening))
    if member.margin_mode(listing.symbol) == "CROSS":
        if value > listing.cross_risk_limit:
            raise OrderRefused("300005", f"{listing.cross_risk_limit} risk limit exceeded")
        return
    chosen = member.risk_level(listing.symbol)
    if chosen is not None:
        tier = listing.risk_tiers[chosen - 1]
    else:
        tier = listing.risk_tier(value) or listing.risk_tiers[-1]
    if value > tier.limit:
        raise OrderRefused("300005", f"{tier.limit} risk limit exceeded")
    if leverage > tier.max_leverage:
        text = f"The leverage cannot be greater than {tier.max_leverage}."
        raise OrderRefused("300016", f"{text} (for a position of up to {tier.limit})")


class _Commitment(NamedTuple):
    """Lots, and their value in the settlement currency."""

    lots: int
    value: Decimal


def _committed(member: Member, listing: Listing, side: str) -> _Commitment:
    # The position that the account's open orders of a side would make with what it holds: lots that
    # it holds count for their value at entry, orders for that at their own prices.
    symbol, value = listing.symbol, ZERO
    lots = member.closable(symbol, "sell" if side == "buy" else "buy")
    if lots:
        value = abs(member.positions[symbol].cost)
    closing = member.closable(symbol, side)
    for order in member.orders_of(symbol):
        if order.request.side == side:
            assert order.price_ticks is not None, "only limit orders rest"
            opening = max(0, order.remaining - closing)
            closing = max(0, closing - order.remaining)
            lots += opening
            value += abs(
                contract_value(listing, price_of(order.engine, order.price_ticks), opening)
            )
    return _Commitment(lots, value)


def check_capacity(
    member: Member, side: str, opening: int, price: Decimal, listing: Listing, left: Decimal
) -> None:
    """Check the position that an order would make against what cross margin can carry.

    The larger the position, the more of its value is its initial margin: above what leverage alone
    asks for, the difference must be covered by what is `left` available after the order.

    Raises
    ------
    OrderRefused
        330008.
    """
    leverage, committed = member.leverage(listing.symbol), _committed(member, listing, side)
    rate = listing.cross_initial(base_coins(listing, committed.lots + opening, price), leverage)
    value = committed.value + abs(contract_value(listing, price, opening))
    if value * (rate - 1 / leverage) > max(left, ZERO):
        raise OrderRefused(
            "330008", "Your current margin and leverage have reached the maximum open limit."
        )
