"""How fast a source's clock runs, as the browser is to count on."""

from types import SimpleNamespace

import pytest

from kucoin_research.figures.pace import Pace, pace_of


def stream(state, simulation=None):
    return SimpleNamespace(state=state, simulation=simulation, lags=lambda rows: rows)


def replay(state, speed):
    nothing = SimpleNamespace(seek=lambda when: when, pause=lambda: 0, resume=lambda: 0)
    return SimpleNamespace(state=state, speed=speed, **vars(nothing))


@pytest.mark.parametrize(
    ("source", "pace"),
    [
        (stream("live"), Pace(is_live=True, rate=1.0)),
        (stream("live", 5.0), Pace(is_live=True, rate=5.0)),
        (replay("playing", 2.0), Pace(is_live=True, rate=2.0)),
        (replay("playing", None), Pace(is_live=True, rate=0.0)),
        (SimpleNamespace(state="live"), Pace(is_live=True, rate=0.0)),
    ],
)
def test_a_clock_goes_on_as_fast_as_its_source(source, pace):
    assert pace_of(source) == pace


@pytest.mark.parametrize("state", ["idle", "connecting", "reconnecting", "failed", "stopped"])
def test_of_a_stream_that_is_not_live_nothing_is_counted(state):
    assert pace_of(stream(state)) == Pace()


@pytest.mark.parametrize("state", ["paused", "ended", "stopped"])
def test_of_a_replay_that_stands_nothing_is_counted(state):
    assert pace_of(replay(state, 1.0)) == Pace()
