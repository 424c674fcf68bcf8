"""Other engines over the tape of ``benchmarks.backtest_peers``, run with their own interpreter.

``python backtest_engines.py ENGINE STRATEGY TAPE REPEATS`` prints JSON: thousands of records per
second of each repeat, and the number of fills. A contract of the tape is 0.001 coins.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

CONTRACT = 0.001
SECOND = 1_000_000_000
LATENCY = 50_000_000
MAKER, TAKER = 0.0002, 0.0006

#: Runs the engine once, and returns the number of fills.
Run = Callable[[], int]


# -- backtesting -----------------------------------------------------------------------------------


def backtesting(tape: dict[str, Any], strategy: str) -> Run:
    import warnings

    import pandas as pd
    from backtesting import Backtest

    warnings.simplefilter("ignore")  # of trades that are open at the end
    index = pd.to_datetime(tape["time"])
    bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), tape["bar"]), index)
    bars["Volume"] = 1.0
    chosen = {"looks_on": _bar_watcher, "market_maker": _bar_maker}[strategy](tape)
    test = Backtest(bars, chosen, cash=1e9, commission=MAKER)

    def run() -> int:
        stats = test.run()
        return 2 * len(stats["_trades"]) + len(stats["_strategy"].trades)

    return run


def _bar_watcher(_: dict[str, Any]) -> Any:
    from backtesting import Strategy

    class LooksOn(Strategy):
        def init(self) -> None:
            self.average = None

        def next(self) -> None:
            mid = self.data.Close[-1]
            if self.average is None:
                self.buy(size=1)
                self.average = mid
            self.average += (mid - self.average) * 0.01

    return LooksOn


def _bar_maker(tape: dict[str, Any]) -> Any:
    from backtesting import Strategy

    times, bids, asks = tape["time"], tape["bid"], tape["ask"]

    class MarketMaker(Strategy):
        def init(self) -> None:
            self.due = 0

        def next(self) -> None:
            row = len(self.data) - 1
            if times[row] < self.due or not bids[row]:
                return
            self.due = times[row] + SECOND
            for order in self.orders:
                order.cancel()
            held = self.position.size
            if held < 100:
                self.buy(size=10, limit=bids[row])
            if held > -100:
                self.sell(size=10, limit=asks[row])

    return MarketMaker


# -- hftbacktest -----------------------------------------------------------------------------------


def changes_of(tape: dict[str, Any]) -> Any:
    """Return the tape as changes of levels: those that have gone have the size 0."""
    from hftbacktest import BUY_EVENT, DEPTH_EVENT, EXCH_EVENT, LOCAL_EVENT, SELL_EVENT, TRADE_EVENT
    from hftbacktest.types import event_dtype

    both = EXCH_EVENT | LOCAL_EVENT
    found: list[tuple[Any, ...]] = []
    last: dict[int, float] = {}
    rows = zip(*(tape[name].tolist() for name in NAMES), strict=True)
    for when, side, bid, bid_size, ask, ask_size, price, size in rows:
        if side:
            taker = BUY_EVENT if side > 0 else SELL_EVENT
            changes = [(TRADE_EVENT | taker, price, size)]
        else:
            levels = [(BUY_EVENT, bid, bid_size), (SELL_EVENT, ask, ask_size)]
            if bid > last.get(BUY_EVENT, bid):
                levels.reverse()  # the side that gives way goes first, so the two never cross
            changes = []
            for which, level, there in levels:
                changes.append((DEPTH_EVENT | which, level, there))
                if last.get(which, level) != level:
                    changes.append((DEPTH_EVENT | which, last[which], 0.0))
                last[which] = level
        found += [(each[0] | both, when, when, each[1], each[2] * CONTRACT, 0, 0, 0.0)
                  for each in changes]  # fmt: skip
    return np.array(found, event_dtype)


def hftbacktest(tape: dict[str, Any], strategy: str) -> Run:
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest

    events = changes_of(tape)
    play = {"looks_on": _looks_on, "market_maker": _market_maker}[strategy]()

    def run() -> int:
        asset = (
            BacktestAsset()
            .data([events])
            .linear_asset(1.0)
            .constant_order_latency(LATENCY, LATENCY)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(MAKER, TAKER)
            .tick_size(0.1)
            .lot_size(CONTRACT)
        )
        test = HashMapMarketDepthBacktest([asset])
        fills = play(test)
        test.close()
        return int(fills)

    run()  # compiles, which is not timed
    return run


def _looks_on() -> Any:
    from hftbacktest import GTC, LIMIT
    from numba import njit

    @njit
    def play(hbt):
        average, is_sent = 0.0, False
        while hbt.wait_next_feed(False, 1_000_000_000_000) in (2, 3):
            depth = hbt.depth(0)
            mid = (depth.best_bid + depth.best_ask) / 2
            if not is_sent and depth.best_ask_qty > 0 and depth.best_bid_qty > 0:
                hbt.submit_buy_order(0, 1, depth.best_ask + 100, 0.001, GTC, LIMIT, False)
                average, is_sent = mid, True
            average += (mid - average) * 0.01
        return hbt.state_values(0).num_trades

    return play


def _market_maker() -> Any:
    from hftbacktest import GTX, LIMIT
    from numba import njit

    @njit
    def play(hbt):
        number = 1
        while hbt.elapse(1_000_000_000) == 0:
            orders = hbt.orders(0).values()
            while orders.has_next():
                order = orders.get()
                if order.cancellable:
                    hbt.cancel(0, order.order_id, False)
            hbt.clear_inactive_orders(0)
            depth = hbt.depth(0)
            held = hbt.position(0)
            if held < 0.0999:
                hbt.submit_buy_order(0, number, depth.best_bid, 0.01, GTX, LIMIT, False)
            if held > -0.0999:
                hbt.submit_sell_order(0, number + 1, depth.best_ask, 0.01, GTX, LIMIT, False)
            number += 2
        return hbt.state_values(0).num_trades

    return play


# -- nautilus_trader -------------------------------------------------------------------------------


def nautilus_trader(tape: dict[str, Any], strategy: str) -> Run:
    from decimal import Decimal

    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.backtest.models import LatencyModel
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USDT
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money
    from nautilus_trader.test_kit.providers import TestInstrumentProvider

    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("BINANCE"), OmsType.NETTING, AccountType.MARGIN, [Money(10_000_000, USDT)],
        default_leverage=Decimal(1), latency_model=LatencyModel(LATENCY), trade_execution=True,
    )  # fmt: skip
    engine.add_instrument(instrument)
    engine.add_data(ticks_of(tape, instrument))
    chosen = {"looks_on": _looking_on, "market_maker": _making_market}[strategy](instrument)
    engine.add_strategy(chosen)

    def run() -> int:
        engine.reset()
        engine.run()
        return int(chosen.fills)

    return run


def ticks_of(tape: dict[str, Any], instrument: Any) -> list[Any]:
    from nautilus_trader.model.data import QuoteTick, TradeTick
    from nautilus_trader.model.enums import AggressorSide
    from nautilus_trader.model.identifiers import TradeId
    from nautilus_trader.model.objects import Price, Quantity

    found, which = [], instrument.id
    rows = zip(*(tape[name].tolist() for name in NAMES), strict=True)
    for when, side, bid, bid_size, ask, ask_size, price, size in rows:
        if side:
            taker = AggressorSide.BUYER if side > 0 else AggressorSide.SELLER
            size = Quantity(size * CONTRACT, 3)
            name = TradeId(str(when))
            found.append(TradeTick(which, Price(price, 1), size, taker, name, when, when))
        else:
            sizes = Quantity(bid_size * CONTRACT, 3), Quantity(ask_size * CONTRACT, 3)
            found.append(QuoteTick(which, Price(bid, 1), Price(ask, 1), *sizes, when, when))
    return found


def _looking_on(instrument: Any) -> Any:
    from nautilus_trader.model.enums import OrderSide
    from nautilus_trader.trading.strategy import Strategy

    class LooksOn(Strategy):
        def on_start(self) -> None:
            self.average, self.fills = None, 0
            self.subscribe_quote_ticks(instrument.id)
            self.subscribe_trade_ticks(instrument.id)

        def on_trade_tick(self, _: Any) -> None:
            pass

        def on_quote_tick(self, tick: Any) -> None:
            mid = (float(tick.bid_price) + float(tick.ask_price)) / 2
            if self.average is None:
                size = instrument.make_qty(CONTRACT)
                self.submit_order(self.order_factory.market(instrument.id, OrderSide.BUY, size))
                self.average = mid
            self.average += (mid - self.average) * 0.01

        def on_order_filled(self, _: Any) -> None:
            self.fills += 1

    return LooksOn()


def _making_market(instrument: Any) -> Any:
    from nautilus_trader.model.enums import OrderSide
    from nautilus_trader.trading.strategy import Strategy

    size = instrument.make_qty(10 * CONTRACT)
    most = 100 * CONTRACT

    class MarketMaker(Strategy):
        def on_start(self) -> None:
            self.due, self.fills = 0, 0
            self.subscribe_quote_ticks(instrument.id)
            self.subscribe_trade_ticks(instrument.id)

        def on_trade_tick(self, _: Any) -> None:
            pass

        def on_quote_tick(self, tick: Any) -> None:
            if tick.ts_event < self.due:
                return
            self.due = tick.ts_event + SECOND
            self.cancel_all_orders(instrument.id)
            held = float(self.portfolio.net_position(instrument.id))
            for side, price, is_wanted in (
                (OrderSide.BUY, tick.bid_price, held < most),
                (OrderSide.SELL, tick.ask_price, held > -most),
            ):
                if is_wanted:
                    order = self.order_factory.limit(
                        instrument.id, side, size, price, post_only=True
                    )
                    self.submit_order(order)

        def on_order_filled(self, _: Any) -> None:
            self.fills += 1

    return MarketMaker()


# -- all -------------------------------------------------------------------------------------------

NAMES = ("time", "side", "bid", "bid_size", "ask", "ask_size", "price", "size")
ENGINES = {
    "backtesting": backtesting, "hftbacktest": hftbacktest, "nautilus_trader": nautilus_trader,
}  # fmt: skip


def main() -> None:
    engine, strategy, path, repeats = sys.argv[1:]
    with np.load(path) as file:
        tape = dict(file)
    run, rows = ENGINES[engine](tape, strategy), len(tape["time"])
    found, fills = [], 0
    for _ in range(int(repeats)):
        began = time.perf_counter()
        fills = run()
        found.append(rows / (time.perf_counter() - began) / 1e3)
    print(json.dumps({"rates": found, "fills": fills}))


if __name__ == "__main__":
    main()
