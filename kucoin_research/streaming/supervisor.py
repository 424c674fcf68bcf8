"""Keeps some topics of one market coming, across lost and replaced connections.

One thread per supervisor owns a connection and converses on it. When the connection is lost, the
thread makes another. When it grows old, or something on it has gone silent, a second thread opens
its successor first, and the supervisor goes over to that without losing a message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from enum import Enum

from kucoin_research.errors import (
    AuthenticationFailed,
    CertificateRefused,
    CommandInvalid,
    ConnectionLost,
    InvalidInput,
    InvalidRequest,
    KucoinResearchError,
    LimitExceeded,
    LoginRequired,
    NotFound,
    RateLimited,
    TopicInvalid,
    TopicNotFound,
)
from kucoin_research.exchange.topics import Topic
from kucoin_research.exchange.websocket.conversation import Conversation
from kucoin_research.exchange.websocket.feeds import FeedSpec
from kucoin_research.foundation.hidden import bare
from kucoin_research.model.channels import Market
from kucoin_research.model.status import State
from kucoin_research.streaming.keeper import Keeper
from kucoin_research.streaming.limits import ConnectBudget, Healing
from kucoin_research.streaming.link import Link, LinkOpener
from kucoin_research.streaming.rollover import SHORT_SLICE, SLICE, Rollover, Successor
from kucoin_research.streaming.topic_answers import TopicAnswers
from kucoin_research.streaming.wanted_topics import TopicChange, WantedTopics

__all__ = ["ConnectionSupervisor"]

log = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.5

# A connection that was live for this long has ended by chance: the next one is tried almost at
# once. The moment is drawn, so that not all clients of an exchange come back together.
_GOOD_LIFE = 5.0
_AT_ONCE = 0.05

# Seconds for which a connection is kept that nothing is wanted of: whoever turns everything off
# often turns it on again soon, and each connection counts against the exchange's limit.
_LINGER = 10.0

# A connection that has brought something this recently is not dead, even if it owes a pong.
_SPEAKS_NS = 1_000_000_000

# A read that brought fewer messages has most likely emptied the socket.
_MANY_MESSAGES = 100

# Trying again cannot mend these, unless it has worked before: then it is the exchange that fails.
_FATAL = (
    AuthenticationFailed,
    CertificateRefused,
    CommandInvalid,
    InvalidInput,
    InvalidRequest,
    LoginRequired,
    NotFound,
    TopicInvalid,
    TopicNotFound,
)


class _Role(Enum):
    """Whether a connection is one of its stream's: not yet, now, or no longer."""

    JOINING = 0
    IN_FORCE = 1
    RETIRED = 2


