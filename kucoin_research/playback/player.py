"""The thread of a replay: it reads rows when they are due and calls functions with them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from kucoin_research.model.records import Record, Status
from kucoin_research.sessions.recorder import Recorder

__all__ = ["Note", "PatientRecording", "Play", "Seek"]

# Waits are cut into slices: an interrupt gets through on every platform.
_SLICE = 0.05
# So long the functions are called before the buttons are looked at again.
_TURN_NS = 10_000_000
_FIRST_TURN_ROWS = 64
_DETACH_TIMEOUT = 5.0


class Play(NamedTuple):
    """Rows are due: up to a time (ns UTC; None: any), and not more than so many."""

    until_ns: int | None
    most: int


class Seek(NamedTuple):
    """Go to a time, ns UTC."""

    to_ns: int
    ticket: int


class Note(NamedTuple):
    """Put a status row of the replay's own into the flow."""

    row: Status


class PatientRecording:
    """Gives a recorder rows when it has room for them, so that it drops none."""

    def __init__(self, recorder: Recorder, stopping: threading.Event) -> None:
        self._recorder = recorder
        self._stopping = stopping

    def take(self, rows: Sequence[Record]) -> None:
        recorder = self._recorder
        while rows and not recorder.is_closed:
            room = recorder.room
            is_worth_it = room >= len(rows) or not recorder.waiting
            if is_worth_it or self._stopping.is_set():
                part = rows[:room] if is_worth_it else rows
                recorder.take(part)
                rows = rows[len(part) :]
            else:
                self._stopping.wait(0.01)
