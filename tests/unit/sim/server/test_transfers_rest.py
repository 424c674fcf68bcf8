"""Transfers between the wallets of one account."""

import pytest

from tests.unit.sim.calls import Caller, still_exchange
from tests.unit.sim.client import drain
from tests.unit.sim.signed import private_client, subscribe_private

UNIVERSAL, INNER = "/api/v3/accounts/universal-transfer", "/api/v2/accounts/inner-transfer"
MOVE = {
    "clientOid": "t1", "type": "INTERNAL", "currency": "USDT", "amount": "10",
    "fromAccountType": "TRADE", "toAccountType": "CONTRACT",
}  # fmt: skip


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def transferable(caller, kind, currency="USDT"):
    return caller.get("/api/v1/accounts/transferable", type=kind, currency=currency)["transferable"]


def test_coins_move_from_the_trade_account_to_the_contracts(desk):
    exchange, caller = desk

    done = caller.post(UNIVERSAL, **MOVE)

    assert done.keys() == {"orderId"}
    assert exchange.demo_account.balances()["USDT"].total == 9_990
    assert exchange.demo_account.futures_wallet().balance == 10_010
    overview = Caller(exchange, "futures").get("/api/v1/account-overview", currency="USDT")
    assert overview["accountEquity"] == 10_010
    assert transferable(caller, "TRADE") == "9990"


def test_a_repeated_own_id_moves_nothing_again(desk):
    exchange, caller = desk
    first = caller.post(UNIVERSAL, **MOVE)

    assert caller.post(UNIVERSAL, **MOVE) == first
    assert exchange.demo_account.balances()["USDT"].total == 9_990


def test_bitcoin_has_another_name_in_the_futures_wallet(desk):
    exchange, caller = desk

    names = {"from": "trade", "to": "contract"}
    caller.post(INNER, clientOid="a", currency="BTC", amount="0.1", **names)
    assert float(exchange.demo_account.futures_wallet("XBT").balance) == 0.6
    names = {"from": "contract", "to": "main"}
    caller.post(INNER, clientOid="b", currency="XBT", amount="0.2", **names)

    assert transferable(caller, "MAIN", "BTC") == "0.2"
    assert (
        transferable(caller, "CONTRACT", "BTC") == transferable(caller, "CONTRACT", "XBT") == "0.4"
    )


def test_both_wallets_report_a_transfer(desk):
    exchange, caller = desk
    with private_client(exchange, "spot") as spot, private_client(exchange) as futures:
        assert subscribe_private(spot, "/account/balance")["type"] == "ack"
        assert subscribe_private(futures, "/contractAccount/wallet")["type"] == "ack"
        caller.post(UNIVERSAL, **MOVE)
        drain(spot)
        drain(futures)

        [coins], [wallet] = spot.messages("/account/balance"), futures.messages()
    assert (coins["data"]["total"], coins["data"]["relationEvent"]) == ("9990", "trade.transfer")
    assert wallet["data"]["walletBalance"] == "10010"


def test_what_open_orders_hold_cannot_leave(desk):
    exchange, caller = desk
    exchange.demo_account.place("BTC-USDT", "sell", "0.1", price=90_000)

    row = caller.get("/api/v1/accounts/transferable", type="TRADE", currency="BTC")

    assert row == {
        "currency": "BTC", "balance": "0.5", "available": "0.4", "holds": "0.1",
        "transferable": "0.4",
    }  # fmt: skip
    more = MOVE | {"currency": "BTC", "amount": "0.41"}
    assert caller.refusal("POST", UNIVERSAL, **more) == ("230003", "Balance insufficient!")


@pytest.mark.parametrize(
    ("wrong", "code", "why"),
    [
        ({"type": "PARENT_TO_SUB"}, "400100", "there are no sub-accounts here"),
        ({"type": ""}, "400100", "there are no sub-accounts here"),
        ({"fromAccountType": "OPTION"}, "400100", "fromAccountType 'OPTION' is no account here"),
        ({"toAccountType": ""}, "400100", "toAccountType is missing"),
        ({"toAccountType": "TRADE_HF"}, "260210", "a transfer needs two wallets"),
        ({"currency": ""}, "400100", "currency is missing"),
        ({"currency": "KCS"}, "400100", "no contract settles in 'KCS'"),
        ({"amount": "-1"}, "260200", "amount -1 must be above zero"),
        ({"amount": "all"}, "400100", "amount 'all' is no number"),
        ({"amount": "20000"}, "230003", "Balance insufficient!"),
        ({"clientOid": ""}, "400100", "clientOid is missing"),
    ],
)
def test_bad_transfers_are_refused_and_move_nothing(caller, wrong, code, why):
    found = caller.refusal("POST", UNIVERSAL, **MOVE | wrong)

    assert found[0] == code
    assert found[1].startswith(why)
    assert transferable(caller, "TRADE") == transferable(caller, "CONTRACT") == "10000"
