"""The records that a run plays: of a session, several of them, a replay's, or of frames.

A candle is known at its close. The pushes of a recorded candle are left out where nothing but
candles is played for a symbol: its last state is played when the next candle begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from kucoin_research.errors import ColumnMissing, InvalidInput, UnknownSymbol, shown
from kucoin_research.foundation.arguments import has_columns, texts
from kucoin_research.foundation.spans import merged
from kucoin_research.model.channels import CANDLE_INTERVALS, Channel, parse_channel
from kucoin_research.model.instruments import Instrument, spelling_hint
from kucoin_research.model.intervals import parse_interval
from kucoin_research.model.records import CHANNELS, Candle, Record, Status, schema_of
from kucoin_research.model.source import is_replay
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.sessions.holes import times_between
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.table import Table
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.strategy.gap_spans import GAP_EVENTS, gap_spans, lacks_of
from kucoin_research.strategy.market import MATCHED, Span

__all__ = ["ClosedCandles", "MarketFacts", "Tape", "open_tape"]

_TIME = pl.Datetime("ns", "UTC")
#: ns UTC; whole numbers below are seconds or ms since 1970.
_EARLIEST = 10**17


@dataclass(frozen=True, kw_only=True)
class MarketFacts:
    """The facts about the records of a run, wherever they come from.

    Attributes
    ----------
    channels
        The channels that are played of each symbol, by their plain names.
    intervals
        The shortest interval of the candles of each symbol that has nothing else.
    instruments
        By symbol.
    gaps
        By symbol, the times in which rows of a channel that matters are missing. A symbol without
        an entry is streamed: its gaps are known only as they come.
    lacks
        What the data lacks, as sentences, with what they are about.
    """

    channels: Mapping[str, frozenset[str]]
    intervals: Mapping[str, str]
    instruments: Mapping[str, Instrument]
    gaps: Mapping[str, Sequence[Span]]
    lacks: Sequence[tuple[str, str]] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Tape(MarketFacts):
    """Recorded records in order of arrival, and the facts about them.

    Attributes
    ----------
    session, timeline
        Where they come from.
    """

    session: Session
    timeline: Timeline

    @property
    def rows(self) -> int | None:
        """How many records there are; None if nobody has counted them."""
        return None if self.intervals else self.timeline.rows

    def batches(self, since_ns: int | None = None) -> Iterator[Sequence[Record]]:
        """Iterate over the records in order of arrival, in lists.

        Parameters
        ----------
        since_ns
            Start with the first record that arrived then or later, ns UTC.
        """
        if not self.intervals or self.session.meta.get("candles_are_closed"):
            yield from self.timeline.batches(since_ns)
            return
        closed = ClosedCandles(self.intervals)
        for batch in self.timeline.batches(since_ns):
            yield closed.only(batch)


class ClosedCandles:
    """Lets a candle of some symbols pass once the next one has begun."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._symbols = frozenset(symbols)
        self._running: dict[tuple[str | None, str | None], Candle] = {}

    def only(self, batch: Iterable[Record]) -> list[Record]:
        """Return the records that may pass now."""
        kept: list[Record] = []
        for record in batch:
            if not isinstance(record, Candle) or record.symbol not in self._symbols:
                kept.append(record)
                continue
            key = (record.symbol, record.interval)
            before = self._running.get(key)
            if before is None or before.timestamp == record.timestamp:
                self._running[key] = record
            elif (before.timestamp or 0) < (record.timestamp or 0):
                kept.append(before._replace(local_timestamp=record.local_timestamp))
                self._running[key] = record
        return kept


def open_tape(
    data: object,
    channels: str | Iterable[str] | None,
    symbols: str | Iterable[str] | None,
    instruments: Mapping[str, Instrument],
) -> Tape:
    """Open the data of a run.

    Parameters
    ----------
    data
        A session, its path, a list of them, a replay that was not started, or a mapping of channels
        to frames.
    channels, symbols
        Play only these; all if None.
    instruments
        Used before those of the session.

    Raises
    ------
    InvalidInput
        If it is none of these, or an instrument is missing.
    UnknownChannel, UnknownSymbol
        If a channel or symbol is not in the data.
    """
    session = _session(data)
    asked = None if channels is None else texts(channels, "channels")
    wanted = None if asked is None else [session.channel(each) for each in asked]
    played = _played(session, wanted, None if symbols is None else texts(symbols, "symbols"))
    facts = {**session.instruments, **instruments}
    for symbol in played:
        if symbol not in facts:
            raise InvalidInput(
                f"nothing is known about {symbol}, such as its tick and lot size: the data has no "
                "instruments, so pass instruments=, a list of Instrument, for example from "
                "kr.instrument"
            )
    timeline = Timeline(session, channels=channels, symbols=symbols)
    intervals = {
        symbol: _shortest(session, wanted, symbol)
        for symbol, there in played.items()
        if there & MATCHED == {"candle"}
    }
    gaps = _gaps(session, played, timeline.end_ns or 0)
    return Tape(
        session=session,
        timeline=timeline,
        channels=played,
        intervals=intervals,
        instruments={symbol: facts[symbol] for symbol in played},
        gaps=gaps,
        lacks=[*(("recording", note) for note in session.notes), *lacks_of(gaps)],
    )


