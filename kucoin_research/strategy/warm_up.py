"""Checks how long a strategy must run before its decisions no longer depend on its start."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import count, number
from kucoin_research.model.records import Level2, schema_of
from kucoin_research.model.units import instant_ns, told_apart
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.strategy.book_losses import book_before
from kucoin_research.strategy.check_text import CheckText, Grid, html_of, text_of
from kucoin_research.strategy.decisions import Call, Decisions, Sent, calls_text, play
from kucoin_research.strategy.held_data import HeldData, Rows
from kucoin_research.strategy.makers import Maker
from kucoin_research.strategy.result_text import span_text
from kucoin_research.strategy.run_arguments import RunArguments
from kucoin_research.strategy.worse_data import books_of, statuses_of

__all__ = ["WarmUp", "WarmUpReport", "check_warm_up"]

_TIME = pl.Datetime("ns", "UTC")
_MOST_STARTS = 1_000
#: After its last difference, a run must decide this often to count as converged, and in this part
#: of its decisions: a few may be equal by chance.
_LEAST, _LEAST_PART = 3, 0.1

_ByTime: TypeAlias = dict[int, tuple[Call, ...]]


class WarmUp(NamedTuple):
    """One run that began later.

    Attributes
    ----------
    start, end
        When its first and its last record arrived, ns UTC.
    records, decisions
        How many it has, and at how many times it, or the whole run, decided something.
    converged
        From when on all decisions are those of the whole run, ns UTC; None if never.
    records_until
        The number of its records before that.
    alike
        The same for the kinds of decisions alone: the same calls for the same symbols, whatever
        their sizes and prices.
    last_difference
        The time, the calls of the whole run, and those of this one; None without a difference.
    """

    start: int
    end: int
    records: int
    decisions: int
    converged: int | None
    records_until: int | None
    alike: int | None
    last_difference: tuple[int, tuple[Call, ...], tuple[Call, ...]] | None


@dataclass(frozen=True)
class WarmUpReport:
    """What ``check_warm_up`` has found. It prints itself.

    Attributes
    ----------
    name
        Of the strategy.
    starts
        One entry per later start.
    trouble
        Why nothing can be said; None if all is well.
    """

    name: str
    starts: tuple[WarmUp, ...]
    trouble: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the decisions of every start have become those of the whole run."""
        return self.trouble is None and all(each.converged is not None for each in self.starts)

    @property
    def needed(self) -> timedelta | None:
        """The longest time until a start had converged; None if one never has."""
        spans = [each.converged - each.start for each in self.starts if each.converged is not None]
        if not spans or not self.ok:
            return None
        return timedelta(microseconds=math.ceil(max(spans) / 1_000))

    def to_frame(self) -> pl.DataFrame:
        """Return one row per start.

        Returns
        -------
        pl.DataFrame
            ``start``, ``converged`` and ``alike`` (times, null if never), ``seconds`` and
            ``records_until`` (from the start to ``converged``), ``records``, ``decisions``, and of
            the last difference ``last_difference``, ``whole_run`` and ``late_run``.
        """
        return pl.DataFrame(
            [
                (
                    each.start,
                    each.converged,
                    each.alike,
                    None if each.converged is None else (each.converged - each.start) / 1e9,
                    each.records_until,
                    each.records,
                    each.decisions,
                    *_last_of(each),
                )
                for each in self.starts
            ],
            schema=_COLUMNS,
            orient="row",
        )

    def __str__(self) -> str:
        return text_of(self._text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self._text())

    def _text(self) -> CheckText:
        rows = [
            (
                f"{told_apart(each.start)[0]}",
                _since(each, each.converged),
                "never" if each.records_until is None else f"{each.records_until:,}",
                _since(each, each.alike),
                f"{each.decisions:,}",
            )
            for each in self.starts
        ]
        return CheckText(
            self.name,
            "CONVERGES" if self.ok else "CANNOT SAY" if self.trouble else "DOES NOT CONVERGE",
            self.ok,
            self._sentences(),
            [Grid(_HEADER, frozenset({1, 2, 3, 4}), rows), self._last()],
        )

    def _sentences(self) -> list[str]:
        if self.trouble is not None:
            return [self.trouble]
        needed = self.needed
        found = []
        if needed is not None:
            found.append(
                f"Started later, it decides as in the whole run after {span_text(needed)} at most: "
                "leave out at least that much at the beginning of a result."
            )
        if any(each.converged is None and each.alike is not None for each in self.starts):
            found.append(
                "Its decisions become alike, but sizes or prices stay different, as they do where "
                "they follow the equity."
            )
        return [*found, _RULE]

    def _last(self) -> Grid:
        late = next((each for each in reversed(self.starts) if each.converged is None), None)
        if late is None or late.last_difference is None:
            return Grid(("", ""), frozenset(), [])
        when, whole, started = late.last_difference
        rows = [
            ("whole run", calls_text(whole)),
            (f"started {told_apart(late.start)[0]}", calls_text(started)),
        ]
        return Grid(("last difference", f"{told_apart(when)[0]} UTC"), frozenset(), rows)


