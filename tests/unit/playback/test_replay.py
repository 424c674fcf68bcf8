import gc
import hashlib
import json
import threading
import tracemalloc
import warnings
import weakref
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

import kucoin_research as kr
from kucoin_research.errors import (
    BookNotReady,
    FunctionFailed,
    InvalidInput,
    SessionBroken,
    SessionUnfinished,
    StreamStopped,
    StreamTimeout,
    UnknownChannel,
    UnknownSymbol,
)
from kucoin_research.model.records import Candle, Status, Trade
from kucoin_research.model.status import State
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions import timeline
from kucoin_research.sessions.files.manifest_values import iso
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.unit.rows import DAY, NOON, ticker
from tests.unit.sessions.test_session import csv, level2, recorded, status
from tests.unit.sessions.test_timeline import MIXED, candle, many, sessions, trade

# Its clocks are set by hand, and tell the test what is waited for.
REAL_TIME = True

SECOND = 10**9
MILLISECOND = 10**6


class FastClock:
    """Nobody waits for it: a wait that has an end moves it there."""

    def __init__(self):
        self.ns = 5 * SECOND
        self.waited = []

    def now_ns(self):
        return self.ns

    def wait(self, changed, seconds):
        if seconds is None:
            changed.wait()
        else:
            self.waited.append(seconds)
            self.ns += max(1, round(seconds * 1e9))


class HandClock:
    """Stands still until it is moved on."""

    def __init__(self):
        self.ns = 5 * SECOND
        self._moved = threading.Condition()
        self._changed = None
        self._waits = None

    def now_ns(self):
        return self.ns

    def wait(self, changed, seconds):
        self._changed = changed
        self._report(seconds)
        changed.wait()
        self._report(None)

    def _report(self, seconds):
        with self._moved:
            self._waits = seconds
            self._moved.notify_all()

    def waits(self, seconds):
        """Return whether the replay comes to wait for this many seconds."""
        with self._moved:
            return self._moved.wait_for(lambda: self._waits == pytest.approx(seconds), 10.0)

    def advance(self, seconds):
        with self._changed:
            self.ns += round(seconds * 1e9)
            self._waits = None
            self._changed.notify_all()


@pytest.fixture
def play():
    """Make replays; each must have ended its thread when it is stopped."""
    made = []

    def make(session, speed=1.0, **options):
        options.setdefault("clock", FastClock())
        made.append(Replay(session, speed, **options))
        return made[-1].launch()

    yield make
    for each in made:
        each.stop()
        assert each.state is State.STOPPED
        wait_until(lambda each=each: not threads_of(each))


def threads_of(replay):
    return [t for t in threading.enumerate() if t.name == f"kucoin-{replay.name}-replay"]


def every(number, gap=100 * MILLISECOND):
    """Make rows of four channels, ``gap`` ns apart, with a book that is in step."""
    rows = [level2(n, 1_000, is_snapshot=True)._replace(price=5.0 - n) for n in range(3)]
    rows.append(status(3, "book_ready", channel="level2", symbol="XBTUSDTM", last=1_000))
    for n in range(4, number):
        makers = (
            lambda n: ticker(n)._replace(local_timestamp=NOON + n),
            trade,
            lambda n: level2(n, 1_000 + n)._replace(size=float(n)),
            lambda n: candle(n, "1min"),
        )
        rows.append(makers[n % 4](n))
    return [row._replace(local_timestamp=NOON + n * gap) for n, row in enumerate(rows)]


EVERY = ("ticker", "trade", "level2", "candle")


def session_of(root, rows, **options):
    options.setdefault("channels", EVERY)
    return kr.load(recorded(root, rows, **options))


def digest(rows):
    return hashlib.sha256("\n".join(map(repr, rows)).encode()).hexdigest()


def heard(replay, channel=None):
    """Attach to a paused replay, let it go on to its end, and return the records."""
    got = []
    replay.attach(got.append, channel)
    replay.resume()
    assert replay.wait_until_done(60)
    return got


def seen(replay):
    """Return all that can be read: frames, totals, the report and the book."""
    frames = {c: replay.frame(c).rows() for c in [*replay.channels, "status"]}
    totals = {c: replay.total(c) for c in frames}
    try:
        book = replay.book()
        levels = (book.sequence, book.timestamp, book.bids, book.asks)
    except BookNotReady as error:
        levels = str(error)
    return frames, totals, replay.report(), levels


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.0, 10, None])
def test_all_rows_are_given_in_order_of_arrival_at_any_speed(tmp_path, play, speed):
    rows = every(400)
    session = session_of(tmp_path, rows)
    replay = play(session, speed, paused=True)

    got = heard(replay)

    assert digest(got) == digest(rows)
    assert all(replay.frame(c).equals(session.frame(c)) for c in (*EVERY, "status"))
    assert replay.report() == session.report()
    assert replay.state is State.ENDED
    assert not threads_of(replay)


@given(sessions(), st.sampled_from([1.0, None]), st.data())
@settings(max_examples=15, deadline=None)
def test_any_rows_are_given_as_they_were_recorded(tmp_path_factory, rows, speed, data):
    rows = [row._replace(interval="1min") if isinstance(row, Candle) else row for row in rows]
    session = session_of(tmp_path_factory.mktemp("s"), rows, channels=MIXED)
    replay = Replay(session, speed, paused=True, clock=FastClock()).launch()
    times = [row.local_timestamp for row in rows if row.local_timestamp >= 10**17]  # of ns

    with replay:
        if times:
            replay.seek(data.draw(st.sampled_from(times)))
            replay.seek(replay.start)
        got = heard(replay)

        assert digest(got) == digest(rows)
        assert replay.report() == session.report()


