import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.errors import InvalidInput, SessionNewer
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import CHANNELS
from kucoin_research.sessions.file_names import (
    day_of,
    file_name,
    folder_name,
    safe_name,
    split_name,
)
from kucoin_research.sessions.folder_lock import FolderLock, is_being_recorded
from kucoin_research.sessions.manifest import read_manifest, write_manifest
from kucoin_research.sessions.manifest_values import (
    from_iso,
    instruments_from,
    instruments_to,
    iso,
    losses_from,
)
from tests.processes import Process

XBT = Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0,
)  # fmt: skip
NS = 1_708_950_436_957_000_001


def test_names_are_those_of_the_contract():
    assert file_name("XBTUSDTM", "ticker", "2026-11-25") == "XBTUSDTM_ticker_2026-11-25.csv"
    assert (
        file_name("BTC-USDT", "trade", day_of(NS), ".csv.zst")
        == "BTC-USDT_trade_2024-02-26.csv.zst"
    )
    assert file_name(None, "status", "2026-11-25") == "status.csv"
    assert file_name(None, "balance", "2026-11-25") == "account_balance_2026-11-25.csv"
    assert folder_name(NS, ["XBTUSDTM", "BTC-USDT"]) == "2024-02-26T12-27-16Z_XBTUSDTM_BTC-USDT"
    assert folder_name(NS, list("ABCDE")) == "2024-02-26T12-27-16Z_A_B_3-more"


@pytest.mark.parametrize(
    "symbol",
    ["../../etc/passwd", "..", ".", "/", "\\", "C:", "a/b", "CON", "nul", "Com1.txt", "", "*",
     "a_b", "x" * 500, "币" * 200, "\x00", "tail.", " ", "\ud800", "LPT¹"],
)  # fmt: skip
def test_no_symbol_leads_out_of_the_folder_or_means_a_device(symbol):
    name = file_name(symbol, "ticker", "2026-11-25")

    assert Path(name).name == name
    assert not set(name) & set('<>:"/\\|?*')
    assert name.isprintable()
    assert len(name.encode()) < 200
    assert safe_name(symbol).split(".")[0].upper() not in {"CON", "NUL", "COM1", "LPT¹"}
    assert split_name(name)[1:] == ("ticker", "2026-11-25")


@given(st.lists(st.text(max_size=8), min_size=2, max_size=2, unique=True))
def test_two_symbols_have_two_names(symbols):
    first, second = map(safe_name, symbols)

    assert first != second


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_name_tells_its_channel(channel):
    name = file_name("XBTUSDTM", channel, "2026-11-25", ".csv.gz")

    assert split_name(name)[1] == channel
    assert split_name(name + ".orig") is None


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_come_back_from_text(ns):
    assert from_iso(iso(ns)) == ns


def test_a_text_that_is_no_time_is_refused():
    with pytest.raises(InvalidInput):
        from_iso("yesterday")


def test_the_manifest_is_replaced_as_a_whole(tmp_path):
    write_manifest(tmp_path, {"files": {}, "state": "recording"})
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, {"files": {}, "state": float("nan")})

    assert read_manifest(tmp_path)["state"] == "recording"
    assert [path.name for path in tmp_path.iterdir()] == ["session.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 5}', "\xff"])
def test_a_manifest_that_is_none_reads_as_none(content, tmp_path):
    (tmp_path / "session.json").write_bytes(content.encode("latin-1"))

    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    "inner",
    ["[" * 200_000, '{"a":' * 200_000, "[" * 2_000 + "]" * 2_000, "NaN", "1e999", "-Infinity",
     "9" * 5_000, "[" + "{}," * 1_000_000 + "{}]"],
    ids=["lists", "objects", "deep", "NaN", "1e999", "-Infinity", "digits", "many"],
)  # fmt: skip
def test_json_that_no_recorder_writes_is_no_manifest(inner, tmp_path):
    (tmp_path / "session.json").write_text(f'{{"files":{{}},"x":{inner}}}')

    assert read_manifest(tmp_path) is None


def test_a_field_that_is_told_twice_is_told(tmp_path):
    text = json.dumps(SOUND).replace('"rows": 5', '"rows": 4, "rows": 5', 1)
    (tmp_path / "session.json").write_text(text)

    (fault,) = read_manifest(tmp_path).faults

    assert "'rows' is told twice" in str(fault)


@pytest.mark.parametrize("value", [2**63, "\ud800", "x" * 100_000])
def test_what_no_row_can_hold_is_told_in_a_short_sentence(value, tmp_path):
    faults = faults_of(tmp_path, SOUND | {"rows": value})

    assert len(faults) == 1
    assert len(faults[0]) < 200


def test_of_many_faults_the_first_are_told(tmp_path):
    files = {f"S{number}_trade_2024-02-26.csv": {} for number in range(5_000)}

    faults = faults_of(tmp_path, SOUND | {"files": files})

    assert len(faults) == 1_001
    assert "there is more" in faults[-1]


def test_instruments_come_back_and_fields_of_newer_versions_are_left():
    instrument = Instrument(
        symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT",
        tick_size=0.1, lot_size=1.0, maker_fee=0.0002,
    )  # fmt: skip
    listed = json.loads(json.dumps(instruments_to([instrument])))
    listed[0]["novel"] = 1

    assert instruments_from({"instruments": listed}) == {"XBTUSDTM": instrument}


