"""Opening recorded sessions: which files are read, and notes of their faults."""

from __future__ import annotations

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from kucoin_research.errors import InvalidInput, SessionUnfinished, shown
from kucoin_research.foundation.regular_files import open_file, size_of
from kucoin_research.model.damage import Damage, number_of
from kucoin_research.model.records import Record, Status, schema_of
from kucoin_research.sessions.checks.session_damage import (
    altered,
    known_damage,
    noted_in,
    shortfall,
)
from kucoin_research.sessions.checks.session_files import (
    FilePart,
    Paths,
    find_session,
    first_row_of,
    parts_of,
    recorded_columns,
    unread_beside,
)
from kucoin_research.sessions.files.compressed_members import members
from kucoin_research.sessions.files.compression import compression_of, first_line
from kucoin_research.sessions.files.csv_codec import is_header
from kucoin_research.sessions.files.csv_lines import LONGEST_RECORD, whole
from kucoin_research.sessions.files.file_names import MANIFEST, base_of
from kucoin_research.sessions.files.folder_lock import identity_of, is_being_recorded
from kucoin_research.sessions.files.manifest import read_manifest
from kucoin_research.sessions.lazy_rows import LazyRows, scan_lines
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.table import Promise, Table

__all__ = ["load"]


def load(path: Paths | Iterable[Paths]) -> Session:
    """Open a recorded session.

    Parameters
    ----------
    path
        Its folder, or several to be read as one: their rows are merged in order of arrival, and
        rows that two overlapping recordings hold appear twice. Name each session once: its rows
        would be counted twice.

    Returns
    -------
    Session
        Of a session that was not closed, the whole lines: a torn last line is left out, listed in
        ``notes`` and reported with a ``SessionUnfinished`` warning. The same holds for files that
        are gone, shorter than recorded or unreadable; ``report`` calls their channels
        ``INCOMPLETE``. And it holds for files that a closed session does not list, or that begin as
        another one does: they are not read. A session without its ``session.json`` is
        ``INCOMPLETE`` throughout, since nothing shows what was recorded. A session can be read
        while it is recorded, as far as it has come.

    Raises
    ------
    SessionMissing
        If there is no recording.
    InvalidInput
        If no path is given, if two of them lead to one folder, or if two folders hold the same rows
        from the first one on in all files that both have: copies of a session, or two recordings of
        one stream that began together.
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

    The rows prove it, since they are stamped to the nanosecond: a copy may lack files or its
    ``session.json``, and may be cut short, compressed or repaired.
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
    # All files that both have must agree, since two recordings of one stream may share the first
    # row of a day, or of a slow channel. Status rows prove nothing: recordings of several parts of
    # a session share them.
    is_data = not isinstance(one[name], Status)
    return is_data and all(one[each] == other[each] for each in one.keys() & other.keys())


def _beginnings(opened: Sequence[_Opened]) -> list[_FirstRows]:
    """Read the first rows of files that several folders have; the others need no look."""
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
    """A folder that was opened: its tables and its faults."""

    meta: dict[str, Any]
    parts: list[FilePart]
    tables: list[Table]
    notes: list[str]
    damages: list[Damage]
    is_to_warn: bool


def _open(folder: Path) -> _Opened:
    # Asked before anything is read, because the recording may be closed meanwhile.
    is_live = is_being_recorded(folder)
    meta = read_manifest(folder)
    notes = _notes_of_state(folder, meta, is_live=is_live)
    is_to_warn = bool(notes) and not (is_live and meta is not None)
    tables: list[Table] = []
    # Files that are being recorded change while they are read, so nothing is compared.
    damages = [] if is_live else known_damage(folder, meta)
    is_final = meta is not None and meta.get("state") == "closed"
    noted = {each.file for each in noted_in(meta)}
    parts = parts_of(folder, meta)
    for part in parts:
        table, remarks = _table(
            part,
            is_live=is_live,
            is_final=is_final,
            columns=recorded_columns(meta, part.channel),
            is_noted=part.path.name in noted,
        )
        tables.append(table)
        notes += remarks
        is_to_warn |= any("torn" in note for note in remarks) and not is_live
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
    remarks = "it is being recorded" if is_live else "it was not closed; repair closes it"
    return [f"{folder.name}: {remarks}"]


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
        record,
        part.channel,
        part.symbol,
        path.name,
        _scanning(record, lines),
        path.parent,
        part.day,
        lines,
        tuple(damages),
        promise,
    )
    return table, notes


def _compared(part: FilePart, sound: int, *, is_final: bool) -> list[Damage]:
    """Compare a file with the recording: its size, and for ``status`` each byte.

    All verdicts rest on its few rows: one other letter hides a gap.
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
    """Measure how much of a file is whole, and find whether anything before that is damaged."""
    with open_file(path) as file:
        if compression is None:
            return whole(file, size_of(path)).size, False
        size, is_broken = 0, False
        for each in members(file, compression, size_of(path)):
            is_broken |= each.start > size
            size = each.end
        return size, is_broken


def _header(path: Path, record: type[Record], sound: int) -> tuple[list[str] | None, str | None]:
    # The header is None if it is not whole, or not one of this record.
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
    remarks = [f"null for lack of a column: {', '.join(missing)}"] if missing else []
    remarks += [f"left out: {', '.join(further)}"] if further else []
    return found, f"{path.name}: {'; '.join(remarks)}" if remarks else None
