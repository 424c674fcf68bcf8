"""The simulated exchange's own time.

Virtual time begins at a chosen moment and stands still until it is started, or it begins at the
machine's present and runs at once. It runs at ``speed`` times wall time, in slices of 10 ms on the
absolute grid, so that depth frames, candles and marks happen at exact virtual times.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from kucoin_research.errors import InvalidInput, column_hint, shown
from kucoin_research.sim.engine.machine import Machine

__all__ = [
    "SLICE_NS",
    "Start",
    "VirtualClock",
    "clock_from",
    "is_number",
    "named",
    "parse_start",
]

SLICE_NS = 10_000_000

# The wall clock is this far ahead after a sleep: less is a correction of the wall clock.
_ASLEEP_NS = 2_000_000_000
_DAY_NS = 86_400_000_000_000

# The exchange may be this far behind the wall before `slip` writes the lag off, in wall ns.
_PATIENCE_NS = 100_000_000


#: The forms in which a user may write the start of virtual time.
Start: TypeAlias = str | int | date | np.datetime64 | None


def parse_start(start: Start) -> int:
    """Turn a start instant into integer ns UTC.

    Parameters
    ----------
    start
        ISO 8601 text, a date, a datetime (a naive one is taken as UTC), a numpy ``datetime64``, or
        integer ns.

    Returns
    -------
    int
        Unix time in ns.

    Raises
    ------
    InvalidInput
        If the text is not a time, or the number cannot be ns.
    """
    # numpy converts its units in 64 bits and wraps silently; its text is right.
    when = _of_text(start) if isinstance(start, str | np.datetime64) else start
    if isinstance(when, date) and when == when:  # false for pandas' NaT
        return _of_calendar(when, start)
    if isinstance(when, bool | np.timedelta64) or not isinstance(when, int | np.integer):
        raise _no_start(start)
    if when >= 2**63:
        raise InvalidInput(f"start {shown(start)} lies beyond the year 2262, where ns end")
    if when < _LEAST_NS:
        raise InvalidInput(f"start {shown(start)} is not in ns; multiply seconds by 10**9")
    return int(when)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_NS = 10**17  # in 1973: a smaller number is in another unit


def _of_text(start: str | np.datetime64) -> datetime:
    try:
        return datetime.fromisoformat(str(start))
    except ValueError as error:
        raise _no_start(start) from error


def _of_calendar(when: date, start: object) -> int:
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    if hasattr(when, "to_pydatetime"):  # a pandas Timestamp, whose arithmetic overflows at 64 bits
        when = when.to_pydatetime(warn=False)
    ns = (when - _EPOCH) // timedelta(microseconds=1) * 1_000
    if not _LEAST_NS <= ns < 2**63:
        raise InvalidInput(f"start {shown(start)} lies outside of the years 1974 to 2261")
    return ns


def _no_start(start: object) -> InvalidInput:
    return InvalidInput(
        f"no start time {shown(start)}; give ISO 8601 text, a datetime or integer ns, "
        "or leave it out for the present"
    )


def is_number(value: object) -> bool:
    """Return whether a value is a number; booleans and numpy's time spans are not."""
    if isinstance(value, int) and value.bit_length() > 1_000:
        return False  # too large for a float
    return isinstance(value, Real) and not isinstance(value, bool | np.timedelta64)


def named(symbols: object) -> list[Any]:
    """Return one symbol or several as a list; an empty one for None.

    Raises
    ------
    InvalidInput
        If it is neither a string nor strings. Whether a symbol exists is not checked.
    """
    if symbols is None:
        return []
    listed = [symbols] if isinstance(symbols, str) else symbols
    hint = column_hint(symbols, "symbol")
    if hint or not isinstance(listed, Iterable):
        raise InvalidInput(
            f"symbols must be a string or a list of strings, not {shown(symbols)}{hint}"
        )
    found = list(listed)
    wrong = [each for each in found if not isinstance(each, str)]
    if wrong:
        raise InvalidInput(f"symbols must be strings, and {shown(wrong[0])} is none")
    return found


def clock_from(start: Start, speed: float, machine: Machine | None = None) -> VirtualClock:
    """Make the clock of an exchange.

    Parameters
    ----------
    start
        A time that `parse_start` reads: the clock stands there until it is started. With None or
        ``"now"`` it begins at the machine's present and runs already.
    speed
        Virtual seconds per wall second, above zero.
    machine
        Where wall time comes from; the real one when left out.

    Raises
    ------
    InvalidInput
        If the start or the speed is invalid.
    """
    machine = Machine() if machine is None else machine
    is_present = start is None or (isinstance(start, str) and start == "now")
    start_ns = machine.wall_ns() if is_present else parse_start(start)
    clock = VirtualClock(
        start_ns // SLICE_NS * SLICE_NS,
        speed,
        machine=machine,
        is_of_now=is_present,
    )
    if is_present:
        clock.start()
    return clock


