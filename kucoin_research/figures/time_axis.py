"""The time axis: nanoseconds UTC in the data, milliseconds of a wall clock on the axis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from kucoin_research.errors import InvalidInput, shown

__all__ = ["Floats", "Times", "Zone"]

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Zone:
    """A time zone for an axis.

    plotly shows a number on a date axis as UTC. So another zone's offset is added to the times
    sent, and taken off those that come back.

    Parameters
    ----------
    name
        ``"UTC"``, ``"local"`` (of the machine that the kernel runs on) or an IANA name such as
        ``"Europe/Berlin"``.

    Raises
    ------
    InvalidInput
        If there is no such zone.
    """

    def __init__(self, name: str = "UTC") -> None:
        self.name = name
        self._zone = _zone(name)

    @property
    def title(self) -> str:
        """The label of the axis."""
        return f"time ({'local' if self.name == 'local' else self.name})"

    def to_axis(self, times: Times) -> Floats:
        """Convert ns UTC to milliseconds on the axis, with a resolution of 0.2 µs."""
        if self._zone is UTC or not times.size:
            return np.asarray(times / 1e6)
        first, last = self._offset_ms(int(times.min())), self._offset_ms(int(times.max()))
        if first == last:
            return np.asarray(times / 1e6 + first)
        # A change to or from summer time lies between them.
        offsets: Floats = np.array([self._offset_ms(int(each)) for each in times])
        return np.add(times / 1e6, offsets)

    def to_ns(self, axis_ms: float) -> int:
        """Convert milliseconds on the axis back to ns UTC."""
        guess = round(axis_ms * 1e6)
        return guess - round(self._offset_ms(guess - round(self._offset_ms(guess) * 1e6)) * 1e6)

    def written(self, time_ns: int, *, has_date: bool = False, has_ms: bool = False) -> str:
        """Write a time as the clocks of the zone show it, such as ``12:03:17``."""
        shown = _EPOCH + timedelta(milliseconds=float(self.to_axis(np.array([time_ns]))[0]))
        date = f"{shown:%Y-%m-%d} " if has_date else ""
        return f"{date}{shown:%H:%M:%S}" + (f".{shown.microsecond // 1_000:03}" if has_ms else "")

    def _offset_ms(self, time_ns: int) -> float:
        moment = _EPOCH + timedelta(seconds=time_ns // 1_000_000_000)
        offset = moment.astimezone(self._zone).utcoffset()
        assert offset is not None, "an aware time has an offset"
        return offset.total_seconds() * 1e3


def _zone(name: object) -> tzinfo | None:
    if not isinstance(name, str):
        raise InvalidInput(
            f"tz={shown(name)} is no time zone; give 'UTC', 'local' or a name like 'Europe/Berlin'"
        )
    if name == "UTC":
        return UTC
    if name == "local":
        return None  # astimezone(None) takes the machine's own zone
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError):
        raise InvalidInput(
            f"tz={shown(name)} is no time zone; give 'UTC', 'local' or a name like 'Europe/Berlin'"
        ) from None