# -- what a user may pass --------------------------------------------------------------------------


def _session(data: object) -> Session:
    if isinstance(data, Session):
        return data
    if isinstance(data, str | Path):
        return load(data)
    if isinstance(data, Mapping):
        return _of_frames(data)
    if is_replay(data):
        if data.state != "idle":
            raise InvalidInput(
                f"the replay {data.name!r} has been started, so its beginning is gone; pass a "
                "session or a replay that was not started"
            )
        return _session(data.session)
    if isinstance(data, Iterable):
        parts = list(data)
        if parts and all(isinstance(each, str | Path | Session) for each in parts):
            return load([path for each in parts for path in _paths(each)])
    raise InvalidInput(
        "data must be a session, its path, a list of them, a replay or a mapping such as "
        f'{{"trade": frame}}, not {shown(data)}'
    )


def _paths(part: object) -> list[Any]:
    return list(part.paths) if isinstance(part, Session) else [part]


def _of_frames(frames: Mapping[Any, Any]) -> Session:
    if not frames:
        raise InvalidInput("data is an empty mapping, so there is nothing to play")
    tables, found, names = [], dict[str, None](), list[str]()
    # In one order, whatever that of the mapping is: it is the order of rows of one arrival.
    for _, name in sorted((str(parse_channel(each)), each) for each in frames):
        channel, frame = parse_channel(name), frames[name]
        rows = _prepared(channel, frame)
        names += _names_in(channel, rows)
        for symbol in rows["symbol"].cast(pl.String).unique(maintain_order=True):
            if symbol is not None:
                found[symbol] = None
            if symbol is None and channel.name != "status":
                raise InvalidInput(f"the frame of {name!r} has rows without a symbol")
            tables.append(_table(channel, symbol, rows))
    tables.sort(key=lambda each: (each.channel, each.symbol or ""))
    meta: dict[str, Any] = {
        "state": "closed",
        "symbols": list(found),
        "channels": names,
        "candles_are_closed": True,
        "files": {},
    }
    return Session(tables, [meta], [Path("frames")])


def _names_in(channel: Channel, rows: pl.DataFrame) -> list[str]:
    """Name the channel, and where a frame holds other candles than the name says, those."""
    if channel.name != "candle":
        return [str(channel)]
    intervals = rows["interval"].cast(pl.String).unique(maintain_order=True)
    found = [str(Channel("candle", each)) for each in intervals if each in CANDLE_INTERVALS]
    return found or [str(channel)]


def _table(channel: Channel, symbol: str | None, rows: pl.DataFrame) -> Table:
    named = pl.lit(symbol, dtype=pl.String)
    chosen = rows.filter(pl.col("symbol").cast(pl.String).eq_missing(named))
    return Table(
        CHANNELS[channel.name], channel.name, symbol, f"the frame of {channel}", chosen.lazy
    )


def _prepared(channel: Channel, frame: object) -> pl.DataFrame:
    """Give a frame the columns and types of its channel, and candles the time of their close."""
    has_columns(frame, ("timestamp", "symbol"), f"the frame of {str(channel)!r}")
    assert isinstance(frame, pl.DataFrame)
    schema = schema_of(CHANNELS[channel.name])
    if channel.name == "candle":
        has_columns(frame, ("open", "high", "low", "close"), f"the frame of {str(channel)!r}")
        if not frame["timestamp"].dtype.is_temporal() and not frame["timestamp"].dtype.is_integer():
            raise InvalidInput(
                f"the frame of {str(channel)!r}: timestamp must hold times, not "
                f"{frame['timestamp'].dtype}"
            )
        frame = _closed(channel, frame)
    elif "local_timestamp" not in frame.columns:
        raise ColumnMissing(
            f"the frame of {str(channel)!r} has no local_timestamp, so it is not known when its "
            "rows arrived; where they are not delayed, set it to timestamp"
        )
    columns = [
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in schema.items()
    ]
    try:
        rows = frame.select(columns)
    except pl.exceptions.PolarsError as error:
        first = str(error).partition("\n")[0]
        raise InvalidInput(f"the frame of {str(channel)!r} has a wrong type: {first}") from error
    if rows["local_timestamp"].null_count():
        raise InvalidInput(f"the frame of {str(channel)!r} has rows without a local_timestamp")
    _refuse_wrong_values(channel, rows)
    if channel.name == "candle":
        _refuse_impossible(channel, rows)
        # The pushes of a recorded candle are its states; the last one is the candle.
        rows = rows.unique(["symbol", "interval", "timestamp"], keep="last", maintain_order=True)
    return rows.sort("local_timestamp", maintain_order=True)


