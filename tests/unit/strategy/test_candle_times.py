"""Where only candles are played, fills at an open are known, and funded, from the open on."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.strategy.broker import Broker, Desk
from kucoin_research.strategy.contracts import Contract, Fees
from kucoin_research.strategy.market import PaperMarket

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LINEAR = kr.Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=0.001, maker_fee=0.0002, taker_fee=0.0006, max_leverage=125.0,
)  # fmt: skip


def candles(rows, hours=1, **columns):
    frame = pl.DataFrame(
        {
            "timestamp": [BEGIN + timedelta(hours=hours * row) for row in range(rows)],
            "symbol": "XBTUSDTM",
            **{name: [100.0 + row for row in range(rows)] for name in ("open", "close")},
            "high": [110.0 + row for row in range(rows)],
            "low": [90.0 + row for row in range(rows)],
        }
    )
    return {f"candle:{hours}hour" if hours < 24 else "candle:1day": frame.with_columns(**columns)}


def hours_of(frame, column="timestamp"):
    return [round((each - BEGIN) / timedelta(hours=1)) for each in frame[column]]


def follow(targets, known=None):
    waiting = iter(targets)

    def strategy(record, broker):
        if known is not None:
            known.append(broker.position().size)
        broker.target(next(waiting))

    return strategy


def run(strategy, data, **options):
    return kr.backtest(strategy, data, instruments=LINEAR, progress=False, **options)


@pytest.mark.parametrize("latency", [0, 0.05, 30])
def test_fill_at_the_open_is_known_at_the_close(latency):
    known = []
    targets = [0, 1, -1, 1, 1, 0, 2, 0]

    result = run(follow(targets, known), candles(8), latency=latency)

    assert known == [0, *targets[:-1]]
    assert hours_of(result.orders[:-1], "ended") == hours_of(result.fills)


@pytest.mark.parametrize("hours", [1, 24])
@pytest.mark.parametrize("is_vectorised", [False, True])
def test_funding_is_paid_from_the_open_that_entered_to_the_one_that_left(hours, is_vectorised):
    targets = [0, 1, 1, 0, 0, 0]
    times = [hours * row + part * hours // 3 for row in range(6) for part in range(3)]
    if hours == 1:
        times = list(range(6))
    funding = pl.DataFrame(
        {
            "timestamp": [BEGIN + timedelta(hours=each) for each in times],
            "symbol": "XBTUSDTM",
            "funding_rate": 0.001,
        }
    )
    data = candles(6, hours)

    if is_vectorised:
        ((name, frame),) = data.items()
        result = kr.backtest_signals(
            frame, pl.Series(targets), channels=name, instruments=LINEAR, funding=funding
        )
    else:
        result = run(follow(targets), data, funding=funding)

    # In from the open of row 2, out with that of row 4.
    assert hours_of(result.fills) == [2 * hours, 4 * hours]
    held = [each for each in times if 2 * hours < each <= 4 * hours]
    assert hours_of(result.funding) == held


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"close": pl.lit(float("nan"))}, "close is nan in row 0"),
        ({"timestamp": pl.col("timestamp").dt.epoch("ms")}, "times of 1970"),
        ({"timestamp": pl.lit("today")}, "timestamp must hold times"),
    ],
)
def test_candles_that_cannot_be_played_are_refused(columns, words):
    with pytest.raises(kr.InvalidInput, match=words):
        run(follow([]), candles(3, **columns))


def test_candles_without_an_open_are_refused():
    data = {"candle:1hour": candles(3)["candle:1hour"].drop("open")}

    with pytest.raises(kr.ColumnMissing, match="'open'"):
        run(follow([]), data)


def test_fees_of_other_symbols_only_are_refused():
    with pytest.raises(kr.InvalidInput, match="fees are of XBTUSDM"):
        run(follow([]), candles(3), fees={"XBTUSDM": (0.0, 0.0)})


def test_a_number_is_no_instrument_and_may_be_a_name():
    with pytest.raises(kr.InvalidInput, match="instruments must be"):
        kr.backtest(follow([]), candles(3), instruments=5)
    assert run(follow([0, 0, 0]), candles(3), name=5).name == "5"


def test_an_order_is_asked_to_be_cancelled_once():
    asked = []
    market = PaperMarket(Contract(LINEAR, Fees.of(LINEAR), 1.0), {"candle"})
    broker = Broker(
        Desk(
            markets={"XBTUSDTM": market},
            cash={},
            is_cross=False,
            send=lambda order: None,
            cancel=asked.append,
            worth=lambda currency, amount: amount,
            remark=lambda symbol, text: None,
        )
    )
    order = broker.buy(1, limit=90.0)

    for _ in range(3):
        broker.cancel_all()
        broker.cancel(order)

    assert asked == [order]


def test_the_last_state_of_a_candle_counts():
    # As in the frame of a recording, which holds each push.
    whole = candles(4)["candle:1hour"]
    pushes = pl.concat([whole.with_columns(close=pl.col("open"), high=pl.col("open")), whole])
    seen = []

    kr.backtest(
        lambda candle, broker: seen.append(candle.high),
        {"candle:1hour": pushes},
        instruments=LINEAR,
        progress=False,
    )

    assert seen == whole["high"].to_list()


@pytest.mark.parametrize(
    "wrong",
    [{"open": pl.col("high") + 1}, {"low": pl.lit(0.0)}, {"close": pl.col("low") - 1}],
    ids=["open above high", "no price", "close below low"],
)
def test_a_candle_that_cannot_be_is_refused(wrong):
    with pytest.raises(kr.InvalidInput, match="no candle has open"):
        kr.backtest(lambda candle, broker: None, candles(3, **wrong), instruments=LINEAR)


def test_a_signal_needs_one_row_for_each_candle():
    frame = candles(3)["candle:1hour"].with_columns(interval=pl.lit("1hour"))
    twice = pl.concat([frame, frame]).sort("timestamp")

    with pytest.raises(kr.InvalidInput, match="several rows of the candle"):
        kr.backtest_signals(twice, pl.lit(1), instruments=LINEAR)
