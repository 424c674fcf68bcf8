"""Every public WebSocket call of KuCoin's own SDK, beside our streams."""

import polars as pl
import pytest

from tests.interop.compare import (
    MS,
    Books,
    agree,
    agree_on_books,
    agree_on_pushes,
    depth5,
    depth50,
    holes,
    number,
)
from tests.interop.conftest import CONTRACT, PAIR

CLIENT = "universal-sdk"


def symbol_of(line):
    return line["topic"].partition(":")[2].partition("_")[0]


def futures_trade(line):
    d = line["data"]
    return {
        "timestamp": d["ts"], "symbol": d["symbol"], "sequence": d["sequence"],
        "trade_id": d["tradeId"], "side": d["side"], "price": number(d["price"]),
        "size": d["size"],
    }  # fmt: skip


def best(d, bid, ask):
    return {
        f"best_{side}_{what}": number(d[f"{name}{key}"])
        for side, name in (("bid", bid), ("ask", ask))
        for what, key in (("size", "Size"), ("price", "Price"))
    }


def futures_bbo(line):
    d = line["data"]
    head = {"timestamp": d["ts"], "symbol": d["symbol"], "sequence": d["sequence"]}
    return head | best(d, "bestBid", "bestAsk")


def futures_ticker(line):
    d = line["data"]
    assert d["tradeId"] == str(d["sequence"])
    last = {"price": number(d["price"]), "size": d["size"], "side": d["side"]}
    return futures_bbo(line) | last


def futures_change(line):
    d = line["data"]
    price, side, size = d["change"].split(",")
    return {
        "timestamp": d["timestamp"] * MS, "symbol": symbol_of(line), "sequence": d["sequence"],
        "is_snapshot": False, "side": side, "price": float(price), "size": float(size),
    }  # fmt: skip


def futures_depth(line, spread):
    d = line["data"]
    assert d["ts"] == d["timestamp"]
    head = {"timestamp": d["ts"] * MS, "symbol": symbol_of(line), "sequence": d["sequence"]}
    return head | spread(d["bids"], d["asks"])


def futures_candle(line):
    d = line["data"]
    start, opened, close, high, low, _, volume = d["candles"]
    return {
        "timestamp": int(start) * 1_000 * MS, "symbol": d["symbol"], "interval": "1min",
        "open": float(opened), "high": float(high), "low": float(low), "close": float(close),
        "volume": float(volume),
    }  # fmt: skip


def futures_snapshot(line):
    d = line["data"]
    return {
        "timestamp": d["ts"], "symbol": d["symbol"], "last_price": d["lastPrice"],
        "high": d["highPrice"], "low": d["lowPrice"], "volume": d["volume"],
        "turnover": d["turnover"], "price_change": d["priceChg"],
        "price_change_pct": d["priceChgPct"],
    }  # fmt: skip


def mark(line):
    d = line["data"]
    return {
        "timestamp": d["timestamp"] * MS, "symbol": symbol_of(line),
        "mark_price": d["markPrice"], "index_price": d["indexPrice"],
    }  # fmt: skip


def funding(line):
    d = line["data"]
    return {
        "timestamp": d["timestamp"] * MS, "symbol": symbol_of(line),
        "funding_rate": d["fundingRate"], "granularity_ms": d.get("granularity"),
    }  # fmt: skip


def spot_ticker(line):
    d = line["data"]
    symbol = symbol_of(line)
    return {
        "timestamp": d["time"] * MS, "symbol": line["subject"] if symbol == "all" else symbol,
        "sequence": int(d["sequence"]), "price": float(d["price"]), "size": float(d["size"]),
        "side": None,
        "best_bid_price": float(d["bestBid"]), "best_bid_size": float(d["bestBidSize"]),
        "best_ask_price": float(d["bestAsk"]), "best_ask_size": float(d["bestAskSize"]),
    }  # fmt: skip


def spot_trade(line):
    d = line["data"]
    assert d["type"] == "match"
    return {
        "timestamp": int(d["time"]), "symbol": d["symbol"], "sequence": int(d["sequence"]),
        "trade_id": d["tradeId"], "side": d["side"], "price": float(d["price"]),
        "size": float(d["size"]),
    }  # fmt: skip


