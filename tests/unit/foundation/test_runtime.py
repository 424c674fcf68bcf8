import gc

import pytest

from kucoin_research.foundation.runtime import eased


@pytest.fixture(autouse=True)
def usual():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_collector_looks_less_often_until_all_are_done():
    gc.set_threshold(700, 10, 10)

    with eased():
        with eased():
            inner = gc.get_threshold()
        outer = gc.get_threshold()

    assert inner == outer == (50_000, 10, 10)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (100_000, 5, 5)])
def test_a_choice_that_looks_less_often_still_is_kept(chosen):
    gc.set_threshold(*chosen)

    with eased():
        assert gc.get_threshold() == chosen
    assert gc.get_threshold() == chosen


def test_it_is_as_it_was_after_an_error():
    gc.set_threshold(700, 10, 10)

    with pytest.raises(KeyError), eased():
        raise KeyError
    assert gc.get_threshold() == (700, 10, 10)
