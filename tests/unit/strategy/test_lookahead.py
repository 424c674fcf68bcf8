"""Look-ahead: strategies that know the future are found, and honest ones pass."""

from __future__ import annotations

import random

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput
from kucoin_research.strategy.held_data import HeldData
from kucoin_research.strategy.mirrored_market import mirrored, mirrors_of
from kucoin_research.strategy.tape import open_tape
from tests.unit.strategy.markets import (
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

DATA = ticker_data(200)
PRICES = DATA["ticker"]["price"]
SIGNAL = (PRICES.shift(-1) > PRICES).to_list()


def check(make_strategy, data=DATA, points=8, **options):
    return kr.check_lookahead(make_strategy, data, points=points, instruments=[XBT], **options)


class Counted:
    """Calls a function with the number of each record."""

    def __init__(self, work):
        self.row = -1
        self.work = work

    def __call__(self, record, broker):
        self.row += 1
        self.work(self.row, record, broker)


# -- honest strategies -----------------------------------------------------------------------------


def moving_average():
    state = {}

    def strategy(record, broker):
        state["mean"] = 0.9 * state.get("mean", record.price) + 0.1 * record.price
        broker.target(5 if record.price > state["mean"] else -5)

    return strategy


class MarketMaker:
    def __init__(self):
        self.next = 0

    def __call__(self, record, broker):
        if broker.now < self.next:
            return
        self.next = broker.now + 3_000_000_000
        broker.cancel_all()
        best = broker.best()
        if broker.position().size < 10:
            broker.buy(2, limit=best.best_bid, post_only=True)
        if broker.position().size > -10:
            broker.sell(2, limit=best.best_ask, post_only=True, tag="ask")


class Replacer:
    def __init__(self):
        self.order = None

    def __call__(self, record, broker):
        if self.order is None or not self.order.is_open:
            self.order = broker.buy(1, limit=record.best_bid_price - 10)
            broker.note("sent")
        elif self.order.limit < record.best_bid_price - 12:
            self.order = broker.replace(self.order, limit=record.best_bid_price - 10)


class SeededDice:
    def __init__(self):
        self.dice = random.Random(7)

    def __call__(self, record, broker):
        if self.dice.random() < 0.2:
            broker.target(self.dice.randint(-3, 3))


def past_of_the_frame(data):
    mean = data.frame("ticker")["price"].rolling_mean(10).to_list()

    def work(row, record, broker):
        if mean[row] is not None:
            broker.target(1 if record.price > mean[row] else 0)

    return Counted(work)


@pytest.mark.parametrize(
    "honest", [moving_average, MarketMaker, Replacer, SeededDice, past_of_the_frame]
)
def test_an_honest_strategy_passes(honest):
    found = check(honest, quotes_and_trades(200) if honest is MarketMaker else DATA)

    assert found.ok, found
    assert found.points == 8
    assert found.decisions
    assert found.to_frame()["is_equal"].to_list() == [True] * 24


@pytest.mark.parametrize("kind", ["trades", "book", "candles"])
def test_it_plays_every_kind_of_data(kind):
    data = {
        "trades": {"trade": frame_of("trade", trades())},
        "book": {"level2": frame_of("level2", changes())},
        "candles": candle_data(),
    }[kind]

    def make():
        prices = []

        def strategy(record, broker):
            price = record.close if kind == "candles" else record.price
            prices.append(price)
            broker.target(1 if price > sum(prices[-5:]) / len(prices[-5:]) else 0)

        return strategy

    assert check(make, data, points=8).ok


# -- strategies that cheat -------------------------------------------------------------------------


def next_row(data):
    coming = data.frame("ticker", SYMBOL)["price"].shift(-1).to_list()
    return Counted(
        lambda row, record, broker: broker.target(1 if (coming[row] or 0) > record.price else 0)
    )


def centred_mean(data):
    mean = data.frame("ticker")["price"].rolling_mean(11, center=True).to_list()

    def work(row, record, broker):
        if mean[row] is not None and record.price < mean[row]:
            broker.buy(1)

    return Counted(work)


def normalised_by_the_whole(data):
    prices = data.frame("ticker")["price"]
    share = ((prices - prices.min()) / (prices.max() - prices.min())).to_list()

    def work(row, record, broker):
        if share[row] > 0.5:
            broker.buy(1, limit=record.best_bid_price)

    return Counted(work)


def closure_over_the_frame(data):
    frame = data.frame("ticker")

    def strategy(record, broker):
        later = frame.filter(pl.col("local_timestamp").dt.epoch("ns") > broker.now)
        if later.height and later["price"][0] < record.price:
            broker.sell(1)

    return strategy


def only_where_nothing_is_traded(data):
    coming = data.frame("ticker")["price"].shift(-1).to_list()
    return Counted(
        lambda row, record, broker: (coming[row] or 0) > record.price and broker.position()
    )


def only_in_its_notes(data):
    coming = data.frame("ticker")["price"].shift(-1).to_list()

    def work(row, record, broker):
        if row % 10 == 0:
            broker.note(f"next is {coming[row]}")

    return Counted(work)


def index_error_at_the_end(data):
    prices = data.frame("ticker")["price"].to_list()
    return Counted(lambda row, record, broker: broker.target(prices[row + 1] - 1e4))


def rare_look_ahead(data):
    jumps = data.frame("ticker")["price"].diff().shift(-1).to_list()

    def work(row, record, broker):
        if row % 60 == 59 and jumps[row] is not None:
            (broker.buy if jumps[row] > 0 else broker.sell)(1)
        broker.best()

    return Counted(work)


@pytest.mark.parametrize(
    "cheat",
    [
        next_row,
        centred_mean,
        normalised_by_the_whole,
        closure_over_the_frame,
        only_where_nothing_is_traded,
        only_in_its_notes,
        index_error_at_the_end,
        rare_look_ahead,
    ],
)
def test_a_strategy_that_knows_the_future_is_found(cheat):
    found = check(cheat)

    assert not found.ok
    assert found.verdict == "LOOKS AHEAD"
    assert found.difference.expected != found.difference.found


def test_a_shifted_candle_signal_is_found():
    def make(data):
        green = (data["candle:1min"]["close"] > data["candle:1min"]["open"]).shift(-1).to_list()
        return Counted(lambda row, record, broker: green[row] and broker.buy(1))

    found = check(make, candle_data())

    assert found.verdict == "LOOKS AHEAD"
    assert {*map(str, found.difference.expected + found.difference.found)} == {"buy(1)"}


def test_the_first_difference_is_named():
    def make(data):
        coming = data.frame("ticker")["price"].shift(-1).to_list()

        def work(row, record, broker):
            if row == 40:
                broker.buy(2 if coming[row] else 1, limit=59_000, tag="sure")

        return Counted(work)

    found = check(make)

    assert found.difference.number == 40
    assert found.difference.time == tickers()[40].local_timestamp
    assert "first difference" in str(found)
    assert "buy(2, limit=59000, tag='sure')" in str(found)
    assert "buy(1, limit=59000, tag='sure')" in found._repr_html_().replace("&#x27;", "'")
    rows = found.to_frame().filter(~pl.col("is_equal"))
    assert rows["future"].unique().to_list() == ["cut"]
    assert rows["point"].to_list() == [40]


# -- data from elsewhere ---------------------------------------------------------------------------


def reads_a_global():
    return Counted(lambda row, record, broker: SIGNAL[row] and broker.target(1))


def reads_a_closure():
    prices = PRICES

    def make():
        return Counted(lambda row, record, broker: broker.target(prices[row] - 6e4))

    return make


def reads_a_default(rows=DATA["ticker"]):
    def make(rows=rows):
        return Counted(lambda row, record, broker: broker.target(rows["price"][row] > 1))

    return make


class ReadsAnAttribute:
    signal = SIGNAL

    def __call__(self, record, broker):
        broker.target(sum(self.signal[:10]))


def reads_a_file():
    def make():
        frame = pl.read_parquet("ticker.parquet")
        signal = frame["signal"].to_list()[:5]
        return Counted(lambda row, record, broker: broker.target(signal[row % 5]))

    return make


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (reads_a_global, "SIGNAL"),
        (reads_a_closure(), "prices"),
        (reads_a_default(), "default 1"),
        (ReadsAnAttribute, "signal"),
    ],
)
def test_data_that_it_was_not_given_is_named(make, name):
    found = check(make)

    assert found.verdict == "CANNOT SAY"
    assert [each.name for each in found.outside] == [name]
    assert f"{name} (" in str(found)


