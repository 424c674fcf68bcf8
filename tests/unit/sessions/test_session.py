import gzip
import hashlib
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import (
    InvalidInput,
    SessionBroken,
    SessionBusy,
    SessionMissing,
    SessionUnfinished,
    UnknownChannel,
    UnknownSymbol,
)
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import CHANNELS, Candle, Level2, Status, Trade, columns_of
from kucoin_research.sessions.files.compressed_members import members
from kucoin_research.sessions.files.compression import open_whole, pack
from kucoin_research.sessions.writing.recorder import Recorder
from tests.conftest import wait_until
from tests.unit.rows import DAY, NOON, plain, shown, ticker

# Bytes between two places at which a file is cut, besides those around the ends of rows.
STRIDE = 1 if os.environ.get("SOAK") else 3

XBT = Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0,
)  # fmt: skip


def recorded(root, rows, *, channels=("ticker",), symbols=("XBTUSDTM",), **options):
    made = Recorder(root, symbols=symbols, channels=channels, instruments=[XBT], **options)
    made.take(rows)
    assert made.close()
    return made.path


def level2(number, sequence, *, is_snapshot=False):
    return Level2(NOON, NOON + number, "XBTUSDTM", sequence, is_snapshot, "buy", 5.0, 1.0)


def status(
    number, event, *, channel=None, symbol=None, detail="", first=None, last=None, since=None
):
    began = NOON + (number if since is None else since)
    return Status(began, NOON + number, symbol, event, channel, detail, first, last)


def unclosed(path):
    manifest = path / "session.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"state": "recording", "end": None, "files": {}}))


def csv(path, channel="ticker"):
    return next(path.glob(f"*_{channel}_*"))


def test_a_session_tells_what_it_is(tmp_path):
    session = kr.load(recorded(tmp_path, [ticker(0)], start_ns=NOON, venue="demo"))

    assert session.channels == ["ticker"]
    assert session.symbols == ["XBTUSDTM"]
    assert session.instruments == {"XBTUSDTM": XBT}
    assert session.is_closed
    assert session.notes == ()
    assert str(session.start) == "2024-02-26 12:27:16.957000+00:00"
    assert session.end > session.start
    assert session.meta["venue"] == "demo"
    assert session.path.parent == tmp_path
    assert "XBTUSDTM" in session._repr_html_()


