"""Tapes of a few events with hftbacktest, and what it holds at their end.

``answer`` has the position and the cash. Its ``exchange`` is ``partial`` or ``no_partial``.
Prices are in ticks of 0.1 and sizes in whole lots.
"""

import numpy as np

SECOND = 1_000_000_000


def tape(rows):
    """Make events of (second, what, price, size)."""
    from hftbacktest import BUY_EVENT, DEPTH_EVENT, EXCH_EVENT, LOCAL_EVENT, SELL_EVENT, TRADE_EVENT
    from hftbacktest.types import event_dtype

    kinds = {
        "bid": DEPTH_EVENT | BUY_EVENT, "ask": DEPTH_EVENT | SELL_EVENT,
        "sold": TRADE_EVENT | SELL_EVENT,
    }  # fmt: skip
    found = [
        (kinds[what] | EXCH_EVENT | LOCAL_EVENT, second * SECOND, second * SECOND, price, size,
         0, 0, 0.0)
        for second, what, price, size in rows
    ]  # fmt: skip
    return np.array(found, event_dtype)


BOOK = [(1, "bid", 100.0, 10), (1, "ask", 100.1, 30), (1, "ask", 100.2, 50), (1, "ask", 100.3, 20)]
#: The tape, and the order that is sent in second 2: price, size, and time in force.
TAPES = {
    "takes three levels": ([*BOOK, (9, "bid", 99.0, 1)], (100.3, 100, "IOC")),
    "is filled by two trades": (
        [*BOOK, (5, "sold", 100.0, 20), (6, "sold", 100.0, 40), (9, "bid", 99.0, 1)],
        (100.0, 50, "GTC"),
    ),
    "is traded through by five lots": (
        [*BOOK, (5, "sold", 99.9, 5), (9, "bid", 99.0, 1)], (100.0, 50, "GTC"),
    ),
}  # fmt: skip


def answer(name, exchange):
    from hftbacktest import GTC, LIMIT, BacktestAsset, HashMapMarketDepthBacktest
    from hftbacktest.order import IOC

    rows, (price, size, force) = TAPES[name]
    asset = BacktestAsset().data([tape(rows)]).linear_asset(1.0).tick_size(0.1).lot_size(1.0)
    asset = asset.constant_order_latency(0, 0).risk_adverse_queue_model()
    asset = asset.partial_fill_exchange() if exchange == "partial" else (
        asset.no_partial_fill_exchange()
    )  # fmt: skip
    test = HashMapMarketDepthBacktest([asset.trading_value_fee_model(0.0, 0.0)])
    test.elapse(SECOND)
    test.submit_buy_order(0, 1, price, size, {"IOC": IOC, "GTC": GTC}[force], LIMIT, False)
    while test.current_timestamp < 8 * SECOND:
        test.elapse(SECOND)
    state = test.state_values(0)
    return {"position": float(state.position), "cash": float(state.balance)}
