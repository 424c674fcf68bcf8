"""Recorded sessions: loading them, and what can be read from them."""

from __future__ import annotations

import difflib
import html
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from kucoin_research.errors import (
    InvalidInput,
    SessionBroken,
    SessionUnfinished,
    UnknownChannel,
    UnknownSymbol,
    shown,
)
from kucoin_research.foundation.arguments import explained, name_of, only_known
from kucoin_research.foundation.forking import cached_property
from kucoin_research.foundation.regular_files import open_file, size_of
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.damage import Damage, Loss, number_of
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import ACCOUNT_CHANNELS, ALL_SYMBOLS, Record, Status, schema_of
from kucoin_research.model.report import Report
from kucoin_research.model.units import datetime_of
from kucoin_research.sessions import parquet
from kucoin_research.sessions.compression import compression_of, first_line, members
from kucoin_research.sessions.csv_codec import LONGEST_RECORD, is_header, records_of, whole
from kucoin_research.sessions.lazy_rows import LazyRows, scan_lines
from kucoin_research.sessions.manifest import (
    MANIFEST,
    base_of,
    file_name,
    from_iso,
    identity_of,
    instruments_from,
    is_being_recorded,
    losses_from,
    read_manifest,
)
from kucoin_research.sessions.session_report import Counted, reckon
from kucoin_research.sessions.verification import (
    FilePart,
    Repair,
    Verification,
    altered,
    find_session,
    first_row_of,
    known_damage,
    mend,
    noted_in,
    parts_of,
    recorded_columns,
    shortfall,
    unread_beside,
    verify,
)

__all__ = ["Session", "Table", "convert", "load", "repair"]

Paths = str | os.PathLike[str]


class Promise(NamedTuple):
    """How many rows ``session.json`` tells of a table; at least, where it is not final."""

    part: FilePart
    rows: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one channel that lie together, in order of arrival; read when asked for."""

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


class Session(TradeBars):
    """Recorded rows; ``kucoin_research.load`` makes one. Nothing in it changes the files.

    Every method may be called from any thread.
    """

    def __init__(
        self, tables: Sequence[Table], metas: Sequence[dict[str, Any]], paths: Sequence[Path],
        notes: Sequence[str] = (), damages: Sequence[Damage] = (),
    ) -> None:  # fmt: skip
        self._tables = tuple(tables)
        self._metas = tuple(metas)
        self._paths = tuple(paths)
        self._notes = tuple(notes)
        self._known_damage = tuple(damages)

    # -- what it is ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The folder; the first one, where several were loaded together."""
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
        """What ``session.json`` says; of the first folder, where several were loaded together."""
        return self._metas[0]

    @property
    def metas(self) -> tuple[dict[str, Any], ...]:
        """What each folder's ``session.json`` says."""
        return self._metas

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it should be: torn ends, lost files or rows, sessions not closed.

        What takes reading the rows, such as their number, is here once ``damage`` was asked for,
        as ``report`` does.
        """
        counted = self.__dict__.get("_counted_damage", ())
        return (*self._notes, *map(str, counted))

    @property
    def is_closed(self) -> bool:
        """Whether the recording came to its end in order."""
        return all(meta.get("state") == "closed" for meta in self._metas)

    @property
    def channels(self) -> list[str]:
        """The channels recorded, candles with their interval; ``status`` is there besides."""
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
        """The symbols recorded, in the order in which they were asked for."""
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
        """When the recording began, ns UTC."""
        starts = [meta["start"] for meta in self._metas if meta.get("start")]
        return min(map(from_iso, starts)) if starts else None

    @property
    def end_ns(self) -> int | None:
        """When it ended, ns UTC; the last arrival where it was not closed; None without rows."""
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

    # -- its rows --------------------------------------------------------------------------------

    def frame(self, channel: str | None = None, symbol: str | None = None) -> pl.DataFrame:
        """Read a channel's rows: those the live stream held, to the bit.

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

        Plain files are read from the disk when the frame is collected; compressed ones, and those
        with a torn end, are held in memory. For more than that ``convert`` to Parquet.
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
        """List what lies together on the disk: a symbol's day of a channel."""
        return [each for each in self._tables if channel in (None, each.channel)]

    def pieces(self) -> Iterator[parquet.Partition]:
        """Give everything, one channel, symbol and UTC day of arrival at a time."""
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

        Plain ``candle`` is all intervals, where several were recorded.

        Raises
        ------
        UnknownChannel
            If it was not recorded.
        """
        return self._channel(name)

    def _scan(self, channel: Channel, symbol: str | None) -> pl.LazyFrame:
        # Two symbols that differ in case share a file where folders do not tell them apart.
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
        """Read what ``scan`` has described.

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

    # -- its truth -------------------------------------------------------------------------------

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What is lost or was changed since it was recorded, as far as the sizes and counts tell.

        Of ``status`` each byte is compared, as what is told of gaps rests on it.
        Reads all rows, once, to count them, and warns with ``SessionUnfinished`` where they are
        not as many as recorded. ``verify`` looks at each byte.
        """
        return (*self._known_damage, *self._counted_damage)

    @property
    def known_damage(self) -> tuple[Damage, ...]:
        """As ``damage``, by what is known without reading rows."""
        return self._known_damage

    @cached_property
    def _counted_damage(self) -> tuple[Damage, ...]:
        told = {(each.file, table.folder) for table in self._tables for each in table.damages}
        found = []
        for table in self._tables:
            if table.promise is not None and (table.origin, table.folder) not in told:
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
        """Count the rows that are of the table's own symbol; those of none, of ``status``."""
        if table.channel == "status":
            count: int = self.collect(table.scan().select(pl.len())).item()
            return count
        rows = table.scan().group_by(pl.col("symbol").cast(pl.String)).len()
        expected = _folded(table.symbol, table)
        counts = self.collect(rows).iter_rows()
        return sum(count for symbol, count in counts if _folded(symbol, table) == expected)

    @property
    def losses(self) -> list[Loss]:
        """What the recorder could not write, or lost to others while it was writing."""
        return [loss for meta in self._metas for loss in losses_from(meta)]

    def report(self) -> Report:
        """Give the account of the data, rebuilt from the rows and the ``status`` rows among them.

        Repeats that the stream dropped are not on the disk, so they are not counted here; nor is
        the clock's offset, so there is no lag.
        """
        return _Reckoning(self).report()

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
        return convert(self, folder, **options)

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
    # Symbols whose files' names differ in case only share a file.
    return file_name(symbol, table.channel, "").casefold()


