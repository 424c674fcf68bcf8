"""One recorded tape in hftbacktest and in our broker: the fills of two strategies, side by side.

Run ``python -m benchmarks.hftbacktest_tape TAPE [--peers PYTHON] [--list]`` with a raw recording of
Binance futures, such as ``examples/usdm/btcusdt_20240808.gz`` of github.com/nkaz001/hftbacktest.
Both engines keep their own rules, so not all fills can be the same: filled orders are counted by
how they differ and why, and ``--list`` shows each. ``docs/other_engines.md`` has what was found.

The recording has two clocks: when the exchange sent a row, and when it arrived. Orders meet the
book of the first, and a strategy sees that of the second. Our engine has one, so it plays the rows
by the exchange's clock. The strategy gets its touches from a book that is rebuilt here by the other
clock, at rows of ``mark_price`` that stand for the ticks of a timer. Rows of one millisecond keep
their order, and an order that arrives within it meets the market behind them, as hftbacktest does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

import kucoin_research as kr
from kucoin_research.model.records import MarkPrice

ENGINE = Path(__file__).with_name("hftbacktest_engine.py")
PEERS = Path(__file__).parents[1] / ".venv-peers/bin/python"
MILLISECOND = 1_000_000
#: Behind all rows of its millisecond, of which there are fewer than this many.
BEHIND = 900_000
#: Bits and kinds of events, as hftbacktest's documentation lists them.
EXCHANGE, LOCAL, BUY = 1 << 31, 1 << 30, 1 << 29
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4

CONTRACT = kr.Instrument(
    symbol="BTCUSDTM", market="futures", base="BTC", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=0.001, maker_fee=0.0002, taker_fee=0.0006,
    max_leverage=100.0,
)  # fmt: skip
QUEUES = {"risk_averse": "risk_averse", "power_1": "proportional"}


class Row(NamedTuple):
    """An event: ``time`` by the clock that was chosen."""

    time: int
    kind: int
    is_buy: bool
    price: float
    size: float


def rows(events: np.ndarray, clock: str) -> list[Row]:
    """List the events of one clock in its order."""
    flag, column = (EXCHANGE, "exch_ts") if clock == "exchange" else (LOCAL, "local_ts")
    chosen = events[(events["ev"] & flag) > 0]
    kinds, buys = (chosen["ev"] & 0xFF).tolist(), ((chosen["ev"] & BUY) > 0).tolist()
    columns = (chosen[column].tolist(), kinds, buys, chosen["px"].tolist(), chosen["qty"].tolist())
    return list(map(Row, *columns))


class Levels:
    """A book of prices and sizes, from changes and snapshots of a part of it."""

    def __init__(self) -> None:
        self.sides: dict[bool, dict[float, float]] = {True: {}, False: {}}

    def take(self, row: Row) -> None:
        side = self.sides[row.is_buy]
        if row.kind == CLEAR:
            for price in [each for each in side if (each >= row.price) == row.is_buy]:
                del side[price]
            side.pop(row.price, None)
        elif row.size:
            side[row.price] = row.size
        else:
            side.pop(row.price, None)

    def touches(self) -> tuple[float, float]:
        return max(self.sides[True]), min(self.sides[False])


def touches(events: np.ndarray, times: Iterable[int]) -> list[tuple[float, float]]:
    """Return the best bid and ask at some times, as they had arrived by then."""
    book, found = Levels(), []
    waiting = iter(rows(events, "arrival"))
    row = next(waiting, None)
    for time in times:
        while row is not None and row.time <= time:
            if row.kind != TRADE:
                book.take(row)
            row = next(waiting, None)
        found.append(book.touches())
    return found


# -- our columns -----------------------------------------------------------------------------------


def frames(events: np.ndarray) -> dict[str, pl.DataFrame]:
    """Return the events as rows of ``level2`` and ``trade``, by the exchange's clock.

    The book begins with the recording's snapshot, and levels beyond it that were there before.
    """
    listed = rows(events, "exchange")
    last = max(at for at, row in enumerate(listed) if row.kind == SNAPSHOT)
    book = Levels()
    for row in listed[: last + 1]:
        if row.kind != TRADE:
            book.take(row)
    start = listed[last].time
    levels = [
        (start, 0, True, "buy" if is_buy else "sell", price, size * 1_000)
        for is_buy, side in book.sides.items()
        for price, size in side.items()
    ]
    trades = []
    for number, (time, row) in enumerate(in_order(listed[last + 1 :]), 1):
        side = "buy" if row.is_buy else "sell"
        if row.kind == TRADE:
            trades.append((time, number, side, row.price, row.size * 1_000))
        else:
            levels.append((time, number, False, side, row.price, row.size * 1_000))
    return {
        "level2": frame(levels, ("sequence", "is_snapshot", "side", "price", "size")),
        "trade": frame(trades, ("sequence", "side", "price", "size")),
    }


def in_order(listed: list[Row]) -> Iterator[tuple[int, Row]]:
    """Give each row of a millisecond a nanosecond of its own."""
    before, count = 0, 0
    for row in listed:
        count = count + 1 if row.time == before else 0
        before = row.time
        assert count < BEHIND
        yield row.time + count, row


def frame(found: list[tuple[Any, ...]], names: tuple[str, ...]) -> pl.DataFrame:
    made = pl.DataFrame(found, ["timestamp", *names], orient="row")
    timed = pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    return made.with_columns(
        timed, local_timestamp=timed, symbol=pl.lit("BTCUSDTM"), size=pl.col("size").round()
    )


def ticks(times: list[int]) -> pl.DataFrame:
    """Return the rows at which our strategy is called."""
    return frame([(time + BEHIND, 1.0) for time in times], ("size",)).select(
        "timestamp", "local_timestamp", "symbol", mark_price=pl.lit(None, pl.Float64)
    )


# -- our strategies --------------------------------------------------------------------------------


class Taker:
    """Sends one order a step, in turn to buy and to sell, at the touch."""

    def __init__(self, seen: list[tuple[float, float]], size: int) -> None:
        self.seen = seen
        self.size = size
        self.step = 0

    def __call__(self, record: Any, broker: kr.Broker) -> None:
        if not isinstance(record, MarkPrice):
            return
        step, self.step = self.step, self.step + 1
        bid, ask = self.seen[step]
        if step % 2 == 0:
            broker.buy(self.size, limit=ask, time_in_force="IOC", tag=str(2 * step))
        else:
            broker.sell(self.size, limit=bid, time_in_force="IOC", tag=str(2 * step + 1))


class Maker(Taker):
    """Replaces one order on each side."""

    def __call__(self, record: Any, broker: kr.Broker) -> None:
        if not isinstance(record, MarkPrice):
            return
        step, self.step = self.step, self.step + 1
        broker.cancel_all()
        (bid, ask), held = self.seen[step], broker.position().size
        if held < 3 * self.size:
            broker.buy(self.size, limit=bid, post_only=True, tag=str(2 * step))
        if held > -3 * self.size:
            broker.sell(self.size, limit=ask, post_only=True, tag=str(2 * step + 1))


# -- comparison ------------------------------------------------------------------------------------

#: How a filled order differs between the engines, and why.
ALIKE = "the same fill"
PARTS = "the same time, price and size, but ours in parts: one for each trade or level that came"
LATER = (
    "ours began at the same time; what reached it was smaller than the order, the rest came later"
)
PART = (
    "ours began at the same time; what reached it was smaller than the order, the rest never came"
)
UNSENT = "sent by one engine alone, since the other one held its limit after an earlier difference"
QUEUE = (
    "another place in the queue: theirs takes what has just traded for behind, and parts of lots"
)
OTHER = "not explained"
REASONS = (ALIKE, PARTS, LATER, PART, UNSENT, QUEUE, OTHER)


class Fill(NamedTuple):
    """A fill by the millisecond; the size is contracts."""

    time: int
    price: float
    size: float

    def __str__(self) -> str:
        return f"{self.size:g} @ {self.price:.1f} at {self.time % 1_000_000:06}"


def reason_of(ours: list[Fill], theirs: list[Fill], *, is_sent: bool, queue: str) -> str:
    """Name how the fills of one order differ; ``is_sent`` if both engines sent it."""
    if ours == theirs:
        return ALIKE
    if not is_sent:
        return UNSENT
    if not ours or not theirs or ours[0][:2] != theirs[0][:2]:
        return QUEUE if queue != "risk_averse" else OTHER
    filled, whole = (sum(each.size for each in fills) for fills in (ours, theirs))
    if filled < whole:
        return PART
    is_later = ours[-1].time != theirs[-1].time
    return OTHER if filled > whole else LATER if is_later else PARTS


def by_order(fills: Iterable[tuple[int, int, float, float]]) -> dict[int, list[Fill]]:
    found: dict[int, list[Fill]] = {}
    for order, time, price, size in fills:
        found.setdefault(order, []).append(Fill(time // MILLISECOND, round(price, 1), round(size)))
    return found


def play(run: dict[str, Any], events: np.ndarray, played: dict[str, pl.DataFrame]) -> kr.Result:
    """Run the strategy of one of their runs in our engine."""
    times = [step[0] for step in run["steps"]]
    seen = touches(events, times)
    assert [tuple(round(each, 1) for each in step[1:3]) for step in run["steps"]] == seen
    strategy = {"taker": Taker, "maker": Maker}[run["strategy"]](seen, run["lots"])
    return kr.backtest(
        strategy, {**played, "mark_price": ticks(times)}, instruments=CONTRACT, cash=1e6,
        latency=run["latency"] / 1_000, queue=QUEUES[run["queue"]], progress=False,
    )  # fmt: skip


def compare(run: dict[str, Any], result: kr.Result, *, is_listed: bool) -> None:
    """Print their run and ours, and the filled orders by how they differ."""
    fills = result.fills
    columns = [
        fills["tag"].cast(pl.Int64), fills["timestamp"].to_physical(), fills["price"], fills["size"]
    ]  # fmt: skip
    ours = by_order(zip(*columns, strict=True))
    theirs = by_order((each[0], each[1], each[3], each[4] * 1_000) for each in run["fills"])
    print(
        f"{run['strategy']} of {run['lots'] / 1_000:g} coins, {run['queue']}, "
        f"{run['latency']} ms each way"
    )
    fee = fills["fee"].sum()
    show("hftbacktest", run["trades"], len(theirs), run["fee"], run["profit"])
    show("ours", len(fills), len(ours), fee, gained(fills, run["mid"]) - fee)
    flags = [flag for step in run["steps"] for flag in step[3:]]
    sent = {order for order, flag in enumerate(flags) if flag}
    sent &= set(result.orders["tag"].cast(pl.Int64))
    reasons: dict[str, list[str]] = {}
    for order in sorted(ours.keys() | theirs.keys()):
        pair = ours.get(order, []), theirs.get(order, [])
        why = reason_of(*pair, is_sent=order in sent, queue=run["queue"])
        texts = ", ".join(map(str, pair[0])), ", ".join(map(str, pair[1]))
        reasons.setdefault(why, []).append(
            f"         {order:4} ours {texts[0] or 'none'}; theirs {texts[1] or 'none'}"
        )
    for why in sorted(reasons, key=REASONS.index):
        print(f"  {len(reasons[why]):6} {why}")
        if is_listed and why != ALIKE:
            print("\n".join(reasons[why]))


def show(name: str, fills: int, orders: int, fees: float, profit: float) -> None:
    print(f"  {name:12}{fills:4} fills of {orders:3} orders, fees {fees:.6f}, profit {profit:.3f}")


def gained(fills: pl.DataFrame, mid: float) -> float:
    """Compute what fills have gained, before fees, with the position at its last worth."""
    coins = pl.when(pl.col("side") == "buy").then(1).otherwise(-1) * pl.col("size") / 1_000
    return float(fills.select((coins * (mid - pl.col("price"))).sum()).item())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tape", type=Path)
    parser.add_argument("--peers", type=Path, default=PEERS, metavar="PYTHON")
    parser.add_argument("--list", action="store_true", help="show each order that differs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.npz"
        done = subprocess.run(
            [given.peers, ENGINE, given.tape, path], stdout=subprocess.PIPE, text=True, check=True
        )
        with np.load(path) as file:
            events = file["events"]
    played = frames(events)
    kinds = dict(zip(*np.unique(events["ev"] & 0xFF, return_counts=True), strict=True))
    print(
        f"{len(events):,} events: {kinds[DEPTH]:,} of depth, {kinds[TRADE]:,} trades, "
        f"{kinds[SNAPSHOT] + kinds[CLEAR]:,} of snapshots"
    )
    for run in json.loads(done.stdout.splitlines()[-1]):
        if run["queue"] in QUEUES:
            compare(run, play(run, events, played), is_listed=given.list)


if __name__ == "__main__":
    main()
