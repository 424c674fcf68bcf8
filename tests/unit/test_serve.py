"""A recording as an exchange: what a client gets of it is what was recorded."""

import json
import signal
import subprocess
import sys

import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput, LoginRequired, NotFound, UnknownSymbol
from kucoin_research.rest import Rest
from kucoin_research.sim import DEMO_ACCOUNT
from tests.conftest import wait_until
from tests.healing.rig import FAST

START = "2026-01-05T07:59:40Z"  # twenty virtual seconds before a funding settlement
SYMBOLS = {"futures": "XBTUSDTM", "spot": "BTC-USDT"}
CHANNELS = {
    "futures": [
        "ticker", "bbo", "trade", "candle:1min", "level2", "depth5", "depth50", "mark_price",
        "funding_rate", "snapshot",
    ],
    "spot": [
        "ticker", "bbo", "trade", "candle:1min", "level2", "depth5", "depth50", "mark_price",
        "snapshot",
    ],
}  # fmt: skip
BOOKS = {"futures": "/contractMarket/level2:XBTUSDTM", "spot": "/market/level2:BTC-USDT"}
MARKETS = list(SYMBOLS)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """One recording of each market, all channels."""
    root = tmp_path_factory.mktemp("recorded")
    found = {}
    with kr.simulate(seed=3, speed=20.0, start=START) as x:
        for market, symbol in SYMBOLS.items():
            with kr.record(
                symbol, CHANNELS[market], venue=x.venue, root=root / market, progress=False
            ) as recording:
                for channel in CHANNELS[market]:
                    recording.stream.wait(channel, rows=3, timeout=30)
                recording.stream.wait("ticker", rows=150, timeout=30)
            found[market] = recording.session()
    return found


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """One recording of each market in whose book three numbers are missing; without a manifest's
    instruments."""
    return {market: _record_broken(market, tmp_path_factory.mktemp(market)) for market in MARKETS}


def _record_broken(market, root):
    with (
        kr.simulate(seed=5, speed=10.0) as x,
        kr.stream(SYMBOLS[market], ["level2", "trade"], venue=x.venue, healing=FAST) as s,
    ):
        recorder = s.record(root)
        s.wait("trade", rows=10, timeout=30)
        x.inject("drop", topic=BOOKS[market], count=3, after=20)
        wait_until(lambda: s.report().gaps and not s._intake.has_errands, timeout=20)
        s.wait("level2", rows=s.total("level2") + 50, timeout=20)
        s.stop()
    recorder.close(20)
    return kr.load(recorder.path)


def without_arrival(session, channel):
    return session.frame(channel).drop("local_timestamp")


@pytest.mark.parametrize("speed", [20, None])
@pytest.mark.parametrize("market", MARKETS)
def test_recording_what_is_served_gives_the_recording(market, speed, sessions, tmp_path):
    session, symbol, channels = sessions[market], SYMBOLS[market], CHANNELS[market]
    rows = session.rows
    with (
        kr.serve(session, speed) as served,
        kr.record(symbol, channels, venue=served.venue, root=tmp_path, progress=False) as again,
    ):
        stream = again.stream
        names = [name.partition(":")[0] for name in channels]
        wait_until(lambda: all(stream.total(name) >= rows[name] for name in names), timeout=60)
        assert served.is_over
        book = stream.book(symbol)
        last_sequence, levels = book.sequence, book.depth(50)

    repeated = again.session()
    for channel in channels:
        ours, theirs = without_arrival(session, channel), without_arrival(repeated, channel)
        assert ours.height
        assert theirs.equals(ours), channel
    assert last_sequence == session.frame("level2")["sequence"].max()
    assert levels.equals(_book_of(session, symbol).depth(50))
    report = again.stream.report()
    assert not report.gaps
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE


def _book_of(session, symbol):
    with kr.serve(session, None) as served, Rest(served.venue) as rest:
        served.resume()
        wait_until(lambda: served.is_over, timeout=30)
        return rest.order_book(symbol)


@pytest.mark.parametrize("speed", [10, None])
@pytest.mark.parametrize("market", MARKETS)
def test_a_gap_stays_a_gap(market, speed, broken):
    session, symbol = broken[market], SYMBOLS[market]
    recorded = session.report().channel("level2")
    last = session.frame("level2")["sequence"][-1]
    with (
        kr.serve(session, speed) as served,
        kr.stream(symbol, ["level2", "trade"], venue=served.venue, healing=FAST) as stream,
    ):
        wait_until(lambda: served.is_over and _sequence(stream, symbol) == last, timeout=40)
        told = stream.report().channel("level2")
        trades = stream.frame("trade").drop("local_timestamp")

    def numbers(entry):
        return [(gap.first_sequence, gap.last_sequence) for gap in entry.gaps]

    assert len(recorded.gaps) == 1
    assert numbers(told) == numbers(recorded)
    assert told.verdict is kr.Verdict.INCOMPLETE
    assert told.last_sequence == recorded.last_sequence
    assert trades.equals(without_arrival(session, "trade"))


def _sequence(stream, symbol):
    try:
        return stream.book(symbol).sequence
    except kr.BookNotReady:
        return None
