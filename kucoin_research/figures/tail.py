"""The new rows of a live source, at a cost that does not grow with the rows it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from kucoin_research.errors import BookNotReady, InvalidInput, UnknownChannel, shown
from kucoin_research.figures.book_levels import SIDE_BY_SIDE
from kucoin_research.figures.chart import Role
from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.known_gaps import KnownGaps
from kucoin_research.figures.session_breaks import SessionBreaks
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.intervals import MINUTE, parse_interval
from kucoin_research.model.source import LiveSource, Source, is_live, is_stream

__all__ = ["Fixed", "Joined", "Rewound", "Rows", "Tail", "pick_channel", "pick_symbol"]

_SPARE = 64
_BOOK_LEVELS = 1_000


class Rows(Protocol):
    """A supply of rows for one chart."""

    def restart(self) -> None:
        """Begin again with all rows."""

    def has_news(self) -> bool:
        """Whether there are rows to take."""

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the rows of each role that came since the last call; the first time, all rows."""

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return all gaps known, and whether they have changed since the last call."""


class Rewound(Exception):
    """The source went back in time or was emptied, so the rows taken from it are void."""


def pick_symbol(source: LiveSource, symbol: str | None, what: str) -> str:
    """Check the symbol to show; without one, find the source's only symbol.

    Raises
    ------
    InvalidInput
        If the source does not have it, or has several and none is named.
    """
    there = source.symbols
    if symbol is not None:
        if there and symbol not in there:
            raise InvalidInput(
                f"symbol {shown(symbol)} is not streamed here; streamed are {', '.join(there[:8])}"
            )
        return symbol
    if len(there) > 1:
        raise InvalidInput(
            f"{what} shows one symbol; name one with symbol=: {', '.join(there[:8])}"
        )
    return there[0] if there else ""


def pick_channel(
    source: Source, role: Role, every: str | None = None, symbol: str = ""
) -> str | None:
    """Find the best of a source's channels for a role; ``None`` if it has none.

    One that streams now, of that symbol if it is named, is better than one that did before. The
    exchange's candles are better than candles made of trades only if they reach back further: by a
    whole candle, or at least as far where ``every`` asks for their interval. Otherwise a channel of
    candles that has just begun would replace all candles shown by one.
    """
    there = list(_usable(source, role, every))
    if is_stream(source):
        now = {str(each.channel) for each in source.subscriptions if symbol in ("", each.symbol)}
        there = [name for name in there if name in now] or there
    if not there:
        return None
    best = there[0]
    if is_live(source) and _is_candle(best) and "trade" in there:
        return best if _reaches_back(source, best, symbol, is_wanted=every is not None) else "trade"
    return best


def _is_candle(channel: str) -> bool:
    return parse_channel(channel).name == "candle"


def _reaches_back(source: LiveSource, candles: str, symbol: str, *, is_wanted: bool) -> bool:
    """Return whether the exchange's candles reach back further than the trades do."""
    opened, traded = (_first(source, channel, symbol) for channel in (candles, "trade"))
    if opened is None:
        return is_wanted and traded is None
    length = parse_interval(parse_channel(candles).interval or MINUTE).ns or 0
    return traded is None or opened + (0 if is_wanted else length) <= traded


def _first(source: LiveSource, channel: str, symbol: str) -> int | None:
    """Return the time of a channel's first row, ns; that of a candle is its open time."""
    times = source.frame(channel, symbol or None)["timestamp"][:1]
    return int(nanoseconds(times)[0]) if len(times) else None


def _usable(source: Source, role: Role, every: str | None) -> Iterator[str]:
    intervals = _candle_intervals(source) if is_live(source) else []
    for channel in role.channels:
        names = [channel]
        if channel == "candle" and intervals:
            # Without the interval that is asked for, candles are made of trades instead.
            names = [f"candle:{each}" for each in intervals if every in (None, each)]
        for name in names:
            try:
                source.frame(name, last=1) if is_live(source) else source.frame(name)
            except (UnknownChannel, KeyError):
                continue
            yield name


def _candle_intervals(source: LiveSource) -> list[str]:
    parts = (channel.partition(":") for channel in source.channels)
    return [interval for name, _, interval in parts if name == "candle"]


