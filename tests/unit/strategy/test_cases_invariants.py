"""What must hold whatever comes: random markets and random orders, from a seed."""

from random import Random

import pytest

import kucoin_research as kr
from tests.unit.strategy.tapes import (
    INSTRUMENTS,
    SPOT,
    UNIT,
    bbo,
    candle,
    depth50,
    gap,
    mark,
    rows,
    settlement,
    tape,
    trade,
)  # fmt: skip

U, S = UNIT.symbol, SPOT.symbol


def walk(random, steps):
    price = 100.0
    for number in range(steps):
        price = round(max(50.0, price + random.choice([-0.5, -0.1, 0.0, 0.1, 0.5])), 1)
        yield number / 4 + random.random() / 8, price


def levels(random, price, sign):
    return [(round(price + sign * each / 10, 1), random.randint(1, 30)) for each in range(1, 5)]


def quoted(random, steps=300):
    """Make depth, top quotes, trades, marks, a gap and settlements of two markets."""
    found = []
    for when, price in walk(random, steps):
        symbol = random.choice([U, U, S])
        kind = random.random()
        if kind < 0.5:
            asks, bids = levels(random, price, 1), levels(random, price, -1)
            found.append(depth50(when, bids, asks, symbol))
        elif kind < 0.65:
            edges = (round(price - 0.1, 1), 9), (round(price + 0.1, 1), 9)
            found.append(bbo(when, *edges, symbol))
        elif kind < 0.9:
            side = random.choice(["buy", "sell", None])
            found.append(trade(when, side, price, random.randint(1, 40), symbol))
        else:
            found.append(mark(when, price, price))
    return [*found, gap(20, 23), settlement(60, 0.001), settlement(60, 0.001, arrived=62)]


def traded(random, steps=200):
    return [
        trade(when, random.choice(["buy", "sell"]), price, random.randint(1, 40))
        for when, price in walk(random, steps)
    ]


def candled(random, steps=60):
    found, price = [], 100.0
    for minute in range(steps):
        opened = round(price + random.choice([-1.0, 0.0, 0.0, 1.0]), 1)
        price = round(max(50.0, opened + random.choice([-1.0, 0.0, 1.0])), 1)
        high = round(max(opened, price) + random.choice([0.0, 0.5, 2.0]), 1)
        low = round(min(opened, price) - random.choice([0.0, 0.5, 2.0]), 1)
        found.append(candle(minute, opened, high, low, price, random.choice([5.0, 500.0])))
    return found


class Trader:
    """Sends random orders, and compares what it is told with itself."""

    def __init__(self, random, symbols, has_marks):
        self.random = random
        self.symbols = symbols
        self.has_marks = has_marks
        self.sent = []
        self.broker = None

    def __call__(self, record, broker):
        self.broker, random = broker, self.random
        if random.random() < 0.3:
            self.act(random, broker, random.choice(self.symbols))
        for order in self.sent:
            assert 0 <= order.filled <= order.size
        for symbol in self.symbols:
            told = sum(
                each.size if each.side == "buy" else -each.size
                for each in broker.fills
                if each.symbol == symbol
            )
            assert broker.position(symbol).size == pytest.approx(told, abs=1e-9)

    def act(self, random, broker, symbol):
        what = random.random()
        last = 100.0 + random.randint(-30, 30) / 10
        size = random.randint(1, 30)
        make = random.choice([broker.buy, broker.sell])
        if what < 0.3:
            self.sent.append(make(size, symbol))
        elif what < 0.6:
            force = random.choice(["GTC", "GTC", "IOC"])
            is_post = force == "GTC" and random.random() < 0.3
            self.sent.append(make(size, symbol, limit=last, time_in_force=force, post_only=is_post))
        elif what < 0.7 and symbol == U:
            self.sent.append(make(size, symbol, limit=last, reduce_only=True))
        elif what < 0.8:
            kind = "MP" if self.has_marks and symbol == U and random.random() < 0.5 else "TP"
            self.sent.append(make(size, symbol, stop=last, stop_price_type=kind))
        elif what < 0.9 and broker.orders(symbol):
            broker.cancel(random.choice(broker.orders(symbol)))
        elif broker.orders(symbol):
            self.sent.append(broker.replace(random.choice(broker.orders(symbol)), limit=last))
        else:
            order = broker.target(random.randint(0, 20), symbol)
            self.sent += [order] if order else []


