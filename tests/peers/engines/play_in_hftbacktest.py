"""Events of ours with hftbacktest: checked by its own functions, read and traded with.

The questions of ``answer`` are a file of JSON with ``tick_size``,
``lot_size`` and ``multiplier``, the ``times`` (ns, ascending) at which the book is read, and
``orders_at``, when one contract is bought with an order that takes up to the price ``limit`` and
arrives ``latency`` ns later.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np


def answer(path, questions):
    from hftbacktest.data import validate_event_order
    from hftbacktest.types import event_dtype

    asked = json.loads(Path(questions).read_text())
    with np.load(path) as stored:
        names, events = list(stored), stored["data"]
    events = events.astype(event_dtype)  # a file keeps no alignment
    validate_event_order(events)
    best, sizes = read(path, asked, len(events))
    return {
        "names": names,
        "layout": layout(),
        **put_in_order(events),
        "best": [[None if np.isnan(each) else each for each in pair] for pair in best.tolist()],
        "sizes": sizes.tolist(),
        "fills": buy(path, asked, len(events)).tolist(),
        "trades": trades(path, asked, events),
    }


def layout():
    """Describe a row of theirs, and their numbers of flags and kinds."""
    from hftbacktest import types

    fields = [[name, str(kind), place] for name, (kind, place) in types.event_dtype.fields.items()]
    numbers = ("DEPTH_EVENT", "TRADE_EVENT", "DEPTH_CLEAR_EVENT", "DEPTH_SNAPSHOT_EVENT",
               "EXCH_EVENT", "LOCAL_EVENT", "BUY_EVENT", "SELL_EVENT")  # fmt: skip
    return [fields, [getattr(types, name) for name in numbers]]


def tester(path, asked, rows):
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest

    asset = (
        BacktestAsset()
        .data([path])
        .linear_asset(asked["multiplier"])
        .constant_order_latency(asked["latency"], asked["latency"])
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0002, 0.0006)
        .tick_size(asked["tick_size"])
        .lot_size(asked["lot_size"])
        .last_trades_capacity(rows)
    )
    return HashMapMarketDepthBacktest([asset])


@cache
def reader():
    from numba import njit

    @njit
    def go(hbt, times, best, sizes):
        hbt.elapse(0)  # its clock begins with the first event
        for place in range(len(times)):
            hbt.elapse(times[place] - hbt.current_timestamp)
            depth = hbt.depth(0)
            best[place, 0], best[place, 1] = depth.best_bid, depth.best_ask
            sizes[place, 0], sizes[place, 1] = depth.best_bid_qty, depth.best_ask_qty

    return go


def read(path, asked, rows):
    """Read the best prices and sizes at each time."""
    times = np.array(asked["times"], dtype=np.int64)
    best, sizes = np.full((len(times), 2), np.nan), np.full((len(times), 2), np.nan)
    hbt = tester(path, asked, rows)
    reader()(hbt, times, best, sizes)
    hbt.close()
    return best, sizes


@cache
def buyer():
    from hftbacktest.order import IOC, LIMIT
    from numba import njit

    @njit
    def go(hbt, times, limit, found):
        hbt.elapse(0)
        for place in range(len(times)):
            hbt.elapse(times[place] - hbt.current_timestamp)
            hbt.submit_buy_order(0, place + 1, limit, 1.0, IOC, LIMIT, True)
            order = hbt.orders(0).get(place + 1)
            found[place, 0] = hbt.position(0)
            found[place, 1], found[place, 2] = order.exec_price, order.status

    return go


def buy(path, asked, rows):
    """Buy at each time; return the position then, and the price and the state of the order."""
    times = np.array(asked["orders_at"], dtype=np.int64)
    found = np.full((len(times), 3), np.nan)
    hbt = tester(path, asked, rows)
    buyer()(hbt, times, asked["limit"], found)
    hbt.close()
    return found


@cache
def listener():
    from numba import njit

    @njit
    def go(hbt, until, found):
        hbt.elapse(0)
        hbt.elapse(until - hbt.current_timestamp)
        seen = hbt.last_trades(0)
        for place in range(len(seen)):
            found[place] = seen[place]
        return len(seen)

    return go


def trades(path, asked, events):
    """List the trades that a strategy has seen at the end: kind, arrival, price and size."""
    found = np.zeros_like(events)
    hbt = tester(path, asked, len(events))
    count = listener()(hbt, int(events["local_ts"].max()) - 1, found)
    hbt.close()
    return [
        [int(each["ev"]), int(each["local_ts"]), float(each["px"]), float(each["qty"])]
        for each in found[:count]
    ]


def put_in_order(events):
    """Order the same events by their own function, and compare what each clock sees."""
    from hftbacktest.data import correct_event_order
    from hftbacktest.types import EXCH_EVENT, LOCAL_EVENT

    clocks = np.uint64(EXCH_EVENT | LOCAL_EVENT)
    once = events[events["ev"] & LOCAL_EVENT > 0].copy()
    once["ev"] &= ~clocks
    theirs = correct_event_order(
        once,
        np.argsort(once["exch_ts"], kind="mergesort"),
        np.argsort(once["local_ts"], kind="mergesort"),
    )

    def seen(rows, flag, key):
        chosen = rows[rows["ev"] & flag > 0].copy()
        chosen["ev"] &= ~clocks
        return np.sort(chosen, order=[key, "px", "qty", "ev"], kind="stable")

    pairs = ((EXCH_EVENT, "exch_ts"), (LOCAL_EVENT, "local_ts"))
    same = [np.array_equal(seen(events, *each), seen(theirs, *each)) for each in pairs]
    return {"rows": [len(events), len(theirs)], "same_order": same}
