"""The ring: what is stored comes back, snapshots never change, and nobody waits."""

from __future__ import annotations

import gc
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from struct import unpack
from threading import Semaphore
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput
from kucoin_research.frames.ring import Ring
from kucoin_research.model.records import (
    CHANNELS,
    BestBidOffer,
    Column,
    Depth50,
    MarkPrice,
    Record,
    Ticker,
    Trade,
    columns_of,
    schema_of,
)
from tests import processes

DEFAULTS: dict[Column, Any] = {
    Column.TIME: 1_700_000_000_000_000_000,
    Column.INTEGER: 7,
    Column.NUMBER: 80_000.5,
    Column.NUMBERS: (1.0, 2.0),
    Column.SIDE: "buy",
    Column.FLAG: True,
    Column.LABEL: "XBTUSDTM",
    Column.TEXT: "1828309270001",
}
# Values that something might take for another; three in ten are such, the others are random.
EDGES: dict[Column, list[Any]] = {
    Column.INTEGER: [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    Column.NUMBER: [0.0, -0.0, 1e-7, 0.1 + 0.2, 5e-324, -1.7976931348623157e308, float("inf")],
    Column.TEXT: ["", " ", "0", "null", "a\x00b", "é", "\U0001f680", "x" * 40],
}


def make(record: type[Record], **values: Any) -> Any:
    kinds = columns_of(record)
    return record(**{name: DEFAULTS[kind] for name, kind in kinds.items()} | values)


def ticker(row: int) -> Ticker:
    """Give a ticker whose every column is a function of the row number."""
    number = float(row)
    return Ticker(
        row, row + 1, f"S{row % 300}", row * 3, number, number / 2, "sell" if row % 2 else "buy",
        number + 1, None if row % 5 == 0 else number + 2, number + 3, -number,
    )  # fmt: skip


def tickers(start: int, stop: int) -> list[Record]:
    return [ticker(row) for row in range(start, stop)]


def rows_of(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Read a frame back as records' values; times as integers, since not all fit a datetime."""
    times = pl.selectors.datetime().to_physical()
    rows = frame.with_columns(times).rows()
    return [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in rows]


def newest(rows: list[Any], last: int | None) -> list[Any]:
    return rows if last is None else rows[max(len(rows) - last, 0) :]


def digest(frame: pl.DataFrame) -> int:
    return int(frame.hash_rows(seed=1).sum()) ^ frame.height


def addresses(frame: pl.DataFrame, column: str) -> list[int]:
    """Tell where each chunk of a column has its values in memory."""
    chunks = frame[column].to_physical().get_chunks()
    arrays = [chunk.to_arrow() for chunk in chunks]
    return [array.buffers()[-1].address + 8 * array.offset for array in arrays]


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Let threads interrupt each other five hundred times as often as usual."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def any_integer(random: Random) -> int:
    bits = random.randint(0, 63)
    return random.randint(-(2**bits), 2**bits - 1)


def any_number(random: Random) -> float:
    [number] = unpack("d", random.randbytes(8))
    return 0.0 if number != number else number


def any_text(random: Random) -> str:
    last = random.choice([0x7F, 0xD7FF, 0x10FFFF])
    letters = (chr(random.randint(0, last)) for _ in range(random.randint(0, 40)))
    return "".join(letter for letter in letters if not "\ud800" <= letter <= "\udfff")


MAKERS: dict[Column, Callable[[Random], Any]] = {
    Column.INTEGER: any_integer, Column.NUMBER: any_number, Column.TEXT: any_text,
}  # fmt: skip


def any_value(kind: Column, random: Random) -> Any:
    """Draw a value of a kind of column, hostile ones more often than they would come."""
    if kind is Column.SIDE:
        return random.choice(["buy", "sell"])
    if kind is Column.FLAG:
        return random.random() < 0.5
    if kind is Column.NUMBERS:
        return tuple(any_value(Column.NUMBER, random) for _ in range(random.randint(0, 60)))
    alike = {Column.TIME: Column.INTEGER, Column.LABEL: Column.TEXT}.get(kind, kind)
    if random.random() < 0.3:
        return random.choice(EDGES[alike])
    return MAKERS[alike](random)


@st.composite
def batches(draw: st.DrawFn, record: type[Record]) -> list[list[Any]]:
    """Draw what shrinks, the sizes and which values are missing; the values come of a seed.

    Drawn one by one, the values would take ten times as long as the ring.
    """
    sizes = draw(st.lists(st.integers(0, 9), max_size=8))
    missing = draw(st.sampled_from(["none", "some", "all"]))
    kinds = columns_of(record).values()
    empty = [draw(st.booleans()) if missing == "all" else False for _ in kinds]
    random = Random(draw(st.integers(0, 2**32)))

    def value(kind: Column, *, is_empty: bool) -> Any:
        is_missing = is_empty or (missing == "some" and random.random() < 0.3)
        return None if is_missing else any_value(kind, random)

    def row() -> Any:
        columns = zip(kinds, empty, strict=True)
        return record(*(value(kind, is_empty=is_empty) for kind, is_empty in columns))

    return [[row() for _ in range(size)] for size in sizes]


@pytest.mark.parametrize("record", CHANNELS.values(), ids=CHANNELS)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_frame_equals_a_deque_of_the_same_capacity(record: type[Record], data: st.DataObject):
    capacity = data.draw(st.integers(1, 20))
    ring = Ring(record, capacity, block_rows=data.draw(st.integers(1, 7)))
    expected: deque[Any] = deque(maxlen=capacity)

    for batch in data.draw(batches(record)):
        ring.append(batch[0]) if len(batch) == 1 else ring.extend(batch)
        expected.extend(batch)
        last = data.draw(st.none() | st.integers(0, 25))

        frame = ring.frame(last)

        assert rows_of(frame) == newest(list(expected), last)
        assert frame.schema == schema_of(record)
        assert len(ring) == len(expected)
        assert ring.newest() == (expected[-1] if expected else None)


@pytest.mark.parametrize("record", CHANNELS.values(), ids=CHANNELS)
def test_empty_ring_gives_empty_frame_with_the_exact_schema(record: type[Record]):
    ring = Ring(record)

    frame = ring.frame()

    assert frame.schema == schema_of(record)
    assert (frame.height, len(ring), ring.total, ring.newest()) == (0, 0, 0, None)
    assert ring.frame(last=5).height == ring.frame(rechunk=True).height == 0


def test_extending_by_nothing_changes_nothing():
    ring = Ring(Ticker)

    ring.extend([])

    assert (len(ring), ring.newest()) == (0, None)


def test_frame_keeps_newest_rows_when_capacity_is_exceeded():
    ring = Ring(Ticker, capacity=3, block_rows=2)

    for row in range(9):
        ring.append(ticker(row))

    assert rows_of(ring.frame()) == tickers(6, 9)
    assert (len(ring), ring.total) == (3, 9)


def test_last_reaches_across_blocks():
    ring = Ring(Ticker, capacity=1_000, block_rows=10)
    ring.extend(tickers(0, 34))

    frames = {last: rows_of(ring.frame(last)) for last in range(40)}

    assert frames == {last: tickers(max(0, 34 - last), 34) for last in range(40)}


def test_one_batch_larger_than_the_ring_leaves_its_end():
    ring = Ring(Ticker, capacity=50, block_rows=8)

    ring.extend(tickers(0, 1_000))

    assert rows_of(ring.frame()) == tickers(950, 1_000)
    assert ring.total == 1_000


@pytest.mark.parametrize("empty", [None, 0.0, 0, "", ()])
@pytest.mark.parametrize("record", CHANNELS.values(), ids=CHANNELS)
def test_missing_is_null_and_only_missing_is(record: type[Record], empty: Any):
    kinds = {
        None: set(Column),
        0.0: {Column.NUMBER},
        "": {Column.TEXT, Column.LABEL},
        (): {Column.NUMBERS},
    }
    names = [n for n, k in columns_of(record).items() if k in kinds[empty]]
    row = make(record, **dict.fromkeys(names, empty))
    ring = Ring(record)

    ring.extend([make(record), row, make(record)])
    ring.append(row)

    counts = ring.frame().null_count().row(0, named=True)
    expected = 2 if empty is None else 0
    assert counts == {n: expected if n in names else 0 for n in columns_of(record)}


def test_rows_without_nulls_after_a_null_are_present():
    ring = Ring(MarkPrice, block_rows=100)
    row = MarkPrice(1, 2, "XBTUSDTM", 3.0, 4.0)

    ring.extend([row, row._replace(mark_price=None)])
    ring.extend([row] * 5)
    ring.append(row)

    assert ring.frame()["mark_price"].to_list() == [3.0, None, *[3.0] * 6]


def test_labels_may_be_many_and_new_at_any_time():
    ring = Ring(MarkPrice, capacity=5_000, block_rows=100)
    early = MarkPrice(1, 2, "before", 3.0, 4.0)

    ring.append(early)
    snapshot = ring.frame()
    ring.extend([early._replace(symbol=f"COIN{number}") for number in range(3_000)])

    expected = ["before", *(f"COIN{number}" for number in range(3_000))]
    assert ring.frame()["symbol"].cast(pl.String).to_list() == expected
    assert snapshot["symbol"].to_list() == ["before"]


def test_labels_of_two_rings_and_of_polars_compare():
    first, second = Ring(MarkPrice), Ring(Ticker)
    elsewhere = pl.Series(["new-here", "XBTUSDTM"], dtype=pl.Categorical)
    first.append(make(MarkPrice, symbol="new-here"))
    second.append(make(Ticker, symbol="new-here"))

    joined = first.frame().join(second.frame(), on="symbol")

    assert joined.height == 1
    assert first.frame()["symbol"].is_in(elsewhere).to_list() == [True]


BAD_VALUES = [
    (Ticker, "sequence", 1.5),
    (Ticker, "sequence", 2**63),
    (Ticker, "timestamp", -(2**63) - 1),
    (Ticker, "timestamp", "1700000000"),
    (Ticker, "price", "80000.5"),
    (Ticker, "price", 10**400),
    (Ticker, "side", "hold"),
    (Ticker, "side", ["buy"]),
    (Ticker, "symbol", 5),
    (Ticker, "symbol", "half \ud800 pair"),
    (Trade, "trade_id", 5),
    (Trade, "trade_id", "half \ud800 pair"),
    (Depth50, "ask_sizes", 1.0),
    (Depth50, "ask_sizes", (1.0, None)),
    (Depth50, "bid_prices", ("1.0",)),
    (CHANNELS["level2"], "is_snapshot", "yes"),
]


@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize(("record", "column", "value"), BAD_VALUES)
def test_bad_value_raises_and_leaves_the_ring_as_it_was(
    record: type[Record], column: str, value: Any, nulls: bool, batch: int
):
    ring = Ring(record, capacity=100, block_rows=4)
    good = make(record)
    ring.extend([good] * 3)
    missing = make(record, **dict.fromkeys(columns_of(record)))
    bad = [missing if nulls else good] * (batch - 1) + [make(record, **{column: value})]

    with pytest.raises(InvalidInput, match=rf"{record.__name__}\.{column}"):
        ring.append(bad[0]) if batch == 1 else ring.extend(bad)

    assert rows_of(ring.frame()) == [good] * 3
    assert (ring.total, ring.newest()) == (3, good)
    ring.extend([good, missing, good] * 9)
    assert rows_of(ring.frame()) == [good] * 3 + [good, missing, good] * 9


@pytest.mark.parametrize("row", [(), ticker(1)[:-1], (*ticker(1), 1.0), 5])
def test_row_of_the_wrong_length_raises(row: Any):
    ring = Ring(Ticker)

    with pytest.raises(InvalidInput, match="Ticker has 11 values"):
        ring.append(row)
    with pytest.raises(InvalidInput, match="Ticker has 11 values"):
        ring.extend([ticker(0), row])
    with pytest.raises(InvalidInput, match="Ticker has 11 values"):
        ring.extend([row, row])

    assert ring.total == 0


@pytest.mark.parametrize("arguments", [{"capacity": 0}, {"capacity": 5, "block_rows": 0}])
def test_ring_without_room_is_refused(arguments: dict[str, int]):
    with pytest.raises(InvalidInput, match="at least one row"):
        Ring(Ticker, **arguments)


def test_negative_last_is_refused():
    with pytest.raises(InvalidInput, match="-1"):
        Ring(Ticker).frame(last=-1)


def test_lists_and_texts_longer_than_a_block_has_room_for_are_kept():
    depth, trade = Ring(Depth50, block_rows=4), Ring(Trade, block_rows=4)
    books = [make(Depth50, bid_prices=tuple(map(float, range(n)))) for n in (0, 9, 500, 1, 700, 3)]
    trades = [make(Trade, trade_id="é" * n) for n in (0, 9, 500, 1, 700, 3)]

    for _ in range(3):
        depth.extend(books)
        trade.extend(trades)
        depth.append(books[2])
        trade.append(trades[2])

    assert rows_of(depth.frame()) == [*books, books[2]] * 3
    assert rows_of(trade.frame()) == [*trades, trades[2]] * 3


def test_clear_forgets_rows_but_not_frames_or_the_total():
    ring = Ring(Ticker, capacity=100, block_rows=8)
    ring.extend(tickers(0, 30))
    before = ring.frame()

    ring.clear()
    ring.append(ticker(30))

    assert rows_of(ring.frame()) == tickers(30, 31)
    assert (len(ring), ring.total) == (1, 31)
    assert rows_of(before) == tickers(0, 30)


@pytest.mark.parametrize("column", ["timestamp", "sequence", "price", "best_ask_size"])
def test_snapshots_share_the_memory_of_plain_columns(column: str):
    ring = Ring(Ticker, capacity=100, block_rows=10)
    ring.extend(tickers(0, 35))
    first = ring.frame()

    ring.extend(tickers(35, 38))
    second = ring.frame()

    assert len(addresses(first, column)) == 4
    assert addresses(first, column) == addresses(second, column)


def test_sealing_a_block_does_not_move_its_values():
    ring = Ring(Ticker, capacity=100, block_rows=10)
    ring.extend(tickers(0, 9))
    before = ring.frame()

    ring.extend(tickers(9, 12))

    assert addresses(ring.frame(), "price")[0] == addresses(before, "price")[0]


@pytest.mark.parametrize("record", CHANNELS.values(), ids=CHANNELS)
def test_snapshots_never_change(record: type[Record]):
    ring = Ring(record, capacity=200, block_rows=20)
    names = columns_of(record)
    missing = make(record, **dict.fromkeys(names))
    given: list[Record] = []
    snapshots = []

    for number in range(0, 800, 8):  # wraps three times and more
        values: dict[Column, Any] = {
            Column.TIME: number,
            Column.INTEGER: number,
            Column.NUMBER: number / 7,
            Column.NUMBERS: (number / 3,) * (number % 50),
            Column.SIDE: "sell" if number % 3 else "buy",
            Column.FLAG: number % 3 == 0,
            Column.LABEL: f"L{number % 900}",
            Column.TEXT: f"é{number}",
        }
        row = make(record, **{name: values[kind] for name, kind in names.items()})
        rows = [row, missing] * 4 if number % 5 == 0 else [row] * 8
        ring.extend(rows)
        given += rows
        if number < 240:
            frame = ring.frame()
            snapshots.append((frame, digest(frame), len(given)))
    gc.collect()

    assert [digest(frame) for frame, _, _ in snapshots] == [before for _, before, _ in snapshots]
    for frame, _, end in snapshots:
        assert 0 < frame.height <= end
        assert rows_of(frame) == given[end - frame.height : end]


def test_snapshot_outlives_the_ring():
    ring = Ring(Depth50, capacity=100, block_rows=10)
    books = [make(Depth50, sequence=number) for number in range(35)]
    ring.extend(books)
    frame = ring.frame()

    del ring
    gc.collect()
    _ = [bytearray(100_000) for _ in range(100)]  # takes the memory, had it been freed

    assert rows_of(frame) == books


@pytest.mark.skipif(sys.platform == "win32", reason="it does not fork")
def test_a_forked_child_does_not_write_into_the_rows_of_its_parent():
    script = """
import os
from kucoin_research.frames import ring
memory = ring._zeros(1 << 20, "d")
if os.fork() == 0:
    memory[:] = 1.0
    os._exit(0)
os.wait()
print(memory.nbytes, memory.any())
"""
    assert processes.run(sys.executable, "-c", script).stdout == f"{8 << 20} False\n"


def test_changing_a_snapshot_changes_neither_ring_nor_other_snapshots():
    ring = Ring(Ticker, capacity=100, block_rows=10)
    ring.extend(tickers(1, 35))
    mine, other = ring.frame(), ring.frame()

    mine[0, "price"] = -1.0
    mine[33, "sequence"] = -1
    mine.extend(mine)

    assert rows_of(other) == rows_of(ring.frame()) == tickers(1, 35)


def test_arrays_of_a_snapshot_are_read_only():
    ring = Ring(Ticker)
    ring.append(ticker(1))

    array = ring.frame()["price"].to_numpy()

    assert not array.flags.writeable


def test_readers_see_whole_rows_in_order_while_a_writer_writes(fast_switching: None):
    ring = Ring(Ticker, capacity=2_000, block_rows=128)
    kept: list[tuple[pl.DataFrame, int]] = []
    # A writer that never rests can keep readers from the GIL for minutes.
    batches = Semaphore(50)

    def read() -> int:
        for number in range(1_050):
            frame = ring.frame(last=(None, 700)[number % 2])
            batches.release(3)
            assert not flaws(frame)
            if number % 40 == 0:
                kept.append((frame, digest(frame)))
        return number + 1

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read), pool.submit(read)]
        while not all(reader.done() for reader in readers):
            if not batches.acquire(timeout=0.1):
                continue
            row = ring.total
            ring.extend(tickers(row, row + (1, 64, 3, 300)[row % 4]))
            ring.append(ticker(ring.total))

    assert sum(reader.result() for reader in readers) >= 2_000
    assert ring.total > 3 * ring.capacity
    assert all(digest(frame) == before for frame, before in kept)


