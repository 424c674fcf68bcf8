"""Replacing a connection by a successor, without losing a message or delivering one twice.

A successor is opened when a connection grows old, when something on it has gone silent, when it
owes a pong, or when the machine may have slept. Both connections bring the same for a moment. Then
the successor takes over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from kucoin_research.errors import ConnectionLost, KucoinResearchError
from kucoin_research.exchange.websocket.conversation import Event, Refused
from kucoin_research.foundation import clocks
from kucoin_research.foundation.hidden import bare
from kucoin_research.model.channels import Market
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.keeper import Keeper
from kucoin_research.streaming.limits import ConnectBudget, Healing
from kucoin_research.streaming.link import OPEN_TIMEOUT, Link, LinkOpener
from kucoin_research.streaming.staleness import Silence
from kucoin_research.streaming.timekeeping import SLEPT_NS
from kucoin_research.streaming.wanted_topics import WantedTopics

__all__ = ["SHORT_SLICE", "SLICE", "Rollover", "Successor", "TurnWatch"]

log = logging.getLogger(__name__)

#: The longest that a feed thread waits for messages, in seconds, so that pings and ``stop`` are
#: served; and the longest while something is due soon.
SLICE = 0.1
SHORT_SLICE = 0.01

# How often a supervisor looks for topics that have gone silent.
_LOOK_INTERVAL = 0.05

# A loop that comes this much late was held up itself, so it must not judge silence.
_HELD_UP = 0.2

# Two connections bring the same for no longer than about this.
_LONGEST_OVERLAP_NS = 10_000_000_000

# Of two connections one may bring the same this much later than the other.
_SKEW_NS = 250_000_000

# For this many seconds a connection that took over may repeat messages that its predecessor was
# faster to bring.
_TAIL = 3.0


class Successor:
    """A connection on its way to replace another.

    Its thread sets ``link`` or ``error`` before ``is_done``, and changes neither afterwards.

    Attributes
    ----------
    reason
        Why it was opened; empty if only because the other one grows old.
    silences
        The channels and symbols whose silence it is to explain.
    overlap
        The messages of both connections.
    is_settled, is_wanted, is_done
        It is settled, or has failed; its thread is to hand it over; its thread has ended.
    drained_ns
        A time before which all that was sent to the other connection has been read, ns UTC.
    opened
        Its link while its own thread converses on it; ``asked`` may be read.
    """

    def __init__(
        self,
        reason: str,
        silences: Sequence[Silence],
        clock: clocks.Clock,
        now_ns: Callable[[], int],
    ) -> None:
        self.reason = reason
        self.silences = tuple(silences)
        self.overlap = Handover()
        self.is_settled = clock.event()
        self.is_wanted = clock.event()
        self.is_done = clock.event()
        self.link: Link | None = None
        self.error: KucoinResearchError | None = None
        self.drained_ns: int | None = None
        self.opened: Link | None = None
        self._now_ns = now_ns
        self._settled_ns: int | None = None
        self._changes = 0  # of its topics
        self._changes_seen = 0

    @property
    def settled_ns(self) -> int | None:
        """When the supervisor noticed that it was settled, ns UTC; ``None`` before."""
        if self._changes_seen != self._changes:
            self._changes_seen, self._settled_ns = self._changes, None
        if self._settled_ns is None and self.is_settled.is_set() and self.error is None:
            self._settled_ns = self._now_ns()
        return self._settled_ns

    def change(self) -> None:
        """Note that its topics change: both must bring the same for a while from then on."""
        self.is_settled.clear()
        self._changes += 1

    def may_take_over(self, overlap: float) -> bool:
        """Return whether both have brought the same for this many seconds.

        A message that only one of them has brought yet is awaited: the other has not lost it, it is
        a moment slower.
        """
        settled_ns = self.settled_ns
        if settled_ns is None:
            return False
        # A socket that always has more to read never proves that it was drained. The bound keeps
        # the held messages from growing for ever.
        now_ns = self._now_ns()
        known_ns = max(self.drained_ns or 0, now_ns - _LONGEST_OVERLAP_NS)
        if known_ns - settled_ns < overlap * 1e9:
            return False
        is_clear = not self.overlap.is_ahead(known_ns - _SKEW_NS)
        return is_clear or known_ns - settled_ns > overlap * 1e9 + _LONGEST_OVERLAP_NS


class TurnWatch:
    """Notices that a feed thread was held up, so that it does not take that for silence."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._next_look = 0.0
        self._turned_at = clock.monotonic()

    def turned(self, slice_: float) -> float:
        """Note that a turn of the loop is over, which should have taken this long.

        Returns the time, in monotonic seconds.
        """
        now = self._clock.monotonic()
        late = now - self._turned_at - slice_
        self._turned_at = now
        if late > _HELD_UP:
            # The messages that piled up meanwhile have to be read first.
            self._next_look = now + late
        return now

    def may_look(self, now: float, *, is_drained: bool) -> bool:
        """Return whether silence may be judged now."""
        if now < self._next_look or not is_drained:
            return False
        self._next_look = now + _LOOK_INTERVAL
        return True


