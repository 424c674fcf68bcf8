"""Whether a session's folder is being recorded: a lock on a mark in the folder."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from kucoin_research.foundation.forking import in_child
from kucoin_research.foundation.regular_files import Irregular, create, open_handle

__all__ = ["FolderLock", "identity_of", "is_being_recorded"]

_LOCK = ".recording"
_ATTEMPTS = 1_000  # to lock a folder while others look at it


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file or folder, which no other one shares.

    None where there is none.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        return _identity(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class FolderLock:
    """Marks a folder as being recorded, for as long as this process lives.

    The system releases the lock when the process ends, however it ends. A forked child does not
    share it; otherwise the child would hold the folder of a parent that is gone.

    Raises
    ------
    BlockingIOError
        If a living process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LOCK
        self._handle = _open_mark(self._path)
        try:
            _take(self._handle)
        except OSError as error:
            os.close(self._handle)
            raise BlockingIOError(f"{folder} is being recorded by another process") from error
        self._identity = _identity(os.fstat(self._handle))
        _HELD.add(self)

    @property
    def is_in_place(self) -> bool:
        """Whether the mark is still the file in the folder; otherwise nobody sees it."""
        return self._handle >= 0 and identity_of(self._path) == self._identity

    @property
    def place(self) -> Path | None:
        """Where the mark is now, as the system reports of open files; None where it does not."""
        try:
            return Path(f"/proc/self/fd/{self._handle}").readlink()
        except OSError:
            return None

    def move_to(self, folder: Path) -> None:
        """Note that the folder has another name."""
        self._path = folder / _LOCK

    def release(self) -> None:
        """Release the lock and remove the mark; may be called twice."""
        with contextlib.suppress(OSError):
            if self._handle >= 0 and self.is_in_place:
                self._path.unlink(missing_ok=True)
        self.drop()

    def drop(self) -> None:
        """Release the lock and leave the mark in the folder; may be called twice."""
        _HELD.discard(self)
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            with contextlib.suppress(OSError):
                os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _open_mark(path: Path) -> int:
    """Open the mark, or make it; an entry that is no file belongs to nobody and is removed."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            try:
                return open_handle(path, os.O_RDWR)
            except Irregular:
                _clear(path)
        with contextlib.suppress(FileExistsError):
            return create(path)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.{secrets.token_hex(8)}.orig"))
    else:
        path.unlink(missing_ok=True)


_HELD: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _drop_all() -> None:
    # Closing the child's copy of the handle does not release the parent's lock.
    for lock in list(_HELD):
        lock.drop()


in_child(_drop_all)

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    _share = _take = _lock  # Windows has no shared locks
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _share(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _take(handle: int) -> None:
        # A process that only looks whether the folder is being recorded shares the lock for a
        # moment.
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(OSError):
                _lock(handle)
                return
            _share(handle)  # fails if the other process is a recorder
        _lock(handle)


def is_being_recorded(folder: Path) -> bool:
    """Return whether a living process is writing a session's folder."""
    try:
        handle = open_handle(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        # Shared, since otherwise two that look at the same time would see each other as a recorder.
        _share(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
