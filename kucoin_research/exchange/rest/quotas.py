"""How much may be asked of a server now: its quota, as its replies tell, and its patience with us.

Several threads ask at once, and a reply tells what was left when its call was looked at. So what is
still on its way is reckoned as spent, whether or not that reply knew of it, and of replies about
the same window the lowest counts, in whatever order they come.

A server counts what comes from this address, or from a key, whoever asks: so all who live in one
time share what is known of it (`quotas_of`, `pace_of`), also with those who asked before them and
are gone. Ports of this machine go from one server to another, so there only those share who ask a
server of this very process (`share_host`).
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
    "Pace", "Pool", "QuotaReport", "Quotas", "forget_host", "pace_of", "quotas_of", "share_host",
]  # fmt: skip

# Left to others where the size of a quota is not known, and of one that is, a part: whoever
# connects anew needs a token at once, whatever else is asked for.
_RESERVE = 10
_RESERVED_PART = 20
# Replies about one window put its end at about the same moment: seconds.
_SAME = 0.05
# Where calls on their way may take all there is, their replies are waited for in such steps.
_STEP = 0.05
# Seconds that are none but for the rounding of sums.
_NO_TIME = 1e-9
# No server is believed that wants to be left alone for longer: seconds.
_LONGEST_REFUSAL = 300.0


class Pool(NamedTuple):
    """Whose quota a call takes from: this address's, or that of a key.

    ``key`` tells keys apart and shows none; None where the call is not signed.
    """

    market: str
    key: int | None = None


class QuotaReport(NamedTuple):
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
    was_over_by: float = -math.inf  # the one before
    on_the_way: int = 0  # weight of the calls that were not answered yet

    @property
    def reserve(self) -> int:
        return max(_RESERVE, (self.limit or 0) // _RESERVED_PART)

    def begin_again(self, now: float) -> None:
        """Forget a window that is over."""
        if self.ends_by is not None and now >= self.ends_by:
            self.remaining, self.was_over_by, self.ends_by = self.limit, self.ends_by, None

    def wait_for(self, weight: int, *, left: int, now: float) -> float:
        """Give the seconds after which to ask again for a call that is to leave so much; or 0."""
        if self.remaining is None or self.remaining - self.on_the_way >= weight + left:
            return 0.0
        # Of a quota as small as that a call may take all: it would wait for ever.
        is_whole = self.remaining == self.limit
        if is_whole and not self.on_the_way:
            return 0.0
        ends_in = math.inf if self.ends_by is None else self.ends_by - now
        # A call that was counted in a reply to another is reckoned twice until its own one.
        waits_for_replies = is_whole or self.remaining >= weight + left
        return min(_STEP, ends_in) if waits_for_replies else ends_in

    def learn(self, told: QuotaReport) -> None:
        after, by = told.sent + told.reset, told.received + told.reset
        if self.ends_by is None:
            is_late = after <= self.was_over_by + _SAME
        else:
            is_late = by < self.ends_after - _SAME
        if is_late:
            return  # about a window that is over
        self.limit = told.limit or self.limit
        if self.ends_by is not None and after <= self.ends_by + _SAME:
            assert self.remaining is not None  # known with the window
            self.remaining = min(self.remaining, told.remaining)
            self.ends_after = max(self.ends_after, after)
            self.ends_by = min(self.ends_by, by)
            return
        self.remaining, self.ends_after, self.ends_by = told.remaining, after, by


class Quotas:
    """Keeps calls within the quotas of one host; thread-safe.

    Parameters
    ----------
    clock
        The time it goes by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._windows: dict[Hashable, _Window] = {}
        # Until when a pool takes no calls, or under None the host; monotonic seconds.
        self._refused_until: dict[Hashable | None, float] = {}

    def take(self, pool: Hashable, weight: int, *, is_urgent: bool = False) -> float:
        """Take what a call costs; whoever got it says when it is `over`.

        Parameters
        ----------
        pool
            Whose quota.
        weight
            What the call costs.
        is_urgent
            Whether it may have what others leave for such calls; in a refusal it waits as they do.

        Returns
        -------
        float
            0, or the seconds after which to try again: then nothing was taken.
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
        """Note that a call is over, whatever came of it."""
        with self._lock:
            window = self._windows.get(pool)
            if window is not None:  # else the process was forked meanwhile
                window.on_the_way -= weight

    def learn(self, pool: Hashable, weight: int, told: QuotaReport | None) -> None:
        """Take note of what a reply told; where that is nothing, of what its call cost."""
        with self._lock:
            window = self._windows.setdefault(pool, _Window())
            if told is not None:
                window.learn(told)
            elif window.remaining is not None:
                window.remaining = max(0, window.remaining - weight)

    def refuse(self, pool: Hashable | None, seconds: float) -> None:
        """Take no calls for so many seconds from now on, five minutes at most: a reply told so.

        Asked on, a server goes on refusing for longer. ``pool`` is None where the host as a whole
        refuses.
        """
        until = self._clock.monotonic() + min(seconds, _LONGEST_REFUSAL)
        with self._lock:
            self._refused_until[pool] = max(until, self._refused_until.get(pool, 0.0))

    def forget(self) -> None:
        """Forget what is known of the host, but for the calls that are on their way to it."""
        with self._lock:
            self._refused_until.clear()
            for pool, window in list(self._windows.items()):
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
            if wait > _NO_TIME:
                return wait
            self._free_at = free_at
            return 0.0

    def disown(self) -> None:
        """Forget the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.Lock()


# -- shared by all who ask -------------------------------------------------------------------------

# Kept as long as the clocks, which they refer to weakly: most who ask, ask once and are gone.
_quotas: WeakKeyDictionary[Clock, dict[str, Quotas]] = WeakKeyDictionary()  # by host
_paces: WeakKeyDictionary[Clock, dict[str, Pace]] = WeakKeyDictionary()
_ours: set[str] = set()  # hosts of this machine where a server of this process listens
_shared_lock = threading.Lock()  # guards the three


def quotas_of(clock: Clock, url: str, *, is_loopback: bool) -> Quotas:
    """Give a host's quotas, which all share who live by a clock; thread-safe.

    Parameters
    ----------
    clock
        The time that who asks lives in.
    url
        An address there.
    is_loopback
        Whether that is this machine: then they are shared only as long as `share_host` says so,
        and otherwise new ones, of nobody else.
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
    """Give the pace to an address that all share who live by a clock, and keep a reference to it.

    Thread-safe. What the pace is, the first to ask says.
    """
    with _shared_lock:
        paces = _paces.setdefault(clock, {})
        if url not in paces:
            paces[url] = Pace(weakref.proxy(clock), burst, per_second)
        return paces[url]


def share_host(url: str) -> None:
    """Let all who ask a port of this machine share its quotas: a server of this process is there.

    What was known of another one that had the port is forgotten.
    """
    forget_host(url)
    with _shared_lock:
        _ours.add(_host_of(url))


def forget_host(url: str) -> None:
    """Forget what is known of a port of this machine, and let nobody share it: it is closed.

    The system gives it to whoever asks for one next, who may be no exchange, or one of another
    process.
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
