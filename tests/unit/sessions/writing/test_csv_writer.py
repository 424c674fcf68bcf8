"""What others do to a recording's files while it is written, and files that cannot be written."""

import json
import os
import random
import shutil
import sys
from functools import partial

import pytest

import kucoin_research as kr
from kucoin_research.errors import SessionBusy
from kucoin_research.model.records import Trade
from kucoin_research.sessions.files.file_names import split_name
from kucoin_research.sessions.files.folder_lock import FolderLock, is_being_recorded
from kucoin_research.sessions.writing import csv_writer, row_groups
from kucoin_research.sessions.writing.recorder import Recorder
from tests.conftest import wait_until
from tests.unit.rows import NOON, ticker

DAY = "2024-02-26"
XBT, ETH = f"XBTUSDTM_ticker_{DAY}.csv", f"ETHUSDTM_ticker_{DAY}.csv"


def recorder(root, **options):
    told = []
    made = Recorder(
        root,
        symbols=["XBTUSDTM", "ETHUSDTM"],
        channels=["ticker"],
        on_trouble=lambda *event: told.append(event),
        **options,
    )
    made.told = told
    return made


def events(made):
    return [event for event, _ in made.told]


def written(made, rows):
    made.take(rows)
    wait_until(lambda: made.waiting == 0)


def sequences(path, symbol="XBTUSDTM"):
    return kr.load(path).frame("ticker", symbol)["sequence"].to_list()


def entry(path, symbol="XBTUSDTM"):
    return kr.load(path).report().channel("ticker", symbol)


def test_a_file_that_cannot_be_written_holds_up_no_other(tmp_path):
    made = recorder(tmp_path)
    (made.path / ETH).mkdir()

    made.take([ticker(0), ticker(0, "ETHUSDTM")])
    wait_until(lambda: made.stuck)
    made.take([ticker(n) for n in range(1, 50)])
    wait_until(lambda: made.rows == 50)

    assert list(made.stuck) == [ETH]
    assert made.waiting == 1
    assert events(made) == ["recording_failed"]
    assert f"{ETH}" in made.told[0][1]
    assert "Is a directory" in made.told[0][1]
    assert f"{ETH} stuck" in str(made)
    (made.path / ETH).rmdir()
    wait_until(lambda: not made.stuck)
    assert made.close()
    assert events(made) == ["recording_failed", "recording_resumed"]
    assert sequences(made.path, "ETHUSDTM") == [1000]
    assert kr.load(made.path).losses == []
    assert kr.verify(made.path).ok


def test_what_waits_for_a_stuck_file_is_bounded_and_its_loss_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(row_groups, "MOST_STUCK", 10)
    made = recorder(tmp_path)
    (made.path / ETH).mkdir()
    made.take([ticker(0, "ETHUSDTM"), ticker(0)])
    wait_until(lambda: made.stuck)

    for n in range(1, 40):
        written_but(made, [ticker(n, "ETHUSDTM"), ticker(n)], waiting=min(n + 1, 10))
    wait_until(lambda: "recording_dropped" in events(made))
    (made.path / ETH).rmdir()
    wait_until(lambda: made.waiting == 0)
    written(made, [ticker(40, "ETHUSDTM")])

    assert made.dropped == 30
    assert made.close()
    assert sequences(made.path, "ETHUSDTM") == [*range(1000, 1010), 1040]
    assert sequences(made.path) == list(range(1000, 1040))
    (loss,) = kr.load(made.path).losses
    assert (loss.rows, loss.file, loss.symbol) == (30, ETH, "ETHUSDTM")
    assert (loss.began, loss.ended) == (ticker(10).local_timestamp, ticker(39).local_timestamp)
    assert entry(made.path, "ETHUSDTM").verdict == "INCOMPLETE"
    assert "could not be written: Is a directory" in entry(made.path, "ETHUSDTM").reason
    assert entry(made.path).verdict == "NOT PROVABLE"


def written_but(made, rows, waiting):
    before = made.rows
    made.take(rows)
    wait_until(lambda: made.rows > before and made.waiting == waiting)


