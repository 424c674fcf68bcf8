"""The times, values and texts that users hand to ``mark`` and ``plot``."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from kucoin_research.dashboards.user_points import marks_from, name_from, points_from
from kucoin_research.errors import ColumnMissing, InvalidInput

NOON = 1_708_950_436_957_000_123
MICROS = NOON // 1_000 * 1_000
UTC_TIME = dt.datetime(2024, 2, 26, 12, 27, 16, 957_000, tzinfo=dt.UTC)
BERLIN = dt.timezone(dt.timedelta(hours=1))
ZONED = pd.date_range(pd.Timestamp(MICROS, tz="UTC").tz_convert("Europe/Berlin"), periods=2)


@pytest.mark.parametrize(
    "t",
    [
        MICROS,
        np.int64(MICROS),
        MICROS // 1_000_000,
        UTC_TIME,
        UTC_TIME.replace(tzinfo=None),
        UTC_TIME.astimezone(BERLIN),
        "2024-02-26T12:27:16.957",
        np.datetime64(MICROS, "ns"),
        pd.Timestamp(MICROS, tz="UTC"),
        pl.Series([MICROS]).cast(pl.Datetime("ns", "UTC")),
        pl.Series([MICROS // 1_000]).cast(pl.Datetime("us")),
        pl.Series([MICROS]),
        np.array([MICROS], "datetime64[ns]"),
        np.array([MICROS // 1_000_000], "datetime64[ms]"),
        np.array([MICROS]),
        np.array([MICROS // 1_000_000]),
        [UTC_TIME],
        (np.datetime64(MICROS, "ns"),),
        ZONED[:1],
        ZONED.to_series()[:1],
        ZONED.tz_convert("UTC").tz_localize(None)[:1],
    ],
)
def test_any_time_is_the_same_instant(t):
    y = 1.5 if not hasattr(t, "__len__") or isinstance(t, str) else [1.5]

    times, values = points_from(t, y, "line")

    assert (times.tolist(), values.tolist()) == ([MICROS], [1.5])
    assert (times.typecode, values.typecode) == ("q", "d")


def test_nanoseconds_stay_exact():
    assert points_from(np.array([NOON]), [1], "line")[0].tolist() == [NOON]
    assert points_from(pl.Series([NOON]).cast(pl.Datetime("ns")), [1], "line")[0][0] == NOON


@pytest.mark.parametrize("y", [None, float("nan"), float("inf"), np.float64("nan"), 10**400])
def test_a_missing_value_is_left_out(y):
    assert not points_from(NOON, y, "line")[0]
    assert points_from([NOON, NOON + 1], [y, 2], "line")[1].tolist() == [2.0]


def test_points_are_ordered_by_time():
    times, values = points_from([NOON + 2, NOON, NOON + 1], pl.Series([1, 2, None]), "line")

    assert (times.tolist(), values.tolist()) == ([NOON, NOON + 2], [2.0, 1.0])


@pytest.mark.parametrize(
    ("t", "y", "because"),
    [
        ("noon", 1.0, "t='noon' is no time; write it like"),
        (None, 1.0, "t must be a time, not None"),
        ([NOON, None], [1, 2], "t must be a time, not None"),
        (pl.Series([UTC_TIME, None]), [1, 2], "t has a missing time at place 1"),
        (np.array(["2024-01-01", "NaT"], "datetime64[ns]"), [1, 2], "missing time at place 1"),
        (pd.NaT, 1.0, "t must be a time"),
        (NOON, "1.5", "y must be a number, not '1.5'"),
        (NOON, True, "y must be a number, not True"),
        ([NOON], ["1.5"], "y must be a number, not '1.5'"),
        ([NOON, NOON], [1.0], r"line has 2 times and 1 values"),
        ([NOON], 1.0, "y must be one for each time, not 1.0"),
        (NOON, [1.0], r"y must be a number, not \[1.0\]"),
        ("9999-01-01", 1.0, "beyond the years that nanoseconds can count"),
    ],
)
def test_bad_points_get_a_sentence(t, y, because):
    with pytest.raises(InvalidInput, match=because):
        points_from(t, y, "line")


def test_marks_share_a_price_and_a_text():
    marks = marks_from([NOON, NOON + 1], 100, "here")

    assert marks == ([NOON, NOON + 1], [100.0, 100.0], ["here", "here"])
    assert marks_from(NOON, 1.5, None) == ([NOON], [1.5], [""])


def test_the_rows_of_a_channel_are_marks():
    rows = pl.DataFrame({"timestamp": [UTC_TIME], "price": [1.5], "text": ["x"], "size": [3]})

    assert marks_from(rows, None, None) == ([MICROS], [1.5], ["x"])
    assert marks_from(rows.drop("text"), None, None).texts == [""]


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        ((NOON, None, "x"), "price must be a price, not None"),
        ((NOON, float("nan"), "x"), "price must be a price, not nan"),
        (([NOON], [None], "x"), "price must be a price, not nan"),
        ((NOON, 1.0, 5), "text must be one for each time, not 5"),
        (([NOON], 1.0, [5]), "text must be a string, not 5"),
        (([NOON], [1.0, 2.0], "x"), "mark got 1 times and 2 prices"),
        (([NOON], 1.0, ["x", "y"]), "mark got 1 times and 2 texts"),
        ((pl.DataFrame({"timestamp": [UTC_TIME], "price": [1.5]}), 5.0, None), "and not both"),
        ((pl.DataFrame({"timestamp": [UTC_TIME], "price": [1.5]}), None, "x"), "leave text out"),
        ((pd.DataFrame({"timestamp": [UTC_TIME]}), None, None), r"pl.from_pandas\(frame\)"),
    ],
)
def test_bad_marks_get_a_sentence(arguments, because):
    with pytest.raises(InvalidInput, match=because):
        marks_from(*arguments)


def test_a_frame_without_prices_lists_its_columns():
    with pytest.raises(ColumnMissing, match=r"marks without 'price'; the frame has 'timestamp'"):
        marks_from(pl.DataFrame({"timestamp": [UTC_TIME]}), None, None)


@pytest.mark.parametrize("name", ["", " ", None, 5, "x" * 100])
def test_a_name_is_a_text(name):
    with pytest.raises(InvalidInput, match="name must"):
        name_from(name, "name")
