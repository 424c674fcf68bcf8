"""The handle: what it reads, waits for, tells, and how it ends. All over real sockets."""

import gc
import os
import re
import socket
import sys
import threading
import weakref

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import StreamStopped
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.token import Server, Token
from kucoin_research.model.channels import Channel, Market, Subscription
from kucoin_research.model.records import CHANNELS, schema_of
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate
from tests.processes import run

FUTURES = ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50", "mark_price",
           "funding_rate", "snapshot"]  # fmt: skip
SPOT = [name for name in FUTURES if name != "funding_rate"]


@pytest.mark.parametrize(("symbol", "channels"), [("XBTUSDTM", FUTURES), ("BTC-USDT", SPOT)])
def test_every_public_channel_streams_with_its_schema(symbol, channels):
    with simulate(seed=3, speed=60.0) as x, kr.stream(symbol, channels, venue=x.venue) as s:
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


def test_rows_kept_are_those_of_all_frames(exchange):
    with kr.stream("XBTUSDTM", ["bbo", "trade"], capacity=100, venue=exchange.venue) as s:
        s.wait("bbo", rows=300, timeout=30)
    kept = sum(s.frame(channel).height for channel in ("bbo", "trade", "status"))

    assert s.rows_kept == kept
    assert s.rows_kept < sum(s.status.rows.values())
    assert s.clock_offset_ms == s.report().clock_offset_ms


def test_candle_intervals_are_told_apart(exchange):
    with kr.stream("XBTUSDTM", ["candle:1min", "candle:5min"], venue=exchange.venue) as s:
        wait_until(lambda: s.total("candle:5min") and s.total("candle:1min"))

        assert set(s.frame("candle")["interval"]) == {"1min"}  # as where nothing else streams
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


def test_what_attach_returns_says_what_is_attached_and_why_it_is_no_more(exchange):
    def note(_):
        """Stand for a user's function."""

    def broken(_):
        raise RuntimeError("no disk")

    with kr.stream("XBTUSDTM", ["bbo", "trade"], venue=exchange.venue, name="mine") as s:
        trades, everything = s.attach(note, "trade"), s.attach(note)
        batches = s.attach_batches(note)
        failed = s.attach(broken, "bbo")
        wait_until(lambda: s.failures)

        call = "call this object to detach it"
        assert repr(trades) == f"<note is called with each trade record of 'mine'; {call}>"
        assert repr(everything) == f"<note is called with each record of 'mine'; {call}>"
        assert repr(batches) == f"<note is called with each batch of records of 'mine'; {call}>"
        assert repr(failed) == "<broken raised RuntimeError: no disk; 'mine' calls it no more>"
        batches()
        assert repr(batches) == "<note is detached from 'mine'>"
    assert repr(trades) == "<'mine' was stopped; note is called no more>"


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
    (failure,) = s.failures
    assert str(failure) == "broken raised RuntimeError: no disk"
    assert 'raise RuntimeError("no disk")' in failure.trace


@pytest.mark.parametrize("attach", ["attach", "attach_batches"])
def test_a_function_that_is_attached_again_has_failed_no_more(exchange, attach):
    errors = [RuntimeError("no disk")]

    def strategy(record):
        if errors:
            raise errors.pop()

    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        getattr(s, attach)(strategy)
        wait_until(lambda: s.failures)
        getattr(s, attach)(strategy)

        assert s.failures == ()


async def co(_):
    """Stand for a user's coroutine."""


