"""Any trading of three accounts on a floor of their own: actions drawn at random, and their doing.

An action is a tuple of plain values, read in the state of the floor at that time, so a shorter list
of actions makes sense as well.
"""

import contextlib
from dataclasses import fields, replace
from decimal import Decimal

from kucoin_research.sim import Account, OrderRefused
from kucoin_research.sim.accounts.ledger import Position
from kucoin_research.sim.accounts.orders import OrderRequest
from kucoin_research.sim.engine.catalog import LISTINGS, Flow
from kucoin_research.sim.engine.market import Market
from tests.unit.sim.signed import MarketFloor

LINEAR, INVERSE, PAIR = SYMBOLS = ("XBTUSDTM", "XBTUSDM", "BTC-USDT")
# Few orders, small ones, a wide spread and low risk tiers: accounts meet each other, reach through
# the book, and are liquidated in parts.
FACTS = {
    LINEAR: {
        "flow": Flow(12.0, 0.1, 60, 6.0, 14, 30.0, 20, 9, 50), "basis_noise": 0.004,
        "risk_limit": 1_000,
    },
    INVERSE: {"flow": Flow(6.0, 0.1, 60, 6.0, 14, 30.0, 300, 100, 50), "basis_noise": 0.004},
    PAIR: {"flow": Flow(8.0, 0.1, 60, 6.0, 14, 30.0, 200_000, 60_000, 50)},
}  # fmt: skip
STARTS = ("2026-01-05T07:59:40Z", "2026-01-18T07:59:15Z", "2026-01-18T08:00:20Z")
SIZES = {
    LINEAR: ("1", "3", "10", "40", "150", "600"),
    INVERSE: ("1", "5", "40", "300", "1500", "9000"),
    PAIR: ("0.00001", "0.00013", "0.0006", "0.002", "0.0029", "0.03"),
}
POOR = {
    "futures": {"USDT": "300", "XBT": "0.005"},
    "spot": {"USDT": "250", "BTC": "0.004"},
    "margin": {"USDT": "50"},
    "main": {"BTC": "0.001"},
}
ACCOUNTS = tuple(
    Account(key=key, secret="s", passphrase="p", **POOR) for key in ("ann", "ben", "cyd")
)
# How often each action is taken, and how its values are drawn.
_KINDS = {
    "order": 50, "run": 14, "cancel": 6, "amend": 5, "attach": 5, "oco": 4, "leverage": 4,
    "mode": 2, "add_margin": 2, "withdraw_margin": 2, "auto_deposit": 1, "transfer": 2,
    "deposit": 2, "dead_cancel": 1, "cancel_all": 1, "shake": 7, "close": 6,
}  # fmt: skip
_AMOUNTS = (
    "1", "0.001", "30", "250", "0.0001", "5000", "-0.01", "-20", "0", "0.123456789012", "1e-25",
    "1e30", "all", "all",
)  # fmt: skip
_WALLETS, _COINS = ("main", "trade", "margin", "futures"), ("USDT", "XBT", "BTC")
_OFFSETS = (*range(-14, 5), *range(-14, 5), 40, -40, -500, 300, 60_000, -60_000)
_TIMES = ("GTC",) * 8 + ("IOC", "FOK", "PO", "GTT")


def random_plan(random, length=60):
    """Draw a list of actions, each a tuple of the name of what to do and its values."""
    names = random.choices(list(_KINDS), list(_KINDS.values()), k=length)
    settings = [
        setting
        for who in range(len(ACCOUNTS))
        for symbol in range(2)
        for setting in (
            ("mode", who, symbol, random.choice(("CROSS", "ISOLATED"))),
            ("leverage", who, symbol, random.choice(("10", "50", "125"))),
        )
    ]
    return settings + [(name, *_DRAWN[name](random, random.choice)) for name in names]


def _who(random):
    return random.randrange(len(ACCOUNTS))


def _rarely(random, *values, of=5, usual=""):
    return random.choice(values) if random.random() < 1 / of else usual


def _order(random, pick):
    symbol = random.randrange(3)
    stops = [(kind, away) for kind in ("up", "down") for away in (-8, -2, 2, 8)]
    flags = ("funds", "funds") if symbol == 2 else ("reduce_only", "close_order", "force_hold")
    return (
        _who(random),
        symbol,
        pick(("buy", "sell")),
        random.randrange(6),
        _rarely(random, None, usual=pick(_OFFSETS)),
        pick(_TIMES if symbol == 2 else _TIMES[:-1]),
        _rarely(random, *("CN", "CO", "CB", "DC")[: 4 if symbol == 2 else 3], of=2),
        _rarely(random, *flags, of=4),
        _rarely(random, "1", "3", "20", "100", "125", "125", "125", "-5", of=2, usual=None),
        _rarely(random, *stops, of=8, usual=None),
        pick(("TP", "MP", "IP")),
        _rarely(random, "mine", "yours", of=12),
    )


