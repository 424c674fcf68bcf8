"""Markets and the names of channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput, UnknownChannel
from kucoin_research.model.channels import (
    CANDLE_INTERVALS,
    Channel,
    Market,
    market_of,
    parse_channel,
)
from kucoin_research.model.records import CHANNELS

# Markets


@pytest.mark.parametrize(
    ("symbol", "market", "expected"),
    [
        ("XBTUSDTM", None, Market.FUTURES),
        ("BTC-USDT", None, Market.SPOT),
        (".KXBTUSDT", None, Market.FUTURES),
        ("BTC-USDT", "futures", Market.FUTURES),
        ("XBTUSDTM", "Spot", Market.SPOT),
        ("XBTUSDTM", Market.SPOT, Market.SPOT),
    ],
)
def test_a_hyphen_means_spot_unless_a_market_is_named(symbol, market, expected):
    assert market_of(symbol, market) is expected


@pytest.mark.parametrize("market", ["", "margin", 5])
def test_unknown_market_is_refused(market):
    with pytest.raises(InvalidInput, match="market must be 'futures' or 'spot', not"):
        market_of("XBTUSDTM", market)


# Channel names


@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "candle"])
def test_channel_is_read_by_its_name(name):
    assert parse_channel(name) == Channel(name)
    assert parse_channel(f" {name.upper()} ") == Channel(name)
    assert str(parse_channel(name)) == name


@pytest.mark.parametrize(
    ("alias", "channel"),
    [
        ("depth", Channel("level2")),
        ("level1", Channel("bbo")),
        ("trades", Channel("trade")),
        ("candles", Channel("candle", "1min")),
        ("candle", Channel("candle", "1min")),
        ("candles:1hour", Channel("candle", "1hour")),
        ("Candle:5MIN", Channel("candle", "5min")),
    ],
)
def test_aliases_are_read(alias, channel):
    assert parse_channel(alias) == channel


@pytest.mark.parametrize("interval", CANDLE_INTERVALS)
def test_candle_reads_back_its_own_text(interval):
    channel = Channel("candle", interval)

    assert parse_channel(str(channel)) == channel


@pytest.mark.parametrize("text", ["5m", "5 min", "5 minutes", "300s", "5MIN"])
def test_a_candles_interval_may_be_written_in_many_ways(text):
    assert parse_channel(f"candle:{text}") == parse_channel("candle:5min")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tiker", "no channel 'tiker'; did you mean 'ticker'? channels: ticker, bbo, trade,"),
        ("depth20", "no channel 'depth20'; did you mean 'depth"),
        ("mark-price", "did you mean 'mark_price'?"),
        ("xyzzy", "no channel 'xyzzy'; channels: ticker,"),
        ("", "no channel ''; channels: ticker,"),
        ("candle:5mn", "no candle interval '5mn'; did you mean '5min'? intervals: 1min, 3min,"),
        ("candle:7m", "no candle interval '7m'; intervals: 1min, 3min,"),
        ("candle:", "no candle interval ''; intervals: 1min,"),
        ("candle:1min:2", "no candle interval '1min:2'"),
        ("trade:5min", "channel 'trade' takes no interval, so 'trade:5min' means nothing"),
        ("trade:", "channel 'trade' takes no interval"),
        (None, "a channel is named by a string, not by NoneType None"),
        (["ticker"], "a channel is named by a string, not by list ['ticker']"),
    ],
)
def test_unknown_channel_names_near_matches(text, message):
    with pytest.raises(UnknownChannel) as caught:
        parse_channel(text)

    assert message in str(caught.value)


@given(st.text())
def test_any_text_is_a_channel_or_refused(text):
    try:
        channel = parse_channel(text)
    except UnknownChannel:
        return
    assert parse_channel(str(channel)) == channel
