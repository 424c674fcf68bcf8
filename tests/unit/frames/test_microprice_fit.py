"""The micro-price: its fit, against the sum over moves of the mid in the paper, and its use."""

from dataclasses import FrozenInstanceError
from itertools import pairwise
from random import Random

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import analytics
from tests.unit.frames.measured import (
    QUOTE,
    is_causal,
    is_the_same_in_every_context,
    quotes,
    random_quotes,
    second,
)

SYMBOL = "XBTUSDTM"
TICK = 0.1


def walk(seed, rows=3_000):
    """Quotes of one symbol that move towards the side with the smaller size, now and then."""
    random = Random(seed)
    bid, width = 1_000, 1
    made = []
    for _ in range(rows):
        bids, asks = random.randrange(0, 30), random.randrange(0, 30)
        if random.random() < 0.02:
            made.append((None, None, bid + width, asks))
            continue
        made.append((bid * TICK, bids, (bid + width) * TICK, asks))
        if bids + asks and random.random() < 0.3:
            bid += 1 if random.random() < bids / (bids + asks) else -1
        width = random.choice([1, 1, 1, 2, 3, 5])
    return quotes(*made)


def states_of(frame, buckets, spreads):
    """Each quote's state (signed bucket, spread in ticks) and mid; None for no state."""
    found = []
    for bid, bids, ask, asks in frame.select(QUOTE).rows():
        if None in (bid, ask, bids, asks) or not bids + asks or ask <= bid:
            found.append(None)
            continue
        imbalance = (bids - asks) / (bids + asks)
        edges = [(2 * k - 1) / (2 * buckets + 1) for k in range(1, buckets + 1)]
        bucket = sum(abs(imbalance) >= edge - 1e-12 for edge in edges)
        ticks = min(max(round((ask - bid) / TICK), 1), spreads)
        sign = (imbalance > 0) - (imbalance < 0)
        found.append(((sign * bucket, ticks), (bid + ask) / 2))
    return found


def by_moves(frame, buckets, spreads):
    """The adjustments as the paper computes them: sums over moves of the mid, on both sides."""
    states = [(k, s) for k in range(-buckets, buckets + 1) for s in range(1, spreads + 1)]
    index = {state: n for n, state in enumerate(states)}
    size = len(states)
    stays, leaves, moves = np.zeros((size, size)), np.zeros((size, size)), np.zeros(size)
    visits = np.zeros(size)
    listed = states_of(frame, buckets, spreads)
    for now, later in pairwise(listed):
        if now is None or later is None:
            continue
        for side in (1, -1):  # and its mirror image
            state, after = (index[side * each[0][0], each[0][1]] for each in (now, later))
            move = side * (later[1] - now[1])
            visits[state] += 1
            moves[state] += move
            (stays if abs(move) < 1e-9 else leaves)[state, after] += 1
    each = np.maximum(visits, 1)
    inverse = np.linalg.inv(np.eye(size) - stays / each[:, None])
    first, transitions = inverse @ (moves / each), inverse @ (leaves / each[:, None])
    total, step = first.copy(), first
    for _ in range(400):
        step = transitions @ step
        total += step
    return {state: (total[n], visits[n]) for state, n in index.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("buckets", "spreads"), [(1, 1), (2, 3), (5, 2)])
def test_the_fit_is_the_papers_sum_over_moves_of_the_mid(seed, buckets, spreads):
    frame = walk(seed)

    fit = analytics.fit_microprice(frame, TICK, buckets=buckets, spreads=spreads)

    wanted = by_moves(frame, buckets, spreads)
    assert fit.adjustments.height == (buckets + 1) * spreads
    for bucket, ticks, count, adjustment in fit.adjustments.rows():
        total, _ = wanted[bucket, ticks]
        assert adjustment == pytest.approx(total, abs=1e-9)
        assert count > 0
    moved = fit.adjustments.filter(pl.col("imbalance_bucket") == buckets)["adjustment"]
    assert moved.min() > TICK / 20


def test_a_fit_says_what_it_is_of_and_since_when_it_is_known():
    fit = analytics.fit_microprice(walk(1, rows=500), TICK, buckets=2, spreads=1)

    assert (fit.symbol, fit.tick_size, fit.buckets, fit.spreads) == (SYMBOL, TICK, 2, 1)
    assert fit.known_at == second(499)
    assert fit.adjustments["imbalance_bucket"].to_list() == [0, 1, 2]
    assert fit.adjustments["adjustment"][0] == 0.0
    with pytest.raises(FrozenInstanceError):
        fit.symbol = "ETHUSDTM"


@pytest.fixture(scope="module")
def fit():
    return analytics.fit_microprice(walk(2), TICK, buckets=2, spreads=3)


