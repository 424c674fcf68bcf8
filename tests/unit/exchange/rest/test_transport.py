"""Servers that send slowly, too much or without end: the bounds of a conversation with them.

Tests about time run in held time, where an hour of slow bytes takes a second. Tests that need TLS
or a proxy have a tenth of a real second, and their servers never end by themselves.
"""

import contextlib
import itertools
import select
import socket
import threading
import tracemalloc
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.api import checks
from kucoin_research.api.doctor import diagnose
from kucoin_research.errors import (
    BadReply,
    ConnectionLost,
    HandshakeRefused,
    NetworkError,
    StreamStopped,
    Unreachable,
    UntrustedHost,
)
from kucoin_research.exchange import venues
from kucoin_research.exchange.dialing import dial
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.rest.transport import Reply, Transport
from kucoin_research.exchange.rest.universe import Universe
from kucoin_research.exchange.rest.unpacking import TooLarge, inflate
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket.connection import Connection
from kucoin_research.foundation import clocks
from kucoin_research.foundation.bounds import Bound, Cut, OutOfTime
from kucoin_research.model import instruments
from kucoin_research.sim.engine.machine import Machine
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate

OK = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = 1_000_000
# The most memory that a reader may hold: the largest reply, a copy of it, and some more.
FEW_BYTES = 64 * MEGABYTE
FOREVER = 3_600.0


class Server:
    """Runs `script(sock)` for each connection, until the test ends."""

    def __init__(self, script):
        self.script = script
        self.listener = (clocks.current().machine or Machine()).listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.venue = Venue(self.url, self.url)
        self.is_over = False
        self.taken = 0
        self.talks = []

    def serve(self):
        # Checked for each connection: the one that is served last must not be closed for another.
        while True:
            sock = self.accept()
            if self.is_over:
                sock.close()
                return
            self.taken += 1
            self.talks.append(spawn(self.run, sock))

    def accept(self):
        clock = clocks.current()
        if clock.machine is not None:
            clock.park(lambda: bool(select.select([self.listener], [], [], 0)[0]), None)
        return self.listener.accept()[0]

    def run(self, sock):
        sock.settimeout(FOREVER)
        with sock, contextlib.suppress(OSError):
            self.script(sock)

    def __enter__(self):
        self.thread = spawn(self.serve)
        return self

    def __exit__(self, *_):
        self.is_over = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in (self.thread, *self.talks):
            thread.join(60)
            assert not thread.is_alive(), "the server still talks"
        self.listener.close()


