"""Proxies and certificates: REST and sockets take the same way, and fail with the same words.

Against a real proxy, in real time. What it connects to is a name, since no proxy leads to this
machine's own addresses.
"""

import asyncio
import base64
import hashlib
import logging
import re
import select
import socket
import ssl
import threading

import pproxy
import pytest
import trustme

import kucoin_research as kr
from kucoin_research.api.doctor import diagnose
from kucoin_research.exchange import network
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket import connection as connection_module
from kucoin_research.exchange.websocket.connection import Connection
from kucoin_research.model.channels import Market, Subscription, parse_channel
from kucoin_research.streaming.collect import wait_until_live
from tests.conftest import wait_until
from tests.unit.exchange.rest.test_transport import Server, head_of
from tests.unit.figures.showing import leaks

REAL_TIME = True  # TLS and a proxy of somebody else's

HOST = "exchange.test"
USER, PASSWORD = "marker-user", "marker@password:0007"
LOGIN = "marker-user:marker%40password%3A0007@"
STATUS = b'{"code":"200000","data":{"status":"open","msg":""}}'
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """No variable of this machine's decides anything, and the name has an address."""
    for name in (*VARIABLES, *map(str.lower, VARIABLES), *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *rest, **options):
        flags = options.get("flags", rest[4] if len(rest) > 4 else 0)
        if host in (HOST, HOST.encode()) and not flags & socket.AI_NUMERICHOST:
            host = "127.0.0.1"
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


class Proxies:
    """Runs proxies that speak several protocols on one port; `log` is what they connected to."""

    def __init__(self):
        self.log = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.servers = []

    def start(self, kinds, context=None, login=""):
        made = pproxy.Server(f"{kinds}://127.0.0.1:0{login}")
        if context is not None:
            made.sslserver = context
        options = {"rserver": [], "verbose": self.log.append, "ruport": None}
        options["authtime"] = -1  # else who has once logged in need not again
        starting = asyncio.run_coroutine_threadsafe(made.start_server(options), self.loop)
        self.servers.append(starting.result(60))
        return self.servers[-1].sockets[0].getsockname()[1]

    def taken(self, port):
        """Give how the log says the exchange was reached since the last call, in one word each."""
        shown, self.log[:] = list(self.log), []
        found = [re.match(rf"(\w+) \S+ -> (.*):{port}$", each) for each in shown]
        return [f"{each[1]} {each[2]}" for each in found if each]

    def serve_socks4a(self, sock):
        """Do what pproxy does not: https://www.openssh.com/txt/socks4a.protocol."""
        head = b""
        while head.count(b"\0", 8) < 2:
            head += sock.recv(1)
        assert head[:2] == b"\x04\x01"
        assert head[4:8] == b"\0\0\0\x01"
        host, port = head[8:].split(b"\0")[1].decode(), int.from_bytes(head[2:4], "big")
        with socket.create_connection((host, port)) as other:
            self.log.append(f"socks4 client -> {host}:{port}")
            sock.sendall(b"\0\x5a" + bytes(6))
            while ready := select.select([sock, other], [], [])[0]:
                for each in ready:
                    if not (data := each.recv(65_536)):
                        return
                    (other if each is sock else sock).sendall(data)

    def close(self):
        async def end():
            for each in self.servers:
                each.close()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(60)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()


