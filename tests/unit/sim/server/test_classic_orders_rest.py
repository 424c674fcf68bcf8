"""Classic order calls: they see the orders of the high-frequency calls, and those see theirs."""

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

ORDERS = "/api/v1/orders"
BY_OID = "/api/v1/order/client-order"
LIMIT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.01"}
TAKE = LIMIT | {"price": "85100"}
NOT_OPEN = ("400100", "order_not_exist_or_not_allow_to_cancel")


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def ids(page, name="id"):
    return [row[name] for row in page["items"]]


def test_the_row_of_an_order(desk):
    exchange, caller = desk
    order_id = caller.post(ORDERS, clientOid="c", remark="why", **LIMIT)["orderId"]

    row = caller.get(f"{ORDERS}/{order_id}")

    assert row == {
        "id": order_id, "symbol": "BTC-USDT", "opType": "DEAL", "type": "limit", "side": "buy",
        "price": "80000", "size": "0.01", "funds": "0", "dealFunds": "0", "dealSize": "0",
        "fee": "0", "feeCurrency": "USDT", "stp": "", "stop": "", "stopTriggered": False,
        "stopPrice": "0", "timeInForce": "GTC", "postOnly": False, "hidden": False,
        "iceberg": False, "visibleSize": "0", "cancelAfter": 0, "channel": "API", "clientOid": "c",
        "remark": "why", "tags": None, "isActive": True, "cancelExist": False,
        "createdAt": exchange.now_ns // 1_000_000, "tradeType": "TRADE",
    }  # fmt: skip
    assert caller.get(f"{BY_OID}/c") == row
    assert caller.get(ORDERS, status="active")["items"] == [row]


def test_both_families_work_on_one_account(caller):
    fast = "/api/v1/hf/orders"
    old = caller.post(ORDERS, **LIMIT)["orderId"]
    new = caller.post(fast, **LIMIT)["orderId"]

    assert ids(caller.get(ORDERS, status="active")) == [new, old]
    assert [row["id"] for row in caller.get(f"{fast}/active", symbol="BTC-USDT")] == [new, old]
    assert caller.delete(f"{ORDERS}/{new}") == {"cancelledOrderIds": [new]}
    assert caller.delete(f"{fast}/{old}", symbol="BTC-USDT") == {"orderId": old}
    assert ids(caller.get(ORDERS, status="active")) == []


def test_a_test_order_is_not_placed(caller):
    assert caller.post(f"{ORDERS}/test", **LIMIT).keys() == {"orderId"}
    assert ids(caller.get(ORDERS, status="active")) == []


def test_several_limit_orders_of_one_symbol(caller):
    order = {"side": "buy", "price": "80000", "size": "0.01"}
    orders = [
        order | {"clientOid": "a"},
        order | {"size": "1000"},
        {"side": "buy", "type": "market"},
    ]

    rows = caller.post(f"{ORDERS}/multi", symbol="BTC-USDT", orderList=orders)["data"]

    assert [row["status"] for row in rows] == ["success", "fail", "fail"]
    assert rows[0] == {
        "symbol": "BTC-USDT", "type": "limit", "side": "buy", "price": "80000", "size": "0.01",
        "funds": None, "stp": "", "stop": "", "stopPrice": None, "timeInForce": "GTC",
        "cancelAfter": 0, "postOnly": False, "hidden": False, "iceberge": False, "iceberg": False,
        "visibleSize": None, "channel": "API", "id": rows[0]["id"], "status": "success",
        "failMsg": None, "clientOid": "a",
    }  # fmt: skip
    assert rows[1]["failMsg"].startswith("Balance insufficient!")
    assert rows[2]["failMsg"] == "only limit orders can be placed together"
    assert ids(caller.get(ORDERS, status="active")) == [rows[0]["id"]]
    assert caller.refusal("POST", f"{ORDERS}/multi", symbol="BTC-USDT", orderList=[order] * 6)[
        0
    ] == ("400100")


