"""Frames of pandas: each value as it was."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.records import CHANNELS, schema_of
from tests.exchanges import simulate
from tests.unit.strategy.tapes import START, bbo, depth50, tape, trade

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
BIG = 2**53 + 1  # the first integer that no float holds


def trades(*rows):
    return tape(*rows)["trade"]


def test_the_index_is_the_time_of_the_exchange_to_the_nanosecond():
    row = trade(0, "buy", 100.1)._replace(timestamp=START + 1, local_timestamp=START + BIG)

    frame = kr.to_pandas(trades(row))

    assert frame.index.name == "timestamp"
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"
    assert frame.index[0].value == START + 1
    assert frame["local_timestamp"].iloc[0].value == START + BIG
    assert list(frame.columns) == trades(row).columns[1:]


def test_integers_beyond_those_of_floats_stay_exact_beside_missing_ones():
    rows = [trade(at, "buy", 100.0)._replace(sequence=each) for at, each in enumerate([BIG, None])]

    frame = kr.to_pandas(trades(*rows))

    assert frame["sequence"].dtype == "Int64"
    assert frame["sequence"].iloc[0] == BIG
    assert frame["sequence"].iloc[1] is pd.NA


def test_texts_labels_and_numbers_keep_their_kind_and_what_is_missing():
    rows = [
        trade(0, "sell", 100.5)._replace(trade_id=str(BIG)),
        trade(1, None, None)._replace(trade_id=None),
    ]

    frame = kr.to_pandas(trades(*rows))

    assert frame["trade_id"].dtype == "string"
    assert frame["trade_id"].iloc[0] == "9007199254740993"
    assert frame["trade_id"].iloc[1] is pd.NA
    assert list(frame["side"].cat.categories) == ["buy", "sell"]
    assert frame["side"].iloc[0] == "sell"
    assert frame["side"].isna().tolist() == [False, True]
    assert list(frame["symbol"].cat.categories) == ["UNIUSDTM"]
    assert frame["price"].dtype == np.float64
    assert frame["price"].isna().tolist() == [False, True]


def test_lists_become_arrays():
    rows = [depth50(0, [(99.0, 1.0), (98.0, 2.0)], [(101.0, 3.0)]), depth50(1, [], [(101.0, 3.0)])]

    frame = kr.to_pandas(tape(*rows)["depth50"])

    assert frame["bid_prices"].iloc[0].tolist() == [99.0, 98.0]
    assert frame["bid_prices"].iloc[1].tolist() == []
    assert frame["ask_sizes"].iloc[1].tolist() == [3.0]


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_a_frame_of_any_channel_without_rows_has_its_columns(channel):
    schema = schema_of(CHANNELS[channel])

    frame = kr.to_pandas(pl.DataFrame(schema=schema))

    assert list(frame.columns) == list(schema)[1:]
    assert len(frame) == 0
    assert str(frame.index.dtype) == "datetime64[ns, UTC]"


def test_columns_of_other_types_keep_their_values():
    rows = pl.DataFrame(
        {
            "timestamp": [START], "flag": pl.Series([None], dtype=pl.Boolean),
            "large": pl.Series([2**64 - 1], dtype=pl.UInt64),
            "span": pl.Series([timedelta(seconds=1)]), "nested": [{"a": 1}],
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ns")))  # fmt: skip

    frame = kr.to_pandas(rows)

    assert str(frame.index.tz) == "UTC"
    assert frame["flag"].dtype == "boolean"
    assert frame["flag"].iloc[0] is pd.NA
    assert frame["large"].iloc[0] == 2**64 - 1
    assert frame["span"].iloc[0] == timedelta(seconds=1)
    assert frame["nested"].iloc[0] == {"a": 1}


def test_rows_without_a_time_of_the_exchange_have_nat_in_the_index():
    frame = kr.to_pandas(trades(trade(0, "buy", 1.0)._replace(timestamp=None)))

    assert frame.index[0] is pd.NaT


def test_sessions_and_their_paths_and_mappings_are_read_alike():
    session = kr.load(SAMPLE)
    rows = session.frame("trade")

    of_session = kr.to_pandas(session, "trade", "XBTUSDTM")

    assert of_session["trade_id"].tolist() == rows["trade_id"].to_list()
    assert of_session["price"].tolist() == rows["price"].to_list()
    assert of_session.index.asi8.tolist() == rows["timestamp"].to_physical().to_list()
    for data in (str(SAMPLE), {"trade": rows}):
        pd.testing.assert_frame_equal(kr.to_pandas(data, "trade"), of_session)


def test_a_stream_and_a_replay_are_read_as_far_as_they_have_come():
    with kr.replay(SAMPLE, speed=None) as replay:
        assert replay.wait_until_done(60)
        assert len(kr.to_pandas(replay, "trade")) == 496
    with simulate(seed=1) as exchange, kr.stream("XBTUSDTM", venue=exchange.venue) as stream:
        stream.wait(rows=5)
        stream.stop()
        frame = kr.to_pandas(stream)
        assert frame["price"].tolist() == stream.frame()["price"].to_list()


def test_one_symbol_is_chosen_from_a_frame():
    rows = tape(bbo(0), bbo(1, symbol="XBTUSDTM"))["bbo"]

    assert len(kr.to_pandas(rows, symbol="XBTUSDTM")) == 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((tape(bbo(0))["bbo"], "bbo"), kr.InvalidInput, "a frame has no channels"),
        ((pl.DataFrame({"price": [1.0]}),), kr.ColumnMissing, "'timestamp'"),
        ((pl.DataFrame({"timestamp": [1]}),), kr.InvalidInput, "must hold times"),
        (
            (pl.DataFrame({"timestamp": [datetime(2261, 1, 1), datetime(2262, 1, 1)]}),),
            kr.InvalidInput, "'timestamp' has the time 2262-01-01; nanoseconds count",
        ),
        (
            (pl.DataFrame({"timestamp": [datetime(2026, 1, 1)], "until": [datetime(9999, 1, 1)]}),),
            kr.InvalidInput, "'until' has the time 9999-01-01",
        ),
        ((17,), kr.InvalidInput, "to_pandas takes a session, its path, a stream.* not 17"),
        ((pd.DataFrame({"a": [1]}),), kr.InvalidInput, "pl.from_pandas"),
        (({"trade": pd.DataFrame()},), kr.InvalidInput, "pl.from_pandas"),
        (({"trade": pl.DataFrame()},), kr.InvalidInput, "no column 'symbol'"),
        ((SAMPLE,), kr.UnknownChannel, "name one of the channels: ticker"),
        ((SAMPLE, "depth5"), kr.UnknownChannel, "was not recorded"),
        ((SAMPLE, "trade", "ETHUSDTM"), kr.UnknownSymbol, "ETHUSDTM"),
        ((SAMPLE, "trade", 5), kr.InvalidInput, "symbol must be a string"),
        ((SAMPLE.parent / "none",), kr.SessionMissing, "none"),
        ((), kr.InvalidInput, "to_pandas lacks data"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_a_sentence(arguments, error, words):
    with pytest.raises(error, match=words):
        kr.to_pandas(*arguments)
