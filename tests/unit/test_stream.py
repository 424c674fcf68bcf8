"""The handle: what it reads, waits for, tells, and how it ends. All over real sockets."""

import threading
import time

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.records import CHANNELS, schema_of
from tests.conftest import wait_until

FUTURES = ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50", "mark_price",
           "funding_rate", "snapshot"]  # fmt: skip
SPOT = [name for name in FUTURES if name != "funding_rate"]


@pytest.mark.parametrize(("symbol", "channels"), [("XBTUSDTM", FUTURES), ("BTC-USDT", SPOT)])
def test_every_public_channel_streams_with_its_schema(symbol, channels):
    with kr.simulate(seed=3, speed=60.0) as x, kr.stream(symbol, channels, venue=x.venue) as s:
        for channel in channels:
            s.wait(channel, rows=2, timeout=30)
        frames = {channel: s.frame(channel) for channel in channels}
        report = s.report()

    for channel, frame in frames.items():
        assert frame.schema == schema_of(CHANNELS[channel])
        assert set(frame["symbol"].unique()) == {symbol}
        assert frame["local_timestamp"].is_sorted()
        assert frame["local_timestamp"].is_unique().all()
        assert frame["timestamp"].null_count() == 0
        assert report.channel(channel).rows >= frame.height
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE
    assert report.channel("trade").verdict is kr.Verdict.NOT_PROVABLE


def test_one_stream_mixes_both_markets(exchange):
    with kr.stream(["XBTUSDTM", "BTC-USDT"], ["bbo"], venue=exchange.venue) as s:
        wait_until(lambda: s.frame("bbo")["symbol"].n_unique() == 2)

        assert s.frame("bbo")["local_timestamp"].is_sorted()
        assert s.frame("bbo", "BTC-USDT")["sequence"].null_count() > 0


def test_last_counts_rows_after_the_symbol_filter(exchange):
    with kr.stream(["XBTUSDTM", "SOLUSDTM"], "bbo", venue=exchange.venue) as s:
        wait_until(lambda: s.frame("bbo", "SOLUSDTM").height >= 5)
        frame = s.frame("bbo", "SOLUSDTM", last=5)

    assert frame.height == 5
    assert set(frame["symbol"]) == {"SOLUSDTM"}


def test_candle_intervals_are_told_apart(exchange):
    with kr.stream("XBTUSDTM", ["candle:1min", "candle:5min"], venue=exchange.venue) as s:
        wait_until(lambda: s.frame("candle")["interval"].n_unique() == 2)

        assert set(s.frame("candle:5min")["interval"]) == {"5min"}
        assert set(s.frame("candle:1min")["interval"]) == {"1min"}


def test_the_book_equals_the_rows_read_from_the_top(exchange):
    with kr.stream("ETHUSDTM", "level2", venue=exchange.venue) as s:
        s.wait("level2", rows=5_000, timeout=30)
        wait_until(lambda: s.status.state is kr.State.LIVE)
    book = s.book()

    rebuilt = {"buy": {}, "sell": {}}
    sequence = None
    for row in s.frame("level2").iter_rows(named=True):
        if row["is_snapshot"] and row["sequence"] != sequence:
            rebuilt = {"buy": {}, "sell": {}}
        sequence = row["sequence"]
        rebuilt[row["side"]][row["price"]] = row["size"]
    assert book.sequence == sequence
    assert book.bids == sorted(((p, q) for p, q in rebuilt["buy"].items() if q), reverse=True)
    assert book.asks == sorted((p, q) for p, q in rebuilt["sell"].items() if q)
    assert book.spread > 0
    assert book.depth(3).columns == ["bid_price", "bid_size", "ask_price", "ask_size"]


def test_book_of_a_symbol_without_level2_says_what_to_do(exchange):
    with (
        kr.stream("XBTUSDTM", "ticker", venue=exchange.venue) as s,
        pytest.raises(kr.BookNotReady, match="add 'level2'"),
    ):
        s.book("XBTUSDTM")


