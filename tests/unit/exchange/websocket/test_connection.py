"""Connection against raw loopback servers: each test scripts the bytes its server sends."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme
import websocket

from kucoin_research.errors import (
    ConnectionLost,
    HandshakeRefused,
    InvalidInput,
    NetworkError,
    ProtocolViolation,
    Unreachable,
    UntrustedHost,
)
from kucoin_research.exchange.websocket.connection import Connection

# Real sockets and TLS, against servers that live in real time.
REAL_TIME = True

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
SECRET = "secret-of-the-url"
DEADLINE = 60.0
NEVER = 3_600.0  # seconds, far beyond any patience here


def frame(payload=b"", opcode=TEXT):
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    return bytes([0x80 | opcode]) + length + payload


def close_frame(code=1000, reason=b""):
    return frame(struct.pack(">H", code) + reason, CLOSE)


class Peer:
    """The server's side of one accepted connection."""

    def __init__(self, sock):
        self.socket = sock
        sock.settimeout(DEADLINE)
        self.stream = sock.makefile("rb")
        self.request = b""

    def read_request(self):
        while not self.request.endswith(b"\r\n\r\n"):
            self.request += self.stream.readline()

    def upgrade(self, *, after=b""):
        """Accept the WebSocket; `after` goes into the same segment as the reply."""
        self.read_request()
        lines = self.request.decode().split("\r\n")
        key = next(line[19:] for line in lines if line.startswith("Sec-WebSocket-Key: "))
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        self.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + after
        )

    def send(self, data):
        self.socket.sendall(data)

    def read_frame(self):
        """Return opcode and unmasked payload of one short frame, or None at the end."""
        head = self.stream.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(self.stream.read(2), "big")
        mask = self.stream.read(4)
        assert head[1] & 0x80, "a client must mask"
        payload = self.stream.read(size)
        return head[0] & 0xF, bytes(b ^ mask[i % 4] for i, b in enumerate(payload))

    def close(self):
        self.stream.close()
        self.socket.close()


class Server:
    """Serve one connection with `script(peer)` on a thread; its failure fails the test."""

    def __init__(self, script, context=None):
        self.script = script
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(DEADLINE)
        self.port = self.listener.getsockname()[1]
        scheme = "ws" if context is None else "wss"
        self.url = f"{scheme}://127.0.0.1:{self.port}/endpoint?token={SECRET}"
        self.pool = ThreadPoolExecutor(1)

    def serve(self):
        accepted, _ = self.listener.accept()
        with accepted:
            if self.context is not None:
                accepted = self.context.wrap_socket(accepted, server_side=True)
            with contextlib.closing(Peer(accepted)) as peer:
                return self.script(peer)

    @property
    def result(self):
        """What the script returned; waits for it, and raises what it raised."""
        return self.outcome.result(DEADLINE)

    def __enter__(self):
        self.outcome = self.pool.submit(self.serve)
        return self

    def __exit__(self, kind, *_):
        self.pool.shutdown()
        self.listener.close()
        if kind is None:
            _ = self.result


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def ssl_options(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"context": context}


@pytest.fixture(params=["plain", "tls"])
def start(request):
    """Return `start(script) -> (server, options)`, once plain and once over TLS."""
    if request.param == "plain":
        return lambda script: (Server(script), {})
    context = request.getfixturevalue("server_context")
    options = {"ssl_options": request.getfixturevalue("ssl_options")}
    return lambda script: (Server(script, context), options)


@contextlib.contextmanager
def connected(start, script):
    server, options = start(script)
    with server, Connection.open(server.url, timeout=DEADLINE, **options) as connection:
        yield connection, server


def receive_until_lost(connection, timeout=DEADLINE):
    messages = []
    deadline = time.monotonic() + timeout
    try:
        while time.monotonic() < deadline:
            messages += connection.receive(timeout)
    except NetworkError as error:
        return messages, error
    raise AssertionError("the connection did not end")


# -- receiving and sending -------------------------------------------------------------------


def test_frames_in_the_segment_of_the_handshake_reply_are_not_lost(start):
    frames = b"".join(frame(b"%d" % number) for number in range(1000))

    with connected(start, lambda peer: peer.upgrade(after=frames + close_frame())) as (c, _):
        messages, _ = receive_until_lost(c)

    assert messages == [b"%d" % number for number in range(1000)]


