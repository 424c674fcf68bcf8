"""Placing and canceling futures orders over REST."""

import pytest

from tests.unit.sim.futures_caller import Caller, quiet_exchange
from tests.unit.sim.signed import private_client, subscribe_private

XBT, INVERSE, KCS = "XBTUSDTM", "XBTUSDM", "KCSUSDTM"
ORDERS = "/api/v1/orders"
FAR = "80000"  # below the market, and within the band of prices


@pytest.fixture(scope="module")
def exchange():
    with quiet_exchange(symbols=[XBT, INVERSE, KCS]) as running:
        yield running


@pytest.fixture
def caller(exchange):
    """A client of the demo account, which has no orders and no positions at first."""
    made = Caller(exchange)
    made.number = next(_numbers) * 1_000
    account = exchange.demo_account
    account.cancel_all()
    for symbol, lots in account.positions.items():
        account.place(symbol, "sell" if lots > 0 else "buy", abs(lots))
    for symbol in (XBT, INVERSE, KCS):
        account.set_margin_mode(symbol, "ISOLATED")
        account.set_leverage(symbol, 10)
    return made


_numbers = iter(range(1, 1_000))


def test_a_limit_order_rests_as_it_was_asked_for(caller, exchange):
    order_id = caller.place(
        XBT, "buy", 3, FAR, leverage=5, postOnly=True, remark="mine", stp="CN", forceHold=True
    )

    row = caller.order(order_id)
    assert exchange.demo_account.open_orders == [order_id]
    assert (row["size"], row["price"], row["leverage"]) == (3, FAR, "5")
    assert (row["timeInForce"], row["postOnly"], row["stp"]) == ("GTC", True, "CN")
    assert (row["remark"], row["forceHold"], row["marginMode"]) == ("mine", True, "ISOLATED")


def test_the_leverage_of_an_order_is_that_of_its_position(caller):
    caller.place(XBT, "buy", 1, leverage=20)

    position = caller.get("/api/v1/position", symbol=XBT)

    assert position["posInit"] == pytest.approx(position["posCost"] / 20)


@pytest.mark.parametrize(
    ("size", "lots"),
    [
        ({"size": "7", "qty": ""}, 7),
        ({"qty": "0.007"}, 7),
        ({"valueQty": "560"}, 7),  # 7 lots at 80 000 are 560 USDT
        ({"valueQty": 639.9}, 7),
    ],
)
def test_a_size_is_lots_coins_or_worth(caller, size, lots):
    form = caller.form(XBT, "buy", None, FAR) | size

    assert caller.order(caller.post(ORDERS, **form)["orderId"])["size"] == lots


def test_a_market_order_by_worth_is_worth_it_at_the_mark_price(caller):
    order = caller.order(caller.place(XBT, "buy", valueQty="1000"))
    mark = caller.get(f"/api/v1/mark-price/{XBT}/current")["value"]

    assert order["size"] == int(1_000 / (mark * 0.001))