def run(seed, make, **options):
    random = Random(seed)
    records = make(random)
    symbols = sorted({each.symbol for each in records if each.symbol})
    has_marks = make is quoted
    trader = Trader(Random(seed + 1), symbols, has_marks)
    chosen = {
        "cash": 20_000.0, "latency": random.choice([0, 0.1, (0.3, 0.6)]),
        "fees": random.choice([(0.0002, 0.0006), (-0.0001, 0.0006)]),
        "queue": random.choice(["risk_averse", "proportional", "none"]),
        "instruments": INSTRUMENTS, "progress": False, **options,
    }  # fmt: skip
    if has_marks:
        chosen.setdefault("leverage", random.choice([1, 20]))
        chosen.setdefault("margin_mode", random.choice(["isolated", "cross"]))
    return kr.backtest(trader, tape(*records), **chosen), trader


@pytest.mark.parametrize("make", [quoted, traded, candled], ids=["quotes", "trades", "candles"])
@pytest.mark.parametrize("seed", range(12))
def test_orders_fills_and_money_agree(seed, make):
    result, trader = run(seed, make)

    assert result.complete, result.ended
    fills = rows(result.fills)
    orders = {each["order_id"]: each for each in rows(result.orders)}
    assert len(fills) > 5
    for fill in fills:
        order = orders.get(fill["order_id"])
        if order is None:
            assert fill["liquidity"] == "liquidation"
            continue
        # never worse than its limit, never before it came or after it had ended
        if order["limit"] is not None:
            sign = 1 if fill["side"] == "buy" else -1
            assert sign * (order["limit"] - fill["price"]) >= -1e-9
        assert fill["timestamp"] >= order["submitted"]
        assert order["ended"] is None or fill["timestamp"] <= order["ended"]
    for number, order in orders.items():
        filled = sum(each["size"] for each in fills if each["order_id"] == number)
        assert order["filled"] == pytest.approx(filled, abs=1e-9)
        assert (order["status"] == "filled") == (abs(filled - order["size"]) < 1e-9)
    _compare_money(result, trader, fills)


def _compare_money(result, trader, fills):
    # One coin a contract: equity follows from the fills, their fees, the funding and the sizes.
    last = rows(result.equity)[-1]
    assert last["cash"] >= -1e-9 or last["unrealised"] > 0
    if any(each["liquidity"] == "liquidation" for each in fills):
        return
    flows = -sum(
        (1 if each["side"] == "buy" else -1) * each["size"] * each["price"] + each["fee"]
        for each in fills
    )
    positions = [trader.broker.position(each) for each in trader.symbols]
    held = sum(each.size * each.mark_price for each in positions if each.size)
    funding = sum(result.funding["amount"].to_list())
    assert last["equity"] == pytest.approx(20_000 + flows + funding + held, rel=1e-9)
    if not any(each.size for each in positions):
        assert result.trades["pnl"].sum() == pytest.approx(flows + funding, abs=1e-8)


@pytest.mark.parametrize("make", [quoted, traded, candled], ids=["quotes", "trades", "candles"])
def test_the_same_seed_gives_the_same_fills(make):
    assert run(3, make)[0].fingerprint == run(3, make)[0].fingerprint


def test_no_level_is_taken_twice():
    """Takers of one book never get more than it has displayed between two changes."""
    asks = [(100.1, 7), (100.2, 9), (100.3, 11)]
    records = [depth50(n, [(99.0, 5)], asks) for n in range(30)]
    random = Random(5)

    def strategy(record, broker):
        broker.buy(random.randint(1, 4), limit=100.3)

    result = kr.backtest(
        strategy, tape(*records), cash=1e6, latency=0.1, instruments=INSTRUMENTS, progress=False
    )

    by_price = {price: 0.0 for price, _ in asks}
    for each in rows(result.fills):
        by_price[each["price"]] += each["size"]
    assert by_price == dict(asks)
