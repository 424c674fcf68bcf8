"""The vitals of a dashboard's source: a stream, a replay, or an idle one."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kucoin_research.dashboards.formatting import moment
from kucoin_research.dashboards.health import Vitals
from kucoin_research.dashboards.kernel_busy import KernelBusy
from kucoin_research.errors import BookNotReady
from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.gaps import UNWANTED
from kucoin_research.figures.known_gaps import KnownGaps
from kucoin_research.figures.time_axis import Floats, Zone
from kucoin_research.foundation import clocks
from kucoin_research.model.source import LiveSource, is_replay, is_stream
from kucoin_research.sessions.writing.recorder import Recorder

__all__ = ["VitalsMonitor", "histogram", "trouble_of"]

_RECENT = 60.0
_LAG_ROWS = 5_000
_EVENTS = 80
_LINE, _TRACE = 200, 4_000  # most characters of an error, in the badge and in the drawer
_TIMELESS = ("candle", "status")
# Edges of the latency histogram, ms.
_EDGES = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000], float)


class _Sample(NamedTuple):
    now: float
    broken: int
    dropped: int


class VitalsMonitor:
    """Measures one source, for the badge and its drawer.

    Parameters
    ----------
    source
        A stream, a replay, or an idle one.
    symbol
        The symbol whose book is checked.
    kernel
        Measures how busy the kernel is.

    Notes
    -----
    Not thread-safe: the refresh thread calls it.
    """

    def __init__(self, source: LiveSource, symbol: str, kernel: KernelBusy) -> None:
        self.source = source
        self._stream = source if is_stream(source) else None
        self._replay = source if is_replay(source) else None
        self._symbol = symbol
        self._kernel = kernel
        self._samples: deque[_Sample] = deque()
        self._state = ""
        self._state_at = 0.0
        self._channels = source.channels
        self._gaps = KnownGaps(source, self._channels, symbol)
        self._timed = [c for c in self._channels if c.partition(":")[0] not in _TIMELESS]

    def look(
        self, now: float, *, recorder: Recorder | None = None, refresh_error: str | None = None
    ) -> Vitals:
        """Take the vitals at a monotonic time; costs a few milliseconds."""
        status = self.source.status
        busy, was_busy = self._kernel.busy(now), self._kernel.was_busy(now)
        if status is None:
            return Vitals(refresh_error=refresh_error, busy=busy, was_busy=was_busy)
        state = self._note_state(now)
        broken, dropped = self._recent(now, status.broken, status.dropped)
        is_on = recorder is not None and not recorder.is_closed
        return Vitals(
            state=state,
            since=now - self._state_at,
            messages_per_second=float(status.messages_per_second),
            lag_p50_ms=status.lag_p50_ms,
            lag_p95_ms=status.lag_p95_ms,
            age=self._age() if state == "live" and self._streams() else None,
            usual=self._usual(status.rows),
            gaps=status.gaps,
            recent_gaps=len(self._recent_of("gap")),
            silent=next(iter(self._recent_of("silent")[-1:]), None),
            reconnects=status.reconnects,
            rows=self._rows_kept(status.rows),
            recorded=recorder.bytes if recorder is not None and is_on else None,
            recorder_error=trouble_of(recorder) if recorder is not None else None,
            recorder_lost=recorder.dropped + recorder.refused if recorder is not None else 0,
            disk_free=recorder.free if recorder is not None and is_on else None,
            error=_text(status.error),
            recent_broken=broken,
            recent_dropped=dropped,
            refresh_error=refresh_error,
            busy=busy,
            was_busy=was_busy,
            book=self._book(),
            failed=tuple(_line(str(each)) for each in self.source.failures),
        )

    def _streams(self, channel: str | None = None) -> bool:
        """Whether anything is streamed now, or that channel of the symbol."""
        if self._stream is None:
            return True
        return any(
            channel is None or (each.channel.name == channel and each.symbol == self._symbol)
            for each in self._stream.subscriptions
        )

    def _rows_kept(self, rows: dict[str, int]) -> int:
        return sum(rows.values()) if self._stream is None else self._stream.rows_kept

    def _note_state(self, now: float) -> str:
        state = str(self.source.state)
        if state != self._state:
            self._state, self._state_at = state, now
        return state

    def _recent(self, now: float, broken: int, dropped: int) -> tuple[int, int]:
        self._samples.append(_Sample(now, broken, dropped))
        while self._samples[0].now < now - _RECENT:
            self._samples.popleft()
        first = self._samples[0]
        return broken - first.broken, dropped - first.dropped

    def _age(self) -> float | None:
        newest = [
            int(nanoseconds(rows["local_timestamp"])[0])
            for channel in self._timed
            if (rows := self.source.frame(channel, last=1)).height
        ]
        return max(0.0, (self._arrival_ns() - max(newest)) / 1e9) if newest else None

    def _usual(self, rows: dict[str, int]) -> float | None:
        counted = sum(count for channel, count in rows.items() if channel not in _TIMELESS)
        if self._stream is None or counted < 10:
            return None
        return (self._arrival_ns() - self._stream.started_ns) / 1e9 / counted

    def _recent_of(self, kind: str) -> list[str]:
        """Describe the gaps of a kind that ended within the last minute."""
        since = self._now_ns() - int(_RECENT * 1e9)
        return [
            gap.what
            for gap in self._gaps.look()
            # What nobody wanted is missing on the charts, but it is no fault.
            if gap.kind == kind and (gap.end or gap.begin) >= since and UNWANTED not in gap.what
        ]

    def _arrival_ns(self) -> int:
        """Read the clock that stamps the rows."""
        return clocks.current().wall_ns() if self._stream is None else self._stream.now_ns()

    def _now_ns(self) -> int:
        # The time of a replay is the place that it has reached.
        position = None if self._replay is None else self._replay.position_ns
        return self._arrival_ns() if position is None else position

    def _book(self) -> str | None:
        is_kept = any(channel.startswith("level2") for channel in self._channels)
        if not is_kept or not self._streams("level2"):
            return None
        try:
            self.source.book(self._symbol or None)
        except BookNotReady as error:
            return str(error)
        return None

    # -- the drawer ------------------------------------------------------------------------------

    def lags(self) -> Floats:
        """Return the newest rows' lag in ms; none where the clocks cannot be compared."""
        if self._stream is None:
            return np.empty(0)
        for channel in self._timed:
            rows = self.source.frame(channel, last=_LAG_ROWS)
            if rows.height:
                found: Floats = self._stream.lags(rows).drop_nulls().to_numpy()
                return found
        return np.empty(0)

    def traces(self, zone: Zone) -> list[list[str]]:
        """List the functions that have raised, the newest first: time, name, traceback."""
        return [
            [moment(each.time_ns, zone), each.name, each.trace[-_TRACE:]]
            for each in reversed(self.source.failures)
        ]

    def events(self, zone: Zone) -> list[list[str]]:
        """List the newest status rows, the newest first: time, event, subject, detail."""
        if not self._gaps.total:
            return []
        rows = self.source.frame("status", last=_EVENTS)[::-1]
        of = zip(rows["channel"].to_list(), rows["symbol"].to_list(), strict=True)
        return [
            [moment(int(time), zone), str(event), " ".join(filter(None, names)), detail or ""]
            for time, event, names, detail in zip(
                nanoseconds(rows["local_timestamp"]).tolist(),
                rows["event"].to_list(),
                of,
                rows["detail"].to_list(),
                strict=True,
            )
        ]


def histogram(lags: Floats) -> list[tuple[str, float]]:
    """Count lags into bins: label and share in percent, from the first to the last filled one."""
    if not lags.size:
        return []
    counts: npt.NDArray[np.int64] = np.histogram(np.clip(lags, 0, _EDGES[-1] - 1), _EDGES)[0]
    filled = np.flatnonzero(counts)
    first, last = max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 1, counts.size - 1)
    return [
        (f"{_EDGES[place]:g}–{_EDGES[place + 1]:g}", round(100 * int(counts[place]) / lags.size, 1))
        for place in range(first, last + 1)
    ]


def _line(text: str) -> str:
    return " ".join(text.split())[:_LINE]


def trouble_of(recorder: Recorder) -> str | None:
    """Describe which files cannot be written now, and why; ``None`` if all can."""
    error, stuck = recorder.error, recorder.stuck
    if error is None:
        return None
    if not any(error is each for each in stuck.values()):
        return f"nothing is recorded: {error}"
    first, *others = stuck
    more = f" and {len(others)} more" if others else ""
    return f"{first}{more} cannot be written: {error}"


def _text(error: object) -> str | None:
    return None if error is None else str(error)
