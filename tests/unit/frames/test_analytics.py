"""Candles, volume bars and averages of trades, also held against the exchange's own."""

import math
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.frames import bar_cuts
from kucoin_research.model.records import Candle, Fill, Level2, Order, Ticker, Trade, schema_of
from tests.exchanges import simulate

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


def test_tab_lists_the_functions_of_analytics_and_nothing_else():
    assert dir(kr.analytics) == sorted(kr.analytics.__all__)
    for name in kr.analytics.__all__:
        assert callable(getattr(kr.analytics, name))


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


def test_volume_bars_of_sizes_of_18_digits_hold_what_was_traded():
    frame = trades(*[(n, 1e-5, 1.2e17) for n in range(100)], symbol="SHIB-USDT")

    assert kr.ohlcv(frame, volume=5e18)["volume"].to_list() == [5e18, 5e18, 2e18]
    assert kr.ohlcv(frame, volume=1e300)["volume"].to_list() == [1.2e19]
    # All of 1.2e14 that were paid, in whole bars of them.
    paid = kr.ohlcv(frame, notional=5e13)
    assert paid["turnover"].to_list() == [5e13, 5e13, 2e13]
    assert paid["volume"].to_list() == [5e18, 5e18, 2e18]


def test_a_coin_of_huge_sizes_takes_no_decimals_from_another():
    frame = pl.concat([
        trades((1, 1e-5, 1.2e17), symbol="SHIB-USDT"),
        trades((1, 1e5, 0.00000001), (2, 1e5, 0.00000002), symbol="BTC-USDT"),
    ])  # fmt: skip

    bars = kr.ohlcv(frame, volume=6e16)

    assert bars.select("symbol", "volume").rows() == [
        ("SHIB-USDT", 6e16), ("SHIB-USDT", 6e16), ("BTC-USDT", 0.00000003),
    ]  # fmt: skip


decimals = st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(1, 999_999),
                     st.integers(-12, 20))  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    st.lists(decimals, min_size=1, max_size=12), st.lists(decimals, min_size=1, max_size=12),
    st.integers(1, 40), st.sampled_from(["volume", "notional"]),
)  # fmt: skip
def test_bars_of_any_magnitudes_hold_what_was_traded_and_all_but_the_last_are_full(
    of_one, of_other, share, kind
):
    frame = pl.concat([
        trades(*[(n, 1.0, size) for n, size in enumerate(of_one)], symbol="A-B"),
        trades(*[(n, 1.0, size) for n, size in enumerate(of_other)], symbol="C-D"),
    ])  # fmt: skip
    full = float(f"{max(sum(of_one), sum(of_other)) / share:.3g}")

    bars = kr.ohlcv(frame, **{kind: full})

    for symbol, traded in (("A-B", of_one), ("C-D", of_other)):
        held = bars.filter(pl.col("symbol") == symbol)["volume"].to_list()
        in_all = sum(map(Fraction, traded))
        assert abs(sum(map(Fraction, held)) - in_all) <= in_all * Fraction(1, 10**14)
        assert held[:-1] == [full] * (len(held) - 1)
        assert 0 < held[-1] <= full


def test_a_bar_too_small_is_refused_before_any_is_made(tmp_path):
    # In a process of its own, with little memory: too many bars would end the tests with it.
    script = tmp_path / "small_bars.py"
    script.write_text(
        "import resource, sys\n"
        "import kucoin_research as kr\n"
        "from tests.unit.frames.test_analytics import PERPETUAL, trades\n"
        "shib = trades(*[(n, 1e-5, 1.17e8) for n in range(40)], symbol='SHIB-USDT')\n"
        "xbt = trades(*[(n, 9e4, 30) for n in range(40)])\n"
        "kr.ohlcv(xbt, volume=100)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)\n"
        "for frame, options in [\n"
        "    (shib, {'volume': 10}), (shib, {'volume': 1e-300}), (xbt, {'volume': 0.0001}),\n"
        "    (xbt, {'notional': 0.01, 'instrument': PERPETUAL}),\n"
        "]:\n"
        "    try:\n"
        "        print(kr.ohlcv(frame, **options).height)\n"
        "    except kr.InvalidInput as error:\n"
        "        print(error)\n"
    )

    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    said = [
        ("volume=10 would make 468,000,000 bars of 40 trades, and 1,000,000 at most are made; give "
        "volume=5.1e+03 or more"),
        "volume=1e-300 is too small beside what was traded; give 5.1e+03 or more",
        ("volume=0.0001 would make 12,000,000 bars of 40 trades, and 1,000,000 at most are made; "
        "give volume=0.0013 or more"),
        ("notional=0.01 would make 10,800,000 bars of 40 trades, and 1,000,000 at most are made; "
        "give notional=0.12 or more"),
    ]  # fmt: skip
    assert ran.stdout.splitlines() == said, ran.stderr


