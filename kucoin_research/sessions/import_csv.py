"""CSV files of other programs, read into our channels.

===================== ================================ =============================================
kind                  columns                          becomes
===================== ================================ =============================================
``guide``             timestamp price size side        ``ticker``. The symbol is the first part of
                      bestBidPrice bestBidSize         the file's name; the arrival time is taken
                      bestAskPrice bestAskSize         as the event time. Without ``bestBid…``: see
                                                       below.
``tardis_trades``     exchange symbol timestamp        ``trade``: id → trade_id, amount → size;
                      local_timestamp id side          an unknown side is null
                      price amount
``tardis_book``       … is_snapshot side price         ``level2``: bid → buy, ask → sell,
(incremental_book_L2) amount                           amount → size, 0 removes a level
``tardis_derivative`` … funding_rate open_interest     ``mark_price``, ``funding_rate`` and
(derivative_ticker)   last_price index_price           ``snapshot`` (its last_price); rows that
                      mark_price …                     lack the value are left out
===================== ================================ =============================================

Times of tardis.dev are µs and become ns; symbols keep their spelling. Values that a file does not
have are null. Sequences are among them: so a book is in step from its first change behind a
snapshot on, and nothing proves that no row is missing. The guide's file may lack all columns except
timestamp and price.

Three kinds of lines are left out: rows without a time, lines with another number of fields, and a
last line without a line break, which may be cut. Then a ``SessionUnfinished`` warning is issued and
the report is ``INCOMPLETE``.
"""

from __future__ import annotations

import io
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from kucoin_research.errors import (
    ColumnMissing,
    InvalidInput,
    SessionBroken,
    SessionMissing,
    SessionUnfinished,
    shown,
)
from kucoin_research.foundation.arguments import path_of
from kucoin_research.model.damage import Damage
from kucoin_research.model.records import CHANNELS, columns_of, schema_of
from kucoin_research.model.units import LARGEST_NS
from kucoin_research.sessions.files.compressed_members import most_text
from kucoin_research.sessions.files.csv_codec import header_of, read_rows
from kucoin_research.sessions.files.csv_lines import chunks, end_of_lines, line_feeds, shape_of
from kucoin_research.sessions.foreign_times import DATES, moments_of
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.table import Table

__all__ = ["KINDS", "load_csv"]

_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BLOCK = 1 << 16
_LARGEST = 1 << 20
_TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp")


def load_csv(
    path: str | os.PathLike[str],
    kind: str | None = None,
    *,
    symbol: str | None = None,
    dates: str | None = None,
) -> Session:
    """Read a CSV file of another program as a session.

    Parameters
    ----------
    path
        The file; ``.gz`` and ``.zst`` are read, too.
    kind
        ``"guide"``, ``"tardis_trades"``, ``"tardis_book"`` (``incremental_book_L2``),
        ``"tardis_derivative"`` (``derivative_ticker``), or one of our channels for a single file of
        a session. Found from the columns when left out; the module's docstring shows the channels
        that each kind becomes.
    symbol
        The symbol where the file does not name it; for the guide's file, otherwise the first part
        of its name.
    dates
        ``"day first"`` or ``"month first"``, for dates such as 04/09/2023, if no date of the file
        has a number above 12.

    Returns
    -------
    Session
        With the channels that the file feeds, in memory.

    Raises
    ------
    SessionMissing
        If there is no such file.
    ColumnMissing
        If its columns are not those of the kind, or of any known kind.
    SessionBroken
        If a line cannot be read.
    InvalidInput
        If a date can be read in two ways.
    """
    source = path_of(path, "path")
    if not source.is_file():
        raise SessionMissing(f"no file {source}")
    if dates is not None and dates not in DATES:
        raise InvalidInput(f"dates must be {' or '.join(map(repr, DATES))}, not {shown(dates)}")
    found = _SourceText(source)
    try:
        text = found.even(found.whole(found.text()))
        frames = _frames(text, kind, source, symbol, dates)
    except pl.exceptions.PolarsError as error:
        first = str(error).partition("\n")[0]
        raise SessionBroken(f"{source} has a line that cannot be read: {first}") from error
    timed = {name: found.timed(name, rows) for name, rows in frames.items()}
    if found.damages:
        warnings.warn("; ".join(map(str, found.damages)), SessionUnfinished, stacklevel=2)
    return _session(source, {name: rows for name, rows in timed.items() if rows.height}, found)


