"""Unpacks gzip and deflate in pieces, up to a cap: a megabyte of gzip may unpack to gigabytes."""

from __future__ import annotations

import http.client
import itertools
import zlib
from collections.abc import Iterable, Iterator

__all__ = ["PIECE", "TooLarge", "inflate"]

#: Bytes that are read and unpacked at once.
PIECE = 65_536
_MOST_PARTS = 1_000  # of gzip: the cap on bytes does not stop endless empty parts


class TooLarge(http.client.HTTPException):
    """A reply is longer than the cap."""


#: By encoding: the ``wbits`` of zlib, which select the format, too.
WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_HEADERLESS = -15


def inflate(pieces: Iterable[bytes], encoding: str, most: int) -> Iterator[bytes]:
    """Unpack in pieces, up to ``most`` bytes; for a body packed twice, each layer has that cap.

    Parameters
    ----------
    pieces
        The packed bytes.
    encoding
        A key of ``WINDOWS``.
    most
        The most bytes, unpacked.

    Raises
    ------
    TooLarge
        If there are more.
    """
    pieces = iter(pieces)
    head = b""
    while len(head) < 2 and (piece := next(pieces, b"")):
        head += piece
    window = WINDOWS[encoding]
    if encoding == "deflate" and not _has_zlib_header(head):
        window = _HEADERLESS  # some servers leave the header of zlib out
    unpacking, room = _Unpacking(window), most
    for packed in itertools.chain([head], pieces):
        for piece in unpacking.feed(packed):
            room -= len(piece)
            if room < 0:
                raise TooLarge("the reply unpacks to too much")
            yield piece


class _Unpacking:
    """Unpacks one part, or several in a row, into pieces of a bounded size."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._unpack = zlib.decompressobj(window)
        self._parts = 1
        self._is_over = False

    def feed(self, packed: bytes) -> Iterator[bytes]:
        while not self._is_over:
            try:
                piece = self._unpack.decompress(packed, PIECE)
            except zlib.error:
                if self._parts == 1:
                    raise
                self._is_over = True  # bytes after the last part are padding
                return
            if piece:
                yield piece
            packed = self._unpack.unconsumed_tail
            if self._unpack.eof:
                packed = self._unpack.unused_data
                if packed:
                    self._begin_next()
            if not packed and len(piece) < PIECE:
                return

    def _begin_next(self) -> None:
        self._unpack = zlib.decompressobj(self._window)
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise TooLarge("the reply is packed in too many parts")


def _has_zlib_header(packed: bytes) -> bool:
    # RFC 1950, section 2.2
    return packed[:1] != b"" and packed[0] & 15 == 8 and int.from_bytes(packed[:2], "big") % 31 == 0
