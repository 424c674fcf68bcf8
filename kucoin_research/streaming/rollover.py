"""Replacing a connection: when a successor is opened, and when it takes over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kucoin_research.errors import (
    KucoinResearchError,
)
from kucoin_research.foundation import clocks
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.link import Link
from kucoin_research.streaming.staleness import Silence

__all__ = ["MANY_MESSAGES", "Successor", "TurnWatch"]

# How often a lane looks for topics that have gone silent.
_LOOK_INTERVAL = 0.05


# A loop that comes this much late was held up itself, and has no say about silence.
_HELD_UP = 0.2


# Two connections bring the same for no longer than about this.
_LONGEST_OVERLAP_NS = 10_000_000_000


# Of two connections one may bring the same this much later than the other.
_SKEW_NS = 250_000_000


# A read that brought fewer messages has most likely emptied the socket.
MANY_MESSAGES = 100


class Successor:
    """A connection on its way to replace another."""

    def __init__(
        self,
        reason: str,
        silences: Sequence[Silence],
        clock: clocks.Clock,
        now_ns: Callable[[], int],
    ) -> None:
        self.reason = reason
        self.silences = tuple(silences)
        self.overlap = Handover()
        self.is_settled = clock.event()  # or has failed
        self.is_wanted = clock.event()  # its thread is to hand it over
        self.is_done = clock.event()  # link or error stand
        self._now_ns = now_ns
        self.link: Link | None = None
        self.error: KucoinResearchError | None = None
        self.drained_ns: int | None = None
        self._settled_ns: int | None = None

    @property
    def settled_ns(self) -> int | None:
        """When it was settled, ns UTC, as far as the lane has noticed."""
        if self._settled_ns is None and self.is_settled.is_set() and self.error is None:
            self._settled_ns = self._now_ns()
        return self._settled_ns

    def may_take_over(self, overlap: float) -> bool:
        """Whether the two have overlapped for so many seconds, and have brought the same.

        What one of them was the first to bring by a moment is awaited: it is no loss of the other.
        """
        settled_ns = self.settled_ns
        if settled_ns is None:
            return False
        # A socket that is never empty cannot prove it, and what is held must not grow for ever.
        now_ns = self._now_ns()
        known_ns = max(self.drained_ns or 0, now_ns - _LONGEST_OVERLAP_NS)
        if known_ns - settled_ns < overlap * 1e9:
            return False
        is_clear = not self.overlap.is_ahead(known_ns - _SKEW_NS)
        return is_clear or known_ns - settled_ns > overlap * 1e9 + _LONGEST_OVERLAP_NS


class TurnWatch:
    """What a lane knows of its own time: whether it is held up."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._next_look = 0.0
        self._turned_at = clock.monotonic()

    def turned(self, slice_: float) -> None:
        """Note that a turn of the loop is over, which should have taken no longer than that."""
        now = self._clock.monotonic()
        late = now - self._turned_at - slice_
        self._turned_at = now
        if late > _HELD_UP:
            # Whatever piled up meanwhile has to be read first.
            self._next_look = now + late

    def may_look(self, now: float, *, is_drained: bool) -> bool:
        """Tell whether silence may be judged now."""
        if now < self._next_look or not is_drained:
            return False
        self._next_look = now + _LOOK_INTERVAL
        return True
