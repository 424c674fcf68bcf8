"""Measures of a run: returns on a regular grid, ratios with their errors, drawdowns, trades.

A year has 365 days, since the market never closes. The risk-free rate is zero. A measure without a
meaning is ``None``, never infinite or NaN. No function here asks for a least number of returns:
``LEAST_RETURNS`` is for those who show a ratio to somebody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.spans import merged

__all__ = [
    "LEAST_RETURNS",
    "YEAR_NS",
    "Coverage",
    "Drawdown",
    "Grid",
    "Sharpe",
    "Shortfall",
    "annual_return",
    "deflated_sharpe",
    "drawdown",
    "drawdown_path",
    "expectancy",
    "expected_best_sharpe",
    "probabilistic_sharpe",
    "profit_factor",
    "resample",
    "series_of",
    "sharpe_of",
    "shortfall",
    "sortino",
    "step_of",
    "time_mean",
    "volatility",
    "win_rate",
]

#: Fewer returns than this say nothing about a ratio.
LEAST_RETURNS = 30

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
#: 365 days.
YEAR_NS = 365 * _DAY
# The steps to choose from, the longest first.
# Returns over seconds say nothing about a year, so the shortest step is a minute.
_STEPS = (_DAY, 3_600 * _SECOND, 60 * _SECOND)
_NORMAL = NormalDist()
_EULER = 0.5772156649015329
# Equity of 15 digits makes returns that differ by this much where they are equal.
_ROUNDING = 1e-15
_SAME = 1e-9  # of the largest return

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Span = tuple[int, int]


class Coverage:
    """Measures time (ns) without the gaps of a recording.

    Parameters
    ----------
    begin_ns, end_ns
        The span of the run.
    gaps
        Begin and end of each gap; they may overlap, and reach beyond the span.
    """

    def __init__(self, begin_ns: int, end_ns: int, gaps: Iterable[Span] = ()) -> None:
        self.begin_ns, self.end_ns = begin_ns, max(end_ns, begin_ns)
        within = ((max(begin, self.begin_ns), min(end, self.end_ns)) for begin, end in gaps)
        self.gaps = merged(span for span in within if span[0] < span[1])
        self._begins = np.array([begin for begin, _ in self.gaps], np.int64)
        lengths = np.array([end - begin for begin, end in self.gaps], np.int64)
        self._lengths = lengths
        self._before = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))

    @property
    def covered_ns(self) -> int:
        """The time of the span that is in no gap."""
        return self.end_ns - self.begin_ns - int(self._before[-1])

    def until(self, times: Ints) -> Ints:
        """Return the time in no gap from the begin to each of some times within the span."""
        passed = np.searchsorted(self._begins, times, "left")
        lost = self._before[passed]
        if self._begins.size:
            last = np.maximum(passed - 1, 0)
            inside = np.minimum(times - self._begins[last], self._lengths[last])
            lost = np.where(passed > 0, self._before[last] + inside, 0)
        return np.asarray(times - self.begin_ns - lost, np.int64)

    def steps(self, step_ns: int) -> Ints:
        """List the full steps that are not wholly inside a gap, by number: 0 at the begin.

        Only those are made: short recordings may lie years apart.
        """
        edges = [self.begin_ns, *(edge for gap in self.gaps for edge in gap), self.end_ns]
        first = [(edge - self.begin_ns) // step_ns for edge in edges[::2]]
        behind = [-(-(edge - self.begin_ns) // step_ns) for edge in edges[1::2]]
        count = (self.end_ns - self.begin_ns) // step_ns
        parts = [
            np.arange(low, min(high, count), dtype=np.int64)
            for low, high, begin, end in zip(first, behind, edges[::2], edges[1::2], strict=True)
            if end > begin
        ]
        return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))


@dataclass(frozen=True, slots=True)
class Grid:
    """Equity at regular times, and its returns.

    Attributes
    ----------
    step_ns
        The time between two points.
    times
        ns; the first is the begin of the run. Points at the end of a step that lies wholly inside a
        gap are left out.
    equity
        The last value at or before each time.
    returns
        One per step, from point to point; empty if equity was ever zero or less.
    """

    step_ns: int
    times: tuple[int, ...]
    equity: tuple[float, ...]
    returns: tuple[float, ...]

    @property
    def per_year(self) -> float:
        """The number of steps in a year."""
        return YEAR_NS / self.step_ns

    @property
    def is_ruined(self) -> bool:
        """Whether equity was zero or less at some point, so that no return can follow."""
        return any(each <= 0 for each in self.equity)


def resample(
    equity: pl.DataFrame,
    *,
    initial: float,
    coverage: Coverage,
    step_ns: int | None = None,
) -> Grid:
    """Put equity on a regular grid that begins with the run.

    Parameters
    ----------
    equity
        Columns ``timestamp`` (ns, UTC) and ``equity``, ordered by time.
    initial
        The value before the first row.
    coverage
        The span of the run, and its gaps.
    step_ns
        Left out: the longest of a day, an hour and a minute that makes 30 returns or more, else a
        minute.

    Returns
    -------
    Grid
        Without a last step that is not full, so that all returns are over the same time. The return
        after a gap holds the change during the gap, too.
    """
    step = step_of(coverage) if step_ns is None else step_ns
    if step <= 0:
        raise InvalidInput(f"a step is a positive number of ns, not {shown(step)}")
    return _on_grid(equity, initial, coverage, step)


def step_of(coverage: Coverage) -> int:
    """Choose the time (ns) between two points of a grid, as ``resample`` does by itself."""
    for step in _STEPS[:-1]:
        is_long = coverage.covered_ns >= LEAST_RETURNS * step
        if is_long and coverage.steps(step).size >= LEAST_RETURNS:
            return step
    return _STEPS[-1]


def _on_grid(equity: pl.DataFrame, initial: float, coverage: Coverage, step_ns: int) -> Grid:
    ends = np.append(0, coverage.steps(step_ns) + 1)
    points = coverage.begin_ns + step_ns * ends
    times, known = series_of(equity, "equity")
    values = np.append(initial, known)[np.searchsorted(times, points, "right")]
    returns = values[1:] / values[:-1] - 1 if (values > 0).all() else np.empty(0)
    return Grid(step_ns, tuple(points.tolist()), tuple(values.tolist()), tuple(returns.tolist()))


def series_of(frame: pl.DataFrame, name: str) -> tuple[Ints, Floats]:
    """Return the times (ns) and finite values of a column, in order of time."""
    column = frame.select(pl.col("timestamp").dt.cast_time_unit("ns").to_physical(), name)
    column = column.with_columns(pl.col(name).cast(pl.Float64)).drop_nulls()
    column = column.filter(pl.col(name).is_finite()).sort("timestamp", maintain_order=True)
    return column["timestamp"].to_numpy(), column[name].to_numpy()


# -- ratios ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sharpe:
    """A Sharpe ratio per step, and the shape of the returns that its error depends on.

    Attributes
    ----------
    ratio
        Mean over standard deviation (``ddof=1``) of the returns, not annualised.
    count
        The number of returns.
    skewness, kurtosis
        Of the returns, by their central moments; a normal distribution has 0 and 3.
    """

    ratio: float
    count: int
    skewness: float = 0.0
    kurtosis: float = 3.0

    @property
    def error(self) -> float | None:
        """The standard error of the ratio; ``None`` where it cannot be known.

        Mertens (2002), as in Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier"
        (https://papers.ssrn.com/abstract=1821643).
        """
        spread = 1 - self.skewness * self.ratio + (self.kurtosis - 1) / 4 * self.ratio**2
        if self.count < 2 or spread <= 0:
            return None
        return math.sqrt(spread / (self.count - 1))

    def annual(self, per_year: float) -> float:
        """Return the ratio per year; it assumes that returns do not depend on earlier ones."""
        return self.ratio * math.sqrt(per_year)

    def annual_error(self, per_year: float) -> float | None:
        """Return the standard error of the ratio per year."""
        return None if self.error is None else self.error * math.sqrt(per_year)


def sharpe_of(returns: Sequence[float]) -> Sharpe | None:
    """Compute the Sharpe ratio per step; ``None`` if the returns do not vary.

    Parameters
    ----------
    returns
        Of equal steps.
    """
    values = np.asarray(returns, np.float64)
    deviation = _deviation(values)
    if deviation is None:
        return None
    apart = values - values.mean()
    second = float((apart**2).mean())
    return Sharpe(
        float(values.mean()) / deviation,
        values.size,
        float((apart**3).mean()) / second**1.5,
        float((apart**4).mean()) / second**2,
    )


def _deviation(values: Floats) -> float | None:
    """Return the standard deviation; ``None`` if the values are equal but for rounding."""
    if values.size < 2:
        return None
    deviation = float(values.std(ddof=1))
    is_varied = deviation > max(_ROUNDING, _SAME * float(np.abs(values).max()))
    return deviation if is_varied and math.isfinite(deviation) else None


def volatility(returns: Sequence[float], per_year: float) -> float | None:
    """Compute the standard deviation of returns per year; ``None`` of fewer than two."""
    values = np.asarray(returns, np.float64)
    return None if values.size < 2 else _finite(float(values.std(ddof=1)) * math.sqrt(per_year))


def sortino(returns: Sequence[float], per_year: float) -> float | None:
    """Compute the mean return over the deviation of the losses, per year.

    The squares of the losses are divided by the number of all returns.

    Returns
    -------
    float or None
        ``None`` if there is no loss.
    """
    values = np.asarray(returns, np.float64)
    if not values.size:
        return None
    downside = math.sqrt(float((np.minimum(values, 0.0) ** 2).mean()))
    if downside <= _ROUNDING:
        return None
    return _finite(float(values.mean()) / downside * math.sqrt(per_year))


def probabilistic_sharpe(sharpe: Sharpe, benchmark: float = 0.0) -> float | None:
    """Compute the probability that the true Sharpe ratio exceeds a benchmark.

    Parameters
    ----------
    sharpe
        Measured, per step.
    benchmark
        Per step, too.

    Returns
    -------
    float or None
        From 0 to 1; ``None`` where the ratio has no error.

    Notes
    -----
    Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15 (2012).
    """
    if sharpe.error is None:
        return None
    return _NORMAL.cdf((sharpe.ratio - benchmark) / sharpe.error)


def expected_best_sharpe(variance: float, trials: int) -> float:
    """Compute the largest Sharpe ratio to expect of trials that are all worth nothing.

    Parameters
    ----------
    variance
        Of the trials' Sharpe ratios, per step.
    trials
        The number of all trials ever made, also of those not shown.
    """
    if trials < 1 or variance < 0:
        raise InvalidInput(
            f"the best of {shown(trials)} trials with a variance of {shown(variance)} is unknown"
        )
    if trials == 1:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / trials)
    second = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def deflated_sharpe(sharpe: Sharpe, *, variance: float, trials: int) -> float | None:
    """Compute the probability that the best of several trials is better than luck.

    Parameters
    ----------
    sharpe
        Of the best trial, per step.
    variance, trials
        As for ``expected_best_sharpe``.

    Returns
    -------
    float or None
        From 0 to 1; ``None`` where the ratio has no error.

    Notes
    -----
    Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40
    (2014), https://papers.ssrn.com/abstract=2460551.
    """
    return probabilistic_sharpe(sharpe, expected_best_sharpe(variance, trials))


# -- equity ----------------------------------------------------------------------------------------


def annual_return(begin: float, end: float, span_ns: int) -> float | None:
    """Compute the compound growth per year, as a fraction.

    Returns
    -------
    float or None
        ``None`` if either equity is zero or less, if there is no span, or if the number is too
        large to be one.
    """
    if begin <= 0 or end <= 0 or span_ns <= 0:
        return None
    try:
        return _finite(math.expm1(math.log(end / begin) * (YEAR_NS / span_ns)))
    except OverflowError:
        return None


class Drawdown(NamedTuple):
    """The deepest and the longest fall of equity below an earlier peak.

    ``depth`` is a fraction, zero or less. ``duration_ns`` is the longest time from a peak to its
    recovery, or to the end, and then ``is_recovered`` is false.
    """

    depth: float
    duration_ns: int
    is_recovered: bool


def drawdown_path(equity: Sequence[float] | Floats, initial: float) -> Floats:
    """Return the distance from the highest earlier equity, as fractions of zero or less.

    Parameters
    ----------
    equity
        In order of time.
    initial
        The first peak; it must be positive.
    """
    values = np.asarray(equity, np.float64)
    peaks = np.maximum.accumulate(np.append(initial, values))[1:]
    return np.asarray(values / peaks - 1)


def drawdown(equity: pl.DataFrame, *, initial: float, begin_ns: int, end_ns: int) -> Drawdown:
    """Find the deepest and the longest drawdown.

    Parameters
    ----------
    equity
        Columns ``timestamp`` (ns, UTC) and ``equity``, ordered by time.
    initial
        Equity at ``begin_ns``, the first peak; positive.
    begin_ns, end_ns
        The span of the run.
    """
    times, values = series_of(equity, "equity")
    times = np.append(begin_ns, times)
    below = np.append(0.0, drawdown_path(values, initial))
    peaks = np.flatnonzero(below >= 0)
    # A peak lasts until the next row that is no lower; the row after it is where the fall begins.
    nexts = np.append(peaks[1:], below.size)
    falls = nexts - peaks > 1
    ends = np.append(times, max(end_ns, int(times[-1])))[nexts]
    lengths = np.where(falls, ends - times[peaks], 0)
    longest = int(lengths.argmax())
    is_recovered = not falls[longest] or bool(nexts[longest] < below.size)
    return Drawdown(float(below.min()), int(lengths[longest]), is_recovered)


def time_mean(frame: pl.DataFrame, name: str, *, initial: float, coverage: Coverage) -> float:
    """Average a column over the time of a run, gaps left out.

    Parameters
    ----------
    frame
        Columns ``timestamp`` (ns, UTC) and ``name``: each value holds until the next.
    name
        The column.
    initial
        The value before the first row, also returned where there is no time.
    coverage
        The span of the run, and its gaps.
    """
    times, values = series_of(frame, name)
    edges = np.concatenate(([coverage.begin_ns], times, [coverage.end_ns]))
    weights = np.diff(coverage.until(np.clip(edges, coverage.begin_ns, coverage.end_ns)))
    total = int(weights.sum())
    if total <= 0:
        return initial
    return float(np.append(initial, values) @ weights) / total


# -- trades ----------------------------------------------------------------------------------------


def win_rate(profits: Sequence[float]) -> float | None:
    """Return the share of round trips that made money; ``None`` without any."""
    return sum(each > 0 for each in profits) / len(profits) if profits else None


def profit_factor(profits: Sequence[float]) -> float | None:
    """Return the money won over the money lost; ``None`` if none was lost."""
    lost = -math.fsum(each for each in profits if each < 0)
    return _finite(math.fsum(each for each in profits if each > 0) / lost) if lost > 0 else None


def expectancy(profits: Sequence[float]) -> float | None:
    """Return the mean profit of a round trip; ``None`` without any."""
    return math.fsum(profits) / len(profits) if profits else None


class Shortfall(NamedTuple):
    """The cost of an order against the price when it was decided; in quote currency.

    ``execution`` is the cost of the fills' prices, ``missed`` that of the size never filled.
    """

    execution: float
    fees: float
    missed: float

    @property
    def total(self) -> float:
        """The sum of the three."""
        return self.execution + self.fees + self.missed


def shortfall(
    fills: Iterable[tuple[float, float]],
    *,
    is_buy: bool,
    size: float,
    decision_mid: float,
    end_price: float,
    fees: float = 0.0,
) -> Shortfall:
    """Compute the implementation shortfall of an order (Perold 1988).

    Parameters
    ----------
    fills
        Price and size of each, the size in base units.
    is_buy
        Whether the order buys.
    size
        The size that was wanted.
    decision_mid
        The middle price when the order was decided.
    end_price
        The price at which the size that was not filled is valued.
    fees
        Paid, in quote currency.
    """
    sign = 1.0 if is_buy else -1.0
    done = list(fills)
    execution = math.fsum(each * (price - decision_mid) for price, each in done)
    left = size - math.fsum(each for _, each in done)
    return Shortfall(sign * execution, fees, sign * left * (end_price - decision_mid))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