def flaws(frame: pl.DataFrame) -> list[str]:
    """Name what is wrong with a frame of consecutive tickers."""
    row = pl.col("local_timestamp").to_physical() - 1
    number = row.cast(pl.Float64)
    checks = {
        "contiguous": row == row.first() + pl.int_range(pl.len()),
        "timestamp": pl.col("timestamp").to_physical() == row,
        "symbol": pl.col("symbol").cast(pl.String).str.slice(1).cast(pl.Int64) == row % 300,
        "sequence": pl.col("sequence") == row * 3,
        "price": pl.col("price") == number,
        "size": pl.col("size") == number / 2,
        "side": (pl.col("side") == "sell") == (row % 2 == 1),
        "best_bid_size": pl.col("best_bid_size").eq_missing(pl.when(row % 5 != 0).then(number + 2)),
        "best_ask_size": pl.col("best_ask_size") == -number,
    }
    result = frame.select(check.all().alias(name) for name, check in checks.items())
    wrong = [name for name, right in result.row(0, named=True).items() if not right]
    if frame.height > 2_000:
        wrong.append(f"{frame.height} rows")
    return wrong


def test_reader_may_race_the_very_first_row():
    for _ in range(200):
        ring = Ring(Ticker)
        heights: list[int] = []
        ready = threading.Barrier(2)

        def read(ring: Ring = ring, heights: list[int] = heights, ready: Any = ready) -> None:
            ready.wait(10)
            heights.extend(ring.frame().height for _ in range(3))

        reader = threading.Thread(target=read)
        reader.start()
        ready.wait(10)
        ring.append(ticker(0))
        reader.join(10)

        assert len(heights) == 3
        assert heights == sorted(heights)
        assert set(heights) <= {0, 1}


