"""Liquidation of futures positions: large ones are reduced in parts before they are taken over.

With isolated margin, a position above the lowest risk tier is reduced to the limit of the next
lower one, a tier at a time, by orders that are filled at once and as a whole. Where such an order
is not filled, or the lowest tier is not enough, the exchange takes the position over at its
bankruptcy price. (https://kucoin.com/blog/what-is-risk-limit-level-on-kucoin-futures-en, read
2026-11-30)

With cross margin, positions above 600,000 USDT are reduced in parts first
(https://kucoin.com/support/35233217061785, read 2026-11-30). KuCoin does not say more. Here a part
is worth 600,000 USDT at the mark price, the largest position is reduced first, each part is such an
order, too, and the parts follow one another at once: until the risk rate is below 100 %, a part is
not filled, or no position is that large. Then the positions are taken over together.

A part trades in the market for the fee of a taker, at no worse price than where its share of the
margin covers both: so it costs no more than its take-over would.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from kucoin_research.sim.accounts.cross_margin import LIQUIDATE_AT, TakeOver, take_overs
from kucoin_research.sim.accounts.futures_wallets import cross_risk_rate, mark_of, wallet_at_marks
from kucoin_research.sim.accounts.ledger import Position, fraction
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.order_bounds import worst_ticks
from kucoin_research.sim.accounts.order_units import price_of
from kucoin_research.sim.accounts.orders import OrderRequest
from kucoin_research.sim.accounts.risk_levels import RiskLevels
from kucoin_research.sim.accounts.venue import OrderPlacer, Venue

__all__ = ["Liquidation", "is_spent"]

_PART = 600_000  # USDT


def is_spent(position: Position, mark: Decimal) -> bool:
    """Return whether the margin of an isolated position is no more than it must keep."""
    return position.margin.total + position.unrealised(mark) <= position.maintenance(mark)


class Liquidation:
    """Reduces and takes over the positions of accounts whose margin is spent.

    Parameters
    ----------
    venue
        The exchange.
    orders
        Cancels and places orders.
    levels
        Lowers the risk tiers that accounts have chosen.
    """

    def __init__(self, venue: Venue, orders: OrderPlacer, levels: RiskLevels) -> None:
        self._venue = venue
        self._orders = orders
        self._levels = levels

    def liquidate(self, member: Member, position: Position, now_ns: int) -> None:
        """Liquidate an isolated position."""
        mark = mark_of(self._venue, position.listing.symbol, now_ns)
        self._cancel_orders(member, position)
        while position.quantity and is_spent(position, mark):
            if position.risk_tier.level == 1 or not self._lower_tier(member, position):
                end = TakeOver(position.bankruptcy_price, -position.lost)
                self._take_over(member, position, end)
                return

    def liquidate_cross(self, member: Member, currency: str, now_ns: int) -> None:
        """Liquidate the cross positions that settle in a currency."""
        while self._is_broke(member, currency, now_ns):
            marked = [
                (position, mark_of(self._venue, position.listing.symbol, now_ns))
                for position in member.positions_in(currency)
                if position.is_cross
            ]
            if not marked:
                return
            margin = wallet_at_marks(self._venue, member, currency, now_ns).total_cross
            ends = list(zip(marked, take_overs(margin, marked), strict=True))
            (largest, mark), end = max(ends, key=lambda one: _worth(*one[0]))
            if _worth(largest, mark) <= _PART or not self._take_part(member, largest, mark, end):
                for (position, _), each in ends:
                    self._cancel_orders(member, position)
                    self._take_over(member, position, each)
                return

    def _is_broke(self, member: Member, currency: str, now_ns: int) -> bool:
        rate = cross_risk_rate(self._venue, member, currency, now_ns)
        return rate is None or rate >= LIQUIDATE_AT

    def _lower_tier(self, member: Member, position: Position) -> bool:
        # Returns whether the position has come down to the next lower tier.
        lower = position.listing.risk_tiers[position.risk_tier.level - 2]
        value = abs(position.cost)
        excess = max(value - lower.limit, Decimal(0)) * abs(position.quantity) / value
        lots = int(excess.to_integral_value(ROUND_CEILING))
        if lots and not self._reduce(member, position, lots, position.covered_price):
            return False
        if position.quantity:
            self._levels.lower(member, position, lower.level)
        return True

    def _take_part(self, member: Member, position: Position, mark: Decimal, end: TakeOver) -> bool:
        self._cancel_orders(member, position)
        held = abs(position.quantity)
        lots = int((_PART * held / _worth(position, mark)).to_integral_value(ROUND_FLOOR))
        rate = fraction(position.listing.taker_fee)
        bound = position.price_keeping(end.price, rate)
        return self._reduce(member, position, min(held, max(1, lots)), bound)

    def _reduce(self, member: Member, position: Position, lots: int, bound: Decimal) -> bool:
        # Returns whether the lots were closed.
        symbol, side, before = position.listing.symbol, position.closing_side, position.quantity
        engine = self._venue.caught_up(symbol)
        worst = worst_ticks(side, engine, bound)
        assert worst is not None, "futures have a mark price"
        request = OrderRequest(
            symbol=symbol,
            side=side,
            size=Decimal(lots),
            price=price_of(engine, worst),
            time_in_force="FOK",
            reduce_only=True,
            reduces_risk=True,
        )
        self._orders.place(member, request)
        return position.quantity != before

    def _take_over(self, member: Member, position: Position, end: TakeOver) -> None:
        request = OrderRequest(
            symbol=position.listing.symbol,
            side=position.closing_side,
            size=Decimal(abs(position.quantity)),
            reduce_only=True,
            taken_over_at=end.price,
            taken_over_profit=end.profit,
        )
        self._orders.place(member, request)

    def _cancel_orders(self, member: Member, position: Position) -> None:
        for order in member.orders_of(position.listing.symbol):
            if order.is_active:  # the end of one order may have ended another one
                self._orders.cancel(member, order.order_id)


def _worth(position: Position, mark: Decimal) -> Decimal:
    # In dollars: a lot of an inverse contract is one.
    return (
        Decimal(abs(position.quantity))
        if position.listing.is_inverse
        else abs(position.value(mark))
    )
