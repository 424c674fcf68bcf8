"""The change of an open order, and the dead man's switch."""

from decimal import Decimal

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

ORDERS = "/api/v1/hf/orders"
ALTER = f"{ORDERS}/alter"
SWITCH = f"{ORDERS}/dead-cancel-all"
PAIR = {"symbol": "BTC-USDT"}
LIMIT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.01"}


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def row_of(caller, order_id):
    return caller.get(f"{ORDERS}/{order_id}", **PAIR)


def holds(caller):
    [usdt] = caller.get("/api/v1/accounts", type="trade", currency="USDT")
    return Decimal(usdt["holds"])


@pytest.mark.parametrize("named", ["orderId", "clientOid"])
def test_a_new_order_with_the_clients_own_id_stands_in_for_the_old_one(caller, named):
    old = caller.post(ORDERS, clientOid="mine", remark="why", **LIMIT)

    done = caller.post(ALTER, **PAIR, **{named: old[named]}, newPrice="81000", newSize="0.02")

    new = row_of(caller, done["newOrderId"])
    assert done == {"newOrderId": new["id"], "clientOid": "mine"}
    assert (new["price"], new["size"], new["clientOid"]) == ("81000", "0.02", "mine")
    assert (new["remark"], new["active"]) == ("why", True)
    assert row_of(caller, old["orderId"])["cancelExist"]
    assert holds(caller) == Decimal("81000") * Decimal("0.02") * Decimal("1.001")
    assert caller.get(f"{ORDERS}/client-order/mine", **PAIR)["id"] == new["id"]


def test_the_coins_of_the_old_order_pay_for_the_new_one(caller):
    old = caller.post(ORDERS, **LIMIT | {"size": "0.12"})["orderId"]

    done = caller.post(ALTER, **PAIR, orderId=old, newPrice="81000")

    assert row_of(caller, done["newOrderId"])["size"] == "0.12"


@pytest.fixture
def partly_filled(desk):
    """An order for all of the best price and a little more."""
    exchange, caller = desk
    exchange.demo_account.deposit("spot", "USDT", 5_000_000)
    price, size = caller.get("/api/v1/market/orderbook/level2_20", **PAIR)["asks"][0]
    wanted = str(Decimal(size) + Decimal("0.01"))
    return row_of(
        caller, caller.post(ORDERS, **LIMIT | {"price": price, "size": wanted})["orderId"]
    )


def test_the_new_size_counts_what_is_filled_already(caller, partly_filled):
    old = partly_filled
    done = caller.post(ALTER, **PAIR, orderId=old["id"], newPrice="80000", newSize=old["size"])
    again = caller.post(ALTER, **PAIR, orderId=done["newOrderId"], newPrice="80001")

    for each in (done, again):
        assert row_of(caller, each["newOrderId"])["size"] == old["remainSize"] == "0.01"


def test_a_size_that_is_filled_already_ends_the_order(caller, partly_filled):
    old = partly_filled
    done = caller.post(ALTER, **PAIR, orderId=old["id"], newSize=old["dealSize"])

    assert done["newOrderId"] == old["id"]
    assert caller.get(f"{ORDERS}/active/symbols") == {"symbols": []}


def test_a_change_that_makes_no_sense_leaves_the_order_alone(caller):
    old = caller.post(ORDERS, **LIMIT)["orderId"]

    assert caller.refusal("POST", ALTER, **PAIR, orderId=old) == (
        "400100", "newPrice and newSize are missing: give one of them or both",
    )  # fmt: skip
    for wrong in ({"newPrice": "80000.01234"}, {"newSize": "0.000001"}, {"newPrice": "-1"}):
        assert caller.refusal("POST", ALTER, **PAIR, orderId=old, **wrong)[0] == "400100"
    assert caller.refusal("POST", ALTER, **PAIR, orderId="x", newSize="1") == (
        "400100", "order_not_exist_or_not_allow_to_cancel",
    )  # fmt: skip
    assert caller.refusal("POST", ALTER, **PAIR, newSize="1")[1].startswith("clientOid is missing")
    assert row_of(caller, old)["active"]


def test_the_switch_cancels_the_orders_of_its_symbols_unless_it_is_set_again(desk):
    exchange, caller = desk
    mine = caller.post(ORDERS, **LIMIT)["orderId"]
    other = caller.post(ORDERS, **LIMIT | {"symbol": "ETH-BTC", "price": "0.02", "size": "0.1"})

    done = caller.post(SWITCH, timeout=10, symbols="BTC-USDT")
    asked = caller.get(f"{SWITCH}/query")

    assert done["triggerTime"] - done["currentTime"] == 10
    assert asked == {"timeout": 10, "symbols": "BTC-USDT", **done}
    let_pass(exchange, 6)
    caller.post(SWITCH, timeout=10, symbols="BTC-USDT")
    let_pass(exchange, 6)
    assert row_of(caller, mine)["active"]
    let_pass(exchange, 6)
    assert not row_of(caller, mine)["active"]
    assert caller.get(f"{ORDERS}/active/symbols") == {"symbols": ["ETH-BTC"]}
    assert caller.get(f"{SWITCH}/query") is None
    assert caller.get(f"{ORDERS}/{other['orderId']}", symbol="ETH-BTC")["active"]


def test_the_switch_is_taken_away_by_minus_one(desk):
    exchange, caller = desk
    mine = caller.post(ORDERS, **LIMIT)["orderId"]
    caller.post(SWITCH, timeout=5)

    assert caller.get(f"{SWITCH}/query")["symbols"] == ""
    caller.post(SWITCH, timeout=-1)

    assert caller.get(f"{SWITCH}/query") is None
    let_pass(exchange, 8)
    assert row_of(caller, mine)["active"]


@pytest.mark.parametrize("wrong", [{"timeout": 4}, {"timeout": 86_401}, {"timeout": 5.5}, {}])
def test_a_switch_needs_a_time_within_its_bounds(caller, wrong):
    code, why = caller.refusal("POST", SWITCH, **wrong)

    assert code == "400100"
    assert why.startswith("timeout ")
    assert caller.refusal("POST", SWITCH, timeout=5, symbols="BTC-USDT,NO-PE")[0] == "900001"
    assert caller.get(f"{SWITCH}/query") is None