def test_many_messages_arrive_in_order_and_are_counted(start):
    payloads = [b"%d" % number * (number % 300) for number in range(5000)]
    stream = b"".join(frame(payload) for payload in payloads)

    def script(peer):
        peer.upgrade()
        peer.send(stream + close_frame())
        peer.read_frame()

    with connected(start, script) as (connection, _):
        messages, _ = receive_until_lost(connection)

        assert messages == payloads
        assert connection.messages_received == 5000
        assert connection.bytes_received == len(stream) + len(close_frame())


def test_timeout_returns_no_messages_and_keeps_the_connection(start):
    def script(peer):
        peer.upgrade()
        assert peer.read_frame() == (TEXT, b"now")
        peer.send(frame(b"reply"))
        peer.read_frame()

    with connected(start, script) as (connection, _):
        assert connection.receive(0.01) == []
        assert connection.receive(0) == []
        connection.send("now")
        assert connection.receive(DEADLINE) == [b"reply"]


def test_message_cut_by_a_timeout_arrives_whole(start):
    whole = frame(b"x" * 300)

    def script(peer):
        peer.upgrade(after=whole[:100])
        peer.read_frame()
        peer.send(whole[100:] + close_frame())

    with connected(start, script) as (connection, _):
        assert connection.receive(0.05) == []
        connection.send("go on")
        assert receive_until_lost(connection)[0] == [b"x" * 300]


def test_text_is_sent_as_utf8(start):
    def script(peer):
        peer.upgrade()
        return peer.read_frame()

    with connected(start, script) as (connection, server):
        connection.send('{"name":"é"}' * 20)

    assert server.result == (TEXT, '{"name":"é"}'.encode() * 20)


def test_pings_are_answered_in_order_with_their_payload(start):
    def script(peer):
        peer.upgrade()
        peer.send(frame(b"one", PING) + frame(b"data") + frame(b"", PING))
        pongs = peer.read_frame(), peer.read_frame()
        peer.send(close_frame())
        return pongs

    with connected(start, script) as (connection, server):
        messages, _ = receive_until_lost(connection)

    assert messages == [b"data"]
    assert server.result == ((PONG, b"one"), (PONG, b""))


def test_large_batches_of_tls_records_leave_nothing_behind(start):
    # The last message ends in the middle of a record; no further bytes wake the socket.
    payload = b"x" * 50_000

    def script(peer):
        peer.upgrade()
        peer.send(frame(payload) * 3)
        peer.read_frame()

    with connected(start, script) as (connection, _):
        messages = []
        while len(messages) < 3:
            messages += connection.receive(DEADLINE)

    assert messages == [payload] * 3


# -- how a connection ends -------------------------------------------------------------------


def test_close_is_echoed_and_raised_after_the_messages_before_it(start):
    def script(peer):
        peer.upgrade(after=frame(b"a") + frame(b"b") + close_frame(4001, b"token expired"))
        return peer.read_frame(), peer.read_frame()

    with connected(start, script) as (connection, server):
        messages = connection.receive(DEADLINE)
        with pytest.raises(ConnectionLost, match="4001: token expired") as caught:
            connection.receive(DEADLINE)

    assert messages == [b"a", b"b"]
    assert caught.value.close_code == 4001
    assert server.result == ((CLOSE, struct.pack(">H", 4001)), None)


def test_close_without_a_code_is_echoed_without_one(start):
    def script(peer):
        peer.upgrade(after=frame(opcode=CLOSE))
        return peer.read_frame()

    with (
        connected(start, script) as (connection, server),
        pytest.raises(ConnectionLost, match="no code") as caught,
    ):
        connection.receive(DEADLINE)

    assert caught.value.close_code == 1005
    assert server.result == (CLOSE, b"")


def test_what_ended_the_connection_is_raised_again_by_each_call(start):
    with connected(start, lambda peer: peer.upgrade(after=close_frame(1001))) as (connection, _):
        for call in (lambda: connection.receive(1), lambda: connection.send("x")) * 2:
            with pytest.raises(ConnectionLost) as caught:
                call()
            assert caught.value.close_code == 1001


@pytest.mark.parametrize("tail", [b"", frame(b"x" * 300)[:100], b"\x81"])
def test_end_without_a_close_frame_is_1006_after_the_whole_messages(start, tail):
    def script(peer):
        peer.upgrade(after=frame(b"whole") + tail)

    with connected(start, script) as (connection, _):
        messages, error = receive_until_lost(connection)

    assert messages == [b"whole"]
    assert isinstance(error, ConnectionLost)
    assert error.close_code == 1006


