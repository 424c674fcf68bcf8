"""Checks of an order request, and the funds that an order binds."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from kucoin_research.sim.accounts.ledger import (
    ZERO,
)
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

__all__: list[str] = []

_SIDES = ("buy", "sell")


_STOPS = {"futures": ("up", "down"), "spot": ("entry", "loss")}


_PRICE_TYPES = ("TP", "MP", "IP")


_TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PO")


_NO_FUNDS = {"futures": "300003", "spot": "200004"}


def _units(listing: Listing, size: Decimal) -> int:
    units = size / Decimal(listing.lot_size)
    if units != units.to_integral_value() or units < 1:
        raise OrderRefused("400100", f"size {size} is no positive multiple of {listing.lot_size}")
    return int(units)


def _ticks(listing: Listing, price: Decimal) -> int:
    ticks = price / Decimal(listing.tick_size)
    if ticks != ticks.to_integral_value() or ticks < 1:
        raise OrderRefused(
            "400100", f"price {price} is no positive multiple of {listing.tick_size}"
        )
    return int(ticks)


def _price(engine: Market, ticks: int) -> Decimal:
    return Decimal(engine.price_text(ticks))


def _size(engine: Market, units: int) -> Decimal:
    return Decimal(engine.size_text(units))


def _cost_of_taking(engine: Market, size: int) -> Decimal:
    # What the asks cost, best first, fee left out.
    cost = ZERO
    for ticks, units in engine.levels("sell"):
        taken = min(units, size)
        cost += _price(engine, ticks) * _size(engine, taken)
        size -= taken
        if not size:
            break
    return cost


def _affordable(engine: Market, funds: Decimal) -> int:
    # How many units of the asks these funds buy, fee left out.
    bought = 0
    for ticks, units in engine.levels("sell"):
        unit_cost = _price(engine, ticks) * Decimal(engine.listing.lot_size)
        taken = min(units, int((funds / unit_cost).to_integral_value(rounding=ROUND_DOWN)))
        bought += taken
        funds -= taken * unit_cost
        if taken < units:
            break
    return bought