class Tail:
    """Reads the new rows of a live source, for each role of a chart.

    Parameters
    ----------
    source
        A stream or a replay.
    symbol
        Only rows of this symbol; empty: all rows.
    channels
        By role.
    books
        Roles that take the source's order book, rather than rows, where the channel is ``level2``.

    Notes
    -----
    Not thread-safe: the refresh thread reads. The source may get rows meanwhile.
    """

    def __init__(
        self, source: LiveSource, symbol: str, channels: dict[str, str], books: Sequence[str] = ()
    ) -> None:
        self.source = source
        self.symbol = symbol
        self.channels = channels
        self._books = frozenset(books)
        self._has_others = bool(symbol) and list(source.symbols) != [symbol]
        self._seen: dict[str, int] = {}
        self._newest: dict[str, int] = {}  # stamp of the newest row taken, of all symbols
        self._cursor: dict[str, int] = {}  # and of this symbol
        self._status_seen = 0
        self._known_gaps = KnownGaps(source, channels.values(), symbol)
        self._gaps: list[GapMark] = []
        self._breaks = SessionBreaks(source)
        self._reached: list[GapMark] = []

    def restart(self) -> None:
        """Begin again with all rows."""
        for known in (self._seen, self._newest, self._cursor):
            known.clear()

    def has_news(self) -> bool:
        """Whether there are new rows, or new status rows; a cheap check."""
        return self._known_gaps.total != self._status_seen or any(
            self.source.total(channel) != self._seen.get(role)
            for role, channel in self.channels.items()
        )

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the rows of each role that came since the last call; the first time, all rows.

        Raises
        ------
        Rewound
            If the source's rows are older than those taken; call ``restart`` and make a new chart.
        """
        for role, channel in self.channels.items():
            rows = self._rows(role, channel)
            if rows is not None:
                yield role, rows

    def _rows(self, role: str, channel: str) -> pl.DataFrame | None:
        total = self.source.total(channel)
        seen = self._seen.get(role)
        if total == seen:
            return None
        if role in self._books and channel == "level2":
            self._seen[role] = total
            return self._book()
        if seen is None:
            frame = self.source.frame(channel)
            self._seen[role] = max(total, frame.height)
            own = self._of_symbol(frame)
            self._note(role, frame, own)
            return own
        if total < seen:
            raise Rewound
        own = self._newer(role, channel, total)
        self._seen[role] = total
        return own

    def _newer(self, role: str, channel: str, total: int) -> pl.DataFrame:
        # Rows may come between counting and reading, so the count says how many to read at least,
        # and the stamps say which of them are new. Rows of one symbol come in the order of their
        # stamps. Those of other symbols may be inserted late, among rows that are known already.
        seen = self._seen[role]
        count = total - seen
        newest, cursor = self._newest.get(role, 0), self._cursor.get(role, 0)
        while True:
            wanted = count + _SPARE
            frame = self.source.frame(channel, last=wanted)
            own = self._of_symbol(frame)
            times, its_times = (nanoseconds(each["local_timestamp"]) for each in (frame, own))
            if frame.height and times[-1] < newest:
                raise Rewound
            known = int(np.searchsorted(its_times, cursor, "right"))
            behind = frame.height - int(np.searchsorted(times, newest, "right"))
            are_all_behind = behind >= self.source.total(channel) - seen
            if known or frame.height < wanted or are_all_behind:
                self._note(role, frame, own)
                return own[known:]
            count *= 4

    def _note(self, role: str, frame: pl.DataFrame, own: pl.DataFrame) -> None:
        """Remember the newest stamps, of all rows and of the symbol's."""
        for stamps, rows in ((self._newest, frame), (self._cursor, own)):
            if rows.height:
                stamps[role] = int(nanoseconds(rows["local_timestamp"][-1:])[0])

    def _of_symbol(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._has_others or "symbol" not in frame.columns:
            return frame
        return frame.filter(pl.col("symbol") == self.symbol)

    def _book(self) -> pl.DataFrame:
        try:
            book = self.source.book(self.symbol or None)
        except BookNotReady:
            return pl.DataFrame(schema=dict.fromkeys(SIDE_BY_SIDE, pl.Float64))
        return book.depth(_BOOK_LEVELS)

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return all gaps known, and whether they have changed since the last call."""
        total = self._known_gaps.total
        reached = self._breaks.reached
        if total == self._status_seen and reached == self._reached:
            return self._gaps, False
        self._status_seen, self._reached = total, reached
        for role in self._books:
            self._seen.pop(role, None)  # a gap may void the book without a new row
        gaps = [*self._known_gaps.look(), *reached]
        changed = gaps != self._gaps
        self._gaps = gaps
        return gaps, changed

    def gaps_before(self, time_ns: int) -> list[GapMark]:
        """Return the gaps as they were known when a replay first came to a time, ns UTC."""
        reached = [each for each in self._breaks.reached if each.begin < time_ns]
        return [*self._known_gaps.before(time_ns), *reached]


class Fixed:
    """The rows of a static figure, all of them there from the beginning.

    Parameters
    ----------
    frames
        By role.
    gaps
        Spans without rows.
    """

    def __init__(self, frames: Mapping[str, pl.DataFrame], gaps: Sequence[GapMark] = ()) -> None:
        self._frames, self._gaps = frames, list(gaps)
        self._is_taken = False

    def restart(self) -> None:
        """Begin again with all rows."""
        self._is_taken = False

    def has_news(self) -> bool:
        """Whether the rows are still to be taken."""
        return not self._is_taken

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield all rows, the first time only."""
        if not self._is_taken:
            self._is_taken = True
            yield from self._frames.items()

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return the gaps, which never change."""
        return self._gaps, False


class Joined:
    """Several supplies as one; the gaps are those of the first.

    Parameters
    ----------
    *parts
        The supplies.
    """

    def __init__(self, *parts: Rows) -> None:
        self._parts = parts

    def restart(self) -> None:
        """Begin all of them again."""
        for part in self._parts:
            part.restart()

    def has_news(self) -> bool:
        """Whether any of them has rows to take."""
        return any(part.has_news() for part in self._parts)

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the new rows of each."""
        for part in self._parts:
            yield from part.rows()

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return the gaps of the first."""
        return self._parts[0].gaps()
