"""Ranges of axes whose values are all equal: plotly would show from 1 below to 1 above."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10
from typing import Any

import numpy as np

from kucoin_research.figures.time_axis import Floats

__all__ = ["last_place", "nice_step", "spanning", "steady"]

# Prices have up to 8 digits, and a mid has one more. A difference behind them is rounding, as in a
# VWAP of trades at one price: a sum of a million floats is exact to 12 digits or so.
_DIGITS = 9
_ROUNDING = 1e-10
_LEAST = 2  # digits behind the first, or the last place of 1 or 100 would be the value itself
_STEPS_AROUND = 2


def last_place(value: float, digits: int = _DIGITS) -> float:
    """Return the step of a value's last decimal place: 0.1 for 65432.1, 1e-8 for 0.00001234.

    Parameters
    ----------
    value
        Any finite number.
    digits
        Number of significant digits.

    Returns
    -------
    float
        A power of ten, at most a hundredth of the value: 0.01 for 1; 0.5 for 0.
    """
    if not value:
        return 0.5
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    places = max(len(mantissa.rstrip("0")) - len("1."), _LEAST)
    return float(f"1e{int(exponent) - places}")


def steady(
    axis: str, values: Iterable[Floats], *, digits: int = _DIGITS, noise: float = 0.0
) -> dict[str, Any]:
    """Choose the range of a linear axis whose values are all equal, up to rounding.

    It shows two steps of the value's last place on either side. Where values differ, plotly
    chooses the range. A zoom still works, since these are options of the automatic range.

    Parameters
    ----------
    axis
        ``"yaxis"``, ``"xaxis"``, ``"yaxis2"``, …
    values
        Of each trace on the axis; NaN where one is missing.
    digits
        Number of a value's digits that a label shows.
    noise
        Largest difference that is rounding only. It matters where the values are themselves
        differences of larger ones.

    Returns
    -------
    dict
        The parts of the layout, by path.
    """
    ranges = [(np.fmin.reduce(each), np.fmax.reduce(each)) for each in values if each.size]
    known = [pair for pair in ranges if np.isfinite(pair).all()]
    if not known:
        return spanning(axis, None)
    low, high = min(float(pair[0]) for pair in known), max(float(pair[1]) for pair in known)
    if high - low > max(noise, _ROUNDING * max(abs(low), abs(high))):
        return spanning(axis, None)
    value = low + (high - low) / 2
    value = 0.0 if abs(value) <= noise else value
    apart = _STEPS_AROUND * last_place(value, digits)
    return spanning(axis, (value - apart, value + apart))


def spanning(axis: str, bounds: tuple[float, float] | None) -> dict[str, Any]:
    """Set the range of a linear axis until it is zoomed; ``None``: plotly chooses."""
    options: dict[str, Any] = {}
    if bounds is not None:
        # Plotly's own range may be wider, then it is clipped, or narrower, then it is extended.
        options = {"clipmin": bounds[0], "clipmax": bounds[1], "include": list(bounds)}
    return {f"{axis}.autorangeoptions": options}


_NICE = (1.0, 2.0, 5.0, 10.0)


def nice_step(size: float) -> float:
    """Round a step up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(size) + 1e-9)
    return next(nice for nice in _NICE if nice * power >= size * (1 - 1e-9)) * power
