"""Rows for tests of measures, and checks that hold for every one of them."""

from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl
import pytest

START = datetime(2026, 1, 5, tzinfo=UTC)
SYMBOLS = ("XBTUSDTM", "ETHUSDTM", "BTC-USDT")
QUOTE = ["best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size"]
TIME = pl.Datetime("ns", "UTC")


def second(number):
    return START + timedelta(seconds=number)


def quotes(*rows, symbol="XBTUSDTM"):
    """Quotes from (bid, its size, ask, its size), one a second."""
    return pl.DataFrame(
        [(second(n), second(n), symbol, *row) for n, row in enumerate(rows)],
        schema={
            "timestamp": TIME, "local_timestamp": TIME, "symbol": pl.String,
            **dict.fromkeys(QUOTE, pl.Float64),
        },
        orient="row",
    )  # fmt: skip


def trades(*rows, symbol="XBTUSDTM"):
    """Trades from (side, price, size), one a second."""
    return pl.DataFrame(
        [(second(n), second(n), symbol, *row) for n, row in enumerate(rows)],
        schema={
            "timestamp": TIME, "local_timestamp": TIME, "symbol": pl.String,
            "side": pl.Enum(["buy", "sell"]), "price": pl.Float64, "size": pl.Float64,
        },
        orient="row",
    )  # fmt: skip


def mixed(frames, seed):
    """Rows of several symbols, each symbol's in order."""
    random = Random(seed)
    waiting = [frame.rows() for frame in frames]
    made = []
    while any(waiting):
        made.append(random.choice([rows for rows in waiting if rows]).pop(0))
    stamped = [(second(n), second(n), *row[2:]) for n, row in enumerate(made)]
    return pl.DataFrame(stamped, schema=frames[0].schema, orient="row")


def random_quotes(seed, rows=60):
    """Quotes of three symbols: prices a few ticks apart, some sizes 0, some sides empty."""
    random = Random(seed)

    def one():
        bid = 100 + random.randrange(5) / 10
        row = [bid, random.choice([0, 0, 1, 5, 20]), bid + random.randrange(1, 4) / 10,
               random.choice([0, 0, 1, 5, 20])]  # fmt: skip
        if random.random() < 0.05:
            row[:2] = [None, None]
        return row

    return mixed([quotes(*(one() for _ in range(rows)), symbol=each) for each in SYMBOLS], seed)


def random_trades(seed, rows=60):
    """Trades of three symbols; some prices repeat, some sizes are 0, few values are missing."""
    random = Random(seed)

    def one():
        price = None if random.random() < 0.03 else 100 + random.randrange(6) / 10
        return random.choice(["buy", "sell"]), price, random.choice([0, 1, 2, 7.5])

    return mixed([trades(*(one() for _ in range(rows)), symbol=each) for each in SYMBOLS], seed)


def random_bars(seed, rows=60):
    """Closes and turnovers of three symbols; a turnover may be 0."""
    made = random_trades(seed, rows)
    return made.rename({"price": "close"}).with_columns(turnover=pl.col("close") * pl.col("size"))


def values(frame, measure):
    """A measure's values for each symbol."""
    made = frame.with_columns(measure.over("symbol").alias("value"))
    return {
        symbol: made.filter(pl.col("symbol") == symbol)["value"].to_list() for symbol in SYMBOLS
    }


def agrees(frame, measure, define):
    """Compare a measure with its definition: a function of a symbol's rows up to the last one."""
    found = values(frame, measure)
    assert sum(value is not None for listed in found.values() for value in listed) > 20
    for symbol, listed in found.items():
        rows = frame.filter(pl.col("symbol") == symbol).rows(named=True)
        wanted = [define(rows[: n + 1]) for n in range(len(rows))]
        assert [each is None for each in listed] == [each is None for each in wanted], symbol
        for mine, its in zip(listed, wanted, strict=True):
            assert mine is None or mine == pytest.approx(its, rel=1e-9, abs=1e-12)


def is_causal(frame, measure):
    """Check that no later row changes a value, whether it is another or not there at all."""
    measured = measure.over("symbol").alias("value")
    whole = frame.with_columns(measured)
    numbers = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    for cut in (1, 30, 77, frame.height - 1):
        is_past = pl.int_range(pl.len()) < cut
        other = frame.with_columns(pl.when(is_past).then(pl.col(numbers)).otherwise(3.0))
        for changed in (other, frame.head(cut)):
            found = changed.with_columns(measured).head(cut)["value"]
            assert found.equals(whole.head(cut)["value"], null_equal=True)
    assert whole["value"].drop_nulls().n_unique() > 1


def is_the_same_in_every_context(frame, measure):
    """Check lazy frames, groups, one symbol's rows, a single row and an empty frame."""
    measured = measure.over("symbol").alias("value")
    eager = frame.with_columns(measured)
    assert frame.lazy().with_columns(measured).collect().equals(eager)
    grouped = frame.group_by("symbol", maintain_order=True).agg(measure.alias("value"))
    for symbol, listed in grouped.rows():
        of_symbol = frame.filter(pl.col("symbol") == symbol)
        wanted = eager.filter(pl.col("symbol") == symbol)["value"].to_list()
        assert listed == wanted
        assert of_symbol.select(measure.alias("value"))["value"].to_list() == wanted
    assert frame.head(1).with_columns(measured).height == 1
    empty = frame.clear().with_columns(measured)
    assert empty.is_empty()
    assert empty.schema == eager.schema
