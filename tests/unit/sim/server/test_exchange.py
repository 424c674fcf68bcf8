"""What the streams promise: reproducible, complete, and one truth with REST."""

import json
import socket
from itertools import pairwise

import pytest

from kucoin_research.sim.engine.clock import SLICE_NS
from tests.unit.sim.client import TOPICS, Client, data_of, drain, open_exchange, record, wait_until

FUTURES, SPOT = "/contractMarket/level2:XBTUSDTM", "/market/level2:BTC-USDT"
SECOND = 10**9
# Virtual time may be behind the machine's by the rounding of the start and by one slice.
ROUNDED_NS = 2 * SLICE_NS


def by_topic(client, until_ms):
    """Frames per topic, cut off at a virtual time."""
    topics = {}
    for text in client.frames:
        frame = json.loads(text)
        if frame.get("type") == "message" and time_ms(frame) <= until_ms:
            topics.setdefault((frame["topic"], frame["subject"]), []).append(text)
    return topics


def time_ms(frame):
    data = frame["data"].get("data", frame["data"])
    stamp = int(next(data[key] for key in ("ts", "timestamp", "time", "datetime") if key in data))
    return stamp // 1_000_000 if stamp > 10**15 else stamp


def futures_book(snapshot, messages):
    """Apply increments to a REST snapshot by the rules of the protocol reference, section 9.1."""
    book = {"buy": dict(map(tuple, snapshot["bids"])), "sell": dict(map(tuple, snapshot["asks"]))}
    last = snapshot["sequence"]
    for message in messages:
        if message["sn"] <= last:
            continue
        assert message["sn"] == last + 1
        last = message["sn"]
        price, side, size = message["data"]["change"].split(",")
        if int(size):
            book[side][float(price)] = int(size)
        else:
            book[side].pop(float(price), None)
    return last, book


