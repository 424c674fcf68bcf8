"""What the markets of a recording were like, for a simulated exchange that is to be like it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.api.offers import offer_of
from kucoin_research.api.recorded_quotes import QUOTES, SECOND_NS, Quotes, market_time, quotes_of
from kucoin_research.bridges.missing_spans import missing_spans
from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.foundation.spans import Span, merged
from kucoin_research.model.channels import market_of, parse_channel
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.sim import BookSample, MarketTraits, Offer, RecordedMarket, Takers, traits_of

__all__ = ["recorded_markets"]

_SHORTEST = 30.0  # seconds
_LONGEST_NS = 400 * 86_400 * SECOND_NS
_MOST_SIZES = 100_000
# A channel that begins this many of its intervals behind the others was subscribed to later.
_LATE = 20


def recorded_markets(
    session: Session | str | Path | Iterable[str | Path], symbols: Sequence[str] | None = None
) -> list[RecordedMarket]:
    """Measure the markets of a recording.

    Times in which rows are missing are left out, as far as the recording says when they were: where
    a file is damaged, it does not.

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
    known = found.instruments
    return [
        RecordedMarket(
            offer_of(known[symbol])
            if symbol in known
            else Offer(symbol=symbol, market=market_of(symbol).value),
            _Recording(found, symbol).traits(),
        )
        for symbol in chosen
    ]


class _Rows(NamedTuple):
    """The rows of a channel: the times of the first and the last (ns), and their number."""

    first: int
    last: int
    number: int


