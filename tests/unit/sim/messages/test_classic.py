"""Every public topic's frames have the shape of the samples in the protocol reference (6, 7).

Where frames of 2026-10-03 differ from those, they have the shape of these.
"""

import json
import re

import pytest

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.classic import feed_of
from kucoin_research.sim.messages.feed import Wire, number, plain
from kucoin_research.sim.messages.instrument_rows import contract_row
from kucoin_research.sim.messages.topics import Topic
from tests.unit.sim.client import TOPICS, open_exchange, record

# The samples of the reference, symbols put in; lists shortened to their first element.
SAMPLES = """
{"topic":"/contractMarket/tickerV2:XBTUSDTM","type":"message","subject":"tickerV2","sn":1709284589209,"data":{"symbol":"XBTUSDTM","sequence":1709284589209,"bestBidSize":713,"bestBidPrice":"88987.4","bestAskPrice":"88987.5","bestAskSize":1037,"ts":1731665526461000000}}
{"topic":"/contractMarket/ticker:XBTUSDTM","type":"message","subject":"ticker","sn":1793133570931,"data":{"symbol":"XBTUSDTM","sequence":1793133570931,"side":"sell","size":1,"price":"90147.7","bestBidSize":2186,"bestBidPrice":"90147.7","bestAskPrice":"90147.8","tradeId":"1793133570931","bestAskSize":275,"ts":1731679215637000000}}
{"topic":"/contractMarket/level2:XBTUSDTM","type":"message","subject":"level2","sn":1747821025244,"data":{"sequence":1747821025244,"change":"83614,buy,12","timestamp":1790113097240}}
{"topic":"/contractMarket/level2Depth5:XBTUSDTM","type":"message","subject":"level2","sn":1790114460610,"data":{"sequence":1736604716188,"asks":[["2749.69",44]],"bids":[["2749.68",241]],"timestamp":1790114460610,"ts":1790114460610}}
{"topic":"/contractMarket/level2Depth50:XBTUSDTM","type":"message","subject":"level2","sn":1790114460610,"data":{"sequence":1736604716188,"asks":[["2749.69",44]],"bids":[["2749.68",241]],"timestamp":1790114460610,"ts":1790114460610}}
{"topic":"/contractMarket/execution:XBTUSDTM","type":"message","subject":"match","sn":1794100537695,"data":{"symbol":"XBTUSDTM","sequence":1794100537695,"side":"buy","size":2,"price":"90503.9","takerOrderId":"247822202957807616","makerOrderId":"247822167163555840","tradeId":"1794100537695","ts":1731898619520000000}}
{"topic":"/contractMarket/limitCandle:XBTUSDTM_1min","type":"message","subject":"candle.stick","data":{"symbol":"XBTUSDTM","candles":["1731898200","90638.6","90638.6","90638.6","90638.6","21.0","21"],"time":1731898208357}}
{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"mark.index.price","data":{"markPrice":86201.79,"indexPrice":86248.81,"granularity":1000,"timestamp":1790113097000}}
{"topic":"/contract/instrument:XBTUSDTM","type":"message","subject":"funding.rate","data":{"period":1,"granularity":60000,"fundingRate":-0.000076,"timestamp":1790114460000}}
{"type":"message","topic":"/contract/announcement","subject":"funding.end","data":{"symbol":"XBTUSDTM","fundingTime":1551770400000,"fundingRate":-0.002966,"timestamp":1551770410000}}
{"topic":"/contractMarket/snapshot:XBTUSDTM","type":"message","subject":"snapshot.24h","data":{"fundingRate":-0.000002,"highPrice":91512.8,"lastPrice":90326.7,"lowPrice":88747.8,"price24HoursBefore":89880.4,"priceChg":446.3,"priceChgPct":0.0049,"symbol":"XBTUSDTM","ts":1731900415023929239,"turnover":526928331.0482177734,"volume":5834.46}}
{"topic":"/market/ticker:BTC-USDT","type":"message","subject":"trade.ticker","data":{"sequence":"14691455768","price":"67220","size":"0.00004316","bestAsk":"67218.7","bestAskSize":"1.92318539","bestBid":"67218.6","bestBidSize":"0.01045638","time":1729757723612}}
{"topic":"/market/ticker:all","type":"message","subject":"BTC-USDT","data":{"bestAsk":"67218.7","bestAskSize":"1.92318539","bestBid":"67218.6","bestBidSize":"0.01045638","price":"67220","sequence":"14691455768","size":"0.00004316","time":1729757723612}}
{"topic":"/spotMarket/level1:BTC-USDT","type":"message","subject":"level1","data":{"asks":["68145.8","0.51987471"],"bids":["68145.7","1.29267802"],"timestamp":1729816058766}}
{"topic":"/spotMarket/level2Depth5:BTC-USDT","type":"message","subject":"level2","data":{"asks":[["67996.7","1.14213262"]],"bids":[["67996.6","0.37969491"]],"timestamp":1729822226746}}
{"topic":"/spotMarket/level2Depth50:BTC-USDT","type":"message","subject":"level2","data":{"asks":[["67996.7","1.14213262"]],"bids":[["67996.6","0.37969491"]],"timestamp":1729822226746}}
{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":{"asks":[["67993.3","1.21427407","14701689783"]],"bids":[]},"sequenceEnd":14701689783,"sequenceStart":14701689783,"symbol":"BTC-USDT","time":1729816425625}}
{"topic":"/market/match:BTC-USDT","type":"message","subject":"trade.l3match","data":{"makerOrderId":"671b5007389355000701b1d3","price":"67523","sequence":"11067996711960577","side":"buy","size":"0.003","symbol":"BTC-USDT","takerOrderId":"671b50161777ff00074c168d","time":"1729843222921000000","tradeId":"11067996711960577","type":"match"}}
{"topic":"/market/candles:BTC-USDT_1min","type":"message","subject":"trade.candles.update","data":{"symbol":"BTC-USDT","candles":["1729839600","67644.9","67437.6","67724.8","67243.8","44.88321441","3027558.991928447"],"time":1729842192785164840}}
{"type":"message","topic":"/indicator/markPrice:BTC-USDT","subject":"tick","data":{"symbol":"USDT-BTC","granularity":1000,"timestamp":1714769146000,"value":0.00001588}}
"""
SNAPSHOT = """
askSize averagePrice baseCurrency bidSize board buy changePrice changeRate close datetime high
lastTradedPrice low makerCoefficient makerFeeRate marginTrade mark market marketChange1h
marketChange4h marketChange24h markets open quoteCurrency sell siteTypes sort symbol symbolCode
takerCoefficient takerFeeRate trading vol volValue lastSize sequence
"""


