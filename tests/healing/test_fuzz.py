"""Bad input: whatever comes, the feed goes on, and nothing enters the frames that should not.

The frames are made from the documented ones in ``tests/payloads`` by a seed, and fed to
``Stream.deliver`` as a connection would. What enters is read back from the frames; what it should
be is read from each message with Python's own ``json``, not with the decoder under test.
"""

from __future__ import annotations

import json
import math
import random
import tracemalloc
from pathlib import Path

import pytest

import kucoin_research as kr
from kucoin_research.exchange.topics import Feed
from kucoin_research.exchange.websocket.decode_classic import Broken, ControlMessage, Ignored
from kucoin_research.exchange.websocket.feeds import spec_of
from kucoin_research.model.channels import Market, Subscription, parse_channel
from kucoin_research.model.records import CHANNELS, schema_of
from tests.conftest import wait_until
from tests.healing.rig import Rig

PAYLOADS = Path(__file__).parents[1] / "payloads" / "ws"
FUTURES, SPOT, CLASSIC, PRO = Market.FUTURES, Market.SPOT, Feed.CLASSIC, Feed.PRO
KINDS = [(FUTURES, CLASSIC), (SPOT, CLASSIC), (FUTURES, PRO), (SPOT, PRO)]
EACH = 26_000  # frames for each of the four
BATCH = 200
STATUS_ROWS = 2_000  # at most, however much garbage comes

CHANNELS_OF = {
    (FUTURES, CLASSIC): ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50",
                         "mark_price", "funding_rate", "snapshot"],
    (SPOT, CLASSIC): ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50",
                      "mark_price", "snapshot"],
    (FUTURES, PRO): ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50",
                     "mark_price", "funding_rate"],
    (SPOT, PRO): ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50"],
}  # fmt: skip
SYMBOL = {FUTURES: "XBTUSDTM", SPOT: "BTC-USDT"}
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "-1", "0", "1e-400", "1.5",
           "18446744073709551616", "true", "null", '""', '"nan"', '"inf"', '"1e999"', "[]", "{}",
           '"\\ud800"', "99999999999"]  # fmt: skip


class NoRest:
    """A REST side that is asked for nothing: the stream under test is never started."""

    def close(self):
        pass


def originals(market, feed):
    """The documented frames of a feed, told to be of the symbol that is streamed."""
    folder = "pro" if feed is PRO else str(market)
    texts = [path.read_text() for path in sorted((PAYLOADS / folder).glob("*.json"))]
    texts += [path.read_text() for path in sorted((PAYLOADS / "session").glob("*.json"))]
    return [made_for(market, text) for text in texts]


def made_for(market, text):
    """Have a documented frame tell of the symbol and the product that are streamed."""
    for symbol in ("KCS-USDT", "XBTUSDTM", "XBTUSDM", "BTC-USDT"):
        text = text.replace(symbol, SYMBOL[market])
    for product in (".SPOT", ".FUTURES"):
        text = text.replace(product, f".{market.upper()}")
    return text


# -- making frames -------------------------------------------------------------------------------


def _swap_number(rng, text):
    places = [n for n, letter in enumerate(text) if letter.isdigit()]
    if not places:
        return text.encode()
    begin = end = rng.choice(places)
    while begin and (text[begin - 1].isdigit() or text[begin - 1] in ".-"):
        begin -= 1
    while end < len(text) and (text[end].isdigit() or text[end] == "."):
        end += 1
    is_text = begin and text[begin - 1] == '"' and text[end : end + 1] == '"'
    if is_text:
        begin, end = begin - 1, end + 1
    return (text[:begin] + rng.choice(NUMBERS) + text[end:]).encode()


