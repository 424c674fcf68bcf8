"""Strictly increasing stamps for what arrives."""

from __future__ import annotations

__all__ = ["ArrivalClock"]


class ArrivalClock:
    """Stamps arrivals: strictly increasing, whatever the machine's clock does.

    One clock serves one stream, so that its rows have one order. Not thread-safe: the stream's
    delivery lock covers the stamping of a batch together with its delivery.
    """

    def __init__(self) -> None:
        self._next = 0

    def begin(self, now_ns: int) -> int:
        """Give the stamp of the first record of a batch that arrived at ``now_ns`` (ns UTC).

        The following records of the batch take the following integers, 1 ns apart.
        """
        return now_ns if now_ns > self._next else self._next

    def end(self, following: int) -> None:
        """Close the batch; ``following`` is one past the last stamp used."""
        self._next = following
