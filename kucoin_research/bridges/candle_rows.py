"""Closed candles of one symbol, recorded or made of its trades, and which of them are whole.

A candle is left out where it is not known to be whole: while it runs, where the recording lacks
rows of it, and, of candles that are made of trades, the first one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from kucoin_research.bridges.inputs import HeldFrames, channel_names, rows_of
from kucoin_research.bridges.missing_spans import MissingSpan, described, missing_spans
from kucoin_research.errors import IncompleteData, InvalidInput, UnknownChannel
from kucoin_research.foundation.arguments import columns_hold, has_columns
from kucoin_research.frames.analytics import ohlcv
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.intervals import MINUTE, Interval, Length, parse_interval
from kucoin_research.model.source import Source

__all__ = ["ClosedCandles", "Quiet", "closed_candles"]

_TIME = pl.Datetime("ns", "UTC")
_PRICES = ("open", "high", "low", "close")
#: Trades on either side of a gap by whose lag its times are moved to the exchange's clock.
_NEAR = 100


class Quiet(NamedTuple):
    """A stretch, in open times of candles, ns UTC, in which an absent candle means no trades."""

    first: int
    last: int


class ClosedCandles(NamedTuple):
    """Closed candles of one symbol.

    Attributes
    ----------
    rows
        ``timestamp`` (open time), ``open``, ``high``, ``low``, ``close``, ``volume``, ascending.
    interval
        Their length.
    quiet
        Where absent candles are known to have had no trades; nowhere, for plain frames.
    """

    rows: pl.DataFrame
    interval: Interval
    quiet: Sequence[Quiet]


def closed_candles(source: Source, symbol: str, every: Length | None, caller: str) -> ClosedCandles:
    """Read a symbol's closed candles, or make them of its trades.

    Warns with ``IncompleteData`` where candles are left out because rows are missing.

    Parameters
    ----------
    every
        ``None``: the recorded candles, or where there are none, one minute of trades. Otherwise
        made of trades, or where there are none, the recorded candles of that interval.
    caller
        The user's function, for errors.

    Raises
    ------
    UnknownChannel
        If there are neither candles of that interval nor trades.
    InvalidInput
        If ``every`` is no interval, or it must be named, since several were recorded.
    """
    wanted = None if every is None else parse_interval(every)
    names = channel_names(source)
    if "trade" in names and (wanted is not None or "candle" not in names):
        return _of_trades(source, symbol, wanted or MINUTE)
    if "candle" in names:
        return _recorded(source, symbol, wanted, caller)
    raise UnknownChannel(
        f"{caller} needs the channel 'candle' or 'trade', and the data has "
        f"{', '.join(source.channels) or 'none'}"
    )


# -- candles of the exchange -----------------------------------------------------------------------


def _recorded(source: Source, symbol: str, wanted: Interval | None, caller: str) -> ClosedCandles:
    rows, interval = _pushes(source, symbol, wanted, caller)
    has_columns(rows, ("timestamp", *_PRICES), "candles cannot be read")
    columns_hold(rows, times=("timestamp", "local_timestamp"), numbers=(*_PRICES, "volume"))
    if "local_timestamp" not in rows.columns:
        rows = rows.with_columns(local_timestamp=pl.lit(None, _TIME))
    if "volume" not in rows.columns:
        rows = rows.with_columns(volume=pl.lit(None, pl.Float64))
    times = [pl.col(name).cast(_TIME) for name in ("timestamp", "local_timestamp")]
    are_finite = pl.all_horizontal(pl.col(*_PRICES).cast(pl.Float64).is_finite())
    states = (
        rows.with_columns(times)
        .filter(pl.col("timestamp").is_not_null(), are_finite)
        .group_by("timestamp")
        .agg(
            pl.col(*_PRICES, "volume").last().cast(pl.Float64),
            first=pl.col("local_timestamp").min(),
            last=pl.col("local_timestamp").max(),
        )
        .sort("timestamp")
    )
    is_plain = isinstance(source, HeldFrames) and "status" not in channel_names(source)
    spans = missing_spans(source, "candle", symbol)
    is_whole = _between_no(spans, pl.col("last"), pl.col("first").shift(-1))
    # The next candle shows that one is closed. Of candles that were fetched, the time does, too.
    end = pl.col("timestamp").dt.offset_by(interval.polars)
    fetched = (pl.col("last") >= end).fill_null(value=False) if is_plain else pl.lit(value=False)
    is_closed = (pl.int_range(pl.len()) < pl.len() - 1) | fetched
    marked = states.with_columns(is_whole=is_whole, is_closed=is_closed)
    _warn_of(symbol, spans, marked.filter("is_closed", ~pl.col("is_whole")).height)
    kept = marked.filter("is_whole", "is_closed")
    quiet = [] if is_plain else _stretches(marked.filter("is_closed")["timestamp"], marked)
    return ClosedCandles(kept.select("timestamp", *_PRICES, "volume"), interval, quiet)


def _pushes(
    source: Source, symbol: str, wanted: Interval | None, caller: str
) -> tuple[pl.DataFrame, Interval]:
    """Read the states of the candles of one interval, in order of arrival."""
    channels = [each for each in map(parse_channel, source.channels) if each.name == "candle"]
    if isinstance(source, HeldFrames):
        rows = [rows_of(source, each, symbol) for each in channels]
        if len(channels) > 1:
            rows = [_named(*each) for each in zip(rows, channels, strict=True)]
        named = parse_interval(channels[0].interval)
        return _of_one_interval(
            pl.concat(rows, how="diagonal_relaxed"), wanted, caller, otherwise=named
        )
    if wanted is None and len(channels) > 1:
        raise _ambiguous([str(each.interval) for each in channels], caller)
    if wanted is None:
        return rows_of(source, channels[0], symbol), parse_interval(channels[0].interval)
    if wanted.name not in {each.interval for each in channels}:
        raise UnknownChannel(
            f"{caller}: there are no trades to make candles of {wanted.name} of, and the data has "
            f"only {', '.join(map(str, channels))}"
        )
    return rows_of(source, Channel("candle", wanted.name), symbol), wanted


def _named(rows: pl.DataFrame, channel: Channel) -> pl.DataFrame:
    """Name the interval of candles as their channel does, where they have none of their own."""
    if "interval" in rows.columns:
        return rows
    return rows.with_columns(interval=pl.lit(channel.interval, pl.String))


def _of_one_interval(
    rows: pl.DataFrame, wanted: Interval | None, caller: str, *, otherwise: Interval
) -> tuple[pl.DataFrame, Interval]:
    if "interval" not in rows.columns:
        return rows, wanted or otherwise
    named = rows["interval"].cast(pl.String)
    there = named.drop_nulls().unique(maintain_order=True).to_list()
    if wanted is None:
        if len(there) > 1:
            raise _ambiguous(there, caller)
        if not there:
            return rows, otherwise
        if ":" in there[0]:
            raise InvalidInput(
                f"{caller} needs candles by time, and these are bars of {there[0]}; make them "
                "with kr.ohlcv(trades, every)"
            )
        return rows, parse_interval(there[0], "interval")
    fitting = [each for each in there if ":" not in each and parse_interval(each) == wanted]
    if there and not fitting:
        raise UnknownChannel(
            f"{caller}: there are no trades to make candles of {wanted.name} of, and the data has "
            f"only candles of {', '.join(there)}"
        )
    return rows.filter(named.is_in(fitting)), wanted


def _ambiguous(there: Sequence[str], caller: str) -> InvalidInput:
    return InvalidInput(
        f"{caller}: candles of {', '.join(there)} were recorded; name one of them: every="
    )


# -- candles made of trades ------------------------------------------------------------------------


def _of_trades(source: Source, symbol: str, interval: Interval) -> ClosedCandles:
    trades = rows_of(source, "trade", symbol)
    bars = ohlcv(trades, interval)
    ends = pl.col("timestamp").dt.offset_by(interval.polars)
    spans = missing_spans(source, "trade", symbol)
    lost = [_at_exchange(span, trades) for span in spans]
    is_whole = _between_no(lost, pl.col("timestamp"), ends)
    # Trades before the first one and behind the last one may belong to these two candles.
    inner = bars.with_columns(is_whole=is_whole).slice(1, max(bars.height - 2, 0))
    _warn_of(symbol, lost, inner.filter(~pl.col("is_whole")).height)
    quiet = (
        []
        if isinstance(source, HeldFrames) and "status" not in channel_names(source)
        else _free_of(lost, inner["timestamp"], interval)
    )
    kept = inner.filter("is_whole").select("timestamp", *_PRICES, "volume")
    return ClosedCandles(kept, interval, quiet)


def _at_exchange(span: MissingSpan, trades: pl.DataFrame) -> MissingSpan:
    """Move a gap from this machine's clock to the exchange's, by the lag of the nearest trades."""
    has_columns(trades, ("local_timestamp",), "trades cannot be compared with gaps")
    local = trades["local_timestamp"].to_physical()
    lag = local - trades["timestamp"].to_physical()
    place = local.search_sorted(span.began, side="right")
    behind = local.search_sorted(span.ended, side="left")
    before = lag[max(place - _NEAR, 0) : place].min()
    after = lag[behind : behind + _NEAR].min()
    first = before if isinstance(before, int) else after
    last = after if isinstance(after, int) else before
    assert isinstance(first, int | None)
    assert isinstance(last, int | None)
    return MissingSpan(span.began - (first or 0), span.ended - (last or 0))


def _free_of(lost: Sequence[MissingSpan], opens: pl.Series, interval: Interval) -> list[Quiet]:
    """List the stretches between the first and the last candle that no gap reaches into."""
    if not len(opens):
        return []
    length = interval.ns or 0
    times = opens.to_physical()
    found, first = [], int(times[0])
    for span in lost:
        found.append(Quiet(first, span.began - length))
        first = max(first, span.ended)
    found.append(Quiet(first, int(times[-1])))
    return [each for each in found if each.first <= each.last]


# -- what is missing -------------------------------------------------------------------------------


def _between_no(spans: Sequence[MissingSpan], begin: pl.Expr, end: pl.Expr) -> pl.Expr:
    """Whether no span reaches into the time between two others; one without an end passes."""
    is_free = pl.lit(value=True)
    for span in spans:
        began, ended = (pl.lit(each, pl.Int64).cast(_TIME) for each in span)
        is_free = is_free & ((end <= began) | (begin >= ended)).fill_null(value=True)
    return is_free


def _stretches(closed: pl.Series, marked: pl.DataFrame) -> list[Quiet]:
    """List the stretches between neighbouring candles that miss nothing between them."""
    times = marked["timestamp"].to_physical().to_list()
    whole = marked["is_whole"].to_list()
    last_closed = closed.to_physical().max()
    found: list[Quiet] = []
    first = None
    for time, is_whole in zip(times, whole, strict=True):
        if not isinstance(last_closed, int) or time > last_closed:
            break
        first = time if first is None else first
        if not is_whole:
            found.append(Quiet(first, time - 1))
            first = None
        elif time == last_closed:
            found.append(Quiet(first, time))
    return [each for each in found if each.first <= each.last]


def _warn_of(symbol: str, spans: Sequence[MissingSpan], left_out: int) -> None:
    if not spans:
        return
    plural = "" if left_out == 1 else "s"
    warnings.warn(
        f"the recording of {symbol} has {described(spans)}: {left_out:,} incomplete candle{plural} "
        "and those that it lacks altogether are left out",
        IncompleteData,
        stacklevel=5,
    )
