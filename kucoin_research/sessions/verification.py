"""Whether a recorded session is sound, line by line, and mending it where it is not."""

from __future__ import annotations

import contextlib
import hashlib
import html
import os
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.errors import SessionBusy, SessionMissing
from kucoin_research.foundation.arguments import path_of
from kucoin_research.foundation.regular_files import (
    copy,
    create_like,
    cut,
    is_regular,
    open_file,
    size_of,
)
from kucoin_research.model.damage import Damage, number_of
from kucoin_research.model.records import CHANNELS, Column, Level2, Record, Status, columns_of
from kucoin_research.sessions.book_sequences import BookCheck, BookStory, stories_of
from kucoin_research.sessions.compression import compression_of, count_whole, open_whole
from kucoin_research.sessions.csv_codec import (
    LONGEST_RECORD,
    LineCounter,
    Piece,
    can_be_read,
    header_of,
    is_header,
    pieces,
    read_records,
    read_rows,
    readable,
    shape_of,
    unreadable,
    whole,
)
from kucoin_research.sessions.manifest import (
    DAY_NS,
    FORMAT,
    MANIFEST,
    FolderLock,
    Manifest,
    base_of,
    csv_files,
    day_of,
    file_name,
    irregular_files,
    is_being_recorded,
    is_listed,
    iso,
    package_version,
    read_manifest,
    split_name,
    strangers,
    symbol_in,
    write_manifest,
)

__all__ = [
    "Extent",
    "FilePart",
    "Flaw",
    "Repair",
    "Verification",
    "altered",
    "counted",
    "damage_of",
    "extent_of",
    "find_session",
    "first_row_of",
    "is_restored",
    "known_damage",
    "mend",
    "noted_in",
    "open_rows",
    "parts_of",
    "recorded_columns",
    "sha256_of",
    "shortfall",
    "sound_size",
    "unread_beside",
    "verify",
]

_MOST_FLAWS = 20  # of one kind in one file; further ones are counted
_BLOCK = 1 << 20
_PEEK = 1 << 13
_MOST_UNKNOWN = 100  # files of names that are nobody's, which are told one by one
_NO_MANIFEST = "it was lost, so nothing tells whether all that was recorded is here"


class Flaw(NamedTuple):
    """One thing that is wrong: in which file, on which line (from 1, the header's), and what."""

    file: str
    line: int | None
    kind: str
    detail: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of a session has found.

    Attributes
    ----------
    path
        The session's folder, or several.
    flaws
        What is wrong.
    remarks
        What is odd, but can be right: for one, sequence numbers of level 2 that are in no row and
        no gap. KuCoin's fillers, which carry no level, leave such holes; where ``received`` rows
        of the ``status`` channel tell how many, a row that is missing is a flaw.
    files, rows
        How much was looked at.
    """

    path: str
    flaws: tuple[Flaw, ...] = ()
    remarks: tuple[Flaw, ...] = ()
    files: int = 0
    rows: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.flaws

    def __add__(self, other: Verification) -> Verification:
        return Verification(
            f"{self.path}, {other.path}",
            self.flaws + other.flaws,
            self.remarks + other.remarks,
            self.files + other.files,
            self.rows + other.rows,
        )

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "sound" if self.ok else counted(len(self.flaws), "flaw")
        lines = [f"{self.path}: {verdict}, {self.rows:,} rows in {counted(self.files, 'file')}"]
        lines += [f"  {flaw}" for flaw in self.flaws]
        lines += [f"  remark: {remark}" for remark in self.remarks]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@dataclass(slots=True)
class FilePart:
    """A file of a session: what it holds, and how its manifest describes it."""

    path: Path
    record: type[Record]
    channel: str
    symbol: str | None
    day: str | None
    entry: dict[str, Any] | None

    @classmethod
    def of(cls, path: Path, files: dict[str, Any]) -> FilePart:
        """Describe a file by its manifest's entry, or else by its name."""
        named = split_name(path.name)
        assert named is not None  # csv_files lists no others
        _, channel, day = named
        entry = files.get(path.name)
        symbol = (entry or {}).get("symbol", symbol_in(path.name))
        return cls(path, CHANNELS[channel], channel, symbol, day, entry)

    def damage(self, what: str, **found: int | None) -> Damage:
        """Say that the file is not what its entry tells."""
        return damage_of(self.path.name, what, self.channel, self.symbol, self.entry, **found)


