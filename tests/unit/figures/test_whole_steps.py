"""Decimal numbers as whole steps: their sums are exact, whatever their size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.figures.whole_steps import decimal_places, exact_totals, to_steps, written


@pytest.mark.parametrize(
    ("values", "places"),
    [([1.0, 20.0], 0), ([0.1, 5.0], 1), ([64_000.5, 0.00001234], 8), ([123456.789], 3), ([], 0)],
)
def test_the_decimal_places_are_those_of_the_text(values, places):
    assert decimal_places(np.array(values)) == places


def test_a_sum_has_no_error_of_binary_fractions():
    assert exact_totals(np.array([0.1, 0.2, 0.3])).tolist() == [0.1, 0.3, 0.6]
    assert exact_totals(np.array([12.3 * 0.001, 45.6 * 0.001])).tolist() == [0.0123, 0.0579]


def test_quotients_are_summed_too():
    assert exact_totals(np.array([1 / 3, 1 / 3])) == pytest.approx([1 / 3, 2 / 3])


def test_steps_beyond_64_bits_stay_exact():
    steps = to_steps(np.array([1e12, 2e12]), 8)

    assert steps.sum() == 300_000_000_000_000_000_000


@pytest.mark.parametrize(
    ("steps", "places", "text"),
    [(1_234_567, 2, "12,345.67"), (5, 8, "0.00000005"), (1_000, 0, "1,000"), (-5, 1, "-0.5")],
)
def test_a_number_of_steps_is_written_with_all_its_places(steps, places, text):
    assert written(steps, places) == text


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50), st.integers(0, 8))
def test_totals_of_decimals_are_those_of_their_whole_steps(counts, places):
    totals = exact_totals(np.array([count / 10**places for count in counts]))

    assert totals.tolist() == [float(each) / 10**places for each in np.cumsum(counts).tolist()]
