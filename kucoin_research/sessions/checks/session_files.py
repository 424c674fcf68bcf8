"""The files of a session: which ones are read, and how far each is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from kucoin_research.errors import SessionMissing
from kucoin_research.foundation.arguments import path_of
from kucoin_research.foundation.regular_files import is_regular, open_file, size_of
from kucoin_research.model.damage import Damage, number_of
from kucoin_research.model.records import CHANNELS, Record, Status, columns_of
from kucoin_research.sessions.files.compressed_members import count_whole
from kucoin_research.sessions.files.compression import compression_of, open_whole
from kucoin_research.sessions.files.csv_codec import is_header, read_records
from kucoin_research.sessions.files.csv_lines import LONGEST_RECORD, LineCounter, line_feeds, whole
from kucoin_research.sessions.files.damaged_csv import readable
from kucoin_research.sessions.files.file_names import (
    MANIFEST,
    base_of,
    csv_files,
    day_of,
    file_name,
    irregular_files,
    split_name,
    symbol_in,
)
from kucoin_research.sessions.files.manifest import Manifest, is_listed, strangers

__all__ = [
    "Extent",
    "FilePart",
    "counted",
    "damage_of",
    "extent_of",
    "find_session",
    "first_row_of",
    "open_rows",
    "parts_of",
    "recorded_columns",
    "sha256_of",
    "sound_size",
    "unread_beside",
]

_BLOCK = 1 << 20
_PEEK = 1 << 13


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the singular for one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


@dataclass(slots=True)
class FilePart:
    """A file of a session: the kind of its rows, and its manifest's entry."""

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
        assert named is not None  # csv_files lists only files with such names
        _, channel, day = named
        entry = files.get(path.name)
        symbol = (entry or {}).get("symbol", symbol_in(path.name))
        return cls(path, CHANNELS[channel], channel, symbol, day, entry)

    def damage(self, what: str, **found: int | None) -> Damage:
        """Describe how the file differs from its entry."""
        return damage_of(self.path.name, what, self.channel, self.symbol, self.entry, **found)


def damage_of(
    name: str,
    what: str,
    channel: str | None,
    symbol: str | None,
    entry: dict[str, Any] | None,
    **found: int | None,
) -> Damage:
    """Describe how a file differs from its manifest's entry."""
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
    """List the files that are read: the listed ones; without a final list, all but copies."""
    files = {} if content is None else content["files"]
    left_out = {each.path for each in unread_beside(folder, content)}
    return [FilePart.of(path, files) for path in csv_files(folder) if path not in left_out]


class Unread(NamedTuple):
    """A CSV file in the folder that does not belong to the session, and why."""

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
    """List the copies in a session without a final list of files: they begin as another file does.

    A recorder names each file after its rows, so a file that is named differently is the copy.
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
    """Return the name that a recorder would give a file by its first row.

    Without a readable row, it is the file's own name.
    """
    part = FilePart.of(path, {})
    first = None if part.record is Status else first_row_of(part)
    if first is None or first.local_timestamp is None:
        return str(base_of(path.name)).casefold()
    name = file_name(first.symbol, part.channel, day_of(first.local_timestamp))
    return str(base_of(name)).casefold()


def first_row_of(part: FilePart) -> Record | None:
    """Read the first row of a file; None if there is none that can be read."""
    path = part.path
    with open_whole(path, size_of(path), compression_of(path.name)) as file:
        first = file.readline(LONGEST_RECORD)
        header = first.decode(errors="replace").rstrip("\r\n").split(",")
        if not is_header(first) or not {"symbol", "local_timestamp"} <= set(header):
            return None
        text = next(readable(part.record, file, header, most=_PEEK), b"")
    return next(iter(read_records(part.record, text, header)), None) if text else None


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
    """List a channel's recorded columns; today's columns if they are not listed."""
    columns = None if content is None else content.get("columns")
    return list((columns or {}).get(channel) or columns_of(CHANNELS[channel]))


def open_rows(path: Path, size: int) -> IO[bytes]:
    """Open the first bytes of a file, decompressed, at the first byte behind its header."""
    file = open_whole(path, size, compression_of(path.name))
    file.readline(LONGEST_RECORD)
    return file


def sound_size(path: Path) -> int:
    """Return how many bytes of a file are whole lines."""
    part = FilePart.of(path, {})
    return extent_of(part).size


def sha256_of(path: Path, size: int) -> str:
    """Hash the first bytes of a file, as hexadecimal."""
    digest = hashlib.sha256()
    with open_file(path) as file:
        while size and (block := file.read(min(_BLOCK, size))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()


class Extent(NamedTuple):
    """The size of a file without a torn line at its end, and its rows, without the header.

    ``broken`` counts the bytes before its end that cannot be decompressed.
    """

    size: int
    rows: int
    broken: int = 0


def extent_of(part: FilePart) -> Extent:
    """Measure a file; see ``Extent``."""
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
        # Recorded bytes consist of whole lines, and no torn line is ever this long. So beyond these
        # bounds, a stray quote has joined all lines behind it to one record, and they must not be
        # cut.
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
        yield line_feeds(block)


Paths = str | os.PathLike[str]
