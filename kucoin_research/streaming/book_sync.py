"""Keeps an order book in step with the exchange.

``BookSync`` is a state machine: it holds deltas until a snapshot fits, then applies each one that
continues the sequence, and refuses to answer when one is missing.

Source of the rules: KuCoin's level-2 guides for futures and spot (https://www.kucoin.com/docs-new,
read 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, unique
from typing import NamedTuple

from kucoin_research.errors import BookNotReady
from kucoin_research.model.orderbook import BookDelta, BookSnapshot, OrderBook
from kucoin_research.model.records import Level2
from kucoin_research.streaming.book_history import BookHistory, Received, snapshot_rows
from kucoin_research.streaming.book_levels import BookLevels
from kucoin_research.streaming.book_search import HeldDeltas, Renumbering, SnapshotRequest

__all__ = ["BookGap", "BookSync"]

# A sequence this far below the last one is no late duplicate: the exchange has renumbered the book.
REBASE_DISTANCE = 100_000

# At most this many deltas are held while a snapshot is sought. When more come, the held rows are
# released as they are, and the book wants a snapshot newer than they.
MOST_HELD = 10_000

# A snapshot may be ahead of the socket. Deltas that have not come this many seconds later are lost.
PATIENCE = 2.0


class BookGap(NamedTuple):
    """Sequences of a book that did not arrive, both ends included.

    ``cause`` is ``"missing"``, ``"disconnected"``, ``"unsubscribed"`` (nobody wanted them),
    ``"resubscribed"`` (not sent while a snapshot was asked for by subscribing afresh) or
    ``"rebase"``: the exchange renumbered the book, so it is unknown how much is missing, and
    ``last_missing`` is one below ``first_missing``.
    """

    symbol: str
    first_missing: int
    last_missing: int
    cause: str


@unique
class _State(Enum):
    EMPTY = "waits for the first delta"
    SEEKING = "waits for a snapshot"
    LIVE = "is in step"
    ABSENT = "was unsubscribed"


class BookSync:
    """Keeps one symbol's book in step.

    It takes deltas in arrival order and, whenever ``wants_snapshot``, a REST snapshot. Both return
    the ``Level2`` rows that became part of the book's history. These rows rebuild the book when
    they are read from the top, starting over at each snapshot. During a search deltas are held. At
    its end come the held rows that the snapshot already contains, then the snapshot's own, then the
    held rows behind it. Held rows are stamped when they are released.

    The history begins at the first snapshot. The invariant: from there on, every sequence number
    that the exchange sent is either in the rows (as a change, or as a filler without a row) or in
    exactly one ``BookGap``. If no snapshot is ever joined, the history begins with the held deltas,
    which are released as they are: by ``finish``, or when too many are held.

    A book in step that wants another snapshot (``renew``) goes on applying deltas. Their rows are
    held only while the snapshot is on its way, because it belongs among them.

    On the pro feed the snapshot comes in the stream itself (``seeds_itself``) and goes to
    ``on_seed``, in its place among the deltas. The exchange never sends what such a snapshot skips,
    so that is a gap at once. ``wants_snapshot`` asks for a new subscription there.

    Not thread-safe: the stream's delivery lock guards it. Time is an argument (monotonic seconds).

    Attributes
    ----------
    duplicates, resyncs
        How many deltas were repeats, and how often the book fell out of step or was renewed.
    late
        Sequences, from and to, that came after they were reported missing.
    found
        Gaps among deltas that were released without a snapshot.
    received
        The accounts of numberings that are over.
    released_since
        Stamp of the read that brought the rows released last, if they had been held.
    """

    def __init__(
        self, symbol: str, *, retry_after: float = 0.2, seeds_itself: bool = False
    ) -> None:
        self.symbol = symbol
        self.seeds_itself = seeds_itself
        self.duplicates = 0
        self.resyncs = 0
        self.late: list[tuple[int, int]] = []
        self.found: list[BookGap] = []
        self.received: list[Received] = []
        self.released_since: int | None = None
        self._state = _State.EMPTY
        self._levels = BookLevels()
        self._history = BookHistory()
        self._held = HeldDeltas()
        self._renumbering = Renumbering(seeds_itself=seeds_itself)
        self._request = SnapshotRequest(retry_after, seeds_itself=seeds_itself)
        self._heard = -1  # sequence of the deltas that came; ahead of the book's during a search
        self._known = -1  # sequence that the exchange's book had when it was last asked for it
        self._is_renewing = False  # in step, and wants another snapshot
        self._is_flawed = False  # renewing because the book is wrong
        self._needed = -1  # an older snapshot cannot be joined with the held deltas
        self._ahead: BookSnapshot | None = None  # waits for the deltas up to it
        self._gap_cause = "missing"
        self._doubt_left: str | None = None  # when it was unsubscribed

    # -- its state ---------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether the book is in step and answers."""
        return self._state is _State.LIVE and not self._is_flawed

    @property
    def is_settled(self) -> bool:
        """Whether the book is in step and wants nothing."""
        return self._state is _State.LIVE and not self._is_renewing

    @property
    def is_absent(self) -> bool:
        """Whether it is unsubscribed."""
        return self._state is _State.ABSENT

    @property
    def is_crossed(self) -> bool:
        """Whether it is in step, and its best bid at the best ask or above it."""
        return self._state is _State.LIVE and self._levels.is_crossed

    @property
    def sequence(self) -> int:
        """The last sequence applied, -1 before any."""
        return self._levels.sequence

    @property
    def doubt(self) -> str | None:
        """Say why it is unknown whether something is missing; ``None`` while it is known."""
        if self._history.began is None:
            return None  # without a history there is nothing to doubt
        if self.is_ready:
            if self._known <= self._heard:
                return None
            return f"the exchange has sent changes up to {self._known}, which have not come"
        if self._state is _State.ABSENT:
            return self._doubt_left
        if self._is_flawed:
            return "the book is wrong, and a snapshot is asked for"
        if self._state is _State.EMPTY:
            if self._gap_cause == "unsubscribed":
                return "nothing has shown yet what the time without a subscription cost"
            return "nothing has shown yet what the lost connection cost"
        if not self._held:
            return "the book has fallen out of step, and no snapshot has come since"
        return f"rows wait for a snapshot of the book: of {len(self._held):,} of its messages"

    @property
    def awaits_late_deltas(self) -> bool:
        """Whether deltas are missing that would mend the book, if they came late."""
        return bool(self._held.missing)

    @property
    def waits_from(self) -> int | None:
        """The first sequence that is held, or may come late; ``None`` while nothing is held."""
        if not self._held:
            return None
        first, missing = self._held.first_sequence, self._held.missing
        return min(first, missing[0][0]) if missing else first

    def copy(self) -> OrderBook:
        """Copy the book for a reader.

        Raises
        ------
        BookNotReady
            While the book is not in step, has moved beyond the levels of a partial snapshot, or is
            crossed.
        """
        if self._state is _State.ABSENT:
            raise BookNotReady(
                f"the book of {self.symbol} {self._state.value}; subscribe to its 'level2' again"
            )
        if not self.is_ready:
            what = "is wrong and fetched afresh" if self._is_flawed else self._state.value
            raise BookNotReady(f"the book of {self.symbol} {what}; try again in a moment")
        return self._levels.copy(self.symbol)

    def flaw(self) -> str | None:
        """Name the flaw of a book in step, or ``None``: crossed, or too thin to be known.

        Costs a pass over the levels; asked about once a second.
        """
        if not self.is_settled:
            return None
        if self.is_crossed:
            return "crossed"
        return "thin" if self._levels.is_thin else None

    # -- its account -------------------------------------------------------------------------------

    def note_known(self, sequence: int) -> None:
        """Note that the exchange's own book has come to that sequence."""
        self._known = max(self._known, sequence)

    @property
    def has_unrowed(self) -> bool:
        """Whether sequences have come that no row and no gap shows."""
        return self._history.unrowed > 0

    def take_received(self) -> Received | None:
        """Account for the sequences released since the last call; ``None`` if there are none."""
        return self._history.take_received()

    def note_cause(self, cause: str) -> None:
        """Say why the sequences that are found missing next did not come."""
        self._gap_cause = cause

    # -- asking for a snapshot ---------------------------------------------------------------------

    def wants_snapshot(self, now: float) -> bool:
        """Return whether a snapshot should be asked for now."""
        return self._request.may_be_made(now) and self._is_seeking(now)

    def _is_seeking(self, now: float) -> bool:
        if self._state is _State.EMPTY:
            return self._request.is_quiet_for_long(now)
        return self._state is _State.SEEKING or self._is_renewing

    def snapshot_requested(self) -> None:
        """Note that a snapshot is on its way, so that no second one is asked for."""
        self._request.made()

    def subscribed(self, now: float, seed_patience: float = 0.0) -> None:
        """Note that the subscription was acknowledged: everything from now on comes.

        Where it brings a seed, that most likely comes within ``seed_patience`` seconds. Until then
        a delta without a seed before it starts no search.
        """
        self._request.subscribed(now)
        if self.seeds_itself and not self.is_settled:  # data may come before the acknowledgement
            self._request.not_before = now + seed_patience

    def snapshot_failed(
        self, now: float, retry_after: float | None = None, local: int = 0
    ) -> list[Level2]:
        """Note that the snapshot did not come; it is asked for again later.

        Returns the rows of a book in step that were held for it, stamped from ``local`` on.
        """
        self._request.failed(now, retry_after)
        return self._release_held(local) if self._state is _State.LIVE else []

    def restart(self) -> None:
        """Refuse to answer after a lost connection; the next delta starts a new search.

        The held deltas stay: they arrived, and their rows are released with the next snapshot.
        """
        self._is_renewing = self._is_flawed = False
        self._ahead = None
        self._held.missing = []  # nothing comes late over another connection
        if self._state is not _State.EMPTY or self._gap_cause != "unsubscribed":
            self._gap_cause = "disconnected"  # else that is the older cause, and goes on
        self._state = _State.EMPTY
        self._request.disconnected()

    def leave(self, local: int) -> list[Level2]:
        """Refuse to answer, and take no deltas: nobody wants them any more.

        Returns the rows that were held, stamped from ``local`` on.
        """
        is_whole = self.doubt is None
        self._doubt_left = None if is_whole else "the book was unsubscribed while out of step"
        rows = self.finish(local)
        self._state = _State.ABSENT
        self._is_renewing = self._is_flawed = False
        self._held.missing = []
        self._request.disconnected()
        return rows

    def stay_away(self, local: int) -> list[Level2]:
        """Rest again as before ``come_back``: the exchange has refused the subscription."""
        rows = self.finish(local)
        self._state = _State.ABSENT
        return rows

    def come_back(self) -> None:
        """Take deltas again; the next one starts a search, as its subscription is asked for."""
        self.restart()
        self._gap_cause = "unsubscribed"

    def renew(self, *, is_flawed: bool = False) -> None:
        """Have a book in step want another snapshot: nothing of its history is missing.

        If it is flawed, it refuses to answer until then.
        """
        if self._state is _State.LIVE:
            self._is_flawed = self._is_flawed or is_flawed
            self.resyncs += not self._is_renewing
            self._is_renewing = True

    def finish(self, local: int) -> list[Level2]:
        """Release the held rows, at the end; they are stamped from ``local`` on.

        The book does not answer any more, unless it was in step.
        """
        self._count_repeats()
        rows = self._release_held(local)
        self._ahead = None
        return rows

    # -- deltas ------------------------------------------------------------------------------------

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
        if self._renumbering.suspects:
            self._count_repeats()
        self._renumbering.note(delta)
        is_behind_gap = delta.first_sequence > heard + 1
        if self._state is _State.LIVE and not is_behind_gap:
            self._heard = delta.last_sequence
            self._gap_cause = "missing"  # whatever it might have been
            return self._go_on(delta, local), None

        self.resyncs += self._state is _State.LIVE
        gap = None
        # Before the history has begun nothing can be missing from it: the first snapshot contains
        # everything up to itself.
        if is_behind_gap and self._history.began is not None:
            gap = BookGap(self.symbol, heard + 1, delta.first_sequence - 1, self._gap_cause)
            if self._gap_cause == "missing":  # what a lost connection cost does not come late
                self._held.missing.append((gap.first_missing, gap.last_missing))
        self._gap_cause = "missing"
        rows = self._release_held(local) if len(self._held) >= MOST_HELD else []
        if is_behind_gap or not self._held:
            # A snapshot must reach up to the delta behind the newest gap. With an older one the
            # book would lack the changes in the gap. (level-2 guides: discard deltas up to the
            # snapshot's sequence, then apply without a break)
            self._needed = max(heard, delta.first_sequence - 1)
        self._held.hold(delta, local)
        self._heard = delta.last_sequence
        self._state = _State.SEEKING
        rows.extend(self._join_ahead(local + len(rows)))
        return rows, gap

    def _go_on(self, delta: BookDelta, local: int) -> list[Level2]:
        """Apply a delta that continues the sequence of a book in step."""
        if not (self._is_renewing and (self._request.is_pending or self._ahead)):
            rows = self._history.rows_of(delta, local)
            self._levels.apply(delta)
            return rows
        # The snapshot's rows belong between these, so they wait. The book itself need not.
        rows = self._release_held(local) if len(self._held) >= MOST_HELD else []
        self._held.hold(delta, local)
        self._levels.apply(delta)
        rows.extend(self._join_ahead(local + len(rows)))
        return rows

    def _count_repeats(self) -> None:
        # The sequence went on, so those that looked like a new numbering were repeats after all.
        self.duplicates += sum(map(self._is_repeat, self._renumbering.take_suspects()))

    def _is_repeat(self, delta: BookDelta) -> bool:
        # A delta that the first snapshot already contains came before the history.
        began = self._history.began
        return began is None or delta.last_sequence > began

    def _on_old(self, delta: BookDelta, local: int) -> tuple[list[Level2], BookGap | None]:
        """Take a delta with a sequence that was there before.

        It is a repeat, or it was overtaken by others, or the exchange has renumbered the book.
        """
        suspects = self._renumbering.suspects
        if self._heard - delta.last_sequence <= REBASE_DISTANCE:
            if self._is_late(delta):
                return self._take_late(delta, local), None
            if not self._renumbering.is_suspect(delta):
                self.duplicates += self._is_repeat(delta)
                return [], None
            suspects.append(delta)
            if not self._renumbering.is_proved_by(delta):
                return [], None
        else:
            suspects.append(delta)
        first_deltas = self._renumbering.take_suspects()
        rows, gap = self._begin_again(local)
        for each in first_deltas:  # held: the first ones of their numbering
            more, gap_between = self.on_delta(each, local + len(rows))
            rows.extend(more)
            self.found += [] if gap_between is None else [gap_between]
        return rows, gap

    def _is_late(self, delta: BookDelta) -> bool:
        # Only while deltas are held: once a snapshot was joined, it stands for the late delta.
        return self._state is _State.SEEKING and self._held.is_missing(delta)

    def _take_late(self, delta: BookDelta, local: int) -> list[Level2]:
        """Put a delta that was overtaken into its place; the last one mends the book."""
        self.late.append((delta.first_sequence, delta.last_sequence))
        self._held.insert(delta, local)
        last = self._history.last
        if self._held.missing or last < 0 or self._held.first_sequence != last + 1:
            return []
        # Nothing is missing any more between the rows and the newest delta: no snapshot is needed.
        held, self._state = self._take_held(), _State.LIVE
        self._ahead = None
        rows: list[Level2] = []
        for each in held:
            rows.extend(self._history.rows_of(each, local + len(rows)))
            self._levels.apply(each)
        return rows

    def _begin_again(self, local: int) -> tuple[list[Level2], BookGap | None]:
        """End this history and begin another: the exchange has renumbered the book."""
        gap = None
        rows = self._release_held(local)
        if self._history.began is not None:
            gap = BookGap(self.symbol, self._heard + 1, self._heard, "rebase")
        # Before the counters are reset, as later accounts count in the new numbering.
        received = self._history.take_received()
        self.received += [] if received is None else [received]
        self.resyncs += self._state is _State.LIVE
        self._state = _State.EMPTY
        self._is_renewing = self._is_flawed = False
        self._ahead = None
        self._history.restart()
        self._renumbering.restart()
        self._heard = self._needed = self._known = self._levels.sequence = -1
        return rows, gap

    # -- snapshots ---------------------------------------------------------------------------------

    def on_seed(self, snapshot: BookSnapshot, local: int) -> tuple[list[Level2], list[BookGap]]:
        """Take a snapshot that came in the stream, in its place among the deltas.

        It replaces the book. A repeat of what the book already contains is counted and dropped, and
        one too old to be joined with the held deltas is left out.

        Parameters
        ----------
        snapshot
            As decoded.
        local
            Stamp of the first row released, ns UTC.

        Returns
        -------
        tuple[list[Level2], list[BookGap]]
            The rows released, and the sequences that the snapshot skips.
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
        if self._history.began is not None and snapshot.sequence > heard:
            cause = "resubscribed" if self._request.was_resubscribed else self._gap_cause
            gaps.append(BookGap(self.symbol, heard + 1, snapshot.sequence, cause))
        self.resyncs += self._state is _State.LIVE
        self._gap_cause = "missing"
        self._request.seeded()
        rows.extend(self._join(snapshot, local + len(rows)))
        return rows, gaps

    def on_snapshot(
        self, snapshot: BookSnapshot, local: int, now: float
    ) -> tuple[list[Level2], list[BookGap]]:
        """Take the snapshot that was asked for.

        A snapshot too old to be joined with the held deltas is refused, and asked for again. One
        that is ahead of the socket waits for the deltas up to it, which belong to the history. If
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
            The rows released, and the sequences that turn out to be missing before the snapshot.
        """
        self._request.is_pending = False
        # The connection may have been lost while REST was answering. Until the new subscription is
        # in force, deltas behind this snapshot may go missing unseen.
        is_ahead_of_time = self._state is _State.EMPTY and not self._request.is_subscribed
        if self.is_settled or self.is_absent or is_ahead_of_time:
            return [], []
        if self._ahead is not None:
            awaited, self._ahead = self._ahead, None
            gap = BookGap(self.symbol, self._heard + 1, awaited.sequence, self._gap_cause)
            return self._join(awaited, local), [gap]
        if snapshot.sequence < self._oldest_to_join:
            return self.snapshot_failed(now, local=local), []
        if self._history.began is not None and snapshot.sequence > self._heard:
            self._ahead = snapshot
            self._request.not_before = now + PATIENCE
            return [], []
        return self._join(snapshot, local), []

    @property
    def _oldest_to_join(self) -> int:
        """The sequence that a snapshot must have reached to be joined with the rows."""
        if self._state is _State.LIVE:
            return self._history.last
        return self._needed if self._held else self._heard

    def _join_ahead(self, local: int) -> list[Level2]:
        """Join the snapshot that was ahead, if the deltas have come up to it."""
        snapshot = self._ahead
        if snapshot is None or snapshot.sequence > self._heard:
            return []
        self._ahead = None
        self._request.not_before = 0.0
        return self._join(snapshot, local) if snapshot.sequence >= self._oldest_to_join else []

    def _join(self, snapshot: BookSnapshot, local: int) -> list[Level2]:
        """Go live: the held rows that the snapshot contains, its own rows, and those behind it."""
        held = self._take_held()
        rows: list[Level2] = []
        if self._history.began is None:
            self._history.began = snapshot.sequence
        else:
            for delta in held:
                rows.extend(
                    self._history.rows_of(delta, local + len(rows), up_to=snapshot.sequence)
                )
        self._load(snapshot)
        rows.extend(snapshot_rows(snapshot, local + len(rows)))
        for delta in held:
            if delta.last_sequence > self._levels.sequence:
                rows.extend(self._history.rows_of(delta, local + len(rows)))
                self._levels.apply(delta)
        self._heard = max(self._heard, self._levels.sequence)
        return rows

    def _load(self, snapshot: BookSnapshot) -> None:
        self._levels.load(snapshot)
        self._history.last = snapshot.sequence
        self._held.missing = []  # the snapshot contains them
        self._is_renewing = self._is_flawed = False
        self._renumbering.note_time(snapshot.timestamp)
        self._state = _State.LIVE

    # -- held deltas -------------------------------------------------------------------------------

    def _take_held(self) -> list[BookDelta]:
        held = self._held.take()
        if held:
            self.released_since = self._held.since
        return held

    def _release_held(self, local: int) -> list[Level2]:
        """Make the rows of the held deltas, without a snapshot among them."""
        held = self._take_held()
        self._held.missing = []
        if held and self._history.began is None:
            self._begin_with(held)
        rows: list[Level2] = []
        for delta in held:
            rows.extend(self._history.rows_of(delta, local + len(rows)))
        return rows

    def _begin_with(self, held: Sequence[BookDelta]) -> None:
        """Begin the history without a snapshot, and note the gaps among the deltas."""
        self._history.began = before = held[0].first_sequence - 1
        for delta in held:
            if delta.first_sequence > before + 1:
                gap = BookGap(self.symbol, before + 1, delta.first_sequence - 1, "missing")
                self.found.append(gap)
            before = max(before, delta.last_sequence)
