"""A turn of a replay: the rows that functions are being called with, and how far that has come."""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint

from kucoin_research.model.records import Record

__all__ = ["Turn"]


class Turn:
    """Rows that are given to functions one by one, and then kept.

    For the replay's thread alone. A function that is called may read the replay or press a button:
    then the rows up to its own are kept, and those behind are cut off, while the turn goes on.

    Parameters
    ----------
    rows
        In order; ``cut`` shortens this list.
    is_own
        Whether they are the replay's own, and not the session's.
    """

    def __init__(self, rows: list[Record], *, is_own: bool) -> None:
        self.rows = rows
        self.is_own = is_own
        self._coming: Iterator[Record] = iter(())  # without functions, all rows count as given
        self._kept = 0

    def begin(self) -> Iterator[Record]:
        """Return the rows to call functions with; those drawn from it count as given."""
        self._coming = iter(self.rows)
        return self._coming

    @property
    def given(self) -> int:
        """How many rows functions were called with, the present one included."""
        # The hint of a list's iterator is exact, and costs the loop over the rows nothing.
        return len(self.rows) - length_hint(self._coming)

    def keep(self, stop: int) -> list[Record]:
        """Return the rows before ``stop`` that were not kept yet; they count as kept from now."""
        rows = self.rows[self._kept : stop]
        if rows:
            self._kept = stop
        return rows

    def cut(self) -> list[Record]:
        """End the turn behind the row that was given last; returns the rows cut off."""
        given = self.given
        rest = self.rows[given:]
        del self.rows[given:]  # this ends the iterator, too
        return rest