def test_full_ring_of_tickers_takes_little_more_than_its_columns():
    ring = Ring(Ticker, capacity=1_000_000)
    batch = [make(Ticker, side=None)] * 50_000  # spot says no side
    widths = 8 * 9 + 4 + 1

    sizes = []
    for _ in range(24):
        ring.extend(batch)
        sizes.append(ring.nbytes)
    ring.frame()

    assert len(ring) == 1_000_000
    assert max(*sizes, ring.nbytes) <= 1.2 * widths * 1_000_000


def test_column_of_nulls_costs_at_most_a_byte_per_row_more():
    full, without = (Ring(BestBidOffer, capacity=10_000) for _ in range(2))

    full.extend([make(BestBidOffer)] * 10_000)
    without.extend([make(BestBidOffer, sequence=None)] * 10_000)

    assert without.frame()["sequence"].null_count() == 10_000
    assert without.nbytes <= full.nbytes + 11_000


def test_room_that_lists_did_not_need_is_given_back_when_a_block_is_read():
    ring = Ring(Depth50, capacity=10_000)
    ring.extend([make(Depth50)] * 10_000)
    before = ring.nbytes

    ring.frame()

    assert ring.nbytes < before / 4


def test_rechunk_makes_columns_contiguous():
    ring = Ring(Ticker, capacity=100, block_rows=10)
    ring.extend(tickers(0, 35))

    frame = ring.frame(rechunk=True)

    assert (frame.n_chunks(), ring.frame().n_chunks()) == (1, 4)
    assert frame.equals(ring.frame())


