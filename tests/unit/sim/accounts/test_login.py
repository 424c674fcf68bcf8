"""Keys, signatures, private tokens and signed REST calls (protocol reference, 2 and 8)."""

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.foundation import clocks
from kucoin_research.sim import DEMO_ACCOUNT, Account
from kucoin_research.sim.accounts.signing import SignedRequest, SigningRefused, digest, verify
from tests.conftest import wait_until
from tests.unit.sim.client import Client, open_exchange
from tests.unit.sim.signed import (
    KEY,
    PASSPHRASE,
    SECRET,
    b64hmac,
    private_client,
    signed,
    subscribe_private,
)

OTHER = Account(key="k2", secret="s2", passphrase="p2", spot={"USDT": "5"})
TOKEN = "/api/v1/bullet-private"


@pytest.fixture(scope="module")
def exchange():
    with open_exchange(accounts=[OTHER]) as running:
        yield running


def test_signing_vector_of_the_documents():
    secret = "f03a5284-5c39-4aaa-9b20-dea10bdcf8e3"
    text = b'1547015186532POST/api/v1/deposit-addresses{"currency":"BTC"}'

    assert digest(secret, text) == "7QP/oM0ykidMdrfNEUmng8eZjg/ZvPafjIqmxiVfYu4="
    passphrase = digest(secret, b"QWIxMjM0NTY3OCkoKiZeJSQjQA==")
    assert passphrase == "HFkKIy8cKfQF3Ognmbamq9Bd8VfYy3eUQj7uC8NvMes="


def test_vector_request_is_let_in_at_its_time():
    account = Account(
        key="k",
        secret="f03a5284-5c39-4aaa-9b20-dea10bdcf8e3",
        passphrase="QWIxMjM0NTY3OCkoKiZeJSQjQA==",
    )
    request = SignedRequest(
        "POST",
        "/api/v1/deposit-addresses",
        b'{"currency":"BTC"}',
        {
            "KC-API-KEY": "k",
            "KC-API-SIGN": "7QP/oM0ykidMdrfNEUmng8eZjg/ZvPafjIqmxiVfYu4=",
            "KC-API-TIMESTAMP": "1547015186532",
            "KC-API-PASSPHRASE": "HFkKIy8cKfQF3Ognmbamq9Bd8VfYy3eUQj7uC8NvMes=",
            "KC-API-KEY-VERSION": "2",
        },
    )

    signed_ms = 1547015186532
    assert verify(request, {"k": account}, [(0, 0), (signed_ms + 5_000,) * 2]) is account
    assert verify(request, {"k": account}, [(signed_ms - 5_000,) * 2, (0, 0)]) is account
    spans = [(0, signed_ms - 5_001), (signed_ms + 5_001, 2 * signed_ms)]
    with pytest.raises(SigningRefused) as refused:
        verify(request, {"k": account}, spans)
    assert refused.value.code == "400002"


@pytest.mark.parametrize(
    ("sent", "signed_for"),
    [
        ("/api/v1/bullet-private?", "/api/v1/bullet-private"),  # KuCoin's SDK for Node
        ("/api/v1/bullet-private?", "/api/v1/bullet-private?"),
        ("/api/v1/bullet-private", "/api/v1/bullet-private?"),
        ("/api/v1/accounts?currency=A%20B", "/api/v1/accounts?currency=A B"),
        ("/api/v1/accounts?currency=A+B", "/api/v1/accounts?currency=A B"),
    ],
)
def test_a_path_may_be_signed_in_another_spelling(sent, signed_for):
    account = Account(key="k", secret="s", passphrase="p")
    given = {
        "KC-API-KEY": "k",
        "KC-API-SIGN": b64hmac("s", f"1547015186532POST{signed_for}{{}}"),
        "KC-API-TIMESTAMP": "1547015186532",
        "KC-API-PASSPHRASE": b64hmac("s", "p"),
        "KC-API-KEY-VERSION": "2",
    }

    assert verify(SignedRequest("POST", sent, b"{}", given), {"k": account}, [(1547015186532,) * 2])


def test_a_question_mark_before_a_query_is_part_of_what_is_signed():
    account = Account(key="k", secret="s", passphrase="p")
    given = {
        "KC-API-KEY": "k",
        "KC-API-SIGN": b64hmac("s", "1547015186532GET/api/v1/accounts"),
        "KC-API-TIMESTAMP": "1547015186532",
        "KC-API-PASSPHRASE": b64hmac("s", "p"),
        "KC-API-KEY-VERSION": "2",
    }
    request = SignedRequest("GET", "/api/v1/accounts?type=trade", b"", given)

    with pytest.raises(SigningRefused, match="KC-API-SIGN"):
        verify(request, {"k": account}, [(1547015186532,) * 2])


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_a_private_token_may_be_asked_for_with_a_bare_question_mark(exchange, market):
    reply = signed(exchange, "POST", TOKEN, market, sent=f"{TOKEN}?")

    assert reply.json()["code"] == "200000"


def ms(seconds):
    return str(int((clocks.current().wall_ns() / 1e9 + seconds) * 1_000))


