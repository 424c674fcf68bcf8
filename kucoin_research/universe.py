"""The symbols of a venue, read once and kept for a while."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from kucoin_research.instruments import Instrument
from kucoin_research.records import Market
from kucoin_research.rest import Rest
from kucoin_research.venues import Venue

__all__ = ["Universe"]

# Listings change a few times a week; the list is 1.4 MB on futures.
_FRESH_FOR = 600.0
# A symbol that is not in the list may have been listed since; a typing error is no reason to ask
# again and again.
_FRESH_FOR_THE_UNKNOWN = 30.0


class _Listing(NamedTuple):
    read_at: float
    instruments: dict[str, Instrument]


class Universe:
    """Instruments by venue and market, fetched at first use and again after ten minutes.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _listings
        self._listings: dict[tuple[Venue, Market], _Listing] = {}

    def instruments(
        self, rest: Rest, market: Market, symbol: str | None = None
    ) -> dict[str, Instrument]:
        """Give every instrument of a market by symbol, in the exchange's order.

        Parameters
        ----------
        rest
            The venue's REST side.
        market
            Which market.
        symbol
            One that is looked for: if the list lacks it, a list of half a minute is too old.
        """
        key = (rest.venue, market)
        with self._lock:
            kept = self._listings.get(key)
        if kept is not None:
            is_listed = symbol is None or symbol in kept.instruments
            fresh_for = _FRESH_FOR if is_listed else _FRESH_FOR_THE_UNKNOWN
            if time.monotonic() - kept.read_at < fresh_for:
                return kept.instruments
        found = rest.contracts() if market is Market.FUTURES else rest.spot_symbols()
        listing = _Listing(time.monotonic(), {each.symbol: each for each in found})
        with self._lock:
            self._listings[key] = listing
        return listing.instruments
