"""The replay bar: its texts, and the actions of its buttons."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from kucoin_research.dashboards.formatting import duration, moment
from kucoin_research.errors import InvalidInput, UnknownChannel, shown
from kucoin_research.figures.gaps import gaps_of
from kucoin_research.figures.session_breaks import breaks_of
from kucoin_research.figures.time_axis import Zone
from kucoin_research.foundation import arguments
from kucoin_research.model.source import ReplaySource, Source

__all__ = ["STEPS", "ReplayBar"]

#: The units of ``ReplayBar.step``.
STEPS = ("rows", "trades", "seconds")


class ReplayBar:
    """Drives a replay, and describes its place.

    Parameters
    ----------
    replay
        The replay.
    zone
        Time zone of the labels.
    symbol
        The symbol whose trades a step may go to; left out: those of all symbols.

    Attributes
    ----------
    replay
        The replay.
    """

    def __init__(self, replay: ReplaySource, zone: Zone, symbol: str = "") -> None:
        self.replay = replay
        self._zone = zone
        self._symbol = symbol
        # A session without rows has neither begin nor end.
        self._start, self._end = replay.start_ns or 0, replay.end_ns or 0

    @property
    def session(self) -> Source:
        """The session that is played."""
        return self.replay.session

    @property
    def position_ns(self) -> int:
        """The place that has been reached, ns UTC."""
        position = self.replay.position_ns
        return self._start if position is None else position

    @property
    def _length(self) -> int:
        return max(self._end - self._start, 1)

    def _share(self, time_ns: int) -> float:
        return min(max((time_ns - self._start) / self._length, 0.0), 1.0)

    # -- texts -----------------------------------------------------------------------------------

    def bar(self) -> dict[str, Any]:
        """Return the state, the place between start and end, the time there, and the speed."""
        position = self.position_ns
        return {
            "state": str(self.replay.state),
            # Exact, since the keys of the slider go on from there to the next round time.
            "at": self._share(position),
            "here": moment(position, self._zone)[11:],
            "speed": _speed_text(self.replay.speed),
        }

    def span(self) -> list[str]:
        """Return the labels of both ends; the last one without its date, if that is the same."""
        first, last = (moment(each, self._zone)[:19] for each in (self._start, self._end))
        return [f"{first} {self._zone.name}", last[11:] if first[:10] == last[:10] else last]

    def times(self) -> list[Any]:
        """Return the times of both ends, for the labels that the page makes of those between.

        Returns
        -------
        list[Any]
            Both ends in ms UTC, the time zone's name, and its offset at the start in ms.
        """
        start, end = self._start / 1e6, self._end / 1e6
        offset = float(self._zone.to_axis(np.array([self._start], np.int64))[0]) - start
        return [start, end, self._zone.name, offset]

    def gaps(self) -> list[list[Any]]:
        """Return the marks on the slider: begin and end as shares of the whole, and a text."""
        session = self.replay.session
        try:
            known = gaps_of(session.frame("status"), session.channels)
        except UnknownChannel:  # no status was recorded
            known = []
        found = []
        for gap in [*known, *breaks_of(session)]:
            end = self._end if gap.end is None else gap.end
            words = f"{gap.kind} of {duration((end - gap.begin) / 1e9)}: {gap.what}"
            found.append([round(self._share(gap.begin), 4), round(self._share(end), 4), words])
        return found

    # -- actions ---------------------------------------------------------------------------------

    def do(self, kind: str, message: dict[str, Any]) -> None:
        """Do the action of a button.

        Raises
        ------
        InvalidInput
            If a speed or a place is invalid.
        """
        actions: dict[str, Callable[[], None]] = {
            "play": self.play,
            "pause": self.replay.pause,
            "step": lambda: self.step(message.get("count", 1), message.get("unit", "rows")),
            "rewind": lambda: self.seek(0.0),
            "seek": lambda: self.seek(float(message["at"])),
            "speed": lambda: self.set_speed(str(message["speed"])),
        }
        actions[kind]()

    def play(self) -> None:
        """Go on; at the end, from the beginning."""
        if str(self.replay.state) == "ended":
            self.seek(0.0)
        self.replay.resume()

    def step(self, count: int = 1, unit: str = "rows") -> None:
        """Pause, and go on by a number of rows, trades or seconds.

        Attached functions are called with every row on the way. Where fewer are left, the replay
        goes to its end.

        Parameters
        ----------
        count
            How many.
        unit
            ``"rows"`` of all channels; ``"trades"``: to the next trade of the symbol that is shown,
            or the one ``count`` trades from here; ``"seconds"`` of the recording.

        Raises
        ------
        InvalidInput
            If the unit is none of these, or ``count`` not a number of them.
        UnknownChannel
            If trades are not replayed.
        """
        if unit not in STEPS:
            raise InvalidInput(f"a step goes by {', '.join(STEPS)}, not by {shown(unit)}")
        self.replay.pause()
        if unit == "seconds":
            self.replay.step(seconds=count)
        elif unit == "trades":
            self._step_to_trade(arguments.count(count, "step", "trades"))
        else:
            self.replay.step(count)

    def _step_to_trade(self, count: int) -> None:
        left = count

        def look(trade: Any) -> None:
            nonlocal left
            if self._symbol in ("", trade.symbol):
                left -= 1
            if left <= 0:
                self.replay.pause()  # right behind this trade; it ends the step below

        detach = self.replay.attach(look, "trade")
        try:
            self.replay.step(sys.maxsize)
        finally:
            self.replay.pause()  # also when the step is interrupted
            detach()

    def seek(self, share: float) -> None:
        """Go to a place between start (0) and end (1); a replay that has ended stands there."""
        if not 0 <= share <= 1:
            raise InvalidInput(f"a replay is wound to a place between 0 and 1, not {shown(share)}")
        if str(self.replay.state) == "ended":
            self.replay.pause()  # it would play on from there otherwise
        self.replay.seek(self._start + round(share * self._length))

    def set_speed(self, text: str) -> None:
        """Play at a multiple of real time; ``max``: as fast as possible."""
        self.replay.speed = None if text == "max" else float(text)


def _speed_text(speed: float | None) -> str:
    return "max" if speed is None else f"{speed:g}"
