"""The front door: frames out, one clear sentence on wrong use, cells that can be run twice."""

import os
import re
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.records import Candle, Level2, Ticker, Trade, schema_of
from kucoin_research.streaming import collect, engine
from kucoin_research.streaming.limits import ConnectBudget
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate
from tests.processes import run

START = datetime(2026, 1, 5, tzinfo=UTC)  # of the exchange's clock


@pytest.fixture(scope="module")
def exchange(held_time):
    """Slower than that of other modules: a symbol that is asked for again has to catch up."""
    with simulate(seed=7, speed=5.0) as running:
        yield running


def quick(*arguments, **options):
    return kr.stream_to_frame(*arguments, progress=False, **options)


def test_one_line_in_one_frame_out(exchange):
    frame = quick("XBTUSDTM", rows=500, venue=exchange.venue)

    assert frame.height == 500
    assert frame.schema == schema_of(Ticker)
    assert frame["sequence"].is_sorted()
    assert (frame["best_bid_price"] < frame["best_ask_price"]).all()
    assert kr.running() == []


def test_a_list_of_channels_gives_a_dict_under_the_names_given(exchange):
    frames = quick("BTC-USDT", ["trade", "depth"], rows=50, venue=exchange.venue)

    assert list(frames) == ["trade", "depth"]
    assert frames["trade"].schema == schema_of(Trade)
    assert frames["depth"].schema == schema_of(Level2)
    assert frames["depth"]["is_snapshot"][0]


@pytest.mark.parametrize("speed", [60.0, 600.0])
def test_minutes_count_on_the_venue_clock(held_time, speed):
    with simulate(seed=7, speed=speed) as x:
        started = held_time.monotonic()
        frame = quick("XBTUSDTM", minutes=5, venue=x.venue)
        elapsed = held_time.monotonic() - started

    span = frame["timestamp"].max() - frame["timestamp"].min()
    assert 299 < span.total_seconds() <= 300
    assert 300 / speed <= elapsed < 300 / speed + 0.5


def test_minutes_begin_with_the_first_row_where_the_clock_slips_at_once(held_time, monkeypatch):
    read = collect._VenueClock._read

    def slowly(clock):
        monkeypatch.setattr(collect._VenueClock, "_read", read)
        x.pause()
        held_time.pass_by(0.05)  # half a minute, at that speed
        x.resume()
        return read(clock)

    monkeypatch.setattr(collect._VenueClock, "_read", slowly)
    with simulate(seed=7, speed=600.0) as x:
        frame = quick("XBTUSDTM", minutes=5, venue=x.venue)

    span = frame["timestamp"].max() - frame["timestamp"].min()
    assert 299 < span.total_seconds() <= 300


@pytest.fixture
def few_connections(monkeypatch):
    """One budget of three connections a minute for all, as streams of KuCoin's have of 25."""
    budget = ConnectBudget(3)
    monkeypatch.setattr(engine, "budget_of", lambda *_: budget)


def test_whoever_connects_too_often_waits_for_the_next_minute(
    exchange, few_connections, held_time, capfd
):
    began = held_time.monotonic()
    for _ in range(7):
        assert kr.stream_to_frame("XBTUSDTM", rows=1, venue=exchange.venue).height == 1

    assert 120 <= held_time.monotonic() - began < 125
    assert {f"connects in {seconds} s" for seconds in (58, 30, 1)} <= set(
        re.findall(r"connects in \d+ s", capfd.readouterr().err)
    )


def test_a_stream_that_is_held_back_says_so_and_ends_at_once(exchange, few_connections, held_time):
    for _ in range(3):
        quick("XBTUSDTM", rows=1, venue=exchange.venue)
    told = []

    def end():
        wait_until(lambda: any(s.held_until is not None for s in kr.running()))
        told.append(str(kr.running()[0].error))
        kr.running()[0].stop()

    thread, began = spawn(end), held_time.monotonic()
    with pytest.raises(kr.StreamStopped):
        quick("XBTUSDTM", rows=1, venue=exchange.venue)
    thread.join()

    assert held_time.monotonic() - began < 5.0
    assert "3 connections were made within a minute, of the 30" in told[0]
    assert "one stream of several symbols is one connection" in told[0]


