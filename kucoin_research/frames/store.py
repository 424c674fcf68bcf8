"""The rings of all channels under one roof, and what readers ask them for by name."""

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
from kucoin_research.model.records import ALL_SYMBOLS, CHANNELS, Candle, Record, Status

__all__ = ["FrameStore", "by_kind", "wanting"]

_STATUS_CAPACITY = 100_000
# How far back the newest rows of one symbol are looked for, at first and then each time.
_FIRST_LOOK = 10_000
_FURTHER = 64


class FrameStore:
    """Keeps the newest rows of each channel of a stream or a replay.

    Parameters
    ----------
    subscriptions
        What there is to keep; ``status`` is kept besides.
    capacity
        Rows kept per channel.
    name
        Whose they are, in what errors say.

    Notes
    -----
    ``extend`` is for one thread at a time; everything else may be called from any thread meanwhile,
    and never waits.
    """

    def __init__(self, subscriptions: Sequence[Subscription], capacity: int, name: str) -> None:
        self._name = name
        self.channels = list(dict.fromkeys(each.channel for each in subscriptions))
        self.symbols = list(dict.fromkeys(each.symbol for each in subscriptions))
        self.rings: dict[type[Record], Ring] = {
            channel.record: Ring(channel.record, capacity) for channel in self.channels
        }
        self.rings[Status] = Ring(Status, _STATUS_CAPACITY)
        self._candle_rows: Counter[str | None] = Counter()  # by interval

    def extend(self, rows: Sequence[Record]) -> None:
        """Keep rows of all channels, which are in order; late ones go where they belong."""
        self.extend_groups(by_kind(rows))

    def extend_groups(self, groups: Mapping[type[Record], Sequence[Record]]) -> None:
        """Keep rows that are sorted by kind already."""
        for kind, rows in groups.items():
            ring = self.rings[kind]
            newest = ring.newest()
            if newest is not None and _is_earlier(rows[0], newest):
                ring.insert(rows)
            else:
                ring.extend(rows)
        if Candle in groups:
            rows = groups[Candle]
            self._candle_rows.update(row.interval for row in rows if isinstance(row, Candle))

    @property
    def totals(self) -> dict[str, int]:
        """Rows that ever came, by channel."""
        return {_name_of(record): ring.total for record, ring in self.rings.items()}

    @property
    def kept(self) -> int:
        """Rows in memory now, of all channels."""
        return sum(map(len, self.rings.values()))

    def total(self, channel: Channel) -> int:
        """Count the rows that ever came on a channel."""
        if self._is_one_of_several(channel):
            return self._candle_rows[channel.interval]
        return self.rings[channel.record].total

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
        ring = self.rings[wanted.record]
        _check_last(last)
        truth(mark_filled, "mark_filled")
        filters = []
        if symbol is not None:
            self._check_symbol(symbol)
            filters.append(pl.col("symbol") == symbol)
        if self._is_one_of_several(wanted):
            filters.append(pl.col("interval") == wanted.interval)
        rows = _newest(ring, filters, last)
        return analytics.mark_filled(rows, self.rings[Status].frame()) if mark_filled else rows

    def channel(self, name: str | None) -> Channel:
        """Find a channel by its name; without one, the only one there is.

        Raises
        ------
        UnknownChannel
            If it is not here.
        """
        if name is None:
            if len(self.channels) == 1:
                return self.channels[0]
            raise UnknownChannel(f"name one of the channels: {_join(self.channels)}")
        wanted = parse_channel(name)
        candles = [each for each in self.channels if each.name == "candle"]
        if wanted.name == "candle" and ":" not in name and len(candles) == 1:
            return candles[0]  # plain means 1min only where there is a choice
        if wanted not in self.channels and wanted.record is not Status:
            raise UnknownChannel(
                f"channel {shown(name)} is not streamed by {self._name!r}; it streams: "
                f"{_join(self.channels)}"
            )
        return wanted

    def chosen(self, channel: str | Iterable[str] | None) -> list[Channel]:
        """Find the channels that an attached function wants; all of them unless it names some."""
        if channel is None:
            return [*self.channels, Channel("status")]
        return [self.channel(name) for name in texts(channel, "channel")]

    def _is_one_of_several(self, channel: Channel) -> bool:
        # Candles of all intervals share a ring.
        streamed = (each.interval for each in self.channels if each.interval is not None)
        return channel.interval is not None and any(each != channel.interval for each in streamed)

    def _check_symbol(self, symbol: str) -> None:
        name_of(symbol, "symbol")
        if ALL_SYMBOLS in self.symbols:  # whose rows may yet come, if there is such a symbol
            if hint := spelling_hint(symbol):
                raise UnknownSymbol(f"no symbol {shown(symbol)}: {hint}")
        elif symbol not in self.symbols:
            raise UnknownSymbol(
                f"symbol {shown(symbol)} is not streamed by {self._name!r}; it streams: "
                f"{', '.join(self.symbols)}"
            )


def _newest(ring: Ring, filters: Sequence[pl.Expr], last: int | None) -> pl.DataFrame:
    """Take the newest rows that pass; looks back only as far as these lie."""
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
        # As far as they should lie, going by those found, and some more.
        depth = depth * min(max(2 * last // max(rows.height, 1), 2), _FURTHER)


def by_kind(rows: Sequence[Record]) -> Mapping[type[Record], Sequence[Record]]:
    """Sort rows by kind; each kind's stay in order."""
    kinds = set(map(type, rows))
    if len(kinds) == 1:
        return {kinds.pop(): rows}
    groups: defaultdict[type[Record], list[Record]] = defaultdict(list)
    for row in rows:
        groups[row.__class__].append(row)
    return groups


def wanting(channels: Sequence[Channel]) -> Callable[[Record], bool]:
    """Make the test for records of these channels."""
    kinds = frozenset(channel.record for channel in channels)
    intervals = frozenset(channel.interval for channel in channels if channel.name == "candle")

    def wants(row: Record) -> bool:
        if row.__class__ not in kinds:
            return False
        return not isinstance(row, Candle) or row.interval in intervals

    return wants


def _is_earlier(row: Record, other: Record) -> bool:
    return row[1] is not None and other[1] is not None and row[1] < other[1]


def _name_of(record: type[Record]) -> str:
    return next(name for name, kind in CHANNELS.items() if kind is record)


def _join(channels: Iterable[Channel]) -> str:
    return ", ".join(map(str, channels))


def _check_last(last: object) -> None:
    if last is not None:
        count(last, "last", "rows", least=0)
