"""Random recordings, random strategies, and runs of them, each from a seed."""

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

import polars as pl

from kucoin_research.errors import BookNotReady
from kucoin_research.model.instruments import Instrument, RiskTier
from kucoin_research.model.records import (
    CHANNEL_OF,
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    Level2,
    MarkPrice,
    Status,
    Ticker,
    Trade,
    schema_of,
)
from kucoin_research.strategy.backtest import result_of
from kucoin_research.strategy.options import RunOptions
from kucoin_research.strategy.run import PaperRun
from kucoin_research.strategy.tape import open_tape

SECOND = 1_000_000_000
MILLI = 1_000_000
START = 1_767_600_000 * SECOND  # a whole minute
_MOST_SYMBOLS = 8  # arrivals of different symbols never coincide: each has its own residue

TIERS = (
    RiskTier(3_000.0, 125.0, 0.008, 0.004),
    RiskTier(9_000.0, 100.0, 0.01, 0.02),
    RiskTier(10_000_000.0, 50.0, 0.02, 0.03),
)


def contract(symbol, base="XBT", **others):
    usual = {
        "market": "futures", "quote": "USDT", "settle": "USDT", "tick_size": 0.1, "lot_size": 1.0,
        "contract_multiplier": 0.001, "maker_fee": 0.0002, "taker_fee": 0.0006,
        "max_leverage": 125.0, "maintenance_margin": 0.004, "price_limit_rate": 0.05,
    }  # fmt: skip
    return Instrument(symbol=symbol, base=base, **{**usual, **others})


INSTRUMENTS = {
    each.symbol: each
    for each in (
        contract("XBTUSDTM"),
        contract("ETHUSDTM", "ETH", contract_multiplier=0.01, risk_tiers=TIERS),
        contract("SOLUSDTM", "SOL", contract_multiplier=0.1, price_limit_rate=None),
        contract(
            "XBTUSDM", quote="USD", settle="XBT", contract_multiplier=-1.0, is_inverse=True,
            mmr_size=20.0, mmr_leverage_constant=100.0, mmr_limit=0.3,
        ),
        Instrument(
            symbol="BTC-USDT", market="spot", base="BTC", quote="USDT", settle="USDT",
            tick_size=0.1, lot_size=0.0001, min_funds=1.0, maker_fee=0.001, taker_fee=0.001,
        ),
    )
}  # fmt: skip
_START_PRICES = {"ETHUSDTM": 3_000.0, "SOLUSDTM": 150.0}
#: Typical sizes of a level, in lots or coins.
SIZES = {"XBTUSDTM": 20, "ETHUSDTM": 40, "SOLUSDTM": 80, "XBTUSDM": 900, "BTC-USDT": 0.05}


def draw_size(random, symbol, scale=1.0):
    lot = INSTRUMENTS[symbol].lot_size
    lots = max(1, round(random.uniform(0.02, 2.0) * scale * SIZES[symbol] / lot))
    return round(lots * lot, 6)


# -- recordings ------------------------------------------------------------------------------------


