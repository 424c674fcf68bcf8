"""Random damage to a recording: nothing that is lost may pass for whole."""

import json
import os
import random
import shutil
import warnings
from collections import Counter

import pytest

import kucoin_research as kr
from kucoin_research.errors import SessionBroken, SessionUnfinished
from kucoin_research.model.records import Level2, Status, Trade
from kucoin_research.sessions.files.compression import pack
from kucoin_research.sessions.writing.recorder import Recorder
from tests.unit.rows import NOON, ticker

SYMBOLS = ["XBTUSDTM", "ETHUSDTM"]
ROUNDS = 1_700 if os.environ.get("SOAK") else 6  # of each form, six in all


def rows_of(symbol):
    for number in range(30):
        at = NOON + 10 * number
        yield Level2(at, at, symbol, 10 + number, number == 0, "buy", 5.0 + number, 1.0)
        text = ["7", 'a,"b"\n', ""][number % 3]
        yield Trade(at, at + 1, symbol, number, text, "sell", 80_000.5, 3.0)
        yield ticker(10 * number, symbol)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    root = tmp_path_factory.mktemp("sessions")
    made = {}
    for compression in (None, "gzip", "zstd"):
        channels = ["level2", "trade", "ticker"]
        recorder = Recorder(
            root, symbols=SYMBOLS, channels=channels, compression=compression
        )  # fmt: skip
        recorder.take([row for symbol in SYMBOLS for row in rows_of(symbol)])
        recorder.take([Status(NOON, NOON + n, None, "connected", None, "", n, n) for n in range(5)])
        assert recorder.close()
        made[compression] = recorder.path
    return made


def cut(draw, file):
    data = file.read_bytes()
    file.write_bytes(data[: draw.randrange(len(data))])


def flip(draw, file):
    data = bytearray(file.read_bytes())
    at = draw.randrange(len(data))
    others = {*b'"\n,;0X', draw.randrange(256)} - {data[at]}
    data[at] = draw.choice(sorted(others))
    file.write_bytes(bytes(data))


def delete(draw, file):
    file.unlink()


def rename(draw, file):
    name = file.name.replace("XBT", "SOL") if "XBT" in file.name else f"Copy of {file.name}"
    file.rename(file.with_name(draw.choice([name, f"{file.name} (1).csv", f"{file.name}.bak"])))


def copy(draw, file):
    """Put a copy beside the file, as file managers and compressors do."""
    base, _, ending = file.name.partition(".")
    names = [f"Copy of {file.name}", f"{base} (1).{ending}", f"{file.name}.gz"]
    is_plain = ending == "csv"
    name = draw.choice(names if is_plain else names[:2])
    data = file.read_bytes()
    file.with_name(name).write_bytes(pack(data, "gzip") if name == names[2] else data)
    return name


def take_out(draw, file):
    lines = file.read_bytes().splitlines(keepends=True)
    start = draw.randrange(1, len(lines))
    del lines[start : start + draw.randrange(1, 12)]
    file.write_bytes(b"".join(lines))


def swap(draw, file):
    lines = file.read_bytes().splitlines(keepends=True)
    first, second = draw.sample(range(1, len(lines)), 2)
    if lines[first] == lines[second]:
        flip(draw, file)
        return
    lines[first], lines[second] = lines[second], lines[first]
    file.write_bytes(b"".join(lines))


def double(draw, file):
    lines = file.read_bytes().splitlines(keepends=True)
    start = draw.randrange(1, len(lines))
    some = lines[start : start + draw.randrange(1, 12)]
    at = draw.choice([start, len(lines)])
    file.write_bytes(b"".join([*lines[:at], *some, *lines[at:]]))


def recount(draw, file):
    manifest = file.with_name("session.json")
    content = json.loads(manifest.read_text())
    entry = content["files"][file.name]
    key = draw.choice(["rows", "bytes"])
    entry[key] = max(0, entry[key] + draw.choice([-7, -1, 1, 7, 1_000]))
    manifest.write_text(json.dumps(content))


