"""Plays events as hftbacktest does: each clock by itself, in the order of the rows."""

from kucoin_research.bridges.hft_events import (
    BUY,
    DEPTH,
    DEPTH_CLEAR,
    DEPTH_SNAPSHOT,
    EXCH_EVENT,
    LOCAL_EVENT,
    TRADE,
)

CLOCKS = {"local_ts": LOCAL_EVENT, "exch_ts": EXCH_EVENT}
CHANGES = (DEPTH, DEPTH_SNAPSHOT)


def seen(events, clock):
    """Return the rows of one clock, without the flags of both."""
    found = events[events["ev"] & CLOCKS[clock] > 0].copy()
    found["ev"] &= ~sum(CLOCKS.values()) & 0xFFFFFFFF
    return found


def books(events, clock="local_ts"):
    """Yield the time, the bids and the asks behind the last change of each time."""
    bids, asks = {}, {}
    rows = [row for row in seen(events, clock) if int(row["ev"]) & 0xFF != TRADE]
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        apply(row, bids, asks)
        if after is None or after[clock] != row[clock]:
            yield int(row[clock]), dict(bids), dict(asks)


def apply(row, bids, asks):
    kind = int(row["ev"]) & 0xFF
    if kind == DEPTH_CLEAR:
        bids.clear()
        asks.clear()
        return
    assert kind in CHANGES
    levels = bids if int(row["ev"]) & BUY else asks
    if row["qty"]:
        levels[float(row["px"])] = float(row["qty"])
    else:
        levels.pop(float(row["px"]), None)
