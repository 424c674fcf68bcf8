"""The book's promise: ready means right, and whatever is not in the rows is told as a gap."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.errors import BookNotReady
from kucoin_research.model.orderbook import BookChange, BookDelta, BookSnapshot
from kucoin_research.model.records import Level2
from kucoin_research.streaming import book_sync
from kucoin_research.streaming.book_history import Received
from kucoin_research.streaming.book_sync import BookGap, BookSync

SYMBOL = "XBTUSDTM"
ASKS = [(3988.59, 3.0), (3988.60, 47.0), (3988.61, 32.0), (3988.62, 8.0)]
BIDS = [(3988.51, 56.0), (3988.50, 15.0), (3988.49, 100.0), (3988.48, 10.0)]


def delta(sequence, price=3988.50, side="buy", size=44.0):
    change = BookChange(sequence, side, price, size)
    return BookDelta(1_000 + sequence, SYMBOL, sequence, sequence, (change,))


def spot_delta(first, last, *changes):
    return BookDelta(1_000 + last, SYMBOL, first, last, tuple(BookChange(*c) for c in changes))


def snapshot(sequence=16, bids=BIDS, asks=ASKS, is_whole=True):
    return BookSnapshot(SYMBOL, sequence, 999, bids, asks, is_whole)


def feed(book, *sequences, local=0):
    rows, gaps = [], []
    for sequence in sequences:
        released, gap = book.on_delta(delta(sequence), local)
        rows += released
        gaps += [gap] if gap else []
    return rows, gaps


def live_book(sequence=16):
    book = BookSync(SYMBOL)
    feed(book, sequence)
    book.on_snapshot(snapshot(sequence), local=0, now=0.0)
    assert book.is_ready
    return book


def sequences(rows: Iterable[Level2]):
    """The rows' sequences, snapshot rows once and as text."""
    told = [f"snapshot {row.sequence}" if row.is_snapshot else row.sequence for row in rows]
    return [told for before, told in pairwise([None, *told]) if told != before]


def read_from_the_top(rows: Iterable[Level2]):
    """Rebuild a book as a reader of a recording does."""
    levels: dict[str, dict[float, float]] = {"buy": {}, "sell": {}}
    within = None
    for row in rows:
        if row.is_snapshot and within != row.sequence:
            levels = {"buy": {}, "sell": {}}
        within = row.sequence if row.is_snapshot else None
        if row.size:
            levels[row.side][row.price] = row.size
        else:
            levels[row.side].pop(row.price, None)
    return sorted(levels["buy"].items(), reverse=True), sorted(levels["sell"].items())


# -- the worked examples of KuCoin's guides ------------------------------------------------------


def test_the_futures_guide_is_followed():
    book = BookSync(SYMBOL)
    for held in (delta(15), delta(17), delta(18, 3988.61, "sell", 0.0)):
        if held.first_sequence == 17:  # 16 arrives in between, as filler
            book.on_delta(spot_delta(16, 16), 0)
        book.on_delta(held, 0)

    book.on_snapshot(snapshot(16), local=0, now=0.0)

    copy = book.copy()
    assert copy.sequence == 18
    assert copy.bids == [(3988.51, 56.0), (3988.50, 44.0), (3988.49, 100.0), (3988.48, 10.0)]
    assert copy.asks == [(3988.59, 3.0), (3988.60, 47.0), (3988.62, 8.0)]
    rows, gap = book.on_delta(delta(20), 0)
    assert (rows, gap) == ([], BookGap(SYMBOL, 19, 19, "missing"))
    assert not book.is_ready


def test_the_spot_guide_is_followed():
    book = BookSync(SYMBOL)
    changes = [
        (15, "sell", 3988.62, 8.0), (16, "sell", 3988.59, 3.0),
        (18, "buy", 3988.50, 44.0), (19, "sell", 3988.61, 0.0),
    ]  # fmt: skip
    book.on_delta(spot_delta(15, 19, *changes), 0)

    rows, gaps = book.on_snapshot(snapshot(16), local=0, now=0.0)

    assert sequences(rows) == ["snapshot 16", 18, 19]
    assert gaps == []
    assert book.copy().sequence == 19
    assert book.copy().bids[1] == (3988.50, 44.0)
    assert book.copy().asks == [(3988.59, 3.0), (3988.60, 47.0), (3988.62, 8.0)]


# -- finding the snapshot ------------------------------------------------------------------------


def test_no_snapshot_is_wanted_before_the_first_delta():
    book = BookSync(SYMBOL)

    assert not book.wants_snapshot(0.0)
    assert book.on_snapshot(snapshot(), local=0, now=0.0) == ([], [])
    feed(book, 16)
    assert book.wants_snapshot(0.0)


def test_only_one_snapshot_is_asked_for_at_a_time():
    book = BookSync(SYMBOL)
    feed(book, 16)

    book.snapshot_requested()

    assert not book.wants_snapshot(99.0)
    book.snapshot_failed(now=100.0, retry_after=3.0)
    assert not book.wants_snapshot(102.9)
    assert book.wants_snapshot(103.0)


def test_a_snapshot_older_than_the_first_delta_is_refused_and_asked_for_again():
    book = BookSync(SYMBOL, retry_after=0.2)
    feed(book, 18, 19)

    assert book.on_snapshot(snapshot(16), local=0, now=5.0) == ([], [])

    assert not book.is_ready
    assert not book.wants_snapshot(5.1)
    assert book.wants_snapshot(5.2)
    book.on_snapshot(snapshot(17), local=0, now=5.3)
    assert book.copy().sequence == 19


