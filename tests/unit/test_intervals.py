"""An interval is read in whatever way it is written."""

from datetime import timedelta

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.intervals import parse_interval


@pytest.mark.parametrize(
    ("written", "name", "polars", "seconds"),
    [
        *((text, "5min", "5m", 300) for text in
          ("5m", "5min", "5 min", "5 minutes", "5MIN", "5Min", " 5 Minutes ", "300s", "300 sec")),
        *((text, "1hour", "1h", 3_600) for text in
          ("1h", "1hour", "1 hour", "60min", "60 m", "hour", "1H", "3600s", "1hr")),
        *((text, "1day", "1d", 86_400) for text in ("1d", "1day", "24h", "day", "1440min")),
        *((text, "1week", "1w", 604_800) for text in ("1w", "1 week", "7d", "168h")),
        ("90s", "90s", "90s", 90),
        ("250ms", "250ms", "250ms", 0.25),
        ("1500ms", "1500ms", "1500ms", 1.5),
        (timedelta(minutes=5), "5min", "5m", 300),
        (timedelta(milliseconds=10), "10ms", "10ms", 0.01),
    ],
)  # fmt: skip
def test_all_spellings_mean_the_same(written, name, polars, seconds):
    interval = parse_interval(written)

    assert (interval.name, interval.polars, interval.ns) == (name, polars, seconds * 1e9)


def test_months_have_no_length():
    assert parse_interval("1 month") == parse_interval("1mo") == (1, "month")
    assert parse_interval("1month").ns is None
    assert parse_interval("1month").polars == "1mo"


@pytest.mark.parametrize(
    "written",
    ["", "5", "300", 5, None, True, "m", "h", "0m", "0 months", "-5m", "1.5h", "5 parsecs", "5m5s",
     "five minutes", timedelta(0), timedelta(seconds=-1), timedelta(microseconds=5), ["5m"],
     "9999999999m"],
)  # fmt: skip
def test_what_is_none_is_told_in_a_sentence(written):
    with pytest.raises(InvalidInput, match=r"^window=.* is no interval; write it like '10s'"):
        parse_interval(written, "window")


def test_a_capital_m_may_mean_two_things():
    with pytest.raises(InvalidInput, match="minutes or months"):
        parse_interval("1M")
