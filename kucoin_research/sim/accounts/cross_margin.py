"""Cross margin: one balance behind all cross positions and orders of a settlement currency.

Its risk rate is the maintenance margin of positions and open orders with their closing fees, over
the total margin without the opening fees of the open orders. From 95 % on, open orders are
canceled; from 100 % on, the positions are liquidated. (trading reference, section 4.3)

How, says `liquidation`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from kucoin_research.sim.accounts.ledger import (
    ZERO,
    Position,
    contract_value,
    cross_maintenance,
    fraction,
)
from kucoin_research.sim.engine.catalog import Listing

__all__ = [
    "CANCEL_AT",
    "LIQUIDATE_AT",
    "CrossPrices",
    "Exposure",
    "TakeOver",
    "cross_prices",
    "risk_rate",
    "take_overs",
]

_FINENESS = Decimal("1e-12")
CANCEL_AT = Decimal("0.95")
LIQUIDATE_AT = Decimal(1)


class Exposure(NamedTuple):
    """The lots of a position at the mark price, or those that an order would open at its own."""

    listing: Listing
    quantity: int
    price: Decimal

    @property
    def closing_fee(self) -> Decimal:
        """The fee of a taker who closes the lots; for an order that of opening them, too."""
        return abs(self._value) * fraction(self.listing.taker_fee)

    @property
    def maintenance(self) -> Decimal:
        """The margin that must be kept, with the closing fee."""
        rate = cross_maintenance(self.listing, self.quantity, self.price)
        return abs(self._value) * rate + self.closing_fee

    @property
    def _value(self) -> Decimal:
        return contract_value(self.listing, self.price, self.quantity)


class CrossPrices(NamedTuple):
    """Estimates for one position, as if the other marks stood still: the risk rate decides."""

    bankruptcy: Decimal
    liquidation: Decimal


class TakeOver(NamedTuple):
    """The price at which a position is taken over, and the profit that it realises there."""

    price: Decimal
    profit: Decimal


def risk_rate(
    margin: Decimal, positions: Iterable[Exposure], orders: Iterable[Exposure] = ()
) -> Decimal | None:
    """Compute the risk rate of one settlement currency.

    Parameters
    ----------
    margin
        The balance that cross margin can use, with unrealised profits.
    positions, orders
        What it answers for.

    Returns
    -------
    Decimal or None
        None if positions or orders need margin and there is none left.
    """
    needed, left = ZERO, margin
    for exposure in positions:
        needed += exposure.maintenance
    for exposure in orders:
        needed += exposure.maintenance
        left -= exposure.closing_fee
    if not needed:
        return ZERO
    return needed / left if left > 0 else None


def cross_prices(position: Position, mark: Decimal, margin: Decimal) -> CrossPrices:
    """Estimate at which mark prices the total margin is lost, and no more than maintenance."""
    bankruptcy = position.price_of_value(position.value(mark) - margin)
    rate = position.maintenance_rate(mark) + fraction(position.listing.taker_fee)
    return CrossPrices(bankruptcy, position.price_keeping(bankruptcy, rate))


def take_overs(margin: Decimal, positions: list[tuple[Position, Decimal]]) -> list[TakeOver]:
    """Find how positions, each given with its mark, lose the total margin together, exactly.

    Each position bears a part of it by its value.
    """
    values = [position.value(mark) for position, mark in positions]
    total = sum((abs(value) for value in values), ZERO)
    found, left = [], margin
    for number, (position, mark) in enumerate(positions):
        is_last = number == len(positions) - 1
        share = left if is_last or not total else margin * abs(values[number]) / total
        share = share if is_last else share.quantize(_FINENESS)
        left -= share
        profit = position.unrealised(mark) - share
        found.append(TakeOver(position.price_of_value(position.cost + profit), profit))
    return found
