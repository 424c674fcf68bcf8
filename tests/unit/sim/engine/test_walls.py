"""Walls in a book of their own, with a seeded generator."""

import pickle
from random import Random

import pytest

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market, Trade
from kucoin_research.sim.engine.matching import MatchingBook
from kucoin_research.sim.engine.walls import Walls

MINUTE = 60_000
START = 1_767_571_200 * 10**9


def book():
    """A book of one small order on each price from 9,000 to 11,000."""
    made = MatchingBook(
        0, 0, order_text=str, trade_step=lambda: 1, on_trade=lambda _: None
    )  # fmt: skip
    for distance in range(1, 1_000):
        made.add(made.bids, 10_000 - distance, 1)
        made.add(made.asks, -10_000 - distance, 1)
    return made


def walls(made, seed=1):
    return Walls(
        made, Random(seed).random, reach=1_000, per_minute=1_000.0, steps=[10, 50], actions=50.0
    )


def standing(made):
    """Prices and sizes of the walls in a book."""
    sides = (made.bids, made.asks)
    return {ticks: size for side in sides for ticks, size in side.levels() if size > 1}


def test_walls_stand_at_round_prices_away_from_the_best():
    made = book()

    walls(made).open(0, 100.0)

    found = standing(made)
    assert len(found) > 4
    assert all(ticks % 10 == 0 and abs(ticks - 10_000) > 50 for ticks in found)
    assert all(700 < size < 11_000 for size in found.values())


def test_some_walls_go_within_minutes_and_others_stay():
    made = book()
    crowd = walls(made)
    crowd.open(0, 100.0)
    ages, since = [], {}

    for minute in range(1, 300):
        crowd.tend(minute * MINUTE)
        now = standing(made)
        ages += [minute - since.pop(ticks) for ticks in [*since] if ticks not in now]
        since = {ticks: since.get(ticks, minute) for ticks in now}

    assert min(ages) <= 1
    assert 10 < max(ages) <= 91
    assert 3 < len(standing(made)) < 60


def test_a_bluff_goes_when_the_price_comes_near_and_a_firm_wall_stays():
    made = book()
    crowd = walls(made)
    crowd.open(0, 100.0)
    wall = next(iter(crowd.standing.values()))._replace(is_firm=False)
    order = wall.order
    crowd.standing = {order.key: wall}
    side = made.side(order.side)

    for key in [key for key in side.keys if key > order.key + 40]:
        made.cancel_level(side, key)
    crowd.tend(1)
    assert order in side.queues[order.key]  # still far enough
    assert crowd.piece(order.key) == 0  # nobody takes from a bluff
    for key in [key for key in side.keys if key > order.key]:
        made.cancel_level(side, key)
    crowd.standing[order.key] = wall._replace(is_firm=True)
    crowd.tend(2)
    assert crowd.piece(order.key) > 0
    crowd.standing[order.key] = wall
    crowd.tend(3)

    assert order not in side.queues.get(order.key, ())


def test_a_wall_that_was_taken_is_forgotten():
    made = book()
    crowd = walls(made)
    crowd.open(0, 100.0)
    order = next(iter(crowd.standing.values())).order
    made.cancel(made.side(order.side), order)

    crowd.tend(1)

    assert order.key not in crowd.standing


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "KCSUSDTM"])
def test_a_copy_of_a_market_has_its_walls_too(symbol):
    market = Market(LISTINGS[symbol], 3, START)
    market.advance(START + 30 * MINUTE * 10**6)
    copy = pickle.loads(pickle.dumps(market))

    events = market.advance(START + 60 * MINUTE * 10**6)

    assert copy.advance(START + 60 * MINUTE * 10**6) == events


def test_firm_walls_are_taken_in_several_trades():
    listing = LISTINGS["XBTUSDTM"]
    pieces: dict[str, list[int]] = {}
    for event in Market(listing, 3, START).advance(START + 90 * MINUTE * 10**6):
        if isinstance(event, Trade):
            pieces.setdefault(event.maker_order_id, []).append(event.size)

    large = [each for each in pieces.values() if sum(each) > 20 * listing.flow.order_size]
    assert max(map(len, large)) > 2
