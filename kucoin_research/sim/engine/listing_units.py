"""The units of one listing: integer ticks and lots to prices, sizes, money and texts."""

from __future__ import annotations

from fractions import Fraction

from kucoin_research.sim.engine.catalog import Listing

__all__ = ["DecimalTexts", "ListingUnits"]

_TEXTS_KEPT = 5_000
# Coins per inverse lot are tiny fractions: they are summed in integers of this fineness.
_INVERSE_SCALE = 10**14


class ListingUnits:
    """Converts the integers of one listing (ticks, units of size, notional) to floats and texts.

    Parameters
    ----------
    listing
        The instrument.

    Attributes
    ----------
    scale, tick_units
        Price units in a price of 1, and in one tick; a price unit is one of the last decimal.
    ticks_per_price
        Ticks in a price of 1.
    price_texts, size_texts
        Decimal text by number of ticks, and by number of units: spelled as KuCoin does, without
        trailing zeros.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self.scale: int = 10**listing.price_decimals
        self.tick_units = listing.tick_units
        self._lot_units = listing.lot_units
        self._size_scale: int = 10**listing.size_decimals
        self._turnover_ratio = _turnover_ratio(listing)
        self.ticks_per_price = self.scale / self.tick_units
        self.price_texts = DecimalTexts(listing.tick_units, listing.price_decimals)
        self.size_texts = DecimalTexts(listing.lot_units, listing.size_decimals)

    def price(self, ticks: int) -> float:
        """Convert ticks to a price, as a float that prints as the decimal text."""
        return ticks * self.tick_units / self.scale

    def in_ticks(self, price: float) -> float:
        """Convert a price to ticks, unrounded."""
        # Not by `ticks_per_price`, which rounds once more: a seed's history must stay as it is.
        return price * self.scale / self.tick_units

    def size_number(self, units: int) -> int | float:
        """Convert units to a size: integer lots on futures, base coins on spot."""
        if self._size_scale == 1:
            return units * self._lot_units
        return units * self._lot_units / self._size_scale

    def base_volume(self, units: int) -> float:
        """Convert units to base coins; a unit of an inverse contract is one dollar and stays so."""
        size = self.size_number(units)
        return float(size) if self._listing.is_inverse else size * self._listing.multiplier

    def notional(self, ticks: int, size: int) -> int:
        """Return price times size as an exact integer, which `turnover` converts to money."""
        if self._listing.is_inverse:
            return size * _INVERSE_SCALE // ticks
        return size * ticks

    def turnover(self, notional: int) -> float:
        """Convert a sum of `notional` to quote currency (coins on inverse contracts)."""
        # One division of integers, so that equal sums give equal floats that print briefly.
        numerator, denominator = self._turnover_ratio
        return round(notional * numerator / denominator, 10)


class DecimalTexts(dict[int, str]):
    """Decimal texts by number of steps, kept because the same prices and sizes come again.

    Parameters
    ----------
    step
        Size of one step, in units of ``10 ** -decimals``.
    decimals
        Digits after the point, at most.
    """

    def __init__(self, step: int, decimals: int) -> None:
        super().__init__()
        self._step, self._scale, self._decimals = step, int(10**decimals), decimals

    def __missing__(self, count: int) -> str:
        if len(self) >= _TEXTS_KEPT:
            self.clear()
        text = self[count] = _decimal_text(count * self._step, self._scale, self._decimals)
        return text


def _turnover_ratio(listing: Listing) -> tuple[int, int]:
    # Money per unit of `ListingUnits.notional`, as numerator and denominator.
    scale: int = 10**listing.price_decimals
    if listing.is_inverse:
        return scale, listing.tick_units * _INVERSE_SCALE
    multiplier = Fraction(str(listing.multiplier))
    size_scale: int = 10**listing.size_decimals
    worth = multiplier * listing.tick_units * listing.lot_units / (scale * size_scale)
    return worth.numerator, worth.denominator


def _decimal_text(units: int, scale: int, decimals: int) -> str:
    if not decimals:
        return str(units)
    whole, part = divmod(units, scale)
    if not part:
        return str(whole)
    return f"{whole}.{part:0{decimals}d}".rstrip("0")
