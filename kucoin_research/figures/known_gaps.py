"""All gaps that a live source has ever reported, however many other status rows came since."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from kucoin_research.errors import UnknownChannel
from kucoin_research.figures.gaps import GAP_EVENTS, GapMark, gaps_of
from kucoin_research.model.source import LiveSource

__all__ = ["KnownGaps"]

# A status row may get a place among older ones, so these are read again.
_SPARE = 5_000


class KnownGaps:
    """Follows the gaps of some channels of a source.

    Notes, alerts and the like are status rows too. So a gap's row may be far behind the newest
    ones, or no longer in memory, while the gap still matters: its rows are kept here.

    Parameters
    ----------
    source
        A stream or a replay.
    channels
        By name, as ``gaps_of`` takes them.
    symbol
        Only gaps of this symbol; empty: all gaps.

    Notes
    -----
    Not thread-safe: one thread reads. The source may get rows meanwhile.
    """

    def __init__(self, source: LiveSource, channels: Iterable[str], symbol: str = "") -> None:
        self._source = source
        self._channels = tuple(channels)
        self._symbol = symbol
        self._seen = 0
        self._rows: pl.DataFrame | None = None
        self._found: list[GapMark] = []

    @property
    def total(self) -> int:
        """Status rows of the source by now; 0 if it has no such channel."""
        try:
            return self._source.total("status")
        except (UnknownChannel, KeyError):
            return 0

    def look(self) -> list[GapMark]:
        """Return the gaps by their begin; those of a source that was rewound begin anew."""
        total = self.total
        if total < self._seen:
            self._seen, self._rows, self._found = 0, None, []
        if total != self._seen:
            self._take(total)
        return self._found

    def before(self, time_ns: int) -> list[GapMark]:
        """Return the gaps as the rows that arrived before a time, ns UTC, have them."""
        self.look()
        if self._rows is None:
            return []
        rows = self._rows.filter(pl.col("local_timestamp").cast(pl.Int64) < time_ns)
        return gaps_of(rows, self._channels, self._symbol or None)

    def _take(self, total: int) -> None:
        # Without a row read before, those of before this object was made are wanted too.
        last = None if self._rows is None else total - self._seen + _SPARE
        self._seen = total
        rows = self._source.frame("status", last=last)
        rows = rows.filter(pl.col("event").cast(pl.String).is_in(GAP_EVENTS))
        known = self._rows
        if known is not None:
            rows = pl.concat([known, rows]).unique(maintain_order=True)
        self._rows = rows.sort("local_timestamp", maintain_order=True)
        if known is None or rows.height > known.height:
            self._found = gaps_of(self._rows, self._channels, self._symbol or None)
