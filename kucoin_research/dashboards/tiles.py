"""The texts of tiles and tape, kept up to date at the cost of the new rows alone."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.dashboards.formatting import DASH, compact, fixed
from kucoin_research.dashboards.tile_words import labels, period
from kucoin_research.dashboards.trade_prints import TradePrints
from kucoin_research.figures.book_levels import SIDE_BY_SIDE
from kucoin_research.figures.chart import Role
from kucoin_research.figures.columns import arrivals, best_quotes, events, numbers
from kucoin_research.figures.decimals import Decimals
from kucoin_research.figures.gaps import BETWEEN
from kucoin_research.figures.known_gaps import KnownGaps
from kucoin_research.figures.line_charts import QUOTES
from kucoin_research.figures.session_breaks import SessionBreaks
from kucoin_research.figures.tail import Rewound, Tail, pick_channel
from kucoin_research.figures.time_axis import Floats, Times, Zone
from kucoin_research.model.size_unit import SizeUnit, native_unit
from kucoin_research.model.source import LiveSource

__all__ = ["Tiles"]

_ROLES = (
    Role("quotes", QUOTES.channels),
    Role("trades", ("trade",)),
    Role("lasts", ("ticker",)),
    Role("book", ("level2", "depth50", "depth5")),
)


class _Chunk(NamedTuple):
    arrivals: Times
    times: Times
    prices: Floats
    sizes: Floats


class Tiles:
    """Reads the rows of one symbol, and writes them into tiles and tape.

    Parameters
    ----------
    source
        A running stream or a replay.
    symbol
        The symbol that is read.
    window_ns
        Length of time that change and volume cover; ``None``: from the first row on.
    zone
        Time zone of the tape.
    unit
        The unit of sizes and volume; each trade is converted at its own price.

    Attributes
    ----------
    prints
        The rows of the tape.

    Notes
    -----
    Not thread-safe: the refresh thread reads.
    """

    def __init__(
        self,
        source: LiveSource,
        symbol: str,
        window_ns: int | None,
        zone: Zone,
        unit: SizeUnit | None = None,
    ) -> None:
        found = {role.name: pick_channel(source, role, symbol=symbol) for role in _ROLES}
        channels = {role: channel for role, channel in found.items() if channel is not None}
        if channels.get("lasts") == channels.get("quotes"):
            channels.pop("lasts", None)  # they would be the same rows
        if "quotes" in channels:
            channels.pop(
                "book", None
            )  # it is needed only where no quotes have the best bid and ask
        self._gaps = KnownGaps(source, ("trade",), symbol)
        self._breaks = SessionBreaks(source)
        self._window_ns = window_ns
        self._zone = zone
        self._unit = native_unit(symbol) if unit is None else unit
        self._tail = Tail(source, symbol, channels, ["book"])
        self._decimals = Decimals()
        self.prints = TradePrints(
            lambda: source.frame(channels["trades"], symbol or None),
            zone,
            self._decimals,
            self._unit,
        )
        self._restart()

    def _restart(self) -> None:
        self._chunks: deque[_Chunk] = deque()
        self._volume = 0.0
        self._begin = 0  # arrival of the first trade, or of the last one before the window
        self._end = 0  # and of the newest one
        self._quote: tuple[float, float, float, float] | None = None
        self.prints.restart()
        self.trades = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget the prices so far, as those that follow are of another channel."""
        self._first: float | None = None
        self._oldest = 0  # of all trades, or of the last prices where there are none
        self._newest = 0
        self.last: float | None = None
        self.direction = ""

    def update(self) -> None:
        """Take the rows that came since the last call."""
        self.prints.look()
        try:
            self._take_all()
        except Rewound:
            self._tail.restart()
            self._restart()
            self._take_all()

    def _take_all(self) -> None:
        for role, rows in self._tail.rows():
            if not rows.height:
                continue
            if role in ("quotes", "book"):
                self._take_quotes(rows)
            if role == "trades":
                self._take_trades(rows)
            elif not self.trades and "price" in rows.columns:
                self._take_last(rows)  # the source may have trades of other symbols alone

    def _take_quotes(self, rows: pl.DataFrame) -> None:
        newest = rows[-1:] if "bid_price" not in rows.columns else rows[:1]
        if "bid_price" in newest.columns:
            parts = [numbers(newest, name) for name in SIDE_BY_SIDE]
        else:
            parts = list(best_quotes(newest))
        bid, bid_size, ask, ask_size = (float(part[0]) for part in parts)
        self._quote = (bid, bid_size, ask, ask_size)
        self._decimals.learn(np.array([bid, ask]))

    def _take_last(self, rows: pl.DataFrame) -> None:
        prices = numbers(rows, "price")
        prices = prices[np.isfinite(prices)]
        if prices.size:
            self._first = float(prices[0]) if self._first is None else self._first
            self._note(events(rows))
            self._move_to(float(prices[-1]))
            self._decimals.learn(prices)

    def _take_trades(self, rows: pl.DataFrame) -> None:
        if not self.trades:
            self._begin_anew()
        local, times, prices = arrivals(rows), events(rows), numbers(rows, "price")
        sizes = self._unit.of(numbers(rows, "size"), prices)
        self._decimals.learn(prices)
        self.prints.take(rows)
        self.trades += rows.height
        self._note(times)
        self._move_to(float(prices[-1]))
        self._begin, self._end = self._begin or int(local[0]), int(local[-1])
        self._chunks.append(_Chunk(local, times, prices, sizes))
        self._volume += float(np.nansum(sizes))
        if self._window_ns is not None:
            self._forget(self._newest - self._window_ns)
        elif self._first is None:
            self._first = float(prices[0])
        if self._window_ns is None:
            self._chunks.clear()

    def _note(self, times: Times) -> None:
        oldest = int(times.min())
        self._oldest = min(self._oldest, oldest) if self._newest else oldest
        self._newest = max(self._newest, int(times.max()))

    def _forget(self, horizon: int) -> None:
        while self._chunks:
            local, times, prices, sizes = self._chunks[0]
            kept = times >= horizon
            if kept.all():
                break
            self._begin = int(local[~kept].max())
            self._volume -= float(np.nansum(sizes[~kept]))
            if kept.any():
                self._chunks[0] = _Chunk(local[kept], times[kept], prices[kept], sizes[kept])
                break
            self._chunks.popleft()
        if not self._chunks:
            self._volume = 0.0
        self._first = float(self._chunks[0].prices[0]) if self._chunks else self.last

    def _move_to(self, price: float) -> None:
        if self.last is not None and price != self.last:
            self.direction = "up" if price > self.last else "down"
        self.last = price

    # -- texts -----------------------------------------------------------------------------------

    def tiles(self) -> dict[str, tuple[str, str]]:
        """Return text and tone (``up``, ``down`` or none) of each tile that shows the market."""
        decimals = self._decimals.count
        bid, bid_size, ask, ask_size = self._quote or (None,) * 4
        change = self._change()
        return {
            "last": (fixed(self.last, decimals), self.direction),
            "change": (_percent(change), _tone(change)),
            "bid": (fixed(bid, decimals), ""),
            "ask": (fixed(ask, decimals), ""),
            "spread": (fixed(_spread(bid, ask), 2), ""),
            "volume": (self._volume_text(), ""),
            "imbalance": _imbalance(bid_size, ask_size),
        }

    def labels(self) -> dict[str, str]:
        """Return the labels that name the period covered and the unit of sizes, by tile."""
        # Without trades, the change is that of all last prices that there were.
        window_ns = self._window_ns if self.trades else None
        covered = period(window_ns, self._newest - self._oldest) if self._newest else ""
        return labels(covered, self._unit.name, self._known())

    def _known(self) -> str:
        """Name the time since the first known price, if the first ones of the window are lost."""
        if not self._chunks:
            return ""
        first = self._chunks[0]
        if not self._lacks_trades(self._begin, int(first.arrivals[0])):
            return ""
        return period(None, self._newest - int(first.times[0]))

    def _volume_text(self) -> str:
        if not self.trades:
            return DASH
        lacks_some = self._lacks_trades(self._begin, self._end)
        return f"≥ {compact(self._volume)}" if lacks_some else compact(self._volume)

    def _lacks_trades(self, begin: int, end: int) -> bool:
        """Whether trades are missing between two arrivals, ns."""
        return any(
            gap.kind in ("gap", BETWEEN) and gap.begin < end and (gap.end or end) > begin
            for gap in (*self._gaps.look(), *self._breaks.reached)
        )

    def _change(self) -> float | None:
        if self.last is None or not self._first:
            return None
        return (self.last / self._first - 1) * 100


def _spread(bid: float | None, ask: float | None) -> float | None:
    if bid is None or ask is None or not bid + ask > 0:
        return None
    return (ask - bid) / (ask + bid) * 2e4


def _imbalance(bid: float | None, ask: float | None) -> tuple[str, str]:
    if bid is None or ask is None or not bid + ask > 0:
        return DASH, ""
    value = (bid - ask) / (bid + ask)
    return fixed(value, 2, sign=True), _tone(value)


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{value:+z.2f}%"


def _tone(value: float | None) -> str:
    if value is None or abs(value) < 0.005:
        return ""
    return "up" if value > 0 else "down"
