"""What a served recording knows of a book, around a gap."""

import pytest

from kucoin_research.sim.recorded.state import Book, Run

SYMBOL = "BTC-USDT"


def change(number, price=100.0, size=1.0, *, is_snapshot=False):
    return (number * 1_000, number * 1_000, SYMBOL, number, is_snapshot, "buy", price, size)


def snapshot(number):
    return [change(number, is_snapshot=True)]


@pytest.fixture
def book():
    """It knows up to 10; 11 to 13 are missing in the recording."""
    book = Book()
    book.load(snapshot(9))
    book.apply([change(10)])
    book.note_gap(11, 13)
    return book


def test_a_change_behind_a_gap_leaves_the_book_unknown_until_there_is_a_snapshot(book):
    runs = book.apply([change(14, 99.0)])

    assert [(run.first, run.last) for run in runs] == [(14, 14)]
    assert not book.is_whole
    book.load(snapshot(14))
    book.apply([change(15)])
    assert book.is_whole


def test_a_snapshot_that_comes_before_any_change_behind_a_gap_stands_for_it(book):
    # 14 was a filler, which leaves no row: the snapshot is the first that is known behind the gap.
    book.load(snapshot(14))
    runs = book.apply([change(15, 99.0)])

    assert [(run.first, run.last, len(run.changes)) for run in runs] == [(14, 15, 1)]
    assert book.is_whole
    assert book.sequence == 15
    assert book.bids == {100.0: 1.0, 99.0: 1.0}


def test_a_snapshot_from_within_a_gap_does_not_stand_for_the_rest_of_it(book):
    book.load(snapshot(12))
    book.apply([change(14)])

    assert not book.is_whole


def test_a_change_that_a_snapshot_holds_already_is_sent_and_changes_nothing(book):
    book.load(snapshot(16))
    runs = book.apply([change(14, 50.0)])

    assert runs == [Run(14, 14, runs[0].changes)]
    assert book.is_whole
    assert 50.0 not in book.bids
    assert book.sequence == 16


def test_without_fillers_what_has_no_row_is_missing():
    book = Book(has_fillers=False)
    book.load(snapshot(9))
    book.apply([change(10)])
    book.apply([change(12)])
    assert not book.is_whole

    book.load(snapshot(15))
    book.apply([change(16)])
    assert book.is_whole
