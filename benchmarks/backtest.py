"""Records/s of a backtest: of a strategy that looks on, and of a market maker.

Run ``python -m benchmarks.backtest [--rows N] [--repeats N]``. Figures are medians (least-most over
the repeats), in thousands of records per second of wall time, of the whole call: reading the
session, playing it, and making the result. The last row reads the session and does nothing.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kucoin_research as kr
from kucoin_research.model.records import Level2, Record, Ticker, Trade
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sessions.writing.recorder import Recorder

XBT = kr.Instrument(
    symbol="XBTUSDTM",
    market="futures",
    base="XBT",
    quote="USDT",
    settle="USDT",
    tick_size=0.1,
    lot_size=1.0,
    contract_multiplier=0.001,
    maker_fee=0.0002,
    taker_fee=0.0006,
    max_leverage=125.0,
)
START = 1_700_000_000_000_000_000
_SECOND = 1_000_000_000


def tickers(rows: int, seed: int = 1) -> Iterator[list[Record]]:
    """A walk of the best prices, 100 rows a second, with a trade in every fifth row."""
    draw = random.Random(seed)
    ticks = 600_000
    for row in range(rows * 5 // 6):
        when = START + row * _SECOND // 100
        ticks += draw.choice((-1, 0, 0, 1))
        bid, ask = ticks / 10, (ticks + 1) / 10
        sizes = float(draw.randint(1, 500)), float(draw.randint(1, 500))
        found: list[Record] = [
            Ticker(when, when, "XBTUSDTM", row, ask, 1.0, "buy", bid, sizes[0], ask, sizes[1])
        ]
        if not row % 5:
            side, price = draw.choice((("buy", ask), ("sell", bid)))
            size = float(draw.randint(1, 200))
            found.append(Trade(when, when, "XBTUSDTM", row, str(row), side, price, size))
        yield found


def changes(rows: int, seed: int = 1) -> Iterator[list[Record]]:
    """A book of 500 levels a side and its changes, near the best price."""
    draw = random.Random(seed)
    ticks = 600_000
    yield [
        Level2(START, START, "XBTUSDTM", 0, True, side, (ticks + sign * level) / 10, 100.0)
        for side, sign in (("buy", -1), ("sell", 1))
        for level in range(1, 501)
    ]
    for row in range(1, rows):
        when = START + row * _SECOND // 1_000
        level = min(500, 1 + int(draw.expovariate(0.05)))
        side, sign = draw.choice((("buy", -1), ("sell", 1)))
        size = float(draw.randint(1, 300)) if level > 1 or draw.random() < 0.9 else 0.0
        price = (ticks + sign * level) / 10
        yield [Level2(when, when, "XBTUSDTM", row, False, side, price, size)]


def recorded(batches: Iterator[list[Record]], channels: list[str], root: Path) -> kr.Session:
    recorder = Recorder(
        root, symbols=["XBTUSDTM"], channels=channels, queue_rows=10**8, instruments=[XBT]
    )
    waiting: list[Record] = []
    for batch in batches:
        waiting += batch
        if len(waiting) >= 256:
            recorder.take(waiting)
            waiting = []
    recorder.take(waiting)
    assert recorder.close(600)
    return kr.load(recorder.path)


def looks_on(_: Any, broker: kr.Broker) -> None:
    """Trade once a day, so nearly never."""
    if not broker.fills and not broker.orders():
        broker.buy(1)


class MarketMaker:
    """Replaces an order on each side once a second."""

    def __init__(self) -> None:
        self.next = 0

    def __call__(self, _: Any, broker: kr.Broker) -> None:
        if broker.now < self.next:
            return
        self.next = broker.now + _SECOND
        broker.cancel_all()
        best = broker.best()
        if best.best_bid is None or best.best_ask is None:
            return
        held = broker.position().size
        if held < 100:
            broker.buy(10, limit=best.best_bid, post_only=True)
        if held > -100:
            broker.sell(10, limit=best.best_ask, post_only=True)


def rate(work: Callable[[], object], rows: int, repeats: int) -> str:
    found = []
    for _ in range(repeats):
        gc.collect()
        began = time.perf_counter()
        work()
        found.append(rows / (time.perf_counter() - began) / 1_000)
    return f"{statistics.median(found):7.0f} ({min(found):.0f}-{max(found):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for channels, made in ((("ticker", "trade"), tickers), (("level2",), changes)):
        with tempfile.TemporaryDirectory() as folder:
            session = recorded(made(options.rows), list(channels), Path(folder))
            show(" and ".join(channels), session, options.repeats)


def show(name: str, session: kr.Session, repeats: int) -> None:
    def play(make: Callable[[], Any]) -> Callable[[], object]:
        return lambda: kr.backtest(make(), session, cash=1e6, progress=False)

    rows = sum(session.rows.values())
    print(f"{name}: {rows:,} rows")
    for label, work in (
        ("looks on", play(lambda: looks_on)),
        ("market maker", play(MarketMaker)),
        ("read alone", lambda: read(session)),
    ):
        print(f"  {label:14}{rate(work, rows, repeats)} thousand/s")


def read(session: kr.Session) -> None:
    for _ in Timeline(session).batches():
        pass


if __name__ == "__main__":
    main()