def _attach(random, pick):
    return (
        _who(random), random.randrange(2), pick(("buy", "sell")), random.randrange(6),
        _rarely(random, None, usual=pick(_OFFSETS)), pick((None, -2, 3, 10, 30)),
        pick((None, -2, 3, 10, 30)),
    )  # fmt: skip


def _oco(random, pick):
    return (
        _who(random), pick(("buy", "sell")), random.randrange(6), pick((-2, 1, 2, 4, 9, 14)),
        pick((-2, 1, 3, 8)), _rarely(random, "mine", of=10), _rarely(random, "CN", "CO", "DC"),
    )  # fmt: skip


def _some(random, _):
    return _who(random), random.randrange(30), random.randrange(100)


def _margin(random, pick):
    return _who(random), random.randrange(2), pick(_AMOUNTS)


_DRAWN = {
    "order": _order,
    "attach": _attach,
    "oco": _oco,
    "amend": _some,
    "cancel": _some,
    "add_margin": _margin,
    "withdraw_margin": _margin,
    "run": lambda random, pick: (pick((0.01, 0.3, 0.3, 1.0, 1.0, 4.0, 15.0)),),
    "cancel_all": lambda random, pick: (_who(random),),
    "close": lambda random, pick: (_who(random), random.randrange(2), pick(("1", "0.5"))),
    "auto_deposit": lambda random, pick: (_who(random), random.randrange(2), pick((True, False))),
    "leverage": lambda random, pick: (
        _who(random), random.randrange(3), pick(("1", "5", "50", "125", "125", "200", "0")),
    ),
    "mode": lambda random, pick: (
        _who(random), random.randrange(3), pick(("CROSS", "CROSS", "ISOLATED")),
    ),
    "deposit": lambda random, pick: (
        _who(random), pick(("futures", "spot", "margin")), pick(_COINS), pick(_AMOUNTS),
    ),
    "transfer": lambda random, pick: (
        _who(random), pick(_WALLETS), pick(_WALLETS), pick((*_COINS, "DOGE")), pick(_AMOUNTS),
        _rarely(random, "mine"),
    ),
    "shake": lambda random, pick: (
        random.randrange(2), pick((0, 2, -2, 4, -4, 7, -7, 12, -12, 40, -40)),
    ),
    "dead_cancel": lambda random, pick: (
        _who(random), pick(("futures", "spot")), pick((5, 5, -1, 3)),
    ),
}  # fmt: skip


class ShakenMarket(Market):
    """A market whose mark price jumps when a test wants it to; ``shift`` is a factor."""

    shift = 1.0

    def mark_price(self, time_ns):
        return round(super().mark_price(time_ns) * self.shift, self.listing.index_decimals)


