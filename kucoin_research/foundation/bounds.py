"""How long a conversation with a server may take, and how another thread ends it.

A timeout of a socket starts anew with each byte, so a server that drips holds its reader for ever.
A `Bound` is a moment for all of it: connecting, encrypting, headers and body. Whoever waits asks it
before each wait how long that may be. It also keeps a second handle of the socket that is waited
on, so that `cut` wakes the reader from any thread, and never hits a descriptor that was reused.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Self

from kucoin_research.foundation.clocks import Clock

__all__ = ["Bound", "Cut", "OutOfTime"]


class OutOfTime(TimeoutError):
    """The conversation has taken as long as it may."""


class Cut(ConnectionAbortedError):
    """The conversation was ended by another thread."""


class Bound:
    """A moment by which a conversation with a server is over; a context manager.

    **Threads**: one thread has the conversation and calls `left`, `hold` and `release`; any thread
    may call `cut`, at any time.

    Parameters
    ----------
    clock
        The time it goes by.
    seconds
        From now on.
    until
        A moment, in the clock's monotonic seconds, that may come before; None for none.
    """

    def __init__(self, clock: Clock, seconds: float, *, until: float | None = None) -> None:
        self.clock = clock
        self._until = clock.monotonic() + seconds
        if until is not None:
            self._until = min(self._until, until)
        self._lock = threading.Lock()  # guards _handles and _is_cut
        self._handles: list[Any] = []
        self._is_cut = False

    @property
    def is_cut(self) -> bool:
        """Whether it was ended by `cut`."""
        return self._is_cut

    def left(self, most: float | None = None) -> float:
        """Return the seconds that the next wait may take, above 0 and up to ``most``.

        Raises
        ------
        OutOfTime
            If there are none.
        Cut
            If the conversation was ended.
        """
        if self._is_cut:
            raise Cut("the conversation was ended from elsewhere")
        left = self._until - self.clock.monotonic()
        if left <= 0.0:
            raise OutOfTime("timed out")
        return left if most is None else min(left, most)

    def hold(self, *socks: socket.socket) -> None:
        """Have these sockets shut down by `cut`, instead of the ones before."""
        self._swap([self.clock.handle(each) for each in socks])
        self.left()  # it may have been cut meanwhile

    def release(self) -> None:
        """Let go of the socket: the conversation is over, the connection may go on."""
        self._swap([])

    def _swap(self, handles: list[Any]) -> None:
        with self._lock:
            before, self._handles = self._handles, handles
        for each in before:
            each.close()

    def cut(self) -> None:
        """End the conversation now; whoever waits in it wakes. Idempotent, does not wait."""
        with self._lock:
            self._is_cut = True
            for each in self._handles:
                with contextlib.suppress(OSError):  # the peer was faster
                    each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
