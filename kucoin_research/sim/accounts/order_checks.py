"""Checks of an order request, and the funds that an order binds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from itertools import islice

from kucoin_research.errors import shown
from kucoin_research.sim.accounts.futures_wallets import wallet_at_marks
from kucoin_research.sim.accounts.ledger import ZERO, contract_value, decimal_text, fraction
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.order_bounds import (
    check_adding_price,
    check_band,
    check_capacity,
    check_closing_price,
    check_counts,
    check_limits,
    check_risk,
    check_worth,
    worst_ticks,
)
from kucoin_research.sim.accounts.order_units import price_of, size_of, ticks_of, units_of
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.account_orders import SelfTrade
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

__all__ = ["CheckedOrder", "check_margin", "check_order", "check_request", "leverage_of"]

_SIDES = ("buy", "sell")
_STOPS = {"futures": ("up", "down"), "spot": ("entry", "loss")}
_LEVELS = 500  # of the book that a market order is expected to reach at most
_PRICE_TYPES = ("TP", "MP", "IP")
_TIMES_IN_FORCE = ("GTC", "GTT", "IOC", "FOK", "PO")
_SELF_TRADES: dict[str, tuple[str, ...]] = {
    "futures": ("", "CN", "CO", "CB"),
    "spot": ("", "CN", "CO", "CB", "DC"),
}
_MARGIN_MODES = ("", "ISOLATED", "CROSS")
# KuCoin's codes for an order that makes no sense, and for one that the balance does not cover
# (trading reference, section 5.2).
_INVALID = {"futures": "100001", "spot": "400100"}
_NO_FUNDS = {"futures": "300003", "spot": "200004"}
# There is no contra order. (trading reference, section 5.2)
_EMPTY = "Unavailable to place the order, there's no contra order in the market."


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
    worst_ticks
        The worst price that a market order takes, in ticks; None for a limit order, and for the
        order of a liquidation.
    hold
        Coins to set aside on spot, in the currency that the order pays with; zero on futures.
    """

    member: Member
    request: OrderRequest
    engine: Market
    size: int
    price_ticks: int | None
    worst_ticks: int | None
    hold: Decimal

    @property
    def stp(self) -> SelfTrade:
        """The rule against trades with own orders; an order of all or nothing is canceled."""
        return _self_trade(self.request)


def _self_trade(request: OrderRequest) -> SelfTrade:
    is_whole = request.time_in_force == "FOK"
    return "CN" if is_whole and request.stp else request.stp


def check_order(
    venue: Venue, member: Member, request: OrderRequest, engine: Market
) -> CheckedOrder:
    """Check a request and the funds for it, without a change to anything.

    Raises
    ------
    OrderRefused
        Where KuCoin would refuse it; ``code`` is KuCoin's.
    """
    if request.close_order:
        request = _closing(member, request)
    size, price_ticks = check_request(member, request, engine.listing)
    worst, hold = None, ZERO
    if price_ticks is not None:
        check_band(request.side, price_of(engine, price_ticks), engine)
    elif request.taken_over_at is None:
        worst = worst_ticks(request.side, engine, _covered_price(member, request))
    if engine.listing.market == "spot":
        size, hold = _spot_hold(member, request, engine, size, price_ticks, worst)
    else:
        size = _futures_size(venue, member, request, engine, size, price_ticks)
    return CheckedOrder(
        member=member,
        request=request,
        engine=engine,
        size=size,
        price_ticks=price_ticks,
        worst_ticks=worst,
        hold=hold,
    )


def _covered_price(member: Member, request: OrderRequest) -> Decimal:
    # KuCoin bounds the worst price of a market order, and refuses to close at a limit price that is
    # worse than the bankruptcy price (trading reference, sections 5.1 and 5.2). So a market order
    # that closes isolated margin takes no price at which its loss and fee are more than the margin.
    position = member.positions.get(request.symbol)
    if position is None or position.is_cross or not member.closable(request.symbol, request.side):
        return ZERO
    return position.covered_price


