"""Handing records to functions that may be slow, without ever waiting for them.

A ``SinkWorker`` stands between a stream and one function: a bounded queue, and a thread that calls
the function once per record. The feed only puts batches into the queue. If the function cannot keep
up, the newest records are not passed to it: they are counted and reported, and they are in the
frames all the same. ``Sinks`` are all functions of one stream.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from kucoin_research.foundation import clocks
from kucoin_research.foundation.callbacks import BatchSink, Failure, check_has_run, without
from kucoin_research.model.records import Record

__all__ = ["MOST_WAITING", "SinkWorker", "Sinks"]

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Records that may wait for one function.
MOST_WAITING = 100_000

# A function that is this many seconds behind is reported, at most once a minute.
_SLOW = 1.0
_SLOW_INTERVAL = 60.0


class SinkWorker(Generic[T]):
    """Calls a function once per item, on a thread of its own.

    Parameters
    ----------
    call
        The function. If it raises, it is never called again.
    wants
        Returns whether the function is called with an item.
    name
        Name used in status messages.
    thread_name
        Of its thread.
    report
        Called with an event and a sentence when there is trouble: ``sink_failed``, ``sink_slow``.
    on_failure
        Called with this worker when the function has raised, and will not be called again.
    most_waiting
        Items that may wait; ``MOST_WAITING`` when left out.
    clock
        The time it lives in; the machine's own when left out.

    Attributes
    ----------
    dropped
        Items that it wants and was not called with, because too many waited.
    failure
        The error that it raised; ``None`` while it has not.

    Notes
    -----
    ``put`` and ``close`` may be called from any thread, and do not wait.
    """

    def __init__(
        self,
        call: Callable[[T], object],
        wants: Callable[[T], bool],
        *,
        name: str,
        thread_name: str,
        report: Callable[[str, str], None],
        on_failure: Callable[[SinkWorker[T]], None] = lambda _: None,
        most_waiting: int | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._clock = clocks.current() if clock is None else clock
        self.name = name
        self.dropped = 0
        self.failure: Failure | None = None
        self._call = call
        self._wants = wants
        self._report = report
        self._on_failure = on_failure
        self._most_waiting = MOST_WAITING if most_waiting is None else most_waiting
        self._batches: deque[tuple[float, Sequence[T]]] = deque()
        self._waiting = 0
        self._unreported = 0  # of the dropped
        self._slow_reported_at: float | None = None
        self._put_at: float | None = None  # of the batch that it is being called with
        self._is_open = True  # takes more
        self._is_on = True  # still calls
        self._changed = self._clock.condition()  # guards all of the above
        self._calling = self._clock.lock()  # held during each call
        self.thread = self._clock.thread(self._run, thread_name)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def put(self, items: Sequence[T]) -> None:
        """Hand over the wanted items of a batch; those without room are dropped and counted."""
        # First, so that the items it does not want take no room from those it does.
        wanted = list(filter(self._wants, items))
        if not wanted:
            return
        with self._changed:
            if not self._is_open:
                return
            lost = max(0, self._waiting + len(wanted) - self._most_waiting)
            if lost:
                self.dropped += lost
                self._unreported += lost
                del wanted[len(wanted) - lost :]
            if not wanted:
                return
            self._batches.append((self._clock.monotonic(), wanted))
            self._waiting += len(wanted)
            self._changed.notify()

    def close(self) -> None:
        """Take no more; the waiting items are still handed over, then the thread ends."""
        with self._changed:
            self._is_open = False
            self._changed.notify()

    def detach(self, timeout: float = 5.0) -> None:
        """Call no more, from now on; wait for a call that is under way, unless it makes this one.

        Parameters
        ----------
        timeout
            Seconds to wait.
        """
        with self._changed:
            self._is_open = self._is_on = False
            self._batches.clear()
            self._changed.notify()
        if self._calling.acquire(timeout=timeout):
            self._calling.release()

    @property
    def is_open(self) -> bool:
        """Whether it takes more."""
        return self._is_open

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            put_at, items = batch
            try:
                self._hand_over(items)
            # SystemExit, too: threading would take it for the wish to end this thread, silently.
            except (Exception, SystemExit) as error:  # the sink guard
                log.exception("a sink raised and was detached")
                self.detach()
                self._put_at = None
                self.failure = Failure.of(self.name, error, self._clock.wall_ns())
                # Removed before it is reported: the report's row goes to the sinks as well.
                self._on_failure(self)
                self._report("sink_failed", f"{self.failure}; it was detached")
                return
            self._report_if_slow(put_at)

    def look(self) -> None:
        """Report a call that does not return; whoever started this calls it now and then."""
        with self._changed:
            put_at = self._put_at
        if put_at is not None:
            self._report_if_slow(put_at)

    def _next(self) -> tuple[float, Sequence[T]] | None:
        with self._changed:
            self._put_at = None
            while not self._batches and self._is_open:
                self._changed.wait()
            if not self._batches:
                return None
            put_at, items = self._batches.popleft()
            self._waiting -= len(items)
            self._put_at = put_at
            return put_at, items

    def _hand_over(self, items: Sequence[T]) -> None:
        for item in items:
            with self._calling:
                if not self._is_on:
                    return
                result = self._call(item)
            if result is not None:
                check_has_run(result, self.name)

    def _report_if_slow(self, put_at: float) -> None:
        now = self._clock.monotonic()
        with self._changed:
            lost, behind = self._unreported, now - put_at
            reported_at = self._slow_reported_at
            is_reported = reported_at is not None and now - reported_at < _SLOW_INTERVAL
            # The first loss is reported at once, even shortly after a report of slowness.
            is_first_loss = lost == self.dropped > 0
            if (behind < _SLOW and not lost) or (is_reported and not is_first_loss):
                return
            self._slow_reported_at, self._unreported = now, 0
        text = f"{self.name} is {behind:.1f} s behind; the feed goes on without it"
        if lost:
            text += f", and {lost:,} records were not handed to it"
        self._report("sink_slow", text)


class Sinks:
    """The functions that are attached to one stream.

    Parameters
    ----------
    clock
        The time that their threads live in.
    stream_name
        For the names of their threads.
    lock
        The delivery lock. It guards the tuples, so that a function is called with each row from
        the moment on at which it was attached.
    report
        Puts a row with an event and a sentence into the stream's ``status`` channel.

    Attributes
    ----------
    workers
        Of the functions that are called with each record, on threads of their own.
    traffic
        Of the function that is called with raw messages as well, if there is one.
    failures
        Functions that have raised and are called no more, until one of that name is attached.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        stream_name: str,
        lock: AbstractContextManager[Any],
        report: Callable[[str, str], None],
    ) -> None:
        self.workers: tuple[SinkWorker[Record], ...] = ()
        self.traffic: SinkWorker[bytes | Record] | None = None
        self.failures: tuple[Failure, ...] = ()
        self._clock = clock
        self._stream_name = stream_name
        self._lock = lock
        self._report = report
        self._batch_sinks: tuple[BatchSink[Record], ...] = ()
        self._dropped = 0  # by workers that are detached

    # -- rows ------------------------------------------------------------------------------------

    def put(self, rows: Sequence[Record]) -> None:
        """Hand over rows. Under the delivery lock."""
        sinks = self._batch_sinks
        failed = [(sink, error) for sink in sinks if (error := sink.take(rows)) is not None]
        for worker in self.workers:
            worker.put(rows)
        if self.traffic is not None:
            self.traffic.put(rows)
        for sink, error in failed:  # last, as this puts rows of its own behind these
            self._drop(sink, error)

    def _drop(self, sink: BatchSink[Record], error: BaseException) -> None:
        """Detach a function that has raised, and report it."""
        failure = Failure.of(sink.name, error, self._clock.wall_ns())
        self._batch_sinks = tuple(each for each in self._batch_sinks if each is not sink)
        self.failures = (*self.failures, failure)
        self._report("sink_failed", f"{failure}; it was detached")

    # -- functions -------------------------------------------------------------------------------

    def worker(
        self, call: Callable[[Any], object], wants: Callable[[Any], bool], name: str
    ) -> SinkWorker[Any]:
        """Make the worker of a function; its thread is not started, and it is not attached."""
        return SinkWorker(
            call,
            wants,
            name=name,
            thread_name=f"kucoin-{self._stream_name}-sink",
            report=self._report,
            on_failure=self._forget,
            clock=self._clock,
        )

    def attach(self, worker: SinkWorker[Record]) -> None:
        """Hand rows to a worker from now on."""
        with self._lock:
            self.workers = (*self.workers, worker)
            self.failures = without(self.failures, worker.name)

    def detach(self, worker: SinkWorker[Record]) -> None:
        """Hand no more rows to a worker, and have it call its function no more."""
        self._forget(worker)
        worker.detach()

    def _forget(self, worker: SinkWorker[Any]) -> None:
        with self._lock:
            if worker in self.workers:
                self._dropped += worker.dropped
                if worker.failure is not None:
                    self.failures = (*self.failures, worker.failure)
            self.workers = tuple(each for each in self.workers if each is not worker)

    def attach_batches(self, take: Callable[[Sequence[Record]], object]) -> Callable[[], None]:
        """Call a function with each batch, under the delivery lock; return how to detach it."""
        sink = BatchSink(take)

        def detach() -> None:
            with self._lock:
                self._batch_sinks = tuple(each for each in self._batch_sinks if each is not sink)

        with self._lock:
            self._batch_sinks = (*self._batch_sinks, sink)
            self.failures = without(self.failures, sink.name)
        return detach

    # -- all of them -----------------------------------------------------------------------------

    @property
    def all_workers(self) -> list[SinkWorker[Any]]:
        """The workers, that of the raw messages included."""
        traffic = [] if self.traffic is None else [self.traffic]
        return [*self.workers, *traffic]

    @property
    def dropped(self) -> int:
        """Records that were not handed to a function, because too many waited for it."""
        return self._dropped + sum(worker.dropped for worker in self.workers)

    def look(self) -> None:
        """Report functions that do not return."""
        for worker in self.all_workers:
            worker.look()

    def close(self) -> None:
        """Take no more rows; the waiting ones are still handed over."""
        for worker in self.all_workers:
            worker.close()

    def disown(self, lock: AbstractContextManager[Any]) -> None:
        """Forget all threads, in a forked child; that is its delivery lock."""
        self._lock = lock
        self.workers, self.traffic = (), None
