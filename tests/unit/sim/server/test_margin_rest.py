"""What can be traded on margin."""

import pytest

from tests.unit.sim.client import data_of, get, open_exchange


@pytest.fixture(scope="module")
def exchange():
    with open_exchange(states={"ETH-BTC": "Closed"}) as running:
        running.pause()
        yield running


def test_cross_symbols_are_the_pairs_with_their_limits(exchange):
    data = data_of(exchange, "/api/v3/margin/symbols", "spot")

    pairs = {row["symbol"]: row for row in data_of(exchange, "/api/v2/symbols", "spot")}
    assert data["timestamp"] == exchange.now_ns // 1_000_000
    assert [row["symbol"] for row in data["items"]] == list(pairs)
    for row in data["items"]:
        assert row == {name: pairs[row["symbol"]][name] for name in row}
    assert [row["enableTrading"] for row in data["items"]] == [True, False]


def test_one_cross_symbol_can_be_asked_for(exchange):
    data = data_of(exchange, "/api/v3/margin/symbols", "spot", symbol="ETH-BTC")

    assert [row["symbol"] for row in data["items"]] == ["ETH-BTC"]


def test_isolated_symbols_are_the_pairs(exchange):
    rows = data_of(exchange, "/api/v1/isolated/symbols", "spot")

    assert [(row["symbol"], row["tradeEnable"]) for row in rows] == [
        ("BTC-USDT", True),
        ("ETH-BTC", False),
    ]
    assert rows[0]["flDebtRatio"] == "0.97"
    assert (rows[0]["baseCurrency"], rows[0]["quoteCurrency"]) == ("BTC", "USDT")


def test_the_configuration_names_the_coins_of_the_pairs(exchange):
    data = data_of(exchange, "/api/v1/margin/config", "spot")

    assert data["currencyList"] == ["BTC", "USDT", "ETH"]
    assert data["liqDebtRatio"] == "0.97"


def test_mark_prices_are_those_of_the_list(exchange):
    listed = data_of(exchange, "/api/v3/mark-price/all-symbols", "spot")

    assert [row["symbol"] for row in listed] == ["BTC-USDT", "ETH-BTC"]
    for row in listed:
        assert row == data_of(exchange, f"/api/v1/mark-price/{row['symbol']}/current", "spot")
        assert row["value"] > 0


def test_an_unknown_pair_has_no_mark_price(exchange):
    reply = get(exchange, "/api/v1/mark-price/NO-PE/current", "spot").json()

    assert (reply["code"], reply["msg"]) == ("400100", "Unsupported trading pair.")