def spot_changes(line):
    d = line["data"]
    assert d["symbol"] == symbol_of(line)
    for side, name in (("buy", "bids"), ("sell", "asks")):
        for price, size, sequence in d["changes"][name]:
            assert d["sequenceStart"] <= int(sequence) <= d["sequenceEnd"]
            if price != "0":  # a filler only advances the sequence
                yield {
                    "timestamp": d["time"] * MS, "symbol": d["symbol"],
                    "sequence": int(sequence), "is_snapshot": False, "side": side,
                    "price": float(price), "size": float(size),
                }  # fmt: skip


def spot_bbo(line):
    d = line["data"]
    (bid, bid_size), (ask, ask_size) = d["bids"], d["asks"]
    return {
        "timestamp": d["timestamp"] * MS, "symbol": symbol_of(line), "sequence": None,
        "best_bid_price": float(bid), "best_bid_size": float(bid_size),
        "best_ask_price": float(ask), "best_ask_size": float(ask_size),
    }  # fmt: skip


def spot_depth(line, spread):
    d = line["data"]
    head = {"timestamp": d["timestamp"] * MS, "symbol": symbol_of(line), "sequence": None}
    return head | spread(d["bids"], d["asks"])


def spot_candle(line):
    d = line["data"]
    start, opened, close, high, low, volume, turnover = d["candles"]
    return {
        "timestamp": int(start) * 1_000 * MS, "symbol": d["symbol"], "interval": "1min",
        "open": float(opened), "high": float(high), "low": float(low), "close": float(close),
        "volume": float(volume), "turnover": float(turnover),
    }  # fmt: skip


def spot_snapshot(line):
    outer = line["data"]
    d = outer["data"]
    assert outer["sequence"].isdigit()
    return {
        "timestamp": d["datetime"] * MS, "symbol": d["symbol"], "last_price": d["lastTradedPrice"],
        "high": d["high"], "low": d["low"], "volume": d["vol"], "turnover": d["volValue"],
        "price_change": d["changePrice"], "price_change_pct": d["changeRate"],
    }  # fmt: skip


def at_time(read, channel):
    return lambda lines, frames: agree(
        [read(line) for line in lines], frames[channel], "symbol", "timestamp"
    )


def at_sequence(read, channel):
    return lambda lines, frames: agree(
        [read(line) for line in lines], frames[channel], "symbol", "sequence"
    )


def deltas(frames):
    return frames["level2"].filter(~pl.col("is_snapshot"))


def spot_increments(lines, frames):
    rows = [row for line in lines for row in spot_changes(line)]
    return agree(rows, deltas(frames), "symbol", "sequence")


def candles(read):
    return lambda lines, frames: agree_on_pushes([read(line) for line in lines], frames["candle"])


def instrument(lines, frames):
    marks = [mark(line) for line in lines if line["subject"] == "mark.index.price"]
    rates = [funding(line) for line in lines if line["subject"] == "funding.rate"]
    assert marks
    assert rates
    by_minute = frames["funding_rate"].filter(pl.col("granularity_ms").is_not_null())
    return agree(marks, frames["mark_price"], "symbol", "timestamp") + agree(
        rates, by_minute, "symbol", "timestamp"
    )


def announcement(lines, frames):
    assert [line["subject"] for line in lines] == ["funding.begin", "funding.end"]
    assert {line["data"]["symbol"] for line in lines} == {CONTRACT}
    settled = frames["funding_rate"].filter(pl.col("granularity_ms").is_null())
    rows = [funding(line) for line in lines]
    assert {line["data"]["fundingTime"] * MS for line in lines} == {rows[0]["timestamp"]}
    return agree(rows, settled, "symbol", "timestamp")


CALLS = {
    "futures.announcement": announcement,
    "futures.execution": at_sequence(futures_trade, "trade"),
    "futures.instrument": instrument,
    "futures.klines": candles(futures_candle),
    "futures.orderbook_increment": lambda lines, frames: agree(
        [futures_change(line) for line in lines], deltas(frames), "symbol", "sequence"
    ),
    "futures.orderbook_level5": at_time(lambda line: futures_depth(line, depth5), "depth5"),
    "futures.orderbook_level50": at_time(lambda line: futures_depth(line, depth50), "depth50"),
    "futures.symbol_snapshot": at_time(futures_snapshot, "snapshot"),
    "futures.ticker_v1": at_sequence(futures_ticker, "ticker"),
    "futures.ticker_v2": at_sequence(futures_bbo, "bbo"),
    "spot.all_tickers": at_sequence(spot_ticker, "ticker"),
    "spot.klines": candles(spot_candle),
    "spot.market_snapshot": at_time(spot_snapshot, "snapshot"),
    "spot.orderbook_increment": spot_increments,
    "spot.orderbook_level1": at_time(spot_bbo, "bbo"),
    "spot.orderbook_level5": at_time(lambda line: spot_depth(line, depth5), "depth5"),
    "spot.orderbook_level50": at_time(lambda line: spot_depth(line, depth50), "depth50"),
    "spot.symbol_snapshot": at_time(spot_snapshot, "snapshot"),
    "spot.ticker": at_sequence(spot_ticker, "ticker"),
    "spot.trade": at_sequence(spot_trade, "trade"),
}