def test_what_could_not_be_written_by_the_end_is_in_the_manifest(tmp_path):
    made = recorder(tmp_path)
    (made.path / ETH).mkdir()
    made.take([ticker(0, "ETHUSDTM"), ticker(1, "ETHUSDTM"), ticker(2)])

    assert not made.close(timeout=2.0)

    assert made.dropped == 2
    (made.path / ETH).rmdir()
    with pytest.warns(UserWarning, match="not closed"):
        session = kr.load(made.path)
    assert session.report().channel("ticker", "ETHUSDTM").verdict == "INCOMPLETE"
    assert session.report().channel("ticker", "XBTUSDTM").verdict == "NOT PROVABLE"
    kr.repair(made.path)
    assert entry(made.path, "ETHUSDTM").verdict == "INCOMPLETE"


def test_many_stuck_files_take_no_room_from_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(row_groups, "MOST_STUCK", 1_000)
    made = recorder(tmp_path, queue_rows=100)
    names = [f"S{n}USDTM" for n in range(30)]
    for name in names:
        (made.path / f"{name}_ticker_{DAY}.csv").mkdir()
    written(made, [ticker(0)])
    for n in range(10):
        made.take([ticker(n, name) for name in names])
        made.take([ticker(n + 1)])
        wait_until(lambda n=n: made.rows == n + 2)

    assert len(made.stuck) == 30
    assert 100 <= made.waiting <= 130
    # All that fail at once and for one reason are one warning.
    assert len([each for each in made.told if each[0] == "recording_failed"]) == 1
    assert "and 27 more files" in made.told[0][1]
    assert not made.close(timeout=0.5)


def test_a_manifest_that_cannot_be_written_does_not_stop_the_rows(tmp_path):
    made = recorder(tmp_path)
    written(made, [ticker(0)])
    (made.path / "session.json").unlink()
    (made.path / "session.json").mkdir()
    (made.path / "session.json" / "x").touch()
    wait_until(lambda: made.error is not None)

    written(made, [ticker(n) for n in range(1, 9)])

    assert made.rows == 9
    assert events(made) == ["recording_failed"]
    shutil.rmtree(made.path / "session.json")
    wait_until(lambda: made.error is None)
    assert made.close()
    assert sequences(made.path) == list(range(1000, 1009))


@pytest.fixture(params=["open", "closed"])
def handles(request, monkeypatch):
    """Files stay open between two appends, or are closed since there are too many of them."""
    monkeypatch.setattr(csv_writer, "_OPEN_FILES", 200 if request.param == "open" else 0)
    return request.param


def test_a_file_that_is_cut_while_recording_goes_on_with_whole_lines(tmp_path, handles):
    made = recorder(tmp_path)
    written(made, [ticker(n) for n in range(10)])
    file = made.path / XBT
    lines = file.read_bytes().splitlines(keepends=True)
    os.truncate(file, len(b"".join(lines[:4])) + 5)

    written(made, [ticker(n) for n in range(10, 15)])

    assert made.close()
    assert sequences(made.path) == [1000, 1001, 1002, *range(1010, 1015)]
    assert any("7 of 10 rows are lost" in text for _, text in made.told)
    (loss,) = kr.load(made.path).losses
    assert (loss.rows, loss.began) == (7, ticker(2).local_timestamp)
    assert entry(made.path).verdict == "INCOMPLETE"
    assert "was cut while recording" in entry(made.path).reason
    assert kr.verify(made.path).ok


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_compressed_file_that_is_cut_goes_on_with_whole_members(tmp_path, compression):
    made = recorder(tmp_path, compression=compression)
    written(made, [ticker(0)])
    written(made, [ticker(1)])
    (file,) = made.path.glob("XBT*")
    os.truncate(file, file.stat().st_size - 3)

    written(made, [ticker(2)])

    assert made.close()
    assert sequences(made.path) == [1000, 1002]
    assert kr.verify(made.path).ok


def test_rows_are_counted_past_line_breaks_within_text_when_a_file_was_cut(tmp_path):
    made = Recorder(tmp_path, symbols=["XBTUSDTM"], channels=["trade"])
    rows = [Trade(NOON, NOON + n, "XBTUSDTM", n, "a\n\nb", "buy", 1.0, 1.0) for n in range(4)]
    written(made, rows)
    (file,) = made.path.glob("XBT*")
    os.truncate(file, file.stat().st_size - 4)

    wait_until(lambda: made.dropped == 1)

    assert made.close()
    (listed,) = kr.load(made.path).meta["files"].values()
    assert listed["rows"] == 3
    assert kr.verify(made.path).ok


