"""Lines at the begins of days: in the chart's time zone, and no more than have room."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.day_lines import day_lines
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Candle, Trade
from tests.unit.figures.test_figures import SECOND, frame, trade

HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
DAY_MS = 86_400_000


def ns(*parts, tz="UTC"):
    return round(datetime(*parts, tzinfo=ZoneInfo(tz)).timestamp()) * SECOND


def lines(begin, end, tz="UTC", px=1_000):
    return day_lines((begin, end), Zone(tz), px)


def labels(found):
    return [each["label"]["text"] for each in found if "label" in each]


def test_a_day_begins_at_midnight_and_its_line_has_the_date():
    (line,) = lines(ns(2026, 1, 5, 22), ns(2026, 1, 6, 2))

    assert line["x0"] == line["x1"] == ns(2026, 1, 6) / 1e6
    assert (line["y0"], line["y1"], line["yref"]) == (0, 1, "paper")
    assert labels([line]) == ["Tue 6 Jan"]


def test_a_span_within_a_day_has_no_line():
    assert lines(ns(2026, 1, 5, 0, 1), ns(2026, 1, 5, 23, 59)) == []


@pytest.mark.parametrize(
    ("tz", "hours", "label"),
    [("Asia/Kolkata", 18.5, "Tue 6 Jan"), ("America/New_York", 5, "Mon 5 Jan")],
)
def test_the_midnight_is_that_of_the_zone(tz, hours, label):
    midnight = ns(2026, 1, 5) + round(hours * HOUR)

    assert labels(lines(midnight - HOUR, midnight + HOUR, tz)) == [label]
    assert lines(midnight + SECOND, midnight + 2 * HOUR, tz) == []


@pytest.mark.parametrize("day", [(2026, 3, 28), (2026, 10, 24)])
def test_days_of_23_and_25_hours_have_a_line_at_each_midnight(day):
    year, month, first = day
    begin = ns(year, month, first, tz="Europe/Berlin")

    found = lines(begin, ns(year, month, first + 3, tz="Europe/Berlin"), "Europe/Berlin")

    assert [line["x0"] % DAY_MS for line in found] == [0.0] * 4
    assert [Zone("Europe/Berlin").to_ns(line["x0"]) for line in found] == [
        ns(year, month, first + n, tz="Europe/Berlin") for n in range(4)
    ]


def test_a_day_without_a_midnight_has_its_line_at_the_change_of_the_clocks():
    # In Cairo, clocks go from 24:00 of 23 April to 01:00 of the 24th.
    change = ns(2026, 4, 23, 22)

    (line,) = lines(change - HOUR, change + HOUR, "Africa/Cairo")

    assert line["label"]["text"] == "Fri 24 Apr"
    assert line["x0"] == datetime(2026, 4, 24, tzinfo=UTC).timestamp() * 1e3


@pytest.mark.parametrize(
    ("days", "first", "count"),
    [
        (3, "Tue 6 Jan", 3), (11, "Tue 6 Jan", 11), (12, "Mon 12 Jan", 1), (60, "Mon 12 Jan", 8),
        (200, "Feb 2026", 6), (700, "2027", 1), (4_000, "2027", 10), (20_000, "2030", 11),
        (80_000, "2040", 11),
    ],
)  # fmt: skip
def test_longer_spans_have_lines_of_weeks_months_and_years(days, first, count):
    begin = ns(2026, 1, 5, 12)

    found = lines(begin, begin + days * DAY)

    assert (labels(found)[0], len(found)) == (first, count)
    assert len(labels(found)) >= count - 1


@pytest.mark.parametrize("px", [100, 400, 1_000, 4_000])
@pytest.mark.parametrize("days", [1, 5, 20, 90, 400, 1_499, 1_501, 3_000, 30_000, 80_000])
def test_there_are_never_more_lines_than_have_room_for_their_dates(px, days):
    begin = ns(2026, 1, 5, 12)

    assert len(lines(begin, begin + days * DAY, px=px)) <= max(px // 80, 1)


def test_a_date_that_would_be_cut_off_at_the_end_is_left_out():
    midnight = ns(2026, 1, 6)

    (line,) = lines(midnight - 22 * HOUR, midnight + HOUR)

    assert line["x0"] == midnight / 1e6
    assert "label" not in line


def test_charts_over_time_have_the_lines_behind_the_gaps_that_are_shaded():
    chart = PriceChart(View(), Sketch())
    chart.take("trades", frame(Trade, [trade(-5), trade(5)]))

    assert labels(chart.draw().layout["shapes"]) == ["Mon 5 Jan"]
    assert PriceChart(View(), Sketch()).draw().layout["shapes"] == []


@pytest.mark.parametrize(("every", "shift"), [("1hour", 0), ("1day", -HOUR)])
def test_a_line_stands_among_the_candles_where_its_moment_does(every, shift):
    # Berlin's clocks go forward on 29 March. Candles of days are a day apart all the same, which
    # places those of before an hour early.
    begin, length = ns(2026, 3, 27), {"1hour": HOUR, "1day": DAY}[every]
    rows = [
        (t, t + length, "A", every, 1.0, 1.0, 1.0, 1.0, 1.0, None)
        for t in range(begin, begin + 5 * DAY, length)
    ]
    chart = CandleChart(View(), Sketch(zone=Zone("Europe/Berlin")))
    chart.take("candles", frame(Candle, rows))

    shapes = chart.draw().layout["shapes"]
    found = {each["label"]["text"]: each["x0"] for each in shapes if "label" in each}

    midnights = {"Sat 28 Mar": -shift, "Sun 29 Mar": -shift, "Mon 30 Mar": 0}
    for label, moved in midnights.items():
        day = int(label.split()[1])
        wall = datetime(2026, 3, day, tzinfo=UTC).timestamp() * 1e3
        assert found[label] == wall + moved / 1e6
