"""The range of a time axis: one for all charts of a window, with whole bars at both ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.figures.time_range import Slots, begin_of, followed

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_000_000 * MINUTE + 17 * SECOND


def minutes(newest=NOW, width=MINUTE, least=1):
    return Slots(width, newest // width * width, least)


def test_a_full_window_begins_its_length_ago_and_has_a_little_room_at_the_right():
    begin, end = followed(0, NOW, 5 * MINUTE)

    assert begin == NOW - 5 * MINUTE
    assert end == NOW + 3 * SECOND


def test_a_window_that_fills_begins_at_the_oldest_row_but_shows_a_sixth_at_least():
    assert begin_of(NOW - 2 * MINUTE, NOW, 5 * MINUTE) == NOW - 2 * MINUTE
    assert begin_of(NOW - SECOND, NOW, 5 * MINUTE) == NOW - 50 * SECOND


def test_a_single_instant_spans_a_second():
    assert followed(NOW, NOW, None) == (NOW - SECOND // 2, NOW + SECOND // 2)


def test_an_outage_has_more_room():
    usual, out = (followed(0, NOW, 5 * MINUTE, is_out=is_out)[1] for is_out in (False, True))

    assert out - NOW > 6 * (usual - NOW)


def test_few_candles_stand_at_the_right_of_room_for_more():
    begin, end = followed(NOW, NOW, 5 * MINUTE, slots=minutes(width=60 * MINUTE, least=12))

    assert end % (60 * MINUTE) == begin % (60 * MINUTE) == 0
    assert end - begin == 12 * 60 * MINUTE
    assert end - 60 * MINUTE <= NOW < end


@pytest.mark.parametrize("window", [None, MINUTE, 5 * MINUTE])
@given(oldest=st.integers(0, 10 * MINUTE), width=st.integers(1, 10).map(lambda n: n * 7 * SECOND))
def test_the_slots_at_both_ends_are_whole_and_cost_at_most_one_each(window, oldest, width):
    plain = followed(NOW - oldest, NOW, window)

    begin, end = followed(NOW - oldest, NOW, window, slots=minutes(width=width))

    assert plain[0] - width < begin <= plain[0]
    assert plain[1] <= end < plain[1] + width
    shown = begin_of(NOW - oldest, NOW, window)
    assert begin <= shown // width * width or (window is None and begin <= shown - shown % width)
    assert NOW // width * width + width <= end
