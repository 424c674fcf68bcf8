"""The replay bar: its texts, and what its buttons do."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.replay_bar import ReplayBar
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Status, Trade, schema_of
from tests.unit.rows import NOON, ticker
from tests.unit.sessions.test_session import recorded

# The replay of a session has a thread of its own.
REAL_TIME = True

START = 1_767_571_200_000_000_000  # 2026-01-05 00:00 UTC
SECOND = 1_000_000_000


def trade(symbol, number=0):
    return Trade(NOON, NOON + number + 7, symbol, number, str(number), "buy", 5.0, 1.0)


class FakeReplay:
    """As much of a replay as the bar drives: a minute, with a gap from its 15th to 30th second."""

    def __init__(self):
        self.start_ns, self.end_ns = START, START + 60 * SECOND
        self.position_ns, self.state, self.speed = START, "paused", 1.0
        self.steps, self.session, self.channels = [], self, ["trade"]
        self.rows, self.sinks = [], []

    def frame(self, channel=None, symbol=None, last=None):
        begin, end = START + 15 * SECOND, START + 30 * SECOND
        row = Status(begin, end, "XBTUSDTM", "gap", "trade", "lost", None, None)
        return pl.DataFrame([row], schema=schema_of(Status), orient="row")

    def pause(self):
        self.state = "paused"

    def resume(self):
        self.state = "playing"

    def step(self, count=1, *, seconds=None):
        self.steps.append(count if seconds is None else f"{seconds} s")
        self.state = "stepping"
        while self.rows and self.state == "stepping":
            row = self.rows.pop(0)
            for sink in self.sinks:
                sink(row)
        self.state = "paused"

    def attach(self, sink, channel=None):
        assert channel == "trade"
        self.sinks.append(sink)
        return lambda: self.sinks.remove(sink)

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


def test_the_page_is_sent_the_exact_place(fake):
    fake.end_ns = START + 8 * 3_600 * SECOND
    fake.position_ns = START + 3_600 * SECOND + 1
    transport = ReplayBar(fake, Zone())

    at = transport.bar()["at"]
    fake.position_ns = START
    transport.seek(at)

    assert fake.position_ns == START + 3_600 * SECOND + 1


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


def test_a_step_goes_to_a_trade_of_the_symbol(fake):
    fake.rows = [trade(symbol) for symbol in ("XBTUSDTM", "ETHUSDTM", "XBTUSDTM", "XBTUSDTM")]
    transport = ReplayBar(fake, Zone(), "XBTUSDTM")

    transport.do("step", {"count": 1, "unit": "trades"})
    assert (len(fake.rows), fake.state, fake.sinks) == (3, "paused", [])
    transport.step(2, "trades")
    assert (len(fake.rows), fake.state, fake.sinks) == (0, "paused", [])


def test_a_step_is_rows_or_seconds(fake):
    transport = ReplayBar(fake, Zone())

    transport.do("step", {})
    transport.do("step", {"count": 100, "unit": "rows"})
    transport.do("step", {"count": 10, "unit": "seconds"})

    assert fake.steps == [1, 100, "10 s"]


def test_a_step_that_is_interrupted_leaves_the_replay_paused(fake):
    def interrupt(count):
        raise KeyboardInterrupt

    fake.step = interrupt
    with pytest.raises(KeyboardInterrupt):
        ReplayBar(fake, Zone()).step(1, "trades")

    assert (fake.state, fake.sinks) == ("paused", [])


def test_wrong_steps_are_refused(fake):
    transport = ReplayBar(fake, Zone())

    with pytest.raises(kr.InvalidInput, match="rows, trades, seconds, not by 'days'"):
        transport.step(1, "days")
    for count in (0, 1.5, "2"):
        with pytest.raises(kr.InvalidInput, match="number of trades"):
            transport.step(count, "trades")


def test_a_step_stops_right_behind_the_trade_of_a_real_replay(tmp_path):
    rows = [trade("XBTUSDTM", at) if at % 4 == 3 else ticker(at) for at in range(10)]
    session = kr.load(recorded(tmp_path, rows, channels=["trade", "ticker"]))
    with kr.replay(session, paused=True) as replay:
        transport = ReplayBar(replay, Zone(), "XBTUSDTM")
        for count, trades, tickers in ((1, 1, 3), (1, 2, 6), (1, 2, 8)):
            transport.step(count, "trades")
            assert (replay.total("trade"), replay.total("ticker")) == (trades, tickers)
        assert str(replay.state) == "ended"
        transport.seek(0.0)
        transport.step(2, "trades")
        assert (replay.total("trade"), replay.total("ticker")) == (2, 6)
        assert replay.failures == ()


def test_the_page_is_sent_both_ends_for_its_labels(fake):
    times = ReplayBar(fake, Zone("Europe/Berlin")).times()

    assert times == [START / 1e6, START / 1e6 + 60_000, "Europe/Berlin", 3_600_000]


def test_play_at_the_end_begins_anew(fake):
    fake.state, fake.position_ns = "ended", fake.end_ns

    ReplayBar(fake, Zone()).do("play", {})

    assert (fake.state, fake.position_ns) == ("playing", START)


@pytest.mark.parametrize(
    ("press", "share", "state"),
    [
        (("rewind", {}), 0.0, "paused"),
        (("seek", {"at": 0.5}), 0.5, "paused"),
        (("play", {}), 0.0, "playing"),
    ],
)
def test_a_replay_that_has_ended_plays_again_only_when_asked_to(tmp_path, press, share, state):
    hour = 3_600 * SECOND
    session = kr.load(recorded(tmp_path, [ticker(0), ticker(hour), ticker(2 * hour)]))
    with kr.replay(session, speed=None) as replay:
        assert replay.wait_until_done(20)
        replay.speed = 1.0
        transport = ReplayBar(replay, Zone())

        transport.do(*press)

        assert str(replay.state) == state
        assert transport.bar()["at"] == pytest.approx(share, abs=1e-2)


def test_a_place_outside_is_refused(fake):
    with pytest.raises(kr.InvalidInput, match="between 0 and 1"):
        ReplayBar(fake, Zone()).seek(1.5)
