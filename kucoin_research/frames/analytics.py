"""Bars and averages of trades and quotes. No I/O: frames in, frames out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import fsum, log10
from typing import Protocol, TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import columns_hold, explained, has_columns, positive
from kucoin_research.model.channels import CANDLE_INTERVALS, Market, market_of
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.intervals import MINUTE, Length, parse_interval
from kucoin_research.model.records import ROWS_FILLED, Candle, Ticker, Trade, schema_of

__all__ = [
    "TradeBars",
    "check_tickers",
    "check_trades",
    "mark_filled",
    "mid_bars",
    "ohlcv",
    "spans_filled",
    "vwap",
]

_BAR_SCHEMA = pl.Schema(
    {name: kind for name, kind in schema_of(Candle).items() if name != "local_timestamp"}
)
_NEEDED = ("timestamp", "symbol", "price", "size")
# Columns of tickers that trades lack: by these, rows of tickers are recognised and refused.
_TICKERS = set(schema_of(Ticker)) - set(schema_of(Trade))
_NO_TRADES = (("is_snapshot", "level2", "changes of a book"), ("order_type", "order", "orders"))
_QUOTED = ("timestamp", "symbol", "best_bid_price", "best_ask_price")
# Sums are counted in Int128, which holds 38 digits.
_LARGEST = 1e37
# 10**22 is the largest power of ten that a float holds exactly.
_MOST_DECIMALS = 22
# A value has a number of decimals if rounding to them changes it by no more than this fraction:
# a float has 15 sure digits, and the last bits of a product are noise.
_LAST_BITS = 1e-15
# A frame of a million bars takes about 10 s and a gigabyte. More bars are made only of that many
# trades: then the result is no larger than the input.
_MOST_BARS = 1_000_000

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
    rows = _with_notional(_valid(trades, "candles"), instrument)
    _check_sums(rows)
    name, bars, is_timed = _cut(rows, every, volume, notional, ticks)
    grouped = bars.group_by("symbol", "bar", maintain_order=True).agg(
        pl.col("timestamp").first(),
        pl.col("price").first().alias("open"),
        pl.col("price").max().alias("high"),
        pl.col("price").min().alias("low"),
        pl.col("price").last().alias("close"),
        pl.col("size"),
        pl.col("notional"),
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
    ).cast(_BAR_SCHEMA)


def _cut(
    rows: pl.DataFrame,
    every: Length,
    volume: float | None,
    notional: float | None,
    ticks: int | None,
) -> tuple[str, pl.DataFrame, bool]:
    """Return the bars' name, the rows with a column ``bar``, and whether the bars are by time."""
    others = {"volume": volume, "notional": notional, "ticks": ticks}
    given = [name for name, value in others.items() if value is not None]
    if len(given) > 1:
        raise InvalidInput("give one of volume, notional and ticks; each makes bars of its own")
    if given and every is not None and every is not MINUTE:
        raise InvalidInput(
            f"every={shown(every)} and {given[0]}= make different bars; give one of the two"
        )
    if volume is not None:
        amount = positive(volume, "volume", "a size")
        return f"volume:{amount:.15g}", _split(rows, "size", amount, "volume"), False
    if notional is not None:
        amount = positive(notional, "notional", "a turnover")
        _check_worth(rows)
        return f"notional:{amount:.15g}", _split(rows, "notional", amount, "notional"), False
    if ticks is not None:
        count = positive(ticks, "ticks", "a number of trades")
        if count != int(count):
            raise InvalidInput(f"ticks must be a whole number of trades, not {shown(ticks)}")
        count = min(count, rows.height + 1)  # a larger number fills no bar either
        name = f"ticks:{int(ticks)}"
        number = pl.int_range(pl.len()).over("symbol") // int(count)
        return name, rows.with_columns(number.alias("bar")), False
    name, duration = _interval(every)
    return name, rows.with_columns(_floor(duration).alias("bar")), True


