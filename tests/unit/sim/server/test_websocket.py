"""What the simulated exchange accepts, refuses and ends (protocol reference, 5 and 13)."""

import json
import zlib

import pytest
import websocket

from kucoin_research.foundation import clocks
from tests.conftest import spawn
from tests.unit.sim.client import Client, ask, base_url, open_exchange, token_data

LEVEL2 = "/contractMarket/level2:XBTUSDTM"
THREAD = "kucoin-research-simulator"


@pytest.fixture(scope="module")
def exchange():
    with open_exchange() as running:
        yield running


@pytest.fixture
def client(exchange):
    with Client(exchange) as one:
        one.receive()
        yield one


def test_welcome_echoes_the_connect_id(exchange):
    with Client(exchange, connect_id="abc") as client:
        assert client.receive() == {"id": "abc", "type": "welcome"}


def test_welcome_has_a_random_id_without_a_connect_id(exchange):
    with Client(exchange, connect_id="") as client:
        welcome = client.receive()

    assert len(welcome["id"]) == 24
    assert welcome["type"] == "welcome"


def test_token_reply_has_the_documented_fields(exchange):
    data = token_data(exchange)

    [server] = data["instanceServers"]
    assert 200 <= len(data["token"]) <= 260
    assert server["endpoint"].startswith("ws://127.0.0.1:")
    assert server["endpoint"].endswith("/")
    assert (server["pingInterval"], server["pingTimeout"]) == (18_000, 10_000)
    assert (server["encrypt"], server["protocol"]) == (False, "websocket")
    assert data["simulation"] == {"speed": 50.0, "seed": 7, "lifetime": 86_400.0}


@pytest.mark.parametrize(
    ("agent", "encrypt"),
    [
        ("kucoin-python-sdk/v1.0.26", None),
        ("kucoin-futures-python-sdk/v1.0.14", None),
        ("python-kucoin", None),
        ("python-requests/2.34.2", False),
        ("", False),
    ],
)
def test_clients_that_pass_encrypt_on_to_websockets_get_null(exchange, agent, encrypt):
    url = base_url(exchange) + "/api/v1/bullet-public"

    [server] = ask("POST", url, headers={"User-Agent": agent}).json()["data"]["instanceServers"]

    assert server["encrypt"] is encrypt


def test_endpoint_is_the_address_listened_on_whatever_the_client_called(exchange):
    url = exchange.futures_url

    called = url.replace("127.0.0.1", "localhost") + "/api/v1/bullet-public"
    data = ask("POST", called, timeout=5).json()["data"]

    assert data["instanceServers"][0]["endpoint"] == url.replace("http", "ws") + "/"


def test_each_token_is_new(exchange):
    assert token_data(exchange)["token"] != token_data(exchange)["token"]


@pytest.mark.parametrize("message_id", ["s1", 1, 1545910590801])
def test_ids_come_back_as_text(client, message_id):
    client.send(id=message_id, type="ping")

    pong = client.receive()

    assert pong["id"] == str(message_id)
    assert pong["type"] == "pong"


def test_pong_carries_virtual_microseconds(exchange, client):
    client.send(id="p", type="ping")

    pong = client.until(lambda frame: frame["type"] == "pong")

    assert abs(pong["timestamp"] * 1_000 - exchange.now_ns) < 60e9
    assert set(pong) == {"id", "type", "timestamp"}


