import gzip
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.errors import (
    BookNotReady,
    ColumnMissing,
    InvalidInput,
    SessionBroken,
    SessionMissing,
    SessionUnfinished,
)
from kucoin_research.model.records import schema_of
from kucoin_research.sessions.foreign_times import moments_of
from tests.unit.rows import plain, ticker
from tests.unit.sessions.test_session import csv, recorded

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


def left_out(tmp_path, text, told, name="x.csv", **options):
    """Read a file with lines that are left out, and check that every report says so."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.warns(SessionUnfinished, match=told):
        session = kr.load_csv(path, **options)
    assert any(told in note for note in session.notes)
    report = session.report()
    assert {entry.verdict for entry in report.channels} == {"INCOMPLETE"}
    assert all(told in entry.reason for entry in report.channels)
    return session


@pytest.mark.parametrize("channel", ["trade", "level2", "ticker"])
def test_rows_without_a_time_are_left_out_and_the_others_are_played(tmp_path, channel):
    text = {"trade": TRADES, "level2": BOOK, "ticker": "timestamp,price\n1708950436957,1\n,2\n"}
    first, *rows = text[channel].splitlines(keepends=True)
    if channel != "ticker":
        rows[0] = rows[0].replace("1708950436960123", "")

    session = left_out(tmp_path, first + "".join(rows), "1 rows have no time")

    assert session.frame(channel).height == 1
    with kr.replay(session, speed=None) as replay:
        assert replay.wait_until_done(60)
        assert replay.frame(channel).height == 1
        assert replay.report() == session.report()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_last_line_is_left_out(tmp_path, cut):
    session = left_out(tmp_path, TRADES[:-cut], "have no line break behind them")

    assert session.frame("trade")["trade_id"].to_list() == ["65dc"]


def test_a_line_of_another_number_of_fields_is_left_out(tmp_path):
    lines = TRADES.splitlines(keepends=True)
    lines[2:2] = ["kucoin-futures,XBTUSDTM,17089504\n", "\n"]

    session = left_out(tmp_path, "".join(lines), "2 lines, the first of them line 3")

    assert session.frame("trade")["trade_id"].to_list() == ["65dc", "65dd"]


def many(count):
    head, row, _ = TRADES.splitlines(keepends=True)
    return head + "".join(row.replace("65dc", f"{n:x}") for n in range(count))


def zstd(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_torn_compressed_file_is_read_as_far_as_it_goes(tmp_path, pack, share):
    text = many(60_000).encode()
    packed = pack(text)
    name = "x.csv.gz" if pack is gzip.compress else "x.csv.zst"

    session = left_out(tmp_path, packed[: int(len(packed) * share)], "its end is torn", name)

    rows = session.frame("trade")
    assert 0.2 * share < rows.height / 60_000 < 1
    assert rows["trade_id"].to_list() == [f"{n:x}" for n in range(rows.height)]


def test_a_compressed_file_of_many_members_is_read_as_one(tmp_path):
    lines = many(100).encode().splitlines(keepends=True)
    (tmp_path / "x.csv.gz").write_bytes(b"".join(map(gzip.compress, lines)))

    assert kr.load_csv(tmp_path / "x.csv.gz").frame("trade").height == 100


def book_rows(*rows):
    first = 1708950436960123
    lines = [
        f"kucoin,XBTUSDTM,{first + at},{first + at},{str(snapshot).lower()},{side},{price},{amount}"
        for at, snapshot, side, price, amount in rows
    ]
    return "\n".join([BOOK.partition("\n")[0], *lines, ""])


def test_a_book_of_tardis_is_in_step_from_its_first_change_on(tmp_path):
    session = read(
        tmp_path,
        book_rows(
            (0, True, "bid", 10, 1), (0, True, "ask", 11, 2), (0, True, "bid", 9, 5),
            (1, False, "bid", 10, 0),
            (2, True, "bid", 7, 1), (2, True, "ask", 8, 2),
            (3, True, "bid", 5, 1), (3, True, "ask", 6, 2),
            (4, False, "ask", 6, 3),
        ),
    )  # fmt: skip
    with kr.replay(session, speed=None, paused=True) as replay:
        replay.step(3)
        with pytest.raises(BookNotReady):
            replay.book()
        replay.step()
        book = replay.book()
        assert (book.bids, book.asks) == ([(9.0, 5.0)], [(11.0, 2.0)])
        replay.step(2)
        with pytest.raises(BookNotReady):
            replay.book()
        replay.step(3)
        assert (replay.book().bids, replay.book().asks) == ([(5.0, 1.0)], [(6.0, 3.0)])
        entry = replay.report().channel("level2")
    # A snapshot does not prove that no change behind it is missing.
    assert entry.verdict == session.report().channel("level2").verdict == "NOT PROVABLE"
    assert "no sequence" in entry.reason


def guide(*times):
    return "".join(["timestamp,price\n", *(f"{time},1.5\n" for time in times)])


def test_a_date_that_can_be_read_in_two_ways_is_refused_until_it_is_told(tmp_path):
    text = guide("04/09/2023 10:00:00", "05/09/2023")
    with pytest.raises(InvalidInput, match=r"'04/09/2023 10:00:00'.*two ways.*dates='day first'"):
        read(tmp_path, text)

    for dates, months in (("day first", [9, 9]), ("month first", [4, 5])):
        times = read(tmp_path, text, dates=dates).frame("ticker")["timestamp"]
        assert times.dt.month().to_list() == months
    with pytest.raises(InvalidInput, match="dates must be"):
        read(tmp_path, text, dates="day")


def test_a_number_above_twelve_tells_and_contradicts(tmp_path):
    text = guide("04/09/2023", "25/09/2023")

    assert read(tmp_path, text).frame("ticker")["timestamp"].dt.day().to_list() == [4, 25]
    with pytest.raises(InvalidInput, match=r"25/09/2023.*cannot be read month first"):
        read(tmp_path, text, dates="month first")
    with pytest.raises(InvalidInput, match="cannot be read in one way"):
        read(tmp_path, guide("25/09/2023", "09/25/2023"))


@pytest.mark.parametrize(
    "time", ["yesterday", "2023-13-01", "31/02/2023", "2023-02-30 10:00", "10:00", "12/2023", "1.5"]
)
def test_a_time_that_is_none_is_an_error_that_shows_it(tmp_path, time):
    with pytest.raises(SessionBroken, match=r"x\.csv has"):
        read(tmp_path, guide("2023-09-04", time) if "/" not in time else guide(time))


FORMS = {
    "%Y-%m-%dT%H:%M:%S.%fZ": None,
    "%Y-%m-%d %H:%M:%S.%f": None,
    "%Y/%m/%d %H:%M:%S.%f+00:00": None,
    "%d/%m/%Y %H:%M:%S.%f": "day first",
    "%m/%d/%Y %H:%M:%S.%f": "month first",
    "%d.%m.%Y %H:%M:%S.%f": "day first",
}
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1))


@settings(deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=4), st.sampled_from(sorted(FORMS)))
def test_times_are_read_as_they_were_written(moments, form):
    written = pl.Series([moment.strftime(form) for moment in moments])

    found = moments_of(written, FORMS[form], "x.csv")

    epoch = datetime(1970, 1, 1)
    micros = [(moment - epoch) // timedelta(microseconds=1) for moment in moments]
    assert found.to_physical().to_list() == [each * 1_000 for each in micros]


@settings(deadline=None)
@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_taken_off(moment, minutes):
    sign, ahead = "-" if minutes < 0 else "+", abs(minutes)
    written = f"{moment:%Y-%m-%dT%H:%M:%S}{sign}{ahead // 60:02d}:{ahead % 60:02d}"

    (found,) = moments_of(pl.Series([written]), None, "x.csv").to_physical()

    utc = moment.replace(microsecond=0, tzinfo=UTC) - timedelta(minutes=minutes)
    assert found == (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * 10**9


@pytest.mark.parametrize(
    "time",
    [
        *("9999999999999999", "99999999999", "-5", "99999999999999999999", "3000-01-01 00:00:00"),
        *("1500-01-01", "9999-12-31", "0000-01-01", "2262-04-12", "31/12/2600 10:00:00"),
    ],
)
def test_a_time_that_64_bits_of_ns_do_not_hold_is_none(tmp_path, time):
    with pytest.raises(kr.SessionBroken, match=f"has the time '{time}', which is none") as caught:
        read(tmp_path, f"timestamp,price\n{time},80000.5\n", symbol="XBTUSDTM")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("time", ["99999999999999999", "-5"])
@pytest.mark.parametrize("text", [TRADES, BOOK, DERIVATIVE])
@pytest.mark.parametrize("column", [1708950436958000, 1708950436961123])
def test_a_time_of_tardis_that_does_not_fit_is_none(tmp_path, text, time, column):
    with pytest.raises(kr.SessionBroken, match=f"timestamp={time} is no time"):
        read(tmp_path, text.replace(str(column), time))


def test_the_first_and_last_years_that_fit_are_read(tmp_path):
    text = "timestamp,price\n1678-01-01,1\n2261-12-31 23:59:59.999999999,2\n"

    times = read(tmp_path, text, symbol="XBTUSDTM").frame("ticker")["timestamp"]

    assert times.dt.year().to_list() == [1678, 2261]
