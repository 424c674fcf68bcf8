"""Spans in which a channel that orders are matched against was not subscribed to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from kucoin_research.foundation.spans import Span
from kucoin_research.model.records import Status

__all__ = ["Absences"]

# A book that is subscribed to again is there once it is in step, which its first gap or the row
# that says so shows. Other channels are there with their subscription.
_BOOK = "level2"
_IN_STEP = frozenset({"gap", "book_ready"})


class Absences:
    """Finds the spans in which a channel of one symbol was not subscribed to.

    Parameters
    ----------
    symbol
        The symbol.
    channels
        The plain names of the channels that matter.

    Attributes
    ----------
    since
        Begin of the span that is not over, ns UTC; None if all channels are there.
    """

    #: Events of the ``status`` rows that ``take`` reads.
    EVENTS: ClassVar[frozenset[str]] = _IN_STEP | {"unsubscribed", "subscribed", "stopped"}

    def __init__(self, symbol: str, channels: Iterable[str]) -> None:
        self.since: int | None = None
        self._symbol = symbol
        self._channels = frozenset(channels)
        self._away: set[str] = set()  # candles with their interval
        self._is_book_back = False  # subscribed to again, but not in step yet

    def take(self, status: Status) -> Span | None:
        """Take a row of the ``status`` channel; return the span that it ends, if it ends one."""
        if status.event == "stopped":  # another recording may follow
            if status.symbol in (None, self._symbol):
                self._away.clear()
        elif status.symbol != self._symbol or status.channel not in self._channels:
            return None
        else:
            self._take_own(status)
        if self.since is None or self._away:
            return None
        span = (self.since, status.local_timestamp or 0)
        self.since = None
        return span

    def _take_own(self, status: Status) -> None:
        channel = status.channel or ""
        if status.event in _IN_STEP:
            if channel == _BOOK and self._is_book_back:
                self._away.discard(_BOOK)
            return
        name = (status.detail or channel).partition(" ")[0]  # of a candle, with its interval
        if status.event == "subscribed":
            if channel == _BOOK:
                self._is_book_back = True
            else:
                self._away.discard(name)
        elif status.event == "unsubscribed":
            self._away.add(name)
            self._is_book_back = self._is_book_back and channel != _BOOK
            if self.since is None:
                self.since = status.local_timestamp or 0
