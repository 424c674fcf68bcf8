"""Every topic that our channels use, once: its documented sample, and its rows over a real socket.

The rows are those of the protocol reference's tables: section 6 (futures), 7 (spot), 8 (private)
and 10 (the pro feed).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.exchange.topics import Feed, subscribed_topic, topics_for
from kucoin_research.exchange.websocket.decode_private import ACCOUNT_TOPICS, AccountNews
from kucoin_research.exchange.websocket.feeds import spec_of
from kucoin_research.model.channels import Market, parse_channel
from kucoin_research.model.orderbook import BookDelta, BookSnapshot
from kucoin_research.model.records import CHANNELS, Level2, Order, Position, Ticker, schema_of
from kucoin_research.sim.messages.pro import PRO_TOPICS
from kucoin_research.sim.messages.topics import PRIVATE_TOPICS, PUBLIC_TOPICS
from tests.exchanges import simulate
from tests.unit.sim.client import drain
from tests.unit.sim.signed import private_client, subscribe_private

PAYLOADS = Path(__file__).parents[3] / "payloads" / "ws"
LOCAL = 1_790_000_000_000_000_001
CLASSIC, PRO, FUTURES, SPOT = Feed.CLASSIC, Feed.PRO, Market.FUTURES, Market.SPOT
SYMBOLS = {FUTURES: "XBTUSDTM", SPOT: "BTC-USDT"}
SECONDS_TO_WAIT = 30.0
ALL_ROWS = pl.lit(value=True)


class Row(NamedTuple):
    """One line of the reference's tables, and how its rows are told from other topics' rows."""

    feed: Feed
    market: Market
    topic: str
    channel: str
    payload: str
    only: pl.Expr = ALL_ROWS

    def __str__(self) -> str:
        return f"{self.feed} {self.market} {self.topic} {self.channel} {Path(self.payload).name}"


def is_(column, value):
    return pl.col(column).cast(str) == value


def has(column):
    return pl.col(column).is_not_null()


ESTIMATE, SETTLED = has("granularity_ms"), pl.col("granularity_ms").is_null()
DELTA, SNAPSHOT = ~pl.col("is_snapshot"), pl.col("is_snapshot")
TABLE = [
    # Section 6: futures, public.
    Row(CLASSIC, FUTURES, "/contractMarket/tickerV2", "bbo", "futures/tickerV2"),
    Row(CLASSIC, FUTURES, "/contractMarket/ticker", "ticker", "futures/ticker"),
    Row(CLASSIC, FUTURES, "/contractMarket/level2", "level2", "futures/level2", DELTA),
    Row(CLASSIC, FUTURES, "/contractMarket/level2Depth5", "depth5", "futures/level2Depth5"),
    Row(CLASSIC, FUTURES, "/contractMarket/level2Depth50", "depth50", "futures/level2Depth50"),
    Row(CLASSIC, FUTURES, "/contractMarket/execution", "trade", "futures/execution"),
    Row(CLASSIC, FUTURES, "/contractMarket/limitCandle", "candle", "futures/limitCandle"),
    Row(CLASSIC, FUTURES, "/contract/instrument", "mark_price",
        "futures/instrument_mark_index_price"),
    Row(CLASSIC, FUTURES, "/contract/instrument", "funding_rate",
        "futures/instrument_funding_rate", ESTIMATE),
    Row(CLASSIC, FUTURES, "/contract/announcement", "funding_rate",
        "futures/announcement_funding_begin", SETTLED),
    Row(CLASSIC, FUTURES, "/contract/announcement", "funding_rate",
        "futures/announcement_funding_end", SETTLED & pl.col("timestamp").dt.second().gt(0)),
    Row(CLASSIC, FUTURES, "/contractMarket/snapshot", "snapshot", "futures/snapshot"),
    # Section 7: spot, public.
    Row(CLASSIC, SPOT, "/market/ticker", "ticker", "spot/ticker"),
    Row(CLASSIC, SPOT, "/spotMarket/level1", "bbo", "spot/level1"),
    Row(CLASSIC, SPOT, "/spotMarket/level2Depth5", "depth5", "spot/level2Depth5"),
    Row(CLASSIC, SPOT, "/spotMarket/level2Depth50", "depth50", "spot/level2Depth50"),
    Row(CLASSIC, SPOT, "/market/level2", "level2", "spot/level2", DELTA),
    Row(CLASSIC, SPOT, "/market/match", "trade", "spot/match"),
    Row(CLASSIC, SPOT, "/market/candles", "candle", "spot/candles"),
    Row(CLASSIC, SPOT, "/market/snapshot", "snapshot", "spot/snapshot"),
    Row(CLASSIC, SPOT, "/indicator/index", "mark_price", "spot/indicator_index",
        has("index_price")),
    Row(CLASSIC, SPOT, "/indicator/markPrice", "mark_price", "spot/indicator_markPrice",
        has("mark_price")),
    # Section 8.1: private, futures.
    Row(CLASSIC, FUTURES, "/contractMarket/tradeOrders", "order", "private_futures/order_open"),
    Row(CLASSIC, FUTURES, "/contractMarket/tradeOrders", "fill", "private_futures/order_match"),
    Row(CLASSIC, FUTURES, "/contractMarket/advancedOrders", "stop_order",
        "private_futures/stop_order"),
    Row(CLASSIC, FUTURES, "/contractAccount/wallet", "balance", "private_futures/wallet"),
    Row(CLASSIC, FUTURES, "/contract/positionAll", "position", "private_futures/position_change",
        is_("change_reason", "positionChange")),
    Row(CLASSIC, FUTURES, "/contract/positionAll", "position",
        "private_futures/position_mark_price", is_("change_reason", "markPriceChange")),
    Row(CLASSIC, FUTURES, "/contract/positionAll", "position",
        "private_futures/position_settlement", is_("event", "settlement")),
    Row(CLASSIC, FUTURES, "/contract/marginMode", "leverage", "private_futures/margin_mode",
        has("margin_mode")),
    Row(CLASSIC, FUTURES, "/contract/crossLeverage", "leverage", "private_futures/cross_leverage",
        has("leverage")),
    # Section 8.2: private, spot and margin.
    Row(CLASSIC, SPOT, "/spotMarket/tradeOrdersV2", "order", "private_spot/order_received",
        is_("type", "received")),
    Row(CLASSIC, SPOT, "/spotMarket/tradeOrdersV2", "fill", "private_spot/order_match"),
    Row(CLASSIC, SPOT, "/account/balance", "balance", "private_spot/balance"),
    Row(CLASSIC, SPOT, "/spotMarket/advancedOrders", "stop_order", "private_spot/stop_order"),
    Row(CLASSIC, SPOT, "/margin/position", "margin", "private_spot/debt_ratio",
        is_("event", "debt.ratio")),
    Row(CLASSIC, SPOT, "/margin/position", "margin", "private_spot/position_status",
        is_("event", "position.status")),
    Row(CLASSIC, SPOT, "/margin/isolatedPosition", "margin", "private_spot/isolated_position",
        is_("event", "positionChange")),
    # Section 10: the pro feed.
    *[
        Row(PRO, market, topic, channel, f"pro/{payload}", only)
        for market in Market
        for topic, channel, payload, only in (
            ("ticker", "ticker", "ticker", ALL_ROWS),
            ("obu/1", "bbo", "obu_1", ALL_ROWS),
            ("obu/5", "depth5", "obu_5", ALL_ROWS),
            ("obu/50", "depth50", "obu_50", ALL_ROWS),
            ("obu/increment@10ms", "level2", "obu_snapshot", SNAPSHOT),
            ("obu/increment@10ms", "level2", "obu_delta", DELTA),
            ("trade", "trade", "trade", ALL_ROWS),
            ("kline", "candle", "kline", ALL_ROWS),
        )
    ],
    Row(PRO, FUTURES, "mark-price", "mark_price", "pro/mark_price"),
    Row(PRO, FUTURES, "funding-fee", "funding_rate", "pro/funding_fee"),
]  # fmt: skip

_OF_ALL = "our topic of the whole account brings the same"
_WITHDRAWN = "margin lending by order book was withdrawn"
_AUCTION = "there is no channel of call auctions: they come before a listing only"
# What KuCoin has and no channel of ours asks for, with the reason.
NOT_USED = {
    (CLASSIC, SPOT, "/callauction/level2Depth50"): _AUCTION,
    (CLASSIC, SPOT, "/callauction/callauctionData"): _AUCTION,
    (CLASSIC, SPOT, "/margin/fundingBook"): _WITHDRAWN,
    (CLASSIC, SPOT, "/margin/loan"): _WITHDRAWN,
    (CLASSIC, SPOT, "/market/ticker:all"): "all symbols unasked; kr.tickers gives them at once",
    (CLASSIC, SPOT, "/spotMarket/tradeOrders"): "V2 tells the same and the `received` event",
    (CLASSIC, FUTURES, "/contract/position"): f"of one symbol; {_OF_ALL}",
    (CLASSIC, FUTURES, "/contract/positionCross"): f"of cross margin; {_OF_ALL}",
    (CLASSIC, FUTURES, "/contractMarket/tradeOrders:{symbol}"): _OF_ALL,
    (PRO, FUTURES, "obu/increment"): "announced to end; increment@10ms tells the same",
    (PRO, SPOT, "obu/increment"): "announced to end; increment@10ms tells the same",
    (PRO, FUTURES, "funding-fee-all-symbols"): "all symbols unasked; funding-fee names them",
    (PRO, SPOT, "call auction"): _AUCTION,
    (PRO, FUTURES, "order execution balance position leverage"): "private channels are classic",
    (PRO, SPOT, "order execution balance lw"): "private channels are classic",
}


def golden(row):
    text = (PAYLOADS / f"{row.payload}.json").read_text().strip()
    # The samples of the pro feed are of one product each; both write the same.
    return re.sub(r'("T":"\w+\.)[A-Z]+"', rf'\g<1>{row.market.upper()}"', text).encode()


def topic_of(feed, payload):
    """Give the topic to ask for, of a message as it is pushed."""
    message = json.loads(payload)
    if feed is CLASSIC:
        return subscribed_topic(message["topic"].partition(":")[0])
    channel = message["T"].partition(".")[0]
    return f"{channel}/{message['dp']}" if channel == "obu" else channel


def records_of(item):
    """Give the types of what a decoded message becomes; a book's messages become its rows."""
    if isinstance(item, AccountNews):
        return {type(record) for record in item.records}
    return {Level2} if isinstance(item, (BookDelta, BookSnapshot)) else {type(item)}


