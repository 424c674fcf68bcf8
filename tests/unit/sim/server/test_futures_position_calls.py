"""Futures positions and their margin over REST."""

from decimal import Decimal

import pytest

from kucoin_research.sim.server.rest import ROUTES
from kucoin_research.sim.server.routes import Site, find_route
from tests.unit.sim.futures_caller import Caller, fields, quiet_exchange
from tests.unit.sim.signed import MarketFloor, private_client, subscribe_private

XBT, INVERSE, KCS = "XBTUSDTM", "XBTUSDM", "KCSUSDTM"

# The fields of the replies in the samples of KuCoin's own SDK (kucoin_universal_sdk 1.3).
CROSS_FIELDS = fields(
    "id symbol crossMode delevPercentage openingTimestamp currentTimestamp currentQty currentCost "
    "currentComm unrealisedCost realisedGrossCost realisedCost isOpen markPrice markValue posCost "
    "posInit posMargin realisedGrossPnl realisedPnl unrealisedPnl unrealisedPnlPcnt "
    "unrealisedRoePcnt avgEntryPrice liquidationPrice bankruptPrice settleCurrency isInverse "
    "marginMode positionSide leverage"
)
ISOLATED_FIELDS = CROSS_FIELDS | fields(
    "autoDeposit maintMarginReq riskLimit realLeverage posCross posCrossMargin posComm "
    "posCommCommon posLoss posFunding posMaint maintMargin maintainMargin"
)
CLOSED_FIELDS = fields(
    "closeId userId symbol settleCurrency leverage type pnl realisedGrossCost realisedGrossCostNew "
    "withdrawPnl tradeFee fundingFee openTime closeTime openPrice closePrice marginMode tax roe "
    "liquidAmount liquidPrice side"
)
LIMIT_FIELDS = fields("symbol maxOpenSize maxOpenValue totalMargin price leverage mmr imr currency")


@pytest.fixture(scope="module")
def exchange():
    with quiet_exchange(symbols=[XBT, INVERSE, KCS]) as running:
        yield running


@pytest.fixture
def caller(exchange):
    """A client of the demo account, which has no orders and no positions at first."""
    account = exchange.demo_account
    account.cancel_all()
    for symbol, lots in account.positions.items():
        account.place(symbol, "sell" if lots > 0 else "buy", abs(lots))
    for symbol in (XBT, INVERSE, KCS):
        account.set_margin_mode(symbol, "ISOLATED")
        account.set_leverage(symbol, 10)
    made = Caller(exchange)
    made.number = next(_numbers) * 1_000
    return made


_numbers = iter(range(1, 1_000))


def position(caller, symbol=XBT):
    return caller.get("/api/v1/position", symbol=symbol)


# Positions


def test_an_isolated_and_a_cross_position_have_every_field(caller):
    caller.post("/api/v2/position/changeMarginMode", symbol=INVERSE, marginMode="CROSS")
    caller.place(XBT, "buy", 10)
    caller.place(INVERSE, "sell", 200, marginMode="CROSS")

    isolated, crossed = position(caller), position(caller, INVERSE)

    assert set(isolated) >= ISOLATED_FIELDS
    assert set(crossed) >= CROSS_FIELDS
    assert not set(crossed) & {"autoDeposit", "posCross", "posLoss", "riskLimit"}
    assert (isolated["currentQty"], isolated["marginMode"], isolated["isInverse"]) == (
        10,
        "ISOLATED",
        False,
    )
    assert (crossed["currentQty"], crossed["crossMode"], crossed["isInverse"]) == (-200, True, True)
    assert (isolated["positionSide"], isolated["isOpen"]) == ("BOTH", True)
    assert isolated["id"].isdigit()
    assert isolated["id"] != crossed["id"]


def test_positions_are_listed_by_currency(caller):
    caller.place(XBT, "buy", 10)
    caller.place(INVERSE, "buy", 200)

    listed = caller.get("/api/v1/positions")

    assert listed == [position(caller), position(caller, INVERSE)]
    assert caller.get("/api/v1/positions", currency="XBT") == listed[1:]
    assert caller.get("/api/v1/positions", currency="USDT") == listed[:1]
    assert caller.get("/api/v1/positions", currency="USDC") == []


def test_a_flat_position_is_not_open(caller):
    row = position(caller, KCS)

    assert (row["currentQty"], row["isOpen"], row["avgEntryPrice"]) == (0, False, 0)
    assert set(row) >= ISOLATED_FIELDS


