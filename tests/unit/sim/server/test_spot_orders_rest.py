"""High-frequency calls that place and cancel orders; rows, private frames and tape agree."""

from decimal import Decimal

import pytest

from kucoin_research.foundation import clocks
from tests.unit.sim.calls import let_pass, still_exchange
from tests.unit.sim.client import drain
from tests.unit.sim.signed import private_client, subscribe_private

ORDERS = "/api/v1/hf/orders"
LIMIT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.01"}
NOT_OPEN = ("400100", "order_not_exist_or_not_allow_to_cancel")


@pytest.fixture
def desk():
    with still_exchange() as (exchange, caller):
        yield exchange, caller


@pytest.fixture
def caller(desk):
    return desk[1]


def active(caller, symbol="BTC-USDT"):
    return [row["id"] for row in caller.get(f"{ORDERS}/active", symbol=symbol)]


def test_a_placed_order_rests_and_holds_its_cost_with_the_fee(caller):
    placed = caller.post(ORDERS, clientOid="mine-1", **LIMIT)

    assert placed.keys() == {"orderId", "clientOid"}
    assert placed["clientOid"] == "mine-1"
    assert active(caller) == [placed["orderId"]]
    [usdt] = caller.get("/api/v1/accounts", type="trade", currency="USDT")
    assert Decimal(usdt["holds"]) == Decimal("800.8")


def test_an_order_without_an_own_id_is_found_by_the_one_that_is_shown(caller):
    placed = caller.post(ORDERS, **LIMIT)

    assert placed["clientOid"] == placed["orderId"]
    row = caller.get(f"{ORDERS}/client-order/{placed['clientOid']}", symbol="BTC-USDT")
    assert row["id"] == placed["orderId"]


def test_sync_returns_the_outcome(caller):
    resting = caller.post(f"{ORDERS}/sync", **LIMIT)
    filled = caller.post(f"{ORDERS}/sync", **LIMIT | {"price": "85100"})

    assert resting | {"orderTime": 0, "matchTime": 0} == {
        "orderId": resting["orderId"], "clientOid": resting["orderId"], "orderTime": 0,
        "originSize": "0.01", "dealSize": "0", "remainSize": "0.01", "canceledSize": "0",
        "status": "open", "matchTime": 0,
    }  # fmt: skip
    assert (filled["dealSize"], filled["remainSize"], filled["status"]) == ("0.01", "0", "done")


def test_a_test_order_is_checked_and_not_placed(caller):
    tried = caller.post(f"{ORDERS}/test", clientOid="try-1", **LIMIT)

    assert tried["clientOid"] == "try-1"
    assert active(caller) == []
    assert caller.refusal("POST", f"{ORDERS}/test", **LIMIT | {"size": "1000"})[0] == "200004"


def test_several_orders_succeed_and_fail_one_by_one(caller):
    good, other = LIMIT | {"clientOid": "a"}, LIMIT | {"symbol": "ETH-BTC", "price": "0.02"}
    poor = LIMIT | {"size": "0.000001"}

    plain = caller.post(f"{ORDERS}/multi", orderList=[good, poor, {"symbol": "NO-PE"}])
    waited = caller.post(f"{ORDERS}/multi/sync", orderList=[other])

    assert [row["success"] for row in plain] == [True, False, False]
    assert plain[0].keys() == {"orderId", "clientOid", "success"}
    assert all(row["failMsg"] for row in plain[1:])
    assert waited[0]["status"] == "open"
    assert active(caller) == [plain[0]["orderId"]]
    code, why = caller.refusal("POST", f"{ORDERS}/multi", orderList=[good] * 6)
    assert (code, why) == ("400100", "orderList has 6 orders: 5 are the most")
    assert caller.refusal("POST", f"{ORDERS}/multi", orderList=[])[0] == "400100"


@pytest.mark.parametrize("path", ["{orderId}", "sync/{orderId}"])
def test_cancel_by_id(caller, path):
    placed = caller.post(ORDERS, **LIMIT)

    done = caller.delete(f"{ORDERS}/{path.format(**placed)}", symbol="BTC-USDT")

    assert done["orderId"] == placed["orderId"]
    if "sync" in path:
        assert done["canceledSize"] == "0.01"
        assert (done["originSize"], done["remainSize"], done["status"]) == ("0.01", "0", "done")
    assert active(caller) == []
    again = caller.refusal("DELETE", f"{ORDERS}/{placed['orderId']}", symbol="BTC-USDT")
    assert again == NOT_OPEN


