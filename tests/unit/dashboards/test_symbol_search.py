"""The symbol that a few letters mean."""

import pytest

from kucoin_research.dashboards.symbol_search import Found, find_symbol
from kucoin_research.model.channels import Market

FUTURES = ["XBTUSDTM", "ETHUSDTM", "SOLUSDTM", "SOLUSDCM", "SHIBUSDTM", "XBTUSDCM", "XBTUSDM"]
SPOT = ["BTC-USDT", "ETH-USDT", "ETH-BTC", "SOL-USDT", "SOL-USDC", "KCS-BTC", "WBTC-USDT"]


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("SOLUSDTM", "SOLUSDTM"),
        ("SOL", "SOLUSDTM"),
        ("sol", "SOLUSDTM"),
        ("btc", "XBTUSDTM"),
        ("XBT", "XBTUSDTM"),
        ("BTCUSDTM", "XBTUSDTM"),
        ("BTC-USDT", "XBTUSDTM"),
        ("eth/usdt", "ETHUSDTM"),
        ("xbtusd", "XBTUSDM"),
        ("shi", "SHIBUSDTM"),
        ("SDCM xbt", None),
    ],
)
def test_a_text_means_a_contract_of_futures(text, symbol):
    assert find_symbol(text, FUTURES, Market.FUTURES) == Found(symbol)


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("sol", "SOL-USDT"),
        ("xbt", "BTC-USDT"),
        ("BTC", "BTC-USDT"),
        ("ethbtc", "ETH-BTC"),
        ("SOL/USDC", "SOL-USDC"),
        ("kcs", "KCS-BTC"),
        ("wbt", "WBTC-USDT"),
        ("", None),
        ("--", None),
        ("NOSUCH", None),
    ],
)
def test_a_text_means_a_pair_of_spot(text, symbol):
    assert find_symbol(text, SPOT, Market.SPOT) == Found(symbol)


@pytest.mark.parametrize("text", ["btcdomusdtm", "BTCDOM", "btcd", "btc-dom"])
def test_a_contract_that_begins_with_btc_is_found(text):
    listed = [*FUTURES, "BTCDOMUSDTM"]

    assert find_symbol(text, listed, Market.FUTURES) == Found("BTCDOMUSDTM")
    assert find_symbol("btc", listed, Market.FUTURES) == Found("XBTUSDTM")


def test_several_that_fit_are_offered_the_usual_quote_first():
    assert find_symbol("s", FUTURES, Market.FUTURES).near == ("SOLUSDTM", "SHIBUSDTM", "SOLUSDCM")
    assert find_symbol("usdc", SPOT, Market.SPOT) == Found("SOL-USDC")
    assert find_symbol("eth-", ["ETH-BTC", "ETH-KCS"], Market.SPOT).near == ("ETH-BTC", "ETH-KCS")


def test_the_sentence_names_some_and_counts_the_others():
    few, many = Found(None, ("A", "B")), Found(None, tuple("ABCDEFGHIJ"))

    assert few.sentence("x") == "2 symbols fit 'x': A, B; type one of them"
    assert "A, B, C, D, E, F, G, H and 2 more;" in many.sentence("x")


def test_no_list_has_no_symbol():
    assert find_symbol("SOL", [], Market.FUTURES) == Found(None)
