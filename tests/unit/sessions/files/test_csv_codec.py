import math

import polars as pl
import pytest
from hypothesis import given, settings

from kucoin_research.model.records import CHANNELS, Balance, Depth50, Ticker, Trade, schema_of
from kucoin_research.sessions.files import csv_codec
from kucoin_research.sessions.files.csv_codec import encode, header_of, read_rows
from tests.unit.rows import NOON, plain, records, shown, ticker


def back(record, lines):
    return read_rows(record, header_of(record) + lines)


@pytest.mark.parametrize("channel", CHANNELS)
def test_records_come_back_from_csv_to_the_bit(channel, monkeypatch):
    @settings(max_examples=25, deadline=None)
    @given(records(channel))
    def check(rows):
        for fewest in (10**6, 1):  # rows for polars; fewer are encoded column by column
            monkeypatch.setattr(csv_codec, "_POLARS_ROWS", fewest)
            monkeypatch.setattr(csv_codec, "_POLARS_ROWS_OF_LISTS", fewest)
            encoded = encode(CHANNELS[channel], rows)
            frame = back(CHANNELS[channel], encoded.lines)

            assert encoded.rows == len(rows)
            assert encoded.refused == 0
            assert frame.schema == schema_of(CHANNELS[channel])
            assert plain(frame) == shown(rows)

    check()


def test_a_file_looks_as_documented():
    rows = [
        Trade(NOON, NOON + 1, "XBTUSDTM", 5, "", "buy", 0.1, 1e-7),
        Trade(NOON, NOON + 2, "XBTUSDTM", None, None, None, 80000.0, None),
    ]

    assert (
        header_of(Trade) == b"timestamp,local_timestamp,symbol,sequence,trade_id,side,price,size\n"
    )
    assert encode(Trade, rows).lines.decode().splitlines() == [
        f'{NOON},{NOON + 1},XBTUSDTM,5,"",buy,0.1,1e-7',
        f"{NOON},{NOON + 2},XBTUSDTM,,,,80000.0,",
    ]


def test_a_list_is_its_numbers_with_spaces_and_an_empty_one_differs_from_none():
    row = Depth50(NOON, NOON, "S", 1, (1.5, 2.0), (), None, (3.0,))

    assert encode(Depth50, [row]).lines == f'{NOON},{NOON},S,1,1.5 2.0,"",,3.0\n'.encode()
    assert plain(back(Depth50, encode(Depth50, [row]).lines)) == shown([row])


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": math.nan}, {"price": math.inf}, {"price": "1.0"}, {"price": True},
        {"sequence": 1.5}, {"sequence": 2**63}, {"side": "bid"}, {"symbol": "\ud800"},
        {"symbol": 5},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("count", [3, 200])
def test_a_value_that_does_not_fit_is_refused_and_the_other_rows_stay(wrong, count):
    rows = [ticker(number) for number in range(count)]
    rows[1] = rows[1]._replace(**wrong)

    encoded = encode(Ticker, rows)

    assert (encoded.rows, encoded.refused) == (count - 1, 1)
    assert f"Ticker.{next(iter(wrong))}" in encoded.reason
    assert plain(back(Ticker, encoded.lines)) == shown(rows[:1] + rows[2:])


@pytest.mark.parametrize("bad", [(1.0, math.nan), (1.0, None), (math.inf, -math.inf)])
@pytest.mark.parametrize("count", [1, 40])
def test_a_list_with_a_number_that_is_none_is_refused(bad, count):
    rows = [Depth50(NOON, NOON + n, "S", 1, (1e308, 1e308), (1.0,), (), ()) for n in range(count)]

    encoded = encode(Depth50, [*rows, rows[0]._replace(ask_sizes=bad)])

    assert (encoded.rows, encoded.refused) == (count, 1)


def test_both_ways_of_formatting_write_the_same_numbers(monkeypatch):
    rows = [ticker(n, price=p) for n, p in enumerate([0.1, 1e-5, 1e-7, 1e22, -0.0, 1e15, 1e17])]
    by_column = encode(Ticker, rows).lines
    monkeypatch.setattr(csv_codec, "_POLARS_ROWS", 1)

    # 1e-5 and 0.00001 are the same number, and both as short as can be.
    assert plain(back(Ticker, encode(Ticker, rows).lines)) == plain(back(Ticker, by_column))


def test_columns_that_a_file_lacks_are_null_and_unknown_ones_are_left_out():
    text = b"timestamp,local_timestamp,symbol,currency,novel\n1,2,,USDT,x\n"

    frame = read_rows(
        Balance, text, ["timestamp", "local_timestamp", "symbol", "currency", "novel"]
    )

    assert frame.schema == schema_of(Balance)
    assert frame.select(pl.col("currency").cast(pl.String), "total").rows() == [("USDT", None)]
