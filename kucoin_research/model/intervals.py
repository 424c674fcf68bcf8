"""Reads intervals, such as the length of a bar, in every usual spelling.

``"5m"``, ``"5min"``, ``"5 minutes"``, ``"300s"`` and ``timedelta(minutes=5)`` mean the same.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple, TypeAlias

import numpy as np

from kucoin_research.errors import InvalidInput, shown

__all__ = ["MINUTE", "Interval", "Length", "ambiguity", "parse_interval"]


_MS = 1_000_000
# Largest last: an interval is written in the largest unit that divides it.
_NS = {
    "ms": _MS,
    "s": 1_000 * _MS,
    "min": 60_000 * _MS,
    "hour": 3_600_000 * _MS,
    "day": 86_400_000 * _MS,
    "week": 604_800_000 * _MS,
}
# 64 bits of nanoseconds span 584 years, half of them after 1970; 100 years are well within.
_MOST_MONTHS = 100 * 12
_MOST_NS = 36_525 * _NS["day"]
_SPELLINGS = {
    "ms": "ms msec millisecond milliseconds",
    "s": "s sec secs second seconds",
    "min": "m min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "d day days",
    "week": "w wk week weeks",
    "month": "mo mon month months",
}
_UNITS = {word: unit for unit, words in _SPELLINGS.items() for word in words.split()}
_POLARS = {"min": "m", "hour": "h", "day": "d", "week": "w", "month": "mo"}
_WRITTEN = re.compile(r"\s*(\d{1,9})?\s*([A-Za-z]+)\s*")


class Interval(NamedTuple):
    """A length of time.

    Attributes
    ----------
    number, unit
        ``unit`` is one of ``ms s min hour day week month``, and the largest that divides the
        length: 60 minutes are one hour.
    """

    number: int
    unit: str

    @property
    def name(self) -> str:
        """KuCoin's spelling: ``5min``, ``1hour``."""
        return f"{self.number}{self.unit}"

    @property
    def polars(self) -> str:
        """The spelling of polars: ``5m``, ``1h``."""
        return f"{self.number}{_POLARS.get(self.unit, self.unit)}"

    @property
    def ns(self) -> int | None:
        """The length in nanoseconds; ``None`` for months, since their lengths differ."""
        return None if self.unit == "month" else self.number * _NS[self.unit]


#: How a user may write an interval.
Length: TypeAlias = str | timedelta | np.timedelta64 | Interval

#: The default length of a bar. Compare by ``is`` to see whether the user has left it out.
MINUTE = Interval(1, "min")


def parse_interval(value: object, name: str = "every") -> Interval:
    """Read an interval.

    Parameters
    ----------
    value
        A number and a unit, with or without a space between them; a unit alone means one of it.
        Or a ``timedelta`` of Python, numpy or pandas.
    name
        The argument's name, for error messages.

    Raises
    ------
    InvalidInput
        If it is no interval, 0, ambiguous, or longer than 100 years.

    Examples
    --------
    >>> parse_interval("60 minutes").name
    '1hour'
    """
    if isinstance(value, Interval):
        return value
    if isinstance(value, timedelta | np.timedelta64):
        return _of_span(value, name)
    found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _refusal(value, name)
    number, word = found.groups()
    doubt = ambiguity(value, name)
    if doubt is not None:
        raise InvalidInput(doubt)
    unit = _UNITS.get(word.lower())
    if unit is None or (number is None and len(word) < len("day")):
        raise _refusal(value, name)
    count = 1 if number is None else int(number)
    return (
        _of_months(count, value, name)
        if unit == "month"
        else _of_ns(count * _NS[unit], value, name)
    )


def ambiguity(value: object, name: str) -> str | None:
    """Describe the two meanings of an ambiguous interval; ``None`` if it is not ambiguous."""
    found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] != "M":
        return None
    return f"{name}={shown(value)} may mean minutes or months; write 'min' or 'month'"


# Units as numpy spells them, in ns.
_OF_NUMPY = {
    "W": _NS["week"], "D": _NS["day"], "h": _NS["hour"], "m": _NS["min"], "s": _NS["s"],
    "ms": _MS, "us": 1_000, "ns": 1,
}  # fmt: skip
_MONTHS = {"Y": 12, "M": 1}
_PER_NS = {"ps": 10**3, "fs": 10**6, "as": 10**9}


def _of_span(value: timedelta | np.timedelta64, name: str) -> Interval:
    # Computed in Python's integers, since numpy converts units in 64 bits and wraps silently. A
    # timedelta of pandas goes through numpy, since it may hold ns.
    span = value.to_timedelta64() if hasattr(value, "to_timedelta64") else value
    if isinstance(span, timedelta):
        return _of_ns(span // timedelta(microseconds=1) * 1_000, value, name)
    if np.isnat(span):
        raise _refusal(value, name)
    unit, step = np.datetime_data(span.dtype)
    number = int(span.astype(np.int64)) * step
    if unit in _MONTHS:
        return _of_months(number * _MONTHS[unit], value, name)
    if unit in _PER_NS and number % _PER_NS[unit] == 0:
        return _of_ns(number // _PER_NS[unit], value, name)
    if unit not in _OF_NUMPY:  # a plain number has no unit
        raise _refusal(value, name)
    return _of_ns(number * _OF_NUMPY[unit], value, name)


def _of_months(count: int, value: object, name: str) -> Interval:
    if count <= 0:
        raise _refusal(value, name)
    if count > _MOST_MONTHS:
        raise _too_long(value, name)
    return Interval(count, "month")


def _of_ns(length: int, value: object, name: str) -> Interval:
    if length <= 0 or length % _MS:
        raise _refusal(value, name)
    if length > _MOST_NS:
        raise _too_long(value, name)
    unit = next(each for each in reversed(_NS) if length % _NS[each] == 0)
    return Interval(length // _NS[unit], unit)


def _too_long(value: object, name: str) -> InvalidInput:
    return InvalidInput(f"{name}={shown(value)} is longer than the 100 years that it may be")


def _refusal(value: object, name: str) -> InvalidInput:
    return InvalidInput(
        f"{name}={shown(value)} is no interval; write it like '10s', '5min', '1hour' or '1day'"
    )