def test_a_file_that_is_emptied_begins_with_its_header_again(tmp_path, handles):
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(1)])
    os.truncate(made.path / XBT, 0)

    written(made, [ticker(2)])

    assert made.close()
    assert sequences(made.path) == [1002]
    assert kr.load(made.path).losses[0].rows == 2
    assert kr.verify(made.path).ok


def test_a_file_that_is_deleted_is_made_anew_and_its_rows_are_lost_for_all_to_see(
    tmp_path, handles
):
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(0, "ETHUSDTM"), ticker(1)])
    (made.path / XBT).unlink()

    written(made, [ticker(2)])

    assert made.close()
    assert sequences(made.path) == [1002]
    assert entry(made.path).verdict == "INCOMPLETE"
    assert entry(made.path, "ETHUSDTM").verdict == "NOT PROVABLE"
    assert any("removed while recording, with 2 rows" in text for _, text in made.told)


def test_a_deleted_file_for_which_nothing_comes_is_noticed_too(tmp_path):
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(0, "ETHUSDTM")])
    (made.path / XBT).unlink()

    wait_until(lambda: made.dropped == 1)

    assert made.close()
    assert list(kr.load(made.path).meta["files"]) == [ETH]
    assert entry(made.path).verdict == "INCOMPLETE"


def test_a_copy_in_the_place_of_a_file_is_written_on(tmp_path, handles):
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(1)])
    copy = tmp_path / "copy"
    shutil.copy(made.path / XBT, copy)
    copy.replace(made.path / XBT)

    written(made, [ticker(2)])

    assert made.close()
    assert sequences(made.path) == [1000, 1001, 1002]
    assert kr.load(made.path).losses == []
    assert kr.verify(made.path).ok
    assert events(made) == ["recording_changed"]


def test_another_file_in_the_place_of_one_is_set_aside(tmp_path, handles):
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(1)])
    other = tmp_path / "other"
    other.write_text("something else\n")
    other.replace(made.path / XBT)

    written(made, [ticker(2)])

    assert made.close()
    assert (made.path / f"{XBT}.foreign").read_text() == "something else\n"
    is_open = handles == "open"  # then the rows are still at hand
    assert sequences(made.path) == ([1000, 1001, 1002] if is_open else [1002])
    assert len(kr.load(made.path).losses) == (0 if is_open else 1)
    assert kr.verify(made.path).ok


def test_what_others_append_is_set_aside(tmp_path, handles):
    made = recorder(tmp_path)
    written(made, [ticker(0)])
    with (made.path / XBT).open("ab") as file:
        file.write(b"a note of mine\n")

    written(made, [ticker(1)])

    assert made.close()
    assert (made.path / f"{XBT}.foreign").read_bytes() == b"a note of mine\n"
    assert sequences(made.path) == [1000, 1001]
    assert kr.verify(made.path).ok


def test_a_file_that_was_there_before_is_not_written_over(tmp_path):
    made = recorder(tmp_path)
    (made.path / XBT).write_text("mine\n")

    written(made, [ticker(0)])

    assert made.close()
    assert (made.path / f"{XBT}.foreign").read_text() == "mine\n"
    assert kr.verify(made.path).ok


@pytest.mark.parametrize("is_linux", [True, False], ids=["told by the system", "looked for"])
def test_a_folder_that_is_renamed_is_written_on_where_it_is(tmp_path, monkeypatch, is_linux):
    if not is_linux:
        monkeypatch.setattr("kucoin_research.sessions.files.folder_lock.FolderLock.place", None)
    elif sys.platform != "linux":
        pytest.skip("only Linux tells")
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(0, "ETHUSDTM")])
    old = made.path
    new = old.rename(tmp_path / "renamed")

    written(made, [ticker(1)])

    assert made.path == new
    assert not old.exists()
    assert is_being_recorded(new)
    with pytest.raises(SessionBusy):
        kr.repair(new)
    assert made.close()
    assert sequences(new) == [1000, 1001]
    assert entry(new).verdict == "NOT PROVABLE"
    assert kr.verify(new).ok
    assert events(made) == ["recording_changed"]
    assert str(new) in made.told[0][1]


