"""The rows of a file, read on demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
from polars.io.plugins import register_io_source

from kucoin_research.errors import InvalidInput, SessionBroken
from kucoin_research.model.records import CHANNELS, Record, schema_of
from kucoin_research.sessions.files.compression import compression_of, open_whole
from kucoin_research.sessions.files.csv_codec import read_rows
from kucoin_research.sessions.files.csv_lines import (
    LONGEST_LINE,
    LONGEST_RECORD,
    are_rows,
    chunks,
    line_feeds,
)
from kucoin_research.sessions.files.damaged_csv import readable
from kucoin_research.sessions.files.file_names import split_name

__all__ = ["LazyRows", "scan_lines"]

_PIECE = 1 << 24
_DAMAGED_PIECE = 1 << 20  # smaller, because each of its lines is examined
# The most rows of a compressed file, by its size: no row has less than about 8 bytes, since the
# times differ.
_ROWS = 250_000
_BYTES_OF_ROW = 2


class LazyRows(NamedTuple):
    """Where a table's rows are: the file, its usable bytes, its columns, and its number of rows.

    ``rows`` is None where nobody has counted them. If a repair has noted the file as damaged, its
    unreadable lines are left out.
    """

    path: Path
    size: int
    header: tuple[str, ...]
    rows: int | None
    is_damaged: bool = False

    def texts(self, most: int) -> Iterator[bytes]:
        """Yield the readable lines of a damaged file, without the header, piece by piece."""
        part = split_name(self.path.name)
        assert part is not None  # a table has a channel
        with open_whole(self.path, self.size, compression_of(self.path.name)) as file:
            file.readline(LONGEST_RECORD)
            yield from readable(CHANNELS[part[1]], file, self.header, most=most)

    @property
    def first(self) -> bytes:
        """The header, as a line."""
        return ",".join(self.header).encode() + b"\n"


def scan_lines(record: type[Record], lines: LazyRows) -> pl.LazyFrame:
    """Read a file's rows lazily, with ``schema_of(record)``; nothing is opened before.

    About 16 MB of text are held at a time.

    Collecting it raises a ``polars.exceptions.PolarsError`` where a value cannot be read,
    ``SessionBroken`` if it is no file of rows, and ``OSError`` if there is no such file.
    """

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        for text in _texts(lines):
            part = read_rows(record, lines.first + text, lines.header, columns)
            if rows is not None:
                part = part.head(rows)
                rows -= part.height
            yield part if predicate is None else part.filter(predicate)
            if rows == 0:
                return

    # A scan by polars would open the file by name, and follow a link that has come there since we
    # looked. (polars 1.35 to 2.1 call `register_io_source` unstable; the tests pass with both.)
    return register_io_source(read, schema=schema_of(record))


def _texts(lines: LazyRows) -> Iterator[bytes]:
    """Read the file's whole lines, without the header, piece by piece."""
    yield b""  # so that there is a frame even without rows
    yield from lines.texts(_DAMAGED_PIECE) if lines.is_damaged else _whole_texts(lines)


def _whole_texts(lines: LazyRows) -> Iterator[bytes]:
    compression = compression_of(lines.path.name)
    left = None if compression is None else _ROWS + lines.size // _BYTES_OF_ROW
    with open_whole(lines.path, lines.size, compression) as file:
        is_first = True
        try:
            for text in chunks(file, _PIECE):
                if not are_rows(text, len(lines.header)):
                    raise _no_rows(lines)
                if left is not None:
                    left -= line_feeds(text)
                    if left < 0:
                        raise SessionBroken(
                            f"{lines.path.name} has more rows than a recording of "
                            f"{lines.size:,} compressed bytes can have; if you trust it, unpack it"
                        )
                # If the first member is damaged, there is no header.
                body = _behind_header(text, lines) if is_first else text
                is_first = False
                if body:
                    yield body
        except InvalidInput as error:
            raise _no_rows(lines) from error


def _behind_header(text: bytes, lines: LazyRows) -> bytes:
    line, _, rest = text.partition(b"\n")
    return rest if line.rstrip(b"\r") == lines.first[:-1] else text


def _no_rows(lines: LazyRows) -> SessionBroken:
    return SessionBroken(
        f"{lines.path.name} has blank or cut lines, or one of more than {LONGEST_LINE:,} bytes; "
        "verify names them"
    )