def _frames(
    text: bytes, kind: str | None, source: Path, symbol: str | None, dates: str | None
) -> dict[str, pl.DataFrame]:
    header = pl.read_csv(text, n_rows=0, infer_schema=False, glob=False).columns
    its_kind = _kind_of(header, kind, source)
    if its_kind in CHANNELS:
        return {its_kind: read_rows(CHANNELS[its_kind], text, header)}
    rows = pl.read_csv(text, infer_schema=False, glob=False)
    if its_kind == "guide":
        return _guide(rows, symbol or source.name.partition("_")[0], dates, source)
    return _READERS[its_kind](rows)


class _SourceText:
    """Reads a file's text as far as it is usable, and notes what it leaves out."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.damages: list[Damage] = []

    def _note(self, what: str) -> None:
        self.damages.append(Damage(self._source.name, what))

    def text(self) -> bytes:
        """Read the file; a compressed one as far as it is whole."""
        try:
            data = self._source.read_bytes()
        except MemoryError:
            raise SessionBroken(
                f"{self._source} has {self._source.stat().st_size:,} bytes, which this machine's "
                "memory does not hold; split it"
            ) from None
        if data.startswith(_GZIP_MAGIC):
            compression, pieces = "gzip", _gunzip(data)
        elif data.startswith(_ZSTD_MAGIC):
            compression, pieces = "zstd", _unzstd(data)
        else:
            return data
        parts: list[bytes] = []
        size = 0
        try:
            for piece in pieces:
                parts.append(piece)
                size += len(piece)
                if size > most_text(len(data), compression):
                    raise SessionBroken(
                        f"{self._source} unpacks to far more than any file of rows does; if you "
                        "trust it, unpack it"
                    )
        except (EOFError, OSError, zlib.error):
            self._note("its end is torn, so that it cannot be decompressed to the end")
        if parts and parts[0].startswith((_GZIP_MAGIC, _ZSTD_MAGIC)):
            raise SessionBroken(f"{self._source} is compressed twice; unpack it once")
        return b"".join(parts)

    def whole(self, text: bytes) -> bytes:
        """Leave out the bytes behind the last line break."""
        size = end_of_lines(text)
        if size < len(text):
            self._note(
                f"its last {len(text) - size:,} bytes have no line break behind them, so they may "
                "be cut and are left out; add one if they are whole"
            )
        return text[:size]

    def even(self, text: bytes) -> bytes:
        """Leave out lines that have another number of fields than the first one."""
        columns: int | None = None
        kept, uneven, first = [], 0, 0
        line = 0
        for piece in self._chunks(text):
            shape = shape_of(piece)
            columns = int(shape.fields[0]) if columns is None else columns
            is_even = np.asarray(shape.fields) == columns
            if is_even.all():
                kept.append(piece)
            else:
                wrong = np.flatnonzero(~is_even)
                first = first or line + int(shape.lines[wrong[0]])
                uneven += len(wrong)
                records = zip(shape.records(piece), is_even, strict=True)
                kept += [record + b"\n" for record, is_kept in records if is_kept]
            line += line_feeds(piece)
        if uneven:
            self._note(
                f"{uneven:,} lines, the first of them line {first:,}, have more or fewer fields "
                "than its header and are left out"
            )
        return b"".join(kept)

    def _chunks(self, text: bytes) -> Iterator[bytes]:
        try:
            yield from chunks(io.BytesIO(text))
        except InvalidInput as error:
            raise SessionBroken(f"{self._source}: {error}") from error

    def timed(self, channel: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Leave out rows without an arrival time: they have no place among the others."""
        untimed = rows["local_timestamp"].null_count()
        if untimed:
            self._note(f"{untimed:,} rows have no time and are left out of {channel}")
        return rows.filter(pl.col("local_timestamp").is_not_null()) if untimed else rows


def _gunzip(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            block = data[position : position + _BLOCK]
            if not block:
                raise EOFError
            yield member.decompress(block, _LARGEST)
            position += len(block) - len(member.unused_data) - len(member.unconsumed_tail)


def _unzstd(data: bytes) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.BufferReader(data), "zstd")
    while block := stream.read(_BLOCK):
        yield block


def _session(source: Path, frames: dict[str, pl.DataFrame], found: _SourceText) -> Session:
    symbols = {
        symbol: None
        for rows in frames.values()
        for symbol in rows["symbol"].cast(pl.String).unique(maintain_order=True)
    }
    tables = [
        Table(CHANNELS[channel], channel, symbol, source.name, _scan(rows, symbol), source.parent)
        for channel, rows in frames.items()
        for symbol in symbols
    ]
    meta = {
        "state": "closed",
        "symbols": list(symbols),
        "channels": [name for name in frames if name != "candle"],
        "files": {},
    }
    return Session(tables, [meta], [source], list(map(str, found.damages)), found.damages)


