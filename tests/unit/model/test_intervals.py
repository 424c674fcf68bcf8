"""Intervals are read in every spelling."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput
from kucoin_research.model.intervals import parse_interval


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
        *((span, "5min", "5m", 300) for span in
          (np.timedelta64(5, "m"), np.timedelta64(300, "s"), np.timedelta64(3 * 10**11, "ns"),
           np.timedelta64(3 * 10**14, "ps"), pd.Timedelta(minutes=5), np.timedelta64(5, "60s"))),
        (np.timedelta64(7, "D"), "1week", "1w", 604_800),
        (timedelta(days=36_525), "36525day", "36525d", 36_525 * 86_400),
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
     "9999999999m", np.timedelta64("NaT"), np.timedelta64("NaT", "D"), pd.NaT, np.timedelta64(5),
     np.timedelta64(5, "ns"), np.timedelta64(-1, "m"), np.timedelta64(5, "ps"), pd.Timedelta(0),
     pd.Timedelta(5_000_000_001), np.timedelta64(0, "M"), np.timedelta64(5, "as")],
)  # fmt: skip
def test_anything_else_is_refused_in_a_sentence(written):
    with pytest.raises(InvalidInput, match=r"^window=.* is no interval; write it like '10s'"):
        parse_interval(written, "window")


def test_numpy_counts_years_and_months_by_the_calendar():
    assert parse_interval(np.timedelta64(1, "M")) == (1, "month")
    assert parse_interval(np.timedelta64(2, "Y")) == (24, "month")


@pytest.mark.parametrize(
    "written",
    ["36526d", "999999999d", "999999999 months", "1201mo", timedelta.max, pd.Timedelta.max,
     np.timedelta64(2**62, "D"), np.timedelta64(101, "Y"), np.timedelta64(2**63 - 1, "W")],
)  # fmt: skip
def test_what_is_longer_than_a_life_is_refused(written):
    with pytest.raises(InvalidInput, match=r"^every=.* (is longer than the 100|is no interval)"):
        parse_interval(written)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from([*"YMWDhms", "ms", "us", "ns", "ps"]))
def test_a_span_of_numpy_never_wraps(number, unit):
    try:
        interval = parse_interval(np.timedelta64(number, unit))
    except InvalidInput:
        return
    assert number > 0
    if interval.ns is not None:  # numpy compares units of one kind in 64 bits, and here they fit
        assert np.timedelta64(interval.ns, "ns") == np.timedelta64(number, unit)


def test_a_capital_m_may_mean_two_things():
    with pytest.raises(InvalidInput, match="minutes or months"):
        parse_interval("1M")
