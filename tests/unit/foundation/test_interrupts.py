"""Interrupts are raised at the right places, and lose nothing there."""

import contextlib
import signal
import sys
import threading

import pytest

import kucoin_research as kr
from kucoin_research.foundation import clocks, interrupts
from tests.conftest import wait_until
from tests.unit.interrupting import interrupt_at

pytestmark = pytest.mark.filterwarnings("ignore::kucoin_research.IncompleteData")


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_a_held_interrupt_is_raised_where_it_is_asked_for():
    with interrupts.hold():
        interrupt()
        assert interrupts.is_pending()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()  # once only

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_nobody_asked_for_is_passed_on_if_so_wanted():
    with interrupts.hold():
        interrupt()

    with pytest.raises(KeyboardInterrupt), interrupts.hold(passes_on=True):
        interrupt()


def test_the_outermost_decides():
    with interrupts.hold():
        with interrupts.hold(passes_on=True):
            interrupt()
        assert interrupts.is_pending()


def test_long_work_is_interrupted_at_once_and_its_cleaning_up_is_not():
    def work():
        try:
            interrupt()
        finally:
            interrupt()
            cleaned.append(True)

    cleaned = []
    with interrupts.hold():
        with pytest.raises(KeyboardInterrupt), interrupts.passing():
            work()
        assert interrupts.is_pending()

    assert cleaned


def test_what_came_before_long_work_prevents_it():
    with interrupts.hold():
        interrupt()
        with pytest.raises(KeyboardInterrupt), interrupts.passing():
            pytest.fail("it was begun")


def test_a_handler_of_somebody_else_is_left_alone():
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        with interrupts.hold():
            interrupt()
            assert not interrupts.is_pending()
    finally:
        signal.signal(signal.SIGINT, before)

    assert seen == [1]


def test_other_threads_are_not_concerned():
    def work():
        with interrupts.hold(passes_on=True):
            done.append(interrupts.is_pending())
            interrupts.check()

    done = []
    with interrupts.hold():
        interrupt()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert done == [False]


class Interrupting(threading.Thread):
    """Interrupts the caller of ``is_alive``."""

    def is_alive(self):
        interrupt()
        return super().is_alive()


def test_an_interrupt_ends_the_wait_for_a_thread():
    release = threading.Event()
    thread = Interrupting(target=release.wait)
    thread.start()
    with interrupts.hold():
        interrupts.join([thread], 3600.0, seen=interrupts.arrived(), clock=clocks.current())
    release.set()
    threading.Thread.join(thread)


# -- at any step -----------------------------------------------------------------------------------

STEPS = 40  # of each call, spread evenly


def spread(count):
    return range(1, count, max(1, count // STEPS))


def nothing_is_left():
    def threads():
        return [each for each in threading.enumerate() if each.name.startswith("kucoin-XBT")]

    assert kr.running() == []
    wait_until(lambda: not threads())


def check_at_each_step(work, holds):
    """Interrupt some work at its first step, then at its second, and so on; check after each."""

    def done(*numbers):
        with contextlib.suppress(KeyboardInterrupt), interrupt_at(*numbers) as lines:
            work()
        return lines()

    steps = range(1, done() + 1)
    assert steps
    for number in steps:
        done(number)
        assert holds(), number


def test_no_step_that_is_interrupted_leaves_an_exception_that_was_handled():
    check_at_each_step(threading.Event, lambda: sys.exc_info() == (None, None, None))


def test_no_step_that_is_interrupted_leaves_a_lock_that_its_block_should_release():
    check_at_each_step(
        threading.enumerate, lambda: "unlocked" in repr(threading._active_limbo_lock)
    )


def collected(exchange, *numbers, after=None):
    with interrupt_at(*numbers, after=after) as lines:
        try:
            frame = kr.stream_to_frame("XBTUSDTM", rows=5, venue=exchange.venue, progress=False)
        except KeyboardInterrupt:
            frame = None
    return frame, lines()


def test_an_interrupted_collection_leaves_nothing_running(exchange):
    _, count = collected(exchange)

    for number in spread(count):
        collected(exchange, number)
        nothing_is_left()


def test_a_collection_returns_what_has_arrived_however_often_it_is_interrupted(exchange):
    _, count = collected(exchange, after="collect")

    for number in spread(count):
        frame, _ = collected(exchange, number, number + 7, number + 50, after="collect")
        nothing_is_left()
        assert frame is not None


def test_a_stream_that_is_interrupted_as_it_starts_is_not_left_running(exchange):
    def started(*numbers):
        with interrupt_at(*numbers) as lines:
            try:
                kr.stream("XBTUSDTM", venue=exchange.venue).stop()
            except KeyboardInterrupt:
                caught.append(numbers)
        return lines()

    caught = []
    count = started()

    for number in spread(count):
        started(number)
        nothing_is_left()

    assert len(caught) > STEPS // 2


def test_a_recording_is_whole_wherever_its_wait_is_interrupted(exchange, tmp_path):
    def recorded(*numbers):
        run = kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, progress=False)
        run.stream.wait(rows=1)
        with interrupt_at(*numbers) as lines:
            run.wait(timeout=0.2)
        run.stop()
        return run, lines()

    _, count = recorded()

    for number in spread(count)[::4]:
        run, _ = recorded(number, number + 30)
        nothing_is_left()
        assert run.session().verify().ok
