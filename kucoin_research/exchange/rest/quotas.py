"""Keeps calls within a server's quota, within its refusals, and below a pace that it accepts.

Several threads call at once, and a reply reports the rest of the quota at the time when the server
handled its call. So calls under way count as spent, whether that reply included them or not; and of
several replies about one window the lowest counts, in whatever order they come.

A server counts all calls from this address, or by a key, whichever client makes them. So all
clients that use one clock share the state of a host (`quotas_of`, `pace_of`), which also outlives
them. A port of this machine may pass from one server to another, so there only clients of a server
in this very process share it (`share_host`).
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from kucoin_research.foundation.clocks import Clock
from kucoin_research.foundation.forking import in_child

__all__ = [
    "Pace",
    "Pool",
    "QuotaReport",
    "Quotas",
    "forget_host",
    "pace_of",
    "quotas_of",
    "share_host",
]

# The reserve for urgent calls, which other calls leave: a new connection needs its token at once.
# A fixed weight if the size of the quota is unknown, else this part of it.
_RESERVE = 10
_RESERVED_PART = 20
# Seconds. Replies about one window agree on its end this closely.
_SAME = 0.05
# Seconds. If the calls under way may use up the quota, we check for their replies this often.
_STEP = 0.05
# Seconds that count as none: sums are rounded.
_NO_TIME = 1e-9
# Seconds. A server that refuses calls for longer is not believed.
_LONGEST_REFUSAL = 300.0


class Pool(NamedTuple):
    """The quota that a call takes from: that of this address, or of a key.

    ``key`` distinguishes keys without showing them; None if the call is not signed.
    """

    market: str
    key: int | None = None


class QuotaReport(NamedTuple):
    """The state of a quota, by the headers of a reply.

    ``limit`` is its size, if the reply has it. The window ends ``reset`` seconds after some moment
    between ``sent`` and ``received`` (monotonic seconds).
    """

    limit: int | None
    remaining: int
    reset: float
    sent: float
    received: float


@dataclass(slots=True)
class _Window:
    limit: int | None = None
    remaining: int | None = None  # None: unknown
    ends_after: float = 0.0  # the end lies between the two, monotonic seconds
    ends_by: float | None = None  # None: the window begins with the next call
    was_over_by: float = -math.inf  # the end of the window before
    on_the_way: int = 0  # weight of the calls without an answer yet

    @property
    def reserve(self) -> int:
        return max(_RESERVE, (self.limit or 0) // _RESERVED_PART)

    def begin_again(self, now: float) -> None:
        """Forget a window that is over."""
        if self.ends_by is not None and now >= self.ends_by:
            self.remaining, self.was_over_by, self.ends_by = self.limit, self.ends_by, None

    def wait_for(self, weight: int, *, left: int, now: float) -> float:
        """Return the seconds until a call may try again; 0 if it may go, and ``left`` remains."""
        if self.remaining is None or self.remaining - self.on_the_way >= weight + left:
            return 0.0
        # A call may use up a quota that is smaller than it needs: otherwise it would wait for ever.
        is_whole = self.remaining == self.limit
        if is_whole and not self.on_the_way:
            return 0.0
        ends_in = math.inf if self.ends_by is None else self.ends_by - now
        # A reply may include calls whose own reply is still to come: those count twice until then.
        waits_for_replies = is_whole or self.remaining >= weight + left
        return min(_STEP, ends_in) if waits_for_replies else ends_in

    def learn(self, report: QuotaReport) -> None:
        after, by = report.sent + report.reset, report.received + report.reset
        if self.ends_by is None:
            is_late = after <= self.was_over_by + _SAME
        else:
            is_late = by < self.ends_after - _SAME
        if is_late:
            return  # this report is about a window that is over
        self.limit = report.limit or self.limit
        if self.ends_by is not None and after <= self.ends_by + _SAME:
            assert self.remaining is not None  # known with the window
            self.remaining = min(self.remaining, report.remaining)
            self.ends_after = max(self.ends_after, after)
            self.ends_by = min(self.ends_by, by)
            return
        self.remaining, self.ends_after, self.ends_by = report.remaining, after, by


class Quotas:
    """Keeps calls within the quotas of one host; thread-safe.

    Parameters
    ----------
    clock
        Times the windows.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._windows: dict[Hashable, _Window] = {}
        # Until when a pool takes no calls, or under None the host; monotonic seconds.
        self._refused_until: dict[Hashable | None, float] = {}

    def take(self, pool: Hashable, weight: int, *, is_urgent: bool = False) -> float:
        """Take a call's weight from the quota; the caller reports when the call is `over`.

        Parameters
        ----------
        pool
            The quota.
        weight
            The weight of the call.
        is_urgent
            Whether it may use the reserve. During a refusal it waits like all others.

        Returns
        -------
        float
            0, or the seconds after which to try again; then nothing was taken.
        """
        now = self._clock.monotonic()
        with self._lock:
            refused_until = max(self._refused_until.get(each, 0.0) for each in (pool, None))
            if refused_until - now > _NO_TIME:
                return refused_until - now
            window = self._windows.setdefault(pool, _Window())
            window.begin_again(now)
            wait = window.wait_for(weight, left=0 if is_urgent else window.reserve, now=now)
            if wait <= 0.0:
                window.on_the_way += weight
            return wait

    def over(self, pool: Hashable, weight: int) -> None:
        """Note that a call is over, with or without a reply."""
        with self._lock:
            window = self._windows.get(pool)
            if window is not None:  # None if the process was forked meanwhile
                window.on_the_way -= weight

    def learn(self, pool: Hashable, weight: int, report: QuotaReport | None) -> None:
        """Note a reply's report; without one, count the weight of its call."""
        with self._lock:
            window = self._windows.setdefault(pool, _Window())
            if report is not None:
                window.learn(report)
            elif window.remaining is not None:
                window.remaining = max(0, window.remaining - weight)

    def refuse(self, pool: Hashable | None, seconds: float) -> None:
        """Hold calls back for some seconds, five minutes at most, as a reply demanded.

        A server that is asked meanwhile refuses for longer. ``pool`` is None if the whole host
        refuses.
        """
        until = self._clock.monotonic() + min(seconds, _LONGEST_REFUSAL)
        with self._lock:
            self._refused_until[pool] = max(until, self._refused_until.get(pool, 0.0))

    def forget(self) -> None:
        """Forget the state of the host, except for the calls that are under way to it."""
        with self._lock:
            self._refused_until.clear()
            for pool, window in list(self._windows.items()):
                self._windows[pool] = _Window(on_the_way=window.on_the_way)

    def disown(self) -> None:
        """Forget, in a forked child, the calls of the parent's threads, and the lock.

        One of those threads may have held the lock, and have left a window half written.
        """
        self._lock = threading.Lock()
        self._windows = {}