MISSING = (
    "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, "
    "KC-API-PASSPHRASE."
)
# What is wrong, and HTTP status, code and words of the answer.
REFUSALS = [
    ({"KC-API-KEY": None}, 400, "400001", MISSING),
    ({"KC-API-SIGN": None}, 400, "400001", MISSING),
    ({"KC-API-TIMESTAMP": None}, 400, "400001", MISSING),
    ({"KC-API-PASSPHRASE": None}, 400, "400001", MISSING),
    ({"stamp": -20}, 400, "400002", "Invalid KC-API-TIMESTAMP"),
    ({"stamp": 20}, 400, "400002", "Invalid KC-API-TIMESTAMP"),
    ({"stamp": "now"}, 400, "400002", "Invalid KC-API-TIMESTAMP"),
    ({"key": "nobody"}, 401, "400003", "KC-API-KEY not exists"),
    ({"passphrase": "wrong"}, 401, "400004", "Invalid KC-API-PASSPHRASE"),
    ({"KC-API-PASSPHRASE": PASSPHRASE}, 401, "400004", "Invalid KC-API-PASSPHRASE"),
    ({"KC-API-SIGN": "bm9wZQ=="}, 401, "400005", "Invalid KC-API-SIGN"),
    ({"body": "{}"}, 401, "400005", "Invalid KC-API-SIGN"),
    ({"version": "1"}, 400, "400008", "V1 API keys are not supported, use version 2 or 3"),
    ({"version": None}, 400, "400008", "V1 API keys are not supported, use version 2 or 3"),
    ({"version": "9"}, 400, "400009", "Invalid KC-API-KEY-VERSION"),
]


@pytest.mark.parametrize("market", ["futures", "spot"])
@pytest.mark.parametrize(("wrong", "status", "code", "words"), REFUSALS)
def test_wrong_signature_is_refused(exchange, market, wrong, status, code, words):
    if isinstance(wrong.get("stamp"), int):
        wrong = {"stamp": ms(wrong["stamp"])}

    reply = signed(exchange, "POST", TOKEN, market, **wrong)

    assert (reply.status_code, reply.json()) == (status, {"code": code, "msg": words})


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize("market", ["futures", "spot"])
def test_private_token_is_like_a_public_one(exchange, market, version):
    reply = signed(exchange, "POST", TOKEN, market, version=version)

    data = reply.json()["data"]
    assert 200 <= len(data["token"]) <= 260
    assert data["instanceServers"][0]["endpoint"].startswith("ws://127.0.0.1:")
    limit = {"futures": "2000", "spot": "4000"}[market]
    assert reply.headers["gw-ratelimit-limit"] == limit


@pytest.mark.parametrize("target", ["/api/v1/accounts?currency=A B", "/api/v1/accounts?currency=ä"])
def test_query_may_be_signed_raw_or_encoded(exchange, target):
    sent = target.replace(" ", "%20").replace("ä", "%C3%A4")

    raw = signed(exchange, "GET", target, "spot", sent=sent)
    encoded = signed(exchange, "GET", sent, "spot")

    assert (raw.json()["code"], encoded.json()["code"]) == ("200000", "200000")


def test_a_client_signs_by_its_own_clock_or_by_the_exchanges():
    with open_exchange() as exchange:
        own_ms = clocks.current().wall_ns() // 1_000_000
        virtual_ms = exchange.now_ns // 1_000_000
        assert abs(own_ms - virtual_ms) > 10_000

        codes = [
            signed(exchange, "POST", TOKEN, stamp=str(clock_ms + off_ms)).json()["code"]
            for clock_ms in (own_ms, virtual_ms)
            for off_ms in (-5_100, -4_900, 4_900, 5_100)
        ]

    assert codes == ["400002", "200000", "200000", "400002"] * 2


@pytest.mark.parametrize("speed", [1, 60])
def test_a_client_that_asked_once_how_far_the_exchanges_clock_is_may_go_on_signing_by_it(speed):
    with open_exchange(speed=speed) as exchange:
        ahead_ms = exchange.now_ns // 1_000_000 - clocks.current().wall_ns() // 1_000_000
        end_ns = exchange.now_ns + 20 * speed * 10**9
        exchange.resume()
        wait_until(lambda: exchange.now_ns >= end_ns)
        stamp_ms = clocks.current().wall_ns() // 1_000_000 + ahead_ms
        codes = [
            signed(exchange, "POST", TOKEN, stamp=str(stamp_ms + off_ms)).json()["code"]
            for off_ms in (-5_100, 0, 5_100)
        ]

    assert codes == ["400002", "200000", "200000" if speed == 60 else "400002"]


def test_demo_key_is_fixed_and_secrets_are_masked(exchange):
    me = exchange.demo_account

    assert (me.key, me.secret, me.passphrase) == (KEY, SECRET, PASSPHRASE)
    assert [one.key for one in exchange.accounts] == [KEY, "k2"]
    for shown in (repr(me), repr(DEMO_ACCOUNT), repr(exchange), repr(exchange.accounts)):
        assert SECRET not in shown
        assert PASSPHRASE not in shown


