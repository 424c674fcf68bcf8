"""Symbols and channels that come and go while a stream runs; all over real sockets."""

from __future__ import annotations

import random
import re
import shutil

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import BookNotReady
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate

FAST = kr.Healing(overlap=0.3, connects_per_minute=600, most_backoff=1.0)
FEEDS = ["classic", "pro"]


@pytest.fixture(scope="module")
def exchange(held_time):
    """Slower than that of other modules: a symbol that comes back has to catch up."""
    with simulate(seed=7, speed=5.0) as running:
        yield running


@pytest.fixture
def stream(exchange):
    with kr.stream(
        "XBTUSDTM", ["ticker", "trade"], venue=exchange.venue, healing=FAST, name="the stream"
    ) as s:
        s.wait("trade", rows=3)
        yield s


def streamed(s):
    return {(str(each.channel), each.symbol) for each in s.subscriptions}


def events(s, name, channel=None):
    status = s.frame("status") if not isinstance(s, pl.DataFrame) else s
    rows = status.filter(pl.col("event").cast(pl.String) == name)
    return rows if channel is None else rows.filter(pl.col("channel").cast(pl.String) == channel)


def is_in_step(s, symbol=None):
    try:
        return s.book(symbol) is not None
    except BookNotReady:
        return False


def has_thread(s, role):
    return any(role in each.name and each.is_alive() for each in s._engine.threads.all)


def causes(s, channel, symbol=None):
    return [gap.cause for gap in s.report().channel(channel, symbol).gaps]


# -- what comes, and what stays --------------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_symbols_and_channels_come_and_go_while_the_others_go_on(exchange, feed):
    with kr.stream("XBTUSDTM", ["trade"], venue=exchange.venue, feed=feed) as s:
        s.wait("trade", rows=3)
        attached = set()
        s.attach(lambda row: attached.add(type(row).__name__))
        fresh = s.subscribe("ETHUSDTM", ["ticker", "level2"])
        more = s.subscribe("BTC-USDT", "bbo")  # another market: a further connection
        wait_until(lambda: s.total("ticker") and s.total("bbo") and is_in_step(s, "ETHUSDTM"))
        before = s.frame("ticker")
        gone = s.unsubscribe("ETHUSDTM")
        kept = s.frame("ticker")
        s.wait("trade", rows=s.total("trade") + 5)

        assert {(str(each.channel), each.symbol) for each in fresh} == {
            ("ticker", "ETHUSDTM"), ("level2", "ETHUSDTM"),
        }  # fmt: skip
        assert set(fresh) == set(gone)
        assert [each.symbol for each in more] == ["BTC-USDT"]
        assert streamed(s) == {("trade", "XBTUSDTM"), ("bbo", "BTC-USDT")}
        assert s.state is kr.State.LIVE
        assert kept.height >= before.height > 0
        assert s.frame("ticker").equals(kept), "nothing came of it any more"
        with pytest.raises(BookNotReady, match="book of ETHUSDTM was unsubscribed; subscribe"):
            s.book("ETHUSDTM")
        assert s.symbols == ["XBTUSDTM", "ETHUSDTM", "BTC-USDT"]
        assert causes(s, "trade") == []
        assert s.instruments.keys() == {"XBTUSDTM", "ETHUSDTM", "BTC-USDT"}
        wait_until(lambda: attached >= {"Trade", "Ticker", "Level2", "BestBidOffer", "Status"})


def test_the_running_connection_is_used_and_no_subscription_is_made_anew(exchange):
    with kr.stream("XBTUSDTM", "trade", venue=exchange.venue) as s:
        s.wait("trade")
        s.subscribe("ETHUSDTM")
        s.subscribe(channels="ticker")

        assert len(s._supervisors) == 1
        assert events(s, "connected").height == 1
        assert s.subscribe("ETHUSDTM", "ticker") == ()
        assert s.subscribe() == ()
        assert s.unsubscribe("ETHUSDTM", "trade")
        assert s.unsubscribe("ETHUSDTM", "trade") == ()


def test_more_topics_than_a_connection_may_carry_get_another(exchange):
    with kr.stream("XBTUSDTM", "trade", venue=exchange.venue) as s:
        s.wait("trade")
        s._supervisors[0]._opener.most_topics = 1
        s.subscribe("ETHUSDTM")

        assert [each.topics.all[0].key for each in s._supervisors] == ["XBTUSDTM", "ETHUSDTM"]
        wait_until(lambda: s.frame("trade", "ETHUSDTM").height > 0)
        assert s.state is kr.State.LIVE


def test_a_channel_of_ones_own_account_comes_over_a_connection_of_its_own():
    with (
        simulate(seed=5, speed=5.0) as x,
        kr.stream("XBTUSDTM", "ticker", venue=x.venue, credentials=x.credentials) as s,
    ):
        s.wait("ticker")
        s.subscribe(channels=["order", "fill"])
        x.demo_account.place("XBTUSDTM", "buy", 3)
        s.wait("fill")
        s.unsubscribe(channels="fill")  # orders come by the same topic
        fills, orders = s.total("fill"), s.total("order")
        x.demo_account.place("XBTUSDTM", "sell", 3)
        s.wait("order", rows=orders + 1)

        assert len(s._supervisors) == 2
        assert s.total("fill") == fills
        s.subscribe(channels="fill")
        assert causes(s, "fill") == ["unsubscribed"]
        assert causes(s, "order") == []
        assert s.state is kr.State.LIVE


