"""The replay bar: its texts, and the actions of its buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kucoin_research.dashboards.formatting import duration, moment
from kucoin_research.errors import InvalidInput, UnknownChannel, shown
from kucoin_research.figures.gaps import gaps_of
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.source import ReplaySource, Source

__all__ = ["ReplayBar"]


class ReplayBar:
    """Drives a replay, and describes its place.

    Parameters
    ----------
    replay
        The replay.
    zone
        Time zone of the labels.

    Attributes
    ----------
    replay
        The replay.
    """

    def __init__(self, replay: ReplaySource, zone: Zone) -> None:
        self.replay = replay
        self._zone = zone
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
            "at": round(self._share(position), 4),
            "here": moment(position, self._zone)[11:],
            "speed": _speed_text(self.replay.speed),
        }

    def span(self) -> list[str]:
        """Return the labels of both ends; the last one without its date, if that is the same."""
        first, last = (moment(each, self._zone)[:19] for each in (self._start, self._end))
        return [f"{first} {self._zone.name}", last[11:] if first[:10] == last[:10] else last]

    def gaps(self) -> list[list[Any]]:
        """Return the marks on the slider: begin and end as shares of the whole, and a text."""
        session = self.replay.session
        try:
            status = session.frame("status")
        except UnknownChannel:  # no status was recorded
            return []
        found = []
        for gap in gaps_of(status, session.channels):
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
            "step": lambda: self.step(int(message.get("count", 1))),
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

    def step(self, count: int = 1) -> None:
        """Pause, and go on by ``count`` records."""
        self.replay.pause()
        self.replay.step(count)

    def seek(self, share: float) -> None:
        """Go to a place between start (0) and end (1)."""
        if not 0 <= share <= 1:
            raise InvalidInput(f"a replay is wound to a place between 0 and 1, not {shown(share)}")
        self.replay.seek(self._start + round(share * self._length))

    def set_speed(self, text: str) -> None:
        """Play at a multiple of real time; ``max``: as fast as possible."""
        self.replay.speed = None if text == "max" else float(text)


def _speed_text(speed: float | None) -> str:
    return "max" if speed is None else f"{speed:g}"
