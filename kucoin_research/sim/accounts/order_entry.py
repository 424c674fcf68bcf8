"""Order entry for the accounts of one exchange: their orders join the crowd's in one book.

Runs on the exchange's thread and on virtual time. Stop orders, funding and random traders act at
the end of a time slice, so that their results do not depend on the listeners.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.sim.accounts.amounts import check_amount
from kucoin_research.sim.accounts.futures_wallets import cross_risk_rate, wallet_at_marks
from kucoin_research.sim.accounts.isolated_margin import IsolatedMargin
from kucoin_research.sim.accounts.keys import Account
from kucoin_research.sim.accounts.ledger import ZERO, MarginRules, decimal_text
from kucoin_research.sim.accounts.liquidation import Liquidation
from kucoin_research.sim.accounts.margin import MarginLender
from kucoin_research.sim.accounts.members import AccountOrder, FuturesWallet, Member, StopOrder
from kucoin_research.sim.accounts.order_bounds import (
    check_client_oid,
    check_limits,
    check_state,
    check_worth,
)
from kucoin_research.sim.accounts.order_checks import (
    CheckedOrder,
    check_order,
    check_request,
    leverage_of,
)
from kucoin_research.sim.accounts.order_pairs import OrderPairs
from kucoin_research.sim.accounts.order_timers import OrderTimers
from kucoin_research.sim.accounts.order_units import size_of, units_of
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.accounts.position_marks import PositionMarks
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.risk_levels import RiskLevels
from kucoin_research.sim.accounts.settlement import Settlement
from kucoin_research.sim.accounts.stop_orders import StopOrders
from kucoin_research.sim.accounts.trader import RandomTrader
from kucoin_research.sim.accounts.transfers import Transfers
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.account_orders import Submission
from kucoin_research.sim.engine.market import Event, Market, Trade

__all__ = ["OrderEntry"]

_MS = 1_000_000
_SECOND = 1_000_000_000


class OrderEntry:
    """Takes the orders and settings of all accounts of one exchange.

    Parameters
    ----------
    venue
        The exchange.
    accounts
        The accounts that may trade.
    margin_rules
        The rules of isolated margin.
    """

    def __init__(
        self, venue: Venue, accounts: Iterable[Account], margin_rules: MarginRules = "2025-05"
    ) -> None:
        self.venue = venue
        self.members = {account.key: Member(account, margin_rules) for account in accounts}
        self._reports = PrivateReports(venue)
        self.lender = MarginLender(self._reports, venue.seed, venue.listings.values())
        self._orders: dict[str, AccountOrder] = {}
        self._settlement = Settlement(venue, self._reports)
        self._stops = StopOrders(venue, self._reports, self._place, self._on_reached)
        self.positions = IsolatedMargin(venue, self._reports)
        self.risk_levels = RiskLevels(venue, self._reports, self)
        liquidation = Liquidation(venue, self, self.risk_levels)
        self._marks = PositionMarks(venue, self._reports, self, self.positions, liquidation)
        self.pairs = OrderPairs(venue, self, self._wait)
        for member in self.members.values():
            member.archive.call_when_forgotten(self.pairs.forget)
        self.timers = OrderTimers(venue, self)
        self._traders: dict[str, list[RandomTrader]] = {}
        self.transfers = Transfers(venue, self._reports, self.lender)

    def interests(self) -> set[str]:
        """Return the symbols whose engines must run even without listeners."""
        symbols = {order.symbol for order in self._orders.values()}
        symbols |= self._stops.symbols | self._traders.keys()
        for member in self.members.values():
            symbols |= {symbol for symbol, one in member.positions.items() if one.quantity}
        return symbols

    @property
    def has_debts(self) -> bool:
        """Whether any account owes coins on cross margin."""
        return any(self.lender.is_in_debt(member) for member in self.members.values())

    def on_events(self, events: list[Event]) -> None:
        """Settle the fills of resting orders."""
        if not self._orders:
            return
        filled = set()
        for event in events:
            if isinstance(event, Trade) and event.maker_order_id in self._orders:
                filled.add(self._orders[event.maker_order_id].symbol)
                self._fill_maker(event)
        # Only now: a later event may be a fill of an order that is to be cut.
        for symbol in filled:
            self._cut_surplus(symbol)

    def act(self, symbol: str, engine: Market, now_ns: int) -> None:
        """Run the stop orders, traders and positions of a symbol, at the end of a slice."""
        self._stops.act(symbol, now_ns)
        for trader in self._traders.get(symbol, ()):
            trader.act(now_ns)
        if not now_ns % _SECOND and engine.listing.market == "futures":
            self._marks.act(self.members.values(), engine, now_ns)

    def on_grid(self, now_ns: int) -> None:
        """Report debt ratios, at the end of a slice."""
        for member in self.members.values():
            self.lender.on_grid(member, now_ns)

    def place(self, member: Member, request: OrderRequest) -> str:
        """Enter an order or a stop order; return its id.

        Raises
        ------
        OrderRefused
            Where KuCoin would refuse it; ``code`` is KuCoin's.
        """
        if not request.is_forced:
            self._check_entry(member, request)
        return self._place(member, request)

    def test(self, member: Member, request: OrderRequest) -> None:
        """Check an order as `place` does, without entering it."""
        engine = self._check_entry(member, request)
        if request.stop:
            check_request(member, request, engine.listing)
        else:
            check_order(self.venue, member, request, engine)

    def _check_entry(self, member: Member, request: OrderRequest) -> Market:
        engine = self._open_engine(request.symbol)
        check_client_oid(member, request, engine.listing)
        return engine

    def _open_engine(self, symbol: str) -> Market:
        # The engine of a symbol that takes orders now.
        engine = self._engine(symbol)
        check_state(self.venue.trading_status(symbol), engine.listing)
        self._check_settlement(engine)
        return engine

    def _check_settlement(self, engine: Market) -> None:
        # A settlement at the first instant is over: the clock may stand still there for long.
        settling_ns = engine.settling_ns
        if settling_ns is not None and settling_ns > self.venue.clock.start_ns:
            symbol = engine.listing.symbol
            raise OrderRefused(
                "300015", f"the funding of {symbol} is being settled: place the order after its end"
            )

    def _place(self, member: Member, request: OrderRequest, stop: StopOrder | None = None) -> str:
        # Not only what arrives: a stop order was accepted before a settlement in which it triggers.
        engine = self._engine(request.symbol)
        if request.stop:
            size, _ = check_request(member, request, engine.listing)
            return self._stops.place(member, request, engine, size)
        return self._submit(check_order(self.venue, member, request, engine), stop)

    def cancel(self, member: Member, order_id: str) -> None:
        """Cancel an order or a stop order.

        Raises
        ------
        OrderRefused
            If it is not open.
        """
        if not isinstance(order_id, str):
            raise InvalidInput(f"order_id must be a string, not {shown(order_id)}")
        stop = member.stops.get(order_id)
        if stop is not None:
            self._stops.drop(stop, "cancel")
            self.pairs.on_end(stop)
            return
        order = member.orders.get(order_id)
        if order is None:
            raise OrderRefused("100004", f"order {order_id} is not open: it cannot be canceled")
        self.venue.order(order.symbol, lambda engine: _as_submission(engine.cancel(order_id)))
        self._finish(order, order.engine.now_ns, is_canceled=True)

    def replace(self, member: Member, order_id: str, request: OrderRequest) -> str:
        """Cancel an order and place another one instead, which keeps its client's own id.

        The coins that the old order has set aside are free for the new one. So the old one is
        canceled even if the new one is then refused.

        Raises
        ------
        OrderRefused
            If the old order is not open, and where KuCoin would refuse the new one.
        """
        engine = self._open_engine(request.symbol)
        check_request(member, request, engine.listing, replaces=True)
        self.cancel(member, order_id)
        return self._place(member, request)

    def amend(self, member: Member, order_id: str, size: Decimal) -> None:
        """Make an open order smaller; it keeps its place in the queue.

        Raises
        ------
        OrderRefused
            If it is not open, the size is not between the filled and the old size, or an order of
            that size would be refused.
        """
        order = member.orders.get(order_id)
        if order is None:
            raise OrderRefused("100004", f"order {order_id} is not open: it cannot be amended")
        units, old_size = units_of(order.engine.listing, size), order.size
        if not order.filled < units < old_size:
            raise OrderRefused("400100", f"size {size} must be below the old and above the filled")
        check_limits(replace(order.request, size=size), order.engine.listing)
        if order.price_ticks is not None:
            check_worth(units, order.price_ticks, order.engine)
        less = old_size - units
        self.venue.order(order.symbol, lambda engine: _as_submission(engine.reduce(order_id, less)))
        self._shrink(order, units)

    def _shrink(self, order: AccountOrder, units: int) -> None:
        less, old_size = order.size - units, order.size
        released = order.hold * less / order.remaining if order.remaining else ZERO
        now_ns = order.engine.now_ns
        order.size, order.updated_ns = units, now_ns
        self._reports.report_order(order, "update", now_ns, old_size=old_size)
        if order.market == "spot":
            order.hold -= released
            self._settlement.release(order, released, now_ns)
        else:
            self._reports.report_wallet(order.member, order.engine.listing.settle, now_ns)

    def start_trader(
        self, member: Member, symbol: str, orders_per_minute: float, seed: int
    ) -> None:
        """Let a random trader place orders on a symbol from now on."""
        engine = self._engine(symbol)
        trader = RandomTrader(self, member, engine, orders_per_minute, seed)
        self._traders.setdefault(symbol, []).append(trader)
        self.venue.watch()

    def stop_traders(self) -> None:
        """End all random traders; their orders stay open."""
        self._traders.clear()
        self.venue.watch()

    def set_margin_mode(self, member: Member, symbol: str, mode: str) -> None:
        """Set isolated or cross margin for a symbol that has no position and no orders."""
        engine = self._futures_engine(symbol)
        if mode not in ("ISOLATED", "CROSS"):
            raise OrderRefused("100001", f"no margin mode {shown(mode)}; modes: ISOLATED, CROSS")
        position = member.positions.get(symbol)
        if (position is not None and position.quantity) or member.orders_of(symbol):
            raise OrderRefused("330005", f"{symbol} has a position or orders: its mode is fixed")
        member.set_margin_mode(symbol, mode)
        topic = "/contract/marginMode"
        self._reports.send(member, "futures", topic, "user.config", {symbol: mode}, engine.now_ns)

    def set_leverage(self, member: Member, symbol: str, leverage: Decimal) -> None:
        """Set the leverage of a symbol's next orders.

        Raises
        ------
        OrderRefused
            100001 below 1, 300016 above the contract's highest.
        """
        engine = self._futures_engine(symbol)
        most = engine.listing.max_leverage
        if leverage < 1:
            raise OrderRefused("100001", f"leverage {leverage}: {symbol} allows 1 to {most}")
        if leverage > most:
            raise OrderRefused("300016", f"The leverage cannot be greater than {most}.")
        is_cross = member.margin_mode(symbol) == "CROSS"
        before = member.leverage(symbol)
        member.set_leverage(symbol, leverage)
        if is_cross and leverage < before:
            left = self.futures_wallet(member, engine.listing.settle).free
            if left < 0:
                member.set_leverage(symbol, before)
                raise OrderRefused(
                    "300003",
                    f"Balance insufficient. {symbol} at leverage {decimal_text(leverage)} would "
                    f"need {decimal_text(-left)} {engine.listing.settle} more.",
                )
        if is_cross:
            data = {symbol: {"leverage": decimal_text(leverage)}}
            topic = "/contract/crossLeverage"
            self._reports.send(member, "futures", topic, "user.config", data, engine.now_ns)
            self.positions.report_change(member, symbol)
            self._reports.report_wallet(member, engine.listing.settle, engine.now_ns)

    def deposit(self, member: Member, wallet: str, currency: str, amount: Decimal) -> None:
        """Add coins to the futures, spot or margin wallet; a negative amount takes them away."""
        now_ns = self.venue.clock.reached_ns
        if wallet == "futures":
            owned = self.futures_wallet(member, currency)
            check_amount(amount, owned.balance, code="260200")
            if amount < 0 and owned.withdrawable + amount < 0:
                raise OrderRefused("200004", f"not enough {currency} in the futures account")
            event = "Deposit" if amount > 0 else "Withdrawal"
            self._reports.book_contracts(member, currency, amount, event, {}, now_ns)
            self._reports.report_wallet(member, currency, now_ns)
            return
        if wallet not in ("spot", "margin"):
            raise InvalidInput(f"no wallet {shown(wallet)}; wallets: futures, spot, margin")
        coins = member.spot if wallet == "spot" else member.margin.wallet
        check_amount(amount, coins.total(currency), code="260200")
        if coins.available(currency) + amount < 0:
            raise OrderRefused("200004", f"not enough {currency} in the {wallet} account")
        event = "trade.transfer" if wallet == "spot" else "margin.transfer"
        self._reports.report_balance(member, coins.change(currency, amount), event, {}, now_ns)

    def futures_wallet(
        self, member: Member, currency: str, now_ns: int | None = None
    ) -> FuturesWallet:
        """Add up a futures currency at the mark prices of a time; None for now."""
        time_ns = self.venue.clock.reached_ns if now_ns is None else now_ns
        return wallet_at_marks(self.venue, member, currency, time_ns)

    def cross_risk_rate(self, member: Member, currency: str) -> Decimal | None:
        """Compute the risk rate of cross margin in a futures currency, now.

        Returns
        -------
        Decimal or None
            Positions are liquidated from 1 on; None if no margin is left for what needs some.
        """
        return cross_risk_rate(self.venue, member, currency, self.venue.clock.reached_ns)

    def _engine(self, symbol: str) -> Market:
        if not isinstance(symbol, str) or symbol not in self.venue.listings:
            raise UnknownSymbol(
                f"no symbol {shown(symbol)}; symbols: {', '.join(self.venue.listings)}"
            )
        return self.venue.caught_up(symbol)

    def _futures_engine(self, symbol: str) -> Market:
        engine = self._engine(symbol)
        if engine.listing.market != "futures":
            raise OrderRefused("200003", f"{symbol} is a spot market: it has no margin settings")
        return engine

    def _submit(self, checked: CheckedOrder, stop: StopOrder | None) -> str:
        member, request, engine = checked.member, checked.request, checked.engine
        done = self.venue.order(
            request.symbol,
            lambda engine: engine.submit(
                request.side,
                checked.size,
                price_ticks=checked.price_ticks,
                time_in_force=request.time_in_force,
                owner=member.user_id,
                worst_ticks=checked.worst_ticks,
                stp=checked.stp,
                whole=request.taken_over_at is not None,
            ),
        )
        now_ns = engine.now_ns // _MS * _MS
        order = _account_order(checked, done.order_id, now_ns)
        member.archive.add(order)
        if stop is not None:
            stop.order, order.stop = order, stop
        if order.market == "spot":
            self._settlement.hold(order, now_ns)
            self._reports.report_order(order, "received", now_ns)
        self._settle(order, done, now_ns)
        if done.resting:
            self._rest(order, done.dropped, now_ns)
        else:
            # Funds are hardly ever worth a whole number of lots: KuCoin cancels the rest.
            # (JKorf/Kucoin.Net#96)
            is_canceled = done.status != "filled" or order.unused_funds > 0
            self._finish(order, now_ns, is_canceled=is_canceled)
        if done.filled:
            self.pairs.on_fill(order)
        if done.filled or done.resting:
            self._cut_surplus(request.symbol)
        self.venue.watch()
        return order.order_id

    def _settle(self, order: AccountOrder, done: Submission, now_ns: int) -> None:
        # The fills of a new order, and what self-trade prevention took from older ones.
        for event in done.events:
            if isinstance(event, Trade):
                if event.maker_order_id in self._orders:
                    self._fill_maker(event)
                self._settlement.fill(order, event, is_taker=True)
        for prevented in done.prevented:
            self._take_away(self._orders[prevented.order_id], prevented.size, now_ns)

    def _rest(self, order: AccountOrder, dropped: int, now_ns: int) -> None:
        self._orders[order.order_id] = order.member.orders[order.order_id] = order
        self._reports.report_order(order, "open", now_ns)
        if order.market == "futures":
            self._reports.report_wallet(order.member, order.engine.listing.settle, now_ns)
        if dropped:
            self._shrink(order, order.size - dropped)
        if order.request.cancel_after:
            self.timers.expire(order)

    def _fill_maker(self, trade: Trade) -> None:
        order = self._orders[trade.maker_order_id]
        self._settlement.fill(order, trade, is_taker=False)
        if not order.remaining:
            self._finish(order, trade.time_ns, is_canceled=False)
        self.pairs.on_fill(order)

    def _cut_surplus(self, symbol: str) -> None:
        # An order that may only reduce is cut to what those ahead of it in the book leave of the
        # position, and canceled when that is nothing: one trade may fill all of them.
        for member in self.members.values():
            for side in ("buy", "sell"):
                left = member.closable(symbol, side)
                for order in _as_in_book(member.orders_of(symbol), side):
                    if order.request.reduce_only:
                        if not left:
                            self.cancel(member, order.order_id)
                        elif order.remaining > left:
                            size = size_of(order.engine, order.filled + left)
                            self.amend(member, order.order_id, size)
                    left = max(0, left - order.remaining)
            self._cancel_uncovered(member, symbol)

    def _cancel_uncovered(self, member: Member, symbol: str) -> None:
        # An order that was to close binds margin once another one has closed the position. Where
        # there is none for it, it is canceled: the newest first.
        for order in reversed(member.orders_of(symbol)):
            listing = order.engine.listing
            if listing.market == "spot" or order.is_cross:
                return
            if self.futures_wallet(member, listing.settle).free >= 0:
                return
            self.cancel(member, order.order_id)

    def _finish(self, order: AccountOrder, now_ns: int, *, is_canceled: bool) -> None:
        self._orders.pop(order.order_id, None)
        order.member.orders.pop(order.order_id, None)
        if is_canceled:
            order.canceled = order.remaining
        order.ended_ns = order.updated_ns = now_ns
        order.member.archive.end(order)
        self._reports.report_order(order, "canceled" if is_canceled else "filled", now_ns)
        if order.engine.listing.market == "futures":
            self._reports.report_wallet(order.member, order.engine.listing.settle, now_ns)
        elif order.hold:
            released, order.hold = order.hold, ZERO
            self._settlement.release(order, released, now_ns)
        if is_canceled:
            self.pairs.on_end(order)
        self.venue.watch()

    def _on_reached(self, stop: StopOrder) -> None:
        self.pairs.on_reached(stop)

    def _wait(self, member: Member, request: OrderRequest) -> str:
        engine = self._engine(request.symbol)
        size = 0 if request.size is None else units_of(engine.listing, request.size)
        return self._stops.place(member, request, engine, size)

    def _take_away(self, order: AccountOrder, size: int, now_ns: int) -> None:
        # Self-trade prevention took this much of a resting order, perhaps all.
        if size == order.remaining:
            self._finish(order, now_ns, is_canceled=True)
        else:
            self._shrink(order, order.size - size)


def _as_in_book(orders: list[AccountOrder], side: str) -> list[AccountOrder]:
    """Sort the orders of a side, oldest first, by the order in which takers meet them."""
    sign = -1 if side == "buy" else 1
    return sorted(
        (order for order in orders if order.request.side == side),
        key=lambda order: sign * (order.price_ticks or 0),
    )


def _as_submission(events: list[Event]) -> Submission:
    return Submission("", "canceled", 0, 0, events)


def _account_order(checked: CheckedOrder, order_id: str, now_ns: int) -> AccountOrder:
    member, symbol = checked.member, checked.request.symbol
    return AccountOrder(
        member=member,
        engine=checked.engine,
        request=checked.request,
        order_id=order_id,
        price_ticks=checked.price_ticks,
        size=checked.size,
        time_ns=now_ns,
        hold=checked.hold,
        is_cross=member.margin_mode(symbol) == "CROSS",
        leverage=leverage_of(member, checked.request),
    )
