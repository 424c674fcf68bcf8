"""The paper exchange: it takes orders and records, and executes as KuCoin would have.

It has no clock and no randomness: it goes forward only on records. For each record, orders that
arrived before it meet the market as it was; then the record is taken, resting orders are matched,
and, after the strategy has seen it, orders without latency meet the market as it is now.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import NamedTuple

from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    Level2,
    MarkPrice,
    Record,
    Status,
    Ticker,
    Trade,
)
from kucoin_research.strategy.account import Account
from kucoin_research.strategy.fixed_point import as_float, fixed
from kucoin_research.strategy.funding import FundingCalendar
from kucoin_research.strategy.ledger import Ledger
from kucoin_research.strategy.liquidation import Liquidator
from kucoin_research.strategy.market import MarketKind, PaperMarket
from kucoin_research.strategy.matching import Matcher
from kucoin_research.strategy.order_entry import OrderEntry
from kucoin_research.strategy.orders import Fill, OrderStatus
from kucoin_research.strategy.reports import AccountReport, OrderReport, Report
from kucoin_research.strategy.rules import Rejection, amount_text
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["FOREVER", "PaperExchange"]

#: Later than any record.
FOREVER = 1 << 63
_QUOTES = frozenset({Ticker, BestBidOffer, Depth5, Depth50, Level2})


class _Command(NamedTuple):
    when: int
    number: int
    work: Callable[[], None]


class PaperExchange:
    """Executes orders on recorded markets. Not thread-safe.

    Parameters
    ----------
    markets
        By symbol.
    account
        Whose orders they are.
    ledger
        Keeps what happened, for the result.
    report
        Called with each report as it leaves the exchange.
    funding
        Which fundings are settled.
    queue, liquidity
        See ``Matcher``.
    """

    def __init__(
        self,
        markets: Mapping[str, PaperMarket],
        account: Account,
        ledger: Ledger,
        report: Callable[[Report], None],
        *,
        funding: FundingCalendar,
        queue: str,
        liquidity: str,
    ) -> None:
        self.now = 0
        self.wake = FOREVER  # when the next command arrives
        self._markets = markets
        self._account = account
        self._ledger = ledger
        self._report = report
        self._funding = funding
        self._matcher = Matcher(self._execute, self._refuse, queue=queue, liquidity=liquidity)
        self._entry = OrderEntry(account, self._matcher, funding)
        self._liquidator = Liquidator(account, markets)
        self._commands: list[_Command] = []
        self._counted = 0

    # -- time --------------------------------------------------------------------------------------

    def at(self, when: int, work: Callable[[], None]) -> None:
        """Do something at a time; what is due together is done in the order of these calls."""
        self._counted += 1
        heapq.heappush(self._commands, _Command(when, self._counted, work))
        self.wake = self._commands[0].when

    def advance(self, until: int) -> None:
        """Do what is due before a time."""
        while self.wake < until:
            self._next()

    def work_due(self, now: int) -> None:
        """Do what is due at a time, the time itself included."""
        while self.wake <= now:
            self._next()

    def _next(self) -> None:
        command = heapq.heappop(self._commands)
        self.wake = self._commands[0].when if self._commands else FOREVER
        self.now = max(self.now, command.when)
        command.work()

    # -- records -----------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        """Take a record: first the market's new state, then the orders that it concerns."""
        now = record[1] or 0
        self.now = now
        market = self._markets.get(record[2])  # type: ignore[arg-type]
        if market is not None and market.take(record):
            self._work(market, record, now)
        elif record.__class__ is Status:
            self._on_status(record)
        elif record.__class__ is FundingRate:
            self._funding.see(record)

    def _work(self, market: PaperMarket, record: Record, now: int) -> None:
        """Look at the positions and orders that a record concerns."""
        kind = record.__class__
        if kind is FundingRate:
            self._on_funding(market, record)
        elif kind is MarkPrice or (market.position and not market.has_marks):
            self._on_mark(market)
        if kind in _QUOTES and (market.taken["buy"] or market.taken["sell"]):
            market.forget_taken()
        if not market.has_orders or market.is_in_gap(now):
            return
        if market.has_passed_gap(now):
            for order in market.orders():
                order.lose_place()
        self._match(market, record, kind)
        if market.waiting and market.is_fresh(now):
            for order in list(market.waiting):
                market.waiting.remove(order)
                # A stop that was reached in the meantime has been accepted before.
                (self._activate if order.is_accepted else self._place)(market, order)
        market.look_up()

    def _match(self, market: PaperMarket, record: Record, kind: type[Record]) -> None:
        if kind in _QUOTES:
            self._on_quotes(market, record)
        elif kind is Trade:
            self._on_trade(market, record)
        elif kind is Candle:
            self._on_candle(market, record)
        elif kind is MarkPrice and market.stops:
            self._on_reference(market, ("MP", "IP"))

    def _on_quotes(self, market: PaperMarket, record: Record) -> None:
        # A stop's order comes behind the print that reached it, so it is no part of that print.
        if isinstance(record, Ticker) and not market.has_trades and record.price is not None:
            self._on_ticker_trade(market, record)
        self._matcher.on_quotes(market)
        if isinstance(record, Ticker) and market.stops:
            self._on_reference(market, ("TP",))

    def _on_ticker_trade(self, market: PaperMarket, ticker: Ticker) -> None:
        # A ticker repeats its last trade while only quotes change.
        seen = (ticker.sequence, ticker.price, ticker.size)
        if seen != market.last_ticker_trade and ticker.price is not None:
            market.last_ticker_trade = seen
            self._matcher.on_print(market, ticker.side, ticker.price, ticker.size or 0.0)

    def _on_trade(self, market: PaperMarket, record: Record) -> None:
        trade: Trade = record  # type: ignore[assignment]
        if trade.price is None or trade.size is None:
            return
        used = 0
        if market.kind is MarketKind.TRADES:
            used = self._matcher.on_print_alone(market, trade.price, trade.size)
        self._matcher.on_print(market, trade.side, trade.price, trade.size, used)
        if market.kind is MarketKind.TRADES:
            self._end_unfilled(market, "the trade did not fill it")
        if market.stops:
            self._on_reference(market, ("TP",))

    def _on_candle(self, market: PaperMarket, record: Record) -> None:
        candle: Candle = record  # type: ignore[assignment]
        if market.kind is MarketKind.CANDLES and candle.interval == market.interval:
            self._matcher.on_candle(market, candle, self._triggered)
            self._end_unfilled(market, "the candle traded no more")

    def _on_status(self, record: Record) -> None:
        status: Status = record  # type: ignore[assignment]
        if status.event == "disconnected":
            for market in self._markets.values():
                market.lose_connection(self.now)
        if status.channel == "level2":
            symbol = status.symbol
            if status.event == "resync":
                symbol = (status.detail or "").partition(":")[0]
            market_of = self._markets.get(symbol or "")
            if market_of is not None:
                market_of.book.book.take_status(status)

    # -- stops -------------------------------------------------------------------------------------

    def _on_reference(self, market: PaperMarket, kinds: tuple[str, ...]) -> None:
        for order in list(market.stops):
            kind, stop = order.order.stop_price_type, order.order.stop
            if kind not in kinds or stop is None:
                continue
            price = market.reference(kind)
            if price is None:
                continue
            if price >= stop if order.stop_is_up else price <= stop:
                self._triggered(market, order)

    def _triggered(self, market: PaperMarket, order: WorkingOrder) -> None:
        market.stops.remove(order)
        order.stop_is_up = None
        if self._can_match(market):
            self._activate(market, order)
        else:
            market.waiting.append(order)

    def _can_match(self, market: PaperMarket) -> bool:
        """Whether anything is known to match a new order against."""
        return market.kind is not MarketKind.QUOTES or market.is_fresh(self.now)

    # -- orders ------------------------------------------------------------------------------------

    def place(self, order: WorkingOrder) -> None:
        """Take a new order as it arrives."""
        market = self._markets[order.order.symbol]
        if self._can_match(market):
            self._place(market, order)
        else:
            market.waiting.append(order)
        market.look_up()

    def _place(self, market: PaperMarket, order: WorkingOrder) -> None:
        refusal = self._entry.check(market, order, self.now)
        if refusal is not None:
            self._end(market, order, OrderStatus.REJECTED, str(refusal))
            return
        self._counted += 1
        order.number = self._counted
        if order.order.stop is None:
            self._activate(market, order)
            return
        self._accept(order)
        market.stops.append(order)
        reference = market.reference(order.order.stop_price_type)
        order.stop_is_up = self._entry.stop_is_up(order, reference)
        if market.kind is not MarketKind.CANDLES:
            self._on_reference(market, (order.order.stop_price_type,))

    def _activate(self, market: PaperMarket, order: WorkingOrder) -> None:
        """Check an order against the account, let it take, and let the rest of it rest."""
        refusal = self._entry.admit(market, order)
        if refusal is not None:
            # A stop was accepted long ago; once it is reached it can still fail.
            ended = OrderStatus.CANCELLED if order.is_accepted else OrderStatus.REJECTED
            self._end(market, order, ended, str(refusal))
            return
        if not order.is_accepted:
            self._accept(order)
        if order.order.cancel_after is not None:
            expiry = self.now + round(order.order.cancel_after * 1e9)
            self.at(expiry, lambda: self.cancel(order, "GTT: its time is over"))
        if market.kind is not MarketKind.QUOTES:
            self._matcher.rest(market, order)
            return
        worst = self._entry.worst_price(market, order)
        wanted = order.left
        if order.order.time_in_force == "FOK" and (
            self._matcher.visible(market, order, worst) < wanted
        ):
            self._end(market, order, OrderStatus.CANCELLED, "FOK: it cannot be filled as a whole")
            return
        self._matcher.take(market, order, worst)
        if order.is_over:
            return
        if order.limit is None or order.order.time_in_force in ("IOC", "FOK"):
            self._end(market, order, OrderStatus.CANCELLED, self._entry.why_short(market, order))
            return
        self._matcher.rest(market, order)

    def _refuse(self, market: PaperMarket, order: WorkingOrder, price: float) -> None:
        refusal = self._entry.would_take(order, price)
        self._end(market, order, OrderStatus.CANCELLED, str(refusal))

    def _accept(self, order: WorkingOrder) -> None:
        order.is_accepted = True
        self._tell(order, OrderStatus.ACCEPTED)

    def _end_unfilled(self, market: PaperMarket, reason: str) -> None:
        """Cancel what must not rest, once it has met a record."""
        for order in list(market.orders()):
            if order.has_met and order.must_not_rest and order.stop_is_up is None:
                self._end(market, order, OrderStatus.CANCELLED, reason)

    def cancel(self, order: WorkingOrder, reason: str = "cancelled") -> None:
        """Cancel an order as the request arrives; nothing happens if it is over."""
        if not order.is_over:
            market = self._markets[order.order.symbol]
            self._end(market, order, OrderStatus.CANCELLED, reason)
            market.look_up()

    def _end(
        self, market: PaperMarket, order: WorkingOrder, status: OrderStatus, reason: str | None
    ) -> None:
        order.is_over = True
        self._entry.release(order, order.left)
        market.remove(order)
        self._tell(order, status, reason)

    # -- executions --------------------------------------------------------------------------------

    def _execute(
        self, market: PaperMarket, order: WorkingOrder, size: int, price: float, kind: str
    ) -> bool:
        """Execute a size of an order; False once the order is over."""
        if order.is_over:  # ended by the fill of another one
            return False
        contract = market.contract
        if order.order.reduce_only:
            size = min(size, self._entry.closable(order))
        self._entry.release(order, size)
        exact, signed = fixed(price), order.sign * size
        cost = self._account.opening_cost(order.order.symbol, signed, exact)
        currency = contract.settle
        if cost > max(0, self._account.available(currency)) and size:
            text = f"Balance insufficient. The order would cost {amount_text(cost, currency)}."
            code = "200004" if contract.is_spot else "300003"
            hint = f"{amount_text(self._account.available(currency), currency)} are free"
            self._end(market, order, OrderStatus.CANCELLED, str(Rejection(code, text, hint)))
            return False
        if size:
            order.left -= size
            order.filled += size
            self._book(market, order, signed, price, kind)
        if order.left and not (order.order.reduce_only and not self._entry.closable(order)):
            return True
        self._finish(market, order)
        return False

    def _finish(self, market: PaperMarket, order: WorkingOrder) -> None:
        is_cut = order.filled < fixed(order.order.size)
        order.is_over = True
        self._entry.release(order, order.left)
        market.remove(order)
        if is_cut:
            self._tell(order, OrderStatus.CANCELLED, self._entry.why_cut(order))

    def _book(
        self, market: PaperMarket, order: WorkingOrder, signed: int, price: float, kind: str
    ) -> None:
        symbol, contract = order.order.symbol, market.contract
        done = self._account.fill(symbol, signed, fixed(price), is_taker=kind == "taker")
        order.value += done.value
        holding = self._account.holdings[symbol]
        fill = Fill(
            timestamp=self.now,
            symbol=symbol,
            side=order.order.side,
            price=price,
            size=as_float(abs(signed)),
            liquidity=kind,
            fee=as_float(done.fee),
            fee_currency=contract.settle,
            order_id=order.order.order_id,
            tag=order.order.tag,
            position_after=as_float(holding.size),
        )
        self._moved(market)
        self._ledger.fill(fill, done, holding, order.order.decision_mid)
        self._tell(order, _status_of(order), None, fill)
        self._tell_account(symbol)
        self._cut_surplus(market)

    def _moved(self, market: PaperMarket) -> None:
        """Note that a position has changed."""
        market.position = self._account.holdings[market.symbol].size
        self._funding.note(market.symbol, self.now, market.position)
        self._liquidator.moved(market)
        market.look_up()

    def _cut_surplus(self, market: PaperMarket) -> None:
        # A reduce-only order that has nothing left to reduce is cancelled by the exchange.
        for order in market.orders():
            is_resting = order.stop_is_up is None and order not in market.waiting
            if order.order.reduce_only and is_resting and not self._entry.closable(order):
                self._finish(market, order)

    # -- margin and funding ------------------------------------------------------------------------

    def _on_mark(self, market: PaperMarket) -> None:
        for due in self._liquidator.due(market):
            for order in list(due.market.orders()):
                self.cancel(order, "300014 the position is being liquidated")
            self._liquidate(due.market, due.loss)
        for doomed in self._liquidator.orders_to_cancel(market):
            self.cancel(doomed, "the risk rate of the cross margin has reached 95 %")

    def _liquidate(self, market: PaperMarket, loss: int | None) -> None:
        symbol, account = market.symbol, self._account
        mark = market.mark_price
        done = account.liquidate(symbol) if loss is None else account.take_over(symbol, loss)
        fill = Fill(
            timestamp=self.now,
            symbol=symbol,
            side="buy" if done.closed > 0 else "sell",
            price=as_float(done.price),
            size=as_float(abs(done.closed)),
            liquidity="liquidation",
            fee=as_float(done.fee),
            fee_currency=market.contract.settle,
            order_id=0,
            tag="liquidation",
            position_after=0.0,
        )
        self._moved(market)
        self._ledger.liquidated(fill, account.holdings[symbol], done.realised, done.fee, mark)
        self._tell_account(symbol, fill)

    def _on_funding(self, market: PaperMarket, record: Record) -> None:
        due = self._funding.due(market, record)  # type: ignore[arg-type]
        if due is not None:
            self.settle(market.symbol, due.size, due.rate, due.mark, due.when)

    def settle(self, symbol: str, size: int, rate: float, mark: int, when: int) -> None:
        """Settle a funding on a size that was held at its time."""
        market = self._markets[symbol]
        received = self._account.settle_funding(symbol, size, fixed(rate), mark)
        self._liquidator.moved(market)
        currency = market.contract.settle
        self._ledger.funded(when, symbol, size, mark, rate, received, currency)
        self._tell_account(symbol)

    # -- reports -----------------------------------------------------------------------------------

    def _tell(
        self,
        order: WorkingOrder,
        status: OrderStatus,
        reason: str | None = None,
        fill: Fill | None = None,
    ) -> None:
        average = None
        if order.filled:
            contract = self._markets[order.order.symbol].contract
            average = as_float(contract.average_price(order.sign * order.filled, order.value))
        filled = as_float(order.filled)
        self._report(OrderReport(self.now, order.order, status, filled, average, reason, fill))

    def _tell_account(self, symbol: str, fill: Fill | None = None) -> None:
        holding = self._account.holdings[symbol]
        currency = holding.contract.settle
        cash = self._account.cash.get(currency, 0)
        self._report(AccountReport(self.now, symbol, holding.state, currency, cash, fill))


def _status_of(order: WorkingOrder) -> OrderStatus:
    is_whole = order.filled == fixed(order.order.size)
    return OrderStatus.FILLED if is_whole else OrderStatus.PARTLY_FILLED