@pytest.fixture(scope="module")
def frames():
    """The newest frame of each topic and subject, over a virtual minute of each market."""
    found = {}
    for market, topics in TOPICS.items():
        with open_exchange() as exchange, record(exchange, market, topics, 62) as client:
            for text in client.frames:
                frame = json.loads(text)
                if frame["type"] == "message":
                    found[frame["topic"], frame["subject"]] = frame
    return found


def shape(value):
    """Types and digits of the numbers that are times; what is in a list counts once."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_time = isinstance(value, int) and value > 10**11
        return f"{len(str(value))} digits" if is_time else "number"
    return type(value).__name__


@pytest.mark.parametrize("sample", SAMPLES.strip().splitlines(), ids=lambda text: text[10:50])
def test_frames_have_the_shape_of_the_samples(frames, sample):
    wanted = json.loads(sample)

    frame = frames[wanted["topic"], wanted["subject"]]

    for changes in (frame["data"].get("changes"), wanted["data"].get("changes")):
        if changes:  # which side changed is chance
            changes["asks"] = changes["bids"] = changes["asks"] or changes["bids"]
    assert shape(frame) == shape(wanted)


def test_spot_snapshot_has_every_field_twice_wrapped(frames):
    for topic, symbol in (
        ("/market/snapshot:BTC-USDT", "BTC-USDT"),
        ("/market/snapshot:BTC", None),
    ):
        outer = frames[topic, "trade.snapshot"]["data"]

        # The topic of a market has no sequence of its own: KuCoin sends the time.
        inner = outer["data"]
        assert outer["sequence"] == str(inner["sequence"] if symbol else inner["datetime"])
        assert outer["data"]["sequence"].isdigit()
        assert sorted(outer["data"]) == sorted(SNAPSHOT.split())
        assert symbol in (None, outer["data"]["symbol"])
        for hours in (1, 4, 24):
            assert sorted(outer["data"][f"marketChange{hours}h"]) == sorted(
                ["changePrice", "changeRate", "high", "low", "open", "vol", "volValue"]
            )


def pushed(topic):
    """The frame of a topic a minute after its market's start, and the market."""
    prefix, _, symbol = topic.partition(":")
    engine = Market(LISTINGS[symbol], 7, 1_767_571_200 * 10**9)
    engine.advance(engine.now_ns + 60 * 10**9)
    feed = feed_of(Topic(prefix, symbol), engine, Wire())
    [(_, text)] = feed.on_grid(engine.now_ns)
    return json.loads(text)["data"], engine