def retype(draw, file):
    lines = file.read_bytes().splitlines(keepends=True)
    at = draw.randrange(len(lines))
    cells = lines[at].rstrip(b"\n").split(b",")
    column = draw.randrange(len(cells))
    others = {b"abc", b"nan", b"", b"1.5", b"true", b'"1', b"2024-02-26"} - {cells[column]}
    cells[column] = draw.choice(sorted(others))
    lines[at] = b",".join(cells) + b"\n"
    file.write_bytes(b"".join(lines))


def mistype(draw, file):
    """Change a field of the file's entry in the manifest to another type, or leave it out."""
    manifest = file.with_name("session.json")
    content = json.loads(manifest.read_text())
    key = draw.choice(["rows", "bytes", "sha256", "symbol", "channel"])
    value = draw.choice(["abc", 1.5, [], {}, True, -1, ...])
    if (value is ... and key in ("symbol", "channel")) or (key, value) == ("symbol", "abc"):
        value = 7
    content["files"][file.name][key] = value
    if value is ...:
        del content["files"][file.name][key]
    manifest.write_text(json.dumps(content))


def mistell(draw, file):
    """Change a field of the manifest that concerns the session as a whole."""
    manifest = file.with_name("session.json")
    content = json.loads(manifest.read_text())
    key = draw.choice(["rows", "dropped", "symbols", "channels", "start", "columns", "refused"])
    content[key] = draw.choice(["abc", 1.5, True, -1])
    manifest.write_text(json.dumps(content))
    return "session.json"


def misday(draw, file):
    """Give the file's entry in the manifest the day of another."""
    manifest = file.with_name("session.json")
    content = json.loads(manifest.read_text())
    content["files"][file.name]["day"] = "2024-02-27"
    manifest.write_text(json.dumps(content))


def miscount(draw, file):
    manifest = file.with_name("session.json")
    content = json.loads(manifest.read_text())
    # By numbers that no other change, of this or of a file's own rows, makes up for.
    content["rows"] += draw.choice([-4, 2, 2_000])
    manifest.write_text(json.dumps(content))
    return "session.json"


def unlist(draw, file):
    manifest = file.with_name("session.json")
    content = json.loads(manifest.read_text())
    del content["files"][file.name]
    manifest.write_text(json.dumps(content))
    return "session.json"


ANY = [cut, flip, flip, delete, rename, mistype, mistell, misday, copy]
OF_TEXT = [take_out, swap, retype]
# What a killed recorder wrote last is of a later moment than its counts, so there may be more.
OF_CLOSED = [recount, miscount, unlist]


def damages(compression, state):
    return [
        *ANY,
        *([] if compression else OF_TEXT),
        *(OF_CLOSED if state == "closed" else []),
        *([double] if state == "closed" and not compression else []),
    ]


def harm(draw, path, choices):
    harmed = draw.sample(sorted(path.glob("*.csv*")), draw.choice([1, 1, 2]))
    return {draw.choice(choices)(draw, file) or file.name for file in harmed}


def recorded_counts():
    kinds = {Level2: "level2", Trade: "trade"}
    return Counter(
        (kinds.get(type(row), "ticker"), symbol) for symbol in SYMBOLS for row in rows_of(symbol)
    )


def read(path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = kr.load(path)
    told = {str(each.message) for each in caught if each.category is SessionUnfinished}
    # Other columns than ours are noted only, as another version may have recorded them.
    assert bool(told) == any("null for lack" not in note for note in session.notes)
    return session


def check_report(path, *, is_repaired, harmed=()):
    session = read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SessionUnfinished)  # for damage that only reading finds
        try:
            report = session.report()
        except SessionBroken:
            assert not is_repaired  # then what cannot be read is left out
            return
    verdicts = {(entry.channel, entry.symbol): entry for entry in report.channels}
    for (channel, symbol), count in recorded_counts().items():
        entry = verdicts[channel, symbol]
        about = (f"{symbol}_{channel}", "status", "session.json")
        is_harmed = any(name.startswith(about) for name in harmed)
        assert entry.rows <= count or is_harmed
        if entry.rows < count or (is_repaired and is_harmed):
            assert entry.verdict == "INCOMPLETE", (channel, symbol, entry)
        if not harmed:
            assert entry.verdict == ("COMPLETE" if channel == "level2" else "NOT PROVABLE")


