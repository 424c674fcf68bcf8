"""A call that is repeated on a thread of its own, less often while it fails."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from kucoin_research.errors import KucoinResearchError, RateLimited
from kucoin_research.foundation.clocks import Clock

__all__ = ["Errand"]

log = logging.getLogger(__name__)

_LONGEST_WAIT = 30.0  # s after failures, which double the wait
_MOST_DOUBLINGS = 10  # more would only make the number too large for a float
_LATE = 3  # intervals without an answer
_SOON = 5.0  # s; the times of a trouble are told in steps of it, since each change is read aloud


class Errand:
    """Repeats a call on a thread of its own, so that one that hangs does not hold up the others.

    Every method may be called from any thread.

    Parameters
    ----------
    name
        Name of what it brings, for its sentences.
    every
        Seconds from one call to the next.
    call
        The call. A ``KucoinResearchError`` is a failure, after which it is tried again.
    clock
        The clock to wait by.
    ending
        Ends it once set.

    Attributes
    ----------
    failures
        Failures since the last success.
    """

    def __init__(
        self,
        name: str,
        every: float,
        call: Callable[[], None],
        *,
        clock: Clock,
        ending: threading.Event,
    ) -> None:
        self.name, self.every = name, every
        self._call, self._clock, self._ending = call, clock, ending
        self.failures = 0
        self._error = ""
        self._crash = ""
        self._due = self._well_at = clock.monotonic()
        self._lock = threading.Lock()  # guards _thread and _crash
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, or begin again after an unexpected error; nothing happens if it runs."""
        with self._lock:
            if self._ending.is_set() or (self._thread is not None and not self._crash):
                return
            self._crash, self._well_at = "", self._clock.monotonic()
            self._thread = self._clock.thread(self._run, f"kucoin-screener-{self.name}")
            self._thread.start()

    @property
    def was_started(self) -> bool:
        """Whether it was started."""
        return self._thread is not None

    @property
    def is_running(self) -> bool:
        """Whether it is repeated by itself."""
        return self._thread is not None and not self._crash and not self._ending.is_set()

    @property
    def has_crashed(self) -> bool:
        """Whether an unexpected error has ended it."""
        return bool(self._crash)

    def join(self, timeout: float) -> None:
        """Wait until its thread has ended, unless that is the calling one."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def attempt(self, call: Callable[[], None] | None = None) -> None:
        """Call once, in the calling thread, and remember how it went.

        Parameters
        ----------
        call
            Called instead of its own call.

        Raises
        ------
        KucoinResearchError
            If the call fails.
        """
        began = self._clock.monotonic()
        try:
            (call or self._call)()
        except KucoinResearchError as error:
            self._note(error)
            raise
        else:
            self.failures, self._error = 0, ""
            self._well_at = self._clock.monotonic()
        finally:
            self._due = began + self._wait

    @property
    def trouble(self) -> str:
        """What fails now, in a sentence; empty while all is well."""
        if self._crash:
            return f"no new {self.name}: {self._crash}; start() asks again"
        now = self._clock.monotonic()
        if self.failures:
            how = _times(self.failures)
            if self.is_running:
                how += f"; tried again within {_in_steps(self._due - now):.0f} s"
            return f"no new {self.name} ({how}): {self._error}"
        late = now - self._well_at
        if self.is_running and late > _LATE * self.every:
            return f"no new {self.name} for {_in_steps(late):.0f} s: no answer has come yet"
        return ""

    @property
    def _wait(self) -> float:
        # Seconds from one call to the next.
        doubled = self.every * 2.0 ** min(self.failures, _MOST_DOUBLINGS)
        return min(doubled, max(_LONGEST_WAIT, self.every))

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._try()
                self._ending.wait(max(0.0, self._due - self._clock.monotonic()))
        except Exception as error:
            log.exception("the screener's thread for the %s met an unexpected error", self.name)
            with self._lock:
                self._crash = f"unexpected {type(error).__name__}: {error}"

    def _try(self) -> None:
        try:
            self.attempt()
        except KucoinResearchError as error:
            log.debug("tried again later, after: %s", error)

    def _note(self, error: KucoinResearchError) -> None:
        if self._ending.is_set():
            return  # it was closed meanwhile
        # The seconds in the text of a rate limit would stand still.
        is_limit = isinstance(error, RateLimited)
        text = "the exchange takes no more requests for now" if is_limit else str(error)
        if text != self._error:  # once for an outage
            log.warning("a screener's %s could not be had: %s", self.name, error)
        self.failures, self._error = self.failures + 1, text


def _in_steps(seconds: float) -> float:
    return max(1, math.ceil(seconds / _SOON)) * _SOON


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