def test_waits_are_those_between_the_rows(tmp_path, play):
    rows = [ticker(0)._replace(local_timestamp=NOON + int(s * SECOND)) for s in (0, 2, 2.5, 60)]
    session = session_of(tmp_path, rows, channels=["ticker"])

    for speed in (1.0, 10, 0.5):
        clock = FastClock()
        heard(play(session, speed, clock=clock, paused=True, name=f"at {speed}"))
        assert clock.waited == pytest.approx([2 / speed, 0.5 / speed, 57.5 / speed])


def test_a_choice_of_channels_and_symbols_is_all_there_is(tmp_path, play):
    rows = many(300, symbols=("XBTUSDTM", "ETHUSDTM"))
    session = session_of(
        tmp_path, rows, channels=("ticker", "trade"), symbols=("XBTUSDTM", "ETHUSDTM")
    )
    replay = play(session, None, channels="ticker", symbols="ETHUSDTM", paused=True)

    got = heard(replay)

    assert got == [r for r in rows if r.symbol == "ETHUSDTM" and not isinstance(r, Trade)]
    assert (replay.channels, replay.symbols) == (["ticker"], ["ETHUSDTM"])
    assert replay.report().channels == (session.report().channel("ticker", "ETHUSDTM"),)
    with pytest.raises(UnknownChannel, match="trade"):
        replay.frame("trade")
    with pytest.raises(UnknownSymbol, match="XBTUSDTM"):
        replay.frame("ticker", "XBTUSDTM")
    with pytest.raises(UnknownSymbol):
        Replay(session, symbols="SOLUSDTM")


def test_candles_of_two_intervals_are_kept_apart(tmp_path, play):
    rows = [candle(n, "1min" if n % 3 else "5min") for n in range(30)]
    session = session_of(tmp_path, rows, channels=("candle:1min", "candle:5min"))
    replay = play(session, None, paused=True)

    got = heard(replay, "candle:5min")

    assert got == rows[::3]
    assert replay.total("candle:5min") == 10
    assert replay.frame("candle:1min").height == 20


def test_several_sessions_are_played_as_one(tmp_path):
    paths = [recorded(tmp_path / "ab"[n], [ticker(i) for i in range(n, 20, 2)]) for n in (0, 1)]

    with kr.replay(paths, None, paused=True) as replay:
        assert heard(replay) == [ticker(n) for n in range(20)]


def test_a_session_without_rows_is_over_at_once(tmp_path, play):
    replay = play(session_of(tmp_path, []))

    assert replay.wait_until_done(60)
    replay.seek(NOON)
    replay.step()
    assert (replay.start, replay.end, replay.position) == (None, None, None)
    assert replay.frame("ticker").height == 0
    assert "ended" in repr(replay)


# -- outages ---------------------------------------------------------------------------------------


def outage():
    """A lost connection of 30 s in tickers, trades (of which REST brought two) and a book."""
    at = SECOND
    rows = [
        status(0, "connected"),
        level2(1, 10, is_snapshot=True),
        status(2, "book_ready", channel="level2", symbol="XBTUSDTM", last=10),
        ticker(3),
        trade(4),
        status(at, "disconnected", detail="lost"),
        status(30 * at, "connected"),
        status(30 * at + 1, "gap", channel="ticker", symbol="XBTUSDTM", since=3,
               detail="disconnected for 30.0 s"),
        status(30 * at + 2, "gap", channel="trade", symbol="XBTUSDTM", since=4,
               detail="disconnected for 30.0 s"),
        trade(30 * at + 3),
        trade(30 * at + 4),
        status(30 * at + 5, "filled", channel="trade", symbol="XBTUSDTM", since=30 * at + 3),
        trade(30 * at + 6),
        status(30 * at + 7, "gap", channel="level2", symbol="XBTUSDTM", first=11, last=19,
               detail="disconnected"),
        level2(30 * at + 8, 20, is_snapshot=True),
        status(30 * at + 9, "book_ready", channel="level2", symbol="XBTUSDTM", last=20),
        ticker(30 * at + 10),
    ]  # fmt: skip
    return [
        row._replace(local_timestamp=NOON + n) if row.local_timestamp < NOON + 100 else row
        for n, row in enumerate(rows)
    ]


def test_an_outage_is_replayed_as_one(tmp_path, play):
    rows = outage()
    session = session_of(tmp_path, rows, channels=("ticker", "trade", "level2"))
    clock = FastClock()
    replay = play(session, 1.0, clock=clock, paused=True)
    lost = next(row for row in rows if isinstance(row, Status) and row.event == "disconnected")

    replay.seek(lost.local_timestamp)
    assert replay.book().sequence == 10
    replay.step()
    with pytest.raises(BookNotReady, match="not in step"):
        replay.book()
    assert replay.report().gaps == replay.status.gaps == 0
    replay.resume()
    assert replay.wait_until_done(60)

    assert max(clock.waited) == pytest.approx(29.0)  # nothing comes while nothing came
    assert replay.report() == session.report()
    report = replay.report()
    assert report.channel("trade").filled == 2
    assert [gap.seconds for gap in report.channel("ticker").gaps] == [pytest.approx(30.0)]
    assert (replay.status.gaps, replay.status.reconnects) == (3, 1)
    assert replay.frame("trade", mark_filled=True)["is_filled"].to_list() == [0, 1, 1, 0]
    assert replay.book().sequence == 20


def test_rows_that_rest_brought_are_counted_though_the_ring_is_small(tmp_path, play):
    session = session_of(tmp_path, outage(), channels=("ticker", "trade", "level2"))
    replay = play(session, None, capacity=1)

    assert replay.wait_until_done(60)
    assert replay.report() == session.report()


