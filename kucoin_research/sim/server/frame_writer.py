"""The sending side of one WebSocket connection: messages queued, written, and arrived.

Over loopback the kernel can report how many of the written bytes have reached the client's side. So
the exchange can log exactly which messages a broken connection has lost.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable

from tornado.iostream import IOStream, StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from kucoin_research.sim.engine.machine import Machine
from kucoin_research.sim.faults.kinds import Message
from kucoin_research.sim.server.settings import Settings

__all__ = ["PACE", "FrameWriter", "unsent_bytes"]

PACE = 0.002  # seconds between looks at a slow reader
_RESET_PATIENCE = 0.2  # seconds in which the reader takes nothing, after which it is reset


class FrameWriter:
    """Writes one connection's frames, and counts the bytes that its reader has not taken yet.

    Parameters
    ----------
    handler
        Whose connection it is; there is nothing to write to before its upgrade is accepted.
    machine
        Its monotonic time.
    settings
        ``buffer_bytes`` and ``patience`` decide which reader is slow.

    Attributes
    ----------
    queue
        The messages to be written by the next `flush`, each with its bytes.
    is_deflated
        Whether the connection uses permessage-deflate: then tornado makes the frames.
    is_silent
        Whether a fault keeps everything from being written.
    is_slow
        Whether the reader took nothing for longer than the exchange's patience.
    """

    def __init__(self, handler: WebSocketHandler, machine: Machine, settings: Settings) -> None:
        self.queue: list[tuple[Message, bytes]] = []
        self.is_deflated = False
        self.is_silent = False
        self.is_slow = False
        self._handler = handler
        self._machine = machine
        self._patience = settings.patience
        self._buffer_bytes = settings.buffer_bytes
        # Messages written, each with its end in the stream, until the client's side has them.
        self._in_flight: deque[tuple[int, Message]] = deque()
        self._pending_bytes = 0
        self._last_drain = 0.0

    # Writing

    def open_stream(self) -> IOStream | None:
        """Return the stream while frames can be written to it."""
        connection = self._handler.ws_connection
        if connection is None or connection.is_closing():
            return None
        stream = connection.stream
        return None if stream is None or stream.closed() else stream

    def write_payload(self, payload: bytes) -> None:
        """Write one message through tornado, which compresses it."""
        if self.is_silent:
            return
        try:
            written = self._handler.write_message(payload)
        except WebSocketClosedError:
            return
        self._count_unsent(len(payload), written)

    def write_frames(self, frames: bytes) -> None:
        """Write finished frames as they stand."""
        stream = self.open_stream()
        if stream is None or self.is_silent:
            return
        try:
            written = stream.write(frames)
        except StreamClosedError:
            return
        self._count_unsent(len(frames), written)

    def flush(self) -> None:
        """Write the queue, in one piece where it is plain text."""
        queue = self.queue
        stream = self.open_stream()
        if not queue or stream is None:
            queue.clear()
            return
        in_flight = self._in_flight
        # tornado counts the bytes that it was asked to write, and has no public name for the count.
        end = stream._total_write_index  # noqa: SLF001
        if self.is_deflated:
            for message, payload in queue:
                self.write_payload(payload)
                in_flight.append((stream._total_write_index, message))  # noqa: SLF001
        else:
            self.write_frames(b"".join([frame for _, frame in queue]))
            for message, frame in queue:
                end += len(frame)
                in_flight.append((end, message))
        queue.clear()
        if not stream.closed():  # the writing itself closes it when the client has just gone
            arrived = _arrived_bytes(stream)
            while in_flight and in_flight[0][0] <= arrived:
                in_flight.popleft()

    def _count_unsent(self, size: int, written: asyncio.Future[None]) -> None:
        if not self._pending_bytes:
            self._last_drain = self._machine.monotonic()
        self._pending_bytes += size

        def on_written(future: asyncio.Future[None]) -> None:
            if not future.cancelled():
                # An exception that nobody reads would be logged by asyncio: the client has left.
                future.exception()
            self._pending_bytes -= size
            self._last_drain = self._machine.monotonic()
            if self._pending_bytes < self._buffer_bytes // 2:
                self.is_slow = False

        written.add_done_callback(on_written)

    # Slow readers

    @property
    def is_behind(self) -> bool:
        """Whether more is unsent than the buffer holds, from a reader not yet called slow."""
        return not self.is_slow and self._pending_bytes > self._buffer_bytes

    def give_up_if_stuck(self) -> None:
        """Call the reader slow if it took nothing for longer than the exchange's patience."""
        if self.is_behind and self._machine.monotonic() - self._last_drain >= self._patience:
            self.is_slow = True

    # Messages lost with the connection

    def lost_by_closing(self) -> list[Message]:
        """List the written messages that will not arrive if the connection is closed now."""
        stream = self.open_stream()
        if stream is None:
            return []
        # Closing with unread input resets the connection: that destroys the bytes the kernel holds.
        is_reset = _unread_bytes(stream.socket)
        return self._beyond(_arrived_bytes(stream) if is_reset else _written_bytes(stream))

    def reset(self, stream: IOStream, on_reset: Callable[[list[Message]], None]) -> None:
        """Reset the connection (TCP RST) once its reader has stopped taking written bytes.

        Calls `on_reset` with the written messages that were lost.
        """
        # From here on the kernel gets nothing more to send, so that the losses stay the same.
        stream.io_loop.remove_handler(stream.fileno())
        unsent = unsent_bytes(stream.socket)
        self._reset_when_taken(stream, on_reset, unsent, self._machine.monotonic())

    def _reset_when_taken(
        self,
        stream: IOStream,
        on_reset: Callable[[list[Message]], None],
        unsent: int,
        since: float,
    ) -> None:
        # A reset destroys the bytes that the kernel has not sent yet, and their number changes at
        # any moment while the client reads.
        if stream.closed():
            return
        left, now = unsent_bytes(stream.socket), self._machine.monotonic()
        if left < unsent:
            since = now
        if left and now - since < _RESET_PATIENCE:
            loop = asyncio.get_running_loop()
            loop.call_later(PACE, self._reset_when_taken, stream, on_reset, left, since)
            return
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Nothing may stand between the question and the reset: else more could arrive meanwhile.
        arrived = _arrived_bytes(stream)
        stream.close()
        on_reset(self._beyond(arrived))

    def _beyond(self, index: int) -> list[Message]:
        return [message for end, message in self._in_flight if end > index]


# linux/sockios.h: the number of bytes that have not been sent. Over loopback the other side can
# read all sent bytes, acknowledged or not, even after a reset.
_SIOCOUTQNSD = 0x894B


def unsent_bytes(sock: socket.socket) -> int:
    """Return the number of bytes that the kernel has not sent yet; only Linux says, else 0."""
    return _ask_kernel(sock, _SIOCOUTQNSD)


def _written_bytes(stream: IOStream) -> int:
    # tornado counts the bytes that the kernel has taken, and has no public name for the count.
    return int(stream._total_write_done_index)  # noqa: SLF001


def _arrived_bytes(stream: IOStream) -> int:
    return _written_bytes(stream) - unsent_bytes(stream.socket)


def _unread_bytes(sock: socket.socket) -> int:
    if sys.platform != "linux":
        return 0
    import termios

    return _ask_kernel(sock, termios.FIONREAD)


def _ask_kernel(sock: socket.socket, question: int) -> int:
    if sys.platform != "linux":
        return 0
    import fcntl

    answer = fcntl.ioctl(sock.fileno(), question, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)
