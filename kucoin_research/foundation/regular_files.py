"""Opens, makes and replaces regular files only, and follows no link.

Users send sessions to each other, so somebody else may have made a session's folder. If a link, a
pipe or a device in it has the name of one of its files, opening that would read or write elsewhere,
or wait for ever. So all files of a session are opened, made and replaced by these functions. The
folder itself and the folders above it are the user's own choice; they may be links.
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
# Without it, opening a pipe waits for a writer.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_FLAGS = _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_BLOCK = 1 << 20
_LONGEST = 100  # a draft's name begins with this many characters of the file's name at most
_BLOCK_ON_DISK = 512  # bytes, as ``st_blocks`` counts them
_LARGEST_HOLES = 64 << 20  # bytes, all holes of a file together
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Irregular(OSError):
    """Something has that name, but it is no regular file; ``what`` says what kind it is."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EINVAL, f"it is {what}, not a file", str(path))
        self.what = what


def worded(error: OSError, failed: str, cure: str) -> OSError:
    """Make an error of the same kind and ``errno`` whose text is a sentence with the cure.

    Parameters
    ----------
    error
        The error of the operating system.
    failed, cure
        The task that failed, with the folder, and the advice to the user.
    """
    kind = type(error) if type(error).__module__ == "builtins" else OSError
    made = kind(f"{failed}: {error.strerror or error}; {cure}")
    made.errno = error.errno
    return made


def kind_of(path: Path) -> str | None:
    """Return the kind of something that is no regular file, such as ``a link``; else ``None``.

    Raises
    ------
    OSError
        If nothing is there, or its kind cannot be read.
    """
    return _kind(path.lstat())


def _kind(found: os.stat_result) -> str | None:
    if stat.S_ISREG(found.st_mode):
        return None
    return next((name for test, name in _KINDS if test(found.st_mode)), "something else")


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file; a link to one is none."""
    try:
        return kind_of(path) is None
    except (OSError, ValueError):
        return False


def size_of(path: Path) -> int:
    """Return the size of a regular file in bytes, up to the end of the data that was written.

    A hole at the end is not counted. Nothing is counted after the holes exceed 64 MB together. A
    machine that loses power leaves small holes, but with large ones a few kB on the disk could pass
    for a TB.

    Raises
    ------
    Irregular
        If it is no regular file.
    OSError
        If nothing is there.
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
        # A file that the file system compresses also has few blocks, but no holes: it counts whole.
        for piece in _pieces(handle, size):
            holes += piece.start - end
            if holes > _LARGEST_HOLES:
                break
            end = piece.stop
        return end
    finally:
        os.close(handle)


def _pieces(handle: int, size: int) -> Iterator[range]:
    """List the ranges of bytes of a file that were written; between them are holes."""
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
        return None  # no data from there on


def copy(source: BinaryIO, target: BinaryIO) -> None:
    """Copy a file to an empty one; holes stay holes.

    Raises
    ------
    OSError
        If writing fails.
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
    """Open an existing regular file to read it.

    Raises
    ------
    Irregular
        If it is no regular file.
    OSError
        If it cannot be opened.
    """
    return os.fdopen(open_handle(path, os.O_RDONLY), "rb", buffering=buffering)


def open_handle(path: Path, flags: int) -> int:
    """Open an existing regular file, as ``os.open`` does; see ``open_file`` for its errors."""
    # Windows has no O_NOFOLLOW. It follows a link that somebody makes between check and opening.
    if not _NO_FOLLOW:
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
    """Make a file and return its descriptor; nothing that exists is overwritten.

    Raises
    ------
    FileExistsError
        If anything has that name, even a link to nothing.
    OSError
        If it cannot be made.
    """
    return os.open(path, flags | _FLAGS | os.O_CREAT | os.O_EXCL, mode)


def create_like(path: Path, other: int) -> int:
    """Make a file with the read and write permissions of ``other``, an open descriptor."""
    return create(path, mode=_mode_of(other))


def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file, or whatever has its name, by one with this content, atomically.

    Whatever happens, either the old or the new file is there. The draft is written under a random
    name, so that nothing which somebody put into the folder receives the data.

    Raises
    ------
    OSError
        If writing fails; the old file stays.
    """
    _replace(path, io.BytesIO(data), len(data), mode)


def cut(path: Path, size: int) -> None:
    """Cut a file to its first ``size`` bytes, by replacing it: a hard link to it keeps all bytes.

    Raises
    ------
    Irregular
        If it is no regular file.
    OSError
        If writing fails; the file stays as it is.
    """
    with open_file(path) as file:
        _replace(path, file, size, _mode_of(file.fileno()))


def _mode_of(handle: int) -> int:
    # Only the bits for reading and writing: no set-user-ID bit.
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