# -- what is received ------------------------------------------------------------------------------


def trade_a_little(account):
    """Do once whatever makes the private topics speak."""
    futures, spot = SYMBOLS[FUTURES], SYMBOLS[SPOT]
    account.place(futures, "buy", 3)
    account.place(futures, "buy", 1, price=84_000)
    account.place(futures, "buy", 1, price=1000, stop="down", stop_price=1100)
    account.place(spot, "buy", "0.001")
    account.place(spot, "buy", "0.001", price=1000, stop="loss", stop_price=1100)
    account.set_margin_mode("SOLUSDTM", "CROSS")
    account.set_leverage("SOLUSDTM", "7")
    account.borrow("USDT", "50", symbol=spot)
    account.borrow("USDT", "100000000")  # so much that the position is frozen


def stream(x, feed, market):
    channels = {row.channel for row in TABLE if (row.feed, row.market) == (feed, market)}
    symbols = [SYMBOLS[market], "SOLUSDTM"] if "leverage" in channels else SYMBOLS[market]
    return kr.stream(
        symbols, sorted(channels), venue=x.venue, feed=feed, name=f"{feed} {market}",
        credentials=x.credentials if feed is CLASSIC else None,
    )  # fmt: skip


def rows_of(row, streams):
    return streams[row.feed, row.market].frame(row.channel).filter(row.only)


