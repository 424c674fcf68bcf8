"""Files in a folder that somebody else may have made: regular ones only, and no link is followed.

A session is a folder that is sent about. Where a link, a pipe or a device has the name of one of
its files, opening that would read or write something elsewhere, or wait for ever. So each file of
a session is opened, made and replaced by these functions. The folder itself, and the folders above
it, are what the user named: they may be links.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "Irregular",
    "copy",
    "create",
    "create_like",
    "cut",
    "is_regular",
    "kind_of",
    "open_file",
    "open_handle",
    "replace",
    "size_of",
    "worded",
]

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# Else opening a pipe waits for a writer.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_FLAGS = _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_BLOCK = 1 << 20
_LONGEST = 100  # characters of a name that a draft's name begins with
_BLOCK_ON_DISK = 512  # bytes, as ``st_blocks`` counts them
_LARGEST_HOLES = 64 << 20  # bytes of a file, in all
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Irregular(OSError):
    """There is something of that name, but it is no regular file; the text says what it is."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EINVAL, f"it is {what}, not a file", str(path))
        self.what = what


def worded(error: OSError, failed: str, cure: str) -> OSError:
    """Make an error of the same kind and ``errno`` that says in a sentence what failed, and why.

    Parameters
    ----------
    error
        The system's.
    failed, cure
        What could not be done, with which folder; and what to do.
    """
    kind = type(error) if type(error).__module__ == "builtins" else OSError
    made = kind(f"{failed}: {error.strerror or error}; {cure}")
    made.errno = error.errno
    return made


def kind_of(path: Path) -> str | None:
    """Say what is at a path where it is no regular file: ``a link``, …; ``None`` where it is one.

    Raises
    ------
    OSError
        If there is nothing, or it cannot be looked at.
    """
    return _kind(path.lstat())


def _kind(found: os.stat_result) -> str | None:
    if stat.S_ISREG(found.st_mode):
        return None
    return next((name for test, name in _KINDS if test(found.st_mode)), "something else")


def is_regular(path: Path) -> bool:
    """Tell whether there is a regular file, and no link to one."""
    try:
        return kind_of(path) is None
    except (OSError, ValueError):
        return False


def size_of(path: Path) -> int:
    """Give the bytes of a regular file, as far as they were written.

    A hole at the end is not counted, and nothing behind holes of more than 64 MB in all: a machine
    that loses its power leaves small ones, but else a few kB on the disk could pass for a TB.

    Raises
    ------
    Irregular
        If it is none.
    OSError
        If there is nothing.
    """
    found = path.lstat()
    what = _kind(found)
    if what is not None:
        raise Irregular(path, what)
    size = found.st_size
    is_full = getattr(found, "st_blocks", size) * _BLOCK_ON_DISK >= size
    return size if is_full else _before_holes(path, size)


def _before_holes(path: Path, size: int) -> int:
    handle = open_handle(path, os.O_RDONLY)
    try:
        end = holes = 0
        # What is compressed on the disk has few blocks, too, and no hole before its end.
        for piece in _pieces(handle, size):
            holes += piece.start - end
            if holes > _LARGEST_HOLES:
                break
            end = piece.stop
        return end
    finally:
        os.close(handle)


def _pieces(handle: int, size: int) -> Iterator[range]:
    """Give the pieces of a file that were written; between them are holes."""
    if not hasattr(os, "SEEK_HOLE"):
        yield range(size)
        return
    end = 0
    while (begin := _data_from(handle, end)) is not None:
        end = os.lseek(handle, begin, os.SEEK_HOLE)
        yield range(begin, end)


def _data_from(handle: int, begin: int) -> int | None:
    try:
        return os.lseek(handle, begin, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None  # nothing was written from there on


def copy(source: BinaryIO, target: BinaryIO) -> None:
    """Copy a file to an empty one, holes as holes.

    Raises
    ------
    OSError
        If it could not be written.
    """
    size = os.fstat(source.fileno()).st_size
    for piece in _pieces(source.fileno(), size):
        target.seek(piece.start)
        _copy(source, target, piece)
    target.truncate(size)


def _copy(source: BinaryIO, target: BinaryIO, piece: range) -> None:
    source.seek(piece.start)
    left = len(piece)
    while left and (block := source.read(min(_BLOCK, left))):
        target.write(block)
        left -= len(block)


def open_file(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a regular file that is there, to read it.

    Raises
    ------
    Irregular
        If it is none.
    OSError
        If it cannot be opened.
    """
    return os.fdopen(open_handle(path, os.O_RDONLY), "rb", buffering=buffering)


def open_handle(path: Path, flags: int) -> int:
    """Open a regular file that is there as ``os.open`` does; see ``open_file``."""
    if not _NO_FOLLOW:  # Windows: a link that is put there in between is followed
        size_of(path)
    try:
        handle = os.open(path, flags | _FLAGS | _NO_WAIT)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR):
            raise Irregular(path, kind_of(path) or "no file any more") from error
        raise
    what = _kind(os.fstat(handle))
    if what is not None:
        os.close(handle)
        raise Irregular(path, what)
    return handle


def create(path: Path, *, mode: int = 0o644, flags: int = os.O_RDWR) -> int:
    """Make a file, and give its descriptor; whatever has that name stays as it is.

    Raises
    ------
    FileExistsError
        If there is anything of that name, a link to nothing included.
    OSError
        If it cannot be made.
    """
    return os.open(path, flags | _FLAGS | os.O_CREAT | os.O_EXCL, mode)


def create_like(path: Path, other: int) -> int:
    """Make a file that the same people may read and write as another one, an open descriptor."""
    return create(path, mode=_mode_of(other))


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a file with that content in place of whatever has its name, as a whole.

    Whatever happens, the old one or the new one is there. The draft has a name of its own, so that
    nothing which lies in the folder takes what is written.

    Raises
    ------
    OSError
        If it could not be written; the old one stays.
    """
    _replace(path, io.BytesIO(data), len(data), mode)


def cut(path: Path, size: int) -> None:
    """Leave the first ``size`` bytes of a file; a hard link to it elsewhere keeps them all.

    Raises
    ------
    Irregular
        If it is no regular file.
    OSError
        If it could not be written; it stays as it is.
    """
    with open_file(path) as file:
        _replace(path, file, size, _mode_of(file.fileno()))


def _mode_of(handle: int) -> int:
    # Who may read and write it, and nothing else: no set-user-ID bit.
    return stat.S_IMODE(os.fstat(handle).st_mode) & 0o666


def _replace(path: Path, source: BinaryIO, size: int, mode: int) -> None:
    draft = path.with_name(f".{path.name[:_LONGEST]}.{secrets.token_hex(8)}.tmp")
    handle = create(draft, mode=mode)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(source, file, range(size))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