MODE = "The order's position mode does not match your selected mode. "
WRONG = [
    ({"symbol": "NOPE"}, "100003", "Contract parameter invalid (no contract 'NOPE')"),
    ({"symbol": ""}, "100001", "symbol is missing: name a contract"),
    ({"clientOid": ""}, "100001", "clientOid is missing"),
    ({"clientOid": "a b"}, "100001", "clientOid may have up to 40 letters, digits, underscores "),
    ({"clientOid": "x" * 41}, "100001", "clientOid may have up to 40 letters"),
    ({"side": ""}, "100001", "side is missing"),
    ({"side": "long"}, "100001", "no side 'long' here; known: buy, sell"),
    ({"type": "stop"}, "100001", "no type 'stop' here; known: limit, market"),
    ({"size": None}, "100001", "an order needs one of size, qty and valueQty"),
    ({"qty": "0.001"}, "100001", "an order needs one of size, qty and valueQty, not size and qty"),
    ({"size": None, "qty": "0.0015"}, "100001", "qty 0.0015 is no multiple of 0.001 XBT, one lot"),
    ({"size": None, "valueQty": "79"}, "100001", "valueQty 79 is less than one lot, 80 USDT"),
    ({"size": "1.5"}, "100001", "size 1.5 is no positive multiple of 1"),
    ({"size": "0"}, "100001", "size 0 is no positive multiple of 1"),
    ({"size": "many"}, "100001", "size 'many' is no number"),
    ({"size": "NaN"}, "100001", "size 'NaN' is no number"),
    ({"size": 2_000_000}, "100001", "size 2000000 is above the maximum, 1000000"),
    ({"price": ""}, "100001", "price is missing: give a number"),
    ({"price": "80000.05"}, "100001", "price 80000.05 is no positive multiple of 0.1"),
    ({"price": "-1"}, "100001", "price -1 is no positive multiple of 0.1"),
    ({"size": None, "valueQty": 1, "price": 0}, "100001", "price 0 must be above zero"),
    ({"price": "200000"}, "300011", "Order price cannot be higher than "),
    ({"timeInForce": "FOK"}, "100001", "no timeInForce 'FOK' here; known: GTC, IOC"),
    ({"hidden": True}, "400413", "hidden orders are no longer supported: leave hidden out"),
    ({"iceberg": True}, "400413", "iceberg orders are no longer supported"),
    ({"postOnly": "maybe"}, "100001", "no postOnly 'maybe' here; known: true, false"),
    ({"leverage": 0}, "100001", "leverage 0: XBTUSDTM allows 1 to 125"),
    ({"leverage": 126}, "300016", "The leverage cannot be greater than 125."),
    ({"marginMode": "CROSS"}, "330005", "The order's margin mode does not match the selected one."),
    ({"marginMode": "BOTH"}, "100001", "no marginMode 'BOTH' here; known: ISOLATED, CROSS"),
    ({"positionSide": "LONG"}, "330011", MODE + "(positionSide LONG is for hedge mode; "),
    ({"stp": "DC"}, "100001", "no stp 'DC' here; known: CN, CO, CB"),
    ({"remark": "x" * 101}, "100001", "remark is longer than 100 characters"),
    ({"stopPrice": 90000}, "100001", "stopPrice needs stop: up or down"),
    ({"stop": "up"}, "100001", "stopPrice is missing: give a number"),
    ({"stop": "up", "stopPrice": 90000}, "100001", "stopPriceType is missing"),
    (
        {"stop": "up", "stopPrice": 90000, "stopPriceType": "LP"},
        "100001",
        "no stopPriceType 'LP' here; known: TP, MP, IP",
    ),
    ({"reduceOnly": True}, "300009", "No open positions to close."),
    ({"closeOrder": True, "size": None}, "300009", "No open positions to close."),
    ({"size": 20_000}, "300003", "Balance insufficient. The order would cost "),
]


@pytest.mark.parametrize(("changes", "code", "text"), WRONG)
def test_an_order_that_makes_no_sense_is_refused_with_a_sentence(caller, changes, code, text):
    refusal = caller.refused_order(XBT, "buy", 1, FAR, **changes)

    assert refusal[0] == code, refusal
    assert refusal[1].startswith(text), refusal
    assert caller.get("/api/v1/openOrderStatistics", symbol=XBT)["openOrderBuySize"] == 0


@pytest.mark.parametrize("name", ["qty", "valueQty"])
def test_inverse_contracts_are_sized_in_lots(caller, name):
    code, message = caller.refused_order(INVERSE, "buy", None, FAR, **{name: "100"})

    assert (code, message) == ("100001", f"XBTUSDM takes size in lots only, no {name}")


