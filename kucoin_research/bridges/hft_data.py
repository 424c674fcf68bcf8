"""Recordings as hftbacktest takes them."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.bridges.book_events import book_events
from kucoin_research.bridges.hft_events import BUY, SELL, TRADE, Events, in_both_orders, new_events
from kucoin_research.bridges.inputs import Data, channel_names, only_symbol, rows_of, source_of
from kucoin_research.bridges.missing_spans import (
    described,
    missing_spans,
    spans_between_sessions,
)
from kucoin_research.bridges.shown_levels import MOST_LEVELS, level_events
from kucoin_research.errors import IncompleteData, InvalidInput, UnknownChannel, shown
from kucoin_research.foundation.arguments import (
    columns_hold,
    explained,
    has_columns,
    number,
    path_of,
)
from kucoin_research.foundation.regular_files import replace
from kucoin_research.model.records import CHANNELS, schema_of
from kucoin_research.model.source import Source

__all__ = ["to_hftbacktest"]

_LOG = logging.getLogger(__name__)

_BOOKS = ("level2", *MOST_LEVELS)
_MS = 1_000_000
_SECOND = 1_000_000_000
#: If no row is faster than this, the two clocks do not show the same day or zone.
_SLOWEST = 60 * _SECOND
_EARLIEST, _LATEST = -(1 << 62), 1 << 62


@explained("to_hftbacktest")
def to_hftbacktest(
    data: Data,
    path: str | Path | None = None,
    symbol: str | None = None,
    *,
    book: str | None = None,
    clock_shift: float | str | None = None,
) -> Events:
    """Make the events of one symbol for hftbacktest 2.

    Parameters
    ----------
    data
        A session, its path, a stream, a replay, or a mapping of channels to frames, with a channel
        of the book; ``trade`` is used where it is there.
    path
        Where to write the events, too: an ``.npz`` file with the array ``data``, as hftbacktest
        reads it. An existing file is replaced.
    symbol
        May be left out where there is one.
    book
        The channel of the book; when left out the first one there of ``level2``, ``depth50``,
        ``depth5``, ``bbo`` and ``ticker``.
    clock_shift
        Seconds to add to the times of the exchange, where its clock and the one that stamped the
        rows differ. ``"fit"``: as many as let the fastest row take no time at all; the number is
        logged (``INFO``). Arrival times are never changed, so they are those of the session.

    Returns
    -------
    np.ndarray
        A structured array with hftbacktest's ``event_dtype``, in the order that its
        ``validate_event_order`` demands: an event that the exchange and this machine saw in
        another order is in two rows, one for each. Times are ns UTC, prices in quote currency,
        sizes in contracts on futures and base coins on spot. Trades have the side of the taker;
        one without a side fills nothing.

        *From level2*: each snapshot is a row that clears the book, then its levels, all arriving
        together; then the changes. *From snapshots* (``depth50`` and so on): the differences from
        row to row. A level beyond the last one shown stays as last seen; one that a row should
        show and does not is removed.

        *Gaps*: where changes of ``level2`` are missing, the book is cleared when the recorder
        noticed, and at the exchange's time of the last change; it stays empty until the next
        snapshot, so orders meet nothing there. For snapshots, from the begin of the gap on; so it
        is between sessions that were loaded together. Trades that are missing cannot be seen in the
        events. ``IncompleteData`` warns of all of them.

        *Times of the exchange*: those of the book never go back (a snapshot by REST may bear a
        later time than the changes behind it). If all of them are whole milliseconds, those of the
        trades are cut to milliseconds: then a trade stands before the change of the book that it
        made, which hftbacktest needs so as not to count the size twice.

    Raises
    ------
    UnknownChannel, UnknownSymbol
        If there is no channel of a book, or no such symbol.
    InvalidInput
        If ``data`` or another argument cannot mean anything, or several symbols are there and none
        was named. If a row lacks a time, or the book has no rows, or ``level2`` no snapshot. If a
        row arrived before it was sent, or all of them a minute later or more, with the shift:
        hftbacktest would let a strategy see the future, or a market of another day.
    ColumnMissing
        If a frame lacks a needed column.
    OSError
        If the file cannot be written.

    Notes
    -----
    hftbacktest also needs ``tick_size``, ``lot_size``, the contract multiplier and the fees, which
    are in ``session.instruments``, and latencies of orders, which no recording of market data has.
    It has no funding and no liquidation.

    All events are in memory: 64 bytes each, those in two rows twice, and about three times as much
    while they are sorted. A session too large for that is converted in parts, a session of each
    day; hftbacktest takes several files.

    Examples
    --------
    >>> events = kr.to_hftbacktest("data/sessions/today", "today.npz", "XBTUSDTM")
    """
    target = None if path is None else _file(path)
    shift = _checked_shift(clock_shift)
    source = source_of(data, "to_hftbacktest")
    name = only_symbol(source, symbol, "to_hftbacktest")
    channel = _book_of(source, book)
    changes = _changes(source, channel, name)
    trades = _trades(source, name)
    if len(changes) and not (changes["exch_ts"] % _MS).any():
        trades["exch_ts"] -= trades["exch_ts"] % _MS
    # hftbacktest reduces a queue by trades first: see its converter of tardis files.
    _set_clocks([trades, changes], shift, name)
    events = in_both_orders([trades, changes])
    _warn_of_gaps(source, channel, name)
    if target is not None:
        _write(target, events)
    return events


# -- arguments -------------------------------------------------------------------------------------


def _file(path: Any) -> Path:
    target = path_of(path, "path")
    if target.suffix != ".npz":
        raise InvalidInput(
            f"path={str(path)!r} must end in .npz, by which hftbacktest knows how to read it"
        )
    return target


def _checked_shift(given: object) -> int | None:
    """Return the shift in ns; ``None`` to fit it."""
    if given is None:
        return 0
    if isinstance(given, str):
        if given != "fit":
            raise InvalidInput(f"clock_shift must be seconds or 'fit', not {shown(given)}")
        return None
    found = round(number(given, "clock_shift", "a number of seconds, or 'fit'") * _SECOND)
    if not _EARLIEST < found < _LATEST:
        raise InvalidInput(f"clock_shift={shown(given)} is longer than a century")
    return found


def _book_of(source: Source, book: object) -> str:
    there = channel_names(source)
    if book is None:
        found = next((name for name in _BOOKS if name in there), None)
    elif book in _BOOKS:
        found = str(book) if book in there else None
    else:
        raise InvalidInput(f"book must be one of {', '.join(_BOOKS)}, not {shown(book)}")
    if found is None:
        wanted = f"the channel {book!r}" if book else f"one of the channels {', '.join(_BOOKS)}"
        raise UnknownChannel(
            f"to_hftbacktest needs {wanted}, and the data has "
            f"{', '.join(source.channels) or 'none'}"
        )
    return found


# -- rows ------------------------------------------------------------------------------------------


def _changes(source: Source, channel: str, symbol: str) -> Events:
    rows = _checked(source, channel, symbol)
    if rows.is_empty():
        raise InvalidInput(
            f"{channel} of {symbol} has no rows, so there is no book; name another channel, book="
        )
    if channel != "level2":
        return level_events(rows, channel, missing_spans(source, channel, symbol))
    status = source.frame("status") if "status" in channel_names(source) else None
    between = spans_between_sessions(source, symbol)
    events = book_events(rows.drop_nulls("price"), status, symbol, between)
    if not len(events):
        raise InvalidInput(
            f"level2 of {symbol} has {rows.height:,} changes and no snapshot to begin with (a "
            "stream keeps only its newest rows); take a recording from its start, or another "
            "channel, book='depth50'"
        )
    return events


def _trades(source: Source, symbol: str) -> Events:
    if "trade" not in channel_names(source):
        return new_events(0)
    rows = _checked(source, "trade", symbol).drop_nulls(("price", "size"))
    side = rows["side"].cast(pl.String)
    flags = np.where((side == "buy").fill_null(value=False).to_numpy(), BUY, 0)
    flags |= np.where((side == "sell").fill_null(value=False).to_numpy(), SELL, 0)
    events = new_events(rows.height)
    events["ev"] = flags.astype(np.uint64) | np.uint64(TRADE)
    events["exch_ts"] = rows["timestamp"].to_physical().to_numpy()
    events["local_ts"] = rows["local_timestamp"].to_physical().to_numpy()
    events["px"], events["qty"] = rows["price"].to_numpy(), rows["size"].to_numpy()
    return events


def _checked(source: Source, channel: str, symbol: str) -> pl.DataFrame:
    """Read rows in order of arrival, all with both times."""
    rows = rows_of(source, channel, symbol)
    names = [name for name in schema_of(CHANNELS[channel]) if name not in {"sequence", "trade_id"}]
    if channel == "ticker":
        names = [name for name in names if name not in {"price", "size", "side"}]
    has_columns(rows, names, f"events of {channel} cannot be made")
    times = [name for name in names if name.endswith("timestamp")]
    columns_hold(rows, times=times, words=("symbol", "side"), numbers=("price", "size"))
    for name in times:
        if rows[name].null_count():
            raise InvalidInput(
                f"{rows[name].null_count():,} rows of {channel} of {symbol} have no {name}, so "
                "their place is not known; leave them out: .drop_nulls()"
            )
    if "sequence" not in rows.columns:
        rows = rows.with_columns(sequence=pl.lit(None, pl.Int64))
    return rows.with_columns(pl.col(times).cast(pl.Datetime("ns", "UTC")))


# -- clocks ----------------------------------------------------------------------------------------


def _set_clocks(groups: Sequence[Events], shift: int | None, symbol: str) -> None:
    """Add the shift to the exchange's times; refuse clocks by which a row is known too early."""
    lags = [int((each["local_ts"] - each["exch_ts"]).min()) for each in groups if len(each)]
    fastest = min(lags)
    if shift is None:
        shift = fastest
        _LOG.info(
            "the exchange's times of %s were moved by %+.9f s, so its fastest row took no time",
            symbol,
            shift / _SECOND,
        )
    if not 0 <= fastest - shift < _SLOWEST:
        raise InvalidInput(_refusal(fastest - shift, symbol))
    for each in groups:
        each["exch_ts"] += shift


