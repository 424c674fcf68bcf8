"""Compressed CSV: a file is a sequence of whole gzip members or zstd frames, one for each flush.

Each member can be read alone. So a file that was cut can be read up to its last whole member, and
damage inside a file costs only the members that it hits. Any program that reads `.gz` or `.zst`
takes the sequence for one text. zstd comes with pyarrow, so nothing else needs to be installed.

A file may come from anybody, so it is decompressed piece by piece. A file whose text is hundreds of
times as large as itself was never recorded, and counts as damaged.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from kucoin_research.foundation.regular_files import open_file
from kucoin_research.sessions.files.compressed_members import FileWindow, Member, most_text, walk

__all__ = ["compression_of", "first_line", "open_text", "open_whole", "pack"]

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_SLICE = 1 << 16
_HELD = 4 << 20  # bytes of a member's text that are held until its end proves that it is whole


def compression_of(name: str) -> str | None:
    """Return how a file of this name is compressed: ``gzip``, ``zstd`` or None."""
    return "gzip" if name.endswith(".gz") else "zstd" if name.endswith(".zst") else None


def pack(text: bytes, compression: str | None) -> bytes:
    """Compress a text into one member or frame; without a compression, return it unchanged."""
    if compression is None:
        return text
    if compression == "gzip":
        return gzip.compress(text, _GZIP_LEVEL, mtime=0)
    packed: bytes = pa.Codec("zstd", compression_level=_ZSTD_LEVEL).compress(text, asbytes=True)
    return packed


def open_text(path: Path, size: int, compression: str | None) -> IO[bytes]:
    """Open the first ``size`` bytes of a file to be read piece by piece, decompressed.

    No file stays open between two reads, so any number of these may exist. Plain ones can seek.
    Reading a damaged one raises an ``OSError``, ``EOFError`` or ``zlib.error``.
    """
    raw = _FileHead(path, size)
    if compression is None:
        return io.BufferedReader(raw, _SLICE)
    return io.BufferedReader(_Text(_texts(raw, compression)), _SLICE)


def _texts(raw: _FileHead, compression: str) -> Iterator[bytes]:
    if compression == "gzip":
        stream: Any = gzip.GzipFile(fileobj=io.BufferedReader(raw, _SLICE))
    else:
        stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    size = 0
    while text := stream.read(_SLICE):
        size += len(text)
        if size > most_text(raw.tell(), compression):
            raise OSError("it unpacks to far more than any recording does")
        yield text


def open_whole(path: Path, size: int, compression: str | None) -> IO[bytes]:
    """Open the first ``size`` bytes of a file as ``open_text`` does, without the damaged parts."""
    if compression is None:
        return open_text(path, size, None)
    file = open_file(path)
    return io.BufferedReader(_Text(_whole_texts(file, compression, size), file), _SLICE)


def first_line(path: Path, size: int, compression: str | None, most: int) -> bytes:
    """Read the first line of the text that ``open_whole`` opens, or ``most`` bytes of a longer one.

    Only the beginning of a large member or frame is decompressed.
    """
    with open_file(path) as file:
        held = b""
        for text, member in walk(file, compression, size):
            held += text
            if len(held) >= _HELD or (member is not None and member.is_whole):
                break
            if member is not None:
                held = b""
        else:
            held = b""
    return held[: min(most, held.find(b"\n") + 1 or most)]


class _Text(io.RawIOBase):
    """A readable file made of pieces of text."""

    def __init__(self, texts: Iterator[bytes], file: BinaryIO | None = None) -> None:
        self._texts = texts
        self._file = file
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            found = next(self._texts, None)
            if found is None:
                return 0
            self._rest = memoryview(found)
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


class _FileHead(io.RawIOBase):
    """The beginning of a file, opened only during each read."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._position))
        with open_file(self._path, buffering=0) as file:
            file.seek(self._position)
            found: int = cast("Any", file).readinto(memoryview(buffer)[:wanted])
        self._position += found
        return found


def _whole_texts(file: BinaryIO, compression: str | None, size: int) -> Iterator[bytes]:
    """Read the text of whole members; a large one is decompressed twice, to save memory."""
    file.seek(0)
    held: list[bytes] = []
    length = 0
    for text, member in walk(file, compression, size):
        length += len(text)
        if length <= _HELD:
            held.append(text)
        else:
            held = []
        if member is None:
            continue
        if member.is_whole and length > _HELD:
            yield from _again(file, compression, member)
        elif member.is_whole:
            yield from held
        held, length = [], 0


def _again(file: BinaryIO, compression: str | None, member: Member) -> Iterator[bytes]:
    window = io.BufferedReader(FileWindow(file, member.start, member.end), _SLICE)
    for text, _ in walk(cast("BinaryIO", window), compression, member.end - member.start):
        yield text