def test_wait_raises_when_the_rows_do_not_come(exchange):
    with (
        kr.stream("XBTUSDTM", "ticker", venue=exchange.venue) as s,
        pytest.raises(kr.StreamTimeout, match="of 1000000000 rows of ticker"),
    ):
        s.wait("ticker", rows=10**9, timeout=0.2)


def test_wait_on_a_stopped_stream_says_so(exchange):
    s = kr.stream("XBTUSDTM", "ticker", venue=exchange.venue)
    s.stop()

    with pytest.raises(kr.StreamStopped, match="stopped"):
        s.wait("ticker", rows=10**9)


def test_an_unstreamed_channel_is_named_with_those_that_are(exchange):
    with (
        kr.stream("XBTUSDTM", "ticker", venue=exchange.venue) as s,
        pytest.raises(kr.UnknownChannel, match="it streams: ticker"),
    ):
        s.frame("trade")


def test_attached_function_sees_every_record_once_in_order(exchange):
    seen = []
    with kr.stream("XBTUSDTM", ["bbo", "trade"], venue=exchange.venue) as s:
        detach = s.attach(seen.append, ["bbo", "trade"])
        wait_until(lambda: len(seen) >= 200)
        detach()
        detach()
        count = len(seen)
        s.wait("bbo", rows=s.total("bbo") + 50)

    assert len(seen) == count
    stamps = [record.local_timestamp for record in seen]
    assert stamps == sorted(set(stamps))
    bbo = [tuple(r) for r in seen if type(r).__name__ == "BestBidOffer"]
    rows = s.frame("bbo").with_columns(pl.col("timestamp", "local_timestamp").to_physical()).rows()
    assert set(bbo) <= set(rows)


def test_a_sink_that_raises_is_detached_and_told_while_the_feed_lives(exchange):
    calls = []

    def broken(record):
        calls.append(record)
        raise RuntimeError("no disk")

    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        s.attach(broken, "bbo")
        wait_until(lambda: "sink_failed" in s.frame("status")["event"].to_list())
        rows = s.total("bbo")
        s.wait("bbo", rows=rows + 50)

    assert len(calls) == 1
    told = s.frame("status").filter(pl.col("event") == "sink_failed")["detail"][0]
    assert "broken raised RuntimeError: no disk" in told


def test_stop_from_a_sink_does_not_hang(exchange):
    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        s.attach(lambda _: s.stop(), "bbo")
        wait_until(lambda: s.state is kr.State.STOPPED)

    assert kr.running() == []


def test_stop_leaves_no_thread_and_keeps_the_frames(exchange):
    before = {t.name for t in threading.enumerate()}
    s = kr.stream("XBTUSDTM", ["ticker", "level2"], venue=exchange.venue)
    s.wait("level2", rows=10)
    s.stop()
    s.stop()

    assert {t.name for t in threading.enumerate()} <= before
    assert s.frame("level2").height >= 10
    assert exchange.connections == 0 or wait_until(lambda: exchange.connections == 0) is None


def test_starting_under_the_same_name_replaces_the_stream(exchange):
    threads = None
    for _ in range(20):
        s = kr.stream("XBTUSDTM", "ticker", venue=exchange.venue)
        s.wait("ticker", rows=1)
        count = threading.active_count()
        threads = threads or count
        assert count == threads
    wait_until(lambda: exchange.connections == 1)

    assert kr.running() == [s]
    s.stop()
    assert kr.running() == []


def test_a_lost_connection_is_healed_and_told():
    with (
        kr.simulate(seed=5, speed=10.0) as x,
        kr.stream("XBTUSDTM", ["ticker", "level2"], venue=x.venue) as s,
    ):
        s.wait("level2", rows=2_000, timeout=20)
        s.wait("ticker", rows=1, timeout=20)
        x.inject("abort", market="futures")
        wait_until(lambda: s.status.reconnects == 1, timeout=20)
        wait_until(lambda: _in_step(s), timeout=20)
        rows = s.total("level2")
        s.wait("level2", rows=rows + 100, timeout=20)
        report = s.report()

    events = s.frame("status")["event"].to_list()
    assert "disconnected" in events
    assert report.reconnects == 1
    assert report.verdict is kr.Verdict.INCOMPLETE
    assert report.channel("ticker").gaps[0].cause == "disconnected"


