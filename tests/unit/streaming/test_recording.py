import json
import os
import signal
import sys
from datetime import UTC, datetime

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import cli
from kucoin_research.errors import InvalidInput, NetworkError
from kucoin_research.streaming import recording as recording_module
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.healing.rig import FAST
from tests.processes import Process

CHANNELS = ["ticker", "trade", "level2", "depth50", "candle:1min", "candle:5min"]


def test_a_recording_holds_what_the_stream_held_to_the_bit(exchange, tmp_path):
    with kr.record(
        ["XBTUSDTM", "BTC-USDT"], CHANNELS, venue=exchange.venue, root=tmp_path, progress=False
    ) as recording:
        for channel in CHANNELS:
            recording.stream.wait(channel, rows=20)

    session = recording.session()
    assert session.channels == CHANNELS
    for channel in [*CHANNELS, "status"]:
        live, read = recording.stream.frame(channel), session.frame(channel)
        assert live.schema == read.schema
        assert live.equals(read)
    assert session.verify().ok
    assert session.is_closed
    assert session.instruments["XBTUSDTM"].tick_size > 0
    live, read = recording.stream.report(), session.report()
    for entry in live.channels:
        other = read.channel(entry.channel, entry.symbol)
        assert (other.rows, other.verdict, other.gaps) == (entry.rows, entry.verdict, entry.gaps)
    assert "gaps 0" in str(recording)
    assert recording.path.name in repr(recording)


def test_a_recording_gives_the_same_account_as_the_stream(tmp_path):
    channels = ["ticker", "trade", "level2", "candle"]
    with simulate(seed=5, speed=10.0) as x:
        x.pause()
        s = kr.stream("XBTUSDTM", channels, venue=x.venue, healing=FAST)
        recorder = s.record(tmp_path)
        x.resume()  # no row came before the recorder
        s.wait("trade", rows=50, timeout=30)
        x.inject("reorder", topic="/contractMarket/level2:XBTUSDTM")
        x.inject("drop", topic="/contractMarket/level2:XBTUSDTM", count=2, after=50)
        wait_until(lambda: s.report().channel("level2").gaps and _is_whole(s), timeout=60)
        x.inject("refuse_upgrade", status=429, count=2)  # so that the outage lasts
        x.inject("abort")
        wait_until(lambda: s.status.reconnects == 1 and _is_whole(s), timeout=30)
        s.wait("ticker", rows=s.total("ticker") + 20, timeout=60)
        s.stop()
        live = s.report()
    recorder.close(20)

    told = kr.load(recorder.path).report()
    for channel in channels:
        ours, theirs = live.channel(channel), told.channel(channel)
        assert theirs.gaps == ours.gaps
        assert (theirs.rows, theirs.filled) == (ours.rows, ours.filled)
        assert (theirs.verdict, theirs.reason) == (ours.verdict, ours.reason)
        assert theirs.last_sequence == ours.last_sequence
    assert (told.reconnects, told.rollovers, told.verdict) == (1, live.rollovers, live.verdict)


def _is_whole(stream):
    return stream.state is kr.State.LIVE and not stream._handler.has_open_requests


def test_a_time_to_record_is_waited_for_at_the_end_of_the_block(exchange, tmp_path):
    with kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, minutes=0.2) as recording:
        assert not recording.recorder.is_closed

    assert recording.elapsed == 12.0
    assert recording.session().frame("ticker").height > 10


@pytest.mark.parametrize("speed", [5.0, 60.0])
def test_a_recording_ends_with_the_second_that_was_asked_for(tmp_path, speed):
    with simulate(seed=7, speed=speed) as x:
        with kr.record("XBTUSDTM", venue=x.venue, root=tmp_path, seconds=40) as recording:
            pass
        ended = recording.session().frame("ticker")["timestamp"].max()

    assert 38 < (ended - datetime(2026, 1, 5, tzinfo=UTC)).total_seconds() < 40 + 0.05 * speed


def test_a_recording_ends_by_itself_when_nobody_waits(exchange, tmp_path):
    recording = kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, seconds=3)

    wait_until(lambda: recording.recorder.is_closed)
    assert recording.session().is_closed
    assert recording.stop()


def test_an_error_in_the_block_ends_the_recording_at_once(exchange, tmp_path):
    with (
        pytest.raises(RuntimeError, match="mine"),
        kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, minutes=1e6) as recording,
    ):
        raise RuntimeError("mine")

    assert recording.session().is_closed


def test_options_that_mean_nothing_start_no_stream(tmp_path):
    with pytest.raises(InvalidInput, match="compression"):
        kr.record("XBTUSDTM", venue="demo", root=tmp_path, compression="rar")
    with pytest.raises(InvalidInput, match="minutes"):
        kr.record("XBTUSDTM", venue="demo", root=tmp_path, minutes=-1)
    assert kr.running() == []
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "session.json").exists()


def test_a_folder_that_cannot_be_made_stops_the_stream(exchange, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(kr.InvalidInput, match="file is a file"):
        kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path / "file")


def test_a_running_stream_is_recorded_with_its_books_and_instruments(exchange, tmp_path):
    symbols = ["XBTUSDTM", "ETHUSDTM", "BTC-USDT"]
    with kr.stream(symbols, ["level2"], venue=exchange.venue) as stream:
        wait_until(lambda: _books_ready(stream) == symbols)
        recorders = [stream.record(tmp_path / name) for name in ("first", "second")]
        wait_until(
            lambda: not stream._engine.recovery._to_begin and _books_ready(stream) == symbols
        )
        stream.wait("level2", rows=stream.total("level2") + 500)
        stream.stop()
        books = {symbol: stream.book(symbol) for symbol in symbols}

    assert {each.verdict for each in stream.report().channels} == {kr.Verdict.COMPLETE}
    for recorder in recorders:
        recorder.close(20)
        session = kr.load(recorder.path)
        rows = session.frame("level2")
        assert rows.equals(stream.frame("level2", last=rows.height))
        assert set(session.instruments) == set(symbols)
        with kr.replay(session, speed=None) as replay:
            assert replay.wait_until_done(20)
            for symbol, book in books.items():
                again = replay.book(symbol)  # without the fillers at the end, which have no rows
                assert (again.bids, again.asks) == (book.bids, book.asks)


