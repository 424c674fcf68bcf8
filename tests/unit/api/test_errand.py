"""A repeated call: its waits, what it says while it fails, and how it begins again."""

import pytest

import kucoin_research as kr
from kucoin_research.api.errand import Errand
from kucoin_research.foundation import clocks
from tests.conftest import wait_until


class Told:
    """A call that does what it is told, and an errand for it."""

    def __init__(self, every=1.0):
        self.clock = clocks.current()
        self.ending = self.clock.event()
        self.calls, self.error, self.takes = 0, None, 0.0
        self.errand = Errand("prices", every, self.call, clock=self.clock, ending=self.ending)

    def call(self):
        self.calls += 1
        self.ending.wait(self.takes)
        if self.error is not None:
            raise self.error


@pytest.fixture
def told():
    made = Told()
    yield made
    made.ending.set()
    made.errand.join(5.0)


def test_it_is_still_tried_after_an_outage_of_days(told, held_time):
    told.error = kr.Unreachable("nobody answers")
    told.errand.failures = 5_000
    told.errand.start()
    held_time.pass_by(61)

    assert told.calls == 3
    assert told.errand.trouble.startswith("no new prices (5003 times; tried again within 30 s)")
    told.error = None
    wait_until(lambda: not told.errand.trouble)


def test_the_time_to_the_next_try_is_counted_down(told, held_time):
    told.error = kr.Unreachable("nobody answers")
    told.errand.failures = 9
    told.errand.start()
    held_time.pass_by(1)
    before = told.errand.trouble
    held_time.pass_by(20)

    assert "within 30 s" in before
    assert "within 10 s" in told.errand.trouble


def test_the_seconds_of_a_rate_limit_do_not_stand_still(told, held_time):
    told.error = kr.RateLimited("takes no more requests for 19 s")
    told.errand.start()
    held_time.pass_by(0.5)

    assert told.errand.trouble == (
        "no new prices (once; tried again within 5 s): the exchange takes no more requests for now"
    )


def test_a_call_that_hangs_is_named_once_it_is_late(told, held_time):
    told.takes = 20.0
    told.errand.start()
    held_time.pass_by(2)
    assert told.errand.trouble == ""
    held_time.pass_by(10)

    assert told.errand.trouble == "no new prices for 15 s: no answer has come yet"


def test_an_unexpected_error_ends_it_and_is_named_until_it_is_started_again(
    told, held_time, caplog
):
    told.error = ZeroDivisionError("no")
    told.errand.start()
    held_time.pass_by(3)

    assert (told.calls, told.errand.is_running) == (1, False)
    assert told.errand.trouble == (
        "no new prices: unexpected ZeroDivisionError: no; start() asks again"
    )
    assert "unexpected error" in caplog.text
    told.error = None
    told.errand.start()
    held_time.pass_by(3)
    assert told.calls > 2
    assert (told.errand.is_running, told.errand.trouble) == (True, "")


def test_a_stream_that_was_stopped_by_others_is_a_failure_and_no_endless_loop(told, held_time):
    told.error = kr.StreamStopped("it was stopped")
    told.errand.start()
    held_time.pass_by(10)

    assert told.calls < 6
    assert "it was stopped" in told.errand.trouble