def check_request(
    member: Member, request: OrderRequest, listing: Listing, *, replaces: bool = False
) -> tuple[int, int | None]:
    """Return the size of a request in units (0 with funds) and its price in ticks.

    An order that `replaces` another one does not add to their number.

    Raises
    ------
    OrderRefused
        If the request contradicts itself, its listing or KuCoin's rules.
    """
    _check_words(request, listing)
    size = 0 if request.size is None else units_of(listing, request.size)
    price_ticks = None if request.price is None else ticks_of(listing, request.price)
    if request.stop_price is not None:
        ticks_of(listing, request.stop_price)
    if not request.is_forced:
        check_limits(request, listing)
        if not replaces:
            check_counts(member, request, listing)
    return size, price_ticks


def _check_words(request: OrderRequest, listing: Listing) -> None:
    invalid = _INVALID[listing.market]
    for value, known, name in (
        (request.side, _SIDES, "side"),
        (request.time_in_force, _TIMES_IN_FORCE, "time in force"),
        (request.stop_price_type, _PRICE_TYPES, "stop price type"),
        (request.stop, ("", *_STOPS[listing.market]), "stop"),
        (request.stp, _SELF_TRADES[listing.market], "self-trade prevention"),
        (request.margin_mode, _MARGIN_MODES, "margin mode"),
    ):
        if value not in known:
            raise OrderRefused(invalid, f"no {name} {shown(value)} here; known: {known}")
    if bool(request.stop) != (request.stop_price is not None):
        raise OrderRefused(invalid, "a stop order needs both stop and stop_price")
    if request.funds is None and request.size is None and not request.close_order:
        raise OrderRefused(invalid, "an order needs a size")
    if request.funds is not None and (
        listing.market == "futures"
        or request.price is not None
        or request.size is not None
        or request.funds <= 0
    ):
        raise OrderRefused(invalid, "funds are for spot market orders, in place of a size")
    if request.leverage is not None and request.leverage < 1 and listing.market == "futures":
        raise OrderRefused(invalid, f"leverage {request.leverage} must be at least 1")
    if (request.reduce_only or request.close_order) and listing.market == "spot":
        raise OrderRefused(invalid, "reduce_only and close_order are for futures")
    _check_end(request, listing)
    if request.stp == "DC" and request.price is None:
        raise OrderRefused(invalid, "DC is for limit orders")


def _check_end(request: OrderRequest, listing: Listing) -> None:
    # On KuCoin an order that may only rest can have a time limit too.
    invalid, is_limited = _INVALID[listing.market], request.cancel_after > 0
    words = ("GTT", "PO") if is_limited else ("GTC", "IOC", "FOK", "PO")
    if request.time_in_force not in words:
        raise OrderRefused(invalid, "GTT needs cancelAfter above zero, and cancelAfter needs GTT")
    if is_limited and (listing.market == "futures" or request.price is None):
        raise OrderRefused(invalid, "GTT is for limit orders on spot")


def _spot_hold(
    member: Member,
    request: OrderRequest,
    engine: Market,
    size: int,
    price_ticks: int | None,
    worst: int | None,
) -> tuple[int, Decimal]:
    # The size in units (found from funds), and the coins to set aside.
    listing, wallet = engine.listing, member.spot
    if request.funds is None:
        _check_spot_worth(request.side, size, price_ticks, engine)
    with_fee = 1 + fraction(listing.taker_fee)
    if request.funds is not None:
        offers = list(_within(member, request, engine, worst))
        # Where nothing can be taken, as behind an own order, the smallest size is canceled.
        size = _affordable(offers, request.funds, engine) if offers else 1
        if not size:
            raise OrderRefused("400100", f"funds {request.funds} are less than the smallest size")
    if request.side == "sell":
        hold, currency = size_of(engine, size), listing.base
    else:
        currency = listing.quote
        if request.funds is not None:
            # The fee comes on top: seen in a private message of 2026-01, where all but the part
            # below one lot was spent.
            hold = request.funds * with_fee
        elif price_ticks is not None:
            hold = price_of(engine, price_ticks) * size_of(engine, size) * with_fee
        else:
            taken = _within(member, request, engine, worst)
            hold = _cost_of_taking(taken, size, engine) * with_fee
    if hold > wallet.available(currency):
        raise OrderRefused(_NO_FUNDS["spot"], f"Balance insufficient! ({hold} {currency} needed)")
    return size, hold