def test_rows_that_were_not_recorded_are_reported_from_then_on(tmp_path, play):
    session = session_of(tmp_path, [ticker(n) for n in range(10)], channels=["ticker"])
    session.meta["dropped"] = [
        {"began": "2024-02-26T12:27:16.957000010Z", "ended": "2024-02-26T12:27:16.957000011Z",
         "rows": 3}
    ]  # fmt: skip
    replay = play(session, None, paused=True)

    assert replay.report().gaps == 0
    replay.resume()
    assert replay.wait_until_done(60)
    assert replay.report() == session.report()
    assert replay.report().gaps == 1


# -- books -----------------------------------------------------------------------------------------


def book_row(number, sequence, side, price, size, *, is_snapshot=False):
    return level2(number, sequence, is_snapshot=is_snapshot)._replace(
        side=side, price=price, size=size
    )


def test_a_book_is_rebuilt_row_by_row_and_refuses_while_it_was_not_in_step(tmp_path, play):
    tell = {"channel": "level2", "symbol": "XBTUSDTM"}
    rows = [
        book_row(0, 5, "buy", 10.0, 1.0, is_snapshot=True),
        book_row(1, 5, "sell", 11.0, 2.0, is_snapshot=True),
        status(2, "book_ready", **tell, last=5),
        book_row(3, 6, "buy", 10.0, 0.0),
        book_row(4, 7, "buy", 9.5, 4.0),
        status(5, "gap", **tell, first=8, last=8),
        status(6, "filled", **tell, first=8, last=8),
        book_row(7, 8, "sell", 11.0, 3.0),
        status(8, "book_ready", **tell, last=8),
        status(9, "resync", channel="level2", detail="XBTUSDTM: the book was crossed"),
        book_row(10, 12, "sell", 20.0, 1.0, is_snapshot=True),
        status(11, "gap", **tell, first=9, last=12),  # the snapshot stands for what is missing
        book_row(12, 13, "buy", 19.0, 1.0),
    ]
    replay = play(session_of(tmp_path, rows, channels=["level2"]), paused=True)
    books = []
    for _ in rows:
        replay.step()
        try:
            book = replay.book()
            books.append((book.sequence, book.bids, book.asks))
        except BookNotReady:
            books.append(None)

    ready = (5, [(10.0, 1.0)], [(11.0, 2.0)])
    assert books == [
        None, None, ready,
        (6, [], [(11.0, 2.0)]),
        (7, [(9.5, 4.0)], [(11.0, 2.0)]),
        None, None, None,
        (8, [(9.5, 4.0)], [(11.0, 3.0)]),
        None, None, None,
        (13, [(19.0, 1.0)], [(20.0, 1.0)]),
    ]  # fmt: skip
    with pytest.raises(BookNotReady, match="ETHUSDTM"):
        replay.book("ETHUSDTM")


def test_a_connection_of_others_leaves_a_book_in_step(tmp_path, play):
    rows = [
        book_row(0, 5, "buy", 10.0, 1.0, is_snapshot=True),
        book_row(1, 6, "buy", 10.0, 2.0),
        status(2, "disconnected"),
        book_row(3, 7, "buy", 10.0, 3.0),
    ]
    replay = play(session_of(tmp_path, rows, channels=["level2"]), paused=True)

    replay.step(3)
    with pytest.raises(BookNotReady):
        replay.book()
    replay.step()
    assert replay.book().bids == [(10.0, 3.0)]


def test_levels_behind_the_end_of_a_partial_spot_book_are_not_shown(tmp_path, play):
    snapshot = [
        book_row(n, 5, side, price, 1.0, is_snapshot=True)._replace(symbol="BTC-USDT")
        for n, (side, price) in enumerate(
            [("buy", 500.0 - n) for n in range(100)] + [("sell", 600.0), ("sell", 601.0)]
        )
    ]
    beyond = book_row(200, 6, "buy", 1.0, 9.0)._replace(symbol="BTC-USDT")
    session = session_of(tmp_path, [*snapshot, beyond], channels=["level2"], symbols=["BTC-USDT"])
    replay = play(session, None)

    assert replay.wait_until_done(60)
    book = replay.book("BTC-USDT")
    assert len(book.bids) == 100
    assert len(book.asks) == 2


@pytest.mark.parametrize("feed", ["classic", "pro"])
def test_a_replay_ends_with_the_book_and_the_account_of_the_stream(tmp_path, feed):
    with simulate(seed=5, speed=60.0) as exchange:
        run = kr.record(
            ["XBTUSDTM", "BTC-USDT"], ["ticker", "trade", "level2"], venue=exchange.venue,
            root=tmp_path, feed=feed, progress=False,
            credentials=exchange.credentials,  # without, spot shows 100 levels, which may run out
        )  # fmt: skip
        with run:
            run.stream.wait("level2", rows=5_000, timeout=60)
            run.stream.stop()
        session = run.session()
        with kr.replay(session, None) as replay:
            assert replay.wait_until_done(60)

            for symbol in ("XBTUSDTM", "BTC-USDT"):
                live, past = run.stream.book(symbol), replay.book(symbol)
                assert (past.bids, past.asks) == (live.bids, live.asks)
                assert past.timestamp == live.timestamp
            for channel in ("ticker", "trade", "level2", "status"):
                assert replay.frame(channel).equals(run.stream.frame(channel))
            assert replay.report() == session.report()


# -- buttons ---------------------------------------------------------------------------------------


