"""Measures of the best bid and ask: mids, spread, imbalance and the flow of orders.

Each function returns a polars expression for rows of the ``ticker`` or ``bbo`` channel. A row's
value depends on this row and those before it, and is null where a price or a size is missing, as
one is while a side of the book is empty. Of several symbols, add ``.over("symbol")`` to
``order_flow_imbalance``, the only one that looks at other rows.
"""

from __future__ import annotations

import polars as pl

from kucoin_research.foundation.arguments import explained, truth
from kucoin_research.frames.windows import Values, numbers, rows_of, total

__all__ = [
    "ASK",
    "ASK_SIZE",
    "BID",
    "BID_SIZE",
    "imbalance",
    "in_bps",
    "mid",
    "order_flow_imbalance",
    "spread",
    "weighted_mid",
]

#: Columns of the best prices and sizes.
BID, BID_SIZE = "best_bid_price", "best_bid_size"
ASK, ASK_SIZE = "best_ask_price", "best_ask_size"


@explained("mid")
def mid(*, bid: Values = BID, ask: Values = ASK) -> pl.Expr:
    """Compute the middle between best bid and best ask: ``(bid + ask) / 2``.

    Parameters
    ----------
    bid, ask
        Prices: the names of columns, or expressions.

    Returns
    -------
    pl.Expr
        ``mid``, in the currency of the prices.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression.

    Examples
    --------
    >>> tickers.with_columns(kr.analytics.mid())
    """
    return ((numbers(bid, "bid") + numbers(ask, "ask")) / 2).alias("mid")


@explained("weighted_mid")
def weighted_mid(
    *,
    bid: Values = BID,
    ask: Values = ASK,
    bid_size: Values = BID_SIZE,
    ask_size: Values = ASK_SIZE,
) -> pl.Expr:
    """Compute the mid weighted by the opposite sizes: ``(ask * B + bid * A) / (B + A)``.

    Here ``B`` and ``A`` are the sizes at the best bid and the best ask, so a large bid moves it
    towards the ask. Often called micro-price, but that of Stoikov (2018) is ``microprice``.

    Parameters
    ----------
    bid, ask, bid_size, ask_size
        Prices and sizes: the names of columns, or expressions.

    Returns
    -------
    pl.Expr
        ``weighted_mid``, in the currency of the prices; null where both sizes are 0.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression.
    """
    share = imbalance(bid_size=bid_size, ask_size=ask_size)
    weighted = numbers(ask, "ask") * share + numbers(bid, "bid") * (1 - share)
    return weighted.alias("weighted_mid")


@explained("spread")
def spread(*, bid: Values = BID, ask: Values = ASK, bps: bool = False) -> pl.Expr:
    """Compute the quoted spread: ``ask - bid``.

    Parameters
    ----------
    bid, ask
        Prices: the names of columns, or expressions.
    bps
        In 1e-4 of the mid, instead of the currency of the prices.

    Returns
    -------
    pl.Expr
        ``spread``, or ``spread_bps``. Below 0 where the book is crossed.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression, or ``bps`` is no bool.
    """
    width = numbers(ask, "ask") - numbers(bid, "bid")
    return in_bps(width, mid(bid=bid, ask=ask), "spread", bps=bps)


def in_bps(amount: pl.Expr, price: pl.Expr, name: str, *, bps: bool) -> pl.Expr:
    """Name an amount, or its ratio to a price in 1e-4, which is null where the price is 0."""
    if not truth(bps, "bps"):
        return amount.alias(name)
    return pl.when(price != 0).then(1e4 * amount / price).alias(f"{name}_bps")


@explained("imbalance")
def imbalance(
    *, bid_size: Values = BID_SIZE, ask_size: Values = ASK_SIZE, signed: bool = False
) -> pl.Expr:
    """Compute the bid's share in the sizes at the best prices: ``B / (B + A)``.

    Parameters
    ----------
    bid_size, ask_size
        ``B`` and ``A``: the names of columns, or expressions.
    signed
        From -1 to 1 instead of 0 to 1: ``(B - A) / (B + A)``.

    Returns
    -------
    pl.Expr
        ``imbalance``; null where both sizes are 0.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression, or ``signed`` is no bool.
    """
    bids, asks = numbers(bid_size, "bid_size"), numbers(ask_size, "ask_size")
    above = bids - asks if truth(signed, "signed") else bids
    return pl.when(bids + asks > 0).then(above / (bids + asks)).alias("imbalance")


@explained("order_flow_imbalance")
def order_flow_imbalance(
    window: int | None = None,
    *,
    bid: Values = BID,
    ask: Values = ASK,
    bid_size: Values = BID_SIZE,
    ask_size: Values = ASK_SIZE,
) -> pl.Expr:
    """Compute the order flow imbalance of Cont, Kukanov and Stoikov (2014).

    Each change of the quote adds to the demand or the supply: ``1{b >= b'} B - 1{b <= b'} B' -
    1{a <= a'} A + 1{a >= a'} A'``, where ``b`` and ``B`` are price and size of the best bid, ``a``
    and ``A`` those of the best ask, and ``'`` means the row before.

    Parameters
    ----------
    window
        Sum of this many rows; each row's own change when left out.
    bid, ask, bid_size, ask_size
        Prices and sizes: the names of columns, or expressions.

    Returns
    -------
    pl.Expr
        ``order_flow_imbalance``, in the unit of the sizes. Null in the first row, behind a row
        with a missing value, and until the window is full.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or a value is neither a name nor an expression.

    Examples
    --------
    >>> quotes.with_columns(kr.analytics.order_flow_imbalance(100).over("symbol"))
    """
    b, a = numbers(bid, "bid"), numbers(ask, "ask")
    bids, asks = numbers(bid_size, "bid_size"), numbers(ask_size, "ask_size")
    demand = _added(b, bids, is_better=b > b.shift(1), is_worse=b < b.shift(1))
    supply = _added(a, asks, is_better=a < a.shift(1), is_worse=a > a.shift(1))
    change = demand - supply
    rows = rows_of(window)
    summed = change if rows is None else total(change, rows)
    return summed.alias("order_flow_imbalance")


def _added(price: pl.Expr, size: pl.Expr, *, is_better: pl.Expr, is_worse: pl.Expr) -> pl.Expr:
    # The size that a better price brings, that a worse one takes away, or the change at the same.
    before = size.shift(1)
    whole = price.is_not_null() & price.shift(1).is_not_null() & size.is_not_null()
    added = pl.when(is_better).then(size).when(is_worse).then(-before).otherwise(size - before)
    return pl.when(whole & before.is_not_null()).then(added)
