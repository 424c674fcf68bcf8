import gzip

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import ColumnMissing, InvalidInput, SessionBroken, SessionMissing
from kucoin_research.records import schema_of
from tests.unit.rows import plain, ticker
from tests.unit.test_sessions import csv, recorded

TRADES = """exchange,symbol,timestamp,local_timestamp,id,side,price,amount
kucoin-futures,XBTUSDTM,1708950436957000,1708950436960123,65dc,sell,51000.1,3
kucoin-futures,XBTUSDTM,1708950436958000,1708950436961123,65dd,unknown,51000.2,1
"""
BOOK = """exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount
kucoin-futures,XBTUSDTM,1708950436957000,1708950436960123,true,bid,51000.1,3
kucoin-futures,XBTUSDTM,1708950436958000,1708950436961123,false,ask,51000.2,0
"""
DERIVATIVE = """exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,\
predicted_funding_rate,open_interest,last_price,index_price,mark_price
kucoin-futures,XBTUSDTM,1708950436957000,1708950436960123,,0.0001,,5,51000.1,51001.5,51001.25
kucoin-futures,XBTUSDTM,1708950436958000,1708950436961123,,,,5,,51001.75,
"""


def read(tmp_path, text, name="x.csv", **options):
    path = tmp_path / name
    path.write_text(text)
    return kr.load_csv(path, **options)


def test_trades_of_tardis_become_trades(tmp_path):
    session = read(tmp_path, TRADES)

    assert session.channels == ["trade"]
    assert session.symbols == ["XBTUSDTM"]
    assert session.frame("trade").schema == schema_of(kr.CHANNELS["trade"])
    first, second = (
        (1708950436957000000, 1708950436960123000),
        (1708950436958000000, 1708950436961123000),
    )
    assert plain(session.frame("trade")) == [
        (*first, "XBTUSDTM", None, "65dc", "sell", (51000.1).hex(), (3.0).hex()),
        (*second, "XBTUSDTM", None, "65dd", None, (51000.2).hex(), (1.0).hex()),
    ]  # fmt: skip


def test_books_of_tardis_become_level2(tmp_path):
    rows = read(tmp_path, BOOK).frame("level2")

    assert rows.select("is_snapshot", "side", "price", "size").rows() == [
        (True, "buy", 51000.1, 3.0),
        (False, "sell", 51000.2, 0.0),
    ]


def test_derivative_tickers_of_tardis_feed_three_channels(tmp_path):
    session = read(tmp_path, DERIVATIVE)

    assert session.channels == ["mark_price", "funding_rate", "snapshot"]
    prices = session.frame("mark_price").select("mark_price", "index_price").rows()
    assert prices == [(51001.25, 51001.5), (None, 51001.75)]
    assert session.frame("funding_rate")["funding_rate"].to_list() == [0.0001]
    assert session.frame("snapshot")["last_price"].to_list() == [51000.1]


@pytest.mark.parametrize(
    "time",
    ["2024-02-26 12:27:16.957000+00:00", "2024-02-26T12:27:16.957Z", "1708950436957",
     "1708950436957000000"],
)  # fmt: skip
def test_files_of_the_guide_become_tickers_named_by_the_file(tmp_path, time):
    header = "timestamp,price,size,side,bestBidPrice,bestBidSize,bestAskPrice,bestAskSize"
    session = read(
        tmp_path, f"{header}\n{time},80000.5,3,buy,80000.4,5,80000.6,7\n", "XBTUSDTM_ticker_x.csv"
    )

    assert session.symbols == ["XBTUSDTM"]
    row = session.frame("ticker").row(0, named=True)
    assert row["timestamp"].timestamp() == 1708950436.957
    assert row["timestamp"] == row["local_timestamp"]
    assert (row["price"], row["best_ask_size"], row["side"]) == (80000.5, 7.0, "buy")


def test_what_data_processor_saves_is_read(tmp_path):
    processor = kr.DataProcessor("XBTUSDTM", folder=tmp_path)
    data = {"symbol": "XBTUSDTM", "sequence": 1, "side": "sell", "size": 3, "price": "80000.5",
            "bestBidSize": 5, "bestBidPrice": "80000.4", "bestAskPrice": "80000.6",
            "tradeId": "1", "bestAskSize": 7, "ts": 1708950436957000001}  # fmt: skip
    processor.process_ticker({"topic": "/contractMarket/ticker:XBTUSDTM", "type": "message",
                              "subject": "ticker", "data": data})  # fmt: skip
    session = kr.load_csv(processor.save_to_csv())

    frame = session.frame("ticker")
    assert frame["price"].to_list() == [80000.5]
    assert frame["timestamp"].to_physical().to_list() == [1708950436957000001]


def test_a_single_file_of_a_session_is_read(tmp_path):
    path = recorded(tmp_path, [ticker(0), ticker(1, "ETHUSDTM")])

    assert kr.load_csv(csv(path)).frame("ticker").height == 1


def test_compressed_files_are_read(tmp_path):
    path = tmp_path / "trades.csv.gz"
    path.write_bytes(gzip.compress(TRADES.encode()))

    assert kr.load_csv(path, "tardis_trades").frame().height == 2


def test_what_is_no_such_file_is_refused_with_the_reason(tmp_path):
    with pytest.raises(SessionMissing):
        kr.load_csv(tmp_path / "none.csv")
    with pytest.raises(ColumnMissing, match="no kind known: a, b"):
        read(tmp_path, "a,b\n1,2\n")
    with pytest.raises(ColumnMissing, match="lacks is_snapshot"):
        read(tmp_path, TRADES, kind="tardis_book")
    with pytest.raises(InvalidInput, match="no kind 'other'"):
        read(tmp_path, TRADES, kind="other")
    with pytest.raises(SessionBroken, match="cannot be read"):
        read(tmp_path, TRADES.replace("51000.1", "?"))


def test_columns_that_are_not_needed_may_be_missing(tmp_path):
    session = read(tmp_path, "timestamp,price\n1708950436957,1.5\n", symbol="BTC-USDT")

    row = session.frame("ticker")
    assert row.select(pl.col("symbol").cast(pl.String), "price", "size").rows() == [
        ("BTC-USDT", 1.5, None)
    ]
