"""Measures of trades against quotes: signs, signed volume, and the spreads that takers pay.

Each function but ``with_quotes`` returns a polars expression for rows of the ``trade`` channel. The
side in these rows is the taker's, so no sign has to be inferred from prices. A value is null where
one that it needs is missing.
"""

from __future__ import annotations

import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.foundation.arguments import columns_hold, explained, has_columns
from kucoin_research.frames.quote_measures import ASK, ASK_SIZE, BID, BID_SIZE, in_bps, mid
from kucoin_research.frames.windows import Values, numbers, rows_of, total, values_of
from kucoin_research.model.intervals import Length, parse_interval

__all__ = [
    "effective_spread",
    "price_impact",
    "realised_spread",
    "signed_volume",
    "trade_sign",
    "with_quotes",
]

_QUOTE = (BID, BID_SIZE, ASK, ASK_SIZE)
_LATER = ("later_mid", "known_at")


@explained("trade_sign")
def trade_sign(*, side: Values = "side") -> pl.Expr:
    """Return 1 for a trade whose taker bought, and -1 for one whose taker sold.

    Parameters
    ----------
    side
        ``buy`` or ``sell``, as the exchange sends it: the name of a column, or an expression.

    Returns
    -------
    pl.Expr
        ``trade_sign``, an ``Int8``; null for any other side.

    Raises
    ------
    InvalidInput
        If ``side`` is neither a name nor an expression.
    """
    taker = values_of(side, "side").cast(pl.String)
    sign = pl.when(taker == "buy").then(1).when(taker == "sell").then(-1)
    return sign.cast(pl.Int8).alias("trade_sign")


@explained("signed_volume")
def signed_volume(
    window: int | None = None, *, side: Values = "side", size: Values = "size"
) -> pl.Expr:
    """Compute the volume that takers bought, less that which they sold.

    Parameters
    ----------
    window
        Sum of this many trades; each trade's own when left out. Of several symbols, add
        ``.over("symbol")``.
    side, size
        The taker's side and the size: the names of columns, or expressions.

    Returns
    -------
    pl.Expr
        ``signed_volume``, in the unit of the sizes. Null until the window is full.

    Raises
    ------
    InvalidInput
        If ``window`` is no number of rows, or a value is neither a name nor an expression.
    """
    rows = rows_of(window)
    signed = trade_sign(side=side) * numbers(size, "size")
    return (signed if rows is None else total(signed, rows)).alias("signed_volume")


@explained("effective_spread")
def effective_spread(
    *,
    price: Values = "price",
    side: Values = "side",
    mid_price: Values | None = None,
    bps: bool = False,
) -> pl.Expr:
    """Compute the effective spread: twice the distance of a trade from the mid before it.

    ``2 * sign * (price - mid)`` (Lee and Ready, 1991; Huang and Stoll, 1996). Needs the quote that
    was in force before the trade; ``with_quotes`` adds it.

    Parameters
    ----------
    price, side
        Of the trade: the names of columns, or expressions.
    mid_price
        Before the trade; ``mid()`` of the row's quote when left out.
    bps
        In 1e-4 of the mid, instead of the currency of the prices.

    Returns
    -------
    pl.Expr
        ``effective_spread``, or ``effective_spread_bps``.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression, or ``bps`` is no bool.

    Examples
    --------
    >>> with_quotes(trades, tickers).with_columns(kr.analytics.effective_spread(bps=True))
    """
    before = _mid(mid_price)
    paid = 2 * trade_sign(side=side) * (numbers(price, "price") - before)
    return in_bps(paid, before, "effective_spread", bps=bps)


@explained("realised_spread")
def realised_spread(
    *,
    price: Values = "price",
    side: Values = "side",
    later_mid: Values = "later_mid",
    mid_price: Values | None = None,
    bps: bool = False,
) -> pl.Expr:
    """Compute the realised spread: twice the distance of a trade from the mid some time later.

    ``2 * sign * (price - later_mid)`` (Huang and Stoll, 1996): the part of the effective spread
    that the maker keeps. It looks ahead by definition. The value stands in the trade's row, and is
    known at ``known_at``, which ``with_quotes`` adds together with ``later_mid``.

    Parameters
    ----------
    price, side
        Of the trade: the names of columns, or expressions.
    later_mid
        The mid some time after the trade.
    mid_price
        Before the trade, for ``bps``; ``mid()`` of the row's quote when left out.
    bps
        In 1e-4 of the mid before the trade, instead of the currency of the prices.

    Returns
    -------
    pl.Expr
        ``realised_spread``, or ``realised_spread_bps``.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression, or ``bps`` is no bool.

    Examples
    --------
    >>> joined = with_quotes(trades, tickers, later="5s")
    >>> joined.with_columns(kr.analytics.realised_spread()).sort("known_at")
    """
    kept = 2 * trade_sign(side=side) * (numbers(price, "price") - numbers(later_mid, "later_mid"))
    return in_bps(kept, _mid(mid_price), "realised_spread", bps=bps)


