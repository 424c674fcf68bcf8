"""The fingerprint of a run's fills: equal for equal fills, on any platform."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import polars as pl

from kucoin_research.strategy.run_facts import RUN_COLUMNS

__all__ = ["fill_rows", "fingerprint_of"]

_VERSION = "fills 1"
_NUMBERS = frozenset({"price", "size", "fee", "position_after"})

#: A fill as plain values, in the order of the columns.
Row = tuple[int | float | str | None, ...]


def fill_rows(fills: pl.DataFrame) -> Iterator[Row]:
    """Yield each fill as plain values: its time in ns, floats, and texts."""
    columns = []
    for name in RUN_COLUMNS["fills"]:
        column = pl.col(name)
        if name == "timestamp":
            columns.append(column.dt.cast_time_unit("ns").to_physical())
        elif name in _NUMBERS:
            columns.append(column.cast(pl.Float64) + 0.0)  # + 0.0: -0.0 equals 0.0
        else:
            columns.append(column.cast(pl.String))
    yield from fills.select(columns).iter_rows()


def fingerprint_of(fills: pl.DataFrame) -> str:
    """Compute the SHA-256 of fills.

    Parameters
    ----------
    fills
        With the columns of ``RUN_COLUMNS``; others are left out.

    Returns
    -------
    str
        64 hexadecimal digits, of a line per fill: a JSON list of its values. Times are whole ns,
        and floats the shortest text that reads back as the same number.
    """
    digest = hashlib.sha256(f"{_VERSION}\n".encode())
    for row in fill_rows(fills):
        digest.update(f"{json.dumps(row)}\n".encode())
    return digest.hexdigest()
