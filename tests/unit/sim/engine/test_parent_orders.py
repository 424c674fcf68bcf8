from random import Random

import numpy as np

from kucoin_research.sim.engine.parent_orders import ParentOrders


def signs(count, tail=1.5, seed=1):
    parents = ParentOrders(Random(seed).random, tail)
    return np.array([1.0 if parents.next_is_buy() else -1.0 for _ in range(count)])


def correlation(values, lag):
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_both_sides_are_as_frequent():
    assert abs(signs(200_000).mean()) < 0.1


def test_signs_have_a_long_memory():
    values = signs(200_000)

    near, far = correlation(values, 2), correlation(values, 100)

    assert 0.1 < near < 0.5
    # An exponential decay from lag 1 to 2 would leave nothing at lag 100.
    assert 0.01 < far < near / 3


def test_a_thinner_tail_has_a_shorter_memory():
    assert correlation(signs(200_000, tail=3.0), 100) < correlation(signs(200_000), 100) / 2
