"""Paper trading on streams and replays, and its comparison with the recording."""

import os
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput, StopStrategy, UnknownSymbol
from kucoin_research.model.records import Ticker, Trade
from kucoin_research.strategy.journal import Journal
from kucoin_research.strategy.options import RunOptions
from kucoin_research.strategy.run import PaperRun
from kucoin_research.strategy.tape import MarketFacts
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.processes import run
from tests.unit.recordings import a_minute

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
# The simulated exchange runs 100 times as fast as the clock that stamps arrivals.
SPEED = 100.0
EVERY = 5_000_000
QUICK = {"latency": (0.000_2, 0.000_3)}


class Maker:
    """Replaces an order on each side twice a second of the exchange, and closes now and then."""

    def __init__(self):
        self.next = 0

    def __call__(self, record, broker):
        if broker.now < self.next:
            return
        self.next = broker.now + EVERY
        broker.cancel_all()
        best = broker.best()
        if best.best_bid is None or best.best_ask is None:
            return
        broker.buy(1, limit=best.best_bid, post_only=True)
        broker.sell(1, limit=best.best_ask, post_only=True)
        if len(broker.sent) % 20 == 0:
            broker.close()


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return a_minute(tmp_path_factory.mktemp("sessions"), SPEED)


def test_paper_on_a_replay_is_the_backtest(session):
    wanted = kr.backtest(Maker(), session, progress=False, **QUICK)
    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(Maker(), replay, **QUICK)
        replay.resume()
        replay.wait_until_done(60)
        result = run.stop()

    assert wanted.fills.height > 5
    assert result.fingerprint == wanted.fingerprint
    assert result.orders.equals(wanted.orders)
    assert result.equity.equals(wanted.equity)
    assert result.complete


def test_a_step_of_the_replay_is_a_step_of_the_strategy(session):
    seen = []
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(lambda record, _: seen.append(record), replay)
        replay.step(3)
        assert len(seen) == 3
        replay.step()
        assert len(seen) == run.records == 4


def test_a_run_on_a_stream_is_the_same_on_its_recording(tmp_path):
    with (
        simulate(seed=3, speed=SPEED) as x,
        kr.stream("XBTUSDTM", ["level2", "trade", "mark_price"], venue=x.venue) as stream,
    ):
        run = kr.paper(Maker(), stream, record=tmp_path, **QUICK)
        stream.wait("trade", rows=30, timeout=60)
        sent = run.broker.buy(3, tag="by hand")
        stream.wait("trade", rows=60, timeout=60)
        result = run.stop()
        report = kr.parity(run)

    assert result.fills.height > 3
    assert "by hand" in result.fills["tag"].to_list()
    assert sent.filled == 3
    assert report.ok, str(report)
    assert report.hash == result.fingerprint == report.again.fingerprint
    assert report.again.orders.equals(result.orders)


class Turns:
    """Buys and sells in turn, with every third ticker."""

    def __init__(self):
        self.tickers = 0

    def __call__(self, record, broker):
        if isinstance(record, Ticker):
            self.tickers += 1
            if self.tickers % 6 == 3:
                broker.buy(1)
            elif self.tickers % 6 == 0:
                broker.sell(1)


def lacked(result):
    found = result.assumptions.filter(pl.col("subject") == "lacked")
    return [detail for detail in found["detail"] if "gap" in detail]


