"""Make folders of sessions that mean harm, or are merely broken, and do everything with each.

``python -m tests.unit.sessions.strange_folders FIRST END ROOT`` prints a line of JSON for each
seed: what it cost, and what went wrong. Linux only, since it looks at its own memory.
"""

import gzip
import hashlib
import json
import os
import random
import shutil
import socket
import sys
import time
import traceback
import warnings
import zlib
from pathlib import Path

import pyarrow as pa

import kucoin_research as kr
from kucoin_research.errors import KucoinResearchError
from kucoin_research.foundation.regular_files import open_file
from kucoin_research.model.records import Level2, Status, Trade
from kucoin_research.sessions.writing.recorder import Recorder
from tests.unit.rows import NOON, ticker

SYMBOL = "XBTUSDTM"
COMPRESSIONS = (None, "gzip", "zstd")
THESIS = b"The only copy.\n" * 100
MEGABYTE = 1 << 20
HARD_CPU, HARD_MEMORY = 20, 1_500 * MEGABYTE  # beyond these a process is ended

VALUES = [
    None, True, -1, 0, 1, 5, 2**63, 2**64, 10**400, 1.5, -0.0, 1e300, "", "x", "5", "x" * 100_000,
    "\ud800", "a\nb", "\x00", "<b>", [], [[]], [5], ["x"], [None], {}, {"a": {}}, {"rows": "x"},
    "../../outside/thesis.txt", "/etc/passwd", "2024-02-26", "9999-99-99", "0001-01-01T00:00:00.0Z",
    "9999-12-31T23:59:59.999999999Z", "candle:1min", "status", "level2", "closed", "recording",
]  # fmt: skip
CELLS = [
    b"", b'""', b'"', b"x", b"-1", b"0", b"1e999", b"nan", b"inf", b"1.5", b"9" * 30, b"9" * 5_000,
    b"9223372036854775807", b"-9223372036854775808", b"buy", b"true", b"\xff", b'"a\n,b"', b"1 2",
    b"gap", b"filled", b"received", b"connected", b"disconnected", b"rows 5", b"9" * 40 + b" rows",
    b"1" + b",111" * 3, b"level2", b"trade", b"ticker", SYMBOL.encode(), b"x" * 70_000,
]  # fmt: skip
TEXTS = [
    b"", b"\n", b"\0" * MEGABYTE, b"\n" * MEGABYTE, b'"\n' * 500_000, b'1,"\n' * 300_000,
    b",\n" * 500_000, b",,,,,,,\n" * 100_000, b"x" * (3 * MEGABYTE), b"[" * 200_000,
    b'{"a":' * 100_000, b'{"files":' + b"[" * 200_000 + b"]" * 200_000 + b"}", b"NaN", b"{}", b"[]",
    b'{"files":{}}', b'{"files":{},"format":1,"files":{}}', b"[" + b"{}," * 700_000 + b"{}]",
    b'{"files":{' + b",".join(b'"%d":{}' % n for n in range(20_000)) + b"}}", b"\xff\xfe\xfd",
    b'{"format": 99, "package": ' + b"9" * 4_000 + b"}", b"\x1f\x8b\x08\0\0\0\0\0" * 20_000,
    b"\x28\xb5\x2f\xfd" * 40_000, b"\x28\xb5\x2f\xfd\xa4\xff\xff\xff\xff\xff\xff\xff\xff" * 1_000,
    b'{"files":{},"x":' + b"[" * 3_000 + b"]" * 3_000 + b"}", b'{"files":{},"x":1e999}',
]  # fmt: skip


def originals(root):
    """Record the sound sessions that are spoiled, one of each compression."""
    found = []
    for compression in COMPRESSIONS:
        recorder = Recorder(
            root / str(compression),
            symbols=[SYMBOL],
            channels=["ticker", "trade", "level2"],
            compression=compression,
        )
        recorder.take([Status(NOON, NOON, None, "connected", None, "", None, None)])
        for number in range(30):
            at = NOON + 10 * number
            recorder.take([Trade(at, at + 1, SYMBOL, number, str(number), "buy", 1.0, 1.0)])
            recorder.take([ticker(10 * number)])
            recorder.take([Level2(at, at + 2, SYMBOL, number, number == 0, "buy", 1.0, 1.0)])
        told = [
            (NOON + 250, "gap", 8, 9),
            (NOON + 260, "filled", 8, 9),
            (NOON + 270, "received", 1, 9),
        ]
        for at, event, first, last in told:
            recorder.take([Status(at, at + 5, SYMBOL, event, "level2", "3 rows", first, last)])
        assert recorder.close()
        found.append(recorder.path)
    return found


# What there is to spoil may be spoiled already.
SPOILED = (OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, RecursionError,
           zlib.error)  # fmt: skip


def spoil(chance, folder, outside):
    """Change a session's folder in some ways; gives them, for the report of a failure."""
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        way = chance.choice(WAYS)
        done.append(way.__name__)
        try:
            way(chance, folder, outside)
        except SPOILED as error:
            done[-1] += f" ({error!r:.100})"
    if chance.random() < 0.5:
        try:
            agree(folder)
        except SPOILED:
            done.append("no agreement")
        else:
            done.append("agreed")
    return done