class ConnectionSupervisor:
    """Keeps some topics of a market coming.

    Parameters
    ----------
    keeper
        The stream.
    market, topics, spec
        Where to subscribe, to what from the beginning, and by which protocol.
    number
        For the names of its threads.
    healing, budget
        How to mend connections, and how many may be made.
    start_thread
        Starts a thread of the stream's: a function, and the role in its name.
    is_joining
        It is for further topics of a running stream, and counts among its connections by ``join``.

    Attributes
    ----------
    market, topics
        Where it subscribes, and to what it does now.
    state
        Of the connection.
    reconnects, rollovers
        How often a connection was lost and made again, and how often one was replaced by a
        successor.
    last_ping
        Unix seconds.
    live_since
        When the first connection came into force, monotonic seconds; ``None`` before.

    Notes
    -----
    ``run`` is the thread's function. ``add``, ``remove``, ``join``, ``retire``, ``abort``,
    ``request_ping``, ``resubscribe`` and the attributes may be used from any thread.
    """

    def __init__(
        self,
        keeper: Keeper,
        market: Market,
        topics: Sequence[Topic],
        spec: FeedSpec,
        number: int,
        *,
        healing: Healing,
        budget: ConnectBudget,
        start_thread: Callable[[Callable[[], None], str], None],
        is_joining: bool = False,
    ) -> None:
        self.number = number
        self.state = State.CONNECTING
        self.reconnects = 0
        self.rollovers = 0
        self.last_ping: float | None = None
        self.live_since: float | None = None
        self._keeper = keeper
        self._clock = keeper.clock
        self.market = market
        self.topics = WantedTopics(topics, keeper.clock)
        self._role = _Role.JOINING if is_joining else _Role.IN_FORCE
        self._is_rested = False  # it has no connection because nothing was wanted
        self._most_backoff = healing.most_backoff
        self._budget = budget
        is_private = any(topic.is_private for topic in topics)
        self._opener = LinkOpener(keeper, market, self.topics, spec, is_private=is_private)
        self._answers = TopicAnswers(keeper, market, self.topics)
        self._rollover = Rollover(
            keeper,
            self._opener,
            market,
            self.topics,
            number,
            current=lambda: self._link,
            healing=healing,
            budget=budget,
            start_thread=start_thread,
        )
        self._link: Link | None = None
        self._last_asked: frozenset[Topic] = frozenset()  # on the connection that was lost
        self._trouble: KucoinResearchError | None = None  # of the connection
        self._held_until: float | None = None  # monotonic seconds
        self._last_heard_ns: int | None = None
        self._lost_at_ns: int | None = (
            None  # since then nothing has come; None while something does
        )
        self._connects = 0
        self._live_at = 0.0  # when the last connection came into force, monotonic seconds

    @property
    def error(self) -> KucoinResearchError | None:
        """The error that the connection suffers from, or that a topic was refused with."""
        return self._trouble or self._answers.refusal

    @property
    def is_resting(self) -> bool:
        """Whether nothing is wanted of it, so that its state and error say nothing."""
        return not self.topics.all

    @property
    def simulation(self) -> float | None:
        """The speed of the venue's virtual clock; ``None`` if it runs in real time."""
        return self._opener.simulation

    @property
    def progress(self) -> int:
        """How far the first connecting is: it grows with each first success."""
        return self._opener.has_opened + len(self._answers.answered)

    @property
    def held_until(self) -> float | None:
        """Monotonic seconds until which no connection may be made; None if one may."""
        return self._held_until

    # -- the thread ------------------------------------------------------------------------------

    def run(self) -> None:
        """Keep the topics coming until the stream stops."""
        try:
            self._keep_connected()
        finally:
            self._rollover.give_up()
            if not self._has_ended() and self.state is not State.FAILED:
                # This thread ends unexpectedly: the stream must not go on saying that it is live.
                self._trouble = self._trouble or ConnectionLost("the feed's thread has ended")
                self.state = State.FAILED
            # After the successor's messages were delivered: these came before the outage.
            if self._lost_at_ns is not None:
                self._keeper.outage(self.topics.all, self._lost_at_ns, is_over=False)

    def _has_ended(self) -> bool:
        return self._role is _Role.RETIRED or self._keeper.stopping.is_set()

    def _keep_connected(self) -> None:
        failures = 0
        while not self._has_ended():
            if self._link is None and self.is_resting:
                self._rest()
                continue
            # A successor that took over after a loss is connected already.
            now, is_further = self._clock.monotonic(), self._is_further
            wait = self._budget.take(now, is_further=is_further) if self._link is None else 0.0
            if wait:
                self._hold_back(wait)
                continue
            error: KucoinResearchError | None = None
            try:
                self._live_once()
            except KucoinResearchError as failure:
                error = bare(failure)  # its frames hold the server's messages
            except Exception as failure:  # the pump's guard; its text may hold a secret
                log.exception("the feed of %s met an unexpected error", self._keeper.name)
                error = ConnectionLost(f"unexpected {type(failure).__name__} in the feed")
            if self._has_ended():
                return
            if error is None or self.is_resting:
                self._is_rested = self._connects > 0
                continue  # nothing can be lost where nothing is wanted
            lived = self._clock.monotonic() - self._live_at if self.state is State.LIVE else 0.0
            failures = 0 if lived > _GOOD_LIFE else failures + 1
            if self._has_taken_over(error):
                continue
            self._lose(error)
            if self.state is State.FAILED:
                return
            self._pause(self._delay(error, failures))

    @property
    def _is_further(self) -> bool:
        return self._role is _Role.JOINING

    def _pause(self, seconds: float) -> None:
        """Wait, as long as anything is wanted: also a connection that is retired ends soon."""
        until = self._clock.monotonic() + seconds
        while not self._has_ended() and not self.is_resting:
            remaining = until - self._clock.monotonic()
            if remaining <= 0:
                return
            self._keeper.stopping.wait(min(SLICE, remaining))

    def _rest(self) -> None:
        """Do without a connection while nothing is wanted: KuCoin ends one that carries nothing."""
        self._rollover.give_up()
        self._lost_at_ns, self._is_rested = None, self._connects > 0
        if self._connects:
            self.state, self._trouble = State.LIVE, None
        while not self._has_ended() and self.is_resting:
            self._keeper.stopping.wait(SLICE)

    def _hold_back(self, seconds: float) -> None:
        """Wait until another connection may be made, and say so meanwhile."""
        self._held_until = self._clock.monotonic() + seconds
        before, places = self._trouble, self._budget.places(is_further=self._is_further)
        # A connection that was lost has a reason of its own, which is reported rather than this.
        self._trouble = before or LimitExceeded(
            f"{places} connections were made within a minute, of the 30 that "
            f"KuCoin allows: the next one comes in {seconds:.0f} s (one stream of several symbols "
            "is one connection)"
        )
        log.info("%s waits %.0f s for its turn to connect", self._keeper.name, seconds)
        try:
            self._pause(seconds)
        finally:
            self._held_until, self._trouble = None, before

    def _delay(self, error: KucoinResearchError, failures: int) -> float:
        """Return the seconds to wait before the next try."""
        if isinstance(error, RateLimited):
            return error.retry_after
        if not failures:
            return self._clock.random.uniform(0.0, _AT_ONCE)
        most = min(self._most_backoff, _FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
        return self._clock.random.uniform(0.0, most)

    def _lose(self, error: KucoinResearchError) -> None:
        self._trouble = error
        if self._lost_at_ns is None:
            self._lost_at_ns = self._last_heard_ns  # failed tries in between lengthen the outage
        if self._connects:
            self.state = State.RECONNECTING
        elif isinstance(error, _FATAL):
            self.state = State.FAILED
        log.info("%s lost a connection: %s", self._keeper.name, error)
        self._keeper.lost(self.topics.all, str(error), self._lost_at_ns)

    # -- one connection --------------------------------------------------------------------------

    def _live_once(self) -> None:
        link = self._link
        if link is None:
            self._answers.restart()
            link = self._link = self._opener.open()
            self.topics.take()  # each of its topics is to be answered yet
        self.topics.connected()
        try:
            # Checked after the connection was registered. So either stop() finds the connection and
            # ends it, or this finds that the stream is stopping.
            while not self._has_ended() and not self._is_idle(link):
                link = self._turn(link)
        finally:
            self._link = None
            self._last_asked = link.asked
            self._opener.close(link)
            for change in self.topics.disconnected():
                self._depart(change, self._last_heard_ns)

    def _is_idle(self, link: Link) -> bool:
        """Return whether nothing has been wanted of a connection for a while."""
        if self.topics.all or link.asked or not link.conversation.is_settled:
            link.idle_since = None
            return False
        now = self._clock.monotonic()
        link.idle_since = now if link.idle_since is None else link.idle_since
        return now - link.idle_since >= _LINGER

    def _turn(self, link: Link) -> Link:
        """Send, receive, and look after things once; return the link to go on with."""
        conversation = link.conversation
        # One reading serves the whole turn. It is made before the read, so that everything sent
        # until then has been read once the socket is empty.
        now, began_ns = self._clock.monotonic(), self._keeper.now_ns()
        if not self._rollover.is_decided:
            link.align(*self.topics.take())
        self._answers.ask_again(conversation, now)
        self._bear_with_pongs(link, now, began_ns)
        before = conversation.last_ping
        try:
            self._answers.handle(link, link.speak(now))
        except ConnectionLost:
            # A peer that closes has often sent a last few messages, and maybe its reason.
            for payloads in link.rest():
                self._take(link, payloads, now)
            raise
        if conversation.last_ping != before:
            self.last_ping = self._clock.wall_ns() / 1e9
        slice_ = self._slice(conversation, now)
        payloads = link.listen(slice_)
        read_at = self._rollover.watch.turned(slice_)
        self._take(link, payloads, now)
        if link.settled_ns is None and conversation.is_settled:
            self._settle(link)
        if link.settled_ns is None:
            return link
        is_drained = len(payloads) < _MANY_MESSAGES
        self._rollover.look_after(link, read_at, is_drained=is_drained)
        # Messages that have come since the read began may lie there unread, however few it brought.
        successor = self._rollover.ready(began_ns if is_drained else None)
        return link if successor is None else self._change_over(link, successor)

    def _take(self, link: Link, payloads: list[bytes], now: float) -> None:
        if not payloads:
            return
        heard_ns = self._last_heard_ns = self._keeper.now_ns()
        overlap = self._rollover.overlap(now)
        for control in self._keeper.deliver(payloads, link.decoder, overlap, heard_ns):
            events = link.hear(control, self._clock.monotonic())
            self._answers.handle(link, events)

    def _bear_with_pongs(self, link: Link, now: float, now_ns: int) -> None:
        """Let a connection that owes a pong, but speaks, go on until there is another."""
        speaks = now_ns - (self._last_heard_ns or 0) < _SPEAKS_NS
        if speaks and link.settled_ns is not None and link.conversation.is_pong_overdue(now):
            link.conversation.forgive_pings()
            self._keeper.note(
                "pong_missing", "a ping was not answered; another connection is tried"
            )
            self._rollover.begin(now, "missing pong", ())

    def _slice(self, conversation: Conversation, now: float) -> float:
        # Two fixed values: each change of a socket's timeout is a system call.
        is_soon = conversation.next_deadline(now) - now < SLICE
        return SHORT_SLICE if is_soon or self._rollover.successor is not None else SLICE

    def _settle(self, link: Link) -> None:
        """Every subscription is answered: the stream is live, and any outage is over."""
        if self._answers.refusal is not None and not link.conversation.subscribed:
            raise self._answers.refusal  # nothing at all can come over this connection
        if self._connects and not self._is_rested:
            self.reconnects += 1
        self._is_rested = False
        if self._lost_at_ns is not None:
            self._keeper.outage(self.topics.all, self._lost_at_ns, is_over=True)
        self._lost_at_ns = None
        self._keeper.connected(self.topics.all, f" of {self.market}")
        self._go_live(link)

    def _go_live(self, link: Link) -> None:
        link.settled_ns = link.settled_ns or self._keeper.now_ns()
        self._live_at = self._clock.monotonic()
        self.live_since = self._live_at if self.live_since is None else self.live_since
        self._connects += 1
        self._opener.tries = 0
        self._trouble = None
        self._opener.simulation = link.conversation.speed or self._opener.simulation
        # Behind `simulation` and `live_since`: whoever waits for this state reads them.
        self.state = State.LIVE
        self._keeper.request_clock(self.market)
        self._rollover.schedule(link)
        self._keeper.request_errand()

    # -- going over to a successor -----------------------------------------------------------------

    def _change_over(self, link: Link, successor: Successor) -> Link:
        """Go over to a successor that is ready; return its link."""
        following = self._take_over(successor)
        # Without waiting for the peer's answer: meanwhile nobody would read the successor.
        self._opener.close(link, is_polite=False)
        return following

    def _take_over(self, successor: Successor) -> Link:
        link = successor.link
        assert link is not None  # it is done, and without an error
        self.rollovers += 1
        self._link = link
        self._rollover.take_over(successor)
        self._go_live(link)
        return link

    def _has_taken_over(self, error: KucoinResearchError) -> bool:
        """Go over to a successor that is on its way, when the connection is lost meanwhile."""
        keeper = self._keeper
        heard_ns = self._last_heard_ns or keeper.now_ns()  # before the waiting for the successor
        successor = self._rollover.await_successor()
        if successor is None:
            return False
        link = successor.link
        # One that lacks a topic of the lost one would leave a gap that nothing reports.
        has_all = link is not None and link.asked == self._last_asked
        if link is None or link.settled_ns is None or not has_all or self._has_ended():
            last_ns = self._rollover.salvage(successor, error, heard_ns)
            if last_ns is not None:
                self._last_heard_ns = max(heard_ns, last_ns)
            return False
        # If the successor was settled before the loss, it has brought everything since.
        is_seamless = link.settled_ns < heard_ns
        if not is_seamless:
            self._lost_at_ns = heard_ns if self._lost_at_ns is None else self._lost_at_ns
            keeper.lost(self.topics.all, str(error), self._lost_at_ns)
        log.info("%s goes over to the next connection: %s", keeper.name, error)
        successor.drained_ns = heard_ns if is_seamless else 0
        self._take_over(successor)
        if not is_seamless:
            assert self._lost_at_ns is not None  # set above
            # Only now that the successor's rows wait behind the outage: REST fills up to them.
            keeper.outage(self.topics.all, self._lost_at_ns, is_over=True)
            self._lost_at_ns = None
            self.reconnects += 1
        return True

    # -- asked from elsewhere --------------------------------------------------------------------

    def room(self, *, is_private: bool) -> int:
        """Return how many topics more it may carry; none of private ones if it is public."""
        is_closed = is_private and not self._opener.is_private
        if self.state is State.FAILED or self._role is _Role.RETIRED or is_closed:
            return 0
        return max(self._opener.most_topics - len(self.topics.all), 0)

    def add(self, topics: Collection[Topic]) -> TopicChange:
        """Subscribe to further topics, on this connection or the next one."""
        return self.topics.add(topics)

    def remove(self, topics: Collection[Topic]) -> TopicChange:
        """Unsubscribe from topics; without a connection that is done at once."""
        change, is_asked = self.topics.remove(topics)
        if not is_asked:
            self._account(topics, self._lost_at_ns)
        return change

    def _depart(self, change: TopicChange, since_ns: int | None) -> None:
        """Take topics for unsubscribed whose connection was lost before it could answer."""
        topics = change.open
        self._account(topics, since_ns)
        change.answer(topics)

    def _account(self, topics: Collection[Topic], since_ns: int | None) -> None:
        if since_ns is not None and not self._keeper.stopping.is_set():
            # Until now they were wanted, and did not come.
            self._keeper.outage(sorted(topics), since_ns, is_over=False)
        self._keeper.left(sorted(topics))

    def join(self) -> None:
        """Count among the connections of the stream from now on."""
        self._role = _Role.IN_FORCE

    def retire(self) -> None:
        """End this connection alone, for good; its topics must have been removed."""
        self._role = _Role.RETIRED
        self.abort()

    def resubscribe(self, symbol: str) -> None:
        """Have a book's topic subscribed to again, if it is one of this connection."""
        self._answers.resubscribe(symbol)

    def may_mend(self, symbol: str) -> bool:
        """Return whether a successor overlaps that may bring the messages which a book lacks."""
        successor = self._rollover.successor
        overlaps = successor is not None and successor.settled_ns is not None
        return overlaps and bool(self._answers.book_topics(symbol))

    def request_ping(self) -> None:
        """Send a ping at the next chance."""
        link = self._link
        if link is not None:
            link.conversation.request_ping()

    def abort(self) -> None:
        """End every connection now."""
        self._rollover.abort()
        self._opener.abort()

    def disown(self) -> None:
        """Forget connections and locks in a forked child."""
        self._opener.disown()
        self.topics.disown()
