"""Whether recorded rows of an order book are complete, proven by the status rows.

A ``received`` row counts, for a span of sequences, those that came without a row. ``gap`` rows list
sequences that did not come at all, ``filled`` rows those that came late. Every other sequence is in
a row. So the files alone prove which rows are complete, and show where a row was removed.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.foundation.forking import cached_property
from kucoin_research.model.records import number_in

__all__ = ["BookCheck", "BookStory", "stories_of"]

_Integers: TypeAlias = npt.NDArray[np.int64]

_UNROWED = re.compile(r"[\d,]+")
_EVENTS = ("gap", "filled", "received")
# Oddities of one kind that are reported for one piece of a file.
_MOST = 11


class _Span(NamedTuple):
    stamp: int
    first: int
    last: int
    unrowed: int = 0


class BookStory:
    """Collects the status rows about one symbol's order book."""

    def __init__(self) -> None:
        self.gaps: list[_Span] = []
        self.late: list[_Span] = []
        self.received: list[_Span] = []
        self.rebases: list[int] = []  # time stamps

    def add(self, event: str, stamp: int, first: int, last: int, detail: str) -> None:
        """Add one status row that has bounds."""
        if event == "gap" and last < first:
            self.rebases.append(stamp)
        elif event == "gap":
            self.gaps.append(_Span(stamp, first, last))
        elif event == "filled":
            self.late.append(_Span(stamp, first, last))
        elif (found := _UNROWED.match(detail)) is not None:
            self.received.append(_Span(stamp, first, last, number_in(found[0])))

    def numbering(self, stamp: int) -> int:
        """Count how often the exchange had renumbered the book before a time."""
        return bisect_left(self._stamps, stamp)

    def missing_within(self, account: _Span) -> int:
        """Count the sequences of an account that are reported missing and did not come late."""
        numbering = self.numbering(account.stamp)
        missing, late = (spans.get(numbering) for spans in self._counts)
        return sum(
            sign * count.within(account.first, account.last)
            for sign, count in ((1, missing), (-1, late))
            if count is not None
        )

    # Computed once, when all rows are added: there may be many thousands of each.

    @cached_property
    def _stamps(self) -> list[int]:
        return sorted(self.rebases)

    @cached_property
    def _counts(self) -> tuple[dict[int, _Coverage], dict[int, _Coverage]]:
        return self._by_numbering(self.gaps), self._by_numbering(self.late)

    def _by_numbering(self, spans: list[_Span]) -> dict[int, _Coverage]:
        found: dict[int, list[_Span]] = {}
        for span in spans:
            if span.first <= span.last:
                found.setdefault(self.numbering(span.stamp), []).append(span)
        return {numbering: _Coverage(its) for numbering, its in found.items()}


class _Coverage:
    """Counts the sequences that some spans cover; where spans overlap, each counts."""

    def __init__(self, spans: list[_Span]) -> None:
        self._firsts = sorted(span.first for span in spans)
        self._lasts = sorted(span.last for span in spans)
        self._sums_of_firsts = [0, *accumulate(self._firsts)]
        self._sums_of_lasts = [0, *accumulate(self._lasts)]

    def within(self, first: int, last: int) -> int:
        """Count those from one sequence to another, both included."""
        return max(0, self._upto(last) - self._upto(first - 1)) if first <= last else 0

    def _upto(self, number: int) -> int:
        begun, ended = bisect_right(self._firsts, number), bisect_left(self._lasts, number)
        open_ = begun * (number + 1) - self._sums_of_firsts[begun]
        return open_ - (ended * number - self._sums_of_lasts[ended])


