"""The state and the counters of a stream or a replay."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique

from kucoin_research.errors import (
    KucoinResearchError,
)

__all__ = ["State", "StreamStatus"]


@unique
class State(StrEnum):
    """The state of a stream; a replay is ``playing``, ``paused`` or ``ended`` instead of live."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    STOPPED = "stopped"
    PLAYING = "playing"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """The state and the counters of a stream or a replay at one moment.

    The fields are the figures that the user sees, so they stay in one flat record.

    Attributes
    ----------
    state
        ``connecting``, ``live``, ``reconnecting``, ``failed`` or ``stopped``; of a replay,
        ``playing``, ``paused`` or ``ended`` instead of the first three.
    rows
        Rows received per channel since the start.
    messages_per_second
        Over the last five seconds.
    lag_p50_ms, lag_p95_ms
        Arrival minus exchange time over the newest rows, corrected by the clock offset; ``None``
        before there are any.
    reconnects, rollovers, gaps, duplicates, broken
        Counters since the start. A roll-over replaces a connection before it is lost. ``gaps``
        counts all gaps, filled or not.
    dropped
        Records that attached functions missed because they were too slow.
    error
        The last error; ``None`` if there was none, or if it has healed.
    """

    state: State
    rows: dict[str, int]
    messages_per_second: float
    lag_p50_ms: float | None
    lag_p95_ms: float | None
    reconnects: int
    gaps: int
    duplicates: int
    broken: int
    error: KucoinResearchError | None
    rollovers: int = 0
    dropped: int = 0

    def __str__(self) -> str:
        rows = ", ".join(f"{channel} {count:,}" for channel, count in self.rows.items())
        lag = "" if self.lag_p50_ms is None else f" · lag {self.lag_p50_ms:.0f} ms"
        error = "" if self.error is None else f" · {self.error}"
        dropped = f" · not handed on {self.dropped:,}" if self.dropped else ""
        return (
            f"{self.state} · {rows} · {self.messages_per_second:,.0f} messages/s{lag} · "
            f"reconnects {self.reconnects} · gaps {self.gaps}{dropped}{error}"
        )
