"""The candles of the exchange that make a chart's history."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.figures.history_plan import MINUTE_NS, MOST_CANDLES, pieces_of, span_wanted
from kucoin_research.model.intervals import parse_interval

HOUR = 60 * MINUTE_NS


def test_shorter_candles_lead_up_to_the_cut():
    cut = 10 * HOUR + 37 * MINUTE_NS

    pieces = pieces_of(HOUR, 5 * HOUR, cut)

    assert [(each.interval, each.begin / MINUTE_NS, each.end / MINUTE_NS) for each in pieces] == [
        ("1hour", 300, 600),
        ("15min", 600, 630),
        ("5min", 630, 635),
        ("1min", 635, 637),
    ]


@given(st.integers(1, 3_000), st.integers(0, 10**6), st.integers(0, 10**5))
def test_pieces_are_whole_candles_that_follow_one_another(width, begin, length):
    width, begin = width * MINUTE_NS, begin * MINUTE_NS
    cut = begin + length * MINUTE_NS

    pieces = pieces_of(width, begin, cut)

    for piece in pieces:
        interval = parse_interval(piece.interval).ns
        assert piece.begin % interval == piece.end % interval == 0 or piece.begin == piece.end
        assert width % interval == 0
        assert piece.end - piece.begin <= MOST_CANDLES * interval
    for one, other in itertools.pairwise(pieces):
        assert one.end == other.begin
    if cut > pieces[0].begin:
        assert pieces[-1].end == cut


def test_a_window_without_a_length_wants_a_page():
    begin, end = span_wanted(None, None, 1_000 * HOUR, HOUR)

    assert (begin, end) == (800 * HOUR, 1_000 * HOUR + 1)


def test_a_short_window_wants_the_candles_that_its_axis_has_room_for():
    assert span_wanted(None, MINUTE_NS, 100 * HOUR, HOUR)[0] == 90 * HOUR


def test_a_range_wants_its_whole_candles():
    assert span_wanted((HOUR + 1, 2 * HOUR + 1), None, 0, HOUR) == (HOUR, 3 * HOUR)


def test_indicators_want_candles_before_the_view():
    followed = span_wanted(None, 20 * HOUR, 1_000 * HOUR, HOUR, 50 * HOUR)
    zoomed = span_wanted((80 * HOUR, 90 * HOUR), None, 0, HOUR, 50 * HOUR)

    assert followed == (930 * HOUR, 1_000 * HOUR + 1)
    assert zoomed == (30 * HOUR, 90 * HOUR)


def test_indicators_want_none_before_a_view_of_all_data():
    assert span_wanted(None, None, 1_000 * HOUR, HOUR, 50 * HOUR)[0] == 800 * HOUR
