import pytest

from tests.unit.sim.signed import MarketFloor


def types_of(floor, subject, order_id):
    return [row["type"] for row in floor.data(subject, orderId=order_id)]


@pytest.mark.parametrize("kind", ["TP", "MP", "IP"])
def test_stop_waits_for_its_price_and_becomes_an_order(kind):
    floor = MarketFloor("XBTUSDTM")
    floor.listen("futures", "/contractMarket/advancedOrders", "/contractMarket/tradeOrders")
    me, engine = floor.account(), floor.hub.caught_up("XBTUSDTM")
    low = round(engine.best_bid / 10 * 0.5)
    waits = me.place("XBTUSDTM", "buy", 1, stop="down", stop_price=low, stop_price_type=kind)
    fires = me.place("XBTUSDTM", "buy", 1, stop="up", stop_price=low, stop_price_type=kind)
    floor.run(1)

    assert types_of(floor, "stopOrder", waits) == ["open"]
    assert types_of(floor, "stopOrder", fires) == ["open", "triggered"]
    assert me.open_orders == [waits]
    assert me.positions == {"XBTUSDTM": 1}


def test_stop_without_funds_fails_when_triggered():
    floor = MarketFloor("BTC-USDT")
    floor.listen("spot", "/spotMarket/advancedOrders")
    floor.account().place("BTC-USDT", "sell", 50, stop="entry", stop_price=1)
    floor.run(1)

    [row] = floor.data("stopOrder", type="triggered")
    assert row["triggerSuccess"] is False
    assert "insufficient" in row["error"]


def test_mark_price_is_published_before_the_trades_of_the_stop_that_it_triggers():
    floor = MarketFloor("XBTUSDTM")
    floor.listen("futures", "/contract/instrument:XBTUSDTM", "/contractMarket/execution:XBTUSDTM")
    me = floor.account()
    rising = float(floor.hub.engine("XBTUSDTM").mark_price(floor.hub.clock.reached_ns)) + 0.1
    stop = me.place(
        "XBTUSDTM", "buy", 1, stop="up", stop_price=round(rising, 1), stop_price_type="MP"
    )
    while stop in me.open_orders:
        floor.run(1)
    bought = me.fills[0].trade_id

    subjects = [
        frame["subject"]
        for frame in floor.frames
        if frame["subject"] == "mark.index.price" or frame["data"].get("tradeId") == bought
    ]
    assert subjects[-2:] == ["mark.index.price", "match"]