def _datetime(ns: int | None) -> datetime | None:
    return None if ns is None else datetime_of(ns)


# -- loading ---------------------------------------------------------------------------------------


def load(path: Paths | Iterable[Paths]) -> Session:
    """Open a recorded session.

    Parameters
    ----------
    path
        Its folder, or several to be read as one: their rows are put together in order of arrival,
        and those that two overlapping recordings hold stay twice. One session is named once: its
        rows would be counted twice.

    Returns
    -------
    Session
        Of a session that was not closed, what is whole: a torn last line is left out, told in
        ``notes`` and warned of with ``SessionUnfinished``. So are files that are gone, shorter than
        recorded or unreadable, whose channels ``report`` calls ``INCOMPLETE``, and files that a
        closed session does not list, or that begin as another one does, which are not read. Without
        its ``session.json`` all of it is ``INCOMPLETE``, as nothing tells what was recorded. One
        that is being recorded can be read, too, as far as it has come.

    Raises
    ------
    SessionMissing
        If there is no recording.
    InvalidInput
        If no path is given, if two of them lead to one folder, or if two folders hold the same rows
        from the first one on in all files that both have: copies of a session, or two recordings
        of one stream that began together.
    """
    if isinstance(path, str | os.PathLike):
        path = [path]
    given = list(path) if isinstance(path, Iterable) else []
    if not given:
        raise InvalidInput(f"load needs the folder of a session, or several, not {shown(path)}")
    folders = [find_session(each) for each in given]
    _refuse_repeats(folders)
    opened = [_open(each) for each in folders]
    _refuse_copies(folders, opened)
    notes = [note for each in opened for note in each.notes]
    if any(each.is_to_warn for each in opened):
        warnings.warn("; ".join(notes), SessionUnfinished, stacklevel=2)
    return Session(
        [table for each in opened for table in each.tables],
        [each.meta for each in opened],
        folders,
        notes,
        [damage for each in opened for damage in each.damages],
    )


