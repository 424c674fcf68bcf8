"""The whole gzip members and zstd frames of a compressed file.

A file may come from anybody, so it is decompressed piece by piece, and the search for the next
whole member is bounded. A text that is hundreds of times as large as its file counts as damaged,
because no recording compresses that well.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Generic, NamedTuple, Protocol, Self, TypeVar

import pyarrow as pa

__all__ = ["FileWindow", "Member", "WholeMembers", "count_whole", "members", "most_text", "walk"]

# bytes read first of a member, which may be small: bytes behind its end are copied
_FIRST = 1 << 10
_SLICE = 1 << 16
_BLOCK = 1 << 20
# The largest text, relative to its file. Identical books of 50 levels are 76 times (gzip) or 137
# times (zstd at level 19) as large as their file; a text of zeros 1,000 or 20,000 times.
_RATIOS = {"gzip": 250, "zstd": 400}
_ALWAYS = 1 << 20
_LONGEST_LINE = 16 << 20
# Bytes that the search for whole members may read. A false beginning can be anywhere in a file, and
# each may seem to reach to the file's end.
_SEARCHED = 64 << 20
_SEARCHED_RATIO = 16
_ATTEMPT = 1 << 14
_STEP = 1 << 8  # the cost of each block, of three bytes or more, of a frame that proves to be none
_HEADERS = 1 << 12  # bytes read at once, since many blocks may be small
_TOGETHER = 64  # small frames decompressed at once, because each call has a fixed cost
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# The first bytes of our members and frames; our gzip members have no name and no time.
_BEGINNINGS = {"gzip": b"\x1f\x8b\x08\0\0\0\0\0", "zstd": _ZSTD_MAGIC}
_Kind = TypeVar("_Kind", bound="_TextCounter")


class FileWindow(io.RawIOBase):
    """A part of an open file that others read as well; each read seeks first."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._end = end
        self._position = start

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position within the part."""
        return self._position - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position within the part."""
        bases = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._end}
        self._position = bases[whence] + offset
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; return how many bytes."""
        self._file.seek(self._position)
        block = self._file.read(max(0, min(len(buffer), self._end - self._position)))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


class Member(NamedTuple):
    """The bytes of a file that are one member or frame, and whether it is whole."""

    start: int
    end: int
    is_whole: bool


class Step(NamedTuple):
    """A piece of text; the last piece of a member or frame carries that member."""

    text: bytes
    member: Member | None


def walk(file: BinaryIO, compression: str | None, size: int) -> Iterator[Step]:
    """Decompress the first ``size`` bytes of a file, about 1 MB of text at a time.

    The text of a member or frame counts only once its last step says that it is whole. Otherwise
    the member is damaged or torn: forget its text. Then the search for the next one begins. Bytes
    behind the last whole member are torn, or no compressed data. Plain text is cut into pieces, all
    whole.

    Parameters
    ----------
    file
        At its beginning; must be seekable. Between two steps, others may read elsewhere in it.
    compression, size
        How it is compressed, and how many bytes of it are read.
    """
    if compression is None:
        yield from _plain(file, size)
        return
    read: _Reader = _gunzip if compression == "gzip" else _unzstd
    total, budget = 0, _Budget(_SEARCHED + _SEARCHED_RATIO * size)
    start: int | None = 0
    while start is not None and start < size and budget.left > 0:
        length, reached, is_whole = 0, start, False
        line = 0  # bytes since the last line end, at least
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
    """The bytes that the search for whole members may still read."""

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
    """The counter of the whole members, and their extent in the file.

    ``size`` is the end of the last one; ``broken`` counts the damaged bytes before it.
    """

    counter: _Kind
    size: int
    broken: int


def count_whole(
    file: BinaryIO, compression: str | None, size: int, counter: _Kind
) -> WholeMembers[_Kind]:
    """Feed the text of the whole members or frames, as ``walk`` reads them, to a counter."""
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
    """Return the largest text, in bytes, that a compressed file of rows of this size can hold."""
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
    """Reads members or frames: yields text, the position reached, and whether a member ends there.

    Text behind the last end belongs to a member that is damaged or torn.
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
    """Read one frame, or several small ones at once; all their text is yielded with the first."""
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
    """Decompress small frames; None if one is damaged, or their text is too large for rows."""
    file.seek(start)
    try:
        stream = pa.CompressedInputStream(pa.BufferReader(file.read(end - start)), "zstd")
        text: bytes = stream.read(_BLOCK + 1)
    except OSError:
        return None
    return text if len(text) <= min(_BLOCK, most_text(end, "zstd")) else None


def _frame_ends(file: BinaryIO, start: int, size: int) -> tuple[list[int], int]:
    """Find the ends of a frame and of the small ones behind it, and count the first one's blocks.

    The list is empty if the first frame has no end.
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
    """Find where a frame ends, None if it does not, and count its blocks."""
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
