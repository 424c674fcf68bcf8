"""The stylised facts of a simulated market, beside published figures.

Run ``python -m benchmarks.realism [--symbol S] [--seeds N] [--hours H] [--first-seed F]``. The
facts come from the engine's own events, without sockets; each figure is the median (least-most)
over the seeds: those with which the flow was tuned, from 1 on, and others, from F on. A fact for
which a slow market has too few events in that time is left out; give it more hours.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market, Side, Trade

__all__ = ["PUBLISHED", "Fact", "Watched", "facts", "impact", "watch"]

Floats: TypeAlias = npt.NDArray[np.float64]

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
START_NS = 1_767_571_200 * SECOND_NS  # 2026-01-05, a Monday
NEAR = 30  # the depth is that of this many gaps of the book, next to the best price
SIDES: tuple[Side, Side] = ("buy", "sell")
DISTANCES = (0, 1, 3, 10, 30, 100, 300, 1_000)  # edges of bins, in gaps of the book


class Fact(NamedTuple):
    """One stylised fact: its published range, and where that is published.

    Where the source has a sign or a shape rather than figures, the range is a wide one that has it.
    """

    name: str
    least: float
    most: float
    source: str


_CONT = "Cont 2001, doi 10.1080/713665670"
_GET_REAL = "arXiv 1912.04941"
_BITCOIN = "arXiv 1707.07618 and 2402.11930, Bitcoin"
_SIGNS = "Lillo and Farmer 2004, cond-mat/0311053; arXiv 1504.04354"
_GAP = "arXiv 2603.24137"
_BOOK = "Bouchaud, Mezard and Potters 2002, cond-mat/0203511"
_DECAY = "arXiv 1901.05332: 2/3 in the same day, decay by a power law"
_SPREAD = "Wyart et al. 2008, physics/0603084"
_RULES = "KuCoin: funding is the average premium, damped and capped"
_PERPETUALS = "arXiv 2212.06888: funding and arbitrage close the gap"
_SIZES = "Gopikrishnan et al. 2000, cond-mat/0008113: 1.5"
_GAPS = "liquid perpetuals: a few bp, 10 to 15 bp in bursts"
_IMPACT = "arXiv 2603.24137; arXiv 1412.4503, Bitcoin: 0.5"

#: The facts in the order in which they are printed.
PUBLISHED = (
    Fact("excess kurtosis of 10 s returns", 3.0, 200.0, _BITCOIN),
    Fact("excess kurtosis of 1 min returns", 1.0, 100.0, _CONT),
    Fact("kurtosis of 10 s over 5 min", 1.2, 100.0, f"{_CONT}: falls with the horizon"),
    Fact("autocorrelation of 10 s returns", -0.1, 0.1, _CONT),
    Fact("autocorrelation of 1 min returns", -0.15, 0.15, _CONT),
    Fact("autocorrelation of absolute 10 s returns", 0.1, 0.5, _CONT),
    Fact("the same at a lag of 5 min", 0.02, 0.4, _CONT),
    Fact("decay exponent of the same", 0.1, 0.5, f"{_CONT}: 0.2 to 0.4"),
    Fact("volume and volatility of 1 min", 0.2, 0.95, f"{_GET_REAL}: positive"),
    Fact("lag-1 autocorrelation of trade signs", 0.1, 0.6, _SIGNS),
    Fact("decay exponent of trade signs", 0.4, 0.7, _SIGNS),
    Fact("tail exponent of trade sizes", 1.2, 2.0, _SIZES),
    Fact("round sizes among orders", 0.3, 1.0, _GET_REAL),
    Fact("variation of times between events", 1.2, 4.0, f"{_GET_REAL}: clustered, above 1"),
    Fact("most frequent time between events, ms", 1.0, 10.0, f"{_GAP}: a mode at the round trip"),
    Fact("queue at the hump over the best", 1.1, 20.0, _BOOK),
    Fact("queue at the hump over far away", 1.5, 500.0, _BOOK),
    Fact("placement exponent", 0.4, 1.6, f"{_BOOK}: 0.6; cond-mat/0206280: 1.5"),
    Fact("spread and volatility of 1 min", 0.2, 1.0, _SPREAD),
    Fact("depth and volatility of 1 min", -1.0, -0.2, _SPREAD),
    Fact("mid less index, median in bp", 0.2, 5.0, _GAPS),
    Fact("mid less index, 99 % below, in bp", 1.0, 12.0, _GAPS),
    Fact("mid less index, largest in bp", 2.0, 15.0, _GAPS),
    Fact("mark less index, half-life in min", 0.5, 120.0, _PERPETUALS),
    Fact("funding and premium, of hours", 0.7, 1.0, _RULES),
    Fact("impact exponent of parent orders", 0.4, 0.7, _IMPACT),
    Fact("impact left after as long again", 0.3, 0.8, _DECAY),
)


#: A slow market needs more hours for these: a single parent order would be all of its signs, and
#: its mid stands still for many seconds.
FEWEST_TRADES = 4_000
OF_MANY_EVENTS = {
    "autocorrelation of absolute 10 s returns",
    "lag-1 autocorrelation of trade signs",
    "decay exponent of trade signs",
    "tail exponent of trade sizes",
}
#: Below this rate, the children of `impact` are most of the market's trades.
FEWEST_PER_MINUTE = 10.0


@dataclass
class Watched:
    """One market, watched for a while: samples of each second, taking orders, queue shape."""

    mids: Floats
    spreads: Floats
    depths: Floats
    volumes: Floats
    gaps: Floats  # mark less index, of each second, as a fraction
    mid_gaps: Floats  # mid less index and the contract's average basis, likewise
    signs: Floats
    sizes: Floats
    placed_sizes: Floats
    placed_distances: Floats
    event_ms: npt.NDArray[np.int64]
    shape: Floats  # average size of a gap, by distance from the best price
    funding: Floats
    premiums: Floats


def watch(symbol: str, seed: int, hours: float) -> Watched:
    """Run a market and keep what the facts are made of."""
    market = Market(LISTINGS[symbol], seed, START_NS)
    rows: list[tuple[float, ...]] = []
    takers: dict[str, list[float]] = {}
    placed: list[tuple[int, int]] = []
    times: set[int] = set()
    shape = np.zeros(len(DISTANCES) - 1)
    sizes = {side: dict(market.levels(side)) for side in SIDES}
    for second in range(1, int(hours * 3_600) + 1):
        now = START_NS + second * SECOND_NS
        best = {"buy": market.best_bid or 0, "sell": market.best_ask or 0}
        volume = 0.0
        for event in market.advance(now):
            times.add(event.time_ns // MS_NS)
            if isinstance(event, Trade):
                volume += event.size
                sign = 1.0 if event.side == "buy" else -1.0
                takers.setdefault(event.taker_order_id, [sign, 0.0])[1] += event.size
                continue
            added = event.size - sizes[event.side].get(event.price_ticks, 0)
            sizes[event.side][event.price_ticks] = event.size
            if added > 0:
                placed.append((added, abs(best[event.side] - event.price_ticks)))
        rows.append(_sample(market, now, volume))
        if second % 10 == 0:
            shape += _shape(market)
    mids, spreads, depths, volumes, gaps, mid_gaps = np.array(rows).T
    signs, taken = np.array(list(takers.values())).T
    added_sizes, distances = np.array(placed, dtype=float).T
    funding, premiums = _funding(market, int(hours))
    return Watched(
        mids, spreads, depths, volumes, gaps, mid_gaps, signs, taken, added_sizes, distances,
        np.array(sorted(times)), shape, funding, premiums,
    )  # fmt: skip


def facts(watched: Watched) -> dict[str, float]:
    """Compute the stylised facts of a watched market, by the names in ``PUBLISHED``.

    Those for which it had too few events are left out.
    """
    found = _all_facts(watched)
    if watched.signs.size < FEWEST_TRADES:
        found = {name: value for name, value in found.items() if name not in OF_MANY_EVENTS}
    if not watched.gaps.any():  # spot has no mark
        del found["mark less index, half-life in min"], found["funding and premium, of hours"]
    return found


def _all_facts(watched: Watched) -> dict[str, float]:
    logs = np.log(watched.mids)
    ten, minute, five = (np.diff(logs[::step]) for step in (10, 60, 300))
    moves = np.abs(ten)
    minutes = len(watched.mids) // 60
    volatility = np.array(
        [np.abs(np.diff(logs[at * 60 : at * 60 + 60])).sum() for at in range(minutes)]
    )
    volume, spread, depth = (
        part[: minutes * 60].reshape(minutes, 60).mean(axis=1)
        for part in (watched.volumes, watched.spreads, watched.depths)
    )
    delays = np.diff(watched.event_ms)
    density = watched.shape / np.diff(DISTANCES)
    density = density[density > 0]  # as far as the book goes
    off = np.abs(watched.mid_gaps) * 1e4
    hump = density.max()
    return {
        "excess kurtosis of 10 s returns": _kurtosis(ten),
        "excess kurtosis of 1 min returns": _kurtosis(minute),
        "kurtosis of 10 s over 5 min": (_kurtosis(ten) + 3) / (_kurtosis(five) + 3),
        "autocorrelation of 10 s returns": _autocorrelation(ten, 1),
        "autocorrelation of 1 min returns": _autocorrelation(minute, 1),
        "autocorrelation of absolute 10 s returns": _autocorrelation(moves, 1),
        "the same at a lag of 5 min": _mean_autocorrelation(moves, 25, 35),
        "decay exponent of the same": _decay(moves, (1, 3, 10, 30, 60)),
        "volume and volatility of 1 min": _correlation(_logs(volume), _logs(volatility)),
        "lag-1 autocorrelation of trade signs": _autocorrelation(watched.signs, 1),
        "decay exponent of trade signs": _decay(watched.signs, (1, 3, 10, 30, 100)),
        "tail exponent of trade sizes": _hill(watched.sizes, 0.02),
        "round sizes among orders": _round_share(watched.placed_sizes),
        "variation of times between events": float(delays.std() / delays.mean()),
        "most frequent time between events, ms": float(np.bincount(delays[delays < 200]).argmax()),
        "queue at the hump over the best": float(hump / density[0]),
        "queue at the hump over far away": float(hump / density[-1]),
        "placement exponent": _hill(watched.placed_distances[watched.placed_distances > 0], 0.2),
        "spread and volatility of 1 min": _correlation(_logs(spread), _logs(volatility)),
        "depth and volatility of 1 min": _correlation(_logs(depth), _logs(volatility)),
        "mid less index, median in bp": float(np.median(off)),
        "mid less index, 99 % below, in bp": float(np.percentile(off, 99)),
        "mid less index, largest in bp": float(off.max()),
        "mark less index, half-life in min": _half_life(watched.gaps),
        "funding and premium, of hours": _correlation(watched.funding, watched.premiums),
    }


class Impact(NamedTuple):
    """Mean distance from the same market without the parent order, in ticks, by second."""

    path: Floats
    seconds: int  # of the execution; the path goes on for as long again

    def facts(self) -> dict[str, float]:
        """Return the exponent of the rise, and the part that is left at the path's end."""
        times = np.unique(np.geomspace(8, self.seconds, 12).astype(int))
        rise = np.maximum(self.path[times - 1], 1e-9)
        slope = float(np.polyfit(np.log(times), np.log(rise), 1)[0])
        peak = self.path[self.seconds - 8 : self.seconds].mean()
        return {
            "impact exponent of parent orders": slope,
            "impact left after as long again": float(self.path[-16:].mean() / peak),
        }


