"""Small runs made by hand, for tests of results."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from kucoin_research.strategy.result import Result
from kucoin_research.strategy.run_facts import RunFacts

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
TIME = pl.Datetime("ns", "UTC")
SCHEMAS = {
    "fills": {
        "timestamp": TIME, "symbol": pl.String, "side": pl.String, "price": pl.Float64,
        "size": pl.Float64, "liquidity": pl.String, "fee": pl.Float64, "fee_currency": pl.String,
        "order_id": pl.String, "tag": pl.String, "position_after": pl.Float64,
    },
    "orders": {
        "order_id": pl.String, "symbol": pl.String, "side": pl.String, "type": pl.String,
        "limit": pl.Float64, "stop": pl.Float64, "size": pl.Float64, "filled": pl.Float64,
        "average_price": pl.Float64, "status": pl.String, "reason": pl.String, "submitted": TIME,
        "accepted": TIME, "ended": TIME, "tag": pl.String,
    },
    "equity": {
        "timestamp": TIME, "equity": pl.Float64, "cash": pl.Float64, "unrealised": pl.Float64,
        "drawdown": pl.Float64, "exposure": pl.Float64,
    },
    "trades": {
        "symbol": pl.String, "side": pl.String, "entered": TIME, "exited": TIME,
        "size": pl.Float64, "entry_price": pl.Float64, "exit_price": pl.Float64,
        "pnl": pl.Float64, "fees": pl.Float64, "funding": pl.Float64, "return": pl.Float64,
        "duration": pl.Duration("ns"),
    },
    "positions": {
        "timestamp": TIME, "symbol": pl.String, "size": pl.Float64, "entry_price": pl.Float64,
    },
    "funding": {
        "timestamp": TIME, "symbol": pl.String, "size": pl.Float64, "mark_price": pl.Float64,
        "funding_rate": pl.Float64, "amount": pl.Float64, "currency": pl.String,
        "is_estimated": pl.Boolean,
    },
    "notes": {
        "timestamp": TIME, "symbol": pl.String, "text": pl.String, "position": pl.Float64,
        "equity": pl.Float64,
    },
    "prices": {"timestamp": TIME, "symbol": pl.String, "price": pl.Float64},
    "assumptions": {"subject": pl.String, "choice": pl.String, "detail": pl.String},
}  # fmt: skip


def table(kind, *rows):
    """Make a frame of a run; what a row leaves out is null."""
    schema = SCHEMAS[kind]
    return pl.DataFrame(
        [[row.get(name) for name in schema] for row in rows], schema=schema, orient="row"
    )


def day(number):
    return START + round(number * DAY)


def fill(number, side="buy", price=100.0, size=1.0, **others):
    row = {
        "timestamp": day(number), "symbol": "XBTUSDTM", "side": side, "price": price,
        "size": size, "liquidity": "taker", "fee": 0.06, "fee_currency": "USDT",
        "order_id": f"order-{number}", "tag": "", "position_after": size,
    }  # fmt: skip
    return {**row, **others}


def equity_rows(values, step=1.0):
    return [
        {"timestamp": day(step * place), "equity": float(value)}
        for place, value in enumerate(values)
    ]


def position(number, size, symbol="XBTUSDTM"):
    return {"timestamp": day(number), "symbol": symbol, "size": size, "entry_price": 100.0}


def price(number, value, symbol="XBTUSDTM"):
    return {"timestamp": day(number), "symbol": symbol, "price": float(value)}


def note(number, text, symbol="XBTUSDTM"):
    return {
        "timestamp": day(number), "symbol": symbol, "text": text, "position": 1.0,
        "equity": 10_000.0,
    }  # fmt: skip


def trade(pnl, *, is_open=False):
    exited = None if is_open else day(1)
    return {"symbol": "XBTUSDTM", "side": "buy", "entered": day(0), "exited": exited, "pnl": pnl}


def facts(**others):
    """Make the facts of a run; frames may be lists of rows."""
    frames = {
        name: table(name, *rows) if isinstance(rows := others.get(name, ()), list | tuple) else rows
        for name in SCHEMAS
    }
    rest = {name: value for name, value in others.items() if name not in SCHEMAS}
    plain = {
        "name": "mean reversion", "currency": "USDT", "initial_equity": 10_000.0, "records": 1_234,
        "start_ns": day(0), "end_ns": day(40),
    }  # fmt: skip
    return RunFacts(**frames, **{**plain, **rest})


def result(**others):
    return Result(facts(**others))


def whole_run(**others):
    """Make a run of 40 days with everything in it."""
    values = [10_000 + 40 * place + 90 * (-1) ** place * (place % 5) for place in range(41)]
    made = {
        "equity": equity_rows(values),
        "prices": [price(each / 4, 100 + (each % 7)) for each in range(161)],
        "fills": [
            fill(2, price=102.0),
            fill(5.5, "sell", price=105.0, position_after=0.0),
            fill(20, price=103.5, size=2.0, liquidity="maker", fee=-0.02, tag="second"),
        ],
        "orders": [
            {"order_id": "order-2", "status": "filled", "filled": 1.0},
            {"order_id": "order-5", "status": "rejected", "filled": 0.0},
            {"order_id": "order-9", "status": "cancelled", "filled": 0.0},
        ],
        "positions": [position(2, 1.0), position(5.5, 0.0), position(20, 2.0)],
        "trades": [trade(30.0), trade(-10.0), trade(5.0, is_open=True)],
        "funding": [{"timestamp": day(3), "amount": -0.5, "currency": "USDT"}],
        "notes": [note(2, "crossed the mean")],
        "assumptions": [
            {"subject": "latency", "choice": "0.05 s each way", "detail": "An order takes it."},
            {"subject": "lacked", "choice": "books", "detail": "Fills are of tickers."},
        ],
        "slippage": 1.25,
        "traded_notional": 20_000.0,
    }  # fmt: skip
    return result(**{**made, **others})
