"""Walks over a span of time page by page, whatever a page of the exchange holds."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Generic, NamedTuple, Self, TypeAlias, TypeVar

from kucoin_research.errors import KucoinResearchError, RateLimited
from kucoin_research.foundation.clocks import Clock

__all__ = ["Leaps", "OnProgress", "OnWait", "PageWalk", "Patience", "Span"]

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

#: Called with the share done, 0 to 1, and the number of rows so far.
OnProgress: TypeAlias = Callable[[float, int], object]
#: Called with the seconds that a download is about to wait, and the reason.
OnWait: TypeAlias = Callable[[float, KucoinResearchError], object]

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
# Once a download's first page has come, a later page is asked for again for this long; the pauses
# double.
_LASTING = 120.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class Span(NamedTuple):
    """A span of time to ask for: its bounds in ns, whole milliseconds, both included.

    ``step`` is the least distance of two rows, ``reach`` the longest part of one request.
    """

    first: int
    last: int
    step: int
    reach: int

    @classmethod
    def of(cls, start: int, end: int, step: int, reach: int | None = None) -> Self:
        """Round the bounds inwards to milliseconds, KuCoin's unit."""
        first, last = -(-start // _NS_PER_MS) * _NS_PER_MS, end // _NS_PER_MS * _NS_PER_MS
        return cls(first, last, step, last - first if reach is None else reach)


_FIRST_LEAP = 2  # pages without rows in a row; a single one costs less than to ask


class Leaps:
    """Leaps over gaps without rows, as long as leaps save more calls than they cost.

    A leap follows two pages in a row without rows. Whenever leaps have cost more than they saved,
    the next one waits for twice as many such pages. So a series with a row every few pages costs
    hardly more calls than page by page, and a leap still crosses a long gap in it.

    Parameters
    ----------
    page
        The length of a page, ns.
    find
        Returns the time to go on from, between two times, and the number of calls that it took.
    """

    def __init__(self, page: int, find: Callable[[int, int], tuple[int, int]]) -> None:
        self._page = page
        self._find = find
        self._since: int | None = None  # the end of the last page without rows, or of a leap
        self._empty = 0  # pages in a row
        self._needed = _FIRST_LEAP
        self._saved = 0  # calls, so far

    def __call__(self, low: int, high: int) -> int:
        """Return the time to go on from, after a page without rows that ended at ``low``."""
        if self._since != low:  # else the same page is asked for again after an error
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


class Patience:
    """Repeats what failed and may pass, with pauses that double.

    Parameters
    ----------
    clock
        The time that it waits by.
    pause
        Waits for a number of seconds.
    on_wait
        Called before each wait with its seconds and the error.
    """

    def __init__(
        self, clock: Clock, pause: Callable[[float], None], on_wait: OnWait | None = None
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._on_wait = on_wait

    def insist(self, ask: Callable[[], R], lasting: float) -> R:
        """Ask until there is an answer, for ``lasting`` seconds at most."""
        deadline, pause = self._clock.monotonic() + lasting, _FIRST_PAUSE
        while True:
            try:
                return ask()
            except KucoinResearchError as error:
                wait = max(pause, error.retry_after) if isinstance(error, RateLimited) else pause
                if not error.may_pass or self._clock.monotonic() + wait > deadline:
                    raise
                log.info("a download waits %.1f s: %s", wait, error)
                if self._on_wait is not None:
                    self._on_wait(wait, error)
            self._pause(wait)
            pause = min(2.0 * pause, _LONGEST_PAUSE)


class PageWalk(Generic[T]):
    """Asks for a span part by part, until replies cover all of it, with rows or without.

    It relies neither on the number of rows of a page, nor on the end of the span that a page begins
    at: it asks again for the part before the first row that came, and for the part after the last
    one. Each answer makes the rest shorter, so this ends.

    Parameters
    ----------
    span
        The whole span.
    ask
        Returns rows between two times, both included, by their time: all of them, or some.
    patience
        Repeats a page that failed.
    leap
        Returns the time to go on from, after a part without rows.
    on_progress
        Called after each page with the share done and the number of rows so far.
    """

    def __init__(
        self,
        span: Span,
        ask: Callable[[int, int], dict[int, T]],
        patience: Patience,
        *,
        leap: Callable[[int, int], int] | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._span = span
        self._ask = ask
        self._patience = patience
        self._leap = leap or (lambda low, _: low)
        self._on_progress = on_progress
        self._found: dict[int, T] = {}
        # Parts not covered yet. A part is taken out only once its page has come, so after an error
        # the parts that are missing are all here.
        self._left = [(span.first, span.last)] if span.first <= span.last else []

    def rows(self, make: Callable[[int, T], R]) -> list[R]:
        """Return all rows, ascending.

        Parameters
        ----------
        make
            Makes a row of a time and the value found for it.

        Raises
        ------
        KucoinResearchError
            If a page could not be fetched. If others came before, the error's ``rows`` are the
            complete ones from the begin on, and its text says how to go on.
        """
        try:
            self._walk()
        except KucoinResearchError as error:
            if self._found:
                whole_to = min(begin for begin, _ in self._left)
                error.rows = self._made(make, whole_to)
                upto = datetime.fromtimestamp(whole_to // _NS_PER_S, UTC).isoformat()
                hint = f"{len(error.rows):,} rows before {upto} had come; go on with start='{upto}'"
                error.args = (f"{error}; {hint}", *error.args[1:])
            raise
        return self._made(make)

    def _made(self, make: Callable[[int, T], R], before: float = math.inf) -> list[R]:
        return [make(when, self._found[when]) for when in sorted(self._found) if when < before]

    def _walk(self) -> None:
        whole, lasting = max(1, self._span.last - self._span.first), 0.0
        while self._left:
            low, high = self._left[-1]
            until = min(low + self._span.reach, high)
            page = self._patience.insist(partial(self._ask, low, until), lasting)
            lasting = _LASTING
            self._found.update(page)
            if page:
                rests = [(max(page) + self._span.step, high), (low, min(page) - self._span.step)]
            elif until < high:
                # From that instant again: a page may leave out its last one.
                rests = [(self._patience.insist(partial(self._leap, until, high), lasting), high)]
            else:
                rests = []
            self._left[-1:] = [(begin, end) for begin, end in rests if begin <= end]
            if self._on_progress is not None:
                undone = sum(end - begin for begin, end in self._left)
                self._on_progress(1.0 - undone / whole if self._left else 1.0, len(self._found))