class _Recording:
    """One market of a session."""

    def __init__(self, session: Session, symbol: str) -> None:
        self._session = session
        self._symbol = symbol
        names = dict.fromkeys(parse_channel(each).name for each in session.channels)
        found = {name: self._find(name) for name in names if name in ("trade", *QUOTES)}
        self._rows = {name: rows for name, rows in found.items() if rows is not None}
        self._holes: dict[str, list[Span]] = {}

    def traits(self) -> MarketTraits:
        """Measure what the market was like."""
        if not self._rows:
            raise InvalidInput(
                f"like: {self._session.name} has neither trades nor best prices of "
                f"{self._symbol}; record trade and one of {', '.join(QUOTES)}, or leave it out by "
                "`symbols`"
            )
        channel = next((each for each in QUOTES if each in self._rows), "trade")
        seconds = self._covered(channel)
        if seconds < _SHORTEST:
            raise InvalidInput(
                f"like: {self._session.name} has {seconds:.0f} s of {self._symbol}, and at least "
                f"{_SHORTEST:.0f} s are needed; record for longer, or leave it out by `symbols`"
            )
        quotes = quotes_of(self._session, channel, self._symbol, seconds)
        return traits_of(
            self._samples(quotes, channel),
            self._takers() if "trade" in self._rows else None,
            seconds=seconds,
            trade_seconds=self._covered("trade") if "trade" in self._rows else None,
            levels=quotes.levels,
            book_changes=self._book_changes(),
        )

    def _find(self, channel: str) -> _Rows | None:
        """Look at the rows of a channel, once; None without rows."""
        time = market_time()
        columns = [time.min().alias("first"), time.max().alias("last"), pl.len()]
        if channel == "level2":
            columns.append(pl.col("is_snapshot").any())
        first, last, count, *rest = self._session.collect(
            self._session.scan(channel, self._symbol).select(columns)
        ).row(0)
        if first is None or rest == [False]:  # no book without a snapshot
            return None
        if last - first > _LONGEST_NS:
            raise InvalidInput(
                f"like: the times of {channel} of {self._symbol} in {self._session.name} span "
                f"{(last - first) / (86_400 * SECOND_NS):,.0f} days, and 400 are the most"
            )
        return _Rows(first, last, count)

    def _holes_of(self, channel: str) -> list[Span]:
        """Return the times in which rows of a channel are missing, by the exchange's clock."""
        if channel not in self._holes:
            self._holes[channel] = self._find_holes(channel)
        return self._holes[channel]

    def _find_holes(self, channel: str) -> list[Span]:
        spans = missing_spans(self._session, channel, self._symbol)
        if not spans:
            return []
        arrival = pl.col("local_timestamp").to_physical()
        rows = self._session.scan(channel, self._symbol).select(arrival, time=market_time())
        arrivals, times = self._session.collect(rows.sort("local_timestamp"))
        ends = np.interp(list(chain(*spans)), arrivals.to_numpy(), times.to_numpy())
        pairs = zip(ends[::2].astype(int).tolist(), ends[1::2].astype(int).tolist(), strict=True)
        return merged(pairs)

    def _begin_and_end(self, channel: str) -> Span:
        # A rare row is not where its channel began: other channels say that the market was watched.
        first, last, count = self._rows[channel]
        begin = min(rows.first for rows in self._rows.values())
        end = max(rows.last for rows in self._rows.values())
        patience = _LATE * (last - first) / max(1, count - 1)
        is_rare = not patience
        return (
            begin if is_rare or first - begin < patience else first,
            end if is_rare or end - last < patience else last,
        )

    def _covered(self, channel: str) -> float:
        """Return the seconds in which no row of a channel is missing."""
        begin, end = self._begin_and_end(channel)
        lost = sum(
            max(0, min(ended, end) - max(began, begin)) for began, ended in self._holes_of(channel)
        )
        return (end - begin - lost) / SECOND_NS

    def _samples(self, quotes: Quotes, channel: str) -> list[BookSample]:
        """Return a sample of each step without a hole: a quote holds until the next."""
        rows, step = quotes.rows, quotes.step
        if rows.is_empty():
            return []
        seconds = np.arange(rows["second"][0], rows["second"][-1] + 1, step)
        lost = _are_within(seconds * SECOND_NS, step * SECOND_NS, self._holes_of(channel))
        grid = pl.DataFrame({"second": seconds, "lost": lost})
        joined = grid.join(rows, on="second", how="left")
        piece = pl.col("lost").ne(pl.col("lost").shift()).fill_null(value=False).cum_sum()
        held = joined.with_columns(pl.exclude("second", "lost").forward_fill().over(piece))
        whole = held.filter(~pl.col("lost") & pl.col("mid").is_not_null())
        columns = whole.select("second", "mid", "spread", "depth", "width")
        return [BookSample(*row) for row in columns.iter_rows()]

    def _takers(self) -> Takers:
        """Return the taking orders: trades of one time and side are of one."""
        rows = self._session.scan("trade", self._symbol)
        if len(self._session.paths) > 1:  # two recordings may overlap
            number = pl.int_range(pl.len()).cast(pl.String)
            key = pl.coalesce("trade_id", number)
            rows = rows.with_columns(__key=key).unique("__key", maintain_order=True)
        sizes = self._session.collect(
            rows.filter(pl.col("size") > 0)
            .group_by(market_time().alias("time"), "side", maintain_order=True)
            .agg(pl.col("size").sum())
        )["size"]
        every = len(sizes) // _MOST_SIZES + 1
        return Takers(len(sizes), float(sizes.sum()), sizes.gather_every(every).to_list())

    def _book_changes(self) -> float | None:
        """Return the changes of the book per second; only ``level2`` has them all."""
        if "level2" not in self._rows:
            return None
        rows = self._session.scan("level2", self._symbol).filter(~pl.col("is_snapshot"))
        if len(self._session.paths) > 1:
            rows = rows.unique(["sequence", "side", "price", "timestamp"])
        count: int = self._session.collect(rows.select(pl.len())).item()
        seconds = self._covered("level2")
        return count / seconds if seconds > 0 else None


def _are_within(
    times: npt.NDArray[np.int64], length: int, spans: list[Span]
) -> npt.NDArray[np.bool_]:
    """Return which steps of a length, by their begin, have a part in one of the ordered spans."""
    if not spans:
        return np.zeros(len(times), dtype=bool)
    begins, ends = (np.array(each) for each in zip(*spans, strict=True))
    nearest = np.searchsorted(begins, times + length) - 1
    return (nearest >= 0) & (ends[nearest] >= times)
