"""OCO calls: a limit order and a stop order, of which one cancels the other."""

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

OCO = "/api/v3/oco"
BUY = {
    "symbol": "BTC-USDT", "side": "buy", "price": "80000", "size": "0.01", "stopPrice": "90000",
    "limitPrice": "90100", "tradeType": "TRADE",
}  # fmt: skip
SELL = BUY | {"side": "sell", "price": "90000", "stopPrice": "80000", "limitPrice": "79900"}
NOT_OPEN = ("400100", "order_not_exist_or_not_allow_to_cancel")


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def place(caller, **order):
    return caller.post(f"{OCO}/order", **order)["orderId"]


def legs(caller, pair_id):
    return caller.get(f"{OCO}/order/details/{pair_id}")["orders"]


@pytest.mark.parametrize(("order", "stop"), [(BUY, "entry"), (SELL, "loss")])
def test_a_pair_is_a_limit_order_and_a_stop_order(desk, order, stop):
    exchange, caller = desk
    pair_id = place(caller, clientOid="pair", **order)

    row = caller.get(f"{OCO}/order/{pair_id}")
    details = caller.get(f"{OCO}/order/details/{pair_id}")

    assert row == {
        "orderId": pair_id, "symbol": "BTC-USDT", "clientOid": "pair",
        "orderTime": exchange.now_ns // 1_000_000, "status": "NEW",
    }  # fmt: skip
    assert caller.get(f"{OCO}/client-order/pair") == row
    assert caller.get(f"{OCO}/orders")["items"] == [row]
    limit, waiting = details.pop("orders")
    assert details == row
    assert limit == {
        "id": limit["id"], "symbol": "BTC-USDT", "side": order["side"], "status": "NEW",
        "price": f"{order['price']}.{'0' * 20}", "stopPrice": f"{order['price']}.{'0' * 20}",
        "size": "0.01000000000000000000",
    }  # fmt: skip
    assert waiting["price"] == f"{order['limitPrice']}.{'0' * 20}"
    [stop_row] = caller.get("/api/v1/stop-order", stop="oco")["items"]
    assert (stop_row["id"], stop_row["stop"]) == (waiting["id"], stop)
    assert stop_row["relatedNo"] == pair_id
    assert caller.get("/api/v1/stop-order", stop="stop")["items"] == []
    assert caller.get(f"/api/v1/orders/{limit['id']}")["isActive"]


def test_cancel_of_a_pair_ends_both_orders(caller):
    by_id, by_oid = place(caller, **BUY), place(caller, clientOid="two", **SELL)
    ids = {pair: [row["id"] for row in legs(caller, pair)] for pair in (by_id, by_oid)}

    assert caller.delete(f"{OCO}/order/{by_id}") == {"cancelledOrderIds": ids[by_id]}
    assert caller.delete(f"{OCO}/client-order/two") == {"cancelledOrderIds": ids[by_oid]}
    assert caller.refusal("DELETE", f"{OCO}/order/{by_id}") == NOT_OPEN
    assert caller.refusal("DELETE", f"{OCO}/client-order/none") == NOT_OPEN
    assert [row["status"] for row in legs(caller, by_id)] == ["CANCELLED", "CANCELLED"]
    assert caller.get(f"{OCO}/order/{by_id}")["status"] == "CANCELLED"
    assert caller.get("/api/v1/orders", status="active")["totalNum"] == 0
    assert caller.get("/api/v1/stop-order")["totalNum"] == 0


def test_the_fill_of_the_limit_order_cancels_the_stop_order(desk):
    exchange, caller = desk
    best = caller.get("/api/v1/market/orderbook/level1", symbol="BTC-USDT")["bestBid"]
    pair_id = place(caller, **BUY | {"price": best})

    let_pass(exchange, 600)

    assert [row["status"] for row in legs(caller, pair_id)] == ["DONE", "CANCELLED"]
    assert caller.get(f"{OCO}/order/{pair_id}")["status"] == "DONE"


def test_several_pairs_are_listed_and_canceled(caller):
    first, second = place(caller, **BUY), place(caller, **SELL)
    third = place(caller, **BUY)

    def listed(**values):
        return [row["orderId"] for row in caller.get(f"{OCO}/orders", **values)["items"]]

    assert listed() == [third, second, first]
    assert listed(orderIds=f"{first},{third}") == [third, first]
    assert listed(symbol="ETH-BTC") == []
    assert len(caller.delete(f"{OCO}/orders", orderIds=first)["cancelledOrderIds"]) == 2
    assert len(caller.delete(f"{OCO}/orders", symbol="BTC-USDT")["cancelledOrderIds"]) == 4
    assert caller.delete(f"{OCO}/orders") == {"cancelledOrderIds": []}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"price": "90000"}, "the limit price of an OCO buy must lie below the last price"),
        ({"stopPrice": ""}, "stopPrice is missing"),
        ({"limitPrice": ""}, "limitPrice is missing"),
        ({"price": ""}, "price is missing"),
        ({"tradeType": "MARGIN_TRADE"}, "margin accounts do not trade here"),
    ],
)
def test_bad_pairs_are_refused_and_leave_nothing(caller, wrong, why):
    code, found = caller.refusal("POST", f"{OCO}/order", **BUY | wrong)

    assert code == "400100"
    assert found.startswith(why)
    assert caller.get("/api/v1/orders", status="active")["totalNum"] == 0
    assert caller.refusal("GET", f"{OCO}/order/none") == ("400100", "order not exist.")
