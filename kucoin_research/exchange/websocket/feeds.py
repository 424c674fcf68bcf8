"""The differences between KuCoin's two feeds: the address, the commands, the decoder.

Everything else, from the spacing of commands to the book's rules, is the same code for both.

Source for the pro feed: KuCoin's documentation (https://www.kucoin.com/docs-new, read 2026-11) and
captures of 2026-09: no token, commands with ``action`` and ``channel``, refusals with ``message``
or ``reason``, at most one ping a second, 600 topics per connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from kucoin_research.errors import (
    CommandInvalid,
    LimitExceeded,
    StreamError,
    TopicInvalid,
)
from kucoin_research.exchange.token import Token
from kucoin_research.exchange.topics import SYMBOLS_PER_MESSAGE, Feed, Topic, group_topics
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket.conversation import CLASSIC, Dialect
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decoder, Decodes
from kucoin_research.exchange.websocket.decode_pro import ProDecoder
from kucoin_research.foundation.hidden import Hidden
from kucoin_research.model.channels import Market

__all__ = ["Endpoint", "FeedSpec", "pro_dialect", "spec_of"]

# KuCoin drops a client that pings more than once a second. The network may deliver two pings closer
# together than we sent them, so we leave half a second more.
_PING_SPACING = 1.5


class Endpoint(NamedTuple):
    """The address of a connection, and the seconds between its pings and until a pong is overdue.

    ``speed`` is the speed of the venue's virtual clock, and ``lifetime`` the seconds for which the
    venue keeps a connection. They are None if the venue does not say, or says so in its welcome.
    """

    url: Hidden[str]  # its query may hold a token
    ping_interval: float = 18.0
    ping_timeout: float = 10.0
    speed: float | None = None
    lifetime: float | None = None


class TokenSource(Protocol):
    """A source of tokens: the REST client of a venue is one."""

    @property
    def venue(self) -> Venue:
        """The venue to connect to."""

    def token(self, market: Market, *, private: bool = False) -> Token:
        """Return a token for one connection."""


class FeedSpec(NamedTuple):
    """The parts of a connection that differ between the feeds."""

    # Its last two arguments: whether the connection is private, and the number of failed tries,
    # after which another server may work.
    endpoint: Callable[[TokenSource, Market, bool, int], Endpoint]
    dialect: Callable[[Market], Dialect]
    decoder: Callable[[Market], Decodes]
    topics_per_connection: int


def spec_of(feed: Feed) -> FeedSpec:
    """Return the parts of a feed."""
    return _SPECS[feed]


def _classic_endpoint(rest: TokenSource, market: Market, is_private: bool, tries: int) -> Endpoint:
    token = rest.token(market, private=is_private)
    server = token.servers[tries % len(token.servers)]
    return Endpoint(
        Hidden(token.url(server)),
        server.ping_interval,
        server.ping_timeout,
        token.simulation,
        token.lifetime,
    )


def _pro_endpoint(rest: TokenSource, market: Market, _is_private: bool, _tries: int) -> Endpoint:
    return Endpoint(Hidden(rest.venue.push_url(market)))


def _group_pro(topics: Iterable[Topic]) -> list[list[Topic]]:
    # Only the ticker takes a list of symbols.
    return [
        part
        for group in group_topics(topics, SYMBOLS_PER_MESSAGE)
        for part in ([group] if group[0].prefix == "ticker" else [[topic] for topic in group])
    ]


def pro_dialect(market: Market) -> Dialect:
    """Return the pro feed's dialect on a market's socket."""

    def command(identity: str, kind: str, topics: Sequence[Topic]) -> str:
        channel, _, depth = topics[0].prefix.partition("/")
        fields: dict[str, object] = {
            "id": identity,
            "action": kind.upper(),
            "channel": channel,
            "tradeType": market.upper(),
        }
        symbols = [topic.key for topic in topics]
        if channel == "kline":
            symbols[0], _, fields["interval"] = symbols[0].rpartition("_")
        fields |= {"symbol": symbols[0]} if len(symbols) == 1 else {"symbols": symbols}
        if depth:
            fields["depth"] = depth
        return msgspec.json.encode(fields).decode()

    return Dialect(_group_pro, command, pro_error, _PING_SPACING)


_REFUSALS: tuple[tuple[str, type[StreamError], str], ...] = (
    ("not supported", TopicInvalid, "check the symbol's spelling"),
    ("not allowed", TopicInvalid, "that channel is not served on this market's socket"),
    ("exceed", LimitExceeded, "stream fewer symbols on one connection"),
    ("invalid request", CommandInvalid, "the exchange does not know this command"),
)


def pro_error(message: ControlMessage, topics: Sequence[Topic] = ()) -> StreamError:
    """Turn a refusal into the exception that names the fault and its remedy.

    Parameters
    ----------
    message
        The answer; its text is the exchange's ``message`` or ``reason``.
    topics
        The topics of our request, if it answers one.
    """
    kind, fix = next(
        ((kind, fix) for words, kind, fix in _REFUSALS if words in message.text),
        (StreamError, "see KuCoin's documentation"),
    )
    more = f" and {len(topics) - 1} more" if len(topics) > 1 else ""
    subject = f" for {topics[0]}{more}" if topics else ""
    return kind(f"KuCoin answered {message.text!r}{subject}: {fix}", code=message.code or 0)


_SPECS: dict[Feed, FeedSpec] = {
    # KuCoin allows 400 topics on a spot connection. It documents no limit on futures; 300 has been
    # seen there. We stay below both, so that subscriptions can be added later.
    Feed.CLASSIC: FeedSpec(_classic_endpoint, lambda _: CLASSIC, Decoder, 280),
    Feed.PRO: FeedSpec(_pro_endpoint, pro_dialect, ProDecoder, 560),
}
