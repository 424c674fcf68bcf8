"""The instruments of each venue: fetched once, and kept for a while in memory and on disk."""

from __future__ import annotations

import threading
import warnings
from typing import NamedTuple

from kucoin_research.errors import (
    BadReply,
    ExchangeError,
    ExchangeUnavailable,
    InvalidInput,
    NetworkError,
    RateLimited,
    StaleSymbols,
    UnknownSymbol,
)
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.rest.symbol_cache import Listing, ListingFiles
from kucoin_research.exchange.venues import Venue, is_loopback
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import Instrument, resolve_symbol

__all__ = ["Universe"]

# Seconds. Listings change a few times a week, and the list of futures has 1.4 MB.
_FRESH_FOR = 600.0
# Seconds. A symbol that the list lacks may be new; but a typing error must not fetch the list again
# and again.
_FRESH_FOR_THE_UNKNOWN = 30.0
# Seconds until we ask an exchange again that could not be reached.
_ASK_AGAIN = 60.0


class _Kept(NamedTuple):
    listing: Listing
    since: float  # monotonic seconds
    until: float


class Universe:
    """Keeps the instruments of each venue and market, and fetches them again after ten minutes.

    The lists of a real exchange are kept on disk too: other processes begin with them, and without
    a network the last copy is used, with a ``StaleSymbols`` warning. Simulated exchanges on this
    machine leave no files. Thread-safe.

    Parameters
    ----------
    files
        The lists on disk.
    clock
        The clock that ages the lists; the machine's own when left out.
    """

    def __init__(
        self,
        files: ListingFiles | None = None,
        *,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._files = files or ListingFiles()
        self._clock = clocks.current() if clock is None else clock
        self._lock = threading.Lock()  # guards _kept
        self._kept: dict[tuple[Venue, Market], _Kept] = {}

    def instruments(
        self, rest: Rest, market: Market, symbol: str | None = None
    ) -> dict[str, Instrument]:
        """Return every instrument of a market by symbol, in the exchange's order.

        Parameters
        ----------
        rest
            The REST client of the venue.
        market
            The market.
        symbol
            A symbol to look for: a list without it is fetched again after half a minute.

        Raises
        ------
        NetworkError, ExchangeError
            If the exchange does not answer and there is no copy.
        """
        key = (rest.venue, market)
        with self._lock:
            kept = self._kept.get(key)
        now = self._clock.monotonic()
        if kept is not None and now < kept.until:
            is_listed = symbol is None or symbol in kept.listing.instruments
            if is_listed or now < kept.since + _FRESH_FOR_THE_UNKNOWN:
                return kept.listing.instruments
        listing, fresh_for = self._read(rest, market, kept.listing if kept else None)
        with self._lock:
            now = self._clock.monotonic()
            self._kept[key] = _Kept(listing, now, now + fresh_for)
        return listing.instruments

    def find(self, rest: Rest, symbol: str, market: Market) -> Instrument:
        """Return a symbol's instrument, even if it was delisted or is too new for the copy.

        Raises
        ------
        UnknownSymbol
            If there is none; the error names near matches.
        BadReply
            If required fields of its description are malformed.
        """
        known = self.instruments(rest, market, symbol)
        try:
            return known[resolve_symbol(symbol, known, market)]
        except UnknownSymbol:
            unlisted = _ask_for(rest, symbol, market)
            if unlisted is None:
                raise
            return unlisted

    def _read(self, rest: Rest, market: Market, last: Listing | None) -> tuple[Listing, float]:
        # Returns the list, and the seconds for which it may be used.
        url = rest.venue.url(market)
        is_kept = not is_loopback(url)
        if last is None and is_kept:
            last = self._files.load(url, market)
            if last is not None and 0 <= self._age(last) < _FRESH_FOR:
                return last, _FRESH_FOR - self._age(last)
        try:
            found = rest.contracts() if market is Market.FUTURES else rest.spot_symbols()
        except (NetworkError, ExchangeUnavailable, RateLimited) as error:
            if last is None:
                raise
            warnings.warn(_stale(market, self._age(last), error), stacklevel=5)
            return last, _ASK_AGAIN
        listing = Listing(self._clock.wall_ns(), {each.symbol: each for each in found})
        if is_kept:
            self._files.store(url, market, listing)
        return listing, _FRESH_FOR

    def _age(self, listing: Listing) -> float:
        return (self._clock.wall_ns() - listing.read_at) / 1e9


def _ask_for(rest: Rest, symbol: str, market: Market) -> Instrument | None:
    try:
        found = rest.contract(symbol) if market is Market.FUTURES else rest.spot_symbol(symbol)
    except BadReply as error:
        if error.may_pass:  # then it is no reply of the exchange
            return None
        raise
    except (ExchangeError, NetworkError, InvalidInput):
        return None
    # An exchange that answers with another spelling has not confirmed this one.
    return found if found.symbol == symbol else None


def _stale(market: Market, age: float, error: Exception) -> StaleSymbols:
    return StaleSymbols(f"the {market} symbols are a copy {_ago(max(age, 0.0))} old: {error}")


def _ago(seconds: float) -> str:
    for name, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {name}"
    return f"{seconds:.0f} seconds"
