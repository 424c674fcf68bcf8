"""Isolated margin that an account adds to a position, takes out of it, or lets be added."""

from __future__ import annotations

from decimal import Decimal

from kucoin_research.sim.accounts.amounts import check_amount
from kucoin_research.sim.accounts.futures_wallets import mark_of, wallet_at_marks
from kucoin_research.sim.accounts.ledger import ZERO, Position, decimal_text, fraction
from kucoin_research.sim.accounts.members import Member, position_data
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.venue import Venue

__all__ = ["IsolatedMargin"]

_MS = 1_000_000
_FINENESS = Decimal("1e-10")


class IsolatedMargin:
    """Changes the margin of isolated positions.

    Parameters
    ----------
    venue
        The exchange.
    reports
        Sends each change to the account's listeners.
    """

    def __init__(self, venue: Venue, reports: PrivateReports) -> None:
        self._venue = venue
        self._reports = reports
        self._done: set[tuple[str, str]] = set()  # accounts and their own ids of additions

    def add_margin(
        self, member: Member, symbol: str, amount: Decimal, request_id: str = ""
    ) -> Position:
        """Add to the margin of a position; once for each `request_id` of an account.

        Raises
        ------
        OrderRefused
            300009 without an isolated position, 100001 for an amount that is not above zero or is
            too fine, 300003 if too little is available.
        """
        position = self._position(member, symbol)
        if (member.user_id, request_id) in self._done:
            return position
        if amount <= 0:
            raise OrderRefused("100001", f"margin {amount} must be above zero")
        check_amount(amount, position.margin.total, code="100001")
        available = self._available(member, position)
        if amount > available:
            settle = position.listing.settle
            raise OrderRefused(
                "300003",
                f"Balance insufficient. {decimal_text(amount)} {settle} are needed, "
                f"{decimal_text(max(available, ZERO))} are available.",
            )
        self._change(member, position, amount)
        if request_id:
            self._done.add((member.user_id, request_id))
        return position

    def withdrawable_margin(self, member: Member, symbol: str) -> Decimal:
        """Return how much margin a position can do without.

        It keeps what opening it at the mark price with the highest leverage of its risk tier would
        need, with the fee of closing. KuCoin does not publish its bound; this is ours.
        """
        position = self._position(member, symbol)
        mark = mark_of(self._venue, symbol, self._now_ns)
        rate = position.risk_tier.initial_margin + fraction(position.listing.taker_fee)
        kept = abs(position.value(mark)) * rate
        left = position.margin.total + min(ZERO, position.unrealised(mark)) - kept
        return max(ZERO, left).quantize(_FINENESS, rounding="ROUND_DOWN")

    def withdraw_margin(self, member: Member, symbol: str, amount: Decimal) -> Position:
        """Take out of the margin of a position.

        Raises
        ------
        OrderRefused
            300009 without an isolated position, 100001 for an amount that is not above zero or
            above what can be taken.
        """
        most = self.withdrawable_margin(member, symbol)
        if not 0 < amount <= most:
            raise OrderRefused(
                "100001", f"margin {amount} must be above zero and at most {decimal_text(most)}"
            )
        position = self._position(member, symbol)
        check_amount(amount, position.margin.total, code="100001")
        self._change(member, position, -amount)
        return position

    def set_auto_deposit(self, member: Member, symbol: str, *, is_on: bool) -> None:
        """Choose whether margin is added by itself before a liquidation."""
        position = self._position(member, symbol)
        position.is_auto_deposit = is_on
        self._report(member, position, "autoAppendMarginStatusChange")

    def rescue(self, member: Member, position: Position) -> bool:
        """Add margin to a position that would be liquidated; return whether any was added.

        At most the initial margin is added at a time.
        """
        if not position.is_auto_deposit:
            return False
        amount = min(self._available(member, position), position.margin.initial)
        amount = amount.quantize(_FINENESS, rounding="ROUND_DOWN")
        if amount <= 0:
            return False
        self._change(member, position, amount)
        return True

    def report_change(self, member: Member, symbol: str) -> None:
        """Report an open position after a change of its settings."""
        position = member.positions.get(symbol)
        if position is not None and position.quantity:
            self._report(member, position, "positionChange")

    @property
    def _now_ns(self) -> int:
        return self._venue.clock.reached_ns

    def _position(self, member: Member, symbol: str) -> Position:
        position = member.positions.get(symbol)
        if position is None or not position.quantity or position.is_cross:
            raise OrderRefused("300009", f"No open positions with isolated margin in {symbol}.")
        return position

    def _available(self, member: Member, position: Position) -> Decimal:
        return wallet_at_marks(self._venue, member, position.listing.settle, self._now_ns).free

    def _change(self, member: Member, position: Position, amount: Decimal) -> None:
        position.add_margin(amount)
        self._report(member, position, "marginChange")

    def _report(self, member: Member, position: Position, reason: str) -> None:
        now_ns, symbol = self._now_ns, position.listing.symbol
        mark = mark_of(self._venue, symbol, now_ns)
        cross = ZERO
        if position.is_cross:
            settle = position.listing.settle
            cross = wallet_at_marks(self._venue, member, settle, now_ns).total_cross
        data = position_data(position, mark, now_ns // _MS, cross, reason)
        self._reports.report_position(member, symbol, "position.change", data, now_ns)
        self._reports.report_wallet(member, position.listing.settle, now_ns)