@pytest.mark.parametrize("channel", ["level2", "trade"])
def test_nothing_is_filled_without_a_subscription_on_paper_and_on_the_recording(tmp_path, channel):
    with (
        simulate(seed=7, speed=1) as x,
        kr.stream("XBTUSDTM", ["ticker", "level2", "trade"], venue=x.venue) as stream,
    ):
        stream.wait("level2", rows=10, timeout=60)
        run = kr.paper(Turns(), stream, record=tmp_path)
        stream.wait("ticker", rows=stream.frame("ticker").height + 10, timeout=60)
        stream.unsubscribe("XBTUSDTM", channel)
        stream.wait("ticker", rows=stream.frame("ticker").height + 12, timeout=60)
        away = lacked(run.result())
        stream.subscribe("XBTUSDTM", channel)
        stream.wait("ticker", rows=stream.frame("ticker").height + 12, timeout=60)
        result = run.stop()
        report = kr.parity(run)

    events = run.session.frame("status").filter(pl.col("channel") == channel)
    (begin,) = events.filter(pl.col("event") == "unsubscribed")["local_timestamp"]
    (end,) = events.filter(pl.col("event") == "subscribed")["local_timestamp"]
    times = result.fills["timestamp"]
    assert report.ok, str(report)
    assert len(away) == 1
    assert (times < begin).any()
    assert (times > end).any()
    assert not times.is_between(begin, end).any()
    assert len(lacked(result)) == 1
    assert lacked(result) == lacked(report.again)
    assert result.equity.equals(report.again.equity)
    again = kr.backtest(Turns(), run.session, progress=False)
    assert again.fills.head(result.fills.height).equals(result.fills)


def test_paper_names_the_gap_of_a_lost_connection_as_its_recording_does(tmp_path):
    with (
        simulate(seed=7, speed=1) as x,
        kr.stream("XBTUSDTM", ["ticker", "level2", "trade"], venue=x.venue) as stream,
    ):
        stream.wait("level2", rows=10, timeout=60)
        run = kr.paper(Turns(), stream, record=tmp_path)
        stream.wait("ticker", rows=stream.frame("ticker").height + 10, timeout=60)
        x.inject("abort")
        wait_until(lambda: stream.status.reconnects == 1)
        stream.wait("ticker", rows=stream.frame("ticker").height + 10, timeout=60)
        result = run.stop()
        report = kr.parity(run)

    assert report.ok, str(report)
    assert len(lacked(result)) == 1
    assert lacked(result) == lacked(report.again)


def test_a_difference_is_shown_with_both_sides(session):
    class Once:
        """Buys at the tenth record; another size in each run."""

        sizes = iter((2, 5))

        def __init__(self):
            self.records = 0

        def __call__(self, record, broker):
            self.records += 1
            if self.records == 10:
                broker.buy(next(Once.sizes))

    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(Once(), replay)
        replay.resume()
        replay.wait_until_done(60)
        run.stop()
        report = kr.parity(run, session)

    assert not report.ok
    assert report.first.table == "orders"
    assert "size 2.0 on paper, 5.0 again" in str(report)
    assert report.to_frame()["run"].to_list() == ["paper", "again"]


def test_the_result_can_be_read_while_it_runs(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Maker(), replay)
        replay.step(50)
        result = run.result()

        assert run.is_running
        assert result.ended == "it is still running"
        assert result.stats["records"] == 50
        replay.step(10)
        assert run.result().stats["records"] == 60


def test_a_strategy_that_raises_is_detached_and_keeps_its_result(session):
    def broken(record, broker):
        broker.buy(1)
        raise ZeroDivisionError("a mistake of mine")

    with kr.replay(session, paused=True) as replay:
        run = kr.paper(broken, replay)
        replay.step(2)

        assert not run.is_running
        assert run.records == 1
        assert isinstance(run.failed.error, ZeroDivisionError)
        assert "ZeroDivisionError: a mistake of mine" in run.result().ended
        assert [str(each.error) for each in replay.failures] == ["a mistake of mine"]
        assert run.stop().orders.height == 1


def test_a_strategy_may_stop_itself(session):
    def enough(record, broker):
        raise StopStrategy("enough")

    with kr.replay(session, paused=True) as replay:
        run = kr.paper(enough, replay)
        replay.step(2)

        assert not run.is_running
        assert replay.failures == ()
        assert run.stop().ended == "the strategy stopped it: enough"


def at(replay, share):
    return replay.start_ns + round(share * (replay.end_ns - replay.start_ns))


def played(replay):
    replay.speed = None
    replay.resume()
    assert replay.wait_until_done(60)


