"""Records/s of our backtest beside other engines, on one tape and with the same two strategies.

Run ``python -m benchmarks.backtest_peers [--rows N] [--repeats N] [--peers PYTHON] [--nautilus
PYTHON]``. The tape has the best bid and ask 100 times a second, and 20 trades a second. One
strategy looks at each record and sends a single order; the other is a market maker, which once a
second cancels its orders and sends one on each side. Orders and reports take 50 ms each way.

Figures are medians (least-most over the repeats), in thousands of records of the tape per second of
wall time; then the ratio to ours, and the fills. The engines do not do the same work:

- ours is timed as a whole: from two frames to the finished result, with its equity and trades;
- the others have the tape in their own form beforehand, and are timed while they run. Nothing is
  made of the result, but for the statistics of backtesting;
- hftbacktest takes a quote apart into two to four changes of levels. Its strategies are compiled,
  which is not timed; its market maker wakes once a second, and sees no record in between;
- backtesting has bars only, so each record is one, whose prices are the mid or the trade's. It has
  no latency, no queue and no post-only: an order is filled as the next price reaches its limit.

``--peers`` is the interpreter of an environment as ``make peers`` builds it; ``--nautilus`` is one
that has nautilus_trader. An engine that is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import kucoin_research as kr
from benchmarks.backtest import XBT, MarketMaker, tickers
from benchmarks.replay import rates
from benchmarks.ring import spread
from kucoin_research.model.records import Ticker

ENGINES = Path(__file__).with_name("backtest_engines.py")
ROOT = Path(__file__).parents[1]
_AFTER = 1_000_000  # ns from a quote to its trade, so that each record has a time of its own
_TIME = pl.Datetime("ns", "UTC")


def tape(rows: int) -> dict[str, np.ndarray]:
    """Return the columns of the tape; a quote has no side. Sizes are contracts."""
    found = []
    for record in (each for batch in tickers(rows) for each in batch):
        when = record.local_timestamp or 0
        if isinstance(record, Ticker):
            found.append((when, 0, *record[7:11], 0.0, 0.0))
        else:
            side = 1 if record.side == "buy" else -1
            found.append((when + _AFTER, side, 0.0, 0.0, 0.0, 0.0, record.price, record.size))
    names = ("time", "side", "bid", "bid_size", "ask", "ask_size", "price", "size")
    columns = dict(zip(names, map(np.array, zip(*found, strict=True)), strict=True))
    # The price of a bar, for engines that have only these.
    columns["bar"] = np.where(
        columns["side"] == 0, (columns["bid"] + columns["ask"]) / 2, columns["price"]
    )
    return columns


def frames(columns: dict[str, np.ndarray]) -> dict[str, pl.DataFrame]:
    """Return the tape as our columns."""
    times = pl.col("time").cast(_TIME)
    common = {"timestamp": times, "local_timestamp": times, "symbol": pl.lit("XBTUSDTM")}
    frame = pl.DataFrame(columns)
    quotes = frame.filter(pl.col("side") == 0).select(
        **common, best_bid_price="bid", best_bid_size="bid_size",
        best_ask_price="ask", best_ask_size="ask_size",
    )  # fmt: skip
    trades = frame.filter(pl.col("side") != 0).select(
        **common, side=pl.when(pl.col("side") > 0).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price="price", size="size",
    )  # fmt: skip
    return {"bbo": quotes, "trade": trades}


class LooksOn:
    """Keeps an average of the mid with each quote, and sends one order."""

    def __init__(self) -> None:
        self.average: float | None = None

    def __call__(self, record: Any, broker: kr.Broker) -> None:
        if record.__class__.__name__ == "Trade":
            return
        mid = (record.best_bid_price + record.best_ask_price) / 2
        if self.average is None:
            broker.buy(1)
            self.average = mid
        self.average += (mid - self.average) * 0.01


STRATEGIES: dict[str, Callable[[], Any]] = {"looks_on": LooksOn, "market_maker": MarketMaker}


def ours(played: dict[str, pl.DataFrame], strategy: str) -> kr.Result:
    return kr.backtest(
        STRATEGIES[strategy](), played, instruments=XBT, cash=1e6, progress=False
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", default=str(ROOT / ".venv-peers/bin/python"), metavar="PYTHON")
    parser.add_argument("--nautilus", metavar="PYTHON")
    given = parser.parse_args()
    columns = tape(given.rows)
    rows, played = len(columns["time"]), frames(columns)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.npz"
        np.savez(path, **columns)
        del columns
        for strategy in STRATEGIES:
            print(f"{strategy}: {rows:,} records, median (least-most of {given.repeats}), ratio")
            base = rates(lambda name=strategy: ours(played, name), rows, given.repeats).wall
            show("ours", base, base, len(ours(played, strategy).fills))
            for engine, python in (
                ("hftbacktest", given.peers),
                ("nautilus_trader", given.nautilus),
                ("backtesting", given.peers),
            ):
                beside(engine, python, [strategy, str(path), str(given.repeats)], base)


def beside(engine: str, python: str | None, words: list[str], base: list[float]) -> None:
    if python is None or not Path(python).exists():
        print(f"  {engine:16} no interpreter that has it was given")
        return
    done = subprocess.run(
        [python, str(ENGINES), engine, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"  {engine:16} {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        return
    found = json.loads(done.stdout.splitlines()[-1])
    show(engine, found["rates"], base, found["fills"])


def show(name: str, found: list[float], base: list[float], fills: int) -> None:
    share = statistics.median(found) / statistics.median(base)
    print(f"  {name:16}{spread(found):>26} thousand/s  {share:7.2f}  {fills:,} fills", flush=True)


if __name__ == "__main__":
    main()
