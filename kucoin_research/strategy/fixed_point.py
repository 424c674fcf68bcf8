"""Exact numbers: whole multiples of 10**-18, in which prices, sizes and money are counted.

Floats would drift in long sums, and two sides of one account would differ in the last digits. Each
value is rounded once, when it is computed, and only sums of whole numbers follow.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache

__all__ = ["ONE", "as_float", "fixed", "quotient", "rounded_quotient", "times"]

#: The number 1.
ONE = 10**18

_EXACT = Context(prec=400)


@lru_cache(maxsize=1 << 15)
def fixed(number: float) -> int:
    """Convert a finite number: the decimal that its shortest text names, not its binary value."""
    return int(
        _EXACT.scaleb(Decimal(repr(number)), 18).to_integral_value(ROUND_HALF_EVEN, context=_EXACT)
    )


def as_float(value: int) -> float:
    """Convert to the nearest float."""
    return value / ONE


def times(one: int, other: int) -> int:
    """Multiply two numbers, rounded to the nearest 10**-18, halves to even."""
    return rounded_quotient(one * other, ONE)


def quotient(dividend: int, divisor: int) -> int:
    """Divide two numbers, rounded to the nearest 10**-18, halves to even."""
    return rounded_quotient(dividend * ONE, divisor)


def rounded_quotient(dividend: int, divisor: int) -> int:
    """Divide two integers, rounded to the nearest integer, halves to even."""
    if divisor < 0:
        dividend, divisor = -dividend, -divisor
    whole, rest = divmod(dividend, divisor)
    twice = 2 * rest
    return whole + (twice > divisor or (twice == divisor and whole & 1 == 1))
