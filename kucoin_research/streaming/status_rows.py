"""The status rows that a stream adds to the rows of the exchange."""

from __future__ import annotations

from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.records import STAMPED_AS_READ, Status
from kucoin_research.streaming.book_history import Received

__all__ = ["FloodControl", "gap_row", "received_row", "released_row", "status_row"]

# A flood of broken messages must not push everything else out of the status channel, so at most
# this many are reported in a period. The period doubles, up to the longest, while the flood lasts.
_REPORTED_AT_ONCE = 20
_FIRST_PERIOD_NS = 1_000_000_000
_LONGEST_PERIOD_NS = 60_000_000_000

# Rows that waited for longer than this, for the rows that belong before them, are reported.
_REPORTED_WAIT_NS = 1_000_000_000


def status_row(
    local: int,
    event: str,
    symbol: str | None,
    channel: str | None,
    detail: str,
    first_sequence: int | None = None,
    last_sequence: int | None = None,
) -> Status:
    """Make a status row whose two times are the same stamp, ns UTC."""
    return Status(local, local, symbol, event, channel, detail, first_sequence, last_sequence)


def gap_row(gap: Gap, tally: Tally, local: int) -> Status:
    """Make the row of a gap; its ``timestamp`` is when the gap began."""
    row = status_row(
        local, "gap", tally.symbol, tally.channel, gap.reason, gap.first_sequence, gap.last_sequence
    )
    return row._replace(timestamp=gap.began)


def received_row(received: Received, symbol: str, local: int) -> Status:
    """Make the row that accounts for the sequences of a book."""
    first, last, unrowed = received
    detail = f"{unrowed:,} of {last - first + 1:,} sequences came without a row"
    return status_row(local, "received", symbol, "level2", detail, first, last)


def released_row(tally: Tally, count: int, since: int, local: int) -> Status | None:
    """Make the row that reports rows delivered now, although they were read earlier.

    Parameters
    ----------
    tally
        Of their channel and symbol.
    count
        How many they are.
    since
        When the first of them was read, ns UTC.
    local
        The next stamp.

    Returns
    -------
    Status | None
        ``None`` if they waited for a moment only.
    """
    if local - since < _REPORTED_WAIT_NS:
        return None
    is_book = tally.channel == "level2"
    what = f"{count:,} row" + "s" * (count > 1)
    stamped = "their local timestamps are of when they were given"
    detail = (
        f"{what} waited for what belongs before them, up to {(local - since) / 1e9:.1f} s: "
        f"{stamped if is_book else STAMPED_AS_READ}"
    )
    row = status_row(local, "released", tally.symbol, tally.channel, detail)
    return row._replace(timestamp=local - count if is_book else since)


class FloodControl:
    """Lets the first of many troubles be reported one by one, and counts the others.

    Attributes
    ----------
    unreported
        How many were counted since the last report.
    """

    def __init__(self) -> None:
        self.unreported = 0
        self._reported = 0  # in this period
        self._ends = 0  # of the period, ns
        self._period = _FIRST_PERIOD_NS

    def may_report(self, now_ns: int) -> bool:
        """Return whether to report this one; otherwise count it."""
        if now_ns >= self._ends:
            goes_on = self._reported >= _REPORTED_AT_ONCE and now_ns < self._ends + self._period
            longer = min(2 * self._period, _LONGEST_PERIOD_NS)
            self._period = longer if goes_on else _FIRST_PERIOD_NS
            self._ends, self._reported = now_ns + self._period, 0
        if self._reported >= _REPORTED_AT_ONCE:
            self.unreported += 1
            return False
        self._reported += 1
        return True

    def take_unreported(self) -> int:
        """Return how many were not reported, and start to count again."""
        unreported, self.unreported = self.unreported, 0
        return unreported
