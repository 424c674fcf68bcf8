"""Calls the function of an alert on a thread of its own, so that a slow one holds nothing up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from kucoin_research.dashboards.alert import Alert, Firing
from kucoin_research.foundation import clocks
from kucoin_research.foundation.callbacks import Failure, check_has_run, name_of_function

__all__ = ["AlertCalls"]

log = logging.getLogger(__name__)

_MOST_WAITING = 1_000


class AlertCalls:
    """Calls a function with one moment after the other.

    While it is busy, up to 1,000 moments wait; further ones are counted in ``Alert.uncalled``.

    Parameters
    ----------
    on_failure
        Called with the alert, and with the moment for which its function raised.

    Notes
    -----
    May be used from any thread. Its own one begins with the first call.
    """

    def __init__(self, on_failure: Callable[[Alert, Firing], object]) -> None:
        self._on_failure = on_failure
        self._clock = clocks.current()
        self._changed = self._clock.condition()  # guards what follows
        self._waiting: deque[tuple[Alert, Firing]] = deque()
        self._has_begun = self._is_closed = False

    def put(self, alert: Alert, firing: Firing) -> None:
        """Call the alert's function soon."""
        with self._changed:
            if self._is_closed:
                return
            if len(self._waiting) >= _MOST_WAITING:
                alert.uncalled += 1
                return
            self._waiting.append((alert, firing))
            self._changed.notify_all()
            is_first, self._has_begun = not self._has_begun, True
        if is_first:
            self._clock.thread(self._call_all, "kucoin alerts").start()

    def close(self) -> None:
        """Call none of those that wait; the thread ends with the call that goes on."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _next(self) -> tuple[Alert, Firing] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return None if self._is_closed else self._waiting.popleft()

    def _call_all(self) -> None:
        while (moment := self._next()) is not None:
            self._call(*moment)

    def _call(self, alert: Alert, firing: Firing) -> None:
        if alert.call is None or alert.failure is not None:
            return
        name = name_of_function(alert.call)
        try:
            result = alert.call(firing)
            if result is not None:
                check_has_run(result, name)
        # SystemExit and CancelledError too, which would end this thread without a word.
        except BaseException as error:  # the sink guard
            log.exception("the function of an alert raised, and is called no more")
            alert.failure = Failure.of(name, error, firing.time_ns)
            self._on_failure(alert, firing)