def test_a_topic_that_another_channel_needs_goes_on(exchange):
    channels = ["mark_price", "funding_rate"]  # both come by one topic
    with kr.stream("XBTUSDTM", channels, venue=exchange.venue) as s:
        s.wait("mark_price", rows=3)
        s.unsubscribe(channels="mark_price")
        before = s.frame("mark_price").height
        s.subscribe(channels="trade")
        s.wait("trade", rows=10)

        assert s.frame("mark_price").height == before
        s.subscribe(channels="mark_price")
        s.wait("mark_price", rows=before + 3)
        assert causes(s, "mark_price") == ["unsubscribed"]
        assert causes(s, "funding_rate") == []


def test_wrong_use_gets_one_sentence_before_anything_is_asked(stream):
    for act, kind, text in [
        (lambda: stream.subscribe("BTCUSDTM"), kr.UnknownSymbol, "use 'XBTUSDTM'"),
        (lambda: stream.subscribe(channels="tikker"), kr.UnknownChannel, "mean 'ticker'"),
        (lambda: stream.subscribe("BTC-USDT", "funding_rate"), kr.ChannelNotOffered, "on spot"),
        (lambda: stream.unsubscribe("ETHUSDTM"), kr.UnknownSymbol, "it streams: XBTUSDTM"),
        (lambda: stream.unsubscribe(channels="bbo"), kr.UnknownChannel, "it streams: ticker"),
        (lambda: stream.subscribe(channels="order"), kr.CredentialsMissing, "credentials="),
        (lambda: stream.subscribe(channels="bbo", timeout="soon"), kr.InvalidInput, "seconds"),
    ]:
        with pytest.raises(kind, match=re.escape(text)):
            act()
    assert streamed(stream) == {("ticker", "XBTUSDTM"), ("trade", "XBTUSDTM")}
    assert stream.symbols == ["XBTUSDTM"]
    assert events(stream, "subscribed").is_empty()

    stream.unsubscribe()
    with pytest.raises(kr.InvalidInput, match="name the symbols to subscribe to"):
        stream.subscribe(channels="bbo")
    stream.stop()
    with pytest.raises(kr.StreamStopped, match="nothing can be subscribed to"):
        stream.subscribe("ETHUSDTM")


def test_a_function_that_the_feed_waits_for_cannot_change_it(stream):
    found = []

    def take(_rows):
        if not found:
            with pytest.raises(kr.StreamError, match="its feed waits for") as caught:
                stream.subscribe("ETHUSDTM")
            found.append(caught.value)

    stream.attach_batches(take)
    wait_until(lambda: found)
    stream.attach(lambda _: found.append(stream.subscribe("ETHUSDTM")), "trade")
    wait_until(lambda: len(found) > 1)

    assert ("trade", "ETHUSDTM") in streamed(stream)


# -- the account of the time between ---------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_the_time_between_is_a_gap_that_rest_fills_and_a_book_starts_over(feed, tmp_path):
    with (
        simulate(seed=5, speed=2.0) as x,
        kr.stream(
            "XBTUSDTM", ["ticker", "trade", "level2", "candle"], venue=x.venue, feed=feed
        ) as s,
        kr.stream("XBTUSDTM", ["trade"], venue=x.venue, feed=feed, name="the whole") as whole,
    ):
        recorder = s.record(tmp_path)
        wait_until(lambda: s.total("trade") > 5 and whole.total("trade") and is_in_step(s))
        wait_until(lambda: s.total("candle") > 0)
        s.unsubscribe()
        told = s.report()
        whole.wait("trade", rows=whole.total("trade") + 20)
        s.subscribe("XBTUSDTM", ["ticker", "trade", "level2", "candle"])
        s.wait("trade", rows=s.total("trade") + 25)
        wait_until(lambda: is_in_step(s) and not s._handler.has_open_requests)
        report = s.report()
        s.stop()
        recorder.close()
        recorded = kr.load(recorder.path).report()

    level2 = told.channel("level2")
    assert level2.verdict is kr.Verdict.COMPLETE
    assert re.search(r"is here, up to \d+; unsubscribed since 20\d\d-", level2.reason)
    assert told.gaps == 0
    assert report.channel("ticker").verdict is kr.Verdict.INCOMPLETE
    assert re.match(r"unsubscribed for \d+\.\d s", report.channel("ticker").reason)
    assert report.channel("level2").verdict is kr.Verdict.INCOMPLETE
    assert [gap.cause for gap in report.channel("level2").gaps] == ["unsubscribed"]
    assert report.channel("level2").gaps[0].missing > 10
    for name in ("trade", "candle"):
        (gap,) = report.channel(name).gaps
        assert (gap.cause, gap.filled_by) == ("unsubscribed", "REST")
    ours, all_ = (set(each.frame("trade")["sequence"]) for each in (s, whole))
    since = max(min(ours), min(all_))
    assert {n for n in all_ if since <= n <= max(ours)} <= ours
    assert s.frame("trade")["sequence"].is_sorted()
    for name in ("ticker", "trade", "level2", "candle"):
        assert recorded.channel(name).gaps == report.channel(name).gaps
        assert recorded.channel(name).verdict is report.channel(name).verdict
    assert kr.verify(recorder.path).ok