def draws(capfd):
    """Read what a bar has shown: seconds and rows, of each time that it was drawn."""
    found = re.findall(r"(\d+)/\d+ s, ([\d,]+) rows", capfd.readouterr().err)
    return [(int(seconds), int(rows.replace(",", ""))) for seconds, rows in found]


@pytest.mark.parametrize("speed", [7.0, 60.0, 600.0])
@pytest.mark.parametrize("channels", [["ticker"], ["trade", "level2", "candle", "status"]])
def test_rows_and_bar_end_with_the_same_second_of_the_venue(capfd, speed, channels):
    with simulate(seed=7, speed=speed) as x:
        frames = kr.stream_to_frame("XBTUSDTM", channels, seconds=30, venue=x.venue)

    shown = draws(capfd)
    assert shown[-1] == (30, sum(f.height for name, f in frames.items() if name != "status"))
    assert shown == sorted(shown), "a bar does not run backwards"
    for name in set(channels) - {"status", "candle"}:
        last = frames[name]["timestamp"].max()
        # Live is what is subscribed to, which takes a moment of ours.
        assert 25 < (last - START).total_seconds() < 30 + 0.1 * speed, name


@pytest.mark.parametrize("halt", [0.2, 1.3, 2.9])
def test_a_clock_that_halts_meanwhile_sets_no_bar_back(capfd, held_time, halt):
    def hold():
        wait_until(lambda: any(s.total() >= 20 for s in kr.running()))
        x.pause()
        held_time.pass_by(halt)
        x.resume()

    with simulate(seed=7, speed=20.0) as x:
        thread = spawn(hold)
        frame = kr.stream_to_frame("XBTUSDTM", seconds=40, venue=x.venue)
        thread.join()

    shown = draws(capfd)
    assert shown == sorted(shown)
    assert shown[-1] == (40, frame.height)


def test_rows_that_come_while_a_stream_is_stopped_are_none_of_the_five_minutes(
    capfd, held_time, monkeypatch
):
    stop = kr.Stream.stop

    def slowly(stream, timeout=5.0):
        if not stream.stopping.is_set():
            held_time.pass_by(0.8)  # 48 s on the venue's clock
        stop(stream, timeout)

    monkeypatch.setattr(kr.Stream, "stop", slowly)
    with simulate(seed=7, speed=60.0) as x:
        frame = kr.stream_to_frame("XBTUSDTM", minutes=1, venue=x.venue)

    assert draws(capfd)[-1] == (60, frame.height)
    assert (frame["timestamp"].max() - frame["timestamp"].min()).total_seconds() < 62


def test_rows_are_counted_as_they_are_given(exchange, capfd):
    frame = kr.stream_to_frame("XBTUSDTM", rows=300, venue=exchange.venue)

    assert frame.height == 300
    assert ", 300 rows, NOT PROVABLE" in capfd.readouterr().err


def test_the_progress_bar_shows_rows_rate_and_verdict(exchange, capfd):
    kr.stream_to_frame("XBTUSDTM", rows=300, venue=exchange.venue)

    shown = capfd.readouterr().err
    assert "XBTUSDTM ticker" in shown
    assert "messages/s" in shown
    assert "NOT PROVABLE" in shown


def test_an_interrupt_returns_the_rows_so_far(exchange):
    def interrupt():
        wait_until(lambda: any(s.total() >= 20 for s in kr.running()))
        os.kill(os.getpid(), signal.SIGINT)

    thread = spawn(interrupt)
    frame = quick("XBTUSDTM", rows=10**9, venue=exchange.venue)
    thread.join()

    assert 20 <= frame.height < 10**9
    assert kr.running() == []


