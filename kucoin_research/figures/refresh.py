"""The one owner of all refreshes of a kernel.

One daemon thread calls every registered function, so figures keep moving while a cell is busy: an
asyncio task on the kernel's loop would stand still meanwhile (``benchmarks/live_figure.py``
measures it). It starts with the first function and ends with the last. Feed threads never draw.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from kucoin_research.foundation.forking import in_child

__all__ = ["Refresher", "Ticket", "refresher"]

log = logging.getLogger(__name__)

_FASTEST = 0.05
_IDLE_SHARE = 0.5  # of the time, at least, the thread leaves to others

#: Called with the monotonic time; may return the seconds until it wants to be called again.
Tick = Callable[[float], float | None]


class Ticket:
    """A function's place among those that are refreshed.

    Attributes
    ----------
    every
        Seconds between calls.
    error
        What the last call raised; ``None`` once one went well again.
    calls, errors
        How often it was called, and how often that raised.
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
        """Cancel without a wait or a lock, as the garbage collector must, which comes anywhere.

        The function is forgotten when it would have been due next.
        """
        self.is_abandoned = True

    def wait(self, now: float) -> float:
        """Give the seconds until it is due."""
        return self._due - now

    def hurry(self) -> None:
        """Make it due at once."""
        self._due = 0.0

    def run(self, now: float) -> None:
        """Call the function; what it raises is kept and logged once."""
        self.calls += 1
        wanted = None
        try:
            wanted = self._tick(now)
            self.error = None
        except Exception as error:  # the guard: one broken figure must not stop the others
            if self.error is None or str(self.error) != str(error):
                log.exception("a refresh failed; it will be tried again")
            self.error = error
            self.errors += 1
        self._due = now + max(wanted if wanted is not None else self.every, _FASTEST)


class Refresher:
    """Calls functions at their rates, all on one thread.

    Notes
    -----
    ``add``, ``wake`` and a ticket's ``cancel`` may be called from any thread. A function is never
    called by two threads at once, and not again once ``cancel`` has returned, unless it is the
    one that cancels.
    """

    def __init__(self, name: str = "kucoin-figures") -> None:
        self._name = name
        self._tickets: list[Ticket] = []
        self._lock = threading.Lock()  # guards _tickets and _thread
        self._running = threading.RLock()  # held while functions run
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, tick: Tick, *, every: float = 0.1) -> Ticket:
        """Call a function again and again, until its ticket is cancelled.

        Parameters
        ----------
        tick
            Called with the monotonic time; it may return the seconds until its next turn. It may
            send to widgets; it must not wait. What it raises is kept in ``ticket.error``.
        every
            Seconds between calls, 0.05 at least.
        """
        ticket = Ticket(tick, every, lambda: self._remove(ticket))
        with self._lock:
            self._tickets = [*self._tickets, ticket]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._wake.set()
        return ticket

    def wake(self, ticket: Ticket | None = None) -> None:
        """Look at once whether something is due; a ticket given is."""
        if ticket is not None:
            ticket.hurry()
        self._wake.set()

    @property
    def wanted(self) -> list[Ticket]:
        """The places of those that are still to be refreshed."""
        return [each for each in self._tickets if not each.is_abandoned]

    def __len__(self) -> int:
        return len(self._tickets)

    def disown(self) -> None:
        """Forget in a forked child the thread, which is the parent's alone, and what it has held.

        Figures of the parent are refreshed there, not here.
        """
        self._lock = threading.Lock()
        self._running = threading.RLock()
        self._wake = threading.Event()
        self._tickets, self._thread = [], None

    def _remove(self, ticket: Ticket) -> None:
        with self._lock:
            self._tickets = [each for each in self._tickets if each is not ticket]
        self._wake.set()
        with self._running:  # a call under way ends first
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
        for ticket in tickets:
            with self._running:
                is_wanted = ticket in self._tickets and not ticket.is_abandoned
                if is_wanted and ticket.wait(now) <= 0:
                    ticket.run(now)


_refresher = Refresher()
in_child(_refresher.disown)


def refresher() -> Refresher:
    """Give the refresher that all figures of this process share."""
    return _refresher
