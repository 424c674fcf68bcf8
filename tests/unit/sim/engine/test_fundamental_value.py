from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from random import Random
from statistics import fmean
from threading import Barrier

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine import fundamental_value
from kucoin_research.sim.engine.fundamental_value import ANCHOR_DAY, BASES, FundamentalValue, Noise

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
ANCHOR = ANCHOR_DAY * DAY


def correlation(left, right):
    left_mean, right_mean = fmean(left), fmean(right)
    pairs = list(zip(left, right, strict=True))
    covariance = sum((x - left_mean) * (y - right_mean) for x, y in pairs)
    left_sum = sum((x - left_mean) ** 2 for x in left)
    return covariance / (left_sum * sum((y - right_mean) ** 2 for y in right)) ** 0.5


def test_value_does_not_depend_on_the_order_of_questions():
    times = [ANCHOR + step * 7_777 * SECOND + 123 for step in range(-60, 60)]

    rising = values_of_new_paths(times)
    falling = values_of_new_paths(reversed(times))

    assert rising == falling[::-1]


def values_of_new_paths(times):
    fundamental_value._path.cache_clear()
    made = FundamentalValue(7, "XBT")
    return [made.at(time) for time in times]


def test_paths_that_threads_share_are_the_same_as_alone(real_time):
    rng = Random(5)
    times = [ANCHOR + rng.randint(-400, 400) * DAY + rng.randrange(DAY) for _ in range(150)]
    alone = dict(zip(times, values_of_new_paths(times), strict=True))
    fundamental_value._path.cache_clear()
    together = Barrier(4)

    def ask(number):
        made, order = FundamentalValue(7, "XBT"), times.copy()
        Random(number).shuffle(order)
        together.wait()
        return {time: made.at(time) for time in order}

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(ask, range(4)))

    assert found == [alone] * 4


def test_value_is_the_start_price_at_the_anchor():
    assert FundamentalValue(3, "ETH").at(ANCHOR) == BASES["ETH"].start_price


def test_seeds_give_different_paths():
    assert FundamentalValue(1, "XBT").at(ANCHOR + DAY) != FundamentalValue(2, "XBT").at(
        ANCHOR + DAY
    )


@pytest.mark.parametrize("boundary", [ANCHOR - 3 * DAY, ANCHOR, ANCHOR + 40 * DAY, ANCHOR + MINUTE])
def test_value_has_no_jump_at_boundaries(boundary):
    value = FundamentalValue(5, "SOL")

    before, at, after = (value.at(boundary + shift) for shift in (-1_000_000, 0, 1_000_000))

    assert before == pytest.approx(at, rel=1e-5)
    assert after == pytest.approx(at, rel=1e-5)


def test_minutes_are_nodes_of_the_finer_path():
    value = FundamentalValue(5, "XBT")

    minutes = value.minutes(ANCHOR_DAY + 2)

    assert len(minutes) == 1_441
    for minute in (0, 1, 700, 1_440):
        assert value.at(ANCHOR + 2 * DAY + minute * MINUTE) == pytest.approx(minutes[minute])


def test_absolute_returns_are_correlated_and_returns_are_not():
    value = FundamentalValue(11, "XBT")
    prices = [price for day in range(5) for price in value.minutes(ANCHOR_DAY + day)[:-1]]

    returns = [right / left - 1 for left, right in pairwise(prices)]
    sizes = [abs(move) for move in returns]

    assert abs(correlation(returns[:-1], returns[1:])) < 0.06
    assert correlation(sizes[:-1], sizes[1:]) > 0.1
    assert correlation(sizes[:-30], sizes[30:]) > 0.05


def test_coins_move_together():
    moves = []
    for base in ("XBT", "ETH"):
        prices = FundamentalValue(11, base).minutes(ANCHOR_DAY)
        moves.append([b / a - 1 for a, b in pairwise(prices)])

    assert 0.4 < correlation(*moves) < 0.99


def test_prices_stay_in_sight_of_the_start_price_for_decades():
    value = FundamentalValue(9, "DOGE")

    prices = [value.at(year * 365 * DAY) for year in range(10, 100, 5)]

    assert all(0.2 < price / BASES["DOGE"].start_price < 5 for price in prices)


def test_activity_is_about_one_on_average():
    value = FundamentalValue(4, "XBT")

    levels = [value.activity(ANCHOR + hour * 3_600 * SECOND) for hour in range(24 * 60)]

    assert 0.8 < fmean(levels) < 1.25
    assert max(levels) > 2 * min(levels)


def test_caches_stay_small():
    made = FundamentalValue(4, "XBT")

    for day in range(40):
        made.at(ANCHOR + day * DAY + 61 * SECOND)

    paths = (made._market, made._own)
    assert all(len(path._minutes) <= 8 and len(path._seconds) <= 8 for path in paths)


def test_noise_days_join_without_a_step():
    noise = Noise("x", ((480, 1.0), (60, 0.5)))

    assert noise.day(3)[-1] == pytest.approx(noise.day(4)[0])


def test_unknown_coin_is_refused():
    with pytest.raises(InvalidInput, match="NOPE"):
        FundamentalValue(1, "NOPE")
