"""Bounds the time of a conversation with a server, and lets another thread end it.

The timeout of a socket starts again with each byte, so a server that sends single bytes can hold
its reader for ever. A `Bound` is one deadline for the whole conversation: connecting, encrypting,
headers and body. The reader asks it before each wait for the time that is left. It also keeps a
second handle of the socket, so that `cut` can wake the reader from any thread and never hits a
descriptor that was reused for something else.
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
    """The conversation has reached its deadline."""


class Cut(ConnectionAbortedError):
    """Another thread has ended the conversation."""


class Bound:
    """The deadline of a conversation with a server that another thread may end; a context manager.

    **Threads**: one thread has the conversation and calls `left`, `hold` and `release`; any thread
    may call `cut`, at any time.

    Parameters
    ----------
    clock
        The clock that the deadline is measured by.
    seconds
        From now to the deadline.
    until
        An earlier deadline, in the clock's monotonic seconds, if there is one.
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
        """Whether `cut` has ended it."""
        return self._is_cut

    def left(self, most: float | None = None) -> float:
        """Return the seconds that the next wait may take: above 0, and ``most`` at most.

        Raises
        ------
        OutOfTime
            If the deadline has passed.
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
        """Let `cut` shut down these sockets, instead of those held before."""
        self._swap([self.clock.handle(each) for each in socks])
        self.left()  # raises if it was cut before the handles were in place

    def release(self) -> None:
        """Release the sockets: the conversation is over, but the connection may go on."""
        self._swap([])

    def _swap(self, handles: list[Any]) -> None:
        with self._lock:
            before, self._handles = self._handles, handles
        for each in before:
            each.close()

    def cut(self) -> None:
        """End the conversation now, and wake its reader. Idempotent; does not wait."""
        with self._lock:
            self._is_cut = True
            for each in self._handles:
                with contextlib.suppress(OSError):  # the peer has closed it already
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
