"""Held time stands still while any thread works, and is the same on each run."""

import socket
import threading

import pytest

import kucoin_research as kr
from kucoin_research.exchange.rest.client import Rest
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate
from tests.held_time import HeldTime, Stuck


def test_time_passes_only_while_all_wait(held_time):
    began = held_time.monotonic()
    sum(range(100_000))
    assert held_time.monotonic() == began

    held_time.pass_by(3_600.0)

    assert held_time.monotonic() == began + 3_600.0


def test_threads_run_one_at_a_time_and_in_order(held_time):
    heard = []

    def work(name, pause):
        for number in range(3):
            heard.append((name, number))
            held_time.pass_by(pause)

    threads = [spawn(work, "a", 1.0), spawn(work, "b", 1.0), spawn(work, "c", 0.4)]
    for thread in threads:
        thread.join()

    assert heard == [
        ("a", 0), ("b", 0), ("c", 0), ("c", 1), ("c", 2), ("a", 1), ("b", 1), ("a", 2), ("b", 2),
    ]  # fmt: skip


def test_an_event_ends_a_wait_at_the_moment_it_is_set(held_time):
    event, began = held_time.event(), held_time.monotonic()
    spawn(lambda: (held_time.pass_by(2.5), event.set()))

    assert not event.wait(1.0)
    assert event.wait(10.0)
    assert held_time.monotonic() == began + 2.5


def test_a_condition_wakes_those_that_were_notified(held_time):
    condition, woken = held_time.condition(), []

    def wait(name):
        with condition:
            woken.append((name, condition.wait(5.0)))

    waiting = [spawn(wait, "first"), spawn(wait, "second")]
    held_time.pass_by(1.0)
    with condition:
        condition.notify()
    for thread in waiting:
        thread.join()

    assert woken == [("first", True), ("second", False)]


def test_a_lock_may_be_held_while_its_holder_waits(held_time):
    lock, began = held_time.lock(), held_time.monotonic()

    def hold():
        with lock:
            held_time.pass_by(2.0)

    holder = spawn(hold)
    held_time.pass_by(0.5)
    assert not lock.acquire(timeout=1.0)
    assert lock.acquire()
    assert held_time.monotonic() == began + 2.0
    lock.release()
    holder.join()


def test_a_join_keeps_its_timeout(held_time):
    thread, began = spawn(held_time.pass_by, 3.0), held_time.monotonic()

    thread.join(1.0)
    assert thread.is_alive()
    assert held_time.monotonic() == began + 1.0
    thread.join()
    assert not thread.is_alive()


def test_those_that_wait_for_one_another_are_listed_with_their_places():
    def wait_for_ever():
        with HeldTime() as time:
            time.thread(time.event().wait, "a waiting thread").start()
            time.event().wait()

    with pytest.raises(Stuck, match="without end") as caught:
        wait_for_ever()

    assert "a waiting thread" in str(caught.value)


def test_a_thread_that_is_left_running_is_told():
    with pytest.raises(AssertionError, match="left behind"), HeldTime() as time:
        time.thread(time.event().wait, "left behind").start()


def test_a_plain_thread_may_not_wait_in_it(held_time):
    failed = []

    def wait():
        try:
            held_time.pass_by(1.0)
        except Stuck as error:
            failed.append(str(error))

    thread = threading.Thread(target=wait, name="plain")
    thread.start()
    thread.join()

    assert failed == ["plain is no thread of held time's clock"]


def test_a_server_that_does_not_answer_is_given_up_after_its_time(held_time):
    began = held_time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Rest(kr.Venue(url, url), timeout=(5.0, 7.0)) as rest, pytest.raises(kr.NetworkError):
            rest.server_time("futures")

    assert held_time.monotonic() - began == pytest.approx(7.0)


def test_a_lost_pong_is_answered_by_another_connection(held_time):
    """The example of CONTRIBUTING."""
    settings = {"ping_interval_ms": 1_000, "ping_timeout_ms": 1_000}
    with (
        simulate(seed=7, speed=5.0, **settings) as x,
        kr.stream("XBTUSDTM", "bbo", venue=x.venue) as s,
    ):
        s.wait(rows=100)
        x.inject("mute_pong", count=1)
        wait_until(lambda: s.status.rollovers == 1)
        x.pause()
        held_time.pass_by(60)
        assert s.state is kr.State.LIVE
        assert s.status.reconnects == 0
        assert s.status.gaps == 0


def rows_of_a_run():
    with HeldTime() as time, simulate(seed=11, speed=10.0) as x:
        channels = ["bbo", "trade", "level2", "status"]
        with kr.stream("XBTUSDTM", channels[:3], venue=x.venue) as s:
            s.wait("trade", rows=30)
            x.inject("abort")
            time.wait_until(lambda: s.status.reconnects == 1)
            s.wait("trade", rows=60)
        return [s.frame(channel).drop("detail", strict=False).rows() for channel in channels]


def test_every_run_has_the_same_rows_at_the_same_moments():
    assert rows_of_a_run() == rows_of_a_run()
