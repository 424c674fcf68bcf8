"""Frames as CSV files, in the form that sessions use.

Comma, LF, UTF-8; the header is the frame's columns. Times are integer ns UTC. A float is the
shortest text that reads back equal. A missing value is empty. A list is its numbers with a space
between them, and an empty list is "".
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.regular_files import (
    Irregular,
    create,
    kind_of,
    open_file,
    open_handle,
    size_of,
)

__all__ = ["append_csv", "append_lines", "csv_name"]

_APPEND = os.O_RDWR | os.O_APPEND

# Characters that Windows forbids in a name, and those that lead out of the folder anywhere.
_UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|^[. ]')


def csv_name(symbol: str, channel: str, when: datetime | None = None) -> str:
    """Name a CSV file: ``<SYMBOL>_<channel>_<YYYY-MM-DD>.csv``, the day in UTC.

    Parameters
    ----------
    symbol, channel
        The symbol and channel of its rows. A colon, as in ``candle:5min``, becomes a hyphen.
        Letters of any script may occur: KuCoin lists coins that have no Latin name.
    when
        Now when left out; naive means UTC.

    Raises
    ------
    InvalidInput
        If one of them could lead out of the folder, or cannot be part of a name on Windows.
    """
    when = when or datetime.now(UTC)
    day = (when if when.tzinfo is None else when.astimezone(UTC)).strftime("%Y-%m-%d")
    parts = (symbol, channel.strip().replace(":", "-") if isinstance(channel, str) else channel)
    for part in parts:
        if not isinstance(part, str) or not part or _UNFIT.search(part):
            raise InvalidInput(f"{shown(part)} cannot be part of a file name")
    return f"{'_'.join(parts)}_{day}.csv"


def append_csv(frame: pl.DataFrame, path: Path) -> Path:
    """Append a frame's rows to a CSV file; a missing file is made with its header.

    Parameters
    ----------
    frame
        Rows of one channel.
    path
        The file. The rows of an existing file stay. If it has other columns or a torn last line,
        the new rows go to another file beside it, with a number behind its name.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OSError
        If the rows could not be written; then none of them was.
    """
    flat = _flat(frame)
    header = ",".join(flat.columns) + "\n"
    return append_lines(header, flat.write_csv(include_header=False), path)


def append_lines(header: str, lines: str, path: Path) -> Path:
    """Append lines to a CSV file: all of them or, when that fails, none.

    Parameters
    ----------
    header
        The file's first line, with its newline.
    lines
        Further lines, each with its newline.
    path
        The file; see ``append_csv``, also for the returned path and the errors.
    """
    first = header.encode()
    target, handle = next(_taking(path, first))
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        rest = memoryview((b"" if size else first) + lines.encode())
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
        except BaseException:
            # A torn row would become one with the next row.
            with contextlib.suppress(OSError):
                os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
    return target


def _taking(path: Path, header: bytes) -> Iterator[tuple[Path, int]]:
    """Open the files that rows may be appended to, and make the first one that does not exist."""
    for each in _names(path):
        with contextlib.suppress(FileExistsError):  # also for a link to nothing
            if not os.path.lexists(each):
                yield each, create(each, flags=_APPEND)
        if _takes(each, header):
            yield each, open_handle(each, _APPEND)


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _takes(path: Path, header: bytes) -> bool:
    what = kind_of(path)
    if what == "a folder":
        raise Irregular(path, what)  # somebody made that folder, and should see this error
    if what is not None:
        return False  # a link may lead anywhere
    if size_of(path) == 0:
        return True
    with open_file(path) as file:
        found = file.readline(len(header) + 1)
        file.seek(-1, 2)
        return found == header and file.read(1) == b"\n"


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        [pl.col(name).to_physical() for name, kind in frame.schema.items() if kind.is_temporal()]
        + [
            pl.col(name).cast(pl.List(pl.String)).list.join(" ")
            for name, kind in frame.schema.items()
            if kind == pl.List
        ]
    )