def _refuse_repeats(folders: Sequence[Path]) -> None:
    """Refuse a folder that was named twice, however it is spelled, also through a link."""
    found: dict[tuple[int, int] | None, Path] = {}
    for folder in folders:
        first = found.setdefault(identity_of(folder), folder)
        if first is not folder:
            also = "" if str(first) == str(folder) else f", also as {folder}"
            raise InvalidInput(
                f"the session {first} was named twice{also}, and its rows would be counted twice; "
                "name it once"
            )


_FirstRows = dict[str, Record]  # by the file's name without its ending


def _refuse_copies(folders: Sequence[Path], opened: Sequence[_Opened]) -> None:
    """Refuse two folders that hold the same session.

    The rows show it, as they are stamped to the nanosecond: a copy may lack files or its
    ``session.json``, be cut short, compressed or repaired.
    """
    beginnings = _beginnings(opened)
    holders: defaultdict[tuple[str, Record], list[int]] = defaultdict(list)
    for number, rows in enumerate(beginnings):
        for name, row in rows.items():
            for other in holders[name, row]:
                if _are_alike(rows, beginnings[other], name):
                    raise InvalidInput(
                        f"{folders[number]} and {folders[other]} hold the same rows, as copies do "
                        f"({name} begins with the same one in both), and they would be counted "
                        "twice; name one of them"
                    )
            holders[name, row].append(number)


def _are_alike(one: _FirstRows, other: _FirstRows, name: str) -> bool:
    # All that both have, as two recordings of one stream may share the first row of a day, or of a
    # slow channel; and other than status, which recordings of several parts of a session share.
    is_data = not isinstance(one[name], Status)
    return is_data and all(one[each] == other[each] for each in one.keys() & other.keys())


def _beginnings(opened: Sequence[_Opened]) -> list[_FirstRows]:
    """Read the first rows of what several folders have; those of other days need no look."""
    files = [{str(base_of(part.path.name)): part for part in each.parts} for each in opened]
    counts = Counter(name for each in files for name in each if name != "status")
    shared = {name for name, count in counts.items() if count > 1}
    return [
        {
            name: row
            for name, part in each.items()
            if (name in shared or name == "status") and (row := first_row_of(part)) is not None
        }
        if not shared.isdisjoint(each)
        else {}
        for each in files
    ]


class _Opened(NamedTuple):
    """A folder: its tables, and what is not as it should be there."""

    meta: dict[str, Any]
    parts: list[FilePart]
    tables: list[Table]
    notes: list[str]
    damages: list[Damage]
    is_to_warn: bool


def _open(folder: Path) -> _Opened:
    # Before anything is read: it may be closed meanwhile.
    is_live = is_being_recorded(folder)
    meta = read_manifest(folder)
    notes = _notes_of_state(folder, meta, is_live=is_live)
    is_to_warn = bool(notes) and not (is_live and meta is not None)
    tables: list[Table] = []
    # What is being recorded changes while it is looked at.
    damages = [] if is_live else known_damage(folder, meta)
    is_final = meta is not None and meta.get("state") == "closed"
    noted = {each.file for each in noted_in(meta)}
    parts = parts_of(folder, meta)
    for part in parts:
        table, told = _table(
            part,
            is_live=is_live,
            is_final=is_final,
            columns=recorded_columns(meta, part.channel),
            is_noted=part.path.name in noted,
        )
        tables.append(table)
        notes += told
        is_to_warn |= any("torn" in note for note in told) and not is_live
        damages += table.damages
    unread = [f"{path.name}: {why}, so it is not read" for path, why in unread_beside(folder, meta)]
    notes += [*unread, *map(str, damages)]
    is_to_warn |= bool(unread or damages)
    return _Opened(meta or {}, parts, tables, notes, damages, is_to_warn)


def _notes_of_state(folder: Path, meta: dict[str, Any] | None, *, is_live: bool) -> list[str]:
    if meta is None:
        return [f"{folder.name}: {MANIFEST} is missing or unreadable; repair makes it anew"]
    if meta.get("state") == "closed":
        return []
    told = "it is being recorded" if is_live else "it was not closed; repair closes it"
    return [f"{folder.name}: {told}"]


