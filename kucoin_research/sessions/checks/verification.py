"""Checking a recorded session: whether it is sound, line by line."""

from __future__ import annotations

import html
import os
from collections import Counter as Counts
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.foundation.regular_files import size_of
from kucoin_research.model.records import Column, Level2, Status, columns_of
from kucoin_research.sessions.checks.book_sequences import BookCheck, BookStory, stories_of
from kucoin_research.sessions.checks.session_damage import (
    faults_in,
    is_restored,
    noted_in,
    unread_in,
)
from kucoin_research.sessions.checks.session_files import (
    FilePart,
    counted,
    extent_of,
    find_session,
    open_rows,
    parts_of,
    recorded_columns,
    sha256_of,
    sound_size,
    unread_beside,
)
from kucoin_research.sessions.files.compression import compression_of, open_whole
from kucoin_research.sessions.files.csv_codec import header_of, is_header, read_rows
from kucoin_research.sessions.files.csv_lines import LONGEST_RECORD, shape_of
from kucoin_research.sessions.files.damaged_csv import Piece, pieces, readable, unreadable
from kucoin_research.sessions.files.file_names import DAY_NS, MANIFEST, base_of, file_name
from kucoin_research.sessions.files.folder_lock import is_being_recorded
from kucoin_research.sessions.files.manifest import Manifest, read_manifest

__all__ = ["Flaw", "Verification", "verify"]

_MOST_FLAWS = 20  # flaws of one kind in one file; for further ones there is one line


class Flaw(NamedTuple):
    """One flaw of a session: its file, its line (from 1, the header's), its kind and its detail."""

    file: str
    line: int | None
    kind: str
    detail: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a check of a session.

    Attributes
    ----------
    path
        The session's folder, or several.
    flaws
        The faults.
    remarks
        Oddities that can be right: for one, sequences of level 2 that are in no row and no gap.
        KuCoin's fillers, which carry no level, leave such jumps. Where ``received`` rows of the
        ``status`` channel count the fillers, a missing row is a flaw.
    files, rows
        How many were checked.
    """

    path: str
    flaws: tuple[Flaw, ...] = ()
    remarks: tuple[Flaw, ...] = ()
    files: int = 0
    rows: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is no flaw."""
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
    # Asked before anything is read: the recording may be closed meanwhile, which is no flaw.
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
    counts: Counts[tuple[str, str]] = field(default_factory=Counts)

    def flaw(self, file: str, line: int | None, kind: str, detail: str) -> None:
        before = self.counts[file, kind]
        self.counts[file, kind] += 1
        if before < _MOST_FLAWS:
            self.flaws.append(Flaw(file, line, kind, detail))
        elif before == _MOST_FLAWS:
            self.flaws.append(Flaw(file, line, kind, "and further ones from here on"))


def _check_files(
    parts: Sequence[FilePart], content: Manifest | None, found: _Findings, *, is_live: bool
) -> int:
    """Check all files, and what the files of each book prove together; return their rows."""
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
    """Make the checks of all books from the status rows about them."""
    stories = {part.symbol or "": BookStory() for part in parts if part.record is Level2}
    for path in (part.path for part in parts):
        if not stories or base_of(path.name) != "status":
            continue
        with open_rows(path, sound_size(path)) as file:
            for text in readable(Status, file):
                rows = read_rows(Status, header_of(Status) + text)
                for symbol, event, stamp, first, last, detail in stories_of(rows):
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
        if self._book is not None and self._book.jumps:
            self._remark_jumps(self._book)
        return self._records

    def _remark_jumps(self, book: BookCheck) -> None:
        detail = (
            f"{book.unexplained:,} sequence numbers in {counted(book.jumps, 'place')}, the first "
            "of them before this line, are in no row and no gap"
        )
        self._found.remarks.append(Flaw(self._name, book.first_jump, "sequence", detail))

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
        """Check the first line; return whether others follow."""
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
        # Equal times are sound: a recorded replay of several sessions has them.
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
        assert self._book is not None  # level 2 always has one
        is_known = frame.select(
            pl.col("sequence").is_not_null() & pl.col("local_timestamp").is_not_null()
        ).to_series()
        rows = frame.filter(is_known).with_columns(pl.col("is_snapshot").fill_null(value=False))
        for line, detail in self._book.take(self._name, rows, lines[is_known.to_numpy()]):
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
