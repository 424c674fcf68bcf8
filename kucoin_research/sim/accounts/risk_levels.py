"""Risk limits of isolated margin that accounts choose: more leverage, or larger positions."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from kucoin_research.sim.accounts.ledger import ZERO, Position, fraction
from kucoin_research.sim.accounts.members import Member, position_data
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.venue import OrderPlacer, Venue
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.risk_tiers import RiskTier

__all__ = ["RiskLevels"]

_MS = 1_000_000


class RiskLevels:
    """Changes the risk tiers of accounts.

    Parameters
    ----------
    venue
        The exchange.
    reports
        Sends each change to the account's listeners.
    orders
        Cancels the orders that were checked against the tier before.
    """

    def __init__(self, venue: Venue, reports: PrivateReports, orders: OrderPlacer) -> None:
        self._venue = venue
        self._reports = reports
        self._orders = orders

    def change(self, member: Member, symbol: str, level: int) -> None:
        """Choose the risk tier of a symbol; its open orders are canceled.

        Raises
        ------
        OrderRefused
            100001 if there is no such tier, 330005 in cross margin, which has none; 300005, 300016
            or 300003 if the position is too large, has too much leverage or too little margin.
        """
        engine = self._venue.caught_up(symbol)
        tiers = engine.listing.risk_tiers
        if not 1 <= level <= len(tiers):
            raise OrderRefused(
                "100001", f"no risk limit level {level}: {symbol} has levels 1 to {len(tiers)}"
            )
        if member.margin_mode(symbol) == "CROSS":
            raise OrderRefused(
                "330005", f"{symbol} is in cross margin: risk limit levels are for isolated margin"
            )
        position = member.position_in(engine.listing)
        _check(position, tiers[level - 1], fraction(engine.mark_price(engine.now_ns)))
        for order in member.orders_of(symbol):
            self._orders.cancel(member, order.order_id)
        member.set_risk_level(symbol, level)
        self._report(member, position, engine, level)

    def lower(self, member: Member, position: Position, level: int) -> None:
        """Lower the chosen tier, if any, of a position that a liquidation has reduced."""
        symbol = position.listing.symbol
        if member.risk_level(symbol) is not None:
            member.set_risk_level(symbol, level)
            self._report(member, position, self._venue.caught_up(symbol), level)

    def _report(self, member: Member, position: Position, engine: Market, level: int) -> None:
        symbol, now_ns = engine.listing.symbol, engine.now_ns
        done = {"success": True, "riskLimitLevel": level, "msg": ""}
        subject = "position.adjustRiskLimit"
        self._reports.report_position(member, symbol, subject, done, now_ns)
        if position.quantity:
            mark = fraction(engine.mark_price(now_ns))
            data = position_data(position, mark, now_ns // _MS, ZERO, "changeRiskLimit")
            self._reports.report_position(member, symbol, "position.change", data, now_ns)


def _check(position: Position, tier: RiskTier, mark: Decimal) -> None:
    # A position must fit the tier that it gets, and not be liquidated by it.
    if abs(position.cost) > tier.limit:
        raise OrderRefused("300005", f"{tier.limit} risk limit exceeded")
    if position.quantity and position.leverage > tier.max_leverage:
        text = f"The leverage cannot be greater than {tier.max_leverage}."
        raise OrderRefused("300016", f"{text} (level {tier.level} of {position.listing.symbol})")
    margin = position.margin.total + position.unrealised(mark)
    if position.quantity and margin <= replace(position, risk_level=tier.level).maintenance(mark):
        raise OrderRefused("300003", f"the margin would be too small for level {tier.level}")
