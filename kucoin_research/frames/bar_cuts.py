"""Cuts trades into bars: by time, number, volume or notional, and splits those that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import log10

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import positive
from kucoin_research.frames.trade_rows import BAR_SCHEMA
from kucoin_research.model.channels import CANDLE_INTERVALS
from kucoin_research.model.intervals import MINUTE, Length, parse_interval

__all__ = [
    "check_sums",
    "cut_into_bars",
    "ends_of_bars",
    "floor_to",
    "named_interval",
    "split_by",
    "times_of_bars",
]

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


def cut_into_bars(
    rows: pl.DataFrame,
    every: Length,
    volume: float | None,
    notional: float | None,
    ticks: int | None,
) -> tuple[str, pl.DataFrame, bool]:
    """Return the bars' name, their rows, and whether the bars are by time.

    The rows have a column ``bar``, and ``fills``, which is true in a row that completes its bar.
    """
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
        return f"volume:{amount:.15g}", split_by(rows, "size", amount, "volume"), False
    if notional is not None:
        amount = positive(notional, "notional", "a turnover")
        _check_worth(rows)
        return f"notional:{amount:.15g}", split_by(rows, "notional", amount, "notional"), False
    if ticks is not None:
        count = positive(ticks, "ticks", "a number of trades")
        if count != int(count):
            raise InvalidInput(f"ticks must be a whole number of trades, not {shown(ticks)}")
        count = min(count, rows.height + 1)  # a larger number fills no bar either
        name = f"ticks:{int(ticks)}"
        number = pl.int_range(pl.len()).over("symbol")
        fills = number % int(count) == int(count) - 1
        return name, rows.with_columns(bar=number // int(count), fills=fills), False
    name, duration = named_interval(every)
    timed = rows.with_columns(bar=floor_to(duration))
    return name, timed.with_columns(fills=pl.col("bar") < pl.col("bar").max().over("symbol")), True


def check_sums(rows: pl.DataFrame) -> None:
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


def named_interval(every: Length) -> tuple[str, str]:
    """Return an interval's name (KuCoin's if it has one), and polars' duration."""
    interval = parse_interval(every)
    is_kucoins = interval.name in CANDLE_INTERVALS
    return interval.name if is_kucoins else interval.polars, interval.polars


def floor_to(duration: str) -> pl.Expr:
    """Return the open time of the interval that a row's time is in."""
    return pl.col("timestamp").dt.truncate(duration)


def ends_of_bars() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Aggregate a bar's rows to its last trade, its last arrival, and whether it is finished."""
    time = BAR_SCHEMA["timestamp"]
    arrived = pl.col("local_timestamp").cast(time)
    return (
        pl.col("timestamp").last().cast(time).alias("close_time"),
        pl.when(arrived.null_count() == 0).then(arrived.max()).alias("known_at"),
        pl.col("fills").any().alias("is_finished"),
    )


def times_of_bars(duration: str | None) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Compute ``close_time``, ``known_at`` and ``is_finished`` of bars, from their ends.

    Parameters
    ----------
    duration
        The length of bars by time; ``None`` for others.
    """
    is_finished = pl.col("is_finished")
    close_time, arrived = pl.col("close_time"), pl.col("known_at")
    if duration is None:
        # An earlier trade that arrives late moves the boundaries of all bars behind it.
        return close_time, arrived.cum_max().over("symbol"), is_finished
    end = pl.col("bar").dt.offset_by(duration).cast(BAR_SCHEMA["timestamp"])
    known_at = pl.when(arrived < end).then(end).otherwise(arrived)
    return end.alias("close_time"), known_at.alias("known_at"), is_finished


def split_by(rows: pl.DataFrame, column: str, amount: float, name: str) -> pl.DataFrame:
    """Split trades where a bar is full: a row per trade and bar.

    A column ``bar`` has the bar's number; ``fills`` is true in the row that completes it.

    Parameters
    ----------
    rows
        Trades with ``symbol``, ``size`` and ``notional``, in order.
    column
        ``size`` or ``notional``: all bars hold the same of it, except the last one of each symbol.
    amount
        The amount that fills a bar.
    name
        The user's argument, for error messages.
    """
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
        fills=end >= (pl.col("bar") + 1) * whole,
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
