"""How numbers are written: as a trader reads them, without an exponent."""

from __future__ import annotations

import pytest

from kucoin_research.figures.decimals import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (84_952.3, "84,952.3"),
        (300_000.0, "300,000"),
        (8.405e-6, "0.000008405"),
        (-5e-7, "-0.0000005"),
        (1e20, "100,000,000,000,000,000,000"),
        (0.1 + 0.2, "0.3"),
        (-0.0, "0"),
    ],
)
def test_a_number_is_written_in_plain_decimals(value, text):
    assert plain(value) == text


def test_a_number_is_rounded_to_the_digits_asked_for():
    assert plain(76_810.3978300181, 9) == "76,810.3978"
    assert plain(8.405e-6, 2) == "0.0000084"


def test_a_number_has_its_sign_if_that_is_asked_for():
    assert [plain(each, sign=True) for each in (1.5, -1.5, -0.0)] == ["+1.5", "-1.5", "+0"]