def impact(
    symbol: str, seed: int, *, orders: int = 24, children: int = 64, times_median: int = 24
) -> Impact:
    """Measure the impact of parent orders: a small order each two seconds, for two minutes.

    The same market runs twice, with and without them: their difference has only the book's noise.
    """
    listing = LISTINGS[symbol]
    seconds = children * 2
    market = Market(listing, seed, START_NS)
    size = listing.flow.trade_size * times_median
    path = np.zeros(2 * seconds)
    for number in range(orders):
        moved: Market = pickle.loads(pickle.dumps(market))
        side, sign = (SIDES[0], 1.0) if number % 2 else (SIDES[1], -1.0)
        for second in range(2 * seconds):
            if second < seconds and second % 2 == 0:
                moved.submit(side, size, owner="parent")
            now = market.now_ns + SECOND_NS
            market.advance(now)
            moved.advance(now)
            path[second] += sign * (_mid(moved) - _mid(market))
    return Impact(path / orders, seconds)


def _mid(market: Market) -> float:
    return ((market.best_bid or 0) + (market.best_ask or 0)) / 2


def _sample(market: Market, now: int, volume: float) -> tuple[float, ...]:
    bid, ask = market.best_bid or 0, market.best_ask or 0
    reach = NEAR * market.listing.flow.gap_ticks
    count = int(reach / max(1.0, market.listing.flow.gap_ticks) * 4)
    depth = sum(size for price, size in market.levels("buy", count) if price >= bid - reach)
    depth += sum(size for price, size in market.levels("sell", count) if price <= ask + reach)
    index = market.index_price(now)
    gap = market.mark_price(now) / index - 1.0
    mid_gap = market.price(bid + ask) / 2 / index - 1.0 - market.listing.basis
    return (bid + ask) / 2, ask - bid, float(depth), volume, gap, mid_gap