def test_a_run_follows_a_replay_that_is_wound(session):
    wanted = kr.backtest(Maker(), session, progress=False, **QUICK)
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Maker(), replay, **QUICK)
        replay.step(20)
        for share in (0.9, 0.2, 0.6, 0.0, 0.5):
            replay.seek(at(replay, share))
        assert run.restarts == 2
        assert 0 < run.records < wanted.stats["records"]
        played(replay)
        result = run.stop()

    assert result.fingerprint == wanted.fingerprint
    assert result.orders.equals(wanted.orders)
    assert result.equity.equals(wanted.equity)
    assert result.complete


def test_a_run_that_began_in_the_middle_begins_there_again(session):
    with kr.replay(session, paused=True) as replay:
        replay.seek(at(replay, 0.5))
        run = kr.paper(Maker(), replay, **QUICK)
        replay.step(100)
        first, records = run.first, run.records
        replay.seek(at(replay, 0.55))
        replay.seek(at(replay, 0.51))
        assert run.first == first
        assert 0 < run.records < records
        played(replay)
        once = run.result()
        replay.pause()
        replay.seek(at(replay, 0.3))
        replay.step()
        assert run.records == 1
        assert run.first.local_timestamp < first.local_timestamp

    with kr.replay(session, paused=True) as replay:
        replay.seek(at(replay, 0.5))
        again = kr.paper(Maker(), replay, **QUICK)
        played(replay)
    assert again.result().fingerprint == once.fingerprint


def test_a_rewind_forgets_orders_and_keeps_the_broker(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(lambda record, broker: None, replay)
        broker = run.broker
        replay.step(100)
        order = broker.buy(1)
        replay.step(200)
        assert broker.position().size == 1
        replay.seek(replay.start_ns)

        assert run.broker is broker
        assert (broker.position().size, broker.cash, run.outside) == (0, 10_000, ())
        with pytest.raises(InvalidInput, match="another broker"):
            broker.cancel(order)


def test_a_strategy_that_has_stopped_itself_begins_again_with_its_replay(session):
    def enough(record, broker):
        if len(broker.sent) == 3:
            raise StopStrategy("enough")
        broker.buy(1)

    with kr.replay(session, paused=True) as replay:
        run = kr.paper(enough, replay)
        replay.step(10)
        assert (run.records, run.ended) == (4, "the strategy stopped it: enough")
        replay.seek(replay.start_ns)
        assert (run.records, run.ended, run.is_running) == (0, None, True)
        replay.step(2)
        assert run.records == 2


def test_a_strategy_that_has_raised_begins_again_with_its_replay(session):
    class Breaks:
        def __init__(self):
            self.records = 0

        def __call__(self, record, broker):
            self.records += 1
            broker.note(f"record {self.records}")
            if self.records == 10:
                raise ZeroDivisionError("a mistake of mine")

    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Breaks(), replay)
        for _ in range(2):
            replay.step(20)
            assert (run.records, len(run.journal.moments)) == (10, 10)
            assert "ZeroDivisionError" in run.ended
            (failure,) = replay.failures
            assert failure.time_ns == run.last
            replay.seek(replay.start_ns)
            assert (run.ended, run.records, run.journal.moments) == (None, 0, [])
        replay.step(9)
        assert run.is_running
        run.stop()
        replay.seek(replay.end_ns)
        assert (run.ended, run.records) == ("it was stopped", 9)


def test_a_strategy_that_raises_while_the_replay_is_wound_is_detached_there(session):
    def broken(record, broker):
        if len(broker.sent) == 2:
            raise ZeroDivisionError("a mistake of mine")
        broker.buy(1)

    seen = []
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(broken, replay)
        replay.attach(seen.append, on_rewind=lambda to_ns: seen.clear())
        replay.seek(at(replay, 0.5))
        replay.step()

        (failure,) = replay.failures
        assert (run.records, failure.time_ns) == (3, seen[2].local_timestamp)
        rows = [each for each in seen if getattr(each, "event", None) != "sink_failed"]
        early = [each for each in rows if each.local_timestamp < at(replay, 0.5)]
        assert len(early) > 100
        assert len(early) == sum(
            session.frame(each).filter(pl.col("local_timestamp").cast(int) < at(replay, 0.5)).height
            for each in (*session.channels, "status")
        )


