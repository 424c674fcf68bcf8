"""Candles and 24-hour statistics of one market, as floats."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Candle", "Stats24h"]


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
