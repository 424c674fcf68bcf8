"""The parent orders of the crowd: large orders that are split into many small ones.

They are why the signs of trades have a long memory. If the lengths of parent orders have a tail of
exponent a, the autocorrelation of signs falls as the lag to the power 1 - a. (Lillo, Mike and
Farmer 2005, cond-mat/0412708)
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["ParentOrders"]

_LONGEST = 1_000  # children; longer ones would set the sign of hours
_AT_ONCE = 5  # fewer of them make the memory stronger, not longer


class ParentOrders:
    """A few parent orders that are worked at the same time, each with a side and a length.

    Parameters
    ----------
    random
        The draws of the flow's generator.
    tail
        Exponent of the tail of lengths, above 1; 1.5 is usual.
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = ("_buying", "_left", "_power", "_random")

    def __init__(self, random: Callable[[], float], tail: float) -> None:
        self._random = random
        self._power = -1.0 / tail
        self._left = [0] * _AT_ONCE
        self._buying = [True] * _AT_ONCE

    def next_is_buy(self) -> bool:
        """Take the next child of one of the parents; return whether it buys."""
        random, left = self._random, self._left
        at = int(random() * _AT_ONCE)
        if not left[at]:
            left[at] = min(_LONGEST, int((1.0 - random()) ** self._power))
            self._buying[at] = random() < 0.5
        left[at] -= 1
        return self._buying[at]