def test_rows_of_all_symbols_and_days_come_in_order_of_arrival(tmp_path):
    rows = [ticker(n, s, local_timestamp=NOON + n * DAY // 2) for n, s in enumerate("ABABA")]
    session = kr.load(recorded(tmp_path, rows, symbols="AB"))

    assert plain(session.frame("ticker")) == shown(rows)
    assert plain(session.frame("ticker", "B")) == shown(rows[1::2])
    assert session.scan("ticker").select(pl.len()).collect().item() == 5
    assert session.rows == {"ticker": 5}


def test_candles_of_all_intervals_share_a_file_and_are_told_apart(tmp_path):
    rows = [
        Candle(NOON, NOON + n, "XBTUSDTM", interval, 1.0, 2.0, 0.5, 1.5, 10.0, None)
        for n, interval in enumerate(["1min", "5min", "1min"])
    ]
    channels = ["candle:1min", "candle:5min"]
    session = kr.load(recorded(tmp_path, rows, channels=channels))

    assert session.channels == channels
    assert session.frame("candle").height == 3
    assert session.frame("candle:5min").height == 1
    (session.path / "session.json").unlink()
    with pytest.warns(SessionUnfinished, match="missing"):
        assert kr.load(session.path).channels == channels


def test_what_was_not_recorded_is_named_with_what_was(tmp_path):
    session = kr.load(recorded(tmp_path, [ticker(0)]))

    with pytest.raises(UnknownChannel, match="there is: ticker"):
        session.frame("trade")
    with pytest.raises(UnknownSymbol, match="there is: XBTUSDTM"):
        session.frame("ticker", "ETHUSDTM")
    with pytest.raises(SessionMissing, match="no such folder"):
        kr.load(tmp_path / "none")
    with pytest.raises(SessionMissing, match=session.path.name):
        kr.load(tmp_path)
    with pytest.raises(InvalidInput):
        kr.load([])
    with pytest.raises(InvalidInput):
        kr.load(5)


def test_several_sessions_read_as_one_in_order_of_arrival(tmp_path):
    first = recorded(tmp_path, [ticker(0), ticker(2)])
    second = recorded(tmp_path, [ticker(1), ticker(2), ticker(3)])

    session = kr.load([first, second])

    assert session.frame("ticker")["sequence"].to_list() == [1000, 1001, 1002, 1002, 1003]
    assert session.verify().ok
    assert session.paths == (first, second)


READERS = [
    kr.load,
    lambda paths: kr.replay(paths, paused=True),
    kr.serve,
    lambda paths: kr.convert(paths, Path(paths[0]).parent / "archive"),
]


@pytest.mark.parametrize("read", READERS, ids=["load", "replay", "serve", "convert"])
@pytest.mark.parametrize("spelled", ["", "/", "/../{}", "/session.json", "/{csv}", " linked"])
def test_a_session_that_is_named_twice_is_refused_however_it_is_spelled(tmp_path, read, spelled):
    path = recorded(tmp_path, [ticker(0)])
    again = f"{path}{spelled.format(path.name, csv=csv(path).name)}"
    if spelled == " linked":
        Path(again).symlink_to(path, target_is_directory=True)
    other = recorded(tmp_path, [ticker(1)])

    with pytest.raises(InvalidInput, match=f"{re.escape(str(path))} was named twice"):
        read([path, other, again])
    assert not (tmp_path / "archive").exists()


def as_it_is(path):
    """Leave a copy as it is."""


def without_manifest(path):
    (path / "session.json").unlink()


def compressed(path):
    unclosed(path)  # whose session.json would list the file as it was
    with csv(path).open("rb") as file, gzip.open(f"{csv(path)}.gz", "wb") as target:
        target.write(file.read())
    csv(path).unlink()


def shortened(path):
    lines = csv(path).read_bytes().splitlines(keepends=True)
    csv(path).write_bytes(b"".join(lines[:-1]))


def mended(path):
    without_manifest(path)
    kr.repair(path)


@pytest.mark.filterwarnings("ignore::kucoin_research.errors.SessionUnfinished")
@pytest.mark.parametrize(
    "change",
    [as_it_is, without_manifest, unclosed, shortened, mended, compressed],
)
def test_copies_of_a_session_in_two_folders_are_refused(tmp_path, change):
    path = recorded(tmp_path / "mine", [ticker(0), ticker(1)])
    copy = Path(shutil.copytree(path, tmp_path / "backup"))
    change(copy)
    other = recorded(tmp_path / "mine", [ticker(2)])

    for paths in ([path, other, copy], [copy, path]):
        with pytest.raises(InvalidInput, match=f"{paths[-1].name} and .* hold the same rows"):
            kr.load(paths)


def test_recordings_that_share_some_rows_are_no_copies(tmp_path):
    midnight = NOON - NOON % DAY + DAY
    both = [ticker(n, local_timestamp=midnight + n) for n in range(3)]
    before = [ticker(5, local_timestamp=midnight - n) for n in (2, 1)]
    longer = recorded(tmp_path, [*before, *both])
    shorter = recorded(tmp_path, [before[1], *both])
    # Two parts of one session, whose status rows are the same.
    told = status(0, "connected")
    parts = [
        recorded(tmp_path, [told, row], channels=[channel])
        for channel, row in [("ticker", ticker(0)), ("level2", level2(1, 5, is_snapshot=True))]
    ]
    empty = [recorded(tmp_path, []) for _ in range(2)]

    assert kr.load([longer, shorter]).frame("ticker").height == 9
    assert kr.load(parts).channels == ["ticker", "level2"]
    assert kr.load(empty).frame("ticker").is_empty()


def test_a_running_recording_can_be_read_without_a_warning_and_not_repaired(tmp_path):
    made = Recorder(tmp_path, symbols=["XBTUSDTM"], channels=["ticker"])
    try:
        session = kr.load(made.path)

        assert session.frame("ticker").height == 0
        assert "it is being recorded" in session.notes[0]
        assert kr.verify(made.path).ok
        with pytest.raises(SessionBusy):
            kr.repair(made.path)
    finally:
        assert made.close()


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_a_file_cut_anywhere_loads_and_holds_no_row_that_was_not_recorded(tmp_path, compression):
    rows = [
        Trade(NOON, NOON + n, "XBTUSDTM", 1_000 + n, text, "buy", 80000.5, 12345.25)
        for n, text in enumerate(["18", 'a,"b"\n', "", "ü\n\n", "123"])
    ]
    made = Recorder(
        tmp_path, symbols=["XBTUSDTM"], channels=["trade"], compression=compression
    )  # fmt: skip
    made.take(rows)
    assert made.close()
    path = csv(made.path, "trade")
    data = path.read_bytes()

    whole = prefixes(data, rows)
    ends = [len(each) for each in whole]
    for cut in range(len(data)):
        if cut % STRIDE and not any(abs(cut - end) <= 1 for end in ends):
            continue
        path.write_bytes(data[:cut])
        unclosed(made.path)
        with pytest.warns(SessionUnfinished):
            kept = plain(kr.load(made.path).frame("trade"))
        assert kept == shown(rows[: len(kept)])
        is_torn = not compression and data[:cut] not in whole
        told = kr.verify(made.path).flaws
        assert {flaw.kind for flaw in told} >= ({"torn"} if is_torn else {"state"})


def prefixes(data, rows):
    from kucoin_research.sessions.files.csv_codec import encode, header_of

    header = header_of(Trade)
    ends = [len(header + encode(Trade, rows[:count]).lines) for count in range(len(rows) + 1)]
    return {data[:end] for end in [0, *ends]}


def test_a_line_that_cannot_be_read_is_an_error_that_leads_to_verify(tmp_path):
    path = recorded(tmp_path, [ticker(0), ticker(1)])
    csv(path).write_text(csv(path).read_text().replace("80001.5", "8oo01.5"))
    unclosed(path)

    with pytest.warns(SessionUnfinished), pytest.raises(SessionBroken, match="verify names it"):
        kr.load(path).frame("ticker")


def test_a_file_with_other_columns_is_read_as_far_as_it_can_be_and_told(tmp_path):
    path = recorded(tmp_path, [ticker(0)])
    csv(path).write_text("timestamp,local_timestamp,symbol,price,novel\n1,2,XBTUSDTM,5.0,x\n")
    unclosed(path)

    with pytest.warns(SessionUnfinished):
        session = kr.load(path)

    assert session.frame("ticker")["price"].to_list() == [5.0]
    assert any("left out: novel" in note for note in session.notes)


def test_the_report_is_rebuilt_with_gaps_outages_and_verdicts(tmp_path):
    rows = [
        status(0, "connected"),
        level2(1, 10, is_snapshot=True),
        level2(2, 11),
        ticker(3),
        status(20, "gap", channel="level2", symbol="XBTUSDTM", first=12, last=14, since=2,
               detail="3 missing sequence numbers, 12 to 14 (disconnected for 0.1 s)"),
        level2(21, 20, is_snapshot=True),
        status(30, "disconnected"),
        status(40, "gap", channel="ticker", symbol="XBTUSDTM", since=30,
               detail="disconnected for 0.1 s"),
        status(41, "connected"),
        status(50, "broken", channel="ticker", symbol="XBTUSDTM"),
    ]  # fmt: skip
    report = kr.load(recorded(tmp_path, rows, channels=["ticker", "level2"])).report()

    book = report.channel("level2")
    assert (book.rows, book.first_sequence, book.last_sequence) == (3, 10, 20)
    assert book.gaps == (kr.Gap("disconnected", 12, 14, NOON + 2, NOON + 20),)
    assert book.verdict == "INCOMPLETE"
    tick = report.channel("ticker")
    assert tick.gaps == (kr.Gap("disconnected", None, None, NOON + 30, NOON + 40),)
    assert tick.broken == 1
    assert report.reconnects == 1
    assert "INCOMPLETE" in str(report)


def test_a_book_without_gaps_is_complete(tmp_path):
    rows = [level2(1, 10, is_snapshot=True), level2(2, 11), level2(3, 12)]

    report = kr.load(recorded(tmp_path, rows, channels=["level2"])).report()

    assert report.verdict == "COMPLETE"


NEXT_YEAR = re.compile(r"^(\d+),(\d+)")


def spoiled(tmp_path, change, rows=None, channel="ticker"):
    path = recorded(tmp_path, rows or [ticker(n) for n in range(5)], channels=[channel])
    file = csv(path, channel)
    lines = file.read_text().splitlines(keepends=True)
    change(lines)
    file.write_text("".join(lines))
    return [(flaw.kind, flaw.line) for flaw in kr.verify(path).flaws], file.name, path


def test_a_changed_byte_is_found_by_the_hash(tmp_path):
    found, name, path = spoiled(
        tmp_path, lambda lines: lines.insert(3, lines.pop(3).replace("5.0", "6.0"))
    )

    assert found == [("hash", None)]
    assert name in str(kr.verify(path))


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (lambda lines: lines.pop(2), ("count", None)),
        (lambda lines: lines.append("x"), ("torn", None)),
        (lambda lines: lines.insert(0, lines.pop(0).replace("price", "prize")), ("header", 1)),
        (lambda lines: lines.insert(3, lines.pop(3).replace(",", "", 1)), ("columns", 4)),
        (lambda lines: lines.insert(3, "\n"), ("columns", 4)),
        (lambda lines: lines.insert(4, lines.pop(4).replace("buy", "bid")), ("value", 5)),
        (lambda lines: lines.insert(2, lines.pop(2).replace("80001.5", "nan")), ("value", 3)),
        (lambda lines: lines.insert(2, lines.pop(2).replace("XBT", "ETH")), ("symbol", 3)),
        (lambda lines: lines.insert(2, lines.pop(3)), ("order", 4)),
        (
            lambda lines: lines.append(NEXT_YEAR.sub(r"\1,1909000000000000000", lines[5])),
            ("day", 7),
        ),
    ],
    ids=["row gone", "torn", "header", "column", "blank", "value", "nan", "symbol", "order", "day"],
)
def test_verify_names_the_file_and_the_line(tmp_path, change, flaw):
    found, name, path = spoiled(tmp_path, change)

    assert flaw in found
    assert all(each.file == name for each in kr.verify(path).flaws)


