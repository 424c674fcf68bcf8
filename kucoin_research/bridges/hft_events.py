"""Events as hftbacktest 2 takes them, and the order that its two clocks demand.

The layout of a row and the numbers of its flags are those of ``hftbacktest.types`` 2.4.4, compared
by a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BUY",
    "DEPTH",
    "DEPTH_CLEAR",
    "DEPTH_SNAPSHOT",
    "EVENT_DTYPE",
    "EXCH_EVENT",
    "LOCAL_EVENT",
    "SELL",
    "TRADE",
    "Events",
    "in_both_orders",
    "new_events",
]

#: Events, one a row.
Events = npt.NDArray[Any]

#: Type of a row. Times are ns; ``order_id``, ``ival`` and ``fval`` are not used here, and 0.
EVENT_DTYPE = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)

#: The kinds, in the lowest byte of ``ev``.
DEPTH, TRADE, DEPTH_CLEAR, DEPTH_SNAPSHOT = 1, 2, 3, 4
#: Flags of ``ev``: by which clocks a row counts, and the side of the book or of the taker.
EXCH_EVENT, LOCAL_EVENT, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28


def new_events(rows: int) -> Events:
    """Make an array of empty events."""
    return np.zeros(rows, EVENT_DTYPE)


def in_both_orders(groups: Sequence[Events]) -> Events:
    """Merge events so that each clock sees them in order.

    An event that both clocks see at the same place is one row with both flags. Where the clocks see
    events in another order, an event becomes two rows: one for each clock.

    Parameters
    ----------
    groups
        Events without the flags of clocks. Of events with the same time, those of an earlier group
        and place come first.

    Returns
    -------
    Events
        Rows with ``EXCH_EVENT`` ascend by ``exch_ts``, those with ``LOCAL_EVENT`` by ``local_ts``.
    """
    events = np.concatenate([new_events(0), *groups])
    count = len(events)
    by_local = np.argsort(events["local_ts"], kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(events["exch_ts"], kind="stable")] = np.arange(count)
    # In the order of arrival: how far along the exchange's order its clock has come by then. Events
    # that raise this are in one place for both clocks.
    ranks = rank[by_local]
    reached = np.maximum.accumulate(ranks) if count else ranks
    is_late = ranks != reached
    both, late = by_local[~is_late], by_local[is_late]
    # The exchange sees a late event before the first one, in order of arrival, of a higher rank.
    ahead = np.searchsorted(reached, rank[late], side="left")
    places = np.arange(count)
    order = np.lexsort(
        (
            np.concatenate([rank[both], rank[late], rank[late]]),
            np.concatenate([np.ones(len(both)), np.zeros(len(late)), np.ones(len(late))]),
            np.concatenate([places[~is_late], ahead, places[is_late]]),
        )
    )
    flags = np.concatenate(
        [
            np.full(len(both), EXCH_EVENT | LOCAL_EVENT, dtype=np.uint64),
            np.full(len(late), EXCH_EVENT, dtype=np.uint64),
            np.full(len(late), LOCAL_EVENT, dtype=np.uint64),
        ]
    )
    merged: Events = events[np.concatenate([both, late, late])[order]]
    merged["ev"] |= flags[order]
    return merged
