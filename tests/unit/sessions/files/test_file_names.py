from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.model.records import CHANNELS
from kucoin_research.sessions.files.file_names import (
    day_of,
    file_name,
    folder_name,
    safe_name,
    split_name,
)

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