def reset_after(sent):
    """Give a script that sends, waits for a frame, and resets the connection."""

    def script(peer):
        peer.upgrade()
        peer.send(sent)
        peer.read_frame()
        # Closing with zero linger sends RST instead of FIN.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


def test_reset_is_1006():
    with connected(lambda s: (Server(s), {}), reset_after(b"")) as (connection, _):
        connection.send("go")
        _, error = receive_until_lost(connection)

    assert isinstance(error, ConnectionLost)
    assert error.close_code == 1006


def send_until_lost(connection):
    connection.send("go")
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            connection.send("a ping")
        except ConnectionLost as error:
            return error
    raise AssertionError("sending never failed")


def test_what_arrived_before_a_send_failed_is_still_received(start):
    sent = [b"%d" % number * 100 for number in range(200)]

    with connected(start, reset_after(b"".join(map(frame, sent)))) as (connection, _):
        failed = send_until_lost(connection)
        got, error = receive_until_lost(connection)

        assert "could not be sent" in str(failed)
        assert got == sent
        assert error is failed
        with pytest.raises(ConnectionLost, match="could not be sent"):
            connection.send("more")


def test_what_arrived_before_a_pong_could_not_be_sent_is_still_received():
    sent = [b"%d" % number * 100 for number in range(200)]
    stream = frame(sent[0]) + frame(b"?", PING) + b"".join(map(frame, sent[1:]))

    with connected(lambda s: (Server(s), {}), reset_after(stream)) as (connection, _):
        send_until_lost(connection)
        got, _ = receive_until_lost(connection)

    assert got == sent


def test_how_the_peer_left_is_told_even_if_a_send_failed_first():
    stream = frame(b"last") + close_frame(1000, b"Bye")

    with connected(lambda s: (Server(s), {}), reset_after(stream)) as (connection, _):
        send_until_lost(connection)
        got, error = receive_until_lost(connection)

    assert got == [b"last"]
    assert error.close_code == 1000


def test_a_connection_whose_sends_fail_is_closed_without_a_farewell():
    with connected(lambda s: (Server(s), {}), reset_after(b"")) as (connection, _):
        failed = send_until_lost(connection)
        connection.close(timeout=NEVER)

        with pytest.raises(ConnectionLost) as caught:
            connection.receive(0)
        assert caught.value is failed


def test_violation_is_answered_with_its_code_and_raised_after_the_messages(start):
    def script(peer):
        peer.upgrade(after=frame(b"good") + b"\xc1\x00")
        return peer.read_frame(), peer.read_frame()

    with connected(start, script) as (connection, server):
        messages = connection.receive(DEADLINE)
        with pytest.raises(ProtocolViolation, match="reserved bit"):
            connection.receive(DEADLINE)

    assert messages == [b"good"]
    assert server.result == ((CLOSE, struct.pack(">H", 1002)), None)


def test_message_over_the_limit_is_answered_with_1009():
    def script(peer):
        peer.upgrade(after=frame(b"x" * 101))
        return peer.read_frame()

    with (
        Server(script) as server,
        Connection.open(server.url, max_message=100) as connection,
        pytest.raises(ProtocolViolation) as caught,
    ):
        connection.receive(DEADLINE)

    assert caught.value.close_code == 1009
    assert server.result == (CLOSE, struct.pack(">H", 1009))


def test_close_says_goodbye_waits_for_the_answer_and_is_idempotent(start):
    def script(peer):
        peer.upgrade()
        said = peer.read_frame()
        peer.send(frame(b"late") + close_frame())
        return said, peer.read_frame()

    with connected(start, script) as (connection, server):
        connection.close(timeout=DEADLINE)
        connection.close()
        with pytest.raises(ConnectionLost, match="on this side"):
            connection.receive(DEADLINE)

    assert server.result == ((CLOSE, struct.pack(">H", 1000)), None)


def test_close_does_not_wait_for_a_silent_peer_beyond_its_timeout(start):
    finished, gave_up = threading.Event(), []

    def script(peer):
        peer.upgrade()
        if not finished.wait(NEVER):
            gave_up.append(True)

    with connected(start, script) as (connection, _):
        started = time.monotonic()
        connection.close(timeout=0.1)
        took = time.monotonic() - started
        finished.set()

    assert took > 0.05
    assert not gave_up


