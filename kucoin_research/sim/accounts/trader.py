"""A random trader: it gives an account's private streams something to report."""

from __future__ import annotations

from decimal import Decimal
from math import log
from random import Random

from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.accounts.venue import OrderPlacer
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.fundamental_value import BASES, coin_of
from kucoin_research.sim.engine.market import Market, Side

__all__ = ["RandomTrader"]

_MINUTE_NS = 60_000_000_000
_ORDER_VALUE = 400.0  # USDT: about the median of its orders
_MOST_ORDERS = 12
_MOST_INVENTORY = 8  # in orders of the median size


class RandomTrader:
    """Places, amends and cancels orders at random on one symbol.

    It draws from a generator of its own (seed, account, symbol) and acts at virtual times, so the
    same seed and start give the same orders.

    Parameters
    ----------
    order_entry
        Takes its orders.
    member
        The account that trades.
    engine
        The market.
    orders_per_minute
        Average number of actions per virtual minute.
    seed
        Seed of the trader.
    """

    def __init__(
        self,
        order_entry: OrderPlacer,
        member: Member,
        engine: Market,
        orders_per_minute: float,
        seed: int,
    ) -> None:
        self._order_entry = order_entry
        self._member = member
        self._engine = engine
        self._symbol = engine.listing.symbol
        self._random = Random(f"{seed}:{member.user_id}:{self._symbol}:trader")
        self._mean_ns = _MINUTE_NS / orders_per_minute
        self._unit = _median_units(engine.listing)
        self._next_ns = float(engine.now_ns)
        self._wait()

    def act(self, now_ns: int) -> None:
        """Take all actions that are due up to a time."""
        while self._next_ns <= now_ns:
            self._wait()
            try:
                self._act_once()
            except OrderRefused as refused:
                # Its funds are bound by open orders: cancel one, as a person would. Or wait for the
                # end of a settlement.
                if refused.code != "300015":
                    self._cancel_oldest()

    def _wait(self) -> None:
        self._next_ns -= log(1.0 - self._random.random()) * self._mean_ns

    def _act_once(self) -> None:
        choice = self._random.random()
        orders = self._member.orders_of(self._symbol)
        if len(orders) >= _MOST_ORDERS or (orders and choice < 0.12):
            self._cancel_oldest()
        elif choice < 0.45:
            self._place(price_ticks=None)
        elif choice < 0.52:
            self._place_stop()
        elif orders and choice < 0.58:
            self._amend()
        else:
            self._place_limit()

    def _place_limit(self) -> None:
        side = self._side()
        best = self._engine.best_bid if side == "buy" else self._engine.best_ask
        if best is None:
            return
        behind = int(self._engine.listing.flow.gap_ticks * 4 * self._random.random() ** 2)
        self._place(price_ticks=best - behind if side == "buy" else best + behind, side=side)

    def _place(self, price_ticks: int | None, side: Side | None = None) -> None:
        price = None
        if price_ticks is not None:
            price = Decimal(self._engine.price_text(max(1, price_ticks)))
        self._order_entry.place(
            self._member,
            OrderRequest(
                symbol=self._symbol, side=side or self._side(), size=self._size(), price=price
            ),
        )

    def _place_stop(self) -> None:
        stops = [s for s in self._member.stops.values() if s.request.symbol == self._symbol]
        if len(stops) >= 3:
            self._order_entry.cancel(self._member, stops[0].order_id)
            return
        engine, last = self._engine, self._engine.last_trade
        if last is None:
            return
        rises = self._random.random() < 0.5
        away = 1 + int(engine.listing.flow.gap_ticks * 20 * self._random.random())
        ticks = max(1, last.price_ticks + (away if rises else -away))
        if engine.listing.market == "futures":
            stop = "up" if rises else "down"
        else:
            stop = "entry" if rises else "loss"
        self._order_entry.place(
            self._member,
            OrderRequest(
                symbol=self._symbol,
                side=self._side(),
                size=self._size(),
                stop=stop,
                stop_price=Decimal(engine.price_text(ticks)),
            ),
        )

    def _amend(self) -> None:
        order = self._member.orders_of(self._symbol)[0]
        size = order.filled + order.remaining // 2
        if size > order.filled:
            text = self._engine.size_text(size)
            self._order_entry.amend(self._member, order.order_id, Decimal(text))

    def _cancel_oldest(self) -> None:
        orders = self._member.orders_of(self._symbol)
        if orders:
            self._order_entry.cancel(self._member, orders[0].order_id)

    def _side(self) -> Side:
        # The larger its inventory, the less often it adds to it.
        pull = max(-0.45, min(0.45, self._inventory() / (_MOST_INVENTORY * 2)))
        return "buy" if self._random.random() < 0.5 - pull else "sell"

    def _inventory(self) -> float:
        listing, member = self._engine.listing, self._member
        if listing.market == "futures":
            position = member.positions.get(self._symbol)
            return position.quantity / self._unit if position is not None else 0.0
        opening = Decimal(member.account.spot.get(listing.base, "0"))
        held = member.spot.total(listing.base) - opening
        return float(held / Decimal(listing.lot_size)) / self._unit

    def _size(self) -> Decimal:
        units = max(1, int(self._unit * 4 ** (2 * self._random.random() - 1)))
        return Decimal(self._engine.size_text(units))


def _median_units(listing: Listing) -> int:
    if listing.is_inverse:
        return int(_ORDER_VALUE)
    model = listing.price_model or BASES.get(coin_of(listing.base))
    coin = listing.start_price if model is None else model.start_price
    return max(1, int(_ORDER_VALUE / (coin * listing.multiplier * float(listing.lot_size))))