def test_strict_raises_with_what_there_is():
    with simulate(seed=7, speed=20.0) as x:
        x.inject("drop", topic="/contractMarket/level2:XBTUSDTM", count=2, after=2_000)
        with pytest.raises(kr.Incomplete, match="2 missing") as caught:
            quick("XBTUSDTM", "level2", rows=6_000, venue=x.venue, strict=True)

    assert caught.value.frame.height == 6_000
    assert caught.value.report.verdict is kr.Verdict.INCOMPLETE


def test_a_frame_that_lacks_rows_is_not_returned_in_silence():
    with simulate(seed=7, speed=20.0) as x:
        x.inject("drop", topic="/contractMarket/level2:XBTUSDTM", count=2, after=2_000)
        with pytest.warns(
            kr.IncompleteData, match="2 missing sequence numbers.*strict=True"
        ) as told:
            frame = quick("XBTUSDTM", "level2", rows=6_000, venue=x.venue)

    assert frame.height == 6_000
    assert told[0].filename == __file__


def test_lists_of_all_symbols_come_soon_however_fast_the_clock():
    with (
        simulate(seed=1, speed=300.0) as x,
        kr.stream("XBTUSDM", "trade", venue=x.venue) as s,
    ):
        s.wait(rows=300, timeout=60)
        assert kr.tickers(venue=x.venue).height == kr.stats(venue=x.venue).height >= 4


def test_credentials_give_the_whole_book_of_a_spot_pair():
    with (
        simulate(seed=5, speed=5.0) as x,
        kr.stream(
            "BTC-USDT", "level2", venue=x.venue, credentials=x.credentials, name="whole"
        ) as whole,
        kr.stream("BTC-USDT", "level2", venue=x.venue, name="partial") as partial,
    ):
        wait_until(lambda: _known_bids(whole) and _known_bids(partial))
        levels, known = _known_bids(whole), _known_bids(partial)

    assert levels > 300
    assert known < 200, "seeded with the 100 levels that need no key; changes add a few"


def _known_bids(stream: kr.Stream) -> int:
    try:
        return len(stream.book().bids)
    except kr.BookNotReady:
        return 0


def test_rerunning_a_cell_leaves_no_socket(exchange):
    for _ in range(3):
        quick("XBTUSDTM", rows=10, venue=exchange.venue)

    wait_until(lambda: exchange.connections == 0)


def test_the_demo_venue_starts_by_itself_once():
    first = quick("XBTUSDTM", "bbo", rows=20, venue="demo")
    threads = threading.active_count()
    quick("XBTUSDTM", "bbo", rows=20, venue="demo")

    assert first.height == 20
    assert threading.active_count() == threads


def test_rows_of_a_simulated_exchange_are_of_this_moment(held_time):
    with kr.simulate() as x:
        held_time.pass_by(3.3)
        trades = quick("XBTUSDTM", "trade", rows=50, venue=x.venue)
        candles = kr.candles("XBTUSDTM", venue=x.venue, progress=False)
        now_ns = held_time.wall_ns()

    late = trades["local_timestamp"] - trades["timestamp"]
    assert timedelta(0) <= late.min() <= late.max() < timedelta(milliseconds=100)
    opened = candles["timestamp"].to_physical()
    assert opened.diff().drop_nulls().unique().to_list() == [60 * 10**9]
    assert 0 < now_ns - opened[-1] < 60 * 10**9


def test_the_environment_names_the_venue(exchange, monkeypatch):
    monkeypatch.setenv("KUCOIN_FUTURES_URL", exchange.futures_url)
    monkeypatch.setenv("KUCOIN_SPOT_URL", exchange.spot_url)

    assert quick("BTC-USDT", rows=10).height == 10


