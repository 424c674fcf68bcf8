"""Topics: which carry which channel where, and how they are grouped into messages."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import ChannelNotOffered
from kucoin_research.exchange.topics import (
    SYMBOLS_PER_MESSAGE,
    Topic,
    group_topics,
    subscribed_topic,
    topics_for,
)
from kucoin_research.exchange.websocket.decode_classic import Broken, Decoder
from kucoin_research.model.channels import CANDLE_INTERVALS, Channel, Market, parse_channel
from kucoin_research.model.records import CHANNELS

FUTURES, SPOT = Market.FUTURES, Market.SPOT

# Of KuCoin's classic WebSocket documentation (https://www.kucoin.com/docs-new, read 2026-11).
OFFERED = {
    (FUTURES, "ticker"): ["/contractMarket/ticker:XBTUSDTM"],
    (FUTURES, "bbo"): ["/contractMarket/tickerV2:XBTUSDTM"],
    (FUTURES, "trade"): ["/contractMarket/execution:XBTUSDTM"],
    (FUTURES, "candle"): ["/contractMarket/limitCandle:XBTUSDTM_1min"],
    (FUTURES, "level2"): ["/contractMarket/level2:XBTUSDTM"],
    (FUTURES, "depth5"): ["/contractMarket/level2Depth5:XBTUSDTM"],
    (FUTURES, "depth50"): ["/contractMarket/level2Depth50:XBTUSDTM"],
    (FUTURES, "mark_price"): ["/contract/instrument:XBTUSDTM"],
    (FUTURES, "funding_rate"): [
        "/contract/instrument:XBTUSDTM",
        "/contract/announcement:XBTUSDTM",
    ],
    (FUTURES, "snapshot"): ["/contractMarket/snapshot:XBTUSDTM"],
    (FUTURES, "order"): ["/contractMarket/tradeOrders"],
    (FUTURES, "fill"): ["/contractMarket/tradeOrders"],
    (FUTURES, "balance"): ["/contractAccount/wallet"],
    (FUTURES, "position"): ["/contract/positionAll"],
    (FUTURES, "stop_order"): ["/contractMarket/advancedOrders"],
    (FUTURES, "leverage"): ["/contract/marginMode", "/contract/crossLeverage"],
    (FUTURES, "status"): [],
    (SPOT, "ticker"): ["/market/ticker:BTC-USDT"],
    (SPOT, "bbo"): ["/spotMarket/level1:BTC-USDT"],
    (SPOT, "trade"): ["/market/match:BTC-USDT"],
    (SPOT, "candle"): ["/market/candles:BTC-USDT_1min"],
    (SPOT, "level2"): ["/market/level2:BTC-USDT"],
    (SPOT, "depth5"): ["/spotMarket/level2Depth5:BTC-USDT"],
    (SPOT, "depth50"): ["/spotMarket/level2Depth50:BTC-USDT"],
    (SPOT, "mark_price"): ["/indicator/markPrice:BTC-USDT", "/indicator/index:BTC-USDT"],
    (SPOT, "snapshot"): ["/market/snapshot:BTC-USDT"],
    (SPOT, "order"): ["/spotMarket/tradeOrdersV2"],
    (SPOT, "fill"): ["/spotMarket/tradeOrdersV2"],
    (SPOT, "balance"): ["/account/balance"],
    (SPOT, "stop_order"): ["/spotMarket/advancedOrders"],
    (SPOT, "margin"): ["/margin/position", "/margin/isolatedPosition:BTC-USDT"],
    (SPOT, "status"): [],
}
SYMBOL = {FUTURES: "XBTUSDTM", SPOT: "BTC-USDT"}


@pytest.mark.parametrize(("market", "channel"), OFFERED, ids=str)
def test_channel_is_carried_by_its_topics(market, channel):
    topics = topics_for(parse_channel(channel), SYMBOL[market], market)

    assert [str(topic) for topic in topics] == OFFERED[market, channel]


def test_the_channels_of_futures_and_margin_are_not_offered_elsewhere():
    missing = {(market, name) for market in Market for name in CHANNELS} - set(OFFERED)

    assert missing == {
        (SPOT, "funding_rate"), (SPOT, "position"), (SPOT, "leverage"), (FUTURES, "margin"),
    }  # fmt: skip


def test_channel_not_offered_says_what_is():
    with pytest.raises(ChannelNotOffered) as caught:
        topics_for(Channel("funding_rate"), "BTC-USDT", SPOT)

    assert str(caught.value) == (
        "KuCoin has no 'funding_rate' channel on spot, so BTC-USDT cannot stream it; "
        "channels there: ticker, bbo, trade, candle, level2, depth5, depth50, mark_price, "
        "snapshot, order, fill, balance, stop_order, margin"
    )


@pytest.mark.parametrize("market", Market)
def test_candle_topic_ends_in_the_interval(market):
    missing = {FUTURES: "6hour", SPOT: "1month"}[market]

    keys = [
        topics_for(Channel("candle", interval), SYMBOL[market], market)[0].key
        for interval in CANDLE_INTERVALS
        if interval != missing
    ]

    assert keys == [f"{SYMBOL[market]}_{each}" for each in CANDLE_INTERVALS if each != missing]


@pytest.mark.parametrize(("market", "interval"), [(FUTURES, "6hour"), (SPOT, "1month")])
def test_interval_of_the_other_market_is_refused(market, interval):
    with pytest.raises(ChannelNotOffered, match=f"no {interval} candles on {market}"):
        topics_for(Channel("candle", interval), SYMBOL[market], market)


@pytest.mark.parametrize(("market", "channel"), OFFERED, ids=str)
def test_every_topic_is_known_to_the_decoder(market, channel):
    decoder = Decoder(market)

    for topic in OFFERED[market, channel]:
        item = decoder.decode(b'{"topic":"%s","data":5}' % topic.encode(), 1)

        assert isinstance(item, Broken)
        assert "$.data" in item.reason  # found its type, and only the data did not fit


@pytest.mark.parametrize(("market", "channel"), OFFERED, ids=str)
def test_private_topics_are_those_of_private_channels(market, channel):
    parsed = parse_channel(channel)

    topics = topics_for(parsed, SYMBOL[market], market)

    assert all(topic.is_private == parsed.is_private for topic in topics)


def test_all_symbols_leave_out_the_topic_that_wants_one():
    assert topics_for(Channel("margin"), "*", SPOT) == [Topic("/margin/position", "")]
    assert topics_for(Channel("order"), "*", FUTURES) == [Topic("/contractMarket/tradeOrders", "")]


@pytest.mark.parametrize(
    ("pushed", "asked"),
    [
        ("/contract/position:XBTUSDTM", "/contract/positionAll"),
        ("/contractMarket/tradeOrders:XBTUSDTM", "/contractMarket/tradeOrders"),
        ("/account/balance", "/account/balance"),
        ("/margin/isolatedPosition:BTC-USDT", "/margin/isolatedPosition:BTC-USDT"),
        ("/market/ticker:BTC-USDT", "/market/ticker:BTC-USDT"),
        ("", ""),
    ],
)
def test_a_pushed_topic_leads_to_the_one_asked_for(pushed, asked):
    assert subscribed_topic(pushed) == asked


def test_grouping_keeps_order_and_drops_repeats():
    topics = [Topic("/a", "1"), Topic("/b", "1"), Topic("/a", "2"), Topic("/a", "1")]

    assert group_topics(topics) == [
        [Topic("/a", "1"), Topic("/a", "2")],
        [Topic("/b", "1")],
    ]


def test_grouping_nothing_gives_no_message():
    assert group_topics([]) == []


@given(st.lists(st.builds(Topic, st.sampled_from("abc"), st.integers(0, 300).map(str))))
def test_groups_have_one_prefix_fit_one_message_and_hold_every_topic_once(topics):
    groups = group_topics(iter(topics), 7)

    assert all(len({topic.prefix for topic in group}) == 1 for group in groups)
    assert all(1 <= len(group) <= 7 for group in groups)
    assert sorted(chain.from_iterable(groups)) == sorted(set(topics))


def test_a_message_holds_at_most_one_hundred_symbols():
    groups = group_topics(Topic("/market/ticker", f"A{number}-USDT") for number in range(250))

    assert SYMBOLS_PER_MESSAGE == 100
    assert [len(group) for group in groups] == [100, 100, 50]
