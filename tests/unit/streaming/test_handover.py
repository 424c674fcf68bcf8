"""Two connections bring the same: every message comes once, in order, whoever was faster."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.exchange.websocket.decode_classic import Broken
from kucoin_research.model.orderbook import BookDelta
from kucoin_research.model.records import MarkPrice, Trade
from kucoin_research.streaming.handover import Handover


def mark(number, local=0, symbol="XBTUSDTM"):
    return MarkPrice(number, local, symbol, 1.0, 2.0)


def trade(number, local=0):
    return Trade(number, local, "XBTUSDTM", number, str(number), "buy", 1.0, 1.0)


def delta(number):
    return BookDelta(number, "XBTUSDTM", number, number, ())


def through(source, *, opened, taken_over, first_at, second_at):
    """Play a source over two connections; positions say what each has brought by then.

    The first is watched from ``opened`` on and brings all before ``first_at``; the second begins at
    ``opened`` too, has brought all before ``second_at`` when it takes over, and the rest then.
    """
    overlap, kept = Handover(), list(source[:first_at])
    for item in source[opened:first_at]:
        overlap.saw(item)
    for local, item in enumerate(source[taken_over:second_at]):
        overlap.hold(item, local)
    kept += [item for _, item in overlap.fresh()]
    for item in source[max(second_at, taken_over) :]:
        if not overlap.repeats(item):
            kept.append(item)
    return kept


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_message_comes_once_and_in_order(data):
    makers = data.draw(st.lists(st.sampled_from([mark, trade, delta]), min_size=1, max_size=40))
    source = [make(number) for number, make in enumerate(makers)]
    size = len(source)
    opened = data.draw(st.integers(0, size))
    begun = data.draw(st.integers(opened, size))  # the second's first message
    first_at = data.draw(st.integers(begun, size))  # nothing between the two is lost
    second_at = data.draw(st.integers(begun, size))

    kept = through(source, opened=opened, taken_over=begun, first_at=first_at, second_at=second_at)

    assert kept == source


def test_who_was_ahead_is_known_until_the_other_has_brought_the_like():
    overlap = Handover()
    assert not overlap.is_ahead(0)
    overlap.hold(trade(1), 100)
    overlap.hold(trade(2), 200)

    assert overlap.is_ahead(99)
    assert not overlap.is_ahead(100)  # so long ago that the other does not bring it any more
    overlap.saw(mark(1))
    assert overlap.is_ahead(99)
    overlap.saw(trade(1))
    assert not overlap.is_ahead(0)


def test_what_the_first_has_lost_comes_from_the_second():
    overlap = Handover()
    for number in (1, 2, 4):
        overlap.saw(trade(number))
    for number in (1, 2, 3, 4, 5):
        overlap.hold(trade(number), number)

    assert [item.sequence for _, item in overlap.fresh()] == [3, 5]


def test_arrivals_and_local_stamps_do_not_matter():
    overlap = Handover()
    overlap.saw(mark(1, local=100))
    overlap.hold(mark(1, local=200), 7)
    overlap.hold(mark(2, local=201), 8)

    assert list(overlap.fresh()) == [(8, mark(2, local=201))]


def test_a_line_that_only_the_second_brings_has_stalled():
    overlap = Handover()
    overlap.saw(mark(1))
    overlap.hold(mark(1), 5)
    overlap.hold(trade(1), 6)
    overlap.hold(trade(2), 7)

    assert overlap.stalled_since(Trade, "XBTUSDTM") == 6
    assert overlap.stalled_since(MarkPrice, "XBTUSDTM") is None
    assert overlap.stalled_since(Trade, "ETHUSDTM") is None


def test_the_same_message_may_come_twice_if_it_came_twice_before():
    overlap = Handover()
    overlap.saw(mark(1))
    overlap.hold(mark(1), 1)
    overlap.hold(mark(1), 2)

    list(overlap.fresh())

    assert not overlap.repeats(mark(1))  # the exchange says it again


def test_broken_messages_are_told_apart_too():
    overlap = Handover()
    overlap.saw(Broken("no JSON", None))
    overlap.hold(Broken("no JSON", None), 1)
    overlap.hold(Broken("no number", "/a"), 2)

    assert [item for _, item in overlap.fresh()] == [Broken("no number", "/a")]
