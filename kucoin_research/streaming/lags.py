"""How late the rows of a stream arrived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import polars as pl

from kucoin_research.frames.store import FrameStore
from kucoin_research.model.integrity import Tally
from kucoin_research.model.records import ALL_SYMBOLS, CHANNELS
from kucoin_research.model.report import Lag

__all__ = ["lag_of_newest", "lags_by_symbol"]

_NEWEST_ROWS = 10_000

# Their timestamps are not the time of an event that has just happened.
_WITHOUT_LAG = frozenset({"candle", "status"})
_LAG = [pl.col("lag_ms").quantile(part).alias(f"p{part:.0%}") for part in (0.5, 0.95, 0.99)]


def lag_of_newest(
    store: FrameStore, lags: Callable[[pl.DataFrame], pl.Series], streamed: Collection[str]
) -> Lag | None:
    """Measure the lag of the newest rows, of the first channel that has one.

    Parameters
    ----------
    store
        The rows.
    lags
        Returns how late each row arrived, in milliseconds; null if that is not known.
    streamed
        The channels that stream now: the rows of others say nothing of the present.
    """
    for name in store.totals:
        if name in streamed and name not in _WITHOUT_LAG:
            known = lags(store.rings[CHANNELS[name]].frame(_NEWEST_ROWS)).drop_nulls()
            if not known.is_empty():
                return Lag(*known.to_frame("lag_ms").select(_LAG).row(0))
    return None


def lags_by_symbol(
    store: FrameStore, lags: Callable[[pl.DataFrame], pl.Series], tallies: Sequence[Tally]
) -> dict[tuple[str, str], Lag]:
    """Measure the lag of each channel and symbol, in one pass over each channel's rows.

    Parameters
    ----------
    store, lags
        As above.
    tallies
        The channels and symbols.

    Returns
    -------
    dict[tuple[str, str], Lag]
        By channel and symbol; ``*`` stands for all symbols of a channel.
    """
    found: dict[tuple[str, str], Lag] = {}
    channels = {tally.channel for tally in tallies if tally.rows}
    for channel in channels - _WITHOUT_LAG:
        rows = store.rings[CHANNELS[channel]].frame()
        known = rows.select("symbol", lags(rows)).drop_nulls("lag_ms")
        each = known.group_by(pl.col("symbol").cast(pl.String)).agg(_LAG)
        found |= {(channel, symbol): Lag(*lag) for symbol, *lag in each.drop_nulls().rows()}
        if not known.is_empty():
            found[channel, ALL_SYMBOLS] = Lag(*known.select(_LAG).row(0))
    return found