@pytest.mark.parametrize("path", ["client-order", "sync/client-order"])
def test_cancel_by_the_clients_own_id(caller, path):
    caller.post(ORDERS, clientOid="mine", **LIMIT)

    done = caller.delete(f"{ORDERS}/{path}/mine", symbol="BTC-USDT")

    assert done["clientOid"] == "mine"
    assert active(caller) == []
    assert caller.refusal("DELETE", f"{ORDERS}/{path}/mine", symbol="BTC-USDT") == NOT_OPEN


def test_cancel_needs_the_orders_own_symbol(caller):
    placed = caller.post(ORDERS, **LIMIT)
    path = f"{ORDERS}/{placed['orderId']}"

    assert caller.refusal("DELETE", path) == ("400100", "symbol is missing: this call needs it")
    assert caller.refusal("DELETE", path, symbol="ETH-BTC") == NOT_OPEN
    assert caller.refusal("DELETE", path, symbol="NO-PE")[0] == "900001"
    assert active(caller) == [placed["orderId"]]


def test_a_part_is_canceled_and_all_of_it_ends_the_order(caller):
    placed = caller.post(ORDERS, **LIMIT)
    path, where = f"{ORDERS}/cancel/{placed['orderId']}", {"symbol": "BTC-USDT"}

    part = caller.delete(path, cancelSize="0.004", **where)

    assert part == {"orderId": placed["orderId"], "cancelSize": "0.004"}
    row = caller.get(f"{ORDERS}/{placed['orderId']}", **where)
    assert (row["size"], row["remainSize"], row["remainFunds"]) == ("0.006", "0.006", "480")
    assert caller.refusal("DELETE", path, cancelSize="0.007", **where)[0] == "400100"
    assert caller.refusal("DELETE", path, cancelSize="0", **where)[0] == "400100"
    caller.delete(path, cancelSize="0.006", **where)
    assert active(caller) == []


def test_cancel_of_a_symbol_and_of_all(caller):
    other = {"symbol": "ETH-BTC", "price": "0.02", "size": "0.1"}
    for _ in range(2):
        caller.post(ORDERS, **LIMIT)
    caller.post(ORDERS, **LIMIT | other)

    assert caller.delete(ORDERS, symbol="BTC-USDT") == "success"
    assert (active(caller), len(active(caller, "ETH-BTC"))) == ([], 1)
    caller.post(ORDERS, **LIMIT)
    done = caller.delete(f"{ORDERS}/cancelAll")
    assert done["failedSymbols"] == []
    assert sorted(done["succeedSymbols"]) == ["BTC-USDT", "ETH-BTC"]
    assert caller.get(f"{ORDERS}/active/symbols") == {"symbols": []}


@pytest.mark.parametrize("post_only", [False, True])
def test_an_order_with_a_time_limit_ends_by_itself(desk, post_only):
    exchange, caller = desk
    limit = {"timeInForce": "GTT", "cancelAfter": 5, "postOnly": post_only}
    caller.post(ORDERS, **LIMIT | limit)

    let_pass(exchange, 3)
    before = active(caller)
    let_pass(exchange, 3)

    assert (len(before), active(caller)) == (1, [])


