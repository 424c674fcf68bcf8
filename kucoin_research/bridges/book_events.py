"""Events of the changes of a book: while it was in step, from each snapshot to the next loss.

The book that hftbacktest keeps from them is the one that ``RebuiltBook`` keeps from the same rows:
empty before the first snapshot and while it was not in step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.bridges.hft_events import (
    BUY,
    DEPTH,
    DEPTH_CLEAR,
    DEPTH_SNAPSHOT,
    SELL,
    Events,
    new_events,
)
from kucoin_research.bridges.missing_spans import MissingSpan
from kucoin_research.model.records import Status, local_timestamp_of
from kucoin_research.sessions.book_rebuild import known_range
from kucoin_research.sessions.files.csv_codec import records_of

__all__ = ["Stretch", "book_events", "cleared", "stretches"]

Ints = npt.NDArray[np.int64]

_EVENTS = ("disconnected", "gap", "resync", "unsubscribed", "book_ready")
_UNNUMBERED = -1


class Stretch(NamedTuple):
    """Rows of a book in step: a snapshot and the changes behind it.

    Attributes
    ----------
    first, behind
        The places of its first row, and of the first row behind it.
    changes
        The place of the first row behind the snapshot.
    lost_at
        When the recorder noticed that the book was lost, local ns UTC; ``None`` if the next
        snapshot came while it was in step, or the recording ended.
    """

    first: int
    changes: int
    behind: int
    lost_at: int | None


def book_events(
    rows: pl.DataFrame,
    status: pl.DataFrame | None,
    symbol: str,
    spans: Sequence[MissingSpan] = (),
) -> Events:
    """Make events of one symbol's ``level2`` rows.

    Parameters
    ----------
    rows
        In order of arrival, none without a price.
    status
        The rows of the stream's ``status``; without them, no loss is known.
    symbol
        Theirs.
    spans
        Where nothing was recorded, and no row of ``status`` says so.

    Returns
    -------
    Events
        In the order of the book, with exchange times that never go back. No row at all where there
        is no snapshot. All levels of a snapshot arrive with its last row.
    """
    statuses = [] if status is None else _about(status, symbol)
    statuses += [
        Status(span.began, span.began, symbol, "gap", "level2", None, None, None) for span in spans
    ]
    found = stretches(rows, sorted(statuses, key=local_timestamp_of))
    columns = _Columns.of(rows)
    parts = [part for each in found for part in _of_stretch(columns, each, symbol)]
    events = np.concatenate([new_events(0), *parts])
    # A later change of a book cannot be earlier at the exchange, but a snapshot by REST may bear
    # the time of its answer, which is later than the changes behind it.
    events["exch_ts"] = np.maximum.accumulate(events["exch_ts"]) if len(events) else 0
    return events


class _Columns(NamedTuple):
    """Columns of ``level2`` rows as arrays."""

    sent: Ints
    arrived: Ints
    side: npt.NDArray[np.uint64]
    price: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> _Columns:
        is_bid = (rows["side"].cast(pl.String) == "buy").to_numpy()
        return cls(
            rows["timestamp"].to_physical().to_numpy(),
            rows["local_timestamp"].to_physical().to_numpy(),
            np.where(is_bid, BUY, SELL).astype(np.uint64),
            rows["price"].to_numpy(),
            rows["size"].fill_null(0.0).to_numpy(),
        )


def _of_stretch(columns: _Columns, stretch: Stretch, symbol: str) -> Iterator[Events]:
    first, changes, behind, lost_at = stretch
    arrived = columns.arrived[changes - 1]
    yield cleared(columns.sent[first], arrived)
    whole = _made(columns, np.arange(first, changes), DEPTH_SNAPSHOT)
    whole["local_ts"] = arrived
    yield whole
    prices, is_bid = whole["px"], (whole["ev"] & BUY) > 0
    floor, ceiling = known_range(symbol, prices[is_bid].tolist(), prices[~is_bid].tolist())
    later = slice(changes, behind)
    is_bid = columns.side[later] == BUY
    is_known = np.where(is_bid, columns.price[later] >= floor, columns.price[later] <= ceiling)
    yield _made(columns, changes + np.flatnonzero(is_known), DEPTH)
    if lost_at is not None:
        yield cleared(columns.sent[behind - 1], max(lost_at, int(columns.arrived[behind - 1])))


def _made(columns: _Columns, places: Ints, kind: int) -> Events:
    events = new_events(len(places))
    events["ev"] = columns.side[places] | np.uint64(kind)
    events["exch_ts"] = columns.sent[places]
    events["local_ts"] = columns.arrived[places]
    events["px"] = columns.price[places]
    events["qty"] = columns.size[places]
    return events


def cleared(sent: int, arrived: int) -> Events:
    """Make the event that empties both sides of a book."""
    events = new_events(1)
    events["ev"], events["exch_ts"], events["local_ts"] = DEPTH_CLEAR, sent, arrived
    return events


# -- where the book was in step --------------------------------------------------------------------


def _about(status: pl.DataFrame, symbol: str) -> list[Status]:
    """Return the status rows that concern a symbol's book, in order."""
    event = pl.col("event").cast(pl.String)
    is_its = (pl.col("channel").cast(pl.String) == "level2") & (
        (pl.col("symbol").cast(pl.String) == symbol)
        | ((event == "resync") & pl.col("detail").str.starts_with(f"{symbol}:"))
    )
    rows = status.filter(event.is_in(_EVENTS) & ((event == "disconnected") | is_its))
    records = records_of(Status, rows.sort("local_timestamp", maintain_order=True))
    return [row for row in records if isinstance(row, Status)]


