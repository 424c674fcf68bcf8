"""Units of time: KuCoin's topics and calls use different ones, so the magnitude decides."""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
from numbers import Integral
from typing import Protocol, runtime_checkable

import numpy as np

from kucoin_research.errors import InvalidInput, MessageBroken, shown

__all__ = [
    "EPOCH",
    "LARGEST_NS",
    "When",
    "datetime_of",
    "instant_ns",
    "refuse_future",
    "to_ns",
    "told_apart",
    "written",
]

#: How a user may write a point in time.
When = str | int | float | date | datetime | np.datetime64 | None

#: The last instant of a signed 64-bit nanosecond clock, in April 2262.
LARGEST_NS = 2**63 - 1

#: The origin of Unix time.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(value: int) -> int:
    """Convert a Unix time in s, ms, µs or ns to nanoseconds.

    Parameters
    ----------
    value
        Seconds if below 1e11, milliseconds below 1e14, microseconds below 1e17, else nanoseconds.

    Returns
    -------
    int
        Nanoseconds since 1970-01-01 UTC.

    Raises
    ------
    MessageBroken
        If it is negative, or after the year 2262, where 64 bits of nanoseconds end.

    Examples
    --------
    >>> to_ns(1_700_000_000) == to_ns(1_700_000_000_000) == to_ns(1_700_000_000_000_000_000)
    True
    """
    if value >= 10**17:  # first, since the busiest topics send nanoseconds
        nanoseconds = value
    elif value >= 10**14:  # µs, since March 1973
        nanoseconds = value * 1_000
    elif value >= 10**11:  # ms, since March 1973
        nanoseconds = value * 1_000_000
    else:  # s, until the year 5138
        nanoseconds = value * 1_000_000_000
    if 0 <= nanoseconds <= LARGEST_NS:
        return nanoseconds
    raise MessageBroken(f"{value} is no time between the years 1970 and 2262, in s, ms, µs or ns")


def datetime_of(ns: int) -> datetime:
    """Return a time in ns since 1970 as a ``datetime`` in UTC, cut to microseconds.

    Any signed 64-bit number of nanoseconds lies between the years 1677 and 2262.
    """
    return EPOCH + timedelta(microseconds=ns // 1_000)


def instant_ns(when: When, name: str) -> int | None:
    """Read a point in time.

    Parameters
    ----------
    when
        ISO text, a date, a datetime (a naive one is UTC), a time of pandas or numpy, or a Unix time
        in s, ms, µs or ns, such as ``time.time()``.
    name
        The argument's name, for error messages.

    Returns
    -------
    int | None
        Nanoseconds since 1970-01-01 UTC; ``None`` for ``None``. For dates before 1678 or after
        2261 the number does not fit into 64 bits.

    Raises
    ------
    InvalidInput
        If it is no time.
    """
    if when is None:
        return None
    # By numpy, since the arithmetic of pandas ends in 2262 and drops nanoseconds.
    if isinstance(when, _OfPandas):
        return _of_numpy(when, when.to_datetime64(), name)
    if isinstance(when, np.datetime64):
        return _of_numpy(when, when, name)
    # A timedelta64 of numpy is registered as an Integral, but is no point in time.
    is_number = isinstance(when, Integral | float) and not isinstance(when, bool | np.timedelta64)
    if is_number and when == when:
        return _of_unix(when, name)  # type: ignore[arg-type]
    if isinstance(when, str):
        return _of_calendar(_of_text(when, name))
    if isinstance(when, date):
        return _of_calendar(when)
    hint = "; take one of it, such as column[0]" if len(getattr(when, "shape", ())) == 1 else ""
    raise InvalidInput(f"{name} must be a time, not {shown(when)}{hint}")


def _of_text(when: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(when)
    except ValueError:
        raise InvalidInput(
            f"{name}={shown(when)} is no time; write it like '2026-11-24' or '2026-11-24T12:00'"
        ) from None


def _of_calendar(when: date) -> int:
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - EPOCH) // timedelta(microseconds=1) * 1_000


@runtime_checkable
class _OfPandas(Protocol):
    """A time of pandas, ``NaT`` also; checked by its method, so that pandas is not imported."""

    def to_datetime64(self) -> np.datetime64: ...


_MONTHS = {"M": 1, "Y": 12}
_PER_UNIT = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9,
    "D": 86_400 * 10**9, "W": 604_800 * 10**9,
}  # fmt: skip
_PER_NS = {"ps": 10**3, "fs": 10**6, "as": 10**9}


