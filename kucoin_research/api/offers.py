"""The symbols of a recording, as the exchanges inside offer them."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

from kucoin_research.model.channels import market_of
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import Level2, Ticker, Trade
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sim import Offer

__all__ = ["offer_of", "offers_of"]

_LOOKED_AT = 4  # batches, for the steps of instruments that the recording does not describe


def offers_of(session: Session, timeline: Timeline) -> dict[str, Offer]:
    """Return the offers of a recording's symbols, by symbol.

    A symbol that the recording does not describe has the finest steps that its first rows show, and
    a multiplier of 1.

    Parameters
    ----------
    session
        The recording.
    timeline
        Its rows, of which the first ones are looked at.
    """
    known = session.instruments
    unknown = [symbol for symbol in session.symbols if symbol not in known]
    steps = _steps(timeline) if unknown else {}
    return {
        symbol: offer_of(known[symbol]) if symbol in known else _guessed(symbol, steps)
        for symbol in session.symbols
    }


def offer_of(known: Instrument) -> Offer:
    """Return the offer of a described instrument."""
    return Offer(
        symbol=known.symbol,
        market=known.market.value,
        base=known.base,
        quote=known.quote,
        settle=known.settle,
        tick_size=known.tick_size,
        lot_size=known.lot_size,
        min_size=known.min_size,
        max_size=known.max_size,
        multiplier=known.contract_multiplier,
        is_inverse=known.is_inverse,
        maker_fee=known.maker_fee,
        taker_fee=known.taker_fee,
        status=known.status,
        max_leverage=known.max_leverage,
        funding_interval_ms=known.funding_interval_ms,
        index_symbol=known.index_symbol,
        expires=known.expires,
        display_name=known.display_name,
        max_price=known.max_price,
        market_max_size=known.market_max_size,
        min_funds=known.min_funds,
        price_limit_rate=known.price_limit_rate,
        initial_margin=known.initial_margin,
        maintenance_margin=known.maintenance_margin,
        mmr_limit=known.mmr_limit,
        mmr_size=known.mmr_size,
        mmr_leverage_constant=known.mmr_leverage_constant,
    )


# -- recordings without instruments ----------------------------------------------------------------


def _steps(timeline: Timeline) -> dict[str, tuple[int, int]]:
    """Find the most decimals that prices and sizes have at the beginning, by symbol."""
    found: dict[str, tuple[int, int]] = {}
    for batch in islice(timeline.batches(), _LOOKED_AT):
        for row in batch:
            if isinstance(row, Level2 | Trade | Ticker) and row.symbol is not None:
                price, size = found.get(row.symbol, (0, 0))
                decimals = max(price, _decimals(row.price)), max(size, _decimals(row.size))
                found[row.symbol] = decimals
    return found


def _decimals(value: float | None) -> int:
    if value is None:
        return 0
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _guessed(symbol: str, steps: dict[str, tuple[int, int]]) -> Offer:
    price, size = steps.get(symbol, (0, 0))
    base, quote = _coins(symbol)
    return Offer(
        symbol=symbol,
        market=market_of(symbol).value,
        base=base,
        quote=quote,
        settle=quote,
        tick_size=float(f"1e-{price}"),
        lot_size=float(f"1e-{size}"),
    )


def _coins(symbol: str) -> tuple[str, str]:
    base, dash, quote = symbol.partition("-")
    if dash:
        return base, quote
    quote = next((coin for coin in ("USDT", "USDC", "USD") if symbol.endswith(f"{coin}M")), "")
    return (symbol.removesuffix(f"{quote}M"), quote) if quote else (symbol, "")