def test_the_replay_waits_until_rows_are_due_and_the_position_goes_on(tmp_path, play):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * SECOND) for n in range(4)]
    clock = HandClock()
    replay = play(session_of(tmp_path, rows, channels=["ticker"]), 2.0, clock=clock)

    assert clock.waits(0.5)
    assert replay.total("ticker") == 1
    clock.advance(0.25)
    assert clock.waits(0.25)
    assert replay.total("ticker") == 1
    assert replay.position_ns == NOON + SECOND // 2
    assert str(replay.position) == "2024-02-26 12:27:17.457000+00:00"
    replay.pause()
    assert replay.state is State.PAUSED
    clock.ns += 60 * SECOND  # time that does not count
    assert replay.position_ns == NOON + SECOND // 2
    replay.speed = 0.5
    replay.resume()
    assert clock.waits(1.0)
    clock.advance(1.0)
    assert clock.waits(2.0)
    assert replay.total("ticker") == 2
    replay.speed = None
    assert replay.wait_until_done(60)
    assert replay.total("ticker") == 4
    assert replay.position == replay.end


def test_a_replay_that_was_held_up_does_not_hurry_after(tmp_path, play):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * SECOND) for n in range(4)]
    clock = HandClock()
    replay = play(session_of(tmp_path, rows, channels=["ticker"]), clock=clock)

    assert clock.waits(1.0)
    clock.advance(1.5)  # half a second late: caught up with
    assert clock.waits(0.5)
    assert replay.total("ticker") == 2
    clock.advance(30.0)
    assert clock.waits(1.0)
    assert replay.total("ticker") == 3


def test_steps_are_rows_and_the_replay_stays_paused(tmp_path, play):
    rows = every(50, gap=3600 * SECOND)
    replay = play(session_of(tmp_path, rows), paused=True)
    got = []
    replay.attach(got.append)

    replay.step()
    assert got == rows[:1]
    replay.step(7)
    assert got == rows[:8]
    assert replay.is_paused
    assert replay.position_ns == rows[7].local_timestamp
    replay.step(1_000)
    assert got == rows
    assert replay.is_done
    replay.step()
    assert got == rows
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(InvalidInput, match="step"):
            replay.step(wrong)


def test_steps_may_be_seconds_of_the_recording(tmp_path, play):
    rows = every(50, gap=SECOND)
    replay = play(session_of(tmp_path, rows), paused=True)
    got = []
    replay.attach(got.append)
    start = replay.position_ns

    replay.step(seconds=2.5)
    assert got == [row for row in rows if row.local_timestamp <= start + 2.5 * SECOND]
    assert (replay.position_ns, replay.is_paused) == (start + 2_500_000_000, True)
    replay.step(seconds=0.25)  # between two rows
    assert replay.position_ns == start + 2_750_000_000
    assert len(got) == 3
    replay.step(seconds=1e6)
    assert got == rows
    assert replay.is_done
    for wrong in (0, -1.0, "1", float("nan")):
        with pytest.raises(InvalidInput, match="seconds"):
            replay.step(seconds=wrong)


def test_a_step_is_rows_or_seconds_and_not_both(tmp_path, play):
    replay = play(session_of(tmp_path, every(5)), paused=True)
    start = replay.position_ns

    with pytest.raises(InvalidInput, match=r"not both: 3 and seconds=1"):
        replay.step(3, seconds=1)

    assert replay.position_ns == start


@pytest.mark.parametrize("speed", [1.0, None])
def test_a_sought_time_is_as_if_played_to_there(tmp_path, play, speed):
    rows = outage() + [
        row._replace(local_timestamp=row.local_timestamp + 60 * SECOND) for row in every(200)
    ]
    session = session_of(tmp_path, rows)
    times = [rows[n].local_timestamp + more for n in (0, 5, 9, 13, 60, 150) for more in (0, 1)]
    straight = {}
    for time in times:
        stepped = play(session, 1.0, paused=True, name="straight", capacity=50)
        before = sum(row.local_timestamp < time for row in rows)
        if before:
            stepped.step(before)
        straight[time] = seen(stepped)
        stepped.stop()

    replay = play(session, speed, paused=True, capacity=50)
    got = []
    replay.attach(got.append)
    for time in [*times, *reversed(times), times[-1], times[3]]:
        replay.seek(time)
        assert replay.position_ns == time
        assert seen(replay) == straight[time]
        assert got == []  # rows in between are skipped
    replay.resume()
    assert replay.wait_until_done(60)
    assert digest(got) == digest([row for row in rows if row.local_timestamp >= times[3]])
    assert replay.report() == session.report()

    got.clear()
    replay.seek(replay.start)  # it plays on
    assert replay.wait_until_done(60)
    assert digest(got) == digest(rows)


def test_it_says_where_it_has_gone_back_to(tmp_path, play):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * SECOND) for n in range(10)]
    replay = play(session_of(tmp_path, rows, channels=["ticker"]), None, paused=True)
    replay.seek(NOON + 4 * SECOND)
    replay.step()
    assert replay.rewinds == (0, 0)  # it went forward alone

    replay.seek(NOON + 3 * SECOND)
    assert replay.rewinds == (1, NOON + 3 * SECOND)
    replay.seek(NOON + 9 * SECOND)
    assert replay.rewinds == (1, NOON + 3 * SECOND)

    def seek_elsewhere(row):
        if row.local_timestamp == NOON + 2 * SECOND:
            replay.seek(NOON + 5 * SECOND)

    replay.attach(seek_elsewhere, on_rewind=lambda _: None)
    replay.seek(NOON + 8 * SECOND)  # on its way back to there it is sent to another place
    assert replay.position_ns == NOON + 5 * SECOND
    assert replay.rewinds[1] == NOON + 5 * SECOND


