"""Lists of futures orders and fills over REST."""

from decimal import Decimal

import pytest

from tests.unit.sim.futures_caller import Caller, fields, quiet_exchange
from tests.unit.sim.signed import private_client, subscribe_private

XBT, INVERSE, KCS = "XBTUSDTM", "XBTUSDM", "KCSUSDTM"
ORDERS = "/api/v1/orders"
FAR = "80000"

# The fields of the replies in the samples of KuCoin's own SDK (kucoin_universal_sdk 1.3).
ORDER_FIELDS = fields(
    "id symbol type side price size value dealValue dealSize stp stop stopPriceType stopTriggered "
    "stopPrice timeInForce postOnly hidden iceberg leverage forceHold closeOrder visibleSize "
    "clientOid remark tags isActive cancelExist createdAt updatedAt endAt orderTime settleCurrency "
    "marginMode avgDealPrice filledSize filledValue status reduceOnly"
)
FILL_FIELDS = fields(
    "symbol tradeId orderId side liquidity forceTaker price size value openFeePay closeFeePay stop "
    "feeRate fixFee feeCurrency marginMode fee settleCurrency orderType displayType tradeType "
    "subTradeType tradeTime createdAt"
)
TAX_FIELDS = {"openFeeTaxPay", "closeFeeTaxPay"}
PAGE_FIELDS = {"currentPage", "pageSize", "totalNum", "totalPage", "items"}


@pytest.fixture(scope="module")
def exchange():
    with quiet_exchange(symbols=[XBT, INVERSE, KCS]) as running:
        yield running


@pytest.fixture(scope="module")
def caller(exchange):
    return Caller(exchange)


@pytest.fixture(scope="module")
def placed(exchange, caller):
    """Orders of every kind; one of the stops has been triggered."""
    stop = {"stop": "up", "stopPrice": "99000", "stopPriceType": "TP"}
    made = {
        "resting": caller.place(XBT, "buy", 3, FAR),
        "canceled": caller.place(XBT, "buy", 1, FAR),
        "market": caller.place(XBT, "buy", 40),
        "closing": caller.place(XBT, "sell", 10, "83000", timeInForce="IOC"),
        "inverse": caller.place(INVERSE, "sell", 900),
        "waiting": caller.place(XBT, "buy", 2, **stop),
        "waiting limit": caller.place(KCS, "sell", 5, "12", **(stop | {"stopPrice": "13"})),
        "dropped": caller.place(KCS, "sell", 5, "12", **(stop | {"stopPrice": "13"})),
        "triggered": caller.place(
            XBT, "buy", 1, stop="down", stopPrice="90000", stopPriceType="MP"
        ),
    }
    caller.delete(f"{ORDERS}/{made['canceled']}")
    caller.delete(f"{ORDERS}/{made['dropped']}")
    with private_client(exchange) as client:
        subscribe_private(client, f"/contractMarket/tradeOrders:{XBT}")
        exchange.resume()
        client.until(lambda frame: frame.get("data", {}).get("type") == "filled")
        exchange.pause()
    return made


def ids(page):
    return [row["id"] for row in page["items"]]


def test_an_order_has_every_field(caller, placed):
    for order_id in placed.values():
        assert set(caller.order(order_id)) == ORDER_FIELDS


def test_an_open_order(caller, placed):
    row = caller.order(placed["resting"])

    times = [row.pop(name) for name in ("createdAt", "updatedAt", "orderTime")]
    assert times[0] == times[1] == times[2] // 1_000_000
    assert row == {
        "id": placed["resting"], "symbol": XBT, "type": "limit", "side": "buy", "price": FAR,
        "size": 3, "value": "240", "dealValue": "0", "dealSize": 0, "stp": "", "stop": "",
        "stopPriceType": "", "stopTriggered": False, "stopPrice": None, "timeInForce": "GTC",
        "postOnly": False, "hidden": False, "iceberg": False, "leverage": "10", "forceHold": False,
        "closeOrder": False, "visibleSize": 0, "clientOid": "oid-1", "remark": None, "tags": "",
        "isActive": True, "cancelExist": False, "endAt": None, "settleCurrency": "USDT",
        "marginMode": "ISOLATED", "avgDealPrice": "0", "filledSize": 0, "filledValue": "0",
        "status": "open", "reduceOnly": False,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["market", "closing", "inverse"])
