"""Keeps an order book in step with the exchange.

``BookSync`` is a state machine: it holds deltas until a snapshot fits, then applies each one that
continues the sequence, and refuses to answer when one is missing.

Source of the rules: KuCoin's level-2 guides for futures and spot (https://www.kucoin.com/docs-new,
read 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, unique
from typing import NamedTuple

from kucoin_research.errors import BookNotReady
from kucoin_research.model.orderbook import (
    BookChange,
    BookDelta,
    BookSnapshot,
    OrderBook,
    uncrossed,
)
from kucoin_research.model.records import (
    Level2,
)

__all__ = ["BookGap", "BookSync", "Received"]


class BookGap(NamedTuple):
    """Sequences of a book that did not arrive, both ends included.

    ``cause`` is ``"missing"``, ``"disconnected"``, ``"resubscribed"`` (not sent while a snapshot
    was asked for by subscribing afresh), or ``"rebase"``: the exchange renumbered the book, nobody
    can say how much is missing, and ``last_missing`` is one below ``first_missing``.
    """

    symbol: str
    first_missing: int
    last_missing: int
    cause: str


class Received(NamedTuple):
    """All sequences of a book from ``first`` to ``last`` are accounted for.

    ``unrowed`` of them were received and have no row: fillers, which change no level. Each other
    one is in the rows, or in a ``BookGap``.
    """

    first: int
    last: int
    unrowed: int


@unique
class _State(Enum):
    EMPTY = "waits for the first delta"
    SEEKING = "waits for a snapshot"
    LIVE = "is in step"


# A sequence this far below the last one is no late duplicate: the exchange has renumbered the book.
REBASE_DISTANCE = 100_000


# So many deltas are held while a snapshot is sought. When more come, the held rows are released as
# they are, and the book wants a snapshot newer than they.
MOST_HELD = 10_000


# A snapshot may be ahead of the socket. Deltas that have not come this many seconds later are lost.
PATIENCE = 2.0


# A subscribed book that has been silent for so many seconds is fetched without waiting for its
# first delta: a quiet one would never answer, and after an outage nobody would know what it cost.
QUIET_PATIENCE = 1.0


# A delta younger than all others is no repeat, however low its sequence: a number that has come
# before has then been given twice. Of numbers that a snapshot stood for it must be this much
# younger, as the snapshot's clock may be another one.
FRESH_NS = 1_000_000_000


# A partial book with fewer known levels than this on a side is fetched afresh.
FEWEST_LEVELS = 20


_INFINITY = float("inf")


class BookSync:
    """Keeps one symbol's book in step.

    Fed with deltas in arrival order and, whenever ``wants_snapshot``, with a REST snapshot; both
    return the ``Level2`` rows that became part of the book's history, in an order that rebuilds it
    when read from the top, starting over at each snapshot. During a search deltas are held; at its
    end come the held rows that the snapshot already contains, the snapshot's own, and the held rows
    behind it. Held rows are stamped when they are released.

    The history begins at the first snapshot. From there on every sequence number that was sent is
    either in the rows (as a change, or as a filler without one) or in exactly one ``BookGap``.
    Deltas that no snapshot ever joined are released as they are: by ``finish``, or when too many
    are held. The history begins with them, then.

    A book in step that wants another snapshot (``renew``) goes on applying deltas. Only while the
    snapshot is on its way are their rows held, for it belongs among them.

    Where the snapshot comes in the stream itself (``seeds_itself``, the pro feed), it goes to
    ``on_seed`` in its place among the deltas. What it skips was never sent and never will be, so
    that is a gap at once. There, ``wants_snapshot`` asks for a new subscription.

    Not thread-safe: the stream's delivery lock guards it. Time is an argument (monotonic seconds).
    """

    def __init__(
        self, symbol: str, *, retry_after: float = 0.2, seeds_itself: bool = False
    ) -> None:
        self.symbol = symbol
        self.seeds_itself = seeds_itself
        self.duplicates = 0
        self.resyncs = 0
        self.late: list[tuple[int, int]] = []  # sequences that came after they were told missing
        self.found: list[BookGap] = []  # among deltas that were released without a snapshot
        self.received: list[Received] = []  # of numberings that are over
        self.released_since: int | None = None  # stamp of the reading of what was released last
        self._retry_after = retry_after
        self._state = _State.EMPTY
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        # No bid is above the one, no ask below the other: where they are apart, so are the sides.
        self._high_bid, self._low_ask = -_INFINITY, _INFINITY
        self._floor = 0.0  # below this bid nothing is known
        self._ceiling = _INFINITY  # above this ask nothing is known
        self._timestamp: int | None = None
        self._sequence = -1  # of the book
        self._given = -1  # of the rows given out; behind the book's while rows are held
        self._unrowed = 0  # sequences given out without a row, behind the one told last
        self._told = -1  # up to where it was told what has no row
        self._heard = -1  # of the deltas that came; ahead of the book's during a search
        self._known = -1  # sequence that the exchange's book had when it was last asked for it
        self._newest: int | None = None  # timestamp of deltas and snapshots so far
        self._last_delta = -1  # sequence of the newest delta; a snapshot may have gone beyond it
        self._began: int | None = None  # sequence at which the history begins
        self._held: list[BookDelta] = []
        self._held_since = 0  # stamp of the reading of the first of them
        self._fresh: list[BookDelta] = []  # old by their sequence, new by their time
        self._holes: list[tuple[int, int]] = []  # told as gaps, and still to be filled by late ones
        self._is_renewing = False  # in step, and wants another snapshot
        self._is_flawed = False  # renewing because the book is wrong
        self._needed = -1  # an older snapshot cannot be joined with what is held
        self._ahead: BookSnapshot | None = None  # waits for the deltas up to it
        self._gap_cause = "missing"
        # A subscription is about to be made, and brings a seed.
        self._fetching = seeds_itself
        self._was_resubscribed = False
        self._subscribed_at: float | None = None
        self._not_before = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether the book is in step and answers."""
        return self._state is _State.LIVE and not self._is_flawed

    @property
    def is_settled(self) -> bool:
        """Whether the book is in step and wants nothing."""
        return self._state is _State.LIVE and not self._is_renewing

    @property
    def is_crossed(self) -> bool:
        """Whether it is in step, and its best bid at the best ask or above it."""
        if self._state is not _State.LIVE or self._high_bid < self._low_ask:
            return False
        # The bounds are not moved when a best level goes, as the next one would have to be sought.
        self._high_bid = max(self._bids, default=-_INFINITY)
        self._low_ask = min(self._asks, default=_INFINITY)
        return self._high_bid >= self._low_ask

    @property
    def doubt(self) -> str | None:
        """Say why nobody can tell whether something is missing; ``None`` while the book can."""
        if self._began is None:
            return None  # without a history there is nothing to doubt
        if self.is_ready:
            if self._known <= self._heard:
                return None
            return f"the exchange has sent changes up to {self._known}, which have not come"
        if self._is_flawed:
            return "the book is wrong, and a snapshot is asked for"
        if self._state is _State.EMPTY:
            return "nothing has shown yet what the lost connection cost"
        if not self._held:
            return "the book has fallen out of step, and no snapshot has come since"
        return f"rows wait for a snapshot of the book: of {len(self._held):,} of its messages"

    def note_known(self, sequence: int) -> None:
        """Note that the exchange's own book has come to that sequence."""
        self._known = max(self._known, sequence)

    @property
    def has_holes(self) -> bool:
        """Whether deltas are missing that would mend the book, if they came late."""
        return bool(self._holes)

    @property
    def waits_from(self) -> int | None:
        """The first sequence that is held, or may come late; ``None`` while nothing is held."""
        if not self._held:
            return None
        held = self._held[0].first_sequence
        return min(held, self._holes[0][0]) if self._holes else held

    @property
    def sequence(self) -> int:
        """The last sequence applied, -1 before any."""
        return self._sequence

    def wants_snapshot(self, now: float) -> bool:
        """Tell whether a snapshot should be asked for now."""
        return not self._fetching and now >= self._not_before and self._is_seeking(now)

    def _is_seeking(self, now: float) -> bool:
        if self._state is _State.EMPTY:
            since = self._subscribed_at
            return since is not None and now >= since + QUIET_PATIENCE
        return self._state is _State.SEEKING or self._is_renewing

    def snapshot_requested(self) -> None:
        """Note that a snapshot is on its way, so that no second one is asked for."""
        self._fetching = True
        self._was_resubscribed = self.seeds_itself

    def subscribed(self, now: float, seed_patience: float = 0.0) -> None:
        """Note that the subscription was acknowledged: everything from now on comes.

        Where it brings a seed, that comes within ``seed_patience`` seconds, most likely. A delta
        without a seed before it makes no search of that time.
        """
        if not self.seeds_itself:
            self._subscribed_at = now
            return
        self._fetching = False
        if not self.is_settled:  # data may come before the acknowledgement
            self._not_before = now + seed_patience

    def snapshot_failed(
        self, now: float, retry_after: float | None = None, local: int = 0
    ) -> list[Level2]:
        """Note that the snapshot did not come; it is asked for again later.

        Gives the rows of a book in step that were held for it, stamped from ``local`` on.
        """
        self._fetching = False
        self._not_before = now + (self._retry_after if retry_after is None else retry_after)
        return self._release_held(local) if self._state is _State.LIVE else []

    def restart(self) -> None:
        """Refuse to answer after a lost connection; the next delta starts a new search.

        What is held stays: it arrived, and its rows are released with the next snapshot.
        """
        self._state = _State.EMPTY
        self._is_renewing = self._is_flawed = False
        self._subscribed_at = None
        self._ahead = None
        self._holes = []  # nothing comes late over another connection
        self._gap_cause = "disconnected"
        self._fetching = self._fetching or self.seeds_itself  # the next subscription brings one
        self._was_resubscribed = False

    def note_cause(self, cause: str) -> None:
        """Say why what is found missing next did not come."""
        self._gap_cause = cause

    def renew(self, *, is_flawed: bool = False) -> None:
        """Have a book in step want another snapshot: nothing of its history is missing.

        Where it is flawed, it refuses to answer until then.
        """
        if self._state is _State.LIVE:
            self._is_flawed = self._is_flawed or is_flawed
            self.resyncs += not self._is_renewing
            self._is_renewing = True

    @property
    def has_unrowed(self) -> bool:
        """Whether there is something to tell that no row and no gap tells."""
        return self._unrowed > 0

    def take_received(self) -> Received | None:
        """Account for the sequences that were given out since the last time; None without any."""
        if self._began is None:
            return None
        first, unrowed = max(self._told, self._began) + 1, self._unrowed
        if self._given < first:
            return None
        self._told, self._unrowed = self._given, 0
        return Received(first, self._given, unrowed)

    def finish(self, local: int) -> list[Level2]:
        """Release what is held, at the end; rows are stamped from ``local`` on.

        The book does not answer any more, unless it was in step.
        """
        self._duplicated()
        rows = self._release_held(local)
        self._ahead = None
        return rows

    def copy(self) -> OrderBook:
        """Copy the book for a reader.

        Raises
        ------
        BookNotReady
            While the book is not in step, has moved beyond the levels of a partial snapshot, or is
            crossed.
        """
        if not self.is_ready:
            what = "is wrong and fetched afresh" if self._is_flawed else self._state.value
            raise BookNotReady(f"the book of {self.symbol} {what}; try again in a moment")
        bids = {price: size for price, size in self._bids.items() if price >= self._floor}
        asks = {price: size for price, size in self._asks.items() if price <= self._ceiling}
        if (self._floor and not bids) or (self._ceiling != _INFINITY and not asks):
            raise BookNotReady(
                f"the book of {self.symbol} has moved beyond its known levels and is fetched "
                "afresh; try again in a moment"
            )
        return uncrossed(OrderBook(self.symbol, self._sequence, self._timestamp, bids, asks))

    def flaw(self) -> str | None:
        """Name what is wrong with a book in step, or ``None``: crossed, or too thin to be known.

        Costs a pass over the levels; asked about once a second.
        """
        if not self.is_settled:
            return None
        if self.is_crossed:
            return "crossed"
        known_bids = sum(price >= self._floor for price in self._bids)
        known_asks = sum(price <= self._ceiling for price in self._asks)
        if self._floor and known_bids < FEWEST_LEVELS:
            return "thin"
        if self._ceiling != _INFINITY and known_asks < FEWEST_LEVELS:
            return "thin"
        return None

    def on_delta(self, delta: BookDelta, local: int) -> tuple[list[Level2], BookGap | None]:
        """Take one delta.

        Parameters
        ----------
        delta
            A book message of this symbol.
        local
            Arrival stamp of its first row, ns UTC; further rows take the following integers.

        Returns
        -------
        tuple[list[Level2], BookGap | None]
            The rows to keep now (mostly none while a snapshot is sought), and the gap before this
            delta.
        """
        heard = self._heard
        if delta.last_sequence <= heard:
            return self._on_old(delta, local)
        if self._fresh:
            self._duplicated()
        self._note_time(delta.timestamp)
        self._last_delta = delta.last_sequence
        has_hole = delta.first_sequence > heard + 1
        if self._state is _State.LIVE and not has_hole:
            self._heard = delta.last_sequence
            self._gap_cause = "missing"  # whatever it might have been
            return self._go_on(delta, local), None

        self.resyncs += self._state is _State.LIVE
        gap = None
        if has_hole and self._began is not None:
            gap = BookGap(self.symbol, heard + 1, delta.first_sequence - 1, self._gap_cause)
            if self._gap_cause == "missing":
                self._holes.append((gap.first_missing, gap.last_missing))
        self._gap_cause = "missing"
        rows = self._release_held(local) if len(self._held) >= MOST_HELD else []
        if has_hole or not self._held:
            self._needed = max(heard, delta.first_sequence - 1)
        self._hold(delta, local)
        self._heard = delta.last_sequence
        self._state = _State.SEEKING
        rows.extend(self._join_ahead(local + len(rows)))
        return rows, gap

    def _go_on(self, delta: BookDelta, local: int) -> list[Level2]:
        """Apply a delta that continues the sequence of a book in step."""
        if not (self._is_renewing and (self._fetching or self._ahead)):
            rows = self._give(delta, local)
            self._apply(delta)
            return rows
        # A snapshot is to come between the rows; the book itself need not wait for it.
        rows = self._release_held(local) if len(self._held) >= MOST_HELD else []
        self._hold(delta, local)
        self._apply(delta)
        rows.extend(self._join_ahead(local + len(rows)))
        return rows

    def _note_time(self, timestamp: int | None) -> None:
        if timestamp is not None and (self._newest is None or timestamp > self._newest):
            self._newest = timestamp

    def _duplicated(self) -> None:
        # What was fresh were repeats after all, as the sequence went on.
        self.duplicates += sum(map(self._is_repeat, self._fresh))
        self._fresh = []

    def _is_repeat(self, delta: BookDelta) -> bool:
        # What the first snapshot already contains came before the history.
        return self._began is None or delta.last_sequence > self._began

    def _on_old(self, delta: BookDelta, local: int) -> tuple[list[Level2], BookGap | None]:
        if self._heard - delta.last_sequence <= REBASE_DISTANCE:
            if self._is_late(delta):
                return self._take_late(delta, local), None
            if not self._is_fresh(delta):
                self.duplicates += self._is_repeat(delta)
                return [], None
            self._fresh.append(delta)
            if not self._is_renumbered(delta):
                return [], None
        else:
            self._fresh.append(delta)
        fresh, self._fresh = self._fresh, []
        rows, gap = self._begin_again(local)
        for each in fresh:  # held: the first ones of their numbering
            more, hole = self.on_delta(each, local + len(rows))
            rows.extend(more)
            self.found += [] if hole is None else [hole]
        return rows, gap

    def _is_fresh(self, delta: BookDelta) -> bool:
        newest, timestamp = self._newest, delta.timestamp
        return newest is not None and timestamp is not None and timestamp > newest

    def _is_renumbered(self, delta: BookDelta) -> bool:
        """Whether an old sequence is so new that the exchange must have renumbered the book."""
        newest, timestamp = self._newest, delta.timestamp
        if newest is None or timestamp is None:
            return False
        has_come = delta.last_sequence <= self._last_delta and not self.seeds_itself
        margin_ns = 0 if has_come else FRESH_NS
        return timestamp > newest + margin_ns or len(self._fresh) > MOST_HELD

    def _is_late(self, delta: BookDelta) -> bool:
        # Only while deltas are held: a snapshot that was joined meanwhile stands for it.
        return self._state is _State.SEEKING and any(
            first <= delta.first_sequence and delta.last_sequence <= last
            for first, last in self._holes
        )

    def _take_late(self, delta: BookDelta, local: int) -> list[Level2]:
        """Put a delta that was overtaken into its place; the last one mends the book."""
        first, last = delta.first_sequence, delta.last_sequence
        self.late.append((first, last))
        self._holes = [
            part
            for begin, end in self._holes
            for part in (
                [(begin, first - 1), (last + 1, end)] if begin <= first <= end else [(begin, end)]
            )
            if part[0] <= part[1]
        ]
        self._hold(delta, local)
        self._held.sort(key=lambda held: held.first_sequence)
        if self._holes or self._given < 0 or self._held[0].first_sequence != self._given + 1:
            return []
        held, self._state = self._take_held(), _State.LIVE
        self._ahead = None
        rows: list[Level2] = []
        for each in held:
            rows.extend(self._give(each, local + len(rows)))
            self._apply(each)
        return rows

    def _begin_again(self, local: int) -> tuple[list[Level2], BookGap | None]:
        gap = None
        rows = self._release_held(local)
        if self._began is not None:
            gap = BookGap(self.symbol, self._heard + 1, self._heard, "rebase")
        received = self.take_received()
        self.received += [] if received is None else [received]
        self._told, self._unrowed = -1, 0
        self.resyncs += self._state is _State.LIVE
        self._state = _State.EMPTY
        self._is_renewing = self._is_flawed = False
        self._ahead = self._began = self._newest = None  # another history begins
        self._heard = self._sequence = self._given = self._needed = self._last_delta = -1
        self._known = -1
        return rows, gap

    def on_seed(self, snapshot: BookSnapshot, local: int) -> tuple[list[Level2], list[BookGap]]:
        """Take a snapshot that came in the stream, in its place among the deltas.

        It replaces the book. A repeat of what the book already contains is counted and dropped, and
        one too old to be joined with what is held is left out.

        Parameters
        ----------
        snapshot
            As decoded.
        local
            Stamp of the first row released, ns UTC.

        Returns
        -------
        tuple[list[Level2], list[BookGap]]
            The rows released, and what it skips.
        """
        gaps: list[BookGap] = []
        rows: list[Level2] = []
        if self._heard - snapshot.sequence > REBASE_DISTANCE:
            rows, gap = self._begin_again(local)
            gaps = [] if gap is None else [gap]
        heard = self._heard
        if self.is_settled and snapshot.sequence <= heard:
            self.duplicates += 1
            return [], []
        if snapshot.sequence < self._oldest_to_join:
            return rows, gaps
        if self._began is not None and snapshot.sequence > heard:
            cause = "resubscribed" if self._was_resubscribed else self._gap_cause
            gaps.append(BookGap(self.symbol, heard + 1, snapshot.sequence, cause))
        self.resyncs += self._state is _State.LIVE
        self._gap_cause = "missing"
        self._fetching = self._was_resubscribed = False
        self._not_before = 0.0
        rows.extend(self._join(snapshot, local + len(rows)))
        return rows, gaps

    def on_snapshot(
        self, snapshot: BookSnapshot, local: int, now: float
    ) -> tuple[list[Level2], list[BookGap]]:
        """Take the snapshot that was asked for.

        A snapshot too old to be joined with the deltas held is refused, and asked for again. One
        that is ahead of the socket waits for the deltas up to it, which belong to the history; when
        they do not come, another snapshot is asked for, and its arrival ends the waiting.

        Parameters
        ----------
        snapshot
            The REST snapshot.
        local
            Stamp of the first row released, ns UTC.
        now
            Monotonic seconds, for the next try.

        Returns
        -------
        tuple[list[Level2], list[BookGap]]
            The rows released, and what has turned out to be missing before the snapshot.
        """
        self._fetching = False
        if self.is_settled or (self._state is _State.EMPTY and self._subscribed_at is None):
            return [], []
        if self._ahead is not None:
            awaited, self._ahead = self._ahead, None
            gap = BookGap(self.symbol, self._heard + 1, awaited.sequence, self._gap_cause)
            return self._join(awaited, local), [gap]
        if snapshot.sequence < self._oldest_to_join:
            return self.snapshot_failed(now, local=local), []
        if self._began is not None and snapshot.sequence > self._heard:
            self._ahead = snapshot
            self._not_before = now + PATIENCE
            return [], []
        return self._join(snapshot, local), []

    @property
    def _oldest_to_join(self) -> int:
        """The sequence that a snapshot must have reached to go with the rows."""
        if self._state is _State.LIVE:
            return self._given
        return self._needed if self._held else self._heard

    def _join_ahead(self, local: int) -> list[Level2]:
        snapshot = self._ahead
        if snapshot is None or snapshot.sequence > self._heard:
            return []
        self._ahead = None
        self._not_before = 0.0
        return self._join(snapshot, local) if snapshot.sequence >= self._oldest_to_join else []

    def _join(self, snapshot: BookSnapshot, local: int) -> list[Level2]:
        """Go live: the held rows that the snapshot contains, its own rows, and those behind it."""
        held = self._take_held()
        rows: list[Level2] = []
        if self._began is None:
            self._began = snapshot.sequence
        else:
            for delta in held:
                rows.extend(self._give(delta, local + len(rows), up_to=snapshot.sequence))
        self._load(snapshot)
        rows.extend(_snapshot_rows(snapshot, local + len(rows)))
        for delta in held:
            if delta.last_sequence > self._sequence:
                rows.extend(self._give(delta, local + len(rows)))
                self._apply(delta)
        self._heard = max(self._heard, self._sequence)
        return rows

    def _release_held(self, local: int) -> list[Level2]:
        """Give the rows that are held, without a snapshot among them."""
        held = self._take_held()
        self._holes = []
        if held and self._began is None:
            self._begin_with(held)
        rows: list[Level2] = []
        for delta in held:
            rows.extend(self._give(delta, local + len(rows)))
        return rows

    def _hold(self, delta: BookDelta, local: int) -> None:
        if not self._held:
            self._held_since = local
        self._held.append(delta)

    def _take_held(self) -> list[BookDelta]:
        held, self._held = self._held, []
        if held:
            self.released_since = self._held_since
        return held

    def _begin_with(self, held: Sequence[BookDelta]) -> None:
        """Begin the history without a snapshot; what is missing among the deltas is missing."""
        self._began = before = held[0].first_sequence - 1
        for delta in held:
            if delta.first_sequence > before + 1:
                gap = BookGap(self.symbol, before + 1, delta.first_sequence - 1, "missing")
                self.found.append(gap)
            before = max(before, delta.last_sequence)

    def _load(self, snapshot: BookSnapshot) -> None:
        bids, asks = snapshot.bids, snapshot.asks
        self._holes = []
        self._is_renewing = self._is_flawed = False
        self._note_time(snapshot.timestamp)
        self._bids = dict(bids)
        self._asks = dict(asks)
        self._high_bid = max(self._bids, default=-_INFINITY)
        self._low_ask = min(self._asks, default=_INFINITY)
        self._sequence = self._given = snapshot.sequence
        self._timestamp = snapshot.timestamp
        # A side that is shorter than the other was not cut off.
        cut_at = 0 if snapshot.is_whole else max(len(bids), len(asks))
        self._floor = bids[-1][0] if bids and len(bids) == cut_at else 0.0
        self._ceiling = asks[-1][0] if asks and len(asks) == cut_at else _INFINITY
        self._state = _State.LIVE

    def _apply(self, delta: BookDelta) -> None:
        last = self._sequence
        for change in delta.changes:
            if change.sequence <= last:
                continue
            is_bid, price = change.side == "buy", change.price
            levels = self._bids if is_bid else self._asks
            if not change.size:
                levels.pop(price, None)  # a level beyond the snapshot's depth: legal
                continue
            levels[price] = change.size
            if is_bid and price > self._high_bid:
                self._high_bid = price
            elif not is_bid and price < self._low_ask:
                self._low_ask = price
        self._sequence = delta.last_sequence
        self._timestamp = delta.timestamp

    def _give(self, delta: BookDelta, local: int, up_to: int | None = None) -> list[Level2]:
        """Make the rows of a delta that were not given yet."""
        given, last = self._given, delta.last_sequence
        if up_to is not None and up_to < last:
            last = up_to
        rows: list[Level2] = []
        rowed, before = 0, given
        for change in delta.changes:
            sequence = change.sequence
            if given < sequence <= last:
                rows.append(_row(delta, change, local + len(rows)))
                rowed += sequence != before
                before = sequence
        if last > given:
            self._unrowed += last - max(given, delta.first_sequence - 1) - rowed
            self._given = last
        return rows


def _row(delta: BookDelta, change: BookChange, local: int) -> Level2:
    return Level2(
        delta.timestamp, local, delta.symbol, change.sequence, False,
        change.side, change.price, change.size,
    )  # fmt: skip


def _snapshot_rows(snapshot: BookSnapshot, local: int) -> Iterator[Level2]:
    symbol, sequence, timestamp, bids, asks, _ = snapshot
    for side, levels in (("buy", bids), ("sell", asks)):
        for price, size in levels:
            yield Level2(timestamp, local, symbol, sequence, True, side, price, size)
            local += 1
