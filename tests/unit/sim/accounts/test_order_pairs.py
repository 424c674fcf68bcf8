from dataclasses import replace
from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from kucoin_research.sim.accounts.order_archive import OrderArchive
from kucoin_research.sim.accounts.orders import OrderRequest
from tests.unit.sim.signed import MarketFloor

PAIR, CONTRACT = "BTC-USDT", "XBTUSDTM"


def far(engine, factor):
    last = engine.last_trade.price_ticks
    return Decimal(engine.price_text(int(last * factor)))


def oco(floor, above, below, side="sell", **options):
    """Place a limit order on one side of the last price, and a stop order on the other."""
    engine = floor.hub.caught_up(PAIR)
    limit_at, stop_at = (above, below) if side == "sell" else (below, above)
    limit = OrderRequest(
        symbol=PAIR, side=side, size=Decimal("0.01"), price=far(engine, limit_at), **options
    )
    stop = OrderRequest(
        symbol=PAIR,
        side=side,
        size=Decimal("0.01"),
        price=far(engine, 0.98 if side == "sell" else 1.02),
        stop="loss" if side == "sell" else "entry",
        stop_price=far(engine, stop_at),
    )
    return floor.order_entry.pairs.place_oco(floor.me, limit, stop)


def run_until(floor, is_done):
    for _ in range(600):
        if is_done():
            return
        floor.run(1)
    raise AssertionError("ten virtual minutes were not enough")


def test_the_trigger_of_the_stop_cancels_the_limit_order_and_frees_its_coins():
    floor = MarketFloor(PAIR)
    me = floor.account()
    me.deposit("spot", "BTC", Decimal("0.01") - me.balances()["BTC"].available)
    pair = oco(floor, 1.05, 0.99999)
    assert pair.status == "NEW"
    assert me.balances()["BTC"].available == 0

    run_until(floor, lambda: not pair.stop.is_active)

    assert pair.status == "TRIGGERED"
    assert pair.stop.error == ""
    assert not pair.limit.is_active
    assert pair.limit.filled == 0
    assert pair.stop.order.filled
    assert me.open_orders == []


@pytest.mark.parametrize("side", ["sell", "buy"])
def test_the_first_fill_of_the_limit_order_cancels_the_stop(side):
    floor = MarketFloor(PAIR)
    above, below = (1.00001, 0.9) if side == "sell" else (1.1, 0.99999)
    pair = oco(floor, above, below, side)

    run_until(floor, lambda: pair.limit.filled)

    assert pair.status == "DONE"
    assert not pair.stop.is_active
    assert not pair.stop.is_triggered


@pytest.mark.parametrize("which", ["limit", "stop"])
def test_canceling_either_order_cancels_both(which):
    floor = MarketFloor(PAIR)
    pair = oco(floor, 1.05, 0.9)

    floor.account().cancel(getattr(pair, which).order_id)

    assert pair.status == "CANCELLED"
    assert floor.account().open_orders == []
    assert floor.account().balances()["BTC"].hold == 0


def test_prices_on_one_side_are_refused_and_leave_nothing():
    floor = MarketFloor(PAIR)
    for above, below in ((0.95, 0.9), (1.05, 1.01)):
        with pytest.raises(OrderRefused, match="last price") as refused:
            oco(floor, above, below)
        assert refused.value.code == "400100"
    assert floor.account().open_orders == []


def bracket(floor, up, down, **options):
    engine = floor.hub.caught_up(CONTRACT)
    request = OrderRequest(symbol=CONTRACT, side="buy", size=Decimal(3), **options)
    return floor.order_entry.pairs.attach(
        floor.me,
        request,
        None if up is None else far(engine, up),
        None if down is None else far(engine, down),
    )


def stops(floor):
    return sorted(stop.request.stop for stop in floor.me.stops.values())


def test_stops_come_with_the_first_fill_and_one_cancels_the_other():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    bracket(floor, 1.0001, 0.9999)
    assert stops(floor) == ["down", "up"]
    assert me.positions == {CONTRACT: 3}

    run_until(floor, lambda: not me.positions)

    assert stops(floor) == []
    assert me.open_orders == []


