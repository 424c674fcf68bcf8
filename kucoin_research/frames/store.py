"""The rings of all channels of a stream or a replay, and frames of them by channel name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import polars as pl

from kucoin_research.errors import UnknownChannel, UnknownSymbol, shown
from kucoin_research.foundation.arguments import count, name_of, texts, truth
from kucoin_research.frames import analytics
from kucoin_research.frames.ring import Ring
from kucoin_research.model.channels import Channel, Subscription, parse_channel
from kucoin_research.model.instruments import spelling_hint
from kucoin_research.model.records import (
    ALL_SYMBOLS,
    CHANNEL_OF,
    Candle,
    Record,
    Status,
    interval_of,
)

__all__ = ["FrameStore", "by_kind", "records_in_words", "wanting"]

_STATUS_CAPACITY = 100_000
# The newest rows of one symbol are searched in this many rows at first; each further search goes
# up to 64 times deeper.
_FIRST_LOOK = 10_000
_FURTHER = 64


class FrameStore:
    """Keeps the newest rows of each channel of a stream or a replay.

    Parameters
    ----------
    subscriptions
        The channels and symbols to keep; ``status`` is kept besides.
    capacity
        Rows kept per channel.
    name
        The stream's or replay's, for error texts.

    Notes
    -----
    Only one thread at a time may call ``extend``. Everything else may be called from any thread
    meanwhile, and never waits.
    """

    def __init__(self, subscriptions: Sequence[Subscription], capacity: int, name: str) -> None:
        self._name = name
        self._capacity = capacity
        self._kept: dict[Subscription, None] = {}
        # Replaced as a whole, so that a reader on another thread never sees one change.
        self.channels: list[Channel] = []
        self.symbols: list[str] = []
        self.rings: dict[type[Record], Ring] = {Status: Ring(Status, _STATUS_CAPACITY)}
        self.add(subscriptions)
        self._candle_rows: Counter[str | None] = Counter()  # by interval

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Keep further channels and symbols."""
        self._kept |= dict.fromkeys(subscriptions)
        made = {
            each.channel.record: Ring(each.channel.record, self._capacity)
            for each in self._kept
            if each.channel.record not in self.rings
        }
        status = {Status: self.rings[Status]}  # it comes last
        self.rings = {k: v for k, v in self.rings.items() if k is not Status} | made | status
        self._list()  # last, so that whoever finds a channel finds its ring

    def drop(self, subscriptions: Iterable[Subscription]) -> None:
        """Forget channels and symbols that never had a row."""
        for each in subscriptions:
            self._kept.pop(each, None)
        self._list()
        known = {Status, *(each.record for each in self.channels)}
        self.rings = {kind: ring for kind, ring in self.rings.items() if kind in known}

    def _list(self) -> None:
        self.channels = list(dict.fromkeys(each.channel for each in self._kept))
        self.symbols = list(dict.fromkeys(each.symbol for each in self._kept))

    def extend(self, rows: Sequence[Record]) -> None:
        """Keep rows of all channels, in order of arrival; late rows are inserted by their time."""
        self.extend_groups(by_kind(rows))

    def extend_groups(self, groups: Mapping[type[Record], Sequence[Record]]) -> None:
        """Keep rows that are grouped by kind already."""
        for kind, rows in groups.items():
            ring = self.rings[kind]
            newest = ring.newest()
            if newest is not None and _is_earlier(rows[0], newest):
                ring.insert(rows)
            else:
                ring.extend(rows)
        if Candle in groups:
            rows = groups[Candle]
            self._candle_rows.update(map(interval_of, rows))

    @property
    def totals(self) -> dict[str, int]:
        """Number of rows that ever came, by channel."""
        return {CHANNEL_OF[record]: ring.total for record, ring in self.rings.items()}

    @property
    def kept(self) -> int:
        """Number of rows in memory now, over all channels."""
        return sum(map(len, self.rings.values()))

    def total(self, channel: Channel) -> int:
        """Count the rows that ever came on a channel."""
        ring = self._ring(channel)
        return (
            self._candle_rows[channel.interval] if self._is_one_of_several(channel) else ring.total
        )

    def _ring(self, channel: Channel) -> Ring:
        """Find the rows of a channel, which may have been dropped since it was looked up."""
        ring = self.rings.get(channel.record)
        if ring is None or (channel not in self.channels and channel.record is not Status):
            raise UnknownChannel(
                f"channel {channel} is not streamed by {self._name!r}: subscribing to it has "
                "failed meanwhile; subscribe to it again"
            )
        return ring

    def frame(
        self,
        channel: str | None = None,
        symbol: str | None = None,
        last: int | None = None,
        *,
        mark_filled: bool = False,
    ) -> pl.DataFrame:
        """Take a snapshot of a channel's rows; see ``Stream.frame``."""
        wanted = self.channel(channel)
        ring = self._ring(wanted)
        _check_last(last)
        truth(mark_filled, "mark_filled")
        filters = []
        if symbol is not None:
            self.check_symbol(symbol)
            filters.append(pl.col("symbol") == symbol)
        if self._is_one_of_several(wanted):
            filters.append(pl.col("interval") == wanted.interval)
        rows = _newest(ring, filters, last)
        return analytics.mark_filled(rows, self.rings[Status].frame()) if mark_filled else rows

    def channel(self, name: str | None) -> Channel:
        """Find a channel by its name; without a name, the only channel.

        Raises
        ------
        UnknownChannel
            If there is no such channel, or several and no name.
        """
        if name is None:
            if len(self.channels) == 1:
                return self.channels[0]
            raise UnknownChannel(f"name one of the channels: {_join(self.channels)}")
        wanted = parse_channel(name)
        candles = [each for each in self.channels if each.name == "candle"]
        if wanted.name == "candle" and ":" not in name and len(candles) == 1:
            return candles[0]  # with one interval, "candle" means that one, not 1min
        if wanted not in self.channels and wanted.record is not Status:
            raise UnknownChannel(
                f"channel {shown(name)} is not streamed by {self._name!r}; it streams: "
                f"{_join(self.channels)}"
            )
        return wanted

    def chosen(self, channel: str | Iterable[str] | None) -> list[Channel]:
        """Find the channels that an attached function wants; None means all, with ``status``."""
        if channel is None:
            return [*self.channels, Channel("status")]
        return [self.channel(name) for name in texts(channel, "channel")]

    def _is_one_of_several(self, channel: Channel) -> bool:
        # Candles of all intervals share one ring, so they are counted and filtered by interval.
        streamed = (each.interval for each in self.channels if each.interval is not None)
        return channel.interval is not None and any(each != channel.interval for each in streamed)

    def check_symbol(self, symbol: str) -> None:
        """Refuse a symbol that is not kept.

        Raises
        ------
        UnknownSymbol
            Naming those that are.
        """
        name_of(symbol, "symbol")
        if ALL_SYMBOLS in self.symbols:  # a row of any symbol may yet come
            if hint := spelling_hint(symbol):
                raise UnknownSymbol(f"no symbol {shown(symbol)}: {hint}")
        elif symbol not in self.symbols:
            raise UnknownSymbol(
                f"symbol {shown(symbol)} is not streamed by {self._name!r}; it streams: "
                f"{', '.join(self.symbols)}"
            )


