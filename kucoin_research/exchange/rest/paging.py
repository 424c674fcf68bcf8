"""History asked for page by page."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

__all__ = ["Leaps", "NS_PER_MS", "Span"]

NS_PER_MS = 1_000_000


class Span(NamedTuple):
    """What is asked for page by page: its bounds, whole ms in ns, both included.

    ``step`` is the least distance of two rows, ``reach`` the longest part asked for at once.
    """

    first: int
    last: int
    step: int
    reach: int

    @classmethod
    def of(cls, start: int, end: int, step: int, reach: int | None = None) -> Self:
        """Round the bounds inwards to the milliseconds that KuCoin is asked for."""
        first, last = -(-start // NS_PER_MS) * NS_PER_MS, end // NS_PER_MS * NS_PER_MS
        return cls(first, last, step, last - first if reach is None else reach)


_FIRST_LEAP = 2  # pages without rows in a row; a single one costs less than to ask


class Leaps:
    """Leaps over what has no rows, as long as that saves more calls than it costs.

    Where leaps have cost more than they saved, each time twice as many pages without rows must
    come in a row before the next one. So a series with a row every few pages costs hardly more
    than by going through it page by page, and a long gap in it is still crossed by a leap.

    Parameters
    ----------
    page
        The length of a page, ns.
    find
        Tells where to go on between two times, and how many calls that took.
    """

    def __init__(self, page: int, find: Callable[[int, int], tuple[int, int]]) -> None:
        self._page = page
        self._find = find
        self._since: int | None = None  # where the last page without rows ended, or a leap
        self._empty = 0  # pages in a row
        self._needed = _FIRST_LEAP
        self._saved = 0  # calls, so far

    def __call__(self, low: int, high: int) -> int:
        """Tell where to go on after a page without rows, which ended at ``low``."""
        if self._since != low:  # else it is asked again after an error
            is_next = self._since is not None and low - self._since <= self._page
            self._empty = self._empty + 1 if is_next else 1
            self._since = low
        if self._empty < self._needed:
            return low
        found, calls = self._find(low, high)
        self._saved += (min(found, high) - low) // self._page - calls
        self._needed = _FIRST_LEAP if self._saved >= 0 else 2 * self._needed
        self._empty, self._since = 0, found
        return found
