"""The exchanges that an index is made of, and their prices.

Shapes from the protocol reference, section 3.7. The weighted prices add up to the index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from kucoin_research.sim.engine.catalog import Listing

__all__ = ["IndexSource", "index_parts", "index_sources"]

_WIDEST = 0.0001  # distance of one exchange's price from the index, a fraction


class IndexSource(NamedTuple):
    """One exchange of an index: its id, its name, and its share."""

    exchange: str
    name: str
    weight: float


_SPOT_SOURCES = (
    IndexSource("okex", "OKX", 0.3293),
    IndexSource("binance", "Binance", 0.4115),
    IndexSource("kucoin", "KuCoin", 0.0864),
    IndexSource("bybit", "Bybit", 0.0864),
    IndexSource("gateio", "GateIO", 0.0864),
)
_DOLLAR_SOURCES = (
    IndexSource("kraken", "Kraken", 0.25),
    IndexSource("bitstamp", "Bitstamp", 0.2),
    IndexSource("crypto", "Crypto.com", 0.15),
    IndexSource("coinbase", "Coinbase", 0.3),
    IndexSource("binance", "Binance", 0.1),
)


def index_sources(listing: Listing) -> tuple[IndexSource, ...]:
    """Return the exchanges of a contract's index; those of dollars for inverse contracts."""
    return _DOLLAR_SOURCES if listing.is_inverse else _SPOT_SOURCES


def index_parts(
    sources: Sequence[IndexSource], name: str, point_ms: int, value: float, digits: int
) -> list[dict[str, Any]]:
    """Make the ``decomposionList`` of an index at a time; KuCoin misspells this key.

    Parameters
    ----------
    sources
        From ``index_sources``.
    name, point_ms, value
        The index, the time in ms UTC, and its value then.
    digits
        Of the prices, behind the point.
    """
    apart = [_WIDEST * _noise(f"{name} {source.exchange} {point_ms}") for source in sources]
    middle = sum(source.weight * each for source, each in zip(sources, apart, strict=True))
    return [
        {
            "exchange": source.exchange,
            "exchangeName": source.name,
            "price": round(value * (1 + each - middle), digits),
            "weight": source.weight,
        }
        for source, each in zip(sources, apart, strict=True)
    ]


def _noise(text: str) -> float:
    # From -1 to 1: looks random, and is the same whenever it is asked for.
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest())
    return number / 0x7FFF_FFFF - 1