class Pace:
    """Keeps calls to a host from coming too fast; thread-safe.

    Parameters
    ----------
    clock
        Times the calls.
    burst
        Calls that may come at once after a quiet time.
    per_second
        Calls per second after that.
    """

    def __init__(self, clock: Clock, burst: int, per_second: float) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._lock = threading.Lock()  # guards _free_at
        self._free_at = 0.0  # when the whole burst is free again, monotonic seconds

    def take(self) -> float:
        """Take a place for a call: returns 0, or the seconds after which to try again."""
        now = self._clock.monotonic()
        with self._lock:
            free_at = max(self._free_at, now) + 1.0 / self._per_second
            wait = free_at - now - self._burst / self._per_second
            if wait > _NO_TIME:
                return wait
            self._free_at = free_at
            return 0.0

    def disown(self) -> None:
        """Forget the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()


# -- shared by all clients -------------------------------------------------------------------------

# Kept as long as their clocks, which they refer to weakly: most clients make one call and are gone.
_quotas: WeakKeyDictionary[Clock, dict[str, Quotas]] = WeakKeyDictionary()  # by host
_paces: WeakKeyDictionary[Clock, dict[str, Pace]] = WeakKeyDictionary()
_ours: set[str] = set()  # hosts of this machine where a server of this process listens
_shared_lock = threading.Lock()  # guards the three


def quotas_of(clock: Clock, url: str, *, is_loopback: bool) -> Quotas:
    """Return a host's quotas, shared by all clients that use one clock; thread-safe.

    Parameters
    ----------
    clock
        The client's clock.
    url
        An address of the host.
    is_loopback
        Whether the host is this machine. Its quotas are shared only while `share_host` says so;
        otherwise each call returns new ones.
    """
    host = _host_of(url)
    with _shared_lock:
        if is_loopback and host not in _ours:
            return Quotas(clock)
        quotas = _quotas.setdefault(clock, {})
        if host not in quotas:
            quotas[host] = Quotas(weakref.proxy(clock))
        return quotas[host]


def pace_of(clock: Clock, url: str, burst: int, per_second: float) -> Pace:
    """Return the pace to an address, shared by all clients that use one clock; thread-safe.

    The first caller sets ``burst`` and ``per_second``.
    """
    with _shared_lock:
        paces = _paces.setdefault(clock, {})
        if url not in paces:
            paces[url] = Pace(weakref.proxy(clock), burst, per_second)
        return paces[url]


def share_host(url: str) -> None:
    """Share the quotas of a port of this machine, where a server of this process listens now.

    The state of an earlier server on that port is forgotten.
    """
    forget_host(url)
    with _shared_lock:
        _ours.add(_host_of(url))


def forget_host(url: str) -> None:
    """Forget the quotas of a port of this machine that is closed, and share them no longer.

    The system may give the port to another process next, which may run another exchange, or none.
    """
    host = _host_of(url)
    with _shared_lock:
        _ours.discard(host)
        known = [quotas[host] for quotas in _quotas.values() if host in quotas]
    for each in known:
        each.forget()


def _host_of(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _disown() -> None:
    # Threads of the parent may have held the locks.
    global _shared_lock
    _shared_lock = threading.Lock()
    for quotas in _quotas.values():
        for each in quotas.values():
            each.disown()
    for paces in _paces.values():
        for pace in paces.values():
            pace.disown()


in_child(_disown)
