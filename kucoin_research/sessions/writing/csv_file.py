"""One file of a session while it is recorded: it appends whole lines and notices interference.

A file that cannot be written holds up no other one: its rows wait, up to a bound, and are tried
again each second. Others can rename, replace or cut the file at any time. So before each append,
the file at the path is compared with the one that was written, by device, inode and size.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kucoin_research.foundation.regular_files import create, create_like, open_file, open_handle
from kucoin_research.model.damage import Loss
from kucoin_research.model.records import Record, file_mode
from kucoin_research.sessions.files.compressed_members import count_whole
from kucoin_research.sessions.files.csv_codec import header_of
from kucoin_research.sessions.files.csv_lines import LineCounter
from kucoin_research.sessions.writing.loss_log import LossLog
from kucoin_research.sessions.writing.pending_lines import PendingLines, joined_span

__all__ = ["MOST_STUCK", "CsvFile", "FolderMoved", "Intervention"]

#: The most rows that wait for one file that cannot be written.
MOST_STUCK = 100_000
_RETRY = 1.0
_BLOCK = 1 << 20
_BINARY = getattr(os, "O_BINARY", 0)
_APPEND = os.O_RDWR | os.O_APPEND | _BINARY


class FolderMoved(OSError):
    """The session's folder is not where it was: nothing may be made in its place unasked."""


class Intervention(NamedTuple):
    """A change that others made to a file, as a sentence, and the rows lost by it."""

    text: str
    lost: int = 0


