"""Bars and averages made of trades. No I/O: frames in, frames out."""

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
    "TradeBars", "check_tickers", "check_trades", "mark_filled", "mid_bars", "ohlcv",
    "spans_filled", "vwap",
]  # fmt: skip

_BAR_SCHEMA = pl.Schema(
    {name: kind for name, kind in schema_of(Candle).items() if name != "local_timestamp"}
)
_NEEDED = ("timestamp", "symbol", "price", "size")
# What tells rows of other channels with a price and a size from trades.
_TICKERS = set(schema_of(Ticker)) - set(schema_of(Trade))
_NO_TRADES = (("is_snapshot", "level2", "changes of a book"), ("order_type", "order", "orders"))
_QUOTED = ("timestamp", "symbol", "best_bid_price", "best_ask_price")
# Sums are counted in Int128, which holds 38 digits, ...
_LARGEST = 1e37
# ... of decimals up to the largest power of ten that a float holds, ...
_MOST_DECIMALS = 22
# ... and as many of them as a value has within its 15 digits, the last bits of a product left out.
_LAST_BITS = 1e-15
# A frame of so many bars takes some 10 s and a gigabyte. More are made of as many trades only: then
# they are no more than what was given.
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
    """Make candles of trades, by time, volume, notional or number; each symbol gets its own.

    Parameters
    ----------
    trades
        Rows of the ``trade`` channel, of any symbols. Needs ``timestamp`` (ns, UTC), ``symbol``,
        ``price`` and ``size``; rows that lack one of the values, or have one that is no finite
        number, are left out. Trades of one instant are taken in the order of the rows.
    every
        Interval, such as ``"10s"``, ``"5m"``, KuCoin's ``"5min"``, ``"1 hour"``, or a
        ``timedelta``; one minute when left out, and none where other bars are asked for. Intervals
        start on round times in UTC, weeks on Monday, as KuCoin's do.
    volume
        Make volume bars instead: a bar closes when so much size has traded. A trade that does not
        fit is split, at its own price, over as many bars as it fills, so every bar holds exactly
        this size but the last one of each symbol, which may hold less. No more than a million bars
        are made, or one per trade where there are more.
    notional
        The same by turnover, in its currency ("dollar bars"). Futures need ``instrument``.
    ticks
        Make a bar of every so many trades.
    instrument
        The instrument, or several, for the turnover: what a futures contract is worth is not in its
        trades. A stream's or a session's ``instruments`` do.

    Returns
    -------
    pl.DataFrame
        Columns of the ``candle`` channel without ``local_timestamp``: ``timestamp`` (open time of
        the interval; of other bars, their first trade's), ``symbol``, ``interval`` (KuCoin's name
        where it has one; ``volume:<size>``, ``notional:<turnover>``, ``ticks:<n>``), ``open``,
        ``high``, ``low``, ``close``, ``volume`` (contracts on futures, base coins on spot) and
        ``turnover`` (quote currency; base coins on inverse contracts; null on futures without
        ``instrument``). Symbols in the order of their first trade, each ascending. Intervals
        without trades are absent. Sums are exact to 15 significant digits, which is what makes
        them equal to the exchange's.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``every`` is no duration, or given beside ``volume``, ``notional`` or ``ticks``, or more
        than one of these is; if one of them is not above 0, or so small that it makes more bars
        than are made, or if ``instrument`` is none. If a column holds texts where times or numbers
        belong, or sizes that add up to 1e37. If the rows are tickers, which skip trades, so that
        their volume would be too small, or orders or changes of a book.

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
    """Name the bars, number them in a column ``bar``, and say whether they are those of a clock."""
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
        count = min(count, rows.height + 1)  # more than there are fill no bar, however many
        name = f"ticks:{int(ticks)}"
        number = pl.int_range(pl.len()).over("symbol") // int(count)
        return name, rows.with_columns(number.alias("bar")), False
    name, duration = _interval(every)
    return name, rows.with_columns(_floor(duration).alias("bar")), True


def _check_sums(rows: pl.DataFrame) -> None:
    """Refuse numbers that no sum of floats, or of Int128, can be made of."""
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
    """Make bars of the mid between best bid and best ask; each symbol gets its own.

    Parameters
    ----------
    quotes
        Rows of the ``ticker`` or ``bbo`` channel, of any symbols. Needs ``timestamp`` (ns, UTC),
        ``symbol``, ``best_bid_price`` and ``best_ask_price``; rows that lack one of the values, or
        have one that is no finite number, are left out.
    every
        Interval, as for ``ohlcv``.

    Returns
    -------
    pl.DataFrame
        ``timestamp`` (interval open), ``symbol``, ``interval``, ``open``, ``high``, ``low``,
        ``close`` (of the mid), ``spread`` (mean of ask less bid, each quote counting once; quote
        currency) and ``quotes`` (how many). Volumes are not in quotes: for these take trades and
        ``ohlcv``. Intervals without quotes are absent.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If ``every`` is no duration, or a column holds texts where times or numbers belong.

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
    """Compute the volume-weighted average price per interval, each symbol for itself.

    Parameters
    ----------
    trades
        Rows of the ``trade`` channel. Needs ``timestamp`` (ns, UTC), ``symbol``, ``price`` and
        ``size``; rows that lack one of the values, or have one that is no finite number, are left
        out.
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
        If ``every`` is no duration, or a column holds texts where times or numbers belong. If the
        rows are tickers, which skip trades, or orders or changes of a book.

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
    """Check that rows are no tickers, of which some columns are enough to tell.

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
    """Check that rows with a price and a size are no changes of a book, and no orders.

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
    """Take the rows that have all of some columns: times, symbols, and then numbers."""
    when, symbol, *numbers = names
    rows = frame.select(
        pl.col(when) if frame.schema[when] != pl.Null else pl.col(when).cast(_BAR_SCHEMA[when]),
        symbol,
        pl.col(numbers).cast(pl.Float64),
    )
    return rows.drop_nulls().filter(pl.all_horizontal(pl.col(numbers).is_finite()))


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    # Symbol by symbol in the order of their first row; within one, by time and else by row.
    numbered = rows.with_row_index("row")
    first = pl.col("row").min().over("symbol").alias("first")
    return numbered.with_columns(first).sort("first", "timestamp", "row").drop("first", "row")


def _interval(every: Length) -> tuple[str, str]:
    # KuCoin's name where it has one, and polars' duration.
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
        of_symbol = pl.col("price") * pl.col("size")  # all that spot needs
        if one is not None and one.is_inverse:
            of_symbol = pl.col("size") / pl.col("price")
        elif one is not None:
            of_symbol = of_symbol * one.contract_multiplier
        worth = pl.when(pl.col("symbol") == symbol).then(of_symbol).otherwise(worth)
    return rows.with_columns(worth.alias("notional"))


def _split(rows: pl.DataFrame, column: str, amount: float, name: str) -> pl.DataFrame:
    # In integers of a power of ten, as sums of decimal fractions in floats would drift: 0.1 + 0.2
    # is not 0.3, and a bar of 0.3 would stay open.
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
    """Refuse what would make endless bars before any of them takes room."""
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
    """Find for each symbol the power of ten that makes its values whole, and a full bar in it."""
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
        # A bar that all of them do not fill needs no decimals, nor room.
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
    # fsum adds without rounding; the last digits of a float are then what the decimal sum has not.
    sums = [_sum(values) for values in lists.to_list()]
    return pl.Series(lists.name, sums, pl.Float64)


def _sum(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(f"{fsum(present):.15g}") if len(present) == len(values) else None


@explained("mark_filled")
def mark_filled(rows: pl.DataFrame, status: pl.DataFrame) -> pl.DataFrame:
    """Mark the rows that did not come by the stream, but were fetched after an outage.

    Parameters
    ----------
    rows
        Rows of any channel of a stream or a recording, in order. Needs ``local_timestamp``.
    status
        Its ``status`` rows. Needs ``timestamp``, ``local_timestamp`` and ``event``; ``detail``
        says how many rows each tells of.

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
    """List the stamps of what REST brought, as ``_from`` and up to, but not with, ``_until``.

    The rows that a ``filled`` status row tells of are stamped from its ``timestamp`` on, 1 ns
    apart, and its detail counts them.
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
    """Bars of the trades of what has frames and instruments: a stream, a session, a replay."""

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
        """Make bars of the trades that are there; see ``kucoin_research.ohlcv``.

        Parameters
        ----------
        every, volume, notional, ticks
            As for ``ohlcv``.
        symbol
            Only this symbol's; all when left out.

        Returns
        -------
        pl.DataFrame
            Those of ``ohlcv``, with the turnover of the instruments. The first and the last one
            hold what is there of them: a ring keeps the newest rows, a replay has those given so
            far.

        Raises
        ------
        UnknownChannel
            If there is no ``trade``: tickers skip trades.
        UnknownSymbol, InvalidInput
            As ``frame`` and ``ohlcv`` raise them.
        """
        return ohlcv(
            self.frame("trade", symbol), every, volume=volume, notional=notional, ticks=ticks,
            instrument=self.instruments,
        )  # fmt: skip
