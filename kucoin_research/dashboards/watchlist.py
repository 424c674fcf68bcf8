"""The symbols that a dashboard's stream carries: the one that is shown, and some of before.

A symbol that was looked at goes on behind for a while, so that coming back to it finds no gap.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kucoin_research.errors import ChannelNotOffered, KucoinResearchError
from kucoin_research.exchange.topics import Feed, topics_for
from kucoin_research.model.channels import Market, Subscription, market_of, parse_channel
from kucoin_research.streaming.stream import Stream

__all__ = ["MOST_PINS", "MOST_WATCHED", "Change", "Watchlist", "offered"]

log = logging.getLogger(__name__)

#: Symbols that stream at once, the one that is shown included, unless a recording goes on.
MOST_WATCHED = 4
#: Symbols of a watch list, at most.
MOST_PINS = 50

# Seconds that the exchange may take to answer: a press holds up the kernel meanwhile.
_ANSWER = 5.0


def offered(channels: Iterable[str], market: str, feed: Feed) -> list[str]:
    """Return those of some channels that the exchange has on a market."""
    found = []
    for name in channels:
        try:
            topics_for(parse_channel(name), "", Market(market), feed)
        except KucoinResearchError:
            continue
        found.append(name)
    return found


class Change(NamedTuple):
    """Symbols that a stream carries no more, for a line below the charts.

    Attributes
    ----------
    given_up
        Symbols whose rows have ended.
    left
        Why the exchange has not ended all unwanted topics; None if it has. The next change asks for
        it again.
    """

    given_up: tuple[str, ...] = ()
    left: KucoinResearchError | None = None


class Watchlist:
    """Subscribes a running stream to what a dashboard shows, and unsubscribes what it need not.

    Parameters
    ----------
    stream
        Carries one symbol yet.
    symbol
        That symbol.
    channels
        Its channels.
    pins
        Symbols of a watch list, which are never given up.

    Attributes
    ----------
    stream
        The stream.
    symbols
        Those that stream now; the last one was looked at last. One that could not be given up is
        still among them.
    pins
        Symbols that are not given up.
    channels
        Those that were chosen last, as far as a market has them.

    Notes
    -----
    One thread at a time may use it.
    """

    def __init__(
        self, stream: Stream, symbol: str, channels: Sequence[str], pins: Sequence[str] = ()
    ) -> None:
        self.stream = stream
        self._markets = {each.symbol: str(each.market) for each in stream.subscriptions}
        self.symbols = [*(each for each in self._markets if each != symbol), symbol]
        self.channels = list(channels)
        self.pins = list(pins)

    def complete(self) -> None:
        """Stream the symbols of the watch list that do not stream yet, each on its market.

        Raises
        ------
        ChannelNotOffered
            If a symbol's market has none of the channels.
        KucoinResearchError
            As ``Stream.subscribe`` does; what streams goes on, none is added.
        """
        missing = [each for each in self.pins if each not in self.symbols]
        markets = {**self._markets, **{each: str(market_of(each)) for each in missing}}
        for each in missing:
            if not offered(self.channels, markets[each], self.stream.feed):
                raise ChannelNotOffered(_none_is_offered(each, markets[each], self.channels))
        if missing:
            self._subscribe(missing, markets, self.channels)
            self.symbols, self._markets = [*missing, *self.symbols], markets

    def give_up(self, symbols: Sequence[str]) -> Change:
        """End symbols that have left the watch list; the one that is shown goes on.

        They must not be pins any more.
        """
        given_up = [each for each in self.symbols[:-1] if each in symbols]
        if not given_up:
            return Change()
        try:
            self.stream.unsubscribe(given_up, timeout=_ANSWER)
        except KucoinResearchError as error:
            return Change((), error)
        self.symbols = [each for each in self.symbols if each not in given_up]
        return Change(tuple(given_up))

    def watch(
        self, symbol: str, market: str | None, channels: Sequence[str], *, keeps_all: bool
    ) -> Change:
        """Stream a symbol, and those channels of all symbols; return the symbols given up for it.

        Parameters
        ----------
        symbol, market
            To be shown now.
        channels
            Of all symbols, as far as their market has them.
        keeps_all
            Give up no symbol, because a recording would lack it.

        Raises
        ------
        ChannelNotOffered
            If the symbol's market has none of the channels; everything is as it was.
        KucoinResearchError
            As ``Stream.subscribe`` does; what streamed before goes on, and is still shown.
        """
        markets = {**self._markets, symbol: market or str(market_of(symbol))}
        if not offered(channels, markets[symbol], self.stream.feed):
            raise ChannelNotOffered(_none_is_offered(symbol, markets[symbol], channels))
        order = [*(each for each in self.symbols if each != symbol), symbol]
        kept = order if keeps_all else self._kept(order)
        self._subscribe(kept, markets, channels)
        given_up = [each for each in order if each not in kept]
        self.symbols, self._markets, self.channels = order, markets, list(channels)
        try:
            if given_up:
                self.stream.unsubscribe(given_up, timeout=_ANSWER)
                self.symbols = kept
            self._unsubscribe(kept, channels)
        except KucoinResearchError as error:
            # The symbol that was asked for streams: that the exchange does not end another one is
            # no reason not to show it.
            return Change(tuple(each for each in given_up if each not in self.symbols), error)
        return Change(tuple(given_up))

    def _kept(self, order: Sequence[str]) -> list[str]:
        by_turn = [each for each in order if each not in self.pins][-MOST_WATCHED:]
        return [each for each in order if each in self.pins or each in by_turn]

    def _subscribe(
        self, symbols: Sequence[str], markets: dict[str, str], channels: Sequence[str]
    ) -> None:
        added: list[Subscription] = []
        try:
            for market in dict.fromkeys(markets[each] for each in symbols):
                its = [each for each in symbols if markets[each] == market]
                wanted = offered(channels, market, self.stream.feed)
                if wanted:
                    added += self.stream.subscribe(its, wanted, market=market, timeout=_ANSWER)
        except KucoinResearchError:
            self._take_back(added, markets)
            raise

    def _take_back(self, added: Iterable[Subscription], markets: dict[str, str]) -> None:
        """End subscriptions of one market, as the other one has refused the rest."""
        for symbol in dict.fromkeys(each.symbol for each in added):
            its = [str(each.channel) for each in added if each.symbol == symbol]
            try:
                self.stream.unsubscribe(symbol, its, timeout=_ANSWER)
            except KucoinResearchError as error:
                log.warning("%s of %s streams on unasked: %s", ", ".join(its), symbol, error)
                if symbol not in self.symbols:  # it is the next to be given up
                    self.symbols.insert(0, symbol)
                    self._markets[symbol] = markets[symbol]

    def _unsubscribe(self, symbols: Sequence[str], channels: Sequence[str]) -> None:
        wanted = {parse_channel(each) for each in channels}
        unwanted = dict.fromkeys(
            str(each.channel)
            for each in self.stream.subscriptions
            if each.symbol in symbols and each.channel not in wanted
        )
        if unwanted:
            self.stream.unsubscribe(symbols, list(unwanted), timeout=_ANSWER)

    def summary(self, change: Change | None = None) -> str:
        """Describe in a line what streams now, and what does not any more."""
        *behind, shown = self.symbols
        market = self._markets[shown]
        here = offered(self.channels, market, self.stream.feed)
        parts = [f"streaming {shown}: {', '.join(here)}"]
        lacking = [each for each in self.channels if each not in here]
        if lacking:
            parts.append(f"{_are(lacking)} not on {market}")
        pinned = sum(each in self.pins for each in behind)
        if pinned:
            parts.append(f"{pinned} more of the watch list")
        looked_at = [each for each in behind if each not in self.pins]
        if looked_at:
            goes = "goes" if len(looked_at) == 1 else "go"
            parts.append(f"{', '.join(looked_at)} {goes} on behind")
        given_up, left = change or Change()
        if given_up:
            parts.append(f"{', '.join(given_up)} no longer ({MOST_WATCHED} at most)")
        if left is not None:
            parts.append(f"the next press tries again to end what is not wanted: {left}")
        return "; ".join(parts)


def _none_is_offered(symbol: str, market: str, channels: Sequence[str]) -> str:
    return (
        f"nothing would stream {symbol}: {_are(channels)} not on {market}; "
        "switch on another channel first"
    )


def _are(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
