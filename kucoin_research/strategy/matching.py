"""How orders meet the recorded market: what takers find, and when resting orders are filled.

- A taker walks the visible levels of the other side, at their prices, and never takes more than is
  displayed. What it took stays taken until the level changes.
- A resting order is filled at its own price: by prints of the other side's takers that reach it
  through the queue, or that trade through its price, and by quotes of the other side that cross it.
- No print and no quote fills more than its own size. The earlier and better of two orders is first.
- Where only candles are played, an order meets the first candle that opens after it was sent: a
  market order is filled at the open, a limit if the candle trades through it. Where the order of
  two events within a candle is not known, the worse one counts.

A paper order does not change the recorded market, and two orders of one account do not meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from kucoin_research.model.records import Candle
from kucoin_research.strategy.fixed_point import fixed
from kucoin_research.strategy.market import PaperMarket
from kucoin_research.strategy.quotes import Quotes, is_better
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["LIQUIDITIES", "Execute", "Matcher", "Refuse", "Trigger"]

#: What takers find: the recorded depth, the best prices alone, or as much as they want.
LIQUIDITIES = ("depth", "best", "unlimited")

#: Executes a size of an order at a price, as maker or taker; False once the order is over.
Execute = Callable[[PaperMarket, WorkingOrder, int, float, str], bool]
#: Places an order whose stop price was reached.
Trigger = Callable[[PaperMarket, WorkingOrder], None]
#: Ends a post-only order that would have taken a price.
Refuse = Callable[[PaperMarket, WorkingOrder, float], None]

_OTHER = {"buy": "sell", "sell": "buy"}


class Matcher:
    """Matches the orders of a market against its records. Keeps nothing itself.

    Parameters
    ----------
    execute
        Called for each execution.
    refuse
        Called for a post-only order that would take at a candle's open.
    queue
        ``risk_averse``, ``proportional`` or ``none``.
    liquidity
        ``depth``, ``best`` or ``unlimited``.
    """

    def __init__(self, execute: Execute, refuse: Refuse, *, queue: str, liquidity: str) -> None:
        self._execute = execute
        self._refuse = refuse
        self._queue = queue
        self._is_unlimited = liquidity == "unlimited"
        self._is_best = liquidity == "best"

    # -- takers ------------------------------------------------------------------------------------

    def would_take(self, market: PaperMarket, order: WorkingOrder) -> float | None:
        """Return the best price of the other side if the order accepts it; else None."""
        quotes = market.quotes
        best = None if quotes is None else quotes.best(_OTHER[order.order.side])
        return best[0] if best is not None and order.crosses(best[0]) else None

    def visible(self, market: PaperMarket, order: WorkingOrder, worst: float | None) -> int:
        """Return how much of its size an order would find now."""
        if self._is_unlimited:
            return order.left
        return sum(size for _, size in self._found(market, order, worst))

    def cost(self, market: PaperMarket, order: WorkingOrder, worst: float | None) -> int:
        """Return the value of all that an order would find now."""
        found = self._found(market, order, worst)
        return sum(market.contract.value(size, fixed(price)) for price, size in found)

    def take(self, market: PaperMarket, order: WorkingOrder, worst: float | None) -> None:
        """Let an order take what it finds, up to a worst price.

        Parameters
        ----------
        worst
            The limit of the price band for a market order; None if there is none.
        """
        side = _OTHER[order.order.side]
        for price, size in list(self._found(market, order, worst)):
            if not self._from_level(market, order, side, price, size, price, "taker"):
                return

    def _from_level(
        self,
        market: PaperMarket,
        order: WorkingOrder,
        side: str,
        level: float,
        size: int,
        price: float,
        kind: str,
    ) -> bool:
        """Execute against a displayed level; False once the order is over."""
        before = order.left
        goes_on = self._execute(market, order, size, price, kind)
        self._note_taken(market, side, level, before - order.left)
        return goes_on

    def _found(
        self, market: PaperMarket, order: WorkingOrder, worst: float | None
    ) -> Iterable[tuple[float, int]]:
        quotes = market.quotes
        if quotes is None:
            return
        side = _OTHER[order.order.side]
        left = order.left
        for price, displayed in quotes.levels(side):
            is_beyond = worst is not None and is_better(order.order.side, price, worst)
            if not order.crosses(price) or is_beyond or left <= 0:
                return
            size = self._free(market, side, price, displayed, left)
            if size:
                yield price, size
                left -= size
            if self._is_best:
                return

    def _free(
        self, market: PaperMarket, side: str, price: float, displayed: float, wanted: int
    ) -> int:
        if self._is_unlimited:
            return wanted
        _, taken = market.taken[side].get(price, (displayed, 0))
        return max(0, min(wanted, fixed(displayed) - taken))

    def _note_taken(self, market: PaperMarket, side: str, price: float, size: int) -> None:
        quotes = market.quotes
        displayed = None if quotes is None else quotes.size_at(side, price)
        if displayed is not None and not self._is_unlimited:
            _, before = market.taken[side].get(price, (displayed, 0))
            market.taken[side][price] = (displayed, before + size)

    # -- resting orders ----------------------------------------------------------------------------

    def rest(self, market: PaperMarket, order: WorkingOrder) -> None:
        """Put an order into the book, behind what is displayed at its price."""
        side = order.order.side
        market.resting[side].append(order)
        quotes = market.quotes
        if quotes is not None and order.limit is not None:
            self._see(market, quotes, order)

    def _see(self, market: PaperMarket, quotes: Quotes, order: WorkingOrder) -> None:
        displayed = quotes.size_at(order.order.side, order.limit or 0.0)
        if displayed is not None:
            order.see_displayed(fixed(displayed), self._queue, market.contract.lot)

    def on_quotes(self, market: PaperMarket) -> None:
        """Take new quotes: move orders in their queues, and fill those that are crossed."""
        quotes = market.quotes
        if quotes is None:
            return
        for side, orders in market.resting.items():
            if not orders:
                continue
            best = quotes.best(_OTHER[side])
            for order in _by_priority(orders, side):
                if best is not None and order.crosses(best[0]):
                    self._cross(market, order)
                if not order.is_over:
                    self._see(market, quotes, order)

    def _cross(self, market: PaperMarket, order: WorkingOrder) -> None:
        # The order was there first, so it trades at its own price.
        assert order.limit is not None
        side = _OTHER[order.order.side]
        for price, size in list(self._found(market, order, None)):
            if not self._from_level(market, order, side, price, size, order.limit, "maker"):
                return

    def on_print(
        self, market: PaperMarket, taker: str | None, price: float, size: float, used: int = 0
    ) -> None:
        """Take a public trade; without the taker's side only trading through a price counts.

        ``used`` is the part that other orders had.
        """
        volume = fixed(size)
        for side in ("buy", "sell") if taker is None else (_OTHER[taker],):
            if not market.resting[side]:
                continue
            for order in _by_priority(market.resting[side], side):
                # An order before it may have ended it, such as a reduce-only one.
                if order.is_over or order.must_not_rest or not order.crosses(price):
                    continue
                free = self._reached(order, price, taker, volume, used)
                if free:
                    assert order.limit is not None
                    used += self._fill(market, order, free, order.limit, "maker")

    def _fill(
        self, market: PaperMarket, order: WorkingOrder, size: int, price: float, kind: str
    ) -> int:
        """Execute a size of an order; return how much of it the order could take."""
        before = order.left
        self._execute(market, order, size, price, kind)
        return before - order.left

    def _reached(
        self, order: WorkingOrder, price: float, taker: str | None, volume: int, used: int
    ) -> int:
        if order.limit == price:
            return order.let_trade(volume, used) if taker is not None else 0
        order.ahead = 0  # the print went through its price, so nobody is before it there
        if self._is_unlimited:
            return order.left
        return max(0, min(order.left, volume - used))

    def on_print_alone(self, market: PaperMarket, price: float, size: float) -> int:
        """Fill orders that must not rest from a print, where no quotes were recorded.

        A market order waits for further prints; with a limit it meets only the first one.

        Returns
        -------
        int
            The part of the print that they had.
        """
        used = 0
        orders = [*market.resting["buy"], *market.resting["sell"]]
        for order in sorted(orders, key=attrgetter("number")):
            if not order.must_not_rest or order.is_over or not order.crosses(price):
                order.has_met = order.limit is not None
                continue
            order.has_met = order.limit is not None
            free = order.left if self._is_unlimited else min(order.left, fixed(size) - used)
            if free > 0 and order.accepts(free):
                used += self._fill(market, order, free, price, "taker")
        return used

    # -- candles -----------------------------------------------------------------------------------

    def on_candle(self, market: PaperMarket, candle: Candle, trigger: Trigger) -> None:
        """Match all orders that were sent before a candle opened against it."""
        opened = candle.timestamp or 0
        if candle.open is None or candle.low is None or candle.high is None:
            return
        volume = _Volume(None if self._is_unlimited else candle.volume)
        old = [each for each in market.orders() if each.order.submitted <= opened]
        new = [each for each in old if each.stop_is_up is None and not each.has_met]
        for order in new:
            self._at_open(market, order, candle.open, volume)
        waiting = self._stops(market, old, candle, volume, trigger)
        for side, worst in (("buy", candle.low), ("sell", candle.high)):
            for order in _by_priority([each for each in old if not each.is_over], side):
                is_resting = order.stop_is_up is None and not order.must_not_rest
                if order.order.side != side or not is_resting:
                    continue
                assert order.limit is not None
                if is_better(side, order.limit, worst):
                    # Where the candle began beyond its limit, that was not traded any more.
                    price = min(max(order.limit, candle.low), candle.high)
                    self._fill_up_to(market, order, price, "maker", volume)
        # A stop that could only close had nothing to close before a limit order was filled.
        self._stops(market, waiting, candle, volume, trigger)

    def _at_open(
        self, market: PaperMarket, order: WorkingOrder, price: float, volume: _Volume
    ) -> None:
        order.has_met = True
        if order.crosses(price) and order.order.post_only:
            self._refuse(market, order, price)
        elif order.crosses(price):
            self._fill_up_to(market, order, price, "taker", volume)

    def _stops(
        self,
        market: PaperMarket,
        orders: Iterable[WorkingOrder],
        candle: Candle,
        volume: _Volume,
        trigger: Trigger,
    ) -> list[WorkingOrder]:
        # Returns the reached stops that wait for a position to close.
        waiting = []
        assert candle.open is not None
        assert candle.high is not None
        assert candle.low is not None
        for order in orders:
            stop = order.order.stop
            if order.stop_is_up is None or order.is_over or stop is None:
                continue
            if not (candle.high >= stop if order.stop_is_up else candle.low <= stop):
                continue
            if order.order.reduce_only and not self._closes(market, order):
                waiting.append(order)
                continue
            price = max(stop, candle.open) if order.stop_is_up else min(stop, candle.open)
            trigger(market, order)
            if not order.is_over:
                self._at_open(market, order, price, volume)
        return waiting

    @staticmethod
    def _closes(market: PaperMarket, order: WorkingOrder) -> bool:
        return market.position * order.sign < 0

    def _fill_up_to(
        self, market: PaperMarket, order: WorkingOrder, price: float, kind: str, volume: _Volume
    ) -> None:
        size = volume.take(order.left) if order.accepts(volume.most(order.left)) else 0
        if size:
            self._execute(market, order, size, price, kind)


class _Volume:
    """What a candle traded, less what was filled from it; without limit if it is not known."""

    def __init__(self, volume: float | None) -> None:
        self._left = None if volume is None else fixed(volume)

    def most(self, wanted: int) -> int:
        return wanted if self._left is None else min(wanted, self._left)

    def take(self, wanted: int) -> int:
        taken = self.most(wanted)
        if self._left is not None:
            self._left -= taken
        return taken


def _by_priority(orders: Iterable[WorkingOrder], side: str) -> list[WorkingOrder]:
    """Sort orders of one side: better prices first, then the earlier ones; a new list."""
    sign = -1.0 if side == "buy" else 1.0
    in_time = sorted(orders, key=attrgetter("number"))
    return sorted(in_time, key=lambda each: sign * (each.limit or 0.0))
