"""Walls: large orders that stand at one price for a while, and then go.

Somebody shows a large order at a round price, some way behind the best. Most are withdrawn after
a time, whose distribution has a heavy tail; some when the price comes near (they were a bluff); the
others are taken, in a burst of trades. Only a few stand at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

from kucoin_research.sim.engine.matching import MatchingBook, Order

__all__ = ["Wall", "Walls"]

_EVERY_ACTIONS = 1_500.0  # average number of actions of the crowd between two walls
_SHORTEST_MS = 40_000.0
_LONGEST_MS = 5_400_000.0
_LIFETIME_TAIL = 0.9
_FIRM = 0.5  # share of walls that are no bluff
# Distances from the best price, in the volatility of a minute: from where a bluff is withdrawn, and
# between which walls are placed.
_SHY = 0.4
_NEAREST, _FURTHEST = 0.8, 10.0
_SMALLEST, _LARGEST = 0.8, 10.0  # in minutes of trading
_OPENING = 8  # walls that stand when the book opens
_STEP_MS = 1_000  # walls look at the price as often as this


class Wall(NamedTuple):
    """A large order: its size at first, whether it is no bluff, and the end of its time in ms."""

    order: Order
    size: int
    is_firm: bool
    until_ms: float


class Walls:
    """Places walls into a book, and withdraws them.

    Parameters
    ----------
    book
        The book that holds them.
    random
        The draws of the flow's generator.
    reach
        Depth of the book in ticks: no wall stands further away.
    per_minute
        What the crowd trades in a minute, in units: the size of walls follows it.
    steps
        The round prices that walls prefer, in ticks, by frequency.
    actions
        Actions of the crowd in a second; walls are as frequent as its orders.

    Attributes
    ----------
    due_ms
        Time from which `tend` is due.
    standing
        By key, which determines the side. One may have been taken or withdrawn meanwhile.
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = (
        "_book",
        "_every_ms",
        "_minute",
        "_next_ms",
        "_per_minute",
        "_random",
        "_reach",
        "_steps",
        "due_ms",
        "standing",
    )

    def __init__(
        self,
        book: MatchingBook,
        random: Callable[[], float],
        *,
        reach: int,
        per_minute: float,
        steps: list[int],
        actions: float,
    ) -> None:
        self._book = book
        self._random = random
        self._reach = reach
        self._per_minute = per_minute
        self._steps = steps
        self._every_ms = _EVERY_ACTIONS * 1_000.0 / actions
        self.standing: dict[int, Wall] = {}
        self._next_ms = 0.0
        self._minute = 0.0
        self.due_ms = 0

    def open(self, now_ms: int, minute: float) -> None:
        """Place the walls that stand when the book opens; ``minute`` is its volatility in ticks."""
        self._minute = minute
        self._next_ms = now_ms + self._every_ms
        for _ in range(_OPENING):
            self._place(now_ms)

    def tend(self, now_ms: int) -> None:
        """Withdraw the walls whose time is over and the bluffs that might be taken; place more."""
        self.due_ms = now_ms + _STEP_MS
        shy = self._minute * _SHY
        for key, wall in list(self.standing.items()):
            side = self._book.bids if key > 0 else self._book.asks
            if wall.order not in side.queues.get(key, ()):
                del self.standing[key]
            elif now_ms >= wall.until_ms or (not wall.is_firm and side.keys[-1] - key < shy):
                del self.standing[key]
                self._book.cancel(side, wall.order)
        while now_ms >= self._next_ms:
            self._next_ms += -log(1.0 - self._random()) * self._every_ms
            self._place(now_ms)

    def piece(self, key: int) -> int:
        """Return the size of a trade that takes from a wall; 0 if no firm wall stands there."""
        wall = self.standing.get(key)
        if wall is None or not wall.is_firm:
            return 0
        return 1 + int(wall.size * (0.1 + 0.3 * self._random()))

    def _place(self, now_ms: int) -> None:
        random = self._random
        side = self._book.bids if random() < 0.5 else self._book.asks
        distance = self._minute * (_NEAREST + (_FURTHEST - _NEAREST) * random() ** 2)
        key = side.keys[-1] - int(min(self._reach, distance))
        key -= key % self._steps[int(random() * len(self._steps))]
        if key in self.standing or (side.sign > 0 and key < 1):
            return
        size = 1 + int(self._per_minute * _SMALLEST * (_LARGEST / _SMALLEST) ** random())
        order = self._book.make_order(side, key, size)
        self._book.rest(side, order)
        lifetime = min(_LONGEST_MS, _SHORTEST_MS * (1.0 - random()) ** (-1.0 / _LIFETIME_TAIL))
        self.standing[key] = Wall(order, size, random() < _FIRM, now_ms + lifetime)