def _shape(market: Market) -> Floats:
    gap = market.listing.flow.gap_ticks
    edges = np.array(DISTANCES) * gap
    total = np.zeros(len(DISTANCES) - 1)
    for levels in (market.levels("buy"), market.levels("sell")):
        prices, sizes = np.array(levels, dtype=float).T
        total += np.histogram(np.abs(prices - prices[0]), edges, weights=sizes)[0]
    return total


def _funding(market: Market, hours: int) -> tuple[Floats, Floats]:
    # Settlements before the start and the average premiums that they are made of.
    if market.listing.market == "spot":
        return np.arange(2.0), np.arange(2.0)
    interval = market.listing.funding_interval_ms * MS_NS
    times = market.funding_times(START_NS - 40 * interval, START_NS + hours * 3_600 * SECOND_NS)
    minutes = range(0, interval, 60 * SECOND_NS * 5)
    premiums = [np.mean([market.premium(time - interval + at) for at in minutes]) for time in times]
    return np.array([market.settled_funding(time) for time in times]), np.array(premiums)


def _kurtosis(values: Floats) -> float:
    values = values - values.mean()
    return float((values**4).mean() / (values**2).mean() ** 2 - 3.0)


def _logs(values: Floats) -> Floats:
    # Of a minute without a trade, minus infinity: correlations leave it out.
    with np.errstate(divide="ignore"):
        return np.log(values)


