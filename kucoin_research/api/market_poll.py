"""Asks an exchange for the figures of all symbols, again and again, on threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from kucoin_research.api.errand import Errand
from kucoin_research.api.live_prices import LivePrices
from kucoin_research.api.market_board import MarketBoard
from kucoin_research.errors import BadReply, StreamStopped
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market

__all__ = ["FACTS_EVERY", "FASTEST", "MarketPoll"]

#: Seconds between two calls for all prices, at least, by market. KuCoin takes 5 units of a quota of
#: 2,000 per 30 s for them on futures, and 15 on spot (rate limits, read 2026-11): at this pace a
#: screener needs a sixth of the quota at most.
FASTEST = {Market.FUTURES: 0.5, Market.SPOT: 1.5}
#: Seconds between two calls for the other figures, which take 3 units on futures and 15 on spot.
FACTS_EVERY = {Market.FUTURES: 5.0, Market.SPOT: 15.0}
_LOOK_AT_STREAM = 2.0  # s


class MarketPoll:
    """Keeps a board up to date, by two calls for all symbols.

    Parameters
    ----------
    venue, market
        Where, and what.
    board
        Receives what comes.
    every
        Seconds between two calls for the prices.
    is_live
        Whether the best prices are streamed, too.

    Notes
    -----
    Nothing is asked before `start` or `fetch`. Every method may be called from any thread.
    """

    def __init__(
        self, venue: Venue, market: Market, board: MarketBoard, every: float, *, is_live: bool
    ) -> None:
        self._clock = clock = clocks.current()
        self._venue, self._market, self._board = venue, market, board
        self._ending = clock.event()
        self._lock = threading.Lock()  # guards _rests
        self._rests = {Rest(venue, clock=clock)}
        (rest,) = self._rests
        self._live = LivePrices(venue, market, board) if is_live else None
        errand = partial(Errand, clock=clock, ending=self._ending)
        self._facts = errand("statistics", FACTS_EVERY[market], partial(self._renew_facts, rest))
        self._prices = errand("prices", every, partial(self._ask_prices, rest))
        self._errands = [self._facts, self._prices]
        if self._live is not None:
            self._errands.append(errand("stream", _LOOK_AT_STREAM, self._live.keep))

    def start(self) -> None:
        """Ask from now on; nothing happens if it does already, or was closed."""
        self._facts.start()  # the list first: it says which symbols exist
        for each in self._errands:
            if each.was_started or self._board.has_symbols:
                each.start()

    @property
    def is_running(self) -> bool:
        """Whether it asks by itself, and no unexpected error has ended any of it."""
        return self._facts.is_running and not any(each.has_crashed for each in self._errands)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._ending.is_set()

    def fetch(self) -> None:
        """Ask once for everything, in the calling thread, and leave no connection behind.

        Raises
        ------
        KucoinResearchError
            If a call fails.
        """
        with self._rest_for_once() as rest:
            self._facts.attempt(partial(self._ask_facts, rest))
            self._prices.attempt(partial(self._ask_prices, rest))

    def close(self, timeout: float = 5.0) -> None:
        """End the calls, and the threads; may be called twice."""
        with self._lock:
            self._ending.set()
            rests = list(self._rests)
        for rest in rests:
            rest.close()
        if self._live is not None:
            self._live.close()
        deadline = self._clock.monotonic() + timeout
        for each in self._errands:
            each.join(max(0.0, deadline - self._clock.monotonic()))

    @property
    def pace(self) -> str:
        """How often it asks, in words."""
        if not self.is_running:
            return "asked once" if self._board.has_symbols else "not asked yet"
        asked = f"prices every {self._prices.every:g} s, statistics every {self._facts.every:g} s"
        return asked if self._live is None else f"best prices streamed; {asked}"

    @property
    def troubles(self) -> list[str]:
        """The calls that fail now or are late, each in a sentence."""
        return [trouble for each in self._errands if (trouble := each.trouble)]

    @contextmanager
    def _rest_for_once(self) -> Iterator[Rest]:
        with Rest(self._venue, clock=self._clock) as rest:
            with self._lock:
                if self._ending.is_set():
                    raise StreamStopped("this screener was closed; make another one")
                self._rests.add(rest)
            try:
                yield rest
            finally:
                with self._lock:
                    self._rests.discard(rest)

    def _renew_facts(self, rest: Rest) -> None:
        self._ask_facts(rest)
        for each in self._errands:
            if not each.was_started:
                each.start()

    def _ask_facts(self, rest: Rest) -> None:
        listed = rest.market_facts(self._market)
        if not listed:
            # A board without rows would look like a market without symbols; this is a fault.
            raise BadReply(f"{self._venue.name} lists no {self._market} symbols")
        self._board.take_facts(listed)

    def _ask_prices(self, rest: Rest) -> None:
        self._board.take_prices(rest.tickers(self._market))
