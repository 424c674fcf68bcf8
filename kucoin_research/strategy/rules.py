"""The rules that an order must keep, with KuCoin's codes and texts, and a hint in plain words."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import ONE, as_float, fixed, times
from kucoin_research.strategy.orders import Order

__all__ = [
    "MOST_ACTIVE",
    "MOST_SPOT_ACTIVE",
    "MOST_SPOT_STOPS",
    "MOST_STOPS",
    "Rejection",
    "amount_text",
    "band_of",
    "check_band",
    "check_funds",
    "check_order",
    "sized",
]

#: The most limit orders of one contract that may rest, and that may wait for their stop price.
MOST_ACTIVE, MOST_STOPS = 100, 50
#: The same of a pair on spot, where those that wait count among those that rest.
MOST_SPOT_ACTIVE, MOST_SPOT_STOPS = 200, 20

_INVALID = "There are invalid parameters"


class Rejection(NamedTuple):
    """Why KuCoin refuses an order: its code and text, and our hint."""

    code: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        said = f"{self.code} {self.text}".strip()
        return f"{said} ({self.hint})" if self.hint else said


def sized(contract: Contract, size: float) -> str:
    """Write a size in lots and in coins, since one is often taken for the other."""
    facts = contract.instrument
    if contract.is_spot:
        return f"{size:,.12g} {facts.base}"
    worth = size * as_float(contract.multiplier)
    coins = f"{worth:,.12g} {facts.quote if contract.is_inverse else facts.base}"
    return f"{size:,.12g} contracts of {facts.symbol} = {coins}"


def amount_text(amount: int, currency: str) -> str:
    """Write an amount of money for a hint."""
    return f"{as_float(amount):,.8g} {currency}"


def check_order(order: Order, contract: Contract) -> Rejection | None:
    """Check what the exchange checks without a look at the market or the account.

    Returns
    -------
    Rejection or None
        None if the order keeps the rules.
    """
    return _check_size(order, contract) or _check_prices(order, contract)


def _check_size(order: Order, contract: Contract) -> Rejection | None:
    facts, size = contract.instrument, fixed(order.size)
    is_spot = contract.is_spot
    if size % contract.lot or size < contract.lot:
        step = f"{facts.lot_size:.12g}"
        if is_spot:
            hint = f"{order.size:.12g} is no positive multiple of {step} {facts.base}"
            return Rejection("400100", "Order size increment invalid.", hint)
        each = "" if contract.is_inverse else _coins_hint(order.size, contract)
        hint = f"size {order.size:.12g} is no positive whole number of lots of {step}{each}"
        return Rejection("100001", _INVALID, hint)
    if facts.min_size is not None and size < fixed(facts.min_size):
        hint = f"the smallest size is {sized(contract, facts.min_size)}"
        if is_spot:
            return Rejection("400100", "Order size below the minimum requirement.", hint)
        return Rejection("100001", _INVALID, hint)
    most = facts.max_size
    if order.type == "market" and facts.market_max_size is not None:
        most = facts.market_max_size
    if most is not None and size > fixed(most):
        hint = f"the largest size is {sized(contract, most)}, and this is {order.size:,.12g}"
        return Rejection("400100" if is_spot else "100001", _INVALID, hint)
    return None


def _coins_hint(size: float, contract: Contract) -> str:
    lots = size / as_float(contract.multiplier)
    base = contract.instrument.base
    return (
        f"; a contract is {as_float(contract.multiplier):.12g} {base}, "
        f"so {size:.12g} {base} would be {lots:,.12g} contracts"
    )


def _check_prices(order: Order, contract: Contract) -> Rejection | None:
    facts = contract.instrument
    for name, price in (("price", order.limit), ("stop price", order.stop)):
        if price is None:
            continue
        exact = fixed(price)
        if exact <= 0 or exact % contract.tick:
            hint = f"{name} {price:.12g} is no positive multiple of {facts.tick_size:.12g}"
            if contract.is_spot:
                return Rejection("400100", "Price increment invalid.", hint)
            return Rejection("100001", _INVALID, hint)
        if facts.max_price is not None and exact > fixed(facts.max_price):
            hint = f"{name} {price:.12g} is above the highest, {facts.max_price:.12g}"
            return Rejection("400100" if contract.is_spot else "100001", _INVALID, hint)
    return None


def check_funds(order: Order, contract: Contract, price: int) -> Rejection | None:
    """Check a spot order's worth against the pair's smallest."""
    least = contract.instrument.min_funds
    if not contract.is_spot or least is None:
        return None
    funds = times(fixed(order.size), price)
    if funds >= fixed(least):
        return None
    quote = contract.instrument.quote
    return Rejection(
        "400760",
        f"The order funds should more then {least:.12g} {quote}.",
        f"{sized(contract, order.size)} is worth {amount_text(funds, quote)}",
    )


def band_of(contract: Contract, side: str, reference: int) -> int | None:
    """Compute the worst price that an order of a side may have; None if no band is known.

    The band is the instrument's, around the mark price on futures and the best price on spot. On
    futures it ends at the nearest tick, as KuCoin's rows print it.
    """
    rate = contract.instrument.price_limit_rate
    if rate is None:
        return None
    worst = times(reference, ONE + fixed(rate) if side == "buy" else ONE - fixed(rate))
    if contract.is_spot:
        return worst
    tick = fixed(contract.instrument.tick_size)
    return round(Fraction(worst, tick)) * tick


def check_band(order: Order, contract: Contract, reference: int | None) -> Rejection | None:
    """Check a limit price against the band around a reference price."""
    if order.limit is None or reference is None:
        return None
    worst = band_of(contract, order.side, reference)
    if worst is None:
        return None
    limit, is_buy = fixed(order.limit), order.side == "buy"
    if limit <= worst if is_buy else limit >= worst:
        return None
    shown = f"{as_float(worst):.12g}"
    hint = f"the price is {order.limit:.12g}"
    if contract.is_spot:
        return Rejection("400370", f"{'Max' if is_buy else 'Min'}. price: {shown}", hint)
    if is_buy:
        return Rejection("300011", f"Order price cannot be higher than {shown}", hint)
    return Rejection("300012", f"Order price cannot be lower than {shown}", hint)
