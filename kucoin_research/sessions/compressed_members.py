"""The whole gzip members and zstd frames of a compressed file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Generic, NamedTuple, Protocol, Self, TypeVar

import pyarrow as pa

__all__ = ["FileWindow", "Member", "WholeMembers", "count_whole", "members", "most_text", "walk"]

_FIRST = 1 << 10  # of a member, which may be small: what is behind its end is copied
_SLICE = 1 << 16
_BLOCK = 1 << 20
# Text of a file, by its size: that of identical books of 50 levels is 76 (gzip) or 137 times (zstd
# at level 19) as large, while one of nothing but zeros is 1,000 or 20,000 times.
_RATIOS = {"gzip": 250, "zstd": 400}
_ALWAYS = 1 << 20
_LONGEST_LINE = 16 << 20
# Bytes that the search for whole members may cost: what looks like one can begin anywhere in a
# file, and each may reach to its end.
_SEARCHED = 64 << 20
_SEARCHED_RATIO = 16
_ATTEMPT = 1 << 14
_STEP = 1 << 8  # for each block of a frame that is none in the end: of three bytes or more
_HEADERS = 1 << 12  # bytes read at once: many blocks may be small
_TOGETHER = 64  # small frames that are decompressed at once, as each has its price
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# What a member or frame of ours begins with: of gzip without a name and a time.
_BEGINNINGS = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0", "zstd": _ZSTD_MAGIC}
_Kind = TypeVar("_Kind", bound="_TextCounter")


class FileWindow(io.RawIOBase):
    """A part of a file that is open, and is read by others as well."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._end = end
        self._position = start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        bases = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._end}
        self._position = bases[whence] + offset
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._position)
        block = self._file.read(max(0, min(len(buffer), self._end - self._position)))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


class Member(NamedTuple):
    """The bytes of a file that are a member or frame, and whether it is whole."""

    start: int
    end: int
    is_whole: bool


class Step(NamedTuple):
    """A piece of text, and behind the last one of a member or frame, which that is."""

    text: bytes
    member: Member | None


def walk(file: BinaryIO, compression: str | None, size: int) -> Iterator[Step]:
    """Decompress the first ``size`` bytes of a file, some 1 MB of text at a time.

    The text of a member or frame counts once its last step says that it is whole; else it is
    damaged, or torn, and is to be forgotten. Then the next one is looked for. So what is behind the
    end of the last whole one is torn, or no such data. Plain text is cut into pieces, all whole.

    Parameters
    ----------
    file
        At its beginning; one that can seek. Between two steps it may be read elsewhere.
    compression, size
        How it is compressed, and how far it is read.
    """
    if compression is None:
        yield from _plain(file, size)
        return
    read: _Reader = _gunzip if compression == "gzip" else _unzstd
    total, budget = 0, _Budget(_SEARCHED + _SEARCHED_RATIO * size)
    start: int | None = 0
    while start is not None and start < size and budget.left > 0:
        length, reached, is_whole = 0, start, False
        line = 0  # bytes, at least, since a line has ended
        for text, reached, is_whole in read(file, start, size, budget):
            length += len(text)
            line = 0 if b"\n" in text else line + len(text)
            if total + length > most_text(reached, compression) or line > _LONGEST_LINE:
                is_whole = False
                break
            yield Step(text, None)
            if is_whole:
                yield Step(b"", Member(start, reached, is_whole=True))
                total, length, start = total + length, 0, reached
        if not is_whole:
            yield Step(b"", Member(start, reached, is_whole=False))
            budget.spend(max(_ATTEMPT, length, reached - start))
            start = _next_beginning(file, _BEGINNINGS[compression], start + 1, size)


