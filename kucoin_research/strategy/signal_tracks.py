"""Targets beside the rows that they were computed from, one track for each symbol.

The rows are candles or quotes in order of arrival. A target is a signed position, known when its
row arrives; an order is due where it differs from the target before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import ColumnMissing, InvalidInput, shown
from kucoin_research.foundation.arguments import has_columns, kind_of
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import CHANNELS, Record
from kucoin_research.strategy.contracts import Contract, Fees
from kucoin_research.strategy.fixed_point import as_float, fixed, rounded_quotient
from kucoin_research.strategy.tape import Tape, open_tape

__all__ = ["Floats", "Ints", "Signal", "Track", "Tracks", "read_tracks"]

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
#: A target for each row, as a user may pass it.
Signal: TypeAlias = "pl.Expr | str | pl.Series"

_QUOTES = ("best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size")
_CANDLES = ("open", "high", "low", "close")
#: A target this close to a whole number of lots, in lots or in ulps of the target, differs from it
#: by float noise only.
_NOISE, _ULPS = 1e-6, 4


@dataclass(frozen=True, slots=True)
class Track:
    """The rows of one symbol in order of arrival.

    Attributes
    ----------
    rows
        With the columns of the channel.
    places
        The place of each row among the rows of all symbols.
    arrivals
        Of each row, ns UTC.
    marks
        The price that values a position behind each row; NaN where there is none.
    decisions, targets
        The rows where the target changes, and the new targets.
    """

    symbol: str
    rows: pl.DataFrame
    places: Ints
    arrivals: Ints
    marks: Floats
    decisions: Ints
    targets: list[float]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks of a run, and the facts about their records.

    Attributes
    ----------
    tape
        The facts.
    record
        The type of all records.
    arrivals
        Of the rows of all symbols in order, ns UTC.
    by_symbol
        The tracks.
    """

    tape: Tape
    record: type[Record]
    arrivals: Ints
    by_symbol: Mapping[str, Track]

    @property
    def is_candles(self) -> bool:
        """Whether the rows are candles; else they are quotes."""
        return "open" in self.record._fields


def read_tracks(
    frame: pl.DataFrame,
    signal: Signal,
    channels: str | Iterable[str] | None,
    symbols: str | Iterable[str] | None,
    instruments: Mapping[str, Instrument],
) -> Tracks:
    """Read a frame and the targets of its rows.

    Raises
    ------
    InvalidInput
        If the frame is neither of candles nor of quotes, its rows are not in order, or a target
        cannot be one.
    """
    channel = _channel_of(frame, channels)
    targets = _targets_of(frame, signal)
    tape = open_tape({str(channel): frame}, None, symbols, instruments)
    names = frame["symbol"].cast(pl.String)
    parts = []
    for table in tape.session.tables(channel.name):
        symbol = table.symbol
        if symbol is None or symbol not in tape.channels:
            continue
        rows = table.scan().collect()
        is_own = None if rows.height == frame.height else names == symbol
        _refuse_disorder(frame if is_own is None else frame.filter(is_own), channel, symbol)
        parts.append((symbol, rows, targets if is_own is None else targets.filter(is_own)))
    times = [rows["local_timestamp"].to_physical().to_numpy() for _, rows, _ in parts]
    arrivals, places = _in_order(times)
    found = {}
    for (symbol, rows, own), when, at in zip(parts, times, places, strict=True):
        decisions, wanted = _decisions(own, tape.instruments[symbol])
        found[symbol] = Track(symbol, rows, at, when, _marks_of(rows), decisions, wanted)
    return Tracks(tape, CHANNELS[channel.name], arrivals, found)


# -- the frame -------------------------------------------------------------------------------------


def _channel_of(frame: pl.DataFrame, channels: str | Iterable[str] | None) -> Channel:
    has_columns(frame, ("timestamp", "symbol"), "the frame")
    if not frame.height:
        raise InvalidInput("the frame has no rows, so there is nothing to play")
    names = [channels] if isinstance(channels, str) else list(channels or ())
    if len(names) > 1:
        raise InvalidInput(f"a frame holds one channel, not {', '.join(map(str, names))}")
    columns = set(frame.columns)
    if names:
        channel = parse_channel(names[0])
    elif columns.issuperset(_CANDLES):
        if "interval" not in columns:
            raise ColumnMissing(
                "the candles have no 'interval', so it is not known when they close; add the "
                'column, or pass channels="candle:1hour"'
            )
        channel = Channel("candle")
    elif columns.issuperset(_QUOTES):
        channel = Channel("ticker" if "price" in columns else "bbo")
    else:
        raise ColumnMissing(
            f"the frame holds neither candles ({', '.join(_CANDLES)}) nor quotes "
            f"({', '.join(_QUOTES)}); it has {', '.join(map(repr, frame.columns))}"
        )
    if channel.name not in ("candle", "ticker", "bbo"):
        raise InvalidInput(f"signals are for candles, ticker and bbo, not for {channel}")
    has_columns(frame, _CANDLES if channel.name == "candle" else _QUOTES, f"the frame of {channel}")
    return channel