def test_a_filled_order_is_the_sum_of_its_fills(caller, placed, name):
    row = caller.order(placed[name])
    page = caller.get("/api/v1/fills", orderId=placed[name])

    fills = page["items"]
    assert page["totalNum"] == len(fills)
    assert sum(one["size"] for one in fills) == row["dealSize"] == row["filledSize"] == row["size"]
    assert sum(Decimal(one["value"]) for one in fills) == Decimal(row["dealValue"])
    assert row["filledValue"] == row["dealValue"]
    if name == "inverse":
        average = row["size"] / Decimal(row["dealValue"])
    else:
        average = Decimal(row["dealValue"]) / row["size"] * 1000
    assert Decimal(row["avgDealPrice"]) == pytest.approx(average, rel=Decimal("1e-12"))
    assert (row["isActive"], row["status"], row["cancelExist"]) == (False, "done", False)
    assert row["endAt"] == row["updatedAt"] >= row["createdAt"]


def test_a_stop_order_that_waits(caller, placed):
    row = caller.order(placed["waiting"])

    assert (row["stop"], row["stopPrice"], row["stopPriceType"]) == ("up", "99000", "TP")
    assert (row["type"], row["price"], row["value"]) == ("market", "0", "198")
    assert (row["isActive"], row["stopTriggered"], row["endAt"]) == (True, False, None)


def test_a_stop_order_that_was_canceled(caller, placed):
    row = caller.order(placed["dropped"])

    assert (row["isActive"], row["cancelExist"], row["stopTriggered"]) == (False, True, False)
    assert row["endAt"] == row["updatedAt"]


def test_a_stop_order_that_was_triggered_is_the_order_that_it_became(caller, placed):
    row = caller.order(placed["triggered"])

    assert (row["dealSize"], row["stopTriggered"], row["stop"]) == (1, True, "down")
    fills = caller.get("/api/v1/fills", orderId=placed["triggered"])["items"]
    assert {(one["orderId"], one["stop"], one["displayType"]) for one in fills} == {
        (row["id"], "down", "market_stop")
    }


def test_an_order_is_found_by_its_client_id(caller, placed):
    row = caller.order(placed["market"])

    assert caller.get(f"{ORDERS}/byClientOid", clientOid=row["clientOid"]) == row


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        (f"{ORDERS}/123", {}, "error.getOrder.orderNotExist"),
        (f"{ORDERS}/byClientOid", {"clientOid": "no"}, "error.getOrder.orderNotExist"),
        (f"{ORDERS}/byClientOid", {}, "clientOid is missing"),
        (ORDERS, {"status": "open"}, "no status 'open' here; known: active, done"),
        (ORDERS, {"side": "long"}, "no side 'long' here; known: buy, sell"),
        (ORDERS, {"type": "stop"}, "no type 'stop' here; known: limit, market, limit_stop, mark"),
        ("/api/v1/fills", {"side": "x"}, "no side 'x' here"),
        ("/api/v1/openOrderStatistics", {}, "symbol is missing"),
    ],
)
def test_what_is_not_there_is_refused_with_a_sentence(caller, placed, path, query, text):
    code, message = caller.refusal("GET", path, **query)

    assert code == "100001"
    assert message.startswith(text)


@pytest.mark.parametrize(
    "path", [ORDERS, "/api/v1/stopOrders", "/api/v1/fills", "/api/v1/recentFills",
             "/api/v1/recentDoneOrders", "/api/v1/openOrderStatistics"],
)  # fmt: skip
def test_lists_of_an_unknown_contract_are_refused(caller, path):
    code, message = caller.refusal("GET", path, symbol="NOPE")

    assert (code, message) == ("200003", "The symbol parameter is invalid. (no contract 'NOPE')")


def test_orders_are_listed_by_status_side_and_type(caller, placed):
    became = caller.order(placed["triggered"])["id"]
    done = [became, *(placed[name] for name in ("inverse", "closing", "market", "canceled"))]

    assert ids(caller.get(ORDERS, status="active")) == [placed["resting"]]
    assert ids(caller.get(ORDERS)) == ids(caller.get(ORDERS, status="done")) == done
    assert ids(caller.get(ORDERS, symbol=INVERSE)) == [placed["inverse"]]
    assert ids(caller.get(ORDERS, side="sell")) == [placed["inverse"], placed["closing"]]
    assert ids(caller.get(ORDERS, type="limit")) == [placed["closing"], placed["canceled"]]
    assert ids(caller.get(ORDERS, type="market")) == [placed["inverse"], placed["market"]]
    assert ids(caller.get(ORDERS, type="market_stop")) == [became]
    assert ids(caller.get(ORDERS, type="limit_stop")) == []


