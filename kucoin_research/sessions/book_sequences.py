"""Whether recorded rows of a book are all that was received of it, as the status rows tell.

Of each span of sequences a ``received`` row tells how many came without a row, and ``gap`` rows
tell what did not come at all; ``filled`` ones, what came late. Every other number is in a row: so
the files alone prove what is whole, and show where a row was taken out.
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
# Oddities of one kind that are told of one piece of a file.
_MOST = 11


class _Span(NamedTuple):
    stamp: int
    first: int
    last: int
    unrowed: int = 0


class BookStory:
    """What the status rows tell of one symbol's book."""

    def __init__(self) -> None:
        self.gaps: list[_Span] = []
        self.late: list[_Span] = []
        self.received: list[_Span] = []
        self.rebases: list[int] = []  # stamps

    def add(self, event: str, stamp: int, first: int, last: int, detail: str) -> None:
        """Take one status row with bounds."""
        if event == "gap" and last < first:
            self.rebases.append(stamp)
        elif event == "gap":
            self.gaps.append(_Span(stamp, first, last))
        elif event == "filled":
            self.late.append(_Span(stamp, first, last))
        elif (found := _UNROWED.match(detail)) is not None:
            self.received.append(_Span(stamp, first, last, number_in(found[0])))

    def numbering(self, stamp: int) -> int:
        """Count how often the exchange had renumbered the book before that stamp."""
        return bisect_left(self._stamps, stamp)

    def missing_within(self, account: _Span) -> int:
        """Count the numbers of an account that are told missing, and did not come late."""
        numbering = self.numbering(account.stamp)
        missing, late = (spans.get(numbering) for spans in self._counts)
        return sum(
            sign * count.within(account.first, account.last)
            for sign, count in ((1, missing), (-1, late))
            if count is not None
        )

    # Asked for once all is told: there may be many thousands of each.

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
    """How many numbers some spans have up to one; where they overlap, each counts."""

    def __init__(self, spans: list[_Span]) -> None:
        self._firsts = sorted(span.first for span in spans)
        self._lasts = sorted(span.last for span in spans)
        self._sums_of_firsts = [0, *accumulate(self._firsts)]
        self._sums_of_lasts = [0, *accumulate(self._lasts)]

    def within(self, first: int, last: int) -> int:
        """Count those from one number to another."""
        return max(0, self._upto(last) - self._upto(first - 1)) if first <= last else 0

    def _upto(self, number: int) -> int:
        begun, ended = bisect_right(self._firsts, number), bisect_left(self._lasts, number)
        open_ = begun * (number + 1) - self._sums_of_firsts[begun]
        return open_ - (ended * number - self._sums_of_lasts[ended])


def stories_of(rows: pl.DataFrame) -> Iterator[tuple[str, str, int, int, int, str]]:
    """Pick what tells of books out of status rows: symbol, event, stamp, bounds and detail."""
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
        What the status rows tell of it.
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
        self._numbering = 0  # of the last row
        self._last: int | None = None  # sequence of this file
        self._newest: int | None = None  # and of all files
        self._begun: int | None = None  # the first account that is one of these rows'
        self._slack = 0
        self._level: tuple[object, ...] | None = None  # of the last row
        self.unexplained = 0  # numbers of the file of which nothing tells
        self.jumps = 0
        self.first_jump: int | None = None  # line behind it

    def begin_file(self) -> None:
        """Begin with another file."""
        self.unexplained = self.jumps = 0
        self.first_jump = self._last = self._level = None

    def take(self, file: str, rows: pl.DataFrame, lines: _Integers) -> Iterator[tuple[int, str]]:
        """Check the next rows of a file; gives what is out of order, with its line.

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
        goes_on = sequences[0] == self._newest  # a message may be in the files of two days
        before = self._before(sequences, stamps)
        # Each history begins with a snapshot, which may be of any sequence. One message of the pro
        # feed has a single sequence for all its changes, which are of different levels.
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
        """Give the sequence before each; where the numbering begins, the one that fits."""
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
        """Tell of each row whether it is of the level of the one before."""
        levels = rows.select(pl.col("side").cast(pl.String), "price", "is_snapshot")
        first, self._level = self._level, levels.row(-1)
        same = (levels == levels.shift(1)).fill_null(value=False)
        found: npt.NDArray[np.bool_] = np.logical_and.reduce(
            [same[name].to_numpy() for name in levels.columns]
        )
        found[0] = levels.row(0) == first
        return found

    def _begin_with(self, place: int, stamp: int, following: int) -> None:
        """Note in which account the rows begin, and how many of its numbers may be before them."""
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
        """Note the holes that neither a gap nor an account explains."""
        in_gaps = _covered(self._gaps, last) - _covered(self._gaps, first - 1)
        unexplained = last - first + 1 - in_gaps
        is_open = (unexplained > 0) & (accounts >= len(self._accounts))
        if is_open.any():
            self.unexplained += int(unexplained[is_open].sum())
            self.jumps += int(is_open.sum())
            if self.first_jump is None:
                self.first_jump = int(lines[is_open][0])

    def finish(self) -> Iterator[tuple[str | None, str]]:
        """Compare the rows with the accounts; gives the file and what is wrong, once."""
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
    """Join spans that meet; gives first and last of each, ascending, and how many were before."""
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
    """Count the numbers up to each of those that are in a gap."""
    if not len(gaps):
        return np.zeros_like(numbers)
    place = np.searchsorted(gaps[:, 0], numbers, "right") - 1
    first, last, before = gaps[np.maximum(place, 0)].T
    within: _Integers = before + np.clip(np.minimum(numbers, last) - first + 1, 0, None)
    return np.where(place < 0, 0, within)