def test_stops_wait_for_the_entry_and_end_with_it():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    engine = floor.hub.caught_up(CONTRACT)
    entry = bracket(floor, 1.1, 0.8, price=far(engine, 0.97))
    assert stops(floor) == []

    me.cancel(entry)
    assert stops(floor) == []
    me.place(CONTRACT, "buy", 1)
    assert stops(floor) == []


def test_stops_of_a_position_end_when_it_is_closed_by_hand():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    bracket(floor, 1.1, 0.9)
    own = me.place(CONTRACT, "buy", 1, stop="down", stop_price=1000)

    me.place(CONTRACT, "sell", close_order=True)

    assert me.positions == {}
    assert me.open_orders == [own]


def test_stops_of_a_position_do_not_close_the_opposite_one():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    bracket(floor, 1.1, 0.9)

    me.place(CONTRACT, "sell", 6)

    assert me.positions == {CONTRACT: -3}
    assert me.open_orders == []


def test_a_bracket_needs_a_price():
    with pytest.raises(OrderRefused, match="trigger price"):
        bracket(MarketFloor(CONTRACT), None, None)


def test_all_orders_of_a_pair_are_canceled_at_once():
    floor = MarketFloor(PAIR)
    me = floor.account()
    pair = oco(floor, 1.05, 0.95)

    assert me.cancel_all() == [pair.limit.order_id, pair.stop.order_id]

    assert me.open_orders == []
    assert me.balances()["BTC"].hold == 0


def test_a_pair_with_one_client_id_for_both_orders_is_refused_and_nothing_is_left():
    floor = MarketFloor(PAIR)
    me = floor.account()
    engine = floor.hub.caught_up(PAIR)
    limit = OrderRequest(
        symbol=PAIR, side="sell", size=Decimal("0.01"), price=far(engine, 1.05), client_oid="one"
    )
    stop = replace(limit, price=far(engine, 0.9), stop="loss", stop_price=far(engine, 0.95))

    with pytest.raises(OrderRefused, match="clientOidDuplicated"):
        floor.order_entry.pairs.place_oco(floor.me, limit, stop)

    assert me.open_orders == []


def named_pair(floor, client_oid):
    engine = floor.hub.caught_up(PAIR)
    limit = OrderRequest(symbol=PAIR, side="sell", size=Decimal("0.001"), price=far(engine, 1.05))
    stop = replace(limit, price=far(engine, 0.9), stop="loss", stop_price=far(engine, 0.95))
    return floor.order_entry.pairs.place_oco(floor.me, limit, stop, client_oid)


def test_pairs_are_found_by_their_ids_and_by_those_of_their_orders():
    floor = MarketFloor(PAIR)
    pairs = floor.order_entry.pairs
    first, second = named_pair(floor, "one"), named_pair(floor, "two")

    assert pairs.find_oco(floor.me, first.pair_id) is first
    assert pairs.find_oco(floor.me, client_oid="two") is second
    assert pairs.find_oco(floor.me, "", "") is None
    assert pairs.oco_of(first.stop.order_id) is pairs.oco_of(first.limit.order_id) is first
    assert list(pairs.ocos(floor.me)) == [second, first]
    with pytest.raises(OrderRefused, match="clientOidDuplicated"):
        named_pair(floor, "two")


def test_a_pair_is_forgotten_with_its_orders():
    floor = MarketFloor(PAIR)
    archive = floor.me.archive = OrderArchive(kept=5)
    pairs = floor.order_entry.pairs
    archive.call_when_forgotten(pairs.forget)
    made = [named_pair(floor, f"pair-{number}") for number in range(4)]

    for pair in made[:3]:
        pairs.cancel_oco(pair)

    first = made[0]
    assert archive.find("spot", first.limit.order_id) is None
    assert list(pairs.ocos(floor.me)) == made[:0:-1]
    assert pairs.find_oco(floor.me, first.pair_id) is None
    assert pairs.oco_of(first.stop.order_id) is None
    assert named_pair(floor, "pair-0").is_active
    assert pairs.find_oco(floor.me, client_oid="pair-1").status == "CANCELLED"
