"""Candles and 24-hour statistics of one market, as floats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from kucoin_research.sim.engine.candles import (
    DAY_MS,
    MINUTE_MS,
    CandleRow,
    CandleStore,
    candle_open,
)
from kucoin_research.sim.engine.listing_units import ListingUnits

__all__ = ["Candle", "MarketCandles", "Stats24h"]


class Candle(NamedTuple):
    """One candle; ``open_ms`` is its opening time, ``volume_units`` in lots or ``lot_size``."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume_units: int
    turnover: float


class Stats24h(NamedTuple):
    """Statistics of the last 24 hours; volume in base coins, turnover in quote (or coins)."""

    open: float
    high: float
    low: float
    last: float
    volume: float
    turnover: float
    change: float
    change_pct: float


class MarketCandles:
    """Reads the integer rows of a market as candles and statistics in floats.

    Parameters
    ----------
    store
        The rows.
    units
        The listing's units.
    fair_ticks
        Fair price in ticks at a time in ms: the price of a day without trades.
    """

    def __init__(
        self, store: CandleStore, units: ListingUnits, fair_ticks: Callable[[int], float]
    ) -> None:
        self._store = store
        self._units = units
        self._fair_ticks = fair_ticks
        # The running minute's start, and the minutes before it, merged, of the 24 hours to its end.
        self._day_cache: tuple[int, CandleRow | None] = (-1, None)

    def candle(self, interval_ms: int, open_ms: int) -> Candle | None:
        """Return the candle that opens at a time as it stands; None without trades."""
        row = self._store.row(interval_ms, candle_open(interval_ms, open_ms))
        return None if row is None else self._candle(row)

    def candles(self, interval_ms: int, from_ms: int, to_ms: int) -> list[Candle]:
        """Return the candles that open in ``[from_ms, to_ms]``, ascending, none without trades."""
        if to_ms < from_ms:
            return []
        return [self._candle(row) for row in self._store.rows(interval_ms, from_ms, to_ms)]

    def warm(self, interval_ms: int, from_ms: int, to_ms: int) -> Iterator[None]:
        """Build history that `candles` will need, some milliseconds of work at each step."""
        return self._store.warm(interval_ms, from_ms, to_ms)

    def stats_24h(self, time_ms: int, now_ms: int) -> Stats24h:
        """Return statistics of the 24 hours to a time; their start is rounded to the minute.

        A time after ``now_ms`` counts as ``now_ms``, except for the price of a day without trades.
        """
        until_ms = min(time_ms, now_ms)
        minute = until_ms - until_ms % MINUTE_MS
        # The whole minutes of the window change once a minute only.
        if self._day_cache[0] != minute:
            closed = self._store.window(minute + MINUTE_MS - DAY_MS, minute)
            self._day_cache = (minute, closed)
        closed = self._day_cache[1]
        running = self._store.window(minute, minute + 1)
        rows = [row for row in (closed, running) if row is not None]
        units = self._units
        if not rows:
            price = units.price(round(self._fair_ticks(time_ms)))
            return Stats24h(price, price, price, price, 0.0, 0.0, 0.0, 0.0)
        opened, last = units.price(rows[0].open), units.price(rows[-1].close)
        return Stats24h(
            opened,
            units.price(max(row.high for row in rows)),
            units.price(min(row.low for row in rows)),
            last,
            units.base_volume(sum(row.volume for row in rows)),
            units.turnover(sum(row.notional for row in rows)),
            units.price(rows[-1].close - rows[0].open),
            round(last / opened - 1.0, 4),
        )

    def _candle(self, row: CandleRow) -> Candle:
        price = self._units.price
        opened_ms, opened, high, low, close, volume, notional = row
        turnover = self._units.turnover(notional)
        return Candle(
            opened_ms, price(opened), price(high), price(low), price(close), volume, turnover
        )
