"""Counting a session's rows for its report."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from kucoin_research.model.records import ACCOUNT_CHANNELS, ALL_SYMBOLS
from kucoin_research.sessions.session_report import Counted

__all__ = ["COUNTED_COLUMNS", "RowCounts"]

#: The columns that are counted; a large session's others do not fit into memory beside them.
COUNTED_COLUMNS = ("local_timestamp", "symbol", "sequence", "is_snapshot")


class RowCounts:
    """Counts the rows of each channel and symbol, and finds those between two times.

    Attributes
    ----------
    counted
        One entry for each channel and symbol, also those without rows.
    """

    def __init__(self) -> None:
        self.counted: list[Counted] = []
        self._locals: dict[tuple[str, str], pl.Series] = {}

    def add(self, channel: str, rows: pl.DataFrame, symbols: Sequence[str]) -> None:
        """Count the rows of a channel.

        Parameters
        ----------
        channel
            Its name.
        rows
            All of its rows in order of arrival, with those ``COUNTED_COLUMNS`` that it has.
        symbols
            The symbols that were recorded; one without rows gets an entry, too.
        """
        # All symbols at once: there may be as many as rows.
        facts = [pl.len().alias("rows"), pl.col("local_timestamp").to_physical()]
        if "sequence" in rows.columns:
            numbered = pl.col("sequence").drop_nulls()
            facts += [numbered.first().alias("first"), numbered.last().alias("last")]
        if channel == "level2":
            facts.append(pl.col("is_snapshot").any())
        its_symbol = pl.col("symbol").cast(pl.String)
        found = rows.group_by(its_symbol, maintain_order=True).agg(facts)
        for row in found.drop("local_timestamp").iter_rows(named=True):
            self.counted.append(
                Counted(
                    channel,
                    row["symbol"] or ALL_SYMBOLS,
                    row["rows"],
                    row.get("first"),
                    row.get("last"),
                    bool(row.get("is_snapshot")),
                )
            )
        for symbol, local in zip(found["symbol"], found["local_timestamp"], strict=True):
            self._locals[channel, symbol or ALL_SYMBOLS] = local
        # An account's events are of all symbols. Its channel has an entry even without rows, since
        # the report lists its outages there.
        others: Sequence[str] = [] if found.height else [ALL_SYMBOLS]
        if channel not in ACCOUNT_CHANNELS:
            others = symbols
        for symbol in dict.fromkeys(others):
            if (channel, symbol) not in self._locals:
                self.counted.append(Counted(channel, symbol))
                self._locals[channel, symbol] = pl.Series(dtype=pl.Int64)

    def between(self, channel: str, symbol: str, begin: int, end: int) -> int:
        """Count the rows that arrived from one time on and before another, ns UTC."""
        local = self._locals[channel, symbol]
        first, last = (int(local.search_sorted(bound, side="left")) for bound in (begin, end))
        return last - first