@pytest.mark.parametrize("error", [ValueError("no disk"), SystemExit(1), StopIteration(), co])
def test_whatever_a_function_of_batches_does_the_stream_lives_and_says_so(
    exchange, tmp_path, error
):
    calls, seen, rows = [], [], []

    def broken(batch):
        calls.append(batch)
        if error is co:
            return co(batch)
        raise error

    with kr.stream("XBTUSDTM", ["bbo", "level2"], venue=exchange.venue) as s:
        recorder = s.record(tmp_path)
        s.attach(seen.append)
        s.attach_batches(broken)
        s.attach_batches(rows.extend)
        wait_until(lambda: s.failures)
        s.wait("bbo", rows=s.total("bbo") + 50)
        assert s.state is kr.State.LIVE
    s.stop()
    assert recorder.close()

    assert len(calls) == 1
    (failure,) = s.failures
    assert failure.name == "broken"
    told = s.frame("status").filter(pl.col("event") == "sink_failed")["detail"].to_list()
    assert told == [f"{failure}; it was detached"]
    # Whatever raised, all others have every row, in order, and the recording is whole.
    for got in (seen, rows):
        stamps = [row.local_timestamp for row in got]
        assert stamps == sorted(set(stamps))
        assert sum(getattr(row, "event", "") == "sink_failed" for row in got) == 1
    session = kr.load(recorder.path)
    assert session.frame("bbo").equals(s.frame("bbo"))
    assert session.frame("status").filter(pl.col("event") == "sink_failed").height == 1
    assert s.status.error is None


def test_a_function_of_batches_that_is_attached_twice_is_detached_once_at_a_time(exchange):
    got = []

    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        detach, detach_other = s.attach_batches(got.append), s.attach_batches(got.append)
        detach()
        detach()
        count = len(got)
        wait_until(lambda: len(got) > count + 5)
        detach_other()
        count = len(got)
        s.wait("bbo", rows=s.total("bbo") + 50)

    assert len(got) == count


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


def test_after_the_end_the_book_is_the_last_one_of_the_rows(exchange):
    with kr.stream("XBTUSDTM", "level2", venue=exchange.venue) as s:
        s.wait("level2", rows=s.total("level2") + 50)
    last = s.frame("level2", last=1).with_columns(pl.col("timestamp").to_physical())

    book = s.book()
    assert (book.sequence, book.timestamp) == last.select("sequence", "timestamp").row(0)
    assert s.book().depth().equals(book.depth())


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


def test_a_call_that_returns_a_frame_replaces_no_stream(exchange, tmp_path):
    with kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, progress=False) as recording:
        frame = kr.stream_to_frame("XBTUSDTM", rows=5, venue=exchange.venue, progress=False)

        assert frame.height == 5
        assert kr.running() == [recording.stream]
        rows = recording.stream.total("ticker")
        recording.stream.wait("ticker", rows=rows + 5)


def test_streams_of_two_venues_have_default_names_of_their_own(exchange):
    with (
        simulate(seed=8) as other,
        kr.stream("XBTUSDTM", venue=exchange.venue) as one,
        kr.stream("XBTUSDTM", venue=other.venue) as another,
    ):
        assert kr.running() == [one, another]


def test_a_name_that_was_given_means_one_stream_wherever_it_is(exchange):
    with (
        simulate(seed=8) as other,
        kr.stream("XBTUSDTM", venue=exchange.venue, name="mine"),
        kr.stream("XBTUSDTM", venue=other.venue, name="mine") as second,
    ):
        assert kr.running() == [second]


def test_replacing_a_stream_that_is_recorded_warns_and_names_the_folder(exchange, tmp_path):
    first = kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, progress=False)

    with pytest.warns(kr.RecordingReplaced, match=re.escape(str(first.path))) as warned:
        second = kr.stream("XBTUSDTM", venue=exchange.venue)

    assert warned[0].filename == __file__
    assert first.recorder.wait(20)
    second.stop()


