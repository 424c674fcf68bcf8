"""The newest rows of one channel: appended by one thread, read as polars frames by any.

Rows live in *blocks* of columns. A block's memory is written once, front to back, and never again.
A frame points at the rows below the row count that it read, so it costs no copy and cannot change.
A full block is turned into a polars frame once. The oldest block is dropped as a whole.

One writer and many readers need no lock, for this reason. The writer stores a row's values first
and the block's row count last, and it replaces the ring's state (earlier blocks, current block) by
one store of one reference. A reader loads the state, then the count, then the memory, so it finds
every value below the count it loaded. Under the GIL these loads and stores happen in the order
written, and taking the GIL is a full memory barrier on any processor. Free-threaded CPython makes
each single load and store of an attribute atomic, but the processor decides the order between
them: x86 keeps it, others do not promise it, and neither is tested. Values beyond the count belong
to no row: a batch that failed half-way may leave anything there, and the next batch overwrites it.

polars reads Arrow memory in place. The Arrow C data interface exists for this, but polars does not
promise it, so the tests check it.
"""

from __future__ import annotations

import functools
import mmap
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, islice
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from kucoin_research.errors import InvalidInput
from kucoin_research.model.records import Column, Record, columns_of, schema_of

__all__ = ["Ring"]

Values: TypeAlias = Sequence[Any]  # of one column; struct refuses values that do not fit
Rows: TypeAlias = Sequence[tuple[object, ...]]
_Layout: TypeAlias = list[tuple[str, Column, pl.DataType]]

# Frames of 64k-row chunks are queried nearly as fast as contiguous ones; 1k-row chunks are slower.
# Up to two blocks are kept beyond the capacity; at a sixteenth of it each, that is not much.
_MAX_BLOCK_ROWS = 65_536
_MIN_BLOCK_ROWS = 256
_BLOCKS = 16

_LOCAL = "local_timestamp"

# Average room per row for values of varying length; a block without room left is closed early.
_TEXT_BYTES = 32
_LIST_VALUES = 56
_LARGE = 1 << 20  # bytes; the system's own pages are worth their call from here on

# Errors of struct, dict lookups, `len` and `str.encode` for a value that does not fit its column.
_BAD_VALUE = (struct.error, TypeError, ValueError, KeyError, OverflowError, AttributeError)


