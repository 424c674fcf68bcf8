"""Rolling sums of expressions over the newest rows, or over all rows so far."""

from __future__ import annotations

from typing import TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import count

__all__ = ["Values", "largest", "number_of", "numbers", "rows_of", "smallest", "total", "values_of"]

#: Values of rows: the name of a column, or a polars expression.
Values: TypeAlias = str | pl.Expr


def values_of(values: object, name: str) -> pl.Expr:
    """Return an expression of a column's name or of an expression.

    Raises
    ------
    InvalidInput
        If it is neither.
    """
    if isinstance(values, pl.Expr):
        return values
    if not isinstance(values, str) or not values:
        raise InvalidInput(
            f"{name} must be the name of a column or a polars expression, not {shown(values)}"
        )
    return pl.col(values)


def numbers(values: object, name: str) -> pl.Expr:
    """Return an expression of floats; a number that is not finite counts as missing.

    Raises
    ------
    InvalidInput
        If it is neither a column's name nor an expression.
    """
    found = values_of(values, name).cast(pl.Float64)
    return pl.when(found.is_finite()).then(found)


def rows_of(window: object, *, least: int = 1) -> int | None:
    """Return the number of rows of a window; ``None`` means all rows so far.

    Raises
    ------
    InvalidInput
        If it is no whole number, or below ``least``.
    """
    return None if window is None else count(window, "window", "rows", least=least)


def total(values: pl.Expr, window: int | None) -> pl.Expr:
    """Sum the newest values; null where one of the window is missing.

    Of all rows so far, those without a value are left out, and have no sum themselves.
    """
    if window is None:
        return values.cum_sum()
    return values.rolling_sum(window, min_samples=window)


def number_of(values: pl.Expr, window: int | None) -> pl.Expr:
    """Count the values that ``total`` sums."""
    return values.cum_count() if window is None else pl.lit(window)


def largest(values: pl.Expr, window: int | None) -> pl.Expr:
    """Return the largest of the values that ``total`` sums."""
    return values.cum_max() if window is None else values.rolling_max(window, min_samples=window)


def smallest(values: pl.Expr, window: int | None) -> pl.Expr:
    """Return the smallest of the values that ``total`` sums."""
    return values.cum_min() if window is None else values.rolling_min(window, min_samples=window)