def test_a_recording_costs_a_running_stream_of_the_pro_feed_nothing(exchange, tmp_path):
    with kr.stream("XBTUSDTM", ["level2"], venue=exchange.venue, feed="pro") as stream:
        wait_until(lambda: _books_ready(stream))
        recorder = stream.record(tmp_path)
        wait_until(lambda: recorder.rows > 100)
        stream.stop()

    assert stream.report().channel("level2").verdict is kr.Verdict.COMPLETE


def _books_ready(stream):
    return [symbol for symbol, book in stream._handler.books.items() if book.is_ready]


def test_a_running_stream_can_be_recorded_for_a_while(exchange, tmp_path):
    with kr.stream("XBTUSDTM", ["ticker"], venue=exchange.venue) as stream:
        recorder = stream.record(tmp_path, compression="zstd")
        wait_until(lambda: recorder.rows > 20)
        assert recorder.close()
        rows = kr.load(recorder.path).frame("ticker")
        local = rows["local_timestamp"]
        meanwhile = pl.col("local_timestamp").is_between(local.min(), local.max())
        assert stream.frame("ticker").filter(meanwhile).equals(rows)


def test_trouble_of_the_recorder_is_told_in_the_status_channel(exchange, tmp_path):
    with kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, progress=False) as recording:
        wait_until(lambda: recording.recorder.rows > 0)
        for path in recording.path.glob("XBT*"):
            path.unlink()
        wait_until(lambda: "recording_failed" in list(recording.stream.frame("status")["event"]))

    assert recording.session().frame("status").equals(recording.stream.frame("status"))


# -- the command line ------------------------------------------------------------------------------


def run(capsys, *words):
    status = cli.main(list(map(str, words)))
    return status, *capsys.readouterr()


def session_of(root):
    (folder,) = [each for each in root.iterdir() if each.is_dir()]
    return folder


def test_record_verify_and_convert_from_the_command_line(exchange, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KUCOIN_FUTURES_URL", exchange.futures_url)
    monkeypatch.setenv("KUCOIN_SPOT_URL", exchange.spot_url)
    root = tmp_path / "sessions"

    status, out, err = run(
        capsys, "record", "XBTUSDTM", "--channels", "ticker", "trade", "--minutes", "0.1",
        "--root", root, "--compression", "gzip",
    )  # fmt: skip

    assert status == cli.DONE
    assert "rows in" in out
    assert "rows/s" in err
    assert "gaps 0" in err
    folder = session_of(root)
    status, out, _ = run(capsys, "verify", folder)
    assert (status, "sound" in out) == (cli.DONE, True)
    status, out, _ = run(capsys, "convert", folder, tmp_path / "archive")
    assert status == cli.DONE
    assert "channel=ticker" in out


def test_verify_fails_on_a_torn_session_and_repair_mends_it(exchange, tmp_path, capsys):
    with kr.record("XBTUSDTM", venue=exchange.venue, root=tmp_path, progress=False) as recording:
        wait_until(lambda: recording.recorder.rows > 0)
    path = next(recording.path.glob("XBT*"))
    with path.open("ab") as file:
        file.write(b"17")

    status, out, _ = run(capsys, "verify", recording.path)
    assert status == cli.FAILED
    assert f"{path.name}: torn" in out
    status, out, _ = run(capsys, "repair", recording.path)
    assert status == cli.DONE
    assert "cut 2 torn bytes" in out
    assert run(capsys, "verify", recording.path)[0] == cli.DONE


def test_wrong_use_is_told_in_one_line(tmp_path, capsys):
    for words in (
        ["verify", tmp_path / "none"],
        ["convert", tmp_path / "none", tmp_path],
        ["record", "XBTUSDTM", "--minutes", "x"],
        ["record", "XBTUSDTM", "--minutes", "1", "--forever"],
    ):
        status, _, err = run(capsys, *words)
        assert status in (cli.FAILED, cli.WRONG_USE)
        assert len(err.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_recording_that_runs_for_ever_ends_in_order_when_interrupted(real_exchange, tmp_path):
    x = real_exchange
    urls = {"KUCOIN_FUTURES_URL": x.futures_url, "KUCOIN_SPOT_URL": x.spot_url}
    words = ["record", "XBTUSDTM", "--forever", "--root", tmp_path]
    with Process(sys.executable, "-m", "kucoin_research", *words, **urls) as child:
        wait_until(lambda: list(tmp_path.glob("*/XBT*")), timeout=30)
        child.send_signal(signal.SIGINT)

        assert child.wait() == 0
    assert "rows in" in child.stdout
    content = json.loads((session_of(tmp_path) / "session.json").read_text())
    assert content["state"] == "closed"


def test_a_stream_that_cannot_live_is_an_error_and_leaves_a_closed_session(tmp_path, monkeypatch):
    monkeypatch.setattr(recording_module, "_PATIENCE", 0.2)
    with simulate(seed=7) as exchange:
        venue = exchange.venue
        kr.instrument("XBTUSDTM", venue=venue)
    recording = kr.record("XBTUSDTM", venue=venue, root=tmp_path, progress=False)

    with pytest.raises(NetworkError):
        recording.wait()

    assert recording.session().is_closed
