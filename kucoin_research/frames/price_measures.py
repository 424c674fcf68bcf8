"""Measures of prices over windows of rows: volatility, implied spread, and price impact.

Each function returns a polars expression. A row's value depends on this row and those before it,
and is null until the window is full, and where a value in the window is missing. Without a window
it is of all rows so far that have a value, so that in ``group_by`` its ``.last()`` is the group's.
Of several symbols, add ``.over("symbol")``.
"""

from __future__ import annotations

from math import pi

import polars as pl

from kucoin_research.foundation.arguments import count, explained, truth
from kucoin_research.frames.trade_measures import signed_volume
from kucoin_research.frames.windows import (
    Values,
    largest,
    number_of,
    numbers,
    rows_of,
    smallest,
    total,
)

__all__ = [
    "amihud",
    "bipower_variation",
    "jump_variation",
    "kyle_lambda",
    "realised_variance",
    "roll_spread",
    "z_score",
]

# A sum of products is 0 if it is smaller than this fraction of its terms: the rest is rounding.
_ROUNDING = 1e-12


@explained("roll_spread")
def roll_spread(window: int | None = None, *, price: Values = "price") -> pl.Expr:
    """Estimate the spread from the bounce of trade prices (Roll, 1984).

    ``2 * sqrt(-cov)``, where ``cov`` is the mean product of successive price changes: trades that
    alternate between bid and ask make it negative.

    Parameters
    ----------
    window
        Number of price changes, from 2 on; all so far when left out.
    price
        Of trades: the name of a column, or an expression.

    Returns
    -------
    pl.Expr
        ``roll_spread``, in the currency of the prices. Null where the covariance is 0 or above,
        since then the model does not hold.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or ``price`` is neither a name nor an expression.
    """
    rows = _products_of(window)
    change = numbers(price, "price").diff()
    product = change * change.shift(1)
    summed, size = total(product, rows), largest(product.abs(), rows)
    is_negative = (size > 0) & (summed < -_ROUNDING * size)
    covariance = summed / number_of(product, rows)
    return pl.when(is_negative).then(2 * (-covariance).sqrt()).alias("roll_spread")


def _products_of(window: object) -> int | None:
    # A window of n changes has n - 1 products of neighbours.
    rows = rows_of(window, least=2)
    return None if rows is None else rows - 1


@explained("amihud")
def amihud(
    window: int | None = None, *, price: Values = "close", turnover: Values = "turnover"
) -> pl.Expr:
    """Compute the illiquidity of Amihud (2002): the mean of ``abs(return) / turnover``.

    Parameters
    ----------
    window
        Number of returns; all so far when left out.
    price, turnover
        Of bars, such as those of ``ohlcv``: the names of columns, or expressions.

    Returns
    -------
    pl.Expr
        ``amihud``, a return per unit of the turnover's currency. Returns are simple ones, from row
        to row. One over a turnover of 0 counts as missing.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or a value is neither a name nor an expression.
    """
    rows = rows_of(window)
    traded, last = numbers(turnover, "turnover"), numbers(price, "price")
    move = (last / last.shift(1) - 1).abs()
    ratio = pl.when((traded > 0) & (last.shift(1) != 0)).then(move / traded)
    return (total(ratio, rows) / number_of(ratio, rows)).alias("amihud")