def test_a_strategy_reads_the_replay_as_of_its_record_while_it_is_wound(session):
    seen = []

    def reads(record, _):
        newest = replay.frame("trade", last=1)["local_timestamp"].cast(int)
        seen.append((record.local_timestamp, replay.position_ns, newest[0]))

    with kr.replay(session, speed=None, paused=True) as replay:
        kr.paper(reads, replay, channels="trade")
        for share in (1.0, 0.5, 0.9):
            seen.clear()
            replay.seek(at(replay, share))
            assert len(seen) > 10
            assert all(now == position == newest for now, position, newest in seen)
        assert replay.total("trade") == sum(
            session.frame("trade")["local_timestamp"].cast(int) < at(replay, 0.9)
        )


def test_what_is_called_before_a_rewind_must_be_a_function(session):
    with (
        kr.replay(session, paused=True) as replay,
        pytest.raises(InvalidInput, match="on_rewind wants a function of to_ns, not 5"),
    ):
        replay.attach(lambda record: None, on_rewind=5)


def test_a_strategy_that_seeks_while_the_replay_is_wound_is_obeyed_behind_its_record(session):
    seen = []

    def turns_back(record, _):
        seen.append(record)
        if len(seen) == 100:
            replay.seek(replay.start_ns)

    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(turns_back, replay)
        replay.seek(at(replay, 1.0))
        assert (len(seen), run.restarts) == (100, 1)
        assert replay.position_ns == replay.start_ns
        replay.resume()
        assert replay.wait_until_done(60)
        assert (
            run.records
            == len(seen) - 100
            == kr.backtest(lambda *_: None, session, progress=False).stats["records"]
        )


def test_the_journal_has_record_and_book_of_each_moment(session):
    seen = []

    def noting(record, broker):
        seen.append((record, broker.best()))
        if broker.best().best_ask is not None and not broker.sent:
            broker.note("it looks cheap")
            broker.buy(5, tag="first")

    with kr.replay(session, paused=True) as replay:
        run = kr.paper(noting, replay, latency=0.001)
        played(replay)
    note, fill = run.journal.moments

    (known, best) = next(each for each in seen if each[1].best_ask is not None)
    assert note.record == known
    assert (note.text, note.fill, note.position) == ("it looks cheap", None, 0)
    assert note.price == best.mid
    assert fill.fill == run.broker.fills[0]
    assert (fill.order, fill.text, fill.noted) == (run.broker.sent[0], note.text, known[1])
    assert fill.local_timestamp == known[1] + 1_000_000
    before = [each for each in seen if each[0][1] < fill.local_timestamp]
    record, best = before[-1]
    assert fill.record == record
    assert (fill.bids[0][0], fill.asks[0][0]) == (best.best_bid, best.best_ask)
    # The stream's clock runs faster than that of arrival; charts have the former.
    event = [each for each, _ in before if each.__class__.__name__ in ("Ticker", "Trade")][-1]
    assert fill.timestamp == event.timestamp + 1_000_000 - (event.local_timestamp - known[1])
    assert [each for each, _ in run.journal.equity] == sorted(
        each for each, _ in run.journal.equity
    )
    assert run.journal.equity[-1][1] == run.result().equity["equity"][-1]


def test_a_note_belongs_to_the_fills_of_orders_sent_with_it(session):
    def noting(record, broker):
        if broker.best().mid is None or broker.orders():
            return
        if not broker.position().size:
            broker.note("in")
            broker.buy(1)
        else:
            broker.sell(1)

    with kr.replay(session, paused=True) as replay:
        run = kr.paper(noting, replay, **QUICK)
        played(replay)
    fills = [each for each in run.journal.moments if each.fill is not None]
    assert len(fills) > 10
    assert {(each.fill.side, each.text) for each in fills} == {("buy", "in"), ("sell", None)}


def lean(record, broker):
    best = broker.best()
    if best.mid is None or broker.orders():
        return
    if best.best_bid_size > 4 * best.best_ask_size and not broker.position().size:
        broker.buy(1)
    elif best.best_bid_size < best.best_ask_size:
        broker.close()