class VirtualClock:
    """Virtual time, anchored to a monotonic clock.

    The exchange reads ``target_ns``, works up to that time, and reports it with ``reach``. If the
    machine is too slow, ``slip`` writes the difference off: virtual time falls behind the wall,
    and nothing is skipped. A clock that keeps up makes the difference good instead, as soon as the
    machine is fast enough again.

    Parameters
    ----------
    start_ns
        Virtual time at the start, ns UTC.
    speed
        Virtual seconds per wall second, above zero.
    machine
        Where wall time comes from; the real one when left out.
    is_of_now
        Whether virtual time begins at the machine's present. At speed 1 it stays so: nothing is
        written off, and the hours that the machine has slept are made good.

    Attributes
    ----------
    reached_ns
        Virtual time up to which all work is done.
    slipped_ns
        Virtual time written off so far, because the machine or a reader was too slow.
    slips
        Number of times that virtual time was written off.
    is_of_now
        Whether it began at the machine's present.
    keeps_up
        Whether virtual time stays the machine's present; after a `stop` it does not.
    """

    def __init__(
        self,
        start_ns: int,
        speed: float = 1.0,
        *,
        machine: Machine | None = None,
        is_of_now: bool = False,
    ) -> None:
        if not is_number(speed) or not 0 < speed < float("inf"):
            raise InvalidInput(
                f"speed must be a number above 0, such as 1 or 60, not {shown(speed)}"
            )
        self.start_ns = start_ns
        self.speed = float(speed)
        self.reached_ns = start_ns
        self.slipped_ns = 0
        self.slips = 0
        self.machine = Machine() if machine is None else machine
        self.is_of_now = is_of_now
        self.keeps_up = is_of_now and self.speed == 1
        self._made_ns = self.machine.monotonic_ns()
        self._anchor_ns: int | None = None  # wall time at which virtual time was `_origin_ns`
        self._origin_ns = start_ns

    @property
    def is_running(self) -> bool:
        """Whether virtual time passes."""
        return self._anchor_ns is not None

    @property
    def target_ns(self) -> int:
        """Virtual time at which the exchange should be now, ns UTC."""
        anchor = self._anchor_ns
        if anchor is None:
            return self._origin_ns
        return self._origin_ns + int((self.machine.monotonic_ns() - anchor) * self.speed)

    @property
    def now_ns(self) -> int:
        """Virtual time, ns UTC: never goes back, and is at most one slice ahead of `reached_ns`."""
        return max(self.reached_ns, min(self.target_ns, self.reached_ns + SLICE_NS - 1))

    @property
    def unhurried_ns(self) -> int:
        """The time of a clock that began with this one and went at the wall's pace, ns UTC.

        A client that has once measured how far the exchange's clock is from its own signs by it.
        """
        return self.start_ns + self.machine.monotonic_ns() - self._made_ns

    @property
    def lag(self) -> float:
        """Virtual seconds by which the exchange is behind its target."""
        return max(0, self.target_ns - self.reached_ns) / 1e9

    def start(self) -> None:
        """Let virtual time run on from where it stands."""
        if self._anchor_ns is None:
            self._anchor_ns = self.machine.monotonic_ns()

    def stop(self) -> None:
        """Stop virtual time where it is."""
        self._origin_ns = self.now_ns
        self._anchor_ns = None
        self.keeps_up = False

    def wake(self) -> None:
        """Make good the time that the machine has slept, in which monotonic clocks stand still.

        A wall clock that is a day or more ahead has been set by hand: that is left alone.
        """
        if self.keeps_up:
            ahead_ns = self.machine.wall_ns() - self.target_ns
            if _ASLEEP_NS < ahead_ns < _DAY_NS:
                self._origin_ns += ahead_ns
                self._made_ns -= ahead_ns

    def reach(self, time_ns: int) -> None:
        """Note that all work up to `time_ns` is done."""
        self.reached_ns = time_ns

    def slip(self, *, tolerance_ns: int = _PATIENCE_NS) -> None:
        """Write off the distance to the target if it exceeds `tolerance_ns` of wall time."""
        behind = self.target_ns - self.reached_ns - SLICE_NS
        if self.keeps_up or self._anchor_ns is None or behind <= tolerance_ns * self.speed:
            return
        self.slips += 1
        self.slipped_ns += behind
        # `now_ns` can have shown one slice past `reached_ns`; going back further would show time
        # running backwards.
        self._origin_ns = self.reached_ns + SLICE_NS
        self._anchor_ns = self.machine.monotonic_ns()
