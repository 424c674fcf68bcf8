"""Markets after their warm-up, kept for the next exchange of this process.

An exchange lets each symbol trade for a while before its first reader. This warm-up is the most
expensive part of its start, and the same each time: a market is a function of listing, seed and
start. So the first exchange keeps the market as bytes, and later exchanges and tapes get copies.
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from typing import TypeAlias

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

__all__ = ["WarmMarkets"]

_KEPT = 64  # markets; a busy one has about 200 kB

# Listing, seed, start and the time up to which it has traded, ns since 1970.
_Key: TypeAlias = tuple[Listing, int, int, int]


class WarmMarkets:
    """Keeps copies of markets in which no account has traded yet. Thread-safe.

    Quiet contracts are not kept: making one anew is as cheap.
    """

    # Pickling creates the `__dict__` of a plain instance, and CPython 3.11 reads attributes of such
    # instances slowly, of the original as well as of the copy. So the busiest classes have slots.

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._lock = threading.Lock()  # guards `_kept`

    def take(self, listing: Listing, seed: int, start_ns: int, until_ns: int) -> Market | None:
        """Return a copy of a market that has traded until a time; None if none is kept.

        Its ``now_ns`` is set back to the start. The caller advances it like a new market, in the
        same steps, which then cost nothing. So it behaves exactly like a new one.
        """
        key = listing, seed, start_ns, until_ns
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
        market: Market = pickle.loads(kept)  # noqa: S301 - our own, and it never leaves the process
        market.now_ns = start_ns
        return market

    def disown(self) -> None:
        """Start empty in a forked child: a thread of the parent may have held the lock."""
        self._kept, self._lock = OrderedDict(), threading.Lock()

    def keep(self, market: Market, seed: int) -> None:
        """Keep a market as it is now; no account may have traded in it."""
        key = market.listing, seed, market.start_ns, market.now_ns
        if market.listing.is_quiet or key in self._kept:
            return
        kept = pickle.dumps(market, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._kept[key] = kept
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