def test_times_may_be_written_in_many_ways_but_not_lie_beyond_the_ends(tmp_path, play):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * SECOND) for n in range(10)]
    replay = play(session_of(tmp_path, rows, channels=["ticker"]), paused=True)
    third = datetime(2024, 2, 26, 12, 27, 19, 957000, tzinfo=UTC)

    for when in (
        third, third.isoformat(), third.replace(tzinfo=None), NOON + 3 * SECOND,
        np.datetime64(NOON + 3 * SECOND, "ns"), pd.Timestamp(third), third.timestamp(),
    ):  # fmt: skip
        replay.seek(when)
        assert replay.total("ticker") == 3
    for beyond in (replay.end + timedelta(days=3), "2020-01-01"):
        with pytest.raises(InvalidInput, match=r"not within .* seek by arrival"):
            replay.seek(beyond)
    replay.seek(replay.end)
    assert replay.total("ticker") == 9
    replay.seek(replay.start)
    assert replay.total("ticker") == 0
    assert (replay.start_ns, replay.end_ns) == (NOON, NOON + 9 * SECOND)
    for wrong in ("soon", None, 1.5, True, pd.NaT, np.datetime64("NaT"), float("nan"), -5):
        with pytest.raises(InvalidInput):
            replay.seek(wrong)


def spanned(root, rows, start_ns, end_ns):
    """Make a session that was recorded from before its first row until after its last one."""
    path = recorded(root, rows, channels=["ticker"], start_ns=start_ns)
    manifest = path / "session.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"end": iso(end_ns)}))
    return kr.load(path)


def test_the_start_and_the_end_of_the_session_are_times_to_seek(tmp_path, play):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * SECOND + 321) for n in range(10)]
    start_ns, end_ns = NOON - 34 * MILLISECOND - 5, NOON + 9 * SECOND + 40 * MILLISECOND
    session = spanned(tmp_path, rows, start_ns, end_ns)
    replay = play(session, paused=True)
    last = rows[-1].local_timestamp

    for when in (session.end, session.end_ns, replay.end, replay.end_ns, last + 5):
        replay.seek(when)
        assert replay.total("ticker") == 9
        assert replay.position_ns <= last
        for back in (session.start, session.start_ns, replay.start, replay.start_ns, NOON - 1_000):
            replay.seek(back)
            assert replay.total("ticker") == 0
            assert replay.position_ns == replay.start_ns
            replay.seek(when)
    replay.step()
    assert replay.total("ticker") == 10


@pytest.mark.parametrize(
    ("beyond", "message"),
    [
        (-MILLISECOND, "26.922 is not within .* between 2024-02-26 12:27:26.923 and"),
        (-2_000, "26.923498 is not within .* between 2024-02-26 12:27:26.923500 and"),
        (-90 * SECOND, "12:25:56 is not within .* between 2024-02-26 12:27:26 and .* 12:27:36;"),
    ],
)
def test_a_time_beyond_the_session_is_refused_beside_its_ends(tmp_path, play, beyond, message):
    start_ns = NOON + 10 * SECOND - 34 * MILLISECOND + 500_000
    rows = [ticker(n)._replace(local_timestamp=start_ns + 10 * MILLISECOND) for n in range(2)]
    session = spanned(tmp_path, rows, start_ns, start_ns + 10 * SECOND - 500 * MILLISECOND)
    replay = play(session, paused=True)

    with pytest.raises(InvalidInput, match=message):
        replay.seek(session.start_ns + beyond)
    with pytest.raises(InvalidInput, match="is not within"):
        replay.seek(session.end_ns - beyond)


def test_the_times_at_which_a_replay_was_recorded_are_none_of_its_rows(tmp_path, play):
    rows = [ticker(n)._replace(local_timestamp=NOON + n * SECOND) for n in range(10)]
    session = session_of(tmp_path, rows, channels=["ticker"])  # recorded years after its rows
    replay = play(session, paused=True)

    assert session.start_ns > replay.end_ns
    for when in (session.start, session.end, replay.end + timedelta(days=3)):
        with pytest.raises(InvalidInput, match="12:27:16 and 2024-02-26 12:27:25; seek by arrival"):
            replay.seek(when)


def test_a_function_that_is_called_may_press_the_buttons(tmp_path, play):
    rows = every(100)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    got = []

    def press(row):
        got.append(row)
        if len(got) == 10:
            replay.pause()
        elif len(got) == 20:
            replay.seek(rows[50].local_timestamp)
        elif len(got) == 25:
            replay.step(3)

    replay.attach(press)
    replay.resume()
    replay._player.wait_until(lambda: replay.is_paused, 10)
    replay.pause()
    assert got == rows[:10]
    assert replay.total("ticker") == sum(hasattr(row, "best_bid_price") for row in rows[:10])
    replay.resume()
    replay._player.wait_until(lambda: len(got) == 28 and not replay._player.is_busy, 10)
    assert got == rows[:20] + rows[50:58]
    assert replay.is_paused
    assert replay.position_ns == rows[57].local_timestamp


def test_what_a_function_reads_ends_with_the_record_it_was_called_with(tmp_path, play):
    rows = every(300)
    read = []

    for speed in (None, 1.0):
        replay = play(session_of(tmp_path / str(speed), rows), speed, paused=True)

        def strategy(row, replay=replay):
            book = replay.book() if replay.total("ticker") else None
            read.append(
                (replay.frame("trade").height, replay.position_ns, book and book.bids,
                 replay.frame("level2", last=1)["sequence"].to_list())
            )  # fmt: skip

        replay.attach(lambda row: None)
        replay.attach(strategy)
        replay.resume()
        assert replay.wait_until_done(60)

    half = len(read) // 2
    assert read[:half] == read[half:]
    assert [at for _, at, _, _ in read[:half]] == [row.local_timestamp for row in rows]
    assert read[half - 1][0] == sum(isinstance(row, Trade) for row in rows)


# -- functions -------------------------------------------------------------------------------------