def _table(
    part: FilePart, *, is_live: bool, is_final: bool, columns: list[str], is_noted: bool
) -> tuple[Table, list[str]]:
    path, record = part.path, part.record
    size = size_of(path)
    notes: list[str] = []
    damages: list[Damage] = []
    promised = number_of(part.entry, "bytes")
    sound = size
    if is_live or size != promised:
        sound, is_broken = _sound(path, compression_of(path.name))
        damages += [part.damage("broken")] if is_broken and not is_live else []
        if sound < size:
            notes.append(
                f"{path.name}: its end is torn, so the last {size - sound:,} bytes are left out"
            )
    if not is_live:
        damages += _compared(part, sound, is_final=is_final)
    header, problem = _header(path, record, sound)
    if problem:
        notes.append(problem)
    if header is None and sound:
        damages.append(part.damage("unreadable"))
    elif header is not None and header != columns and not is_noted:
        damages.append(part.damage("renamed"))
    recorded = number_of(part.entry, "rows")
    lines = None
    if header is not None:
        is_counted = promised == sound == size
        rows = recorded if is_counted else None
        lines = LazyRows(path, sound, tuple(header), rows, is_noted)
    promise = None if is_live or recorded is None else Promise(part, recorded, is_final)
    table = Table(
        record, part.channel, part.symbol, path.name, _scanning(record, lines),
        path.parent, part.day, lines, tuple(damages), promise,
    )  # fmt: skip
    return table, notes


def _compared(part: FilePart, sound: int, *, is_final: bool) -> list[Damage]:
    """Compare a file with what was recorded: its size, and of ``status`` each byte.

    All verdicts are made of its few rows: one other letter hides a gap.
    """
    harm = shortfall(part, sound, is_final=is_final)
    if harm is None and part.channel == "status":
        harm = altered(part)
    return [] if harm is None else [harm]


def _scanning(record: type[Record], lines: LazyRows | None) -> Callable[[], pl.LazyFrame]:
    """Make the function that reads a table."""

    def scan() -> pl.LazyFrame:
        if lines is None:
            return pl.LazyFrame(schema=schema_of(record))
        return scan_lines(record, lines)

    return scan


def _sound(path: Path, compression: str | None) -> tuple[int, bool]:
    """Measure how far a file is whole, and tell whether anything before that is damaged."""
    with open_file(path) as file:
        if compression is None:
            return whole(file, size_of(path)).size, False
        size, is_broken = 0, False
        for each in members(file, compression, size_of(path)):
            is_broken |= each.start > size
            size = each.end
        return size, is_broken


def _header(path: Path, record: type[Record], sound: int) -> tuple[list[str] | None, str | None]:
    # None where not even the header is whole, or it is not one of this record.
    line = first_line(path, sound, compression_of(path.name), LONGEST_RECORD)
    if not is_header(line):
        return None, None
    found = line.decode().rstrip("\r\n").split(",")
    expected = list(schema_of(record))
    if found == expected:
        return found, None
    missing = [name for name in expected if name not in found]
    if len(set(found)) < len(found) or len(missing) == len(expected):
        return None, None
    further = [name for name in found if name not in expected]
    told = [f"null for lack of a column: {', '.join(missing)}"] if missing else []
    told += [f"left out: {', '.join(further)}"] if further else []
    return found, f"{path.name}: {'; '.join(told)}" if told else None


def _refuse_sessions(folder: Path, session: Session) -> None:
    """Refuse to write an archive into the folder of a session, this one's or another's."""
    own = {each.resolve() for each in session.paths}
    whole = folder.resolve()
    for each in (whole, *whole.parents):
        if each in own or (each / MANIFEST).is_file():
            raise InvalidInput(
                f"folder={shown(str(folder))} is in the folder of a session, {each}, which holds "
                "what was recorded and nothing else; name one beside it"
            )


