"""The number of decimals that prices are written with."""

from __future__ import annotations

import math
from decimal import Decimal

from kucoin_research.figures.time_axis import Floats

__all__ = ["Decimals"]

_MOST_DECIMALS = 15


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