def _check_sums(rows: pl.DataFrame) -> None:
    """Refuse numbers whose sum does not fit a float or an Int128."""
    sums = rows.group_by("symbol", maintain_order=True).agg(pl.col("size", "notional").sum())
    for name in ("size", "notional"):
        beyond = sums.filter(~(pl.col(name) < _LARGEST))
        if not beyond.is_empty():
            what = "sizes" if name == "size" else "turnovers"
            raise InvalidInput(
                f"the {what} of {shown(beyond['symbol'][0])} add up to {beyond[name][0]:.3g}, "
                f"and bars hold less than {_LARGEST:g}"
            )


def _check_worth(rows: pl.DataFrame) -> None:
    unknown = rows.filter(pl.col("notional").is_null())["symbol"].unique().to_list()
    if unknown:
        raise InvalidInput(
            f"bars by notional of {', '.join(map(str, sorted(unknown)))} need instrument=, "
            "as kr.instrument() gives it: what a futures contract is worth is not in its trades"
        )


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
    name, duration = _interval(every)
    has_columns(quotes, _QUOTED, "bars of mids cannot be made")
    columns_hold(quotes, times=_QUOTED[:1], words=_QUOTED[1:2], numbers=_QUOTED[2:])
    bid, ask = pl.col("best_bid_price"), pl.col("best_ask_price")
    rows = _in_order(_whole(quotes, _QUOTED)).select(
        "symbol", _floor(duration).alias("timestamp"), mid=(bid + ask) / 2, spread=ask - bid
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
    _, duration = _interval(every)
    rows = _valid(trades, "a vwap").with_columns(notional=pl.col("price") * pl.col("size"))
    _check_sums(rows)
    weighted = pl.col("notional").sum() / pl.col("size").sum()
    return (
        rows.with_columns(_floor(duration).alias("timestamp"))
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(weighted.alias("vwap"), pl.col("size").sum())
        .select("timestamp", "symbol", "vwap", "size")
    )


def _valid(trades: pl.DataFrame, what: str) -> pl.DataFrame:
    has_columns(trades, _NEEDED, f"{what} of trades cannot be made")
    columns_hold(trades, times=_NEEDED[:1], words=_NEEDED[1:2], numbers=_NEEDED[2:])
    check_tickers(trades, what)
    check_trades(trades, what)
    return _in_order(_whole(trades, _NEEDED).filter(pl.col("size") > 0))


def check_tickers(rows: pl.DataFrame, what: str) -> None:
    """Check by their columns that rows are not tickers.

    Raises
    ------
    InvalidInput
        If they are; ``what`` is the subject of the message.
    """
    if not _TICKERS.isdisjoint(rows.columns):
        raise InvalidInput(
            f"{what} of tickers would lack volume, since tickers skip trades; stream the channel "
            "'trade', or make bars of the mid with kr.mid_bars"
        )


def check_trades(rows: pl.DataFrame, what: str) -> None:
    """Check that rows with a price and a size are neither changes of a book nor orders.

    Raises
    ------
    InvalidInput
        If they are; ``what`` is the subject of the message.
    """
    for sign, channel, are in _NO_TRADES:
        if sign in rows.columns:
            raise InvalidInput(
                f"{what} cannot be made of rows of {channel!r}, which are {are} and no trades; "
                "take rows of the channel 'trade'"
            )


def _whole(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Select columns (a time, a symbol, then numbers) and the rows in which all have values."""
    when, symbol, *numbers = names
    rows = frame.select(
        pl.col(when) if frame.schema[when] != pl.Null else pl.col(when).cast(_BAR_SCHEMA[when]),
        symbol,
        pl.col(numbers).cast(pl.Float64),
    )
    return rows.drop_nulls().filter(pl.all_horizontal(pl.col(numbers).is_finite()))


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    # By symbol in the order of their first row; within a symbol by time, then by row.
    numbered = rows.with_row_index("row")
    first = pl.col("row").min().over("symbol").alias("first")
    return numbered.with_columns(first).sort("first", "timestamp", "row").drop("first", "row")


def _interval(every: Length) -> tuple[str, str]:
    # The name (KuCoin's if it has one), and polars' duration.
    interval = parse_interval(every)
    is_kucoins = interval.name in CANDLE_INTERVALS
    return interval.name if is_kucoins else interval.polars, interval.polars


def _floor(duration: str) -> pl.Expr:
    return pl.col("timestamp").dt.truncate(duration)


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


def _split(rows: pl.DataFrame, column: str, amount: float, name: str) -> pl.DataFrame:
    # Count in integers (values times a power of ten), because sums of decimal fractions drift in
    # floats: 0.1 + 0.2 is not 0.3, and a bar of 0.3 would stay open.
    _check_number(rows, column, amount, name)
    begin, end, units, whole = (pl.col(each) for each in ("begin", "end", "units", "whole"))
    below = pl.col(column).floor()
    beyond = ((pl.col(column) - below) * pl.col("scale")).round().cast(pl.Int128)
    pieces = (
        rows.join(_scales(rows, column, amount), on="symbol", maintain_order="left")
        .with_columns(units=below.cast(pl.Int128) * pl.col("scale").cast(pl.Int128) + beyond)
        .filter(units > 0)
        .with_columns(end=units.cum_sum().over("symbol"))
        .with_columns(begin=end - units)
        .with_columns(
            bar=pl.int_ranges(
                (begin // whole).cast(pl.Int64), ((end - 1) // whole + 1).cast(pl.Int64)
            )
        )
        .explode("bar")
        .with_columns(pl.col("bar").cast(pl.Int128))
    )
    upper = pl.min_horizontal(end, (pl.col("bar") + 1) * whole)
    lower = pl.max_horizontal(begin, pl.col("bar") * whole)
    part = (upper - lower).cast(pl.Float64)
    share = part / units.cast(pl.Float64)
    other = "notional" if column == "size" else "size"
    return pieces.with_columns(
        (part / pl.col("scale")).alias(column),
        (pl.col(other) * share).alias(other),
        pl.col("bar").cast(pl.Int64),
    )


def _check_number(rows: pl.DataFrame, column: str, amount: float, name: str) -> None:
    """Refuse an amount that makes too many bars, before any of them takes memory."""
    totals = rows.group_by("symbol").agg(pl.col(column).sum())[column]
    number = float((totals / amount).ceil().sum())
    most = max(_MOST_BARS, rows.height)
    if number > most:
        enough = f"{float(totals.sum()) / most * 1.1:.2g}"
        raise InvalidInput(
            f"{name}={amount:.15g} would make {number:,.0f} bars of {rows.height:,} trades, and "
            f"{most:,} at most are made; give {name}={enough} or more"
            if number < _LARGEST
            else f"{name}={amount:.15g} is too small beside what was traded; give {enough} or more"
        )


def _scales(rows: pl.DataFrame, column: str, amount: float) -> pl.DataFrame:
    """Find each symbol's power of ten that makes its values whole, and a full bar in that unit."""
    value = pl.col(column)
    found = rows.group_by("symbol").agg(
        value.sum().alias("total"),
        *(_has_decimals(value, n).all().alias(str(n)) for n in range(_MOST_DECIMALS + 1)),
    )
    tests = [_has_decimals(pl.lit(amount), n).alias(str(n)) for n in range(_MOST_DECIMALS + 1)]
    its_own = _decimals(pl.select(tests).row(0))
    listed = []
    for symbol, total, *fit in found.iter_rows():
        room = int(log10(_LARGEST / max(total, 1.0)))
        # A bar larger than the total is never full, so its own decimals do not matter.
        needed = max(_decimals(fit), its_own if amount <= total else 0)
        scale = 10 ** min(needed, room)
        whole = Fraction(repr(min(amount, 2.0 * total))) * scale
        listed.append((symbol, float(scale), max(round(whole), 1)))
    schema = pl.Schema(
        {"symbol": rows.schema["symbol"], "scale": pl.Float64(), "whole": pl.Int128()}
    )
    return pl.DataFrame(listed, schema=schema, orient="row")


def _decimals(fit: Iterable[bool]) -> int:
    return next((n for n, is_enough in enumerate(fit) if is_enough), _MOST_DECIMALS)


def _has_decimals(value: pl.Expr, decimals: int) -> pl.Expr:
    scale = 10.0**decimals
    return ((value * scale).round() / scale - value).abs() <= value * _LAST_BITS


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
    ) -> pl.DataFrame:
        """Make bars of the trades kept so far; see ``kucoin_research.ohlcv``.

        Parameters
        ----------
        every, volume, notional, ticks
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
        )