def test_of_many_trades_as_many_bars_may_be_made(monkeypatch):
    monkeypatch.setattr(bar_cuts, "_MOST_BARS", 10)
    few, many = (trades(*[(second, 1.0, 1) for second in range(n)]) for n in (5, 20))

    assert kr.ohlcv(few, volume=0.5).height == 10
    assert kr.ohlcv(many, volume=1).height == 20
    for frame, volume in ((few, 0.4), (many, 0.9)):
        with pytest.raises(kr.InvalidInput, match=r"give volume=\S+ or more") as caught:
            kr.ohlcv(frame, volume=volume)
        enough = float(str(caught.value).rpartition("=")[2].split()[0])
        assert kr.ohlcv(frame, volume=enough).height <= max(10, frame.height)


@pytest.mark.parametrize("size", [1e36, 1e308])
@pytest.mark.parametrize("make", [kr.ohlcv, partial(kr.ohlcv, volume=1e35), kr.vwap])
def test_sizes_beyond_any_sum_are_refused(make, size):
    with pytest.raises(kr.InvalidInput, match="sizes of 'XBTUSDTM' add up to"):
        make(trades(*[(n, 1.0, size) for n in range(11)]))


@pytest.mark.parametrize("make", [kr.ohlcv, partial(kr.ohlcv, volume=1), kr.vwap])
def test_rows_that_have_no_finite_number_are_left_out(make):
    whole = trades((1, 5.0, 2), (2, 6.0, 1))
    holed = trades((1, 5.0, 2), (1, math.nan, 1), (1, 7.0, math.inf), (2, 6.0, 1))

    assert make(holed).equals(make(whole))


@pytest.mark.parametrize("number", [100, 100.0])
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8, np.float64, np.float32])
@pytest.mark.parametrize("name", ["volume", "notional", "ticks"])
def test_numbers_of_numpy_make_the_bars_of_pythons(name, kind, number):
    frame = trades(*[(n, 10.0, 30) for n in range(300)], symbol="BTC-USDT")

    assert kr.ohlcv(frame, **{name: kind(number)}).equals(kr.ohlcv(frame, **{name: number}))


MAKERS = [kr.ohlcv, partial(kr.ohlcv, volume=1), kr.vwap, kr.figures.candles, kr.figures.flow]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("column", "kind", "sentence"),
    [
        ("timestamp", pl.String, "column 'timestamp' must hold times, not String; .str.to_datet"),
        ("timestamp", pl.Int64, r"must hold times, not Int64; .cast\(pl.Datetime\('ns', 'UTC'\)\)"),
        ("timestamp", pl.Date, "column 'timestamp' must hold times, not Date"),
        ("price", pl.String, r"column 'price' must hold numbers, not String; .cast\(pl.Float64\)"),
        ("size", pl.String, "column 'size' must hold numbers, not String"),
    ],
)
def test_a_column_of_the_wrong_kind_is_told_with_its_cure(make, column, kind, sentence):
    frame = trades((1, 9.0, 1), (2, 10.0, 1), (3, 100.0, 1))

    with pytest.raises(kr.InvalidInput, match=sentence):
        make(frame.with_columns(pl.col(column).cast(kind)))


@pytest.mark.parametrize("make", [kr.mid_bars, kr.figures.spread, kr.figures.price])
@pytest.mark.parametrize("column", ["timestamp", "best_bid_price", "best_ask_price"])
def test_quotes_of_text_are_refused(make, column):
    with pytest.raises(kr.InvalidInput, match=f"column '{column}' must hold .*, not String"):
        make(quotes((1, 9.0, 10.0)).with_columns(pl.col(column).cast(str)))


