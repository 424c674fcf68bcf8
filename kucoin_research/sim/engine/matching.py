"""The matching engine: one limit-order book by price and time, and the events it records.

Both sides of the book are one class. A price is kept as a *key*: the price in ticks for bids, minus
the price in ticks for asks. The best level of either side then has the greatest key.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "MOST_BOOKS",
    "MS_NS",
    "BookChange",
    "BookSide",
    "Event",
    "MatchingBook",
    "Order",
    "Side",
    "Trade",
]

Side: TypeAlias = Literal["buy", "sell"]

MS_NS = 1_000_000
# KuCoin's futures order ids hold the milliseconds since about this instant, above 22 bits of
# counter (measured on the sample in P6.5).
_ORDER_EPOCH_MS = 1_672_813_200_000
_COUNTER_BITS = 22
# The last bits of the counter are the book's number: no two books make one order number. The other
# bits are few, so a book that makes many orders in a millisecond borrows numbers of the next.
_BOOK_BITS = 12
_TIME_BITS = _COUNTER_BITS - _BOOK_BITS
#: The most books that can have numbers of their own.
MOST_BOOKS = 1 << _BOOK_BITS
_NOBODY = "(nobody)"  # owns no order


class BookChange(NamedTuple):
    """The new size of one level of the book; 0 if the level is gone."""

    time_ns: int
    sequence: int
    side: Side
    price_ticks: int
    size: int


class Trade(NamedTuple):
    """One fill of one maker order; ``side`` is the taker's.

    ``book_sequence`` is the sequence of the `BookChange` that shows the fill. Fills at one level
    share that change, which directly follows them.
    """

    time_ns: int
    sequence: int
    trade_id: str
    side: Side
    price_ticks: int
    size: int
    maker_order_id: str
    taker_order_id: str
    book_sequence: int


Event: TypeAlias = BookChange | Trade


class Order:
    """One order; ``remaining`` falls with each fill, ``owner`` is None for the random flow."""

    __slots__ = ("key", "number", "owner", "remaining", "side")

    def __init__(self, number: int, side: Side, key: int, size: int, owner: str | None) -> None:
        self.number = number
        self.side: Side = side
        self.key = key
        self.remaining = size
        self.owner = owner

    def __reduce__(self) -> tuple[object, ...]:
        # A third of the time that pickling the slots would take; a book holds thousands of orders.
        return Order, (self.number, self.side, self.key, self.remaining, self.owner)

    @property
    def price_ticks(self) -> int:
        """Limit price in ticks."""
        return self.key if self.side == "buy" else -self.key


class BookSide:
    """One side of the book: ``keys`` ascending (best last), sizes and queues by key."""

    __slots__ = ("keys", "name", "orders", "queues", "sign", "sizes")

    def __init__(self, name: Side) -> None:
        self.name: Side = name
        self.sign = 1 if name == "buy" else -1
        self.keys: list[int] = []
        self.sizes: dict[int, int] = {}
        self.queues: dict[int, list[Order]] = {}
        self.orders = 0

    @property
    def best_ticks(self) -> int | None:
        """Best price in ticks, or None on an empty side."""
        return self.keys[-1] * self.sign if self.keys else None

    def levels(self, depth: int | None = None) -> list[tuple[int, int]]:
        """Return ``(price_ticks, size)`` per level, best first, at most ``depth`` of them."""
        sign, sizes = self.sign, self.sizes
        keys = self.keys if depth is None else self.keys[max(0, len(self.keys) - depth) :]
        return [(key * sign, sizes[key]) for key in reversed(keys)]

    def remove_key(self, key: int) -> None:
        """Forget a level that has no orders left."""
        keys = self.keys
        if keys[-1] == key:
            keys.pop()
        else:
            del keys[bisect_left(keys, key)]
        del self.sizes[key]
        del self.queues[key]


class MatchingBook:
    """Matches orders by price, then time, and appends every change to ``events``.

    Parameters
    ----------
    sequence
        Book sequence before the first change.
    trade_sequence
        Trade sequence before the first trade.
    order_text
        Turns an order number into the id that KuCoin would print.
    trade_step
        Draws the next step of the trade sequence, 1 or more.
    on_trade
        Called with each trade as it happens.
    number
        The book's own number, below `MOST_BOOKS`: it sets the orders of one book apart from those
        of all others.

    Attributes
    ----------
    order_text
        As passed.
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = (
        "_book_number",
        "_first_now",
        "_last_number",
        "_on_trade",
        "_trade_sequence",
        "_trade_step",
        "asks",
        "bids",
        "events",
        "order_text",
        "sequence",
        "time_ns",
    )

    def __init__(
        self,
        sequence: int,
        trade_sequence: int,
        *,
        order_text: Callable[[int], str],
        trade_step: Callable[[], int],
        on_trade: Callable[[Trade], None],
        number: int = 0,
    ) -> None:
        self.bids = BookSide("buy")
        self.asks = BookSide("sell")
        self.events: list[Event] = []
        self.sequence = sequence
        self.time_ns = 0
        self._trade_sequence = trade_sequence
        self.order_text = order_text
        self._trade_step = trade_step
        self._on_trade = on_trade
        assert 0 <= number < MOST_BOOKS, number
        self._book_number = number
        self._first_now = self._last_number = 0

    def side(self, name: Side) -> BookSide:
        """Return the bids ("buy") or the asks ("sell")."""
        return self.bids if name == "buy" else self.asks

    def set_time(self, time_ms: int) -> None:
        """Set the virtual time of the events and orders that follow."""
        self.time_ns = time_ms * MS_NS
        self._first_now = abs(time_ms - _ORDER_EPOCH_MS) << _TIME_BITS

    def trade_before(self, time_ms: int, price_ticks: int, size: int) -> Trade:
        """Make the trade that was the last one before this book opened; it is no event."""
        self.set_time(time_ms)
        return Trade(
            time_ms * MS_NS,
            self._trade_sequence,
            str(self._trade_sequence),
            "buy",
            price_ticks,
            size,
            self.order_text(self._next_number()),
            self.order_text(self._next_number()),
            self.sequence,
        )

    def make_order(self, side: BookSide, key: int, size: int, owner: str | None = None) -> Order:
        """Make an order with the next number, without entering it."""
        return Order(self._next_number(), side.name, key, size, owner)

    def _next_number(self) -> int:
        # Each is above the last one, even where the time stands still.
        self._last_number = found = max(self._last_number + 1, self._first_now)
        return found << _BOOK_BITS | self._book_number

    def add(self, side: BookSide, key: int, size: int) -> None:
        """Enter a flow order that is known not to cross."""
        self.rest(side, self.make_order(side, key, size))

    def rest(self, side: BookSide, order: Order) -> None:
        """Queue an order at its price; the caller must make sure that it does not cross."""
        key = order.key
        queue = side.queues.get(key)
        total = order.remaining
        if queue is None:
            side.queues[key] = [order]
            keys = side.keys
            if not keys or key > keys[-1]:
                keys.append(key)
            else:
                insort(keys, key)
        else:
            queue.append(order)
            total += side.sizes[key]
        side.sizes[key] = total
        side.orders += 1
        self._record_change(side, key, total)

    def take(self, order: Order) -> None:
        """Match an order against the other side as far as its price allows."""
        side = self.asks if order.side == "buy" else self.bids
        limit = -order.key
        while order.remaining and side.keys and side.keys[-1] >= limit:
            self._take_level(order, side, side.keys[-1])

    def take_from_others(self, order: Order) -> Order | None:
        """Match an order like `take`, but stop at the first order of its own owner.

        Returns that order, which the taker would trade with next; None if there is none.
        """
        side = self.asks if order.side == "buy" else self.bids
        limit = -order.key
        while order.remaining and side.keys and side.keys[-1] >= limit:
            key = side.keys[-1]
            first = side.queues[key][0]
            if first.owner == order.owner:
                return first
            self._take_level(order, side, key, own=order.owner)
        return None

    def cancel(self, side: BookSide, order: Order) -> None:
        """Remove a resting order from the book."""
        key = order.key
        queue = side.queues[key]
        queue.remove(order)
        side.orders -= 1
        total = side.sizes[key] - order.remaining
        if queue:
            side.sizes[key] = total
        else:
            side.remove_key(key)
        self._record_change(side, key, total)

    def reduce(self, side: BookSide, order: Order, size: int) -> None:
        """Remove a part of a resting order from the book."""
        order.remaining -= size
        side.sizes[order.key] = total = side.sizes[order.key] - size
        self._record_change(side, order.key, total)

    def cancel_level(self, side: BookSide, key: int) -> bool:
        """Remove the flow's orders from one level; return False if accounts' orders remain."""
        queue = side.queues[key]
        kept = [order for order in queue if order.owner is not None]
        if len(kept) == len(queue):
            return False
        side.orders -= len(queue) - len(kept)
        total = sum(order.remaining for order in kept)
        if kept:
            side.queues[key] = kept
            side.sizes[key] = total
        else:
            side.remove_key(key)
        self._record_change(side, key, total)
        return not kept

    def announce(self, side: BookSide, key: int, total: int) -> None:
        """Record a change that this book has not made; for faults."""
        self._record_change(side, key, total)

    def _take_level(
        self, taker: Order, side: BookSide, key: int, own: str | None = _NOBODY
    ) -> None:
        # Stops at an order of `own`, if that is given.
        queue = side.queues[key]
        total = side.sizes[key]
        while queue and taker.remaining:
            maker = queue[0]
            if maker.owner == own:
                break
            size = min(maker.remaining, taker.remaining)
            maker.remaining -= size
            taker.remaining -= size
            total -= size
            self._record_trade(taker, maker, size)
            if not maker.remaining:
                del queue[0]
                side.orders -= 1
        if queue:
            side.sizes[key] = total
        else:
            side.remove_key(key)
        self._record_change(side, key, total)

    def _record_change(self, side: BookSide, key: int, total: int) -> None:
        self.sequence = sequence = self.sequence + 1
        self.events.append(BookChange(self.time_ns, sequence, side.name, key * side.sign, total))

    def _record_trade(self, taker: Order, maker: Order, size: int) -> None:
        self._trade_sequence += self._trade_step()
        trade = Trade(
            self.time_ns,
            self._trade_sequence,
            str(self._trade_sequence),
            taker.side,
            maker.price_ticks,
            size,
            self.order_text(maker.number),
            self.order_text(taker.number),
            self.sequence + 1,
        )
        self.events.append(trade)
        self._on_trade(trade)


def futures_order_text(number: int) -> str:
    """Spell an order number as futures do: decimal digits."""
    return str(number)


def spot_order_text(number: int, machine: str) -> str:
    """Spell an order number as spot does: 24 hex digits, seconds first, counter last."""
    seconds = ((number >> _COUNTER_BITS) + _ORDER_EPOCH_MS) // 1_000
    return f"{seconds & 0xFFFFFFFF:08x}{machine}{number >> _BOOK_BITS & 0xFFFFFF:06x}"
