from kucoin_research.model.records import Status
from kucoin_research.sessions.writing.row_queue import RowQueue
from tests.unit.rows import ticker


def tickers(count):
    return [ticker(number) for number in range(count)]


def status():
    values = dict.fromkeys(Status._fields)
    return Status(**values | {"local_timestamp": 1, "event": "recording_dropped"})


def test_rows_without_room_are_dropped_and_counted_once():
    queue = RowQueue(5, lambda: False)

    queue.put(tickers(3))
    queue.put(tickers(4))

    assert (queue.waiting, queue.room, queue.dropped) == (5, 0, 2)
    assert [loss.rows for loss in queue.losses()] == [2]
    assert (queue.take_unreported(), queue.take_unreported()) == (2, 0)


def test_a_row_waits_until_it_is_settled_not_until_it_is_drained():
    queue = RowQueue(5, lambda: False)
    queue.put(tickers(3))

    assert sum(map(len, queue.drain())) == 3
    assert queue.waiting == 3
    queue.settle(2, 1)
    assert (queue.waiting, queue.room) == (1, 5)  # the row that waits apart takes no room


def test_status_rows_have_room_of_their_own():
    queue = RowQueue(1, lambda: False)

    queue.put(tickers(1))
    queue.put([status()])

    assert (queue.waiting, queue.dropped) == (2, 0)


def test_a_closed_recording_takes_no_rows():
    queue = RowQueue(5, lambda: True)

    queue.put(tickers(2))

    assert (queue.waiting, queue.dropped) == (0, 2)
