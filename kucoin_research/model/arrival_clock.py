"""Strictly increasing local timestamps for arriving records."""

from __future__ import annotations

__all__ = ["ArrivalClock"]


class ArrivalClock:
    """Stamps arriving records with strictly increasing times, whatever the machine's clock does.

    One clock serves one stream, so that all rows of the stream have one order. It is not
    thread-safe: the stream's delivery lock covers both the stamping and the delivery of a batch.
    """

    def __init__(self) -> None:
        self._next = 0

    def begin(self, now_ns: int) -> int:
        """Return the stamp of the first record of a batch that arrived at ``now_ns`` (ns UTC).

        The other records of the batch take the integers after it, 1 ns apart.
        """
        return now_ns if now_ns > self._next else self._next

    def end(self, following: int) -> None:
        """End the batch; ``following`` is one above the last stamp that was used."""
        self._next = following
