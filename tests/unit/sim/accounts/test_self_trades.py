from decimal import Decimal

import pytest

from kucoin_research.sim import Account
from tests.unit.sim.signed import MarketFloor

OTHER = Account(key="other", secret="s", passphrase="p")
PAIR = "BTC-USDT"


def resting_in_the_spread(floor, me, size, side="buy"):
    """Place an order between the best prices, so that nobody can come before it."""
    engine = floor.hub.caught_up(PAIR)
    for _ in range(1_000):
        if engine.best_ask - engine.best_bid > 1:
            break
        floor.run(0.1)
        floor.hub.caught_up(PAIR)
    ticks = engine.best_ask - 1 if side == "buy" else engine.best_bid + 1
    return me.place(PAIR, side, size, price=engine.price_text(ticks)), engine.price_text(ticks)


def sizes(floor, order_id):
    order = floor.me.archive.find("spot", order_id)
    return [
        Decimal(floor.hub.engine(PAIR).size_text(units))
        for units in (order.size, order.filled, order.canceled, order.remaining)
    ]


# How much of the old and of the new order is filled, canceled and left: 0.003 meets 0.002.
OUTCOMES = {
    "": (("0.003", "0.002", "0", "0.001"), ("0.002", "0.002", "0", "0")),
    "CN": (("0.003", "0", "0", "0.003"), ("0.002", "0", "0.002", "0")),
    "CO": (("0.003", "0", "0.003", "0"), ("0.002", "0", "0", "0.002")),
    "CB": (("0.003", "0", "0.003", "0"), ("0.002", "0", "0.002", "0")),
    "DC": (("0.001", "0", "0", "0.001"), ("0.002", "0", "0.002", "0")),
}


@pytest.mark.parametrize("stp", OUTCOMES)
def test_an_own_order_is_met_as_asked(stp):
    floor = MarketFloor(PAIR)
    me = floor.account()
    before = me.balances()
    old, price = resting_in_the_spread(floor, me, "0.003")

    new = me.place(PAIR, "sell", "0.002", price=price, stp=stp)

    assert [sizes(floor, each) for each in (old, new)] == [
        [Decimal(one) for one in row] for row in OUTCOMES[stp]
    ]
    # What is canceled holds no coins any more.
    for each in me.open_orders:
        me.cancel(each)
    after = me.balances()
    assert all(balance.hold == 0 for balance in after.values())
    assert after["BTC"].total == before["BTC"].total
    fees = sum(fill.fee for fill in me.fills)
    assert after["USDT"].total == before["USDT"].total - fees


def test_decrease_and_cancel_leaves_the_rest_of_a_larger_new_order():
    floor = MarketFloor(PAIR)
    me = floor.account()
    old, price = resting_in_the_spread(floor, me, "0.001")

    new = me.place(PAIR, "sell", "0.003", price=price, stp="DC")

    assert sizes(floor, old) == [Decimal("0.001"), 0, Decimal("0.001"), 0]
    assert sizes(floor, new) == [Decimal("0.002"), 0, 0, Decimal("0.002")]
    assert me.balances()["BTC"].hold == Decimal("0.002")
    assert floor.hub.engine(PAIR).resting(new) == 200_000


def test_orders_ahead_of_the_own_one_are_filled_first():
    floor = MarketFloor(PAIR, accounts=[OTHER])
    me, other = floor.account(), floor.account(floor.order_entry.members["other"])
    first, price = resting_in_the_spread(floor, other, "0.001")
    own = me.place(PAIR, "buy", "0.001", price=price)
    behind = other.place(PAIR, "buy", "0.001", price=price)

    new = me.place(PAIR, "sell", "0.003", price=price, time_in_force="IOC", stp="CN")

    assert sizes(floor, new) == [Decimal(x) for x in ("0.003", "0.001", "0.002", "0")]
    assert other.open_orders == [behind]
    assert me.open_orders == [own]
    assert [fill.order_id for fill in other.fills] == [first]


def test_all_or_nothing_is_nothing_where_an_own_order_is_in_the_way():
    floor = MarketFloor(PAIR)
    me = floor.account()
    own, price = resting_in_the_spread(floor, me, "0.001")

    refused = me.place(PAIR, "sell", "0.002", price=price, time_in_force="FOK", stp="CO")

    assert sizes(floor, refused)[1:3] == [0, Decimal("0.002")]
    assert me.open_orders == [own]
    assert me.fills == []


def test_an_own_stop_order_that_triggers_follows_its_own_rule():
    floor = MarketFloor(PAIR)
    me = floor.account()
    own, _ = resting_in_the_spread(floor, me, "0.001")
    stop = me.place(PAIR, "sell", "0.001", stp="CN", stop="loss", stop_price=10**6)
    floor.run(0.02)

    became = floor.me.archive.find("spot", stop).order
    assert sizes(floor, became.order_id)[2] == Decimal("0.001")
    assert me.open_orders == [own]


@pytest.mark.parametrize("amount", ["size", "funds"])
def test_a_market_order_that_goes_on_behind_an_own_one_spends_what_was_set_aside(amount):
    floor = MarketFloor(PAIR)
    me = floor.account()
    # The order buys nothing at the price of the own one, which it cancels on its way.
    own, _ = resting_in_the_spread(floor, me, "0.4", "sell")
    before = me.balances()["USDT"]
    many = {"size": "0.11"} if amount == "size" else {"size": None, "funds": "9900"}

    order_id = me.place(PAIR, "buy", many.pop("size"), stp="CO", **many)

    order = floor.me.archive.find("spot", order_id)
    assert me.open_orders == []
    assert floor.me.archive.find("spot", own).filled == 0
    after = me.balances()["USDT"]
    assert (after.hold, after.total) == (0, before.total - order.value - order.fees)
    assert order.filled == order.size
    assert after.total >= before.total - Decimal(9900) * Decimal("1.001")


def test_funds_that_meet_an_own_order_first_buy_nothing():
    floor = MarketFloor(PAIR)
    me = floor.account()
    own, _ = resting_in_the_spread(floor, me, "0.01", "sell")

    order_id = me.place(PAIR, "buy", funds=20, stp="CN")

    assert sizes(floor, order_id)[1:] == [0, Decimal("0.00000001"), 0]
    assert me.open_orders == [own]
    assert me.balances()["USDT"].hold == 0