def test_an_order_on_a_cross_symbol_must_say_cross(caller):
    caller.post("/api/v2/position/changeMarginMode", symbol=XBT, marginMode="CROSS")

    assert caller.refused_order(XBT, "buy", 1, FAR)[0] == "330005"
    stop = {"stop": "up", "stopPrice": "100000", "stopPriceType": "MP"}
    assert caller.refused_order(XBT, "buy", 1, **stop)[0] == "330005"
    row = caller.order(caller.place(XBT, "buy", 1, FAR, marginMode="CROSS", leverage=3))
    assert (row["marginMode"], row["leverage"]) == ("CROSS", "10")  # the symbol's, not the order's


def test_post_only_does_not_count_with_ioc(caller):
    row = caller.order(caller.place(XBT, "buy", 1, FAR, timeInForce="IOC", postOnly=True))

    assert (row["timeInForce"], row["postOnly"], row["isActive"]) == ("IOC", False, False)
    assert (row["cancelExist"], row["status"]) == (True, "done")


def test_a_test_order_is_checked_but_not_placed(caller, exchange):
    form = caller.form(XBT, "buy", 1, FAR)

    reply = caller.post(f"{ORDERS}/test", **form)

    assert set(reply) == {"orderId", "clientOid"}
    assert exchange.demo_account.open_orders == []
    assert caller.refusal("GET", f"{ORDERS}/{reply['orderId']}")[0] == "100001"
    too_large = form | {"size": 20_000}
    assert caller.refusal("POST", f"{ORDERS}/test", too_large)[0] == "300003"


def test_several_orders_at_once_each_have_an_outcome(caller):
    forms = [
        caller.form(XBT, "buy", 1, FAR),
        caller.form(XBT, "buy", 1, "200000"),
        caller.form("NOPE", "buy", 1, FAR),
        caller.form(KCS, "sell", 2, "12"),
    ]

    rows = caller.data("POST", f"{ORDERS}/multi", forms)

    assert [row["code"] for row in rows] == ["200000", "300011", "100003", "200000"]
    assert all(set(row) == {"orderId", "clientOid", "symbol", "code", "msg"} for row in rows)
    assert [row["clientOid"] for row in rows] == [form["clientOid"] for form in forms]
    assert (rows[0]["msg"], rows[1]["orderId"]) == ("success", None)
    assert caller.order(rows[3]["orderId"])["symbol"] == KCS


@pytest.mark.parametrize("body", [[], {}, [1], [{}] * 21])
def test_a_list_of_orders_has_one_to_twenty(caller, body):
    code, message = caller.refusal("POST", f"{ORDERS}/multi", body)

    assert (code, message) == ("100001", "the body must be a list of 1 to 20 orders")


def test_a_repeated_client_id_is_refused(caller):
    form = caller.form(XBT, "buy", 1, FAR)
    caller.post(ORDERS, **form)

    assert caller.refusal("POST", ORDERS, form) == ("300018", "clientOid parameter repeated")


def test_close_order_needs_neither_side_nor_size(caller, exchange):
    caller.place(XBT, "buy", 7)

    order_id = caller.post(
        ORDERS, clientOid=f"close-{caller.number}", symbol=XBT, type="market", closeOrder=True
    )["orderId"]

    row = caller.order(order_id)
    assert (row["side"], row["size"], row["dealSize"], row["closeOrder"]) == ("sell", 7, 7, True)
    assert exchange.demo_account.positions == {}


def test_take_profit_and_stop_loss_wait_from_the_first_fill_on(caller):
    form = caller.form(XBT, "buy", 2, triggerStopUpPrice="99000", triggerStopDownPrice="75000")

    reply = caller.post("/api/v1/st-orders", **form, stopPriceType="MP")

    stops = caller.get("/api/v1/stopOrders", symbol=XBT)["items"]
    assert set(reply) == {"orderId", "clientOid"}
    assert caller.order(reply["orderId"])["dealSize"] == 2
    assert {(row["stop"], row["stopPrice"]) for row in stops} == {
        ("up", "99000"),
        ("down", "75000"),
    }
    assert {(row["side"], row["closeOrder"], row["stopPriceType"]) for row in stops} == {
        ("sell", True, "MP")
    }
    caller.place(XBT, "sell", 2)
    assert caller.get("/api/v1/stopOrders", symbol=XBT)["items"] == []