_HEADER = ("start (UTC)", "decides the same after", "records", "alike after", "decisions")
_RULE = (
    "A late run begins without a position, with the same cash. Compared are its orders, targets, "
    "cancels and notes at each time of arrival, with their arguments; numbers may differ by the "
    "tolerance, and orders are known by their side, size and prices. It has converged from where "
    f"on all are equal to the end, if at least {_LEAST_PART:.0%} of them follow, and no fewer than "
    f"{_LEAST}."
)
_COLUMNS: dict[str, Any] = {
    "start": _TIME,
    "converged": _TIME,
    "alike": _TIME,
    "seconds": pl.Float64,
    "records_until": pl.Int64,
    "records": pl.Int64,
    "decisions": pl.Int64,
    "last_difference": _TIME,
    "whole_run": pl.String,
    "late_run": pl.String,
}


def _since(start: WarmUp, when: int | None) -> str:
    if when is None:
        return "never"
    return span_text(timedelta(microseconds=(when - start.start) // 1_000))


def _last_of(start: WarmUp) -> tuple[int | None, str | None, str | None]:
    if start.last_difference is None:
        return None, None, None
    when, whole, started = start.last_difference
    return when, calls_text(whole), calls_text(started)


def check_warm_up(
    make_strategy: object,
    data: object,
    *,
    starts: int | Iterable[Any] = 5,
    tolerance: float = 1e-9,
    **same: Any,
) -> WarmUpReport:
    """Start a strategy later, and find from when on it decides as if it had started before.

    An average over the last ten minutes does so after ten minutes, an exponential one after a
    while. A sum from the beginning never does, nor does a timer that starts with the first record
    instead of the full minute: their results depend on where the data begins.

    Parameters
    ----------
    make_strategy
        Returns a fresh strategy for each run; if it takes an argument, it is called with the data
        from the start on. See ``check_lookahead``.
    data
        As ``backtest`` takes it. It is held in memory.
    starts
        How many later starts, spread over the first half of the data, or their times.
    tolerance
        How far two numbers may differ, as a fraction of the larger one.
    **same
        As for ``backtest``.

    Returns
    -------
    WarmUpReport
        ``ok`` if every start converges; ``needed`` is the longest time that one took. A late run
        begins without a position and with the same cash, so that a strategy whose orders depend on
        its position converges once both runs hold the same, and one that sizes its orders by its
        equity becomes alike only.

    Raises
    ------
    InvalidInput
        If an argument or the data cannot be used.
    """
    maker = Maker.of(make_strategy, "check_warm_up")
    allowed = number(tolerance, "tolerance", "a number from 0 on")
    if allowed < 0:
        raise InvalidInput(f"tolerance must be a number from 0 on, not {shown(tolerance)}")
    arguments = RunArguments.of(same, "check_warm_up")
    return _Check(maker, data, arguments, allowed).report(starts)


class _Check:
    """The runs of a check."""

    def __init__(
        self, maker: Maker, data: object, arguments: RunArguments, tolerance: float
    ) -> None:
        self._maker = maker
        self._arguments = arguments
        self._tolerance = tolerance
        self._options, opened = arguments.opened(data, maker.name)
        self._held = HeldData(data, opened.session)

    def report(self, starts: int | Iterable[Any]) -> WarmUpReport:
        full = self._played(None)
        if self._played(None, expected=full).difference is not None:
            return self._trouble(
                "Two equal runs differ, so it is random without a seed, or keeps something from "
                "one run to the next."
            )
        if not full.actions:
            return self._trouble("It never decided anything, so there is nothing to compare.")
        times = _starts(starts, full.times)
        if not times:
            return self._trouble("There are too few records to start later.")
        counted = self._arguments.counted(times, self._options.name)
        return WarmUpReport(self._options.name, tuple(self._late(full, each) for each in counted))

    def _trouble(self, why: str) -> WarmUpReport:
        return WarmUpReport(self._options.name, (), why)

    def _played(self, since: int | None, *, expected: Decisions | None = None) -> Decisions:
        def from_there(rows: Rows) -> pl.DataFrame:
            return rows.frame if since is None else rows.frame.filter(rows.known >= since)

        strategy = self._maker.make(self._held.changed(from_there))
        frames = [from_there(rows) for rows in self._held.tables]
        if since is not None:
            self._begin_books(frames, since)
        tape = self._arguments.tape(self._held.session_of(frames), self._options)
        return play(strategy, tape, self._options, expected=expected)

    def _begin_books(self, frames: list[pl.DataFrame], since: int) -> None:
        """Put a snapshot before the changes of each book, as a recording begins with one."""
        for symbol, keys in books_of(self._held).items():
            behind = [key for key in keys if frames[key].height]
            if not behind:
                continue
            before: list[Any] = [*statuses_of(self._held)]
            for key in keys:
                rows = self._held.tables[key]
                before += records_of(Level2, rows.frame.filter(rows.known < since))
            before.sort(key=lambda row: row.local_timestamp)
            snapshot = book_before(symbol, before, since)
            begun = pl.DataFrame(snapshot, schema=schema_of(Level2), orient="row")
            frames[behind[0]] = pl.concat([begun, frames[behind[0]]])

    def _late(self, full: Decisions, since: int) -> WarmUp:
        late = self._played(since)
        start = late.times[0] if late.times else since
        whole, started = _by_time(full, start), _by_time(late, start)
        decided = sorted({*whole, *started})
        same = self._last_difference(decided, whole, started, _is_same)
        alike = self._last_difference(decided, whole, started, _is_alike)
        last = None if same is None else decided[same]
        converged = _after(same, decided, late.times)
        return WarmUp(
            start=start,
            end=late.times[-1] if late.times else since,
            records=len(late.times),
            decisions=len(decided),
            converged=converged,
            records_until=None if converged is None else bisect_left(late.times, converged),
            alike=_after(alike, decided, late.times),
            last_difference=(
                None if last is None else (last, whole.get(last, ()), started.get(last, ()))
            ),
        )

    def _last_difference(
        self, decided: Sequence[int], whole: _ByTime, started: _ByTime, is_equal: Any
    ) -> int | None:
        """Return the place of the last time at which the two differ."""
        for place in range(len(decided) - 1, -1, -1):
            calls = whole.get(decided[place], ()), started.get(decided[place], ())
            if len(calls[0]) != len(calls[1]):
                return place
            if not all(map(is_equal, *calls, [self._tolerance] * len(calls[0]))):
                return place
        return None


def _starts(starts: int | Iterable[Any], times: Sequence[int]) -> list[int]:
    """Return the times of starts behind the first record."""
    if isinstance(starts, Iterable) and not isinstance(starts, str | Mapping):
        wanted = [instant_ns(each, "starts") or 0 for each in starts]
        for each in wanted:
            if not times[0] < each <= times[-1]:
                raise InvalidInput(
                    f"starts must lie between the first and the last record, not at {shown(each)}"
                )
        return sorted(wanted)
    many = count(starts, "starts", "starts", most=_MOST_STARTS)
    half = len(times) // 2
    chosen = {times[half * part // many] for part in range(1, many + 1)}
    return sorted(each for each in chosen if each > times[0])


def _by_time(decisions: Decisions, start: int) -> _ByTime:
    """Collect what was decided at each time of arrival; a start adds or lacks records of a book."""
    found: _ByTime = {}
    for number_of, calls in decisions.calls.items():
        when = decisions.times[number_of]
        actions = tuple(call for call in calls if call.is_action)
        if actions and when >= start:
            found[when] = found.get(when, ()) + actions
    return found


def _after(last: int | None, decided: Sequence[int], times: Sequence[int]) -> int | None:
    """Return from when on all is equal; None if too little follows the last difference."""
    follow = len(decided) if last is None else len(decided) - 1 - last
    if follow < max(_LEAST, _LEAST_PART * len(decided)):
        return None
    if last is None:
        return times[0]
    return times[bisect_right(times, decided[last])]


def _is_same(one: Call, other: Call, tolerance: float) -> bool:
    if one.name != other.name or len(one.arguments) != len(other.arguments):
        return False
    return all(
        name == named and _is_close(value, its, tolerance)
        for (name, value), (named, its) in zip(one.arguments, other.arguments, strict=True)
    )


def _is_close(value: object, other: object, tolerance: float) -> bool:
    if isinstance(value, Sent) and isinstance(other, Sent):
        return value.text == other.text
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=tolerance, abs_tol=tolerance)
    return value == other


def _is_alike(one: Call, other: Call, _: float) -> bool:
    """Whether two calls are the same but for their numbers."""
    return one.name == other.name and _words(one) == _words(other)


def _words(call: Call) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in call.arguments:
        if call.name == "target" and isinstance(value, float) and name in ("", "size"):
            found.append((name, (value > 0) - (value < 0)))
        elif isinstance(value, Sent):
            found.append((name, value.text.split(" ", 1)[0]))
        elif not isinstance(value, float) and call.name != "note":
            found.append((name, value))
    return found