def test_a_reader_of_files_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"signal": [1.0] * 200}).write_parquet("ticker.parquet")

    found = check(reads_a_file())

    assert not found.ok
    assert [each.name for each in found.outside] == ["read_parquet"]


def test_parameters_and_attributes_that_share_a_name_with_data_pass():
    weights, frame = [0.5, 0.5], 3

    def make(data):
        rows = data.frame("ticker")
        return Counted(lambda row, record, broker: broker.target(weights[0] * frame * rows.width))

    assert check(make).outside == ()


def test_a_strategy_by_the_clock_passes_with_a_remark():
    def make():
        return Counted(lambda row, record, broker: row % 50 == 0 and broker.buy(1))

    found = check(make)

    assert found.ok
    assert found.reacts is False
    assert "it goes by the clock" in " ".join(str(found).split())


# -- what cannot be judged -------------------------------------------------------------------------


def test_a_random_strategy_is_said_to_be_random():
    dice = random.Random(1)

    found = check(lambda: lambda record, broker: broker.target(dice.randint(0, 5)))

    assert found.verdict == "RANDOM WITHOUT A SEED"
    assert found.points == 0
    assert "Two equal runs differ from record" in str(found)


def test_a_strategy_that_does_nothing_is_not_passed():
    found = check(lambda: lambda record, broker: None)

    assert not found.ok
    assert "It never called the broker" in str(found)