def test_take_profit_and_stop_loss_need_a_price(caller):
    form = caller.form(XBT, "buy", 2)

    code, message = caller.refusal("POST", "/api/v1/st-orders", form)

    assert (code, message) == ("100001", "a take profit or stop loss order needs a trigger price")
    stop = {"stop": "up", "stopPrice": 90000, "stopPriceType": "TP", "triggerStopUpPrice": 99000}
    assert caller.refusal("POST", "/api/v1/st-orders", form | stop)[0] == "100001"


# Canceling


def test_an_order_is_canceled_by_id_and_by_client_id(caller):
    first = caller.place(XBT, "buy", 1, FAR)
    form = caller.form(XBT, "buy", 1, FAR)
    second = caller.post(ORDERS, **form)["orderId"]

    assert caller.delete(f"{ORDERS}/{first}") == {"cancelledOrderIds": [first]}
    by_client_id = f"{ORDERS}/client-order/{form['clientOid']}"
    assert caller.delete(by_client_id, symbol=XBT) == {"clientOid": form["clientOid"]}

    assert [caller.order(one)["cancelExist"] for one in (first, second)] == [True, True]


@pytest.mark.parametrize(
    ("path", "query", "code", "text"),
    [
        (f"{ORDERS}/123", {}, "100004", "Order is in not cancelable state (no order has the id"),
        (f"{ORDERS}/client-order/no", {"symbol": XBT}, "100004", "Order is in not cancelable"),
        (f"{ORDERS}/client-order/no", {}, "100001", "symbol is missing"),
        (f"{ORDERS}/client-order/no", {"symbol": "NOPE"}, "200003", "The symbol parameter is inv"),
        ("/api/v3/orders", {"symbol": "NOPE"}, "200003", "The symbol parameter is invalid."),
        ("/api/v1/stopOrders", {"symbol": "NOPE"}, "200003", "The symbol parameter is invalid."),
        (f"{ORDERS}/multi-cancel", {}, "100001", "orderIdsList or clientOidsList must name"),
        (f"{ORDERS}/multi-cancel", {"orderIdsList": "[1]"}, "100001", "orderIdsList must be a"),
        (f"{ORDERS}/multi-cancel", {"orderIdsList": "[x"}, "100001", "orderIdsList is no list"),
    ],
)
def test_nothing_is_canceled_by_what_makes_no_sense(caller, path, query, code, text):
    refusal = caller.refusal("DELETE", path, **query)

    assert refusal[0] == code
    assert refusal[1].startswith(text)


def test_an_order_that_is_done_cannot_be_canceled(caller):
    order_id = caller.place(XBT, "buy", 1)

    code, message = caller.refusal("DELETE", f"{ORDERS}/{order_id}")

    assert code == "100004"
    assert message == f"Order is in not cancelable state (order {order_id} is done)"


def test_orders_are_canceled_by_symbol_or_all_but_stops_apart(caller, exchange):
    stop = {"stop": "up", "stopPrice": "99000", "stopPriceType": "TP"}
    ids = {
        symbol: (
            caller.place(symbol, "buy", 1, price),
            caller.place(symbol, "buy", 1, **(stop | {"stopPrice": far})),
        )
        for symbol, price, far in ((XBT, FAR, "99000"), (KCS, "11", "15"))
    }

    assert caller.delete("/api/v3/orders", symbol=XBT) == {"cancelledOrderIds": [ids[XBT][0]]}
    assert caller.delete("/api/v1/stopOrders", symbol=KCS) == {"cancelledOrderIds": [ids[KCS][1]]}
    assert caller.delete("/api/v1/orders") == {"cancelledOrderIds": [ids[KCS][0]]}
    assert caller.delete("/api/v1/stopOrders") == {"cancelledOrderIds": [ids[XBT][1]]}
    assert caller.delete("/api/v3/orders") == {"cancelledOrderIds": []}
    assert exchange.demo_account.open_orders == []