class Trading:
    """Three accounts that trade on a linear and an inverse contract and on spot.

    ``steps`` are the time steps in which positions may have been liquidated: for each, what each
    account's isolated positions had before.
    """

    def __init__(self, start=STARTS[0], seed=7):
        self.floor = floor = MarketFloor(
            *SYMBOLS,
            seed=seed,
            start=start,
            accounts=ACCOUNTS,
            facts=FACTS,
            make_engine=ShakenMarket,
        )
        self.entry = floor.order_entry
        self.members = [self.entry.members[account.key] for account in ACCOUNTS]
        for symbol in SYMBOLS:
            floor.hub.caught_up(symbol)
        for member in self.members:
            floor.listen(
                "futures",
                "/contractMarket/tradeOrders",
                "/contractMarket/advancedOrders",
                "/contractAccount/wallet",
                "/contract/positionAll",
                member=member,
            )
            floor.listen(
                "spot",
                "/spotMarket/tradeOrdersV2",
                "/spotMarket/advancedOrders",
                "/account/balance",
                member=member,
            )
        floor.listen("futures", f"/contractMarket/execution:{LINEAR},{INVERSE}")
        floor.listen("spot", f"/market/match:{PAIR}")
        self.deposits = {}  # (member's key, wallet, coin) to the sum of deposits
        self.on_step = lambda before: None
        self.on_place = lambda member, order_id, before: None

    # What may be done

    def do(self, action):
        """Do an action; a refusal must leave everything as it was. Returns whether it was done."""
        before = state_of(self)
        try:
            getattr(self, f"do_{action[0]}")(*action[1:])
        except OrderRefused:
            assert state_of(self) == before, f"refused, and yet there was a change: {action}"
            return False
        return True

    def do_order(
        self, who, symbol, side, size, offset, tif, stp, flag, leverage, stop, stop_type, oid
    ):
        symbol = SYMBOLS[symbol]
        request = OrderRequest(
            symbol=symbol,
            side=side,
            size=Decimal(SIZES[symbol][size]),
            price=self.price(symbol, side, offset),
            time_in_force=tif,
            cancel_after=2 if tif == "GTT" else 0,
            stp=stp,
            leverage=None if leverage is None else Decimal(leverage),
            client_oid=oid,
        )
        if flag == "funds":
            funds = (request.size * 90_000).quantize(Decimal("0.000001"))
            request = replace(request, size=None, funds=funds)
        elif flag:
            request = replace(request, **{flag: True})
        if stop is not None:
            kind, away = stop
            last = self.last(symbol) + self.step(symbol) * away
            if symbol == PAIR:
                kind = "entry" if kind == "up" else "loss"
            request = replace(request, stop=kind, stop_price=last, stop_price_type=stop_type)
        member, before = self.members[who], self.margins()
        order_id = self.entry.place(member, request)
        self.on_place(member, order_id, before.get((member.account.key, symbol)))

    def do_close(self, who, symbol, part):
        member, symbol = self.members[who], SYMBOLS[symbol]
        lots = member.positions[symbol].quantity if symbol in member.positions else 0
        request = OrderRequest(
            symbol=symbol,
            side="sell" if lots > 0 else "buy",
            size=Decimal(max(1, int(abs(lots) * Decimal(part)))),
            reduce_only=True,
        )
        before = self.margins()
        order_id = self.entry.place(member, request)
        self.on_place(member, order_id, before.get((member.account.key, symbol)))

    def do_oco(self, who, side, size, away, stop_away, oid, stp):
        last, step, sign = self.last(PAIR), self.step(PAIR), 1 if side == "sell" else -1
        limit = OrderRequest(
            symbol=PAIR,
            side=side,
            size=Decimal(SIZES[PAIR][size]),
            price=last + sign * away * step,
            client_oid=oid,
            stp=stp,
        )
        stop = replace(
            limit,
            price=None if away % 2 else last - sign * (stop_away + 3) * step,
            stop="loss" if side == "sell" else "entry",
            stop_price=last - sign * stop_away * step,
        )
        self.entry.pairs.place_oco(self.members[who], limit, stop)

    def do_attach(self, who, symbol, side, size, offset, up, down):
        symbol = SYMBOLS[symbol]
        request = OrderRequest(
            symbol=symbol,
            side=side,
            size=Decimal(SIZES[symbol][size]),
            price=self.price(symbol, side, offset),
        )
        last, step = self.last(symbol), self.step(symbol)
        self.entry.pairs.attach(
            self.members[who],
            request,
            None if up is None else last + up * step,
            None if down is None else last - down * step,
        )

    def do_amend(self, who, which, percent):
        order = self.some(self.members[who].orders, which)
        if order is not None:
            units = order.size * percent // 100
            size = Decimal(order.engine.size_text(units))
            self.entry.amend(self.members[who], order.order_id, size)

    def do_cancel(self, who, which, _):
        member = self.members[who]
        order = self.some(member.orders | member.stops, which)
        if order is not None:
            self.entry.cancel(member, order.order_id)

    def do_cancel_all(self, who):
        self.floor.account(self.members[who]).cancel_all()

    def do_leverage(self, who, symbol, leverage):
        self.entry.set_leverage(self.members[who], SYMBOLS[symbol], Decimal(leverage))

    def do_mode(self, who, symbol, mode):
        self.entry.set_margin_mode(self.members[who], SYMBOLS[symbol], mode)

    def do_add_margin(self, who, symbol, amount):
        amount = self.amount(amount, self.members[who], "futures", "USDT" if not symbol else "XBT")
        self.entry.positions.add_margin(self.members[who], SYMBOLS[symbol], amount)

    def do_withdraw_margin(self, who, symbol, amount):
        margins, member, symbol = self.entry.positions, self.members[who], SYMBOLS[symbol]
        if amount == "all":
            amount = margins.withdrawable_margin(member, symbol)
        margins.withdraw_margin(member, symbol, Decimal(amount))

    def do_auto_deposit(self, who, symbol, is_on):
        self.entry.positions.set_auto_deposit(self.members[who], SYMBOLS[symbol], is_on=is_on)

    def do_deposit(self, who, wallet, coin, amount):
        member = self.members[who]
        amount = Decimal(1) if amount == "all" else Decimal(amount)
        self.entry.deposit(member, wallet, coin, amount)
        key = member.account.key, {"spot": "trade"}.get(wallet, wallet), coin
        self.deposits[key] = self.deposits.get(key, 0) + amount

    def do_transfer(self, who, source, target, coin, amount, oid):
        member = self.members[who]
        amount = self.amount(amount, member, source, coin)
        self.entry.transfers.move(member, source, target, coin, amount, oid)

    def do_dead_cancel(self, who, market, seconds):
        self.entry.timers.set_dead_cancel(self.members[who], market, seconds)

    def do_shake(self, symbol, per_mille):
        self.floor.hub.engine(SYMBOLS[symbol]).shift = 1 + per_mille / 1_000

    def do_run(self, seconds):
        # Positions are marked at whole seconds, after all else: a step of its own.
        end = self.floor.hub.clock.reached_ns + round(seconds * 1e9)
        while (now := self.floor.hub.clock.reached_ns) < end:
            second = (now // 10**9 + 1) * 10**9
            target = second - 10**7 if now < second - 10**7 else second
            if target == second:
                before = self.margins()
            self.floor.run((min(target, end) - now) / 1e9)
            if target == second:
                self.on_step(before)

    # Readings of the state

    def margins(self):
        """The isolated positions: their margin, the number of ledger rows, and their lots."""
        return {
            (member.account.key, symbol): (
                position.margin, len(member.book.ledger), position.quantity
            )
            for member in self.members
            for symbol, position in member.positions.items()
            if position.quantity and not position.is_cross
        }  # fmt: skip

    def amount(self, text, member, wallet, coin):
        if text == "all":
            return self.entry.transfers.transferable(member, wallet, coin)
        return Decimal(text)

    def step(self, symbol):
        return Decimal(LISTINGS[symbol].tick_size)

    def last(self, symbol):
        engine = self.floor.hub.caught_up(symbol)
        trade = engine.last_trade
        return Decimal(engine.price_text(engine.best_bid if trade is None else trade.price_ticks))

    def price(self, symbol, side, offset):
        if offset is None:
            return None
        engine = self.floor.hub.caught_up(symbol)
        ticks = engine.best_ask + offset if side == "buy" else engine.best_bid - offset
        return Decimal(engine.price_text(max(1, ticks)))

    @staticmethod
    def some(orders, which):
        return list(orders.values())[which % len(orders)] if orders else None

    def clean_up(self):
        """Cancel all orders and close all positions, as far as the exchange lets."""
        for member in self.members:
            self.entry.timers.set_dead_cancel(member, "futures", -1)
            for one in [*member.orders.values(), *member.stops.values()]:
                if one.is_active:
                    self.entry.cancel(member, one.order_id)
        for _ in range(60):
            held = [
                (member, position.listing.symbol)
                for member in self.members
                for position in member.positions.values()
                if position.quantity
            ]
            for member, symbol in held:
                with contextlib.suppress(OrderRefused):  # while a funding is being settled
                    self.entry.place(
                        member, OrderRequest(symbol=symbol, side="buy", close_order=True)
                    )
            if not held:
                return
            self.do_run(1.0)
        raise AssertionError("positions remain")


_POSITION = [field.name for field in fields(Position) if field.name != "listing"]


def state_of(trading):
    """Everything of the accounts and the books, and what was sent, as plain values."""
    return (
        len(trading.floor.frames),
        tuple(_member(member) for member in trading.members),
        tuple(_market(trading, symbol) for symbol in SYMBOLS),
    )


def _member(member):
    return (
        {
            wallet: {
                coin: (coins.available(coin), coins.hold(coin)) for coin in coins.currencies
            }
            for wallet, coins in (
                ("main", member.main), ("trade", member.spot), ("margin", member.margin.wallet)
            )
        },
        dict(member.futures),
        {
            key: (o.size, o.filled, o.canceled, o.hold, o.value, o.fees, o.ended_ns, o.updated_ns)
            for key, o in member.orders.items()
        },
        {key: (stop.size, stop.ended_ns, stop.error) for key, stop in member.stops.items()},
        {
            symbol: [getattr(position, name) for name in _POSITION]
            for symbol, position in member.positions.items()
        },
        {s: (member.margin_mode(s), member.leverage(s)) for s in SYMBOLS},
        [
            len(rows)
            for rows in (
                member.book.ledger, member.book.fills, member.book.transfers,
                member.book.fundings, member.book.closed_positions,
            )
        ],
        dict(member.versions),
        len(list(member.archive.newest_first("spot"))),
        len(list(member.archive.newest_first("futures"))),
    )  # fmt: skip


def _market(trading, symbol):
    engine = trading.floor.hub.caught_up(symbol)
    return engine.now_ns, engine.sequence, engine.last_trade, engine.levels("buy", 5)
