"""The true history of one simulated symbol, remade on an engine of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import BookChange, Event, Market, Submission, Trade
from kucoin_research.sim.messages.feed import Wire

__all__ = ["Tape", "TimedAction", "make_tape"]

# The virtual time of an action on an engine, and the action.
TimedAction: TypeAlias = tuple[int, Callable[[Market], Submission]]


class Tape(NamedTuple):
    """The true history of one symbol, for comparing with the data that a client received.

    Attributes
    ----------
    listing
        The symbol's row of the catalog.
    bids, asks
        The whole book at the start: price in ticks to size in lots.
    first_sequence
        The book sequence at the start.
    changes, trades
        Everything since, in order. Sequences are those on the wire at the time; spot fillers are
        left out.
    rebases
        Each backward jump of the book's sequence: the number of ``changes`` before it, and the
        book's sequence right after it.
    """

    listing: Listing
    bids: dict[int, int]
    asks: dict[int, int]
    first_sequence: int
    changes: list[BookChange]
    trades: list[Trade]
    rebases: tuple[tuple[int, int], ...] = ()

    def book(self, sequence: int) -> tuple[dict[int, int], dict[int, int]]:
        """Rebuild bids and asks, ticks to size, after the change numbered `sequence`.

        A number that was used twice, before and after a rebase, means the later change.
        """
        sides = {"buy": dict(self.bids), "sell": dict(self.asks)}
        start, end = self._numbering_of(sequence)
        for index, change in enumerate(self.changes[:end]):
            if index >= start and change.sequence > sequence:
                break
            if change.size:
                sides[change.side][change.price_ticks] = change.size
            else:
                sides[change.side].pop(change.price_ticks, None)
        return sides["buy"], sides["sell"]

    def _numbering_of(self, sequence: int) -> tuple[int, int]:
        # Start and end in `changes` of the newest numbering that holds the sequence.
        starts = [(0, self.first_sequence), *self.rebases]
        ends = [*(index for index, _ in self.rebases), len(self.changes)]
        for (start, first), end in reversed(list(zip(starts, ends, strict=True))):
            # A filler may follow the last change.
            last = self.changes[end - 1].sequence + 1 if end > start else first
            if first <= sequence <= last:
                return start, end
        return starts[-1][0], ends[-1]


def make_tape(
    begin: Callable[[], Market],
    wire: Wire,
    actions: list[TimedAction],
    touched_ns: int,
    until_ns: int,
) -> Tape:
    """Make the tape of a symbol, on a second engine that goes through the same actions.

    Parameters
    ----------
    begin
        Makes that engine.
    wire
        Numbers the changes.
    actions
        The actions of accounts and faults, in order of time.
    touched_ns, until_ns
        Virtual times of the tape's start and end.
    """
    engine = begin()
    engine.advance(touched_ns)
    bids, asks = dict(engine.levels("buy", None)), dict(engine.levels("sell", None))
    first_sequence = wire.book_sequence(engine)
    events: list[Event] = []
    rebases: list[tuple[int, int]] = []
    for time_ns, action in actions:
        events += engine.advance(time_ns)
        before = engine.sequence
        events += action(engine).events
        if engine.sequence < before:
            changes = sum(isinstance(event, BookChange) for event in events)
            rebases.append((changes, wire.book_sequence(engine)))
    events += engine.advance(until_ns)
    changes_on_wire = [
        event._replace(sequence=wire.change_sequence(engine, event.sequence))
        for event in events
        if isinstance(event, BookChange)
    ]
    trades = [event for event in events if isinstance(event, Trade)]
    return Tape(engine.listing, bids, asks, first_sequence, changes_on_wire, trades, tuple(rebases))
