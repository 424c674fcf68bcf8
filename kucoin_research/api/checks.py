"""What was asked for, checked before anything but symbol lists is requested."""

from __future__ import annotations

from collections.abc import Iterable

from kucoin_research.errors import (
    CredentialsMissing,
    InvalidInput,
)
from kucoin_research.exchange.credentials import Credentials, environment
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.rest.universe import Universe
from kucoin_research.exchange.topics import Feed, is_offered, topics_for
from kucoin_research.exchange.venues import Venue, refuse_untrusted, resolve_venue
from kucoin_research.foundation.arguments import texts
from kucoin_research.foundation.forking import in_child
from kucoin_research.foundation.late_import import import_late
from kucoin_research.model.channels import (
    Channel,
    Market,
    Subscription,
    market_of,
    parse_channel,
)
from kucoin_research.model.instruments import (
    Instrument,
    check_trading,
)
from kucoin_research.model.records import (
    ALL_SYMBOLS,
)

__all__ = ["Channels", "Symbols", "find_venue", "forget", "plan", "universe"]

Symbols = str | Iterable[str]
Channels = str | Iterable[str]

_universe = Universe()


def universe() -> Universe:
    """Return the symbol lists that all calls of this process share."""
    return _universe


def forget() -> None:
    """Begin with new symbol lists: in a forked child, threads of the parent hold their locks."""
    global _universe
    _universe = Universe()


in_child(forget)


def find_venue(venue: object = None) -> Venue:
    """Find the venue that is meant by an argument, or by the environment and ``.env``.

    Parameters
    ----------
    venue
        ``"live"``, ``"demo"`` (the embedded exchange, started on first use), a ``Venue``, a running
        simulated exchange, or ``None``: ``KUCOIN_FUTURES_URL`` with ``KUCOIN_SPOT_URL``, then
        ``KUCOIN_RESEARCH_VENUE``, then live.

    Raises
    ------
    UnknownVenue
        If it is none of these.
    """
    return resolve_venue(venue, start_demo=_start_demo, environ=environment())


def _start_demo() -> Venue:
    # The exchange takes a quarter of the package's import time, and live sessions need none.
    venue: Venue = import_late("kucoin_research.api.simulated").demo_venue()
    return venue


def plan(
    symbols: Symbols,
    channels: Channels,
    market: str | None,
    rest: Rest,
    feed: Feed,
    credentials: Credentials | None = None,
) -> tuple[list[Subscription], list[Instrument]]:
    """Check everything that was asked for before anything but symbol lists is requested."""
    names = texts(symbols, "symbols")
    wanted = [parse_channel(text) for text in texts(channels, "channels")]
    subscriptions = [
        Subscription(channel, symbol, its_market)
        for symbol in names
        for channel in dict.fromkeys(wanted)
        if channel.name != "status"  # made here, always there
        for its_market in _markets(channel, symbol, market)
    ]
    if not subscriptions:
        raise InvalidInput("channels names only 'status'; add one that the exchange sends")
    for channel, symbol, its_market in subscriptions:
        topics_for(channel, symbol, its_market, feed)
        if feed is Feed.PRO:
            rest.venue.push_url(its_market)
        if channel.is_private:
            _check_credentials(credentials, channel, rest.venue.url(its_market))
    has_public = any(not channel.is_private for channel, _, _ in subscriptions)
    instruments = []
    for symbol in names:
        if symbol == ALL_SYMBOLS:
            continue
        found = _universe.find(rest, symbol, market_of(symbol, market))
        if has_public:  # orders and positions of a paused contract can still change
            check_trading(found)
        instruments.append(found)
    return subscriptions, instruments


def _markets(channel: Channel, symbol: str, market: str | None) -> list[Market]:
    """Give a symbol's market; for all symbols, the markets that have the channel."""
    if symbol != ALL_SYMBOLS:
        return [market_of(symbol, market)]
    if not channel.is_private:
        raise InvalidInput(
            f"'*' stands for all symbols on private channels only; name the symbols of {channel}"
        )
    asked = list(Market) if market is None else [market_of("", market)]
    return [each for each in asked if is_offered(channel, each)] or asked


def _check_credentials(credentials: object, channel: Channel, url: str) -> None:
    if credentials is None:
        raise CredentialsMissing(
            f"channel {channel.name!r} is of your own account: pass "
            "credentials=kr.Credentials.from_env(), or kr.Credentials(key, secret, passphrase)"
        )
    refuse_untrusted(url, "an API key")
