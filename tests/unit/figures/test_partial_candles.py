"""Candles that lack a part of their time say which part."""

import numpy as np
import pytest

from kucoin_research.figures.gaps import Mapped
from kucoin_research.figures.partial_candles import cuts_of, running_of
from kucoin_research.figures.time_axis import Zone
from tests.unit.figures.test_figures import at

MINUTE = 60 * 1_000_000_000
OPENS = np.array([at(60 * n) for n in range(5)])
OF = {"zone": Zone(), "rows": "trades"}


def cuts(*gaps, since=0):
    return cuts_of(OPENS, OPENS + MINUTE, at(since), gaps, width=MINUTE, **OF)


def test_whole_candles_say_nothing():
    assert cuts() == {}


def test_the_first_candle_is_partial_if_its_first_trade_came_later():
    assert cuts(since=17) == {0: "partial: trades since 00:00:17"}


def test_a_candle_that_is_not_shown_cuts_no_other():
    assert cuts(since=-30) == {}


@pytest.mark.parametrize(
    ("begin", "end", "places"),
    [(70, 80, [1]), (70, 130, [1, 2]), (60, 120, [1]), (290, None, [4]), (400, 500, [])],
)
def test_a_gap_cuts_every_candle_that_it_touches(begin, end, places):
    gap = Mapped("gap", at(begin), None if end is None else at(end), "why")

    assert sorted(cuts(gap)) == places


def test_a_cut_says_which_time_is_lost():
    found = cuts(Mapped("outage", at(70), at(130), "why"), Mapped("gap", at(250), None, "why"))

    assert found[1] == found[2] == "partial: outage from 00:01:10 to 00:02:10"
    assert found[4] == "partial: gap since 00:04:10"


@pytest.mark.parametrize("kind", ["filled", "silent"])
def test_a_gap_that_cost_nothing_known_cuts_nothing(kind):
    assert cuts(Mapped(kind, at(70), at(130), "why")) == {}


def test_times_are_those_of_the_zone_with_the_date_for_candles_of_days():
    day = 1_440 * MINUTE
    zone = Zone("Asia/Tokyo")

    opens = np.array([at(0)])
    found = cuts_of(opens, opens + day, at(17), (), width=day, zone=zone, rows="trades")

    assert found == {0: "partial: trades since 2026-01-05 09:00:17"}


def test_times_of_short_candles_have_milliseconds():
    found = cuts_of(OPENS[:1], OPENS[:1] + MINUTE // 60, at(0.25), (), width=MINUTE // 60, **OF)

    assert found == {0: "partial: trades since 00:00:00.250"}


def test_the_newest_candle_is_not_over_before_its_time_is():
    assert running_of(OPENS, MINUTE, at(250), **OF) == "not over: trades until 00:04:10"
    assert running_of(OPENS, MINUTE, at(300), **OF) == ""
    assert running_of(OPENS[:0], MINUTE, at(300), **OF) == ""