def test_moments_of_a_recording_with_candles_lie_among_its_trades():
    session = kr.load(SAMPLE)  # its running candle carries the time of its opening
    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(lean, replay)
        played(replay)
    trades = session.frame("trade").select("timestamp", "price").rename({"price": "traded"})
    fills = pl.DataFrame(
        [(each.timestamp, each.price) for each in run.journal.moments],
        schema={"timestamp": trades.schema["timestamp"], "price": pl.Float64},
        orient="row",
    )
    beside = fills.join_asof(trades, on="timestamp", strategy="nearest", tolerance="1s")
    assert fills.height > 100
    assert fills["timestamp"].is_sorted()
    distance = (beside["price"] - beside["traded"]).abs().drop_nulls()
    assert distance.len() > 100
    assert distance.max() < 10.0  # of 85,000
    times = [each for each, _ in run.journal.equity]
    assert times == sorted(times)


def test_a_note_of_the_first_record_lies_among_the_trades_too():
    session = kr.load(SAMPLE)  # its exchange's clock is months before the arrivals

    def begins(record, broker):
        if len(run.journal.moments) < 3:
            broker.note(type(record).__name__)

    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(begins, replay)
        replay.step()
        assert (len(run.journal.moments), run.journal.is_placed) == (1, False)
        played(replay)
    first = session.frame("ticker")["timestamp"].cast(int)[0]
    assert run.journal.is_placed
    assert run.journal.moments[0].text == "Status"
    for each in run.journal.moments:
        assert abs(each.timestamp - first) < 5e9
        assert each.local_timestamp - first > 1e16


def test_moments_keep_their_order_where_records_are_late_by_more_or_less(session):
    every_other = pl.int_range(pl.len()) % 2 * 2_000_000_000
    frames = {
        name: session.frame(name).with_columns(
            pl.col("timestamp").cast(int).sub(every_other).cast(pl.Datetime("ns", "UTC")),
            local_timestamp=pl.col("timestamp"),
        )
        for name in ("ticker", "trade")
    }
    records = [
        (row["local_timestamp"], (Ticker if name == "ticker" else Trade), row)
        for name, frame in frames.items()
        for row in frame.with_columns(pl.col("timestamp", "local_timestamp").cast(int)).to_dicts()
    ]
    facts = MarketFacts(
        channels={"XBTUSDTM": frozenset(frames)},
        intervals={},
        instruments=session.instruments,
        gaps={},
    )

    def turns(record, broker):
        if broker.best().mid is not None:
            broker.target(3 if broker.position().size <= 0 else -2)

    run = PaperRun(turns, facts, RunOptions.of(turns))
    journal = Journal(run)
    for _, kind, row in sorted(records, key=lambda each: each[0]):
        record = kind(**row)
        journal.begin(record)
        run.feed((record,))
        journal.end()

    times = [each.timestamp for each in journal.moments]
    assert len(times) > 20
    assert times == sorted(times)
    assert [each.position for each in journal.moments] == [
        fill.position_after for fill in run.ledger.fills
    ]
    samples = [each for each, _ in journal.equity]
    assert samples == sorted(samples)


def test_moments_are_announced_behind_their_record(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Maker(), replay, **QUICK)
        run.on_moment = lambda run: replay.pause()
        replay.speed = None
        stops = []
        for _ in range(5):
            replay.resume()
            wait_until(lambda: replay.is_paused, 60)
            stops.append((run.records, len(run.journal.moments)))
    records, moments = zip(*stops, strict=True)
    assert list(records) == sorted(set(records))
    assert list(moments) == sorted(set(moments))


