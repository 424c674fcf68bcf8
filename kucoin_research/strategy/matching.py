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
from kucoin_research.strategy.market import MarketKind, PaperMarket
from kucoin_research.strategy.quotes import Quotes, is_better
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["LIQUIDITIES", "Execute", "Matcher", "Trigger"]

#: What takers find: the recorded depth, the best prices alone, or as much as they want.
LIQUIDITIES = ("depth", "best", "unlimited")

#: Executes a size of an order at a price, as maker or taker; False once the order is over.
Execute = Callable[[PaperMarket, WorkingOrder, int, float, str], bool]
#: Places an order whose stop price was reached.
Trigger = Callable[[PaperMarket, WorkingOrder], None]

#: Levels of a side of which it is remembered how much was taken.
_REMEMBERED = 64
_OTHER = {"buy": "sell", "sell": "buy"}


class Matcher:
    """Matches the orders of a market against its records. Keeps nothing itself.

    Parameters
    ----------
    execute
        Called for each execution.
    queue
        ``risk_averse``, ``proportional`` or ``none``.
    liquidity
        ``depth``, ``best`` or ``unlimited``.
    """

    def __init__(self, execute: Execute, *, queue: str, liquidity: str) -> None:
        self._execute = execute
        self._queue = queue
        self._is_unlimited = liquidity == "unlimited"
        self._is_best = liquidity == "best"

    # -- takers ------------------------------------------------------------------------------------

    def would_take(self, market: PaperMarket, order: WorkingOrder) -> float | None:
        """Return the best price of the other side if the order accepts it; else None.

        Where only trades are played, it is the last one's, and the order must be beyond it.
        """
        if market.kind is MarketKind.TRADES:
            last = market.last_price
            return last if last is not None and order.is_beyond(last) else None
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
            levels = market.taken[side]
            _, before = levels.pop(price, (displayed, 0))
            levels[price] = (displayed, before + size)
            if len(levels) > _REMEMBERED:  # the market has long left the oldest one
                del levels[next(iter(levels))]

    # -- resting orders ----------------------------------------------------------------------------

    def rest(self, market: PaperMarket, order: WorkingOrder) -> None:
        """Put an order into the book, behind the displayed size at its price."""
        side = order.order.side
        market.resting[side].append(order)
        if market.kind is MarketKind.TRADES:
            order.takes = order.must_not_rest or self.would_take(market, order) is not None
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
        if market.taken["buy"] or market.taken["sell"]:
            market.forget_taken(quotes)
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

        Parameters
        ----------
        used
            The size filled from it before.
        """
        sides = ("buy", "sell") if taker is None else (_OTHER[taker],)
        volume = fixed(size)
        for side in sides:
            orders = market.resting[side]
            if not orders:
                continue
            for order in _by_priority(orders, side):
                if order.limit is None or order.takes or not order.crosses(price):
                    continue
                free = self._reached(order, price, taker, volume, used)
                if free:
                    before = order.left
                    self._execute(market, order, free, order.limit, "maker")
                    used += before - order.left

    def _reached(
        self, order: WorkingOrder, price: float, taker: str | None, volume: int, used: int
    ) -> int:
        if order.limit == price:
            if self._queue == "none":
                order.ahead = 0
            return order.let_trade(volume, used) if taker is not None else 0
        order.ahead = 0  # the print went through its price, so nobody is before it there
        if self._is_unlimited:
            return order.left
        return max(0, min(order.left, volume - used))

    def on_print_alone(self, market: PaperMarket, price: float, size: float) -> int:
        """Fill orders that take from a print, where no quotes were recorded.

        A market order waits for further prints, and so does a limit until one is not better than
        it; then it rests. What must not rest meets the first print only.

        Returns
        -------
        int
            The size filled from the print.
        """
        volume, used = fixed(size), 0
        for order in _in_time([*market.resting["buy"], *market.resting["sell"]]):
            if not order.takes:
                continue
            order.has_met = order.limit is not None
            takes_more = order.crosses(price) and (order.must_not_rest or order.is_beyond(price))
            if not takes_more:
                order.takes = order.must_not_rest
                continue
            before = order.left
            free = order.left if self._is_unlimited else min(order.left, volume - used)
            if free > 0 and order.accepts(free):
                self._execute(market, order, free, price, "taker")
                used += before - order.left
        return used

    # -- candles -----------------------------------------------------------------------------------

    def on_candle(self, market: PaperMarket, candle: Candle, trigger: Trigger) -> None:
        """Match all orders that were sent before a candle opened against it."""
        if candle.open is None or candle.low is None or candle.high is None:
            return
        volume = _Volume(None if self._is_unlimited else candle.volume)
        market.opened = market.open_of(candle)
        for order in self.new_at_open(market, candle):
            self._at_open(market, order, candle.open, volume)
        market.opened = None
        old = _sent_before(market, candle)
        # A stop may have been reached behind the price that a limit behind it needs.
        limits = [each for each in old if each.stop_is_up is None and not each.must_not_rest]
        waiting = self._stops(market, old, candle, volume, trigger)
        for side, worst in (("buy", candle.low), ("sell", candle.high)):
            there = [each for each in limits if each.order.side == side and not each.is_over]
            for order in _by_priority(there, side):
                if order.limit is not None and is_better(side, order.limit, worst):
                    # Where the candle began beyond its limit, that was not traded any more.
                    price = min(max(order.limit, candle.low), candle.high)
                    self._fill_up_to(market, order, price, "maker", volume)
        # A stop that could only close had nothing to close before a limit order was filled.
        self._stops(market, waiting, candle, volume, trigger)

    @staticmethod
    def new_at_open(market: PaperMarket, candle: Candle) -> list[WorkingOrder]:
        """List the orders that meet their first candle at its open, the earliest first."""
        there = _sent_before(market, candle)
        return [each for each in there if each.stop_is_up is None and not each.has_met]

    def _at_open(
        self, market: PaperMarket, order: WorkingOrder, price: float, volume: _Volume
    ) -> None:
        if order.crosses(price) and not order.order.post_only:
            self._fill_up_to(market, order, price, "taker", volume)
        order.has_met = True

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
            if order.order.stop_price_type != "TP":
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
        before = order.left
        size = volume.free(before)
        if not order.accepts(size):
            return
        if size:
            self._execute(market, order, size, price, kind)
            volume.use(before - order.left)


class _Volume:
    """The volume of a candle, less the fills from it; without limit if it is not known."""

    def __init__(self, volume: float | None) -> None:
        self._left = None if volume is None else fixed(volume)

    def free(self, wanted: int) -> int:
        return wanted if self._left is None else min(wanted, self._left)

    def use(self, size: int) -> None:
        if self._left is not None:
            self._left -= size


def _sent_before(market: PaperMarket, candle: Candle) -> list[WorkingOrder]:
    opened = market.open_of(candle)
    return _in_time(each for each in market.orders() if each.since <= opened)


def _in_time(orders: Iterable[WorkingOrder]) -> list[WorkingOrder]:
    return sorted(orders, key=attrgetter("number"))


def _by_priority(orders: Iterable[WorkingOrder], side: str) -> list[WorkingOrder]:
    """Sort orders of one side: better prices first, then the earlier ones; a new list."""
    sign = -1.0 if side == "buy" else 1.0
    return sorted(_in_time(orders), key=lambda each: sign * (each.limit or 0.0))
