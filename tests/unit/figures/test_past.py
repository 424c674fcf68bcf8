"""The past of a symbol: what is kept of it, and when the exchange is asked."""

from types import SimpleNamespace

import pytest

import kucoin_research as kr
from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.past import PAGE, Past, Want
from kucoin_research.foundation import clocks
from tests.unit.figures.past_market import DAWN, MINUTE, AtOnce, Market, trade


class Waiting(AtOnce):
    """A clock whose threads begin when ``go`` is called."""

    def __init__(self):
        super().__init__()
        self.started = []

    def thread(self, target, name):
        return SimpleNamespace(start=lambda: self.started.append(target))

    def go(self):
        for target in self.started:
            target()
        self.started.clear()


@pytest.fixture
def market():
    return Market(trade(DAWN + n * MINUTE, n) for n in range(1_000))


def past_of(market, clock=None):
    with clocks.use(clock or AtOnce()):
        return Past(market.history)


def minutes(begin, end):
    return Want("1min", DAWN + begin * MINUTE, DAWN + end * MINUTE)


def known(past, begin, end):
    reach, rows = past.candles("1min", DAWN + begin * MINUTE, DAWN + end * MINUTE)
    opens = [] if rows is None else nanoseconds(rows["timestamp"]).tolist()
    return (reach - DAWN) // MINUTE, [(each - DAWN) // MINUTE for each in opens]


def test_nothing_is_known_before_it_is_asked_for(market):
    assert known(past_of(market), 10, 20) == (20, [])
    assert not market.asked


def test_pages_are_asked_for_from_the_newest_back(market):
    past = past_of(market)

    past.ask([minutes(100, 100 + 2 * PAGE)])

    assert [each[1] for each in market.asked] == [DAWN + (100 + n) * MINUTE for n in (PAGE, 0)]
    assert known(past, 100, 110) == (100, list(range(100, 110)))


def test_stretches_that_touch_become_one_and_others_stay_apart(market):
    past = past_of(market)

    past.ask([minutes(100, 150), minutes(300, 320)])
    apart = known(past, 90, 320)
    past.ask([minutes(140, 300)])

    assert apart == (300, list(range(300, 320)))
    assert known(past, 90, 320) == (100, list(range(100, 320)))


def test_time_without_trades_is_known_as_well():
    market = Market([trade(DAWN, 1), trade(DAWN + 900 * MINUTE, 2)])
    past = past_of(market)

    past.ask([minutes(100, 120)])

    assert known(past, 100, 120) == (100, [])


def test_only_one_answer_is_waited_for_at_a_time(market):
    clock = Waiting()
    past = past_of(market, clock)

    assert past.ask([minutes(0, 10)])
    assert not past.ask([minutes(10, 20)])
    clock.go()
    assert past.ask([minutes(10, 20)])


def test_the_wait_after_failures_doubles_and_ends_with_a_success(market):
    clock = AtOnce()
    past = past_of(market, clock)
    market.failing = kr.Unreachable("nobody answers")
    begun = []

    for second in range(40):
        clock.now = float(second)
        begun += [second] if past.ask([minutes(0, 10)]) else []
    market.failing = None
    clock.now = 100.0
    past.ask([minutes(0, 10)])

    assert begun == [0, 5, 15, 35]
    assert past.note == ""
    assert past.ask([minutes(20, 30)])


def test_a_rate_limit_is_waited_for_and_no_seconds_stand_still_in_the_note(market):
    clock = AtOnce()
    past = past_of(market, clock)
    market.failing = kr.RateLimited("in 20 s", retry_after=20.0)

    past.ask([minutes(0, 10)])
    clock.now = 19.0

    assert past.note == "history: the exchange takes no more requests for now; it is tried again"
    assert not past.ask([minutes(0, 10)])


def test_the_pages_before_a_failure_are_kept(market):
    past = past_of(market)
    answer = market.candles

    def fail_later(interval, start, end):
        if len(market.asked) == 1:
            market.failing = kr.Unreachable("nobody answers")
        return answer(interval, start, end)

    market.candles = fail_later
    past.ask([minutes(0, 3 * PAGE)])

    assert known(past, 0, 3 * PAGE)[0] == 2 * PAGE
    assert "nobody answers" in past.note


def test_an_unexpected_error_is_said_too_and_does_not_block_the_next_request(market, caplog):
    clock = AtOnce()
    past = past_of(market, clock)
    market.failing = ValueError("odd")

    past.ask([minutes(0, 10)])
    market.failing, clock.now = None, 6.0

    assert past.note == "history: unexpected ValueError: odd; it is tried again"
    assert "unexpected error" in caplog.text
    assert past.ask([minutes(0, 10)])


def test_what_was_cancelled_is_neither_kept_nor_said(market):
    clock = Waiting()
    past = past_of(market, clock)

    past.ask([Want(), minutes(0, 10)])
    past.cancel()
    clock.go()

    assert market.closed == 1
    assert (past.trades, past.note, past.version) == (None, "", 0)
    assert past.ask([minutes(0, 10)])  # it may be asked again


def test_after_the_end_nothing_is_asked(market):
    past = past_of(market)
    past.ask([minutes(0, 10)])

    past.close()

    assert not past.ask([minutes(10, 20)])
    assert market.closed == 1
    assert known(past, 0, 10)[0] == 0  # a last picture may still show it


def test_requests_of_real_threads_do_not_hold_up_the_caller():
    clock = clocks.Clock()
    market = Market([trade(DAWN, 1)])
    past = past_of(market, clock)
    held = clock.event()
    answer = market.known
    market.known = lambda: held.wait(10) and answer()

    past.ask([Want()])

    assert past.trades is None
    held.set()
    deadline = clock.monotonic() + 30
    pause = clock.event()
    while past.trades is None and clock.monotonic() < deadline:
        pause.wait(0.001)
    assert past.trades.height == 1