def test_a_lock_is_seen_and_refused_to_others_until_it_is_released(tmp_path):
    lock = FolderLock(tmp_path)

    assert is_being_recorded(tmp_path)
    with pytest.raises(BlockingIOError, match="being recorded"):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert not is_being_recorded(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no shared locks")
def test_who_only_looks_is_not_taken_for_a_recorder_by_another_who_looks(tmp_path):
    import fcntl

    mark = tmp_path / ".recording"
    mark.touch()  # of a recorder that was killed
    with mark.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)

        assert not is_being_recorded(tmp_path)


def test_a_forked_child_does_not_hold_the_lock_of_a_parent_that_is_gone(tmp_path):
    # The child outlives the parent, as a worker of a pool may, until it is told to end.
    script = """
import os, sys
from pathlib import Path
from kucoin_research.sessions.folder_lock import (FolderLock)
lock = FolderLock(Path(sys.argv[1]))
if os.fork() == 0:
    lock.release()  # which is none of its business
    print(os.getpid(), flush=True)
    os.close(1), os.close(2)
    sys.stdin.readline()
    os._exit(0)
sys.stdin.readline()
os._exit(0)
"""
    with Process(sys.executable, "-c", script, tmp_path) as parent:
        child = int(parent.line())
        assert is_being_recorded(tmp_path)
        assert (tmp_path / ".recording").exists()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        try:
            os.kill(child, 0)  # it lives
            assert not is_being_recorded(tmp_path)
            FolderLock(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)


# -- what it says ----------------------------------------------------------------------------------

SOUND = {
    "format": 1, "package": "0.1.0", "venue": None, "market": "futures", "symbols": ["XBTUSDTM"],
    "channels": ["ticker", "candle:1min"], "instruments": [], "start": "2026-11-26T01:19:17.2Z",
    "end": None, "state": "closed", "compression": None, "rows": 5, "refused": 0,
    "dropped": [
        {"began": "2026-11-26T01:19:17.2Z", "ended": "2026-11-26T01:19:18.2Z", "rows": 3},
    ],
    "files": {
        "XBTUSDTM_ticker_2026-11-25.csv": {
            "channel": "ticker", "symbol": "XBTUSDTM", "day": "2026-11-25", "rows": 5, "bytes": 9,
            "sha256": "0" * 64,
        },
    },
}  # fmt: skip
WRONG = [5, -1, 2.5, True, None, "x", "5", [], [5], {}, {"a": 1}]
FIELDS = [key for key in SOUND if key != "files"]
ENTRY_FIELDS = list(next(iter(SOUND["files"].values())))


def faults_of(tmp_path, content):
    (tmp_path / "session.json").write_text(json.dumps(content))
    found = read_manifest(tmp_path)
    instruments_from(found)
    losses_from(found)
    return [f"{each.file}: {each.detail}" for each in found.faults]


def test_a_manifest_as_recorders_write_it_has_no_fault(tmp_path):
    assert faults_of(tmp_path, SOUND) == []
    assert read_manifest(tmp_path) == SOUND


@pytest.mark.parametrize("key", FIELDS)
def test_fields_of_another_type_are_told_and_left_out(tmp_path, key):
    for value in WRONG:
        if (type(value) is type(SOUND[key]) and value in ([], 5)) or key == "venue":
            continue
        if (value is None and SOUND[key] is None) or key == "market":
            continue
        if (key, value) in (("start", None), ("package", "x"), ("package", "5"), ("rows", 5),
                            ("refused", 5), ("format", 5)):  # fmt: skip
            continue
        told = faults_of(tmp_path, SOUND | {key: value})
        assert told, (key, value)
        assert all(each.startswith(f"session.json: {key} ") for each in told)


@pytest.mark.parametrize("key", ENTRY_FIELDS)
def test_fields_of_a_file_of_another_type_are_told_and_left_out(tmp_path, key):
    ((name, entry),) = SOUND["files"].items()
    for value in WRONG:
        is_fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if key in ("rows", "bytes") and is_fine:
            continue
        if (key == "symbol" and (value is None or isinstance(value, str))) or (
            key == "day" and isinstance(value, str)
        ):
            continue
        told = faults_of(tmp_path, SOUND | {"files": {name: entry | {key: value}}})
        assert told, (key, value)
        assert all(each.startswith(name) for each in told)


@pytest.mark.parametrize("key", ["rows", "bytes", "sha256"])
def test_what_is_to_be_compared_must_be_told(tmp_path, key):
    ((name, entry),) = SOUND["files"].items()
    left = {each: value for each, value in entry.items() if each != key}

    (told,) = faults_of(tmp_path, SOUND | {"files": {name: left}})

    assert told.startswith(f"{name}: {key} is not told")


@pytest.mark.parametrize(
    "instrument",
    [5, {}, {"symbol": 5}, asdict(XBT) | {"tick_size": "0.1"}, asdict(XBT) | {"tick_size": 0},
     asdict(XBT) | {"is_inverse": 1}],
    ids=str,
)  # fmt: skip
def test_an_instrument_that_is_none_is_told_and_left_out(tmp_path, instrument):
    (told,) = faults_of(tmp_path, SOUND | {"instruments": [asdict(XBT), instrument]})

    assert "instruments holds" in told
    assert list(instruments_from(read_manifest(tmp_path))) == ["XBTUSDTM"]


@pytest.mark.parametrize("files", [{}, 5, "new"])
def test_a_newer_format_is_refused_in_one_sentence(tmp_path, files):
    content = SOUND | {"format": 2, "package": "9.1", "files": files}
    (tmp_path / "session.json").write_text(json.dumps(content))

    for read in (kr.load, kr.verify, kr.repair, kr.replay):
        with pytest.raises(SessionNewer, match=r"newer version .*9\.1, format 2.*upgrade"):
            read(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["session.json"]
