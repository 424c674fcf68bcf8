"""The cost of recording: rows/s through the writer, CPU at a low rate, and reading back.

Run ``python -m benchmarks.recording [--rows N] [--repeats N]``. Figures are medians
(least-most over the repeats), since machines are noisy.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import polars as pl

from benchmarks.ring import MAKERS, spread
from kucoin_research.model.records import CHANNELS, Record, Ticker
from kucoin_research.sessions.files.csv_codec import encode
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.writing.recorder import Recorder

CALM_RATE, CALM_SECONDS, READS_PER_SECOND = 2_000, 4.0, 200
NAMES = {record: name for name, record in CHANNELS.items()}


def written(rows: list[Record], root: Path, compression: str | None) -> tuple[float, float, Path]:
    """Record all rows; returns rows/s, bytes per row and the folder."""
    channel = NAMES[type(rows[0])]
    began = time.perf_counter()
    recorder = Recorder(
        root, symbols=["XBTUSDTM"], channels=[channel], compression=compression,
        queue_rows=10**8,
    )  # fmt: skip
    for start in range(0, len(rows), 256):
        recorder.take(rows[start : start + 256])
    assert recorder.close(600)
    return (
        len(rows) / (time.perf_counter() - began), recorder.bytes / len(rows), recorder.path,
    )  # fmt: skip


def calm_cpu(root: Path, *, recorded: bool) -> float:
    """Return CPU seconds per second while rows arrive slowly, a few at a time."""
    rows = [MAKERS[Ticker](row) for row in range(CALM_RATE // READS_PER_SECOND)]
    recorder = Recorder(root, symbols=["XBTUSDTM"]) if recorded else None
    pause = threading.Event()
    began, cpu = time.monotonic(), time.process_time()
    reads = 0
    while (now := time.monotonic() - began) < CALM_SECONDS:
        while reads < now * READS_PER_SECOND:
            reads += 1
            if recorder is not None:
                recorder.take(rows)
        pause.wait(1 / READS_PER_SECOND)
    used = time.process_time() - cpu
    if recorder is not None:
        recorder.close()
    return used / CALM_SECONDS


def seconds(action: object) -> float:
    began = time.perf_counter()
    action()  # type: ignore[operator]
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    repeats = range(options.repeats)
    tickers: list[Record] = [MAKERS[Ticker](row) for row in range(options.rows)]

    batches = [tickers[start : start + 4_096] for start in range(0, len(tickers), 4_096)]
    rates = [
        len(tickers) / seconds(lambda: [encode(Ticker, batch) for batch in batches])
        for _ in repeats
    ]
    print(f"format only, batches of 4,096     {spread(rates)} rows/s")

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for record, make in MAKERS.items():
            count = options.rows if record is Ticker else options.rows // 10
            rows = tickers if record is Ticker else [make(row) for row in range(count)]
            for compression in (None, "zstd", "gzip"):
                runs = [written(rows, root, compression) for _ in repeats]
                print(
                    f"{record.__name__:8} {compression or 'plain':5} to disk            "
                    f"{spread([run[0] for run in runs])} rows/s, {runs[0][1]:,.1f} bytes/row"
                )
                if record is Ticker:
                    compare_reading(runs[0][2], repeats)

        idle = [calm_cpu(root, recorded=False) for _ in repeats]
        busy = [calm_cpu(root, recorded=True) for _ in repeats]
        extra = [100 * (with_it - without) for with_it, without in zip(busy, idle, strict=True)]
        print(f"extra CPU at {CALM_RATE:,} rows/s        {spread(extra, 1)} % of a core")


def compare_reading(folder: Path, repeats: range) -> None:
    file = next(folder.glob("XBT*"))
    plain = [seconds(lambda: pl.read_csv(file)) for _ in repeats]
    ours = [seconds(lambda: load(folder).frame("ticker")) for _ in repeats]
    ratio = [mine / theirs for mine, theirs in zip(ours, plain, strict=True)]
    print(f"  reading back                    {spread(ratio, 2)} times polars.read_csv's time")


if __name__ == "__main__":
    main()
