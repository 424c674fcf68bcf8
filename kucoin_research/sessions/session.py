"""Recorded sessions, and the rows and facts that can be read from them."""

from __future__ import annotations

import difflib
import html
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from kucoin_research.errors import (
    InvalidInput,
    SessionBroken,
    SessionUnfinished,
    UnknownChannel,
    UnknownSymbol,
    shown,
)
from kucoin_research.foundation.arguments import name_of, only_known
from kucoin_research.foundation.forking import cached_property
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import Status, schema_of
from kucoin_research.model.report import Report
from kucoin_research.model.units import datetime_of
from kucoin_research.sessions import parquet
from kucoin_research.sessions.checks.session_files import Paths
from kucoin_research.sessions.checks.verification import Verification, verify
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.sessions.files.file_names import file_name
from kucoin_research.sessions.files.manifest_values import from_iso, instruments_from, losses_from
from kucoin_research.sessions.row_counts import COUNTED_COLUMNS, RowCounts
from kucoin_research.sessions.session_report import build_report
from kucoin_research.sessions.table import Promise, Table

__all__ = ["Session"]


class Session(TradeBars):
    """Recorded rows; ``kucoin_research.load`` makes one. None of its methods changes the files.

    Every method may be called from any thread.
    """

    def __init__(
        self,
        tables: Sequence[Table],
        metas: Sequence[dict[str, Any]],
        paths: Sequence[Path],
        notes: Sequence[str] = (),
        damages: Sequence[Damage] = (),
    ) -> None:
        self._tables = tuple(tables)
        self._metas = tuple(metas)
        self._paths = tuple(paths)
        self._notes = tuple(notes)
        self._known_damage = tuple(damages)

    @property
    def path(self) -> Path:
        """The folder; the first one, if several were loaded together."""
        return self._paths[0]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All folders that were loaded together."""
        return self._paths

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name if len(self._paths) == 1 else f"{self.path.name} and more"

    @property
    def meta(self) -> dict[str, Any]:
        """The content of ``session.json``; of the first folder, if several were loaded together."""
        return self._metas[0]

    @property
    def metas(self) -> tuple[dict[str, Any], ...]:
        """The content of each folder's ``session.json``."""
        return self._metas

    @property
    def notes(self) -> tuple[str, ...]:
        """The faults of the recording: torn ends, lost files or rows, sessions not closed.

        Faults that are found only by reading rows, such as a wrong number of them, are included
        once ``damage`` was read, as ``report`` does.
        """
        counted = self.__dict__.get("_counted_damage", ())
        return (*self._notes, *map(str, counted))

    @property
    def is_closed(self) -> bool:
        """Whether the recording ended in order."""
        return all(meta.get("state") == "closed" for meta in self._metas)

    @property
    def channels(self) -> list[str]:
        """The channels recorded, candles with their interval; ``status`` always exists besides."""
        asked = [name for meta in self._metas for name in meta.get("channels") or ()]
        named = [str(parse_channel(name)) for name in asked]
        covered = {parse_channel(name).name for name in named} | {"status"}
        for table in self._tables:
            if table.channel not in covered:
                named += self._spelled(table.channel)
                covered.add(table.channel)
        return list(dict.fromkeys(name for name in named if name != "status"))

    def _spelled(self, channel: str) -> list[str]:
        if channel != "candle":
            return [channel]
        rows = self._scan(Channel("candle"), None).select(pl.col("interval").unique())
        intervals = self.collect(rows)["interval"].drop_nulls().cast(pl.String)
        return [f"candle:{interval}" for interval in intervals.sort()]

    @property
    def symbols(self) -> list[str]:
        """The symbols recorded, in the order in which they were requested."""
        asked = [name for meta in self._metas for name in meta.get("symbols") or ()]
        found = [table.symbol for table in self._tables if table.channel != "status"]
        return list(dict.fromkeys(each for each in [*asked, *found] if each not in (None, "*")))

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The instruments as they were at the start, by symbol."""
        found: dict[str, Instrument] = {}
        for meta in self._metas:
            found |= instruments_from(meta)
        return found

    @property
    def start_ns(self) -> int | None:
        """The beginning of the recording, ns UTC."""
        starts = [meta["start"] for meta in self._metas if meta.get("start")]
        return min(map(from_iso, starts)) if starts else None

    @property
    def end_ns(self) -> int | None:
        """The end, ns UTC; the last arrival if it was not closed; None without rows."""
        ends = [meta.get("end") for meta in self._metas]
        if all(ends):
            return max(from_iso(end) for end in ends if end)
        return self._last_arrival()

    @property
    def start(self) -> datetime | None:
        """``start_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self.start_ns)

    @property
    def end(self) -> datetime | None:
        """``end_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self.end_ns)

    def _last_arrival(self) -> int | None:
        newest = pl.col("local_timestamp").to_physical().max()
        times = [self.collect(table.scan().select(newest)).item() for table in self._tables]
        return max((each for each in times if each is not None), default=None)

    @property
    def rows(self) -> dict[str, int]:
        """Rows per channel, ``status`` included."""
        found: dict[str, int] = {}
        for table in self._tables:
            count = self.collect(table.scan().select(pl.len())).item()
            found[table.channel] = found.get(table.channel, 0) + count
        return found

    def frame(self, channel: str | None = None, symbol: str | None = None) -> pl.DataFrame:
        """Read a channel's rows: those that the live stream held, to the bit.

        Parameters
        ----------
        channel
            ``"ticker"``, ``"candle:5min"``, ``"status"``, …; may be left out when there is one.
        symbol
            Only this symbol's rows.

        Returns
        -------
        pl.DataFrame
            Columns of the channel; times are ``Datetime("ns", "UTC")``. In order of arrival, over
            all days and folders. Rows that two overlapping recordings both hold appear twice.

        Raises
        ------
        UnknownChannel, UnknownSymbol
            If it was not recorded.
        SessionBroken
            If a line cannot be read.
        """
        return self.collect(self.scan(channel, symbol))

    def scan(self, channel: str | None = None, symbol: str | None = None) -> pl.LazyFrame:
        """Read a channel lazily, over all days; see ``frame``.

        Plain files are read from the disk when the frame is collected. Compressed ones, and those
        with a torn end, are held in memory; ``convert`` them to Parquet if they are too large for
        that.
        """
        wanted = self._channel(channel)
        if name_of(symbol, "symbol") is not None and symbol not in self.symbols:
            raise UnknownSymbol(
                f"symbol {shown(symbol)} was not recorded; there is: {', '.join(self.symbols)}"
            )
        rows = self._scan(wanted, symbol)
        if symbol is not None:
            rows = rows.filter(pl.col("symbol") == symbol)
        if wanted.interval is not None:
            rows = rows.filter(pl.col("interval") == wanted.interval)
        return rows

    def tables(self, channel: str | None = None) -> list[Table]:
        """List the tables: each holds one symbol's day of a channel."""
        return [each for each in self._tables if channel in (None, each.channel)]

    def pieces(self) -> Iterator[parquet.Partition]:
        """Yield all rows, one channel, symbol and UTC day of arrival at a time."""
        groups: dict[tuple[str, str | None, str | None], list[Table]] = {}
        for table in self._tables:
            groups.setdefault((table.channel, table.symbol, table.day), []).append(table)
        for (channel, _, _), tables in groups.items():
            rows = pl.concat([self.collect(table.scan()) for table in tables])
            day = rows["local_timestamp"].dt.strftime("%Y-%m-%d")
            order = rows.with_columns(day.alias("__day")).sort(
                "local_timestamp", maintain_order=True
            )
            keys = ["symbol", "__day"]
            for part in order.partition_by(keys, maintain_order=True):
                symbol, its_day = part.select(pl.col(keys).cast(pl.String)).row(0)
                yield parquet.Partition(channel, symbol, its_day, part.drop("__day"))

    def channel(self, name: str) -> Channel:
        """Find a recorded channel by its name, alias, or ``candle:<interval>``.

        Plain ``candle`` means all intervals, if several were recorded.

        Raises
        ------
        UnknownChannel
            If it was not recorded.
        """
        return self._channel(name)

    def _scan(self, channel: Channel, symbol: str | None) -> pl.LazyFrame:
        # Two symbols that differ only in case share a file.
        folded = None if symbol is None else symbol.casefold()
        tables = [
            table
            for table in self._tables
            if table.channel == channel.name
            and (folded is None or table.symbol is None or table.symbol.casefold() == folded)
        ]
        if not tables:
            return pl.LazyFrame(schema=schema_of(channel.record))
        if len(tables) == 1:
            return tables[0].scan()
        rows = pl.concat([table.scan() for table in tables])
        return rows.sort("local_timestamp", maintain_order=True)

    def _channel(self, channel: str | None) -> Channel:
        there = self.channels
        if channel is None:
            if len(there) == 1:
                return parse_channel(there[0])
            raise UnknownChannel(f"name one of the channels: {', '.join(there)}")
        wanted = parse_channel(channel)
        candles = [name for name in there if name.startswith("candle")]
        if wanted.name == "candle" and ":" not in channel and candles:
            return parse_channel(candles[0]) if len(candles) == 1 else Channel("candle")
        if wanted.name != "status" and str(wanted) not in there:
            close = difflib.get_close_matches(str(wanted), there, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UnknownChannel(
                f"channel {shown(channel)} was not recorded{hint}; there is: {', '.join(there)}"
            )
        return wanted

    def collect(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Read the rows that ``scan`` has described.

        Raises
        ------
        SessionBroken
            If a line cannot be read.
        """
        if not isinstance(rows, pl.LazyFrame):
            raise InvalidInput(f"collect takes what scan() has given, not {shown(rows)}")
        try:
            return rows.collect()
        except pl.exceptions.PolarsError as error:
            first = str(error).partition("\n")[0]
            raise SessionBroken(
                f"{self.path} has a line that cannot be read ({first}); verify names it"
            ) from error
        except FileNotFoundError as error:
            raise SessionBroken(f"a file of {self.path} is gone: {error}") from error
        except OSError as error:
            raise SessionBroken(f"a file of {self.path} cannot be read: {error}") from error

    @property
    def damage(self) -> tuple[Damage, ...]:
        """Data that was lost or changed since it was recorded, as far as sizes and counts show.

        Each byte of ``status`` is compared, since the account of gaps rests on it. Reads all rows,
        once, to count them, and warns with ``SessionUnfinished`` if there are not as many as were
        recorded. ``verify`` examines each byte.
        """
        return (*self._known_damage, *self._counted_damage)

    @property
    def known_damage(self) -> tuple[Damage, ...]:
        """Like ``damage``, but only the part that is known without reading rows."""
        return self._known_damage

    @cached_property
    def _counted_damage(self) -> tuple[Damage, ...]:
        known = {(each.file, table.folder) for table in self._tables for each in table.damages}
        found = []
        for table in self._tables:
            if table.promise is not None and (table.origin, table.folder) not in known:
                found += self._miscount(table, table.promise)
        if found:
            warnings.warn("; ".join(map(str, found)), SessionUnfinished, stacklevel=4)
        return tuple(found)

    def _miscount(self, table: Table, promise: Promise) -> list[Damage]:
        try:
            count = self._count_own(table)
        except SessionBroken:
            return [promise.part.damage("broken")]
        if count == promise.rows or (count > promise.rows and not promise.is_final):
            return []
        what = "lost" if count < promise.rows else "added"
        return [promise.part.damage(what, rows=count)]

    def _count_own(self, table: Table) -> int:
        """Count the rows of the table's own symbol; of ``status``, all rows."""
        if table.channel == "status":
            count: int = self.collect(table.scan().select(pl.len())).item()
            return count
        rows = table.scan().group_by(pl.col("symbol").cast(pl.String)).len()
        expected = _folded(table.symbol, table)
        counts = self.collect(rows).iter_rows()
        return sum(count for symbol, count in counts if _folded(symbol, table) == expected)

    @property
    def losses(self) -> list[Loss]:
        """Rows that the recorder could not write, or lost to others while it was writing."""
        return [loss for meta in self._metas for loss in losses_from(meta)]

    def report(self) -> Report:
        """Return the account of the data, rebuilt from the rows and the ``status`` rows among them.

        Repeats that the stream dropped are not on the disk, so they are not counted here. Neither
        is the clock's offset, so there is no lag.
        """
        counts = RowCounts()
        for channel in dict.fromkeys(parse_channel(name).name for name in self.channels):
            rows = self.scan(channel)
            needed = [name for name in rows.collect_schema().names() if name in COUNTED_COLUMNS]
            counts.add(channel, self.collect(rows.select(needed)), self.symbols)
        statuses = records_of(Status, self.frame("status"))
        return build_report(
            self.name,
            counts.counted,
            [row for row in statuses if isinstance(row, Status)],
            counts.between,
            self.losses,
            self.damage,
        )

    def verify(self) -> Verification:
        """Check the files: hashes, headers, columns, values, order, sequences and counts."""
        found: Verification | None = None
        for path in self._paths:
            each = verify(path)
            found = each if found is None else found + each
        assert found is not None  # a session has a folder
        return found

    def to_parquet(self, folder: Paths, **options: Any) -> list[str]:
        """Write everything as Parquet; see ``kucoin_research.convert``.

        Raises
        ------
        InvalidInput
            If an option is unknown, or as ``convert`` says.
        SessionBroken, OSError
            As ``convert`` says.
        """
        only_known(options, ("part", "storage_options"), "to_parquet")
        return parquet.write_archive(self.pieces(), folder, own=self._paths, **options)

    def __repr__(self) -> str:
        state = "" if self.is_closed else ", not closed"
        return (
            f"<Session {self.name}: {', '.join(self.channels)} of {', '.join(self.symbols)}{state}>"
        )

    def _repr_html_(self) -> str:
        lines = [
            f"<b>{html.escape(self.name)}</b>",
            html.escape(f"{', '.join(self.channels)} of {', '.join(self.symbols)}"),
            html.escape(f"{self.start} to {self.end}"),
            *(f"<i>{html.escape(note)}</i>" for note in self._notes),
        ]
        return f"<div>{'<br>'.join(lines)}</div>"


def _folded(symbol: str | None, table: Table) -> str:
    # Symbols whose files' names differ only in case share a file.
    return file_name(symbol, table.channel, "").casefold()


def _datetime(ns: int | None) -> datetime | None:
    return None if ns is None else datetime_of(ns)
