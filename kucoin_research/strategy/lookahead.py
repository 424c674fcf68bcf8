"""Finds strategies that know the future: changes it, and compares what they did before.

freqtrade's ``lookahead-analysis`` inspired it, which compares a full run with runs over data that
is cut at signals, and is blind where no signal came. Here each call of the broker is compared, at
every record up to the point, also where nothing was traded.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from itertools import cycle, pairwise
from typing import Any, NamedTuple

import polars as pl

from kucoin_research.foundation.arguments import count
from kucoin_research.model.units import told_apart
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.strategy.check_text import CheckText, Grid, html_of, text_of
from kucoin_research.strategy.decisions import Decisions, Difference, calls_text, play
from kucoin_research.strategy.held_data import Frames, HeldData, Rows
from kucoin_research.strategy.makers import Maker
from kucoin_research.strategy.mirrored_market import mirrored, mirrors_of, unchanged_columns
from kucoin_research.strategy.outside_data import Outside, outside_data
from kucoin_research.strategy.run_arguments import RunArguments
from kucoin_research.strategy.tape import Tape

__all__ = ["LookaheadReport", "LookaheadVerdict", "check_lookahead"]

#: A decision had a point if one lies at most this many records behind it.
_NEAR = 10
_MOST_POINTS = 10_000
#: Of each table, how many changed rows behind the point stand ready to be played.
_PLAYED_ON = 100
#: Where points lie beside decisions, in records that follow one another: mostly at them, so that
#: the very next row is another one.
_OFFSETS = (0, 1, -1, 0)
_TIME = pl.Datetime("ns", "UTC")

_CUT, _UP, _DOWN = "cut", "up", "down"
_WORDS = {
    _CUT: "the later rows cut away",
    _UP: "the later prices far above",
    _DOWN: "the later prices far below",
}


@unique
class LookaheadVerdict(StrEnum):
    """What a check for look-ahead has found."""

    CLEAN = "NO LOOK-AHEAD FOUND"
    AHEAD = "LOOKS AHEAD"
    RANDOM = "RANDOM WITHOUT A SEED"
    UNKNOWN = "CANNOT SAY"


class _Trial(NamedTuple):
    """One run up to a point, with another future behind it."""

    point: int
    time: int
    future: str
    compared: int
    difference: Difference | None
    refusal: str | None


@dataclass(frozen=True)
class LookaheadReport:
    """What ``check_lookahead`` has found. It prints itself.

    Attributes
    ----------
    name
        Of the strategy.
    verdict
        ``CLEAN``, ``AHEAD``, ``RANDOM`` or ``UNKNOWN``.
    difference
        The earliest record with another decision; None if there is none. ``expected`` holds the
        calls of the broker over the data as it is, ``found`` those with another future.
    points
        How many points were tried.
    records, decisions
        How many records of the data, and how many of them with orders, cancels, targets or notes,
        were compared.
    near
        The share of these decisions behind which a point lies at most 10 records; None without
        decisions.
    reacts
        Whether it decides differently in quite another market; None if that was not tried.
    outside
        Data that it reaches without being given it.
    reasons, limits
        Sentences: why the verdict, and what cannot be seen.
    """

    name: str
    verdict: LookaheadVerdict
    difference: Difference | None
    future: str | None
    points: int
    records: int
    decisions: int
    near: float | None
    reacts: bool | None
    outside: tuple[Outside, ...]
    reasons: tuple[str, ...]
    limits: tuple[str, ...]
    _trials: tuple[_Trial, ...] = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether points were tried, and no look-ahead was found."""
        return self.verdict is LookaheadVerdict.CLEAN

    def to_frame(self) -> pl.DataFrame:
        """Return one row per run.

        Returns
        -------
        pl.DataFrame
            ``point`` (the last record that is as it was, from 0), ``timestamp`` (its arrival),
            ``future`` (``cut``, ``up`` or ``down``), ``compared`` (records), ``is_equal`` (null
            where the strategy could not be made), and of the first record that differs
            ``record``, ``record_timestamp``, ``decision`` and ``changed_decision``.
        """
        rows = []
        for each in self._trials:
            found = each.difference
            rows.append(
                (
                    each.point,
                    each.time,
                    each.future,
                    each.compared,
                    None if each.refusal else found is None,
                    *(
                        (None,) * 4
                        if found is None
                        else (
                            found.number,
                            found.time,
                            calls_text(found.expected),
                            calls_text(found.found),
                        )
                    ),
                )
            )
        return pl.DataFrame(rows, schema=_COLUMNS, orient="row")

    def __str__(self) -> str:
        return text_of(self._text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self._text())

    def _text(self) -> CheckText:
        grids = [Grid(("first difference", ""), frozenset(), self._first())]
        grids.append(Grid(_FUTURE_HEADER, frozenset({1, 2, 3}), self._by_future()))
        grids.append(Grid(("coverage", ""), frozenset({1}), self._coverage()))
        return CheckText(self.name, self.verdict.value, self.ok, self.reasons, grids, self.limits)

    def _first(self) -> list[tuple[str, str]]:
        found = self.difference
        if found is None:
            return []
        first, second = "as it is", _WORDS.get(self.future or "", "a second time")
        return [
            ("record", f"{found.number:,}, {told_apart(found.time)[0]} UTC"),
            ("", found.record),
            (first, calls_text(found.expected)),
            (second, calls_text(found.found)),
        ]

    def _by_future(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for future, words in _WORDS.items():
            runs = [each for each in self._trials if each.future == future]
            if runs:
                refused = sum(each.refusal is not None for each in runs)
                other = sum(each.difference is not None for each in runs)
                equal = len(runs) - refused - other
                rows.append((words, f"{equal:,}", f"{other:,}", f"{refused:,}"))
        return rows

    def _coverage(self) -> list[tuple[str, str]]:
        near = "n/a" if self.near is None else f"{self.near:.0%}"
        reacts = {True: "yes", False: "no", None: "not tried"}[self.reacts]
        return [
            ("points tried", f"{self.points:,}"),
            ("records compared", f"{self.records:,}"),
            ("decisions compared", f"{self.decisions:,}"),
            (f"decisions with a point within {_NEAR} records", near),
            ("decides differently in another market", reacts),
        ]


_FUTURE_HEADER = ("runs with", "equal", "different", "not made")
_COLUMNS: dict[str, Any] = {
    "point": pl.Int64,
    "timestamp": _TIME,
    "future": pl.String,
    "compared": pl.Int64,
    "is_equal": pl.Boolean,
    "record": pl.Int64,
    "record_timestamp": _TIME,
    "decision": pl.String,
    "changed_decision": pl.String,
}


def check_lookahead(
    make_strategy: object, data: object, *, points: int = 20, seed: int = 0, **same: Any
) -> LookaheadReport:
    """Change the future at many points; no earlier decision may differ.

    The strategy is played once over the data as it is. Then, for each point, the rows behind it are
    cut away, replaced by prices far above, and replaced by prices far below, all upside down and
    with other sizes; each time the decisions up to the point are compared. A decision is
    everything that a strategy does with the broker at a record: orders with all their arguments,
    cancels, replacements, targets and notes, and also what it asks. Half of the points are spread
    over the time of the data, the others lie at decisions, one record before, and one behind.

    Parameters
    ----------
    make_strategy
        Returns a fresh strategy for each run. If it needs an argument, or its first one is called
        ``data``, it is given the changed data, so that indicators that are computed beforehand are
        checked: a mapping of frames if ``data`` is one, else a session; both have
        ``frame(channel, symbol=None)``.
    data
        As ``backtest`` takes it. It is held in memory.
    points
        How many points; each takes three runs up to it.
    seed
        Chooses the points and the changes, and seeds the run.
    **same
        As for ``backtest``.

    Returns
    -------
    LookaheadReport
        ``ok`` if nothing was found. It is not ``ok`` either if the strategy differs between two
        equal runs, or holds data that the check cannot change.

    Raises
    ------
    InvalidInput
        If an argument or the data cannot be used.
    """
    maker = Maker.of(make_strategy, "check_lookahead")
    wanted = count(points, "points", "points", most=_MOST_POINTS)
    arguments = RunArguments.of({"seed": seed, **same}, "check_lookahead")
    return _Check(maker, data, arguments, seed).report(wanted)


class _Check:
    """The runs of a check."""

    def __init__(self, maker: Maker, data: object, arguments: RunArguments, seed: int) -> None:
        self._maker = maker
        self._arguments = arguments
        self._seed = seed
        self._options, opened = arguments.opened(data, maker.name)
        self._held = HeldData(data, opened.session)
        self._whole = self._held.changed(_as_it_is)
        played = self._held.played(_as_it_is)
        self._tape: Tape = arguments.tape(played, self._options)
        tables = [*self._held.tables, *(self._held.frames or ())]
        facts = self._tape.instruments
        self._others: dict[str, dict[int | str, pl.DataFrame]] = {}
        for future in (_UP, _DOWN):
            mirrors = mirrors_of(self._held.tables, facts, seed, is_up=future == _UP)
            self._others[future] = {rows.key: mirrored(rows, mirrors, seed) for rows in tables}

    def report(self, points: int) -> LookaheadReport:
        made = self._maker.make(self._whole)
        outside = outside_data(
            [self._maker.source] if self._maker.takes_data else [self._maker.source, made],
            self._held,
        )
        full = play(made, self._tape, self._options)
        again = play(self._maker.make(self._whole), self._tape, self._options, expected=full)
        if again.difference is not None:
            return self._reported(full, [], outside, again.difference)
        chosen = _chosen(full, points, random.Random(self._seed))  # noqa: S311 - not a secret
        wanted = [(point, future) for point in chosen for future in _WORDS]
        counted = self._arguments.counted(wanted, self._options.name)
        trials = [self._tried(full, point, future) for point, future in counted]
        return self._reported(full, trials, outside, None)

    def _tried(self, full: Decisions, point: int, future: str) -> _Trial:
        time = full.times[point]
        try:
            strategy = self._maker.make(self._given(time, future))
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            return _Trial(point, time, future, 0, None, f"{type(error).__name__}: {error}")
        tape = self._played(time, future)
        found = play(strategy, tape, self._options, expected=full, last=point)
        return _Trial(point, time, future, len(found.times), found.difference, None)

    def _given(self, time: int, future: str) -> Session | Frames:
        return self._held.changed(lambda rows: self._spliced(rows, time, future, None))

    def _played(self, time: int, future: str) -> Tape:
        return self._tape_of(
            self._held.played(lambda rows: self._spliced(rows, time, future, _PLAYED_ON))
        )

    def _tape_of(self, session: Session) -> Tape:
        # The gaps of the recording are facts of the run, and so are its markets: a gap that is
        # noticed behind the point began before it, and orders within it met nothing.
        chosen = {name: self._arguments.all[name] for name in ("channels", "symbols")}
        return replace(self._tape, session=session, timeline=Timeline(session, **chosen))

    def _spliced(self, rows: Rows, time: int, future: str, most: int | None) -> pl.DataFrame:
        """Return the rows up to a time as they are, and another future behind them."""
        before = rows.known <= time
        kept = rows.frame.filter(before)
        if future == _CUT:
            return kept
        other = self._others[future][rows.key].filter(~before)
        made = pl.concat([kept, other if most is None else other.head(most)])
        if most is None and not rows.known.is_sorted():
            numbers = pl.Series(range(rows.frame.height), dtype=pl.Int64)
            order = pl.concat([numbers.filter(before), numbers.filter(~before)])
            made = made[order.arg_sort()]
        return made

    def _reacts(self, full: Decisions) -> bool | None:
        """Whether it decides differently where the whole market is another one."""
        try:
            strategy = self._maker.make(
                self._held.changed(lambda rows: self._others[_UP][rows.key])
            )
        except Exception:  # noqa: BLE001 - a user's function may raise anything
            return None
        tape = self._tape_of(self._held.played(lambda rows: self._others[_UP][rows.key]))
        return play(strategy, tape, self._options, expected=full).difference is not None

    # -- the report --------------------------------------------------------------------------------

    def _reported(
        self,
        full: Decisions,
        trials: Sequence[_Trial],
        outside: Sequence[Outside],
        random_at: Difference | None,
    ) -> LookaheadReport:
        differing = [each for each in trials if each.difference is not None]
        first = min(
            differing,
            key=lambda each: each.difference.number if each.difference else 0,
            default=None,
        )
        reacts = self._reacts(full) if trials and full.calls else None
        points = sorted({each.point for each in trials if each.refusal is None})
        compared = max((each.compared for each in trials), default=0)
        actions = [number for number in full.actions if number < compared]
        verdict, reasons = _judged(full, trials, outside, random_at, reacts)
        return LookaheadReport(
            name=self._options.name,
            verdict=verdict,
            difference=random_at or (None if first is None else first.difference),
            future=None if first is None else first.future,
            points=len(points),
            records=compared,
            decisions=len(actions),
            near=_near(actions, points),
            reacts=reacts,
            outside=tuple(outside),
            reasons=tuple(reasons),
            limits=tuple(self._limits()),
            _trials=tuple(trials),
        )

    def _limits(self) -> list[str]:
        found = [
            "look-ahead that changed no decision at the points tried; more points= see more",
            "an indicator that is computed and used in no call of the broker",
            "rows that arrive in the same nanosecond, which are one point",
        ]
        if self._maker.takes_data:
            found.append("files and web pages that the strategy reads itself")
        else:
            found.append(
                f"data other than that which is played: {self._maker.name} takes none. Give it an "
                "argument, and compute indicators from that"
            )
        for rows in self._held.frames or self._held.tables:
            names = unchanged_columns(rows)
            if names:
                found.append(
                    f"wrong values of {', '.join(names)} of {rows.channel}, which are only cut"
                )
        return list(dict.fromkeys(found))


def _as_it_is(rows: Rows) -> pl.DataFrame:
    return rows.frame


def _judged(
    full: Decisions,
    trials: Sequence[_Trial],
    outside: Sequence[Outside],
    random_at: Difference | None,
    reacts: bool | None,
) -> tuple[LookaheadVerdict, list[str]]:
    if random_at is not None:
        why = (
            f"Two equal runs differ from record {random_at.number:,} on, so it is random without a "
            "seed, or keeps something from one run to the next; nothing else was compared."
        )
        return LookaheadVerdict.RANDOM, [why]
    reasons = _notes(full, trials, reacts)
    if any(each.difference is not None for each in trials):
        others = len({each.point for each in trials if each.difference is not None})
        total = len({each.point for each in trials})
        reasons.insert(
            0,
            f"At {others:,} of {total:,} points other rows later made other decisions before.",
        )
        return LookaheadVerdict.AHEAD, reasons
    if outside:
        named = ", ".join(f"{each.name} ({each.kind})" for each in outside)
        reasons.insert(
            0,
            f"It reaches data that this check cannot change: {named}. Let make_strategy take the "
            "data as its argument, and compute everything from that.",
        )
        return LookaheadVerdict.UNKNOWN, reasons
    if not any(each.refusal is None for each in trials) or not full.calls:
        why = "It never called the broker" if not full.calls else "No point could be tried"
        reasons.insert(0, f"{why}, so there is nothing to compare.")
        return LookaheadVerdict.UNKNOWN, reasons
    return LookaheadVerdict.CLEAN, reasons


def _notes(full: Decisions, trials: Sequence[_Trial], reacts: bool | None) -> list[str]:
    found = []
    refused = [each for each in trials if each.refusal is not None]
    if refused:
        found.append(
            f"It could not be made with {len(refused):,} of {len(trials):,} changed futures, "
            f"first because of {refused[0].refusal}."
        )
    if full.ended is not None:
        found.append(f"Only {len(full.times):,} records were played: {full.ended}.")
    if reacts is False:
        found.append(
            "It decided the same in quite another market, so its decisions do not come from these "
            "prices: it goes by the clock, or reads data elsewhere."
        )
    return found


# -- points ------------------------------------------------------------------------------------


def _chosen(full: Decisions, points: int, draw: random.Random) -> list[int]:
    """Choose the records behind which the future is changed."""
    times = full.times
    ends = [at for at in range(len(times) - 1) if times[at] < times[at + 1]]
    if len(ends) <= points:
        return ends
    decided = full.actions or list(full.calls)
    near = min(points // 2, 3 * len(decided))
    chosen = set(_at_decisions(decided, ends, near, draw))
    free = [at for at in ends if at not in chosen]
    return sorted(chosen | set(_spread(free, points - len(chosen), draw)))


def _spread(values: Sequence[int], wanted: int, draw: random.Random) -> list[int]:
    """Draw values from equal parts, one of each."""
    wanted = min(wanted, len(values))
    edges = [len(values) * part // max(1, wanted) for part in range(wanted + 1)]
    return [values[draw.randrange(begin, end)] for begin, end in pairwise(edges)]


def _at_decisions(
    decided: Sequence[int], ends: Sequence[int], wanted: int, draw: random.Random
) -> list[int]:
    """Choose points at decisions, so that the next row is changed, and one before and behind."""
    numbers = _spread(decided, wanted, draw)
    places = [bisect.bisect_left(ends, number) for number in numbers]
    if len(places) < wanted:  # a few decisions: each has all three
        moved = [place + offset for offset in _OFFSETS[:3] for place in places][:wanted]
    else:
        moved = [place + offset for place, offset in zip(places, cycle(_OFFSETS), strict=False)]
    return [ends[min(max(place, 0), len(ends) - 1)] for place in moved]


def _near(decided: Sequence[int], points: Sequence[int]) -> float | None:
    if not decided:
        return None
    close = 0
    for number in decided:
        place = bisect.bisect_left(points, number)
        close += place < len(points) and points[place] - number <= _NEAR
    return close / len(decided)
