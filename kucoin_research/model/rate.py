"""Events per second over the last five seconds, from a growing count."""

from __future__ import annotations

from collections import deque

__all__ = ["RateMeter"]

_WINDOW = 5.0  # s
# Samples closer together than this do not improve the rate. A rate over a shorter time would be
# exaggerated, so this is also the least divisor.
_SPACING = 0.25  # s
_SAMPLES = 64


class RateMeter:
    """Turns a growing count into a rate over the last five seconds.

    **Threads**: one thread calls ``sample``; any may call ``rate``.
    """

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)

    def sample(self, now: float, count: int) -> None:
        """Note the count at ``now`` (monotonic seconds); kept at most four times a second."""
        if not self._samples or now - self._samples[-1][0] >= _SPACING:
            self._samples.append((now, count))

    def rate(self, now: float, count: int) -> float:
        """Return the events per second up to ``now``; 0 without a sample in the last 5 s."""
        for since, before in self._samples.copy():
            if since >= now - _WINDOW:
                return max(0, count - before) / max(now - since, _SPACING)
        return 0.0
