"""How long the kernel's main thread has been busy: buttons wait for it, charts do not."""

from __future__ import annotations

import time
from collections.abc import Callable

from kucoin_research.figures.hearing import Post, post_to_loop

__all__ = ["KernelBusy"]

_KEPT = 10.0  # s that the last busy time is reported


class KernelBusy:
    """Measures how long the kernel's main thread has been busy, by asking its loop for an answer.

    Make it in a cell, so that it finds the loop. Without a loop the kernel never counts as busy.

    Parameters
    ----------
    post
        Schedules a function on the main thread; left out: by the loop.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        post: Post | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._post = post if post is not None else post_to_loop()
        self._asked: float | None = None
        self._looked: float | None = None
        self._spell = 0.0
        self._ended = 0.0

    def look(self, now: float) -> None:
        """Ask again if the last question was answered; call it at each refresh."""
        if self._looked is not None:
            # A cell that holds the interpreter lock stops the refresh thread as well, so the time
            # between two refreshes counts, too.
            self._take(now - self._looked, now)
        self._looked = now
        if self._post is not None and self._asked is None:
            self._asked = now
            self._post(self._answer)

    def _answer(self) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            now = self._clock()
            self._take(now - asked, now)

    def _take(self, spell: float, now: float) -> None:
        is_longer = spell > self._spell or now - self._ended > _KEPT
        if spell >= 1.0 and is_longer:
            self._spell, self._ended = spell, now

    def busy(self, now: float) -> float:
        """Return the seconds for which the main thread has not answered."""
        asked = self._asked
        return 0.0 if asked is None else max(0.0, now - asked)

    def was_busy(self, now: float) -> float:
        """Return the longest busy time of the last ten seconds, in seconds; 0 without one."""
        return self._spell if now - self._ended < _KEPT else 0.0
