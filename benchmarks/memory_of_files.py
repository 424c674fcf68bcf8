"""Memory and time to check, read, mend and replay a large file, intact and damaged.

Run ``python -m benchmarks.memory_of_files [--megabytes N ...] [--channel ticker]``. Each figure
comes from its own process: its peak memory (``ru_maxrss``) above that of a process that only
imports the package, also as a multiple of the file's size, and its CPU seconds. In the damaged
files, one byte in the middle is changed to a quote. So everything up to the next quote becomes one
record: in files of trades, whose ids are quoted here, up to the next id; in tickers, up to the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import kucoin_research as kr
from kucoin_research.errors import SessionError
from kucoin_research.model.records import Record, Ticker, Trade
from kucoin_research.sessions.writing.recorder import Recorder

NOON = 1_708_950_436_957_000_000
BATCH = 4_096


def ticker(number: int) -> Record:
    """Make a row of some 110 bytes."""
    price = 80_000.5 + number % 977 / 8
    return Ticker(
        NOON + 7 * number, NOON + 7 * number + 3, "XBTUSDTM", 1_672_295_703_156 + number, price,
        float(number % 31), "buy", price - 0.1, 5.0, price + 0.1, 7.0,
    )  # fmt: skip


def trade(number: int) -> Record:
    """Make a row with a quoted text."""
    return Trade(
        NOON + 7 * number, NOON + 7 * number + 3, "XBTUSDTM", number, f"{number},x", "buy",
        80_000.5, float(number % 31),
    )  # fmt: skip


MAKERS = {"ticker": ticker, "trade": trade}


def make(root: Path, channel: str, megabytes: int, compression: str | None) -> Path:
    """Record a session whose only file has about this size before compression."""
    recorder = Recorder(
        root, symbols=["XBTUSDTM"], channels=[channel], queue_rows=10**8, compression=compression
    )  # fmt: skip
    number, written = 0, 0
    while written < megabytes * 1e6:
        rows = [MAKERS[channel](each) for each in range(number, number + BATCH)]
        recorder.take(rows)
        number += BATCH
        written += BATCH * 100
    assert recorder.close(600)
    return recorder.path


def spoil(path: Path) -> None:
    """Change a byte in the middle to a quote."""
    (file,) = path.glob("XBT*")
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(b'"')


def verify(path: Path) -> object:
    """Verify the session."""
    return len(kr.verify(path).flaws)


def report(path: Path) -> object:
    """Load the session and make its report."""
    return kr.load(path).report().verdict


def repair(path: Path) -> object:
    """Mend the session."""
    return len(kr.repair(path).actions)


def read(path: Path) -> object:
    """Read all rows, as one frame."""
    session = kr.load(path)
    return session.frame(session.channels[0]).height


def replay(path: Path) -> object:
    """Replay the session; the number of rows in memory is limited."""
    with kr.replay(path, speed=None, capacity=10_000) as played:
        played.wait_until_done(3_600)
        return played.total(played.channels[0])


def nothing(_: Path) -> object:
    """Only import the package."""
    return None


WAYS: dict[str, Callable[[Path], object]] = {
    each.__name__: each for each in (nothing, verify, report, repair, read, replay)
}


def child(way: str, path: Path) -> None:
    """Do one task and print its memory and time."""
    warnings.simplefilter("ignore")
    try:
        told = WAYS[way](path)
    except SessionError as error:
        told = type(error).__name__
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([used.ru_maxrss * 1_024, used.ru_utime + used.ru_stime, str(told)]))


def started(*words: str) -> str:
    """Run this file in its own process, and return its output.

    A child begins with the peak memory of its parent, so this process must stay small.
    """
    line = [sys.executable, "-m", "benchmarks.memory_of_files", *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def measured(way: str, path: Path) -> tuple[int, float, str]:
    """Run one task in its own process."""
    memory, seconds, told = json.loads(started("--child", way, str(path)))
    return int(memory), float(seconds), str(told)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--channel", choices=list(MAKERS), default="ticker")
    parser.add_argument("--compression", choices=["gzip", "zstd"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS)[1:])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    compression, (megabytes, *_) = arguments.compression, arguments.megabytes
    if arguments.child:
        child(arguments.child[0], Path(arguments.child[1]))
        return
    if arguments.make:
        print(make(Path(arguments.make), arguments.channel, megabytes, compression))
        return
    with tempfile.TemporaryDirectory() as root:
        base, _, _ = measured("nothing", Path(root))
        print(f"imported only: {base / 1e6:.0f} MB")
        for megabytes in arguments.megabytes:
            words = ["--make", root, "--channel", arguments.channel, "--megabytes", str(megabytes)]
            words += [] if compression is None else ["--compression", compression]
            sound = Path(started(*words).strip())
            (file,) = sound.glob("XBT*")
            size = file.stat().st_size
            for name in ("sound", "flipped"):
                print(f"\n{arguments.channel}, {size / 1e6:.0f} MB, {name}")
                for way in arguments.ways:
                    path = Path(shutil.copytree(sound, Path(root) / "copy"))
                    if name == "flipped":
                        spoil(path)
                    memory, seconds, told = measured(way, path)
                    beyond = memory - base
                    print(
                        f"  {way:8} {beyond / 1e6:6.0f} MB  {beyond / size:5.1f} x the file  "
                        f"{seconds:6.1f} s CPU  {told}"
                    )
                    shutil.rmtree(path)
            shutil.rmtree(sound)


if __name__ == "__main__":
    main()