def _correlation(left: Floats, right: Floats) -> float:
    good = np.isfinite(left) & np.isfinite(right)
    return float(np.corrcoef(left[good], right[good])[0, 1])


def _autocorrelation(values: Floats, lag: int) -> float:
    values = values - values.mean()
    return float((values[:-lag] * values[lag:]).mean() / (values * values).mean())


def _mean_autocorrelation(values: Floats, first: int, last: int) -> float:
    return float(np.mean([_autocorrelation(values, lag) for lag in range(first, last)]))


def _decay(values: Floats, edges: tuple[int, ...]) -> float:
    # Slope of the logarithms, of averages between the edges: single lags are noisy.
    means = [max(1e-4, _mean_autocorrelation(values, *pair)) for pair in pairwise(edges)]
    middles = [np.sqrt(left * (right - 1)) for left, right in pairwise(edges)]
    return float(-np.polyfit(np.log(middles), np.log(means), 1)[0])


def _hill(values: Floats, share: float) -> float:
    # Hill's estimate of the exponent of a distribution's tail.
    top = np.sort(values)[-max(10, int(len(values) * share)) :]
    return float(1.0 / np.log(top / top[0]).mean())


def _round_share(sizes: Floats) -> float:
    # Sizes of 10 and more with one or two digits that are not zero.
    big = sizes[sizes >= 100]
    step = 10.0 ** (np.floor(np.log10(big)) - 1)
    return float((big % step == 0).mean())


def _half_life(gaps: Floats) -> float:
    values = gaps[::60]
    return float(np.log(0.5) / np.log(min(0.9999, max(1e-3, _autocorrelation(values, 1)))))


def _all_of(symbol: str, seed: int, hours: float) -> dict[str, float]:
    found = facts(watch(symbol, seed, hours))
    flow = LISTINGS[symbol].flow
    if 60 * flow.actions_per_second * flow.trade_share >= FEWEST_PER_MINUTE:
        found |= impact(symbol, seed).facts()
    return found


def _column(fact: Fact, found: list[dict[str, float]]) -> str:
    values = [each[fact.name] for each in found if fact.name in each]
    if not values:
        return f"  {'too few':26}"
    middle = median(values)
    mark = " " if fact.least <= middle <= fact.most else "!"
    return f"{mark} {f'{middle:.2f} ({min(values):.2f} to {max(values):.2f})':26}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbol", default="XBTUSDTM", choices=LISTINGS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=11, help="the first of the other seeds")
    parser.add_argument("--hours", type=float, default=4.0)
    options = parser.parse_args()
    columns = [
        [_all_of(options.symbol, first + seed, options.hours) for seed in range(options.seeds)]
        for first in (1, options.first_seed)
    ]
    print(f"{options.symbol}: {options.seeds} seeds of {options.hours:g} h, in each column")
    print(f"{'':42}  {'tuned with':26}  {'others':26}  published")
    for fact in PUBLISHED:
        texts = " ".join(_column(fact, found) for found in columns)
        print(f"{fact.name:42}{texts} {fact.least:g} to {fact.most:g} ({fact.source})")


if __name__ == "__main__":
    main()
