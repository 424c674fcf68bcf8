"""Orders that accounts enter into one market's book."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from kucoin_research.sim.engine.matching import (
    BookSide,
    Event,
)

__all__ = ["Submission", "TimeInForce"]

TimeInForce: TypeAlias = Literal["GTC", "IOC", "FOK", "PO"]


# Market orders reach this far past the best price, as a fraction of it.
_MARKET_REACH = 0.05


# A limit price further than this through the fair price is refused, as KuCoin's price bands do.
_PRICE_BAND = 0.1


class Submission(NamedTuple):
    """What became of a submitted order, and the events it caused.

    ``status`` is ``"open"`` (rests, perhaps partly filled), ``"filled"``, ``"canceled"`` (what was
    not filled has been dropped) or ``"rejected"`` (nothing happened).
    """

    order_id: str
    status: Literal["open", "filled", "canceled", "rejected"]
    filled: int
    resting: int
    events: list[Event]


def _reachable(side: BookSide, limit: int) -> int:
    total = 0
    for key in reversed(side.keys):
        if key < limit:
            break
        total += side.sizes[key]
    return total
