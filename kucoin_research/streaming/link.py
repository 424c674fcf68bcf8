"""An open connection with its conversation, and how one is opened."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from kucoin_research.errors import ConnectionLost, NetworkError
from kucoin_research.exchange.topics import Topic
from kucoin_research.exchange.websocket.connection import Connection, open_hidden, query_of
from kucoin_research.exchange.websocket.conversation import Conversation, Event
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decodes
from kucoin_research.exchange.websocket.feeds import FeedSpec
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.hidden import Hidden, masked
from kucoin_research.model.channels import Market
from kucoin_research.streaming.keeper import Keeper
from kucoin_research.streaming.wanted_topics import WantedTopics

__all__ = ["OPEN_TIMEOUT", "Link", "LinkOpener"]

#: Seconds that opening a connection may take.
OPEN_TIMEOUT = 10.0


class Link:
    """An open connection with its conversation.

    Attributes
    ----------
    opened_at
        Monotonic seconds.
    settled_ns
        When every subscription had been answered, ns UTC; ``None`` before.
    idle_since
        Since when nothing is wanted of it, monotonic seconds; ``None`` while something is.
    asked
        The topics that the exchange was asked for, less those that were taken back. Replaced as a
        whole, so any thread may read it.
    """

    def __init__(
        self,
        connection: Connection,
        conversation: Conversation,
        decoder: Decodes,
        *,
        asked: Iterable[Topic],
        lifetime: float | None,
        opened_at: float,
        secrets: Sequence[Hidden[str]] = (),
    ) -> None:
        self.connection = connection
        self.conversation = conversation
        self.decoder = decoder
        self.opened_at = opened_at
        self.settled_ns: int | None = None
        self.idle_since: float | None = None
        self.asked = frozenset(asked)
        self._lifetime = lifetime  # from the token reply
        self._secrets = secrets  # of its address: a server may repeat them in its messages

    @property
    def lifetime(self) -> float | None:
        """Seconds for which the venue keeps it, if the venue says so."""
        return self._lifetime or self.conversation.lifetime

    def speak(self, now: float) -> list[Event]:
        """Send the texts that are due; return the subscriptions that were not answered in time."""
        try:
            for text in self.conversation.due(now):
                self.connection.send(text)
        except NetworkError as error:
            self._mask(error)
            raise
        return self.conversation.overdue(now)

    def align(self, wanted: Iterable[Topic], again: Iterable[Topic] = ()) -> bool:
        """Ask for topics that are wanted now, and take others back; return whether there were.

        Those of ``again`` are subscribed to anew, even if they were asked for before.
        """
        wanted = frozenset(wanted)
        if afresh := self.asked.intersection(wanted, again):
            self.conversation.resubscribe(sorted(afresh))
        if wanted == self.asked:
            return False
        asked, self.asked = self.asked, wanted
        if asked - wanted:
            self.conversation.unsubscribe(sorted(asked - wanted))
        if wanted - asked:
            self.conversation.subscribe(sorted(wanted - asked))
        return True

    def listen(self, slice_: float) -> list[bytes]:
        """Wait for messages, at most this many seconds."""
        try:
            return self.connection.receive(slice_)
        except NetworkError as error:  # it quotes why the peer has closed
            self._mask(error)
            raise

    def hear(self, control: ControlMessage, now: float) -> list[Event]:
        """Take a message of the conversation; return the events that follow from it."""
        if control.text:
            control = control._replace(text=masked(control.text, self._secrets))
        return self.conversation.receive(control, now)

    def _mask(self, error: NetworkError) -> None:
        error.args = tuple(masked(str(each), self._secrets) for each in error.args)

    def rest(self) -> Iterator[list[bytes]]:
        """Yield the messages that have arrived and were not read yet."""
        read = -1
        while read != self.connection.bytes_received:
            read = self.connection.bytes_received
            try:
                yield self.listen(0.0)
            except NetworkError:
                return

    def close(self, *, is_polite: bool = True) -> None:
        """Close it; a polite one waits a second for the peer to answer."""
        if is_polite:
            self.connection.close()
        else:
            self.connection.close(timeout=0.0)


class LinkOpener:
    """Opens the connections of one supervisor, and can end all of them from any thread.

    Parameters
    ----------
    keeper
        The stream.
    market, topics, spec
        Where to connect, the topics to subscribe to, and the protocol.

    Attributes
    ----------
    is_private, most_topics
        Whether its connections may carry private topics, and how many topics.
    has_opened
        Whether any connection has ever been open.
    simulation
        The speed of the venue's virtual clock; ``None`` if it runs in real time.
    tries
        Connections tried since the last one came into force; each try takes the next of the
        exchange's servers.
    """

    def __init__(
        self,
        keeper: Keeper,
        market: Market,
        topics: WantedTopics,
        spec: FeedSpec,
        *,
        is_private: bool,
    ) -> None:
        self.has_opened = False
        self.simulation: float | None = None
        self.tries = 0
        self._keeper = keeper
        self._clock = keeper.clock
        self._market = market
        self._topics = topics
        self._spec = spec
        self.is_private = is_private
        self.most_topics = spec.topics_per_connection
        self._lock = threading.Lock()  # guards the two below against `abort`
        self._opening: set[Bound] = set()
        self._opened: set[Connection] = set()

    def open(self) -> Link:
        """Take a token, connect, and begin to talk."""
        endpoint = self._spec.endpoint(self._keeper.rest, self._market, self.is_private, self.tries)
        self.tries += 1
        self.simulation = endpoint.speed or self.simulation
        connection = self._connect(endpoint.url)
        self.has_opened = True
        asked = self._topics.all
        conversation = Conversation(
            asked,
            self._clock.monotonic(),
            ping_interval=endpoint.ping_interval,
            ping_timeout=endpoint.ping_timeout,
            dialect=self._spec.dialect(self._market),
        )
        return Link(
            connection,
            conversation,
            self._spec.decoder(self._market),
            asked=asked,
            lifetime=endpoint.lifetime,
            opened_at=self._clock.monotonic(),
            secrets=query_of(endpoint.url),
        )

    def _connect(self, url: Hidden[str]) -> Connection:
        bound = Bound(self._clock, OPEN_TIMEOUT)
        with self._lock:
            self._opening.add(bound)
        try:
            # Checked after the bound was registered. So either stop() finds the bound and cuts it,
            # or this finds that the stream is stopping; otherwise stop() would wait for a connect.
            if self._keeper.stopping.is_set():
                raise ConnectionLost("the stream was stopped")
            connection = open_hidden(url, timeout=OPEN_TIMEOUT, clock=self._clock, bound=bound)
            with self._lock:
                self._opened.add(connection)
        finally:
            with self._lock:
                self._opening.discard(bound)
        return connection

    def close(self, link: Link, *, is_polite: bool = True) -> None:
        """Close a connection; a polite one waits a second for the peer to answer."""
        with self._lock:
            self._opened.discard(link.connection)
        link.close(is_polite=is_polite)

    def abort(self) -> None:
        """End every connection now, also those that are being opened."""
        with self._lock:
            for bound in self._opening:
                bound.cut()
            for connection in self._opened:
                connection.abort()

    def disown(self) -> None:
        """Forget connections and the lock in a forked child."""
        self._lock = threading.Lock()
        self._opening, self._opened = set(), set()
