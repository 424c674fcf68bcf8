"""The facts of all symbols of a market: the last 24 hours, funding, mark price, open interest.

KuCoin lists them for all contracts in one call. Of spot pairs it lists the last 24 hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kucoin_research.exchange.rest.schemas import ContractFacts, SpotTicker

__all__ = ["MarketFacts", "facts_of_contracts", "facts_of_pairs"]


class MarketFacts(NamedTuple):
    """What an exchange lists of one symbol; None where it lists nothing.

    Its fields are those of the list, hence their number.

    Attributes
    ----------
    local_timestamp
        Arrival of the list, ns UTC.
    last_price, mark_price, index_price
        In the quote currency; the latter two of contracts only.
    price_change_pct
        Change of the last price over 24 hours, a fraction.
    volume, turnover
        Of the last 24 hours, as in the ``snapshot`` channel.
    funding_rate
        Estimate for the coming settlement, a fraction of the notional.
    next_funding_ns
        Time of that settlement, ns UTC.
    funding_in_ms
        Milliseconds from the arrival to that settlement, by the exchange's clock.
    open_interest
        In contracts.
    contract_multiplier
        Base coins per contract; negative on inverse contracts, None on spot.
    tick_size
        The smallest step of prices; None on spot.
    """

    local_timestamp: int
    symbol: str
    last_price: float | None = None
    price_change_pct: float | None = None
    volume: float | None = None
    turnover: float | None = None
    mark_price: float | None = None
    index_price: float | None = None
    funding_rate: float | None = None
    next_funding_ns: int | None = None
    funding_in_ms: int | None = None
    open_interest: float | None = None
    contract_multiplier: float | None = None
    tick_size: float | None = None


def facts_of_contracts(
    rows: Sequence[ContractFacts], settled: Sequence[int | None], stamps: Sequence[int]
) -> list[MarketFacts]:
    """Make the facts of the rows of ``GET /api/v1/contracts/active``.

    Parameters
    ----------
    rows
        The rows.
    settled
        The next settlement of each, ns UTC.
    stamps
        The arrival of each, ns UTC.
    """
    return [
        MarketFacts(
            stamp,
            row.symbol,
            row.last_trade_price or None,
            row.price_chg_pct,
            row.volume,
            row.turnover,
            row.mark_price or None,
            row.index_price or None,
            row.funding_fee_rate,
            settlement,
            row.next_funding_rate_time,
            row.open_interest,
            row.multiplier,
            row.tick_size or None,
        )
        for stamp, row, settlement in zip(stamps, rows, settled, strict=True)
    ]


def facts_of_pairs(rows: Sequence[SpotTicker], stamps: Sequence[int]) -> list[MarketFacts]:
    """Make the facts of the rows of ``GET /api/v1/market/allTickers``."""
    return [
        MarketFacts(stamp, row.symbol, row.last or None, row.change_rate, row.vol, row.vol_value)
        for stamp, row in zip(stamps, rows, strict=True)
    ]
