"""A bid that is announced but is not in the book: the fault of a crossed book."""

from __future__ import annotations

from kucoin_research.sim.engine.account_orders import Submission
from kucoin_research.sim.engine.matching import BookChange, Event, MatchingBook

__all__ = ["PhantomBid"]


class PhantomBid:
    """Announces a bid above the best ask, and lists it among the levels until it is withdrawn.

    The book itself never crosses. The phantom also ends when a real change happens at its price.

    Parameters
    ----------
    book
        The book whose changes it joins.

    Attributes
    ----------
    level
        Price in ticks and size while it stands, else None.
    """

    def __init__(self, book: MatchingBook) -> None:
        self._book = book
        self.level: tuple[int, int] | None = None

    def announce(self, now_ms: int) -> Submission:
        """Announce the bid, one tick above the best ask; rejected while one stands."""
        book = self._book
        if self.level is not None or not book.bids.keys or not book.asks.keys:
            return Submission("", "rejected", 0, 0, [])
        ticks, size = 1 - book.asks.keys[-1], book.bids.sizes[book.bids.keys[-1]]
        book.set_time(now_ms)
        book.announce(book.bids, ticks, size)
        # Set after the events are taken: its own announcement is a change at its price.
        events, book.events = book.events, []
        self.level = (ticks, size)
        return Submission("", "open", 0, size, events)

    def withdraw(self, now_ms: int) -> Submission:
        """Announce the true size at the phantom's price; rejected if none stands."""
        if self.level is None:
            return Submission("", "rejected", 0, 0, [])
        (ticks, _), self.level = self.level, None
        book = self._book
        book.set_time(now_ms)
        book.announce(book.bids, ticks, book.bids.sizes.get(ticks, 0))
        events, book.events = book.events, []
        return Submission("", "canceled", 0, 0, events)

    def among(self, bids: list[tuple[int, int]], depth: int | None) -> list[tuple[int, int]]:
        """Insert the phantom in its place among bids, best first; return at most ``depth``."""
        levels = bids if self.level is None else [*bids, self.level]
        return sorted(levels, reverse=True)[:depth]

    def on_events(self, events: list[Event]) -> None:
        """End if one of the events changed the bid at its price."""
        if self.level is not None and any(
            isinstance(event, BookChange)
            and event.side == "buy"
            and event.price_ticks == self.level[0]
            for event in events
        ):
            self.level = None
