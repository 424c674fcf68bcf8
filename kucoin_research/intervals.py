"""How long a bar or a view is, in the many ways in which it is written: one reader for all.

``"5m"``, ``"5min"``, ``"5 minutes"``, ``"300s"`` and ``timedelta(minutes=5)`` mean the same.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

from kucoin_research.errors import InvalidInput, shown

__all__ = ["Interval", "parse_interval"]

_MS = 1_000_000
# Largest last: an interval is told in the largest unit that it is a whole number of.
_NS = {
    "ms": _MS,
    "s": 1_000 * _MS,
    "min": 60_000 * _MS,
    "hour": 3_600_000 * _MS,
    "day": 86_400_000 * _MS,
    "week": 604_800_000 * _MS,
}
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
        ``unit`` is one of ``ms s min hour day week month``, and the largest that fits: 60 minutes
        are an hour.
    """

    number: int
    unit: str

    @property
    def name(self) -> str:
        """As KuCoin writes it: ``5min``, ``1hour``."""
        return f"{self.number}{self.unit}"

    @property
    def polars(self) -> str:
        """As polars writes it: ``5m``, ``1h``."""
        return f"{self.number}{_POLARS.get(self.unit, self.unit)}"

    @property
    def ns(self) -> int | None:
        """Nanoseconds; ``None`` for months, which differ."""
        return None if self.unit == "month" else self.number * _NS[self.unit]


def parse_interval(value: object, name: str = "every") -> Interval:
    """Read an interval.

    Parameters
    ----------
    value
        A number and a unit, with or without a space between; a unit alone is one of it. Or a
        ``timedelta``.
    name
        The argument's, for what errors say.

    Raises
    ------
    InvalidInput
        If it is none, or nothing at all.

    Examples
    --------
    >>> parse_interval("60 minutes").name
    '1hour'
    """
    if isinstance(value, timedelta):
        return _of_ns(value // timedelta(microseconds=1) * 1_000, value, name)
    found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _refusal(value, name)
    number, word = found.groups()
    if word == "M":
        raise InvalidInput(
            f"{name}={shown(value)} may mean minutes or months; write 'min' or 'month'"
        )
    unit = _UNITS.get(word.lower())
    if unit is None or (number is None and len(word) < len("day")):
        raise _refusal(value, name)
    count = 1 if number is None else int(number)
    if unit == "month":
        if not count:
            raise _refusal(value, name)
        return Interval(count, unit)
    return _of_ns(count * _NS[unit], value, name)


def _of_ns(length: int, value: object, name: str) -> Interval:
    if length <= 0 or length % _MS:
        raise _refusal(value, name)
    unit = next(each for each in reversed(_NS) if length % _NS[each] == 0)
    return Interval(length // _NS[unit], unit)


def _refusal(value: object, name: str) -> InvalidInput:
    return InvalidInput(
        f"{name}={shown(value)} is no interval; write it like '10s', '5min', '1hour' or '1day'"
    )