def test_a_slow_function_holds_the_replay_up_and_misses_nothing(tmp_path, play):
    rows = every(2_000)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    may_go, is_in = threading.Event(), threading.Event()
    got = []

    def slow(row):
        got.append(row)
        if len(got) == 70:
            is_in.set()
            assert may_go.wait(60)

    replay.attach(slow)
    replay.resume()
    assert is_in.wait(60)
    assert sum(replay._player.replay_state.store.totals.values()) <= 70
    may_go.set()
    assert replay.wait_until_done(60)
    assert got == rows
    assert replay.status.dropped == 0


@pytest.mark.parametrize("channel", [None, "ticker"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_stop_iteration_of_a_function_is_an_error_like_others(tmp_path, play, others, channel):
    rows = every(200)
    session = session_of(tmp_path, rows)
    replay = play(session, None, paused=True)
    got, empty = [], iter(())

    replay.attach(lambda _: next(empty), channel)
    if others:
        replay.attach(got.append)
    replay.resume()
    assert replay.wait_until_done(60, on_error="tell")

    (reported,) = replay.frame("status").filter(event="sink_failed")["detail"].to_list()
    assert reported == "<lambda> raised StopIteration: ; it was detached"
    if others:
        assert [row for row in got if getattr(row, "event", "") != "sink_failed"] == rows
    assert replay.frame("ticker").equals(session.frame("ticker"))


@pytest.mark.parametrize("others", [0, 1])
def test_a_function_that_raises_is_detached_and_reported_while_others_go_on(tmp_path, play, others):
    rows = every(200)
    session = session_of(tmp_path, rows)
    replay = play(session, None, paused=True)
    got, calls = [], []

    def strategy(row):
        calls.append(row)
        if len(calls) == 5:
            raise ZeroDivisionError("no price")

    replay.attach(strategy)
    if others:
        replay.attach(got.append)
    replay.resume()
    assert replay.wait_until_done(60, on_error="tell")

    assert calls == rows[:5]
    reported = replay.frame("status").filter(event="sink_failed")
    assert reported["detail"].to_list() == [
        "strategy raised ZeroDivisionError: no price; it was detached"
    ]
    if others:
        assert [row for row in got if getattr(row, "event", "") != "sink_failed"] == rows
        assert got[5].event == "sink_failed"  # right behind the row
    assert replay.frame("ticker").equals(session.frame("ticker"))
    assert replay.report() == session.report()


def test_waiting_for_the_end_raises_once_what_a_function_raised_and_the_rest_goes_on(
    tmp_path, play
):
    rows = every(200)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    got = []

    def strategy(row):
        if row == rows[4]:
            raise ZeroDivisionError("no price")

    replay.attach(strategy)
    replay.attach(got.append)
    replay.resume()

    with pytest.raises(
        FunctionFailed, match="strategy raised ZeroDivisionError: no price"
    ) as raised:
        replay.wait_until_done(60)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert replay.wait_until_done(60)
    assert [row for row in got if getattr(row, "event", "") != "sink_failed"] == rows
    (failure,) = replay.failures
    assert (failure.name, failure.time_ns) == ("strategy", rows[4].local_timestamp)
    assert 'raise ZeroDivisionError("no price")' in failure.trace

    replay.attach(strategy)  # mended, one hopes
    assert replay.failures == ()


def test_a_replay_that_is_stopped_with_notes_left_ends_and_keeps_them(tmp_path, play):
    replay = play(session_of(tmp_path, every(50)), None, paused=True)

    def strategy(_):
        replay.note("error", "one")
        replay.note("error", "two")
        replay.stop()

    replay.attach(strategy)
    replay.resume()
    wait_until(lambda: not threads_of(replay))

    reported = replay.frame("status").filter(event="error")["detail"].to_list()
    assert reported[-2:] == ["one", "two"]


def test_a_function_that_fails_stops_the_waiting_at_once(tmp_path, play):
    replay = play(session_of(tmp_path, every(200)), 0.001, paused=True)
    replay.attach(lambda _: 1 / 0)
    replay.resume()

    with pytest.raises(FunctionFailed):
        replay.wait_until_done(60)

    assert not replay.is_done
    with pytest.raises(InvalidInput, match="on_error must be 'raise' or 'tell'"):
        replay.wait_until_done(on_error="ignore")


@pytest.mark.parametrize("attach", ["attach", "attach_batches"])
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), StopIteration()])
def test_whatever_a_function_raises_is_raised_to_who_waits(tmp_path, play, attach, error):
    replay = play(session_of(tmp_path, every(20)), None, paused=True)

    def broken(_):
        raise error

    getattr(replay, attach)(broken)
    replay.resume()

    with pytest.raises(FunctionFailed, match="broken raised") as raised:
        replay.wait_until_done(60)
    assert raised.value.__cause__ is error


def test_batches_are_all_rows_and_one_that_raises_is_detached(tmp_path, play):
    rows = every(3_000)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    got = []

    def broken(batch):
        raise KeyError("x")

    replay.attach_batches(got.extend)
    replay.attach_batches(broken)
    replay.resume()
    assert replay.wait_until_done(60, on_error="tell")

    assert [row for row in got if getattr(row, "event", "") != "sink_failed"] == rows
    assert replay.frame("status").filter(event="sink_failed").height == 1


async def co(_):
    """Stand for a user's coroutine."""


