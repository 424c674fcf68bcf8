"""How trades move the price: at once, then less and less of it remains.

Each taking order moves the fair price by the square root of its size, and the move decays by a
power law, as in the propagator model (Bouchaud, Gefen, Potters and Wyart 2004, cond-mat/0307332).
So a parent order's impact is concave in its size while it is worked, and is partly taken back after
its end (arXiv 2603.24137). All of it fades, and arbitrage bounds it: the further the price is from
its index, the less the next trade moves it away (arXiv 2212.06888).
"""

from __future__ import annotations

from math import exp, fsum, sqrt

__all__ = ["PriceImpact"]

# The power law as a sum of exponentials: a trade then costs a few products, not a sum over trades.
_DECAY = 0.48  # exponent of the power law
_LIFETIMES_MS = (1_000.0, 15_000.0, 240_000.0, 3_600_000.0)
_SHARES = tuple(lifetime**-_DECAY for lifetime in _LIFETIMES_MS)
_WEIGHTS = tuple(share / fsum(_SHARES) for share in _SHARES)

_REFRESH_MS = 250  # between trades, the decay is followed in steps of this length


class PriceImpact:
    """The distance between the fair price and where recent trades have moved it.

    Parameters
    ----------
    first
        First effect of an order of median size, in ticks.
    median
        Median size of taking orders, in units.
    most
        The distance that arbitrage allows, in ticks: all trades together approach it only.

    Attributes
    ----------
    ticks
        The distance in ticks; positive after buys.
    refresh_ms
        Time from which `refresh` is due.
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = ("_first", "_median", "_most", "_parts", "_time", "_unbound", "refresh_ms", "ticks")

    def __init__(self, first: float, median: int, most: float) -> None:
        self._first = first
        self._median = median
        self._most = most
        self._parts = [0.0] * len(_LIFETIMES_MS)
        self._unbound = 0.0
        self._time = 0
        self.ticks = 0.0
        self.refresh_ms = 0

    def refresh(self, now_ms: int) -> None:
        """Let the distance decay up to a time."""
        elapsed = self._time - now_ms
        self._time = now_ms
        self.refresh_ms = now_ms + _REFRESH_MS
        self._parts = [
            part * exp(elapsed / lifetime)
            for part, lifetime in zip(self._parts, _LIFETIMES_MS, strict=True)
        ]
        # fsum, because the rounding of sum() changed in Python 3.12.
        self._unbound = fsum(self._parts)
        self.ticks = self._bounded(self._unbound)

    def add(self, now_ms: int, size: float, *, is_buy: bool) -> None:
        """Count a taking order of a size in units."""
        # A huge order must not keep the distance at its bound for hours.
        move = min(self._most, self._first * sqrt(size / self._median))
        if not is_buy:
            move = -move
        self.refresh(now_ms)
        self._parts = [
            part + move * weight for part, weight in zip(self._parts, _WEIGHTS, strict=True)
        ]
        self._unbound += move
        self.ticks = self._bounded(self._unbound)

    def _bounded(self, ticks: float) -> float:
        # Bends late: up to half of the bound, the distance is what the trades make of it.
        share = ticks / self._most
        square = share * share
        return ticks / sqrt(sqrt(1.0 + square * square))