class _Maker:
    """Writes the records of one symbol: a walk with jumps, and the channels that show it."""

    def __init__(self, random, symbol, channels, *, residue, steps, has_gaps, pace_ms):
        self.random, self.symbol, self.channels = random, symbol, channels
        self.records, self.gaps = [], []
        self.residue, self.steps, self.has_gaps, self.pace = residue, steps, has_gaps, pace_ms
        self.facts = INSTRUMENTS[symbol]
        self.is_spot = self.facts.market == "spot"
        self.middle = round(_START_PRICES.get(symbol, 60_000.0) / self.facts.tick_size)
        self.sides = {"buy": {}, "sell": {}}
        self.now, self.sequence, self.last = START, 100, (None, None, None)
        self.book_sequence = 100
        self.settled = self.due_end = None

    def add(self, kind, *fields, at=None):
        self.now += _MOST_SYMBOLS
        local = self.now - self.now % _MOST_SYMBOLS + self.residue
        sent = local - self.random.randrange(5, 40) * MILLI if at is None else at
        self.records.append(kind(sent, local, self.symbol, *fields))

    def price(self, tick):
        return round(tick * self.facts.tick_size, 6)

    def make(self):
        self.refill()
        self.snapshot()
        for _ in range(self.steps):
            self.now += self.random.randrange(10, 2 * self.pace) * MILLI
            if self.has_gaps and self.random.random() < 0.015:
                self.lose()
            self.move()
            self.show()
            self.trade()
            self.mark()
            self.fund()
        return self

    def refill(self):
        # A level is changed only where the new book differs, so many keep their size.
        fresh = {"buy": {}, "sell": {}}
        for side, sign in (("buy", -1), ("sell", 1)):
            for depth in range(1, 8):
                tick = self.middle + sign * depth
                is_kept = tick in self.sides[side] and self.random.random() < 0.7
                fresh[side][tick] = (
                    self.sides[side][tick] if is_kept else draw_size(self.random, self.symbol, 0.5)
                )
                if self.random.random() < 0.15:
                    del fresh[side][tick]
        changes = [
            (side, tick, fresh[side].get(tick, 0.0))
            for side in ("buy", "sell")
            for tick in sorted(self.sides[side].keys() | fresh[side].keys())
            if self.sides[side].get(tick) != fresh[side].get(tick)
        ]
        self.sides = fresh
        return sorted(changes, key=lambda each: each[2] > 0)

    def move(self):
        step = self.random.choice([0, 0, 0, 0, 1, -1, 2, -3])
        if self.random.random() < 0.02:
            step = round(self.middle * self.random.choice([-1, 1]) * self.random.uniform(0.01, 0.1))
        self.middle += step

    def show(self):
        changes = self.refill()
        if "level2" in self.channels:
            for side, tick, size in changes:
                self.book_sequence += 1
                self.add(Level2, self.book_sequence, False, side, self.price(tick), size)
        bids = [(self.price(t), s) for t, s in sorted(self.sides["buy"].items(), reverse=True)]
        asks = [(self.price(t), s) for t, s in sorted(self.sides["sell"].items())]
        best = (*(bids or [(None, None)])[0], *(asks or [(None, None)])[0])
        if "depth50" in self.channels:
            prices, sizes = zip(*bids, strict=True) if bids else ((), ())
            asked, offered = zip(*asks, strict=True) if asks else ((), ())
            self.add(Depth50, 1, prices, sizes, asked, offered)
        if "depth5" in self.channels:
            fields = []
            for levels in (bids, asks):
                padded = (levels + [(None, None)] * 5)[:5]
                fields += [price for price, _ in padded] + [size for _, size in padded]
            self.add(Depth5, 1, *fields)
        if "bbo" in self.channels:
            self.add(BestBidOffer, 1, *best)
        if "ticker" in self.channels:
            self.sequence += 1
            self.add(Ticker, self.sequence, *self.last, *best)

    def snapshot(self):
        if "level2" not in self.channels:
            return
        self.book_sequence += 7
        for side, levels in self.sides.items():
            for tick, size in levels.items():
                self.add(Level2, self.book_sequence, True, side, self.price(tick), size)
        self.add(Status, "book_ready", "level2", None, None, self.book_sequence)

    def trade(self):
        if self.random.random() > 0.6:
            return
        side = self.random.choice(["buy", "sell"])
        sign = 1 if side == "buy" else -1
        tick = self.middle + sign * self.random.choice([1, 1, 1, 2, 4])
        size = draw_size(self.random, self.symbol, 0.4)
        self.last = (self.price(tick), size, None if self.is_spot else side)
        if "trade" in self.channels:
            self.sequence += 1
            shown = side if self.random.random() < 0.95 else None
            self.add(Trade, self.sequence, str(self.sequence), shown, self.price(tick), size)

    def mark(self):
        if "mark_price" in self.channels and self.random.random() < 0.5:
            mark = round(self.price(self.middle) * self.random.uniform(0.9995, 1.0005), 2)
            self.add(MarkPrice, mark, round(mark * 0.9999, 2))

    def fund(self):
        if "funding_rate" not in self.channels:
            return
        rate = round(self.random.uniform(-0.002, 0.004), 6)
        if self.random.random() < 0.1:
            self.add(FundingRate, rate, 28_800_000)
        minute = self.now - self.now % (60 * SECOND)
        if minute > START and minute != self.settled:
            self.settled = minute
            self.add(FundingRate, rate, None, at=minute)
            self.due_end = self.now + 10 * SECOND
        elif self.due_end is not None and self.due_end < self.now:
            self.due_end = None
            self.add(FundingRate, rate, None, at=self.settled + 10 * SECOND)

    def lose(self):
        if self.random.random() < 0.4:
            self.add(Status, "disconnected", None, "lost", None, None)
            self.look_elsewhere()
            return
        began = self.now + _MOST_SYMBOLS + self.residue
        self.now += self.random.randrange(500, 8_000) * MILLI
        name = next(each for each in ("level2", "ticker", *self.channels) if each in self.channels)
        local = self.now + _MOST_SYMBOLS
        local = local - local % _MOST_SYMBOLS + self.residue
        self.gaps.append((began, local))
        self.add(Status, "gap", name, "missing", None, None, at=began)
        self.look_elsewhere()
        self.move()
        self.refill()
        self.snapshot()

    def look_elsewhere(self):
        # Trades and mark prices may come before the first quotes do.
        for _ in range(self.random.randrange(4)):
            self.now += self.random.randrange(10, 300) * MILLI
            self.trade()
            self.mark()