def _check_spot_worth(side: str, size: int, price_ticks: int | None, engine: Market) -> None:
    # A market order is worth what it is at the best price.
    ticks = price_ticks or (engine.best_ask if side == "buy" else engine.best_bid)
    if ticks:
        check_worth(size, ticks, engine)


def _futures_size(
    venue: Venue,
    member: Member,
    request: OrderRequest,
    engine: Market,
    size: int,
    price_ticks: int | None,
) -> int:
    # The size in units: less than asked for where the order may only reduce.
    check_margin_mode(member, request)
    closable = member.closable(request.symbol, request.side)
    position = member.positions.get(request.symbol)
    if position is not None and price_ticks is not None and not request.is_forced:
        check = check_closing_price if closable else check_adding_price
        check(position, request.side, price_of(engine, price_ticks))
    if request.reduce_only:
        if not closable:
            raise OrderRefused("300009", "No open positions to close.")
        return min(size, closable)
    check_margin(venue, member, request, engine, size, price_ticks)
    return size


def check_margin(
    venue: Venue,
    member: Member,
    request: OrderRequest,
    engine: Market,
    size: int,
    price_ticks: int | None,
) -> None:
    """Check risk limit and margin of a futures order, by nothing but its size and price.

    Parameters
    ----------
    venue, member, request, engine
        Who asks for what, where.
    size, price_ticks
        The request's, in units and ticks; None for the price that a market order would get.

    Raises
    ------
    OrderRefused
        300003, 300005, 300016 or 330008; 300008 for a market order without a counterpart.
    """
    listing = engine.listing
    price = _expected_price(member, request, engine, size, price_ticks)
    # Resting orders close first.
    resting = [one for one in member.orders_of(request.symbol) if one.request.side == request.side]
    promised = sum(one.remaining for one in resting)
    closing = min(size, max(0, member.closable(request.symbol, request.side) - promised))
    leverage = leverage_of(member, request)
    check_risk(member, request.side, size - closing, price, listing, leverage)
    if request.force_hold:
        closing = 0
    if size == closing:
        return
    cost = _opening_cost(member, listing, price, size - closing, leverage)
    if _takes_all(member, request, engine, size, price_ticks):
        cost -= _freed(member, engine, closing, price)
    wallet = wallet_at_marks(venue, member, listing.settle, engine.now_ns)
    is_cross = member.margin_mode(request.symbol) == "CROSS"
    if is_cross:
        cost -= _netted(member, request, cost)
    if cost > wallet.free:
        raise OrderRefused(
            _NO_FUNDS["futures"],
            f"Balance insufficient. The order would cost {decimal_text(cost)} {listing.settle}.",
        )
    if is_cross:
        check_capacity(member, request.side, size - closing, price, listing, wallet.free - cost)


def _takes_all(
    member: Member, request: OrderRequest, engine: Market, size: int, price_ticks: int | None
) -> bool:
    # Whether nothing of the order would rest: what it closes is free before what it opens is bound.
    if price_ticks is None or request.time_in_force in ("IOC", "FOK"):
        return True
    for ticks, units in engine.takeable(request.side, member.user_id, _self_trade(request)):
        if ticks > price_ticks if request.side == "buy" else ticks < price_ticks:
            return False
        size -= units
        if size <= 0:
            return True
    return False


def leverage_of(member: Member, request: OrderRequest) -> Decimal:
    """Return the leverage of what an order opens: cross margin has the symbol's."""
    if request.leverage is None or member.margin_mode(request.symbol) == "CROSS":
        return member.leverage(request.symbol)
    return request.leverage