@pytest.mark.parametrize("attach", ["attach", "attach_batches"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_function_whose_work_nobody_does_is_reported_and_detached(tmp_path, play, attach, others):
    rows = every(20)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    got = []

    def start(given):
        return co(given)

    getattr(replay, attach)(start)
    if others:
        replay.attach(got.append)
    replay.resume()

    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(FunctionFailed, match="start returned a coroutine, of which nothing runs"),
    ):
        replay.wait_until_done(60)
    assert replay.wait_until_done(60)
    assert replay.frame("status").filter(event="sink_failed").height == 1
    if others:
        assert [row for row in got if getattr(row, "event", "") != "sink_failed"] == rows


def test_a_function_of_batches_that_is_attached_twice_is_detached_once_at_a_time(tmp_path, play):
    rows = every(20)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    got, calls = [], []
    detach, _ = replay.attach_batches(got.extend), replay.attach_batches(got.extend)
    assert f"extend is called with each batch of records of {replay.name!r}" in repr(detach)
    assert f"append is called with each ticker record of {replay.name!r}" in repr(
        replay.attach(calls.append, "ticker")
    )
    detach()
    detach()
    assert repr(detach) == f"<extend is detached from {replay.name!r}>"
    replay.resume()

    assert replay.wait_until_done(60)
    assert got == rows


def test_a_function_is_not_called_any_more_once_it_is_detached(tmp_path, play):
    rows = every(100)
    replay = play(session_of(tmp_path, rows), None, paused=True)
    got, second = [], []

    def once(row):
        got.append(row)
        detach()

    detach = replay.attach(once)
    replay.attach(second.append, ["trade", "status"])
    replay.resume()
    assert replay.wait_until_done(60)
    detach()

    assert got == rows[:1]
    assert second == [row for row in rows if isinstance(row, Trade | Status)]
    with pytest.raises(InvalidInput, match="function"):
        replay.attach(None)
    with pytest.raises(UnknownChannel):
        replay.attach(print, "depth50")


# -- recording -------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue_rows", [1_000_000, 1_000])
def test_a_replay_that_is_recorded_gives_the_same_files(tmp_path, play, queue_rows):
    rows = [*every(3_000), status(0, "stopped")]
    rows[-1] = rows[-1]._replace(local_timestamp=NOON + 2 * DAY)
    session = session_of(tmp_path / "a", rows)
    replay = play(session, None, paused=True)

    out = replay.record(tmp_path / "b", queue_rows=queue_rows)
    with pytest.raises(InvalidInput, match="recorded"):
        replay.seek(replay.start)
    replay.resume()
    assert replay.wait_until_done(60)

    assert out.is_closed
    assert out.dropped == 0
    for name in sorted(path.name for path in session.path.glob("*.csv")):
        assert (out.path / name).read_bytes() == (session.path / name).read_bytes()
    again = kr.load(out.path)
    assert again.verify().ok
    assert again.instruments == session.instruments
    assert again.report().channels == session.report().channels
    replay.seek(replay.start)  # it is closed, so that there is no harm


def test_a_replay_that_is_recorded_lacks_what_its_session_lacks(tmp_path, play):
    rows = [level2(n, 10 + n, is_snapshot=n == 0) for n in range(40)]
    path = recorded(tmp_path / "first", rows, channels=["level2"], queue_rows=40)
    file = next(path.glob("*_level2_*"))
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:20]))

    for generation in ("second", "third"):
        with pytest.warns(SessionUnfinished, match="are lost"):
            session = kr.load(path)
        replay = play(session, speed=None, paused=True)
        recorder = replay.record(tmp_path / generation)
        replay.resume()
        assert replay.wait_until_done(60)
        assert recorder.wait(60)
        path = recorder.path

        with pytest.warns(SessionUnfinished, match="are lost"):
            entry = kr.load(path).report().channel("level2", "XBTUSDTM")
        assert (entry.rows, entry.verdict) == (19, "INCOMPLETE")
        assert "damage" in {flaw.kind for flaw in kr.verify(path).flaws}
        assert kr.repair(path).actions == ()


def test_a_replay_that_is_recorded_lacks_what_was_not_recorded(tmp_path, play):
    rows = [level2(n, 10 + n, is_snapshot=n == 0) for n in range(40)]
    path = recorded(tmp_path / "first", rows, channels=["level2"], queue_rows=30)
    replay = play(kr.load(path), speed=None, paused=True)
    recorder = replay.record(tmp_path / "again")
    replay.resume()
    assert recorder.wait(60)

    report = kr.load(recorder.path).report()
    assert [gap.cause for gap in report.channel("level2").gaps] == ["not recorded"]
    assert report.verdict == "INCOMPLETE"


def test_the_end_of_one_of_several_sessions_does_not_end_their_recording(tmp_path, play):
    paths = [
        recorded(tmp_path / name, [ticker(n), status(n + 8, "stopped")])
        for name, n in (("a", 0), ("b", 100))
    ]
    replay = play(kr.load(paths), None, paused=True)

    out = replay.record(tmp_path / "c")
    replay.resume()
    assert replay.wait_until_done(60)

    assert kr.load(out.path).rows == {"ticker": 2, "status": 2}


# -- memory, errors, the end -----------------------------------------------------------------------


