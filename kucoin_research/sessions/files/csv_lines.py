"""The lines of a CSV text: where they end, and how many fields each record has."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, NamedTuple, Self

import numpy as np

from kucoin_research.errors import InvalidInput

__all__ = [
    "LONGEST_LINE",
    "LONGEST_RECORD",
    "LineCounter",
    "Shape",
    "Whole",
    "are_rows",
    "chunks",
    "end_of_lines",
    "integer_of",
    "last_line",
    "line_feeds",
    "shape_of",
    "whole",
]

#: The most bytes of a record; the longest that a recorder writes have about 5,000.
LONGEST_RECORD = 1 << 16
#: The most bytes of a line; no longer one is read.
LONGEST_LINE = 16 << 20
_BLOCK = 1 << 20
_DIGITS = 20  # of a number of 64 bits, with its sign


class Whole(NamedTuple):
    """The whole lines of a file: their bytes, and their records, the header included."""

    size: int
    records: int


def whole(file: BinaryIO, size: int) -> Whole:
    """Measure the whole lines of a file's first bytes; the rest behind them is torn.

    A line ends at an LF outside quotes. So a number that was cut is no whole line, and neither is a
    text that was cut behind a line break of its own.
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
        Bytes and records of the whole lines taken so far.
    """

    def __init__(self) -> None:
        self.size = self.records = 0
        self._position = 0
        self._is_quoted = False
        self._rest = b""  # the beginning of a line that is not whole yet
        self._last = b""

    def take(self, text: bytes) -> None:
        """Count the next piece."""
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
        """Return a copy that counts on independently, to return to later."""
        return copy.copy(self)

    def last_integer(self, column: int) -> int | None:
        """Read a column of the last whole line; None if it is no integer.

        No text column may stand before it.
        """
        cells = self._last.split(b",", column + 1)
        return integer_of(cells[column]) if column < len(cells) else None


def integer_of(cell: bytes) -> int | None:
    """Read a cell as an integer of 64 bits; None if it is none."""
    digits = cell.strip()
    if len(digits) > _DIGITS or not digits.removeprefix(b"-").isdigit():
        return None
    return int(digits)


def end_of_lines(text: bytes) -> int:
    """Return where the last whole line of a text ends, 0 without any.

    The text must begin with a line.
    """
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    ends, _ = _ends(text, is_quoted=False)
    return int(ends[-1]) + 1 if len(ends) else 0


def last_line(text: bytes) -> bytes:
    """Return the last line of a text; its newline may be missing."""
    body = text.removesuffix(b"\n")
    return body[end_of_lines(body) :]


def _ends(block: bytes, is_quoted: bool) -> tuple[Any, bool]:
    values = np.frombuffer(block, dtype=np.uint8)
    feeds = values == 10
    quotes = block.count(b'"')
    if quotes:
        # Only whether the count is odd matters, so the sums may overflow.
        inside = (np.cumsum(values == 34, dtype=np.uint8) + is_quoted) & 1
        return np.flatnonzero(feeds & (inside == 0)), bool((quotes + is_quoted) & 1)
    return np.flatnonzero(feeds) if not is_quoted else [], is_quoted


class Shape(NamedTuple):
    """The first line, the offset and the number of fields of each record of a text."""

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
        If the text ends within a line.
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
    if len(ends) == np.count_nonzero(feeds):
        lines = np.arange(1, len(ends) + 1)
    else:
        lines = 1 + np.searchsorted(np.flatnonzero(feeds), offsets)
    fields = 1 + np.add.reduceat(commas, offsets, dtype=np.int64)
    return Shape(lines, offsets, fields)


def line_feeds(text: bytes) -> int:
    """Count the line feeds of a text, those in quotes too."""
    # With lines as short as ours, `bytes.count` takes five times as long.
    return int(np.count_nonzero(np.frombuffer(text, dtype=np.uint8) == 10))


def chunks(file: IO[bytes], size: int = 1 << 22) -> Iterator[bytes]:
    """Read whole lines, about 4 MB at a time; a torn rest is left out.

    Raises
    ------
    InvalidInput
        If a line is longer than ``LONGEST_LINE``.
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
    """Return whether a text has no more lines than rows with this many columns can fill.

    polars makes rows without any value of blank lines, which take far more memory than the text.
    """
    return line_feeds(text) * columns <= len(text) + columns
