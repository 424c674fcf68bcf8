"""What the exchange answers to subscriptions, and which of them are asked for again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from kucoin_research.errors import (
    LimitExceeded,
    ServiceBusy,
    StreamError,
    TopicInvalid,
    TopicNotFound,
)
from kucoin_research.exchange.topics import Topic, topics_for
from kucoin_research.exchange.websocket.conversation import (
    Acknowledged,
    Conversation,
    Event,
    ExchangeSpoke,
    Kept,
    Refused,
    Unsubscribed,
)
from kucoin_research.model.channels import Channel, Market
from kucoin_research.streaming.keeper import Keeper
from kucoin_research.streaming.link import Link
from kucoin_research.streaming.wanted_topics import WantedTopics

__all__ = ["TopicAnswers"]

# A subscription that the exchange was too busy for is asked for again this much later.
_BUSY_INTERVAL = 60.0


class TopicAnswers:
    """Keeps the exchange's answers to one supervisor's subscriptions.

    Parameters
    ----------
    keeper
        The stream; it learns of acknowledgements and refusals.
    market, topics
        Of the supervisor.

    Attributes
    ----------
    answered
        The topics that were ever answered, on any connection.
    refusal
        Why a topic of this connection does not come.

    Notes
    -----
    ``resubscribe`` and ``book_topics`` may be called from any thread; the others are for the thread
    that owns the connection.
    """

    def __init__(self, keeper: Keeper, market: Market, topics: WantedTopics) -> None:
        self.answered: set[Topic] = set()
        self.refusal: StreamError | None = None
        self._keeper = keeper
        self._clock = keeper.clock
        self._market = market
        self._topics = topics
        self._afresh: deque[str] = deque()  # symbols whose book must be subscribed to again
        self._busy: set[Topic] = set()  # refused, but may be had later
        self._retry_busy_at = 0.0  # monotonic seconds

    def restart(self) -> None:
        """Forget the answers that belonged to the last connection."""
        self._afresh.clear()
        self.refusal = None
        self._busy.clear()

    def resubscribe(self, symbol: str) -> None:
        """Have a book's topic subscribed to again, if it is one of this supervisor's."""
        if self.book_topics(symbol):
            self._afresh.append(symbol)

    def book_topics(self, symbol: str) -> list[Topic]:
        """List the topics of this supervisor that bring a symbol's book."""
        wanted = topics_for(Channel("level2"), symbol, self._market, self._keeper.feed)
        return [topic for topic in wanted if topic in self._topics.all]

    def ask_again(self, conversation: Conversation, now: float) -> None:
        """Subscribe again to topics that were refused for a while, and to books that need it."""
        if self._busy and now >= self._retry_busy_at:
            self._retry_busy_at = now + _BUSY_INTERVAL
            self._busy.intersection_update(self._topics.all)
            conversation.subscribe(self._busy)
        while self._afresh:
            conversation.resubscribe(self.book_topics(self._afresh.popleft()))

    def handle(self, link: Link, events: Iterable[Event]) -> None:
        """Take what the exchange says on a connection."""
        for event in events:
            if isinstance(event, Refused):
                self.answered.update(event.topics)
                self._on_refused(link, event)
            elif isinstance(event, Unsubscribed):
                self._keeper.left(event.topics)
                self._topics.left(event.topics)
            elif isinstance(event, Kept):
                self._on_kept(link, event)
            elif isinstance(event, ExchangeSpoke):
                # Reported only. If a disconnection follows, that is the error of the stream.
                self._keeper.note("error", str(event.error))
            elif isinstance(event, Acknowledged):
                self.answered.update(event.topics)
                self._keeper.acknowledged(event.topics)
                self._on_accepted(event.topics)
                self._topics.accepted(event.topics)

    def _on_kept(self, link: Link, event: Kept) -> None:
        kept = self._topics.kept(event.topics, event.error)
        link.asked |= kept
        if kept != frozenset(event.topics):
            self._keeper.note("error", str(event.error))

    def _on_refused(self, link: Link, event: Refused) -> None:
        if len(event.topics) > 1 and isinstance(event.error, (TopicInvalid, TopicNotFound)):
            # One bad topic refuses its whole message: ask for each by itself.
            for topic in event.topics:
                link.conversation.subscribe([topic])
            return
        # Those that a running stream was to take besides: it goes on as it was, without them.
        added = self._topics.refused(event.topics, event.error)
        link.asked -= added
        own = [topic for topic in event.topics if topic not in added]
        if not own:
            return
        self.refusal = event.error
        if isinstance(event.error, ServiceBusy | LimitExceeded):
            self._busy.update(own)
            self._retry_busy_at = self._clock.monotonic() + _BUSY_INTERVAL
        self._keeper.note("refused", str(event.error))

    def _on_accepted(self, topics: Iterable[Topic]) -> None:
        if self._busy:
            self._busy.difference_update(topics)
            if not self._busy and isinstance(self.refusal, ServiceBusy | LimitExceeded):
                self.refusal = None
