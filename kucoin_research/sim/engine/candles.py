"""Candles of one market: exact since its start, synthetic before.

All candles are merged from one-minute rows of integers (prices in ticks, volume in units, notional
in the smallest unit), so that a longer candle is exactly the sum of its minutes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import NamedTuple

from kucoin_research.errors import InvalidInput

__all__ = ["HISTORY_DAYS", "INTERVALS", "CandleRow", "CandleStore", "candle_open", "merge_rows"]

MINUTE_MS = 60_000
QUARTER_MS = 15 * MINUTE_MS
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONTH_MS = 30 * DAY_MS  # stands for a calendar month

_FIRST_MONDAY_MS = 4 * DAY_MS  # 1970-01-05

INTERVALS: dict[str, int] = {
    "1min": MINUTE_MS,
    "3min": 3 * MINUTE_MS,
    "5min": 5 * MINUTE_MS,
    "15min": 15 * MINUTE_MS,
    "30min": 30 * MINUTE_MS,
    "1hour": HOUR_MS,
    "2hour": 2 * HOUR_MS,
    "4hour": 4 * HOUR_MS,
    "6hour": 6 * HOUR_MS,
    "8hour": 8 * HOUR_MS,
    "12hour": 12 * HOUR_MS,
    "1day": DAY_MS,
    "1week": WEEK_MS,
    "1month": MONTH_MS,
}
_KNOWN = frozenset(INTERVALS.values())

HISTORY_DAYS = 200

_MINUTE_DAYS = 8  # days whose minutes are kept


class CandleRow(NamedTuple):
    """One candle in integers: prices in ticks, volume in units, ``notional`` exact."""

    # Loops over thousands of rows read the fields by index, for speed: ``row[0]`` is ``open_ms``.

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    notional: int


def candle_open(interval_ms: int, time_ms: int) -> int:
    """Return the opening time of the candle that holds a time, in ms since 1970.

    Parameters
    ----------
    interval_ms
        One of ``INTERVALS``; weeks begin on Monday, months on their first day, all in UTC.
    time_ms
        Any time, ms since 1970.

    Raises
    ------
    InvalidInput
        If the interval is not one of ``INTERVALS``.
    """
    if interval_ms == MONTH_MS:
        day = datetime.fromtimestamp(time_ms / 1_000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1_000
    if interval_ms not in _KNOWN:
        raise InvalidInput(f"no candle interval of {interval_ms} ms; intervals: {INTERVALS}")
    origin = _FIRST_MONDAY_MS if interval_ms == WEEK_MS else 0
    return time_ms - (time_ms - origin) % interval_ms


def candle_end(interval_ms: int, open_ms: int) -> int:
    """Return the end (exclusive) of the candle that opens at ``open_ms``, in ms since 1970."""
    if interval_ms == MONTH_MS:
        return candle_open(MONTH_MS, open_ms + 31 * DAY_MS)
    return open_ms + interval_ms


def merge_rows(open_ms: int, rows: Iterable[CandleRow]) -> CandleRow | None:
    """Merge rows in time order into one that opens at ``open_ms``; None without rows."""
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        return None
    _, start, high, low, close, volume, notional = first
    for row in iterator:
        high = max(high, row[2])
        low = min(low, row[3])
        close = row[4]
        volume += row[5]
        notional += row[6]
    return CandleRow(open_ms, start, high, low, close, volume, notional)


class CandleStore:
    """Keeps the one-minute rows of a market, and merges them to candles of any interval.

    Parameters
    ----------
    start_ms
        When the market opened; earlier candles come from ``history``.
    history
        Returns the rows of one day (days since 1970), each minute at most once, up to ``start_ms``.
    """

    def __init__(self, start_ms: int, history: Callable[[int], list[CandleRow]]) -> None:
        self._start_ms = start_ms
        self._history = history
        self._first_day = start_ms // DAY_MS - HISTORY_DAYS
        self._days: dict[int, list[CandleRow]] = {}
        self._merged: dict[tuple[int, int], list[CandleRow]] = {}
        self._times = array("q")
        self._columns = [array("q") for _ in range(6)]
        self._minute_end = start_ms - start_ms % MINUTE_MS
        self._running: dict[int, tuple[int, int, CandleRow | None]] = {}

    def add(self, time_ms: int, ticks: int, size: int, notional: int) -> None:
        """Count one trade; its time must not be before that of the trade before."""
        if time_ms >= self._minute_end or not self._times:
            self._open_minute(time_ms, ticks)
        _, high, low, close, volume, notionals = self._columns
        if ticks > high[-1]:
            high[-1] = ticks
        elif ticks < low[-1]:
            low[-1] = ticks
        close[-1] = ticks
        volume[-1] += size
        notionals[-1] += notional

    def warm(self, interval_ms: int, from_ms: int, to_ms: int) -> Iterator[None]:
        """Build the history that ``rows`` will need, one day at each step; days built are skipped.

        A day takes some milliseconds, so that the caller can do other work between the steps.
        """
        step = _base_step(interval_ms)
        first = max(self._first_day, candle_open(interval_ms, from_ms) // DAY_MS)
        days = range(first, min(to_ms, self._start_ms) // DAY_MS + 1)
        if step > MINUTE_MS:
            for day in days:
                if (step, day) not in self._merged:
                    self._merged_day(step, day)
                    yield
        elif len(days) <= _MINUTE_DAYS:  # more would evict each other
            for day in days:
                if day not in self._days:
                    self._day(day)
                    yield

    def rows(self, interval_ms: int, from_ms: int, to_ms: int) -> list[CandleRow]:
        """Return the candles that open in ``[from_ms, to_ms]``, ascending, none without trades."""
        first = candle_open(interval_ms, max(from_ms, self._first_day * DAY_MS))
        if first < from_ms:
            first = candle_end(interval_ms, first)
        end = candle_end(interval_ms, candle_open(interval_ms, to_ms))
        base = self._base_rows(first, end, step=_base_step(interval_ms))
        merged = (
            merge_rows(opened, group)
            for opened, group in groupby(base, key=lambda row: candle_open(interval_ms, row[0]))
        )
        return [row for row in merged if row is not None]

    def row(self, interval_ms: int, open_ms: int) -> CandleRow | None:
        """Return one candle as it stands; cheap for the running one."""
        end = candle_end(interval_ms, open_ms)
        minute = self._times[-1] if self._times else end
        if not open_ms <= minute < end:
            base = self._base_rows(open_ms, end, step=_base_step(interval_ms))
            return merge_rows(open_ms, base)
        # All minutes before the running one are final, so they are merged once and kept.
        opened, until, closed = self._running.get(interval_ms, (None, 0, None))
        if opened != open_ms:
            base = self._base_rows(open_ms, minute, step=_base_step(interval_ms))
            closed = merge_rows(open_ms, base)
        elif until < minute:
            parts = [closed] if closed else []
            closed = merge_rows(open_ms, [*parts, *self._base_rows(until, minute)])
        self._running[interval_ms] = (open_ms, minute, closed)
        parts = [closed] if closed else []
        return merge_rows(open_ms, [*parts, *self._base_rows(minute, minute + 1)])

    def window(self, from_ms: int, to_ms: int) -> CandleRow | None:
        """Merge the minutes that open in ``[from_ms, to_ms)``."""
        return merge_rows(from_ms, self._base_rows(from_ms, to_ms))

    def _open_minute(self, time_ms: int, ticks: int) -> None:
        opened = time_ms - time_ms % MINUTE_MS
        self._minute_end = opened + MINUTE_MS
        self._times.append(opened)
        for column in self._columns[:4]:
            column.append(ticks)
        for column in self._columns[4:]:
            column.append(0)

    def _base_rows(self, from_ms: int, to_ms: int, *, step: int = MINUTE_MS) -> Iterator[CandleRow]:
        # One-minute rows in [from_ms, to_ms); whole past days come in rows of `step`.
        if from_ms > self._start_ms:
            yield from self._live_rows(from_ms, to_ms)
            return
        # The minute in which the market opened has both a synthetic and a live part.
        seam = self._start_ms - self._start_ms % MINUTE_MS
        yield from self._history_rows(from_ms, min(seam, to_ms), step)
        if to_ms > seam:
            both = [*self._history_rows(seam, seam + 1, MINUTE_MS)]
            joined = merge_rows(seam, [*both, *self._live_rows(seam, seam + 1)])
            if joined is not None and from_ms <= seam:
                yield joined
            yield from self._live_rows(seam + 1, to_ms)

    def _live_rows(self, from_ms: int, to_ms: int) -> Iterator[CandleRow]:
        times, columns = self._times, self._columns
        for index in range(bisect_left(times, from_ms), bisect_left(times, to_ms)):
            opened, high, low, close, volume, notional = (column[index] for column in columns)
            yield CandleRow(times[index], opened, high, low, close, volume, notional)

    def _history_rows(self, from_ms: int, to_ms: int, step: int) -> Iterator[CandleRow]:
        for day in range(max(self._first_day, from_ms // DAY_MS), -(-to_ms // DAY_MS)):
            whole = from_ms <= day * DAY_MS and (day + 1) * DAY_MS <= to_ms
            rows = self._merged_day(step, day) if whole and step > MINUTE_MS else self._day(day)
            if whole:
                yield from rows
            else:
                yield from (row for row in rows if from_ms <= row[0] < to_ms)

    def _day(self, day: int) -> list[CandleRow]:
        rows = self._days.get(day)
        if rows is None:
            rows = self._history(day)
            if len(self._days) >= _MINUTE_DAYS:
                del self._days[next(iter(self._days))]
            self._days[day] = rows
        return rows

    def _merged_day(self, step: int, day: int) -> list[CandleRow]:
        rows = self._merged.get((step, day))
        if rows is None:
            groups = groupby(self._day(day), key=lambda row: row[0] - row[0] % step)
            merged = (merge_rows(opened, group) for opened, group in groups)
            self._merged[step, day] = rows = [row for row in merged if row is not None]
        return rows


def _base_step(interval_ms: int) -> int:
    # The coarsest rows that add up to an interval. Hours and quarters are kept for every day read;
    # minutes only for some.
    if interval_ms >= HOUR_MS:
        return HOUR_MS
    return MINUTE_MS if interval_ms % QUARTER_MS else QUARTER_MS
