"""A plain client for tests of the simulated exchange: shares nothing with the package's own."""

import json
from urllib.parse import urlsplit

import requests
import websocket

from kucoin_research.foundation import clocks
from kucoin_research.sim import Exchange
from tests.conftest import wait_until
from tests.exchanges import START
from tests.held_time import adapt, dial

__all__ = ["wait_until"]

FUTURES_TOPICS = {
    "/contractMarket/execution:XBTUSDTM",
    "/contractMarket/ticker:XBTUSDTM",
    "/contractMarket/tickerV2:XBTUSDTM",
    "/contractMarket/level2:XBTUSDTM",
    "/contractMarket/level2Depth5:XBTUSDTM",
    "/contractMarket/level2Depth50:XBTUSDTM",
    "/contractMarket/limitCandle:XBTUSDTM_1min",
    "/contract/instrument:XBTUSDTM",
    "/contract/announcement",
    "/contractMarket/snapshot:XBTUSDTM",
}
SPOT_TOPICS = {
    "/market/match:BTC-USDT",
    "/market/level2:BTC-USDT",
    "/spotMarket/level1:BTC-USDT",
    "/market/ticker:BTC-USDT",
    "/market/ticker:all",
    "/spotMarket/level2Depth5:BTC-USDT",
    "/spotMarket/level2Depth50:BTC-USDT",
    "/market/candles:BTC-USDT_1min",
    "/market/snapshot:BTC-USDT",
    "/market/snapshot:BTC",
    "/indicator/index:BTC-USDT",
    "/indicator/markPrice:BTC-USDT",
}
TOPICS = {"futures": FUTURES_TOPICS, "spot": SPOT_TOPICS}


def open_exchange(**options):
    """A fast exchange of a few symbols, whose time does not depend on today's."""
    usual = {"speed": 50.0, "symbols": ["XBTUSDTM", "BTC-USDT", "ETH-BTC"], "start": START}
    return Exchange(**(usual | {"machine": clocks.current().machine} | options))


def ask(method, url, **options):
    """Send one request; the wait for its answer goes by the time that the tests live in."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy leads to this machine, and looking for one takes long
        adapt(session)
        return session.request(method, url, **({"timeout": 10} | options))


def connect(url, **options):
    """Open a socket; its waits go by the time that the tests live in."""
    parts = urlsplit(url)
    opened = dial(parts.hostname, parts.port, 10)
    # Text is checked when it is decoded; checked before as well, byte by byte, it takes longer than
    # all else that a test does with it.
    usual = {"timeout": 10, "skip_utf8_validation": True}
    return websocket.create_connection(url, socket=opened, **(usual | options))


def base_url(exchange, market="futures"):
    return exchange.futures_url if market == "futures" else exchange.spot_url


def get(exchange, path, market="futures", **parameters):
    return ask("GET", base_url(exchange, market) + path, params=parameters)


def data_of(exchange, path, market="futures", **parameters):
    reply = get(exchange, path, market, **parameters).json()
    assert reply["code"] == "200000", reply
    return reply["data"]


def token_data(exchange, market="futures"):
    url = base_url(exchange, market) + "/api/v1/bullet-public"
    return ask("POST", url).json()["data"]


class Client:
    """One socket. Frames are kept as text in `frames`, in the order of arrival."""

    def __init__(self, exchange, market="futures", token=None, connect_id="c1", **options):
        data = token_data(exchange, market)
        self.token = token or data["token"]
        endpoint = data["instanceServers"][0]["endpoint"]
        self.socket = connect(f"{endpoint}?token={self.token}&connectId={connect_id}", **options)
        self.frames = []
        self._parsed = []  # the first of them, as objects

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.socket.shutdown()

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def receive(self):
        """The next text frame, as an object."""
        text = self.socket.recv()
        assert text, "closed"
        self.frames.append(text)
        return json.loads(text)

    def until(self, wanted, timeout=20.0):
        """Receive until a frame satisfies; give it."""
        clock = clocks.current()
        deadline = clock.monotonic() + timeout
        while clock.monotonic() < deadline:
            frame = self.receive()
            if wanted(frame):
                return frame
        raise AssertionError("that frame did not come")

    def close_code(self):
        """Receive until the close frame; give its code and reason, None without one."""
        try:
            while True:
                opcode, payload = self.socket.recv_data(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(payload[:2], "big"), payload[2:].decode()
                self.frames.append(payload.decode())
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return None

    def subscribe(self, topic, message_id="s1"):
        """Subscribe and wait for the ack."""
        self.send(id=message_id, type="subscribe", topic=topic, response=True)
        return self.until(
            lambda frame: frame.get("id") == message_id and frame["type"] != "message"
        )

    def messages(self, topic=None):
        self._parsed += map(json.loads, self.frames[len(self._parsed) :])
        return [
            frame
            for frame in self._parsed
            if frame.get("type") == "message" and topic in (None, frame["topic"])
        ]


def record(exchange, market, topics, seconds):
    """Subscribe at virtual time zero, let `seconds` pass, pause; the client has all frames."""
    exchange.pause()
    client = Client(exchange, market)
    for number, topic in enumerate(sorted(topics)):
        assert client.subscribe(topic, f"s{number}")["type"] == "ack"
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    client.until(lambda _: exchange.now_ns >= end, timeout=60.0)
    exchange.pause()
    drain(client)
    return client


def drain(client):
    """Receive everything that was sent so far: the answer to a ping comes last."""
    client.send(id="drained", type="ping")
    client.until(lambda frame: frame["type"] == "pong" and frame["id"] == "drained")