def test_what_a_csv_file_has_is_refused_or_read_as_it_is_meant(tmp_path):
    made = trades((1, 9.0, 1), (2, 10.0, 1), (3, 100.0, 1))
    made.write_csv(tmp_path / "t.csv")

    with pytest.raises(kr.InvalidInput, match="column 'timestamp' must hold times, not String"):
        kr.ohlcv(pl.read_csv(tmp_path / "t.csv"))
    dated = pl.read_csv(tmp_path / "t.csv", try_parse_dates=True)
    assert kr.ohlcv(dated).select("high", "low").rows() == [(100.0, 9.0)]


def test_decimals_and_whole_numbers_are_numbers():
    made = trades((1, 9.0, 1), (2, 10.0, 1), (3, 100.0, 1))
    exact = made.with_columns(pl.col("price").cast(pl.Decimal(20, 4)), pl.col("size").cast(int))

    assert kr.ohlcv(exact).equals(kr.ohlcv(made))
    assert kr.ohlcv(exact, volume=2).equals(kr.ohlcv(made, volume=2))
    assert kr.vwap(exact).equals(kr.vwap(made))


@pytest.mark.parametrize("make", [kr.ohlcv, kr.vwap])
def test_rows_with_a_price_and_a_size_that_are_no_trades_are_refused(make):
    tickers = quotes((0, 1.0, 2.0))
    for gone in ("best_bid_price", "best_ask_size"):
        with pytest.raises(kr.InvalidInput, match="tickers skip trades"):
            make(tickers.drop(gone))
    for record, named in (
        (Level2, "'level2', which are changes"),
        (Order, "'order', which are or"),
    ):
        with pytest.raises(kr.InvalidInput, match=named):
            make(pl.DataFrame(schema=schema_of(record)))


def test_one_s_own_fills_are_trades():
    fills = pl.DataFrame(schema=schema_of(Fill))

    assert kr.ohlcv(fills).is_empty()


def test_marking_wants_times():
    with pytest.raises(kr.InvalidInput, match="'local_timestamp' must hold times, not Int64"):
        kr.mark_filled(pl.DataFrame({"local_timestamp": [1]}), told())


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
    with simulate(seed=7, speed=200) as x:
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


QUOTE = [f"best_{side}_{what}" for side in ("bid", "ask") for what in ("price", "size")]


@pytest.mark.parametrize("kept", [QUOTE, *([name] for name in QUOTE), QUOTE[1:]])
@pytest.mark.parametrize("make", [kr.ohlcv, kr.vwap, kr.figures.candles, kr.figures.flow])
def test_tickers_are_refused_where_volume_is_wanted_whichever_of_their_columns_are_left(make, kept):
    rows = quotes((0, 1.0, 2.0)).drop([name for name in QUOTE if name not in kept])

    with pytest.raises(kr.InvalidInput, match=r"tickers skip trades; .*'trade'.*kr\.mid_bars"):
        make(rows)


@pytest.mark.parametrize("record", [Level2, Order])
@pytest.mark.parametrize(
    "make", [kr.ohlcv, kr.vwap, kr.figures.candles, kr.figures.flow, kr.figures.price]
)
def test_rows_with_a_price_and_a_size_that_are_no_trades_are_refused_in_figures_too(make, record):
    rows = pl.DataFrame(schema=schema_of(record))

    with pytest.raises(kr.InvalidInput, match="and no trades; take rows of the channel 'trade'"):
        make(rows)


def test_trades_beside_quotes_are_trades():
    with pytest.raises(kr.InvalidInput, match="changes of a book and no trades"):
        kr.figures.price(quotes((0, 1.0, 2.0)), trades=pl.DataFrame(schema=schema_of(Level2)))


def test_bars_with_columns_of_quotes_are_drawn():
    bars = kr.mid_bars(quotes((0, 1.0, 2.0))).with_columns(best_bid_price=1.0)

    assert kr.figures.candles(bars).data[0].close.tolist() == [1.5]


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
        simulate(seed=7, speed=50.0) as x,
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
        simulate(seed=7) as x,
        kr.stream("XBTUSDTM", "ticker", venue=x.venue) as s,
        pytest.raises(kr.UnknownChannel, match="trade"),
    ):
        s.bars("10s")
