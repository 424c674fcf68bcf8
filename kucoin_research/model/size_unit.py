"""The units of sizes: contracts, coins, or the quote currency, each at its own price."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any

import numpy as np
import numpy.typing as npt

from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.instruments import Instrument

__all__ = ["SizeUnit", "Unit", "native_unit", "units_of"]

_Floats = npt.NDArray[np.float64]


@unique
class Unit(StrEnum):
    """A kind of unit that sizes can be shown in."""

    CONTRACTS = "contracts"
    COINS = "coins"
    QUOTE = "quote"


@dataclass(frozen=True)
class SizeUnit:
    """How many of a unit a size is: ``size * factor * price ** power``.

    Attributes
    ----------
    kind
        The kind of unit.
    name
        The unit as labels name it: ``contracts``, or a currency.
    factor
        Units per contract or coin of the exchange's sizes, at price 1.
    power
        -1, 0 or 1; with 0 the price does not matter.
    """

    kind: Unit
    name: str
    factor: float = 1.0
    power: int = 0

    @property
    def is_native(self) -> bool:
        """Whether it is the unit that the exchange sends sizes in."""
        return self.factor == 1.0 and self.power == 0

    def of(self, sizes: Any, prices: Any) -> _Floats:
        """Convert the exchange's sizes, each at its own price."""
        counted = np.asarray(sizes, np.float64)
        if self.is_native:
            return counted
        at = np.asarray(prices, np.float64)
        if self.power == 0:
            return counted * self.factor
        return counted * self.factor * at if self.power > 0 else counted * self.factor / at


def native_unit(symbol: str) -> SizeUnit:
    """Return the unit that the exchange sends a symbol's sizes in: contracts, or base coins."""
    if market_of(symbol, None) == Market.SPOT:
        return SizeUnit(Unit.COINS, symbol.partition("-")[0])
    return SizeUnit(Unit.CONTRACTS, "contracts")


def units_of(symbol: str, instrument: Instrument | None = None) -> dict[Unit, SizeUnit]:
    """List the units that a symbol's sizes can be converted to, the exchange's own first.

    Parameters
    ----------
    symbol
        The symbol as the exchange spells it.
    instrument
        The exchange's facts of the symbol. Without them a contract has its own unit only, since
        its worth is not known. A pair needs none: its symbol names both currencies.

    Examples
    --------
    >>> [unit.name for unit in units_of("BTC-USDT").values()]
    ['BTC', 'USDT']
    """
    native = native_unit(symbol)
    if native.kind == Unit.COINS:
        _, _, quote = symbol.partition("-")
        return {Unit.COINS: native, Unit.QUOTE: SizeUnit(Unit.QUOTE, quote, power=1)}
    if instrument is None:
        return {Unit.CONTRACTS: native}
    worth = abs(instrument.contract_multiplier)  # KuCoin sends -1 for inverse contracts
    in_coins, in_quote = (-1, 0) if instrument.is_inverse else (0, 1)
    return {
        Unit.CONTRACTS: native,
        Unit.COINS: SizeUnit(Unit.COINS, instrument.base, worth, in_coins),
        Unit.QUOTE: SizeUnit(Unit.QUOTE, instrument.quote, worth, in_quote),
    }
