"""Rows/s of a backtest of target positions, beside the same targets with the event engine.

Run ``python -m benchmarks.signals [--rows N] [--repeats N]``. Figures are medians (least-most over
the repeats), in thousands of rows per second of wall time, of the whole call. The first column of
figures is ``backtest_signals``, the second ``backtest`` on a hundredth of the rows.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import polars as pl

import kucoin_research as kr
from benchmarks.backtest import XBT, rate

_MINUTE = 60_000_000_000
START = 1_600_000_020_000_000_000 // _MINUTE * _MINUTE
_TIME = pl.Datetime("ns", "UTC")


def candles(rows: int, seed: int = 1) -> pl.DataFrame:
    """A walk of minute candles."""
    closes = 60_000 + np.random.default_rng(seed).integers(-30, 31, rows).cumsum() / 10
    close = pl.col("close")
    return pl.DataFrame({"timestamp": START + np.arange(rows) * _MINUTE, "close": closes}).select(
        pl.col("timestamp").cast(_TIME),
        symbol=pl.lit("XBTUSDTM"),
        interval=pl.lit("1min"),
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=pl.lit(1e6),
    )


def quotes(rows: int, seed: int = 1) -> pl.DataFrame:
    """A walk of the best prices, 10 rows a second."""
    draw = np.random.default_rng(seed)
    bids = (600_000 + draw.integers(-1, 2, rows).cumsum()) / 10
    times = START + np.arange(rows) * 100_000_000
    return pl.DataFrame({"timestamp": times, "best_bid_price": bids}).select(
        pl.col("timestamp").cast(_TIME),
        local_timestamp=pl.col("timestamp").cast(_TIME),
        symbol=pl.lit("XBTUSDTM"),
        best_bid_price="best_bid_price",
        best_bid_size=pl.Series(draw.integers(50, 500, rows).astype(float)),
        best_ask_price=pl.col("best_bid_price") + 0.1,
        best_ask_size=pl.Series(draw.integers(50, 500, rows).astype(float)),
    )


def targets(rows: int, every: int) -> pl.Series:
    """A new position of up to 5 contracts in one row of ``every``."""
    at = np.arange(0, rows, every)
    wanted = np.random.default_rng(2).integers(-5, 6, len(at)).astype(float)
    found = np.full(rows, np.nan)
    found[at] = wanted
    return pl.Series(found).fill_nan(None)


def followed(wanted: pl.Series) -> Any:
    """The same targets for the event engine."""
    rows = iter(wanted.to_list())

    def follow(_: Any, broker: kr.Broker) -> None:
        target = next(rows)
        if target is not None and not broker.orders():
            broker.target(target)

    return follow


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    few = options.rows // 100
    for channel, make in (("candle", candles), ("bbo", quotes)):
        frame = make(options.rows)
        print(f"{channel}: {options.rows:,} rows")
        for every in (10_000, 1_000, 100):
            wanted = targets(options.rows, every)

            def vectorised(frame: pl.DataFrame = frame, wanted: pl.Series = wanted) -> object:
                return kr.backtest_signals(frame, wanted, instruments=XBT, cash=1e6)

            def events(
                channel: str = channel, frame: pl.DataFrame = frame, wanted: pl.Series = wanted
            ) -> object:
                return kr.backtest(
                    followed(wanted), {channel: frame[:few]}, instruments=XBT, cash=1e6,
                    progress=False,
                )  # fmt: skip

            print(
                f"  a target in {every:6,} rows"
                f"{rate(vectorised, options.rows, options.repeats)}"
                f"{rate(events, few, options.repeats)} thousand/s"
            )


if __name__ == "__main__":
    main()
