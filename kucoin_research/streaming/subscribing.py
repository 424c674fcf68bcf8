"""Subscribing and unsubscribing while a stream runs.

One change at a time. Frames, accounts and books are prepared before the exchange is asked, since
data may come before the acknowledgement. If anything is refused, everything is taken back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from kucoin_research.errors import ServiceBusy, StreamError, StreamStopped, StreamTimeout
from kucoin_research.exchange.topics import Topic, topics_for
from kucoin_research.foundation import interrupts
from kucoin_research.model.channels import Market, Subscription
from kucoin_research.model.status import State
from kucoin_research.streaming.delivery import Delivery
from kucoin_research.streaming.engine import Engine
from kucoin_research.streaming.supervisor import ConnectionSupervisor
from kucoin_research.streaming.wanted_topics import TopicChange

__all__ = ["Subscribing"]

_SLICE = 0.02
_NAMED = 3  # topics in an error text

_Asked = list[tuple[ConnectionSupervisor, TopicChange]]


class Subscribing:
    """Keeps the subscriptions of a running stream, and changes them.

    Parameters
    ----------
    delivery, engine
        Of the stream.
    subscriptions
        Those of the beginning.

    Attributes
    ----------
    now
        The subscriptions in force, in order. Replaced as a whole, so any thread may read it.

    Notes
    -----
    Every method may be called from any thread.
    """

    def __init__(
        self, delivery: Delivery, engine: Engine, subscriptions: Iterable[Subscription]
    ) -> None:
        self.now = tuple(subscriptions)
        self._delivery = delivery
        self._engine = engine
        self._clock = delivery.clock
        self._changing = threading.Lock()  # held while a change goes on

    # -- to come -----------------------------------------------------------------------------------

    def add(
        self,
        wanted: Iterable[Subscription],
        timeout: float,
        announce: Callable[[Sequence[Subscription]], Callable[[Sequence[Subscription]], object]],
    ) -> tuple[Subscription, ...]:
        """Subscribe, and wait for the answers; returns the subscriptions that are new.

        Parameters
        ----------
        wanted
            Those to have.
        timeout
            Seconds to wait at most.
        announce
            Called with those that are new, before any row of them can come; it returns a function
            that takes this back, but for those that it is called with: they have rows.

        Raises
        ------
        KucoinResearchError
            If the exchange refuses it, or a new connection for good; everything is as before.
        StreamTimeout
            If an answer did not come in time; everything is as before.
        StreamStopped
            If the stream ends meanwhile.
        """
        deadline = self._begin(timeout)
        try:
            fresh = tuple(each for each in dict.fromkeys(wanted) if each not in self.now)
            if fresh:
                take_back = announce(fresh)
                try:
                    self._add(fresh, deadline)
                except BaseException:
                    take_back([each for each in fresh if self._delivery.knows(each)])
                    raise
                announce(fresh)  # to what has begun to record it meanwhile
            return fresh
        finally:
            self._changing.release()

    def _add(self, fresh: Sequence[Subscription], deadline: float) -> None:
        known = self._topics(self.now)
        asked = {
            market: [topic for topic in topics if topic not in known.get(market, {})]
            for market, topics in self._topics(fresh).items()
        }
        self._delivery.come(fresh, [topic for topics in asked.values() for topic in topics])
        changes: _Asked = []
        try:
            for market, topics in asked.items():
                changes += self._engine.subscribe(market, topics)
            self._wait(changes, deadline, "subscribe to", until_refused=True)
            self._raise_refusal(changes)
        except BaseException:
            self._take_back(fresh, asked, changes)
            raise
        self._engine.join()
        self.now = (*self.now, *fresh)

    def _take_back(
        self,
        fresh: Sequence[Subscription],
        asked: dict[Market, list[Topic]],
        changes: _Asked,
    ) -> None:
        for supervisor, change in changes:
            supervisor.topics.forget(change)
        self._delivery.fail(fresh)
        self._delivery.forget_empty(fresh)
        topics = [topic for each in asked.values() for topic in each]
        self._delivery.go(fresh, topics)  # those that were accepted before the refusal
        self._delivery.left(topics)  # at once: nobody waits for these
        for market, each in asked.items():
            for supervisor, change in self._engine.unsubscribe(each, market):
                supervisor.topics.forget(change)
        self._engine.part()

    # -- to go -------------------------------------------------------------------------------------

    def remove(self, unwanted: Iterable[Subscription], timeout: float) -> tuple[Subscription, ...]:
        """Unsubscribe, and wait for the answers; returns the subscriptions that were in force.

        Raises
        ------
        StreamError
            If the exchange refuses it; the refused topics go on.
        StreamTimeout
            If an answer did not come in time. Its topics are subscribed to again, and the time
            without an answer is reported as a gap.
        StreamStopped
            If the stream ends meanwhile.
        """
        deadline = self._begin(timeout)
        try:
            going = tuple(each for each in dict.fromkeys(unwanted) if each in self.now)
            if going:
                self._remove(going, deadline)
            return going
        finally:
            self._changing.release()

    def _remove(self, going: Sequence[Subscription], deadline: float) -> None:
        rest = tuple(each for each in self.now if each not in going)
        needed = self._topics(rest)
        asked = {
            market: [topic for topic in topics if topic not in needed.get(market, {})]
            for market, topics in self._topics(going).items()
        }
        self._delivery.go(going, [topic for topics in asked.values() for topic in topics])
        changes: _Asked = []
        try:
            for market, topics in asked.items():
                changes += self._engine.unsubscribe(topics, market)
            self._wait(changes, deadline, "unsubscribe from", until_refused=False)
        finally:
            kept = self._settle(changes)
            stays = [each for each in going if kept & set(self._topics_of(each))]
            self.now = tuple(each for each in self.now if each in rest or each in stays)
        self._raise_refusal(changes)

    def _settle(self, changes: _Asked) -> set[Topic]:
        """Let topics go on that could not be ended, and return them."""
        kept: set[Topic] = set()
        for supervisor, change in changes:
            unsent = supervisor.topics.withdraw(change)
            supervisor.topics.forget(change)
            refused = {topic for topic, error in change.errors.items() if not _is_silent(error)}
            self._delivery.stay(sorted(refused | unsent))
            # Without an answer it is unknown whether rows are missing from now on: so that is
            # reported as a gap, up to the acknowledgement of another subscription.
            unsure = (change.open - unsent) | (change.errors.keys() - refused)
            if unsure and not self._delivery.stopping.is_set():
                self._renew(supervisor, sorted(unsure))
            kept |= refused | unsent | unsure
        return kept

    def _renew(self, supervisor: ConnectionSupervisor, topics: Sequence[Topic]) -> None:
        self._delivery.left(topics)
        again = [each for each in self.now if set(topics) & set(self._topics_of(each))]
        self._delivery.come(again, topics)
        supervisor.topics.forget(supervisor.add(topics))

    # -- answers -----------------------------------------------------------------------------------

    def _begin(self, timeout: float) -> float:
        """Wait for one's turn; return the monotonic time at which the waiting ends."""
        if self._engine.is_called_by_feed:
            raise StreamError(
                f"{self._delivery.name!r} cannot be changed by a function that its feed waits for, "
                "such as one of attach_batches; use attach, or call it from elsewhere"
            )
        deadline = self._clock.monotonic() + timeout
        while not self._changing.acquire(blocking=False):
            self._pause(deadline, "another change of its subscriptions goes on")
        return deadline

    def _wait(self, changes: _Asked, deadline: float, what: str, *, until_refused: bool) -> None:
        """Wait until each topic is answered, or only until one is refused."""
        for supervisor, change in changes:
            while not change.is_done.is_set():
                if until_refused and any(each.errors for _, each in changes):
                    return
                # Such a connection is not tried again: no answer will come.
                if supervisor.state is State.FAILED and supervisor.error is not None:
                    raise supervisor.error
                self._pause(deadline, _why(changes, what))

    def _pause(self, deadline: float, why: str) -> None:
        remaining = deadline - self._clock.monotonic()
        if self._delivery.stopping.is_set():
            raise StreamStopped(f"{self._delivery.name!r} was stopped meanwhile")
        if remaining <= 0:
            raise StreamTimeout(
                f"{self._delivery.name!r} goes on as it was: {why}; try again, or give a longer "
                "timeout="
            )
        interrupts.check()
        self._delivery.stopping.wait(min(_SLICE, remaining))

    @staticmethod
    def _raise_refusal(changes: _Asked) -> None:
        for _, change in changes:
            for error in change.errors.values():
                raise error

    # -- topics ------------------------------------------------------------------------------------

    def _topics_of(self, subscription: Subscription) -> list[Topic]:
        channel, symbol, market = subscription
        return topics_for(channel, symbol, market, self._delivery.feed)

    def _topics(self, subscriptions: Iterable[Subscription]) -> dict[Market, dict[Topic, None]]:
        """List the topics that carry subscriptions, by market, each once and in order."""
        found: dict[Market, dict[Topic, None]] = {}
        for each in subscriptions:
            found.setdefault(each.market, {}).update(dict.fromkeys(self._topics_of(each)))
        return found


def _is_silent(error: StreamError) -> bool:
    """Return whether the exchange gave no answer at all; see ``Conversation.overdue``."""
    return isinstance(error, ServiceBusy) and not error.code


def _why(changes: _Asked, what: str) -> str:
    """Say for which answers the waiting was in vain, and why, as far as that is known."""
    pending = [(supervisor, change) for supervisor, change in changes if change.open]
    asked = f"{what} {_named(sorted(topic for _, each in pending for topic in each.open))}"
    for supervisor, _ in pending:
        if supervisor.held_until is not None:
            return f"no connection could be made yet to {asked}: {supervisor.error}"
    error = next((each.error for each, _ in pending if each.error is not None), None)
    return f"the exchange did not answer: {asked}" + (f" ({error})" if error is not None else "")


def _named(topics: Sequence[Topic]) -> str:
    names = ", ".join(map(str, topics[:_NAMED]))
    return names if len(topics) <= _NAMED else f"{names} and {len(topics) - _NAMED} more"
