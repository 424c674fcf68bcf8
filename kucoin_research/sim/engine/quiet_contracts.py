"""Synthetic contracts with little trading, cheap enough to stream by the hundred."""

from __future__ import annotations

from itertools import pairwise
from math import exp, fsum, sin, tau
from random import Random

from kucoin_research.sim.engine.catalog import Flow, Listing
from kucoin_research.sim.engine.fundamental_value import MINUTES_PER_DAY

__all__ = ["QuietValue", "quiet_listings"]

_FLOW = Flow(0.8, 0.12, 24, 2.5, 4, 3.0, 100, 15, 100)
# Period in seconds, and amplitude in the logarithm of the price.
_WAVES = ((10_800.0, 0.01), (1_020.0, 0.002), (97.0, 0.0003))
# The slow waves of a contract with a swing: period in seconds, and share of the swing.
_SLOW_WAVES = ((700_000.0, 0.7), (211_000.0, 0.6), (53_000.0, 0.4))
_FIRST_NUMBER = 2_000  # above those of the other contracts
_STEP = 30  # minutes between the points of a day's line


class QuietValue:
    """The price of a synthetic coin as a pure function of time: a few waves around its start.

    A cheap stand-in for `FundamentalValue`, with the same methods, that costs no random draws.

    Parameters
    ----------
    seed
        Seed of the simulated exchange.
    base
        The coin.
    start_price
        Middle of the waves.
    swing
        Size of the slow waves, in the logarithm of the price; with 0 there are none.
    """

    minute_volatility = 0.0005

    def __init__(self, seed: int, base: str, start_price: float, swing: float = 0.0) -> None:
        rng = Random(f"{seed}:{base}:waves")
        self._start_price = start_price
        slow = [(period, share * swing) for period, share in _SLOW_WAVES] if swing else []
        self._waves = [
            (tau / period, size, rng.uniform(0, tau)) for period, size in (*_WAVES, *slow)
        ]

    def at(self, time_ns: int) -> float:
        """Return the price at a time, ns since 1970, unrounded."""
        seconds = time_ns / 1e9
        return self._start_price * exp(
            fsum(size * sin(speed * seconds + phase) for speed, size, phase in self._waves)
        )

    def minutes(self, day: int) -> list[float]:
        """Return the price at each minute of a day and at its end, on a coarse line."""
        start = day * MINUTES_PER_DAY
        times = range(start, start + MINUTES_PER_DAY + 1, _STEP)
        points = [self.at(minute * 60_000_000_000) for minute in times]
        values = [
            left + (right - left) * offset / _STEP
            for left, right in pairwise(points)
            for offset in range(_STEP)
        ]
        return [*values, points[-1]]

    def activity(self, time_ns: int) -> float:  # noqa: ARG002  constant
        """Return volatility relative to its long-run level."""
        return 1.0


def quiet_listings(count: int) -> dict[str, Listing]:
    """Make ``count`` listings, from ``SIM001USDTM`` on; the same in every run."""
    return {listing.symbol: listing for listing in map(_listing, range(1, count + 1))}


def _listing(number: int) -> Listing:
    base = f"SIM{number:03d}"
    return Listing(
        f"{base}USDTM",
        "futures",
        base,
        "USDT",
        "USDT",
        "0.0001",
        "1",
        10.0,
        0.5 + number * 37 % 100 / 10,
        _FLOW,
        350,
        index_symbol=f".K{base}USDT",
        index_decimals=5,
        open_interest=20_000 + number * 91,
        max_leverage=20,
        mmr_size=100_000.0,
        is_quiet=True,
        number=_FIRST_NUMBER + number,
    )