def _of_numpy(given: object, when: np.datetime64, name: str) -> int:
    # Computed in Python's integers, since numpy converts units in 64 bits and wraps silently.
    if np.isnat(when):
        raise InvalidInput(f"{name} must be a time, not {shown(given)}")
    unit, step = np.datetime_data(when.dtype)
    ns = _units_ns(int(when.astype(np.int64)) * step, unit)
    if ns is None or not _FIRST_NS <= ns < _LAST_NS:
        raise InvalidInput(f"{name}={shown(given)} lies outside of the years 1 to 9999")
    return ns


def _units_ns(number: int, unit: str) -> int | None:
    """Convert a number of units since 1970 to ns; ``None`` if the year is not 1 to 9999."""
    if unit in _PER_NS:
        return number // _PER_NS[unit]
    if unit not in _MONTHS:
        return number * _PER_UNIT[unit]
    year, month = divmod(number * _MONTHS[unit] + 1970 * 12, 12)
    if not MINYEAR <= year <= MAXYEAR:
        return None
    return (datetime(year, month + 1, 1, tzinfo=UTC) - EPOCH).days * _PER_UNIT["D"]


_FIRST_NS = (datetime.min.replace(tzinfo=UTC) - EPOCH).days * _PER_UNIT["D"]
_LAST_NS = ((datetime.max.replace(tzinfo=UTC) - EPOCH).days + 1) * _PER_UNIT["D"]


def _of_unix(when: Integral | float, name: str) -> int:
    try:
        whole = to_ns(int(when))
    except (ValueError, OverflowError):  # ValueError also if it has more digits than Python writes
        raise InvalidInput(
            f"{name}={shown(when)} is no time between the years 1970 and 2262, in s, ms, µs or ns"
        ) from None
    if isinstance(when, Integral) or not int(when):
        return whole
    # A float of seconds since 1970 is exact to a quarter of a microsecond only.
    return round(when * (whole // int(when)) / 1_000) * 1_000


def refuse_future(start: int | None, now: int) -> None:
    """Check that a history's start is not in the future; otherwise it would come back empty.

    Parameters
    ----------
    start, now
        Both ns UTC; without a start the check passes.

    Raises
    ------
    InvalidInput
        If the start lies after now.
    """
    if start is not None and start > now:
        begin, present = told_apart(start, now)
        raise InvalidInput(
            f"start={begin} lies in the future: it is {present} at the exchange (UTC)"
        )


def told_apart(*times_ns: int) -> list[str]:
    """Write times (ns UTC) to the second, or with as many decimals as make them differ.

    Examples
    --------
    >>> told_apart(1_700_000_000_260_000_000, 1_700_000_000_294_000_000)
    ['2023-11-14 22:13:20.260', '2023-11-14 22:13:20.294']
    """
    seconds = [written(each) for each in times_ns]
    decimals = [f"{each % 10**9:09d}" for each in times_ns]
    for digits in (0, 3, 6, 9):
        point = "." if digits else ""
        texts = [
            f"{second}{point}{decimal[:digits]}"
            for second, decimal in zip(seconds, decimals, strict=True)
        ]
        if len(set(texts)) == len(set(times_ns)):
            break
    return texts


def written(ns: int) -> str:
    """Write an instant (ns UTC) to the second, as ``2026-11-24 12:00:00``."""
    # By numpy, since the last hours of year 9999 west of Greenwich are in 10000 UTC, which a
    # datetime cannot hold.
    return str(np.datetime64(ns // 10**9, "s")).replace("T", " ")
