"""Records as lines of CSV and back, to the bit.

Comma, LF, UTF-8; the header is the record's columns. Times are integer ns UTC, floats the shortest
text that reads back equal, flags ``true`` and ``false``; a list is its numbers with a space between
them. Missing is empty, while an empty text, and a list without numbers, is ``""``. Text that holds
a comma, a quote or a line break is quoted, with inner quotes doubled.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import IO, Any, BinaryIO, NamedTuple, Self

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.model.records import Column, Record, columns_of, schema_of

__all__ = [
    "LONGEST_LINE",
    "LONGEST_RECORD",
    "Encoded",
    "LineCounter",
    "Piece",
    "Shape",
    "Whole",
    "Wrong",
    "are_rows",
    "can_be_read",
    "chunks",
    "encode",
    "end_of_lines",
    "header_of",
    "integer_of",
    "is_header",
    "kinds_of",
    "last_line",
    "parsed_csv",
    "pieces",
    "read_column",
    "read_records",
    "read_rows",
    "readable",
    "records_of",
    "shape_of",
    "stored_types",
    "unreadable",
    "whole",
    "without_records",
]

#: Bytes of a record at most; the longest of a recorder are some 5,000.
LONGEST_RECORD = 1 << 16
#: Bytes of a line beyond which none is read, whatever it is.
LONGEST_LINE = 16 << 20

# polars formats large batches faster and without the GIL, but each call has its price; a row of
# lists is worth some hundred cells.
_POLARS_ROWS = 128
_POLARS_ROWS_OF_LISTS = 16
_BLOCK = 1 << 20
_DIGITS = 20  # of a number of 64 bits, with its sign
_RESUMED = 1 << 12  # bytes that are looked at behind a stray quote
_STRAYS = 200  # quotes behind which this is done, each time for one line
_MOST_WRONG = 64  # lines of a piece that are told; the others are counted

_STORED: dict[Column, pl.DataType] = {
    Column.TIME: pl.Int64(),
    Column.INTEGER: pl.Int64(),
    Column.NUMBER: pl.Float64(),
    Column.NUMBERS: pl.String(),
    Column.SIDE: pl.String(),
    Column.FLAG: pl.Boolean(),
    Column.LABEL: pl.String(),
    Column.TEXT: pl.String(),
}
_KINDS: dict[type[Record], dict[str, Column]] = {}
_LIST = pl.List(pl.Float64())
_SIDES = frozenset({"buy", "sell", None})
_BAD_VALUE = (TypeError, ValueError, OverflowError, AttributeError, pl.exceptions.PolarsError)


class Encoded(NamedTuple):
    """Lines, how many rows they are, and why others were refused."""

    lines: bytes
    rows: int
    refused: int = 0
    reason: str = ""


def header_of(record: type[Record]) -> bytes:
    """Give the first line of a record's file, with its newline."""
    return ",".join(columns_of(record)).encode() + b"\n"


def encode(record: type[Record], rows: Sequence[Record]) -> Encoded:
    """Turn records of one type into lines.

    Parameters
    ----------
    record
        Their type.
    rows
        In order. One with a number that is not finite, a half surrogate pair, or a value that does
        not fit its column is refused; the others are kept.

    Returns
    -------
    Encoded
        ``reason`` names the first refused value.
    """
    kinds = kinds_of(record)
    enough = _POLARS_ROWS_OF_LISTS if Column.NUMBERS in kinds.values() else _POLARS_ROWS
    way = _by_polars if len(rows) >= enough else _by_column
    try:
        return Encoded(way(kinds, rows), len(rows))
    except _BAD_VALUE:
        return _one_by_one(record, kinds, rows)


def kinds_of(record: type[Record]) -> dict[str, Column]:
    kinds = _KINDS.get(record)
    if kinds is None:
        kinds = _KINDS[record] = columns_of(record)
    return kinds


