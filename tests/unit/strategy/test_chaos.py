"""Worse data: slower orders, lost records and outages, and the spread of the results."""

from __future__ import annotations

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import BookNotReady, InvalidInput
from kucoin_research.model.records import Level2, Status
from kucoin_research.strategy.book_losses import BookRow, lossy_book
from kucoin_research.strategy.held_data import HeldData
from kucoin_research.strategy.tape import open_tape
from kucoin_research.strategy.worse_data import worsened
from tests.unit.strategy.markets import (
    SECOND,
    START,
    SYMBOL,
    XBT,
    candle_data,
    changes,
    frame_of,
    quotes_and_trades,
    recorded,
    ticker_data,
    tickers,
    trades,
)

DATA = quotes_and_trades(300)


class Momentum:
    """Buys after a rise and sells after a fall, five contracts at a time."""

    def __init__(self):
        self.mean = None

    def __call__(self, record, broker):
        self.mean = record.price if self.mean is None else 0.9 * self.mean + 0.1 * record.price
        broker.target(5 if record.price > self.mean else -5)


class MarketMaker:
    next = 0

    def __call__(self, record, broker):
        if broker.now >= self.next and broker.best().best_bid is not None:
            self.next = broker.now + 2 * SECOND
            broker.cancel_all()
            broker.buy(1, limit=broker.best().best_bid, post_only=True)
            broker.sell(1, limit=broker.best().best_ask, post_only=True)


def ask(strategy, data=DATA, **options):
    return kr.chaos(strategy, data, **{"seeds": 5, "instruments": [XBT], **options})


# -- nothing made worse ----------------------------------------------------------------------------


@pytest.mark.parametrize("maker", [Momentum, MarketMaker])
def test_nothing_made_worse_is_the_plain_result(maker):
    plain = kr.backtest(maker(), DATA, instruments=[XBT])

    found = ask(maker, seeds=2)

    assert plain.fills.height
    assert found.plain.fingerprint == plain.fingerprint
    assert found.plain.stats == plain.stats
    assert found.to_frame()["fingerprint"].to_list() == [plain.fingerprint] * 2
    assert found.ok
    assert found.same_sign == 1
    assert "nothing made worse" in str(found)


def test_a_session_on_the_disk_gives_the_same_plain_result(tmp_path):
    session = recorded([*tickers(), *trades(), *changes()], ["ticker", "trade", "level2"], tmp_path)
    plain = kr.backtest(MarketMaker(), session)

    found = kr.chaos(MarketMaker, session.path, seeds=1)

    assert plain.fills.height
    assert found.to_frame()["fingerprint"].to_list() == [plain.fingerprint]


# -- made worse ------------------------------------------------------------------------------------


def test_the_same_seeds_make_the_same_runs():
    worse = {"latency": (0, 2), "drop": 0.2, "outage": (20, 2)}

    first, second = (ask(Momentum, **worse).to_frame() for _ in range(2))

    assert first.equals(second)
    assert first["fingerprint"].n_unique() == 5
    assert first["entry_latency"].is_between(0, 2).all()
    assert first["entry_latency"].n_unique() == first["response_latency"].n_unique() == 5
    assert ask(Momentum, seeds=[3], **worse).to_frame().equals(first[3:4])


def test_latency_is_added_to_both_ways():
    found = ask(Momentum, latency=1.5, base_latency=(0.5, 0.25), seeds=1)
    slow = kr.backtest(Momentum(), DATA, latency=(2.0, 1.75), instruments=[XBT])

    assert found.to_frame()["fingerprint"].to_list() == [slow.fingerprint]
    assert found.plain.fingerprint != slow.fingerprint


def test_a_fraction_of_each_channel_is_lost():
    seen = []

    def strategy(record, broker):
        seen.append(record.__class__.__name__)

    found = ask(strategy, drop={"trade": 0.5}, seeds=1)
    whole, worse = seen[:600], seen[1_200:]

    assert whole.count("Ticker") == worse.count("Ticker") == 300
    assert 100 < worse.count("Trade") < 200
    assert found.to_frame()["lost"].to_list() == [300 - worse.count("Trade")]


