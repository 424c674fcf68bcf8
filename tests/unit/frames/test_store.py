"""Frames by name, of several symbols and intervals."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.frames import store
from kucoin_research.frames.store import FrameStore
from kucoin_research.model.channels import Market, Subscription, parse_channel
from kucoin_research.model.records import Trade
from tests.exchanges import simulate

SYMBOLS = ("A", "B", "C")


def filled(symbols, capacity):
    """Make a store, and add trades one by one."""
    wanted = [Subscription(parse_channel("trade"), each, Market.FUTURES) for each in SYMBOLS]
    made = FrameStore(wanted, capacity, "a stream")
    for number, symbol in enumerate(symbols):
        made.extend([Trade(number, number, symbol, number, str(number), "buy", 1.0, 1.0)])
    return made


@given(
    st.lists(st.sampled_from(SYMBOLS), max_size=60),
    st.integers(1, 70),
    st.sampled_from(SYMBOLS),
    st.integers(0, 70),
)
@settings(max_examples=150, deadline=None)
def test_the_newest_rows_of_a_symbol_are_the_last_of_all_its_rows(symbols, capacity, symbol, last):
    first_look, store._FIRST_LOOK = store._FIRST_LOOK, 2  # so that it looks further back, too
    try:
        made = filled(symbols, capacity)
        rows = made.frame("trade", symbol, last)
    finally:
        store._FIRST_LOOK = first_look

    assert rows.equals(made.frame("trade").filter(pl.col("symbol") == symbol).tail(last))


def test_the_report_measures_each_symbols_lag_by_its_own_rows():
    with simulate(seed=7) as x, kr.stream(["XBTUSDTM", "ETHUSDTM"], "bbo", venue=x.venue) as s:
        s.wait(rows=60)
        s.stop()
        report, newest = s.report(), s.status.lag_p50_ms
        for symbol in ("XBTUSDTM", "ETHUSDTM"):
            lags = s.lags(s.frame("bbo", symbol)).drop_nulls()
            lag = report.channel("bbo", symbol).lag
            assert lags.len() > 5
            assert (lag.p50_ms, lag.p95_ms, lag.p99_ms) == tuple(
                map(lags.quantile, (0.5, 0.95, 0.99))
            )
        assert newest == pytest.approx(s.lags(s.frame("bbo")).drop_nulls().quantile(0.5))


def test_channels_and_symbols_are_added_and_dropped_while_it_is_read():
    made = filled("AAB", capacity=10)
    quotes = Subscription(parse_channel("bbo"), "D", Market.FUTURES)
    held = made.rings

    made.add([quotes])
    assert made.symbols == [*SYMBOLS, "D"]
    assert list(made.totals) == ["trade", "bbo", "status"]
    assert len(held) == 2, "a reader goes on with those that it found"
    made.drop([quotes])

    assert made.symbols == list(SYMBOLS)
    assert list(made.totals) == ["trade", "status"]
    assert made.frame("trade").height == 3


@pytest.mark.parametrize("name", ["bbo", "candle:5min"])
def test_a_channel_that_was_dropped_since_it_was_found_gets_one_sentence(name):
    made = filled("A", capacity=10)
    made.add([Subscription(parse_channel("candle:1min"), "A", Market.FUTURES)])
    wanted = Subscription(parse_channel(name), "A", Market.FUTURES)
    made.add([wanted])
    found = made.channel(name)
    assert made.total(found) == 0

    made.drop([wanted])

    with pytest.raises(kr.UnknownChannel, match=f"channel {name} .* failed meanwhile; subscribe"):
        made.total(found)
