"""What is served from a recording is JSON whatever texts the recording holds."""

import json

import pytest

from kucoin_research.model.records import CHANNELS, Column, columns_of
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.classic import feed_of
from kucoin_research.sim.messages.feed import Wire
from kucoin_research.sim.messages.topics import PUBLIC_TOPICS, Topic
from kucoin_research.sim.recorded.messages import Change, book_frame, shapes_of
from tests.unit.rows import NOON

PREFIXES = (
    "/contractMarket/execution",
    "/contractMarket/ticker",
    "/contractMarket/tickerV2",
    "/contractMarket/level2Depth5",
    "/contractMarket/level2Depth50",
    "/contractMarket/limitCandle",
    "/contract/instrument",
    "/contract/announcement",
    "/contractMarket/snapshot",
    "/market/match",
    "/spotMarket/level1",
    "/market/ticker",
    "/spotMarket/level2Depth5",
    "/spotMarket/level2Depth50",
    "/market/candles",
    "/market/snapshot",
    "/indicator/markPrice",
    "/indicator/index",
)
TEXTS = ['X","y":"', '"-"', "a\\", "a\n-\x00", "币安人生-USDT", "\u2028", ""]
BEFORE_SETTLEMENT = 1_767_599_990 * 10**9  # ten seconds before one
FULL = {
    Column.TIME: NOON,
    Column.INTEGER: 2**60,
    Column.NUMBER: 1e-9,
    Column.NUMBERS: (1.0, 2.0),
    Column.SIDE: "buy",
    Column.FLAG: True,
}
EMPTY = {Column.NUMBERS: ()}


@pytest.mark.parametrize("values", [FULL, EMPTY], ids=["full", "empty"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_row_is_told_as_json_whatever_its_texts(prefix, values):
    shapes = shapes_of(Topic(prefix))
    assert shapes

    for shape in shapes:
        for text in TEXTS:
            row = row_of(shape.channel, values, text)
            if shape.fits(row):
                frame = json.loads(shape.spell(f"{prefix}:{text}", row))
                assert frame["topic"] == f"{prefix}:{text}"
                data = frame["data"].get("data", frame["data"])
                assert data.get("symbol", text) == text


def fields(text):
    """The names in a frame, one below the other."""
    frame = json.loads(text)
    data = frame["data"]
    inner = data.get("data")
    return [sorted(each) for each in (frame, data, inner) if each is not None]


@pytest.fixture(scope="module")
def simulated():
    """The fields of each frame that the simulated exchange sends, by its prefix and subject."""
    found = {}
    for market, symbol in (("futures", "XBTUSDTM"), ("spot", "BTC-USDT")):
        engine = Market(LISTINGS[symbol], 7, BEFORE_SETTLEMENT)
        topics = [
            Topic(prefix, symbol, "1min" if prefix.endswith(("Candle", "candles")) else "")
            for prefix in PUBLIC_TOPICS[market]
        ]
        feeds = {topic.prefix: feed_of(topic, engine, Wire()) for topic in topics}
        for second in range(1, 62):
            now = BEFORE_SETTLEMENT + second * 10**9
            events = engine.advance(now)
            for prefix, feed in feeds.items():
                sent = [] if feed is None else [*feed.on_events(events), *feed.on_grid(now)]
                found |= {(prefix, json.loads(text)["subject"]): fields(text) for _, text in sent}
    return found


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_recorded_frame_has_the_fields_of_a_simulated_one(simulated, prefix):
    seen = 0
    for shape in shapes_of(Topic(prefix)):
        for values in (FULL, EMPTY | {Column.TIME: NOON}):
            row = row_of(shape.channel, values, "X")
            if shape.fits(row):
                text = shape.spell(f"{prefix}:X", row)
                subject = json.loads(text)["subject"]
                assert fields(text) == simulated[prefix, subject]
                seen += 1

    assert seen


def row_of(channel, values, text):
    kinds = columns_of(CHANNELS[channel])
    texts = {Column.LABEL: text, Column.TEXT: text}
    of_kind = texts | values if values is FULL else values
    row = {name: of_kind.get(kind) for name, kind in kinds.items()}
    return tuple((row | {"local_timestamp": NOON, "symbol": text}).values())


@pytest.mark.parametrize("prices", range(3))
def test_a_level_without_its_size_is_none(prices):
    shape = shapes_of(Topic("/spotMarket/level2Depth5"))[0]
    row = list(row_of("depth5", EMPTY, "X"))
    row[4 : 4 + prices] = [float(price) for price in range(prices)]
    row[9] = 7.0

    bids = json.loads(shape.spell("/x", tuple(row)))["data"]["bids"]

    assert bids == [["0", "7"]][:prices]


@pytest.mark.parametrize("market", ["futures", "spot"])
@pytest.mark.parametrize("symbol", TEXTS)
def test_changes_are_told_as_json_whatever_the_symbol(market, symbol):
    changes = [Change(7, "buy", 1.5, 2.0), Change(8, "sell", 1.6, 0.0)]

    frames = [
        json.loads(text)
        for _, text in book_frame(f"/x:{symbol}", market, symbol, (7, 8), changes, None)
    ]

    assert {each["topic"] for each in frames} == {f"/x:{symbol}"}