@pytest.fixture(scope="module")
def received(held_time):
    """Give each row's frame: two markets, two feeds, half a minute before funding is settled."""
    deadline = held_time.monotonic() + SECONDS_TO_WAIT
    with simulate(seed=7, speed=30.0, start="2026-01-05T07:59:30") as x:
        x.pause()
        streams = {(feed, market): stream(x, feed, market) for feed in Feed for market in Market}
        try:
            for one in streams.values():
                assert one.wait_until_live()
            trade_a_little(x.demo_account)
            x.resume()
            waiting = list(TABLE)
            while waiting and held_time.monotonic() < deadline:
                held_time.pass_by(0.1)
                waiting = [row for row in waiting if rows_of(row, streams).is_empty()]
            return {str(row): rows_of(row, streams) for row in TABLE}
        finally:
            for one in streams.values():
                one.stop()


# -- the claims ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_topic_is_decoded_served_and_received(row, received):
    payload = golden(row)
    item = spec_of(row.feed).decoder(row.market).decode(payload, LOCAL)
    frame = received[str(row)]

    assert topic_of(row.feed, payload) == row.topic
    assert CHANNELS[row.channel] in records_of(item)
    assert frame.height > 0
    assert frame.schema == schema_of(CHANNELS[row.channel])
    assert set(frame["symbol"].drop_nulls()) <= {*SYMBOLS.values(), "SOLUSDTM"}