def test_an_end_while_unsubscribed_is_no_fault(stream):
    stream.unsubscribe(channels="ticker")
    stream.unsubscribe()
    stream.stop()
    entry = stream.report().channel("ticker")

    assert entry.gaps == ()
    assert entry.verdict is kr.Verdict.NOT_PROVABLE
    assert "; unsubscribed since 20" in entry.reason
    assert stream.report().gaps == 0


def test_an_interval_of_candles_comes_and_goes_alone():
    with (
        simulate(seed=5, speed=60.0) as x,
        kr.stream("XBTUSDTM", ["candle:1min", "candle:5min"], venue=x.venue) as s,
    ):
        wait_until(lambda: s.total("candle:1min") > 3 and s.total("candle:5min") > 3)
        s.unsubscribe(channels="candle:5min")
        five, one = s.frame("candle:5min"), s.total("candle:1min")
        wait_until(lambda: s.total("candle:1min") > one + 10)

        assert s.frame("candle:5min").equals(five)
        assert "; candle:5min unsubscribed since" in s.report().channel("candle").reason
        assert s.report().channel("candle").gaps == ()
        s.subscribe(channels="candle:5min")
        wait_until(lambda: s.total("candle:5min") > five.height + 3)
        wait_until(lambda: not s._handler.has_open_requests)
        (gap,) = s.report().channel("candle").gaps
        opens = s.frame("candle:5min")["timestamp"].unique().sort()
        twice = s.frame("candle", mark_filled=True).filter("is_filled")

        assert (gap.cause, gap.filled_by) == ("unsubscribed", "REST")
        assert set(opens.diff().drop_nulls().dt.total_minutes()) <= {5}
        assert set(twice["interval"]) <= {"5min"}
        assert "unsubscribed since" not in s.report().channel("candle").reason


def test_an_interval_that_goes_keeps_the_rows_that_wait_for_rest(held_time, tmp_path):
    with (
        simulate(seed=7) as x,
        kr.stream("XBTUSDTM", ["candle:1min", "candle:5min"], venue=x.venue, healing=FAST) as s,
    ):
        recorder = s.record(tmp_path)
        wait_until(lambda: s.total("candle:1min") > 1 and s.total("candle:5min") > 1)
        x.inject("slow_reply", path="/api/v1/kline", count=None, delay=3.0)
        x.inject("abort")
        wait_until(lambda: len(waiting(s, "1min")) > 1)
        held = waiting(s, "1min")
        s.unsubscribe("XBTUSDTM", "candle:1min")
        held += waiting(s, "1min")
        x.heal()
        wait_until(lambda: not s._handler.gap_filler.gates)
        held_time.pass_by(1.0)
        s.stop()
        recorder.close()
        account, frame = s.report().channel("candle"), s.frame("candle:1min")

    assert set(held) <= set(frame["local_timestamp"].dt.epoch("ns")), "stamped as they were read"
    assert frame["local_timestamp"].is_sorted()
    assert [(gap.cause, gap.filled_by) for gap in account.gaps] == [("disconnected", None)]
    (reason,) = events(s, "not_filled")["detail"]
    assert reason == "candle:1min was unsubscribed before REST had filled the outage"
    assert kr.load(recorder.path).report().channel("candle").gaps == account.gaps


def waiting(s, interval):
    gates = s._handler.gap_filler.gates.values()
    rows = [row for gate in gates for part in gate.parts for row in part.held]
    return [row.local_timestamp for row in rows if row.interval == interval]


def test_an_interval_that_fails_to_come_back_does_not_hold_the_others_up():
    with (
        simulate(seed=5, speed=20.0) as x,
        kr.stream("XBTUSDTM", ["candle:1min", "candle:5min"], venue=x.venue, healing=FAST) as s,
    ):
        wait_until(lambda: s.total("candle:1min") > 3 and s.total("candle:5min") > 3)
        s.unsubscribe(channels="candle:1min")
        x.inject("stall_socket")
        with pytest.raises(kr.StreamTimeout):
            s.subscribe(channels="candle:1min", timeout=0.5)
        x.heal()
        five = s.total("candle:5min")
        wait_until(lambda: s.total("candle:5min") > five + 3)

        assert "candle:1min unsubscribed since" in s.report().channel("candle").reason


def test_an_absent_channel_is_neither_silent_nor_broken(exchange, held_time):
    with kr.stream(
        "XBTUSDTM", ["bbo", "ticker", "level2"], venue=exchange.venue, healing=FAST
    ) as s:
        wait_until(lambda: s.total("bbo") > 150 and s.total("ticker") > 50 and is_in_step(s))
        s.unsubscribe(channels=["bbo", "level2"])
        held_time.pass_by(30.0)
        s.subscribe(channels=["bbo", "level2"])
        wait_until(lambda: is_in_step(s))
        held_time.pass_by(3.0)

        assert events(s, "silent_topic").is_empty()
        assert events(s, "rollover").is_empty()
        assert events(s, "resync").is_empty()
        assert s.status.lag_p50_ms is None or s.status.lag_p50_ms < 5_000
        assert s.state is kr.State.LIVE
        s.unsubscribe(channels="level2")
        began = held_time.monotonic()
        s.stop()
        assert held_time.monotonic() - began < 0.9, "no last look at a book that nobody wants"