def test_another_folder_in_its_place_is_left_alone(tmp_path):
    made = recorder(tmp_path)
    written(made, [ticker(0)])
    old = made.path
    shutil.copytree(old, tmp_path / "copy")
    shutil.rmtree(old.rename(tmp_path / "gone"))
    (tmp_path / "copy").rename(old)
    before = sorted((path.name, path.read_bytes()) for path in old.iterdir())

    written(made, [ticker(1)])

    assert made.path.name == f"{old.name}-2"
    assert made.close()
    assert sorted((path.name, path.read_bytes()) for path in old.iterdir()) == before
    assert sequences(made.path) == [1001]
    assert entry(made.path).verdict == "INCOMPLETE"


def test_a_mark_that_was_removed_is_put_back(tmp_path):
    made = recorder(tmp_path)
    (made.path / ".recording").unlink()

    wait_until(lambda: is_being_recorded(made.path))

    with pytest.raises(SessionBusy):
        kr.repair(made.path)
    assert made.close()
    assert not (made.path / ".recording").exists()


def test_nothing_is_written_while_another_process_works_on_the_folder(tmp_path):
    made = recorder(tmp_path)
    written(made, [ticker(0)])
    (made.path / ".recording").unlink()
    other = FolderLock(made.path)
    before = (made.path / XBT).read_bytes()
    made.take([ticker(1)])
    wait_until(lambda: made.error is not None)

    assert (made.path / XBT).read_bytes() == before
    other.release()
    wait_until(lambda: made.error is None)

    assert made.close()
    assert sequences(made.path) == [1000, 1001]


def unlink(draw, folder, file):
    if not file.is_dir():
        file.unlink()


def truncate(draw, folder, file):
    if file.is_file():
        os.truncate(file, draw.randrange(file.stat().st_size + 1))


def append(draw, folder, file):
    if file.is_file():
        with file.open("ab") as opened:
            opened.write(b"others,\n")


def replace(draw, folder, file):
    other = folder.parent / "other"
    other.write_bytes(file.read_bytes() if file.is_file() and draw.random() < 0.5 else b"x\n")
    if not file.is_dir():
        other.replace(file)


def block(draw, folder, file):
    unlink(draw, folder, file)
    file.mkdir(exist_ok=True)


def unblock(draw, folder, file):
    if file.is_dir():
        file.rmdir()


def rename(draw, folder, file):
    folder.rename(folder.with_name(f"n{draw.randrange(10**6)}"))


def unmark(draw, folder, file):
    (folder / ".recording").unlink(missing_ok=True)


def is_there(made):
    return (made.path / "session.json").exists()  # at the path of this moment


FAULTS = [unlink, truncate, append, replace, block, unblock, unblock, rename, unmark]


@pytest.mark.parametrize("seed", range(100 if os.environ.get("SOAK") == "1" else 12))
def test_whatever_others_do_the_rest_is_right_and_what_is_lost_is_told(tmp_path, seed):
    draw = random.Random(seed)
    made = recorder(tmp_path, compression=draw.choice([None, "zstd"]))
    names = ["XBTUSDTM", "ETHUSDTM"]
    sent = dict.fromkeys(names, 0)
    for number in range(60):
        for name in names:
            made.take([ticker(number, name)])
            sent[name] += 1
        if draw.random() < 0.3:
            wait_until(lambda: made.waiting == 0 or made.stuck)
            wait_until(partial(is_there, made))
            files = sorted(path for path in made.path.iterdir() if split_name(path.name))
            if files:
                draw.choice(FAULTS)(draw, made.path, draw.choice(files))
            wait_until(lambda: made.waiting == 0 or made.stuck)
    wait_until(partial(is_there, made))
    for file in made.path.iterdir():
        if split_name(file.name):
            unblock(draw, made.path, file)

    made.close()

    session = kr.load(made.path)
    assert kr.verify(made.path).ok
    for name in names:
        there = session.frame("ticker", name)["sequence"].to_list()
        lost = sum(loss.rows for loss in session.losses if loss.symbol == name)
        assert there == sorted(set(there))
        assert len(there) + lost == sent[name], (name, json.dumps(session.meta["dropped"]))
        if lost:
            assert session.report().channel("ticker", name).verdict == "INCOMPLETE"
