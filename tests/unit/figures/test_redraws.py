"""The most redraws per second, which the environment may lower."""

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.figures.redraws import REDRAWS, redraws_per_second


@pytest.mark.parametrize(
    ("text", "allowed"), [(None, 20.0), ("", 20.0), (" 4 ", 4.0), ("2.5", 2.5), ("1", 1.0)]
)
def test_the_environment_lowers_the_redraws(monkeypatch, text, allowed):
    if text is not None:
        monkeypatch.setenv(REDRAWS, text)

    assert redraws_per_second(20.0) == allowed


def test_what_is_made_to_be_drawn_less_often_is_not_drawn_more_often(monkeypatch):
    monkeypatch.setenv(REDRAWS, "10")

    assert redraws_per_second(5.0) == 5.0


@pytest.mark.parametrize("text", ["four", "0", "-2", "0.5", "nan", "4 per second"])
def test_anything_but_a_number_of_one_or_more_is_refused(monkeypatch, text):
    monkeypatch.setenv(REDRAWS, text)

    with pytest.raises(InvalidInput, match=rf"{REDRAWS}=.*of 1 or more"):
        redraws_per_second(20.0)