def test_a_strategy_that_raises_is_judged_up_to_there():
    def make():
        return Counted(lambda row, record, broker: broker.target(1 / (100 - row)))

    found = check(make)

    assert found.ok
    assert found.records <= 101
    assert "ZeroDivisionError" in str(found)


def test_a_factory_that_fails_on_cut_data_is_counted():
    def make(data):
        if data.frame("ticker").height < 200:
            raise ValueError("too short")
        return moving_average()

    found = check(make)

    assert found.ok
    assert found.to_frame()["is_equal"].null_count() == 8
    assert "first because of ValueError: too short" in " ".join(str(found).split())


@pytest.mark.parametrize(
    "wrong", [lambda record, broker: None, 7, lambda data, other: None, lambda: 7]
)
def test_no_factory_is_refused(wrong):
    with pytest.raises(InvalidInput):
        check(wrong)


def test_an_unknown_option_is_refused():
    with pytest.raises(InvalidInput, match="did you mean 'latency'"):
        check(moving_average, latenzy=1)


# -- the data --------------------------------------------------------------------------------------


def test_a_session_is_given_as_a_session(tmp_path):
    session = recorded([*tickers(), *trades()], ["ticker", "trade"], tmp_path)
    given = []

    def make(data):
        given.append(data)
        coming = data.frame("trade", SYMBOL)["price"].shift(-1).to_list()

        def work(row, record, broker):
            broker.note(str(coming[min(row, len(coming) - 1)] or "none"))

        return Counted(work)

    found = kr.check_lookahead(make, session, points=6)

    assert not found.ok
    assert all(isinstance(each, kr.Session) for each in given)
    assert kr.check_lookahead(MarketMaker, session.path, points=6).ok


def test_mapped_frames_are_given_with_their_own_columns_and_order():
    frame = DATA["ticker"].with_columns(rank=pl.lit(1)).reverse()
    given = []

    def make(data):
        given.append(data)
        return moving_average()

    found = check(make, {"ticker": frame}, points=3)

    assert found.ok
    assert all(each["ticker"].columns == frame.columns for each in given)
    later = [each["ticker"] for each in given if each["ticker"].height == frame.height]
    assert all(each["local_timestamp"].equals(frame["local_timestamp"]) for each in later)
    assert "wrong values of rank of ticker" in str(found)


def test_the_same_seed_makes_the_same_report():
    first, second, third = (
        check(centred_mean, points=6, seed=seed).to_frame() for seed in (1, 1, 2)
    )

    assert first.equals(second)
    assert first["point"].to_list() != third["point"].to_list()


@pytest.mark.parametrize("is_up", [True, False])
def test_the_other_market_is_plausible(is_up):
    data = {
        "ticker": frame_of("ticker", tickers()),
        "trade": frame_of("trade", trades()),
        "level2": frame_of("level2", changes()),
        "candle:1min": candle_data()["candle:1min"],
    }
    held = HeldData(data, open_tape(data, None, None, {SYMBOL: XBT}).session)
    mirrors = mirrors_of(held.tables, {SYMBOL: XBT}, 1, is_up=is_up)
    made = {rows.channel: (rows.frame, mirrored(rows, mirrors, 1)) for rows in held.tables}

    old, new = made["ticker"]
    assert (new["best_bid_price"] < new["best_ask_price"]).all()
    assert new["sequence"].equals(old["sequence"])
    spread = new["best_ask_price"] - new["best_bid_price"]
    assert spread.round(6).unique().to_list() == [0.1]
    highest, lowest = old["best_ask_price"].max(), old["best_bid_price"].min()
    is_far = new["price"] > highest if is_up else new["price"] < lowest
    assert is_far.all()
    assert (new["price"] > 0).all()
    assert not (new["best_bid_size"] == old["best_bid_size"]).all()
    old, new = made["candle"]
    assert (new["high"] >= new.select(pl.max_horizontal("open", "close")).to_series()).all()
    assert (new["low"] <= new.select(pl.min_horizontal("open", "close")).to_series()).all()
    assert ((new["close"] > new["open"]) != (old["close"] > old["open"])).all()
    old, new = made["level2"]
    assert (new["size"] == 0).equals(old["size"] == 0)
    assert (new["side"].cast(pl.String) != old["side"].cast(pl.String)).all()
