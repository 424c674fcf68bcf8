"""Times of any unit become nanoseconds."""

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput, MessageBroken
from kucoin_research.model.units import (
    EPOCH,
    LARGEST_NS,
    datetime_of,
    instant_ns,
    refuse_future,
    to_ns,
    told_apart,
    written,
)

# 2001-09-09 to 2262-04-11: where each unit's numbers stay within its magnitude.
SECONDS = st.integers(10**9, LARGEST_NS // 10**9 - 1)


@given(SECONDS)
def test_the_same_instant_in_every_unit_is_the_same_time(seconds):
    ns = seconds * 10**9

    assert [to_ns(seconds * unit) for unit in (1, 10**3, 10**6, 10**9)] == [ns] * 4


@given(st.integers(10**17, LARGEST_NS))
def test_nanoseconds_are_kept_exactly(value):
    assert to_ns(value) == value


@given(st.integers(0, LARGEST_NS))
def test_every_value_gives_a_time_within_range_or_is_refused(value):
    try:
        ns = to_ns(value)
    except MessageBroken:
        assert value < 10**17
    else:
        assert 0 <= ns <= LARGEST_NS


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (0, 0),
        (1_729_260_030, 1_729_260_030_000_000_000),
        (1_729_260_030_774, 1_729_260_030_774_000_000),
        (1_790_113_097_236_506, 1_790_113_097_236_506_000),
        (1_729_163_001_780_000_001, 1_729_163_001_780_000_001),
        (10**11, 10**17),
        (10**14, 10**17),
        (10**17, 10**17),
        (LARGEST_NS, LARGEST_NS),
    ],
)
def test_the_magnitude_decides_the_unit(value, ns):
    assert to_ns(value) == ns


@pytest.mark.parametrize("value", [-1, 2**63, 10**11 - 1, 10**14 - 1, 10**17 - 1, 10**30])
def test_a_time_outside_64_bits_of_nanoseconds_is_refused(value):
    with pytest.raises(MessageBroken, match=str(value)):
        to_ns(value)


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=3), st.integers(0, 10**9))
def test_times_are_told_apart_in_order_by_as_few_decimals_as_it_takes(times, more):
    times = sorted({*times, times[0] + more})
    texts = told_apart(*times)

    assert texts == sorted(set(texts))
    assert len({len(text) for text in texts}) == 1
    if len({each // 10**9 for each in times}) == len(times):
        assert "." not in texts[0]


def test_a_future_of_less_than_a_second_is_written_with_decimals():
    with pytest.raises(InvalidInput, match=r"start=.* 22:13:20.294 lies .* it is .* 22:13:20.260"):
        refuse_future(1_700_000_000_294_000_000, 1_700_000_000_260_000_000)


def test_the_epoch_is_where_unix_time_begins():
    assert EPOCH.timestamp() == 0
    assert datetime_of(0) == EPOCH == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_datetime_drops_the_digits_below_a_microsecond():
    found = datetime_of(1_700_000_000_123_456_999)

    assert found == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC)


@given(st.integers(-(2**63), LARGEST_NS))
def test_every_time_of_64_bits_has_a_datetime_in_utc(ns):
    found = datetime_of(ns)

    assert found.tzinfo is UTC
    assert instant_ns(found, "start") == ns // 1_000 * 1_000


def exact_ns(when):
    """Count in Python's integers, by the calendar of the standard library."""
    return (when.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1_000


@given(st.datetimes(), st.sampled_from(["us", "ms", "s", "m", "h", "D", "W", "M", "Y"]))
def test_a_time_of_numpy_is_the_instant_it_shows_in_any_unit_and_year(when, unit):
    of_numpy = np.datetime64(when, "us").astype(f"datetime64[{unit}]")
    shown = of_numpy.astype("datetime64[us]").item()  # numpy's own, which is exact in µs
    assume(isinstance(shown, datetime))  # a week may begin before the year 1

    assert instant_ns(of_numpy, "start") == exact_ns(shown)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_nanoseconds_of_numpy_and_pandas_are_kept_exactly(ns):
    assert instant_ns(np.datetime64(ns, "ns"), "start") == ns
    assert instant_ns(pd.Timestamp(ns), "start") == ns
    assert instant_ns(pd.Timestamp(ns, tz="UTC"), "start") == ns


@given(
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.sampled_from([*"YMWDhms", "ms", "us", "ps", "fs", "as"]),
)
def test_a_time_of_numpy_never_wraps(number, unit):
    try:
        ns = instant_ns(np.datetime64(number, unit), "start")
    except InvalidInput:
        assert not -1969 <= number <= 8029  # the years of the calendar, from 1970 on
    else:
        assert exact_ns(datetime.min) <= ns <= exact_ns(datetime.max) + 10**9
        assert (ns >= 0) == (number >= 0)


@given(
    st.datetimes(),
    st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=23))])
    | st.just(ZoneInfo("Pacific/Auckland")),
)
def test_a_datetime_of_any_zone_and_year_is_read_and_written(when, zone):
    ns = instant_ns(when.replace(tzinfo=zone), "start")

    assert abs(ns - exact_ns(when)) <= 86_400 * 10**9
    assert len(written(ns)) in (19, 20)  # the year 0 or 10000 of UTC may be among them
    with pytest.raises(InvalidInput, match="lies in the future"):
        refuse_future(ns, ns - 1)


@pytest.mark.parametrize(
    ("when", "same"),
    [
        (np.datetime64("1500-01-01"), date(1500, 1, 1)),
        (np.datetime64("3000-01-01"), "3000-01-01"),
        (np.datetime64("1970-01-02"), 86_400),
        (np.datetime64("2610-07-27"), datetime(2610, 7, 27)),
        (np.datetime64("2026-01"), "2026-01-01"),
        (np.datetime64(2, "25s"), 50),
        (pd.Timestamp("1970-01-02"), 86_400),
        (pd.Timestamp(np.datetime64("3000-01-01", "s")), "3000-01-01"),
        (pd.Timestamp("2026-01-04T02:00+02:00"), "2026-01-04"),
        (pd.Timestamp(1_700_000_000_123_456_789), 1_700_000_000_123_456_789),
        (np.int64(1_700_000_000), 1_700_000_000.0),
    ],
)
def test_the_same_instant_is_the_same_however_it_is_written(when, same):
    assert instant_ns(when, "start") == instant_ns(same, "start")


@pytest.mark.parametrize(
    "when", [np.datetime64("NaT"), np.datetime64("NaT", "D"), pd.NaT], ids=repr
)
def test_no_time_is_shown_as_it_came(when):
    with pytest.raises(InvalidInput, match=r"^end must be a time, not .*NaT"):
        instant_ns(when, "end")
