"""Bounds of the amounts that accounts move, so that every sum of them is exact."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from kucoin_research.sim.accounts.orders import OrderRefused

__all__ = ["check_amount", "movable"]

# Both together are the 28 digits of decimal arithmetic. KuCoin's amounts have up to 8 decimals;
# those of fees have more.
_BELOW = Decimal(10**13)
_DECIMALS = 15
_FINEST = Decimal(f"1e-{_DECIMALS}")


def movable(amount: Decimal) -> Decimal:
    """Return the most of an amount that `check_amount` lets through; none of a negative one."""
    return max(Decimal(0), amount.quantize(_FINEST, ROUND_DOWN))


def check_amount(amount: Decimal, owned: Decimal, *, code: str) -> None:
    """Check that an amount can be added to one that is owned, without a loss of digits.

    Raises
    ------
    OrderRefused
        With `code`.
    """
    if abs(amount) >= _BELOW or abs(owned + amount) >= _BELOW:
        raise OrderRefused(
            code, f"amount {amount} is too large: all that is owned of a coin is below {_BELOW}"
        )
    if amount % _FINEST:
        raise OrderRefused(code, f"amount {amount} has more than {_DECIMALS} decimals")