def _by_polars(kinds: dict[str, Column], rows: Sequence[Record]) -> bytes:
    columns = [
        _series(name, kind, values)
        for (name, kind), values in zip(kinds.items(), zip(*rows, strict=True), strict=True)
    ]
    frame = pl.DataFrame(columns)
    numbers = [name for name, kind in kinds.items() if kind is Column.NUMBER]
    if numbers and not all(frame.select(pl.col(numbers).is_finite().all()).row(0)):
        raise ValueError("a number is not finite")
    return frame.write_csv(include_header=False).encode()


def _series(name: str, kind: Column, values: Sequence[Any]) -> pl.Series:
    if kind is Column.NUMBERS:
        return _joined(pl.Series(name, values, dtype=_LIST, strict=True))
    if kind is Column.SIDE and not set(values) <= _SIDES:
        raise ValueError("a side is neither buy nor sell")
    if kind is Column.NUMBER and bool in set(map(type, values)):
        raise TypeError("a flag is no number")
    return pl.Series(name, values, dtype=_STORED[kind], strict=True)


def _joined(lists: pl.Series) -> pl.Series:
    # A sum is finite only if all its numbers are; one that overflows is looked at more closely.
    if not lists.list.sum().is_finite().all():
        raise ValueError("a number of a list is not finite")
    joined = lists.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=False)
    if joined.null_count() != lists.null_count():
        raise ValueError("a number of a list is missing")
    return joined


def _by_column(kinds: dict[str, Column], rows: Sequence[Record]) -> bytes:
    cells = [
        _cells(kind, values)
        for kind, values in zip(kinds.values(), zip(*rows, strict=True), strict=True)
    ]
    lines = list(map(",".join, zip(*cells, strict=True)))
    lines.append("")
    return "\n".join(lines).encode()


def _cells(kind: Column, values: Sequence[Any]) -> list[str]:
    types = set(map(type, values))
    if types == {float} and kind is Column.NUMBER and all(map(math.isfinite, values)):
        texts = list(map(repr, values))
        return [text.replace("e-0", "e-") for text in texts]
    if types == {int} and kind in (Column.TIME, Column.INTEGER):
        if min(values) >= -(2**63) and max(values) < 2**63:
            return list(map(str, values))
    elif types == {str} and len(set(values)) == 1:
        return [_CELLS[kind](values[0])] * len(values)
    return list(map(_CELLS[kind], values))


def _one_by_one(record: type[Record], kinds: dict[str, Column], rows: Sequence[Record]) -> Encoded:
    lines: list[bytes] = []
    refused, reason = 0, ""
    for row in rows:
        try:
            lines.append(_by_column(kinds, (row,)))
        except _BAD_VALUE:
            refused += 1
            reason = reason or _why(record, kinds, row)
    return Encoded(b"".join(lines), len(lines), refused, reason)


def _why(record: type[Record], kinds: dict[str, Column], row: Record) -> str:
    if len(row) != len(kinds):
        return f"a {record.__name__} has {len(kinds)} columns, not {len(row)}"
    for (name, kind), value in zip(kinds.items(), row, strict=True):
        try:
            _CELLS[kind](value).encode()
        except _BAD_VALUE:
            return f"{record.__name__}.{name} cannot be {value!r:.60}"
    return f"a {record.__name__} cannot be written"


def _integer(value: Any) -> str:
    if value is None:
        return ""
    number = int(operator.index(value))
    if -(2**63) <= number < 2**63:
        return str(number)
    raise OverflowError("beyond 64 bits")


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | str | bytes):
        raise TypeError("no number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not finite")
    text = repr(number)
    return text.replace("e-0", "e-") if "e-0" in text else text


def _numbers(values: Any) -> str:
    if values is None:
        return ""
    if None in values:
        raise ValueError("a number of a list is missing")
    return " ".join(map(_number, values)) or '""'


def _side(value: Any) -> str:
    if value is None:
        return ""
    if value in _SIDES:
        return str(value)
    raise ValueError("neither buy nor sell")