def rest_marks(lines, frames):
    rows = [
        {"timestamp": d["timePoint"] * MS, "symbol": d["symbol"], "mark_price": d["value"],
         "index_price": d["indexPrice"]}
        for d in (line["data"] for line in lines)
    ]  # fmt: skip
    return agree(rows, frames["mark_price"], "symbol", "timestamp")


def rest_books(lines, frames):
    theirs = [line["data"] | {"nonce": line["data"]["sequence"]} for line in lines]
    books = Books(frames["level2"], CONTRACT)
    return sum(agree_on_books([book], book, books) for book in theirs)


def rest_trades(lines, frames):
    first = frames["trade"]["sequence"].min()
    rows = [
        futures_trade({"data": trade | {"symbol": CONTRACT}})
        for line in lines
        for trade in line["data"]["data"]
        if trade["sequence"] >= first
    ]
    return agree(rows, frames["trade"], "symbol", "sequence")


# Fetched over REST, and streamed by us.
FETCHED = {
    "futures.get_mark_price moving": rest_marks,
    "futures.get_full_order_book moving": rest_books,
    "futures.get_trade_history moving": rest_trades,
}
# There is never an auction here: acknowledged, then silent.
SILENT = ("spot.call_auction_info", "spot.call_auction_orderbook_level50")
# Fields that the SDK has for another subject of the same topic.
ABSENT = {"futures.instrument": {"fundingRate", "markPrice", "indexPrice"}}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", [CLIENT])
def test_pushes_are_ours_field_by_field(client, call, moving, row):
    lines = moving.sdk.get(call, [])
    frames = moving.futures if call.startswith("futures.") else moving.spot

    assert call not in moving.sdk.get("late", [{"data": {}}])[0]["data"]
    assert {hole for line in lines for hole in holes(line["data"])} <= ABSENT.get(call, set())
    row(CALLS[call](lines, frames))


@pytest.mark.parametrize("call", FETCHED)
@pytest.mark.parametrize("client", [CLIENT])
def test_replies_are_what_we_streamed(client, call, moving, row):
    row(FETCHED[call](moving.sdk[call], moving.futures))


@pytest.mark.parametrize("call", SILENT)
@pytest.mark.parametrize("client", [CLIENT])
def test_silent_topics_are_acknowledged(client, call, moving, row):
    assert call not in moving.sdk

    row(sum(line["data"] == call for line in moving.sdk["acked"]), "acknowledged, then silent")


@pytest.mark.parametrize("call", ["futures.ping", "spot.ping"])
@pytest.mark.parametrize("client", [CLIENT])
def test_pings_are_answered(client, call, moving, row):
    [line] = moving.sdk[call]

    assert line["data"] is True
    row(1, "answered")


@pytest.mark.parametrize("call", ["futures.unsubscribe", "spot.unsubscribe"])
@pytest.mark.parametrize("client", [CLIENT])
def test_unsubscribing_is_acknowledged(client, call, moving, row):
    market = call.partition(".")[0]
    ids = {line.get("data") for line in moving.sdk[call]}

    assert ids == {name for name in (*CALLS, *SILENT) if name.startswith(market)}
    row(len(ids), "acknowledged")


def test_the_sdk_complains_of_nothing(moving):
    assert moving.sdk["events"][0]["data"] == []
    assert "late" not in moving.sdk


def test_every_call_of_the_sdk_is_in_the_table(moving):
    served = {*CALLS, *SILENT, *("futures.unsubscribe", "spot.unsubscribe")}
    lifecycle = {f"{market}.{name}" for market in ("futures", "spot") for name in ("start", "stop")}

    assert set(moving.sdk["offered"][0]["data"]) == served | lifecycle


def test_our_own_account_of_the_same_time_is_clean(moving):
    for report in moving.reports:
        for entry in report.channels:
            assert not entry.gaps, entry
            assert entry.broken == 0, entry
    assert {PAIR} <= set(moving.spot["trade"]["symbol"])