@pytest.mark.parametrize("clock", ["exchange", "machine"])
def test_an_order_that_comes_too_late_is_refused(desk, clock):
    exchange, caller = desk
    now_ns = exchange.now_ns if clock == "exchange" else clocks.current().wall_ns()
    window = LIMIT | {"allowMaxTimeWindow": 2_000}

    placed = caller.post(ORDERS, **window, clientTimestamp=now_ns // 1_000_000 - 1_000)
    code, why = caller.refusal(
        "POST", ORDERS, **window, clientTimestamp=now_ns // 1_000_000 - 9_000
    )

    assert active(caller) == [placed["orderId"]]
    assert code == "400100"
    assert why.endswith("ms after clientTimestamp: 2000 allowed")
    assert caller.refusal("POST", ORDERS, **window)[1].startswith("clientTimestamp is missing")


def test_futures_orders_are_not_seen_and_not_canceled_here(desk):
    exchange, caller = desk
    contract = exchange.demo_account.place("XBTUSDTM", "buy", 1, price=80_000)

    caller.delete(f"{ORDERS}/cancelAll")

    assert exchange.demo_account.open_orders == [contract]
    path = f"{ORDERS}/{contract}"
    assert caller.refusal("GET", path, symbol="BTC-USDT") == ("400100", "order not exist.")
    assert caller.refusal("POST", ORDERS, **LIMIT | {"symbol": "XBTUSDTM"})[0] == "900001"


def test_rows_private_frames_and_public_tape_say_the_same(desk):
    exchange, caller = desk
    with private_client(exchange, "spot") as client:
        for topic in ("/spotMarket/tradeOrdersV2", "/account/balance"):
            assert subscribe_private(client, topic)["type"] == "ack"
        assert client.subscribe("/market/match:BTC-USDT")["type"] == "ack"
        taken = caller.post(ORDERS, clientOid="taker", **LIMIT | {"price": "85100", "size": "0.05"})
        best = caller.get("/api/v1/market/orderbook/level1", symbol="BTC-USDT")["bestBid"]
        rested = caller.post(ORDERS, clientOid="maker", **LIMIT | {"price": best})
        let_pass(exchange, 600)
        drain(client)
        frames = client.messages()

    for order_id in (taken["orderId"], rested["orderId"]):
        row = caller.get(f"{ORDERS}/{order_id}", symbol="BTC-USDT")
        fills = caller.get("/api/v1/hf/fills", symbol="BTC-USDT", orderId=order_id)["items"]
        events = [
            one["data"] for one in frames
            if one["subject"] == "orderChange" and one["data"]["orderId"] == order_id
        ]  # fmt: skip
        matches = [one for one in events if one["type"] == "match"]
        assert fills
        assert events[0]["type"] == "received"
        assert {one["clientOid"] for one in events} == {row["clientOid"]}
        assert sorted((one["tradeId"], one["matchPrice"], one["matchSize"]) for one in matches) == (
            sorted((str(one["tradeId"]), one["price"], one["size"]) for one in fills)
        )
        tape = {
            one["data"]["tradeId"]: one["data"] for one in frames
            if one["topic"].startswith("/market/match")
        }  # fmt: skip
        for fill in fills:
            public = tape[str(fill["tradeId"])]
            sides = {"takerOrderId": "taker", "makerOrderId": "maker"}
            mine = next(name for name, kind in sides.items() if kind == fill["liquidity"])
            other = next(name for name in sides if name != mine)
            assert (public[mine], public[other]) == (order_id, fill["counterOrderId"])
            assert (public["price"], public["size"]) == (fill["price"], fill["size"])
        assert Decimal(row["dealFunds"]) == sum(Decimal(one["funds"]) for one in fills)
        assert Decimal(row["fee"]) == sum(Decimal(one["fee"]) for one in fills)
        assert events[-1]["filledSize"] == row["dealSize"]


def test_the_account_in_the_process_and_the_calls_see_the_same_orders(desk):
    exchange, caller = desk
    account = exchange.demo_account
    here = account.place("BTC-USDT", "buy", "0.01", price=80_000, client_oid="here")
    there = caller.post(ORDERS, clientOid="there", **LIMIT)["orderId"]

    assert sorted(account.open_orders) == sorted(active(caller)) == sorted([here, there])
    assert caller.refusal("POST", ORDERS, clientOid="here", **LIMIT)[0] == "400100"
    account.cancel(there)
    caller.delete(f"{ORDERS}/{here}", symbol="BTC-USDT")
    assert account.open_orders == active(caller) == []


def test_orders_need_a_key(desk):
    exchange, _ = desk
    stranger = type(desk[1])(exchange, key="nobody")

    reply = stranger.send("POST", ORDERS, **LIMIT)

    assert (reply.status_code, reply.json()["code"]) == (401, "400003")
