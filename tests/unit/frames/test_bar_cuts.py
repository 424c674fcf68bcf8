"""The times of bars: when each closed, since when it is known, and whether more may come."""

from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.records import Trade, schema_of

START = datetime(2026, 1, 5, tzinfo=UTC)
TIMES = ["timestamp", "close_time", "known_at", "is_finished"]


def second(number):
    return START + timedelta(seconds=number)


def trades(*rows, symbol="BTC-USDT"):
    """Trades from (seconds, seconds of their arrival, price, size)."""
    listed = [
        (second(at), None if came is None else second(came), symbol, n, None, "buy", price, size)
        for n, (at, came, price, size) in enumerate(rows)
    ]
    return pl.DataFrame(listed, schema=schema_of(Trade), orient="row")


def late_trades(seed, rows=60):
    """Trades of two symbols, some of which arrive behind later ones."""
    random = Random(seed)
    made = []
    for symbol in ("BTC-USDT", "ETH-USDT"):
        at = [random.randrange(120) for _ in range(rows)]
        made.append(
            trades(
                *(
                    (t, t + random.choice([0, 0.5, 9]), random.randrange(90, 110), random.random())
                    for t in at
                ),
                symbol=symbol,
            )
        )
    return pl.concat(made).sort("local_timestamp", maintain_order=True)


def test_a_bar_by_time_is_known_at_its_end_or_when_its_last_trade_came():
    frame = kr.ohlcv(trades((1, 2, 1.0, 1), (59, 61, 1.0, 1), (61, 62, 1.0, 1)), "1m", times=True)

    assert frame.select(TIMES).rows() == [
        (second(0), second(60), second(61), True),
        (second(60), second(120), second(120), False),
    ]


def test_a_month_closes_where_the_next_one_opens():
    frame = kr.ohlcv(trades((1, 2, 1.0, 1)), "1 month", times=True)

    assert frame.select(TIMES[:2]).row(0) == (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("kind", [{"volume": 2}, {"notional": 20}, {"ticks": 2}])
def test_other_bars_are_known_when_the_trade_that_fills_them_came(kind):
    whole = trades((1, 2, 10.0, 1), (5, 7, 10.0, 1), (9, 11, 10.0, 1))

    frame = kr.ohlcv(whole, times=True, **kind)

    assert frame.select(TIMES).rows() == [
        (second(1), second(5), second(7), True),
        (second(9), second(9), second(11), False),
    ]
    full = kr.ohlcv(whole.head(2), times=True, **kind)
    assert full.rows() == frame.head(1).rows()


def test_a_trade_that_fills_several_bars_makes_them_known_together():
    frame = kr.ohlcv(trades((1, 2, 10.0, 1), (5, 7, 10.0, 4.5)), volume=2, times=True)

    assert frame["known_at"].to_list() == [second(7)] * 3
    assert frame["is_finished"].to_list() == [True, True, False]


def test_a_bar_is_not_known_before_late_trades_of_the_bars_before_it():
    frame = kr.ohlcv(trades((1, 20, 10.0, 2), (5, 7, 10.0, 2)), volume=2, times=True)

    assert frame["known_at"].to_list() == [second(20), second(20)]


def test_where_an_arrival_is_missing_no_one_knows_when_the_bar_was_known():
    frame = kr.ohlcv(trades((1, None, 1.0, 1), (2, 3, 1.0, 1), (61, 62, 1.0, 1)), times=True)

    assert frame["known_at"].to_list() == [None, second(120)]
    assert frame["volume"].to_list() == [2.0, 1.0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", [{"volume": 3}, {"notional": 300}, {"ticks": 7}, {"every": "10s"}])
def test_trades_that_came_after_a_bar_was_known_do_not_change_it(seed, kind):
    frame = late_trades(seed)
    whole = kr.ohlcv(frame, times=True, **kind).filter("is_finished")

    for at in (40, 80, 120):
        by_then = frame.filter(pl.col("local_timestamp") <= second(at))
        then = kr.ohlcv(by_then, times=True, **kind)
        known = whole.filter(pl.col("known_at") <= second(at)).drop("is_finished")
        assert not known.is_empty()
        assert set(known.rows()) <= set(then.drop("is_finished").rows())


@pytest.mark.parametrize("kind", [{"volume": 3}, {"notional": 300}, {"ticks": 7}, {"every": "10s"}])
def test_the_times_change_no_other_column(kind):
    frame = late_trades(1)

    bars = kr.ohlcv(frame, **kind)

    assert kr.ohlcv(frame, times=True, **kind).drop(TIMES[1:]).equals(bars)
    assert kr.ohlcv(frame.clear(), times=True, **kind).schema == {
        **bars.schema,
        "close_time": bars.schema["timestamp"],
        "known_at": bars.schema["timestamp"],
        "is_finished": pl.Boolean(),
    }


def test_what_the_times_need_is_said():
    frame = trades((1, 2, 1.0, 1))

    with pytest.raises(kr.ColumnMissing, match="without 'local_timestamp'"):
        kr.ohlcv(frame.drop("local_timestamp"), times=True)
    with pytest.raises(kr.InvalidInput, match="column 'local_timestamp' must hold times"):
        kr.ohlcv(frame.with_columns(pl.col("local_timestamp").cast(str)), times=True)
    with pytest.raises(kr.InvalidInput, match="times must be True or False, not 'yes'"):
        kr.ohlcv(frame, times="yes")