@pytest.mark.parametrize("feed", FEEDS)
def test_a_stream_of_nothing_rests_without_a_connection(feed, held_time):
    settings = {"idle_timeout": 5.0, "pro_idle_timeout": 5.0}
    with (
        simulate(seed=5, speed=2.0, **settings) as x,
        kr.stream("XBTUSDTM", ["trade", "level2"], venue=x.venue, feed=feed, healing=FAST) as s,
    ):
        wait_until(lambda: s.total("trade") > 3 and is_in_step(s))
        s.unsubscribe()
        held_time.pass_by(12.0)

        assert s._supervisors[0]._link is None
        assert s.state is kr.State.LIVE
        assert s.error is None
        assert s.report().channel("level2").verdict is kr.Verdict.COMPLETE
        s.subscribe("XBTUSDTM", ["trade", "level2"])
        wait_until(lambda: is_in_step(s))
        assert s.status.reconnects == 0
        assert events(s, "disconnected").is_empty()
        assert causes(s, "level2") == ["unsubscribed"]


@pytest.mark.parametrize("feed", FEEDS)
def test_everything_may_go_and_come_often_over_one_connection(feed, held_time):
    with (
        simulate(seed=7) as x,
        kr.stream("XBTUSDTM", ["trade", "level2"], venue=x.venue, feed=feed) as s,
    ):
        wait_until(lambda: s.total("trade") > 1 and is_in_step(s))
        for _ in range(40):
            s.unsubscribe()
            held_time.pass_by(0.2)
            s.subscribe("XBTUSDTM", ["trade", "level2"])
        wait_until(lambda: is_in_step(s))

        assert events(s, "connected").height == 1
        assert s.status.reconnects == 0
        assert set(causes(s, "trade")) == {"unsubscribed"}


@pytest.mark.parametrize("pause", [0.0, 0.05, 10.0, 10.05, 30.0])
def test_a_connection_that_was_not_wanted_is_never_counted_as_lost(pause, held_time):
    with simulate(seed=7) as x, kr.stream("XBTUSDTM", "ticker", venue=x.venue) as s:
        s.wait("ticker", rows=3)
        s.unsubscribe()
        held_time.pass_by(pause)
        s.subscribe("XBTUSDTM", "ticker")
        s.wait("ticker", rows=s.total("ticker") + 3)

        assert s.status.reconnects == 0
        assert causes(s, "ticker") == ["unsubscribed"]


# -- while the connection is lost, or replaced -----------------------------------------------------


def cut(s, number=0):
    s._supervisors[number]._link.connection.abort()


def test_a_market_that_never_came_is_of_no_account_once_it_is_unsubscribed(exchange):
    x = exchange
    x.inject("html_error", market="spot", path="/api/v1/bullet-public", count=None, status=502)
    with kr.stream(["XBTUSDTM", "BTC-USDT"], "ticker", venue=x.venue, healing=FAST) as s:
        wait_until(lambda: s.error is not None and s.total("ticker") > 3)
        assert s.state is kr.State.CONNECTING
        assert s.live_since is None
        s.unsubscribe("BTC-USDT")

        assert s.state is kr.State.LIVE
        assert s.error is None
        assert s.live_since is not None
        assert s.wait_until_live(timeout=0)
        x.heal()
        assert s.subscribe("BTC-USDT", "ticker")
        wait_until(lambda: s.frame("ticker", "BTC-USDT").height > 0)
        assert s.state is kr.State.LIVE


def test_a_change_while_the_connection_is_lost_holds_for_the_next_one(exchange):
    with kr.stream("XBTUSDTM", ["bbo", "trade", "level2"], venue=exchange.venue, healing=FAST) as s:
        wait_until(lambda: s.total("bbo") > 5 and s.total("trade") > 1 and is_in_step(s))
        exchange.inject("refuse_upgrade", count=None)
        try:
            cut(s)
            wait_until(lambda: s.state is kr.State.RECONNECTING)
            s.unsubscribe(channels=["bbo", "level2"])  # at once: nothing has to be asked
            with pytest.raises(kr.StreamTimeout, match="goes on as it was: the exchange did not"):
                s.subscribe("ETHUSDTM", "trade", timeout=0.5)
            came = spawn(lambda: s.subscribe("SOLUSDTM", "ticker", timeout=60.0))
        finally:
            exchange.heal()
        came.join()
        wait_until(lambda: s.state is kr.State.LIVE)
        bbo = s.total("bbo")
        s.wait("ticker", rows=3)

        assert streamed(s) == {("trade", "XBTUSDTM"), ("ticker", "SOLUSDTM")}
        assert "ETHUSDTM" not in s.symbols
        assert s.total("bbo") == bbo
        assert causes(s, "bbo") == causes(s, "level2") == ["disconnected"]
        assert s.report().channel("level2").verdict is kr.Verdict.INCOMPLETE
        topics = {each.key for each in s._supervisors[0]._link.conversation.subscribed}
        assert topics == {"XBTUSDTM", "SOLUSDTM"}


