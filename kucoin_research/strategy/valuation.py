"""What amounts of several currencies are worth in the currency of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kucoin_research.errors import InvalidInput
from kucoin_research.strategy.fixed_point import quotient, times
from kucoin_research.strategy.market import PaperMarket

__all__ = ["Source", "Valuation", "is_same_coin"]

#: KuCoin's futures call Bitcoin XBT.
_SAME = {"XBT": "BTC"}


def is_same_coin(one: str, other: str) -> bool:
    """Whether two names stand for one currency."""
    return _coin(one) == _coin(other)


def _coin(name: str) -> str:
    return _SAME.get(name, name)


class Source(NamedTuple):
    """The symbol whose price values a currency, and whether to divide by it."""

    symbol: str
    is_turned: bool


class Valuation:
    """Converts by the prices of the markets that are played. Not thread-safe.

    Parameters
    ----------
    markets
        By symbol.
    currency
        The currency of the results.
    """

    def __init__(self, markets: Mapping[str, PaperMarket], currency: str) -> None:
        self.currency = currency
        self._straight: dict[str, PaperMarket] = {}
        self._turned: dict[str, PaperMarket] = {}
        for market in markets.values():
            facts = market.contract.instrument
            if facts.quote == currency:
                self._straight.setdefault(_coin(facts.base), market)
            elif _coin(facts.base) == _coin(currency):
                self._turned.setdefault(facts.quote, market)

    def refuse_unknown(self, markets: Mapping[str, PaperMarket], cash: Mapping[str, float]) -> None:
        """Refuse currencies that nothing values.

        Raises
        ------
        InvalidInput
            If a contract settles in one, or cash is in one.
        """
        for market in markets.values():
            settle = market.contract.settle
            if not self._knows(settle):
                raise InvalidInput(
                    f"{market.symbol} settles in {settle}, and nothing that is played values "
                    f"{settle} in {self.currency}: pass currency={settle!r}, and cash in {settle}"
                )
        for held, amount in cash.items():
            if amount and not self._knows(held):
                raise InvalidInput(
                    f"cash has {held}, and nothing that is played values it in {self.currency}"
                )

    def _knows(self, currency: str) -> bool:
        name = _coin(currency)
        return name == _coin(self.currency) or name in self._straight or currency in self._turned

    def source_of(self, currency: str) -> Source | None:
        """Return the price that values a known currency; None if it is the results' own."""
        name = _coin(currency)
        if name == _coin(self.currency):
            return None
        if name in self._straight:
            return Source(self._straight[name].symbol, is_turned=False)
        return Source(self._turned[currency].symbol, is_turned=True)

    def worth(self, currency: str, amount: int) -> int | None:
        """Convert an exact amount; None before there is a price."""
        if not amount or _coin(currency) == _coin(self.currency):
            return amount
        market = self._straight.get(_coin(currency))
        if market is not None:
            mark = market.mark
            return None if mark is None else times(amount, mark)
        market = self._turned.get(currency)
        mark = None if market is None else market.mark
        return quotient(amount, mark) if mark else None
