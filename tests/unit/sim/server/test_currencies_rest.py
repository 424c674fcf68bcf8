"""Coins in the spellings of earlier years."""

import pytest

from tests.unit.sim.client import data_of, get, open_exchange

OF_CHAIN = ("withdrawalMinSize", "withdrawalMinFee", "isWithdrawEnabled", "isDepositEnabled")


@pytest.fixture(scope="module")
def exchange():
    with open_exchange() as running:
        yield running


def test_version_1_lists_the_coins_flat(exchange):
    rows = data_of(exchange, "/api/v1/currencies", "spot")

    newest = data_of(exchange, "/api/v3/currencies", "spot")
    assert [row["currency"] for row in rows] == [row["currency"] for row in newest]
    for row, full in zip(rows, newest, strict=True):
        first = {name: full["chains"][0][name] for name in OF_CHAIN}
        assert row == {name: full[name] for name in full if name != "chains"} | first


def test_version_1_has_each_coin(exchange):
    [btc, *_] = data_of(exchange, "/api/v1/currencies", "spot")

    assert data_of(exchange, "/api/v1/currencies/BTC", "spot") == btc


def test_version_2_has_the_chains(exchange):
    newest = data_of(exchange, "/api/v3/currencies/ETH", "spot")

    assert data_of(exchange, "/api/v2/currencies/ETH", "spot") == newest


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_unknown_coin_is_refused(exchange, version):
    reply = get(exchange, f"/api/v{version}/currencies/NOPE", "spot").json()

    assert (reply["code"], reply["msg"]) == ("400100", "The currency does not exist.")
