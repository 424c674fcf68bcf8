"""The simulated exchange's newer feed (protocol reference, section 10)."""

import json

import pytest
import websocket

from tests.unit.sim.client import connect, data_of, open_exchange

NAMES = {"futures": ("XBTUSDTM", "FUTURES"), "spot": ("BTC-USDT", "SPOT")}
COMMANDS = [
    {"channel": "trade"},
    {"channel": "ticker"},
    {"channel": "kline", "interval": "1min"},
    *({"channel": "obu", "depth": depth} for depth in ("1", "5", "50", "increment@10ms")),
]
FUTURES_ONLY = [{"channel": "mark-price"}, {"channel": "funding-fee"}]
KEYS = {
    "ticker": set("ABEMSablqs"),
    "trade": {*"EMSpqs", "ti"},
    "kline": set("asCcSvhilOo"),
    "obu": set("absCMO"),
    "mark-price": {"s", "mp", "ip", "oi", "ts"},
    "funding-fee": {"s", "fr", "ft", "lfr", "nt", "gl", "fc", "ff"},
}


class ProClient:
    """One socket of the newer feed. Frames are kept as text in `frames`."""

    def __init__(self, exchange, market="futures", **options):
        url = exchange.futures_push_url if market == "futures" else exchange.spot_push_url
        self.symbol, self.product = NAMES[market]
        self.socket = connect(url, timeout=10, **options)
        self.frames = []
        self._decoded = []
        self.welcome = self.receive()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.socket.shutdown()

    def receive(self):
        opcode, payload = self.socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_BINARY, (opcode, payload)
        self.frames.append(payload.decode())
        return json.loads(payload)

    def until(self, wanted):
        while True:
            frame = self.receive()
            if wanted(frame):
                return frame

    def ask(self, action="SUBSCRIBE", **fields):
        request = {"id": "a1", "action": action, "tradeType": self.product, "symbol": self.symbol}
        request |= fields
        self.socket.send(json.dumps({key: value for key, value in request.items() if value}))
        return self.until(lambda frame: frame.get("id") == "a1")

    def data(self):
        self._decoded += map(json.loads, self.frames[len(self._decoded) :])
        return [frame for frame in self._decoded if "T" in frame]


@pytest.fixture(scope="module")
def exchange():
    with open_exchange() as running:
        yield running


@pytest.fixture
def client(exchange):
    with ProClient(exchange) as one:
        yield one


def record(exchange, market, commands, seconds):
    """Subscribe at virtual time zero, let `seconds` pass; the client has all frames."""
    exchange.pause()
    client = ProClient(exchange, market)
    for command in commands:
        assert client.ask(**command)["result"] is True
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    client.until(lambda _: exchange.now_ns >= end)
    exchange.pause()
    client.socket.send('{"id":"drained","type":"ping"}')
    client.until(lambda frame: frame.get("id") == "drained")
    return client


def of(client, channel, depth=None):
    frames = client.data()
    return [f for f in frames if f["T"].split(".")[0] == channel and f.get("dp") == depth]


# -- the session ---------------------------------------------------------------------------------


def test_the_welcome_needs_no_token(client):
    assert client.welcome["message"] == "welcome"
    assert client.welcome["pingInterval"] == 18_000
    assert len(client.welcome["sessionId"]) == 36


def test_a_ping_is_answered_in_ns(exchange, client):
    client.socket.send('{"id":7,"type":"ping"}')
    pong = client.receive()

    assert pong == {"type": "pong", "id": "7", "ts": pong["ts"]}
    assert pong["ts"] >= exchange.clock.start_ns


def test_a_second_ping_within_a_second_drops_the_client(client):
    for number in range(2):
        client.socket.send(json.dumps({"id": str(number), "type": "ping"}))

    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        client.until(lambda frame: frame.get("id") == "1")


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"channel": "depth"}, {"message": "invalid request data"}),
        ({"channel": "obu"}, {"message": "invalid request data"}),
        ({"channel": "obu", "depth": "20"}, {"message": "invalid request data"}),
        ({"channel": "kline", "interval": "7min"}, {"message": "invalid request data"}),
        ({"channel": "trade", "symbol": None}, {"message": "invalid request data"}),
        ({"channel": "trade", "action": "BUY"}, {"message": "invalid request data"}),
        (
            {"channel": "obu", "depth": "5", "symbols": ["XBTUSDTM"]},
            {"reason": "symbols are not supported for topic obu"},
        ),
        (
            {"channel": "obu", "depth": "5", "tradeType": "SPOT"},
            {"reason": 'topic Obu type = "public_spot" not allowed in current environment'},
        ),
    ],
)
def test_what_is_refused_gets_kucoins_words(client, fields, answer):
    assert client.ask(**fields) == {"id": "a1", "result": False} | answer


def test_an_unknown_symbol_is_acknowledged_and_what_is_no_json_gets_no_answer(client):
    client.socket.send("not json")

    assert client.ask(channel="trade", symbol="NOPE") == {"id": "a1", "result": True}
    assert len(client.frames) == 2


def test_more_channels_than_allowed_are_refused():
    with open_exchange(max_pro_topics=2) as x, ProClient(x) as client:
        for symbol in ("A", "B"):
            assert client.ask(channel="trade", symbol=symbol)["result"] is True

        assert client.ask(channel="trade", symbol="C")["result"] is False