FORK = """
import os, sys, threading, kucoin_research as kr
is_called, may_go_on = threading.Event(), threading.Event()

def waits(record, broker):
    is_called.set()
    may_go_on.wait()

with kr.replay(kr.load(sys.argv[1]), speed=None, paused=True) as replay:
    run = kr.paper(waits, replay)
    replay.resume()
    is_called.wait()
    child = os.fork()
    if not child:
        held = run.broker.position().size
        os._exit(0 if ": over, " in repr(run) and held == 0 else 1)
    may_go_on.set()
    _, code = os.waitpid(child, 0)
    replay.wait_until_done()
    sys.exit(code or run.ended is not None)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_wait_for_the_parents_strategy(session):
    done = run(sys.executable, "-c", FORK, str(session.path))

    assert done.returncode == 0, done.stderr


def test_the_broker_may_be_used_from_other_threads(session):
    errors = []
    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(Maker(), replay)
        is_over = threading.Event()

        def look():
            while not is_over.is_set():
                try:
                    _ = run.broker.equity, run.broker.position(), run.broker.orders(), run.result()
                except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                    errors.append(error)
                    return

        thread = threading.Thread(target=look)
        thread.start()
        replay.resume()
        replay.wait_until_done(60)
        is_over.set()
        thread.join(30)

    assert errors == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"latncy": 1}, "paper has no option 'latncy'; did you mean 'latency'?"),
        ({"channels": ["mark_price"]}, "no prices to trade at"),
        ({"symbols": ["ETHUSDTM"]}, "does not stream 'ETHUSDTM'"),
        ({"queue": "first"}, "queue must be one of"),
        ({"cash": 0}, "cash is 0"),
    ],
)
def test_wrong_options_are_refused(session, wrong, sentence):
    with kr.replay(session, paused=True) as replay, pytest.raises(InvalidInput, match=sentence):
        kr.paper(Maker(), replay, **wrong)


def test_paper_needs_something_that_runs(session):
    with pytest.raises(InvalidInput, match=r"use kr\.backtest"):
        kr.paper(Maker(), session)


def test_parity_needs_a_run_that_is_over_and_recorded(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Maker(), replay)
        with pytest.raises(InvalidInput, match="call its stop"):
            kr.parity(run, session)
        run.stop()
        with pytest.raises(InvalidInput, match="was not recorded"):
            kr.parity(run)
    with pytest.raises(InvalidInput, match=r"kr\.paper returned"):
        kr.parity(session)


def test_a_wrong_symbol_names_those_that_are_played(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Maker(), replay)
        with pytest.raises(UnknownSymbol, match="there is XBTUSDTM"):
            run.broker.buy(1, "BTCUSDTM")


def test_an_order_sent_before_the_first_quotes_waits_for_them(session):
    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(lambda record, broker: None, replay, latency=0)
        order = run.broker.buy(1)
        assert order.submitted == replay.position_ns
        replay.resume()
        replay.wait_until_done(60)
        run.stop()

    assert order.status == "filled"
    assert kr.parity(run, session).ok


def test_candles_of_an_accelerated_exchange_are_traded(tmp_path):
    # Its candles open by its own clock, and orders are sent by the clock of arrivals.
    class Second:
        def __init__(self):
            self.seen = []

        def __call__(self, candle, broker):
            self.seen.append(candle)
            if len(self.seen) == 2:
                broker.buy(2)

    strategy = Second()
    with (
        simulate(seed=3, speed=600.0) as x,
        kr.stream("XBTUSDTM", "candle", venue=x.venue) as stream,
    ):
        run = kr.paper(strategy, stream, record=tmp_path, latency=0)
        while not run.broker.fills:
            stream.wait("candle", rows=stream.total("candle") + 1, timeout=60)
        fill = run.broker.fills[0]
        run.stop()
        report = kr.parity(run)

    seen = strategy.seen
    assert fill.price == seen[2].open
    assert seen[1].local_timestamp <= fill.timestamp <= seen[2].local_timestamp
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Maker, r"Maker is a class; pass one: Maker\(\)"),
        (lambda record: None, r"write it as strategy\(record, broker\)"),
        (5, "a function of a record and a broker, not 5"),
    ],
)
def test_a_strategy_takes_a_record_and_a_broker(session, wrong, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        kr.backtest(wrong, session)
    with kr.replay(session, paused=True) as replay, pytest.raises(InvalidInput, match=sentence):
        kr.paper(wrong, replay)
