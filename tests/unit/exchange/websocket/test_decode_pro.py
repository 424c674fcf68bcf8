"""The decoder of the pro feed: each sample, its variations, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.exchange.websocket.decode_classic import (
    Broken,
    ControlMessage,
    Decoded,
    Ignored,
)
from kucoin_research.exchange.websocket.decode_pro import ProDecoder
from kucoin_research.model.channels import Market
from kucoin_research.model.orderbook import BookChange, BookDelta, BookSnapshot
from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    MarkPrice,
    Ticker,
    Trade,
    columns_of,
)

PAYLOADS = Path(__file__).parents[3] / "payloads" / "ws" / "pro"
SAMPLES = {path.stem: path.read_bytes().strip() for path in sorted(PAYLOADS.glob("*.json"))}
LOCAL = 1_790_000_000_000_000_001
FUTURES, SPOT = Market.FUTURES, Market.SPOT
SESSION = "e8e46556-ae1d-4871-be0b-4efeaa5f2f6a"
ETH, XBT, BTC = "ETHUSDTM", "XBTUSDTM", "BTC-USDT"
MATCHED, PUSHED = 1790114460661000000, 1790114460671676191

GOLDEN = {
    "welcome": ControlMessage("welcome", SESSION, ping_interval_ms=18_000),
    "welcome_data": ControlMessage("welcome", SESSION, ping_interval_ms=18_000),
    "ack": ControlMessage("ack", "p1"),
    "pong": ControlMessage("pong", "p32", timestamp=1790113111261396000),
    "refused_message": ControlMessage("error", "p1", None, "invalid request data"),
    "refused_reason": ControlMessage(
        "error", "p1", None, "symbols are not supported for topic obu"
    ),
    "refused_product": ControlMessage(
        "error", "p1", None, 'topic Obu type = "public_spot" not allowed in current environment'
    ),
    "obu_snapshot": BookSnapshot(
        ETH, 1736604716203, MATCHED,
        ((2749.68, 277.0), (2749.61, 45.0)), ((2749.69, 96.0), (2749.7, 102.0)),
    ),
    "obu_delta": BookDelta(
        1790114459839000000, XBT, 1747821262584, 1747821262585,
        (
            BookChange(1747821262585, "buy", 85973.3, 16236.0),
            BookChange(1747821262585, "buy", 85887.1, 98.0),
        ),
    ),
    "obu_1": BestBidOffer(MATCHED, LOCAL, ETH, 1736604716203, 2749.68, 277.0, 2749.69, 96.0),
    "obu_5": Depth5(
        PUSHED, LOCAL, ETH, 1736604716203,
        2749.68, 2749.61, None, None, None, 277.0, 45.0, None, None, None,
        2749.69, 2749.7, None, None, None, 96.0, 102.0, None, None, None,
    ),
    "obu_50": Depth50(
        PUSHED, LOCAL, ETH, 1736604716203,
        (2749.68, 2749.61), (277.0, 45.0), (2749.69, 2749.7), (96.0, 102.0),
    ),
    "mark_price": MarkPrice(1790113097000000000, LOCAL, XBT, 86201.79, 86248.81),
    "funding_fee": FundingRate(1790114460967760880, LOCAL, XBT, -0.000076, 28_800_000),
    "ticker": Ticker(
        1768206966096000000, LOCAL, BTC, 25958853459, 90968.2, 0.00109929, "buy",
        90968.1, 0.02052839, 90968.2, 0.97675941,
    ),
    "trade": Trade(
        1768802538480000000, LOCAL, BTC, 20631804219899904, "20631804219899904", "sell",
        92525.6, 0.00008036,
    ),
    "kline": Candle(
        1768210980000000000, LOCAL, BTC, "1min",
        90861.3, 90861.3, 90861.2, 90861.2, 1.87659044, 170509.259492364,
    ),
}  # fmt: skip


def market_of(payload):
    return SPOT if b".SPOT" in payload else FUTURES


def decode(payload, market=None):
    if not isinstance(payload, bytes):
        payload = json.dumps(payload, separators=(",", ":")).encode()
    return ProDecoder(market or market_of(payload)).decode(payload, LOCAL)


def sample(name, *, data=None, **changes):
    value = json.loads(SAMPLES[name]) | changes
    return value | {"d": value["d"] | (data or {})}


# -- golden --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_becomes_its_value(name):
    assert decode(SAMPLES[name]) == GOLDEN[name]


@pytest.mark.parametrize("name", [name for name in SAMPLES if b'"T"' in SAMPLES[name]])
def test_order_of_keys_and_spaces_do_not_matter(name):
    value = json.loads(SAMPLES[name])
    turned = {key: value[key] for key in reversed(value)}

    assert decode(json.dumps(turned, indent=1).encode(), market_of(SAMPLES[name])) == GOLDEN[name]


def test_integers_beyond_double_precision_are_exact():
    item = decode(sample("trade", data={"E": 2**53 + 1, "M": 1768802538480000001, "ti": 2**53 + 1}))

    assert item.sequence == 2**53 + 1
    assert item.timestamp == 1768802538480000001
    assert item.trade_id == str(2**53 + 1)


@pytest.mark.parametrize(("said", "side"), [("BUY", "buy"), ("Sell", "sell"), (None, None)])
def test_sides_come_in_any_case(said, side):
    assert decode(sample("trade", data={"S": said})).side == side


@pytest.mark.parametrize("result", ["true", True])
def test_an_answer_may_be_text(result):
    assert decode({"id": 7, "result": result}, FUTURES) == ControlMessage("ack", "7")


def test_a_refusal_needs_no_result():
    refused = {"id": "p1", "reason": "symbols are not supported for topic obu"}

    assert decode(refused, SPOT) == ControlMessage("error", "p1", None, refused["reason"])


def test_the_simulated_exchange_tells_its_speed():
    welcome = json.loads(SAMPLES["welcome"]) | {"simulation": {"speed": 60.0, "seed": 7}}

    assert decode(welcome, SPOT).speed == 60.0


def test_a_missing_value_is_none():
    assert decode({"T": "ticker.SPOT", "d": {"s": BTC, "E": 5}}) == Ticker(
        None, LOCAL, BTC, 5, *[None] * 7
    )


def test_an_empty_side_of_the_top_is_none():
    item = decode(sample("obu_1", data={"a": []}))

    assert (item.best_ask_price, item.best_ask_size) == (None, None)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("ticker", {"l": "0", "q": "0", "b": "0", "B": "0", "a": "0.00", "A": "0"},
         {"price": None, "size": 0.0, "best_bid_price": None, "best_bid_size": 0.0,
          "best_ask_price": None, "best_ask_size": 0.0}),
        ("trade", {"p": "0", "q": "0"}, {"price": None, "size": 0.0}),
        ("kline", {"o": "0", "h": "0", "l": "0", "c": "0", "v": "0", "a": "0"},
         {"open": None, "high": None, "low": None, "close": None, "volume": 0.0, "turnover": 0.0}),
        ("obu_1", {"b": [["0", "0"]], "a": None},
         {"best_bid_price": None, "best_bid_size": 0.0, "best_ask_price": None,
          "best_ask_size": None}),
        ("obu_5", {"b": [["0", "0"], ["9", "0"]], "a": None},
         {"bid_price_1": 9.0, "bid_size_1": 0.0, "bid_price_2": None, "ask_price_1": None}),
        ("obu_50", {"b": [["0", "0"], ["9", "0"]], "a": None},
         {"bid_prices": (9.0,), "bid_sizes": (0.0,), "ask_prices": (), "ask_sizes": ()}),
        ("obu_snapshot", {"b": [["9", "1"], ["0", "0"]], "a": None},
         {"bids": ((9.0, 1.0),), "asks": ()}),
        ("obu_delta", {"b": None, "a": [["9", "0"], ["0", "0"]]},
         {"changes": (BookChange(1747821262585, "sell", 9.0, 0.0),)}),
        ("mark_price", {"mp": "0", "ip": "0"}, {"mark_price": None, "index_price": None}),
        ("funding_fee", {"fr": "0"}, {"funding_rate": 0.0}),
    ],
)  # fmt: skip
def test_a_price_of_zero_is_none_and_a_size_of_zero_is_a_size(name, data, expected):
    item = decode(sample(name, data=data))

    assert {column: getattr(item, column) for column in expected} == expected


def test_a_depth_that_we_do_not_ask_for_is_ignored():
    assert decode(sample("obu_5", dp="20")) == Ignored("obu/20")


def test_a_depth_may_be_a_number():
    assert decode(sample("obu_5", dp=5)) == GOLDEN["obu_5"]


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "topic"),
    [
        (b"", None),
        (b"welcome", None),
        (b"{}", None),
        ({"T": "depth.FUTURES", "d": {"s": XBT}}, "depth:XBTUSDTM"),
        ({"T": "trade.SPOT", "d": {}}, "trade.SPOT"),
        (sample("trade", data={"S": "maker"}), "trade:BTC-USDT"),
        (sample("trade", data={"p": "NaN"}), "trade:BTC-USDT"),
        (sample("trade", data={"E": 2**63}), "trade:BTC-USDT"),
        (sample("kline", data={"O": -1}), "kline:BTC-USDT_1min"),
        (sample("obu_delta", data={"C": 1747821262583}), "obu/increment@10ms:XBTUSDTM"),
        (sample("obu_delta", data={"O": None}), "obu/increment@10ms:XBTUSDTM"),
        (sample("obu_delta", t="news"), "obu/increment@10ms:XBTUSDTM"),
        (sample("obu_delta", data={"b": [["1", "-1"]]}), "obu/increment@10ms:XBTUSDTM"),
    ],
)
def test_what_cannot_be_right_is_broken_and_names_its_topic(payload, topic):
    item = decode(payload)

    assert isinstance(item, Broken)
    assert item.topic == topic
    assert item.reason


def test_a_message_of_the_other_product_is_broken():
    assert isinstance(decode(SAMPLES["obu_delta"], SPOT), Broken)
    assert isinstance(decode(SAMPLES["mark_price"], SPOT), Broken)


# -- properties ----------------------------------------------------------------------------------

DECLARED = tuple(kind for part in get_args(Decoded) for kind in (get_args(part) or (part,)))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["nan", "inf", "1e400", "-1", "snapshot", "delta", "welcome", "BUY", 10**400]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from("TPdtsabABCOMESlqpi"), inner, max_size=4)
    ),
    max_leaves=8,
)


def check(payload):
    for market in Market:
        item = ProDecoder(market).decode(payload, LOCAL)
        assert isinstance(item, DECLARED)
        if hasattr(item, "local_timestamp"):
            assert set(columns_of(type(item))) == set(item._fields)
            assert item.side in ("buy", "sell", None) if hasattr(item, "side") else True


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_decode_to_a_declared_value(payload):
    check(payload)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_samples_with_values_replaced_decode_to_a_declared_value(name, data):
    value = json.loads(SAMPLES[name])
    inside = value.get("d", value) if data.draw(st.booleans()) else value
    inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(values)

    check(json.dumps(value, separators=(",", ":")).encode())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_samples_with_bytes_damaged_decode_to_a_declared_value(name, data):
    payload = SAMPLES[name]
    start = data.draw(st.integers(0, len(payload)))
    damage = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"]", b"e9"]))

    check(payload[:start] + damage + payload[start + data.draw(st.integers(0, 5)) :])


@pytest.mark.parametrize("opening", [b"[", b'{"d":', b'{"T":"trade.SPOT","d":{"x":'])
def test_deep_nesting_is_broken(opening):
    check(opening * 100_000)
