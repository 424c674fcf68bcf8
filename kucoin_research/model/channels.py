"""Markets, channels and subscriptions, and how users name them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import StrEnum, unique
from typing import NamedTuple

from kucoin_research.errors import InvalidInput, UnknownChannel, shown
from kucoin_research.model.intervals import ambiguity, parse_interval
from kucoin_research.model.records import (
    CHANNELS,
    PRIVATE_CHANNELS,
    Record,
)

__all__ = [
    "CANDLE_INTERVALS",
    "Channel",
    "Market",
    "Subscription",
    "candle_interval",
    "market_of",
    "parse_channel",
]

# KuCoin WebSocket guides say "depth" for the incremental book.
_ALIASES = {"depth": "level2", "level1": "bbo", "trades": "trade", "candles": "candle"}


CANDLE_INTERVALS: tuple[str, ...] = (
    "1min", "3min", "5min", "15min", "30min", "1hour", "2hour", "4hour", "6hour", "8hour",
    "12hour", "1day", "1week", "1month",
)  # fmt: skip


@unique
class Market(StrEnum):
    """One of KuCoin's two classic products."""

    FUTURES = "futures"
    SPOT = "spot"


def market_of(symbol: str, market: str | None = None) -> Market:
    """Return a symbol's market: spot if it has a hyphen, futures if it has none.

    Parameters
    ----------
    symbol
        As the exchange spells it, for example ``XBTUSDTM`` or ``BTC-USDT``.
    market
        ``"futures"`` or ``"spot"`` overrides the spelling.

    Raises
    ------
    InvalidInput
        If ``market`` is neither of the two.
    """
    if market is None:
        # BTC/USD:BTC-261225 is how ccxt writes a dated contract: it has a hyphen and is no pair.
        return Market.SPOT if "-" in symbol and ":" not in symbol else Market.FUTURES
    name = market.lower() if isinstance(market, str) else ""
    if name not in list(Market):
        raise InvalidInput(f"market must be 'futures' or 'spot', not {shown(market)}")
    return Market(name)


class Channel(NamedTuple):
    """A channel's name, and the interval if it is a candle channel."""

    name: str
    interval: str | None = None

    @property
    def record(self) -> type[Record]:
        """The type of this channel's records."""
        return CHANNELS[self.name]

    @property
    def is_private(self) -> bool:
        """Whether the channel reports on the user's account, and so needs credentials."""
        return self.name in PRIVATE_CHANNELS

    def __str__(self) -> str:
        return f"{self.name}:{self.interval}" if self.interval else self.name


def parse_channel(text: str) -> Channel:
    """Read a channel's name, alias, or ``candle:<interval>``.

    Parameters
    ----------
    text
        For example ``"ticker"``, ``"depth"`` or ``"candle:5min"``; plain ``"candle"`` is 1 min.

    Raises
    ------
    UnknownChannel
        If there is no such channel; the message lists near matches and all names.
    """
    if not isinstance(text, str):
        raise UnknownChannel(
            f"a channel is named by a string, not by {type(text).__name__} {shown(text)}"
        )
    name, colon, interval = text.strip().partition(":")
    name = _ALIASES.get(name.lower(), name.lower())
    if name not in CHANNELS:
        hint = _suggest(name, [*CHANNELS, *_ALIASES])
        raise UnknownChannel(f"no channel {shown(text)}{hint} channels: {', '.join(CHANNELS)}")
    if name != "candle":
        if colon:
            raise UnknownChannel(
                f"channel {name!r} takes no interval, so {shown(text)} means nothing"
            )
        return Channel(name)
    return Channel(name, candle_interval(interval) if colon else "1min")


def candle_interval(written: object) -> str:
    """Return KuCoin's name of a candle's interval, for any spelling of it.

    Raises
    ------
    UnknownChannel
        If KuCoin has no candles of that interval, or the spelling is ambiguous.
    """
    doubt = ambiguity(written, "interval")
    if doubt is not None:
        raise UnknownChannel(doubt)
    try:
        interval = parse_interval(written, "interval").name
    except InvalidInput:
        interval = ""
    if interval in CANDLE_INTERVALS:
        return interval
    word = written.lower() if isinstance(written, str) else shown(written)
    hint = _suggest(word, CANDLE_INTERVALS) if not interval else ";"
    raise UnknownChannel(
        f"no candle interval {shown(written)}{hint} intervals: {', '.join(CANDLE_INTERVALS)}"
    )


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ";"


class Subscription(NamedTuple):
    """One channel of one symbol; a private channel has all symbols (``*``)."""

    channel: Channel
    symbol: str
    market: Market
