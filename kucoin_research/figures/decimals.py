"""The number of decimals that prices are written with."""

from __future__ import annotations

import math
from decimal import Decimal

from kucoin_research.figures.time_axis import Floats

__all__ = ["COMPUTED", "Decimals", "plain"]

#: Significant digits of a computed value: a price has up to 8, and a float ends in rounding.
COMPUTED = 9
_MOST_DECIMALS = 15


def plain(value: float, digits: int = 15, *, sign: bool = False) -> str:
    """Write a number in plain decimals: ``84,952.3``, ``0.000008405``.

    Parameters
    ----------
    value
        Any finite number.
    digits
        Number of significant digits, at most; 15 are those that a float is exact to.
    sign
        Whether positive numbers have a sign, too.
    """
    rounded = Decimal(f"{value + 0.0:.{digits}g}")  # without zeros at the end, and -0 is 0
    return f"{rounded:{'+' if sign else ''},f}"


class Decimals:
    """The number of decimals of prices, learned from them: the tick size is not always known."""

    def __init__(self) -> None:
        self.count = 0

    def learn(self, prices: Floats) -> None:
        """Look at some of the prices."""
        for price in prices[-8:].tolist():
            if math.isfinite(price):
                exponent = Decimal(repr(price)).normalize().as_tuple().exponent
                decimals = -exponent if isinstance(exponent, int) else 0
                self.count = min(max(self.count, decimals), _MOST_DECIMALS)
