"""Pages of candles for the REST calls of both markets."""

from __future__ import annotations

from collections.abc import Generator

from kucoin_research.sim.engine.candles import HISTORY_DAYS
from kucoin_research.sim.engine.market import Candle, Market
from kucoin_research.sim.server.routes import (
    MS,
)

__all__ = ["DAY_MS", "candle_page"]

DAY_MS = 86_400_000


def candle_page(
    engine: Market, interval_ms: int, first: int | None, last: int | None, limit: int
) -> Generator[None, None, list[Candle]]:
    """Make one page of candles: from `first` if it is given, otherwise the last ones up to `last`.

    Both are in ms UTC and inclusive; `limit` is the most candles. Yields between pieces of work.
    """
    now_ms = engine.now_ns // MS
    oldest = engine.start_ns // MS - HISTORY_DAYS * DAY_MS
    end = now_ms if last is None else min(last, now_ms)
    begin = oldest if first is None else max(first, oldest)
    step = limit * interval_ms
    rows: list[Candle] = []
    # In steps of one page: quiet markets have no candle in many intervals, so a page can span more
    # time than that, and the whole history would be too long for one piece.
    if first is not None:
        while begin <= end and len(rows) < limit:
            until = min(end, begin + step - 1)
            yield from engine.warm_candles(interval_ms, begin, until)
            rows += engine.candles(interval_ms, begin, until)
            yield
            begin += step
        return rows[:limit]
    while end >= begin and len(rows) < limit:
        since = max(begin, end - step + 1)
        yield from engine.warm_candles(interval_ms, since, end)
        rows = engine.candles(interval_ms, since, end) + rows
        end -= step
        yield
    return rows[-limit:]
