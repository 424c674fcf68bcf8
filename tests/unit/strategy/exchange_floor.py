"""One account trades on a simulated exchange while its public frames are recorded.

Everything runs on virtual time, without sockets and threads. What the account did is kept beside
the recording, so that the paper broker can be given the same decisions at the same records.
"""

import functools
import json
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec
import polars as pl

import kucoin_research as kr
from kucoin_research.exchange.rest.instrument_rows import contract_of, pair_of
from kucoin_research.exchange.rest.schemas import ContractRow, PairRow
from kucoin_research.exchange.websocket.decode_classic import Decoder
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import RiskTier
from kucoin_research.model.orderbook import BookDelta
from kucoin_research.model.records import CHANNELS, Level2, schema_of
from kucoin_research.sim import OrderRefused
from kucoin_research.sim.messages.instrument_rows import (
    contract_row,
    risk_limit_rows,
    symbol_row,
)
from tests.unit.sim.signed import MarketFloor

SECOND = 1_000_000_000
PUBLIC = {
    "futures": (
        "/contractMarket/execution:{}",
        "/contractMarket/level2:{}",
        "/contract/instrument:{}",
        "/contract/announcement:{}",
    ),
    "spot": ("/market/match:{}", "/market/level2:{}"),
}


class Recorder(MarketFloor):
    """A floor that keeps its public frames as records, each with an arrival time of its own."""

    def __init__(self, symbol, **options):
        super().__init__(symbol, **options)
        self.symbol = symbol
        self.listing = self.hub.listings[symbol]
        self.market = self.listing.market
        self.rows = {}
        self.engine = self.hub.caught_up(symbol)
        self.arrived = self.hub.clock.reached_ns
        self._decoder = Decoder(Market(self.market))
        self._keep_snapshot()
        self.listen(self.market, *(topic.format(symbol) for topic in PUBLIC[self.market]))

    def push(self, message, frame):
        if b'"channelType":"private"' in message.payload:
            return super().push(message, frame)
        record = self._decoder.decode(message.payload, 0)
        if isinstance(record, BookDelta) and not record.changes:
            return True  # a filler, which makes no row
        # Records arrive one by one: never before they were sent, and in the order of delivery.
        self.arrived = max(self.arrived + 1, record.timestamp)
        if isinstance(record, BookDelta):
            for sequence, side, price, size in record.changes:
                row = (record.timestamp, self.arrived, self.symbol, sequence, False)
                self._keep(Level2(*row, side, price, size))
        else:
            self._keep(record._replace(local_timestamp=self.arrived))
        return True

    def _keep_snapshot(self):
        engine, now = self.engine, self.arrived
        sequence = self.hub.book_sequence(engine)
        for side in ("buy", "sell"):
            for ticks, units in engine.levels(side):
                price, size = engine.price(ticks), float(engine.size_text(units))
                self._keep(Level2(now, now, self.symbol, sequence, True, side, price, size))

    def _keep(self, record):
        self.rows.setdefault(type(record), []).append(record)

    def recording(self):
        """The recording, as backtest takes it."""
        return {
            channel: pl.DataFrame(self.rows[kind], schema=schema_of(kind), orient="row")
            for channel, kind in CHANNELS.items()
            if kind in self.rows
        }

    def instrument(self):
        """The symbol's facts, as the client reads them from the exchange's list."""
        listing, now = self.listing, self.hub.clock.reached_ns
        if self.market == "spot":
            return pair_of(decoded(symbol_row(listing), PairRow), ())
        contract = contract_of(decoded(contract_row(listing, self.engine, now), ContractRow), ())
        rows = risk_limit_rows(listing)
        return replace(contract, risk_tiers=tuple(tier_of(row) for row in rows))


def decoded(row, kind):
    return msgspec.json.decode(json.dumps(row), type=kind, strict=False)


def tier_of(row):
    return RiskTier(
        row["maxRiskLimit"], row["maxLeverage"], row["initialMargin"], row["maintainMargin"]
    )


@dataclass
class Decision:
    """One order, or the cancel of one, sent when a record had just arrived."""

    after: int
    number: int
    side: str = ""
    size: float = 0.0
    options: dict = field(default_factory=dict)
    is_cancel: bool = False


@dataclass
class Checkpoint:
    """The account at one moment, after the record that had arrived last; sums since the start."""

    after: int
    size: Decimal = Decimal(0)
    entry: Decimal | None = None
    margin: Decimal = Decimal(0)
    unrealised: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    funding: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    liquidation: Decimal | None = None
    orders: int = 0