def test_lines_are_counted_past_line_breaks_within_text(tmp_path):
    rows = [Trade(NOON, NOON + n, "XBTUSDTM", n, "a\nb", "buy", 1.0, 1.0) for n in range(3)]

    found, _, _ = spoiled(
        tmp_path, lambda lines: lines.append(lines.pop().replace("buy", "bid")), rows, "trade"
    )

    assert ("value", 6) in found


def test_book_sequences_must_rise_and_holes_that_no_gap_tells_are_remarked(tmp_path):
    rows = [
        level2(1, 10, is_snapshot=True), level2(2, 11), level2(3, 14), level2(4, 13),
        level2(5, 20), status(6, "gap", channel="level2", symbol="XBTUSDTM", first=15, last=19),
    ]  # fmt: skip

    found = kr.verify(recorded(tmp_path, rows, channels=["level2"]))

    assert [(flaw.kind, flaw.line) for flaw in found.flaws] == [("sequence", 5)]
    (remark,) = found.remarks
    assert remark.line == 4
    assert "3 sequence numbers in 2 places" in remark.detail


def test_files_that_are_missing_or_unlisted_are_named(tmp_path):
    path = recorded(tmp_path, [ticker(0), ticker(1, "ETHUSDTM")])
    csv(path).rename(path / "SOLUSDTM_ticker_2024-02-26.csv")

    assert {flaw.kind for flaw in kr.verify(path).flaws} >= {"missing", "unlisted"}


