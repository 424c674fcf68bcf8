"""Whether the kernel can hear the browser: messages may come by its busy main thread alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Hearing", "Post", "post_to_loop"]

#: Schedules a function on the kernel's main thread, for when that is free.
Post = Callable[[Callable[[], None]], object]

_EVERY = 1.0  # s between two questions; without an answer for longer, the kernel is deaf


class Hearing:
    """Counts the seconds in which the kernel could hear: silence may be its own.

    Some front ends deliver messages of pages on the main thread. While a cell keeps that busy,
    messages wait, and their pages must be neither forgotten nor taken for slow.

    Parameters
    ----------
    post
        By default the result of ``post_to_loop``. Without a loop, the kernel can always hear.
    clock
        Monotonic seconds.

    Notes
    -----
    ``look`` is for one thread; the other methods may be called from any.
    """

    def __init__(
        self, post: Post | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._post = post if post is not None else post_to_loop()
        self._clock = clock
        self._asked: float | None = None
        self._answered = 0.0
        self._heard = 0.0

    def look(self, now: float) -> None:
        """Ask the main thread for an answer, unless one is awaited; call it often."""
        if self._post is None or self._asked is not None or now - self._answered < _EVERY:
            return
        self._asked = now
        self._post(self._answer)

    def _answer(self) -> None:
        now = self._clock()
        # Messages that came during a long wait are delivered right after this answer, so only the
        # length of a short wait is counted: none of their pages is forgotten before.
        self._heard += min(now - self._answered, 2 * _EVERY) if self._answered else 0.0
        self._answered, self._asked = now, None

    def time(self, now: float) -> float:
        """Return the seconds of hearing up to now, from an arbitrary origin."""
        return now if self._post is None else self._heard

    def is_deaf(self, now: float) -> bool:
        """Whether the main thread is too busy to hear anything just now."""
        return self._asked is not None and now - self._asked > _EVERY


def post_to_loop() -> Post | None:
    """Return a function that schedules calls on this thread's loop; ``None`` without a loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None

    def post(call: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    return post
