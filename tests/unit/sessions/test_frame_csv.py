"""CSV files: names that every system takes, rows that are all there or not at all."""

import os
from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.model.records import Depth50, Status, Trade, schema_of
from kucoin_research.sessions import frame_csv

DAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


def trades(*sequences):
    rows = [
        Trade(1_700_000_000_123_456_789, 10 + n, "XBTUSDTM", n, None, "buy", 0.1 + 0.2, 3.0)
        for n in sequences
    ]
    return pl.DataFrame(rows, schema=schema_of(Trade), orient="row")


def test_name_holds_symbol_channel_and_day():
    assert frame_csv.csv_name("XBTUSDTM", "ticker", DAY) == "XBTUSDTM_ticker_2026-11-24.csv"
    assert frame_csv.csv_name("BTC-USDT", "candle:5min", DAY) == (
        "BTC-USDT_candle-5min_2026-11-24.csv"
    )


def test_day_of_a_name_is_that_of_utc():
    evening = datetime(2026, 11, 24, 22, tzinfo=timezone(timedelta(hours=-5)))

    assert "2026-11-25" in frame_csv.csv_name("XBTUSDTM", "ticker", evening)
    assert "2026-11-24" in frame_csv.csv_name("XBTUSDTM", "ticker", evening.replace(tzinfo=None))


def test_symbols_of_any_script_can_be_names():
    assert frame_csv.csv_name("币安人生USDTM", "trade", DAY).startswith("币安人生USDTM_trade")


@pytest.mark.parametrize(
    "symbol", ["", "../x", "a/b", "a\\b", "a:b", "a*", "a?", 'a"', "a|b", "<a>", "a\0", "a\n",
               ".a", "..", " a", 7, None],
)  # fmt: skip
def test_what_cannot_be_part_of_a_name_is_refused(symbol):
    with pytest.raises(kr.InvalidInput, match="cannot be part of a file name"):
        frame_csv.csv_name(symbol, "ticker")


def test_a_channel_cannot_lead_out_of_the_folder_either():
    with pytest.raises(kr.InvalidInput, match="file name"):
        frame_csv.csv_name("XBTUSDTM", "../ticker")


def test_rows_are_written_in_the_form_of_sessions(tmp_path):
    path = frame_csv.append_csv(trades(1), tmp_path / "t.csv")

    assert path.read_bytes() == (
        b"timestamp,local_timestamp,symbol,sequence,trade_id,side,price,size\n"
        b"1700000000123456789,11,XBTUSDTM,1,,buy,0.30000000000000004,3.0\n"
    )


def test_lists_are_numbers_with_a_space_between_them(tmp_path):
    row = Depth50(1, 2, "XBTUSDTM", 3, (1.5, 1.0), (), (2.0,), (7.0,))
    frame = pl.DataFrame([row], schema=schema_of(Depth50), orient="row")

    path = frame_csv.append_csv(frame, tmp_path / "d.csv")

    assert path.read_text().splitlines()[1] == '1,2,XBTUSDTM,3,1.5 1.0,"",2.0,7.0'


def test_text_with_commas_quotes_and_newlines_reads_back(tmp_path):
    row = Status(1, 2, None, "gap", None, 'a "b",\nc', None, None)
    frame = pl.DataFrame([row], schema=schema_of(Status), orient="row")

    path = frame_csv.append_csv(frame, tmp_path / "status.csv")

    assert pl.read_csv(path)["detail"].to_list() == ['a "b",\nc']


def test_appending_keeps_what_is_there_and_repeats_no_header(tmp_path):
    first = frame_csv.append_csv(trades(1, 2), tmp_path / "t.csv")
    before = first.read_bytes()
    second = frame_csv.append_csv(trades(3), tmp_path / "t.csv")

    assert second == first
    assert first.read_bytes().startswith(before)
    assert pl.read_csv(first)["sequence"].to_list() == [1, 2, 3]


def test_an_empty_frame_writes_the_header_alone(tmp_path):
    path = frame_csv.append_csv(trades(), tmp_path / "t.csv")
    frame_csv.append_csv(trades(), path)

    assert path.read_text().count("\n") == 1
    assert pl.read_csv(path).height == 0


def test_an_empty_file_gets_its_header(tmp_path):
    (tmp_path / "t.csv").touch()

    assert pl.read_csv(frame_csv.append_csv(trades(1), tmp_path / "t.csv")).height == 1


@pytest.mark.parametrize("content", ["other,columns\n1,2\n", "timestamp,loc"])
def test_rows_go_beside_a_file_with_other_columns(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)

    path = frame_csv.append_csv(trades(1), tmp_path / "t.csv")

    assert path.name == "t-2.csv"
    assert (tmp_path / "t.csv").read_text() == content


def test_rows_go_beside_a_file_with_a_torn_last_line(tmp_path):
    path = frame_csv.append_csv(trades(1), tmp_path / "t.csv")
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)

    assert frame_csv.append_csv(trades(2), path).name == "t-2.csv"
    assert frame_csv.append_csv(trades(3), path).name == "t-2.csv"
    assert path.read_bytes() == torn


@pytest.mark.skipif(os.name == "nt", reason="limits a file's size the POSIX way")
def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    import resource
    import signal

    path = frame_csv.append_csv(trades(1), tmp_path / "t.csv")
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            frame_csv.append_csv(trades(*range(2, 50)), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert path.read_bytes() == before
    assert frame_csv.append_csv(trades(2), path) == path
