"""Sizes and prices of orders in the units of their market: lots or lot sizes, and ticks."""

from __future__ import annotations

from decimal import Decimal

from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

__all__ = ["price_of", "size_of", "ticks_of", "units_of"]


def units_of(listing: Listing, size: Decimal) -> int:
    """Convert a size to units; refused unless it is a positive multiple of the lot size."""
    return _steps(listing, "size", size, listing.lot_size, "Order size increment invalid.")


def ticks_of(listing: Listing, price: Decimal) -> int:
    """Convert a price to ticks; refused unless it is a positive multiple of the tick size."""
    return _steps(listing, "price", price, listing.tick_size, "Price increment invalid.")


def _steps(listing: Listing, what: str, value: Decimal, step: str, spot_text: str) -> int:
    steps = value / Decimal(step)
    if steps != steps.to_integral_value() or steps < 1:
        why = f"{what} {value} is no positive multiple of {step}"
        if listing.market == "spot":
            raise OrderRefused("400100", f"{spot_text} ({why})")
        raise OrderRefused("100001", why)
    return int(steps)


def price_of(engine: Market, ticks: int) -> Decimal:
    """Convert ticks to a price."""
    return Decimal(engine.price_text(ticks))


def size_of(engine: Market, units: int) -> Decimal:
    """Convert units to a size."""
    return Decimal(engine.size_text(units))