def _refuse_disorder(own: pl.DataFrame, channel: Channel, symbol: str) -> None:
    time = "timestamp" if channel.name == "candle" else "local_timestamp"
    if not own[time].is_sorted():
        raise InvalidInput(
            f"the rows of {symbol} are not in the order of {time}, so a signal could look ahead; "
            "sort the frame before you compute the signal"
        )
    if channel.name == "candle" and "interval" in own.columns:
        intervals = own["interval"].cast(pl.String).unique(maintain_order=True).drop_nulls()
        if len(intervals) > 1:
            raise InvalidInput(
                f"{symbol} has candles of {', '.join(intervals)}, and a signal is for one interval"
            )
    if channel.name == "candle" and (repeated := own[time].is_duplicated()).any():
        row = int(repeated.arg_true()[0])
        raise InvalidInput(
            f"{symbol} has several rows of the candle of {own[time][row]}, and a signal is for its "
            "close; keep the last one of each"
        )


def _in_order(times: list[Ints]) -> tuple[Ints, list[Ints]]:
    """Merge arrivals; of rows that arrive together the first symbol's come first."""
    if len(times) == 1:
        return times[0], [np.arange(len(times[0]))]
    whole = np.concatenate(times)
    order = np.argsort(whole, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    ends = np.cumsum([len(each) for each in times])
    return whole[order], np.split(places, ends[:-1])


def _marks_of(rows: pl.DataFrame) -> Floats:
    if "close" in rows.columns:
        mark = pl.col("close")
    else:
        last = pl.col("price") if "price" in rows.columns else pl.lit(None, dtype=pl.Float64)
        mark = pl.coalesce((pl.col("best_bid_price") + pl.col("best_ask_price")) / 2, last)
    return rows.select(mark.alias("mark"))["mark"].to_numpy()


# -- the targets -----------------------------------------------------------------------------------


def _targets_of(frame: pl.DataFrame, signal: Signal) -> pl.Series:
    """Return one float for each row of the frame."""
    if isinstance(signal, str):
        has_columns(frame, (signal,), "the frame has no such signal:")
        signal = frame[signal]
    elif isinstance(signal, pl.Expr):
        try:
            signal = frame.select("symbol", signal.alias("__target"))["__target"]
        except pl.exceptions.PolarsError as error:
            first = str(error).partition("\n")[0]
            raise InvalidInput(f"the signal cannot be computed: {first}") from error
    if not isinstance(signal, pl.Series):
        raise InvalidInput(
            "signal must be a polars expression, the name of a column or a Series, not "
            f"{kind_of(signal)}"
        )
    if len(signal) != frame.height:
        raise InvalidInput(f"the signal has {len(signal):,} values for {frame.height:,} rows")
    kind = signal.dtype
    if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
        raise InvalidInput(f"the signal must hold positions, which are numbers, not {kind}")
    targets = signal.cast(pl.Float64)
    wrong = (~targets.is_finite()).arg_true()
    if len(wrong):
        row = int(wrong[0])
        raise InvalidInput(
            f"the signal is {shown(targets[row])} in row {row:,}; null keeps the position"
        )
    return targets


def _decisions(targets: pl.Series, instrument: Instrument) -> tuple[Ints, list[float]]:
    """Find the rows where the target changes, and the new targets in whole lots."""
    target = pl.col("target")
    changes = (
        targets.to_frame("target")
        .with_row_index("row")
        .drop_nulls()
        .filter(target.ne_missing(target.shift(1)))
    )
    rows = changes["row"].cast(pl.Int64).to_numpy()
    contract = Contract(instrument, Fees.of(instrument), 1.0)
    in_lots = {each: _in_lots(each, contract) for each in changes["target"].unique()}
    return rows, [in_lots[each] for each in changes["target"]]


def _in_lots(target: float, contract: Contract) -> float:
    symbol, step = contract.symbol, contract.instrument.lot_size
    if target < 0 and contract.is_spot:
        raise InvalidInput(f"the signal wants {target:.12g} of {symbol}, but spot cannot be short")
    lots = rounded_quotient(fixed(target), contract.lot)
    noise = max(step * _NOISE, _ULPS * math.ulp(target))
    if abs(as_float(fixed(target) - lots * contract.lot)) > noise:
        raise InvalidInput(
            f"the signal wants {target:.12g} of {symbol}, which is no whole number of lots of "
            f"{step:.12g}; round it to lots"
        )
    return as_float(lots * contract.lot)