def test_a_hole_among_the_first_deltas_wants_a_snapshot_behind_it():
    book = BookSync(SYMBOL)
    _, gaps = feed(book, 10, 11, 15, 16)

    assert gaps == []  # before the history
    assert book.on_snapshot(snapshot(13), local=0, now=0.0) == ([], [])
    rows, gaps = book.on_snapshot(snapshot(14), local=0, now=1.0)
    assert sequences(rows) == ["snapshot 14", 15, 16]
    assert gaps == []


def test_what_the_first_snapshot_contains_is_neither_row_nor_repeat():
    book = BookSync(SYMBOL)
    feed(book, 10)
    rows, _ = book.on_snapshot(snapshot(16), local=0, now=0.0)

    rows += feed(book, 11, 14, 16, 17)[0]

    assert sequences(rows) == ["snapshot 16", 17]
    assert book.duplicates == 0


def test_rows_are_stamped_one_apart_from_the_given_stamp_on():
    book = BookSync(SYMBOL)
    feed(book, 16, 17, 18)

    rows, _ = book.on_snapshot(snapshot(16), local=500, now=0.0)

    assert [row.local_timestamp for row in rows] == list(range(500, 510))


# -- trouble while in step -----------------------------------------------------------------------


def test_repeats_are_counted_and_leave_no_rows():
    book = live_book(16)

    rows, gaps = feed(book, 17, 17, 18, 17, 18)

    assert sequences(rows) == [17, 18]
    assert gaps == []
    assert book.duplicates == 3
    assert book.is_ready


def test_a_partly_repeated_spot_message_gives_only_its_news():
    book = live_book(16)

    rows, gap = book.on_delta(spot_delta(15, 18, (16, "buy", 1.0, 1.0), (18, "buy", 2.0, 2.0)), 0)

    assert (sequences(rows), gap) == ([18], None)


def test_a_filler_advances_the_sequence_without_a_row():
    book = live_book(16)

    rows, gap = book.on_delta(spot_delta(17, 19), 0)

    assert (rows, gap) == ([], None)
    assert book.copy().sequence == 19


def test_what_came_without_a_row_is_accounted_for_once():
    book = live_book(16)
    book.on_delta(spot_delta(17, 20, (18, "buy", 3988.5, 1.0), (18, "buy", 3988.4, 1.0)), 0)
    book.on_delta(spot_delta(21, 22), 0)

    assert book.has_unrowed
    assert book.take_received() == (17, 22, 5)
    assert book.take_received() is None
    assert not book.has_unrowed
    book.on_delta(delta(23), 0)
    assert book.take_received() == (23, 23, 0)


def test_an_account_ends_with_the_numbering_of_the_book():
    book = live_book(200_000)
    book.on_delta(spot_delta(200_001, 200_003, (200_002, "buy", 3988.5, 1.0)), 0)
    book.on_delta(delta(5), 0)
    book.on_snapshot(snapshot(5), local=0, now=0.0)
    book.on_delta(spot_delta(6, 7, (7, "buy", 3988.5, 1.0)), 0)

    assert book.received == [(200_001, 200_003, 2)]
    assert book.take_received() == (6, 7, 1)


def test_a_gap_is_bounded_exactly_and_the_book_refuses_to_answer():
    book = live_book(16)

    rows, gaps = feed(book, 17, 25)

    assert sequences(rows) == [17]
    assert gaps == [BookGap(SYMBOL, 18, 24, "missing")]
    assert book.wants_snapshot(0.0)
    assert book.resyncs == 1
    with pytest.raises(BookNotReady, match="the book of XBTUSDTM waits for a snapshot; try again"):
        book.copy()


def test_after_a_gap_rows_come_in_an_order_that_rebuilds_the_book():
    book = live_book(16)
    rows, _ = feed(book, 17, 25, 26, 27, 28)

    released, gaps = book.on_snapshot(snapshot(26), local=0, now=0.0)

    assert sequences(released) == [25, 26, "snapshot 26", 27, 28]
    assert gaps == []
    assert read_from_the_top(rows + released) == (book.copy().bids, book.copy().asks)


def test_holes_and_repeats_among_held_deltas_are_told_once():
    book = live_book(16)

    _, gaps = feed(book, 20, 21, 21, 24, 20, 25)
    rows, late = book.on_snapshot(snapshot(23), local=0, now=0.0)

    assert [gap[1:3] for gap in gaps] == [(17, 19), (22, 23)]
    assert late == []
    assert sequences(rows) == [20, 21, "snapshot 23", 24, 25]
    assert book.duplicates == 2


def test_a_snapshot_that_cannot_bridge_the_newest_hole_is_refused():
    book = live_book(16)
    feed(book, 20, 21, 24)

    assert book.on_snapshot(snapshot(22), local=0, now=0.0) == ([], [])

    assert not book.is_ready


def test_a_snapshot_ahead_of_the_socket_waits_for_the_deltas_up_to_it():
    book = live_book(16)
    feed(book, 20)

    assert book.on_snapshot(snapshot(23), local=0, now=0.0) == ([], [])
    assert not book.wants_snapshot(0.5)
    rows, gaps = feed(book, 21, 22)
    assert (rows, book.is_ready) == ([], False)
    rows, gaps = feed(book, 23, 24)

    assert sequences(rows) == [20, 21, 22, 23, "snapshot 23", 24]
    assert gaps == []
    assert book.is_ready


def test_a_hole_before_the_awaited_snapshot_is_told_and_bridged():
    book = live_book(16)
    feed(book, 20)
    book.on_snapshot(snapshot(23), local=0, now=0.0)

    rows, gaps = feed(book, 24)

    assert gaps == [BookGap(SYMBOL, 21, 23, "missing")]
    assert sequences(rows) == [20, "snapshot 23", 24]
    assert book.is_ready