def test_memory_is_bounded_whatever_the_session_holds(tmp_path, play, monkeypatch):
    monkeypatch.setattr(timeline, "_LARGEST_CHUNK", 1 << 14)
    rows = many(60_000)
    session = session_of(tmp_path, rows, channels=("ticker", "trade"))
    size = sum(path.stat().st_size for path in session.path.glob("*.csv"))
    replay = play(session, None, capacity=1_000, paused=True)
    count = 0

    def counted(row):
        nonlocal count
        count += 1

    replay.attach(counted)
    del rows
    tracemalloc.start()
    replay.resume()
    assert replay.wait_until_done(60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 60_000
    assert peak < 3_000_000 < size


def test_a_line_that_cannot_be_read_fails_the_replay_and_says_where(tmp_path, play, monkeypatch):
    monkeypatch.setattr(timeline, "_LARGEST_CHUNK", 256)
    path = recorded(tmp_path, [ticker(n) for n in range(9)])
    csv(path).write_bytes(b",b,y,".join(csv(path).read_bytes().rsplit(b",buy,", 1)))
    replay = play(kr.load(path), None)

    with pytest.raises(SessionBroken, match="verify"):
        replay.wait_until_done(60)
    assert replay.state is State.FAILED
    assert not threads_of(replay)
    assert isinstance(replay.status.error, SessionBroken)
    with pytest.raises(StreamStopped, match="verify"):
        replay.wait("ticker", rows=9)
    with pytest.raises(SessionBroken):
        replay.seek(replay.end_ns)
    replay.pause()
    replay.seek(replay.start_ns)  # what can be read can be played again
    replay.step(2)
    assert replay.total("ticker") == 2


def test_waiting_for_rows_ends_with_the_rows_the_time_or_the_replay(tmp_path, play):
    rows = [ticker(n) for n in range(100)]
    replay = play(session_of(tmp_path, rows, channels=["ticker"]), None, paused=True)

    with pytest.raises(StreamTimeout, match="0 of 5 rows of ticker"):
        replay.wait(rows=5, timeout=0.01)
    replay.resume()
    assert replay.wait("ticker", rows=100).height == 100
    with pytest.raises(StreamStopped, match="ended after 100 of 101"):
        replay.wait(rows=101)


@pytest.mark.parametrize("when", ["paused", "playing", "waiting", "ended", "calling", "recording"])
def test_a_replay_stops_in_any_state(tmp_path, play, when):
    rows = every(2_000)
    is_in = threading.Event()
    replay = play(
        session_of(tmp_path, rows), 1e-6 if when == "waiting" else None,
        paused=True, clock=HandClock(),
    )  # fmt: skip
    if when == "calling":
        replay.attach(lambda row: (is_in.set(), replay.stop(), replay.stop()))
    if when == "recording":
        out = replay.record(tmp_path)
    if when != "paused":
        replay.resume()
    if when == "calling":
        assert is_in.wait(60)
    if when == "ended":
        assert replay.wait_until_done(60)

    replay.stop()
    replay.stop()

    assert replay.state is State.STOPPED
    assert not threads_of(replay)
    if when == "recording":
        assert out.is_closed
    if when == "calling":
        assert sum(replay.status.rows.values()) == 1
    there = sorted(tmp_path.iterdir())
    for press in (
        lambda: replay.seek(replay.start), replay.pause, replay.resume, replay.step,
        lambda: replay.record(tmp_path), lambda: replay.attach_batches(print),
    ):  # fmt: skip
        with pytest.raises(StreamStopped, match="was stopped, so nothing will come"):
            press()
    assert not threads_of(replay)
    assert sorted(tmp_path.iterdir()) == there  # no session without rows


def test_a_replay_at_its_end_is_not_recorded_before_it_is_wound_back(tmp_path, play):
    rows = every(20)
    session = session_of(tmp_path, rows)
    replay = play(session, None)
    assert replay.wait_until_done(60)

    with pytest.raises(StreamStopped, match=r"is ended, so nothing .* seek back first"):
        replay.record(tmp_path / "again")
    assert not (tmp_path / "again").exists()

    replay.pause()
    replay.seek(replay.start)
    out = replay.record(tmp_path / "again")
    replay.resume()
    assert replay.wait_until_done(60)
    assert kr.load(out.path).frame("ticker").equals(session.frame("ticker"))


def test_replays_are_listed_and_one_of_the_same_name_replaces_another(tmp_path):
    session = session_of(tmp_path, every(50))

    with kr.replay(session.path, paused=True) as first:
        assert first in kr.running()
        with kr.replay(session, 10, paused=True, capacity=5) as second:
            assert first.state is State.STOPPED
            assert kr.running() == [second]
            second.step(50)
            assert second.frame("trade").height == 5
            assert "ended, 10 x" in repr(second)
            assert session.name in second._repr_html_()
            assert second.subscriptions[0].symbol == "XBTUSDTM"
            assert second.wait_until_live()
        assert kr.running() == []


def test_a_replay_whose_handle_is_dropped_plays_on_and_is_listed_until_it_ends(tmp_path):
    path, taken = session_of(tmp_path, every(50)).path, []

    kr.replay(path, paused=True).attach(taken.append)
    gc.collect()
    (first,) = kr.running()
    assert first.state is State.PAUSED

    kr.replay(path, paused=True)  # as a cell that is run again
    gc.collect()
    (second,) = kr.running()
    assert first.state is State.STOPPED

    gone = weakref.ref(second)
    second.speed = None
    second.resume()
    assert second.wait_until_done(60)
    second.stop()
    del first, second
    wait_until(lambda: gc.collect() is not None and gone() is None)


def test_a_signal_handler_may_attach_while_its_thread_attaches(tmp_path, play):
    replay = play(session_of(tmp_path, every(10)), paused=True)
    functions = replay._player.functions

    with functions._lock:  # as where the signal has arrived
        detach = replay.attach(lambda _: None)
    detach()

    assert replay.failures == ()


def test_speeds_that_mean_nothing_are_refused(tmp_path, play):
    session = session_of(tmp_path, every(10))
    replay = play(session, paused=True)

    for speed in (0, -1, float("inf"), float("nan"), True, "fast"):
        with pytest.raises(InvalidInput, match="speed"):
            kr.replay(session, speed)
        with pytest.raises(InvalidInput, match="speed"):
            replay.speed = speed
    with pytest.raises(InvalidInput, match="capacity"):
        kr.replay(session, capacity=0)
    assert replay.speed == 1.0
