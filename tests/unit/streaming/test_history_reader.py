"""The past of a symbol over REST, and that the simulated exchange's agrees with its trades."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.source import has_history
from tests.conftest import wait_until

MINUTE = 60_000_000_000


@pytest.fixture
def stream(exchange):
    with kr.stream("XBTUSDTM", "trade", venue=exchange.venue) as running:
        running.wait("trade", rows=5)
        yield running


def test_the_newest_trades_reach_into_those_that_have_come(stream):
    history = stream.history("XBTUSDTM")

    page = history.trades()

    live = stream.frame("trade")
    both = page.join(live, on="sequence")
    assert page.height == 100
    assert both.height > 0
    assert both["price"].to_list() == both["price_right"].to_list()
    assert page.columns == live.columns
    assert page.dtypes == live.dtypes
    history.close()


def test_candles_are_the_sum_of_the_trades_and_reach_back_for_months(stream):
    history = stream.history("XBTUSDTM")
    begin = stream.frame("trade")["timestamp"].dt.epoch("ns")[0] // MINUTE * MINUTE + MINUTE
    newest = lambda: stream.frame("trade", last=1)["timestamp"].dt.epoch("ns")[0]  # noqa: E731
    wait_until(lambda: newest() > begin + 2 * MINUTE)

    candles = history.candles("1min", begin, begin + MINUTE)
    before = history.candles("1day", begin - 190 * 1_440 * MINUTE, begin)

    trades = stream.frame("trade").with_columns(
        open=pl.col("timestamp").dt.epoch("ns") // MINUTE * MINUTE
    )
    for candle in candles.iter_rows(named=True):
        its = trades.filter(pl.col("open") == int(candle["timestamp"].timestamp()) * 10**9)
        assert its["size"].sum() == candle["volume"]
        assert its["price"].max() == candle["high"]
        assert its["price"][0] == candle["open"]
    assert candles.height == 2
    assert before.height >= 180
    history.close()


def test_it_outlives_the_stream_and_closing_it_does_not_end_the_stream(exchange):
    with kr.stream("XBTUSDTM", "trade", venue=exchange.venue) as running:
        first, second = running.history("XBTUSDTM"), running.history("XBTUSDTM")
        first.close()
        with pytest.raises(kr.StreamStopped):
            first.trades()
        assert running.rest.trades("XBTUSDTM")

    assert second.trades().height == 100
    second.close()


def test_a_stream_has_history_and_a_replay_has_none(stream):
    assert has_history(stream)
    assert not has_history(object())
