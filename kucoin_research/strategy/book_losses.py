"""Recorded books without some of their changes, as a stream would have recorded them.

A stream notices a missing change at the next one, since sequences do not follow; it reports a gap,
asks for a snapshot, and its book is out of step until that has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kucoin_research.errors import BookNotReady
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import Level2, Status
from kucoin_research.sessions.book_rebuild import BookRebuild

__all__ = ["BookRow", "LossyBook", "book_before", "lossy_book"]

#: How long a snapshot takes to come, in ns.
_RESYNC = 1_000_000_000


class BookRow(NamedTuple):
    """A row of ``level2``: the number of its table, the row, and whether it is lost.

    Attributes
    ----------
    is_out
        Whether there was no connection, so that no snapshot came either.
    """

    table: int
    row: Level2
    is_lost: bool
    is_out: bool = False


class LossyBook(NamedTuple):
    """The rows that are left of a book, each with its table, and ``status`` rows about them."""

    rows: list[tuple[int, Level2]]
    statuses: list[Status]


def lossy_book(symbol: str, rows: Sequence[BookRow], statuses: Sequence[Status]) -> LossyBook:
    """Leave rows out of a book, and report and mend that as a stream does.

    Parameters
    ----------
    symbol
        Whose book it is.
    rows
        All rows in order of arrival.
    statuses
        The ``status`` rows of the recording, in order of arrival.

    Returns
    -------
    LossyBook
        One second after a gap was noticed, its rows have a snapshot of the book as it then was.
    """
    walk = _Walk(symbol)
    waiting = iter(statuses)
    status = next(waiting, None)
    for each in rows:
        while status is not None and (status.local_timestamp or 0) <= (each.row[1] or 0):
            walk.true.take([status])
            status = next(waiting, None)
        walk.take(each)
    walk.end()
    return LossyBook(walk.rows, walk.statuses)


class _Walk:
    """Goes through a book's rows; ``true`` is the book with all of them."""

    def __init__(self, symbol: str) -> None:
        self.true = BookRebuild([symbol])
        self.rows: list[tuple[int, Level2]] = []
        self.statuses: list[Status] = []
        self._symbol = symbol
        self._received: Level2 | None = None
        self._lost: list[Level2] = []  # the first and the last of those not noticed yet
        self._due: int | None = None  # when a snapshot comes

    def take(self, each: BookRow) -> None:
        row = each.row
        now = row.local_timestamp or 0
        if each.is_out:
            self._due = None
        if self._due is not None and now > self._due:
            self._snapshot(each.table, max(self._due, self._now))
        self.true.take([row])
        if each.is_lost:
            self._lost = [self._lost[0] if self._lost else row, row]
            return
        if self._lost:
            self._notice(now)
        self.rows.append((each.table, row))
        self._received = row

    def end(self) -> None:
        if self._lost:
            self._notice(self._lost[1].local_timestamp or 0)

    @property
    def _now(self) -> int:
        return 0 if self._received is None else self._received.local_timestamp or 0

    def _notice(self, now: int) -> None:
        first, last = self._lost
        began = self._now or first.local_timestamp
        detail = "missing rows"
        self.statuses.append(
            Status(began, now, self._symbol, "gap", "level2", detail, first.sequence, last.sequence)
        )
        self._lost = []
        if self._due is None:
            self._due = now + _RESYNC

    def _snapshot(self, table: int, when: int) -> None:
        try:
            book = self.true.copy(self._symbol, "the recording")
        except BookNotReady:  # the recording had a gap of its own; its snapshot will do
            return
        if self._lost:  # the snapshot has them
            self._notice(when)
        self.rows += [(table, row) for row in _rows_of(book, when)]
        # A nanosecond later, since status rows come before others of their time.
        number = book.sequence if book.sequence >= 0 else None
        self.statuses.append(
            Status(when, when + 1, self._symbol, "book_ready", "level2", "", None, number)
        )
        self._due = None


def book_before(symbol: str, rows: Iterable[Level2 | Status], when: int) -> list[Level2]:
    """Return the snapshot of a book as it was before a time; no rows if it was not in step."""
    rebuilt = BookRebuild([symbol])
    rebuilt.take(row for row in rows if (row.local_timestamp or 0) < when)
    try:
        return _rows_of(rebuilt.copy(symbol, "the recording"), when)
    except BookNotReady:
        return []


def _rows_of(book: OrderBook, when: int) -> list[Level2]:
    number = book.sequence if book.sequence >= 0 else None
    return [
        Level2(book.timestamp, when, book.symbol, number, True, side, price, size)
        for side, levels in (("buy", book.bids), ("sell", book.asks))
        for price, size in levels
    ]
