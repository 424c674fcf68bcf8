"""Where a replay stands in the recording's time, and how it moves on: decisions without threads."""

from __future__ import annotations

from typing import NamedTuple

from kucoin_research.playback.replay_clock import ReplaySpeed

__all__ = ["Play", "Playhead", "Wait"]


class Play(NamedTuple):
    """Play the rows up to a time (ns UTC; None: any time), but no more than a number of them."""

    until_ns: int | None
    most: int


class Wait(NamedTuple):
    """Wait this long; None: until something is asked."""

    seconds: float | None


class Playhead:
    """Decides when rows are due: it knows the position, the speed, the pause and the steps left.

    Not thread-safe: the player's lock guards it. Times come in as arguments: ``now_ns`` is the
    replay clock's, ``next_ns`` the arrival of the next row (None without one).

    Parameters
    ----------
    speed
        Seconds of the recording per second; None: everything is due at once.
    start_ns
        Arrival of the first row, ns UTC; None without rows.
    is_paused
        Whether it waits for ``resume``, ``step`` or ``go_to``.

    Attributes
    ----------
    at_ns
        Arrival of the newest row given, or the time that was sought.
    """

    def __init__(self, speed: float | None, start_ns: int | None, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        self.at_ns = start_ns
        self._paused_ns = start_ns  # may be later than at_ns: time goes on between two rows
        self._steps = 0
        self._step_end_ns: int | None = None  # rows up to this time are due at once
        self._speed = ReplaySpeed(speed)

    @property
    def speed(self) -> float | None:
        """Seconds of the recording per second."""
        return self._speed.speed

    @property
    def is_stepping(self) -> bool:
        """Whether rows of ``step`` or ``step_to`` are still to be given."""
        return self._steps > 0 or self._step_end_ns is not None

    def position(self, now_ns: int, next_ns: int | None) -> int | None:
        """Return the position, ns UTC: between two rows it goes on as time does."""
        if self.at_ns is None:
            return None
        if self.is_paused:
            return max(self.at_ns, self._paused_ns or self.at_ns)
        moved_ns = self._speed.at(now_ns)
        if moved_ns is None or next_ns is None:
            return self.at_ns
        return max(self.at_ns, min(moved_ns, next_ns))

    def next_move(self, now_ns: int, next_ns: int, most: int) -> Play | Wait:
        """Decide whether rows are due now (up to ``most``), or how long to wait for the next."""
        if self._steps:
            return Play(None, min(self._steps, most))
        if self._step_end_ns is not None:
            if next_ns <= self._step_end_ns:
                return Play(self._step_end_ns, most)
            self._paused_ns, self._step_end_ns = self._step_end_ns, None
        if self.is_paused:
            return Wait(None)
        due_ns = self._speed.due_ns(now_ns, next_ns)
        if due_ns is None or due_ns >= next_ns:
            return Play(due_ns, most)
        return Wait(self._speed.seconds_until(next_ns, due_ns))

    def change_speed(self, speed: float | None, now_ns: int, next_ns: int | None) -> None:
        """Go on from the present position at another speed."""
        here_ns = self.position(now_ns, next_ns)
        self._speed = ReplaySpeed(speed)
        if here_ns is not None:
            self._speed.anchor(now_ns, here_ns)

    def pause(self, now_ns: int, next_ns: int | None) -> None:
        """Stand still at the present position."""
        if not self.is_paused:
            self._paused_ns = self.position(now_ns, next_ns)
        self.is_paused = True
        self.drop_steps()

    def resume(self, now_ns: int, next_ns: int | None) -> None:
        """Go on from the present position."""
        here_ns = self.position(now_ns, next_ns)
        if self.is_paused and here_ns is not None:
            self._speed.anchor(now_ns, here_ns)
        self.is_paused = False

    def step(self, rows: int) -> None:
        """Make this many rows due at once; it must be paused."""
        self._steps = rows
        self._paused_ns = self.at_ns

    def step_to(self, to_ns: int) -> None:
        """Make the rows up to a time due at once, and stand still there; it must be paused."""
        self._step_end_ns = to_ns

    def drop_steps(self) -> None:
        """Forget the rows left of ``step`` and ``step_to``."""
        self._steps, self._step_end_ns = 0, None

    def pass_rows(self, local_ns: int, rows: int) -> None:
        """Move to a row's arrival; ``rows`` of the session were given on the way."""
        self.at_ns = local_ns
        if self._steps:
            self._steps = max(0, self._steps - rows)

    def go_to(self, now_ns: int, to_ns: int) -> None:
        """Move to the time that was sought; from there time goes on."""
        self.at_ns = self._paused_ns = to_ns
        self._speed.anchor(now_ns, to_ns)

    def stop_at(self, local_ns: int) -> None:
        """Move to the newest row that was read before a seek was given up."""
        self.at_ns = self._paused_ns = local_ns
