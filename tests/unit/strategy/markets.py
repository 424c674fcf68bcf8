"""Small markets made by hand and by seed, for strategies to be played on."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import polars as pl

import kucoin_research as kr
from kucoin_research.model.records import CHANNELS, Level2, Ticker, Trade, schema_of
from kucoin_research.sessions.writing.recorder import Recorder

SECOND = 1_000_000_000
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
SYMBOL = "XBTUSDTM"
XBT = kr.Instrument(
    symbol=SYMBOL,
    market="futures",
    base="XBT",
    quote="USDT",
    settle="USDT",
    tick_size=0.1,
    lot_size=1.0,
    contract_multiplier=0.001,
    maker_fee=0.0002,
    taker_fee=0.0006,
)


def frame_of(channel, rows):
    return pl.DataFrame(rows, schema=schema_of(CHANNELS[channel]), orient="row")


def tickers(rows=300, seed=1, start=START):
    """A walk of the best prices, one row a second; each row is a trade as well."""
    draw, ticks, found = random.Random(seed), 600_000, []
    for row in range(rows):
        ticks += draw.choice((-30, -10, 10, 30))
        when = start + row * SECOND
        bid, ask = ticks / 10, (ticks + 1) / 10
        sizes = [float(draw.randint(1, 50)) for _ in range(3)]
        side, price = draw.choice((("buy", ask), ("sell", bid)))
        found.append(
            Ticker(when, when, SYMBOL, row, price, sizes[0], side, bid, sizes[1], ask, sizes[2])
        )
    return found


def trades(rows=300, seed=2):
    """Prints, one a second, half a second behind the tickers."""
    draw, found = random.Random(seed), []
    for row, quote in enumerate(tickers(rows)):
        when = quote.local_timestamp + SECOND // 2
        side = draw.choice(("buy", "sell"))
        price = quote.best_ask_price if side == "buy" else quote.best_bid_price
        found.append(Trade(when, when, SYMBOL, row, str(row), side, price, 100.0))
    return found


def changes(rows=300, seed=3):
    """A book of ten levels a side, and then one change of it every tenth of a second."""
    draw, ticks = random.Random(seed), 600_000
    sides = (("buy", -1), ("sell", 1))
    found = [
        Level2(START, START, SYMBOL, 0, True, side, (ticks + sign * level) / 10, 10.0)
        for side, sign in sides
        for level in range(1, 11)
    ]
    for row in range(1, rows):
        when = START + row * SECOND // 10
        side, sign = draw.choice(sides)
        price = (ticks + sign * draw.randint(1, 10)) / 10
        size = float(draw.choice((0, 5, 20)))
        found.append(Level2(when, when, SYMBOL, row, False, side, price, size))
    return found


def ticker_data(rows=300, seed=1):
    return {"ticker": frame_of("ticker", tickers(rows, seed))}


def quotes_and_trades(rows=300):
    return ticker_data(rows) | {"trade": frame_of("trade", trades(rows))}


def candle_data(rows=200, seed=4):
    """Candles of a minute, as ``kr.candles`` returns them: without a time of arrival."""
    draw, price, found = random.Random(seed), 60_000.0, []
    for row in range(rows):
        opened, price = price, round(price + draw.uniform(-50, 50), 1)
        high, low = max(opened, price) + 5, min(opened, price) - 5
        when = START + row * 60 * SECOND
        found.append((when, SYMBOL, opened, high, low, price, draw.uniform(1, 9)))
    schema = {
        "timestamp": pl.Datetime("ns", "UTC"), "symbol": pl.String, "open": pl.Float64,
        "high": pl.Float64, "low": pl.Float64, "close": pl.Float64, "volume": pl.Float64,
    }  # fmt: skip
    return {"candle:1min": pl.DataFrame(found, schema=schema, orient="row")}


def recorded(records, channels, root):
    """Record rows, so that they are a session on the disk."""
    recorder = Recorder(root, symbols=[SYMBOL], channels=channels, instruments=[XBT])
    recorder.take(sorted(records, key=lambda each: each.local_timestamp))
    assert recorder.close(60)
    return kr.load(recorder.path)
