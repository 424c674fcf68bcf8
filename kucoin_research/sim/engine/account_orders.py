"""Orders that accounts enter into one market's book."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from kucoin_research.sim.engine.fair_price import FairPrice
from kucoin_research.sim.engine.matching import BookSide, Event, MatchingBook, Order, Side, Trade
from kucoin_research.sim.engine.order_flow import OrderFlow

__all__ = ["AccountOrders", "Prevented", "SelfTrade", "Submission", "TimeInForce"]

TimeInForce: TypeAlias = Literal["GTC", "GTT", "IOC", "FOK", "PO"]
#: Self-trade prevention: cancel the new order, the old one, both, or decrease and cancel; "" for
#: a trade.
SelfTrade: TypeAlias = Literal["", "CN", "CO", "CB", "DC"]

# Market orders reach this far past the best price, as a fraction of it.
_MARKET_REACH = 0.05
_ANY_PRICE = 1 << 60  # in ticks
# A limit price further than this through the fair price is refused: beyond the price bands of the
# listings, which lie around the mark or the best price.
_PRICE_BAND = 0.15


class Prevented(NamedTuple):
    """What self-trade prevention took from a resting order, in units."""

    order_id: str
    size: int


class Submission(NamedTuple):
    """The outcome of a submitted order, and the events it caused.

    ``status`` is ``"open"`` (rests, perhaps partly filled), ``"filled"``, ``"canceled"`` (the part
    not filled has been dropped) or ``"rejected"`` (nothing happened). ``dropped`` is what
    self-trade prevention took from the order, and ``prevented`` what it took from older ones.
    """

    order_id: str
    status: Literal["open", "filled", "canceled", "rejected"]
    filled: int
    resting: int
    events: list[Event]
    dropped: int = 0
    prevented: tuple[Prevented, ...] = ()


class AccountOrders:
    """Enters, cancels and reduces the orders of accounts in the book that the crowd uses.

    Events stay in the book: the market collects them.

    Parameters
    ----------
    book
        The market's book.
    flow
        The crowd, which refills a side that an account has swept.
    fair
        The market's fair price: limit prices far through it are rejected.

    Attributes
    ----------
    open_orders
        Orders that rest in the book, by id.
    """

    def __init__(self, book: MatchingBook, flow: OrderFlow, fair: FairPrice) -> None:
        self._book = book
        self._flow = flow
        self._fair = fair
        self.open_orders: dict[str, Order] = {}

    def submit(
        self,
        side: Side,
        size: int,
        *,
        price_ticks: int | None,
        time_in_force: TimeInForce,
        owner: str,
        now_ms: int,
        worst_ticks: int | None = None,
        stp: SelfTrade = "",
        whole: bool = False,
    ) -> Submission:
        """Match an order, and rest the remainder in the book if its time in force allows.

        The arguments are those of `Market.submit`. The events of the result are left empty.
        """
        book = self._book
        own, other = (book.bids, book.asks) if side == "buy" else (book.asks, book.bids)
        limit = worst_ticks if price_ticks is None else price_ticks
        key = _market_key(own, other) if limit is None else limit * own.sign
        if whole:
            key = _ANY_PRICE if side == "buy" else -1
        book.set_time(now_ms)
        order = book.make_order(own, key, size, owner)
        order_id = book.order_text(order.number)
        crosses = bool(other.keys) and other.keys[-1] >= -key
        if price_ticks is not None and self._is_out_of_band(own, key, now_ms):
            return Submission(order_id, "rejected", 0, 0, [])
        if (time_in_force == "PO" and crosses) or (
            time_in_force == "FOK" and _reachable(other, -key, owner if stp else None) < size
        ):
            return Submission(order_id, "rejected", 0, 0, [])
        worst = other.keys[0] if other.keys else key
        dropped, prevented = self._take(order, other, stp)
        if whole and order.remaining:
            # Somebody takes the rest, at a worse price than all others.
            self._book.add(
                other, max(1, worst - 1) if side == "sell" else worst - 1, order.remaining
            )
            self._book.take(order)
        filled = size - order.remaining - dropped
        if filled:
            self._flow.on_taken(now_ms, filled, is_buy=side == "buy")
        resting = 0
        status: Literal["open", "filled", "canceled"] = "canceled" if dropped else "filled"
        if order.remaining:
            status = "canceled"
            if price_ticks is not None and time_in_force in ("GTC", "GTT", "PO"):
                status, resting = "open", order.remaining
                book.rest(own, order)
                self.open_orders[order_id] = order
        self._flow.keep_alive()
        return Submission(order_id, status, filled, resting, [], dropped, tuple(prevented))

    def _take(self, order: Order, other: BookSide, stp: SelfTrade) -> tuple[int, list[Prevented]]:
        # Returns the sizes taken from the order, and from own orders that it met.
        if not stp:
            self._book.take(order)
            return 0, []
        dropped, prevented = 0, []
        while (met := self._book.take_from_others(order)) is not None:
            new, old = _shares(stp, order.remaining, met.remaining)
            order.remaining -= new
            dropped += new
            if old:
                order_id = self._book.order_text(met.number)
                prevented.append(Prevented(order_id, old))
                if old == met.remaining:
                    self._book.cancel(other, met)
                    self.open_orders.pop(order_id, None)
                else:
                    self._book.reduce(other, met, old)
            if not order.remaining:
                break
        return dropped, prevented

    def takeable(self, side: Side, owner: str, stp: SelfTrade) -> Iterator[tuple[int, int]]:
        """Go through what an order of an owner could take: ticks and size, best first."""
        other = self._book.asks if side == "buy" else self._book.bids
        for key in reversed(other.keys):
            size, is_end = _size_for(other, key, owner, stp) if stp else (other.sizes[key], False)
            if size:
                yield key * other.sign, size
            if is_end:
                return

    def cancel(self, order_id: str, now_ms: int) -> None:
        """Cancel the resting part of an order; does nothing if none rests."""
        order = self.open_orders.pop(order_id, None)
        if order is None or not order.remaining:
            return
        self._book.set_time(now_ms)
        self._book.cancel(self._book.side(order.side), order)
        self._flow.keep_alive()

    def reduce(self, order_id: str, size: int, now_ms: int) -> None:
        """Make the resting part of an order smaller, by less than all; it keeps its place."""
        order = self.open_orders.get(order_id)
        if order is None or not 0 < size < order.remaining:
            return
        self._book.set_time(now_ms)
        self._book.reduce(self._book.side(order.side), order, size)

    def resting(self, order_id: str) -> int:
        """Return the size of an order that still rests in the book, in units."""
        order = self.open_orders.get(order_id)
        return order.remaining if order is not None else 0

    def on_trade(self, trade: Trade) -> None:
        """Forget the maker's order of a trade if this trade has filled it."""
        if not self.resting(trade.maker_order_id):
            self.open_orders.pop(trade.maker_order_id, None)

    def _is_out_of_band(self, own: BookSide, key: int, now_ms: int) -> bool:
        return key > self._fair.ticks(now_ms) * (own.sign + _PRICE_BAND)


