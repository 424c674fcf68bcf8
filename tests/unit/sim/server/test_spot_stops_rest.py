"""Stop order calls: an order waits for a price, and becomes another one."""

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

STOPS = "/api/v1/stop-order"
LIMIT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.01"}
NOT_WAITING = ("400100", "order_not_exist_or_not_allow_to_cancel")


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def place(caller, **changes):
    return caller.post(STOPS, **LIMIT | {"stopPrice": "82000"} | changes)["orderId"]


def ids(caller, **values):
    return [row["id"] for row in caller.get(STOPS, **values)["items"]]


def test_the_row_of_a_stop_order(desk):
    exchange, caller = desk
    order_id = place(caller, clientOid="s")

    row = caller.get(f"{STOPS}/{order_id}")

    assert row == {
        "id": order_id, "symbol": "BTC-USDT", "userId": exchange.demo_account.user_id,
        "status": "NEW", "type": "limit", "side": "buy", "price": "80000.00000000000000000000",
        "size": "0.01000000000000000000", "funds": None, "stp": None, "timeInForce": "GTC",
        "cancelAfter": -1, "postOnly": False, "hidden": False, "iceberg": False,
        "visibleSize": None, "channel": "API", "clientOid": "s", "remark": None, "tags": None,
        "relatedNo": None, "orderTime": exchange.now_ns, "domainId": "kucoin",
        "tradeSource": "USER", "tradeType": "TRADE", "feeCurrency": "USDT",
        "takerFeeRate": "0.00100000000000000000", "makerFeeRate": "0.00100000000000000000",
        "createdAt": exchange.now_ns // 1_000_000, "stop": "loss", "stopTriggerTime": None,
        "stopPrice": "82000.00000000000000000000", "limitPrice": None, "pop": None,
        "activateCondition": None,
    }  # fmt: skip
    assert caller.get(f"{STOPS}/queryOrderByClientOid", clientOid="s", symbol="BTC-USDT") == [row]
    assert caller.get(STOPS)["items"] == [row]


def test_a_reached_stop_becomes_an_order_that_names_it(desk):
    exchange, caller = desk
    stop_id = place(caller, clientOid="s", type="market", price="", stop="entry", stopPrice="80000")

    let_pass(exchange, 5)

    row = caller.get(f"{STOPS}/{stop_id}")
    order = caller.get("/api/v1/order/client-order/s")
    [fill, *_] = caller.get("/api/v1/fills", orderId=order["id"])["items"]
    assert (row["status"], row["price"], row["clientOid"]) == ("TRIGGERED", None, "s")
    assert row["createdAt"] < row["stopTriggerTime"] == order["createdAt"]
    assert order["id"] != stop_id
    assert (order["stop"], order["stopTriggered"], order["stopPrice"]) == ("entry", True, "80000")
    assert (fill["stop"], order["dealSize"]) == ("entry", "0.01")
    assert caller.get("/api/v1/hf/orders/client-order/s", symbol="BTC-USDT")["id"] == order["id"]
    assert caller.get(f"{STOPS}/queryOrderByClientOid", clientOid="s") == [row]
    assert caller.refusal("DELETE", f"{STOPS}/{stop_id}") == NOT_WAITING
    assert ids(caller) == []


def test_a_stop_order_for_funds_spends_them_when_it_is_reached(desk):
    exchange, caller = desk
    wanted = {"type": "market", "price": "", "size": "", "funds": "100", "stopPrice": "80000"}
    stop_id = place(caller, clientOid="s", stop="entry", **wanted)

    waiting = caller.get(f"{STOPS}/{stop_id}")
    let_pass(exchange, 5)

    assert (waiting["size"], waiting["funds"]) == (None, "100.00000000000000000000")
    order = caller.get("/api/v1/order/client-order/s")
    assert (order["funds"], order["size"], order["isActive"]) == ("100", "0", False)
    assert 99 < float(order["dealFunds"]) < 100


def test_cancel_by_id_and_by_the_clients_own_id(caller):
    one, two = place(caller), place(caller, clientOid="s")

    assert caller.delete(f"{STOPS}/{one}") == {"cancelledOrderIds": [one]}
    assert caller.delete(f"{STOPS}/cancelOrderByClientOid", clientOid="s", symbol="BTC-USDT") == {
        "cancelledOrderId": two, "clientOid": "s",
    }  # fmt: skip
    assert ids(caller) == []
    assert caller.get(f"{STOPS}/{one}")["status"] == "CANCELLED"
    assert caller.refusal("DELETE", f"{STOPS}/{one}") == NOT_WAITING
    assert caller.refusal("DELETE", f"{STOPS}/cancelOrderByClientOid", clientOid="x") == NOT_WAITING


def test_several_are_canceled_by_id_by_symbol_or_all(caller):
    first, second, third = (place(caller) for _ in range(3))
    other = place(caller, symbol="ETH-BTC", price="0.02", size="0.1", stopPrice="0.021")
    order = caller.post("/api/v1/orders", **LIMIT)["orderId"]

    def cancel(**values):
        return caller.delete(f"{STOPS}/cancel", **values)["cancelledOrderIds"]

    assert cancel(orderIds=f"{first},{other},unknown", symbol="BTC-USDT") == [first]
    assert cancel(tradeType="MARGIN_TRADE") == []
    assert cancel(symbol="BTC-USDT") == [second, third]
    assert cancel() == [other]
    assert caller.get(f"/api/v1/orders/{order}")["isActive"]


def test_the_list_is_filtered_and_newest_first(caller):
    buy, sell = place(caller), place(caller, side="sell", type="market", price="")

    assert ids(caller) == [sell, buy]
    assert (
        ids(caller, side="buy") == ids(caller, type="limit") == ids(caller, orderIds=buy) == [buy]
    )
    assert ids(caller, symbol="ETH-BTC") == ids(caller, tradeType="MARGIN_TRADE") == []
    assert ids(caller, pageSize=1, currentPage=2) == [buy]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"stopPrice": ""}, "stopPrice is missing"),
        ({"stop": "up"}, "no stop 'up' here; known: loss, entry"),
        ({"stopPrice": "82000.01234"}, "Price increment invalid."),
        ({"tradeType": "MARGIN_TRADE"}, "margin accounts do not trade here"),
    ],
)
def test_bad_stops_are_refused(caller, wrong, why):
    code, found = caller.refusal("POST", STOPS, **LIMIT | {"stopPrice": "82000"} | wrong)

    assert code == "400100"
    assert found.startswith(why)


def test_an_order_is_no_stop_order_and_a_stop_order_no_order(caller):
    order, stop = caller.post("/api/v1/orders", **LIMIT)["orderId"], place(caller)

    unknown = ("400100", "order not exist.")
    assert caller.refusal("GET", f"{STOPS}/{order}") == unknown
    assert caller.refusal("GET", f"/api/v1/orders/{stop}") == unknown
    assert caller.refusal("DELETE", f"/api/v1/orders/{stop}") == NOT_WAITING
    assert caller.refusal("DELETE", f"{STOPS}/{order}") == NOT_WAITING