@explained("convert")
def convert(
    session: Session | Paths | Iterable[Paths],
    folder: Paths,
    *,
    part: str = "part",
    storage_options: dict[str, str] | None = None,
) -> list[str]:
    """Write a session as Parquet that polars, DuckDB and Dask read in place.

    Parameters
    ----------
    session
        A session, or what ``load`` takes.
    folder
        A folder, or a URL: ``file://…``, ``s3://bucket/…`` and whatever else polars can write to.
        In it: ``channel=…/symbol=…/date=…/part.parquet``; ``date`` is the UTC day of arrival. The
        files hold all columns but ``symbol``, which the folder's name tells; rows without a symbol
        are under hive's ``__HIVE_DEFAULT_PARTITION__``, which reads as null.
    part
        The files' name. Give each session its own to gather several in one archive, where they
        share a day.
    storage_options
        Passed on to polars, for URLs.

    Returns
    -------
    list[str]
        The files written.

    Raises
    ------
    InvalidInput
        If a file is there already, also at a URL: nothing is written over. If the folder is that of
        a session, or within it: what is there is what was recorded.
    SessionBroken
        If a line cannot be read.
    OSError
        If the folder cannot be made or written to, of the kind that the system gives.
    """
    if not isinstance(session, Session):
        session = load(session)
    target = parquet.Target.of(folder, part, storage_options)
    if target.folder is not None:
        _refuse_sessions(target.folder, session)
    return parquet.write(session.pieces(), target)


def repair(path: Paths) -> Repair:
    """Mend what can be mended in a session's folder; see ``sessions.verification.mend``.

    Torn tails are cut, a missing ``session.json`` is made anew, and a session that was not closed
    is closed. The original bytes stay beside, as ``<file>.orig``.

    Raises
    ------
    SessionMissing, SessionBusy
        If there is no recording, or a living process is writing it.
    """
    return mend(path)


# -- the account -----------------------------------------------------------------------------------


# More columns of a large session than these are not to be held at once.
_COUNTED = ("local_timestamp", "symbol", "sequence", "is_snapshot")


class _Reckoning:
    """Rebuilds a report from a session's rows."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counted: list[Counted] = []
        self._locals: dict[tuple[str, str], pl.Series] = {}

    def report(self) -> Report:
        for channel in dict.fromkeys(parse_channel(name).name for name in self._session.channels):
            self._count(channel)
        statuses = records_of(Status, self._session.frame("status"))
        return reckon(
            self._session.name,
            self._counted,
            [row for row in statuses if isinstance(row, Status)],
            self._between,
            self._session.losses,
            self._session.damage,
        )

    def _count(self, channel: str) -> None:
        scanned = self._session.scan("candle" if channel == "candle" else channel)
        needed = [name for name in scanned.collect_schema().names() if name in _COUNTED]
        rows = self._session.collect(scanned.select(needed))
        # All at once: there may be as many symbols as rows.
        facts = [pl.len().alias("rows"), pl.col("local_timestamp").to_physical()]
        if "sequence" in rows.columns:
            numbered = pl.col("sequence").drop_nulls()
            facts += [numbered.first().alias("first"), numbered.last().alias("last")]
        if channel == "level2":
            facts.append(pl.col("is_snapshot").any())
        its_symbol = pl.col("symbol").cast(pl.String)
        found = rows.group_by(its_symbol, maintain_order=True).agg(facts)
        for row in found.drop("local_timestamp").iter_rows(named=True):
            self._counted.append(
                Counted(
                    channel,
                    row["symbol"] or ALL_SYMBOLS,
                    row["rows"],
                    row.get("first"),
                    row.get("last"),
                    bool(row.get("is_snapshot")),
                )
            )
        for symbol, local in zip(found["symbol"], found["local_timestamp"], strict=True):
            self._locals[channel, symbol or ALL_SYMBOLS] = local
        # An account's events are of all symbols; where none has come, its outages are told still.
        others = [] if found.height else [ALL_SYMBOLS]
        if channel not in ACCOUNT_CHANNELS:
            others = self._session.symbols
        for symbol in dict.fromkeys(others):
            if (channel, symbol) not in self._locals:
                self._counted.append(Counted(channel, symbol))
                self._locals[channel, symbol] = pl.Series(dtype=pl.Int64)

    def _between(self, channel: str, symbol: str, begin: int, end: int) -> int:
        local = self._locals[channel, symbol]
        first, last = (int(local.search_sorted(bound, side="left")) for bound in (begin, end))
        return last - first
