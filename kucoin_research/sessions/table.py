"""A table of a session: the rows of one file, or of one channel of a foreign file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from kucoin_research.model.damage import Damage
from kucoin_research.model.records import Record
from kucoin_research.sessions.checks.session_files import FilePart
from kucoin_research.sessions.lazy_rows import LazyRows

__all__ = ["Table"]


class Promise(NamedTuple):
    """The number of rows that ``session.json`` lists for a table; a minimum, if it is not final."""

    part: FilePart
    rows: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one channel that are stored together, in order of arrival; read on demand."""

    record: type[Record]
    channel: str
    symbol: str | None
    origin: str
    scan: Callable[[], pl.LazyFrame]
    folder: Path | None = None
    day: str | None = None
    lines: LazyRows | None = None
    damages: tuple[Damage, ...] = ()
    promise: Promise | None = None