def test_close_is_bounded_while_the_peer_keeps_sending():
    def script(peer):
        peer.upgrade()
        with contextlib.suppress(OSError):
            while True:
                peer.send(frame(b"x" * 300) * 100)

    with connected(lambda s: (Server(s), {}), script) as (connection, _):
        connection.close(timeout=0.1)  # or it would never return


def test_send_to_a_peer_that_does_not_read_ends_the_connection():
    finished = threading.Event()

    def script(peer):
        peer.upgrade()
        finished.wait(DEADLINE)

    with Server(script) as server, Connection.open(server.url, timeout=0.2) as connection:
        with pytest.raises(ConnectionLost, match="could not be sent"):
            connection.send("x" * 20_000_000)
        with pytest.raises(ConnectionLost):
            connection.receive(0)
        finished.set()


def test_receive_timeout_does_not_shorten_a_send(start):
    def script(peer):
        peer.upgrade()
        return peer.read_frame(), len(peer.stream.read(3_000_014))

    with connected(start, script) as (connection, server):
        # A small buffer is full while the peer still reads.
        connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        assert connection.receive(0) == []
        connection.send("first")
        connection.send("x" * 3_000_000)

    assert server.result == ((TEXT, b"first"), 3_000_014)


# -- abort -----------------------------------------------------------------------------------


def test_abort_wakes_a_blocking_receive_at_once(start):
    finished = threading.Event()

    def script(peer):
        peer.upgrade(after=frame(b"ready"))
        finished.wait(NEVER)

    outcome = []
    with connected(start, script) as (connection, _):
        assert connection.receive(DEADLINE) == [b"ready"]
        owner = threading.Thread(
            target=lambda: outcome.append(receive_until_lost(connection, NEVER))
        )
        owner.start()
        connection.abort()
        owner.join(DEADLINE)
        assert not owner.is_alive()
        connection.abort()
        finished.set()

    assert outcome[0][0] == []
    assert isinstance(outcome[0][1], ConnectionLost)
    assert "aborted" in str(outcome[0][1])


def test_abort_while_messages_pour_in_never_delivers_garbage(start):
    payload = b"x" * 300

    def script(peer):
        peer.upgrade()
        with contextlib.suppress(OSError):
            while True:
                peer.send(frame(payload) * 200)

    received, errors = [], []

    def own(connection):
        try:
            while True:
                received.extend(connection.receive(DEADLINE))
                is_pouring.set()
        except NetworkError as error:
            errors.append(error)

    is_pouring = threading.Event()
    with connected(start, script) as (connection, _):
        owner = threading.Thread(target=own, args=(connection,))
        owner.start()
        assert is_pouring.wait(DEADLINE)
        connection.abort()
        owner.join(DEADLINE)

    assert set(received) == {payload}
    assert "aborted" in str(errors[0])


def test_receive_after_abort_raises_even_if_messages_wait(start):
    def script(peer):
        peer.upgrade(after=frame(b"waiting"))

    with connected(start, script) as (connection, _):
        connection.abort()
        with pytest.raises(ConnectionLost, match="aborted"):
            connection.receive(DEADLINE)
        with pytest.raises(ConnectionLost, match="aborted"):
            connection.send("x")


def test_send_and_close_after_abort_are_quick(start):
    with connected(start, lambda peer: peer.upgrade()) as (connection, _):
        connection.abort()
        with pytest.raises(ConnectionLost):
            connection.send("x")
        connection.close(timeout=DEADLINE)
        connection.abort()


# -- opening ---------------------------------------------------------------------------------


def assert_tells_no_secret(error):
    while error is not None:
        assert SECRET not in str(error)
        assert SECRET not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_handshake_offers_no_compression_and_delays_nothing(start):
    def script(peer):
        peer.upgrade()
        return peer.request

    with connected(start, script) as (connection, server):
        no_delay = connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert no_delay
    assert b"Sec-WebSocket-Extensions" not in server.result
    assert f"/endpoint?token={SECRET}".encode() in server.result


