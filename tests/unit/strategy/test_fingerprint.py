"""The fingerprint of a run's fills."""

from __future__ import annotations

import math

import polars as pl
import pytest

from kucoin_research.strategy.fingerprint import fingerprint_of
from tests.unit.strategy.runs import fill, table

FILLS = table("fills", fill(1, price=100.1), fill(2, "sell", price=0.1 + 0.2), fill(3, tag="é\n"))
KNOWN = "2838ffc32264156111c3ade521f8502b70034491a3f4d2fd9cc778f8a952733c"


def test_the_fingerprint_is_the_same_for_ever():
    assert fingerprint_of(FILLS) == KNOWN


@pytest.mark.parametrize(
    "same",
    [
        pl.concat([FILLS[:1], FILLS[1:2], FILLS[2:]], rechunk=False),
        FILLS.rechunk(),
        FILLS.select(sorted(FILLS.columns)),
        FILLS.with_columns(extra=pl.lit(1)),
        FILLS.with_columns(pl.col("side").cast(pl.Enum(["buy", "sell"]))),
        FILLS.with_columns(pl.col("symbol").cast(pl.Categorical)),
    ],
    ids=["chunks", "one chunk", "order of columns", "another column", "enum", "categorical"],
)
def test_it_does_not_depend_on_how_a_frame_is_stored(same):
    assert fingerprint_of(same) == fingerprint_of(FILLS)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("price", math.nextafter(100.1, 200)),
        ("size", math.nextafter(1.0, 0)),
        ("order_id", "another"),
        ("tag", None),
        ("side", "sell"),
        ("liquidity", "maker"),
    ],
)
def test_any_change_of_a_fill_changes_it(column, value):
    rows = FILLS.to_dicts()
    rows[0][column] = value

    assert fingerprint_of(pl.DataFrame(rows, schema=FILLS.schema)) != fingerprint_of(FILLS)


def test_a_nanosecond_changes_it_and_so_does_the_order():
    later = FILLS.with_columns(pl.col("timestamp") + pl.duration(nanoseconds=1))

    assert fingerprint_of(later) != fingerprint_of(FILLS)
    assert fingerprint_of(FILLS.reverse()) != fingerprint_of(FILLS)


def test_no_fills_have_one_and_zero_has_no_sign():
    flat, negative = (table("fills", fill(1, position_after=each)) for each in (0.0, -0.0))

    assert len(fingerprint_of(FILLS[:0])) == 64
    assert fingerprint_of(flat) == fingerprint_of(negative)
