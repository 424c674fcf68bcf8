"""Index price and fair price of one market."""

from __future__ import annotations

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.fundamental_value import FundamentalValue, shared_noise
from kucoin_research.sim.engine.quiet_contracts import QuietValue

__all__ = ["FairPrice"]

_MS_NS = 1_000_000
_SECOND_MS = 1_000
_MINUTE_MS = 60_000
_ACTIVITY_RANGE = (0.25, 6.0)
_BASIS_SCALES = ((480, 0.9), (60, 0.6), (5, 0.4))
_INDEX_NOISE = 5e-6


class FairPrice:
    """The index price of one market, and the fair price around which its crowd trades.

    Both are pure functions of listing, seed and time. The fair price is the index without its
    noise, moved by the basis: a premium that wanders slowly.

    Parameters
    ----------
    listing
        The instrument.
    seed
        Seed of the simulated exchange.

    Attributes
    ----------
    activity
        Volatility in the second of the newest call of `ticks`, relative to its long-run level;
        limited to 0.25 to 6.
    basis_noise
        The noise that moves the basis.
    minute_volatility
        Standard deviation of the logarithm of the price over one minute, in the long run.
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = (
        "_from",
        "_index_noise",
        "_listing",
        "_quote_value",
        "_second",
        "_step",
        "_ticks_per_price",
        "_value",
        "activity",
        "basis_noise",
        "minute_volatility",
    )

    def __init__(self, listing: Listing, seed: int) -> None:
        self._listing = listing
        self._value: FundamentalValue | QuietValue = (
            QuietValue(seed, listing.base, listing.start_price, listing.swing)
            if listing.is_quiet
            else FundamentalValue(seed, listing.base, listing.price_model)
        )
        self._quote_value = (
            FundamentalValue(seed, "XBT", listing.quote_model) if listing.quote == "BTC" else None
        )
        self.minute_volatility = self._value.minute_volatility
        basis = seed if listing.is_quiet else f"{seed}:{listing.symbol}"
        self.basis_noise = shared_noise(f"{basis}:basis", _BASIS_SCALES)
        index = "quiet" if listing.is_quiet else listing.index_symbol
        self._index_noise = shared_noise(f"{seed}:{index}:index", ((5, 1.0),))
        self._ticks_per_price: float = 10**listing.price_decimals / listing.tick_units
        self._second = -1
        self._from = self._step = 0.0
        self.activity = 1.0

    def ticks(self, now_ms: int) -> float:
        """Return the fair price in ticks: on a straight line between whole seconds."""
        second, rest = divmod(now_ms, _SECOND_MS)
        if second != self._second:
            self._enter_second(second)
        return self._from + self._step * rest

    def at(self, time_ms: int) -> float:
        """Return the fair price at a time, unrounded."""
        return self._value_at(time_ms) * (1.0 + self.basis(time_ms))

    def index(self, time_ms: int) -> float:
        """Return the index price of the second that holds a time, unrounded."""
        second_ms = time_ms - time_ms % _SECOND_MS
        noise = self._index_noise.at(second_ms / _MINUTE_MS)
        return self._value_at(second_ms) * (1.0 + _INDEX_NOISE * noise)

    def basis(self, time_ms: int) -> float:
        """Return the distance of the fair price from the index, as a fraction of the index."""
        listing = self._listing
        return listing.basis + listing.basis_noise * self.basis_noise.at(time_ms / _MINUTE_MS)

    def minutes(self, day: int) -> list[float]:
        """Return the fair price at each minute of a day (since 1970) and at its end."""
        values = self._value.minutes(day)
        if self._quote_value is not None:
            quotes = self._quote_value.minutes(day)
            values = [value / quote for value, quote in zip(values, quotes, strict=True)]
        basis, noise = self._listing.basis, self._listing.basis_noise
        shifts = self.basis_noise.day(day)
        return [
            value * (1.0 + basis + noise * shift)
            for value, shift in zip(values, shifts, strict=True)
        ]

    def _enter_second(self, second: int) -> None:
        start = self.at(second * _SECOND_MS)
        end = self.at((second + 1) * _SECOND_MS)
        ticks = self._ticks_per_price
        self._second = second
        self._from = start * ticks
        self._step = (end - start) * ticks / _SECOND_MS
        low, high = _ACTIVITY_RANGE
        self.activity = max(low, min(high, self._value.activity(second * _SECOND_MS * _MS_NS)))

    def _value_at(self, time_ms: int) -> float:
        value = self._value.at(time_ms * _MS_NS)
        if self._quote_value is None:
            return value
        return value / self._quote_value.at(time_ms * _MS_NS)
