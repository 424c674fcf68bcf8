"""What a market is like, in a few numbers: the same for a recording and for a simulated market."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, log, sqrt
from statistics import NormalDist, fmean, median, quantiles
from typing import NamedTuple

from kucoin_research.sim.engine.market import Market, Trade

__all__ = ["TRAITS", "BookSample", "MarketTraits", "Takers", "traits_of", "volatility", "watch"]

SECOND_NS = 1_000_000_000
_MINUTE = 60
_LONG = 900  # seconds from which a recording has enough minutes for its volatility
_SHORT_LAG = 10
# The spread of sizes is that from the median to this quantile: what matters of them is the tail.
_UPPER = 0.9
_FEWEST_TAKERS = 20


#: The traits that are compared, by the names of their fields.
TRAITS = (
    "price", "volatility", "spread", "depth", "width",
    "book_changes", "takers", "taker_size", "size_spread", "volume",
)  # fmt: skip


class BookSample(NamedTuple):
    """The best levels of a book at a second.

    ``depth`` is the mean size of the counted levels of a side together, ``width`` the mean distance
    of the last of them from the first; both None where only the best prices are known.
    """

    second: int
    mid: float
    spread: float | None = None
    depth: float | None = None
    width: float | None = None


class Takers(NamedTuple):
    """The taking orders of a time: their number, their volume, and (a part of) their sizes."""

    orders: int
    volume: float
    sizes: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketTraits:
    """The traits of a market over some time; None for an unknown one.

    Parameters
    ----------
    seconds
        Length of the time.
    levels
        Number of levels of a side that ``depth`` and ``width`` are of.
    price
        The first price.
    volatility
        Root mean square of the change of the logarithm of the mid in one minute.
    lag
        Seconds between the prices from which it was computed.
    spread
        Mean distance from best bid to best ask.
    depth, width
        Size of the best levels of a side together, and distance of the last from the first: the
        median of the size, since single walls are large, and the mean distance.
    book_changes
        Changes of the book per second.
    takers
        Taking orders per minute: all trades of one time and side are one.
    taker_size
        Median size of a taking order.
    size_spread
        Standard deviation of the logarithm of their sizes, by those above the median.
    volume
        Volume per minute.
    """

    seconds: float
    levels: int = 1
    lag: int = _MINUTE
    price: float | None = None
    volatility: float | None = None
    spread: float | None = None
    depth: float | None = None
    width: float | None = None
    book_changes: float | None = None
    takers: float | None = None
    taker_size: float | None = None
    size_spread: float | None = None
    volume: float | None = None


def traits_of(
    samples: Sequence[BookSample],
    takers: Takers | None,
    *,
    seconds: float,
    levels: int = 1,
    lag: int | None = None,
    book_changes: float | None = None,
    trade_seconds: float | None = None,
) -> MarketTraits:
    """Compute the traits of a market.

    Parameters
    ----------
    samples
        Of seconds in ascending order; some may be missing.
    takers
        None if no trades were recorded.
    seconds
        Length of the time.
    levels
        Number of levels of which the samples have depth and width.
    lag
        Seconds between the prices whose changes are the volatility; None to choose.
    book_changes
        Changes of the book per second, if known.
    trade_seconds
        Length of the time that the taking orders are of; None for the same.
    """
    if lag is None:
        lag = _MINUTE if seconds >= _LONG else _SHORT_LAG
    minutes = (trade_seconds or seconds) / _MINUTE
    sizes = takers.sizes if takers is not None else ()
    mids = {each.second: each.mid for each in samples if each.mid > 0}
    return MarketTraits(
        seconds=seconds,
        levels=levels,
        lag=lag,
        price=samples[0].mid if samples else None,
        volatility=volatility(mids, lag),
        spread=_mean(each.spread for each in samples),
        depth=_middle(each.depth for each in samples),
        width=_mean(each.width for each in samples),
        book_changes=book_changes,
        takers=takers.orders / minutes if takers is not None else None,
        taker_size=median(sizes) if sizes else None,
        size_spread=_size_spread(sizes),
        volume=takers.volume / minutes if takers is not None else None,
    )


def volatility(mids: Mapping[int, float], lag: int) -> float | None:
    """Return the volatility of a minute, of prices by second; None if there are too few."""
    moves = [
        log(later / mid) for second, mid in mids.items() if (later := mids.get(second + lag, 0.0))
    ]
    if len(moves) < lag:
        return None
    return sqrt(fsum(move * move for move in moves) / len(moves) * _MINUTE / lag)


def watch(market: Market, seconds: int, *, levels: int, lag: int) -> MarketTraits:
    """Run a market for some seconds and compute its traits."""
    samples: list[BookSample] = []
    takers: defaultdict[tuple[int, str], int] = defaultdict(int)
    changes = 0
    begin = -(-market.now_ns // SECOND_NS)
    for second in range(begin + 1, begin + seconds + 1):
        for event in market.advance(second * SECOND_NS):
            if isinstance(event, Trade):
                takers[event.time_ns // 1_000_000, event.side] += event.size
            else:
                changes += 1
        samples.append(_sample(market, second, levels))
    sizes = [float(market.size_number(size)) for size in takers.values()]
    return traits_of(
        samples,
        Takers(len(sizes), fsum(sizes), sizes),
        seconds=seconds,
        levels=levels,
        lag=lag,
        book_changes=changes / seconds,
    )


def _sample(market: Market, second: int, levels: int) -> BookSample:
    bids, asks = market.levels("buy", levels), market.levels("sell", levels)
    bid, ask = market.price(bids[0][0]), market.price(asks[0][0])
    size = sum(size for _, size in (*bids, *asks))
    width = market.price(bids[0][0] - bids[-1][0]) + market.price(asks[-1][0] - asks[0][0])
    return BookSample(
        second, (bid + ask) / 2, ask - bid, float(market.size_number(size)) / 2, width / 2
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _size_spread(sizes: Sequence[float]) -> float | None:
    if len(sizes) < _FEWEST_TAKERS:
        return None
    upper = quantiles(sizes, n=10)[-1]
    return log(upper / median(sizes)) / NormalDist().inv_cdf(_UPPER)
