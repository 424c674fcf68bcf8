"""Candles that lack a part of their time, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kucoin_research.figures.gaps import BETWEEN, Mapped
from kucoin_research.figures.time_axis import Times, Zone

__all__ = ["cuts_of", "running_of"]

_MINUTE, _DAY = 60_000_000_000, 86_400_000_000_000
_LOST = ("gap", "outage", BETWEEN)  # a gap that was filled costs nothing, a silence perhaps nothing


def cuts_of(
    opens: Times,
    ends: Times,
    since: int,
    gaps: Iterable[Mapped],
    *,
    width: int,
    zone: Zone,
    rows: str,
) -> dict[int, str]:
    """Find the candles that are made of a part of their time, with the words for it.

    Parameters
    ----------
    opens, ends
        Open times in order, and the ends, ns.
    since
        Time of the first row, ns. What came before it is not known.
    gaps
        Placed on the clock of the rows.
    width, zone
        The interval, ns, and the zone of the times in the words.
    rows
        The name of the rows that they are made of.

    Returns
    -------
    dict
        The words, by place in ``opens``.
    """
    found: dict[int, str] = {}
    first = int(np.searchsorted(opens, since, "right")) - 1
    if first >= 0 and opens[first] < since < ends[first]:
        found[first] = f"partial: {rows} since {_clock(since, width, zone)}"
    for gap in gaps:
        if gap.kind not in _LOST:
            continue
        low = int(np.searchsorted(ends, gap.begin, "right"))
        high = opens.size if gap.end is None else int(np.searchsorted(opens, gap.end, "left"))
        for place in range(low, high):
            found.setdefault(place, f"partial: {_of_gap(gap, width, zone)}")
    return found


def running_of(opens: Times, width: int, until: int, *, zone: Zone, rows: str) -> str:
    """Return the words for the newest candle if its time is not over; else nothing.

    ``until`` is the time, ns, up to which the rows reach; the other parameters are as above.
    """
    if not opens.size or not 0 <= until - int(opens[-1]) < width:
        return ""
    return f"not over: {rows} until {_clock(until, width, zone)}"


def _of_gap(gap: Mapped, width: int, zone: Zone) -> str:
    begin = _clock(gap.begin, width, zone)
    if gap.end is None:
        return f"{gap.kind} since {begin}"
    return f"{gap.kind} from {begin} to {_clock(gap.end, width, zone)}"


def _clock(time_ns: int, width: int, zone: Zone) -> str:
    return zone.written(time_ns, has_date=width >= _DAY, has_ms=width < _MINUTE)
