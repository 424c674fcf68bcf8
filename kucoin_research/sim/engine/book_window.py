"""The best levels of one side of a book, followed change by change."""

from __future__ import annotations

from bisect import bisect_left

from kucoin_research.sim.engine.market import Market, Side
from kucoin_research.sim.engine.matching import BookSide

__all__ = ["Window"]


class Window:
    """Follows the best levels of one side of a book, and lists the levels that changed.

    Readers know the levels as of the last `changes`. The work grows with the number of changes,
    not with the depth.

    Parameters
    ----------
    engine
        The market of the book.
    side
        ``"buy"`` for the bids, ``"sell"`` for the asks.
    depth
        Greatest number of levels.
    """

    def __init__(self, engine: Market, side: Side, depth: int) -> None:
        self._engine = engine
        self._side: Side = side
        self._sign = 1 if side == "buy" else -1
        self._depth = depth
        self._touched: set[int] = set()
        # Sizes by key, as in `BookSide`: the better a level, the greater its key. Holds all levels
        # of the book from the floor up; all of them while there is no floor.
        self._sizes: dict[int, int] = {}
        self._floor: int | None = None
        self._compare()

    def levels(self) -> list[tuple[int, int]]:
        """Return ``(price_ticks, size)`` of the levels in the window, best first."""
        return [(key * self._sign, size) for key, size in sorted(self._sizes.items(), reverse=True)]

    def touch(self, price_ticks: int) -> None:
        """Note that a level may have changed: `changes` looks at no others."""
        self._touched.add(price_ticks * self._sign)

    def changes(self) -> list[tuple[int, int]]:
        """Move the window to the current book.

        Returns
        -------
        list[tuple[int, int]]
            ``(price_ticks, size)`` of the levels that changed or entered, best first; then the
            levels that left, with size 0, best first.
        """
        if not self._touched:
            return []
        book = self._engine.book_side(self._side)
        changed = self._compare() if book is None else self._follow(book)
        self._touched.clear()
        came = sorted((item for item in changed.items() if item[1]), reverse=True)
        gone = sorted((item for item in changed.items() if not item[1]), reverse=True)
        return [(key * self._sign, size) for key, size in came + gone]

    def _compare(self) -> dict[int, int]:
        # Compares all levels, before and after.
        before = self._sizes
        levels = self._engine.levels(self._side, self._depth)
        after = self._sizes = {ticks * self._sign: size for ticks, size in levels}
        self._floor = min(after) if len(after) == self._depth else None
        changed = dict(after.items() - before.items())
        changed.update(dict.fromkeys(before.keys() - after.keys(), 0))
        return changed

    def _follow(self, book: BookSide) -> dict[int, int]:
        # Compares only the touched levels, and those that enter or leave because the floor moved.
        keys, sizes, known = book.keys, book.sizes, self._sizes
        before = self._floor
        floor = self._floor = keys[-self._depth] if len(keys) >= self._depth else None
        moved = _between(keys, floor, before) or _between(keys, before, floor)
        looked_at = self._touched.union(moved)
        changed = {}
        for key in looked_at:
            size = sizes.get(key, 0) if floor is None or key >= floor else 0
            if size != known.get(key, 0):
                changed[key] = size
        known.update(changed)
        for key, size in changed.items():
            if not size:
                del known[key]
        return changed


def _between(keys: list[int], low: int | None, high: int | None) -> list[int]:
    # The keys from `low` up to, not including, `high`; None is below all keys.
    if high is None or (low is not None and low >= high):
        return []
    return keys[0 if low is None else bisect_left(keys, low) : bisect_left(keys, high)]
