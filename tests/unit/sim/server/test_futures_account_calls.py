"""The futures wallet over REST: balance, history, fees, fundings and transfers."""

from decimal import Decimal

import pytest

from tests.unit.sim.futures_caller import Caller, fields, quiet_exchange
from tests.unit.sim.signed import life, private_client, subscribe_private

XBT, KCS = "XBTUSDTM", "KCSUSDTM"

# The fields of the replies in the samples of KuCoin's own SDK (kucoin_universal_sdk 1.3).
OVERVIEW_FIELDS = fields(
    "accountEquity unrealisedPNL marginBalance positionMargin orderMargin frozenFunds "
    "availableBalance currency riskRatio maxWithdrawAmount"
)
HISTORY_FIELDS = fields("time type amount fee accountEquity status remark offset currency")
FUNDING_FIELDS = fields(
    "id symbol timePoint fundingRate markPrice positionQty positionCost funding settleCurrency "
    "context marginMode"
)
TRANSFER_FIELDS = fields(
    "applyId currency recRemark recSystem status amount reason offset createdAt remark"
)
MOVED_FIELDS = fields(
    "applyId bizNo payAccountType payTag remark recAccountType recTag recRemark recSystem status "
    "currency amount fee sn reason createdAt updatedAt"
)
BEFORE_FUNDING = "2026-01-05T15:59:55Z"


@pytest.fixture
def exchange():
    with quiet_exchange([XBT, KCS], BEFORE_FUNDING) as running:
        yield running


@pytest.fixture
def caller(exchange):
    return Caller(exchange)


def test_the_balance_has_every_field_and_adds_up(caller):
    caller.place(XBT, "buy", 10)
    caller.place(XBT, "buy", 10, "80000")

    found = caller.get("/api/v1/account-overview", currency="USDT")

    assert set(found) >= OVERVIEW_FIELDS
    margins = found["positionMargin"] + found["orderMargin"]
    assert margins == pytest.approx(found["marginBalance"] - found["availableBalance"])
    assert found["accountEquity"] == pytest.approx(found["marginBalance"] + found["unrealisedPNL"])
    # The fee of the open order stays.
    fee = 10 * 0.001 * 80_000 * 0.0002
    assert found["maxWithdrawAmount"] == pytest.approx(found["availableBalance"] - fee)
    assert found["maxWithdrawAmount"] > 0


def test_the_largest_withdrawal_leaves_unrealised_profit_of_cross_positions(caller, exchange):
    caller.post("/api/v2/position/changeMarginMode", symbol=XBT, marginMode="CROSS")
    caller.place(XBT, "buy", 10, marginMode="CROSS")
    found = caller.get("/api/v1/account-overview", currency="USDT")

    out = {"currency": "USDT", "recAccountType": "MAIN"}
    most = Decimal(repr(found["maxWithdrawAmount"]))

    more = out | {"amount": str(most + Decimal("0.001"))}
    assert caller.refusal("POST", "/api/v3/transfer-out", more) == (
        "230003",
        "Balance insufficient!",
    )
    caller.post("/api/v3/transfer-out", **out, amount=str(most - Decimal("0.001")))


def test_the_balance_of_all_accounts_is_that_of_the_main_one(caller):
    found = caller.get("/api/v1/account-overview-all", currency="USDT")
    alone = caller.get("/api/v1/account-overview", currency="USDT")

    assert found["accounts"][0]["accountName"] == "main"
    assert set(found["summary"]) == fields(
        "accountEquityTotal unrealisedPNLTotal marginBalanceTotal positionMarginTotal "
        "orderMarginTotal frozenFundsTotal availableBalanceTotal currency"
    )
    assert found["summary"]["accountEquityTotal"] == alone["accountEquity"]
    assert found["accounts"][0]["accountEquity"] == alone["accountEquity"]


def test_the_usual_currency_is_bitcoin(caller):
    assert caller.get("/api/v1/account-overview")["currency"] == "XBT"
    assert caller.get("/api/v1/account-overview-all")["summary"]["currency"] == "XBT"


def test_fees_of_a_contract(caller):
    assert caller.get("/api/v1/trade-fees", symbol=XBT) == {
        "symbol": XBT,
        "takerFeeRate": "0.0006",
        "makerFeeRate": "0.0002",
    }
    assert caller.refusal("GET", "/api/v1/trade-fees", symbol="NOPE")[0] == "200003"


