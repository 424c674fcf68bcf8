"""Where accounts trade: their orders go through the same book as the crowd's.

The desk decides who may place what, settles fills, and tells the private streams. It runs on the
exchange's thread and on virtual time: what it does by itself (stops, funding, traders) happens at
the end of a slice, so that it does not depend on who is listening.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from random import Random
from typing import Any

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.sim.accounts.keys import Account
from kucoin_research.sim.accounts.ledger import (
    ZERO,
    BalanceChange,
    Position,
    account_number,
    contract_value,
    decimal_text,
    fraction,
)
from kucoin_research.sim.accounts.margin import MarginLender
from kucoin_research.sim.accounts.members import (
    FuturesWallet,
    LiveOrder,
    Member,
    StopOrder,
    position_data,
    position_mark_data,
)
from kucoin_research.sim.accounts.order_checks import (
    _NO_FUNDS,
    _PRICE_TYPES,
    _SIDES,
    _STOPS,
    _TIMES_IN_FORCE,
    _affordable,
    _cost_of_taking,
    _price,
    _size,
    _ticks,
    _units,
)
from kucoin_research.sim.accounts.order_messages import (
    OrderEvent,
    futures_order_data,
    spot_order_data,
    stop_order_data,
)
from kucoin_research.sim.accounts.orders import Fill, OrderRefused, OrderRequest
from kucoin_research.sim.accounts.stop_orders import _base36, _without_stop
from kucoin_research.sim.accounts.trader import RandomTrader
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.account_orders import Submission
from kucoin_research.sim.engine.market import Event, Market, Trade

__all__ = ["OrderEntry"]

_MS = 1_000_000
_SECOND = 1_000_000_000
_FIRST_EVENT_ID = 354_689_988_084_000


class OrderEntry:
    """The accounts of one exchange.

    Parameters
    ----------
    venue
        Gives engines, takes orders and frames.
    accounts
        Who may trade.
    """

    def __init__(self, venue: Venue, accounts: Iterable[Account]) -> None:
        self.venue = venue
        self.members = {account.key: Member(account) for account in accounts}
        self.lender = MarginLender(self.tell, self._tell_balance, venue.seed)
        self._orders: dict[str, LiveOrder] = {}
        self._stops: dict[str, dict[str, StopOrder]] = {}
        self._traders: dict[str, list[RandomTrader]] = {}
        self._random = Random(f"{venue.seed}:desk")
        self._event_id = _FIRST_EVENT_ID

    # What it needs of the exchange

    def interests(self) -> set[str]:
        """Name the symbols that must move although nobody may be listening to them."""
        symbols = {order.symbol for order in self._orders.values()}
        symbols |= {symbol for symbol, stops in self._stops.items() if stops}
        symbols |= self._traders.keys()
        for member in self.members.values():
            symbols |= {symbol for symbol, one in member.positions.items() if one.quantity}
        return symbols

    @property
    def has_debts(self) -> bool:
        """Whether somebody owes coins."""
        return any(self.lender.is_in_debt(member) for member in self.members.values())

    def on_events(self, events: list[Event]) -> None:
        """Settle the fills of resting orders."""
        if not self._orders:
            return
        for event in events:
            if isinstance(event, Trade) and event.maker_order_id in self._orders:
                self._fill_maker(event)

    def act(self, symbol: str, engine: Market, now_ns: int) -> None:
        """Do what is due for a symbol at the end of a slice."""
        for stop in list(self._stops.get(symbol, {}).values()):
            self._look_at_stop(stop, now_ns)
        for trader in self._traders.get(symbol, ()):
            trader.act(now_ns)
        if engine.listing.market == "futures" and not now_ns % _SECOND:
            is_settling = not now_ns % (engine.listing.funding_interval_ms * _MS)
            for member in self.members.values():
                position = member.positions.get(symbol)
                if position is not None and position.quantity:
                    if is_settling:
                        self._settle_funding(member, position, engine, now_ns)
                    self._mark(member, position, engine, now_ns)

    def on_grid(self, now_ns: int) -> None:
        """Do what is due for no symbol in particular."""
        for member in self.members.values():
            self.lender.on_grid(member, now_ns)

    # Orders

    def place(self, member: Member, request: OrderRequest) -> str:
        """Enter an order; give its id.

        Raises
        ------
        OrderRefused
            Where KuCoin would refuse it; ``code`` is KuCoin's.
        """
        engine = self._engine(request.symbol)
        size, price_ticks = self._check(request, engine)
        if request.stop:
            return self._place_stop(member, request, engine, size)
        if engine.listing.market == "spot":
            size, hold = self._spot_hold(member, request, engine, size, price_ticks)
        else:
            size, hold = self._futures_size(member, request, engine, size, price_ticks), ZERO
        return self._submit(member, request, engine, size, price_ticks, hold)

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
            self._drop_stop(stop, "cancel")
            return
        order = member.orders.get(order_id)
        if order is None:
            raise OrderRefused("100004", f"order {order_id} is not open: it cannot be canceled")
        self.venue.order(order.symbol, lambda engine: _as_submission(engine.cancel(order_id)))
        self._finish(order, order.engine.now_ns, is_canceled=True)

    def amend(self, member: Member, order_id: str, size: Decimal) -> None:
        """Make an open order smaller; it keeps its place in the queue.

        Raises
        ------
        OrderRefused
            If it is not open, or the size is not between what is filled and what it was.
        """
        order = member.orders.get(order_id)
        if order is None:
            raise OrderRefused("100004", f"order {order_id} is not open: it cannot be amended")
        units, old_size = _units(order.engine.listing, size), order.size
        if not order.filled < units < old_size:
            raise OrderRefused("400100", f"size {size} must be below the old and above the filled")
        less = old_size - units
        self.venue.order(order.symbol, lambda engine: _as_submission(engine.reduce(order_id, less)))
        released = order.hold * less / order.remaining if order.remaining else ZERO
        order.size = units
        now_ns = order.engine.now_ns
        self._tell_order(order, "update", now_ns, old_size=old_size)
        if order.engine.listing.market == "spot":
            order.hold -= released
            self._release(order, released, now_ns)
        else:
            self._tell_wallet(member, order.engine.listing.settle, now_ns)

    def start_trader(
        self, member: Member, symbol: str, orders_per_minute: float, seed: int
    ) -> None:
        """Let a random trader place orders on a symbol from now on."""
        engine = self._engine(symbol)
        trader = RandomTrader(self, member, engine, orders_per_minute, seed)
        self._traders.setdefault(symbol, []).append(trader)
        self.venue.watch()

    def stop_traders(self) -> None:
        """End all random traders; their orders stay."""
        self._traders.clear()
        self.venue.watch()

    # Settings of futures accounts

    def set_margin_mode(self, member: Member, symbol: str, mode: str) -> None:
        """Choose isolated or cross margin for a symbol without position and orders."""
        engine = self._futures_engine(symbol)
        if mode not in ("ISOLATED", "CROSS"):
            raise OrderRefused("100001", f"no margin mode {shown(mode)}; modes: ISOLATED, CROSS")
        position = member.positions.get(symbol)
        if (position is not None and position.quantity) or member.orders_of(symbol):
            raise OrderRefused("330005", f"{symbol} has a position or orders: its mode is fixed")
        member.set_margin_mode(symbol, mode)
        topic = "/contract/marginMode"
        self.tell(member, "futures", topic, "user.config", {symbol: mode}, engine.now_ns)

    def set_leverage(self, member: Member, symbol: str, leverage: Decimal) -> None:
        """Choose the leverage of a symbol's next orders."""
        engine = self._futures_engine(symbol)
        if not 1 <= leverage <= engine.listing.max_leverage:
            raise OrderRefused(
                "100001",
                f"leverage {leverage}: {symbol} allows 1 to the maximum of "
                f"{engine.listing.max_leverage}",
            )
        member.set_leverage(symbol, leverage)
        if member.margin_mode(symbol) == "CROSS":
            data = {symbol: {"leverage": decimal_text(leverage)}}
            topic = "/contract/crossLeverage"
            self.tell(member, "futures", topic, "user.config", data, engine.now_ns)
            self._tell_wallet(member, engine.listing.settle, engine.now_ns)

    # Money in and out

    def deposit(self, member: Member, wallet: str, currency: str, amount: Decimal) -> None:
        """Add coins to a wallet, or take them away: ``futures``, ``spot`` or ``margin``."""
        now_ns = self.venue.clock.reached_ns
        if wallet == "futures":
            if self.futures_wallet(member, currency).available + amount < 0:
                raise OrderRefused("200004", f"not enough {currency} in the futures account")
            member.futures[currency] += amount
            self._tell_wallet(member, currency, now_ns)
            return
        if wallet not in ("spot", "margin"):
            raise InvalidInput(f"no wallet {shown(wallet)}; wallets: futures, spot, margin")
        coins = member.spot if wallet == "spot" else member.margin.wallet
        if coins.available(currency) + amount < 0:
            raise OrderRefused("200004", f"not enough {currency} in the {wallet} account")
        event = "trade.transfer" if wallet == "spot" else "margin.transfer"
        self._tell_balance(member, coins, coins.change(currency, amount), event, {}, now_ns)

    def futures_wallet(
        self, member: Member, currency: str, now_ns: int | None = None
    ) -> FuturesWallet:
        """Add up a futures currency at the marks of a time; None for now."""
        time_ns = self.venue.clock.reached_ns if now_ns is None else now_ns

        def mark(symbol: str) -> Decimal:
            return fraction(self.venue.engine(symbol).mark_price(time_ns))

        return member.futures_wallet(currency, mark)

    # Checks

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

    def _check(self, request: OrderRequest, engine: Market) -> tuple[int, int | None]:
        # Size in units (0 with funds) and price in ticks.
        listing = engine.listing
        for value, known, name in (
            (request.side, _SIDES, "side"),
            (request.time_in_force, _TIMES_IN_FORCE, "time in force"),
            (request.stop_price_type, _PRICE_TYPES, "stop price type"),
            (request.stop, ("", *_STOPS[listing.market]), "stop"),
        ):
            if value not in known:
                raise OrderRefused("400100", f"no {name} {shown(value)} here; known: {known}")
        if bool(request.stop) != (request.stop_price is not None):
            raise OrderRefused("400100", "a stop order needs both stop and stop_price")
        if request.funds is None and request.size is None:
            raise OrderRefused("400100", "an order needs a size")
        if request.funds is not None and (
            listing.market == "futures"
            or request.side == "sell"
            or request.price is not None
            or request.size is not None
            or request.stop
            or request.funds <= 0
        ):
            raise OrderRefused("400100", "funds are for spot market buys, in place of a size")
        if request.reduce_only and listing.market == "spot":
            raise OrderRefused("400100", "reduce_only is for futures")
        size = 0 if request.size is None else _units(listing, request.size)
        price_ticks = None if request.price is None else _ticks(listing, request.price)
        return size, price_ticks

    def _spot_hold(
        self,
        member: Member,
        request: OrderRequest,
        engine: Market,
        size: int,
        price_ticks: int | None,
    ) -> tuple[int, Decimal]:
        listing, wallet = engine.listing, member.spot
        if request.side == "sell":
            hold, currency = _size(engine, size), listing.base
        else:
            currency = listing.quote
            with_fee = 1 + fraction(listing.taker_fee)
            if request.funds is not None:
                hold = request.funds
                size = _affordable(engine, hold / with_fee)
                if not size:
                    raise OrderRefused("400100", f"funds {hold} buy less than the smallest size")
            elif price_ticks is not None:
                hold = _price(engine, price_ticks) * _size(engine, size) * with_fee
            else:
                hold = _cost_of_taking(engine, size) * with_fee
        if hold > wallet.available(currency):
            raise OrderRefused(_NO_FUNDS["spot"], f"Balance insufficient! {hold} {currency} needed")
        return size, hold

    def _futures_size(
        self,
        member: Member,
        request: OrderRequest,
        engine: Market,
        size: int,
        price_ticks: int | None,
    ) -> int:
        listing = engine.listing
        closable = member.closable(request.symbol, request.side)
        if request.reduce_only:
            if not closable:
                raise OrderRefused("300009", "No open positions to close.")
            return min(size, closable)
        opening = max(0, size - closable)
        if price_ticks is None:
            best = engine.best_ask if request.side == "buy" else engine.best_bid
            price_ticks = best or 1
        value = abs(contract_value(listing, _price(engine, price_ticks), opening))
        # Room for both fees, and for a fill or a mark that is a little off.
        rate = 1 / member.leverage(request.symbol) + 3 * fraction(listing.taker_fee)
        wallet = self.futures_wallet(member, listing.settle, engine.now_ns)
        if value * rate > wallet.available:
            raise OrderRefused(
                _NO_FUNDS["futures"],
                f"Balance insufficient: {decimal_text(value * rate)} {listing.settle} needed",
            )
        return size

    # The life of an order

    def _submit(
        self,
        member: Member,
        request: OrderRequest,
        engine: Market,
        size: int,
        price_ticks: int | None,
        hold: Decimal,
    ) -> str:
        done = self.venue.order(
            request.symbol,
            lambda engine: engine.submit(
                request.side,
                size,
                price_ticks=price_ticks,
                time_in_force=request.time_in_force,
                owner=member.user_id,
            ),
        )
        now_ns = engine.now_ns // _MS * _MS
        order = LiveOrder(
            member=member,
            engine=engine,
            request=request,
            order_id=done.order_id,
            price_ticks=price_ticks,
            size=size,
            time_ns=now_ns,
            hold=hold,
            is_cross=member.margin_mode(request.symbol) == "CROSS",
            leverage=member.leverage(request.symbol),
        )
        if engine.listing.market == "spot":
            currency = engine.listing.quote if request.side == "buy" else engine.listing.base
            change = member.spot.change(currency, -hold, hold)
            context = _context(order)
            self._tell_balance(member, member.spot, change, "trade.hold", context, now_ns)
            self._tell_order(order, "received", now_ns)
        for event in done.events:
            if isinstance(event, Trade):
                if event.maker_order_id in self._orders:
                    self._fill_maker(event)
                self._fill(order, event, is_taker=True)
        if done.resting:
            self._orders[order.order_id] = member.orders[order.order_id] = order
            self._tell_order(order, "open", now_ns)
            if engine.listing.market == "futures":
                self._tell_wallet(member, engine.listing.settle, now_ns)
        else:
            self._finish(order, now_ns, is_canceled=done.status != "filled")
        self.venue.watch()
        return order.order_id

    def _fill_maker(self, trade: Trade) -> None:
        order = self._orders[trade.maker_order_id]
        self._fill(order, trade, is_taker=False)
        if not order.remaining:
            self._finish(order, trade.time_ns, is_canceled=False)

    def _fill(self, order: LiveOrder, trade: Trade, *, is_taker: bool) -> None:
        engine, listing = order.engine, order.engine.listing
        rate = fraction(listing.taker_fee if is_taker else listing.maker_fee)
        price = _price(engine, trade.price_ticks)
        is_spot = listing.market == "spot"
        size = _size(engine, trade.size)
        value = price * size if is_spot else abs(contract_value(listing, price, trade.size))
        fee = value * rate if is_spot else (value * rate).quantize(Decimal("1e-12"))
        order.filled += trade.size
        order.member.fills.append(
            Fill(
                trade.time_ns,
                order.symbol,
                order.order_id,
                trade.trade_id,
                order.request.side,
                price,
                trade.size,
                fee,
                is_taker,
            )
        )
        self._tell_order(order, "match", trade.time_ns, trade=trade, is_taker=is_taker)
        if is_spot:
            self._settle_coins(order, trade, value, size, fee)
        else:
            self._settle_contracts(order, trade, price, fee)

    def _settle_coins(
        self, order: LiveOrder, trade: Trade, value: Decimal, size: Decimal, fee: Decimal
    ) -> None:
        wallet, listing = order.member.spot, order.engine.listing
        if order.request.side == "sell":
            held = size
            changes = [wallet.change(listing.base, ZERO, -size)]
            changes.append(wallet.change(listing.quote, value - fee))
        else:
            order.spent += value + fee
            held = value + fee
            if order.price_ticks is not None:
                with_fee = 1 + fraction(listing.taker_fee)
                held = _price(order.engine, order.price_ticks) * size * with_fee
            changes = [wallet.change(listing.quote, held - value - fee, -held)]
            changes.append(wallet.change(listing.base, size))
        order.hold -= held
        context = _context(order) | {"tradeId": trade.trade_id}
        for change in changes:
            self._tell_balance(order.member, wallet, change, "trade.setted", context, trade.time_ns)

    def _settle_contracts(
        self, order: LiveOrder, trade: Trade, price: Decimal, fee: Decimal
    ) -> None:
        member, listing = order.member, order.engine.listing
        position = member.positions.setdefault(order.symbol, Position(listing))
        if not position.quantity:
            position.is_cross, position.leverage = order.is_cross, order.leverage
        time_ms = trade.time_ns // _MS
        profit = position.fill(order.request.side, price, trade.size, fee, time_ms)
        member.futures[listing.settle] += profit - fee
        reason = "liquidation" if order.request.trade_type == "liquid" else "positionChange"
        mark = fraction(order.engine.mark_price(trade.time_ns))
        data = position_data(position, mark, time_ms, reason)
        self._tell_position(member, order.symbol, "position.change", data, trade.time_ns)
        self._tell_wallet(member, listing.settle, trade.time_ns)

    def _finish(self, order: LiveOrder, now_ns: int, *, is_canceled: bool) -> None:
        self._orders.pop(order.order_id, None)
        order.member.orders.pop(order.order_id, None)
        if is_canceled:
            order.canceled = order.remaining
        self._tell_order(order, "canceled" if is_canceled else "filled", now_ns)
        if order.engine.listing.market == "futures":
            self._tell_wallet(order.member, order.engine.listing.settle, now_ns)
        elif order.hold:
            released, order.hold = order.hold, ZERO
            self._release(order, released, now_ns)
        self.venue.watch()

    def _release(self, order: LiveOrder, amount: Decimal, now_ns: int) -> None:
        listing, wallet = order.engine.listing, order.member.spot
        currency = listing.quote if order.request.side == "buy" else listing.base
        change = wallet.change(currency, amount, -amount)
        self._tell_balance(order.member, wallet, change, "trade.hold", _context(order), now_ns)

    # Stop orders

    def _place_stop(self, member: Member, request: OrderRequest, engine: Market, size: int) -> str:
        bits = self._random.getrandbits(110)
        is_futures = engine.listing.market == "futures"
        order_id = f"2406{bits % 10**14:014d}" if is_futures else f"vs{_base36(bits):0>22}"
        stop = StopOrder(
            member=member,
            engine=engine,
            request=request,
            order_id=order_id,
            size=size,
            time_ns=engine.now_ns // _MS * _MS,
        )
        member.stops[order_id] = stop
        self._stops.setdefault(request.symbol, {})[order_id] = stop
        self._tell_stop(stop, "open", stop.time_ns)
        self.venue.watch()
        return order_id

    def _look_at_stop(self, stop: StopOrder, now_ns: int) -> None:
        engine, kind = stop.engine, stop.request.stop_price_type
        if kind == "MP":
            price = engine.mark_price(now_ns)
        elif kind == "IP":
            price = engine.index_price(now_ns)
        elif engine.last_trade is None:
            return
        else:
            price = engine.price(engine.last_trade.price_ticks)
        if not stop.is_reached(price):
            return
        error = ""
        request = _without_stop(stop.request)
        # Told before the order that it becomes; whether that can be placed has to be known first.
        try:
            self._rehearse(stop.member, request, engine)
        except OrderRefused as refused:
            error = str(refused)
        self._drop_stop(stop, "triggered", error)
        if not error:
            self.place(stop.member, request)

    def _rehearse(self, member: Member, request: OrderRequest, engine: Market) -> None:
        size, price_ticks = self._check(request, engine)
        if engine.listing.market == "spot":
            self._spot_hold(member, request, engine, size, price_ticks)
        else:
            self._futures_size(member, request, engine, size, price_ticks)

    def _drop_stop(self, stop: StopOrder, event: str, error: str = "") -> None:
        del stop.member.stops[stop.order_id]
        del self._stops[stop.request.symbol][stop.order_id]
        self._tell_stop(stop, event, stop.engine.now_ns // _MS * _MS, error)
        self.venue.watch()

    # Positions as time goes by

    def _settle_funding(
        self, member: Member, position: Position, engine: Market, now_ns: int
    ) -> None:
        rate, mark = engine.settled_funding(now_ns), engine.mark_price(now_ns)
        listing = engine.listing
        size = abs(position.value(fraction(mark)))
        paid = size * fraction(rate) * (1 if position.quantity > 0 else -1)
        fee = -paid.quantize(Decimal("1e-12"))
        position.funding += fee
        member.futures[listing.settle] += fee
        data = {
            "fundingTime": now_ns // _MS,
            "qty": position.quantity,
            "markPrice": mark,
            "fundingRate": rate,
            "fundingFee": float(fee),
            "ts": now_ns,
            "settleCurrency": listing.settle,
            "symbol": listing.symbol,
        }
        self._tell_position(member, listing.symbol, "position.settlement", data, now_ns)
        self._tell_wallet(member, listing.settle, now_ns)

    def _mark(self, member: Member, position: Position, engine: Market, now_ns: int) -> None:
        mark = fraction(engine.mark_price(now_ns))
        if self._is_broke(member, position, mark, now_ns):
            self._liquidate(member, position, engine)
            return
        data = position_mark_data(position, mark, now_ns // _MS)
        self._tell_position(member, engine.listing.symbol, "position.change", data, now_ns)
        if position.is_cross:
            # Availability moves with the mark; the version does not. (reference, section 8.1)
            self._tell_wallet(member, engine.listing.settle, now_ns, is_new_version=False)

    def _is_broke(self, member: Member, position: Position, mark: Decimal, now_ns: int) -> bool:
        if not position.is_cross:
            return position.margin.total + position.unrealised(mark) <= position.maintenance
        settle = position.listing.settle
        needed = sum(
            (
                one.maintenance
                for one in member.positions.values()
                if one.is_cross and one.listing.settle == settle
            ),
            ZERO,
        )
        return self.futures_wallet(member, settle, now_ns).total_cross <= needed

    def _liquidate(self, member: Member, position: Position, engine: Market) -> None:
        symbol = engine.listing.symbol
        for order in member.orders_of(symbol):
            self.cancel(member, order.order_id)
        request = OrderRequest(
            symbol=symbol,
            side="sell" if position.quantity > 0 else "buy",
            size=Decimal(abs(position.quantity)),
            reduce_only=True,
            trade_type="liquid",
        )
        self.place(member, request)

    # Telling

    def tell(
        self,
        member: Member,
        market: str,
        topic: str,
        subject: str,
        data: dict[str, Any],
        now_ns: int,
        *,
        frame_id: str = "",
    ) -> None:
        """Send one private frame to the listeners of a topic."""
        frame = {"topic": topic, "type": "message", "subject": subject}
        if frame_id:
            frame["id"] = frame_id
        whole = frame | {"userId": member.user_id, "channelType": "private", "data": data}
        self.venue.emit_private(member.user_id, market, topic, whole, now_ns)

    def _tell_order(
        self,
        order: LiveOrder,
        event: OrderEvent,
        now_ns: int,
        *,
        trade: Trade | None = None,
        is_taker: bool = False,
        old_size: int | None = None,
    ) -> None:
        member = order.member
        is_futures = order.engine.listing.market == "futures"
        build = futures_order_data if is_futures else spot_order_data
        data = build(order, event, now_ns, trade=trade, is_taker=is_taker, old_size=old_size)
        if not is_futures:
            for topic in ("/spotMarket/tradeOrdersV2", "/spotMarket/tradeOrders"):
                if event != "received" or topic.endswith("V2"):
                    self.tell(member, "spot", topic, "orderChange", data, now_ns)
            return
        # Each push carries the topic subscribed to: KuCoin's own SDK finds its callback by it.
        for topic in (
            f"/contractMarket/tradeOrders:{order.symbol}",
            "/contractMarket/tradeOrders",
        ):
            self.tell(member, "futures", topic, "symbolOrderChange", data, now_ns)

    def _tell_stop(self, stop: StopOrder, event: str, now_ns: int, error: str = "") -> None:
        market = stop.engine.listing.market
        topic = "/contractMarket" if market == "futures" else "/spotMarket"
        self.tell(
            stop.member,
            market,
            f"{topic}/advancedOrders",
            "stopOrder",
            stop_order_data(stop, event, now_ns, error),
            now_ns,
            frame_id=self.venue.frame_id(f"{stop.order_id} {event}", now_ns),
        )

    def _tell_position(
        self, member: Member, symbol: str, subject: str, data: dict[str, Any], now_ns: int
    ) -> None:
        for topic in (f"/contract/position:{symbol}", "/contract/positionAll"):
            self.tell(member, "futures", topic, subject, data, now_ns)

    def _tell_wallet(
        self, member: Member, currency: str, now_ns: int, *, is_new_version: bool = True
    ) -> None:
        wallet = self.futures_wallet(member, currency, now_ns)
        if member.reported.get(currency) == wallet:
            return
        member.reported[currency] = wallet
        member.versions[currency] += is_new_version
        version = member.versions[currency]
        self.tell(
            member,
            "futures",
            "/contractAccount/wallet",
            "walletBalance.change",
            wallet.data(currency, version, now_ns // _MS),
            now_ns,
            frame_id=self.venue.frame_id(f"{member.user_id} {currency} {version}", now_ns),
        )

    def _tell_balance(
        self,
        member: Member,
        _wallet: object,
        change: BalanceChange,
        event: str,
        context: dict[str, str],
        now_ns: int,
    ) -> None:
        self._event_id += 1
        event_id = str(self._event_id)
        account = account_number(member.user_id, event.partition(".")[0], change.currency)
        data = {
            "accountId": str(account),
            "currency": change.currency,
            "total": decimal_text(change.available + change.hold),
            "available": decimal_text(change.available),
            "hold": decimal_text(change.hold),
            "availableChange": decimal_text(change.available_change),
            "holdChange": decimal_text(change.hold_change),
            "relationContext": context,
            "relationEvent": event,
            "relationEventId": event_id,
            # Milliseconds as text. (reference, section 8.2)
            "time": str(now_ns // _MS),
        }
        topic = "/account/balance"
        self.tell(member, "spot", topic, "account.balance", data, now_ns, frame_id=event_id)


def _as_submission(events: list[Event]) -> Submission:
    return Submission("", "canceled", 0, 0, events)


def _context(order: LiveOrder) -> dict[str, str]:
    return {"symbol": order.symbol, "orderId": order.order_id}
