"""The pro feed end to end: the same rows, books and report as the classic one."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.records import CHANNELS, schema_of
from kucoin_research.streaming import delivery
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate

SPOT = ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50"]
FUTURES = [*SPOT, "mark_price", "funding_rate"]
BOOK = "obu/increment@10ms:{}"


def in_step(stream):
    try:
        return stream.book() is not None
    except kr.BookNotReady:
        return False


@pytest.mark.parametrize(("symbol", "channels"), [("XBTUSDTM", FUTURES), ("BTC-USDT", SPOT)])
def test_every_channel_streams_with_its_schema(symbol, channels):
    with (
        simulate(seed=3, speed=60.0) as x,
        kr.stream(symbol, channels, venue=x.venue, feed="pro") as s,
    ):
        for channel in channels:
            s.wait(channel, rows=2, timeout=30)
        frames = {channel: s.frame(channel) for channel in channels}
        report = s.report()
        tokens = [path for _, path in x.requests if "bullet" in path]
        snapshots = [path for _, path in x.requests if "level2" in path]

    assert tokens == snapshots == []
    assert report.simulation == 60.0
    for channel, frame in frames.items():
        assert frame.schema == schema_of(CHANNELS[channel])
        assert set(frame["symbol"].unique()) == {symbol}
        assert frame["local_timestamp"].is_unique().all()
        assert frame["timestamp"].null_count() == 0
        assert report.channel(channel).broken == report.channel(channel).duplicates == 0
        if "sequence" in frame.columns:
            assert frame["sequence"].is_sorted()
            assert frame["sequence"].null_count() == 0
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE
    assert report.channel("trade").verdict is kr.Verdict.NOT_PROVABLE


def test_stream_to_frame_counts_minutes_on_the_venue_clock():
    with simulate(seed=7, speed=60.0) as x:
        frame = kr.stream_to_frame("XBTUSDTM", minutes=1, venue=x.venue, feed="pro", progress=False)

    span = frame["timestamp"].max() - frame["timestamp"].min()
    assert 50 < span.total_seconds() < 75


MANY = 297


@pytest.fixture(scope="module")
def many(held_time):
    """An exchange with so many quiet contracts, and their names."""
    with simulate(seed=7, quiet_contracts=MANY) as x:
        yield x, kr.get_active_symbols(venue=x.venue)[-MANY:]


def test_as_many_contracts_as_kucoin_has_take_a_minute_to_subscribe_to(many, held_time):
    x, names = many
    began = held_time.monotonic()
    frame = kr.stream_to_frame(
        names, "trade", seconds=2, venue=x.venue, feed="pro", progress=False
    )  # fmt: skip

    # Each is a message of its own, 90 of them in 11 s: longer than half a minute.
    assert 33.0 + 2.0 < held_time.monotonic() - began < 60.0
    assert frame.schema == schema_of(CHANNELS["trade"])


def collected(names, venue, _folder):
    kr.stream_to_frame(names, "trade", seconds=2, venue=venue, feed="pro", progress=False)


def recorded(names, venue, folder):
    with kr.record(names, "trade", root=folder, venue=venue, feed="pro", progress=False) as run:
        run.wait()


@pytest.mark.parametrize(("wait", "patience"), [(collected, 15.0), (recorded, 30.0)])
def test_where_nothing_moves_any_more_a_stream_of_many_is_given_up(
    many, held_time, wait, patience, tmp_path
):
    x, names = many
    x.inject("refuse_upgrade", count=None, after=1)
    began = held_time.monotonic()
    aborting = spawn(lambda: (held_time.pass_by(15.0), x.inject("abort")))
    try:
        with pytest.raises((kr.HandshakeRefused, kr.Incomplete), match="refused the WebSocket"):
            wait(names, x.venue, tmp_path)
        took = held_time.monotonic() - began
    finally:
        aborting.join()
        x.heal()

    # The last answers came after 11 s.
    assert 11.0 + patience <= took < 12.0 + patience


def test_wrong_use_gets_one_sentence(exchange):
    with pytest.raises(kr.InvalidInput, match="feed must be 'classic' or 'pro', not 'uta'"):
        kr.stream("XBTUSDTM", venue=exchange.venue, feed="uta")
    with pytest.raises(kr.ChannelNotOffered, match="'snapshot' channel on the pro feed of spot"):
        kr.stream("BTC-USDT", "snapshot", venue=exchange.venue, feed="pro")


def test_both_feeds_of_the_same_symbols_run_side_by_side(exchange):
    with (
        kr.stream("XBTUSDTM", venue=exchange.venue) as classic,
        kr.stream("XBTUSDTM", venue=exchange.venue, feed="pro") as pro,
    ):
        assert kr.running() == [classic, pro]


# -- the two feeds agree -------------------------------------------------------------------------


def columns_but(frame, *left_out):
    return [name for name in frame.columns if name not in ("local_timestamp", *left_out)]


def agreeing(classic, pro, key, *left_out):
    """Join on `key`; count the pairs, all of which must agree in the other columns."""
    names = columns_but(classic, *left_out)
    left = classic.select(names).unique(key, keep="last", maintain_order=True)
    right = pro.select(names).unique(key, keep="last", maintain_order=True)
    mine = left.join(right.select(key), on=key, how="semi").sort(key)
    theirs = right.join(left.select(key), on=key, how="semi").sort(key)
    assert mine.rows() == theirs.rows()
    return mine.height


@pytest.mark.parametrize("symbol", ["ETHUSDTM", "ETH-USDT"])
def test_rows_of_the_two_feeds_agree_field_by_field(symbol):
    channels = ["trade", "bbo", "ticker", "depth5", "depth50", "candle"]
    with (
        simulate(seed=5, speed=60.0) as x,
        kr.stream(symbol, channels, venue=x.venue) as classic,
        kr.stream(symbol, channels, venue=x.venue, feed="pro") as pro,
    ):
        for s in (classic, pro):
            s.wait("trade", rows=60, timeout=30)
            s.wait("depth50", rows=300, timeout=30)
            wait_until(lambda s=s: s.frame("candle")["timestamp"].n_unique() >= 4, timeout=30)
        x.pause()
        frames = {name: (classic.frame(name), pro.frame(name)) for name in channels}
    on_futures = "-" not in symbol

    assert agreeing(*frames["trade"], "trade_id") >= 50
    if on_futures:  # classic spot sends no sequence
        assert agreeing(*frames["bbo"], "sequence") > 50
        assert agreeing(*frames["depth5"], "sequence", "timestamp") > 50
        assert agreeing(*frames["depth50"], "sequence", "timestamp") > 50
    else:
        assert agreeing(*frames["ticker"], "sequence", "timestamp", "side") > 50
        for name in ("depth5", "depth50"):
            mine, theirs = frames[name]
            grid = theirs.with_columns(pl.col("timestamp").dt.truncate("100ms"))
            assert agreeing(mine, grid, "timestamp", "sequence") > 50
    names = ["timestamp", "interval", "open", "high", "low", "close", "volume"]
    mine, theirs = (
        frame.select(names).unique("timestamp", keep="last") for frame in frames["candle"]
    )
    last = min(mine["timestamp"].max(), theirs["timestamp"].max())
    closed = [at for at in sorted(mine["timestamp"])[1:] if at < last]
    assert len(closed) >= 2
    for opened in closed:
        one = pl.col("timestamp") == opened
        assert mine.filter(one).rows() == theirs.filter(one).rows()


# -- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_dropped_book_messages_are_found_bounded_and_healed(symbol):
    topic = BOOK.format(symbol)
    with (
        simulate(seed=5, speed=10.0) as x,
        kr.stream(symbol, "level2", venue=x.venue, feed="pro") as s,
    ):
        s.wait("level2", rows=1_500, timeout=60)
        x.inject("drop", topic=topic, count=3)
        wait_until(lambda: s.status.gaps >= 1 and in_step(s), timeout=60)
        rows = s.total("level2")
        s.wait("level2", rows=rows + 500, timeout=60)
        report = s.report().channel("level2")
        dropped = [one.sequence for one in x.withheld]
        asked = [one for one in s.frame("status")["event"] if one == "resubscribed"]

    first, *others = report.gaps
    assert first.cause == "missing"
    assert first.last_sequence == dropped[-1]
    assert first.first_sequence <= dropped[0]
    assert {gap.cause for gap in others} <= {"resubscribed"}
    assert asked == ["resubscribed"]
    assert report.verdict is kr.Verdict.INCOMPLETE
    frame = s.frame("level2")
    assert not frame["sequence"].is_between(first.first_sequence, first.last_sequence).any()
    assert frame["is_snapshot"].sum() >= 2 * 500


def test_duplicated_and_reordered_book_messages_do_no_harm():
    topic = BOOK.format("XBTUSDTM")
    with (
        simulate(seed=5, speed=10.0) as x,
        kr.stream("XBTUSDTM", "level2", venue=x.venue, feed="pro") as s,
    ):
        s.wait("level2", rows=1_500, timeout=60)
        x.inject("duplicate", topic=topic, count=7)
        wait_until(lambda: s.status.duplicates == 7, timeout=60)
        assert s.report().verdict is kr.Verdict.COMPLETE
        x.inject("reorder", topic=topic, count=1)
        wait_until(lambda: s.status.gaps >= 1 and in_step(s), timeout=60)


def test_a_lost_connection_is_healed_and_told():
    with (
        simulate(seed=5, speed=10.0) as x,
        kr.stream("XBTUSDTM", ["bbo", "level2"], venue=x.venue, feed="pro") as s,
    ):
        s.wait("level2", rows=2_000, timeout=60)
        x.inject("abort", market="futures")
        wait_until(lambda: s.status.reconnects == 1 and in_step(s), timeout=60)
        s.wait("level2", rows=s.total("level2") + 100, timeout=60)
        report = s.report()

    gap = report.channel("level2").gaps[0]
    assert gap.cause == "disconnected"
    assert gap.missing > 0
    assert report.channel("bbo").gaps[0].cause == "disconnected"
    ready = s.frame("status").filter(pl.col("event") == "book_ready")
    assert ready.height == 2
    assert ready["first_sequence"][1] == gap.last_sequence


def test_a_lost_first_snapshot_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(delivery, "_SEED_PATIENCE", 0.1)
    with simulate(seed=5, speed=10.0) as x:
        x.inject("drop", topic=BOOK.format("XBTUSDTM"), count=1)
        with kr.stream("XBTUSDTM", "level2", venue=x.venue, feed="pro") as s:
            s.wait("level2", rows=1_500, timeout=60)
            report = s.report()

    assert report.verdict is kr.Verdict.COMPLETE
    assert "resubscribed" in s.frame("status")["event"].to_list()