def head_of(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        head += byte
    return head


def stay_silent(sock):
    while sock.recv(65_536):
        pass


def drip(sock, start, byte=b"x"):
    """Send a byte each second of the test's time, until the peer closes."""
    pause = clocks.current().event()
    sock.sendall(start)
    while True:
        pause.wait(1.0)
        sock.sendall(byte)


def dripping(start, byte=b"x"):
    def script(sock):
        head_of(sock)
        drip(sock, start, byte)

    return script if byte else stay_silent


def seconds_of(action, kind):
    clock = clocks.current()
    began = clock.monotonic()
    with pytest.raises(kind) as caught:
        action()
    return clock.monotonic() - began, caught.value


# -- time ------------------------------------------------------------------------------------------

DRIPS = {
    "status line": (b"", b"H"),
    "a header": (OK + b"X: ", b"x"),
    "headers": (OK, b"A: b\r\n"),
    "going on": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (OK + b"Content-Length: 1000\r\n\r\n", b" "),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "the size of a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\n", b"A: b\r\n"),
    "an error": (b"HTTP/1.1 503 No\r\nContent-Length: 1000\r\n\r\n", b" "),
    "a redirect": (b"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 1000\r\n\r\n", b" "),
    "gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n\x1f\x8b\x08", b"\x00"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_a_reply_that_drips_is_given_up_after_the_time_for_all_of_it(name):
    with Server(dripping(*DRIPS[name])) as server, Rest(server.venue) as rest:
        took, error = seconds_of(rest.server_time, Unreachable)

    assert took == pytest.approx(30.0)
    assert "the whole answer did not come in time" in str(error)
    assert server.taken == 1  # and is not asked for again


def test_the_time_of_a_request_can_be_given_and_ends_at_a_moment():
    with Server(dripping(OK)) as server, Rest(server.venue, total=7.5) as rest:
        assert seconds_of(rest.server_time, Unreachable)[0] == pytest.approx(7.5)
        rest.end_by(clocks.current().monotonic() + 2.0)
        assert seconds_of(rest.server_time, Unreachable)[0] == pytest.approx(2.0)
        assert seconds_of(rest.server_time, Unreachable)[0] == 0.0
        rest.end_by(None)
        assert seconds_of(rest.server_time, Unreachable)[0] == pytest.approx(7.5)


@pytest.mark.parametrize("name", ["status line", "a body", "silence"])
def test_closing_ends_a_request_on_its_way_at_once(name, held_time):
    script = dripping(*DRIPS[name]) if name in DRIPS else stay_silent
    ended = []

    def call():
        ended.append(seconds_of(rest.server_time, StreamStopped)[0])

    with Server(script) as server, Rest(server.venue) as rest:
        caller = spawn(call)
        held_time.pass_by(2.5)
        rest.close()
        caller.join(60)

    assert ended == [pytest.approx(2.5)]


def test_a_reply_within_its_time_is_read_however_small_its_pieces():
    body = b'{"code":"200000","data":1790000000000}'

    def script(sock):
        head_of(sock)
        reply = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
        for byte in reply:
            clocks.current().event().wait(0.2)
            sock.sendall(bytes([byte]))

    with Server(script) as server, Rest(server.venue) as rest:
        assert rest.server_time() == 1_790_000_000_000_000_000


HANDSHAKES = {
    "status line": (b"", b"H"),
    "a header": (b"HTTP/1.1 101 Yes\r\nX: ", b"x"),
    "headers": (b"HTTP/1.1 101 Yes\r\n", b"A: b\r\n"),
    "silence": (b"", b""),
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_that_drips_is_given_up_after_the_time_for_all_of_it(name):
    with Server(dripping(*HANDSHAKES[name])) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        took, error = seconds_of(lambda: Connection.open(url, timeout=10.0), Unreachable)

    assert took == pytest.approx(10.0)
    assert "did not answer within 10 s" in str(error)


@pytest.mark.parametrize("name", HANDSHAKES)
def test_a_handshake_is_ended_at_once_from_elsewhere(name, held_time):
    ended = []

    def call():
        url = f"ws://127.0.0.1:{server.port}/"
        ended.append(seconds_of(lambda: Connection.open(url, bound=bound), ConnectionLost)[0])

    bound = Bound(held_time, FOREVER)
    with Server(dripping(*HANDSHAKES[name])) as server:
        caller = spawn(call)
        held_time.pass_by(2.5)
        bound.cut()
        caller.join(60)

    assert ended == [pytest.approx(2.5)]


def venue_of(rest_script, socket_script):
    """Make a REST server and a socket server, which the REST server's tokens lead to."""
    sockets = Server(socket_script)

    def script(sock):
        while head := head_of(sock):
            path = head.split()[1].decode()
            body = rest_script(path, sockets.port)
            if body is None:
                drip(sock, OK)
            sock.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    return Server(script), sockets


CONTRACT = (
    b'{"code":"200000","data":[{"symbol":"XBTUSDTM","baseCurrency":"XBT","quoteCurrency":"USDT",'
    b'"tickSize":0.1,"lotSize":1,"multiplier":0.001}]}'
)


def answers(path, port, *, drips=()):
    if any(each in path for each in drips):
        return None
    if "contracts" in path:
        return CONTRACT
    if "bullet" in path:
        return (
            b'{"code":"200000","data":{"token":"t","instanceServers":'
            b'[{"endpoint":"ws://127.0.0.1:%d/"}]}}' % port
        )
    return b'{"code":"200000","data":1790000000000}'


@pytest.fixture
def _fresh_lists(monkeypatch):
    monkeypatch.setattr(checks, "_universe", Universe())


@pytest.mark.parametrize(
    ("what", "seconds"),
    [("contracts", 3.0), ("bullet", 3.0), ("handshake", 3.0), ("bullet", 100.0)],
)
def test_minutes_bound_the_whole_call(what, seconds):
    rest, sockets = venue_of(
        lambda path, port: answers(path, port, drips=[what]), dripping(b"HTTP/1.1 101 Yes\r\n")
    )
    with rest, sockets:
        took, _ = seconds_of(
            lambda: kr.stream_to_frame(
                "XBTUSDTM", minutes=seconds / 60, venue=rest.venue, progress=False
            ),
            NetworkError,
        )

    assert took <= min(max(seconds, 15.0), 30.0) + 0.2


def test_a_stream_is_refused_in_time_where_the_symbol_list_drips():
    rest, sockets = venue_of(lambda path, port: None, dripping(b""))
    with rest, sockets:
        took, _ = seconds_of(lambda: kr.stream("XBTUSDTM", venue=rest.venue), Unreachable)

    assert took <= 30.0


@pytest.mark.parametrize("what", ["bullet", "handshake"])
def test_stopping_ends_all_that_a_stream_waits_for_at_once(what, held_time):
    rest, sockets = venue_of(
        lambda path, port: answers(path, port, drips=[what]), dripping(b"HTTP/1.1 101 Yes\r\n")
    )
    with rest, sockets:
        stream = kr.stream("XBTUSDTM", venue=rest.venue)
        assert not stream.wait_until_live(timeout=4.0)
        began = held_time.monotonic()
        stream.stop(timeout=5.0)
        took = held_time.monotonic() - began
        threads = [each for each in stream._engine.threads.all if each.is_alive()]

    assert took == pytest.approx(0.0, abs=0.01)
    assert threads == []


def test_a_venue_that_falls_silent_does_not_lengthen_a_call(held_time):
    """The venue's clock stops, and REST answers nothing, neither the time nor a book's snapshot."""
    with simulate(seed=7, speed=1.0) as x:

        def fall_silent():
            held_time.pass_by(1.0)
            x.inject("slow_reply", count=None, delay=1e6)
            x.pause()

        silencing = spawn(fall_silent)
        began = held_time.monotonic()
        frame = kr.stream_to_frame("XBTUSDTM", "level2", seconds=4, venue=x.venue, progress=False)
        took = held_time.monotonic() - began
        silencing.join()
        x.heal()

    assert frame.height > 0
    assert took <= 4 + 15 + 5


def test_the_doctor_is_not_held_by_servers_that_drip(held_time):
    with Server(dripping(OK)) as server:
        began = held_time.monotonic()
        diagnosis = diagnose([server.venue])
        took = held_time.monotonic() - began

    assert took == pytest.approx(2 * 8.0)
    assert not diagnosis.is_ok


# -- size ------------------------------------------------------------------------------------------


def bomb(megabytes, wbits=31, packed_in=()):
    """Compress some megabytes of zeros, quickly: each megabyte is the same few bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    first = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    each = packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = first + each * (megabytes - 1)
    for bits in packed_in:
        packer = zlib.compressobj(9, zlib.DEFLATED, bits)
        packed = packer.compress(packed) + packer.flush()
    return packed


def replying(head, body=b"", again=b""):
    """Send a reply, and then the same bytes again and again, while the peer reads."""

    def script(sock):
        head_of(sock)
        sock.sendall(head + b"\r\n" + body)
        while again:
            sock.sendall(again)

    return script


def packed_as(encoding, body):
    head = OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n" % (encoding, len(body))
    return head, body


ENDLESS = bytes(MEGABYTE)
GIGABYTE = 1_000
BOMBS = {
    "gzip": lambda: replying(*packed_as(b"gzip", bomb(GIGABYTE))),
    "deflate": lambda: replying(*packed_as(b"deflate", bomb(GIGABYTE, 15))),
    "deflate without a header": lambda: replying(*packed_as(b"deflate", bomb(GIGABYTE, -15))),
    "gzip twice": lambda: replying(*packed_as(b"gzip, gzip", bomb(GIGABYTE, packed_in=[31]))),
    "many parts": lambda: replying(
        *packed_as(b"gzip", zlib.compress(ENDLESS, wbits=31) * GIGABYTE)
    ),
    "empty parts": lambda: replying(
        *packed_as(
            b"gzip, gzip", zlib.compress(zlib.compress(b"", wbits=31) * 100_000, wbits=31) * 99
        )
    ),
    "no end": lambda: replying(OK, again=ENDLESS),
    "chunks": lambda: replying(
        OK + b"Transfer-Encoding: chunked\r\n", again=b"f4240\r\n" + ENDLESS + b"\r\n"
    ),
    "the size of a chunk": lambda: replying(
        OK + b"Transfer-Encoding: chunked\r\n", again=b"0" * 65536
    ),
    "trailers": lambda: replying(
        OK + b"Transfer-Encoding: chunked\r\n",
        b"0\r\n",
        again=(b"A: " + b"b" * 1_000 + b"\r\n") * 50,
    ),
    "a promise": lambda: replying(OK + b"Content-Length: 9000000000\r\n", again=ENDLESS),
}


@contextlib.contextmanager
def bounded_memory():
    """Fail if Python uses much more memory inside than before."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < FEW_BYTES, f"{most / 1e6:.0f} MB"


@pytest.mark.parametrize("name", BOMBS)
def test_a_reply_without_measure_is_refused_in_little_memory(name, real_time):
    with (
        Server(BOMBS[name]()) as server,
        Rest(server.venue, patience=0.0) as rest,
        bounded_memory(),
        pytest.raises(BadReply, match=r"larger than any|cut short"),
    ):
        rest.status()


@pytest.mark.parametrize(
    "size", [b"-1", b"-5", b"-ffffffffffffffffffff", b"f" * 5_000, b"\xff", b""]
)
def test_a_chunk_of_no_size_is_a_reply_that_was_cut_short(size, real_time):
    script = replying(OK + b"Transfer-Encoding: chunked\r\n", size + b"\r\n{}\r\n0\r\n\r\n")
    with (
        Server(script) as server,
        Rest(server.venue, patience=0.0) as rest,
        pytest.raises(BadReply, match="cut short"),
    ):
        rest.status()


HEADERS = {
    "a line": replying(OK + b"X: ", again=b"x" * 65_536),
    "a status": replying(b"HTTP/1.1 200 ", again=b"x" * 65_536),
    "many": replying(OK[:-2], again=b"A: b\r\n" * 5_000),
    "long ones": replying(OK + (b"A: " + b"x" * 60_000 + b"\r\n") * 90),
    "going on": replying(
        b"HTTP/1.1 100 Continue\r\n", again=b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_without_measure_are_refused_in_little_memory(name, real_time):
    with (
        Server(HEADERS[name]) as server,
        Rest(server.venue, patience=0.0) as rest,
        bounded_memory(),
        pytest.raises(NetworkError),
    ):
        rest.status()


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (b"403 No", BadReply, "HTTP 403"),
        (b"302 Go\r\nLocation: /else", BadReply, "HTTP 302"),
        (b"500 No", BadReply, "HTTP 500"),
    ],
)
@pytest.mark.parametrize("encoding", [b"identity", b"gzip"])
def test_of_a_refusal_only_the_beginning_is_read(status, kind, said, encoding, real_time):
    head = b"HTTP/1.1 " + status + b"\r\nContent-Encoding: " + encoding + b"\r\n"
    body = bomb(GIGABYTE) if encoding == b"gzip" else b"<title>Blocked</title>"
    with (
        Server(replying(head, body, again=ENDLESS)) as server,
        Rest(server.venue, patience=0.0) as rest,
        bounded_memory(),
        pytest.raises(kind, match=said),
    ):
        rest.status()

    assert server.taken == 1


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, br", b"gzip, " * 9 + b"gzip"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding, real_time):
    with (
        Server(replying(*packed_as(encoding, b"xx"))) as server,
        Rest(server.venue, patience=0.0) as rest,
        pytest.raises(BadReply, match="could not be unpacked"),
    ):
        rest.status()


BODY = b'{"code":"200000","data":{"status":"open","msg":"%s"}}' % (b"all is well " * 9_000)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (b"identity", BODY),
        (b"gzip", zlib.compress(BODY, wbits=31)),
        (b"x-gzip", zlib.compress(BODY, wbits=31)),
        (b"GZIP", zlib.compress(BODY[:50], wbits=31) + zlib.compress(BODY[50:], wbits=31)),
        (b"gzip", zlib.compress(BODY, wbits=31) + bytes(9)),
        (b"deflate", zlib.compress(BODY)),
        (b"deflate", zlib.compress(BODY, wbits=-15)),
        (b"deflate, identity, gzip", zlib.compress(zlib.compress(BODY), wbits=31)),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_is_packed_is_read_whole_whatever_its_pieces(encoding, packed, size, real_time):
    def script(sock):
        head_of(sock)
        sock.sendall(
            OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: " + encoding + b"\r\n\r\n"
        )
        few, rest = packed[:64], packed[64:]
        pieces = [few[at : at + size] for at in range(0, len(few), size)]
        for piece in [*pieces, *([rest] if rest else [])]:
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")

    with Server(script) as server, Rest(server.venue) as rest:
        assert rest.status().message == "all is well " * 9_000


PACKERS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


@settings(deadline=None, max_examples=60)
@given(
    data=st.binary(max_size=300_000) | st.integers(0, 3_000_000).map(bytes),
    encodings=st.lists(st.sampled_from(sorted(PACKERS)), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 70_000), min_size=1, max_size=4),
    most=st.integers(0, 2_000_000),
)
def test_whatever_was_packed_comes_whole_or_is_too_large(data, encodings, sizes, most):
    packed, longest = data, 0
    for encoding in encodings:
        longest = max(longest, len(packed))
        packed = zlib.compress(packed, wbits=PACKERS[encoding])
    pieces = []
    for size in itertools.islice(itertools.cycle(sizes), 500):
        pieces.append(packed[:size])
        packed = packed[size:]
    pieces = [each for each in (*pieces, packed) if each]
    layers = iter(pieces)
    for encoding in reversed(encodings):
        layers = inflate(layers, encoding, most)

    came = bytearray()
    try:
        for piece in layers:
            assert 0 < len(piece) <= 65_536
            came += piece
    except TooLarge:
        assert longest > most
        assert len(came) <= most
    else:
        assert came == data
        assert len(data) <= most


def test_a_connection_is_used_again_after_a_reply_and_not_after_half_of_one(real_time):
    def script(sock):
        while head_of(sock):
            sock.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)

    def refuse(sock):
        head_of(sock)
        sock.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))
        head_of(sock)

    with Server(script) as server, Rest(server.venue) as rest:
        for _ in range(3):
            rest.status()
        assert server.taken == 1
    with Server(refuse) as server, Rest(server.venue, patience=0.0) as rest:
        for _ in range(3):
            with pytest.raises(BadReply):
                rest.status()
        assert server.taken == 3


