"""The refresh thread, which all live figures of a kernel share.

One daemon thread calls every registered function, so figures keep moving while a cell is busy. An
asyncio task on the kernel's loop would stand still meanwhile (``benchmarks/live_figure.py``
measures it). The thread starts with the first function and ends with the last. The threads of
streams never draw.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from kucoin_research.foundation.forking import in_child

__all__ = ["TOGETHER", "Refresher", "Ticket", "refresher"]

log = logging.getLogger(__name__)

_FASTEST = 0.05
#: s; functions that are due within it are called together, so that a page draws all at once.
TOGETHER = 0.03
_IDLE_SHARE = 0.5  # of the time that the thread leaves to others, at least

#: Called with the monotonic time; may return the seconds until its next call.
Tick = Callable[[float], float | None]


class Ticket:
    """A registered function: its rate, its last error, and the way to cancel it.

    Attributes
    ----------
    every
        Seconds between calls.
    error
        The exception of the last call; ``None`` if it succeeded.
    calls, errors
        Number of calls, and of those that raised.
    """

    def __init__(self, tick: Tick, every: float, close: Callable[[], None]) -> None:
        self.every = every
        self.error: Exception | None = None
        self.calls = 0
        self.errors = 0
        self.cancel = close
        self.is_abandoned = False
        self._tick = tick
        self._due = 0.0

    def abandon(self) -> None:
        """Cancel without a wait or a lock, for the garbage collector, which may run anywhere.

        The function is removed when it would have been due next.
        """
        self.is_abandoned = True

    def wait(self, now: float) -> float:
        """Return the seconds until it is due."""
        return self._due - now

    def hurry(self) -> None:
        """Make it due at once."""
        self._due = 0.0

    def run(self, now: float) -> None:
        """Call the function; an exception is kept, and logged if it is not the same as before."""
        self.calls += 1
        wanted = None
        try:
            wanted = self._tick(now)
            self.error = None
        # SystemExit and panics, too: one broken figure must not stop the others.
        except BaseException as error:
            if self.error is None or str(self.error) != str(error):
                log.exception("a refresh failed; it will be tried again")
            self.error = _plain(error)
            self.errors += 1
        rest = max(wanted if wanted is not None else self.every, _FASTEST)
        # Called early, for the sake of others, or a little late, it keeps its rate.
        was_in_time = now - self._due < rest / 2
        self._due = (self._due if was_in_time else now) + rest


def _plain(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


class Refresher:
    """Calls functions at their rates, all on one thread.

    Notes
    -----
    ``add``, ``wake`` and a ticket's ``cancel`` may be called from any thread. A function is never
    called by two threads at once, and never after ``cancel`` has returned, unless the function
    itself has called that.
    """

    def __init__(self, name: str = "kucoin-figures") -> None:
        self._name = name
        self._tickets: list[Ticket] = []
        self._lock = threading.Lock()  # guards _tickets and _thread
        self._running = threading.RLock()  # held while functions run
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, tick: Tick, *, every: float = 0.1) -> Ticket:
        """Call a function repeatedly until its ticket is cancelled.

        Parameters
        ----------
        tick
            Called with the monotonic time; it may return the seconds until its next call. It may
            send to widgets; it must not wait. Its last exception is kept in ``ticket.error``.
        every
            Seconds between calls, 0.05 at least.
        """
        ticket = Ticket(tick, every, lambda: self._remove(ticket))
        with self._lock:
            self._tickets = [*self._tickets, ticket]
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._wake.set()
        return ticket

    def wake(self, ticket: Ticket | None = None) -> None:
        """Check at once which functions are due; that of ``ticket`` is."""
        if ticket is not None:
            ticket.hurry()
        self._wake.set()

    @property
    def wanted(self) -> list[Ticket]:
        """The tickets that are not abandoned."""
        return [each for each in self._tickets if not each.is_abandoned]

    def __len__(self) -> int:
        return len(self._tickets)

    def disown(self) -> None:
        """Start afresh in a forked child: the thread and the locks it held are the parent's.

        The parent's figures are refreshed by the parent alone.
        """
        self._lock = threading.Lock()
        self._running = threading.RLock()
        self._wake = threading.Event()
        self._tickets, self._thread = [], None

    def _remove(self, ticket: Ticket) -> None:
        with self._lock:
            self._tickets = [each for each in self._tickets if each is not ticket]
        self._wake.set()
        with self._running:  # wait for a call under way
            return

    def _run(self) -> None:
        while True:
            with self._lock:
                self._tickets = tickets = self.wanted
                if not tickets:
                    self._thread = None
                    return
            began = time.monotonic()
            self._run_due(tickets, began)
            now = time.monotonic()
            rest = min((each.wait(now) for each in tickets), default=0.0)
            busy = (now - began) * _IDLE_SHARE / (1 - _IDLE_SHARE)
            self._wake.wait(max(rest, min(busy, 1.0), 0.001))
            self._wake.clear()

    def _run_due(self, tickets: list[Ticket], now: float) -> None:
        if all(each.wait(now) > 0 for each in tickets):
            return
        for ticket in tickets:
            with self._running:
                is_wanted = ticket in self._tickets and not ticket.is_abandoned
                if is_wanted and ticket.wait(now) <= TOGETHER:
                    ticket.run(now)


_refresher = Refresher()
in_child(_refresher.disown)


def refresher() -> Refresher:
    """Return the refresher that all figures of this process share."""
    return _refresher