def _refuse_wrong_values(channel: Channel, rows: pl.DataFrame) -> None:
    newest = rows["local_timestamp"].to_physical().max()
    if isinstance(newest, int) and newest < _EARLIEST:
        raise InvalidInput(
            f"the frame of {str(channel)!r} has times of 1970 to 1973; whole numbers are taken as "
            "ns, so convert ms with pl.from_epoch(column, time_unit='ms')"
        )
    for name, kind in rows.schema.items():
        if kind.is_float() and len(wrong := (~rows[name].is_finite()).arg_true()):
            row = int(wrong[0])
            raise InvalidInput(
                f"the frame of {str(channel)!r}: {name} is {rows[name][row]} in row {row:,}; "
                "leave a missing value null"
            )


def _refuse_impossible(channel: Channel, rows: pl.DataFrame) -> None:
    inside = [pl.col(name).is_between("low", "high") for name in ("open", "close")]
    is_wrong = (pl.col("low") <= 0) | ~pl.all_horizontal(inside)
    wrong = rows.select(is_wrong.arg_true()).to_series()
    if len(wrong):
        row = rows.row(int(wrong[0]), named=True)
        raise InvalidInput(
            f"the frame of {str(channel)!r}: no candle has open {row['open']}, high {row['high']}, "
            f"low {row['low']} and close {row['close']}, as in row {wrong[0]:,}"
        )


def _closed(channel: Channel, frame: pl.DataFrame) -> pl.DataFrame:
    if "interval" not in frame.columns:
        frame = frame.with_columns(interval=pl.lit(channel.interval))
    names = frame["interval"].cast(pl.String).unique().drop_nulls()
    lengths = {name: parse_interval(name, "interval").polars for name in names}
    length = pl.col("interval").cast(pl.String).replace_strict(lengths, return_dtype=pl.String)
    closes = pl.col("timestamp").cast(_TIME).dt.offset_by(length)
    return frame.with_columns(local_timestamp=closes)


# -- the choice --------------------------------------------------------------------------------


def _played(
    session: Session, wanted: Sequence[Channel] | None, symbols: Sequence[str] | None
) -> dict[str, frozenset[str]]:
    """Find the channels of each symbol that has a price."""
    names = None if wanted is None else {each.name for each in wanted}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table in session.tables():
        if table.symbol is None or table.channel == "status":
            continue
        if names is None or table.channel in names:
            found[table.symbol].add(table.channel)
    order = session.symbols
    for symbol in symbols or ():
        if symbol not in order:
            hint = spelling_hint(symbol)
            raise UnknownSymbol(
                f"symbol {shown(symbol)} is not in the data; there is: {', '.join(order)}"
                + (f" ({hint})" if hint else "")
            )
    chosen = [each for each in order if symbols is None or each in symbols]
    played = {each: frozenset(found[each]) for each in chosen if found[each] & MATCHED}
    if not played:
        raise InvalidInput(
            "the data has no prices to trade at: it needs one of the channels "
            f"{', '.join(sorted(MATCHED))}"
        )
    return played


def _shortest(session: Session, wanted: Sequence[Channel] | None, symbol: str) -> str:
    tables = [each.scan() for each in session.tables("candle") if each.symbol == symbol]
    if not tables:
        return "1min"
    rows = pl.concat(tables).select(pl.col("interval").cast(pl.String).unique())
    names = session.collect(rows)["interval"]
    asked = {each.interval for each in wanted or () if each.name == "candle" and each.interval}
    lengths = {
        name: parse_interval(name).ns or 1 << 62
        for name in names.drop_nulls()
        if not asked or name in asked
    }
    return min(lengths, key=lambda each: lengths[each]) if lengths else "1min"


def _names(session: Session) -> set[str]:
    return {table.channel for table in session.tables()}


# -- gaps ------------------------------------------------------------------------------------------


def _gaps(
    session: Session, played: Mapping[str, frozenset[str]], until: int
) -> dict[str, list[Span]]:
    holes = times_between(session, played)
    spans = gap_spans([*_gap_rows(session), *_ends(holes)], played, until)
    for symbol, between in holes.items():
        # The first row behind a hole is no part of it.
        spans[symbol] += [(began, ended - 1) for began, ended in between]
    for loss in session.losses:
        for symbol, there in played.items():
            if any(loss.concerns(name, symbol) for name in there & MATCHED):
                spans[symbol].append((loss.began, loss.ended))
    return {symbol: merged(found) for symbol, found in spans.items()}


def _gap_rows(session: Session) -> list[Status]:
    """Collect the status rows about gaps."""
    found: list[Status] = []
    is_wanted = pl.col("event").cast(pl.String).is_in(list(GAP_EVENTS))
    for table in session.tables("status") if "status" in _names(session) else ():
        rows = session.collect(table.scan().filter(is_wanted))
        in_time = rows.sort("local_timestamp", maintain_order=True)
        found += [row for row in records_of(Status, in_time) if isinstance(row, Status)]
    return found


def _ends(holes: Mapping[str, Iterable[Span]]) -> list[Status]:
    # Of what one recording lacked at its end, the next one says nothing.
    return [
        Status(began, began, symbol, "stopped", None, None, None, None)
        for symbol, between in holes.items()
        for began, _ in between
    ]