HANDSHAKE_BOMBS = {
    "headers": replying(b"HTTP/1.1 101 Yes", again=b"A: b\r\n" * 5_000),
    "a line": replying(b"HTTP/1.1 101 Yes", b"X: ", again=b"x" * 65_536),
    "a body": replying(b"HTTP/1.1 403 No\r\nContent-Length: 2000000000\r\n", again=ENDLESS),
    "a redirect": replying(
        b"HTTP/1.1 302 No\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 2000000000\r\n",
        again=ENDLESS,
    ),
}


@pytest.mark.parametrize("name", HANDSHAKE_BOMBS)
def test_a_handshake_without_measure_is_refused_in_little_memory(name, real_time):
    with (
        Server(HANDSHAKE_BOMBS[name]) as server,
        bounded_memory(),
        pytest.raises(HandshakeRefused),
    ):
        Connection.open(f"ws://127.0.0.1:{server.port}/", timeout=60.0)


# -- proxies, TLS and slow connecting --------------------------------------------------------------


@pytest.fixture
def proxied(monkeypatch, real_time):
    def through(server):
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, server.url)
        for name in ("no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)

    return through


def trickle(start, byte):
    """Send without end, one byte at a time, never faster than the peer reads."""

    def script(sock):
        head_of(sock)
        sock.sendall(start)
        for _ in itertools.count():
            threading.Event().wait(0.01)
            sock.sendall(byte)

    return script


def then_silent(start):
    def script(sock):
        head_of(sock)
        sock.sendall(start)
        stay_silent(sock)

    return script


hellos = []


def half_of_tls(sock):
    head_of(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    hellos.append(sock.recv(65_536))
    sock.sendall(b"\x16\x03\x03\x40\x00")  # the header of a 16 kB record that never comes
    stay_silent(sock)


PROXIES = {
    "silence": stay_silent,
    "status line": trickle(b"", b"H"),
    "headers": trickle(b"HTTP/1.1 200 OK\r\n", b"A"),
    "no TLS": then_silent(b"HTTP/1.1 200 OK\r\n\r\n"),
    "half of TLS": half_of_tls,
}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_that_does_not_come_to_an_end_is_given_up(name, proxied):
    with Server(PROXIES[name]) as server:
        proxied(server)
        venue = Venue("https://kucoin-research.invalid", "https://kucoin-research.invalid")
        with (
            Rest(venue, timeout=(FOREVER, FOREVER), total=0.2) as rest,
            pytest.raises(NetworkError),
        ):
            rest.status()
        with pytest.raises(NetworkError):
            Connection.open("wss://kucoin-research.invalid/", timeout=0.2)


@pytest.mark.parametrize("name", PROXIES)
def test_what_waits_for_a_proxy_is_ended_from_elsewhere(name, proxied):
    ended = []

    def ask():
        with pytest.raises(StreamStopped):
            rest.status()
        ended.append("rest")

    def connect():
        with pytest.raises(ConnectionLost):
            Connection.open("wss://kucoin-research.invalid/", bound=bound)
        ended.append("socket")

    hellos.clear()
    bound = Bound(clocks.current(), FOREVER)
    with Server(PROXIES[name]) as server:
        proxied(server)
        venue = Venue("https://kucoin-research.invalid", "https://kucoin-research.invalid")
        with Rest(venue, timeout=(FOREVER, FOREVER), total=FOREVER) as rest:
            threads = [spawn(ask), spawn(connect)]
            wait_until(lambda: server.taken == 2 and (name != "half of TLS" or len(hellos) == 2))
            rest.close()
            bound.cut()
            for thread in threads:
                thread.join(60)

    assert sorted(ended) == ["rest", "socket"]


@pytest.mark.parametrize(
    "script",
    [
        replying(b"HTTP/1.1 200 OK", again=b"A: b\r\n" * 5_000),
        replying(b"HTTP/1.1 407 No\r\nContent-Length: 2000000000\r\n", again=ENDLESS),
        replying(b"SSH-2.0\r\n"),
    ],
)
def test_a_proxy_without_measure_is_refused_in_little_memory(script, proxied):
    with Server(script) as server, bounded_memory():
        proxied(server)
        venue = Venue("https://kucoin-research.invalid", "https://kucoin-research.invalid")
        with Rest(venue, patience=0.0) as rest, pytest.raises(NetworkError):
            rest.status()
        with pytest.raises(Unreachable, match="the proxy did not connect to"):
            Connection.open("wss://kucoin-research.invalid/", timeout=60.0)


@contextlib.contextmanager
def full_port():
    """A port whose queue is full, so that connections to it wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


def test_connecting_has_its_time_and_is_ended_from_elsewhere(held_time):
    ended = []

    def connect():
        ended.append(seconds_of(lambda: dial(bound, "127.0.0.1", port), Cut)[0])

    with full_port() as port:
        with Bound(held_time, 7.0) as bound:
            took, _ = seconds_of(lambda: dial(bound, "127.0.0.1", port), OutOfTime)
        assert took == pytest.approx(7.0)
        with Bound(held_time, 7.0) as bound:
            took, _ = seconds_of(lambda: dial(bound, "127.0.0.1", port, timeout=3.0), TimeoutError)
        assert took == pytest.approx(3.0, abs=0.11)

        with Bound(held_time, FOREVER) as bound:
            caller = spawn(connect)
            held_time.pass_by(2.5)
            bound.cut()
            caller.join(60)

    assert ended == [pytest.approx(2.5, abs=0.11)]


def test_a_bound_leaves_no_descriptor_open(held_time):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    def script(sock):
        head_of(sock)

    with Server(script) as server:
        before = descriptors()
        for _ in range(5):
            with pytest.raises(NetworkError):
                Connection.open(f"ws://127.0.0.1:{server.port}/")
        held_time.pass_by(1.0)
        assert descriptors() <= before + 1


# -- where tokens lead, and cookies ----------------------------------------------------------------


def token_reply(endpoint):
    return (
        b'{"code":"200000","data":{"token":"t","instanceServers":[{"endpoint":"%s"}]}}' % endpoint
    )


@pytest.mark.parametrize(
    "endpoint",
    [
        b"wss://evil.example/",
        b"ws://ws-api-spot.kucoin.com/",
        b"wss://kucoin.com.evil.example/",
        b"wss://evil.example\\\\@ws.kucoin.com/",
        b"wss://kucoin.com@evil.example/",
        b"ws://10.0.0.1:8080/",
        b"ws://169.254.169.254/",
    ],
)
def test_a_public_token_leads_to_no_stranger(endpoint, real_time):
    body = token_reply(endpoint)
    with (
        Server(replying(OK + b"Content-Length: %d\r\n" % len(body), body)) as server,
        Rest(server.venue) as rest,
        pytest.raises(UntrustedHost, match=r"neither wss://\*\.kucoin\.com nor that host"),
    ):
        rest.token("futures")


@pytest.mark.parametrize(
    ("asked", "endpoint", "is_taken"),
    [
        ("https://api.kucoin.com", "wss://ws-api-spot.kucoin.com/endpoint", True),
        ("https://api.kucoin.com", "ws://127.0.0.1:9/", False),
        ("https://api.kucoin.com", "wss://localhost:9/", False),
        ("https://mirror.example", "wss://mirror.example:8443/", True),
        ("https://mirror.example", "ws://mirror.example:8443/", False),
        ("http://mirror.example", "ws://mirror.example:8443/", True),
        ("http://mirror.example", "ws://other.mirror.example/", False),
        ("http://localhost:9", "ws://127.0.0.1:10/", True),
        ("http://127.0.0.1:9", "ws://[::1]:10/", True),
        ("http://127.0.0.1:9", "wss://ws-api-futures.kucoin.com/", True),
    ],
)
def test_a_server_may_send_us_to_kucoin_or_to_itself(asked, endpoint, is_taken):
    expected = contextlib.nullcontext() if is_taken else pytest.raises(UntrustedHost)

    with expected:
        venues.refuse_elsewhere(endpoint, asked)


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("endpoint", [b"ws://127.0.0.1:9/", b"wss://evil.example/"])
def test_kucoin_itself_may_send_us_to_no_other(endpoint, private, monkeypatch):
    sent = Reply(200, {}, token_reply(endpoint))
    monkeypatch.setattr(Transport, "send", lambda *_, **__: sent)
    keys = kr.Credentials("key", "secret", "passphrase")

    with Rest(kr.LIVE, credentials=keys) as rest, pytest.raises(UntrustedHost, match="nothing was"):
        rest.token("futures", private=private)


def test_a_stream_connects_to_no_stranger_and_says_why():
    rest, sockets = venue_of(
        lambda path, port: (
            token_reply(b"ws://10.0.0.1/") if "bullet" in path else answers(path, port)
        ),
        dripping(b""),
    )
    with rest, sockets, kr.stream("XBTUSDTM", venue=rest.venue) as stream:
        wait_until(lambda: stream.state is kr.State.FAILED)
        assert "10.0.0.1" in str(stream.error)


def test_another_machines_clock_is_never_virtual(monkeypatch):
    reply = b'{"code":"200000","data":{"token":"t","instanceServers":[{"endpoint":"wss://a.kucoin.com"}],'
    reply += b'"simulation":{"speed":1e-9,"lifetime":1e-9}}}'
    sent = Reply(200, {}, reply)
    monkeypatch.setattr(Transport, "send", lambda *_, **__: sent)

    with Rest(kr.LIVE) as rest:
        token = rest.token("futures")

    assert (token.simulation, token.lifetime) == (None, None)


def test_cookies_of_servers_are_not_kept(real_time):
    heads = []
    cookie = b"Set-Cookie: who=you; Domain=127.0.0.1; Path=/\r\nSet-Cookie: id=1\r\n"

    def script(sock):
        while head := head_of(sock):
            heads.append(head)
            if b"Upgrade" in head:
                sock.sendall(b"HTTP/1.1 403 No\r\n" + cookie + b"\r\n")
                return
            sock.sendall(OK + cookie + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)

    with Server(script) as server, Rest(server.venue) as rest:
        for _ in range(2):
            rest.status()
            with pytest.raises(HandshakeRefused):
                Connection.open(f"ws://127.0.0.1:{server.port}/")

    assert len(heads) == 4
    assert not [head for head in heads if b"cookie" in head.lower()]


def test_a_list_of_very_many_symbols_is_read_and_shown_in_little_time_of_the_processor(
    real_time,
):
    """Counts function calls, since a busy machine does not change them: about ten per row."""
    import sys

    rows = b",".join(
        b'{"symbol":"S%dUSDTM","baseCurrency":"S","quoteCurrency":"USDT","tickSize":0.1,'
        b'"lotSize":1,"multiplier":0.001}' % number
        for number in range(4_000)
    )
    body = b'{"code":"200000","data":[' + rows + b"]}"
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event == "call"

    script = replying(OK + b"Content-Length: %d\r\n" % len(body), body)
    with Server(script) as server:
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            frame = kr.symbols(venue=server.venue)
        finally:
            sys.setprofile(before)

    assert frame.height == 4_000
    assert calls < 20 * 4_000


def test_a_misspelt_symbol_of_very_many_is_answered_at_once():
    known = {f"XBT{number}USDTM" for number in range(20_000)}

    with pytest.raises(kr.UnknownSymbol, match="lists them all"):
        instruments.resolve_symbol("QQQ", known)
    assert len(list(instruments._comparable("XBTUSDTM", known))) <= 5_000


def test_the_urls_of_servers_that_cannot_be_addresses_are_a_bad_reply(real_time):
    for endpoint in (
        b"wss://[",
        b"ws://127.0.0.1:port/",
        b"ws://127.0.0.1:99999/",
        b"http://127.0.0.1/",
    ):
        body = token_reply(endpoint)
        with (
            Server(replying(OK + b"Content-Length: %d\r\n" % len(body), body)) as server,
            Rest(server.venue) as rest,
            pytest.raises(BadReply),
        ):
            rest.token("futures")
        assert urlsplit(server.url).port