def test_a_loss_amid_an_unsubscription_ends_it(exchange):
    with kr.stream("XBTUSDTM", ["bbo", "trade"], venue=exchange.venue, healing=FAST) as s:
        s.wait("bbo", rows=5)
        exchange.inject("stall_socket", market="futures")  # it answers nothing any more
        leaving = spawn(lambda: s.unsubscribe(channels="bbo"))
        wait_until(lambda: any("bbo" in str(each) for each in s._subscribing.now))
        wait_until(lambda: len(s._supervisors[0].topics.all) == 1)
        cut(s)
        leaving.join()
        exchange.heal()
        wait_until(lambda: s.state is kr.State.LIVE)
        s.wait("trade", rows=s.total("trade") + 5)

        assert streamed(s) == {("trade", "XBTUSDTM")}
        assert "unsubscribed since" in s.report().channel("bbo").reason
        assert len(s._supervisors[0]._link.conversation.subscribed) == 1


def test_a_rollover_under_way_follows_the_change(exchange):
    slow = kr.Healing(overlap=2.0, connects_per_minute=600, most_backoff=1.0)
    with kr.stream("XBTUSDTM", ["bbo", "level2"], venue=exchange.venue, healing=slow) as s:
        wait_until(lambda: s.total("bbo") > 20 and is_in_step(s))
        s._supervisors[0]._rollover.replace_at = 0.0
        wait_until(lambda: s._supervisors[0]._rollover.successor is not None)
        wait_until(lambda: s._supervisors[0]._rollover.successor.settled_ns is not None)
        s.subscribe(channels="trade")
        s.unsubscribe(channels="bbo")
        bbo = s.total("bbo")
        wait_until(lambda: events(s, "rollover").height == 1)
        s.wait("trade", rows=s.total("trade") + 10)
        report = s.report()

        topics = {str(each) for each in s._supervisors[0]._link.conversation.subscribed}
        assert topics == {"/contractMarket/level2:XBTUSDTM", "/contractMarket/execution:XBTUSDTM"}
        assert s.total("bbo") == bbo
        assert report.gaps == 0
        assert report.reconnects == 0
        assert report.channel("level2").verdict is kr.Verdict.COMPLETE


def test_a_successor_that_lacks_a_topic_does_not_take_over(exchange, held_time):
    short = kr.Healing(overlap=0.5, connects_per_minute=600, most_backoff=1.0)
    with kr.stream("XBTUSDTM", ["bbo"], venue=exchange.venue, healing=short) as s:
        s.wait("bbo", rows=20)
        rollover = s._supervisors[0]._rollover
        align, rollover._align = rollover._align, lambda *_: None  # it is slow to follow
        rollover.replace_at = 0.0
        wait_until(lambda: rollover.successor is not None)
        s.subscribe(channels="trade")
        held_time.pass_by(3.0)
        assert events(s, "rollover").is_empty()

        rollover._align = align
        wait_until(lambda: events(s, "rollover").height == 1)
        s.wait("trade", rows=s.total("trade") + 5)
        assert s.report().gaps == 0


def test_a_topic_that_the_successor_lacks_is_no_silent_gap(exchange):
    slow = kr.Healing(overlap=30.0, connects_per_minute=600, most_backoff=1.0)
    with kr.stream("XBTUSDTM", ["bbo"], venue=exchange.venue, healing=slow) as s:
        s.wait("bbo", rows=20)
        supervisor = s._supervisors[0]
        supervisor._rollover.replace_at = 0.0
        wait_until(lambda: supervisor._rollover.successor is not None)
        wait_until(lambda: supervisor._rollover.successor.settled_ns is not None)
        supervisor._rollover._align = lambda *_: None  # as if the loss came before
        s.subscribe(channels="ticker")
        s.wait("ticker", rows=5)
        cut(s)
        wait_until(lambda: s.report().reconnects == 1)
        s.wait("ticker", rows=s.total("ticker") + 3)

        assert causes(s, "ticker")
        assert set(causes(s, "ticker")) == {"disconnected"}


# -- what the exchange refuses ---------------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_a_refusal_leaves_everything_as_it_was(feed, tmp_path):
    with (
        simulate(seed=5, speed=10.0, max_topics=3, max_pro_topics=3) as x,
        kr.stream("XBTUSDTM", ["ticker", "trade"], venue=x.venue, feed=feed) as s,
    ):
        recorder = s.record(tmp_path)
        s.wait("trade", rows=3)
        with pytest.raises(kr.LimitExceeded, match="exceed"):
            s.subscribe("ETHUSDTM", ["ticker", "bbo"])
        wait_until(lambda: s._supervisors[0]._link.conversation.is_settled)
        s.wait("trade", rows=s.total("trade") + 5)

        assert s.error is None
        assert s.state is kr.State.LIVE
        assert streamed(s) == {("ticker", "XBTUSDTM"), ("trade", "XBTUSDTM")}
        assert s.channels[:2] == ["ticker", "trade"]
        assert {entry.symbol for entry in s.report().channels if entry.rows == 0} == set()
        assert len(s._supervisors[0]._link.conversation.subscribed) == 2
        assert s.subscribe("ETHUSDTM", ["bbo"]), "there is room for one"
        s.stop()
        recorder.close()
        session = kr.load(recorder.path)
        assert session.channels[:2] == ["ticker", "trade"]
        assert "bbo" in session.channels


