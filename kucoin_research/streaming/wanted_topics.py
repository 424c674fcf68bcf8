"""The topics that one connection is to carry, and the changes of them that are not answered yet.

Any thread may ask for a change. The thread of the connection compares the topics that are wanted
with those that it has asked the exchange for, and sends the commands between them. So a connection
that is made meanwhile, after a loss or as a successor, subscribes to exactly the present topics.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable

from kucoin_research.errors import StreamError
from kucoin_research.exchange.topics import Topic
from kucoin_research.foundation import clocks

__all__ = ["TopicChange", "WantedTopics"]


class TopicChange:
    """Topics that were added or removed, until the exchange has answered each.

    Attributes
    ----------
    is_done
        Set once each topic is answered.
    errors
        Why topics were refused, or could not be taken back.
    """

    def __init__(self, topics: Iterable[Topic], clock: clocks.Clock) -> None:
        self.is_done = clock.event()
        self.errors: dict[Topic, StreamError] = {}
        self._open = set(topics)
        if not self._open:
            self.is_done.set()

    @property
    def open(self) -> frozenset[Topic]:
        """The topics without an answer."""
        return frozenset(self._open)

    def answer(self, topics: Collection[Topic], error: StreamError | None = None) -> set[Topic]:
        """Note an answer; return the topics of this change that it was about."""
        answered = self._open.intersection(topics)
        if error is not None:
            self.errors |= dict.fromkeys(answered, error)
        self._open -= answered
        if not self._open:
            self.is_done.set()
        return answered


class WantedTopics:
    """Keeps the topics of one supervisor, and the changes that wait for the exchange.

    Parameters
    ----------
    topics
        Wanted from the beginning.
    clock
        The time that waiting threads live in.

    Attributes
    ----------
    all
        The topics that are wanted now, in order. Replaced as a whole, so any thread may read it.

    Notes
    -----
    Every method may be called from any thread.
    """

    def __init__(self, topics: Iterable[Topic], clock: clocks.Clock) -> None:
        self.all: tuple[Topic, ...] = tuple(topics)
        self._clock = clock
        self._lock = threading.Lock()  # guards all of these
        self._adding: list[TopicChange] = []
        self._removing: list[TopicChange] = []
        self._untold: set[Topic] = set()  # removed since the connection's thread has looked last
        self._is_connected = False

    # -- wishes ------------------------------------------------------------------------------------

    def add(self, topics: Collection[Topic]) -> TopicChange:
        """Want further topics, on this connection or the next one."""
        change = TopicChange(topics, self._clock)
        with self._lock:
            self.all = tuple(dict.fromkeys((*self.all, *topics)))
            self._adding.append(change)
        return change

    def remove(self, topics: Collection[Topic]) -> tuple[TopicChange, bool]:
        """Want topics no longer.

        Returns the change, and whether a connection has to be asked. Without one the change is done
        at once, as the next connection does not subscribe to them.
        """
        change = TopicChange(topics, self._clock)
        with self._lock:
            self.all = tuple(each for each in self.all if each not in topics)
            self._untold.update(topics)
            if self._is_connected:
                self._removing.append(change)
                return change, True
        change.answer(topics)
        return change, False

    def forget(self, change: TopicChange) -> None:
        """Wait no longer for the answers to a change; the topics stay as it has made them."""
        with self._lock:
            self._adding = [each for each in self._adding if each is not change]
            self._removing = [each for each in self._removing if each is not change]

    def withdraw(self, change: TopicChange) -> frozenset[Topic]:
        """Take a removal back as far as the exchange was not asked; return those topics."""
        with self._lock:
            if change not in self._removing:
                return frozenset()
            back = change.open & self._untold
            self._untold -= back
            self.all = tuple(dict.fromkeys((*self.all, *sorted(back))))
        return back

    # -- answers, on the thread of the connection --------------------------------------------------

    def take(self) -> tuple[tuple[Topic, ...], frozenset[Topic]]:
        """Return the topics that are wanted, and those that were removed and added meanwhile.

        The connection has the latter already, but an acknowledgement is waited for.
        """
        with self._lock:
            again = self._untold.intersection(self.all)
            self._untold.clear()
            return self.all, frozenset(again)

    def connected(self) -> None:
        """Note that there is a connection, which can be asked."""
        with self._lock:
            self._is_connected = True

    def disconnected(self) -> list[TopicChange]:
        """Note that the connection is gone; return the removals that it has not answered.

        No connection carries their topics any more. The caller accounts for them, and answers.
        """
        with self._lock:
            self._is_connected = False
            removing, self._removing = self._removing, []
        return removing

    def accepted(self, topics: Collection[Topic]) -> None:
        """Note that the exchange has accepted subscriptions."""
        with self._lock:
            for change in self._adding:
                change.answer(topics)
            self._adding = _unanswered(self._adding)

    def refused(self, topics: Collection[Topic], error: StreamError) -> frozenset[Topic]:
        """Note a refusal; return the topics that were to be added, and are wanted no longer."""
        added: set[Topic] = set()
        with self._lock:
            for change in self._adding:
                added |= change.answer(topics, error)
            self._adding = _unanswered(self._adding)
            self.all = tuple(each for each in self.all if each not in added)
        return frozenset(added)

    def left(self, topics: Collection[Topic]) -> None:
        """Note that the exchange has accepted unsubscriptions."""
        with self._lock:
            for change in self._removing:
                change.answer(topics)
            self._removing = _unanswered(self._removing)

    def kept(self, topics: Collection[Topic], error: StreamError) -> frozenset[Topic]:
        """Note that topics cannot be taken back; return those that are wanted again."""
        kept: set[Topic] = set()
        with self._lock:
            for change in self._removing:
                kept |= change.answer(topics, error)
            self._removing = _unanswered(self._removing)
            self.all = tuple(dict.fromkeys((*self.all, *(t for t in topics if t in kept))))
        return frozenset(kept)

    def disown(self) -> None:
        """Forget the lock in a forked child: another thread may have held it."""
        self._lock = threading.Lock()


def _unanswered(changes: Iterable[TopicChange]) -> list[TopicChange]:
    return [each for each in changes if each.open]