def test_a_dotenv_file_names_the_venue(exchange, tmp_path):
    text = f"KUCOIN_FUTURES_URL={exchange.futures_url}\nKUCOIN_SPOT_URL={exchange.spot_url}\n"
    (tmp_path / ".env").write_text(text)

    assert quick("XBTUSDTM", rows=10).height == 10


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        (("BTCUSDTM",), {"rows": 1}, kr.UnknownSymbol, "XBTUSDTM"),
        (("xbtusdtm",), {"rows": 1}, kr.UnknownSymbol, "XBTUSDTM"),
        (("BTC-USDTT",), {"rows": 1}, kr.UnknownSymbol, "BTC-USDT"),
        (("XBTUSDTM", "tickr"), {"rows": 1}, kr.UnknownChannel, "did you mean 'ticker'"),
        (("XBTUSDTM", "candle:7min"), {"rows": 1}, kr.UnknownChannel, "no candle interval '7min'"),
        (("BTC-USDT", "funding_rate"), {"rows": 1}, kr.ChannelNotOffered, "on spot"),
        (("XBTUSDTM", "candle:6hour"), {"rows": 1}, kr.ChannelNotOffered, "6hour"),
        (("XBTUSDTM", ["status"]), {"rows": 1}, kr.InvalidInput, "only 'status'"),
        ((7,), {"rows": 1}, kr.InvalidInput, "symbols must be"),
        (([],), {"rows": 1}, kr.InvalidInput, "must not be empty"),
        ((["XBTUSDTM", 7],), {"rows": 1}, kr.InvalidInput, "7 is none"),
        (("XBTUSDTM", 5), {"rows": 1}, kr.InvalidInput, "channels must be"),
        (("XBTUSDTM",), {"rows": -1}, kr.InvalidInput, "rows must be a positive number"),
        (("XBTUSDTM",), {"rows": 1.5}, kr.InvalidInput, "whole number"),
        (("XBTUSDTM",), {"minutes": "5"}, kr.InvalidInput, "minutes must be"),
        (("XBTUSDTM",), {"rows": 1, "market": "margin"}, kr.InvalidInput, "'futures' or 'spot'"),
    ],
)  # fmt: skip
def test_wrong_use_gets_one_sentence_before_anything_is_subscribed(
    exchange, arguments, options, error, sentence
):
    tokens = sum("bullet" in path for _, path in exchange.requests)

    with pytest.raises(error, match=sentence) as caught:
        quick(*arguments, venue=exchange.venue, **options)

    assert "\n" not in str(caught.value)
    assert sum("bullet" in path for _, path in exchange.requests) == tokens
    assert kr.running() == []


def test_unknown_venue_is_told():
    with pytest.raises(kr.UnknownVenue, match="did you mean 'demo'"):
        quick("XBTUSDTM", rows=1, venue="dmo")


def test_no_network_is_one_sentence_with_the_host():
    nowhere = kr.Venue("http://127.0.0.1:9", "http://127.0.0.1:9")

    with pytest.raises(kr.Unreachable, match=r"127\.0\.0\.1:9"):
        quick("XBTUSDTM", rows=1, venue=nowhere)


@pytest.mark.timeout(20)  # a stream whose network only hiccups has half a minute
def test_a_network_that_went_after_the_symbols_were_read_is_told_soon():
    with simulate() as x:
        kr.symbols(venue=x.venue)
        gone = x.venue

    with pytest.raises(
        kr.Unreachable, match=r"^cannot reach 127\.0\.0\.1:\d+ for a futures stream"
    ):
        quick("XBTUSDTM", rows=1, venue=gone)
    assert kr.running() == []


def test_capacity_must_be_a_number_of_rows(exchange):
    with pytest.raises(kr.InvalidInput, match="capacity"):
        kr.stream("XBTUSDTM", venue=exchange.venue, capacity=0)


def test_capacity_bounds_the_frame(exchange):
    with kr.stream("XBTUSDTM", "level2", venue=exchange.venue, capacity=1_000) as s:
        s.wait("level2", rows=5_000, timeout=30)

        assert s.frame("level2").height == 1_000
        assert s.status.rows["level2"] >= 5_000


