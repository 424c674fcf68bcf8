"""Sizes and prices of orders in the units of their market: lots or lot sizes, and ticks."""

from __future__ import annotations

from decimal import Decimal

from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

__all__ = ["price_of", "size_of", "ticks_of", "units_of"]


def units_of(listing: Listing, size: Decimal) -> int:
    """Convert a size to units; refused unless it is a positive multiple of the lot size."""
    units = size / Decimal(listing.lot_size)
    if units != units.to_integral_value() or units < 1:
        why = f"size {size} is no positive multiple of {listing.lot_size}"
        if listing.market == "spot":
            raise OrderRefused("400100", f"Order size increment invalid. ({why})")
        raise OrderRefused("100001", why)
    return int(units)


def ticks_of(listing: Listing, price: Decimal) -> int:
    """Convert a price to ticks; refused unless it is a positive multiple of the tick size."""
    ticks = price / Decimal(listing.tick_size)
    if ticks != ticks.to_integral_value() or ticks < 1:
        why = f"price {price} is no positive multiple of {listing.tick_size}"
        if listing.market == "spot":
            raise OrderRefused("400100", f"Price increment invalid. ({why})")
        raise OrderRefused("100001", why)
    return int(ticks)


def price_of(engine: Market, ticks: int) -> Decimal:
    """Convert ticks to a price."""
    return Decimal(engine.price_text(ticks))


def size_of(engine: Market, units: int) -> Decimal:
    """Convert units to a size."""
    return Decimal(engine.size_text(units))
