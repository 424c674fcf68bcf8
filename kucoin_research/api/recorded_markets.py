"""What the markets of a recording were like, for a simulated exchange that is to be like it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum
from pathlib import Path

import polars as pl

from kucoin_research.api.offers import offers_of
from kucoin_research.api.recorded_quotes import QUOTES, SECOND_NS, Quotes, market_time, quotes_of
from kucoin_research.bridges.missing_spans import missing_spans
from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.foundation.spans import Span
from kucoin_research.model.channels import parse_channel
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sim import BookSample, MarketTraits, RecordedMarket, Takers, traits_of

__all__ = ["recorded_markets"]

_SHORTEST = 30.0  # seconds
_MOST_SIZES = 100_000


def recorded_markets(
    session: Session | str | Path | Iterable[str | Path], symbols: Sequence[str] | None = None
) -> list[RecordedMarket]:
    """Measure the markets of a recording.

    Times in which rows are missing are left out.

    Parameters
    ----------
    session
        As ``load`` gives it, or the path of one, or several paths.
    symbols
        Only these, as far as they were recorded; None for all.

    Raises
    ------
    InvalidInput
        If a market has neither trades nor best prices, or was recorded too briefly.
    UnknownSymbol
        If none of the symbols was recorded.
    SessionError
        If the session cannot be read.
    """
    found = session if isinstance(session, Session) else load(session)
    chosen = [each for each in found.symbols if symbols is None or each in symbols]
    if not chosen:
        raise UnknownSymbol(
            f"like: {found.name} has none of {', '.join(map(shown, symbols or ()))}; it has: "
            f"{', '.join(found.symbols)}"
        )
    offers = offers_of(found, Timeline(found))
    return [RecordedMarket(offers[symbol], _Recording(found, symbol).traits()) for symbol in chosen]


class _Recording:
    """One market of a session."""

    def __init__(self, session: Session, symbol: str) -> None:
        self._session = session
        self._symbol = symbol
        names = dict.fromkeys(parse_channel(each).name for each in session.channels)
        spans = {name: self._span_of(name) for name in names if name in ("trade", *QUOTES)}
        self._spans = {name: span for name, span in spans.items() if span is not None}

    def traits(self) -> MarketTraits:
        """Measure what the market was like."""
        if not self._spans:
            raise InvalidInput(
                f"like: {self._session.name} has neither trades nor best prices of "
                f"{self._symbol}; record trade and one of {', '.join(QUOTES)}, or leave it out by "
                "`symbols`"
            )
        begins, ends = zip(*self._spans.values(), strict=True)
        span = min(begins), max(ends)
        channel = next((each for each in QUOTES if each in self._spans), "trade")
        seconds = self._covered(channel, span)
        if seconds < _SHORTEST:
            raise InvalidInput(
                f"like: {self._session.name} has {seconds:.0f} s of {self._symbol}, and at least "
                f"{_SHORTEST:.0f} s are needed; record for longer, or leave it out by `symbols`"
            )
        quotes = quotes_of(self._session, channel, self._symbol, seconds)
        return traits_of(
            self._samples(quotes, channel),
            self._takers() if "trade" in self._spans else None,
            seconds=seconds,
            trade_seconds=self._covered("trade", span),
            levels=quotes.levels,
            book_changes=self._book_changes(span),
        )

    def _span_of(self, channel: str) -> Span | None:
        """Return the first and the last time of a channel's rows; None without rows."""
        time = market_time()
        columns = [time.min().alias("first"), time.max().alias("last")]
        if channel == "level2":
            columns.append(pl.col("is_snapshot").any())
        first, last, *rest = self._session.collect(
            self._session.scan(channel, self._symbol).select(columns)
        ).row(0)
        if first is None or rest == [False]:  # no book without a snapshot
            return None
        return first, last

    def _holes(self, channel: str) -> list[Span]:
        """Return the times in which rows of a channel are missing, by the exchange's clock."""
        spans = missing_spans(self._session, channel, self._symbol)
        if not spans:
            return []
        arrival = pl.col("local_timestamp").to_physical()
        rows = self._session.scan(channel, self._symbol).select(arrival, time=market_time())
        arrivals, times = self._session.collect(rows.sort("local_timestamp"))
        last = len(times) - 1
        found = []
        for began, ended in spans:
            before, behind = arrivals.search_sorted(began, "right"), arrivals.search_sorted(ended)
            found.append((times[max(0, before - 1)], times[min(last, behind)]))
        return found

    def _covered(self, channel: str, span: Span) -> float:
        """Return the seconds of a span in which no row of a channel is missing."""
        lost = [min(end, span[1]) - max(begin, span[0]) for begin, end in self._holes(channel)]
        return (span[1] - span[0] - fsum(each for each in lost if each > 0)) / SECOND_NS

    def _samples(self, quotes: Quotes, channel: str) -> list[BookSample]:
        """Return a sample of each step without a hole: a quote holds until the next."""
        rows, step = quotes.rows, quotes.step
        if rows.is_empty():
            return []
        first, last = rows["second"][0], rows["second"][-1]
        grid = pl.DataFrame({"second": pl.int_range(first, last + 1, step, eager=True)})
        lost = pl.lit(value=False)
        for begin, end in self._holes(channel):
            lost |= pl.col("second").is_between(begin // SECOND_NS - step + 1, end // SECOND_NS)
        joined = grid.join(rows, on="second", how="left").with_columns(lost=lost)
        piece = pl.col("lost").ne(pl.col("lost").shift()).fill_null(value=False).cum_sum()
        held = joined.with_columns(pl.exclude("second", "lost").forward_fill().over(piece))
        whole = held.filter(~pl.col("lost") & pl.col("mid").is_not_null())
        columns = whole.select("second", "mid", "spread", "depth", "width")
        return [BookSample(*row) for row in columns.iter_rows()]

    def _takers(self) -> Takers:
        """Return the taking orders: trades of one time and side are of one."""
        rows = self._session.scan("trade", self._symbol)
        if len(self._session.paths) > 1:
            rows = rows.unique(["trade_id", "sequence"], maintain_order=True)
        sizes = self._session.collect(
            rows.filter(pl.col("size") > 0)
            .group_by("timestamp", "side", maintain_order=True)
            .agg(pl.col("size").sum())
        )["size"]
        every = len(sizes) // _MOST_SIZES + 1
        return Takers(len(sizes), float(sizes.sum()), sizes.gather_every(every).to_list())

    def _book_changes(self, span: Span) -> float | None:
        """Return the changes of the book per second; only ``level2`` has them all."""
        if "level2" not in self._spans:
            return None
        rows = self._session.scan("level2", self._symbol).filter(~pl.col("is_snapshot"))
        count: int = self._session.collect(rows.select(pl.len())).item()
        return count / self._covered("level2", span)
