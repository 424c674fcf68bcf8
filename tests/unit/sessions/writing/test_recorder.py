import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.model.records import Balance, Status, Trade
from kucoin_research.sessions.checks.repair import repair
from kucoin_research.sessions.checks.verification import verify
from kucoin_research.sessions.files.folder_lock import is_being_recorded
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.writing.recorder import Recorder
from tests.conftest import wait_until
from tests.processes import Process
from tests.unit.rows import DAY, NOON, plain, shown, ticker


class Told(list):
    def __call__(self, event, detail):
        self.append((event, detail))

    @property
    def events(self):
        return [event for event, _ in self]


def recorder(root, **options):
    told = Told()
    options = {"symbols": ["XBTUSDTM"], "channels": ["ticker"], "on_trouble": told} | options
    made = Recorder(root, **options)
    made.told = told
    return made


def status(number, event="gap", symbol=None):
    return Status(NOON + number, NOON + number, symbol, event, None, "why", None, None)


def written(made, rows):
    made.take(rows)
    wait_until(lambda: made.waiting == 0)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("compression", [None, "zstd", "gzip"])
@pytest.mark.parametrize("fsync", ["never", "rotate", "each second"])
def test_what_is_taken_is_on_the_disk_after_close(tmp_path, compression, fsync):
    made = recorder(tmp_path, compression=compression, fsync=fsync, venue="demo")
    rows = [ticker(number) for number in range(1_000)]

    made.take(rows[:300])
    made.take(rows[300:])

    assert made.close()
    assert made.close()
    content = json.loads((made.path / "session.json").read_text())
    ((name, entry),) = content["files"].items()
    data = (made.path / name).read_bytes()
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert (entry["rows"], entry["bytes"]) == (1_000, len(data)) == (made.rows, made.bytes)
    assert content["state"] == "closed"
    assert plain(load(made.path).frame("ticker")) == shown(rows)
    assert verify(made.path).ok
    assert made.told == []
    assert "1,000 rows" in str(made)
    assert made.path.name in made._repr_html_()


