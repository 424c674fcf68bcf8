"""Until when an outage is tried to be filled."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FillProgress", "Patience"]

# Where the quota is used up, the past is not given up before the next window can have brought it.
_ONE_WINDOW = 31.0


@dataclass(slots=True)
class FillProgress:
    """How far the filling of an outage is; times are monotonic seconds.

    One thread at a time works on it.
    """

    seen: float
    failing: float | None = None  # since when
    not_before: float = 0.0
    pause: float = 0.0  # between two questions about a silence
    last_sequence: int | None = None  # when it was asked about last


class Patience:
    """Until when the past of a market is asked for: as long as something comes, and a while more.

    Several threads tell it at once; each value is a moment of theirs, whichever was last.

    Parameters
    ----------
    timeout
        The seconds of that while.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._moved = 0.0  # when something came last
        self._failing: float | None = None  # since when no past came, though asked for
        self._refused: float | None = None  # since when there is no quota
        self.pauses_until = 0.0  # as the exchange takes no requests

    def answered(self, now: float, *, is_past: bool = False) -> None:
        """Note that something came."""
        self._moved = max(self._moved, now)
        self._refused = None
        if is_past:
            self._failing = None

    def failed(self, now: float) -> None:
        """Note that a page of the past did not come."""
        if self._failing is None:
            self._failing = now

    def refused(self, now: float, wait: float) -> bool:
        """Note that the exchange takes nothing for so many seconds; tells whether that is news."""
        is_news = now >= self.pauses_until
        self.pauses_until = max(self.pauses_until, now + wait)
        if self._refused is None:
            self._refused = now
        self._moved = max(self._moved, min(now + wait, self._refused + _ONE_WINDOW))
        return is_news

    def until(self, fill: FillProgress) -> float:
        """Give the moment at which that is given up."""
        since = [max(fill.seen, self._moved)]
        if self._failing is not None:
            since.append(max(fill.seen, self._failing))
        if fill.failing is not None:
            since.append(fill.failing)
        return min(since) + self._timeout