def check_margin_mode(member: Member, request: OrderRequest) -> None:
    """Check that an order names the margin mode of its symbol, if it names one: else 330005."""
    if request.margin_mode not in ("", member.margin_mode(request.symbol)):
        raise OrderRefused(
            "330005",
            "The order's margin mode does not match the selected one. Please switch and try again.",
        )


def _closing(member: Member, request: OrderRequest) -> OrderRequest:
    # An order that closes the whole position takes side and size from it.
    if request.stop:
        return replace(request, reduce_only=True)
    position = member.positions.get(request.symbol)
    if position is None or not position.quantity:
        raise OrderRefused("300009", "No open positions to close.")
    size = Decimal(abs(position.quantity))
    return replace(request, side=position.closing_side, size=size, reduce_only=True)


def _expected_price(
    member: Member, request: OrderRequest, engine: Market, size: int, price_ticks: int | None
) -> Decimal:
    # What the order pays: its limit, or the average of what a market order finds in the book.
    if price_ticks is not None:
        return price_of(engine, price_ticks)
    best = engine.best_ask if request.side == "buy" else engine.best_bid
    if not best:
        raise OrderRefused("300008", _EMPTY)
    left, total = size, ZERO
    offers = engine.takeable(request.side, member.user_id, _self_trade(request))
    for ticks, units in islice(offers, _LEVELS):
        taken = min(left, units)
        total += taken * price_of(engine, ticks)
        left -= taken
        if not left:
            break
    # Behind an own order, nothing may be left to take.
    return total / (size - left) if left < size else price_of(engine, best)


def _netted(member: Member, request: OrderRequest, cost: Decimal) -> Decimal:
    # Cross margin binds the larger one of the two sides of a symbol's open orders, not their sum
    # (trading reference, section 4.3): this much of the cost is bound already.
    bound = member.order_margins(request.symbol)
    own = bound[request.side]
    other = bound["sell" if request.side == "buy" else "buy"]
    return max(ZERO, min(cost, other - own))


def _opening_cost(
    member: Member, listing: Listing, price: Decimal, size: int, leverage: Decimal
) -> Decimal:
    # The margin that the lots would bind, and the fee of a taker.
    value = abs(contract_value(listing, price, size))
    margin = member.margin_use(listing, value, leverage)
    return margin.total + value * fraction(listing.taker_fee)


def _freed(member: Member, engine: Market, closing: int, price: Decimal) -> Decimal:
    # What closing some of the lots at a price frees: their margin, and their profit or loss. Cross
    # margin counts as available what they have at the mark price.
    position = member.positions.get(engine.listing.symbol)
    if position is None or not closing:
        return ZERO
    freed = position.margin.total + position.unrealised(price)
    if position.is_cross:
        freed -= position.unrealised(fraction(engine.mark_price(engine.now_ns)))
    return freed * closing / abs(position.quantity)


def _within(
    member: Member, request: OrderRequest, engine: Market, worst: int | None
) -> Iterator[tuple[int, int]]:
    # What a market order takes, best first.
    is_buy = request.side == "buy"
    for ticks, units in engine.takeable(request.side, member.user_id, _self_trade(request)):
        if worst is not None and (ticks > worst if is_buy else ticks < worst):
            return
        yield ticks, units


def _cost_of_taking(offers: Iterable[tuple[int, int]], size: int, engine: Market) -> Decimal:
    # Cost of buying a size from the asks, best first, without the fee.
    cost = ZERO
    for ticks, units in offers:
        taken = min(units, size)
        cost += price_of(engine, ticks) * size_of(engine, taken)
        size -= taken
        if not size:
            break
    return cost


def _affordable(offers: Iterable[tuple[int, int]], funds: Decimal, engine: Market) -> int:
    # Number of units that are worth the funds, best offers first, without the fee.
    bought = 0
    for ticks, units in offers:
        unit_cost = price_of(engine, ticks) * Decimal(engine.listing.lot_size)
        taken = min(units, int((funds / unit_cost).to_integral_value(rounding=ROUND_DOWN)))
        bought += taken
        funds -= taken * unit_cost
        if taken < units:
            break
    return bought
