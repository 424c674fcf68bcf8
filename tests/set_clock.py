"""Clocks that a test sets by hand: one for streams, one for exchanges."""

from kucoin_research.foundation.clocks import Clock
from kucoin_research.sim.engine.machine import Machine


class SetClock(Clock):
    """Stands at ``seconds`` until a test moves it; at 0 s its wall clock is at ``wall_ns``."""

    def __init__(self, seconds=0.0, wall_ns=0):
        self.seconds = seconds
        self._origin_ns = wall_ns
        super().__init__()

    def monotonic(self):
        return self.seconds

    def monotonic_ns(self):
        return round(self.seconds * 1e9)

    def wall_ns(self):
        return self._origin_ns + self.monotonic_ns()


class SetMachine(Machine):
    """A machine whose monotonic clock stands at ``ns`` until a test moves it.

    Its wall clock is at ``wall_ns`` when the other one is at 0.
    """

    def __init__(self, wall_ns=0):
        self.ns = 0
        self._origin_ns = wall_ns

    def monotonic_ns(self):
        return self.ns

    def wall_ns(self):
        return self._origin_ns + self.ns
