"""Balances, fees, and the empty lists of deposits and withdrawals."""

import pytest

from tests.unit.sim.calls import still_exchange


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def kinds(rows):
    return [(row["type"], row["currency"]) for row in rows]


def test_accounts_are_listed_by_wallet_and_coin(caller):
    rows = caller.get("/api/v1/accounts")

    assert kinds(rows) == [
        ("trade", "USDT"), ("trade", "BTC"), ("trade", "ETH"), ("trade", "KCS"),
    ]  # fmt: skip
    assert rows[0] == {
        "id": rows[0]["id"], "currency": "USDT", "type": "trade", "balance": "10000",
        "available": "10000", "holds": "0",
    }  # fmt: skip
    assert kinds(caller.get("/api/v1/accounts", type="margin")) == [("margin", "USDT")]
    for kind in ("trade", "trade_hf"):
        found = caller.get("/api/v1/accounts", type=kind, currency="BTC")
        assert kinds(found) == [(kind, "BTC")]


def test_the_main_account_is_listed_once_it_has_coins(caller):
    caller.post(
        "/api/v2/accounts/inner-transfer",
        **{"clientOid": "t", "currency": "USDT", "amount": "10", "from": "trade", "to": "main"},
    )

    [row] = caller.get("/api/v1/accounts", type="main")

    assert (row["currency"], row["balance"]) == ("USDT", "10")


def test_one_account_by_its_id(desk):
    exchange, caller = desk
    exchange.demo_account.place("BTC-USDT", "sell", "0.1", price=90_000)
    [row] = caller.get("/api/v1/accounts", type="trade", currency="BTC")

    assert caller.get(f"/api/v1/accounts/{row['id']}") == {
        "currency": "BTC", "balance": "0.5", "available": "0.4", "holds": "0.1",
    }  # fmt: skip
    code, why = caller.refusal("GET", "/api/v1/accounts/1")
    assert (code, why[:17]) == ("400100", "account not exist")


def test_a_question_about_a_coin_does_not_open_an_account_for_it(caller):
    before = caller.get("/api/v1/accounts")

    caller.get("/api/v1/accounts/transferable", currency="SHIB", type="TRADE")
    caller.get("/api/v1/isolated/account/ETH-BTC")
    caller.refusal(
        "POST", "/api/v1/hf/orders", symbol="ETH-BTC", side="buy", price="0.02", size="100"
    )

    assert caller.get("/api/v1/accounts") == before


def test_fees_are_those_that_fills_are_charged(caller):
    fees = {"takerFeeRate": "0.001", "makerFeeRate": "0.001"}

    assert caller.get("/api/v1/base-fee", currencyType=0) == fees
    found = caller.get("/api/v1/trade-fees", symbols="BTC-USDT,ETH-BTC")
    assert found == [{"symbol": "BTC-USDT", **fees}, {"symbol": "ETH-BTC", **fees}]
    caller.post("/api/v1/hf/orders", symbol="ETH-BTC", side="sell", type="market", size="1")
    [fill, *_] = caller.get("/api/v1/hf/fills", symbol="ETH-BTC")["items"]
    assert fill["feeRate"] == fees["takerFeeRate"]


def test_fees_of_what_is_not_there(caller):
    def refused(path, **values):
        return caller.refusal("GET", path, **values)[0]

    assert refused("/api/v1/base-fee", currencyType=2) == "400100"
    assert refused("/api/v1/trade-fees") == "400100"
    assert refused("/api/v1/trade-fees", symbols="NO-PE") == "900001"
    assert refused("/api/v1/trade-fees", symbols=",".join(["BTC-USDT"] * 11)) == "400100"


@pytest.mark.parametrize("path", ["deposits", "hist-deposits", "withdrawals", "hist-withdrawals"])
def test_nothing_is_deposited_or_withdrawn_on_the_wire(caller, path):
    assert caller.get(f"/api/v1/{path}") == {
        "currentPage": 1, "pageSize": 50, "totalNum": 0, "totalPage": 0, "items": [],
    }  # fmt: skip
