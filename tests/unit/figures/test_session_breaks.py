"""The time between recordings that are shown as one is shaded, and breaks the lines."""

import json

import numpy as np
import pytest

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.dashboards.replay_bar import ReplayBar
from kucoin_research.figures.session_breaks import breaks_of
from kucoin_research.figures.tail import Tail
from kucoin_research.figures.time_axis import Zone
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.files.manifest_values import iso
from tests.unit.playback.test_replay import FastClock
from tests.unit.rows import NOON, ticker
from tests.unit.sessions.test_session import recorded

SECOND = 10**9


def a_ticker(second):
    at = NOON + second * SECOND
    return ticker(second, timestamp=at, local_timestamp=at)


def recording(root, begin, end, *, is_closed=True, channel="ticker", row=a_ticker):
    """Record a row each second from one second to another, both included."""
    rows = [row(n) for n in range(begin, end + 1)]
    path = recorded(root / str(begin), rows, channels=(channel,), start_ns=NOON + begin * SECOND)
    manifest = path / "session.json"
    closed = {"end": iso(NOON + end * SECOND)}
    broken = {"state": "recording", "end": None, "files": {}}
    content = json.loads(manifest.read_text()) | (closed if is_closed else broken)
    manifest.write_text(json.dumps(content))
    return path


def spans(gaps):
    return [((gap.begin - NOON) / SECOND, (gap.end - NOON) / SECOND) for gap in gaps]


@pytest.fixture
def both(tmp_path):
    return kr.load([recording(tmp_path, 60, 70), recording(tmp_path, 0, 10)])


def test_a_session_of_several_recordings_has_a_break_between_them(both):
    (found,) = breaks_of(both)

    assert spans([found]) == [(10.0, 60.0)]
    names = [path.name for path in sorted(both.paths, key=lambda path: int(path.parent.name))]
    assert found.what == f"{names[0]} ended, {names[1]} began"


def test_one_recording_has_no_break_and_neither_have_frames(tmp_path, both):
    assert breaks_of(kr.load(recording(tmp_path / "one", 0, 5))) == []
    assert breaks_of(both.frame("ticker")) == []


def test_recordings_that_overlap_have_no_break_between_them(tmp_path):
    paths = [recording(tmp_path, *span) for span in ((0, 40), (5, 10), (20, 50), (55, 60))]

    assert spans(breaks_of(kr.load(paths))) == [(50.0, 55.0)]


def test_a_recording_that_was_not_closed_ends_where_the_next_one_begins(tmp_path):
    paths = [recording(tmp_path, 0, 10, is_closed=False), recording(tmp_path, 60, 70)]

    with pytest.warns(kr.SessionUnfinished):
        session = kr.load(paths)

    (found,) = breaks_of(session)
    assert (found.begin - NOON, found.end - NOON) == (60 * SECOND - 1, 60 * SECOND)
    (shade,) = [each for each in figures.price(session).layout.shapes if each.type == "rect"]
    assert (shade.x0, shade.x1) == ((NOON + 10 * SECOND) / 1e6, (NOON + 60 * SECOND) / 1e6)


def test_a_figure_shades_the_break_and_draws_no_line_across(both):
    figure = figures.price(both)

    (shade,) = [each for each in figure.layout.shapes if each.type == "rect"]
    assert (shade.x0, shade.x1) == ((NOON + 10 * SECOND) / 1e6, (NOON + 60 * SECOND) / 1e6)
    assert shade.label.text == "between sessions 50.0 s"
    mid = next(each for each in figure.data if each.name == "mid")
    assert np.isnan(mid.y).sum() == 1


def test_a_replay_reaches_the_breaks_one_by_one(both):
    replay = Replay(both, paused=True, clock=FastClock()).launch()
    tail = Tail(replay, "XBTUSDTM", {"quotes": "ticker"})
    try:
        replay.step(5)
        assert tail.gaps()[0] == []

        replay.seek(NOON + 65 * SECOND)
        (found,), has_changed = tail.gaps()
        assert has_changed
        assert spans([found]) == [(10.0, 60.0)]
        assert tail.gaps() == ([found], False)

        replay.seek(NOON + 2 * SECOND)
        assert tail.gaps() == ([], True)
    finally:
        replay.stop()


def test_the_bar_of_a_replay_marks_the_breaks(both):
    replay = Replay(both, paused=True, clock=FastClock()).launch()
    try:
        (mark,) = ReplayBar(replay, Zone()).gaps()
    finally:
        replay.stop()

    assert mark[:2] == [round(10 / 70, 4), round(60 / 70, 4)]
    assert mark[2].startswith("between sessions of 50.0 s: ")
