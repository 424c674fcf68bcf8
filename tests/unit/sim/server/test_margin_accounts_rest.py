"""Margin accounts over REST: coins and debts that Python code has made."""

from decimal import Decimal

import pytest

from tests.unit.sim.calls import still_exchange


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


def asset(coin, total, owed):
    return {
        "currency": coin, "total": total, "available": total, "hold": "0", "liability": owed,
        "liabilityPrincipal": owed, "liabilityInterest": "0", "maxBorrowSize": "0",
        "borrowEnabled": False, "transferInEnabled": True,
    }  # fmt: skip


def old_asset(coin, total, owed):
    return {
        "currency": coin, "totalBalance": total, "holdBalance": "0", "availableBalance": total,
        "liability": owed, "interest": "0", "borrowableAmount": "0",
    }  # fmt: skip


def test_cross_margin_has_its_debts_in_every_form(desk):
    exchange, caller = desk
    exchange.demo_account.borrow("USDT", 250)

    found = caller.get("/api/v3/margin/accounts")

    assert found == {
        "totalAssetOfQuoteCurrency": "1250", "totalLiabilityOfQuoteCurrency": "250",
        "debtRatio": "0.2", "status": "EFFECTIVE", "accounts": [asset("USDT", "1250", "250")],
    }  # fmt: skip
    assert caller.get("/api/v1/margin/account") == {
        "debtRatio": "0.2",
        "accounts": [
            {
                "currency": "USDT", "totalBalance": "1250", "availableBalance": "1250",
                "holdBalance": "0", "liability": "250", "maxBorrowSize": "0",
            }
        ],
    }  # fmt: skip


def test_totals_are_worth_what_the_markets_say(desk):
    exchange, caller = desk
    exchange.demo_account.borrow("BTC", "0.1")

    in_dollars = caller.get("/api/v3/margin/accounts", quoteCurrency="USDT")
    in_coins = caller.get("/api/v3/margin/accounts", quoteCurrency="BTC")

    price = Decimal(in_dollars["totalLiabilityOfQuoteCurrency"]) * 10
    last = caller.get("/api/v1/market/orderbook/level1", symbol="BTC-USDT")["price"]
    assert abs(price / Decimal(last) - 1) < Decimal("0.01")
    assert in_coins["totalLiabilityOfQuoteCurrency"] == "0.1"
    assert caller.refusal("GET", "/api/v3/margin/accounts", quoteCurrency="X")[0] == "400100"


def test_isolated_margin_has_a_row_for_each_pair_with_a_loan(desk):
    exchange, caller = desk
    assert caller.get("/api/v3/isolated/accounts")["assets"] == []
    exchange.demo_account.borrow("USDT", 100, symbol="BTC-USDT")

    found = caller.get("/api/v3/isolated/accounts")
    old = caller.get("/api/v1/isolated/accounts")

    row = {
        "symbol": "BTC-USDT", "status": "EFFECTIVE", "debtRatio": "1",
        "baseAsset": asset("BTC", "0", "0"), "quoteAsset": asset("USDT", "100", "100"),
    }  # fmt: skip
    assert found == {
        "totalAssetOfQuoteCurrency": "100", "totalLiabilityOfQuoteCurrency": "100",
        "timestamp": exchange.now_ns // 1_000_000, "assets": [row],
    }  # fmt: skip
    assert caller.get("/api/v3/isolated/accounts", symbol="BTC-USDT")["assets"] == [row]
    old_row = {
        "symbol": "BTC-USDT", "status": "DEBT", "debtRatio": "1",
        "baseAsset": old_asset("BTC", "0", "0"), "quoteAsset": old_asset("USDT", "100", "100"),
    }  # fmt: skip
    assert old == {
        "totalConversionBalance": "100", "liabilityConversionBalance": "100", "assets": [old_row],
    }  # fmt: skip
    assert caller.get("/api/v1/isolated/account/BTC-USDT") == old_row


def test_a_pair_without_a_loan_is_empty_and_an_unknown_pair_is_refused(desk):
    _, caller = desk

    [row] = caller.get("/api/v3/isolated/accounts", symbol="ETH-BTC")["assets"]

    assert row["baseAsset"] == asset("ETH", "0", "0")
    assert row["quoteAsset"] == asset("BTC", "0", "0")
    assert caller.get("/api/v1/isolated/account/ETH-BTC")["status"] == "CLEAR"
    assert caller.refusal("GET", "/api/v1/isolated/account/NO-PE")[0] == "900001"
