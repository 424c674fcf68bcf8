"""Numbers and times as a trader reads them."""

from __future__ import annotations

import math

import numpy as np

from kucoin_research.figures.decimals import Decimals
from kucoin_research.figures.time_axis import Times, Zone

__all__ = ["Decimals", "clock", "compact", "duration", "fixed", "moment", "size"]

_UNITS = ("B", "kB", "MB", "GB", "TB")
DASH = "–"


def fixed(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """Write a number with a fixed count of decimals; a dash if it is missing."""
    if value is None or not math.isfinite(value):
        return DASH
    # A number that rounds to 0 has no minus: the z takes it away.
    return f"{value:{'+' if sign else ''}z,.{decimals}f}"


def compact(value: float | None) -> str:
    """Write a quantity in about four figures: ``251.3``, ``12.4k``, ``3.1M``."""
    if value is None or not math.isfinite(value):
        return DASH
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):,.1f}{unit}"
    if value == int(value) and abs(value) < 1e4:
        return f"{int(value):,}"
    if abs(value) >= 100:
        return f"{value:,.1f}" if abs(value) < 1e3 else f"{value:,.0f}"
    # Not 1.234e-05: sizes of coins are read in plain decimals.
    return np.format_float_positional(value, precision=4, fractional=False, trim="-")


def duration(seconds: float) -> str:
    """Write a time span: ``80 ms``, ``4.2 s``, ``3 min``, ``2.5 h``."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def size(count: float) -> str:
    """Write a number of bytes."""
    for unit in _UNITS:
        if count < 1_000 or unit == _UNITS[-1]:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1_000
    raise AssertionError("the last unit takes all")


def clock(times: Times, zone: Zone, *, has_ms: bool = False) -> list[str]:
    """Write times (ns UTC) as the time of day in a zone, to the second or the millisecond."""
    # The axis has floats, in which a whole millisecond may lie just below itself.
    offset_ms = np.rint(zone.to_axis(times) - times / 1e6).astype(np.int64)
    of_day = ((times // 1_000_000 + offset_ms) % 86_400_000).tolist()
    return [_of_day(each)[: None if has_ms else -len(".000")] for each in of_day]


def _of_day(ms: int) -> str:
    seconds = ms // 1_000
    hours, minutes = seconds // 3_600, seconds // 60 % 60
    return f"{hours:02d}:{minutes:02d}:{seconds % 60:02d}.{ms % 1_000:03d}"


def moment(time_ns: int, zone: Zone) -> str:
    """Write a time (ns UTC) with its date, to the millisecond, in a zone."""
    axis_ms = float(zone.to_axis(np.array([time_ns], np.int64))[0])
    return str(np.datetime64(int(axis_ms), "ms")).replace("T", " ")
