"""Whether a recorded session is sound, line by line, and mending it where it is not."""

from __future__ import annotations

import hashlib
import html
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.damage import Damage, number_of
from kucoin_research.errors import SessionBusy, SessionMissing
from kucoin_research.manifest import (
    DAY_NS,
    FORMAT,
    MANIFEST,
    FolderLock,
    Manifest,
    base_of,
    csv_files,
    file_name,
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
from kucoin_research.packing import compression_of, unpack
from kucoin_research.records import CHANNELS, Column, Level2, Record, columns_of
from kucoin_research.rowcsv import chunks, header_of, scan_rows, shape_of, whole
from kucoin_research.sequences import BookCheck, BookStory, stories_of

__all__ = [
    "Flaw",
    "Part",
    "Repair",
    "Verification",
    "find_session",
    "known_damage",
    "mend",
    "parts_of",
    "shortfall",
    "text_of",
    "verify",
]

_MOST_FLAWS = 20  # of one kind in one file; further ones are counted
_BLOCK = 1 << 20
_LONGEST_RECORD = 1 << 16  # bytes; the longest of a recorder are some 5,000


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
        verdict = "sound" if self.ok else _count(len(self.flaws), "flaw")
        lines = [f"{self.path}: {verdict}, {self.rows:,} rows in {_count(self.files, 'file')}"]
        lines += [f"  {flaw}" for flaw in self.flaws]
        lines += [f"  remark: {remark}" for remark in self.remarks]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@dataclass(slots=True)
class Part:
    """A file of a session: what it holds, and how its manifest describes it."""

    path: Path
    record: type[Record]
    channel: str
    symbol: str | None
    day: str | None
    entry: dict[str, Any] | None

    @classmethod
    def of(cls, path: Path, files: dict[str, Any]) -> Part:
        """Describe a file by its manifest's entry, or else by its name."""
        named = split_name(path.name)
        assert named is not None  # csv_files lists no others
        _, channel, day = named
        entry = files.get(path.name)
        symbol = (entry or {}).get("symbol", symbol_in(path.name))
        return cls(path, CHANNELS[channel], channel, symbol, day, entry)

    def damage(self, what: str, **found: int | None) -> Damage:
        """Say that the file is not what its entry tells."""
        return _damage(self.path.name, what, self.channel, self.symbol, self.entry, **found)


def _damage(
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


def parts_of(folder: Path, content: Manifest | None) -> list[Part]:
    """List the files of a session: those that are listed, or all where not all are."""
    files = {} if content is None else content["files"]
    return [
        Part.of(path, files)
        for path in csv_files(folder)
        if path.name in files or not is_listed(content)
    ]


def unread_in(folder: Path, content: Manifest | None) -> list[Damage]:
    """List the files of ``session.json`` that are not there, or not named as ours are."""
    there = {path.name for path in csv_files(folder)}
    found = []
    for name, entry in ({} if content is None else content["files"]).items():
        if name in there:
            continue
        what = "unknown" if (folder / name).is_file() else "missing"
        told = entry if isinstance(entry, dict) else {}
        _, channel, _ = split_name(name) or (None, told.get("channel"), None)
        found.append(_damage(name, what, channel, told.get("symbol"), told))
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
    faults = list(content.faults)
    listed = sum(number_of(entry, "rows") or 0 for entry in content["files"].values())
    total = number_of(content, "rows")
    # A repair leaves out the rows of files that are gone; their entries stay.
    gone = {each.file for each in noted_in(content) if each.what in ("missing", "unknown")}
    there = sum(
        number_of(entry, "rows") or 0
        for name, entry in content["files"].items()
        if name not in gone
    )
    is_final = content.get("state") == "closed"
    if is_final and total is not None and not faults and total not in (listed, there):
        faults.append(
            Damage(MANIFEST, f"it tells of {total:,} rows in all, and of {listed:,} in its files")
        )
    return faults


def known_damage(folder: Path, content: Manifest | None) -> list[Damage]:
    """List what repairs have noted, and then what is gone or wrongly told besides."""
    noted = noted_in(content)
    told = {(each.file, each.what) for each in noted}
    found = [*faults_in(content), *unread_in(folder, content)]
    return [*noted, *(each for each in found if (each.file, each.what) not in told)]


def shortfall(part: Part, size: int, *, is_final: bool) -> Damage | None:
    """Compare the bytes of a file's whole lines with what was recorded; None if they agree.

    Before a recording was closed there may be more of them than its ``session.json`` knows.
    """
    promised = number_of(part.entry, "bytes")
    if promised is None or size == promised or (size > promised and not is_final):
        return None
    return part.damage("lost" if size < promised else "added", bytes=size)


def find_session(path: str | os.PathLike[str]) -> Path:
    """Find a session's folder by its own path, or by that of a file in it.

    Raises
    ------
    SessionMissing
        If there is no recording.
    """
    folder = Path(path)
    if folder.name == MANIFEST or folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        raise SessionMissing(f"no session at {folder}: there is no such folder")
    if not (folder / MANIFEST).exists() and not csv_files(folder):
        inside = sorted(each.parent.name for each in folder.glob(f"*/{MANIFEST}"))
        hint = f"; in it are {', '.join(inside[-3:])}" if inside else ""
        raise SessionMissing(f"no session at {folder}: it holds neither {MANIFEST} nor CSVs{hint}")
    return folder


def text_of(path: Path) -> BinaryIO:
    """Open a file's text, decompressed as far as it is whole."""
    compression = compression_of(path.name)
    if compression is None:
        return path.open("rb")
    return io.BytesIO(unpack(path.read_bytes(), compression).text)


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
    content = read_manifest(folder)
    found = _Found()
    if content is None:
        found.flaw(MANIFEST, None, "manifest", "it is missing or unreadable; repair makes it anew")
    elif content.get("state") != "closed" and not is_being_recorded(folder):
        found.flaw(MANIFEST, None, "state", "the session was not closed; repair closes it")
    for fault in faults_in(content):
        found.flaw(fault.file, None, "manifest", fault.detail)
    for damage in noted_in(content):
        found.flaw(damage.file, None, "damage", f"{damage.detail}, as a repair has noted")
    for damage in unread_in(folder, content):
        found.flaw(damage.file, None, damage.what, f"session.json lists it, but {damage.detail}")
    for stranger in strangers(folder, content):
        found.flaw(stranger.name, None, "unlisted", "session.json does not list it")
    parts = parts_of(folder, content)
    books = _checks_of_books(parts)
    rows = 0
    for part in parts:
        book = books.get(part.symbol or "") if part.record is Level2 else None
        rows += _FileCheck(part, content, book, found).run()
    for symbol, book in books.items():
        for file, detail in book.finish():
            found.flaw(file or f"level2 of {symbol}", None, "sequence", detail)
    return Verification(str(folder), tuple(found.flaws), tuple(found.remarks), len(parts), rows)


@dataclass(slots=True)
class _Found:
    flaws: list[Flaw] = field(default_factory=list)
    remarks: list[Flaw] = field(default_factory=list)
    further: dict[tuple[str, str], int] = field(default_factory=dict)

    def flaw(self, file: str, line: int | None, kind: str, detail: str) -> None:
        told = sum(1 for each in self.flaws if (each.file, each.kind) == (file, kind))
        if told < _MOST_FLAWS:
            self.flaws.append(Flaw(file, line, kind, detail))
        elif told == _MOST_FLAWS:
            self.flaws.append(Flaw(file, line, kind, "and further ones from here on"))


def _checks_of_books(parts: Sequence[Part]) -> dict[str, BookCheck]:
    """Make the checks of all books, from what the status rows tell of them."""
    stories = {part.symbol or "": BookStory() for part in parts if part.record is Level2}
    for path in (part.path for part in parts):
        if base_of(path.name) != "status":
            continue
        header = header_of(CHANNELS["status"])
        with text_of(path) as file:
            for chunk in chunks(file):
                head = b"" if chunk.startswith(header) else header
                try:
                    told = scan_rows(CHANNELS["status"], head + chunk).collect()
                except pl.exceptions.PolarsError:
                    continue  # its own check names the line
                for symbol, event, stamp, first, last, detail in stories_of(told):
                    if symbol in stories:
                        stories[symbol].add(event, stamp, first, last, detail)
    return {symbol: BookCheck(story) for symbol, story in stories.items()}


class _FileCheck:
    """The check of one file."""

    def __init__(
        self, part: Part, content: Manifest | None, book: BookCheck | None, found: _Found
    ) -> None:
        self._part = part
        self._name = part.path.name
        self._is_closed = content is not None and content.get("state") == "closed"
        self._found = found
        self._book = book
        self._header = header_of(part.record)
        self._columns = len(columns_of(part.record))
        self._line = 1
        self._records = 0
        self._last_local: int | None = None

    def run(self) -> int:
        self._check_bytes()
        self._check_tail()
        is_first = True
        if self._book is not None:
            self._book.begin_file()
        with text_of(self._part.path) as file:
            for chunk in chunks(file):
                rest = chunk
                if is_first:
                    rest = self._check_header(chunk)
                    is_first = False
                if rest:
                    self._check_chunk(rest)
        self._check_count()
        if self._book is not None and self._book.holes:
            self._remark_holes(self._book)
        return self._records

    def _remark_holes(self, book: BookCheck) -> None:
        detail = (
            f"{book.unseen:,} sequence numbers in {_count(book.holes, 'place')}, the first of them "
            "before this line, are in no row and no gap"
        )
        self._found.remarks.append(Flaw(self._name, book.first_hole, "sequence", detail))

    def _flaw(self, line: int | None, kind: str, detail: str) -> None:
        self._found.flaw(self._name, line, kind, detail)

    def _check_bytes(self) -> None:
        entry = self._part.entry
        if entry is None or not isinstance(entry.get("bytes"), int):
            return
        size, promised = self._part.path.stat().st_size, entry["bytes"]
        if size < promised:
            self._flaw(None, "size", f"{promised - size:,} of {promised:,} bytes are missing")
        elif self._is_closed and size > promised:
            self._flaw(None, "size", f"{size - promised:,} bytes were added after it was closed")
        elif _sha256(self._part.path, promised) != entry.get("sha256"):
            self._flaw(None, "hash", "its bytes are not those that were recorded (sha256)")

    def _check_tail(self) -> None:
        path = self._part.path
        size, extent = path.stat().st_size, _extent(self._part)
        if extent.size < size and not (is_being_recorded(path.parent)):
            self._flaw(None, "torn", f"the last {size - extent.size:,} bytes are no whole line")
        if extent.readable < extent.size:
            with path.open("rb") as file:
                line = 1 + sum(_feeds(file, 0, extent.readable))
            unclear = extent.size - extent.readable
            detail = f"one that is never closed makes one record of {unclear:,} bytes from here on"
            self._flaw(line, "quote", detail)

    def _check_header(self, chunk: bytes) -> bytes:
        if chunk.startswith(self._header):
            self._line = 2
            return chunk[len(self._header) :]
        end = chunk.find(b"\n") + 1
        found = chunk[:end].decode(errors="replace").strip()
        expected = self._header.decode().strip()
        self._flaw(1, "header", f"it is {found[:200]!r} instead of {expected[:200]!r}")
        self._line = 2
        return chunk[end:]

    def _check_chunk(self, chunk: bytes) -> None:
        shape = shape_of(chunk)
        lines = shape.lines + (self._line - 1)
        self._line += chunk.count(b"\n")
        self._records += len(shape.offsets)
        uneven = np.flatnonzero(shape.fields != self._columns)
        for at in uneven[: _MOST_FLAWS + 1]:
            self._flaw(
                int(lines[at]), "columns", f"{shape.fields[at]} fields instead of {self._columns}"
            )
        if len(uneven):
            return
        try:
            frame = self._parse(chunk)
        except pl.exceptions.PolarsError:
            self._find_unreadable(list(shape.records(chunk)), lines)
            return
        self._check_values(frame, lines)
        self._check_order(frame, lines)
        if self._part.record is Level2:
            self._check_sequences(frame, lines)

    def _parse(self, chunk: bytes) -> pl.DataFrame:
        return scan_rows(self._part.record, self._header + chunk).collect()

    def _find_unreadable(self, records: list[bytes], lines: Any) -> None:
        spans = [(0, len(records))]
        found = 0
        while spans and found <= _MOST_FLAWS:
            start, stop = spans.pop()
            try:
                self._parse(b"".join(record + b"\n" for record in records[start:stop]))
            except pl.exceptions.PolarsError:
                if stop - start == 1:
                    found += 1
                    text = records[start].decode(errors="replace")
                    self._flaw(int(lines[start]), "value", f"cannot be read: {text[:120]!r}")
                else:
                    middle = (start + stop) // 2
                    spans += [(middle, stop), (start, middle)]

    def _check_values(self, frame: pl.DataFrame, lines: Any) -> None:
        for name, kind in columns_of(self._part.record).items():
            if kind is Column.NUMBER:
                for at in _where(~frame[name].is_finite().fill_null(value=True)):
                    self._flaw(int(lines[at]), "value", f"{name} is not finite")
        names = {
            symbol: file_name(symbol, self._part.channel, "")
            for symbol in frame["symbol"].cast(pl.String).unique()
        }
        expected = file_name(self._part.symbol, self._part.channel, "").casefold()
        for symbol, name in names.items():
            if name.casefold() != expected:
                wrong = frame["symbol"].is_null() if symbol is None else frame["symbol"] == symbol
                for at in _where(wrong):
                    self._flaw(int(lines[at]), "symbol", f"{symbol} is in another symbol's file")

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


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
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
    noted as ``damage`` in ``session.json``, and told by ``verify``, ``load`` and the report.

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
    noted, damages, faults = noted_in(content), known_damage(folder, content), faults_in(content)
    parts = parts_of(folder, content)
    entries = {}
    for part in parts:
        # Before a byte is cut or hashed anew: afterwards nobody could tell what was recorded.
        extent = _extent(part)
        harm = _harm(part, extent, is_final=is_closed)
        damages += [] if harm is None else [harm]
        cut = _cut_tail(part.path, extent.size)
        if cut:
            name = part.path.name
            yield f"{name}: cut {_count(cut, 'torn byte')}; the original is {name}.orig"
        is_told = not any(fault.file == part.path.name for fault in faults)
        if cut or harm is not None or not is_closed or part.entry is None or not is_told:
            entries[part.path.name] = _entry(part, extent.rows)
    new = damages[len(noted) :]
    yield from (f"{each}; {MANIFEST} tells it from now on" for each in new)
    if is_closed and not entries and not new:
        return
    if (folder / MANIFEST).exists():
        _keep(folder / MANIFEST)
    rebuilt = _rebuilt(folder, content, entries)
    if damages:
        rebuilt["damage"] = [each.to_manifest() for each in damages]
    _add_span(rebuilt, parts)
    write_manifest(folder, rebuilt)
    done = "made anew of what the files tell" if content is None else "brought up to date"
    if content is not None and not is_closed:
        done = "closed"
    yield f"{MANIFEST}: {done}, with {rebuilt['rows']:,} rows"


def _harm(part: Part, extent: _Extent, *, is_final: bool) -> Damage | None:
    """Compare a file with what its manifest's entry says was recorded."""
    promised = number_of(part.entry, "bytes")
    if part.entry is None or promised is None:
        return None
    sound = extent.size
    found = {"rows": extent.rows, "bytes": sound}
    size = part.path.stat().st_size
    if size < promised:
        return part.damage("lost", **found)
    if _sha256(part.path, promised) != part.entry.get("sha256"):
        return part.damage("changed", **found)
    if is_final and sound > promised:
        return part.damage("added", **found)
    rows = number_of(part.entry, "rows")
    if rows is None or found["rows"] == rows or (found["rows"] > rows and not is_final):
        return None
    return part.damage("miscounted", **found)


class _Extent(NamedTuple):
    """How far a file reaches.

    ``size`` is without a torn line at the end, and ``readable`` what can be told apart as records:
    less, where a quote is never closed. ``rows`` are those of ``size``, without the header.
    """

    size: int
    readable: int
    rows: int


def _extent(part: Part) -> _Extent:
    path = part.path
    if compression_of(path.name) is not None:
        unpacked = unpack(path.read_bytes(), compression_of(path.name))
        records = whole(io.BytesIO(unpacked.text)).records
        return _Extent(unpacked.size, unpacked.size, max(0, records - 1))
    end, recorded = path.stat().st_size, number_of(part.entry, "bytes") or 0
    with path.open("rb") as file:
        readable, records = whole(file)
        last = _last_line_end(file, readable, end)
        # What was recorded was whole, so it has no torn line; nor is one ever this long. Then a
        # stray quote has made one record of all lines behind it, which are not to be thrown away.
        is_one_record = end - readable <= _LONGEST_RECORD and not readable < recorded <= end
        if last == readable or is_one_record:
            return _Extent(readable, readable, max(0, records - 1))
        rows = records - 1 + sum(_feeds(file, readable, last))
        return _Extent(last, readable, max(0, rows))


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


def _add_span(content: dict[str, Any], parts: Sequence[Part]) -> None:
    first, last = _span(parts)
    for key, local_ns in (("start", first), ("end", last)):
        if content[key] is None and local_ns is not None:
            content[key] = iso(local_ns)


def _cut_tail(path: Path, sound: int) -> int:
    size = path.stat().st_size
    if sound == size:
        return 0
    _keep(path)
    with path.open("r+b") as file:
        file.truncate(sound)
        os.fsync(file.fileno())
    return size - sound


def _keep(path: Path) -> None:
    number = 1
    while True:
        target = path.with_name(f"{path.name}.orig{'' if number == 1 else number}")
        if not target.exists():
            break
        number += 1
    shutil.copy2(path, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _entry(part: Part, rows: int) -> dict[str, Any]:
    size = part.path.stat().st_size
    about = {"channel": part.channel, "symbol": part.symbol, "day": part.day}
    return {
        **{key: value for key, value in about.items() if key != "day" or value is not None},
        "rows": rows,
        "bytes": size,
        "sha256": _sha256(part.path, size),
    }


def _span(parts: Sequence[Part]) -> tuple[int | None, int | None]:
    # The first and last arrival, ns UTC.
    times: list[int] = []
    for part in parts:
        with text_of(part.path) as file:
            for chunk in chunks(file):
                header = header_of(part.record)
                text = chunk if chunk.startswith(header) else header + chunk
                local = pl.col("local_timestamp").to_physical()
                try:
                    rows = scan_rows(part.record, text).select(
                        local.min().alias("first"), local.max().alias("last")
                    )
                    times += [each for each in rows.collect().row(0) if each is not None]
                except pl.exceptions.PolarsError:
                    continue  # `verify` names the line
    return (min(times), max(times)) if times else (None, None)


def _rebuilt(folder: Path, content: Manifest | None, anew: dict[str, Any]) -> dict[str, Any]:
    # What it says of a file that is gone stays, for when the file is found again.
    entries = ({} if content is None else content["files"]) | anew
    gone = {each.file for each in unread_in(folder, content)}
    rows = sum(number_of(entries[name], "rows") or 0 for name in entries.keys() - gone)
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