class Rollover:
    """Decides when a supervisor's connection is replaced, and opens its successor.

    Parameters
    ----------
    keeper
        The stream.
    opener
        Opens connections.
    market, topics
        Of the supervisor.
    number
        For the name of the successor's thread.
    current
        Returns the connection that is in force.
    healing, budget
        How long two connections overlap, and whether another may be made.
    start_thread
        Starts a thread of the stream's: a function, and the role in its name.

    Attributes
    ----------
    successor
        The one that is on its way, if any.
    replace_at
        When the connection grows too old, monotonic seconds.
    watch
        Knows whether the thread was held up.

    Notes
    -----
    The supervisor's thread calls the methods. ``successor`` may be read from any thread.
    """

    def __init__(
        self,
        keeper: Keeper,
        opener: LinkOpener,
        market: Market,
        topics: WantedTopics,
        number: int,
        *,
        current: Callable[[], Link | None],
        healing: Healing,
        budget: ConnectBudget,
        start_thread: Callable[[Callable[[], None], str], None],
    ) -> None:
        self.successor: Successor | None = None
        self.replace_at: float | None = None
        self.watch = TurnWatch(keeper.clock)
        self._keeper = keeper
        self._clock = keeper.clock
        self._opener = opener
        self._market = market
        self._topics = topics
        self._number = number
        self._current = current
        self._healing = healing
        self._budget = budget
        self._start_thread = start_thread
        self._no_successor_before = 0.0
        self._moves_seen = 0  # of this machine's clock
        self._tail: Handover | None = None  # of the last rollover, until _tail_until
        self._tail_until = 0.0

    # -- when a successor is opened ----------------------------------------------------------------

    def schedule(self, link: Link) -> None:
        """Have a connection that has come into force replaced before the exchange ends it."""
        lifetime = link.lifetime or self._healing.lifetime
        # A little earlier each time by chance, so that many connections are not replaced at once.
        reserve = self._healing.reserve(lifetime) * self._clock.random.uniform(1.0, 1.25)
        self.replace_at = link.opened_at + lifetime - reserve

    def look_after(self, link: Link, now: float, *, is_drained: bool) -> None:
        """Notice silence, age and sleep; each is answered by a successor.

        Parameters
        ----------
        link
            The connection in force.
        now
            Monotonic seconds.
        is_drained
            Whether it had nothing more to read: unread messages are no silence.
        """
        if len(self._keeper.moves) > self._moves_seen:
            self._on_moves(link)
        if self.successor is None and self.replace_at is not None and now >= self.replace_at:
            self.begin(now, "", ())
        if not self.watch.may_look(now, is_drained=is_drained):
            return
        silences = self._keeper.silences(self._topics.all, self._keeper.now_ns())
        if silences and self.successor is None and now >= self._no_successor_before:
            self._report_silences(silences)
            link.conversation.request_ping()  # a socket that is dead altogether will not answer
            self.begin(now, "silent topic", silences)

    def _report_silences(self, silences: Sequence[Silence]) -> None:
        for silence in silences:
            detail = (
                f"silent for {silence.seconds:.2f} s, while 99 of 100 intervals are below "
                f"{silence.usual:.2f} s; another connection is tried"
            )
            self._keeper.note(
                "silent_topic", detail, channel=silence.channel, symbol=silence.symbol
            )

    def _on_moves(self, link: Link) -> None:
        """Report that this machine's clock was set; if it may have slept, the peer may be gone."""
        moves = self._keeper.moves[self._moves_seen :]
        self._moves_seen += len(moves)
        self._keeper.clock_moved()
        if any(move.by_ns >= SLEPT_NS for move in moves):
            link.conversation.request_ping()
            self.begin(self._clock.monotonic(), "sleep", ())

    def begin(self, now: float, reason: str, silences: Sequence[Silence]) -> None:
        """Open a successor, unless one is on its way or no connection may be made yet."""
        if self.successor is not None:
            return
        wait = self._budget.take(now)
        if wait:
            self._no_successor_before = now + wait
            self.replace_at = now + wait
            return
        successor = Successor(reason, silences, self._clock, self._keeper.now_ns)
        # Before its thread starts: from its first message on, `overlap` must note what the other
        # connection brings.
        self.successor = successor
        self._start_thread(lambda: self._run(successor), f"next-{self._number}")

    # -- the successor's thread --------------------------------------------------------------------

    def _run(self, successor: Successor) -> None:
        """Open another connection and hold its messages, on a thread of its own."""
        link = None
        keeper = self._keeper
        try:
            link = successor.opened = self._opener.open()
            while not successor.is_wanted.is_set() and not keeper.stopping.is_set():
                now = self._clock.monotonic()
                self._refuse_worse(link.speak(now))
                payloads = link.listen(SHORT_SLICE)
                for control in keeper.hold(payloads, link.decoder, successor.overlap):
                    self._refuse_worse(link.hear(control, self._clock.monotonic()))
                if link.conversation.is_settled:
                    self._align(successor, link)
                if link.settled_ns is None and link.conversation.is_settled:
                    link.settled_ns = keeper.now_ns()
                    successor.is_settled.set()
        except KucoinResearchError as failure:
            successor.error = bare(failure)
        except Exception as failure:  # this thread's guard; its text may hold a secret
            log.exception("the next connection of %s met an unexpected error", keeper.name)
            successor.error = ConnectionLost(f"unexpected {type(failure).__name__} in the feed")
        finally:
            if link is not None and (successor.error is not None or keeper.stopping.is_set()):
                self._opener.close(link)
                link = None
            # In this order: whoever has waited for an event reads the link.
            successor.link = link
            successor.is_settled.set()
            successor.is_done.set()

    def _align(self, successor: Successor, link: Link) -> None:
        """Follow a change of topics, once the connection in force has gone through with it."""
        # Not before: of a topic that only the successor has, the other one would seem to stall.
        current = self._current()
        if current is None or not current.conversation.is_settled:
            return
        if current.asked != link.asked:
            successor.change()
            link.align(current.asked)
            link.settled_ns = None

    def _refuse_worse(self, events: Iterable[Event]) -> None:
        """Abort the rollover if the successor is refused a topic that the current one has.

        A topic that the current one was refused as well is no reason.
        """
        for event in events:
            if isinstance(event, Refused):
                current = self._current()
                had = current.conversation.subscribed if current is not None else frozenset()
                if had.intersection(event.topics):
                    raise event.error

    # -- when it takes over ------------------------------------------------------------------------

    def overlap(self, now: float) -> Handover | None:
        """Return the record of two connections that bring the same, if two do or just did.

        It learns of the messages of the one in force, or after a rollover knows the repeats.
        """
        if self.successor is not None:
            return self.successor.overlap
        if self._tail is not None and now >= self._tail_until:
            self._tail = None
        return self._tail

    def ready(self, drained_ns: int | None) -> Successor | None:
        """Return the successor, once both have brought the same for a while.

        Parameters
        ----------
        drained_ns
            A time before which all that was sent has been read, ns UTC; ``None`` if not known.
        """
        successor = self.successor
        if successor is None:
            return None
        if successor.error is not None:
            self._drop(successor)
            return None
        successor.drained_ns = drained_ns or successor.drained_ns
        if self._has_the_topics(successor) and successor.may_take_over(self._healing.overlap):
            successor.is_wanted.set()
        # Its thread may be in the middle of a read: only once that has ended may another thread
        # use the connection.
        if not successor.is_done.is_set() or successor.link is None:
            return None
        return successor

    def _has_the_topics(self, successor: Successor) -> bool:
        """Return whether a successor is subscribed to just what the connection in force is."""
        current, link = self._current(), successor.opened
        return current is not None and link is not None and current.asked == link.asked

    @property
    def is_decided(self) -> bool:
        """Whether the successor takes over next: until then the topics must stay as they are."""
        return self.successor is not None and self.successor.is_wanted.is_set()

    def _drop(self, successor: Successor) -> None:
        # The current connection goes on. After a while another successor is tried.
        self.successor = None
        wait = self._clock.random.uniform(1.0, 5.0)
        self._no_successor_before = self._clock.monotonic() + wait
        self.replace_at = max(self.replace_at or 0.0, self._no_successor_before)
        self._keeper.note("rollover_failed", f"{successor.error}; the old connection goes on")

    def take_over(self, successor: Successor) -> None:
        """Deliver the messages that only a successor has brought, and report the rollover."""
        link, keeper = successor.link, self._keeper
        assert link is not None  # it is done, and without an error
        self.successor = None
        drained_ns = successor.drained_ns or 0
        stalled = keeper.take_over(successor.overlap, self._topics.all, drained_ns)
        self._tail, self._tail_until = successor.overlap, self._clock.monotonic() + _TAIL
        keeper.acknowledged(list(link.conversation.subscribed))
        quiet = [s for s in successor.silences if (s.channel, s.symbol) not in stalled]
        if quiet:
            keeper.was_quiet(quiet)
        why = f" after {successor.reason}" if successor.reason else ""
        keeper.note("rollover", f"{len(self._topics.all)} topics of {self._market}{why}")

    # -- when the connection in force is lost ------------------------------------------------------

    def await_successor(self) -> Successor | None:
        """Wait until the successor that is on its way is settled or has failed, and return it."""
        successor = self.successor
        if successor is None:
            return None
        while not successor.is_settled.wait(SLICE) and not self._keeper.stopping.is_set():
            pass
        successor.is_wanted.set()
        successor.is_done.wait(OPEN_TIMEOUT)
        return successor

    def salvage(
        self, successor: Successor, error: KucoinResearchError, heard_ns: int
    ) -> int | None:
        """Deliver the messages of a successor that was lost as well.

        The time between the two losses is reported as two outages.

        Parameters
        ----------
        successor
            Done.
        error
            Why the connection in force was lost.
        heard_ns
            When it brought something last, ns UTC.

        Returns
        -------
        int | None
            When the successor brought something last, ns UTC; ``None`` if it never did.
        """
        self.successor = None
        if successor.link is not None:
            self._opener.close(successor.link)
        last_ns = successor.overlap.last_held_ns
        if last_ns is None:
            return None
        topics = self._topics.all
        self._keeper.lost(topics, str(error), heard_ns)
        self._keeper.take_over(successor.overlap, topics, 0)
        self._keeper.outage(topics, heard_ns, is_over=True)
        return last_ns

    def give_up(self) -> None:
        """End the successor that is on its way, at the end of the stream."""
        successor, self.successor = self.successor, None
        if successor is None:
            return
        successor.is_wanted.set()
        successor.is_done.wait(OPEN_TIMEOUT)
        if successor.link is not None:
            self._opener.close(successor.link)
        # Its messages were received, and may be all there is of a topic that had stalled.
        self._keeper.take_over(successor.overlap, self._topics.all, successor.drained_ns or 0)

    def abort(self) -> None:
        """Have the successor's thread end; callable from any thread."""
        successor = self.successor
        if successor is not None:
            successor.is_wanted.set()
