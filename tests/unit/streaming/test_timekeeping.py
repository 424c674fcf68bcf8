"""Offsets of the exchange's clock: the best of several, from then on, and by the stamps' clock."""

from __future__ import annotations

import random

import numpy as np
import polars as pl
import pytest

from kucoin_research.errors import Unreachable
from kucoin_research.exchange.rest.client import ClockOffset
from kucoin_research.model.channels import Market
from kucoin_research.streaming.timekeeping import ClockOffsets, Timekeeper
from tests.set_clock import SetClock

MS = 1_000_000
SECOND = 1_000_000_000
START = 1_795_000_000 * SECOND


def offset(ms, uncertainty_ms=1.0):
    return ClockOffset(int(ms * MS), int(uncertainty_ms * MS))


def at(offsets, *seconds):
    stamps = np.array([START + int(each * SECOND) for each in seconds], dtype=np.int64)
    return [None if np.isnan(each) else each / MS for each in offsets.at(stamps)]


def measured(offsets, answers, second):
    offsets.request(second)
    for answer in answers:
        assert offsets.wants(second)
        offsets.take(answer, START + int(second * SECOND), second)
    assert not offsets.wants(second)


@pytest.fixture
def offsets():
    return ClockOffsets(START)


# -- one market ------------------------------------------------------------------------------------


def test_nothing_is_known_before_it_is_asked_for(offsets):
    assert not offsets.wants(1e9)
    assert offsets.newest is None
    assert at(offsets, 0, 5) == [None, None]


def test_one_answer_alone_tells_nothing_as_it_may_have_had_to_connect(offsets):
    offsets.request(1.0)
    offsets.take(offset(55, uncertainty_ms=100), START, 1.0)

    assert offsets.newest is None


def test_the_answer_that_came_fastest_counts_and_holds_from_the_start(offsets):
    answers = [offset(55, 100), offset(3, 50), offset(1, 20), offset(-4, 51), offset(1_000, 1_000)]
    measured(offsets, answers, 1.0)

    assert at(offsets, -1, 0, 0.5, 60) == [None, 1, 1, 1]


def test_what_is_measured_again_holds_from_then_on(offsets):
    measured(offsets, [offset(1)] * 5, 1.0)
    measured(offsets, [offset(8)] * 5, 700.0)

    assert at(offsets, 0, 699, 700, 900) == [1, 1, 8, 8]
    assert offsets.newest == offset(8)


def test_it_is_measured_again_after_a_while(offsets):
    measured(offsets, [offset(1)] * 5, 1.0)

    assert not offsets.wants(600.0)
    assert offsets.wants(602.0)


def test_a_slow_line_does_not_replace_what_is_known_better(offsets):
    measured(offsets, [offset(1, 5)] * 5, 1.0)
    measured(offsets, [offset(1_010, 1_000)] * 5, 700.0)

    assert at(offsets, 0, 800) == [1, 1]


def test_what_was_measured_long_ago_is_known_no_better_than_clocks_keep_time(offsets):
    measured(offsets, [offset(1, 5)] * 5, 1.0)
    measured(offsets, [offset(9, 30)] * 5, 601.0)  # a clock may be 60 ms off after ten minutes

    assert at(offsets, 0, 602) == [1, 9]


def test_a_clock_that_was_set_is_unknown_until_it_is_measured_again(offsets):
    measured(offsets, [offset(1)] * 5, 1.0)
    offsets.lose(START + 10 * SECOND, 10.0)
    offsets.lose(START + 11 * SECOND, 11.0)
    measured(offsets, [offset(5_001)] * 5, 20.0)

    assert at(offsets, 9, 10, 19, 20, 30) == [1, None, None, 5_001, 5_001]


def test_answers_from_before_a_clock_was_set_do_not_count(offsets):
    offsets.request(1.0)
    offsets.take(offset(1, 0.1), START, 1.0)
    offsets.lose(START + 2 * SECOND, 2.0)
    measured(offsets, [offset(5_001, 20)] * 5, 3.0)

    assert at(offsets, 0, 4) == [None, 5_001]


