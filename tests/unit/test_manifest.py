import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput
from kucoin_research.instruments import Instrument
from kucoin_research.manifest import (
    FolderLock,
    day_of,
    file_name,
    folder_name,
    from_iso,
    instruments_from,
    instruments_to,
    is_being_recorded,
    iso,
    read_manifest,
    safe_name,
    split_name,
    write_manifest,
)
from kucoin_research.records import CHANNELS

NS = 1_708_950_436_957_000_001


def test_names_are_those_of_the_contract():
    assert file_name("XBTUSDTM", "ticker", "2026-11-25") == "XBTUSDTM_ticker_2026-11-25.csv"
    assert (
        file_name("BTC-USDT", "trade", day_of(NS), ".csv.zst")
        == "BTC-USDT_trade_2024-02-26.csv.zst"
    )
    assert file_name(None, "status", "2026-11-25") == "status.csv"
    assert file_name(None, "balance", "2026-11-25") == "account_balance_2026-11-25.csv"
    assert folder_name(NS, ["XBTUSDTM", "BTC-USDT"]) == "2024-02-26T12-27-16Z_XBTUSDTM_BTC-USDT"
    assert folder_name(NS, list("ABCDE")) == "2024-02-26T12-27-16Z_A_B_3-more"


@pytest.mark.parametrize(
    "symbol",
    ["../../etc/passwd", "..", ".", "/", "\\", "C:", "a/b", "CON", "nul", "Com1.txt", "", "*",
     "a_b", "x" * 500, "币" * 200, "\x00", "tail.", " ", "\ud800", "LPT¹"],
)  # fmt: skip
def test_no_symbol_leads_out_of_the_folder_or_means_a_device(symbol):
    name = file_name(symbol, "ticker", "2026-11-25")

    assert Path(name).name == name
    assert not set(name) & set('<>:"/\\|?*')
    assert name.isprintable()
    assert len(name.encode()) < 200
    assert safe_name(symbol).split(".")[0].upper() not in {"CON", "NUL", "COM1", "LPT¹"}
    assert split_name(name)[1:] == ("ticker", "2026-11-25")


@given(st.lists(st.text(max_size=8), min_size=2, max_size=2, unique=True))
def test_two_symbols_have_two_names(symbols):
    first, second = map(safe_name, symbols)

    assert first != second


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_name_tells_its_channel(channel):
    name = file_name("XBTUSDTM", channel, "2026-11-25", ".csv.gz")

    assert split_name(name)[1] == channel
    assert split_name(name + ".orig") is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_come_back_from_text(ns):
    assert from_iso(iso(ns)) == ns


def test_a_text_that_is_no_time_is_refused():
    with pytest.raises(InvalidInput):
        from_iso("yesterday")


def test_the_manifest_is_replaced_as_a_whole(tmp_path):
    write_manifest(tmp_path, {"files": {}, "state": "recording"})
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, {"files": {}, "state": float("nan")})

    assert read_manifest(tmp_path)["state"] == "recording"
    assert [path.name for path in tmp_path.iterdir()] == ["session.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 5}', "\xff"])
def test_a_manifest_that_is_none_reads_as_none(content, tmp_path):
    (tmp_path / "session.json").write_bytes(content.encode("latin-1"))

    assert read_manifest(tmp_path) is None


def test_instruments_come_back_and_fields_of_newer_versions_are_left():
    instrument = Instrument(
        symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT",
        tick_size=0.1, lot_size=1.0, maker_fee=0.0002,
    )  # fmt: skip
    listed = json.loads(json.dumps(instruments_to([instrument])))
    listed[0]["novel"] = 1

    assert instruments_from({"instruments": listed}) == {"XBTUSDTM": instrument}


def test_a_lock_is_seen_and_refused_to_others_until_it_is_released(tmp_path):
    lock = FolderLock(tmp_path)

    assert is_being_recorded(tmp_path)
    with pytest.raises(BlockingIOError, match="being recorded"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert not is_being_recorded(tmp_path)
