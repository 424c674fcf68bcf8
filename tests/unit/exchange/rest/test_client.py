"""The REST side against a real HTTP server on loopback that answers from a script."""

import base64
import hmac
import itertools
import json
import logging
import random
import socket
import struct
import threading
from collections.abc import Container, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from kucoin_research import errors
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.calls import Call
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.rest.paging import Leaps
from kucoin_research.exchange.token import Server, Token
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation.clocks import Clock
from kucoin_research.model.channels import CANDLE_INTERVALS, Market
from kucoin_research.model.instruments import check_trading

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

PAYLOADS = Path(__file__).parents[3] / "payloads" / "rest"
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW_NS = 1_790_000_000_000_000_000
SECRET = "2neAiuYvAU61ZDXA"  # the example token begins so


def payload(name):
    return (PAYLOADS / f"{name}.json").read_bytes()


class Answer(NamedTuple):
    """One scripted reply."""

    body: bytes
    status: int = 200
    headers: Mapping = MappingProxyType({})
    promised: int | None = None  # a Content-Length that the body does not keep
    fault: str | None = None  # "reset", "hang" or "vanish" instead of a reply


class Asked(NamedTuple):
    """One request as it arrived."""

    method: str
    path: str
    query: dict
    headers: dict


def ok(data, **rest):
    return Answer(json.dumps({"code": "200000", "data": data}).encode(), **rest)


def refusal(code, message="no", status=200, **headers):
    body = json.dumps({"msg": message, "code": code}).encode()
    return Answer(body, status, {name.replace("_", "-"): text for name, text in headers.items()})


LIMITED = {"gw_ratelimit_limit": "2000", "gw_ratelimit_remaining": "0"}


