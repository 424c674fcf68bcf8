"""An alert that a user has set, and the moments at which it fired."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from kucoin_research.dashboards.alert_conditions import Condition, number
from kucoin_research.foundation.callbacks import Failure
from kucoin_research.model.units import datetime_of

__all__ = ["Alert", "Firing"]

_KEPT = 1_000  # moments


class Firing(NamedTuple):
    """A moment at which the condition of an alert began to hold.

    Attributes
    ----------
    time_ns
        Of the row, ns UTC.
    symbol
        The symbol.
    condition
        The condition in words.
    value
        The value that it concerns; NaN where there is none, as with a gap or an expression.
    detail
        More about it, such as the cause of a gap.
    """

    time_ns: int
    symbol: str
    condition: str
    value: float
    detail: str = ""

    @property
    def time(self) -> datetime:
        """The time in UTC."""
        return datetime_of(self.time_ns)

    def __str__(self) -> str:
        value = "" if math.isnan(self.value) else number(self.value)
        about = " ".join(filter(None, (value, self.detail)))
        return f"{self.symbol} {self.condition}" + (f": {about}" if about else "")


class Alert:
    """Fires when its condition begins to hold; ``Dashboard.alert`` makes it.

    Attributes
    ----------
    condition, symbol
        What it waits for.
    is_once
        Whether it ends with its first moment.
    rest_s
        Seconds in which it does not fire again.
    fired
        The newest moments at which it fired, up to 1,000, the newest last.
    count
        How often it fired.
    muted
        How often the condition began to hold within ``rest_s``.
    uncalled
        How many moments its function was not called with, as it was busy with 1,000 before.
    failure
        The error of its function, which is called no more; None if there is none.
    error
        Why the condition cannot be computed, which ended it; None if it can.

    Notes
    -----
    May be read, and removed, from any thread.
    """

    def __init__(
        self,
        condition: Condition,
        symbol: str,
        call: Callable[[Firing], object] | None,
        *,
        is_once: bool,
        rest_s: float,
        remove: Callable[[Alert], object],
    ) -> None:
        self.rule = condition
        self.condition, self.symbol = condition.text, symbol
        self.call, self.is_once, self.rest_s = call, is_once, rest_s
        self.fired: deque[Firing] = deque(maxlen=_KEPT)
        self.count = self.muted = self.uncalled = 0
        self.failure: Failure | None = None
        self.error: str | None = None
        self.is_of_page = False  # a page has set it
        self.lack = "waiting"  # what it waits for, besides its condition
        self._remove = remove
        self._last_ns: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether it cannot fire any more."""
        return self.error is not None or (self.is_once and self.count > 0)

    @property
    def state(self) -> str:
        """What it does, in words."""
        if self.error is not None:
            return f"ended: {self.error}"
        now = "holds now" if self.rule.holds else "waiting"
        words = "done" if self.is_over else self.lack or now
        failed = "" if self.failure is None else f"; {self.failure}, and is called no more"
        slow = f"; its function missed {self.uncalled:,} moments" if self.uncalled else ""
        return f"{words}{failed}{slow}"

    def take(self, firing: Firing) -> bool:
        """Take a moment; returns whether it fires."""
        last, length = self._last_ns, self.rest_s * 1e9
        # A gap is known when it ends, by the time at which it began.
        is_resting = last is not None and abs(firing.time_ns - last) < length
        if self.is_over or is_resting:
            self.muted += 1
            return False
        self.fired.append(firing)
        self._last_ns = firing.time_ns
        self.count += 1
        return True

    def rest_no_more(self) -> None:
        """Fire at the next moment in any case, as a replay has gone back in time."""
        self._last_ns = None

    def remove(self) -> None:
        """Take it away; a second call does nothing."""
        self._remove(self)

    def __repr__(self) -> str:
        muted = f", {self.muted} more muted" if self.muted else ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"<alert {self.symbol} {self.condition}: {self.state}; fired {times}{muted}>"