def test_a_failure_is_news_once_and_asked_again_after_a_while(offsets):
    offsets.request(1.0)

    assert offsets.fail(1.0)
    assert not offsets.wants(60.0)
    assert offsets.wants(61.5)
    assert not offsets.fail(61.5)
    offsets.take(offset(1), START, 130.0)
    assert offsets.fail(131.0)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_judged_by_what_was_measured_after_another_measurement_was_over(offsets, seed):
    chance = random.Random(seed)
    now, held = 0.0, []
    for _ in range(30):
        now += chance.uniform(1, 900)
        truth = chance.uniform(-50, 50)
        if chance.random() < 0.2:
            offsets.lose(START + int(now * SECOND), now)
            held.append((now, None))
            now += 1.0
        measured(offsets, [offset(truth, chance.uniform(1, 9)) for _ in range(5)], now)
        held.append((now, offsets.newest.offset_ns / MS))
    for since, value in held:
        assert at(offsets, since) == [value]


# -- a stream's ------------------------------------------------------------------------------------


class FakeRest:
    """Answers with the exchange's time, which is ``ahead`` of a right wall clock."""

    def __init__(self, clock):
        self.clock = clock
        self.ahead = {Market.FUTURES: 0.03, Market.SPOT: -0.2}
        self.trips = iter([])
        self.asked = 0
        self.error = None

    def clock_offset(self, market, now_ns):
        self.asked += 1
        if self.error is not None:
            raise self.error
        trip = next(self.trips, 0.02)
        asymmetry = trip / 2  # the worst: all of it on the way back
        self.clock.seconds += trip
        theirs = self.clock.right_ns() + int((self.ahead[market] - asymmetry) * SECOND)
        return ClockOffset(theirs - now_ns(), int(trip / 2 * SECOND))


class WrongClock(SetClock):
    """A wall clock that may be set, beside one that is right."""

    def __init__(self):
        self.wrong = 0.0
        super().__init__(seconds=100.0, wall_ns=START)

    def right_ns(self):
        return START + self.monotonic_ns()

    def wall_ns(self):
        return self.right_ns() + int(self.wrong * SECOND)


class Scene:
    def __init__(self, wrong=0.0, futures="XBTUSDTM", spot="BTC-USDT"):
        self.clock = WrongClock()
        self.clock.wrong = wrong
        self.rest = FakeRest(self.clock)
        self.told = []
        streamed = [(futures, Market.FUTURES), (spot, Market.SPOT)]
        self.time = Timekeeper(
            self.clock, self.rest, streamed, lambda event, detail: self.told.append((event, detail))
        )

    def connect(self):
        for market in (Market.FUTURES, Market.SPOT):
            self.time.request(market)
        self.measure()

    def measure(self):
        while self.time.measure():
            pass

    def row(self, symbol="XBTUSDTM", late=0.007):
        """Give stamp and time of a row that was so late."""
        market = Market.SPOT if "-" in symbol else Market.FUTURES
        sent = self.clock.right_ns() + int((self.rest.ahead[market] - late) * SECOND)
        return (symbol, sent, self.time.now_ns())

    def frame(self, *rows):
        utc = pl.Datetime("ns", "UTC")
        schema = {"symbol": pl.Categorical, "timestamp": utc, "local_timestamp": utc}
        return pl.DataFrame(list(rows), schema=schema, orient="row")

    def lags(self, *rows, **more):
        found = self.time.lags(self.frame(*rows).with_columns(**more))
        return [None if each is None else round(each) for each in found]

    def passes(self, seconds):
        """Let time pass as streams do, who look at the clock all the while."""
        for _ in range(100):
            self.clock.seconds += seconds / 100
            self.time.now_ns()
            self.time.report_moves()


@pytest.mark.parametrize("symbols", [{}, {"futures": "*", "spot": "*"}])
def test_lags_of_both_markets_are_those_of_their_own_clocks(symbols):
    scene = Scene(**symbols)
    scene.connect()
    lags = scene.lags(scene.row(), scene.row("BTC-USDT", late=0.09), scene.row(late=0.3))

    assert lags == [pytest.approx(7, abs=11), pytest.approx(90, abs=11), pytest.approx(300, abs=11)]