def test_only_a_client_without_a_subscription_is_sent_away():
    with (
        open_exchange(pro_idle_timeout=0.3) as x,
        ProClient(x) as listening,
        ProClient(x) as idle,
    ):
        listening.ask(channel="obu", depth="5")
        opcode, payload = idle.socket.recv_data(control_frame=True)

        assert opcode == websocket.ABNF.OPCODE_CLOSE
        assert payload[2:] == b"Bye"
        listening.receive()


# -- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", NAMES)
def test_same_seed_gives_the_same_bytes_and_the_documented_keys(market):
    commands = COMMANDS + (FUTURES_ONLY if market == "futures" else [])
    runs = []
    for speed in (40.0, 90.0):
        with open_exchange(speed=speed) as x:
            client = record(x, market, commands, 62)
            end = x.clock.start_ns + 61 * 10**9
            runs.append([t for t in client.frames if '"T"' in t and json.loads(t)["P"] <= end])
            client.__exit__()

    by_channel = [grouped(run) for run in runs]
    assert by_channel[0] == by_channel[1]
    assert len(by_channel[0]) == len(commands)
    for text in runs[0]:
        frame = json.loads(text)
        channel, _, product = frame["T"].partition(".")
        assert product == ("" if {"channel": channel} in FUTURES_ONLY else client.product)
        assert set(frame["d"]) == KEYS[channel]
        assert frame["P"] % 1_000_000


def grouped(texts):
    """Frames by channel and depth."""
    groups = {}
    for text in texts:
        frame = json.loads(text)
        groups.setdefault((frame["T"], frame.get("dp")), []).append(text)
    return groups


@pytest.mark.parametrize("market", NAMES)
def test_increments_are_contiguous_on_a_10_ms_grid_behind_a_snapshot(market):
    with (
        open_exchange() as x,
        record(x, market, [{"channel": "obu", "depth": "increment@10ms"}], 20) as client,
    ):
        first, *deltas = of(client, "obu", "increment@10ms")

    assert (first["t"], first["d"]["O"]) == ("snapshot", first["d"]["C"])
    assert len(first["d"]["a"]) == len(first["d"]["b"]) == 500
    last = first["d"]["C"]
    for delta in deltas:
        assert delta["t"] == "delta"
        assert delta["d"]["O"] == last + 1
        assert delta["d"]["C"] >= delta["d"]["O"]
        assert delta["d"]["a"] or delta["d"]["b"]
        last = delta["d"]["C"]
    batches = [delta["P"] // 10_000_000 for delta in deltas]
    assert len(set(batches)) == len(batches) > 200


def test_the_window_follows_the_five_hundred_best_levels():
    with (
        open_exchange() as x,
        record(x, "futures", [{"channel": "obu", "depth": "increment@10ms"}], 60) as client,
    ):
        first, *deltas = of(client, "obu", "increment@10ms")
        rest = data_of(x, "/api/v1/level2/snapshot", symbol="XBTUSDTM")
    book = {"a": dict(first["d"]["a"]), "b": dict(first["d"]["b"])}
    for delta in deltas:
        for side, levels in book.items():
            for price, size in delta["d"][side]:
                levels[price] = size
                if size == "0":
                    del levels[price]

    assert deltas[-1]["d"]["C"] <= rest["sequence"]
    assert len(book["a"]) == len(book["b"]) == 500
    if deltas[-1]["d"]["C"] == rest["sequence"]:
        shown = [[str(price), str(size)] for price, size in rest["bids"][:500]]
        mine = sorted(book["b"].items(), key=lambda level: -float(level[0]))
        assert [[float(p), int(s)] for p, s in mine] == [[float(p), int(s)] for p, s in shown]


def test_a_second_reader_gets_a_snapshot_of_its_own():
    with open_exchange() as x, ProClient(x) as one, ProClient(x) as two:
        one.ask(channel="obu", depth="increment@10ms")
        one.until(lambda frame: frame.get("t") == "delta")
        two.ask(channel="obu", depth="increment@10ms")
        first = two.until(lambda frame: "T" in frame)
        second = two.until(lambda frame: "T" in frame)
        for _ in range(50):
            one.receive()

    assert first["t"] == "snapshot"
    assert (second["t"], second["d"]["O"]) == ("delta", first["d"]["C"] + 1)
    assert [f["t"] for f in of(one, "obu", "increment@10ms")].count("snapshot") == 1


def test_depth_is_resent_unchanged_every_100_ms():
    with (
        open_exchange() as x,
        record(x, "spot", [{"channel": "obu", "depth": "5", "symbol": "ETH-BTC"}], 20) as client,
    ):
        frames = of(client, "obu", "5")

    times = [frame["P"] // 100_000_000 for frame in frames]
    assert times == list(range(times[0], times[0] + len(times)))
    assert len({frame["d"]["C"] for frame in frames}) < len(frames)
    assert {frame["t"] for frame in frames} == {"snapshot"}


def test_faults_strike_these_messages_too():
    topic = "obu/increment@10ms:XBTUSDTM"
    with open_exchange() as x:
        x.inject("drop", topic=topic, after=10, count=2)
        with record(x, "futures", [{"channel": "obu", "depth": "increment@10ms"}], 5) as client:
            frames = of(client, "obu", "increment@10ms")
        withheld = [one.sequence for one in x.withheld]

    assert len(withheld) == 2
    assert not {frame["d"]["C"] for frame in frames} & set(withheld)


def test_giving_up_ends_the_pushes(exchange, client):
    client.ask(channel="obu", depth="5")
    client.until(lambda frame: "T" in frame)

    assert client.ask("UNSUBSCRIBE", channel="obu", depth="5")["result"] is True
    client.socket.settimeout(0.2)
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.until(lambda frame: False)
