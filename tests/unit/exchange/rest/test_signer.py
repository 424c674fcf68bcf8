"""Signed calls: who gets the key, and whose clock dates the signature."""

import base64
import hmac

import pytest
import requests

from kucoin_research import errors
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.calls import Call
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.model.channels import Market
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import NOW_NS, Answer, client, ok, payload, refusal

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter
rest = answering.rest


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
