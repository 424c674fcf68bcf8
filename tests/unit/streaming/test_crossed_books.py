"""A book that is crossed is served nowhere, and the report says when it was."""

from typing import NamedTuple

import plotly.graph_objects as go
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.figures.book_levels import levels_of
from kucoin_research.model.orderbook import BookSnapshot
from kucoin_research.streaming.book_sync import BookSync
from tests.conftest import wait_until
from tests.exchanges import simulate


class Change(NamedTuple):
    sequence: int
    side: str
    price: float
    size: float


class Delta(NamedTuple):
    timestamp: int
    symbol: str
    first_sequence: int
    last_sequence: int
    changes: tuple[Change, ...]


CHANGES = st.tuples(
    st.sampled_from(["buy", "sell"]), st.integers(90, 110).map(float), st.sampled_from([0.0, 1.0])
)


@settings(max_examples=50)
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=3), max_size=30))
def test_a_book_knows_after_each_change_whether_it_is_crossed(messages):
    book, bids, asks, sequence = BookSync("A"), {99.0: 1.0}, {101.0: 1.0}, 1
    book.subscribed(0.0)
    book.on_snapshot(BookSnapshot("A", 1, 0, [(99.0, 1.0)], [(101.0, 1.0)]), 0, 9.0)
    for message in messages:
        changes = [Change(sequence + place, *each) for place, each in enumerate(message, 1)]
        for _, side, price, size in changes:
            (bids if side == "buy" else asks)[price] = size
        last = changes[-1].sequence
        book.on_delta(Delta(last, "A", sequence + 1, last, tuple(changes)), last)
        sequence = last
        best_bid = max((price for price, size in bids.items() if size), default=0.0)
        best_ask = min((price for price, size in asks.items() if size), default=1e9)

        assert book.is_crossed == (best_bid >= best_ask)
        if book.is_crossed:
            with pytest.raises(kr.BookNotReady, match="crossed"):
                book.copy()
        else:
            assert book.copy().symbol == "A"


def answers(source):
    """Say what a stream or a replay says of its book: None where it answers."""
    try:
        source.book()
    except kr.BookNotReady as error:
        return str(error)
    return None


@pytest.fixture
def crossed(tmp_path, held_time):
    """A stream whose book is crossed at this moment, its exchange, and the recording of it."""
    with simulate(seed=7) as x, kr.stream("XBTUSDTM", "level2", venue=x.venue) as s:
        recorder = s.record(tmp_path)
        held_time.pass_by(1.0)  # until the recording has its snapshot
        assert answers(s) is None
        x.inject("crossed_book", symbol="XBTUSDTM", delay=0.09)
        wait_until(lambda: answers(s) is not None)
        yield s, x, recorder


def test_it_is_not_served_meanwhile(crossed):
    s, _, _ = crossed

    assert "the book of XBTUSDTM is crossed (best bid 8" in answers(s)
    wait_until(lambda: answers(s) is None)  # nothing was asked for afresh
    assert s.frame("status").filter(pl.col("event") == "resync").is_empty()
    assert s.report().verdict is kr.Verdict.COMPLETE


def test_the_report_says_when_and_for_how_long(crossed):
    s, _, _ = crossed
    (still,) = s.report().channel("level2").crossed
    assert (still.ended, still.seconds) == (None, None)
    assert "crossed once, first at 2027-01-15 08:00:" in str(s.report())
    assert "and is still" in str(s.report())

    wait_until(lambda: answers(s) is None)
    (over,) = s.report().channel("level2").crossed

    assert over.began == still.began
    assert 0 < over.seconds <= 0.11  # until somebody acts at its price, at most
    assert f"for {over.seconds:.3f} s in all; it was not served meanwhile" in str(s.report())
    assert "was not served meanwhile" in s.report()._repr_html_()
    events = s.frame("status")["event"].to_list()
    assert events.index("uncrossed") == events.index("crossed") + 1


def test_its_recording_and_the_replay_of_it_say_the_same(crossed):
    s, _, recorder = crossed
    wait_until(lambda: answers(s) is None)
    s.stop()
    recorder.close(20)
    session, told = kr.load(recorder.path), s.report().channel("level2").crossed

    said = set()
    with kr.replay(session, speed=None, paused=True) as replay:
        replay.seek(session.frame("level2")["local_timestamp"][-1])
        replay.seek(told[0].began)
        for _ in range(30):
            said.add((answers(replay) or "").partition("(")[0])
            replay.step()
        replay.resume()
        replay.wait_until_done()
        assert replay.report().channel("level2").crossed == told
    assert "the book of XBTUSDTM is crossed " in said
    assert session.report().channel("level2").crossed == told


def test_no_chart_of_it_is_drawn_and_the_badge_says_why(crossed):
    s, _, _ = crossed
    figure = kr.figures.depth(s)
    board = kr.dashboard(s)
    try:
        assert _points(figure) == 0
        assert "crossed" in board.health.vitals.book  # which makes it amber after a moment
    finally:
        board.close()
        figure.close()
    wait_until(lambda: answers(s) is None)
    later = kr.figures.depth(s)
    try:
        assert _points(later) > 0
    finally:
        later.close()


def _points(figure):
    data = figure.data if isinstance(figure, go.Figure) else figure.figure().data
    return sum(len(trace.y) for trace in data if trace.y is not None)


def test_a_frame_of_changes_that_ends_crossed_gives_no_picture_of_a_book():
    columns = {"side": ["buy", "sell"], "price": [100.0, 101.0], "size": [1.0, 1.0]}
    sound = pl.DataFrame(columns | {"is_snapshot": [True, True]})
    bad = sound.with_columns(price=pl.Series([101.0, 100.0]))

    assert levels_of(bad).is_crossed
    assert not levels_of(sound).is_crossed
    assert _points(kr.figures.depth(sound)) > 0
    assert _points(kr.figures.depth(bad)) == 0