@dataclass
class Exchange:
    """What the server answers: a list, last one repeated, or a function of the request."""

    answers: object = field(default_factory=list)
    asked: list = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, asked):
        self.asked.append(asked)
        if callable(self.answers):
            return self.answers(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    exchange: Exchange

    def _serve(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        query = {name: texts[0] for name, texts in parse_qs(parts.query).items()}
        answer = self.exchange.answer(Asked(self.command, parts.path, query, dict(self.headers)))
        if answer.fault is not None:
            self._break(answer.fault)
            return
        self.send_response(answer.status)
        for name, text in answer.headers.items():
            self.send_header(name, text)
        length = len(answer.body) if answer.promised is None else answer.promised
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = answer.promised is not None

    def _break(self, fault):
        self.close_connection = True
        if fault == "hang":
            self.exchange.ended.wait(60)
        elif fault == "reset":
            # Lingering for 0 s makes close send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    do_GET = do_POST = _serve  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def exchange():
    served = Exchange()
    handler = type("BoundHandler", (Handler,), {"exchange": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Waiter(Clock):
    """Instead of waiting: notes how long it would have been, and moves on by that."""

    def __init__(self):
        self.waits = []
        self.now = 100.0
        self.walls = itertools.repeat(NOW_NS)
        self.steadies = itertools.repeat(100_000_000_000)
        self.chances = itertools.repeat(0.5)
        self.random = SimpleNamespace(random=lambda: next(self.chances))

    def monotonic(self):
        return self.now

    def wall_ns(self):
        return next(self.walls)

    def monotonic_ns(self):
        return next(self.steadies)

    def event(self):
        return _NotedEvent(self)


class _NotedEvent(threading.Event):
    def __init__(self, waiter):
        super().__init__()
        self._waiter = waiter

    def wait(self, timeout=None):
        self._waiter.waits.append(timeout)
        self._waiter.now += timeout
        return False


@pytest.fixture
def waiter():
    return Waiter()


@pytest.fixture
def rest(exchange, waiter):
    with client(exchange, waiter) as opened:
        yield opened


@contextmanager
def client(exchange, waiter, **options):
    usual = {"clock": waiter, "timeout": (60.0, 60.0)}
    with Rest(Venue(exchange.url, exchange.url), **(usual | options)) as opened:
        yield opened


# -- calls -----------------------------------------------------------------------------------------


def test_a_token_is_read_with_its_rhythm_in_seconds(exchange, rest):
    exchange.answers = [Answer(payload("bullet_public"))]

    token = rest.token("futures")

    assert exchange.asked[0][:2] == ("POST", "/api/v1/bullet-public")
    assert token.servers == (Server("wss://ws-api-futures.kucoin.com/", 18.0, 10.0),)
    assert token.simulation is None
    assert token.url(connect_id="c1").endswith("EXAMPLE-WG10eug%3D%3D&connectId=c1")
    assert token.url().startswith("wss://ws-api-futures.kucoin.com/?token=2neAiu")


def test_a_simulated_exchange_tells_its_speed(exchange, rest):
    data = json.loads(payload("bullet_public"))["data"] | {"simulation": {"speed": 60}}
    exchange.answers = [ok(data)]

    assert rest.token("spot").simulation == 60.0


def test_a_token_is_masked_when_shown():
    token = Token("secret-token", (Server("wss://h/", 18.0, 10.0),))

    assert "secret" not in repr(token) + str(token) + f"{token}"
    assert "token='***'" in repr(token)


@pytest.mark.parametrize(
    "data",
    [
        {"token": "", "instanceServers": [{"endpoint": "wss://h/"}]},
        {"token": "t", "instanceServers": []},
        {"token": "t", "instanceServers": [{"endpoint": "https://h/"}]},
        {"token": "t", "instanceServers": [{"endpoint": "wss://h/", "pingInterval": 0}]},
        {"instanceServers": [{"endpoint": "wss://h/"}]},
        None,
    ],
)
def test_a_token_that_cannot_be_used_is_a_bad_reply(exchange, rest, data):
    exchange.answers = [ok(data)]

    with pytest.raises(errors.BadReply, match="not as documented"):
        rest.token("futures")


def test_server_time_is_nanoseconds(exchange, rest):
    exchange.answers = [Answer(payload("timestamp"))]

    assert rest.server_time("spot") == 1_729_260_030_774_000_000


@pytest.mark.parametrize("set_by", [0, 3_600_000_000_000])
def test_clock_offset_is_known_to_half_the_round_trip_also_of_a_clock_that_was_set(
    exchange, waiter, set_by
):
    exchange.answers = [ok(NOW_NS // 1_000_000 + 2_050)]
    waiter.steadies = iter([0, 100_000_000, 100_000_000])  # sent, received, and reckoned with
    waiter.walls = iter([NOW_NS + 100_000_000, NOW_NS + 100_000_000 + set_by])

    with client(exchange, waiter) as rest:
        offset = rest.clock_offset("futures")

    assert offset.offset_ns == 2_000_500_000 - set_by
    assert offset.uncertainty_ns == 50_500_000


def test_clock_offset_may_be_that_of_another_clock_than_the_wall_clock(exchange, waiter):
    exchange.answers = [ok(NOW_NS // 1_000_000)]

    with client(exchange, waiter) as rest:
        offset = rest.clock_offset("futures", lambda: NOW_NS - 5_000_000_000)

    assert offset.offset_ns == 5_000_500_000


def test_status_is_read(exchange, rest):
    exchange.answers = [Answer(payload("status"))]

    assert rest.status("spot") == ("open", "")


def test_contracts_become_instruments(exchange, rest):
    exchange.answers = [Answer(payload("contracts_active"))]

    perpetual, dated = rest.contracts()

    assert (perpetual.symbol, perpetual.market) == ("XBTUSDTM", Market.FUTURES)
    assert (perpetual.tick_size, perpetual.lot_size) == (0.1, 1.0)
    assert (perpetual.maker_fee, perpetual.taker_fee) == (0.0002, 0.0006)
    assert (perpetual.contract_multiplier, perpetual.is_inverse) == (0.001, False)
    assert (perpetual.funding_interval_ms, perpetual.expires) == (28_800_000, None)
    assert (perpetual.index_symbol, perpetual.display_name) == (".KXBTUSDT", "BTCUSDTM")
    assert (dated.contract_multiplier, dated.is_inverse, dated.settle) == (-1.0, True, "XBT")
    assert (dated.funding_interval_ms, dated.expires) == (None, 1_798_185_600 * SECOND)
    assert dated.max_size == 1_000_000.0


def test_one_contract_is_read(exchange, rest):
    exchange.answers = [Answer(payload("contract"))]

    assert rest.contract("XBTUSDTM").is_open
    assert exchange.asked[0].path == "/api/v1/contracts/XBTUSDTM"


def test_spot_symbols_become_instruments(exchange, rest):
    exchange.answers = [Answer(payload("spot_symbols"))]

    (pair,) = rest.spot_symbols()

    assert (pair.symbol, pair.market, pair.settle) == ("BTC-USDT", Market.SPOT, "USDT")
    assert (pair.tick_size, pair.lot_size, pair.min_size) == (0.1, 1e-8, 1e-5)
    assert (pair.maker_fee, pair.taker_fee, pair.contract_multiplier) == (0.001, 0.001, 1.0)
    assert pair.is_open


def test_one_spot_symbol_that_is_closed(exchange, rest):
    (row,) = json.loads(payload("spot_symbols"))["data"]
    exchange.answers = [ok(row | {"enableTrading": False, "feeCategory": 9})]

    pair = rest.spot_symbol("BTC-USDT")

    assert not pair.is_open
    assert pair.maker_fee is None


@pytest.mark.parametrize("broken", [{"tickSize": None}, {"tickSize": 0}, {"multiplier": "x"}])
def test_a_broken_row_is_told_and_left_out(exchange, rest, caplog, broken):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([rows[0] | broken, rows[1]])]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = rest.contracts()

    assert [each.symbol for each in found] == ["XBTMZ26"]
    assert "left out of the list of contracts" in caplog.text


@pytest.mark.parametrize(
    ("odd", "names"),
    [
        ({"maxLeverage": "plenty"}, ["maxLeverage"]),
        ({"status": 7}, ["status"]),
        ({"expireDate": "soon", "makerFeeRate": [1]}, ["expireDate", "makerFeeRate"]),
        ({"displaySymbol": {"en": "XBT"}}, ["displaySymbol"]),
    ],
)
def test_a_contract_with_an_odd_optional_field_is_listed_without_it(
    exchange, rest, caplog, odd, names
):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([rows[0] | odd, rows[1]])]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = rest.contracts()

    assert [each.symbol for each in found] == [row["symbol"] for row in rows[:2]]
    assert all(name in caplog.text for name in names)
    assert found[0].tick_size == rows[0]["tickSize"]
    expected = {"maxLeverage": "max_leverage", "makerFeeRate": "maker_fee", "expireDate": "expires",
                "displaySymbol": "display_name", "status": "status"}  # fmt: skip
    assert all(getattr(found[0], expected[name]) is None for name in names if name in expected)


@pytest.mark.parametrize(
    "odd",
    [{"isInverse": "?"}, {"isInverse": [True]}, {"settleCurrency": {}}, {"multiplier": None},
     {"isInverse": False}],
    ids=str,
)  # fmt: skip
def test_what_sizes_mean_is_never_made_up(exchange, rest, caplog, odd):
    linear, inverse = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([linear, inverse | odd]), ok(inverse | odd)]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = rest.contracts()
    with pytest.raises(errors.BadReply, match=next(iter(odd))):
        rest.contract("XBTMZ26")

    assert [each.symbol for each in found] == ["XBTUSDTM"]
    assert "left out of the list of contracts: XBTMZ26" in caplog.text


# What a field may hold that no decoder reads, beside values of another kind.
ODD = {
    "infinite": b"1e999",
    "long": b"9" * 400,
    "half a pair": rb'"\ud800"',
    "the other half": rb'"a\udc00"',
    "deep": b"[" * 5_000 + b"]" * 5_000,
    "no UTF-8": b'"\xff"',
    "a control character": b'"\x01"',
    "no JSON": b"-",
    "an object": rb'{"a": "]},\"", "b": [1, {}]}',
    "a word": b'"n/a"',
}


def with_field(row, name, value):
    """Write a row with a field of which JSON has no idea."""
    text = json.dumps({key: each for key, each in row.items() if key != name}).encode()
    return text[:-1] + b', "%s": %s}' % (name.encode(), value)


def replying(rows, around=b"%s"):
    return Answer(b'{"code": "200000", "data": %s}' % (around % (b"[%s]" % b",".join(rows))))


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["maxLeverage", "status", "isQuanto", "settleCurrency"])
def test_an_odd_field_of_a_contract_costs_no_more_than_itself(exchange, rest, caplog, name, value):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [replying([with_field(rows[0], name, value), json.dumps(rows[1]).encode()])]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = {each.symbol: each for each in rest.contracts()}

    is_text = value == ODD["a word"] and name in ("status", "settleCurrency")
    is_lost = name == "settleCurrency" and not is_text
    assert list(found) == ["XBTUSDTM", "XBTMZ26"][is_lost:]
    assert (name in caplog.text) is (name != "isQuanto" and not is_text)
    if name == "maxLeverage":
        assert found["XBTUSDTM"].max_leverage is None
    assert found["XBTMZ26"].max_leverage == rows[1]["maxLeverage"]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_odd_field_of_one_ticker_costs_no_more_than_itself(exchange, rest, caplog, value):
    futures = {"symbol": "XBTUSDTM", "price": "1", "size": 2, "ts": 1_700_000_000_000_000_000}
    spot = {"symbol": "BTC-USDT", "last": "1", "vol": "2", "bestBidSize": "3"}
    statistics = {"symbol": "XBTUSDTM", "lastTradePrice": 1, "volumeOf24h": 2}
    every_pair = b'{"ticker": %s, "time": 1700000000000}'

    def odd(row, name, around=b"%s"):
        return replying([json.dumps(row).encode(), with_field(row, name, value)], around)

    exchange.answers = [
        odd(futures, "size"), odd(spot, "bestBidSize", every_pair), odd(statistics, "volumeOf24h"),
        odd(spot, "vol", every_pair), Answer(b'{"code": "200000", "data": %s}' % (
            with_field(spot, "vol", value))),
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        contracts, pairs = rest.tickers("futures"), rest.tickers("spot")
        their_stats, pair_stats = rest.stats(), rest.stats(market="spot")
        (of_one,) = rest.stats("BTC-USDT")

    assert [(row.price, row.size) for row in contracts] == [(1.0, 2.0), (1.0, None)]
    assert contracts[1].timestamp == 1_700_000_000_000_000_000
    assert [(row.price, row.best_bid_size) for row in pairs] == [(1.0, 3.0), (1.0, None)]
    assert [(row.last_price, row.volume) for row in their_stats] == [(1.0, 2.0), (1.0, None)]
    assert [(row.last_price, row.volume) for row in pair_stats] == [(1.0, 2.0), (1.0, None)]
    assert (of_one.last_price, of_one.volume) == (1.0, None)
    assert caplog.text.count("which makes no sense") == 5


def test_one_time_that_is_none_costs_no_other_ticker(exchange, rest, caplog):
    rows = [{"symbol": "A", "ts": -1}, {"symbol": "B", "ts": 1_700_000_000_000_000_000}]
    exchange.answers = [ok(rows), ok({"ticker": rows, "time": -1}), ok({"symbol": "A", "time": -1})]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        of_contracts, of_pairs = rest.tickers("futures"), rest.tickers("spot")
        of_one = rest.stats("A-B", market="spot")

    times = [row.timestamp for row in (*of_contracts, *of_pairs, *of_one)]
    assert times == [None, 1_700_000_000_000_000_000, None, None, None]
    assert caplog.text.count("1 times in ") == 3


def test_rows_of_which_none_makes_sense_are_refused_with_the_reason(exchange, rest):
    exchange.answers = [ok([{"symbol": "XBTUSDTM", "tickSize": "?"}])]

    with pytest.raises(errors.BadReply, match=r"none of its 1 rows makes sense.*XBTUSDTM"):
        rest.contracts()


def test_many_odd_rows_are_told_in_a_few_lines(exchange, rest, caplog):
    rows = [{"symbol": f"A{i}USDTM", "size": "n/a"} for i in range(500)]
    exchange.answers = [ok(rows)]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        assert len(rest.tickers()) == 500

    assert len(caplog.records) == 21
    assert "480 more rows" in caplog.text


def test_what_is_not_sent_of_an_inverse_contract_is_told_by_its_multiplier(exchange, rest):
    inverse = json.loads(payload("contracts_active"))["data"][1]
    exchange.answers = [ok(inverse | {"isInverse": None, "settleCurrency": None})]

    found = rest.contract("XBTMZ26")

    assert (found.is_inverse, found.settle) == (True, "XBT")
    assert found.notional(10, 50_000.0) == 0.0002


@pytest.mark.parametrize("status", [["Paused"], 7, None, ""])
def test_a_contract_whose_status_is_not_known_does_not_count_as_active(exchange, rest, status):
    row = json.loads(payload("contracts_active"))["data"][0]
    exchange.answers = [ok([row | {"status": status}]), ok(row | {"status": status})]

    for found in (*rest.contracts(), rest.contract("XBTUSDTM")):
        assert (found.status, found.is_open) == (None, False)
        check_trading(found)  # its stream may bring something


@pytest.mark.parametrize("enabled", ["perhaps", [False], None])
def test_a_pair_of_which_is_not_known_whether_it_trades_is_not_active(exchange, rest, enabled):
    (row,) = json.loads(payload("spot_symbols"))["data"]
    exchange.answers = [ok([row | {"enableTrading": enabled}])]

    (found,) = rest.spot_symbols()

    assert (found.status, found.is_open) == (None, False)


def test_an_odd_funding_interval_is_not_taken_from_elsewhere(exchange, rest):
    row = json.loads(payload("contracts_active"))["data"][0]
    exchange.answers = [ok([row | {"currentFundingRateGranularity": "soon"}])]

    (found,) = rest.contracts()

    assert found.funding_interval_ms is None


def test_an_expiry_that_is_no_time_is_none(exchange, rest):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([rows[0] | {"expireDate": -1}])]

    (found,) = rest.contracts()

    assert found.expires is None


def test_a_futures_book_is_read(exchange, rest):
    exchange.answers = [Answer(payload("futures_level2_snapshot"))]

    book = rest.level2_snapshot("XBTUSDM")

    assert exchange.asked[0][1:3] == ("/api/v1/level2/snapshot", {"symbol": "XBTUSDM"})
    assert (book.sequence, book.timestamp) == (1697895963339, 1729168101216000000)
    assert book.bids == [(66968.0, 2.0), (66964.8, 25596.0)]
    assert book.asks == [(66968.1, 13501.0), (66968.7, 2032.0)]
    assert book.is_whole


def test_a_spot_book_is_read(exchange, rest):
    exchange.answers = [Answer(payload("spot_level2_20"))]

    book = rest.order_book("BTC-USDT", 20)

    assert exchange.asked[0].path == "/api/v1/market/orderbook/level2_20"
    assert (book.sequence, book.timestamp) == (14610502970, 1729176273859000000)
    assert book.asks == [(66976.5, 0.05408199)]


@pytest.mark.parametrize(
    ("symbol", "depth", "path"),
    [
        ("XBTUSDTM", 1, "/api/v1/level2/depth20"),
        ("XBTUSDTM", 21, "/api/v1/level2/depth100"),
        ("XBTUSDTM", 101, "/api/v1/level2/snapshot"),
        ("XBTUSDTM", None, "/api/v1/level2/snapshot"),
        ("BTC-USDT", 20, "/api/v1/market/orderbook/level2_20"),
        ("BTC-USDT", 100, "/api/v1/market/orderbook/level2_100"),
        ("BTC-USDT", None, "/api/v1/market/orderbook/level2_100"),
    ],
)
def test_the_shallowest_call_that_reaches_the_depth_is_used(exchange, rest, symbol, depth, path):
    levels = [[100 - i, 1] for i in range(30)]
    exchange.answers = [ok({"sequence": 5, "bids": levels, "asks": None})]

    book = rest.order_book(symbol, depth)

    assert exchange.asked[0].path == path
    assert len(book.bids) == min(30, depth or 30)
    assert book.asks == []


@pytest.mark.parametrize(("count", "whole"), [(99, True), (100, False)])
def test_a_book_cut_off_by_the_exchange_is_not_whole(exchange, rest, count, whole):
    levels = [[1000 - i, 1] for i in range(count)]
    exchange.answers = [ok({"sequence": 5, "bids": levels, "asks": []})]

    assert rest.level2_snapshot("BTC-USDT").is_whole is whole


def test_a_whole_spot_book_is_asked_for_with_a_signature(exchange, signer):
    levels = [[str(1000 - i), "1"] for i in range(500)]
    exchange.answers = [ok({"time": 1729176273859, "sequence": "5", "bids": levels, "asks": []})]

    book = signer.order_book("BTC-USDT", 300)
    exchange.answers = [ok({"sequence": "5", "bids": levels[:20], "asks": []})]
    signer.order_book("BTC-USDT", 20)

    deep, shallow = exchange.asked
    assert deep[1:3] == ("/api/v3/market/orderbook/level2", {"symbol": "BTC-USDT"})
    text = f"{deep.headers['KC-API-TIMESTAMP']}GET/api/v3/market/orderbook/level2?symbol=BTC-USDT"
    signed = hmac.new(b"marker-secret", text.encode(), "sha256")
    assert deep.headers["KC-API-SIGN"] == base64.b64encode(signed.digest()).decode()
    assert len(book.bids) == 300
    assert not any("KC-API" in name.upper() for name in shallow.headers)


def test_a_whole_spot_book_without_a_key_is_not_asked_for(exchange, rest):
    with pytest.raises(errors.CredentialsMissing, match="depth=101 of BTC-USDT needs credentials="):
        rest.order_book("BTC-USDT", 101)

    assert exchange.asked == []


@pytest.mark.parametrize("depth", [0, -1, True])
def test_a_depth_that_cannot_be_had_is_refused_unsent(exchange, rest, depth):
    with pytest.raises(errors.InvalidInput, match="depth"):
        rest.order_book("BTC-USDT", depth)

    assert exchange.asked == []


# -- nothing where a price would be ----------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_level_without_a_price_is_left_out_of_a_book(exchange, rest, symbol):
    levels = [[str(1000 - i), "1"] for i in range(99)]
    exchange.answers = [ok({"sequence": "5", "bids": [*levels, ["0", "1"]], "asks": None})]

    book = rest.order_book(symbol, 100)

    assert [price for price, _ in book.bids] == [1000.0 - i for i in range(99)]
    assert book.asks == []
    assert not book.is_whole  # a hundred entries came: as many as there can be


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_trade_at_a_price_of_zero_has_none(exchange, rest, symbol):
    row = {"sequence": 5, "price": "0", "size": "0", "side": "buy", "time": NOW_NS, "ts": NOW_NS}
    exchange.answers = [ok([row])]

    (trade,) = rest.trades(symbol)

    assert (trade.price, trade.size) == (None, 0.0)


@pytest.mark.parametrize("nothing", ["0", 0, "0.000", None])
def test_a_quote_of_zero_in_a_ticker_is_none(exchange, rest, nothing):
    futures = {"symbol": "X", "price": nothing, "size": 0, "bestBidPrice": nothing,
               "bestBidSize": 0, "bestAskPrice": nothing, "bestAskSize": 0}  # fmt: skip
    exchange.answers = [ok([futures])]
    (row,) = rest.tickers("futures")
    spot = {"symbol": "X", "last": nothing, "buy": nothing, "bestBidSize": "0", "sell": nothing,
            "bestAskSize": "0"}  # fmt: skip
    exchange.answers = [ok({"time": 1729176273859, "ticker": [spot]})]
    (pair,) = rest.tickers("spot")

    assert row[4:] == (None, 0.0, None, None, 0.0, None, 0.0)
    assert pair[4:] == (None, None, None, None, 0.0, None, 0.0)


@pytest.mark.parametrize("symbol", ["X", None])
def test_statistics_without_a_trade_have_no_prices(exchange, rest, symbol):
    contract = {"symbol": "X", "lastTradePrice": 0, "highPrice": 0, "lowPrice": 0,
                "volumeOf24h": 0, "turnoverOf24h": 0, "priceChg": 0, "priceChgPct": 0}  # fmt: skip
    exchange.answers = [ok(contract if symbol else [contract])]
    futures = rest.stats(symbol, market="futures")
    pair = {"symbol": "X", "last": "0", "high": "0", "low": "0", "vol": "0", "volValue": "0",
            "changePrice": "0", "changeRate": "0"}  # fmt: skip
    exchange.answers = [ok(pair if symbol else {"ticker": [pair]})]
    spot = rest.stats(symbol, market="spot")

    for (row,) in (futures, spot):
        assert row[3:] == (None, None, None, 0.0, 0.0, 0.0, 0.0)


def test_a_mark_and_an_index_of_zero_are_none(exchange, rest):
    exchange.answers = [ok({"timePoint": END_S * 1000, "value": 0, "indexPrice": 0})]

    row = rest.mark_price("XBTUSDTM")

    assert (row.mark_price, row.index_price) == (None, None)


def test_a_history_keeps_zeros_that_are_no_prices(exchange, rest):
    def answer(asked):
        rows = [{"symbol": ".X", "timePoint": START_S * 1000, "value": 0}]
        is_clock = asked.path.endswith("timestamp")
        return ok(END_S * 1000 if is_clock else {"dataList": rows, "hasMore": False})

    exchange.answers = answer
    span = (START_S * SECOND, START_S * SECOND)

    (index,) = rest.index_prices(".KXBTUSDT", *span)
    (premium,) = rest.premium_index("XBTUSDTM", *span)

    assert index.index_price is None
    assert premium.premium_index == 0.0


@pytest.mark.parametrize(
    ("symbol", "price"), [("XBTUSDTM", None), ("BTC-USDT", None), (".XBTUSDTMPI", 0.0)]
)
def test_a_candle_of_zeros_has_no_prices_but_for_a_premium(exchange, rest, symbol, price):
    start = START_S if symbol == "BTC-USDT" else START_S * 1000
    exchange.answers = [ok([[start, "0", "0", "0", "0", "0", "0"]])]

    (candle,) = rest.candles_page(symbol, "1min")

    assert candle[4:] == (price, price, price, price, 0.0, 0.0)


# -- trades ----------------------------------------------------------------------------------------


def test_futures_trades_are_turned_round(exchange, rest):
    exchange.answers = [Answer(payload("futures_trade_history"))]

    first, last = rest.trades("XBTUSDM")

    assert first == (
        1729163001780000000, NOW_NS, "XBTUSDM", 1697901180000, "1697901180000", "sell", 67158.4,
        2936.0,
    )  # fmt: skip
    assert (last.sequence, last.local_timestamp) == (1697901180001, NOW_NS + 1)


def test_spot_trades_keep_their_order_and_exact_sequences(exchange, rest):
    exchange.answers = [Answer(payload("spot_histories"))]

    trades = rest.trades("BTC-USDT")

    assert [trade.sequence for trade in trades] == [10976028003549185, 10976028003549188]
    assert trades[0].trade_id == "10976028003549185"


def test_arrival_stamps_increase_over_calls_though_the_clock_stands(exchange, rest):
    exchange.answers = [Answer(payload("spot_histories"))]

    stamps = [t.local_timestamp for _ in range(3) for t in rest.trades("BTC-USDT")]

    assert stamps == list(range(NOW_NS, NOW_NS + 6))


def test_the_reply_names_no_secret_and_the_request_says_who_asks(exchange, rest):
    exchange.answers = [Answer(payload("status"))]

    rest.status()

    assert exchange.asked[0].headers["User-Agent"].startswith("kucoin-research/")


@pytest.mark.parametrize("symbol", ["", "  ", None, 7])
def test_what_is_no_symbol_is_refused_unsent(exchange, rest, symbol):
    for call in (rest.contract, rest.spot_symbol, rest.trades, rest.level2_snapshot, rest.candles):
        with pytest.raises(errors.UnknownSymbol):
            call(symbol)

    assert exchange.asked == []


@pytest.mark.parametrize(
    ("symbol", "path"), [("A/../B?x#y", "A%2F..%2FB%3Fx%23y"), ("..", "%2E%2E"), ("é", "%C3%A9")]
)
def test_a_symbol_stays_one_part_of_the_path(exchange, rest, symbol, path):
    exchange.answers = [refusal("404000")]

    with pytest.raises(errors.NotFound):
        rest.contract(symbol)

    assert exchange.asked[0].path in (f"/api/v1/contracts/{path}", f"/api/v1/contracts/{symbol}")


# -- candles and funding ---------------------------------------------------------------------------


def test_futures_candles_are_read(exchange, rest):
    exchange.answers = [Answer(payload("futures_kline"))]
    start = 1729175400 * SECOND

    first, second = rest.candles_page("XBTUSDTM", "1min", start, start + MINUTE)

    assert exchange.asked[0].query == {
        "symbol": "XBTUSDTM", "granularity": "1", "from": "1729175400000", "to": "1729175460000"
    }  # fmt: skip
    assert first == (
        start, NOW_NS, "XBTUSDTM", "1min", 67100.1, 67120.0, 67090.5, 67110.2, 2048.0, 137438.9
    )  # fmt: skip
    assert second.timestamp == start + MINUTE


def test_futures_candles_of_six_columns_have_no_turnover(exchange, rest):
    exchange.answers = [Answer(payload("futures_kline_6_columns"))]

    (candle,) = rest.candles_page("XBTUSDTM", "1min")

    assert (candle.volume, candle.turnover) == (2048.0, None)


def test_spot_candles_have_the_close_second_and_come_newest_first(exchange, rest):
    exchange.answers = [Answer(payload("spot_candles"))]

    first, second = rest.candles_page("BTC-USDT", "1min", 1566789720 * SECOND, 1566789780 * SECOND)

    assert exchange.asked[0].query == {
        "symbol": "BTC-USDT", "type": "1min", "startAt": "1566789720", "endAt": "1566789781"
    }  # fmt: skip
    assert first[4:] == (10411.5, 10411.5, 10396.3, 10401.9, 29.11357276, 302889.301529914)
    assert second.timestamp == 1566789780 * SECOND


@dataclass
class Klines:
    """A market's candles: one a minute but for holes, in pages as each market gives them."""

    now_s: int
    holes: Container = range(0)
    oldest_s: int = 1_788_900_000
    includes_end: bool = True
    page: int | None = None  # as documented unless given
    keeps: str | None = None  # which end of a span a page holds, "oldest" or "newest"
    newest_s: int = 10**12
    looks_ahead_s: int = 10**12  # how far it looks for rows where it is given no end

    def __call__(self, asked):
        if asked.path.endswith("timestamp"):
            return ok(self.now_s * 1000)
        if asked.path == "/api/v1/kline/query":
            first, last = int(asked.query.get("from", 0)), asked.query.get("to")
            last = first + self.looks_ahead_s * 1000 if last is None else int(last)
            keeps = "oldest" if "from" in asked.query else "newest"
            if {"from", "to"} <= asked.query.keys():
                keeps = self.keeps or keeps
            times = cut(self.times(first, last, 1000), self.page or 200, keeps)
            return ok([[t * 1000, 1, 2, 0.5, 1.5, 10, 15] for t in times])
        times = self.times(int(asked.query["startAt"]), int(asked.query["endAt"]), 1)
        times = cut(times, self.page or 1500, self.keeps or "newest")
        return ok([[str(t), "1", "1.5", "2", "0.5", "10", "15"] for t in times[::-1]])

    def times(self, first, last, unit):
        first = max(-(-first // unit), self.oldest_s)
        last = last // unit if self.includes_end else last // unit - 1
        last = min(last, self.now_s, self.newest_s)
        return [t for t in range(-(-first // 60) * 60, last + 1, 60) if t not in self.holes]


def cut(times, page, keeps):
    """Cut ascending times to a page."""
    return times[:page] if keeps == "oldest" else times[-page:]


START_S = 1_789_000_020  # a whole minute
END_S = START_S + 4_000 * 60


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("includes_end", [True, False])
def test_a_long_span_is_whole_ascending_and_without_duplicates(
    exchange, rest, symbol, includes_end
):
    exchange.answers = Klines(END_S + 600, includes_end=includes_end or symbol == "XBTUSDTM")

    candles = rest.candles(symbol, "1min", START_S * SECOND, END_S * SECOND)

    assert [c.timestamp for c in candles] == [t * SECOND for t in range(START_S, END_S + 1, 60)]
    assert all(c[4:] == (1.0, 2.0, 0.5, 1.5, 10.0, 15.0) for c in candles)
    stamps = [c.local_timestamp for c in candles]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_hole_longer_than_a_page_is_crossed(exchange, rest, symbol):
    holes = range(START_S + 60, END_S - 120)
    exchange.answers = Klines(END_S, holes=holes)

    candles = rest.candles(symbol, "1min", START_S * SECOND, END_S * SECOND)

    seconds = [c.timestamp // SECOND for c in candles]
    assert seconds == [START_S, END_S - 120, END_S - 60, END_S]


# Holes of all kinds, one longer than a page of either market, and none traded at the end.
SPARSE = [*range(20), 22, 23, 40, 150, *range(2_000, 2_031), 2_100]
SPARSE_END_S = START_S + 4_100 * 60


@pytest.mark.parametrize("keeps", ["oldest", "newest"])
@pytest.mark.parametrize(
    ("symbol", "page"),
    [("XBTUSDTM", page) for page in (1, 2, 7, 100, 199, 200, 500)]
    + [("BTC-USDT", page) for page in (1, 2, 7, 100, 200, 1499, 1500)],
)
def test_candles_come_whole_whatever_a_page_holds(exchange, rest, symbol, page, keeps):
    traded = {START_S + minute * 60 for minute in SPARSE}
    holes = set(range(START_S, SPARSE_END_S + 1, 60)) - traded
    exchange.answers = Klines(SPARSE_END_S, holes=holes, page=page, keeps=keeps)

    candles = rest.candles(symbol, "1min", START_S * SECOND, SPARSE_END_S * SECOND)

    assert [c.timestamp // SECOND for c in candles] == sorted(traded)


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("page", [100, 150])
def test_a_page_shorter_than_believed_costs_no_candle(exchange, rest, symbol, page):
    exchange.answers = Klines(END_S, page=page)

    candles = rest.candles(symbol, "1min", START_S * SECOND, (START_S + 1_000 * 60) * SECOND)

    assert [c.timestamp // SECOND for c in candles] == [START_S + i * 60 for i in range(1_001)]


@pytest.mark.parametrize(("symbol", "page"), [("XBTUSDTM", 200), ("BTC-USDT", 1_500)])
def test_a_page_as_long_as_believed_is_asked_for_once(exchange, rest, symbol, page):
    exchange.answers = Klines(END_S, page=page)

    rest.candles(symbol, "1min", START_S * SECOND, (START_S + (3 * page - 1) * 60) * SECOND)

    assert len(exchange.asked) == 1 + 3  # the time, then the pages


def test_a_hole_is_crossed_though_the_next_candle_is_not_told(exchange, rest):
    # Given no end, this server looks at no more minutes than a page has.
    holes = range(START_S + 60, END_S - 120)
    exchange.answers = Klines(END_S, holes=holes, looks_ahead_s=200 * 60)

    candles = rest.candles("XBTUSDTM", "1min", START_S * SECOND, END_S * SECOND)

    seconds = [c.timestamp // SECOND for c in candles]
    assert seconds == [START_S, END_S - 120, END_S - 60, END_S]


def test_an_end_long_after_the_last_candle_costs_a_few_calls(exchange, rest):
    exchange.answers = Klines(START_S + 400 * 86_400, newest_s=START_S + 300)

    candles = rest.candles("XBTUSDTM", "1min", START_S * SECOND)

    assert len(candles) == 6
    assert len(exchange.asked) <= 5


WEEK = 7 * 86_400
LENGTHS = {"1min": 60, "15min": 900, "1hour": 3_600, "1day": 86_400, "1week": WEEK}


class Pair:
    """The candles of a pair of every length, from the minutes in which it was traded."""

    def __init__(self, now_s, minutes):
        self.now_s, self.minutes = now_s, minutes

    def __call__(self, asked):
        if asked.path.endswith("timestamp"):
            return ok(self.now_s * 1000)
        length = LENGTHS[asked.query["type"]]
        first, last = (int(asked.query.get(name, 0)) for name in ("startAt", "endAt"))
        opened = sorted({(t // length) * length for t in self.minutes})
        times = [t for t in opened if first <= t and (t <= last or not last)]
        return ok([[str(t), "1", "1.5", "2", "0.5", "10", "15"] for t in times[-1500:][::-1]])


@pytest.mark.parametrize("interval", ["1min", "15min"])
@pytest.mark.parametrize(
    "days", [(364.0,), (0.0, 200.0, 364.5), (7.01, 7.02, 250.3), (364.9999,), ()], ids=str
)
def test_a_pair_that_was_hardly_traded_costs_a_few_calls(exchange, rest, interval, days):
    length = LENGTHS[interval]
    start, end = START_S // 3_600 * 3_600, START_S // 3_600 * 3_600 + 365 * 86_400
    minutes = [start + int(day * 86_400) // 60 * 60 + 60 * n for day in days for n in range(90)]
    minutes = [each for each in minutes if each <= end]
    exchange.answers = Pair(end, minutes)

    candles = rest.candles("NEW-USDT", interval, start * SECOND, end * SECOND)

    opened = sorted({t // length * length for t in minutes})
    assert [c.timestamp // SECOND for c in candles] == opened
    assert len(exchange.asked) <= 2 + 10 * (len(days) + 1)  # 351 pages of minutes


DAY = 86_400
# The minutes of a year in which a pair was traded, and the calls that it may cost: as many as page
# by page, and where there is a long gap (449 page by page), fewer.
RARELY = {
    "each third day": ([3 * DAY * i for i in range(120)], 490),
    "each fourth day": ([4 * DAY * i for i in range(90)], 460),
    "each second day, then in autumn": (
        [2 * DAY * i + 7 * 60 for i in range(60)] + [300 * DAY + 2 * DAY * i for i in range(30)],
        300,
    ),
}


@pytest.mark.parametrize("name", RARELY)
def test_a_pair_that_is_traded_every_few_pages_costs_no_more_for_the_search(exchange, rest, name):
    offsets, most = RARELY[name]
    start = START_S // WEEK * WEEK
    end = start + 365 * DAY
    minutes = [start + 5 * DAY + each for each in offsets]
    exchange.answers = Pair(end, minutes)

    candles = rest.candles("NEW-USDT", "1min", start * SECOND, end * SECOND)

    assert [c.timestamp // SECOND for c in candles] == minutes
    assert len(exchange.asked) <= most


def test_leaps_never_cost_much_more_than_they_save():
    rng = random.Random(7)
    page, calls_of_a_leap = 100, 3
    for _ in range(300):
        longest = rng.choice([3, 5, 40])
        rows = list(itertools.accumulate(rng.randrange(1, longest * page) for _ in range(400)))
        asked = [0]

        def find(low, high, rows=rows, asked=asked):
            asked[0] += calls_of_a_leap
            return next(each for each in rows if each >= low), calls_of_a_leap

        leap, empty = Leaps(page, find), 0
        low, plain = 0, 0
        for row in rows:
            plain += (row - low) // page
            while row - low > page:
                empty += 1
                low = leap(low + page, rows[-1])
            low = row + 1

        assert empty + asked[0] <= plain + calls_of_a_leap * 10


@pytest.mark.parametrize("seed", range(20))
def test_candles_of_a_pair_come_whole_whatever_was_traded(exchange, rest, seed):
    rng = random.Random(seed)
    start, end = START_S, START_S + 60 * 86_400
    minutes = set()
    for _ in range(rng.randrange(6)):
        since = rng.randrange(start, end) // 60 * 60
        minutes.update(range(since, since + 60 * rng.choice([1, 2, 2_000]), rng.choice([60, 600])))
    minutes = sorted(each for each in minutes if each <= end)
    exchange.answers = Pair(end, minutes)

    candles = rest.candles("NEW-USDT", "1min", start * SECOND, end * SECOND)

    assert [c.timestamp // SECOND for c in candles] == minutes


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("minutes", [[0], [4_000], range(1_900, 2_100)])
def test_candles_that_are_always_the_same_are_refused(exchange, rest, symbol, minutes):
    stuck = Klines(END_S)

    def answer(asked):
        if asked.path.endswith("timestamp"):
            return stuck(asked)
        times = [START_S + minute * 60 for minute in minutes]
        if symbol == "BTC-USDT":
            return ok([[str(t), "1", "1", "1", "1", "1", "1"] for t in times])
        return ok([[t * 1000, 1, 1, 1, 1, 1, 1] for t in times])

    exchange.answers = answer
    with pytest.raises(errors.BadReply, match=f"1min candles of {symbol} is not as documented: no"):
        rest.candles(symbol, "1min", START_S * SECOND, END_S * SECOND)

    assert len(exchange.asked) < 30


def test_a_candle_just_beside_the_bounds_is_left_out(exchange, rest):
    # A server may give the candle that a bound lies within.
    exchange.answers = [ok([[START_S * 1000, 1, 2, 0.5, 1.5, 10, 15]])]

    assert rest.candles_page("XBTUSDTM", "1min", (START_S + 1) * SECOND, END_S * SECOND) == []


def test_a_start_long_before_the_first_candle_costs_a_few_calls(exchange, rest):
    exchange.answers = Klines(END_S, oldest_s=END_S - 300)

    candles = rest.candles("XBTUSDTM", "1min", 0)

    assert len(candles) == 6
    assert len(exchange.asked) <= 4


@pytest.mark.parametrize(("symbol", "rows"), [("XBTUSDTM", 200), ("BTC-USDT", 1500)])
def test_without_a_start_the_last_page_comes(exchange, rest, symbol, rows):
    exchange.answers = Klines(END_S)

    candles = rest.candles(symbol)

    assert len(candles) == rows
    assert candles[-1].timestamp == END_S * SECOND


def test_a_span_in_the_future_is_refused(exchange, rest):
    exchange.answers = Klines(END_S)

    with pytest.raises(
        errors.InvalidInput, match=r"^start=.* lies in the future: it is .* at the exch"
    ):
        rest.candles("XBTUSDTM", "1min", (END_S + 60) * SECOND, (END_S + 600) * SECOND)


def test_bounds_between_candles_are_kept(exchange, rest):
    exchange.answers = Klines(END_S)

    candles = rest.candles("BTC-USDT", "1min", START_S * SECOND + 1, (START_S + 119) * SECOND)

    assert [c.timestamp // SECOND for c in candles] == [START_S + 60]


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
@pytest.mark.parametrize("interval", CANDLE_INTERVALS)
def test_every_interval_is_asked_for_or_refused_unsent(exchange, rest, symbol, interval):
    exchange.answers = [ok([])]

    if symbol == "XBTUSDTM" and interval in ("3min", "6hour", "1month"):
        with pytest.raises(errors.ChannelNotOffered, match=f"futures has no {interval}"):
            rest.candles_page(symbol, interval)
        assert exchange.asked == []
    else:
        assert rest.candles_page(symbol, interval) == []


def test_an_unknown_interval_is_answered_with_the_list(rest):
    with pytest.raises(errors.UnknownChannel, match="1min, 3min"):
        rest.candles("XBTUSDTM", "1m")


@pytest.mark.parametrize("cap", [1, 7, 100])
@pytest.mark.parametrize("newest_first", [True, False])
def test_funding_rates_come_whole_whatever_a_page_holds(exchange, rest, cap, newest_first):
    settled = [START_S * 1000 + i * 28_800_000 for i in range(23)]

    def answer(asked):
        first, last = int(asked.query["from"]), int(asked.query["to"])
        times = [t for t in settled if first <= t <= last]
        times = times[::-1][:cap] if newest_first else times[:cap]
        return ok([{"symbol": "XBTUSDTM", "fundingRate": 2.1e-4, "timepoint": t} for t in times])

    exchange.answers = answer
    rates = rest.funding_rates("XBTUSDTM", settled[1] * 1_000_000, settled[-1] * 1_000_000)

    assert [rate.timestamp for rate in rates] == [t * 1_000_000 for t in settled[1:]]
    assert rates[0][3:] == (0.00021, None)


def test_funding_rates_that_are_always_the_same_are_refused(exchange, rest):
    settled = [(START_S + i * 28_800) * 1000 for i in range(100, 200)]
    row = {"symbol": "XBTUSDTM", "fundingRate": 2.1e-4}
    exchange.answers = [ok([{**row, "timepoint": t} for t in settled])]

    with pytest.raises(errors.BadReply, match="funding rates of XBTUSDTM is not as documented: no"):
        rest.funding_rates("XBTUSDTM", START_S * SECOND, settled[-1] * 1_000_000)

    assert len(exchange.asked) == 2


@dataclass
class Points:
    """A published series of values; ``hasMore`` is told as the server likes."""

    traded: list
    step_s: int
    page: int = 100
    keeps: str = "newest"
    has_more: bool = False
    is_stuck: bool = False

    def __call__(self, asked):
        if asked.path.endswith("timestamp"):
            return ok(END_S * 1000)
        first, last = (int(asked.query[name]) // 1000 for name in ("startAt", "endAt"))
        times = [START_S + each * self.step_s for each in self.traded]
        if not self.is_stuck:
            times = [t for t in times if first <= t <= last]
        times = cut(times, min(self.page, int(asked.query["maxCount"])), self.keeps)
        rows = [{"symbol": ".X", "timePoint": t * 1000, "value": 1.0} for t in times[::-1]]
        return ok({"dataList": rows, "hasMore": self.has_more})


SERIES = [("index_prices", ".KXBTUSDT", 1), ("premium_index", "XBTUSDTM", 60)]


@pytest.mark.parametrize(("call", "symbol", "step_s"), SERIES)
@pytest.mark.parametrize("keeps", ["oldest", "newest"])
@pytest.mark.parametrize("page", [1, 2, 7, 99, 100])
@pytest.mark.parametrize("has_more", [True, False])
def test_a_series_comes_whole_whatever_a_page_holds(
    exchange, rest, call, symbol, step_s, keeps, page, has_more
):
    # One hole is longer than a page.
    there = [*range(103), 105, *range(150, 160), *range(420, 431), 700]
    exchange.answers = Points(there, step_s, page, keeps, has_more)
    end_s = START_S + 1_000 * step_s

    rows = getattr(rest, call)(symbol, START_S * SECOND, end_s * SECOND)

    assert [row.timestamp // SECOND for row in rows] == [START_S + i * step_s for i in there]


@pytest.mark.parametrize(("call", "symbol", "step_s"), SERIES)
def test_a_series_that_is_always_the_same_is_refused(exchange, rest, call, symbol, step_s):
    exchange.answers = Points([*range(500)], step_s, is_stuck=True)

    with pytest.raises(errors.BadReply, match=r"the history of .*XBT.* is not as documented: none"):
        getattr(rest, call)(symbol, START_S * SECOND, (START_S + 500 * step_s) * SECOND)


def test_funding_rates_read_the_documented_sample(exchange, rest):
    exchange.answers = [Answer(payload("funding_rates"))]

    rates = rest.funding_rates("XBTUSDTM", 1702267200000000000, 1702296000000000000)

    assert [rate.funding_rate for rate in rates] == [0.0001, 0.00021]


def test_spot_has_no_funding(rest):
    with pytest.raises(errors.ChannelNotOffered, match="spot pair"):
        rest.funding_rates("BTC-USDT", 0, 1)


# -- KuCoin's errors -------------------------------------------------------------------------------

CODES = {
    errors.AuthenticationFailed: [
        *range(400001, 400013), 400201, 400202, *range(400301, 400305), 400400, 400401, 400500,
        411100, 411200,
    ],
    errors.InvalidRequest: [
        100001, 100004, 400100, 400101, 400102, 400200, 400413, 415000, 420001, 420002, 260210,
        300000, 300018, 330005, 330008, 330011, 405,
    ],
    errors.NotFound: [404, 404000, 400600, 600203, 900001],
    errors.RateLimited: [429000, 429001, 429002, 1015],
    errors.ExchangeUnavailable: [230005, 500000, 501000, 503000, 504000, 505000],
    errors.ExchangeError: [777, 777777],
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "kind"), [(str(code), kind) for kind, codes in CODES.items() for code in codes]
)
@pytest.mark.parametrize("market", ["futures", "spot"])
def test_every_code_has_its_exception_and_a_sentence(exchange, rest, code, kind, market):
    exchange.answers = [refusal(code, "Some text.")]

    with pytest.raises(errors.ExchangeError) as caught:
        rest.status(market)

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.http_status) == (code, 200)
    host = urlsplit(exchange.url).netloc
    said = str(caught.value)
    assert said.startswith(f"{host} answered its status with code {code} ('Some text.'); ")
    assert "{" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("code", "market", "kind"),
    [
        ("200001", "futures", errors.InvalidRequest),
        ("200002", "futures", errors.RateLimited),
        ("200003", "futures", errors.NotFound),
        ("200001", "spot", errors.InvalidRequest),
        ("200002", "spot", errors.InvalidRequest),
        ("200003", "spot", errors.InvalidRequest),
    ],
)
def test_a_code_can_mean_two_things(exchange, rest, code, market, kind):
    exchange.answers = [refusal(code)]

    with pytest.raises(kind):
        rest.status(market)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("x", 401, errors.AuthenticationFailed),
        ("x", 403, errors.AuthenticationFailed),
        ("x", 404, errors.NotFound),
        ("x", 429, errors.RateLimited),
        ("x", 500, errors.ExchangeUnavailable),
        ("x", 418, errors.ExchangeError),
        ("400999", 400, errors.InvalidRequest),
        ("429999", 200, errors.RateLimited),
        ("404999", 200, errors.NotFound),
        ("502999", 200, errors.ExchangeUnavailable),
        (400100, 200, errors.InvalidRequest),
    ],
)
def test_an_unlisted_code_is_placed_by_status_and_family(exchange, rest, code, status, kind):
    exchange.answers = [refusal(code, status=status)]

    with pytest.raises(errors.ExchangeError) as caught:
        rest.status()

    assert type(caught.value) is kind


@pytest.mark.parametrize("recorded", json.loads(payload("errors")), ids=lambda r: r["body"]["msg"])
def test_recorded_errors_are_understood(exchange, rest, recorded):
    exchange.answers = [Answer(json.dumps(recorded["body"]).encode(), recorded["http"])]

    with pytest.raises(errors.ExchangeError, match=recorded["body"]["code"]) as caught:
        rest.trades("NOPE")

    assert type(caught.value) is not errors.ExchangeError
    assert len(exchange.asked) == 1


def test_a_misspelt_symbol_is_answered_with_the_right_one(exchange, rest):
    exchange.answers = [refusal("404000")]

    with pytest.raises(errors.NotFound, match="call Bitcoin XBT: use 'XBTUSDTM'"):
        rest.contract("BTCUSDTM")


@pytest.mark.parametrize("call", ["spot_symbol", "trades", "level2_snapshot", "candles_page"])
def test_a_success_with_nothing_in_it_means_there_is_no_such_symbol(exchange, rest, call):
    exchange.answers = [ok(None)]
    arguments = ("NO-PE", "1min") if call == "candles_page" else ("NO-PE",)

    with pytest.raises(errors.NotFound, match="NO-PE with nothing; check its spelling"):
        getattr(rest, call)(*arguments)


# -- replies that are not KuCoin's -----------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><head><title>502 Bad\n Gateway</title></head></html>"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(HTML, 502), r"an HTML page \(HTTP 502, '502 Bad Gateway'\)"),
        (Answer(HTML, 200), "an HTML page"),
        (Answer(b"<p>log in</p>", 302, {"Location": "/login"}), r"an HTML page \(HTTP 302\)"),
        (Answer(b""), r"an empty reply \(HTTP 200\)"),
        (Answer(b"  \r\n"), "an empty reply"),
        (Answer(payload("status")[:30]), r"cut short or not KuCoin's \(30 bytes"),
        (Answer(b"{}"), "cut short or not KuCoin's"),
        (Answer(b'{"data": 1}'), "cut short or not KuCoin's"),
        (Answer(b'{"code": [1]}'), "cut short or not KuCoin's"),
        (Answer(b"[1, 2]"), "cut short or not KuCoin's"),
        (Answer(b"[" * 100_000), "cut short or not KuCoin's"),
        (Answer(b"upstream connect error", 503), "something that is not JSON"),
        (Answer(b"\xff\xfe\x00"), "something that is not JSON"),
    ],
)
def test_what_is_not_kucoins_json_is_a_bad_reply(exchange, rest, answer, said):
    exchange.answers = [answer]

    with pytest.raises(errors.BadReply, match=said):
        rest.status()


def test_a_message_that_is_no_text_leaves_the_code_to_tell(exchange, rest):
    exchange.answers = [Answer(b'{"code":"404000","msg":"no \xff such","data":"\xff"}')]

    with pytest.raises(errors.NotFound, match="code 404000 \\('no \N{REPLACEMENT CHARACTER} such'"):
        rest.status()


def test_a_compressed_reply_that_is_broken_is_a_bad_reply(exchange, rest):
    exchange.answers = [Answer(b"not gzip", 200, {"Content-Encoding": "gzip"})]

    with pytest.raises(errors.BadReply, match="could not be unpacked"):
        rest.status()


@pytest.mark.parametrize(
    "data",
    [
        {"sequence": "x", "bids": [], "asks": []},
        {"sequence": 2**63, "bids": [], "asks": []},
        {"sequence": 1, "bids": [["nan", "1"]], "asks": []},
        {"sequence": 1, "bids": [["1", "Infinity"]], "asks": []},
        {"sequence": 1, "bids": [[-1, 1]], "asks": []},
        {"sequence": 1, "bids": [[1, -1]], "asks": []},
        {"sequence": 1, "bids": [[1]], "asks": []},
        {"sequence": 1, "bids": [], "asks": [], "ts": -5},
        [],
        7,
    ],
)
def test_values_that_cannot_be_meant_are_a_bad_reply(exchange, rest, data):
    exchange.answers = [ok(data)]

    with pytest.raises(errors.BadReply, match="the order book of XBTUSDTM is not as documented"):
        rest.level2_snapshot("XBTUSDTM")


@pytest.mark.parametrize(
    "row",
    [
        {"price": "1", "size": 1, "side": "buy"},
        {"price": "1", "size": 1, "side": "long", "ts": NOW_NS},
        {"price": None, "size": 1, "side": "buy", "ts": NOW_NS},
    ],
)
def test_a_broken_trade_is_a_bad_reply(exchange, rest, row):
    exchange.answers = [ok([row])]

    with pytest.raises(errors.BadReply, match="the trades of XBTUSDTM"):
        rest.trades("XBTUSDTM")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(payload("bullet_public")[:150]),
        Answer(payload("bullet_public").replace(b'"wss:', b'"ftp:')),
        Answer(payload("bullet_public").replace(b"18000", b'"never"')),
        Answer(payload("bullet_public"), promised=5_000),
    ],
)
def test_no_failure_shows_a_token(exchange, rest, caplog, answer):
    exchange.answers = [answer]

    with caplog.at_level(logging.DEBUG), pytest.raises(errors.BadReply) as caught:
        rest.token("futures")

    shown = caplog.text
    error = caught.value
    while error is not None:
        shown += repr(error)
        error = error.__cause__ or error.__context__
    assert SECRET not in shown


# -- trying again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        *(refusal(c) for c in ("429000", "429001", "429002", "503000", "504000", "230005")),
        refusal("429000", status=429),
        refusal("500000", status=500),
        Answer(HTML, 502),
        Answer(b"", fault="reset"),
        Answer(b"", fault="vanish"),
        Answer(payload("status")[:30], promised=60),
    ],
)
def test_what_can_pass_is_tried_again_after_a_growing_pause(exchange, rest, waiter, answer):
    exchange.answers = [answer, answer, Answer(payload("status"))]

    assert rest.status().status == "open"
    assert waiter.waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal("429000", status=429), errors.RateLimited),
        (refusal("503000"), errors.ExchangeUnavailable),
        (Answer(HTML, 502), errors.BadReply),
        (Answer(b"", fault="reset"), errors.Unreachable),
        (Answer(payload("status")[:30], promised=60), errors.BadReply),
    ],
)
def test_three_tries_are_enough(exchange, rest, answer, kind):
    exchange.answers = [answer]

    with pytest.raises(kind):
        rest.status()

    assert len(exchange.asked) == 3


@pytest.mark.parametrize("answer", [refusal("400100"), refusal("400001", status=400), Answer(HTML)])
def test_what_cannot_pass_is_not_tried_again(exchange, rest, waiter, answer):
    exchange.answers = [answer]

    with pytest.raises(errors.KucoinResearchError):
        rest.status()

    assert len(exchange.asked) == 1
    assert waiter.waits == []


def test_pauses_are_spread_by_chance(exchange, waiter):
    exchange.answers = [refusal("429000")]
    waiter.chances = iter([0.0, 1.0])
    with client(exchange, waiter) as rest, pytest.raises(errors.RateLimited):
        rest.status()

    assert waiter.waits == [0.25, 1.5]


def test_a_rate_limit_waits_as_long_as_its_header_says(exchange, rest, waiter):
    limited = refusal("429000", status=429, gw_ratelimit_reset="3200", **LIMITED)
    exchange.answers = [limited, Answer(payload("status"))]

    rest.status()

    assert waiter.waits == [3.2]


def test_a_rate_limit_longer_than_our_patience_is_raised_at_once(exchange, rest, waiter):
    limited = refusal("429000", status=429, gw_ratelimit_reset="29488", **LIMITED)
    exchange.answers = [limited]

    with pytest.raises(errors.RateLimited) as caught:
        rest.status()

    assert caught.value.retry_after == 29.488
    assert len(exchange.asked) == 1
    assert waiter.waits == []


def test_patience_can_be_given(exchange, waiter):
    limited = refusal("429000", status=429, gw_ratelimit_reset="29488", **LIMITED)
    exchange.answers = [limited, Answer(payload("status"))]

    with client(exchange, waiter, patience=40.0) as rest:
        rest.status()

    assert waiter.waits == [29.488]


@pytest.mark.parametrize("reset", ["", "soon", "-5", "1e3", "9" * 40])
def test_a_header_that_makes_no_sense_is_ignored(exchange, rest, waiter, reset):
    limited = refusal("429000", status=429, gw_ratelimit_reset=reset, **LIMITED)
    exchange.answers = [limited, Answer(payload("status"))]

    rest.status()

    assert waiter.waits == [0.5]


@pytest.mark.parametrize("status", [403, 429])
def test_cloudflares_block_is_a_rate_limit_of_half_a_minute(exchange, rest, status):
    exchange.answers = [Answer(b"<html><title>x</title>error code: 1015</html>", status)]

    with pytest.raises(errors.RateLimited) as caught:
        rest.status()

    assert caught.value.retry_after == 30.0
    assert len(exchange.asked) == 1


def test_a_used_up_quota_is_waited_out_before_the_next_call(exchange, rest, waiter):
    headers = {"gw-ratelimit-remaining": "3", "gw-ratelimit-reset": "4000"}
    exchange.answers = [Answer(payload("status"), 200, headers), Answer(payload("status"))]

    rest.status("futures")
    assert waiter.waits == []
    rest.status("spot")
    assert waiter.waits == []
    rest.status("futures")

    assert waiter.waits == [4.0]


def test_a_used_up_quota_that_lasts_too_long_is_raised_unsent(exchange, rest):
    headers = {"gw-ratelimit-remaining": "0", "gw-ratelimit-reset": "20000"}
    exchange.answers = [Answer(payload("status"), 200, headers)]
    rest.status()

    with pytest.raises(errors.RateLimited, match="no more requests for 20 s") as caught:
        rest.status()

    assert caught.value.retry_after == 20.0
    assert len(exchange.asked) == 1


def test_a_call_that_costs_more_waits_for_more(exchange, rest, waiter):
    headers = {"gw-ratelimit-remaining": "14", "gw-ratelimit-reset": "4000"}
    exchange.answers = [
        Answer(payload("status"), 200, headers),
        Answer(payload("status"), 200, headers),
        ok({"time": 1729176273859, "ticker": []}),
    ]

    rest.status("spot")
    rest.status("spot")
    assert waiter.waits == []
    rest.tickers("spot")

    assert waiter.waits == [4.0]


def refused_by_a_proxy(text):
    return [Answer(b"<html>too many</html>", 429, {"Retry-After": text}), Answer(payload("status"))]


@pytest.mark.parametrize(("text", "wait"), [("2", 2.0), ("soon", 0.5), ("-1", 0.5)])
def test_what_a_proxy_says_of_retrying_is_heeded(exchange, rest, waiter, text, wait):
    exchange.answers = refused_by_a_proxy(text)

    rest.status()

    assert waiter.waits == [wait]


@pytest.mark.parametrize("text", ["20", formatdate(NOW_NS // SECOND + 20, usegmt=True)])
def test_a_proxy_that_wants_to_be_left_alone_for_long_is(exchange, rest, waiter, text):
    exchange.answers = refused_by_a_proxy(text)

    with pytest.raises(errors.RateLimited) as caught:
        rest.status()

    assert caught.value.retry_after == pytest.approx(20.0, abs=1.0)
    assert len(exchange.asked) == 1


def test_a_quota_with_room_is_not_waited_for(exchange, rest, waiter):
    headers = {"gw-ratelimit-remaining": "18", "gw-ratelimit-reset": "20000"}  # 10 are a token's
    exchange.answers = [Answer(payload("status"), 200, headers)]

    for _ in range(3):
        rest.status()

    assert waiter.waits == []


def test_a_long_download_waits_for_the_next_window(exchange, rest, waiter):
    answers = Klines(END_S)
    used_up = {"gw-ratelimit-remaining": "2", "gw-ratelimit-reset": "28000"}

    def answer(asked):
        is_first_page = "from" in asked.query and len(exchange.asked) == 2
        return answers(asked)._replace(headers=used_up if is_first_page else {})

    exchange.answers = answer

    assert len(rest.candles("XBTUSDTM", "1min", START_S * SECOND, END_S * SECOND)) == 4001
    assert waiter.waits == [28.0]


# -- the network -----------------------------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_refused_connection_names_host_and_fix(waiter):
    exchange = Exchange(url=f"http://127.0.0.1:{free_port()}")

    with client(exchange, waiter) as rest, pytest.raises(errors.Unreachable) as caught:
        rest.status()

    assert urlsplit(exchange.url).netloc in str(caught.value)
    assert "refused; check the address" in str(caught.value)
    assert waiter.waits == []


def test_a_host_without_a_name_entry_is_unreachable(waiter):
    exchange = Exchange(url="http://kucoin-research.invalid")
    session = requests.Session()
    session.trust_env = False  # a proxy of the machine would look the name up

    with (
        session,
        client(exchange, waiter, session=session) as rest,
        pytest.raises(errors.Unreachable, match=r"research\.invalid for its status.*'demo'"),
    ):
        rest.status()


def test_a_slow_reply_is_unreachable(exchange, waiter):
    exchange.answers = [Answer(b"", fault="hang")]

    with (
        client(exchange, waiter, timeout=(2.0, 0.05)) as rest,
        pytest.raises(errors.Unreachable, match="no answer in time"),
    ):
        rest.status()

    assert len(exchange.asked) == 1


def test_a_server_that_speaks_no_tls_is_unreachable(exchange, waiter):
    exchange.answers = [Answer(payload("status"))]
    secure = Exchange(url=exchange.url.replace("http:", "https:"))

    with client(secure, waiter) as rest, pytest.raises(errors.Unreachable):
        rest.status()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_is_reached_around_a_proxy(exchange, rest, monkeypatch, name):
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for quiet in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(quiet, raising=False)
    exchange.answers = [Answer(payload("status"))]

    assert rest.status().status == "open"


def test_elsewhere_goes_through_the_proxy(exchange, waiter, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, exchange.url)
    exchange.answers = [Answer(payload("status"))]

    with client(Exchange(url="http://kucoin-research.invalid"), waiter) as rest:
        assert rest.status().status == "open"
    assert exchange.asked[0].path.endswith("/api/v1/status")


def test_a_dead_proxy_is_named(waiter, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    with (
        client(Exchange(url="http://kucoin-research.invalid"), waiter) as rest,
        pytest.raises(errors.Unreachable, match="check http_proxy, which names http://127"),
    ):
        rest.status()


# -- closing and threads ---------------------------------------------------------------------------


def test_closing_ends_a_wait_from_another_thread(exchange):
    limited = refusal("429000", status=429, gw_ratelimit_reset="60000", **LIMITED)
    exchange.answers = [limited]
    rest = Rest(Venue(exchange.url, exchange.url), patience=100.0)
    waits, ended = threading.Event(), []
    wait = rest._caller._closed.wait
    rest._caller._closed.wait = lambda seconds: waits.set() or wait(seconds)

    def call():
        try:
            rest.status()
        except errors.StreamStopped as error:
            ended.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert waits.wait(60)
    rest.close()
    thread.join(60)

    assert len(ended) == 1
    assert "closed" in str(ended[0])


def test_a_closed_client_refuses_calls_and_closes_twice(exchange, rest):
    exchange.answers = [Answer(payload("status"))]
    rest.status()

    rest.close()
    rest.close()

    with pytest.raises(errors.StreamStopped, match="was closed"):
        rest.status()


def test_threads_call_at_once_each_over_its_own_connection(exchange, rest):
    exchange.answers = [Answer(payload("spot_histories"))]
    stamps, start = [], threading.Barrier(8)

    def call():
        start.wait(60)
        for _ in range(5):
            stamps.extend(trade.local_timestamp for trade in rest.trades("BTC-USDT"))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(stamps) == list(range(NOW_NS, NOW_NS + 80))


def test_a_given_session_is_used_and_stays_open(exchange, waiter):
    exchange.answers = [Answer(payload("status"))]

    with requests.Session() as session:
        session.headers["X-Site-Type"] = "australia"
        with client(exchange, waiter, session=session) as rest:
            rest.status()
        assert session.get(exchange.url).status_code == 200

    assert exchange.asked[0].headers["X-Site-Type"] == "australia"


# -- signed calls ----------------------------------------------------------------------------------

MARKERS = ("marker-key", "marker-secret", "marker-passphrase")
CREDENTIALS = Credentials(*MARKERS)
PRIVATE_TOKEN = {"token": "t", "instanceServers": [{"endpoint": "ws://127.0.0.1:1/"}]}


@pytest.fixture
def signer(exchange, waiter):
    with client(exchange, waiter, credentials=CREDENTIALS) as opened:
        yield opened


@pytest.mark.parametrize("version", [2, 3])
def test_a_private_token_is_asked_for_with_a_signature(exchange, waiter, version):
    exchange.answers = [ok(PRIVATE_TOKEN)]
    credentials = Credentials(*MARKERS, key_version=version)

    with client(exchange, waiter, credentials=credentials) as rest:
        token = rest.token("spot", private=True)

    asked = exchange.asked[0]
    stamp = str(NOW_NS // 1_000_000)
    signed = hmac.new(b"marker-secret", f"{stamp}POST/api/v1/bullet-private".encode(), "sha256")
    assert asked[:2] == ("POST", "/api/v1/bullet-private")
    assert asked.headers["KC-API-TIMESTAMP"] == stamp
    assert asked.headers["KC-API-SIGN"] == base64.b64encode(signed.digest()).decode()
    assert asked.headers["KC-API-KEY-VERSION"] == str(version)
    assert not any(part in str(asked) for part in MARKERS[1:])
    assert token.token == "t"


def test_public_calls_carry_nothing_of_the_key(exchange, signer):
    exchange.answers = [Answer(payload("bullet_public"))]

    signer.token("futures")

    assert not any("KC-API" in name.upper() for name in exchange.asked[0].headers)


def test_a_private_token_without_credentials_is_not_asked_for(exchange, rest):
    with pytest.raises(errors.CredentialsMissing, match=r"pass credentials=kr\.Credentials"):
        rest.token("futures", private=True)

    assert exchange.asked == []


@pytest.mark.parametrize("url", ["http://api.kucoin.com", "https://kucoin.com.evil.example"])
def test_a_key_is_not_sent_to_a_stranger(url, monkeypatch):
    monkeypatch.setattr(requests.Session, "request", lambda *_, **__: pytest.fail("was sent"))

    with (
        Rest(Venue(url, url), credentials=CREDENTIALS) as rest,
        pytest.raises(errors.UntrustedHost, match="an API key goes to"),
    ):
        rest.token("futures", private=True)


def test_a_private_token_is_not_taken_to_a_stranger(exchange, signer):
    data = PRIVATE_TOKEN | {"instanceServers": [{"endpoint": "wss://evil.example/"}]}
    exchange.answers = [ok(data)]

    with pytest.raises(errors.UntrustedHost, match=r"not to wss://evil\.example; nothing was sent"):
        signer.token("futures", private=True)


def test_a_session_that_verifies_nothing_is_refused_for_other_hosts():
    with requests.Session() as session:
        session.verify = False
        rest = Rest(Venue("https://api.kucoin.com", "https://api.kucoin.com"), session=session)

        with pytest.raises(errors.UntrustedHost, match="does not verify"):
            rest.status()


@pytest.mark.parametrize(
    ("code", "what", "fix"),
    [
        ("400001", "key", "no key was sent, pass credentials="),
        ("400003", "key", "check KUCOIN_API_KEY"),
        ("400004", "passphrase", "check KUCOIN_PASSPHRASE"),
        ("400005", "secret", "check KUCOIN_API_SECRET"),
        ("400006", "ip", "IP address to the key's whitelist"),
        ("400007", "permission", "give the key the permission"),
        ("400008", "key version", "make a new key"),
        ("400009", "key version", "check KUCOIN_API_KEY_VERSION"),
    ],
)
def test_what_was_refused_is_named_with_its_remedy(exchange, signer, code, what, fix):
    exchange.answers = [refusal(code, "Your marker-key or marker-secret is bad.", status=401)]

    with pytest.raises(errors.AuthenticationFailed) as caught:
        signer.token("futures", private=True)

    assert caught.value.what == what
    assert fix in str(caught.value)
    assert "a private futures stream token" in str(caught.value)
    assert "marker" not in str(caught.value)
    assert len(exchange.asked) == 1


def test_a_refused_clock_is_measured_and_the_call_signed_anew(exchange, signer, caplog):
    theirs = NOW_NS // 1_000_000 + 7_300

    def answer(asked):
        if asked.path == "/api/v1/timestamp":
            return ok(theirs)
        is_late = abs(int(asked.headers["KC-API-TIMESTAMP"]) - theirs) > 5_000
        return refusal("400002", "Invalid KC-API-TIMESTAMP", 400) if is_late else ok(PRIVATE_TOKEN)

    exchange.answers = answer
    signer.token("futures", private=True)
    signer.token("futures", private=True)

    paths = [asked.path.rpartition("/")[2] for asked in exchange.asked]
    assert paths == ["bullet-private", "timestamp", "bullet-private", "bullet-private"]
    assert "clock is 7.3 s behind the exchange's" in caplog.text


def test_a_clock_that_is_refused_again_is_told_with_its_offset(exchange, signer):
    def answer(asked):
        if asked.path == "/api/v1/timestamp":
            return ok(NOW_NS // 1_000_000 - 9_000)
        return refusal("400002", "Invalid KC-API-TIMESTAMP", 400)

    exchange.answers = answer

    with pytest.raises(errors.AuthenticationFailed) as caught:
        signer.token("futures", private=True)

    assert caught.value.what == "clock"
    assert "this machine's clock is 9.0 s ahead of the exchange's; set it" in str(caught.value)
    assert len(exchange.asked) == 3
    assert signer._caller._signer._clock_offsets == {}  # the next call begins anew


def test_a_clock_that_cannot_be_measured_is_told_too(exchange, signer):
    exchange.answers = [refusal("400002", "Invalid KC-API-TIMESTAMP", 400)]

    with pytest.raises(errors.AuthenticationFailed, match="clock is more than 5 s off; set it"):
        signer.token("futures", private=True)


def test_what_is_signed_is_what_is_sent(exchange, signer):
    exchange.answers = [ok([])]
    call = Call(Market.SPOT, "/api/v1/x", "a test", {"symbol": "A B/ü", "n": 1}, is_signed=True)

    signer._caller.fetch(call)

    asked = exchange.asked[0]
    assert asked.query == {"symbol": "A B/ü", "n": "1"}
    stamp = asked.headers["KC-API-TIMESTAMP"]
    text = f"{stamp}GET/api/v1/x?symbol=A+B%2F%C3%BC&n=1"
    signed = hmac.new(b"marker-secret", text.encode(), "sha256")
    assert asked.headers["KC-API-SIGN"] == base64.b64encode(signed.digest()).decode()
