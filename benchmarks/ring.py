"""The cost of the ring (appending, snapshots under load, memory), and of the alternatives.

Run ``python benchmarks/ring.py [--rows N] [--repeats N]``. Every figure is a median
(least-most over the repeats), since machines are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import polars as pl

from kucoin_research.frames.ring import Ring
from kucoin_research.model.records import (
    Column,
    Depth50,
    Record,
    Ticker,
    Trade,
    columns_of,
    schema_of,
)

WIDTHS = {
    Column.TIME: 8,
    Column.INTEGER: 8,
    Column.NUMBER: 8,
    Column.SIDE: 1,
    Column.FLAG: 0.125,
    Column.LABEL: 4,
    Column.TEXT: 16 + 19,  # a reference of polars, and the text of a trade id
    Column.NUMBERS: 8 + 50 * 8,
}
CAPACITY = {Ticker: 1_000_000, Trade: 1_000_000, Depth50: 100_000}
ROWS_PER_SECOND = 2_000


def ticker(row: int) -> Ticker:
    now, price = 1_708_950_436_957_000_000 + row, 80_000.5 + row
    side = "sell" if row % 2 else "buy"
    return Ticker(
        now, now + 1, "XBTUSDTM", 1_630_809_710_677 + row, price, row % 99 + 1.0, side,
        price - 0.1, row % 77 + 1.0, price + 0.1, row % 55 + 1.0,
    )  # fmt: skip


def trade(row: int) -> Trade:
    now = 1_708_950_436_957_000_000 + row
    side = "sell" if row % 2 else "buy"
    return Trade(now, now + 1, "XBTUSDTM", row, f"18{row:017d}", side, 80_000.5 + row, 5.0)


def depth50(row: int) -> Depth50:
    now = 1_708_950_436_957_000_000 + row
    levels = [tuple(80_000.5 + row + level for level in range(50)) for _ in range(4)]
    return Depth50(now, now + 1, "XBTUSDTM", row, *levels)


MAKERS: dict[type[Record], Callable[[int], Record]] = {
    Ticker: ticker,
    Trade: trade,
    Depth50: depth50,
}


def spread(values: Sequence[float], digits: int = 0) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def append_ns(ring: Any, rows: list[Record], batch: int) -> float:
    batches = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    started = time.perf_counter_ns()
    if batch == 1:
        for row in rows:
            ring.append(row)
    else:
        for part in batches:
            ring.extend(part)
    return (time.perf_counter_ns() - started) / len(rows)


def filled(record: type[Record], make: Callable[[int], Record]) -> Ring:
    ring = Ring(record, CAPACITY[record])
    for start in range(0, ring.capacity * 5 // 4, 5_000):
        ring.extend([make(row) for row in range(start, start + 5_000)])
    return ring


def frame_ms(ring: Ring, make: Callable[[int], Record], count: int) -> list[float]:
    """Time snapshots while rows arrive, in batches of four."""
    stop = threading.Event()
    batch = [make(row) for row in range(4)]

    def write() -> None:
        due = time.perf_counter()
        while not stop.wait(max(0.0, due - time.perf_counter())):
            ring.extend(batch)
            due += len(batch) / ROWS_PER_SECOND

    writer = threading.Thread(target=write)
    writer.start()
    times = []
    for _ in range(count):
        stop.wait(0.005)  # a figure takes a snapshot now and then
        started = time.perf_counter_ns()
        ring.frame()
        times.append((time.perf_counter_ns() - started) / 1e6)
    stop.set()
    writer.join()
    return sorted(times)


def deque_frame_ms(rows: list[Record], record: type[Record]) -> float:
    kept = deque(rows, maxlen=len(rows))
    started = time.perf_counter_ns()
    pl.DataFrame(list(kept), schema=schema_of(record), orient="row")
    return (time.perf_counter_ns() - started) / 1e6


def pandas_ns(rows: list[Record]) -> float:
    frame = pd.DataFrame([rows[0]])
    started = time.perf_counter_ns()
    for row in rows:
        frame = pd.concat([frame, pd.DataFrame([row])], ignore_index=True)
    return (time.perf_counter_ns() - started) / len(rows)


def measure(record: type[Record], rows: int, repeats: int) -> None:
    make = MAKERS[record]
    print(f"\n{record.__name__}, capacity {CAPACITY[record]:,}")
    count = rows if record is not Depth50 else rows // 50
    some = [make(row) for row in range(count)]
    for batch in (1, 64, 512):
        times = [append_ns(Ring(record, CAPACITY[record]), some, batch) for _ in range(repeats)]
        print(f"  append, batches of {batch:<4} {spread(times):>24} ns/row")
    times = [append_ns(deque(maxlen=CAPACITY[record]), some, 64) for _ in range(repeats)]
    print(f"  the same into a deque   {spread(times):>24} ns/row")
    times = [pandas_ns(some[:300]) for _ in range(2)]
    print(f"  pandas.concat, 300 rows {spread(times):>24} ns/row")

    ring = filled(record, make)
    started = time.perf_counter()
    ring.frame()
    first = (time.perf_counter() - started) * 1e3
    runs = [frame_ms(ring, make, 400) for _ in range(repeats)]
    middles = [run[len(run) // 2] for run in runs]
    tails = [run[len(run) * 99 // 100] for run in runs]
    print(f"  frame() of {len(ring):,} rows while {ROWS_PER_SECOND:,}/s arrive, ms:")
    print(f"    p50 {spread(middles, 3)}  p99 {spread(tails, 3)}  the very first {first:.0f}")
    sample = [make(row) for row in range(len(ring) // 10)]
    tenth = deque_frame_ms(sample, record)
    print(f"    deque, frame on read, a tenth of the rows: {tenth:,.0f}")
    width = sum(WIDTHS[kind] for kind in columns_of(record).values())
    print(f"  bytes per row {ring.nbytes / len(ring):,.1f}, columns {width:,.1f}, ", end="")
    print(f"ratio {ring.nbytes / len(ring) / width:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"polars {pl.__version__}, pandas {pd.__version__}")
    for record in MAKERS:
        measure(record, arguments.rows, arguments.repeats)


if __name__ == "__main__":
    main()