def test_a_stream_that_was_stopped_is_not_recorded(exchange, tmp_path):
    s = kr.stream("XBTUSDTM", venue=exchange.venue)
    s.stop()

    with pytest.raises(StreamStopped, match="start another stream"):
        s.record(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_function_that_raised_is_listed_no_more(exchange):
    with kr.stream("XBTUSDTM", venue=exchange.venue) as s:
        s.attach(lambda _: 1 / 0)
        wait_until(lambda: "sink_failed" in s.frame("status")["event"].cast(pl.String).to_list())

        assert s._delivery.sinks.workers == ()


def test_a_lost_connection_is_healed_and_told():
    with (
        simulate(seed=5, speed=10.0) as x,
        kr.stream("XBTUSDTM", ["ticker", "level2"], venue=x.venue) as s,
    ):
        s.wait("level2", rows=2_000, timeout=60)
        s.wait("ticker", rows=1, timeout=60)
        x.inject("abort", market="futures")
        wait_until(lambda: s.status.reconnects == 1, timeout=60)
        wait_until(lambda: _in_step(s), timeout=60)
        rows = s.total("level2")
        s.wait("level2", rows=rows + 100, timeout=60)
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
    with simulate(seed=5, speed=10.0) as x:
        with kr.stream("XBTUSDTM", "bbo", venue=x.venue) as s:
            s.wait("bbo", rows=10)
            x.inject("expire_token")
            wait_until(lambda: s.status.reconnects == 1, timeout=60)
            s.wait("bbo", rows=s.total("bbo") + 10)
            wait_until(lambda: s.state is kr.State.LIVE)

        tokens = [path for method, path in x.requests if "bullet-public" in path]
    assert len(tokens) >= 2
    assert s.report().reconnects == 1


@pytest.mark.parametrize(("symbol", "topic"), [
    ("XBTUSDTM", "/contractMarket/level2:XBTUSDTM"), ("BTC-USDT", "/market/level2:BTC-USDT"),
])  # fmt: skip
def test_dropped_book_messages_are_found_bounded_and_healed(symbol, topic):
    with simulate(seed=5, speed=10.0) as x, kr.stream(symbol, "level2", venue=x.venue) as s:
        s.wait("level2", rows=1_000, timeout=60)
        wait_until(lambda: _in_step(s))
        x.inject("drop", topic=topic, count=3)
        wait_until(lambda: s.status.gaps >= 1, timeout=60)
        wait_until(lambda: _in_step(s), timeout=60)
        report = s.report().channel("level2")

    assert sum(gap.missing for gap in report.gaps) == 3
    assert report.verdict is kr.Verdict.INCOMPLETE
    assert "3 missing" in report.reason


def test_duplicated_messages_are_dropped_and_counted():
    with (
        simulate(seed=5, speed=10.0) as x,
        kr.stream("XBTUSDTM", ["trade", "level2"], venue=x.venue) as s,
    ):
        s.wait("trade", rows=20, timeout=60)
        wait_until(lambda: _in_step(s))
        x.inject("duplicate", topic="/contractMarket/execution:XBTUSDTM", count=5)
        x.inject("duplicate", topic="/contractMarket/level2:XBTUSDTM", count=7)
        wait_until(lambda: s.status.duplicates == 12, timeout=60)
        report = s.report()

    assert s.frame("trade")["trade_id"].is_unique().all()
    assert report.channel("trade").duplicates == 5
    assert report.channel("level2").duplicates == 7
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE


def test_frames_taken_while_streaming_are_consistent(exchange, held_time):
    with kr.stream("XBTUSDTM", "level2", venue=exchange.venue) as s:
        s.wait("level2", rows=100)
        deadline = held_time.monotonic() + 1.0
        heights = []
        while held_time.monotonic() < deadline:
            held_time.pass_by(0.003)
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
    with simulate(seed=7, speed=1.0) as x, kr.stream("XBTUSDTM", "bbo", venue=x.venue) as s:
        s.wait("bbo", rows=30, timeout=30)
        status = s.status
        report = s.report().channel("bbo")

    assert -50 < status.lag_p50_ms < 500
    assert report.lag.p50_ms <= report.lag.p95_ms <= report.lag.p99_ms


def test_rows_of_one_candle_interval_are_counted_apart(exchange):
    with kr.stream("XBTUSDTM", ["candle:1min", "candle:1day"], venue=exchange.venue) as s:
        frame = s.wait("candle:1day", rows=2, timeout=30)
        s.wait("candle:1min", rows=5, timeout=30)

    assert frame.height >= 2
    assert s.total("candle") == s.frame("candle").height == s.total("candle:1min")
    assert s.total("candle:1day") == s.frame("candle:1day").height


def test_plain_candle_is_refused_where_it_could_mean_several(exchange):
    with (
        kr.stream("XBTUSDTM", ["candle:5min", "candle:1day"], venue=exchange.venue) as s,
        pytest.raises(kr.UnknownChannel, match="it streams: candle:5min, candle:1day"),
    ):
        s.frame("candle")


def test_an_interval_that_is_not_streamed_is_refused(exchange):
    with kr.stream("XBTUSDTM", "candle:1min", venue=exchange.venue) as s:
        assert s.frame("candle").height == s.frame("candle:1min").height
        with pytest.raises(kr.UnknownChannel, match="it streams: candle:1min"):
            s.frame("candle:5min")


def test_attached_function_sees_only_the_interval_it_asked_for(exchange):
    seen = []
    with kr.stream("XBTUSDTM", ["candle:1min", "candle:1day"], venue=exchange.venue) as s:
        s.attach(seen.append, "candle:1min")
        s.wait("candle:1day", rows=2, timeout=30)
        wait_until(lambda: len(seen) >= 2)

    assert {record.interval for record in seen} == {"1min"}


def test_a_symbol_that_is_not_streamed_is_refused(exchange):
    with (
        kr.stream("XBTUSDTM", venue=exchange.venue) as s,
        pytest.raises(kr.UnknownSymbol, match="'XBTUSDT' is not streamed by"),
    ):
        s.frame("ticker", "XBTUSDT")


@pytest.mark.parametrize("last", [-1, 1.5, "5", True])
def test_last_must_be_a_number_of_rows(exchange, last):
    with (
        kr.stream("XBTUSDTM", venue=exchange.venue) as s,
        pytest.raises(kr.InvalidInput, match="last must be a whole number"),
    ):
        s.frame("ticker", "XBTUSDTM", last)


def test_stop_from_a_sink_of_everything_returns_at_once(exchange):
    took = []

    def stop(_):
        began = s.clock.monotonic()
        s.stop()
        took.append(s.clock.monotonic() - began)

    with kr.stream(["XBTUSDTM", "BTC-USDT"], ["bbo", "level2"], venue=exchange.venue) as s:
        s.wait("level2", rows=10)
        s.attach(stop)
        wait_until(lambda: took)

    # It neither waits for threads that want the lock it holds, nor is called by what it causes.
    assert max(took) == 0.0
    assert "sink_failed" not in s.frame("status")["event"].to_list()


def test_stop_keeps_its_timeout_while_a_sink_blocks(exchange, held_time):
    is_blocked, release = held_time.event(), held_time.event()

    def block(_):
        is_blocked.set()
        release.wait(30)

    s = kr.stream("XBTUSDTM", "bbo", venue=exchange.venue)
    s.attach(block)
    is_blocked.wait(10)
    began = held_time.monotonic()
    s.stop(timeout=0.3)
    took = held_time.monotonic() - began
    release.set()
    s.stop()

    assert took == pytest.approx(0.3)
    assert s.frame("status")["event"].to_list().count("stopped") == 1


@pytest.mark.parametrize("error", [SystemExit(1), OSError("no file '\udcff'"), KeyError()])
def test_no_error_of_a_sink_ends_the_feed(exchange, error):
    def broken(_):
        raise error

    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        s.attach(broken)
        wait_until(lambda: "sink_failed" in s.frame("status")["event"].to_list())
        s.wait("bbo", rows=s.total("bbo") + 50)

        assert s.status.reconnects == 0
        assert s.state is kr.State.LIVE


def test_a_sink_is_told_a_failure_of_another_after_the_rows_before_it(exchange, held_time):
    seen, is_watched = [], held_time.event()

    def broken(_):
        assert is_watched.wait(30)
        raise RuntimeError

    with kr.stream("XBTUSDTM", "level2", venue=exchange.venue) as s:
        s.wait("level2", rows=10)
        s.attach(broken, "level2")
        s.attach(seen.append)
        is_watched.set()
        wait_until(lambda: any(getattr(row, "event", "") == "sink_failed" for row in seen), 30)
        s.wait("level2", rows=s.total("level2") + 50)

    stamps = [record.local_timestamp for record in seen]
    assert stamps == sorted(set(stamps))


def test_a_slow_sink_is_told_once(exchange, held_time):
    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        s.wait("bbo", rows=1)
        detach = s.attach(lambda _: held_time.pass_by(0.4), "status")
        for _ in range(4):
            s.note("hello", "for the sink")  # the third is behind by more than a second
        wait_until(lambda: "sink_slow" in s.frame("status")["event"].to_list())
        told = s.frame("status").filter(pl.col("event") == "sink_slow")["detail"][0]
        rows = s.total("bbo")
        s.wait("bbo", rows=rows + 20)
        detach()

    assert "s behind; the feed goes on without it" in told
    assert s.frame("status")["event"].to_list().count("sink_slow") == 1


def test_a_function_that_hangs_is_told_while_it_hangs(exchange, held_time):
    release = held_time.event()

    def hang(_):
        release.wait(1_000)

    with kr.stream("XBTUSDTM", "ticker", venue=exchange.venue) as s:
        s.attach(hang, "ticker")
        s.wait("ticker", rows=1)
        wait_until(lambda: "sink_slow" in s.frame("status")["event"].to_list())
        told = s.frame("status").filter(pl.col("event") == "sink_slow")["detail"][0]
        assert not release.is_set()
        release.set()

    assert "hang is " in told


def test_a_slow_sink_holds_up_nothing_and_what_it_misses_is_counted(
    exchange, monkeypatch, held_time
):
    monkeypatch.setattr("kucoin_research.streaming.sinks.MOST_WAITING", 100)
    seen, release = [], held_time.event()

    def block(record):
        seen.append(record)
        release.wait(30)

    with kr.stream("XBTUSDTM", "bbo", venue=exchange.venue) as s:
        s.wait("bbo", rows=1)
        first = s.total("bbo")
        s.attach(block, "bbo")
        wait_until(lambda: seen)
        s.wait("bbo", rows=first + 400, timeout=30)
        assert s.status.dropped > 0
        release.set()
        wait_until(lambda: "sink_slow" in s.frame("status")["event"].to_list())
    told = s.frame("status").filter(pl.col("event") == "sink_slow")["detail"][0]

    assert "records were not handed to it" in told
    assert (
        len(seen) + s.status.dropped
        == s.total("bbo")
        - s.frame("bbo")
        .filter(
            pl.col("local_timestamp")
            < pl.lit(seen[0].local_timestamp).cast(pl.Datetime("ns", "UTC"))
        )
        .height
    )


def test_an_outage_that_never_ends_is_in_the_report():
    with simulate(seed=5, speed=10.0) as x:
        s = kr.stream("XBTUSDTM", ["ticker", "level2"], venue=x.venue)
        s.wait("ticker", rows=1, timeout=60)
        wait_until(lambda: _in_step(s))
    wait_until(lambda: s.state is kr.State.RECONNECTING)
    s.stop()
    report = s.report()

    assert report.channel("ticker").verdict is kr.Verdict.INCOMPLETE
    assert report.channel("level2").verdict is kr.Verdict.INCOMPLETE
    assert "disconnected" in report.channel("level2").reason
    assert s.verdict is report.verdict


class RefusingRest(Rest):
    """Refuses the next few tokens, as a firewall in front of the exchange may do for a while."""

    refusals = 0

    def token(self, market, *, private=False):
        if self.refusals:
            self.refusals -= 1
            raise kr.AuthenticationFailed("not let in")
        return super().token(market)


BBO = Subscription(Channel("bbo"), "XBTUSDTM", Market.FUTURES)


def test_a_stream_that_was_live_outlasts_what_would_be_fatal_at_its_start():
    with simulate(seed=5, speed=10.0) as x:
        rest = RefusingRest(x.venue)
        with kr.Stream([BBO], rest).start() as s:
            s.wait("bbo", rows=10)
            rest.refusals = 2
            x.inject("abort")
            wait_until(lambda: isinstance(s.error, kr.AuthenticationFailed))
            assert s.state is kr.State.RECONNECTING
            wait_until(lambda: s.state is kr.State.LIVE, timeout=60)

            assert s.error is None
            assert s.status.reconnects == 1


def test_what_is_fatal_at_the_start_fails(exchange):
    rest = RefusingRest(exchange.venue)
    rest.refusals = 1
    with kr.Stream([BBO], rest).start() as s:
        wait_until(lambda: s.state is kr.State.FAILED)
        with pytest.raises(kr.StreamStopped, match=r"is failed after 0 of 1 rows .* not let in"):
            s.wait()


class NowhereRest:
    """Gives tokens for a server that takes connections and says nothing."""

    def __init__(self, port):
        self.port = port

    def token(self, _market, *, private=False):
        return Token("secret-token", (Server(f"ws://127.0.0.1:{self.port}/", 18.0, 10.0),))

    def close(self):
        pass


def test_stop_ends_the_connecting_to_a_black_hole_at_once(held_time):
    with socket.create_server(("127.0.0.1", 0)) as hole:
        wanted = [Subscription(Channel("ticker"), "XBTUSDTM", Market.FUTURES)]
        s = kr.Stream(wanted, NowhereRest(hole.getsockname()[1])).start()
        held_time.pass_by(0.01)  # in which it connects
        peer, _ = hole.accept()
        began = held_time.monotonic()
        s.stop(timeout=5.0)
        took = held_time.monotonic() - began
        peer.close()

    assert took == pytest.approx(0.0, abs=0.001)
    assert s.state is kr.State.STOPPED
    assert "secret-token" not in str(s.frame("status").to_dicts())


def test_a_stream_that_cannot_start_leaves_nothing(exchange, monkeypatch):
    start = threading.Thread.start

    def fail(thread):
        if "errands" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="can't start"):
        kr.stream("XBTUSDTM", venue=exchange.venue)

    assert kr.running() == []
    wait_until(lambda: not any("kucoin-XBT" in t.name for t in threading.enumerate()))


