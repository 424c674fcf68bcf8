"""The newest book of a source, and whether it can be taken for the present one."""

from __future__ import annotations

from typing import NamedTuple

from kucoin_research.errors import BookNotReady
from kucoin_research.figures.book_levels import Levels, levels_of, no_levels
from kucoin_research.figures.gaps import UNWANTED, GapMark
from kucoin_research.figures.tail import Rewound, Tail
from kucoin_research.model.source import LiveSource

__all__ = ["BookReader", "BookState"]

_ROLE = "book"
#: Why a source in this state brings no newer book.
_STILL = {
    "connecting": "the stream is connecting",
    "reconnecting": "the connection is lost and being made again",
    "failed": "the stream has failed",
    "stopped": "the stream is stopped",
}


class BookState(NamedTuple):
    """A book, and whether it is the present one.

    Attributes
    ----------
    levels
        The newest book; empty where there is none that could be trusted.
    trouble
        Why it is not the present book; empty if it is.
    changed_at
        Monotonic seconds of the last change that was seen.
    """

    levels: Levels
    trouble: str
    changed_at: float


class BookReader:
    """Reads the book of one symbol.

    Parameters
    ----------
    source, symbol
        A stream, a replay or an idle source, and the symbol whose book is read.
    channel
        ``level2``, ``depth50`` or ``depth5``.

    Notes
    -----
    Not thread-safe: the refresh thread reads.
    """

    def __init__(self, source: LiveSource, symbol: str, channel: str) -> None:
        self.channel = channel
        self._tail = Tail(source, symbol, {_ROLE: channel}, [_ROLE])
        self._levels = no_levels()
        self._reason = ""
        self._state = ""
        self._gap = ""
        self._changed_at = 0.0
        self._last: BookState | None = None

    @property
    def is_live(self) -> bool:
        """Whether changes come as the exchange makes them."""
        return self._state == "live"

    def look(self, now: float) -> BookState:
        """Read the newest book; the same object as before if nothing has changed.

        Parameters
        ----------
        now
            Monotonic seconds.
        """
        state = str(self._tail.source.state)
        if self._last is not None and state == self._state and not self._tail.has_news():
            return self._last
        self._state = state
        gaps, are_new = self._tail.gaps()
        if are_new or self._last is None:
            self._gap = _open(gaps)
        self._take(now)
        self._last = BookState(self._levels, self._trouble(), self._changed_at)
        return self._last

    def _take(self, now: float) -> None:
        try:
            found = list(self._tail.rows())
        except Rewound:
            self._tail.restart()
            self._levels = no_levels()
            found = list(self._tail.rows())
        for _, rows in found:
            if not rows.height and self.channel != "level2":
                continue  # all are of other symbols
            self._changed_at, self._reason = now, ""
            levels = levels_of(rows)
            if levels.is_crossed:
                self._reason = "the best bid is not below the best ask, so the book is wrong"
                levels = no_levels()
            self._levels = levels

    def _trouble(self) -> str:
        if self._reason:
            return self._reason
        if self.channel == "level2" and not self._levels.bids.size and not self._levels.asks.size:
            return self._why_not()
        return _STILL.get(self._state, self._gap)

    def _why_not(self) -> str:
        try:
            self._tail.source.book(self._tail.symbol or None)
        except BookNotReady as error:
            return str(error)
        return ""


def _open(gaps: list[GapMark]) -> str:
    """Describe the span without data that is not over; empty if there is none."""
    last = next((gap for gap in reversed(gaps) if gap.end is None), None)
    if last is None:
        return ""
    return "the channel is not streamed now" if last.kind == UNWANTED else last.what