def test_a_hole_across_the_awaited_snapshot_wants_another_at_once():
    book = live_book(16)
    feed(book, 20)
    book.on_snapshot(snapshot(23), local=0, now=0.0)

    rows, gaps = feed(book, 26)

    assert (rows, gaps) == ([], [BookGap(SYMBOL, 21, 25, "missing")])
    assert book.wants_snapshot(0.0)


def test_the_wait_for_deltas_that_are_lost_in_a_quiet_market_ends():
    book = live_book(16)
    feed(book, 20)
    book.on_snapshot(snapshot(23), local=0, now=0.0)

    assert book.wants_snapshot(book_sync.PATIENCE)
    rows, gaps = book.on_snapshot(snapshot(23), local=0, now=book_sync.PATIENCE)

    assert sequences(rows) == [20, "snapshot 23"]
    assert gaps == [BookGap(SYMBOL, 21, 23, "missing")]
    assert book.copy().sequence == 23


def test_too_many_held_deltas_are_released_and_nothing_is_lost(monkeypatch):
    monkeypatch.setattr(book_sync, "MOST_HELD", 3)
    book = live_book(16)

    rows, gaps = feed(book, 20, 21, 22, 23, 24)

    assert sequences(rows) == [20, 21, 22]
    assert gaps == [BookGap(SYMBOL, 17, 19, "missing")]
    assert book.on_snapshot(snapshot(21), local=0, now=0.0) == ([], [])  # its rows are gone
    rows, _ = book.on_snapshot(snapshot(23), local=0, now=1.0)
    assert sequences(rows) == [23, "snapshot 23", 24]


def test_a_renumbered_book_is_sought_again_instead_of_dropped_for_ever():
    book = live_book(1_600_000_000_000)

    _, gaps = feed(book, 14_000_000)

    assert gaps == [BookGap(SYMBOL, 1_600_000_000_001, 1_600_000_000_000, "rebase")]
    assert book.duplicates == 0
    rows, _ = book.on_snapshot(snapshot(14_000_000), local=0, now=0.0)
    assert sequences(rows) == ["snapshot 14000000"]
    assert sequences(feed(book, 14_000_001)[0]) == [14_000_001]


def test_renumbering_during_a_search_keeps_what_was_held():
    book = live_book(1_600_000_000_000)

    rows, gaps = feed(book, 1_600_000_000_005, 1_600_000_000_006, 14_000_000)

    assert sequences(rows) == [1_600_000_000_005, 1_600_000_000_006]
    assert [gap.cause for gap in gaps] == ["missing", "rebase"]
    book.on_snapshot(snapshot(14_000_000), local=0, now=0.0)
    assert book.copy().sequence == 14_000_000


def test_renumbering_before_any_snapshot_is_told_behind_the_rows_of_the_old_numbers():
    book = BookSync(SYMBOL)
    feed(book, 500_000, 500_001)
    rows, gap = book.on_delta(delta(7), 0)

    assert sequences(rows) == [500_000, 500_001]
    assert gap == BookGap(SYMBOL, 500_002, 500_001, "rebase")
    assert book.received == [(500_000, 500_001, 0)]


def test_one_absurd_sequence_does_not_stop_the_book_for_ever():
    book = BookSync(SYMBOL)
    feed(book, 2**62, 17, 18)

    book.on_snapshot(snapshot(17), local=0, now=0.0)

    assert book.copy().sequence == 18


def test_a_reconnect_reports_the_hole_from_the_last_applied_to_the_first_new():
    book = live_book(16)
    feed(book, 17)

    book.restart()
    with pytest.raises(BookNotReady, match="waits for the first delta"):
        book.copy()
    _, gaps = feed(book, 40, 45)

    assert gaps == [
        BookGap(SYMBOL, 18, 39, "disconnected"),
        BookGap(SYMBOL, 41, 44, "missing"),
    ]


def test_a_reconnect_keeps_what_was_held_before_it():
    book = live_book(16)
    feed(book, 20, 21)

    book.restart()
    _, gaps = feed(book, 30)
    rows, _ = book.on_snapshot(snapshot(30), local=0, now=0.0)

    assert [gap[1:3] for gap in gaps] == [(22, 29)]
    assert sequences(rows) == [20, 21, 30, "snapshot 30"]


def test_a_reconnect_that_lost_nothing_tells_no_gap():
    book = live_book(16)

    book.restart()
    _, gaps = feed(book, 17)
    rows, _ = book.on_snapshot(snapshot(17), local=0, now=0.0)

    assert gaps == []
    assert sequences(rows) == [17, "snapshot 17"]


def test_an_overtaken_delta_takes_its_place_and_no_snapshot_is_needed():
    book = live_book(16)

    rows, gaps = feed(book, 18, 17, 19)

    assert [gap[1:3] for gap in gaps] == [(17, 17)]
    assert sequences(rows) == [17, 18, 19]
    assert book.late == [(17, 17)]
    assert book.is_ready
    assert book.duplicates == 0
    assert book.on_snapshot(snapshot(18), local=0, now=0.0) == ([], [])


def test_of_several_overtaken_deltas_the_last_mends_the_book():
    book = live_book(16)

    rows, gaps = feed(book, 19, 22, 18, 17)
    assert (rows, book.is_ready) == ([], False)
    rows, more = feed(book, 20, 21)

    assert [gap[1:3] for gap in [*gaps, *more]] == [(17, 18), (20, 21)]
    assert sequences(rows) == [17, 18, 19, 20, 21, 22]
    assert book.is_ready


def test_a_delta_that_comes_after_the_snapshot_stood_in_for_it_is_left_out():
    book = live_book(16)

    _, gaps = feed(book, 18)
    rows, _ = book.on_snapshot(snapshot(18), local=0, now=0.0)
    late, _ = feed(book, 17)

    assert [gap[1:3] for gap in gaps] == [(17, 17)]
    assert sequences(rows) == [18, "snapshot 18"]
    assert (late, book.late, book.duplicates) == ([], [], 1)