def agree(folder):
    """Make the manifest describe the present files, so that no file is refused for its hash."""
    manifest = folder / "session.json"
    content = json.loads(text_of(manifest))
    for name, entry in content["files"].items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or os.sep in name:
            continue
        data = path.read_bytes()
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps(content))


def text_of(path):
    with open_file(path) as file:
        return file.read()


def parts(folder):
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())


def rows_files(folder):
    return [path for path in parts(folder) if ".csv" in path.name]


def cut(chance, folder, outside):
    path = chance.choice(parts(folder))
    data = path.read_bytes()
    path.write_bytes(data[: chance.randint(0, len(data))])


def flip(chance, folder, outside):
    path = chance.choice(parts(folder))
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 3, 100))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def insert(chance, folder, outside):
    path = chance.choice(parts(folder))
    data = path.read_bytes()
    at = chance.randint(0, len(data))
    extra = chance.choice((b'"', b"\n", b",", b"\0", b"\xff", chance.randbytes(50), data[:at]))
    path.write_bytes(data[:at] + extra + data[at:])


def overwrite(chance, folder, outside):
    text = chance.choice(TEXTS)
    path = chance.choice(parts(folder))
    keep = path.read_bytes()[: chance.choice((0, 0, 100))]
    path.write_bytes(keep + text)


