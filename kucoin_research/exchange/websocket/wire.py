"""Cuts a server's byte stream into WebSocket messages (RFC 6455, client side, no extensions).

The reader does no I/O: the owner of the socket feeds it the bytes that ``recv`` returned. It cuts
whole data frames in one tight loop, so that a large read costs a fraction of a microsecond per
message (``benchmarks/receive.py``). Control frames, fragments, large frames and faults take a
slower, plain path. Sending needs none of this: websocket-client does it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from kucoin_research.errors import ProtocolViolation

__all__ = ["NO_STATUS", "PING", "PONG", "Close", "ControlFrame", "FrameReader"]

PING = 0x9
PONG = 0xA

#: Stands for the code of a close frame without a code (RFC 6455, section 7.4.1).
NO_STATUS = 1005

_CONTINUATION = 0x0
_CLOSE = 0x8
_OPCODES = frozenset({_CONTINUATION, 0x1, 0x2, _CLOSE, PING, PONG})

_LENGTH_16 = 126  # in the place of a length: it follows in 16 bits
_LENGTH_64 = 127
# The first two bytes, as one number, of final text or binary frames that are not masked.
_SHORT_DATA = frozenset({*range(0x8100, 0x8100 + _LENGTH_16), *range(0x8200, 0x8200 + _LENGTH_16)})
_LONG_DATA = frozenset({0x8100 + _LENGTH_16, 0x8200 + _LENGTH_16})
_LARGEST_16 = 0xFFFF
_LARGEST_CONTROL = 125

_read_two_shorts = struct.Struct(">HH").unpack_from

# Codes that an endpoint may send, by RFC 6455 and its IANA registry (read 2026-11-24).
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class ControlFrame(NamedTuple):
    """A ping or pong.

    Attributes
    ----------
    opcode
        `PING` or `PONG`.
    payload
        At most 125 bytes; a pong must repeat its ping's.
    position
        The number of messages of the same `FrameReader.feed` that were complete before it.
    """

    opcode: int
    payload: bytes
    position: int


class Close(NamedTuple):
    """The peer's close frame.

    Attributes
    ----------
    code
        Its code, or `NO_STATUS` if it has none.
    reason
        Its text, often empty.
    """

    code: int
    reason: str


class FrameReader:
    """Reads messages from a WebSocket server's bytes, fed in pieces of any size.

    Text and binary messages are both returned as the bytes of their payload. **The UTF-8 of text
    messages is not checked**: the JSON decoder after this rejects bytes that are not UTF-8, and
    checking twice costs more than reading.

    The peer's faults are not raised but kept in `ending`, so that the messages before a fault are
    never lost.

    Parameters
    ----------
    max_message
        Largest message in bytes, all fragments together. A larger one is a fault with close code
        1009, found by its header before the message is stored.

    Attributes
    ----------
    ending
        None while the stream goes on; then the peer's `Close`, or the `ProtocolViolation` in its
        bytes. Bytes after it are not read.
    """

    def __init__(self, *, max_message: int = 16 * 1024 * 1024) -> None:
        self.ending: Close | ProtocolViolation | None = None
        self._max_message = max_message
        self._held: bytes | bytearray = b""  # the beginning of a frame that is not complete
        self._needed = 2  # the length of `_held` from which reading on makes sense
        self._fragments: bytearray | None = None  # of a message that is not complete

    def feed(self, data: bytes) -> tuple[list[bytes], Sequence[ControlFrame]]:
        """Take received bytes, and return the messages that they complete.

        Parameters
        ----------
        data
            The next bytes of the stream, as many as have come.

        Returns
        -------
        tuple[list[bytes], Sequence[ControlFrame]]
            Payloads of data messages, and pings and pongs, both in order of arrival. Check `ending`
            afterwards: it came after all of them.
        """
        messages: list[bytes] = []
        controls: list[ControlFrame] = []
        if self.ending is not None:
            return messages, controls
        if self._held:
            if len(self._held) + len(data) < self._needed:
                self._hold(data)
                return messages, controls
            data = b"".join((self._held, data))
        position = 0
        try:
            while True:
                if self._fragments is None:
                    position = self._cut_whole_frames(data, position, messages)
                after = self._read_frame(data, position, messages, controls)
                if after == position or self.ending is not None:
                    break
                position = after
        except ProtocolViolation as violation:
            self.ending = violation
        self._held = b"" if self.ending is not None else data[position:]
        return messages, controls

    def _hold(self, data: bytes) -> None:
        # A bytearray grows in place: joining bytes at every piece of a large frame is quadratic.
        if not isinstance(self._held, bytearray):
            self._held = bytearray(self._held)
        self._held += data

    def _cut_whole_frames(self, data: bytes, position: int, messages: list[bytes]) -> int:
        # The hot loop. It stops at anything else than a whole data frame, also at a fault or at the
        # end of the bytes, and leaves the rest to `_read_frame`.
        if self._max_message < _LARGEST_16:
            return position  # only the plain path checks the limit
        append = messages.append
        end = len(data)
        last_header = end - 4
        while position <= last_header:
            head, length = _read_two_shorts(data, position)
            if head in _LONG_DATA:
                if length < _LENGTH_16:
                    break
                start = position + 4
            elif head in _SHORT_DATA:
                length = head & 0x7F
                start = position + 2
            else:
                break
            stop = start + length
            if stop > end:
                break
            append(data[start:stop])
            position = stop
        return position

    def _read_frame(
        self, data: bytes, position: int, messages: list[bytes], controls: list[ControlFrame]
    ) -> int:
        # Reads one frame of any kind; returns where it ends, or `position` if it is not whole.
        available = len(data) - position
        self._needed = 2
        if available < self._needed:
            return position
        first, second = data[position], data[position + 1]
        self._check_header(first, second)

        length = second
        header_size = {_LENGTH_16: 4, _LENGTH_64: 10}.get(second, 2)
        self._needed = header_size
        if available < self._needed:
            return position
        if header_size > 2:
            length = int.from_bytes(data[position + 2 : position + header_size], "big")
            _check_minimal(length, header_size)
        opcode = first & 0x0F
        if opcode < _CLOSE:
            self._check_size(length)

        self._needed = header_size + length
        if available < self._needed:
            return position
        start = position + header_size
        payload = data[start : start + length]
        if opcode == _CLOSE:
            self.ending = _parse_close(payload)
        elif opcode > _CLOSE:
            controls.append(ControlFrame(opcode, payload, len(messages)))
        else:
            self._add_data(payload, messages, is_final=first >= 0x80)
        self._needed = 2
        return start + length

    def _check_header(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise ProtocolViolation("a reserved bit is set, though no extension was agreed on")
        if opcode not in _OPCODES:
            raise ProtocolViolation(f"unknown opcode {opcode:#x}")
        if second >= 0x80:
            raise ProtocolViolation("a server must not mask its frames")
        if opcode >= _CLOSE:
            if first < 0x80:
                raise ProtocolViolation("a control frame must not be fragmented")
            if second > _LARGEST_CONTROL:
                raise ProtocolViolation("a control frame holds at most 125 bytes")
        elif opcode == _CONTINUATION and self._fragments is None:
            raise ProtocolViolation("a continuation without a message to continue")
        elif opcode != _CONTINUATION and self._fragments is not None:
            raise ProtocolViolation("a new message began inside a fragmented one")

    def _check_size(self, length: int) -> None:
        size = length + len(self._fragments or b"")
        if size > self._max_message:
            raise ProtocolViolation(
                f"a message of at least {size} bytes; at most {self._max_message} are taken",
                close_code=1009,
            )

    def _add_data(self, payload: bytes, messages: list[bytes], *, is_final: bool) -> None:
        if self._fragments is None:
            if is_final:
                messages.append(payload)
            else:
                self._fragments = bytearray(payload)
            return
        self._fragments += payload
        if is_final:
            messages.append(bytes(self._fragments))
            self._fragments = None


def _check_minimal(length: int, header_size: int) -> None:
    if length >> 63:
        raise ProtocolViolation("a length with its top bit set")
    if length <= (_LARGEST_CONTROL if header_size == 4 else _LARGEST_16):
        raise ProtocolViolation("a length that was not written in the shortest way")


def _parse_close(payload: bytes) -> Close:
    if not payload:
        return Close(NO_STATUS, "")
    if len(payload) == 1:
        raise ProtocolViolation("a close frame with half a close code")
    code = int.from_bytes(payload[:2], "big")
    if code not in _CLOSE_CODES:
        raise ProtocolViolation(f"close code {code} must not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError as error:
        raise ProtocolViolation("a close reason that is not UTF-8", close_code=1007) from error
