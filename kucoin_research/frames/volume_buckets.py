"""Buckets of equal volume, and the imbalance of buyers and sellers over them."""

from __future__ import annotations

import polars as pl

from kucoin_research.foundation.arguments import columns_hold, count, explained, positive
from kucoin_research.frames.bar_cuts import check_sums, ends_of_bars, split_by, times_of_bars
from kucoin_research.frames.trade_measures import trade_sign
from kucoin_research.frames.trade_rows import valid_trades

__all__ = ["vpin"]

_ALSO = ("local_timestamp", "side")


@explained("vpin")
def vpin(trades: pl.DataFrame, volume: float, *, window: int = 50) -> pl.DataFrame:
    """Compute the probability of informed trading, VPIN (Easley, López de Prado, O'Hara, 2012).

    The trades of each symbol fill buckets of equal volume; a trade that does not fit is split.
    VPIN is the mean of ``abs(bought - sold) / volume`` over the newest buckets. The side of each
    trade is known here, so volume is not classified by price changes, as in the paper.

    Parameters
    ----------
    trades
        Rows of the ``trade`` channel, of any symbols. Needs ``timestamp``, ``local_timestamp``,
        ``symbol``, ``side``, ``price`` and ``size``. Rows without a time, symbol, side, price or
        size are left out.
    volume
        Size of a bucket, in contracts on futures, and in base coins on spot.
    window
        Number of buckets.

    Returns
    -------
    pl.DataFrame
        A row per full bucket: ``timestamp`` and ``close_time`` (times of its first and last
        trade), ``known_at`` (from then on, by the clock of this machine, all of its trades had
        arrived), ``symbol``, ``buy_volume``, ``sell_volume`` (of takers) and ``vpin``, which is
        null until ``window`` buckets are full. The unfinished last bucket is left out.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``volume`` is not above 0, or so small that there would be too many buckets. If
        ``window`` is no number of buckets. If a column holds values of another kind, or the rows
        are not trades.

    Examples
    --------
    >>> vpin(trades, 1_000).columns
    ['timestamp', 'close_time', 'known_at', 'symbol', 'buy_volume', 'sell_volume', 'vpin']
    """
    amount = positive(volume, "volume", "a size")
    buckets = count(window, "window", "buckets")
    filled = _buckets(trades, amount)
    gap = (pl.col("buy_volume") - pl.col("sell_volume")).abs()
    summed = gap.rolling_sum(buckets, min_samples=buckets).over("symbol")
    return filled.select(
        "timestamp",
        *times_of_bars(None)[:2],
        "symbol",
        "buy_volume",
        "sell_volume",
        (summed / (buckets * amount)).alias("vpin"),
    )


def _buckets(trades: pl.DataFrame, amount: float) -> pl.DataFrame:
    valid = valid_trades(trades, "a VPIN", also=_ALSO)
    columns_hold(trades, words=_ALSO[1:])
    rows = valid.with_columns(sign=trade_sign(), notional=pl.lit(0.0)).drop_nulls("sign")
    check_sums(rows)
    size = pl.col("size")
    return (
        split_by(rows, "size", amount, "volume")
        .group_by("symbol", "bar", maintain_order=True)
        .agg(
            pl.col("timestamp").first(),
            *ends_of_bars(),
            size.filter(pl.col("sign") > 0).sum().alias("buy_volume"),
            size.filter(pl.col("sign") < 0).sum().alias("sell_volume"),
        )
        .filter("is_finished")
    )