def test_a_stopped_stream_keeps_no_memory(exchange):
    s = kr.stream("XBTUSDTM", venue=exchange.venue)
    s.wait(rows=5)
    s.stop()
    gone = weakref.ref(s)
    del s
    gc.collect()

    assert gone() is None


def test_a_running_stream_needs_no_handle(exchange):
    kr.stream("XBTUSDTM", venue=exchange.venue, name="mine")
    gc.collect()
    (found,) = kr.running()
    found.stop()

    assert found.name == "mine"


def test_two_threads_may_stop_at_once(exchange):
    s = kr.stream("XBTUSDTM", venue=exchange.venue)
    s.wait()
    threads = [spawn(s.stop) for _ in range(4)]
    for thread in threads:
        thread.join()

    assert s.frame("status")["event"].to_list().count("stopped") == 1


FORK = """
import os, sys, kucoin_research as kr
with kr.stream("XBTUSDTM", "bbo", venue="demo") as s:
    s.wait(rows=5, timeout=30)
    child = os.fork()
    if not child:
        s.stop()
        kr.api.registry.close_all()
        os._exit(0 if kr.running() == [] and s.state == "stopped" else 1)
    _, code = os.waitpid(child, 0)
    s.wait(rows=s.total() + 20, timeout=30)
    sys.exit(code or s.status.reconnects)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_leaves_the_parents_stream_alone(tmp_path, real_time):
    done = run(sys.executable, "-c", FORK, cwd=tmp_path)

    assert done.returncode == 0


def test_a_stream_whose_handle_is_dropped_is_kept_by_each_of_its_threads(real_exchange):
    x = real_exchange
    urls = {"KUCOIN_FUTURES_URL": x.futures_url, "KUCOIN_SPOT_URL": x.spot_url}

    done = run(sys.executable, "-c", _DROPPED, **urls)

    assert done.stdout.split() == ["True", "True"], done.stderr


_DROPPED = """
import gc, sys, weakref
import kucoin_research as kr

gone = weakref.ref(kr.stream("XBTUSDTM", ["ticker"]))
gone().wait(rows=1)
engine = gone()._engine
engine.recovery.look = lambda: 1 / 0
engine.recovery.survive = lambda error: sys.exit()  # ends the errand thread
engine._delivery.errand.set()
next(each for each in engine.threads.all if each.name.endswith("errands")).join()
gc.collect()
print(kr.running() == [gone()])
gone().stop()
del engine
gc.collect()
print(gone() is None)
"""