class CsvFile:
    """Appends rows to one file: the first ``size`` bytes are ours, and nothing is behind them.

    Attributes
    ----------
    rows, size
        Rows and bytes written.
    error
        Why it cannot be written now; None when it can.
    """

    def __init__(
        self, path: Path, record: type[Record], compression: str | None, about: dict[str, Any]
    ) -> None:
        self.path = path
        self.record = record
        self.rows = 0
        self.size = 0
        self.error: OSError | None = None
        self._about = about
        self._header = header_of(record)
        self._compression = compression
        self._digest = hashlib.sha256()
        self._handle: int | None = None
        self._identity: tuple[int, int] | None = None  # device and inode; None before the first row
        self._has_leftover = False  # half a line of a failed write is still there
        # first and last arrival of the written rows, ns UTC
        self._span: tuple[int, int] | None = None
        self._pending = PendingLines()
        self._retry_at = 0.0
        self._losses = LossLog()
        self._unsettled = 0
        self._is_synced = True

    def add(self, lines: bytes, rows: int, span: tuple[int, int]) -> None:
        """Add lines to be written; ``span`` is their first and last arrival, ns UTC."""
        self._pending.add(lines, rows, span)

    def drop(self, rows: int, span: tuple[int, int]) -> None:
        """Count rows that found no room as lost."""
        self._losses.drop(self.loss(rows, span, _why(self.error)))
        self._unsettled += rows

    def loss(self, rows: int, span: tuple[int, int], reason: str | None) -> Loss:
        """Describe rows of this file that are not in it."""
        about = self._about
        return Loss(*span, rows, self.path.name, about["channel"], about["symbol"], reason)

    @property
    def losses(self) -> list[Loss]:
        """Rows known to be missing; rows that wait while it is stuck are missing until written."""
        if self.error is None or self._pending.span is None:
            return list(self._losses.losses)
        waiting = self.loss(self._pending.rows, self._pending.span, _why(self.error))
        return [*self._losses.losses, waiting]

    @property
    def pending_rows(self) -> int:
        """Rows that wait to be written."""
        return self._pending.rows

    @property
    def channel(self) -> str:
        """The channel of its rows."""
        return str(self._about["channel"])

    @property
    def exists(self) -> bool:
        """Whether the file was made; it may be empty."""
        return self._identity is not None

    @property
    def lost(self) -> int:
        """Rows that are lost, without those that still wait."""
        return self._losses.rows

    def take_unreported(self) -> int:
        """Return the rows that found no room since the last call."""
        return self._losses.take_unreported()

    def settle(self) -> int:
        """Return the rows that stopped waiting since the last call."""
        rows, self._unsettled = self._unsettled, 0
        return rows

    def give_up(self) -> int:
        """Count all waiting rows as lost, and return their number."""
        rows = self._pending.rows
        if self._pending.span is not None:
            self._losses.add(self.loss(rows, self._pending.span, _why(self.error)))
        self._unsettled += self._pending.clear()
        return rows

    def is_due(self, now: float, *, is_final: bool) -> bool:
        """Return whether it is time to write."""
        if not self._pending:
            return False
        if self.error is not None:
            return now >= self._retry_at
        is_ripe = self._pending.is_ripe(now)
        return self._compression is None or is_final or is_ripe

    def fail(self, error: OSError, now: float) -> bool:
        """Note that it cannot be written; return whether that is new, or for another reason."""
        is_new = self.error is None or self.error.errno != error.errno
        self.error = error
        self._retry_at = now + _RETRY
        return is_new

    def resume(self) -> bool:
        """Note that it was written; return whether it was stuck before."""
        was_stuck, self.error = self.error is not None, None
        self._losses.end_drop()
        return was_stuck

    def flush(self, is_in_place: Callable[[], bool]) -> list[Intervention]:
        """Append all waiting rows or none; return the interventions found and repaired.

        Raises
        ------
        FolderMoved
            If the folder is not in its place; nothing was done.
        OSError
            If it cannot be written.
        """
        found = self._prepare(is_in_place)
        self._append()
        assert self._handle is not None  # appending opens it
        if os.fstat(self._handle).st_nlink == 0:  # removed just now; the rows are still in memory
            found.append(self._start_over("was removed while recording"))
            self._append()
        self.rows += self._pending.rows
        if self._pending.span is not None:
            self._span = joined_span(self._span, self._pending.span)
        self._unsettled += self._pending.clear()
        self._is_synced = False
        return found

    def _append(self) -> None:
        handle = self._opened()
        data = self._pending.packed(b"" if self.size else self._header, self._compression)
        try:
            _write(handle, data)
        except BaseException:
            # Half a line would become one with the next line. If this cut fails too, the next
            # append makes it.
            self._has_leftover = True
            with contextlib.suppress(OSError):
                os.ftruncate(handle, self.size)
                self._has_leftover = False
            self.close()
            raise
        self._digest.update(data)
        self.size += len(data)

    def _opened(self) -> int:
        if self._handle is None and self._identity is not None:
            self._handle = open_handle(self.path, _APPEND)
        elif self._handle is None:
            self._handle = self._created()
            found = os.fstat(self._handle)
            self._identity = (found.st_dev, found.st_ino)
        return self._handle

    def _created(self) -> int:
        mode = file_mode(self._about["channel"])
        try:
            return create(self.path, flags=_APPEND, mode=mode)
        except FileExistsError:
            if self.path.is_dir() and not self.path.is_symlink():
                raise IsADirectoryError(
                    errno.EISDIR, os.strerror(errno.EISDIR), str(self.path)
                ) from None
        # somebody else's file, which must not be overwritten
        self.path.rename(_free_name(self.path))
        return create(self.path, flags=_APPEND, mode=mode)

    def look(self, is_in_place: Callable[[], bool]) -> list[Intervention]:
        """Compare the file with its recorded bytes; return the interventions found and repaired."""
        return self._prepare(is_in_place) if self._identity is not None else []

    def _prepare(self, is_in_place: Callable[[], bool]) -> list[Intervention]:
        if self._identity is None:
            if not is_in_place():
                raise FolderMoved(errno.ENOENT, "the folder is not in its place")
            return []
        try:
            found = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            found = None
        is_it = found is not None and (found.st_dev, found.st_ino) == self._identity
        if is_it and found is not None and found.st_size == self.size:
            return []
        if not is_in_place():
            raise FolderMoved(errno.ENOENT, "the folder is not in its place")
        if found is None:
            return [self._start_over(f"{self._gone} while recording")]
        if not is_it:
            return [self._take_back(found)]
        return [self._cut_or_trim(found.st_size)]

    @property
    def _gone(self) -> str:
        is_elsewhere = self._handle is not None and os.fstat(self._handle).st_nlink
        return "was renamed or moved" if is_elsewhere else "was removed"

    def _start_over(self, what: str) -> Intervention:
        lost = self.rows
        if self._span is not None and lost:
            self._losses.add(self.loss(lost, self._span, f"the file {what}"))
        self.close()
        self.rows = self.size = 0
        self._span = self._identity = None
        self._pending.repack()
        self._digest = hashlib.sha256()
        return Intervention(f"{self.path.name} {what}, with {lost:,} rows; it is made anew", lost)

    def _take_back(self, found: os.stat_result) -> Intervention:
        """Handle another file at the path: continue with a copy of ours, else put ours back."""
        if not stat.S_ISREG(found.st_mode):
            # A link, pipe or folder is not ours to change, so the file is stuck until it is gone.
            raise OSError(errno.EEXIST, "something else was put in its place", str(self.path))
        if self._begins_as_ours(self.path):
            self.close()
            self._identity = (found.st_dev, found.st_ino)
            if found.st_size > self.size:
                self._trim(found.st_size)
            text = f"{self.path.name} was replaced by a copy while recording; that is written on"
            return Intervention(text)
        aside = _free_name(self.path)
        old, self._handle = self._handle, None
        try:
            self.path.rename(aside)
            was = f"was replaced by another file while recording, which is {aside.name} now"
            if old is None or not self._put_back(old):
                return self._start_over(was)
        finally:
            if old is not None:
                os.close(old)
        return Intervention(f"{self.path.name} {was}; what was recorded was put back")

    def _begins_as_ours(self, path: Path) -> bool:
        with open_file(path) as file:
            return _digest_of(file.fileno(), self.size) == self._digest.hexdigest()

    def _put_back(self, old: int) -> bool:
        """Copy our bytes from the file that is still open; False if it holds others."""
        if _digest_of(old, self.size) != self._digest.hexdigest():
            return False
        self._identity = None
        handle = self._opened()
        try:
            for block in _blocks(old, 0, self.size):
                _write(handle, block)
        except BaseException:
            self.close()
            self.path.unlink()
            raise
        return True

    def _cut_or_trim(self, size: int) -> Intervention:
        if size > self.size:
            return self._trim(size)
        lost, span = self.rows, self._span
        with open_file(self.path) as file:
            kept, rows, last = _recount(file, size, self._compression, self._digest_anew())
        handle = self._opened()
        os.ftruncate(handle, kept)
        self.rows, self.size = rows, kept
        self._pending.repack()
        if span is not None:
            began = span[0] if last is None else last
            self._span = None if last is None else (span[0], last)
            why = "the file was cut while recording"
            self._losses.add(self.loss(lost - rows, (began, span[1]), why))
        return Intervention(
            f"{self.path.name} was cut to {size:,} bytes while recording: "
            f"{lost - rows:,} of {lost:,} rows are lost",
            lost - rows,
        )

    def _digest_anew(self) -> Any:
        self._digest = hashlib.sha256()
        return self._digest

    def _trim(self, size: int) -> Intervention:
        """Remove the bytes behind our lines, and keep those that somebody else wrote."""
        handle = self._opened()
        text = f"{self.path.name}: half a line of a failed write was cut off"
        if not self._has_leftover:
            aside = _free_name(self.path)
            with os.fdopen(create_like(aside, handle), "wb") as file:
                for block in _blocks(handle, self.size, size):
                    file.write(block)
            extra = size - self.size
            text = (
                f"{self.path.name}: others appended {extra:,} bytes while recording, which are in "
                f"{aside.name} now"
            )
        os.ftruncate(handle, self.size)
        self._has_leftover = False
        return Intervention(text)

    def sync(self) -> None:
        """Make sure that its bytes are on the disk itself."""
        if not self._is_synced:
            os.fsync(self._opened())
            self._is_synced = True

    def close(self) -> None:
        """Close the file until it is written to again."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)

    def manifest(self) -> dict[str, Any]:
        """Return its entry for ``session.json``."""
        return {
            **self._about,
            "rows": self.rows,
            "bytes": self.size,
            "sha256": self._digest.hexdigest(),
        }


def _why(error: OSError | None) -> str | None:
    return None if error is None else f"it could not be written: {error.strerror or error}"


def _free_name(path: Path) -> Path:
    """Return an unused name for a file that is set aside; no session's file has its ending."""
    number = 1
    while True:
        name = path.with_name(f"{path.name}.foreign{'' if number == 1 else number}")
        if not name.exists() and not name.is_symlink():
            return name
        number += 1


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = os.write(handle, rest)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def _blocks(handle: int, start: int, end: int) -> Iterator[bytes]:
    # Appending always goes to the end, so the position may be moved.
    os.lseek(handle, start, os.SEEK_SET)
    while start < end and (block := os.read(handle, min(_BLOCK, end - start))):
        start += len(block)
        yield block


def _digest_of(handle: int, size: int) -> str | None:
    """Hash the first bytes of an open file; None if it is shorter."""
    digest, found = hashlib.sha256(), 0
    for block in _blocks(handle, 0, size):
        digest.update(block)
        found += len(block)
    return digest.hexdigest() if found == size else None


def _recount(
    file: Any, size: int, compression: str | None, digest: Any
) -> tuple[int, int, int | None]:
    """Measure the whole lines of a file that was cut: bytes, rows, and the last arrival.

    These bytes are added to the digest.
    """
    counter, kept, _ = count_whole(file, compression, size, LineCounter())
    if compression is None:
        kept = counter.size
    file.seek(0)
    for block in _blocks(file.fileno(), 0, kept):
        digest.update(block)
    rows = max(0, counter.records - 1)
    return kept, rows, counter.last_integer(1) if rows else None
