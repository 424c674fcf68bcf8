"""Arrival statistics of a topic: the percentile, and the silence that is tolerated."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.model.arrival_stats import (
    ENOUGH_INTERVALS,
    FEWEST_INTERVALS,
    SUSPICION,
    ArrivalStats,
)

SECOND = 1_000_000_000


def stats_of(intervals):
    arrivals = ArrivalStats()
    for interval in intervals:
        arrivals.heard(interval)
    return arrivals


def test_nothing_is_said_of_a_topic_that_is_hardly_known():
    arrivals = stats_of([SECOND] * 4)

    assert arrivals.p99_ns is None
    assert arrivals.suspicious_after_ns is None


def test_of_a_topic_that_is_little_known_only_a_long_silence_is_suspicious():
    assert stats_of([SECOND // 10] * 20).suspicious_after_ns == 10 * SECOND

    arrivals = stats_of([SECOND] * 10 + [30 * SECOND])
    assert arrivals.p99_ns is None
    assert 180 * SECOND <= arrivals.suspicious_after_ns <= 180 * SECOND * 9 / 8


def test_patience_fades_as_the_topic_goes_on():
    arrivals = stats_of([SECOND] * 100)
    arrivals.was_quiet()
    arrivals.was_quiet()
    assert arrivals.patience == 4.0

    for _ in range(1_000):
        arrivals.heard(SECOND)
        _ = arrivals.p99_ns

    assert arrivals.patience == 1.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1_000_000, 10**14), min_size=FEWEST_INTERVALS, max_size=2_000))
def test_the_percentile_is_at_most_an_eighth_above_the_true_one(intervals):
    arrivals = stats_of(intervals)

    ordered = sorted(intervals)
    true = ordered[len(ordered) - int(len(ordered) * 0.01) - 1]
    assert true <= arrivals.p99_ns <= true * 9 / 8 + 1
    doubt = max(1.0, ENOUGH_INTERVALS / len(intervals))
    assert arrivals.suspicious_after_ns < 3 * true * doubt


def test_rows_that_came_together_are_one_arrival():
    arrivals = stats_of([1, 2, 999_999] * 1_000 + [SECOND] * FEWEST_INTERVALS)

    assert arrivals.p99_ns >= SECOND


@pytest.mark.parametrize("mean", [0.05, 1.0, 60.0])
def test_a_quiet_market_is_hardly_ever_suspected(mean):
    # Poisson arrivals: 10,000 intervals after the first 1,000, at any pace.
    draw = random.Random(4)
    intervals = [int(draw.expovariate(1 / mean) * SECOND) for _ in range(11_000)]
    arrivals, suspected = ArrivalStats(), 0
    for number, interval in enumerate(intervals):
        if number > 1_000 and interval > arrivals.suspicious_after_ns:
            suspected += 1
        arrivals.heard(interval)

    assert suspected <= 1


def test_an_old_rhythm_fades():
    arrivals = stats_of([60 * SECOND] * 1_000)
    for _ in range(20_000):
        arrivals.heard(SECOND)

    assert arrivals.p99_ns < 2 * SECOND


def test_a_pause_is_not_counted():
    arrivals = stats_of([SECOND] * 100)

    arrivals.pause()
    arrivals.heard(3_600 * SECOND)

    assert stats_of([SECOND] * 100).p99_ns == arrivals.p99_ns


def test_patience_grows_with_each_suspicion_that_proved_wrong():
    arrivals = stats_of([SECOND] * 100)
    before = arrivals.suspicious_after_ns

    arrivals.was_quiet()

    assert arrivals.suspicious_after_ns == 2 * before
    assert before == int(SUSPICION * arrivals.p99_ns)
