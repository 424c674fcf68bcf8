"""Candles, volume bars and averages of trades, also held against the exchange's own."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.records import Candle, Ticker, Trade, schema_of

START = datetime(2026, 1, 5, tzinfo=UTC)
PERPETUAL = kr.Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT",
    tick_size=0.1, lot_size=1.0, contract_multiplier=0.001,
)  # fmt: skip


def trades(*rows, symbol="XBTUSDTM"):
    """Trades from (seconds, price, size)."""
    listed = [
        (START + timedelta(seconds=second), None, symbol, None, None, "buy", price, size)
        for second, price, size in rows
    ]
    return pl.DataFrame(listed, schema=schema_of(Trade), orient="row")


def test_candles_have_the_columns_of_the_channel_but_the_arrival():
    frame = kr.ohlcv(trades((1, 100.0, 2), (59, 90.0, 1), (60, 95.0, 4)))

    assert frame.schema == {
        name: kind for name, kind in schema_of(Candle).items() if name != "local_timestamp"
    }
    assert frame.drop("symbol", "interval", "turnover").rows() == [
        (START, 100.0, 100.0, 90.0, 90.0, 3.0),
        (START + timedelta(minutes=1), 95.0, 95.0, 95.0, 95.0, 4.0),
    ]
    assert frame["interval"].to_list() == ["1min", "1min"]


def test_turnover_of_a_contract_needs_its_instrument():
    frame = trades((1, 100.0, 2), (2, 110.0, 3))

    assert kr.ohlcv(frame)["turnover"].to_list() == [None]
    assert kr.ohlcv(frame, instrument=PERPETUAL)["turnover"].to_list() == [0.53]


def test_turnover_of_an_inverse_contract_is_in_coins():
    inverse = kr.Instrument(
        symbol="XBTUSDM", market="futures", base="XBT", quote="USD", settle="XBT",
        tick_size=0.1, lot_size=1.0, contract_multiplier=-1.0, is_inverse=True,
    )  # fmt: skip

    frame = kr.ohlcv(trades((1, 100.0, 50), symbol="XBTUSDM"), instrument=[PERPETUAL, inverse])

    assert frame["turnover"].to_list() == [0.5]


def test_turnover_of_a_spot_pair_is_known():
    assert kr.ohlcv(trades((1, 10.0, 0.1), (2, 10.0, 0.2), symbol="BTC-USDT"))[
        "turnover"
    ].to_list() == [3.0]


def test_sums_are_those_of_the_decimals():
    frame = kr.ohlcv(trades(*[(1, 1.0, 0.1)] * 3, symbol="BTC-USDT"))

    assert frame["volume"].to_list() == [0.3]  # sum() of floats gives 0.30000000000000004


def test_each_symbol_has_its_own_candles():
    both = pl.concat([trades((1, 1.0, 1)), trades((1, 9.0, 1), symbol="BTC-USDT")])

    frame = kr.ohlcv(both)

    assert frame.select("symbol", "open").rows() == [("XBTUSDTM", 1.0), ("BTC-USDT", 9.0)]


def test_trades_that_came_late_are_put_in_their_place():
    frame = kr.ohlcv(trades((30, 3.0, 1), (10, 1.0, 1), (50, 5.0, 1)))

    assert frame.select("open", "close").rows() == [(1.0, 5.0)]


@pytest.mark.parametrize(("every", "interval"), [("5m", "5min"), ("1hour", "1hour"), ("7s", "7s")])
def test_intervals_are_named_as_kucoin_does_where_it_does(every, interval):
    assert kr.ohlcv(trades((1, 1.0, 1)), every)["interval"].to_list() == [interval]


def test_volume_bars_split_the_trade_that_does_not_fit():
    frame = kr.ohlcv(
        trades((1, 10.0, 3), (2, 11.0, 9), (3, 12.0, 1)), volume=5, instrument=PERPETUAL
    )

    assert frame.select("open", "close", "volume").rows() == [
        (10.0, 11.0, 5.0),
        (11.0, 11.0, 5.0),
        (11.0, 12.0, 3.0),
    ]
    assert [t.second for t in frame["timestamp"]] == [1, 2, 2]
    assert frame["interval"].unique().to_list() == ["volume:5"]
    assert frame["turnover"].to_list() == pytest.approx([0.052, 0.055, 0.034])


def test_volume_bars_of_decimals_close_when_they_are_full():
    frame = kr.ohlcv(trades(*[(1, 1.0, 0.1)] * 6, symbol="BTC-USDT"), volume=0.3)

    assert frame["volume"].to_list() == [0.3, 0.3]


sizes = st.lists(st.integers(1, 1_000), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(sizes, st.integers(7, 10_000))
def test_volume_bars_keep_every_lot_and_all_but_the_last_are_full(sizes, volume):
    bars = kr.ohlcv(trades(*[(i, 1.0 + i, size) for i, size in enumerate(sizes)]), volume=volume)

    assert bars["volume"].sum() == sum(sizes)
    assert (bars["volume"].head(-1) == volume).all()
    assert 0 < bars["volume"][-1] <= volume


@settings(deadline=None, max_examples=50)
@given(sizes)
def test_longer_candles_are_sums_of_shorter_ones(sizes):
    frame = trades(*[(i * 13, 1.0 + i % 7, size) for i, size in enumerate(sizes)])

    short, long = kr.ohlcv(frame, "1m"), kr.ohlcv(frame, "1h")

    assert long["volume"].sum() == short["volume"].sum() == sum(sizes)
    assert long["high"].max() == short["high"].max()
    assert long["open"][0] == short["open"][0]
    assert long["close"][-1] == short["close"][-1]


def test_vwap_weighs_by_size():
    frame = kr.vwap(trades((1, 100.0, 1), (2, 200.0, 3), (70, 50.0, 2)))

    assert frame.rows() == [
        (START, "XBTUSDTM", 175.0, 4.0),
        (START + timedelta(minutes=1), "XBTUSDTM", 50.0, 2.0),
    ]


def test_no_trades_make_no_bars():
    empty = pl.DataFrame(schema=schema_of(Trade))

    assert kr.ohlcv(empty).schema == kr.ohlcv(trades((1, 1.0, 1))).schema
    assert kr.ohlcv(empty, volume=10).is_empty()
    assert kr.vwap(empty).columns == ["timestamp", "symbol", "vwap", "size"]


@pytest.mark.parametrize("make", [kr.ohlcv, kr.vwap])
def test_a_missing_column_is_named_with_those_present(make):
    with pytest.raises(
        kr.ColumnMissing, match="without 'size'; the frame has 'timestamp', 'symbol'"
    ):
        make(trades((1, 1.0, 1)).select("timestamp", "symbol", "price"))


@pytest.mark.parametrize("make", [kr.ohlcv, kr.vwap])
def test_what_is_no_frame_is_refused_in_one_sentence(make):
    with pytest.raises(kr.InvalidInput, match="a polars frame is needed, not NoneType"):
        make(None)


@pytest.mark.parametrize("every", ["fast", "", "0s", 5])
def test_what_is_no_interval_is_refused(every):
    with pytest.raises(kr.InvalidInput, match="is no interval"):
        kr.ohlcv(trades((1, 1.0, 1)), every)


@pytest.mark.parametrize("volume", [0, -1, True, "5", float("nan")])
def test_a_volume_that_cannot_be_filled_is_refused(volume):
    with pytest.raises(kr.InvalidInput, match="volume must be"):
        kr.ohlcv(trades((1, 1.0, 1)), volume=volume)


def test_candles_of_streamed_trades_equal_the_exchanges():
    symbols = ["XBTUSDTM", "XBTUSDM", "KCSUSDTM", "BTC-USDT", "ETH-BTC"]
    with kr.simulate(seed=7, speed=200) as x:
        venue = x.venue
        streamed = kr.stream_to_frame(symbols, "trade", minutes=8, venue=venue, progress=False)
        listed = [kr.instrument(symbol, venue=venue) for symbol in symbols]
        span = {"start": "2026-01-05T00:01", "end": "2026-01-05T00:06", "venue": venue}
        theirs = pl.concat([kr.candles(symbol, **span) for symbol in symbols])

    ours = kr.ohlcv(streamed, instrument=listed)

    both = theirs.drop("local_timestamp").join(ours, on=["symbol", "timestamp"], how="left")
    assert theirs["symbol"].n_unique() == len(symbols)
    assert theirs.height > 5 * 4
    for name in ("open", "high", "low", "close", "volume"):
        assert both[name].to_list() == both[f"{name}_right"].to_list(), name
    # KuCoin's turnover ends at the tenth decimal, a sum of floats with its last bit.
    turnover = pytest.approx(both["turnover"].to_list(), rel=1e-13, abs=1e-10)
    assert both["turnover_right"].to_list() == turnover


# -- rows that were fetched ----------------------------------------------------------------------


def stamped(*stamps):
    return pl.DataFrame({"local_timestamp": stamps}).cast(pl.Datetime("ns", "UTC"))


def told(*rows):
    columns = {"timestamp": pl.Int64, "local_timestamp": pl.Int64, "event": pl.Categorical}
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.cast(
        {"timestamp": pl.Datetime("ns", "UTC"), "local_timestamp": pl.Datetime("ns", "UTC")}
    )


def test_rows_of_a_filled_outage_are_marked():
    status = told((5, 9, "gap"), (10, 13, "filled"), (13, 13, "connected"), (20, 21, "filled"))

    marked = kr.mark_filled(stamped(4, 9, 10, 12, 13, 20, 21), status)

    assert marked.columns == ["local_timestamp", "is_filled"]
    assert marked["is_filled"].to_list() == [False, False, True, True, False, True, False]


def test_without_outages_nothing_is_marked():
    assert kr.mark_filled(stamped(1, 2), told())["is_filled"].to_list() == [False, False]
    assert kr.mark_filled(stamped(), told()).schema["is_filled"] == pl.Boolean


def test_marking_wants_stamps():
    with pytest.raises(kr.ColumnMissing, match="cannot be marked without 'local_timestamp'"):
        kr.mark_filled(pl.DataFrame({"price": [1.0]}), told())


def quotes(*rows, symbol="XBTUSDTM"):
    """Tickers from (seconds, best bid, best ask)."""
    listed = [
        (START + timedelta(seconds=second), None, symbol, 1, bid, 1.0, None, bid, 5.0, ask, 5.0)
        for second, bid, ask in rows
    ]
    return pl.DataFrame(listed, schema=schema_of(Ticker), orient="row")


@pytest.mark.parametrize("make", [kr.ohlcv, kr.vwap, kr.figures.candles, kr.figures.flow])
def test_tickers_are_refused_where_volume_is_wanted(make):
    with pytest.raises(kr.InvalidInput, match=r"tickers skip trades; .*'trade'.*kr\.mid_bars"):
        make(quotes((0, 1.0, 2.0)))


@pytest.mark.parametrize("make", [kr.ohlcv, kr.vwap, kr.mid_bars])
def test_a_pandas_frame_is_told_how_to_become_one_of_polars(make):
    with pytest.raises(kr.InvalidInput, match=r"pl\.from_pandas"):
        make(pd.DataFrame({"price": [1.0]}))


def test_bars_of_mids_are_those_of_best_bid_and_ask():
    frame = kr.mid_bars(
        pl.concat([
            quotes((1, 10.0, 12.0), (9, 8.0, 12.0), (9, 20.0, 24.0), (10, 11.0, 12.0)),
            quotes((3, 1.0, 2.0), symbol="ETHUSDTM"),
        ]),
        "10s",
    )  # fmt: skip

    assert frame.columns == [
        "timestamp", "symbol", "interval", "open", "high", "low", "close", "spread", "quotes",
    ]  # fmt: skip
    assert frame.drop("timestamp").rows() == [
        ("XBTUSDTM", "10s", 11.0, 22.0, 10.0, 22.0, pytest.approx(10 / 3), 3),
        ("XBTUSDTM", "10s", 11.5, 11.5, 11.5, 11.5, 1.0, 1),
        ("ETHUSDTM", "10s", 1.5, 1.5, 1.5, 1.5, 1.0, 1),
    ]
    assert frame["timestamp"][1] - frame["timestamp"][0] == timedelta(seconds=10)


def test_symbols_stay_together_in_the_order_of_their_first_row():
    mixed = pl.concat([
        trades((0, 1.0, 1), symbol="B"), trades((1, 1.0, 1), symbol="A"),
        trades((61, 1.0, 1), symbol="B"), trades((62, 1.0, 1), symbol="A"),
    ])  # fmt: skip

    assert kr.ohlcv(mixed)["symbol"].to_list() == ["B", "B", "A", "A"]
    assert kr.vwap(mixed)["symbol"].to_list() == ["B", "B", "A", "A"]


def test_bars_of_mids_have_a_figure_without_volume():
    figure = kr.figures.candles(kr.mid_bars(quotes((1, 10.0, 12.0), (61, 8.0, 12.0))))

    assert list(figure.data[0].close) == [11.0, 10.0]
    assert "bars of the mid" in figure.layout.title.text
    assert np.isnan(np.asarray(figure.data[1].y, float)).all()  # no line


def test_bars_of_notional_hold_the_same_turnover_each():
    frame = kr.ohlcv(
        trades((1, 100.0, 30), (2, 200.0, 45), (3, 100.0, 5)), notional=5, instrument=PERPETUAL
    )

    assert frame["turnover"].to_list() == [5.0, 5.0, 2.5]
    assert frame["volume"].to_list() == [40.0, 25.0, 15.0]
    assert frame["open"].to_list() == [100.0, 200.0, 200.0]
    assert frame["interval"].unique().to_list() == ["notional:5"]
    assert frame["volume"].sum() == 80.0


def test_bars_of_notional_need_to_know_what_a_contract_is_worth():
    with pytest.raises(kr.InvalidInput, match="XBTUSDTM need instrument="):
        kr.ohlcv(trades((1, 100.0, 30)), notional=5)

    spot = kr.ohlcv(trades((1, 100.0, 0.1), symbol="BTC-USDT"), notional=5)
    assert spot["turnover"].to_list() == [5.0, 5.0]


def test_bars_of_ticks_hold_the_same_number_of_trades():
    frame = kr.ohlcv(
        pl.concat([trades(*[(n, 1.0 + n, 1) for n in range(5)]), trades((9, 5.0, 1), symbol="Z")]),
        ticks=2,
        instrument={"XBTUSDTM": PERPETUAL},
    )

    assert frame["volume"].to_list() == [2.0, 2.0, 1.0, 1.0]
    assert frame["open"].to_list() == [1.0, 3.0, 5.0, 5.0]
    assert frame["turnover"].to_list() == [0.003, 0.007, 0.005, None]
    assert frame["interval"].unique().to_list() == ["ticks:2"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ticks": 2.5}, "whole number of trades"),
        ({"ticks": 0}, "ticks must be"),
        ({"notional": -1.0}, "notional must be"),
        ({"notional": 1.0, "ticks": 2}, "one of volume, notional and ticks"),
    ],
)
def test_bars_that_cannot_be_made_are_refused(options, sentence):
    with pytest.raises(kr.InvalidInput, match=sentence):
        kr.ohlcv(trades((1, 1.0, 1)), **options)


def test_a_stream_its_recording_and_a_replay_make_the_same_bars(tmp_path):
    with (
        kr.simulate(seed=7, speed=50.0) as x,
        kr.record(
            "XBTUSDTM", ["trade", "ticker"], root=tmp_path, venue=x.venue, progress=False
        ) as r,
    ):
        r.stream.wait("trade", rows=100)
    session = r.session()
    with kr.replay(session, speed=None) as played:
        played.wait_until_done()
        for options in ({"every": "5s"}, {"ticks": 7}, {"volume": 50}, {"notional": 10_000}):
            bars = r.stream.bars(**options)
            assert bars["turnover"].null_count() == 0
            assert bars.height > 2
            assert bars.equals(session.bars(**options))
            assert bars.equals(played.bars(**options))
        assert played.instruments == session.instruments == r.stream.instruments
    with pytest.raises(kr.UnknownSymbol):
        session.bars(symbol="ETHUSDTM")


def test_bars_of_a_stream_without_trades_name_the_channel():
    with (
        kr.simulate(seed=7) as x,
        kr.stream("XBTUSDTM", "ticker", venue=x.venue) as s,
        pytest.raises(kr.UnknownChannel, match="trade"),
    ):
        s.bars("10s")
