"""The arithmetic of one contract or pair: values, average prices, fees and margin rates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import Instrument, RiskTier
from kucoin_research.strategy.fixed_point import ONE, fixed, quotient, rounded_quotient, times

__all__ = ["Contract", "Fees"]

_SQUARE = ONE * ONE
#: KuCoin's fees at the lowest level, for instruments that do not name theirs.
_DEFAULT_FEES = {Market.FUTURES: (0.0002, 0.0006), Market.SPOT: (0.001, 0.001)}


class Fees(NamedTuple):
    """Fractions of a fill's value; a negative one is a rebate."""

    maker: float
    taker: float

    @classmethod
    def of(cls, instrument: Instrument) -> Fees:
        """Read an instrument's fees; KuCoin's lowest level where it names none."""
        maker, taker = _DEFAULT_FEES[Market(instrument.market)]
        return cls(
            maker if instrument.maker_fee is None else instrument.maker_fee,
            taker if instrument.taker_fee is None else instrument.taker_fee,
        )


@dataclass(slots=True)
class Contract:
    """An instrument whose numbers are exact. All amounts are multiples of 10**-18.

    Values of inverse contracts are negative for a long position, as KuCoin books them: so
    ``value(mark) - value(entry)`` is the profit of both kinds.
    """

    instrument: Instrument
    fees: Fees
    leverage: float
    margin_rules: str = "2025-05"
    lot: int = field(init=False)
    tick: int = field(init=False)
    multiplier: int = field(init=False)
    maker: int = field(init=False)
    taker: int = field(init=False)
    is_spot: bool = field(init=False)
    is_inverse: bool = field(init=False)

    def __post_init__(self) -> None:
        instrument = self.instrument
        self.lot, self.tick = fixed(instrument.lot_size), fixed(instrument.tick_size)
        self.multiplier = abs(fixed(instrument.contract_multiplier))
        self.maker, self.taker = fixed(self.fees.maker), fixed(self.fees.taker)
        self.is_spot = instrument.market == Market.SPOT
        self.is_inverse = instrument.is_inverse

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.instrument.symbol

    @property
    def settle(self) -> str:
        """The currency of profits and fees."""
        return self.instrument.quote if self.is_spot else self.instrument.settle

    def value(self, size: int, price: int) -> int:
        """Compute the value of a signed size at a price."""
        if self.is_inverse:
            return -rounded_quotient(size * self.multiplier, price)
        return rounded_quotient(size * self.multiplier * price, _SQUARE)

    def average_price(self, size: int, value: int) -> int:
        """Compute the price at which a size has a value; the inverse of ``value``."""
        if self.is_inverse:
            return -rounded_quotient(size * self.multiplier, value)
        return rounded_quotient(value * _SQUARE, size * self.multiplier)

    def fee(self, value: int, *, is_taker: bool) -> int:
        """Compute the fee of a fill from its value; negative for a rebate."""
        return times(abs(value), self.taker if is_taker else self.maker)

    def initial_margin(self, value: int) -> int:
        """Compute the margin that a value binds at the chosen leverage."""
        return quotient(abs(value), fixed(self.leverage))

    # -- maintenance -------------------------------------------------------------------------------

    def tier(self, value: int) -> RiskTier | None:
        """Find the isolated risk tier of a value; None if it is above the highest."""
        for tier in self.instrument.risk_tiers:
            if abs(value) <= fixed(tier.max_notional):
                return tier
        return None

    def maintenance_rate(self, value: int, coins: int, *, is_cross: bool) -> int:
        """Compute the maintenance margin of a position as a fraction of its value.

        Parameters
        ----------
        value
            Of the position; with isolated margin it decides on the risk tier.
        coins
            Its size in base coins, by which the rate grows with cross margin.
        is_cross
            Whether the margin is shared.
        """
        facts = self.instrument
        if is_cross and facts.mmr_size and facts.mmr_leverage_constant:
            grown = quotient(
                ONE + quotient(abs(coins), fixed(facts.mmr_size)),
                fixed(2 * facts.mmr_leverage_constant),
            )
            return grown if facts.mmr_limit is None else min(grown, fixed(facts.mmr_limit))
        if facts.risk_tiers:
            return fixed((self.tier(value) or facts.risk_tiers[-1]).maintenance_margin)
        return self.basic_maintenance

    @property
    def basic_maintenance(self) -> int:
        """The maintenance rate of the first risk tier.

        Where the instrument does not name it, half of the initial margin at its highest leverage,
        as KuCoin's tiers have it; 0.5 % if that is unknown, too.
        """
        facts = self.instrument
        if facts.maintenance_margin is not None:
            return fixed(facts.maintenance_margin)
        if facts.max_leverage:
            return quotient(ONE, fixed(2 * facts.max_leverage))
        return fixed(0.005)

    def coins(self, size: int, price: int) -> int:
        """Convert a size to base coins."""
        if self.is_inverse:
            return rounded_quotient(size * self.multiplier, price)
        return times(size, self.multiplier)
