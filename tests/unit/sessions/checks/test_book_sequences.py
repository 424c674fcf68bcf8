"""Files alone prove which sequences of a book are there, and show where a row was taken out."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from kucoin_research.sessions.checks.book_sequences import BookCheck, BookStory, stories_of

UTC = pl.Datetime("ns", "UTC")


def rows_of(entries):
    """Make rows of (stamp, sequence, is_snapshot, price)."""
    schema = {
        "local_timestamp": UTC, "sequence": pl.Int64, "is_snapshot": pl.Boolean,
        "price": pl.Float64,
    }  # fmt: skip
    side = pl.lit("buy").cast(pl.Enum(["buy", "sell"])).alias("side")
    return pl.DataFrame(entries, schema=schema, orient="row").with_columns(side)


def check(story, *files):
    """Return the flaws, and for each file the number of unexplained sequences."""
    checked, flaws, unexplained = BookCheck(story), [], []
    for number, pieces in enumerate(files):
        checked.begin_file()
        line = 2
        for piece in pieces:
            lines = np.arange(line, line + len(piece))
            flaws += [detail for _, detail in checked.take(f"{number}.csv", rows_of(piece), lines)]
            line += len(piece)
        unexplained.append(checked.unexplained)
    return flaws + [detail for _, detail in checked.finish()], unexplained


class Made:
    """A history with fillers, gaps, late changes and renumberings, as a stream reports it."""

    def __init__(self, seed, *, starts_amid=False):
        rng = random.Random(seed)
        self.story, self.rows = BookStory(), []
        self.stamp = 1_000
        sequence = 50
        if not starts_amid:
            self.rows += [(self._tick(), sequence, True, float(n)) for n in range(4)]
        told, unrowed = sequence, 0
        for _ in range(rng.randrange(30, 80)):
            kind = rng.choices(["change", "batch", "filler", "gap", "late", "account", "rebase"],
                               [9, 2, 4, 1, 1, 1, 0.3])[0]  # fmt: skip
            if kind in ("change", "batch"):
                size = rng.randrange(1, 4) if kind == "batch" else 1
                unrowed += size - 1
                sequence += size
                self.rows += [(self._tick(), sequence, False, float(n)) for n in range(size)]
            elif kind == "filler":
                sequence += 1
                unrowed += 1
            elif kind == "gap":
                size = rng.randrange(1, 9)
                self.story.add("gap", self._tick(), sequence + 1, sequence + size, "")
                sequence += size
            elif kind == "late":
                self.story.add("gap", self._tick(), sequence + 1, sequence + 3, "")
                self.story.add("filled", self._tick(), sequence + 1, sequence + 2, "")
                self.rows += [(self._tick(), sequence + n, False, 1.0) for n in (1, 2)]
                sequence += 3
            elif told < sequence:
                self._account(told, sequence, unrowed)
                told, unrowed = sequence, 0
            if kind == "rebase":
                sequence = told = self._rebase(rng, sequence)
        if told < sequence:
            self._account(told, sequence, unrowed)

    def _rebase(self, rng, sequence):
        self.story.add("gap", self._tick(), sequence + 1, sequence, "")
        sequence = rng.randrange(1, sequence)
        if rng.random() < 0.7:  # else no snapshot came
            self.rows += [(self._tick(), sequence, True, float(n)) for n in range(4)]
        return sequence

    def _tick(self):
        self.stamp += 1
        return self.stamp

    def _account(self, told, sequence, unrowed):
        detail = f"{unrowed:,} of {sequence - told:,} sequences came without a row"
        self.story.add("received", self._tick(), told + 1, sequence, detail)


def pieces_of(rows, seed):
    rng = random.Random(seed)
    cuts = sorted({0, len(rows), *(rng.randrange(len(rows) + 1) for _ in range(3))})
    return [rows[start:stop] for start, stop in pairwise(cuts)]


@pytest.mark.parametrize("seed", range(60))
def test_what_was_received_is_all_there_and_nothing_is_left_to_wonder_about(seed):
    made = Made(seed)

    assert check(made.story, pieces_of(made.rows, seed)) == ([], [0])


@pytest.mark.parametrize("seed", range(60))
def test_two_files_of_two_days_are_one_history(seed):
    made = Made(seed)
    first, *others = pieces_of(made.rows, seed)

    assert check(made.story, [first], others)[0] == []


@pytest.mark.parametrize("seed", range(60))
def test_a_change_that_is_taken_out_is_missed(seed):
    made = Made(seed)
    rng = random.Random(seed)
    singles = [
        at
        for at, row in enumerate(made.rows)
        if not row[2] and sum(other[1] == row[1] for other in made.rows) == 1
    ]
    rows = list(made.rows)
    del rows[rng.choice(singles)]

    (flaw,) = check(made.story, [rows])[0]
    assert "1 of " in flaw
    assert "that were received have no row" in flaw


@pytest.mark.parametrize("seed", range(30))
def test_a_recording_that_begins_amid_an_account_is_not_wrong(seed):
    made = Made(seed, starts_amid=True)

    assert check(made.story, [made.rows[5:]])[0] == []


def test_without_accounts_holes_are_told_as_such():
    story = BookStory()
    story.add("gap", 9, 13, 14, "")
    rows = [(1, 10, True, 1.0), (2, 11, False, 1.0), (3, 15, False, 1.0), (4, 18, False, 1.0)]

    assert check(story, [rows]) == ([], [3])


def test_behind_the_last_account_holes_are_told_as_such():
    story = BookStory()
    story.add("received", 5, 11, 14, "2 of 4 sequences came without a row")
    rows = [(1, 10, True, 1.0), (2, 11, False, 1.0), (3, 14, False, 1.0), (6, 17, False, 1.0)]

    assert check(story, [rows]) == ([], [2])


@pytest.mark.parametrize(
    ("rows", "flaw"),
    [
        ([(1, 10, True, 1.0), (2, 12, False, 1.0), (3, 11, False, 1.0)], "11 comes after 12"),
        ([(1, 10, True, 1.0), (2, 11, False, 1.0), (3, 11, False, 1.0)], "11 comes after 11"),
        ([(1, 10, True, 1.0), (2, 11, False, 1.0), (3, 11, False, 2.0)], None),
    ],
)
def test_sequences_go_up_but_for_the_levels_of_one_message(rows, flaw):
    assert check(BookStory(), [rows])[0] == ([] if flaw is None else [flaw])
    assert check(BookStory(), [rows[:2], rows[2:]])[0] == ([] if flaw is None else [flaw])


def test_rows_of_sequences_that_came_without_one_are_wrong():
    story = BookStory()
    story.add("received", 9, 11, 12, "1 of 2 sequences came without a row")
    rows = [(1, 10, True, 1.0), (2, 11, False, 1.0), (3, 12, False, 1.0)]

    assert check(story, [rows])[0] == [
        "from 11 to 12, 1 rows are of sequences that came without one"
    ]


def test_status_rows_of_books_are_told_by_symbol():
    schema = {
        "local_timestamp": UTC, "symbol": pl.Categorical, "event": pl.Categorical,
        "channel": pl.Categorical, "detail": pl.String, "first_sequence": pl.Int64,
        "last_sequence": pl.Int64,
    }  # fmt: skip
    rows = [
        (1, "BTC-USDT", "gap", "level2", "x", 5, 6),
        (2, "BTC-USDT", "gap", "trade", "x", 5, 6),
        (3, "BTC-USDT", "connected", None, None, None, None),
        (4, "ETH-USDT", "received", "level2", None, 7, 8),
        (5, "BTC-USDT", "filled", "level2", None, None, 8),
    ]

    assert list(stories_of(pl.DataFrame(rows, schema=schema, orient="row"))) == [
        ("BTC-USDT", "gap", 1, 5, 6, "x"),
        ("ETH-USDT", "received", 4, 7, 8, ""),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_missing_within_an_account_is_the_sum_over_gaps_and_late_ones(seed):
    chance = random.Random(seed)
    story, told = BookStory(), []
    for _ in range(chance.randint(0, 15)):
        event = chance.choice(("gap", "filled", "received"))
        stamp, first, last = (chance.randrange(12) for _ in range(3))
        story.add(event, stamp, first, last, "3 of them")
        told.append((event, stamp, first, last))
    rebases = [stamp for event, stamp, first, last in told if event == "gap" and last < first]

    def era(stamp):
        return sum(rebase < stamp for rebase in rebases)

    for account in story.received:
        numbers = range(account.first, account.last + 1)
        expected = 0
        for event, stamp, first, last in told:
            if event != "received" and era(stamp) == era(account.stamp):
                common = sum(first <= number <= last for number in numbers)
                expected += common if event == "gap" else -common
        assert story.missing_within(account) == expected
