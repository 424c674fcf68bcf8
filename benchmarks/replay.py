"""Records/s of a replay to a callback, compared with a bare loop, other readers and engines.

Run ``python -m benchmarks.replay [--rows N] [--repeats N] [--peers PYTHON]``. Figures are medians
(least-most over the repeats), in thousands of rows per second of wall time. The next column
compares with the bare loop, which calls the same function with rows that are in memory already. The
last column is the CPU time per row (all threads), which a busy machine disturbs less.

Other engines need other versions of pandas and numpy, so they run by their own interpreter:
``python -m venv peers; peers/bin/pip install nautilus_trader hftbacktest backtesting``.
"""

from __future__ import annotations

import argparse
import csv
import gc
import statistics
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import kucoin_research as kr
from benchmarks.ring import MAKERS, spread
from kucoin_research.foundation.runtime import eased
from kucoin_research.model.records import Record, Ticker
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sessions.writing.recorder import Recorder

PEERS = Path(__file__).with_name("replay_peers.py")


def called(_: object) -> None:
    """Do nothing, as the smallest strategy."""


def recorded(rows: list[Record], root: Path) -> kr.Session:
    recorder = Recorder(
        root, symbols=["XBTUSDTM"], channels=["ticker"], queue_rows=10**8
    )  # fmt: skip
    for start in range(0, len(rows), 256):
        recorder.take(rows[start : start + 256])
    assert recorder.close(600)
    return kr.load(recorder.path)


def bare(rows: Iterable[Any]) -> None:
    for row in rows:
        called(row)


def played(session: kr.Session, how: str) -> None:
    with kr.replay(session, speed=None, paused=True) as replay:
        if how == "attach":
            replay.attach(called)
        elif how == "attach_batches":
            replay.attach_batches(called)
        replay.resume()
        assert replay.wait_until_done()


def read(session: kr.Session) -> None:
    with eased():
        deque(Timeline(session).batches(), maxlen=0)


def by_pandas(path: Path) -> None:
    bare(pd.read_csv(path).itertuples(index=False))


def by_csv(path: Path) -> None:
    with path.open(newline="") as file:
        bare(csv.DictReader(file))


class Rates(NamedTuple):
    """Thousands of rows per second, and CPU µs per row, of each repeat."""

    wall: list[float]
    cpu: list[float]


def rates(work: Callable[[], object], rows: int, repeats: int) -> Rates:
    found = Rates([], [])
    for _ in range(repeats):
        gc.collect()
        began, cpu = time.perf_counter(), time.process_time()
        work()
        found.wall.append(rows / (time.perf_counter() - began) / 1e3)
        found.cpu.append((time.process_time() - cpu) / rows * 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", default="peers/bin/python", metavar="PYTHON")
    given = parser.parse_args()
    count, repeats = given.rows, given.repeats
    rows = [MAKERS[Ticker](row)._replace(local_timestamp=10**18 + row) for row in range(count)]
    with tempfile.TemporaryDirectory() as root:
        session = recorded(rows, Path(root))
        (path,) = session.path.glob("*_ticker_*.csv")
        loop = rates(lambda: bare(rows), count, repeats)
        rows.clear()
        print(
            f"{count:,} tickers, 1,000 rows/s: median (least-most of {repeats}), share, CPU µs/row"
        )
        tell("a bare loop over rows in memory", loop, loop)
        for how in ("attach", "attach_batches", "nothing attached"):
            tell(
                f"replay, {how}", rates(lambda how=how: played(session, how), count, repeats), loop
            )
        tell("its reading alone", rates(lambda: read(session), count, repeats), loop)
        tell("pandas read_csv + itertuples", rates(lambda: by_pandas(path), count, repeats), loop)
        tell("csv.DictReader", rates(lambda: by_csv(path), count, repeats), loop)
        beside(given.peers, path, repeats, loop)


def beside(python: str, path: Path, repeats: int, loop: Rates) -> None:
    for name in ("nautilus_trader", "hftbacktest", "backtesting"):
        try:
            done = subprocess.run(
                [python, str(PEERS), name, str(path), str(repeats)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            print(f"{name:32} not installed")
            continue
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["not installed"])[-1]
            print(f"{name:32} {'not installed' if 'ModuleNotFound' in last else last}")
            continue
        values = [float(each) for each in done.stdout.split()]
        tell(name, Rates(values[::2], values[1::2]), loop)


def tell(name: str, found: Rates, loop: Rates) -> None:
    share = statistics.median(found.wall) / statistics.median(loop.wall)
    print(
        f"{name:32} {spread(found.wall):>24}   {share:.3f}   {spread(found.cpu, 2):>20}", flush=True
    )


if __name__ == "__main__":
    main()
