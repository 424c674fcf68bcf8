"""The records that a run plays."""

import polars as pl
import pytest

import kucoin_research as kr

HOUR = 3_600_000_000_000
XBT = kr.Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=0.001,
)  # fmt: skip


def candles(interval):
    times = [1_699_999_200_000_000_000 + row * HOUR for row in range(3)]
    return pl.DataFrame(
        {"timestamp": times, "symbol": "XBTUSDTM", "interval": interval, "open": 100.0,
         "high": 101.0, "low": 99.0, "close": 100.0, "volume": 50.0}
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("ns", "UTC")))  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "channels"),
    [("1min", None), ("1hour", None), ("10s", None), ("1hour", "candle")],
)
def test_orders_meet_candles_of_the_interval_that_a_frame_holds(interval, channels):
    result = kr.backtest(
        lambda record, broker: broker.target(1),
        {"candle": candles(interval)},
        instruments=XBT, latency=0, channels=channels, progress=False,
    )  # fmt: skip

    assert result.fills["price"].to_list() == [100.0]