@pytest.mark.parametrize("maker", [Momentum, MarketMaker])
@pytest.mark.parametrize("kind", ["quotes", "book", "candles"])
def test_nothing_is_filled_within_an_outage(maker, kind):
    data = {
        "quotes": DATA,
        "book": ticker_data(60) | {"level2": frame_of("level2", changes(600))},
        "candles": candle_data(),
    }[kind]
    length = 900 if kind == "candles" else 20
    fills = []

    class Watched(maker):
        def __call__(self, record, broker):
            fills[-1] = broker.fills
            if kind == "candles":
                broker.target(1 if broker.position().size <= 0 else -1)
            elif record.__class__ is not Level2:
                super().__call__(record, broker)

    def make():
        fills.append([])
        return Watched()

    found = ask(make, data, outage=length, seeds=6)

    begins = found.to_frame()["outages"]
    for number, filled in enumerate(fills[2:]):
        begin = begins[number].dt.epoch("ns")[0]
        times = [each.timestamp for each in filled]
        assert times
        assert not [each for each in times if begin < each <= begin + length * SECOND]
    assert f"an outage of {length} s" in str(found)


def test_an_outage_is_a_gap_of_the_recording():
    data = {"ticker": DATA["ticker"], "level2": frame_of("level2", changes(3_000))}
    held = HeldData(data, open_tape(data, None, None, {SYMBOL: XBT}).session)
    span = (START + 100 * SECOND + 1, START + 130 * SECOND + 1)

    session = worsened(held, {}, [span], 0).session

    tape = open_tape(session, None, None, {SYMBOL: XBT})
    records = [record for batch in tape.batches() for record in batch]
    inside = [each for each in records if span[0] < each.local_timestamp < span[1]]
    assert inside == []
    ((begin, end),) = tape.gaps[SYMBOL]
    assert begin <= span[0]
    assert end >= span[1]
    events = [each.event for each in records if isinstance(each, Status)]
    assert sorted(events) == ["book_ready", "connected", "disconnected", "gap", "gap"]


# -- books -----------------------------------------------------------------------------------------


def test_a_book_with_losses_is_never_false():
    data = {"level2": frame_of("level2", changes(1_500))}
    truth = {}

    def note_truth(record, broker):
        if not record.is_snapshot:
            truth[record.sequence, record.local_timestamp] = _levels(broker)

    kr.backtest(note_truth, data, instruments=[XBT])
    states, false = [], []

    def compare(record, broker):
        if isinstance(record, Level2) and not record.is_snapshot:
            try:
                shown = _levels(broker)
            except BookNotReady:
                states.append("out of step")
            else:
                states.append("in step")
                if shown != truth[record.sequence, record.local_timestamp]:
                    false.append(record)

    held = HeldData(data, open_tape(data, None, None, {SYMBOL: XBT}).session)
    for seed in range(3):
        kr.backtest(compare, worsened(held, {"level2": 0.02}, [], seed).session, instruments=[XBT])

    assert false == []
    assert states.count("out of step") > 100
    assert states.count("in step") > 100


def _levels(broker):
    book = broker.book()
    return dict(book.bids), dict(book.asks)


def test_a_snapshot_comes_one_second_after_the_gap():
    rows = changes(40)
    lost = {25, 26}

    left = lossy_book(
        SYMBOL, [BookRow(0, row, place in lost) for place, row in enumerate(rows)], []
    )

    gap, ready = left.statuses
    assert (gap.first_sequence, gap.last_sequence) == (rows[25].sequence, rows[26].sequence)
    assert (gap.timestamp, gap.local_timestamp) == (
        rows[24].local_timestamp, rows[27].local_timestamp,
    )  # fmt: skip
    snapshot = [row for _, row in left.rows if row.is_snapshot and row.local_timestamp > START]
    assert {row.local_timestamp for row in snapshot} == {rows[27].local_timestamp + SECOND}
    assert {row.sequence for row in snapshot} == {rows[37].sequence}
    assert (gap.event, ready.event) == ("gap", "book_ready")
    assert ready.last_sequence == rows[37].sequence


def test_no_snapshot_comes_within_an_outage():
    rows = changes(70)
    lost, out = {20}, range(25, 50)

    left = lossy_book(
        SYMBOL,
        [
            BookRow(0, row, place in lost or place in out, place in out)
            for place, row in enumerate(rows)
        ],
        [],
    )

    snapshot = [row for _, row in left.rows if row.is_snapshot and row.local_timestamp > START]
    assert {row.local_timestamp for row in snapshot} == {rows[50].local_timestamp + SECOND}
    assert [each.event for each in left.statuses] == ["gap", "gap", "book_ready"]


