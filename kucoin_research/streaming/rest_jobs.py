"""Asking REST on a few threads: jobs of several kinds, each done once at a time."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from enum import IntEnum, unique
from typing import NamedTuple

from kucoin_research.foundation import clocks
from kucoin_research.model.records import Record

__all__ = ["MOST_AT_ONCE", "MOST_THREADS", "Job", "JobPool", "Kind"]

# A thread that has had nothing to do for this many seconds ends.
_IDLE = 20.0

MOST_THREADS = 20


@unique
class Kind(IntEnum):
    """The kinds of jobs; those with a lower number are done first."""

    END = 0  # the last sequence of a book, before the stream ends
    CLOCK = 1
    BOOK = 2  # a snapshot
    PAST = 3  # the rows of an outage
    SILENCE = 4  # whether a silence is an outage


# At most this many of a kind at once, so that some threads are left for the other kinds.
MOST_AT_ONCE = {Kind.END: 5, Kind.CLOCK: 1, Kind.BOOK: 16, Kind.PAST: 16, Kind.SILENCE: 4}


class Job(NamedTuple):
    """Something to ask REST for; ``record`` is the row type whose past is wanted."""

    kind: Kind
    symbol: str = ""
    record: type[Record] | None = None

    @property
    def key(self) -> Hashable:
        """Of jobs with equal keys one is done at a time."""
        return self.record or self.kind, self.symbol


class JobPool:
    """Does jobs on a few threads, the first kinds first; thread-safe.

    Parameters
    ----------
    clock
        The time that it lives in.
    do
        Does a job.
    survive
        Called with an error that ``do`` raised.
    start_thread
        Starts a thread with that target and role.
    stopping
        Once it is set, and the pool was woken, the threads end.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        do: Callable[[Job], None],
        survive: Callable[[Exception], None],
        start_thread: Callable[[Callable[[], None], str], None],
        stopping: threading.Event,
    ) -> None:
        self._do = do
        self._survive = survive
        self._start_thread = start_thread
        self._stopping = stopping
        self._changed = clock.condition()  # guards the four below
        self._waiting: dict[Kind, deque[Job]] = {kind: deque() for kind in Kind}
        self._running: set[Hashable] = set()
        self._at_work: Counter[Kind] = Counter()
        self._threads = 0

    def offer(self, jobs: Iterable[Job]) -> None:
        """Replace the waiting jobs by these; jobs under way go on."""
        with self._changed:
            for queue in self._waiting.values():
                queue.clear()
            for job in jobs:
                if job.key not in self._running:
                    self._waiting[job.kind].append(job)
            waiting = sum(
                min(len(queue), MOST_AT_ONCE[kind] - self._at_work[kind])
                for kind, queue in self._waiting.items()
            )
            wanted = min(MOST_THREADS, len(self._running) + waiting)
            missing, self._threads = max(0, wanted - self._threads), max(wanted, self._threads)
            if waiting:
                self._changed.notify_all()
        for _ in range(missing):
            try:
                self._start_thread(self._work, "asks")
            except BaseException:
                with self._changed:
                    self._threads -= 1
                raise

    def is_running(self, job: Job) -> bool:
        """Whether it is being done."""
        with self._changed:
            return job.key in self._running

    def wake(self) -> None:
        """Have the threads check whether they are to end."""
        with self._changed:
            self._changed.notify_all()

    def disown(self) -> None:
        """Forget a lock that the parent of a forked process may have held."""
        self._changed = threading.Condition()

    def _work(self) -> None:
        while (job := self._begin()) is not None:
            try:
                self._do(job)
            except Exception as error:  # noqa: BLE001  this thread's guard
                self._survive(error)
            with self._changed:
                self._running.discard(job.key)
                self._at_work[job.kind] -= 1

    def _begin(self) -> Job | None:
        """Wait for a job; None if the thread is to end."""
        with self._changed:
            while not self._stopping.is_set():
                job = self._next()
                if job is not None:
                    self._running.add(job.key)
                    self._at_work[job.kind] += 1
                    return job
                if not self._changed.wait(_IDLE) and self._next_kind() is None:
                    break
            self._threads -= 1
            return None

    def _next(self) -> Job | None:
        kind = self._next_kind()
        return None if kind is None else self._waiting[kind].popleft()

    def _next_kind(self) -> Kind | None:
        for kind, queue in self._waiting.items():
            if queue and self._at_work[kind] < MOST_AT_ONCE[kind]:
                return kind
        return None
