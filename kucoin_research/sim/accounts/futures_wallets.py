"""Futures balances of accounts, valued at mark prices."""

from __future__ import annotations

from decimal import Decimal

from kucoin_research.sim.accounts.ledger import fraction
from kucoin_research.sim.accounts.members import FuturesWallet, Member
from kucoin_research.sim.accounts.venue import Venue

__all__ = ["wallet_at_marks"]


def wallet_at_marks(venue: Venue, member: Member, currency: str, time_ns: int) -> FuturesWallet:
    """Add up one settlement currency of an account at the mark prices of a time."""

    def mark(symbol: str) -> Decimal:
        return fraction(venue.engine(symbol).mark_price(time_ns))

    return member.futures_wallet(currency, mark)
