"""The limits of orders on a listing: its row in the instrument lists shows those that hold."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from kucoin_research.sim.engine.catalog import Listing

__all__ = [
    "MOST_ACTIVE",
    "MOST_SPOT_ACTIVE",
    "MOST_SPOT_STOPS",
    "MOST_STOPS",
    "OrderLimits",
    "order_limits",
]

#: The most orders of one contract and account that may rest, or wait for their stop price.
MOST_ACTIVE, MOST_STOPS = 100, 50
#: The same of a pair on spot, where those that wait count among those that rest.
MOST_SPOT_ACTIVE, MOST_SPOT_STOPS = 200, 20

_MOST_LOTS = 1_000_000
_MAX_PRICE = 1_000_000
_SMALLEST_SPOT_LOTS = 1_000


class OrderLimits(NamedTuple):
    """What one order may be at least and at most, all inclusive.

    Attributes
    ----------
    min_size, max_size, max_market_size
        Lots on futures, base coins on spot. KuCoin caps market orders apart on futures.
    max_price
        The highest price and stop price; None on spot.
    min_funds, max_funds, funds_step
        The worth in the quote currency, and the step of an amount to spend; None on futures.
    """

    min_size: Decimal
    max_size: Decimal
    max_market_size: Decimal
    max_price: Decimal | None = None
    min_funds: Decimal | None = None
    max_funds: Decimal | None = None
    funds_step: Decimal | None = None


def order_limits(listing: Listing) -> OrderLimits:
    """Return the limits of orders on a listing."""
    lot = Decimal(listing.lot_size)
    if listing.market == "futures":
        return OrderLimits(
            min_size=lot,
            max_size=Decimal(_MOST_LOTS),
            max_market_size=Decimal(_MOST_LOTS),
            max_price=Decimal(_MAX_PRICE),
        )
    is_in_coins = listing.quote == "BTC"
    return OrderLimits(
        min_size=lot * _SMALLEST_SPOT_LOTS,
        max_size=Decimal(10_000_000_000),
        max_market_size=Decimal(10_000_000_000),
        min_funds=Decimal("0.00001" if is_in_coins else "0.1"),
        max_funds=Decimal(99_999_999),
        funds_step=Decimal("0.00000001" if is_in_coins else "0.000001"),
    )