@pytest.mark.parametrize("record", CHANNELS.values(), ids=CHANNELS)
def test_frame_serves_polars_and_pandas(record: type[Record]):
    ring = Ring(record, capacity=500, block_rows=50)
    ring.extend([make(record, timestamp=row * 1_000_000_000) for row in range(300)])

    frame = ring.frame()

    assert frame.to_pandas().shape == frame.shape
    assert frame.filter(pl.col("symbol") == "XBTUSDTM").height == 300
    grouped = frame.group_by_dynamic("timestamp", every="1m").agg(pl.len())
    assert grouped["len"].to_list() == [60] * 5
    assert frame.to_arrow().num_rows == 300


def stamped(stamp: int, number: int) -> Trade:
    return make(Trade, timestamp=number, local_timestamp=stamp, sequence=number)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_late_rows_go_where_their_stamps_belong(data: st.DataObject) -> None:
    random = Random(data.draw(st.integers(0, 2**32)))
    ring = Ring(Trade, capacity=60, block_rows=7)
    stored: list[Trade] = []
    seen: list[tuple[pl.DataFrame, list[tuple[Any, ...]]]] = []
    clock = number = 0
    for _ in range(random.randint(1, 25)):
        rows = []
        for _ in range(random.randint(1, 12)):
            clock, number = clock + random.randint(2, 9), number + 1
            rows.append(stamped(clock, number))
        if stored and random.random() < 0.4:
            low = random.randint(0, clock)
            late = sorted({random.randint(low, clock) | 1 for _ in rows})
            rows = [stamped(stamp, number + place) for place, stamp in enumerate(late)]
            number += len(rows)
            ring.insert(rows)
        else:
            ring.extend(rows)
        stored = sorted([*stored, *rows], key=lambda row: row.local_timestamp or 0)
        frame = ring.frame()
        assert ring.total == len(stored)
        assert len(ring) == frame.height == min(len(stored), 60)
        assert frame["local_timestamp"].is_sorted()
        newest = ring.newest()
        assert newest is not None
        assert newest.local_timestamp == stored[-1].local_timestamp
        seen.append((frame, rows_of(frame)))
    assert [rows_of(frame) for frame, _ in seen] == [rows for _, rows in seen]


def test_a_late_row_among_all_that_are_kept_is_in_the_frame_in_its_place() -> None:
    ring = Ring(Trade, capacity=1_000, block_rows=10)
    ring.extend([stamped(10 * n, n) for n in range(100)])

    ring.insert([stamped(5, 200), stamped(505, 201), stamped(2_000, 202)])
    ring.extend([stamped(2_010, 203)])

    numbers = ring.frame()["sequence"].to_list()
    assert numbers == [0, 200, *range(1, 51), 201, *range(51, 100), 202, 203]
    assert ring.frame(last=2)["sequence"].to_list() == [202, 203]


def test_a_late_row_that_does_not_fit_leaves_the_ring_as_it_was() -> None:
    ring = Ring(Trade, capacity=10)
    ring.extend([stamped(10, 1)])

    with pytest.raises(InvalidInput, match="cannot hold"):
        ring.insert([stamped(5, 2), make(Trade, local_timestamp=6, price="dear")])

    assert ring.frame()["sequence"].to_list() == [1]
    assert ring.total == 1