def reencode(chance, folder, outside):
    path = chance.choice(parts(folder))
    text = path.read_bytes().decode("latin-1")
    path.write_bytes(text.encode(chance.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7"))))


def unreal(chance, folder, outside):
    """Put an entry that is no file in place of a file, or of one that will be made."""
    names = [path.name for path in parts(folder)]
    planted = [f"{name}.orig" for name in names] + [
        ".recording", "session.json.tmp", f"{SYMBOL}_trade_2024-02-27.csv", "status.csv.gz",
    ]  # fmt: skip
    path = folder / chance.choice(names + planted)
    path.unlink(missing_ok=True)
    kind = chance.randrange(6)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        with socket.socket(socket.AF_UNIX) as server:
            here = Path.cwd()
            os.chdir(folder)  # since the names of sockets must be short
            try:
                server.bind(path.name)
            finally:
                os.chdir(here)
    elif kind == 3:
        os.link(outside / "thesis.txt", path)
    else:
        targets = [outside / "thesis.txt", outside / "made.py", outside, "/dev/zero", "/dev/tty",
                   "/proc/self/mem", path.name, *names]  # fmt: skip
        path.symlink_to(chance.choice(targets))


def rename(chance, folder, outside):
    path = chance.choice(parts(folder))
    names = [
        f"ETHUSDTM_trade_2024-02-26{''.join(path.suffixes)}", "status.csv", "status.csv.zst",
        f"{SYMBOL}_ticker_2024-02-26.csv", f"{SYMBOL}_depth50_0000-00-00.csv", ".csv", "a_b_c.csv",
        f"{path.name.lower()}", f"{SYMBOL}_level2_9999-99-99.csv.gz", "x" * 240 + ".csv",
        "a\nb_trade_2024-02-26.csv", "%2E%2E%2Fx_trade_2024-02-26.csv", "session.json",
        ".recording",
        "a\udcff_trade_2024-02-26.csv", f"{path.name}.bak", "account_order_2024-02-26.csv",
    ]  # fmt: skip
    target = folder / chance.choice(names)
    if chance.random() < 0.5:
        path.rename(target)
    else:
        shutil.copyfile(path, target)


def crowd(chance, folder, outside):
    text = chance.choice((b"", b"\n", rows_files(folder)[0].read_bytes()))
    for number in range(60):
        (folder / f"S{number}_trade_2024-02-26.csv").write_bytes(text)


def repack(chance, folder, outside):
    """Put compressed text into a file, honest or not."""
    path = chance.choice(rows_files(folder))
    line = b"1708948800000000000,1708948800000000001,XBTUSDTM,1,1,buy,1.0,1.0\n"
    text = chance.choice(
        (b"\0" * (100 * MEGABYTE), b"\n" * (3 * MEGABYTE), line * 30_000, line * 10,
         b'"\n' * 10**6,
         path.read_bytes(), path.read_bytes().replace(b"\n", b"\r\n"))
    )  # fmt: skip
    packed = (
        gzip.compress(text, 1) if chance.random() < 0.5 else pa.compress(text, "zstd", asbytes=True)
    )
    if chance.random() < 0.2:
        packed = gzip.compress(packed, 1)
    data = chance.choice((b"", path.read_bytes())) + packed * chance.choice((1, 1, 3))
    path.write_bytes(data[: chance.choice((len(data), len(data) - 5))])


def cells(chance, folder, outside):
    path = chance.choice(rows_files(folder))
    data = path.read_bytes()
    is_gzip, is_zstd = path.name.endswith(".gz"), path.name.endswith(".zst")
    if is_gzip:
        data = gzip.decompress(data)
    elif is_zstd:
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    lines = [line.split(b",") for line in data.split(b"\n")]
    for _ in range(chance.choice((1, 2, 10))):
        at = chance.randrange(len(lines) - 1)
        row = lines[at]
        row[chance.randrange(len(row))] = chance.choice(CELLS)
        if chance.random() < 0.2:
            lines.insert(chance.randrange(len(lines)), list(chance.choice(lines)))
    data = b"\n".join(map(b",".join, lines))
    if is_gzip:
        data = gzip.compress(data)
    elif is_zstd:
        data = pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(data)


def manifest(chance, folder, outside):
    """Change fields of ``session.json``."""
    path = folder / "session.json"
    content = json.loads(text_of(path))
    for _ in range(chance.choice((1, 1, 3))):
        change(chance, content)
    extra = chance.randrange(10)
    if extra == 0:
        harm = {key: chance.choice(VALUES) for key in ("file", "what", "bytes")}
        content["damage"] = [harm] * chance.choice((1, 1_000))
    elif extra == 1:
        loss = {"began": "2024-02-26T12:00:00.0Z", "ended": "2024-02-26T12:00:01.0Z", "rows": 5}
        content["dropped"] = [loss | {chance.choice(list(loss)): chance.choice(VALUES)}] * 3
    elif extra == 2:
        content["columns"] = {"trade": chance.choice(VALUES), "status": ["timestamp"]}
    text = json.dumps(content)
    if chance.random() < 0.1:
        rows = chance.choice(('"rows": NaN', '"rows": 30, "rows": 1'))
        text = text.replace('"rows": 30', rows, 1)
    path.write_text(text)


def change(chance, holder):
    """Change one field, at any depth."""
    while True:
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            break
        holder = inner
    way = chance.random()
    if way < 0.15:
        del holder[key]
    elif way < 0.3 and isinstance(holder, dict):
        holder[chance.choice([each for each in VALUES if isinstance(each, str)])] = holder.pop(key)
    else:
        holder[key] = chance.choice(VALUES)


WAYS = [cut, flip, insert, overwrite, reencode, unreal, unreal, rename, crowd, repack, cells, cells,
        manifest, manifest, manifest]  # fmt: skip


def look(folder):
    session = kr.load(folder)
    repr(session), session._repr_html_(), str(session.notes), session.losses, session.instruments
    str(session.start), str(session.end)
    for channel in session.channels:
        session.frame(channel)
    repr(session.report())


def play(folder):
    kr.replay(folder, speed=None).wait_until_done(timeout=60)


DEEDS = {
    "load": look,
    "verify": lambda folder: str(kr.verify(folder)),
    "replay": play,
    "convert": lambda folder: kr.convert(folder, folder.parent / "first"),
    "repair": lambda folder: str(kr.repair(folder)),
    "load again": look,
    "verify again": lambda folder: str(kr.verify(folder)),
    "convert again": lambda folder: kr.convert(folder, folder.parent / "second"),
}


def attempt(deed, folder):
    """Do one thing; gives what it has cost, and a traceback where it ended as it must not."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what it is now
    before, began = memory("VmHWM"), time.process_time()
    wrong = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            deed(folder)
    except KucoinResearchError:
        pass
    except Exception:  # noqa: BLE001 - any exception is the failure
        wrong = "\n".join(line[:200] for line in traceback.format_exc().splitlines()[-24:])
    return {
        "cpu": round(time.process_time() - began, 3),
        "megabytes": (memory("VmHWM") - before) // MEGABYTE,
        "wrong": wrong,
    }


def memory(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(key)


def tree(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        found[str(path)] = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return found


def case(seed, sound, root):
    """Spoil a session and use it."""
    chance = random.Random(seed)
    place = root / f"case-{seed}"
    outside = place / "outside"
    outside.mkdir(parents=True)
    (outside / "thesis.txt").write_bytes(THESIS)
    # Thousands of names deep in the tree of the sender must be no shorter way out than two.
    folder = place / "sessions" / "session"
    shutil.copytree(chance.choice(sound), folder)
    ways = spoil(chance, folder, outside)
    print(json.dumps({"seed": seed, "begins": ways}), flush=True)
    before = tree(outside)
    import resource  # which Windows lacks

    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + HARD_CPU
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
    costs = {name: attempt(deed, folder) for name, deed in DEEDS.items()}
    beside = sorted(path.name for path in (place / "sessions").iterdir())
    is_safe = tree(outside) == before and set(beside) <= {"session", "first", "second"}
    print(json.dumps({"seed": seed, "costs": costs, "is_safe": is_safe}), flush=True)
    shutil.rmtree(place)


def main(first, end, root):
    import resource  # which Windows lacks

    warnings.simplefilter("ignore")
    root = Path(root)
    sound = originals(root / f"sound-{first}")
    warm = root / f"warm-{first}" / "session"
    for each in sound:  # code that is loaded once must not count as memory of a folder
        shutil.copytree(each, warm)
        for deed in DEEDS.values():
            deed(warm)
        shutil.rmtree(warm.parent)
    used = memory("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (used + HARD_MEMORY, used + HARD_MEMORY))
    for seed in range(first, end):
        case(seed, sound, root)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
