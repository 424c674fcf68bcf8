from kucoin_research.model.records import Status
from kucoin_research.playback.orders import Note, Orders, Seek


def row(detail):
    return Status(1, 1, None, "note", None, detail, None, None)


def test_notes_come_before_a_seek_and_are_taken_once():
    orders = Orders()
    orders.add_seek(5)
    orders.add_note(row("a"))

    assert orders.next() == Note(row("a"))
    assert orders.next() == orders.next() == Seek(5, 1)  # it stays until it is done


def test_a_seek_that_was_replaced_is_reached_with_the_later_one():
    orders = Orders()
    first = orders.add_seek(5)
    being_done = orders.seek
    second = orders.add_seek(7)

    assert not orders.finish(being_done)
    assert not orders.is_reached(first)
    assert orders.finish(orders.seek)
    assert orders.is_reached(first)
    assert orders.is_reached(second)
    assert orders.is_empty


def test_a_seek_that_is_dropped_is_not_reached():
    orders = Orders()
    ticket = orders.add_seek(5)

    orders.drop_seek()

    assert orders.is_empty
    assert not orders.is_reached(ticket)


def test_notes_that_are_taken_are_gone():
    orders = Orders()
    orders.add_note(row("a"))
    orders.add_note(row("b"))

    assert orders.take_notes() == [row("a"), row("b")]
    assert orders.is_empty
