"""No traceback with its variables shows a key, what was made of it, or a token."""

from __future__ import annotations

import base64
import html
import http.client
import json
import logging
import re
import socket
import ssl
import threading
import time
import traceback
from contextlib import contextmanager
from functools import partial
from urllib.parse import quote

import pytest
import trustme

import kucoin_research as kr
from kucoin_research import sim
from kucoin_research.exchange import signing
from kucoin_research.exchange.rest import signer
from kucoin_research.exchange.rest.calls import RequestSigner
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.token import Server, Token
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket import connection
from kucoin_research.foundation.hidden import Hidden, Settings, bare, masked, sealed
from kucoin_research.model.channels import Market, Subscription, parse_channel
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import Answer, ok, refusal
from tests.unit.exchange.websocket.test_connection import Server as SocketServer
from tests.unit.exchange.websocket.test_connection import close_frame, frame
from tests.unit.figures.showing import dumps_of, leaks

# Against servers that live in real time.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter

KEY, SECRET, PASSPHRASE = "markerkey0001", "marker/secret=0002", "marker  phrase<3>"
TOKEN = "markertoken/0004=="
CREDENTIALS = kr.Credentials(KEY, SECRET, PASSPHRASE)
SECRETS = {
    "key": KEY,
    "secret": SECRET,
    "passphrase": PASSPHRASE,
    "signed passphrase": signing.sign(SECRET, PASSPHRASE),
    "token": TOKEN,
}
SUBSCRIPTION = Subscription(parse_channel("order"), "XBTUSDTM", Market.FUTURES)


@pytest.fixture
def secrets(monkeypatch):
    """What must show nowhere; the signatures that are made meanwhile come in."""
    found, made = dict(SECRETS), signing.signed_headers

    def signed_headers(*arguments, **options):
        headers = made(*arguments, **options)
        found[f"signature {len(found)}"] = headers["KC-API-SIGN"]
        return headers

    monkeypatch.setattr(signer, "signed_headers", signed_headers)
    return found