def test_a_transfer_out_and_in_is_in_both_histories(caller, exchange):
    before = exchange.demo_account.balances()["USDT"].total

    out = caller.post("/api/v3/transfer-out", currency="USDT", amount=12.5, recAccountType="TRADE")
    assert (
        caller.post("/api/v1/transfer-in", currency="USDT", amount="2.5", payAccountType="TRADE")
        is None
    )

    listed = caller.get("/api/v1/transfer-list", currency="USDT", type="TRADE")
    history = caller.get("/api/v1/transaction-history", currency="USDT")
    assert set(out) == MOVED_FIELDS
    assert (out["amount"], out["payAccountType"], out["recAccountType"]) == (
        "12.5",
        "CONTRACT",
        "TRADE",
    )
    assert [set(row) for row in listed["items"]] == [TRANSFER_FIELDS]
    assert listed["items"][0]["applyId"] == out["applyId"]
    assert (listed["items"][0]["amount"], listed["items"][0]["status"]) == ("12.5", "SUCCESS")
    assert caller.get("/api/v1/transfer-list", type="MAIN")["items"] == []
    assert [(row["type"], row["amount"], row["remark"]) for row in history["dataList"]] == [
        ("TransferIn", 2.5, "Transferred from Trading Account"),
        ("TransferOut", -12.5, "Transferred to Trading Account"),
    ]
    assert exchange.demo_account.balances()["USDT"].total - before == 10


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("/api/v3/transfer-out", {"amount": 1, "recAccountType": "MAIN"}, "100001", "currency is"),
        ("/api/v3/transfer-out", {"currency": "USDT", "recAccountType": "MAIN"}, "100001", "amou"),
        ("/api/v3/transfer-out", {"currency": "USDT", "amount": 1}, "100001", "recAccountType is"),
        (
            "/api/v3/transfer-out",
            {"currency": "USDT", "amount": 1, "recAccountType": "POOL"},
            "100001",
            "no recAccountType 'POOL' here; known: MAIN, TRADE",
        ),
        (
            "/api/v3/transfer-out",
            {"currency": "USDT", "amount": -1, "recAccountType": "MAIN"},
            "260200",
            "amount -1 must be above zero",
        ),
        (
            "/api/v3/transfer-out",
            {"currency": "USDT", "amount": "2000000000", "recAccountType": "MAIN"},
            "100001",
            "amount 2000000000 is above the largest, 1000000000",
        ),
        (
            "/api/v1/transfer-in",
            {"currency": "USDT", "amount": 1, "payAccountType": "MAIN"},
            "230003",
            "Balance insufficient!",
        ),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused_with_a_sentence(caller, path, body, code, text):
    found, message = caller.refusal("POST", path, body)

    assert found == code
    assert message.startswith(text)


def test_the_history_is_listed_by_type_time_and_in_pages(caller):
    for amount in (1, 2, 3):
        caller.post("/api/v3/transfer-out", currency="USDT", amount=amount, recAccountType="MAIN")
    caller.place(XBT, "buy", 1)
    path = "/api/v1/transaction-history"

    whole = caller.get(path, currency="USDT")
    first = caller.get(path, currency="USDT", maxCount=2)
    second = caller.get(path, currency="USDT", maxCount=2, offset=first["dataList"][-1]["offset"])
    back = caller.get(
        path, currency="USDT", offset=second["dataList"][-1]["offset"], forward="false"
    )

    rows = whole["dataList"]
    assert {frozenset(row) for row in rows} == {frozenset(HISTORY_FIELDS)}
    assert (whole["hasMore"], first["hasMore"], second["hasMore"]) == (False, True, False)
    assert rows == first["dataList"] + second["dataList"]
    assert [row["type"] for row in rows] == ["RealisedPNL", *["TransferOut"] * 3]
    assert back["dataList"] == rows[2::-1]
    assert caller.get(path, type="transferout")["dataList"] == rows[1:]
    assert caller.get(path, type="RealizedPNL")["dataList"] == rows[:1]
    assert caller.get(path, currency="USDC")["dataList"] == []
    assert caller.get(path, startAt=rows[0]["time"] + 1)["dataList"] == []
    assert caller.refusal("GET", path, type="gift")[0] == "100001"
    assert caller.refusal("GET", path, forward="maybe")[0] == "100001"


def test_a_fill_is_in_the_history_with_its_fee(caller):
    order = caller.place(XBT, "buy", 1)

    (fill,) = caller.get("/api/v1/fills", orderId=order)["items"]
    (row,) = caller.get("/api/v1/transaction-history", currency="USDT")["dataList"]

    assert (row["remark"], row["status"]) == (XBT, "Completed")
    assert row["fee"] == float(fill["fee"]) == -row["amount"]


def test_a_funding_is_in_its_history_in_the_wallets_and_on_the_stream(caller, exchange):
    for symbol in (XBT, KCS):
        caller.place(symbol, "buy", 10)
    with private_client(exchange) as client:
        subscribe_private(client, f"/contract/position:{XBT}")
        life(exchange, client, 10)
        frames = [f["data"] for f in client.messages() if f["subject"] == "position.settlement"]

    found = caller.get("/api/v1/funding-history", symbol=XBT)

    (row,) = found["dataList"]
    assert found["hasMore"] is False
    assert set(row) == FUNDING_FIELDS
    assert row["timePoint"] == 1_767_628_800_000
    assert (row["positionQty"], row["settleCurrency"], row["marginMode"]) == (
        10,
        "USDT",
        "ISOLATED",
    )
    assert row["positionCost"] == pytest.approx(10 * 0.001 * row["markPrice"])
    assert row["funding"] == pytest.approx(-row["positionCost"] * row["fundingRate"], abs=1e-11)
    assert row["context"] == '{"marginMode": "ISOLATED", "positionSide": "BOTH"}'
    sent = [(one["fundingRate"], one["fundingFee"], one["qty"]) for one in frames]
    assert sent == [(row["fundingRate"], row["funding"], 10)]
    history = caller.get("/api/v1/transaction-history", currency="USDT")["dataList"]
    assert row["funding"] in [one["amount"] for one in history if one["fee"] == 0]
    assert caller.get("/api/v1/position", symbol=XBT)["posFunding"] == row["funding"]
    both = caller.get("/api/v1/funding-history")
    assert len(both["dataList"]) == 2
    (older,) = caller.get("/api/v1/funding-history", maxCount=1)["dataList"]
    (other,) = caller.get("/api/v1/funding-history", maxCount=1, offset=older["id"])["dataList"]
    assert [older, other] == both["dataList"]
    assert caller.get("/api/v1/funding-history", startAt=row["timePoint"] + 1)["dataList"] == []