def test_one_slow_answer_does_not_make_a_whole_stream_late():
    scene = Scene()
    scene.rest.trips = iter([2.0, 0.02, 0.02, 0.02, 2.0])
    scene.time.request(Market.FUTURES)
    scene.measure()

    assert scene.lags(scene.row()) == [pytest.approx(7, abs=11)]


def test_rows_of_snapshots_have_no_lag():
    scene = Scene()
    scene.connect()

    assert scene.lags(scene.row(), is_snapshot=pl.lit(True)) == [None]


def test_rows_that_waited_before_they_were_stamped_have_no_lag():
    scene = Scene()
    scene.connect()
    rows = [scene.row() for _ in range(4) if scene.passes(1.0) is None]
    stamps = [row[2] for row in rows]
    frame = scene.frame(*rows)
    waited = [(stamps[0] - 9, stamps[0]), (stamps[1], stamps[2]), (stamps[3] - 1, stamps[3] + 1)]

    assert scene.time.lags(frame, waited).is_null().to_list() == [False, True, False, True]


@pytest.mark.parametrize("wrong", [5.0, 7_200.0, 28_800.0, -3.0])
def test_a_clock_that_is_set_right_leaves_neither_stamps_nor_lags_wrong(wrong):
    scene = Scene(wrong=wrong)
    scene.connect()
    before = scene.row()
    scene.passes(1.0)
    scene.clock.wrong = 0.0
    scene.time.now_ns()
    during = scene.row()
    scene.passes(2.1 * abs(wrong))
    scene.measure()
    after = scene.row()

    # While stamps are wrong the lag is taken against them; while they change it is not known.
    assert scene.lags(before, during, after) == [
        pytest.approx(7, abs=11), None, pytest.approx(7, abs=11)
    ]  # fmt: skip
    assert after[2] == scene.clock.wall_ns()
    assert [event for event, _ in scene.told] == ["clock_jump", "clock_right"][: 1 + (wrong > 0)]
    assert f"jumped by {-wrong:+.1f} s" in scene.told[0][1]


def test_a_clock_that_is_set_back_is_told_with_what_becomes_of_the_stamps():
    scene = Scene(wrong=5.0)
    scene.connect()
    scene.clock.wrong = 0.0
    scene.time.now_ns()
    scene.time.report_moves()
    scene.time.report_moves()

    ((event, detail),) = scene.told
    assert event == "clock_jump"
    assert detail == (
        "this machine's clock jumped by -5.0 s: local timestamps are 5.0 s ahead, and go on at "
        "half their pace for 10 s until they are right again; another stream's are right at once"
    )


def test_nothing_is_measured_while_stamps_are_wrong():
    scene = Scene(wrong=5.0)
    scene.connect()
    asked = scene.rest.asked
    scene.clock.wrong = 0.0
    scene.time.now_ns()
    scene.measure()
    scene.passes(5.0)
    scene.measure()

    assert scene.rest.asked == asked
    scene.passes(6.0)
    scene.measure()
    assert scene.rest.asked == asked + 10


def test_a_correction_by_a_time_server_is_not_told_but_measured():
    scene = Scene(wrong=-0.5)
    scene.connect()
    asked = scene.rest.asked
    scene.clock.wrong = 0.0
    after = scene.row()
    scene.measure()

    assert scene.told == []
    assert scene.rest.asked == asked + 10
    assert scene.lags(after, scene.row()) == [None, pytest.approx(7, abs=11)]


def test_a_clock_that_cannot_be_asked_is_told_once():
    scene = Scene()
    scene.rest.error = Unreachable("no answer")
    scene.time.request(Market.FUTURES)
    scene.measure()
    scene.passes(70.0)
    scene.measure()

    assert scene.told == [("clock_unknown", "no answer")]
    assert scene.rest.asked == 2
    assert scene.lags(scene.row()) == [None]
