"""The facts that a recording has about its symbols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Offer"]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """The facts that a recording has about a symbol; a missing fact is None.

    Its fields are those of the recorded instruments, hence their number. ``market`` is
    ``"futures"`` or ``"spot"``. ``multiplier`` is as KuCoin sends it: -1 on inverse contracts, 1 on
    spot. Fees and margins are fractions, ``expires`` is in ns UTC. ``price_limit_rate`` is how far
    the price of an order may be from the mark price on futures, and from the best price on spot. On
    the wire, ``mmr_size`` and ``mmr_leverage_constant`` are ``m`` and ``mmrLevConstant``.
    """

    symbol: str
    market: Literal["futures", "spot"]
    base: str = ""
    quote: str = ""
    settle: str = ""
    tick_size: float | None = None
    lot_size: float | None = None
    min_size: float | None = None
    max_size: float | None = None
    multiplier: float = 1.0
    is_inverse: bool = False
    maker_fee: float | None = None
    taker_fee: float | None = None
    status: str | None = "Open"
    max_leverage: float | None = None
    funding_interval_ms: int | None = None
    index_symbol: str | None = None
    expires: int | None = None
    display_name: str | None = None
    max_price: float | None = None
    market_max_size: float | None = None
    min_funds: float | None = None
    price_limit_rate: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None
    mmr_limit: float | None = None
    mmr_size: float | None = None
    mmr_leverage_constant: float | None = None

    @property
    def is_described(self) -> bool:
        """Whether the recording has more than the instrument's name."""
        return self.tick_size is not None and self.lot_size is not None
