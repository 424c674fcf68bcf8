"""CSV files of others, read into our channels.

===================== ================================ =============================================
kind                  columns                          becomes
===================== ================================ =============================================
``guide``             timestamp price size side        ``ticker``. The symbol is the file name's
                      bestBidPrice bestBidSize         first part, the arrival is taken to be the
                      bestAskPrice bestAskSize         event. Without ``bestBid…``: see below.
``tardis_trades``     exchange symbol timestamp        ``trade``: id → trade_id, amount → size;
                      local_timestamp id side          a side that is unknown is null
                      price amount
``tardis_book``       … is_snapshot side price         ``level2``: bid → buy, ask → sell,
(incremental_book_L2) amount                           amount → size, 0 takes a level away
``tardis_derivative`` … funding_rate open_interest     ``mark_price``, ``funding_rate`` and
(derivative_ticker)   last_price index_price           ``snapshot`` (its last_price); rows that
                      mark_price …                     lack the value are left out
===================== ================================ =============================================

Times of tardis.dev are µs and become ns; symbols stay as they spell them. What a file does not have
is null: sequences, for one. Columns of the guide's file may be missing but for timestamp and price.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl

from kucoin_research.errors import ColumnMissing, InvalidInput, SessionBroken, SessionMissing
from kucoin_research.records import CHANNELS, columns_of, schema_of
from kucoin_research.rowcsv import header_of, scan_rows
from kucoin_research.sessions import Session, Table

__all__ = ["KINDS", "load_csv"]

_SIDES = pl.Enum(["buy", "sell"])
_TARDIS = ("exchange", "symbol", "timestamp", "local_timestamp")


def load_csv(
    path: str | os.PathLike[str], kind: str | None = None, *, symbol: str | None = None
) -> Session:
    """Read a CSV file of another program as a session.

    Parameters
    ----------
    path
        The file; ``.gz`` and ``.zst`` are read, too.
    kind
        ``"guide"``, ``"tardis_trades"``, ``"tardis_book"`` (``incremental_book_L2``),
        ``"tardis_derivative"`` (``derivative_ticker``), or a channel of ours for a single file of a
        session. Told by the columns when left out; ``kucoin_research.foreign`` shows what becomes
        of each.
    symbol
        Where the file does not name it; of the guide's file, else the first part of its name.

    Returns
    -------
    Session
        With the channels that the file feeds, in memory.

    Raises
    ------
    SessionMissing
        If there is no such file.
    ColumnMissing
        If its columns are not those of the kind, or of any kind known.
    SessionBroken
        If a line cannot be read.
    """
    source = Path(path)
    if not source.is_file():
        raise SessionMissing(f"no file {source}")
    try:
        header = pl.read_csv(source, n_rows=0, infer_schema=False, glob=False).columns
        its_kind = _kind_of(header, kind, source)
        if its_kind in CHANNELS:
            frames = {its_kind: scan_rows(CHANNELS[its_kind], source, header).collect()}
        else:
            rows = pl.read_csv(source, infer_schema=False, glob=False)
            frames = _READERS[its_kind](rows, symbol or source.name.partition("_")[0])
    except pl.exceptions.PolarsError as error:
        first = str(error).partition("\n")[0]
        raise SessionBroken(f"{source} has a line that cannot be read: {first}") from error
    return _session(source, {name: rows for name, rows in frames.items() if rows.height})


def _session(source: Path, frames: dict[str, pl.DataFrame]) -> Session:
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
    return Session(tables, [meta], [source])


def _scan(rows: pl.DataFrame, symbol: str | None) -> Callable[[], pl.LazyFrame]:
    named = pl.lit(symbol, dtype=pl.String)
    return lambda: rows.lazy().filter(pl.col("symbol").cast(pl.String).eq_missing(named))


def _kind_of(header: list[str], kind: str | None, source: Path) -> str:
    if kind is not None:
        if kind not in _NEEDED and kind not in CHANNELS:
            raise InvalidInput(f"no kind {kind!r} of CSV; kinds: {', '.join(KINDS)}, or a channel")
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
    for name, columns in _NEEDED.items():  # the more particular ones first
        if set(columns) <= set(header):
            return name
    raise ColumnMissing(
        f"{source.name} has columns of no kind known: {', '.join(header)}; kinds: "
        f"{', '.join(KINDS)}, or a channel's own columns"
    )


def _guide(rows: pl.DataFrame, symbol: str) -> dict[str, pl.DataFrame]:
    names = {
        "bestBidPrice": "best_bid_price",
        "bestBidSize": "best_bid_size",
        "bestAskPrice": "best_ask_price",
        "bestAskSize": "best_ask_size",
    }
    rows = rows.rename({old: new for old, new in names.items() if old in rows.columns})
    time = _any_time(rows["timestamp"])
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


def _any_time(texts: pl.Series) -> pl.Series:
    # Integers of any unit, or what pandas writes: 2026-11-25 19:21:17.123456789+00:00
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() == texts.null_count():
        return pl.DataFrame({"t": numbers}).select(_to_ns(pl.col("t")))["t"]
    plain = texts.str.replace(" ", "T", literal=True).str.replace(r"(Z|[+-]00:?00)$", "")
    return plain.str.to_datetime(time_unit="ns", time_zone="UTC", strict=True)


def _to_ns(time: pl.Expr) -> pl.Expr:
    # As `units.to_ns`: the magnitude tells the unit.
    factor = (
        pl.when(time >= 10**17).then(1)
        .when(time >= 10**14).then(1_000)
        .when(time >= 10**11).then(1_000_000)
        .otherwise(1_000_000_000)
    )  # fmt: skip
    return (time * factor.cast(pl.Int64)).cast(pl.Datetime("ns", "UTC"))


def _tardis_trades(rows: pl.DataFrame, _: str) -> dict[str, pl.DataFrame]:
    rows = _micros(rows).rename({"id": "trade_id", "amount": "size"})
    known = pl.when(pl.col("side").is_in(["buy", "sell"])).then(pl.col("side"))
    return {"trade": _fit(rows.with_columns(known.alias("side")), "trade")}


def _tardis_book(rows: pl.DataFrame, _: str) -> dict[str, pl.DataFrame]:
    rows = _micros(rows).rename({"amount": "size"})
    side = pl.col("side").replace_strict({"bid": "buy", "ask": "sell"}, return_dtype=pl.String)
    is_snapshot = pl.col("is_snapshot").str.to_lowercase() == "true"
    return {"level2": _fit(rows.with_columns(side, is_snapshot), "level2")}


def _tardis_derivative(rows: pl.DataFrame, _: str) -> dict[str, pl.DataFrame]:
    rows = _micros(rows)
    priced = rows.filter(pl.any_horizontal(pl.col("mark_price", "index_price").is_not_null()))
    return {
        "mark_price": _fit(priced, "mark_price"),
        "funding_rate": _fit(rows.filter(pl.col("funding_rate").is_not_null()), "funding_rate"),
        "snapshot": _fit(rows.filter(pl.col("last_price").is_not_null()), "snapshot"),
    }


def _micros(rows: pl.DataFrame) -> pl.DataFrame:
    times = pl.col("timestamp", "local_timestamp").cast(pl.Int64)
    return rows.with_columns((times * 1_000).cast(pl.Datetime("ns", "UTC")))


def _fit(rows: pl.DataFrame, channel: str) -> pl.DataFrame:
    """Select a channel's columns in its types; what is not there is null."""
    return rows.select(
        pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in schema_of(CHANNELS[channel]).items()
    )


# What a file of a kind must have, the more particular kinds first.
_NEEDED: dict[str, list[str]] = {
    "tardis_book": [*_TARDIS, "is_snapshot", "side", "price", "amount"],
    "tardis_derivative": [
        *_TARDIS, "funding_rate", "last_price", "index_price", "mark_price",
    ],
    "tardis_trades": [*_TARDIS, "id", "side", "price", "amount"],
    "guide": ["timestamp", "price"],
}  # fmt: skip
_READERS: dict[str, Callable[[pl.DataFrame, str], dict[str, pl.DataFrame]]] = {
    "guide": _guide,
    "tardis_trades": _tardis_trades,
    "tardis_book": _tardis_book,
    "tardis_derivative": _tardis_derivative,
}
KINDS = tuple(_READERS)