def _scan(rows: pl.DataFrame, symbol: str | None) -> Callable[[], pl.LazyFrame]:
    named = pl.lit(symbol, dtype=pl.String)
    return lambda: rows.lazy().filter(pl.col("symbol").cast(pl.String).eq_missing(named))


def _kind_of(header: list[str], kind: str | None, source: Path) -> str:
    if kind is not None:
        if kind not in _NEEDED and kind not in CHANNELS:
            raise InvalidInput(
                f"no kind {shown(kind)} of CSV; kinds: {', '.join(KINDS)}, or a channel"
            )
        needed = _NEEDED.get(kind) or list(columns_of(CHANNELS[kind]))
        missing = [name for name in needed if name not in header]
        if missing:
            raise ColumnMissing(
                f"{source.name} lacks {', '.join(missing)}, so it is no {kind}; "
                f"it has {', '.join(header)}"
            )
        return kind
    first = ",".join(header).encode() + b"\n"
    for name, record in CHANNELS.items():
        if header_of(record) == first:
            return name
    for name, columns in _NEEDED.items():  # the more specific kinds first
        if set(columns) <= set(header):
            return name
    raise ColumnMissing(
        f"{source.name} has columns of no kind known: {', '.join(header)}; kinds: "
        f"{', '.join(KINDS)}, or a channel's own columns"
    )


def _guide(
    rows: pl.DataFrame, symbol: str, dates: str | None, source: Path
) -> dict[str, pl.DataFrame]:
    names = {
        "bestBidPrice": "best_bid_price",
        "bestBidSize": "best_bid_size",
        "bestAskPrice": "best_ask_price",
        "bestAskSize": "best_ask_size",
    }
    rows = rows.rename({old: new for old, new in names.items() if old in rows.columns})
    time = moments_of(rows["timestamp"], dates, source.name)
    return {
        "ticker": _fit(
            rows.with_columns(
                time.alias("timestamp"),
                time.alias("local_timestamp"),
                pl.lit(symbol).alias("symbol"),
            ),
            "ticker",
        )
    }


def _tardis_trades(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    rows = _micros(rows).rename({"id": "trade_id", "amount": "size"})
    known = pl.when(pl.col("side").is_in(["buy", "sell"])).then(pl.col("side"))
    return {"trade": _fit(rows.with_columns(known.alias("side")), "trade")}


def _tardis_book(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    rows = _micros(rows).rename({"amount": "size"})
    side = pl.col("side").replace_strict({"bid": "buy", "ask": "sell"}, return_dtype=pl.String)
    is_snapshot = pl.col("is_snapshot").str.to_lowercase() == "true"
    return {"level2": _fit(rows.with_columns(side, is_snapshot), "level2")}


def _tardis_derivative(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    rows = _micros(rows)
    priced = rows.filter(pl.any_horizontal(pl.col("mark_price", "index_price").is_not_null()))
    return {
        "mark_price": _fit(priced, "mark_price"),
        "funding_rate": _fit(rows.filter(pl.col("funding_rate").is_not_null()), "funding_rate"),
        "snapshot": _fit(rows.filter(pl.col("last_price").is_not_null()), "snapshot"),
    }


def _micros(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(pl.col("timestamp", "local_timestamp").cast(pl.Int64))
    for name in ("timestamp", "local_timestamp"):
        beyond = rows[name].filter(~rows[name].is_between(0, LARGEST_NS // 1_000))
        if beyond.len():
            raise SessionBroken(
                f"{name}={beyond[0]} is no time between the years 1970 and 2262 in µs"
            )
    times = pl.col("timestamp", "local_timestamp") * 1_000
    return rows.with_columns(times.cast(pl.Datetime("ns", "UTC")))


def _fit(rows: pl.DataFrame, channel: str) -> pl.DataFrame:
    """Select a channel's columns in its types; a missing column is null."""
    return rows.select(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in schema_of(CHANNELS[channel]).items()
    )


# The columns that a file of each kind must have, the more specific kinds first.
_NEEDED: dict[str, list[str]] = {
    "tardis_book": [*_TARDIS, "is_snapshot", "side", "price", "amount"],
    "tardis_derivative": [
        *_TARDIS, "funding_rate", "last_price", "index_price", "mark_price",
    ],
    "tardis_trades": [*_TARDIS, "id", "side", "price", "amount"],
    "guide": ["timestamp", "price"],
}  # fmt: skip
_READERS: dict[str, Callable[[pl.DataFrame], dict[str, pl.DataFrame]]] = {
    "tardis_trades": _tardis_trades,
    "tardis_book": _tardis_book,
    "tardis_derivative": _tardis_derivative,
}
KINDS = ("guide", *_READERS)