def test_added_account_has_its_own_key_and_coins(exchange):
    reply = signed(
        exchange, "GET", "/api/v1/accounts", "spot", key="k2", secret="s2", passphrase="p2"
    )

    [row] = [row for row in reply.json()["data"] if row["type"] == "trade"]
    assert (row["currency"], row["balance"], row["holds"]) == ("USDT", "5", "0")
    with pytest.raises(InvalidInput, match="no account"):
        exchange.account("nobody")


def test_two_accounts_cannot_share_a_key():
    with pytest.raises(InvalidInput, match="same key"):
        open_exchange(accounts=[OTHER, OTHER])


def test_private_quota_is_the_accounts_own():
    with open_exchange(private_rate_limit=15, rate_limit=15) as exchange:
        codes = [signed(exchange, "POST", TOKEN).json()["code"] for _ in range(2)]
        other = signed(exchange, "POST", TOKEN, "spot").json()["code"]

    assert codes == ["200000", "429000"]
    assert other == "200000"


# Sockets


@pytest.mark.parametrize(
    ("market", "private", "public"),
    [
        ("futures", "/contractMarket/tradeOrders", "/contractMarket/level2:XBTUSDTM"),
        ("spot", "/account/balance", "/market/level2:BTC-USDT"),
    ],
)
def test_private_token_serves_private_and_public_topics(exchange, market, private, public):
    with private_client(exchange, market) as client:
        assert subscribe_private(client, private)["type"] == "ack"
        assert subscribe_private(client, private, "true")["type"] == "ack"
        assert client.subscribe(public)["type"] == "ack"
        frame = client.until(lambda frame: frame.get("topic") == public)

    assert "userId" not in frame


@pytest.mark.parametrize("topic", ["/contractMarket/tradeOrders", "/contract/position:XBTUSDTM"])
def test_private_topic_needs_a_private_token(exchange, topic):
    with Client(exchange) as client:
        client.receive()
        reply = subscribe_private(client, topic)

    assert (reply["code"], reply["data"]) == (403, "login is required")


def test_private_topic_needs_the_private_channel(exchange):
    with private_client(exchange) as client:
        reply = subscribe_private(client, "/contractAccount/wallet", private=False)

    assert (reply["code"], reply["data"]) == (403, "login is required")


def test_private_token_opens_its_own_product_only(exchange):
    token = signed(exchange, "POST", TOKEN, "spot").json()["data"]["token"]
    with Client(exchange, "futures", token=token) as client:
        reply = client.receive()

    assert (reply["type"], reply["code"]) == ("error", 401)


@pytest.mark.parametrize("topic", ["/contractAccount/wallet:XBT", "/contract/position"])
def test_malformed_private_topic_is_refused(exchange, topic):
    with private_client(exchange) as client:
        assert subscribe_private(client, topic)["code"] == 400


# Signed market data and account reads


def test_full_spot_book_needs_a_key_and_is_deeper_than_the_public_one(exchange):
    target = "/api/v3/market/orderbook/level2?symbol=BTC-USDT"

    data = signed(exchange, "GET", target, "spot").json()["data"]

    assert set(data) == {"time", "sequence", "bids", "asks"}
    assert min(len(data["bids"]), len(data["asks"])) > 100


def test_trade_statistics_add_up_the_contracts(exchange):
    reply = signed(exchange, "GET", "/api/v1/trade-statistics").json()

    assert list(reply["data"]) == ["turnoverOf24h"]
    assert reply["data"]["turnoverOf24h"] > 1e6


def test_account_reads_show_balance_and_position():
    with open_exchange() as exchange:
        exchange.pause()
        exchange.demo_account.place("XBTUSDTM", "buy", 3)
        read = {
            path: signed(exchange, "GET", f"/api/v1/{path}").json()["data"]
            for path in (
                "account-overview?currency=USDT",
                "positions",
                "position?symbol=XBTUSDTM",
            )
        }
        equity = exchange.demo_account.futures_wallet().equity
        exchange.demo_account.place("XBTUSDTM", "sell", 3)
        exchange.demo_account.set_margin_mode("XBTUSDTM", "CROSS")
        exchange.demo_account.place("XBTUSDTM", "buy", 3)
        crossed = signed(exchange, "GET", "/api/v1/account-overview?currency=USDT").json()["data"]

    overview, positions, position = read.values()
    assert overview["currency"] == "USDT"
    assert overview["accountEquity"] == pytest.approx(float(equity), abs=1)
    assert overview["riskRatio"] == 0
    needed = 0.0046 * 3 * 0.001 * position["markPrice"]
    assert crossed["riskRatio"] == pytest.approx(needed / float(equity), rel=1e-3)
    assert positions == [position]
    assert (position["symbol"], position["currentQty"], position["isOpen"]) == ("XBTUSDTM", 3, True)


def test_wrong_account_route_still_needs_its_headers(exchange):
    reply = signed(exchange, "GET", "/api/v1/positions", **{"KC-API-SIGN": None})

    assert (reply.status_code, reply.json()["code"]) == (400, "400001")