def test_symbols_and_instruments(exchange):
    futures = kr.symbols(venue=exchange.venue)
    contract = kr.instrument("XBTUSDTM", venue=exchange.venue)
    inverse = kr.instrument("XBTUSDM", venue=exchange.venue)

    assert {"XBTUSDTM", "ETHUSDTM", "SOLUSDTM", "XBTUSDM"} <= set(futures["symbol"])
    assert {"BTC-USDT", "ETH-USDT", "KCS-USDT"} <= set(
        kr.get_active_symbols("spot", venue=exchange.venue)
    )
    assert contract.tick_size == 0.1
    assert contract.contract_multiplier == 0.001
    assert contract.round_price(67_123.456) == 67_123.5
    assert inverse.is_inverse


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_history_has_the_columns_of_the_live_channels(exchange, symbol):
    venue = exchange.venue
    candles = kr.candles(symbol, "5min", venue=venue)
    trades = kr.recent_trades(symbol, venue=venue)
    book = kr.order_book(symbol, depth=20, venue=venue)

    assert candles.schema == schema_of(Candle)
    assert candles["timestamp"].is_sorted()
    assert (candles["high"] >= candles["low"]).all()
    assert trades.schema == schema_of(Trade)
    assert trades["timestamp"].is_sorted()
    assert book.schema == schema_of(Level2)
    assert book.filter(pl.col("side") == "buy").height == 20
    best = book.group_by("side").agg(
        pl.col("price").max().alias("max"), pl.col("price").min().alias("min")
    )
    rows = {row["side"]: row for row in best.iter_rows(named=True)}
    assert rows["buy"]["max"] < rows["sell"]["min"]


def test_candles_over_a_range(exchange):
    day = kr.candles("XBTUSDTM", "1hour", "2026-01-03", "2026-01-04", venue=exchange.venue)

    assert day.height == 25
    assert day["timestamp"].diff().drop_nulls().unique().len() == 1


@pytest.mark.parametrize(("symbol", "page"), [("XBTUSDTM", 200), ("BTC-USDT", 1_500)])
def test_candles_are_whole_across_pages_and_reach_up_to_their_end(exchange, symbol, page):
    last = datetime(2026, 1, 4, tzinfo=UTC)
    first = last - timedelta(minutes=2 * page)

    candles = kr.candles(symbol, "1min", first, last, venue=exchange.venue)

    assert candles["timestamp"].to_list() == [
        first + timedelta(minutes=minute) for minute in range(2 * page + 1)
    ]


def test_funding_rates(exchange):
    rates = kr.funding_rates("XBTUSDTM", "2026-01-01", "2026-01-04", venue=exchange.venue)

    assert rates.height >= 9
    assert rates["timestamp"].is_sorted()
    with pytest.raises(kr.InvalidInput, match="only futures"):
        kr.funding_rates("BTC-USDT", venue=exchange.venue)


def test_an_impossible_time_is_told(exchange):
    with pytest.raises(kr.InvalidInput, match="start='yesterday' is no time"):
        kr.candles("XBTUSDTM", start="yesterday", venue=exchange.venue)
    with pytest.raises(kr.InvalidInput, match="lies after"):
        kr.candles("XBTUSDTM", start="2026-01-04", end="2026-01-03", venue=exchange.venue)


def test_the_first_rows_of_a_seed_are_always_the_same():
    def first_rows():
        with simulate(seed=11, speed=50.0) as x:
            return quick("XBTUSDTM", "bbo", rows=300, venue=x.venue).drop("local_timestamp")

    assert first_rows().equals(first_rows())


def test_importing_starts_nothing_and_needs_no_network():
    code = (
        "import sys, threading, kucoin_research as kr; "
        "assert threading.active_count() == 1; assert kr.running() == []; "
        "assert not {'plotly', 'ipywidgets', 'IPython', 'pandas', 'tqdm'} & set(sys.modules)"
    )
    assert run(sys.executable, "-W", "error", "-c", code).returncode == 0