def test_a_flawed_book_that_late_deltas_mend_wants_its_snapshot_still():
    book = live_book(16)
    book.renew(is_flawed=True)

    rows, _ = feed(book, 18, 17)

    assert sequences(rows) == [17, 18]
    assert not book.is_ready
    assert book.wants_snapshot(0.0)


def test_a_book_that_is_renewed_goes_on_answering_and_giving_rows():
    book = live_book(16)

    book.renew()
    rows, gaps = feed(book, 17, 18)

    assert (sequences(rows), gaps) == ([17, 18], [])
    assert book.copy().sequence == 18
    assert book.wants_snapshot(0.0)


def test_rows_wait_only_while_the_snapshot_of_a_renewal_is_on_its_way():
    book = live_book(16)
    book.renew()
    book.snapshot_requested()

    rows, _ = feed(book, 17, 18)

    assert rows == []
    assert book.copy().sequence == 18
    rows, gaps = book.on_snapshot(snapshot(17), local=0, now=0.0)
    assert (sequences(rows), gaps) == ([17, "snapshot 17", 18], [])
    assert book.copy().sequence == 18
    assert book.is_settled
    assert book.resyncs == 1


def test_a_snapshot_that_is_refused_releases_the_rows_that_waited_for_it():
    book = live_book(16)
    book.renew()
    book.snapshot_requested()
    feed(book, 17, 18)

    rows = book.snapshot_failed(now=0.0, retry_after=1.0, local=70)

    assert sequences(rows) == [17, 18]
    assert [row.local_timestamp for row in rows] == [70, 71]
    assert sequences(feed(book, 19)[0]) == [19]
    assert not book.wants_snapshot(0.9)
    assert book.wants_snapshot(1.0)


def test_a_snapshot_older_than_the_rows_given_out_is_no_renewal():
    book = live_book(16)
    book.renew()

    assert book.on_snapshot(snapshot(15), local=0, now=0.0) == ([], [])

    assert not book.is_settled
    rows, gaps = book.on_snapshot(snapshot(16), local=0, now=1.0)
    assert (sequences(rows), gaps) == (["snapshot 16"], [])
    assert book.is_settled


def test_a_renewal_ahead_of_the_socket_waits_for_the_deltas_up_to_it():
    book = live_book(16)
    book.renew()
    book.snapshot_requested()

    assert book.on_snapshot(snapshot(18), local=0, now=0.0) == ([], [])
    rows, gaps = feed(book, 17, 18, 19)

    assert (sequences(rows), gaps) == ([17, 18, "snapshot 18", 19], [])
    assert book.is_settled


def test_what_waits_for_a_renewal_is_bounded(monkeypatch):
    monkeypatch.setattr(book_sync, "MOST_HELD", 3)
    book = live_book(16)
    book.renew()
    book.snapshot_requested()

    rows, _ = feed(book, 17, 18, 19, 20)

    assert sequences(rows) == [17, 18, 19]
    assert book.on_snapshot(snapshot(18), local=0, now=0.0)[0] != []  # refused: 19 is given out
    assert not book.is_settled


# -- the end, and what nobody can tell -----------------------------------------------------------


def test_what_is_held_at_the_end_is_released():
    book = live_book(16)
    feed(book, 20, 21)

    rows = book.finish(local=5)

    assert sequences(rows) == [20, 21]
    assert [row.local_timestamp for row in rows] == [5, 6]
    assert book.doubt == "the book has fallen out of step, and no snapshot has come since"


def test_without_any_snapshot_the_history_is_that_of_the_deltas():
    book = BookSync(SYMBOL)
    feed(book, 17, 18, 21)

    rows = book.finish(local=0)

    assert sequences(rows) == [17, 18, 21]
    assert book.found == [BookGap(SYMBOL, 19, 20, "missing")]


def test_too_many_deltas_without_any_snapshot_are_released_too(monkeypatch):
    monkeypatch.setattr(book_sync, "MOST_HELD", 3)
    book = BookSync(SYMBOL)

    rows, gaps = feed(book, 17, 19, 20, 21, 23)

    assert sequences(rows) == [17, 19, 20]
    assert book.found == [BookGap(SYMBOL, 18, 18, "missing")]
    assert gaps == [BookGap(SYMBOL, 22, 22, "missing")]
    rows, _ = book.on_snapshot(snapshot(22), local=0, now=0.0)
    assert sequences(rows) == [21, "snapshot 22", 23]


def test_doubt_lasts_from_a_lost_connection_until_the_book_is_in_step():
    book = BookSync(SYMBOL)
    assert book.doubt is None  # there is no history yet
    book = live_book(16)
    assert book.doubt is None

    book.restart()
    assert book.doubt == "nothing has shown yet what the lost connection cost"
    feed(book, 17)
    assert book.doubt == "rows wait for a snapshot of the book: of 1 of its messages"
    book.on_snapshot(snapshot(17), local=0, now=0.0)
    assert book.doubt is None


def test_a_book_behind_what_the_exchange_is_known_to_have_sent_is_in_doubt_until_that_comes():
    book = live_book(16)
    book.note_known(16)
    assert book.doubt is None

    book.note_known(18)
    assert book.doubt == "the exchange has sent changes up to 18, which have not come"
    assert book.is_ready  # up to where it is
    feed(book, 17)
    assert book.doubt is not None
    feed(book, 18)
    assert book.doubt is None


