"""Asks an exchange for the figures of all symbols, again and again, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from kucoin_research.api.live_prices import LivePrices
from kucoin_research.api.market_board import MarketBoard
from kucoin_research.errors import KucoinResearchError, StreamStopped
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market

__all__ = ["FACTS_EVERY", "FASTEST", "MarketPoll"]

log = logging.getLogger(__name__)

#: Seconds between two calls for all prices, at least, by market. KuCoin takes 5 units of a quota of
#: 2,000 per 30 s for them on futures, and 15 on spot (rate limits, read 2026-11): at this pace a
#: screener needs a sixth of the quota at most.
FASTEST = {Market.FUTURES: 0.5, Market.SPOT: 1.5}
#: Seconds between two calls for the other figures, which take 3 units on futures and 15 on spot.
FACTS_EVERY = {Market.FUTURES: 5.0, Market.SPOT: 15.0}
_LONGEST_WAIT = 30.0  # s after failures, which double the wait
_LOOK_AT_STREAM = 2.0  # s


@dataclass
class _Errand:
    """One repeated call: when it is due, and how it went."""

    name: str
    every: float
    call: Callable[[], None]
    due: float = 0.0
    failures: int = 0
    error: str = ""

    def run(self, now: float) -> None:
        """Make the call, and decide when the next one is due."""
        try:
            self.call()
            self.failures, self.error = 0, ""
        except StreamStopped:
            return  # the screener was closed meanwhile
        except KucoinResearchError as error:
            if str(error) != self.error:  # once for an outage
                log.warning("a screener's %s could not be had: %s", self.name, error)
            self.failures, self.error = self.failures + 1, str(error)
        self.due = now + self.wait

    @property
    def wait(self) -> float:
        """Seconds from one call to the next; failures double them."""
        return min(self.every * 2.0**self.failures, max(_LONGEST_WAIT, self.every))


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
        self._rest = Rest(venue, clock=clock)
        self._market, self._board = market, board
        self._facts = _Errand("statistics", FACTS_EVERY[market], self._ask_facts)
        self._prices = _Errand("prices", every, self._ask_prices)
        self._live = LivePrices(venue, market, board) if is_live else None
        self._errands = [self._facts, self._prices]  # the list first: it says which symbols exist
        if self._live is not None:
            self._errands.append(_Errand("stream", _LOOK_AT_STREAM, self._live.keep))
        self._ending = clock.event()
        self._lock = threading.Lock()  # guards _thread
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Ask from now on; nothing happens if it does already, or was closed."""
        with self._lock:
            if self._thread is None and not self._ending.is_set():
                self._thread = self._clock.thread(self._run, f"kucoin-screener-{self._market}")
                self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it asks by itself."""
        return self._thread is not None and not self._ending.is_set()

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._ending.is_set()

    def fetch(self) -> None:
        """Ask once for everything, in the calling thread.

        Raises
        ------
        KucoinResearchError
            If a call fails.
        """
        self._ask_facts()
        self._ask_prices()

    def close(self, timeout: float = 5.0) -> None:
        """End the calls, and the thread; may be called twice."""
        self._ending.set()
        self._rest.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if self._live is not None:
            self._live.close()

    @property
    def pace(self) -> str:
        """How often it asks, in words."""
        if not self.is_running:
            return "asked once" if self._board.has_symbols else "not asked yet"
        asked = f"prices every {self._prices.every:g} s, statistics every {self._facts.every:g} s"
        return asked if self._live is None else f"best prices streamed; {asked}"

    @property
    def troubles(self) -> list[str]:
        """The calls that fail now, each in a sentence."""
        return [
            f"no new {each.name} ({_times(each.failures)}; tried again within "
            f"{each.wait:.0f} s): {each.error}"
            for each in self._errands
            if each.failures
        ]

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                now = self._clock.monotonic()
                for errand in self._errands:
                    if errand.due <= now and not self._ending.is_set():
                        errand.run(now)
                due = min(errand.due for errand in self._errands)
                self._ending.wait(max(0.0, due - self._clock.monotonic()))
        except Exception as error:
            self._prices.failures += 1
            self._prices.error = (
                f"unexpected {type(error).__name__}: {error}; nothing more is asked"
            )
            log.exception("the screener's thread met an unexpected error")

    def _ask_facts(self) -> None:
        self._board.take_facts(self._rest.market_facts(self._market))

    def _ask_prices(self) -> None:
        self._board.take_prices(self._rest.tickers(self._market))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