def damage_of(
    name: str, what: str, channel: str | None, symbol: str | None, entry: dict[str, Any] | None,
    **found: int | None,
) -> Damage:  # fmt: skip
    digest = (entry or {}).get("sha256")
    return Damage(
        name,
        what,
        channel,
        symbol,
        rows=number_of(entry, "rows"),
        bytes=number_of(entry, "bytes"),
        sha256=digest if isinstance(digest, str) else None,
        rows_found=found.get("rows"),
        bytes_found=found.get("bytes"),
    )


def parts_of(folder: Path, content: Manifest | None) -> list[FilePart]:
    """List the files of a session: those that are listed, or all but copies where not all are."""
    files = {} if content is None else content["files"]
    left_out = {each.path for each in unread_beside(folder, content)}
    return [FilePart.of(path, files) for path in csv_files(folder) if path not in left_out]


class Unread(NamedTuple):
    """A CSV file in the folder that is none of the session's, and why."""

    path: Path
    why: str


def unread_beside(folder: Path, content: Manifest | None) -> list[Unread]:
    """List the CSV files that are not read; a copy beside its original would double the rows."""
    if is_listed(content) and content is not None:
        why = f"{MANIFEST} does not list it"
        found = [Unread(path, why) for path in strangers(folder, content)]
        return found + [
            Unread(folder / name, f"it is {what}, not a file")
            for name, what in irregular_files(folder).items()
            if name not in content["files"]
        ]
    return _copies(folder, {} if content is None else content["files"])


def _copies(folder: Path, files: Mapping[str, Any]) -> list[Unread]:
    """List the copies in a session of which not all files are known: they begin as another does.

    A recorder names each file by its rows, so one that is not so named is the copy.
    """
    originals = {str(base_of(name)).casefold(): name for name in files}
    others = [(path, _base_by_rows(path)) for path in csv_files(folder) if path.name not in files]
    others.sort(key=lambda each: str(base_of(each[0].name)).casefold() != each[1])
    found = [
        Unread(path, "its name is none of a session's files")
        for path in sorted(folder.iterdir())
        if base_of(path.name) and path.name not in files and not split_name(path.name)
    ]
    for path, base in others:
        original = originals.setdefault(base, path.name)
        if original != path.name and is_regular(folder / original):
            found.append(Unread(path, f"it begins as {original} does, which is read"))
    return found


def _base_by_rows(path: Path) -> str:
    """Name a file as a recorder would by its first row; by its own name where that tells less."""
    part = FilePart.of(path, {})
    first = None if part.record is Status else first_row_of(part)
    if first is None or first.local_timestamp is None:
        return str(base_of(path.name)).casefold()
    name = file_name(first.symbol, part.channel, day_of(first.local_timestamp))
    return str(base_of(name)).casefold()


def first_row_of(part: FilePart) -> Record | None:
    """Read the first row of a file; None where there is none that can be read."""
    path = part.path
    with open_whole(path, size_of(path), compression_of(path.name)) as file:
        first = file.readline(LONGEST_RECORD)
        header = first.decode(errors="replace").rstrip("\r\n").split(",")
        if not is_header(first) or not {"symbol", "local_timestamp"} <= set(header):
            return None
        text = next(readable(part.record, file, header, most=_PEEK), b"")
    return next(iter(read_records(part.record, text, header)), None) if text else None


def unread_in(folder: Path, content: Manifest | None) -> list[Damage]:
    """List the files of ``session.json`` that are not there, or not named as ours are."""
    there = {path.name for path in csv_files(folder)}
    odd = {name: f"it is {what}, not a file" for name, what in irregular_files(folder).items()}
    found = []
    nobodys = 0
    for name, entry in ({} if content is None else content["files"]).items():
        if name in there:
            continue
        nobodys += split_name(name) is None
        if split_name(name) is None and nobodys > _MOST_UNKNOWN:
            continue
        what = odd.pop(name, "unknown" if is_regular(folder / name) else "missing")
        told = entry if isinstance(entry, dict) else {}
        _, channel, _ = split_name(name) or (None, told.get("channel"), None)
        found.append(damage_of(name, what, channel, told.get("symbol"), told))
    if nobodys > _MOST_UNKNOWN:
        further = f"it lists {nobodys - _MOST_UNKNOWN:,} further files that are none of a session"
        found.append(Damage(MANIFEST, further))
    if not is_listed(content):
        for name, what in odd.items():
            _, channel, _ = split_name(name) or (None, None, None)
            found.append(Damage(name, what, channel, symbol_in(name)))
    return found


