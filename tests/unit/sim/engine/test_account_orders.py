from random import Random

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import BookChange, Market, Trade

MINUTE = 60 * 10**9
START = 1_767_571_200 * 10**9  # 2026-01-05, a Monday


def market(symbol="XBTUSDTM"):
    return Market(LISTINGS[symbol], 7, START)


def test_limit_order_rests_and_is_filled_by_the_crowd():
    a_market = market()
    price = a_market.best_bid
    placed = a_market.submit("buy", 5, price_ticks=price, owner="me")

    events = a_market.advance(START + 5 * MINUTE)

    assert (placed.status, placed.resting, len(placed.events)) == ("open", 5, 1)
    fills = [
        event.size
        for event in events
        if isinstance(event, Trade) and event.maker_order_id == placed.order_id
    ]
    assert sum(fills) + a_market.resting(placed.order_id) == 5
    assert fills


def test_market_order_takes_the_best_levels():
    a_market = market()
    levels = a_market.levels("sell", 3)
    size = levels[0][1] + levels[1][1]

    done = a_market.submit("buy", size)

    trades = [event for event in done.events if isinstance(event, Trade)]
    assert (done.status, done.filled) == ("filled", size)
    assert {trade.price_ticks for trade in trades} == {levels[0][0], levels[1][0]}
    assert a_market.best_ask == levels[2][0]


@pytest.mark.parametrize(("side", "other"), [("buy", "sell"), ("sell", "buy")])
def test_market_order_ends_at_its_worst_price(side, other):
    a_market = market()
    levels = a_market.levels(other, 3)

    done = a_market.submit(side, 10**9, worst_ticks=levels[1][0])

    assert (done.status, done.filled) == ("canceled", levels[0][1] + levels[1][1])
    assert a_market.levels(other, 1)[0] == levels[2]


@pytest.mark.parametrize(
    ("time_in_force", "size", "status"),
    [("PO", 1, "rejected"), ("FOK", 10**12, "rejected"), ("IOC", 10**12, "canceled")],
)
def test_time_in_force_decides_what_happens_to_the_rest(time_in_force, size, status):
    a_market = market()

    done = a_market.submit("buy", size, price_ticks=a_market.best_ask, time_in_force=time_in_force)

    assert done.status == status
    assert done.resting == 0
    assert bool(done.events) == (status == "canceled")


def test_cancel_takes_a_resting_order_out_once():
    a_market = market()
    placed = a_market.submit("sell", 9, price_ticks=a_market.best_ask + 50_000)

    first, second = a_market.cancel(placed.order_id), a_market.cancel(placed.order_id)

    assert len(first) == 1
    assert second == []
    assert a_market.resting(placed.order_id) == 0


def test_book_recovers_when_a_side_is_swept():
    a_market = market("ETH-BTC")

    swept = a_market.submit("sell", 10**15, price_ticks=a_market.best_bid * 19 // 20)
    a_market.advance(START + MINUTE)

    assert swept.filled > 0

    assert a_market.best_bid < a_market.best_ask
    assert len(a_market.levels("buy")) >= 10


@pytest.mark.parametrize(("side", "share"), [("buy", 1.2), ("sell", 0.8)])
def test_limit_price_far_through_the_market_is_rejected(side, share):
    a_market = market("ETH-BTC")

    done = a_market.submit(side, 1, price_ticks=int(a_market.best_bid * share))

    assert (done.status, done.events) == ("rejected", [])


def test_accounts_may_do_anything_without_breaking_the_book():
    a_market, rng = market("DOGEUSDTM"), Random(1)
    sequence, ids = a_market.sequence, []

    for _ in range(600):
        events = a_market.advance(a_market.now_ns + rng.randrange(1, 400_000_000))
        price = rng.choice([None, a_market.best_bid + rng.randrange(-200, 200), 1, 21_500])
        in_force = rng.choice(["GTC", "IOC", "FOK", "PO"])
        size = int(10 ** rng.uniform(0, 9))
        side = rng.choice(["buy", "sell"])
        done = a_market.submit(side, size, price_ticks=price, time_in_force=in_force, owner="me")
        ids.append(done.order_id)
        events += done.events + a_market.cancel(rng.choice(ids))

        changes = [event for event in events if isinstance(event, BookChange)]
        assert [change.sequence for change in changes] == [
            sequence + step for step in range(1, len(changes) + 1)
        ]
        sequence = a_market.sequence
        assert a_market.best_bid < a_market.best_ask


def test_order_needs_a_positive_size():
    with pytest.raises(InvalidInput, match="positive"):
        market("ETH-BTC").submit("buy", 0)
