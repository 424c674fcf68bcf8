"""The ledgers of the coin accounts."""

import json
from decimal import Decimal

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

PAGE, FAST = "/api/v1/accounts/ledgers", "/api/v1/hf/accounts/ledgers"
MARGIN = "/api/v3/hf/margin/account/ledgers"
SELL = {"symbol": "BTC-USDT", "side": "sell", "type": "market", "size": "0.001"}


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


def sell(caller):
    return caller.post("/api/v1/hf/orders", **SELL)["orderId"]


def move(caller, source, target, amount="10"):
    caller.post(
        "/api/v3/accounts/universal-transfer",
        clientOid=f"{source} {target}",
        type="INTERNAL",
        currency="USDT",
        amount=amount,
        fromAccountType=source,
        toAccountType=target,
    )


def test_a_fill_is_one_row_for_each_coin(desk):
    exchange, caller = desk
    order_id = sell(caller)
    [fill] = caller.get("/api/v1/hf/fills", symbol="BTC-USDT")["items"]

    got, gave = caller.get(FAST)

    value, fee = Decimal(fill["funds"]), Decimal(fill["fee"])
    assert (Decimal(got["amount"]), Decimal(got["fee"])) == (value - fee, fee)
    assert Decimal(got["balance"]) == 10_000 + value - fee
    assert json.loads(got["context"]) == {
        "symbol": "BTC-USDT", "orderId": order_id, "tradeId": str(fill["tradeId"]),
    }  # fmt: skip
    assert gave == {
        "id": gave["id"], "currency": "BTC", "amount": "0.001", "fee": "0", "tax": "0",
        "balance": "0.499", "accountType": "TRADE_HF", "bizType": "TRADE_EXCHANGE",
        "direction": "out", "createdAt": str(exchange.now_ns // 1_000_000),
        "context": got["context"],
    }  # fmt: skip
    assert int(got["id"]) > int(gave["id"])


def test_the_page_has_the_rows_of_all_wallets(desk):
    _, caller = desk
    sell(caller)
    move(caller, "TRADE", "MAIN")
    move(caller, "MARGIN", "MAIN", "5")

    page = caller.get(PAGE)

    rows = page["items"]
    assert [(row["accountType"], row["bizType"], row["direction"]) for row in rows] == [
        ("MAIN", "TRANSFER", "in"), ("MARGIN", "TRANSFER", "out"),
        ("MAIN", "TRANSFER", "in"), ("TRADE", "TRANSFER", "out"),
        ("TRADE", "TRADE_EXCHANGE", "in"), ("TRADE", "TRADE_EXCHANGE", "out"),
    ]  # fmt: skip
    assert rows[0].keys() == {
        "id", "currency", "amount", "fee", "balance", "accountType", "bizType", "direction",
        "createdAt", "context",
    }  # fmt: skip
    assert (rows[0]["amount"], rows[0]["balance"], rows[0]["context"]) == ("5", "15", "")
    assert page["totalNum"] == 6
    # The trade account is one, so both ledgers have its rows.
    assert [row["id"] for row in caller.get(FAST)] == [row["id"] for row in rows[3:]]


def test_the_margin_ledger_has_transfers_and_loans(desk):
    exchange, caller = desk
    move(caller, "TRADE", "MARGIN")
    exchange.demo_account.borrow("USDT", 7)

    lent, moved = caller.get(MARGIN)

    assert moved == {
        "id": moved["id"], "currency": "USDT", "amount": "10", "fee": "0", "balance": "1010",
        "accountType": "MARGIN_V2", "bizType": "TRANSFER", "direction": "in",
        "createdAt": exchange.now_ns // 1_000_000, "context": "{}", "tax": "0",
    }  # fmt: skip
    assert isinstance(moved["id"], int)
    assert (lent["bizType"], lent["amount"], lent["balance"]) == ("OTHER", "7", "1017")


@pytest.mark.parametrize("path", [PAGE, FAST])
def test_ledgers_are_filtered(desk, path):
    exchange, caller = desk
    sell(caller)
    let_pass(exchange, 2)
    move(caller, "TRADE", "CONTRACT")

    def found(**values):
        page = caller.get(path, **values)
        rows = page["items"] if path == PAGE else page
        return [(row["currency"], row["bizType"]) for row in rows]

    moved, got, gave = ("USDT", "TRANSFER"), ("USDT", "TRADE_EXCHANGE"), ("BTC", "TRADE_EXCHANGE")
    assert found() == found(currency="USDT,BTC") == [moved, got, gave]
    assert found(currency="BTC") == [gave]
    assert found(direction="in") == [got]
    assert found(bizType="TRANSFER") == [moved]
    assert found(startAt=exchange.now_ns // 1_000_000 - 1_000) == [moved]
    assert caller.refusal("GET", path, direction="up")[0] == "400100"
    assert caller.refusal("GET", path, currency=",".join(map(str, range(11))))[0] == "400100"


def test_the_trade_ledger_is_read_on_from_the_last_id(desk):
    _, caller = desk
    sell(caller)
    sell(caller)
    rows = caller.get(FAST)

    first = caller.get(FAST, limit=3)
    rest = caller.get(FAST, limit=3, lastId=first[-1]["id"])

    assert first + rest == rows
