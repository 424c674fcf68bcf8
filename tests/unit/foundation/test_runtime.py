import gc
import sys

import pytest

from kucoin_research.foundation.runtime import eased, hurry, slow_down


@pytest.fixture(autouse=True)
def usual():
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*before)
    sys.setswitchinterval(interval)


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


def test_threads_switch_sooner_until_the_last_stream_has_stopped():
    sys.setswitchinterval(0.005)
    one, other = object(), object()

    hurry(one)
    hurry(other)
    slow_down(one)
    between = sys.getswitchinterval()
    slow_down(other)
    slow_down(other)

    assert between == pytest.approx(0.001)
    assert sys.getswitchinterval() == pytest.approx(0.005)


def test_a_switch_interval_that_is_shorter_still_is_kept():
    sys.setswitchinterval(0.0005)
    stream = object()

    hurry(stream)
    during = sys.getswitchinterval()
    slow_down(stream)

    assert during == sys.getswitchinterval() == pytest.approx(0.0005)