@explained("price_impact")
def price_impact(
    *,
    side: Values = "side",
    later_mid: Values = "later_mid",
    mid_price: Values | None = None,
    bps: bool = False,
) -> pl.Expr:
    """Compute the price impact: twice the move of the mid in the direction of a trade.

    ``2 * sign * (later_mid - mid)`` (Huang and Stoll, 1996): the effective spread less the realised
    one. It looks ahead by definition. The value stands in the trade's row, and is known at
    ``known_at``, which ``with_quotes`` adds together with ``later_mid``.

    Parameters
    ----------
    side
        Of the trade: the name of a column, or an expression.
    later_mid
        The mid some time after the trade.
    mid_price
        Before the trade; ``mid()`` of the row's quote when left out.
    bps
        In 1e-4 of the mid before the trade, instead of the currency of the prices.

    Returns
    -------
    pl.Expr
        ``price_impact``, or ``price_impact_bps``.

    Raises
    ------
    InvalidInput
        If a value is neither a name nor an expression, or ``bps`` is no bool.
    """
    before = _mid(mid_price)
    moved = 2 * trade_sign(side=side) * (numbers(later_mid, "later_mid") - before)
    return in_bps(moved, before, "price_impact", bps=bps)


def _mid(given: Values | None) -> pl.Expr:
    return mid() if given is None else numbers(given, "mid_price")


@explained("with_quotes")
def with_quotes(
    trades: pl.DataFrame, quotes: pl.DataFrame, *, later: Length | None = None
) -> pl.DataFrame:
    """Join to each trade the quote that was known before it: the last one that arrived earlier.

    A quote that arrived together with the trade may show the trade's own effect, so it is not used.

    Parameters
    ----------
    trades
        Rows of the ``trade`` channel, of any symbols. Needs ``local_timestamp`` and ``symbol``.
    quotes
        Rows of the ``ticker`` or ``bbo`` channel. Needs ``local_timestamp``, ``symbol`` and the
        best prices and sizes. Of rows with the same arrival the last one counts.
    later
        Also join the mid this long after the trade, such as ``"5s"``, for ``realised_spread`` and
        ``price_impact``.

    Returns
    -------
    pl.DataFrame
        ``trades`` in their order, with ``best_bid_price``, ``best_bid_size``, ``best_ask_price``,
        ``best_ask_size`` and ``quote_local_timestamp``, the quote's arrival; null where no quote
        arrived before. With ``later`` also ``known_at``, the trade's arrival plus ``later``, and
        ``later_mid``, the mid of the last quote that arrived before ``known_at``. It looks ahead of
        its row, and is null unless ``quotes`` reach to ``known_at``.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``later`` is not a duration, or is in months. If a column holds values of another kind.
        If the trades have quotes already.

    Examples
    --------
    >>> with_quotes(s.frame("trade"), s.frame("ticker")).with_columns(effective_spread())
    """
    _check_joined(trades, quotes)
    known = _by_arrival(quotes)
    rows = trades.with_row_index("_row").with_columns(
        _symbol=pl.col("symbol").cast(pl.String), _at=_ns("local_timestamp")
    )
    joined = _asof(rows, known.select("_symbol", "_at", *_QUOTE, "quote_local_timestamp"))
    if later is not None:
        joined = _with_later(joined, known, later)
    return joined.sort("_row").drop("_row", "_symbol", "_at")


def _check_joined(trades: pl.DataFrame, quotes: pl.DataFrame) -> None:
    keys = ("local_timestamp", "symbol")
    has_columns(trades, keys, "trades cannot be joined with quotes")
    has_columns(quotes, (*keys, *_QUOTE), "quotes cannot be joined to trades")
    for frame in (trades, quotes):
        columns_hold(frame, times=keys[:1], words=keys[1:])
    columns_hold(quotes, numbers=_QUOTE)
    taken = [each for each in (*_QUOTE, "quote_local_timestamp", *_LATER) if each in trades.columns]
    if taken:
        raise InvalidInput(
            f"the trades have a column {taken[0]!r} already; take rows of the channel 'trade' "
            "without quotes"
        )


def _ns(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Datetime("ns", "UTC"))


def _by_arrival(quotes: pl.DataFrame) -> pl.DataFrame:
    return (
        quotes.select(
            _ns("local_timestamp").alias("_at"),
            _ns("local_timestamp").alias("quote_local_timestamp"),
            pl.col("symbol").cast(pl.String).alias("_symbol"),
            *_QUOTE,
            mid().alias("later_mid"),
        )
        .drop_nulls(["_at", "_symbol"])
        .sort("_at", maintain_order=True)
    )


def _asof(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("_at", maintain_order=True).join_asof(
        known, on="_at", by="_symbol", allow_exact_matches=False, check_sortedness=False
    )


def _with_later(rows: pl.DataFrame, known: pl.DataFrame, later: Length) -> pl.DataFrame:
    delay = parse_interval(later, "later").ns
    if delay is None:
        raise InvalidInput("later must be in weeks or shorter units: months differ in length")
    ends = known.group_by("_symbol").agg(pl.col("_at").max().alias("_end"))
    known_at = (pl.col("_at").cast(pl.Int64) + delay).cast(pl.Datetime("ns", "UTC"))
    ahead = rows.with_columns(known_at=known_at).join(ends, on="_symbol", how="left")
    moved = ahead.with_columns(_at=pl.col("known_at"))
    found = _asof(moved, known.select("_symbol", "_at", "later_mid"))
    # Before a quote arrives at or after that time, an earlier one may still come.
    is_reached = pl.col("known_at") <= pl.col("_end")
    return found.with_columns(later_mid=pl.when(is_reached).then(pl.col("later_mid"))).drop("_end")
