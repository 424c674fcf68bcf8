"""Reading damaged CSV files: the records that can be read, and the lines that cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.model.records import Column, Record, schema_of
from kucoin_research.sessions.files.csv_codec import (
    kinds_of,
    parsed_csv,
    read_column,
    read_rows,
    stored_types,
)
from kucoin_research.sessions.files.csv_lines import (
    LONGEST_RECORD,
    Shape,
    end_of_lines,
    line_feeds,
    shape_of,
)

__all__ = ["Piece", "Wrong", "can_be_read", "pieces", "readable", "unreadable", "without_records"]

_RESUMED = 1 << 12  # bytes examined behind a stray quote
_STRAYS = 200  # stray quotes after which each line is read by itself
_MOST_WRONG = 64  # wrong lines of a piece that are listed; the others are counted


class Wrong(NamedTuple):
    """A line that is no record: its number, from 1, and how many fields it has.

    ``fields`` is None if a quote on it is never closed, or if it is too long to be examined.
    """

    line: int
    fields: int | None
    is_too_long: bool = False


class Piece(NamedTuple):
    """Some records of a file, the line that each begins on, and the wrong lines between them.

    ``text`` holds the records only. ``wrongs`` counts the lines that are no record; ``wrong`` holds
    the first of them.
    """

    text: bytes
    lines: Any
    wrong: list[Wrong]
    wrongs: int


_NO_LINES = np.empty(0, dtype=np.int64)


def pieces(file: IO[bytes], columns: int, *, line: int = 1, most: int = 1 << 20) -> Iterator[Piece]:
    """Read records piece by piece, from any file whatsoever.

    A line with another number of fields is left out, and so is one with a quote that is never
    closed. A stray quote can join several lines to one record: then the first line is left out, and
    the next ones are examined by themselves. So at most ``most`` bytes are held, and damage costs
    no more lines than it must. After many stray quotes, each line is read by itself.

    Parameters
    ----------
    file
        Consists of lines; bytes behind the last line break are ignored.
    columns
        Fields of a record.
    line
        The number of its first line.
    most
        Bytes of a piece, at most; a record may still have 64 kB.
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
        # Behind a stray quote only a little is examined, since there may be another one soon.
        is_resumed = bool(piece.wrong) and size < len(view) and not is_strewn
        strays += is_resumed
        window = min(_RESUMED if is_resumed else 2 * window, largest)
        line += view.count(b"\n", 0, size)
        at += size


def _behind_line(file: IO[bytes], text: bytes, most: int) -> bytes:
    """Skip the rest of a line; return the bytes already read behind it."""
    while text and b"\n" not in text:
        text = file.read(most)
    return text[text.find(b"\n") + 1 :]


def _sift(text: bytes, columns: int, line: int, *, is_last: bool) -> tuple[Piece, int]:
    """Take records off the beginning of a text, as far as they are certain.

    The second value is the bytes of the text that this has used up.
    """
    size = end_of_lines(text)
    shape = shape_of(text[:size])
    if size:
        stop = _first_of_many(shape, text[:size], columns)
        if stop is not None:
            start = int(shape.offsets[stop])
            spoiled = Wrong(line + int(shape.lines[stop]) - 1, int(shape.fields[stop]))
            piece = _with(_piece(text[:start], _upto(shape, stop), columns, line), spoiled)
            return piece, text.find(b"\n", start) + 1
    piece = _piece(text[:size], shape, columns, line)
    rest = len(text) - size
    end = text.find(b"\n", size) + 1
    if end and (is_last or rest > LONGEST_RECORD):
        return _with(piece, Wrong(line + text.count(b"\n", 0, size), None)), end
    return piece, size


def _sift_lines(text: bytes, columns: int, line: int, *, is_last: bool) -> tuple[Piece, int]:
    """Like ``_sift``, but end each record with its line: an open quote costs that line alone."""
    del is_last
    size = text.rfind(b"\n") + 1
    if not size:
        return Piece(b"", _NO_LINES, [], 0), 0
    values = np.frombuffer(text, dtype=np.uint8, count=size)
    ends = np.flatnonzero(values == 10)
    offsets = np.concatenate(([0], ends[:-1] + 1))
    # Only whether the count is odd matters, so the sums may overflow.
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
    """Find the first wrong record that has several lines: a stray quote may have joined them."""
    if b'"' not in text:
        return None
    bad = np.flatnonzero(np.asarray(shape.fields) != columns)
    if not len(bad):
        return None
    following = np.append(shape.lines[1:], 1 + line_feeds(text))
    many = bad[(following - shape.lines)[bad] > 1]
    return int(many[0]) if len(many) else None


def _upto(shape: Shape, stop: int) -> Shape:
    return Shape(shape.lines[:stop], shape.offsets[:stop], shape.fields[:stop])


def _with(piece: Piece, wrong: Wrong) -> Piece:
    listed = [*piece.wrong, wrong] if piece.wrongs < _MOST_WRONG else piece.wrong
    return piece._replace(wrong=listed, wrongs=piece.wrongs + 1)


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
    """Leave the records at these places out of a text."""
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
    """Find the records of a text that hold an unreadable value; yield their places, from 0."""
    bounds = np.append(shape_of(text).offsets, len(text)).astype(np.int64)
    try:
        found = _misread(record, text, header)
    except pl.exceptions.PolarsError:
        found = ()
    if len(found) != len(bounds) - 1:
        found = np.zeros(len(bounds) - 1, dtype=bool)
    yield from np.flatnonzero(found).tolist()
    # The other records are tried in halves, until each unreadable one is found.
    yield from _by_halves(record, text, bounds, header, np.flatnonzero(~found))


def _misread(record: type[Record], text: bytes, header: Sequence[str] | None) -> Any:
    """Find the records with a cell that is not empty, and yet is read as nothing."""
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
        is_given = texts[name].is_not_null()
        if stored[name] != pl.String():  # blanks are read as null, which is not wrong
            blanks = " \t" if stored[name].is_numeric() else ""
            is_given &= texts[name].str.strip_chars(blanks) != ""
        bad |= (is_lost & is_given.fill_null(value=False)).to_numpy()
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
    """Take records out of a text; ``bounds`` holds where each begins, and the end of the last."""
    if not len(places):
        return b""
    first, behind = int(places[0]), int(places[-1]) + 1
    part = text[bounds[first] : bounds[behind]]
    others = np.setdiff1d(np.arange(first, behind), places, assume_unique=True)
    if not len(others):
        return part
    return without_records(part, bounds[first:behind] - bounds[first], others - first)


def can_be_read(record: type[Record], text: bytes, header: Sequence[str] | None) -> bool:
    """Return whether every value of a text of records can be read."""
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
    """Yield the records of a damaged file that can be read, as text, piece by piece.

    Parameters
    ----------
    record, header
        As in ``read_rows``.
    file
        At the first byte behind its header; see ``pieces``.
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
