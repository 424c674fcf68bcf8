"""Compressed CSV: a file is a row of whole gzip members or zstd frames, one for each flush.

Each can be read by itself, so a file that was cut reads up to its last whole one, and one that is
damaged within lacks only those that are hit; and any program
that reads `.gz` or `.zst` takes a row of them for one text. zstd comes with pyarrow, so nothing
more needs to be installed for it.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from kucoin_research.regular import open_file

__all__ = [
    "Member",
    "Unpacked",
    "compression_of",
    "members",
    "open_text",
    "open_whole",
    "pack",
    "unpack",
]

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_SLICE = 1 << 16
_BLOCK = 1 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# What a member or frame of ours begins with: of gzip without a name and a time.
_BEGINNINGS = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0", "zstd": _ZSTD_MAGIC}


def compression_of(name: str) -> str | None:
    """Tell by its name how a file is compressed: ``gzip``, ``zstd`` or None."""
    return "gzip" if name.endswith(".gz") else "zstd" if name.endswith(".zst") else None


def pack(text: bytes, compression: str | None) -> bytes:
    """Compress a text into one member or frame; None leaves it as it is."""
    if compression is None:
        return text
    if compression == "gzip":
        return gzip.compress(text, _GZIP_LEVEL, mtime=0)
    packed: bytes = pa.Codec("zstd", compression_level=_ZSTD_LEVEL).compress(text, asbytes=True)
    return packed


def open_text(path: Path, size: int, compression: str | None) -> IO[bytes]:
    """Open the first ``size`` bytes of a file to be read piece by piece, decompressed.

    No file stays open between two reads, so any number of these may be held. Plain ones can seek.
    """
    raw = _Part(path, size)
    if compression is None:
        return io.BufferedReader(raw, _SLICE)
    if compression == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=io.BufferedReader(raw, _SLICE)))
    stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
    return stream


def open_whole(path: Path, size: int, compression: str | None) -> IO[bytes]:
    """Open the first ``size`` bytes of a file as ``open_text`` does, without what is damaged.

    Of a compressed file a member or frame is held at a time.
    """
    if compression is None:
        return open_text(path, size, None)
    return io.BufferedReader(_Members(path, size, compression), _SLICE)


class _Members(io.RawIOBase):
    """The text of a file's whole members or frames."""

    def __init__(self, path: Path, size: int, compression: str) -> None:
        self._file = open_file(path)
        self._texts = members(self._file, compression, size)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            found = next(self._texts, None)
            if found is None:
                return 0
            self._rest = memoryview(found.text)
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Part(io.RawIOBase):
    """The beginning of a file, opened for each read only."""

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


class Unpacked(NamedTuple):
    """The text of the whole members or frames, and how many bytes of the file these are."""

    text: bytes
    size: int


def unpack(data: bytes, compression: str | None) -> Unpacked:
    """Decompress whole members or frames; what follows the last is torn, or no such data."""
    texts, size = [], 0
    for text, _, end in members(io.BytesIO(data), compression, len(data)):
        texts.append(text)
        size = end
    return Unpacked(b"".join(texts), size)


class Member(NamedTuple):
    """The text of a whole member or frame, and the bytes of the file that it is."""

    text: bytes
    start: int
    end: int


def members(file: BinaryIO, compression: str | None, size: int) -> Iterator[Member]:
    """Read the first ``size`` bytes of a file, a whole member or frame at a time.

    One that is damaged is left out, so that the next begins behind the end of the one before; what
    follows the last is torn, or no such data. Plain text comes in pieces of some size.

    Parameters
    ----------
    file
        At its beginning; one that can seek.
    compression, size
        How it is compressed, and how far it is read.
    """
    if compression is None:
        yield from _plain(file, size)
        return
    read = _gunzip if compression == "gzip" else _unzstd
    start: int | None = 0
    while start is not None:
        file.seek(start)
        end = start
        for text, reached in read(file, size - start):
            yield Member(text, end, start + reached)
            end = start + reached
        start = _next_beginning(file, _BEGINNINGS[compression], end + 1, size)


def _next_beginning(file: BinaryIO, beginning: bytes, start: int, size: int) -> int | None:
    """Find where the next member or frame may begin."""
    file.seek(start)
    rest = b""
    while start < size and (block := file.read(min(_BLOCK, size - start))):
        text = rest + block
        found = text.find(beginning)
        if found >= 0:
            return start - len(rest) + found
        start += len(block)
        rest = text[1 - len(beginning) :]
    return None


def _plain(file: BinaryIO, size: int) -> Iterator[Member]:
    position = 0
    while block := file.read(min(_BLOCK, size - position)):
        start, position = position, position + len(block)
        yield Member(block, start, position)


def _gunzip(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    position, data = 0, b""
    while True:
        member = zlib.decompressobj(wbits=31)
        parts = []
        while not member.eof:
            # In slices, since what follows a member's end is copied.
            data = data or file.read(min(_SLICE, size - position))
            if not data:
                return
            try:
                parts.append(member.decompress(data))
            except zlib.error:
                return
            position += len(data) - len(member.unused_data)
            data = member.unused_data
        yield b"".join(parts), position


def _unzstd(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    data, start, position = b"", 0, 0
    while True:
        end = _frame_end(data, start)
        if end is None:
            if not _ZSTD_MAGIC.startswith(data[start : start + 4]):
                return
            block = file.read(min(max(_BLOCK, len(data)), size - position - len(data) + start))
            if not block:
                return
            data, start = data[start:] + block, 0
            continue
        try:
            text = pa.CompressedInputStream(pa.BufferReader(data[start:end]), "zstd").read()
        except OSError:
            return
        position += end - start
        start = end
        yield text, position


def _frame_end(data: bytes, start: int) -> int | None:
    # RFC 8878, 3.1.1: magic, descriptor, window, dictionary, content size; then blocks of three
    # bytes of header (last flag, type, size) and their content; then a checksum if announced.
    if data[start : start + 4] != _ZSTD_MAGIC or start + 5 > len(data):
        return None
    descriptor = data[start + 4]
    is_single = descriptor >> 5 & 1
    content_size = (is_single, 2, 4, 8)[descriptor >> 6]
    position = start + 5 + (1 - is_single) + (0, 1, 2, 4)[descriptor & 3] + content_size
    while position + 3 <= len(data):
        block = int.from_bytes(data[position : position + 3], "little")
        is_repeated = block >> 1 & 3 == 1
        position += 3 + (1 if is_repeated else block >> 3)
        if block & 1:
            end = position + (4 if descriptor >> 2 & 1 else 0)
            return end if end <= len(data) else None
    return None
