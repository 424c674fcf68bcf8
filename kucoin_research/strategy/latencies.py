"""How long orders take to the exchange, and reports back."""

from __future__ import annotations

from collections import deque
from random import Random

from kucoin_research.model.records import Record, Status, timestamp_of

__all__ = ["Latencies"]

#: Lags of the newest records that ``latency="recorded"`` draws from.
_LAGS = 1_000


class Latencies:
    """Gives the times at which orders arrive and reports are heard. Not thread-safe.

    Parameters
    ----------
    fixed
        Entry and response latency in ns; None to draw them from the lags of the records.
    seed
        Of the drawing.
    """

    def __init__(self, fixed: tuple[int, int] | None, seed: int) -> None:
        self._fixed = fixed
        self._random = Random(seed)  # noqa: S311 - no secret is made of it
        self._lags: deque[int] = deque(maxlen=_LAGS)
        self._arrived = 0
        self._reported = self._heard = 0

    @property
    def are_drawn(self) -> bool:
        """Whether the lags of the records are needed."""
        return self._fixed is None

    def note(self, record: Record, now: int) -> None:
        """Note the lag of a record that arrives."""
        sent = timestamp_of(record)
        if sent is not None and record.__class__ is not Status:
            self._lags.append(max(0, now - sent))

    def arrival(self, now: int) -> int:
        """Return when a request that is sent now arrives.

        It overtakes no earlier one, as on one connection.
        """
        entry = self._drawn() if self._fixed is None else self._fixed[0]
        self._arrived = max(self._arrived, now + entry)
        return self._arrived

    def hearing(self, when: int) -> int:
        """Return when a report of something that happens at a time is heard.

        Reports of one time are heard at one time: a fill with the position that it made.
        """
        if self._fixed is not None:
            due = when + self._fixed[1]
        else:
            due = self._heard if when == self._reported else when + self._drawn()
        self._reported, self._heard = when, max(self._heard, due)
        return self._heard

    def _drawn(self) -> int:
        return self._random.choice(self._lags) if self._lags else 0
