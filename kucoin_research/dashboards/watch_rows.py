"""The newest figures of all symbols of a source, for the cards of a watch list."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.dashboards.formatting import Decimals, duration, fixed
from kucoin_research.figures.chart import Role
from kucoin_research.figures.columns import best_quotes, events, nanoseconds, numbers
from kucoin_research.figures.line_charts import QUOTES
from kucoin_research.figures.tail import Rewound, pick_channel
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.model.source import LiveSource, is_stream

__all__ = ["Card", "WatchRows"]

_ROLES = (Role("prices", ("trade", "ticker")), Role("quotes", QUOTES.channels))
_LASTS = ("lasts", "ticker")  # role and channel: prices until a symbol's first trade
_SPARE = 64
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
        self.last: float | None = None
        self.direction = ""
        self.spread: float | None = None
        self.decimals = Decimals()
        self.arrived = 0
        self.has_trades = False
        self.restart()

    def restart(self) -> None:
        """Begin the change again, with the prices of another channel."""
        self._chunks: deque[tuple[Times, Floats]] = deque()  # times and prices in the window
        self._newest = 0
        self._first: float | None = None

    def add(self, times: Times, prices: Floats, window_ns: int | None) -> None:
        """Take prices in order of arrival."""
        known = np.isfinite(prices)
        times, prices = times[known], prices[known]
        if not prices.size:
            return
        self.decimals.learn(prices)
        newest = float(prices[-1])
        if self.last is not None and newest != self.last:
            self.direction = "up" if newest > self.last else "down"
        self.last = newest
        if window_ns is None:
            self._first = float(prices[0]) if self._first is None else self._first
            return
        self._newest = max(self._newest, int(times.max()))
        self._chunks.append((times, prices))
        self._forget(self._newest - window_ns)

    def _forget(self, horizon: int) -> None:
        # The first price at or after the horizon, as in the tiles: both show the same change.
        while self._chunks:
            times, prices = self._chunks.popleft()
            kept = times >= horizon
            if kept.any():
                whole = bool(kept.all())
                self._chunks.appendleft((times, prices) if whole else (times[kept], prices[kept]))
                break
        self._first = float(self._chunks[0][1][0]) if self._chunks else self.last

    def card(self, now: int | None) -> Card:
        """Write the texts."""
        first = self._first
        change = None if not first or self.last is None else (self.last / first - 1) * 100
        age = 0.0 if now is None or not self.arrived else max(0.0, (now - self.arrived) / 1e9)
        return Card(
            fixed(self.last, self.decimals.count),
            self.direction,
            "" if change is None else f"{change:+z.2f}%",
            "" if change is None or abs(change) < 0.005 else "up" if change > 0 else "down",
            "" if self.spread is None else f"{self.spread:.2f} bp",
            duration(age) if age >= _LONG_AGO else "",
        )


class _News(NamedTuple):
    """A frame, and which of its rows are new, by symbol."""

    frame: pl.DataFrame
    places: dict[str, Times]


class _Feed:
    """Reads the rows of one channel, each row of a symbol once.

    A ``Tail`` for each symbol would read and filter the same rows for each card. Here they are read
    once. Rows of one symbol come in the order of their stamps, so each symbol has a cursor of its
    own; rows of others may be inserted late, among rows that are known already.
    """

    def __init__(self, source: LiveSource, channel: str) -> None:
        self._source, self._channel = source, channel
        self._seen = 0
        self._newest = 0  # stamp of the newest row read, of all symbols
        self._cursors: dict[str, int] = {}  # and of each symbol

    def rows(self, symbols: Sequence[str]) -> _News | None:
        """Return the rows that came since the last call; of a symbol new here, all rows.

        Raises
        ------
        Rewound
            If the source's rows are older than those taken.
        """
        total = self._source.total(self._channel)
        others = [each for each in symbols if each not in self._cursors]
        if total == self._seen and not others:
            return None
        self._cursors = {each: self._cursors.get(each, 0) for each in symbols}
        if others:
            if total < self._seen:
                raise Rewound
            frame = self._source.frame(self._channel)
            self._seen = max(total, frame.height)
            stamps = nanoseconds(frame["local_timestamp"])
            return self._take(frame, stamps, self._places(frame))
        return self._newer()

    def arrived(self, symbol: str) -> int:
        """Return the stamp of the newest row that was returned of a symbol, ns; 0 of none."""
        return self._cursors.get(symbol, 0)

    def _newer(self) -> _News:
        # Rows may come between counting and reading, so the count says how many to read at least,
        # and the stamps say which of them are new.
        times = 1
        while True:
            total = self._source.total(self._channel)
            if total < self._seen:
                raise Rewound
            wanted = (total - self._seen) * times + _SPARE
            frame = self._source.frame(self._channel, last=wanted)
            stamps = nanoseconds(frame["local_timestamp"])
            behind = frame.height - int(np.searchsorted(stamps, self._newest, "right"))
            are_all_behind = behind >= self._source.total(self._channel) - self._seen
            places = self._places(frame)
            if are_all_behind or frame.height < wanted or self._reaches_all(stamps, places):
                self._seen = max(total, self._seen + behind)
                return self._take(frame, stamps, places)
            times *= 4

    def _reaches_all(self, stamps: Times, places: Mapping[str, Times]) -> bool:
        """Return whether rows go back to a known one of each symbol."""
        return all(
            each in places and stamps[places[each][0]] <= cursor
            for each, cursor in self._cursors.items()
        )

    def _places(self, frame: pl.DataFrame) -> dict[str, Times]:
        """Find the rows of each symbol in a frame, by number."""
        # Only the numbers are parted: parts of all columns would take several times as long.
        numbered = pl.DataFrame({"symbol": frame["symbol"], "place": np.arange(frame.height)})
        parts = {
            str(each["symbol"][0]): each["place"].to_numpy()
            for each in numbered.partition_by("symbol")
        }
        return {each: parts[each] for each in self._cursors if each in parts}

    def _take(self, frame: pl.DataFrame, stamps: Times, places: Mapping[str, Times]) -> _News:
        """Leave out the rows that are known, and move the cursors."""
        if len(stamps):
            if stamps[-1] < self._newest:
                raise Rewound
            self._newest = int(stamps[-1])
        found = {}
        for symbol, its in places.items():
            known = int(np.searchsorted(stamps[its], self._cursors[symbol], "right"))
            if known < len(its):
                found[symbol] = its[known:]
                self._cursors[symbol] = int(stamps[its[-1]])
        return _News(frame, found)


class WatchRows:
    """Reads the rows of the symbols of a watch list, each row once.

    Parameters
    ----------
    source
        A stream or a replay.
    window_ns
        Length of time that changes cover; ``None``: from the first row on. Last prices of a
        symbol without trades are covered from the first row on, as in the tiles.

    Notes
    -----
    Not thread-safe: the refresh thread reads.
    """

    def __init__(self, source: LiveSource, window_ns: int | None) -> None:
        self._source = source
        self._window_ns = window_ns
        self._picked_for: object = None
        self._channels: dict[tuple[str, str], str] = {}  # by role and symbol
        self._feeds: dict[tuple[str, str], _Feed] = {}  # by role and channel
        self._markets: dict[str, _Market] = {}

    def is_of(self, source: LiveSource, window_ns: int | None) -> bool:
        """Whether it reads a source, with a length of time."""
        return self._source is source and self._window_ns == window_ns

    def update(self, symbols: Sequence[str]) -> None:
        """Take the rows of symbols that came since the last call; of a new one, all rows."""
        self._markets = {each: self._markets.get(each) or _Market() for each in symbols}
        self._pick(symbols)
        try:
            self._take_all()
        except Rewound:
            self._feeds.clear()
            self._markets = {each: _Market() for each in symbols}
            self._take_all()

    def _pick(self, symbols: Sequence[str]) -> None:
        """Find the channels of each symbol, again where one was switched on or off."""
        source = self._source
        streamed = source.subscriptions if is_stream(source) else ()
        picked_for = (tuple(symbols), tuple(source.channels), streamed)
        if picked_for == self._picked_for:
            return
        before, self._channels = self._channels, {}
        for symbol, role in product(symbols, _ROLES):
            channel = pick_channel(source, role, symbol=symbol)
            if channel is not None:
                self._channels[role.name, symbol] = channel
            if role.name == "prices" and before.get(("prices", symbol)) != channel:
                self._markets[symbol].restart()
        self._picked_for = picked_for

    def _take_all(self) -> None:
        symbols_of: dict[tuple[str, str], list[str]] = {}
        for (role, symbol), channel in self._channels.items():
            symbols_of.setdefault((role, channel), []).append(symbol)
        if lasts := self._without_trades():
            symbols_of[_LASTS] = lasts
        self._feeds = {
            key: self._feeds.get(key) or _Feed(self._source, key[1]) for key in symbols_of
        }
        for (role, channel), feed in self._feeds.items():
            news = feed.rows(symbols_of[role, channel])
            if news is None or not news.places:
                continue
            if role == "quotes":
                self._take_quotes(news)
            else:
                self._take_prices(news, role, channel)
            for symbol in news.places:
                market = self._markets[symbol]
                market.arrived = max(market.arrived, feed.arrived(symbol))

    def _without_trades(self) -> list[str]:
        """List the symbols that have had no trade yet, perhaps as only others are traded here."""
        if "ticker" not in self._source.channels:
            return []
        return [
            symbol
            for symbol, market in self._markets.items()
            if self._channels.get(("prices", symbol)) == "trade" and not market.has_trades
        ]

    def _take_prices(self, news: _News, role: str, channel: str) -> None:
        is_traded = channel == "trade"
        times, prices = events(news.frame), numbers(news.frame, "price")
        for symbol, places in news.places.items():
            market = self._markets[symbol]
            if is_traded and not market.has_trades:
                market.has_trades = True
                market.restart()
            if role != "lasts" or not market.has_trades:
                window_ns = self._window_ns if is_traded else None
                market.add(times[places], prices[places], window_ns)

    def _take_quotes(self, news: _News) -> None:
        newest = news.frame[[int(places[-1]) for places in news.places.values()]]
        bids, _, asks, _ = best_quotes(newest)
        for symbol, bid, ask in zip(news.places, bids.tolist(), asks.tolist(), strict=True):
            self._markets[symbol].spread = _spread(bid, ask)

    def cards(self) -> dict[str, Card]:
        """Return the card of each symbol of the last update; one without rows has dashes."""
        now = self._source.now_ns() if is_stream(self._source) else None
        return {symbol: market.card(now) for symbol, market in self._markets.items()}


def _spread(bid: float, ask: float) -> float | None:
    return (ask - bid) / (ask + bid) * 2e4 if bid + ask > 0 else None