class Trader:
    """Sends orders to the exchange, and keeps what was decided and what the exchange reported.

    Parameters
    ----------
    symbol
        What it trades.
    cash
        What it has in the currency of its profits; the demo account's own if None.
    coins
        What it has more of the base coin, on spot.
    leverage, margin_mode
        Of all its orders.
    **options
        ``seed``, ``start`` and ``margin_rules`` of the exchange, and ``facts`` of the listing.
    """

    def __init__(
        self, symbol, *, cash=None, coins=0, leverage=1, margin_mode="isolated", **options
    ):
        self.floor = floor = Recorder(symbol, **options)
        self.listing = floor.listing
        self.account = floor.account()
        self.leverage, self.margin_mode = leverage, margin_mode
        if floor.market == "futures":
            self.account.set_margin_mode(symbol, margin_mode.upper())
            self.account.set_leverage(symbol, leverage)
            floor.listen("futures", "/contract/positionAll", "/contractMarket/tradeOrders")
        self.decisions = []
        self.checkpoints = []
        self.refusals = {}  # by number: KuCoin's code
        self.ids = {}  # by order id: the number
        self.stop = None  # the number of its stop order, which it places under another id
        if cash is not None:
            currency = self.listing.quote if floor.market == "spot" else self.listing.settle
            self.account.deposit(floor.market, currency, exact(cash) - self.wallet())
        self.cash = self.wallet()
        if coins:
            self.account.deposit("spot", self.listing.base, coins)
        self.coins = floor.me.spot.total(self.listing.base)

    # -- deciding ------------------------------------------------------------------------------

    def run(self, seconds):
        """Let whole seconds pass; the account is looked at after each."""
        for _ in range(seconds):
            self.floor.run(1)
            self._look()

    def send(self, side, size, **options):
        """Send an order to the exchange, with the options of the broker; return its number."""
        number = 1 + max((each.number for each in self.decisions), default=0)
        floor = self.floor
        self.decisions.append(Decision(floor.arrived, number, side, size, options))
        asked = {"price" if name == "limit" else name: options[name] for name in options}
        if asked.pop("post_only", False):
            asked["time_in_force"] = "PO"
        if "stop" in asked:
            asked["stop_price"] = asked["stop"]
            asked["stop"] = "up" if asked["stop_price"] > self.mark else "down"
            self.stop = number
        try:
            order_id = self.account.place(floor.symbol, side, size, **asked)
        except OrderRefused as refused:
            self.refusals[number] = refused.code
        else:
            self.ids[order_id] = number
        return number

    buy = functools.partialmethod(send, "buy")
    sell = functools.partialmethod(send, "sell")

    def cancel(self, number):
        """Cancel an order."""
        self.decisions.append(Decision(self.floor.arrived, number, is_cancel=True))
        self.account.cancel(next(each for each, n in self.ids.items() if n == number))

    @property
    def mark(self):
        """The mark price."""
        return self.floor.engine.mark_price(self.floor.engine.now_ns)

    def best(self, side):
        """The best price of a side."""
        engine = self.floor.engine
        return float(engine.price_text(engine.best_bid if side == "buy" else engine.best_ask))

    def through(self, side, more):
        """The size of the best level of a side and a little more, so that an order goes on."""
        (_, units), *_ = self.floor.engine.levels(side, 1)
        return round(float(self.floor.engine.size_text(units)) + more, 8)

    def free_price(self, side, ticks):
        """The first price without orders, at least some ticks behind the best price of a side."""
        engine = self.floor.engine
        taken = {price for price, _ in engine.levels(side)}
        sign = -1 if side == "buy" else 1
        price = (engine.best_bid if side == "buy" else engine.best_ask) + sign * ticks
        while price in taken:
            price += sign
        return float(engine.price_text(price))

    # -- what the exchange reports -------------------------------------------------------------

    def wallet(self):
        """The balance in the currency of profits."""
        if self.floor.market == "spot":
            return self.floor.me.spot.total(self.listing.quote)
        return self.floor.me.futures[self.listing.settle]

    def _look(self):
        me, at = self.floor.me, Checkpoint(self.floor.arrived, cash=self.wallet())
        at.orders = len(me.orders) + len(me.stops)
        at.fees = sum((each.fee for each in me.fills), Decimal(0))
        if self.floor.market == "spot":
            at.size = me.spot.total(self.listing.base)
            self.checkpoints.append(at)
            return
        settled = self.floor.data("position.settlement")
        at.funding = sum((exact(each["fundingFee"]) for each in settled), Decimal(0))
        position = me.positions.get(self.floor.symbol)
        if position is not None and position.quantity:
            at.size, at.entry = Decimal(position.quantity), position.entry_price
            at.margin = position.margin.total
            at.unrealised = position.unrealised(exact(self.mark))
            if not position.is_cross:
                at.liquidation = position.liquidation_price
        self.checkpoints.append(at)

    def fills(self):
        """The exchange's fills, those of one order at one price in a row added up."""
        rows = []
        for fill in self.floor.me.fills:
            size = fill.size * Decimal(self.listing.lot_size)
            kind = "taker" if fill.is_taker else "maker"
            number = self.ids.get(fill.order_id, self.stop)
            if self.floor.data("symbolOrderChange", orderId=fill.order_id, tradeType="liquid"):
                number, kind = None, "liquidation"
            rows.append((fill.time_ns, number, fill.side, fill.price, size, kind, fill.fee))
        return merged(rows)

    def closed_positions(self):
        """What the exchange reports as realised each time that the position is closed."""
        closed = self.floor.data("position.change", currentQty=0)
        return [exact(each["realisedPnl"]) for each in closed]

    # -- the paper broker ----------------------------------------------------------------------

    def paper(self, **options):
        """Give the same decisions to the paper broker, on the recording."""
        return PaperTrader(self, options)


