"""Candles for other people's engines: which ones, with which prices, and nothing made up."""

import math
from datetime import timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import kucoin_research as kr
from tests.exchanges import simulate
from tests.unit.strategy.tapes import SECOND, START, at, candle, gap, tape, ticker, trade

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
MINUTE = 60 * SECOND


def pushed(minute, second, close, volume=1.0, interval="1min", **others):
    """Make a push of a running candle, ``second`` seconds after it has opened."""
    row = candle(minute, 10.0, 20.0, 5.0, close, volume, **others)
    return row._replace(local_timestamp=at(60 * minute + second), interval=interval)


def recorded(*rows):
    """Make data that knows of its gaps, as recordings do."""
    return tape(gap(-10, -9, "ticker"), *rows)


def opens(frame):
    return [(each.value - START) // MINUTE for each in frame.index]


def table(frame):
    return [tuple(row) for row in frame.itertuples(index=False)]


# -- candles of the exchange -----------------------------------------------------------------------


def test_fetched_candles_become_the_frame_of_backtesting():
    rows = tape(candle(0, 10.0, 12.0, 9.0, 11.0, 5.0), candle(1, 11.0, 13.0, 10.0, 12.0, 6.0))

    frame = kr.to_backtesting(rows["candle"])

    assert list(frame.columns) == ["Open", "High", "Low", "Close", "Volume"]
    assert table(frame) == [(10.0, 12.0, 9.0, 11.0, 5.0), (11.0, 13.0, 10.0, 12.0, 6.0)]
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    assert frame.index.name == "timestamp"
    assert opens(frame) == [0, 1]


def test_a_fetched_candle_that_had_not_ended_is_left_out():
    rows = tape(candle(0, 10.0, 12.0, 9.0, 11.0), pushed(1, 59.9, 11.0))["candle"]

    assert opens(kr.to_backtesting(rows)) == [0]
    assert opens(kr.to_backtesting(rows.drop("local_timestamp"))) == [0]


def test_a_recorded_candle_is_its_last_state_once_a_later_one_has_begun():
    data = recorded(pushed(0, 1, 11.0), pushed(0, 59, 12.0, 7.0), pushed(1, 1, 13.0),
                    pushed(1, 62, 14.0))  # fmt: skip

    frame = kr.to_backtesting(data)

    # The clock that stamped the second one may be wrong, and no candle behind it shows its end.
    assert table(frame) == [(10.0, 20.0, 5.0, 12.0, 7.0)]


def test_an_interval_without_trades_is_absent_and_for_vectorbt_has_the_last_price():
    data = recorded(*(pushed(minute, 1, 10.0 + minute) for minute in (0, 3, 4, 5)))

    absent = kr.to_backtesting(data)
    held = kr.to_vectorbt(data)

    assert opens(absent) == [0, 3, 4]
    assert opens(held) == [0, 1, 2, 3, 4]
    assert table(held)[1:3] == [(10.0, 10.0, 10.0, 10.0, 0.0)] * 2
    assert held.index.freq == pd.Timedelta(minutes=1)


def test_a_gap_of_the_recording_becomes_no_candle():
    data = recorded(
        pushed(0, 55, 10.0), pushed(1, 25, 11.0), gap(90, 190, "candle"), pushed(3, 20, 13.0),
        pushed(5, 1, 15.0), pushed(6, 1, 16.0),
    )  # fmt: skip

    with pytest.warns(kr.IncompleteData, match=r"UNIUSDTM has 1 gap, 100.0 s .* 1 incomplete"):
        frame = kr.to_backtesting(data)
    with pytest.warns(kr.IncompleteData, match="1 gap"):
        wide = kr.to_vectorbt(data)

    assert opens(frame) == [0, 3, 5]
    assert opens(wide) == [0, 1, 2, 3, 4, 5]
    assert wide["Close"].isna().tolist() == [False, True, True, False, False, False]
    assert wide["Volume"].isna().tolist() == wide["Close"].isna().tolist()
    assert wide["Close"].iloc[4] == 13.0  # behind the gap, nothing is missing


def test_a_gap_that_was_filled_is_none():
    filled = gap(90, 191, "candle")._replace(event="filled", detail="1 rows came by REST")
    data = recorded(
        pushed(0, 55, 10.0), pushed(1, 25, 11.0), gap(90, 190, "candle"), filled,
        pushed(2, 71, 12.0), pushed(3, 20, 13.0), pushed(4, 20, 13.0),
    )  # fmt: skip

    assert opens(kr.to_backtesting(data)) == [0, 1, 2, 3]


def test_the_candles_of_one_of_several_intervals_are_named():
    data = tape(
        *(pushed(minute, 70, 10.0) for minute in range(3)),
        *(pushed(minute, 301, 11.0, interval="5min") for minute in (0, 5)),
    )

    with pytest.raises(kr.InvalidInput, match=r"candles of 1min, 5min were recorded.*every="):
        kr.to_backtesting(data)
    assert kr.to_backtesting(data, "5 minutes")["Close"].tolist() == [11.0, 11.0]
    with pytest.raises(kr.UnknownChannel, match="no trades to make candles of 1hour of"):
        kr.to_backtesting(data, "1h")


def test_candles_of_the_simulated_exchange_are_taken_whole():
    with simulate(seed=3) as exchange:
        rows = kr.candles("BTC-USDT", "1min", venue=exchange.venue, progress=False)

    frame = kr.to_backtesting(rows)

    assert len(frame) >= 100
    expected = rows.select("open", "high", "low", "close", "volume").rows()[: len(frame)]
    assert table(frame) == expected
    assert rows.height - len(frame) <= 1


def test_the_candles_of_a_recording_are_those_that_its_trades_make(tmp_path):
    with simulate(seed=3, speed=60.0) as exchange:
        with kr.record(
            "XBTUSDTM", ["trade", "candle"], venue=exchange.venue, root=tmp_path, progress=False
        ) as run:
            run.stream.wait("trade", rows=1_200, timeout=60)
        session = run.session()

    pushed_, made = kr.to_backtesting(session), kr.to_backtesting(session, "1min")

    assert len(made) >= 3
    both = pushed_.index.intersection(made.index)
    assert len(both) >= len(made) - 1
    pd.testing.assert_frame_equal(pushed_.loc[both], made.loc[both])


# -- candles of trades -----------------------------------------------------------------------------


def test_trades_become_candles_without_the_first_and_the_last():
    rows = tape(
        trade(50, "buy", 90.0),
        trade(60, "buy", 100.0, 2), trade(70, "sell", 103.0, 3), trade(119.9, "buy", 99.0, 4),
        trade(120, "buy", 98.0, 5),
        trade(180, "buy", 97.0),
    )["trade"]  # fmt: skip

    frame = kr.to_backtesting(rows)

    assert opens(frame) == [1, 2]
    assert table(frame) == [(100.0, 103.0, 99.0, 99.0, 9.0), (98.0, 98.0, 98.0, 98.0, 5.0)]


def test_candles_of_trades_leave_out_what_a_gap_touches_by_the_exchanges_clock():
    lag = 7.0  # the clock that stamped the rows is so many seconds ahead
    late = [
        trade(second, "buy", 100.0 + second)._replace(local_timestamp=at(second + lag))
        for second in [5, *range(10, 30, 2), *range(45, 60, 2), 61]
    ]
    data = recorded(*late, gap(28 + lag, 45 + lag, "trade"))

    with pytest.warns(kr.IncompleteData, match=r"17.0 s in all: 2 incomplete"):
        frame = kr.to_backtesting(data, "10s")
    with pytest.warns(kr.IncompleteData):
        wide = kr.to_vectorbt(data, timedelta(seconds=10))

    seconds = [(each.value - START) // SECOND for each in frame.index]
    assert seconds == [10, 50]  # those of 20 and 40 lack rows, that of 30 has none
    assert wide["Open"].isna().tolist() == [False, True, True, True, False]
    assert wide["Open"].iloc[0] == 110.0


def test_trades_of_a_session_are_held_through_quiet_times_for_vectorbt():
    wide = kr.to_vectorbt(SAMPLE, "1s")

    trades = kr.load(SAMPLE).frame("trade")
    seconds = trades["timestamp"].dt.truncate("1s").unique().len()
    assert (wide["Volume"] == 0).sum() == len(wide) - (seconds - 2)
    assert not wide.isna().any(axis=None)  # the outage was filled by REST
    quiet = wide["Volume"] == 0
    held = wide["Close"].shift(1)[quiet]
    for name in ("Open", "High", "Low", "Close"):
        assert wide[name][quiet].tolist() == held.tolist()
    assert wide["Volume"].sum() == math.fsum(
        trades.filter(
            pl.col("timestamp").dt.truncate("1s").is_between(*wide.index[[0, -1]].to_list())
        )["size"]
    )


def test_intervals_that_a_plain_frame_lacks_are_nan_for_vectorbt():
    rows = tape(*(trade(second, "buy", 100.0) for second in (0, 10, 30, 40)))["trade"]

    wide = kr.to_vectorbt(rows, "10s")

    assert wide["Close"].isna().tolist() == [False, True, False]


def test_symbols_stand_side_by_side_for_vectorbt():
    rows = tape(
        *(candle(minute, 10.0, 12.0, 9.0, 11.0) for minute in (0, 1, 2)),
        *(candle(minute, 1.0, 3.0, 1.0, 2.0, symbol="BTC-USDT") for minute in (1, 2, 3)),
    )["candle"]

    wide = kr.to_vectorbt(rows)

    assert wide.columns.names == [None, "symbol"]
    assert list(wide["Close"].columns) == ["UNIUSDTM", "BTC-USDT"]
    assert opens(wide) == [0, 1, 2, 3]
    assert wide["Close"]["UNIUSDTM"].tolist()[:3] == [11.0] * 3
    assert wide["Close"].isna().sum().tolist() == [1, 1]
    assert wide.index.freq == pd.Timedelta(minutes=1)
    one = kr.to_vectorbt(rows, symbols="BTC-USDT")
    assert list(one.columns) == ["Open", "High", "Low", "Close", "Volume"]
    assert one["Volume"].tolist() == [1_000.0] * 3
    assert list(kr.to_vectorbt(rows, symbols=["BTC-USDT", "UNIUSDTM"])["Low"].columns) == [
        "BTC-USDT", "UNIUSDTM",
    ]  # fmt: skip


def test_a_week_and_a_day_are_grids_and_a_month_is_none():
    day = 24 * 60
    rows = tape(*(candle(day * each, 10.0, 12.0, 9.0, 11.0) for each in (0, 7, 14)))["candle"]
    weeks = rows.with_columns(interval=pl.lit("1week"), local_timestamp=None)

    assert len(kr.to_vectorbt(weeks.cast({"local_timestamp": pl.Datetime("ns", "UTC")}))) == 2
    months = weeks.with_columns(interval=pl.lit("1month"))
    with pytest.raises(kr.InvalidInput, match="months differ in length"):
        kr.to_vectorbt(months)
    assert len(kr.to_backtesting(months)) == 2


# -- what cannot be meant --------------------------------------------------------------------------

ONE = tape(candle(0, 10.0, 12.0, 9.0, 11.0))["candle"]
BOTH = pl.concat([ONE, ONE.with_columns(symbol=pl.lit("BTC-USDT").cast(pl.Categorical))])


def earlier(span):
    return ONE.with_columns(timestamp=pl.col("timestamp").dt.offset_by(f"-{span}"))


@pytest.mark.parametrize(
    ("function", "arguments", "error", "words"),
    [
        (kr.to_backtesting, (BOTH,), kr.InvalidInput, "name it: symbol= of UNIUSDTM, BTC-USDT"),
        (kr.to_backtesting, (ONE, None, "ETHUSDTM"), kr.UnknownSymbol, "there is: UNIUSDTM"),
        (kr.to_backtesting, (ONE, "soon"), kr.InvalidInput, "'soon' is no interval"),
        (kr.to_backtesting, (ONE.clear(),), kr.InvalidInput, "name it: symbol= of none"),
        (kr.to_vectorbt, (ONE.clear(),), kr.InvalidInput, "no rows of any symbol"),
        (kr.to_backtesting, (SAMPLE,), kr.InvalidInput, "no closed candle of 1min of XBTUSDTM"),
        (kr.to_vectorbt, (SAMPLE, "1min"), kr.InvalidInput, "no closed candle of 1min"),
        (kr.to_vectorbt, (ONE, None, ["ETHUSDTM"]), kr.UnknownSymbol, "there is: UNIUSDTM"),
        (kr.to_backtesting, (ONE.drop("high"),), kr.InvalidInput, "does not know the rows"),
        (kr.to_backtesting, ({"candle": ONE.drop("high")},), kr.ColumnMissing, "'high'"),
        (
            kr.to_backtesting,
            (ONE.with_columns(interval=pl.lit("volume:5")),), kr.InvalidInput, "bars of volume:5",
        ),
        (
            kr.to_backtesting,
            (tape(ticker(0, 1.0, 1.0, "buy", (1.0, 1.0), (2.0, 1.0))),), kr.UnknownChannel,
            "needs the channel 'candle' or 'trade', and the data has ticker",
        ),
        (
            kr.to_vectorbt,
            (pl.concat([earlier("30s"), ONE]),),
            kr.InvalidInput, "no multiple of 1min",
        ),
        (
            kr.to_vectorbt,
            (pl.concat([earlier("99y"), ONE]),),
            kr.InvalidInput, "would make 52,0.*,... rows of 1min",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_a_sentence(function, arguments, error, words):
    with pytest.raises(error, match=words):
        function(*arguments)


def test_candles_without_an_interval_have_that_of_their_channel_beside_others():
    minutes = tape(*(candle(each, 10.0, 12.0, 9.0, 11.0) for each in range(3)))["candle"]
    hours = tape(*(candle(60 * each, 20.0, 22.0, 19.0, 21.0) for each in range(3)))["candle"]
    both = {"candle:1min": minutes.drop("interval"), "candle:1hour": hours.drop("interval")}

    with pytest.raises(kr.InvalidInput, match="1min, 1hour were recorded; name one"):
        kr.to_backtesting(both)

    assert kr.to_backtesting(both, "1min")["Open"].unique().tolist() == [10.0]
    assert kr.to_vectorbt(both, "1hour")["Open"].unique().tolist() == [20.0]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), None])
def test_a_candle_without_one_of_its_prices_is_left_out(odd):
    rows = tape(*(candle(each, 10.0, 12.0, 9.0, 11.0) for each in range(4)))["candle"]
    lows = pl.Series("low", [9.0, odd, 9.0, 9.0])

    assert kr.to_backtesting(rows.with_columns(lows))["Low"].unique().tolist() == [9.0]


def test_symbols_with_candles_of_different_intervals_need_a_name():
    hours = candle(0, 10.0, 12.0, 9.0, 11.0, symbol="BTC-USDT")._replace(
        interval="1hour", local_timestamp=at(3_600)
    )
    rows = tape(candle(0, 10.0, 12.0, 9.0, 11.0), hours)

    with pytest.raises(kr.InvalidInput, match="symbols have candles of 1min, 1hour; name every="):
        kr.to_vectorbt(rows)
