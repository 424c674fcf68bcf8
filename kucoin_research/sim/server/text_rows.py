"""Levels and candles as lists of text, as spot and the unified API send them."""

from __future__ import annotations

from kucoin_research.sim.engine.market import Candle, Market, Side
from kucoin_research.sim.messages.feed import plain

__all__ = ["candle_texts", "side_texts"]


def side_texts(engine: Market, side: Side, depth: int | None) -> list[list[str]]:
    """Return price and size of each level, best first; `depth` is the most levels."""
    levels = engine.levels(side, depth)
    return [[engine.price_text(ticks), engine.size_text(size)] for ticks, size in levels]


def candle_texts(engine: Market, candle: Candle) -> list[str]:
    """Return opening time in s, open, close, high, low, volume and turnover of a candle."""
    return [
        str(candle.open_ms // 1_000),
        plain(candle.open),
        plain(candle.close),
        plain(candle.high),
        plain(candle.low),
        engine.size_text(candle.volume_units),
        plain(candle.turnover),
    ]