def _flag(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    raise TypeError("no flag")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    if not value:
        return '""'
    if "," in value or '"' in value or "\n" in value or "\r" in value:
        return '"' + value.replace('"', '""') + '"'
    return value


_CELLS: dict[Column, Callable[[Any], str]] = {
    Column.TIME: _integer,
    Column.INTEGER: _integer,
    Column.NUMBER: _number,
    Column.NUMBERS: _numbers,
    Column.SIDE: _side,
    Column.FLAG: _flag,
    Column.LABEL: _text,
    Column.TEXT: _text,
}


# -- and back --------------------------------------------------------------------------------------


def read_rows(
    record: type[Record],
    text: bytes,
    header: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Read lines back.

    At once, and not by a lazy scan: a source of rows that polars calls must not collect a scan of
    its own. Polars 1.35 waits for ever where it calls two of them side by side.

    Parameters
    ----------
    record
        What they are.
    text
        Whole lines, the header first.
    header
        The file's columns where they differ from the record's: further ones are left out, and
        missing ones null.
    columns
        Only these of the record's; all of them when left out.

    Returns
    -------
    pl.DataFrame
        With ``schema_of(record)``, or these columns of it.

    Raises
    ------
    polars.exceptions.PolarsError
        If a value cannot be read.
    """
    kinds = kinds_of(record)
    stored, types = stored_types(kinds, header), schema_of(record)
    wanted = list(kinds) if columns is None else list(columns)
    there = [name for name in wanted if name in stored] or list(stored)[:1]
    rows = pl.read_csv(text, schema=stored, columns=there, glob=False)
    return rows.with_columns(
        read_column(name, kinds[name], types[name])
        if name in stored
        else pl.lit(None, dtype=types[name]).alias(name)
        for name in wanted
    ).select(wanted)


def stored_types(kinds: dict[str, Column], header: Sequence[str] | None) -> dict[str, pl.DataType]:
    there = list(kinds) if header is None else list(header)
    return {name: _STORED[kinds[name]] if name in kinds else pl.String() for name in there}


def read_records(
    record: type[Record], text: bytes, header: Sequence[str] | None = None
) -> list[Record]:
    """Read whole lines back as records.

    Parameters
    ----------
    record
        What they are.
    text
        The lines, without the header.
    header
        As in ``read_rows``.

    Raises
    ------
    polars.exceptions.PolarsError
        Where a value cannot be read.
    """
    kinds = kinds_of(record)
    stored = stored_types(kinds, header)
    rows = parsed_csv(text, stored)
    lists = [name for name, kind in kinds.items() if kind is Column.NUMBERS and name in stored]
    if lists:
        rows = rows.with_columns(read_column(name, Column.NUMBERS, _LIST) for name in lists)
    return records_of(record, rows)


def parsed_csv(
    text: bytes, stored: dict[str, pl.DataType], *, is_strict: bool = True
) -> pl.DataFrame:
    # Behind a header, as polars decompresses whatever begins as gzip, zlib or zstd does.
    first = ",".join(stored).encode() + b"\n"
    return pl.read_csv(first + text, schema=stored, ignore_errors=not is_strict, glob=False)


def is_header(line: bytes) -> bool:
    """Tell whether a line can be a header: one that polars takes for text, too."""
    return line.endswith(b"\n") and line[:2].isalnum() and line.isascii() and b'"' not in line


def records_of(record: type[Record], rows: pl.DataFrame) -> list[Record]:
    """Turn a frame into records; a column that it lacks is None in all of them."""
    there = set(rows.columns)
    columns = [
        _values(kind, rows[name]) if name in there else repeat(None, rows.height)
        for name, kind in kinds_of(record).items()
    ]
    # As `record._make`, which costs twice that.
    made: Any = map(tuple.__new__, repeat(record), zip(*columns, strict=True))
    return list(made)


def _values(kind: Column, column: pl.Series) -> list[Any]:
    if kind is Column.TIME:
        return column.to_physical().to_list()
    if kind is Column.NUMBERS:
        return [None if values is None else tuple(values) for values in column.to_list()]
    if kind in (Column.LABEL, Column.SIDE):
        return _texts(column.cast(pl.String))
    return column.to_list()


def _texts(column: pl.Series) -> list[Any]:
    # Mostly one symbol throughout: then there is one text for all.
    first = column.first()
    if first is not None and (column == first).all(ignore_nulls=False):
        return [first] * len(column)
    return column.to_list()


def read_column(name: str, kind: Column, dtype: pl.DataType, *, is_strict: bool = True) -> pl.Expr:
    column = pl.col(name)
    if kind is not Column.NUMBERS:
        return column if dtype == _STORED[kind] else column.cast(dtype, strict=is_strict)
    # A list without numbers must not reach the cast, which would not take "" for a number.
    texts = pl.when(column != "").then(column).otherwise(None).str.split(" ")
    numbers = texts.cast(_LIST, strict=is_strict)
    return pl.when(column == "").then(pl.lit([], dtype=_LIST)).otherwise(numbers).alias(name)


class Whole(NamedTuple):
    """How much of a file is whole lines: bytes, and records, the header's included."""

    size: int
    records: int


def whole(file: BinaryIO, size: int) -> Whole:
    """Measure the whole lines of a file's first bytes; what follows them is torn.

    A line ends at an LF outside quotes, so neither a number that was cut nor a text that was cut
    behind its own line break passes for one.
    """
    counter = LineCounter()
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        size -= len(block)
        counter.take(block)
    return Whole(counter.size, counter.records)


class LineCounter:
    """Measures whole lines as ``whole`` does, of a text that comes in pieces.

    Attributes
    ----------
    size, records
        Of what was taken; what follows the last line is left out.
    """

    def __init__(self) -> None:
        self.size = self.records = 0
        self._position = 0
        self._is_quoted = False
        self._rest = b""  # of the last line, while that is not whole
        self._last = b""

    def take(self, text: bytes) -> None:
        """Go on with the next piece."""
        ends, self._is_quoted = _ends(text, self._is_quoted)
        start = 0
        if len(ends):
            start = int(ends[-1]) + 1
            begin = int(ends[-2]) + 1 if len(ends) > 1 else 0
            self._last = (b"" if begin else self._rest) + text[begin:start]
            self._rest = b""
            self.size = self._position + start
            self.records += len(ends)
        self._position += len(text)
        if len(self._rest) <= LONGEST_RECORD:
            self._rest += text[start:]

    def copy(self) -> Self:
        """Give one that goes on by itself, to come back to."""
        return copy.copy(self)

    def last_integer(self, column: int) -> int | None:
        """Read a column of the last whole line, which no text stands before; None if it is none."""
        cells = self._last.split(b",", column + 1)
        return integer_of(cells[column]) if column < len(cells) else None


def integer_of(cell: bytes) -> int | None:
    """Read a cell that is a whole number; None if it is none of 64 bits."""
    digits = cell.strip()
    if len(digits) > _DIGITS or not digits.removeprefix(b"-").isdigit():
        return None
    return int(digits)


def end_of_lines(text: bytes) -> int:
    """Tell where the last whole line of a text ends that begins with a line; 0 without any."""
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    ends, _ = _ends(text, is_quoted=False)
    return int(ends[-1]) + 1 if len(ends) else 0


def last_line(text: bytes) -> bytes:
    """Give the last line of a text of lines; the last newline may be missing."""
    body = text.removesuffix(b"\n")
    return body[end_of_lines(body) :]


def _ends(block: bytes, is_quoted: bool) -> tuple[Any, bool]:
    values = np.frombuffer(block, dtype=np.uint8)
    feeds = values == 10
    quotes = block.count(b'"')
    if quotes:
        # Only whether there are odd many matters, so the sums may run over.
        inside = (np.cumsum(values == 34, dtype=np.uint8) + is_quoted) & 1
        return np.flatnonzero(feeds & (inside == 0)), bool((quotes + is_quoted) & 1)
    return np.flatnonzero(feeds) if not is_quoted else [], is_quoted


class Shape(NamedTuple):
    """Of a text of whole lines, per record: the line it starts on, its offset, its fields."""

    lines: Any
    offsets: Any
    fields: Any

    def records(self, text: bytes) -> Iterator[bytes]:
        """Cut the text into its records, without their newlines."""
        ends = [*self.offsets[1:], len(text)] if text else []
        for start, end in zip(self.offsets, ends, strict=True):
            yield text[start : end - 1]


def shape_of(text: bytes) -> Shape:
    """Measure the records of a text that consists of whole lines.

    Raises
    ------
    InvalidInput
        If it ends within a line.
    """
    if not text:
        return Shape([], [], [])
    values = np.frombuffer(text, dtype=np.uint8)
    feeds, commas = values == 10, values == 44
    if b'"' in text:
        outside = (np.cumsum(values == 34, dtype=np.uint8) & 1) == 0
        ends, commas = np.flatnonzero(feeds & outside), commas & outside
    else:
        ends = np.flatnonzero(feeds)
    if not len(ends) or ends[-1] != len(text) - 1:
        raise InvalidInput("the text ends within a line")
    offsets = np.concatenate(([0], ends[:-1] + 1))
    if len(ends) == text.count(b"\n"):
        lines = np.arange(1, len(ends) + 1)
    else:
        lines = 1 + np.searchsorted(np.flatnonzero(feeds), offsets)
    fields = 1 + np.add.reduceat(commas, offsets, dtype=np.int64)
    return Shape(lines, offsets, fields)


def chunks(file: IO[bytes], size: int = 1 << 22) -> Iterator[bytes]:
    """Read whole lines, some 4 MB at a time; a torn rest is left out.

    Raises
    ------
    InvalidInput
        If one is longer than ``LONGEST_LINE``.
    """
    rest = b""
    while block := file.read(size):
        rest += block
        cut = end_of_lines(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        if len(rest) > LONGEST_LINE:
            raise InvalidInput(f"a line is longer than {LONGEST_LINE:,} bytes")


def are_rows(text: bytes, columns: int) -> bool:
    """Tell whether a text has no more lines than there can be rows of some columns in it.

    Of blank lines polars makes rows without any value, which take far more memory than the text.
    """
    return text.count(b"\n") * columns <= len(text) + columns


# -- what is not as a recorder writes it -----------------------------------------------------------


class Wrong(NamedTuple):
    """A line that is no record: which one, from 1, and how many fields it has.

    None where a quote on it is never closed, or where it is too long to be looked at.
    """

    line: int
    fields: int | None
    is_too_long: bool = False


class Piece(NamedTuple):
    """Some records of a file, the line that each begins on, and what lies between them.

    ``text`` holds the records only. Of the ``wrongs`` lines that are none, the first are in
    ``wrong``.
    """

    text: bytes
    lines: Any
    wrong: list[Wrong]
    wrongs: int


_NO_LINES = np.empty(0, dtype=np.int64)


def pieces(file: IO[bytes], columns: int, *, line: int = 1, most: int = 1 << 20) -> Iterator[Piece]:
    """Read records piece by piece, whatever is in the file.

    A line of another number of fields is left out, and so is one with a quote that is never closed:
    of the lines that a stray quote has made one record, the first one is left out and the next ones
    are looked at by themselves. So no more than ``most`` bytes are held, and no damage reaches
    further than it must. Behind many stray quotes each line is taken by itself.

    Parameters
    ----------
    file
        Consists of lines; behind the last line break there is nothing of use.
    columns
        Fields of a record.
    line
        The number of its first line.
    most
        Bytes of a piece, at most; a record may have 64 kB all the same.
    """
    text, at, window, is_end = b"", 0, most, False
    largest = max(most, LONGEST_RECORD + _RESUMED)
    strays = 0
    while True:
        while len(text) - at < window and not is_end:
            block = file.read(max(most, window))
            text, at, is_end = text[at:] + block, 0, not block
        view = text[at : at + window]
        is_last = is_end and at + window >= len(text)
        is_strewn = strays > _STRAYS
        sift = _sift_lines if is_strewn else _sift
        piece, size = sift(view, columns, line, is_last=is_last)
        if piece.text or piece.wrong:
            yield piece
        if not size and is_last:
            return
        if not size and window >= largest:
            yield Piece(b"", _NO_LINES, [Wrong(line, None, is_too_long=True)], 1)
            text = _behind_line(file, text[at:], most)
            at, line = 0, line + 1
            continue
        # Behind a stray quote only a little is looked at, as there may be another one soon.
        is_resumed = bool(piece.wrong) and size < len(view) and not is_strewn
        strays += is_resumed
        window = min(_RESUMED if is_resumed else 2 * window, largest)
        line += view.count(b"\n", 0, size)
        at += size


def _behind_line(file: IO[bytes], text: bytes, most: int) -> bytes:
    """Skip the rest of a line; gives what is read already of those behind it."""
    while text and b"\n" not in text:
        text = file.read(most)
    return text[text.find(b"\n") + 1 :]


def _sift(text: bytes, columns: int, line: int, *, is_last: bool) -> tuple[Piece, int]:
    """Take records off the beginning of a text, as far as they can be told; gives their bytes."""
    size = end_of_lines(text)
    shape = shape_of(text[:size])
    if size:
        stop = _first_of_many(shape, text[:size], columns)
        if stop is not None:
            start = int(shape.offsets[stop])
            its = Wrong(line + int(shape.lines[stop]) - 1, int(shape.fields[stop]))
            piece = _with(_piece(text[:start], _upto(shape, stop), columns, line), its)
            return piece, text.find(b"\n", start) + 1
    piece = _piece(text[:size], shape, columns, line)
    rest = len(text) - size
    end = text.find(b"\n", size) + 1
    if end and (is_last or rest > LONGEST_RECORD):
        return _with(piece, Wrong(line + text.count(b"\n", 0, size), None)), end
    return piece, size


def _sift_lines(text: bytes, columns: int, line: int, *, is_last: bool) -> tuple[Piece, int]:
    """Do as ``_sift``, but end each record with its line: a quote left open costs that alone."""
    del is_last
    size = text.rfind(b"\n") + 1
    if not size:
        return Piece(b"", _NO_LINES, [], 0), 0
    values = np.frombuffer(text, dtype=np.uint8, count=size)
    ends = np.flatnonzero(values == 10)
    offsets = np.concatenate(([0], ends[:-1] + 1))
    # Only whether there are odd many matters, so the sums may run over.
    is_odd = (np.cumsum(values == 34, dtype=np.uint8) & 1).view(bool)
    began_odd = np.concatenate(([False], is_odd[ends[:-1]]))
    commas = values == 44
    inside, outside = (
        np.diff(np.cumsum(commas & each, dtype=np.int32)[ends], prepend=0)
        for each in (is_odd, ~is_odd)
    )
    fields = 1 + np.where(began_odd, inside, outside)
    fields[is_odd[ends] != began_odd] = 0  # a quote is never closed
    shape = Shape(np.arange(1, len(ends) + 1), offsets, fields)
    return _piece(text[:size], shape, columns, line), size


def _first_of_many(shape: Shape, text: bytes, columns: int) -> int | None:
    """Find the first record that is none and has several lines: a stray quote may have made it."""
    if b'"' not in text:
        return None
    bad = np.flatnonzero(np.asarray(shape.fields) != columns)
    if not len(bad):
        return None
    following = np.append(shape.lines[1:], 1 + text.count(b"\n"))
    many = bad[(following - shape.lines)[bad] > 1]
    return int(many[0]) if len(many) else None


def _upto(shape: Shape, stop: int) -> Shape:
    return Shape(shape.lines[:stop], shape.offsets[:stop], shape.fields[:stop])


def _with(piece: Piece, wrong: Wrong) -> Piece:
    told = [*piece.wrong, wrong] if piece.wrongs < _MOST_WRONG else piece.wrong
    return piece._replace(wrong=told, wrongs=piece.wrongs + 1)


def _piece(text: bytes, shape: Shape, columns: int, line: int) -> Piece:
    if not text:
        return Piece(b"", _NO_LINES, [], 0)
    lines = shape.lines + (line - 1)
    is_right = shape.fields == columns
    if is_right.all():
        return Piece(text, lines, [], 0)
    bad = np.flatnonzero(~is_right)
    wrong = [
        Wrong(int(lines[at]), int(shape.fields[at]) or None) for at in bad[:_MOST_WRONG].tolist()
    ]
    return Piece(without_records(text, shape.offsets, bad), lines[is_right], wrong, len(bad))


def without_records(text: bytes, offsets: Any, bad: Any) -> bytes:
    """Leave records out of a text."""
    if len(bad) == len(offsets):
        return b""
    is_kept = np.ones(len(offsets), dtype=bool)
    is_kept[bad] = False
    is_in = np.repeat(is_kept, np.diff(offsets, append=len(text)))
    kept: bytes = np.frombuffer(text, dtype=np.uint8)[is_in].tobytes()
    return kept


def unreadable(
    record: type[Record], text: bytes, header: Sequence[str] | None = None
) -> Iterator[int]:
    """Find the records of a text of which a value cannot be read; gives their places, from 0."""
    bounds = np.append(shape_of(text).offsets, len(text)).astype(np.int64)
    try:
        found = _misread(record, text, header)
    except pl.exceptions.PolarsError:
        found = ()
    if len(found) != len(bounds) - 1:
        found = np.zeros(len(bounds) - 1, dtype=bool)
    yield from np.flatnonzero(found).tolist()
    # What is left can be read, or else is looked at record by record.
    yield from _by_halves(record, text, bounds, header, np.flatnonzero(~found))


def _misread(record: type[Record], text: bytes, header: Sequence[str] | None) -> Any:
    """Find the records of which a cell is not empty, and yet nothing is read of it."""
    kinds = kinds_of(record)
    stored = stored_types(kinds, header)
    texts = parsed_csv(text, dict.fromkeys(stored, pl.String()))
    loose = parsed_csv(text, stored, is_strict=False)
    bad = np.zeros(texts.height, dtype=bool)
    types = schema_of(record)
    for name in stored.keys() & kinds.keys():
        cells = loose.select(read_column(name, kinds[name], types[name], is_strict=False))[name]
        is_lost = cells.is_null()
        if kinds[name] is Column.NUMBERS:
            is_lost |= cells.list.eval(pl.element().is_null()).list.any().fill_null(value=False)
        given = texts[name].is_not_null()
        if stored[name] != pl.String():  # of blanks no number is read, and that is not wrong
            blanks = " \t" if stored[name].is_numeric() else ""
            given &= texts[name].str.strip_chars(blanks) != ""
        bad |= (is_lost & given.fill_null(value=False)).to_numpy()
    return bad


def _by_halves(
    record: type[Record], text: bytes, bounds: Any, header: Sequence[str] | None, places: Any
) -> Iterator[int]:
    spans = [(0, len(places))]
    while spans:
        start, stop = spans.pop()
        if can_be_read(record, _only(text, bounds, places[start:stop]), header):
            continue
        if stop - start == 1:
            yield int(places[start])
            continue
        middle = (start + stop) // 2
        spans += [(middle, stop), (start, middle)]


def _only(text: bytes, bounds: Any, places: Any) -> bytes:
    """Take records out of a text; ``bounds`` is where each begins, and the end of the last."""
    if not len(places):
        return b""
    first, behind = int(places[0]), int(places[-1]) + 1
    part = text[bounds[first] : bounds[behind]]
    others = np.setdiff1d(np.arange(first, behind), places, assume_unique=True)
    if not len(others):
        return part
    return without_records(part, bounds[first:behind] - bounds[first], others - first)


def can_be_read(record: type[Record], text: bytes, header: Sequence[str] | None) -> bool:
    """Tell whether every value of a text of records can be read."""
    if not text:
        return True
    try:
        first = ",".join(stored_types(kinds_of(record), header)).encode() + b"\n"
        read_rows(record, first + text, header)
    except pl.exceptions.PolarsError:
        return False
    return True


def readable(
    record: type[Record],
    file: IO[bytes],
    header: Sequence[str] | None = None,
    *,
    most: int = 1 << 20,
) -> Iterator[bytes]:
    """Give the records of a damaged file that can be read, as text, piece by piece.

    Parameters
    ----------
    record, header
        As in ``read_rows``.
    file
        Stands behind its header; see ``pieces``.
    most
        Bytes of a piece.
    """
    columns = len(kinds_of(record) if header is None else header)
    for piece in pieces(file, columns, most=most):
        text = piece.text
        if not can_be_read(record, text, header):
            bad = list(unreadable(record, text, header))
            text = without_records(text, shape_of(text).offsets, bad)
        if text:
            yield text