def _in_step(stream):
    try:
        return stream.book() is not None
    except kr.BookNotReady:
        return False


def test_an_expired_token_is_healed_with_a_new_one():
    with kr.simulate(seed=5, speed=10.0) as x:
        with kr.stream("XBTUSDTM", "bbo", venue=x.venue) as s:
            s.wait("bbo", rows=10)
            x.inject("expire_token")
            wait_until(lambda: s.status.reconnects == 1, timeout=20)
            s.wait("bbo", rows=s.total("bbo") + 10)
            wait_until(lambda: s.state is kr.State.LIVE)

        tokens = [path for method, path in x.requests if "bullet-public" in path]
    assert len(tokens) >= 2
    assert s.report().reconnects == 1


@pytest.mark.parametrize(("symbol", "topic"), [
    ("XBTUSDTM", "/contractMarket/level2:XBTUSDTM"), ("BTC-USDT", "/market/level2:BTC-USDT"),
])  # fmt: skip
def test_dropped_book_messages_are_found_bounded_and_healed(symbol, topic):
    with kr.simulate(seed=5, speed=10.0) as x, kr.stream(symbol, "level2", venue=x.venue) as s:
        s.wait("level2", rows=1_000, timeout=20)
        wait_until(lambda: _in_step(s))
        x.inject("drop", topic=topic, count=3)
        wait_until(lambda: s.status.gaps >= 1, timeout=20)
        wait_until(lambda: _in_step(s), timeout=20)
        report = s.report().channel("level2")

    assert sum(gap.missing for gap in report.gaps) == 3
    assert report.verdict is kr.Verdict.INCOMPLETE
    assert "3 missing" in report.reason


def test_duplicated_messages_are_dropped_and_counted():
    with (
        kr.simulate(seed=5, speed=10.0) as x,
        kr.stream("XBTUSDTM", ["trade", "level2"], venue=x.venue) as s,
    ):
        s.wait("trade", rows=20, timeout=20)
        wait_until(lambda: _in_step(s))
        x.inject("duplicate", topic="/contractMarket/execution:XBTUSDTM", count=5)
        x.inject("duplicate", topic="/contractMarket/level2:XBTUSDTM", count=7)
        wait_until(lambda: s.status.duplicates == 12, timeout=20)
        report = s.report()

    assert s.frame("trade")["trade_id"].is_unique().all()
    assert report.channel("trade").duplicates == 5
    assert report.channel("level2").duplicates == 7
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE


def test_frames_taken_while_streaming_are_consistent(exchange):
    with kr.stream("XBTUSDTM", "level2", venue=exchange.venue) as s:
        s.wait("level2", rows=100)
        deadline = time.monotonic() + 1.0
        heights = []
        while time.monotonic() < deadline:
            frame = s.frame("level2")
            heights.append(frame.height)
            assert frame["sequence"].is_sorted()
            assert frame["price"].null_count() == 0

    assert heights == sorted(heights)
    assert heights[-1] > heights[0]


def test_status_counts_and_reads_well(exchange):
    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        s.wait("bbo", rows=200)
        wait_until(lambda: s.status.messages_per_second > 0)
        status = s.status

    assert status.state is kr.State.LIVE
    assert status.rows["bbo"] >= 200
    assert str(status).startswith("live · bbo ")
    assert "XBTUSDTM bbo" in repr(s)


def test_lag_is_measured_where_the_clock_runs_in_real_time():
    with kr.simulate(seed=7, speed=1.0) as x, kr.stream("XBTUSDTM", "bbo", venue=x.venue) as s:
        s.wait("bbo", rows=30, timeout=30)
        status = s.status
        report = s.report().channel("bbo")

    assert -50 < status.lag_p50_ms < 500
    assert report.lag.p50_ms <= report.lag.p95_ms <= report.lag.p99_ms
