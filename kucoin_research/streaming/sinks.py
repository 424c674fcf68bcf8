"""Handing records to functions that may be slow, without ever waiting for them.

A ``SinkWorker`` stands between a stream and one function: a bounded queue, and a thread that calls
the function once per record. The feed only puts batches into the queue. If the function cannot keep
up, the newest records are not passed to it: they are counted and reported, and they are in the
frames all the same.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from kucoin_research.foundation import clocks
from kucoin_research.foundation.callbacks import Failure, check_has_run

__all__ = ["MOST_WAITING", "SinkWorker"]

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Records that may wait for one function.
MOST_WAITING = 100_000

# A function that is this many seconds behind is told, at most once a minute.
_SLOW = 1.0
_SLOW_INTERVAL = 60.0


class SinkWorker(Generic[T]):
    """Calls a function once per item, on a thread of its own.

    Parameters
    ----------
    call
        What to call. If it raises, it is never called again.
    wants
        Which items it is called with.
    name
        How it is called in what is told.
    thread_name
        Of its thread.
    tell
        Called with an event and a sentence when there is trouble: ``sink_failed``, ``sink_slow``.
    on_failure
        Called with this outlet when the function has raised, and will not be called again.
    most_waiting
        Items that may wait; ``MOST_WAITING`` when left out.
    clock
        The time it lives in; the machine's own when left out.

    Attributes
    ----------
    dropped
        Items that it wants and was not called with, because too many waited.
    failure
        What it raised; ``None`` while it has not.

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
        tell: Callable[[str, str], None],
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
        self._tell = tell
        self._on_failure = on_failure
        self._most_waiting = MOST_WAITING if most_waiting is None else most_waiting
        self._batches: deque[tuple[float, Sequence[T]]] = deque()
        self._waiting = 0
        self._untold = 0  # of the dropped
        self._slow_told_at: float | None = None
        self._put_at: float | None = None  # of what it is being called with
        self._is_open = True  # takes more
        self._is_on = True  # still calls
        self._changed = self._clock.condition()  # guards all of the above
        self._calling = self._clock.lock()  # held during each call
        self.thread = self._clock.thread(self._run, thread_name)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def put(self, items: Sequence[T]) -> None:
        """Hand over what is wanted of a batch; what there is no room for is dropped and counted."""
        # First, so that what it does not want takes no room from what it does.
        wanted = list(filter(self._wants, items))
        if not wanted:
            return
        with self._changed:
            if not self._is_open:
                return
            lost = max(0, self._waiting + len(wanted) - self._most_waiting)
            if lost:
                self.dropped += lost
                self._untold += lost
                del wanted[len(wanted) - lost :]
            if not wanted:
                return
            self._batches.append((self._clock.monotonic(), wanted))
            self._waiting += len(wanted)
            self._changed.notify()

    def close(self) -> None:
        """Take no more; what waits is still handed over, then the thread ends."""
        with self._changed:
            self._is_open = False
            self._changed.notify()

    def detach(self, timeout: float = 5.0) -> None:
        """Call no more, from now on; waits for a call that is under way, but for its own."""
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
                self._on_failure(self)
                self._tell("sink_failed", f"{self.failure}; it was detached")
                return
            self._tell_if_slow(put_at)

    def look(self) -> None:
        """Tell of a call that does not return; whoever started this looks now and then."""
        with self._changed:
            put_at = self._put_at
        if put_at is not None:
            self._tell_if_slow(put_at)

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

    def _tell_if_slow(self, put_at: float) -> None:
        now = self._clock.monotonic()
        with self._changed:
            lost, behind = self._untold, now - put_at
            told_at = self._slow_told_at
            is_told = told_at is not None and now - told_at < _SLOW_INTERVAL
            # The first loss is told at once, whatever was told of slowness before.
            is_first_loss = lost == self.dropped > 0
            if (behind < _SLOW and not lost) or (is_told and not is_first_loss):
                return
            self._slow_told_at, self._untold = now, 0
        text = f"{self.name} is {behind:.1f} s behind; the feed goes on without it"
        if lost:
            text += f", and {lost:,} records were not handed to it"
        self._tell("sink_slow", text)
