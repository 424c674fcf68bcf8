"""The range of a time axis that follows the newest data.

All charts over time take their range from here, so that those with the same window begin and end at
the same time, and one can read across them.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Slots", "begin_of", "followed", "shortest_of"]

# While a window fills, the axis shows the part that has rows, but at least a sixth of the window.
_FULLEST = 6
# A single instant needs a span, too.
_SHORTEST_NS = 1_000_000_000
_ROOM, _ROOM_OF_OUTAGE = 100, 15  # parts of the range; an outage is seen by the room at the right
_LEAST_ROOM_NS = 1_000_000


class Slots(NamedTuple):
    """The spans of equal length that bars fill; the range shows the first and the last one whole.

    Attributes
    ----------
    width
        Length of a slot, ns.
    newest
        Begin of the newest slot, ns.
    least
        The number of slots that the range has room for, at least.
    """

    width: int
    newest: int
    least: int = 1


def shortest_of(window_ns: int | None) -> int:
    """Return the shortest time that an axis with this window shows, ns; ``None``: all data."""
    return _SHORTEST_NS if window_ns is None else max(window_ns // _FULLEST, 1)


def begin_of(oldest: int, newest: int, window_ns: int | None) -> int:
    """Return the begin of the time to show, without any room around it, ns.

    While the window is not full, that is the oldest row.
    """
    if window_ns is None:
        return oldest
    return max(newest - window_ns, min(oldest, newest - shortest_of(window_ns)))


def followed(
    oldest: int,
    newest: int,
    window_ns: int | None,
    *,
    is_out: bool = False,
    slots: Slots | None = None,
) -> tuple[int, int]:
    """Return the range of an axis that follows the newest data.

    Parameters
    ----------
    oldest, newest
        Time of the first and of the last row, ns.
    window_ns
        Length of the followed window; ``None``: all data.
    is_out
        Whether there is an outage now. Its shade needs more room at the right.
    slots
        Of a chart with bars. The range is wider by at most one slot at each end, unless it would
        have room for too few of them.

    Returns
    -------
    tuple of int
        Begin and end, ns.
    """
    begin = begin_of(oldest, newest, window_ns)
    room = _room(newest - begin, is_out=is_out)
    low, high = begin - (room if window_ns is None else 0), newest + room
    if slots is None:
        return low, high
    before = max(-((begin - slots.newest) // slots.width), slots.least - 1)
    return min(low, slots.newest - before * slots.width), max(high, slots.newest + slots.width)


def _room(length: int, *, is_out: bool) -> int:
    if not length:
        return _SHORTEST_NS // 2
    return max(length // (_ROOM_OF_OUTAGE if is_out else _ROOM), _LEAST_ROOM_NS)