@explained("kyle_lambda")
def kyle_lambda(
    window: int | None = None,
    *,
    price: Values = "price",
    volume: Values | None = None,
    intercept: bool = True,
) -> pl.Expr:
    """Estimate the price impact of Kyle (1985): the slope of price changes on signed volume.

    The regression is by least squares. Prices of trades bounce between bid and ask, which adds to
    the slope; ``price=kr.analytics.mid()`` or bars avoid it.

    Parameters
    ----------
    window
        Number of price changes, from 2 on; all so far when left out.
    price
        Of trades or bars: the name of a column, or an expression.
    volume
        Signed volume of the row that ends the change; ``signed_volume()`` when left out.
    intercept
        Let the regression have an intercept. Without one the line goes through 0.

    Returns
    -------
    pl.Expr
        ``kyle_lambda``, in the currency of the prices per unit of volume. Null where the volume
        does not vary, or without an intercept is 0 throughout.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, a value is neither a name nor an expression, or
        ``intercept`` is no bool.
    """
    rows = rows_of(window, least=2)
    moved = numbers(price, "price").diff()
    traded = signed_volume() if volume is None else numbers(volume, "volume")
    y = pl.when(traded.is_not_null()).then(moved)
    x = pl.when(moved.is_not_null()).then(traded)
    both, square = total(x * y, rows), total(x * x, rows)
    varies = largest(x.abs(), rows) > 0
    if truth(intercept, "intercept"):
        mean = total(x, rows) / number_of(x, rows)
        both = both - mean * total(y, rows)
        square = square - mean * total(x, rows)
        varies = largest(x, rows) > smallest(x, rows)
    return pl.when(varies & (square > 0)).then(both / square).alias("kyle_lambda")


@explained("realised_variance")
def realised_variance(window: int | None = None, *, price: Values = "close") -> pl.Expr:
    """Compute the realised variance: the sum of squared log returns (Andersen et al., 2001).

    Parameters
    ----------
    window
        Number of returns; all so far when left out.
    price
        Of bars or quotes: the name of a column, or an expression.

    Returns
    -------
    pl.Expr
        ``realised_variance``, over the window, not annualised.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or ``price`` is neither a name nor an expression.
    """
    return total(_returns(price) ** 2, rows_of(window)).alias("realised_variance")


@explained("bipower_variation")
def bipower_variation(window: int | None = None, *, price: Values = "close") -> pl.Expr:
    """Compute the variance without jumps, by Barndorff-Nielsen and Shephard (2004).

    ``pi / 2`` times the sum of ``abs(r) * abs(r')``, where ``r'`` is the log return before ``r``: a
    single jump is multiplied by its small neighbours.

    Parameters
    ----------
    window
        Number of returns, from 2 on, as for ``realised_variance``; all so far when left out.
    price
        Of bars or quotes: the name of a column, or an expression.

    Returns
    -------
    pl.Expr
        ``bipower_variation``, over the window, not annualised.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or ``price`` is neither a name nor an expression.
    """
    size = _returns(price).abs()
    products = total(size * size.shift(1), _products_of(window))
    return (pi / 2 * products).alias("bipower_variation")


@explained("jump_variation")
def jump_variation(window: int | None = None, *, price: Values = "close") -> pl.Expr:
    """Compute the part of the variance that is due to jumps, from 0 on.

    ``max(realised_variance - bipower_variation, 0)``, by Barndorff-Nielsen and Shephard (2004).

    Parameters
    ----------
    window
        Number of returns, from 2 on; all so far when left out.
    price
        Of bars or quotes: the name of a column, or an expression.

    Returns
    -------
    pl.Expr
        ``jump_variation``, over the window, not annualised.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or ``price`` is neither a name nor an expression.
    """
    smooth = bipower_variation(window, price=price)
    jumps = realised_variance(window, price=price) - smooth
    return jumps.clip(lower_bound=0).alias("jump_variation")


def _returns(price: Values) -> pl.Expr:
    found = numbers(price, "price")
    return pl.when(found > 0).then(found).log().diff()


@explained("z_score")
def z_score(values: Values, window: int) -> pl.Expr:
    """Compute the distance of a value from the mean of its window, in standard deviations.

    The window ends with the row itself. The deviation is that of a sample: divided by ``window -
    1``.

    Parameters
    ----------
    values
        The name of a column, or an expression.
    window
        Number of rows, from 2 on.

    Returns
    -------
    pl.Expr
        ``z_score``; null where all values of the window are equal.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or ``values`` is neither a name nor an expression.
    """
    rows = count(window, "window", "rows", least=2)
    value = numbers(values, "values")
    deviation = value.rolling_std(rows, min_samples=rows)
    distance = value - value.rolling_mean(rows, min_samples=rows)
    varies = (largest(value, rows) > smallest(value, rows)) & (deviation > 0)
    return pl.when(varies).then(distance / deviation).alias("z_score")
