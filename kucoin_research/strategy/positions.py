"""Positions: contracts held with margin, and coins held on spot.

Facts: averages, profits and signs are KuCoin's (help pages 26685254904601 for linear and
26693238981785 for inverse contracts): a fill that reduces a position leaves its average price; one
that goes through zero closes the old side at its average, and the rest opens at the fill's price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import as_float, rounded_quotient

__all__ = ["Booked", "Holding", "HoldingState", "Position", "position_of"]


@dataclass(frozen=True, slots=True)
class Position:
    """A position at one moment, as a strategy sees it.

    Attributes
    ----------
    symbol
        The contract or pair.
    size
        Lots on futures, negative if short; base coins on spot.
    entry_price, mark_price
        The average price of the open size, and the price that values it; ``None`` when flat, or
        before there is one.
    unrealised, realised, fees, funding
        Amounts in ``currency``. ``realised`` has neither fees nor funding in it; ``fees`` is what
        was paid, and ``funding`` is positive if it was received.
    margin, leverage
        The margin bound by it, and the leverage of its orders; 0 and 1 on spot.
    liquidation_price
        The mark price at which it would be liquidated; ``None`` if there is none.
    currency
        The settlement currency; on spot the quote currency.
    """

    symbol: str
    size: float
    entry_price: float | None
    mark_price: float | None
    unrealised: float
    realised: float
    fees: float
    funding: float
    margin: float
    leverage: float
    liquidation_price: float | None
    currency: str


class HoldingState(NamedTuple):
    """The amounts of a holding at one moment, all exact: see ``Holding``."""

    size: int = 0
    cost: int = 0
    margin: int = 0
    realised: int = 0
    fees: int = 0
    funding: int = 0


class Booked(NamedTuple):
    """What a fill did to a holding: the realised profit, and the signed sizes it moved."""

    realised: int
    closed: int
    opened: int
    opened_cost: int


@dataclass(slots=True)
class Holding:
    """What an account holds of one symbol; all amounts are multiples of 10**-18.

    Attributes
    ----------
    contract
        Its arithmetic.
    size, cost
        The signed size, and its value at the average entry price, in the contract's sign.
    margin
        Bound margin: isolated margin with its settled funding, or the initial margin of cross
        margin; 0 on spot.
    realised, fees, funding
        Sums over the run, in the settlement currency.
    """

    contract: Contract
    size: int = 0
    cost: int = 0
    margin: int = 0
    realised: int = 0
    fees: int = 0
    funding: int = 0

    @property
    def state(self) -> HoldingState:
        """A copy of the amounts."""
        return HoldingState(
            self.size, self.cost, self.margin, self.realised, self.fees, self.funding
        )

    @property
    def entry_price(self) -> int | None:
        """The average price of the open size; None when flat."""
        return self.contract.average_price(self.size, self.cost) if self.cost else None

    def unrealised(self, price: int) -> int:
        """Compute the profit that closing at a price would realise, without fees."""
        return self.contract.value(self.size, price) - self.cost if self.size else 0

    def closing_part(self, signed: int) -> int:
        """Return the signed part of a fill that closes; the rest opens."""
        if self.size * signed >= 0:
            return 0
        return max(signed, -self.size) if signed < 0 else min(signed, -self.size)

    def book(self, signed: int, price: int) -> Booked:
        """Take a fill of a signed size into the position; fees and margin are booked by others."""
        closed = self.closing_part(signed)
        realised = 0
        if closed:
            released = rounded_quotient(self.cost * -closed, self.size)
            released_margin = rounded_quotient(self.margin * -closed, self.size)
            # What leaves the position was worth `released` at its entry, and is worth more now.
            realised = self.contract.value(-closed, price) - released
            self.size += closed
            self.cost -= released
            self.margin -= released_margin
        opened = signed - closed
        opened_cost = self.contract.value(opened, price) if opened else 0
        self.size += opened
        self.cost += opened_cost
        self.realised += realised
        return Booked(realised, closed, opened, opened_cost)


def position_of(
    contract: Contract, state: HoldingState, mark: int | None, liquidation: float | None
) -> Position:
    """Show a holding to a strategy."""
    size, cost = state.size, state.cost
    unrealised = contract.value(size, mark) - cost if size and mark else 0
    return Position(
        symbol=contract.symbol,
        size=as_float(size),
        entry_price=as_float(contract.average_price(size, cost)) if cost else None,
        mark_price=None if mark is None else as_float(mark),
        unrealised=as_float(unrealised),
        realised=as_float(state.realised),
        fees=as_float(state.fees),
        funding=as_float(state.funding),
        margin=as_float(state.margin),
        leverage=1.0 if contract.is_spot else contract.leverage,
        liquidation_price=liquidation,
        currency=contract.settle,
    )
