"""The value of a coin at any time, before the exchange opened as well as after.

The value is a pure function of a seed and a time, and can be computed in any order. So a candle of
last month and the live price come from one path and meet without a jump.

The path is refined from coarse to fine: days (a mean-reverting walk away from an anchor day),
minutes bridged between days, seconds bridged between minutes, straight lines between seconds.
Volatility is a product of noises on several time scales, which gives clusters and bursts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise
from math import cos, exp, fsum, log, sin, sqrt, tau
from random import Random
from typing import TypeVar

from kucoin_research.errors import InvalidInput, shown

__all__ = [
    "BASES",
    "FundamentalValue",
    "Noise",
    "PriceModel",
    "cached",
    "coin_of",
    "shared_noise",
]

SECOND_NS = 1_000_000_000
MINUTES_PER_DAY = 1_440
SECONDS_PER_DAY = 86_400
MINUTES_PER_YEAR = 525_600
ANCHOR_DAY = 20_454  # 2026-01-01, in days since 1970: the day that opens at the base's start price

# Share of yesterday's deviation that remains today. It keeps prices within a factor of about two
# of the start price in every year that the virtual clock may show.
_DAILY_MEMORY = 0.996

_VOLATILITY_SCALES = ((1_440, 0.30), (240, 0.35), (30, 0.4), (5, 0.45))
# Minutes have fat tails: a normal draw z becomes z * exp(h * z**2 / 2), whose tail has the exponent
# 1 / h (Tukey's h law). The factor keeps the variance at 1.
_TAIL = 0.2
_TAIL_SCALE = (1.0 - 2.0 * _TAIL) ** 0.75

# Size of the walk of seconds in a minute. It gives the seconds the variance of the minutes: with
# more of it, returns of seconds would be taken back within the minute.
_SECONDS_SHARE = 0.46

_VOLATILITY_VARIANCE = fsum(weight * weight for _, weight in _VOLATILITY_SCALES) * 2 / 3

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class PriceModel:
    """The price model of one coin; volatilities are per square root of a year.

    ``scale`` is a factor on all moves of the price, those of the market among them.
    """

    start_price: float
    market_beta: float
    own_volatility: float
    scale: float = 1.0


BASES: dict[str, PriceModel] = {
    "XBT": PriceModel(86_200.0, 1.0, 0.12),
    "ETH": PriceModel(2_750.0, 1.2, 0.30),
    "SOL": PriceModel(142.0, 1.3, 0.45),
    "DOGE": PriceModel(0.21, 1.3, 0.50),
    "SHIB": PriceModel(0.00000812, 1.3, 0.55),
    "KCS": PriceModel(11.6, 0.6, 0.25),
}
MARKET_VOLATILITY = 0.35
_ALIASES = {"BTC": "XBT"}


class Noise:
    """Smooth noise around zero: sums of straight lines between normal draws on several scales.

    Parameters
    ----------
    name
        Seed text; equal names give equal noise.
    scales
        Pairs of (minutes between draws, standard deviation of the draws). Scales divide a day and
        each other.
    """

    def __init__(self, name: str, scales: Sequence[tuple[int, float]]) -> None:
        self._name = name
        self._scales = tuple(scales)
        self._grid = min(scale for scale, _ in scales)
        self._days: dict[int, list[float]] = {}

    def __reduce__(self) -> tuple[object, ...]:
        # Name and scales determine it; the copy is the shared noise, whose days are built already.
        return shared_noise, (self._name, self._scales)

    def day(self, day: int) -> list[float]:
        """Return the noise at each minute of a day and at its end: 1,441 values."""
        return cached(self._days, day, self._build_day, capacity=8)

    def at(self, minute: float) -> float:
        """Return the noise at a time in minutes since 1970."""
        whole = int(minute // 1)
        day, offset = divmod(whole, MINUTES_PER_DAY)
        values = self.day(day)
        return values[offset] + (values[offset + 1] - values[offset]) * (minute - whole)

    def _build_day(self, day: int) -> list[float]:
        nodes = self._nodes(day)
        # The first draws of the next day close this one, so days join without a step.
        following = _normal_draws(f"{self._name}:{day + 1}", len(nodes))
        for line, draw in zip(nodes, following, strict=True):
            line.append(draw)
        points = MINUTES_PER_DAY // self._grid
        coarse = [0.0] * (points + 1)
        for (scale, weight), line in zip(self._scales, nodes, strict=True):
            _add_lines(coarse, line, scale // self._grid, weight)
        values = [0.0] * (MINUTES_PER_DAY + 1)
        _add_lines(values, coarse, self._grid, 1.0)
        return values

    def _nodes(self, day: int) -> list[list[float]]:
        counts = [MINUTES_PER_DAY // scale for scale, _ in self._scales]
        draws = iter(_normal_draws(f"{self._name}:{day}", sum(counts)))
        nodes = [[next(draws)] for _ in counts]
        for count, line in zip(counts, nodes, strict=True):
            line.extend(islice(draws, count - 1))
        return nodes


@lru_cache(maxsize=64)
def shared_noise(name: str, scales: tuple[tuple[int, float], ...]) -> Noise:
    """Return the one noise of a name, shared by all markets and threads."""
    return Noise(name, scales)


class _Path:
    # A walk of logarithms, zero at the anchor day. All coins share the path of the market, and all
    # markets of a coin the path of the coin, also across exchanges of the same seed, which run in
    # threads of their own. Two threads that need the same part both compute it, with equal results.

    def __init__(self, name: str, yearly_volatility: float) -> None:
        self._name = name
        self._minute_volatility = yearly_volatility / sqrt(MINUTES_PER_YEAR)
        self._day_volatility = yearly_volatility / sqrt(365)
        self._noise = Noise(f"{name}:volatility", _VOLATILITY_SCALES)
        self._later = [0.0]
        self._earlier = [0.0]
        self._minutes: dict[int, list[float]] = {}
        self._seconds: dict[int, list[float]] = {}

    def minutes(self, day: int) -> list[float]:
        # 1,441 values: each minute of the day and its end.
        return cached(self._minutes, day, self._build_minutes, capacity=8)

    def second(self, second: int) -> float:
        minute, offset = divmod(second, 60)
        return cached(self._seconds, minute, self._build_seconds, capacity=8)[offset]

    def volatility(self, minute: float) -> float:
        # Relative to the long-run level: 1.0 on average.
        return exp(self._noise.at(minute) - _VOLATILITY_VARIANCE / 2)

    def _day_open(self, day: int) -> float:
        # A stationary Gaussian walk has the same law in both directions, so one method serves both.
        distance = day - ANCHOR_DAY
        if distance >= 0:
            days = self._later = self._walked(self._later, "+", distance)
        else:
            days = self._earlier = self._walked(self._earlier, "-", -distance)
        return days[abs(distance)]

    def _walked(self, days: list[float], sign: str, distance: int) -> list[float]:
        if len(days) > distance:
            return days
        longer = days.copy()
        while len(longer) <= distance:
            step = Random(f"{self._name}:day:{sign}{len(longer)}").gauss(0.0, self._day_volatility)
            longer.append(longer[-1] * _DAILY_MEMORY + step)
        return longer

    def _build_minutes(self, day: int) -> list[float]:
        start, end = self._day_open(day), self._day_open(day + 1)
        draws = _normal_draws(f"{self._name}:minutes:{day}", MINUTES_PER_DAY)
        level = self._minute_volatility * exp(-_VOLATILITY_VARIANCE)
        scales = [level * exp(noise) for noise in self._noise.day(day)[:-1]]
        half, factor = _TAIL / 2, _TAIL_SCALE
        steps = [
            draw * exp(half * draw * draw) * factor * scale
            for draw, scale in zip(draws, scales, strict=True)
        ]
        return _bridge(start, end, steps, scales)

    def _build_seconds(self, minute: int) -> list[float]:
        day, offset = divmod(minute, MINUTES_PER_DAY)
        values = self.minutes(day)
        draws = _normal_draws(f"{self._name}:seconds:{minute}", 120)
        level = self._minute_volatility * self.volatility(minute) / sqrt(60) * _SECONDS_SHARE
        scales = [level * exp(draw * 0.7) for draw in draws[:60]]
        steps = [draw * scale for draw, scale in zip(draws[60:], scales, strict=True)]
        return _bridge(values[offset], values[offset + 1], steps, scales)


@lru_cache(maxsize=32)
def _path(name: str, yearly_volatility: float) -> _Path:
    return _Path(name, yearly_volatility)


class FundamentalValue:
    """The price of one coin in dollars as a pure function of time.

    Coins share a market factor, so they move together; each adds its own walk.

    Parameters
    ----------
    seed
        Seed of the simulated exchange; equal seeds give equal paths.
    base
        Coin, such as ``"XBT"`` (``"BTC"`` means the same) or ``"ETH"``; see ``BASES``.
    model
        Its price model; None for the one in ``BASES``.

    Raises
    ------
    InvalidInput
        If the coin is not known and has no model.

    Examples
    --------
    >>> FundamentalValue(7, "XBT").at(0) == FundamentalValue(7, "BTC").at(0)
    True
    """

    def __init__(self, seed: int, base: str, model: PriceModel | None = None) -> None:
        base = coin_of(base)
        if model is None and base not in BASES:
            raise InvalidInput(f"no coin {shown(base)}; coins: {', '.join(BASES)}")
        self.base = base
        self._seed = seed
        self._model = model
        facts = BASES[base] if model is None else model
        self._start_price = facts.start_price
        self._beta = facts.market_beta
        self._scale = facts.scale
        self._market = _path(f"{seed}:market", MARKET_VOLATILITY)
        self._own = _path(f"{seed}:{base}", facts.own_volatility)
        market, own = (facts.market_beta * MARKET_VOLATILITY) ** 2, facts.own_volatility**2
        self._market_share = market / (market + own)
        self.minute_volatility = facts.scale * sqrt((market + own) / MINUTES_PER_YEAR)
        self._nodes: dict[int, float] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return FundamentalValue, (self._seed, self.base, self._model)

    def at(self, time_ns: int) -> float:
        """Return the price at a time (ns since 1970, UTC), unrounded."""
        second, rest = divmod(time_ns, SECOND_NS)
        start = self._node(second)
        if not rest:
            return start
        return start + (self._node(second + 1) - start) * (rest / SECOND_NS)

    def minutes(self, day: int) -> list[float]:
        """Return the price at each minute of a day (since 1970) and at its end: 1,441 values."""
        price, beta, scale = self._start_price, self._beta, self._scale
        pairs = zip(self._market.minutes(day), self._own.minutes(day), strict=True)
        return [price * exp(scale * (beta * market + own)) for market, own in pairs]

    def activity(self, time_ns: int) -> float:
        """Return volatility at a time relative to its long-run level, which is about 1."""
        minute = time_ns / (60 * SECOND_NS)
        market, own = self._market.volatility(minute), self._own.volatility(minute)
        share = self._market_share
        return sqrt(share * market * market + (1.0 - share) * own * own)

    def _node(self, second: int) -> float:
        return cached(self._nodes, second, self._build_node, capacity=16)

    def _build_node(self, second: int) -> float:
        exponent = self._beta * self._market.second(second) + self._own.second(second)
        return self._start_price * exp(self._scale * exponent)


def coin_of(name: str) -> str:
    """Return the one name of a coin: KuCoin calls one coin both XBT and BTC."""
    return _ALIASES.get(name, name)


def cached(cache: dict[_K, _V], key: _K, build: Callable[[_K], _V], *, capacity: int) -> _V:
    """Return the cached value of a key, or build it; may be called from any thread.

    The oldest entry is evicted: callers walk through time, so it is the one least needed.
    """
    found = cache.get(key)
    if found is None:
        found = build(key)
        if len(cache) >= capacity:
            # Another exchange may evict the same entry at the same time, in its own thread.
            [oldest, *_] = list(cache)
            cache.pop(oldest, None)
        cache[key] = found
    return found


def _normal_draws(name: str, count: int) -> list[float]:
    # The first draws of `Random(name).gauss(0.0, 1.0)`. A day needs thousands; drawn one by one,
    # they would be half of the work. (Box and Muller's pairs, as in CPython's random.py)
    random = Random(name).random
    draws: list[float] = []
    for _ in range(-(-count // 2)):
        angle = random() * tau
        radius = sqrt(-2.0 * log(1.0 - random()))
        draws.append(cos(angle) * radius)
        draws.append(sin(angle) * radius)
    return draws[:count]


def _add_lines(values: list[float], nodes: Sequence[float], spacing: int, weight: float) -> None:
    # Add straight lines between nodes to `values`, whose last entry is the last node itself.
    index = 0
    for left, right in pairwise(nodes):
        level, step = left * weight, (right - left) * weight / spacing
        for offset in range(spacing):
            values[index] += level + step * offset
            index += 1
    values[index] += nodes[-1] * weight


def _bridge(
    start: float, end: float, steps: Sequence[float], scales: Sequence[float]
) -> list[float]:
    # The walk of `steps`, bent so that it arrives at `end`. Large steps take most of the bend, so
    # that quiet minutes stay quiet.
    # fsum, because the rounding of sum() changed in Python 3.12.
    missing = (end - start - fsum(steps)) / fsum(scale * scale for scale in scales)
    level = start
    values = [level]
    for step, scale in zip(steps, scales, strict=True):
        level += step + missing * scale * scale
        values.append(level)
    values[-1] = end
    return values
