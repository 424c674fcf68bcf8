"""Time units: KuCoin's topics and calls disagree, so a time's magnitude tells its unit."""

from __future__ import annotations

from kucoin_research.errors import MessageBroken

__all__ = ["LARGEST_NS", "to_ns"]

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