def test_what_had_rows_before_the_refusal_stays_in_the_recording(tmp_path):
    with (
        simulate(seed=7, speed=5.0) as x,
        kr.stream(["XBTUSDTM", "BTC-USDT"], "ticker", venue=x.venue) as s,
    ):
        recorder = s.record(tmp_path)
        wait_until(lambda: len(s.frame("ticker")["symbol"].unique()) == 2)
        x.inject("stall_socket", market="spot")
        with pytest.raises(kr.StreamTimeout):
            s.subscribe(["ETHUSDTM", "ETH-USDT"], ["ticker", "trade"], timeout=2.0)
        s.stop()
        recorder.close()
        session = kr.load(recorder.path)

    assert s.symbols == session.symbols == ["XBTUSDTM", "BTC-USDT", "ETHUSDTM"]
    assert s.instruments.keys() == session.instruments.keys() == set(s.symbols)
    assert session.frame("trade", "ETHUSDTM").height == s.frame("trade", "ETHUSDTM").height > 0
    assert not session.damage


def test_a_refused_return_keeps_the_absence_and_its_beginning():
    with (
        simulate(seed=5, speed=10.0, max_topics=2) as x,
        kr.stream("XBTUSDTM", ["trade", "level2"], venue=x.venue) as s,
    ):
        wait_until(lambda: is_in_step(s) and s.total("trade") > 3)
        s.unsubscribe(channels="level2")
        before = s.report().channel("level2")
        s.subscribe(channels="ticker")
        with pytest.raises(kr.LimitExceeded):
            s.subscribe("XBTUSDTM", "level2")

        assert s.report().channel("level2") == before
        s.unsubscribe(channels="ticker")
        s.subscribe("XBTUSDTM", "level2")
        wait_until(lambda: is_in_step(s))
        assert causes(s, "level2") == ["unsubscribed"]


def test_whoever_waits_for_a_channel_whose_subscription_fails_hears_of_it(exchange):
    with kr.stream("XBTUSDTM", ["ticker"], venue=exchange.venue) as s:
        s.wait("ticker", rows=3)
        exchange.inject("stall_socket")

        def ask():
            with pytest.raises(kr.StreamTimeout):
                s.subscribe("ETHUSDTM", "trade", timeout=1.0)

        asking = spawn(ask)
        wait_until(lambda: "trade" in s.channels)
        with pytest.raises(kr.UnknownChannel, match=r"channel trade is not .* failed"):
            s.wait("trade", rows=5)
        asking.join()


def test_a_further_connection_that_cannot_be_made_is_given_up(exchange):
    with kr.stream("XBTUSDTM", ["ticker"], venue=exchange.venue, healing=FAST) as s:
        s.wait("ticker", rows=3)
        exchange.inject("refuse_upgrade", count=None, market="spot")
        with pytest.raises(kr.StreamTimeout):
            s.subscribe("BTC-USDT", "ticker", timeout=1.0)
        exchange.heal()

        assert s.state is kr.State.LIVE
        assert s.symbols == ["XBTUSDTM"]
        assert len(s._supervisors) == 1
        wait_until(
            lambda: not [t for t in s._engine.threads.all if "pump-1" in t.name and t.is_alive()]
        )
        assert s.subscribe("BTC-USDT", "ticker")
        wait_until(lambda: s.frame("ticker", "BTC-USDT").height > 0)


def test_tries_in_vain_hold_up_no_other_connection_and_leave_no_thread(exchange, held_time):
    with kr.stream("XBTUSDTM", "ticker", venue=exchange.venue) as s:
        s.wait("ticker", rows=3)
        exchange.inject("refuse_upgrade", count=None, market="spot", status=403)
        for _ in range(30):
            with pytest.raises(kr.StreamTimeout):
                s.subscribe("BTC-USDT", "ticker", timeout=0.4)
        held_time.pass_by(0.5)

        assert [t.name for t in s._engine.threads.all if "pump" in t.name and t.is_alive()] == [
            s._engine.threads.all[0].name
        ]
        began, rows = held_time.monotonic(), s.total("ticker")
        cut(s)
        s.wait("ticker", rows=rows + 10)
        assert held_time.monotonic() - began < 5.0


def test_a_further_connection_that_is_refused_for_good_says_why_at_once(exchange, held_time):
    wrong = kr.Credentials("wrong", "wrong", "wrong")
    with kr.stream("XBTUSDTM", "ticker", credentials=wrong, venue=exchange.venue) as s:
        s.wait("ticker", rows=3)
        began = held_time.monotonic()
        with pytest.raises(kr.AuthenticationFailed):
            s.subscribe("XBTUSDTM", "order", timeout=10.0)

        assert held_time.monotonic() - began < 3.0
        assert streamed(s) == {("ticker", "XBTUSDTM")}
        assert s.channels == ["ticker"]
        assert s.state is kr.State.LIVE
        assert s.error is None


