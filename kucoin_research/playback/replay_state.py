"""The state of a replay after the rows given so far: frames, books, and counts for the report."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kucoin_research.frames.store import FrameStore, by_kind
from kucoin_research.model.channels import Subscription
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import (
    ACCOUNT_CHANNELS,
    ALL_SYMBOLS,
    CHANNEL_OF,
    Candle,
    Level2,
    Record,
    Status,
    Trade,
    filled_until,
    local_timestamp_of,
    sequence_of,
    symbol_of,
)
from kucoin_research.model.report import Report
from kucoin_research.sessions.book_rebuild import BookRebuild
from kucoin_research.sessions.session_report import CONCERNING, Counted, build_report

__all__ = ["ReplayState", "Troubles"]

# The report counts at most this many rows that REST brought after one outage.
_MOST_FILLED = 1 << 17


_Times = npt.NDArray[np.int64]


class Troubles(NamedTuple):
    """Counts of the faults that the recorded stream had."""

    gaps: int
    reconnects: int
    rollovers: int
    broken: int


class ReplayState:
    """Keeps what a stream would have kept: frames, books, and counts for the report.

    Parameters
    ----------
    subscriptions
        The channels and symbols that are replayed.
    capacity
        Rows kept per channel.
    name
        The replay's, for error texts.

    Notes
    -----
    Only one thread may call ``take``. Everything else may be called from any thread meanwhile;
    ``store`` is read without waiting.
    """

    def __init__(self, subscriptions: Sequence[Subscription], capacity: int, name: str) -> None:
        self.store = FrameStore(subscriptions, capacity, name)
        self._name = name
        self._lock = threading.Lock()  # guards the books and the account
        self._books = BookRebuild(s.symbol for s in subscriptions if s.channel.name == "level2")
        self._has_books = any(s.channel.name == "level2" for s in subscriptions)
        self._account = _Account(self.store)

    def take(self, rows: Sequence[Record]) -> None:
        """Take rows in order of arrival, of all channels."""
        with self._lock:
            groups = by_kind(rows)
            self.store.extend_groups(groups)
            if self._has_books and (Level2 in groups or Status in groups):
                self._books.take(rows)
            self._account.take(groups)

    def book(self, symbol: str | None) -> OrderBook:
        """Copy the order book of a symbol; see ``BookRebuild.copy``."""
        with self._lock:
            return self._books.copy(symbol, self._name)

    def report(
        self, name: str, losses: Sequence[Loss] = (), damages: Iterable[Damage] = ()
    ) -> Report:
        """Make the report of a session's rows taken so far, of which some were lost or damaged."""
        with self._lock:
            return self._account.report(name, losses, damages)

    def troubles(self) -> Troubles:
        """Count the faults so far; counted anew only after further status rows."""
        with self._lock:
            return self._account.troubles()

    def disown(self) -> None:
        """Replace the lock in a forked child: the parent's thread may have held it."""
        self._lock = threading.Lock()


