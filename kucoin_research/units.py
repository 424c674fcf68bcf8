"""Time units: KuCoin's topics and calls disagree, so a time's magnitude tells its unit."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from numbers import Integral

import numpy as np

from kucoin_research.errors import InvalidInput, MessageBroken, shown

__all__ = ["LARGEST_NS", "When", "instant_ns", "refuse_future", "to_ns", "told_apart"]

#: How a user may write a point in time.
When = str | int | float | date | datetime | np.datetime64 | None

#: The last instant of a signed 64-bit nanosecond clock, in April 2262.
LARGEST_NS = 2**63 - 1


def to_ns(value: int) -> int:
    """Bring a Unix time in s, ms, µs or ns to nanoseconds.

    Parameters
    ----------
    value
        Below 1e11 it is seconds, below 1e14 milliseconds, below 1e17 microseconds, else
        nanoseconds.

    Returns
    -------
    int
        Nanoseconds since 1970-01-01 UTC.

    Raises
    ------
    MessageBroken
        If it is negative or lies beyond what 64 bits of nanoseconds reach (the year 2262).

    Examples
    --------
    >>> to_ns(1_700_000_000) == to_ns(1_700_000_000_000) == to_ns(1_700_000_000_000_000_000)
    True
    """
    if value >= 10**17:  # first, as it is what the busiest topics send
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


def instant_ns(when: When, name: str) -> int | None:
    """Read a point in time.

    Parameters
    ----------
    when
        ISO text, a date, a datetime (naive means UTC), one of pandas or numpy, or a Unix time of
        any magnitude, ``time.time()`` also.
    name
        The argument's, for what errors say.

    Returns
    -------
    int | None
        Nanoseconds since 1970-01-01 UTC; None for None.

    Raises
    ------
    InvalidInput
        If it is no time.
    """
    if when is None:
        return None
    if isinstance(when, np.datetime64):
        when = _of_numpy(when)
    is_of_kind = isinstance(when, Integral | float | str | date) and not isinstance(when, bool)
    if not is_of_kind or when != when:
        raise InvalidInput(f"{name} must be a time, not {shown(when)}")
    if isinstance(when, Integral | float):
        return _of_unix(when, name)
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            raise InvalidInput(
                f"{name}={shown(when)} is no time; write it like '2026-11-24' or '2026-11-24T12:00'"
            ) from None
    if not isinstance(when, datetime):
        if not isinstance(when, date):
            raise InvalidInput(f"{name} must be a time, not {shown(when)}")
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    since_epoch = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000_000 + (
        since_epoch.microseconds * 1_000
    )


def _of_numpy(when: np.datetime64) -> int | float:
    return math.nan if np.isnat(when) else int(when.astype("datetime64[ns]").astype(np.int64))


def _of_unix(when: Integral | float, name: str) -> int:
    try:
        whole = to_ns(int(when))
    except (ValueError, OverflowError):  # also where it has more digits than Python writes
        raise InvalidInput(
            f"{name}={shown(when)} is no time between the years 1970 and 2262, in s, ms, µs or ns"
        ) from None
    if isinstance(when, Integral) or not int(when):
        return whole
    # A float of seconds is good to a quarter of a microsecond.
    return round(when * (whole // int(when)) / 1_000) * 1_000


def refuse_future(start: int | None, now: int) -> None:
    """Check that a history begins before now (both ns UTC): else nothing would come, untold.

    Raises
    ------
    InvalidInput
        If it does not.
    """
    if start is not None and start > now:
        begin, present = told_apart(start, now)
        raise InvalidInput(
            f"start={begin} lies in the future: it is {present} at the exchange (UTC)"
        )


def told_apart(*times_ns: int) -> list[str]:
    """Write times (ns UTC) to the second, or with as many decimals as it takes to tell them apart.

    Examples
    --------
    >>> told_apart(1_700_000_000_260_000_000, 1_700_000_000_294_000_000)
    ['2023-11-14 22:13:20.260', '2023-11-14 22:13:20.294']
    """
    seconds = [
        f"{datetime.fromtimestamp(each // 10**9, UTC):%Y-%m-%d %H:%M:%S}" for each in times_ns
    ]
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
