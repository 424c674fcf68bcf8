"""Risk tiers of isolated margin: the larger a position, the less leverage and the more maintenance.

The tiers of the sample of ``GET /api/v1/contracts/risk-limit`` for XBTUSDTM (trading reference,
section 4.4) are those of a first limit of 100,000 and a highest leverage of 125. Other contracts
have the same steps, from their own highest leverage down.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import NamedTuple

__all__ = ["RiskTier", "risk_tiers"]

_LEVERAGES = (125, 100, 75, 50, 30, 20, 10, 5)
_LIMITS = (1, 5, 10, 20, 30, 50)  # in first limits
_STEP = Decimal("0.001")  # initial margins are whole multiples of it


class RiskTier(NamedTuple):
    """One tier.

    Attributes
    ----------
    level
        Its number, from 1.
    above, limit
        The values of a position that belong to it, in the settlement currency: above the one, up to
        the other.
    max_leverage
        The highest leverage.
    initial_margin, maintenance_margin
        Fractions of the whole value of the position.
    """

    level: int
    above: int
    limit: int
    max_leverage: int
    initial_margin: Decimal
    maintenance_margin: Decimal


@cache
def risk_tiers(max_leverage: int, first_limit: int) -> tuple[RiskTier, ...]:
    """Return the tiers of a contract, lowest first, by its highest leverage and first limit."""
    leverages = [max_leverage, *(each for each in _LEVERAGES if each < max_leverage)]
    tiers: list[RiskTier] = []
    for level, (leverage, times) in enumerate(zip(leverages, _LIMITS, strict=False), 1):
        margin = (1 / (leverage * _STEP)).to_integral_value(ROUND_CEILING) * _STEP
        above = tiers[-1].limit if tiers else 0
        tiers.append(RiskTier(level, above, first_limit * times, leverage, margin, margin / 2))
    return tuple(tiers)