class Ring:
    """Keeps the newest rows of one record type and returns them as immutable frames.

    Only one thread at a time may call ``append``, ``extend``, ``insert`` and ``clear``; the caller
    ensures this. Everything else may be called from any thread meanwhile, and never waits.

    Parameters
    ----------
    record
        The record type; its columns are the frames' columns.
    capacity
        Most rows of a frame. Up to two blocks more are kept in memory.
    block_rows
        Rows per block; by default a sixteenth of the capacity, within 256 to 65,536.

    Raises
    ------
    InvalidInput
        If ``capacity`` or ``block_rows`` is not positive.

    Examples
    --------
    >>> from kucoin_research.model.records import MarkPrice
    >>> ring = Ring(MarkPrice, capacity=1_000)
    >>> ring.append(MarkPrice(1, 2, "XBTUSDTM", 80_000.5, None))
    >>> ring.frame()["mark_price"].to_list()
    [80000.5]
    """

    def __init__(
        self, record: type[Record], capacity: int = 1_000_000, *, block_rows: int | None = None
    ) -> None:
        if block_rows is None:
            block_rows = min(max(capacity // _BLOCKS, _MIN_BLOCK_ROWS), _MAX_BLOCK_ROWS)
        if capacity < 1 or block_rows < 1:
            raise InvalidInput(
                f"a ring holds at least one row, not capacity={capacity}, block_rows={block_rows}"
            )
        self._record = record
        self._capacity = capacity
        self._block_rows = block_rows
        self._layout = _layout(record)
        self._newest: Record | None = None
        self._state = _State((), 0, 0, self._new_block())

    @property
    def record(self) -> type[Record]:
        """The record type."""
        return self._record

    @property
    def capacity(self) -> int:
        """Most rows of a frame."""
        return self._capacity

    @property
    def total(self) -> int:
        """Number of rows ever appended."""
        state = self._state
        return state.before + state.current.rows

    @property
    def nbytes(self) -> int:
        """Bytes allocated for rows; the current block's may not use physical memory yet."""
        state = self._state
        return sum(sealed.nbytes for sealed in state.sealed) + state.current.nbytes

    def __len__(self) -> int:
        state = self._state
        return min(state.before + state.current.rows - state.cleared, self._capacity)

    def __repr__(self) -> str:
        return f"<Ring of {self._record.__name__}, {len(self):,} of {self._capacity:,} rows>"

    def append(self, record: Record) -> None:
        """Append one record; see ``extend``."""
        block = self._state.current
        row = block.rows
        if row < self._block_rows and block.put(row, record):
            block.rows = row + 1  # last, since it shows the row to readers
        else:
            self._spill((record,))
        self._newest = record

    def extend(self, records: Sequence[Record]) -> None:
        """Append records in order: all of them, or none when one does not fit its columns.

        Parameters
        ----------
        records
            Records of the ring's type. Integers are exact 64-bit. A number column takes integers,
            but an integer column takes no floats. ``None`` becomes null in any column.

        Raises
        ------
        InvalidInput
            If a record has a value of the wrong type, an integer beyond 64 bits, a side other than
            ``buy`` and ``sell``, or too few or too many values. The ring is as it was before.
        """
        if not records:
            return
        block = self._state.current
        start = block.rows
        stop = start + len(records)
        if stop <= self._block_rows and block.write(start, records):
            block.rows = stop  # last, since it shows the rows to readers
        else:
            self._spill(records)
        self._newest = records[-1]

    def insert(self, records: Sequence[Record]) -> None:
        """Insert late records among the rows; both are sorted by ``local_timestamp``.

        For few records: it copies all rows that are newer than the first of them.

        Raises
        ------
        InvalidInput
            Under the conditions of ``extend``. The ring is as it was before.
        """
        state = self._state
        block = state.current
        late = _Block(self._record.__name__, self._layout, len(records))
        late.write(0, records)
        frames = [block.frame(0, block.rows), late.frame(0, len(records))]
        kept = list(state.sealed)
        while kept and _is_later(kept[-1].frame(), records[0]):
            frames.insert(0, kept.pop().frame())
        merged = pl.concat(frames).sort(_LOCAL, maintain_order=True)
        sealed = (*kept, *map(_Sealed, merged.iter_slices(self._block_rows)))
        before = state.before + block.rows + len(records)
        self._replace(sealed, before, self._new_block(), 0)
        newest = self._newest
        if newest is None or (newest.local_timestamp or 0) <= (records[-1].local_timestamp or 0):
            self._newest = records[-1]

    def clear(self) -> None:
        """Forget all rows; ``total`` keeps its count, and frames taken before stay as they are."""
        total = self.total
        self._state = _State((), total, total, self._new_block())
        self._newest = None

    def newest(self) -> Record | None:
        """Return the newest record without making a frame; None without rows."""
        return self._newest

    def frame(self, last: int | None = None, *, rechunk: bool = False) -> pl.DataFrame:
        """Take a snapshot of the rows, which never changes.

        Parameters
        ----------
        last
            Only the newest ``last`` rows.
        rechunk
            Copy into contiguous columns: slower here, faster for ``diff`` and ``to_numpy``.

        Returns
        -------
        pl.DataFrame
            At most ``capacity`` rows in the order of appending, with ``schema_of(record)``.

        Raises
        ------
        InvalidInput
            If ``last`` is negative.
        """
        if last is not None and last < 0:
            raise InvalidInput(f"the newest {last} rows cannot be had")
        wanted = self._capacity if last is None else min(last, self._capacity)
        state = self._state
        rows = state.current.rows
        if wanted <= rows or not state.sealed:
            frame = state.current.frame(max(rows - wanted, 0), rows)
        else:
            frame = state.past().vstack(state.current.frame(0, rows)).tail(wanted)
        return frame.rechunk() if rechunk else frame

    def _new_block(self) -> _Block:
        return _Block(self._record.__name__, self._layout, self._block_rows)

    def _spill(self, records: Rows) -> None:
        # Readers see nothing before all is written, so a bad record leaves the ring as it was.
        block = self._state.current
        rows = block.rows
        filled: list[tuple[_Block, int]] = []
        position = 0
        while position < len(records):
            part = records[position : position + self._block_rows - rows]
            if part and block.write(rows, part):
                rows += len(part)
                position += len(part)
            else:
                filled.append((block, rows))
                block, rows = self._new_block(), 0
        self._publish(filled, block, rows)

    def _publish(self, filled: list[tuple[_Block, int]], block: _Block, rows: int) -> None:
        state = self._state
        for full, its_rows in filled:
            full.rows = its_rows
        block.rows = rows
        sealed = (*state.sealed, *(_Sealed(full) for full, _ in filled))
        before = state.before + sum(its_rows for _, its_rows in filled)
        self._replace(sealed, before, block, rows)

    def _replace(self, sealed: tuple[_Sealed, ...], before: int, block: _Block, rows: int) -> None:
        stored = sum(old.rows for old in sealed) + rows
        dropped = 0
        while dropped < len(sealed) and stored - sealed[dropped].rows >= self._capacity:
            stored -= sealed[dropped].rows
            dropped += 1
        self._state = _State(sealed[dropped:], before, self._state.cleared, block)


class _State:
    """A consistent view for readers, replaced as a whole: the blocks, and the rows before them.

    Parameters
    ----------
    sealed
        Full blocks, oldest first.
    before
        Number of rows ever appended before the current block.
    cleared
        ``total`` at the last ``clear``.
    current
        The block that is being written.
    """

    __slots__ = ("_past", "before", "cleared", "current", "sealed")

    def __init__(
        self, sealed: tuple[_Sealed, ...], before: int, cleared: int, current: _Block
    ) -> None:
        self.sealed = sealed
        self.before = before
        self.cleared = cleared
        self.current = current
        self._past: pl.DataFrame | None = None

    def past(self) -> pl.DataFrame:
        """Join the sealed blocks once; if two readers do it at a time, the results are equal."""
        past = self._past
        if past is None:
            frames = [sealed.frame() for sealed in self.sealed]
            past = self._past = pl.concat(frames, rechunk=False)
        return past


class _Sealed:
    """A block that is not written any more; it becomes a polars frame when a reader first asks.

    The reader converts it, so that the feed's thread never has to. This frees masks and spare room.
    """

    __slots__ = ("_content", "rows")

    def __init__(self, content: _Block | pl.DataFrame) -> None:
        self.rows = content.rows if isinstance(content, _Block) else content.height
        self._content = content

    @property
    def nbytes(self) -> int:
        content = self._content
        return content.nbytes if isinstance(content, _Block) else _frame_nbytes(content)

    def frame(self) -> pl.DataFrame:
        content = self._content
        if isinstance(content, _Block):
            content = self._content = content.whole()
        return content


class _Block:
    """Columns of equal length; rows below ``rows`` are final, anything above is unused."""

    __slots__ = ("_columns", "_layout", "_name", "rows")

    def __init__(self, name: str, layout: _Layout, limit: int) -> None:
        self.rows = 0
        self._name = name
        self._layout = layout
        self._columns = _columns(layout, limit)

    @property
    def nbytes(self) -> int:
        return sum(column.nbytes for column in self._columns)

    def put(self, row: int, record: tuple[object, ...]) -> bool:
        """Write one record, faster than ``write``; False if there is no room."""
        try:
            for column, value in zip(self._columns, record, strict=True):
                if not column.put(row, value):
                    return False
        except _BAD_VALUE as error:
            raise InvalidInput(self._explain((record,))) from error
        return True

    def write(self, start: int, records: Rows) -> bool:
        """Write records from row ``start`` on; False if there is no room: then seal the block."""
        try:
            for column, values in zip(self._columns, zip(*records, strict=True), strict=True):
                if not column.write(start, values):
                    return False
        except _BAD_VALUE as error:
            raise InvalidInput(self._explain(records)) from error
        return True

    def frame(self, start: int, stop: int) -> pl.DataFrame:
        return pl.DataFrame([column.series(start, stop) for column in self._columns])

    def whole(self) -> pl.DataFrame:
        for column in self._columns:
            column.trim(self.rows)
        return self.frame(0, self.rows)

    def _explain(self, records: Rows) -> str:
        name, trial = self._name, _columns(self._layout, 1)
        for record in records:
            if not isinstance(record, Sequence) or len(record) != len(self._columns):
                return f"a {name} has {len(self._columns)} values, unlike {record!r}"
            for column, value in zip(trial, record, strict=True):
                if not _fits(column, value):
                    return f"{name}.{column.name} cannot hold {value!r}"
        return f"{name} cannot hold these values"


def _is_later(frame: pl.DataFrame, record: Record) -> bool:
    stamp = record.local_timestamp
    return stamp is None or frame[_LOCAL].to_physical()[-1] > stamp


def _columns(layout: _Layout, limit: int) -> tuple[_Fixed | _Ragged, ...]:
    return tuple(
        _Ragged(name, kind, limit) if kind in _RAGGED else _Fixed(name, kind, dtype, limit)
        for name, kind, dtype in layout
    )


def _layout(record: type[Record]) -> _Layout:
    schema = schema_of(record)
    return [(name, kind, schema[name]) for name, kind in columns_of(record).items()]


def _fits(column: _Fixed | _Ragged, value: object) -> bool:
    try:
        return column.put(0, value)
    except _BAD_VALUE:
        return False


class _Mask:
    """Marks which values are present; takes memory only once a value is missing."""

    __slots__ = ("_limit", "_present")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._present: npt.NDArray[np.uint8] | None = None

    @property
    def nbytes(self) -> int:
        return 0 if self._present is None else self._present.nbytes

    def write(self, start: int, stop: int) -> None:
        """Note that all values are present."""
        if self._present is not None:
            self._present[start:stop] = 1

    def put(self, row: int, present: bool) -> None:
        """Note whether one value is present."""
        if self._present is not None:
            self._present[row] = present
        elif not present:
            self.write_some(row, row + 1, b"\0")

    def write_some(self, start: int, stop: int, present: bytes) -> None:
        """Note which values are present: one byte each, 0 or 1."""
        if self._present is None:
            self._present = np.ones(self._limit, np.uint8)
        self._present[start:stop] = np.frombuffer(present, np.uint8)

    def bitmap(self, start: int, stop: int) -> pa.Buffer | None:
        """Copy the marks as Arrow's bitmap; None if no value is missing."""
        present = self._present
        if present is None or present[start:stop].all():
            return None
        return pa.py_buffer(np.packbits(present[start:stop], bitorder="little"))


class _Fixed:
    """A column of a block whose values all have the same width."""

    __slots__ = (
        "_arrow",
        "_codes",
        "_dtype",
        "_format",
        "_mask",
        "_memory",
        "_missing",
        "_view",
        "name",
    )

    def __init__(self, name: str, kind: Column, dtype: pl.DataType, limit: int) -> None:
        self.name = name
        self._dtype = dtype
        self._format, self._codes, self._missing, self._arrow = _FIXED[kind]
        # Zeros are valid codes, which Arrow wants even under a null.
        self._memory = _zeros(limit, self._format)
        self._view: memoryview[Any] = self._memory.data
        self._mask = _Mask(limit)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes + self._mask.nbytes

    def put(self, row: int, value: Any) -> bool:
        if value is not None:
            self._view[row] = value if self._codes is None else self._codes[value]
        self._mask.put(row, value is not None)
        return True

    def write(self, start: int, values: Values) -> bool:
        if values[0] is None:
            return self._write_missing(start, values)
        try:
            self._store(start, values)
        except _BAD_VALUE:
            if None not in values:
                raise
            return self._write_missing(start, values)
        self._mask.write(start, start + len(values))
        return True

    def series(self, start: int, stop: int) -> pl.Series:
        memory = self._memory[start:stop]
        if self._arrow == pa.bool_():
            memory = np.packbits(memory, bitorder="little")
        buffers = [self._mask.bitmap(start, stop), pa.py_buffer(memory)]
        array = pa.Array.from_buffers(self._arrow, stop - start, buffers)
        series = pl.Series(self.name, array)
        return series if series.dtype == self._dtype else _from_codes(series, self._dtype)

    def trim(self, rows: int) -> None:
        """Do nothing: a sealed block is nearly always full, so there is nothing to free."""

    def _write_missing(self, start: int, values: Values) -> bool:
        present = _presence(values)
        if any(present):
            self._store(start, _filled(values, self._missing))
        self._mask.write_some(start, start + len(values), present)
        return True

    def _store(self, start: int, values: Values) -> None:
        codes = self._codes
        plain = values if codes is None else _encoded(values, codes)
        offset = start * self._view.itemsize
        _packer(self._format, len(values))(self._view, offset, *plain)


class _Ragged:
    """A column of a block with lists or texts: where each ends, and all elements in a row."""

    _data: npt.NDArray[Any]
    __slots__ = ("_bytes", "_data", "_is_text", "_mask", "_offsets", "_offsets_view", "name")

    def __init__(self, name: str, kind: Column, limit: int) -> None:
        self.name = name
        self._is_text = kind is Column.TEXT
        self._offsets = _zeros(limit + 1, "q")
        self._offsets_view: memoryview[int] = self._offsets.data
        self._mask = _Mask(limit)
        self._make_room(limit * (_TEXT_BYTES if self._is_text else _LIST_VALUES))

    @property
    def nbytes(self) -> int:
        return int(self._offsets.nbytes + self._data.nbytes) + self._mask.nbytes

    def put(self, row: int, value: object) -> bool:
        return self.write(row, (value,))

    def write(self, start: int, values: Values) -> bool:
        try:
            room = self._store(start, values)
        except _BAD_VALUE:
            if None not in values:
                raise
            empty: object = "" if self._is_text else ()
            room = self._store(start, _filled(values, empty))
            self._mask.write_some(start, start + len(values), _presence(values))
        else:
            self._mask.write(start, start + len(values))
        return room

    def series(self, start: int, stop: int) -> pl.Series:
        buffers = [self._mask.bitmap(start, stop), pa.py_buffer(self._offsets[start : stop + 1])]
        data = pa.py_buffer(self._data[: self._offsets_view[stop]])
        if self._is_text:
            array = pa.Array.from_buffers(pa.large_string(), stop - start, [*buffers, data])
        else:
            used = self._offsets_view[stop]
            child = pa.Array.from_buffers(pa.float64(), used, [None, data])
            kind = pa.large_list(pa.float64())
            array = pa.Array.from_buffers(kind, stop - start, buffers, children=[child])
        return pl.Series(self.name, array)

    def trim(self, rows: int) -> None:
        """Free the unused room if it is more than a quarter."""
        used = self._offsets_view[rows]
        if used < 0.75 * len(self._data):
            self._data = self._data[:used].copy()

    def _store(self, start: int, values: Values) -> bool:
        join = _joined_texts if self._is_text else _joined_lists
        sizes, elements = join(values)
        used = self._offsets_view[start]
        stop = used + len(elements)
        if stop > len(self._data):
            if start:
                return False
            self._make_room(stop)  # readers see no row of this block yet
        if self._is_text:
            self._bytes[used:stop] = elements
        else:
            struct.pack_into(f"{len(elements)}d", self._bytes, used * 8, *elements)
        # Skip the end of the row before: a reader may be using it, and it is final.
        ends = islice(accumulate(sizes, initial=used), 1, None)
        _packer("q", len(values))(self._offsets_view, (start + 1) * 8, *ends)
        return True

    def _make_room(self, elements: int) -> None:
        self._data = _zeros(elements, "B" if self._is_text else "d")
        self._bytes = self._data.data.cast("B")


def _zeros(count: int, code: str) -> npt.NDArray[Any]:
    """Make zeros of a type, of which a page costs time and memory only once it is written.

    The allocator of ``np.zeros`` does so with memory that comes from the system. Memory that was
    freed before is cleared, and a block with lists of levels has more than 100 MB.
    """
    size = count * np.dtype(code).itemsize
    if size < _LARGE:
        return np.zeros(count, code)
    if sys.platform == "win32":
        memory = mmap.mmap(-1, size)
    else:  # private, so that a forked child does not write into its parent's rows
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, code)


def _joined_texts(values: Values) -> tuple[Iterable[int], Any]:
    text = "".join(values)
    return map(len, values if text.isascii() else map(str.encode, values)), text.encode()


def _joined_lists(values: Values) -> tuple[Iterable[int], Any]:
    return map(len, values), tuple(chain.from_iterable(values))


class _LabelCodes(dict[str, int]):
    """polars' own codes of label texts: one mapping for the whole process, which only grows.

    polars drops the mapping when no series uses it, so one series is kept alive.
    """

    def __init__(self) -> None:
        self._kept = pl.Series([""], dtype=pl.Categorical)

    def __missing__(self, label: str) -> int:
        if type(label) is not str:
            raise TypeError(f"a label is text, not {label!r}")
        label.encode()  # half a surrogate pair raises here, not inside polars
        code = int(pl.Series([label], dtype=pl.Categorical).to_physical()[0])
        self[label] = code
        return code


_LABELS = _LabelCodes()
_SIDES = {"buy": 0, "sell": 1}
_FLAGS = {False: 0, True: 1}

# Per kind: struct and numpy format, codes of its values, stand-in for None, Arrow type.
_FIXED: dict[Column, tuple[str, dict[Any, int] | None, object, pa.DataType]] = {
    Column.TIME: ("q", None, 0, pa.timestamp("ns", tz="UTC")),
    Column.INTEGER: ("q", None, 0, pa.int64()),
    Column.NUMBER: ("d", None, 0.0, pa.float64()),
    Column.SIDE: ("B", _SIDES, "buy", pa.uint8()),
    Column.FLAG: ("B", _FLAGS, False, pa.bool_()),
    Column.LABEL: ("I", _LABELS, "", pa.uint32()),
}
_RAGGED = (Column.TEXT, Column.NUMBERS)


@functools.lru_cache(maxsize=4_096)
def _packer(code: str, count: int) -> Callable[..., None]:
    return struct.Struct(f"{count}{code}").pack_into


def _encoded(values: Values, codes: dict[Any, int]) -> Iterable[int]:
    # Most batches have one symbol and one side, so one lookup does for all rows.
    if len(set(values)) == 1:
        return (codes[values[0]],) * len(values)
    return map(codes.__getitem__, values)


def _presence(values: Values) -> bytes:
    return bytes([value is not None for value in values])


def _filled(values: Values, missing: object) -> list[object]:
    return [missing if value is None else value for value in values]


def _from_codes(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    # Read codes as categories without a copy: polars 2 has `cat.to`, earlier versions a cast.
    return series.cat.to(dtype) if _HAS_CAT_TO else series.cast(dtype)


_HAS_CAT_TO = hasattr(pl.Series([], dtype=pl.Categorical).cat, "to")


def _frame_nbytes(frame: pl.DataFrame) -> int:
    # polars' estimate lacks the 16 bytes with which each row of a text column refers to its text.
    texts = sum(dtype == pl.String for dtype in frame.dtypes)
    return int(frame.estimated_size()) + 16 * texts * frame.height
