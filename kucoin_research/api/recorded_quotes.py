"""The best levels of a recorded book, at each second."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from kucoin_research.errors import BookNotReady
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import Level2
from kucoin_research.sessions.book_rebuild import BookRebuild
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.timeline import Timeline

__all__ = ["QUOTES", "SECOND_NS", "Quotes", "market_time", "quotes_of"]

#: The channels that have best prices; what has most levels first.
QUOTES = ("depth50", "depth5", "level2", "bbo", "ticker")
SECOND_NS = 1_000_000_000

_MOST_LEVELS = 50
_STEPS = (1, 10, 60)  # seconds between quotes
_MOST_QUOTES = 100_000
_MOST_BOOKS = 4_000  # those that are rebuilt cost more
_SCHEMA = pl.Schema(
    {"second": pl.Int64, "mid": pl.Float64, "spread": pl.Float64}
    | {"depth": pl.Float64, "width": pl.Float64}
)


class Quotes(NamedTuple):
    """The last quote of each step that has one, in order: see ``BookSample`` for its columns.

    ``levels`` are those of a side that ``depth`` and ``width`` count, ``step`` is in seconds, and
    ``second`` is the begin of its step.
    """

    levels: int
    step: int
    rows: pl.DataFrame


def market_time() -> pl.Expr:
    """Return the exchange's time of a row, ns UTC, or else that of its arrival.

    It is the market's own pace, also where the exchange's clock runs faster than the recorder's.
    """
    time = pl.col("timestamp").to_physical()
    return pl.when(time > 0).then(time).otherwise(pl.col("local_timestamp").to_physical())


def quotes_of(session: Session, channel: str, symbol: str, seconds: float) -> Quotes:
    """Read the quotes of a symbol from one of ``QUOTES``, or its prices from ``trade``.

    Parameters
    ----------
    session, channel, symbol
        What to read.
    seconds
        The length of the recording: from a long one, not every second is taken.

    Raises
    ------
    SessionBroken
        If a line cannot be read.
    """
    if channel == "level2":
        return _rebuilt(session, symbol, _step(seconds, _MOST_BOOKS))
    levels, step = 1, _step(seconds, _MOST_QUOTES)
    rows = session.scan(channel, symbol)
    if channel == "depth50":
        levels = _usual_levels(session, rows)
        quotes = _of_lists(rows, levels)
    elif channel == "depth5":
        levels = 5
        quotes = _of_depth5(rows)
    elif channel == "trade":
        quotes = _of_trades(rows)
    else:
        bid, ask = pl.col("best_bid_price"), pl.col("best_ask_price")
        size = (pl.col("best_bid_size") + pl.col("best_ask_size")) / 2
        quotes = _columns(rows, mid=(bid + ask) / 2, spread=ask - bid, depth=size)
    is_whole = pl.col("spread").is_null() | (pl.col("spread") >= 0)
    known = quotes.filter(pl.col("mid").is_finite() & (pl.col("mid") > 0) & is_whole)
    begun = known.with_columns(pl.col("second") // step * step)
    last = begun.group_by("second", maintain_order=True).last()
    return Quotes(levels, step, session.collect(last.sort("second")))


def _step(seconds: float, most: int) -> int:
    return next((step for step in _STEPS if seconds <= step * most), _STEPS[-1])


def _columns(rows: pl.LazyFrame, **columns: pl.Expr) -> pl.LazyFrame:
    second = market_time() // SECOND_NS
    nothing = {name: pl.lit(None) for name in _SCHEMA}
    return rows.select(**(nothing | {"second": second} | columns)).cast(_SCHEMA)


def _of_trades(rows: pl.LazyFrame) -> pl.LazyFrame:
    # Buys are at the ask and sells at the bid, so their middle does not jump between the two.
    last = [
        pl.when(pl.col("side").cast(pl.String) == side).then("price").forward_fill().backward_fill()
        for side in ("buy", "sell")
    ]
    return _columns(rows, mid=pl.coalesce((last[0] + last[1]) / 2, "price"))


def _usual_levels(session: Session, rows: pl.LazyFrame) -> int:
    lengths = [pl.col(name).list.len() for name in ("bid_prices", "ask_prices")]
    usual = session.collect(rows.select(pl.min_horizontal(lengths).median())).item()
    return max(1, int(usual or 1))


def _of_lists(rows: pl.LazyFrame, levels: int) -> pl.LazyFrame:
    bids, asks = (pl.col(name).list for name in ("bid_prices", "ask_prices"))
    sizes = [pl.col(name).list.head(levels).list.sum() for name in ("bid_sizes", "ask_sizes")]
    bid, ask, last = bids.first(), asks.first(), levels - 1
    width = bid - bids.get(last, null_on_oob=True) + asks.get(last, null_on_oob=True) - ask
    return _columns(
        rows,
        mid=(bid + ask) / 2,
        spread=ask - bid,
        depth=(sizes[0] + sizes[1]) / 2,
        width=width / 2,
    )


def _of_depth5(rows: pl.LazyFrame) -> pl.LazyFrame:
    bids, asks = (
        [pl.col(f"{side}_price_{level}") for level in range(1, 6)] for side in ("bid", "ask")
    )
    sizes = [pl.col(f"{side}_size_{level}") for side in ("bid", "ask") for level in range(1, 6)]
    width = bids[0] - bids[-1] + asks[-1] - asks[0]
    return _columns(
        rows,
        mid=(bids[0] + asks[0]) / 2,
        spread=asks[0] - bids[0],
        depth=pl.sum_horizontal(sizes) / 2,
        width=width / 2,
    )


# -- rebuilt books ---------------------------------------------------------------------------------


def _rebuilt(session: Session, symbol: str, step: int) -> Quotes:
    timeline = Timeline(session, channels=["level2", "status"], symbols=[symbol])
    books = BookRebuild([symbol])
    found: list[tuple[float | None, ...]] = []
    seen = 0
    for batch in timeline.batches():
        begin = 0
        for at, row in enumerate(batch):
            if not isinstance(row, Level2):
                continue
            now = (row.timestamp or row.local_timestamp or 0) // SECOND_NS // step
            if now > seen:
                books.take(batch[begin:at])
                found += _looked_at(books, symbol, seen * step)
                seen, begin = now, at
        books.take(batch[begin:])
    found += _looked_at(books, symbol, seen * step)
    return Quotes(_MOST_LEVELS, step, pl.DataFrame(found, schema=_SCHEMA, orient="row"))


def _looked_at(books: BookRebuild, symbol: str, second: int) -> list[tuple[float | None, ...]]:
    # Nothing for a book that is not in step, or has an empty side.
    try:
        book = books.copy(symbol, symbol)
    except BookNotReady:
        return []
    if not book.bids or not book.asks:
        return []
    return [(second, *_shape(book))]


def _shape(book: OrderBook) -> tuple[float | None, ...]:
    bids, asks = book.bids[:_MOST_LEVELS], book.asks[:_MOST_LEVELS]
    bid, ask = bids[0][0], asks[0][0]
    width = bid - bids[-1][0] + asks[-1][0] - ask
    size = sum(size for _, size in (*bids, *asks))
    return (bid + ask) / 2, ask - bid, size / 2, width / 2