def _refusal(fastest: int, symbol: str) -> str:
    cure = (
        "; pass clock_shift='fit' to move the exchange's times until the fastest row takes no "
        "time, or the seconds to add to them"
    )
    if fastest < 0:
        return (
            f"the clocks of this recording of {symbol} differ: a row arrived "
            f"{-fastest / _MS:,.3f} ms before it was sent, and hftbacktest refuses that{cure}"
        )
    return (
        f"the clocks of this recording of {symbol} differ: its fastest row arrived "
        f"{fastest / _SECOND:,.3f} s after it was sent, as with a simulated exchange{cure}"
    )


# -- what is missing, and the file -----------------------------------------------------------------


def _warn_of_gaps(source: Source, channel: str, symbol: str) -> None:
    used = [channel, "trade"] if "trade" in channel_names(source) else [channel]
    found = {name: missing_spans(source, name, symbol) for name in used}
    parts = [f"{name} has {described(spans)}" for name, spans in found.items() if spans]
    if parts:
        warnings.warn(
            f"the recording of {symbol} is not whole: {'; '.join(parts)}. The book is empty in its "
            "gaps, and trades in theirs are missing",
            IncompleteData,
            stacklevel=4,
        )


def _write(path: Path, events: Events) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, data=events)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, packed.getvalue())
