"""Which channels and symbols of a running stream are subscribed to, and since when others are not.

Rows are taken from the moment a subscription is asked for, as data may come before its
acknowledgement, and up to the acknowledgement of an unsubscription: behind that nothing comes any
more. The time in between is a gap of the cause ``unsubscribed``, once rows come again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from kucoin_research.exchange.topics import Topic
from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.channels import Channel, Subscription
from kucoin_research.model.integrity import Tally
from kucoin_research.model.records import PRIVATE_CHANNELS, Record
from kucoin_research.streaming.gap_fill import FILLABLE, GapFiller
from kucoin_research.streaming.ledger import SequenceLedger
from kucoin_research.streaming.order_books import OrderBooks
from kucoin_research.streaming.status_rows import gap_row, status_row

__all__ = ["UNSUBSCRIBED", "Presences"]

#: The cause of a gap that nobody wanted filled.
UNSUBSCRIBED = "unsubscribed"


@dataclass(slots=True)
class _Presence:
    """One subscription: in force, asked for, to be taken back, or absent since a stamp."""

    subscription: Subscription
    tally: Tally
    topics: frozenset[Topic]
    since: int | None = None  # ns UTC
    coming: set[Topic] = field(default_factory=set)  # asked for, and not acknowledged
    going: set[Topic] = field(default_factory=set)
    last_open: int | None = None  # of the candles before the absence

    @property
    def channel(self) -> Channel:
        return self.subscription.channel

    @property
    def has_begun(self) -> bool:
        """Whether rows may be missing: there were some before."""
        if self.channel.name == "candle":
            return self.last_open is not None
        return bool(self.tally.rows) or self.channel.name in PRIVATE_CHANNELS


class Presences:
    """Lets channels and symbols of a stream come and go, and accounts for their absence.

    Parameters
    ----------
    ledger, order_books, gap_filler
        Of the stream.
    clock
        Stamps the rows that report it.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards it. Each method returns the rows that follow.
    """

    def __init__(
        self,
        ledger: SequenceLedger,
        order_books: OrderBooks,
        gap_filler: GapFiller,
        clock: ArrivalClock,
    ) -> None:
        self._ledger = ledger
        self._books = order_books
        self._gap_filler = gap_filler
        self._clock = clock
        self._all: dict[Subscription, _Presence] = {}
        # Those with an open answer: a stream of 700 contracts has thousands of others.
        self._coming: list[_Presence] = []
        self._going: list[_Presence] = []

    def add(self, subscription: Subscription, tally: Tally, topics: Iterable[Topic]) -> None:
        """Keep an eye on a subscription from now on."""
        self._all[subscription] = _Presence(subscription, tally, frozenset(topics))

    def knows(self, subscription: Subscription) -> bool:
        """Return whether it was ever subscribed to."""
        return subscription in self._all

    # -- to come -----------------------------------------------------------------------------------

    def come(
        self, subscriptions: Iterable[Subscription], asked: Collection[Topic], now_ns: int
    ) -> list[Record]:
        """Prepare for the rows of subscriptions, of which those topics are about to be asked for.

        A channel that needs none of these topics is there at once: others have asked for them.
        """
        rows: list[Record] = []
        for each in self._of(subscriptions):
            each.coming = set(each.topics.intersection(asked))
            if each.since is not None:
                self._resume(each, each.since, now_ns)
            if each.coming:
                self._coming.append(each)
            else:
                rows += self._arrive(each, now_ns)
        return rows

    def _resume(self, each: _Presence, since: int, now_ns: int) -> None:
        tally, channel = each.tally, each.channel
        tally.absent.pop(str(channel), None)
        self._ledger.resume(channel.record, tally.symbol, now_ns)
        if channel.name == "level2":
            self._books.come_back(tally.symbol)
        elif channel.name in FILLABLE and each.has_begun:
            if each.last_open is not None:
                tally.last_opens.setdefault(channel.interval, each.last_open)
            intervals = None if channel.interval is None else frozenset([channel.interval])
            # From now on: the first rows may come before the acknowledgement.
            self._gap_filler.begin_outage(tally, since, intervals)

    def arrived(self, topics: Collection[Topic], now_ns: int) -> list[Record]:
        """Note that the exchange has acknowledged these subscriptions."""
        rows: list[Record] = []
        for each in self._coming:
            each.coming.difference_update(topics)
            if not each.coming:
                rows += self._arrive(each, now_ns)
        self._coming = [each for each in self._coming if each.coming]
        return rows

    def _arrive(self, each: _Presence, now_ns: int) -> list[Record]:
        tally, name, since = each.tally, each.channel.name, each.since
        local = self._clock.begin(now_ns)
        what = f"{each.channel} of {tally.symbol} is subscribed to from here on"
        rows: list[Record] = [status_row(local, "subscribed", tally.symbol, name, what)]
        local += 1
        if since is not None:
            each.since = None
            if not tally.is_resting and len(self._others(each)) == 0:
                tally.resumed = local
            local = self._report_absence(each, since, local, rows)
        if name == "level2" and tally.doubt is not None:
            rows.append(status_row(local, "unproven", tally.symbol, name, tally.doubt))
            local += 1
        self._clock.end(local)
        return rows

    def _report_absence(self, each: _Presence, since: int, local: int, rows: list[Record]) -> int:
        tally = each.tally
        if not each.has_begun:
            return local
        for _, found in self._ledger.outage([tally], since, local, UNSUBSCRIBED):
            # Other intervals of the same account may have gone on.
            candle = str(each.channel) if each.channel.name == "candle" else None
            gap = tally.retell(found, candle=candle)
            rows.append(gap_row(gap, tally, local))
            local += 1
            earlier = self._gap_filler.end_outage(tally, gap, local)
            rows += earlier
            local += len(earlier)
        return local

    def fail(self, subscriptions: Iterable[Subscription], now_ns: int) -> list[Record]:
        """Go back to the time before ``come``, for those that were not acknowledged."""
        rows: list[Record] = []
        for each in self._of(subscriptions):
            if not each.coming:
                continue
            each.coming = set()
            if each.since is not None:
                rows += self._rest(each, each.since, now_ns, is_back=False)
            elif each.tally.rows:
                rows += self._leave(each, now_ns)  # some rows came without an acknowledgement
        self._coming = [each for each in self._coming if each.coming]
        return rows

    def forget_empty(self, subscriptions: Iterable[Subscription]) -> list[Subscription]:
        """Forget those that never had a row, and return them."""
        empty = [
            each
            for each in self._of(subscriptions)
            if each.since is None and not each.tally.rows and not self._others(each)
        ]
        for each in empty:
            del self._all[each.subscription]
            self._ledger.drop(each.channel.record, each.tally.symbol)
        return [each.subscription for each in empty]

    # -- to go -------------------------------------------------------------------------------------

    def go(
        self, subscriptions: Iterable[Subscription], asked: Collection[Topic], now_ns: int
    ) -> list[Record]:
        """Take subscriptions back; the exchange is asked to end those topics.

        A channel whose topics others still need ends at once.
        """
        rows: list[Record] = []
        for each in self._of(subscriptions):
            if each.since is not None:
                continue
            each.going = set(each.topics.intersection(asked))
            if each.going:
                self._going.append(each)
            else:
                rows += self._leave(each, now_ns)
        return rows

    def left(self, topics: Collection[Topic], now_ns: int) -> list[Record]:
        """Note that nothing more comes of these topics."""
        rows: list[Record] = []
        for each in self._going:
            each.going.difference_update(topics)
            if not each.going:
                rows += self._leave(each, now_ns)
        self._going = [each for each in self._going if each.going]
        return rows

    def stay(self, topics: Collection[Topic]) -> None:
        """Note that these topics go on, although they were to end."""
        for each in self._going:
            if not each.going.isdisjoint(topics):
                each.going = set()
        self._going = [each for each in self._going if each.going]

    def _leave(self, each: _Presence, now_ns: int) -> list[Record]:
        return self._rest(each, None, now_ns, is_back=True)

    def _rest(
        self, each: _Presence, since: int | None, now_ns: int, *, is_back: bool
    ) -> list[Record]:
        """Let a channel rest, since that stamp or from now on; ``is_back``: it has been there."""
        tally, channel, rows = each.tally, each.channel, list[Record]()
        is_last = not self._others(each)
        if channel.name == "level2" and is_back:
            rows += self._books.leave(tally.symbol, now_ns)
        elif channel.name == "level2":
            rows += self._books.stay_away(tally.symbol, now_ns)
        elif channel.name in FILLABLE and (is_last or not is_back):
            # A return that failed has an outage that would never be over; other intervals wait.
            rows += self._gap_filler.leave(tally, now_ns)
        if channel.name == "candle":
            waiting = self._gap_filler.leave_interval(tally, channel.interval)
            last_open = tally.last_opens.pop(channel.interval, each.last_open)
            each.last_open = last_open if waiting is None else waiting
        local = self._clock.begin(now_ns)
        each.since = local if since is None else since
        tally.absent[str(channel)] = each.since
        if is_last:
            self._ledger.rest(channel.record, tally.symbol, each.since)
        if since is None:
            what = f"{channel} of {tally.symbol} is not subscribed to from here on"
            rows.append(status_row(local, UNSUBSCRIBED, tally.symbol, channel.name, what))
            local += 1
        self._clock.end(local)
        return rows

    # -- which ones --------------------------------------------------------------------------------

    def _of(self, subscriptions: Iterable[Subscription]) -> Iterator[_Presence]:
        return iter([self._all[each] for each in subscriptions if each in self._all])

    def _others(self, one: _Presence) -> list[_Presence]:
        """List the other subscriptions that share an account with this one, and are in force."""
        return [
            each
            for each in self._all.values()
            if each.tally is one.tally and each is not one and each.since is None
        ]
