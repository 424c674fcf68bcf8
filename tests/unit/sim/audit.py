"""An auditor of any trading: it adds up everything from rows, frames and the tape by itself."""

import re
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from kucoin_research.sim.accounts.members import AccountOrder
from kucoin_research.sim.engine.catalog import LISTINGS
from tests.unit.sim.random_trading import PAIR, SYMBOLS

FINE = Fraction(1, 10**12)
_FUTURES_STORY = re.compile(r"m*(o[mu]*)?[fc]")
_SPOT_STORY = re.compile(r"rm*(o[mu]*)?[fc]")


def exact(number):
    # A float means the decimal that it prints as.
    return Fraction(number if isinstance(number, Decimal) else str(number))


def cents(value):
    """Round to twelve digits, half to even, as the exchange says it does."""
    return Fraction(round(value * 10**12), 10**12)


class Audit:
    """Checks one `Trading`, after each action and at its end."""

    def __init__(self, trading):
        self.trading = trading
        self.hub = trading.floor.hub
        self.opening = {
            (member.account.key, wallet, coin): exact(amount)
            for member in trading.members
            for wallet, coins in (
                ("main", member.account.main), ("trade", member.account.spot),
                ("margin", member.account.margin), ("futures", member.account.futures),
            )
            for coin, amount in coins.items()
        }  # fmt: skip
        self.closes = self.bounded = 0  # market orders that closed isolated margin, or a part
        self.read = 0  # frames that have been read
        self.rows = defaultdict(int)  # ledger rows that have been added, by key of member
        self.sums = defaultdict(Fraction, self.opening)
        self.stories = defaultdict(list)  # order id to its frames
        self.wallets = {}  # newest private frame of a coin
        self.versions = {}
        self.seen = {}  # symbol to the sequence of the book that was checked
        trading.on_step = self.after_step
        trading.on_place = self.after_place

    # After each action

    def check(self):
        self.read_frames()
        for member in self.trading.members:
            self.check_ledger(member)
            self.check_holds(member)
            self.check_futures(member)
        for symbol in SYMBOLS:
            self.check_book(symbol)
        self.check_open_stories()

    def check_ledger(self, member):
        key, ledger = member.account.key, list(member.book.ledger)
        for row in ledger[self.rows[key] :]:
            where = key, row.wallet, row.currency
            self.sums[where] += exact(row.amount)
            assert self.sums[where] == exact(row.balance), row
        self.rows[key] = len(ledger)
        found = {
            (key, wallet, coin): exact(coins.available(coin)) + exact(coins.hold(coin))
            for wallet in ("main", "trade", "margin")
            for coins in (member.coins(wallet),)
            for coin in coins.currencies
        } | {(key, "futures", coin): exact(total) for coin, total in member.futures.items()}
        for where, total in self.sums.items():
            if where[0] == key:
                assert found.get(where, 0) == total, where
        for where, total in found.items():
            assert self.sums.get(where, 0) == total, where

    def check_holds(self, member):
        held = defaultdict(Fraction)
        rate = 1 + exact(LISTINGS[PAIR].taker_fee)
        for order in member.orders.values():
            if order.symbol == PAIR:
                size = exact(order.engine.size_text(order.remaining))
                if order.request.side == "sell":
                    held["BTC"] += size
                else:
                    held["USDT"] += size * exact(order.request.price) * rate
        for coin in member.spot.currencies:
            assert exact(member.spot.hold(coin)) == held[coin], coin
            assert member.spot.available(coin) >= 0
        for wallet in (member.main, member.margin.wallet):
            assert not any(wallet.hold(coin) for coin in wallet.currencies)

    def check_futures(self, member):
        for coin in ("USDT", "XBT"):
            wallet = self.trading.entry.futures_wallet(member, coin)
            bound = self.bound_by_orders(member, coin)
            assert exact(wallet.isolated_order) == bound["ISOLATED"], coin
            assert exact(wallet.cross_order) == bound["CROSS"], coin
            # The fees of fills are rounded one by one, what an order may cost as a whole.
            assert wallet.balance >= -FINE * 100, (coin, wallet)
            has_cross = wallet.cross_position or wallet.cross_order or wallet.cross_pnl
            if not has_cross:
                assert wallet.free >= -FINE * 100, (coin, wallet)

    def bound_by_orders(self, member, coin):
        bound, cross = defaultdict(Fraction), defaultdict(Fraction)
        left = {symbol: position.quantity for symbol, position in member.positions.items()}
        for order in member.orders.values():
            listing = LISTINGS[order.symbol]
            if listing.market != "futures" or listing.settle != coin:
                continue
            opening = order.remaining
            if not order.request.force_hold:
                held = left.get(order.symbol, 0) * (-1 if order.request.side == "buy" else 1)
                closing = min(max(0, held), opening)
                left[order.symbol] = left.get(order.symbol, 0) + closing * (
                    1 if order.request.side == "buy" else -1
                )
                opening -= closing
            value = worth(listing, exact(order.request.price), opening)
            if order.is_cross:
                margin = cents(value / exact(member.leverage(order.symbol)))
                cross[order.symbol, order.request.side] += margin
            else:
                bound["ISOLATED"] += cents(value / exact(order.leverage))
        for symbol in SYMBOLS:
            bound["CROSS"] += max(cross[symbol, "buy"], cross[symbol, "sell"])
        return bound

    def check_book(self, symbol):
        engine = self.hub.engine(symbol)
        if self.seen.get(symbol) == engine.sequence:
            return
        self.seen[symbol] = engine.sequence
        assert engine.best_bid < engine.best_ask
        resting = {
            order.order_id: order.remaining
            for member in self.trading.members
            for order in member.orders.values()
            if order.symbol == symbol
        }
        assert {key: one.remaining for key, one in engine._orders.open_orders.items()} == resting
        seen = {}
        for side in (engine._book.bids, engine._book.asks):
            assert side.keys == sorted(side.queues)
            for key, queue in side.queues.items():
                assert queue
                assert side.sizes[key] == sum(one.remaining for one in queue)
                assert all(one.remaining > 0 for one in queue)
                numbers = [one.number for one in queue]
                assert numbers == sorted(numbers)
                for one in queue:
                    if one.owner is not None:
                        seen[engine._book.order_text(one.number)] = one.remaining
            assert side.orders == sum(len(queue) for queue in side.queues.values())
        assert seen == resting

    # Frames

    def read_frames(self):
        frames = self.trading.floor.frames
        for frame in frames[self.read :]:
            data, subject = frame["data"], frame["subject"]
            if subject in ("symbolOrderChange", "orderChange"):
                self.hear_order(data)
            elif subject == "walletBalance.change":
                where = frame["userId"], data["currency"]
                assert int(data["version"]) - self.versions.get(where, 0) in (0, 1)
                self.versions[where] = int(data["version"])
                self.wallets[where] = data
            elif subject == "account.balance":
                self.hear_balance(frame["userId"], data)
        self.read = len(frames)
        for member in self.trading.members:
            self.check_reported_wallets(member)

    def hear_balance(self, user_id, data):
        where = user_id, data["relationEvent"].partition(".")[0], data["currency"]
        assert exact(data["total"]) == exact(data["available"]) + exact(data["hold"])
        before = self.wallets.get(where)
        if before is not None:
            for name in ("available", "hold"):
                change = exact(data[f"{name}Change"])
                assert exact(data[name]) - exact(before[name]) == change
        self.wallets[where] = data

    def check_reported_wallets(self, member):
        for coin in ("USDT", "XBT"):
            reported = self.wallets.get((member.user_id, coin))
            wallet = self.trading.entry.futures_wallet(member, coin)
            if reported is None:
                assert wallet.balance == Decimal(member.account.futures.get(coin, "0"))
                continue
            for name, amount in (
                ("walletBalance", wallet.balance),
                ("isolatedPosMargin", wallet.isolated_position),
                ("isolatedOrderMargin", wallet.isolated_order),
                ("crossPosMargin", wallet.cross_position),
                ("crossOrderMargin", wallet.cross_order),
            ):
                assert exact(reported[name]) == exact(amount), (name, reported, wallet)
        for kind in ("main", "trade", "margin"):
            coins = member.coins(kind)
            for coin in coins.currencies:
                reported = self.wallets.get((member.user_id, kind, coin))
                if reported is not None:
                    assert exact(reported["available"]) == exact(coins.available(coin))
                    assert exact(reported["hold"]) == exact(coins.hold(coin))

    def hear_order(self, data):
        story = self.stories[data["orderId"]]
        event = data["type"]
        if event != "received":
            sizes = [exact(data[name]) for name in ("filledSize", "canceledSize", "remainSize")]
            assert all(size >= 0 for size in sizes), data
            if not (event == "canceled" and "originFunds" in data):
                assert sum(sizes) == exact(data["size"]), data
            matched = sum(exact(one["matchSize"]) for one in story if one["type"] == "match")
            if event == "match":
                matched += exact(data["matchSize"])
            assert matched == sizes[0], data
            if event in ("filled", "canceled"):
                assert sizes[2] == 0
                is_cut = bool(sizes[1] or exact(data.get("canceledFunds", 0)))
                assert is_cut == (event == "canceled"), data
                assert data["status"] == "done"
            else:
                assert not sizes[1]
            if event == "update":
                last = story[-1]
                assert exact(data["oldSize"]) == exact(last["size"]) > exact(data["size"])
            elif len(story) > 1 and "size" in story[-1]:
                assert data["size"] == story[-1]["size"]
        story.append(data)

    def check_open_stories(self):
        orders = {
            order.order_id: order
            for member in self.trading.members
            for order in member.orders.values()
        }
        for order_id, story in self.stories.items():
            is_done = story[-1]["type"] in ("filled", "canceled")
            assert is_done == (order_id not in orders), story
        for order_id, order in orders.items():
            last = self.stories[order_id][-1]
            text = order.engine.size_text
            assert last["size"] == text(order.size)
            assert last["filledSize"] == text(order.filled)
            assert last["remainSize"] == text(order.remaining)

    # Positions that the exchange has taken over

    def after_step(self, before):
        self.check()
        members = {member.account.key: member for member in self.trading.members}
        for (key, symbol), (margin, rows, _) in before.items():
            member = members[key]
            lost, kept = Fraction(0), exact(margin.total)
            ledger = list(member.book.ledger)[rows:]
            others = False
            for row in ledger:
                if row.context.get("symbol") != symbol:
                    continue
                if "orderId" not in row.context:  # a funding
                    kept += exact(row.amount)
                    continue
                order = member.archive.find("futures", row.context["orderId"])
                if not order.request.is_forced:
                    others = True
                    continue
                lost -= exact(row.amount)
            if member.positions[symbol].is_auto_deposit or others:
                continue
            assert lost <= kept, (symbol, float(lost - kept), margin)

    def after_place(self, member, order_id, before):
        """A market order that closes isolated margin costs no more than what it closes."""
        order = member.archive.find("futures", order_id)
        if before is None or not isinstance(order, AccountOrder) or order.request.price:
            return
        margin, rows, lots = before
        is_closing = (lots > 0) != (order.request.side == "buy")
        ledger = list(member.book.ledger)[rows:]
        if not is_closing or order.filled > abs(lots):
            return
        if any(row.context.get("orderId") != order_id for row in ledger):
            return  # it met an own order
        lost = -sum(exact(row.amount) for row in ledger)
        kept = exact(margin.total) * order.filled / abs(lots)
        assert lost <= kept + FINE * (1 + len(ledger)), (float(lost), float(kept))
        self.closes += order.filled > 0
        self.bounded += order.filled < order.size

    # At the end

    def finish(self):
        self.check()
        for symbol in SYMBOLS:
            self.check_tape(symbol)
        self.check_fills()
        self.check_money()
        self.check_stories()

    def check_clean(self):
        """All orders are canceled, and all positions closed."""
        self.check()
        for member in self.trading.members:
            assert not member.orders
            assert not any(member.spot.hold(coin) for coin in member.spot.currencies)
            for coin in ("USDT", "XBT"):
                wallet = self.trading.entry.futures_wallet(member, coin)
                assert wallet.available == wallet.balance == wallet.equity
                assert not any(wallet[1:])

    def check_stories(self):
        for order_id, story in self.stories.items():
            letters = "".join(one["type"][0] for one in story)
            if story[-1]["type"] not in ("filled", "canceled"):
                letters += "c"
            pattern = _SPOT_STORY if story[0]["symbol"] == PAIR else _FUTURES_STORY
            assert pattern.fullmatch(letters), (order_id, letters)

    def check_tape(self, symbol):
        engine, tape = self.hub.engine(symbol), self.hub.tape(symbol)()
        assert tape.book(self.hub.book_sequence(engine)) == (
            dict(engine.levels("buy")), dict(engine.levels("sell"))
        )  # fmt: skip
        subject = "match" if symbol != PAIR else "trade.l3match"
        public = [data for data in self.trading.floor.data(subject) if data["symbol"] == symbol]
        assert [str(one["tradeId"]) for one in public] == [one.trade_id for one in tape.trades], (
            symbol,
            len(public),
            len(tape.trades),
        )
        self.check_priority(symbol, tape)

    def check_priority(self, symbol, tape):
        # Orders are numbered in time, so those at one price must be met in the order of numbers;
        # and a taker's trades go from better to worse prices.
        if symbol == PAIR:
            return
        newest, last = {}, None
        for trade in tape.trades:
            level = trade.side, trade.price_ticks
            number = int(trade.maker_order_id)
            assert number >= newest.get(level, 0), trade
            newest[level] = number
            if last is not None and last.taker_order_id == trade.taker_order_id:
                worse = trade.price_ticks - last.price_ticks
                assert (worse if trade.side == "buy" else -worse) >= 0
            last = trade

    def check_fills(self):
        trades = {
            (symbol, trade.trade_id): trade
            for symbol in SYMBOLS
            for trade in self.hub.tape(symbol)().trades
        }
        owners = {
            order.order_id: member
            for member in self.trading.members
            for market in ("spot", "futures")
            for order in member.archive.newest_first(market)
        }
        for member in self.trading.members:
            held, filled = defaultdict(int), defaultdict(int)
            for row in sorted(member.book.fills, key=lambda row: row.row_id):
                trade = trades[row.fill.symbol, row.fill.trade_id]
                self.check_fill(row, trade, held[row.fill.symbol])
                if row.request.stp and row.fill.is_taker:
                    assert owners.get(trade.maker_order_id) is not member, row
                size = row.fill.size
                held[row.fill.symbol] += size if row.fill.side == "buy" else -size
                filled[row.fill.order_id] += size
            for symbol, position in member.positions.items():
                assert position.quantity == held[symbol]
            for market in ("spot", "futures"):
                self.check_filled(member.archive.newest_first(market), filled)
        assert sum(len(member.book.fills) for member in self.trading.members) == sum(
            (trade.maker_order_id in owners) + (trade.taker_order_id in owners)
            for trade in trades.values()
        )

    def check_fill(self, row, trade, held):
        """Compare a fill with the trade of the tape, and with what its order allows."""
        fill, request = row.fill, row.request
        assert trade.size == fill.size
        order_id = trade.taker_order_id if fill.is_taker else trade.maker_order_id
        assert order_id == fill.order_id
        price = Decimal(self.hub.engine(fill.symbol).price_text(trade.price_ticks))
        if request.price is not None:
            is_good = price <= request.price if fill.side == "buy" else price >= request.price
            assert is_good, row
        if request.taken_over_at is None:
            assert fill.price == price
        if request.reduce_only or request.close_order:
            assert held * (1 if fill.side == "buy" else -1) <= -fill.size, row
        assert not (request.time_in_force == "PO" and fill.is_taker), row

    @staticmethod
    def check_filled(orders, filled):
        for order in orders:
            if isinstance(order, AccountOrder):
                assert order.filled == filled[order.order_id] <= order.size
                if order.request.time_in_force == "FOK":
                    assert order.filled in (0, order.size)

    def check_money(self):
        """What each account has is what its trades, fundings and moves alone have left of it."""
        for member in self.trading.members:
            self.check_spot_money(member)
            self.check_contract_money(member)

    def moved(self, member, wallet, coin):
        key = member.account.key, wallet, coin
        total = self.opening.get(key, Fraction(0)) + exact(self.trading.deposits.get(key, 0))
        names = {"BTC": ("BTC", "XBT"), "XBT": ("BTC", "XBT")}.get(coin, (coin,))
        for row in member.book.transfers:
            if row.currency in names:
                sign = (row.target == wallet) - (row.source == wallet)
                total += sign * exact(row.amount)
        return total

    def check_spot_money(self, member):
        coins, cash = self.moved(member, "trade", "BTC"), self.moved(member, "trade", "USDT")
        listing = LISTINGS[PAIR]
        for row in member.book.fills:
            fill = row.fill
            if fill.symbol == PAIR:
                size = fill.size * exact(listing.lot_size)
                value = size * exact(fill.price)
                rate = exact(listing.taker_fee if fill.is_taker else listing.maker_fee)
                sign = 1 if fill.side == "buy" else -1
                coins += sign * size
                cash -= sign * value + value * rate
                assert exact(fill.fee) == value * rate
        assert exact(member.spot.total("BTC")) == coins
        assert exact(member.spot.total("USDT")) == cash
        for wallet, coin in (("main", "BTC"), ("main", "USDT"), ("margin", "USDT")):
            total = exact(member.coins(wallet).total(coin))
            assert total == self.moved(member, wallet, coin)

    def check_contract_money(self, member):
        for coin in ("USDT", "XBT"):
            cash, slack = self.moved(member, "futures", coin), Fraction(0)
            for row in member.book.fills:
                fill, listing = row.fill, LISTINGS[row.fill.symbol]
                if listing.settle != coin or listing.market != "futures":
                    continue
                value = worth(listing, exact(fill.price), fill.size)
                rate = exact(listing.taker_fee if fill.is_taker else listing.maker_fee)
                if row.request.taken_over_at is None:
                    assert exact(fill.fee) == cents(value * rate)
                else:
                    assert fill.fee == 0
                    slack += 2 * FINE
                sign = 1 if fill.side == "buy" else -1
                cash -= exact(fill.fee) + sign * value * (-1 if listing.is_inverse else 1)
                slack += 2 * FINE if listing.is_inverse else 0
            for position in member.positions.values():
                if position.listing.settle == coin:
                    cash += exact(position.cost)
            for row in member.book.fundings:
                if row.settle == coin:
                    cash += exact(row.funding)
            assert abs(exact(member.futures.get(coin, 0)) - cash) <= slack


def worth(listing, price, lots):
    """The value of lots in the settlement currency, positive."""
    if listing.is_inverse:
        return cents(lots / price) if price else Fraction(0)
    return lots * exact(listing.multiplier) * price