def is_same(path, original, name):
    files = path / name, original / name
    return all(file.exists() for file in files) and len({file.read_bytes() for file in files}) == 1


def check(draw, path, choices, original):
    harmed = harm(draw, path, choices)
    changed = {name for name in harmed if not is_same(path, original, name)}
    copies = {name for name in harmed if not (original / name).exists()}
    check_report(path, is_repaired=False, harmed=harmed - copies)
    assert harmed <= {flaw.file for flaw in kr.verify(path).flaws}

    kr.repair(path)
    # Some are whole again: of a doubled line with a line break in it the end was a torn one.
    harmed -= {name for name in changed if is_same(path, original, name)}
    assert harmed <= {flaw.file for flaw in kr.verify(path).flaws}
    check_report(path, is_repaired=True, harmed=harmed - copies)
    assert kr.repair(path).actions == ()


@pytest.mark.parametrize("state", ["closed", "recording"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_nothing_that_is_lost_passes_for_whole(sessions, tmp_path, compression, state):
    for seed in range(ROUNDS):
        path = shutil.copytree(sessions[compression], tmp_path / str(seed))
        if state == "recording":
            content = json.loads((path / "session.json").read_text())
            (path / "session.json").write_text(json.dumps(content | {"state": state}))
        try:
            draw = random.Random(f"{compression} {state} {seed}")
            check(draw, path, damages(compression, state), sessions[compression])
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_without_a_manifest_nothing_passes_for_whole(sessions, tmp_path, compression):
    for seed in range(max(1, ROUNDS // 5)):
        path = shutil.copytree(sessions[compression], tmp_path / str(seed))
        draw = random.Random(f"{compression} {seed}")
        harm(draw, path, [cut, flip, delete, rename, copy])
        lose_manifest(draw, path)

        for is_repaired in (False, True):
            assert "session.json" in {flaw.file for flaw in kr.verify(path).flaws}
            check_report(path, is_repaired=is_repaired, harmed={"session.json"})
            verdicts = {entry.verdict for entry in reported(path)}
            assert verdicts <= {"INCOMPLETE"}
            kr.repair(path)
        assert kr.repair(path).actions == ()


def lose_manifest(draw, path):
    manifest = path / "session.json"
    if draw.random() < 0.5:
        manifest.unlink()
    else:
        cut(draw, manifest)


def reported(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SessionUnfinished)
        try:
            return kr.load(path).report().channels
        except SessionBroken:
            return ()


def test_a_gap_that_one_letter_hides_is_not_hidden(tmp_path):
    recorder = Recorder(tmp_path, symbols=SYMBOLS, channels=["level2"])
    recorder.take([row for row in rows_of("XBTUSDTM") if isinstance(row, Level2)])
    gap = Status(NOON, NOON + 400, "XBTUSDTM", "gap", "level2", "missing", 50, 60)
    recorder.take([gap])
    assert recorder.close()
    status = recorder.path / "status.csv"
    status.write_bytes(status.read_bytes().replace(b"gap", b"gaq"))

    with pytest.warns(SessionUnfinished, match=r"status\.csv: its bytes are not those"):
        session = kr.load(recorder.path)

    assert session.report().channel("level2", "XBTUSDTM").verdict == "INCOMPLETE"


def test_what_is_whole_passes_for_whole(sessions):
    for path in sessions.values():
        check_report(path, is_repaired=False)
        assert kr.verify(path).ok
        assert kr.repair(path).actions == ()