def test_a_closed_position_is_the_sum_of_its_fills(caller, exchange):
    opening = caller.place(XBT, "sell", 30)
    closing = [caller.place(XBT, "buy", 10), caller.place(XBT, "buy", 20)]

    page = caller.get("/api/v1/history-positions", symbol=XBT)

    fills = [
        [row for order in orders for row in caller.get("/api/v1/fills", orderId=order)["items"]]
        for orders in ([opening], closing)
    ]
    opened, closed = (sum(Decimal(row["value"]) for row in side) for side in fills)
    fees = sum(Decimal(row["fee"]) for side in fills for row in side)
    row = page["items"][0]
    assert set(page) == {"currentPage", "pageSize", "totalNum", "totalPage", "items"}
    assert set(row) == CLOSED_FIELDS
    assert (row["type"], row["side"], row["marginMode"]) == ("CLOSE_SHORT", "SHORT", "ISOLATED")
    assert Decimal(row["realisedGrossCost"]) == closed - opened
    assert Decimal(row["tradeFee"]) == fees
    assert Decimal(row["pnl"]) == opened - closed - fees
    assert Decimal(row["openPrice"]) == pytest.approx(opened / 30 * 1000)
    assert Decimal(row["closePrice"]) == pytest.approx(closed / 30 * 1000)
    assert row["userId"] == exchange.demo_account.user_id
    assert (row["roe"], row["liquidAmount"], row["liquidPrice"]) == (None, None, None)


def test_closed_positions_are_listed_in_pages_and_by_time(caller):
    for symbol in (XBT, KCS, XBT):
        caller.place(symbol, "buy", 1)
        caller.place(symbol, "sell", 1)

    newest = caller.get("/api/v1/history-positions", limit=2)
    older = caller.get("/api/v1/history-positions", limit=1, pageId=3)

    assert [row["symbol"] for row in (*newest["items"], *older["items"])] == [XBT, KCS, XBT]
    assert (newest["pageSize"], older["currentPage"]) == (2, 3)
    last = newest["items"][0]["closeTime"]
    assert caller.get("/api/v1/history-positions", **{"from": last + 1})["items"] == []
    assert caller.get("/api/v1/history-positions", to=last)["items"][0] == newest["items"][0]


def test_positions_are_one_way(caller):
    mode, switch = "/api/v2/position/getPositionMode", "/api/v2/position/switchPositionMode"

    assert caller.get(mode) == {"positionMode": 0}
    assert caller.post(switch, positionMode="0") == {"positionMode": 0}
    assert caller.refusal("POST", switch, {"positionMode": "1"}) == (
        "400100",
        "hedge mode is not simulated: positions are one-way here (positionMode 0)",
    )
    assert caller.refusal("POST", switch, {"positionMode": "2"})[0] == "100001"


# Modes and leverages


def test_the_margin_mode_of_a_symbol_is_changed_and_reported(caller, exchange):
    with private_client(exchange) as client:
        subscribe_private(client, "/contract/marginMode")
        changed = caller.post("/api/v2/position/changeMarginMode", symbol=XBT, marginMode="CROSS")
        frame = client.until(lambda frame: frame.get("subject") == "user.config")

    assert changed == {"symbol": XBT, "marginMode": "CROSS"}
    assert frame["data"] == {XBT: "CROSS"}
    assert caller.get("/api/v2/position/getMarginMode", symbol=XBT) == changed


def test_the_margin_mode_of_a_position_is_fixed(caller):
    caller.place(XBT, "buy", 1)
    path = "/api/v2/position/changeMarginMode"

    assert caller.refusal("POST", path, {"symbol": XBT, "marginMode": "CROSS"})[0] == "330005"
    assert caller.refusal("POST", path, {"symbol": XBT, "marginMode": "X"})[0] == "100001"
    assert caller.refusal("POST", path, {"symbol": XBT}) == ("100001", "marginMode is missing")


def test_margin_modes_of_several_symbols_are_changed_at_once(caller):
    caller.place(XBT, "buy", 1)

    changed = caller.post(
        "/api/v2/position/batchChangeMarginMode", marginMode="CROSS", symbols=[KCS, XBT]
    )

    assert changed == {
        "marginMode": {KCS: "CROSS", XBT: "ISOLATED"},
        "errors": [{"code": "50002", "msg": "exist.order.or.position", "symbol": XBT}],
    }


def test_the_leverage_of_cross_margin_is_the_symbols(caller, exchange):
    caller.post("/api/v2/position/changeMarginMode", symbol=XBT, marginMode="CROSS")
    path = "/api/v2/changeCrossUserLeverage"
    with private_client(exchange) as client:
        subscribe_private(client, "/contract/crossLeverage")
        assert caller.post(path, symbol=XBT, leverage="25") is True
        frame = client.until(lambda frame: frame.get("subject") == "user.config")

    assert frame["data"] == {XBT: {"leverage": "25"}}
    assert caller.get("/api/v2/getCrossUserLeverage", symbol=XBT) == {
        "symbol": XBT,
        "leverage": "25",
    }
    assert caller.refusal("POST", path, {"symbol": XBT, "leverage": "126"}) == (
        "300016",
        "The leverage cannot be greater than 125.",
    )
    assert caller.refusal("POST", path, {"symbol": XBT, "leverage": "0"})[0] == "100001"
    assert caller.refusal("POST", path, {"symbol": XBT})[0] == "100001"


