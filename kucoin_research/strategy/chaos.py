"""The spread of a result under worse data: slower orders, lost records, outages."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, StrategyFailed, shown
from kucoin_research.foundation.arguments import count, is_number, seconds
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.records import Status
from kucoin_research.sessions.session import Session
from kucoin_research.strategy.backtest import backtest
from kucoin_research.strategy.check_text import CheckText, Grid, html_of, text_of
from kucoin_research.strategy.held_data import Frames, HeldData, Mask, Rows
from kucoin_research.strategy.makers import Maker
from kucoin_research.strategy.market import Span
from kucoin_research.strategy.options import Latency, Strategy
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.result_text import value_text
from kucoin_research.strategy.run_arguments import RunArguments
from kucoin_research.strategy.worse_data import DROPPED, outages_of, worsened

__all__ = ["ChaosReport", "ChaosRun", "chaos"]

Added: TypeAlias = float | tuple[float, float]
Drop: TypeAlias = float | Mapping[str, float]

#: In at least this part of the runs the return must have the sign of the plain one.
_SAME_SIGN = 0.9
_MOST_SEEDS = 10_000
_MOST_OUTAGES = 1_000
_TIME = pl.Datetime("ns", "UTC")
#: The figures that are spread, and whether the worst is the highest; a drawdown is below zero.
_FIGURES = {
    "return_pct": False,
    "max_drawdown_pct": False,
    "sharpe": False,
    "fills": False,
    "fees": True,
}
_HEADER = ("figure", "plain", "median", "5 %", "95 %", "worst")


class ChaosRun(NamedTuple):
    """One run over worse data.

    Attributes
    ----------
    seed
        What decided about its data.
    latency
        The seconds that were added to orders, and to the reports on them.
    lost
        How many records were lost.
    outages
        Begin and end of each, ns UTC.
    figures
        By name.
    fingerprint, ended
        Of the result.
    """

    seed: int
    latency: tuple[float, float]
    lost: int
    outages: tuple[Span, ...]
    figures: Mapping[str, float | None]
    fingerprint: str
    ended: str | None


@dataclass(frozen=True)
class ChaosReport:
    """What ``chaos`` has found. It prints itself.

    Attributes
    ----------
    plain
        The result over the data as it is.
    runs
        Those over worse data.
    conditions
        What was made worse, in words.
    is_repeatable
        Whether two plain runs are equal: if not, the spread is not that of the data.
    """

    plain: Result
    runs: tuple[ChaosRun, ...]
    conditions: str
    is_repeatable: bool

    @property
    def same_sign(self) -> float:
        """The share of runs whose return has the sign of the plain one's; 0 % is a third sign.

        A run whose strategy raised is none of them, unless the plain one did as well.
        """
        wanted = _sign(_figures(self.plain)["return_pct"])
        same = [
            _sign(each.figures["return_pct"]) == wanted
            and (each.ended is None or self.plain.ended is not None)
            for each in self.runs
        ]
        return sum(same) / len(same)

    @property
    def ok(self) -> bool:
        """Whether ``same_sign`` is at least 90 %, and the runs can be repeated."""
        return self.is_repeatable and self.same_sign >= _SAME_SIGN

    def spread(self) -> pl.DataFrame:
        """Return the spread of each figure.

        Returns
        -------
        pl.DataFrame
            ``figure``, ``plain``, ``median``, ``low`` and ``high`` (the quantiles of 5 and 95 %),
            ``worst`` and ``runs``: in how many the figure has a meaning. The worst is the lowest
            return, Sharpe ratio and number of fills, and the deepest drawdown and highest fees.
        """
        plain = _figures(self.plain)
        rows = []
        for name, is_highest in _FIGURES.items():
            values = [each.figures[name] for each in self.runs]
            there = np.array([value for value in values if value is not None], dtype=float)
            ends: Sequence[float | None] = (None,) * 4
            if len(there):
                quantiles = np.quantile(there, (0.5, 0.05, 0.95)).tolist()
                ends = (*quantiles, float(there.max() if is_highest else there.min()))
            rows.append((name, plain[name], *ends, len(there)))
        return pl.DataFrame(rows, schema=_SPREAD, orient="row")

    def to_frame(self) -> pl.DataFrame:
        """Return one row per seed.

        Returns
        -------
        pl.DataFrame
            ``seed``, ``entry_latency`` and ``response_latency`` (seconds added), ``lost``
            (records), ``outages`` (lists of their begins), ``return_pct``, ``max_drawdown_pct``,
            ``sharpe``, ``fills``, ``fees``, ``fingerprint`` and ``ended``.
        """
        rows = [
            (
                each.seed,
                *each.latency,
                each.lost,
                [begin for begin, _ in each.outages],
                *(each.figures[name] for name in _FIGURES),
                each.fingerprint,
                each.ended,
            )
            for each in self.runs
        ]
        return pl.DataFrame(rows, schema=_COLUMNS, orient="row")

    def __str__(self) -> str:
        return text_of(self._text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_of(self._text())

    def _text(self) -> CheckText:
        rows = [
            (name, *(_written(name, value, self.plain.currency) for value in values))
            for name, *values, _ in self.spread().iter_rows()
        ]
        return CheckText(
            self.plain.name,
            self._verdict(),
            self.ok,
            self._sentences(),
            [Grid(_HEADER, frozenset(range(1, len(_HEADER))), rows)],
        )

    def _verdict(self) -> str:
        if not self.is_repeatable:
            return "CANNOT SAY"
        return "KEEPS ITS SIGN" if self.ok else "CHANGES ITS SIGN"

    def _sentences(self) -> list[str]:
        found = [f"{len(self.runs):,} runs with {self.conditions}."]
        if not self.is_repeatable:
            found.append(
                "Two equal runs differ, so it is random without a seed, or keeps something from "
                "one run to the next: pass a class, or a function without arguments that returns "
                "a fresh strategy."
            )
        found.append(
            f"The return has the sign of the plain one in {self.same_sign:.0%} of them; "
            f"{_SAME_SIGN:.0%} are needed."
        )
        raised = sum(each.ended is not None for each in self.runs)
        if raised:
            why = next(each.ended for each in self.runs if each.ended is not None)
            found.append(f"{raised:,} runs ended early, the first of them because {why}.")
        return found


_SPREAD: dict[str, Any] = {
    "figure": pl.String,
    **dict.fromkeys(("plain", "median", "low", "high", "worst"), pl.Float64),
    "runs": pl.Int64,
}
_COLUMNS: dict[str, Any] = {
    "seed": pl.Int64,
    "entry_latency": pl.Float64,
    "response_latency": pl.Float64,
    "lost": pl.Int64,
    "outages": pl.List(_TIME),
    **{name: pl.Int64 if name == "fills" else pl.Float64 for name in _FIGURES},
    "fingerprint": pl.String,
    "ended": pl.String,
}


def _sign(value: float | None) -> int:
    return 0 if value is None else int(np.sign(value))


def _written(name: str, value: float | None, currency: str) -> str:
    if name == "fills":
        return "n/a" if value is None else f"{value:,.0f}"
    return value_text(name, value, currency)


def _figures(result: Result) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in _FIGURES:
        value = result.fills.height if name == "fills" else result.stats[name]
        assert value is None or isinstance(value, int | float)
        found[name] = value
    return found


def chaos(
    strategy: object,
    data: object,
    *,
    latency: Added = 0.0,
    drop: Drop = 0.0,
    outage: Added = 0.0,
    seeds: int | Iterable[int] = 20,
    base_latency: Latency = 0.05,
    **same: Any,
) -> ChaosReport:
    """Run a strategy over worse data, once per seed, and compare the results with the plain one.

    Parameters
    ----------
    strategy
        A class, or a function that returns a fresh strategy and takes nothing or the data, is
        called for each run. An object is copied for each run. A function of record and broker is
        called as it is: what it keeps from one run to the next is found, and said, since then two
        equal runs differ.
    data
        As ``backtest`` takes it. It is held in memory.
    latency
        Seconds to add to ``base_latency``: a number, or a range (low, high) from which each run
        draws one for its orders and one for the reports on them.
    drop
        The fraction of records to lose, or a mapping of channels to fractions. Rows of one message
        of ``level2`` are lost together; the book is out of step from the next one on, until a
        snapshot has come one second later. Rows of ``funding_rate`` and ``status`` stay, unless a
        mapping names the former.
    outage
        Seconds without data at a random time, or (seconds, how many times). Nothing is filled
        within, and orders wait for the first quotes behind it. The strategy is called with the
        ``status`` rows of a lost connection if the data has ``status`` rows at all.
    seeds
        How many runs, or their seeds.
    base_latency
        The latency of the plain run, as ``backtest`` takes it.
    **same
        As for ``backtest``.

    Returns
    -------
    ChaosReport
        ``ok`` if the return has the sign of the plain one in at least 90 % of the runs.

    Raises
    ------
    InvalidInput
        If an argument or the data cannot be used.
    """
    maker = Maker.of_any(strategy, "chaos")
    worse = _Conditions.of(latency, drop, outage, base_latency)
    arguments = RunArguments.of({**same, "latency": base_latency}, "chaos")
    numbers = _seeds(seeds)
    return _Check(maker, data, arguments, worse).report(numbers)


class _Conditions(NamedTuple):
    """What is made worse."""

    latency: tuple[float, float]
    drop: Mapping[str, float]
    outage: int
    times: int
    words: str

    @classmethod
    def of(cls, latency: Added, drop: Drop, outage: Added, base: Latency) -> _Conditions:
        low, high = _pair(latency, "latency")
        if low > high:
            raise InvalidInput(f"latency must be a range (low, high), not {shown(latency)}")
        if high and isinstance(base, str):
            raise InvalidInput(
                'latency is added to base_latency, and "recorded" is no number: pass seconds'
            )
        pair = outage if isinstance(outage, tuple | list) else (outage, 1)
        if len(pair) != 2:
            raise InvalidInput(
                f"outage must be seconds or (seconds, how many times), not {shown(outage)}"
            )
        length, times = pair
        many = count(times, "outage", "outages", most=_MOST_OUTAGES)
        long = seconds(length, "outage")
        lost = _fractions(drop)
        added = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
        words = [
            f"{added} more latency" if high else "",
            f"{_shares(lost)} lost" if any(lost.values()) else "",
            (f"{many:,} outages" if many > 1 else "an outage") + f" of {long:g} s" if long else "",
        ]
        said = ", ".join(filter(None, words)) or "nothing made worse"
        return cls((low, high), lost, round(long * 1e9), many if long else 0, said)


def _pair(value: Added, name: str) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    return seconds(low, name), seconds(high, name)


def _fractions(drop: Drop) -> dict[str, float]:
    given = drop if isinstance(drop, Mapping) else dict.fromkeys(sorted(DROPPED), drop)
    found = {}
    for name, fraction in given.items():
        if not is_number(fraction) or not 0 <= fraction <= 1:
            raise InvalidInput(f"drop must be a fraction from 0 to 1, not {shown(fraction)}")
        found[parse_channel(name).name] = float(fraction)
    return found


def _shares(lost: Mapping[str, float]) -> str:
    values = set(lost.values())
    if set(lost) == DROPPED and len(values) == 1:
        return f"{values.pop():.2%} of the records"
    return ", ".join(f"{part:.2%} of {name}" for name, part in lost.items() if part)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if isinstance(seeds, Iterable):
        found = [count(each, "seeds", "a seed", least=0) for each in seeds]
        if not found:
            raise InvalidInput("seeds is empty, so there would be no run")
        return found
    return list(range(count(seeds, "seeds", "runs", most=_MOST_SEEDS)))


class _Check:
    """The runs of a report."""

    def __init__(
        self, maker: Maker, data: object, arguments: RunArguments, worse: _Conditions
    ) -> None:
        self._maker = maker
        self._arguments = arguments
        self._worse = worse
        _, opened = arguments.opened(data, maker.name)
        self._held = HeldData(data, opened.session)
        self._has_status = any(
            rows.channel == "status" and rows.frame.height for rows in self._held.tables
        )
        self._span = self._held.times()
        if worse.outage and worse.outage >= self._span[1] - self._span[0]:
            raise InvalidInput("outage is longer than the data")

    def report(self, seeds: Sequence[int]) -> ChaosReport:
        given = self._held.changed(_as_it_is)
        session = self._held.played(_as_it_is)
        plain, again = (self._run(self._maker.make(given), session, (0.0, 0.0)) for _ in range(2))
        is_equal = plain.fingerprint == again.fingerprint and plain.orders.equals(again.orders)
        counted = self._arguments.counted(seeds, str(plain.name))
        runs = tuple(map(self._seeded, counted))
        return ChaosReport(plain, runs, self._worse.words, is_equal)

    def _seeded(self, seed: int) -> ChaosRun:
        low, high = self._worse.latency
        draw = np.random.default_rng([seed, 2])
        added = float(draw.uniform(low, high)), float(draw.uniform(low, high))
        outages = outages_of(self._span, self._worse.outage, self._worse.times, seed)
        worse = worsened(self._held, self._worse.drop, outages, seed)
        strategy = self._maker.make(self._given(worse.session, worse.lost))
        result = self._run(self._without_status(strategy), worse.session, added)
        return ChaosRun(
            seed=seed,
            latency=added,
            lost=worse.total,
            outages=tuple(outages),
            figures=_figures(result),
            fingerprint=result.fingerprint,
            ended=result.ended,
        )

    def _given(self, session: Session, lost: Sequence[Mask]) -> Session | Frames:
        """Return the worse data in the shape of the original."""
        if self._held.frames is None:
            return session
        gone = self._held.in_frames(lost)
        return self._held.changed(lambda rows: rows.frame.filter(~pl.Series(gone[rows.key])))

    def _without_status(self, strategy: Strategy) -> Strategy:
        if self._has_status:
            return strategy

        def heard(record: Any, broker: Any) -> None:
            if record.__class__ is not Status:
                strategy(record, broker)

        return heard

    def _run(self, strategy: Strategy, session: Session, added: tuple[float, float]) -> Result:
        options = dict(self._arguments.all)
        options["name"] = options["name"] or self._maker.name
        base = options["latency"]
        if not isinstance(base, str):
            pair = base if isinstance(base, tuple | list) else (base, base)
            options["latency"] = tuple(each + more for each, more in zip(pair, added, strict=True))
        with warnings.catch_warnings():
            # It is in the report, and would be said once per run.
            warnings.simplefilter("ignore", StrategyFailed)
            return backtest(strategy, session, **options)


def _as_it_is(rows: Rows) -> pl.DataFrame:
    return rows.frame
