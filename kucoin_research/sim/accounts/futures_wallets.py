"""Futures balances of accounts, valued at mark prices, and the risk of their cross margin."""

from __future__ import annotations

from decimal import Decimal

from kucoin_research.sim.accounts.cross_margin import Exposure, risk_rate
from kucoin_research.sim.accounts.ledger import fraction
from kucoin_research.sim.accounts.members import AccountOrder, FuturesWallet, Member
from kucoin_research.sim.accounts.venue import Venue

__all__ = ["cross_risk_rate", "mark_of", "wallet_at_marks"]


def mark_of(venue: Venue, symbol: str, time_ns: int) -> Decimal:
    """Return the mark price of a time."""
    return fraction(venue.engine(symbol).mark_price(time_ns))


def wallet_at_marks(venue: Venue, member: Member, currency: str, time_ns: int) -> FuturesWallet:
    """Add up one settlement currency of an account at the mark prices of a time."""
    return member.futures_wallet(currency, lambda symbol: mark_of(venue, symbol, time_ns))


def cross_risk_rate(venue: Venue, member: Member, currency: str, time_ns: int) -> Decimal | None:
    """Compute the risk rate of an account's cross margin in one settlement currency.

    Parameters
    ----------
    venue, member, currency, time_ns
        Whose, in which currency, and at the mark prices of which time.

    Returns
    -------
    Decimal or None
        None if no margin is left for what needs some.
    """
    positions = [
        Exposure(one.listing, one.quantity, mark_of(venue, one.listing.symbol, time_ns))
        for one in member.positions_in(currency)
        if one.is_cross
    ]
    orders = [
        _exposure(order, size) for order, size in member.opening_parts(currency) if order.is_cross
    ]
    margin = wallet_at_marks(venue, member, currency, time_ns).total_cross
    return risk_rate(margin, positions, orders)


def _exposure(order: AccountOrder, size: int) -> Exposure:
    assert order.price_ticks is not None, "only limit orders rest"
    price = Decimal(order.engine.price_text(order.price_ticks))
    return Exposure(order.engine.listing, size, price)
