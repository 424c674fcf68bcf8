"""Futures positions as time goes by: marks, funding and liquidation."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from kucoin_research.sim.accounts.futures_wallets import wallet_at_marks
from kucoin_research.sim.accounts.ledger import ZERO, Position, fraction
from kucoin_research.sim.accounts.members import Member, position_mark_data
from kucoin_research.sim.accounts.orders import OrderRequest
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
        Cancels and places the orders of a liquidation.
    """

    def __init__(self, venue: Venue, reports: PrivateReports, orders: OrderPlacer) -> None:
        self._venue = venue
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
        member.futures[listing.settle] += fee
        data = {
            "fundingTime": now_ns // _MS,
            "qty": position.quantity,
            "markPrice": mark,
            "fundingRate": rate,
            "fundingFee": float(fee),
            "ts": now_ns,
            "settleCurrency": listing.settle,
            "symbol": listing.symbol,
        }
        self._reports.report_position(member, listing.symbol, "position.settlement", data, now_ns)
        self._reports.report_wallet(member, listing.settle, now_ns)

    def _mark(self, member: Member, position: Position, engine: Market, now_ns: int) -> None:
        mark = fraction(engine.mark_price(now_ns))
        if self._is_broke(member, position, mark, now_ns):
            self._liquidate(member, position, engine)
            return
        data = position_mark_data(position, mark, now_ns // _MS)
        self._reports.report_position(
            member, engine.listing.symbol, "position.change", data, now_ns
        )
        if position.is_cross:
            # Availability moves with the mark; the version does not. (reference, section 8.1)
            self._reports.report_wallet(member, engine.listing.settle, now_ns, is_new_version=False)

    def _is_broke(self, member: Member, position: Position, mark: Decimal, now_ns: int) -> bool:
        if not position.is_cross:
            return position.margin.total + position.unrealised(mark) <= position.maintenance
        settle = position.listing.settle
        needed = sum(
            (
                one.maintenance
                for one in member.positions.values()
                if one.is_cross and one.listing.settle == settle
            ),
            ZERO,
        )
        return wallet_at_marks(self._venue, member, settle, now_ns).total_cross <= needed

    def _liquidate(self, member: Member, position: Position, engine: Market) -> None:
        symbol = engine.listing.symbol
        for order in member.orders_of(symbol):
            self._orders.cancel(member, order.order_id)
        request = OrderRequest(
            symbol=symbol,
            side="sell" if position.quantity > 0 else "buy",
            size=Decimal(abs(position.quantity)),
            reduce_only=True,
            trade_type="liquid",
        )
        self._orders.place(member, request)
