"""What an order book keeps while it looks for a snapshot, and when it asks for one."""

from __future__ import annotations

from operator import attrgetter

from kucoin_research.model.orderbook import BookDelta

__all__ = ["HeldDeltas", "Renumbering", "SnapshotRequest"]

# A subscribed book that has been silent for this many seconds is fetched without waiting for its
# first delta: a quiet one would never answer, and its cost of an outage would stay unknown.
QUIET_PATIENCE = 1.0

# A delta younger than all others is no repeat, however low its sequence: the exchange has then used
# a number twice. A snapshot's clock may be another one, so a delta whose number only a snapshot has
# covered must be younger by this much.
FRESH_NS = 1_000_000_000

# Once more deltas than this are old by their sequence and new by their time, the book has been
# renumbered, even if their times prove nothing.
_MOST_FRESH = 10_000


class SnapshotRequest:
    """Whether a snapshot of a book is on its way, and when the next one may be asked for.

    Times are monotonic seconds.

    Attributes
    ----------
    is_pending
        A snapshot was asked for and has not come. True from the beginning if it comes with the
        subscription (``seeds_itself``).
    was_resubscribed
        It was asked for by subscribing again, so that messages in between were not sent.
    not_before
        When the next one may be asked for.
    """

    __slots__ = (
        "_retry_after",
        "_seeds_itself",
        "_subscribed_at",
        "is_pending",
        "not_before",
        "was_resubscribed",
    )

    def __init__(self, retry_after: float, *, seeds_itself: bool) -> None:
        self.is_pending = seeds_itself
        self.was_resubscribed = False
        self.not_before = 0.0
        self._retry_after = retry_after
        self._seeds_itself = seeds_itself
        self._subscribed_at: float | None = None

    @property
    def is_subscribed(self) -> bool:
        """Whether a subscription was acknowledged that brings no snapshot itself."""
        return self._subscribed_at is not None

    def may_be_made(self, now: float) -> bool:
        """Return whether a snapshot may be asked for now."""
        return not self.is_pending and now >= self.not_before

    def is_quiet_for_long(self, now: float) -> bool:
        """Return whether a subscribed book should be fetched although no delta has come."""
        return self._subscribed_at is not None and now >= self._subscribed_at + QUIET_PATIENCE

    def made(self) -> None:
        """Note that a snapshot was asked for."""
        self.is_pending = True
        self.was_resubscribed = self._seeds_itself

    def failed(self, now: float, retry_after: float | None) -> None:
        """Note that the snapshot did not come; by default it is asked for again soon."""
        self.is_pending = False
        self.not_before = now + (self._retry_after if retry_after is None else retry_after)

    def seeded(self) -> None:
        """Note that the snapshot came in the stream itself."""
        self.is_pending = self.was_resubscribed = False
        self.not_before = 0.0

    def subscribed(self, now: float) -> None:
        """Note that the subscription was acknowledged."""
        if self._seeds_itself:
            self.is_pending = False
        else:
            self._subscribed_at = now

    def disconnected(self) -> None:
        """Note that the connection was lost."""
        self._subscribed_at = None
        # On the pro feed the next subscription brings a snapshot, so there is nothing to ask for.
        self.is_pending = self.is_pending or self._seeds_itself
        self.was_resubscribed = False


class HeldDeltas:
    """Deltas whose rows wait for a snapshot, in the order of their sequences.

    Attributes
    ----------
    since
        Stamp of the read that brought the first of them, ns UTC.
    missing
        Sequences, from and to, that were reported as gaps and may still come late: the exchange
        sometimes sends deltas out of order.
    """

    __slots__ = ("_deltas", "missing", "since")

    def __init__(self) -> None:
        self.since = 0
        self.missing: list[tuple[int, int]] = []
        self._deltas: list[BookDelta] = []

    def __len__(self) -> int:
        return len(self._deltas)

    @property
    def first_sequence(self) -> int:
        """The first sequence of those held; there must be some."""
        return self._deltas[0].first_sequence

    def hold(self, delta: BookDelta, local: int) -> None:
        """Hold another delta, which was read at that stamp."""
        if not self._deltas:
            self.since = local
        self._deltas.append(delta)

    def is_missing(self, delta: BookDelta) -> bool:
        """Return whether a delta lies within sequences that are missing."""
        return any(
            first <= delta.first_sequence and delta.last_sequence <= last
            for first, last in self.missing
        )

    def insert(self, delta: BookDelta, local: int) -> None:
        """Put a delta that was missing into its place."""
        first, last = delta.first_sequence, delta.last_sequence
        self.missing = [
            part
            for begin, end in self.missing
            for part in (
                [(begin, first - 1), (last + 1, end)] if begin <= first <= end else [(begin, end)]
            )
            if part[0] <= part[1]
        ]
        self.hold(delta, local)
        self._deltas.sort(key=attrgetter("first_sequence"))

    def take(self) -> list[BookDelta]:
        """Return all that are held, and hold nothing any more."""
        deltas, self._deltas = self._deltas, []
        return deltas


class Renumbering:
    """Notices that the exchange has begun to number a book anew.

    A delta with an old sequence is a repeat, unless it is younger than everything before it. Such
    deltas are kept until it is certain which they are.

    Attributes
    ----------
    suspects
        Deltas that are old by their sequence and new by their time.
    """

    __slots__ = ("_last_delta", "_newest", "_seeds_itself", "suspects")

    def __init__(self, *, seeds_itself: bool) -> None:
        self.suspects: list[BookDelta] = []
        self._seeds_itself = seeds_itself
        self._newest: int | None = None  # timestamp of deltas and snapshots so far
        self._last_delta = -1  # sequence of the newest delta; a snapshot may have gone beyond it

    def note(self, delta: BookDelta) -> None:
        """Take note of a delta that continues the numbering."""
        self._last_delta = delta.last_sequence
        timestamp = delta.timestamp
        if timestamp is not None and (self._newest is None or timestamp > self._newest):
            self._newest = timestamp

    def note_time(self, timestamp: int | None) -> None:
        """Take note of a snapshot's time."""
        if timestamp is not None and (self._newest is None or timestamp > self._newest):
            self._newest = timestamp

    def is_suspect(self, delta: BookDelta) -> bool:
        """Return whether a delta with an old sequence is younger than everything before it."""
        newest, timestamp = self._newest, delta.timestamp
        return newest is not None and timestamp is not None and timestamp > newest

    def is_proved_by(self, delta: BookDelta) -> bool:
        """Return whether the newest suspect shows that the book was renumbered."""
        newest, timestamp = self._newest, delta.timestamp
        if newest is None or timestamp is None:
            return False
        # A number that a delta has had before was used twice. One that only a snapshot has covered
        # may belong to a delta that was slower than the snapshot.
        has_come = delta.last_sequence <= self._last_delta and not self._seeds_itself
        margin_ns = 0 if has_come else FRESH_NS
        return timestamp > newest + margin_ns or len(self.suspects) > _MOST_FRESH

    def take_suspects(self) -> list[BookDelta]:
        """Return the suspects and forget them."""
        suspects, self.suspects = self.suspects, []
        return suspects

    def restart(self) -> None:
        """Begin with another numbering."""
        self._newest = None
        self._last_delta = -1
