"""The rows of an order book, and the account of the sequences that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kucoin_research.model.orderbook import BookDelta, BookSnapshot
from kucoin_research.model.records import Level2

__all__ = ["BookHistory", "Received", "snapshot_rows"]


class Received(NamedTuple):
    """All sequences of a book from ``first`` to ``last`` are accounted for.

    ``unrowed`` of them were received and have no row: fillers, which change no level. Each other
    one is in the rows, or in a ``BookGap``.
    """

    first: int
    last: int
    unrowed: int


class BookHistory:
    """Makes the rows of deltas, each sequence once, and counts the sequences without a row.

    Attributes
    ----------
    began
        The sequence at which the history begins, itself excluded; ``None`` before it has begun.
    last
        The last sequence whose rows were made, -1 before any. While rows are held it is behind the
        sequence of the book.
    unrowed
        Sequences without a row that ``take_received`` has not reported yet.
    """

    __slots__ = ("_reported", "began", "last", "unrowed")

    def __init__(self) -> None:
        self.began: int | None = None
        self.last = -1
        self.unrowed = 0
        self._reported = -1  # up to here `take_received` has reported

    def rows_of(self, delta: BookDelta, local: int, up_to: int | None = None) -> list[Level2]:
        """Make the rows of a delta that were not made yet.

        Parameters
        ----------
        delta
            The next one in order.
        local
            Stamp of the first row, ns UTC; further rows take the following integers.
        up_to
            Leave changes behind this sequence out.
        """
        before, last = self.last, delta.last_sequence
        if up_to is not None and up_to < last:
            last = up_to
        rows: list[Level2] = []
        rowed, previous = 0, before
        timestamp, symbol = delta.timestamp, delta.symbol
        for change in delta.changes:
            sequence = change.sequence
            if before < sequence <= last:
                _, side, price, size = change
                stamp = local + len(rows)
                rows.append(Level2(timestamp, stamp, symbol, sequence, False, side, price, size))
                rowed += sequence != previous  # one sequence may change several levels
                previous = sequence
        if last > before:
            self.unrowed += last - max(before, delta.first_sequence - 1) - rowed
            self.last = last
        return rows

    def take_received(self) -> Received | None:
        """Account for the sequences since the last call; ``None`` if there are none."""
        if self.began is None:
            return None
        first, unrowed = max(self._reported, self.began) + 1, self.unrowed
        if self.last < first:
            return None
        self._reported, self.unrowed = self.last, 0
        return Received(first, self.last, unrowed)

    def restart(self) -> None:
        """Forget everything: the exchange has renumbered the book."""
        self.began = None
        self.last = self._reported = -1
        self.unrowed = 0


def snapshot_rows(snapshot: BookSnapshot, local: int) -> Iterator[Level2]:
    """Make the rows of a snapshot, bids before asks, stamped from ``local`` on."""
    symbol, sequence, timestamp, bids, asks, _ = snapshot
    for side, levels in (("buy", bids), ("sell", asks)):
        for price, size in levels:
            yield Level2(timestamp, local, symbol, sequence, True, side, price, size)
            local += 1