def test_a_quiet_book_is_fetched_soon_after_its_subscription():
    book = BookSync(SYMBOL)
    book.subscribed(5.0)

    assert not book.wants_snapshot(5.9)
    assert book.wants_snapshot(6.0)
    rows, gaps = book.on_snapshot(snapshot(16), local=0, now=6.0)

    assert (sequences(rows), gaps) == (["snapshot 16"], [])
    assert book.is_ready


def test_a_quiet_book_learns_from_a_snapshot_that_an_outage_cost_nothing():
    book = live_book(16)
    book.restart()
    book.subscribed(5.0)

    rows, gaps = book.on_snapshot(snapshot(16), local=0, now=6.0)

    assert (sequences(rows), gaps) == (["snapshot 16"], [])
    assert book.doubt is None


def test_a_quiet_book_learns_from_a_snapshot_what_an_outage_cost():
    book = live_book(16)
    book.restart()
    book.subscribed(5.0)

    assert book.on_snapshot(snapshot(19), local=0, now=6.0) == ([], [])
    assert book.wants_snapshot(6.0 + book_sync.PATIENCE)
    rows, gaps = book.on_snapshot(snapshot(19), local=0, now=6.0 + book_sync.PATIENCE)

    assert sequences(rows) == ["snapshot 19"]
    assert gaps == [BookGap(SYMBOL, 17, 19, "disconnected")]
    assert book.is_ready


def test_before_its_subscription_a_quiet_book_takes_no_snapshot():
    book = live_book(16)
    book.restart()

    assert not book.wants_snapshot(1e9)
    assert book.on_snapshot(snapshot(19), local=0, now=6.0) == ([], [])


# -- renumbered by a little ------------------------------------------------------------------------


def late_delta(sequence, seconds):
    return delta(sequence)._replace(timestamp=delta(1_017).timestamp + int(seconds * 1e9))


def test_a_number_given_twice_is_a_book_renumbered():
    book = live_book(1_016)
    feed(book, 1_017)

    taken = [book.on_delta(late_delta(n, 0.001 * (n - 1_010)), 0) for n in (1_012, 1_013)]

    assert [gap for _, gap in taken] == [BookGap(SYMBOL, 1_018, 1_017, "rebase"), None]
    assert book.duplicates == 0
    rows, gaps = book.on_snapshot(snapshot(1_012), local=0, now=0.0)
    assert (sequences(rows), gaps) == (["snapshot 1012", 1_013], [])


def test_numbers_that_a_snapshot_stood_for_are_renumbered_when_they_are_much_younger():
    book = live_book(1_016)
    book.renew()
    book.on_snapshot(snapshot(1_020)._replace(timestamp=delta(1_017).timestamp), 0, 0.0)
    book.on_snapshot(snapshot(1_020), 0, book_sync.PATIENCE)  # 1,017 to 1,020 have not come

    taken = [book.on_delta(late_delta(n, 0.6 * (n - 1_016)), 0) for n in (1_017, 1_018)]

    assert [gap for _, gap in taken if gap] == [BookGap(SYMBOL, 1_021, 1_020, "rebase")]
    rows, _ = book.on_snapshot(snapshot(1_017), local=0, now=0.0)
    assert sequences(rows) == ["snapshot 1017", 1_018]


def test_a_little_younger_than_the_snapshot_that_stood_for_them_they_are_repeats():
    book = live_book(1_016)
    book.renew()
    book.on_snapshot(snapshot(1_020)._replace(timestamp=delta(1_017).timestamp), 0, 0.0)
    book.on_snapshot(snapshot(1_020), 0, book_sync.PATIENCE)

    book.on_delta(late_delta(1_018, 0.3), 0)
    assert book.duplicates == 0  # nobody can tell yet
    rows, gaps = feed(book, 1_021)

    assert (sequences(rows), gaps) == ([1_021], [])
    assert book.duplicates == 1


# -- partial books -------------------------------------------------------------------------------


def ladder(levels=25, best_bid=100.0):
    bids = [(best_bid - step, 1.0) for step in range(levels)]
    return bids, [(best_bid + 1 + step, 1.0) for step in range(levels)]


def partial_book(bids, asks, is_whole=False):
    book = BookSync(SYMBOL)
    feed(book, 16)
    book.on_snapshot(snapshot(16, bids, asks, is_whole), local=0, now=0.0)
    return book


def test_a_partial_book_answers_within_its_known_range_only():
    book = partial_book(*ladder())

    book.on_delta(delta(17, 50.0, "buy", 9.0), 0)
    book.on_delta(delta(18, 500.0, "sell", 9.0), 0)

    assert book.copy().bids[-1] == (76.0, 1.0)
    assert book.copy().asks[-1] == (125.0, 1.0)


def test_a_partial_book_that_thins_has_a_flaw():
    book = partial_book(*ladder())
    assert book.flaw() is None

    for step in range(6):
        book.on_delta(delta(17 + step, 100.0 - step, "buy", 0.0), 0)

    assert book.flaw() == "thin"


def test_a_partial_book_with_no_known_level_left_refuses_to_answer():
    book = partial_book(*ladder())
    for step in range(25):
        book.on_delta(delta(17 + step, 101.0 + step, "sell", 0.0), 0)

    with pytest.raises(BookNotReady, match="moved beyond its known levels"):
        book.copy()


def test_a_side_shorter_than_the_other_is_not_cut_off():
    bids, asks = ladder()
    book = partial_book(bids[:3], asks)

    book.on_delta(delta(17, 50.0, "buy", 9.0), 0)

    assert book.flaw() is None
    assert book.copy().bids[-1] == (50.0, 9.0)


def test_a_whole_book_may_be_small():
    book = partial_book([(1.0, 1.0)], [], is_whole=True)

    assert book.flaw() is None
    assert book.copy().best_ask is None