class _Budget:
    """What the search for whole members may still cost, in bytes read."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, cost: int) -> None:
        self.left -= cost


def members(file: BinaryIO, compression: str | None, size: int) -> Iterator[Member]:
    """Find the whole members or frames; see ``walk``."""
    return (each for _, each in walk(file, compression, size) if each is not None and each.is_whole)


class _TextCounter(Protocol):
    def take(self, text: bytes, /) -> None: ...

    def copy(self) -> Self: ...


class WholeMembers(NamedTuple, Generic[_Kind]):
    """What has counted the whole members, how far they reach, and the bytes amid them of none."""

    counter: _Kind
    size: int
    broken: int


def count_whole(
    file: BinaryIO, compression: str | None, size: int, counter: _Kind
) -> WholeMembers[_Kind]:
    """Have the text of the whole members or frames counted, as ``walk`` reads them."""
    kept = broken = 0
    before = counter.copy()
    for text, member in walk(file, compression, size):
        counter.take(text)
        if member is None:
            continue
        if member.is_whole:
            broken += member.start - kept
            kept = member.end
        else:
            counter = before
        before = counter.copy()
    return WholeMembers(counter, kept, broken)


def most_text(size: int, compression: str) -> int:
    """Give the bytes of text beyond which a compressed file of some size is none of rows."""
    return _ALWAYS + _RATIOS[compression] * size


def _next_beginning(file: BinaryIO, beginning: bytes, start: int, size: int) -> int | None:
    """Find where the next member or frame may begin."""
    file.seek(start)
    rest = b""
    while start < size and (block := file.read(min(_SLICE, size - start))):
        text = rest + block
        found = text.find(beginning)
        if found >= 0:
            return start - len(rest) + found
        start += len(block)
        rest = text[1 - len(beginning) :]
    return None


def _plain(file: BinaryIO, size: int) -> Iterator[Step]:
    position = 0
    while block := file.read(min(_BLOCK, size - position)):
        start, position = position, position + len(block)
        yield Step(block, Member(start, position, is_whole=True))


class _Reader(Protocol):
    """Reads members or frames: text, how far the file was read for it, and if one ends there.

    What comes behind the last end is of one that is damaged, or torn.
    """

    def __call__(
        self, file: BinaryIO, start: int, size: int, budget: _Budget, /
    ) -> Iterator[tuple[bytes, int, bool]]: ...


def _gunzip(
    file: BinaryIO, start: int, size: int, _budget: _Budget
) -> Iterator[tuple[bytes, int, bool]]:
    stream = zlib.decompressobj(wbits=31)
    position, wanted = start, _FIRST
    while not stream.eof:
        data = stream.unconsumed_tail
        if not data:
            file.seek(position)
            data = file.read(min(wanted, size - position))
            position += len(data)
            wanted = min(2 * wanted, _SLICE)
        if not data:
            return
        try:
            text = stream.decompress(data, _BLOCK)
        except zlib.error:
            return
        yield text, position - len(stream.unused_data), stream.eof


def _unzstd(
    file: BinaryIO, start: int, size: int, budget: _Budget
) -> Iterator[tuple[bytes, int, bool]]:
    """Read one frame, or several small ones in a row; the text of all of them is the first's."""
    ends, blocks = _frame_ends(file, start, size)
    while len(ends) > 1:
        text = _unzstd_small(file, start, ends[-1])
        if text is not None:
            yield text, ends[0], True
            yield from ((b"", end, True) for end in ends[1:])
            return
        budget.spend(_ATTEMPT)
        del ends[len(ends) // 2 :]
    if ends:
        window = FileWindow(file, start, ends[0])
        try:
            stream = pa.CompressedInputStream(pa.PythonFile(window, mode="r"), "zstd")
            while text := stream.read(_BLOCK):
                yield text, start + window.tell(), False
        except OSError:
            pass
        else:
            yield b"", ends[0], True
            return
    budget.spend(_STEP * blocks)


def _unzstd_small(file: BinaryIO, start: int, end: int) -> bytes | None:
    """Decompress small frames; None if one of them is damaged, or none of rows."""
    file.seek(start)
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(file.read(end - start)), "zstd")
        text: bytes = stream.read(_BLOCK + 1)
    except OSError:
        return None
    return text if len(text) <= min(_BLOCK, most_text(end, "zstd")) else None


def _frame_ends(file: BinaryIO, start: int, size: int) -> tuple[list[int], int]:
    """Find the ends of a frame and of the small ones behind it, and count the first one's blocks.

    Without any if the first one has no end.
    """
    end, blocks = _frame_end(file, start, size)
    ends: list[int] = []
    limit = min(size, start + _SLICE)
    while end is not None:
        ends.append(end)
        if end >= limit or len(ends) == _TOGETHER:
            break
        end, _ = _frame_end(file, end, limit)
    return ends, blocks


def _frame_end(file: BinaryIO, start: int, size: int) -> tuple[int | None, int]:
    """Find where a frame ends, if it does, and count its blocks."""
    # RFC 8878, 3.1.1: magic, descriptor, window, dictionary, content size; then blocks of three
    # bytes of header (last flag, type, size) and their content; then a checksum if announced.
    file.seek(start)
    beginning = file.read(5)
    if not beginning.startswith(_ZSTD_MAGIC) or len(beginning) < 5:
        return None, 0
    descriptor = beginning[4]
    is_single = descriptor >> 5 & 1
    content_size = (is_single, 2, 4, 8)[descriptor >> 6]
    position = start + 5 + (1 - is_single) + (0, 1, 2, 4)[descriptor & 3] + content_size
    blocks, held, text = 0, position, b""
    while position + 3 <= size:
        if position + 3 > held + len(text):
            file.seek(position)
            held, text = position, file.read(_HEADERS if blocks else 3)
        block = int.from_bytes(text[position - held : position - held + 3], "little")
        is_repeated = block >> 1 & 3 == 1
        position += 3 + (1 if is_repeated else block >> 3)
        blocks += 1
        if block & 1:
            end = position + (4 if descriptor >> 2 & 1 else 0)
            return (end if end <= size else None), blocks
    return None, blocks