class _CandleMaker(_Maker):
    """Writes closed candles of a minute, and mark prices in between."""

    def make(self):
        opened = START
        for _ in range(self.steps):
            ticks = [self.middle]
            for _ in range(4):
                self.move()
                ticks.append(self.middle)
            open_, close = ticks[0] + self.random.choice([-1, 0, 0, 1]), ticks[-1]
            prices = map(self.price, (open_, max(open_, *ticks), min(open_, *ticks), close))
            if "mark_price" in self.channels:
                self.now = opened + self.random.randrange(1, 59) * SECOND
                self.mark()
            volume = draw_size(self.random, self.symbol)
            closed = opened + 60 * SECOND
            self.records.append(Candle(opened, closed, self.symbol, "1min", *prices, volume, None))
            opened = closed
        return self


@dataclass
class Recorded:
    """Records in order of arrival, with the gaps of each symbol."""

    records: list
    channels: dict
    gaps: dict = field(default_factory=dict)

    @property
    def symbols(self):
        return list(self.channels)

    @property
    def frames(self):
        return frames_of(self.records)

    @property
    def instruments(self):
        return [INSTRUMENTS[symbol] for symbol in self.channels]


def frames_of(records):
    """Make a frame of each channel's records."""
    by_channel = defaultdict(list)
    for record in records:
        by_channel[CHANNEL_OF[type(record)]].append(record)
    return {
        channel: pl.DataFrame(
            [list(each) for each in rows], schema=schema_of(type(rows[0])), orient="row"
        )
        for channel, rows in by_channel.items()
    }


def recording(seed, channels, *, steps=200, has_gaps=True, pace_ms=400):
    """Make the recording of some symbols; each symbol's records depend on it and the seed alone."""
    makers = {}
    for symbol, names in channels.items():
        kind = _CandleMaker if "candle" in names else _Maker
        residue = list(INSTRUMENTS).index(symbol)
        maker = kind(
            Random(f"{seed} {symbol}"), symbol, names, residue=residue, steps=steps,
            has_gaps=has_gaps, pace_ms=pace_ms,
        )  # fmt: skip
        makers[symbol] = maker.make()
    records = itertools.chain.from_iterable(each.records for each in makers.values())
    in_order = sorted(records, key=lambda each: each.local_timestamp)
    return Recorded(in_order, dict(channels), {name: each.gaps for name, each in makers.items()})


QUOTES = (
    ("level2",), ("level2", "ticker"), ("depth50",), ("depth5",), ("bbo",), ("ticker",),
    ("depth5", "ticker"),
)  # fmt: skip


def draw_channels(random, symbol):
    """Draw what is recorded of a symbol."""
    if random.random() < 0.12:
        names = ("trade",)
    else:
        names = random.choice(QUOTES)
        names += ("trade",) if random.random() < 0.7 else ()
    return names if symbol == "BTC-USDT" else (*names, "mark_price", "funding_rate")


