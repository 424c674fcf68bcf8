"""How many connections may be made, and how hard a stream tries to keep its data whole."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import is_loopback
from kucoin_research.foundation import arguments
from kucoin_research.foundation.forking import in_child

__all__ = ["ConnectBudget", "Healing", "budget_of"]

# Of the places, one in this many is kept for connections in force that are lost or grow old.
_KEPT = 5

_budgets: dict[str, ConnectBudget] = {}  # of the hosts that are not this machine
_budgets_lock = threading.Lock()  # guards _budgets


@arguments.explains_itself
@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """How hard a stream tries to keep its data whole; the defaults are for KuCoin.

    Attributes
    ----------
    lifetime
        Seconds after which the exchange ends a connection, if it does not say: KuCoin's 24 h.
    overlap
        Seconds for which two connections bring the same before the older one is given up.
    connects_per_minute
        New connections; KuCoin allows 30.
    most_backoff
        Longest pause between two tries, in seconds. The first comes at once if a connection had
        held for a while. Each later one is drawn between zero and a bound that doubles up to this
        (full jitter).
    shortest_silence
        Seconds below which no silence is suspicious, however often a topic usually sends.
    fill_timeout
        Seconds for which REST is asked to fill an outage, from the last time on that it brought
        anything; if the quota is used up, until a while after the next window.
    """

    lifetime: float = 86_400.0
    overlap: float = 1.0
    connects_per_minute: int = 25
    most_backoff: float = 60.0
    shortest_silence: float = 0.5
    fill_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse values that are no number of seconds, or of connections."""
        arguments.count(self.connects_per_minute, "connects_per_minute", "connections")
        for name in ("lifetime", "overlap", "most_backoff", "shortest_silence", "fill_timeout"):
            arguments.seconds(getattr(self, name), name)

    def reserve(self, lifetime: float) -> float:
        """Return how many seconds before its end a connection should be replaced."""
        return max(lifetime / 24.0, min(lifetime / 2.0, 5.0))


class ConnectBudget:
    """Keeps new connections to an exchange below its limit; thread-safe."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._times: deque[float] = deque()
        self._lock = threading.Lock()  # guards _times

    def places(self, *, is_further: bool = False) -> int:
        """Return how many connections may be made within a minute; see ``take``."""
        return self.per_minute - (self.per_minute // _KEPT if is_further else 0)

    def take(self, now: float, *, is_further: bool = False) -> float:
        """Take a place for a connection.

        Parameters
        ----------
        now
            Monotonic seconds.
        is_further
            It is for further topics of a running stream, whose other connections must not wait:
            the last places are not for it.

        Returns
        -------
        float
            0, or the seconds to wait if there is none: then no place was taken.
        """
        places = self.places(is_further=is_further)
        with self._lock:
            while self._times and self._times[0] + 60.0 - now <= 0.0:  # the same term as below
                self._times.popleft()
            if len(self._times) >= places:
                return self._times[len(self._times) - places] + 60.0 - now
            self._times.append(now)
            return 0.0


def budget_of(rest: Rest, healing: Healing) -> ConnectBudget:
    """Return the budget of a venue: all streams from one address share it.

    On this machine each stream has its own.
    """
    url = rest.venue.futures_url if hasattr(rest, "venue") else ""
    if not url or is_loopback(url):
        return ConnectBudget(healing.connects_per_minute)
    with _budgets_lock:
        return _budgets.setdefault(url, ConnectBudget(healing.connects_per_minute))


def _forget() -> None:
    # A thread of the parent may have held the lock, or that of a budget.
    global _budgets, _budgets_lock
    _budgets, _budgets_lock = {}, threading.Lock()


in_child(_forget)