# Limits


@pytest.mark.parametrize("mode", ["ISOLATED", "CROSS"])
@pytest.mark.parametrize("held", [0, 50, -50])
def test_the_largest_size_is_taken_and_one_lot_more_is_not(caller, mode, held):
    caller.post("/api/v2/position/changeMarginMode", symbol=KCS, marginMode=mode)
    caller.post("/api/v2/changeCrossUserLeverage", symbol=KCS, leverage="3")
    if held:
        caller.place(KCS, "buy" if held > 0 else "sell", abs(held), marginMode=mode)
    price = caller.get("/api/v1/ticker", symbol=KCS)["price"]

    found = caller.get("/api/v2/getMaxOpenSize", symbol=KCS, price=price, leverage=3)

    assert set(found) == {"symbol", "maxBuyOpenSize", "maxSellOpenSize"}
    for side in ("buy", "sell"):
        most = found[f"max{side.title()}OpenSize"]
        form = caller.form(KCS, side, most, price, marginMode=mode, leverage=3)
        assert most > 1_000
        caller.post("/api/v1/orders/test", **form)
        more = form | {"size": most + 1}
        assert caller.refusal("POST", "/api/v1/orders/test", more)[0] == "300003"


def test_the_largest_size_ends_with_the_risk_limit(caller):
    caller.post("/api/v1/position/risk-limit-level/change", symbol=KCS, level=1)

    found = caller.get("/api/v2/getMaxOpenSize", symbol=KCS, price="11.6", leverage=20)

    assert found["maxBuyOpenSize"] == 86_206  # of 1.16 USDT: the most up to 100 000 USDT


def test_limits_of_cross_margin(caller):
    rows = caller.get(
        "/api/v2/batchGetCrossOrderLimit", symbol=f"{XBT},{INVERSE}", totalMargin="5", leverage=10
    )

    assert [set(row) for row in rows] == [LIMIT_FIELDS] * 2
    for row, lot in zip(rows, (Decimal("0.001"), None), strict=True):
        price, lots = Decimal(row["price"]), row["maxOpenSize"]

        def value(count, price=price, lot=lot):
            return count * lot * price if lot else count / price

        per_value = Decimal(row["imr"]) + Decimal("0.0006")
        assert (row["leverage"], row["totalMargin"], row["imr"]) == ("10.00", "5", "0.1")
        assert value(lots) * per_value <= 5 < value(lots + 1) * per_value
        assert Decimal(row["maxOpenValue"]) == pytest.approx(value(lots))
    assert [row["currency"] for row in rows] == ["USDT", "XBT"]


def test_limits_of_cross_margin_have_usual_values(caller):
    (row,) = caller.get("/api/v2/batchGetCrossOrderLimit", symbol=XBT)

    assert (row["totalMargin"], row["leverage"]) == ("10000", "125.00")
    size = row["maxOpenSize"] * Decimal("0.001")
    assert Decimal(row["mmr"]) == round((1 + size / 300) / 250, 10)


def test_limits_of_cross_margin_end_with_the_contracts_own(caller):
    most = caller.get(f"/api/v1/contracts/{KCS}")["crossRiskLimit"]

    (row,) = caller.get(
        "/api/v2/batchGetCrossOrderLimit", symbol=KCS, totalMargin=1_000_000_000, leverage=20
    )

    lot = Decimal(row["price"]) / 10
    assert row["maxOpenSize"] * lot <= most < (row["maxOpenSize"] + 1) * lot


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "100001"),
        ({"symbol": "NOPE"}, "200003"),
        ({"symbol": XBT, "leverage": 0}, "100001"),
        ({"symbol": XBT, "totalMargin": -1}, "100001"),
        ({"symbol": ",".join([XBT] * 51)}, "100001"),
    ],
)
def test_limits_of_cross_margin_of_what_makes_no_sense(caller, query, code):
    assert caller.refusal("GET", "/api/v2/batchGetCrossOrderLimit", **query)[0] == code


