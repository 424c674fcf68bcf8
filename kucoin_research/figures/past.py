"""The past of one symbol, asked from its exchange bit by bit, and kept for all charts of it.

The exchange is asked on a thread of its own, one request at a time, so that a slow one holds up
neither the charts nor the kernel.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from kucoin_research.errors import KucoinResearchError, RateLimited
from kucoin_research.figures.columns import nanoseconds
from kucoin_research.foundation import clocks
from kucoin_research.model.intervals import parse_interval
from kucoin_research.model.source import History

__all__ = ["PAGE", "Past", "Want"]

log = logging.getLogger(__name__)

#: Candles asked for at once: as many as a page of futures has.
PAGE = 200
_MOST_PAGES = 25  # of one want
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 300.0  # s, after failures; each doubles the wait


class Want(NamedTuple):
    """The rows that a chart lacks.

    Attributes
    ----------
    interval
        Of candles, in the exchange's spelling; empty for the newest trades.
    begin, end
        Of the open times, ns UTC, the end excluded.
    ready_ns
        The exchange's time, ns UTC, from which on its answer is final.
    """

    interval: str = ""
    begin: int = 0
    end: int = 0
    ready_ns: int = 0


class _Stretch(NamedTuple):
    """A span of time, the end excluded, of which all candles are known."""

    begin: int
    end: int
    rows: pl.DataFrame


class Past:
    """Keeps the trades and candles that an exchange has sent of a symbol's past.

    Parameters
    ----------
    open_history
        Opens the exchange's history of the symbol; called when something is asked for.

    Attributes
    ----------
    trades
        The newest trades at the time of the answer; ``None`` before it.
    version
        Grows with each answer.
    note
        A sentence about the last failure; empty if there was none since.
    trade_answers
        How often the newest trades have come.

    Notes
    -----
    Any thread may call. No method waits for the exchange.
    """

    def __init__(self, open_history: Callable[[], History]) -> None:
        self.trades: pl.DataFrame | None = None
        self.version = 0
        self.note = ""
        self.trade_answers = 0
        self._open = open_history
        self._clock = clocks.current()
        self._lock = threading.Lock()  # guards everything below
        self._stretches: dict[str, list[_Stretch]] = {}
        self._history: History | None = None
        self._asking: History | None = None  # the one whose answer is waited for
        self._failures = 0
        self._quiet_until = 0.0  # monotonic seconds
        self._is_closed = False

    def candles(self, interval: str, begin: int, end: int) -> tuple[int, pl.DataFrame | None]:
        """Return the candles up to a time, as far back as all of them are known.

        Parameters
        ----------
        interval
            In the exchange's spelling.
        begin, end
            Of the open times, ns UTC, the end excluded.

        Returns
        -------
        tuple
            The time from which on all are known, ``end`` if none is; and the candles from there.
        """
        with self._lock:
            known = self._stretches.get(interval, ())
            found = next((each for each in known if each.begin < end <= each.end), None)
        if found is None or begin >= end:
            return end, None
        reach = max(begin, found.begin)
        times = nanoseconds(found.rows["timestamp"])
        low, high = times.searchsorted([reach, end])
        return reach, found.rows[int(low) : int(high)]

    def ask(self, wants: Sequence[Want]) -> bool:
        """Ask for rows on another thread; returns whether that has begun.

        It has not while an answer is waited for, or soon after a failure: ask again later.
        """
        with self._lock:
            is_early = self._clock.monotonic() < self._quiet_until
            if not wants or self._is_closed or self._asking is not None or is_early:
                return False
            if self._history is None:
                self._history = self._open()
            self._asking = history = self._history
        self._clock.thread(lambda: self._fetch(history, wants), "kucoin-history").start()
        return True

    def cancel(self) -> None:
        """End the request under way; the rows that have come stay."""
        with self._lock:
            history, self._history, self._asking = self._history, None, None
        if history is not None:
            history.close()

    def close(self) -> None:
        """End the request under way, and ask for nothing any more."""
        with self._lock:
            self._is_closed = True
        self.cancel()

    # -- the thread that asks --------------------------------------------------------------------

    def _fetch(self, history: History, wants: Sequence[Want]) -> None:
        error: Exception | None = None
        try:
            for want in wants:
                self._fetch_one(history, want)
        except KucoinResearchError as failure:
            error = failure
        except Exception as failure:
            log.exception("reading the history of a symbol met an unexpected error")
            error = failure
        with self._lock:
            if self._asking is history:  # not cancelled meanwhile
                self._asking = None
                self._note(error)

    def _fetch_one(self, history: History, want: Want) -> None:
        if not want.interval:
            trades = history.trades()
            with self._lock:
                if self._asking is history:
                    self.trades, self.trade_answers = trades, self.trade_answers + 1
                    self.version += 1
            return
        pages: list[pl.DataFrame] = []
        reach = want.end
        try:
            while reach > want.begin and len(pages) < _MOST_PAGES:
                begin = max(want.begin, reach - PAGE * _length(want.interval))
                pages.append(history.candles(want.interval, begin, reach - 1))
                reach = begin
        finally:  # those that came before a failure are of use
            if pages:
                rows = pl.concat(pages[::-1])
                self._keep(history, want.interval, _Stretch(reach, want.end, rows))

    def _keep(self, history: History, interval: str, new: _Stretch) -> None:
        with self._lock:
            if self._asking is not history:
                return
            apart = []
            for each in self._stretches.get(interval, ()):
                if each.end < new.begin or each.begin > new.end:
                    apart.append(each)
                else:
                    new = _joined(each, new)
            self._stretches[interval] = sorted([*apart, new], key=lambda each: each.begin)
            self.version += 1

    def _note(self, error: Exception | None) -> None:
        if error is None:
            self._failures, self.note = 0, ""
            return
        wait = min(_FIRST_WAIT * 2.0 ** min(self._failures, 10), _LONGEST_WAIT)
        self._failures += 1
        if isinstance(error, RateLimited):
            wait = max(wait, error.retry_after or 0.0)
        self._quiet_until = self._clock.monotonic() + wait
        # The seconds in the text of a rate limit would stand still.
        is_limit = isinstance(error, RateLimited)
        why = "the exchange takes no more requests for now" if is_limit else _in_words(error)
        self.note = f"history: {why}; it is tried again"


def _in_words(error: Exception) -> str:
    is_ours = isinstance(error, KucoinResearchError)
    return str(error) if is_ours else f"unexpected {type(error).__name__}: {error}"


def _length(interval: str) -> int:
    length = parse_interval(interval).ns
    assert length is not None  # charts ask for no months
    return length


def _joined(old: _Stretch, new: _Stretch) -> _Stretch:
    """Join two stretches that touch; the new one's rows replace the old one's."""
    times = nanoseconds(old.rows["timestamp"])
    low, high = (int(each) for each in times.searchsorted([new.begin, new.end]))
    rows = pl.concat((old.rows[:low], new.rows, old.rows[high:]))
    return _Stretch(min(old.begin, new.begin), max(old.end, new.end), rows)
