import pytest

from kucoin_research.sim import OrderRefused
from tests.unit.sim.signed import MarketFloor

PAIR, CONTRACT = "BTC-USDT", "XBTUSDTM"


def test_good_till_time_ends_at_its_time():
    floor = MarketFloor(PAIR)
    floor.listen("spot", "/spotMarket/tradeOrdersV2")
    me = floor.account()
    order = me.place(PAIR, "buy", "0.001", price=50_000, time_in_force="GTT", cancel_after=10)
    floor.run(9.9)
    assert me.open_orders == [order]

    floor.run(0.2)

    assert me.open_orders == []
    [row] = floor.data("orderChange", orderId=order, type="canceled")
    assert row["canceledSize"] == "0.001"
    assert me.balances()["USDT"].hold == 0


def test_an_order_that_ended_before_its_time_is_left_alone():
    floor = MarketFloor(PAIR)
    me = floor.account()
    order = me.place(PAIR, "buy", "0.001", price=50_000, time_in_force="GTT", cancel_after=5)
    me.cancel(order)
    floor.run(10)
    assert floor.me.archive.find("spot", order).ended_ns < floor.hub.clock.now_ns - 9 * 10**9


def test_a_post_only_order_may_have_a_time_limit_too():
    floor = MarketFloor(PAIR)
    me = floor.account()
    limit = {"time_in_force": "PO", "cancel_after": 5}
    order = me.place(PAIR, "buy", "0.001", price=50_000, **limit)
    floor.run(4.9)
    assert me.open_orders == [order]

    floor.run(0.2)

    assert me.open_orders == []
    with pytest.raises(OrderRefused, match="GTT is for limit orders on spot"):
        MarketFloor(CONTRACT).account().place(CONTRACT, "buy", 1, price=50_000, **limit)


@pytest.mark.parametrize(
    "order",
    [
        {"time_in_force": "GTT"},
        {"cancel_after": 5},
        {"time_in_force": "GTT", "cancel_after": 5, "price": None},
    ],
)
def test_half_a_good_till_time_is_refused(order):
    with pytest.raises(OrderRefused, match="GTT") as refused:
        MarketFloor(PAIR).account().place(PAIR, "buy", "0.001", **{"price": 50_000} | order)
    assert refused.value.code == "400100"


def test_the_dead_mans_switch_cancels_unless_it_is_set_again():
    floor = MarketFloor(PAIR, "ETH-USDT", CONTRACT)
    me, timers = floor.account(), floor.order_entry.timers
    futures = me.place(CONTRACT, "buy", 1, price=50_000)
    other = me.place("ETH-USDT", "buy", "0.01", price=1_500)
    order = me.place(PAIR, "buy", "0.001", price=50_000)
    timers.set_dead_cancel(floor.me, "spot", 5, [PAIR])
    floor.run(4)
    timers.set_dead_cancel(floor.me, "spot", 5, [PAIR])
    floor.run(4)
    assert order in me.open_orders
    assert timers.dead_cancel(floor.me, "spot").seconds == 5

    floor.run(1.5)

    assert me.open_orders == [futures, other]
    assert timers.dead_cancel(floor.me, "spot") is None


def test_the_switch_can_be_taken_away():
    floor = MarketFloor(PAIR)
    me, timers = floor.account(), floor.order_entry.timers
    order = me.place(PAIR, "buy", "0.001", price=50_000)
    timers.set_dead_cancel(floor.me, "spot", 5)
    timers.set_dead_cancel(floor.me, "spot", -1)
    floor.run(6)
    assert me.open_orders == [order]
    with pytest.raises(OrderRefused, match="timeout 4"):
        timers.set_dead_cancel(floor.me, "spot", 4)