def spot_book(snapshot, messages):
    """The same by section 9.2."""
    book = {"bids": dict(snapshot["bids"]), "asks": dict(snapshot["asks"])}
    first = last = int(snapshot["sequence"])
    for message in messages:
        data = message["data"]
        if data["sequenceEnd"] <= last:
            continue
        assert data["sequenceStart"] <= last + 1
        for side in ("bids", "asks"):
            for price, size, sequence in data["changes"][side]:
                if int(sequence) > first and price != "0":
                    book[side][price] = size
        last = data["sequenceEnd"]
    return last, {side: {p: s for p, s in rows.items() if s != "0"} for side, rows in book.items()}


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_same_seed_and_subscriptions_give_the_same_bytes(market):
    runs = []
    for speed in (40.0, 90.0):
        with open_exchange(speed=speed) as exchange:
            client = record(exchange, market, TOPICS[market], seconds=65)
            runs.append(by_topic(client, exchange.clock.start_ns // 1_000_000 + 64_000))
            client.__exit__()

    assert runs[0] == runs[1]
    assert {topic for topic, _ in runs[0]} == TOPICS[market]


def test_another_seed_gives_another_market():
    frames = []
    for seed in (1, 2):
        with (
            open_exchange(seed=seed) as exchange,
            record(exchange, "futures", {FUTURES}, seconds=1) as client,
        ):
            frames.append(client.messages()[0])

    assert frames[0] != frames[1]


def test_every_frame_carries_its_topic_and_virtual_time():
    with open_exchange() as exchange, record(exchange, "futures", TOPICS["futures"], 12) as client:
        start = exchange.clock.start_ns // 1_000_000

        times = [time_ms(message) for message in client.messages()]

    assert start < min(times) <= max(times) <= start + 60_000


def test_futures_book_from_rest_and_stream_is_the_one_of_rest_and_tape():
    with open_exchange() as exchange:
        before = data_of(exchange, "/api/v1/level2/snapshot", symbol="XBTUSDTM")
        with record(exchange, "futures", {FUTURES}, seconds=30) as client:
            after = data_of(exchange, "/api/v1/level2/snapshot", symbol="XBTUSDTM")
            bids, asks = exchange.tape("XBTUSDTM").book(after["sequence"])

            last, book = futures_book(before, client.messages())

    assert last == after["sequence"]
    best = 200  # deeper ones may lie beyond the 1000 levels that REST shows
    assert sorted(book["buy"].items(), reverse=True)[:best] == list(
        map(tuple, after["bids"][:best])
    )
    assert sorted(book["sell"].items())[:best] == list(map(tuple, after["asks"][:best]))
    assert [size for _, size in sorted(bids.items(), reverse=True)][:best] == [
        size for _, size in after["bids"][:best]
    ]
    assert [size for _, size in sorted(asks.items())][:best] == [s for _, s in after["asks"][:best]]


@pytest.mark.parametrize("changes_per_frame", [1, 4])
def test_spot_book_from_rest_and_stream_is_the_one_of_rest(changes_per_frame):
    with open_exchange(spot_changes_per_frame=changes_per_frame) as exchange:
        path, symbol = "/api/v1/market/orderbook/level2_100", "ETH-BTC"
        before = data_of(exchange, path, "spot", symbol=symbol)
        with record(exchange, "spot", {f"/market/level2:{symbol}"}, seconds=60) as client:
            after = data_of(exchange, path, "spot", symbol=symbol)

            last, book = spot_book(before, client.messages())

    assert last == int(after["sequence"])
    best = 20
    bids = sorted(book["bids"].items(), key=lambda row: -float(row[0]))[:best]
    asks = sorted(book["asks"].items(), key=lambda row: float(row[0]))[:best]
    assert bids == list(map(tuple, after["bids"][:best]))
    assert asks == list(map(tuple, after["asks"][:best]))


def test_spot_level2_numbers_are_contiguous_and_a_third_are_fillers():
    with open_exchange() as exchange, record(exchange, "spot", {SPOT}, seconds=10) as client:
        data = [message["data"] for message in client.messages()]

    assert all(one["sequenceStart"] == one["sequenceEnd"] for one in data)
    numbers = [one["sequenceEnd"] for one in data]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    changes = [[*one["changes"]["asks"], *one["changes"]["bids"]] for one in data]
    fillers = [rows for rows in changes if rows[0][:2] == ["0", "0"]]
    assert 0.3 < len(fillers) / len(data) < 0.36


def test_spot_fillers_can_be_left_out():
    with (
        open_exchange(spot_fillers=False) as exchange,
        record(exchange, "spot", {SPOT}, seconds=5) as client,
    ):
        data = [message["data"] for message in client.messages()]

    numbers = [one["sequenceEnd"] for one in data]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert '"0","0"' not in json.dumps(data, separators=(",", ":"))


def test_depth_frames_agree_with_the_book_at_their_sequence():
    topic = "/contractMarket/level2Depth50:XBTUSDTM"
    with (
        open_exchange() as exchange,
        record(exchange, "futures", {topic, FUTURES}, seconds=5) as client,
    ):
        tape = exchange.tape("XBTUSDTM")
        depths = client.messages(topic)

    for depth in depths[::7]:
        bids, asks = tape.book(depth["data"]["sequence"])
        assert [s for _, s in sorted(bids.items(), reverse=True)[:50]] == [
            size for _, size in depth["data"]["bids"]
        ]
        assert [s for _, s in sorted(asks.items())[:50]] == [
            size for _, size in depth["data"]["asks"]
        ]


def test_futures_depth_comes_on_an_exact_grid_even_unchanged():
    topic = "/contractMarket/level2Depth5:XBTUSDTM"
    with open_exchange() as exchange, record(exchange, "futures", {topic}, 10) as client:
        times = [time_ms(message) for message in client.messages(topic)]

    assert times == list(range(times[0], times[-1] + 1, 100))


def test_spot_depth_is_silent_when_unchanged_unless_asked():
    topic = "/spotMarket/level2Depth5:ETH-BTC"
    counts = {}
    for resend in (False, True):
        with (
            open_exchange(spot_resend_depth=resend) as exchange,
            record(exchange, "spot", {topic, "/indicator/index:BTC-USDT"}, 20) as client,
        ):
            counts[resend] = len(client.messages(topic))

    assert 1 <= counts[False] < counts[True] * 0.7
    assert counts[True] >= 200


def test_best_prices_never_cross():
    topic = "/contractMarket/tickerV2:XBTUSDTM"
    with open_exchange() as exchange, record(exchange, "futures", {topic}, 20) as client:
        tops = [message["data"] for message in client.messages(topic)]

    assert len(tops) > 100
    assert all(float(top["bestBidPrice"]) < float(top["bestAskPrice"]) for top in tops)


def test_executions_are_the_trades_of_the_tape():
    topic = "/contractMarket/execution:XBTUSDTM"
    with (
        open_exchange() as exchange,
        record(exchange, "futures", {topic, FUTURES}, seconds=30) as client,
    ):
        seen = [(m["data"]["tradeId"], m["data"]["size"]) for m in client.messages(topic)]
        trades = exchange.tape("XBTUSDTM").trades

    assert seen == [(trade.trade_id, trade.size) for trade in trades]
    assert len(seen) > 10


@pytest.mark.parametrize(
    ("market", "trades", "candles", "size_key"),
    [
        (
            "futures",
            "/contractMarket/execution:XBTUSDTM",
            "/contractMarket/limitCandle:XBTUSDTM_1min",
            6,
        ),
        ("spot", "/market/match:BTC-USDT", "/market/candles:BTC-USDT_1min", 5),
    ],
)
def test_candles_equal_trades(market, trades, candles, size_key):
    with open_exchange() as exchange, record(exchange, market, {trades, candles}, 130) as client:
        fills = [message["data"] for message in client.messages(trades)]
        bars = [message["data"]["candles"] for message in client.messages(candles)]

    final = {bar[0]: bar for bar in bars}
    opened = sorted(final, key=int)[1]
    times = [int(fill.get("ts") or fill["time"]) // 10**9 for fill in fills]
    inside = [
        fill
        for fill, time in zip(fills, times, strict=True)
        if int(opened) <= time < int(opened) + 60
    ]
    prices = [float(fill["price"]) for fill in inside]
    bar = final[opened]
    assert [float(text) for text in bar[1:5]] == [prices[0], prices[-1], max(prices), min(prices)]
    volume = sum(float(fill["size"]) for fill in inside)
    assert float(bar[size_key]) == pytest.approx(volume, rel=1e-9)


def test_clock_stands_still_until_the_first_subscription():
    with open_exchange() as exchange, Client(exchange) as client:
        client.receive()
        first = data_of(exchange, "/api/v1/timestamp")
        second = data_of(exchange, "/api/v1/timestamp")
        client.subscribe(FUTURES)
        client.until(lambda frame: frame["type"] == "message")

        assert first == second == exchange.clock.start_ns // 1_000_000
        assert exchange.now_ns > exchange.clock.start_ns


def test_funding_is_announced_at_its_instant():
    topic = "/contract/announcement"
    start = "2026-01-05T07:59:55Z"
    with (
        open_exchange(start=start, speed=20.0) as exchange,
        record(exchange, "futures", {topic, FUTURES}, seconds=20) as client,
    ):
        announced = [(m["subject"], m["data"]) for m in client.messages(topic)]

    assert [subject for subject, _ in announced] == ["funding.begin", "funding.end"]
    funding_ms = 1_767_571_200_000 + 8 * 3_600_000
    assert {data["fundingTime"] for _, data in announced} == {funding_ms}
    assert [data["timestamp"] for _, data in announced] == [funding_ms, funding_ms + 10_000]


@pytest.mark.parametrize(
    ("settings", "pushed"),
    [
        ({}, "/contract/announcement:XBTUSDTM"),
        ({"bare_announcements": True}, "/contract/announcement"),
    ],
)
def test_announcement_carries_the_topic_as_subscribed_unless_set_otherwise(settings, pushed):
    asked = "/contract/announcement:XBTUSDTM"
    with (
        open_exchange(start="2026-01-05T07:59:58Z", speed=20.0, **settings) as exchange,
        record(exchange, "futures", {asked, FUTURES}, seconds=4) as client,
    ):
        announced = [m["subject"] for m in client.messages(pushed)]

    assert announced == ["funding.begin"]


@pytest.mark.parametrize(
    ("settings", "kind"), [({}, str), ({"number_market_snapshots": True}, int)]
)
def test_snapshots_of_a_whole_market_are_numbered_as_set(settings, kind):
    topic = "/market/snapshot:BTC"
    with open_exchange(**settings) as exchange, record(exchange, "spot", {topic}, 3) as client:
        [outer, *_] = [message["data"] for message in client.messages(topic)]

    assert type(outer["sequence"]) is kind
    assert int(outer["sequence"]) == outer["data"]["datetime"]


def test_reader_that_takes_nothing_loses_data_and_the_loss_is_told():
    big = "/contractMarket/level2Depth50:XBTUSDTM"
    light = "/contractMarket/level2Depth5:XBTUSDTM"
    with open_exchange(patience=0.05, buffer_bytes=1 << 16, speed=200.0) as exchange:
        small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
        with Client(exchange, sockopt=small) as client, Client(exchange) as reader:
            client.receive()
            client.subscribe(big)
            reader.receive()
            reader.subscribe(light)
            while not exchange.withheld:
                reader.receive()
            exchange.pause()
            drain(reader)

            assert {(one.reason, one.topic) for one in exchange.withheld} == {("slow_reader", big)}

    times = [time_ms(message) for message in reader.messages(light)]
    assert times == list(range(times[0], times[-1] + 1, 100))


def test_virtual_time_waits_for_a_slow_reader():
    with (
        open_exchange(patience=30.0, buffer_bytes=1 << 16, speed=500.0) as exchange,
        Client(exchange) as client,
    ):
        client.receive()
        client.subscribe(FUTURES)
        wait_until(lambda: exchange.clock.lag > 300)
        while len(client.frames) < 20_000 or not exchange.clock.slips:
            client.receive()

        numbers = [message["sn"] for message in client.messages(FUTURES)]

    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert exchange.withheld == []
    assert exchange.clock.slips > 0


def test_at_the_walls_pace_a_reader_that_takes_nothing_slows_nobody():
    big = "/contractMarket/level2Depth50:XBTUSDTM,ETHUSDTM,SOLUSDTM"
    options = {"patience": 5.0, "buffer_bytes": 1 << 16, "idle_timeout": 86_400.0}
    with open_exchange(speed=1.0, **options) as exchange:
        small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
        with Client(exchange, sockopt=small) as stuck, Client(exchange) as reader:
            for client in (stuck, reader):
                client.receive()
                client.subscribe(big)
            while not exchange.withheld:
                reader.receive()

            assert {one.reason for one in exchange.withheld} == {"slow_reader"}
            assert exchange.clock.slips == 0
            assert exchange.clock.lag < 0.1


# -- the present -----------------------------------------------------------------------------------


@pytest.fixture
def present(held_time):
    """An exchange that was left alone, its clock the machine's, from the middle of a second on."""
    held_time.pass_by(0.123_456)
    with open_exchange(start=None, speed=1.0, idle_timeout=600.0) as exchange:
        yield exchange


def test_time_is_the_machines_without_a_subscription(present, held_time):
    for _ in range(3):
        held_time.pass_by(20.0)
        served_ms = data_of(present, "/api/v1/timestamp")

        assert 0 <= held_time.wall_ns() - present.now_ns <= ROUNDED_NS
        assert 0 <= held_time.wall_ns() // 1_000_000 - served_ms <= ROUNDED_NS // 1_000_000


@pytest.mark.parametrize("seconds", [1.5, 59.5, 61.0])
def test_a_client_gets_the_last_candles_by_its_own_clock(present, held_time, seconds):
    held_time.pass_by(seconds)
    now = held_time.wall_ns() // SECOND
    since = now - 7 * 60

    spot = data_of(
        present, "/api/v1/market/candles", "spot",
        symbol="BTC-USDT", type="1min", startAt=since, endAt=now,
    )  # fmt: skip
    futures = data_of(
        present, "/api/v1/kline/query",
        symbol="XBTUSDTM", granularity=1, **{"from": since * 1_000, "to": now * 1_000},
    )  # fmt: skip

    minutes = list(range(-(-since // 60) * 60, now, 60))
    assert len(minutes) >= 7
    assert sorted(int(row[0]) for row in spot) == minutes
    assert [row[0] // 1_000 for row in futures] == minutes


def test_candles_of_the_present_are_those_that_streamed(present):
    topic = "/contractMarket/limitCandle:XBTUSDTM_1min"
    with Client(present) as client:
        client.receive()
        client.subscribe(topic)
        client.until(lambda _: len({opens(each) for each in client.messages(topic)}) == 3, 240.0)
        streamed = {opens(each): each["data"]["candles"] for each in client.messages(topic)}

    closed = sorted(streamed)[1:-1]  # the first one had begun before, the last one runs
    rows = data_of(
        present, "/api/v1/kline/query",
        symbol="XBTUSDTM", granularity=1, **{"from": closed[0] * 1_000, "to": closed[-1] * 1_000},
    )  # fmt: skip
    assert [[float(value) for value in row[1:5]] for row in rows] == [
        [float(streamed[opened][at]) for at in (1, 3, 4, 2)] for opened in closed
    ]


def opens(candle_message):
    return int(candle_message["data"]["candles"][0])


def test_funding_is_settled_on_the_hour_of_the_present(present, held_time):
    now_ms = held_time.wall_ns() // 1_000_000
    eight_hours_ms = 8 * 3_600_000

    row = data_of(present, "/api/v1/contracts/XBTUSDTM")
    history = data_of(
        present, "/api/v1/contract/funding-rates",
        symbol="XBTUSDTM", **{"from": now_ms - 9 * eight_hours_ms, "to": now_ms},
    )  # fmt: skip

    assert row["nextFundingRateDateTime"] % eight_hours_ms == 0
    assert 0 < row["nextFundingRateDateTime"] - now_ms <= eight_hours_ms
    times = [each["timepoint"] for each in history]
    assert {earlier - later for earlier, later in pairwise(times)} == {eight_hours_ms}
    assert times[0] == now_ms // eight_hours_ms * eight_hours_ms


def test_time_stands_while_paused_and_goes_on_from_there(present, held_time):
    present.pause()
    stood_ns = present.now_ns
    held_time.pass_by(30.0)
    assert present.now_ns == stood_ns

    present.resume()
    held_time.pass_by(5.0)

    assert 0 <= stood_ns + 5 * SECOND - present.now_ns <= ROUNDED_NS


def test_a_fault_is_planned_from_the_first_subscription(present, held_time):
    present.inject("bye", at=2.0)
    held_time.pass_by(10.0)

    with Client(present) as client:
        client.receive()
        client.subscribe(FUTURES)
        began_ns = present.now_ns

        assert client.close_code() == (1000, "Bye")
        assert 0 <= present.now_ns - began_ns - 2 * SECOND <= ROUNDED_NS


def test_a_trader_trades_before_anybody_subscribes(present, held_time):
    present.start_trader("XBTUSDTM", orders_per_minute=60.0)

    held_time.pass_by(60.0)

    assert len(present.demo_account.fills) > 10