# What is sent, the market, and the code and words of the answer; None: an ack.
ANSWERS = [
    (LEVEL2, "futures", None),
    ("/contractMarket/level2:NOPEUSDTM", "futures", None),
    ("/contractMarket/level2:XBTUSDTM,ETHUSDTM", "futures", None),
    ("/contract/announcement", "futures", None),
    ("/contract/announcement:XBTUSDTM", "futures", None),
    ("/contractMarket/limitCandle:XBTUSDTM_1min,XBTUSDTM_5min", "futures", None),
    ("/market/ticker:all", "spot", None),
    ("/market/snapshot:USDS", "spot", None),
    ("/callauction/callauctionData:BTC-USDT", "spot", None),
    ("/market/candles:BTC-USDT_7min", "spot", None),
    ("/contractMarket/level2: XBTUSDTM", "futures", (400, "is invalid")),
    ("/contractMarket/level2:XBTUSDTM, ETHUSDTM", "futures", (400, "is invalid")),
    ("/contractMarket/level2:XBTUSDTM,", "futures", (400, "is invalid")),
    ("/contractMarket/level2:", "futures", (400, "is invalid")),
    ("/contractMarket/level2", "futures", (400, "is invalid")),
    ("/contractMarket/candle:XBTUSDTM_1", "futures", (400, "is invalid")),
    ("/contractMarket/limitCandle:XBTUSDTM", "futures", (400, "is invalid")),
    ("/contractMarket/limitCandle:XBTUSDTM_7min", "futures", (400, "is invalid")),
    ("/market/candles:BTC-USDT", "spot", (400, "is invalid")),
    ("/market/ticker:all:all", "spot", (400, "topic /market/ticker:all:all is invalid")),
    ("/market/match: BTC-USDT", "spot", (400, "topic /market/match: BTC-USDT is invalid")),
    ("/contractMarket/level2Depth20:XBTUSDTM", "futures", (404, "topic does not exist")),
    ("/market/level2:BTC-USDT", "futures", (404, "topic does not exist")),
    (LEVEL2, "spot", (404, "topic does not exist")),
    ("nonsense", "spot", (404, "topic does not exist")),
    ("/contractMarket/tradeOrders", "futures", (403, "login is required")),
    ("/account/balance", "spot", (403, "login is required")),
    ("", "futures", (406, "topic is required")),
    (None, "futures", (406, "topic is required")),
    (
        "/contractMarket/level2:" + ",".join(f"A{n}USDTM" for n in range(101)),
        "futures",
        (509, "exceed max subscription count limitation of 100 per time"),
    ),
]


@pytest.mark.parametrize(("topic", "market", "answer"), ANSWERS)
def test_subscribe_is_answered_as_kucoin_does(exchange, topic, market, answer):
    with Client(exchange, market) as client:
        client.receive()

        reply = client.subscribe(topic)

        if answer is None:
            assert reply == {"id": "s1", "type": "ack"}
        else:
            assert (reply["id"], reply["type"], reply["code"]) == ("s1", "error", answer[0])
            assert answer[1] in reply["data"]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("not json", 400, "Unrecognized token 'not'"),
        ('{"id":"1","type":"openTunnel","newTunnelId":"b"}', 415, "type is not supported"),
        ('{"id":"1"}', 415, "type is not supported"),
        ("[1]", 415, "type is not supported"),
    ],
)
def test_other_messages_are_refused_and_the_connection_stays(client, text, code, words):
    client.socket.send(text)

    refused = client.receive()

    assert (refused["type"], refused["code"]) == ("error", code)
    assert words in refused["data"]
    client.send(id="p", type="ping")
    assert client.receive()["type"] == "pong"


def test_ack_comes_only_when_asked_for(client):
    client.send(id="quiet", type="subscribe", topic="/contract/announcement")
    client.send(id="p", type="ping")

    assert client.receive()["type"] == "pong"


def test_second_subscribe_is_acked_and_does_not_double_the_stream(client):
    client.subscribe(LEVEL2, "s1")
    client.subscribe(LEVEL2, "s2")

    while len(client.messages(LEVEL2)) < 200:
        client.receive()

    sequences = [message["sn"] for message in client.messages(LEVEL2)]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_unsubscribe_stops_the_stream(client):
    client.subscribe(LEVEL2)
    client.send(id="u1", type="unsubscribe", topic=LEVEL2, response=True)
    client.until(lambda frame: frame.get("id") == "u1")
    before = len(client.frames)

    client.send(id="p", type="ping")

    assert client.receive()["type"] == "pong"
    assert len(client.frames) == before + 1


def test_unsubscribe_of_a_topic_never_subscribed_is_acked(client):
    client.send(id="u1", type="unsubscribe", topic=LEVEL2, response=True)

    assert client.receive() == {"id": "u1", "type": "ack"}


def test_spot_stays_silent_about_an_interval_that_it_lacks(exchange):
    with Client(exchange, "spot") as spot:
        spot.receive()
        for topic in ("/market/candles:BTC-USDT_7min", "/market/candles:BTC-USDT_1month"):
            assert spot.subscribe(topic)["type"] == "ack"

        first = spot.until(lambda frame: frame["type"] == "message")

    assert first["topic"] == "/market/candles:BTC-USDT_1month"