def stories_of(rows: pl.DataFrame) -> Iterator[tuple[str, str, int, int, int, str]]:
    """Select the status rows about books: symbol, event, stamp, bounds and detail of each."""
    relevant = rows.filter(
        pl.col("event").cast(pl.String).is_in(_EVENTS),
        pl.col("channel").cast(pl.String) == "level2",
        *(pl.col(name).is_not_null() for name in ("symbol", "first_sequence", "last_sequence")),
    ).select(
        pl.col("symbol").cast(pl.String),
        pl.col("event").cast(pl.String),
        pl.col("local_timestamp").to_physical(),
        "first_sequence",
        "last_sequence",
        pl.col("detail").fill_null(""),
    )
    yield from relevant.iter_rows()


class BookCheck:
    """Checks the rows of one symbol's book, over all of its files, in order.

    Parameters
    ----------
    story
        The status rows about it.

    Attributes
    ----------
    unexplained
        Sequences of the current file that are in no row, no gap and no account.
    jumps
        Places in the current file where such sequences are.
    first_jump
        The line behind the first of these places.
    """

    def __init__(self, story: BookStory) -> None:
        self._story = story
        self._accounts = sorted(story.received)
        self._ends = np.array([each.stamp for each in self._accounts], dtype=np.int64)
        self._firsts = np.array([each.first for each in self._accounts], dtype=np.int64)
        self._lasts = np.array([each.last for each in self._accounts], dtype=np.int64)
        self._rowed = np.zeros(len(self._accounts), dtype=np.int64)
        self._files: list[str | None] = [None] * len(self._accounts)
        self._gaps = _union(story.gaps)
        self._rebases = np.array(sorted(story.rebases), dtype=np.int64)
        self._numbering = 0
        self._last: int | None = None  # the last sequence of this file
        self._newest: int | None = None  # the last sequence of all files
        self._begun: int | None = None  # the account in which the rows begin
        self._slack = 0
        self._level: tuple[object, ...] | None = None
        self.unexplained = 0
        self.jumps = 0
        self.first_jump: int | None = None

    def begin_file(self) -> None:
        """Begin with another file."""
        self.unexplained = self.jumps = 0
        self.first_jump = self._last = self._level = None

    def take(self, file: str, rows: pl.DataFrame, lines: _Integers) -> Iterator[tuple[int, str]]:
        """Check the next rows of a file; yield each disorder with its line.

        Parameters
        ----------
        file
            Its name.
        rows, lines
            ``Level2`` rows whose sequence and stamp are not null, and their lines.
        """
        if rows.is_empty():
            return
        sequences, is_snapshot = rows["sequence"].to_numpy(), rows["is_snapshot"].to_numpy()
        stamps = rows["local_timestamp"].to_physical().to_numpy()
        goes_on = sequences[0] == self._newest  # one message may be in the files of two days
        before = self._before(sequences, stamps)
        # Each history begins with a snapshot, which may have any sequence. A message of the pro
        # feed has one sequence for all its changes, each of another level; so only a repeated level
        # is a repeat.
        is_repeat = (sequences == before) & self._is_same_level(rows)
        is_back = ~is_snapshot & ((sequences < before) | is_repeat)
        for at in np.flatnonzero(is_back)[:_MOST]:
            yield int(lines[at]), f"{sequences[at]} comes after {before[at]}"
        accounts = np.searchsorted(self._ends, stamps, "left")
        if self._begun is None:
            following = int(sequences[0]) + bool(is_snapshot[0])
            self._begin_with(int(accounts[0]), int(stamps[0]), following)
        is_new = ~is_snapshot & (sequences > before)
        is_new[0] &= not goes_on
        self._count(file, accounts[is_new], sequences[is_new])
        jumps = np.flatnonzero(~is_snapshot & (sequences > before + 1))
        self._note_jumps(before[jumps] + 1, sequences[jumps] - 1, accounts[jumps], lines[jumps])

    def _before(self, sequences: _Integers, stamps: _Integers) -> _Integers:
        """Return the sequence before each; where the numbering begins, the one that fits."""
        before = np.empty_like(sequences)
        before[1:] = sequences[:-1]
        before[0] = sequences[0] - 1 if self._last is None else self._last
        numbering = np.searchsorted(self._rebases, stamps, "left")
        begins = np.diff(numbering, prepend=self._numbering) != 0
        before[begins] = sequences[begins] - 1
        self._last = self._newest = int(sequences[-1])
        self._numbering = int(numbering[-1])
        return before

    def _is_same_level(self, rows: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Return for each row whether it is of the same level as the row before."""
        levels = rows.select(pl.col("side").cast(pl.String), "price", "is_snapshot")
        first, self._level = self._level, levels.row(-1)
        same = (levels == levels.shift(1)).fill_null(value=False)
        found: npt.NDArray[np.bool_] = np.logical_and.reduce(
            [same[name].to_numpy() for name in levels.columns]
        )
        found[0] = levels.row(0) == first
        return found

    def _begin_with(self, place: int, stamp: int, following: int) -> None:
        """Note in which account the rows begin, and how many sequences of it may be before."""
        self._begun = place
        if place == len(self._accounts):
            return
        account, story = self._accounts[place], self._story
        if story.numbering(stamp) == story.numbering(account.stamp):
            self._slack = max(0, following - account.first)

    def _count(self, file: str, accounts: _Integers, sequences: _Integers) -> None:
        is_accounted = accounts < len(self._accounts)
        accounts, sequences = accounts[is_accounted], sequences[is_accounted]
        within = (self._firsts[accounts] <= sequences) & (sequences <= self._lasts[accounts])
        accounts = accounts[within]
        self._rowed += np.bincount(accounts, minlength=len(self._accounts))
        for account in np.unique(accounts):
            self._files[account] = file

    def _note_jumps(
        self, first: _Integers, last: _Integers, accounts: _Integers, lines: _Integers
    ) -> None:
        """Note the jumps that neither a gap nor an account explains."""
        in_gaps = _covered(self._gaps, last) - _covered(self._gaps, first - 1)
        unexplained = last - first + 1 - in_gaps
        is_open = (unexplained > 0) & (accounts >= len(self._accounts))
        if is_open.any():
            self.unexplained += int(unexplained[is_open].sum())
            self.jumps += int(is_open.sum())
            if self.first_jump is None:
                self.first_jump = int(lines[is_open][0])

    def finish(self) -> Iterator[tuple[str | None, str]]:
        """Compare the rows with the accounts, once; yield each difference and its file."""
        begun = len(self._accounts) if self._begun is None else self._begun
        for place in range(begun, len(self._accounts)):
            account = self._accounts[place]
            numbers = account.last - account.first + 1
            expected = numbers - account.unrowed - self._story.missing_within(account)
            short = expected - int(self._rowed[place])
            if 0 <= short <= (self._slack if place == begun else 0):
                continue
            what = f"{short:,} of {expected:,} sequences that were received have no row"
            if short < 0:
                what = f"{-short:,} rows are of sequences that came without one"
            yield self._files[place], f"from {account.first} to {account.last}, {what}"


def _union(spans: Sequence[_Span]) -> _Integers:
    """Join spans that meet; return, ascending, each one's first, last, and the count before it."""
    joined: list[list[int]] = []
    for span in sorted(spans, key=lambda each: each.first):
        if joined and span.first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], span.last)
        else:
            joined.append([span.first, span.last])
    found = np.array(joined, dtype=np.int64).reshape(-1, 2)
    before = np.concatenate(([0], np.cumsum(found[:, 1] - found[:, 0] + 1)[:-1]))
    table: _Integers = np.column_stack((found, before[: len(found)]))
    return table


def _covered(gaps: _Integers, numbers: _Integers) -> _Integers:
    """Count the sequences in gaps up to each of these numbers."""
    if not len(gaps):
        return np.zeros_like(numbers)
    place = np.searchsorted(gaps[:, 0], numbers, "right") - 1
    first, last, before = gaps[np.maximum(place, 0)].T
    within: _Integers = before + np.clip(np.minimum(numbers, last) - first + 1, 0, None)
    return np.where(place < 0, 0, within)
