"""Averages that move along arrays, and start anew behind a gap.

Each function takes arrays of one length; NaN is a missing value. A row with a missing value, or one
that ``begins`` marks, ends the run of rows before it. Nothing is computed across the end of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = [
    "Booleans",
    "Floats",
    "average_true_range",
    "deviating_vwap",
    "exponential_average",
    "moving_average",
    "relative_strength",
]

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

# A variance is 0 if it is smaller than this fraction of its terms: the rest is rounding.
_ROUNDING = 1e-14


def moving_average(values: Floats, window: int, begins: Booleans | None = None) -> Floats:
    """Average the newest rows; NaN until the window is full."""
    return _line_by_run(lambda part: _mean(part, window), (values,), begins, least=window)


def exponential_average(values: Floats, window: int, begins: Booleans | None = None) -> Floats:
    """Average exponentially with the factor ``2 / (window + 1)``, from the first full window on."""
    factor = 2 / (window + 1)
    return _line_by_run(
        lambda part: _smoothed(part, window, factor), (values,), begins, least=window
    )


def average_true_range(
    high: Floats, low: Floats, close: Floats, window: int, begins: Booleans | None = None
) -> Floats:
    """Average the true ranges like Wilder; NaN until there are ``window`` of them."""

    def of_run(high: Floats, low: Floats, close: Floats) -> Floats:
        before = close[:-1]
        ranges = np.maximum(high[1:], before) - np.minimum(low[1:], before)
        return _smoothed(ranges, window, 1 / window)

    return _line_by_run(of_run, (high, low, close), begins, least=window + 1)


def relative_strength(values: Floats, window: int, begins: Booleans | None = None) -> Floats:
    """Compute Wilder's index of the changes, 0 to 100; NaN until there are ``window`` of them."""

    def of_run(values: Floats) -> Floats:
        changes = np.diff(values)
        gains = _smoothed(np.maximum(changes, 0.0), window, 1 / window)
        losses = _smoothed(np.maximum(-changes, 0.0), window, 1 / window)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(100 * gains / (gains + losses), np.float64)

    return _line_by_run(of_run, (values,), begins, least=window + 1)


def deviating_vwap(
    price: Floats, size: Floats, window: int | None = None, begins: Booleans | None = None
) -> tuple[Floats, Floats]:
    """Average prices by size, and compute the standard deviation of the prices, by size too.

    Without a window both are of all rows of the run so far.
    """
    both = _by_run(
        lambda price, size: _vwap(price, size, window),
        (price, size),
        begins,
        least=window or 1,
        lines=2,
    )
    return both[0], both[1]


def _by_run(
    function: Callable[..., Floats],
    columns: tuple[Floats, ...],
    begins: Booleans | None,
    *,
    least: int,
    lines: int = 1,
) -> npt.NDArray[np.float64]:
    """Apply a function to each run; its values are those of the newest rows of the run."""
    found = np.full((lines, columns[0].size), np.nan)
    for run in _runs(columns, begins, least):
        made = function(*(column[run] for column in columns))
        found[:, run.stop - made.shape[-1] : run.stop] = made
    return found


def _line_by_run(
    function: Callable[..., Floats],
    columns: tuple[Floats, ...],
    begins: Booleans | None,
    *,
    least: int,
) -> Floats:
    line: Floats = _by_run(function, columns, begins, least=least)[0]
    return line


def _runs(columns: tuple[Floats, ...], begins: Booleans | None, least: int) -> Iterator[slice]:
    there = np.logical_and.reduce([np.isfinite(column) for column in columns])
    starts = there.copy()
    starts[1:] &= ~there[:-1] if begins is None else ~there[:-1] | begins[1:]
    ends = there.copy()
    ends[:-1] &= ~there[1:] if begins is None else ~there[1:] | begins[1:]
    firsts, lasts = np.flatnonzero(starts), np.flatnonzero(ends) + 1
    is_long = lasts - firsts >= least
    for first, last in zip(firsts[is_long].tolist(), lasts[is_long].tolist(), strict=True):
        yield slice(first, last)


def _mean(values: Floats, window: int) -> Floats:
    means = pl.Series(values).rolling_mean(window, min_samples=window).to_numpy()
    return np.asarray(means[window - 1 :], np.float64)


def _smoothed(values: Floats, window: int, factor: float) -> Floats:
    """Smooth exponentially from the plain average of the first window on."""
    seeded = np.concatenate(([values[:window].mean()], values[window:]))
    return pl.Series(seeded).ewm_mean(alpha=factor, adjust=False).to_numpy()


def _vwap(price: Floats, size: Floats, window: int | None) -> Floats:
    # Squares of the distances to one of the prices lose fewer digits than squares of prices.
    origin = price[0]
    apart = price - origin
    traded, first, second = (
        _sum(each, window) for each in (size, size * apart, size * apart * apart)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, square = first / traded, second / traded
    variance = square - mean * mean
    variance[variance < _ROUNDING * square] = 0.0
    mean, variance = (np.where(traded > 0, each, np.nan) for each in (mean, variance))
    return np.stack((origin + mean, np.sqrt(variance)))


def _sum(values: Floats, window: int | None) -> Floats:
    if window is None:
        return np.cumsum(values)
    sums = pl.Series(values).rolling_sum(window, min_samples=window).to_numpy()
    return np.asarray(sums[window - 1 :], np.float64)