def test_a_futures_snapshot_has_the_funding_rate_of_its_contract():
    data, engine = pushed("/contractMarket/snapshot:XBTUSDTM")

    contract = contract_row(engine.listing, engine, engine.now_ns)
    assert data["fundingRate"] == contract["fundingFeeRate"] != 0


def test_a_spot_snapshot_has_the_size_of_the_last_trade():
    data, engine = pushed("/market/snapshot:BTC-USDT")

    assert data["data"]["lastSize"] == engine.size_number(engine.last_trade.size)
    assert data["data"]["lastTradedPrice"] == engine.price(engine.last_trade.price_ticks)


def test_index_5_of_a_futures_candle_is_its_turnover(frames):
    [candle] = [f["data"]["candles"] for (t, _), f in frames.items() if "limitCandle" in t]
    high, low, turnover, volume = map(float, candle[3:])

    assert low <= turnover / (volume * 0.001) <= high


def test_depth_frames_are_as_deep_as_their_name(frames):
    for depth in (5, 50):
        for prefix in ("/contractMarket", "/spotMarket"):
            [frame] = [
                f for (t, _), f in frames.items() if t.startswith(f"{prefix}/level2Depth{depth}:")
            ]
            asks = [float(price) for price, _ in frame["data"]["asks"]]
            bids = [float(price) for price, _ in frame["data"]["bids"]]

            assert len(asks) == len(bids) == depth
            assert asks == sorted(asks)
            assert bids == sorted(bids, reverse=True)
            assert bids[0] < asks[0]


def test_sn_is_the_sequence_except_on_depth_frames(frames):
    for (topic, _), frame in frames.items():
        if "sn" in frame:
            key = "timestamp" if "level2Depth" in topic else "sequence"
            assert frame["sn"] == frame["data"][key]


def test_texts_are_plain_decimals(frames):
    for (topic, _), frame in frames.items():
        if "/candles" in topic or "limitCandle" in topic:
            assert all(re.fullmatch(r"\d+(\.\d+)?", text) for text in frame["data"]["candles"])


@pytest.mark.parametrize(
    ("value", "json_number", "text"),
    [
        (66968.0, "66968", "66968"),
        (0.00001588, "1.588e-05", "0.00001588"),
        (0.1 + 0.2, "0.3", "0.3"),
        (-0.5, "-0.5", "-0.5"),
        (0.0, "0", "0"),
    ],
)
def test_numbers_are_spelled_short(value, json_number, text):
    assert number(value) == json_number
    assert plain(value) == text


def test_spot_numbers_count_fillers_without_holes():
    engine = Market(LISTINGS["ETH-BTC"], 7, 1_767_571_200 * 10**9)
    wire = Wire()

    numbers = []
    for sequence in range(1_000, 1_010):
        numbers.append(wire.change_sequence(engine, sequence))
        if wire.has_filler(sequence):
            numbers.append(numbers[-1] + 1)

    assert numbers == list(range(1_500, 1_515))


def test_frame_ids_are_seeded():
    assert Wire(seed=1).frame_id("/a", 5) == Wire(seed=1).frame_id("/a", 5)
    assert Wire(seed=1).frame_id("/a", 5) != Wire(seed=2).frame_id("/a", 5)
    assert len(Wire().frame_id("/a", 1_767_571_200 * 10**9)) == 24


def test_a_new_bar_can_be_announced():
    topic = "/market/candles:BTC-USDT_1min"
    with (
        open_exchange(candle_add=True) as exchange,
        record(exchange, "spot", {topic}, 70) as client,
    ):
        subjects = [message["subject"] for message in client.messages(topic)]

    assert subjects.count("trade.candles.add") == 1
    assert "trade.candles.update" in subjects