def noted_in(content: Manifest | None) -> list[Damage]:
    """List the damage that repairs have noted in ``session.json``."""
    listed = None if content is None else content.get("damage")
    entries = listed if isinstance(listed, list) else []
    return [Damage.noted(entry) for entry in entries if isinstance(entry, dict)]


def faults_in(content: Manifest | None) -> list[Damage]:
    """List the fields of ``session.json`` that cannot be used, and counts that do not add up."""
    if content is None:
        return []
    told = _compared_rows(content) if content.get("state") == "closed" else None
    return [*content.faults, *([] if told is None else [Damage(MANIFEST, told)])]


def _compared_rows(content: Manifest) -> str | None:
    """Compare the rows in all with those of the files: an entry may have been taken out."""
    total = number_of(content, "rows")
    rows = {name: number_of(entry, "rows") for name, entry in content["files"].items()}
    if None in rows.values():
        return "it does not tell the rows of all files, so those in all cannot be compared"
    # A repair leaves out the rows of files that are gone; their entries stay.
    gone = {each.file for each in noted_in(content) if each.what in ("missing", "unknown")}
    listed = sum(filter(None, rows.values()))
    there = sum(filter(None, (count for name, count in rows.items() if name not in gone)))
    if total is None or total in (listed, there):
        return None
    return f"it tells of {total:,} rows in all, and of {listed:,} in its files"


def _left_out(folder: Path, content: Manifest | None) -> list[Damage]:
    """List files that are not listed, and yet named as those of this very session are.

    A copy is not: it has the name of a listed one, or one of nobody's.
    """
    if content is None:
        return []
    listed = {base_of(name) for name in content["files"]}
    named = [entry.get("symbol", symbol_in(name)) for name, entry in content["files"].items()]
    symbols = {file_name(each, "", "") for each in (None, *content.get("symbols", ()), *named)}
    found = []
    for path in strangers(folder, content):
        _, channel, _ = split_name(path.name) or (None, None, None)
        symbol = symbol_in(path.name)
        is_ours = channel is not None and file_name(symbol, "", "") in symbols
        if is_ours and base_of(path.name) not in listed:
            what = f"its rows are not read, since {MANIFEST} does not list it"
            found.append(Damage(path.name, what, channel, symbol))
    return found


def known_damage(folder: Path, content: Manifest | None) -> list[Damage]:
    """List what repairs have noted, and then what is gone or wrongly told besides."""
    if content is None:
        return [Damage(MANIFEST, _NO_MANIFEST)]
    noted = noted_in(content)
    told = {(each.file, each.what) for each in noted}
    found = [*faults_in(content), *unread_in(folder, content), *_left_out(folder, content)]
    return [*noted, *(each for each in found if (each.file, each.what) not in told)]


def shortfall(part: FilePart, size: int, *, is_final: bool) -> Damage | None:
    """Compare the bytes of a file's whole lines with what was recorded; None if they agree.

    Before a recording was closed there may be more of them than its ``session.json`` knows.
    """
    promised = number_of(part.entry, "bytes")
    if promised is None or size == promised or (size > promised and not is_final):
        return None
    return part.damage("lost" if size < promised else "added", bytes=size)


def altered(part: FilePart) -> Damage | None:
    """Compare the bytes of a file with those that were recorded; None if they are all there."""
    promised = number_of(part.entry, "bytes")
    if part.entry is None or promised is None or size_of(part.path) < promised:
        return None
    if sha256_of(part.path, promised) == part.entry.get("sha256", ""):
        return None
    return part.damage("changed", rows=extent_of(part).rows)


def find_session(path: str | os.PathLike[str]) -> Path:
    """Find a session's folder by its own path, or by that of a file in it.

    Raises
    ------
    SessionMissing
        If there is no recording.
    """
    folder = path_of(path, "path")
    if folder.name == MANIFEST or (split_name(folder.name) and folder.is_file()):
        folder = folder.parent
    if folder.is_file():
        raise SessionMissing(f"no session at {folder}: it is a file, and none of a session's")
    if not folder.is_dir():
        raise SessionMissing(f"no session at {folder}: there is no such folder")
    if not (folder / MANIFEST).exists() and not csv_files(folder):
        inside = sorted(each.parent.name for each in folder.glob(f"*/{MANIFEST}"))
        hint = f"; in it are {', '.join(inside[-3:])}" if inside else ""
        raise SessionMissing(f"no session at {folder}: it holds neither {MANIFEST} nor CSVs{hint}")
    return folder


