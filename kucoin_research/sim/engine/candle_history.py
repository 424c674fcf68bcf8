"""Synthetic candles of the days before a market opened."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp
from random import Random

from kucoin_research.sim.engine.candles import MINUTE_MS, CandleRow
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.fair_price import FairPrice
from kucoin_research.sim.engine.fundamental_value import MINUTES_PER_DAY, cached
from kucoin_research.sim.engine.listing_units import ListingUnits

__all__ = ["CandleHistory"]

_QUIET_STEP = 30  # minutes between the trades in the history of a quiet contract
_DAYS_KEPT = 32  # for all markets of this process; half a megabyte each

# By seed and symbol, listing, the market's start in ms, and the day since 1970.
_DAYS: dict[tuple[str, Listing, int, int], list[CandleRow]] = {}


class CandleHistory:
    """Draws the one-minute candles of the days before a market's start.

    They follow the fair price, so that history joins the live price without a jump.

    Parameters
    ----------
    name
        Seed and symbol: equal names draw equal candles.
    listing
        The instrument.
    start_ms
        When the market opens, ms since 1970.
    units
        The listing's units.
    fair
        The market's fair price.
    """

    def __init__(
        self, name: str, listing: Listing, *, start_ms: int, units: ListingUnits, fair: FairPrice
    ) -> None:
        self._name = name
        self.listing = listing
        self._start_ms = start_ms
        self._units = units
        self._fair = fair

    def day(self, day: int) -> list[CandleRow]:
        """Return the rows of a day (since 1970), ascending, up to the market's start."""
        # Every list of contracts asks for the last two days of all, in every exchange of the seed.
        key = self._name, self.listing, self._start_ms, day
        return cached(_DAYS, key, lambda _: self._build_day(day), capacity=_DAYS_KEPT)

    def _build_day(self, day: int) -> list[CandleRow]:
        # The minute of the start is cut short.
        fair = self._fair
        prices = fair.minutes(day)
        rng = Random(f"{self._name}:history:{day}")
        listing = self.listing
        wicks = self._units.in_ticks(fair.minute_volatility * 0.5)
        per_minute = listing.flow.trades_per_minute
        rows = []
        last = (self._start_ms - 1) // MINUTE_MS - day * MINUTES_PER_DAY
        for minute in self._minutes(last):
            draws = (rng.random(), rng.random(), rng.random(), rng.random())
            opened_ms = (day * MINUTES_PER_DAY + minute) * MINUTE_MS
            share = min(1.0, (self._start_ms - opened_ms) / MINUTE_MS)
            if share <= 0:
                break
            start, end = prices[minute], prices[minute + 1]
            is_needed = listing.is_quiet and minute == last
            if share < 1 or is_needed:
                end = fair.at(self._start_ms)
            move = abs(end / start - 1.0) / fair.minute_volatility
            liveliness = share * (0.45 + 0.6 * min(4.0, move))
            if not is_needed and draws[3] < exp(-per_minute * liveliness):
                continue
            reach = start * wicks * (0.4 + 0.6 * min(4.0, move))
            rows.append(self._row(opened_ms, start, end, liveliness, reach, draws))
        return rows

    def _minutes(self, last: int) -> Iterable[int]:
        # The minutes of a day that may have trades. A quiet contract always has one in the last
        # minute before the start, so that its last price is that of its book.
        if not self.listing.is_quiet:
            return range(MINUTES_PER_DAY)
        minutes = range(0, MINUTES_PER_DAY, _QUIET_STEP)
        return sorted({*minutes, last}) if 0 <= last < MINUTES_PER_DAY else minutes

    def _row(
        self,
        opened_ms: int,
        start: float,
        end: float,
        liveliness: float,
        reach: float,
        draws: tuple[float, float, float, float],
    ) -> CandleRow:
        ticks = self._units.ticks_per_price
        opened, close = round(start * ticks), round(end * ticks)
        high = max(opened, close) + int(reach * draws[0] * draws[0])
        low = max(1, min(opened, close) - int(reach * draws[1] * draws[1]))
        mean = liveliness * self.listing.volume_per_minute
        volume = max(1, int(mean * (0.35 + 0.35 / (1.03 - draws[2]) ** 0.6)))
        middle = (opened + high + low + close) // 4
        notional = self._units.notional(middle, volume)
        return CandleRow(opened_ms, opened, high, low, close, volume, notional)