def test_a_micro_price_is_the_mid_plus_the_adjustment_of_its_state(fit):
    later = walk(9, rows=400)

    found = later.select(analytics.microprice(fit))["microprice"].to_list()

    table = {(k, s): g for k, s, _, g in fit.adjustments.rows()}
    for value, state in zip(found, states_of(later, 2, 3), strict=True):
        if state is None:
            assert value is None
        else:
            (bucket, ticks), mid = state
            side = (bucket > 0) - (bucket < 0)
            assert value == pytest.approx(mid + side * table[abs(bucket), ticks], abs=1e-9)


def test_exchanging_bid_and_ask_mirrors_it(fit):
    sizes = [(1, 4), (4, 1), (3, 3), (7, 3), (3, 7)]
    frame = quotes(*((100.0, bids, 100.1, asks) for bids, asks in sizes))
    mirrored = quotes(*((100.0, asks, 100.1, bids) for bids, asks in sizes))

    above, below = (
        each.select(analytics.microprice(fit) - analytics.mid()).to_series()
        for each in (frame, mirrored)
    )

    assert above.to_list() == pytest.approx([-each for each in below])
    assert above[2] == 0.0
    assert above[1] > 0


def test_it_is_null_where_it_has_no_state(fit):
    frame = pl.concat([
        quotes((100, 1, 100.1, 0), (100, 0, 100.1, 0), (100, 1, 100, 1), (100, 1, 99, 1)),
        quotes((100, 1, 100.1, 4), symbol="ETHUSDTM"),
    ])  # fmt: skip

    found = frame.select(analytics.microprice(fit)).to_series()

    assert found.is_null().to_list() == [False, True, True, True, True]


def test_it_is_null_in_a_state_that_the_fit_has_not_seen():
    narrow = walk(3).filter(pl.col("best_ask_price") - pl.col("best_bid_price") < 1.5 * TICK)
    fit = analytics.fit_microprice(narrow, TICK, buckets=1, spreads=2)

    found = quotes((100, 9, 100.1, 1), (100, 9, 100.3, 1), (100, 5, 100.3, 5)).select(
        analytics.microprice(fit)
    )

    assert fit.adjustments["quotes"][3] == 0
    assert found.to_series().is_null().to_list() == [False, True, False]


def test_no_later_quote_changes_a_value(fit):
    is_causal(random_quotes(7), analytics.microprice(fit))


def test_it_is_the_same_lazily_and_in_groups(fit):
    is_the_same_in_every_context(random_quotes(8), analytics.microprice(fit))


def test_a_mid_that_moves_to_and_fro_for_ever_has_a_limit():
    frame = quotes(*[(100.0, 9, 100.1, 1), (100.1, 1, 100.2, 9)] * 20)

    fit = analytics.fit_microprice(frame, TICK, buckets=1, spreads=1)

    # It is always on its way up from, or down to, the middle of the two.
    assert fit.adjustments["adjustment"].to_list() == pytest.approx([0.0, TICK / 2])


def test_other_columns_are_used_by_their_names(fit):
    frame = quotes((100, 1, 100.1, 4))
    named = frame.rename(dict(zip(QUOTE, "bBaA", strict=True)))

    found = named.select(
        analytics.microprice(fit, bid="b", bid_size="B", ask="a", ask_size="A")
    ).item()

    assert found == frame.select(analytics.microprice(fit)).item() < 100.05


def test_mistakes_are_answered_in_a_sentence():
    frame = walk(1, rows=50)
    of_two = pl.concat([frame, quotes((1, 1, 2, 1), symbol="ETHUSDTM")])
    # Nothing but moves up, from and to the same state.
    rising = quotes(*((100 + n * TICK, 9, 100 + (n + 1) * TICK, 1) for n in range(20)))
    fit = analytics.fit_microprice

    with pytest.raises(kr.InvalidInput, match="quotes of one symbol, not 2: XBTUSDTM, ETHUSDTM"):
        fit(of_two, TICK)
    with pytest.raises(kr.InvalidInput, match=r"quotes of one symbol, not 0$"):
        fit(frame.clear(), TICK)
    with pytest.raises(kr.InvalidInput, match="no whole quote follows another one"):
        fit(frame.head(1), TICK)
    with pytest.raises(kr.InvalidInput, match="expected moves of the mid do not settle"):
        fit(rising, TICK)
    with pytest.raises(kr.InvalidInput, match="quotes without times of arrival"):
        fit(frame.with_columns(local_timestamp=pl.lit(None, pl.Datetime("ns", "UTC"))), TICK)
    with pytest.raises(kr.ColumnMissing, match="without 'best_bid_size'"):
        fit(frame.drop("best_bid_size"), TICK)
    with pytest.raises(kr.InvalidInput, match="tick_size must be a price step above 0, not 0"):
        fit(frame, 0)
    with pytest.raises(kr.InvalidInput, match="buckets must be a whole number of buckets above 0"):
        fit(frame, TICK, buckets=0)
    with pytest.raises(kr.InvalidInput, match="spreads must be 50 spreads at most, not 51"):
        fit(frame, TICK, spreads=51)
    with pytest.raises(kr.InvalidInput, match="fit must come from fit_microprice, not 5"):
        analytics.microprice(5)
