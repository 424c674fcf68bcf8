"""Candles, volume bars and averages of trades, also held against the exchange's own."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.records import Candle, Trade, schema_of

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
