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
#: The kinds of stops that a record can reach.
_REACHES: dict[type[Record], tuple[str, ...]] = {
    Trade: ("TP",),
    Ticker: ("TP",),
    MarkPrice: ("MP", "IP"),
}


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
        Called with each report, and with the time when it leaves the exchange.
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
        report: Callable[[Report, int], None],
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
        self._matcher = Matcher(self._execute, queue=queue, liquidity=liquidity)
        self._entry = OrderEntry(account, self._matcher, funding)
        self._liquidator = Liquidator(account, markets)
        self._commands: list[_Command] = []
        self._counted = 0

    # -- time --------------------------------------------------------------------------------------

    def at(self, when: int, work: Callable[[], None]) -> None:
        """Do something at a time; things due together are done in the order of these calls."""
        self._counted += 1
        heapq.heappush(self._commands, _Command(when, self._counted, work))
        self.wake = self._commands[0].when

    def advance(self, until: int) -> None:
        """Do all that is due before a time."""
        while self.wake < until:
            self._next()

    def work_due(self, now: int) -> None:
        """Do all that is due up to a time, the time itself included."""
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
        if not market.must_match:
            return
        is_in_gap = market.is_in_gap(now)
        if not is_in_gap:
            if market.has_passed_gap(now):
                for order in market.orders():
                    order.lose_place()
            self._match(market, record, kind)
        # A stop is placed behind the trade that reaches it, so it is not filled by it. Trades and
        # marks recorded inside a gap reach stops, too; these wait for quotes then.
        if market.stops and kind in _REACHES:
            self._on_reference(market, _REACHES[kind])
        if market.waiting and not is_in_gap and market.is_fresh(now):
            waiting, market.waiting = market.waiting, []
            for order in waiting:
                self._enter(market, order)
        market.look_up()

    def _match(self, market: PaperMarket, record: Record, kind: type[Record]) -> None:
        if kind in _QUOTES:
            self._on_quotes(market, record)
        elif kind is Trade:
            self._on_trade(market, record)
        elif kind is Candle:
            self._on_candle(market, record)

    def _on_quotes(self, market: PaperMarket, record: Record) -> None:
        if isinstance(record, Ticker) and not market.has_trades:
            self._on_ticker_trade(market, record)
        # A coarser channel than the one that is matched against shows nothing new.
        if market.shows(record.__class__):
            self._matcher.on_quotes(market)

    def _on_ticker_trade(self, market: PaperMarket, ticker: Ticker) -> None:
        # A ticker repeats its last trade while only quotes change; the first one may, too.
        tickers = market.history[Ticker]
        is_new = len(tickers) > 1 and _trade_of(tickers[-2]) != _trade_of(ticker)
        if is_new and ticker.price is not None:
            self._matcher.on_print(market, ticker.side, ticker.price, ticker.size or 0.0)

    def _on_trade(self, market: PaperMarket, record: Record) -> None:
        trade: Trade = record  # type: ignore[assignment]
        if trade.price is None or trade.size is None:
            return
        used = 0
        if market.kind is MarketKind.TRADES:
            used = self._matcher.on_print_alone(market, trade.price, trade.size)
            self._end_unfilled(market, "the trade did not fill it")
        self._matcher.on_print(market, trade.side, trade.price, trade.size, used)

    def _on_candle(self, market: PaperMarket, record: Record) -> None:
        candle: Candle = record  # type: ignore[assignment]
        if market.kind is MarketKind.CANDLES and candle.interval == market.interval:
            self._refuse_post_only(market, candle)
            self._matcher.on_candle(market, candle, self._triggered)
            self._end_unfilled(market, "the candle traded no more")

    def _refuse_post_only(self, market: PaperMarket, candle: Candle) -> None:
        for order in self._matcher.new_at_open(market, candle):
            opened = candle.open
            if order.order.post_only and opened is not None and order.crosses(opened):
                reason = f"post-only (it would have taken the open at {opened:.12g})"
                self._end(market, order, OrderStatus.CANCELLED, reason)

    def _on_status(self, record: Record) -> None:
        status: Status = record  # type: ignore[assignment]
        if status.event in ("disconnected", "stopped"):  # another session may follow the latter
            for market in self._markets.values():
                market.lose_connection(self.now)
        elif status.event in ("gap", "unsubscribed"):
            self._on_gap(status)
        for market in self._markets.values():
            market.hear(status)
        if status.channel == "level2":
            symbol = status.symbol
            if status.event == "resync":
                symbol = (status.detail or "").partition(":")[0]
            market_of = self._markets.get(symbol or "")
            if market_of is not None:
                market_of.book.book.take_status(status)

    def _on_gap(self, status: Status) -> None:
        """Take a report of rows that do not come: older quotes and queue places are not trusted."""
        channel = (status.channel or "").partition(":")[0]
        for market in self._markets.values():
            if status.symbol in (None, market.symbol) and channel in {"", *market.channels}:
                market.lose_connection(self.now)

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
                order.since = self.now
                self._triggered(market, order)

    def _triggered(self, market: PaperMarket, order: WorkingOrder) -> None:
        market.stops.remove(order)
        order.stop_is_up = None
        self._enter(market, order)

    # -- orders ------------------------------------------------------------------------------------

    def place(self, order: WorkingOrder) -> None:
        """Take a new order as it arrives."""
        order.arrived = self.now
        market = self._markets[order.order.symbol]
        self._enter(market, order)
        market.look_up()

    def _enter(self, market: PaperMarket, order: WorkingOrder) -> None:
        """Place a new order or a stop that was reached, or let it wait for prices."""
        if market.kind is MarketKind.QUOTES:
            is_blind = not market.is_fresh(self.now)
        else:
            is_blind = market.last_price is None
        if is_blind:
            market.waiting.append(order)  # nothing is known to match it against
        elif order.is_accepted:
            self._activate(market, order)
        else:
            self._place(market, order)

    def _place(self, market: PaperMarket, order: WorkingOrder) -> None:
        refusal = self._entry.check(market, order, self.now)
        if refusal is not None:
            self._end(market, order, OrderStatus.REJECTED, str(refusal))
            return
        self._counted += 1
        order.number = self._counted
        if self.now - order.since >= market.interval_ns > 0:
            order.since = self.now  # a candle that opened before it came cannot fill it
        if order.order.stop is None:
            self._activate(market, order)
            return
        self._accept(order)
        market.stops.append(order)
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
            reason = self._entry.why_short(market, order, worst)
            self._end(market, order, OrderStatus.CANCELLED, reason)
            return
        self._matcher.rest(market, order)

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
        if order.is_over:  # an execution before it left it nothing to close
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
        if order.is_over:  # it was cut by its own execution
            return
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
            timestamp=self._time_of(market, order),
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
        self._moved(market, fill.timestamp)
        self._ledger.fill(fill, done, holding, order.order.decision_mid)
        self._tell(order, _status_of(order), None, fill)
        self._tell_account(symbol, when=fill.timestamp)
        self._cut_surplus(market)

    def _time_of(self, market: PaperMarket, order: WorkingOrder) -> int:
        """Return when an order is executed: at a candle's open, the order may come a little later.

        Within a candle the time is not known, so it is that of the close.
        """
        return self.now if market.opened is None else max(market.opened, order.arrived)

    def _moved(self, market: PaperMarket, when: int) -> None:
        """Note that a position has changed at a time."""
        market.position = self._account.holdings[market.symbol].size
        self._funding.note(market.symbol, when, market.position)
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
        if self._account.is_cross:
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
        self._moved(market, self.now)
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
        average, market = None, self._markets[order.order.symbol]
        if order.filled:
            contract = market.contract
            average = as_float(contract.average_price(order.sign * order.filled, order.value))
        filled = as_float(order.filled)
        # A fill at a candle's open was reported long before the candle was known as a whole.
        when = self._time_of(market, order)
        self._report(OrderReport(when, order.order, status, filled, average, reason, fill), when)

    def _tell_account(
        self, symbol: str, fill: Fill | None = None, *, when: int | None = None
    ) -> None:
        holding = self._account.holdings[symbol]
        currency = holding.contract.settle
        cash = self._account.cash.get(currency, 0)
        report = AccountReport(self.now, symbol, holding.state, currency, cash, fill)
        self._report(report, self.now if when is None else when)


def _trade_of(ticker: Record) -> tuple[object, ...]:
    return ticker[3:6]  # sequence, price and size


def _status_of(order: WorkingOrder) -> OrderStatus:
    is_whole = order.filled == fixed(order.order.size)
    return OrderStatus.FILLED if is_whole else OrderStatus.PARTLY_FILLED