def draw_case(seed, **fixed):
    """Draw a recording and the options of a run."""
    random = Random(f"case {seed}")
    if random.random() < 0.15:
        names = random.sample(["ETHUSDTM", "XBTUSDTM", "BTC-USDT"], random.choice([1, 2]))
        channels = dict.fromkeys(names, ("candle", "mark_price"))
        if "BTC-USDT" in channels:
            channels["BTC-USDT"] = ("candle",)
    else:
        names = ["XBTUSDTM", *random.sample(["ETHUSDTM", "XBTUSDM", "BTC-USDT"], 2)]
        channels = {each: draw_channels(random, each) for each in names}
    fees = random.choice([None, (-0.0001, 0.0005), (0.0, 0.0), (0.0003, 0.001)])
    options = {
        "cash": {"USDT": random.choice([300.0, 5_000.0]), "XBT": 0.05, "BTC": 0.2},
        "latency": random.choice([0, 0.05, (0.03, 0.2), "recorded"]),
        "leverage": random.choice([1, 5, 20, 20]),
        "margin_mode": random.choice(["isolated", "isolated", "cross"]),
        "margin_rules": random.choice(["2025-05", "2025-05", "legacy"]),
        "queue": random.choice(["risk_averse", "proportional", "none"]),
        "liquidity": random.choice(["depth", "depth", "best"]),
        "fees": fees,
        "seed": seed,
    }
    options.update(fixed)
    needed = {"XBT": "XBTUSDM", "BTC": "BTC-USDT"}
    options["cash"] = {
        name: amount
        for name, amount in options["cash"].items()
        if needed.get(name) in (None, *channels)
    }
    return recording(seed, channels), options


# -- recordings made by hand -----------------------------------------------------------------------


def quote(at_ms, bid, bid_size, ask, ask_size, symbol="XBTUSDTM"):
    when = START + at_ms * MILLI
    return BestBidOffer(when, when, symbol, None, bid, bid_size, ask, ask_size)


def printed(at_ms, side, price, size, symbol="XBTUSDTM"):
    when = START + at_ms * MILLI
    return Trade(when, when, symbol, at_ms, str(at_ms), side, price, size)


def marked(at_ms, price, symbol="XBTUSDTM"):
    when = START + at_ms * MILLI
    return MarkPrice(when, when, symbol, price, price)


def settled(at_ms, rate, *, when_ms, symbol="XBTUSDTM"):
    return FundingRate(START + when_ms * MILLI, START + at_ms * MILLI, symbol, rate, None)


def by_hand(*records):
    """Make a recording of records that are given in order of arrival."""
    channels = defaultdict(tuple)
    for record in records:
        name = CHANNEL_OF[type(record)]
        if record.symbol is not None and name not in channels[record.symbol]:
            channels[record.symbol] += (name,)
    return Recorded(list(records), dict(channels))


def acting(actions):
    """Make a strategy that acts at some records, which are counted from 0."""
    count = itertools.count()

    def strategy(record, broker):
        action = actions.get(next(count))
        if action is not None:
            action(broker)

    return strategy


# -- strategies ------------------------------------------------------------------------------------