def test_a_timeout_says_what_the_connection_suffers_from(exchange):
    few = kr.Healing(connects_per_minute=1)
    with kr.stream("XBTUSDTM", "ticker", venue=exchange.venue, healing=few) as s:
        s.wait("ticker", rows=3)
        with pytest.raises(
            kr.StreamTimeout, match=r"no connection could be made yet .*1 connections"
        ):
            s.subscribe("BTC-USDT", "ticker", timeout=0.5)
    with kr.stream("XBTUSDTM", "ticker", venue=exchange.venue, healing=FAST) as s:
        s.wait("ticker", rows=3)
        exchange.inject("refuse_upgrade", count=None, market="spot")
        with pytest.raises(
            kr.StreamTimeout, match=r"did not answer: subscribe to .*\(.*refused the Web"
        ):
            s.subscribe("BTC-USDT", "ticker", timeout=1.0)


def test_an_unsubscription_without_an_answer_goes_on_and_says_what_may_lack(exchange):
    with kr.stream("XBTUSDTM", ["bbo", "trade"], venue=exchange.venue, healing=FAST) as s:
        s.wait("bbo", rows=20)
        exchange.inject("stall_socket", market="futures")
        with pytest.raises(kr.StreamTimeout, match=r"unsubscribe from .*tickerV2"):
            s.unsubscribe(channels="bbo", timeout=0.2)
        exchange.heal()
        cut(s)
        wait_until(lambda: s.report().reconnects == 1)
        s.wait("bbo", rows=s.total("bbo") + 5)

        assert streamed(s) == {("bbo", "XBTUSDTM"), ("trade", "XBTUSDTM")}
        assert causes(s, "bbo")[0] == "unsubscribed"
        assert s.report().channel("bbo").verdict is kr.Verdict.INCOMPLETE


@pytest.mark.parametrize("feed", FEEDS)
def test_an_unsubscription_that_was_never_sent_leaves_everything_as_it_was(feed, held_time):
    with (
        simulate(seed=7) as x,
        kr.stream("BTC-USDT", ["trade", "level2"], venue=x.venue, feed=feed, healing=FAST) as s,
    ):
        wait_until(lambda: is_in_step(s) and s.total("trade") > 3)
        before = s.subscriptions
        with pytest.raises(kr.StreamTimeout, match="unsubscribe from"):
            s.unsubscribe(timeout=0)
        rows = s.total("level2")
        wait_until(lambda: s.total("level2") > rows + 30)

        assert s.subscriptions == before
        assert events(s, "unsubscribed").is_empty()
        assert is_in_step(s)
        assert s.unsubscribe(channels="trade")
        assert s.subscribe(channels="trade")
        assert causes(s, "trade") == ["unsubscribed"]
        cut(s)
        wait_until(lambda: s.report().reconnects == 1 and is_in_step(s))
        held_time.pass_by(1.0)
        assert "unsubscribed" not in causes(s, "level2")


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("seed", [7, 14, 16])
def test_a_subscription_can_be_tried_again_at_once(feed, seed, held_time):
    with (
        simulate(seed=seed) as x,
        kr.stream(["XBTUSDTM", "BTC-USDT"], "ticker", venue=x.venue, feed=feed, healing=FAST) as s,
    ):
        wait_until(lambda: len(s.frame("ticker")["symbol"].unique()) == 2)
        x.inject("stall_socket", market="spot")
        with pytest.raises(kr.StreamTimeout):
            s.subscribe(["ETHUSDTM", "ETH-USDT"], ["trade", "level2"], timeout=1.0)
        assert s.subscribe("ETHUSDTM", ["trade", "level2"], timeout=2.0)
        wait_until(lambda: is_in_step(s, "ETHUSDTM"))
        x.heal()
        wait_until(lambda: s.total("trade"))  # from here on a loss is one of trades, too
        x.inject("abort", market="futures")
        wait_until(lambda: s.report().reconnects)
        held_time.pass_by(1.0)

        assert causes(s, "trade", "ETHUSDTM").count("disconnected") == 1
        before = s.total("trade")
        wait_until(lambda: s.total("trade") > before + 5)


@pytest.mark.parametrize("channel", ["trade", "ticker"])
def test_a_connection_lost_right_after_a_channel_came_back_is_an_outage_of_it(channel, held_time):
    with (
        simulate(start="2026-01-05") as x,
        kr.stream("XBTUSDTM", [channel, "mark_price"], venue=x.venue, healing=FAST) as s,
    ):
        s.wait(channel, rows=5)
        s.unsubscribe("XBTUSDTM", channel)
        x.pause()  # nothing comes between the acknowledgement and the loss
        assert s.subscribe("XBTUSDTM", channel, timeout=5.0)
        before = s.total(channel)
        x.inject("abort", market="futures")
        x.resume()
        wait_until(lambda: s.report().reconnects)
        wait_until(lambda: s.total(channel) > before + 5)

        assert causes(s, channel, "XBTUSDTM") == ["unsubscribed", "disconnected"]


# -- recordings ------------------------------------------------------------------------------------


