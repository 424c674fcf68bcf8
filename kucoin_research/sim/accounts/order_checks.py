"""Checks of an order request, and the funds that an order binds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from kucoin_research.errors import shown
from kucoin_research.sim.accounts.futures_wallets import wallet_at_marks
from kucoin_research.sim.accounts.ledger import ZERO, contract_value, decimal_text, fraction
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

__all__ = [
    "CheckedOrder",
    "check_order",
    "check_request",
    "price_of",
    "size_of",
    "ticks_of",
    "units_of",
]

_SIDES = ("buy", "sell")
_STOPS = {"futures": ("up", "down"), "spot": ("entry", "loss")}
_PRICE_TYPES = ("TP", "MP", "IP")
_TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PO")
# KuCoin's codes for an order that makes no sense, and for one that the balance does not cover
# (trading reference, section 5.2).
_INVALID = {"futures": "100001", "spot": "400100"}
_NO_FUNDS = {"futures": "300003", "spot": "200004"}


@dataclass(frozen=True, kw_only=True)
class CheckedOrder:
    """A request that may be placed, in the units of its market.

    Attributes
    ----------
    member, request, engine
        Who asks for what, on which market.
    size
        In units.
    price_ticks
        Limit price in ticks; None for a market order.
    hold
        Coins to set aside on spot, in the currency that the order pays with; zero on futures.
    """

    member: Member
    request: OrderRequest
    engine: Market
    size: int
    price_ticks: int | None
    hold: Decimal


def check_order(
    venue: Venue, member: Member, request: OrderRequest, engine: Market
) -> CheckedOrder:
    """Check a request and the funds for it, without a change to anything.

    Raises
    ------
    OrderRefused
        Where KuCoin would refuse it; ``code`` is KuCoin's.
    """
    size, price_ticks = check_request(request, engine.listing)
    if price_ticks is not None:
        _check_band(request.side, price_of(engine, price_ticks), engine)
    hold = ZERO
    if engine.listing.market == "spot":
        size, hold = _spot_hold(member, request, engine, size, price_ticks)
    else:
        size = _futures_size(venue, member, request, engine, size, price_ticks)
    return CheckedOrder(
        member=member,
        request=request,
        engine=engine,
        size=size,
        price_ticks=price_ticks,
        hold=hold,
    )


def check_request(request: OrderRequest, listing: Listing) -> tuple[int, int | None]:
    """Return the size of a request in units (0 with funds) and its price in ticks.

    Raises
    ------
    OrderRefused
        If the request contradicts itself, its listing or KuCoin's rules.
    """
    invalid = _INVALID[listing.market]
    for value, known, name in (
        (request.side, _SIDES, "side"),
        (request.time_in_force, _TIMES_IN_FORCE, "time in force"),
        (request.stop_price_type, _PRICE_TYPES, "stop price type"),
        (request.stop, ("", *_STOPS[listing.market]), "stop"),
    ):
        if value not in known:
            raise OrderRefused(invalid, f"no {name} {shown(value)} here; known: {known}")
    if bool(request.stop) != (request.stop_price is not None):
        raise OrderRefused(invalid, "a stop order needs both stop and stop_price")
    if request.funds is None and request.size is None:
        raise OrderRefused(invalid, "an order needs a size")
    if request.funds is not None and (
        listing.market == "futures"
        or request.side == "sell"
        or request.price is not None
        or request.size is not None
        or request.stop
        or request.funds <= 0
    ):
        raise OrderRefused(invalid, "funds are for spot market buys, in place of a size")
    if request.reduce_only and listing.market == "spot":
        raise OrderRefused(invalid, "reduce_only is for futures")
    size = 0 if request.size is None else units_of(listing, request.size)
    price_ticks = None if request.price is None else ticks_of(listing, request.price)
    return size, price_ticks


def units_of(listing: Listing, size: Decimal) -> int:
    """Convert a size to units; refused unless it is a positive multiple of the lot size."""
    units = size / Decimal(listing.lot_size)
    if units != units.to_integral_value() or units < 1:
        raise OrderRefused(
            _INVALID[listing.market], f"size {size} is no positive multiple of {listing.lot_size}"
        )
    return int(units)


def ticks_of(listing: Listing, price: Decimal) -> int:
    """Convert a price to ticks; refused unless it is a positive multiple of the tick size."""
    ticks = price / Decimal(listing.tick_size)
    if ticks != ticks.to_integral_value() or ticks < 1:
        raise OrderRefused(
            _INVALID[listing.market],
            f"price {price} is no positive multiple of {listing.tick_size}",
        )
    return int(ticks)


def price_of(engine: Market, ticks: int) -> Decimal:
    """Convert ticks to a price."""
    return Decimal(engine.price_text(ticks))


def size_of(engine: Market, units: int) -> Decimal:
    """Convert units to a size."""
    return Decimal(engine.size_text(units))


def _check_band(side: str, price: Decimal, engine: Market) -> None:
    # KuCoin bounds how much worse than the market an order may be, not how much better (trading
    # reference, sections 5.1 and 6).
    listing = engine.listing
    if listing.market == "futures":
        reference = fraction(engine.mark_price(engine.now_ns))
    else:
        best = engine.best_ask if side == "buy" else engine.best_bid
        if not best:
            return
        reference = price_of(engine, best)
    lowest, highest = listing.price_limits(reference)
    if side == "buy" and price > highest:
        raise OrderRefused(*_too_high(listing, decimal_text(highest)))
    if side == "sell" and price < lowest:
        raise OrderRefused(*_too_low(listing, decimal_text(lowest)))


def _too_high(listing: Listing, limit: str) -> tuple[str, str]:
    if listing.market == "futures":
        return "300011", f"Order price cannot be higher than {limit}"
    return "400370", f"Max. price: {limit}"


def _too_low(listing: Listing, limit: str) -> tuple[str, str]:
    if listing.market == "futures":
        return "300012", f"Order price cannot be lower than {limit}"
    return "400370", f"Min. price: {limit}"


def _spot_hold(
    member: Member,
    request: OrderRequest,
    engine: Market,
    size: int,
    price_ticks: int | None,
) -> tuple[int, Decimal]:
    # The size in units (found from funds), and the coins to set aside.
    listing, wallet = engine.listing, member.spot
    if request.side == "sell":
        hold, currency = size_of(engine, size), listing.base
    else:
        currency = listing.quote
        with_fee = 1 + fraction(listing.taker_fee)
        if request.funds is not None:
            hold = request.funds
            size = _affordable(engine, hold / with_fee)
            if not size:
                raise OrderRefused("400100", f"funds {hold} buy less than the smallest size")
        elif price_ticks is not None:
            hold = price_of(engine, price_ticks) * size_of(engine, size) * with_fee
        else:
            hold = _cost_of_taking(engine, size) * with_fee
    if hold > wallet.available(currency):
        raise OrderRefused(_NO_FUNDS["spot"], f"Balance insufficient! {hold} {currency} needed")
    return size, hold


def _futures_size(
    venue: Venue,
    member: Member,
    request: OrderRequest,
    engine: Market,
    size: int,
    price_ticks: int | None,
) -> int:
    # The size in units: less than asked for where the order may only reduce.
    listing = engine.listing
    closable = member.closable(request.symbol, request.side)
    if request.reduce_only:
        if not closable:
            raise OrderRefused("300009", "No open positions to close.")
        return min(size, closable)
    opening = max(0, size - closable)
    if price_ticks is None:
        best = engine.best_ask if request.side == "buy" else engine.best_bid
        price_ticks = best or 1
    value = abs(contract_value(listing, price_of(engine, price_ticks), opening))
    # Three fees: for opening, for closing, and room for a fill or mark a little off this price.
    rate = 1 / member.leverage(request.symbol) + 3 * fraction(listing.taker_fee)
    wallet = wallet_at_marks(venue, member, listing.settle, engine.now_ns)
    if value * rate > wallet.available:
        raise OrderRefused(
            _NO_FUNDS["futures"],
            f"Balance insufficient: {decimal_text(value * rate)} {listing.settle} needed",
        )
    return size


def _cost_of_taking(engine: Market, size: int) -> Decimal:
    # Cost of buying a size from the asks, best first, without the fee.
    cost = ZERO
    for ticks, units in engine.levels("sell"):
        taken = min(units, size)
        cost += price_of(engine, ticks) * size_of(engine, taken)
        size -= taken
        if not size:
            break
    return cost


def _affordable(engine: Market, funds: Decimal) -> int:
    # Number of units that the funds buy from the asks, best first, without the fee.
    bought = 0
    for ticks, units in engine.levels("sell"):
        unit_cost = price_of(engine, ticks) * Decimal(engine.listing.lot_size)
        taken = min(units, int((funds / unit_cost).to_integral_value(rounding=ROUND_DOWN)))
        bought += taken
        funds -= taken * unit_cost
        if taken < units:
            break
    return bought