class RandomTrader:
    """Sends every kind of order, seeded; it acts on the records of its symbols alone."""

    def __init__(self, seed, symbols, *, eagerness=0.12, scale=1.0, until=None):
        self.random = Random(f"trader {seed}")
        self.symbols = frozenset(symbols)
        self.eagerness, self.scale, self.until = eagerness, scale, until

    def __call__(self, record, broker):
        if record.symbol not in self.symbols or isinstance(record, Status):
            return
        if self.until is not None and broker.now >= self.until:
            return
        if self.random.random() < self.eagerness:
            self.act(record.symbol, broker)

    def act(self, symbol, broker):
        random = self.random
        orders = broker.orders(symbol)
        kind = random.random()
        if orders and kind < 0.12:
            broker.cancel(random.choice(orders))
        elif orders and kind < 0.18:
            order = random.choice(orders)
            broker.replace(order, limit=self.near(symbol, broker) if order.limit else None)
        elif kind < 0.2:
            broker.cancel_all(symbol)
        elif kind < 0.27:
            broker.close(symbol)
        elif kind < 0.33:
            size = draw_size(random, symbol, self.scale)
            is_short = symbol != "BTC-USDT" and random.random() < 0.5
            broker.target(-size if is_short else size, symbol)
        elif kind < 0.36:
            broker.note(f"seen {broker.position(symbol).size:g} at {self.quotes(broker, symbol)}")
        else:
            self.send(symbol, broker)

    @staticmethod
    def quotes(broker, symbol):
        try:
            book = broker.book(symbol)
        except BookNotReady:
            return broker.best(symbol)
        return len(book.bids), len(book.asks)

    def near(self, symbol, broker, reach=5):
        """Draw a price near the market."""
        best = broker.best(symbol)
        prices = [each for each in (best.best_bid, best.best_ask) if each is not None]
        if not prices:
            prices += [each.price for each in broker.last("trade", 1, symbol)]
            prices += [each.close for each in broker.last("candle", 1, symbol)]
        facts = broker.instrument(symbol)
        middle = sum(prices) / len(prices) if prices else 100.0
        away = self.random.randint(-reach, reach) * facts.tick_size
        if self.random.random() < 0.1:
            away += middle * self.random.choice([-0.08, -0.01, 0.01, 0.08])
        if self.random.random() < 0.02:
            return middle * 1.000123  # off tick
        return facts.round_price(middle + away)

    def send(self, symbol, broker):
        random, is_spot = self.random, symbol == "BTC-USDT"
        size = draw_size(random, symbol, self.scale)
        if random.random() < 0.02:
            size *= 0.3337
        options = {"tag": random.choice(["", "a", "b"])}
        if random.random() < 0.7:
            options["limit"] = self.near(symbol, broker)
            forces = ["GTC"] * 4 + ["IOC", *(["FOK", "GTT"] if is_spot else [])]
            options["time_in_force"] = random.choice(forces)
            if options["time_in_force"] in ("GTC", "GTT"):
                options["post_only"] = random.random() < 0.3
            if options["time_in_force"] == "GTT":
                options["cancel_after"] = random.uniform(0.5, 20.0)
        elif is_spot and random.random() < 0.3:
            options["time_in_force"] = "FOK"
        if random.random() < 0.2:
            options["stop"] = self.near(symbol, broker, reach=12)
            options["stop_price_type"] = "TP" if is_spot else random.choice(["TP", "MP", "IP"])
        if not is_spot and random.random() < 0.25:
            options["reduce_only"] = True
        random.choice([broker.buy, broker.sell])(size, symbol, **options)


class Both:
    """Several strategies side by side."""

    def __init__(self, *strategies):
        self.strategies = strategies

    def __call__(self, record, broker):
        for each in self.strategies:
            each(record, broker)


# -- runs ------------------------------------------------------------------------------------------

_DEFAULTS = {
    "cash": 10_000.0, "currency": "USDT", "latency": 0.05, "fees": None,
    "queue": "risk_averse", "leverage": 1.0, "margin_mode": "isolated",
    "margin_rules": "2025-05", "funding": "recorded", "liquidity": "depth", "seed": 0,
    "progress": False, "name": "random",
}  # fmt: skip


class Played:
    """A finished run with its inside."""

    def __init__(self, strategy, recorded, watch=None, prepare=None, **options):
        settings = {**_DEFAULTS, "instruments": recorded.instruments, **options}

        def watched(record, broker):
            strategy(record, broker)
            if watch is not None:
                watch(self.run, record)

        read = RunOptions.read(watched, **settings)
        self.run = PaperRun(watched, open_tape(recorded.frames, None, None, read.instruments), read)
        if prepare is not None:
            prepare(self.run)
        for batch in self.run.facts.batches():
            if not self.run.feed(batch):
                break
        self.run.finish()
        if self.run.failed is not None:
            raise self.run.failed.error
        self.result = result_of(self.run)
        self.account = self.run._account
        self.fills = self.run.ledger.fills
        self.orders = {each.order_id: each for each in self.run.broker.sent}


def play(strategy, recorded, watch=None, prepare=None, **options):
    """Play a recording to a strategy; ``watch`` is called behind it with the run and the record."""
    return Played(strategy, recorded, watch, prepare, **options)
