"""The units of one listing: integer ticks and lots to prices, sizes, money and texts."""

from __future__ import annotations

from fractions import Fraction

from kucoin_research.sim.engine.catalog import Listing

__all__: list[str] = []

_TEXTS_KEPT = 5_000


# Coins per inverse lot are tiny fractions: they are summed in integers of this fineness.
_INVERSE_SCALE = 10**14


class _Texts(dict[int, str]):
    # Decimal texts by number of steps. The same few prices and sizes are spelled again and again.

    def __init__(self, step: int, decimals: int) -> None:
        super().__init__()
        self._step, self._scale, self._decimals = step, int(10**decimals), decimals

    def __missing__(self, count: int) -> str:
        if len(self) >= _TEXTS_KEPT:
            self.clear()
        text = self[count] = _decimal_text(count * self._step, self._scale, self._decimals)
        return text


def _turnover_ratio(listing: Listing) -> tuple[int, int]:
    # What one of `Market._notional` is worth.
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
