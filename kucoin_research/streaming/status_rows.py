"""The status rows that a stream adds to what the exchange sends."""

from __future__ import annotations

from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.records import (
    Status,
    Trade,
)
from kucoin_research.streaming.book_history import Received
from kucoin_research.streaming.gap_fill import Mended

__all__ = ["FloodControl", "filled_rows", "gap_row", "received_row", "status_row"]

# A flood of garbage must not wash all else out of the status channel.
_TOLD_AT_ONCE = 20


_FIRST_WHILE_NS = 1_000_000_000


_LONGEST_WHILE_NS = 60_000_000_000


class FloodControl:
    """Has the first of many troubles told one by one, and then how many there were.

    So many are told at once, and as many again after a while, which doubles as long as it goes on.
    """

    def __init__(self) -> None:
        self.untold = 0
        self._told = 0
        self._ends = 0  # of the while, ns
        self._while = _FIRST_WHILE_NS

    def may_tell(self, now_ns: int) -> bool:
        """Tell whether this one is told; else it is counted."""
        if now_ns >= self._ends:
            goes_on = self._told >= _TOLD_AT_ONCE and now_ns < self._ends + self._while
            self._while = min(2 * self._while, _LONGEST_WHILE_NS) if goes_on else _FIRST_WHILE_NS
            self._ends, self._told = now_ns + self._while, 0
        if self._told >= _TOLD_AT_ONCE:
            self.untold += 1
            return False
        self._told += 1
        return True

    def take_untold(self) -> int:
        """Give how many were not told, once."""
        untold, self.untold = self.untold, 0
        return untold


def gap_row(gap: Gap, tally: Tally, local: int) -> Status:
    """Make the row of a gap; its ``timestamp`` is when it began."""
    told = status_row(
        local, "gap", tally.symbol, tally.channel, gap.reason, gap.first_sequence, gap.last_sequence
    )
    return told._replace(timestamp=gap.began)


def filled_rows(tally: Tally, first: int, count: int, mended: Mended, local: int) -> list[Status]:
    """Make the row that tells of filled ones; see ``records.filled_until``.

    Another one bounds what is missing all the same.
    """
    sequences = [row[3] for row in mended.rows if isinstance(row, Trade)]
    ends = (sequences[0], sequences[-1]) if sequences else (None, None)
    symbol, channel = tally.symbol, tally.channel
    told = status_row(local, "filled", symbol, channel, f"{count:,} rows came by REST", *ends)
    rows = [told._replace(timestamp=first)]
    if not mended.is_whole:
        why = "REST does not reach back to the last row before the outage"
        bounds = (mended.first_missing, mended.last_missing)
        rows.append(status_row(local + 1, "not_filled", symbol, channel, why, *bounds))
    return rows


def received_row(received: Received, symbol: str, local: int) -> Status:
    """Make the row that accounts for the sequences of a book."""
    first, last, unrowed = received
    detail = f"{unrowed:,} of {last - first + 1:,} sequences came without a row"
    return status_row(local, "received", symbol, "level2", detail, first, last)


def status_row(
    local: int,
    event: str,
    symbol: str | None,
    channel: str | None,
    detail: str,
    first_sequence: int | None = None,
    last_sequence: int | None = None,
) -> Status:
    return Status(local, local, symbol, event, channel, detail, first_sequence, last_sequence)
