"""Alerts: conditions in words and expressions, when they tell, and whom."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.alert_conditions import condition_of
from kucoin_research.dashboards.alerts import MOST_ALERTS, Alerts
from kucoin_research.dashboards.idle import Idle
from kucoin_research.figures.refresh import Ticket
from kucoin_research.figures.time_axis import Zone
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Channel
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.unit.dashboards.written_market import Market

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
SECOND = 1_000_000_000
START = 1_780_000_000 * SECOND


def trades(*prices, sizes=None, begin=0):
    times = pl.Series([START + (begin + k) * SECOND for k in range(len(prices))])
    return pl.DataFrame(
        {
            "timestamp": times.cast(pl.Datetime("ns", "UTC")),
            "local_timestamp": times.cast(pl.Datetime("ns", "UTC")),
            "symbol": ["XBTUSDTM"] * len(prices),
            "price": [float(each) for each in prices],
            "size": [1.0] * len(prices) if sizes is None else sizes,
            "side": ["buy"] * len(prices),
        }
    )


class Quiet:
    """Stands in for the refresh thread: the test looks by itself."""

    def add(self, tick, *, every):
        assert every <= 0.1
        return Ticket(tick, every, lambda: None)


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr("kucoin_research.dashboards.alerts.refresher", Quiet)
    made = []

    def alerts(source):
        sent = []
        found = Alerts(source, Zone(), sent.append)
        found.sent = sent
        made.append(found)
        return found

    yield alerts
    for each in made:
        each.close()


def values(alert):
    return [each.value for each in alert.fired]


# -- conditions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("price>65000", "price > 65,000"),
        ("Price  >=  65,000.5", "price >= 65,000.5"),
        ("spread < 2bp", "spread < 2 bp"),
        ("spread < 2", "spread < 2 bp"),
        ("funding crosses 0 %", "funding crosses 0 %"),
        ("lag > 1e3 ms", "lag > 1,000 ms"),
        ("imbalance <= -0.8", "imbalance <= -0.8"),
        ("age > 10", "age > 10 s"),
        (" GAP ", "gap"),
    ],
)
def test_a_condition_in_words(text, shown):
    assert condition_of(text).text == shown


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no condition is understood in ''"),
        ("price", "no condition is understood in 'price'"),
        ("price = 5", "no condition is understood in 'price = 5'"),
        ("prices > 5", "an alert knows no 'prices'; it knows price, size, bid"),
        ("price > 6,5", "'6,5' in 'price > 6,5' is no number"),
        ("price > inf", "'inf' in 'price > inf' is no number"),
        ("price > 1e999", "'1e999' in 'price > 1e999' is no number"),
        ("spread > 2 %", "spread is counted in bp in an alert, not in %"),
        ("price > 2 bp", "price is without a unit in an alert, not in bp"),
        (5, "an alert takes a condition in words or a polars expression, not 5"),
    ],
)
def test_what_is_not_understood_is_said_in_a_sentence(text, sentence):
    with pytest.raises(kr.InvalidInput, match="^" + sentence.replace("'", ".").replace("(", r"\(")):
        condition_of(text)


def test_an_expression_needs_a_channel_and_words_need_none():
    with pytest.raises(kr.InvalidInput, match="needs the channel of its rows"):
        condition_of(pl.col("price") > 5)
    with pytest.raises(kr.InvalidInput, match="channel= belongs to an expression"):
        condition_of("price > 5", "trade")
    with pytest.raises(kr.UnknownChannel):
        condition_of(pl.col("price") > 5, "nonsense")


# -- when they tell --------------------------------------------------------------------------------


def test_it_tells_each_time_the_condition_begins_to_hold(desk):
    market = Market("XBTUSDTM", trade=trades(10, 20, 10))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM", rest_s=0)
    alerts.look()
    assert values(alert) == []  # the rows of before are no news

    market.add("trade", trades(16, 17, 15, 18, begin=3))
    alerts.look()
    market.add("trade", trades(19, 10, begin=7))
    alerts.look()

    assert values(alert) == [16, 18]
    assert [each.time_ns - START for each in alert.fired] == [3 * SECOND, 6 * SECOND]
    assert (alert.count, alert.state) == (2, "waiting")
    assert [each["text"] for each in alerts.sent] == [
        "XBTUSDTM price > 15: 16",
        "XBTUSDTM price > 15: 18",
    ]


def test_a_crossing_of_one_row_between_two_looks_is_not_missed(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    over = alerts.add("price > 15", "XBTUSDTM")
    across = alerts.add("price crosses 15", "XBTUSDTM", rest_s=0)
    alerts.look()

    market.add("trade", trades(15, 16, 15, 14, begin=1))
    alerts.look()

    assert values(over) == [16]
    assert values(across) == [16, 14]  # at 15 itself it is on no side


def test_a_condition_that_holds_already_is_told_at_once(desk):
    alerts = desk(Market("XBTUSDTM", trade=trades(10, 20)))
    alert = alerts.add("price > 15", "XBTUSDTM")
    alerts.look()

    assert (values(alert), alert.state) == ([20], "holds now")


def test_within_its_rest_it_is_mute_and_counts(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM", rest_s=5)
    alerts.look()
    market.add("trade", trades(16, 10, 17, 10, 10, 18, begin=1))
    alerts.look()

    assert (values(alert), alert.muted) == ([16, 18], 1)


def test_once_is_once(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM", is_once=True, rest_s=0)
    alerts.look()
    market.add("trade", trades(16, 10, 17, begin=1))
    alerts.look()
    market.add("trade", trades(10, 17, begin=4))
    alerts.look()

    assert (values(alert), alert.state) == ([16], "done")


def test_a_value_that_is_missing_is_no_end_of_a_condition(desk):
    market = Market("XBTUSDTM", trade=trades(20))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM", rest_s=0)
    alerts.look()
    market.add("trade", trades(np.nan, 21, begin=1))
    alerts.look()

    assert values(alert) == [20]


def test_an_expression_sees_the_rows_before(desk):
    market = Market("XBTUSDTM", trade=trades(1, 1, 1, 1))
    alerts = desk(market)
    rising = pl.col("price") > 2 * pl.col("price").rolling_mean(3)
    alert = alerts.add(rising, "XBTUSDTM", channel="trade", rest_s=0)
    alerts.look()
    market.add("trade", trades(1, 1, begin=4))
    alerts.look()
    market.add("trade", trades(9, begin=6))  # the mean of three is 11/3
    alerts.look()

    assert [each.time_ns - START for each in alert.fired] == [6 * SECOND]
    assert np.isnan(values(alert)[0])
    assert "rolling_mean" in str(alert.fired[0])


def panic():
    """A mean of five with four weights: polars panics, which is no exception."""
    return pl.col("price").rolling_mean(5, weights=[1.0] * 4) > 1


@pytest.mark.parametrize(
    "wrong", [pl.col("prize") > 5, pl.col("price"), pl.col("price").max() > 1, panic()]
)
def test_an_expression_that_is_no_condition_is_refused(desk, wrong):
    alerts = desk(Market("XBTUSDTM", trade=trades(10, 20)))

    with pytest.raises(kr.InvalidInput, match=r"cannot be computed|true or false for each row"):
        alerts.add(wrong, "XBTUSDTM", channel="trade")
    assert alerts.all == ()


def test_an_expression_that_fails_later_says_so_and_ends(desk):
    market = Market("XBTUSDTM")
    alerts = desk(market)
    alert = alerts.add(pl.col("prize") > 5, "XBTUSDTM", channel="trade")
    market.frames["trade"] = trades(10)
    alerts.look()
    alerts.look()

    assert alert.state.startswith("ended: an alert on")
    assert [each["text"].count("ended") for each in alerts.sent] == [1]


def test_what_it_lacks_is_said(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    mark = alerts.add("mark > 5", "XBTUSDTM")
    other = alerts.add("price > 5", "ETHUSDTM")
    age = alerts.add("age > 5", "XBTUSDTM")
    alerts.look()

    assert mark.state == "needs mark_price of XBTUSDTM, which does not stream"
    assert other.state == "ETHUSDTM does not stream"
    assert age.state == "only a running stream has an age"


def test_an_alert_waits_for_the_stream_and_stays_with_its_symbol(desk):
    alerts = desk(Idle("XBTUSDTM"))
    alert = alerts.add("price > 15", "XBTUSDTM")
    alerts.look()
    assert (alert.state, values(alert)) == ("waiting", [])

    alerts.show(Market("XBTUSDTM", trade=trades(20)))
    alerts.look()
    assert values(alert) == [20]


def test_a_replay_that_goes_back_tells_nothing_of_what_it_has_shown(desk):
    market = Market("XBTUSDTM", trade=trades(10, 11, 12))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM", rest_s=0)
    alerts.look()
    market.add("trade", trades(20, begin=3))
    alerts.look()
    market.frames["trade"] = trades(10, 20)
    alerts.look()
    assert values(alert) == [20]

    market.add("trade", trades(10, 21, begin=2))
    alerts.look()
    assert values(alert) == [20, 21]


def raising(error):
    def condition(values):
        if len(values) > 2:
            raise error
        return values > 0

    return pl.col("price").map_batches(condition, return_dtype=pl.Boolean)


@pytest.mark.parametrize("wrong", [raising(ZeroDivisionError("by zero")), raising(SystemExit(3))])
def test_an_expression_that_fails_ends_its_alert_alone(desk, wrong):
    market = Market("XBTUSDTM", trade=trades(10, 11))
    alerts = desk(market)
    broken = alerts.add(wrong, "XBTUSDTM", channel="trade")
    other = alerts.add("price > 15", "XBTUSDTM")
    market.add("trade", trades(*range(16, 40), begin=2))
    alerts.look()

    assert broken.state.startswith("ended: an alert on")
    assert values(other) == [16]


def test_the_last_rows_before_an_end_are_looked_at(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM")
    market.add("trade", trades(16, begin=1))
    market.state = "ended"
    alerts.look()

    assert values(alert) == [16]
    assert alert.state == "nothing streams: ended"


def test_rows_that_come_before_the_first_look_are_news(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM")
    market.add("trade", trades(16, 10, begin=1))
    alerts.look()

    assert values(alert) == [16]


def test_a_stream_that_has_just_begun_is_looked_at_from_its_first_row_on(desk):
    alerts = desk(Idle("XBTUSDTM"))
    alert = alerts.add("price > 15", "XBTUSDTM", rest_s=0)
    alerts.show(Market("XBTUSDTM", trade=trades(16, 10)))
    alerts.look()

    assert values(alert) == [16]


def test_an_expression_joins_no_rows_of_two_streams(desk):
    alerts = desk(Market("XBTUSDTM", trade=trades(10)))
    jump = pl.col("price").diff() > 5
    alert = alerts.add(jump, "XBTUSDTM", channel="trade")
    alerts.look()
    alerts.show(Market("XBTUSDTM", trade=trades(20, 21, begin=100)))
    alerts.look()

    assert values(alert) == []


# -- on a stream -----------------------------------------------------------------------------------


def test_quotes_marks_funding_and_lag_are_read_from_a_stream(desk):
    channels = ["ticker", "trade", "mark_price", "funding_rate"]
    with (
        simulate(seed=5, speed=60.0) as x,
        kr.stream("XBTUSDTM", channels, venue=x.venue) as s,
    ):
        for channel in channels:
            s.wait(channel, rows=1)
        alerts = desk(s)
        conditions = [
            "bid > 1", "ask > 1", "mid > 1", "spread > 0", "imbalance > -1", "mark > 1",
            "index > 1", "premium > -1000", "funding > -100", "size > 0", "price > 1",
        ]  # fmt: skip
        made = [alerts.add(each, "XBTUSDTM") for each in conditions]
        wait_until(lambda: alerts.look() or all(each.count for each in made))

        found = {each.condition.split()[0]: each.fired[0].value for each in made}
        assert found["bid"] < found["ask"]
        assert abs(found["mark"] / found["mid"] - 1) < 0.05
        assert abs(found["premium"]) < 500
        assert abs(found["funding"]) < 5
        assert -1 <= found["imbalance"] <= 1


def test_a_gap_is_told_with_its_cause_and_those_of_before_are_not(desk):
    with (
        simulate(seed=5, speed=60.0) as x,
        kr.stream("XBTUSDTM", ["trade"], venue=x.venue) as s,
    ):
        s.wait("trade", rows=3)
        alerts = desk(s)
        alert = alerts.add("gap", "XBTUSDTM", rest_s=0)
        alerts.look()
        assert alert.count == 0
        x.inject("abort")
        wait_until(lambda: alerts.look() or alert.count)

        assert alert.fired[0].detail
        assert "gap" in str(alert.fired[0])
        s.wait("trade", rows=30)
        alerts.look()
        assert alert.count == 1  # the outage and the gaps that it left are one
        later = alerts.add("gap", "XBTUSDTM")
        alerts.look()
        assert later.count == 0


@pytest.mark.parametrize("others", [[], ["depth5"]], ids=["one channel", "another switched off"])
def test_each_outage_is_told(desk, others):
    with (
        simulate(seed=5, speed=60.0) as x,
        kr.stream("XBTUSDTM", ["trade", *others], venue=x.venue) as s,
    ):
        s.wait("trade", rows=3)
        alerts = desk(s)
        alert = alerts.add("gap", "XBTUSDTM", rest_s=0)
        if others:
            s.unsubscribe("XBTUSDTM", others)
            alerts.look()
        for number in (1, 2):
            x.inject("abort")
            wait_until(lambda number=number: alerts.look() or alert.count == number)
            s.wait("trade", rows=s.total("trade") + 30)
            alerts.look()

        assert alert.count == 2


def test_silence_is_told(desk, held_time):
    with (
        simulate(seed=5, speed=5.0) as x,
        kr.stream("XBTUSDTM", ["trade"], venue=x.venue) as s,
    ):
        s.wait("trade", rows=3)
        alerts = desk(s)
        alert = alerts.add("age > 20", "XBTUSDTM")
        x.inject("stall", symbol="XBTUSDTM")
        held_time.pass_by(19.0)
        alerts.look()
        assert not alert.count
        held_time.pass_by(2.0)
        alerts.look()

        assert alert.count == 1
        assert alert.fired[0].value > 20


def test_no_moment_of_a_replay_at_full_speed_is_missed(desk):
    session = kr.load(SAMPLE)
    large = (session.frame("trade", "XBTUSDTM")["size"] > 50).to_list()
    begins = sum(now and not before for before, now in zip([False, *large], large, strict=False))
    with kr.replay(session, speed=None, paused=True) as replay:
        alerts = desk(replay)
        alert = alerts.add("size > 50", "XBTUSDTM", rest_s=0)
        replay.resume()
        replay.wait_until_done(60)
        alerts.look()

    assert alert.count == begins > 10


@pytest.fixture
def wound(desk):
    """A replay that has been played to its end, and an alert on it."""
    session = kr.load(SAMPLE)
    with kr.replay(session, channels="trade", speed=None, paused=True) as replay:
        alerts = desk(replay)
        alert = alerts.add("size > 50", "XBTUSDTM", rest_s=0)
        replay.resume()
        replay.wait_until_done(60)
        alerts.look()
        yield replay, alerts, alert


def test_a_replay_that_is_wound_back_tells_each_moment_of_the_repeated_part_once(wound):
    replay, alerts, alert = wound
    first = [each.time_ns for each in alert.fired]
    stamps = replay.frame("trade")["timestamp"].cast(pl.Int64)
    arrivals = replay.frame("trade")["local_timestamp"].cast(pl.Int64)
    place = arrivals[stamps.search_sorted(first[len(first) // 2])]  # a row that is large

    replay.pause()
    replay.seek(place)
    replay.step(seconds=10)  # before it is looked at
    alerts.look()
    replay.step(seconds=5)
    alerts.look()
    replay.resume()
    replay.wait_until_done(60)
    alerts.look()

    assert [each.time_ns for each in alert.fired] == [*first, *first[len(first) // 2 :]]


def test_a_replay_that_is_wound_back_and_passes_its_place_between_two_looks_is_noticed(wound):
    replay, alerts, alert = wound
    first = [each.time_ns for each in alert.fired]
    replay.seek(replay.start_ns)
    replay.wait_until_done(60)
    alerts.look()

    assert [each.time_ns for each in alert.fired] == first * 2


def test_a_window_is_whole_behind_a_rewind_as_well(desk):
    rising = pl.col("price") > pl.col("price").rolling_mean(200)
    with kr.replay(kr.load(SAMPLE), speed=None, paused=True) as replay:
        alerts = desk(replay)
        alert = alerts.add(rising, "XBTUSDTM", channel="trade", rest_s=0)
        replay.resume()
        replay.wait_until_done(60)
        alerts.look()
        first = [each.time_ns for each in alert.fired]
        place = (replay.start_ns + replay.end_ns) // 2
        again = replay.frame("trade").filter(pl.col("local_timestamp").cast(pl.Int64) >= place)
        replay.seek(place)
        replay.wait_until_done(60)
        alerts.look()

    since = again["timestamp"].cast(pl.Int64)[0]
    wanted = [each for each in first if each >= since]
    assert wanted
    assert [each.time_ns for each in alert.fired] == [*first, *wanted]


def test_a_gap_is_told_again_where_a_replay_comes_to_it_again(desk, tmp_path):
    with (
        simulate(seed=5, speed=60.0) as x,
        kr.stream("XBTUSDTM", ["trade"], venue=x.venue) as s,
        s.record(tmp_path) as recorder,
    ):
        s.wait("trade", rows=10)
        x.inject("abort")
        s.wait("trade", rows=60)
    with kr.replay(kr.load(recorder.path), speed=None, paused=True) as replay:
        alerts = desk(replay)
        alert = alerts.add("gap", "XBTUSDTM")
        for number in (1, 2):
            replay.resume()
            replay.wait_until_done(60)
            alerts.look()
            assert alert.count == number
            replay.pause()
            replay.seek(replay.start_ns)
        alerts.look()

        assert alert.count == 2


# -- functions -------------------------------------------------------------------------------------


def test_a_function_is_called_on_a_thread_of_its_own(desk):
    market, seen = Market("XBTUSDTM", trade=trades(10)), []
    alerts = desk(market)
    alerts.add(
        "price > 15", "XBTUSDTM", lambda firing: seen.append((firing, threading.current_thread()))
    )
    market.add("trade", trades(16, begin=1))
    alerts.look()
    wait_until(lambda: seen)

    firing, thread = seen[0]
    assert (str(firing), firing.value) == ("XBTUSDTM price > 15: 16", 16)
    assert thread is not threading.current_thread()
    assert firing.time.tzinfo is not None


def test_a_function_that_raises_is_told_and_called_no_more_and_the_alert_goes_on(desk):
    market, calls = Market("XBTUSDTM", trade=trades(10)), []
    alerts = desk(market)

    def notify(firing):
        calls.append(firing)
        raise ValueError("no phone")

    alert = alerts.add("price > 15", "XBTUSDTM", notify, rest_s=0)
    alerts.look()
    market.add("trade", trades(16, 10, begin=1))
    alerts.look()
    wait_until(lambda: alert.failure)
    market.add("trade", trades(17, begin=3))
    alerts.look()

    assert (len(calls), values(alert)) == (1, [16, 17])
    assert alert.state == "holds now; notify raised ValueError: no phone, and is called no more"
    wait_until(lambda: any("is called no more" in each["text"] for each in alerts.sent))


def test_an_error_that_is_no_exception_ends_the_calls_of_its_alert_alone(desk):
    market, got = Market("XBTUSDTM", trade=trades(10)), []
    alerts = desk(market)

    def cancelled(_):
        raise asyncio.CancelledError

    first = alerts.add("price > 15", "XBTUSDTM", cancelled)
    alerts.add("price > 16", "XBTUSDTM", got.append)
    market.add("trade", trades(17, begin=1))
    alerts.look()
    wait_until(lambda: got and first.failure)

    assert "CancelledError" in first.state


def test_a_function_that_hangs_holds_up_no_other(desk):
    market, got, free = Market("XBTUSDTM", trade=trades(10)), [], clocks.current().event()
    alerts = desk(market)
    alerts.add("price > 15", "XBTUSDTM", lambda _: free.wait())
    alerts.add("price > 16", "XBTUSDTM", got.append)
    market.add("trade", trades(17, begin=1))
    alerts.look()
    wait_until(lambda: got)
    free.set()


def test_what_is_no_function_is_refused(desk):
    with pytest.raises(kr.InvalidInput, match="calls a function with each moment; str is none"):
        desk(Market("XBTUSDTM")).add("price > 15", "XBTUSDTM", "print")


# -- the list --------------------------------------------------------------------------------------


def test_a_removed_alert_tells_nothing_more_and_the_looking_ends(desk):
    market = Market("XBTUSDTM", trade=trades(10))
    alerts = desk(market)
    alert = alerts.add("price > 15", "XBTUSDTM")
    assert alerts.all == (alert,)
    alert.remove()
    alert.remove()
    market.add("trade", trades(16, begin=1))
    alerts.look()

    assert (alerts.all, values(alert), alerts._ticket) == ((), [], None)


def test_there_are_fifty_at_most(desk):
    alerts = desk(Market("XBTUSDTM", trade=trades(10)))
    for level in range(MOST_ALERTS):
        alerts.add(f"price > {level + 100}", "XBTUSDTM")

    with pytest.raises(kr.InvalidInput, match="50 alerts are set; remove one first"):
        alerts.add("price > 5", "XBTUSDTM")


def test_a_page_sets_and_removes_alerts_and_the_next_run_of_the_cell_keeps_them(desk):
    market = Market("XBTUSDTM", trade=trades(20))
    alerts = desk(market)
    alerts.do("alert", {"text": "price > 15"}, "XBTUSDTM")
    alerts.do("alert", {"text": "price > 16"}, "XBTUSDTM")
    alerts.add("price > 17", "XBTUSDTM")  # the cell sets it again
    alerts.do("unalert", {"number": 2}, "XBTUSDTM")
    alerts.close()
    after = desk(market)
    after.inherit(alerts.of_pages)

    assert [each.condition for each in after.all] == ["price > 15"]


def test_the_flag_counts_what_nobody_has_seen(desk):
    alerts = desk(Market("XBTUSDTM", trade=trades(20)))
    alerts.add("price > 15", "XBTUSDTM")
    alerts.look()

    assert alerts.texts(is_open=False) == {"flag": [1, "XBTUSDTM price > 15: 20"]}
    opened = alerts.texts(is_open=True)
    assert opened["alerts"] == [[1, "XBTUSDTM", "price > 15", "holds now", 1, 0, False]]
    assert opened["alarms"].rows[0][1] == "XBTUSDTM price > 15: 20"
    assert alerts.texts(is_open=False)["flag"][0] == 0


def test_channels_are_named_as_streams_name_them():
    assert condition_of(pl.col("close") > 5, "candle:1min").channels == (
        str(Channel("candle", "1min")),
    )
