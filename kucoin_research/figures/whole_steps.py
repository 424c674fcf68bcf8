"""Prices and sizes as whole numbers of their last decimal place, so that sums are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kucoin_research.figures.time_axis import Floats

__all__ = ["Steps", "decimal_places", "exact_totals", "to_steps", "written"]

#: Whole numbers; of Python's own where 64 bits would not hold their sum.
Steps = npt.NDArray[Any]

_MOST_PLACES = 15
_MOST_STEPS = 2.0**62
_ERROR = 1e-15  # relative, of a product of two decimal numbers times a power of ten


def decimal_places(values: Floats, least: int = 0) -> int:
    """Count the decimal places that write all values exactly, from ``least`` up to 15."""
    for places in range(least, _MOST_PLACES):
        scaled = values * 10.0**places
        if (np.abs(scaled - np.rint(scaled)) <= _ERROR * np.abs(scaled) + 1e-13).all():
            return places
    return _MOST_PLACES


def to_steps(values: Floats, places: int) -> Steps:
    """Count the steps of the last decimal place in each value."""
    scaled = np.rint(values * 10.0**places)
    if not scaled.size or float(np.abs(scaled).max()) * scaled.size < _MOST_STEPS:
        return scaled.astype(np.int64)
    return np.array([int(each) for each in scaled.tolist()], object)


def exact_totals(values: Floats) -> Floats:
    """Return the cumulative sum, of decimal numbers without the errors of binary fractions."""
    places = decimal_places(values)
    if places == _MOST_PLACES:  # quotients, for example, are no decimal numbers
        return np.cumsum(values)
    totals = np.cumsum(to_steps(values, places))
    return np.array([each / 10**places for each in totals.tolist()], float)


def written(steps: int, places: int) -> str:
    """Write a whole number of steps, such as 1234567 at two places as ``12,345.67``."""
    if places <= 0:
        return f"{steps:,}"
    whole, rest = divmod(abs(steps), 10**places)
    return f"{'-' if steps < 0 else ''}{whole:,}.{rest:0{places}d}"
