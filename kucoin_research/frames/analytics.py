"""Bars, averages and market-microstructure measures of trades and quotes. No I/O.

Users call it ``kr.analytics``. Functions of a frame return a frame. Measures return a polars
expression, for eager and lazy frames: ``tickers.with_columns(kr.analytics.mid())``. Those that look
at other rows take rows in the order of time, and with several symbols ``.over("symbol")``. Values
depend on past rows only; what looks ahead by definition says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Protocol, TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import columns_hold, explained, has_columns, truth
from kucoin_research.frames.bar_cuts import (
    check_sums,
    cut_into_bars,
    ends_of_bars,
    floor_to,
    named_interval,
    times_of_bars,
)
from kucoin_research.frames.indicators import atr, ema, rsi, sma, vwap_bands
from kucoin_research.frames.microprice_fit import MicropriceFit, fit_microprice, microprice
from kucoin_research.frames.price_measures import (
    amihud,
    bipower_variation,
    jump_variation,
    kyle_lambda,
    realised_variance,
    roll_spread,
    z_score,
)
from kucoin_research.frames.quote_measures import (
    imbalance,
    mid,
    order_flow_imbalance,
    spread,
    weighted_mid,
)
from kucoin_research.frames.trade_measures import (
    effective_spread,
    price_impact,
    realised_spread,
    signed_volume,
    trade_sign,
    with_quotes,
)
from kucoin_research.frames.trade_rows import BAR_SCHEMA, in_order, valid_trades, whole_rows
from kucoin_research.frames.volume_buckets import vpin
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.intervals import MINUTE, Length
from kucoin_research.model.records import ROWS_FILLED

__all__ = [
    "MicropriceFit",
    "amihud",
    "atr",
    "bipower_variation",
    "effective_spread",
    "ema",
    "fit_microprice",
    "imbalance",
    "jump_variation",
    "kyle_lambda",
    "mark_filled",
    "microprice",
    "mid",
    "mid_bars",
    "ohlcv",
    "order_flow_imbalance",
    "price_impact",
    "realised_spread",
    "realised_variance",
    "roll_spread",
    "rsi",
    "signed_volume",
    "sma",
    "spread",
    "trade_sign",
    "vpin",
    "vwap",
    "vwap_bands",
    "weighted_mid",
    "with_quotes",
    "z_score",
]

_ARRIVAL = ("local_timestamp",)
_QUOTED = ("timestamp", "symbol", "best_bid_price", "best_ask_price")


def __dir__() -> list[str]:
    return __all__


Instruments: TypeAlias = Instrument | Iterable[Instrument] | Mapping[str, Instrument] | None


@explained("ohlcv")
def ohlcv(
    trades: pl.DataFrame,
    every: Length = MINUTE,
    *,
    volume: float | None = None,
    notional: float | None = None,
    ticks: int | None = None,
    instrument: Instruments = None,
    times: bool = False,
) -> pl.DataFrame:
    """Make candles of trades, by time, volume, notional or number of trades, for each symbol.

    Parameters
    ----------
    trades
        Rows of the ``trade`` channel, of any symbols. Needs ``timestamp`` (ns, UTC), ``symbol``,
        ``price`` and ``size``. Rows with a missing value, or a number that is not finite, are left
        out. Trades with the same time are taken in the order of the rows.
    every
        Interval, such as ``"10s"``, ``"5m"``, KuCoin's ``"5min"``, ``"1 hour"``, or a
        ``timedelta``; one minute when left out. Leave it out for volume, notional and tick bars.
        Intervals start on round times in UTC, and weeks on Monday, like KuCoin's.
    volume
        Make volume bars instead: a bar closes when this size has traded. A trade that does not fit
        is split, at its own price, over the bars that it fills. Every bar therefore holds exactly
        this size, except the last one of each symbol, which may hold less. At most a million bars
        are made, or one per trade if there are more trades.
    notional
        Make bars of this turnover, in its currency ("dollar bars"). Futures need ``instrument``.
    ticks
        Make bars of this number of trades.
    instrument
        One or several instruments, for the turnover of futures: their trades do not contain a
        contract's worth. Pass the ``instruments`` of a stream or a session.
    times
        Add the columns ``close_time``, ``known_at`` and ``is_finished``, for research that must not
        use a bar before its end. Needs ``local_timestamp``.

    Returns
    -------
    pl.DataFrame
        Columns of the ``candle`` channel without ``local_timestamp``: ``timestamp`` (open time of
        the interval; for other bars the time of their first trade), ``symbol``, ``interval``
        (KuCoin's name if it has one; ``volume:<size>``, ``notional:<turnover>``, ``ticks:<n>``),
        ``open``, ``high``, ``low``, ``close``, ``volume`` (contracts on futures, base coins on
        spot) and ``turnover`` (quote currency; base coins on inverse contracts; null on futures
        without ``instrument``). Symbols come in the order of their first trade, each ascending in
        time. Intervals without trades are absent. Sums are exact to 15 significant digits, and
        therefore equal to the exchange's.

        With ``times``, ``close_time`` is the end of the interval, or the time of the last trade of
        other bars. From ``known_at`` on, by the clock of this machine, all trades of the bar had
        arrived, and a bar by time was over; it is null where the arrival of a trade is missing.
        ``is_finished`` is false for the last bar of each symbol, unless it is full: later trades
        may belong to it, so ``known_at`` is not final either.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``every`` is not a duration. If more than one of ``every``, ``volume``, ``notional`` and
        ``ticks`` is given, if one of them is not above 0, or if it is so small that there would be
        too many bars. If ``instrument`` is not an instrument. If a column holds texts instead of
        times or numbers, or sizes that add up to 1e37. If the rows are not trades: tickers skip
        trades, so their volume would be too small; orders and changes of a book are refused, too.

    Examples
    --------
    >>> ohlcv(trades, every="5m").columns
    ['timestamp', 'symbol', 'interval', 'open', 'high', 'low', 'close', 'volume', 'turnover']
    """
    also = _ARRIVAL if truth(times, "times") else ()
    rows = _with_notional(valid_trades(trades, "candles", also=also), instrument)
    check_sums(rows)
    name, bars, is_timed = cut_into_bars(rows, every, volume, notional, ticks)
    grouped = bars.group_by("symbol", "bar", maintain_order=True).agg(
        pl.col("timestamp").first(),
        pl.col("price").first().alias("open"),
        pl.col("price").max().alias("high"),
        pl.col("price").min().alias("low"),
        pl.col("price").last().alias("close"),
        pl.col("size"),
        pl.col("notional"),
        *(ends_of_bars() if times else ()),
    )
    opened = pl.col("bar") if is_timed else pl.col("timestamp")
    return grouped.select(
        opened.alias("timestamp"),
        "symbol",
        pl.lit(name).alias("interval"),
        "open",
        "high",
        "low",
        "close",
        _sums(grouped["size"]).alias("volume"),
        _sums(grouped["notional"]).alias("turnover"),
        *(times_of_bars(named_interval(every)[1] if is_timed else None) if times else ()),
    ).cast(BAR_SCHEMA)


@explained("mid_bars")
def mid_bars(quotes: pl.DataFrame, every: Length = "1m") -> pl.DataFrame:
    """Make bars of the mid between best bid and best ask, for each symbol.

    Parameters
    ----------
    quotes
        Rows of the ``ticker`` or ``bbo`` channel, of any symbols. Needs ``timestamp`` (ns, UTC),
        ``symbol``, ``best_bid_price`` and ``best_ask_price``. Rows with a missing value, or a
        number that is not finite, are left out.
    every
        Interval, as for ``ohlcv``.

    Returns
    -------
    pl.DataFrame
        ``timestamp`` (interval open), ``symbol``, ``interval``, ``open``, ``high``, ``low``,
        ``close`` (of the mid), ``spread`` (mean of ask less bid over the quotes; quote currency)
        and ``quotes`` (their number). Quotes have no volumes: for these use ``ohlcv`` with trades.
        Intervals without quotes are absent.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``every`` is not a duration, or a column holds texts instead of times or numbers.

    Examples
    --------
    >>> mid_bars(tickers, every="10s").columns[-2:]
    ['spread', 'quotes']
    """
    name, duration = named_interval(every)
    has_columns(quotes, _QUOTED, "bars of mids cannot be made")
    columns_hold(quotes, times=_QUOTED[:1], words=_QUOTED[1:2], numbers=_QUOTED[2:])
    bid, ask = pl.col("best_bid_price"), pl.col("best_ask_price")
    rows = in_order(whole_rows(quotes, _QUOTED)).select(
        "symbol", floor_to(duration).alias("timestamp"), mid=(bid + ask) / 2, spread=ask - bid
    )
    mid = pl.col("mid")
    return (
        rows.group_by("symbol", "timestamp", maintain_order=True)
        .agg(
            mid.first().alias("open"),
            mid.max().alias("high"),
            mid.min().alias("low"),
            mid.last().alias("close"),
            pl.col("spread").mean(),
            pl.len().cast(pl.Int64).alias("quotes"),
        )
        .select(
            "timestamp",
            "symbol",
            pl.lit(name).alias("interval"),
            *("open", "high", "low", "close", "spread", "quotes"),
        )
    )


@explained("vwap")
def vwap(trades: pl.DataFrame, every: Length = "1m") -> pl.DataFrame:
    """Compute the volume-weighted average price per interval, for each symbol.

    Parameters
    ----------
    trades
        Rows of the ``trade`` channel. Needs ``timestamp`` (ns, UTC), ``symbol``, ``price`` and
        ``size``. Rows with a missing value, or a number that is not finite, are left out.
    every
        Interval, as for ``ohlcv``.

    Returns
    -------
    pl.DataFrame
        ``timestamp`` (interval open), ``symbol``, ``vwap`` (``sum(price * size) / sum(size)``,
        quote currency) and ``size`` (contracts on futures, base coins on spot). Intervals without
        trades are absent.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``every`` is not a duration, or a column holds texts instead of times or numbers. If the
        rows are not trades but tickers, which skip trades, or orders or changes of a book.

    Examples
    --------
    >>> vwap(trades, every="5m").columns
    ['timestamp', 'symbol', 'vwap', 'size']
    """
    _, duration = named_interval(every)
    rows = valid_trades(trades, "a vwap").with_columns(notional=pl.col("price") * pl.col("size"))
    check_sums(rows)
    weighted = pl.col("notional").sum() / pl.col("size").sum()
    return (
        rows.with_columns(floor_to(duration).alias("timestamp"))
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(weighted.alias("vwap"), pl.col("size").sum())
        .select("timestamp", "symbol", "vwap", "size")
    )


def _instruments(given: Instruments) -> list[Instrument]:
    if given is None or isinstance(given, Instrument):
        return [] if given is None else [given]
    listed: Iterable[object] = given.values() if isinstance(given, Mapping) else given
    if isinstance(listed, str | bytes) or not isinstance(listed, Iterable):
        listed = [listed]
    found = []
    for each in listed:
        if not isinstance(each, Instrument):
            raise InvalidInput(
                f"instrument must be what kr.instrument() gives, or several of them, not "
                f"{shown(given)}"
            )
        found.append(each)
    return found


def _with_notional(rows: pl.DataFrame, instrument: Instruments) -> pl.DataFrame:
    known = {each.symbol: each for each in _instruments(instrument)}
    worth = pl.lit(None, pl.Float64)
    for symbol in rows["symbol"].unique().to_list():
        one = known.get(symbol)
        if one is None and market_of(symbol) is Market.FUTURES:
            continue
        of_symbol = pl.col("price") * pl.col("size")  # right for spot
        if one is not None and one.is_inverse:
            of_symbol = pl.col("size") / pl.col("price")
        elif one is not None:
            of_symbol = of_symbol * one.contract_multiplier
        worth = pl.when(pl.col("symbol") == symbol).then(of_symbol).otherwise(worth)
    return rows.with_columns(worth.alias("notional"))


def _sums(lists: pl.Series) -> pl.Series:
    # fsum adds without rounding. Digits beyond the 15th are noise of the floats, so they are cut.
    sums = [_sum(values) for values in lists.to_list()]
    return pl.Series(lists.name, sums, pl.Float64)


def _sum(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(f"{fsum(present):.15g}") if len(present) == len(values) else None


@explained("mark_filled")
def mark_filled(rows: pl.DataFrame, status: pl.DataFrame) -> pl.DataFrame:
    """Mark the rows that were fetched by REST after an outage, and did not come by the stream.

    Parameters
    ----------
    rows
        Rows of any channel of a stream or a recording, in order. Needs ``local_timestamp``.
    status
        Its ``status`` rows. Needs ``timestamp``, ``local_timestamp`` and ``event``; ``detail``
        contains the number of rows fetched.

    Returns
    -------
    pl.DataFrame
        ``rows`` with a Boolean column ``is_filled`` behind the others.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.

    Examples
    --------
    >>> mark_filled(s.frame("trade"), s.frame("status")).filter("is_filled")
    """
    has_columns(rows, ("local_timestamp",), "filled rows cannot be marked")
    needed = ("timestamp", "local_timestamp", "event")
    has_columns(status, needed, "status rows tell of nothing")
    columns_hold(rows, times=("local_timestamp",))
    columns_hold(status, times=needed[:2], words=("event", "detail"))
    spans = spans_filled(status)
    marked = rows.join_asof(
        spans, left_on="local_timestamp", right_on="_from", check_sortedness=False
    )
    is_filled = (pl.col("local_timestamp") < pl.col("_until")).fill_null(value=False)
    return rows.with_columns(marked.select(is_filled.alias("is_filled")).to_series())


def spans_filled(status: pl.DataFrame) -> pl.DataFrame:
    """List the time spans of the rows that REST brought: from ``_from`` to before ``_until``.

    A ``filled`` status row stands for rows that are stamped from its ``timestamp`` on, 1 ns apart.
    Its ``detail`` contains their number.
    """
    count = (
        pl.col("detail")
        .str.extract(ROWS_FILLED)
        .str.replace_all(",", "")
        .cast(pl.Int64, strict=False)
    )
    behind = pl.col("timestamp") + pl.duration(nanoseconds=count)
    has_count = "detail" in status.columns
    return (
        status.filter(pl.col("event").cast(pl.String) == "filled")
        .select(
            _from="timestamp",
            _until=pl.coalesce(behind, "local_timestamp") if has_count else "local_timestamp",
        )
        .drop_nulls()
        .sort("_from")
    )


class _Traded(Protocol):
    @property
    def instruments(self) -> Mapping[str, Instrument]: ...
    def frame(self, channel: str | None = ..., symbol: str | None = ..., /) -> pl.DataFrame: ...


class TradeBars:
    """Adds ``bars`` to a class with frames and instruments: a stream, a session or a replay."""

    @explained("bars")
    def bars(
        self: _Traded,
        every: Length = MINUTE,
        symbol: str | None = None,
        *,
        volume: float | None = None,
        notional: float | None = None,
        ticks: int | None = None,
        times: bool = False,
    ) -> pl.DataFrame:
        """Make bars of the trades kept so far; see ``kucoin_research.ohlcv``.

        Parameters
        ----------
        every, volume, notional, ticks, times
            See ``ohlcv``.
        symbol
            Only this symbol's bars; all symbols' when left out.

        Returns
        -------
        pl.DataFrame
            The frame of ``ohlcv``, with turnovers. The first and the last bar may be incomplete: a
            stream keeps only its newest rows, and a replay has only the rows given so far.

        Raises
        ------
        UnknownChannel
            If there is no ``trade`` channel: tickers skip trades.
        UnknownSymbol, InvalidInput
            Under the conditions of ``frame`` and ``ohlcv``.
        """
        return ohlcv(
            self.frame("trade", symbol),
            every,
            volume=volume,
            notional=notional,
            ticks=ticks,
            instrument=self.instruments,
            times=times,
        )