def server_context(*names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert(*names).configure_cert(context)
    return context, authority


def pem(authority):
    return authority.cert_pem.bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An exchange with TLS and one without, a proxy, and what is known of them."""
    folder = tmp_path_factory.mktemp("certificates")
    context, authority = server_context(HOST, "127.0.0.1")
    (folder / "ours.pem").write_bytes(pem(authority))
    (folder / "others.pem").write_bytes(pem(trustme.CA()))
    (folder / "empty.pem").write_bytes(b"")
    (folder / "hashed").mkdir()
    (folder / "hashed" / f"{name_hash(pem(authority))}.0").write_bytes(pem(authority))
    (folder / "both.pem").write_bytes(pem(authority) + pem(trustme.CA()))
    proxies = Proxies()

    class World:
        pass

    World.folder, World.proxies = folder, proxies
    World.open = proxies.start("http+socks4+socks5")
    World.locked = proxies.start("http+socks5", login=f"#{USER}:{PASSWORD}")
    World.safe = proxies.start("http+ssl", context)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        World.dead = taken.getsockname()[1]
    with (
        Server(exchanging(context)) as secure,
        Server(exchanging(None)) as plain,
        Server(answer_as_web_server) as stubborn,
        Server(refuse_all_methods) as picky,
        Server(proxies.serve_socks4a) as socks4a,
    ):
        World.secure, World.plain, World.stubborn = secure.port, plain.port, stubborn.port
        World.picky, World.socks4a = picky.port, socks4a.port
        yield World
        proxies.close()


def refuse_all_methods(sock):
    sock.recv(65_536)
    sock.sendall(b"\x05\xff")


def answer_as_web_server(sock):
    sock.recv(65_536)
    sock.sendall(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")


_NUMBERS = {"commonName": 3, "organizationName": 10, "organizationalUnitName": 11}  # of 2.5.4


def name_hash(certificate):
    """Compute what OpenSSL names the file of a certificate by: X509_NAME_hash."""
    reader = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    reader.load_verify_locations(cadata=certificate.decode())
    name = b""
    for ((kind, value),) in reader.get_ca_certs()[0]["subject"]:
        text = " ".join(value.lower().split()).encode()
        pair = b"\x06\x03\x55\x04" + bytes([_NUMBERS[kind], 12, len(text)]) + text
        name += bytes([0x31, len(pair) + 2, 0x30, len(pair)]) + pair
    return f"{int.from_bytes(hashlib.sha1(name).digest()[:4], 'little'):08x}"


def exchanging(context):
    """Answer each request with a status, or with the upgrade that it asks for and a message."""

    def script(sock):
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            while head := head_of(sock):
                if b"Upgrade" not in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(STATUS))
                    sock.sendall(STATUS)
                    continue
                key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
                accept = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                sock.sendall(
                    b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + base64.b64encode(accept) + b"\r\n\r\n\x81\x02hi"
                )
                sock.recv(65_536)  # the client says goodbye, and waits for the same
                sock.sendall(b"\x88\x02\x03\xe8")
                return

    return script


def by_rest(world, scheme):
    port = world.secure if scheme == "https" else world.plain
    venue = Venue(f"{scheme}://{HOST}:{port}", f"{scheme}://{HOST}:{port}")
    with Rest(venue, patience=0.0, total=20.0) as rest:
        assert rest.status().status == "open"
        assert rest.status().status == "open"  # over the same connection


def by_socket(world, scheme):
    port = world.secure if scheme == "https" else world.plain
    url = f"ws{scheme.removeprefix('http')}://{HOST}:{port}/"
    with Connection.open(url, timeout=20.0) as connection:
        assert connection.receive(20.0) == [b"hi"]


def outcome(call, world, scheme="https"):
    """Tell which way a call has gone, or the kind of its error and the reason it gives."""
    port = world.secure if scheme == "https" else world.plain
    world.proxies.taken(port)
    try:
        call(world, scheme)
    except kr.KucoinResearchError as error:
        text = str(error).removesuffix(", or work offline with venue='demo'")
        text = re.sub(
            rf"^(cannot reach {HOST}:\d+(| by way of the proxy .*,) for its status"
            rf"|{HOST}:\d+ could not be reached): ",
            "",
            text,
        )
        return type(error).__name__, text
    return "via", *dict.fromkeys(world.proxies.taken(port))


def put(monkeypatch, world, variables):
    """Set variables; in their values, names of the world's stand for its ports and files."""
    for name, value in variables.items():
        value = value.format(w=world, login=LOGIN)
        if name in CERTIFICATES:
            value = str(world.folder / value)
        monkeypatch.setenv(name, value)


OURS = {"SSL_CERT_FILE": "ours.pem"}
BY_HTTP = ("via", f"http {HOST}")
PROXY = "http://127.0.0.1:{w.open}"
DEAD = "http://127.0.0.1:{w.dead}"

WAYS = {
    "no variable": ({}, ("via",)),
    "HTTPS_PROXY": ({"HTTPS_PROXY": PROXY}, BY_HTTP),
    "https_proxy": ({"https_proxy": PROXY}, BY_HTTP),
    "without a scheme": ({"HTTPS_PROXY": "127.0.0.1:{w.open}"}, BY_HTTP),
    "a name": ({"HTTPS_PROXY": "localhost:{w.open}/"}, BY_HTTP),
    "ALL_PROXY": ({"ALL_PROXY": PROXY}, BY_HTTP),
    "all_proxy": ({"all_proxy": " " + PROXY}, BY_HTTP),
    "HTTPS_PROXY before ALL_PROXY": ({"HTTPS_PROXY": PROXY, "ALL_PROXY": DEAD}, BY_HTTP),
    "lower case first": ({"HTTPS_PROXY": DEAD, "https_proxy": PROXY}, BY_HTTP),
    "HTTP_PROXY is for http": ({"HTTP_PROXY": DEAD}, ("via",)),
    "an empty one": ({"HTTPS_PROXY": "", "ALL_PROXY": PROXY}, BY_HTTP),
    "socks5": ({"ALL_PROXY": "socks5://127.0.0.1:{w.open}"}, ("via", "socks5 127.0.0.1")),
    "socks5h": ({"HTTPS_PROXY": "socks5h://127.0.0.1:{w.open}"}, ("via", f"socks5 {HOST}")),
    "socks4": ({"ALL_PROXY": "SOCKS4://127.0.0.1:{w.open}"}, ("via", "socks4 127.0.0.1")),
    "socks4a": ({"ALL_PROXY": "socks4a://127.0.0.1:{w.socks4a}"}, ("via", f"socks4 {HOST}")),
    "TLS with the proxy": ({"HTTPS_PROXY": "https://127.0.0.1:{w.safe}"}, BY_HTTP),
    "a login": ({"HTTPS_PROXY": "http://{login}127.0.0.1:{w.locked}"}, BY_HTTP),
    "a login of SOCKS": (
        {"ALL_PROXY": "socks5h://{login}127.0.0.1:{w.locked}"}, ("via", f"socks5 {HOST}"),
    ),
    **{
        f"NO_PROXY={value}": ({"ALL_PROXY": DEAD, "NO_PROXY": value}, ("via",))
        for value in (
            HOST, f".{HOST}", "test", ".test", "*", f"{HOST}:{{w.secure}}", f"a.org, {HOST} ,b.org",
        )
    },
    "no_proxy": ({"ALL_PROXY": DEAD, "no_proxy": HOST}, ("via",)),
    **{
        f"NO_PROXY={value} is another": ({"ALL_PROXY": PROXY, "NO_PROXY": value}, BY_HTTP)
        for value in (
            "change.test", ".change.test", "e.test", f"a.{HOST}", f"{HOST}:1", "127.0.0.0/8",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_rest_and_sockets_take_the_same_way(name, world, monkeypatch):
    variables, expected = WAYS[name]
    put(monkeypatch, world, OURS | variables)

    assert outcome(by_rest, world) == expected
    assert outcome(by_socket, world) == expected


PLAIN = {
    "no variable": ({"HTTPS_PROXY": DEAD}, ("via",)),
    "HTTP_PROXY": ({"HTTP_PROXY": PROXY}, BY_HTTP),
    "ALL_PROXY": ({"ALL_PROXY": PROXY}, BY_HTTP),
    "a login": ({"HTTP_PROXY": "http://{login}127.0.0.1:{w.locked}"}, BY_HTTP),
    "socks5h": ({"http_proxy": "socks5h://127.0.0.1:{w.open}"}, ("via", f"socks5 {HOST}")),
    "TLS with the proxy": ({"http_proxy": "https://127.0.0.1:{w.safe}"}, BY_HTTP),
}


@pytest.mark.parametrize("name", PLAIN)
def test_so_they_do_without_tls(name, world, monkeypatch):
    variables, expected = PLAIN[name]
    put(monkeypatch, world, OURS | variables)

    assert outcome(by_rest, world, "http") == expected
    assert outcome(by_socket, world, "http") == expected


BARRED = {
    "nobody listens": ({"HTTPS_PROXY": "{w.dead}"}, "nobody listens there; check HTTPS_PROXY"),
    "no login": ({"all_proxy": "{w.locked}"}, "it wants a login, .*; check all_proxy, which names"),
    "a wrong login": ({"HTTPS_PROXY": "me:word@{w.locked}"}, "it wants a login, or another one"),
    "no login of SOCKS": ({"ALL_PROXY": "socks5://{w.locked}"}, "it wants a login|closed"),
    "no way to log in": ({"ALL_PROXY": "socks5://{w.picky}"}, "it wants a login, as in socks5h://"),
    "a wrong login of SOCKS": ({"ALL_PROXY": "socks5h://me:word@{w.locked}"}, "the login|closed"),
    "no SOCKS5": ({"ALL_PROXY": "socks5://{w.stubborn}"}, "it speaks no SOCKS5"),
    "no SOCKS4": ({"ALL_PROXY": "socks4://{w.stubborn}"}, "it answered 84"),
    "no proxy": ({"ALL_PROXY": "{w.stubborn}"}, "it answered 400"),
    "no such name": ({"HTTPS_PROXY": "http://kucoin-research.invalid:1"}, "no address was found"),
    "no TLS": ({"HTTPS_PROXY": "https://{w.open}"}, ".*; check HTTPS_PROXY, which names https://"),
}


@pytest.mark.parametrize("name", BARRED)
def test_a_proxy_that_leads_nowhere_is_named_with_its_variable(name, world, monkeypatch):
    variables, expected = BARRED[name]
    at_home = {key: re.sub(r"(?=\{w)", "127.0.0.1:", value) for key, value in variables.items()}
    put(monkeypatch, world, OURS | at_home)

    kind, text = outcome(by_rest, world)

    assert kind == "Unreachable"
    assert re.search(f"^the proxy did not connect to {HOST}: .*(?:{expected})", text)
    assert outcome(by_socket, world) == (kind, text)


def opening(reply, port):
    """Make a proxy that answers CONNECT with a reply, and then passes on what comes."""

    def script(sock):
        assert head_of(sock).startswith(f"CONNECT {HOST}:".encode())
        sock.sendall(reply)
        with socket.create_connection(("127.0.0.1", port)) as other:
            while ready := select.select([sock, other], [], [])[0]:
                for each in ready:
                    if not (data := each.recv(65_536)):
                        return
                    (other if each is sock else sock).sendall(data)

    return script


@pytest.fixture
def silent_proxy(monkeypatch):
    """A proxy that takes connections and says nothing, and how it is named in a sentence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("ALL_PROXY", address)
        yield f"by way of the proxy {address}, which ALL_PROXY names"


def test_who_does_not_answer_by_way_of_a_proxy_is_told_with_it(silent_proxy):
    venue = Venue(f"http://{HOST}:8080", f"http://{HOST}:8080")
    with (
        Rest(venue, timeout=(0.2, 0.2), patience=0.0) as rest,
        pytest.raises(kr.errors.Unreachable) as told,
    ):
        rest.server_time()

    assert str(told.value).startswith(f"cannot reach {HOST}:8080 {silent_proxy}, for ")
    assert "no answer in time" in str(told.value)


def test_a_stream_that_gets_nowhere_names_the_proxy(silent_proxy):
    venue = Venue(f"http://{HOST}:8080", f"http://{HOST}:8080")
    subscription = Subscription(parse_channel("ticker"), "XBTUSDTM", Market.FUTURES)
    stream = kr.Stream([subscription], Rest(venue))
    stream.start()
    try:
        with pytest.raises(kr.errors.ConnectionLost) as told:
            wait_until_live(stream, 0.2)
    finally:
        stream.stop()

    assert f"in which nothing moved {silent_proxy}; check the network" in str(told.value)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 201 Created\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
        b"HTTP/1.1 299 \r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 202 OK\r\n\r\n",
    ],
    ids=str,
)
def test_any_success_of_a_proxy_opens_the_tunnel(reply, world, monkeypatch):
    with Server(opening(reply, world.secure)) as proxy:
        put(monkeypatch, world, OURS | {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})

        by_rest(world, "https")
        by_socket(world, "https")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"HTTP/1.1 101 Switching\r\n\r\n", "101"),
        (b"HTTP/1.1 300 Choose\r\n\r\n", "300"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n", "403"),
        (b"HTTP/1.1 2000 Yes\r\n\r\n", "nothing of HTTP"),
        (b"hello 200 you\r\n\r\n", "nothing of HTTP"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000, "have no end"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_success_of_a_proxy_opens_no_tunnel(reply, told, world, monkeypatch):
    with Server(opening(reply, world.secure)) as proxy:
        put(monkeypatch, world, OURS | {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})

        for call in (by_rest, by_socket):
            kind, text = outcome(call, world)
            assert (kind, told in text) == ("Unreachable", True), text


def test_an_interim_reply_before_the_upgrade_is_passed_over(world):
    exchange = exchanging(None)

    def script(sock):
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        exchange(sock)

    with (
        Server(script) as server,
        Connection.open(f"ws://{HOST}:{server.port}/", timeout=20.0) as connection,
    ):
        assert connection.receive(20.0) == [b"hi"]


@pytest.mark.parametrize(
    "value",
    [
        "http://",
        "http://proxy:port",
        "ftp://127.0.0.1:1",
        "http://[::1",
        "socks://127.0.0.1",
        "http://me:1234/5@proxy:3128",
        "me:1234#5@proxy:3128",
    ],
)
def test_what_is_no_address_of_a_proxy_is_told(value, world, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", value)

    kind, text = outcome(by_rest, world)

    assert kind == "InvalidInput"
    assert "HTTPS_PROXY names" in text
    assert "it should look like http://host:3128" in text
    assert "1234" not in text
    assert outcome(by_socket, world) == (kind, text)


# -- certificates ----------------------------------------------------------------------------------

BELIEVED = {
    "REQUESTS_CA_BUNDLE": {"REQUESTS_CA_BUNDLE": "ours.pem"},
    "CURL_CA_BUNDLE": {"CURL_CA_BUNDLE": "ours.pem"},
    "SSL_CERT_FILE": {"SSL_CERT_FILE": "ours.pem"},
    "SSL_CERT_DIR": {"SSL_CERT_DIR": "hashed"},
    "a folder": {"REQUESTS_CA_BUNDLE": "hashed"},
    "several in a file": {"SSL_CERT_FILE": "both.pem"},
    "the first counts": {"REQUESTS_CA_BUNDLE": "ours.pem", "SSL_CERT_FILE": "missing.pem"},
    "file and folder": {"SSL_CERT_FILE": "others.pem", "SSL_CERT_DIR": "hashed"},
}


@pytest.mark.parametrize("name", BELIEVED)
def test_a_named_certificate_is_believed_by_both(name, world, monkeypatch):
    put(monkeypatch, world, BELIEVED[name])

    assert outcome(by_rest, world) == outcome(by_socket, world) == ("via",)


STRANGERS = {
    "no variable": ({}, "certificates of this system's and certifi's"),
    "another one": ({"SSL_CERT_FILE": "others.pem"}, r"others\.pem \(from SSL_CERT_FILE\)"),
    "the first counts": (
        {"REQUESTS_CA_BUNDLE": "others.pem", "SSL_CERT_FILE": "ours.pem"},
        r"others\.pem \(from REQUESTS_CA_BUNDLE\)",
    ),
    "through a proxy": ({"ALL_PROXY": PROXY}, "this system's and certifi's"),
    "the proxy's own": ({"HTTPS_PROXY": "https://127.0.0.1:{w.safe}"}, "the proxy did not connect"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_certificate_that_nobody_vouches_for_is_told_alike(name, world, monkeypatch):
    variables, expected = STRANGERS[name]
    put(monkeypatch, world, variables)

    kind, text = outcome(by_rest, world)

    assert kind == "CertificateRefused"
    assert "its certificate is not accepted" in text
    assert re.search(expected, text)
    assert outcome(by_socket, world) == (kind, text)


def test_the_certificate_of_another_host_is_refused_by_both(world, monkeypatch):
    put(monkeypatch, world, OURS)
    monkeypatch.setattr(connection_module, "is_loopback", lambda _: True)
    venue = Venue(f"https://localhost:{world.secure}", f"https://localhost:{world.secure}")

    with Rest(venue) as rest, pytest.raises(kr.CertificateRefused, match="Hostname mismatch"):
        rest.status()
    with pytest.raises(kr.CertificateRefused, match="Hostname mismatch"):
        Connection.open(f"wss://localhost:{world.secure}/")


FLAWED = {
    "missing": ("missing.pem", "which does not exist"),
    "empty": ("empty.pem", "which holds no certificate"),
    "a folder of others": (".", "which holds no certificate"),
}


@pytest.mark.parametrize("variable", CERTIFICATES)
@pytest.mark.parametrize("name", FLAWED)
def test_a_file_that_names_no_certificate_is_told(name, variable, world, monkeypatch):
    value, expected = FLAWED[name]
    put(monkeypatch, world, {variable: value})
    if variable == "SSL_CERT_DIR":
        expected = "which holds no certificate"

    kind, text = outcome(by_rest, world)

    assert kind == "InvalidInput"
    assert text.startswith(f"{variable} names {world.folder / value}, {expected}")
    assert outcome(by_socket, world) == (kind, text)


def test_a_file_that_was_mended_is_read_again(world, monkeypatch, tmp_path):
    path = tmp_path / "company.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for content, expected in (
        (None, "InvalidInput"),
        (world.folder / "others.pem", "CertificateRefused"),
        (world.folder / "both.pem", "via"),
    ):
        if content is not None:
            path.write_bytes(content.read_bytes())
        assert outcome(by_rest, world)[0] == outcome(by_socket, world)[0] == expected


def test_a_stream_whose_socket_is_never_believed_fails_and_says_why(world):
    """Its REST side is without TLS, so nothing but the socket meets the certificate."""
    contract = (
        b'{"code":"200000","data":[{"symbol":"XBTUSDTM","baseCurrency":"XBT",'
        b'"quoteCurrency":"USDT","tickSize":0.1,"lotSize":1,"multiplier":0.001}]}'
    )
    token = (
        b'{"code":"200000","data":{"token":"a-token-of-the-test","instanceServers":'
        b'[{"endpoint":"wss://127.0.0.1:%d/"}]}}' % world.secure
    )

    def script(sock):
        while head := head_of(sock):
            body = contract if b"contracts" in head else token if b"bullet" in head else STATUS
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with Server(script) as rest, kr.stream("XBTUSDTM", venue=rest.venue) as stream:
        wait_until(lambda: stream.state is kr.State.FAILED)
        assert isinstance(stream.error, kr.CertificateRefused)
        assert "set this machine's clock, and REQUESTS_CA_BUNDLE" in str(stream.error)


# -- what is told ----------------------------------------------------------------------------------


def test_the_doctor_tells_the_way_and_who_decided_it(world, monkeypatch):
    venue = Venue(f"https://{HOST}:{world.secure}", f"https://other.test:{world.secure}")
    put(monkeypatch, world, {"SSL_CERT_FILE": "ours.pem", "NO_PROXY": "other.test"})
    monkeypatch.setenv("HTTPS_PROXY", f"http://{LOGIN}127.0.0.1:{world.dead}")

    found = diagnose([venue])

    ours = world.folder / "ours.pem"
    assert found["custom futures network"].detail == (
        f"proxy: http://***@127.0.0.1:{world.dead} (from HTTPS_PROXY); "
        f"certificates: {ours} (from SSL_CERT_FILE)"
    )
    assert found["custom spot network"].detail == (
        f"proxy: none (NO_PROXY names other.test); certificates: {ours} (from SSL_CERT_FILE)"
    )
    assert PASSWORD not in str(found)
    assert "marker" not in str(found)


def test_the_doctor_shows_a_host_that_is_excepted_by_its_url(monkeypatch):
    venue = Venue(f"https://{HOST}:9", f"https://{HOST}:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", f"http://{HOST}")

    found = diagnose([venue])

    assert found["custom network"].detail.startswith(f"proxy: none (NO_PROXY names {HOST})")


def test_the_doctor_tells_what_is_wrong_with_a_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "gone.pem"))
    venue = Venue(f"https://{HOST}:9", f"https://{HOST}:9")

    check = diagnose([venue])["custom network"]

    assert (check.health, check.detail) == (
        "bad", f"CURL_CA_BUNDLE names {tmp_path / 'gone.pem'}, which does not exist",
    )  # fmt: skip
    assert check.fix == "name a file with certificates (PEM) in CURL_CA_BUNDLE, or unset it"


def test_this_machine_is_reached_without_a_proxy(exchange, monkeypatch, world):
    put(monkeypatch, world, {"ALL_PROXY": DEAD, "HTTP_PROXY": DEAD})

    check = diagnose([exchange.venue])[f"{exchange.venue.name} network"]

    assert check.detail.startswith("proxy: none (no proxy reaches this very machine); ")


SHY = {
    "no proxy": "http://{login}127.0.0.1:{w.stubborn}",
    "refused": f"http://me:{LOGIN.partition(':')[2]}127.0.0.1:{{w.locked}}",
    "refused by SOCKS": f"socks5://me:{LOGIN.partition(':')[2]}127.0.0.1:{{w.locked}}",
    "no SOCKS": "socks4a://{login}127.0.0.1:{w.stubborn}",
    "no port": "http://{login}127.0.0.1:port",
}


@pytest.mark.parametrize(
    ("name", "scheme"),
    [*((name, "https") for name in SHY), ("refused", "http"), ("no proxy", "http")],
)
def test_no_password_of_a_proxy_shows(name, scheme, world, monkeypatch, caplog):
    put(monkeypatch, world, OURS | {"ALL_PROXY": SHY[name]})
    secrets = {"password": PASSWORD} | {
        f"login of {who}": base64.b64encode(f"{who}:{PASSWORD}".encode()).decode()
        for who in ("me", USER)
    }

    for call in (by_rest, by_socket):
        with caplog.at_level(logging.DEBUG), pytest.raises(kr.KucoinResearchError) as caught:
            call(world, scheme)
        assert leaks(caught.value, secrets) == []
    assert not [each for each in secrets.values() if each in caplog.text]


@pytest.mark.parametrize("method", ["recv", "sendall"])
def test_no_interrupt_while_a_proxy_is_spoken_to_shows_its_password(method, world, monkeypatch):
    put(monkeypatch, world, {"HTTP_PROXY": "http://{login}127.0.0.1:{w.locked}"})

    def interrupt(*_):
        raise KeyboardInterrupt

    class Interrupted(socket.socket):
        recv = interrupt

    if (
        method == "sendall"
    ):  # the test's own frame holds what is sent, so only REST can be looked at
        Interrupted.sendall = interrupt
    dial = network.dial
    monkeypatch.setattr(network, "dial", lambda *a, **o: Interrupted(fileno=dial(*a, **o).detach()))
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    with pytest.raises(KeyboardInterrupt) as caught:
        (by_rest if method == "sendall" else by_socket)(world, "http")
    assert leaks(caught.value, {"password": PASSWORD, "login": login}) == []


@pytest.mark.parametrize("host", ["a..test", f"{'x' * 70}.test", ".".join(["x" * 60] * 5)])
@pytest.mark.parametrize("scheme", ["socks5h", "socks4a", "socks5"])
def test_a_name_that_is_none_is_told_through_a_proxy_too(scheme, host, world, monkeypatch):
    put(monkeypatch, world, {"ALL_PROXY": f"{scheme}://127.0.0.1:{{w.stubborn}}"})
    venue = Venue(f"http://{host}", f"http://{host}")

    with Rest(venue, patience=0.0) as rest, pytest.raises(kr.Unreachable):
        rest.status()