def _market_key(own: BookSide, other: BookSide) -> int:
    if not other.keys:
        return own.keys[-1] if own.keys else own.sign
    best = -other.keys[-1]
    return best + int(abs(best) * _MARKET_REACH)


def _size_for(side: BookSide, key: int, owner: str, stp: SelfTrade) -> tuple[int, bool]:
    # What a level holds for an owner, and whether an own order ends the taking there: where own
    # orders are canceled, it goes on behind them.
    size = 0
    for order in side.queues[key]:
        if order.owner != owner:
            size += order.remaining
        elif stp != "CO":
            return size, True
    return size, False


def _shares(stp: SelfTrade, new: int, old: int) -> tuple[int, int]:
    """Return what is taken from a new order and from an old one of the same owner, in units."""
    if stp == "DC":
        return min(new, old), min(new, old)
    return new if stp in ("CN", "CB") else 0, old if stp in ("CO", "CB") else 0


def _reachable(side: BookSide, limit: int, own: str | None = None) -> int:
    # With `own`, up to the first order of that owner.
    total = 0
    for key in reversed(side.keys):
        if key < limit:
            break
        if own is None:
            total += side.sizes[key]
            continue
        for order in side.queues[key]:
            if order.owner == own:
                return total
            total += order.remaining
    return total
