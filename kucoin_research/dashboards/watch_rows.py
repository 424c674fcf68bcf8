"""The newest figures of all symbols of a source, for the cards of a watch list."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.dashboards.formatting import Decimals, duration, fixed
from kucoin_research.figures.chart import Role
from kucoin_research.figures.columns import best_quotes, events, nanoseconds, numbers
from kucoin_research.figures.line_charts import QUOTES
from kucoin_research.figures.tail import Rewound, Tail, pick_channel
from kucoin_research.model.source import LiveSource, is_stream

__all__ = ["Card", "WatchRows"]

_ROLES = (Role("prices", ("trade", "ticker")), Role("quotes", QUOTES.channels))
_BUCKET_NS = 1_000_000_000  # prices that a change is computed from are kept once a second
_LONG_AGO = 5.0  # s without a row of a symbol, from which the card says so


class Card(NamedTuple):
    """The texts of one card.

    Attributes
    ----------
    last, direction
        Newest price, and where it went (``up``, ``down`` or none).
    change, tone
        In percent over the window, and its sign in a word.
    spread
        In basis points of the mid.
    age
        Since the symbol's newest row arrived; empty while that is less than 5 s.
    """

    last: str
    direction: str
    change: str
    tone: str
    spread: str
    age: str


class _Market:
    """What is known of one symbol."""

    def __init__(self) -> None:
        self.prices: deque[tuple[int, float]] = deque()  # one for each second
        self.last: float | None = None
        self.direction = ""
        self.spread: float | None = None
        self.decimals = Decimals()
        self.arrived = 0

    def add(self, times: np.ndarray, prices: np.ndarray, window_ns: int | None) -> None:
        """Take prices in order of arrival."""
        known = np.isfinite(prices)
        times, prices = times[known], prices[known]
        if not prices.size:
            return
        self.decimals.learn(prices)
        # The first price of each second is enough: a change begins with one of them.
        buckets = times // _BUCKET_NS
        begins = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
        for place in begins.tolist():
            if not self.prices or times[place] // _BUCKET_NS > self.prices[-1][0] // _BUCKET_NS:
                self.prices.append((int(times[place]), float(prices[place])))
        newest = float(prices[-1])
        if self.last is not None and newest != self.last:
            self.direction = "up" if newest > self.last else "down"
        self.last = newest
        if window_ns is None:
            while len(self.prices) > 1:
                self.prices.pop()
            return
        while len(self.prices) > 1 and self.prices[0][0] < int(times[-1]) - window_ns:
            self.prices.popleft()

    def card(self, now: int | None) -> Card:
        """Write the texts."""
        first = self.prices[0][1] if self.prices else None
        change = None if not first or self.last is None else (self.last / first - 1) * 100
        age = 0.0 if now is None or not self.arrived else max(0.0, (now - self.arrived) / 1e9)
        return Card(
            fixed(self.last, self.decimals.count),
            self.direction,
            "" if change is None else f"{change:+.2f}%",
            "" if change is None or abs(change) < 0.005 else "up" if change > 0 else "down",
            "" if self.spread is None else f"{self.spread:.2f} bp",
            duration(age) if age >= _LONG_AGO else "",
        )


class WatchRows:
    """Reads the rows of all symbols of a source, each row once.

    Parameters
    ----------
    source
        A stream or a replay.
    window_ns
        Length of time that changes cover; ``None``: from the first row on.

    Notes
    -----
    Not thread-safe: the refresh thread reads.
    """

    def __init__(self, source: LiveSource, window_ns: int | None) -> None:
        self._source = source
        self._window_ns = window_ns
        self._channels: dict[str, str] = {}
        self._tail = Tail(source, "", {})
        self._markets: dict[str, _Market] = {}

    def is_of(self, source: LiveSource, window_ns: int | None) -> bool:
        """Whether it reads a source, with a length of time."""
        return self._source is source and self._window_ns == window_ns

    def update(self) -> None:
        """Take the rows that came since the last call."""
        found = {role.name: pick_channel(self._source, role) for role in _ROLES}
        channels = {role: channel for role, channel in found.items() if channel is not None}
        if channels != self._channels:  # one was switched on or off
            self._channels = channels
            self._tail = Tail(self._source, "", channels)
        try:
            self._take_all()
        except Rewound:
            self._tail.restart()
            self._markets.clear()
            self._take_all()

    def _take_all(self) -> None:
        for role, rows in self._tail.rows():
            if rows.height:
                for symbol, its in _by_symbol(rows):
                    market = self._markets.setdefault(symbol, _Market())
                    market.arrived = max(
                        market.arrived, int(nanoseconds(its["local_timestamp"][-1:])[0])
                    )
                    if role == "prices":
                        market.add(events(its), numbers(its, "price"), self._window_ns)
                    else:
                        market.spread = _spread(its[-1:])

    def cards(self, symbols: list[str]) -> dict[str, Card]:
        """Return the cards of symbols; one without rows has dashes."""
        now = self._source.now_ns() if is_stream(self._source) else None
        return {each: self._markets.get(each, _Market()).card(now) for each in symbols}


def _by_symbol(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    if "symbol" not in rows.columns:
        return []
    parts = rows.partition_by("symbol", maintain_order=True)
    return [(str(part["symbol"][0]), part) for part in parts]


def _spread(newest: pl.DataFrame) -> float | None:
    bid, _, ask, _ = (float(part[0]) for part in best_quotes(newest))
    return (ask - bid) / (ask + bid) * 2e4 if bid + ask > 0 else None