def test_one_recording_takes_what_comes_and_plays_equal(exchange, tmp_path):
    with kr.stream("XBTUSDTM", ["trade"], venue=exchange.venue) as s:
        recorder = s.record(tmp_path)
        s.wait("trade", rows=3)
        s.subscribe("BTC-USDT", ["level2", "trade"])
        s.subscribe("XBTUSDTM", "candle:5min")
        wait_until(lambda: is_in_step(s, "BTC-USDT") and s.total("candle:5min") > 2)
        s.unsubscribe("BTC-USDT", "level2")
        s.wait("trade", rows=s.total("trade") + 5)
        s.stop()
        recorder.close()
    session = kr.load(recorder.path)
    with kr.replay(session, speed=None) as r:
        r.wait_until_done()
        replayed = {name: r.frame(name) for name in session.channels}
        told = r.report()
        with pytest.raises(BookNotReady):
            r.book("BTC-USDT")

    assert [each.name for each in tmp_path.iterdir()] == [recorder.path.name]
    assert session.symbols == ["XBTUSDTM", "BTC-USDT"]
    assert set(session.channels) == {"trade", "level2", "candle:5min"}
    assert session.instruments.keys() == {"XBTUSDTM", "BTC-USDT"}
    assert kr.verify(recorder.path).ok
    for name, frame in replayed.items():
        assert frame.equals(session.frame(name))
        assert frame["local_timestamp"].to_list() == s.frame(name)["local_timestamp"].to_list()
    live = s.report().channel("level2", "BTC-USDT")
    for report in (session.report(), told):
        entry = report.channel("level2", "BTC-USDT")
        assert (entry.verdict, entry.reason) == (live.verdict, live.reason)
        assert entry.verdict is kr.Verdict.COMPLETE
        assert "; unsubscribed since" in entry.reason


def test_a_recording_that_is_cut_short_knows_what_came(exchange, tmp_path):
    with kr.stream("XBTUSDTM", ["trade"], venue=exchange.venue) as s:
        recorder = s.record(tmp_path / "whole")
        s.wait("trade", rows=3)
        s.subscribe("ETHUSDTM", "bbo")
        wait_until(lambda: list(recorder.path.glob("ETHUSDTM_bbo_*.csv")))
        cut_off = shutil.copytree(recorder.path, tmp_path / "cut")  # as a kill would leave it
        s.stop()
    (cut_off / ".lock").unlink(missing_ok=True)
    with pytest.warns(kr.SessionUnfinished):
        session = kr.load(cut_off)

    assert session.symbols == ["XBTUSDTM", "ETHUSDTM"]
    assert session.channels == ["trade", "bbo"]
    assert session.instruments.keys() == {"XBTUSDTM", "ETHUSDTM"}
    assert session.frame("bbo", "ETHUSDTM").height > 0


# -- a schedule of changes and faults --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_and_goes_no_missing_row_is_called_complete(seed, held_time, tmp_path):
    dice = random.Random(seed)
    feed = FEEDS[seed % 2]
    symbols, channels = ["XBTUSDTM", "ETHUSDTM"], ["trade", "level2", "bbo"]
    with (
        simulate(seed=seed, speed=5.0) as x,
        kr.stream(symbols, channels, venue=x.venue, feed=feed, healing=FAST, name="whole") as whole,
        kr.stream(symbols, channels, venue=x.venue, feed=feed, healing=FAST, name="ours") as s,
    ):
        recorder = s.record(tmp_path)
        wait_until(lambda: all(is_in_step(each, name) for each in (s, whole) for name in symbols))
        for _ in range(14):
            act = dice.choice(["come", "come", "go", "go", "cut", "roll"])
            one = dice.sample(symbols, 1), dice.sample(channels, dice.randint(1, 2))
            if act == "come":
                s.subscribe(*one, timeout=60.0)
            elif act == "go":
                s.unsubscribe(*one, timeout=60.0)
            elif act == "cut" and s._supervisors[0]._link is not None:
                cut(s)
            elif act == "roll":
                s._supervisors[0]._rollover.replace_at = 0.0
            held_time.pass_by(dice.uniform(0.0, 1.5))
        wait_until(lambda: s.state is kr.State.LIVE and not s._handler.has_open_requests)
        x.pause()
        held_time.pass_by(3.0)
        s.stop()
        whole.stop()
        recorder.close()

    assert whole.report().channel("level2", "XBTUSDTM").verdict is kr.Verdict.COMPLETE
    recorded = kr.load(recorder.path).report()
    assert kr.verify(recorder.path).ok
    for symbol in symbols:
        assert untold(s, whole, symbol) == set()
        for channel in channels:
            entry, kept = (each.channel(channel, symbol) for each in (s.report(), recorded))
            assert s.frame(channel, symbol)["local_timestamp"].is_sorted()
            assert [gap._replace(ended=0) for gap in kept.gaps] == [
                gap._replace(ended=0) for gap in entry.gaps
            ]
            if kept.verdict is kr.Verdict.COMPLETE:
                assert entry.verdict is kr.Verdict.COMPLETE


def untold(s, whole, symbol):
    """Return the sequences of a book that are missing, and of which the report does not say so."""
    entry = s.report().channel("level2", symbol)
    ours, all_ = (set(each.frame("level2", symbol)["sequence"]) for each in (s, whole))
    told = {
        number
        for gap in entry.gaps
        if gap.missing is not None
        for number in range(gap.first_sequence, gap.last_sequence + 1)
    }
    missing = {n for n in all_ if entry.first_sequence < n < entry.last_sequence} - ours
    if entry.verdict is kr.Verdict.COMPLETE:
        return missing
    return missing - told
