"""Sessions that others have made: nothing outside their folder is read, written or made."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import warnings
import zlib

import polars as pl
import pyarrow as pa
import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput, SessionBroken, SessionUnfinished
from kucoin_research.foundation.regular_files import size_of
from kucoin_research.model.records import Status, Trade
from kucoin_research.sessions.files.compressed_members import members
from kucoin_research.sessions.files.csv_codec import header_of
from kucoin_research.sessions.frame_csv import append_csv
from kucoin_research.sessions.writing.recorder import Recorder
from tests.unit.rows import NOON, ticker
from tests.unit.sessions.strange_folders import DEEDS, attempt

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="a process looks at its memory in /proc"
)

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


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("is_closed", [True, False])
def test_a_file_that_seems_a_terabyte_costs_what_is_written_in_it(tmp_path, compression, is_closed):
    session = record(tmp_path / "sessions", compression=compression, is_closed=is_closed)
    path = trades_of(session)
    written = path.stat().st_size
    os.truncate(path, 1 << 40)
    if size_of(path) > 1 << 20:
        pytest.skip("this file system tells of no holes")

    assert written <= size_of(path) < written + 65_536
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert kr.load(session).frame("trade").height == 40
        assert not kr.verify(session)
        kr.repair(session)
        assert kr.load(session).frame("trade").height == 40
    assert path.stat().st_size < written + 65_536


def test_rows_behind_a_small_hole_are_kept(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 4096)
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"b" * 100)

    assert size_of(path) == (1 << 20) + 100


@linux_only
def test_a_table_that_seems_a_terabyte_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("timestamp,open,high,low,close,volume\n")
    os.truncate(path, 1 << 40)

    with pytest.raises(SessionBroken, match=r"1,099,511,627,776 bytes, which this machine's"):
        kr.load_csv(path)


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


def test_an_archive_is_written_beside_what_was_planted_for_its_draft(tmp_path, outside):
    session = record(tmp_path / "sessions")
    inner = tmp_path / "archive" / "channel=trade" / f"symbol={SYMBOL}" / "date=2024-02-26"
    inner.mkdir(parents=True)
    (inner / ".part.parquet.tmp").symlink_to(outside / "thesis.txt")

    kr.convert(session, tmp_path / "archive")

    assert pl.read_parquet(inner / "part.parquet").height == 40


def test_an_archive_does_not_replace_a_link_that_has_the_name_of_its_file(tmp_path, outside):
    session = record(tmp_path / "sessions")
    inner = tmp_path / "archive" / "channel=trade" / f"symbol={SYMBOL}" / "date=2024-02-26"
    inner.mkdir(parents=True)
    (inner / "part.parquet").symlink_to(outside / "made.parquet")

    with pytest.raises(InvalidInput, match="is there already"):
        kr.convert(session, tmp_path / "archive")


@pytest.mark.parametrize("name", ["session.json.tmp", "session.json", ".recording"])
def test_a_recorder_keeps_its_own_files_apart_from_links(tmp_path, outside, name):
    recorder = Recorder(tmp_path / "sessions", symbols=[SYMBOL], channels=["ticker"])
    (recorder.path / name).unlink(missing_ok=True)
    (recorder.path / name).symlink_to(outside / "thesis.txt")
    recorder.take([ticker(0)])

    assert recorder.close()
    assert kr.load(recorder.path).is_closed


def test_a_mended_file_leaves_its_hard_link_elsewhere_as_it_was(tmp_path):
    session = record(tmp_path / "sessions", is_closed=False)
    path = trades_of(session)
    path.write_bytes(path.read_bytes() + b"torn")
    backup = tmp_path / "backup.csv"
    os.link(path, backup)

    kr.repair(session)

    assert backup.read_bytes().endswith(b"torn")
    assert not path.read_bytes().endswith(b"torn")


def test_a_file_that_becomes_a_link_behind_the_back_of_who_has_loaded_it_is_not_read(
    tmp_path, outside
):
    session = record(tmp_path / "sessions")
    loaded = kr.load(session)
    path = trades_of(session)
    elsewhere = tmp_path / "elsewhere.csv"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)

    with pytest.raises(SessionBroken, match="it is a link, not a file"):
        loaded.frame("trade")
    with pytest.raises(SessionBroken, match="it is a link, not a file"):
        kr.replay(loaded, speed=None).wait_until_done()


def test_a_folder_that_has_the_name_of_the_mark_is_set_aside(tmp_path):
    session = record(tmp_path / "sessions", is_closed=False)
    (session / ".recording").mkdir()
    (session / ".recording" / "x").touch()

    kr.repair(session)

    assert kr.load(session).is_closed


LINE = b"1708948800000000000,1708948800000000001,XBTUSDTM,1,1,buy,1.0,1.0\n"
MOST_SECONDS, MOST_MEGABYTES = 1.0, 200
LONG = 600 if os.environ.get("SOAK") else 250


def put(folder, data, *, suffix=""):
    """Give a session other trades, of which its manifest says that they are as recorded."""
    old = trades_of(folder)
    path = old.with_name(old.name.partition(".csv")[0] + ".csv" + suffix)
    old.unlink()
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        data(path)
    content = json.loads((folder / "session.json").read_bytes())
    entry = content["files"].pop(old.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    entry |= {"bytes": path.stat().st_size, "sha256": digest}
    content["files"][path.name] = entry
    (folder / "session.json").write_text(json.dumps(content))
    return path


def long_line(path):
    with path.open("wb") as file:
        file.write(header_of(Trade) + LINE)
        for _ in range(LONG):
            file.write(b"7" * (1 << 20))
        file.write(b"\n" + LINE)


def packed(unit, size, suffix):
    block = unit * ((1 << 20) // len(unit))
    if suffix == ".gz":
        stream = zlib.compressobj(9, wbits=31)
        parts = [stream.compress(header_of(Trade))]
        parts += [stream.compress(block) for _ in range(size >> 20)]
        return b"".join([*parts, stream.flush()])
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(header_of(Trade))
        for _ in range(size >> 20):
            stream.write(block)
    return sink.getvalue().to_pybytes()


def check_costs(folder):
    costs = {name: attempt(deed, folder) for name, deed in DEEDS.items()}

    assert [cost["wrong"] for cost in costs.values() if cost["wrong"]] == []
    assert [cost for cost in costs.values() if cost["megabytes"] > MOST_MEGABYTES] == []


@linux_only
def test_a_line_of_hundreds_of_megabytes_ends_in_a_sentence_and_takes_little_memory(tmp_path):
    session = record(tmp_path / "sessions")
    name = put(session, long_line).name

    with pytest.raises(SessionBroken, match=f"{name} has blank or cut lines, or one of more"):
        kr.load(session).frame("trade")
    check_costs(session)

    assert (name, 3, "columns") in {each[:3] for each in kr.verify(session).flaws}


@linux_only
@pytest.mark.parametrize(
    ("first", "unit"),
    [(b"", b"\n"), (b"timestamp", b"\n"), (b"local_timestamp,symbol", b"1,\n")],
    ids=["blank", "one column", "two columns"],
)
def test_a_repair_of_a_million_lines_of_nothing_takes_little_time(tmp_path, first, unit):
    session = record(tmp_path / "sessions")
    trades_of(session).write_bytes(first + b"\n" + unit * (1 << 20))
    (session / "session.json").unlink()

    cost = attempt(DEEDS["repair"], session)

    assert cost["wrong"] is None
    assert cost["cpu"] < MOST_SECONDS
    assert not kr.verify(session)


@linux_only
@pytest.mark.parametrize(
    "unit", [b"\0", b"\n", b'"\n', LINE], ids=["zeros", "lines", "quotes", "rows"]
)
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_bomb_is_damage_and_takes_little_memory(tmp_path, unit, suffix):
    session = record(tmp_path / "sessions")
    name = put(session, packed(unit, 200 << 20, suffix), suffix=suffix).name

    check_costs(session)

    assert name in {flaw.file for flaw in kr.verify(session).flaws}


@linux_only
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_an_honest_file_of_one_member_loads_by_its_beginning_only(tmp_path, suffix):
    number = pl.int_range(500_000, eager=True)
    frame = pl.DataFrame(
        {
            "timestamp": NOON + number * 7,
            "local_timestamp": NOON + number * 7 + 1,
            "symbol": [SYMBOL] * 500_000,
            "sequence": number,
            "trade_id": (number * 7_919 % 1_000_003).cast(pl.String),
            "side": ["buy"] * 500_000,
            "price": number * 0.5,
            "size": number * 0.25,
        }
    )
    text = frame.write_csv().encode()
    session = record(tmp_path / "sessions")
    data = gzip.compress(text, 1) if suffix == ".gz" else pa.compress(text, "zstd", asbytes=True)
    put(session, data, suffix=suffix)

    cost = attempt(kr.load, session)

    assert cost["wrong"] is None
    assert cost["megabytes"] < len(text) >> 21  # half of it
    assert kr.load(session).frame("trade")["sequence"].equals(number.alias("sequence"))


def test_a_quote_in_a_header_does_not_swallow_the_rows_unseen(tmp_path):
    session = record(tmp_path / "sessions")
    name = put(session, header_of(Trade).replace(b"price", b'"price') + LINE * 3).name

    with pytest.warns(SessionUnfinished, match=f"{name}: its columns are none"):
        loaded = kr.load(session)

    assert loaded.report().channel("trade").verdict is kr.Verdict.INCOMPLETE
    kr.replay(loaded, speed=None).wait_until_done()


def test_thousands_of_names_that_are_nobodys_are_summed_up(tmp_path):
    session = record(tmp_path / "sessions")
    manifest = session / "session.json"
    content = json.loads(manifest.read_bytes())
    content["files"] |= {str(number): {} for number in range(5_000)}
    manifest.write_text(json.dumps(content))

    with pytest.warns(SessionUnfinished, match="4,900 further files that are none of a session"):
        loaded = kr.load(session)

    assert len(loaded.known_damage) < 2_000


def test_text_that_polars_would_decompress_is_text(tmp_path):
    session = record(tmp_path / "sessions")
    bomb = gzip.compress(header_of(Trade) + LINE * 1_000)

    name = put(session, bomb).name

    with pytest.warns(SessionUnfinished, match=f"{name}: its columns are none"):
        assert kr.load(session).frame("trade").height == 0
    assert name in {flaw.file for flaw in kr.verify(session).flaws}


@pytest.mark.parametrize("text", [b"\n" * 3_000_000, b"\n,\n" * 500_000], ids=["blank", "cut"])
def test_lines_that_are_no_rows_make_no_rows_of_nothing(tmp_path, text):
    session = record(tmp_path / "sessions")
    put(session, header_of(Trade) + LINE + text)
    loaded = kr.load(session)

    with pytest.raises(SessionBroken, match="has blank or cut lines"):
        loaded.frame("trade")
    with pytest.raises(SessionBroken, match="too few fields"):
        kr.replay(loaded, speed=None)


def test_rows_that_have_all_arrived_at_once_are_not_gathered_without_end(tmp_path):
    session = record(tmp_path / "sessions")
    put(session, header_of(Trade) + LINE * 400_000)

    with pytest.raises(SessionBroken, match=r"more than 200,000 rows of one arrival"):
        kr.replay(kr.load(session), speed=None).wait_until_done()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_bomb_from_another_program_is_refused(tmp_path, suffix):
    path = tmp_path / f"x.csv{suffix}"
    path.write_bytes(packed(b"\n", 50 << 20, suffix))

    with pytest.raises(SessionBroken, match="unpacks to far more"):
        kr.load_csv(path)


def test_a_file_that_is_compressed_twice_is_refused(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(gzip.compress(header_of(Trade) + LINE)))

    with pytest.raises(SessionBroken, match="compressed twice"):
        kr.load_csv(path)


class Counted(io.BytesIO):
    """Count how often it is read."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize(
    ("compression", "beginning"),
    [("gzip", b"\x1f\x8b\x08\0\0\0\0\0"), ("zstd", b"\x28\xb5\x2f\xfd")],
)
def test_a_file_with_many_beginnings_of_members_is_searched_a_bounded_number_of_times(
    compression, beginning
):
    data = beginning * 200_000
    file = Counted(data)

    assert list(members(file, compression, len(data))) == []
    assert file.reads < 50_000


@pytest.mark.parametrize("target", ["thesis.txt", "made.csv"])
def test_appended_rows_go_through_no_link(tmp_path, outside, target):
    (tmp_path / "rows.csv").symlink_to(outside / target)

    written = append_csv(pl.DataFrame({"a": [1]}), tmp_path / "rows.csv")

    assert written.name == "rows-2.csv"
    assert written.read_text() == "a\n1\n"