def test_equal_arrivals_are_sound_and_earlier_ones_are_not(tmp_path):
    """As a replay of two recordings that overlap has, recorded again."""
    rows = [ticker(n, local_timestamp=NOON + each) for n, each in enumerate([0, 5, 5, 5, 7])]
    assert kr.verify(recorded(tmp_path / "equal", rows)).ok

    rows = [ticker(n, local_timestamp=NOON + each) for n, each in enumerate([0, 5, 4, 7])]
    (flaw,) = kr.verify(recorded(tmp_path / "earlier", rows)).flaws
    assert (flaw.kind, flaw.line) == ("order", 4)


def test_a_replay_of_two_overlapping_recordings_recorded_again_is_sound(tmp_path):
    first = recorded(tmp_path / "a", [ticker(n) for n in range(5)])
    second = recorded(tmp_path / "b", [ticker(n) for n in range(2, 9)])
    with kr.replay([first, second], speed=None, paused=True) as replay:
        made = replay.record(tmp_path / "again")
        replay.resume()
        assert replay.wait_until_done(60)

    assert kr.load(made.path).frame("ticker").height == 12
    assert kr.verify(made.path).ok


def edited(path, change):
    manifest = path / "session.json"
    content = json.loads(manifest.read_text())
    change(content, content["files"][csv(path, "level2").name])
    manifest.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda content, entry: content.update(rows=80), "INCOMPLETE"),
        (lambda content, entry: content.update(rows="81"), "INCOMPLETE"),
        (lambda content, entry: content.pop("rows"), "INCOMPLETE"),
        (lambda content, entry: content.update(dropped="none"), "INCOMPLETE"),
        (lambda content, entry: content.update(dropped=[{"rows": 1}]), "INCOMPLETE"),
        (lambda content, entry: content.update(files={}), "INCOMPLETE"),
        (lambda content, entry: content["files"].popitem(), "INCOMPLETE"),
        (lambda content, entry: content.update(symbols=5), "INCOMPLETE"),
        (lambda content, entry: content.update(channels=["level2", "trade", 5]), "INCOMPLETE"),
        (lambda content, entry: entry.update(rows="40"), "INCOMPLETE"),  # nor the rows in all
        (lambda content, entry: entry.update(bytes=1.5), "NOT PROVABLE"),
        (lambda content, entry: entry.pop("sha256"), "NOT PROVABLE"),
        (lambda content, entry: entry.update(symbol=5), "NOT PROVABLE"),
    ],
)
def test_a_manifest_that_cannot_be_compared_with_is_told_everywhere(tmp_path, change, verdict):
    """Of the whole session where it concerns that, else of the one channel."""
    path = edited(book(tmp_path), change)

    for _ in range(2):
        assert not kr.verify(path).ok
        with pytest.warns(SessionUnfinished):
            session = kr.load(path)
        report = session.report()
        assert report.channel("level2").verdict == "INCOMPLETE"
        assert report.channel("trade").verdict == verdict
        kr.repair(path)
    assert kr.repair(path).actions == ()


