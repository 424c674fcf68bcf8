"""Whether the kernel can hear the browser: what pages say may come by its main thread alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Hearing", "Post", "post_to_loop"]

#: Has a function called on the kernel's main thread, when that is free.
Post = Callable[[Callable[[], None]], object]

_EVERY = 1.0  # s between two questions; a later answer is a time of deafness


class Hearing:
    """Counts the seconds in which the kernel could hear, so that silence is not its own.

    Some front ends bring what a page says to the main thread. While a cell keeps that busy, pages
    that speak are not heard, and must be neither forgotten nor taken for slow.

    Parameters
    ----------
    post
        As ``post_to_loop`` gives it, which is asked when this is left out; where the main thread
        runs no loop, it can always hear.
    clock
        Monotonic seconds.

    Notes
    -----
    ``look`` is for one thread; the rest may be called from any.
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
        """Ask the main thread for a sign, if none is awaited; call it often."""
        if self._post is None or self._asked is not None or now - self._answered < _EVERY:
            return
        self._asked = now
        self._post(self._answer)

    def _answer(self) -> None:
        now = self._clock()
        # What came meanwhile is heard right after this, so a long wait counts as a short one.
        self._heard += min(now - self._answered, 2 * _EVERY) if self._answered else 0.0
        self._answered, self._asked = now, None

    def time(self, now: float) -> float:
        """Give the seconds of hearing up to now, from an arbitrary origin."""
        return now if self._post is None else self._heard

    def is_deaf(self, now: float) -> bool:
        """Whether nothing can be heard just now."""
        return self._asked is not None and now - self._asked > _EVERY


def post_to_loop() -> Post | None:
    """Find how to have something called by the loop of this thread; ``None`` without a loop."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None

    def post(call: Callable[[], None]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    return post
