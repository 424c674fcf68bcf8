"""The machine under the simulated exchange: its clocks, event loop, threads and sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable

__all__ = ["Machine"]


class Machine:
    """The real machine. A subclass may have clocks of its own; all waits then follow those."""

    def monotonic_ns(self) -> int:
        """Read the steady clock, ns from an arbitrary origin."""
        return time.monotonic_ns()

    def monotonic(self) -> float:
        """Read the steady clock, in seconds."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """Read the wall clock, ns UTC."""
        return time.time_ns()

    def worked(self) -> float:
        """Read the clock that measures work, in seconds; a subclass may let it stand still."""
        return time.perf_counter()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Make an event loop; tornado needs one with a selector, which Windows would not give."""
        return asyncio.SelectorEventLoop()

    def event(self) -> threading.Event:
        """Make an event."""
        return threading.Event()

    def thread(self, target: Callable[[], object], name: str) -> threading.Thread:
        """Make a daemon thread, not started yet."""
        return threading.Thread(target=target, name=name, daemon=True)

    def listen(self, host: str, port: int) -> socket.socket:
        """Open a port; raises `OSError` if it is taken."""
        return socket.create_server((host, port))