class PaperTrader:
    """The same decisions on paper, and the account at the same moments."""

    def __init__(self, trader, options):
        self.checkpoints = []
        self.orders = {}
        self._decisions = {}
        for each in trader.decisions:
            self._decisions.setdefault(each.after, []).append(each)
        self._moments = {each.after for each in trader.checkpoints}
        self._is_spot = trader.floor.market == "spot"
        currency = trader.listing.quote if self._is_spot else trader.listing.settle
        cash = {currency: float(trader.cash)}
        if self._is_spot:
            cash[trader.listing.base] = float(trader.coins)
        self.result = kr.backtest(
            self._act,
            trader.floor.recording(),
            cash=cash,
            currency=currency,
            latency=0.0,
            leverage=trader.leverage,
            margin_mode=trader.margin_mode,
            instruments=trader.floor.instrument(),
            progress=False,
            **options,
        )

    def _act(self, record, broker):
        if record.local_timestamp in self._moments:
            self._look(record.local_timestamp, broker)
        for each in self._decisions.get(record.local_timestamp, ()):
            if each.is_cancel:
                broker.cancel(self.orders[each.number])
            else:
                send = broker.buy if each.side == "buy" else broker.sell
                self.orders[each.number] = send(each.size, **each.options)

    def _look(self, after, broker):
        held = broker.position()
        self.checkpoints.append(
            Checkpoint(
                after,
                size=exact(held.size),
                entry=None if held.entry_price is None else exact(held.entry_price),
                margin=exact(held.margin),
                unrealised=exact(held.unrealised),
                fees=exact(held.fees),
                funding=exact(held.funding),
                cash=exact(broker.cash),
                liquidation=held.liquidation_price and exact(held.liquidation_price),
                orders=len(broker.orders()),
            )
        )

    def fills(self):
        """The paper fills, those of one order at one price in a row added up."""
        numbers = {order.order_id: number for number, order in self.orders.items()}
        fills = self.result.fills.with_columns(pl.col("timestamp").to_physical())
        return merged(
            (
                row["timestamp"], numbers.get(row["order_id"]), row["side"], exact(row["price"]),
                exact(row["size"]), row["liquidity"], exact(row["fee"]),
            )
            for row in fills.iter_rows(named=True)
        )  # fmt: skip


@dataclass
class Filled:
    """What one order filled at one price; a liquidation has no number."""

    time_ns: int
    number: int | None
    side: str
    price: Decimal
    size: Decimal
    liquidity: str
    fee: Decimal


def merged(rows):
    """Add up fills in a row of one order at one price: the exchange has one per resting order.

    Those of a liquidation have one price but for the last digits.
    """
    found = []
    for row in rows:
        each = Filled(*row)
        last = found[-1] if found else None
        is_same = last is not None and last.number == each.number
        if is_same and (each.number is None or last.price == each.price):
            last.size += each.size
            last.fee += each.fee
        else:
            found.append(each)
    return found


def exact(number):
    """The decimal that a float prints as."""
    return Decimal(repr(number))