def test_unknown_symbol_is_acked_and_stays_silent(client):
    client.subscribe("/contractMarket/level2:NOPEUSDTM")
    client.send(id="p", type="ping")

    assert client.receive()["type"] == "pong"


def test_topics_beyond_the_limit_are_refused_and_the_old_ones_stay():
    with open_exchange(max_topics=2) as exchange, Client(exchange, "spot") as client:
        client.receive()
        client.subscribe("/market/match:BTC-USDT,ETH-BTC", "s1")

        refused = client.subscribe("/market/level2:BTC-USDT", "s2")

        assert refused["code"] == 509
        assert refused["data"] == "exceed max subscription count limitation of 2 per session"
        assert client.subscribe("/market/match:BTC-USDT", "s3")["type"] == "ack"


def test_flood_of_messages_ends_with_509_and_bye(exchange):
    with Client(exchange) as client:
        client.receive()
        for number in range(101):
            client.send(id=number, type="ping")

        assert client.close_code() == (1000, "Bye")
        last = json.loads(client.frames[-1])
        assert (last["code"], last["data"]) == (509, "exceed max permits per second")


def test_silent_client_without_topics_is_told_and_closed():
    with open_exchange(idle_timeout=0.2) as exchange, Client(exchange) as client:
        client.receive()

        assert client.close_code() == (1000, "Bye")
        last = json.loads(client.frames[-1])
        assert (last["code"], last["data"]) == (400, "ping timeout")


def test_silent_client_is_closed_although_data_flows():
    with open_exchange(idle_timeout=0.3) as exchange, Client(exchange) as client:
        client.receive()
        client.subscribe(LEVEL2)

        assert client.close_code() == (1000, "Bye")


def test_protocol_pings_do_not_keep_a_session_alive():
    with open_exchange(idle_timeout=0.3) as exchange, Client(exchange) as client:
        client.receive()
        stop = clocks.current().event()

        def keep_pinging():
            while not stop.wait(0.05):
                try:
                    client.socket.ping()
                except (OSError, websocket.WebSocketException):
                    return

        pinger = spawn(keep_pinging)
        client.socket.settimeout(5)
        try:
            opcode = None
            while opcode != websocket.ABNF.OPCODE_CLOSE:
                opcode, _ = client.socket.recv_data(control_frame=True)
        finally:
            stop.set()
            pinger.join()


@pytest.mark.parametrize("token", ["nonsense", "spot"])
def test_wrong_token_gets_a_401_frame_and_no_close_frame(exchange, token):
    if token == "spot":
        token = token_data(exchange, "spot")["token"]

    with Client(exchange, token=token) as client:
        refused = client.receive()

        assert (refused["type"], refused["code"]) == ("error", 401)
        assert refused["data"] == "token is invalid"
        assert client.close_code() is None


def test_old_token_is_refused_as_expired():
    with open_exchange(token_lifetime=0.0) as exchange, Client(exchange) as client:
        assert client.receive()["data"] == "token is expired"
        assert client.close_code() is None


def test_connection_ends_without_close_frame_after_its_lifetime():
    with open_exchange(connection_lifetime=0.2) as exchange, Client(exchange) as client:
        client.receive()

        assert client.close_code() is None


def test_too_many_connections_are_refused():
    with open_exchange(max_connections=1) as exchange, Client(exchange) as first:
        first.receive()

        with Client(exchange) as second:
            assert second.receive()["code"] == 509


def test_acks_can_come_after_the_first_data():
    with open_exchange(ack_delay_ms=300) as exchange, Client(exchange) as client:
        client.receive()
        for number in range(5):
            client.subscribe(LEVEL2, f"s{number}")
        types = [json.loads(text)["type"] for text in client.frames]

        assert types.index("message") < types.index("ack")


def test_deflate_is_negotiated_when_offered(exchange):
    with Client(exchange, header=["Sec-WebSocket-Extensions: permessage-deflate"]) as client:
        assert "permessage-deflate" in client.socket.headers["sec-websocket-extensions"]
        raw = client.socket.sock
        first, size = raw.recv(1)[0], raw.recv(1)[0]
        payload = raw.recv(size, 0x100)  # MSG_WAITALL

    assert first == 0xC1
    text = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
    assert json.loads(text)["type"] == "welcome"


def test_plain_text_without_an_offer(exchange):
    with Client(exchange) as client:
        assert "sec-websocket-extensions" not in client.socket.headers
