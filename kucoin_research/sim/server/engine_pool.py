"""The engines of one exchange, each built at its symbol's first touch."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TypeAlias

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.clock import VirtualClock
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.engine.warm_markets import WarmMarkets

__all__ = ["EnginePool", "Work"]

# Virtual time that an engine is advanced by in one piece: some milliseconds of work.
_CATCH_UP_NS = 1_000_000_000
# Virtual time that an engine may be behind: a busy one makes it up in some 30 ms.
_LONGEST_BEHIND_NS = 60_000_000_000

# Shared by all exchanges of this process.
_WARM = WarmMarkets()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_WARM.disown)

# Work that is cut into pieces.
Work: TypeAlias = Generator[None, None, None]


class EnginePool:
    """Builds and advances the engines of one exchange; each first trades unseen for a while.

    Parameters
    ----------
    seed
        Seed of all order flow.
    clock
        Virtual time.
    listings
        The symbols on offer.
    warm_up_ns
        Virtual time for which a symbol has traded when it is first touched.
    make_engine
        Makes the engine of a listing, of a seed, that starts at a virtual time in ns.
    """

    def __init__(
        self,
        seed: int,
        clock: VirtualClock,
        listings: Mapping[str, Listing],
        warm_up_ns: int,
        make_engine: Callable[[Listing, int, int], Market],
    ) -> None:
        self._seed = seed
        self._clock = clock
        self._listings = listings
        self._warm_up_ns = warm_up_ns
        self._make_engine = make_engine
        self._engines: dict[str, Market] = {}
        self._touches: dict[str, int] = {}  # virtual time of each symbol's first touch

    def touch(self, symbol: str) -> None:
        """Note a symbol's first touch: its engine starts then, whenever it is built."""
        self._touches.setdefault(symbol, self._clock.reached_ns)

    def touched_ns(self, symbol: str) -> int:
        """Return the virtual time of a symbol's first touch."""
        return self._touches[symbol]

    def engine(self, symbol: str) -> Market:
        """Return the symbol's engine, which starts now if this is the first touch."""
        engine = self._engines.get(symbol) or self._build(symbol)
        touched_ns = self._touches[symbol]
        if engine.now_ns < touched_ns:
            engine.advance(touched_ns)
            self._keep_if_warm(symbol)
        return engine

    def caught_up(self, symbol: str) -> Market:
        """Return the symbol's engine, advanced to the current virtual time."""
        engine = self.engine(symbol)
        if engine.now_ns < self._clock.reached_ns:
            engine.advance(self._clock.reached_ns)
        return engine

    def maker_of(self, symbol: str) -> Callable[[], Market]:
        """Return a function that makes a second engine of a touched symbol, on any thread.

        That engine has still to be advanced to the symbol's first touch.
        """
        return functools.partial(self._make, symbol)

    def advance(self, symbol: str, target_ns: int) -> Work:
        """Cut the way to a virtual time into pieces: a new engine, or a virtual second of one."""
        if symbol not in self._engines:
            self._build(symbol)
            yield
        engine = self._engines[symbol]
        while engine.now_ns < target_ns:
            engine.advance(min(target_ns, engine.now_ns + _CATCH_UP_NS))
            self._keep_if_warm(symbol)
            yield

    def keeping_up(self, is_watched: Callable[[str], bool]) -> Iterator[bool]:
        """Keep engines near the present, in pieces and without end.

        An engine that nobody has asked for during hours would take long to answer. Those that are
        watched advance by themselves. It yields whether there was something to do.
        """
        while True:
            began_ns = self._clock.reached_ns
            for symbol in list(self._engines):
                if not is_watched(symbol):
                    for _ in self.advance(symbol, began_ns):
                        yield True
            while self._clock.reached_ns < began_ns + _LONGEST_BEHIND_NS:
                yield False

    def warm_days(self, symbols: Iterable[str]) -> Work:
        """Build the last 24 hours of symbols in pieces."""
        for symbol in symbols:
            yield from self.engine(symbol).warm_day()

    def _build(self, symbol: str) -> Market:
        # The engine may still be in the time for which it trades unseen.
        self.touch(symbol)
        engine = self._engines[symbol] = self._make(symbol)
        return engine

    def _make(self, symbol: str) -> Market:
        touched_ns = self._touches[symbol]
        start_ns = touched_ns - self._warm_up_ns
        listing = self._listings[symbol]
        kept = None
        if self._make_engine is Market:
            kept = _WARM.take(listing, self._seed, start_ns, touched_ns)
        return kept or self._make_engine(listing, self._seed, start_ns)

    def _keep_if_warm(self, symbol: str) -> None:
        # Another exchange will need the symbols touched at the start; later touches are chance.
        engine = self._engines[symbol]
        is_warm = engine.now_ns == self._touches[symbol] == self._clock.start_ns
        if is_warm and self._make_engine is Market:
            _WARM.keep(engine, self._seed)
