"""Records as lines of CSV and back, to the bit.

Comma, LF, UTF-8; the header is the record's columns. Times are integer ns UTC. A float is the
shortest text that reads back equal. Flags are ``true`` and ``false``. A list is its numbers with a
space between them. A missing value is empty; an empty text, and a list without numbers, is ``""``.
Text with a comma, a quote or a line break is quoted, and quotes inside it are doubled.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import polars as pl

from kucoin_research.model.records import Column, Record, columns_of, schema_of

__all__ = [
    "Encoded",
    "encode",
    "header_of",
    "is_header",
    "kinds_of",
    "parsed_csv",
    "read_column",
    "read_records",
    "read_rows",
    "records_of",
    "stored_types",
]


# polars formats large batches faster and without the GIL, but each call has a fixed cost. A row of
# lists costs as much as about a hundred cells.
_POLARS_ROWS = 128
_POLARS_ROWS_OF_LISTS = 16

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
    """Lines, the number of their rows, and why other rows were refused."""

    lines: bytes
    rows: int
    refused: int = 0
    reason: str = ""


def header_of(record: type[Record]) -> bytes:
    """Return the first line of a record's file, with its newline."""
    return ",".join(columns_of(record)).encode() + b"\n"


def encode(record: type[Record], rows: Sequence[Record]) -> Encoded:
    """Turn records of one type into lines.

    Parameters
    ----------
    record
        Their type.
    rows
        In order. A row is refused if it holds a number that is not finite, half a surrogate pair,
        or a value that does not fit its column; the others are kept.

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
    """Return the kind of each column of a record; computed once per record."""
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
    # A sum is finite only if all its numbers are. A sum that overflows is refused here, and then
    # each row is checked by itself.
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


def read_rows(
    record: type[Record],
    text: bytes,
    header: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Read lines back.

    They are read at once, not by a lazy scan: a source of rows that polars calls must not collect a
    scan of its own. Polars 1.35 hangs forever when it calls two of them side by side.

    Parameters
    ----------
    record
        Their type.
    text
        Whole lines, the header first.
    header
        The file's columns where they differ from the record's: extra ones are left out, missing
        ones are null.
    columns
        Only these columns of the record; all when left out.

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
    """Return the type in which each column of a file is parsed."""
    there = list(kinds) if header is None else list(header)
    return {name: _STORED[kinds[name]] if name in kinds else pl.String() for name in there}


def read_records(
    record: type[Record], text: bytes, header: Sequence[str] | None = None
) -> list[Record]:
    """Read whole lines back as records.

    Parameters
    ----------
    record
        Their type.
    text
        The lines, without the header.
    header
        As in ``read_rows``.

    Raises
    ------
    polars.exceptions.PolarsError
        If a value cannot be read.
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
    """Parse lines without a header; where it is not strict, an unreadable cell is null."""
    # With a header before it, because polars decompresses any text that begins like gzip, zlib or
    # zstd.
    first = ",".join(stored).encode() + b"\n"
    return pl.read_csv(first + text, schema=stored, ignore_errors=not is_strict, glob=False)


def is_header(line: bytes) -> bool:
    """Return whether a line can be a header, that is one that polars takes for text, too."""
    return line.endswith(b"\n") and line[:2].isalnum() and line.isascii() and b'"' not in line


def records_of(record: type[Record], rows: pl.DataFrame) -> list[Record]:
    """Turn a frame into records; a column that the frame lacks is None in all of them."""
    there = set(rows.columns)
    columns = [
        _values(kind, rows[name]) if name in there else repeat(None, rows.height)
        for name, kind in kinds_of(record).items()
    ]
    # The same as `record._make`, at half its cost.
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
    # Most columns hold one symbol throughout; then all rows share one text.
    first = column.first()
    if first is not None and (column == first).all(ignore_nulls=False):
        return [first] * len(column)
    return column.to_list()


def read_column(name: str, kind: Column, dtype: pl.DataType, *, is_strict: bool = True) -> pl.Expr:
    """Return the expression that turns a parsed column into the record's type."""
    column = pl.col(name)
    if kind is not Column.NUMBERS:
        return column if dtype == _STORED[kind] else column.cast(dtype, strict=is_strict)
    # A list without numbers must not reach the cast, which refuses "" as a number.
    texts = pl.when(column != "").then(column).otherwise(None).str.split(" ")
    numbers = texts.cast(_LIST, strict=is_strict)
    return pl.when(column == "").then(pl.lit([], dtype=_LIST)).otherwise(numbers).alias(name)