def recorded_columns(content: Manifest | None, channel: str) -> list[str]:
    """List the columns with which a channel was recorded; today's where nobody tells."""
    told = None if content is None else content.get("columns")
    return list((told or {}).get(channel) or columns_of(CHANNELS[channel]))


def open_rows(path: Path, size: int) -> IO[bytes]:
    """Open the first bytes of a file, decompressed, behind its header."""
    file = open_whole(path, size, compression_of(path.name))
    file.readline(LONGEST_RECORD)
    return file


def sound_size(path: Path) -> int:
    part = FilePart.of(path, {})
    return extent_of(part).size


# -- verify ----------------------------------------------------------------------------------------


def verify(path: str | os.PathLike[str]) -> Verification:
    """Check a session: hashes, headers, columns, values, order, sequences and counts.

    Parameters
    ----------
    path
        Its folder. It may still be recorded.

    Returns
    -------
    Verification
        Each flaw with its file and line.

    Raises
    ------
    SessionMissing
        If there is no recording.
    """
    folder = find_session(path)
    # Before anything is read: it may be closed meanwhile, which is no flaw.
    is_live = is_being_recorded(folder)
    content = read_manifest(folder)
    found = _Findings()
    if content is None:
        found.flaw(MANIFEST, None, "manifest", "it is missing or unreadable; repair makes it anew")
    elif content.get("state") != "closed" and not is_live:
        found.flaw(MANIFEST, None, "state", "the session was not closed; repair closes it")
    for fault in faults_in(content):
        found.flaw(fault.file, None, "manifest", fault.detail)
    for damage in noted_in(content):
        detail = f"{damage.detail}, as {MANIFEST} notes"
        if is_restored(folder, damage):
            detail += "; it is again as it was recorded, so that another repair withdraws the note"
        found.flaw(damage.file, None, "damage", detail)
    for damage in unread_in(folder, content):
        found.flaw(damage.file, None, damage.what, f"session.json lists it, but {damage.detail}")
    for path, why in unread_beside(folder, content):
        found.flaw(path.name, None, "unlisted", why)
    parts = parts_of(folder, content)
    rows = _check_files(parts, content, found, is_live=is_live)
    return Verification(str(folder), tuple(found.flaws), tuple(found.remarks), len(parts), rows)


@dataclass(slots=True)
class _Findings:
    flaws: list[Flaw] = field(default_factory=list)
    remarks: list[Flaw] = field(default_factory=list)
    told: Counts[tuple[str, str]] = field(default_factory=Counts)

    def flaw(self, file: str, line: int | None, kind: str, detail: str) -> None:
        told = self.told[file, kind]
        self.told[file, kind] += 1
        if told < _MOST_FLAWS:
            self.flaws.append(Flaw(file, line, kind, detail))
        elif told == _MOST_FLAWS:
            self.flaws.append(Flaw(file, line, kind, "and further ones from here on"))


def _check_files(
    parts: Sequence[FilePart], content: Manifest | None, found: _Findings, *, is_live: bool
) -> int:
    """Check all files, and what those of each book prove together; gives their rows."""
    books = _checks_of_books(parts)
    rows = 0
    for part in parts:
        book = books.get(part.symbol or "") if part.record is Level2 else None
        rows += _FileCheck(part, content, book, found, is_live=is_live).run()
    for symbol, book in books.items():
        for file, detail in book.finish():
            found.flaw(file or f"level2 of {symbol}", None, "sequence", detail)
    return rows


def _checks_of_books(parts: Sequence[FilePart]) -> dict[str, BookCheck]:
    """Make the checks of all books, from what the status rows tell of them."""
    stories = {part.symbol or "": BookStory() for part in parts if part.record is Level2}
    for path in (part.path for part in parts):
        if not stories or base_of(path.name) != "status":
            continue
        with open_rows(path, sound_size(path)) as file:
            for text in readable(Status, file):
                told = read_rows(Status, header_of(Status) + text)
                for symbol, event, stamp, first, last, detail in stories_of(told):
                    if symbol in stories:
                        stories[symbol].add(event, stamp, first, last, detail)
    return {symbol: BookCheck(story) for symbol, story in stories.items()}


