"""Synthetic candles of the days before a market opened."""

from __future__ import annotations

from kucoin_research.sim.engine.candles import CandleRow
from kucoin_research.sim.engine.catalog import Listing

__all__: list[str] = []

_QUIET_STEP = 30  # minutes between the trades in the history of a quiet contract


_DAYS_KEPT = 32  # for all markets of this process; half a megabyte each


# What market, its start in ms, and the day since 1970.
_DAYS: dict[tuple[str, Listing, int, int], list[CandleRow]] = {}
