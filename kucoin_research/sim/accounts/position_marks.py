"""Futures positions as time goes by: marks, funding and liquidation."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from kucoin_research.sim.accounts.account_book import FundingRow
from kucoin_research.sim.accounts.cross_margin import CANCEL_AT
from kucoin_research.sim.accounts.futures_wallets import cross_risk_rate
from kucoin_research.sim.accounts.isolated_margin import IsolatedMargin
from kucoin_research.sim.accounts.ledger import Position, fraction
from kucoin_research.sim.accounts.liquidation import Liquidation, is_spent
from kucoin_research.sim.accounts.members import Member, position_mark_data
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.venue import OrderPlacer, Venue
from kucoin_research.sim.engine.market import Market

__all__ = ["PositionMarks"]

_MS = 1_000_000


class PositionMarks:
    """Marks the open positions of all accounts each second: funding, reports, liquidation.

    Parameters
    ----------
    venue
        The exchange.
    reports
        Sends each change to the account's listeners.
    orders
        Cancels the orders of accounts whose cross margin is nearly spent.
    margins
        Adds margin to positions whose accounts have asked for it.
    liquidation
        Reduces and takes over positions.
    """

    def __init__(
        self,
        venue: Venue,
        reports: PrivateReports,
        orders: OrderPlacer,
        margins: IsolatedMargin,
        liquidation: Liquidation,
    ) -> None:
        self._venue = venue
        self._liquidation = liquidation
        self._margins = margins
        self._reports = reports
        self._orders = orders

    def act(self, members: Iterable[Member], engine: Market, now_ns: int) -> None:
        """Mark the positions of one contract, at a whole second."""
        symbol = engine.listing.symbol
        is_settling = not now_ns % (engine.listing.funding_interval_ms * _MS)
        for member in members:
            position = member.positions.get(symbol)
            if position is not None and position.quantity:
                if is_settling:
                    self._settle_funding(member, position, engine, now_ns)
                self._mark(member, position, engine, now_ns)

    def _settle_funding(
        self, member: Member, position: Position, engine: Market, now_ns: int
    ) -> None:
        rate, mark = engine.settled_funding(now_ns), engine.mark_price(now_ns)
        listing = engine.listing
        size = abs(position.value(fraction(mark)))
        paid = size * fraction(rate) * (1 if position.quantity > 0 else -1)
        fee = -paid.quantize(Decimal("1e-12"))
        position.receive_funding(fee)
        context = {"symbol": listing.symbol}
        self._reports.book_contracts(member, listing.settle, fee, "RealisedPNL", context, now_ns)
        member.book.fundings.add(
            FundingRow(
                row_id=self._reports.next_event_id(),
                time_ns=now_ns,
                symbol=listing.symbol,
                rate=rate,
                mark=fraction(mark),
                quantity=position.quantity,
                value=position.value(fraction(mark)),
                funding=fee,
                settle=listing.settle,
                margin_mode="CROSS" if position.is_cross else "ISOLATED",
            )
        )
        data = {
            "fundingTime": now_ns // _MS,
            "qty": position.quantity,
            "markPrice": mark,
            "fundingRate": rate,
            "fundingFee": float(fee),
            "ts": now_ns,
            "settleCurrency": listing.settle,
            "symbol": listing.symbol,
            "marginMode": "CROSS" if position.is_cross else "ISOLATED",
            "positionSide": "BOTH",
        }
        self._reports.report_position(member, listing.symbol, "position.settlement", data, now_ns)
        self._reports.report_wallet(member, listing.settle, now_ns)

    def _mark(self, member: Member, position: Position, engine: Market, now_ns: int) -> None:
        symbol, settle = engine.listing.symbol, engine.listing.settle
        mark = fraction(engine.mark_price(now_ns))
        if position.is_cross:
            self._watch_cross(member, settle, now_ns)
        elif is_spent(position, mark) and not (
            self._margins.rescue(member, position) and not is_spent(position, mark)
        ):
            self._liquidation.liquidate(member, position, now_ns)
        if not position.quantity:
            return
        data = position_mark_data(position, mark, now_ns // _MS)
        self._reports.report_position(member, symbol, "position.change", data, now_ns)
        if position.is_cross:
            # Availability moves with the mark; the version does not. (reference, section 8.1)
            self._reports.report_wallet(member, settle, now_ns, is_new_version=False)

    def _watch_cross(self, member: Member, settle: str, now_ns: int) -> None:
        rate = cross_risk_rate(self._venue, member, settle, now_ns)
        if rate is not None and rate < CANCEL_AT:
            return
        for order, _ in member.opening_parts(settle):
            if order.is_cross:
                self._orders.cancel(member, order.order_id)
        self._liquidation.liquidate_cross(member, settle, now_ns)
