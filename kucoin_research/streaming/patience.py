"""When the filling of an outage is given up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FillProgress", "Patience"]

# If the quota is used up, the past is not given up before the next window could bring it: KuCoin's
# windows are 30 s.
_ONE_WINDOW = 31.0


@dataclass(slots=True)
class FillProgress:
    """How far the filling of an outage is; times are monotonic seconds.

    One thread at a time works on it.
    """

    seen: float  # when it was noticed
    failing: float | None = None  # since when REST has failed to bring it
    not_before: float = 0.0  # when to ask next
    pause: float = 0.0  # between two questions about a silence
    last_sequence: int | None = None  # of the channel, when REST was asked last


class Patience:
    """Decides how long REST is asked for the past of a market: while anything comes, and longer.

    Several threads write it without a lock: each value is one moment, and any thread's will do.

    Parameters
    ----------
    timeout
        How much longer, in seconds.

    Attributes
    ----------
    pauses_until
        Until then the exchange takes no requests, monotonic seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._moved = 0.0  # when anything came last
        self._failing: float | None = None  # since when no past came, though asked for
        self._refused: float | None = None  # since when there is no quota
        self.pauses_until = 0.0

    def answered(self, now: float, *, is_past: bool = False) -> None:
        """Note that REST has answered; ``is_past`` if with rows of an outage."""
        self._moved = max(self._moved, now)
        self._refused = None
        if is_past:
            self._failing = None

    def failed(self, now: float) -> None:
        """Note that a page of the past did not come."""
        if self._failing is None:
            self._failing = now

    def refused(self, now: float, wait: float) -> bool:
        """Note that the exchange takes no requests for a while; return whether that is news."""
        is_news = now >= self.pauses_until
        self.pauses_until = max(self.pauses_until, now + wait)
        if self._refused is None:
            self._refused = now
        self._moved = max(self._moved, min(now + wait, self._refused + _ONE_WINDOW))
        return is_news

    def until(self, fill: FillProgress) -> float:
        """Return the moment at which an outage is given up, monotonic seconds."""
        since = [max(fill.seen, self._moved)]
        if self._failing is not None:
            since.append(max(fill.seen, self._failing))
        if fill.failing is not None:
            since.append(fill.failing)
        return min(since) + self._timeout