def test_minutes_cost_few_requests():
    with simulate(seed=7, speed=60.0) as x:
        quick("XBTUSDTM", minutes=1, venue=x.venue)
        asked = sum(path == "/api/v1/timestamp" for _, path in x.requests)

    assert asked < 20  # it was one each 50 ms


def test_minutes_wait_for_a_clock_that_stands_still(held_time):
    with simulate(seed=7, speed=60.0) as x:

        def hold():
            wait_until(lambda: any(s.total() >= 20 for s in kr.running()))
            x.pause()
            held_time.pass_by(1.0)  # a virtual minute, had it passed
            x.resume()

        thread = spawn(hold)
        frame = quick("XBTUSDTM", seconds=60, venue=x.venue)
        thread.join()

    span = frame["timestamp"].max() - frame["timestamp"].min()
    assert 50 < span.total_seconds() < 75


def test_a_venue_that_stops_telling_its_time_costs_no_rows():
    with simulate(seed=7, speed=60.0) as x:
        # The first two calls are the clock offset and the beginning, in whatever order.
        x.inject("html_error", path="/api/v1/timestamp", after=2, count=None)

        assert quick("XBTUSDTM", seconds=30, venue=x.venue).height > 0


def test_numbers_of_numpy_are_numbers(exchange):
    import numpy as np

    assert quick("XBTUSDTM", rows=np.int64(10), venue=exchange.venue).height == 10


def test_status_does_not_hold_up_rows_and_comes_whole(exchange):
    frames = quick("XBTUSDTM", ["ticker", "status"], rows=1, venue=exchange.venue)

    assert frames["ticker"].height == 1
    assert {"connected", "stopped"} <= set(frames["status"]["event"])


def test_rows_count_for_each_candle_interval(exchange):
    names = ["candle", "candle:1day"]
    frames = quick("XBTUSDTM", names, rows=3, venue=exchange.venue)

    assert [frame.height for frame in frames.values()] == [3, 3]
    assert set(frames["candle"]["interval"]) == {"1min"}


def test_a_second_interrupt_cuts_the_wait_short_but_costs_no_rows(exchange, held_time):
    release = held_time.event()

    def interrupt_twice():
        wait_until(lambda: any(s.total() >= 20 for s in kr.running()))
        (running,) = kr.running()
        running.attach(lambda _: release.wait(10))
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(running.stopping.is_set)
        os.kill(os.getpid(), signal.SIGINT)

    thread = spawn(interrupt_twice)
    began = held_time.monotonic()
    frame = quick("XBTUSDTM", rows=10**9, venue=exchange.venue)
    took = held_time.monotonic() - began
    thread.join()
    release.set()
    wait_until(lambda: not any("kucoin-XBT" in t.name for t in threading.enumerate()))

    assert frame.height >= 20
    assert took < 4.0  # stop() would wait five seconds for the sink


def test_the_bar_shows_what_there_is_when_an_interrupt_ends_it(exchange, capfd):
    def interrupt():
        wait_until(lambda: any(s.total() >= 20 for s in kr.running()))
        os.kill(os.getpid(), signal.SIGINT)

    thread = spawn(interrupt)
    kr.stream_to_frame("XBTUSDTM", rows=10**9, venue=exchange.venue)
    thread.join()

    assert "NOT PROVABLE, interrupted" in capfd.readouterr().err


def test_a_broken_dotenv_file_is_one_sentence(tmp_path):
    (tmp_path / ".env").write_bytes(b"KUCOIN_API_KEY=\xff\xfe")

    with pytest.raises(kr.InvalidInput, match="is not UTF-8 text; save it as UTF-8"):
        quick("XBTUSDTM", rows=1)


def test_start_after_end_is_told_for_funding_rates_too(exchange):
    with pytest.raises(kr.InvalidInput, match="lies after"):
        kr.funding_rates("XBTUSDTM", "2026-01-04", "2026-01-01", venue=exchange.venue)
