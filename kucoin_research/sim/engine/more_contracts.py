"""The contracts beyond the catalog: hundreds of perpetuals that trade, a few of them briskly.

Their facts are the same in every run; their prices follow the exchange's seed. Coins that exist
come first, the rest are invented. They share their noises and tables, and an engine without a
listener only moves when somebody asks, so that an unwatched contract costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from math import floor, log10
from random import Random
from typing import NamedTuple

from kucoin_research.sim.engine.catalog import HOUR_MS, LISTINGS, Flow, Listing

__all__ = ["MOST_CONTRACTS", "contract_listings"]

#: The largest universe; KuCoin lists about 700 contracts.
MOST_CONTRACTS = 999

# Coins that exist, each with a price of the right size in USDT.
_COINS = """
XRP 2.14 BNB 874 ADA 0.424 TRX 0.281 LINK 13.1 AVAX 13.6 SUI 1.54 BCH 527 LTC 84.6 HBAR 0.143
TON 1.59 DOT 2.27 UNI 6.12 AAVE 182 NEAR 1.83 ICP 3.94 ETC 13.7 APT 2.34 ARB 0.207 OP 0.302
FIL 1.57 ATOM 2.48 INJ 5.83 ALGO 0.139 VET 0.0134 XLM 0.251 RENDER 1.72 SEI 0.137 STX 0.318
IMX 0.287 GRT 0.0462 LDO 0.684 RUNE 0.712 SAND 0.156 MANA 0.173 AXS 1.02 EGLD 8.41 THETA 0.371
XTZ 0.497 EOS 0.238 FLOW 0.219 CHZ 0.0294 CRV 0.413 COMP 33.7 SNX 0.517 DYDX 0.229 GMX 9.64
ZEC 463 DASH 51.8 KSM 8.73 ENJ 0.0327 ZIL 0.00574 BAT 0.217 IOTA 0.113 NEO 4.21 QTUM 1.53
ONE 0.00382 CELO 0.164 WOO 0.0298 JASMY 0.00741 PEPE 0.00000463 BONK 0.00000961
WIF 0.374 ENA 0.268 PENDLE 2.19 TIA 0.618 JUP 0.238 PYTH 0.0741 WLD 0.624 ORDI 4.37
"""

_BEGINNINGS = "al ar bo ca ce da el fi ga ha io ju ka lo mi na or pa qu ra sa ta ul va xe yo za"
_ENDINGS = "bit dex fi gen io la lux mo nex ra ro sol tra va vex xa"


class _Tier(NamedTuple):
    """Contracts that trade about equally much.

    ``last`` is the rank of the last one. ``per_minute`` is the average volume of the flow in lots,
    as measured; ``lot_value`` is about what a lot is worth, in USDT.
    """

    last: int
    flow: Flow
    per_minute: int
    lot_value: float
    max_leverage: int


# Fewer actions at each step, for three times as many contracts: a tail as heavy as KuCoin's.
_TIERS = (
    _Tier(30, Flow(3.0, 0.10, 60, 2.5, 2, 3.0, 120, 12, 100), 900, 12.0, 75),
    _Tier(110, Flow(1.0, 0.09, 40, 2.5, 4, 3.0, 90, 8, 100), 310, 6.0, 50),
    _Tier(330, Flow(0.35, 0.07, 28, 3.0, 6, 4.0, 60, 6, 50), 107, 3.0, 25),
    _Tier(MOST_CONTRACTS, Flow(0.12, 0.05, 20, 4.0, 9, 5.0, 40, 5, 50), 28, 1.5, 20),
)
_FIRST_NUMBER = 1_000  # above those of the catalog
_HISTORY_MINUTES = 30  # the history of such a contract has one candle for this many minutes


def contract_listings(count: int) -> dict[str, Listing]:
    """Make the listings that follow the catalog's, so that ``count`` contracts are on offer.

    Parameters
    ----------
    count
        Contracts in all, those of the catalog included; none are made if it has as many.
    """
    known = [listing for listing in LISTINGS.values() if listing.market == "futures"]
    bases = islice(_bases(frozenset(listing.base for listing in known)), max(0, count - len(known)))
    made = [_listing(base, price, len(known) + at) for at, (base, price) in enumerate(bases, 1)]
    return {listing.symbol: listing for listing in made}


@cache
def _invented() -> tuple[str, ...]:
    beginnings, endings = _BEGINNINGS.split(), _ENDINGS.split()
    names = [first + last for first in beginnings for last in endings]
    names += [first + middle + "n" for first in beginnings for middle in beginnings]
    Random("names of contracts").shuffle(names)
    return tuple(dict.fromkeys(name.upper() for name in names))


def _bases(taken: frozenset[str]) -> Iterator[tuple[str, float]]:
    words = _COINS.split()
    real = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    yield from ((base, price) for base, price in real.items() if base not in taken)
    for base in _invented():
        if base not in taken and base not in real:
            # Prices over six powers of ten, most of them below 1, as on the exchange.
            power = Random(f"{base}:price").gauss(-1.2, 1.1)
            yield base, 10.0 ** min(2.0, max(-4.0, power))


def _listing(base: str, price: float, rank: int) -> Listing:
    rng = Random(f"{base}:contract")
    tier = next(tier for tier in _TIERS if rank <= tier.last)
    decimals = _decimals(price, rng)
    multiplier = 10.0 ** floor(log10(tier.lot_value * rng.uniform(0.5, 3.0) / price))
    return Listing(
        f"{base}USDTM",
        "futures",
        base,
        "USDT",
        "USDT",
        _tick(decimals),
        "1",
        float(f"{multiplier:.0e}"),
        float(f"{price:.4g}"),
        tier.flow,
        tier.per_minute * _HISTORY_MINUTES,
        index_symbol=f".K{base}USDT",
        index_decimals=decimals + 1,
        funding_interval_ms=rng.choice((8, 8, 4, 4, 4, 1)) * HOUR_MS,
        basis=rng.gauss(-0.0003, 0.0007),
        basis_noise=rng.uniform(0.0001, 0.0005),
        open_interest=int(tier.per_minute * rng.lognormvariate(6.0, 0.8)),
        max_leverage=tier.max_leverage,
        mmr_size=float(f"{1e6 / price:.2g}"),
        swing=min(0.4, rng.lognormvariate(-3.2, 0.7)),
        is_quiet=True,
        number=_FIRST_NUMBER + rank,
    )


def _decimals(price: float, rng: Random) -> int:
    # A price has 1,000 to 100,000 ticks: a tick is between 10 and 0.1 basis points.
    return max(1, 4 - floor(log10(price)) - (rng.random() < 0.4))


def _tick(decimals: int) -> str:
    return f"{10.0**-decimals:.{decimals}f}"
