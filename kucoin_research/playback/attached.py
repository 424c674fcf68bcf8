"""Functions attached to a replay: how they are called, and which of them have raised."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence

from kucoin_research.foundation.callbacks import (
    BatchSink,
    Failure,
    check_has_run,
    name_of_function,
    without,
)
from kucoin_research.foundation.clocks import Clock
from kucoin_research.model.records import Record

__all__ = ["AttachedFunctions", "AttachedSink", "Sink", "Take"]

log = logging.getLogger(__name__)

Sink = Callable[[Record], object]
Take = Callable[[Sequence[Record]], object]


class AttachedSink:
    """A function that is called with each record.

    Parameters
    ----------
    call
        The function.
    wants
        The test for the records it is called with; None: all of them.
    on_rewind
        Called with the time (ns) that is sought when the replay begins again from its first row.
        A sink that has this is also called with the rows that a seek passes over.
    """

    def __init__(
        self,
        call: Sink,
        wants: Callable[[Record], bool] | None,
        on_rewind: Callable[[int], object] | None = None,
    ) -> None:
        self.call = call
        self.wants = wants
        self.on_rewind = on_rewind
        self.is_on = True
        self.name = name_of_function(call)

    def wanted(self, rows: Iterator[Record]) -> Iterator[Record]:
        """Return the rows that it is called with."""
        return rows if self.wants is None else filter(self.wants, rows)

    def take(self, row: Record) -> BaseException | None:
        """Call it, if it wants the row and is still on; returns what it raised."""
        if not self.is_on or (self.wants is not None and not self.wants(row)):
            return None
        try:
            result = self.call(row)
            if result is not None:
                check_has_run(result, self.name)
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a sink raised and was detached")
            return error
        return None


class AttachedFunctions:
    """The functions that a replay calls, and the failures of those that raised. Thread-safe.

    Each tuple is replaced as a whole, so it may be read without the lock.

    Parameters
    ----------
    clock
        Makes the lock that is held while functions are called.

    Attributes
    ----------
    failures
        Functions that raised and are not called any more, until one of that name is attached.
    unreported
        Those failures that ``wait_until_done`` has not raised yet.
    """

    def __init__(self, clock: Clock) -> None:
        self._calling = clock.lock()
        # Re-entrant: a signal handler or a finalizer of this thread may attach or detach.
        self._lock = threading.RLock()  # guards what follows
        self.sinks: tuple[AttachedSink, ...] = ()
        self.batch_sinks: tuple[BatchSink[Record], ...] = ()
        self.failures: tuple[Failure, ...] = ()
        self.unreported: tuple[Failure, ...] = ()

    def add(self, sink: AttachedSink) -> None:
        """Call a function with each record from now on."""
        with self._lock:
            self.sinks = (*self.sinks, sink)
            self.failures = without(self.failures, sink.name)

    def remove(self, sink: AttachedSink) -> None:
        """Stop calling it; it may be removed already."""
        sink.is_on = False
        with self._lock:
            self.sinks = tuple(each for each in self.sinks if each is not sink)

    @property
    def following(self) -> tuple[AttachedSink, ...]:
        """Those that are also called with the rows that a seek passes over."""
        return tuple(each for each in self.sinks if each.on_rewind is not None)

    def rewind(self, to_ns: int) -> None:
        """Tell those that follow seeks that the replay begins again from its first row."""
        with self._calling:
            for sink in self.sinks:
                if sink.on_rewind is not None:
                    sink.on_rewind(to_ns)

    def add_batches(self, take: Take) -> Callable[[], None]:
        """Call a function with each batch from now on; returns the function that removes it."""
        sink = BatchSink(take)
        with self._lock:
            self.batch_sinks = (*self.batch_sinks, sink)
            self.failures = without(self.failures, sink.name)
        return lambda: self.remove_batches(sink)

    def remove_batches(self, sink: BatchSink[Record]) -> None:
        """Stop calling it; it may be removed already."""
        with self._lock:
            self.batch_sinks = tuple(each for each in self.batch_sinks if each is not sink)

    def call(
        self, sinks: Sequence[AttachedSink], rows: Iterator[Record]
    ) -> list[tuple[AttachedSink, BaseException]]:
        """Call functions with rows, in order, until one raises; returns who raised what."""
        with self._calling:
            return _call_each(sinks, rows)

    def wait_for_call(self, timeout: float) -> None:
        """Wait until the call under way has returned, unless it is the caller's own."""
        if self._calling.acquire(timeout=timeout):
            self._calling.release()

    def add_failure(self, failure: Failure) -> None:
        """List a function that has raised."""
        with self._lock:
            self.failures = (*self.failures, failure)
            self.unreported = (*self.unreported, failure)

    def take_unreported(self) -> tuple[Failure, ...]:
        """Return the failures not reported yet; they count as reported from now."""
        with self._lock:
            failures, self.unreported = self.unreported, ()
        return failures

    def disown(self) -> None:
        """Stop calling all of them in a forked child; the failures stay."""
        # The parent's thread may have held the locks.
        self._calling, self._lock = threading.RLock(), threading.RLock()
        self.sinks, self.batch_sinks = (), ()


def _call_each(
    sinks: Sequence[AttachedSink], rows: Iterator[Record]
) -> list[tuple[AttachedSink, BaseException]]:
    if len(sinks) == 1:
        (sink,) = sinks
        try:
            call = sink.call
            # A loop, not map(): that would take a function's StopIteration for the end of the rows.
            for row in sink.wanted(rows):
                result = call(row)
                if result is not None:
                    check_has_run(result, sink.name)
        # SystemExit, too: it would end this thread silently, as threading ignores it.
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a sink raised and was detached")
            return [(sink, error)]
        return []
    failed: list[tuple[AttachedSink, BaseException]] = []
    for row in rows:
        for sink in sinks:
            raised = sink.take(row)
            if raised is not None:
                failed.append((sink, raised))
        if failed:
            break
    return failed
