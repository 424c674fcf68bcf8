import pytest

from kucoin_research.errors import BookNotReady
from kucoin_research.model.records import Level2
from kucoin_research.sessions.book_rebuild import BookRebuild, RebuiltBook
from tests.unit.rows import NOON
from tests.unit.sessions.test_session import status

SYMBOL = "XBTUSDTM"


def row(sequence, side, price, size, *, is_snapshot=False, symbol=SYMBOL):
    return Level2(NOON, NOON + sequence, symbol, sequence, is_snapshot, side, price, size)


def in_step(symbol=SYMBOL):
    """Make a book of one level a side, whose snapshot has sequence 5 and whose next change came."""
    book = RebuiltBook(symbol)
    book.take(row(5, "buy", 99.0, 1.0, is_snapshot=True, symbol=symbol))
    book.take(row(5, "sell", 101.0, 2.0, is_snapshot=True, symbol=symbol))
    book.take(row(6, "buy", 98.0, 3.0, symbol=symbol))
    return book


def event(name, **facts):
    return status(9, name, channel="level2", symbol=SYMBOL, **facts)


def test_a_book_is_in_step_from_the_first_change_behind_a_snapshot_on():
    book = RebuiltBook(SYMBOL)
    book.take(row(5, "buy", 99.0, 1.0, is_snapshot=True))
    loading = book.is_ready

    book.take(row(6, "buy", 98.0, 3.0))

    assert (loading, book.is_ready) == (False, True)


def test_the_sides_are_live_and_a_size_of_zero_takes_a_level_out():
    book = in_step()
    bids = book.bids

    book.take(row(7, "buy", 99.0, 0.0))
    book.take(row(8, "sell", 101.0, 5.0))

    assert (bids, book.asks) == ({98.0: 3.0}, {101.0: 5.0})


def test_a_new_snapshot_replaces_both_sides():
    book = in_step()

    book.take(row(20, "sell", 102.0, 1.0, is_snapshot=True))

    assert (book.bids, book.asks, book.is_ready) == ({}, {102.0: 1.0}, False)


def test_a_book_in_doubt_is_trusted_again_if_the_very_next_change_comes():
    book, other = in_step(), in_step()
    for each in (book, other):
        each.doubt()
    doubted = book.is_ready

    book.take(row(7, "buy", 97.0, 1.0))
    other.take(row(8, "buy", 97.0, 1.0))

    assert (doubted, book.is_ready, other.is_ready) == (False, True, False)


def test_a_gap_ends_the_book_unless_a_later_snapshot_has_its_changes():
    book, other = in_step(), in_step()

    book.take_status(event("gap", first=7, last=8))
    other.take_status(event("gap", first=2, last=3))

    assert (book.is_ready, other.is_ready) == (False, True)
    with pytest.raises(BookNotReady, match="not in step"):
        book.copy()


def test_a_gap_between_a_snapshot_and_the_first_change_ends_the_book():
    book = RebuiltBook(SYMBOL)
    book.take(row(5, "buy", 99.0, 1.0, is_snapshot=True))
    book.take_status(event("gap", first=6, last=7))

    book.take(row(8, "buy", 98.0, 3.0))

    assert not book.is_ready


def test_a_book_in_doubt_behind_its_snapshot_needs_the_very_next_change():
    books = [RebuiltBook(SYMBOL) for _ in range(2)]
    for book, following in zip(books, (6, 7), strict=True):
        book.take(row(5, "buy", 99.0, 1.0, is_snapshot=True))
        book.doubt()
        book.take(row(following, "buy", 98.0, 3.0))

    assert [each.is_ready for each in books] == [True, False]


def test_a_stream_that_reports_its_book_ready_has_the_sequence_of_fillers_too():
    book = in_step()

    book.take_status(event("book_ready", last=12))

    assert (book.is_ready, book.copy().sequence) == (True, 12)


def test_a_copy_is_cut_off_where_a_spot_snapshot_was():
    book = RebuiltBook("BTC-USDT")
    for n in range(100):
        book.take(row(5, "buy", 1_000.0 - n, 1.0, is_snapshot=True, symbol="BTC-USDT"))
    book.take(row(5, "sell", 1_001.0, 1.0, is_snapshot=True, symbol="BTC-USDT"))
    book.take(row(6, "buy", 500.0, 1.0, symbol="BTC-USDT"))

    assert 500.0 in book.bids
    assert min(price for price, _ in book.copy().bids) == 901.0


def test_books_of_several_symbols_take_only_their_own_rows():
    rebuild = BookRebuild([SYMBOL, "ETHUSDTM"])

    rebuild.take([row(5, "buy", 99.0, 1.0, is_snapshot=True), row(6, "sell", 101.0, 1.0)])

    assert rebuild.copy(SYMBOL, "r").best_bid == 99.0
    with pytest.raises(BookNotReady):
        rebuild.copy("ETHUSDTM", "r")


def test_an_unsubscribed_book_is_refused_until_it_is_in_step_again():
    book = in_step()
    book.take_status(event("unsubscribed"))
    assert not book.is_ready

    book.take(row(7, "buy", 97.0, 1.0))  # the next sequence proves nothing about the time between
    assert not book.is_ready
    book.take_status(event("book_ready", last=7))
    assert book.is_ready
