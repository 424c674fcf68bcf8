"""The data of a run, held in memory, and changed copies of it.

Sessions are read whole, so that a copy costs no further reading. A copy has the shape of the
original: of a mapping of frames it is a mapping of frames, of everything else a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import UnknownChannel, shown
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.intervals import parse_interval
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.table import Table

__all__ = ["Change", "Frames", "HeldData", "Mask", "Rows"]

_TIME = pl.Datetime("ns", "UTC")


class Rows(NamedTuple):
    """Rows of one channel.

    Attributes
    ----------
    key
        A number among the tables of a session, or the channel's name in a mapping.
    channel
        Its plain name.
    frame
        The rows.
    known
        When each row was known, ns UTC.
    """

    key: int | str
    channel: str
    frame: pl.DataFrame
    known: pl.Series

    def keep(self, mask: pl.Series) -> pl.DataFrame:
        """Return the rows where a mask is true."""
        return self.frame.filter(mask)


#: Marks rows.
Mask = npt.NDArray[np.bool_]
#: Makes other rows of some rows.
Change = Callable[[Rows], pl.DataFrame]


class Frames(dict[Any, pl.DataFrame]):
    """A mapping of channels to frames that can also be read like a session."""

    @property
    def channels(self) -> list[str]:
        """The channels, candles with their interval."""
        return [str(parse_channel(name)) for name in self]

    def frame(self, channel: str | None = None, symbol: str | None = None) -> pl.DataFrame:
        """Return a channel's frame, or one symbol's rows of it.

        Raises
        ------
        UnknownChannel
            If it is not there.
        """
        wanted = None if channel is None else parse_channel(channel)
        for name, rows in self.items():
            if wanted == parse_channel(name) or (wanted is None and len(self) == 1):
                return rows if symbol is None else rows.filter(pl.col("symbol") == symbol)
        raise UnknownChannel(f"no channel {shown(channel)}; there is: {', '.join(self.channels)}")


class HeldData:
    """Rows in memory.

    Parameters
    ----------
    data
        As a run takes it.
    session
        The same, opened.
    """

    def __init__(self, data: object, session: Session) -> None:
        self.session = session
        self.tables = [_of_table(key, table, session) for key, table in _numbered(session)]
        self.frames: list[Rows] | None = None
        if isinstance(data, Mapping):
            self.frames = [_of_frame(key, frame) for key, frame in data.items()]

    def times(self) -> tuple[int, int]:
        """Return when the first and the last row of market data were known, ns UTC."""
        known = [rows.known for rows in self.market() if rows.known.len()]
        firsts = [int(each[0]) for each in known]
        return min(firsts, default=0), max((int(each[-1]) for each in known), default=0)

    def market(self) -> list[Rows]:
        """List the rows without those of ``status``."""
        return [rows for rows in self.tables if rows.channel != "status"]

    def changed(self, change: Change) -> Session | Frames:
        """Make a changed copy in the shape of the original."""
        if self.frames is None:
            return self.played(change)
        return Frames({rows.key: change(rows) for rows in self.frames})

    def played(self, change: Change) -> Session:
        """Make a changed copy to play."""
        return self.session_of([change(rows) for rows in self.tables])

    def in_frames(self, masks: Sequence[Mask]) -> dict[int | str, Mask]:
        """Turn masks of the tables into masks of the frames of a mapping, by their keys."""
        found: dict[int | str, Mask] = {}
        tables = iter(masks)
        # As a run opens frames: by channel.
        for rows in sorted(self.frames or (), key=_channel_first):
            mask: Mask = np.zeros(rows.frame.height, dtype=bool)
            found[rows.key] = mask
            # As a run opens frames: in order of arrival, one table for each symbol.
            order = np.argsort(rows.known.to_numpy(), kind="stable")
            symbols = rows.frame["symbol"].cast(pl.String)[order]
            for symbol in symbols.unique(maintain_order=True):
                its = symbols.eq_missing(pl.Series([symbol], dtype=pl.String)).to_numpy()
                mask[order[its]] = next(tables)
        return found

    def session_of(self, frames: Sequence[pl.DataFrame], before: Iterable[Table] = ()) -> Session:
        """Make a session of one frame for each table.

        Parameters
        ----------
        frames
            In the order of ``tables``; ordered by ``local_timestamp``.
        before
            Further tables: of rows with one time theirs come first.
        """
        named = self.session.tables()
        tables = [
            Table(table.record, table.channel, table.symbol, table.origin, frame.lazy)
            for table, frame in zip(named, frames, strict=True)
        ]
        original = self.session
        return Session([*before, *tables], original.metas, original.paths, original.notes)


def _numbered(session: Session) -> Iterable[tuple[int, Table]]:
    return enumerate(session.tables())


def _channel_first(rows: Rows) -> tuple[str, str]:
    return str(parse_channel(str(rows.key))), str(rows.key)


def _of_table(key: int, table: Table, session: Session) -> Rows:
    frame = session.collect(table.scan()).sort("local_timestamp", maintain_order=True)
    return Rows(key, table.channel, frame, frame["local_timestamp"].to_physical())


def _of_frame(key: str, frame: pl.DataFrame) -> Rows:
    channel = parse_channel(key)
    times = _closes(channel, frame) if channel.name == "candle" else frame["local_timestamp"]
    return Rows(key, channel.name, frame, times.cast(_TIME).to_physical())


def _closes(channel: Channel, frame: pl.DataFrame) -> pl.Series:
    """Return when each candle closed: it is not known before."""
    named = pl.lit(channel.interval) if "interval" not in frame.columns else pl.col("interval")
    rows = frame.select(pl.col("timestamp").cast(_TIME), interval=named.cast(pl.String))
    lengths = {
        name: parse_interval(name, "interval").polars
        for name in rows["interval"].unique().drop_nulls()
    }
    length = pl.col("interval").replace_strict(lengths, return_dtype=pl.String)
    return rows.select(pl.col("timestamp").dt.offset_by(length))["timestamp"]