class _Account:
    """Counts rows, and remembers the few ``status`` rows that the report needs."""

    def __init__(self, store: FrameStore) -> None:
        self._channels = list(dict.fromkeys(channel.name for channel in store.channels))
        self._symbols = [each for each in store.symbols if each != ALL_SYMBOLS]
        self._counted: dict[tuple[str, str | None], Counted] = {}
        self._statuses: list[Status] = []
        self._fills: dict[tuple[str, str, int, int], int] = {}
        self._recent: defaultdict[tuple[str, str], _Recent] = defaultdict(_Recent)
        self._broken = 0
        self._troubles: tuple[tuple[int, int], Troubles] | None = None

    def take(self, groups: Mapping[type[Record], Sequence[Record]]) -> None:
        for kind, rows in groups.items():
            if kind is not Status:
                self._count(kind, rows)
        for row in groups.get(Status, ()):
            if isinstance(row, Status) and row.event in CONCERNING:
                self._take_status(row)

    def _count(self, kind: type[Record], rows: Sequence[Record]) -> None:
        symbols = set(map(symbol_of, rows))
        if len(symbols) == 1:
            self._count_of(kind, symbols.pop(), rows)
            return
        by_symbol: defaultdict[Any, list[Record]] = defaultdict(list)
        for row in rows:
            by_symbol[row[2]].append(row)  # row[2] is the symbol; a call per row would cost
        for symbol, group in by_symbol.items():
            self._count_of(kind, symbol, group)

    def _count_of(self, kind: type[Record], symbol: str | None, rows: Sequence[Record]) -> None:
        channel = CHANNEL_OF[kind]
        counted = self._counted.get((channel, symbol))
        if counted is None:
            counted = self._counted[channel, symbol] = Counted(channel, symbol or ALL_SYMBOLS)
        counted.rows += len(rows)
        if kind._fields[3] == "sequence":
            if counted.first_sequence is None:
                counted.first_sequence = _first_of(rows)
            last = _first_of(reversed(rows))
            counted.last_sequence = counted.last_sequence if last is None else last
        if kind is Level2 and not counted.is_synced:
            counted.is_synced = any(row.is_snapshot for row in rows if isinstance(row, Level2))
        if kind in (Trade, Candle):
            self._recent[channel, counted.symbol].take(rows)

    def _take_status(self, status: Status) -> None:
        self._statuses.append(status)
        self._broken += status.event == "broken"
        if status.event == "filled" and status.timestamp is not None:
            begin = status.timestamp
            end = filled_until(begin, status.local_timestamp or begin, status.detail)
            for (channel, symbol), recent in self._recent.items():
                self._fills[channel, symbol, begin, end] = recent.between(begin, end)

    def report(
        self, name: str, losses: Sequence[Loss] = (), damages: Iterable[Damage] = ()
    ) -> Report:
        return build_report(
            name,
            self._entries(),
            self._statuses,
            self._between,
            [each for each in losses if self._is_chosen(each)],
            [each for each in damages if self._is_chosen(each)],
        )

    def _is_chosen(self, harm: Damage | Loss) -> bool:
        if harm.channel in (None, "status"):
            return True
        is_ours = harm.symbol is None or not self._symbols or harm.symbol in self._symbols
        return harm.channel in self._channels and is_ours

    def troubles(self) -> Troubles:
        seen = (len(self._statuses), len(self._counted))
        if self._troubles is None or self._troubles[0] != seen:
            report = self.report("")
            counted = Troubles(report.gaps, report.reconnects, report.rollovers, self._broken)
            self._troubles = (seen, counted)
        return self._troubles[1]

    def _between(self, channel: str, symbol: str, begin: int, end: int) -> int:
        return self._fills.get((channel, symbol, begin, end), 0)

    def _entries(self) -> list[Counted]:
        # In the order of a session's report: by channel; within one, first the symbols with rows in
        # the order of their first row, then the others.
        entries: list[Counted] = []
        for channel in self._channels:
            heard = [key for key in list(self._counted) if key[0] == channel]
            silent: list[str | None] = [] if heard else [None]
            if channel not in ACCOUNT_CHANNELS:
                silent = [*self._symbols]
            keys = dict.fromkeys([*heard, *((channel, symbol) for symbol in silent)])
            entries += [
                self._counted.get(key) or Counted(channel, key[1] or ALL_SYMBOLS) for key in keys
            ]
        return entries


class _Recent:
    """Arrival times of the newest rows of a channel and symbol.

    Rows that REST brought after an outage are counted by their times once the ``filled`` row
    comes, which is right behind them.
    """

    def __init__(self) -> None:
        self._parts: deque[_Times] = deque()
        self._rows = 0

    def take(self, rows: Sequence[Record]) -> None:
        self._parts.append(np.fromiter(map(local_timestamp_of, rows), np.int64, len(rows)))
        self._rows += len(rows)
        while self._rows - len(self._parts[0]) >= _MOST_FILLED:
            self._rows -= len(self._parts.popleft())

    def between(self, begin: int, end: int) -> int:
        return sum(
            int(np.searchsorted(part, end)) - int(np.searchsorted(part, begin))
            for part in self._parts
        )


def _first_of(rows: Any) -> int | None:
    return next((sequence for sequence in map(sequence_of, rows) if sequence is not None), None)
