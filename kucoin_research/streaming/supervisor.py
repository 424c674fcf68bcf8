"""A lane: some topics of one market, and whatever it takes to keep them coming.

One thread per lane owns a connection and converses on it. When the connection is lost, the thread
makes another; when it grows old, or something on it has gone silent, a second thread opens its
successor first, and the lane changes over to that without losing a message.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

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
    ServiceBusy,
    StreamError,
    TopicInvalid,
    TopicNotFound,
)
from kucoin_research.exchange.topics import Topic, topics_for
from kucoin_research.exchange.websocket.connection import Connection, open_hidden, query_of
from kucoin_research.exchange.websocket.conversation import (
    Acknowledged,
    Conversation,
    Event,
    ExchangeSpoke,
    Refused,
)
from kucoin_research.exchange.websocket.feeds import FeedSpec
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.hidden import Hidden, bare
from kucoin_research.model.channels import Channel, Market
from kucoin_research.model.status import State
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.keeper import Keeper
from kucoin_research.streaming.limits import ConnectBudget, Healing
from kucoin_research.streaming.link import Link
from kucoin_research.streaming.rollover import MANY_MESSAGES, Successor, TurnWatch
from kucoin_research.streaming.staleness import Silence
from kucoin_research.streaming.timekeeping import SLEPT_NS

__all__ = ["ConnectionSupervisor"]

log = logging.getLogger(__name__)

# The longest a pump sleeps in recv, so that pings, hand-sent pings and stop() are served.
_SLICE = 0.1
_SHORT_SLICE = 0.01
_OPEN_TIMEOUT = 10.0
_FIRST_BACKOFF = 0.5
# A connection that was live for so long has ended by chance: the next one is tried at once, but for
# a moment, so that not all clients of an exchange come back together.
_GOOD_LIFE = 5.0
_AT_ONCE = 0.05
# A subscription that the exchange was too busy for is asked for again this much later.
_BUSY_INTERVAL = 60.0
# A connection that brought something so recently is not dead, whatever it owes.
_SPEAKS_NS = 1_000_000_000
# For so long a connection that took over may repeat what its predecessor was faster to bring.
_TAIL = 3.0
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


class ConnectionSupervisor:
    """Keeps some topics of a market coming.

    Parameters
    ----------
    keeper
        The stream.
    market, topics, kit
        What to subscribe to, where, and how.
    number
        For the names of its threads.
    healing, budget
        How to mend what breaks.
    start_thread
        Starts a thread of the stream's: a function, and the role in its name.

    Notes
    -----
    ``run`` is the thread's function. ``abort``, ``request_ping``, ``resubscribe`` and the
    attributes may be used from any thread.
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
    ) -> None:
        self.number = number
        self.state = State.CONNECTING
        self._has_opened = False  # ever
        self._answered: set[Topic] = set()  # ever
        self.reconnects = 0
        self.rollovers = 0
        self.simulation: float | None = None
        self.last_ping: float | None = None
        self.live_since: float | None = None  # of the first connection, monotonic seconds
        self._owner = keeper
        self._market = market
        self._topics = list(topics)
        self._spec = spec
        self._healing = healing
        self._budget = budget
        self._start_thread = start_thread
        self._afresh: deque[str] = deque()  # symbols whose book is to be subscribed to again
        self._link: Link | None = None
        self._successor: Successor | None = None
        self._abort_lock = threading.Lock()  # guards the two below against abort
        self._opening: set[Bound] = set()
        self._opened: set[Connection] = set()
        self._trouble: KucoinResearchError | None = None  # of the connection
        self._held_until: float | None = None  # monotonic seconds
        self._refusal: StreamError | None = None  # of a subscription
        self._busy: set[Topic] = set()  # refused, but may be had later
        self._retry_busy_at = 0.0
        self._moves_seen = 0
        self._last_heard_ns: int | None = None
        self._lost_at_ns: int | None = None
        self._connects = 0
        self._live_at = 0.0  # when the last connection came into force, monotonic seconds
        self._tries = 0
        self._clock = keeper.clock
        self._now_ns = keeper.now_ns
        self._random = self._clock.random
        self._replace_at: float | None = None  # when the link is due for its successor
        self._no_successor_before = 0.0
        self._watch = TurnWatch(self._clock)
        self._tail: Handover | None = None  # of the last change of connections, until _tail_until
        self._tail_until = 0.0

    @property
    def error(self) -> KucoinResearchError | None:
        """What the connection is suffering from, or why a topic does not come."""
        return self._trouble or self._refusal

    # -- the thread ------------------------------------------------------------------------------

    def run(self) -> None:
        """Keep the topics coming until the stream stops."""
        try:
            self._keep_connected()
        finally:
            self._give_up_successor()
            if not self._owner.stopping.is_set() and self.state is not State.FAILED:
                # Whatever ended this thread, the stream must not go on saying that it is live.
                self._trouble = self._trouble or ConnectionLost("the feed's thread has ended")
                self.state = State.FAILED
            if self._lost_at_ns is not None:
                self._owner.outage(self._topics, self._lost_at_ns, is_over=False)

    def _give_up_successor(self) -> None:
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.is_wanted.set()
            successor.is_done.wait(_OPEN_TIMEOUT)
            if successor.link is not None:
                self._close_link(successor.link)
            # What it has brought was received, and may be all there is of a topic that had stalled.
            drained_ns = successor.drained_ns or 0
            self._owner.take_over(successor.overlap, self._topics, drained_ns)

    def _keep_connected(self) -> None:
        failures = 0
        stopping = self._owner.stopping
        while not stopping.is_set():
            wait = 0.0 if self._link is not None else self._budget.take(self._clock.monotonic())
            if wait:
                self._hold_back(wait)
                continue
            error: KucoinResearchError | None = None
            try:
                self._live_once()
            except KucoinResearchError as failure:
                error = bare(failure)  # its frames hold what the server has sent
            except Exception as failure:  # the pump's guard; its text may hold a secret
                log.exception("the feed of %s met an unexpected error", self._owner.name)
                error = ConnectionLost(f"unexpected {type(failure).__name__} in the feed")
            if stopping.is_set() or error is None:
                return
            lived = self._clock.monotonic() - self._live_at if self.state is State.LIVE else 0.0
            failures = 0 if lived > _GOOD_LIFE else failures + 1
            if self._has_taken_over(error):
                continue
            self._lose(error)
            if self.state is State.FAILED:
                return
            stopping.wait(self._delay(error, failures))

    def _hold_back(self, seconds: float) -> None:
        """Wait until another connection may be made, and say so meanwhile."""
        self._held_until = self._clock.monotonic() + seconds
        before = self._trouble
        # A connection that was lost has a reason of its own, which is told rather than this.
        self._trouble = before or LimitExceeded(
            f"{self._budget.per_minute} connections were made within a minute, of the 30 that "
            f"KuCoin allows: the next one comes in {seconds:.0f} s (one stream of several symbols "
            "is one connection)"
        )
        log.info("%s waits %.0f s for its turn to connect", self._owner.name, seconds)
        try:
            self._owner.stopping.wait(seconds)
        finally:
            self._held_until, self._trouble = None, before

    def _delay(self, error: KucoinResearchError, failures: int) -> float:
        if isinstance(error, RateLimited):
            return error.retry_after
        if not failures:
            return self._random.uniform(0.0, _AT_ONCE)
        most = min(self._healing.most_backoff, _FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
        return self._random.uniform(0.0, most)

    def _lose(self, error: KucoinResearchError) -> None:
        self._trouble = error
        if self._lost_at_ns is None:
            self._lost_at_ns = self._last_heard_ns  # failed tries in between lengthen the outage
        if self._connects:
            self.state = State.RECONNECTING
        elif isinstance(error, _FATAL):
            self.state = State.FAILED
        log.info("%s lost a connection: %s", self._owner.name, error)
        self._owner.lost(self._topics, str(error), self._lost_at_ns)

    def _open_link(self) -> Link:
        """Take a token, connect, and begin to talk."""
        is_private = any(topic.is_private for topic in self._topics)
        endpoint = self._spec.endpoint(self._owner.rest, self._market, is_private, self._tries)
        self._tries += 1
        self.simulation = endpoint.speed or self.simulation
        connection = self._open_connection(endpoint.url)
        self._has_opened = True
        conversation = Conversation(
            self._topics,
            self._clock.monotonic(),
            ping_interval=endpoint.ping_interval,
            ping_timeout=endpoint.ping_timeout,
            dialect=self._spec.dialect(self._market),
        )
        decoder, now = self._spec.decoder(self._market), self._clock.monotonic()
        secrets = query_of(endpoint.url)
        return Link(connection, conversation, decoder, endpoint.lifetime, now, secrets)

    def _open_connection(self, url: Hidden[str]) -> Connection:
        bound = Bound(self._clock, _OPEN_TIMEOUT)
        with self._abort_lock:
            self._opening.add(bound)
        try:
            # Asked after the bound was registered: stop() finds it there, or this finds stop.
            if self._owner.stopping.is_set():
                raise ConnectionLost("the stream was stopped")
            connection = open_hidden(url, timeout=_OPEN_TIMEOUT, clock=self._clock, bound=bound)
            with self._abort_lock:
                self._opened.add(connection)
        finally:
            with self._abort_lock:
                self._opening.discard(bound)
        return connection

    def _close_link(self, link: Link, *, is_polite: bool = True) -> None:
        with self._abort_lock:
            self._opened.discard(link.connection)
        link.close(is_polite=is_polite)

    def _live_once(self) -> None:
        link = self._link
        if link is None:
            self._afresh.clear()
            self._refusal = None
            self._busy.clear()
            link = self._link = self._open_link()
        try:
            # Asked after the connection was registered: stop() finds it there, or this finds stop.
            while not self._owner.stopping.is_set():
                link = self._turn(link)
        finally:
            self._link = None
            self._close_link(link)

    def _turn(self, link: Link) -> Link:
        """Send, receive, and look after things once; gives the link to go on with."""
        conversation = link.conversation
        now = self._clock.monotonic()
        self._ask_again(conversation, now)
        self._bear_with_pongs(link, now)
        before = conversation.last_ping
        try:
            self._handle(conversation, link.speak(now))
        except ConnectionLost:
            for payloads in link.rest():
                self._take(link, payloads, now)
            raise
        if conversation.last_ping != before:
            self.last_ping = self._clock.wall_ns() / 1e9
        slice_ = self._slice(conversation, now)
        began_ns = self._now_ns()
        payloads = link.listen(slice_)
        self._watch.turned(slice_)
        self._take(link, payloads, now)
        if link.settled_ns is None and conversation.is_settled:
            self._settle(link)
        if link.settled_ns is not None:
            is_drained = len(payloads) < MANY_MESSAGES
            self._look_after(link, is_drained=is_drained)
            # What has come since the read began may lie there unread, however few it brought.
            return self._change_over(link, began_ns if is_drained else None)
        return link

    def _take(self, link: Link, payloads: list[bytes], now: float) -> None:
        if not payloads:
            return
        self._last_heard_ns = self._now_ns()
        for control in self._owner.deliver(payloads, link.decoder, self._overlap(now)):
            events = link.hear(control, self._clock.monotonic())
            self._handle(link.conversation, events)

    def _overlap(self, now: float) -> Handover | None:
        """Give what is to be told of messages, or tells of them, while two connections overlap."""
        if self._successor is not None:
            return self._successor.overlap
        if self._tail is not None and now >= self._tail_until:
            self._tail = None
        return self._tail

    def _bear_with_pongs(self, link: Link, now: float) -> None:
        """Let a connection that owes a pong, but speaks, go on until there is another."""
        heard_ns = self._last_heard_ns or 0
        speaks = self._now_ns() - heard_ns < _SPEAKS_NS
        if speaks and link.settled_ns is not None and link.conversation.is_pong_overdue(now):
            link.conversation.forgive_pings()
            self._owner.note("pong_missing", "a ping was not answered; another connection is tried")
            self._begin_succession(now, "missing pong", ())

    def _slice(self, conversation: Conversation, now: float) -> float:
        # Two fixed values: each change of a socket's timeout is a system call.
        is_soon = conversation.next_deadline(now) - now < _SLICE
        return _SHORT_SLICE if is_soon or self._successor is not None else _SLICE

    def _ask_again(self, conversation: Conversation, now: float) -> None:
        if self._busy and now >= self._retry_busy_at:
            self._retry_busy_at = now + _BUSY_INTERVAL
            conversation.subscribe(self._busy)
        while self._afresh:
            conversation.resubscribe(self._book_topics(self._afresh.popleft()))

    def _settle(self, link: Link) -> None:
        """Every subscription is answered: the stream is live, and any outage is over."""
        if self._refusal is not None and not link.conversation.subscribed:
            raise self._refusal  # nothing at all can come over this connection
        if self._connects:
            self.reconnects += 1
        if self._lost_at_ns is not None:
            self._owner.outage(self._topics, self._lost_at_ns, is_over=True)
        self._lost_at_ns = None
        self._owner.connected(self._topics, f" of {self._market}")
        self._go_live(link)

    def _go_live(self, link: Link) -> None:
        link.settled_ns = link.settled_ns or self._now_ns()
        self._live_at = self._clock.monotonic()
        self.live_since = self._live_at if self.live_since is None else self.live_since
        self._connects += 1
        self._tries = 0
        self._trouble = None
        self.simulation = link.conversation.speed or self.simulation
        self.state = State.LIVE
        self._owner.request_clock(self._market)
        lifetime = link.lifetime or self._healing.lifetime
        # A little earlier each time by chance, so that many lanes do not change all at once.
        reserve = self._healing.reserve(lifetime) * self._random.uniform(1.0, 1.25)
        self._replace_at = link.opened_at + lifetime - reserve
        self._owner.request_errand()

    # -- what the exchange says ------------------------------------------------------------------

    def _handle(self, conversation: Conversation, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Refused):
                self._answered.update(event.topics)
                self._on_refused(conversation, event)
            elif isinstance(event, ExchangeSpoke):
                # Told, but nothing suffers from it: if a disconnection follows, that is the error.
                self._owner.note("error", str(event.error))
            elif isinstance(event, Acknowledged):
                self._answered.update(event.topics)
                self._owner.acknowledged(event.topics)
                self._accept(event.topics)

    def _on_refused(self, conversation: Conversation, event: Refused) -> None:
        if len(event.topics) > 1 and isinstance(event.error, (TopicInvalid, TopicNotFound)):
            # One bad topic refuses its whole message: ask for each by itself.
            for topic in event.topics:
                conversation.subscribe([topic])
            return
        self._refusal = event.error
        if isinstance(event.error, ServiceBusy | LimitExceeded):
            self._busy.update(event.topics)
            self._retry_busy_at = self._clock.monotonic() + _BUSY_INTERVAL
        self._owner.note("refused", str(event.error))

    def _accept(self, topics: Iterable[Topic]) -> None:
        if self._busy:
            self._busy.difference_update(topics)
            if not self._busy and isinstance(self._refusal, ServiceBusy | LimitExceeded):
                self._refusal = None

    # -- watching, and changing over -------------------------------------------------------------

    def _look_after(self, link: Link, *, is_drained: bool) -> None:
        """Notice silence, age and sleep; each is answered by a successor."""
        now, keeper = self._clock.monotonic(), self._owner
        if len(keeper.moves) > self._moves_seen:
            self._on_moves(link)
        if self._successor is None and self._replace_at is not None and now >= self._replace_at:
            self._begin_succession(now, "", ())
        if not self._watch.may_look(now, is_drained=is_drained):
            return
        silences = keeper.silences(self._topics, self._now_ns())
        if silences and self._successor is None and now >= self._no_successor_before:
            self._tell_silences(link, silences, now)

    def _tell_silences(self, link: Link, silences: Sequence[Silence], now: float) -> None:
        for silence in silences:
            detail = (
                f"silent for {silence.seconds:.2f} s, while 99 of 100 intervals are below "
                f"{silence.usual:.2f} s; another connection is tried"
            )
            self._owner.note("silent_topic", detail, channel=silence.channel, symbol=silence.symbol)
        link.conversation.request_ping()  # a socket that is dead altogether will not answer
        self._begin_succession(now, "silent topic", silences)

    def _on_moves(self, link: Link) -> None:
        """Tell that this machine's clock was set; where it may have slept, the peer may be gone."""
        moves = self._owner.moves[self._moves_seen :]
        self._moves_seen += len(moves)
        self._owner.clock_moved()
        if any(move.by_ns >= SLEPT_NS for move in moves):
            link.conversation.request_ping()
            self._begin_succession(self._clock.monotonic(), "sleep", ())

    def _begin_succession(self, now: float, reason: str, silences: Sequence[Silence]) -> None:
        if self._successor is not None:
            return
        wait = self._budget.take(now)
        if wait:
            self._no_successor_before = now + wait
            self._replace_at = now + wait
            return
        successor = Successor(reason, silences, self._clock, self._now_ns)
        self._successor = successor
        self._start_thread(lambda: self._open_successor(successor), f"next-{self.number}")

    def _open_successor(self, successor: Successor) -> None:
        """Open another connection and hold what it brings, on a thread of its own."""
        link = None
        keeper = self._owner
        try:
            link = self._open_link()
            while not successor.is_wanted.is_set() and not keeper.stopping.is_set():
                now = self._clock.monotonic()
                self._refuse_worse(link.speak(now))
                payloads = link.listen(_SHORT_SLICE)
                for control in keeper.hold(payloads, link.decoder, successor.overlap):
                    self._refuse_worse(link.hear(control, self._clock.monotonic()))
                if link.settled_ns is None and link.conversation.is_settled:
                    link.settled_ns = self._now_ns()
                    successor.is_settled.set()
        except KucoinResearchError as failure:
            successor.error = bare(failure)
        except Exception as failure:  # the pump's guard; its text may hold a secret
            log.exception("the next connection of %s met an unexpected error", keeper.name)
            successor.error = ConnectionLost(f"unexpected {type(failure).__name__} in the feed")
        finally:
            if link is not None and (successor.error is not None or keeper.stopping.is_set()):
                self._close_link(link)
                link = None
            successor.link = link
            successor.is_settled.set()
            successor.is_done.set()

    def _refuse_worse(self, events: Iterable[Event]) -> None:
        # What it may not have, the connection that is there has: it is no successor then. But for
        # what that one was refused, too.
        for event in events:
            if isinstance(event, Refused):
                had = self._link.conversation.subscribed if self._link is not None else frozenset()
                if had.intersection(event.topics):
                    raise event.error

    def _change_over(self, link: Link, drained_ns: int | None) -> Link:
        """Go over to the successor once both have brought the same for a while.

        ``drained_ns`` is a time before which all that was sent has been read; None if not known.
        """
        successor = self._successor
        if successor is None:
            return link
        if successor.error is not None:
            self._drop_successor(successor)
            return link
        successor.drained_ns = drained_ns or successor.drained_ns
        if successor.may_take_over(self._healing.overlap):
            successor.is_wanted.set()
        if not successor.is_done.is_set() or successor.link is None:
            return link
        self._take_over(successor)
        # A peer that is given up need not answer, and its successor is to be read at once.
        self._close_link(link, is_polite=False)
        return successor.link

    def _drop_successor(self, successor: Successor) -> None:
        # The connection that is there goes on; after a while another is tried.
        self._successor = None
        wait = self._random.uniform(1.0, 5.0)
        self._no_successor_before = self._clock.monotonic() + wait
        self._replace_at = max(self._replace_at or 0.0, self._no_successor_before)
        self._owner.note("rollover_failed", f"{successor.error}; the old connection goes on")

    def _take_over(self, successor: Successor) -> None:
        link = successor.link
        assert link is not None  # it is done, and without an error
        self._successor = None
        self.rollovers += 1
        self._link = link
        drained_ns = successor.drained_ns or 0
        stalled = self._owner.take_over(successor.overlap, self._topics, drained_ns)
        self._tail, self._tail_until = successor.overlap, self._clock.monotonic() + _TAIL
        self._owner.acknowledged(list(link.conversation.subscribed))
        quiet = [s for s in successor.silences if (s.channel, s.symbol) not in stalled]
        if quiet:
            self._owner.was_quiet(quiet)
        why = f" after {successor.reason}" if successor.reason else ""
        self._owner.note("rollover", f"{len(self._topics)} topics of {self._market}{why}")
        self._go_live(link)

    def _has_taken_over(self, error: KucoinResearchError) -> bool:
        """Go on with a successor that is on its way, when the connection is lost meanwhile."""
        successor = self._successor
        if successor is None:
            return False
        heard_ns, keeper = self._last_heard_ns or self._now_ns(), self._owner
        while not successor.is_settled.wait(_SLICE) and not keeper.stopping.is_set():
            pass
        successor.is_wanted.set()
        successor.is_done.wait(_OPEN_TIMEOUT)
        link = successor.link
        if link is None or link.settled_ns is None or keeper.stopping.is_set():
            self._salvage(successor, error, heard_ns)
            return False
        is_seamless = link.settled_ns < heard_ns
        if not is_seamless:
            self._lost_at_ns = heard_ns if self._lost_at_ns is None else self._lost_at_ns
            keeper.lost(self._topics, str(error), self._lost_at_ns)
        log.info("%s goes over to the next connection: %s", keeper.name, error)
        successor.drained_ns = heard_ns if is_seamless else 0
        self._take_over(successor)
        if not is_seamless:
            assert self._lost_at_ns is not None  # set above
            keeper.outage(self._topics, self._lost_at_ns, is_over=True)
            self._lost_at_ns = None
            self.reconnects += 1
        return True

    def _salvage(self, successor: Successor, error: KucoinResearchError, heard_ns: int) -> None:
        """Keep what a successor has brought that was lost as well: one outage more."""
        self._successor = None
        if successor.link is not None:
            self._close_link(successor.link)
        last_ns = successor.overlap.last_held_ns
        if last_ns is None:
            return
        self._owner.lost(self._topics, str(error), heard_ns)
        self._owner.take_over(successor.overlap, self._topics, 0)
        self._owner.outage(self._topics, heard_ns, is_over=True)
        self._last_heard_ns = max(heard_ns, last_ns)

    # -- asked from elsewhere --------------------------------------------------------------------

    def resubscribe(self, symbol: str) -> None:
        """Have a book's topic subscribed to afresh, if it is one of this connection."""
        if self._book_topics(symbol):
            self._afresh.append(symbol)

    def _book_topics(self, symbol: str) -> list[Topic]:
        wanted = topics_for(Channel("level2"), symbol, self._market, self._owner.feed)
        return [topic for topic in wanted if topic in self._topics]

    def may_mend(self, symbol: str) -> bool:
        """Whether a connection is about to take over that may have what a book lacks."""
        successor = self._successor
        overlaps = successor is not None and successor.settled_ns is not None
        return overlaps and bool(self._book_topics(symbol))

    @property
    def progress(self) -> int:
        """How far the first connecting is: it grows with what is there for the first time."""
        return self._has_opened + len(self._answered)

    @property
    def held_until(self) -> float | None:
        """Monotonic seconds until which no connection may be made; None where one may."""
        return self._held_until

    def request_ping(self) -> None:
        """Send a ping at the next chance."""
        link = self._link
        if link is not None:
            link.conversation.request_ping()

    def abort(self) -> None:
        """End every connection now."""
        successor = self._successor
        if successor is not None:
            successor.is_wanted.set()
        with self._abort_lock:
            for bound in self._opening:
                bound.cut()
            for connection in self._opened:
                connection.abort()

    def disown(self) -> None:
        """Forget connections and locks in a forked child."""
        self._abort_lock = threading.Lock()
        self._opening, self._opened = set(), set()
