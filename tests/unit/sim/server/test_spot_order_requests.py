"""Orders that contradict themselves, KuCoin's rules or their listing, with KuCoin's codes."""

import pytest

from tests.unit.sim.calls import still_exchange

ORDERS = "/api/v1/hf/orders"
LIMIT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.01"}
MARKET = {"symbol": "BTC-USDT", "side": "buy", "type": "market"}


@pytest.fixture(scope="module")
def caller():
    with still_exchange() as (_, caller):
        yield caller


def without(order, name):
    return {key: value for key, value in order.items() if key != name}


@pytest.mark.parametrize(
    ("order", "code", "why"),
    [
        ({}, "400100", "symbol is missing"),
        (LIMIT | {"symbol": "NO-PE"}, "900001", "The symbol does not exist."),
        (LIMIT | {"side": "hold"}, "400100", "no side 'hold' here; known: buy, sell"),
        (without(LIMIT, "side"), "400100", "side is missing"),
        (without(LIMIT, "price"), "400100", "price is missing"),
        (without(LIMIT, "size"), "400100", "an order needs a size"),
        (LIMIT | {"type": "stop"}, "400100", "no type 'stop' here; known: limit, market"),
        (LIMIT | {"price": "much"}, "400100", "price 'much' is no number"),
        (LIMIT | {"price": "NaN"}, "400100", "price 'NaN' is no number"),
        (LIMIT | {"size": "1e999999"}, "400100", "size '1e999999' is no number, or has too many"),
        (LIMIT | {"size": "1e30"}, "400100", "size '1e30' is no number, or has too many"),
        (
            LIMIT | {"price": "1" * 29},
            "400100",
            "price '11111111111111111111111111111' is no number",
        ),
        (MARKET | {"funds": "99999999999"}, "400100", "funds 99999999999 are above the maximum"),
        (MARKET | {"funds": "0.0000001"}, "400100", "Funds increment invalid."),
        (LIMIT | {"size": "-1"}, "400100", "Order size increment invalid."),
        (LIMIT | {"price": "80000.01234"}, "400100", "Price increment invalid."),
        (LIMIT | {"size": "0.000001"}, "400100", "Order size below the minimum requirement."),
        (LIMIT | {"funds": "10"}, "400100", "funds are for market orders"),
        (LIMIT | {"price": "0.1"}, "400760", "The order funds should more then 0.1 USDT."),
        (LIMIT | {"price": "200000"}, "400370", "Max. price: "),
        (LIMIT | {"size": "1"}, "200004", "Balance insufficient!"),
        (MARKET, "400100", "an order needs a size"),
        (MARKET | {"size": "1", "price": "80000"}, "400100", "a market order has no price"),
        (MARKET | {"size": "0.01", "funds": "10"}, "400100", "funds are for spot market orders"),
        (
            MARKET | {"size": "0.01", "postOnly": True},
            "400100",
            "a market order cannot be postOnly",
        ),
        (LIMIT | {"timeInForce": "DAY"}, "400100", "no timeInForce 'DAY' here"),
        (LIMIT | {"cancelAfter": 5}, "400100", "cancelAfter needs timeInForce GTT, not GTC"),
        (LIMIT | {"timeInForce": "GTT", "cancelAfter": 1.5}, "400100", "cancelAfter 1.5 must be"),
        (MARKET | {"funds": "10", "timeInForce": "GTT", "cancelAfter": 5}, "400100", "GTT is for"),
        (LIMIT | {"stp": "XX"}, "400100", "no stp 'XX' here; known: CN, CO, CB, DC"),
        (LIMIT | {"hidden": True}, "400413", "hidden orders are no longer supported"),
        (LIMIT | {"iceberg": True}, "400413", "iceberg orders are no longer supported"),
        (LIMIT | {"clientOid": "a" * 41}, "400100", "clientOid may have up to 40"),
        (LIMIT | {"remark": "a" * 21}, "400100", "remark may have up to 20 ASCII characters"),
        (LIMIT | {"remark": "né"}, "400100", "remark may have up to 20 ASCII characters"),
        (LIMIT | {"tags": "a" * 21}, "400100", "tags may have up to 20 ASCII characters"),
        (LIMIT | {"tradeType": "MARGIN_TRADE"}, "400100", "margin accounts do not trade here"),
    ],
)
def test_bad_orders_are_refused_with_one_sentence(caller, order, code, why):
    found = caller.refusal("POST", ORDERS, **order)

    assert found[0] == code
    assert found[1].startswith(why)
    assert caller.get(f"{ORDERS}/active/symbols") == {"symbols": []}


@pytest.mark.parametrize(
    ("extra", "shown"),
    [
        ({"postOnly": True}, {"timeInForce": "GTC", "postOnly": True, "cancelAfter": 0}),
        ({"timeInForce": "GTT", "cancelAfter": 60}, {"timeInForce": "GTT", "cancelAfter": 60}),
        (
            {"timeInForce": "GTT", "cancelAfter": 60, "postOnly": True},
            {"timeInForce": "GTT", "postOnly": True, "cancelAfter": 60},
        ),
        ({"timeInForce": "GTT", "cancelAfter": -1}, {"timeInForce": "GTC", "cancelAfter": 0}),
        ({"stp": "CN", "remark": "why", "tags": "t"}, {"stp": "CN", "remark": "why", "tags": "t"}),
        ({"price": 80000, "size": 0.01}, {"price": "80000", "size": "0.01"}),
        ({"hidden": False, "visibleSize": "", "funds": ""}, {"hidden": False, "iceberg": False}),
    ],
)
def test_options_come_back_in_the_row(caller, extra, shown):
    placed = caller.post(ORDERS, **LIMIT | extra)

    row = caller.get(f"{ORDERS}/{placed['orderId']}", symbol="BTC-USDT")
    caller.delete(f"{ORDERS}/{placed['orderId']}", symbol="BTC-USDT")

    assert shown.items() <= row.items()


def test_post_only_is_without_effect_on_orders_that_never_rest(caller):
    taken = caller.post(
        f"{ORDERS}/sync", **LIMIT | {"price": "85100", "postOnly": True, "timeInForce": "IOC"}
    )

    assert taken["dealSize"] == "0.01"


def test_a_body_that_is_no_json_object_is_refused(caller):
    reply = caller.send("POST", f"{ORDERS}/multi", orderList="nothing")

    assert reply.json()["code"] == "400100"