def test_a_chosen_risk_limit_holds_and_cancels_open_orders(caller, exchange):
    order_id = caller.place(XBT, "buy", 1, "80000")
    path = "/api/v1/position/risk-limit-level/change"
    with private_client(exchange) as client:
        subscribe_private(client, f"/contract/position:{XBT}")
        assert caller.data("POST", path, {"symbol": XBT, "level": 2}) is True
        frame = client.until(lambda frame: frame.get("subject") == "position.adjustRiskLimit")

    assert frame["data"] == {"success": True, "riskLimitLevel": 2, "msg": ""}
    assert caller.order(order_id)["cancelExist"] is True
    assert position(caller)["riskLimit"] == 500_000
    assert caller.refused_order(XBT, "buy", 6_300, "80000")[0] == "300005"
    for level in (None, "x", 1.5, 99):
        assert caller.refusal("POST", path, {"symbol": XBT, "level": level})[0] == "100001"


# Margin by hand


def test_margin_is_added_once_for_a_request_and_taken_out(caller):
    caller.place(XBT, "buy", 10)
    before = position(caller)
    path = "/api/v1/position/margin/deposit-margin"

    added = caller.post(path, symbol=XBT, margin=7.5, bizNo="one")
    again = caller.post(path, symbol=XBT, margin=7.5, bizNo="one")

    assert set(added) >= set(before) | {"userId"}
    assert added["posCross"] == again["posCross"] == 7.5
    assert added["posMargin"] == pytest.approx(before["posMargin"] + 7.5)
    assert added["bankruptPrice"] < before["bankruptPrice"]
    most = caller.get("/api/v1/margin/maxWithdrawMargin", symbol=XBT)
    withdraw = "/api/v1/margin/withdrawMargin"
    assert caller.post(withdraw, symbol=XBT, withdrawAmount=most) == most
    assert caller.get("/api/v1/margin/maxWithdrawMargin", symbol=XBT) == "0"
    assert position(caller)["posCross"] == pytest.approx(7.5 - float(most))
    refused = {"symbol": XBT, "withdrawAmount": "1"}
    assert caller.refusal("POST", withdraw, refused)[0] == "100001"


def test_margin_is_added_by_itself_if_the_account_says_so(caller):
    caller.place(XBT, "buy", 10)
    path = "/api/v1/position/margin/auto-deposit-status"

    assert caller.post(path, symbol=XBT, status=True) is True

    assert position(caller)["autoDeposit"] is True
    assert caller.refusal("POST", path, {"symbol": XBT}) == ("100001", "status is missing")


@pytest.mark.parametrize(
    ("method", "path", "values"),
    [
        ("GET", "/api/v1/margin/maxWithdrawMargin", {}),
        ("POST", "/api/v1/margin/withdrawMargin", {"withdrawAmount": "1"}),
        ("POST", "/api/v1/position/margin/deposit-margin", {"margin": "1", "bizNo": "b"}),
        ("POST", "/api/v1/position/margin/auto-deposit-status", {"status": True}),
    ],
)
def test_margin_by_hand_needs_an_isolated_position(caller, method, path, values):
    body, query = (None, values) if method == "GET" else (values | {"symbol": XBT}, {})
    if method == "GET":
        query = query | {"symbol": XBT}

    code, message = caller.refusal(method, path, body, **query)

    assert (code, message) == ("300009", "No open positions with isolated margin in XBTUSDTM.")


@pytest.mark.parametrize(
    "path",
    ["/api/v1/position", "/api/v2/position/getMarginMode", "/api/v2/getCrossUserLeverage",
     "/api/v2/getMaxOpenSize", "/api/v1/margin/maxWithdrawMargin"],
)  # fmt: skip
def test_calls_about_a_position_need_a_contract(caller, path):
    assert caller.refusal("GET", path) == ("100001", "symbol is missing: name a contract")
    assert caller.refusal("GET", path, symbol="NOPE")[0] == "200003"


def test_a_liquidated_position_is_in_the_history_and_its_fills_say_so():
    floor = MarketFloor(XBT)
    account, site = floor.account(), Site(floor.hub, "futures")
    account.set_leverage(XBT, 100)
    account.place(XBT, "buy", 10)
    floor.me.positions[XBT].add_margin(Decimal(-6))  # as a fall of the mark would leave it
    floor.run(1.5)

    def answer(path, **values):
        route, _ = find_route(ROUTES["futures"], path)
        return route.account_answer(site, values, floor.me).body["data"]["items"]

    (closed,) = answer("/api/v1/history-positions")
    assert (closed["type"], closed["side"], closed["liquidAmount"]) == ("LIQUID_LONG", "LONG", "10")
    assert closed["liquidPrice"] == closed["closePrice"]
    taken_over = answer("/api/v1/fills", tradeTypes="liquid")
    assert sum(row["size"] for row in taken_over) == 10
    assert {(row["fee"], row["feeRate"], row["side"]) for row in taken_over} == {
        ("0", "0.00000", "sell")
    }
    (order,) = answer("/api/v1/orders", side="sell")
    assert (order["clientOid"], order["reduceOnly"], order["dealSize"]) == ("", True, 10)
