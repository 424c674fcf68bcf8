"""How fast the clock of a source runs: for what a browser counts on its own between two rows."""

from __future__ import annotations

from typing import NamedTuple

from kucoin_research.model.source import LiveSource, is_replay, is_stream
from kucoin_research.model.status import State

__all__ = ["Pace", "pace_of"]

_RUNNING = (State.LIVE, State.PLAYING)


class Pace(NamedTuple):
    """The pace of a source.

    Attributes
    ----------
    is_live
        Whether rows are coming, as far as is known.
    rate
        Seconds of its clock per second; 0 where only its rows show the time.
    """

    is_live: bool = False
    rate: float = 0.0


def pace_of(source: LiveSource) -> Pace:
    """Return the pace of a stream or a replay at this moment."""
    if str(source.state) not in _RUNNING:
        return Pace()
    if is_replay(source):
        return Pace(is_live=True, rate=source.speed or 0.0)
    if is_stream(source):
        simulation = source.simulation
        return Pace(is_live=True, rate=1.0 if simulation is None else simulation)
    return Pace(is_live=True)