def test_a_crossed_book_has_a_flaw():
    book = live_book(16)

    book.on_delta(delta(17, 3988.59, "buy", 1.0), 0)

    assert book.flaw() == "crossed"
    book.renew(is_flawed=True)
    assert book.flaw() is None
    with pytest.raises(BookNotReady, match="is wrong and fetched afresh"):
        book.copy()


# -- the copy ------------------------------------------------------------------------------------


def test_copies_never_change():
    book = live_book(16)
    copy = book.copy()
    before = repr(copy), list(copy.bids), list(copy.asks)

    book.on_delta(delta(17, 3988.55, "buy", 1.0), 0)

    assert (repr(copy), copy.bids, copy.asks) == before
    assert book.copy().best_bid == 3988.55


def test_a_copy_knows_mid_and_spread():
    copy = live_book(16).copy()

    assert (copy.best_bid, copy.best_bid_size) == (3988.51, 56.0)
    assert (copy.best_ask, copy.best_ask_size) == (3988.59, 3.0)
    assert copy.mid == pytest.approx(3988.55)
    assert copy.spread == pytest.approx(0.08)
    assert copy.timestamp == 999
    assert repr(copy).startswith("OrderBook(XBTUSDTM, sequence=16, best_bid=3988.51")


# -- the promise ---------------------------------------------------------------------------------


class History(NamedTuple):
    """What the exchange sent, and its book after each sequence."""

    deltas: list[BookDelta]
    books: dict[int, tuple[dict[float, float], dict[float, float]]]

    def snapshot(self, sequence: int) -> BookSnapshot:
        bids, asks = self.books[sequence]
        return snapshot(sequence, sorted(bids.items(), reverse=True), sorted(asks.items()))


@st.composite
def histories(draw):
    """Futures (one change a message) and spot (several, with fillers and empty numbers)."""
    most = draw(st.sampled_from([1, 4]))
    moves = draw(
        st.lists(
            st.lists(
                st.none() | st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 3)),
                min_size=1,
                max_size=most,
            ),
            min_size=30,
            max_size=50,
        )
    )
    bids, asks = {90.0: 1.0}, {110.0: 1.0}
    sequence, deltas, books = 1_000, [], {1_000: (dict(bids), dict(asks))}
    for move in moves:
        first, changes = sequence + 1, []
        for change in move:
            sequence += 1
            if change is not None:
                is_bid, step, size = change
                price = 100.0 - 1 - step if is_bid else 100.0 + 1 + step
                side = bids if is_bid else asks
                side[price] = float(size)
                if not size:
                    del side[price]
                changes.append(BookChange(sequence, "buy" if is_bid else "sell", price, size))
            books[sequence] = (dict(bids), dict(asks))
        deltas.append(BookDelta(sequence, SYMBOL, first, sequence, tuple(changes)))
    return History(deltas, books)


WEIGHTS = {
    "deliver": 9, "snapshot": 6, "lose": 1, "repeat": 1, "overlap": 1, "reconnect": 1, "renew": 1,
    "ask": 2, "quiet": 1, "account": 1,
}  # fmt: skip
ACTIONS = [action for action, weight in WEIGHTS.items() for _ in range(weight)]


def check_accounts(received, rowed, missing):
    """What came without a row is what is neither in the rows nor in a gap."""
    for first, last, unrowed in received:
        numbers = set(range(first, last + 1))
        assert len(numbers - rowed - missing) == unrowed
    for before, after in pairwise(received):
        assert after.first == before.last + 1


