"""Whether an order may be placed: the rules, the balance, and what it may still close."""

from __future__ import annotations

from kucoin_research.strategy.account import Account
from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import as_float, fixed
from kucoin_research.strategy.funding import FundingCalendar
from kucoin_research.strategy.margin import closing_reserve
from kucoin_research.strategy.market import MarketKind, PaperMarket
from kucoin_research.strategy.matching import Matcher
from kucoin_research.strategy.rules import (
    MOST_ACTIVE,
    MOST_SPOT_ACTIVE,
    MOST_SPOT_STOPS,
    MOST_STOPS,
    Rejection,
    amount_text,
    band_of,
    check_band,
    check_funds,
    check_order,
    sized,
)
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["OrderEntry"]


class OrderEntry:
    """Admits orders to a market. Not thread-safe.

    Parameters
    ----------
    account
        Whose orders they are.
    matcher
        Knows what an order would take.
    funding
        Knows when a contract is being settled.
    """

    def __init__(self, account: Account, matcher: Matcher, funding: FundingCalendar) -> None:
        self._account = account
        self._matcher = matcher
        self._funding = funding

    # -- checks ------------------------------------------------------------------------------------

    def check(self, market: PaperMarket, order: WorkingOrder, now: int) -> Rejection | None:
        """Check an order as it arrives; None if it may go on."""
        if self._funding.is_settling(market.symbol, now):
            return Rejection("300015", "", "the funding of the contract is being settled")
        refusal = check_order(order.order, market.contract)
        return refusal or self._check_count(market, order)

    def _check_count(self, market: PaperMarket, order: WorkingOrder) -> Rejection | None:
        is_spot, is_stop = market.contract.is_spot, order.order.stop is not None
        waiting = len(market.stops)
        resting = len(market.resting["buy"]) + len(market.resting["sell"])
        if is_stop and (not is_spot or waiting >= MOST_SPOT_STOPS):
            code, kind, there = "300004", "Stop", waiting
            most = MOST_SPOT_STOPS if is_spot else MOST_STOPS
        elif order.limit is None and not is_stop:
            return None
        elif is_spot:
            code, kind, there, most = "200003", "Active", waiting + resting, MOST_SPOT_ACTIVE
        else:
            code, kind, there, most = "300001", "Active", resting, MOST_ACTIVE
        if there < most:
            return None
        text = f"{kind} order quantity limit exceeded (limit: {most}, current: {there})"
        if is_spot:
            return Rejection("200003", "Number of orders breached the limit", text)
        return Rejection(code, text)

    def admit(self, market: PaperMarket, order: WorkingOrder) -> Rejection | None:
        """Check an order against the market and the account, and bind what it needs.

        Returns
        -------
        Rejection or None
            None if it was admitted.
        """
        if order.order.post_only and market.kind is not MarketKind.CANDLES:
            price = self._matcher.would_take(market, order)
            if price is not None:
                return self.would_take(order, price)
        refusal = check_band(order.order, market.contract, self._reference(market, order))
        if refusal is not None:
            return refusal
        price = self._price(market, order)
        if price is None:
            if market.kind is not MarketKind.QUOTES:
                return Rejection("", "no price", "nothing has been traded yet to value it by")
            text = "Unavailable to place the order, there's no contra order in the market."
            return Rejection("300008", text)
        if market.contract.is_spot:
            refusal = check_funds(order.order, market.contract, price)
            return refusal or self._bind_spot(market, order, price)
        return self._bind_margin(market, order, price)

    @staticmethod
    def would_take(order: WorkingOrder, price: float) -> Rejection:
        """Refuse a post-only order."""
        side = "ask" if order.order.side == "buy" else "bid"
        return Rejection("", "post-only", f"it would have taken the {side} at {price:.12g}")

    def _price(self, market: PaperMarket, order: WorkingOrder) -> int | None:
        """Return the price by which an order is valued before it is filled."""
        if order.limit is not None:
            return fixed(order.limit)
        if market.kind is MarketKind.QUOTES:
            best = self._matcher.would_take(market, order)
            return None if best is None else fixed(best)
        last = market.last_price
        return None if last is None else fixed(last)

    def _reference(self, market: PaperMarket, order: WorkingOrder) -> int | None:
        if not market.contract.is_spot:
            return market.mark
        quotes = market.quotes
        best = None if quotes is None else quotes.best(_other(order.order.side))
        return None if best is None else fixed(best[0])

    def worst_price(self, market: PaperMarket, order: WorkingOrder) -> float | None:
        """Return the price beyond which a market order is not filled; None without a band."""
        if order.limit is not None:
            return None
        reference = self._reference(market, order)
        if reference is None:
            return None
        worst = band_of(market.contract, order.order.side, reference)
        return None if worst is None else as_float(worst)

    # -- bound amounts -----------------------------------------------------------------------------

    def closable(self, order: WorkingOrder) -> int:
        """Return how much of the position an order of its side could close."""
        position = self._account.holdings[order.order.symbol].size
        return max(0, -position * order.sign)

    def _bind_margin(
        self, market: PaperMarket, order: WorkingOrder, price: int
    ) -> Rejection | None:
        closable = self.closable(order)
        if order.order.reduce_only:
            if not closable:
                return Rejection("300009", "No open positions to close.")
            order.left = min(order.left, closable)
            return None
        contract = market.contract
        others = sum(each.left for each in market.resting[order.order.side])
        closing = min(order.left, max(0, closable - others))
        opening = order.left - closing
        refusal = self._check_risk(contract, order, opening, price)
        if refusal is not None or not opening:
            return refusal
        value = contract.value(order.sign * opening, price)
        cost = contract.initial_margin(value) + closing_reserve(contract, value)
        cost += contract.fee(value, is_taker=True)
        cost = max(0, cost - self._freed(contract, closing, price))
        free = self._account.available(contract.settle)
        if cost > free:
            return self._poor(contract, order, cost, free)
        order.hold = cost
        self._account.hold(contract.settle, cost)
        return None

    def _freed(self, contract: Contract, closing: int, price: int) -> int:
        """Compute what an order frees by the part that closes: its margin and its profit or loss.

        KuCoin nets the margin of opposite orders against that of the position.
        """
        holding = self._account.holdings[contract.symbol]
        if not closing:
            return 0
        return self._account.freed(contract.symbol, price) * closing // abs(holding.size)

    def _check_risk(
        self, contract: Contract, order: WorkingOrder, opening: int, price: int
    ) -> Rejection | None:
        tiers = contract.instrument.risk_tiers
        if not tiers or not opening or self._account.is_cross:
            return None
        held = self._account.holdings[contract.symbol].size
        size = abs(held) + opening if held * order.sign >= 0 else opening
        tier = contract.tier(contract.value(size, price))
        if tier is None:
            return Rejection("300005", f"{tiers[-1].max_notional:.12g} risk limit exceeded")
        if contract.leverage > tier.max_leverage:
            hint = f"up to {tier.max_notional:,.12g} it is {tier.max_leverage:.12g}"
            text = f"The leverage cannot be greater than {tier.max_leverage:.12g}."
            return Rejection("300016", text, hint)
        return None

    @staticmethod
    def _poor(contract: Contract, order: WorkingOrder, cost: int, free: int) -> Rejection:
        currency = contract.settle
        text = f"Balance insufficient. The order would cost {amount_text(cost, currency)}."
        hint = (
            f"{sized(contract, order.order.size)}; at leverage {contract.leverage:.12g} it needs "
            f"{amount_text(cost, currency)} with the fee, and {amount_text(free, currency)} are "
            "free"
        )
        return Rejection("300003", text, hint)

    def _bind_spot(self, market: PaperMarket, order: WorkingOrder, price: int) -> Rejection | None:
        symbol = order.order.symbol
        contract = self._account.holdings[symbol].contract
        if order.sign < 0:
            free = self._account.coins_free(symbol)
            if order.left > free:
                base = contract.instrument.base
                hint = f"to sell {order.order.size:.12g} {base}, and {amount_text(free, base)} free"
                return Rejection("200004", "Balance insufficient!", hint)
            order.hold = order.left
            self._account.hold_coins(symbol, order.left)
            return None
        value = contract.value(order.left, price)
        if order.order.time_in_force == "FOK":  # it may not run out of money half way
            worst = self.worst_price(market, order)
            value = max(value, self._matcher.cost(market, order, worst))
        cost = value + max(0, contract.fee(value, is_taker=True))
        free = self._account.available(contract.settle)
        if cost > free:
            needed, there = (amount_text(each, contract.settle) for each in (cost, free))
            hint = f"it costs {needed} with the fee, and {there} are free"
            return Rejection("200004", "Balance insufficient!", hint)
        order.hold = cost
        self._account.hold(contract.settle, cost)
        return None

    def release(self, order: WorkingOrder, size: int) -> None:
        """Release the amount that was bound for a part of an order."""
        if not order.hold:
            return
        part = order.hold if size >= order.left else order.hold * size // order.left
        order.hold -= part
        contract = self._account.holdings[order.order.symbol].contract
        if contract.is_spot and order.sign < 0:
            self._account.hold_coins(order.order.symbol, -part)
        else:
            self._account.hold(contract.settle, -part)

    # -- why an order ended ------------------------------------------------------------------------

    def why_short(self, market: PaperMarket, order: WorkingOrder, worst: float | None) -> str:
        """Say why a taker was not filled as a whole; ``worst`` is where its price band ended."""
        left = sized(market.contract, as_float(order.left))
        if order.limit is not None:
            return f"{order.order.time_in_force}: {left} found no price within the limit"
        if worst is not None and self._matcher.visible(market, order, None):
            name = "price protection" if market.contract.is_spot else "price band"
            return f"{name}: nothing more was found up to {worst:.12g} to fill {left}"
        return f"depth exhausted: nothing more was recorded to fill {left}"

    @staticmethod
    def why_cut(order: WorkingOrder) -> str:
        """Say why a reduce-only order was cut."""
        left = order.order.size - as_float(order.filled)
        return f"reduce-only: {left:.12g} of {order.order.size:.12g} had no position to close"


def _other(side: str) -> str:
    return "sell" if side == "buy" else "buy"
