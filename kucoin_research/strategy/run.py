"""One run of a strategy: records go in one by one, and what they caused comes out at the end.

The same run serves a backtest and a stream; it has no clock but the arrival of the records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kucoin_research.errors import InvalidInput, StopStrategy
from kucoin_research.model.intervals import parse_interval
from kucoin_research.model.records import Record, Status, local_timestamp_of
from kucoin_research.strategy.account import Account
from kucoin_research.strategy.broker import Broker, Desk
from kucoin_research.strategy.contracts import Contract, Fees
from kucoin_research.strategy.fixed_point import as_float, fixed
from kucoin_research.strategy.funding import FundingCalendar
from kucoin_research.strategy.latencies import Latencies
from kucoin_research.strategy.ledger import Ledger
from kucoin_research.strategy.market import PaperMarket
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.orders import Order
from kucoin_research.strategy.paper_exchange import PaperExchange
from kucoin_research.strategy.reports import AccountReport, Report
from kucoin_research.strategy.tape import MarketFacts
from kucoin_research.strategy.valuation import Valuation, is_same_coin
from kucoin_research.strategy.working_orders import WorkingOrder

__all__ = ["Failed", "PaperRun"]

_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Failed:
    """A strategy that has raised: the record that it was called with, and what it raised."""

    record: Record
    error: Exception


class PaperRun:
    """Runs a strategy on records. Not thread-safe.

    Parameters
    ----------
    strategy
        Called with each record and the broker.
    facts
        The facts about the records.
    options
        How it trades.
    step_ns
        The equity is sampled at whole multiples of this time, and at each fill.
    make_broker
        Makes the broker that the strategy is called with.
    """

    def __init__(
        self,
        strategy: Strategy,
        facts: MarketFacts,
        options: RunOptions,
        step_ns: int = _SECOND,
        make_broker: Callable[[Desk], Broker] = Broker,
    ) -> None:
        self.options = options
        self.facts = facts
        self.records = 0
        self.started: int | None = None
        self.ended: str | None = None
        self.failed: Failed | None = None
        self.initial_equity: float | None = None
        self.markets = _markets(facts, options)
        self.ledger = Ledger()
        self._strategy = strategy
        self._valuation = Valuation(self.markets, options.currency)
        self._valuation.refuse_unknown(self.markets, options.cash)
        self._account = _account(self.markets, options)
        self.calendar = FundingCalendar(is_recorded=options.funding, given=options.given_funding)
        self._exchange = PaperExchange(
            self.markets,
            self._account,
            self.ledger,
            self._queue_report,
            funding=self.calendar,
            queue=options.queue,
            liquidity=options.liquidity,
        )
        self._working: dict[int, WorkingOrder] = {}
        self.broker = make_broker(
            Desk(
                markets=self.markets,
                cash=dict(self._account.cash),
                is_cross=options.is_cross,
                send=self._send,
                cancel=self._cancel,
                worth=self._valuation.worth,
                remark=self._remark,
            )
        )
        self._balances = dict(self._account.cash)  # at the start
        self._unvalued = [each.symbol for each in self.markets.values() if self._held(each)]
        self._coins: dict[str, int] = {}  # cost of the coins of the start, by symbol
        for symbol in self._unvalued:
            self._hear_holding(symbol)
        self._reports: deque[tuple[int, Report]] = deque()
        self._latencies = Latencies(options.latency, options.seed)
        self._step = step_ns
        self._next_sample = 0
        self._fills_sampled = 0
        self._schedule_funding(self.calendar)

    # -- records -----------------------------------------------------------------------------------

    def feed(self, records: Sequence[Record]) -> bool:
        """Play records in order of arrival.

        Returns
        -------
        bool
            False once the run is over: the strategy has stopped or raised, and the rest of the
            records was not played.
        """
        exchange, broker, reports = self._exchange, self.broker, self._reports
        fills = self.ledger.fills
        latencies = self._latencies
        is_lag_needed = latencies.are_drawn
        played = 0
        try:
            for record in records:
                now = local_timestamp_of(record)
                if now > self._next_sample:
                    self._sample_before(now)
                if now > exchange.wake:
                    exchange.advance(now)
                if is_lag_needed:
                    latencies.note(record, now)
                exchange.take(record)
                if self.initial_equity is None:
                    self._begin()
                broker.now = now
                if reports and reports[0][0] <= now:
                    self._deliver(now)
                played += 1
                if not self._call(record):
                    return False
                if exchange.wake <= now:
                    self._work_due(now)
                if len(fills) != self._fills_sampled:
                    self._sample(now)
        finally:
            self.records += played
        return True

    def _call(self, record: Record) -> bool:
        """Call the strategy; False if it has ended the run."""
        if record.__class__ is Status:
            self.broker.see_status(record)
        try:
            self._strategy(record, self.broker)
        except StopStrategy as stop:
            self.ended = f"the strategy stopped it{': ' if str(stop) else ''}{stop}"
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            self.failed = Failed(record, error)
            self.ended = f"the strategy raised {type(error).__name__}: {error}"
        else:
            return True
        return False

    def _work_due(self, now: int) -> None:
        """Let orders without latency meet the market, and hear of them without latency."""
        while self._exchange.wake <= now:
            self._exchange.work_due(now)
            self._deliver(now)

    @property
    def last(self) -> int | None:
        """When the last record arrived, ns UTC; None if there was none."""
        return None if self.started is None else self._exchange.now

    @property
    def slippage(self) -> float:
        """What fills cost against the mids when their orders were sent, in the currency."""
        return as_float(self._in_currency(self.ledger.slippage))

    @property
    def traded(self) -> float:
        """The worth of all fills, in the currency, at the newest prices."""
        return as_float(self._in_currency(self.ledger.traded))

    def _in_currency(self, amounts: Mapping[str, int]) -> int:
        return sum(self._valuation.worth(*each) or 0 for each in amounts.items())

    def finish(self) -> None:
        """End the run: outstanding reports are heard, and the equity is sampled."""
        if self._exchange.now:
            self._sample(self._exchange.now)
        while self._reports:
            self.broker.hear(self._reports.popleft()[1])

    # -- orders ------------------------------------------------------------------------------------

    def _send(self, order: Order) -> None:
        reference = self.markets[order.symbol].reference(order.stop_price_type)
        working = WorkingOrder.of(order, reference)
        self._working[order.order_id] = working
        self._exchange.at(
            self._latencies.arrival(self.broker.now), lambda: self._exchange.place(working)
        )

    def _cancel(self, order: Order) -> None:
        working = self._working[order.order_id]
        self._exchange.at(
            self._latencies.arrival(self.broker.now), lambda: self._exchange.cancel(working)
        )

    # -- reports -----------------------------------------------------------------------------------

    def _queue_report(self, report: Report, when: int) -> None:
        self._reports.append((self._latencies.hearing(when), report))

    def _deliver(self, now: int) -> None:
        reports, hear = self._reports, self.broker.hear
        while reports and reports[0][0] <= now:
            hear(reports.popleft()[1])

    def _hear_holding(self, symbol: str) -> None:
        holding = self._account.holdings[symbol]
        currency = holding.contract.settle
        cash = self._account.cash.get(currency, 0)
        self.broker.hear(AccountReport(0, symbol, holding.state, currency, cash))

    # -- equity ------------------------------------------------------------------------------------

    def _sample_before(self, now: int) -> None:
        """Sample the equity at the begin of a step, once a record comes that is later."""
        begun = self._next_sample
        self._exchange.advance(begun + 1)  # later orders are no part of the sample
        self._next_sample = -(-now // self._step) * self._step
        if self.started is None:
            self.started = now
        else:
            self._sample(begun)

    def _sample(self, when: int) -> None:
        self._fills_sampled = len(self.ledger.fills)
        values = self._values()
        if values is None:
            return
        cash, unrealised, exposed = values
        equity = cash + unrealised
        ratio = exposed / equity if equity > 0 else 0.0
        self.ledger.sample(when, as_float(equity), as_float(cash), as_float(unrealised), ratio)
        for symbol, market in self.markets.items():
            price = market.mid
            if price is not None:
                self.ledger.price(when, symbol, price)

    def _values(self) -> tuple[int, int, int] | None:
        """Return cash, unrealised profits with coins held, and exposure; None without prices."""
        if self.initial_equity is None:
            return None
        cash = unrealised = exposed = 0
        for currency, amount in self._account.cash.items():
            worth = self._valuation.worth(currency, amount)
            if worth is None:
                return None
            cash += worth
        for symbol, holding in self._account.holdings.items():
            mark = self.markets[symbol].mark if holding.size else None
            if mark is None:
                continue
            contract = holding.contract
            value = contract.value(holding.size, mark)
            gained = value if contract.is_spot else value - holding.cost
            unrealised += self._valuation.worth(contract.settle, gained) or 0
            exposed += abs(self._valuation.worth(contract.settle, value) or 0)
        return cash, unrealised, exposed

    def _begin(self) -> None:
        """Value the start, once there are prices: cash, and coins that were held from the start."""
        for symbol in self._unvalued:
            self._value_coins(symbol)
        self._unvalued = [each for each in self._unvalued if each not in self._coins]
        costs = ((self.markets[each].contract.settle, cost) for each, cost in self._coins.items())
        worths = [self._valuation.worth(*each) for each in (*self._balances.items(), *costs)]
        known = [each for each in worths if each is not None]
        if not self._unvalued and len(known) == len(worths):
            self.initial_equity = as_float(sum(known))

    def _value_coins(self, symbol: str) -> None:
        # At the first price of their pair, before any of them can be sold.
        mark, holding = self.markets[symbol].mark, self._account.holdings[symbol]
        if mark is not None:
            self._coins[symbol] = holding.cost = holding.contract.value(holding.size, mark)
            self._hear_holding(symbol)

    def _held(self, market: PaperMarket) -> int:
        return self._account.holdings[market.symbol].size

    def _remark(self, symbol: str | None, text: str) -> None:
        held = 0 if symbol is None else self._account.holdings[symbol].size
        self.ledger.note(self.broker.now, symbol, text, as_float(held), self.broker.equity)

    # -- funding that was given --------------------------------------------------------------------

    def _schedule_funding(self, funding: FundingCalendar) -> None:
        for symbol, settlements in funding.given.items():
            if symbol in self.markets:
                for when, rate in settlements:
                    known = self.markets[symbol].known_at(when)
                    self._exchange.at(known, self._settling(funding, symbol, when, rate))

    def _settling(
        self, funding: FundingCalendar, symbol: str, when: int, rate: float
    ) -> Callable[[], None]:
        def settle() -> None:
            due = funding.given_for(self.markets[symbol], when, rate)
            if due is not None:
                self._exchange.settle(symbol, due.size, due.rate, due.mark, when)

        return settle


def _markets(facts: MarketFacts, options: RunOptions) -> dict[str, PaperMarket]:
    markets = {}
    if options.fees and not {"*", *facts.channels} & set(options.fees):
        raise InvalidInput(
            f"fees are of {', '.join(options.fees)}, and played is {', '.join(facts.channels)}"
        )
    # In one order, whatever that of the data is: markets value currencies, and share losses.
    for symbol, channels in sorted(facts.channels.items()):
        instrument = facts.instruments[symbol]
        fees = options.fees.get(symbol) or options.fees.get("*") or Fees.of(instrument)
        contract = Contract(instrument, fees, options.leverage, options.margin_rules)
        market = PaperMarket(contract, channels, facts.gaps.get(symbol))
        market.interval = facts.intervals.get(symbol)
        if market.interval is not None:
            market.interval_ns = parse_interval(market.interval).ns or 0
        _refuse_leverage(market, options)
        markets[symbol] = market
    return markets


def _refuse_leverage(market: PaperMarket, options: RunOptions) -> None:
    if market.contract.is_spot or options.leverage <= 1:
        return
    most = market.contract.instrument.max_leverage
    if most is not None and options.leverage > most:
        raise InvalidInput(
            f"leverage {options.leverage:g} is above {most:g}, the highest of {market.symbol}"
        )
    if not market.has_marks:
        raise InvalidInput(
            f"leverage {options.leverage:g} needs mark prices, since they liquidate a position, "
            f'and no "mark_price" of {market.symbol} is played; record it too, or use leverage=1'
        )


def _account(markets: dict[str, PaperMarket], options: RunOptions) -> Account:
    contracts = {symbol: market.contract for symbol, market in markets.items()}
    cash = {currency: fixed(amount) for currency, amount in options.cash.items()}
    coins: dict[str, int] = {}
    for symbol, contract in contracts.items():
        base = contract.instrument.base
        if contract.is_spot and base in cash and base != options.currency:
            coins[symbol] = cash.pop(base)
    settled = {contract.settle for contract in contracts.values()}
    for currency in settled:
        # Bitcoin may be given as BTC, and contracts settle in XBT.
        others = [each for each in cash if is_same_coin(each, currency) and each not in settled]
        cash[currency] = cash.get(currency, 0) + sum(cash.pop(each) for each in others)
    account = Account(
        contracts, cash, lambda symbol: markets[symbol].mark, is_cross=options.is_cross
    )
    for symbol, size in coins.items():
        account.holdings[symbol].size = size
    return account