class Play:
    """A history told with losses, and what a reader of the rows may rely on after each step."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.book = BookSync(SYMBOL)
        self.rows: list[Level2] = []
        self.gaps: list[BookGap] = []
        self.received: list[Received] = []
        self.lost: set[int] = set()
        self.position = 0  # deltas delivered or lost
        self.head = 0  # deltas that the exchange has made
        self.heard = 0  # the newest sequence that came, in a delta or a joined snapshot
        self.now = 0.0
        self.is_asked = False

    def run(self, actions, data):
        for action in actions:
            self.now += 0.1
            getattr(self, action)(data)
            self.check()
        self.finish()

    def finish(self):
        self.rows += self.book.finish(len(self.rows))
        self.gaps += self.book.found
        began = self.book._history.began
        if began is None:
            return
        heard = [c for d in self.history.deltas[: self.position] for c in d.changes]
        received = {c.sequence for c in heard} - self.lost
        kept = {row.sequence for row in self.rows if not row.is_snapshot}
        bridged = {n for gap in self.gaps for n in range(gap.first_missing, gap.last_missing + 1)}
        assert {n for n in received if n > began} <= kept | bridged
        assert self.book.doubt or self.book.is_ready
        self.account()
        check_accounts(self.received, kept, bridged)
        assert self.received or self.book._history.last == began

    def account(self, _data=None):
        told = self.book.take_received()
        self.received += [] if told is None else [told]

    def deliver(self, data):
        if self.position < len(self.history.deltas):
            self._take(self.history.deltas[self.position])
            self.position += 1
            self.head = max(self.head, self.position)

    def _take(self, change):
        released, gap = self.book.on_delta(change, len(self.rows))
        self.rows += released
        self.gaps += [gap] if gap else []
        self.heard = max(self.heard, change.last_sequence)

    def lose(self, data):
        if self.position < len(self.history.deltas):
            change = self.history.deltas[self.position]
            self.lost.update(range(change.first_sequence, change.last_sequence + 1))
            self.position += 1
            self.head = max(self.head, self.position)

    def repeat(self, data):
        if self.position:
            back = data.draw(st.integers(1, min(5, self.position)))
            change = self.history.deltas[self.position - back]
            if change.last_sequence not in self.lost:
                self._take(change)

    def overlap(self, data):
        """The newest message comes again within the next one."""
        if 0 < self.position < len(self.history.deltas):
            old, new = self.history.deltas[self.position - 1 : self.position + 1]
            if old.last_sequence not in self.lost:
                changes = old.changes + new.changes
                self.history.deltas[self.position] = new._replace(
                    first_sequence=old.first_sequence, changes=changes
                )
                self.deliver(data)
                self.history.deltas[self.position - 1] = new

    def ask(self, data):
        """Ask for a snapshot that is long on its way, or never comes."""
        if self.book.wants_snapshot(self.now):
            self.book.snapshot_requested()
            self.is_asked = True

    def snapshot(self, data):
        if not self.is_asked:
            if not self.book.wants_snapshot(self.now):
                return
            self.book.snapshot_requested()
        self.is_asked = False
        if data.draw(st.integers(0, 3)) == 0:
            self.rows += self.book.snapshot_failed(self.now, local=len(self.rows))
            return
        # Older than the socket, level with it, or ahead; within a message or at its end.
        index = self.position + data.draw(st.integers(-4, 3))
        index = min(max(index, 0), len(self.history.deltas) - 1)
        self.head = max(self.head, index + 1)
        within = self.history.deltas[index]
        sequence = data.draw(st.integers(within.first_sequence, within.last_sequence))
        released, gaps = self.book.on_snapshot(
            self.history.snapshot(sequence), len(self.rows), self.now
        )
        self.rows += released
        self.gaps += gaps

    def reconnect(self, data):
        self.book.restart()
        self.book.subscribed(self.now)
        self.is_asked = False

    def renew(self, data):
        self.book.renew(is_flawed=data.draw(st.booleans()))

    def quiet(self, data):
        """What the exchange has sent has arrived or is lost, and nothing more comes for long."""
        while self.position < self.head:
            getattr(self, data.draw(st.sampled_from(["deliver", "lose"])))(data)
        self.now += 10.0

    def check(self):
        began = self.book._history.began
        assert [row.local_timestamp for row in self.rows] == list(range(len(self.rows)))
        if began is None:
            assert self.rows == self.gaps == []
            return
        missing = [n for gap in self.gaps for n in range(gap.first_missing, gap.last_missing + 1)]
        last = max(self.heard, self.book.sequence)
        withheld = {n for n in self.lost if began < n <= last}
        assert sorted(missing) == sorted(withheld)
        if self.book.is_ready:
            copy = self.book.copy()
            bids, asks = self.history.books[copy.sequence]
            expected = sorted(bids.items(), reverse=True), sorted(asks.items())
            assert (copy.bids, copy.asks) == expected
            if self.book._held:  # the snapshot of a renewal is on its way
                return
            assert read_from_the_top(self.rows) == expected
            changes = [c for d in self.history.deltas for c in d.changes]
            kept = {c.sequence for c in changes if began < c.sequence <= copy.sequence}
            rows = [row.sequence for row in self.rows if not row.is_snapshot]
            assert rows == sorted(kept - withheld)


@settings(max_examples=200, deadline=None)
@given(histories(), st.lists(st.sampled_from(ACTIONS), min_size=50, max_size=90), st.data())
def test_ready_means_right_and_what_is_withheld_is_told_exactly(history, actions, data):
    Play(history).run(actions, data)


def test_a_long_search_costs_time_in_proportion_to_the_deltas():
    book = live_book(16)
    feed(book, 18)
    for sequence in range(19, 60_019):
        book.on_delta(delta(sequence), 0)

    assert len(book._held) <= book_sync.MOST_HELD
    book.on_snapshot(snapshot(60_018), local=0, now=0.0)

    assert book.is_ready


def test_a_partly_repeated_message_after_a_reconnect_repeats_no_row():
    book = live_book(16)
    rows, _ = feed(book, 17)

    book.restart()
    book.on_delta(spot_delta(17, 18, (17, "buy", 1.0, 1.0), (18, "buy", 2.0, 2.0)), 0)

    assert book.on_snapshot(snapshot(16), local=0, now=0.0) == ([], [])
    rows += book.on_snapshot(snapshot(17), local=0, now=1.0)[0]
    assert sequences(rows) == [17, "snapshot 17", 18]


# -- snapshots in the stream (the pro feed) ------------------------------------------------------


def seeded_book(sequence=16):
    book = BookSync(SYMBOL, seeds_itself=True)
    rows, gaps = book.on_seed(snapshot(sequence), 0)
    assert book.is_ready
    assert sequences(rows) == [f"snapshot {sequence}"]
    assert gaps == []
    return book


def batch(first, last):
    return BookDelta(1_000 + last, SYMBOL, first, last, (BookChange(last, "buy", 3988.5, 44.0),))


def test_a_snapshot_in_the_stream_begins_the_book_at_once():
    book = seeded_book()

    rows, gap = book.on_delta(batch(17, 19), 0)

    assert gap is None
    assert sequences(rows) == [19]
    assert book.sequence == 19
    assert book.copy().bids == [(3988.51, 56.0), (3988.5, 44.0), (3988.49, 100.0), (3988.48, 10.0)]


def test_a_batch_that_begins_before_the_snapshot_is_valid():
    book = seeded_book()

    rows, gap = book.on_delta(batch(14, 18), 0)

    assert (sequences(rows), gap, book.sequence) == ([18], None, 18)


def test_a_batch_within_the_snapshot_is_a_repeat():
    book = seeded_book()
    book.on_delta(batch(17, 18), 0)

    assert book.on_delta(batch(17, 18), 0) == ([], None)
    assert book.duplicates == 1


def test_a_gap_wants_a_subscription_and_the_next_snapshot_closes_it():
    book = seeded_book()
    _, gap = book.on_delta(batch(20, 21), 0)
    assert gap == BookGap(SYMBOL, 17, 19, "missing")
    assert book.wants_snapshot(0.0)
    with pytest.raises(BookNotReady):
        book.copy()

    book.snapshot_requested()
    assert not book.wants_snapshot(1e9)
    book.on_delta(batch(22, 22), 0)
    rows, gaps = book.on_seed(snapshot(30), 0)

    assert gaps == [BookGap(SYMBOL, 23, 30, "resubscribed")]
    assert sequences(rows) == [21, 22, "snapshot 30"]
    assert read_from_the_top(rows) == (book.copy().bids, book.copy().asks)


def test_a_snapshot_that_comes_unasked_replaces_the_book_and_tells_what_it_skips():
    book = seeded_book()

    rows, gaps = book.on_seed(snapshot(20, bids=BIDS[:1]), 0)

    assert gaps == [BookGap(SYMBOL, 17, 20, "missing")]
    assert sequences(rows) == ["snapshot 20"]
    assert book.copy().bids == BIDS[:1]


def test_a_repeated_snapshot_is_counted_and_dropped():
    book = seeded_book()

    assert book.on_seed(snapshot(16), 0) == ([], [])
    assert book.duplicates == 1


def test_deltas_before_the_first_snapshot_wait_for_it_patiently():
    book = BookSync(SYMBOL, seeds_itself=True)
    book.on_delta(batch(15, 16), 0)
    assert not book.wants_snapshot(1e9)  # the subscription is not acknowledged yet
    book.subscribed(0.0, seed_patience=10.0)
    assert not book.wants_snapshot(9.9)
    assert book.wants_snapshot(10.0)

    book.on_delta(batch(17, 18), 0)
    rows, gaps = book.on_seed(snapshot(16), 0)

    assert (sequences(rows), gaps) == (["snapshot 16", 18], [])


def test_a_snapshot_that_cannot_be_joined_is_left_out():
    book = seeded_book()
    book.on_delta(batch(20, 21), 0)

    assert book.on_seed(snapshot(18), 0) == ([], [])
    assert not book.is_ready


def test_after_a_reconnect_the_snapshot_tells_what_was_missed():
    book = seeded_book()
    book.restart()

    rows, gaps = book.on_seed(snapshot(25), 0)

    assert gaps == [BookGap(SYMBOL, 17, 25, "disconnected")]
    assert sequences(rows) == ["snapshot 25"]


def test_after_a_reconnect_an_older_snapshot_is_left_out():
    book = seeded_book()
    book.restart()

    assert book.on_seed(snapshot(15), 0) == ([], [])
    assert not book.is_ready


def test_a_snapshot_of_a_renumbered_book_begins_another_history():
    book = seeded_book(10**9)

    rows, gaps = book.on_seed(snapshot(16), 0)

    assert [gap.cause for gap in gaps] == ["rebase"]
    assert sequences(rows) == ["snapshot 16"]
    assert book.on_delta(batch(17, 17), 0)[1] is None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["delta", "drop", "seed", "stale", "repeat", "restart"]), max_size=40)
)
def test_every_sequence_is_in_the_rows_or_in_one_gap(actions):
    book, at, told, missing = BookSync(SYMBOL, seeds_itself=True), 100, [], []
    began, last, received = None, None, []
    for number, action in enumerate(actions):
        rows, gaps = [], []
        if action in ("delta", "repeat"):
            at += action == "delta"
            rows, gap = book.on_delta(batch(at, at), 0)
            gaps = [gap] if gap else []
        elif action == "drop":
            at += 1
        elif action == "restart":
            book.restart()
        else:
            rows, gaps = book.on_seed(snapshot(at - 3 * (action == "stale")), 0)
        told += [row.sequence for row in rows if not row.is_snapshot]
        missing += [n for gap in gaps for n in range(gap.first_missing, gap.last_missing + 1)]
        if book.is_ready:
            began = book.sequence if began is None else began
            last = book.sequence
        if number % 7 == 0 or number == len(actions) - 1:
            account = book.take_received()
            received += [] if account is None else [account]

    check_accounts(received, set(told), set(missing))
    assert len(told + missing) == len(set(told + missing))
    if last is not None:
        accounted = {*told, *missing}
        assert set(range(began + 1, last + 1)) <= accounted | {began}


# -- books that are unsubscribed -----------------------------------------------------------------


def test_an_unsubscribed_book_takes_nothing_and_what_it_missed_is_told_with_the_cause():
    book = live_book(16)
    assert book.leave(0) == []
    assert book.doubt is None
    assert book.on_snapshot(snapshot(30), 0, 1.0) == ([], [])
    with pytest.raises(BookNotReady, match="subscribe to its 'level2' again"):
        book.copy()

    book.come_back()
    assert "the time without a subscription" in book.doubt
    book.restart()  # the connection is lost before anything has come
    book.subscribed(1.0)
    _, gap = book.on_delta(delta(25), 0)

    assert gap == BookGap(book.symbol, 17, 24, "unsubscribed")


def test_nothing_is_missing_where_the_market_was_quiet_meanwhile():
    book = live_book(16)
    book.leave(0)
    book.come_back()
    book.subscribed(1.0)

    _, gap = book.on_delta(delta(17), 0)
    rows, gaps = book.on_snapshot(snapshot(17), 0, 1.0)

    assert (gap, gaps) == (None, [])
    assert rows
    assert book.is_ready


def test_a_book_that_leaves_out_of_step_stays_in_doubt():
    book = live_book(16)
    book.on_delta(delta(20), 0)

    assert sequences(book.leave(0)) == [20]
    assert book.doubt == "the book was unsubscribed while out of step"
