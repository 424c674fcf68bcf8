"""High-frequency calls that show orders and fills."""

from decimal import Decimal

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

ORDERS = "/api/v1/hf/orders"
LIMIT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.01"}
TAKE = LIMIT | {"price": "85100"}
PAIR = {"symbol": "BTC-USDT"}


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def test_the_row_of_an_open_order(desk):
    exchange, caller = desk
    order_id = caller.post(ORDERS, clientOid="c", stp="CO", remark="why", **LIMIT)["orderId"]
    now_ms = exchange.now_ns // 1_000_000

    row = caller.get(f"{ORDERS}/{order_id}", **PAIR)

    assert row == {
        "id": order_id, "clientOid": "c", "symbol": "BTC-USDT", "opType": "DEAL", "type": "limit",
        "side": "buy", "price": "80000", "size": "0.01", "funds": "800", "dealSize": "0",
        "dealFunds": "0", "fee": "0", "feeCurrency": "USDT", "stp": "CO", "timeInForce": "GTC",
        "postOnly": False, "hidden": False, "iceberg": False, "visibleSize": "0", "cancelAfter": 0,
        "channel": "API", "remark": "why", "tags": None, "cancelExist": False,
        "tradeType": "TRADE", "inOrderBook": True, "cancelledSize": "0", "cancelledFunds": "0",
        "remainSize": "0.01", "remainFunds": "800", "tax": "0", "active": True,
        "cancelReason": None, "createdAt": now_ms, "lastUpdatedAt": now_ms,
    }  # fmt: skip
    assert caller.get(f"{ORDERS}/client-order/c", **PAIR) == row
    assert caller.get(f"{ORDERS}/active", **PAIR) == [row]


def test_the_row_of_a_canceled_order_has_all_its_funds_back(caller):
    order_id = caller.post(ORDERS, **LIMIT)["orderId"]
    caller.delete(f"{ORDERS}/{order_id}", **PAIR)

    row = caller.get(f"{ORDERS}/{order_id}", **PAIR)

    assert (row["cancelledSize"], row["cancelledFunds"]) == ("0.01", "800")
    assert (row["remainSize"], row["remainFunds"]) == ("0", "0")
    assert (row["active"], row["inOrderBook"], row["cancelExist"]) == (False, False, True)


def test_the_row_of_a_filled_order_shows_what_a_better_price_has_left(caller):
    order_id = caller.post(ORDERS, **TAKE)["orderId"]

    row = caller.get(f"{ORDERS}/{order_id}", **PAIR)

    amounts = {name: Decimal(row[name]) for name in ("funds", "dealFunds", "remainFunds", "fee")}
    assert amounts["funds"] == amounts["dealFunds"] + amounts["remainFunds"] == 851
    assert amounts["fee"] == amounts["dealFunds"] / 1000
    assert (row["active"], row["cancelExist"], row["dealSize"]) == (False, False, "0.01")


def test_an_order_for_funds_has_no_size(caller):
    order_id = caller.post(ORDERS, **PAIR, side="buy", type="market", funds="100")["orderId"]

    row = caller.get(f"{ORDERS}/{order_id}", **PAIR)

    assert (row["price"], row["size"], row["funds"], row["remainSize"]) == ("0", "0", "100", "0")
    # The fee comes on top, and what is worth less than a lot is canceled.
    assert Decimal(row["dealFunds"]) + Decimal(row["cancelledFunds"]) == 100
    assert 0 < Decimal(row["cancelledFunds"]) < Decimal("0.001")
    assert (row["active"], row["cancelExist"]) == (False, True)


def test_the_row_of_a_fill(desk):
    exchange, caller = desk
    order_id = caller.post(ORDERS, **TAKE | {"size": "0.001"})["orderId"]

    found = caller.get("/api/v1/hf/fills", **PAIR)

    [row] = found["items"]
    price = float(row["price"])
    assert found["lastId"] == row["id"]
    assert isinstance(row["id"], int)
    assert isinstance(row["tradeId"], int)
    changing = ("id", "tradeId", "counterOrderId", "price", "funds", "fee")
    assert {name: value for name, value in row.items() if name not in changing} == {
        "orderId": order_id, "symbol": "BTC-USDT", "side": "buy", "liquidity": "taker",
        "type": "limit", "forceTaker": False, "size": "0.001", "feeRate": "0.001",
        "feeCurrency": "USDT", "stop": "", "tradeType": "TRADE", "taxRate": "0", "tax": "0",
        "createdAt": exchange.now_ns // 1_000_000,
    }  # fmt: skip
    assert float(row["funds"]) == pytest.approx(price * 0.001)
    assert float(row["fee"]) == pytest.approx(price * 0.000001)


def test_done_orders_are_read_on_from_the_last_id_while_more_end(caller):
    def page(**values):
        found = caller.get(f"{ORDERS}/done", **PAIR, limit=2, **values)
        return [row["id"] for row in found["items"]], found["lastId"]

    ids = [caller.post(ORDERS, **TAKE | {"size": "0.001"})["orderId"] for _ in range(4)]
    newest, last = page()
    late = caller.post(ORDERS, **TAKE | {"size": "0.001"})["orderId"]

    assert newest == [ids[3], ids[2]]
    assert page(lastId=last)[0] == [ids[1], ids[0]]
    assert page(lastId=page(lastId=last)[1]) == ([], 0)
    assert page()[0] == [late, ids[3]]


def test_lists_are_filtered_by_side_type_and_time(desk):
    exchange, caller = desk
    bought = caller.post(ORDERS, **TAKE)["orderId"]
    let_pass(exchange, 5)
    sold = caller.post(ORDERS, **PAIR, side="sell", type="market", size="0.01")["orderId"]
    later_ms = caller.get(f"{ORDERS}/{sold}", **PAIR)["createdAt"]

    def ids(path, name, **values):
        return {row[name] for row in caller.get(path, **PAIR, **values)["items"]}

    for path, name in ((f"{ORDERS}/done", "id"), ("/api/v1/hf/fills", "orderId")):
        assert ids(path, name) == {bought, sold}
        assert ids(path, name, side="buy") == {bought}
        assert ids(path, name, type="market") == {sold}
        assert ids(path, name, startAt=later_ms) == {sold}
        assert ids(path, name, endAt=later_ms - 1) == {bought}
    assert ids("/api/v1/hf/fills", "orderId", orderId=sold) == {sold}


def test_open_orders_come_in_pages_newest_first(caller):
    ids = [caller.post(ORDERS, **LIMIT)["orderId"] for _ in range(3)]

    page = caller.get(f"{ORDERS}/active/page", **PAIR, pageNum=2, pageSize=2)

    assert [row["id"] for row in page.pop("items")] == ids[:1]
    assert page == {"currentPage": 2, "pageSize": 2, "totalNum": 3, "totalPage": 2}
    assert caller.get(f"{ORDERS}/active/symbols") == {"symbols": ["BTC-USDT"]}


def test_unknown_orders_and_missing_symbols(caller):
    unknown = ("400100", "order not exist.")
    missing = ("400100", "symbol is missing: this call needs it")

    assert caller.refusal("GET", f"{ORDERS}/nothing", **PAIR) == unknown
    assert caller.refusal("GET", f"{ORDERS}/client-order/nothing", **PAIR) == unknown
    for path in (f"{ORDERS}/active", f"{ORDERS}/done", "/api/v1/hf/fills", f"{ORDERS}/x"):
        assert caller.refusal("GET", path) == missing
