"""Measures of quotes, against their definitions, row by row."""

import math

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import analytics
from tests.unit.frames.measured import (
    QUOTE,
    agrees,
    is_causal,
    is_the_same_in_every_context,
    quotes,
    random_quotes,
)


def quote(rows):
    return [rows[-1][name] for name in QUOTE]


def has_both(rows):
    return None not in quote(rows)


def mid(rows):
    b, _, a, _ = quote(rows)
    return (a + b) / 2 if has_both(rows) else None


def weighted_mid(rows):
    b, bids, a, asks = quote(rows)
    return (a * bids + b * asks) / (bids + asks) if has_both(rows) and bids + asks else None


def spread(rows):
    b, _, a, _ = quote(rows)
    return a - b if has_both(rows) else None


def spread_bps(rows):
    return 1e4 * spread(rows) / mid(rows) if has_both(rows) else None


def imbalance(rows):
    _, bids, _, asks = quote(rows)
    return bids / (bids + asks) if has_both(rows) and bids + asks else None


def signed_imbalance(rows):
    _, bids, _, asks = quote(rows)
    return (bids - asks) / (bids + asks) if has_both(rows) and bids + asks else None


def flow(rows):
    if len(rows) < 2 or not has_both(rows) or not has_both(rows[:-1]):
        return None
    (b0, bids0, a0, asks0), (b, bids, a, asks) = quote(rows[:-1]), quote(rows)
    return (b >= b0) * bids - (b <= b0) * bids0 - (a <= a0) * asks + (a >= a0) * asks0


def flow_of_5(rows):
    newest = [flow(rows[:n]) for n in range(len(rows) - 4, len(rows) + 1) if n > 0]
    return sum(newest) if len(newest) == 5 and None not in newest else None


MEASURES = {
    "mid": (analytics.mid(), mid),
    "weighted_mid": (analytics.weighted_mid(), weighted_mid),
    "spread": (analytics.spread(), spread),
    "spread_bps": (analytics.spread(bps=True), spread_bps),
    "imbalance": (analytics.imbalance(), imbalance),
    "signed": (analytics.imbalance(signed=True), signed_imbalance),
    "flow": (analytics.order_flow_imbalance(), flow),
    "flow_of_5": (analytics.order_flow_imbalance(5), flow_of_5),
}
every_measure = pytest.mark.parametrize("name", MEASURES)


@every_measure
@pytest.mark.parametrize("seed", range(3))
def test_a_measure_is_its_definition(name, seed):
    agrees(random_quotes(seed), *MEASURES[name])


@every_measure
def test_no_later_quote_changes_a_value(name):
    is_causal(random_quotes(7), MEASURES[name][0])


@every_measure
def test_a_measure_is_the_same_lazily_and_in_groups(name):
    is_the_same_in_every_context(random_quotes(8), MEASURES[name][0])


@every_measure
def test_what_is_missing_or_not_finite_makes_a_value_null(name):
    whole = (100.0, 30.0, 100.1, 10.0)
    for missing in (None, math.nan, math.inf):
        rows = quotes(*[whole] * 5, (missing, missing, missing, missing), *[whole] * 7)
        found = rows.select(MEASURES[name][0]).to_series().to_list()
        assert found[5] is None
        assert found[-1] is not None
        assert not any(value is not None and math.isnan(value) for value in found)


def test_the_worked_figures():
    frame = quotes((100, 30, 100.1, 10), (100, 50, 100.1, 10), (100.1, 20, 100.2, 15),
                   (100, 40, 100.2, 5))  # fmt: skip

    first = frame.select(
        analytics.weighted_mid(), analytics.imbalance(),
        signed=analytics.imbalance(signed=True), spread=analytics.spread(),
    ).row(0)  # fmt: skip
    assert first == pytest.approx((100.075, 0.75, 0.5, 0.1))
    flows = frame.select(analytics.order_flow_imbalance()).to_series().to_list()
    assert flows == [None, 20, 30, -10]
    summed = frame.select(analytics.order_flow_imbalance(3)).to_series().to_list()
    assert summed == [None, None, None, 40]


def test_other_columns_and_expressions_are_measured_by_their_names():
    frame = quotes((100, 30, 102, 10)).rename({"best_bid_price": "b", "best_ask_price": "a"})

    found = frame.select(
        analytics.mid(bid="b", ask=pl.col("a") + 2), analytics.spread(bid="b", ask="a")
    )

    assert found.to_dicts() == [{"mid": 102.0, "spread": 2.0}]


def test_whole_numbers_are_measured_as_floats():
    frame = pl.DataFrame({"b": [3], "a": [2]}, schema=dict.fromkeys("ba", pl.UInt8))

    assert frame.select(analytics.spread(bid="b", ask="a")).item() == -1.0


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="best_bid_price"):
        pl.DataFrame({"price": [1.0]}).select(analytics.mid())


@pytest.mark.parametrize("wrong", [None, 5, "", ["a"], pl.Series([1.0])])
def test_what_is_no_column_is_refused(wrong):
    with pytest.raises(kr.InvalidInput, match="bid must be the name of a column or a polars expr"):
        analytics.mid(bid=wrong)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "5", True])
def test_a_window_of_no_rows_is_refused(wrong):
    with pytest.raises(kr.InvalidInput, match="window must be a whole number of rows above 0, not"):
        analytics.order_flow_imbalance(wrong)


def test_wrong_calls_are_answered_with_the_arguments_that_there_are():
    with pytest.raises(kr.InvalidInput, match="mid does not know what 'b' is: write its name bef"):
        analytics.mid("b")
    with pytest.raises(kr.InvalidInput, match="imbalance takes no 'sign'; did you mean signed="):
        analytics.imbalance(sign=True)
    with pytest.raises(kr.InvalidInput, match="signed must be True or False, not 1"):
        analytics.imbalance(signed=1)
    with pytest.raises(kr.InvalidInput, match="bps must be True or False, not 'yes'"):
        analytics.spread(bps="yes")
