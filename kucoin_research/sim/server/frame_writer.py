"""The sending side of one WebSocket connection."""

from __future__ import annotations

import socket
import sys

from tornado.iostream import IOStream

__all__: list[str] = []

_PACE = 0.002  # seconds between looks at a slow reader


# linux/sockios.h: what has not left for the other side. Over loopback the rest can be read there,
# acknowledged or not, even behind a reset.
_SIOCOUTQNSD = 0x894B


def _unsent(sock: socket.socket) -> int:
    # Elsewhere than on Linux all counts as sent.
    return _ask_kernel(sock, _SIOCOUTQNSD)


def _handed_over(stream: IOStream) -> int:
    # tornado counts what the kernel has taken, and does not show it.
    return int(stream._total_write_done_index)  # noqa: SLF001


def _arrived(stream: IOStream) -> int:
    return _handed_over(stream) - _unsent(stream.socket)


def _unread(sock: socket.socket) -> int:
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
