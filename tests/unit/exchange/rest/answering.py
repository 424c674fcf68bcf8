"""A real HTTP server on loopback that answers REST calls from a script, and clients of it."""

import itertools
import json
import socket
import struct
import threading
from collections.abc import Container, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation.clocks import Clock

PAYLOADS = Path(__file__).parents[3] / "payloads" / "rest"
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW_NS = 1_790_000_000_000_000_000
START_S = 1_789_000_020  # a whole minute
END_S = START_S + 4_000 * 60
HTML = b"<!DOCTYPE html><html><head><title>502 Bad\n Gateway</title></head></html>"
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