def raised_by(call):
    """Give what a call raises; the call holds its secrets in frames of tests only."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001
        return error
    pytest.fail("nothing was raised")


# -- REST ------------------------------------------------------------------------------------------

CALLS = {
    "futures token": lambda rest: rest.token("futures", private=True),
    "spot token": lambda rest: rest.token("spot", private=True),
    "deep book": lambda rest: rest.order_book("BTC-USDT", 500),
    "deepest book": lambda rest: rest.level2_snapshot("BTC-USDT"),
}


def echo(asked):
    return " and ".join(asked.headers[name] for name in signing.SECRET_HEADERS)


def everything_of(asked):
    return f"{echo(asked)} {SECRET} {PASSPHRASE} {html.escape(PASSPHRASE)}"


def page(asked, status=403):
    title = f"{'-' * 20}{html.escape(everything_of(asked))}"
    return Answer(f"<html><title>{title}</title>{title}".encode(), status)


def at_the_cut(asked):
    # Where a text is cut to its length, half a signature must not stay.
    return refusal("400005", f"{'-' * 185} {asked.headers['KC-API-SIGN']}", 401)


PRIVATE = {"token": TOKEN, "instanceServers": [{"endpoint": "ws://127.0.0.1:1/"}]}
REPLIES = {
    **{
        f"{status} {code}": lambda asked, code=code, status=status: refusal(
            code, everything_of(asked), status
        )
        for code, status in (
            ("400002", 400), ("400005", 401), ("404000", 404), ("429000", 429), ("500000", 500),
            ("999999", 200),
        )
    },
    "a code": lambda asked: refusal(everything_of(asked), "no", 400),
    "the cut": at_the_cut,
    "a page": page,
    "a page of an error": lambda asked: page(asked, 502),
    "a list": lambda asked: Answer(json.dumps([everything_of(asked)]).encode(), 400),
    "text": lambda asked: Answer(everything_of(asked).encode()),
    "nothing": lambda _: Answer(b""),
    "cut JSON": lambda asked: Answer(ok(everything_of(asked) + TOKEN).body[:-3]),
    "null": lambda _: ok(None),
    "another type": lambda asked: ok([everything_of(asked), TOKEN]),
    "a bad field": lambda asked: ok(
        PRIVATE | {"instanceServers": everything_of(asked), "bids": TOKEN, "sequence": TOKEN}
    ),
    "a bad server": lambda _: ok(PRIVATE | {"instanceServers": [{"endpoint": "ftp://x/"}]}),
    "a stranger's server": lambda _: ok(PRIVATE | {"instanceServers": [{"endpoint": "ws://x/"}]}),
    "no server": lambda _: ok(PRIVATE | {"instanceServers": []}),
    "a redirection": lambda asked: Answer(b"", 302, {"Location": f"/?{KEY}"}),
    "less than promised": lambda asked: Answer(ok(PRIVATE).body, promised=5_000),
    "no gzip": lambda asked: Answer(echo(asked).encode(), 200, {"Content-Encoding": "gzip"}),
    "an endless header": lambda asked: Answer(b"", 200, {"X": everything_of(asked) * 2_000}),
    "reset": lambda _: Answer(b"", fault="reset"),
    "an end": lambda _: Answer(b"", fault="vanish"),
    "silence": lambda _: Answer(b"", fault="hang"),
}  # fmt: skip


@contextmanager
def client(url, waiter, **options):
    usual = {"clock": waiter, "credentials": CREDENTIALS, "timeout": (60.0, 60.0)}
    with Rest(Venue(url, url), **(usual | options)) as opened:
        yield opened


@pytest.mark.parametrize("kind", REPLIES)
def test_no_reply_to_a_signed_call_shows_a_secret(exchange, waiter, secrets, kind, caplog):
    def answer(asked):
        return REPLIES[kind](asked) if "KC-API-KEY" in asked.headers else ok(0)

    exchange.answers = answer
    timeout = (60.0, 0.05 if kind == "silence" else 60.0)
    with (
        caplog.at_level(logging.DEBUG),
        client(exchange.url, waiter, timeout=timeout) as rest,
    ):
        # The other calls go the same way; what they decode is another thing.
        for name in CALLS if kind in ("a page", "another type", "400 400002") else ["spot token"]:
            error = raised_by(lambda name=name: CALLS[name](rest))

            assert isinstance(error, kr.KucoinResearchError), error
            assert leaks(error, secrets) == []
            assert half_of_a_secret(str(error), secrets) == []
    assert len(secrets) > len(SECRETS)  # signatures were made
    assert [what for what, secret in secrets.items() if secret in caplog.text] == []


def test_what_the_standard_library_prints_of_requests_shows_no_secret(
    exchange, waiter, secrets, monkeypatch, capsys
):
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    exchange.answers = [ok(None)]
    with client(exchange.url, waiter) as rest:
        raised_by(lambda: CALLS["deep book"](rest))

    printed = "".join(capsys.readouterr())
    assert len(secrets) > len(SECRETS)
    assert [what for what, secret in secrets.items() if secret in printed] == []


def half_of_a_secret(text, secrets):
    return [what for what, secret in secrets.items() if secret[:8] in text.replace("***", "")]


def nobody():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("name", CALLS)
def test_no_unreachable_exchange_shows_a_secret(waiter, secrets, name):
    with client(nobody(), waiter) as rest:
        error = raised_by(lambda: CALLS[name](rest))

    assert isinstance(error, kr.Unreachable)
    assert leaks(error, secrets) == []


@pytest.mark.parametrize("is_tls", [True, False])
def test_no_failure_of_tls_shows_a_secret(waiter, secrets, is_tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            peer, _ = server.accept()
            try:
                if is_tls:
                    context.wrap_socket(peer, server_side=True)
                peer.sendall(b"this is no TLS\r\n\r\n")
            except OSError:  # the certificate is refused, as it should be
                return
            finally:
                peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with client(f"https://127.0.0.1:{server.getsockname()[1]}", waiter) as rest:
            error = raised_by(lambda: CALLS["spot token"](rest))
        thread.join()

    assert isinstance(error, kr.Unreachable)
    assert leaks(error, secrets) == []


@pytest.mark.parametrize(
    ("kind", "where", "name"),
    [
        (KeyboardInterrupt, http.client.HTTPConnection, "getresponse"),
        (MemoryError, http.client.HTTPConnection, "getresponse"),
        (KeyboardInterrupt, signing.hmac, "digest"),
    ],
)
def test_no_interrupt_within_a_signed_call_shows_a_secret(
    exchange, waiter, secrets, monkeypatch, kind, where, name
):
    def interrupted(*_, **__):
        raise kind

    exchange.answers = [ok(None)]
    monkeypatch.setattr(where, name, interrupted)
    with client(exchange.url, waiter) as rest:
        error = raised_by(lambda: CALLS["deep book"](rest))

    assert type(error) is kind
    assert leaks(error, secrets) == []


def test_no_call_after_the_end_and_none_without_a_key_shows_a_secret(waiter, secrets, exchange):
    exchange.answers = lambda asked: rest.close() or Answer(b"", fault="vanish")
    with client(exchange.url, waiter) as rest:
        ended = raised_by(lambda: CALLS["spot token"](rest))
        after = raised_by(lambda: CALLS["spot token"](rest))
    with client("https://evil.example", waiter) as rest:
        stranger = raised_by(lambda: CALLS["spot token"](rest))

    assert [type(each) for each in (ended, after, stranger)] == [
        kr.StreamStopped, kr.StreamStopped, kr.UntrustedHost,
    ]  # fmt: skip
    assert [leaks(each, secrets) for each in (ended, after, stranger)] == [[], [], []]


def test_no_public_token_shows(exchange, waiter):
    bodies = [Answer(ok(PRIVATE).body, promised=5_000), ok(PRIVATE | {"instanceServers": 1})]
    for body in bodies:
        exchange.answers = [body]
        with client(exchange.url, waiter, credentials=None) as rest:
            error = raised_by(lambda: rest.token("futures"))

        assert leaks(error, SECRETS) == []


# -- credentials -----------------------------------------------------------------------------------

NAMES = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")
PARTS = (KEY, SECRET, PASSPHRASE)
ENVIRON = dict(zip(NAMES, PARTS, strict=True))
FLAWED = {
    **{f"empty {place}": (*PARTS[:place], " ", *PARTS[place + 1 :]) for place in range(3)},
    **{f"bytes {place}": (*PARTS[:place], PARTS[place].encode(), *PARTS[place + 1 :])
       for place in range(3)},
    **{f"no text {place}": (*PARTS[:place], PARTS[place] + "\udc80", *PARTS[place + 1 :])
       for place in range(3)},
    "an umlaut": (f"{KEY}ü", SECRET, PASSPHRASE),
    "a line": (f"{KEY}\nHost: x", SECRET, PASSPHRASE),
}  # fmt: skip


@pytest.mark.parametrize("kind", FLAWED)
@pytest.mark.parametrize("make", [kr.Credentials, kr.KuCoinWebSocket])
def test_no_bad_part_of_a_key_shows_it(kind, make):
    error = raised_by(lambda: make(*FLAWED[kind]))

    assert isinstance(error, kr.InvalidInput)
    assert leaks(error, SECRETS) == []


@pytest.mark.parametrize("version", [1, "3", SECRET, None, [KEY]])
def test_no_bad_version_shows_a_key(version):
    error = raised_by(lambda: kr.Credentials(*PARTS, key_version=version))

    assert str(error).startswith("key_version must be 2 or 3")
    assert leaks(error, SECRETS) == []


@pytest.mark.parametrize(("version", "lacking"), [("4", None), (SECRET, None), ("3", NAMES[0])])
def test_no_environment_that_lacks_something_shows_a_key(monkeypatch, version, lacking):
    values = {**ENVIRON, "KUCOIN_API_KEY_VERSION": version, "KUCOIN_RESEARCH_VENUE": "none"}
    values.pop(lacking, None)
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    for call in (
        kr.Credentials.from_env, lambda: kr.Credentials.from_env(values), kr.KuCoinWebSocket
    ):  # fmt: skip
        if lacking is not None and call is kr.KuCoinWebSocket:
            continue  # it does without
        assert leaks(raised_by(call), SECRETS) == []
    assert leaks(raised_by(lambda: kr.stream("XBTUSDTM")), SECRETS) == []


@pytest.mark.parametrize("content", [
    "".join(f"{name}={value}\n" for name, value in ENVIRON.items()).encode("utf-16"),
    "".join(f"{name}={value}\n" for name, value in ENVIRON.items()).encode() + b"\xff",
    (KEY + SECRET).encode() * 50_000,
])  # fmt: skip
def test_no_file_that_cannot_be_read_shows_a_key(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)

    error = raised_by(kr.Credentials.from_env)

    assert isinstance(error, kr.InvalidInput)
    assert leaks(error, SECRETS) == []


@pytest.mark.parametrize("call", [
    lambda keys: kr.stream("XBTUSDTM", "order", venue="demo", credentials=keys),
    lambda keys: kr.stream("XBTUSDTM", "order", capacity="x", venue="demo", credentials=keys),
    lambda keys: kr.stream_to_frame("XBTUSDTM", rows=-1, venue="demo", credentials=keys),
    lambda keys: kr.stream_to_frame("XBTUSDTM", rows=1, venue="demo", credentials=keys),
    lambda keys: kr.record("XBTUSDTM", seconds=-1, venue="demo", credentials=keys),
    lambda keys: kr.order_book("BTC-USDT", 0, credentials=keys),
    lambda keys: kr.order_book("BTC-USDT", credentials=keys),
    lambda keys: kr.doctor(credentials=keys),
    lambda keys: kr.KuCoinWebSocket(*keys[:2]),
    lambda keys: kr.KuCoinWebSocket(*keys, market_type="margin"),
])  # fmt: skip
def test_nothing_that_is_taken_for_credentials_is_shown(call):
    error = raised_by(lambda: call(PARTS))

    assert isinstance(error, kr.InvalidInput)
    assert leaks(error, SECRETS) == []


def test_no_failing_call_shows_the_keys_of_the_environment(monkeypatch, tmp_path):
    # IPython shows the value of `os.environ` where a statement that raises names it.
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in ENVIRON.items()))
    gone = Venue(nobody(), nobody())

    for call in (
        lambda: kr.stream("XBTUSDTM", venue=gone),
        lambda: kr.stream("XBTUSDTM", venue="nowhere"),
        lambda: kr.Credentials.from_env(path=tmp_path),
    ):
        assert leaks(raised_by(call), SECRETS) == []


# -- private streams -------------------------------------------------------------------------------


class RestFor:
    """Gives a token for a server on this machine."""

    def __init__(self, port, scheme="ws"):
        self._url = f"{scheme}://127.0.0.1:{port}/"

    def token(self, _market, *, private=False):
        return Token(TOKEN, (Server(self._url, 18.0, 10.0),))

    def close(self):
        pass


def path_of(peer):
    peer.read_request()
    return peer.request.split(b" ")[1]


def refuse(peer):
    path = path_of(peer)
    peer.socket.sendall(
        b"HTTP/1.1 403 %s\r\nX: %s\r\nContent-Length: %d\r\n\r\n%s" % (path, path, len(path), path)
    )


def garbage(peer):
    peer.socket.sendall(b"HTTP/1.1 %s\r\n\r\n" % path_of(peer))


def close_with_reason(peer):
    peer.upgrade()
    peer.socket.sendall(close_frame(4001, f"bad {TOKEN}".encode()))
    peer.stream.read(1)


def error_message(peer):
    peer.upgrade()
    text = json.dumps({"id": "1", "type": "error", "code": 401, "data": f"token {TOKEN} bad"})
    peer.socket.sendall(frame(text.encode()))
    peer.stream.read(1)


@pytest.mark.parametrize("script", [refuse, garbage, path_of, close_with_reason, error_message])
def test_no_stream_that_cannot_be_opened_shows_its_token(script, caplog):
    with caplog.at_level(logging.DEBUG), SocketServer(script) as server:
        stream = kr.Stream([SUBSCRIPTION], RestFor(server.port), name=script.__name__).start()
        wait_until(lambda: stream.error is not None)
        error = stream.error
        told = str(stream.frame("status").to_dicts())
        stream.stop()

    assert leaks(error, SECRETS) == []
    assert TOKEN not in caplog.text + told


def test_no_socket_that_is_not_there_shows_its_token():
    for scheme in ("ws", "wss"):
        port = nobody().rpartition(":")[2]
        error = raised_by(
            lambda port=port, scheme=scheme: connection.open_hidden(
                Hidden(f"{scheme}://127.0.0.1:{port}/?token={TOKEN}&connectId={KEY}"), timeout=5.0
            )
        )

        assert isinstance(error, kr.Unreachable)
        assert leaks(error, SECRETS) == []


@pytest.mark.parametrize("wrong", range(3))
def test_no_key_that_an_exchange_refuses_shows(wrong, secrets):
    parts = [each.strip() for each in PARTS]
    with simulate(
        accounts=[sim.Account(**dict(zip(("key", "secret", "passphrase"), parts, strict=True)))]
    ) as x:
        secrets["another"] = parts[wrong] = parts[wrong] + "-not"
        credentials = kr.Credentials(*parts)
        given = {"venue": x.venue, "credentials": credentials}
        failing = [
            partial(kr.stream_to_frame, "XBTUSDTM", "order", rows=1, progress=False, **given),
            partial(kr.order_book, "BTC-USDT", 500, **given),
            partial(kr.KuCoinWebSocket(*parts, venue=x.venue).connect, "XBTUSDTM", "order"),
        ]
        for call in failing:
            assert leaks(raised_by(call), secrets) == []
        told = kr.doctor(x.venue, credentials=credentials)

    assert not any(secret in f"{told} {told!r}" for secret in secrets.values())


def test_a_thread_that_ends_by_a_call_shows_no_secret(waiter, secrets, monkeypatch):
    caught = []
    monkeypatch.setattr(threading, "excepthook", caught.append)
    with client(nobody(), waiter) as rest:
        thread = threading.Thread(target=lambda: CALLS["spot token"](rest))
        thread.start()
        thread.join()

    [seen] = caught
    assert leaks(seen.exc_value, secrets) == []


# -- the parts -------------------------------------------------------------------------------------


def test_no_printer_shows_what_is_hidden():
    token = Token(TOKEN, (Server("ws://h/", 1.0, 1.0),))
    values = [
        Hidden(SECRET), Hidden(SECRET.encode()), Settings(ENVIRON), CREDENTIALS, token,
        RequestSigner(CREDENTIALS, dict),
    ]  # fmt: skip
    for value in values:
        text = "".join(dumps_of(value))
        assert not any(secret in text for secret in SECRETS.values())
        state = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
        assert not any(secret in "".join(dumps_of(state)) for secret in SECRETS.values())


@pytest.mark.parametrize("spell", [
    str, html.escape, json.dumps, repr, lambda text: " ".join(text.split()),
])  # fmt: skip
def test_a_secret_is_masked_however_it_is_spelled(spell):
    for secret in ("plain", "a\"b<c>&'\\", "two  blanks\tand ü", "a/b+c==", "…"):
        assert masked(f"x {spell(secret)} y", [Hidden(secret)]).strip('"').count("***") == 1


SPELLINGS = {
    "upper case": str.upper,
    "lower case": str.lower,
    "small escapes": lambda text: re.sub("%..", lambda each: each[0].lower(), quote(text, "")),
    "quoted twice": lambda text: quote(quote(text, ""), ""),
    "quoted four times": lambda text: quote(quote(quote(quote(text, ""), ""), ""), ""),
    "slashes of PHP": lambda text: text.replace("/", "\\/"),
    "JSON within JSON": lambda text: json.dumps(json.dumps(text.replace("/", "\\u002f"))),
    "for addresses": lambda text: text.replace("+", "-").replace("/", "_"),
    "without padding": lambda text: text.rstrip("="),
    "entities": lambda text: text.replace("/", "&#x2F;").replace("+", "&plus;"),
    "broken at signs": lambda text: text.replace("/", "/\u200b\n "),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex().upper(),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_secret_is_masked_in_the_spellings_of_servers(name):
    for secret in ("5f8Ab/cd+E0123456789abcd", "6cBP2tsVh+/mQ0xGfUSYQtf4GQ5Yt0vXvE0Tq+s4XbA="):
        text = masked(f"x {SPELLINGS[name](secret)} y", [Hidden(secret)])

        assert re.fullmatch(r"x \W*\*\*\*\W* y|x \*\*\*%(25)*3D y", text), text


def test_a_long_text_is_masked_in_little_time():
    hostile = ("5f8Ab" + "\\\\u0041" * 13) * 800 + "%25" * 20_000 + "&" * 20_000
    began = time.process_time()

    assert masked(hostile, [Hidden("5f8Ab/cd+E0123456789abcd")]) == hostile
    assert time.process_time() - began < 1.0


def test_short_texts_are_found_as_they_are_only():
    assert masked("61 YQ== a-b", [Hidden("a/b"), Hidden("+")]) == "61 YQ== a-b"


def test_a_longer_secret_is_masked_before_a_shorter_one():
    assert masked("abcd abc", [Hidden("abc"), Hidden("abcd")]) == "*** ***"


def test_what_is_sealed_leaves_without_frames_cause_and_context():
    def fail():
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"not {SECRET}", 7) from error

    error = raised_by(lambda: sealed(fail, lambda text: masked(text, [Hidden(SECRET)])))

    assert error.args == ("not ***", 7)
    assert (error.__cause__, error.__context__) == (None, None)
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert "fail" not in names
    assert sealed(lambda: 7) == 7
    assert bare(error) is error


def test_the_search_finds_what_is_shown():
    source = "def fail(held):\n    headers = dict(held)\n    raise ValueError(len(headers))"
    scope = {}
    exec(compile(source, "<elsewhere>", "exec"), scope)

    error = raised_by(lambda: scope["fail"]({"headers": [SECRET]}))

    found = {where for where, _ in leaks(error, SECRETS)}
    assert found == {"traceback", "IPython's Verbose", "rich", "chain"}
