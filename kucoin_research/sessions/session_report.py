"""The report of recorded rows: their counts, and the account that the ``status`` rows hold.

A session counts its frames, a replay counts as it goes. Both read gaps and fills from the same
``status`` rows, so they arrive at the same report.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.records import ALL_SYMBOLS, Status, filled_until
from kucoin_research.model.report import ChannelReport, Report

__all__ = ["CONCERNING", "Counted", "build_report", "reported_gaps"]

_SECONDS = re.compile(r"(?<![a-z])(?P<cause>[a-z]+) for [\d.]+ s")
_UNNUMBERED = "its rows carry no sequence, so nothing tells whether some are missing"
_FILLS = frozenset({"filled", "not_filled"})
_DOUBTS = frozenset({"unproven", "resync"})
_CROSSINGS = frozenset({"crossed", "uncrossed"})
_PRESENCES = frozenset({"subscribed", "unsubscribed"})
_COUNTED_EVENTS = frozenset({"connected", "disconnected", "rollover"})

#: The events that change a report.
CONCERNING = (
    frozenset({"broken", "gap", "book_ready"})
    | _FILLS
    | _COUNTED_EVENTS
    | _DOUBTS
    | _CROSSINGS
    | _PRESENCES
)


@dataclass(slots=True)
class Counted:
    """The number of rows of one channel and symbol, and their sequences.

    ``symbol`` is ``*`` for rows without one.
    """

    channel: str
    symbol: str
    rows: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    is_synced: bool = False  # only for level 2: there is a snapshot


#: Counts the rows of a channel and symbol that arrived from one time on and before another.
Between = Callable[[str, str, int, int], int]


def build_report(
    name: str,
    counted: Iterable[Counted],
    statuses: Sequence[Status],
    between: Between,
    losses: Iterable[Loss] = (),
    damages: Iterable[Damage] = (),
) -> Report:
    """Make the report.

    Parameters
    ----------
    name
        The session's name.
    counted
        One entry for each channel and symbol, in the report's order.
    statuses
        In order of arrival; those that are not ``CONCERNING`` may be missing.
    between
        Called to count the rows that came by REST.
    losses
        Rows that the recorder could not write. A symbol whose rows are all gone has an entry, too.
    damages
        Data that the files have lost. A symbol whose rows are all gone has an entry, too.
    """
    tallies = _Tallies(_tally(each) for each in counted)
    accounts = _Accounts(tallies.all)
    for status in statuses:
        _take(accounts.concerned(status), status, between)
    for loss in losses:
        for tally in tallies.concerned(loss):
            tally.gaps.append(Gap(_why_not(loss), None, None, loss.began, loss.ended))
    for damage in damages:
        reported = str(damage)
        for tally in tallies.concerned(damage):
            tally.damage.append(reported)
    events = Counter(status.event for status in statuses)
    return Report(
        name=name,
        channels=tuple(map(ChannelReport.of, tallies.all)),
        reconnects=_reconnects(statuses),
        clock_offset_ms=None,
        rollovers=events["rollover"],
    )


def reported_gaps(channel: str | None, statuses: Iterable[Status]) -> list[Gap]:
    """List the gaps of one channel and symbol, each with how it ended.

    Parameters
    ----------
    channel
        The channel that they are of.
    statuses
        Its rows of the ``status`` channel, in order of arrival; others than ``gap``, ``filled`` and
        ``not_filled`` change nothing. The number of filled rows is not counted.
    """
    tally = Tally(channel or "", ALL_SYMBOLS)
    accounts = _Accounts([tally])
    for status in statuses:
        _take(accounts.concerned(status), status, lambda *_: 0)
    return tally.gaps


class _Tallies:
    """Finds tallies by channel and symbol: a session may have 100,000, and as many files."""

    def __init__(self, tallies: Iterable[Tally]) -> None:
        self.all: list[Tally] = []
        self._named: defaultdict[tuple[str, str], list[Tally]] = defaultdict(list)
        for tally in tallies:
            self._add(tally)

    def _add(self, tally: Tally) -> None:
        self.all.append(tally)
        self._named[tally.channel, tally.symbol.casefold()].append(tally)

    def concerned(self, harm: Damage | Loss) -> list[Tally]:
        """Find the tallies that a damage or loss concerns; add one if there is none yet."""
        found = [each for each in self._near(harm) if harm.concerns(each.channel, each.symbol)]
        if not found and harm.channel is not None:
            found = [Tally(harm.channel, harm.symbol or ALL_SYMBOLS)]
            self._add(found[0])
        return found

    def _near(self, harm: Damage | Loss) -> Iterator[Tally]:
        if harm.channel in (None, "status"):
            yield from self.all
            return
        for symbol in {(harm.symbol or ALL_SYMBOLS).casefold(), ALL_SYMBOLS}:
            yield from self._named.get((harm.channel, symbol), ())


def _why_not(loss: Loss) -> str:
    return "not recorded" if loss.reason is None else f"not recorded ({loss.reason})"


def _tally(counted: Counted) -> Tally:
    return Tally(
        counted.channel,
        counted.symbol,
        rows=counted.rows,
        first_sequence=counted.first_sequence,
        last_sequence=counted.last_sequence,
        is_synced=counted.is_synced,
        doubt=_UNNUMBERED if counted.rows and counted.first_sequence is None else None,
    )


@dataclass(slots=True)
class _Account:
    """The gaps of a channel and symbol while the status rows are read."""

    tally: Tally
    waiting: list[Gap] = field(default_factory=list)  # gaps to be filled, or given up
    last: Gap | None = None  # the gap that was filled last
    filled_at: int = 0

    def open(self, gap: Gap) -> None:
        """Note a gap."""
        self.tally.gaps.append(gap)
        self.waiting.append(gap)

    def fill(self, count: int, first: int, ended: int, reported: int) -> None:
        """Note rows that came by REST, stamped from ``first`` on and before ``ended``."""
        self.tally.filled += count
        gap = self._next(first)
        if gap is None:
            return
        self.filled_at = reported
        self.last = self.tally.retell(
            gap,
            filled=gap.filled + count,
            filled_by="REST",
            ended=ended if gap.cause == "stalled" else gap.ended,
        )

    def _next(self, first: int) -> Gap | None:
        begun = [each for each in self.waiting if each.began <= first] or self.waiting
        # A gap before an unsubscription ended with that: REST is not asked about it any more.
        asked = [each for each in begun if each.cause == "unsubscribed"] or begun
        if asked:  # gaps are filled in order of time
            gap = min(asked, key=lambda each: each.began)
            self.waiting.remove(gap)
            self.waiting = [each for each in self.waiting if each.began >= gap.began]
            return gap
        # A silence that goes on is filled repeatedly.
        return self.last if self.last is not None and self.last.cause == "stalled" else None

    def fall_short(self, local: int, first: int | None, last: int | None) -> None:
        """Note that rows are still missing."""
        if self.last is None or local != self.filled_at + 1:
            self.waiting.clear()  # REST could not be reached
            return
        self.last = self.tally.retell(self.last, filled_by=None)
        if first is not None:
            self.last = self.tally.retell(
                self.last, first_sequence=first, last_sequence=last, is_counted=False
            )


class _Accounts:
    """Finds accounts by channel and symbol, so that a row looks at no other ones."""

    def __init__(self, tallies: Iterable[Tally]) -> None:
        self._named: defaultdict[tuple[str | None, str | None], list[_Account]] = defaultdict(list)
        for account in map(_Account, tallies):
            for channel in (account.tally.channel, None):
                for symbol in (account.tally.symbol, None):
                    self._named[channel, symbol].append(account)

    def concerned(self, status: Status) -> list[_Account]:
        """Find the accounts that a row concerns, those of all symbols included."""
        found = self._named.get((status.channel, status.symbol), [])
        if status.symbol in (None, ALL_SYMBOLS):
            return found
        return [*found, *self._named.get((status.channel, ALL_SYMBOLS), ())]


def _take(concerned: Sequence[_Account], status: Status, between: Between) -> None:
    if status.event == "broken":
        for account in concerned if status.channel or status.symbol else []:
            account.tally.broken += 1
    elif status.event == "gap":
        for account in concerned:
            account.open(_gap(status))
    elif status.event in _DOUBTS or status.event == "book_ready":
        _doubt(concerned, status)
    elif status.event in _CROSSINGS | _PRESENCES:
        for account in concerned:
            _begin_or_end(account.tally, status)
    elif status.event in _FILLS:
        for account in concerned:
            _fill(account, status, between)


def _begin_or_end(tally: Tally, status: Status) -> None:
    """Note since when a book is crossed or a channel is not streamed, or that this is over."""
    local = status.local_timestamp or 0
    if status.event in _CROSSINGS:
        tally.cross(local, is_over=status.event == "uncrossed")
        return
    channel = (status.detail or tally.channel).partition(" ")[0]  # a candle's with its interval
    if status.event == "subscribed":
        tally.absent.pop(channel, None)
    else:
        tally.absent[channel] = local


def _doubt(concerned: Sequence[_Account], status: Status) -> None:
    """Note for books whether, from then on, missing rows could be noticed."""
    doubt = None if status.event == "book_ready" else status.detail
    symbol = status.symbol
    if status.event == "resync":  # from a book that was wrong; the detail names its symbol
        symbol, _, why = (status.detail or "").partition(":")
        doubt = f"{why.strip()}, and no snapshot has come since"
    for account in concerned:
        if account.tally.channel == "level2" and symbol in (None, account.tally.symbol):
            account.tally.doubt = doubt


def _fill(account: _Account, status: Status, between: Between) -> None:
    first, last, tally = status.first_sequence, status.last_sequence, account.tally
    if tally.channel == "level2":
        if first is not None and last is not None:
            tally.mend(first, last)
        return
    begin, end = _bounds(status)
    if status.event == "not_filled":
        account.fall_short(end, first, last)
    else:
        behind = filled_until(begin, end, status.detail)
        account.fill(between(tally.channel, tally.symbol, begin, behind), begin, behind, end)


def _reconnects(statuses: Iterable[Status]) -> int:
    """Count the connections that were made after one was lost."""
    count, is_lost = 0, False
    for status in statuses:
        count += is_lost and status.event == "connected"
        is_lost = status.event == "disconnected" or (is_lost and status.event != "connected")
    return count


def _gap(status: Status) -> Gap:
    began, ended = _bounds(status)
    gap = Gap(_cause(status.detail), status.first_sequence, status.last_sequence, began, ended)
    channel = (status.detail or "").partition(" ")[0]
    return gap._replace(candle=channel) if channel.startswith("candle:") else gap


def _bounds(status: Status) -> tuple[int, int]:
    ended = status.local_timestamp or 0
    return (ended if status.timestamp is None else status.timestamp), ended


def _cause(detail: str | None) -> str:
    text = detail or ""
    if "renumbered" in text:
        return "rebase"
    found = _SECONDS.search(text)
    return found["cause"] if found else "missing"
