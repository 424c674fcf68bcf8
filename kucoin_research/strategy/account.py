"""The paper account: balances, what open orders and positions bind, and what fills do to them.

Money is counted in whole multiples of 10**-18, so the account balances to the last digit:
``cash == start + realised - fees + funding`` in each currency, less the cost of coins held on spot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import times
from kucoin_research.strategy.margin import bankruptcy_price, closing_reserve
from kucoin_research.strategy.positions import Booked, Holding

__all__ = ["Account", "BookedFill", "TakenOver"]

#: Returns the price that values a symbol now; None before there is one.
MarkOf = Callable[[str], int | None]


class BookedFill(NamedTuple):
    """A fill as it was booked: its effect on the position, its value and its fee."""

    booked: Booked
    value: int
    fee: int


class TakenOver(NamedTuple):
    """A liquidated position: the signed size that closed it, the price, its profit and its fee."""

    closed: int
    price: int
    realised: int
    fee: int


class Account:
    """Balances by currency and holdings by symbol. Not thread-safe.

    Parameters
    ----------
    contracts
        By symbol.
    cash
        Balances by currency, as exact amounts.
    mark_of
        Values positions.
    is_cross
        Whether positions of one currency share their margin.
    """

    def __init__(
        self,
        contracts: Mapping[str, Contract],
        cash: Mapping[str, int],
        mark_of: MarkOf,
        *,
        is_cross: bool,
    ) -> None:
        self.is_cross = is_cross
        self.cash = dict(cash)
        self.holdings = {symbol: Holding(contract) for symbol, contract in contracts.items()}
        self.holds: dict[str, int] = {}  # what open orders bind, by currency
        self._held_coins: dict[str, int] = {}  # what open sells bind on spot, by symbol
        self._mark_of = mark_of

    # -- free amounts ------------------------------------------------------------------------------

    def futures_in(self, currency: str) -> Iterable[Holding]:
        """Iterate over the positions in contracts that settle in a currency."""
        for holding in self.holdings.values():
            contract = holding.contract
            if holding.size and not contract.is_spot and contract.settle == currency:
                yield holding

    def total_margin(self, currency: str) -> int:
        """Return the balance of a currency with the unrealised profits of its contracts."""
        total = self.cash.get(currency, 0)
        for holding in self.futures_in(currency):
            mark = self._mark_of(holding.contract.symbol)
            total += 0 if mark is None else holding.unrealised(mark)
        return total

    def available(self, currency: str) -> int:
        """Return the amount that no margin and no open order binds."""
        free = self.total_margin(currency) if self.is_cross else self.cash.get(currency, 0)
        bound = sum(holding.margin for holding in self.futures_in(currency))
        return free - bound - self.holds.get(currency, 0)

    def coins_free(self, symbol: str) -> int:
        """Return the coins of a pair that no open order has promised."""
        return self.holdings[symbol].size - self._held_coins.get(symbol, 0)

    def hold(self, currency: str, amount: int) -> None:
        """Bind an amount for an open order, or release it if negative."""
        self.holds[currency] = self.holds.get(currency, 0) + amount

    def hold_coins(self, symbol: str, size: int) -> None:
        """Bind coins for an open sell on spot, or release them if negative."""
        self._held_coins[symbol] = self._held_coins.get(symbol, 0) + size

    # -- what happens ------------------------------------------------------------------------------

    def opening_cost(self, symbol: str, signed: int, price: int, *, is_taker: bool = True) -> int:
        """Compute what a fill would bind or cost: the margin of its opening part, and the fee.

        A fill that turns a position frees its margin first, and realises its profit or loss.
        """
        holding = self.holdings[symbol]
        contract = holding.contract
        value = contract.value(signed, price)
        fee = contract.fee(value, is_taker=is_taker)
        if contract.is_spot:
            return value + fee if signed > 0 else 0
        opened = signed - holding.closing_part(signed)
        if not opened:
            return 0
        opened_value = contract.value(opened, price)
        # By the part that closes, which is the whole position.
        freed = self.freed(symbol, price) if opened != signed else 0
        margin = contract.initial_margin(opened_value) + closing_reserve(contract, opened_value)
        return margin + fee - freed

    def freed(self, symbol: str, price: int) -> int:
        """Compute what closing a position at a price frees: its margin, and its profit or loss.

        Cross margin counts as available what the profit is at the mark price.
        """
        holding = self.holdings[symbol]
        freed = holding.margin + holding.unrealised(price)
        mark = self._mark_of(symbol) if self.is_cross else None
        return freed if mark is None else freed - holding.unrealised(mark)

    def fill(self, symbol: str, signed: int, price: int, *, is_taker: bool) -> BookedFill:
        """Book an execution of a signed size."""
        holding = self.holdings[symbol]
        contract = holding.contract
        value = contract.value(signed, price)
        fee = contract.fee(value, is_taker=is_taker)
        booked = holding.book(signed, price)
        holding.fees += fee
        currency = contract.settle
        if contract.is_spot:
            self._pay(currency, value + fee)
        else:
            self._pay(currency, fee - booked.realised)
            holding.margin += contract.initial_margin(booked.opened_cost)
            holding.margin += closing_reserve(contract, booked.opened_cost)
        return BookedFill(booked, value, fee)

    def settle_funding(self, symbol: str, size: int, rate: int, mark: int) -> int:
        """Pay or receive the funding of a size at a settlement.

        Returns
        -------
        int
            The amount received, negative if paid: value at the mark price times the rate, which
            longs pay if it is positive.
        """
        holding = self.holdings[symbol]
        contract = holding.contract
        received = -times(contract.value(size, mark), rate)
        if contract.is_inverse:  # its value is negative for a long
            received = -received
        self._pay(contract.settle, -received)
        holding.funding += received
        if holding.size and not self.is_cross:
            holding.margin += received
        return received

    def liquidate(self, symbol: str) -> TakenOver:
        """Close an isolated position at its bankruptcy price: it loses its whole margin."""
        holding = self.holdings[symbol]
        contract = holding.contract
        price = bankruptcy_price(contract, holding.state)
        # The legacy rules had set the closing fee aside, and take it now.
        fee = closing_reserve(contract, holding.cost)
        return self._take_over(holding, price, -(holding.margin - fee), fee)

    def take_over(self, symbol: str, loss: int) -> TakenOver:
        """Close a position of cross margin at the price where it has lost an amount."""
        holding = self.holdings[symbol]
        contract = holding.contract
        value = holding.cost - loss
        is_priced = value * holding.size * (-1 if contract.is_inverse else 1) > 0
        price = contract.average_price(holding.size, value) if is_priced else 0
        return self._take_over(holding, price, -loss, 0)

    def _take_over(self, holding: Holding, price: int, realised: int, fee: int) -> TakenOver:
        closed = -holding.size
        holding.size = holding.cost = holding.margin = 0
        holding.realised += realised
        holding.fees += fee
        self._pay(holding.contract.settle, fee - realised)
        return TakenOver(closed, price, realised, fee)

    def _pay(self, currency: str, amount: int) -> None:
        self.cash[currency] = self.cash.get(currency, 0) - amount
