"""A timeline as something that is played: the next row's time, and the rows up to another."""

from __future__ import annotations

from bisect import bisect_right

from kucoin_research.model.records import Record, local_timestamp_of
from kucoin_research.playback.timeline import Timeline

__all__ = ["Cursor"]


class Cursor:
    """Gives a timeline's rows in order, once. Not thread-safe.

    Parameters
    ----------
    timeline
        Read from its beginning; a batch of it is held.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._batches = timeline.batches()
        self._batch: list[Record] = []
        self._at = 0

    def peek(self) -> int | None:
        """Tell when the next row arrived, ns UTC; None at the end.

        Raises
        ------
        SessionBroken
            If it cannot be read.
        """
        while self._at == len(self._batch):
            batch = next(self._batches, None)
            if batch is None:
                return None
            self._batch, self._at = batch, 0
        return local_timestamp_of(self._batch[self._at])

    def take(self, until_ns: int | None, most: int) -> list[Record]:
        """Give the next rows: those up to a time (ns UTC, all if None), but not more than so many.

        There may be further ones; ``peek`` first.
        """
        start, stop = self._at, min(self._at + most, len(self._batch))
        if until_ns is not None:
            stop = bisect_right(self._batch, until_ns, start, stop, key=local_timestamp_of)
        self._at = stop
        return self._batch[start:stop]

    def back(self, rows: int) -> None:
        """Put so many of the rows just taken back."""
        self._at -= rows