class _FileCheck:
    """The check of one file."""

    def __init__(
        self,
        part: FilePart,
        content: Manifest | None,
        book: BookCheck | None,
        found: _Findings,
        *,
        is_live: bool,
    ) -> None:
        self._part = part
        self._name = part.path.name
        self._is_closed = content is not None and content.get("state") == "closed"
        self._is_live = is_live
        self._found = found
        self._book = book
        self._names = recorded_columns(content, part.channel)
        self._header = ",".join(self._names).encode() + b"\n"
        self._compression = compression_of(part.path.name)
        self._extent = extent_of(part)
        self._records = 0
        self._last_local: int | None = None

    def run(self) -> int:
        self._check_bytes()
        self._check_tail()
        if self._book is not None:
            self._book.begin_file()
        with open_whole(self._part.path, self._extent.size, self._compression) as file:
            if self._check_header(file.readline(LONGEST_RECORD)):
                for piece in pieces(file, len(self._names), line=2):
                    self._check_piece(piece)
        self._check_count()
        if self._book is not None and self._book.holes:
            self._remark_holes(self._book)
        return self._records

    def _remark_holes(self, book: BookCheck) -> None:
        detail = (
            f"{book.unseen:,} sequence numbers in {counted(book.holes, 'place')}, the first of them "
            "before this line, are in no row and no gap"
        )
        self._found.remarks.append(Flaw(self._name, book.first_hole, "sequence", detail))

    def _flaw(self, line: int | None, kind: str, detail: str) -> None:
        self._found.flaw(self._name, line, kind, detail)

    def _check_bytes(self) -> None:
        entry = self._part.entry
        if entry is None or not isinstance(entry.get("bytes"), int):
            return
        size, promised = size_of(self._part.path), entry["bytes"]
        if size < promised:
            self._flaw(None, "size", f"{promised - size:,} of {promised:,} bytes are missing")
        elif self._is_closed and size > promised:
            self._flaw(None, "size", f"{size - promised:,} bytes were added after it was closed")
        elif sha256_of(self._part.path, promised) != entry.get("sha256"):
            self._flaw(None, "hash", "its bytes are not those that were recorded (sha256)")

    def _check_tail(self) -> None:
        sound, size = self._extent.size, size_of(self._part.path)
        if sound < size and not self._is_live:
            self._flaw(None, "torn", f"the last {size - sound:,} bytes are no whole line")
        if self._extent.broken:
            detail = f"{counted(self._extent.broken, 'byte')} amid it cannot be decompressed"
            self._flaw(None, "broken", detail)

    def _check_header(self, line: bytes) -> bool:
        """Check the first line; tells whether there are others."""
        if line and line != self._header:
            found = line.decode(errors="replace").strip()
            expected = self._header.decode().strip()
            self._flaw(1, "header", f"it is {found[:200]!r} instead of {expected[:200]!r}")
        return is_header(line)

    def _check_piece(self, piece: Piece) -> None:
        self._records += len(piece.lines) + piece.wrongs
        for line, fields, is_too_long in piece.wrong[: _MOST_FLAWS + 1]:
            if is_too_long:
                self._flaw(line, "columns", "the line is longer than any that is recorded")
            elif fields is None:
                self._flaw(line, "quote", "a quote is never closed")
            else:
                self._flaw(line, "columns", f"{fields} fields instead of {len(self._names)}")
        if not piece.text:
            return
        frame = self._parse(piece)
        if frame is None:
            return
        self._check_values(frame, piece.lines)
        self._check_order(frame, piece.lines)
        if self._part.record is Level2:
            self._check_sequences(frame, piece.lines)

    def _parse(self, piece: Piece) -> pl.DataFrame | None:
        record = self._part.record
        try:
            return read_rows(record, self._header + piece.text, self._names)
        except pl.exceptions.PolarsError:
            bounds = [*shape_of(piece.text).offsets, len(piece.text)]
        for at in islice(unreadable(record, piece.text, self._names), _MOST_FLAWS + 1):
            text = piece.text[bounds[at] : bounds[at + 1] - 1].decode(errors="replace")
            self._flaw(int(piece.lines[at]), "value", f"cannot be read: {text[:120]!r}")
        return None

    def _check_values(self, frame: pl.DataFrame, lines: Any) -> None:
        for name, kind in columns_of(self._part.record).items():
            if kind is Column.NUMBER:
                for at in _where(~frame[name].is_finite().fill_null(value=True)):
                    self._flaw(int(lines[at]), "value", f"{name} is not finite")
        expected = file_name(self._part.symbol, self._part.channel, "").casefold()
        symbols = frame["symbol"].cast(pl.String)
        right = [
            symbol
            for symbol in symbols.unique()
            if file_name(symbol, self._part.channel, "").casefold() == expected
        ]
        is_wrong = ~symbols.is_in([each for each in right if each is not None])
        for at in _where(is_wrong.fill_null(value=None not in right)):
            self._flaw(int(lines[at]), "symbol", f"{symbols[int(at)]} is in another symbol's file")

    def _check_order(self, frame: pl.DataFrame, lines: Any) -> None:
        column = frame["local_timestamp"]
        for at in _where(column.is_null()):
            self._flaw(int(lines[at]), "order", "local_timestamp is missing")
        if column.null_count():
            return
        local = column.to_physical().to_numpy()
        before = np.concatenate(([self._last_local or np.iinfo(np.int64).min], local[:-1]))
        # Equal ones are sound: a recorded replay of several sessions has them.
        for at in np.flatnonzero(local < before)[: _MOST_FLAWS + 1]:
            detail = "local_timestamp is earlier than that of the row before"
            self._flaw(int(lines[at]), "order", detail)
        self._last_local = int(local[-1])
        if self._part.day is None:
            return
        day = np.datetime64(self._part.day, "D").astype(np.int64)
        for at in np.flatnonzero(local // DAY_NS != day)[: _MOST_FLAWS + 1]:
            detail = f"local_timestamp is not on {self._part.day} (UTC)"
            self._flaw(int(lines[at]), "day", detail)

    def _check_sequences(self, frame: pl.DataFrame, lines: Any) -> None:
        assert self._book is not None  # of level 2 there is one
        is_told = frame.select(
            pl.col("sequence").is_not_null() & pl.col("local_timestamp").is_not_null()
        ).to_series()
        rows = frame.filter(is_told).with_columns(pl.col("is_snapshot").fill_null(value=False))
        for line, detail in self._book.take(self._name, rows, lines[is_told.to_numpy()]):
            self._flaw(line, "sequence", detail)

    def _check_count(self) -> None:
        entry = self._part.entry
        if entry is None or not isinstance(entry.get("rows"), int):
            return
        promised = entry["rows"]
        if self._records < promised or (self._is_closed and self._records > promised):
            detail = f"{self._records:,} rows instead of the {promised:,} that session.json tells"
            self._flaw(None, "count", detail)


def _where(mask: pl.Series) -> Any:
    return np.flatnonzero(mask.to_numpy())[: _MOST_FLAWS + 1]


def sha256_of(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while size and (block := file.read(min(_BLOCK, size))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


# -- repair ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done to a session: printable, one line each."""

    path: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        if not self.actions:
            return f"{self.path}: nothing to mend"
        return "\n".join([f"{self.path}:", *(f"  {action}" for action in self.actions)])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def mend(path: str | os.PathLike[str]) -> Repair:
    """Mend what can be mended in a session, and keep the original bytes beside it.

    Torn tails are cut, a missing ``session.json`` is made of what the files tell, and a session
    that was not closed is closed. What a file held before is in ``<file>.orig``. Rows that are
    wrong or gone cannot be mended: what a file lacks of what was recorded, or holds otherwise, is
    noted as ``damage`` in ``session.json``, and told by ``verify``, ``load`` and the report. So is
    a ``session.json`` that was lost, as nothing else tells what was recorded.

    Parameters
    ----------
    path
        The session's folder.

    Raises
    ------
    SessionMissing
        If there is no recording.
    SessionBusy
        If a living process is recording it.
    """
    folder = find_session(path)
    try:
        lock = FolderLock(folder)
    except BlockingIOError as error:
        raise SessionBusy(f"{error}; stop that recording first") from error
    with lock:
        return Repair(str(folder), tuple(_mend(folder)))


def _mend(folder: Path) -> Iterator[str]:
    content = read_manifest(folder)
    is_closed = content is not None and content.get("state") == "closed"
    faults, noted = faults_in(content), noted_in(content)
    restored = [each for each in noted if is_restored(folder, each)]
    noted = [each for each in noted if each not in restored]
    damages = noted + known_damage(folder, content)[len(noted) + len(restored) :]
    parts = parts_of(folder, content)
    entries: dict[str, Any] = {}
    for damage in restored:
        yield (
            f"{damage.file}: it is again as it was recorded (sha256), so {MANIFEST} no longer "
            "calls it damaged"
        )
    for part in parts:
        _recall(part, restored)
        # Before a byte is cut or hashed anew: afterwards nobody could tell what was recorded.
        extent = extent_of(part)
        harm = _harm(part, extent, is_final=is_closed)
        damages += [] if harm is None else [harm]
        cut = _cut_tail(part.path, extent.size)
        if cut:
            name = part.path.name
            yield f"{name}: cut {counted(cut, 'torn byte')}; the original is {name}.orig"
        is_told = not any(fault.file == part.path.name for fault in faults)
        is_back = any(damage.file == part.path.name for damage in restored)
        is_new = cut or harm is not None or part.entry is None or is_back
        if is_new or not is_closed or not is_told:
            entries[part.path.name] = _entry(part, extent.rows)
    new = damages[len(noted) :]
    yield from (f"{each}; {MANIFEST} tells it from now on" for each in new)
    if is_closed and not entries and not new and not restored:
        return
    if os.path.lexists(folder / MANIFEST):
        _keep(folder / MANIFEST)
    rebuilt = _rebuilt(folder, content, entries)
    rebuilt.pop("damage", None)
    if damages:
        rebuilt["damage"] = [each.to_manifest() for each in damages]
    _add_span(rebuilt, parts)
    write_manifest(folder, rebuilt)
    done = "made anew of what the files tell" if content is None else "brought up to date"
    if content is not None and not is_closed:
        done = "closed"
    yield f"{MANIFEST}: {done}, with {rebuilt['rows']:,} rows"


def is_restored(folder: Path, damage: Damage) -> bool:
    """Whether a file that a repair has noted is there again, byte by byte as it was recorded."""
    path = folder / damage.file
    if damage.what in ("miscounted", "broken") or damage.bytes is None or damage.sha256 is None:
        return False
    if split_name(damage.file) is None:  # it may name a file elsewhere
        return False
    if not is_regular(path) or size_of(path) != damage.bytes:
        return False
    return sha256_of(path, damage.bytes) == damage.sha256


def _recall(part: FilePart, restored: Sequence[Damage]) -> None:
    """Compare a file that is restored with what was recorded, not with what it was since."""
    for damage in restored:
        if damage.file == part.path.name and part.entry is not None:
            told = {"rows": damage.rows, "bytes": damage.bytes, "sha256": damage.sha256}
            part.entry |= {key: value for key, value in told.items() if value is not None}


def _harm(part: FilePart, extent: Extent, *, is_final: bool) -> Damage | None:
    """Compare a file with what its manifest's entry says was recorded."""
    promised = number_of(part.entry, "bytes")
    sound = extent.size
    found = {"rows": extent.rows, "bytes": sound}
    if part.entry is None or promised is None:
        return part.damage("broken", **found) if _is_broken(part, extent) else None
    size = size_of(part.path)
    if size < promised:
        return part.damage("lost", **found)
    if sha256_of(part.path, promised) != part.entry.get("sha256"):
        return part.damage("changed", **found)
    if is_final and sound > promised:
        return part.damage("added", **found)
    if sound > promised and _is_broken(part, extent):
        return part.damage("broken", **found)
    rows = number_of(part.entry, "rows")
    if rows is None or found["rows"] == rows or (found["rows"] > rows and not is_final):
        return None
    return part.damage("miscounted", **found)


def _is_broken(part: FilePart, extent: Extent) -> bool:
    """Whether lines cannot be read, of a file of which nobody knows what was recorded."""
    if extent.broken:
        return True
    with open_whole(part.path, extent.size, compression_of(part.path.name)) as file:
        first = file.readline(LONGEST_RECORD)
        if first and not is_header(first):
            return True
        names = first.decode().rstrip("\r\n").split(",")
        return any(
            piece.wrong or not can_be_read(part.record, piece.text, names)
            for piece in pieces(file, len(names))
        )


class Extent(NamedTuple):
    """How far a file reaches without a torn line at its end, and its rows, without the header.

    ``broken`` are the bytes before its end that cannot be decompressed.
    """

    size: int
    rows: int
    broken: int = 0


def extent_of(part: FilePart) -> Extent:
    path = part.path
    compression = compression_of(path.name)
    if compression is not None:
        with open_file(path) as file:
            counter, size, broken = count_whole(file, compression, size_of(path), LineCounter())
        return Extent(size, max(0, counter.records - 1), broken)
    end, recorded = size_of(path), number_of(part.entry, "bytes") or 0
    with open_file(path) as file:
        size, records = whole(file, end)
        last = _last_line_end(file, size, end)
        # What was recorded was whole, so it has no torn line; nor is one ever this long. Then a
        # stray quote has made one record of all lines behind it, which are not to be thrown away.
        is_one_record = end - size <= LONGEST_RECORD and not size < recorded <= end
        if last == size or is_one_record:
            return Extent(size, max(0, records - 1))
        rows = records - 1 + sum(_feeds(file, size, last))
        return Extent(last, max(0, rows))


def _last_line_end(file: BinaryIO, start: int, end: int) -> int:
    """Find the end of the last line behind ``start``, in quotes or not; ``start`` without any."""
    while end > start:
        begin = max(start, end - _BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return start


def _feeds(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """Count the line feeds of a part of a file, block by block."""
    file.seek(start)
    while start < end and (block := file.read(min(_BLOCK, end - start))):
        start += len(block)
        yield block.count(b"\n")


def _add_span(content: dict[str, Any], parts: Sequence[FilePart]) -> None:
    first, last = _span(parts)
    for key, local_ns in (("start", first), ("end", last)):
        if content[key] is None and local_ns is not None:
            content[key] = iso(local_ns)


def _cut_tail(path: Path, sound: int) -> int:
    size = path.lstat().st_size  # also what comes behind a hole
    if sound == size:
        return 0
    _keep(path)
    cut(path, sound)
    return size - sound


def _keep(path: Path) -> None:
    """Keep what a file holds as ``<file>.orig``; what is no file is kept itself."""
    if not is_regular(path):
        free = (name for name in _originals(path) if not os.path.lexists(name))
        path.rename(next(free))
        return
    with (
        open_file(path) as source,
        os.fdopen(_new_copy(path, source.fileno()), "wb") as target,
    ):
        copy(source, target)
        target.flush()
        os.fsync(target.fileno())


def _originals(path: Path) -> Iterator[Path]:
    for number in count(1):
        yield path.with_name(f"{path.name}.orig{'' if number == 1 else number}")


def _new_copy(path: Path, source: int) -> int:
    """Make the file that keeps what another one held; whatever has such a name stays."""
    for name in _originals(path):
        with contextlib.suppress(FileExistsError):
            return create_like(name, source)
    raise AssertionError("there is always a further number")


def _entry(part: FilePart, rows: int) -> dict[str, Any]:
    size = size_of(part.path)
    about = {"channel": part.channel, "symbol": part.symbol, "day": part.day}
    return {
        **{key: value for key, value in about.items() if key != "day" or value is not None},
        "rows": rows,
        "bytes": size,
        "sha256": sha256_of(part.path, size),
    }


def _span(parts: Sequence[FilePart]) -> tuple[int | None, int | None]:
    # The first and last arrival, ns UTC.
    times: list[int] = []
    for part in parts:
        with open_rows(part.path, extent_of(part).size) as file:
            for text in readable(part.record, file):
                lines = header_of(part.record) + text
                local = read_rows(part.record, lines, columns=["local_timestamp"]).to_series()
                found = local.to_physical()
                times += [each for each in (found.min(), found.max()) if isinstance(each, int)]
    return (min(times), max(times)) if times else (None, None)


def _rebuilt(folder: Path, content: Manifest | None, anew: dict[str, Any]) -> dict[str, Any]:
    # What it says of a file that is gone stays, for when the file is found again.
    entries = ({} if content is None else content["files"]) | anew
    there = {path.name for path in csv_files(folder)}
    rows = sum(number_of(entries[name], "rows") or 0 for name in entries.keys() & there)
    listed = [entry for entry in entries.values() if entry.get("channel", "status") != "status"]
    symbols = {each.get("symbol") for each in listed} - {None}
    found: dict[str, Any] = {
        "format": FORMAT,
        "package": package_version(),
        "venue": None,
        "market": None,
        "symbols": sorted(symbols),
        "channels": [name for name in CHANNELS if any(each["channel"] == name for each in listed)],
        "instruments": [],
        "start": None,
        "end": None,
        "compression": None,
        "refused": 0,
        "dropped": [],
    }
    return {
        **found,
        **(content or {}),
        "state": "closed",
        "rows": rows,
        "is_repaired": True,
        "files": entries,
    }