def test_orders_are_listed_in_pages(caller, placed):
    whole = caller.get(ORDERS)
    pages = [caller.get(ORDERS, pageSize=2, currentPage=page) for page in (1, 2, 3, 4)]

    assert set(whole) == PAGE_FIELDS
    assert [len(page["items"]) for page in pages] == [2, 2, 1, 0]
    assert [row for page in pages for row in page["items"]] == whole["items"]
    assert (pages[1]["currentPage"], pages[1]["pageSize"]) == (2, 2)
    assert (pages[1]["totalNum"], pages[1]["totalPage"]) == (5, 3)
    assert caller.get(ORDERS, pageSize=5_000)["pageSize"] == 1_000


def test_orders_are_listed_by_time(caller, placed):
    last = caller.order(placed["triggered"])

    assert ids(caller.get(ORDERS, startAt=last["createdAt"])) == [last["id"]]
    assert last["id"] not in ids(caller.get(ORDERS, endAt=last["createdAt"] - 1))


def test_waiting_stop_orders_are_listed(caller, placed):
    waiting = [placed["waiting limit"], placed["waiting"]]

    page = caller.get("/api/v1/stopOrders")

    assert set(page) == PAGE_FIELDS
    assert ids(page) == waiting
    assert ids(caller.get("/api/v1/stopOrders", symbol=KCS)) == waiting[:1]
    assert ids(caller.get("/api/v1/stopOrders", side="buy")) == waiting[1:]
    assert ids(caller.get("/api/v1/stopOrders", type="limit")) == waiting[:1]


def test_recently_done_orders(caller, placed):
    rows = caller.get("/api/v1/recentDoneOrders", symbol=XBT)

    assert rows == [row for row in caller.get(ORDERS)["items"] if row["symbol"] == XBT]


def test_a_fill_has_every_field_and_a_fee_of_its_rate(caller, placed):
    rows = caller.get("/api/v1/fills")["items"]
    fee_rates = {"taker": Decimal("0.0006"), "maker": Decimal("0.0002")}

    assert {frozenset(row) for row in rows} == {frozenset(FILL_FIELDS | TAX_FIELDS)}
    for row in rows:
        rate = fee_rates[row["liquidity"]]
        assert (row["feeRate"], Decimal(row["feeRate"])) == (f"{rate:.5f}", rate)
        assert Decimal(row["fee"]) == (Decimal(row["value"]) * rate).quantize(Decimal("1e-12"))
        assert Decimal(row["openFeePay"]) + Decimal(row["closeFeePay"]) == Decimal(row["fee"])
        assert row["createdAt"] == row["tradeTime"] // 1_000_000
        assert row["tradeType"] == "trade"


def test_the_fee_of_a_closing_fill_is_apart(caller, placed):
    closing = caller.get("/api/v1/fills", orderId=placed["closing"])["items"]
    opening = caller.get("/api/v1/fills", orderId=placed["market"])["items"]

    assert {row["openFeePay"] for row in closing} == {"0"}
    assert {row["closeFeePay"] for row in opening} == {"0"}


def test_fills_are_listed_by_what_they_are(caller, placed):
    rows = caller.get("/api/v1/fills")["items"]

    def listed(**query):
        return caller.get("/api/v1/fills", **query)["items"]

    assert rows == sorted(rows, key=lambda row: -row["tradeTime"])
    assert listed(symbol=INVERSE) == [row for row in rows if row["symbol"] == INVERSE]
    assert listed(side="buy") == [row for row in rows if row["side"] == "buy"]
    assert listed(type="limit") == [row for row in rows if row["orderType"] == "limit"]
    assert listed(tradeTypes="liquid,adl") == []
    assert listed(tradeTypes="trade,adl") == rows
    newest = rows[0]["createdAt"]
    assert listed(startAt=newest) == [row for row in rows if row["createdAt"] == newest]
    recent = caller.get("/api/v1/recentFills")
    assert recent == [{k: v for k, v in row.items() if k not in TAX_FIELDS} for row in rows]


def test_the_value_of_open_orders(caller, placed):
    found = caller.get("/api/v1/openOrderStatistics", symbol=XBT)

    assert found == {
        "openOrderBuySize": 3,
        "openOrderSellSize": 0,
        "openOrderBuyCost": "240",
        "openOrderSellCost": "0",
        "settleCurrency": "USDT",
    }


def test_what_the_demo_account_places_in_the_process_is_listed_too(caller, placed, exchange):
    order_id = exchange.demo_account.place(KCS, "buy", 1, price="11.111", client_oid="mine")

    row = caller.order(order_id)
    assert (row["clientOid"], row["price"]) == ("mine", "11.111")
    assert caller.get(ORDERS, status="active", symbol=KCS)["items"] == [row]
    nameless = exchange.demo_account.place(KCS, "buy", 1, price="11.111")
    assert caller.order(nameless)["clientOid"] == nameless
    exchange.demo_account.cancel(order_id)
    assert caller.order(order_id)["isActive"] is False
