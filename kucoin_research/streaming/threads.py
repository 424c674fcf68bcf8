"""The threads of one stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from kucoin_research.foundation import clocks, interrupts

__all__ = ["ASKS", "ERRANDS", "StreamThreads"]

#: Roles of the threads that ask REST, and of the one that finds out what to ask.
ASKS = "asks"
ERRANDS = "errands"


class StreamThreads:
    """Starts the threads of a stream and keeps them, so that ``stop`` can join them.

    Parameters
    ----------
    clock
        The time that the threads live in.
    name
        Of the stream, for their names.
    """

    def __init__(self, clock: clocks.Clock, name: str) -> None:
        self._clock = clock
        self._name = name
        self._lock = threading.Lock()  # guards _threads
        self._threads: list[threading.Thread] = []

    def start(self, target: Callable[[], None], role: str) -> None:
        """Start a thread with that function; the role ends its name."""
        self.keep(self._clock.thread(target, f"kucoin-{self._name}-{role}"))

    @interrupts.hold(passes_on=True)
    def keep(self, thread: threading.Thread) -> None:
        """Start a thread that was made elsewhere, and keep it."""
        thread.start()
        # Only now: join() of a thread that was not started raises, and stop() may come from
        # elsewhere. Threads that have ended are dropped.
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]

    @property
    def all(self) -> list[threading.Thread]:
        """All that were started, except some that have ended."""
        return self._threads

    @property
    def has_errands(self) -> bool:
        """Whether the thread that finds out what to ask of REST was started."""
        return any(thread.name.endswith(f"-{ERRANDS}") for thread in self._threads)

    def feed(self, others: Collection[threading.Thread]) -> list[threading.Thread]:
        """List those that bring rows: all but those that ask REST, and ``others``."""
        return [
            thread
            for thread in self._threads
            if thread not in others and not thread.name.endswith((f"-{ERRANDS}", f"-{ASKS}"))
        ]

    def disown(self) -> None:
        """Forget the threads in a forked child: they are the parent's alone."""
        self._threads = []
