"""Which positions a mark price liquidates.

Isolated margin: a position whose margin no longer covers its maintenance, alone. Cross margin: all
positions of a currency once its risk rate reaches 1; open orders are cancelled at 95 %. The account
loses the bound margin, never more: the position is taken over at its bankruptcy price. Large
positions, which KuCoin first reduces in parts, are taken over as a whole here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kucoin_research.strategy.account import Account
from kucoin_research.strategy.fixed_point import ONE, fixed
from kucoin_research.strategy.margin import (
    Exposure,
    is_below_maintenance,
    liquidation_price,
    risk_rate,
)
from kucoin_research.strategy.market import PaperMarket
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["DueLiquidation", "Liquidator"]

_CANCEL_AT = ONE * 95 // 100
#: Closer to its liquidation price than this fraction, a position is checked exactly.
_NEAR = 1e-6


class DueLiquidation(NamedTuple):
    """A position to liquidate; ``loss`` is what cross margin loses by it, None if isolated."""

    market: PaperMarket
    loss: int | None


class Liquidator:
    """Watches the margins of an account. Not thread-safe.

    Parameters
    ----------
    account
        Its positions are watched.
    markets
        By symbol.
    """

    def __init__(self, account: Account, markets: Mapping[str, PaperMarket]) -> None:
        self._account = account
        self._markets = markets
        self._prices: dict[str, float | None] = {}

    def moved(self, market: PaperMarket) -> None:
        """Take a change of a position or its margin."""
        held = self._account.holdings[market.symbol].state
        self._prices[market.symbol] = liquidation_price(market.contract, held)

    def due(self, market: PaperMarket) -> Iterable[DueLiquidation]:
        """List what a new mark price of a market liquidates."""
        if market.contract.is_spot or not market.position:
            return ()
        if self._account.is_cross:
            return self._due_cross(market.contract.settle)
        limit = self._prices.get(market.symbol)
        mark = None if limit is None else market.mark_price
        if limit is None or mark is None:
            return ()
        is_far = mark > limit * (1 + _NEAR) if market.position > 0 else mark < limit * (1 - _NEAR)
        held = self._account.holdings[market.symbol].state
        if is_far or not is_below_maintenance(market.contract, held, fixed(mark)):
            return ()
        return (DueLiquidation(market, None),)

    def rate(self, currency: str) -> int | None:
        """Compute the risk rate of a currency's cross margin; None if no margin is left."""
        margin = self._account.total_margin(currency)
        return risk_rate(margin, self._positions(currency), self._orders(currency))

    def orders_to_cancel(self, market: PaperMarket) -> list[WorkingOrder]:
        """List the open orders that a high risk rate cancels."""
        currency = market.contract.settle
        if not self._account.is_cross or market.contract.is_spot:
            return []
        open_orders = [order for each in self._of(currency) for order in each.orders()]
        if not open_orders:
            return []
        rate = self.rate(currency)
        return open_orders if rate is None or rate >= _CANCEL_AT else []

    def _due_cross(self, currency: str) -> Iterable[DueLiquidation]:
        margin = self._account.total_margin(currency)
        rate = risk_rate(margin, self._positions(currency))
        if rate is not None and rate < ONE:
            return
        held = [each for each in self._of(currency) if each.position and each.mark is not None]
        values = [abs(each.contract.value(each.position, each.mark or 0)) for each in held]
        total, left = sum(values), margin
        for number, (market, value) in enumerate(zip(held, values, strict=True)):
            is_last = number == len(held) - 1
            share = left if is_last or not total else margin * value // total
            left -= share
            unrealised = self._account.holdings[market.symbol].unrealised(market.mark or 0)
            yield DueLiquidation(market, share - unrealised)

    def _of(self, currency: str) -> list[PaperMarket]:
        return [
            each
            for each in self._markets.values()
            if not each.contract.is_spot and each.contract.settle == currency
        ]

    def _positions(self, currency: str) -> list[Exposure]:
        return [
            Exposure(each.contract, each.position, each.mark)
            for each in self._of(currency)
            if each.position and each.mark is not None
        ]

    def _orders(self, currency: str) -> list[Exposure]:
        return [
            Exposure(each.contract, size, fixed(order.limit))
            for each in self._of(currency)
            for order, size in _opening_parts(each)
            if order.limit is not None
        ]


def _opening_parts(market: PaperMarket) -> Iterable[tuple[WorkingOrder, int]]:
    """Find the resting orders that open something, with its size: closing needs no margin."""
    for side, sign in (("buy", -1), ("sell", 1)):
        closable = max(0, sign * market.position)
        for order in market.resting[side]:
            closing = min(order.left, closable)
            closable -= closing
            if order.left > closing and not order.order.reduce_only:
                yield order, order.left - closing