def test_repair_cuts_the_tail_closes_the_session_and_keeps_the_originals(tmp_path):
    path = recorded(tmp_path, [ticker(0), ticker(1)])
    file = csv(path)
    sound = file.read_bytes()
    torn = sound + b"170895043695700"
    file.write_bytes(torn)
    unclosed(path)
    manifest = (path / "session.json").read_bytes()

    done = kr.repair(path)

    assert "cut 15 torn bytes" in str(done)
    assert file.read_bytes() == sound
    assert (path / f"{file.name}.orig").read_bytes() == torn
    assert (path / "session.json.orig").read_bytes() == manifest
    assert kr.verify(path).ok
    assert kr.load(path).end_ns == ticker(1).local_timestamp
    assert kr.repair(path).actions == ()


def test_repair_makes_a_missing_manifest_anew(tmp_path):
    path = recorded(tmp_path, [ticker(0), ticker(1, "BTC-USDT"), status(2, "connected")])
    (path / "session.json").unlink()

    kr.repair(path)

    # Nobody knows any more whether other files were recorded.
    with pytest.warns(SessionUnfinished, match="nothing tells whether all that was recorded"):
        session = kr.load(path)
    flaws = [(flaw.file, flaw.kind) for flaw in kr.verify(path).flaws]
    assert flaws == [("session.json", "damage")]
    assert session.report().verdict == "INCOMPLETE"
    assert kr.repair(path).actions == ()
    assert session.symbols == ["BTC-USDT", "XBTUSDTM"]
    assert session.channels == ["ticker"]
    assert session.start_ns == ticker(0).local_timestamp or session.start_ns == NOON + 2


def book(tmp_path, count=40, **options):
    rows = [level2(n, 10 + n, is_snapshot=n == 0) for n in range(count)]
    trades = [Trade(NOON, NOON + n, "XBTUSDTM", n, str(n), "buy", 1.0, 1.0) for n in range(count)]
    rows += [*trades, status(1, "connected")]
    return recorded(tmp_path, rows, channels=["level2", "trade"], **options)


def halve(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def take_out_the_middle(file):
    data = file.read_bytes()
    lines = data.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:14] + lines[28:]))


def change_a_byte(file):
    data = file.read_bytes()
    file.write_bytes(data[:-4] + b"7" + data[-3:])


def take_out_ten_lines(file):
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-10]))


def double(file):
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines + lines[-1:]))


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "killed"])
@pytest.mark.parametrize("harm", [halve, take_out_the_middle, change_a_byte, take_out_ten_lines])
def test_repair_notes_what_is_not_as_it_was_recorded(tmp_path, harm, is_closed):
    path = book(tmp_path)
    if not is_closed:
        manifest = json.loads((path / "session.json").read_text())
        (path / "session.json").write_text(json.dumps(manifest | {"state": "recording"}))
    files = json.loads((path / "session.json").read_text())["files"]
    file = csv(path, "level2")
    harm(file)

    done = kr.repair(path)

    (noted,) = json.loads((path / "session.json").read_text())["damage"]
    assert noted["file"] == file.name
    assert {key: noted[key] for key in ("rows", "bytes", "sha256")} == {
        key: files[noted["file"]][key] for key in ("rows", "bytes", "sha256")
    }
    assert noted["bytes_found"] == file.stat().st_size
    assert "session.json tells it from now on" in str(done)
    for _ in range(2):  # another repair keeps what the first has noted
        assert "damage" in {flaw.kind for flaw in kr.verify(path).flaws}
        with pytest.warns(SessionUnfinished, match=file.name):
            session = kr.load(path)
        assert any(file.name in note for note in session.notes)
        entry = session.report().channel("level2")
        assert entry.verdict == "INCOMPLETE"
        assert file.name in entry.reason
        assert session.report().channel("trade").verdict == "NOT PROVABLE"
        assert kr.repair(path).actions == ()


def test_repair_tells_how_many_rows_are_lost(tmp_path):
    path = book(tmp_path)
    take_out_ten_lines(csv(path, "trade"))

    assert "10 of 40 rows are lost" in str(kr.repair(path))
    with pytest.warns(SessionUnfinished, match="10 of 40 rows are lost"):
        report = kr.load(path).report()
    assert "10 of 40 rows are lost" in report.channel("trade").reason


def test_repair_notes_a_file_that_is_gone_and_rows_that_were_added(tmp_path):
    path = book(tmp_path)
    csv(path, "trade").unlink()
    double(csv(path, "level2"))

    kr.repair(path)

    content = json.loads((path / "session.json").read_text())
    assert {each["what"] for each in content["damage"]} == {"missing", "added"}
    assert content["rows"] == 42
    with pytest.warns(SessionUnfinished, match="1 row more than were recorded"):
        report = kr.load(path).report()
    assert report.channel("trade").verdict == "INCOMPLETE"
    assert kr.repair(path).actions == ()


