"""The rows that a seek passes over, while functions that follow seeks are called with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kucoin_research.model.records import Record, local_timestamp_of
from kucoin_research.playback.replay_state import ReplayState
from kucoin_research.playback.turn import Turn
from kucoin_research.sessions.timeline import Cursor

__all__ = ["Passage"]


class Passage:
    """A batch of rows on the way to the place that is sought.

    For the replay's thread alone. A function that is called reads the replay as it stood at its
    record: not as it was before the seek, and without the rows behind.

    Parameters
    ----------
    state
        Keeps the rows.
    cursor
        Where they were taken from.
    rows
        In order, at least one; ``cut`` shortens this list.
    """

    def __init__(self, state: ReplayState, cursor: Cursor, rows: list[Record]) -> None:
        self.state = state
        self._cursor = cursor
        self._rows = rows
        self._passed = 0  # by calls before the present turn
        self._turn = Turn([], is_own=False)

    @property
    def _reached(self) -> int:
        return self._passed + self._turn.given

    @property
    def is_left(self) -> bool:
        """Whether there are rows that no function was called with."""
        return self._reached < len(self._rows)

    @property
    def given(self) -> Sequence[Record]:
        """The rows that functions were called with, the present one included."""
        return self._rows[: self._reached]

    @property
    def at_ns(self) -> int:
        """Arrival of the newest of these, ns UTC."""
        return local_timestamp_of(self._rows[max(self._reached, 1) - 1])

    def begin(self) -> Iterator[Record]:
        """Return the rows left to call functions with; those drawn from it count as given."""
        self.keep()
        self._passed = self._reached
        self._turn = Turn(self._rows[self._passed :], is_own=False)
        return self._turn.begin()

    def keep(self) -> None:
        """Keep the rows up to the one that functions were given last."""
        rows = self._turn.keep(self._turn.given)
        if rows:
            self.state.take(rows)

    def cut(self) -> None:
        """End it behind that row; those behind are read again."""
        rest = self._turn.cut()
        if rest:
            del self._rows[-len(rest) :]
            self._cursor.back(len(rest))

    def finish(self) -> int:
        """Keep all rows; returns the arrival of the last one, ns UTC."""
        self.keep()
        rows = self._rows[self._reached :]
        if rows:
            self.state.take(rows)
        return local_timestamp_of(self._rows[-1])
