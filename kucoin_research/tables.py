"""Frames as CSV files, in the form that sessions use.

Comma, LF, UTF-8; the header is the frame's columns; times are integer ns UTC; floats the shortest
text that reads back equal; missing is empty; lists are numbers with a space between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl

from kucoin_research.errors import InvalidInput

__all__ = ["append_csv", "csv_name"]


def csv_name(symbol: str, channel: str, when: datetime | None = None) -> str:
    """Name a CSV file: ``<SYMBOL>_<channel>_<YYYY-MM-DD>.csv``, the day in UTC.

    Parameters
    ----------
    symbol, channel
        What it holds. A colon, as in ``candle:5min``, becomes a hyphen.
    when
        Now when left out.

    Raises
    ------
    InvalidInput
        If the symbol could lead out of the folder.
    """
    day = (when or datetime.now(UTC)).strftime("%Y-%m-%d")
    name = f"{symbol}_{channel.replace(':', '-')}_{day}.csv"
    if not symbol or Path(name).name != name or "\\" in name or "\0" in name:
        raise InvalidInput(f"{symbol!r} cannot be part of a file name")
    return name


def append_csv(frame: pl.DataFrame, path: Path) -> Path:
    """Append a frame's rows to a CSV file, which is made with its header where it is missing.

    Parameters
    ----------
    frame
        Rows of one channel.
    path
        Where. What an existing file holds stays; if it has other columns or a torn last line, the
        rows go to a new file beside it, with a number behind its name.

    Returns
    -------
    Path
        The file written.
    """
    flat = _flat(frame)
    header = ",".join(flat.columns).encode() + b"\n"
    target = next(each for each in _names(path) if _takes(each, header))
    is_new = not target.exists() or target.stat().st_size == 0
    with target.open("ab") as file:
        flat.write_csv(file, include_header=is_new)
    return target


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _takes(path: Path, header: bytes) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return True
    with path.open("rb") as file:
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