def test_a_killed_recording_that_went_on_after_its_manifest_is_not_called_damaged(tmp_path):
    path = book(tmp_path)
    content = json.loads((path / "session.json").read_text())
    for name, entry in content["files"].items():
        lines = (path / name).read_bytes().splitlines(keepends=True)
        earlier = b"".join(lines[: len(lines) // 2 + 1])
        digest = hashlib.sha256(earlier).hexdigest()
        entry |= {"rows": len(lines) // 2, "bytes": len(earlier), "sha256": digest}
    text = json.dumps(content | {"state": "recording", "end": None})
    (path / "session.json").write_text(text)
    with csv(path, "level2").open("ab") as file:
        file.write(b"17")

    kr.repair(path)

    session = kr.load(path)
    assert "damage" not in session.meta
    assert session.notes == ()
    assert session.report().channel("level2").verdict == "COMPLETE"
    assert kr.verify(path).ok


def test_a_stray_quote_does_not_make_repair_cut_what_was_recorded(tmp_path):
    path = book(tmp_path)
    file = csv(path, "level2")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[3] = b'"' + lines[3][1:]
    spoiled = b"".join(lines)
    file.write_bytes(spoiled + b"17")

    assert ("quote", 4) in {(flaw.kind, flaw.line) for flaw in kr.verify(path).flaws}
    assert "cut 2 torn bytes" in str(kr.repair(path))

    assert file.read_bytes() == spoiled
    assert {flaw.kind for flaw in kr.verify(path).flaws} >= {"quote", "damage"}
    assert kr.repair(path).actions == ()


def test_a_stray_quote_among_many_lines_that_no_manifest_knows_is_no_torn_tail(tmp_path):
    path = recorded(tmp_path, [ticker(n) for n in range(2_000)])
    (path / "session.json").unlink()
    file = csv(path)
    spoiled = file.read_bytes().replace(b"\n1", b'\n"', 1)
    file.write_bytes(spoiled + b"17")

    assert "cut 2 torn bytes" in str(kr.repair(path))

    assert file.read_bytes() == spoiled
    assert ("quote", 2) in {(flaw.kind, flaw.line) for flaw in kr.verify(path).flaws}


def flipped(path, at=3, by=b'"'):
    """Flip the first byte of a line."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[at] = by + lines[at][1:]
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("text", "has_manifest"),
    [("7", True), ("7", False), ("a,b", True), ("a,b", False), ('a,"b"\n', True)],
)
def test_after_a_repair_a_stray_quote_costs_one_line(tmp_path, text, has_manifest):
    rows = [Trade(NOON, NOON + n, "XBTUSDTM", n, text, "buy", 1.0, 1.0) for n in range(3_000)]
    path = recorded(tmp_path, rows, channels=["trade"])
    flipped(csv(path, "trade"), at=1)
    if not has_manifest:
        (path / "session.json").unlink()

    kr.repair(path)

    with pytest.warns(SessionUnfinished):
        session = kr.load(path)
    assert plain(session.frame("trade")) == shown(rows[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SessionUnfinished)
        report = session.report()
        with kr.replay(session, speed=None) as replay:
            assert replay.wait_until_done(60)
            assert plain(replay.frame("trade")) == shown(rows[1:])
            assert replay.report() == report
        assert kr.convert(session, tmp_path / "archive")
    assert report.channel("trade").verdict == "INCOMPLETE"
    assert kr.repair(path).actions == ()


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_header_with_another_column_is_told_before_anybody_verifies(tmp_path, compression):
    path = book(tmp_path, compression=compression)
    file = csv(path, "level2")
    with open_whole(file, file.stat().st_size, compression) as opened:
        data = opened.read()
    file.write_bytes(pack(data.replace(b",price,", b",prize,", 1), compression))
    if compression:
        edited(path, lambda _, entry: entry.update(bytes=file.stat().st_size))

    with pytest.warns(SessionUnfinished, match="names other columns than were recorded"):
        session = kr.load(path)

    assert session.report().channel("level2").verdict == "INCOMPLETE"
    assert session.report().channel("trade").verdict == "NOT PROVABLE"


def test_the_columns_that_another_version_recorded_are_no_damage(tmp_path):
    path = recorded(tmp_path, [ticker(n) for n in range(3)])
    file = csv(path)
    lines = [line.rsplit(b",", 1)[0] + b"\n" for line in file.read_bytes().splitlines()]
    file.write_bytes(b"".join(lines))
    content = json.loads((path / "session.json").read_text())
    content["columns"]["ticker"].pop()
    (entry,) = content["files"].values()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    entry |= {"bytes": file.stat().st_size, "sha256": digest}
    (path / "session.json").write_text(json.dumps(content))

    session = kr.load(path)

    assert session.frame("ticker")["best_ask_size"].to_list() == [None] * 3
    assert session.report().channel("ticker").verdict == "NOT PROVABLE"
    assert kr.verify(path).ok


@pytest.mark.parametrize("harm", [halve, change_a_byte, take_out_ten_lines, double, Path.unlink])
def test_a_file_that_is_restored_is_no_longer_called_damaged(tmp_path, harm):
    path = book(tmp_path)
    file = csv(path, "level2")
    sound, before = file.read_bytes(), json.loads((path / "session.json").read_text())
    harm(file)
    kr.repair(path)
    file.write_bytes(sound)
    assert any("another repair withdraws" in flaw.detail for flaw in kr.verify(path).flaws)

    done = kr.repair(path)

    assert f"{file.name}: it is again as it was recorded" in str(done)
    content = json.loads((path / "session.json").read_text())
    assert "damage" not in content
    assert content["files"] == before["files"]
    assert content["rows"] == before["rows"]
    assert kr.verify(path).ok
    assert kr.load(path).report().channel("level2").verdict == "COMPLETE"
    assert kr.repair(path).actions == ()


@pytest.mark.parametrize("channel", ["trade", "level2", "status"])
def test_an_unlisted_file_of_this_very_session_makes_its_channel_incomplete(tmp_path, channel):
    """Also where the rows in all add up without it."""
    path = book(tmp_path)

    def unlist(content, _):
        (name,) = [name for name, entry in content["files"].items() if entry["channel"] == channel]
        content["rows"] -= content["files"].pop(name)["rows"]

    edited(path, unlist)

    for _ in range(2):
        with pytest.warns(SessionUnfinished, match="does not list it"):
            report = kr.load(path).report()
        assert report.channel("level2" if channel == "status" else channel).verdict == "INCOMPLETE"
        kr.repair(path)
    assert kr.repair(path).actions == ()


def test_an_unlisted_file_is_named_once(tmp_path):
    path = edited(book(tmp_path), lambda content, _: content["files"].clear())

    names = [flaw.file for flaw in kr.verify(path).flaws if flaw.kind == "unlisted"]

    assert sorted(names) == sorted(file.name for file in path.glob("*.csv"))


def test_damage_of_another_version_or_hand_is_told_as_far_as_it_is_understood(tmp_path):
    path = book(tmp_path)
    content = json.loads((path / "session.json").read_text())
    content["damage"] = [{"what": "burnt", "rows": "many"}, 5]
    (path / "session.json").write_text(json.dumps(content))

    with pytest.warns(SessionUnfinished, match="a file: burnt"):
        report = kr.load(path).report()

    assert {entry.verdict for entry in report.channels} == {kr.Verdict.INCOMPLETE}


@pytest.mark.parametrize("channel", ["level2", "trade"])
@pytest.mark.parametrize("harm", [halve, take_out_the_middle, double, Path.unlink])
def test_what_a_file_lacks_is_warned_of_noted_and_reported(tmp_path, harm, channel):
    path = book(tmp_path)
    name = csv(path, channel).name
    harm(csv(path, channel))

    with pytest.warns(SessionUnfinished, match=name):
        session = kr.load(path)

    assert any(name in note for note in session.notes)
    entry = session.report().channel(channel)
    assert entry.verdict == "INCOMPLETE"
    assert name in entry.reason
    with kr.replay(session, speed=None) as replay:
        assert replay.report().channel(channel).verdict == "INCOMPLETE"
        assert replay.wait_until_done(20)
        assert replay.report().channel(channel).verdict == "INCOMPLETE"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_compressed_file_that_was_cut_is_told_too(tmp_path, compression):
    path = book(tmp_path, compression=compression)
    halve(csv(path, "level2"))

    with pytest.warns(SessionUnfinished, match="bytes are lost"):
        session = kr.load(path)
    assert session.report().channel("level2").verdict == "INCOMPLETE"


def test_without_the_status_rows_no_channel_is_known_to_be_whole(tmp_path):
    path = book(tmp_path)
    (path / "status.csv").unlink()

    with pytest.warns(SessionUnfinished, match=r"status\.csv: the file is missing"):
        report = kr.load(path).report()

    assert {entry.verdict for entry in report.channels} == {kr.Verdict.INCOMPLETE}
    assert "gaps of any channel may be untold" in report.channel("level2").reason


def test_a_file_whose_columns_are_not_ours_makes_its_channel_incomplete(tmp_path):
    path = book(tmp_path)
    file = csv(path, "level2")
    file.write_bytes(file.read_bytes().replace(b",", b";"))

    with pytest.warns(SessionUnfinished, match="its columns are none of this channel"):
        session = kr.load(path)

    assert session.frame("level2").height == 0
    assert session.report().channel("level2").verdict == "INCOMPLETE"


def test_rows_that_became_another_symbols_are_missing_from_their_own(tmp_path):
    path = book(tmp_path)
    file = csv(path, "level2")
    file.write_bytes(b"XBTUSDTX".join(file.read_bytes().rsplit(b"XBTUSDTM", 1)))

    session = kr.load(path)  # of the same size, so that only reading finds it

    with pytest.warns(SessionUnfinished, match="1 of 40 rows are lost"):
        entry = session.report().channel("level2", "XBTUSDTM")
    assert (entry.verdict, entry.rows) == ("INCOMPLETE", 39)
    assert session.report().channel("level2", "XBTUSDTM") == entry  # warned of once
    assert "1 of 40 rows are lost" in entry.reason
    assert any("1 of 40 rows are lost" in note for note in session.notes)


@pytest.mark.parametrize("name", ["Copy of {}", "{} (1).csv", "notes.csv"])
def test_a_file_that_a_closed_session_does_not_list_is_told_and_not_read(tmp_path, name):
    path = book(tmp_path)
    file = csv(path, "level2")
    copy = path / name.format(file.name)
    copy.write_bytes(file.read_bytes())

    with pytest.warns(SessionUnfinished, match="does not list it, so it is not read"):
        session = kr.load(path)

    assert session.frame("level2").height == 40
    assert session.rows == {"level2": 40, "trade": 40, "status": 1}
    assert [(flaw.file, flaw.kind) for flaw in kr.verify(path).flaws] == [(copy.name, "unlisted")]
    assert kr.repair(path).actions == ()
    assert not kr.verify(path).ok


def broken_amid(tmp_path, compression):
    """Record 40 rows in four pieces, and damage the second one."""
    made = Recorder(
        tmp_path, symbols=["XBTUSDTM"], channels=["level2"], compression=compression
    )  # fmt: skip
    for first in range(0, 40, 10):
        made.take([level2(n, 10 + n, is_snapshot=n == 0) for n in range(first, first + 10)])
        wait_until(lambda first=first: made.rows == first + 10)
    assert made.close()
    file = csv(made.path, "level2")
    with file.open("rb") as opened:
        pieces = list(members(opened, compression, file.stat().st_size))
    data = bytearray(file.read_bytes())
    data[pieces[1].start] ^= 0xFF
    file.write_bytes(data)
    return made.path, file


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_damaged_piece_of_a_compressed_file_costs_its_own_rows_only(
    tmp_path, compression, is_closed
):
    path, file = broken_amid(tmp_path, compression)
    if not is_closed:
        unclosed(path)  # which knows nothing of the file
    spoiled = file.read_bytes()

    for is_repaired in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SessionUnfinished)
            session = kr.load(path)
            assert session.frame("level2").height == 30
            assert session.report().channel("level2").verdict == "INCOMPLETE"
            if is_repaired:
                with kr.replay(session, speed=None) as replay:
                    assert replay.wait_until_done(60)
                    assert replay.total("level2") == 30
        assert (file.name, "broken") in [(each.file, each.kind) for each in kr.verify(path).flaws]
        kr.repair(path)
        assert file.read_bytes() == spoiled
    assert kr.repair(path).actions == ()


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_copy_in_a_session_that_was_not_closed_is_told_and_not_read(
    tmp_path, has_manifest, ending
):
    path = book(tmp_path)
    unclosed(path)  # which lists no files, as it was killed at once
    if not has_manifest:
        (path / "session.json").unlink()
    file = csv(path, "level2")
    copy = path / f"{'Copy of ' if ending == '.csv' else ''}{file.stem}{ending}"
    copy.write_bytes(pack(file.read_bytes(), "gzip" if ending == ".csv.gz" else None))

    with pytest.warns(SessionUnfinished, match=f"begins as {file.name} does.*not read"):
        session = kr.load(path)

    assert session.rows == {"level2": 40, "trade": 40, "status": 1}
    assert (copy.name, "unlisted") in [(flaw.file, flaw.kind) for flaw in kr.verify(path).flaws]
    kr.repair(path)
    assert (copy.name, "unlisted") in [(flaw.file, flaw.kind) for flaw in kr.verify(path).flaws]


def test_a_listed_file_that_has_no_name_of_ours_is_told(tmp_path):
    path = book(tmp_path)
    text = (path / "session.json").read_text()
    (path / "session.json").write_text(text.replace("XBTUSDTM_trade", "XBTUSDTM-trade"))
    file = csv(path, "trade")
    file.rename(path / file.name.replace("_trade", "-trade"))

    with pytest.warns(SessionUnfinished, match="its name tells no channel"):
        report = kr.load(path).report()

    assert report.channel("trade").verdict == "INCOMPLETE"
    assert [flaw.kind for flaw in kr.verify(path).flaws] == ["unknown"]


def test_files_without_a_manifest_are_all_read(tmp_path):
    path = book(tmp_path)
    file = csv(path, "level2")
    file.rename(path / file.name.replace("XBT", "ETH"))
    (path / "session.json").unlink()

    with pytest.warns(SessionUnfinished, match="repair makes it anew"):
        assert kr.load(path).frame("level2").height == 40


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_without_rows_is_an_empty_frame_of_its_columns(tmp_path, channel):
    session = kr.load(recorded(tmp_path, [], channels=[channel]))

    assert session.frame(channel).columns == list(columns_of(CHANNELS[channel]))
