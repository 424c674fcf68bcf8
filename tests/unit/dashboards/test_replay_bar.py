"""The replay bar: its texts, and what its buttons do."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.replay_bar import ReplayBar
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Status, schema_of

START = 1_767_571_200_000_000_000  # 2026-01-05 00:00 UTC
SECOND = 1_000_000_000


class FakeReplay:
    """As much of a replay as the bar drives: a minute, with a gap from its 15th to 30th second."""

    def __init__(self):
        self.start_ns, self.end_ns = START, START + 60 * SECOND
        self.position_ns, self.state, self.speed = START, "paused", 1.0
        self.steps, self.session, self.channels = [], self, ["trade"]

    def frame(self, channel=None, symbol=None, last=None):
        begin, end = START + 15 * SECOND, START + 30 * SECOND
        row = Status(begin, end, "XBTUSDTM", "gap", "trade", "lost", None, None)
        return pl.DataFrame([row], schema=schema_of(Status), orient="row")

    def pause(self):
        self.state = "paused"

    def resume(self):
        self.state = "playing"

    def step(self, count=1):
        self.steps.append(count)

    def seek(self, when):
        self.position_ns = when


@pytest.fixture
def fake():
    return FakeReplay()


def test_the_bar_says_where_a_replay_is(fake):
    fake.position_ns = START + 15 * SECOND
    transport = ReplayBar(fake, Zone())

    assert transport.bar() == {
        "state": "paused", "at": 0.25, "here": "00:00:15.000", "speed": "1",
    }  # fmt: skip
    assert transport.span() == ["2026-01-05 00:00:00 UTC", "00:01:00"]


def test_the_slider_marks_gaps(fake):
    assert ReplayBar(fake, Zone()).gaps() == [[0.25, 0.5, "gap of 15.0 s: lost"]]


def test_the_bar_drives_the_replay(fake):
    transport = ReplayBar(fake, Zone())

    transport.do("play", {})
    assert fake.state == "playing"
    transport.do("step", {"count": 3})
    assert (fake.state, fake.steps) == ("paused", [3])
    transport.do("seek", {"at": 0.75})
    assert fake.position_ns == START + 45 * SECOND
    transport.do("rewind", {})
    assert fake.position_ns == START
    transport.do("speed", {"speed": "0.1"})
    assert fake.speed == 0.1
    transport.do("speed", {"speed": "max"})
    assert fake.speed is None
    assert transport.bar()["speed"] == "max"


def test_play_at_the_end_begins_anew(fake):
    fake.state, fake.position_ns = "ended", fake.end_ns

    ReplayBar(fake, Zone()).do("play", {})

    assert (fake.state, fake.position_ns) == ("playing", START)


def test_a_place_outside_is_refused(fake):
    with pytest.raises(kr.InvalidInput, match="between 0 and 1"):
        ReplayBar(fake, Zone()).seek(1.5)