def _flip_bytes(rng, text):
    raw = bytearray(text.encode())
    for _ in range(rng.randint(1, 6)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def _cut(rng, text):
    raw = text.encode()
    return raw[: rng.randrange(len(raw))]


def _join(rng, text):
    raw = text.encode()
    return raw + raw[rng.randrange(len(raw)) :]


def _leave_out(rng, text):
    frame = json.loads(text)
    inner = frame.get("data", frame.get("d"))
    target = inner if isinstance(inner, dict) and inner and rng.random() < 0.7 else frame
    del target[rng.choice(list(target))]
    return json.dumps(frame).encode()


def _retype(rng, text):
    frame = json.loads(text)
    inner = frame.get("data", frame.get("d"))
    target = inner if isinstance(inner, dict) and inner and rng.random() < 0.7 else frame
    target[rng.choice(list(target))] = _any_json(rng, 3)
    return json.dumps(frame).encode()


def _random_bytes(rng, _text):
    return rng.randbytes(rng.randrange(400))


def _random_json(rng, _text):
    return json.dumps(_any_json(rng, 5)).encode()


def _bad_utf8(rng, text):
    raw = text.encode()
    place = raw.find(b'"', rng.randrange(len(raw))) + 1
    bad = rng.choice([b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x00"])
    return raw[:place] + bad + raw[place:]


def _deep(rng, text):
    depth = rng.choice([50, 1_000, 30_000])
    value = rng.choice(
        ["[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth]
    )
    return text.replace('"data":', f'"x":{value},"data":', 1).encode()


def _huge(rng, text):
    size = rng.choice([10_000, 300_000])
    many = ",".join(['["1","2","3"]'] * (size // 14))
    value = rng.choice(['"' + "9" * size + '"', f"[{many}]", '"' + "x" * size + '"'])
    return text.replace('"data":', f'"data":{{"asks":{value}}},"y":', 1).encode()


def _as_it_is(_rng, text):
    return text.encode()


def _any_json(rng, depth):
    kind = rng.randrange(9 if depth else 7)
    if kind < 7:
        return (None, True, rng.randrange(-(10**25), 10**25), rng.uniform(-1e308, 1e308),
                "".join(map(chr, rng.choices(range(32, 300), k=rng.randrange(12)))),
                float("nan"), float("-inf"))[kind]  # fmt: skip
    if kind == 7:
        return [_any_json(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {
        rng.choice(["topic", "type", "data", "T", "d", "id", "s", "price"]): _any_json(
            rng, depth - 1
        )
        for _ in range(rng.randrange(5))
    }


MUTATIONS = {
    _swap_number: 30, _flip_bytes: 20, _cut: 8, _join: 4, _leave_out: 10, _retype: 10,
    _random_bytes: 5, _random_json: 5, _bad_utf8: 5, _as_it_is: 3, _deep: 0.2, _huge: 0.1,
}  # fmt: skip


def frames(market, feed, count, seed):
    rng = random.Random(f"{seed}:{market}:{feed}")
    texts = originals(market, feed)
    for mutate in rng.choices(list(MUTATIONS), list(MUTATIONS.values()), k=count):
        yield mutate(rng, rng.choice(texts))


# -- feeding -------------------------------------------------------------------------------------


def make_stream(market, feed, **settings):
    wanted = [
        Subscription(parse_channel(name), SYMBOL[market], market)
        for name in CHANNELS_OF[market, feed]
    ]
    return kr.Stream(wanted, NoRest(), feed=feed, name="fuzzed", **settings)


def is_plain(value):
    """Whether a value may stand in a frame."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return not isinstance(value, float) or math.isfinite(value)


def is_legitimate(payload):
    """Whether any sound reader takes these bytes for a JSON object, numbers within bounds."""
    try:
        text = payload.decode()
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def _refuse(name):
    raise ValueError(name)


@pytest.mark.parametrize(("market", "feed"), KINDS, ids=str)
def test_fuzzed_frames_are_counted_and_do_not_enter(market, feed):
    stream = make_stream(market, feed)
    decoder, judge = (spec_of(feed).decoder(market) for _ in range(2))
    broken = told = entered = 0
    batch = []
    for number, payload in enumerate(frames(market, feed, EACH, seed=1), 1):
        item = judge.decode(payload, 0)
        broken += isinstance(item, Broken)
        told += isinstance(item, ControlMessage | Ignored)
        if not isinstance(item, Broken | ControlMessage | Ignored):
            entered += 1
            assert is_legitimate(payload), payload[:300]
        batch.append(payload)
        if number % BATCH == 0:
            stream.deliver(batch, decoder)
            batch = []

    assert stream.status.broken == broken
    assert broken + told + entered == EACH
    assert min(broken, entered) > EACH // 20  # it tried both
    for channel in CHANNELS_OF[market, feed]:
        frame = stream.frame(channel)
        assert dict(frame.schema) == dict(schema_of(CHANNELS[channel])), channel
        assert all(is_plain(value) for column in frame for value in column.to_list()), channel
        if frame.height:
            assert frame["symbol"].unique().to_list() == [SYMBOL[market]]
    assert sum(entry.broken for entry in stream.report().channels) <= 2 * broken
    # Behind all that, a sound message is taken as ever.
    before = stream.total("ticker")
    name = "ticker.json"
    text = (PAYLOADS / ("pro" if feed is PRO else str(market)) / name).read_text()
    sound = json.loads(made_for(market, text))
    inner = sound.get("data", sound.get("d"))
    inner["price" if feed is CLASSIC else "l"] = "77.5"
    stream.deliver([json.dumps(sound).encode()], decoder)
    assert stream.total("ticker") == before + 1
    assert stream.frame("ticker")["price"][-1] == 77.5


def test_a_flood_of_garbage_floods_neither_status_nor_memory():
    stream = make_stream(FUTURES, CLASSIC)
    decoder = spec_of(CLASSIC).decoder(FUTURES)
    garbage = [b'{"topic":"/contractMarket/ticker:XBTUSDTM","data":{"price":[%d]}}' % n
               for n in range(BATCH)]  # fmt: skip
    stream.deliver(garbage, decoder)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            stream.deliver(garbage, decoder)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert stream.status.broken == 101 * BATCH
    assert stream.report().channel("ticker").broken == 101 * BATCH
    assert stream.frame("status").height < 100
    assert after - before < 1 << 20


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_garbage_over_a_socket_does_not_end_the_feed(market):
    # A topic that tells nothing sensible is silent; here it is to stay on this connection.
    patient = kr.Healing(shortest_silence=60.0)
    with Rig(market, speed=20.0, healing=patient) as rig:
        rig.warm_up(rows=5)
        for channel in rig.channels:
            rig.x.inject("malformed", topic=rig._topics(channel)[0], count=250)
        wait_until(lambda: rig.s.status.broken >= 1_500, timeout=60)
        rig.x.heal()
        for channel in rig.channels:
            rig.s.wait(channel, rows=rig.s.total(channel) + 2, timeout=30)
        rig.finish()
        struck = [one for one in rig.x.fault_log if one.fault == "malformed"]

        assert rig.s.status.broken == len(struck)
        assert rig.s.status.reconnects == 0
        assert rig.events("broken").height < 200
