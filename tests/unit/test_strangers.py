"""Sessions that others have made: nothing outside their folder is read, written or made."""

from __future__ import annotations

import json
import os
import warnings

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput
from kucoin_research.recorder import Recorder
from kucoin_research.records import Status, Trade
from kucoin_research.tables import append_csv
from tests.unit.rows import NOON, ticker

SYMBOL = "XBTUSDTM"
THESIS = b"The only copy.\n" * 100


@pytest.fixture
def outside(tmp_path):
    """Make a folder with a file that must stay as it is, and nothing else must come into."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "thesis.txt").write_bytes(THESIS)
    yield folder
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    assert (folder / "thesis.txt").read_bytes() == THESIS


def record(root, *, compression=None, is_closed=True):
    recorder = Recorder(
        root, symbols=[SYMBOL], channels=["ticker", "trade"], compression=compression
    )
    recorder.take([Status(NOON, NOON, None, "connected", None, "", None, None)])
    for number in range(40):
        at = NOON + 10 * number
        recorder.take([Trade(at, at + 1, SYMBOL, number, str(number), "buy", 1.0, 1.0)])
        recorder.take([ticker(10 * number)])
    assert recorder.close()
    if not is_closed:
        manifest = recorder.path / "session.json"
        content = json.loads(manifest.read_bytes())
        content["state"] = "recording"
        manifest.write_text(json.dumps(content))
    return recorder.path


@pytest.fixture(params=[True, False], ids=["closed", "killed"])
def session(request, tmp_path):
    return record(tmp_path / "sessions", is_closed=request.param)


def trades_of(folder):
    (path,) = folder.glob(f"{SYMBOL}_trade_*.csv*")
    return path


def use(folder):
    """Do all that can be done with a session; gives what it says of its trades."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = kr.load(folder)
        loaded.frame("ticker")
        verdict = loaded.report().channel("trade").verdict
        checked = kr.verify(folder)
        kr.repair(folder)
        kr.verify(folder)
        again = kr.load(folder)
        again.report()
        kr.replay(again, speed=None).wait_until_done()
        kr.convert(again, folder.parent / "parquet")
    return verdict, checked


@pytest.mark.parametrize("target", ["thesis.txt", "made.py"])
@pytest.mark.parametrize(
    "name",
    ["session.json.tmp", "session.json.orig", ".recording", f"{SYMBOL}_trade_2024-02-26.csv.orig"],
)
def test_a_link_where_something_is_to_be_written_is_not_followed(session, outside, name, target):
    path = trades_of(session)
    path.write_bytes(path.read_bytes()[:-7])  # so that there is something to mend
    (session / name).symlink_to(outside / target)

    use(session)


@pytest.mark.parametrize("name", ["session.json", "status.csv", "trade"])
def test_a_link_in_place_of_a_file_is_named_and_not_read(session, outside, name):
    path = trades_of(session) if name == "trade" else session / name
    path.unlink(missing_ok=True)
    path.symlink_to(outside / "thesis.txt")

    verdict, checked = use(session)

    assert verdict is kr.Verdict.INCOMPLETE
    assert path.name in {flaw.file for flaw in checked.flaws}


@pytest.mark.parametrize("name", ["session.json", "status.csv", "trade", ".recording"])
def test_a_pipe_in_place_of_a_file_holds_nobody_up(session, name):
    path = trades_of(session) if name == "trade" else session / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    verdict, checked = use(session)

    if name != ".recording":
        assert verdict is kr.Verdict.INCOMPLETE
        assert path.name in {flaw.file for flaw in checked.flaws}


def test_a_device_in_place_of_a_manifest_does_not_fill_the_memory(session):
    (session / "session.json").unlink()
    (session / "session.json").symlink_to("/dev/zero")

    verdict, _ = use(session)

    assert verdict is kr.Verdict.INCOMPLETE


def test_names_in_a_manifest_do_not_lead_out_of_the_folder(session, outside):
    manifest = session / "session.json"
    content = json.loads(manifest.read_bytes())
    entry = next(iter(content["files"].values()))
    name = "../../outside/thesis.txt"
    content["files"] |= {name: entry, f"../../outside/{SYMBOL}_trade_2024-02-26.csv": entry}
    content["damage"] = [{"file": name, "what": "missing", "bytes": len(THESIS)}]
    manifest.write_text(json.dumps(content))

    _, checked = use(session)

    assert name in {flaw.file for flaw in checked.flaws}


def test_a_recorder_writes_through_no_link(tmp_path, outside):
    recorder = Recorder(tmp_path / "sessions", symbols=[SYMBOL], channels=["ticker"])
    planted = recorder.path / f"{SYMBOL}_ticker_2024-02-26.csv"
    planted.symlink_to(outside / "thesis.txt")
    recorder.take([ticker(0)])

    assert recorder.close()
    assert kr.load(recorder.path).frame("ticker").height == 1
    assert not planted.is_symlink()


def test_an_archive_is_written_through_no_link(tmp_path, outside):
    session = record(tmp_path / "sessions")
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "channel=trade").symlink_to(outside)

    with pytest.raises(InvalidInput, match="is a link, and may lead out of"):
        kr.convert(session, archive)


@pytest.mark.parametrize("target", ["thesis.txt", "made.csv"])
def test_appended_rows_go_through_no_link(tmp_path, outside, target):
    (tmp_path / "rows.csv").symlink_to(outside / target)

    written = append_csv(pl.DataFrame({"a": [1]}), tmp_path / "rows.csv")

    assert written.name == "rows-2.csv"
    assert written.read_text() == "a\n1\n"
