"""Margin: what a position must keep, when it is liquidated, and at which price.

Isolated margin follows KuCoin's rules since 2025-05-22: a position is liquidated when its margin
with unrealised profit is no more than the value at the mark price times the maintenance rate and
the liquidation fee's rate. ``legacy`` are the rules before: maintenance of the entry value, and a
closing fee that was set aside at the opening. The liquidation fee's rate is not published for each
contract; the taker's rate is taken.

Cross margin compares the whole of a currency: the risk rate is the maintenance of positions and
open orders with their closing fees, over the total margin less the opening fees of open orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import ONE, as_float, quotient, rounded_quotient, times
from kucoin_research.strategy.positions import HoldingState

__all__ = [
    "Exposure",
    "bankruptcy_price",
    "closing_reserve",
    "is_below_maintenance",
    "liquidation_price",
    "maintenance_margin",
    "risk_rate",
]


class Exposure(NamedTuple):
    """A position or an open order that counts towards the risk rate of cross margin."""

    contract: Contract
    size: int
    price: int


def closing_reserve(contract: Contract, opened_cost: int) -> int:
    """Compute the closing fee that the legacy rules set aside when a value is opened."""
    if contract.margin_rules != "legacy":
        return 0
    cost = abs(opened_cost)
    return times(cost + contract.initial_margin(cost), contract.taker)


def maintenance_margin(contract: Contract, held: HoldingState, price: int) -> int:
    """Compute the margin that an isolated position must keep at a mark price.

    Its risk tier is chosen at the opening, so it does not change with the mark price.
    """
    at_entry = abs(held.cost)
    rate = _rate(contract, held, at_entry, price)
    if contract.margin_rules == "legacy":
        return times(at_entry, rate) + closing_reserve(contract, at_entry)
    return times(abs(contract.value(held.size, price)), rate + contract.taker)


def is_below_maintenance(contract: Contract, held: HoldingState, price: int) -> bool:
    """Whether an isolated position is liquidated at a mark price."""
    unrealised = contract.value(held.size, price) - held.cost
    return held.margin + unrealised <= maintenance_margin(contract, held, price)


def liquidation_price(contract: Contract, held: HoldingState) -> float | None:
    """Compute the mark price at which an isolated position is liquidated.

    Returns
    -------
    float or None
        None if there is no position, or no price above 0 would liquidate it.
    """
    if not held.size or contract.is_spot:
        return None
    entry = contract.average_price(held.size, held.cost)
    rate = _rate(contract, held, abs(held.cost), entry)
    if contract.margin_rules == "legacy":
        kept = times(abs(held.cost), rate) + closing_reserve(contract, held.cost)
        return _positive(_price_where(contract, held, kept - held.margin))
    sign = 1 if held.size > 0 else -1
    value, rate = abs(held.cost), sign * (rate + contract.taker)
    if contract.is_inverse:
        lots = times(abs(held.size), contract.multiplier)
        below = value + sign * held.margin
        return _positive(quotient(times(lots, ONE + rate), below) if below > 0 else 0)
    coins = times(abs(held.size), contract.multiplier)
    return _positive(quotient(value - sign * held.margin, times(coins, ONE - rate)))


def bankruptcy_price(contract: Contract, held: HoldingState) -> int:
    """Compute the price at which an isolated position has lost its whole margin."""
    reserve = closing_reserve(contract, held.cost)
    return max(0, _price_where(contract, held, reserve - held.margin))


def risk_rate(
    margin: int, positions: Iterable[Exposure], orders: Iterable[Exposure] = ()
) -> int | None:
    """Compute the risk rate of cross margin; positions are liquidated when it reaches 1.

    Parameters
    ----------
    margin
        The balance of the currency with unrealised profits.
    positions, orders
        With the mark price, and the order's price.

    Returns
    -------
    int or None
        The rate times 10**18; None if nothing is left to compare with.
    """
    needed, opening_fees = 0, 0
    for contract, size, price in positions:
        needed += _cross_need(contract, size, price)
    for contract, size, price in orders:
        needed += _cross_need(contract, size, price)
        opening_fees += contract.fee(contract.value(size, price), is_taker=True)
    left = margin - opening_fees
    return quotient(needed, left) if left > 0 else None


def _cross_need(contract: Contract, size: int, price: int) -> int:
    value = abs(contract.value(size, price))
    rate = contract.maintenance_rate(value, contract.coins(size, price), is_cross=True)
    return times(value, rate) + contract.fee(value, is_taker=True)


def _rate(contract: Contract, held: HoldingState, value: int, price: int) -> int:
    return contract.maintenance_rate(value, contract.coins(held.size, price), is_cross=False)


def _price_where(contract: Contract, held: HoldingState, profit: int) -> int:
    """Compute the price at which the unrealised profit is a given amount; 0 if there is none."""
    value = held.cost + profit
    if contract.is_inverse:
        # The value of an inverse position has the sign against its size at any price.
        return contract.average_price(held.size, value) if value * held.size < 0 else 0
    return rounded_quotient(value * ONE * ONE, held.size * contract.multiplier)


def _positive(price: int) -> float | None:
    return as_float(price) if price > 0 else None