# -- strategies ------------------------------------------------------------------------------------


def test_state_that_is_kept_between_runs_is_found():
    runs = []

    def strategy(record, broker):
        if record.sequence == 0:
            runs.append(1)
        broker.target(len(runs) % 4)

    found = ask(strategy)

    assert not found.ok
    assert "Two equal runs differ" in str(found)
    assert "CANNOT SAY" in found._repr_html_()


def test_an_object_is_copied_for_each_run():
    strategy = Momentum()

    found = ask(strategy, seeds=1)

    assert strategy.mean is None
    assert found.is_repeatable
    assert found.plain.fingerprint == ask(Momentum, seeds=1).plain.fingerprint


def test_a_factory_is_given_the_worse_data():
    given = []

    def make(data):
        given.append(data.frame("ticker").height)
        return Momentum()

    found = ask(make, drop={"ticker": 0.1}, seeds=2)

    assert given[:2] == [300, 300]
    assert [300 - each for each in given[2:]] == found.to_frame()["lost"].to_list()


def test_rows_of_frames_are_lost_where_the_run_lost_them():
    frame = DATA["ticker"].reverse().with_columns(own=pl.lit(1))
    rows = []

    def make(data):
        rows.append((set(data["ticker"]["sequence"]), set()))
        played = rows[-1][1]
        return lambda record, broker: played.add(record.sequence)

    ask(make, {"ticker": frame}, drop=0.3, outage=15, seeds=2)

    assert all(given == played for given, played in rows)
    assert len(rows[-1][0]) < 300


def test_status_rows_are_heard_only_where_the_data_has_some(tmp_path):
    heard = []

    def strategy(record, broker):
        heard.append(record.__class__ is Status)

    ask(strategy, outage=20)
    assert not any(heard)

    session = recorded(
        [*tickers(), Status(START, START, None, "connected", None, "", None, None)],
        ["ticker"],
        tmp_path,
    )
    ask(strategy, session, outage=20)
    assert any(heard)


# -- the report ------------------------------------------------------------------------------------


def test_the_spread_is_that_of_the_runs():
    found = ask(Momentum, latency=(0, 5), drop=0.3, seeds=8)

    frame, spread = found.to_frame(), found.spread()
    row = dict(zip(spread.columns, spread.row(0), strict=True))
    assert row["figure"] == "return_pct"
    assert row["plain"] == found.plain.stats["return_pct"]
    assert row["median"] == pytest.approx(frame["return_pct"].median())
    assert row["worst"] == frame["return_pct"].min()
    assert row["low"] == pytest.approx(frame["return_pct"].quantile(0.05, "linear"))
    deepest = spread.row(1, named=True)
    assert deepest["worst"] == frame["max_drawdown_pct"].min() < 0
    assert "return_pct" in str(found)
    assert "0 to 5 s more latency, 30.00% of the records lost" in str(found)


def test_the_sign_must_be_kept():
    def make(data):
        rows = data["ticker"].height

        def strategy(record, broker):
            if record.sequence == 10:
                (broker.buy if rows == 300 else broker.sell)(50)

        return strategy

    found = ask(make, drop={"ticker": 0.05}, seeds=4, fees=(0, 0))

    products = found.to_frame()["return_pct"] * found.plain.stats["return_pct"]
    assert (products < 0).any()
    assert found.same_sign == (products > 0).sum() / 4
    assert not found.ok
    assert "CHANGES ITS SIGN" in str(found)


def test_a_strategy_that_raises_in_worse_data_is_counted():
    class Fragile(Momentum):
        last = None

        def __call__(self, record, broker):
            if self.last is not None and record.sequence != self.last + 1:
                raise ValueError("a row is missing")
            self.last = record.sequence
            super().__call__(record, broker)

    found = ask(Fragile, ticker_data(), drop=0.1)

    assert not found.ok
    assert found.same_sign == 0
    assert "5 runs ended early" in str(found)
    assert "a row is missing" in str(found)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"drop": 1.5}, "fraction"),
        ({"latency": (2, 1)}, "range"),
        ({"latency": 1, "base_latency": "recorded"}, "recorded"),
        ({"outage": 1_000}, "longer than the data"),
        ({"seeds": []}, "no run"),
        ({"ques": "none"}, "queue"),
    ],
)
def test_what_cannot_be_is_refused(wrong, why):
    with pytest.raises(InvalidInput, match=why):
        ask(Momentum, **wrong)
