"""The sources of market data, as those who read them see them.

``Source`` is the part that a stream, a replay and a recorded session have in common. The further
protocols add what only some of them have: the classes themselves are ``streaming.Stream``
(``HistorySource``), ``playback.Replay`` (``ReplaySource``) and ``sessions.Session`` (``Source``).

The functions ``is_source``, ``is_live``, ``is_stream`` and ``is_replay`` sort the argument of a
front door, which may be anything. Behind the door, annotate with a protocol and call its methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import getattr_static
from typing import Any, Protocol, TypeGuard

import polars as pl

from kucoin_research.foundation.callbacks import Failure
from kucoin_research.model.channels import Subscription
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.status import StreamStatus

__all__ = [
    "History",
    "HistorySource",
    "LiveSource",
    "ReplaySource",
    "Source",
    "StreamSource",
    "has_history",
    "is_live",
    "is_replay",
    "is_source",
    "is_stream",
]


_ABSENT = object()


class Source(Protocol):
    """Market data by channel: a stream, a replay or a recorded session."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def channels(self) -> Sequence[str]:
        """Its channels, candles with their interval; ``status`` is there besides."""

    @property
    def symbols(self) -> Sequence[str]:
        """Its symbols."""

    def frame(self, channel: str | None = None, symbol: str | None = None) -> pl.DataFrame:
        """Read a channel's rows."""


class LiveSource(Source, Protocol):
    """A source that rows are added to while it is read: a stream or a replay.

    Every member may be used from any thread, and none waits for rows.
    """

    @property
    def state(self) -> str:
        """One of ``State``; ``idle`` before anything is started."""

    @property
    def status(self) -> StreamStatus | None:
        """State and counters of this moment; ``None`` before anything is started."""

    @property
    def failures(self) -> Sequence[Failure]:
        """Attached functions that have raised."""

    def frame(
        self, channel: str | None = None, symbol: str | None = None, last: int | None = None
    ) -> pl.DataFrame:
        """Take a snapshot of a channel's rows, or of its newest ``last`` rows."""

    def total(self, channel: str | None = None) -> int:
        """Count the rows received on a channel since the start."""

    def book(self, symbol: str | None = None) -> OrderBook:
        """Copy the order book of a symbol.

        Raises
        ------
        BookNotReady
            If there is none that could be trusted.
        """


class StreamSource(LiveSource, Protocol):
    """A live source that an exchange feeds right now, so that two clocks are compared."""

    @property
    def simulation(self) -> float | None:
        """Virtual seconds per second of a simulated exchange; ``None`` of a real one."""

    @property
    def started_ns(self) -> int:
        """When it was started, ns UTC."""

    @property
    def subscriptions(self) -> Sequence[Subscription]:
        """What it streams now; its other channels and symbols have only rows of before."""

    @property
    def rows_kept(self) -> int:
        """Rows in memory now, of all channels."""

    def now_ns(self) -> int:
        """Read the clock that stamps its rows, ns UTC."""

    def lags(self, rows: pl.DataFrame) -> pl.Series:
        """Compute how long each row was under way, in ms; null where that is not known."""


class History(Protocol):
    """The past of a symbol at its exchange; any thread may call, and a call may take seconds."""

    def trades(self) -> pl.DataFrame:
        """Read the newest trades, oldest first."""

    def candles(self, interval: str, start: int, end: int) -> pl.DataFrame:
        """Read the candles, 200 at most, that open from ``start`` to ``end`` (ns UTC, included)."""

    def close(self) -> None:
        """End every call at once."""


class HistorySource(StreamSource, Protocol):
    """A stream whose exchange can be asked for what came before its first row."""

    def history(self, symbol: str) -> History:
        """Open the history of a symbol; nothing is asked yet."""


class ReplaySource(LiveSource, Protocol):
    """A live source that plays a recorded session, and can be wound to any place of it."""

    @property
    def session(self) -> Source:
        """The session that is played."""

    @property
    def start_ns(self) -> int | None:
        """Arrival of the session's first row, ns UTC; ``None`` if it has no rows."""

    @property
    def end_ns(self) -> int | None:
        """Arrival of the session's last row, ns UTC; ``None`` if it has no rows."""

    @property
    def position_ns(self) -> int | None:
        """The place that has been reached, ns UTC; ``None`` if the session has no rows."""

    @property
    def rewinds(self) -> tuple[int, int]:
        """How often it went back in time, and the place of the last time, ns UTC.

        Rows that arrived from that place on are given again; those before count as given already.
        """

    @property
    def speed(self) -> float | None:
        """Seconds of the recording per second; ``None``: as fast as possible."""

    @speed.setter
    def speed(self, speed: float | None) -> None: ...

    def pause(self) -> None:
        """Stand still."""

    def resume(self) -> None:
        """Go on."""

    def step(self, n: int = 1, *, seconds: float | None = None) -> None:
        """Go on by ``n`` records, or by seconds of the recording, and pause."""

    def attach(
        self, sink: Callable[[Any], object], channel: str | Iterable[str] | None = None
    ) -> Callable[[], None]:
        """Call a function with each record from now on; returns the function that detaches it."""

    def seek(self, when: int) -> None:
        """Go to a place, ns UTC."""


# Not ``runtime_checkable``: before Python 3.12 such a check reads every property, and it takes a
# column of a pandas frame that is called ``frame`` for the method. So methods must be callable, and
# properties are looked for without being read.
def is_source(value: object) -> TypeGuard[Source]:
    """Whether a user's argument is a stream, a replay or a session, and not a frame or a book."""
    return _has_methods(value, "frame") and _has_members(value, "symbols", "channels")


def is_live(value: object) -> TypeGuard[LiveSource]:
    """Whether a user's argument is a source that still grows; a recorded session is none."""
    return is_source(value) and _has_methods(value, "total")


def is_stream(value: object) -> TypeGuard[StreamSource]:
    """Whether a source is fed by an exchange, and knows how late its rows arrive."""
    return _has_methods(value, "lags")


def has_history(value: object) -> TypeGuard[HistorySource]:
    """Whether a source's exchange can be asked for what came before its first row."""
    return is_stream(value) and _has_methods(value, "history")


def is_replay(value: object) -> TypeGuard[ReplaySource]:
    """Whether a source can be paused and wound."""
    return _has_methods(value, "seek", "pause", "resume")


def _has_methods(value: object, *names: str) -> bool:
    return all(callable(getattr(value, name, None)) for name in names)


def _has_members(value: object, *names: str) -> bool:
    return all(getattr_static(value, name, _ABSENT) is not _ABSENT for name in names)