def test_cancel_by_the_clients_own_id(caller):
    order_id = caller.post(ORDERS, clientOid="c", **LIMIT)["orderId"]

    assert caller.delete(f"{BY_OID}/c") == {
        "cancelledOrderId": order_id, "clientOid": "c", "cancelledOcoOrderIds": None,
    }  # fmt: skip
    assert caller.refusal("DELETE", f"{BY_OID}/c") == NOT_OPEN
    assert caller.refusal("DELETE", f"{ORDERS}/{order_id}") == NOT_OPEN
    assert caller.refusal("GET", f"{ORDERS}/x") == ("400100", "order not exist.")


def test_cancel_of_a_symbol_or_of_all_leaves_stop_orders_alone(caller):
    other = LIMIT | {"symbol": "ETH-BTC", "price": "0.02", "size": "0.1"}
    mine, theirs = (caller.post(ORDERS, **one)["orderId"] for one in (LIMIT, other))
    caller.post("/api/v1/stop-order", **LIMIT, stopPrice="82000")

    assert caller.delete(ORDERS, tradeType="MARGIN_TRADE") == {"cancelledOrderIds": []}
    assert caller.delete(ORDERS, symbol="BTC-USDT") == {"cancelledOrderIds": [mine]}
    assert caller.delete(ORDERS) == {"cancelledOrderIds": [theirs]}
    assert caller.get("/api/v1/stop-order")["totalNum"] == 1


def test_lists_are_filtered_and_come_in_pages(caller):
    open_one = caller.post(ORDERS, **LIMIT)["orderId"]
    done = [caller.post(ORDERS, **TAKE)["orderId"] for _ in range(3)]
    sold = caller.post(ORDERS, symbol="BTC-USDT", side="sell", type="market", size="0.01")[
        "orderId"
    ]

    page = caller.get(ORDERS, pageSize=2, currentPage=2)

    assert ids(page) == [done[1], done[0]]
    assert (page["totalNum"], page["totalPage"], page["currentPage"]) == (4, 2, 2)
    assert ids(caller.get(ORDERS, side="sell")) == [sold]
    assert ids(caller.get(ORDERS, type="market", symbol="BTC-USDT")) == [sold]
    assert ids(caller.get(ORDERS, tradeType="MARGIN_TRADE")) == []
    assert ids(caller.get(ORDERS, status="active")) == [open_one]
    assert caller.refusal("GET", ORDERS, status="all")[0] == "400100"
    assert [row["id"] for row in caller.get("/api/v1/limit/orders")] == [
        sold,
        *done[::-1],
        open_one,
    ]


def test_fills_come_in_pages_and_for_the_last_day(caller):
    order_id = caller.post(ORDERS, **TAKE | {"size": "0.001"})["orderId"]
    caller.post(ORDERS, symbol="BTC-USDT", side="sell", type="market", size="0.01")

    [row] = caller.get("/api/v1/fills", orderId=order_id)["items"]

    assert row.keys() == {
        "symbol", "tradeId", "orderId", "counterOrderId", "side", "liquidity", "forceTaker",
        "price", "size", "funds", "fee", "feeRate", "feeCurrency", "stop", "tradeType", "type",
        "createdAt",
    }  # fmt: skip
    assert (row["side"], row["size"], row["stop"], row["liquidity"]) == (
        "buy",
        "0.001",
        "",
        "taker",
    )
    assert isinstance(row["tradeId"], str)
    assert caller.get("/api/v1/fills", symbol="ETH-BTC")["totalNum"] == 0
    assert set(ids(caller.get("/api/v1/fills", side="sell"), "side")) == {"sell"}
    assert caller.get("/api/v1/limit/fills")[-1] == row


def test_recent_lists_forget_what_is_older_than_a_day():
    with still_exchange(speed=100_000, symbols=["BTC-USDT"]) as (exchange, caller):
        caller.post(ORDERS, symbol="BTC-USDT", side="sell", type="market", size="0.01")
        let_pass(exchange, 86_500)

        assert caller.get("/api/v1/limit/orders") == []
        assert caller.get("/api/v1/limit/fills") == []
        assert caller.get(ORDERS)["totalNum"] == 1
