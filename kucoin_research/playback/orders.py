"""What other threads ask a replay's thread to do."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from kucoin_research.model.records import Status

__all__ = ["Note", "Orders", "Seek"]


class Seek(NamedTuple):
    """Go to a time, ns UTC."""

    to_ns: int
    ticket: int


class Note(NamedTuple):
    """Put a status row of the replay's own among the session's rows."""

    row: Status


class Orders:
    """The notes and the seek that wait for the replay's thread.

    Not thread-safe: the player's lock guards it. A new seek replaces the one that waits, or that
    is being done; whoever waits for the earlier one is content with the later.

    Attributes
    ----------
    seek
        Waits, or is being done; None otherwise.
    """

    def __init__(self) -> None:
        self.seek: Seek | None = None
        self._notes: deque[Status] = deque()
        self._tickets = self._reached = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._notes and self.seek is None

    def next(self) -> Seek | Note | None:
        """Return what to do next; a note is taken out, a seek stays until ``finish``."""
        return Note(self._notes.popleft()) if self._notes else self.seek

    def add_note(self, row: Status) -> None:
        """Ask for a status row of the replay's own."""
        self._notes.append(row)

    def take_notes(self) -> list[Status]:
        """Take out all notes."""
        notes = list(self._notes)
        self._notes.clear()
        return notes

    def add_seek(self, to_ns: int) -> int:
        """Ask for a seek; returns the ticket that ``is_reached`` takes."""
        self._tickets += 1
        self.seek = Seek(to_ns, self._tickets)
        return self._tickets

    def finish(self, seek: Seek) -> bool:
        """Note that a seek was done; returns False if a later one has replaced it."""
        if self.seek is not seek:
            return False
        self.seek = None
        self._reached = seek.ticket
        return True

    def drop_seek(self) -> None:
        """Forget the seek; it is not reached."""
        self.seek = None

    def is_reached(self, ticket: int) -> bool:
        """Whether a seek, or a later one in its place, was done."""
        return self._reached >= ticket
