"""How much may be asked of a server now: its quota, as its replies tell, and its patience with us.

Several threads ask at once, and a reply tells what was left when its call was looked at. So what is
still on its way is reckoned as spent, whether or not that reply knew of it, and of replies about
the same window the lowest counts, in whatever order they come.

A server counts what comes from this address, or from a key, whoever asks: so all who live in one
time share what is known of it (`quotas_of`, `pace_of`), also with those who asked before them and
are gone.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

from kucoin_research.clocks import Clock

__all__ = ["Pace", "Pool", "Quotas", "Told", "forget_host", "pace_of", "quotas_of"]

# Left to others where the size of a quota is not known, and of one that is, a part: whoever
# connects anew needs a token at once, whatever else is asked for.
_RESERVE = 10
_RESERVED_PART = 20
# Replies about one window put its end at about the same moment: seconds.
_SAME = 0.05
# Where calls on their way may take all there is, their replies are waited for in such steps.
_STEP = 0.05


class Pool(NamedTuple):
    """Whose quota a call takes from: this address's at a host, or that of a key.

    ``key`` tells keys apart and shows none; None where the call is not signed.
    """

    host: str
    market: str
    key: int | None = None


class Told(NamedTuple):
    """What a reply tells of a quota.

    ``limit`` is its size where that is told. The window ends so many seconds (``reset``) after some
    moment between ``sent`` and ``received`` (monotonic seconds).
    """

    limit: int | None
    remaining: int
    reset: float
    sent: float
    received: float


@dataclass(slots=True)
class _Window:
    limit: int | None = None
    remaining: int | None = None  # None: nobody knows
    ends_after: float = 0.0  # the end lies between the two, monotonic seconds
    ends_by: float | None = None  # None: the window begins with the next call
    on_the_way: int = 0  # weight of the calls that were not answered yet

    @property
    def reserve(self) -> int:
        return max(_RESERVE, (self.limit or 0) // _RESERVED_PART)

    def begin_again(self, now: float) -> None:
        """Forget a window that is over."""
        if self.ends_by is not None and now >= self.ends_by:
            self.remaining, self.ends_by = self.limit, None

    def has_room(self, least: int) -> bool:
        if self.remaining is None:
            return True
        is_whole = self.remaining == self.limit and not self.on_the_way
        return is_whole or self.remaining - self.on_the_way >= least

    def learn(self, told: Told) -> None:
        after, by = told.sent + told.reset, told.received + told.reset
        if self.ends_by is not None and by < self.ends_after - _SAME:
            return  # a late reply, about a window that is over
        self.limit = told.limit or self.limit
        if self.ends_by is not None and after <= self.ends_by + _SAME:
            assert self.remaining is not None  # known with the window
            self.remaining = min(self.remaining, told.remaining)
            self.ends_after = max(self.ends_after, after)
            self.ends_by = min(self.ends_by, by)
            return
        self.remaining, self.ends_after, self.ends_by = told.remaining, after, by


class Quotas:
    """Keeps calls within the quotas of a server; thread-safe.

    Parameters
    ----------
    clock
        The time it goes by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the windows
        self._windows: dict[Hashable, _Window] = {}

    def take(self, pool: Hashable, weight: int, *, is_urgent: bool = False) -> float:
        """Take what a call costs; whoever got it says when it is `over`.

        Parameters
        ----------
        pool
            Whose quota.
        weight
            What the call costs.
        is_urgent
            Whether it may have what others leave for such calls.

        Returns
        -------
        float
            0, or the seconds after which to try again: then nothing was taken.
        """
        now = self._clock.monotonic()
        with self._lock:
            window = self._windows.setdefault(pool, _Window())
            window.begin_again(now)
            if window.has_room(weight if is_urgent else max(weight, window.reserve)):
                window.on_the_way += weight
                return 0.0
            return _STEP if window.ends_by is None else window.ends_by - now

    def over(self, pool: Hashable, weight: int) -> None:
        """Note that a call is over, whatever came of it."""
        with self._lock:
            window = self._windows.get(pool)
            if window is not None:  # else the process was forked meanwhile
                window.on_the_way -= weight

    def learn(self, pool: Hashable, weight: int, told: Told | None) -> None:
        """Take note of what a reply told; where that is nothing, of what its call cost."""
        with self._lock:
            window = self._windows.setdefault(pool, _Window())
            if told is not None:
                window.learn(told)
            elif window.remaining is not None:
                window.remaining = max(0, window.remaining - weight)

    def forget_host(self, host: str) -> None:
        """Forget what is known of a host, but for the calls that are on their way to it."""
        with self._lock:
            for pool, window in list(self._windows.items()):
                if isinstance(pool, Pool) and pool.host == host:
                    self._windows[pool] = _Window(on_the_way=window.on_the_way)

    def disown(self) -> None:
        """Forget in a forked child what the parent's threads have on their way, and its lock.

        One of them may have held it, and have left a window half written.
        """
        self._lock = threading.Lock()
        self._windows = {}


class Pace:
    """Keeps calls to a host from coming too fast; thread-safe.

    Parameters
    ----------
    clock
        The time it goes by.
    burst
        Calls that may come at once after a quiet time.
    per_second
        And so many a second from then on.
    """

    def __init__(self, clock: Clock, burst: int, per_second: float) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._lock = threading.Lock()  # guards _free_at
        self._free_at = 0.0  # when the whole burst is to be had again, monotonic seconds

    def take(self) -> float:
        """Take a place for a call; gives the seconds after which to try again where there is none.

        0 says that it was taken.
        """
        now = self._clock.monotonic()
        with self._lock:
            free_at = max(self._free_at, now) + 1.0 / self._per_second
            wait = free_at - now - self._burst / self._per_second
            if wait > 1e-9:
                return wait
            self._free_at = free_at
            return 0.0

    def disown(self) -> None:
        """Forget the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()


# -- shared by all who ask -------------------------------------------------------------------------

# Kept as long as the clocks, which they refer to weakly: most who ask, ask once and are gone.
_quotas: WeakKeyDictionary[Clock, Quotas] = WeakKeyDictionary()
_paces: WeakKeyDictionary[Clock, dict[str, Pace]] = WeakKeyDictionary()
_shared_lock = threading.Lock()  # guards the two


def quotas_of(clock: Clock) -> Quotas:
    """Give the quotas that all share who live by a clock, and keep a reference to it; thread-safe.

    Their pools are each a `Pool`.
    """
    with _shared_lock:
        if clock not in _quotas:
            _quotas[clock] = Quotas(weakref.proxy(clock))
        return _quotas[clock]


def pace_of(clock: Clock, url: str, burst: int, per_second: float) -> Pace:
    """Give the pace to an address that all share who live by a clock, and keep a reference to it.

    Thread-safe. What the pace is, the first to ask says.
    """
    with _shared_lock:
        paces = _paces.setdefault(clock, {})
        if url not in paces:
            paces[url] = Pace(weakref.proxy(clock), burst, per_second)
        return paces[url]


def forget_host(host: str) -> None:
    """Forget the quotas of a host, name or number with the port: another server has opened there.

    The system gives a port that was closed to whoever asks for one next.
    """
    with _shared_lock:
        known = list(_quotas.values())
    for each in known:
        each.forget_host(host)


def _disown() -> None:
    # In a forked child: threads of the parent may have held the locks.
    global _shared_lock
    _shared_lock = threading.Lock()
    for quotas in list(_quotas.values()):
        quotas.disown()
    for paces in list(_paces.values()):
        for each in list(paces.values()):
            each.disown()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_disown)
