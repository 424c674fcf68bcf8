"""Other engines over the same rows; run by ``benchmarks.replay`` with their own interpreter.

``python replay_peers.py ENGINE CSV REPEATS`` prints thousands of rows per second and CPU µs per
row, a line per repeat. Only the engine is timed, as it passes each row to a strategy that does
nothing. Reading the file is not timed, which is in the engines' favour.
"""

from __future__ import annotations

import sys
import time

import pandas as pd


def backtesting(path: str) -> object:
    from backtesting import Backtest, Strategy

    rows = pd.read_csv(path)
    price = rows["price"].astype(float)
    index = pd.to_datetime(rows["local_timestamp"])
    bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), price.values), index)
    bars["Volume"] = rows["size"].astype(float).values

    class Nothing(Strategy):
        def init(self) -> None:
            pass

        def next(self) -> None:
            pass

    test = Backtest(bars, Nothing, cash=10_000_000)
    return len(rows), test.run


def hftbacktest(path: str) -> object:
    import numpy as np
    from hftbacktest import (
        BUY_EVENT,
        DEPTH_EVENT,
        EXCH_EVENT,
        LOCAL_EVENT,
        SELL_EVENT,
        BacktestAsset,
        HashMapMarketDepthBacktest,
    )
    from hftbacktest.types import event_dtype
    from numba import njit

    rows = pd.read_csv(path)
    data = np.zeros(len(rows), event_dtype)
    side = np.where(np.arange(len(rows)) % 2 == 0, BUY_EVENT, SELL_EVENT)
    data["ev"] = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT | side
    data["exch_ts"] = rows["local_timestamp"]
    data["local_ts"] = rows["local_timestamp"]
    bid, ask = rows["best_bid_price"], rows["best_ask_price"]
    data["px"] = np.where(np.arange(len(rows)) % 2 == 0, bid, ask)
    data["qty"] = 1.0

    @njit
    def feed(hbt):  # type: ignore[no-untyped-def]
        count = 0
        while hbt.wait_next_feed(False, 10**18) in (2, 3):
            count += 1
        return count

    def run() -> object:
        asset = (
            BacktestAsset()
            .data([data])
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(0.1)
            .lot_size(1.0)
        )
        test = HashMapMarketDepthBacktest([asset])
        count = feed(test)
        test.close()
        assert count > len(rows) * 0.99, count
        return count

    run()  # compiles, which is not timed
    return len(rows), run


def nautilus_trader(path: str) -> object:
    from decimal import Decimal

    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USDT
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    rows = pd.read_csv(path)
    instrument = TestInstrumentProvider.btcusdt_binance()
    ticks = [
        QuoteTick(
            instrument.id, Price(bid, 2), Price(ask, 2), Quantity(1, 6), Quantity(1, 6), time, time
        )
        for bid, ask, time in zip(
            rows["best_bid_price"], rows["best_ask_price"], rows["local_timestamp"], strict=True
        )
    ]

    class Nothing(Strategy):
        count = 0

        def on_start(self) -> None:
            self.subscribe_quote_ticks(instrument.id)

        def on_quote_tick(self, _: object) -> None:
            Nothing.count += 1

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("BINANCE"), OmsType.NETTING, AccountType.CASH, [Money(10_000_000, USDT)],
        default_leverage=Decimal(1),
    )  # fmt: skip
    engine.add_instrument(instrument)
    engine.add_data(ticks)
    engine.add_strategy(Nothing())

    def run() -> object:
        engine.reset()
        Nothing.count = 0
        engine.run()
        assert Nothing.count == len(rows)
        return Nothing.count

    return len(rows), run


if __name__ == "__main__":
    name, path, repeats = sys.argv[1:4]
    rows, run = globals()[name](path)
    for _ in range(int(repeats)):
        began, cpu = time.perf_counter(), time.process_time()
        run()
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        print(rows / wall / 1e3, used / rows * 1e6)
