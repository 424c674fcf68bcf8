"""The broker, as a strategy sees it: it sends orders, and knows the reports that have come back.

Orders take a while to arrive at the exchange, and reports take a while to come back. Positions,
cash, orders and fills here are those that have been reported; prices are those that were received.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from kucoin_research.errors import BookNotReady, InvalidInput, UnknownChannel, UnknownSymbol, shown
from kucoin_research.foundation.arguments import is_number
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import Depth5, Depth50, Level2, Record, Status
from kucoin_research.strategy.fixed_point import as_float, fixed
from kucoin_research.strategy.margin import liquidation_price
from kucoin_research.strategy.market import HISTORY, PaperMarket
from kucoin_research.strategy.orders import Fill, Order, OrderStatus
from kucoin_research.strategy.positions import HoldingState, Position, position_of
from kucoin_research.strategy.reports import AccountReport, OrderReport, Report

__all__ = ["BestQuotes", "Broker", "Desk"]

_FLAT = HoldingState()
_STOP_TYPES = ("TP", "MP", "IP")
_IN_FORCE = ("GTC", "IOC", "FOK", "GTT")


class BestQuotes(NamedTuple):
    """The best bid and ask of a moment; ``None`` on an empty side. Sizes are lots or coins."""

    best_bid: float | None
    best_bid_size: float | None
    best_ask: float | None
    best_ask_size: float | None

    @property
    def mid(self) -> float | None:
        """``(best bid + best ask) / 2``; ``None`` when a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return (self.best_bid + self.best_ask) / 2

    @property
    def spread(self) -> float | None:
        """``best ask - best bid``; ``None`` when a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return self.best_ask - self.best_bid


class Desk(NamedTuple):
    """What a broker works with: where its orders go, and how its account is valued.

    Attributes
    ----------
    markets
        By symbol.
    cash
        The starting balances, by currency.
    is_cross
        Whether margin is shared.
    send
        Called with a new order.
    cancel
        Called with an order that is to be cancelled.
    worth
        Converts an exact amount of a currency into the currency of the results; None if it cannot
        yet.
    remark
        Called with a symbol and the text of a note.
    """

    markets: Mapping[str, PaperMarket]
    cash: Mapping[str, int]
    is_cross: bool
    send: Callable[[Order], None]
    cancel: Callable[[Order], None]
    worth: Callable[[str, int], int | None]
    remark: Callable[[str | None, str], None]


class Broker:
    """Sends orders and keeps the reports on them; its methods are all that a strategy may do.

    Use it from the strategy's function. Sizes are contracts on futures and base coins on spot;
    prices are in the quote currency. ``symbol`` may be left out where only one is played.
    """

    def __init__(self, desk: Desk) -> None:
        self.now = 0
        self._desk = desk
        self._orders: dict[int, Order] = {}
        self._all: list[Order] = []
        self._fills: list[Fill] = []
        self._cancelling: set[int] = set()  # orders whose cancel is on its way
        self._held: dict[str, HoldingState] = {}
        self._cash = dict(desk.cash)
        self._others: dict[type[Record], deque[Record]] = {}

    # -- orders ------------------------------------------------------------------------------------

    def buy(
        self,
        size: float,
        symbol: str | None = None,
        *,
        limit: float | None = None,
        stop: float | None = None,
        stop_price_type: str = "TP",
        time_in_force: str = "GTC",
        post_only: bool = False,
        reduce_only: bool = False,
        cancel_after: float | None = None,
        tag: str = "",
    ) -> Order:
        """Send an order to buy.

        Parameters
        ----------
        size
            Contracts on futures, base coins on spot.
        symbol
            May be left out where only one is played.
        limit
            The limit price; a market order if left out.
        stop
            The order is placed once this price is reached: from below if it lies above the price
            that is known when it is sent, else from above.
        stop_price_type
            What reaches the stop: ``"TP"`` the last trade, ``"MP"`` the mark price, ``"IP"`` the
            index price. On spot the last trade only.
        time_in_force
            ``"GTC"``, ``"IOC"``; on spot also ``"FOK"``, and ``"GTT"`` with ``cancel_after``.
        post_only
            Refuse the order if any part of it would take.
        reduce_only
            Only make a position smaller; futures only.
        cancel_after
            Seconds after which a ``"GTT"`` order is cancelled.
        tag
            A word of your own, kept with the order's fills.

        Returns
        -------
        Order
            Its ``status`` is ``pending`` until the exchange has answered; look again later.

        Raises
        ------
        InvalidInput
            If an argument makes no sense, or two contradict each other. What KuCoin would refuse
            comes back as an order with the status ``rejected`` instead.
        UnknownSymbol
            If the symbol is not played, or was left out although several are.
        """
        return self._send(
            "buy", size, symbol, limit, stop, stop_price_type, time_in_force,
            (post_only, reduce_only), cancel_after, tag,
        )  # fmt: skip

    def sell(
        self,
        size: float,
        symbol: str | None = None,
        *,
        limit: float | None = None,
        stop: float | None = None,
        stop_price_type: str = "TP",
        time_in_force: str = "GTC",
        post_only: bool = False,
        reduce_only: bool = False,
        cancel_after: float | None = None,
        tag: str = "",
    ) -> Order:
        """Send an order to sell; the same as ``buy`` on the other side."""
        return self._send(
            "sell", size, symbol, limit, stop, stop_price_type, time_in_force,
            (post_only, reduce_only), cancel_after, tag,
        )  # fmt: skip

    def _send(
        self,
        side: str,
        size: float,
        symbol: str | None,
        limit: float | None,
        stop: float | None,
        stop_price_type: str,
        time_in_force: str,
        flags: tuple[bool, bool],
        cancel_after: float | None,
        tag: str,
    ) -> Order:
        market = self._market(symbol)
        post_only, reduce_only = flags
        order = Order(
            order_id=len(self._all) + 1,
            symbol=market.symbol,
            side=side,
            type="market" if limit is None else "limit",
            size=_a_number(size, "size"),
            limit=None if limit is None else _a_number(limit, "limit"),
            stop=None if stop is None else _a_number(stop, "stop"),
            stop_price_type=stop_price_type,
            time_in_force=time_in_force,
            cancel_after=None if cancel_after is None else _a_number(cancel_after, "cancel_after"),
            post_only=bool(post_only),
            reduce_only=bool(reduce_only),
            tag=_a_text(tag),
            submitted=self.now,
            decision_mid=market.mid,
        )
        _refuse_contradictions(order, is_spot=market.contract.is_spot)
        if order.stop is not None and stop_price_type != "TP":
            _need_marks(market)
        self._orders[order.order_id] = order
        self._all.append(order)
        self._desk.send(order)
        return order

    def close(self, symbol: str | None = None) -> Order | None:
        """Send a market order that closes the whole position; nothing is sent when flat."""
        market = self._market(symbol)
        size = as_float(self._held.get(market.symbol, _FLAT).size)
        if not size:
            return None
        side = self.sell if size > 0 else self.buy
        return side(abs(size), market.symbol, reduce_only=not market.contract.is_spot, tag="close")

    def target(self, size: float, symbol: str | None = None) -> Order | None:
        """Send the market order that brings the position to a signed size.

        Orders that are on their way are not counted, so wait for them before you call it again.

        Returns
        -------
        Order or None
            None if the position is there.
        """
        market = self._market(symbol)
        wanted = fixed(_a_number(size, "size"))
        change = wanted - self._held.get(market.symbol, _FLAT).size
        if not change:
            return None
        side = self.buy if change > 0 else self.sell
        return side(as_float(abs(change)), market.symbol, tag="target")

    def cancel(self, order: Order) -> None:
        """Ask to cancel an order; nothing happens if it is over when the request arrives."""
        if not isinstance(order, Order):
            raise InvalidInput(f"cancel takes an Order, as buy returns it, not {shown(order)}")
        if order.order_id > len(self._all) or self._all[order.order_id - 1] is not order:
            raise InvalidInput("this order was sent by another broker")
        if order.is_open:
            self._ask_to_cancel(order)

    def cancel_all(self, symbol: str | None = None) -> None:
        """Ask to cancel all open orders, or those of one symbol."""
        for order in self.orders(symbol):
            self._ask_to_cancel(order)

    def _ask_to_cancel(self, order: Order) -> None:
        # A second request could find nothing to cancel. Strategies that ask with each record would
        # send thousands while quotes are missing.
        if order.order_id not in self._cancelling:
            self._cancelling.add(order.order_id)
            self._desk.cancel(order)

    def replace(self, order: Order, limit: float | None = None, size: float | None = None) -> Order:
        """Cancel an order and send it again with another limit price or size.

        KuCoin cannot change an order, so the new one goes to the back of the queue. Its size is
        the rest of the old one, as far as is known, unless another is given.

        Returns
        -------
        Order
            The new one.

        Raises
        ------
        InvalidInput
            If the order is filled and no size is given.
        """
        self.cancel(order)
        left = as_float(fixed(order.size) - fixed(order.filled))
        if not left and size is None:
            raise InvalidInput(
                f"order {order.order_id} is filled, so nothing is left to replace; pass size="
            )
        side = self.buy if order.side == "buy" else self.sell
        return side(
            left if size is None else size,
            order.symbol,
            limit=order.limit if limit is None else limit,
            stop=order.stop,
            stop_price_type=order.stop_price_type,
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            reduce_only=order.reduce_only,
            cancel_after=order.cancel_after,
            tag=order.tag,
        )

    def orders(self, symbol: str | None = None) -> list[Order]:
        """List the open orders, in the order in which they were sent."""
        if symbol is not None:
            symbol = self._market(symbol).symbol
        return [each for each in self._orders.values() if symbol in (None, each.symbol)]

    @property
    def fills(self) -> Sequence[Fill]:
        """The executions that were reported so far, liquidations among them."""
        return self._fills

    # -- the account -------------------------------------------------------------------------------

    def position(self, symbol: str | None = None) -> Position:
        """Return a position, valued at the newest mark price, or the mid without one."""
        market = self._market(symbol)
        held = self._held.get(market.symbol, _FLAT)
        mark = market.mark if held.size else None
        limit = None if self._desk.is_cross else liquidation_price(market.contract, held)
        return position_of(market.contract, held, mark, limit)

    @property
    def cash(self) -> float:
        """The balances, in the currency of the results."""
        return as_float(sum(self._worths()))

    @property
    def equity(self) -> float:
        """Cash with the unrealised profits of contracts, and the worth of coins held on spot."""
        total = sum(self._worths())
        for symbol, held in self._held.items():
            market = self._desk.markets[symbol]
            mark = market.mark
            if not held.size or mark is None:
                continue
            value = market.contract.value(held.size, mark)
            gained = value if market.contract.is_spot else value - held.cost
            total += self._desk.worth(market.contract.settle, gained) or 0
        return as_float(total)

    def _worths(self) -> Iterable[int]:
        for currency, amount in self._cash.items():
            yield (self._desk.worth(currency, amount) or 0) if amount else 0

    # -- the market --------------------------------------------------------------------------------

    def best(self, symbol: str | None = None) -> BestQuotes:
        """Return the best bid and ask, from the channel that shows the most of the book.

        Where only candles or trades are played, all four are ``None``.
        """
        quotes = self._market(symbol).quotes
        bid = ask = None
        if quotes is not None:
            bid, ask = quotes.best("buy"), quotes.best("sell")
        return BestQuotes(*(bid or (None, None)), *(ask or (None, None)))

    def book(self, symbol: str | None = None) -> OrderBook:
        """Return the order book as far as it is visible.

        Raises
        ------
        BookNotReady
            If there is none at this moment.
        """
        market = self._market(symbol)
        quotes = market.quotes
        if quotes is None:
            raise BookNotReady(f"no quotes of {market.symbol} have come yet")
        if quotes is market.book:
            return market.book.book.copy()
        newest = next(
            (each[-1] for kind in (Depth50, Depth5) if (each := market.history[kind])), None
        )
        sequence = -1 if newest is None else newest[3]
        return OrderBook(
            market.symbol,
            sequence if isinstance(sequence, int) else -1,
            quotes.updated,
            dict(quotes.levels("buy")),
            dict(quotes.levels("sell")),
        )

    def last(self, channel: str, n: int = 1, symbol: str | None = None) -> list[Record]:
        """Return the newest records of a channel, the newest last.

        Parameters
        ----------
        channel
            As the recording names it.
        n
            How many, at most 10,000; fewer are returned while there are fewer.
        symbol
            May be left out where only one is played.

        Raises
        ------
        InvalidInput
            If ``n`` is no whole number from 1 to 10,000.
        """
        record = parse_channel(channel).record
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= HISTORY:
            raise InvalidInput(f"n must be a whole number from 1 to {HISTORY:,}, not {shown(n)}")
        if record is Level2:
            self._market(symbol)
        history = self._history(record, symbol)
        size = len(history)
        return [history[at] for at in range(max(0, size - n), size)]

    def _history(self, record: type[Record], symbol: str | None) -> deque[Record]:
        if record is Status:
            return self._others.setdefault(Status, deque(maxlen=HISTORY))
        found = self._market(symbol).history.get(record)
        if found is None:
            raise UnknownChannel("only channels of market data and status are kept for last")
        return found

    def instrument(self, symbol: str | None = None) -> Instrument:
        """Return the facts of a symbol."""
        return self._market(symbol).contract.instrument

    def note(self, text: str, symbol: str | None = None) -> None:
        """Keep a remark with the time and the position; it is shown on the chart."""
        if symbol is None and len(self._desk.markets) == 1:
            symbol = next(iter(self._desk.markets))
        elif symbol is not None:
            symbol = self._market(symbol).symbol
        self._desk.remark(symbol, _a_text(text))

    def _market(self, symbol: str | None) -> PaperMarket:
        markets = self._desk.markets
        if symbol is None:
            if len(markets) == 1:
                return next(iter(markets.values()))
            raise UnknownSymbol(f"name one of the symbols: {', '.join(markets)}")
        found = markets.get(symbol) if isinstance(symbol, str) else None
        if found is None:
            raise UnknownSymbol(
                f"{shown(symbol)} is not played here; there is {', '.join(markets)}"
            )
        return found

    # -- what comes back ---------------------------------------------------------------------------

    def hear(self, report: Report) -> None:
        """Take a report of the exchange. Called by the run, not by strategies."""
        if isinstance(report, AccountReport):
            self._held[report.symbol] = report.holding
            self._cash[report.currency] = report.cash
            if report.fill is not None:
                self._fills.append(report.fill)
            return
        self._hear_order(report)

    def _hear_order(self, report: OrderReport) -> None:
        order = report.order
        order.status = report.status
        order.filled, order.average_price = report.filled, report.average_price
        order.reason = report.reason or order.reason
        if order.accepted is None and report.status is not OrderStatus.REJECTED:
            order.accepted = report.when
        if not report.status.is_open:
            order.ended = report.when
            self._orders.pop(order.order_id, None)
            self._cancelling.discard(order.order_id)
        if report.fill is not None:
            self._fills.append(report.fill)

    def see_status(self, status: Record) -> None:
        """Keep a status row for ``last``. Called by the run, not by strategies."""
        self._others.setdefault(Status, deque(maxlen=HISTORY)).append(status)

    @property
    def sent(self) -> Sequence[Order]:
        """All orders that were sent, the first one first."""
        return self._all

    def __repr__(self) -> str:
        held = {symbol: as_float(held.size) for symbol, held in self._held.items() if held.size}
        return f"Broker(equity={self.equity:,.2f}, positions={held}, open={len(self._orders)})"


def _a_text(value: object) -> str:
    return str(value).encode(errors="replace").decode()  # half a surrogate pair fits no frame


def _a_number(value: object, name: str) -> float:
    if not is_number(value) or not math.isfinite(value):  # type: ignore[arg-type]
        raise InvalidInput(f"{name} must be a finite number, not {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def _need_marks(market: PaperMarket) -> None:
    if not market.has_marks:
        raise InvalidInput(
            f"a stop on the mark or index price of {market.symbol} could never be reached, since "
            'no "mark_price" is played; record it too, or use stop_price_type="TP"'
        )


def _refuse_contradictions(order: Order, *, is_spot: bool) -> None:
    # Words that KuCoin does not know, and pairs of arguments that mean nothing together.
    force, price_type = order.time_in_force, order.stop_price_type
    if force not in _IN_FORCE:
        raise InvalidInput(
            f"time_in_force must be one of {', '.join(_IN_FORCE)}, not {shown(force)}"
        )
    if price_type not in _STOP_TYPES:
        words = ", ".join(_STOP_TYPES)
        raise InvalidInput(f"stop_price_type must be one of {words}, not {shown(price_type)}")
    for is_wrong, sentence in (
        (force in ("FOK", "GTT") and not is_spot, f"{force} is for spot; futures have GTC and IOC"),
        (force == "GTT" and not order.cancel_after, "GTT needs cancel_after, in seconds"),
        (force != "GTT" and order.cancel_after is not None, "cancel_after goes with GTT"),
        (order.post_only and order.limit is None, "post_only needs a limit price"),
        (order.post_only and force in ("IOC", "FOK"), f"post_only contradicts {force}"),
        (order.reduce_only and is_spot, "reduce_only is for futures"),
        (is_spot and price_type != "TP", "spot stops are reached by the last trade (TP) only"),
    ):
        if is_wrong:
            raise InvalidInput(sentence)
