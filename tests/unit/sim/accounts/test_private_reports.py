"""Every private topic's frames have the shape of the samples in the protocol reference (8)."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.unit.sim.client import drain, open_exchange
from tests.unit.sim.messages.test_classic import shape
from tests.unit.sim.signed import MarketFloor, life, private_client, subscribe_private

FUTURES = (
    "/contractMarket/tradeOrders",
    "/contractMarket/tradeOrders:XBTUSDTM",
    "/contractMarket/advancedOrders",
    "/contractAccount/wallet",
    "/contract/position:XBTUSDTM",
    "/contract/positionAll",
    "/contract/marginMode",
    "/contract/crossLeverage",
)
SPOT = (
    "/spotMarket/tradeOrdersV2",
    "/spotMarket/tradeOrders",
    "/spotMarket/advancedOrders",
    "/account/balance",
    "/margin/position",
    "/margin/isolatedPosition:BTC-USDT",
    "/margin/loan:BTC",
)
# A second before a settlement.
BEFORE_FUNDING = "2026-01-05T07:59:58Z"
# The samples of the reference, symbols put in; `topic type subject userId channelType` are checked
# apart. Then the fields that the reference lists beside the sample, and those of KuCoin's documents
# of 2025 and 2026. The samples of V1 on spot are as captured in January 2026.
HEADS = {"topic", "type", "subject", "userId", "channelType", "data"}
SAMPLE_LINES = """
futures-order={"symbol":"XBTUSDTM","side":"buy","canceledSize":"0","orderId":"247899236673269761","marginMode":"ISOLATED","type":"open","orderTime":1731916985768138917,"size":"1","filledSize":"0","price":"91670","remainSize":"1","status":"open","ts":1731916985789000000,"orderType":"limit","tradeType":"trade","positionSide":"BOTH","clientOid":"x","allCanceledSize":"0"}
futures-match={"symbol":"XBTUSDTM","side":"buy","canceledSize":"0","orderId":"247899236673269761","liquidity":"maker","marginMode":"ISOLATED","type":"open","orderTime":1731916985768138917,"size":"1","filledSize":"0","price":"91670","remainSize":"1","status":"open","ts":1731916985789000000,"orderType":"limit","tradeType":"trade","positionSide":"BOTH","matchPrice":"1","matchSize":"1","tradeId":"1","feeType":"takerFee","clientOid":"x"}
futures-update={"symbol":"XBTUSDTM","side":"buy","canceledSize":"0","orderId":"247899236673269761","liquidity":"maker","marginMode":"ISOLATED","type":"open","orderTime":1731916985768138917,"size":"1","filledSize":"0","price":"91670","remainSize":"1","status":"open","ts":1731916985789000000,"orderType":"limit","tradeType":"trade","positionSide":"BOTH","oldSize":"2","clientOid":"x"}
futures-stop={"createdAt":1730194206837,"marginMode":"ISOLATED","orderId":"240673378116083712","orderPrice":"0.1","orderType":"stop","side":"buy","size":1,"stop":"down","stopPrice":"1000","stopPriceType":"TP","symbol":"XBTUSDTM","ts":1730194206843133000,"type":"open"}
wallet={"crossPosMargin":"0","isolatedOrderMargin":"18.1188","holdBalance":"0","equity":"81.273621258","version":"1337","availableBalance":"26.144281178","isolatedPosMargin":"36.80984008","walletBalance":"81.072921258","isolatedFundingFeeMargin":"0","crossUnPnl":"0","totalCrossMargin":"26.144281178","currency":"USDT","isolatedUnPnl":"0.2007","crossOrderMargin":"0","timestamp":"1731916996764","maxWithdrawAmount":"1"}
position={"symbol":"XBTUSDTM","maintMarginReq":0.005,"riskLimit":500000,"realLeverage":4.9685590767,"crossMode":false,"delevPercentage":0.10,"openingTimestamp":1731916913097,"autoDeposit":true,"currentTimestamp":1731924561514,"currentQty":1,"currentCost":91.5306,"currentComm":0.09179284,"unrealisedCost":91.6945,"realisedCost":-0.07210716,"isOpen":true,"markPrice":91839.79,"markValue":91.83979,"posCost":91.6945,"posCross":0,"posInit":18.3389,"posComm":0.06602004,"posLoss":0,"posMargin":18.40492004,"posFunding":0,"posMaint":0.5634627025,"maintMargin":18.55021004,"avgEntryPrice":91694.5,"liquidationPrice":73853.0426625,"bankruptPrice":73355.6,"settleCurrency":"USDT","changeReason":"positionChange","riskLimitLevel":2,"realisedGrossCost":-0.1639,"realisedGrossPnl":0.1639,"realisedPnl":0.07210716,"unrealisedPnl":0.14529,"unrealisedPnlPcnt":0.0016,"unrealisedRoePcnt":0.0079,"leverage":4.9685590767,"marginMode":"ISOLATED","positionSide":"BOTH","tax":0,"dealComm":-0.04085652,"fundingFee":-0.00291083,"aggRate":0.0046}
mark={"symbol":"XBTUSDTM","markPrice":91839.79,"markValue":91.83979,"maintMargin":18.55021004,"realLeverage":4.9685590767,"unrealisedPnl":0.14529,"unrealisedPnlPcnt":0.0016,"unrealisedRoePcnt":0.0079,"delevPercentage":0.10,"currentTimestamp":1731924561514,"settleCurrency":"USDT","changeReason":"markPriceChange"}
settlement={"fundingTime":1731924561514,"qty":100,"markPrice":3610.85,"fundingRate":-0.002966,"fundingFee":-296,"ts":1731916985789000000,"settleCurrency":"XBT","symbol":"XBTUSDM","marginMode":"ISOLATED","positionSide":"BOTH"}
received={"clientOid":"5c52e11203aa677f33e493fc","orderId":"6720da3fa30a360007f5f832","orderTime":1730206271588,"orderType":"market","originSize":"0.00001","side":"buy","status":"new","symbol":"BTC-USDT","ts":1730206271616000000,"type":"received","pt":1768824042549}
spot-open={"clientOid":"5c52e11203aa677f33e493fc","orderId":"6720da3fa30a360007f5f832","orderTime":1730206271588,"orderType":"limit","originSize":"0.00001","side":"buy","status":"open","symbol":"BTC-USDT","ts":1730206271616000000,"type":"open","price":"1","size":"1","filledSize":"1","canceledSize":"1","remainSize":"1","pt":1768824042549}
spot-funds={"clientOid":"5c52e11203aa677f33e493fc","orderId":"6720da3fa30a360007f5f832","orderTime":1730206271588,"orderType":"market","side":"buy","status":"done","symbol":"BTC-USDT","ts":1730206271616000000,"type":"filled","size":"1","filledSize":"1","canceledSize":"1","remainSize":"1","originFunds":"1","remainFunds":"1","canceledFunds":"1","pt":1768824042549}
spot-match={"clientOid":"5c52e11203aa677f33e493fc","orderId":"6720da3fa30a360007f5f832","orderTime":1730206271588,"orderType":"market","originSize":"0.00001","side":"buy","status":"match","symbol":"BTC-USDT","ts":1730206271616000000,"type":"match","size":"1","filledSize":"1","canceledSize":"1","remainSize":"1","matchPrice":"1","matchSize":"1","tradeId":"1","liquidity":"taker","feeType":"takerFee","pt":1768824042549}
spot-done={"clientOid":"5c52e11203aa677f33e493fc","orderId":"6720da3fa30a360007f5f832","orderTime":1730206271588,"orderType":"limit","originSize":"0.00001","side":"buy","status":"open","symbol":"BTC-USDT","ts":1730206271616000000,"type":"open","price":"1","size":"1","filledSize":"1","canceledSize":"1","remainSize":"1","pt":1768824042549,"remainFunds":"0"}
v1-funds-match={"clientOid":"644c71f0","feeType":"takerFee","filledSize":"0.1493","funds":"12","liquidity":"taker","matchPrice":"80.34","matchSize":"0.1493","orderId":"696e1c","orderTime":1768824042544,"orderType":"market","pt":1768824042549,"remainFunds":"0.005238","side":"buy","status":"match","symbol":"BTC-USDT","tradeId":"19259769015523328","ts":1768824042548000000,"type":"match"}
v1-funds-done={"clientOid":"644c71f0","filledSize":"0.1493","funds":"12","orderId":"696e1c","orderTime":1768824042544,"orderType":"market","pt":1768824042549,"remainFunds":"0","remainSize":"0","side":"buy","status":"done","symbol":"BTC-USDT","ts":1768824042548000000,"type":"canceled"}
v1-match={"clientOid":"4171e0db","feeType":"takerFee","filledSize":"0.1492","liquidity":"taker","matchPrice":"0.0008613","matchSize":"0.1492","orderId":"696e1c","orderTime":1768824042918,"orderType":"market","pt":1768824042924,"remainSize":"0","side":"sell","size":"0.1492","status":"match","symbol":"BTC-USDT","tradeId":"16389537432358912","ts":1768824042923000000,"type":"match"}
v1-done={"clientOid":"4171e0db","filledSize":"0.1492","orderId":"696e1c","orderTime":1768824042918,"orderType":"market","pt":1768824042924,"remainFunds":"0","remainSize":"0","side":"sell","size":"0.1492","status":"done","symbol":"BTC-USDT","ts":1768824042923000000,"type":"filled"}
balance={"accountId":"548674591753","currency":"USDT","total":"21.133773386762","available":"20.132773386762","hold":"1.001","availableChange":"-0.5005","holdChange":"0.5005","relationContext":{"symbol":"BTC-USDT","orderId":"6721d0632db25b0007071fdc"},"relationEvent":"trade.hold","relationEventId":"354689988084000","time":"1730269283892"}
spot-stop={"orderId":"vs93gpupfa48anof003u85mb","orderPrice":"70000","orderType":"stop","side":"buy","size":"0.00007142","stop":"loss","stopPrice":"71000","symbol":"BTC-USDT","tradeType":"TRADE","type":"open","createdAt":1742305928064,"ts":1742305928091268493}
debt={"debtRatio":0.1,"totalAsset":0.1,"totalDebt":"0","marginCoefficientTotalAsset":"0","assetList":{"USDT":{"total":"1","available":"1","hold":"0"}},"debtList":{"USDT":"1"},"timestamp":1729912435657}
status={"type":"FROZEN_FL","timestamp":1729912435657}
isolated={"tag":"BTC-USDT","status":"DEBT","statusBizType":"DEFAULT_DEBT","accumulatedPrincipal":"5.01","changeAssets":{"BTC":{"total":"0","hold":"0","liabilityPrincipal":"0","liabilityInterest":"0"},"USDT":{"total":"0","hold":"0","liabilityPrincipal":"26","liabilityInterest":"0"}},"timestamp":1730121097742}
"""
SAMPLES = {
    name: json.loads(text)
    for name, _, text in (line.partition("=") for line in SAMPLE_LINES.split())
}


@pytest.fixture(scope="module")
def futures():
    floor = MarketFloor("XBTUSDTM", start=BEFORE_FUNDING)
    floor.listen("futures", *FUTURES)
    me, best = floor.account(), lambda: floor.hub.engine("XBTUSDTM").best_bid / 10
    me.place("XBTUSDTM", "buy", 5)
    resting = me.place("XBTUSDTM", "buy", 4, price=best() - 50, client_oid="mine")
    me.amend(resting, 2)
    me.cancel(resting)
    me.cancel(me.place("XBTUSDTM", "buy", 1, stop="down", stop_price=1000, price="999.5"))
    me.place("XBTUSDTM", "buy", 1, stop="up", stop_price=1000)
    floor.run(12)  # until the end of the settlement
    me.place("XBTUSDTM", "sell", floor.me.positions["XBTUSDTM"].quantity)
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.set_leverage("XBTUSDTM", 8)
    return floor


@pytest.fixture(scope="module")
def spot():
    floor = MarketFloor("BTC-USDT", start=BEFORE_FUNDING)
    floor.listen("spot", *SPOT)
    me, best = floor.account(), lambda: floor.hub.engine("BTC-USDT").best_bid / 10
    me.place("BTC-USDT", "buy", "0.01")
    me.place("BTC-USDT", "buy", funds=500)
    me.cancel(me.place("BTC-USDT", "sell", "0.01", price=best() + 5000, client_oid="mine"))
    me.cancel(me.place("BTC-USDT", "buy", "0.01", stop="loss", stop_price=100, price=90))
    me.place("BTC-USDT", "sell", "0.01", stop="entry", stop_price=100)
    me.borrow("USDT", 100)
    me.borrow("USDT", 100, symbol="BTC-USDT")
    floor.run(9)
    me.deposit("margin", "USDT", -1099)
    me.borrow("USDT", 100)
    me.repay("USDT", 100, symbol="BTC-USDT")
    return floor


# Which frame (market, subject, fields) has the shape of which sample; frames with ids are told.
GOLDEN = [
    ("futures", "symbolOrderChange", {"type": "match"}, "futures-match", False),
    ("futures", "symbolOrderChange", {"type": "filled"}, "futures-order", False),
    ("futures", "symbolOrderChange", {"type": "update"}, "futures-update", False),
    ("futures", "stopOrder", {"type": "open"}, "futures-stop", True),
    ("futures", "stopOrder", {"type": "cancel"}, "futures-stop", True),
    ("futures", "walletBalance.change", {}, "wallet", True),
    ("futures", "position.change", {"changeReason": "positionChange"}, "position", False),
    ("futures", "position.change", {"changeReason": "markPriceChange"}, "mark", False),
    ("futures", "position.settlement", {}, "settlement", False),
    ("spot", "orderChange", {"type": "received", "orderType": "market"}, "received", False),
    ("spot", "orderChange", {"type": "open"}, "spot-open", False),
    ("spot", "orderChange", {"type": "canceled", "orderType": "limit"}, "spot-done", False),
    ("spot", "orderChange", {"type": "match"}, "spot-match", False),
    ("spot", "account.balance", {"relationEvent": "trade.hold"}, "balance", True),
    ("spot", "stopOrder", {"type": "open"}, "spot-stop", True),
    ("spot", "debt.ratio", {}, "debt", False),
    ("spot", "position.status", {}, "status", False),
    ("spot", "positionChange", {}, "isolated", False),
]


@pytest.mark.parametrize(("market", "subject", "wanted", "sample", "has_id"), GOLDEN)
def test_frames_have_the_shape_of_the_samples(request, market, subject, wanted, sample, has_id):
    floor = request.getfixturevalue(market)
    frame = next(
        frame
        for frame in floor.frames
        if frame["subject"] == subject and wanted.items() <= frame["data"].items()
    )

    assert set(frame) == HEADS | ({"id"} if has_id else set())
    assert frame["type"] == "message"
    assert frame["channelType"] == "private"
    assert frame["userId"] == floor.me.user_id
    assert shape(frame["data"]) == shape(SAMPLES[sample])


def test_market_buy_by_funds_tells_funds(spot):
    [order] = {row["orderId"] for row in spot.data("orderChange", originFunds="500")}
    rows = spot.data("orderChange", orderId=order)
    [done, _] = [row for row in rows if row["type"] == "canceled"]

    assert shape(done) == shape(SAMPLES["spot-funds"])
    assert 0 <= float(done["canceledFunds"]) < 0.01
    assert done["remainFunds"] == "0"


def test_frame_ids_are_like_kucoins(futures, spot):
    wallet = next(f for f in futures.frames if f["topic"] == "/contractAccount/wallet")
    balance = next(f for f in spot.frames if f["topic"] == "/account/balance")

    assert len(wallet["id"]) == 24
    assert balance["id"] == balance["data"]["relationEventId"]


def test_settings_are_told_as_user_config(futures):
    rows = futures.data("user.config")

    assert rows == [{"XBTUSDTM": "CROSS"}, {"XBTUSDTM": {"leverage": "8"}}]


def test_cross_position_omits_the_isolated_fields():
    floor = MarketFloor("XBTUSDTM")
    floor.listen("futures", "/contract/positionAll")
    me = floor.account()
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.place("XBTUSDTM", "sell", 3)

    row = floor.data("position.change")[-1]

    isolated = SAMPLES["position"]
    omitted = (
        "autoDeposit riskLimit realLeverage posCross posComm posLoss posFunding maintMargin "
        "riskLimitLevel aggRate"
    )
    assert set(isolated) - set(row) == set(omitted.split())
    assert (row["currentQty"], row["crossMode"], row["marginMode"]) == (-3, True, "CROSS")


def test_mark_frames_come_each_second_and_have_no_quantity(futures):
    rows = futures.data("position.change", changeReason="markPriceChange")

    seconds = sorted({row["currentTimestamp"] // 1_000 for row in rows})
    assert len(seconds) >= 2
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    assert all("currentQty" not in row for row in rows)


def test_spot_v1_has_no_received(spot):
    types = {
        topic: [f["data"]["type"] for f in spot.frames if f["topic"] == topic] for topic in SPOT[:2]
    }

    assert types[SPOT[1]] == [one for one in types[SPOT[0]] if one != "received"]
    assert "received" in types[SPOT[0]]


@pytest.mark.parametrize(
    ("kind", "has_funds", "sample"),
    [
        ("match", True, "v1-funds-match"),
        ("canceled", True, "v1-funds-done"),
        ("match", False, "v1-match"),
        ("filled", False, "v1-done"),
    ],
)
def test_spot_v1_has_no_original_and_no_canceled_sizes(spot, kind, has_funds, sample):
    row = next(
        frame["data"]
        for frame in spot.frames
        if frame["topic"] == "/spotMarket/tradeOrders"
        and (frame["data"]["type"], frame["data"]["orderType"]) == (kind, "market")
        and ("funds" in frame["data"]) is has_funds
    )

    assert shape(row) == shape(SAMPLES[sample])


def test_a_position_says_what_its_realised_profit_is_made_of(futures):
    rows = [
        *futures.data("position.change", changeReason="positionChange"),
        *futures.data("position.change", changeReason="liquidation"),
    ]

    for row in rows:
        parts = row["realisedGrossPnl"] + row["dealComm"] + row["fundingFee"] - row["tax"]
        assert row["realisedPnl"] == pytest.approx(parts)
        assert row["aggRate"] == pytest.approx(row["maintMarginReq"] + 0.0006)
    assert any(row["fundingFee"] for row in rows)


def test_a_wallet_says_how_much_of_its_margin_is_funding(futures):
    [fee] = {row["fundingFee"] for row in futures.data("position.settlement")}
    row = next(
        row
        for row in futures.data("walletBalance.change")
        if row["isolatedFundingFeeMargin"] != "0"
    )

    assert float(row["isolatedFundingFeeMargin"]) == pytest.approx(fee)
    assert row["maxWithdrawAmount"] == row["availableBalance"]


def test_every_order_has_a_client_id_but_what_the_exchange_places():
    floor = MarketFloor("XBTUSDTM", facts={"price_limit_rate": "0.9"})
    floor.listen("futures", "/contractMarket/tradeOrders")
    me = floor.account()
    me.set_leverage("XBTUSDTM", 100)
    placed = me.place("XBTUSDTM", "buy", 1)
    floor.me.positions["XBTUSDTM"].margin_funding = Decimal(-1_000)  # nothing is left of its margin
    floor.run(2)

    rows = floor.data("symbolOrderChange")
    assert {row.get("clientOid") for row in rows if row["tradeType"] == "trade"} == {placed}
    assert {row.get("clientOid") for row in rows if row["tradeType"] == "liquid"} == {None}


def test_debt_ratio_comes_every_four_seconds(spot):
    times = sorted({row["timestamp"] for row in spot.data("debt.ratio")})

    assert 4_000 in [after - before for before, after in pairwise(times)]
    assert [row["type"] for row in spot.data("position.status")] == ["FROZEN_FL"]


def types_of(floor, subject, order_id):
    return [row["type"] for row in floor.data(subject, orderId=order_id)]


def test_futures_order_lives_as_documented():
    floor = MarketFloor("XBTUSDTM")
    floor.listen("futures", "/contractMarket/tradeOrders")
    me, engine = floor.account(), floor.hub.caught_up("XBTUSDTM")
    taker = me.place("XBTUSDTM", "buy", 2)
    rests = me.place("XBTUSDTM", "buy", 2, price=engine.best_bid / 10)
    ioc = me.place("XBTUSDTM", "buy", 2, price=engine.best_bid / 10 - 5, time_in_force="IOC")
    floor.run(300)

    assert types_of(floor, "symbolOrderChange", taker) == ["match", "filled"]
    assert types_of(floor, "symbolOrderChange", ioc) == ["canceled"]
    kinds = types_of(floor, "symbolOrderChange", rests)
    assert kinds[0] == "open"
    assert kinds[-1] == "filled"
    assert set(kinds[1:-1]) == {"match"}
    [match, *_] = floor.data("symbolOrderChange", orderId=rests, type="match")
    assert (match["liquidity"], match["feeType"]) == ("maker", "makerFee")


def test_spot_order_lives_as_documented():
    floor = MarketFloor("BTC-USDT")
    floor.listen("spot", "/spotMarket/tradeOrdersV2")
    me, engine = floor.account(), floor.hub.caught_up("BTC-USDT")
    taker = me.place("BTC-USDT", "buy", "0.00001")
    rests = me.place("BTC-USDT", "buy", "0.00001", price=engine.best_bid / 10)
    floor.run(300)

    rows = floor.data("orderChange", orderId=taker)
    assert [(row["type"], row["status"]) for row in rows] == [
        ("received", "new"),
        ("match", "match"),
        ("filled", "done"),
    ]
    rows = floor.data("orderChange", orderId=rests)
    assert [(row["type"], row["status"]) for row in rows] == [
        ("received", "new"),
        ("open", "open"),
        ("match", "open"),
        ("filled", "done"),
    ]


@pytest.mark.parametrize(
    ("market", "topics"), [("futures", FUTURES), ("spot", SPOT)], ids=["futures", "spot"]
)
def test_trader_brings_private_streams_to_life_on_a_socket(market, topics):
    runs = []
    for speed in (50.0, 150.0):
        with open_exchange(speed=speed) as exchange:
            exchange.pause()
            exchange.start_trader(orders_per_minute=120)
            with private_client(exchange, market) as client:
                for topic in topics:
                    assert subscribe_private(client, topic)["type"] == "ack"
                life(exchange, client, 30)
                drain(client)
                end = exchange.clock.start_ns + 30 * 10**9
                runs.append([f for f in client.messages() if stamp_ns(f["data"]) <= end])

    subject = "symbolOrderChange" if market == "futures" else "orderChange"
    kinds = {frame["data"]["type"] for frame in runs[0] if frame["subject"] == subject}
    assert kinds >= {"open", "match", "filled", "canceled"}
    assert runs[0] == runs[1]


def stamp_ns(data):
    names = ("ts", "timestamp", "currentTimestamp", "time")
    stamp = int(next(data[name] for name in names if name in data))
    return stamp if stamp > 10**15 else stamp * 10**6