def stretches(rows: pl.DataFrame, statuses: list[Status]) -> list[Stretch]:
    """List the stretches of ``level2`` rows in which the book was in step.

    Parameters
    ----------
    rows
        In order of arrival.
    statuses
        The rows ``disconnected``, ``gap``, ``resync``, ``unsubscribed`` and ``book_ready`` about
        the book, in order.
    """
    sequence = rows["sequence"].fill_null(_UNNUMBERED).to_numpy()
    arrived = rows["local_timestamp"].to_physical().to_numpy()
    is_snapshot = rows["is_snapshot"].fill_null(value=False).to_numpy()
    begins = _begins(sequence, arrived, is_snapshot)
    watch = _Watch(sequence, is_snapshot)
    times = np.array([each.local_timestamp or 0 for each in statuses], dtype=np.int64)
    places = np.searchsorted(arrived, times, side="right").tolist()
    marks: list[tuple[int, int, Status | None]] = [(int(each), 0, None) for each in begins]
    # A status row behind the last row before a snapshot comes before that snapshot.
    marks += [(place, -1, each) for place, each in zip(places, statuses, strict=True)]
    for place, _, status in sorted(marks, key=lambda mark: mark[:2]):
        if status is None:
            watch.begin(place)
        else:
            watch.note(place, status)
    return watch.close()


def _begins(sequence: Ints, arrived: Ints, is_snapshot: npt.NDArray[np.bool_]) -> Ints:
    """Find the first row of each snapshot: its rows share a sequence, or else their arrival."""
    is_first = is_snapshot.copy()
    another = np.where(
        sequence[1:] >= 0, sequence[1:] != sequence[:-1], arrived[1:] != arrived[:-1]
    )
    is_first[1:] &= ~is_snapshot[:-1] | another
    return np.flatnonzero(is_first)


class _Watch:
    """Follows whether a book is in step, from snapshots and status rows in order."""

    def __init__(self, sequence: Ints, is_snapshot: npt.NDArray[np.bool_]) -> None:
        self._sequence = sequence
        self._behind_snapshot = np.flatnonzero(~is_snapshot)
        self._found: list[Stretch] = []
        self._first: int | None = None  # of the stretch that goes on
        self._doubt: tuple[int, int, int] | None = None  # place, time, sequence before it
        self._reported: tuple[int, int] | None = None  # a sequence, and the place it holds until

    def begin(self, place: int) -> None:
        """Note that a snapshot begins at a row."""
        self._decide(place)
        if self._doubt is not None:
            self._end(*self._doubt[:2])
        self._end(place, None)
        self._first = place
        self._reported = None

    def note(self, place: int, status: Status) -> None:
        """Note a status row that came before a row."""
        self._decide(place)
        if status.event == "book_ready":
            self._doubt = None
            if status.last_sequence is not None:
                self._reported = status.last_sequence, place
        elif status.event == "disconnected":
            # The row does not say which symbols were on that connection.
            if self._first is not None and self._doubt is None:
                self._doubt = place, status.local_timestamp or 0, self._at(place)
        elif status.event in ("resync", "unsubscribed") or self._lacks(place, status):
            if self._doubt is not None:
                self._end(*self._doubt[:2])
            self._end(place, status.local_timestamp)

    def close(self) -> list[Stretch]:
        """Return the stretches, the last one up to the end of the rows."""
        self._decide(len(self._sequence))
        if self._doubt is not None:
            self._end(*self._doubt[:2])
        self._end(len(self._sequence), None)
        return self._found

    def _decide(self, place: int) -> None:
        """Decide a doubt by the first row behind it: it goes on with the very next sequence."""
        if self._doubt is None or place <= self._doubt[0]:
            return
        row, when, before = self._doubt
        self._doubt = None
        if before < 0 or self._sequence[row] != before + 1:
            self._end(row, when)

    def _at(self, place: int) -> int:
        """Return the book's sequence before a row."""
        if self._reported is not None and self._reported[1] == place:
            return self._reported[0]  # changes without a row have advanced it
        return int(self._sequence[place - 1]) if place else _UNNUMBERED

    def _lacks(self, place: int, gap: Status) -> bool:
        """Whether the gap's changes are missing in the book; a later snapshot may contain them."""
        first, last = gap.first_sequence, gap.last_sequence
        if first is None or last is None:
            return True
        if last < first:  # the exchange has renumbered the book
            return self._at(place) == last
        return self._at(place) < last

    def _end(self, behind: int, lost_at: int | None) -> None:
        if self._first is None:
            return
        later = np.searchsorted(self._behind_snapshot, self._first)
        is_there = later < len(self._behind_snapshot)
        changes = int(self._behind_snapshot[later]) if is_there else len(self._sequence)
        self._found.append(Stretch(self._first, min(changes, behind), behind, lost_at))
        self._first = self._doubt = None