def test_every_topic_of_every_channel_is_in_the_table():
    ours = set()
    for feed in Feed:
        for market in Market:
            for name in CHANNELS:
                try:
                    topics = topics_for(parse_channel(name), SYMBOLS[market], market, feed)
                except kr.ChannelNotOffered:
                    continue
                ours |= {(feed, market, topic.prefix, name) for topic in topics}

    assert {row[:4] for row in TABLE} == ours
    assert len({str(row) for row in TABLE}) == len(TABLE)


def test_topics_that_no_channel_uses_are_listed_with_the_reason():
    used = {row[:3] for row in TABLE}
    served = {
        (CLASSIC, market, topic)
        for market in Market
        for topic in (*PUBLIC_TOPICS[market], *PRIVATE_TOPICS[market])
    } | {
        (PRO, market, topic)
        for market in Market
        for topic in PRO_TOPICS
        if market is FUTURES or topic not in ("mark-price", "funding-fee")
    }
    decoded = {
        (CLASSIC, market, subscribed_topic(topic))
        for market, topics in ACCOUNT_TOPICS.items()
        for topic in topics
    }

    assert served - used <= NOT_USED.keys()
    assert decoded - used <= NOT_USED.keys()
    assert used <= served
    assert not used & NOT_USED.keys()


# -- topics that no channel asks for ---------------------------------------------------------------


class Other(NamedTuple):
    """A classic topic of the tables that brings what another one brings: its sample, its record."""

    market: Market
    topic: str
    sample: bytes
    record: type

    def __str__(self) -> str:
        return f"{self.market} {self.topic}"


def sample_of(payload):
    return (PAYLOADS / f"{payload}.json").read_bytes().strip()


OTHERS = [
    Other(SPOT, "/market/ticker:all", sample_of("spot/ticker_all"), Ticker),
    # The documents show V1 with the samples of V2.
    Other(SPOT, "/spotMarket/tradeOrders",
          sample_of("private_spot/order_match").replace(b"OrdersV2", b"Orders"), Order),
    Other(FUTURES, "/contractMarket/tradeOrders:XBTUSDTM",
          sample_of("private_futures/order_open"), Order),
    Other(FUTURES, "/contract/position:XBTUSDTM",
          sample_of("private_futures/position_change"), Position),
]  # fmt: skip
# Acknowledged and silent: there is never an auction, no cross position, and no lending book.
SILENT = {
    FUTURES: ["/contract/positionCross"],
    SPOT: ["/callauction/level2Depth50:BTC-USDT", "/callauction/callauctionData:BTC-USDT",
           "/margin/fundingBook:USDT", "/margin/loan:USDT"],
}  # fmt: skip


@pytest.fixture(scope="module")
def pushed():
    """Give what a plain client gets that asks for these topics alone, each on its own socket."""
    found = {}
    with simulate(seed=7, speed=30.0) as x:
        x.pause()
        clients = {row: private_client(x, str(row.market)) for row in OTHERS}
        for row, client in clients.items():
            assert subscribe_private(client, row.topic)["type"] == "ack"
        x.demo_account.place(SYMBOLS[FUTURES], "buy", 3)
        x.demo_account.place(SYMBOLS[SPOT], "buy", "0.001")
        x.resume()
        for row, client in clients.items():
            client.until(lambda frame: frame["type"] == "message")
            drain(client)
            found[row] = [json.dumps(frame).encode() for frame in client.messages()]
            client.socket.shutdown()
    return found


@pytest.mark.parametrize("row", OTHERS, ids=str)
def test_topic_that_no_channel_asks_for_is_served_and_decoded_all_the_same(row, pushed):
    decoder = spec_of(CLASSIC).decoder(row.market)

    for payload in (row.sample, *pushed[row]):
        assert row.record in records_of(decoder.decode(payload, LOCAL)), payload


@pytest.mark.parametrize("market", SILENT)
def test_silent_topic_is_acknowledged(market):
    with simulate(seed=7) as x, private_client(x, str(market)) as client:
        for topic in SILENT[market]:
            assert subscribe_private(client, topic)["type"] == "ack"


def test_every_classic_topic_that_is_not_used_is_tested_here():
    told = {(CLASSIC, row.market, row.topic) for row in OTHERS} | {
        (CLASSIC, market, topic.partition(":")[0])
        for market, topics in SILENT.items()
        for topic in topics
    }
    unused = {key for key in NOT_USED if key[0] is CLASSIC}

    assert {(*key[:2], key[2].replace(":XBTUSDTM", "")) for key in told} == {
        (*key[:2], key[2].replace(":{symbol}", "")) for key in unused
    }