@pytest.mark.parametrize("place", ["body", "query"])
def test_some_orders_are_canceled_at_once(caller, place):
    first, second = (caller.place(XBT, "buy", 1, FAR) for _ in range(2))
    path, ids = f"{ORDERS}/multi-cancel", [first, "123", second]

    if place == "body":
        rows = caller.data("DELETE", path, {"orderIdsList": ids})
    else:
        rows = caller.delete(path, orderIdsList=",".join(ids))

    assert [row["orderId"] for row in rows] == ids
    assert [row["code"] for row in rows] == ["200", "100004", "200"]
    assert rows[0] == {"orderId": first, "clientOid": None, "code": "200", "msg": "success"}


def test_some_orders_are_canceled_by_client_ids(caller):
    form = caller.form(XBT, "buy", 1, FAR)
    order_id = caller.post(ORDERS, **form)["orderId"]
    named = [
        {"symbol": XBT, "clientOid": form["clientOid"]},
        {"symbol": KCS, "clientOid": form["clientOid"]},
    ]

    rows = caller.data("DELETE", f"{ORDERS}/multi-cancel", {"clientOidsList": named})

    assert [row["code"] for row in rows] == ["200", "100004"]
    assert (rows[0]["orderId"], rows[0]["clientOid"]) == (order_id, form["clientOid"])


def test_a_triggered_stop_order_answers_to_its_first_id(caller, exchange):
    # Already reached: it is triggered when time next passes.
    stop = {"stop": "down", "stopPrice": "90000", "stopPriceType": "MP"}
    stop_id = caller.place(XBT, "buy", 1, FAR, **stop)
    assert caller.order(stop_id)["stopTriggered"] is False

    with private_client(exchange) as client:
        subscribe_private(client, "/contractMarket/advancedOrders")
        exchange.resume()
        client.until(lambda frame: frame.get("data", {}).get("type") == "triggered")
        exchange.pause()

    row = caller.order(stop_id)
    assert (row["stopTriggered"], row["stop"], row["isActive"]) == (True, "down", True)
    assert row["id"] != stop_id
    assert caller.get(ORDERS, status="active")["items"] == [row]
    assert caller.delete(f"{ORDERS}/{stop_id}") == {"cancelledOrderIds": [row["id"]]}


def test_orders_over_rest_are_on_the_private_and_the_public_streams(caller, exchange):
    with private_client(exchange) as client:
        subscribe_private(client, f"/contractMarket/tradeOrders:{XBT}")
        subscribe_private(client, "/contractMarket/advancedOrders")
        subscribe_private(client, f"/contractMarket/execution:{XBT}", private=False)

        resting = caller.place(XBT, "buy", 1, FAR)
        taking = caller.place(XBT, "buy", 2)
        stop = caller.place(XBT, "buy", 1, stop="up", stopPrice="99000", stopPriceType="TP")
        caller.delete(f"{ORDERS}/{resting}")
        caller.delete(f"{ORDERS}/{stop}")
        client.until(lambda frame: frame.get("data", {}).get("type") == "cancel")

    frames = [frame["data"] for frame in client.messages()]
    events = {
        one: [frame["type"] for frame in frames if frame.get("orderId") == one and "type" in frame]
        for one in (resting, taking, stop)
    }
    fills = caller.get("/api/v1/fills", orderId=taking)["items"]
    tape = [frame for frame in frames if frame.get("takerOrderId") == taking]
    assert events[resting] == ["open", "canceled"]
    assert events[taking] == ["match"] * len(fills) + ["filled"]
    assert events[stop] == ["open", "cancel"]
    assert [(one["tradeId"], one["price"], one["size"]) for one in tape] == [
        (one["tradeId"], one["price"], one["size"]) for one in reversed(fills)
    ]