def test_a_file_ends_at_midnight_utc_of_the_arrival(tmp_path):
    midnight = (NOON // DAY + 1) * DAY
    made = recorder(tmp_path, fsync="rotate")

    made.take([ticker(n, local_timestamp=midnight + n, timestamp=0) for n in range(-3, 2)])
    made.take([ticker(5, local_timestamp=midnight + DAY)])

    assert made.close()
    names = [name for name in files(made.path) if name != "session.json"]
    assert names == [f"XBTUSDTM_ticker_2024-02-{day}.csv" for day in (26, 27, 28)]
    assert [len((made.path / name).read_text().splitlines()) - 1 for name in names] == [3, 2, 1]
    assert verify(made.path).ok


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_rows_that_were_read_before_midnight_and_given_after_it_go_to_their_day(
    tmp_path, compression
):
    midnight = (NOON // DAY + 1) * DAY
    made = recorder(tmp_path, fsync="rotate", compression=compression)

    made.take([ticker(n, local_timestamp=midnight + n, timestamp=0) for n in (-3, 2)])
    wait_until(lambda: made.rows == 2)
    made.take([ticker(n, "ETHUSDTM", local_timestamp=midnight + n) for n in (-2, -1, 1)])

    assert made.close()
    assert verify(made.path).ok
    stamps = load(made.path).frame("ticker")["local_timestamp"].to_physical()
    assert (stamps - midnight).to_list() == [-3, -2, -1, 1, 2]


def test_each_symbol_and_channel_has_its_file_and_status_one_for_all(tmp_path):
    made = recorder(tmp_path)
    balance = Balance(*[None] * len(Balance._fields))._replace(local_timestamp=NOON)

    made.take(
        [ticker(0), ticker(1, "BTC-USDT"), Trade(1, NOON, "BTC-USDT", 1, "x", None, 1.0, 1.0)]
    )
    made.take([status(1, symbol="XBTUSDTM"), status(2), status(3, symbol="BTC-USDT"), balance])

    assert made.close()
    assert files(made.path) == [
        "BTC-USDT_ticker_2024-02-26.csv", "BTC-USDT_trade_2024-02-26.csv",
        "XBTUSDTM_ticker_2024-02-26.csv", "account_balance_2024-02-26.csv", "session.json",
        "status.csv",
    ]  # fmt: skip
    assert load(made.path).frame("status")["symbol"].to_list() == ["XBTUSDTM", None, "BTC-USDT"]
    assert verify(made.path).ok


def test_symbols_that_differ_in_case_only_share_a_file(tmp_path):
    made = recorder(tmp_path)
    made.take([ticker(0, "ABC"), ticker(1, "abc"), ticker(2, "ABC")])

    assert made.close()
    assert files(made.path) == ["ABC_ticker_2024-02-26.csv", "session.json"]
    session = load(made.path)
    assert session.frame("ticker")["sequence"].to_list() == [1000, 1001, 1002]
    assert session.frame("ticker", "ABC")["sequence"].to_list() == [1000, 1002]


def test_a_folder_that_exists_is_never_written_to(tmp_path):
    first = recorder(tmp_path, start_ns=NOON)
    second = recorder(tmp_path, start_ns=NOON)

    assert second.path.name == f"{first.path.name}-2"
    assert first.close()
    assert second.close()


def test_rows_that_cannot_be_written_are_counted_and_told(tmp_path):
    made = recorder(tmp_path)

    made.take(
        [ticker(0), ticker(1, price=float("nan")), ticker(2, local_timestamp=None), ticker(3)]
    )

    assert made.close()
    assert (made.rows, made.refused) == (2, 2)
    assert set(made.told.events) == {"recording_refused"}
    assert any("Ticker.price cannot be nan" in detail for _, detail in made.told)


def test_rows_that_cannot_be_written_are_missing_in_the_report(tmp_path):
    made = recorder(tmp_path, channels=["ticker", "trade"])
    bad = [ticker(n, price=float("nan")) for n in (1, 2)]
    made.take(
        [ticker(0), *bad, ticker(3), Trade(NOON, NOON + 9, "XBTUSDTM", 1, "", "buy", 1.0, 1.0)]
    )

    assert made.close()
    report = load(made.path).report()
    assert report.channel("ticker").verdict == "INCOMPLETE"
    assert "not recorded (Ticker.price cannot be nan)" in report.channel("ticker").reason
    assert report.channel("trade").verdict == "NOT PROVABLE"
    [loss] = load(made.path).losses
    assert (loss.rows, loss.channel, loss.symbol) == (2, "ticker", "XBTUSDTM")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_row_of_no_time_is_missing_in_the_report_and_costs_no_other(tmp_path, place):
    rows = [ticker(n, **({"local_timestamp": None} if n == place else {})) for n in range(3)]
    made = recorder(tmp_path)
    made.take(rows)

    assert made.close()
    assert (made.rows, made.refused) == (2, 1)
    [loss] = load(made.path).losses
    assert NOON <= loss.began <= loss.ended
    assert load(made.path).report().channel("ticker").verdict == "INCOMPLETE"


def test_while_all_room_is_taken_nothing_is_lost_but_what_finds_none(tmp_path):
    made = recorder(tmp_path, queue_rows=10)
    blocked = made.path / "XBTUSDTM_ticker_2024-02-26.csv"
    blocked.mkdir()
    made.take([ticker(n) for n in range(10)])
    wait_until(lambda: made.stuck)

    for n in range(10, 40):
        made.take([ticker(n)])
        wait_until(lambda n=n: made.dropped == n - 9)
    blocked.rmdir()
    wait_until(lambda: made.waiting == 0)
    made.take([ticker(n) for n in range(40, 45)])

    assert made.close()
    assert (made.rows, made.dropped, made.refused) == (15, 30, 0)
    assert "recording_refused" not in made.told.events
    assert not any("unexpected" in detail for _, detail in made.told)


def test_a_last_row_of_the_stream_ends_the_recording(tmp_path):
    made = recorder(tmp_path)

    made.take([ticker(0), status(1, "stopped")])

    assert made.wait(10)
    assert load(made.path).is_closed


class Disk:
    """Stands in for os.write: accepts this many bytes, then fails."""

    def __init__(self, monkeypatch, folder):
        self.room = None
        self._write = os.write
        self._folder = str(folder)
        monkeypatch.setattr(os, "write", self)

    def __call__(self, handle, data):
        if self.room is None or self._folder not in str(Path(f"/proc/self/fd/{handle}").readlink()):
            return self._write(handle, data)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(handle, data[: self.room])
        self.room -= written
        return written


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@linux
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_full_disk_harms_nothing_and_recording_goes_on_when_there_is_room(
    tmp_path, monkeypatch, compression
):
    disk = Disk(monkeypatch, tmp_path)
    made = recorder(tmp_path, compression=compression)
    rows = [ticker(number) for number in range(30)]
    written(made, rows[:10])
    path = next(made.path.glob("XBT*"))
    before = path.read_bytes()

    disk.room = 20
    made.take(rows[10:20])
    wait_until(lambda: made.error is not None)
    made.take(rows[20:])

    assert path.read_bytes() == before
    assert made.error.errno == errno.ENOSPC
    assert made.told.events == ["recording_failed"]
    assert "No space left" in str(made)
    disk.room = None
    wait_until(lambda: made.error is None)
    assert made.told.events == ["recording_failed", "recording_resumed"]
    assert made.close()
    assert plain(load(made.path).frame("ticker")) == shown(rows)
    assert verify(made.path).ok


@linux
def test_what_finds_no_room_in_memory_is_dropped_counted_and_told(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, tmp_path)
    made = recorder(tmp_path, queue_rows=10)
    disk.room = 0
    made.take([ticker(number) for number in range(8)])
    wait_until(lambda: made.error is not None)

    made.take([ticker(number) for number in range(8, 13)])
    made.take([status(20, "resync")])

    assert made.dropped == 3
    wait_until(lambda: "recording_dropped" in made.told.events)
    disk.room = None
    assert made.close()
    session = load(made.path)
    assert session.frame("ticker")["sequence"].to_list() == list(range(1_000, 1_010))
    assert session.meta["dropped"][0]["rows"] == 3
    (gap,) = session.report().channel("ticker").gaps
    assert (gap.cause, gap.began) == ("not recorded", ticker(10).local_timestamp)
    assert session.frame("status").height == 1


@linux
def test_close_gives_up_in_time_and_says_so(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, tmp_path)
    made = recorder(tmp_path)
    disk.room = 0
    made.take([ticker(0)])

    assert not made.close(timeout=0.2)
    assert made.error.errno == errno.ENOSPC
    assert "are lost" in made.told[-1][1]
    assert json.loads((made.path / "session.json").read_text())["state"] == "recording"


def test_a_folder_that_is_removed_is_made_anew(tmp_path):
    made = recorder(tmp_path)
    written(made, [ticker(0), ticker(1)])

    shutil.rmtree(made.path.rename(tmp_path / "gone"))  # at once, whatever is written meanwhile
    written(made, [ticker(2)])

    assert made.close()
    assert load(made.path).frame("ticker")["sequence"].to_list() == [1002]
    assert verify(made.path).ok
    # A flush in the middle of the removal may have reported a missing folder before that.
    assert any("removed while recording, with 2 rows" in text for _, text in made.told)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_a_small_file_system_that_fills_up_keeps_whole_lines(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=False,
        capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        made = recorder(small)
        rows = [ticker(number) for number in range(10_000)]
        for start in range(0, 10_000, 500):
            written_or_stuck(made, rows[start : start + 500])
        assert made.error.errno == errno.ENOSPC
        assert not made.close(timeout=0.1)
        with pytest.warns(UserWarning, match="not closed"):
            kept = load(made.path).frame("ticker")
        assert kept.height >= 500
        assert plain(kept) == shown(rows[: kept.height])
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def written_or_stuck(made, rows):
    made.take(rows)
    wait_until(lambda: made.waiting == 0 or made.error is not None)


def test_a_callback_that_raises_does_not_end_the_recording(tmp_path):
    def fails(*_):
        raise RuntimeError("no")

    made = Recorder(tmp_path, on_trouble=fails, on_cycle=fails)
    made.take([ticker(0, price=float("inf")), ticker(1)])

    assert made.close()
    assert made.rows == 1


@pytest.mark.parametrize(
    "options", [{"compression": "lzma"}, {"fsync": "often"}, {"queue_rows": 0}], ids=str
)
def test_options_that_mean_nothing_are_refused_before_a_folder_is_made(tmp_path, options):
    with pytest.raises(InvalidInput):
        Recorder(tmp_path / "root", **options)
    assert not (tmp_path / "root").exists()


# For each "n" on stdin, a child that records: it counts up, in held time, and says at each of its
# ticks which row was a second old. It needs a byte of input for each, so that it does not run far
# ahead of whoever kills it. A fork costs a hundredth of an interpreter that begins anew.
VICTIMS = """
import os, sys
from kucoin_research.sessions.writing.recorder import Recorder
from tests.held_time import HeldTime
from tests.unit.rows import ticker

def record():
    with HeldTime() as time:
        made = Recorder(sys.argv[1], symbols=["XBTUSDTM"], channels=["ticker"],
                        compression=sys.argv[2] or None, start_ns=1)
        number, marks = 0, []
        while True:
            made.take([ticker(number + each) for each in range(7)])
            number += 7
            marks.append((time.monotonic(), number))
            while marks[0][0] < time.monotonic() - 1.0:
                print(marks.pop(0)[1], flush=True)
                os.read(0, 1)
            time.pass_by(0.005)

while order := os.read(0, 1):
    if order == b"n":
        if not (child := os.fork()):
            print(os.getpid(), flush=True)
            record()
        _, how = os.waitpid(child, 0)
        print(f"\\nended by {os.WTERMSIG(how)}", flush=True)
"""
AHEAD = 100


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
@pytest.mark.parametrize("compression", ["", "zstd"])
@pytest.mark.timeout(900)
def test_a_killed_recorder_leaves_all_but_the_last_second(tmp_path, compression):
    kills = 200 if os.environ.get("SOAK") == "1" else 12
    words = ["-c", VICTIMS, tmp_path, compression]
    with Process(sys.executable, *words, cwd=Path(__file__).parents[4]) as victims:
        for round_ in range(kills // 2):
            ticks = 1 + 13 * round_ % 29
            victims.tell("n" + "." * (ticks + AHEAD))
            pid = int(victims.line())
            told = [victims.line() for _ in range(ticks)]
            os.kill(pid, signal.SIGKILL)
            while (line := victims.line()) is not None and not line.startswith("ended"):
                told.append(line)
            assert line == f"ended by {signal.SIGKILL}\n", victims.stderr
            sure = int(told[-2])  # the last may be torn, or nothing at all
            folders = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_ctime_ns)
            assert len(folders) == round_ + 1  # a restart makes its own
            check_killed(folders[-1], sure)


def check_killed(folder, sure):
    assert not is_being_recorded(folder)
    with pytest.warns(UserWarning, match="not closed"):
        kept = load(folder).frame("ticker")
    assert kept.height >= sure
    assert plain(kept) == shown([ticker(number) for number in range(kept.height)])
    assert {flaw.kind for flaw in verify(folder).flaws} <= {"state", "torn"}
    repair(folder)
    assert verify(folder).ok
    assert load(folder).frame("ticker").equals(kept)


def test_the_feed_never_waits_for_the_disk(tmp_path):
    made = recorder(tmp_path)
    feeds = [
        threading.Thread(target=made.take, args=([ticker(n)],), daemon=True) for n in range(50)
    ]
    for feed in feeds:
        feed.start()
    for feed in feeds:
        feed.join(5)

    assert not any(feed.is_alive() for feed in feeds)
    assert made.close()
    assert made.rows == 50


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENOENT])
@pytest.mark.parametrize("at", ["root", "session", "manifest"])
def test_a_folder_that_cannot_be_recorded_to_is_named_with_the_reason(
    tmp_path, monkeypatch, code, at
):
    root = tmp_path / "root"
    make = Path.mkdir

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    def refuse_some(path, *arguments, **options):
        if at != "manifest" and (path == root) == (at == "root"):
            raise OSError(code, os.strerror(code), str(path))
        make(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", refuse_some)
    if at == "manifest":
        monkeypatch.setattr(
            "kucoin_research.sessions.writing.manifest_writer.write_manifest", refuse
        )
    with pytest.raises(OSError, match="cannot be recorded to") as told:
        Recorder(root)

    assert type(told.value) is type(OSError(code, ""))
    assert told.value.errno == code
    said = str(told.value)
    assert said.startswith(str(root))
    assert said.endswith(f": {os.strerror(code)}; choose another folder with root=")
