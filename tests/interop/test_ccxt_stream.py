"""ccxt.pro's public watch calls, beside our streams."""

import polars as pl
import pytest

from tests.interop.compare import (
    MS,
    Books,
    agree,
    agree_on_books,
    agree_on_pushes,
    ccxt_ms,
    depth5,
    depth50,
    percent,
)
from tests.interop.conftest import CCXT_WANTED, CONTRACT, PAIR

CLIENT = "ccxt.pro"


def data(lines):
    assert not [line["error"] for line in lines if "error" in line]
    return [line["data"] for line in lines]


def top(ticker):
    return {
        "best_bid_price": ticker["bid"], "best_bid_size": ticker["bidVolume"],
        "best_ask_price": ticker["ask"], "best_ask_size": ticker["askVolume"],
    }  # fmt: skip


def futures_tickers(lines, frames):
    rows = []
    for ticker in data(lines):
        info = ticker["info"]
        assert ticker["symbol"] == "BTC/USDT:USDT"
        assert ticker["timestamp"] == ccxt_ms(info["ts"])
        last = {"symbol": CONTRACT, "sequence": info["sequence"], "price": ticker["last"]}
        rows.append({"timestamp": info["ts"]} | last | top(ticker))
    return agree(rows, frames["ticker"], "symbol", "sequence")


def spot_tickers(lines, frames):
    rows = []
    for ticker in data(lines):
        assert ticker["symbol"] == "BTC/USDT"
        sequence = int(ticker["info"]["sequence"])
        last = {"symbol": PAIR, "sequence": sequence, "price": ticker["last"]}
        rows.append({"timestamp": ticker["timestamp"] * MS} | last | top(ticker))
    return agree(rows, frames["ticker"], "symbol", "sequence")


def spot_snapshots(lines, frames):
    rows = []
    for ticker in data(lines):
        rate = ticker["info"]["changeRate"]
        assert ticker["percentage"] == percent(rate)
        rows.append(
            {
                "timestamp": ticker["timestamp"] * MS,
                "symbol": PAIR,
                "last_price": ticker["last"],
                "high": ticker["high"],
                "low": ticker["low"],
                "volume": ticker["baseVolume"],
                "turnover": ticker["quoteVolume"],
                "price_change": ticker["change"],
                "price_change_pct": rate,
            }
        )
    return agree(rows, frames["snapshot"], "symbol", "timestamp")


def trades(symbol, time):
    def compare(lines, frames):
        rows = []
        for trade in data(lines):
            info = trade["info"]
            assert trade["timestamp"] in (ccxt_ms(info[time]), int(info[time]) // MS)
            rows.append(
                {
                    "timestamp": int(info[time]),
                    "symbol": symbol,
                    "sequence": int(info["sequence"]),
                    "trade_id": trade["id"],
                    "side": trade["side"],
                    "price": trade["price"],
                    "size": trade["amount"],
                }
            )
        return agree(rows, frames["trade"], "symbol", "sequence")

    return compare


def futures_bbo(lines, frames):
    rows = []
    for ticker in data(lines):
        d = ticker["info"]["data"]
        assert ticker["timestamp"] == ccxt_ms(d["ts"])
        head = {"timestamp": d["ts"], "symbol": CONTRACT, "sequence": d["sequence"]}
        rows.append(head | top(ticker))
    return agree(rows, frames["bbo"], "symbol", "sequence")


def spot_bbo(lines, frames):
    rows = [
        {"timestamp": ticker["timestamp"] * MS, "symbol": PAIR} | top(ticker)
        for ticker in data(lines)
    ]
    return agree(rows, frames["bbo"], "symbol", "timestamp")


def candles(symbol):
    def compare(lines, frames):
        names = ("open", "high", "low", "close", "volume")
        rows = [
            {"timestamp": start * MS, "symbol": symbol, "interval": "1min"}
            | dict(zip(names, values, strict=True))
            for start, *values in data(lines)
        ]
        return agree_on_pushes(rows, frames["candle"])

    return compare


def depth(symbol, spread, channel):
    def compare(lines, frames):
        rows = []
        for book in data(lines):
            row = {"timestamp": book["timestamp"] * MS, "symbol": symbol}
            if symbol == CONTRACT:
                row["sequence"] = book["nonce"]
            rows.append(row | spread(book["bids"], book["asks"]))
        return agree(rows, frames[channel], "symbol", "timestamp")

    return compare


CALLS = {
    "swap.watch_ticker": futures_tickers,
    "swap.watch_tickers": futures_tickers,
    "swap.watch_trades": trades(CONTRACT, "ts"),
    "swap.watch_order_book 5": depth(CONTRACT, depth5, "depth5"),
    "swap.watch_order_book 50": depth(CONTRACT, depth50, "depth50"),
    "swap.watch_ohlcv": candles(CONTRACT),
    "swap.watch_bids_asks": futures_bbo,
    "spot.watch_ticker": spot_snapshots,
    "spot.watch_tickers": spot_tickers,
    "spot.watch_trades": trades(PAIR, "time"),
    "spot.watch_order_book 5": depth(PAIR, depth5, "depth5"),
    "spot.watch_order_book 50": depth(PAIR, depth50, "depth50"),
    "spot.watch_ohlcv": candles(PAIR),
    "spot.watch_bids_asks": spot_bbo,
}
BOOKS = {"swap.watch_order_book": CONTRACT, "spot.watch_order_book": PAIR}
UNWATCH = [
    f"{kind}.un_watch_{what}"
    for kind in ("swap", "spot")
    for what in ("ticker", "trades", "order_book", "ohlcv")
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", [CLIENT])
def test_pushes_are_ours_field_by_field(client, call, moving, row):
    frames = moving.futures if call.startswith("swap.") else moving.spot

    row(CALLS[call](moving.ccxt.get(call, []), frames))


def agree_from_the_snapshot_on(seen, call, frames, at_least):
    """Compare ccxt's books with ours at the same sequence; count them."""
    symbol = BOOKS[call]
    [snapshot] = data(seen[f"{call} snapshot"])
    # On futures ccxt 4.5.90 compares the book's sequence with a delta's time, so deltas that arrive
    # after the newer snapshot are applied once more, and its book is none of the exchange's until
    # it has passed that snapshot.
    theirs = [book for book in data(seen[call]) if book["nonce"] > snapshot["nonce"]]
    assert len(theirs) >= at_least
    changes = frames["level2"].filter((pl.col("symbol") == symbol) & ~pl.col("is_snapshot"))
    times = dict(zip(changes["sequence"], changes["timestamp"].to_physical(), strict=True))

    for book in theirs:
        # A spot book can stand at a filler, which leaves no row.
        assert times.get(book["nonce"], book["timestamp"] * MS) == book["timestamp"] * MS
    return agree_on_books(theirs, snapshot, Books(frames["level2"], symbol))


@pytest.mark.parametrize("call", BOOKS)
@pytest.mark.parametrize("client", [CLIENT])
def test_books_are_ours_at_the_same_sequence(client, call, moving, row):
    frames = moving.futures if call.startswith("swap.") else moving.spot

    row(agree_from_the_snapshot_on(moving.ccxt, call, frames, CCXT_WANTED[call] // 2))


@pytest.mark.parametrize("call", UNWATCH)
@pytest.mark.parametrize("client", [CLIENT])
def test_unwatching_is_acknowledged(client, call, moving, row):
    assert data(moving.ccxt[call]) == [True]

    row(1, "acknowledged")


def test_ccxt_waited_for_nothing_in_vain(moving):
    assert "late" not in moving.ccxt
