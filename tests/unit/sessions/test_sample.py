"""The recording that comes with the project."""

from pathlib import Path

import polars as pl
import pytest

import kucoin_research as kr

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


def test_the_sample_is_small_sound_and_explained():
    session = kr.load(SAMPLE)

    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= 2_000_000
    assert session.is_closed
    assert session.verify().ok, session.verify()
    assert session.channels == ["ticker", "trade", "candle:1min", "mark_price", "level2"]
    told = (SAMPLE / "README.md").read_text()
    for path in SAMPLE.glob("*.csv"):
        assert path.name in told
        assert all(f"`{name}`" in told for name in pl.read_csv(path, n_rows=0).columns)


def test_the_sample_holds_one_outage():
    session = kr.load(SAMPLE)
    report = session.report()

    assert report.reconnects == 1
    assert report.channel("trade").gaps[0].cause == "disconnected"
    assert report.channel("level2").gaps


def test_the_sample_is_replayed_whole():
    session = kr.load(SAMPLE)
    lost = session.frame("status").filter(event="disconnected")["local_timestamp"][0]

    with kr.replay(session, speed=None, paused=True) as replay:
        replay.seek(lost)
        assert replay.book().bids
        replay.step()
        with pytest.raises(kr.BookNotReady):
            replay.book()
        replay.resume()
        assert replay.wait_until_done(60)
        for channel in (*session.channels, "status"):
            assert replay.frame(channel).equals(session.frame(channel))
        assert replay.report() == session.report()
        assert replay.book().best_bid < replay.book().best_ask
