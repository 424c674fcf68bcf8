"""The queue between a feed and the recorder's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from kucoin_research.model.damage import Loss
from kucoin_research.model.records import Record, Status
from kucoin_research.sessions.writing.loss_log import LossLog
from kucoin_research.sessions.writing.row_groups import STATUS_ROOM, arrival_of, span_of

__all__ = ["RowQueue"]

_DRAINED_ROWS = 65_536  # at a time, so that little is held as text


class RowQueue:
    """Counts the rows that wait to be written, and drops those beyond a bound.

    A row waits from ``put`` until it is written, lost or refused, not only until ``drain``.

    Parameters
    ----------
    bound
        Rows that may wait.
    is_closed
        Whether the recording is over: then no row is taken any more.
    """

    def __init__(self, bound: int, is_closed: Callable[[], bool]) -> None:
        self._bound = bound
        self._is_closed = is_closed
        self._batches: deque[Sequence[Record]] = deque()
        self._lock = threading.Lock()  # guards the batches, _waiting and the dropped rows
        self._waiting = 0
        self._apart = 0  # of the waiting rows: they wait for stuck files and take no room
        self._drops = LossLog()

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def waiting(self) -> int:
        """Rows in memory that are not written yet."""
        return self._waiting

    @property
    def room(self) -> int:
        """Rows that may still be put."""
        return max(0, self._bound - self._waiting + self._apart)

    @property
    def dropped(self) -> int:
        """Rows that found no room."""
        return self._drops.rows

    @property
    def unreported(self) -> int:
        """Rows that found no room and were not reported yet."""
        return self._drops.unreported

    @property
    def is_dropping(self) -> bool:
        """Whether the last rows that were put found no room."""
        return self._drops.is_dropping

    def put(self, rows: Sequence[Record]) -> None:
        """Add rows, of which there is at least one; those without room are dropped."""
        with self._lock:
            room = self._bound - self._waiting + self._apart
            if rows[0].__class__ is Status:
                room += STATUS_ROOM  # so that the recording holds the report of its own troubles
            if self._is_closed():
                room = 0
            if len(rows) > room:
                rows = self._cut(rows, max(0, room))
                if not rows:
                    return
            else:
                self._drops.end_drop()
            self._waiting += len(rows)
            self._batches.append(rows)

    def _cut(self, rows: Sequence[Record], room: int) -> Sequence[Record]:
        lost = rows[room:]
        self._drops.drop(Loss(span_of(lost)[0], arrival_of(lost[-1]), len(lost)))
        return rows[:room]

    def drain(self) -> list[Sequence[Record]]:
        """Take the oldest batches out."""
        batches: list[Sequence[Record]] = []
        rows = 0
        while self._batches and rows < _DRAINED_ROWS:
            batches.append(self._batches.popleft())
            rows += len(batches[-1])
        return batches

    def settle(self, rows: int, apart: int | None = None) -> None:
        """Note that rows no longer wait.

        Parameters
        ----------
        rows
            How many.
        apart
            How many of the others wait for stuck files; unchanged when left out.
        """
        with self._lock:
            self._waiting -= rows
            if apart is not None:
                self._apart = apart

    def take_unreported(self) -> int:
        """Return the rows that found no room since the last call."""
        with self._lock:
            return self._drops.take_unreported()

    def losses(self) -> list[Loss]:
        """List the stretches of rows that found no room."""
        with self._lock:
            return list(self._drops.losses)
