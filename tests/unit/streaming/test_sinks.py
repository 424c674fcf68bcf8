"""An outlet: in order, once each, never waited for, and bounded."""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import Future

import pytest

from kucoin_research.foundation.callbacks import BatchSink, NeverRun
from kucoin_research.streaming.sinks import SinkWorker
from tests.conftest import spawn, wait_until


def worker_of(call, *, wants=lambda _: True, report=lambda *_: None, most=1_000):
    worker = SinkWorker(
        call, wants, name="sink", thread_name="test-sink", report=report, most_waiting=most
    )
    worker.thread.start()
    return worker


def ended(worker):
    worker.close()
    worker.thread.join(10)
    return not worker.thread.is_alive()


def test_items_come_once_and_in_order():
    seen = []
    worker = worker_of(seen.append)
    for start in range(0, 1_000, 10):
        worker.put(range(start, start + 10))

    assert ended(worker)
    assert seen == list(range(1_000))


def test_only_what_is_wanted_comes():
    seen = []
    worker = worker_of(seen.append, wants=lambda item: item % 2 == 0)
    worker.put(range(10))

    assert ended(worker)
    assert seen == [0, 2, 4, 6, 8]


def test_what_there_is_no_room_for_is_counted_and_told(held_time):
    told, seen, release = [], [], held_time.event()

    def slow(item):
        seen.append(item)
        release.wait(10)

    worker = worker_of(
        slow, wants=lambda item: item != 13, report=lambda *what: told.append(what), most=4
    )
    worker.put([0])
    wait_until(lambda: seen)
    worker.put([1, 2, 3])
    worker.put([11, 13, 12, 14])  # three of which it wants, and there is room for one
    release.set()

    assert ended(worker)
    assert seen == [0, 1, 2, 3, 11]
    assert worker.dropped == 2
    assert told[0][0] == "sink_slow"
    assert "2 records were not handed to it" in told[0][1]


def test_a_call_that_does_not_return_is_told_while_it_lasts(held_time):
    told, seen, release = [], [], held_time.event()

    def hang(item):
        seen.append(item)
        release.wait(1_000)

    worker = worker_of(hang, report=lambda *what: told.append(what), most=4)
    worker.put([0])
    wait_until(lambda: seen)
    worker.look()
    assert told == []
    held_time.pass_by(1.5)
    worker.look()
    worker.look()
    assert [text for _, text in told] == ["sink is 1.5 s behind; the feed goes on without it"]
    worker.put(range(1, 8))
    worker.look()
    worker.look()
    assert len(told) == 2
    assert "and 3 records were not handed to it" in told[1][1]
    held_time.pass_by(60.0)
    worker.look()
    assert len(told) == 3
    release.set()
    assert ended(worker)
    worker.look()
    assert len(told) == 3


def test_what_is_not_wanted_takes_no_room(held_time):
    seen, release = [], held_time.event()

    def slow(item):
        seen.append(item)
        release.wait(10)

    worker = worker_of(slow, wants=lambda item: item > 0, most=3)
    worker.put([1])
    wait_until(lambda: seen)
    for item in (2, 3):
        worker.put([0] * 100)
        worker.put([item])
    release.set()

    assert ended(worker)
    assert seen == [1, 2, 3]
    assert worker.dropped == 0


@pytest.mark.parametrize("error", [RuntimeError("no disk"), SystemExit(1), StopIteration()])
def test_a_function_that_raises_is_called_no_more(error):
    told, calls = [], []

    def broken(item):
        calls.append(item)
        raise error

    worker = worker_of(broken, report=lambda *what: told.append(what))
    worker.put([1, 2])
    worker.thread.join(10)
    worker.put([3])

    assert calls == [1]
    assert [event for event, _ in told] == ["sink_failed"]
    assert "sink raised" in told[0][1]
    assert worker.failure.error is error
    assert "raise error" in worker.failure.trace
    assert not worker.is_open


def test_detaching_waits_for_the_call_under_way(held_time):
    entered, release, done = held_time.event(), held_time.event(), []

    def slow(_):
        entered.set()
        release.wait(10)
        done.append(True)

    worker = worker_of(slow)
    worker.put([1, 2, 3])
    entered.wait(10)
    spawn(lambda: (held_time.pass_by(0.05), release.set()))
    worker.detach()

    assert done == [True]
    worker.thread.join(10)
    assert done == [True]


def test_a_function_may_detach_itself():
    seen = []

    def once(item):
        seen.append(item)
        worker.detach()

    worker = worker_of(once)
    worker.put([1, 2])
    worker.thread.join(10)

    assert seen == [1]


async def co(_):
    """Stand for a user's coroutine."""


def generate(item):
    yield item


async def generate_later(item):
    yield item


@pytest.mark.parametrize("kind", [co, generate, generate_later])
@pytest.mark.parametrize("made", ["an outlet", "a batch sink"])
def test_a_function_whose_work_nobody_does_is_told_and_called_no_more(made, kind):
    told, calls = [], []

    def call(item):
        calls.append(item)
        return kind(item)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python would warn of a coroutine that is let go
        if made == "an outlet":
            worker = worker_of(call, report=lambda *what: told.append(what))
            worker.put([1, 2])
            worker.thread.join(10)
            error, shown = worker.failure.error, str(worker.failure)
            assert [event for event, _ in told] == ["sink_failed"]
        else:
            error = BatchSink(call).take(1)
            shown = str(error)

    assert calls == [1]
    assert isinstance(error, NeverRun)
    assert "returned a" in shown
    assert "of which nothing runs" in shown
    assert "raised" not in shown


def test_a_function_may_return_what_runs_or_is_no_work_at_all():
    loop = asyncio.new_event_loop()

    async def make_task():
        return asyncio.create_task(co(None))

    async def again():
        return 5

    started = generate(1)
    next(started)
    results = [5, "text", [1], Future(), loop.create_future(), loop.run_until_complete(again())]
    results += [started, loop.run_until_complete(make_task()), iter([1])]
    try:
        for result in results:
            assert BatchSink(lambda _, result=result: result).take([1]) is None
    finally:
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
