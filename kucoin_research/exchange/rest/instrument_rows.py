"""Instruments made of the rows that KuCoin lists."""

from __future__ import annotations

from collections.abc import Collection

from kucoin_research.errors import (
    MessageBroken,
)
from kucoin_research.exchange.rest.schemas import (
    ContractRow,
    PairRow,
)
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.units import to_ns

__all__ = ["contract_of", "optional_ns", "pair_of"]

# Fees at the lowest level by class A, B, C (https://www.kucoin.com/vip/privilege/fee, read
# 2026-11); a symbol's coefficient multiplies them.
_SPOT_FEES = {1: 0.001, 2: 0.002, 3: 0.003}


# The meaning of a contract's sizes, and the coin it settles in, are never guessed.
_NEVER_GUESSED = ("isInverse", "settleCurrency")


def contract_of(facts: ContractRow, odd: Collection[str]) -> Instrument:
    """Make the instrument of a contract.

    Parameters
    ----------
    facts
        The row.
    odd
        Names of fields that made no sense in it, and have their defaults.

    Raises
    ------
    ValueError
        If a field makes no sense that the worth of its sizes depends on.
    """
    for name in _NEVER_GUESSED:
        if name in odd:
            raise ValueError(f"its {name} makes no sense, and what its sizes are worth rests on it")
    is_inverse = facts.multiplier < 0 if facts.is_inverse is None else facts.is_inverse
    if not is_inverse and facts.multiplier < 0:
        raise ValueError("its multiplier is that of an inverse contract, its isInverse is not")
    interval = facts.current_funding_rate_granularity
    if not interval and "currentFundingRateGranularity" not in odd:
        interval = facts.funding_rate_granularity
    return Instrument(
        symbol=facts.symbol,
        market=Market.FUTURES,
        base=facts.base_currency,
        quote=facts.quote_currency,
        settle=facts.settle_currency
        or (facts.base_currency if is_inverse else facts.quote_currency),
        tick_size=facts.tick_size,
        lot_size=facts.lot_size,
        min_size=facts.lot_size,
        max_size=facts.max_order_qty,
        contract_multiplier=facts.multiplier,
        is_inverse=is_inverse,
        maker_fee=facts.maker_fee_rate,
        taker_fee=facts.taker_fee_rate,
        status=facts.status or None,
        max_leverage=facts.max_leverage,
        funding_interval_ms=interval or None,
        index_symbol=facts.index_symbol or None,
        expires=optional_ns(facts.expire_date),
        display_name=facts.display_symbol or None,
        max_price=facts.max_price,
        market_max_size=facts.market_max_order_qty,
        price_limit_rate=_price_limit_rate(facts),
        initial_margin=facts.initial_margin,
        maintenance_margin=facts.maintain_margin,
        mmr_limit=facts.mmr_limit,
        mmr_size=facts.m or None,  # sizes and constants are divided by
        mmr_leverage_constant=facts.mmr_lev_constant or None,
    )


# The limits are rounded to ticks, and may be a little older than the mark price beside them.
_RATE_DIGITS, _RATES_DIFFER = 4, 0.001


def _price_limit_rate(facts: ContractRow) -> float | None:
    """Return the distance of the price limits from the mark price, as a fraction.

    Rows of before 2026 have no rate but the limits of the moment: then the one that both limits
    have, or None.
    """
    if facts.order_price_range is not None and facts.order_price_range > 0:
        return facts.order_price_range
    mark, highest, lowest = facts.mark_price, facts.buy_limit, facts.sell_limit
    if mark is None or highest is None or lowest is None or mark <= 0:
        return None
    above, below = highest / mark - 1, 1 - lowest / mark
    if above <= 0 or abs(above - below) > _RATES_DIFFER:
        return None
    return round(above, _RATE_DIGITS)


_SPOT_STATUS = {True: "Open", False: "Closed", None: None}


def pair_of(facts: PairRow, _: Collection[str]) -> Instrument:
    """Make the instrument of a spot pair."""
    fee = _SPOT_FEES.get(facts.fee_category or 0)
    maker, taker = (
        None if fee is None or coefficient is None else fee * coefficient
        for coefficient in (facts.maker_fee_coefficient, facts.taker_fee_coefficient)
    )
    return Instrument(
        symbol=facts.symbol,
        market=Market.SPOT,
        base=facts.base_currency,
        quote=facts.quote_currency,
        settle=facts.quote_currency,
        tick_size=facts.price_increment,
        lot_size=facts.base_increment,
        min_size=facts.base_min_size,
        max_size=facts.base_max_size,
        maker_fee=maker,
        taker_fee=taker,
        status=_SPOT_STATUS[facts.enable_trading],
        display_name=facts.name,
        min_funds=facts.min_funds,
        price_limit_rate=facts.price_limit_rate,
    )


def optional_ns(value: int | None) -> int | None:
    """Return an optional time in ns UTC; None also for one before 1970 or beyond 2262."""
    try:
        return None if value is None else to_ns(value)
    except MessageBroken:
        return None
