"""The running parts of a stream: its connections, its questions to REST, and their threads."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

from kucoin_research.exchange.topics import Feed, Topic, topics_for
from kucoin_research.exchange.websocket.feeds import spec_of
from kucoin_research.foundation import interrupts
from kucoin_research.foundation.runtime import hurry, slow_down
from kucoin_research.model.channels import Market, Subscription
from kucoin_research.streaming.delivery import Delivery
from kucoin_research.streaming.limits import Healing, budget_of
from kucoin_research.streaming.recovery import Recovery
from kucoin_research.streaming.supervisor import ConnectionSupervisor
from kucoin_research.streaming.threads import ERRANDS, StreamThreads
from kucoin_research.streaming.wanted_topics import TopicChange

__all__ = ["Engine"]

# Seconds between two looks of the errand thread: while books or outages may need REST, and at
# functions that may not return.
_ERRAND_INTERVAL = 0.05
_LOOK_INTERVAL = 1.0

# How long the "stopped" row waits for the feed threads, so that it comes last.
_LAST_ROWS = 2.0

# At the end REST is asked, for no longer than this, whether the last change of some books has come.
_LAST_LOOK = 1.0
_MOST_LOOKED_AT = 5


class Engine:
    """Starts and stops the connections and threads of a stream.

    Parameters
    ----------
    delivery
        Takes what the connections bring.
    subscriptions
        What to subscribe to.
    healing
        How hard to try to keep the data whole.

    Attributes
    ----------
    supervisors
        One for each connection; further ones are added at the end.
    first
        Those of the beginning.
    joining
        Connections for further topics, while their first subscriptions are not answered.
    recovery
        Asks REST.
    threads
        All threads but the main one.

    Notes
    -----
    ``stop`` may be called from any thread, and more than once.
    """

    def __init__(
        self, delivery: Delivery, subscriptions: Sequence[Subscription], healing: Healing
    ) -> None:
        self.threads = StreamThreads(delivery.clock, delivery.name)
        self._delivery = delivery
        self._clock = delivery.clock
        self._healing = healing
        self._budget = budget_of(delivery.rest, healing)
        self._owner: object = None
        self._numbers = itertools.count()
        self.joining: list[ConnectionSupervisor] = []
        self.supervisors = [
            self._supervisor(market, topics)
            for market, topics in _connections(subscriptions, delivery.feed)
        ]
        self.first = tuple(self.supervisors)
        self.recovery = Recovery(
            delivery,
            delivery.handler,
            delivery.lock,
            delivery.time,
            markets=delivery.handler.markets,
            supervisors=self.supervisors,
            fill_timeout=healing.fill_timeout,
            start_thread=self.threads.start,
        )
        delivery.forget_failures = self.recovery.forget_failures

    def _supervisor(
        self, market: Market, topics: Sequence[Topic], *, is_joining: bool = False
    ) -> ConnectionSupervisor:
        return ConnectionSupervisor(
            self._delivery,
            market,
            topics,
            spec_of(self._delivery.feed),
            next(self._numbers),
            healing=self._healing,
            budget=self._budget,
            start_thread=self.threads.start,
            is_joining=is_joining,
        )

    # -- the beginning -----------------------------------------------------------------------------

    def start(self, owner: object) -> None:
        """Start all threads; they keep the owner alive until the end.

        A user may drop the handle of a stream that is to go on.
        """
        hurry(self)
        self._owner = owner
        traffic = self._delivery.sinks.traffic
        if traffic is not None:
            self.threads.keep(traffic.thread)
        for supervisor in self.supervisors:
            self._run(supervisor)
        self.threads.start(partial(_run_for, owner, self._run_errands), ERRANDS)

    def _run(self, supervisor: ConnectionSupervisor) -> None:
        run = partial(_run_for, self._owner, supervisor.run)
        self.threads.start(run, f"pump-{supervisor.number}")

    def _run_errands(self) -> None:
        """Look for questions to REST, so that no feed thread waits for an answer."""
        delivery = self._delivery
        handler, sinks = delivery.handler, delivery.sinks
        while not delivery.stopping.is_set():
            is_soon = handler.books or handler.has_open_requests
            pause = _ERRAND_INTERVAL if is_soon else delivery.time.interval
            delivery.errand.wait(min(pause, _LOOK_INTERVAL) if sinks.all_workers else pause)
            # Before the look, so that a request during it causes another look.
            delivery.errand.clear()
            try:
                self.recovery.look()
                sinks.look()
            except Exception as error:  # noqa: BLE001  this thread's guard
                self.recovery.survive(error)
        deadline = self._clock.monotonic() + _LAST_ROWS
        for thread in self._feed_threads():
            thread.join(self._until(deadline))
        delivery.finish()

    # -- the end -----------------------------------------------------------------------------------

    def stop(self, timeout: float, seen: int) -> None:
        """End connections and threads.

        Parameters
        ----------
        timeout
            Seconds to wait for the threads.
        seen
            How many interrupts had arrived before; a further one ends the waiting.
        """
        delivery = self._delivery
        deadline = self._clock.monotonic() + timeout
        self._look_once_more(min(timeout, _LAST_LOOK), seen)
        # First, so that an interrupt from here on cannot leave the stream running.
        delivery.stopping.set()
        delivery.errand.set()
        for supervisor in (*self.supervisors, *self.joining):
            supervisor.abort()
        self._owner = None
        delivery.rest.close()
        self.recovery.close()
        slow_down(self)
        if not self.threads.has_errands:
            delivery.sinks.close()  # else the errand thread does, behind the last row
        here = threading.current_thread()
        if here in self._sink_threads():
            return  # the feed cannot end before this sink returns
        # The threads that ask may wait for a slow answer of REST; the rows need not.
        feed = self._feed_threads()
        interrupts.join(feed, self._until(deadline), seen=seen, clock=self._clock)
        if self.threads.has_errands and not any(thread.is_alive() for thread in feed):
            delivery.finish()
        others = [thread for thread in self.threads.all if thread is not here]
        interrupts.join(others, self._until(deadline), seen=seen, clock=self._clock)

    def _look_once_more(self, seconds: float, seen: int) -> None:
        """Find out whether the last change of each book has come, and wait for it.

        Parameters
        ----------
        seconds
            To wait at most.
        seen
            How many interrupts had arrived before; a further one ends the waiting.
        """
        delivery = self._delivery
        if delivery.stopping.is_set() or self._is_called_by_own_thread():
            return
        deadline = self._clock.monotonic() + seconds
        with delivery.lock:
            # Books in step only: the connections of others may be lost.
            names = delivery.handler.order_books.to_ask_about(_MOST_LOOKED_AT)
            self.recovery.ask_about_ends(names)
        if not names:
            return
        books = [delivery.handler.books[name] for name in names]
        delivery.errand.set()
        while self._clock.monotonic() < deadline and interrupts.arrived() == seen:
            if self.recovery.are_ends_known and not any(book.doubt for book in books):
                break
            delivery.stopping.wait(0.02)

    # -- further topics ----------------------------------------------------------------------------

    def subscribe(
        self, market: Market, topics: Sequence[Topic]
    ) -> list[tuple[ConnectionSupervisor, TopicChange]]:
        """Ask for further topics of a market, on connections with room and on new ones.

        A new one joins the others by ``join``, or ends by ``part``.
        """
        asked = []
        left = list(topics)
        for supervisor in self.supervisors:
            if supervisor.market is market and left:
                is_private = any(topic.is_private for topic in left)
                room = supervisor.room(is_private=is_private)
                part, left = left[:room], left[room:]
                if part:
                    asked.append((supervisor, supervisor.add(part)))
        most = spec_of(self._delivery.feed).topics_per_connection
        for start in range(0, len(left), most):
            part = left[start : start + most]
            made = self._supervisor(market, part, is_joining=True)
            self.joining.append(made)
            asked.append((made, made.add(part)))  # before it connects, so that no answer is missed
            self._run(made)
        return asked

    def join(self) -> None:
        """Count connections among those of the stream whose topics were all accepted."""
        joined, self.joining = self.joining, []
        for supervisor in joined:
            supervisor.join()
        self.supervisors += joined

    def part(self) -> None:
        """End connections that were made for topics which did not come."""
        parted, self.joining = self.joining, []
        for supervisor in parted:
            supervisor.retire()

    def unsubscribe(
        self, topics: Collection[Topic], market: Market
    ) -> list[tuple[ConnectionSupervisor, TopicChange]]:
        """Ask for the end of topics of a market, on the connections that carry them."""
        asked = []
        for supervisor in (*self.supervisors, *self.joining):
            own = [topic for topic in supervisor.topics.all if topic in topics]
            if supervisor.market is market and own:
                asked.append((supervisor, supervisor.remove(own)))
        return asked

    @property
    def is_called_by_feed(self) -> bool:
        """Whether the present thread brings the rows, so that it cannot wait for answers."""
        feed = self.threads.feed(self._sink_threads())
        return threading.current_thread() in feed

    # -- the end, by whom --------------------------------------------------------------------------

    def _is_called_by_own_thread(self) -> bool:
        here = threading.current_thread()
        return here in self.threads.all or here in self._sink_threads()

    def _sink_threads(self) -> set[threading.Thread]:
        return {worker.thread for worker in self._delivery.sinks.all_workers}

    def _feed_threads(self) -> list[threading.Thread]:
        return self.threads.feed(self._sink_threads() | {threading.current_thread()})

    def _until(self, deadline: float) -> float:
        return max(0.0, deadline - self._clock.monotonic())

    def disown(self) -> None:
        """Forget threads and sockets in a forked child: they are the parent's alone."""
        self._delivery.disown()
        for supervisor in (*self.supervisors, *self.joining):
            supervisor.disown()
        self.recovery.disown()
        self._delivery.rest.disown()
        self.threads.disown()


def _run_for(_owner: object, run: Callable[[], None]) -> None:
    # The thread's arguments keep the owner alive, and the thread drops them when it ends.
    run()


def _connections(
    subscriptions: Sequence[Subscription], feed: Feed
) -> list[tuple[Market, list[Topic]]]:
    """Divide the topics among connections, as many to each as the exchange allows."""
    most = spec_of(feed).topics_per_connection
    by_market: defaultdict[Market, dict[Topic, None]] = defaultdict(dict)
    for channel, symbol, market in subscriptions:
        by_market[market].update(dict.fromkeys(topics_for(channel, symbol, market, feed)))
    return [
        (market, list(topics)[start : start + most])
        for market, topics in by_market.items()
        for start in range(0, len(topics), most)
    ]