def _newest(ring: Ring, filters: Sequence[pl.Expr], last: int | None) -> pl.DataFrame:
    """Return the newest rows that pass the filters; looks back only as far as necessary."""
    if not filters:
        return ring.frame(last)
    if last is None:
        return ring.frame().filter(*filters)
    depth = max(last * 2, _FIRST_LOOK)
    while True:
        held = ring.frame(depth)
        rows = held.filter(*filters)
        if rows.height >= last or held.height < depth:
            return rows.tail(last)
        # Estimate the depth by the share of rows that passed so far, and double it.
        depth = depth * min(max(2 * last // max(rows.height, 1), 2), _FURTHER)


def by_kind(rows: Sequence[Record]) -> Mapping[type[Record], Sequence[Record]]:
    """Group rows by kind; within a kind they stay in order."""
    if len(rows) == 1:  # most reads of a socket bring one
        return {rows[0].__class__: rows}
    kinds = set(map(type, rows))
    if len(kinds) == 1:
        return {kinds.pop(): rows}
    groups: defaultdict[type[Record], list[Record]] = defaultdict(list)
    for row in rows:
        groups[row.__class__].append(row)
    return groups


def wanting(channels: Sequence[Channel]) -> Callable[[Record], bool]:
    """Make a test that says whether a record is of one of these channels."""
    kinds = frozenset(channel.record for channel in channels)
    intervals = frozenset(channel.interval for channel in channels if channel.name == "candle")

    def wants(row: Record) -> bool:
        if row.__class__ not in kinds:
            return False
        return not isinstance(row, Candle) or row.interval in intervals

    return wants


def records_in_words(channels: Sequence[Channel] | None) -> str:
    """Name the records of these channels, or of all: ``"each trade record"``."""
    return "each record" if channels is None else f"each {_join(channels)} record"


def _is_earlier(row: Record, other: Record) -> bool:
    # Called once per batch and kind; a row without a stamp is never late.
    local, other_local = row.local_timestamp, other.local_timestamp
    return local is not None and other_local is not None and local < other_local


def _join(channels: Iterable[Channel]) -> str:
    return ", ".join(map(str, channels))


def _check_last(last: object) -> None:
    if last is not None:
        count(last, "last", "rows", least=0)