def test_headers_are_sent():
    def script(peer):
        peer.upgrade()
        return peer.request

    with Server(script) as server, Connection.open(server.url, header={"User-Agent": "me"}):
        pass

    assert b"\r\nUser-Agent: me\r\n" in server.result


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 503])
def test_refused_upgrade_tells_its_status_and_no_secret(start, status):
    reply = (
        f"HTTP/1.1 {status} No\r\nContent-Length: {len(SECRET)}\r\n"
        f"Location: ws://127.0.0.1:1/?token={SECRET}\r\n\r\n{SECRET}"
    )

    def script(peer):
        peer.read_request()
        peer.send(reply.encode())

    server, options = start(script)
    with server, pytest.raises(HandshakeRefused, match=f"127.0.0.1.*{status}") as caught:
        Connection.open(server.url, **options)

    assert caught.value.status == status
    assert_tells_no_secret(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        f"SSH-2.0-{SECRET}\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        f"HTTP/1.1 {SECRET}\r\n\r\n",
        f"HTTP/1.1 101 Yes\r\n{SECRET}\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Yes\r\n\xff: \xff\r\n\r\n",
        "\r\n",
    ],
)
def test_reply_that_is_no_upgrade_is_refused(reply):
    def script(peer):
        peer.read_request()
        peer.send(reply.encode("latin-1"))

    with Server(script) as server, pytest.raises(HandshakeRefused) as caught:
        Connection.open(server.url)

    assert_tells_no_secret(caught.value)


def test_nobody_listening_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(Unreachable, match=f"127.0.0.1:{port} could not be reached") as caught:
        Connection.open(f"ws://127.0.0.1:{port}/?token={SECRET}")

    assert_tells_no_secret(caught.value)


def test_unknown_name_is_unreachable():
    with pytest.raises(Unreachable, match=r"no address was found for nobody\.invalid") as caught:
        Connection.open(f"ws://nobody.invalid/?token={SECRET}")

    assert_tells_no_secret(caught.value)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_peer_that_accepts_and_says_nothing_is_unreachable_in_time(scheme):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/?token={SECRET}"

        with pytest.raises(Unreachable, match=r"did not answer within 0\.1 s") as caught:
            Connection.open(url, timeout=0.1)

    assert_tells_no_secret(caught.value)


def test_peer_that_hangs_up_during_the_handshake_is_unreachable(start):
    server, options = start(lambda peer: peer.read_request())

    with server, pytest.raises(Unreachable, match="closed the connection") as caught:
        Connection.open(server.url, **options)

    assert_tells_no_secret(caught.value)


def test_certificate_of_a_stranger_is_unreachable_and_told(server_context):
    server = Server(lambda peer: None, server_context)

    # The server sees the client's alert as an error of its own.
    with (
        pytest.raises(ssl.SSLError),
        server,
        pytest.raises(Unreachable, match="certificate") as caught,
    ):
        Connection.open(server.url)

    assert_tells_no_secret(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://host/?{SECRET}",
        f"{SECRET}",
        f"ws:///?{SECRET}",
        f"ws://host:port/?{SECRET}",
        f"ws://{'x' * 70}/?{SECRET}",
    ],
)
def test_address_that_cannot_be_meant_is_invalid_input(url):
    with pytest.raises(InvalidInput) as caught:
        Connection.open(url)

    assert_tells_no_secret(caught.value)


def unchecked_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


def unverified_context():
    context = unchecked_context()
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    "options",
    [
        {"cert_reqs": ssl.CERT_NONE},
        {"cert_reqs": ssl.CERT_OPTIONAL},
        {"check_hostname": False},
        {"context": unchecked_context()},
        {"context": unverified_context(), "cert_reqs": ssl.CERT_REQUIRED},
    ],
)
@pytest.mark.parametrize("host", ["ws-api-futures.kucoin.com", "nobody.invalid"])
def test_verification_cannot_be_switched_off_for_other_hosts(host, options):
    with pytest.raises(UntrustedHost, match=f"always verified.* that of {host}") as caught:
        Connection.open(f"wss://{host}/?token={SECRET}", ssl_options=options)

    assert_tells_no_secret(caught.value)


def test_this_machine_may_go_without_verification(server_context):
    server = Server(lambda peer: peer.upgrade(), server_context)

    with server:
        Connection.open(server.url, ssl_options={"context": unverified_context()}).close()


def test_tracing_of_the_library_shows_no_token(start, caplog):
    server, options = start(lambda peer: peer.upgrade(after=close_frame()))
    websocket.enableTrace(True)
    try:
        with caplog.at_level("DEBUG"), server:
            Connection.open(server.url, **options).close()
    finally:
        websocket.enableTrace(False)
        websocket._logging._logger.handlers.clear()

    assert "token=***" in caplog.text
    assert SECRET not in caplog.text
