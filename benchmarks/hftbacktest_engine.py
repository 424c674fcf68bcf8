"""A raw recording of Binance futures with hftbacktest; see ``benchmarks.hftbacktest_tape``.

``python hftbacktest_engine.py RAW EVENTS`` converts the recording with hftbacktest's own converter,
keeps the events in the file EVENTS, plays two strategies to them, and prints JSON.

The taker sends an order every ten seconds, in turn to buy and to sell at the touch, IOC, and waits
for the answer. The maker cancels its orders once a second, and sends one on each side, post-only,
at both touches, as long as it holds less than three orders of that side. An order has ten lots of
0.001 coins, or one.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from hftbacktest import GTX, LIMIT, BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data.utils import binancefutures
from hftbacktest.order import FILLED, IOC, PARTIALLY_FILLED
from numba import njit

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
MAKER, TAKER = 0.0002, 0.0006
LOT = 0.001
#: Strategy, queue, latency in ms each way, and lots of an order.
RUNS = (
    ("taker", "risk_averse", 0, 10), ("taker", "risk_averse", 10, 10),
    ("taker", "risk_averse", 200, 10), ("maker", "risk_averse", 1, 10),
    ("maker", "risk_averse", 10, 10), ("maker", "risk_averse", 100, 10),
    ("maker", "risk_averse", 1, 1), ("maker", "power_1", 1, 10), ("maker", "power_1", 1, 1),
    ("maker", "power_2", 1, 10),
)  # fmt: skip
#: The order 2 n is the one to buy of step n, and 2 n + 1 the one to sell.
FILLS = [("order", "i8"), ("time", "i8"), ("side", "i8"), ("price", "f8"), ("size", "f8")]
#: Whether each order was sent, and the touches that the strategy saw.
STEPS = [("time", "i8"), ("bid", "f8"), ("ask", "f8"), ("bought", "i8"), ("sold", "i8")]


@njit
def keep_fills(hbt: Any, fills: Any, count: int) -> int:
    orders = hbt.orders(0).values()
    while orders.has_next():
        order = orders.get()
        if order.status in (FILLED, PARTIALLY_FILLED) and order.exec_qty > 0:
            fills["order"][count] = order.order_id
            fills["time"][count] = order.exch_timestamp
            fills["side"][count] = order.side
            fills["price"][count] = order.exec_price
            fills["size"][count] = order.exec_qty
            count += 1
    hbt.clear_inactive_orders(0)
    return count


@njit
def taker(hbt: Any, fills: Any, steps: Any, size: float) -> tuple[int, int]:
    step, count = 0, 0
    while hbt.elapse(10 * SECOND) == 0:
        depth = hbt.depth(0)
        steps["time"][step] = hbt.current_timestamp
        steps["bid"][step], steps["ask"][step] = depth.best_bid, depth.best_ask
        if step % 2 == 0:
            steps["bought"][step] = 1
            hbt.submit_buy_order(0, 2 * step, depth.best_ask, size, IOC, LIMIT, True)
        else:
            steps["sold"][step] = 1
            hbt.submit_sell_order(0, 2 * step + 1, depth.best_bid, size, IOC, LIMIT, True)
        count = keep_fills(hbt, fills, count)
        step += 1
    return step, keep_fills(hbt, fills, count)


@njit
def maker(hbt: Any, fills: Any, steps: Any, size: float) -> tuple[int, int]:
    step, count = 0, 0
    while hbt.elapse(SECOND) == 0:
        count = keep_fills(hbt, fills, count)
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            if order.cancellable:
                hbt.cancel(0, order.order_id, False)
        depth, held = hbt.depth(0), hbt.position(0)
        steps["time"][step] = hbt.current_timestamp
        steps["bid"][step], steps["ask"][step] = depth.best_bid, depth.best_ask
        if held < 2.99 * size:
            steps["bought"][step] = 1
            hbt.submit_buy_order(0, 2 * step, depth.best_bid, size, GTX, LIMIT, False)
        if held > -2.99 * size:
            steps["sold"][step] = 1
            hbt.submit_sell_order(0, 2 * step + 1, depth.best_ask, size, GTX, LIMIT, False)
        step += 1
    return step, keep_fills(hbt, fills, count)


def played(events: Any, strategy: str, queue: str, latency: int, lots: int) -> dict[str, Any]:
    asset = BacktestAsset().data([events]).linear_asset(1.0).tick_size(0.1).lot_size(LOT)
    asset = asset.constant_order_latency(latency * MILLISECOND, latency * MILLISECOND)
    if queue == "risk_averse":
        asset = asset.risk_adverse_queue_model()
    else:
        asset = asset.power_prob_queue_model(float(queue.removeprefix("power_")))
    if strategy == "taker":
        asset = asset.partial_fill_exchange()
    else:
        asset = asset.no_partial_fill_exchange()
    test = HashMapMarketDepthBacktest([asset.trading_value_fee_model(MAKER, TAKER)])
    fills, steps = np.zeros(10_000, FILLS), np.zeros(1_000, STEPS)
    many, count = {"taker": taker, "maker": maker}[strategy](test, fills, steps, lots * LOT)
    state, depth = test.state_values(0), test.depth(0)
    mid = (depth.best_bid + depth.best_ask) / 2
    found = {
        "strategy": strategy, "queue": queue, "latency": latency, "lots": lots, "mid": mid,
        "fee": state.fee, "trades": int(state.num_trades), "steps": steps[:many].tolist(),
        "fills": fills[:count].tolist(),
        "profit": state.balance + state.position * mid - state.fee,
    }  # fmt: skip
    test.close()
    return found


def main() -> None:
    raw, path = sys.argv[1:]
    events = binancefutures.convert(raw, buffer_size=5_000_000)
    np.savez(path, events=events)
    print(json.dumps([played(events, *each) for each in RUNS]))


if __name__ == "__main__":
    main()
